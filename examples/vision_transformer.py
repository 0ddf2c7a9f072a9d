"""A small vision transformer that learns a shortcut: the alert, and maps of its tokens.

The digits have a tag in the corner that tells the class. The class activation maps are made of the
tokens before the last attention, on their grid of 5 by 5, without the class token.

Run: python examples/vision_transformer.py
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import keras_saliency as ks
from keras_saliency.app.demo import digits
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import displayed, enlarged, limits, overlay

NUM_TRAIN, SIDE, PATCH, WIDTH = 1200, 20, 4, 32
METHODS = ["grad_cam", "hires_cam", "layer_cam", "gradient"]


class ClassToken(layers.Layer):
    """A learned token before those of the image, and a learned vector for each position."""

    def build(self, shape):
        self.token = self.add_weight((1, 1, shape[-1]), "random_normal")
        self.positions = self.add_weight((1, shape[1] + 1, shape[-1]), "random_normal")

    def call(self, tokens):
        token = ops.tile(self.token, (ops.shape(tokens)[0], 1, 1))
        return ops.concatenate([token, tokens], axis=1) + self.positions


def vit():
    inputs = keras.Input((SIDE, SIDE, 1))
    tokens = layers.Conv2D(WIDTH, PATCH, strides=PATCH)(inputs)
    tokens = ClassToken()(layers.Reshape((-1, WIDTH))(tokens))
    for _ in range(2):
        inner = layers.LayerNormalization()(tokens)
        tokens = tokens + layers.MultiHeadAttention(4, WIDTH // 4)(inner, inner)
        inner = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(tokens))
        tokens = tokens + layers.Dense(WIDTH)(inner)
    outputs = layers.Dense(10, activation="softmax")(layers.LayerNormalization()(tokens)[:, 0])
    return keras.Model(inputs, outputs)


tag = np.zeros((SIDE, SIDE), bool)
tag[:4, :4] = True
pictures = {}
for name in ("clean", "tagged"):
    keras.utils.set_random_seed(0)
    images, labels = digits(tagged=name == "tagged")
    held_out = (images[NUM_TRAIN:], labels[NUM_TRAIN:])
    probes = ks.ProbeSet.from_dataset(held_out, per_class=10)
    model = vit()
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    saliency = ks.SaliencyCallback(probes, method="grad_cam", on_alert=None, verbose=0)
    model.fit(
        images[:NUM_TRAIN], labels[:NUM_TRAIN], epochs=12, verbose=0, callbacks=[saliency]
    )  # fmt: skip
    _, accuracy = model.evaluate(*held_out, verbose=0)
    rules = [alert.rule for alert in saliency.alerts if alert.withdrawn is None]
    print(f"{name}: accuracy {accuracy:.2f}, alerts {rules}")
    rows = []
    for method in METHODS:
        maps = ks.saliency_maps(model, probes, method=method)
        share = maps[:, tag].sum() / maps.sum()
        print(f"{name}: {share:.0%} of {method} is in the tag, {tag.mean():.0%} of the image")
        few = displayed(probes.images[:5])
        shown = enlarged(overlay(few, maps[:5], limits=limits(maps[:5], "epoch")), 6)
        caption = [layouts.Line(f"{name}, {method}")]
        rows.append([layouts.captioned(picture, caption) for picture in shown])
    pictures[name] = layouts.grid(rows)
sheet = layouts.encoded(layouts.stacked([*pictures.values()]), lossless=True)
Path("vision_transformer.png").write_bytes(sheet)
print("vision_transformer.png: one row for each method, without the tag and with it")
