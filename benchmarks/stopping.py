"""What stopping a test early saves, and whether it changes an alert.

    python -m benchmarks.stopping [--every 20] [--out FILE]

Each n-th run of `benchmarks/spurious` is watched twice in the same training: by a callback as users
have it, and by one whose tests never stop before all pairs are asked about. Both make all tests at
every epoch. The table has the forward passes, and how many sets of probes got other alerts or
warnings, or got them at other steps.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from benchmarks._models import arguments_of, machine, table, tell
from benchmarks.spurious.levels import verdict
from benchmarks.spurious.material import Batches, material, probe_sets
from benchmarks.spurious.networks import EPOCHS, network
from benchmarks.spurious.plan import Run, subset
from benchmarks.spurious.run import TESTS
from benchmarks.spurious.truth import Oracle
from benchmarks.spurious.watch import Watch
from keras_saliency.detection import effects


class CompleteWatch(Watch):
    """One whose tests do not stop early."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with never_stopping():
            super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with never_stopping():
            super().on_epoch_end(epoch, logs)


@contextmanager
def never_stopping() -> Iterator[None]:
    """Within it, no upper bound is small enough to stop a test."""
    usual, effects.BOUND = effects.BOUND, math.inf
    try:
        yield
    finally:
        effects.BOUND = usual


def watched(run: Run) -> tuple[str, list[tuple[Watch, Watch]]]:
    """Whether the model relies on the cue, and both watches of each set of probes."""
    parts = material(run)
    shape = parts.train.images.shape[1:]
    model = network(run.network, shape, parts.train.classes, learns=run.learns, seed=run.seed)
    oracle = Oracle(run, parts.test)
    pairs = [
        (CompleteWatch(probes, run, tests), Watch(probes, run, tests))
        for probes, tests in (
            (probes, TESTS.get(name, ())) for name, probes in probe_sets(run, parts.probes).items()
        )
    ]
    model.fit(
        Batches(run, parts.train),
        epochs=run.epochs or EPOCHS[run.network],
        shuffle=False,
        verbose=0,
        callbacks=[oracle, *(watch for pair in pairs for watch in pair)],
    )
    keras.backend.clear_session()
    return verdict({truth.step: truth.effect for truth in oracle.truths}), pairs


def main() -> int:
    """Compares; returns 1 if an alert or a warning differs."""
    parser = arguments_of(__doc__)
    parser.add_argument("--every", type=int, default=20, help="of the runs, take each n-th")
    arguments = parser.parse_args()
    runs = subset("full")[3 :: arguments.every]
    rows: dict[str, list[int]] = {}
    for number, run in enumerate(runs, 1):
        relies, pairs = watched(run)
        counts = rows.setdefault(relies, [0] * 5)
        counts[0] += 1
        for both in pairs:
            told = [[(row["step"], row["alerts"]) for row in watch.rows] for watch in both]
            passes = [sum(row["passes"] for row in watch.rows) for watch in both]
            for place, count in enumerate((1, *passes, told[0] != told[1]), 1):
                counts[place] += count
        print(f"[{number}/{len(runs)}] {run.id}: {relies}", file=sys.stderr, flush=True)
    lines = []
    for relies, (num_runs, sets, complete, usual, others) in sorted(rows.items()):
        numbers = [f"{count:,}" for count in (num_runs, sets, complete, usual)]
        lines.append([relies, *numbers, f"{usual / complete:.2f}", str(others)])
    header = [
        "the model",
        "runs",
        "probe sets",
        "passes",
        "stopping early",
        "ratio",
        "other alerts",
    ]
    differs = any(counts[4] for counts in rows.values())
    parts = [f"{len(runs)} runs, seeds 20 to 27. {machine()}", table(header, lines)]
    tell("\n\n".join(parts), arguments.out)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
