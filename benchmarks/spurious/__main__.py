"""The command line of the benchmark.

    python -m benchmarks.spurious run [--subset NAME] [--workers N] [--results FILE]
    python -m benchmarks.spurious report [--results FILE] [--out FOLDER]
    python -m benchmarks.spurious sheet [--out FOLDER]

`run` may be stopped and called again: it goes on where it was. `report` trains nothing;
its exit status is 1 if a gate does not hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.spurious.drive import drive, read
from benchmarks.spurious.plan import subset


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.spurious",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs of a subset", allow_abbrev=False)
    run.add_argument("--subset", choices=("ci", "dev", "first", "lesions", "full"), default="full")
    run.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    report = commands.add_parser("report", help="tables and a figure", allow_abbrev=False)
    sheet = commands.add_parser("sheet", help="pictures of the data", allow_abbrev=False)
    for command in (run, report):
        command.add_argument("--results", type=Path, default=Path("logs/spurious/results.jsonl"))
    for command in (report, sheet):
        command.add_argument("--out", type=Path, default=Path("logs/spurious"))
    arguments = parser.parse_args()
    if arguments.command == "run":
        if arguments.workers < 1:
            parser.error(f"--workers: expected at least 1, received {arguments.workers}")
        failed = drive(subset(arguments.subset), arguments.results, arguments.workers)
        return 1 if failed else 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.command == "sheet":
        from benchmarks.spurious.sheet import draw

        draw(arguments.out / "data.png")
        return 0
    from benchmarks.spurious.report import write

    records = read(arguments.results)
    if not records:
        parser.error(f"--results: {arguments.results} has no records; make some with `run`")
    page, holds = write(records, arguments.out)
    print(page)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
