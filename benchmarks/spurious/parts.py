"""What each part of the tests is good for: the same runs with and without it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.spurious import measures
from benchmarks.spurious.ablations import REPLAYED
from benchmarks.spurious.formats import Table, both, number, of
from benchmarks.spurious.measures import Case, Rate
from benchmarks.spurious.plan import Run
from keras_saliency.detection.tests import TESTS, row_name

PROPOSED = ("own_hot_spot", "class_hot_spot", "hot_window")
"""The tests whose places maps propose."""


def left_out(cases: Sequence[Case]) -> Table:
    """All runs given nothing, without parts that a replay can leave out.

    A part that makes no difference is not needed.
    """
    some = [case for case in cases if case.record["group"] != "ablation"]
    header = ["left out", "false alarms", "told, of relying runs", "alerts of a relying run"]
    table = [[*header, "premature", "makes a difference"]]
    whole = _cells(some)
    table.append(["nothing", *whole, ""])
    for part in REPLAYED:
        cells = _cells(measures.without(some, part))
        table.append([part, *cells, "no" if cells == whole else "yes"])
    return table


def _cells(some: Sequence[Case]) -> list[str]:
    """False alarms, detections, alerts a run, and alerts before the cue has any effect."""
    rates = [
        [rate(some, "nothing", twice=twice) for twice in (False, True)]
        for rate in (measures.false_alarms, measures.detections)
    ]
    counts = [
        len(measures.alerted_tests(case.replays["nothing"])) for case in measures.relying(some)
    ]
    counts = [count for count in counts if count]
    mean = f"{statistics.mean(counts):.2f}" if counts else "-"
    return [*(both(*pair) for pair in rates), mean, of(measures.premature(some, "nothing"))]


def trained(cases: Sequence[Case]) -> Table:
    """Runs that were trained again: without the same-class control, and with other maps.

    Only tests that can feel the difference are looked at: of other maps, those whose places maps
    propose.
    """
    header = ["left out", "kind", "correlation", "verdict", "runs"]
    table = [[*header, "fired without", "fired with", "highest without", "highest with"]]

    def same(case: Case) -> tuple[Any, ...]:
        apart = ("group", "maps", "watches", "without")
        names = [field.name for field in dataclasses.fields(Run) if field.name not in apart]
        return tuple(case.record[name] for name in names)

    def key(case: Case) -> tuple[str, str, str, str]:
        record = case.record
        out = record["without"] or f"gradient: {record['maps']} maps"
        correlation = "never there" if record["schedule"] == "never" else f"rho {record['rho']:g}"
        return out, record["artefact"], correlation, case.verdict

    whole = {same(c): c for c in cases if c.record["group"] in ("N1", "N2", "kinds")}
    ablated = [case for case in cases if case.record["group"] == "ablation"]
    for group, some in measures.grouped(ablated, key).items():
        pairs = [[case, whole[same(case)]] for case in some if same(case) in whole]
        tests = tuple(TESTS) if group[0] == "control" else PROPOSED
        columns = [[pair[side].replays["nothing"] for pair in pairs] for side in (0, 1)]
        told = [
            of(Rate(sum(any(row_name(f.test) in tests for f in r.fired) for r in c), len(c)))
            for c in columns
        ]
        heights = [
            number(
                max(
                    (v for r in c for t, v in r.heights.items() if row_name(t) in tests),
                    default=math.nan,
                )
            )
            for c in columns
        ]
        table.append([*group, str(len(pairs)), *told, *heights])
    return table
