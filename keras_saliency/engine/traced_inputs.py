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
from keras_saliency.attributions.lookups import columns_of_lookups, is_learned, lookups
from keras_saliency.data.probes import ProbeSet

Run = Callable[
    [Sequence[Any], Mapping[tuple[str, int], Tensor]],
    tuple[heads.Head | heads.Named | None, Tensor, Sequence[LayerCall]],
]
"""Runs the model on all explained inputs, with other outputs of some layers."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors that one call makes of some tokens.

    Attributes:
        call: The path of its layer, and the number of earlier calls of that layer.
        output: `(batch, tokens, width)`; `(batch, width)` if there may be one token only.
        columns: Which of the input's tokens these are.
    """

    call: tuple[str, int]
    output: Tensor
    columns: tuple[int, ...]

    @property
    def by_token(self) -> Tensor:
        """The vectors, `(batch, tokens, width)`."""
        return tf.expand_dims(self.output, 1) if self.output.shape.rank == 2 else self.output

    def of(self, tensor: Tensor) -> Tensor:
        """What stands for the output in vectors of all tokens, `(batch, all tokens, widest)`."""
        if self.columns != tuple(range(tensor.shape[1])):
            tensor = tf.gather(tensor, self.columns, axis=1)
        if self.output.shape.rank == 2:
            tensor = tensor[:, 0]
        if self.output.shape[-1] != tensor.shape[-1]:
            tensor = tensor[..., : self.output.shape[-1]]
        return tf.cast(tensor, self.output.dtype)


@dataclass(frozen=True, eq=False)
class TracedInput:
    """One explained input.

    Attributes:
        tensor: What is differentiated: the input, or the vectors of its tokens; at least float32,
            since small attributions would underflow.
        given: What the model gets: the input.
        vectors: Of tokens: those that `tensor` is made of. Empty if the input itself is
            differentiated.
    """

    tensor: Tensor
    given: Tensor
    vectors: Sequence[Vectors] = ()

    def fed(self, tensor: Tensor) -> Tensor:
        """What the model gets if this tensor takes the place of `tensor`."""
        return self.given if self.vectors else tf.cast(tensor, self.given.dtype)

    def replaced(self, tensor: Tensor) -> dict[tuple[str, int], Tensor]:
        """The outputs that this tensor takes the place of, by their calls."""
        return {vectors.call: vectors.of(tensor) for vectors in self.vectors}


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
            vectors = _embedded(calls, values, tensor)
            inputs.append(TracedInput(_joined(vectors, tensor.shape[1]), tensor, vectors))
        else:
            inputs.append(TracedInput(_wide(tensor), tensor))
    return inputs


def _wide(tensor: Tensor) -> Tensor:
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor


def _joined(several: Sequence[Vectors], length: int) -> Tensor:
    """The vectors of all tokens, `(batch, length, widest)`; narrower ones end with zeros.

    A token without a vector, which the score does not depend on, has zeros.
    """
    if several[0].columns == tuple(range(length)):
        return _wide(several[0].by_token)
    widest = max(vectors.output.shape[-1] for vectors in several)
    by_column: dict[int, Tensor] = {}
    for vectors in several:
        missing = widest - vectors.output.shape[-1]
        filled = tf.pad(_wide(vectors.by_token), [[0, 0], [0, 0], [0, missing]])
        by_column |= dict(zip(vectors.columns, tf.unstack(filled, axis=1), strict=True))
    zeros = tf.zeros_like(next(iter(by_column.values())))
    return tf.stack([by_column.get(column, zeros) for column in range(length)], axis=1)


def _embedded(calls: Sequence[LayerCall], values: Tensor, tokens: Tensor) -> list[Vectors]:
    """The first call that turns each token into a vector, or some columns of tokens each.

    Raises:
        ValueError: The score does not depend on any such call.
    """
    length = tokens.shape[1]
    found = _of_columns(calls, values, tokens) or _of_all(calls, values, tokens)
    if not found:
        raise ValueError(
            f"model: expected a layer that returns a vector for each of the {length} tokens, such "
            "as an Embedding, and a score that depends on it; found none. If each column has its "
            "own embedding, give the model one keras.Input per column, and explain all of them: "
            "ProbeSet({name: column, ...}, targets). If the inputs are not tokens, choose another "
            "kind in ProbeSet(kind=...)."
        )
    return found


def _of_columns(calls: Sequence[LayerCall], values: Tensor, tokens: Tensor) -> list[Vectors]:
    """The first calls that make vectors of all columns which are looked up in learned tables.

    Empty if a column has no such call, or is used for something else.
    """
    columns = columns_of_lookups(tokens, values) or {}
    missing = {column for each in columns.values() for column in each}
    found = []
    for index, call in _between(calls, values, tokens) if all(map(is_learned, columns)) else ():
        before = {call.output.op, *upstream(call.output.op)}
        own = [each for lookup, each in columns.items() if lookup in before]
        if len(own) != 1 or not {*own[0]} <= missing:
            continue
        size, axes = len(own[0]), call.output.shape[1:-1]
        if axes == [size] or (size == 1 and axes == []):
            found.append(Vectors(_place(calls, index), call.output, own[0]))
            missing -= {*own[0]}
    return [] if missing else found


def _of_all(calls: Sequence[LayerCall], values: Tensor, tokens: Tensor) -> list[Vectors]:
    """The first call that turns each token into a vector, if the graph does not show columns.

    Of a single token, any output of the model has the shape of a vector.
    """
    length = tokens.shape[1]
    for index, call in _between(calls, values, tokens):
        axes = call.output.shape[1:-1]
        if axes == [length] or (length == 1 and axes == []):
            before = {call.output.op, *upstream(call.output.op)}
            learned = (is_learned(each) for each in lookups(tokens) if each in before)
            if length > 1 or any(learned):
                return [Vectors(_place(calls, index), call.output, tuple(range(length)))]
    return []


def _between(
    calls: Sequence[LayerCall], values: Tensor, tokens: Tensor
) -> list[tuple[int, LayerCall]]:
    """The calls that depend on tokens, and values on them, with their places among all calls."""
    dependent = downstream(tokens)
    between = [
        (index, call)
        for index, call in enumerate(calls)
        if call.output.dtype.is_floating and call.output.op in dependent
    ]
    outputs = [call.output for _, call in between]
    gradients = differentiated(values, outputs, None)[0] if outputs else []
    pairs = zip(between, gradients, strict=True)
    return [one for one, gradient in pairs if gradient is not None]


def _place(calls: Sequence[LayerCall], index: int) -> tuple[str, int]:
    """A call's layer by its path, and the number of earlier calls of that layer."""
    path = calls[index].path
    return path, sum(other.path == path for other in calls[:index])


def has_embedding(calls: Sequence[LayerCall], values: Tensor, tokens: Tensor) -> bool:
    """Whether a layer makes a vector of each token, on which the values depend."""
    try:
        _embedded(calls, values, tokens)
    except ValueError:
        return False
    return True
