"""From a run to what it trains on, its probes, and the images that tell the truth about it."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from benchmarks.spurious import digits, faces, garments, letters, scans, shapes, textures
from benchmarks.spurious.artefacts import Artefact, artefact, drawn_codes, plant
from benchmarks.spurious.pictures import (
    Array,
    ImageSet,
    Split,
    Window,
    boxes,
    dilated,
    evenly,
    split,
    stratified,
)
from benchmarks.spurious.plan import Run
from keras_saliency import ProbeSet

BATCH_SIZE = 32
LATE = 4
"""The first epoch, counted from 0, in which the artefact of a late run is there, and that of one
that goes away means nothing any more."""


MIRRORED = ("shapes", "garments", "scans", "faces", "textures")
"""Domains of which a mirror image has the same class; the others are not mirrored in training."""


def pictures_of(run: Run) -> tuple[ImageSet, int, int]:
    """All pictures of a run, how many are for training, and how many of a class are probes."""
    look = {"contrast": run.contrast, "noise": run.noise}
    if run.domain == "digits":
        pictures = digits.digits(
            run.seed,
            shift=0 if run.layout == "fixed" else 2,
            side=16 if run.layout == "edge" else 20,
            channels=3 if run.artefact == "colour" else 1,
            **look,
        )
        return pictures, digits.NUM_TRAIN, digits.PER_CLASS
    if run.domain == "shapes":
        pictures = shapes.shapes(run.seed, reaching=run.layout == "edge", **look)
        return pictures, shapes.NUM_TRAIN, shapes.PER_CLASS
    if run.domain == "letters":
        return letters.letters(run.seed, **look), letters.NUM_TRAIN, letters.PER_CLASS
    if run.domain == "garments":
        return garments.garments(run.seed, **look), garments.NUM_TRAIN, garments.PER_CLASS
    if run.domain == "scans":
        pictures = scans.scans(run.seed, layout=run.layout, **look)
        return pictures, scans.NUM_TRAIN, scans.PER_CLASS
    if run.domain == "faces":
        pictures = faces.faces(run.seed, hair=run.layout == "edge", **look)
        return pictures, faces.NUM_TRAIN, faces.PER_CLASS
    if run.domain == "textures" and run.layout == "object":
        numbers = textures.ON_OBJECTS
        return textures.objects(run.seed, **look), numbers["train"], numbers["per class"]
    if run.domain == "textures":
        return textures.textures(run.seed, **look), textures.NUM_TRAIN, textures.PER_CLASS
    raise ValueError(f"unknown domain {run.domain!r}")


def material(run: Run) -> Split:
    """Training pictures, probes and test of a run, none with an artefact yet."""
    parts = split(*pictures_of(run), run.seed)
    if run.imbalance > 1:
        parts = dataclasses.replace(parts, train=_imbalanced(parts.train, run))
    if run.label_noise:
        parts = dataclasses.replace(
            parts,
            train=_mislabelled(parts.train, run, seed=0),
            probes=_mislabelled(parts.probes, run, seed=1),
        )
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


def _imbalanced(train: ImageSet, run: Run) -> ImageSet:
    """Fewer images of the upper half of the classes; as many as there were of the lower half."""
    upper = np.flatnonzero(train.labels >= train.classes / 2)
    dropped = upper[round(len(upper) / run.imbalance) :]
    return train.take(np.setdiff1d(np.arange(len(train)), dropped))


def _mislabelled(pictures: ImageSet, run: Run, seed: int) -> ImageSet:
    """With a wrong label on a share of the pictures."""
    rng = np.random.default_rng([run.seed, 15, seed])
    others = rng.integers(1, pictures.classes, size=len(pictures))
    wrong = (pictures.labels + others) % pictures.classes
    chosen = rng.random(len(pictures)) < run.label_noise
    return pictures.labelled(np.where(chosen, wrong, pictures.labels))


def artefact_of(run: Run) -> Artefact:
    """The artefact of a run."""
    return artefact(run.artefact, seed=run.seed, size=run.size, where=run.where)


def planted(run: Run, pictures: ImageSet, codes: Array) -> Array:
    """The pictures with the run's artefact."""
    return plant(pictures, artefact_of(run), codes, seed=run.seed, amplitude=run.amplitude)


def as_in_training(run: Run, pictures: ImageSet, seed: int) -> Array:
    """Images as the stored training data are: with the run's artefact, if it ever has one."""
    if run.schedule == "never":
        return pictures.images
    rng = np.random.default_rng([run.seed, 11, seed])
    return planted(run, pictures, drawn_codes(pictures, run.rho, rng))


NUM_FEW = 16
"""Probes of a user who has few."""


def probe_sets(run: Run, pictures: ImageSet) -> dict[str, ProbeSet]:
    """The probes of a run, by the name of each watch, see `Run.watches`.

    Artefacts without a place have no region.
    """
    images, labels = as_in_training(run, pictures, seed=1), pictures.labels
    sets = {"nothing": ProbeSet(images, labels)}
    if "exact" in run.watches:
        sets["exact"] = ProbeSet(images, labels, masks=dilated(pictures.objects))
    if "box" in run.watches:
        sets["box"] = ProbeSet(images, labels, masks=dilated(boxes(pictures.objects)))
    places = named_places(run, images.shape[1])
    if "region" in run.watches and places:
        region = np.zeros(images.shape[1:3], bool)
        for top, left, height, width in places:
            region[top : top + height, left : left + width] = True
        sets["region"] = ProbeSet(images, labels, regions={"named": region})
    if "few" in run.watches:
        chosen = evenly(labels, NUM_FEW)
        sets["few"] = ProbeSet(images[chosen], labels[chosen])
    return sets


def named_places(run: Run, side: int) -> tuple[Window, ...]:
    """The windows of the region that the user of this run is worried about."""
    places = artefact_of(run).places(side)
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
        images = self._images[chosen]
        if self._run.augment:
            rng = np.random.default_rng([self._run.seed, 16, self._epoch, index])
            images = _augmented(images, rng, flips=self._run.domain in MIRRORED)
        return images, self._pictures.labels[chosen]

    def on_epoch_end(self) -> None:
        """Makes the images and the order of the next epoch."""
        self._epoch += 1
        rng = np.random.default_rng([self._run.seed, 13, self._epoch])
        self._order = rng.permutation(len(self._pictures))
        self._images = self._stored
        if self._run.schedule == "late" and self._epoch < LATE:
            self._images = self._pictures.images
        elif self._run.schedule == "swapped" or (
            self._run.schedule == "gone" and self._epoch >= LATE
        ):
            codes = drawn_codes(self._pictures, 0.0, rng)
            self._images = planted(self._run, self._pictures, codes)


def _augmented(images: Array, rng: np.random.Generator, *, flips: bool) -> Array:
    """Images moved by up to two pixels, some mirrored, some darker or brighter by up to a tenth.

    What is moved out at one side comes in at the other, as `np.roll` does it.
    """
    moves = rng.integers(-2, 3, size=(len(images), 2))
    moved = np.stack(
        [np.roll(image, move, axis=(0, 1)) for image, move in zip(images, moves, strict=True)]
    )
    if flips:
        mirrored = rng.random(len(images)) < 0.5
        moved[mirrored] = moved[mirrored, :, ::-1]
    light = rng.uniform(-0.1, 0.1, (len(images), 1, 1, 1))
    light[rng.random(len(images)) < 0.5] = 0
    return np.clip(moved + light, 0, 1).astype(np.float32)
