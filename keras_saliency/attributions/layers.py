"""Class activation maps: the output of a layer, weighted by how much it raises the score.

All of them use the output of one layer, with one spatial map per channel; within a
`TimeDistributed` layer, with one map per channel and step. The result is resized to the size of the
input by linear interpolation between the centres of the layer's positions. Only positive evidence
for the class is kept. The cost is about one forward pass, since the backward pass is short.
Products and sums use double precision, so that maps are exact to float32 precision even for
gradients of 1e-30 or 1e+30.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import LayerCall, ModelScore, ScoreFn, along
from keras_saliency.attributions.heads import Tensor, behind
from keras_saliency.data.reports import Array

_POOLS = {"AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D", "MaxPoolV2"}
_PADS = {"MirrorPad", "Pad", "PadV2"}  # these shift positions relative to the image

_MAX_STRIDE_RATIO = 2.0
"""The largest ratio of the coarseness of two axes, for a layer that is chosen by default."""


def grad_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """The positions of a layer that support the class: each channel weighted by its mean gradient.

    High where channels are active that raise the score on average over the image. The resolution
    is that of the layer. The unit is that of the score, per position of the layer. A model that has
    learned nothing gives the layer's activity with randomly weighted channels, or zero everywhere.
    Cost: about one forward pass.

    Args:
        score_fn: A `ModelScore`, as a monitor passes it to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: The name of a layer, or the end of its path in nested models
            (`"backbone/conv5_block3_out"`). If the layer is called several times, the last call
            is used. Default: the last layer with a spatial map that is not only pooled or padded.
            For a model that labels every position, the last map is the answer itself, so the
            default is the last of the coarsest layers.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: `layer` is not a string.
        ValueError: The layer does not exist, its name is ambiguous, or no layer between the input
            and the score has a spatial map.

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
    activations, gradients, axes = _at_layer(score_fn, inputs, layer)
    weights = tf.reduce_mean(gradients, axes, keepdims=True)
    return _enlarged(weights * activations, inputs)


