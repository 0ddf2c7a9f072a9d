"""When to run interventions: often at first, then less often, and whenever a metric changes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from keras_saliency.data.checks import check_choice, check_positive_int

FIRST = 4
"""The number of evaluations after the first that are always tested."""

ACCURACIES = {"probe_accuracy", "worst_group_accuracy"}
MOVED_ACCURACY = 0.1
"""An accuracy has moved if it changed by at least this much."""

ENRICHMENTS = {"enrichment", "object_enrichment", "border_enrichment"}
MOVED = 1.5
"""An enrichment has moved if it changed by at least this factor."""

NEGLIGIBLE, CHANCE = 1e-4, 1.0
"""Factors are meaningless for enrichments near 0. An enrichment below `NEGLIGIBLE` has moved if the
other value is at least `CHANCE`, the score of a random map."""


def is_log_spaced(count: int) -> bool:
    """Whether a count is 0 to 3 or a rounded power of sqrt(2): 4, 6, 8, 11, 16, 23, 32, ...

    Example:
        >>> [count for count in range(40) if is_log_spaced(count)]
        [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32]
    """
    if count < FIRST:
        return True
    exponent = round(2 * math.log2(count))
    return round(2 ** (exponent / 2)) == count


def has_moved(now: Mapping[str, float], then: Mapping[str, float]) -> bool:
    """Whether a metric that may propose a region has changed much since the last test.

    This is the case if an accuracy has changed by `MOVED_ACCURACY`, or an enrichment by the factor
    `MOVED`, or from nearly 0 to chance level or back. Metrics with `nan` are ignored.

    Args:
        now: The current metrics by name.
        then: The metrics at the last test.

    Example:
        >>> has_moved({"enrichment/tag": 3.0}, {"enrichment/tag": 1.0})
        True
        >>> has_moved({"enrichment/tag": 5.0}, {"enrichment/tag": 0.0})
        True
        >>> has_moved({"probe_accuracy": 0.75}, {"probe_accuracy": 0.7})
        False
    """
    for name, value in now.items():
        before = then.get(name, math.nan)
        kind = name.partition("/")[0]
        low, high = min(value, before), max(value, before)
        if kind in ACCURACIES and high - low >= MOVED_ACCURACY:
            return True
        if kind in ENRICHMENTS and high >= (CHANCE if low < NEGLIGIBLE else MOVED * low):
            return True
    return False


def check_update_freq(update_freq: object) -> int | str:
    """Checks the argument `update_freq`.

    Returns:
        `"epoch"`, or the number of batches between two evaluations during an epoch.

    Raises:
        TypeError: `update_freq` is not a string or an integer.
        ValueError: `update_freq` is an unknown string or an integer below 1.
    """
    if isinstance(update_freq, str):
        check_choice("update_freq", update_freq, ("epoch", "batch"))
        return "epoch" if update_freq == "epoch" else 1
    return check_positive_int(
        "update_freq", update_freq, hint="Pass a number of batches, or 'epoch' for epoch ends."
    )
