"""Makes runs in parallel and appends each one's record to a file as it ends."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.spurious.plan import Run

THREADS = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

RUNS_A_WORKER = 30
"""After so many a process ends and another begins: TensorFlow keeps some 25 MB of each run."""


def drive(runs: Sequence[Run], results: Path, workers: int) -> int:
    """Makes the runs that the file does not have yet.

    Args:
        runs: All that are wanted.
        results: JSON lines, one record a run; made if need be.
        workers: Processes, each on one thread.

    Returns:
        How many runs failed; their errors are printed, and they are tried again next time.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    done = {record["id"] for record in read(results)}
    left = [run for run in runs if run.id not in done]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them in {results}", file=sys.stderr)
    os.environ.update(THREADS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    failed, began = 0, time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    for start in range(0, len(left), RUNS_A_WORKER * workers):
        part = left[start : start + RUNS_A_WORKER * workers]
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            futures = {pool.submit(_made, run): run for run in part}
            for number, future in enumerate(concurrent.futures.as_completed(futures), start + 1):
                record, error = future.result()
                said = error or f"{record['verdict']}, {record['seconds']:.0f} s"
                minutes = (time.perf_counter() - began) / 60
                line = f"[{number}/{len(left)}, {minutes:.1f} min] {futures[future].id}: {said}"
                print(line, file=sys.stderr, flush=True)
                if error:
                    failed += 1
                    continue
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
    return failed


def read(results: Path) -> list[dict[str, Any]]:
    """Reads the records of a file; an incomplete last line is removed from it.

    Of two records of one run the later one counts. Without a file, there are none.
    """
    if not results.exists():
        return []
    text = results.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        results.write_text(text, encoding="utf-8")
    records = (json.loads(line) for line in text.splitlines())
    return list({record["id"]: record for record in records}.values())


def _made(run: Run) -> tuple[dict[str, Any], str]:
    """The record of a run, and what went wrong."""
    began = time.perf_counter()
    try:
        from benchmarks.spurious.run import execute  # TensorFlow reads its variables only now

        record = execute(run)
    except Exception:
        return {}, traceback.format_exc()
    return record | {"seconds": time.perf_counter() - began}, ""
