"""Does memory grow with the number of probes and of draws? Peak memory of fresh processes.

    python -m benchmarks.memory [--side 224] [--out FILE]

MobileNetV2 with random weights, `batch_size=16`. First the gradient of one chunk, 16 probes: what
its peak is above the process with the model built is one chunk's worth. Then SmoothGrad with 25
copies of 64 probes, that is, 100 passes of that size instead of one. Its peak may lie above the
first by one chunk's worth at most, the probes themselves (they are in memory in either case, but
of another number) not counted.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from functools import partial

import keras
import numpy as np

import keras_saliency as ks
from benchmarks._models import arguments_of, machine, photographs, table, tell
from keras_saliency.attributions import smoothgrad

BATCH_SIZE = 16
CASES = {
    "gradient, 16 probes": ("gradient", 16),
    "gradient, 64 probes": ("gradient", 64),
    "smoothgrad (25 copies), 16 probes": (partial(smoothgrad, num_samples=25), 16),
    "smoothgrad (25 copies), 64 probes": (partial(smoothgrad, num_samples=25), 64),
}


def peak() -> float:
    """The most memory this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case: str, side: int) -> dict[str, float]:
    """The peak before and after an evaluation, and the probes' own size, in MiB."""
    method, count = CASES[case]
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((side, side, 3), weights=None, classes=10)
    probes = ks.ProbeSet(photographs(count, side) / 127.5 - 1, np.arange(count) % 10)
    before = peak()
    monitor = ks.SaliencyMonitor(
        model, probes, method=method, compute=ks.Compute(batch_size=BATCH_SIZE)
    )
    monitor.evaluate(step=0)
    return {"before": before, "peak": peak(), "probes": probes.images.nbytes / 2**20}


def growth(one: dict[str, float], other: dict[str, float]) -> float:
    """By how much one's peak is above the other's, the probes' images not counted, in MiB."""
    return (one["peak"] - one["probes"]) - (other["peak"] - other["probes"])


def main() -> int:
    """Measures each case in a process of its own; returns 1 if memory grew by too much."""
    parser = arguments_of(__doc__)
    parser.add_argument("--side", type=int, default=224, help="of the images (default: 224)")
    parser.add_argument("--case", choices=[*CASES], help="measure this one, in this process")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.side)))
        return 0
    found = {}
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.memory", "--case", case]
        command += ["--side", str(arguments.side)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[case] = json.loads(ran.stdout.splitlines()[-1])
    first, last = found[next(iter(CASES))], found[[*CASES][-1]]
    chunk = first["peak"] - first["before"]
    rows = []
    for case, one in found.items():
        sizes = [f"{one[name]:.0f} MiB" for name in ("before", "peak", "probes")]
        rows.append([case, *sizes, f"{growth(one, first) / chunk:+.2f}"])
    grown = growth(last, first) / chunk
    header = ["case", "model built", "peak", "the probes' images", "growth, in chunks"]
    parts = [
        f"MobileNetV2 at {arguments.side} px, batch_size={BATCH_SIZE}; a process each. {machine()}",
        table(header, rows),
        f"SmoothGrad of 64 probes needs {grown:+.2f} of a chunk's worth ({chunk:.0f} MiB) more "
        f"than the gradient of one chunk: {'pass' if grown <= 1 else 'FAIL'} (at most 1).",
    ]
    tell("\n\n".join(parts), arguments.out)
    return int(grown > 1)


if __name__ == "__main__":
    sys.exit(main())
