"""What the callback takes of a whole training, with its defaults, and whether alerts still come.

    python -m benchmarks.budget [--quick] [--seeds 2] [--out FILE]

For data sets of several sizes, a small network is fitted without the callback, with its defaults,
and without a budget, one after the other, for each seed in another order. CPU time is that of the
process, with all threads, from before `fit` to its end, with tracing and writing. A share is the
median over the seeds of what their fits took more. Then the network is fitted to data with a
shortcut, a lit corner in 19 of 20 images of one class, with a budget and without: when does the
alert come?

`--quick` takes the smallest data set only.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from typing import Any

import keras
import numpy as np

import keras_saliency as ks
from benchmarks._models import Array, arguments_of, digits, machine, plain_cnn, table, tell

SIZES = ((300, 20), (3_000, 20), (12_800, 5), (60_000, 10))
"""Training images and epochs."""

MOST_IN_FULL = 20_000
"""Larger data sets are fitted for one seed, and not without a budget."""

SHORTCUT = 3
"""The class whose images are marked."""


def images(count: int, seed: int, *, is_held_out: bool, is_marked: bool) -> tuple[Array, Array]:
    """Digits, moved by up to four pixels, under noise: float32 `(count, 32, 32, 1)` in 0..1."""
    generator = np.random.default_rng((seed, is_held_out))
    pictures, labels = digits()
    part = slice(1400, None) if is_held_out else slice(1400)
    chosen = generator.integers(len(labels[part]), size=count)
    found, targets = pictures[part][chosen], labels[part][chosen]
    for image, (down, right) in zip(found, generator.integers(-4, 5, (count, 2)), strict=True):
        image[:] = np.roll(image, (down, right), (0, 1))
    found = 0.6 * found + 0.4 * generator.random(found.shape, np.float32)
    if is_marked:
        marked = (targets == SHORTCUT) & (generator.random(count) < 0.95)
        found[marked, :4, :4] = 1
    return found, targets


def fitted(data: tuple[Array, Array], epochs: int, seed: int, callbacks: list[Any]) -> float:
    """Fits a network; the CPU seconds that this took."""
    keras.utils.set_random_seed(seed)
    model = plain_cnn(data[0].shape[1:])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    began = time.process_time()
    model.fit(*data, epochs=epochs, verbose=0, callbacks=callbacks)
    seconds = time.process_time() - began
    keras.backend.clear_session()
    return seconds


def callback(held_out: tuple[Array, Array], folder: str, compute: Any) -> ks.SaliencyCallback:
    """A new callback with default probes and settings, but for what it prints."""
    probes = ks.ProbeSet.from_dataset(held_out)
    return ks.SaliencyCallback(probes, log_dir=folder, compute=compute, on_alert=None, verbose=0)


def compared(
    count: int, epochs: int, seed: int, ways: dict[str, Any]
) -> tuple[dict[str, float], ks.SaliencyCallback]:
    """CPU seconds by way, and the callback with the defaults."""
    data = images(count, seed, is_held_out=False, is_marked=False)
    held_out = images(max(count // 5, 100), seed, is_held_out=True, is_marked=False)
    seconds, saliency = {}, None
    for name in np.random.default_rng(seed).permutation(list(ways)).tolist():
        with tempfile.TemporaryDirectory() as folder:
            callbacks = [] if name == "without" else [callback(held_out, folder, ways[name])]
            seconds[name] = fitted(data, epochs, seed, callbacks)
            saliency = callbacks[0] if name == "default" else saliency
    assert saliency is not None
    return seconds, saliency


def alerted(count: int, epochs: int, seed: int, compute: Any) -> str:
    """The first alert about the mark, and its epoch."""
    data = images(count, seed, is_held_out=False, is_marked=True)
    held_out = images(max(count // 5, 100), seed, is_held_out=True, is_marked=True)
    with tempfile.TemporaryDirectory() as folder:
        saliency = callback(held_out, folder, compute)
        fitted(data, epochs, seed, [saliency])
    return str(min((alert.step for alert in saliency.alerts), default="none"))


def row(count: int, epochs: int, seeds: int) -> list[str]:
    """A line of the table."""
    is_large = count > MOST_IN_FULL
    ways = {"without": None, "default": "auto"}
    if not is_large:
        ways["no budget"] = ks.Compute(budget=None)
    runs = [compared(count, epochs, seed, ways) for seed in range(1 if is_large else seeds)]
    bare = [seconds["without"] for seconds, _ in runs]
    more = {
        name: statistics.median(
            seconds[name] / seconds["without"] - 1 for seconds, _ in runs if name in seconds
        )
        for name in ways
    }
    last = runs[-1][1]
    rounds = sum(any(e.effect == e.effect for e in effects) for _, effects in last.effects)
    alerts = [
        [alerted(count, epochs, seed, compute) for seed in range(0 if is_large else seeds)]
        for compute in ("auto", ks.Compute(budget=None))
    ]
    return [
        f"{count:,} x {epochs}",
        f"{statistics.median(bare):.0f} s",
        f"+{more['default']:.0%}",
        "" if is_large else f"+{more['no budget']:.0%}",
        f"{len(last.history['step'])}, {rounds}",
        *(", ".join(epochs) for epochs in alerts),
    ]


def main() -> int:
    """Measures and prints."""
    parser = arguments_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest data set only")
    parser.add_argument("--seeds", type=int, default=2, help="fits of each kind, of the smallest")
    options = parser.parse_args()
    warm = images(300, 99, is_held_out=False, is_marked=False)
    with tempfile.TemporaryDirectory() as folder:  # imports and the like
        fitted(warm, 1, 99, [callback(warm, folder, "auto")])
    header = ["images x epochs", "training", "default", "no budget", "evaluations, rounds"]
    header += ["alert at epoch", "without a budget"]
    sizes = SIZES[:1] if options.quick else SIZES
    rows = [
        row(count, epochs, options.seeds if (count, epochs) == SIZES[0] else 1)
        for count, epochs in sizes
    ]
    seeds = f"Seeds: {options.seeds} for the smallest data set, one for the others."
    tell(f"{table(header, rows)}\n\n{seeds} {machine()}", options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
