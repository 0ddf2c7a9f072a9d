"""From which measured effect on a model counts as relying on its artefact, and up to which not."""

from __future__ import annotations

from collections.abc import Mapping

RELIES = 0.2
DOES_NOT = 0.05


def verdict(effects: Mapping[int, float]) -> str:
    """What a run is: `"relies"`, `"does not"`, or `"between"`, which counts as neither.

    By the largest mean effect of three evaluations in a row, since 400 images tell an effect to
    some 0.03 only.

    Args:
        effects: The true effect by step.
    """
    values = [effects[step] for step in sorted(effects)]
    largest = max(sum(values[end - 3 : end]) / 3 for end in range(3, len(values) + 1))
    if largest >= RELIES:
        return "relies"
    return "does not" if largest <= DOES_NOT else "between"


def onset(effects: Mapping[int, float]) -> int | None:
    """The first step at which the model relies on the artefact; `None` if it never does."""
    return next((step for step in sorted(effects) if effects[step] >= RELIES), None)
