"""One run: trains a small network under watch; a record that JSON can hold."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import keras
import numpy as np

import keras_saliency as ks
from benchmarks.unseen.drawing import Array
from benchmarks.unseen.plan import Run
from benchmarks.unseen.sets import Pictures, codes, pictures

NUM_TRAIN = 1600
NUM_HELD_OUT = 500
CORRELATION = 0.95
"""How often a planted cue tells the class; otherwise it tells any."""


class Accuracy(keras.callbacks.Callback):
    """The accuracy on images after each epoch: `values`, by the name of the images."""

    def __init__(self, images: dict[str, Array], labels: Array) -> None:
        super().__init__()
        self.images, self.labels = images, labels
        self.values: dict[str, list[float]] = {name: [] for name in images}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, images in self.images.items():
            answers = self.model.predict_on_batch(images).argmax(1)
            self.values[name].append(float((answers == self.labels).mean()))


def execute(run: Run) -> dict[str, Any]:
    """Makes a run.

    Returns:
        The run's fields and `"id"`; `"classes"`; `"accuracy"` after each epoch on held-out images,
        those with the right cue (`"right"`) and, in a planted run, with a wrong one (`"wrong"`);
        `"warnings"` and `"alerts"`, see `_kept`; `"seconds"`.
    """
    began = time.perf_counter()
    rng = np.random.default_rng(run.seed + 1000)
    made = pictures(run.set, run.cue, NUM_TRAIN + NUM_HELD_OUT, rng)
    seen = made.planted(codes(made, CORRELATION, rng), rng)
    train, held_out = slice(NUM_TRAIN), slice(NUM_TRAIN, None)
    keras.utils.set_random_seed(run.seed)
    model = network(run.network, seen.shape[1:], made.classes)
    probes = ks.ProbeSet.from_dataset(
        (seen[held_out], made.labels[held_out]),
        masks=made[held_out].masks if run.masks else None,
    )
    accuracy = Accuracy(_asked(made[held_out]), made.labels[held_out])
    saliency = ks.SaliencyCallback(
        probes, interventions="epoch", on_alert=None, log_dir=None, pictures=None, verbose=0
    )
    model.fit(
        seen[train],
        made.labels[train],
        epochs=run.epochs,
        batch_size=32,
        verbose=0,
        callbacks=[accuracy, saliency],
    )
    keras.backend.clear_session()
    return {
        "id": run.id,
        **dataclasses.asdict(run),
        "classes": made.classes,
        "accuracy": accuracy.values,
        "warnings": [_kept(alert) for alert in saliency.warnings],
        "alerts": [_kept(alert) for alert in saliency.alerts],
        "seconds": round(time.perf_counter() - began, 1),
    }


def _asked(held_out: Pictures) -> dict[str, Array]:
    """Held-out images with the right cue, and with that of another class."""
    rng = np.random.default_rng(9)
    labels, classes = held_out.labels, held_out.classes
    if not held_out.cue:
        return {"right": held_out.plain}
    others = (labels + rng.integers(1, classes, len(labels))) % classes
    return {"wrong": held_out.planted(others, rng), "right": held_out.planted(labels, rng)}


def _kept(alert: ks.Alert) -> dict[str, Any]:
    """What is kept of an alert: its rule, numbers, assumption, and what it explains."""
    names = ("step", "rule", "effect", "control", "withdrawn", "assumption", "explains")
    kept = {name: getattr(alert, name) for name in names}
    numbers = {
        name: None if math.isnan(kept[name]) else round(kept[name], 3)
        for name in ("effect", "control")
    }
    return kept | numbers


def network(name: str, shape: tuple[int, ...], classes: int) -> keras.Model:
    """Three convolutions and a head, compiled.

    Args:
        name: "pooled": the maximum of each channel over all places; "flat": a hidden layer on them.
        shape: Of an image.
        classes: How many.
    """
    layers = keras.layers
    heads = {
        "pooled": [layers.GlobalMaxPooling2D()],
        "flat": [
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(48, activation="relu"),
        ],
    }
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(12, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            *heads[name],
            layers.Dense(classes, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(3e-3)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
