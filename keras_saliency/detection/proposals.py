"""Regions that nobody named: the border, and the small windows that saliency maps propose.

A proposal is a guess, to be tested by an intervention on other probes than those it was made
from. Maps are `(num_probes, height, width)`, non-negative; dead ones are left out.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from keras_saliency.data.reports import Array, Window
from keras_saliency.metrics.maps import mean_map, shares

WINDOW_AREA = 0.026
"""A proposed window's share of the image, at most: smallness is the evidence, for no small fixed
place of a natural object decides much."""

OUTER = 0.2
"""A window is an outer one if its centre lies so near to a border, as a share of the side."""


def contrast_weighted(maps: Array, images: Array) -> Array:
    """Maps in which saliency counts as far as there is something to see.

    The gradient says where a change would matter, also in a place where nothing is; a cue that
    an image carries differs from what surrounds it. So the maps are multiplied by each pixel's
    distance from the mean of its surroundings, in the channel where that is largest.

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
    """The side of a proposed window in an image of this size, in pixels."""
    return max(1, min(height, width, int((WINDOW_AREA * height * width) ** 0.5)))


def _window_sums(maps: Array) -> Array:
    """Each map's sum within every proposable window, by the window's top left corner."""
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
    """The small window that holds most of the mean map; `None` if all maps are dead.

    A cue that sits in one place in all images, as a tag in a corner, makes it.
    """
    mean = mean_map(maps)
    if not np.isfinite(mean).all():
        return None
    return _hottest(_window_sums(mean[np.newaxis])[0], window_side(*mean.shape))


def class_hot_window(maps: Array, targets: Array) -> tuple[int, Window] | None:
    """The class and the small window in which its mean map exceeds that of the rest the most.

    A cue that one class alone carries vanishes in the mean of all; here it stands out.

    Returns:
        `None` where fewer than two classes have a live map.
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
    """Each map's own hottest small window near the border, or away from it.

    A cue that is somewhere else in every image makes it. Of a map without saliency there, the
    first such window is taken.

    Args:
        maps: `(num_probes, height, width)`.
        outer: Whether the windows' centres lie within `OUTER` of a border, or all others do.

    Returns:
        bool, the shape of `maps`.
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


def elsewhere(mask: Array, seed: int) -> Array | None:
    """A region of the same shape somewhere else: moved at random, wrapped around the borders.

    Of 64 random moves that which overlaps the region least is taken.

    Args:
        mask: bool `(height, width)`, or `(num_probes, height, width)`, moved as one.
        seed: Of the draw.

    Returns:
        bool, same shape; `None` where every move leaves more than half of the region in place.
    """
    generator = np.random.default_rng(seed)
    moves = generator.integers(mask.shape[-2:], size=(64, 2))
    masks = mask.reshape(-1, *mask.shape[-2:])
    overlaps = [
        sum(int(np.count_nonzero(one & np.roll(one, move, axis=(0, 1)))) for one in masks)
        for move in moves
    ]
    best = int(np.argmin(overlaps))
    if 2 * overlaps[best] > np.count_nonzero(mask):
        return None
    return np.roll(mask, moves[best], axis=(-2, -1))
