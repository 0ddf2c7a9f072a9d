"""Whether XLA compiles what is run on a model: as told, or as measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_saliency.data.checks import check_choice
from keras_saliency.engine.explainer import Explainer


def check_compilation(jit_compile: object) -> bool | str:
    """Returns `True`, `False` or `"auto"`.

    Raises:
        TypeError: Of another type.
        ValueError: Another word.
    """
    if isinstance(jit_compile, bool):
        return jit_compile
    if not isinstance(jit_compile, str):
        raise TypeError(f"jit_compile: expected True, False or 'auto', received {jit_compile!r}.")
    return str(check_choice("jit_compile", jit_compile, ("auto",)))


def compiled(make: Callable[..., Explainer], jit_compile: bool | str) -> tuple[Explainer, str]:
    """An explainer, compiled by XLA or not, and which of the two, in words.

    Args:
        make: Makes an explainer; it takes `jit_compile=`.
        jit_compile: `"auto"` decides by the device: not on a CPU, where XLA was slower for
            nearly all that `benchmarks/compilation.py` measures; elsewhere both are made, and the
            one that is faster on the first probes stays.
    """
    if isinstance(jit_compile, bool):
        return make(jit_compile=jit_compile), f"XLA {'on' if jit_compile else 'off'}"
    if not is_accelerated():
        return make(jit_compile=False), "XLA off (CPU)"
    plain = make(jit_compile=False)
    try:
        return faster(plain, make(jit_compile=True))
    except (tf.errors.OpError, NotImplementedError) as error:
        return plain, f"XLA off (it can't compile this model: {type(error).__name__})"


def is_accelerated() -> bool:
    """Whether TensorFlow runs on a GPU or TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def faster(
    plain: Explainer, with_xla: Explainer, clock: Callable[[], float] = time.perf_counter
) -> tuple[Explainer, str]:
    """Whichever explains the first probes in less time, and by how much, in words."""
    seconds = [_seconds(explainer, clock) for explainer in (plain, with_xla)]
    ratio = seconds[1] / seconds[0]
    said = f"XLA {'on' if ratio < 1 else 'off'} (it took {ratio:.2g} times as long as without)"
    return (with_xla if ratio < 1 else plain), said


def _seconds(explainer: Explainer, clock: Callable[[], float]) -> float:
    """The shortest of three passes, after one that compiles."""
    targets = np.zeros(explainer.chunk_size, np.int64)
    explainer.explain(targets)
    taken = []
    for _ in range(3):
        began = clock()
        explainer.explain(targets)
        taken.append(clock() - began)
    return min(taken)
