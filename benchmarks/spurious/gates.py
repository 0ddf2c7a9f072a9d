"""What has to hold, and whether it does."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import binom

from benchmarks.spurious import measures
from benchmarks.spurious.families import WANTED, WANTED_BACKGROUND
from benchmarks.spurious.formats import Table, of
from benchmarks.spurious.measures import Case, Rate
from benchmarks.spurious.replay import POLICIES

FAILS = "NO"
"""What the table of gates says of one that does not hold."""

FEW = 10
"""A share of fewer runs than this is too low only if chance hardly explains it."""

FEWEST_NEGATIVES, FEWEST_OF_EACH = 300, 20
"""Runs without a shortcut, and those of each control."""

MOST_PASSES = 1.5 * 5888
"""Of a round of tests with 64 probes: 1.5 times what the first edition took."""


def gates(cases: Sequence[Case]) -> Table:
    """A row for each gate; the last cell is `"yes"`, `FAILS` or `"too few runs"`."""
    return [
        ["gate", "wanted", "found", "holds"],
        *_false_alarms(cases),
        *_p_values(cases),
        *_detection(cases),
        *_alerts(cases),
        *_passes(cases),
    ]


def _row(name: str, wanted: str, found: str, holds: bool, few: bool = False) -> list[str]:
    return [name, wanted, found, "too few runs" if few else "yes" if holds else FAILS]


def _share(name: str, least: float, rate: Rate) -> list[str]:
    """A row for a share of runs."""
    found = f"{of(rate)}, {rate.share:.0%}" if rate.total else "-"
    holds = rate.total > 0 and rate.share >= least
    few = rate.total < FEW and binom.cdf(rate.hits, rate.total, least) >= 0.05
    return _row(name, f">= {least:.0%}", found, holds, few)


def _false_alarms(cases: Sequence[Case]) -> list[list[str]]:
    rows = []
    for way in POLICIES:
        rate = measures.false_alarms(cases, way, twice=True)
        found = f"{of(rate)}, at most {rate.upper:.3f}"
        if way == "nothing":
            few = rate.total < FEWEST_NEGATIVES
            holds = rate.hits <= rate.total / 300
            none = few and not rate.hits
            rows.append(_row(f"false alerts, given {way}", "<= 1 of 300", found, holds, none))
            name = "runs without a shortcut"
            rows.append(_row(name, f">= {FEWEST_NEGATIVES}", str(rate.total), not few, few))
        elif rate.total:
            few = not rate.hits and rate.upper > 0.1
            holds = rate.share <= 0.05 and rate.upper <= 0.1
            wanted = "<= 5 %, bound <= 10 %"
            rows.append(_row(f"false alerts, given {way}", wanted, found, holds, few))
    counts: dict[str, int] = {}
    for case in cases:
        if measures.control(case):
            counts[measures.control(case)] = counts.get(measures.control(case), 0) + 1
    if counts:
        name, count = min(counts.items(), key=lambda item: item[1])
        found = f"{count} of {name}"
        holds = count >= FEWEST_OF_EACH
        is_part = sum(counts.values()) < FEWEST_NEGATIVES
        rows.append(_row("runs of each control", f">= {FEWEST_OF_EACH}", found, holds, is_part))
    return rows


def _p_values(cases: Sequence[Case]) -> list[list[str]]:
    rows = []
    for probes in ("held out", "trained"):
        p_values = measures.null_p_values(cases, probes)
        for alpha, wanted in ((0.05, 0.07), (0.01, 0.02)):
            if len(p_values):
                share = float((p_values < alpha).mean())
                found = f"{share:.3f} of {len(p_values)}"
                name = f"P(p < {alpha}), named regions, probes {probes}"
                few = len(p_values) < 100
                rows.append(_row(name, f"<= {wanted}", found, share <= wanted, few))
    return rows


def _detection(cases: Sequence[Case]) -> list[list[str]]:
    rows = []
    for way in ("nothing", "masks"):
        for name, wanted in {**WANTED, "background": WANTED_BACKGROUND[way]}.items():
            some = measures.full_strength(cases, name)
            rate = measures.detections(some, way, twice=True)
            rows.append(_share(f"{name} found, given {way}", wanted, rate))
    return rows


def _alerts(cases: Sequence[Case]) -> list[list[str]]:
    """When alerts come, how many, and whether they say the right thing."""
    rows = []
    full = measures.full_strength(cases)
    for way in ("nothing", "masks"):
        delays = measures.delays(cases, way, twice=False)
        rate = Rate(sum(delay <= 1 for delay in delays), len(delays))
        name = f"warned no later than one evaluation after reliance, given {way}"
        rows.append(_share(name, 0.95, rate))
        rows.append(_share(f"one alert per cue, given {way}", 0.9, measures.single(full, way)))
        rows.append(_share(f"headline right, given {way}", 0.9, measures.right(full, way)))
    return rows


def _passes(cases: Sequence[Case]) -> list[list[str]]:
    rows = []
    for given, watch in (("nothing", "nothing"), ("masks", "exact")):
        passes = measures.passes(cases, watch)
        if passes:
            middle = statistics.median(passes)
            name = f"images asked about in a round of tests, median, given {given}"
            found = f"{middle:.0f} of {len(passes)} rounds"
            rows.append(_row(name, f"<= {MOST_PASSES:.0f}", found, middle <= MOST_PASSES))
    return rows
