"""A small vision transformer that learns a shortcut: the alert, and maps of its tokens.

The digits have a tag in the corner that tells the class. Class activation maps are made of tokens,
on their grid of 5 by 5, without the class token; by default of those before the last attention. By
then, the first attention may have carried what the tag says to other tokens. So look at the tokens
before the first attention, too, or at the gradient of the image.

Run: python examples/vision_transformer.py
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import keras_saliency as ks
from keras_saliency.app.demo import digits
from keras_saliency.attributions import grad_cam, gradient, hires_cam
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import displayed, enlarged, limits, overlay

NUM_TRAIN, SIDE, PATCH, WIDTH = 1200, 20, 4, 32
METHODS = {
    "grad_cam": grad_cam,
    "hires_cam": hires_cam,
    "hires_cam, early": partial(hires_cam, layer="norm_0"),
    "gradient": gradient,
}


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
    for index in range(2):
        inner = layers.LayerNormalization(name=f"norm_{index}")(tokens)
        tokens = tokens + layers.MultiHeadAttention(4, WIDTH // 4)(inner, inner)
        inner = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(tokens))
        tokens = tokens + layers.Dense(WIDTH)(inner)
    outputs = layers.Dense(10, activation="softmax")(layers.LayerNormalization()(tokens)[:, 0])
    return keras.Model(inputs, outputs)


tag = np.zeros((SIDE, SIDE), bool)
tag[:4, :4] = True
keras.utils.set_random_seed(0)
images, labels = digits(tagged=True)
probes = ks.ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:]), per_class=10)
model = vit()
model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
saliency = ks.SaliencyCallback(probes, method="grad_cam", on_alert=None, verbose=0)
model.fit(images[:NUM_TRAIN], labels[:NUM_TRAIN], epochs=8, verbose=0, callbacks=[saliency])
print("alerts:", [alert.rule for alert in saliency.alerts if alert.withdrawn is None])

monitor = ks.SaliencyMonitor(model, probes, method=[*METHODS.values()])
report = monitor.evaluate(step=0)
one_per_class = np.unique(probes.targets, return_index=True)[1][:6]
few = displayed(probes.images[one_per_class])
rows = []
for name, maps in zip(METHODS, [report.maps, *report.others.values()], strict=True):
    share = maps[:, tag].sum() / maps.sum()
    peaks = maps.reshape(len(maps), -1).argmax(axis=1)
    print(
        f"{name}: {share:.0%} of the map is in the tag, {tag.mean():.0%} of the image; the peak is "
        f"there in {tag.ravel()[peaks].mean():.0%} of the images"
    )
    shown = overlay(few, maps[one_per_class], limits=limits(maps[one_per_class], "epoch"))
    caption = [layouts.Line(name)]
    rows.append([layouts.captioned(picture, caption) for picture in enlarged(shown, 6)])
sheet = layouts.encoded(layouts.grid(rows), lossless=True)
Path("vision_transformer.png").write_bytes(sheet)
print("vision_transformer.png: one row for each method, one column for each class")
