"""Do the tests of a detector find a tag that tells the class of the object, and keep quiet without?

    python -m benchmarks.detectors [--first 200] [--runs 6] [--out FILE]

The detector is anchor-free and sees the whole image, as `examples/detector.py`. Each image has a
disc or a cross, and a white or black tag in the corner, which agrees with the class in 98 % of the
images, or in half of them. Beside each run it is measured whether the model relies on the tag: by
how much accuracy drops if the tags of the probes are inverted. Nothing was chosen on these seeds.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
from keras import layers, ops

import keras_saliency as ks
from benchmarks._models import Array, arguments_of, machine, table, tell

SIDE, STRIDE = 48, 4
CELLS = SIDE // STRIDE
CENTRES = (np.arange(CELLS) + 0.5) * STRIDE
TRAINED, PROBES, EPOCHS = 1000, 96, 8
AGREES = 0.98
TAG = np.zeros((SIDE, SIDE), bool)
TAG[1:4, 1:4] = True


def objects(count: int, seed: int, *, is_planted: bool) -> tuple[Array, Array, Array]:
    """Images `(count, 48, 48, 1)`, the box of the object in each, and its class."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.4, (count, SIDE, SIDE, 1)).astype("float32")
    boxes, kinds = np.zeros((count, 4), "float32"), rng.permutation(np.arange(count) % 2)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for image, box, kind in zip(images, boxes, kinds, strict=True):
        radius = rng.uniform(5, 8)
        at = rng.uniform(radius + 6, SIDE - radius, 2)
        across, down = abs(x - at[0]), abs(y - at[1])
        disc = across**2 + down**2 < radius**2
        cross = (np.minimum(across, down) < radius / 3) & (np.maximum(across, down) < radius)
        image[[disc, cross][kind]] += 0.5
        agrees = rng.random() < (AGREES if is_planted else 0.5)
        image[TAG] = kind if agrees else 1 - kind
        box[:] = [*(at - radius), *(at + radius)]
    return images, boxes, kinds


def labels(boxes: Array, kinds: Array) -> dict[str, Array]:
    """For each cell in the middle of an object its class and box; elsewhere zeros."""
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

    def call(self, distances: Any) -> Any:
        x, y = np.meshgrid(CENTRES, CENTRES)
        centres = ops.convert_to_tensor(np.stack([x, y, x, y], -1), distances.dtype)
        return centres + distances * ops.convert_to_tensor([-1.0, -1, 1, 1], distances.dtype)


def box_loss(boxes: Any, predicted: Any) -> Any:
    """The mean error of edges, in pixels, in cells with an object."""
    weights = ops.cast(ops.any(boxes > 0, axis=-1, keepdims=True), "float32")
    return ops.sum(weights * ops.abs(boxes - predicted)) / (4 * ops.sum(weights) + 1)


def class_loss(classes: Any, probable: Any) -> Any:
    error = keras.losses.binary_crossentropy(classes[..., None], probable[..., None])
    return ops.sum(error) / (ops.sum(classes) + 1)


def detector() -> keras.Model:
    """A class and four distances for each cell, from its surroundings and from the whole image."""
    inputs = values = keras.Input((SIDE, SIDE, 1))
    for filters, strides in ((16, 2), (32, 2), (32, 1), (32, 1)):
        values = layers.Conv2D(filters, 5, strides=strides, padding="same", use_bias=False)(values)
        values = layers.BatchNormalization(momentum=0.9)(values)
        values = layers.Activation("relu")(values)
    context = layers.Flatten()(layers.AveragePooling2D(2)(values))
    context = layers.Dense(32)(layers.Dense(32, activation="relu")(context))
    values = layers.Add()([values, layers.Reshape((1, 1, 32))(context)])
    values = layers.Conv2D(32, 1, activation="relu")(values)
    classes = layers.Conv2D(2, 1, activation="sigmoid", name="classes")(values)
    distances = layers.Conv2D(4, 1, activation="softplus", name="distances")(values)
    model = keras.Model(inputs, {"classes": classes, "boxes": Boxes(name="boxes")(distances)})
    model.compile(keras.optimizers.Adam(2e-3), {"classes": class_loss, "boxes": box_loss})
    return model


def row(seed: int, *, is_planted: bool) -> list[str]:
    """Trains one detector with the callback, and inverts the tags of its probes."""
    keras.utils.set_random_seed(seed)
    images, boxes, kinds = objects(TRAINED, 2 * seed, is_planted=is_planted)
    held_out, held_boxes, held_kinds = objects(PROBES, 2 * seed + 1, is_planted=is_planted)
    probes = ks.ProbeSet(held_out, held_kinds, boxes=held_boxes, regions={"tag": TAG})
    saliency = ks.SaliencyCallback(
        probes, log_dir=None, score="detection", interventions="epoch", on_alert=None, verbose=0
    )
    model = detector()
    fit = {"batch_size": 32, "epochs": EPOCHS, "verbose": 0, "callbacks": [saliency]}
    model.fit(images, labels(boxes, kinds), **fit)
    inverted = held_out.copy()
    inverted[:, TAG] = 1 - inverted[:, TAG]
    swapped = ks.ProbeSet(inverted, held_kinds, boxes=held_boxes)
    after = ks.SaliencyMonitor(model, swapped, score="detection", interventions=None).evaluate(0)
    accuracy = saliency.report.metrics["probe_accuracy"]
    effects = {effect.test: effect.effect for effect in saliency.effects[-1][1]}
    standing = [alert.rule for alert in saliency.alerts if alert.withdrawn is None]
    keras.backend.clear_session()
    found = [
        f"{AGREES:.0%}" if is_planted else "50%",
        str(seed),
        f"{accuracy:.2f}",
        f"{accuracy - after.metrics['probe_accuracy']:.2f}",
        f"{effects['region/tag']:.2f}",
        f"{saliency.report.maps[:, TAG].sum() / saliency.report.maps.sum():.1%}",
        ", ".join(standing) or "none",
    ]
    print(" ".join(found), file=sys.stderr, flush=True)
    return found


HEADER = [
    *("tag agrees", "seed", "accuracy", "drop with inverted tags", "effect of the tag"),
    *("share of the gradient", "alerts at the end"),
]


def main() -> None:
    """Runs all seeds and prints the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("--first", type=int, default=200, help="the first seed")
    parser.add_argument("--runs", type=int, default=6, help="seeds with the tag, and without")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.runs)
    rows = [row(seed, is_planted=cue) for cue in (True, False) for seed in seeds]
    about = f"The tag covers {TAG.mean():.1%} of the image. {machine()}"
    tell(f"{about}\n\n{table(HEADER, rows)}", arguments.out)


if __name__ == "__main__":
    main()
