"""Scans of a body that fills the image; the class is whether there is a small lesion.

A lesion is only a few pixels, but it is the class: that a place is small proves nothing here.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from benchmarks.spurious.pictures import Array, ImageSet

CLASSES = 2  # without, with a lesion
NUM_IMAGES = 1900
NUM_TRAIN = 1300
PER_CLASS = 36
SIDE = 36
HOME = (0.15, -0.38)  # where a fixed lesion is, down and across, the image being from -1 to 1
REACH = {"fixed": 0, "jittered": 4}  # pixels from there, down and across
FAINTER = {"fixed": 0.4, "jittered": 0.65, "free": 0.9}  # the easier to find, the fainter
ROOM = 0.6  # a lesion without a home lies within this share of the half axes of the body


def scans(
    seed: int, *, contrast: float = 0.5, noise: float = 0.12, layout: str = "free"
) -> ImageSet:
    """Trunks with a spine, ribs and soft organs that differ from image to image.

    Args:
        seed: Decides everything.
        contrast: Of the lesion, about; some have half as much. Those in one place are fainter.
        noise: The noise has half this standard deviation.
        layout: Where the lesion is: `"fixed"`, in one place; `"jittered"`, up to four pixels from
            there; `"free"`, anywhere in the inner part of the body.

    Returns:
        The objects are the lesions, or for images without one a place where one might be.
    """
    rng = np.random.default_rng([seed, 22])
    labels = rng.integers(CLASSES, size=NUM_IMAGES)
    bodies = np.stack([_body(rng) for _ in labels])
    lesions = np.stack([_lesion(layout, rng) for _ in labels])
    strengths = contrast * FAINTER[layout] * rng.uniform(0.5, 1.5, NUM_IMAGES) * labels
    clear = bodies + strengths[:, np.newaxis, np.newaxis] * lesions
    images = clear + rng.normal(0, noise / 2, clear.shape)
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32)[..., np.newaxis],
        labels=labels,
        objects=lesions > 0.1,
        draws=rng.integers(2**31, size=NUM_IMAGES),
        classes=CLASSES,
    )


def _body(rng: np.random.Generator) -> Array:
    """One body without a lesion, `(36, 36)`, about 0.05 to 0.75."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    down = (rows - rng.uniform(-0.06, 0.06)) / rng.uniform(1.05, 1.25)
    across = (columns - rng.uniform(-0.05, 0.05)) / rng.uniform(0.85, 0.98)
    inside = _soft(1 - (down**4 + across**4) ** 0.25, 0.05)
    body = 0.3 + 0.1 * rng.random() + 0.1 * _soft((down**2 + across**2) - 0.75, 0.1)
    for sign in (-1, 1):  # the lungs
        middle, width = sign * rng.uniform(0.38, 0.48), rng.uniform(0.24, 0.34)
        top, height = rng.uniform(-0.2, 0.05), rng.uniform(0.5, 0.7)
        lung = _soft(1 - np.hypot((across - middle) / width, (down - top) / height), 0.15)
        body = body - rng.uniform(0.1, 0.2) * lung
    spacing, bend, phase = rng.uniform(0.26, 0.36), rng.uniform(0.2, 0.5), rng.random()
    waves = np.cos(2 * np.pi * ((down + bend * across**2) / spacing + phase))
    body = body + rng.uniform(0.05, 0.1) * waves * _soft(abs(across) - 0.15, 0.08)
    body = body + rng.uniform(0.1, 0.2) * _soft(0.1 - abs(across), 0.03)  # the spine
    organs = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2.5)
    body = body + rng.uniform(0.03, 0.06) * organs / organs.std()
    return 0.06 + inside * (body - 0.06)


def _lesion(layout: str, rng: np.random.Generator) -> Array:
    """A soft blob of 3 to 6 pixels with a ragged outline, `(36, 36)` in 0..1."""
    middle = (SIDE - 1) / 2
    if layout == "free":
        angle, radius = rng.uniform(0, 2 * np.pi), ROOM * np.sqrt(rng.random())
        place = middle * (1 + radius * np.array([np.sin(angle), np.cos(angle)]))
    else:
        reach = REACH[layout]
        place = middle * (1 + np.array(HOME)) + rng.uniform(-reach, reach, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE] - place[:, np.newaxis, np.newaxis]
    angles = np.arctan2(rows, columns)
    raggedness = rng.uniform(0, 0.3) * np.sin(rng.integers(2, 5) * angles + rng.uniform(0, 6))
    turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.7, 1)
    along = np.cos(turn) * rows + np.sin(turn) * columns
    beside = (np.cos(turn) * columns - np.sin(turn) * rows) / ratio
    radius = rng.uniform(1.5, 3) * (1 + raggedness)
    return _soft(1 - np.hypot(along, beside) / radius, 0.3)


def _soft(values: Array, width: float) -> Array:
    """A step from 0 to 1 where the values become positive, so wide."""
    step: Array = 1 / (1 + np.exp(-np.clip(4 * values / width, -30, 30)))
    return step
