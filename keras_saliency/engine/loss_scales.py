"""Loss scales for low precision: scores are multiplied before the backward pass.

In float16, small gradients vanish and large ones overflow. In float8, Keras clips gradients to the
range of those that it saw in training, which are those of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.data.reports import Array
from keras_saliency.engine.keras_internals import all_layers
from keras_saliency.engine.recording import is_float8

LOSS_SCALES = [2.0**power for power in (15, 9, 3, -3, -9, -15)]
"""The loss scales for models that compute in float16, tried in order until the gradients of a
probe are finite."""

FLOAT8_SCALES = [2.0**power for power in range(0, -68, -4)]
"""The loss scales for models that compute in float8, tried in order until the gradients of no probe
grow any more: then nothing is clipped. Smaller ones would underflow."""

GROWTH = 1.05
"""From this factor on, a norm has grown; rounding alone changes it by less."""

Explain = Callable[[int, Array], Mapping[str, Any]]
"""Maps the number of a chunk, and loss scales `(chunk_size,)`, to results by name, as tensors with
one row per probe."""


def uses_half_precision(model: Any) -> bool:
    """Whether a layer computes in float16, in which gradients can leave the range."""
    layers = all_layers(model)
    return any(getattr(layer, "compute_dtype", None) == "float16" for layer in layers)


def uses_float8(model: Any) -> bool:
    """Whether a layer computes in float8."""
    return any(is_float8(layer) for layer in all_layers(model))


def finite(explain: Explain, numbers: Sequence[int], size: int) -> list[Mapping[str, Any]]:
    """Results with the largest loss scale that gives finite gradients, for each probe.

    Waits once per scale that is tried, whatever the number of chunks.

    Args:
        explain: What to run.
        numbers: Of the chunks.
        size: The number of probes of a chunk.
    """
    scales = np.zeros((len(numbers), size), np.float32)
    is_done = np.zeros((len(numbers), size), bool)
    results: dict[int, Mapping[str, Any]] = {}
    for scale in LOSS_SCALES:
        scales[~is_done] = scale
        tried = []
        for chunk in np.flatnonzero(~is_done.all(axis=1)).tolist():
            try:
                results[chunk] = explain(numbers[chunk], scales[chunk])
                tried.append(chunk)
            except tf.errors.InvalidArgumentError:  # enable_check_numerics found overflow
                if scale == LOSS_SCALES[-1]:
                    raise
        if tried:
            is_done[tried] = tf.stack([_is_done(results[chunk]) for chunk in tried]).numpy()
        if is_done.all():
            break
    return [results[chunk] for chunk in range(len(numbers))]


def _is_done(results: Mapping[str, Any]) -> Any:
    """Which probes have finite gradients, or a score that no scale makes finite."""
    norms = [values for name, values in results.items() if "/norms/" in name]
    are_finite = [tf.math.is_finite(values) for values in norms]
    return tf.reduce_all(are_finite, axis=0) | ~tf.math.is_finite(results["scores"])


def unclipped(explain: Explain, numbers: Sequence[int], size: int) -> list[Mapping[str, Any]]:
    """Results with a loss scale at which no gradient is clipped, for each probe.

    Args:
        explain: What to run.
        numbers: Of the chunks.
        size: The number of probes of a chunk.
    """
    return [_unclipped(partial(explain, number), size) for number in numbers]


def _unclipped(explain: Callable[[Array], Mapping[str, Any]], size: int) -> Mapping[str, Any]:
    """The results of one chunk."""
    kept: dict[str, Array] = {}
    for scale in FLOAT8_SCALES:
        results = {
            name: np.array(values)
            for name, values in explain(np.full(size, scale, np.float32)).items()
        }
        grows: Array = np.ones(size, bool)
        if kept:
            grows = np.any(_norms(results) > GROWTH * _norms(kept), axis=0)
        if not grows.any():
            break
        for name, values in results.items():
            kept.setdefault(name, values)[grows] = values[grows]
    return kept


def _norms(results: Mapping[str, Any]) -> Array:
    """The norms of the attributions of all methods, `(num_methods, size)`."""
    return np.array([values for name, values in results.items() if "/norms/" in name])
