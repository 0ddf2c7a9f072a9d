"""Class activation maps: what a layer sees, weighted by what the score makes of it.

All are taken at the output of one layer, with a spatial map for each of its channels, and enlarged
to the size of the input, linear between the centres of its places. Only what speaks for the class
is kept. They cost about a forward pass: the way back is short. Products and sums are taken in
double precision: whatever float32 holds of a map is right, for gradients of 1e-30 as of 1e+30.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import LayerCall, ModelScore, ScoreFn, along
from keras_saliency.attributions.scores import Tensor, behind
from keras_saliency.data.reports import Array

_POOLS = {"AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D", "MaxPoolV2"}
_PADS = {"MirrorPad", "Pad", "PadV2"}  # their places are shifted against the image's

_UNEVEN = 2.0
"""How many times as coarse along one axis as along another a spatial map may be, if unnamed."""


def grad_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Which places of a layer speak for the class, each channel weighted by its mean gradient.

    High where channels are active that raise the score, wherever in the image they do. Coarse: as
    fine as the layer. Its unit is that of the score, for each place of the layer. A model that
    learned nothing gives a map of the layer's activity, its channels weighted at random, or zero
    everywhere. About one forward pass.

    Args:
        score_fn: A `ModelScore`: what a monitor hands to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: The name of a layer, or the end of its path in nested models
            (`"backbone/conv5_block3_out"`); of a layer that is called several times, the last
            call. Default: the last layer with a spatial map, not merely pooled or padded; of a
            model that labels places, whose last map is the answer itself, the last of the coarsest.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: `layer` is not a string.
        ValueError: There is no such layer, or none with a spatial map between the input and the
            score; or it is not clear which is meant.

    Example:
        >>> import keras, numpy as np
        >>> from functools import partial
        >>> from keras_saliency import ProbeSet, SaliencyMonitor
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu", name="seen"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
        >>> probes = ProbeSet(np.ones((1, 8, 8, 1), "float32"), [0])
        >>> monitor = SaliencyMonitor(model, probes, method=partial(grad_cam, layer="seen"))
        >>> monitor.evaluate(step=0).maps.shape
        (1, 8, 8)

    Reference:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM. arXiv:1610.02391.
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    weights = tf.reduce_mean(gradients, _spatial(gradients), keepdims=True)
    return _enlarged(weights * activations, inputs)


def grad_cam_plus_plus(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM with the places weighted, too: several objects of a class count alike.

    High and low, and what a model that learned nothing gives, as in `grad_cam`, with positive
    gradients alone. Its size says nothing: it does not grow with the score's scale as gradients
    do, and levels off where they are large. About one forward pass.

    The exponential of the score, which the paper differentiates, changes a map by a factor only,
    and is left out. The paper takes activations to be non-negative, as a ReLU's are; where a
    channel's sum is negative, it counts as 0, since the weights would have a pole.

    Args:
        score_fn: A `ModelScore`: what a monitor hands to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As `grad_cam`.
        ValueError: As `grad_cam`.

    Reference:
        Chattopadhyay, Sarkar, Howlader, Balasubramanian: Grad-CAM++. arXiv:1710.11063.
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    total = tf.reduce_sum(activations, _spatial(activations), keepdims=True)
    positive = tf.nn.relu(gradients)
    alphas = 1 / (2 + tf.nn.relu(total) * positive)  # the paper's fraction, g**2 taken out of it
    weights = tf.reduce_sum(alphas * positive, _spatial(gradients), keepdims=True)
    return _enlarged(weights * activations, inputs)


def layer_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Each place weighted by its own positive gradient: fine also at layers near the input.

    High where a channel is active and more of it, there, would raise the score; what a model that
    learned nothing gives is as speckled as its gradient. Its unit is that of the score. The
    paper's `tanh` for layers near the input is left out. About one forward pass.

    Args:
        score_fn: A `ModelScore`: what a monitor hands to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As `grad_cam`.
        ValueError: As `grad_cam`.

    Reference:
        Jiang, Zhang, Hou, Cheng, Wei: LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization. IEEE Transactions on Image Processing 30 (2021).
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    return _enlarged(tf.nn.relu(gradients) * activations, inputs)


def hires_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Each place weighted by its own gradient: what the model computed there, and nothing else.

    High where what the layer gives at a place adds to the score. Where a single linear layer
    follows, the places' values before negative ones are cut off sum to the score, less its bias;
    Grad-CAM's averaged weights can point to places the model did not use. A model that learned
    nothing gives speckle. Its unit is that of the score. About one forward pass.

    Args:
        score_fn: A `ModelScore`: what a monitor hands to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As `grad_cam`.
        ValueError: As `grad_cam`.

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
        neural networks. arXiv:2011.08891.
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    return _enlarged(gradients * activations, inputs)


def _spatial(values: Tensor) -> list[int]:
    return list(range(1, values.shape.rank - 1))


def layer_call(
    score_fn: ScoreFn, inputs: Tensor, layer: str | None = None
) -> tuple[LayerCall, Tensor]:
    """The call of a layer at which a class activation map is taken, and the score's gradient there.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Raises:
        TypeError: `layer` is not a string.
        ValueError: There is no such layer, or no layer to choose from.
    """
    score_fn = _with_layers(score_fn)
    places = [
        (call, gradient)
        for call, gradient in score_fn.layer_gradients(inputs)
        if _sizes(call, score_fn, inputs)
    ]
    return _default(places, score_fn, inputs) if layer is None else _named(places, layer)


def _with_layers(score_fn: ScoreFn) -> ModelScore:
    if not isinstance(score_fn, ModelScore):
        raise ValueError(
            "score_fn: expected what a monitor gives its methods; a plain function has no layers."
        )
    return score_fn


def _at_layer(score_fn: ScoreFn, inputs: Tensor, layer: str | None) -> tuple[Tensor, Tensor]:
    """What a layer gives, and the gradient of the score to that; float64, channels last."""
    call, gradient = layer_call(score_fn, inputs, layer)
    score_fn = _with_layers(score_fn)
    values = [tf.cast(value, tf.float64) for value in (call.output, gradient)]
    if _is_channels_first(call.output, score_fn):
        order = [0, *range(2, values[0].shape.rank), 1]
        values = [tf.transpose(value, order) for value in values]
    return values[0], values[1]


def _sizes(call: LayerCall, score_fn: ModelScore, inputs: Tensor) -> list[int]:
    """The sizes of a spatial map's axes; none where a call gives no map of two places or more."""
    shape = call.output.shape
    if shape.rank != inputs.shape.rank or shape.rank < 3:
        return []
    sizes = list(shape[2:] if _is_channels_first(call.output, score_fn) else shape[1:-1])
    return sizes if None not in sizes and np.prod(sizes) > 1 else []


