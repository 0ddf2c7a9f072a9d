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
    distances = uniform_filter(_distances(image.astype(np.float64)), 3, mode="nearest")
    is_far = distances > _otsu(distances)
    near, far = distances[~is_far], distances[is_far]
    spread = ((near.var() + far.var()) / 2) ** 0.5
    if not len(far) or far.mean() - near.mean() < SEPARATION * spread:
        return None
    parts, _ = label(is_far, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[[0, *parts[0], *parts[-1], *parts[:, 0], *parts[:, -1]]] = 0
    mask: Array = binary_fill_holes(sizes[parts] >= _SMALLEST_PART * parts.size)
    return mask if AREAS[0] <= mask.mean() <= AREAS[1] else None


def _distances(image: Array) -> Array:
    """How far each pixel is from those of the border, `(height, width)`."""
    height, width, _ = image.shape
    side = 3 if min(height, width) < 48 else 5
    gray = image.mean(axis=-1, keepdims=True)
    means, grays, squares = (
        uniform_filter(x, (side, side, 0), mode="nearest") for x in (image, gray, gray**2)
    )
    features = np.concatenate([means, np.sqrt((squares - grays**2).clip(0))], axis=-1)
    depth = max(1, round(BORDER * min(height, width)))
    is_border = np.ones((height, width), bool)
    is_border[depth:-depth, depth:-depth] = False
    sample = features[is_border]
    smallest = (0.02 * float(np.ptp(image))) ** 2 + 1e-12  # a border without any variation
    covariance = np.cov(sample.T) + smallest * np.eye(features.shape[-1])
    centred = features - np.median(sample, axis=0)
    squared = np.einsum("...i,ij,...j->...", centred, np.linalg.inv(covariance), centred)
    distances: Array = np.sqrt(squared.clip(0))
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
