"""The tables of the report: false alarms, detection, lead, headlines, cost."""

from __future__ import annotations

import collections
import statistics as medians
from collections.abc import Sequence

from benchmarks.spurious import measures
from benchmarks.spurious.families import FAMILIES, NAMES
from benchmarks.spurious.formats import Table, both, number, of
from benchmarks.spurious.measures import Case, Rate
from benchmarks.spurious.replay import BY_SCHEDULE, FEW, POLICIES, Fired, agrees
from keras_saliency.detection.tests import TESTS


def ran(cases: Sequence[Case]) -> Table:
    """How many runs of each group there are, and what they turned out to be."""
    table = [["domain", "group", "runs", "relies", "between", "does not", "told live as replayed"]]
    key = lambda case: (case.record["domain"], case.record["group"])  # noqa: E731
    for (domain, group), some in measures.grouped(cases, key).items():
        table.append([domain, group, *_counts(some)])
    table.append(["all", "", *_counts(cases)])
    return table


def _counts(some: Sequence[Case]) -> list[str]:
    counts = [sum(c.verdict == v for c in some) for v in ("relies", "between", "does not")]
    same = sum(agrees(case.record) for case in some)
    return [str(len(some)), *map(str, counts), f"{same}/{len(some)}"]


def alarms(cases: Sequence[Case]) -> Table:
    """False alarms by control and by domain: warned and, behind the comma, alerted."""
    header = ["runs without a shortcut", *(f"given {way}" for way in POLICIES)]
    table = [[*header, "per 300, given nothing"]]

    def row(name: str, some: Sequence[Case], bound: bool) -> None:
        cells = []
        for way in POLICIES:
            once, twice = (measures.false_alarms(some, way, twice=t) for t in (False, True))
            upper = f" (at most {twice.upper:.3f})" if bound and twice.total else ""
            cells.append(both(once, twice) + upper)
        rate = measures.false_alarms(some, "nothing", twice=True)
        table.append([name, *cells, f"{300 * rate.share:.1f}" if rate.total else "-"])

    some = [case for case in cases if measures.control(case)]
    key = lambda case: (int(measures.control(case)[1:]),)  # noqa: E731
    for (control,), part in sorted(measures.grouped(some, key).items()):
        row(f"N{control}", part, False)
    for (domain,), part in measures.grouped(some, lambda c: (c.record["domain"],)).items():
        row(domain, part, True)
    row("all", some, True)
    return table


def each_false_alarm(cases: Sequence[Case]) -> Table:
    """Every test that raised a false alert, with what its sentence says, at its first one."""
    header = ["control", "run", "given", "epoch", "test", "effect", "floor", "p", "control's"]
    table = [[*header, "place", "support", "true effect"]]
    for way in POLICIES:
        for case in measures.negatives(cases, way):
            for fired in _first_of_each(case.replays[way].alerts):
                effect = fired.effect
                place = "" if effect.window is None else str(tuple(effect.window))
                place += "" if effect.target is None else f" class {effect.target}"
                numbers = [number(value) for value in (effect.effect, fired.floor)]
                told = [way, str(fired.step), fired.test, *numbers, f"{fired.p_value:.1g}"]
                told += [number(effect.control), place, effect.support]
                true = number(case.effects[fired.step])
                table.append([measures.control(case), case.record["id"], *told, true])
    return table


def _first_of_each(alerts: Sequence[Fired]) -> list[Fired]:
    first: dict[str, Fired] = {}
    for fired in alerts:
        first.setdefault(fired.test, fired)
    return list(first.values())


def by_family(cases: Sequence[Case]) -> Table:
    """Relying runs at full strength that were told: warned and, behind the comma, alerted."""
    table = [["family", "kinds", *(f"given {way}" for way in POLICIES)]]
    for name, kinds in FAMILIES.items():
        table.append([name, ", ".join(kinds), *_told(measures.full_strength(cases, name))])
    table.append(["all", "", *_told(measures.full_strength(cases))])
    for (domain,), some in measures.grouped(
        measures.full_strength(cases), lambda case: (case.record["domain"],)
    ).items():
        table.append([f"on {domain}", "", *_told(some)])
    areas = [number(measures.area_under_curve(cases, way)) for way in POLICIES]
    return [*table, ["AUC, all strengths", "", *areas]]


def _told(some: Sequence[Case]) -> list[str]:
    return [
        both(*(measures.detections(some, way, twice=twice) for twice in (False, True)))
        for way in POLICIES
    ]


def missed(cases: Sequence[Case]) -> Table:
    """Relying runs at full strength without an alert, given nothing."""
    table = [["family", "run", "true effect", "nearest test", "of its floor", "warned"]]
    for name in FAMILIES:
        for case in measures.full_strength(cases, name):
            replayed = case.replays["nothing"]
            if replayed.first(twice=True) is None:
                heights = replayed.heights
                test = max(heights, key=heights.__getitem__, default="")
                warned = {fired.test for fired in replayed.fired if fired.is_own}
                cells = [number(max(case.effects.values())), test, number(heights.get(test, 0.0))]
                table.append([name, case.record["id"], *cells, ", ".join(sorted(warned))])
    return table


def by_kind(cases: Sequence[Case]) -> Table:
    """Relying runs that were told, by kind and setting."""
    table = [["kind", "setting", *(f"given {way}" for way in POLICIES)]]

    def key(case: Case) -> tuple[str, str]:
        record = case.record
        usual = {"rho": 1.0, "contrast": 0.5, "amplitude": 1.0, "size": 0.0, "where": ""}
        usual |= {"imbalance": 1, "label_noise": 0.0, "augment": False, "network": "dense"}
        usual |= {"schedule": "planted"}
        if record["domain"] == "shapes":
            usual["contrast"] = 1.0
        changed = [f"{k} {record[k]}" for k, value in usual.items() if record[k] != value]
        return record["artefact"], ", ".join(changed)

    for group, some in measures.grouped(measures.relying(cases), key).items():
        table.append([*group, *_told(some)])
    return [*table, ["all", "", *_told(measures.relying(cases))]]


