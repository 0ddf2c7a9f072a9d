"""Numbers and tables as text."""

from __future__ import annotations

import math

from benchmarks.spurious.measures import Rate

Table = list[list[str]]
"""The first row is the header."""


def markdown(table: Table) -> str:
    """A table in Markdown, in columns of one width."""
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


def both(once: Rate, twice: Rate) -> str:
    """Warned and, behind the comma, alerted: `"3/30, 2/30"`; a dash of nothing."""
    return f"{of(once)}, {of(twice)}" if once.total else "-"
