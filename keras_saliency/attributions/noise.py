"""Gradients at noisy copies of the input: their average, and how much they differ.

The noise is stateless: it depends only on the seed, and is the same for every probe and every
evaluation. A map therefore changes only if the model changes, and the map of a probe does not
depend on the other probes. The copies are computed one after the other inside the graph, so memory
does not grow with their number. Averages use double precision, so that squares stay in range.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_saliency.attributions.differentiation import ScoreFn, check_number, repeat
from keras_saliency.attributions.gradients import gradient
from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.checks import check_choice, check_positive_int, check_seed

AVERAGES = ("signed", "absolute", "squared")


def smoothgrad(
    score_fn: ScoreFn,
    inputs: Tensor,
    *,
    num_samples: int = 24,
    noise_level: float = 0.15,
    average: str = "signed",
    antithetic: bool = True,
    seed: int = 0,
) -> Tensor:
    """The average gradient over noisy copies of the input.

    High where the score depends on the input in a whole neighbourhood, not only at one point. The
    map has less noise than the gradient, and the same unit. If the score is quadratic in the input,
    and copies come in pairs, it equals the gradient. A model that has learned nothing gives noise,
    not a flat map. An input that is constant gets no noise: the result is its plain gradient.
    Cost: `num_samples` forward and backward passes.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.
        num_samples: The number of noisy copies of each input. Use an even number if they come in
            pairs.
        noise_level: The standard deviation of the noise, as a share of each input's range (its
            largest value minus its smallest). For plain features: as a share of each feature's
            range over the probes.
        average: What is averaged: `"signed"`, the gradients, as in the paper; `"absolute"`, their
            absolute values; or `"squared"`, their squares (arXiv:1806.10758). For `"squared"` the
            square root is returned: the same ranking, in the unit of the gradient.
        antithetic: Whether copies come in pairs, with the same noise added and subtracted. Terms
            that are linear in the noise then cancel, so fewer copies are enough. If the number
            is odd, the last copy has no partner.
        seed: The seed of the noise, from 0 to 2**31 - 1.

    Returns:
        The average, same shape and dtype as `inputs`.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range, or no gradient reaches the inputs.

    Example:
        >>> import tensorflow as tf
        >>> cubes = lambda x: tf.reduce_sum(x**3, axis=1)  # gradient: 3 x**2
        >>> x = tf.constant([[0.0, 1.0, 2.0]])
        >>> smoothed = smoothgrad(cubes, x, num_samples=200, noise_level=0.1)
        >>> [round(float(value), 1) for value in smoothed[0]]  # 3 (x**2 + 0.2**2)
        [0.1, 3.1, 12.1]

    Reference:
        Smilkov, Thorat, Kim, Viégas, Wattenberg: SmoothGrad. arXiv:1706.03825.
    """
    check_choice("average", average, AVERAGES)
    change = {"signed": tf.identity, "absolute": tf.abs, "squared": tf.square}[average]
    draws = noisy(score_fn, inputs, num_samples, noise_level, antithetic, seed)

    def add(index: Tensor, total: Tensor) -> Tensor:
        return total + change(tf.cast(gradient(score_fn, draws(index)), tf.float64))

    zero = tf.zeros_like(inputs, tf.float64)
    mean = repeat(num_samples, lambda index, sums: [add(index, sums[0])], [zero])[0] / num_samples
    return tf.cast(tf.sqrt(mean) if average == "squared" else mean, inputs.dtype)


def vargrad(
    score_fn: ScoreFn,
    inputs: Tensor,
    *,
    num_samples: int = 24,
    noise_level: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """How much the gradient differs between noisy copies of the input.

    High where the model has a high curvature: its gradient depends on the exact input. Zero for a
    linear model, and for a constant input, which gets no noise. It has no sign. A model that has
    learned nothing gives a map of its random curvature, not zero. Cost: `num_samples` forward and
    backward passes.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.
        num_samples: The number of noisy copies of each input, 2 or more.
        noise_level: As in `smoothgrad`.
        seed: As in `smoothgrad`.

    Returns:
        The standard deviation over the copies, same shape and dtype as `inputs`. The paper returns
        the variance; its root has the same ranking and the unit of the gradient.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range, or no gradient reaches the inputs.

    Example:
        >>> import tensorflow as tf
        >>> squares = lambda x: tf.reduce_sum(x**2, axis=1)  # gradient: 2 x
        >>> x = tf.constant([[0.0, 1.0]])
        >>> deviation = vargrad(squares, x, num_samples=200, noise_level=0.1)
        >>> [round(float(value), 1) for value in deviation[0]]  # twice that of the noise
        [0.2, 0.2]

    Reference:
        Adebayo, Gilmer, Goodfellow, Kim: Local Explanation Methods for Deep Neural Networks Lack
        Sensitivity to Parameter Values. arXiv:1810.03307.
    """
    draws = noisy(score_fn, inputs, num_samples, noise_level, False, seed)
    if num_samples < 2:
        raise ValueError("num_samples: expected 2 or more, to compare gradients; received 1.")

    def add(index: Tensor, known: list[Tensor]) -> list[Tensor]:  # by Welford's method
        mean, squares = known
        value = tf.cast(gradient(score_fn, draws(index)), tf.float64)
        new_mean = mean + (value - mean) / tf.cast(index + 1, tf.float64)
        return [new_mean, squares + (value - mean) * (value - new_mean)]

    zero = tf.zeros_like(inputs, tf.float64)
    _, squares = repeat(num_samples, add, [zero, zero])
    return tf.cast(tf.sqrt(squares / num_samples), inputs.dtype)


def noisy(
    score_fn: ScoreFn,
    inputs: Tensor,
    num_samples: int,
    noise_level: float,
    antithetic: bool,
    seed: int,
) -> Callable[[Tensor], Tensor]:
    """Maps the number of a copy to the inputs with that copy's noise. Settings as in `smoothgrad`.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range.
    """
    check_positive_int("num_samples", num_samples, hint="Pass the number of noisy copies.")
    check_number("noise_level", noise_level, above=0)
    if not isinstance(antithetic, bool):
        raise TypeError(f"antithetic: expected True or False, received {antithetic!r}.")
    seed = check_seed("seed", seed)
    background = getattr(score_fn, "background", None)
    if inputs.shape.rank == 2 and background is not None:  # each feature has its own scale
        others = tf.cast(background, inputs.dtype)
        spread = tf.reduce_max(others, 0, True) - tf.reduce_min(others, 0, True)
    else:
        axes = list(range(1, inputs.shape.rank))
        spread = tf.reduce_max(inputs, axes, True) - tf.reduce_min(inputs, axes, True)

    def noisy(index: Tensor) -> Tensor:
        number = index // 2 if antithetic else index
        noise = tf.random.stateless_normal(
            tf.shape(inputs)[1:], tf.stack([tf.constant(seed, tf.int32), number]), alg="philox"
        )
        sign = 1 - 2 * (index % 2) if antithetic else 1
        scale = spread * tf.cast(noise_level, inputs.dtype) * tf.cast(sign, inputs.dtype)
        return inputs + scale * tf.cast(noise, inputs.dtype)

    return noisy
