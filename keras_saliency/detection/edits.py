"""Edits: counterfactual images, in which one thing comes from another probe.

Every edit has the form `(recipients, donors, where) -> images`, with images `(num_pairs, height,
width, channels)` in floating point. In each pair, the result is the recipient with the donor's
region, tint or high frequencies. If the first two arguments are exchanged, everything else comes
from the donor instead. Edits of the whole image ignore `where`.
"""

from __future__ import annotations

import numpy as np

from keras_saliency.data.reports import Array

HIGH_FREQUENCY = 0.33
"""The lowest spatial frequency that counts as high, in cycles per pixel; the largest is 0.71."""


def swap_region(recipients: Array, donors: Array, where: Array) -> Array:
    """Replaces the pixels in a mask by those of the donor.

    Args:
        recipients: `(num_pairs, height, width, channels)`.
        donors: Same shape.
        where: The mask, bool `(height, width)` or `(num_pairs, height, width)`.

    Example:
        >>> black, white = np.zeros((1, 1, 2, 1)), np.ones((1, 1, 2, 1))
        >>> swap_region(black, white, np.array([[True, False]])).ravel()
        array([1., 0.])
    """
    return np.where(where[..., np.newaxis], donors, recipients)


def swap_tint(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Replaces brightness and contrast by those of the donor, channel by channel.

    Each channel gets the donor's mean and standard deviation over the image. The result is clipped
    to the joint range of both images. A constant channel gets the donor's mean and stays constant.

    Example:
        >>> dark, bright = np.array([[[[0.0], [0.2]]]]), np.array([[[[0.5], [0.9]]]])
        >>> swap_tint(dark, bright).ravel()
        array([0.5, 0.9])
    """
    axes = (1, 2)
    both = recipients.astype(np.float64), donors.astype(np.float64)  # float32 sums are too coarse
    mean, wanted_mean = (x.mean(axis=axes, keepdims=True) for x in both)
    contrast, wanted = (x.std(axis=axes, keepdims=True) for x in both)
    is_flat = np.ptp(recipients, axis=axes, keepdims=True) == 0
    stretch = np.divide(wanted, contrast, out=np.ones_like(wanted), where=~is_flat)
    images = (recipients - mean) * stretch + wanted_mean
    low = np.minimum(recipients, donors).min(axis=(1, 2, 3), keepdims=True)
    high = np.maximum(recipients, donors).max(axis=(1, 2, 3), keepdims=True)
    result: Array = images.clip(low, high).astype(recipients.dtype)
    return result


def swap_high_frequency(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Replaces the finest details, of frequency `HIGH_FREQUENCY` or higher, by those of the donor.

    Example:
        >>> stripes = np.tile([[[0.0], [1.0]]], (1, 4, 2, 1))
        >>> swap_high_frequency(np.full((1, 4, 4, 1), 0.5), stripes)[0, 0, :, 0]
        array([0., 1., 0., 1.])
    """
    height, width = recipients.shape[1:3]
    high = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)) >= HIGH_FREQUENCY
    difference = np.fft.rfft2(donors - recipients, axes=(1, 2)) * high[..., np.newaxis]
    change = np.fft.irfft2(difference, (height, width), axes=(1, 2))
    result: Array = (recipients + change).astype(recipients.dtype)
    return result
