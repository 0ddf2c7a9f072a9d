"""Renderers: draw the inputs of each kind and their maps, with the same interface for all kinds.

A renderer is made once for some probes and draws their maps at every evaluation. `renderer` chooses
the class for the kind of input, so that callers need not know the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from keras_saliency.data.blocks import evenly, rounded, thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.rendering import drawings, layouts
from keras_saliency.rendering.heatmaps import (
    colorize,
    displayed,
    enlarged,
    factor_for,
    overlay,
    shades,
    value_range,
)

PANEL, FRAME = "panel", "frame"
"""The sizes of a renderer: for the pictures of single probes, and for the filmstrip."""


_STRIPS = {PANEL: (192, 256, 96), FRAME: (64, 96, 32)}
"""For series and features, in pixels: the smallest width (narrower pictures are enlarged), the
largest width (in wider pictures, neighbours are combined) and the height."""

_COARSE = 3
"""The smallest factor by which images are enlarged that are stored without loss. PNG takes twice as
long as JPEG for those that are enlarged by 2."""

_GAP = 2
"""Pixels between the slices of a volume."""


class Renderer(Protocol):
    """Draws maps of the probes that it was made for.

    Attributes:
        originals: uint8 `(num_probes, height, width, 3)`, the inputs without maps.
        factor: The factor by which pictures of single probes should be enlarged.
        max_cell: The largest longer side of a picture on the contact sheet, in pixels.
        lossless: Whether pictures should be stored without loss, since they have few colours.
        has_clusters: Whether maps of different probes can be compared place by place.
        places: int32 `(num_probes or 1, height, width)`. For each pixel of `originals`, the index
            of the place in the maps returned by `shown` (in C order), or -1. `None` if maps and
            `originals` have the same shape.
        ink: uint8 `(num_probes, height, width)`, text or lines that are drawn on the colours of the
            maps; `None` if there are none.
    """

    originals: Array
    factor: int
    max_cell: int
    lossless: bool
    has_clusters: bool

    @property
    def ink(self) -> Array | None:
        """See above."""

    @property
    def places(self) -> Array | None:
        """See above."""

    def reduced(self, maps: Array) -> Array:
        """The maps at the size they are drawn, `(num_maps, ...)`; use these for the limits."""

    def shown(self, reduced: Array) -> Array:
        """The part of the reduced maps that is drawn: some slices of volumes, otherwise all."""

    def heat(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        """Draws any number of maps alone, with the size of `originals`."""

    def over(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        """Draws the maps of all probes, in order, together with the inputs."""

    def configuration(self) -> dict[str, str]:
        """Describes what is drawn, for the Text tab."""


def renderer(probes: ProbeSet, chosen: Array, size: str) -> Renderer:
    """Makes a renderer for some probes.

    Args:
        probes: All probes.
        chosen: The indices of the probes to draw.
        size: `PANEL` or `FRAME`.
    """
    values = probes.images[chosen]
    if probes.kind == "tokens":
        return _Tokens(values, size, probes.vocabulary)
    if probes.kind == "features":
        return _Features(values, size, probes.feature_names)
    return _KINDS[probes.kind](values, size)


class _Images:
    """Images: small ones are enlarged by an integer factor, large ones averaged over blocks."""

    max_cell = 112
    has_clusters = True
    places = None
    ink = None
    _sides: Mapping[str, tuple[int, int]] = {PANEL: (96, 512), FRAME: (32, 64)}

    def __init__(self, images: Array, size: str) -> None:
        at_least, self._at_most = self._sides[size]
        self._shape, self._range = images.shape[1:3], value_range(images)
        self.originals = rounded(thumbnails(displayed(images), self._at_most))
        self.factor = factor_for(max(self.originals.shape[1:3]), at_least)
        self.lossless = self.factor >= _COARSE

    def reduced(self, maps: Array) -> Array:
        return thumbnails(maps, self._at_most)

    def shown(self, reduced: Array) -> Array:
        return reduced

    def heat(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        return colorize(reduced, limits=limits, colormap=colormap, signed=signed)

    def over(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        return overlay(self.originals, reduced, limits=limits, colormap=colormap, signed=signed)

    def configuration(self) -> dict[str, str]:
        height, width = self._shape
        block = _rounded_up(max(height, width), self._at_most)
        resized = _resized(f"{block} x {block} pixels" if block > 1 else "", self.factor)
        return {
            "maps": f"{height} x {width} pixels, {resized}",
            "pixel values": _black_and_white(self._range),
        }


class _Volumes:
    """Volumes: some slices, evenly spaced in depth, each drawn as an image."""

    factor = 1
    max_cell = 224
    has_clusters = False
    ink = None
    _sides: Mapping[str, tuple[int, int]] = {PANEL: (192, 512), FRAME: (64, 96)}  # of the montage
    _slices: Mapping[str, int] = {PANEL: 9, FRAME: 4}

    def __init__(self, volumes: Array, size: str) -> None:
        at_least, at_most = self._sides[size]
        self._shape, self._range = volumes.shape[1:4], value_range(volumes)
        self.chosen = evenly(volumes.shape[1], self._slices[size])
        columns = drawings.montage_columns(len(self.chosen))
        self._at_most = at_most // columns
        slices = displayed(volumes[:, self.chosen], *self._range)
        self._images = rounded(self._smaller(slices))
        self._factor = factor_for(columns * max(self._images.shape[2:4]), at_least)
        self.lossless = self._factor >= _COARSE
        self.originals = self._montage(self._images)

    def _smaller(self, slices: Array) -> Array:
        flat = thumbnails(slices.reshape(-1, *slices.shape[2:]), self._at_most)
        return flat.reshape(*slices.shape[:2], *flat.shape[1:])

    def _montage(self, pictures: Array) -> Array:
        return drawings.montage(enlarged(pictures, self._factor), gap=_GAP)

    @property
    def places(self) -> Array:
        slices = _indices(1, len(self.chosen), *self._images.shape[2:4])
        large = slices.repeat(self._factor, axis=-1).repeat(self._factor, axis=-2)
        return drawings.montage(large[..., np.newaxis], gap=_GAP, paper=-1)[..., 0]

    def reduced(self, maps: Array) -> Array:
        return self._smaller(maps)

    def shown(self, reduced: Array) -> Array:
        return reduced[:, self.chosen]

    def heat(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        slices = reduced[:, self.chosen]
        return self._montage(colorize(slices, limits=limits, colormap=colormap, signed=signed))

    def over(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        slices = reduced[:, self.chosen]
        return self._montage(
            overlay(self._images, slices, limits=limits, colormap=colormap, signed=signed)
        )

    def configuration(self) -> dict[str, str]:
        depth, height, width = self._shape
        block = _rounded_up(max(height, width), self._at_most)
        resized = _resized(f"{block} x {block} pixels" if block > 1 else "", self._factor)
        slices = ", ".join(map(str, self.chosen))
        return {
            "maps": f"{depth} slices of {height} x {width} pixels, {resized}",
            "slices": f"{slices}, in rows from the upper left",
            "voxel values": _black_and_white(self._range),
        }


class _Series:
    """Series: a line for each channel, on columns with the colours of the steps."""

    factor = 1
    max_cell = 384
    lossless = True
    has_clusters = True
    _sizes = _STRIPS

    def __init__(self, series: Array, size: str) -> None:
        at_least, self._at_most, height = self._sizes[size]
        _, self._steps, self._channels = series.shape
        self._block = _rounded_up(self._steps, self._at_most)
        self._wide = factor_for(_rounded_up(self._steps, self._block), at_least)
        self.ink = drawings.lines(series, height=height, block=self._block, wide=self._wide)
        paper = np.full((*self.ink.shape, 3), drawings.PAPER, np.uint8)
        self.originals = drawings.inked(paper, self.ink)

    @property
    def places(self) -> Array:
        columns = _indices(_rounded_up(self._steps, self._block)).repeat(self._wide)
        return np.broadcast_to(columns, (1, self.ink.shape[1], len(columns)))

    def reduced(self, maps: Array) -> Array:
        return thumbnails(maps[:, np.newaxis], self._at_most)

    def shown(self, reduced: Array) -> Array:
        return reduced[:, 0]

    def heat(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        colors = colorize(reduced, limits=limits, colormap=colormap, signed=signed)
        return drawings.stretched(colors, self.ink.shape[1], self._wide)

    def over(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        heat = self.heat(reduced, limits=limits, colormap=colormap, signed=signed)
        return drawings.inked(heat, self.ink)

    def configuration(self) -> dict[str, str]:
        resized = _resized(f"{self._block} steps" if self._block > 1 else "", self._wide)
        return {
            "maps": f"{self._steps} steps, {resized}",
            "channels": f"{self._channels}, the first on top; each from its smallest to its "
            "largest value in all probes",
        }


class _Features:
    """Features: a bar for each feature, as long as its saliency; with names if there are few."""

    factor = 1
    max_cell = 256
    lossless = True
    has_clusters = False
    _sizes = _STRIPS
    _max_labelled: Mapping[str, int] = {PANEL: 32, FRAME: 0}  # more features have no labels
    _texts, _bar = (104, 176), 136  # the smallest and largest width of texts, and of bars

    def __init__(self, features: Array, size: str, names: tuple[str, ...] | None) -> None:
        at_least, self._at_most, self._height = self._sizes[size]
        self._count = features.shape[1]
        self._ink: Array | None = None
        if self._count <= self._max_labelled[size]:
            names = names or tuple(map(str, range(self._count)))
            names = tuple(n if layouts.is_drawable(n) else f"#{i}" for i, n in enumerate(names))
            values = [[f"{value:.4g}" for value in row] for row in features]
            self._ink, self._names = drawings.named_values(names, values, self._texts)
        self._block = _rounded_up(self._count, self._at_most)
        self._wide = factor_for(_rounded_up(self._count, self._block), at_least)
        shares = thumbnails(drawings.spread(features)[:, np.newaxis], self._at_most)[:, 0]
        plain = np.full((*shares.shape, 3), drawings.PLAIN, np.uint8)
        self.originals = self._bars(shares, plain, signed=False)

    def _bars(self, shares: Array, colors: Array, *, signed: bool) -> Array:
        if self._ink is None:
            bars = drawings.bars(
                shares, colors, thick=self._wide, length=self._height, signed=signed
            )
            return drawings.upright(bars)
        return self._labelled(shares, colors, self._ink, signed=signed)

    def _labelled(self, shares: Array, colors: Array, ink: Array, *, signed: bool) -> Array:
        bars = drawings.bars(shares, colors, thick=layouts.LINE, length=self._bar, signed=signed)
        paper = np.full((len(bars), *ink.shape[1:], 3), drawings.PAPER, np.uint8)
        return np.concatenate([drawings.inked(paper, ink), bars], axis=2)

    @property
    def places(self) -> Array:
        bars = _indices(_rounded_up(self._count, self._block))
        height, width = self.originals.shape[1:3]
        if self._ink is None:
            return np.broadcast_to(bars.repeat(self._wide), (1, height, width))
        rows = bars.repeat(layouts.LINE)[np.newaxis, :, np.newaxis]
        return np.broadcast_to(rows, (1, height, width))

    @property
    def ink(self) -> Array | None:
        if self._ink is None:
            return None
        bars = (self.originals[:, :, self._ink.shape[2] :] == drawings.PLAIN).all(axis=-1)
        return np.concatenate([self._ink, np.uint8(255) * drawings.outline(bars)], axis=2)

    def reduced(self, maps: Array) -> Array:
        return drawings.extremes(maps, self._at_most)

    def shown(self, reduced: Array) -> Array:
        return reduced

    def heat(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        colors = colorize(reduced, limits=limits, colormap=colormap, signed=signed)
        if self._ink is None:
            return drawings.stretched(colors[:, np.newaxis], self._height, self._wide)
        values, _ = shades(reduced, limits, signed)
        return self._labelled(values, colors, self._names, signed=signed)

    def over(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        colors = colorize(reduced, limits=limits, colormap=colormap, signed=signed)
        values, _ = shades(reduced, limits, signed)
        return self._bars(values, colors, signed=signed)

    def configuration(self) -> dict[str, str]:
        combined = f", the maximum of every {self._block} neighbours" if self._block > 1 else ""
        return {
            "maps": f"{self._count} features{combined}",
            "bars": "for the inputs, from the feature's smallest to its largest value in all "
            "probes; for the maps, from 0 to the end of the scale",
        }


class _Tokens:
    """Tokens: words on their colours. Maps alone are drawn as cells in reading order."""

    factor = 1
    max_cell = 320
    lossless = True
    has_clusters = False
    _sizes: Mapping[str, tuple[int, int]] = {PANEL: (320, 48), FRAME: (96, 2)}  # width, lines
    _box = (52, 52, 52)

    def __init__(self, tokens: Array, size: str, vocabulary: tuple[str, ...] | None) -> None:
        width, max_lines = self._sizes[size]
        self._count = tokens.shape[1]
        texts = [[_word(int(token), vocabulary) for token in row] for row in tokens]
        self.ink, self.places = drawings.words(texts, width=width, max_lines=max_lines)
        plain = np.full((*tokens.shape, 3), self._box, np.uint8)
        self.originals = drawings.inked(drawings.on_places(plain, self.places), self.ink)

    def reduced(self, maps: Array) -> Array:
        return maps

    def shown(self, reduced: Array) -> Array:
        return reduced

    def heat(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        _, height, width = self.ink.shape
        shown = drawings.extremes(reduced, height * width // 4)
        colors = colorize(shown, limits=limits, colormap=colormap, signed=signed)
        return drawings.cells(colors, height=height, width=width)

    def over(self, reduced: Array, *, limits: Array, colormap: str, signed: bool) -> Array:
        colors = colorize(reduced, limits=limits, colormap=colormap, signed=signed)
        return drawings.inked(drawings.on_places(colors, self.places), self.ink)

    def configuration(self) -> dict[str, str]:
        shown = len(np.unique(self.places[self.places >= 0]))
        limited = f", at most the first {shown} as text" if shown < self._count else ""
        return {"maps": f"{self._count} tokens{limited}; the map alone as cells in reading order"}


_KINDS: Mapping[str, Callable[[Array, str], Renderer]] = {
    "image": _Images,
    "series": _Series,
    "volume": _Volumes,
}


def _word(token: int, vocabulary: tuple[str, ...] | None) -> str:
    """The word of a token, if the vocabulary has it and it can be drawn; otherwise its number."""
    if vocabulary is None or not 0 <= token < len(vocabulary):
        return str(token)
    word = vocabulary[token]
    if not layouts.is_drawable(word):
        return f"#{token}"
    return word if word.strip() else "␣"


def _indices(*shape: int) -> Array:
    """The index of every place in a map of this shape, in C order; int32."""
    return np.arange(np.prod(shape), dtype=np.int32).reshape(shape)


def _rounded_up(total: int, divisor: int) -> int:
    """The quotient, rounded up: the size of a block, or the number of blocks."""
    return -(-total // divisor)


def _resized(averaged: str, factor: int) -> str:
    changes = [f"averaged over {averaged}"] if averaged else []
    changes += [f"enlarged {factor} times"] if factor > 1 else []
    return ", ".join(changes) or "not resized"


def _black_and_white(shown: tuple[float, float]) -> str:
    return f"{shown[0]:g} is black, {shown[1]:g} is white"
