"""Explaining away: of tests that fire for the same cue, which one names it.

A tag in a corner changes the answers when the tag is exchanged, but also when the border is, or the
background. If the tag stays as it is while the border is exchanged, and the border then has hardly
any effect, it is the tag. So for each pair of tests that fire, one thing is exchanged with a donor
that was given the other one of its recipient.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from keras_saliency.data.reports import Effect
from keras_saliency.detection.effects import SwapExperiment
from keras_saliency.detection.swaps import Readiness, Swap
from keras_saliency.detection.tests import row_name

REMAINS = 0.35
"""An effect of which at most this share remains is explained, and one of half its floor."""

COMPARABLE = 0.75
"""An effect is not explained by one that is smaller than this share of it."""

WIDE_PATTERN = "repeated_pattern without a window"
"""A repeated pattern that surrounds the image is named by its border."""

SPECIFIC = (
    *("region", "repeated_pattern", "own_hot_spot", "hot_window", "class_hot_spot", "column"),
    *("border_patch", "thin_border", "border", WIDE_PATTERN, "spectrum", "high_frequency"),
    *("offset", "scale", "tint", "background", "estimated_background"),
)
"""Rows of the table, from the most specific to the vaguest; if two explain each other, the first
counts. Custom tests come before all."""


def explained(
    firing: Mapping[str, Effect],
    swaps: Mapping[str, Swap],
    experiment: SwapExperiment,
    readiness: Readiness,
    standing: Collection[str] = (),
) -> dict[str, str]:
    """Finds out which of several tests that fire are explained by another one.

    Args:
        firing: By test, the effects that fire.
        swaps: By test, what was exchanged.
        experiment: Of this model and these probes.
        readiness: Of the same.
        standing: Tests whose alerts stand. They come before all others, however specific, so that
            a cue keeps its name.

    Returns:
        By the tests that are explained, the test that explains them; that is not explained itself.
    """

    def explains(one: str, other: str) -> bool:
        if one not in standing and firing[one].effect < COMPARABLE * firing[other].effect:
            return False
        remaining = experiment.remaining(swaps[other], swaps[one], readiness)
        return remaining <= max(REMAINS * firing[other].effect, swaps[other].floor / 2)

    rank = {test: (test not in standing, _rank(swaps[test])) for test in firing if test in swaps}
    order = sorted(rank, key=lambda test: (rank[test], test))
    by: dict[str, str] = {}
    for number, one in enumerate(order):
        if one not in by:
            by |= {
                other: one
                for other in order[number + 1 :]
                if other not in by and explains(one, other)
            }
    for one in [test for test in reversed(order) if test not in by]:
        for other in [test for test in order if test not in by]:
            if rank[other] < rank[one] and one not in by and explains(one, other):
                by = {test: one if head == other else head for test, head in by.items()}
                by[other] = one
    return by


def _rank(swap: Swap) -> int:
    row = row_name(swap.test)
    if row == "repeated_pattern" and swap.window is None:
        row = WIDE_PATTERN
    return SPECIFIC.index(row) if row in SPECIFIC else -1
