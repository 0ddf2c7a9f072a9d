"""`BatchCounter`: how many batches a model has been trained on, by all fits together."""

from __future__ import annotations

import math
from typing import Any

from keras_saliency.engine.keras_internals import counter

DEFAULT_BATCH_SIZE = 32
"""Of `fit`."""


class BatchCounter:
    """Counts batches, also if several of them are one execution (`steps_per_execution`).

    Keras tells the end of an execution, not how many batches it had: the last one of an epoch may
    have fewer. The optimizer counts batches, and is asked only when the exact number is needed,
    since reading its counter waits for the device.

    Attributes:
        count: The number of batches; an upper bound within an epoch, until `settle` is called.
        batch_size: The number of samples in a batch, as counted in the first execution of a fit;
            32, the default of `fit`, if the model does not count them.
    """

    def __init__(self) -> None:
        self.count, self.batch_size = 0, DEFAULT_BATCH_SIZE
        self._model: Any = None
        self._before = self._iterations_before = self._executions = 0
        self._is_first = True  # execution of a fit

    def begin_fit(self, model: Any, *, before: int) -> None:
        """Starts from the optimizer's counter, or from the number of batches before, if larger."""
        self._model = model
        self.count = max(_iterations(model), before)
        self._is_first = True

    def begin_epoch(self) -> None:
        """To be called before the first batch of an epoch."""
        self._before, self._executions = self.count, 0
        self._iterations_before = _iterations(self._model)

    def end_execution(self) -> None:
        """To be called after each execution."""
        self._executions += 1
        self.count += self._model.steps_per_execution
        if self._is_first:
            # An epoch may have fewer batches than an execution may.
            size, counted = self._model.steps_per_execution, _iterations(self._model)
            counted -= self._iterations_before
            self.batch_size = _samples(self._model, counted if 0 < counted < size else size)
            self._is_first = False

    @property
    def samples(self) -> int:
        """The number of samples in this epoch, as if its last batch were full."""
        return (self.count - self._before) * self.batch_size

    def settle(self, batches_per_epoch: int | None) -> int:
        """The exact number of batches.

        Args:
            batches_per_epoch: As in the callback's `params["steps"]`.
        """
        size = self._model.steps_per_execution
        most, counted = self._executions * size, _iterations(self._model) - self._iterations_before
        expected = min(most, batches_per_epoch or most)
        if batches_per_epoch and hasattr(self._model.optimizer, "inner_optimizer"):
            counted = max(counted, expected)  # of skipped batches, some may be missing
        elif not most - size < counted <= most:  # no optimizer, or several steps per batch
            counted = expected
        self.count = self._before + counted
        return self.count


def _iterations(model: Any) -> int:
    """The number of batches that the optimizer got.

    Its `iterations` count accumulated batches once, and do not count those that a
    `LossScaleOptimizer` skips; but it halves its scale at each of these.
    """
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", None)
    if optimizer is None or inner is None:
        return int(_value(counter(optimizer)))
    first = optimizer.initial_scale
    scale = _value(optimizer.dynamic_scale) if optimizer.built else first
    is_finite = 0 < scale < math.inf  # it may have been doubled beyond the range of float32
    skipped = max(0, round(math.log2(first / scale))) if is_finite else 0
    return int(_value(counter(inner))) + skipped


def _samples(model: Any, batches: int) -> int:
    """How many samples each of the first batches of an epoch had, by the loss that Keras averages.

    Its weights are the sizes of the batches; a custom `train_step` may not keep it.
    """
    for metric in model.metrics:
        if metric.name == "loss" and hasattr(metric, "count"):
            return math.ceil(_value(metric.count) / batches) or DEFAULT_BATCH_SIZE
    return DEFAULT_BATCH_SIZE


def _value(variable: Any) -> float:
    """A variable as a number; `float` takes none that a strategy mirrors on several devices."""
    value = getattr(variable, "value", variable)
    return float(value.numpy() if hasattr(value, "numpy") else value)
