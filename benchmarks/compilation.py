"""Is XLA of use for maps? The time of an evaluation with it and without, model by model.

    python -m benchmarks.compilation [--rounds N] [--out FILE]

For each model and method the same monitor is made twice, with `jit_compile=True` and `False`, in
one process; rounds alternate. The table has the median of the rounds' ratios, XLA's time over that
without it, and the same ratio of making the monitor, which compiles. Above 1 XLA is slower. This
is what `jit_compile="auto"` rests on where there is no accelerator; where there is one, it
measures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial

import keras
import numpy as np

from benchmarks._models import (
    CLASSES,
    arguments_of,
    cnn,
    machine,
    photographs,
    plain_cnn,
    table,
    tell,
)
from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import Method, integrated_gradients

METHODS: dict[str, Method] = {
    "gradient": "gradient",
    "integrated_gradients (8 steps)": partial(integrated_gradients, num_steps=8),
    "grad_cam": "grad_cam",
}


def models() -> dict[str, keras.Model]:
    """Small and usual ones, with random weights: time does not depend on them."""
    inputs = keras.Input((96, 96, 3))
    mobile = keras.applications.MobileNetV2(input_tensor=inputs, weights=None, classes=CLASSES)
    resnet = keras.applications.ResNet50(input_tensor=inputs, weights=None, classes=CLASSES)
    return {
        "CNN with batch norm, 32 px": cnn((32, 32, 3)),
        "CNN without, 32 px": plain_cnn((32, 32, 3)),
        "MobileNetV2, 96 px": mobile,
        "ResNet50, 96 px": resnet,
    }


def seconds(monitor: SaliencyMonitor) -> float:
    """How long one evaluation takes."""
    began = time.perf_counter()
    monitor.evaluate(step=0)
    return time.perf_counter() - began


def ratios(model: keras.Model, method: Method, rounds: int) -> list[str]:
    """XLA's time over that without: first evaluation, and median of the later ones."""
    images = photographs(16, model.input_shape[1]) / 255
    probes = ProbeSet(images.astype(np.float32), np.arange(16) % CLASSES)
    first, monitors = [], []
    for jit in (True, False):
        began = time.perf_counter()
        monitors.append(
            SaliencyMonitor(model, probes, method=method, compute=Compute(jit_compile=jit))
        )
        first.append(time.perf_counter() - began)
    later = [seconds(monitors[0]) / seconds(monitors[1]) for _ in range(rounds)]
    return [f"{statistics.median(later):.2f}", f"{first[0] / first[1]:.1f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = arguments_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    rows = [
        [name, method, *ratios(model, way, options.rounds)]
        for name, model in models().items()
        for method, way in METHODS.items()
    ]
    text = f"Time with XLA / without, 16 probes. {machine()}\n\n"
    text += table(["model", "method", "an evaluation", "making the monitor"], rows)
    tell(text, options.out)


if __name__ == "__main__":
    main()
