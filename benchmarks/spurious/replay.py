"""From recorded effects to alerts, by the rules as they are now: nothing is trained again.

A run is watched with all masks and regions at once. What a user with less would have been told
follows from the same effects: a *policy* leaves out the tests that he could not have had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_saliency.data.reports import Effect, InterventionResults
from keras_saliency.data.serialization import from_json
from keras_saliency.detection.alerts import ALERT, Streak, judge


@dataclass(frozen=True)
class Policy:
    """What a user gives.

    Attributes:
        masks: The watch to read the background test from: `"exact"` or `"box"`.
        leaves_out: Parts of tests' names in front of `/` that he does not have.
        counts_only: If given, only alerts of this part count.
    """

    masks: str
    leaves_out: tuple[str, ...]
    counts_only: str = ""


POLICIES = {
    "nothing": Policy("exact", ("region", "background")),
    "masks": Policy("exact", ("region",)),
    "boxes": Policy("box", ("region",)),
    "region": Policy("exact", ("background",), "region"),
}
"""Nothing but probes; with exact object masks; with rough boxes; with a named region, of which
only its own alerts count."""


@dataclass(frozen=True)
class Fired:
    """A test that fired at an evaluation; `twice` if it did at the one before, too."""

    step: int
    test: str
    twice: bool
    window: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Replayed:
    """A run under a policy.

    Attributes:
        steps: Of all evaluations.
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

    def first(self, *, twice: bool) -> int | None:
        """The step at which a test fired first, or fired for the second time in a row."""
        steps = [fired.step for fired in self.fired if fired.twice or not twice]
        return min(steps) if steps else None


def replay(record: dict[str, Any], name: str) -> Replayed | None:
    """A recorded run under a policy; `None` if the run has no such watch, or no such region."""
    policy = POLICIES[name]
    if policy.masks not in record["watches"]:
        return None
    rows = _rows(record, policy.masks)
    fired, tested = [], []
    heights: dict[str, float] = {}
    streaks = None
    for row in rows:
        effects = tuple(
            effect
            for effect in map(_effect, row["effects"])
            if _kind(effect) not in policy.leaves_out
        )
        blocked_because = row["blocked_because"]
        if record["without"] == "gate":  # this ablation is made here
            blocked_because = ""
            effects = tuple(map(_without_gate, effects))
        results = InterventionResults(effects, blocked_because, "accuracy", 0, "", row["alpha"])
        verdicts, streaks = judge(results, streaks=streaks)
        for verdict in verdicts:
            effect = verdict.effect
            if policy.counts_only not in ("", _kind(effect)):
                continue
            if not blocked_because and not effect.untestable:
                height = effect.effect / verdict.floor
                heights[effect.test] = max(height, heights.get(effect.test, height))
            if verdict.status == "fires":
                twice = streaks[effect.test].fired >= 2
                fired.append(Fired(row["step"], effect.test, twice, effect.window))
        tested.append(tuple(effect for effect in effects if not effect.untestable))
    asked = (_kind(_effect(fields)) for row in rows for fields in row["effects"])
    if policy.counts_only and policy.counts_only not in asked:
        return None
    return Replayed(
        steps=tuple(row["step"] for row in rows),
        open=tuple(not row["blocked_because"] for row in rows),
        effects=tuple(tested),
        fired=tuple(fired),
        heights=heights,
    )


def _rows(record: dict[str, Any], masks: str) -> list[dict[str, Any]]:
    """The rows of the first watch, with the background test of that with these masks."""
    rows: list[dict[str, Any]] = record["watches"]["exact"]
    if masks == "exact":
        return rows
    mixed = []
    for row, other in zip(rows, record["watches"][masks], strict=True):
        kept = [effect for effect in row["effects"] if effect["test"] != "background"]
        mixed.append(row | {"effects": [*kept, *other["effects"]]})
    return mixed


def agrees(record: dict[str, Any]) -> bool:
    """Whether the rules as they are now give the alerts that the callback raised in training."""
    for rows in record["watches"].values():
        streaks: dict[str, Streak] = {}
        for row in rows:
            effects = tuple(map(_effect, row["effects"]))
            before = streaks
            found = InterventionResults(
                effects, row["blocked_because"], "accuracy", 0, "", row["alpha"]
            )
            _, streaks = judge(found, streaks=before)
            now = {
                test
                for test, streak in streaks.items()
                if streak.active and not before.get(test, Streak()).active
            }
            if now != {rule for level, rule, _ in row["alerts"] if level == ALERT}:
                return False
    return True


def _effect(fields: dict[str, Any]) -> Effect:
    return from_json(Effect, fields)


def _without_gate(effect: Effect) -> Effect:
    """An effect that counts whatever the accuracy is, as long as it was measured."""
    is_measured = effect.num_probes > 0
    return dataclasses.replace(effect, untestable="" if is_measured else effect.untestable)


def _kind(effect: Effect) -> str:
    return effect.test.partition("/")[0]
