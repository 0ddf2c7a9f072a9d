"""Edits: counterfactual images, in which one thing comes from another probe.

Every edit has the form `(recipients, donors, where) -> images`, with images `(num_pairs, height,
width, channels)` in floating point, or inputs of another kind. In each pair, the result is the
recipient with the donor's region, tint, spectrum or high frequencies. If the first two arguments
are exchanged, everything else comes from the donor instead. Edits of the whole image ignore
`where`, and have two parts: what they need to know of each image, and the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from keras_saliency.data.placed_edits import BANDS, HIGH_FREQUENCY, Describe, Description
from keras_saliency.data.reports import Array

Exchange = Callable[[Array, Description, Description], Array]
"""From recipients, and the descriptions of recipients and of donors, to images."""


def swap_region(recipients: Array, donors: Array, where: Array) -> Array:
    """Replaces the pixels in a mask by those of the donor; so, too, steps, columns or tokens.

    Args:
        recipients: `(num_pairs, height, width, channels)`, or inputs of another kind.
        donors: Same shape.
        where: The mask, bool `(height, width)` or `(num_pairs, height, width)`; or with as many
            axes as the recipients, of the same length or of length 1.

    Example:
        >>> black, white = np.zeros((1, 1, 2, 1)), np.ones((1, 1, 2, 1))
        >>> swap_region(black, white, np.array([[True, False]])).ravel()
        array([1., 0.])
    """
    mask = where if where.ndim == recipients.ndim else where[..., np.newaxis]
    return np.where(mask, donors, recipients)


def swap_tint(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Replaces brightness and contrast by those of the donor, channel by channel.

    Each channel gets the donor's mean and standard deviation over the image. The result is clipped
    to the joint range of both images. A constant channel gets the donor's mean and stays constant.

    Example:
        >>> dark, bright = np.array([[[[0.0], [0.2]]]]), np.array([[[[0.5], [0.9]]]])
        >>> swap_tint(dark, bright).ravel()
        array([0.5, 0.9])
    """
    return _with_tint(recipients, _tint(recipients), _tint(donors))


