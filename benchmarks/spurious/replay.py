"""From recorded effects to alerts, by the rules as they are now: nothing is trained again.

A *policy* is what a user gives, and says in which watch of the run it was recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.spurious import ablations
from keras_saliency.data.reports import Effect, InterventionResults, Window
from keras_saliency.data.serialization import from_json
from keras_saliency.detection.alerts import ALERT, Streak, judge
from keras_saliency.detection.schedule import is_log_spaced
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.significance import level_of_round
from keras_saliency.detection.tests import TESTS, InterventionTest, row_name


@dataclass(frozen=True)
class Policy:
    """What a user gives.

    Attributes:
        watch: Where the effects were recorded.
        adds: A second watch, whose effects are added.
        leaves_out: A row of the table that he does not have.
    """

    watch: str
    adds: str = ""
    leaves_out: str = ""


POLICIES = {
    "nothing": Policy("nothing"),
    "masks": Policy("exact"),
    "boxes": Policy("nothing", "box", "estimated_background"),
    "region": Policy("region"),
}
"""Nothing but probes; with exact object masks; with rough boxes; with a named region, of which only
its own alerts count."""

BY_SCHEDULE = {f"{name}, by schedule": name for name in ("nothing", "masks")}
FEW = "few probes"


@dataclass(frozen=True)
class Way:
    """How a run is looked at: what is given, and when it is tested."""

    policy: Policy
    is_scheduled: bool = False


WAYS = {
    **{name: Way(policy) for name, policy in POLICIES.items()},
    **{name: Way(POLICIES[given], is_scheduled=True) for name, given in BY_SCHEDULE.items()},
    FEW: Way(Policy("few")),
}
"""Each policy with tests at every evaluation; two of them with those of the default schedule; and
nothing but `material.NUM_FEW` probes."""


@dataclass(frozen=True)
class Fired:
    """A test that fired at an evaluation.

    Attributes:
        step: Of the evaluation.
        effect: What was measured.
        twice: Whether it fired at the test before, too.
        p_value: Holm's, over all tests of the evaluation.
        floor: Of the effect.
    """

    step: int
    effect: Effect
    twice: bool
    p_value: float
    floor: float

    @property
    def test(self) -> str:
        """The name of the test."""
        return self.effect.test

    @property
    def window(self) -> Window | None:
        """The proposed window."""
        return self.effect.window

    @property
    def is_own(self) -> bool:
        """Whether no other test explains it; only then it is a warning or an alert."""
        return not self.effect.explained_by


@dataclass(frozen=True)
class Replayed:
    """A run under a policy.

    Attributes:
        steps: Of all evaluations with tests.
        open: Whether the gate was, at each.
        effects: What was tested at each, without the untestable.
        fired: In the order of evaluations.
        heights: By test, its largest effect at any evaluation with an open gate, as a multiple
            of its floor. From 1 on it may fire.
    """

    steps: tuple[int, ...]
    open: tuple[bool, ...]
    effects: tuple[tuple[Effect, ...], ...]
    fired: tuple[Fired, ...]
    heights: Mapping[str, float]

    @property
    def height(self) -> float:
        """The largest of all tests' heights; 0 if there is none."""
        return max(self.heights.values(), default=0.0)

    @property
    def alerts(self) -> tuple[Fired, ...]:
        """What fired twice in a row and is not explained by another test."""
        return tuple(fired for fired in self.fired if fired.twice and fired.is_own)

    def first(self, *, twice: bool) -> int | None:
        """The step of the first warning or of the first alert."""
        some = self.alerts if twice else [fired for fired in self.fired if fired.is_own]
        return min((fired.step for fired in some), default=None)


