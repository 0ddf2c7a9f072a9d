"""Drawings: pictures of inputs that are not images, and of their saliency maps.

A series is drawn as lines on the colours of its steps, features as bars, tokens as words on their
colours, and a volume as a montage of its slices.

Arrays: series are `(num_probes, steps, channels)`, features `(num_probes, features)`, both on any
scale. Pictures are uint8 RGB, `(num_probes, height, width, 3)`, with the same size for all probes.
Ink is uint8: how much of each pixel is covered by lines or text. `heatmaps` turns maps into
colours.
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

MARGIN = 2
"""The number of pixels of paper at the end of the largest bar."""

MAX_LANES = 8
"""The largest number of lanes for the channels of a series."""

LIGHT_INK, DARK_INK = 240, 16
"""The gray levels of ink on dark and on light pixels."""

_BT601 = np.array([0.299, 0.587, 0.114], np.float32)
_SPACE = 3  # pixels between words, and between the lines of text


def inked(pictures: Array, ink: Array) -> Array:
    """Draws ink on pictures, light on dark pixels and dark on light pixels.

    Args:
        pictures: uint8 `(num_probes, height, width, 3)`.
        ink: `(num_probes, height, width)`.
    """
    result = pictures.copy()
    pixels = result.reshape(-1, 3)
    covered = np.flatnonzero(ink)
    below = pixels.take(covered, axis=0).astype(np.float32)
    ink_level = np.where(below @ _BT601 < 128, np.float32(LIGHT_INK), np.float32(DARK_INK))
    opacity = ink.reshape(-1).take(covered).astype(np.float32) / 255
    below += (ink_level[:, np.newaxis] - below) * opacity[:, np.newaxis] + np.float32(0.5)
    pixels[covered] = below
    return result


def with_box(picture: Array, box: Array | None, shape: Sequence[int]) -> Array:
    """Outlines a box on the picture of an image: a light line, with a dark one around it.

    Args:
        picture: uint8 `(height, width, 3)`, the image at any size.
        box: `(4,)`, left, top, right, bottom, in pixels of the image; `None` changes nothing.
        shape: The height and the width of the image.
    """
    if box is None:
        return picture
    sizes = np.array([picture.shape[1], picture.shape[0]])
    scales = sizes / (shape[1], shape[0])
    low = np.minimum(np.rint(box[:2] * scales), sizes - 1).astype(int)
    high = np.maximum(np.rint(box[2:] * scales).astype(int), low + 1)
    result = picture.copy()
    for line, (left, top), (right, bottom) in (
        (DARK_INK, low - 1, high + 1),
        (LIGHT_INK, low, high),
    ):
        columns, rows = (
            slice(max(first, 0), last) for first, last in ((left, right), (top, bottom))
        )
        for row in {top, bottom - 1} & {*range(picture.shape[0])}:
            result[row, columns] = line
        for column in {left, right - 1} & {*range(picture.shape[1])}:
            result[rows, column] = line
    return result


def outline(inside: Array) -> Array:
    """The pixels of areas that touch one outside, or the edge of the picture.

    Args:
        inside: bool `(num_probes, height, width)`.

    Returns:
        bool, same shape.
    """
    padded = np.pad(inside, ((0, 0), (1, 1), (1, 1)))
    height, width = inside.shape[1:]
    inner = inside.copy()
    for top, left in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inner &= padded[:, top : top + height, left : left + width]
    return inside & ~inner


def stretched(pictures: Array, tall: int, wide: int) -> Array:
    """Turns every pixel into a block of `tall` x `wide` pixels."""
    result: Array = pictures.repeat(wide, axis=-2).repeat(tall, axis=-3)
    return result


def spread(values: Array) -> Array:
    """Scales values to 0..1, from the smallest to the largest value in all probes.

    Args:
        values: `(num_probes, ..., columns)`; each column, such as a feature or a channel, is scaled
            by its own range.

    Returns:
        float64, same shape; 0.5 if all values of a column are equal.
    """
    halves = values.astype(np.float64) / 2  # differences of halves cannot overflow
    axes = tuple(range(values.ndim - 1))
    low, high = halves.min(axis=axes), halves.max(axis=axes)
    size = high - low
    result: Array = np.where(size > 0, (halves - low) / np.where(size > 0, size, 1), 0.5)
    return result


def lines(series: Array, *, height: int, block: int = 1, wide: int = 1) -> Array:
    """Draws the channels of a series as lines, each in its own lane, the first on top.

    A lane goes from the smallest to the largest value of its channel in all probes. If there are
    more than `MAX_LANES` channels, they share lanes.

    Args:
        series: `(num_probes, steps, channels)`.
        height: The height of the picture in pixels. A lane is at least a quarter of it, so the
            picture may be higher.
        block: The number of steps in a column. With more than one, the line covers the range of
            their values.
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
        top, bottom = (  # the line is two pixels thick, or as high as its range
            np.rint((lane - 4) * (1 - bound[:, np.newaxis, :, channel])) + 1
            for bound in (high, low)
        )
        place = ink[:, channel * lanes // channels * lane :][:, :lane]
        place[(rows >= top) & (rows <= bottom + 1)] = 255
    return ink


def _envelope(values: Array, block: int, wide: int) -> tuple[Array, Array]:
    """The lowest and highest value of a line by pixel column, `(num_probes, width, channels)`."""
    steps = values.shape[1]
    if block > 1:
        starts = np.arange(0, steps, block)
        stops = np.append(starts[1:] + 1, steps)  # one more step, so that neighbours connect
        low, high = (
            np.stack(
                [bound(values[:, a:b], axis=1) for a, b in zip(starts, stops, strict=True)],
                axis=1,
            )
            for bound in (np.min, np.max)
        )
        return low.repeat(wide, axis=1), high.repeat(wide, axis=1)
    # The line at the left edge, middle and right edge of each pixel column, interpolated between
    # steps; the value of a step is in the middle of its columns.
    position = (np.arange(2 * steps * wide + 1) / (2 * wide) - 0.5).clip(0, steps - 1)
    before = np.minimum(position.astype(int), max(0, steps - 2))
    weight = (position - before)[:, np.newaxis]
    after = np.minimum(before + 1, steps - 1)
    line = values[:, before] * (1 - weight) + values[:, after] * weight
    columns = np.stack([line[:, :-1:2], line[:, 1::2], line[:, 2::2]])
    return columns.min(axis=0), columns.max(axis=0)


def extremes(maps: Array, at_most: int) -> Array:
    """Reduces the last axis in blocks: keeps the value of each block that is farthest from 0.

    Args:
        maps: `(..., places)`.
        at_most: The largest number of blocks.

    Returns:
        `(..., blocks)`; `nan` for blocks that contain `nan`.
    """
    places = maps.shape[-1]
    block = -(-places // at_most)
    if block == 1:
        return maps
    missing = -places % block
    padding = [*[(0, 0)] * (maps.ndim - 1), (0, missing)]
    blocks = np.pad(maps, padding).reshape(*maps.shape[:-1], -1, block)
    farthest = np.abs(blocks).argmax(axis=-1)[..., np.newaxis]
    result: Array = np.take_along_axis(blocks, farthest, axis=-1)[..., 0]
    return result


def bars(shares: Array, colors: Array, *, thick: int, length: int, signed: bool = False) -> Array:
    """Draws horizontal bars, the first on top.

    Above each and at its end there is some paper, so that white bars show on a white page.

    Args:
        shares: The lengths of the bars, `(num_probes, features)` in 0..1, or in -1..1 for signed
            maps. A bar of 1 ends `MARGIN` pixels before the right edge.
        colors: uint8 `(num_probes, features, 3)`.
        thick: The height of each bar in pixels. If it is more than 3, one pixel of it is a gap.
        length: The width of the picture in pixels.
        signed: Whether bars start in the middle, with positive values to the right. If not, they
            start at the left edge.

    Returns:
        uint8 `(num_probes, features * thick, length, 3)`.
    """
    zero = length // 2 if signed else 0
    tips = zero + np.rint(shares * (length - MARGIN - zero - signed))
    start, stop = np.minimum(zero, tips), np.maximum(zero, tips)
    pixels = np.arange(length)
    inside = (pixels >= start[..., np.newaxis]) & (pixels < stop[..., np.newaxis])
    if signed:
        inside |= pixels == zero  # the axis, in the colour of the bars
    rows = np.where(inside[..., np.newaxis], colors[:, :, np.newaxis], np.uint8(PAPER))
    picture = stretched(rows, thick, 1)
    if thick > 3:
        picture[:, ::thick] = PAPER
    return picture


def upright(pictures: Array) -> Array:
    """Turns horizontal bars into vertical ones that start at the bottom, the first at the left."""
    return pictures.swapaxes(1, 2)[:, ::-1]


def labels(texts: Sequence[Sequence[str]], width: int) -> Array:
    """Draws lines of text below each other, cut off at a width.

    Args:
        texts: The lines of each probe; all probes have the same number.
        width: The width in pixels.

    Returns:
        Ink, `(num_probes, lines * LINE, width)`.
    """
    ink = np.zeros((len(texts), len(texts[0]) * layouts.LINE, width), np.uint8)
    for page, page_texts in zip(ink, texts, strict=True):
        for number, text in enumerate(page_texts):
            text_ink = layouts.coverage(text, width)
            page[number * layouts.LINE :][: layouts.LINE, : text_ink.shape[1]] = text_ink
    return ink


def named_values(
    names: Sequence[str], values: Sequence[Sequence[str]], widths: tuple[int, int]
) -> tuple[Array, Array]:
    """Draws lines with a name and a value. Names that are too long are cut off, values are not.

    Args:
        names: The name of each line.
        values: The values of each probe, one per line.
        widths: The smallest and the largest width in pixels.

    Returns:
        Ink `(num_probes, lines * LINE, width)`, and that of the names alone, `(1, ...)`.
    """
    room = max(layouts.coverage(f": {v}", widths[1]).shape[1] for row in values for v in row)
    longest = max(layouts.coverage(name, widths[1]).shape[1] for name in names)
    width = min(max(widths[0], longest + room), widths[1])
    short = [layouts.fitted(name, width - room - 2) for name in names]
    texts = [[f"{name}: {v}" for name, v in zip(short, row, strict=True)] for row in values]
    return labels(texts, width), labels([names], width)


def words(texts: Sequence[Sequence[str]], *, width: int, max_lines: int) -> tuple[Array, Array]:
    """Draws words in lines. If there are too many, a note at the end says how many are missing.

    Args:
        texts: The words of each probe.
        width: The width of a line in pixels.
        max_lines: The largest number of lines.

    Returns:
        ink: `(num_probes, height, width)`, as high as the longest text.
        places: int, same shape: the index of the word that a pixel belongs to, or -1.
    """
    pitch = layouts.LINE + _SPACE
    texts_ink = {text: layouts.coverage(text, width) for page_texts in texts for text in page_texts}
    pages = []
    for page_texts in texts:
        widths = [texts_ink[text].shape[1] for text in page_texts]
        pages.append(_wrapped(page_texts, widths, width, max_lines))
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


def _wrapped(
    texts: Sequence[str], widths: Sequence[int], width: int, max_lines: int
) -> list[tuple[str, int, int, int]]:
    """The text, line, left edge and index of each word; a note about missing words has index -1."""
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
    """Fills the place of every word with its colour and leaves the rest empty.

    Args:
        colors: uint8 `(num_probes, words, 3)`.
        places: As returned by `words`.
    """
    empty = np.full((1, 3), PAPER, np.uint8)
    picture = np.empty((*places.shape, 3), np.uint8)
    for page, page_colors, place in zip(picture, colors, places, strict=True):
        np.concatenate([page_colors, empty]).take(place, axis=0, out=page, mode="wrap")  # -1: empty
    return picture


def cells(colors: Array, *, height: int, width: int) -> Array:
    """Draws colours as equal cells in rows from left to right, as large as possible.

    Args:
        colors: uint8 `(num_probes, places, 3)`, at most one for each pixel.
        height: The height of the picture in pixels.
        width: The width of the picture in pixels.
    """
    places = colors.shape[1]
    tables = [(rows, -(-places // rows)) for rows in range(1, min(places, height) + 1)]
    rows, columns = max(tables, key=lambda table: min(height // table[0], width // table[1]))
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
    """Arranges the slices of volumes in rows, with gaps between them.

    Args:
        slices: `(num_probes, slices, height, width, channels)`, such as colours.
        gap: The width of the gaps in pixels.
        paper: The value in the gaps.
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
    """The number of slices in a row: the number of rows, or one more."""
    return int(np.ceil(np.sqrt(number)))
