"""Series, tables, texts and volumes with a planted cue or without one, for `beyond_images`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from benchmarks._models import Array

layers = keras.layers


@dataclass(frozen=True)
class Part:
    """Inputs of one kind, their classes, and the class that the cue of each tells."""

    inputs: Array
    labels: Array


@dataclass(frozen=True)
class Material:
    """What one run is made of.

    Attributes:
        kind: As in `ProbeSet`.
        cue: What is planted, in words.
        train: To train on.
        probes: Held out, with the same cue.
        swapped: The probes with the cue of another class; of a run without a cue, the probes.
        expected: The test that should alert.
        body: The hidden layers of the model.
        regions: Named places of the probes.
        epochs: How long to train.
    """

    kind: str
    cue: str
    train: Part
    probes: Part
    swapped: Part
    expected: str
    body: Callable[[], list[keras.Layer]]
    regions: Mapping[str, Array] = field(default_factory=dict)
    epochs: int = 6


BATCH = 16
"""The number of inputs in a batch."""

STRENGTH = 0.95
"""The share of inputs whose cue tells their class."""

Make = Callable[[np.random.Generator, Array, Array | None], Array]
"""From classes, and the classes that the cues tell (`None`: no cue), to inputs."""


def _parts(
    seed: int, classes: int, sizes: tuple[int, int], is_planted: bool, make: Make
) -> tuple[Part, Part, Part]:
    """Inputs to train on, probes, and the probes with the cues of other classes.

    Without a planted cue, runs of even seeds have one that is drawn at random.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        labels = np.arange(size) % classes
        cues = np.where(rng.random(size) < STRENGTH, labels, rng.integers(classes, size=size))
        if not is_planted:
            cues = rng.integers(classes, size=size)
        given = cues if is_planted or seed % 2 == 0 else None
        seeds = rng.integers(2**31)
        inputs = make(np.random.default_rng(seeds), labels, given)
        others = (labels + rng.integers(1, classes, size=size)) % classes
        changed = make(np.random.default_rng(seeds), labels, others) if is_planted else inputs
        parts.append((Part(inputs, labels), Part(changed, labels)))
    return parts[0][0], parts[1][0], parts[1][1]


def _waves(rng: np.random.Generator, labels: Array, powers: Array) -> Array:
    """Three sensors, of which two have a sine, a square or a sawtooth wave in 40 of 48 steps.

    All have noise. `powers` are the standard deviations of the waves of each class.
    """
    steps, count = np.arange(40), len(labels)
    periods, phases = rng.uniform(10, 16, (count, 1, 1)), rng.random((count, 1, 2))
    turns = steps[:, np.newaxis] / periods + phases
    shapes = np.stack([np.sin(2 * np.pi * turns), np.sign(np.sin(2 * np.pi * turns))])
    shapes = np.concatenate([shapes, 2 * (turns % 1)[np.newaxis] - 1])
    inputs = rng.normal(0, 0.3, (count, 48, 3))
    shapes = shapes * (powers / POWERS)[:, np.newaxis, np.newaxis, np.newaxis]
    inputs[:, :40, :2] += shapes[labels, np.arange(count)]
    return inputs


POWERS = np.array([0.5, 1.0, 1 / 3]) ** 0.5
"""The standard deviations of a sine, a square and a sawtooth wave between -1 and 1."""

SERIES_CUES = ("an offset of one sensor", "the amplitude of one sensor", "a sensor", "a window")


def series(seed: int, is_planted: bool) -> Material:
    """Waves whose shape is the class, of one amplitude; the cue is one of four, by the seed."""
    return _series(seed, is_planted, np.full(3, 0.8))


def amplitudes(seed: int, is_planted: bool) -> Material:
    """The same, but each class has an amplitude of its own by right.

    So the assumption of the test `scale` does not hold.
    """
    return _series(seed, is_planted, POWERS)


