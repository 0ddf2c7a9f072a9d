"""Markdown for TensorBoard's Text tab: the configuration of a run, and what its tests found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import SaliencyReport


def configuration(settings: Mapping[str, str], probes: ProbeSet, drawn: Iterable[int]) -> str:
    """Two tables: the settings, and the probes.

    Args:
        settings: Names and values.
        probes: The probes of the run.
        drawn: The indices of the probes that have pictures in TensorBoard's own tabs.
    """
    with_picture = set(drawn)
    table = [row(("setting", "value")), row(("---", "---")), *map(row, settings.items())]
    columns = ("probe", "target", "group", "picture")
    listed = [row(columns), row(["---"] * len(columns))]
    for index, name in enumerate(probes.names):
        targets, groups = probes.targets, probes.groups
        target = "first prediction" if targets is None else str(targets[index])
        if targets is not None and probes.class_names:
            target += f" {probes.class_name(targets[index])}"
        group = "" if groups is None else str(groups[index])
        picture = "yes" if index in with_picture else "no"
        listed.append(row((name, target, group, picture)))
    return "\n".join([*table, "", *listed])


def findings(report: SaliencyReport) -> str:
    """New alerts, and a table of all tests; empty for a report without tests."""
    results = report.interventions
    if results is None:
        return ""
    columns = ("test", "effect", "net flips", "p", "floor", "control", "at the start", "verdict")
    rows = [row(columns), row(["---"] * len(columns))]
    for verdict in report.verdicts:
        effect = verdict.effect
        numbers = (
            effect.effect,
            effect.flip,
            verdict.p_value,
            verdict.floor,
            effect.control,
            verdict.start,
        )
        outcome = f"**{verdict.status}**" if verdict.status == "fires" else verdict.status
        outcome += f": {verdict.reason}" if verdict.reason else ""
        outcome += " (alert)" if verdict.active else ""
        outcome += " (alert withdrawn)" if verdict.withdrawn else ""
        rows.append(row((verdict.subject, *map(_number, numbers), outcome)))
    sentences = [f"{alert.level}: {alert.sentence}\n" for alert in report.alerts]
    notes = [f"No alert yet: {results.blocked_because}.\n"] if results.blocked_because else []
    notes += [f"{results.note}.\n"] if results.note else []
    notes.append(f"Effects in {results.unit}; {results.passes} forward passes.\n")
    return "\n".join([*sentences, *notes, *rows])


def row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', '&#124;') for cell in cells)} |"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"
