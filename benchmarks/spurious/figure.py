"""The figure of the report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.spurious import measures
from benchmarks.spurious.families import FAMILIES
from benchmarks.spurious.measures import Case

QUIET, TOLD = "#2a6f97", "#c8553d"


def draw(cases: Sequence[Case], path: Path) -> None:
    """Writes a PNG: heights of all runs; detection by the true effect; delays."""
    figure, (heights, knobs, delays) = plt.subplots(
        1, 3, figsize=(15, 6), width_ratios=(2, 1, 1), layout="constrained"
    )
    _heights(heights, cases)
    _knobs(knobs, cases)
    _delays(delays, cases)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _heights(axes: Axes, cases: Sequence[Case]) -> None:
    """A point a run: its largest effect in multiples of the floor, given nothing."""
    rows: dict[str, list[float]] = {}
    way = {"N5": "region"}
    for case in cases:
        name = measures.control(case)
        replayed = case.replays.get(way.get(name, "nothing"))
        if replayed is not None and name:
            rows.setdefault(name, []).append(replayed.height)
    negatives = sorted(rows, key=lambda row: int(row[1:]))
    for case in measures.full_strength(cases):
        rows.setdefault(case.record["artefact"], []).append(case.replays["nothing"].height)
    kinds = [kind for some in FAMILIES.values() for kind in some if kind in rows]
    order = [*negatives, *kinds]
    rng = np.random.default_rng(0)
    for place, row in enumerate(order):
        spread = place + rng.uniform(-0.25, 0.25, len(rows[row]))
        colour = QUIET if row in negatives else TOLD
        axes.plot(rows[row], spread, ".", color=colour, alpha=0.7)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(
        "largest effect of any test that may fire, in multiples of its floor, given nothing"
    )
    axes.set_title(
        "negatives (blue; N5: of the region), relying at full strength (red)", fontsize=10
    )


def _knobs(axes: Axes, cases: Sequence[Case]) -> None:
    """The share of relying runs that were told, against the true effect."""
    edges = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01])
    for way, style in (("nothing", "o-"), ("masks", "s--")):
        places, shares = [], []
        for low, high in itertools.pairwise(edges):
            some = [c for c in cases if low <= max(c.effects.values()) < high]
            rate = measures.detections(some, way, twice=True)
            if rate.total:
                places.append((low + high) / 2)
                shares.append(rate.share)
        axes.plot(places, shares, style, label=f"given {way}")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("largest true effect of the run")
    axes.set_ylabel("share of relying runs with an alert")
    axes.legend()
    axes.set_title("detection", fontsize=10)


def _delays(axes: Axes, cases: Sequence[Case]) -> None:
    """Evaluations from the onset of reliance to the first warning and to the alert."""
    told = {"first warning": False, "alert": True}
    found = {name: measures.delays(cases, "nothing", twice=t) for name, t in told.items()}
    values = [delay for delays in found.values() for delay in delays]
    if values:
        bins = np.arange(min(values), max(values) + 2) - 0.5
        axes.hist(list(found.values()), bins=list(bins), label=list(found))
        axes.legend()
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel("evaluations after the onset of reliance")
    axes.set_ylabel("runs")
    axes.set_title("delay, given nothing", fontsize=10)
