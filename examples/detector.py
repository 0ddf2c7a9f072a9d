"""One box of a detector: which pixels make the model find this object here?

A small anchor-free detector (a class and the distances to four edges, for each cell of a grid) is
trained on generated images with a disc and a cross. Then the score is that of one box and one class
(Petsiuk et al. 2020, arXiv:2006.03204), and each object gets a map of its own.

Run: python examples/detector.py
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import keras_saliency as ks
from keras_saliency.attributions import hires_cam, smoothgrad
from keras_saliency.attributions.detections import detection
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import displayed, enlarged, limits, overlay

SIDE, STRIDE = 48, 4
CELLS = SIDE // STRIDE
NAMES = ["disc", "cross"]
CENTRES = (np.arange(CELLS) + 0.5) * STRIDE


def shapes(count, seed):
    """Images, and the boxes of both shapes: `(count, 2, 4)`, left, top, right, bottom."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.4, (count, SIDE, SIDE, 1)).astype("float32")
    boxes = np.zeros((count, 2, 4), "float32")
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for image, pair in zip(images, boxes, strict=True):
        for kind in rng.permutation(2):
            while True:
                radius = rng.uniform(5, 8)
                at = rng.uniform(radius, SIDE - radius, 2)
                box = np.array([*(at - radius), *(at + radius)])
                other = pair[1 - kind]
                if not other.any() or (box[:2] > other[2:]).any() or (box[2:] < other[:2]).any():
                    break
            across, down = abs(x - at[0]), abs(y - at[1])
            disc = across**2 + down**2 < radius**2
            cross = (np.minimum(across, down) < radius / 3) & (np.maximum(across, down) < radius)
            image[[disc, cross][kind]] += 0.5
            pair[kind] = box
    return images, boxes


def labels(boxes):
    """For each cell in the middle of an object: its class and its box; elsewhere zeros."""
    classes = np.zeros((len(boxes), CELLS, CELLS, 2), "float32")
    cells = np.zeros((len(boxes), CELLS, CELLS, 4), "float32")
    x, y = np.meshgrid(CENTRES, CENTRES)
    for index, pair in enumerate(boxes):
        for kind, box in enumerate(pair):
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


keras.utils.set_random_seed(0)
inputs = keras.Input((SIDE, SIDE, 1))
values = inputs
for name, filters, strides in (
    ("first", 16, 2),
    ("early", 32, 2),
    ("late", 32, 1),
    ("last", 32, 1),
):
    values = layers.Conv2D(filters, 5, strides=strides, padding="same", use_bias=False)(values)
    values = layers.BatchNormalization(momentum=0.9)(values)
    values = layers.Activation("relu", name=name)(values)
classes = layers.Conv2D(2, 1, activation="sigmoid", name="classes")(values)
distances = layers.Conv2D(4, 1, activation="softplus", name="distances")(values)
boxes = Boxes(name="boxes")(distances)
model = keras.Model(inputs, {"classes": classes, "boxes": boxes})
model.compile("adam", {"classes": class_loss, "boxes": box_loss})

images, truth = shapes(1000, seed=0)
model.fit(images, labels(truth), batch_size=32, epochs=8, verbose=0)

few, _ = shapes(2, seed=1)
answers = model.predict(few, verbose=0)
probable = answers["classes"].reshape(len(few), -1, 2)
predicted = answers["boxes"].reshape(len(few), -1, 4)
methods = {"smoothgrad": smoothgrad, "hires_cam": partial(hires_cam, layer="early")}
rows = []
for index in range(len(few)):
    picture = displayed(few[index : index + 1])
    row = [layouts.captioned(enlarged(picture, 4)[0], [layouts.Line("")] * 2)]
    for kind, name in enumerate(NAMES):
        best = probable[index, :, kind].argmax()
        box = predicted[index, best]
        left, top, right, bottom = np.clip(np.rint(box).astype(int), 0, SIDE).tolist()
        score = partial(detection, box=box.tolist())
        for title, method in methods.items():
            maps = ks.saliency_maps(
                model, few[index : index + 1], [kind], method=method, score=score
            )
            share = maps[0, top:bottom, left:right].sum() / maps.sum()
            print(
                f"image {index}, {name} at {[left, top, right, bottom]}, probability "
                f"{probable[index, best, kind]:.2f}: {share:.0%} of {title} is in the box"
            )
            shown = enlarged(overlay(picture, maps, limits=limits(maps, "epoch")), 4)[0]
            caption = [layouts.Line(f"{name}, {title}"), layouts.Line(f"{share:.0%} in the box")]
            row.append(layouts.captioned(shown, caption))
    rows.append(row)
Path("detector.png").write_bytes(layouts.encoded(layouts.grid(rows), lossless=True))
print("detector.png: each image, and the maps of its disc and of its cross")