def _tint(images: Array) -> Description:
    """The mean, deviation and flatness of each channel, and the range of each image."""
    exact = images.astype(np.float64)  # sums in float32 are too coarse
    mean, deviation = (f(exact, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    is_flat = np.ptp(images, axis=(1, 2), keepdims=True) == 0
    return mean, deviation, is_flat, *_range(images)


def _with_tint(recipients: Array, ours: Description, theirs: Description) -> Array:
    mean, deviation, is_flat, *_ = ours
    wanted_mean, wanted, *_ = theirs
    stretch = np.divide(wanted, deviation, out=np.ones_like(wanted), where=~is_flat)
    return _clipped((recipients - mean) * stretch + wanted_mean, recipients, ours, theirs)


def _range(images: Array) -> Description:
    """The smallest and the largest value of each image."""
    low, high = (f(images, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    return low, high


def _clipped(made: Array, recipients: Array, ours: Description, theirs: Description) -> Array:
    """Images within the joint range of both, which is what the descriptions end with."""
    low, high = np.minimum(ours[-2], theirs[-2]), np.maximum(ours[-1], theirs[-1])
    return np.asarray(made.clip(low, high).astype(recipients.dtype))


def swap_high_frequency(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Replaces the finest details, of frequency `HIGH_FREQUENCY` or higher, by those of the donor.

    Example:
        >>> stripes = np.tile([[[0.0], [1.0]]], (1, 4, 2, 1))
        >>> swap_high_frequency(np.full((1, 4, 4, 1), 0.5), stripes)[0, 0, :, 0]
        array([0., 1., 0., 1.])
    """
    return _with_details(recipients, _details(recipients), _details(donors))


def _details(images: Array) -> Description:
    """The part of each image that has high frequencies."""
    high = _frequencies(images) >= HIGH_FREQUENCY
    transforms = np.fft.rfft2(images, axes=(1, 2)) * high[..., np.newaxis]
    return (np.fft.irfft2(transforms, images.shape[1:3], axes=(1, 2)).astype(images.dtype),)


def _with_details(recipients: Array, ours: Description, theirs: Description) -> Array:
    return np.asarray((recipients + (theirs[0] - ours[0])).astype(recipients.dtype))


def _frequencies(images: Array) -> Array:
    """The spatial frequencies of `rfft2`, in cycles per pixel."""
    height, width = images.shape[1:3]
    return np.asarray(np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)))


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
    return _with_spectrum(recipients, _spectrum(recipients), _spectrum(donors))


def _spectrum(images: Array) -> Description:
    """The energy of each band, the energy with the mean, and the range of each image."""
    transforms = np.fft.rfft2(images.astype(np.float64), axes=(1, 2))
    whole = (np.abs(transforms) ** 2).sum(axis=(1, 2, 3))
    bands = _band_energies(transforms, _bands(images), images.shape[2])
    return bands, whole[:, np.newaxis], *_range(images)


def _with_spectrum(recipients: Array, ours: Description, theirs: Description) -> Array:
    energy, wanted, whole = ours[0], theirs[0], theirs[1]
    total, their_total = (x.sum(axis=1, keepdims=True) for x in (energy, wanted))
    ratio = np.divide(total, their_total, out=np.ones_like(total), where=their_total > 0)
    is_empty = (energy <= 1e-12 * total) | (their_total <= 1e-20 * whole)
    gains = np.sqrt(np.divide(wanted * ratio, energy, out=np.ones_like(wanted), where=~is_empty))
    gains = np.concatenate([np.ones((len(gains), 1)), gains], axis=1)[:, _bands(recipients)]
    transforms = np.fft.rfft2(recipients.astype(np.float64), axes=(1, 2))
    made = np.fft.irfft2(transforms * gains[..., np.newaxis], recipients.shape[1:3], axes=(1, 2))
    return _clipped(made, recipients, ours, theirs)


def _bands(images: Array) -> Array:
    """The band of each spatial frequency, 1 to `BANDS`; 0 is the mean."""
    bands = np.ceil(_frequencies(images) * 2 * BANDS - 1e-9)
    return np.asarray(bands.astype(int).clip(max=BANDS))


def _band_energies(transforms: Array, bands: Array, width: int) -> Array:
    """The energy of each band over all channels, `(num_images, BANDS)`, without the mean."""
    twice = np.full(bands.shape, 2.0)  # columns that stand for two frequencies
    twice[:, [0, -1] if width % 2 == 0 else [0]] = 1
    energies = (np.abs(transforms) ** 2).sum(axis=-1) * twice
    # Copies are in C order: otherwise the last digit of a sum would depend on the number of images.
    members = [energies[:, bands == band].copy() for band in range(1, BANDS + 1)]
    return np.stack([values.sum(axis=-1) for values in members], axis=1)


def swap_offset(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Replaces the mean over time of each channel of a series by that of the donor.

    Args:
        recipients: `(num_pairs, steps, channels)`.
        donors: Same shape.
        where: Ignored.

    Example:
        >>> low, high = np.array([[[0.0], [2.0]]]), np.array([[[5.0], [5.0]]])
        >>> swap_offset(low, high).ravel()
        array([4., 6.])
    """
    return _with_offset(recipients, _level_and_spread(recipients), _level_and_spread(donors))


def swap_scale(recipients: Array, donors: Array, where: Array | None = None) -> Array:
    """Replaces the standard deviation over time of each channel of a series by the donor's.

    Means stay as they are. A constant channel stays constant.

    Args:
        recipients: `(num_pairs, steps, channels)`.
        donors: Same shape.
        where: Ignored.

    Example:
        >>> calm, wild = np.array([[[1.0], [3.0]]]), np.array([[[0.0], [10.0]]])
        >>> swap_scale(calm, wild).ravel()
        array([-3.,  7.])
    """
    return _with_scale(recipients, _level_and_spread(recipients), _level_and_spread(donors))


def _level_and_spread(series: Array) -> Description:
    """The mean, deviation and flatness of each channel over time."""
    exact = series.astype(np.float64)
    mean, deviation = (f(exact, axis=1, keepdims=True) for f in (np.mean, np.std))
    return mean, deviation, np.ptp(series, axis=1, keepdims=True) == 0


def _with_offset(recipients: Array, ours: Description, theirs: Description) -> Array:
    return np.asarray((recipients + (theirs[0] - ours[0])).astype(recipients.dtype))


def _with_scale(recipients: Array, ours: Description, theirs: Description) -> Array:
    mean, deviation, is_flat = ours
    stretch = np.divide(theirs[1], deviation, out=np.ones_like(deviation), where=~is_flat)
    return np.asarray(((recipients - mean) * stretch + mean).astype(recipients.dtype))


NAMES: Mapping[Callable[..., Array], str] = {
    swap_region: "region",
    swap_tint: "tint",
    swap_high_frequency: "high_frequency",
    swap_spectrum: "spectrum",
    swap_offset: "offset",
    swap_scale: "scale",
}
"""The names of the edits, by which `engine.edits` has a version of each."""

PARTS: Mapping[Callable[..., Array], tuple[Describe, Exchange]] = {
    swap_tint: (_tint, _with_tint),
    swap_high_frequency: (_details, _with_details),
    swap_spectrum: (_spectrum, _with_spectrum),
    swap_offset: (_level_and_spread, _with_offset),
    swap_scale: (_level_and_spread, _with_scale),
}
"""The two parts of each edit of the whole image, or series."""
