"""The layer that a class activation map is computed from: named by the user, or found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import (
    LayerCall,
    ModelScore,
    ScoreFn,
    UnsuitableInputError,
)
from keras_saliency.attributions.heads import Tensor, behind
from keras_saliency.attributions.places import Places
from keras_saliency.attributions.tokens import TokenPlaces, on_given_grid

Grid = tuple[int, int]
"""The height and width of a grid of tokens."""

_POOLS = {"AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D", "MaxPoolV2"}
_PADS = {"MirrorPad", "Pad", "PadV2"}  # these shift positions relative to the image

_MAX_STRIDE_RATIO = 2.0
"""The largest ratio of the coarseness of two axes, for a layer that is chosen by default."""


def spatial(call: LayerCall) -> list[int]:
    """The spatial axes of an output, channels last; without steps that are treated one by one."""
    axes = list(range(1, call.output.shape.rank - 1))
    return axes[call.num_steps :] or axes


@dataclass(frozen=True)
class LayerMap:
    """A layer's output that can be seen as a map, and the gradient of the score to it.

    Attributes:
        call: The layer's call.
        gradient: Of the call's output.
        sizes: The sizes of the map's spatial axes, without those of steps that are treated one by
            one; empty if it is not a map of two or more positions.
        places: Where the tokens lie, if the output is `(batch, tokens, channels)`.
        is_channels_first: Whether the channels come before the map's axes.
    """

    call: LayerCall
    gradient: Tensor
    sizes: tuple[int, ...] = ()
    places: Places | None = None
    is_channels_first: bool = False


def layer_map(
    score_fn: ScoreFn, inputs: Tensor, layer: str | None = None, grid: Grid | None = None
) -> LayerMap:
    """The layer that a class activation map is computed from, and the gradient of the score.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.
        grid: As in `grad_cam`.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: The layer or the grid does not fit, or no layer is suitable as the default.
    """
    score_fn = _with_layers(score_fn)
    if grid is not None and layer is None:
        raise ValueError("grid: expected layer as well, the name of the layer with these tokens.")
    pairs = score_fn.layer_gradients(inputs)
    is_image = inputs.shape.rank == 4
    has_tokens = is_image and any(call.output.shape.rank == 3 for call, _ in pairs)
    tokens = TokenPlaces(score_fn, inputs) if has_tokens else None
    maps = [_as_map(call, gradient, score_fn, inputs, tokens) for call, gradient in pairs]
    if layer is None:
        return _default([each for each in maps if each.sizes], score_fn, inputs, tokens)
    return _named(maps, layer, grid, is_image)


def _as_map(
    call: LayerCall,
    gradient: Tensor,
    score_fn: ModelScore,
    inputs: Tensor,
    tokens: TokenPlaces | None,
) -> LayerMap:
    places = None if tokens is None else tokens.of_tokens(call.output)
    if places is None:
        is_map = tokens is None or tokens.may_be_map(call.output)
        has_axes = call.output.shape.rank == inputs.shape.rank >= 3
        is_first = has_axes and _is_channels_first(call.output, score_fn)
        sizes = _sizes(call, inputs, is_first) if is_map else []
        return LayerMap(call, gradient, tuple(sizes), is_channels_first=is_first)
    is_read = tokens is not None and tokens.is_read(call.output)
    return LayerMap(call, gradient, (places.height, places.width) if is_read else (), places)


def _with_layers(score_fn: ScoreFn) -> ModelScore:
    if not isinstance(score_fn, ModelScore):
        raise ValueError(
            "score_fn: expected a ModelScore, as a monitor passes it; a plain function has no "
            "layers."
        )
    return score_fn


def _sizes(call: LayerCall, inputs: Tensor, is_channels_first: bool) -> list[int]:
    """The sizes of an output's spatial axes; empty if it is not a map of two or more positions."""
    shape = call.output.shape
    if shape.rank != inputs.shape.rank or shape.rank < 3:
        return []
    sizes = list(shape[2:] if is_channels_first else shape[1:-1])
    is_map = None not in sizes and np.prod([sizes[axis - 1] for axis in spatial(call)]) > 1
    return sizes if is_map else []


def _is_channels_first(output: Tensor, score_fn: ModelScore) -> bool:
    """Whether a layer's output is channels first, according to the graph behind it.

    The nearest operation that shows a layout decides, such as a convolution or a transposition
    that moves the channels. The model's `data_format` is only the fallback: a model with
    channels-first input may transpose it at the start.
    """
    rank = output.shape.rank
    to_first, to_last = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    waiting, seen = [(output.op, False)], {output.op}
    while waiting:
        operation, is_turned = waiting.pop(0)
        if operation.outputs and (operation.outputs[0].shape.rank or 0) >= rank:
            if "data_format" in operation.node_def.attr:
                return bool((operation.get_attr("data_format")[1:2] == b"C") != is_turned)
            order = _order(operation)
            if order in (to_first, to_last) and to_first != to_last:
                return order == to_first
            is_turned ^= order == to_first  # a series: both orders are equal and swap the layout
        for tensor in operation.inputs:
            if tensor.op not in seen:
                seen.add(tensor.op)
                waiting.append((tensor.op, is_turned))
    return score_fn.data_format == "channels_first"


def _order(operation: Any) -> list[int]:
    """The order of axes that a transposition produces; empty for other operations."""
    order = tf.get_static_value(operation.inputs[1]) if operation.type == "Transpose" else None
    return [] if order is None else [int(axis) for axis in order]


