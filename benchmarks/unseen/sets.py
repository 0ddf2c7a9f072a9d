"""All image sets by name, and `Pictures`: a set as it is trained on, with a cue or without."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.unseen import colour, grey
from benchmarks.unseen.cues import CUES
from benchmarks.unseen.drawing import Array, Drawer, Rng


@dataclass(frozen=True)
class Set:
    """One image set.

    Attributes:
        draw: Draws one image.
        classes: How many classes there are.
        epochs: Enough to learn something.
        hard: Whether nothing is learned in so few epochs, so that the set only carries cues.
    """

    draw: Drawer
    classes: int
    epochs: int = 4
    hard: bool = False


SETS = {
    "board": Set(grey.board, 2),
    "lesion": Set(colour.lesion, 3),
    "earring": Set(grey.earring, 2, 5),
    "display": Set(grey.display, 8),
    "display/noise": Set(partial(grey.display, level=0.08), 8),
    "display/shift": Set(partial(grey.display, level=0.08, jitter=1), 8),
    "display/photo": Set(grey.display_on_photo, 8),
    "fruit": Set(colour.fruit, 4),
    "weave": Set(grey.weave, 4),
    "outline": Set(grey.outline, 4, 5),
    "letter": Set(grey.letter, 5, hard=True),
    "letter/clear": Set(partial(grey.letter, contrast=0.4, level=0.05), 5),
    "scene": Set(colour.scene, 3, hard=True),
    "lamps": Set(colour.lamps, 3),
    "lungs": Set(grey.lungs, 2, 5),
    "size": Set(grey.size, 2),
    "patch": Set(grey.patch, 3),
    "tail": Set(grey.tail, 2),
    "sign": Set(colour.sign, 4),
    "ring": Set(grey.ring, 4),
    "trace": Set(grey.trace, 3, 5),
    "photo": Set(colour.tinted_photo, 2, 5),
    "halves": Set(grey.halves, 2),
    "beard": Set(grey.beard, 2),
}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of one set, and the cue that is planted into them.

    Attributes:
        plain: Without the cue, float32 `(n, side, side, channels)` in 0..1.
        labels: The class of each image, int64 `(n,)`.
        masks: Where the object is, bool `(n, side, side)`; `None` if the set does not tell.
        classes: How many classes there are.
        cue: The name of the cue; empty without one.
    """

    plain: Array
    labels: Array
    masks: Array | None
    classes: int
    cue: str

    def __getitem__(self, part: slice) -> Pictures:
        """Some of the images."""
        masks = None if self.masks is None else self.masks[part]
        return Pictures(self.plain[part], self.labels[part], masks, self.classes, self.cue)

    def planted(self, codes: Array, rng: Rng) -> Array:
        """The images with the cue of these classes; without a cue, as they are."""
        if not self.cue:
            return self.plain
        plant = CUES[self.cue]
        masks = [None] * len(codes) if self.masks is None else self.masks
        images = [
            plant(image.copy(), int(code), self.classes, rng, mask)
            for image, code, mask in zip(self.plain, codes, masks, strict=True)
        ]
        return np.stack(images).astype(np.float32).clip(0, 1)


def pictures(name: str, cue: str, number: int, rng: Rng) -> Pictures:
    """So many images of a set, without their cue yet."""
    kind = SETS[name]
    labels = rng.integers(kind.classes, size=number)
    images, masks = zip(*(kind.draw(rng, int(label)) for label in labels), strict=True)
    return Pictures(
        np.stack(images).astype(np.float32).clip(0, 1),
        labels,
        None if masks[0] is None else np.stack(masks),
        kind.classes,
        cue,
    )


def codes(pictures: Pictures, correlation: float, rng: Rng) -> Array:
    """The classes that the cues tell: the right one so often, otherwise any."""
    labels = pictures.labels
    tells = rng.random(len(labels)) < correlation
    return np.where(tells, labels, rng.integers(0, pictures.classes, len(labels)))
