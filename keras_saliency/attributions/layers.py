"""Class activation maps: what a layer sees, weighed by what the score makes of it.

All are taken at the output of one layer, with a spatial map for each of its channels, and enlarged
to the size of the input (bilinear). Only what speaks for the class is kept. They cost about a
forward pass: the way back is short. Arithmetic is exact over the range of float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_saliency.attributions.differentiation import (
    LayerCall,
    ModelScore,
    ScoreFn,
    derivatives,
)
from keras_saliency.scores import Tensor, behind

_POOLS = {"AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D", "MaxPoolV2"}
_PADS = {"MirrorPad", "Pad", "PadV2"}  # their places are shifted against the image's


def grad_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Which places of a layer speak for the class, each channel weighed by its mean gradient.

    High where channels are active that raise the score, wherever in the image they do. Coarse: as
    fine as the layer. Its unit is that of the score, for each place of the layer. A layer whose
    channels say nothing of the class gives a map like its activity.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: The name of a layer, or the end of its path in nested models
            (`"backbone/conv5_block3_out"`). Default: the last with a spatial map, not merely
            pooled or padded.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative.

    Raises:
        ValueError: There is no such layer, or none with a spatial map that the score depends on.

    Reference:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM. arXiv:1610.02391.
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    weights = tf.reduce_mean(gradients, _spatial(gradients), keepdims=True)
    return _enlarged(weights * activations, inputs)


def grad_cam_plus_plus(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM with the places weighed, too: several objects of a class count alike.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative.

    Raises:
        ValueError: As `grad_cam`.

    Reference:
        Chattopadhyay, Sarkar, Howlader, Balasubramanian: Grad-CAM++. arXiv:1710.11063. The
        exponential of the score, which the paper differentiates, changes a map by a factor only,
        and is left out.
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    total = tf.reduce_sum(activations, _spatial(activations), keepdims=True)
    denominator = 2 + total * gradients  # of the paper's fraction, a factor g**2 taken out
    alphas = tf.where(gradients == 0, 0.0, tf.math.divide_no_nan(1.0, denominator))
    weights = tf.reduce_sum(alphas * tf.nn.relu(gradients), _spatial(gradients), keepdims=True)
    return _enlarged(weights * activations, inputs)


def layer_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Each place weighed by its own positive gradient: fine also at layers near the input.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative.

    Raises:
        ValueError: As `grad_cam`.

    Reference:
        Jiang, Zhang, Hou, Cheng, Wei: LayerCAM. IEEE Transactions on Image Processing 30 (2021).
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    return _enlarged(tf.nn.relu(gradients) * activations, inputs)


def hires_cam(score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None) -> Tensor:
    """Each place weighed by its own gradient: what the model computed there, and nothing else.

    Where a single linear layer follows, the places' values before negative ones are cut off sum to
    the score, less its bias; Grad-CAM's averaged weights can point to places the model did not use.

    Args:
        score_fn: A `ModelScore`.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative.

    Raises:
        ValueError: As `grad_cam`.

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
        neural networks. arXiv:2011.08891.
    """
    activations, gradients = _at_layer(score_fn, inputs, layer)
    return _enlarged(gradients * activations, inputs)


def _spatial(values: Tensor) -> list[int]:
    return list(range(1, values.shape.rank - 1))


def _at_layer(score_fn: ScoreFn, inputs: Tensor, layer: str | None) -> tuple[Tensor, Tensor]:
    """What a layer gives for the inputs, and the score's gradient to that; channels last."""
    if not isinstance(score_fn, ModelScore):
        raise ValueError("score_fn: expected a ModelScore; a plain function has no layers.")
    scores = score_fn(inputs)
    places = _candidates(score_fn, inputs, scores)
    if layer is None:
        call, gradients = _default(places)
    else:
        named = [place for place in places if f"/{place[0].path}".endswith(f"/{layer}")]
        if not named:
            raise ValueError(
                f"layer={layer!r}: expected a layer with a spatial map that the score depends on: "
                f"{_listed(places)}."
            )
        call, gradients = named[-1]
    values = [
        value if value.dtype == tf.float64 else tf.cast(value, tf.float32)
        for value in (call.output, gradients)
    ]
    if score_fn.data_format == "channels_first":
        order = [0, *range(2, values[0].shape.rank), 1]
        values = [tf.transpose(value, order) for value in values]
    return values[0], values[1]


def _candidates(
    score_fn: ModelScore, inputs: Tensor, scores: Tensor
) -> list[tuple[LayerCall, Tensor]]:
    """The calls of layers that give spatial maps the score depends on, with its gradients."""
    first = 2 if score_fn.data_format == "channels_first" else 1
    known: dict[int, LayerCall] = {}
    for call in score_fn.layer_calls(inputs):
        shape = call.output.shape
        if call.output.graph is not scores.graph or shape.rank != inputs.shape.rank:
            continue
        spatial = shape[first : first + inputs.shape.rank - 2]
        if call.output.dtype.is_floating and spatial.num_elements() not in (None, 0, 1):
            known.setdefault(id(call.output), call)  # a model's output is also its last layer's
    calls = list(known.values())
    gradients = derivatives(score_fn, scores, [call.output for call in calls]) if calls else []
    return [
        (call, gradient)
        for call, gradient in zip(calls, gradients, strict=True)
        if gradient is not None
    ]


def _default(places: Sequence[tuple[LayerCall, Tensor]]) -> tuple[LayerCall, Tensor]:
    """The last call that is no mere pooling or padding."""
    found = [place for place in places if behind(place[0].output.op).type not in _POOLS | _PADS]
    if not found:
        raise ValueError(
            "layer: expected a model with a layer whose output has spatial axes and a gradient; "
            f"found {_listed(places)}. Class activation maps need one: choose another method."
        )
    return found[-1]


def _listed(places: Sequence[tuple[LayerCall, Tensor]]) -> str:
    shown = [f"{call.path!r} {tuple(call.output.shape[1:])}" for call, _ in places]
    if len(shown) > 40:
        shown = [*shown[:5], f"... {len(shown) - 35} more ...", *shown[-30:]]
    return ", ".join(shown) or "none"


def _enlarged(weighed: Tensor, inputs: Tensor) -> Tensor:
    """The sum over channels, negative values cut off, at the inputs' size: `(..., 1)`."""
    cam = tf.nn.relu(tf.reduce_sum(weighed, axis=-1, keepdims=True))
    for axis in range(1, inputs.shape.rank - 1):
        cam = _resized(cam, axis, int(inputs.shape[axis]))
    return tf.cast(cam, inputs.dtype)


def _resized(values: Tensor, axis: int, size: int) -> Tensor:
    """One axis at another length, linear between the centres of its places."""
    if values.shape[axis] == size:
        return values
    shape = values.shape.as_list()
    before, after = 1, 1
    for length in shape[1:axis]:
        before *= length
    for length in shape[axis + 1 :]:
        after *= length
    flat = tf.reshape(values, [shape[0] * before, shape[axis], after, 1])
    resized = tf.cast(tf.image.resize(flat, [size, after]), values.dtype)
    return tf.reshape(resized, [*shape[:axis], size, *shape[axis + 1 :]])
