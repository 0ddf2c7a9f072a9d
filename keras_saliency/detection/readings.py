"""Trivial readings of images: a few numbers of each image that say nothing about its object.

Arrays: images are `(num_probes, height, width, channels)`, floating point; features are
`(num_probes, num_features)`.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from keras_saliency.data.reports import Array
from keras_saliency.detection.places import BORDER, THIN_BORDER
from keras_saliency.metrics.localization import border as ring

CORNER = 0.15
"""The side of the squares in the corners, as a share of the image's sides."""

CELLS = 8
"""The rows and columns of a thumbnail, and of the cells whose fine detail is compared."""

_LEVELS = 0.02, 0.25, 0.5, 0.75, 0.98
_QUARTERS = 0.1, 0.25, 0.5, 0.75
_SHARPEST = 1, 2, 4, 8, 16
_TINY = 1e-5  # of the mean energy: less is nothing


def pixels(images: Array, place: Array) -> Array:
    """The pixels of a place, bool `(height, width)`."""
    return images[:, place].reshape(len(images), -1)


def thin_ring(height: int, width: int) -> Array:
    """The outermost pixels, where few objects reach: bool `(height, width)`."""
    return ring(height, width, THIN_BORDER)


def corners(height: int, width: int) -> list[Array]:
    """The four corners, each bool `(height, width)`."""
    tall, wide = max(1, round(CORNER * height)), max(1, round(CORNER * width))
    places = []
    for rows in (slice(tall), slice(height - tall, None)):
        for columns in (slice(wide), slice(width - wide, None)):
            place = np.zeros((height, width), bool)
            place[rows, columns] = True
            places.append(place)
    return places


def levels(images: Array) -> Array:
    """Brightness, contrast and colour: low, middle and high values of each channel."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    return _by_row(np.quantile(flat, _LEVELS, axis=1))


def border_means(images: Array) -> Array:
    """The mean of each channel in the border."""
    height, width = images.shape[1:3]
    means: Array = images[:, ring(height, width, BORDER)].mean(axis=1)
    return means


def thumbnail(images: Array) -> Array:
    """The means of 8 x 8 cells; of fewer if the image has fewer pixels."""
    return cell_means(images).reshape(len(images), -1)


def surroundings(images: Array) -> Array:
    """A thumbnail without the inner half of its rows and columns."""
    cells = cell_means(images)
    rows, columns = cells.shape[1:3]
    is_outer = np.ones((rows, columns), bool)
    is_outer[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4] = False
    return pixels(cells, is_outer)


def fine_detail(images: Array) -> Array:
    """How sharp, noisy or grainy images are.

    The energy of the finest detail, in the sharpest cells of the image, and in all cells along its
    border: stamps and small print are found by the former, noise and blur by the latter.

    Args:
        images: At full size, any dtype.
    """
    scale = max(float(np.abs(images).max()), np.finfo(np.float32).tiny)
    energies = np.stack([cell_means(_detail(image / scale))[0, ..., 0] for image in images])
    logs = np.log(energies + _TINY * energies.mean() + np.finfo(float).tiny)
    rows, columns = logs.shape[1:]
    is_outer = ring(rows, columns, 1 / CELLS)
    ordered = np.sort(logs.reshape(len(logs), -1), axis=1)[:, ::-1]
    sharpest = [ordered[:, min(rank, ordered.shape[1]) - 1] for rank in _SHARPEST]
    outer = np.quantile(logs[:, is_outer], _QUARTERS, axis=1)
    return np.concatenate([np.stack(sharpest, axis=1), outer.T], axis=1)


def _detail(image: Array) -> Array:
    """The squared difference of each pixel from the mean around it, `(1, height, width, 1)`."""
    values = image.astype(np.float32)
    squares = (values - uniform_filter(values, (3, 3, 0), mode="nearest")) ** 2
    energy: Array = squares.sum(axis=-1, keepdims=True, dtype=np.float64)
    return energy[np.newaxis]


def cell_means(images: Array) -> Array:
    """The means of `CELLS` x `CELLS` cells of about equal size."""
    means = images.astype(np.float64)
    for axis in (1, 2):
        side = images.shape[axis]
        edges = np.linspace(0, side, min(CELLS, side) + 1).round().astype(int)
        sums = np.add.reduceat(means, edges[:-1], axis=axis)
        shape = [1] * means.ndim
        shape[axis] = -1
        means = sums / np.diff(edges).reshape(shape)
    return means


def _by_row(quantiles: Array) -> Array:
    """From `(num_quantiles, num_probes, channels)` to features."""
    return quantiles.swapaxes(0, 1).reshape(quantiles.shape[1], -1)
