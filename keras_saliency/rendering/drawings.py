"""Drawings: pictures of inputs other than images, and of their saliency maps.

A series is lines over the colours of its steps, features are bars, tokens are words on their
colours, a volume is a montage of its slices.

Arrays: series are `(num_probes, steps, channels)`, features `(num_probes, features)`, both on any
scale; pictures are uint8 RGB, `(num_probes, height, width, 3)`, of one size for all probes. Ink is
uint8, how much of each pixel is covered by what is drawn: lines or text. How maps become colours
is told in `heatmaps`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.rendering import layouts

PAPER = layouts.BACKGROUND
"""The gray level of places without a value."""

PLAIN = (150, 150, 150)
"""The colour of bars that show an input, not its saliency."""

MAX_LANES = 8
"""The channels of a series share at most this many lanes."""

LIGHT_INK, DARK_INK = 240, 16
"""The gray levels of ink on dark and on light pixels."""

_BT601 = np.array([0.299, 0.587, 0.114], np.float32)
_SPACE = 3  # pixels between words, and between the lines of text


def inked(pictures: Array, ink: Array) -> Array:
    """Pictures with ink on them, light on dark pixels and dark on light ones.

    Args:
        pictures: uint8 `(num_probes, height, width, 3)`.
        ink: `(num_probes, height, width)`.
    """
    result = pictures.copy()
    pixels = result.reshape(-1, 3)
    covered = np.flatnonzero(ink)
    below = pixels.take(covered, axis=0).astype(np.float32)
    color = np.where(below @ _BT601 < 128, np.float32(LIGHT_INK), np.float32(DARK_INK))
    share = ink.reshape(-1).take(covered).astype(np.float32) / 255
    below += (color[:, np.newaxis] - below) * share[:, np.newaxis] + np.float32(0.5)
    pixels[covered] = below
    return result


def stretched(pictures: Array, tall: int, wide: int) -> Array:
    """Every pixel as a block of `tall` x `wide`."""
    result: Array = pictures.repeat(wide, axis=-2).repeat(tall, axis=-3)
    return result


def spread(values: Array) -> Array:
    """Where each value lies between the smallest and the largest of all probes, in 0..1.

    Args:
        values: `(num_probes, ..., things)`; each thing, such as a feature or a channel, has a
            range of its own.

    Returns:
        float64 of that shape; 0.5 where all values of a thing are one.
    """
    halves = values.astype(np.float64) / 2  # no difference of which overflows
    axes = tuple(range(values.ndim - 1))
    low, high = halves.min(axis=axes), halves.max(axis=axes)
    size = high - low
    result: Array = np.where(size > 0, (halves - low) / np.where(size > 0, size, 1), 0.5)
    return result


def lines(series: Array, *, height: int, block: int = 1, wide: int = 1) -> Array:
    """The lines of a series' channels, each in a lane of its own, the first on top.

    A channel's lane reaches from its smallest to its largest value in all probes. More than
    `MAX_LANES` channels share lanes.

    Args:
        series: `(num_probes, steps, channels)`.
        height: Of the picture in pixels; more where lanes would be lower than a quarter of it.
        block: Steps in a column; of many, the line spans from their smallest to their largest.
        wide: The width of a column in pixels.

    Returns:
        Ink, `(num_probes, height, columns * wide)`.
    """
    values = spread(series)
    channels = values.shape[2]
    lanes = min(channels, MAX_LANES)
    lane = max(height // lanes, height // 4)
    low, high = _envelope(values, block, wide)
    rows = np.arange(lane)[:, np.newaxis]
    ink = np.zeros((len(series), lanes * lane, low.shape[1]), np.uint8)
    for channel in range(channels):
        top, bottom = (  # the line is two pixels thick, or as high as it spans
            np.rint((lane - 4) * (1 - end[:, np.newaxis, :, channel])) + 1 for end in (high, low)
        )
        place = ink[:, channel * lanes // channels * lane :][:, :lane]
        place[(rows >= top) & (rows <= bottom + 1)] = 255
    return ink


def _envelope(values: Array, block: int, wide: int) -> tuple[Array, Array]:
    """Between what values a line passes each column of pixels, `(num_probes, width, channels)`."""
    steps = values.shape[1]
    if block > 1:
        starts = np.arange(0, steps, block)
        ends = np.append(starts[1:] + 1, steps)  # one more, so that neighbours meet
        low, high = (
            np.stack(
                [part(values[:, a:b], axis=1) for a, b in zip(starts, ends, strict=True)], axis=1
            )
            for part in (np.min, np.max)
        )
        return low.repeat(wide, axis=1), high.repeat(wide, axis=1)
    # The line at the left, the middle and the right of each column; a step is in its middle.
    place = (np.arange(2 * steps * wide + 1) / (2 * wide) - 0.5).clip(0, steps - 1)
    before = np.minimum(place.astype(int), max(0, steps - 2))
    part = (place - before)[:, np.newaxis]
    after = np.minimum(before + 1, steps - 1)
    line = values[:, before] * (1 - part) + values[:, after] * part
    around = np.stack([line[:, :-1:2], line[:, 1::2], line[:, 2::2]])
    return around.min(axis=0), around.max(axis=0)


def extremes(maps: Array, at_most: int) -> Array:
    """Of every block of neighbours along the last axis, the value that is farthest from 0.

    Args:
        maps: `(..., places)`.
        at_most: How many blocks there may be.

    Returns:
        `(..., blocks)`; `nan` where a block holds one.
    """
    places = maps.shape[-1]
    block = -(-places // at_most)
    if block == 1:
        return maps
    missing = -places % block
    padding = [*[(0, 0)] * (maps.ndim - 1), (0, missing)]
    blocks = np.pad(maps, padding).reshape(*maps.shape[:-1], -1, block)
    found = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., np.newaxis], axis=-1)
    result: Array = found[..., 0]
    return result


def bars(shares: Array, colors: Array, *, thick: int, length: int, signed: bool = False) -> Array:
    """Bars from the left, the first on top; signed ones from the middle, to the right if positive.

    Args:
        shares: `(num_probes, features)` in 0..1, or -1..1 of signed maps: 1 is a bar that reaches
            the right end.
        colors: uint8 `(num_probes, features, 3)`.
        thick: What each bar takes of the height in pixels, with a gap of 1 below it if thicker
            than 3.
        length: The width in pixels.
        signed: Where bars begin.

    Returns:
        uint8 `(num_probes, features * thick, length, 3)`.
    """
    zero = length // 2 if signed else 0
    ends = zero + np.rint(shares * (length - zero - 1 if signed else length))
    first, last = np.minimum(zero, ends), np.maximum(zero, ends)
    pixels = np.arange(length)
    inside = (pixels >= first[..., np.newaxis]) & (pixels < last[..., np.newaxis])
    if signed:
        inside |= pixels == zero  # the axis, in the bars' colour
    rows = np.where(inside[..., np.newaxis], colors[:, :, np.newaxis], np.uint8(PAPER))
    picture = stretched(rows, thick, 1)
    if thick > 3:
        picture[:, thick - 1 :: thick] = PAPER
    return picture


def upright(pictures: Array) -> Array:
    """Bars from the bottom instead of from the left, the first at the left."""
    return pictures.swapaxes(1, 2)[:, ::-1]


def labels(texts: Sequence[Sequence[str]], width: int) -> Array:
    """Lines of text, one below the other, cut off at a width.

    Args:
        texts: The lines of each probe, as many for all.
        width: In pixels.

    Returns:
        Ink, `(num_probes, lines * LINE, width)`.
    """
    ink = np.zeros((len(texts), len(texts[0]) * layouts.LINE, width), np.uint8)
    for page, written in zip(ink, texts, strict=True):
        for number, text in enumerate(written):
            text_ink = layouts.coverage(text, width)
            page[number * layouts.LINE :][: layouts.LINE, : text_ink.shape[1]] = text_ink
    return ink


def words(texts: Sequence[Sequence[str]], *, width: int, max_lines: int) -> tuple[Array, Array]:
    """Words in lines, as text is set; those that find no place are counted at the end.

    Args:
        texts: The words of each probe.
        width: What no line is longer than, in pixels.
        max_lines: How many lines there may be.

    Returns:
        ink: `(num_probes, height, width)`, as high as the longest text.
        places: int of that shape, which word a pixel belongs to; -1 for none.
    """
    pitch = layouts.LINE + _SPACE
    texts_ink = {text: layouts.coverage(text, width) for written in texts for text in written}
    pages = []
    for written in texts:
        widths = [texts_ink[text].shape[1] for text in written]
        pages.append(_set(written, widths, width, max_lines))
    height = pitch * max(1 + line for page in pages for _, line, _, _ in page) - _SPACE
    ink = np.zeros((len(texts), height, width), np.uint8)
    places = np.full(ink.shape, -1, np.int32)
    for probe, page in enumerate(pages):
        for text, line, left, word in page:
            text_ink = texts_ink[text] if word >= 0 else layouts.coverage(text, width)
            down = slice(line * pitch, line * pitch + layouts.LINE)
            right = slice(left, left + text_ink.shape[1])
            ink[probe, down, right] = text_ink
            places[probe, down, right] = word
    return ink, places


def _set(
    texts: Sequence[str], widths: Sequence[int], width: int, max_lines: int
) -> list[tuple[str, int, int, int]]:
    """Text, line, left end and number of each word; the last one may say how many are left out."""
    placed: list[tuple[str, int, int, int]] = []
    line = left = 0
    for word, (text, wide) in enumerate(zip(texts, widths, strict=True)):
        if left and left + wide > width:
            line, left = line + 1, 0
        if line == max_lines:
            break
        placed.append((text, line, left, word))
        left += wide + _SPACE
    while len(placed) < len(texts):
        note = f"… {len(texts) - len(placed)} more"
        if not placed:
            return [(note, 0, 0, -1)]
        _, line, left, word = placed[-1]
        if line < max_lines - 1:
            return [*placed, (note, line + 1, 0, -1)]
        left += widths[word] + _SPACE
        if left + layouts.coverage(note, width).shape[1] <= width:
            return [*placed, (note, line, left, -1)]
        placed.pop()
    return placed


def on_places(colors: Array, places: Array) -> Array:
    """Every word's place in its colour, the rest empty.

    Args:
        colors: uint8 `(num_probes, words, 3)`.
        places: As `words` gives them.
    """
    empty = np.full((1, 3), PAPER, np.uint8)
    picture = np.empty((*places.shape, 3), np.uint8)
    for page, own, place in zip(picture, colors, places, strict=True):
        np.concatenate([own, empty]).take(place, axis=0, out=page, mode="wrap")  # -1: the last
    return picture


def cells(colors: Array, *, height: int, width: int) -> Array:
    """Colours as equal cells in lines from left to right, as large as they find room.

    Args:
        colors: uint8 `(num_probes, places, 3)`, not more than there are pixels.
        height: Of the picture.
        width: Of the picture.
    """
    places = colors.shape[1]
    layouts = [(rows, -(-places // rows)) for rows in range(1, min(places, height) + 1)]
    rows, columns = max(layouts, key=lambda layout: min(height // layout[0], width // layout[1]))
    tall, wide = height // rows, width // columns
    table = np.full((len(colors), rows * columns, 3), PAPER, np.uint8)
    table[:, :places] = colors
    lines = stretched(table.reshape(len(colors), rows, columns, 3), tall, wide)
    if min(tall, wide) > 3:
        lines[:, tall - 1 :: tall] = lines[:, :, wide - 1 :: wide] = PAPER
    picture = np.full((len(colors), height, width, 3), PAPER, np.uint8)
    picture[:, : lines.shape[1], : lines.shape[2]] = lines
    return picture


def montage(slices: Array, *, gap: int, paper: int = PAPER) -> Array:
    """The slices of volumes side by side, in lines, with gaps.

    Args:
        slices: `(num_probes, slices, height, width, channels)`, such as colours.
        gap: In pixels.
        paper: What stands in the gaps.
    """
    probes, number, height, width, channels = slices.shape
    columns = montage_columns(number)
    rows = -(-number // columns)
    shape = probes, rows * (height + gap) - gap, columns * (width + gap) - gap, channels
    picture = np.full(shape, paper, slices.dtype)
    for index in range(number):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        picture[:, top : top + height, left : left + width] = slices[:, index]
    return picture


def montage_columns(number: int) -> int:
    """How many slices lie in a line: as many as there are lines, or one more."""
    return int(np.ceil(np.sqrt(number)))
