"""Operations that look up rows of a table by number, such as those of an embedding.

No gradient reaches the numbers. Of numbers in several columns, each column may have its own table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_saliency.attributions.differentiation import downstream, upstream
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.places import SELECTIONS, selected
from keras_saliency.data.reports import Array

_LOOKUPS = {"Gather", "GatherV2", "ResourceGather"}
"""Their second input has the numbers of the rows."""

_PRODUCTS = {"BatchMatMulV2", "Conv2D", "Einsum", "MatMul"}
"""Operations of layers: a table that they compute is not one of embeddings."""

_SAME_ORDER = {"EnsureShape", "ExpandDims", "Identity", "Reshape", "Squeeze"}
_ONE_BY_ONE = {"AddV2", "Cast", "FloorMod", "Maximum", "Minimum", "Mul", "SelectV2", "Sub"}


def lookups(numbers: Tensor) -> list[Any]:
    """The operations that look up rows by numbers which are computed from a tensor."""
    dependent = downstream(numbers)
    return [
        operation
        for operation in dependent
        if operation.type in _LOOKUPS
        and (operation.inputs[1] is numbers or operation.inputs[1].op in dependent)
    ]


def is_learned(lookup: Any) -> bool:
    """Whether the table of a lookup is a variable, as that of an embedding."""
    if lookup.type == "ResourceGather":
        return True
    table = lookup.inputs[0].op
    kinds = {each.type for each in (table, *upstream(table))}
    return "ReadVariableOp" in kinds and not kinds & _PRODUCTS


def columns_of_lookups(numbers: Tensor, scores: Tensor) -> dict[Any, tuple[int, ...]] | None:
    """The columns that each lookup between numbers and scores takes, in its order.

    Args:
        numbers: `(batch, columns)`.
        scores: What is computed from them.

    Returns:
        `None` if a column is used for something else than lookups and masks, or if it is unknown
        which columns are taken.
    """
    if not numbers.shape.is_fully_defined():
        return None
    batch, count = numbers.shape
    places = {numbers.ref(): np.arange(batch * count).reshape(batch, count)}
    between = downstream(numbers) & {scores.op, *upstream(scores.op)}
    found: dict[Any, tuple[int, ...]] = {}
    for operation in numbers.graph.get_operations():
        known = [places.get(source.ref()) for source in operation.inputs]
        given = [each for each in known if each is not None]
        if operation not in between or not given or operation.type == "Shape":
            continue
        if operation.type in _LOOKUPS and known[1] is not None:
            rows = known[1].reshape(len(known[1]), -1)
            if len(rows) != batch or (rows != rows[0] + count * np.arange(batch)[:, None]).any():
                return None
            found[operation] = tuple(rows[0].tolist())
            continue
        for output in operation.outputs:
            after = _carried(operation, output, given)
            if after is None and output.dtype.name != "bool":
                return None
            if after is not None:
                places[output.ref()] = after
    return None if scores.ref() in places else found


def _carried(operation: Any, output: Tensor, given: Sequence[Array]) -> Array | None:
    """Where the values of an operation's output come from; `None` if that is unknown.

    Args:
        operation: The operation.
        output: The output.
        given: Where the values of those inputs come from of which it is known.
    """
    first, shape = given[0], output.shape
    if operation.type == "Unpack":
        return np.asarray(first.take(output.value_index, operation.get_attr("axis")))
    if operation.type in SELECTIONS:
        return selected(operation, output, first)
    if operation.type in _SAME_ORDER and shape.is_fully_defined():
        return first.reshape(shape)
    is_same = operation.type in _ONE_BY_ONE and shape.is_compatible_with(first.shape)
    return first if is_same and all(np.array_equal(first, each) for each in given) else None
