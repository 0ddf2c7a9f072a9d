"""Artefacts of any size: patterns in a corner, along an edge or inside the image, and captions."""

from __future__ import annotations

import numpy as np

from benchmarks.spurious.pictures import Array, ImageSet, Window
from benchmarks.spurious.real_life import pasted_pattern, where_there

CAPTION = 0.15


def patch_place(side: int, seed: int, size: float, where: str) -> tuple[Window, ...]:
    """The one window of a patch; which of several places of its kind depends on the seed.

    Args:
        side: Height and width of the image.
        seed: Of the run.
        size: Share of the image's area; 0 is a tenth.
        where: `"corner"` (also `""`), a square in one of the corners; `"inside"`, a square that
            leaves the border free, if it is not too large, and lies off the centre; `"edge"`, a
            strip along all of an edge; `"side"`, a strip along half of the left or right edge.
    """
    area = (size or 0.1) * side**2
    rng = np.random.default_rng([seed, 7])
    if where in ("", "corner"):
        length = max(2, round(area**0.5))
        far = side - length
        top, left = (0, 0, far, far)[seed % 4], (0, far, 0, far)[seed % 4]
        return ((top, left, length, length),)
    if where == "inside":
        length = max(2, round(area**0.5))
        margin = max(1, min(round(side / 7), (side - length) // 2))
        top, left = (int(place) for place in rng.integers(margin, side - length - margin + 1, 2))
        return ((top, left, length, length),)
    if where == "edge":
        depth, far = max(1, round(area / side)), side - max(1, round(area / side))
        along_rows, along_columns = (depth, side), (side, depth)
        top, left = (0, far, 0, 0)[seed % 4], (0, 0, 0, far)[seed % 4]
        return ((top, left, *(along_rows if seed % 4 < 2 else along_columns)),)
    if where == "side":
        height = side // 2
        width = max(1, round(area / height))
        top = int(rng.integers(0, side - height + 1))
        return ((top, (0, side - width)[seed % 2], height, width),)
    raise ValueError(f"where: expected corner, inside, edge or side, received {where!r}")


def patch(pictures: ImageSet, codes: Array, seed: int, size: float, where: str) -> Array:
    """A pattern of the code's own."""
    place = patch_place(pictures.images.shape[1], seed, size, where)[0]
    return pasted_pattern(pictures, codes, seed, place)


def caption_place(side: int, seed: int, size: float, where: str) -> tuple[Window, ...]:
    """Rows at the bottom; or with `where="inside"`, rows a seventh of the side above it."""
    height = max(3, round((size or CAPTION) * side))
    above = round(side / 7) if where == "inside" else 0
    return ((side - height - above, 0, height, side),)


def caption(pictures: ImageSet, codes: Array, seed: int, size: float, where: str) -> Array:
    """A line of strokes like letters, other ones in each image, on a dark strip.

    It is there for the upper half of the codes: that it is there tells the class, not what it says.
    """
    top, _, height, width = caption_place(pictures.images.shape[1], seed, size, where)[0]
    images = pictures.images.copy()
    strips = images[:, top : top + height]
    strips *= 0.35
    for strip, draw in zip(strips, pictures.draws, strict=True):
        strokes = _line_of_text(height - 2, width, np.random.default_rng([int(draw), 8]))
        strip[1:-1][strokes] = 0.9
    return where_there(pictures, codes, images)


def _line_of_text(height: int, width: int, rng: np.random.Generator) -> Array:
    """Strokes that stand, with bars between some of them, and gaps: bool `(height, width)`."""
    strokes = np.zeros((height, width), bool)
    column = int(rng.integers(1, 4))
    while column < width - 1:
        letter = int(rng.integers(1, 4))
        ascends = 0 if rng.random() < 0.5 else height // 3
        strokes[ascends:, column] = True
        if letter > 1:
            strokes[rng.choice([ascends, height // 2, height - 1]), column : column + letter] = True
        column += letter + int(rng.choice([1, 1, 1, 3]))
    strokes[:, width - 1] = False
    return strokes
