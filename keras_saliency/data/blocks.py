"""Fewer of what there is: some of many things, arrays made smaller by whole blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.data.reports import Array


def evenly(total: int, at_most: int) -> Array:
    """Indices of `at_most` of `total` things, evenly spaced; all where there are no more.

    Example:
        >>> evenly(9, 3).tolist(), evenly(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    return np.unique(np.linspace(0, total - 1, min(total, at_most)).round().astype(int))


def thumbnails(values: Any, at_most: int) -> Array:
    """Maps or images made smaller by averaging whole blocks, until no side passes `at_most`.

    Args:
        values: `(num_probes, height, width, ...)`.
        at_most: The longer side's length afterwards, in pixels.

    Returns:
        The block means; rows and columns that fill no whole block form a narrower one.
    """
    block = -(-max(values.shape[1:3]) // at_most)
    if block == 1:
        return np.asarray(values)
    return _block_means(_block_means(np.asarray(values), 1, block), 2, block)


def rounded(pictures: Array) -> Array:
    """Pictures as uint8: each value, from 0 to 255, becomes the nearest whole number.

    Halves are rounded up. Means of pixels go through here wherever they are shown or kept, so that
    the same picture is the same everywhere.

    Example:
        >>> rounded(np.array([0.49, 0.5, 254.5, 255.0])).tolist()
        [0, 1, 255, 255]
    """
    return pictures if pictures.dtype == np.uint8 else (pictures + 0.5).astype(np.uint8)


def _block_means(values: Array, axis: int, block: int) -> Array:
    """Means of `block` neighbours along an axis, of fewer at its end where need be; float32."""
    source = np.moveaxis(values, axis, 0)
    sums = np.zeros((-(-len(source) // block), *source.shape[1:]))  # float64: no sum overflows
    sizes = np.zeros(len(sums))
    for offset in range(block):
        part = source[offset::block]
        with np.errstate(invalid="ignore"):  # of inf and -inf the mean is nan
            sums[: len(part)] += part
        sizes[: len(part)] += 1
    sums /= sizes.reshape(-1, *(1 for _ in sums.shape[1:]))
    return np.moveaxis(sums.astype(np.float32), 0, axis)