def grad_cam_plus_plus(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM with weighted positions, so that several objects of a class count equally.

    High where channels are active that raise the score, as in `grad_cam`, but only positive
    gradients count. A model that has learned nothing gives the same as in `grad_cam`. The magnitude
    has no meaning: it does not grow in proportion to the score, and saturates for large gradients.
    Cost: about one forward pass.

    The paper differentiates the exponential of the score. This only scales the map, so it is left
    out. The paper assumes non-negative activations, as after a ReLU. If the sum of a channel is
    negative, it counts as 0, because the weights would otherwise have a pole.

    Args:
        score_fn: A `ModelScore`, as a monitor passes it to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: As in `grad_cam`.

    Reference:
        Chattopadhyay, Sarkar, Howlader, Balasubramanian: Grad-CAM++. arXiv:1710.11063.
    """
    activations, gradients, axes = _at_layer(score_fn, inputs, layer)
    total = tf.reduce_sum(activations, axes, keepdims=True)
    positive = tf.nn.relu(gradients)
    alphas = 1 / (2 + tf.nn.relu(total) * positive)  # the paper's fraction, divided by g**2
    weights = tf.reduce_sum(alphas * positive, axes, keepdims=True)
    return _enlarged(weights * activations, inputs)


def layer_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Each position weighted by its own positive gradient: useful for layers near the input, too.

    High where a channel is active and a higher activation would raise the score. A model that has
    learned nothing gives a map as noisy as its gradient. The unit is that of the score. The paper
    applies `tanh` to layers near the input; this is left out. Cost: about one forward pass.

    Args:
        score_fn: A `ModelScore`, as a monitor passes it to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: As in `grad_cam`.

    Reference:
        Jiang, Zhang, Hou, Cheng, Wei: LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization. IEEE Transactions on Image Processing 30 (2021).
    """
    activations, gradients, _ = _at_layer(score_fn, inputs, layer)
    return _enlarged(tf.nn.relu(gradients) * activations, inputs)


def hires_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Each position weighted by its own gradient: only positions that the model used count.

    High where the layer's output raises the score. If only a linear layer follows, the values
    before negative ones are set to 0 sum to the score minus the bias. Grad-CAM averages the
    gradients and can highlight positions that the model did not use. A model that has learned
    nothing gives noise. The unit is that of the score. Cost: about one forward pass.

    Args:
        score_fn: A `ModelScore`, as a monitor passes it to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: As in `grad_cam`.

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
        neural networks. arXiv:2011.08891.
    """
    activations, gradients, _ = _at_layer(score_fn, inputs, layer)
    return _enlarged(gradients * activations, inputs)


def _spatial(call: LayerCall) -> list[int]:
    """The spatial axes of an output, channels last; without steps that are treated one by one."""
    axes = list(range(1, call.output.shape.rank - 1))
    return axes[call.num_steps :] or axes


def layer_call(
    score_fn: ScoreFn, inputs: Tensor, layer: str | None = None
) -> tuple[LayerCall, Tensor]:
    """The layer call that a class activation map is computed from, and the gradient of the score.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Raises:
        TypeError: `layer` is not a string.
        ValueError: The layer does not exist, or no layer is suitable as the default.
    """
    score_fn = _with_layers(score_fn)
    pairs = [
        (call, gradient)
        for call, gradient in score_fn.layer_gradients(inputs)
        if _sizes(call, score_fn, inputs)
    ]
    return _default(pairs, score_fn, inputs) if layer is None else _named(pairs, layer)


def _with_layers(score_fn: ScoreFn) -> ModelScore:
    if not isinstance(score_fn, ModelScore):
        raise ValueError(
            "score_fn: expected a ModelScore, as a monitor passes it; a plain function has no "
            "layers."
        )
    return score_fn


def _at_layer(
    score_fn: ScoreFn, inputs: Tensor, layer: str | None
) -> tuple[Tensor, Tensor, list[int]]:
    """The output of a layer, the gradient of the score to it, and the spatial axes.

    Values are float64, channels last.
    """
    call, gradient = layer_call(score_fn, inputs, layer)
    score_fn = _with_layers(score_fn)
    values = [tf.cast(value, tf.float64) for value in (call.output, gradient)]
    if _is_channels_first(call.output, score_fn):
        order = [0, *range(2, values[0].shape.rank), 1]
        values = [tf.transpose(value, order) for value in values]
    return values[0], values[1], _spatial(call)


def _sizes(call: LayerCall, score_fn: ModelScore, inputs: Tensor) -> list[int]:
    """The sizes of an output's spatial axes; empty if it is not a map of two or more positions."""
    shape = call.output.shape
    if shape.rank != inputs.shape.rank or shape.rank < 3:
        return []
    sizes = list(shape[2:] if _is_channels_first(call.output, score_fn) else shape[1:-1])
    is_map = None not in sizes and np.prod([sizes[axis - 1] for axis in _spatial(call)]) > 1
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


def _named(pairs: Sequence[tuple[LayerCall, Tensor]], layer: str) -> tuple[LayerCall, Tensor]:
    """The last call of the layer with this path; if there is none, with a path that ends in it.

    Raises:
        TypeError: `layer` is not a string.
        ValueError: The layer does not exist, or several layers match.
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer: expected the name of a layer, received {layer!r}.")
    matches = [pair for pair in pairs if pair[0].path == layer] or [
        pair for pair in pairs if pair[0].path.endswith(f"/{layer}")
    ]
    if not matches:
        raise ValueError(
            f"layer={layer!r}: expected a layer with a spatial map that the score depends on. "
            f"Choose one of: {_listed(pairs)}."
        )
    if len({call.path for call, _ in matches}) > 1:
        raise ValueError(
            f"layer={layer!r}: expected one layer, found {_listed(matches)}. Pass more of its path."
        )
    return matches[-1]


def _default(
    pairs: Sequence[tuple[LayerCall, Tensor]], score_fn: ModelScore, inputs: Tensor
) -> tuple[LayerCall, Tensor]:
    """The last call that is not only pooling or padding.

    Raises:
        ValueError: No call is suitable, or its output is much coarser along one axis than along
            another. Such axes may not be spatial, for example the heads and tokens of attention.
    """
    candidates = [pair for pair in pairs if not _is_pooled(pair[0].output)]
    if not candidates:
        blocking = score_fn.blocking(inputs)
        cause = (
            f"No gradient reaches layers before {blocking}, which has none in TensorFlow."
            if blocking
            else "The layers of a SavedModel or a compiled helper function are not seen."
        )
        raise ValueError(
            "layer: expected a model with a layer whose output has spatial axes and a gradient; "
            f"found {_listed(pairs)}. Class activation maps need one. {cause} Choose another "
            "method."
        )
    if score_fn.is_segmentation:
        areas = [np.prod(_sizes(call, score_fn, inputs)) for call, _ in candidates]
        candidates = [
            pair for pair, area in zip(candidates, areas, strict=True) if area == min(areas)
        ]
    call, gradient = candidates[-1]
    sizes = _sizes(call, score_fn, inputs)
    strides = [inputs.shape[axis] / sizes[axis - 1] for axis in _spatial(call)]
    if max(strides) > _MAX_STRIDE_RATIO * min(strides):
        raise ValueError(
            f"layer: the output of the model's last layer, {call.path!r}, may not be a spatial "
            f"map: its size is {tuple(sizes)}, and the input's is {tuple(inputs.shape[1:-1])}. "
            f"Name the layer to use: {_listed(pairs)}."
        )
    return call, gradient


def _is_pooled(values: Tensor) -> bool:
    """Whether values come from pooling or padding, with or without a transposition after it."""
    operation = behind(values)
    while operation.type == "Transpose":
        operation = behind(operation.inputs[0])
    return operation.type in _POOLS | _PADS


def _listed(pairs: Sequence[tuple[LayerCall, Tensor]]) -> str:
    shown = [*{f"{call.path!r} {tuple(call.output.shape[1:])}": None for call, _ in pairs}]
    if len(shown) > 40:
        shown = [*shown[:5], f"... {len(shown) - 35} more ...", *shown[-30:]]
    return ", ".join(shown) or "none"


def _enlarged(weighted: Tensor, inputs: Tensor) -> Tensor:
    """The sum over channels, negative values set to 0, resized to the inputs: `(..., 1)`."""
    cam = tf.nn.relu(tf.reduce_sum(weighted, axis=-1, keepdims=True))
    for axis in range(1, inputs.shape.rank - 1):
        cam = along(cam, axis, _resizing(int(cam.shape[axis]), int(inputs.shape[axis])))
    return tf.cast(cam, inputs.dtype)


def _resizing(old: int, new: int) -> Array:
    """The matrix `(new, old)` that resizes an axis by linear interpolation between centres.

    Example:
        >>> _resizing(2, 4)
        array([[1.  , 0.  ],
               [0.75, 0.25],
               [0.25, 0.75],
               [0.  , 1.  ]])
    """
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack([np.interp(centres, np.arange(old), unit) for unit in np.eye(old)], axis=1)
