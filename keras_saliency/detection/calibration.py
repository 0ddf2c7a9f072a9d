"""Baselines of one's own: how large effects are in runs that are known to be good."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.detection.alerts import RULES, rule_name

Baseline = str | Path | Mapping[str, float] | None
"""A file of `calibrate`'s, its floors by test, or none."""

QUANTILE = 0.99

_FORMAT = 1


def calibrate(runs: Sequence[Any], path: str | Path | None = None) -> dict[str, float]:
    """From runs known to be good, how large an effect has to be for an alert.

    The floor of a test is the 99 % quantile of its effects over all evaluations from epoch 0 on,
    and at least 0 and at most 1: good runs may have effects slightly below 0, and effects in units
    of the score may pass 1.
    `SaliencyCallback(baseline=...)` then uses whichever is larger, that or the rule's own floor:
    a baseline makes alerts rarer, never more frequent.

    Args:
        runs: `SaliencyCallback`s after their `fit`, or their `history` dicts (which can be kept as
            JSON). Use the same kind of model and data; ten runs and more make a fair quantile.
        path: A JSON file to write, for `SaliencyCallback(baseline=path)`.

    Returns:
        The floors, by test, in 0..1.

    Raises:
        TypeError: A run is neither; or a single run, not in a list.
        ValueError: There is no run, or none made interventions.

    Example:
        >>> history = {"step": [-1, 0, 1], "effect/border": [0.9, 0.1, 0.3]}
        >>> calibrate([history])
        {'border': 0.298}
    """
    if isinstance(runs, Mapping) or not isinstance(runs, Iterable):
        raise TypeError(f"runs: expected a list of runs, received {type(runs).__name__}.")
    histories = [_history(run) for run in runs]
    values: dict[str, list[float]] = {}
    for history in histories:
        for name in history:
            prefix, _, test = name.partition("/")
            if prefix != "effect" or rule_name(test) not in RULES:
                continue
            pairs = zip(history["step"], history[name], strict=True)
            found = [value for step, value in pairs if step >= 0 and np.isfinite(value)]
            values.setdefault(test, []).extend(found)
    floors = {
        test: round(min(1.0, max(0.0, float(np.quantile(found, QUANTILE)))), 6)
        for test, found in sorted(values.items())
        if found
    }
    if not floors:
        raise ValueError(
            "runs: expected at least one run with interventions, received "
            f"{len(histories)} run{'s' if len(histories) != 1 else ''} without. Train with "
            "SaliencyCallback(interventions='auto') and probes of two classes or more."
        )
    if path is not None:
        content = {
            "format": _FORMAT,
            "quantile": QUANTILE,
            "runs": len(histories),
            "floors": floors,
        }
        Path(path).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return floors


def _history(run: Any) -> Mapping[str, Sequence[float]]:
    history = getattr(run, "history", run)
    if not isinstance(history, Mapping) or "step" not in history:
        raise TypeError(
            "runs: expected SaliencyCallbacks or their history dicts, received "
            f"{type(run).__name__}."
        )
    return history


def check_baseline(baseline: object) -> dict[str, float]:
    """The floors, by test, of a baseline: none, a dict of floors, or a file of `calibrate`'s.

    Raises:
        TypeError: None of these.
        ValueError: The file is missing or is no baseline.
    """
    if baseline is None:
        return {}
    if isinstance(baseline, str | Path):
        try:
            content = json.loads(Path(baseline).read_text("utf-8"))
            floors = content["floors"]
            if content["format"] != _FORMAT:
                raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"baseline: expected a JSON file written by keras_saliency.calibrate, received "
                f"{str(baseline)!r}: {error!r}."
            ) from error
    else:
        floors = baseline
    return check_floors("baseline", floors)


def check_floors(argument: str, floors: Any) -> dict[str, float]:
    """The floors, by test, as plain numbers.

    Raises:
        TypeError: No dict from strings to numbers.
        ValueError: An unknown test, or a floor that no effect can be held against.
    """
    numbers = isinstance(floors, Mapping) and all(
        isinstance(test, str) and isinstance(floor, int | float) and not isinstance(floor, bool)
        for test, floor in floors.items()
    )
    if not numbers:
        raise TypeError(
            f"{argument}: expected a dict from test to floor, as keras_saliency.calibrate gives, "
            f"received {floors!r}."
        )
    unknown = [test for test in floors if rule_name(test) not in RULES]
    if unknown:
        raise ValueError(
            f"{argument}: expected tests of {', '.join(RULES)}, received {unknown[0]!r}."
        )
    void = [test for test, floor in floors.items() if not 0 <= floor <= 1]
    if void:
        raise ValueError(
            f"{argument}: expected floors from 0 to 1, received {floors[void[0]]} for {void[0]!r}."
        )
    return {test: float(floor) for test, floor in floors.items()}
