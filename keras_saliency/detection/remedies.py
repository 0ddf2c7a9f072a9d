"""Remedies: what training exchanges to take away what a test names, and the line that does it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.ndimage import binary_dilation

from keras_saliency.data.reports import Array, Effect, Window
from keras_saliency.detection.edits import NAMES
from keras_saliency.detection.places import BORDER, THIN_BORDER
from keras_saliency.detection.proposals import OUTER, window_mask
from keras_saliency.detection.tests import TESTS, InterventionTest
from keras_saliency.metrics.localization import border

BACKGROUNDS = ("background", "estimated_background")
"""Tests of all that lies outside of the objects."""

RINGS: Mapping[str, float] = {"border": BORDER, "thin_border": THIN_BORDER, "own_hot_spot": OUTER}
"""Tests near the border: the width of what is exchanged without a place, as a share of the image's
shorter side."""

ALSO: Mapping[str, str] = {"spectrum": "high_frequency"}
"""By edit, another one that is made first: blurred or compressed images lack details that no change
of their spectrum brings back."""

MARGIN = 0.05
"""How much wider than the test's the exchanged place is on each side, as a share of the image's
shorter side: a test may have found only a part of the cue."""


def takes_place(test: InterventionTest) -> bool:
    """Whether a remedy can be told the place; the others find it by the name of the test."""
    return test.propose is not None and test.name not in ("border", "thin_border", *BACKGROUNDS)


def widened_place(
    test: InterventionTest, place: Array | Window | None, height: int, width: int
) -> Array:
    """Where a remedy exchanges: the place of a test with a margin, bool `(height, width)`.

    Args:
        test: The row of the table.
        place: A mask of that size or a window; `None` for tests in `RINGS`.
        height: The height of the images in pixels.
        width: Their width.

    Raises:
        ValueError: There is no place, or it does not fit the images.
    """
    size = f"images of {height} x {width} pixels"
    if place is None and test.name in RINGS:
        mask = border(height, width, RINGS[test.name])
    elif place is None:
        raise ValueError(
            f"place: expected a mask or a window, since {test.name!r} is a test of any place, "
            "received None. Use alert.remedy(), which knows the place, or pass place=."
        )
    elif isinstance(place, Window):
        if place.top + place.height > height or place.left + place.width > width:
            raise ValueError(
                f"place: expected a window (top, left, height, width) within {size}, received "
                f"{tuple(place)}."
            )
        mask = window_mask(place, height, width)
    else:
        mask = place
    if mask.shape != (height, width):
        raise ValueError(
            f"place: expected a mask for {size}, received one of shape {mask.shape}. Put the "
            "remedy where images have the size of the probes."
        )
    margin = math.ceil(MARGIN * min(height, width))
    return np.asarray(binary_dilation(mask, np.ones((3, 3)), iterations=margin))


def remedy_line(effect: Effect, test: InterventionTest) -> str:
    """The line of code that takes away what a test exchanges; empty if there is none.

    Args:
        effect: Of the test.
        test: The row of the table.

    Example:
        >>> effect = Effect("hot_window", window=Window(0, 16, 4, 4))
        >>> remedy_line(effect, TESTS["hot_window"])
        "train_ds = train_ds.map(ks.remedy('hot_window', (0, 16, 4, 4)).map)"
    """
    if test.edit not in NAMES or test.name not in TESTS:
        return ""
    if not takes_place(test):
        call = f"ks.remedy({test.name!r})"
    elif effect.window is None:
        call = "alert.remedy()"
    else:
        call = f"ks.remedy({test.name!r}, {tuple(effect.window)})"
    return f"train_ds = train_ds.map({call}.map)"
