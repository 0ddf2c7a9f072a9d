"""What a run keeps in memory beside its probes: resident memory, epoch by epoch.

    python -m benchmarks.run_memory [--probes 1024] [--side 224] [--epochs 10] [--out FILE]

A tiny model is fitted to a few images, with a callback that explains many large probes, with its
defaults but without tests. The model's own memory is negligible. After each epoch: what the process
has more than before training, as a multiple of the size of the probes' images, and the most that it
had meanwhile.
"""

from __future__ import annotations

import gc
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_saliency as ks
from benchmarks._models import arguments_of, machine, table, tell


def resident() -> float:
    """The resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Memory(keras.callbacks.Callback):
    """Notes the resident memory after each epoch, and the most in it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.most, self.rows = 0.0, 0.0, list[tuple[int, float, float]]()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, resident())
            time.sleep(0.01)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After our own callback."""
        gc.collect()
        self.rows.append((epoch, resident() - self.before, self.most - self.before))
        self.most = 0.0


def main() -> int:
    """Measures and prints."""
    parser = arguments_of(__doc__)
    parser.add_argument("--probes", type=int, default=1024, help="the number of probes")
    parser.add_argument("--side", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--epochs", type=int, default=10, help="the number of epochs")
    options = parser.parse_args()
    shape = (options.side, options.side, 3)
    generator = np.random.default_rng(0)
    few = generator.random((64, *shape), np.float32), np.arange(64) % 4
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(4, 7, strides=4, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(*few, epochs=1, verbose=0)
    images = generator.random((options.probes, *shape), np.float32)
    probes = ks.ProbeSet(images, np.arange(options.probes) % 4)
    size = images.nbytes
    del images
    gc.collect()
    memory = Memory()
    memory.before = resident()
    with tempfile.TemporaryDirectory() as folder:
        saliency = ks.SaliencyCallback(
            probes,
            log_dir=folder,
            interventions=None,
            compute=ks.Compute(budget=None),
            verbose=0,
        )
        model.fit(*few, epochs=options.epochs, verbose=0, callbacks=[saliency, memory])
    rows = [
        [str(epoch), f"{more / size:.2f}", f"{most / size:.2f}"]
        for epoch, more, most in memory.rows
    ]
    title = f"{options.probes:,} probes of {options.side} px, {size / 2**20:,.0f} MiB. {machine()}"
    header = ["after epoch", "resident, in sizes of the probes", "the most meanwhile"]
    tell(f"{title}\n\n{table(header, rows)}", options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