def _named(maps: Sequence[LayerMap], layer: str, grid: Grid | None, is_image: bool) -> LayerMap:
    """The last call of the layer with this path; if there is none, with a path that ends in it.

    Raises:
        TypeError: `layer` is not a string; or as in `on_given_grid`.
        ValueError: The layer does not exist or is not a map, several layers match, or as in
            `on_given_grid`.
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer: expected the name of a layer, received {layer!r}.")
    usable = [each for each in maps if each.sizes]
    matches = _matching(usable, layer)
    if is_image and (grid is not None or not matches):
        matches = _matching([each for each in maps if _is_list(each)], layer) or matches
    if not matches:
        raise UnsuitableInputError(
            f"layer={layer!r}: expected a layer with a spatial map that the score depends on. "
            f"Choose one of: {_listed(usable)}."
        )
    if len({each.call.path for each in matches}) > 1:
        raise ValueError(
            f"layer={layer!r}: expected one layer, found {_listed(matches)}. Pass more of its path."
        )
    found = matches[-1]
    if grid is not None:
        if not (is_image and _is_list(found)):
            raise UnsuitableInputError(
                f"grid: expected a layer with tokens, received {_listed([found])}."
            )
        return replace(found, places=on_given_grid(found.call, grid, found.places))
    if found.sizes:
        return found
    if found.places is None:
        cause = "the graph does not show where its tokens lie in the image"
        advice = "Pass grid=(height, width), if they lie row by row, or choose one of"
    else:
        cause = "behind this layer only tokens without a place are read, such as the class token"
        advice = "Its map would be 0 everywhere. Choose one of"
    raise ValueError(f"layer={layer!r}: {cause}. {advice}: {_listed(usable)}.")


def _matching(maps: Sequence[LayerMap], layer: str) -> list[LayerMap]:
    return [each for each in maps if each.call.path == layer] or [
        each for each in maps if each.call.path.endswith(f"/{layer}")
    ]


def _is_list(found: LayerMap) -> bool:
    """Whether an output is not a map, but may be a list of tokens of an image."""
    is_known = found.places is not None or not found.sizes
    return is_known and found.call.output.shape.rank == 3


def _default(
    maps: Sequence[LayerMap], score_fn: ModelScore, inputs: Tensor, tokens: TokenPlaces | None
) -> LayerMap:
    """The last call that is not only pooling or padding; of tokens, the last that collects all.

    Raises:
        ValueError: No call is suitable, or its output is much coarser along one axis than along
            another. Such axes may not be spatial, for example the heads and tokens of attention.
    """
    candidates = [each for each in maps if not _is_pooled(each.call.output)]
    if tokens is not None and any(each.places for each in candidates):
        candidates = [
            each
            for each in candidates
            if each.places or tokens.may_be_map(each.call.output, is_certain=True)
        ]
    if not candidates:
        raise _no_map(maps, score_fn, inputs)
    if score_fn.has_positions:
        areas = [np.prod(each.sizes) for each in candidates]
        candidates = [
            each for each, area in zip(candidates, areas, strict=True) if area == min(areas)
        ]
    found = candidates[-1]
    if tokens is not None and found.places:
        outputs = ((each, each.call.output) for each in reversed(candidates))
        found = next((each for each, output in outputs if tokens.collects(output)), found)
    sizes, shape = found.sizes, inputs.shape
    axes = [1, 2] if found.places else spatial(found.call)
    strides = [shape[axis] / sizes[axis - 1] for axis in axes]
    if max(strides) > _MAX_STRIDE_RATIO * min(strides):
        raise ValueError(
            f"layer: the output of the model's last layer, {found.call.path!r}, may not be a "
            f"spatial map: its size is {sizes}, and the input's is {tuple(shape[1:-1])}. "
            f"Name the layer to use: {_listed(maps)}."
        )
    return found


def _no_map(maps: Sequence[LayerMap], score_fn: ModelScore, inputs: Tensor) -> ValueError:
    blocking = score_fn.blocking(inputs)
    cause = (
        f"No gradient reaches layers before {blocking}, which has none in TensorFlow."
        if blocking
        else "The layers of a SavedModel or a compiled helper function are not seen."
    )
    lists = [pair for pair in score_fn.layer_gradients(inputs) if pair[0].output.shape.rank == 3]
    if inputs.shape.rank == 4 and lists:
        cause += (
            " If the model is a vision transformer and the graph does not show where its tokens "
            "lie, pass layer=... and grid=(height, width): "
            f"{_listed([LayerMap(*pair) for pair in lists])}."
        )
    return UnsuitableInputError(
        "layer: expected a model with a layer whose output has spatial axes and a gradient; "
        f"found {_listed(maps)}. Class activation maps need one. {cause} Choose another "
        "method."
    )


def _is_pooled(values: Tensor) -> bool:
    """Whether values come from pooling or padding, with or without a transposition after it."""
    operation = behind(values)
    while operation.type == "Transpose":
        operation = behind(operation.inputs[0])
    return operation.type in _POOLS | _PADS


def _listed(maps: Sequence[LayerMap]) -> str:
    calls = [each.call for each in maps]
    shown = [*{f"{call.path!r} {tuple(call.output.shape[1:])}": None for call in calls}]
    if len(shown) > 40:
        shown = [*shown[:5], f"... {len(shown) - 35} more ...", *shown[-30:]]
    return ", ".join(shown) or "none"
