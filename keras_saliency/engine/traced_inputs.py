"""The inputs of a model whose gradients are taken, in a trace: as they are, or as embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_saliency.attributions import heads
from keras_saliency.attributions.differentiation import (
    LayerCall,
    differentiated,
    downstream,
    upstream,
)
from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.probes import ProbeSet

Run = Callable[
    [Sequence[Any], Mapping[tuple[str, int], Tensor]],
    tuple[heads.Head | heads.Named | None, Tensor, Sequence[LayerCall]],
]
"""Runs the model on all explained inputs, with other outputs of some layers."""


_PRODUCTS = {"BatchMatMulV2", "Conv2D", "Einsum", "MatMul"}
"""Operations of layers: a table that they compute is not one of embeddings."""


@dataclass(frozen=True, eq=False)
class TracedInput:
    """One explained input.

    Attributes:
        tensor: What is differentiated: the input, or the embeddings of its tokens; at least
            float32, since small attributions would underflow.
        given: What the model gets: the input.
        dtype: Of the input, or of the embeddings.
        place: The call that makes the embeddings: the path of its layer, and its number. `None`
            if the input itself is differentiated.
        is_single: Whether there is one token, whose embedding has no axis of tokens in the model.
    """

    tensor: Tensor
    given: Tensor
    dtype: Any
    place: tuple[str, int] | None = None
    is_single: bool = False

    def fed(self, tensor: Tensor) -> Tensor:
        """What the model gets if this tensor takes the place of `tensor`."""
        return tf.cast(tensor, self.dtype) if self.place is None else self.given

    def replaced(self, tensor: Tensor) -> dict[tuple[str, int], Tensor]:
        """The output that this tensor takes the place of, by its call."""
        if self.place is None:
            return {}
        return {self.place: tf.cast(tensor[:, 0] if self.is_single else tensor, self.dtype)}


def traced_inputs(
    probe_sets: Sequence[ProbeSet], given: Sequence[Tensor], run: Run
) -> list[TracedInput]:
    """The explained inputs of a model.

    Args:
        probe_sets: The probes of each input.
        given: The inputs, `(batch, ...)`.
        run: Runs the model. It is run once if some of the inputs are tokens.

    Raises:
        ValueError: Tokens have no embedding.
    """
    values: Tensor = None
    calls: Sequence[LayerCall] = ()
    if any(probes.kind == "tokens" for probes in probe_sets):
        _, values, calls = run(given, {})
    inputs = []
    for probes, tensor in zip(probe_sets, given, strict=True):
        if probes.kind == "tokens":
            place, embedded = _embedding(calls, values, tensor)
            is_single = embedded.shape.rank == 2
            explained = tf.expand_dims(embedded, 1) if is_single else embedded
            inputs.append(TracedInput(_wide(explained), tensor, embedded.dtype, place, is_single))
        else:
            inputs.append(TracedInput(_wide(tensor), tensor, tensor.dtype))
    return inputs


def _wide(tensor: Tensor) -> Tensor:
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor


def _embedding(
    calls: Sequence[LayerCall], values: Tensor, tokens: Tensor
) -> tuple[tuple[str, int], Tensor]:
    """The first call that turns each token into a vector, and its output.

    A call is identified by the path of its layer, and by the number of earlier calls of that layer.

    Raises:
        ValueError: The score does not depend on any such call.
    """
    length, dependent = tokens.shape[1], downstream(tokens)
    candidates = [
        (index, call)
        for index, call in enumerate(calls)
        if call.output.dtype.is_floating
        and (
            (call.output.shape.rank == 3 and call.output.shape[1] == length)
            or (call.output.shape.rank == 2 and length == 1)
        )
        and call.output.op in dependent
    ]
    outputs = [call.output for _, call in candidates]
    gradients = differentiated(values, outputs, None)[0] if outputs else []
    for (index, call), gradient in zip(candidates, gradients, strict=True):
        if gradient is not None and (length > 1 or _is_looked_up(call.output, tokens)):
            nth = sum(other.path == call.path for other in calls[:index])
            return (call.path, nth), call.output
    raise ValueError(
        f"model: expected a layer that returns a vector for each of the {length} tokens, such as "
        "an Embedding, and a score that depends on it; found none. If each column has its own "
        "embedding, give the model one keras.Input per column, and explain all of them: "
        "ProbeSet({name: column, ...}, targets). If the inputs are not tokens, choose another "
        "kind in ProbeSet(kind=...)."
    )


def has_embedding(calls: Sequence[LayerCall], values: Tensor, tokens: Tensor) -> bool:
    """Whether a layer makes a vector of each token, on which the values depend."""
    try:
        _embedding(calls, values, tokens)
    except ValueError:
        return False
    return True


def _is_looked_up(vectors: Tensor, tokens: Tensor) -> bool:
    """Whether vectors come from a variable by the number of a token, as those of an embedding.

    Of a single token, any output of the model has the shape of a vector.
    """
    between = downstream(tokens) & {vectors.op, *upstream(vectors.op)}
    for operation in between:
        if operation.type == "ResourceGather":
            return True
        if operation.type in ("Gather", "GatherV2"):
            table = operation.inputs[0].op
            kinds = {each.type for each in (table, *upstream(table))}
            if "ReadVariableOp" in kinds and not kinds & _PRODUCTS:
                return True
    return False
