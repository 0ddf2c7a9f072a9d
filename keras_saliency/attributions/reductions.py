"""Reduces an attribution over its channels to a saliency map, or to one number, its norm."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_saliency.attributions.heads import Tensor


def max_abs(attribution: Tensor) -> Tensor:
    """The largest absolute value over the channels.

    Reference:
        Simonyan et al., section 3.1. arXiv:1312.6034.
    """
    return tf.reduce_max(tf.abs(attribution), axis=-1)


def l2(attribution: Tensor) -> Tensor:
    """The L2 norm over the channels, without overflow or underflow."""
    peak = tf.reduce_max(tf.abs(attribution), axis=-1, keepdims=True)
    ratios = tf.math.divide_no_nan(attribution, peak)
    return peak[..., 0] * tf.sqrt(tf.reduce_sum(ratios * ratios, axis=-1))


def absolute_sum(attribution: Tensor) -> Tensor:
    """The absolute value of the sum over the channels; opposite signs cancel."""
    return tf.abs(signed_sum(attribution))


def signed_sum(attribution: Tensor) -> Tensor:
    """The sum over the channels, with its sign: negative where it lowers the score."""
    total = tf.reduce_sum(tf.cast(attribution, tf.float64), axis=-1)  # no partial sum overflows
    return tf.cast(total, attribution.dtype)


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max_abs": max_abs,
    "l2": l2,
    "sum": absolute_sum,
    "signed": signed_sum,
}
"""The reductions by name, from `(batch, *spatial axes, channels)` to `(batch, *spatial axes)`.
All but `"signed"` are non-negative. For `"signed"`, the saliency map is the absolute value."""


def norm(attribution: Tensor) -> Tensor:
    """The L2 norm of each attribution, `(batch,)` float32 or float64.

    The values are divided by the largest one before they are squared, so that gradients of 1e-30
    or 1e+30 neither vanish nor overflow. 0 for a zero attribution; `nan` if any value is `nan`.

    Args:
        attribution: `(batch, ...)`.
    """
    if attribution.dtype != tf.float64:
        attribution = tf.cast(attribution, tf.float32)
    axes = list(range(1, attribution.shape.rank))
    peak = tf.reduce_max(tf.abs(attribution), axis=axes, keepdims=True)
    scaled = tf.math.divide_no_nan(attribution, peak)
    return tf.reshape(peak, [-1]) * tf.sqrt(tf.reduce_sum(scaled * scaled, axis=axes))
