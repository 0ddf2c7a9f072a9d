"""The report: a page of tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]
Table = list[list[str]]
"""The first row is the header."""

LEARNED = 0.1
"""A run learned something if its accuracy is so far above chance at the end."""
RELIES = 0.2
"""A run relies on the cue from the epoch on where a wrong one costs so much accuracy."""


def page(records: Sequence[Record]) -> str:
    """All tables and counts."""
    clean = [record for record in records if not record["cue"]]
    planted = [record for record in records if record["cue"]]
    learned = [record for record in clean if _learned(record)]
    alarmed = [record for record in learned if record["alerts"]]
    standing = [record for record in learned if _standing(record)]
    relying = [record for record in planted if _onset(record) is not None]
    caught = [record for record in relying if _standing(record)]
    warned = [record for record in relying if record["warnings"]]
    quiet = [record for record in planted if _onset(record) is None]
    disturbed = [record for record in quiet if record["alerts"]]
    sections = [
        "# Image sets that the rules were not chosen on",
        "What is counted, and how to read it: [README.md](../README.md).",
        "## Clean runs",
        f"Alerts in {len(alarmed)} of {len(learned)} clean runs that learned something"
        f" ({len(standing)} with one that was not withdrawn).",
        _markdown(_clean_table(clean)),
        "Alerts by rule, and under which assumption they would be right:",
        _markdown(_assumptions(learned)),
        "## Planted cues",
        f"A standing alert at the end in {len(caught)} of {len(relying)} runs that rely on the cue;"
        f" at least a warning in {len(warned)}. Alerts in {len(disturbed)} of {len(quiet)} runs "
        "that do not.",
        _markdown(_planted_table(planted)),
    ]
    return "\n\n".join(sections) + "\n"


def _learned(record: Record) -> bool:
    """Whether the accuracy at the end is clearly above chance."""
    accuracy: float = record["accuracy"]["right"][-1]
    return accuracy > 1 / record["classes"] + LEARNED


def _onset(record: Record) -> int | None:
    """The epoch in which reliance began; `None` if the run does not rely at the end."""
    both = zip(record["accuracy"]["right"], record["accuracy"]["wrong"], strict=True)
    drops = [right - wrong for right, wrong in both]
    if drops[-1] < RELIES:
        return None
    return next(epoch for epoch, drop in enumerate(drops) if drop >= RELIES)


def _standing(record: Record) -> list[Record]:
    """The alerts that were not withdrawn."""
    return [alert for alert in record["alerts"] if alert["withdrawn"] is None]


def _clean_table(records: Sequence[Record]) -> Table:
    """A row for each run without a cue."""
    header = ["set", "seed", "accuracy", "alerts: rule, epoch, effect (control)"]
    rows = [
        [
            record["set"],
            str(record["seed"]),
            f"{record['accuracy']['right'][-1]:.2f}" + ("" if _learned(record) else " (chance)"),
            _alerts(record["alerts"]),
        ]
        for record in sorted(records, key=lambda record: record["set"])
    ]
    return [header, *rows]


def _assumptions(records: Sequence[Record]) -> Table:
    """Each rule with alerts, what it takes for granted, and the sets it spoke of."""
    sets: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for alert in record["alerts"]:
            sets.setdefault((alert["rule"], alert["assumption"]), set()).add(record["set"])
    header = ["rule", "a problem if", "alerted on"]
    rows = [[*key, ", ".join(sorted(names))] for key, names in sorted(sets.items())]
    return [header, *rows]


def _planted_table(records: Sequence[Record]) -> Table:
    """A row for each run with a cue."""
    header = [
        *("set", "cue", "network", "masks", "right", "wrong", "relies", "first warning"),
        "alerts: rule, epoch, effect (control)",
    ]
    return [header, *(_planted_row(record) for record in records)]


def _planted_row(record: Record) -> list[str]:
    """One run with a cue."""
    onset, warnings = _onset(record), record["warnings"]
    first = min(warnings, key=lambda warning: warning["step"]) if warnings else None
    return [
        record["set"],
        record["cue"],
        record["network"],
        "yes" if record["masks"] else "",
        f"{record['accuracy']['right'][-1]:.2f}",
        f"{record['accuracy']['wrong'][-1]:.2f}",
        "no" if onset is None else f"epoch {onset}",
        "none" if first is None else f"{first['rule']}, {first['step']}",
        _alerts(record["alerts"]),
    ]


def _alerts(alerts: Sequence[Record]) -> str:
    """Alerts in a cell of a table."""
    return "; ".join(_alert(alert) for alert in alerts) or "none"


def _alert(alert: Record) -> str:
    """One alert, its numbers, and when it was withdrawn."""
    control = "-" if alert["control"] is None else f"{alert['control']:.2f}"
    text = f"{alert['rule']}, {alert['step']}, {alert['effect']:.2f} ({control})"
    gone = alert["withdrawn"]
    return text if gone is None else f"{text}, withdrawn in {gone}"


def _markdown(table: Table) -> str:
    """A table in Markdown, in columns of one width."""
    if len(table) == 1:
        return "None."
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [table[0], ["-" * width for width in widths], *table[1:]]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
