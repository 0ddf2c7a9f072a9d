"""From a run to what it trains on, its probes, and the images that tell the truth about it."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from benchmarks.spurious import digits, shapes
from benchmarks.spurious.artefacts import ARTEFACTS, Window, drawn_codes, plant
from benchmarks.spurious.pictures import (
    Array,
    ImageSet,
    Split,
    boxes,
    dilated,
    split,
    stratified,
)
from benchmarks.spurious.plan import Run
from keras_saliency import ProbeSet

BATCH_SIZE = 32
LATE = 4  # the first epoch, counted from 0, in which the artefact of a late run is there


def material(run: Run) -> Split:
    """Training pictures, probes and test of a run, none with an artefact yet."""
    if run.domain == "shapes":
        pictures = shapes.shapes(
            run.seed, contrast=run.contrast, noise=run.noise, reaching=run.layout == "edge"
        )
        parts = split(pictures, shapes.NUM_TRAIN, shapes.PER_CLASS, run.seed)
    else:
        pictures = digits.digits(
            run.seed,
            contrast=run.contrast,
            noise=run.noise,
            shift=0 if run.layout == "fixed" else 2,
            side=16 if run.layout == "edge" else 20,
            channels=3 if run.artefact == "colour" else 1,
        )
        parts = split(pictures, digits.NUM_TRAIN, digits.PER_CLASS, run.seed)
    if run.labels == "shuffled":
        shuffle = np.random.default_rng([run.seed, 10]).permutation
        train = parts.train.labelled(shuffle(parts.train.labels))
        parts = dataclasses.replace(
            parts, train=train, probes=parts.probes.labelled(shuffle(parts.probes.labels))
        )
    if run.probes == "trained":
        per_class = len(parts.probes) // parts.probes.classes
        chosen = stratified(parts.train.labels, per_class)
        parts = dataclasses.replace(parts, probes=parts.train.take(chosen))
    return parts


def planted(run: Run, pictures: ImageSet, codes: Array) -> Array:
    """The pictures with the run's artefact."""
    return plant(pictures, run.artefact, codes, seed=run.seed, amplitude=run.amplitude)


def as_in_training(run: Run, pictures: ImageSet, seed: int) -> Array:
    """Images as the stored training data are: with the run's artefact, if it ever has one."""
    if run.schedule == "never":
        return pictures.images
    rng = np.random.default_rng([run.seed, 11, seed])
    return planted(run, pictures, drawn_codes(pictures, run.rho, rng))


def probe_sets(run: Run, pictures: ImageSet) -> dict[str, ProbeSet]:
    """The probes of a run, once for each kind of mask it is watched with, by the kind's name."""
    images = as_in_training(run, pictures, seed=1)
    masks = {"exact": dilated(pictures.objects), "box": dilated(boxes(pictures.objects))}
    region = np.zeros(images.shape[1:3], bool)
    for top, left, height, width in named_places(run, images.shape[1]):
        region[top : top + height, left : left + width] = True
    regions = {"named": region} if region.any() else None
    return {
        name: ProbeSet(images, pictures.labels, masks=masks[name], regions=regions)
        for name in run.masks
    }


def named_places(run: Run, side: int) -> tuple[Window, ...]:
    """The windows of the region that the user of this run is worried about."""
    places = ARTEFACTS[run.artefact].places(side)
    if run.region == "planted" or not places:
        return places
    height, width = places[0][2:]
    if run.region == "elsewhere":
        return ((side - height, side - width, height, width),)
    rng = np.random.default_rng([run.seed, 12])
    top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
    return ((int(top), int(left), height, width),)


class Batches(keras.utils.PyDataset):
    """The training data of a run, in an order drawn anew for each epoch."""

    def __init__(self, run: Run, pictures: ImageSet) -> None:
        super().__init__()
        self._run, self._pictures = run, pictures
        self._stored = as_in_training(run, pictures, seed=0)
        self._epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._pictures) // BATCH_SIZE)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        chosen = self._order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        return self._images[chosen], self._pictures.labels[chosen]

    def on_epoch_end(self) -> None:
        """Makes the images and the order of the next epoch."""
        self._epoch += 1
        rng = np.random.default_rng([self._run.seed, 13, self._epoch])
        self._order = rng.permutation(len(self._pictures))
        self._images = self._stored
        if self._run.schedule == "late" and self._epoch < LATE:
            self._images = self._pictures.images
        elif self._run.schedule == "swapped":
            codes = drawn_codes(self._pictures, 0.0, rng)
            self._images = planted(self._run, self._pictures, codes)
