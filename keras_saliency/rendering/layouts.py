"""Layouts: arranges pictures on sheets, adds captions, and encodes the result.

All pictures here are uint8 RGB, `(height, width, 3)`, and all sizes are in pixels. Text is drawn
with the font that comes with matplotlib, so that a sheet is the same on every machine.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib.image
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
    """One line of a caption; `wrong` lines are shown in a warning colour."""

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
    """Whether the font has all characters: Latin, Greek and Cyrillic, but not Chinese or Thai."""
    return all(ord(character) in _characters() or character.isspace() for character in text)


def _length(text: str) -> int:
    """The width of a text without line breaks, in pixels."""
    return int(_font().getlength(text))


@lru_cache(maxsize=4096)
def fitted(text: str, width: int) -> str:
    """The text; if it is wider than `width` pixels, its start and an ellipsis."""
    text = " ".join(text.split())  # one line
    if _length(text) <= width:
        return text
    kept = text
    while kept and _length(kept + "…") > width:
        kept = kept[:-1]
    return kept + "…"


@lru_cache(maxsize=1024)
def coverage(text: str, width: int) -> Array:
    """How much of each pixel a line of text covers: uint8 `(LINE, text_width)`.

    Text that is wider than `width` pixels is cut off.
    """
    text = fitted(text, width - 2)
    image = Image.new("L", (min(width, _length(text) + 3), LINE), 0)
    ImageDraw.Draw(image).text((1, 0), text, font=_font(), fill=255)
    return np.asarray(image)


@lru_cache(maxsize=2)
def _inks(wrong: bool) -> Array:
    """The colours from the background (index 0) to the text (255): uint8 `(256, 3)`."""
    covered = np.linspace(0, 1, 256)[:, np.newaxis]
    color = np.array(WRONG if wrong else TEXT)
    inks: Array = (BACKGROUND * (1 - covered) + color * covered + 0.5).astype(np.uint8)
    return inks


def draw_line(picture: Array, top: int, left: int, width: int, line: Line) -> None:
    """Draws one line of text, in place; it is cut off at `width` pixels."""
    text = _inks(line.wrong).take(coverage(line.text, width), axis=0)
    place = picture[top : top + LINE, left : left + text.shape[1]]
    place[:] = text[: place.shape[0], : place.shape[1]]


def beside(panels: Sequence[Array]) -> Array:
    """Arranges pictures of the same height side by side, with gaps."""
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
    """Adds empty space below and to the right, up to at least `height` x `width`."""
    if picture.shape[0] >= height and picture.shape[1] >= width:
        return picture
    sheet = blank(max(height, picture.shape[0]), max(width, picture.shape[1]))
    sheet[: picture.shape[0], : picture.shape[1]] = picture
    return sheet


def captioned(picture: Array, lines: Sequence[Line], *, min_width: int = 0) -> Array:
    """Adds lines of text below a picture, and space at the right up to `min_width`."""
    picture = padded(picture, 0, min_width)
    height, width, _ = picture.shape
    sheet = blank(height + LINE * len(lines) + 2, width)
    sheet[:height] = picture
    for number, line in enumerate(lines):
        draw_line(sheet, height + 1 + LINE * number, 0, width, line)
    return sheet


def grid(cells: Sequence[Sequence[Array | None]]) -> Array:
    """Arranges pictures of the same size in rows; `None` leaves a cell empty."""
    first = next(cell for row in cells for cell in row if cell is not None)
    height, width = first.shape[0] + GAP, first.shape[1] + GAP
    sheet = blank(height * len(cells) - GAP, width * max(len(row) for row in cells) - GAP)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell is not None:
                sheet[y * height :, x * width :][: cell.shape[0], : cell.shape[1]] = cell
    return sheet


def stacked(pictures: Sequence[Array]) -> Array:
    """Arranges pictures of any size below each other."""
    width = max(picture.shape[1] for picture in pictures)
    gap = blank(GAP, width)
    rows = [row for picture in pictures for row in (padded(picture, 0, width), gap)]
    return np.concatenate(rows[:-1])


def contact_sheet(pictures: Sequence[Array]) -> Array:
    """Arranges pictures of the same size in a grid that is about twice as wide as high."""
    columns = _columns(len(pictures), *pictures[0].shape[:2])
    return grid([pictures[start : start + columns] for start in range(0, len(pictures), columns)])


def _columns(count: int, height: int, width: int) -> int:
    """The number of pictures in a row, for a sheet that is about twice as wide as high."""
    columns: float = (2 * count * height / width) ** 0.5
    return max(1, min(count, round(columns)))


def sections(title: str, parts: Sequence[tuple[str, Sequence[Array]]]) -> Array:
    """Arranges pictures of the same size in groups, each with a heading.

    The rows are as long as those of a contact sheet of all pictures.

    Args:
        title: The first line.
        parts: The heading and the pictures of each group.
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
    """Arranges pictures in a table with names: a row for each probe, a column for each evaluation.

    Args:
        rows: The name and the pictures of each row. All pictures have the same size.
        columns: The names of the columns.
    """
    strip = grid([pictures for _, pictures in rows])
    height, width, _ = rows[0][1][0].shape
    label = min(160, 8 + max(_length(fitted(name, 160)) for name, _ in rows))
    sheet = blank(strip.shape[0] + LINE + GAP, label + strip.shape[1])
    sheet[LINE + GAP :, label:] = strip
    for x, name in enumerate(columns):
        draw_line(sheet, 0, label + x * (width + GAP), width, Line(name))
    for y, (name, _) in enumerate(rows):
        middle = LINE + GAP + y * (height + GAP) + (height - LINE) // 2
        draw_line(sheet, max(0, middle), 0, label - 4, Line(name))
    return sheet


def encoded(picture: Array, *, lossless: bool) -> bytes:
    """Encodes a picture as PNG if `lossless`, otherwise as JPEG with full colour resolution."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if lossless:
        image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_FIXED)  # the fastest
    else:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def embedded(picture: Array, file_format: str) -> bytes:
    """Encodes a picture as a document of one page: `"pdf"` or `"svg"`."""
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, picture, format=file_format)
    return buffer.getvalue()
