"""Edits: counterfactual images, in which one thing comes from another probe.

Every edit has the form `(recipients, donors, where) -> images`, with images `(num_pairs, height,
width, channels)` in floating point. In each pair, the result is the recipient with the donor's
region, tint, spectrum or high frequencies. If the first two arguments are exchanged, everything
else comes from the donor instead. Edits of the whole image ignore `where`.
"""

from __future__ import annotations

import numpy as np

from keras_saliency.data.reports import Array

HIGH_FREQUENCY = 0.33
"""The lowest spatial frequency that counts as high, in cycles per pixel; the largest is 0.71."""

BANDS = 8
"""The bands of spatial frequency of a spectrum, equally wide up to 0.5 cycles per pixel."""


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


def swap_spectrum(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Gives each band of spatial frequencies the share of energy that it has in the donor.

    Phases stay as they are, and so do mean and contrast. So the recipient shows the same things, as
    sharp, noisy or grainy as the donor. A donor without any contrast changes nothing. The result is
    clipped to the joint range of both images.

    Example:
        >>> rows = np.arange(16)[:, np.newaxis, np.newaxis] * np.ones((1, 16, 1))
        >>> coarse, fine = (np.sin(2 * np.pi * rows / n)[np.newaxis] for n in (16, 4))
        >>> made = swap_spectrum(coarse + 0.1 * fine, 0.1 * coarse + fine)
        >>> bool(np.allclose(made, 0.1 * coarse + fine))
        True
    """
    height, width = recipients.shape[1:3]
    frequencies = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    bands = np.ceil(frequencies * 2 * BANDS - 1e-9).astype(int).clip(max=BANDS)  # 0 is the mean
    ours, theirs = (np.fft.rfft2(x.astype(np.float64), axes=(1, 2)) for x in (recipients, donors))
    energy, wanted = (_band_energies(x, bands, width) for x in (ours, theirs))
    total, their_total = (x.sum(axis=1, keepdims=True) for x in (energy, wanted))
    wanted *= np.divide(total, their_total, out=np.ones_like(total), where=their_total > 0)
    is_empty = (energy <= 1e-12 * total) | (their_total <= 1e-20 * _energy(theirs))
    gains = np.sqrt(np.divide(wanted, energy, out=np.ones_like(wanted), where=~is_empty))
    gains = np.concatenate([np.ones((len(gains), 1)), gains], axis=1)[:, bands]
    images = np.fft.irfft2(ours * gains[..., np.newaxis], (height, width), axes=(1, 2))
    low = np.minimum(recipients, donors).min(axis=(1, 2, 3), keepdims=True)
    high = np.maximum(recipients, donors).max(axis=(1, 2, 3), keepdims=True)
    result: Array = images.clip(low, high).astype(recipients.dtype)
    return result


def _energy(transforms: Array) -> Array:
    """The energy of each image with its mean, `(num_pairs, 1)`."""
    return np.asarray((np.abs(transforms) ** 2).sum(axis=(1, 2, 3)))[:, np.newaxis]


def _band_energies(transforms: Array, bands: Array, width: int) -> Array:
    """The energy of each band over all channels, `(num_pairs, BANDS)`, without the mean."""
    twice = np.full(bands.shape, 2.0)  # columns that stand for two frequencies
    twice[:, [0, -1] if width % 2 == 0 else [0]] = 1
    energies = (np.abs(transforms) ** 2).sum(axis=-1) * twice
    # Copies are in C order: otherwise the last digit of a sum would depend on the number of pairs.
    members = [energies[:, bands == band].copy() for band in range(1, BANDS + 1)]
    return np.stack([values.sum(axis=-1) for values in members], axis=1)
