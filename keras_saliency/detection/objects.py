"""Objects: masks of objects that nobody drew, estimated from each image's own border.

The border of an image is a sample of its background. What does not look like it, in colour and in
texture, is the object. This holds for an object in front of one background, which does not reach
the border. Where it does not hold, an image gets no mask.

Reference:
    Zhu, Liang, Wei, Sun: Saliency Optimization from Robust Background Detection. CVPR 2014.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes, label, uniform_filter

from keras_saliency.data.reports import Array

BORDER = 0.06
"""The width of the border that is the sample of the background, as a share of the shorter side."""

SEPARATION = 2.5
"""How many standard deviations object and background are apart at least."""

OTHER_SIDES = 0.15
"""The largest share of one side of the border that may look like an object to the other sides."""

AREAS = 0.03, 0.6
"""The smallest and the largest share of the image that an estimated object covers."""

_BINS = 64
_SMALLEST_PART = 0.01  # of the image; smaller parts are specks


def estimated_mask(image: Array) -> Array | None:
    """The object in an image; `None` if its border does not tell object and background apart.

    Each pixel has a distance from the border's pixels, in the means of the channels and the local
    contrast (the Mahalanobis distance). Otsu's threshold splits the distances; parts that touch the
    edge of the image are not the object.

    Args:
        image: `(height, width, channels)`.

    Returns:
        bool `(height, width)`.

    Example:
        >>> image = np.random.default_rng(0).normal(0, 0.1, (16, 16, 1))
        >>> image[5:11, 4:12] += 1
        >>> mask = estimated_mask(image)
        >>> bool(mask[6:10, 5:11].all()), bool(mask[:3].any())
        (True, False)
    """
    if min(image.shape[:2]) < 3:
        return None  # all of it is border
    features = _features(image.astype(np.float64))
    smallest = (0.02 * float(np.ptp(image))) ** 2 + 1e-12  # a border without any variation
    sides = _sides(*image.shape[:2])
    border: Array = np.any(sides, axis=0)
    distances = _distances(features, border, smallest)
    if np.ptp(distances) <= 1e-9 * distances.max():
        return None  # all of it is the same
    threshold = _otsu(distances)
    for side in sides:  # all sides of the border have to show the same background
        others = _distances(features, border & ~side, smallest)
        if (others[side] > threshold).mean() > OTHER_SIDES:
            return None
    is_far = distances > threshold
    near, far = distances[~is_far], distances[is_far]
    spread = ((near.var() + far.var()) / 2) ** 0.5
    if not len(far) or far.mean() - near.mean() < SEPARATION * spread:
        return None
    parts, _ = label(is_far, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[[0, *parts[0], *parts[-1], *parts[:, 0], *parts[:, -1]]] = 0
    mask: Array = binary_fill_holes(sizes[parts] >= _SMALLEST_PART * parts.size)
    return mask if AREAS[0] <= mask.mean() <= AREAS[1] else None


def _features(image: Array) -> Array:
    """For each pixel the means of the channels and the contrast around it."""
    side = 3 if min(image.shape[:2]) < 48 else 5
    gray = image.mean(axis=-1, keepdims=True)
    means, grays, squares = (
        uniform_filter(x, (side, side, 0), mode="nearest") for x in (image, gray, gray**2)
    )
    return np.concatenate([means, np.sqrt((squares - grays**2).clip(0))], axis=-1)


def _sides(height: int, width: int) -> Array:
    """The border's four sides, bool `(4, height, width)`; corners belong to two of them."""
    depth = max(1, round(BORDER * min(height, width)))
    sides = np.zeros((4, height, width), bool)
    sides[0, :depth] = sides[1, -depth:] = True
    sides[2, :, :depth] = sides[3, :, -depth:] = True
    return sides


def _distances(features: Array, sample: Array, smallest: float) -> Array:
    """How far each pixel is from those of a sample, bool `(height, width)`; smoothed."""
    covariance = np.cov(features[sample].T) + smallest * np.eye(features.shape[-1])
    centred = features - np.median(features[sample], axis=0)
    squared = np.einsum("...i,ij,...j->...", centred, np.linalg.inv(covariance), centred)
    distances: Array = uniform_filter(np.sqrt(squared.clip(0)), 3, mode="nearest")
    return distances


def _otsu(values: Array) -> float:
    """The threshold that splits values into two groups whose means are furthest apart.

    Reference:
        Otsu: A Threshold Selection Method from Gray-Level Histograms. IEEE Transactions on Systems,
        Man, and Cybernetics 9 (1979), 62-66.
    """
    counts, edges = np.histogram(values.clip(max=np.quantile(values, 0.99)), _BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below, sums = counts.cumsum()[:-1], (counts * centres).cumsum()
    above = counts.sum() - below
    apart = sums[:-1] / below.clip(1) - (sums[-1] - sums[:-1]) / above.clip(1)
    between = below * above * apart**2
    return float(edges[between.argmax() + 1])
