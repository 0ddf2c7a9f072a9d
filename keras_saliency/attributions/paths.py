"""Gradients along a path from a baseline to the input: how the change of the score is distributed.

The steps are computed one after the other inside the graph, so memory does not grow with their
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter1d

from keras_saliency.attributions.differentiation import (
    ScoreFn,
    UnsuitableInputError,
    along,
    repeat,
)
from keras_saliency.attributions.gradients import gradient
from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.checks import check_choice, check_positive_int, check_seed
from keras_saliency.data.reports import Array

BASELINES = ("zero", "flat", "blurred", "mean")
"""The names of baselines: zeros; the input's mean colour everywhere; the blurred input; the mean of
the probes."""

QUADRATURE_RULES = ("midpoint", "gauss_legendre")

BLUR = 0.05
"""The standard deviation of the blur, as a share of each spatial axis."""

Baseline = Any
"""One of `BASELINES`, an array that broadcasts to one input, or a list of these."""


def integrated_gradients(
    score_fn: ScoreFn,
    inputs: Tensor,
    *,
    baseline: Baseline = "zero",
    num_steps: int = 32,
    rule: str = "midpoint",
) -> Tensor:
    """How much each input value adds to the score, relative to a baseline.

    High where a value raises the score, negative where it lowers it. The attributions sum to the
    score of the input minus the score of the baseline, up to an error that falls with the number of
    steps (see `completeness`). Zero wherever the input equals the baseline: a zero baseline misses
    dark objects. The unit is that of the score. A model that has learned nothing gives noise in the
    shape of the input. Cost: `num_steps` forward and backward passes per baseline.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.
        baseline: The start of the path: `"zero"`; `"flat"`, the input's mean colour everywhere;
            `"blurred"`, the input blurred by a twentieth of its sides; `"mean"`, the mean of the
            probes; an array that broadcasts to one input, the same for all inputs; or a list of
            these, in which case the attributions are averaged.
        num_steps: The number of steps on the path.
        rule: The positions of the steps: `"midpoint"`, in the middle of equal intervals, or
            `"gauss_legendre"`, which is exact for scores that are polynomials of degree
            `2 * num_steps`, and best for smooth models.

    Returns:
        The attribution, same shape and dtype as `inputs`.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is unknown or out of range, a baseline does not fit the inputs, or no
            gradient reaches the inputs.

    Example:
        >>> import tensorflow as tf
        >>> product = lambda x: x[:, 0] * x[:, 1]
        >>> integrated_gradients(product, tf.constant([[2.0, 3.0]])).numpy()  # each half of 6
        array([[3., 3.]], dtype=float32)

    Reference:
        Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks. arXiv:1703.01365.
    """
    check_positive_int("num_steps", num_steps, hint="Pass the number of steps on the path.")
    check_choice("rule", rule, QUADRATURE_RULES)
    starts = tf.stack(baselines(score_fn, inputs, baseline))
    alphas, weights = _nodes(num_steps, rule)
    count = starts.shape[0]

    def add(index: Tensor, total: list[Tensor]) -> list[Tensor]:
        start = starts[index // num_steps]
        alpha = tf.gather(tf.constant(alphas, inputs.dtype), index % num_steps)
        weight = tf.gather(tf.constant(weights, tf.float64), index % num_steps)
        slope = gradient(score_fn, start + alpha * (inputs - start))
        share = tf.cast(slope, tf.float64) * tf.cast(inputs - start, tf.float64)
        return [total[0] + weight * share]

    total = repeat(count * num_steps, add, [tf.zeros_like(inputs, tf.float64)])[0]
    return tf.cast(total / count, inputs.dtype)


def completeness(
    score_fn: ScoreFn, inputs: Tensor, attribution: Tensor, *, baseline: Baseline = "zero"
) -> Tensor:
    """The two numbers that integrated gradients should make equal.

    They differ if the path has too few steps for the model. Cost: one forward pass per baseline,
    and one for the inputs.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`.
        attribution: The result of `integrated_gradients`, same shape.
        baseline: As in `integrated_gradients`.

    Returns:
        `(batch, 2)` float64: the sum of the attribution, and the score of the input minus the score
        of the baseline (the mean score if there are several).

    Raises:
        TypeError: The baseline has the wrong type.
        ValueError: The baseline is unknown or does not fit the inputs.

    Example:
        >>> import tensorflow as tf
        >>> cubes = lambda x: tf.reduce_sum(x**3, axis=1)
        >>> x = tf.constant([[2.0]])
        >>> rough = integrated_gradients(cubes, x, num_steps=1)
        >>> completeness(cubes, x, rough).numpy()
        array([[6., 8.]])
    """
    total = tf.reduce_sum(tf.cast(attribution, tf.float64), list(range(1, inputs.shape.rank)))
    starts = baselines(score_fn, inputs, baseline)
    start_scores = [tf.cast(score_fn(start), tf.float64) for start in starts]
    mean_start = tf.add_n(start_scores) / len(starts)
    change = tf.cast(score_fn(inputs), tf.float64) - mean_start
    return tf.stack([total, change], axis=1)


def expected_gradients(
    score_fn: ScoreFn,
    inputs: Tensor,
    *,
    background: Any = None,
    num_samples: int = 64,
    seed: int = 0,
) -> Tensor:
    """Integrated gradients, averaged over baselines that are drawn from a background set.

    Shows what distinguishes an input from the background, without the choice of a single baseline.
    High where a value raises the score, negative where it lowers it. The attributions sum to about
    the score of the input minus the mean score of the background. If the input is part of the
    background, it adds nothing as its own baseline. The unit is that of the score. A model that has
    learned nothing gives noise. Cost: `num_samples` forward and backward passes.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, ...)`, floating point.
        background: `(count, ...)`, an array of inputs to use as baselines. Default: the probes.
        num_samples: The number of pairs of a baseline and a position on the path. Baselines are
            drawn equally often (up to one draw); positions are spread evenly over the path, for
            each baseline too.
        seed: The seed of the draws, from 0 to 2**31 - 1. The draws are the same for every input
            and every evaluation.

    Returns:
        The attribution, same shape and dtype as `inputs`.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range, the background is missing or does not fit the
            inputs, or no gradient reaches the inputs.

    Example:
        >>> import tensorflow as tf
        >>> linear = lambda x: 3 * x[:, 0] - x[:, 1]
        >>> others = [[0.0, 0.0], [2.0, 4.0]]  # their mean is 1, 2
        >>> expected_gradients(linear, tf.constant([[1.0, 3.0]]), background=others).numpy()
        array([[ 0., -1.]], dtype=float32)

    Reference:
        Erion, Janizek, Sturmfels, Lundberg, Lee: Improving performance of deep learning models
        with axiomatic attribution priors and expected gradients. arXiv:1906.10670.
    """
    check_positive_int("num_samples", num_samples, hint="Pass the number of draws.")
    seed = check_seed("seed", seed)
    others = _background(score_fn, inputs, background)
    count = others.shape[0]
    rng = np.random.default_rng([seed, 0])
    rounds = [rng.permutation(count) for _ in range(-(-num_samples // count))]
    chosen = tf.constant(np.concatenate(rounds)[:num_samples])
    positions = (np.arange(num_samples) + rng.random(num_samples)) / num_samples
    alphas = tf.constant(positions, inputs.dtype)

    def add(index: Tensor, total: list[Tensor]) -> list[Tensor]:
        start = tf.gather(others, chosen[index])
        slope = gradient(score_fn, start + alphas[index] * (inputs - start))
        return [total[0] + tf.cast(slope, tf.float64) * tf.cast(inputs - start, tf.float64)]

    total = repeat(num_samples, add, [tf.zeros_like(inputs, tf.float64)])[0]
    return tf.cast(total / num_samples, inputs.dtype)


def _background(score_fn: ScoreFn, inputs: Tensor, background: Any) -> Tensor:
    """The inputs that serve as baselines, `(count, ...)`, in the inputs' dtype."""
    if background is None:
        return tf.cast(known_background(score_fn, "background"), inputs.dtype)
    shape = tuple(inputs.shape[1:])
    array = background if tf.is_tensor(background) else np.asarray(background)
    if tuple(array.shape[1:]) != shape or len(array.shape) != len(shape) + 1 or not array.shape[0]:
        raise UnsuitableInputError(
            f"background: expected one or more inputs, (count, {', '.join(map(str, shape))}), "
            f"received shape {tuple(array.shape)}."
        )
    return tf.cast(array, inputs.dtype)


