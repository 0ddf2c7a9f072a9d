"""What a method can get from a model: scores, their gradients, and the outputs of layers.

Scores are `(batch,)`, one for each input `(batch, ...)`. The score of an input must not depend on
the other inputs in the batch. (At inference, it does not.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.reports import Array

_CUTS = {"ArgMax", "Ceil", "Floor", "PyFunc", "PyFuncStateless", "Rint", "Round", "Sign"}
_CUTS |= {"StopGradient", "Bucketize", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual"}
"""Operations through which no gradient flows, beside casts to integers."""

ScoreFn = Callable[[Tensor], Tensor]
"""Maps inputs `(batch, ...)` to scores `(batch,)`: any function, or a `ModelScore`."""


class UnsuitableInputError(ValueError):
    """A method with these settings cannot explain this input.

    If it can explain another input of the model, this one has its gradient instead.
    """


@dataclass(frozen=True)
class LayerCall:
    """The output of one layer in a forward pass.

    Attributes:
        path: The layer's name after the names of the layers that contain it:
            `"backbone/block_1/conv"`.
        output: A tensor.
        num_steps: The number of axes after the first that are steps of a `TimeDistributed` layer,
            which treats each step alone.
    """

    path: str
    output: Tensor
    num_steps: int = 0


@dataclass(eq=False)
class Pass:
    """One forward pass, and its gradients with respect to the inputs and the layers' outputs.

    Attributes:
        inputs: The tensors whose gradients are taken together.
        scores: `(batch,)`.
        calls: Of the model's layers, in order.
        gradients: Of the inputs, and of the outputs of the calls; `None` before they are needed.
        blocking: For each of the inputs, the operations without a gradient between it and the
            scores.
    """

    inputs: Sequence[Tensor]
    scores: Tensor
    calls: Sequence[LayerCall]
    gradients: tuple[list[Tensor | None], list[Tensor | None]] | None = None
    blocking: Sequence[list[Any]] = ()

    def place(self, inputs: Tensor) -> int | None:
        """Which of the inputs a tensor is; `None` if it is none of them."""
        same = (place for place, known in enumerate(self.inputs) if known is inputs)
        return next(same, None)


class ModelScore:
    """The score of a model as a function of the explained input.

    Use it inside a `tf.function`. For every input there is one forward and one backward pass, even
    if several methods use them.

    Args:
        forward: Maps inputs to scores `(batch,)` and to the calls of the model's layers, in order.
        background: Returns the probes, `(num_probes, ...)`, if they can be used as inputs.
        loss_scale: `(batch,)`, powers of two. Scores are multiplied by them before the backward
            pass, and gradients are divided by them after it. This is exact, and keeps gradients
            in the range of float16.
        data_format: The layout of the model's input, `"channels_last"` or `"channels_first"`.
        has_positions: Whether the score is about an output with positions, such as one per pixel.
        first: A pass of `forward` that was made before. The scores of several inputs of one model
            may have it in common.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], tuple[Tensor, Sequence[LayerCall]]],
        *,
        first: Pass | None = None,
        background: Callable[[], Tensor] | None = None,
        loss_scale: Tensor | None = None,
        data_format: str = "channels_last",
        has_positions: bool = False,
    ) -> None:
        self._forward = forward
        self._passes = [] if first is None else [first]
        self._background = background
        self._loss_scale = loss_scale
        self.data_format = data_format
        self.has_positions = has_positions

    def __call__(self, inputs: Tensor) -> Tensor:
        """The scores, `(batch,)`; a gradient tape can differentiate them."""
        known = self._pass(inputs).scores

        def scores(inputs_: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
            def backward(upstream: Tensor) -> Tensor:
                gradient = self.gradient(inputs)
                if gradient is None:
                    return tf.zeros_like(inputs_)
                return tf.cast(per_probe(upstream, gradient), gradient.dtype) * gradient

            return tf.identity(known), backward

        return tf.custom_gradient(scores)(inputs)

    @property
    def background(self) -> Tensor | None:
        """All probes, `(num_probes, ...)`; `None` for tokens, as embeddings are explained."""
        return None if self._background is None else self._background()

    def gradient(self, inputs: Tensor) -> Tensor | None:
        """The gradient of the scores with respect to the inputs; `None` if there is none.

        Raises:
            ValueError: An operation between the inputs and the scores has no gradient.
        """
        gradient, blocking = self._gradients(inputs)[0], self.blocking(inputs)
        if blocking:
            raise ValueError(
                f"model: expected operations with a gradient between the input and the score; "
                f"{blocking} has none in TensorFlow. Replace it in the "
                "model, for example an area resize by a bilinear one; move it in front of the "
                "model; or choose a method that needs no gradient of the input: 'occlusion', or "
                "'grad_cam' at a layer behind it."
            )
        return gradient

    def blocking(self, inputs: Tensor) -> str:
        """The operations without a gradient between the inputs and the scores, in words."""
        self._gradients(inputs)
        known = self._pass(inputs)
        found = known.blocking[known.place(inputs) or 0]
        return ", ".join(f"{operation.name!r} ({operation.type})" for operation in found)

    def between(self, inputs: Tensor) -> list[Any]:
        """The operations from the inputs to the scores, in the order of the graph."""
        scores = self._pass(inputs).scores
        found = downstream(inputs) & {scores.op, *upstream(scores.op)}
        return [operation for operation in scores.graph.get_operations() if operation in found]

    def cutting(self, inputs: Tensor) -> Any:
        """The first operation that lets no gradient through to the inputs; `None` if unknown."""
        return next(filter(cuts, self.between(inputs)), None)

    def layer_gradients(self, inputs: Tensor) -> list[tuple[LayerCall, Tensor]]:
        """The layer calls between the inputs and the scores, each with the gradient of the scores.

        The calls are in order; a nested model comes after its layers. Layers that depend only on
        held inputs are left out.
        """
        calls, gradients = self._pass(inputs).calls, self._gradients(inputs)[1]
        dependent = downstream(inputs)
        return [
            (call, gradient)
            for call, gradient in zip(calls, gradients, strict=True)
            if gradient is not None and call.output.op in dependent
        ]

    def _pass(self, inputs: Tensor) -> Pass:
        graph = tf.compat.v1.get_default_graph()
        for known in self._passes:
            if known.place(inputs) is not None and known.scores.graph is graph:
                return known
        self._passes.append(Pass([inputs], *self._forward(inputs)))
        return self._passes[-1]

    def _gradients(self, inputs: Tensor) -> tuple[Tensor | None, list[Tensor | None]]:
        """The gradients of the pass of some inputs: with respect to them, and to the calls."""
        known = self._pass(inputs)
        if known.gradients is None:
            dependent = set().union(*map(downstream, known.inputs))
            sources = {
                id(call.output): call.output
                for call in known.calls
                if call.output.dtype.is_floating and call.output.op in dependent
            }
            count = len(known.inputs)
            gradients, known.blocking = differentiated(
                known.scores, [*known.inputs, *sources.values()], self._loss_scale
            )
            by_id = dict(zip(sources, gradients[count:], strict=True))
            of_calls = [by_id.get(id(call.output)) for call in known.calls]
            known.gradients = gradients[:count], of_calls
        to_inputs, to_calls = known.gradients
        return to_inputs[known.place(inputs) or 0], to_calls


def cuts(operation: Any) -> bool:
    """Whether no gradient flows through an operation."""
    is_cast = operation.type == "Cast" and not operation.outputs[0].dtype.is_floating
    return is_cast or operation.type in _CUTS


def downstream(source: Tensor) -> set[Any]:
    """All operations of a graph that depend on a tensor."""
    dependent: set[Any] = set()
    waiting = [source]
    while waiting:
        for operation in waiting.pop().consumers():
            if operation not in dependent:
                dependent.add(operation)
                waiting += operation.outputs
    return dependent


def upstream(operation: Any) -> set[Any]:
    """All operations of a graph that an operation depends on."""
    before: set[Any] = set()
    waiting = [operation]
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor.op not in before:
                before.add(tensor.op)
                waiting.append(tensor.op)
    return before


def derivative(score_fn: ScoreFn, inputs: Tensor) -> Tensor | None:
    """The gradient of the scores with respect to the inputs; `None` if there is none."""
    if isinstance(score_fn, ModelScore):
        return score_fn.gradient(inputs)
    if not tf.executing_eagerly():
        return differentiated(score_fn(inputs), [inputs], None)[0][0]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        scores = score_fn(inputs)
    gradient = tape.gradient(scores, inputs)
    return None if gradient is None else tf.convert_to_tensor(gradient)


def differentiated(
    scores: Tensor, sources: Sequence[Tensor], loss_scale: Tensor | None
) -> tuple[list[Tensor | None], list[list[Any]]]:
    """The gradients of scores with respect to tensors they were computed from, in a graph.

    Returns:
        The gradients; and for each source, the operations without a gradient between it and the
        scores. Sources before such operations have no gradient.
    """
    scale = None if loss_scale is None else tf.cast(loss_scale, scores.dtype)
    blocking: list[Any] = []
    while True:
        stops = [output for operation in blocking for output in operation.outputs]
        try:
            gradients = tf.gradients(scores, list(sources), scale, stop_gradients=stops)
            break
        except LookupError as error:
            found = [each for each in _blocking(scores.graph, error) if each not in blocking]
            if not found:
                raise ValueError(
                    "model: expected operations with a gradient between the input and the score; "
                    f"TensorFlow says: {str(error).partition('. In general')[0]}."
                ) from error
            blocking += found
    before = {operation: upstream(operation) for operation in blocking}
    blocked = [[each for each in blocking if source.op in before[each]] for source in sources]
    dense = [
        None if gradient is None or operations else tf.convert_to_tensor(gradient)
        for gradient, operations in zip(gradients, blocked, strict=True)
    ]
    if loss_scale is not None:
        dense = [None if grad is None else _unscaled(grad, loss_scale) for grad in dense]
    return dense, blocked


def _blocking(graph: Any, error: LookupError) -> list[Any]:
    """The operations of a graph that an error of TensorFlow is about: they have no gradient.

    If the operation that it names is inside a loop, a branch or a function, these are all that run
    one with such an operation.
    """
    name = re.search(r"operation\s*'([^']+)'", str(error))
    kind = re.search(r"op type: (\w+)", str(error))
    found = [each for each in graph.get_operations() if name and each.name == name[1]]
    if not found and kind:
        library = graph.as_graph_def().library.function
        inside = {each.signature.name for each in library if _runs(each.node_def, kind[1], set())}
        while True:
            more = {each.signature.name for each in library if _runs(each.node_def, "", inside)}
            if more <= inside:
                break
            inside |= more
        nodes = [each for each in graph.get_operations() if _runs([each.node_def], "", inside)]
        found = [each for each in nodes if each.outputs]
    return found


def _runs(nodes: Any, kind: str, functions: set[str]) -> bool:
    """Whether one of these nodes is of a kind, or calls one of these functions."""
    return any(
        node.op == kind or any(value.func.name in functions for value in node.attr.values())
        for node in nodes
    )


def _unscaled(gradient: Tensor, scale: Tensor) -> Tensor:
    if gradient.dtype in (tf.float16, tf.bfloat16):
        gradient = tf.cast(gradient, tf.float32)
    return gradient / tf.cast(per_probe(scale, gradient), gradient.dtype)


def repeat(
    times: int, body: Callable[[Tensor, list[Tensor]], list[Tensor]], start: list[Tensor]
) -> list[Tensor]:
    """Runs `values = body(index, values)` `times` times, one after the other, inside the graph."""
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
    """Multiplies the values along one axis, not the last, by a matrix `(new, old)`."""
    moved = tf.tensordot(values, tf.constant(matrix, values.dtype), [[axis], [1]])
    last = values.shape.rank - 1
    return tf.transpose(moved, [*range(axis), last, *range(axis, last)])


def per_probe(values: Tensor, like: Tensor) -> Tensor:
    """Reshapes `(batch,)` to `(batch, 1, ...)`, so that it broadcasts against `like`."""
    return tf.reshape(values, [-1, *[1] * (like.shape.rank - 1)])


def check_number(argument: str, value: Any, *, above: float) -> float:
    """Returns a number, which must be above a bound.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is not above the bound, or is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{argument}: expected a number above {above:g}, received {value!r}.")
    if not above < value < float("inf"):
        raise ValueError(f"{argument}: expected a number above {above:g}, received {value!r}.")
    return float(value)
