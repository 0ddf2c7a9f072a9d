"""How the cost of an evaluation grows with probes, with the size of images, and with time.

    python -m benchmarks.scale [--soak 10000] [--quick] [--out FILE]

An evaluation is an epoch end of `SaliencyCallback` with a log, default pictures and no tests. The
model is one convolution of two filters, so what is measured is nearly all the callback's own work.
Times are CPU times of all threads, with what is written behind the training.

* *Probes*, of 32 px, and *side*, of 64 images: medians over twelve evaluations, those with pictures
  and those without. The exponent is the slope of log time against log size, of all sizes and of the
  two largest: 1 is linear in the number of probes, 2 is linear in the pixels. At small sizes, what
  every evaluation costs hides it. Pictures show at most 64 probes.
* *Epochs*: evaluations 1 to 300 of one training, without pictures: the median of the last third
  compared with that of the first.
* *Soak*: `--soak` evaluations of a linear model with 4 probes of 8 px. Slopes, by least squares
  over the second half, per 1,000 evaluations: memory (RSS), open file descriptors, threads, and the
  CPU time of an evaluation. The history grows by design: a number for each metric and evaluation.

`--quick` takes few sizes and 200 evaluations.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_saliency as ks
from benchmarks._epochs import EpochEnds
from benchmarks._models import CLASSES, Array, arguments_of, machine, photographs, table, tell

PROBES = (16, 32, 64, 128, 256, 512, 1024)
SIDES = (32, 64, 128, 256)
EVALUATIONS = 12
"""For each size."""

EPOCHS = 300
SAMPLES = 100
"""How often a soak looks at memory, descriptors and threads."""


def convolution(side: int) -> keras.Model:
    """As little as a map that depends on the image needs."""
    layers = keras.layers
    body = [layers.Conv2D(2, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    head = layers.Dense(CLASSES, activation="softmax")
    return keras.Sequential([keras.Input((side, side, 3)), *body, head])


def linear(side: int) -> keras.Model:
    """A linear model."""
    layers = keras.layers
    body = [layers.Flatten(), layers.Dense(CLASSES, activation="softmax")]
    return keras.Sequential([keras.Input((side, side, 3)), *body])


def started(model: keras.Model, count: int, folder: str) -> EpochEnds:
    """The epoch ends of a training with so many probes."""
    images = photographs(count, model.input_shape[1]) / 255
    return EpochEnds(model, ks.ProbeSet(images, np.arange(count) % CLASSES), Path(folder))


def evaluated(ends: EpochEnds, count: int) -> tuple[list[float], list[float]]:
    """CPU seconds of evaluations without pictures, and of those with pictures."""
    plain: list[float] = []
    drawn: list[float] = []
    for _ in range(count):
        seconds = ends.step().cpu
        (drawn if ends.has_pictures else plain).append(seconds)
    return plain, drawn


def slope(x: Array, y: Array) -> float:
    """By least squares."""
    return float(np.polyfit(x, y, 1)[0])


def by_size(name: str, sizes: list[tuple[int, int]]) -> str:
    """A table of times by size, with exponents.

    Args:
        name: Of the size that grows.
        sizes: The number of probes and their side.
    """
    medians, values = [], []
    for count, side in sizes:
        tell_progress(f"{count} probes of {side} px")
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            ends = started(convolution(side), count, folder)
            plain, drawn = evaluated(ends, EVALUATIONS)
            ends.close()
        keras.backend.clear_session()
        values.append(count if name == "probes" else side)
        medians.append((statistics.median(plain), statistics.median(drawn)))
    x, y = np.log(values), np.log(medians)
    rows = [
        [str(value), *(f"{1000 * one:,.1f} ms" for one in both)]
        for value, both in zip(values, medians, strict=True)
    ]
    rows.append(["exponent", *(f"{slope(x, column):.2f}" for column in y.T)])
    rows.append(["of the two largest", *(f"{slope(x[-2:], column[-2:]):.2f}" for column in y.T)])
    return table([name, "without pictures", "with pictures"], rows)


def by_epoch(count: int) -> str:
    """Whether later evaluations take longer, in words."""
    tell_progress(f"{count} epochs")
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        ends = started(convolution(32), 32, folder)
        plain, _ = evaluated(ends, count)
        size = ends.num_bytes()
        ends.close()
    keras.backend.clear_session()
    third = len(plain) // 3
    first, last = (1000 * statistics.median(part) for part in (plain[:third], plain[-third:]))
    return (
        f"{count} epochs, 32 probes of 32 px: an evaluation without pictures takes {first:.1f} ms "
        f"in the first third and {last:.1f} ms in the last: {last / first:.2f}x. The log has "
        f"{size / 1e6:.1f} MB."
    )


def resources() -> dict[str, float]:
    """What this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "RSS, MiB": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "descriptors": len([*Path("/proc/self/fd").iterdir()]),
        "threads": len([*Path("/proc/self/task").iterdir()]),
        "Python threads": threading.active_count(),
    }


def soak(count: int) -> str:
    """A table of what grows over many evaluations."""
    keras.utils.set_random_seed(0)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        ends = started(linear(8), 4, folder)
        for sample in range(1, SAMPLES + 1):
            tell_progress(f"soak: {sample} of {SAMPLES}")
            plain, drawn = evaluated(ends, max(count // SAMPLES, 1))
            milliseconds = 1000 * statistics.median(plain or drawn)
            found.append({**resources(), "CPU of an evaluation, ms": milliseconds})
        done, size = ends.epoch, ends.num_bytes()
        ends.close()
    half = SAMPLES // 2
    steps = np.arange(1, SAMPLES + 1) * done / SAMPLES / 1000
    rows = []
    for name in found[0]:
        values = np.array([one[name] for one in found])
        growth = slope(steps[half:], values[half:])
        rows.append(
            [name, *(f"{values[i]:,.1f}" for i in (0, half, -1)), f"{round(growth, 3) + 0:+.3f}"]
        )
    header = ["", "at first", "half-way", "at last", "slope per 1,000"]
    about = f"{done:,} evaluations, 4 probes of 8 px; the log has {size / 1e6:.1f} MB."
    return f"{about}\n\n{table(header, rows)}"


def tell_progress(text: str) -> None:
    """Shows what is measured now."""
    print(f"\r{text:60}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measures and prints."""
    parser = arguments_of(__doc__)
    parser.add_argument("--soak", type=int, default=10_000, help="evaluations (0: no soak)")
    parser.add_argument("--quick", action="store_true", help="few sizes and evaluations")
    options = parser.parse_args()
    is_quick, count = options.quick, options.soak
    parts = [
        by_size("probes", [(one, 32) for one in (PROBES[::2][:3] if is_quick else PROBES)]),
        by_size("side", [(64, one) for one in (SIDES[:2] if is_quick else SIDES)]),
        by_epoch(EPOCHS // 5 if is_quick else EPOCHS),
    ]
    if count:
        parts.append(soak(min(count, 200) if is_quick else count))
    print(file=sys.stderr)
    tell("\n\n".join([*parts, machine()]), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