def baselines(score_fn: ScoreFn, inputs: Tensor, baseline: Baseline) -> list[Tensor]:
    """The baselines as tensors, each with the shape and dtype of the inputs.

    Raises:
        ValueError: A name is unknown, the list is empty, or an array does not fit.
    """
    if isinstance(baseline, list | tuple) and not baseline:
        raise ValueError("baseline: expected one or more baselines, received an empty list.")
    choices: Sequence[Any] = baseline if isinstance(baseline, list | tuple) else [baseline]
    return [_baseline(score_fn, inputs, choice) for choice in choices]


def _baseline(score_fn: ScoreFn, inputs: Tensor, baseline: Any) -> Tensor:
    if isinstance(baseline, str):
        check_choice("baseline", baseline, BASELINES)
        if baseline == "zero":
            return tf.zeros_like(inputs)
        if baseline in ("flat", "blurred") and inputs.shape.rank < 3:
            raise UnsuitableInputError(
                f"baseline={baseline!r}: expected inputs with spatial axes, but plain features "
                "have none. Choose another baseline."
            )
        if baseline == "flat":
            axes = list(range(1, inputs.shape.rank - 1))
            return tf.reduce_mean(inputs, axes, keepdims=True) + tf.zeros_like(inputs)
        if baseline == "blurred":
            return _blurred(inputs)
        mean = tf.reduce_mean(known_background(score_fn, "baseline"), axis=0)
        return tf.cast(mean, inputs.dtype) + tf.zeros_like(inputs)
    array = np.asarray(baseline)
    shape = (1, *inputs.shape[1:])
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if array.dtype.kind not in "iuf" or not fits or not np.isfinite(array).all():
        received = f"an array of shape {array.shape}" if array.ndim else repr(baseline)
        is_array = array.ndim > 0 and array.dtype.kind in "iuf"
        raise (UnsuitableInputError if is_array and not fits else ValueError)(
            f"baseline: expected one of {', '.join(map(repr, BASELINES))}, an array of finite "
            f"numbers that broadcasts to one input's shape {shape[1:]}, or a list of these, "
            f"received {received}."
        )
    return tf.cast(array, inputs.dtype) + tf.zeros_like(inputs)


