"""Heatmaps: turns saliency maps and images into colours. Text and layout are in `layouts`.

Arrays: maps are `(num_probes, height, width)`, non-negative unless `signed` is set; images are
`(num_probes, height, width, channels)` on any scale; pictures are uint8 RGB, `(..., height, width,
3)`. The scale of a map is always explicit: `limits` gives the value that is shown as the end of the
colormap. Scales and colours work for maps with any number of axes.

In signed maps, 0 is in the middle of a diverging colormap, and minus and plus the limit are at its
ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import matplotlib
import numpy as np

from keras_saliency.data.blocks import rounded
from keras_saliency.data.reports import Array

SCALES = ("epoch", "probe", "shared")
"""`"epoch"`: scale each map by its own percentile. `"probe"`: scale each probe by the largest
percentile of its maps over all evaluations so far. `"shared"`: scale all probes by the largest
percentile of all maps over all evaluations so far."""

CLIP_PERCENTILE = 99
"""The percentile of a map at which colours end by default. Scaled by its maximum, a map with one
hot pixel would be black."""

_DIVERGING = (
    *("PiYG", "PRGn", "BrBG", "PuOr", "RdGy", "RdBu", "RdYlBu", "RdYlGn", "Spectral"),
    *("coolwarm", "bwr", "seismic", "berlin", "managua", "vanimo"),
)

NOT_A_NUMBER = (0, 120, 140)
"""The colour of `nan`: a blue-green that is not in the usual colormaps for saliency."""


def check_colormap(colormap: object) -> str:
    """Returns the name of a matplotlib colormap.

    Raises:
        TypeError: Not a string.
        ValueError: Not known to matplotlib.
    """
    if isinstance(colormap, str) and colormap in matplotlib.colormaps:
        return colormap
    error = ValueError if isinstance(colormap, str) else TypeError
    raise error(
        "colormap: expected the name of a matplotlib colormap, such as 'hot', 'inferno' or "
        f"'viridis', received {colormap!r}."
    )


def diverging(colormap: str) -> str:
    """The colormap for signed maps: the given one if it is diverging, otherwise `"RdBu_r"`.

    Example:
        >>> diverging("hot"), diverging("coolwarm")
        ('RdBu_r', 'coolwarm')
    """
    return colormap if colormap.removesuffix("_r") in _DIVERGING else "RdBu_r"


def peaks(maps: Array) -> Array:
    """The largest absolute value of each map.

    Args:
        maps: `(num_probes, height, width)`, also signed.

    Returns:
        `(num_probes,)`, finite; 0 for a map that has no finite value other than 0.
    """
    # One by one: copies of all maps are large.
    largest = [np.abs(np.where(np.isfinite(one), one, 0)).max() for one in maps]
    return np.array(largest, np.abs(maps[:0]).dtype)


def scale_for(scale: str, map_shape: Sequence[int]) -> str:
    """The scale of maps: `"shared"` for maps of one value, which is always the largest of its map.

    Args:
        scale: One of `SCALES`.
        map_shape: The shape of one map.

    Example:
        >>> scale_for("epoch", (8, 8)), scale_for("epoch", (1,))
        ('epoch', 'shared')
    """
    return "shared" if math.prod(map_shape) == 1 else scale


def limits(
    maps: Array,
    scale: str,
    before: Array | None = None,
    *,
    clip_percentile: float = CLIP_PERCENTILE,
) -> Array:
    """The value of each map that is shown as the end of the colormap; larger ones are clipped.

    Args:
        maps: `(num_probes, height, width)`. For signed maps, the absolute values are used.
        scale: One of `SCALES`.
        before: `(num_probes,)`, the result of this function at the previous evaluation, for
            `"probe"` and `"shared"`; `None` at the first evaluation.
        clip_percentile: The percentile of the finite values of a map other than 0, a value of the
            map that at least so many percent of them do not exceed; 100 for their maximum. The
            zeros of a sparse map, as of occlusion, do not count: with them, its colours would end
            at one of its smallest values. Maps of up to 100 such values end at their maximum with
            the default.

    Returns:
        `(num_probes,)`, finite; 0 for a map that has no finite value other than 0.

    Example:
        >>> one_hot_pixel = np.array([[*range(1, 101), 1000]])
        >>> limits(one_hot_pixel, "epoch"), limits(one_hot_pixel, "epoch", clip_percentile=100)
        (array([100]), array([1000]))
    """
    ends = peaks(maps)
    if clip_percentile < 100:
        for index, one_map in enumerate(maps):
            if ends[index]:
                sizes = np.abs(one_map[np.isfinite(one_map) & (one_map != 0)])
                rank = math.ceil((len(sizes) - 1) * clip_percentile / 100)
                # np.percentile(..., method="higher") takes longer for small maps.
                ends[index] = np.partition(sizes, rank)[rank]
    if scale == "epoch":
        return ends
    if before is not None:
        ends = np.maximum(ends, before)
    return np.full_like(ends, ends.max()) if scale == "shared" else ends


def map_defect(saliency_map: Array) -> str:
    """A defect of a map that its picture alone would not show.

    Returns:
        `"not a number"`, `"zero map"` or `"constant map"`; `""` if the map has no defect. A map of
        one value is not called constant.
    """
    if not np.isfinite(saliency_map).all():
        return "not a number"
    if not saliency_map.any():
        return "zero map"
    is_constant = saliency_map.size > 1 and saliency_map.max() == saliency_map.min()
    return "constant map" if is_constant else ""


def scaled(maps: Array, limits: Array) -> Array:
    """Maps divided by their limits: float32, in -1..1 if no value exceeds its limit.

    A map with limit 0 stays 0. The division is exact over the whole range of float32.
    """
    divisor = np.where(limits > 0, limits, 1).reshape(-1, *(1,) * (maps.ndim - 1))
    result: Array = (maps / divisor).astype(np.float32)
    return result


def colorize(maps: Array, *, limits: Array, colormap: str = "hot", signed: bool = False) -> Array:
    """Turns maps into colours.

    Args:
        maps: `(num_probes, height, width)`.
        limits: `(num_probes,)`, the value that is shown as the end of the colormap; larger values
            have the same colour.
        colormap: The name of a matplotlib colormap.
        signed: If `True`, minus the limit is the start of the colormap and 0 its middle. If
            `False`, 0 is its start.

    Returns:
        uint8 `(num_probes, height, width, 3)`; `nan` has the colour `NOT_A_NUMBER`.

    Example:
        >>> colorize(np.array([[[0.0, 2.0]]]), limits=np.array([2.0])).tolist()
        [[[[10, 0, 0], [255, 255, 255]]]]
    """
    values, finite = shades(maps, limits, signed)
    picture: Array = colors(colormap, _count(signed)).take(_index(values, signed), axis=0)
    picture[~finite] = NOT_A_NUMBER
    return picture


def shades(maps: Array, limits: Array, signed: bool = False) -> tuple[Array, Array]:
    """Scales maps by their limits and clips them.

    Returns:
        values: float32 in 0..1, or in -1..1 for signed maps; 1 for values that are not finite.
        finite: bool, whether each value is finite.
    """
    values = scaled(maps, limits)
    finite = np.isfinite(values)
    values[~finite] = 1
    return values.clip(-1 if signed else 0, 1, out=values), finite


def _index(values: Array, signed: bool) -> Array:
    """The index of the nearest colour: 0..1 to 256 colours, or -1..1 to 255 colours if signed."""
    if signed:
        index: Array = (np.rint(values * 127) + 127).astype(np.uint8)
    else:
        index = (values * 255 + np.float32(0.5)).astype(np.uint8)
    return index


def _count(signed: bool) -> int:
    """The number of colours; odd for signed maps, so that one colour is the middle."""
    return 255 if signed else 256


@lru_cache(maxsize=32)
def colors(colormap: str, count: int) -> Array:
    """Evenly spaced colours of a matplotlib colormap, from start to end.

    Args:
        colormap: The name of the colormap.
        count: The number of colours.

    Returns:
        uint8 `(count, 3)`, red, green and blue; read-only.
    """
    table = matplotlib.colormaps[check_colormap(colormap)].resampled(count)
    result: Array = np.ascontiguousarray(table(np.arange(count), bytes=True)[:, :3])
    result.setflags(write=False)
    return result


def overlay(
    images: Array, maps: Array, *, limits: Array, colormap: str = "hot", signed: bool = False
) -> Array:
    """Draws heatmaps over gray images; a heatmap is more opaque where saliency is higher.

    Args:
        images: uint8 `(num_probes, height, width, 3)`, see `displayed`.
        maps: `(num_probes, height, width)`.
        limits: As in `colorize`.
        colormap: As in `colorize`.
        signed: As in `colorize`; opacity depends on the absolute value.

    Returns:
        uint8 `(num_probes, height, width, 3)`.
    """
    values, finite = shades(maps, limits, signed)
    index, opacity = _index(values, signed), np.sqrt(np.abs(values))
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    below = (images.astype(np.float32) @ luma) * (1 - opacity) + 0.5
    blend = np.empty(images.shape, np.uint8)
    table = colors(colormap, _count(signed)).T.astype(np.float32)
    for channel, intensities in enumerate(table):
        blend[..., channel] = below + intensities.take(index) * opacity
    blend[~finite] = NOT_A_NUMBER
    return blend


_USUAL_RANGES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)

_BRIGHT = 64  # values of up to this are only taken for 0..255 if they are whole numbers

_MIN_USED = 0.1  # the share of a range of pixel values that images have to use

_ROBUST = 0.1, 99.9  # percentiles: what lies outside are outliers, such as dead pixels

_MAX_SAMPLED = 1_000_003  # pixel values, for the percentiles of more of them; a prime number


def value_range(images: Array) -> tuple[float, float]:
    """The pixel values that are shown as black and white.

    This is the first of 0..1, -1..1 and 0..255 that contains every value, otherwise the smallest
    and the largest value. 0..255 is only used if all values are whole numbers or one is above 64:
    a depth of 0 to 10 metres would be black. Images that use less than a tenth of such a range are
    shown from their smallest to their largest value, or, if a few outliers are far away, without
    the outliers: from the 0.1th to the 99.9th percentile. All images have the same range, so that
    they can be compared.

    Example:
        >>> value_range(np.array([0.0, 170.0])), value_range(np.array([0.0, 0.02]))
        ((0.0, 255.0), (0.0, 0.02))
    """
    low, high = float(images.min()), float(images.max())
    candidates = [
        (black, white)
        for black, white in _USUAL_RANGES
        if black <= low and high <= white and (white == 1 or high > _BRIGHT or _is_whole(images))
    ]
    candidates.append((low, high))
    darkest, brightest = _robust_range(images)
    for black, white in candidates:
        if brightest == darkest or brightest - darkest >= _MIN_USED * (white - black):
            return black, white
    return darkest, brightest


def _is_whole(images: Array) -> bool:
    return images.dtype.kind in "iub" or all((np.rint(one) == one).all() for one in images)


def _robust_range(images: Array) -> tuple[float, float]:
    values: Array = images.reshape(-1)
    if values.size > _MAX_SAMPLED:
        values = values[np.linspace(0, values.size - 1, _MAX_SAMPLED).astype(np.int64)]
    low, high = np.percentile(values, _ROBUST, method="nearest")
    return float(low), float(high)


def displayed(images: Array, black: float | None = None, white: float | None = None) -> Array:
    """Turns the images that a model gets into pictures.

    Args:
        images: `(num_probes, height, width, channels)`. Three channels are shown as red, green and
            blue; for any other number, the mean is shown in gray.
        black: The pixel value that is shown black, as all smaller ones.
        white: The pixel value that is shown white, as all larger ones. By default, both values are
            the `value_range` of these images.

    Returns:
        uint8 `(num_probes, height, width, 3)`; black if all values are equal.
    """
    low, high = value_range(images) if black is None or white is None else (black, white)
    kind = np.result_type(images.dtype, np.float32)
    values = (images.astype(kind) - kind.type(low)) * kind.type(255 / ((high - low) or 1))
    np.clip(values, 0, 255, out=values)
    if values.shape[-1] != 3:
        values = np.repeat(values.mean(axis=-1, keepdims=True), 3, axis=-1)
    return rounded(values)


def enlarged(pictures: Array, factor: int) -> Array:
    """Turns every pixel into a block of `factor` x `factor` pixels, without blurring."""
    if factor == 1:
        return pictures
    result: Array = pictures.repeat(factor, axis=-2).repeat(factor, axis=-3)
    return result


def factor_for(pixels: int, at_least: int) -> int:
    """The smallest integer factor that enlarges `pixels` to `at_least` or more."""
    return max(1, -(-at_least // pixels))
