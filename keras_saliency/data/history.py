"""The history of a callback: one list for each column, all of the same length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def add_row(history: dict[str, list[Any]], row: Mapping[str, Any], *, replaces: bool) -> None:
    """Adds a row; values that it lacks, and those of new columns in earlier rows, are `nan`.

    Args:
        history: The lists by name, which are changed: `"fit"`, `"run"`, `"step"` and metrics.
        row: The values by name.
        replaces: Whether the row may be about the same state as the last one. If it has the same
            run and step, it takes the place of that one, and keeps its number of the fit.

    Example:
        >>> history = {"fit": [1], "run": ["saliency"], "step": [-1]}
        >>> add_row(history, {"fit": 1, "run": "saliency", "step": 0, "gini": 0.4}, replaces=False)
        >>> history["step"], history["gini"]
        ([-1, 0], [nan, 0.4])
    """
    latest = list(zip(history["run"], history["step"], strict=True))[-1:]
    if replaces and latest == [(row["run"], row["step"])]:
        before = {name: column.pop() for name, column in history.items()}
        row = {**before, **row, "fit": before["fit"]}
    rows = len(history["step"])
    for name in dict.fromkeys([*history, *row]):
        column = history.setdefault(name, [math.nan] * rows)
        column.append(row.get(name, math.nan))
