"""The gradient of the score to the input, and the input times it: one backward pass."""

from __future__ import annotations

from keras_saliency.attributions.differentiation import ScoreFn, derivative
from keras_saliency.attributions.scores import Tensor


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
    found = derivative(score_fn, inputs)
    if found is None:
        raise ValueError(
            "model: expected a score that depends on the images by differentiable operations, "
            "but no gradient reaches the images. A cast to integers, a lookup or a "
            "tf.stop_gradient cuts it off."
        )
    return found


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
