"""The gradient of the score with respect to the input, and the input times this gradient."""

from __future__ import annotations

from keras_saliency.attributions.differentiation import ModelScore, ScoreFn, derivative
from keras_saliency.attributions.heads import Tensor


def gradient(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """The gradient of the score with respect to every input value.

    High where a small change of the input changes the score most. It does not show how much an
    input value contributes to the score. The unit is score per input unit. A model that has
    learned nothing gives noise, not a flat map. Cost: one forward and backward pass.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.

    Returns:
        The gradient, same shape and dtype as `inputs`.

    Raises:
        ValueError: No gradient reaches the inputs.

    Example:
        >>> import tensorflow as tf
        >>> gradient(lambda x: tf.reduce_sum(x**2, axis=1), tf.constant([[1.0, -3.0]])).numpy()
        array([[ 2., -6.]], dtype=float32)

    Reference:
        Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks. arXiv:1312.6034.
    """
    result = derivative(score_fn, inputs)
    if result is None:
        cutting = score_fn.cutting(inputs) if isinstance(score_fn, ModelScore) else None
        cause = "Check the model for a cast to integers, a lookup or a tf.stop_gradient."
        if cutting is not None:
            cause = f"None flows through the model's operation {cutting.name!r} ({cutting.type})."
        raise ValueError(
            "model: expected a score that is a differentiable function of the images, but no "
            f"gradient reaches the images. {cause} method='occlusion' needs no gradient."
        )
    return result


def input_x_gradient(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """The input times the gradient: for a linear score, the contribution of each value.

    High where a value raises the score, negative where it lowers it. For a linear score without
    bias, the attributions sum to the score. Zero wherever the image is zero, so dark objects are
    missed. About half of the ranking comes from the image itself, even for a model with random
    weights (arXiv:1810.03292). Use it to look at, not to monitor training. Cost: one forward and
    backward pass.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.

    Returns:
        The product, same shape and dtype as `inputs`, in the unit of the score.

    Raises:
        ValueError: As in `gradient`.

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
