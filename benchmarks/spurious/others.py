"""The detectors of others beside ours, on the same runs and by the same truth."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence

from benchmarks.spurious import measures
from benchmarks.spurious.families import FAMILIES
from benchmarks.spurious.formats import Table, of
from benchmarks.spurious.levels import onset
from benchmarks.spurious.measures import Case, Rate
from benchmarks.spurious.peers import CORRELATED

THRESHOLDS = {"border mass": 0.87, "eigengap": 0.73}
"""Of each measure, rounded up, the largest value that a run of the subset `dev` without a shortcut,
with maps that are not noise, reaches twice in a row; `largest_of_clean` finds them."""

Told = Callable[[Case], "int | None"]
"""The step of the first alarm; `None` if there is none."""


def by_maps(name: str, threshold: float) -> Told:
    """An alarm if a measure of maps is above a threshold twice in a row, after the gate opened."""

    def told(case: Case) -> int | None:
        rows = case.record["watched"]["nothing"]
        before = False
        for row in rows:
            value = row["maps"].get(name, float("-inf"))
            now = not row["blocked_because"] and value > threshold
            if before and now:
                return int(row["step"])
            before = now
        return None

    return told


def by_datalab(threshold: float) -> Told:
    """An alarm before training if a property tells the class."""

    def told(case: Case) -> int | None:
        return -1 if min(case.record["datalab"].values()) < threshold else None

    return told


def ours(case: Case) -> int | None:
    """Our first alert, given nothing."""
    return case.replays["nothing"].first(twice=True)


def beside(cases: Sequence[Case]) -> Table:
    """False alarms, detection by family at full strength, and lead of each detector."""
    detectors: dict[str, Told] = {
        "ours, given nothing": ours,
        "border mass of the maps": by_maps("border mass", THRESHOLDS["border mass"]),
        "eigengap of SpRAy": by_maps("eigengap", THRESHOLDS["eigengap"]),
        "bnnr's diagnosis": by_maps("bnnr", 0.0),
        "Datalab's correlation score": by_datalab(CORRELATED),
    }
    table = [["detector", "false alarms", *FAMILIES, "median delay", "later than one"]]
    for name, told in detectors.items():
        some = [case for case in cases if not name.startswith("Datalab") or has_scores(case)]
        cells = [_rate(measures.negatives(some, "nothing"), told)]
        cells += [_rate(measures.full_strength(some, family), told) for family in FAMILIES]
        delays = []
        for case in measures.relying(some):
            step, began = told(case), onset(case.effects)
            if step is not None and began is not None:
                delays.append(step - began)
        late = Rate(sum(delay > 1 for delay in delays), len(delays))
        middle = f"{statistics.median(delays):+g}" if delays else "-"
        table.append([name, *cells, middle, of(late)])
    return table


def has_scores(case: Case) -> bool:
    """Whether Datalab's scores were recorded."""
    return "datalab" in case.record


def _rate(some: Sequence[Case], told: Told) -> str:
    return of(Rate(sum(told(case) is not None for case in some), len(some)))


def largest_of_clean(cases: Sequence[Case]) -> dict[str, float]:
    """What `THRESHOLDS` have to be so that no run without a shortcut has an alarm."""
    found = dict.fromkeys(THRESHOLDS, 0.0)
    for case in measures.negatives(cases, "nothing"):
        if case.record["maps"] != "gradient":
            continue
        rows = [row for row in case.record["watched"]["nothing"] if not row["blocked_because"]]
        for pair in itertools.pairwise(rows):
            for name in found:
                value = min(row["maps"].get(name, 0.0) for row in pair)
                found[name] = max(found[name], value)
    return found
