"""The numbers of the report: pure functions of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, rankdata

from benchmarks.spurious.families import (
    NAMES,
    OVERLAP,
    SCATTERED,
    family,
    is_full_strength,
)
from benchmarks.spurious.levels import DOES_NOT, onset, verdict
from benchmarks.spurious.replay import POLICIES, WAYS, Fired, Replayed, may_fire, replay
from keras_saliency.detection.tests import TESTS, row_name

Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A recorded run and what is seen of it in each way, see `replay.WAYS`."""

    record: Record
    replays: dict[str, Replayed]

    @property
    def verdict(self) -> str:
        """What was measured, see `levels.verdict`."""
        return verdict(self.effects)

    @property
    def effects(self) -> dict[int, float]:
        """The true effect by step."""
        return {truth["step"]: truth["effect"] for truth in self.record["truth"]}


@dataclass(frozen=True)
class Rate:
    """So many of so many."""

    hits: int
    total: int

    @property
    def share(self) -> float:
        """In 0..1; `nan` of nothing."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def upper(self) -> float:
        """Clopper and Pearson's one-sided 95 % upper bound; 1 of nothing."""
        if self.hits == self.total:
            return 1.0
        return float(beta.ppf(0.95, self.hits + 1, self.total - self.hits))


def cases(records: Iterable[Record]) -> list[Case]:
    """Replays all records in all ways that they allow."""
    made = []
    for record in records:
        replays = {
            name: replay(record, way.policy, is_scheduled=way.is_scheduled)
            for name, way in WAYS.items()
        }
        made.append(Case(record, {name: r for name, r in replays.items() if r is not None}))
    return made


def without(some: Iterable[Case], part: str) -> list[Case]:
    """The cases given nothing, without a part of the tests, see `ablations.REPLAYED`."""
    made = []
    for case in some:
        replayed = replay(case.record, POLICIES["nothing"], without=part)
        assert replayed is not None
        made.append(Case(case.record, {"nothing": replayed}))
    return made


def control(case: Case) -> str:
    """The control that a run belongs to; `""` for one that is no negative.

    A planted artefact that was not used makes a run one of N4, whatever it was planned for. In N5
    and N6 the named region is not the artefact's, so they are negatives for that region, whatever
    was measured.
    """
    group = case.record["group"]
    if group == "ablation":
        return ""
    if group in ("N5", "N6"):
        return group
    if case.verdict != "does not":
        return ""
    return group if group.startswith("N") else "N4"


def judged_by(case: Case) -> tuple[str, ...]:
    """In which ways a negative counts."""
    has_other_region = control(case) in ("N5", "N6") and case.verdict != "does not"
    return ("region",) if has_other_region else tuple(case.replays)


def negatives(some: Iterable[Case], way: str) -> list[Case]:
    """The runs that are looked at in this way and have nothing to find."""
    return [case for case in some if control(case) and way in {*judged_by(case)} & {*case.replays}]


def false_alarms(some: Iterable[Case], way: str, *, twice: bool) -> Rate:
    """Of negative runs: how many had an alarm at all."""
    chosen = [case.replays[way] for case in negatives(some, way)]
    return Rate(sum(r.first(twice=twice) is not None for r in chosen), len(chosen))


def detections(some: Sequence[Case], way: str, *, twice: bool) -> Rate:
    """Of relying runs: how many had an alarm at all."""
    chosen = [case.replays[way] for case in relying(some) if way in case.replays]
    return Rate(sum(r.first(twice=twice) is not None for r in chosen), len(chosen))


def relying(some: Iterable[Case]) -> list[Case]:
    """The runs in which the model was measured to rely on the artefact; no ablations, no N5."""
    return [
        case
        for case in some
        if case.verdict == "relies" and case.record["group"] not in ("ablation", "N5", "N6")
    ]


def premature(some: Iterable[Case], way: str) -> Rate:
    """Of relying runs: how many were told twice in a row while the effect was still nothing."""
    chosen = [case for case in relying(some) if way in case.replays]
    hits = 0
    for case in chosen:
        step = case.replays[way].first(twice=True)
        hits += step is not None and case.effects[step] <= DOES_NOT
    return Rate(hits, len(chosen))


def delays(some: Iterable[Case], way: str, *, twice: bool) -> list[int]:
    """Evaluations from the onset of reliance to the alarm, of the relying runs that have both."""
    found = []
    for case in relying(some):
        began = onset(case.effects)
        step = case.replays[way].first(twice=twice) if way in case.replays else None
        if began is not None and step is not None:
            found.append(step - began)
    return found


def saved(some: Iterable[Case], way: str) -> list[float]:
    """The share of the epochs that were still to come at the alert, of relying runs with one."""
    found = []
    for case in relying(some):
        step = case.replays[way].first(twice=True) if way in case.replays else None
        if step is not None:
            found.append(1 - (step + 1) / (max(case.effects) + 1))
    return found


