"""Proposals: regions to test that the user did not name, chosen from saliency maps.

A proposal is a guess. An intervention tests it, with other probes than those it was made from. Maps
are `(num_probes, height, width)`, non-negative; dead maps are ignored.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from keras_saliency.data.reports import Array, Window
from keras_saliency.metrics.maps import mean_map, shares

WINDOW_AREA = 0.026
"""The share of the image that the smallest proposed window covers."""

SMALLEST_SIDE = 3
"""The smallest side of a window in pixels, if the image is not smaller."""

GROWTH = 1.5, 2, 3
"""How many times as wide and high as at first a window gets."""

CORNERS, STRIPS = (0.2, 0.25, 0.35, 0.45), (0.1, 0.16, 0.25)
"""The sides of tested squares in the corners, and the widths of tested strips along the edges, as
shares of the image's sides."""

BINS = 12
"""At most so many bins for the values of a column."""

OUTER = 0.2
"""A window is an outer window if the distance of its centre from a border is at most this share of
the side of the image."""


ALONE, CLEARER = 0.5, 0.4
"""A column that stands out has at least this purity, and its impurity is less than this share of
the next best column's."""


def contrast_weighted(maps: Array, images: Array) -> Array:
    """Weights saliency by the local contrast of the image.

    The gradient shows where a change would matter, even where the image is empty. A visible cue,
    however, differs from its surroundings. Each map value is therefore multiplied by the difference
    between the pixel and the mean of its surroundings, in the channel where this is largest.

    Args:
        maps: `(num_probes, height, width)`.
        images: `(num_probes, height, width, channels)`.

    Returns:
        The shape of `maps`.
    """
    side = 2 * window_side(*maps.shape[1:]) + 1
    result = np.empty(maps.shape, np.result_type(maps, images, np.float32))
    for probe, image in enumerate(images):  # one at a time: copies of all images are large
        means = uniform_filter(image.astype(np.float32), (side, side, 0), mode="reflect")
        result[probe] = maps[probe] * np.abs(image - means).max(axis=-1)
    return result


def window_mask(window: Window, height: int, width: int) -> Array:
    """A window as a mask, bool `(height, width)`."""
    mask = np.zeros((height, width), bool)
    mask[window.top : window.top + window.height, window.left : window.left + window.width] = True
    return mask


def window_side(height: int, width: int) -> int:
    """The side of a proposed window in pixels, for an image of this size."""
    return min(height, width, max(SMALLEST_SIDE, int((WINDOW_AREA * height * width) ** 0.5)))


