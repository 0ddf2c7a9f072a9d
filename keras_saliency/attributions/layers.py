"""Class activation maps: the output of a layer, weighted by how much it raises the score.

All of them use the output of one layer, with one spatial map per channel; within a
`TimeDistributed` layer, with one map per channel and step. The tokens of a vision transformer are
put on their grid first; those without a place, such as a class token, are left out. The result is
resized to the size of the input by linear interpolation between the centres of the layer's
positions. Only positive evidence for the class is kept. The cost is about one forward pass, since
the backward pass is short. Products and sums use double precision, so that maps are exact to
float32 precision even for gradients of 1e-30 or 1e+30.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import ScoreFn, along
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.layer_maps import Grid, layer_map, spatial
from keras_saliency.attributions.tokens import on_grid
from keras_saliency.data.reports import Array


def grad_cam(
    score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None, grid: Grid | None = None
) -> Tensor:
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
            default is the last of the coarsest layers. In a vision transformer it is the last
            layer whose tokens all later layers read; if only the class token is read at the end,
            the tokens before the last attention.
        grid: For a layer with tokens, if the graph does not show where they lie: the height and
            width of their grid. Tokens that are more come before it.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: `layer` is not a string, or `grid` is not two positive integers.
        ValueError: The layer does not exist, its name is ambiguous, its tokens are not read or
            their places are unknown, `grid` does not fit, or no layer between the input and the
            score has a spatial map.

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
    activations, gradients, axes = _at_layer(score_fn, inputs, layer, grid)
    weights = tf.reduce_mean(gradients, axes, keepdims=True)
    return _enlarged(weights * activations, inputs)


def grad_cam_plus_plus(
    score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None, grid: Grid | None = None
) -> Tensor:
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
        grid: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: As in `grad_cam`.

    Reference:
        Chattopadhyay, Sarkar, Howlader, Balasubramanian: Grad-CAM++. arXiv:1710.11063.
    """
    activations, gradients, axes = _at_layer(score_fn, inputs, layer, grid)
    total = tf.reduce_sum(activations, axes, keepdims=True)
    positive = tf.nn.relu(gradients)
    alphas = 1 / (2 + tf.nn.relu(total) * positive)  # the paper's fraction, divided by g**2
    weights = tf.reduce_sum(alphas * positive, axes, keepdims=True)
    return _enlarged(weights * activations, inputs)


def layer_cam(
    score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None, grid: Grid | None = None
) -> Tensor:
    """Each position weighted by its own positive gradient: useful for layers near the input, too.

    High where a channel is active and a higher activation would raise the score. A model that has
    learned nothing gives a map as noisy as its gradient. The unit is that of the score. The paper
    applies `tanh` to layers near the input; this is left out. Cost: about one forward pass.

    Args:
        score_fn: A `ModelScore`, as a monitor passes it to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.
        grid: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: As in `grad_cam`.

    Reference:
        Jiang, Zhang, Hou, Cheng, Wei: LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization. IEEE Transactions on Image Processing 30 (2021).
    """
    activations, gradients, _ = _at_layer(score_fn, inputs, layer, grid)
    return _enlarged(tf.nn.relu(gradients) * activations, inputs)


def hires_cam(
    score_fn: ScoreFn, inputs: Tensor, *, layer: str | None = None, grid: Grid | None = None
) -> Tensor:
    """Each position weighted by its own gradient: only positions that the model used count.

    High where the layer's output raises the score. If only a linear layer follows, the values
    before negative ones are set to 0 sum to the score minus the bias. Grad-CAM averages the
    gradients and can highlight positions that the model did not use. A model that has learned
    nothing gives noise. The unit is that of the score. Cost: about one forward pass.

    Args:
        score_fn: A `ModelScore`, as a monitor passes it to its methods.
        inputs: `(batch, *spatial axes, channels)`.
        layer: As in `grad_cam`.
        grid: As in `grad_cam`.

    Returns:
        `(batch, *spatial axes, 1)`, non-negative, in the inputs' dtype.

    Raises:
        TypeError: As in `grad_cam`.
        ValueError: As in `grad_cam`.

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
        neural networks. arXiv:2011.08891.
    """
    activations, gradients, _ = _at_layer(score_fn, inputs, layer, grid)
    return _enlarged(gradients * activations, inputs)


def _at_layer(
    score_fn: ScoreFn, inputs: Tensor, layer: str | None, grid: Grid | None
) -> tuple[Tensor, Tensor, list[int]]:
    """The output of a layer, the gradient of the score to it, and the spatial axes.

    Values are float64, channels last.
    """
    found = layer_map(score_fn, inputs, layer, grid)
    output = found.call.output
    values = [tf.cast(value, tf.float64) for value in (output, found.gradient)]
    if found.places is not None:
        return *(on_grid(value, found.places) for value in values), [1, 2]
    if found.is_channels_first:
        order = [0, *range(2, values[0].shape.rank), 1]
        values = [tf.transpose(value, order) for value in values]
    return values[0], values[1], spatial(found.call)


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
