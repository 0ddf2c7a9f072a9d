"""The gradient of the score with respect to the input, and the input times this gradient."""

from __future__ import annotations

from keras_saliency.attributions.differentiation import ModelScore, ScoreFn, derivative
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.lookups import is_learned, lookups
from keras_saliency.data.graphs import as_one_input


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
        cause = _cause(score_fn, inputs) if isinstance(score_fn, ModelScore) else ""
        if not cause:
            cause = (
                "Check the model for a cast to integers, a lookup or a tf.stop_gradient. "
                "method='occlusion' needs no gradient."
            )
        raise ValueError(
            "model: expected a score that is a differentiable function of the images, but no "
            f"gradient reaches the images. {cause}"
        )
    return result


def _cause(score_fn: ModelScore, inputs: Tensor) -> str:
    """Which operation lets no gradient through to the inputs, and what to do; empty if unknown."""
    between = score_fn.between(inputs)
    looking_up = lookups(inputs)
    first = next((operation for operation in between if operation in looking_up), None)
    cutting = score_fn.cutting(inputs)
    if first is not None and (cutting is None or cutting.type == "Cast"):
        what = f"The model uses the inputs as row numbers: {first.name!r} ({first.type}) looks up"
        if is_learned(first):
            return (
                f"{what} rows of a learned table. If that is an embedding, give integers, and "
                "explain the vectors that they stand for: ProbeSet(..., kind='tokens')."
            )
        rows = "model.head(model.body(graph[0]))"
        return (
            f"{what} rows of what the model holds or computes. Row numbers have no gradient, but "
            "the features that these rows are computed from do. With your features of all rows and "
            f"the layers of your model, {as_one_input(rows)}"
        )
    if cutting is None:
        return ""
    return (
        f"None flows through the model's operation {cutting.name!r} ({cutting.type}). "
        "method='occlusion' needs no gradient."
    )


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
