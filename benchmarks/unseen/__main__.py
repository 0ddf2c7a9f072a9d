"""The command line of the benchmark.

    python -m benchmarks.unseen run [--results FILE] [--clean-seeds 10 11] [--planted-seeds 10]
    python -m benchmarks.unseen report [--results FILE] [--out FOLDER]

`run` may be stopped and called again: it goes on where it was. `report` trains nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.spurious.drive import read
from benchmarks.unseen.plan import Run, runs
from benchmarks.unseen.report import page

RESULTS = Path(__file__).parent / "results"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "KERAS_BACKEND": "tensorflow",
}


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.unseen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs", allow_abbrev=False)
    run.add_argument("--clean-seeds", type=int, nargs="*", default=[10, 11])
    run.add_argument("--planted-seeds", type=int, nargs="*", default=[10])
    report = commands.add_parser("report", help="tables", allow_abbrev=False)
    report.add_argument("--out", type=Path, default=RESULTS)
    for command in (run, report):
        command.add_argument("--results", type=Path, default=RESULTS / "runs.jsonl")
    arguments = parser.parse_args()
    if arguments.command == "run":
        failed = drive(runs(arguments.clean_seeds, arguments.planted_seeds), arguments.results)
        return 1 if failed else 0
    records = read(arguments.results)
    if not records:
        parser.error(f"--results: {arguments.results} has no records; make some with `run`")
    text = page(records)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "report.md").write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


def drive(wanted: Sequence[Run], results: Path) -> int:
    """Makes the runs that the file does not have yet, one after the other.

    Args:
        wanted: All runs.
        results: JSON lines, one record a run; made if need be.

    Returns:
        How many runs failed; their errors are printed, and they are tried again next time.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    done = {record["id"] for record in read(results)}
    left = [run for run in wanted if run.id not in done]
    print(f"{len(wanted)} runs, {len(left)} to be made", file=sys.stderr)
    os.environ.update(ENVIRONMENT)
    from benchmarks.unseen.training import execute  # TensorFlow reads its variables only now

    failed = 0
    for number, run in enumerate(left, 1):
        try:
            record = execute(run)
        except Exception:
            failed += 1
            print(f"{run.id}: {traceback.format_exc()}", file=sys.stderr)
            continue
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        said = ", ".join(alert["rule"] for alert in record["alerts"]) or "no alert"
        line = f"[{number}/{len(left)}] {run.id}: {said}; {record['seconds']} s"
        print(line, file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
