"""Sheets: pictures laid out and captioned, as uint8 RGB, and encoded.

All pictures here are uint8 `(height, width, 3)`. Layout is in pixels; text is drawn with the font
that matplotlib ships, so that a sheet is the same on every machine.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from keras_saliency.data.reports import Array

BACKGROUND = 24  # a gray level
TEXT = (235, 235, 235)
WRONG = (255, 120, 100)
GAP = 4
LINE = 15

_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Line:
    """One line of a caption; `wrong` ones are shown in a warning colour."""

    text: str
    wrong: bool = False


_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), 11)


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    return frozenset(FT2Font(str(_FONT)).get_charmap())


def is_drawable(text: str) -> bool:
    """Whether the font has every character; it has Latin, Greek, Cyrillic, no Chinese or Thai."""
    return all(ord(character) in _characters() or character.isspace() for character in text)


def _length(text: str) -> int:
    """The length of a text without line breaks, in pixels."""
    return int(_font().getlength(text))


@lru_cache(maxsize=4096)
def _fitted(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())  # one line
    if _length(text) <= width:
        return text
    kept = text
    while kept and _length(kept + "…") > width:
        kept = kept[:-1]
    return kept + "…"


@lru_cache(maxsize=1024)
def coverage(text: str, width: int) -> Array:
    """How much of each pixel a line of text covers, cut off: uint8 `(LINE, at most width)`."""
    text = _fitted(text, width - 2)
    image = Image.new("L", (min(width, _length(text) + 3), LINE), 0)
    ImageDraw.Draw(image).text((1, 0), text, font=_font(), fill=255)
    return np.asarray(image)


@lru_cache(maxsize=2)
def _inks(wrong: bool) -> Array:
    """The colours from the background, 0, to the text, 255: uint8 `(256, 3)`."""
    covered = np.linspace(0, 1, 256)[:, np.newaxis]
    color = np.array(WRONG if wrong else TEXT)
    inks: Array = (BACKGROUND * (1 - covered) + color * covered + 0.5).astype(np.uint8)
    return inks


def draw_line(picture: Array, top: int, left: int, width: int, line: Line) -> None:
    """Draws one line of text on the background, in place, cut off at `width` pixels."""
    text = _inks(line.wrong).take(coverage(line.text, width), axis=0)
    place = picture[top : top + LINE, left : left + text.shape[1]]
    place[:] = text[: place.shape[0], : place.shape[1]]


def beside(panels: Sequence[Array]) -> Array:
    """Pictures of one height, side by side, with gaps."""
    height = panels[0].shape[0]
    width = sum(panel.shape[1] for panel in panels) + GAP * (len(panels) - 1)
    sheet = blank(height, width)
    left = 0
    for panel in panels:
        sheet[:, left : left + panel.shape[1]] = panel
        left += panel.shape[1] + GAP
    return sheet


def blank(height: int, width: int) -> Array:
    """An empty sheet."""
    return np.full((height, width, 3), BACKGROUND, np.uint8)


def padded(picture: Array, height: int, width: int) -> Array:
    """A picture with empty space below and to its right, until it is as large as this."""
    if picture.shape[0] >= height and picture.shape[1] >= width:
        return picture
    sheet = blank(max(height, picture.shape[0]), max(width, picture.shape[1]))
    sheet[: picture.shape[0], : picture.shape[1]] = picture
    return sheet


def captioned(picture: Array, lines: Sequence[Line], *, min_width: int = 0) -> Array:
    """A picture, not narrower than `min_width`, with lines of text below it."""
    picture = padded(picture, 0, min_width)
    height, width, _ = picture.shape
    sheet = blank(height + LINE * len(lines) + 2, width)
    sheet[:height] = picture
    for number, line in enumerate(lines):
        draw_line(sheet, height + 1 + LINE * number, 0, width, line)
    return sheet


def grid(cells: Sequence[Sequence[Array | None]]) -> Array:
    """Rows of pictures of one size; `None` leaves a cell empty."""
    first = next(cell for row in cells for cell in row if cell is not None)
    height, width = first.shape[0] + GAP, first.shape[1] + GAP
    sheet = blank(height * len(cells) - GAP, width * max(len(row) for row in cells) - GAP)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell is not None:
                sheet[y * height :, x * width :][: cell.shape[0], : cell.shape[1]] = cell
    return sheet


def stacked(pictures: Sequence[Array]) -> Array:
    """Pictures of any size, one below the other."""
    width = max(picture.shape[1] for picture in pictures)
    gap = blank(GAP, width)
    rows = [row for picture in pictures for row in (padded(picture, 0, width), gap)]
    return np.concatenate(rows[:-1])


def contact_sheet(pictures: Sequence[Array]) -> Array:
    """All pictures, which have one size, in a grid about twice as wide as high."""
    columns = _columns(len(pictures), *pictures[0].shape[:2])
    return grid([pictures[start : start + columns] for start in range(0, len(pictures), columns)])


def _columns(count: int, height: int, width: int) -> int:
    """How many pictures of a size are to lie in a row, for a sheet twice as wide as high."""
    wanted: float = (2 * count * height / width) ** 0.5
    return max(1, min(count, round(wanted)))


def sections(title: str, parts: Sequence[tuple[str, Sequence[Array]]]) -> Array:
    """Pictures of one size in groups, each below a line of text that says what it is.

    The rows are as long as those of a contact sheet of all pictures.

    Args:
        title: The first line.
        parts: Heading and pictures of each group.
    """
    height, width, _ = parts[0][1][0].shape
    columns = _columns(sum(len(pictures) for _, pictures in parts), height, width)
    total = columns * (width + GAP) - GAP
    sheets = [_heading(title, total)]
    for heading, pictures in parts:
        rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
        sheets += [_heading(heading, total), grid(rows)]
    return stacked(sheets)


def _heading(text: str, width: int) -> Array:
    sheet = blank(LINE, width)
    draw_line(sheet, 0, 0, width, Line(text))
    return sheet


def filmstrip(rows: Sequence[tuple[str, Sequence[Array]]], columns: Sequence[str]) -> Array:
    """A row for each probe, a column for each evaluation, all with their names.

    Args:
        rows: Name and pictures, all of one size, as many as `columns`.
        columns: The names of the columns.
    """
    strip = grid([pictures for _, pictures in rows])
    height, width, _ = rows[0][1][0].shape
    label = min(160, 8 + max(_length(_fitted(name, 160)) for name, _ in rows))
    sheet = blank(strip.shape[0] + LINE + GAP, label + strip.shape[1])
    sheet[LINE + GAP :, label:] = strip
    for x, name in enumerate(columns):
        draw_line(sheet, 0, label + x * (width + GAP), width, Line(name))
    for y, (name, _) in enumerate(rows):
        middle = LINE + GAP + y * (height + GAP) + (height - LINE) // 2
        draw_line(sheet, max(0, middle), 0, label - 4, Line(name))
    return sheet


def encoded(picture: Array, *, lossless: bool) -> bytes:
    """A picture as PNG, or as JPEG of quality 90 with full colour resolution."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if lossless:
        image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_FIXED)  # the fastest
    else:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
