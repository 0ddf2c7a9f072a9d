"""The first domain: scikit-learn's handwritten digits, made hard to read."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.spurious.pictures import ImageSet

CLASSES = 10
NUM_TRAIN = 1200
PER_CLASS = 10
BACKGROUND = 0.15


def digits(
    seed: int,
    *,
    contrast: float = 0.5,
    noise: float = 0.12,
    shift: int = 2,
    side: int = 20,
    channels: int = 1,
) -> ImageSet:
    """All 1797 scans, doubled in size to 16 x 16, in a place of their own, covered with noise.

    Args:
        seed: Decides places and noise.
        contrast: The ink against the paper; the lower, the harder to read.
        noise: Standard deviation of the noise.
        shift: Pixels that a digit lies off the centre, at most, down and across; 0 puts all in
            one place.
        side: Height and width of the canvas; at 16 the digits touch its edges.
        channels: 1 or 3, all alike but for the noise.
    """
    rng = np.random.default_rng(seed)
    data = load_digits()
    scans = data.images.repeat(2, axis=1).repeat(2, axis=2) / 16
    canvas = np.zeros((len(scans), side, side))
    margin = (side - 16) // 2
    canvas[:, margin : margin + 16, margin : margin + 16] = scans
    places = rng.integers(-shift, shift + 1, size=(len(scans), 2))
    inks = np.stack(
        [np.roll(ink, place, axis=(0, 1)) for ink, place in zip(canvas, places, strict=True)]
    )
    clear = (contrast * inks + BACKGROUND)[..., np.newaxis]
    images = clear + rng.normal(0, noise, (*inks.shape, channels))
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32),
        labels=data.target.astype(np.int64),
        objects=inks > 0.25,
        draws=rng.integers(2**31, size=len(inks)),
        classes=CLASSES,
    )
