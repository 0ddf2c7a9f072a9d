"""When interventions are due: often in the beginning, then ever less, and whenever it matters."""

from __future__ import annotations

import math
from collections.abc import Mapping

from keras_saliency.data.checks import check_choice, check_positive_int

FIRST = 4
"""So many evaluations after the first are all tested."""

ACCURACIES = {"probe_accuracy", "worst_group_accuracy"}
MOVED_ACCURACY = 0.1
"""These have moved if they changed by so much, ..."""

ENRICHMENTS = {"enrichment", "object_enrichment", "border_enrichment"}
MOVED = 1.5
"""... and these, all of which may propose a region, if they changed by this factor."""

NEGLIGIBLE, CHANCE = 1e-4, 1.0
"""An enrichment below the first is as good as 0, of which no factor is large: it has moved once the
other one reaches the second, what a map that knows nothing scores."""


def is_log_spaced(count: int) -> bool:
    """Whether a count is one of 0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, ...: the powers of sqrt(2).

    Example:
        >>> [count for count in range(40) if is_log_spaced(count)]
        [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32]
    """
    if count < FIRST:
        return True
    exponent = round(2 * math.log2(count))
    return round(2 ** (exponent / 2)) == count


def has_moved(now: Mapping[str, float], then: Mapping[str, float]) -> bool:
    """Whether a metric that may propose a region changed much since the last test.

    An accuracy has moved by `MOVED_ACCURACY`, an enrichment by the factor `MOVED`, or from nearly 0
    to chance level or back. What is `nan` now or then has not moved.

    Args:
        now: Metrics, by name.
        then: The same at the last test.

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
    """`"epoch"`, or how many batches lie between two evaluations inside an epoch.

    Raises:
        TypeError: Neither a string nor an integer.
        ValueError: An unknown string, or an integer below 1.
    """
    if isinstance(update_freq, str):
        check_choice("update_freq", update_freq, ("epoch", "batch"))
        return "epoch" if update_freq == "epoch" else 1
    return check_positive_int(
        "update_freq", update_freq, hint="It counts batches; 'epoch' is at epoch ends only."
    )