def grown(window: Window, height: int, width: int) -> list[Window]:
    """A window and larger ones around it, within the image; each size once.

    Example:
        >>> grown(Window(0, 10, 4, 4), 32, 32)[-1]
        Window(top=0, left=6, height=12, width=12)
    """
    windows = [window]
    for factor in GROWTH:
        tall, wide = (
            min(full, round(factor * side))
            for full, side in zip((height, width), window[2:], strict=True)
        )
        top = min(max(0, window.top - (tall - window.height) // 2), height - tall)
        left = min(max(0, window.left - (wide - window.width) // 2), width - wide)
        windows.append(Window(top, left, tall, wide))
    return list(dict.fromkeys(windows))


def border_windows(height: int, width: int) -> list[Window]:
    """Squares in the corners and strips along the edges, in several sizes.

    The squares are as much wider than high as the image is.

    Example:
        >>> windows = border_windows(32, 32)
        >>> len(windows), windows[0], windows[-1]
        (28, Window(top=0, left=0, height=6, width=6), Window(top=0, left=24, height=32, width=8))
    """
    windows = []
    for share in CORNERS:
        tall, wide = max(1, round(share * height)), max(1, round(share * width))
        for top in (0, height - tall):
            windows += [Window(top, left, tall, wide) for left in (0, width - wide)]
    for share in STRIPS:
        tall, wide = max(1, round(share * height)), max(1, round(share * width))
        windows += [Window(top, 0, tall, width) for top in (0, height - tall)]
        windows += [Window(0, left, height, wide) for left in (0, width - wide)]
    return list(dict.fromkeys(windows))


def _window_sums(maps: Array) -> Array:
    """The sum of each map in every possible window, by the window's top left corner."""
    side = window_side(*maps.shape[1:])
    sums = np.pad(maps, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    below, above = sums[:, side:], sums[:, :-side]
    inside: Array = below[:, :, side:] - below[:, :, :-side] - above[:, :, side:]
    inside += above[:, :, :-side]
    return inside


def _hottest(sums: Array, side: int) -> Window:
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return Window(int(top), int(left), side, side)


def hot_window(maps: Array) -> Window | None:
    """The small window with the largest sum of the mean map; `None` if all maps are dead.

    It finds a cue that has the same place in all images, such as a tag in a corner.
    """
    mean = mean_map(maps)
    if not np.isfinite(mean).all():
        return None
    return _hottest(_window_sums(mean[np.newaxis])[0], window_side(*mean.shape))


def class_hot_window(maps: Array, targets: Array) -> tuple[int, Window] | None:
    """The class and the small window where its mean map exceeds that of the other classes most.

    It finds a cue of a single class, which would be lost in the mean of all maps.

    Returns:
        The class and the window; `None` if fewer than two classes have a live map.
    """
    means = {int(target): mean_map(maps[targets == target]) for target in np.unique(targets)}
    live = {target: mean for target, mean in means.items() if np.isfinite(mean).all()}
    if len(live) < 2:
        return None
    classes, stack = list(live), np.stack(list(live.values()))
    rest = (stack.sum(axis=0) - stack) / (len(stack) - 1)
    sums = _window_sums(stack - rest)
    index = int(sums.max(axis=(1, 2)).argmax())
    return classes[index], _hottest(sums[index], window_side(*maps.shape[1:]))


def own_hot_windows(maps: Array, *, outer: bool) -> Array:
    """The small window with the most saliency in each map, near the border or away from it.

    It finds a cue that has a different place in every image. If a map has no saliency in that part
    of the image, its first window there is used.

    Args:
        maps: `(num_probes, height, width)`.
        outer: Whether to use windows whose centres are within `OUTER` of a border, or all others.

    Returns:
        The windows as masks, bool, same shape as `maps`.
    """
    _, height, width = maps.shape
    side = window_side(height, width)
    centres = [np.arange(size - side + 1) + side / 2 for size in (height, width)]
    rows, columns = (
        (centre > OUTER * size) & (centre < (1 - OUTER) * size)
        for centre, size in zip(centres, (height, width), strict=True)
    )
    is_inner = rows[:, np.newaxis] & columns
    masks = np.empty(maps.shape, bool)
    for probe in range(len(maps)):  # one at a time: sums of all maps, in float64, are large
        sums = _window_sums(np.nan_to_num(shares(maps[probe : probe + 1])))[0]
        candidates = np.where(is_inner != outer, sums, -1)
        masks[probe] = window_mask(_hottest(candidates, side), height, width)
    return masks


def elsewhere(mask: Array, seed: int, rank: int = 2) -> Array | None:
    """Moves a region to another place at random; it wraps around the borders.

    Of 64 random moves, the one with the smallest overlap with the region is used.

    Args:
        mask: bool `(height, width)`, or `(num_probes, height, width)`, where all masks are moved by
            the same distance; or a place in an input of another kind.
        seed: The seed of the moves.
        rank: The number of axes of a place, along all of which it is moved: 2 for images.

    Returns:
        bool, same shape; `None` if every move overlaps more than half of the region.
    """
    generator = np.random.default_rng(seed)
    shape, axes = mask.shape[-rank:], tuple(range(-rank, 0))
    moves = generator.integers(shape, size=(64, rank))
    masks = mask.reshape(-1, *shape)
    overlaps = [
        sum(int(np.count_nonzero(one & np.roll(one, move, axis=axes))) for one in masks)
        for move in moves
    ]
    best = int(np.argmin(overlaps))
    if 2 * overlaps[best] > np.count_nonzero(mask):
        return None
    return np.roll(mask, moves[best], axis=axes)


def purities(features: Array, targets: Array) -> Array:
    """How well each column of a table tells the classes by itself, without a model.

    The values of a column are sorted into at most `BINS` bins of equally many probes. The purity is
    the chance that two probes of the same bin have the same class: 1 if the column gives the class
    away, whatever its values are, and that of two random probes if it says nothing.

    Args:
        features: `(num_probes, features)`.
        targets: `(num_probes,)`.

    Returns:
        `(features,)`, in 0..1.

    Example:
        >>> leak, noise = np.array([7.0, 7, 3, 3]), np.array([1.0, 2, 1, 2])
        >>> purities(np.stack([leak, noise], axis=1), np.array([0, 0, 1, 1]))
        array([1., 0.])
    """
    classes, members = np.unique(targets, return_inverse=True)
    found = np.zeros(features.shape[1])
    for column, values in enumerate(features.T):
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
        counts = np.zeros((len(edges) + 1, len(classes)))
        np.add.at(counts, (np.searchsorted(edges, values), members), 1)
        others = counts.sum(axis=1, keepdims=True) - 1
        found[column] = (counts * (counts - 1) / others.clip(1)).sum() / len(values)
    return found


def stands_out(pure: float, next_pure: float) -> bool:
    """Whether the column that tells the classes best looks as if it were made from the class.

    Args:
        pure: Its purity.
        next_pure: That of the next best column.

    Example:
        >>> stands_out(0.95, 0.63), stands_out(0.95, 0.91)
        (True, False)
    """
    return bool(pure >= ALONE and 1 - pure < CLEARER * (1 - next_pure))
