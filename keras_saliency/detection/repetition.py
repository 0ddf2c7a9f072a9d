"""Repetition: where images of one class are the same pixel by pixel.

A stamp, a tag or a label repeats exactly within the class that carries it. A lesion, a collar or a
wheel does not, however small it is. So repetition tells an artefact from a part of the object. It
is a property of the images and their classes alone, without a model.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes, label, uniform_filter

from keras_saliency.data.reports import Array, Window
from keras_saliency.detection.pairs import balanced

RATIO = 0.35
"""A probe repeats its class if it is nearer to it than to the other classes by this factor."""

EXACT = 0.12
"""How near, as a share of the contrast within the window; or as near as noise allows."""

SHARE = 0.5
"""From this share of the images of a class on, a place counts as repeated."""

NEAR_OWN, NEAR_OTHER = 0.5, 0.1
"""The quantiles of the distances that are compared: a probe has to be near half of its own class,
and up to a tenth of the others may carry the same pattern."""

SHARP = 0.8, 0.2
"""A flat patch is repeated by this share of the images of a class, the pixels around it by this one
at most."""

RARE = 0.25
"""The largest share of an image that has the value of a flat patch."""

FEWEST = 4
"""An image needs this many others of its class: with fewer, chance repeats."""

DUPLICATE = 0.1
"""Images nearer to each other than this share of the usual distance are copies of one image."""

_NEGLIGIBLE = 0.004  # of the range of values: smaller distances mean nothing
_NOISE = 2.5  # times the noise level: larger differences are not due to noise
_WINDOW = 0.08  # of the shorter side: what is compared around each pixel
_TINY = 1e-12  # of images that are all the same
_MAX_PROBES, _MAX_AREA, _FEWEST_PIXELS = 128, 0.5, 4


def repeated_shares(images: Array, targets: Array) -> Array:
    """For each class and pixel, how many images of the class repeat each other there.

    The distance of an image to others is the root mean square difference of a small window around
    the pixel. The image counts if its distance to those of its own class (their median) is less
    than `RATIO` of that to those of other classes (their lowest tenth), and at most `EXACT` of the
    contrast within the window: objects in one place are alike, stamps are equal. If the images are
    noisy, it is at most as large as noise makes it. Flat patches have no contrast; they count if
    their value is rare in the image and they end at the same pixels in all images, which
    overexposed objects and empty places do not. Copies of whole images are left out, as they repeat
    each other everywhere.

    Args:
        images: `(num_probes, height, width, channels)`.
        targets: `(num_probes,)`.

    Returns:
        `(num_classes, height, width)`, in 0..1, by the order of the classes' indices.

    Example:
        >>> noise = 0.5 * np.random.default_rng(0).random((12, 9, 9, 1))
        >>> noise[:6, :3, :3] = 1  # a white square in every image of class 0
        >>> shares = repeated_shares(noise, np.arange(12) // 6)
        >>> shares[:, 1, 1], shares[:, 6, 6]
        (array([1., 0.]), array([0., 0.]))
    """
    classes = np.unique(targets)  # of very many, some are left out: they have shares of 0
    chosen = _chosen(targets)
    images, targets = images[chosen].astype(np.float32), targets[chosen]
    is_copy = _copies(images)
    side = max(3, round(_WINDOW * min(images.shape[1:3])))
    negligible = max(_NEGLIGIBLE * float(np.ptp(images)), _TINY)
    level = _noise(images)
    noise = _NOISE * level + negligible
    patterns = np.zeros((len(classes), *images.shape[1:3]))
    flat = np.zeros_like(patterns)
    for probe, image in enumerate(images):
        is_own = targets == targets[probe]
        own, other = is_own & ~is_copy[probe], ~is_own
        if own.sum() < FEWEST or not other.any():
            continue
        row = np.searchsorted(classes, targets[probe])
        squares = _mean_squares(images - image)
        near, far = _near_and_far(np.sqrt(squares) + negligible, own, other)
        is_repeated = (
            (near < RATIO * far)
            & (near < noise + negligible)
            & _is_rare(image, level + 2 * negligible)
        )
        flat[row] += is_repeated
        means = uniform_filter(squares, (0, side, side), mode="nearest").clip(0)
        near, far = _near_and_far(np.sqrt(means) + negligible, own, other)
        contrast = _contrast(image, side)
        is_repeated = near < RATIO * np.minimum(far, contrast)
        is_repeated &= near < np.maximum(EXACT * contrast, noise)
        patterns[row] += is_repeated
    counts = (targets == classes[:, np.newaxis]).sum(axis=1).clip(1)[:, np.newaxis, np.newaxis]
    patterns, flat = patterns / counts, flat / counts
    result: Array = np.maximum(patterns, [_sharp_parts(shares) for shares in flat])
    return result


def _chosen(targets: Array) -> Array:
    """The probes that are compared: of very many classes, some with enough probes each."""
    classes, counts = np.unique(targets, return_counts=True)
    most = _MAX_PROBES // (2 * FEWEST)
    large = classes[counts > FEWEST]
    among: Array = np.arange(len(targets))
    if len(classes) > most and len(large):
        among = among[np.isin(targets, large[:: -(-len(large) // most)])]
    return balanced(targets, among, _MAX_PROBES, 0)


def _mean_squares(differences: Array) -> Array:
    """The mean of the squares over the channels, `(num_probes, height, width)`.

    As `(differences**2).mean(axis=-1)`, which takes several times as long.
    """
    squares = differences[..., 0] ** 2
    for channel in range(1, differences.shape[-1]):
        squares += differences[..., channel] ** 2
    squares /= squares.dtype.type(differences.shape[-1])
    return squares


def _near_and_far(distances: Array, own: Array, other: Array) -> tuple[Array, Array]:
    """The distances to an image's own class and to the others, each `(height, width)`."""
    return _quantile(distances[own], NEAR_OWN), _quantile(distances[other], NEAR_OTHER)


def _quantile(distances: Array, share: float) -> Array:
    """For each pixel, the distance to the image at this share of the order, the nearest first.

    Equal to `np.quantile(distances, share, axis=0, method="lower")`, which takes three times as
    long.
    """
    by_pixel = np.ascontiguousarray(distances.reshape(len(distances), -1).T)
    index = int(share * (len(distances) - 1))
    by_pixel.partition(index, axis=1)
    return by_pixel[:, index].reshape(distances.shape[1:])


def _sharp_parts(shares: Array) -> Array:
    """Shares of one class, set to 0 outside of connected parts that end abruptly.

    Args:
        shares: `(height, width)`.
    """
    parts, count = label(shares >= SHARP[0])
    kept = np.zeros_like(shares)
    for number in range(1, count + 1):
        part = parts == number
        around = binary_dilation(part, np.ones((3, 3))) & ~part
        if part.sum() >= _FEWEST_PIXELS and shares[around].mean() <= SHARP[1]:
            kept[part] = shares[part]
    return kept


def _noise(images: Array) -> float:
    """The standard deviation of the noise: of the values in the flattest windows of each image."""
    contrasts = [np.quantile(_contrast(image, 3), 0.1) for image in images]
    return float(np.median(contrasts))


def _is_rare(image: Array, tolerance: float) -> Array:
    """Where the value of a pixel is rare in its image, bool `(height, width)`."""
    levels = np.round(image.reshape(-1, image.shape[-1]) / tolerance).astype(int)
    _, index, counts = np.unique(levels, axis=0, return_inverse=True, return_counts=True)
    is_rare: Array = counts[index.ravel()] <= RARE * len(levels)
    return is_rare.reshape(image.shape[:2])


def _contrast(image: Array, side: int) -> Array:
    """The standard deviation of the values in the window around each pixel, `(height, width)`."""
    means, squares = (uniform_filter(x, (side, side, 0), mode="nearest") for x in (image, image**2))
    contrast: Array = np.sqrt((squares - means**2).mean(axis=-1).clip(0))
    return contrast


def _copies(images: Array) -> Array:
    """Bool `(num_probes, num_probes)`: which probes are the same image; each is its own copy."""
    distances = np.stack([((images - image) ** 2).mean(axis=(1, 2, 3)) ** 0.5 for image in images])
    usual = np.median(distances[np.triu_indices(len(images), 1)]) if len(images) > 1 else 0.0
    is_copy: Array = distances < DUPLICATE * usual
    np.fill_diagonal(is_copy, True)
    return is_copy


def repeated_place(shares: Array) -> Array:
    """Where any class repeats: bool `(height, width)`; nowhere if it is most of the image.

    The inside of a flat patch, and a margin of half a window, belong to it, if it is not too large
    then.

    Args:
        shares: As returned by `repeated_shares`.
    """
    side = max(3, round(_WINDOW * min(shares.shape[1:])))
    padded = np.pad((shares >= SHARE).any(axis=0), side)
    closed = binary_closing(padded, np.ones((side, side)))
    wide = binary_dilation(closed, iterations=side // 2)
    for place in (binary_fill_holes(wide), wide, closed):
        within: Array = place[side:-side, side:-side]
        if within.mean() <= _MAX_AREA:
            return within
    return np.zeros_like(within)


def bounding_window(place: Array) -> Window | None:
    """The smallest window around the largest connected part of a place; `None` if it is empty."""
    parts, count = label(place, np.ones((3, 3)))
    if not count:
        return None
    largest = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    rows, columns = (np.flatnonzero(largest.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return Window(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
