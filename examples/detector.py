"""A detector with a shortcut: what does it look at in each box, and what does it rely on?

A small anchor-free detector (a class and the distances to four edges, for each cell of a grid) is
trained on generated images with a disc or a cross, and a tag in a corner that tells which of the
two. Each probe has the box of its object. The score is that of the prediction which fits the box
best (Petsiuk et al. 2020, arXiv:2006.03204); the class there is the model's prediction, so that
intervention tests tell whether it depends on the tag.

Run: python examples/detector.py
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import keras_saliency as ks
from keras_saliency.attributions import hires_cam, smoothgrad
from keras_saliency.rendering import drawings, layouts
from keras_saliency.rendering.heatmaps import displayed, enlarged, limits, overlay

SIDE, STRIDE = 48, 4
CELLS = SIDE // STRIDE
NAMES = ["disc", "cross"]
CENTRES = (np.arange(CELLS) + 0.5) * STRIDE
TAG = np.zeros((SIDE, SIDE), bool)
TAG[1:5, 1:5] = True


def shapes(count, seed):
    """Images; the box of the shape in each, left, top, right, bottom; and which shape it is."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.4, (count, SIDE, SIDE, 1)).astype("float32")
    boxes, kinds = np.zeros((count, 4), "float32"), rng.permutation(np.arange(count) % 2)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for image, box, kind in zip(images, boxes, kinds, strict=True):
        radius = rng.uniform(5, 8)
        at = rng.uniform(6 + radius, SIDE - radius, 2)
        across, down = abs(x - at[0]), abs(y - at[1])
        disc = across**2 + down**2 < radius**2
        cross = (np.minimum(across, down) < radius / 3) & (np.maximum(across, down) < radius)
        image[[disc, cross][kind]] += 0.3
        image[TAG] = kind  # the shortcut
        box[:] = [*(at - radius), *(at + radius)]
    return images, boxes, kinds


def labels(boxes, kinds):
    """For each cell in the middle of an object: its class and its box; elsewhere zeros."""
    classes = np.zeros((len(boxes), CELLS, CELLS, 2), "float32")
    cells = np.zeros((len(boxes), CELLS, CELLS, 4), "float32")
    x, y = np.meshgrid(CENTRES, CENTRES)
    for index, (box, kind) in enumerate(zip(boxes, kinds, strict=True)):
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 4
        inside = (abs(x - middle[0]) < half[0]) & (abs(y - middle[1]) < half[1])
        classes[index, inside, kind] = 1
        cells[index, inside] = box
    return {"classes": classes, "boxes": cells}


class Boxes(layers.Layer):
    """Distances to the four edges, from the centre of each cell, as boxes in pixels."""

    def call(self, distances):
        x, y = np.meshgrid(CENTRES, CENTRES)
        centres = ops.convert_to_tensor(np.stack([x, y, x, y], -1), distances.dtype)
        return centres + distances * ops.convert_to_tensor([-1.0, -1, 1, 1], distances.dtype)


def box_loss(boxes, predicted):
    """The mean error of edges, in pixels, in cells with an object."""
    weights = ops.cast(ops.any(boxes > 0, axis=-1, keepdims=True), "float32")
    return ops.sum(weights * ops.abs(boxes - predicted)) / (4 * ops.sum(weights) + 1)


def class_loss(classes, probable):
    error = keras.losses.binary_crossentropy(classes[..., None], probable[..., None])
    return ops.sum(error) / (ops.sum(classes) + 1)


def detector():
    inputs = values = keras.Input((SIDE, SIDE, 1))
    for name, filters, strides in (("first", 16, 2), ("early", 32, 2), ("late", 32, 1)):
        values = layers.Conv2D(filters, 5, strides=strides, padding="same", use_bias=False)(values)
        values = layers.BatchNormalization(momentum=0.9)(values)
        values = layers.Activation("relu", name=name)(values)
    context = layers.Dense(32)(layers.Flatten()(layers.AveragePooling2D(2)(values)))
    values = layers.Add()([values, layers.Reshape((1, 1, 32))(context)])  # of the whole image
    values = layers.Conv2D(32, 1, activation="relu")(values)
    classes = layers.Conv2D(2, 1, activation="sigmoid", name="classes")(values)
    distances = layers.Conv2D(4, 1, activation="softplus", name="distances")(values)
    return keras.Model(inputs, {"classes": classes, "boxes": Boxes(name="boxes")(distances)})


keras.utils.set_random_seed(0)
images, boxes, kinds = shapes(600, seed=0)
few, few_boxes, few_kinds = shapes(48, seed=1)
probes = ks.ProbeSet(few, few_kinds, boxes=few_boxes, regions={"tag": TAG}, class_names=NAMES)
saliency = ks.SaliencyCallback(probes, log_dir="logs", score="detection", on_alert=None, verbose=0)
model = detector()
model.compile(keras.optimizers.Adam(2e-3), {"classes": class_loss, "boxes": box_loss})
model.fit(images, labels(boxes, kinds), batch_size=32, epochs=7, verbose=0, callbacks=[saliency])

names = {
    "probe_accuracy": "the class in the box is right",
    "object_enrichment": "gradient in the box, relative to its area",
    "enrichment/tag": "gradient in the tag, relative to its area",
    "effect/region/tag": "accuracy that is lost with the tag of the other class",
}
for name, words in names.items():
    values = ", ".join(f"{value:.2f}" for value in saliency.history[name])
    print(f"{words}, before training and after each epoch: {values}")
for alert in saliency.alerts:
    if alert.withdrawn is None:
        print(alert.sentence)

methods = {"smoothgrad": smoothgrad, "hires_cam": partial(hires_cam, layer="early")}
shown = displayed(few[:6])
rows = [shown]
for name, method in methods.items():
    maps = ks.saliency_maps(model, probes, method=method, score="detection")
    shares = [maps[:, TAG].sum(), maps[probes.masks].sum()] / maps.sum()
    print(f"{name}: {shares[1]:.0%} in the boxes, {shares[0]:.1%} in the tag")
    rows.append(overlay(shown, maps[:6], limits=limits(maps[:6], "epoch")))
cells = [
    [
        drawings.with_box(picture, box, (SIDE, SIDE))
        for picture, box in zip(enlarged(row, 3), few_boxes, strict=False)
    ]
    for row in rows
]
Path("detector.png").write_bytes(layouts.encoded(layouts.grid(cells), lossless=True))
print("detector.png: six images with their boxes, and their maps by two methods")