def replay(
    record: dict[str, Any], policy: Policy, *, without: str = "", is_scheduled: bool = False
) -> Replayed | None:
    """A recorded run under a policy; `None` if the run has no such watch.

    Args:
        record: Of the run.
        policy: What the user gives.
        without: A part of the tests that is left out, one of `ablations.REPLAYED`.
        is_scheduled: Whether tests are made at the evaluations of `interventions="auto"` alone,
            instead of all: at log-spaced ones, after a warning, and at the last one. Those after
            a metric has moved are not made.
    """
    rows = _rows(record, policy)
    if rows is None:
        return None
    settings = Interventions(tests=tuple(ablations.table(without).values()))
    steps, is_open, fired, tested = [], [], [], []
    heights: dict[str, float] = {}
    streaks: dict[str, Streak] = {}
    number, is_warned = 1, False
    for count, row in enumerate(rows):
        if is_scheduled and not (is_warned or is_log_spaced(count) or count == len(rows) - 1):
            continue
        effects = tuple(
            ablations.left_out(effect, without, side=record["side"], classes=record["classes"])
            for effect in _effects(row, policy)
        )
        blocked_because = "" if without == "gate" else row["blocked_because"]
        alpha = level_of_round(number) if is_scheduled else row["alpha"]
        results = InterventionResults(effects, blocked_because, "accuracy", 0, "", alpha)
        verdicts, streaks = judge(results, settings=settings, streaks=streaks)
        number += not blocked_because
        is_warned = False
        for verdict in verdicts:
            effect = verdict.effect
            if not blocked_because and may_fire(effect, settings.table):
                height = effect.effect / verdict.floor
                heights[effect.test] = max(height, heights.get(effect.test, height))
            if verdict.status == "fires":
                is_warned = True
                twice = streaks[effect.test].fired >= 2
                fired.append(Fired(row["step"], effect, twice, verdict.p_value, verdict.floor))
        steps.append(row["step"])
        is_open.append(not blocked_because)
        tested.append(tuple(effect for effect in effects if not effect.untestable))
    return Replayed(tuple(steps), tuple(is_open), tuple(tested), tuple(fired), heights)


def may_fire(effect: Effect, table: Mapping[str, InterventionTest] = TESTS) -> bool:
    """Whether a rule can fire, if the effect is large and significant."""
    test = table[row_name(effect.test)]
    return not effect.untestable and bool(effect.support or not test.needs_support)


def _rows(record: dict[str, Any], policy: Policy) -> list[dict[str, Any]] | None:
    """The rows of a watch, each with the effects of the second one."""
    watched = record["watched"]
    if policy.watch not in watched or policy.adds not in ("", *watched):
        return None
    rows: list[dict[str, Any]] = watched[policy.watch]
    if not policy.adds:
        return rows
    return [
        row | {"effects": [*row["effects"], *other["effects"]]}
        for row, other in zip(rows, watched[policy.adds], strict=True)
    ]


def _effects(row: dict[str, Any], policy: Policy) -> list[Effect]:
    """The effects of an evaluation; what is left out explains nothing, either."""
    effects = [_effect(fields) for fields in row["effects"]]
    if not policy.leaves_out:
        return effects
    return [
        dataclasses.replace(effect, explained_by="")
        if row_name(effect.explained_by) == policy.leaves_out
        else effect
        for effect in effects
        if row_name(effect.test) != policy.leaves_out
    ]


def agrees(record: dict[str, Any]) -> bool:
    """Whether the rules as they are now give the alerts that the callback raised in training."""
    for rows in record["watched"].values():
        streaks: dict[str, Streak] = {}
        for row in rows:
            before = streaks
            effects = tuple(_effect(fields) for fields in row["effects"])
            found = InterventionResults(
                effects, row["blocked_because"], "accuracy", 0, "", row["alpha"]
            )
            _, streaks = judge(found, streaks=before)
            now = {
                test
                for test, streak in streaks.items()
                if streak.active and not before.get(test, Streak()).active
            }
            if now != {rule for level, rule, *_ in row["alerts"] if level == ALERT}:
                return False
    return True


def _effect(fields: dict[str, Any]) -> Effect:
    return from_json(Effect, fields)
