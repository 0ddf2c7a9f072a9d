"""What a method may ask about a model: scores, their gradients, and what its layers give.

Scores are `(batch,)`, one for each input `(batch, ...)`; the score of one input must not depend on
its neighbours in the batch (in inference it does not).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.scores import Tensor
from keras_saliency.data.reports import Array

ScoreFn = Callable[[Tensor], Tensor]
"""From inputs `(batch, ...)` to their scores `(batch,)`: any function, or a `ModelScore`."""


@dataclass(frozen=True)
class LayerCall:
    """What one layer gave in a forward pass.

    Attributes:
        path: The names of the layers around it and its own: `"backbone/block_1/conv"`.
        output: A tensor.
    """

    path: str
    output: Tensor


@dataclass(eq=False)
class _Pass:
    """One forward pass; its gradients are those to the inputs and to the calls' outputs."""

    inputs: Tensor
    scores: Tensor
    calls: Sequence[LayerCall]
    gradients: tuple[Tensor | None, list[Tensor | None]] | None = None


class ModelScore:
    """The score of a model as a function of the input that is explained.

    Inside a `tf.function`. Every input is passed through the model once, there and back, however
    many methods ask about it.

    Args:
        forward: From inputs to scores `(batch,)`, and the calls of the model's layers in order.
        background: Gives the probes, `(num_probes, ...)`, where they are of use as inputs.
        loss_scale: `(batch,)`, powers of two by which scores are multiplied before the backward
            pass and gradients divided after it; exact, and out of the reach of float16's limits.
        data_format: How the model takes its input, `"channels_last"` or `"channels_first"`.
        is_segmentation: Whether the score is of a model that labels every place.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], tuple[Tensor, Sequence[LayerCall]]],
        *,
        background: Callable[[], Tensor] | None = None,
        loss_scale: Tensor | None = None,
        data_format: str = "channels_last",
        is_segmentation: bool = False,
    ) -> None:
        self._forward = forward
        self._passes: list[_Pass] = []
        self._background = background
        self._loss_scale = loss_scale
        self.data_format = data_format
        self.is_segmentation = is_segmentation

    def __call__(self, inputs: Tensor) -> Tensor:
        """The scores, `(batch,)`; a tape around the call finds their gradient to the inputs."""
        known = self._pass(inputs).scores

        def scores(inputs_: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
            def backward(upstream: Tensor) -> Tensor:
                found = self.gradient(inputs)
                if found is None:
                    return tf.zeros_like(inputs_)
                return tf.cast(per_probe(upstream, found), found.dtype) * found

            return tf.identity(known), backward

        return tf.custom_gradient(scores)(inputs)

    @property
    def background(self) -> Tensor | None:
        """All probes, `(num_probes, ...)`; `None` where tokens are explained by their vectors."""
        return None if self._background is None else self._background()

    def gradient(self, inputs: Tensor) -> Tensor | None:
        """The gradient of the scores to the inputs; `None` where they do not depend on them."""
        return self._gradients(inputs)[0]

    def layer_gradients(self, inputs: Tensor) -> list[tuple[LayerCall, Tensor]]:
        """The calls of layers between the inputs and the scores, and the gradients to them.

        In order; a call of a model comes after those of its layers. Layers that see only an input
        that is held are none of them.
        """
        calls, gradients = self._pass(inputs).calls, self._gradients(inputs)[1]
        both = zip(calls, gradients, strict=True)
        return [(call, gradient) for call, gradient in both if gradient is not None]

    def _pass(self, inputs: Tensor) -> _Pass:
        graph = tf.compat.v1.get_default_graph()
        for known in self._passes:
            if known.inputs is inputs and known.scores.graph is graph:
                return known
        self._passes.append(_Pass(inputs, *self._forward(inputs)))
        return self._passes[-1]

    def _gradients(self, inputs: Tensor) -> tuple[Tensor | None, list[Tensor | None]]:
        known = self._pass(inputs)
        if known.gradients is None:
            after = downstream(inputs)
            sources = {
                id(call.output): call.output
                for call in known.calls
                if call.output.dtype.is_floating and call.output.op in after
            }
            found = _differentiated(known.scores, [inputs, *sources.values()], self._loss_scale)
            by_id = dict(zip(sources, found[1:], strict=True))
            known.gradients = found[0], [by_id.get(id(call.output)) for call in known.calls]
        return known.gradients


def downstream(source: Tensor) -> set[Any]:
    """The operations of a graph that a tensor goes into, and those that they go into."""
    found: set[Any] = set()
    waiting = [source]
    while waiting:
        for operation in waiting.pop().consumers():
            if operation not in found:
                found.add(operation)
                waiting += operation.outputs
    return found


def derivative(score_fn: ScoreFn, inputs: Tensor) -> Tensor | None:
    """The gradient of the scores to the inputs; `None` where they do not depend on them."""
    if isinstance(score_fn, ModelScore):
        return score_fn.gradient(inputs)
    if not tf.executing_eagerly():
        return _differentiated(score_fn(inputs), [inputs], None)[0]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        scores = score_fn(inputs)
    found = tape.gradient(scores, inputs)
    return None if found is None else tf.convert_to_tensor(found)


def _differentiated(
    scores: Tensor, sources: Sequence[Tensor], loss_scale: Tensor | None
) -> list[Tensor | None]:
    """The gradients of scores to tensors they were computed from, in a graph."""
    scale = None if loss_scale is None else tf.cast(loss_scale, scores.dtype)
    found = tf.gradients(scores, list(sources), grad_ys=scale)
    dense = [None if one is None else tf.convert_to_tensor(one) for one in found]
    if loss_scale is None:
        return dense
    return [None if one is None else _unscaled(one, loss_scale) for one in dense]


def _unscaled(gradient: Tensor, scale: Tensor) -> Tensor:
    if gradient.dtype in (tf.float16, tf.bfloat16):
        gradient = tf.cast(gradient, tf.float32)
    return gradient / tf.cast(per_probe(scale, gradient), gradient.dtype)


def repeat(
    times: int, body: Callable[[Tensor, list[Tensor]], list[Tensor]], start: list[Tensor]
) -> list[Tensor]:
    """Runs `values = body(index, values)` so often, one after the other, inside the graph."""
    index = tf.constant(0)
    looped = tf.while_loop(
        lambda index, *_: index < times,
        lambda index, *values: [index + 1, *body(index, list(values))],
        [index, *start],
        parallel_iterations=1,
        maximum_iterations=times,
    )
    return list(looped[1:])


def along(values: Tensor, axis: int, matrix: Array) -> Tensor:
    """The product of a matrix `(new, old)` with the values along one axis, not the last."""
    moved = tf.tensordot(values, tf.constant(matrix, values.dtype), [[axis], [1]])
    last = values.shape.rank - 1
    return tf.transpose(moved, [*range(axis), last, *range(axis, last)])


def per_probe(values: Tensor, like: Tensor) -> Tensor:
    """`(batch,)` as `(batch, 1, ...)`, to be multiplied with what is like `like`."""
    return tf.reshape(values, [-1, *[1] * (like.shape.rank - 1)])


def check_number(argument: str, value: Any, *, above: float) -> float:
    """Returns a number above a bound.

    Raises:
        TypeError: No number.
        ValueError: Not above the bound, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{argument}: expected a number above {above:g}, received {value!r}.")
    if not above < value < float("inf"):
        raise ValueError(f"{argument}: expected a number above {above:g}, received {value!r}.")
    return float(value)


def check_seed(seed: Any) -> int:
    """Returns a seed, an integer of 0 or more.

    Raises:
        TypeError: No integer.
        ValueError: Negative, or of more than 31 bits.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected an integer, received {seed!r}.")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed: expected an integer from 0 to {2**31 - 1}, received {seed!r}.")
    return int(seed)
