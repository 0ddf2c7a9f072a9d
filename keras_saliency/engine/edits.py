"""The built-in edits in TensorFlow: the same images as those of `detection.edits` in NumPy.

Every edit has the form `(images, others, ours, theirs, where) -> images`, with images `(num_pairs,
height, width, channels)` or inputs of another kind. `ours` and `theirs` are the descriptions of
both, made by NumPy or by `DESCRIBE`, and `where` is bool, `(num_pairs, height, width)`; an edit
ignores what it does not need. The steps are those of the NumPy versions, in the same precision. So
the results are equal, except for those of `spectrum`: Fourier transforms differ in the last digits
of float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.placed_edits import BANDS, HIGH_FREQUENCY
from keras_saliency.data.reports import Array

Description = tuple[Tensor, ...]
"""What an edit needs to know of some images: tensors with a row for each."""

Edit = Callable[[Tensor, Tensor, Description, Description, Tensor], Tensor]
"""`(images, others, ours, theirs, where) -> images`."""


def region(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_region`."""
    mask = where if len(where.shape) == len(images.shape) else where[..., tf.newaxis]
    return tf.where(mask, others, images)


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


def describe_tint(images: Tensor) -> Description:
    """The mean, deviation and flatness of each channel, and the range of each image."""
    return *_moments(images, (1, 2)), *_range(images)


def high_frequency(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_high_frequency`."""
    return images + (theirs[0] - ours[0])


def describe_details(images: Tensor) -> Description:
    """The part of each image that has high frequencies."""
    height, width = images.shape[1:3]
    frequencies = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    is_high = tf.constant(frequencies >= HIGH_FREQUENCY, tf.complex128)
    transforms = _transforms(images) * is_high
    return (tf.cast(_images(transforms, height, width), images.dtype),)


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
    by_frequency = tf.gather(gains, _bands(height, width, energy.shape[1]), axis=1)
    transforms = _transforms(images) * tf.cast(by_frequency[:, tf.newaxis], tf.complex128)
    return _clipped(_images(transforms, height, width), images, ours, theirs)


def describe_spectrum(images: Tensor) -> Description:
    """The energy of each band, the energy with the mean, and the range of each image."""
    height, width = images.shape[1:3]
    twice = np.full((height, width // 2 + 1), 2.0)  # columns that stand for two frequencies
    twice[:, [0, -1] if width % 2 == 0 else [0]] = 1
    energies = tf.reduce_sum(tf.abs(_transforms(images)) ** 2, axis=1)
    members = _bands(height, width, BANDS)[..., np.newaxis] == np.arange(1, BANDS + 1)
    bands = tf.einsum("nhw,hwb->nb", energies, tf.constant(members * twice[..., np.newaxis]))
    whole = tf.reduce_sum(energies, axis=(1, 2))  # the same for all: only the zero is of interest
    return bands, whole[:, tf.newaxis], *_range(images)


def offset(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_offset`, of series `(num_pairs, steps, channels)`."""
    return tf.cast(tf.cast(images, tf.float64) + (theirs[0] - ours[0]), images.dtype)


def scale(
    images: Tensor, others: Tensor, ours: Description, theirs: Description, where: Tensor
) -> Tensor:
    """As `detection.edits.swap_scale`, of series `(num_pairs, steps, channels)`."""
    mean, deviation, is_flat = ours
    one = tf.ones((), tf.float64)
    stretch = tf.where(is_flat, one, theirs[1] / tf.where(is_flat, one, deviation))
    return tf.cast((tf.cast(images, tf.float64) - mean) * stretch + mean, images.dtype)


def describe_series(series: Tensor) -> Description:
    """The mean, deviation and flatness of each channel over time."""
    return _moments(series, (1,))


def _moments(images: Tensor, axes: tuple[int, ...]) -> Description:
    """The mean and the deviation over some axes, and whether all values there are equal."""
    exact = tf.cast(images, tf.float64)
    low, high = (f(exact, axis=axes, keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    mean = tf.reduce_mean(exact, axis=axes, keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean((exact - mean) ** 2, axis=axes, keepdims=True))
    return mean, deviation, high == low


def _transforms(images: Tensor) -> Tensor:
    """The Fourier transforms of the channels, `(num_pairs, channels, height, width // 2 + 1)`."""
    return tf.signal.rfft2d(tf.transpose(tf.cast(images, tf.float64), [0, 3, 1, 2]))


def _images(transforms: Tensor, height: int, width: int) -> Tensor:
    """The images of some `_transforms`."""
    return tf.transpose(tf.signal.irfft2d(transforms, [height, width]), [0, 2, 3, 1])


def _bands(height: int, width: int, count: int) -> Array:
    """The band of each frequency of `rfft2d`, 1 to `count`; 0 is the mean."""
    rows, columns = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)
    bands = np.ceil(np.hypot(rows, columns) * 2 * count - 1e-9)
    return np.asarray(bands.clip(max=count).astype(np.int32))


def _range(images: Tensor) -> Description:
    """The smallest and the largest value of each image."""
    low, high = (f(images, axis=(1, 2, 3), keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    return low, high


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
    "offset": offset,
    "scale": scale,
}
"""The edits by the names that `detection.edits.NAMES` gives them."""

DESCRIBE: Mapping[str, Callable[[Tensor], Description]] = {
    "tint": describe_tint,
    "high_frequency": describe_details,
    "spectrum": describe_spectrum,
    "offset": describe_series,
    "scale": describe_series,
}
"""What an edit needs to know of images, by its name, as `detection.edits.PARTS` has it in NumPy."""
