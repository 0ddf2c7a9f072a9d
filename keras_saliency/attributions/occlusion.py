"""What the score loses when a part of the input is covered. No gradient: forward passes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import ScoreFn, per_probe, repeat
from keras_saliency.attributions.paths import baselines
from keras_saliency.attributions.scores import Tensor
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
    """How much the score falls, on average, when a window over a place is covered.

    Positive where what is covered speaks for the class. It needs no gradient: any model will do.
    It sees no cue that is larger than the window or that is there twice, and takes what a cover
    adds (an edge, a colour that is new to the model) for what is missing. Its unit is that of the
    score. A model that learned nothing gives blotches of the window's size around zero. One
    forward pass for each window: with the defaults, 15 x 15 for an image.

    Args:
        score_fn: From inputs to scores `(batch,)`.
        inputs: `(batch, *spatial axes, channels)`, or `(batch, features)`.
        window: The window's side in places, along a shorter axis all of it; default: an eighth of
            each axis (a single feature).
        stride: From one window to the next; default: half a window. The last window of an axis ends
            where the axis ends.
        baseline: What a window is covered with, as in `integrated_gradients`; one, no list.
            Default: `"flat"`, the input's mean colour; for plain features `"zero"`.

    Returns:
        `(batch, *spatial axes, 1)`, or `(batch, features)`; in the inputs' dtype.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range; the baseline does not fit.

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
    places, sizes = _windows(axes, window, stride, single=not has_channels)
    if baseline is None:
        baseline = "flat" if has_channels else "zero"
    covers = baselines(score_fn, inputs, baseline)
    if len(covers) != 1:
        raise ValueError(f"baseline: expected one, received {len(covers)}.")
    scores = tf.cast(score_fn(inputs), tf.float64)
    starts = tf.constant(places)

    def covered(index: Tensor) -> Tensor:
        mask = tf.ones(axes, tf.bool)
        for axis, size in enumerate(axes):
            place = tf.range(size) - starts[index, axis]
            inside = (place >= 0) & (place < sizes[axis])
            mask &= tf.reshape(inside, [-1 if other == axis else 1 for other in range(len(axes))])
        return mask[..., tf.newaxis] if has_channels else mask

    def add(index: Tensor, known: list[Tensor]) -> list[Tensor]:
        mask = covered(index)
        fall = scores - tf.cast(score_fn(tf.where(mask, covers[0], inputs)), tf.float64)
        weight = tf.cast(mask, tf.float64)
        return [known[0] + per_probe(fall, inputs) * weight, known[1] + weight]

    shape = [*axes, 1] if has_channels else axes
    total = tf.zeros([tf.shape(inputs)[0], *shape], tf.float64)
    falls, counts = repeat(len(places), add, [total, tf.zeros(shape, tf.float64)])
    return tf.cast(falls / counts, inputs.dtype)


def _windows(
    axes: list[int], window: int | None, stride: int | None, *, single: bool
) -> tuple[Array, list[int]]:
    """Where windows begin, `(count, axes)`, and their size along each axis."""
    for name, value in (("window", window), ("stride", stride)):
        if value is not None:
            check_positive_int(name, value, hint="It counts places of the input.")
    if window is not None and window > max(axes):
        raise ValueError(
            f"window: expected {max(axes)} or less, as the input has {tuple(axes)} places, "
            f"received {window}."
        )
    sizes = [min(size, window or (1 if single else max(1, size // 8))) for size in axes]
    if stride is not None:
        limit = min(
            (side for side, size in zip(sizes, axes, strict=True) if side < size), default=stride
        )
        if stride > limit:
            raise ValueError(
                f"stride: expected {limit} or less, as the window, so that every place is covered, "
                f"received {stride}."
            )
    steps = [stride or max(1, side // 2) for side in sizes]
    starts = [
        sorted({*range(0, size - side, step), size - side})
        for size, side, step in zip(axes, sizes, steps, strict=True)
    ]
    places = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return places.astype(np.int32), sizes
