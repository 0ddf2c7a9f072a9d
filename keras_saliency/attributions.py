"""Attribution methods: one pure TensorFlow function each, and the table `METHODS`.

Every method has the form `(score_fn, inputs) -> attribution`. `score_fn` maps inputs
`(batch, height, width, channels)` to one scalar each, `(batch,)`; the attribution is signed and
has the shape and dtype of `inputs`. The score of one input must not depend on its neighbours in
the batch (it doesn't, in inference). Methods are traced inside a `tf.function`; none runs in a
Python loop over inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_saliency.scores import Tensor

ScoreFn = Callable[[Tensor], Tensor]


def gradient(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """The gradient of the score to every input value.

    High where a small change of the input changes the score most. It says nothing about how much
    of the score an input value is responsible for. Its unit is score per input unit. A model
    that learned nothing gives noise, not a flat map. One backward pass.

    Args:
        score_fn: From inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.

    Returns:
        The gradient, same shape and dtype as `inputs`.

    Raises:
        ValueError: The score does not depend on the inputs by differentiable operations.

    Example:
        >>> import tensorflow as tf
        >>> gradient(lambda x: tf.reduce_sum(x**2, axis=1), tf.constant([[1.0, -3.0]])).numpy()
        array([[ 2., -6.]], dtype=float32)

    Reference:
        Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks. arXiv:1312.6034.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        scores = score_fn(inputs)
    gradients = tape.gradient(scores, inputs)
    if gradients is None:
        raise ValueError(
            "model: expected a score that depends on the images by differentiable operations, "
            "but no gradient reaches the images. A cast to integers, a lookup or a "
            "tf.stop_gradient cuts it off."
        )
    return gradients


def input_x_gradient(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """The input times the gradient: for a linear score, each value's share of it.

    For a linear score without bias the attributions sum to the score. Zero wherever the image is
    zero: blind to dark objects. Half of its ranking is the image itself, also for a model with
    random weights (arXiv:1810.03292), so it is a picture to look at and unfit as a monitor. One
    backward pass.

    Args:
        score_fn: From inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.

    Returns:
        The product, same shape and dtype as `inputs`; its unit is that of the score.

    Raises:
        ValueError: As `gradient`.

    Example:
        >>> import tensorflow as tf
        >>> weights = tf.constant([2.0, 0.5])
        >>> x = tf.constant([[1.0, -3.0]])
        >>> input_x_gradient(lambda x: tf.linalg.matvec(x, weights), x).numpy()
        array([[ 2. , -1.5]], dtype=float32)

    Reference:
        Shrikumar, Greenside, Shcherbina, Kundaje: Not Just a Black Box. arXiv:1605.01713.
    """
    return inputs * gradient(score_fn, inputs)


METHODS: dict[str, Callable[[ScoreFn, Tensor], Tensor]] = {
    "gradient": gradient,
    "input_x_gradient": input_x_gradient,
}
"""The methods known by name."""


def saliency_map(attribution: Tensor) -> Tensor:
    """The largest absolute value over the channels: `(batch, height, width)`, non-negative.

    Args:
        attribution: `(batch, height, width, channels)`.

    Reference:
        Simonyan et al., section 3.1. arXiv:1312.6034.
    """
    return tf.reduce_max(tf.abs(attribution), axis=-1)


def norm(attribution: Tensor) -> Tensor:
    """The L2 norm of each attribution, `(batch,)` float32 or float64, exact over their range.

    The values are divided by their largest before they are squared, so that gradients of 1e-30
    or 1e+30 neither vanish nor overflow. 0 for a zero attribution; `nan` if any value is.

    Args:
        attribution: `(batch, height, width, channels)`.
    """
    if attribution.dtype != tf.float64:
        attribution = tf.cast(attribution, tf.float32)
    peak = tf.reduce_max(tf.abs(attribution), axis=[1, 2, 3], keepdims=True)
    scaled = tf.math.divide_no_nan(attribution, peak)
    return peak[:, 0, 0, 0] * tf.sqrt(tf.reduce_sum(scaled * scaled, axis=[1, 2, 3]))
