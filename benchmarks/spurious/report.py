"""The report: one page of tables in Markdown, the same numbers in JSON, one figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.spurious import measures, parts, tables
from benchmarks.spurious.figure import draw
from benchmarks.spurious.formats import markdown
from benchmarks.spurious.gates import FAILS, gates
from benchmarks.spurious.measures import Record
from benchmarks.spurious.others import beside
from benchmarks.spurious.replay import BY_SCHEDULE, FEW


def write(records: Sequence[Record], folder: Path) -> tuple[str, bool]:
    """Writes `report.md`, `summary.json` and `report.png`; returns the page, and if gates hold.

    Args:
        records: As `drive.read` gives them.
        folder: Which exists.
    """
    cases = measures.cases(records)
    sections = {
        "What was run": tables.ran(cases),
        "Gates": gates(cases),
        "False alarms": tables.alarms(cases),
        "Each false alert": tables.each_false_alarm(cases),
        "Detection at full strength": tables.by_family(cases),
        "Missed at full strength, given nothing": tables.missed(cases),
        "Headlines, given nothing": tables.headlines(cases, "nothing"),
        "Headlines, given masks": tables.headlines(cases, "masks"),
        "Lead": tables.lead(cases),
        **{
            f"The default schedule, given {given}": tables.less(cases, way, given)
            for way, given in BY_SCHEDULE.items()
        },
        "16 probes": tables.less(cases, FEW, "nothing"),
        "Beside others": beside(cases),
        "Detection by kind and setting": tables.by_kind(cases),
        "Null": tables.null(cases),
        "Ablations": parts.left_out(cases),
        "Ablations in training": parts.trained(cases),
        "Cost": tables.cost(cases),
    }
    page = "\n\n".join(
        f"## {title}\n\n{markdown(table) if len(table) > 1 else 'None.'}"
        for title, table in sections.items()
    )
    (folder / "report.md").write_text(page + "\n", encoding="utf-8")
    summary = {
        title: [dict(zip(table[0], row, strict=True)) for row in table[1:]]
        for title, table in sections.items()
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")
    draw(cases, folder / "report.png")
    return page, all(row[-1] != FAILS for row in sections["Gates"])