def known_background(score_fn: ScoreFn, argument: str) -> Tensor:
    """The probes, if the score function has them.

    Raises:
        ValueError: It does not, or there is only one probe.
    """
    background = getattr(score_fn, "background", None)
    if background is None:
        raise UnsuitableInputError(
            f"{argument}: the probes cannot be used here: a plain score function has no "
            "probes, and tokens have no mean. Pass an array instead."
        )
    if background.shape[0] == 1:
        raise ValueError(
            f"{argument}: expected several probes to compare with, received only one. Use more "
            "probes, or pass an array."
        )
    return background


def _blurred(inputs: Tensor) -> Tensor:
    """The inputs blurred along each spatial axis."""
    blurred = inputs
    for axis in range(1, inputs.shape.rank - 1):
        size = int(inputs.shape[axis])
        blurring = gaussian_filter1d(np.eye(size), BLUR * size, axis=0, mode="nearest")
        blurred = along(blurred, axis, blurring)
    return blurred


def _nodes(num_steps: int, rule: str) -> tuple[Array, Array]:
    """The positions on the path, in 0..1, and their weights, which sum to 1."""
    if rule == "midpoint":
        return (np.arange(num_steps) + 0.5) / num_steps, np.full(num_steps, 1 / num_steps)
    positions, weights = np.polynomial.legendre.leggauss(num_steps)
    return (positions + 1) / 2, weights / 2