def _is_channels_first(output: Tensor, score_fn: ModelScore) -> bool:
    """Whether a layer's output has its channels in front, as the graph behind it shows.

    The nearest operation that knows decides: a convolution, say, or a transposition to that end.
    A model that takes its channels in front may well begin by moving them.
    """
    rank = output.shape.rank
    forth, back = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    waiting, seen = [(output.op, False)], {output.op}
    while waiting:
        operation, is_turned = waiting.pop(0)
        if operation.outputs and (operation.outputs[0].shape.rank or 0) >= rank:
            if "data_format" in operation.node_def.attr:
                return bool((operation.get_attr("data_format")[1:2] == b"C") != is_turned)
            order = _order(operation)
            if order in (forth, back) and forth != back:
                return order == forth
            is_turned ^= order == forth  # of a series: whichever it was, it is the other now
        for tensor in operation.inputs:
            if tensor.op not in seen:
                seen.add(tensor.op)
                waiting.append((tensor.op, is_turned))
    return score_fn.data_format == "channels_first"


def _order(operation: Any) -> list[int]:
    """The order that a transposition puts the axes in; empty for what is none."""
    found = tf.get_static_value(operation.inputs[1]) if operation.type == "Transpose" else None
    return [] if found is None else [int(axis) for axis in found]


