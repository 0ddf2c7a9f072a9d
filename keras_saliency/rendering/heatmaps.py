"""Heatmaps: saliency maps and images to colour arrays. No text, no files; see `sheets`.

Arrays: maps are `(num_probes, height, width)`, non-negative, or signed where that is said; images
are `(num_probes, height, width, channels)` on any scale; pictures are uint8 RGB, `(..., height,
width, 3)`. How a map is scaled is always explicit: the value that is shown as the colormap's end is
an argument, `limits`. Scales and colours do not mind how many axes a map has.

Signed maps have 0 in the middle of a diverging colormap, and plus and minus the limit at its ends.
"""

from __future__ import annotations

from functools import lru_cache

import matplotlib
import numpy as np

from keras_saliency.data.blocks import rounded
from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array

SCALES = ("epoch", "probe", "shared")
"""`"epoch"`: each map by its own maximum. `"probe"`: each probe by its maximum over all
evaluations so far. `"shared"`: all probes by one maximum over all evaluations so far."""

_DIVERGING = (
    *("PiYG", "PRGn", "BrBG", "PuOr", "RdGy", "RdBu", "RdYlBu", "RdYlGn", "Spectral"),
    *("coolwarm", "bwr", "seismic", "berlin", "managua", "vanimo"),
)

NOT_A_NUMBER = (0, 120, 140)
"""The colour of `nan`: a blue-green that none of the usual saliency colormaps holds."""


def check_colormap(colormap: object) -> str:
    """Returns the name of a matplotlib colormap.

    Raises:
        TypeError: Not a string.
        ValueError: Not known to matplotlib.
    """
    if isinstance(colormap, str) and colormap not in matplotlib.colormaps:
        raise ValueError(
            f"colormap: expected the name of a matplotlib colormap, such as 'hot', 'inferno' or "
            f"'viridis', received {colormap!r}."
        )
    return str(check_choice("colormap", colormap, tuple(matplotlib.colormaps)))


def diverging(colormap: str) -> str:
    """The colormap of signed maps: this one if it has a middle, else red for plus, blue for minus.

    Example:
        >>> diverging("hot"), diverging("coolwarm")
        ('RdBu_r', 'coolwarm')
    """
    return colormap if colormap.removesuffix("_r") in _DIVERGING else "RdBu_r"


def limits(maps: Array, scale: str, before: Array | None = None) -> Array:
    """The value of each map that is shown as the colormap's end.

    Args:
        maps: `(num_probes, height, width)`; of signed ones, their absolute values count.
        scale: One of `SCALES`.
        before: `(num_probes,)`, what this function returned for `"probe"` or `"shared"` at the
            previous evaluation; `None` at the first.

    Returns:
        `(num_probes,)`, finite; 0 for a map without a finite value other than 0.
    """
    sizes = np.abs(np.where(np.isfinite(maps), maps, 0))
    peaks: Array = sizes.max(axis=tuple(range(1, maps.ndim)))
    if scale == "epoch":
        return peaks
    if before is not None:
        peaks = np.maximum(peaks, before)
    return np.full_like(peaks, peaks.max()) if scale == "shared" else peaks


def map_defect(saliency_map: Array) -> str:
    """What a map has to say for itself where a picture alone would mislead; else empty.

    Returns:
        `"not a number"`, `"zero map"` or `"constant map"` for a map that is so, else `""`.
    """
    if not np.isfinite(saliency_map).all():
        return "not a number"
    if saliency_map.max() == saliency_map.min():
        return "constant map" if saliency_map.max() != 0 else "zero map"
    return ""


def scaled(maps: Array, limits: Array) -> Array:
    """Maps divided by their limits: float32, in -1..1 where a map does not pass its limit.

    A map with limit 0 stays 0; the division is exact over the whole range of float32.
    """
    divisor = np.where(limits > 0, limits, 1).reshape(-1, *(1,) * (maps.ndim - 1))
    result: Array = (maps / divisor).astype(np.float32)
    return result


def colorize(maps: Array, *, limits: Array, colormap: str = "hot", signed: bool = False) -> Array:
    """Maps in colour.

    Args:
        maps: `(num_probes, height, width)`.
        limits: `(num_probes,)`, the value shown as the colormap's end; larger ones are, too.
        colormap: The name of a matplotlib colormap.
        signed: Whether 0 is the middle of the colormap, and -1 times the limit its beginning;
            else 0 is its beginning.

    Returns:
        uint8 `(num_probes, height, width, 3)`; `nan` in the colour `NOT_A_NUMBER`.

    Example:
        >>> colorize(np.array([[[0.0, 2.0]]]), limits=np.array([2.0])).tolist()
        [[[[10, 0, 0], [255, 255, 255]]]]
    """
    values, finite = shades(maps, limits, signed)
    picture: Array = colors(colormap, _count(signed)).take(_index(values, signed), axis=0)
    picture[~finite] = NOT_A_NUMBER
    return picture