def lead(cases: Sequence[Case]) -> Table:
    """Evaluations from the onset of reliance to the first warning and to the alert."""
    header = ["given", "told", "runs", "median", "earliest", "latest", "later than one"]
    table = [[*header, "epochs saved", "before any effect"]]
    for way in (*POLICIES, *BY_SCHEDULE, FEW):
        for told, twice in (("warning", False), ("alert", True)):
            delays = measures.delays(cases, way, twice=twice)
            if not delays:
                continue
            late = Rate(sum(delay > 1 for delay in delays), len(delays))
            saved = measures.saved(cases, way)
            spared = f"{medians.median(saved):.0%}" if twice and saved else ""
            early = of(measures.premature(cases, way)) if twice else ""
            spread = [f"{f(delays):+g}" for f in (medians.median, min, max)]
            table.append([way, told, str(len(delays)), *spread, of(late), spared, early])
    return table


def less(cases: Sequence[Case], way: str, usual: str) -> Table:
    """The same runs looked at in another way than usual: false alarms, detection, delay.

    Args:
        cases: Of which those are read that were looked at in both ways.
        way: Of `replay.WAYS`, such as with the default schedule.
        usual: What it is compared with.
    """
    some = [case for case in cases if way in case.replays and usual in case.replays]
    table = [["", way, f"given {usual}, tests at every evaluation"]]
    if not some:
        return table

    def row(name: str, part: Sequence[Case], is_negative: bool = False) -> None:
        rate = measures.false_alarms if is_negative else measures.detections
        cells = [both(*(rate(part, w, twice=t) for t in (False, True))) for w in (way, usual)]
        table.append([name, *cells])

    row("false alarms", some, is_negative=True)
    for name in FAMILIES:
        row(f"{name} at full strength", measures.full_strength(some, name))
    row("all at full strength", measures.full_strength(some))
    for told, twice in (("warning", False), ("alert", True)):
        cells = []
        for one in (way, usual):
            delays = measures.delays(some, one, twice=twice)
            late = Rate(sum(delay > 1 for delay in delays), len(delays))
            cells.append(f"{medians.median(delays):+g}, {of(late)}" if delays else "-")
        table.append([f"delay of the {told}: median, later than one", *cells])
    rounds = [medians.mean(len(c.replays[w].steps) for c in some) for w in (way, usual)]
    return [*table, ["rounds of tests in a run", *(f"{count:.1f}" for count in rounds)]]


def headlines(cases: Sequence[Case], way: str) -> Table:
    """Relying runs at full strength with an alert: how many alerts, and whether they are right."""
    header = ["kind", "named rightly by", "relying", "alerted", "one alert", "right kind"]
    table = [[*header, "on its place", "right", "headlines", "all alerts"]]

    def row(kind: str, names: str, some: Sequence[Case]) -> None:
        heads = [(case, measures.headline(case.replays[way])) for case in some]
        told = [(case, fired) for case, fired in heads if fired is not None]
        named = Rate(sum(measures.is_named(c, f) for c, f in told), len(told))
        placed = [measures.is_on_place(c, f) for c, f in told if c.record["places"]]
        on_place = Rate(sum(placed), len(placed))
        rates = [measures.single(some, way), named, on_place, measures.right(some, way)]
        heading = collections.Counter(fired.test for _, fired in told)
        tests = collections.Counter(
            test for case in some for test in measures.alerted_tests(case.replays[way])
        )
        listed = [", ".join(f"{t} {n}" for t, n in c.most_common()) for c in (heading, tests)]
        table.append([kind, names, str(len(some)), str(len(told)), *map(of, rates), *listed])

    full = measures.full_strength(cases)
    for kind, names in NAMES.items():
        some = [c for c in full if c.record["artefact"] == kind and way in c.replays]
        if some:
            row(kind, ", ".join(names), some)
    row("all", "", [case for case in full if way in case.replays])
    return table


def null(cases: Sequence[Case]) -> Table:
    """The largest effects of each test among negatives, at any evaluation with an open gate."""
    table = [["test", "floor", "runs", "median", "95 %", "largest", "in"]]
    for rule, values in measures.null_effects(cases).items():
        effects = [effect for effect, _ in values]
        high = effects[int(0.05 * len(effects))]
        shown = [number(v) for v in (medians.median(effects), high, effects[0])]
        table.append([rule, number(TESTS[rule].floor), str(len(effects)), *shown, values[0][1]])
    return table


def cost(cases: Sequence[Case]) -> Table:
    """What an evaluation with every test takes, given nothing, the first one left out."""
    header = ["domain", "network", "classes", "probes asked", "passes", "most passes"]
    table = [[*header, "evaluation", "epoch", "share"]]
    key = lambda case: tuple(case.record[name] for name in ("domain", "network", "classes"))  # noqa: E731
    for group, some in measures.grouped(cases, key).items():
        rows = [row for case in some for row in case.record["watched"]["nothing"][1:]]
        seconds = medians.median(row["seconds"] for row in rows)
        epoch = medians.median(s for c in some for s in c.record["epoch_seconds"][1:])
        most = max(effect.get("num_probes", 0) for row in rows for effect in row["effects"])
        passes = measures.passes(some, "nothing") or [0]
        counts = [str(most), f"{medians.median(passes):.0f}", str(max(passes))]
        times = [f"{seconds:.2f} s", f"{epoch:.2f} s", f"{seconds / epoch:.0%}"]
        table.append([*map(str, group), *counts, *times])
    return table
