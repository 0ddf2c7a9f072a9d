"""`RunState`: all that a run remembers from one evaluation to the next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import (
    Alert,
    Array,
    Effect,
    SaliencyReport,
)
from keras_saliency.data.serialization import from_json, put, to_json
from keras_saliency.detection.alerts import ALERT, Streak
from keras_saliency.detection.budget import Work
from keras_saliency.detection.evaluations import Evaluation
from keras_saliency.detection.schedule import has_moved, is_log_spaced

EPOCH, BATCH = "epoch", "batch"
"""What steps count. Evaluations of either kind are compared with the ones before of their kind."""

_FORMAT = 2

_LEFT_OUT = ("examples",)


@dataclass(eq=False)
class RunState:
    """The state of one run, complete from the beginning on.

    Attributes:
        targets: `(num_probes,)`, the classes explained; `None` until the first predictions fix
            them.
        evaluations: How many evaluations at epoch ends there were, and before training.
        batches: How many batches the model was trained on up to the latest epoch's end; 0 if they
            are not counted.
        start: The first evaluation: of the state before training.
        start_unit: The unit whose latest evaluation is still the start; empty if there is none.
        latest: By unit, the latest evaluation.
        earlier: By unit, the one before that.
        tested: The latest one with interventions.
        tested_steps: The steps of all rounds of tests that could raise an alert.
        start_effects: By test, its effect in the first round.
        streaks: By test, how often in a row it has fired or been quiet.
        alerts: All alerts so far.
        warnings: All warnings so far.
        effects: All effects so far: pairs of step and effects, without their examples.
        work: What the training and its evaluations did so far.
        is_restarting: Whether the next evaluation begins another training.
    """

    targets: Array | None = None
    evaluations: int = 0
    batches: int = 0
    start: Evaluation | None = None
    start_unit: str = ""
    latest: dict[str, Evaluation] = field(default_factory=dict)
    earlier: dict[str, Evaluation] = field(default_factory=dict)
    tested: Evaluation | None = None
    tested_steps: list[int] = field(default_factory=list)
    start_effects: dict[str, float] | None = None
    streaks: dict[str, Streak] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    warnings: list[Alert] = field(default_factory=list)
    effects: list[tuple[int, tuple[Effect, ...]]] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    is_restarting: bool = False

    def begin(self, report: SaliencyReport, unit: str) -> bool:
        """Takes note that an evaluation begins; says whether it repeats the latest one.

        It does if it has the same step, or if a training starts in the state that the one before
        ended in. A training that starts in another state starts anew: with no start to compare
        with, and no streaks.

        Args:
            report: The evaluation, without metrics.
            unit: What its step counts.
        """
        latest = self.latest.get(unit)
        is_restarting, self.is_restarting = self.is_restarting, False
        if latest is None:
            return False
        is_same = latest.is_same_state(report)
        if is_restarting and not is_same:
            self._start_anew()
            return False
        return is_restarting or latest.step == report.step

    def compared_with(
        self, unit: str, is_repeat: bool
    ) -> tuple[Evaluation | None, Evaluation | None]:
        """What an evaluation is compared with: the one before it, and the start."""
        if not is_repeat:
            return self.latest.get(unit), self.start
        start = None if self.start_unit == unit else self.start
        return self.earlier.get(unit), start

    def record(self, evaluation: Evaluation, unit: str, is_repeat: bool) -> None:
        """Remembers an evaluation."""
        if not is_repeat:
            if unit in self.latest:
                self.earlier[unit] = self.latest[unit]
            self.evaluations += unit == EPOCH
        if self.start is None or (self.start_unit == unit and is_repeat):
            self.start, self.start_unit = evaluation, unit
        elif self.start_unit == unit:
            self.start_unit = ""
        self.latest[unit] = evaluation

    def is_evaluation_due(self, passes: int, budget: float | None) -> bool:
        """Whether the next evaluation is made even if it is none of the last.

        Args:
            passes: The forward passes that its maps take.
            budget: As in `Work`.
        """
        return (
            is_log_spaced(self._index + 1) or self._may_alert() or self.work.affords(passes, budget)
        )

    def must_test(self, when: str, *, last: bool) -> bool:
        """Whether the latest evaluation is tested, whatever that takes.

        Args:
            when: `"auto"` or `"epoch"`, as in `Interventions`.
            last: Whether it is the last one of a training.
        """
        return when == "epoch" or self.tested is None or last or self._may_alert()

    def is_round_due(self, report: SaliencyReport) -> bool:
        """Whether the latest report is to be tested if the budget allows it."""
        then = {} if self.tested is None else self.tested.metrics
        return is_log_spaced(self._index) or has_moved(report.metrics, then)

    def affords_round(self, budget: float | None) -> bool:
        """Whether the budget allows a round of tests now, as in `Work.affords_round`."""
        return self.work.affords_round(self._index, budget)

    @property
    def _index(self) -> int:
        """The index of the latest evaluation, counting those that were left out."""
        return self.evaluations - 1 + self.work.skipped

    def _may_alert(self) -> bool:
        """Whether a test that fired raises an alert if it fires once more."""
        verdicts = () if self.tested is None else self.tested.verdicts
        return any(
            verdict.status == "fires" and not verdict.active and not verdict.effect.explained_by
            for verdict in verdicts
        )

    def record_round(self, report: SaliencyReport, streaks: Mapping[str, Streak]) -> None:
        """Remembers a report with interventions, and the streaks after it."""
        self.streaks = dict(streaks)
        self.tested = self.latest[EPOCH] = self.latest[EPOCH].tested(report)
        if report.interventions is None:
            return
        if not report.interventions.blocked_because:
            self.tested_steps = [*self.tested_steps, report.step]
        self.work = self.work.after_round(report.interventions.passes, self._index)
        effects = report.interventions.effects
        if self.start_effects is None:
            self.start_effects = {effect.test: effect.effect for effect in effects}
        gone = {verdict.effect.test for verdict in report.verdicts if verdict.withdrawn}
        self.alerts = [
            dataclasses.replace(alert, withdrawn=report.step)
            if alert.rule in gone and alert.withdrawn is None
            else alert
            for alert in self.alerts
        ]
        self.alerts += [alert for alert in report.alerts if alert.level == ALERT]
        self.warnings += [alert for alert in report.alerts if alert.level != ALERT]
        self.record_effects(report)

    def record_effects(self, report: SaliencyReport) -> None:
        """Adds the effects of a report to the list of all."""
        if report.interventions is not None:
            kept = [dataclasses.replace(e, examples=()) for e in report.interventions.effects]
            self.effects.append((report.step, tuple(kept)))

    def take_lists(self, other: RunState) -> None:
        """Continues another run's lists of alerts, warnings and effects."""
        self.alerts, self.warnings, self.effects = other.alerts, other.warnings, other.effects

    def _start_anew(self) -> None:
        """Forgets what belongs to the weights before; what was found with them stays listed."""
        self.evaluations, self.batches, self.start, self.start_unit = 0, 0, None, ""
        self.tested, self.start_effects = None, None
        self.latest, self.earlier, self.streaks = {}, {}, {}
        self.tested_steps, self.work = [], Work()

    def to_json(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The state as values that JSON can hold, and the arrays that these name by their hashes.

        Evidence pictures are left out.
        """
        arrays: dict[str, Array] = {}

        def row(evaluation: Evaluation | None) -> dict[str, Any] | None:
            return None if evaluation is None else evaluation.to_json(arrays)

        content = {
            "format": _FORMAT,
            "targets": None if self.targets is None else put(self.targets, arrays),
            "evaluations": self.evaluations,
            "batches": self.batches,
            "start": row(self.start),
            "start_unit": self.start_unit,
            "latest": {unit: row(one) for unit, one in self.latest.items()},
            "earlier": {unit: row(one) for unit, one in self.earlier.items()},
            "tested": row(self.tested),
            "tested_steps": self.tested_steps,
            "start_effects": None if self.start_effects is None else _nulls(self.start_effects),
            "streaks": {test: to_json(streak) for test, streak in self.streaks.items()},
            "alerts": [to_json(alert, leave_out=_LEFT_OUT) for alert in self.alerts],
            "warnings": [to_json(alert, leave_out=_LEFT_OUT) for alert in self.warnings],
            "effects": [
                [step, [to_json(effect, leave_out=_LEFT_OUT) for effect in effects]]
                for step, effects in self.effects
            ],
            "work": to_json(self.work),
            "is_restarting": self.is_restarting,
        }
        return content, arrays

    @classmethod
    def from_json(cls, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> RunState:
        """The state that `to_json` returned.

        Args:
            content: The first value, which may have been written as JSON and read back.
            arrays: The second value: arrays by hash.

        Raises:
            ValueError: Another version of this package wrote it, or an array is missing.
        """
        if content.get("format") != _FORMAT:
            raise ValueError(
                f"content: expected a state of format {_FORMAT}, received "
                f"{content.get('format')!r}. It was written by another version of keras_saliency."
            )

        def evaluation(row: Mapping[str, Any] | None) -> Any:
            return None if row is None else Evaluation.from_json(row, named)

        named = _Arrays(arrays)
        effects = content["start_effects"]
        return cls(
            targets=None if content["targets"] is None else named[content["targets"]],
            evaluations=content["evaluations"],
            batches=content.get("batches", 0),
            start=evaluation(content["start"]),
            start_unit=content["start_unit"],
            latest={unit: evaluation(row) for unit, row in content["latest"].items()},
            earlier={unit: evaluation(row) for unit, row in content["earlier"].items()},
            tested=evaluation(content["tested"]),
            tested_steps=[*content.get("tested_steps", ())],
            start_effects=None if effects is None else _nans(effects),
            streaks={test: from_json(Streak, row) for test, row in content["streaks"].items()},
            alerts=[from_json(Alert, row, examples=()) for row in content["alerts"]],
            warnings=[from_json(Alert, row, examples=()) for row in content["warnings"]],
            effects=[
                (step, tuple(from_json(Effect, row) for row in rows))
                for step, rows in content["effects"]
            ],
            work=from_json(Work, content.get("work", {})),
            is_restarting=content["is_restarting"],
        )


class _Arrays(dict[str, Array]):
    """Arrays by name."""

    def __missing__(self, name: str) -> Array:
        raise ValueError(f"arrays: expected the array {name!r} that the content refers to.")


def check_state(state: object, probes: ProbeSet) -> None:
    """Checks that a state is one of these probes.

    Raises:
        TypeError: `state` is not a `RunState`.
        ValueError: It is the state of other probes.
    """
    if not isinstance(state, RunState):
        raise TypeError(f"state: expected a RunState, received {type(state).__name__}.")
    known = [state.start, state.tested, *state.latest.values(), *state.earlier.values()]
    shape = probes.map_shape
    received = {evaluation.shape for evaluation in known if evaluation is not None} - {shape}
    if received:
        raise ValueError(
            f"state: expected the state of a monitor of the same probes, with maps of shape "
            f"{shape}, received maps of shape {received.pop()}."
        )
    targets = state.targets
    if probes.targets is None:
        is_ours = targets is None or targets.shape == shape[:1]
    else:
        is_ours = targets is not None and np.array_equal(targets, probes.targets)
    if not is_ours:
        listed = None if targets is None else targets.tolist()
        raise ValueError(
            "state: expected the state of a monitor of the same probes, with their targets, "
            f"received targets {listed}. A new state is RunState(targets=probes.targets)."
        )


def _nulls(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers as JSON can hold them."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _nans(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in numbers.items()}
