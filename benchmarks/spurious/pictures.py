"""`ImageSet`: images that carry no artefact yet, and where their object is.

Everywhere in this benchmark images are float32 `(n, height, width, channels)` in 0..1, labels and
codes are int64 `(n,)`, masks are bool `(n, height, width)`, `True` on the object.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Window = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, and all that is needed to plant an artefact into each of them.

    Attributes:
        images: Without the artefact, noise included.
        labels: The class of the object.
        objects: Where the object is, to the pixel.
        draws: `(n,)` int64, a number of each image's own, for what an artefact leaves to chance
            (which corner, which phase): an image planted twice gets the same again.
        classes: How many classes there are.
    """

    images: Array
    labels: Array
    objects: Array
    draws: Array
    classes: int

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Array) -> ImageSet:
        """The pictures at these places, in this order."""
        return ImageSet(
            self.images[index],
            self.labels[index],
            self.objects[index],
            self.draws[index],
            self.classes,
        )

    def labelled(self, labels: Array) -> ImageSet:
        """The same pictures under other labels."""
        return dataclasses.replace(self, labels=labels)


@dataclass(frozen=True, eq=False)
class Split:
    """What a run trains on, is asked about, and is judged by; no picture is in two of them."""

    train: ImageSet
    probes: ImageSet
    test: ImageSet


def split(pictures: ImageSet, num_train: int, per_class: int, seed: int) -> Split:
    """Draws the training images, then so many probes of each class; the rest is the test.

    Args:
        pictures: All of them.
        num_train: Training images.
        per_class: Probes of each class.
        seed: Another seed, another draw.
    """
    order = np.random.default_rng(1000 + seed).permutation(len(pictures))
    train, held_out = order[:num_train], order[num_train:]
    probes = stratified(pictures.labels[held_out], per_class)
    rest = np.setdiff1d(np.arange(len(held_out)), probes)
    return Split(
        pictures.take(train), pictures.take(held_out[probes]), pictures.take(held_out[rest])
    )


def stratified(labels: Array, per_class: int) -> Array:
    """The places of the first `per_class` items of every class, class by class."""
    return np.concatenate(
        [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
    )


def evenly(labels: Array, count: int) -> Array:
    """The places of so many items, sorted: the first of every class, the second of each, ..."""
    turn = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return np.sort(turn.argsort(kind="stable")[:count])


def dilated(masks: Array) -> Array:
    """Masks grown by one pixel in all eight directions."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    height, width = masks.shape[1:]
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    grown: Array = np.any(shifted, axis=0)
    return grown


def boxes(masks: Array) -> Array:
    """The smallest upright rectangle around each mask, filled; an empty mask stays empty."""
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    return _between(rows)[:, :, np.newaxis] & _between(columns)[:, np.newaxis, :]


def _between(lines: Array) -> Array:
    """`True` from the first `True` to the last, row by row."""
    forth = np.logical_or.accumulate(lines, axis=1)
    back = np.logical_or.accumulate(lines[:, ::-1], axis=1)[:, ::-1]
    between: Array = forth & back
    return between
