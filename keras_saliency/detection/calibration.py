"""Calibration: sets the floors of alerts from the effects in runs that are known to be good."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.detection.tests import InterventionTest, row_name

QUANTILE = 0.99

_FORMAT = 1


def calibrate(runs: Sequence[Any], path: str | Path | None = None) -> dict[str, float]:
    """Computes the smallest effect that may raise an alert, from runs that are known to be good.

    The floor of a test is the 99 % quantile of its effects over all evaluations from epoch 0 on. It
    is limited to 0..1: in good runs, effects may be slightly below 0, and effects in units of the
    score may be above 1. With `ks.Interventions(floors=...)`, an effect must reach the larger of
    this floor and the test's default floor. Floors therefore make alerts less frequent, never more.

    Args:
        runs: `SaliencyCallback`s after `fit`, or their `history` dicts (which can be stored as
            JSON). Use the same kind of model and data. Ten or more runs give a good estimate.
        path: A JSON file to write, for `ks.Interventions(floors=path)`.

    Returns:
        The floors by test, in 0..1.

    Raises:
        TypeError: `runs` is not a list, or a run has the wrong type.
        ValueError: There are no runs with interventions.

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
            if prefix != "effect":
                continue
            pairs = zip(history["step"], history[name], strict=True)
            finite = [value for step, value in pairs if step >= 0 and np.isfinite(value)]
            values.setdefault(test, []).extend(finite)
    floors = {
        test: round(min(1.0, max(0.0, float(np.quantile(effects, QUANTILE)))), 6)
        for test, effects in sorted(values.items())
        if effects
    }
    if not floors:
        raise ValueError(
            "runs: expected at least one run with interventions, received "
            f"{len(histories)} run{'s' if len(histories) != 1 else ''} without. Train with "
            "SaliencyCallback(interventions='auto') and probes of at least two classes."
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


def checked_floors(
    argument: str, floors: Any, tests: Mapping[str, InterventionTest]
) -> dict[str, float]:
    """Checks the floors that a user set and returns them by test.

    Args:
        argument: The name of the argument, for messages.
        floors: A dict from test to floor, the path of a file written by `calibrate`, or `None`.
        tests: The tests that are run, by name.

    Raises:
        TypeError: `floors` is not a path or a dict from strings to numbers.
        ValueError: The file cannot be read, a test is unknown, or a floor is not in 0..1.
    """
    if floors is None:
        return {}
    if isinstance(floors, str | Path):
        floors = _read(argument, floors)
    is_valid = isinstance(floors, Mapping) and all(
        isinstance(test, str) and isinstance(floor, int | float) and not isinstance(floor, bool)
        for test, floor in floors.items()
    )
    if not is_valid:
        raise TypeError(
            f"{argument}: expected a dict from test to floor, as returned by "
            f"keras_saliency.calibrate, or the path of its file, received {floors!r}."
        )
    unknown = [test for test in floors if row_name(test) not in tests]
    if unknown:
        raise ValueError(
            f"{argument}: expected tests of {', '.join(tests)}, received {unknown[0]!r}."
        )
    out_of_range = [test for test, floor in floors.items() if not 0 <= floor <= 1]
    if out_of_range:
        test = out_of_range[0]
        raise ValueError(
            f"{argument}: expected floors from 0 to 1, received {floors[test]} for {test!r}."
        )
    return {test: float(floor) for test, floor in floors.items()}


def _read(argument: str, path: str | Path) -> Any:
    """The floors in a file written by `calibrate`."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
        return content["floors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{argument}: expected a JSON file written by keras_saliency.calibrate, received "
            f"{str(path)!r}: {error!r}."
        ) from error