def overlap(window: Sequence[int], other: Sequence[int]) -> float:
    """Intersection over union of two rectangles `(top, left, height, width)`."""
    sides = []
    for axis in (0, 1):
        start = max(window[axis], other[axis])
        end = min(window[axis] + window[axis + 2], other[axis] + other[axis + 2])
        sides.append(max(0, end - start))
    both = sides[0] * sides[1]
    return both / (window[2] * window[3] + other[2] * other[3] - both)


def full_strength(some: Iterable[Case], *names: str) -> list[Case]:
    """The relying runs at full strength; of these families, if any are named."""
    return [
        case
        for case in relying(some)
        if is_full_strength(case.record) and (not names or family(case.record["artefact"]) in names)
    ]


def headline(replayed: Replayed) -> Fired | None:
    """Of the first alerts of a run, the one with the largest effect."""
    first = replayed.first(twice=True)
    some = [fired for fired in replayed.alerts if fired.step == first]
    return max(some, key=lambda fired: fired.effect.effect, default=None)


def alerted_tests(replayed: Replayed) -> set[str]:
    """All tests that raised an alert of their own at any time."""
    return {fired.test for fired in replayed.alerts}


def is_named(case: Case, fired: Fired) -> bool:
    """Whether this test names what was planted."""
    return row_name(fired.test) in NAMES[case.record["artefact"]]


def is_on_place(case: Case, fired: Fired) -> bool:
    """Whether the window is where the artefact is; true if the artefact has no place.

    Without a window only an artefact that is scattered is on its place.
    """
    places = case.record["places"]
    if not places:
        return True
    if fired.window is None:
        return case.record["artefact"] in SCATTERED
    return max(overlap(fired.window, place) for place in places) >= OVERLAP


def single(some: Iterable[Case], way: str) -> Rate:
    """Of runs with an alert: how many have alerts of one test only."""
    counts = [len(alerted_tests(c.replays[way])) for c in some if way in c.replays]
    return Rate(sum(count == 1 for count in counts), sum(count > 0 for count in counts))


def right(some: Iterable[Case], way: str) -> Rate:
    """Of runs with an alert: how many have a headline that names the artefact, on its place."""
    hits = total = 0
    for case in some:
        fired = headline(case.replays[way]) if way in case.replays else None
        if fired is not None:
            total += 1
            hits += is_named(case, fired) and is_on_place(case, fired)
    return Rate(hits, total)


def passes(some: Iterable[Case], watch: str) -> list[int]:
    """Of each round of tests with an open gate: the number of images that the model was run on."""
    return [
        row["passes"]
        for case in some
        for row in case.record["watched"].get(watch, ())
        if not row["blocked_because"]
    ]


def null_p_values(some: Iterable[Case], probes: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Of named regions in N1 to N3, every evaluation with an open gate: the raw p-values.

    Those of N6 are drawn at random, so they may hold a part of the object, which means something.

    Args:
        some: Cases, of which those of these controls are read.
        probes: `"held out"`, for which the null is exact; or `"trained"`: a model that knows its
            images by heart may know them by the region, too.
    """
    found = []
    for case in some:
        is_null = control(case) in ("N1", "N2", "N3") and case.record["probes"] == probes
        if is_null and "region" in case.replays:
            replayed = case.replays["region"]
            for is_open, effects in zip(replayed.open, replayed.effects, strict=True):
                found += [e.p_value for e in effects if is_open and row_name(e.test) == "region"]
    return np.array(found)


def null_effects(some: Iterable[Case]) -> dict[str, list[tuple[float, str]]]:
    """By rule, the largest effect of each negative run with an open gate, and the run; sorted.

    Only effects with which the rule may fire, see `replay.may_fire`.
    """
    found: dict[str, list[tuple[float, str]]] = {rule: [] for rule in TESTS}
    ways = {"background": "masks", "region": "region"}
    for way in ("nothing", "masks", "region"):
        for case in negatives(some, way):
            replayed = case.replays[way]
            largest: dict[str, float] = {}
            for is_open, effects in zip(replayed.open, replayed.effects, strict=True):
                for effect in effects if is_open else ():
                    row = row_name(effect.test)
                    if ways.get(row, "nothing") == way and may_fire(effect):
                        largest[row] = max(largest.get(row, -1.0), effect.effect)
            for row, value in largest.items():
                found[row].append((value, case.record["id"]))
    return {rule: sorted(values, reverse=True) for rule, values in found.items() if values}


def area_under_curve(some: Sequence[Case], way: str) -> float:
    """How well the runs' heights tell relying from negative runs; 1 is perfectly, 0.5 not."""
    good = [c.replays[way].height for c in relying(some) if way in c.replays]
    bad = [case.replays[way].height for case in negatives(some, way)]
    if not good or not bad:
        return float("nan")
    ranks = rankdata(good + bad)[: len(good)].sum()
    return float((ranks - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


def grouped(
    some: Iterable[Case], key: Callable[[Case], tuple[Any, ...]]
) -> dict[tuple[Any, ...], list[Case]]:
    """The cases by a key, keys sorted."""
    found: dict[tuple[Any, ...], list[Case]] = {}
    for case in some:
        found.setdefault(key(case), []).append(case)
    return dict(sorted(found.items(), key=lambda item: str(item[0])))
