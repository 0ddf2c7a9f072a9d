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
    test: InterventionTest, place: Array | Window | None, shape: tuple[int, ...]
) -> Array:
    """Where a remedy exchanges: the place of a test, in images with a margin.

    Args:
        test: The row of the table.
        place: A mask, or a window of an image; `None` for tests in `RINGS`.
        shape: Of an input, without the batch.

    Returns:
        bool, the axes of the place.

    Raises:
        ValueError: The place is missing, or does not fit the inputs.
    """
    is_image = len(shape) == 3
    size = f"inputs of shape {shape}"
    if place is None and test.name in RINGS:
        mask = border(shape[0], shape[1], RINGS[test.name])
    elif place is None:
        raise ValueError(
            f"place: expected a mask or a window, since {test.name!r} is a test of any place, "
            "received None. Pass place=, or use alert.remedy(), which knows it. If it differs "
            "between inputs, pass masks= in the call: remedy(x, training=True, masks=...)."
        )
    elif isinstance(place, Window):
        last = place.top + place.height, place.left + place.width
        if not is_image or last[0] > shape[0] or last[1] > shape[1]:
            raise ValueError(
                f"place: expected a window (top, left, height, width) within {size}, received "
                f"{tuple(place)}."
            )
        mask = window_mask(place, shape[0], shape[1])
    else:
        mask = place
    if mask.shape not in (shape, shape[:-1]):
        raise ValueError(
            f"place: expected a mask for {size}, received one of shape {mask.shape}. Put the "
            "remedy where the inputs have the shape of the probes."
        )
    if not is_image or mask.ndim != 2:
        return mask
    margin = math.ceil(MARGIN * min(mask.shape))
    return np.asarray(binary_dilation(mask, np.ones((3, 3)), iterations=margin))


def remedy_line(effect: Effect, test: InterventionTest, *, has_inputs: bool = False) -> str:
    """The line of code that takes away what a test exchanges; empty if there is none.

    Args:
        effect: Of the test.
        test: The row of the table.
        has_inputs: Whether the model has several inputs. The alert knows which one to change.

    Example:
        >>> effect = Effect("hot_window", window=Window(0, 16, 4, 4))
        >>> remedy_line(effect, TESTS["hot_window"])
        "train_ds = train_ds.map(ks.remedy('hot_window', (0, 16, 4, 4)).map)"
    """
    if test.edit not in NAMES or test.name not in TESTS:
        return ""
    has_place = not takes_place(test) or effect.window is not None or effect.place is not None
    if has_inputs and has_place:
        call = "alert.remedy()"
    elif not takes_place(test):
        call = f"ks.remedy({test.name!r})"
    elif effect.window is not None:
        call = f"ks.remedy({test.name!r}, {tuple(effect.window)})"
    elif effect.place is not None or test.name in RINGS:
        call = "alert.remedy()"
    else:
        call = f"ks.remedy({test.name!r})(x, training=True, masks=place(x))"
        return f"train_ds = train_ds.map(lambda x, y: ({call}, y)), with the place in each input"
    return f"train_ds = train_ds.map({call}.map)"