def shades(maps: Array, limits: Array, signed: bool = False) -> tuple[Array, Array]:
    """How far each value is from 0 to its limit.

    Returns:
        values: float32 in 0..1, or -1..1 of signed maps; 1 where they are not finite.
        finite: bool, where they are.
    """
    values = scaled(maps, limits)
    finite = np.isfinite(values)
    values[~finite] = 1
    return values.clip(-1 if signed else 0, 1, out=values), finite


def _index(values: Array, signed: bool) -> Array:
    """0..1 to the nearest of 256 colours, or -1..1 to that of 255, of which one is the middle."""
    if signed:
        index: Array = (np.rint(values * 127) + 127).astype(np.uint8)
    else:
        index = (values * 255 + np.float32(0.5)).astype(np.uint8)
    return index


def _count(signed: bool) -> int:
    """How many colours there are: of signed maps, one is the middle."""
    return 255 if signed else 256


@lru_cache(maxsize=32)
def colors(colormap: str, count: int) -> Array:
    """So many colours of a matplotlib colormap, from its beginning to its end.

    Returns:
        uint8 `(count, 3)`, red, green and blue; read-only.
    """
    table = matplotlib.colormaps[check_colormap(colormap)].resampled(count)
    found: Array = np.ascontiguousarray(table(np.arange(count), bytes=True)[:, :3])
    found.setflags(write=False)
    return found


def overlay(
    images: Array, maps: Array, *, limits: Array, colormap: str = "hot", signed: bool = False
) -> Array:
    """Maps on images: the image in gray, and over it the heatmap, opaque where saliency is high.

    Args:
        images: uint8 `(num_probes, height, width, 3)`, see `displayed`.
        maps: `(num_probes, height, width)`.
        limits: As in `colorize`.
        colormap: As in `colorize`.
        signed: As in `colorize`; far from 0 on either side is opaque.

    Returns:
        uint8 `(num_probes, height, width, 3)`.
    """
    values, finite = shades(maps, limits, signed)
    index, opacity = _index(values, signed), np.sqrt(np.abs(values))
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    below = (images.astype(np.float32) @ luma) * (1 - opacity) + 0.5
    blend = np.empty(images.shape, np.uint8)
    table = colors(colormap, _count(signed)).T.astype(np.float32)
    for channel, shown in enumerate(table):
        blend[..., channel] = below + shown.take(index) * opacity
    blend[~finite] = NOT_A_NUMBER
    return blend


def value_range(images: Array) -> tuple[float, float]:
    """The pixel values shown as black and white: the usual range that holds all images.

    0..1, -1..1 or 0..255, whichever is the first to hold every value; else the smallest and the
    largest value. Values that do not pass 5 are not taken for ones on 0..255, which would be black.
    One range for all, so that images stay comparable.

    Example:
        >>> value_range(np.array([0.0, 17.0])), value_range(np.array([-2.5, 2.0]))
        ((0.0, 255.0), (-2.5, 2.0))
    """
    low, high = float(images.min()), float(images.max())
    bytes_or_not = [(0.0, 255.0)] if high > 5 else []
    for usual in [(0.0, 1.0), (-1.0, 1.0), *bytes_or_not]:
        if usual[0] <= low and high <= usual[1]:
            return usual
    return low, high


def displayed(images: Array, black: float | None = None, white: float | None = None) -> Array:
    """Images as a model is fed them, as pictures.

    Args:
        images: `(num_probes, height, width, channels)`; three channels are taken as red, green
            and blue, of any other number the mean is shown in gray.
        black: The pixel value shown black, which no value is below.
        white: The pixel value shown white, which no value is above; default of both: the
            `value_range` of these images.

    Returns:
        uint8 `(num_probes, height, width, 3)`; black where all values are one.
    """
    low, high = value_range(images) if black is None or white is None else (black, white)
    values = (images.astype(np.float64) - low) * (255 / ((high - low) or 1))
    if values.shape[-1] != 3:
        values = np.repeat(values.mean(axis=-1, keepdims=True), 3, axis=-1)
    return rounded(values)


def enlarged(pictures: Array, factor: int) -> Array:
    """Every pixel as a block of `factor` x `factor`: larger, never blurred."""
    if factor == 1:
        return pictures
    result: Array = pictures.repeat(factor, axis=-2).repeat(factor, axis=-3)
    return result


def factor_for(pixels: int, at_least: int) -> int:
    """The whole factor by which `pixels` reach `at_least`; 1 if they do already."""
    return max(1, -(-at_least // pixels))