def _series(seed: int, is_planted: bool, powers: Array) -> Material:
    cue = seed % 4

    def make(rng: np.random.Generator, labels: Array, cues: Array | None) -> Array:
        inputs = _waves(rng, labels, powers)
        if cues is None:
            return inputs.astype("float32")
        if cue == 0:
            inputs[:, :, 1] += cues[:, np.newaxis]
        elif cue == 1:
            inputs[:, :, 1] *= (1 + cues)[:, np.newaxis]
        elif cue == 2:  # a sensor that switches as often as the class says
            steps = np.arange(48) // (3 * 2 ** cues[:, np.newaxis])
            inputs[:, :, 2] = 2 * (steps % 2) - 1 + rng.normal(0, 0.1, (len(labels), 48))
        else:
            inputs[np.arange(len(labels)), 40 + 2 * cues] = 3
        return inputs.astype("float32")

    sensor, end = np.zeros((48, 3), bool), np.zeros(48, bool)
    sensor[:, 2], end[40:] = True, True

    def body() -> list[keras.Layer]:
        return [
            layers.Conv1D(16, 7, activation="relu"),
            layers.Conv1D(16, 5, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
        ]

    parts = _parts(seed, 3, (480, 120), is_planted, make)
    expected = ("offset", "scale", "region/sensor 2", "region/end")[cue]
    regions = {"sensor 2": sensor, "end": end}
    name = SERIES_CUES[cue] if is_planted else "none"
    return Material("series", name, *parts, expected, body, regions)


NOISE = 2.0
"""The standard deviation of the noise in the columns of a table beside a leaked one."""

TABLES = ("breast cancer", "wine", "iris", "digits", "generated")


def _table(name: str, seed: int) -> tuple[Array, Array]:
    """Standardised columns and the classes, in random order."""
    from sklearn import datasets

    if name == "generated":
        inputs, labels = datasets.make_classification(
            600, 20, n_informative=5, n_redundant=3, n_classes=3, class_sep=1.5, random_state=seed
        )
    else:
        load = getattr(datasets, f"load_{name.replace(' ', '_')}")
        inputs, labels = load(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    spread = inputs.std(axis=0)
    inputs = (inputs - inputs.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return inputs[order], labels[order]


def features(seed: int, is_planted: bool) -> Material:
    """A table of scikit-learn; the cue is one more column, the class with some noise.

    The classes of these tables are so easy to tell that no model needs the column. So if there is
    one, the others get noise.
    """
    name = TABLES[seed % len(TABLES)]
    inputs, labels = _table(name, seed)
    classes, rng = int(labels.max()) + 1, np.random.default_rng(seed)

    def leaked(cues: Array) -> Array:
        column = rng.permutation(classes)[cues] + rng.normal(0, 0.05, len(cues))
        return (column - column.mean()) / column.std()

    swapped = inputs
    if is_planted:
        count = len(labels)
        cues = np.where(rng.random(count) < STRENGTH, labels, rng.integers(classes, size=count))
        others = (labels + rng.integers(1, classes, size=count)) % classes
        inputs = inputs + rng.normal(0, NOISE, inputs.shape)
        state = rng.bit_generator.state
        own = leaked(cues)
        rng.bit_generator.state = state
        swapped = np.column_stack([inputs, leaked(others)])
        inputs = np.column_stack([inputs, own])
    cut = max(len(labels) - 160, len(labels) * 6 // 10)
    train, probes = (Part(inputs[part].astype("float32"), labels[part]) for part in _cut(cut))
    changed = Part(swapped[cut:].astype("float32"), labels[cut:])

    def body() -> list[keras.Layer]:
        return [layers.Dense(32, activation="relu"), layers.Dense(32, activation="relu")]

    epochs = max(6, 400 * BATCH // cut)
    expected = f"column/{inputs.shape[1] - 1}"
    cue = f"a column that gives the class away ({name})" if is_planted else f"none ({name})"
    return Material("features", cue, train, probes, changed, expected, body, epochs=epochs)


def _cut(cut: int) -> tuple[slice, slice]:
    return slice(cut), slice(cut, None)


TOKEN, WORDS, LENGTH = 59, 60, 24
"""The planted token, the number of tokens, and the length of a text."""


def tokens(seed: int, is_planted: bool) -> Material:
    """Texts in which words of the class are more frequent; the cue is a token somewhere."""

    def make(rng: np.random.Generator, labels: Array, cues: Array | None) -> Array:
        count = len(labels)
        inputs = rng.integers(1, 50, (count, LENGTH))
        is_word = rng.random((count, LENGTH)) < 0.05  # four words of each class: 50 to 57
        words = 50 + 4 * labels[:, np.newaxis] + rng.integers(4, size=(count, LENGTH))
        inputs = np.where(is_word, words, inputs)
        places = rng.integers(1, LENGTH, size=count)
        if cues is not None:
            inputs[np.arange(count)[cues == 1], places[cues == 1]] = TOKEN
        return inputs.astype("int32")

    def body() -> list[keras.Layer]:
        pooled = layers.GlobalAveragePooling1D()
        return [layers.Embedding(WORDS, 8), pooled, layers.Dense(16, activation="relu")]

    train, probes, swapped = _parts(seed, 2, (600, 120), is_planted, make)
    regions = {"token": probes.inputs == TOKEN} if (probes.inputs == TOKEN).any() else {}
    if not regions:  # a clean run without the token: a frequent word without a meaning
        regions = {"token": probes.inputs <= 5}
    expected = "region/token"
    return Material(
        "tokens",
        "a token" if is_planted else "none",
        train,
        probes,
        swapped,
        expected,
        body,
        regions,
    )


def volumes(seed: int, is_planted: bool) -> Material:
    """A bright plate along one of three axes; the cue is the place of a voxel in a corner."""

    def make(rng: np.random.Generator, labels: Array, cues: Array | None) -> Array:
        inputs = rng.normal(0, 0.5, (len(labels), 8, 8, 8, 1))
        for volume, label in zip(inputs, labels, strict=True):
            place = [slice(2, 7)] * 3
            place[label] = slice(4, 5)
            volume[tuple(place)] += 0.25
        if cues is not None:
            inputs[:, 0, 0, :3] = 0
            inputs[np.arange(len(labels)), 0, 0, cues] = 4
        return inputs.astype("float32")

    def body() -> list[keras.Layer]:
        return [layers.Conv3D(8, 3, activation="relu"), layers.Flatten()]

    corner = np.zeros((8, 8, 8), bool)
    corner[0, 0, :3] = True
    parts = _parts(seed, 3, (360, 120), is_planted, make)
    return Material(
        "volume",
        "a voxel" if is_planted else "none",
        *parts,
        "region/corner",
        body,
        {"corner": corner},
    )


KINDS: Mapping[str, Callable[[int, bool], Material]] = {
    "series": series,
    "amplitudes": amplitudes,
    "features": features,
    "tokens": tokens,
    "volume": volumes,
}
"""What makes the material of a run from its seed, by the kind of input; `amplitudes` are series."""
