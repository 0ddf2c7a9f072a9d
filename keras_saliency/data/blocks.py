"""Makes data smaller: evenly spaced indices, block averages, rounding to uint8."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.data.reports import Array

_AT_ONCE = 2**22
"""The number of values that are averaged at once, which bounds the memory."""


def evenly(total: int, at_most: int) -> Array:
    """Indices of `at_most` items out of `total`, evenly spaced; all indices if there are fewer.

    Example:
        >>> evenly(9, 3).tolist(), evenly(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    places = np.linspace(0, total - 1, min(total, at_most)).round()
    indices: Array = np.unique(places.astype(int))
    return indices


def thumbnails(values: Any, at_most: int) -> Array:
    """Downsamples maps or images by averaging blocks, until no side is longer than `at_most`.

    Args:
        values: `(num_probes, height, width, ...)`.
        at_most: The maximum length of the longer side, in pixels.

    Returns:
        The block means. If a side is not a multiple of the block size, its last block is smaller.
    """
    pictures: Array = np.asarray(values)
    block = -(-max(pictures.shape[1:3]) // at_most)
    if block == 1:
        return pictures
    heights, widths = (-(-side // block) for side in pictures.shape[1:3])
    means: Array = np.empty((len(pictures), heights, widths, *pictures.shape[3:]), np.float32)
    step = max(1, _AT_ONCE // max(1, pictures[:1].size))
    for start in range(0, len(pictures), step):
        means[start : start + step] = _block_means(pictures[start : start + step], block)
    return means


def _block_means(pictures: Array, block: int) -> Array:
    """The means of blocks, some of them smaller, in float32."""
    sides = pictures.shape[1:3]
    kind: Any = np.float64  # in which no sum of float32 overflows
    if pictures.dtype == np.uint8:
        kind = np.uint16 if 255 * block**2 < 2**16 else np.uint32
    sums = _block_sums(_block_sums(pictures, 1, block, kind), 2, block, kind)
    heights, widths = (np.diff([*range(0, side, block), side]) for side in sides)
    counts = np.multiply.outer(heights, widths).astype(np.float32)
    means: Array = sums / counts.reshape(*counts.shape, *(1,) * (sums.ndim - 3))
    return means


def rounded(pictures: Array) -> Array:
    """Pictures as uint8: each value, from 0 to 255, is rounded to the nearest integer.

    Halves are rounded up. All averaged pixels are rounded by this function before they are shown
    or stored, so that the same picture has the same pixels everywhere.

    Example:
        >>> rounded(np.array([0.49, 0.5, 254.5, 255.0])).tolist()
        [0, 1, 255, 255]
    """
    return pictures if pictures.dtype == np.uint8 else (pictures + 0.5).astype(np.uint8)


def _block_sums(values: Array, axis: int, block: int, kind: Any) -> Array:
    """Sums of `block` neighbours along an axis; the last block may be smaller."""
    source = np.moveaxis(values, axis, 0)
    sums = np.zeros((-(-len(source) // block), *source.shape[1:]), kind)
    for offset in range(block):
        part = source[offset::block]
        with np.errstate(invalid="ignore"):  # the mean of inf and -inf is nan
            sums[: len(part)] += part
    return np.moveaxis(sums, 0, axis)
