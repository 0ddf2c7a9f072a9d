"""The numbers of the report: pure functions of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, rankdata

from benchmarks.spurious.levels import DOES_NOT, onset, verdict
from benchmarks.spurious.replay import POLICIES, Replayed, replay
from keras_saliency.detection.tests import TESTS, row_name

Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A recorded run and what each policy makes of it."""

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
    """Replays all records under all policies that they allow."""
    made = []
    for record in records:
        replays = {name: replay(record, name) for name in POLICIES}
        made.append(Case(record, {name: r for name, r in replays.items() if r is not None}))
    return made


def control(case: Case) -> str:
    """The control that a run belongs to; `""` for one that is no negative.

    A planted artefact that was not used makes a run one of N4, whatever it was planned for. In N5
    and N6 the named region is not the artefact's, so they are negatives for that region alone.
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
    """The policies under which a negative counts."""
    return ("region",) if control(case) in ("N5", "N6") else tuple(case.replays)


def false_alarms(some: Sequence[Case], policy: str, *, twice: bool) -> Rate:
    """Of negative runs: how many had an alarm at all."""
    chosen = [
        case.replays[policy]
        for case in some
        if control(case) and policy in judged_by(case) and policy in case.replays
    ]
    return Rate(sum(r.first(twice=twice) is not None for r in chosen), len(chosen))


def detections(some: Sequence[Case], policy: str, *, twice: bool) -> Rate:
    """Of relying runs: how many had an alarm at all."""
    chosen = [case.replays[policy] for case in relying(some) if policy in case.replays]
    return Rate(sum(r.first(twice=twice) is not None for r in chosen), len(chosen))


def relying(some: Iterable[Case]) -> list[Case]:
    """The runs in which the model was measured to rely on the artefact; no ablations, no N5."""
    return [
        case
        for case in some
        if case.verdict == "relies" and case.record["group"] not in ("ablation", "N5", "N6")
    ]


def premature(some: Iterable[Case], policy: str) -> Rate:
    """Of relying runs: how many were told twice in a row while the effect was still nothing."""
    chosen = [case for case in relying(some) if policy in case.replays]
    hits = 0
    for case in chosen:
        step = case.replays[policy].first(twice=True)
        hits += step is not None and case.effects[step] <= DOES_NOT
    return Rate(hits, len(chosen))


def delays(some: Iterable[Case], policy: str, *, twice: bool) -> list[int]:
    """Evaluations from the onset of reliance to the alarm, of the relying runs that have both."""
    found = []
    for case in relying(some):
        began = onset(case.effects)
        step = case.replays[policy].first(twice=twice) if policy in case.replays else None
        if began is not None and step is not None:
            found.append(step - began)
    return found


def saved(some: Iterable[Case], policy: str) -> list[float]:
    """The share of the epochs that were still to come at the alert, of relying runs with one."""
    found = []
    for case in relying(some):
        step = case.replays[policy].first(twice=True) if policy in case.replays else None
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


def localised(some: Iterable[Case], policy: str = "nothing") -> Rate:
    """Of alerts with a window in runs with a planted place: how many lie on it, IoU >= 0.3."""
    overlaps = []
    for case in some:
        places = case.record["places"]
        if case.verdict == "relies" and places and policy in case.replays:
            overlaps += [
                max(overlap(fired.window, place) for place in places)
                for fired in case.replays[policy].fired
                if fired.twice and fired.window is not None
            ]
    return Rate(sum(value >= 0.3 for value in overlaps), len(overlaps))


def firing(some: Iterable[Case], test: str) -> Rate:
    """Of relying runs that had this test: in how many it fired twice in a row."""
    hits = total = 0
    for case in relying(some):
        for name in ("masks", "region"):
            replayed = case.replays.get(name)
            part = (POLICIES[name].counts_only == "region") == (test == "region")
            if replayed is not None and part and _has(replayed, test):
                total += 1
                hits += any(f.twice and row_name(f.test) == test for f in replayed.fired)
    return Rate(hits, total)


def _has(replayed: Replayed, test: str) -> bool:
    return any(row_name(effect.test) == test for effects in replayed.effects for effect in effects)


def null_p_values(some: Iterable[Case], probes: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Of named regions in N1 to N3, every evaluation with an open gate: the raw p-values.

    Args:
        some: Cases, of which those of N1 to N3 are read.
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
    """By rule, the largest effect of each negative run with an open gate, and the run; sorted."""
    found: dict[str, list[tuple[float, str]]] = {rule: [] for rule in TESTS}
    for case in some:
        if not control(case) or control(case) == "N5":
            continue
        for name in ("masks", "region"):
            replayed = case.replays.get(name)
            if replayed is None:
                continue
            largest: dict[str, float] = {}
            for is_open, effects in zip(replayed.open, replayed.effects, strict=True):
                for effect in effects if is_open else ():
                    part = row_name(effect.test)
                    if (part == "region") == (name == "region"):
                        largest[part] = max(largest.get(part, -1.0), effect.effect)
            for part, value in largest.items():
                found[part].append((value, case.record["id"]))
    return {rule: sorted(values, reverse=True) for rule, values in found.items() if values}


def area_under_curve(some: Sequence[Case], policy: str) -> float:
    """How well the runs' heights tell relying from negative runs; 1 is perfectly, 0.5 not."""
    good = [c.replays[policy].height for c in relying(some) if policy in c.replays]
    bad = [
        c.replays[policy].height
        for c in some
        if control(c) and policy in judged_by(c) and policy in c.replays
    ]
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
