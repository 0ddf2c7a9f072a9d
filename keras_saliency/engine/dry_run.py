"""Traces a model without running it, to see what it does with its inputs before it is explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.forward import ForwardPass
from keras_saliency.engine.models import fixed_batch_size
from keras_saliency.engine.state_guard import own_seed_generator

_FAILURES = (ValueError, TypeError, AttributeError, NotImplementedError, tf.errors.OpError)


def dry_run(
    forward: ForwardPass,
    inputs: DeviceProbes,
    batch_size: int,
    look: Callable[[dict[str, Any]], None],
) -> bool:
    """Traces a function of a chunk of inputs.

    Args:
        forward: The model.
        inputs: Of the probes.
        batch_size: The only one that the model takes, if it takes one and does not show it.
        look: Gets what `DeviceProbes.rows` returns and `"targets"`, as symbolic tensors.

    Returns:
        Whether it could be traced. If not, the trace for maps fails as well, and says why.
    """

    def traced(chunk: dict[str, Any]) -> Any:
        look(chunk)
        return tf.constant(0)

    fixed = fixed_batch_size(forward.model)
    for size in [fixed] if fixed else [2, batch_size]:
        specs = {**inputs.specs(size), "targets": tf.TensorSpec((size,), tf.int32)}
        try:
            with own_seed_generator():
                tf.function(traced, autograph=False).get_concrete_function(specs)
        except _FAILURES:
            continue
        return True
    return False
