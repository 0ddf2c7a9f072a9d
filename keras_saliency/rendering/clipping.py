"""Clipping: the percentile of a map at which its colours end, for which inputs, and in words.

It is a percentile of the map's values other than 0, see `keras_saliency.rendering.heatmaps.limits`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CLIPPED_KINDS = ("image", "volume")
"""The kinds of inputs with clipped maps. The others have few values, which lines and bars show."""


def percentile_for(kind: str, clip_percentile: float) -> float:
    """The percentile at which the maps of a kind of input end: 100 if they are not clipped.

    Example:
        >>> percentile_for("image", 99), percentile_for("series", 99)
        (99, 100)
    """
    return clip_percentile if kind in CLIPPED_KINDS else 100


def percentile_name(percentile: float) -> str:
    """The name of a percentile in captions.

    Example:
        >>> [percentile_name(percentile) for percentile in (99, 91, 99.5, 100)]
        ['99th percentile', '91st percentile', '99.5th percentile', 'maximum']
    """
    if percentile == 100:
        return "maximum"
    digits = f"{percentile:g}"
    is_teen = digits in ("11", "12", "13")
    ending = {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")
    return f"{digits}{'th' if is_teen or '.' in digits else ending} percentile"


def end_of_colors(limit: float, peak: float, scale: str, clip_percentile: float) -> str:
    """Says where the colours of a map end, for captions; `""` if they end at a maximum as usual.

    Args:
        limit: The result of `heatmaps.limits` for the map.
        peak: The result of `heatmaps.peaks`.
        scale: As in `heatmaps.limits`.
        clip_percentile: As in `heatmaps.limits`.

    Example:
        >>> end_of_colors(0.21, 0.83, "epoch", 99)
        'colours end at 0.21 (99th percentile)'
    """
    if clip_percentile == 100:
        return ""
    reason = percentile_name(100 if limit == peak else clip_percentile)
    if scale != "epoch":
        reason = f"largest {percentile_name(clip_percentile)}"
    return f"colours end at {limit:.3g} ({reason})"


def check_percentile(clip_percentile: Any) -> float:
    """Checks the argument `clip_percentile` and returns it as Python's int or float.

    Raises:
        TypeError: Not a number.
        ValueError: Not above 0, or above 100.
    """
    number: Any = (
        clip_percentile.item() if isinstance(clip_percentile, np.generic) else clip_percentile
    )
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and 0 < number <= 100:
        return float(number) if isinstance(number, float) else int(number)
    error = ValueError if is_number else TypeError
    raise error(
        "clip_percentile: expected a number above 0, at most 100, received "
        f"{clip_percentile!r}. Pass the percentile of a map at which colours end, such as 99, or "
        "100 for the maximum."
    )
