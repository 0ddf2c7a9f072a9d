"""What a method may ask about a model: scores, their gradients, and what its layers give.

Scores are `(batch,)`, one for each input `(batch, ...)`; the score of one input must not depend on
its neighbours in the batch (it doesn't, in inference).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_saliency.scores import Tensor

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


class ModelScore:
    """The score of a model as a function of the input that is explained.

    Every input is passed through the model once, however many methods ask about it.

    Args:
        forward: From inputs to scores `(batch,)`, and the calls of the model's layers in order.
        background: Gives the probes, `(num_probes, ...)`, where they are of use as inputs.
        loss_scale: `(batch,)`, powers of two by which scores are multiplied before the backward
            pass and gradients divided after it; exact, and out of the reach of float16's limits.
        data_format: `"channels_first"` if the model's layers have their channels in front.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], tuple[Tensor, Sequence[LayerCall]]],
        *,
        background: Callable[[], Tensor] | None = None,
        loss_scale: Tensor | None = None,
        data_format: str = "channels_last",
    ) -> None:
        self._forward = forward
        self._passes: list[tuple[Tensor, Tensor, Sequence[LayerCall]]] = []
        self._background = background
        self.loss_scale = loss_scale
        self.data_format = data_format

    def __call__(self, inputs: Tensor) -> Tensor:
        """The scores, `(batch,)`."""
        return self._pass(inputs)[0]

    @property
    def background(self) -> Tensor | None:
        """All probes, `(num_probes, ...)`; `None` where tokens are explained by their vectors."""
        return None if self._background is None else self._background()

    def layer_calls(self, inputs: Tensor) -> Sequence[LayerCall]:
        """What the model's layers give for these inputs, in order."""
        return self._pass(inputs)[1]

    def _pass(self, inputs: Tensor) -> tuple[Tensor, Sequence[LayerCall]]:
        graph = tf.compat.v1.get_default_graph()
        for known, scores, calls in self._passes:
            if known is inputs and scores.graph is graph:
                return scores, calls
        scores, calls = self._forward(inputs)
        self._passes.append((inputs, scores, calls))
        return scores, calls


def derivative(score_fn: ScoreFn, inputs: Tensor) -> Tensor | None:
    """The gradient of the scores to the inputs; `None` where they do not depend on them."""
    if tf.executing_eagerly():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            scores = score_fn(inputs)
        return tape.gradient(scores, inputs)
    return derivatives(score_fn, score_fn(inputs), [inputs])[0]


def derivatives(
    score_fn: ScoreFn, scores: Tensor, sources: Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradients of scores to tensors they were computed from, inside a `tf.function`."""
    scale = getattr(score_fn, "loss_scale", None)
    if scale is None:
        return list(tf.gradients(scores, sources))
    found = tf.gradients(scores, sources, grad_ys=tf.cast(scale, scores.dtype))
    return [None if gradient is None else _unscaled(gradient, scale) for gradient in found]


def _unscaled(gradient: Tensor, scale: Tensor) -> Tensor:
    if gradient.dtype in (tf.float16, tf.bfloat16):
        gradient = tf.cast(gradient, tf.float32)
    shape = [-1, *[1] * (gradient.shape.rank - 1)]
    return gradient / tf.cast(tf.reshape(scale, shape), gradient.dtype)


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


def per_probe(values: Tensor, like: Tensor) -> Tensor:
    """`(batch,)` as `(batch, 1, ...)`, to be multiplied with what is like `like`."""
    return tf.reshape(values, [-1, *[1] * (like.shape.rank - 1)])


def check_number(argument: str, value: Any, *, above: float) -> float:
    """Returns a number above a bound.

    Raises:
        TypeError: No number.
        ValueError: Not above the bound, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{argument}: expected a number above {above:g}, received {value!r}.")
    if not above < value < float("inf"):
        raise ValueError(f"{argument}: expected a number above {above:g}, received {value!r}.")
    return float(value)
