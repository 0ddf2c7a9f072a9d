"""The report: one page of tables in Markdown, the same numbers in JSON, one figure."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics as medians
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.spurious import measures
from benchmarks.spurious.figure import draw
from benchmarks.spurious.measures import Case, Rate, Record
from benchmarks.spurious.plan import Run
from benchmarks.spurious.replay import POLICIES, agrees
from keras_saliency.detection.tests import TESTS

Table = list[list[str]]

FAILS = "NO"
"""What the table of gates says of one that does not hold."""

PROPOSED = ("own_hot_spot", "class_hot_spot", "hot_window")
TOUCHED = {"control": tuple(TESTS), "blocked_because": tuple(TESTS), "halves": PROPOSED[1:]}
"""The tests that feel it if a part is left out; of other maps, those that maps propose."""


def write(records: Sequence[Record], folder: Path) -> tuple[str, bool]:
    """Writes `report.md`, `summary.json` and `report.png`; returns the page, and if gates hold.

    Args:
        records: As `drive.read` gives them.
        folder: Which exists.
    """
    cases = measures.cases(records)
    sections = {
        "What was run": ran(cases),
        "Gates": gates(cases),
        "False alarms": alarms(cases),
        "Detection": detected(cases),
        "Lead": lead(cases),
        "Diagnosis": diagnosis(cases),
        "Null": null(cases),
        "Ablations": ablations(cases),
        "Cost": cost(cases),
    }
    page = "\n\n".join(f"## {title}\n\n{markdown(table)}" for title, table in sections.items())
    page += f"\n\nWindows of alerts against the planted place: {located(cases)}\n"
    (folder / "report.md").write_text(page, encoding="utf-8")
    summary = {
        title: [dict(zip(table[0], row, strict=True)) for row in table[1:]]
        for title, table in sections.items()
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")
    draw(cases, folder / "report.png")
    return page, all(row[-1] != FAILS for row in sections["Gates"])


def markdown(table: Table) -> str:
    """A table in Markdown, its first row the header, in columns of one width."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [table[0], ["-" * width for width in widths], *table[1:]]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def number(value: float) -> str:
    """Two digits; a dash for `nan`."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def of(rate: Rate) -> str:
    """`"2/30"`; a dash of nothing."""
    return f"{rate.hits}/{rate.total}" if rate.total else "-"


def ran(cases: Sequence[Case]) -> Table:
    """How many runs of each group there are, and what they turned out to be."""
    table = [["domain", "group", "runs", "relies", "between", "does not", "told live as replayed"]]
    key = lambda case: (case.record["domain"], case.record["group"])  # noqa: E731
    for (domain, group), some in measures.grouped(cases, key).items():
        counts = [sum(c.verdict == v for c in some) for v in ("relies", "between", "does not")]
        same = sum(agrees(case.record) for case in some)
        table.append([domain, group, str(len(some)), *map(str, counts), f"{same}/{len(some)}"])
    return table


def gates(cases: Sequence[Case]) -> Table:
    """What has to hold, and whether it does."""
    table = [["gate", "wanted", "found", "holds"]]

    def row(name: str, wanted: str, found: str, holds: bool, few: bool = False) -> None:
        table.append([name, wanted, found, "yes" if holds else "too few runs" if few else FAILS])

    for policy in POLICIES:
        rate = measures.false_alarms(cases, policy, twice=True)
        if rate.total:
            found = f"{of(rate)}, at most {rate.upper:.3f}"
            few = rate.share <= 0.05 and Rate(0, rate.total).upper > 0.1
            holds = rate.share <= 0.05 and rate.upper <= 0.1
            row(f"false alerts, given {policy}", "<= 5 %, bound <= 10 %", found, holds, few)
    for probes in ("held out", "trained"):
        p_values = measures.null_p_values(cases, probes)
        for alpha, wanted in ((0.05, 0.07), (0.01, 0.02)):
            if len(p_values):
                share = float((p_values < alpha).mean())
                found = f"{share:.3f} of {len(p_values)}"
                name = f"P(p < {alpha}), named regions, probes {probes}"
                row(name, f"<= {wanted}", found, share <= wanted)
    for policy in ("nothing", "masks"):
        for name, wanted, some in wanted_detections(cases):
            rate = measures.detections(some, policy, twice=True)
            if rate.total:
                row(f"{name}, given {policy}", f">= {wanted}", of(rate), rate.share >= wanted)
    for told, twice in (("warned", False), ("alerted", True)):
        for policy in ("nothing", "masks"):
            delays = measures.delays(cases, policy, twice=twice)
            if delays:
                share = sum(delay <= 1 for delay in delays) / len(delays)
                found = f"{share:.2f} of {len(delays)}"
                name = f"{told} no later than one evaluation, given {policy}"
                row(name, ">= 0.95", found, share >= 0.95, few=len(delays) < 20)
    return table


def wanted_detections(cases: Sequence[Case]) -> list[tuple[str, float, list[Case]]]:
    """The groups of runs that must be detected."""
    digits = [case for case in cases if case.record["domain"] == "digits"]
    fixed = [
        case
        for case in digits
        if case.record["artefact"] in ("glyph", "gray")
        and case.record["rho"] >= 0.7
        and case.record["contrast"] <= 0.5
        and case.record["amplitude"] == 1
    ]
    other = [
        case
        for case in digits
        if case.record["artefact"] in ("rglyph", "tag1", "tint", "hf")
        and case.record["group"] == "kinds"
    ]
    return [("glyph, gray found", 0.95, fixed), ("rglyph, tag1, tint, hf found", 0.9, other)]


def alarms(cases: Sequence[Case]) -> Table:
    """False alarms by control: at one evaluation and, behind the comma, at two in a row."""
    table = [["domain", "control", *(f"given {policy}" for policy in POLICIES)]]

    def row(domain: str, name: str, some: Sequence[Case], bound: bool) -> None:
        cells = []
        for policy in POLICIES:
            once, twice = (measures.false_alarms(some, policy, twice=t) for t in (False, True))
            cell = f"{of(once)}, {of(twice)}" if twice.total else "-"
            cells.append(cell + (f" (at most {twice.upper:.3f})" if bound and twice.total else ""))
        table.append([domain, name, *cells])

    negatives = [case for case in cases if measures.control(case)]
    key = lambda case: (case.record["domain"], measures.control(case))  # noqa: E731
    for (domain, name), some in measures.grouped(negatives, key).items():
        row(domain, name, some, False)
    for (domain,), some in measures.grouped(negatives, lambda c: (c.record["domain"],)).items():
        row(domain, "all", some, True)
    row("both", "all", negatives, True)
    return table


def detected(cases: Sequence[Case]) -> Table:
    """Relying runs that were told: at one evaluation and, behind the comma, at two in a row."""
    table = [["domain", "network", "kind", "setting", *(f"given {policy}" for policy in POLICIES)]]

    def key(case: Case) -> tuple[str, str, str, str]:
        record = case.record
        knobs = {"rho": 1.0, "contrast": 0.5, "amplitude": 1.0}
        if record["domain"] == "shapes":
            knobs["contrast"] = 1.0
        changed = [f"{k} {record[k]:g}" for k, usual in knobs.items() if record[k] != usual]
        changed += [record["schedule"]] if record["schedule"] != "planted" else []
        changed += [record["layout"]] if record["layout"] != "free" else []
        return record["domain"], record["network"], record["artefact"], ", ".join(changed)

    def cells(some: Sequence[Case]) -> list[str]:
        rates = [
            [measures.detections(some, policy, twice=t) for t in (False, True)]
            for policy in POLICIES
        ]
        return [f"{of(once)}, {of(twice)}" if once.total else "-" for once, twice in rates]

    for group, some in measures.grouped(measures.relying(cases), key).items():
        table.append([*group, *cells(some)])
    table.append(["all", "", "", "", *cells(cases)])
    areas = [measures.area_under_curve(cases, policy) for policy in POLICIES]
    table.append(["AUC", "", "", "", *map(number, areas)])
    return table


def lead(cases: Sequence[Case]) -> Table:
    """Evaluations from the onset of reliance to the first warning and to the alert."""
    header = ["given", "told", "runs", "median", "earliest", "latest", "later than one"]
    table = [[*header, "epochs saved", "before any effect"]]
    for policy in POLICIES:
        for told, twice in (("warning", False), ("alert", True)):
            delays = measures.delays(cases, policy, twice=twice)
            if not delays:
                continue
            late = Rate(sum(delay > 1 for delay in delays), len(delays))
            saved = measures.saved(cases, policy)
            spared = f"{medians.median(saved):.0%}" if twice and saved else ""
            early = of(measures.premature(cases, policy)) if twice else ""
            spread = [f"{f(delays):+g}" for f in (medians.median, min, max)]
            table.append([policy, told, str(len(delays)), *spread, of(late), spared, early])
    return table


def diagnosis(cases: Sequence[Case]) -> Table:
    """Which test fires twice in a row, by the kind of the artefact, at full strength."""
    table = [["domain", "kind", *TESTS]]
    full = [case for case in cases if case.record["group"] == "kinds"]
    key = lambda case: (case.record["domain"], case.record["artefact"])  # noqa: E731
    for (domain, kind), some in measures.grouped(measures.relying(full), key).items():
        table.append([domain, kind, *(of(measures.firing(some, test)) for test in TESTS)])
    return table


def null(cases: Sequence[Case]) -> Table:
    """The largest effects of each test among negatives, at any evaluation with an open gate."""
    table = [["test", "floor", "runs", "median", "95 %", "largest", "in"]]
    for rule, values in measures.null_effects(cases).items():
        effects = [effect for effect, _ in values]
        high = effects[int(0.05 * len(effects))]
        middle = medians.median(effects)
        shown = [number(v) for v in (middle, high, effects[0])]
        table.append([rule, number(TESTS[rule].floor), str(len(effects)), *shown, values[0][1]])
    return table


def ablations(cases: Sequence[Case]) -> Table:
    """What a part of the test is good for: the same runs with and without it, given masks.

    Only tests that can feel the difference are looked at, see `TOUCHED`.
    """
    header = ["left out", "kind", "correlation", "verdict", "runs"]
    table = [[*header, "alarms without", "alarms with", "highest without", "highest with"]]

    def same(case: Case) -> tuple[Any, ...]:
        apart = ("id", "group", "maps", "masks", "without")
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
        columns = [[row[i].replays["masks"] for row in pairs] for i in (0, 1)]
        tests = [test for test in TESTS if test in TOUCHED.get(group[0], PROPOSED)]
        told = [
            of(Rate(sum(any(f.test in tests for f in r.fired) for r in column), len(column)))
            for column in columns
        ]
        heights = [
            number(max((r.heights.get(t, 0.0) for r in column for t in tests), default=math.nan))
            for column in columns
        ]
        table.append([*group, str(len(pairs)), *told, *heights])
    return table


def cost(cases: Sequence[Case]) -> Table:
    """Seconds of an evaluation with every test, the first one left out, and its share."""
    table = [["domain", "network", "probes asked", "evaluation", "epoch", "share"]]
    key = lambda case: (case.record["domain"], case.record["network"])  # noqa: E731
    for (domain, network), some in measures.grouped(cases, key).items():
        rows = [row for c in some for rows in c.record["watches"].values() for row in rows[1:]]
        seconds = medians.median(row["seconds"] for row in rows)
        epoch = medians.median(s for c in some for s in c.record["epoch_seconds"][1:])
        most = max(effect.get("num_probes", 0) for row in rows for effect in row["effects"])
        share = f"{seconds / epoch:.0%}"
        table.append([domain, network, str(most), f"{seconds:.2f} s", f"{epoch:.2f} s", share])
    return table


def located(cases: Sequence[Case]) -> str:
    """Of alerts with a window, how many lie on the artefact; by the maps that proposed them."""
    said = []
    for (maps,), some in measures.grouped(cases, lambda c: (c.record["maps"],)).items():
        rate = measures.localised(some)
        if rate.total:
            said.append(
                f"{maps} maps, {of(rate)} overlap it by 0.3 or more (intersection over union)"
            )
    return "; ".join(said) + "."
