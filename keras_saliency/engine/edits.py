"""The built-in edits in TensorFlow: the same images as those of `detection.edits` in NumPy.

Every edit has the form `(images, others, ours, theirs, where) -> images`, with images `(num_pairs,
height, width, channels)`. `ours` and `theirs` are the descriptions of both, made by NumPy, and
`where` is bool, `(num_pairs, height, width)`; an edit ignores what it does not need. The steps are
those of the NumPy versions, in the same precision. So the results are equal, except for those of
`spectrum`: Fourier transforms differ in the last digits of float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import Tensor

Description = tuple[Tensor, ...]
"""What an edit needs to know of some images: tensors with a row for each."""

Edit = Callable[[Tensor, Tensor, Description, Description, Tensor], Tensor]
"""`(images, others, ours, theirs, where) -> images`."""


def region(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_region`."""
    return tf.where(where[..., tf.newaxis], others, images)


def tint(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_tint`."""
    mean, deviation, is_flat, *_ = ours
    wanted_mean, wanted, *_ = theirs
    one = tf.ones((), tf.float64)
    stretch = tf.where(is_flat, one, wanted / tf.where(is_flat, one, deviation))
    made = (tf.cast(images, tf.float64) - mean) * stretch + wanted_mean
    return _clipped(made, images, ours, theirs)


def high_frequency(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_high_frequency`."""
    return images + (theirs[0] - ours[0])


def spectrum(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_spectrum`, within 1e-13 of the range before it is rounded."""
    energy, wanted, whole = ours[0], theirs[0], theirs[1]
    one = tf.ones((), tf.float64)
    total, their_total = (tf.reduce_sum(x, axis=1, keepdims=True) for x in (energy, wanted))
    has_any = their_total > 0
    ratio = tf.where(has_any, total / tf.where(has_any, their_total, one), one)
    is_empty = (energy <= 1e-12 * total) | (their_total <= 1e-20 * whole)
    squares = tf.where(is_empty, one, wanted * ratio / tf.where(is_empty, one, energy))
    gains = tf.concat([tf.ones_like(total), tf.sqrt(squares)], axis=1)
    height, width = images.shape[1:3]
    channels_first = tf.transpose(tf.cast(images, tf.float64), [0, 3, 1, 2])
    by_frequency = tf.gather(gains, _bands(height, width, energy.shape[1]), axis=1)
    transforms = tf.signal.rfft2d(channels_first) * tf.cast(
        by_frequency[:, tf.newaxis], tf.complex128
    )
    made = tf.transpose(tf.signal.irfft2d(transforms, [height, width]), [0, 2, 3, 1])
    return _clipped(made, images, ours, theirs)


def _bands(height: int, width: int, count: int) -> Tensor:
    """The band of each frequency of `rfft2d`, 1 to `count`; 0 is the mean."""
    rows, columns = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)
    bands = np.ceil(np.hypot(rows, columns) * 2 * count - 1e-9)
    return tf.constant(bands.clip(max=count), tf.int32)


def _clipped(made: Tensor, images: Tensor, ours: Description, theirs: Description) -> Tensor:
    """Images within the joint range of both, which is what the descriptions end with."""
    low, high = tf.minimum(ours[-2], theirs[-2]), tf.maximum(ours[-1], theirs[-1])
    low, high = tf.cast(low, made.dtype), tf.cast(high, made.dtype)
    return tf.cast(tf.minimum(tf.maximum(made, low), high), images.dtype)


EDITS: Mapping[str, Edit] = {
    "region": region,
    "tint": tint,
    "high_frequency": high_frequency,
    "spectrum": spectrum,
}
"""The edits by the names that `detection.edits.NAMES` gives them."""