def _named(places: Sequence[tuple[LayerCall, Tensor]], layer: str) -> tuple[LayerCall, Tensor]:
    """The last call of the layer with that path or, where none has, whose path ends so.

    Raises:
        TypeError: Not a string.
        ValueError: There is no such layer, or there are several.
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer: expected the name of a layer, received {layer!r}.")
    found = [place for place in places if place[0].path == layer] or [
        place for place in places if place[0].path.endswith(f"/{layer}")
    ]
    if not found:
        raise ValueError(
            f"layer={layer!r}: expected a layer with a spatial map that the score depends on: "
            f"{_listed(places)}."
        )
    if len({call.path for call, _ in found}) > 1:
        raise ValueError(
            f"layer={layer!r}: expected one layer, found {_listed(found)}. Give more of its path."
        )
    return found[-1]


def _default(
    places: Sequence[tuple[LayerCall, Tensor]], score_fn: ModelScore, inputs: Tensor
) -> tuple[LayerCall, Tensor]:
    """The last call that is more than pooling or padding.

    Raises:
        ValueError: There is none; or it is much coarser along one axis than along another, as
            what attention gives for (heads, tokens) is: these are not places.
    """
    found = [place for place in places if not _is_pooled(place[0].output.op)]
    if not found:
        raise ValueError(
            "layer: expected a model with a layer whose output has spatial axes and a gradient; "
            f"found {_listed(places)}. Class activation maps need one: choose another method."
        )
    if score_fn.is_segmentation:
        areas = [np.prod(_sizes(call, score_fn, inputs)) for call, _ in found]
        found = [place for place, area in zip(found, areas, strict=True) if area == min(areas)]
    call, gradient = found[-1]
    sizes = _sizes(call, score_fn, inputs)
    coarse = [whole / part for whole, part in zip(inputs.shape[1:-1], sizes, strict=True)]
    if max(coarse) > _UNEVEN * min(coarse):
        raise ValueError(
            f"layer: the last of the model's layers, {call.path!r}, may be no spatial map: it has "
            f"{tuple(sizes)} places where the input has {tuple(inputs.shape[1:-1])}. Name the "
            f"layer that is meant: {_listed(places)}."
        )
    return call, gradient


def _is_pooled(operation: Any) -> bool:
    """Whether values come out of a pooling or padding, in whatever order of the axes."""
    operation = behind(operation)
    while operation.type == "Transpose":
        operation = behind(operation.inputs[0].op)
    return operation.type in _POOLS | _PADS


def _listed(places: Sequence[tuple[LayerCall, Tensor]]) -> str:
    shown = [*{f"{call.path!r} {tuple(call.output.shape[1:])}": None for call, _ in places}]
    if len(shown) > 40:
        shown = [*shown[:5], f"... {len(shown) - 35} more ...", *shown[-30:]]
    return ", ".join(shown) or "none"


def _enlarged(weighted: Tensor, inputs: Tensor) -> Tensor:
    """The sum over channels, negative values cut off, at the inputs' size: `(..., 1)`."""
    cam = tf.nn.relu(tf.reduce_sum(weighted, axis=-1, keepdims=True))
    for axis in range(1, inputs.shape.rank - 1):
        cam = along(cam, axis, _resizing(int(cam.shape[axis]), int(inputs.shape[axis])))
    return tf.cast(cam, inputs.dtype)


def _resizing(old: int, new: int) -> Array:
    """The matrix `(new, old)` that resizes an axis, linear between the centres of its places.

    Example:
        >>> _resizing(2, 4)
        array([[1.  , 0.  ],
               [0.75, 0.25],
               [0.25, 0.75],
               [0.  , 1.  ]])
    """
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack([np.interp(centres, np.arange(old), unit) for unit in np.eye(old)], axis=1)
