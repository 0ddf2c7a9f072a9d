"""Where the values of a tensor lie in the image, according to the graph that computes it.

A vision transformer cuts the image into patches and writes them as a list of tokens. The places of
the tokens are followed from the image through every operation: a convolution or a patch extraction
makes a coarser grid, a reshape writes it as a list, a concatenation puts tokens without a place (a
class token, registers) before it, a slice removes them. Operations of which this is not known lose
the places: they are never guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.reports import Array

_SAME_ORDER = {"Cast", "EnsureShape", "ExpandDims", "Identity", "PreventGradient", "Reshape"}
_SAME_ORDER |= {"Squeeze", "StopGradient"}
_RESAMPLING = {"AvgPool", "Conv2D", "Conv2DBackpropInput", "DepthToSpace", "DepthwiseConv2dNative"}
_RESAMPLING |= {"ExtractImagePatches", "MaxPool", "MirrorPad", "Pad", "PadV2", "ResizeArea"}
_RESAMPLING |= {"ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor", "SpaceToDepth"}
_REDUCTIONS = {"All", "Any", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"}
SELECTIONS = {"GatherV2", "Slice", "Split", "SplitV", "StridedSlice"}
"""Operations that `selected` knows."""
_LOSING = {
    "BatchToSpaceND",
    "Case",
    "Cumsum",
    "GatherNd",
    "If",
    "PartitionedCall",
    "ReverseSequence",
}
_LOSING |= {"ReverseV2", "Roll", "ScatterNd", "SpaceToBatchND", "StatefulPartitionedCall"}
_LOSING |= {"StatelessIf", "StatelessWhile", "TensorScatterUpdate", "Tile", "TopKV2", "While"}


@dataclass(frozen=True)
class Places:
    """How the values of a tensor lie in the image.

    In memory, the values are `(lead, count, rest)`: for each example `count` tokens with `rest`
    values each. Of these tokens, `height * width` have places, row by row, from the one with the
    index `first` on. A map `(batch, height, width, channels)` is the case without other tokens.

    Attributes:
        lead: The number of examples; times heads or channels where their axis comes first.
        height: The height of the grid; 0 if no token has a place.
        width: The width of the grid.
        first: The number of tokens before the grid.
        count: The number of all tokens.
    """

    lead: int
    height: int
    width: int
    first: int
    count: int


def is_map(places: Places, shape: Sequence[int], batch: int) -> bool:
    """Whether values are `(batch, height, width, channels)`, or channels first."""
    size = (places.height, places.width)
    if len(shape) != 4 or shape[0] != batch or places.count != size[0] * size[1]:
        return False
    is_last = places.lead == batch and tuple(shape[1:3]) == size
    return is_last or (places.lead == batch * shape[1] and tuple(shape[2:]) == size)


def is_tokens(places: Places, shape: Sequence[int], batch: int) -> bool:
    """Whether values are `(batch, tokens, channels)`."""
    has_batch = places.lead == batch == shape[0]
    return has_batch and len(shape) == 3 and shape[1] == places.count


def carried(operation: Any, index: int, output: Tensor, places: Places) -> Places | None:
    """Where an operation's output lies, according to one of its inputs.

    Args:
        operation: The operation.
        index: Of the input.
        output: The output.
        places: Of the input.

    Returns:
        The places; of height 0 if only tokens without a place are taken; `None` if the operation
        mixes places, or if it is not known what it does.
    """
    shapes = operation.inputs[index].shape, output.shape
    kind = operation.type
    if kind in _LOSING or "FFT" in kind or not all(shape.is_fully_defined() for shape in shapes):
        return None
    shape, new = map(tuple, shapes)
    if kind in _SAME_ORDER:
        return places if index == 0 else None
    if kind == "IdentityN":
        return places if output.value_index == index else None
    if kind in _RESAMPLING:
        return _resampled(operation, index, shape, new, places)
    if kind in SELECTIONS:
        return _on_grid(_positions(operation, output, shape, places), places)
    rule = _RULES.get(kind, _row_by_row)
    return rule(operation, index, shape, new, places)


def _span(places: Places, shape: Sequence[int]) -> tuple[int | None, int | None]:
    """The axes of a shape that hold the tokens: the first one, and the one after the last.

    `None` for the first if it holds the examples as well; `None` for the end if an axis holds
    more.
    """
    sizes = [1, *itertools.accumulate(shape, lambda one, other: one * other)]
    starts = [axis for axis, size in enumerate(sizes) if size == places.lead]
    ends = [axis for axis, size in enumerate(sizes) if size == places.lead * places.count]
    return max(starts, default=None), min(ends, default=None)


def _row_by_row(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    """An operation on the values of each token, such as a sum, a product or an activation."""
    end = _span(places, shape)[1]
    return places if end is not None and new[:end] == shape[:end] else None


def _reduced(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    axes, end = tf.get_static_value(operation.inputs[1]), _span(places, shape)[1]
    if axes is None or end is None:
        return None
    return places if all(axis % len(shape) >= end for axis in np.ravel(axes)) else None


def _multiplied(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    """A product of matrices: the rows of the first factor are those of the product."""
    is_turned = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    end = _span(places, shape)[1]
    num_axes = len(shape) - 1 if index == 0 and not is_turned else len(shape) - 2
    if end is None or end > num_axes:
        return None
    return _row_by_row(operation, index, shape, new, places)


def _transposed(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    order = tf.get_static_value(operation.inputs[1])
    return None if index or order is None else _moved([*map(int, order)], shape, new, places)


def _einsum(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    sources, _, target = operation.get_attr("equation").decode().partition("->")
    letters = sources.split(",")[index]
    if "." in letters or len(letters) != len(shape):
        return None
    return _moved([letters.find(letter) for letter in target], shape, new, places)


def _moved(
    order: list[int], shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    """A transposition: `order` has the old axis of each new one, -1 if it has none."""
    start, end = _span(places, shape)
    if start is None or end is None:
        return None
    axes = [axis for axis in range(start, end) if shape[axis] > 1 or end - start == 1]
    if not {*axes} <= {*order}:
        return None
    at = order.index(axes[0])
    lead = int(np.prod(new[:at], dtype=np.int64))
    if order[at : at + len(axes)] == axes:
        return replace(places, lead=lead)
    return _patches(axes, order[at:], shape, replace(places, lead=lead))


def _patches(
    axes: list[int], order: list[int], shape: Sequence[int], places: Places
) -> Places | None:
    """The pixels of each patch, moved behind the grid of patches."""
    sizes = [shape[axis] for axis in axes]
    if len(axes) != 4 or order[:2] != axes[::2] or places.first:
        return None
    if (sizes[0] * sizes[1], sizes[2] * sizes[3]) != (places.height, places.width):
        return None
    return Places(places.lead, sizes[0], sizes[2], 0, sizes[0] * sizes[2])


def _joined(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    axis = tf.get_static_value(operation.inputs[-1])
    start, end = _span(places, shape)
    if axis is None or end is None:
        return None
    axis = int(axis) % len(shape)
    if axis >= end:
        return _row_by_row(operation, index, shape, new, places)
    if axis != start or end != start + 1:
        return None
    before = sum(int(values.shape[axis]) for values in operation.inputs[:index])
    return replace(places, first=places.first + before, count=new[axis])


def _resampled(
    operation: Any, index: int, shape: Sequence[int], new: Sequence[int], places: Places
) -> Places | None:
    """A map of another size, from a convolution, from pooling, padding or resizing."""
    is_data = index == (2 if operation.type == "Conv2DBackpropInput" else 0)
    if not is_data or not is_map(places, shape, shape[0]):
        return None
    is_first = places.lead != shape[0] or (
        "data_format" in operation.node_def.attr and operation.get_attr("data_format") == b"NCHW"
    )
    height, width = new[2:] if is_first else new[1:3]
    lead = new[0] * new[1] if is_first else new[0]
    return Places(lead, height, width, 0, height * width)


def _positions(
    operation: Any, output: Tensor, shape: Sequence[int], places: Places
) -> Array | None:
    """Which tokens of which examples a selection takes: an array like the output.

    Token `t` of example `e` is `e * count + t`. `None` if the selection depends on values.
    """
    end = _span(places, shape)[1]
    if end is None:
        return None
    ordered = np.arange(places.lead * places.count)
    ordered = ordered.reshape([*shape[:end], *[1] * (len(shape) - end)])
    return selected(operation, output, np.broadcast_to(ordered, shape))


def selected(operation: Any, output: Tensor, values: Array) -> Array | None:
    """What one of `SELECTIONS` takes of an array like its input.

    Args:
        operation: The operation.
        output: Which of its outputs.
        values: The array.

    Returns:
        An array like the output; `None` if it depends on values that the graph does not show.
    """
    known = [tf.get_static_value(source) for source in operation.inputs]
    if operation.type.startswith("Split"):
        axis = int(known[0 if operation.type == "Split" else 2])
        sizes = [int(part.shape[axis]) for part in operation.outputs]
        part: Array = np.split(values, np.cumsum(sizes)[:-1], axis)[output.value_index]
        return part
    if any(value is None for value in known[1:]):
        return None
    index: tuple[Any, ...]
    if operation.type == "StridedSlice":
        index = _strided(operation, *known[1:])
    elif operation.type == "Slice":
        ends = [b + n if n >= 0 else None for b, n in zip(*known[1:], strict=True)]
        index = tuple(map(slice, known[1], ends))
    elif operation.get_attr("batch_dims"):
        return None
    else:
        index = (*[slice(None)] * (int(known[2]) % values.ndim), known[1])
    taken: Array = values[index]
    return taken


def _strided(operation: Any, begin: Array, end: Array, strides: Array) -> tuple[Any, ...]:
    """The index of a `StridedSlice`, as NumPy has it."""

    def is_set(mask: str, axis: int) -> bool:
        return bool(operation.get_attr(mask) >> axis & 1)

    index: list[Any] = []
    for axis in range(len(begin)):
        if is_set("ellipsis_mask", axis):
            index.append(Ellipsis)
        elif is_set("new_axis_mask", axis):
            index.append(None)
        elif is_set("shrink_axis_mask", axis):
            index.append(int(begin[axis]))
        else:
            low = None if is_set("begin_mask", axis) else int(begin[axis])
            high = None if is_set("end_mask", axis) else int(end[axis])
            index.append(slice(low, high, int(strides[axis])))
    return tuple(index)


def _on_grid(positions: Array | None, places: Places) -> Places | None:
    """Where the selected tokens lie: all places, none of them, or every second row and column."""
    if positions is None or not positions.size:
        return None
    tokens = np.unique(positions % places.count)
    examples = np.arange(places.lead)[:, None, None] * places.count
    if positions.size % (places.lead * len(tokens)):
        return None
    if (positions.reshape(places.lead, len(tokens), -1) != examples + tokens[:, None]).any():
        return None
    inside = (tokens >= places.first) & (tokens < places.first + places.height * places.width)
    if not inside.any():
        return Places(places.lead, 0, 0, 0, len(tokens))
    if inside.sum() == places.height * places.width:
        return replace(places, first=int(inside.argmax()), count=len(tokens))
    rows, columns = np.unique(tokens // places.width), np.unique(tokens % places.width)
    is_grid = places.first == 0 and places.count == places.height * places.width
    is_grid = is_grid and len(tokens) == len(rows) * len(columns)
    if not (is_grid and _is_even(rows, places.height) and _is_even(columns, places.width)):
        return None
    return Places(places.lead, len(rows), len(columns), 0, len(tokens))


def _is_even(indices: Array, size: int) -> bool:
    """Whether every index, every second, or ... of an axis is selected, over its whole length."""
    if len(indices) < 2:
        return False
    step = indices[1] - indices[0]
    return bool((np.diff(indices) == step).all() and indices[0] < step >= size - indices[-1])


_Rule = Callable[[Any, int, Sequence[int], Sequence[int], Places], Places | None]

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "MatMul"), _multiplied),
    "ConcatV2": _joined,
    "Einsum": _einsum,
    "Transpose": _transposed,
}
