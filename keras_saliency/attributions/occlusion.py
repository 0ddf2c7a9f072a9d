"""How much the score falls when a part of the input is covered. Needs forward passes only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import (
    ScoreFn,
    UnsuitableInputError,
    per_probe,
    repeat,
)
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.paths import baselines
from keras_saliency.data.checks import check_positive_int
from keras_saliency.data.reports import Array


def occlusion(
    score_fn: ScoreFn,
    inputs: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    baseline: Any = None,
) -> Tensor:
    """The average fall of the score over all windows that cover a position.

    Positive where the covered content supports the class. It needs no gradient and works for any
    model. It misses cues that are larger than the window or that occur twice. The cover may also
    change the score by itself, through a new edge or an unfamiliar colour. The unit is that of the
    score. A model that has learned nothing gives blotches of the window's size around zero. Cost:
    one forward pass per window; with the defaults, 15 x 15 windows for an image.

    Args:
        score_fn: Maps inputs to scores `(batch,)`.
        inputs: `(batch, *spatial axes, channels)`, or `(batch, features)`.
        window: The side length of the window; shorter axes are covered completely. Default: an
            eighth of each axis, or a single feature.
        stride: The distance from one window to the next. Default: half a window. The last window
            ends at the end of the axis.
        baseline: The values that cover a window, as in `integrated_gradients`, but not a list.
            Default: `"flat"`, the input's mean colour; for plain features `"zero"`.

    Returns:
        `(batch, *spatial axes, 1)` or `(batch, features)`, in the inputs' dtype.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range, or the baseline does not fit the inputs.

    Example:
        >>> import tensorflow as tf
        >>> linear = lambda x: 3 * x[:, 0] - x[:, 1]
        >>> occlusion(linear, tf.constant([[1.0, 2.0]])).numpy()
        array([[ 3., -2.]], dtype=float32)

    Reference:
        Zeiler, Fergus: Visualizing and Understanding Convolutional Networks. arXiv:1311.2901.
    """
    has_channels = inputs.shape.rank > 2
    axes = [int(size) for size in inputs.shape[1 : -1 if has_channels else None]]
    positions, sizes = _windows(axes, window, stride, single=not has_channels)
    if baseline is None:
        baseline = "flat" if has_channels else "zero"
    covers = baselines(score_fn, inputs, baseline)
    if len(covers) != 1:
        raise ValueError(f"baseline: expected one baseline, received a list of {len(covers)}.")
    scores = tf.cast(score_fn(inputs), tf.float64)
    starts = tf.constant(positions)

    def covered(index: Tensor) -> Tensor:
        mask = tf.ones(axes, tf.bool)
        for axis, size in enumerate(axes):
            offset = tf.range(size) - starts[index, axis]
            inside = (offset >= 0) & (offset < sizes[axis])
            mask &= tf.reshape(inside, [-1 if other == axis else 1 for other in range(len(axes))])
        return mask[..., tf.newaxis] if has_channels else mask

    def add(index: Tensor, known: list[Tensor]) -> list[Tensor]:
        mask = covered(index)
        fall = scores - tf.cast(score_fn(tf.where(mask, covers[0], inputs)), tf.float64)
        weight = tf.cast(mask, tf.float64)
        return [known[0] + per_probe(fall, inputs) * weight, known[1] + weight]

    shape = [*axes, 1] if has_channels else axes
    total = tf.zeros([tf.shape(inputs)[0], *shape], tf.float64)
    falls, counts = repeat(len(positions), add, [total, tf.zeros(shape, tf.float64)])
    return tf.cast(falls / counts, inputs.dtype)


def num_windows(shape: Sequence[int], window: int | None, stride: int | None) -> int:
    """How many windows cover one input.

    Args:
        shape: Of the input, with its channels.
        window: As in `occlusion`.
        stride: As in `occlusion`.
    """
    has_channels = len(shape) > 1
    axes = [*shape[:-1]] if has_channels else [*shape]
    return len(_windows(axes, window, stride, single=not has_channels)[0])


def _windows(
    axes: list[int], window: int | None, stride: int | None, *, single: bool
) -> tuple[Array, list[int]]:
    """The starts of the windows, `(count, axes)`, and their size along each axis."""
    for name, value in (("window", window), ("stride", stride)):
        if value is not None:
            check_positive_int(name, value, hint="Pass a number of positions of the input.")
    if window is not None and window > max(axes):
        raise UnsuitableInputError(
            f"window: expected {max(axes)} or less, since the input has the size {tuple(axes)}, "
            f"received {window}."
        )
    sizes = [min(size, window or (1 if single else max(1, size // 8))) for size in axes]
    if stride is not None:
        limit = min(
            (side for side, size in zip(sizes, axes, strict=True) if side < size), default=stride
        )
        if stride > limit:
            raise UnsuitableInputError(
                f"stride: expected {limit} or less, the size of the window, so that every position "
                f"is covered, received {stride}."
            )
    steps = [stride or max(1, side // 2) for side in sizes]
    starts = [
        sorted({*range(0, size - side, step), size - side})
        for size, side, step in zip(axes, sizes, steps, strict=True)
    ]
    positions = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return positions.astype(np.int32), sizes
