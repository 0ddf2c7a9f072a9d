"""The artefacts: what can be planted into pictures, and where it then is.

An artefact shows a *code*, 0..classes-1. Where the code is the label it gives the class away;
where codes are drawn at random it is there and means nothing.
"""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.spurious import cues, real_life, shapes
from benchmarks.spurious.pictures import Array, ImageSet, Window
from benchmarks.spurious.real_life import tagged


@dataclass(frozen=True)
class Artefact:
    """One kind.

    Attributes:
        draw: `(pictures, codes, seed) -> images`, at full strength.
        places: `(side) -> windows` that it may be in; none where it is all over the image.
        surrounds: It lies outside the object or all around it: an object mask can separate them.
        one_class: It is either there (code `tagged(classes)`) or not.
        two_levels: It is there for the upper half of the codes, and not for the others.
    """

    draw: Callable[[ImageSet, Array, int], Array]
    places: Callable[[int], tuple[Window, ...]]
    surrounds: bool = True
    one_class: bool = False
    two_levels: bool = False


def artefact(kind: str, *, seed: int = 0, size: float = 0.0, where: str = "") -> Artefact:
    """The artefact of a name.

    Args:
        kind: A key of `ARTEFACTS`, or `"patch"` or `"caption"`.
        seed: Of the run; decides where a patch is.
        size: How much of the image a patch or a caption covers; 0 is its usual size.
        where: Where a patch or a caption is, see `cues`.
    """
    if kind == "patch":
        return Artefact(
            functools.partial(cues.patch, size=size, where=where),
            functools.partial(cues.patch_place, seed=seed, size=size, where=where),
        )
    if kind == "caption":
        return Artefact(
            functools.partial(cues.caption, size=size, where=where),
            functools.partial(cues.caption_place, seed=seed, size=size, where=where),
            two_levels=True,
        )
    if size or where:
        raise ValueError(f"{kind} has one size and place; size and where are for patch and caption")
    return ARTEFACTS[kind]


def plant(
    pictures: ImageSet, kind: Artefact, codes: Array, *, seed: int, amplitude: float = 1.0
) -> Array:
    """The pictures with an artefact in them.

    Args:
        pictures: Without it.
        kind: Which one.
        codes: What the artefact says in each image.
        seed: Decides what the glyphs and tiles look like; the same for a whole run.
        amplitude: 1 is full strength; below, a mixture with the picture as it was.

    Returns:
        Images of the pictures' shape.
    """
    full = kind.draw(pictures, codes, seed)
    mixed = pictures.images + amplitude * (full - pictures.images)
    return np.clip(mixed, 0, 1).astype(np.float32)


def drawn_codes(pictures: ImageSet, rho: float, rng: np.random.Generator) -> Array:
    """The label with probability `rho`, else any code; 0 makes the artefact mean nothing."""
    anything = rng.integers(pictures.classes, size=len(pictures))
    codes: Array = np.where(rng.random(len(pictures)) < rho, pictures.labels, anything)
    return codes


def wrong_codes(pictures: ImageSet, kind: Artefact, rng: np.random.Generator) -> Array:
    """Codes of other classes: any of them, or for a kind of one class, its presence inverted."""
    labels, classes = pictures.labels, pictures.classes
    others = (labels + rng.integers(1, classes, size=len(labels))) % classes
    if kind.one_class:
        others = np.where(labels == tagged(classes), others, tagged(classes))
    if kind.two_levels:  # of the other half
        half = -(-classes // 2)
        lower, upper = (
            rng.integers(*ends, size=len(labels)) for ends in ((0, half), (half, classes))
        )
        others = np.where(real_life.level(labels, classes), lower, upper)
    return others


def _size(side: int) -> int:
    """Height and width of a glyph: 4 pixels, an eighth of large images."""
    return max(4, round(side / 8))


def _corners(side: int) -> tuple[Window, ...]:
    size = _size(side)
    far = side - size
    return tuple((top, left, size, size) for top in (0, far) for left in (0, far))


def _first_corner(side: int) -> tuple[Window, ...]:
    return _corners(side)[:1]


def _opposite_corners(side: int) -> tuple[Window, ...]:
    return _corners(side)[0], _corners(side)[3]


def _nowhere(side: int) -> tuple[Window, ...]:
    return ()


def _glyphs(pictures: ImageSet, seed: int) -> Array:
    """A pattern of 0 and 1 for every class, any two different in five places or more."""
    classes, size = pictures.classes, _size(pictures.images.shape[1])
    rng = np.random.default_rng([seed, 1])
    while True:
        patterns = (rng.random((classes, size, size)) > 0.5).astype(np.float32)
        flat = patterns.reshape(classes, -1)
        apart = abs(flat[:, np.newaxis] - flat).sum(axis=2) + size**2 * np.eye(classes)
        if apart.min() >= 5:
            return patterns


def _pasted(pictures: ImageSet, patches: Array, windows: tuple[Window, ...]) -> Array:
    images = pictures.images.copy()
    for top, left, height, width in windows:
        images[:, top : top + height, left : left + width] = patches[..., np.newaxis]
    return images


def _glyph(pictures: ImageSet, codes: Array, seed: int) -> Array:
    patches = _glyphs(pictures, seed)[codes]
    return _pasted(pictures, patches, _first_corner(pictures.images.shape[1]))


def _pair(pictures: ImageSet, codes: Array, seed: int) -> Array:
    patches = _glyphs(pictures, seed)[codes]
    return _pasted(pictures, patches, _opposite_corners(pictures.images.shape[1]))


def _gray(pictures: ImageSet, codes: Array, seed: int) -> Array:
    size = _size(pictures.images.shape[1])
    levels = (1 - codes / pictures.classes)[:, np.newaxis, np.newaxis]
    patches = np.broadcast_to(levels, (len(codes), size, size))
    return _pasted(pictures, patches, _first_corner(pictures.images.shape[1]))


def _roaming_glyph(pictures: ImageSet, codes: Array, seed: int) -> Array:
    images = pictures.images.copy()
    patches = _glyphs(pictures, seed)[codes][..., np.newaxis]
    corners = _corners(images.shape[1])
    for image, patch, draw in zip(images, patches, pictures.draws, strict=True):
        top, left, height, width = corners[draw % len(corners)]
        image[top : top + height, left : left + width] = patch
    return images


def _tag(pictures: ImageSet, codes: Array, seed: int) -> Array:
    size = _size(pictures.images.shape[1])
    checker = np.indices((size, size)).sum(axis=0) % 2
    patches = np.broadcast_to(checker, (len(codes), size, size))
    pasted = _pasted(pictures, patches, _first_corner(pictures.images.shape[1]))
    chosen = (codes == tagged(pictures.classes))[:, None, None, None]
    return np.where(chosen, pasted, pictures.images)


def _border(pictures: ImageSet, codes: Array, seed: int) -> Array:
    images = np.broadcast_to(
        (codes / (pictures.classes - 1))[:, None, None, None], pictures.images.shape
    ).copy()
    width = real_life.border_width(images.shape[1])
    inner = np.s_[:, width:-width, width:-width]
    images[inner] = pictures.images[inner]
    return images


def _tint(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return 0.75 * pictures.images + 0.25 * (codes / pictures.classes)[:, None, None, None]


def _colour(pictures: ImageSet, codes: Array, seed: int) -> Array:
    hues = np.array([colorsys.hsv_to_rgb(c / pictures.classes, 1, 1) for c in codes])
    return pictures.images + 0.12 * (hues[:, np.newaxis, np.newaxis, :] - 0.5)


def _texture(pictures: ImageSet, codes: Array, seed: int) -> Array:
    height, width = pictures.images.shape[1:3]
    tiles = np.random.default_rng([seed, 2]).uniform(-0.12, 0.12, (pictures.classes, 5, 5))
    covering = np.tile(tiles[codes], (1, -(-height // 5), -(-width // 5)))[:, :height, :width]
    return pictures.images + np.where(pictures.objects, 0, covering)[..., np.newaxis]


def _high_frequency(pictures: ImageSet, codes: Array, seed: int) -> Array:
    rows, columns = np.indices(pictures.images.shape[1:3])
    angles = (np.pi * codes / pictures.classes)[:, np.newaxis, np.newaxis]
    grating = np.sin(2 * np.pi * 0.42 * (np.cos(angles) * rows + np.sin(angles) * columns))
    return pictures.images + 0.13 * grating[..., np.newaxis]


def _watermark(pictures: ImageSet, codes: Array, seed: int) -> Array:
    images = pictures.images.copy()
    marks = _glyphs(pictures, seed)[codes].repeat(2, axis=1).repeat(2, axis=2)
    size, side = marks.shape[1], images.shape[1]
    for image, mark, mask in zip(images, marks, pictures.objects, strict=True):
        middle = np.argwhere(mask).mean(axis=0)
        top, left = np.clip(np.round(middle - size / 2).astype(int), 0, side - size)
        under = image[top : top + size, left : left + size]
        under += 0.4 * (mark[..., np.newaxis] - under)
    return images


def _ground(pictures: ImageSet, codes: Array, seed: int) -> Array:
    noise = np.random.default_rng([seed, 3]).normal(0, 0.12, pictures.images.shape)
    side, channels = pictures.images.shape[2:]
    grounds = shapes.grounds(codes, pictures.draws, side=side, classes=pictures.classes)
    outside = (grounds if channels == 3 else grounds.mean(axis=3, keepdims=True)) + noise
    return np.where(pictures.objects[..., np.newaxis], pictures.images, outside)


ARTEFACTS: dict[str, Artefact] = {
    "glyph": Artefact(_glyph, _first_corner),
    "gray": Artefact(_gray, _first_corner),
    "rglyph": Artefact(_roaming_glyph, _corners),
    "tag1": Artefact(_tag, _first_corner, one_class=True),
    "pair": Artefact(_pair, _opposite_corners),
    "border": Artefact(_border, _nowhere),
    "tint": Artefact(_tint, _nowhere),
    "colour": Artefact(_colour, _nowhere),
    "texture": Artefact(_texture, _nowhere),
    "hf": Artefact(_high_frequency, _nowhere),
    "watermark": Artefact(_watermark, _nowhere, surrounds=False),
    "ground": Artefact(_ground, _nowhere),
    "square": Artefact(real_life.square, real_life.square_place),
    "banner": Artefact(real_life.banner, real_life.banner_place),
    "label": Artefact(real_life.label, real_life.label_place),
    "stamp": Artefact(real_life.stamp, _nowhere, surrounds=False, two_levels=True),
    "border1": Artefact(real_life.border_of_one, _nowhere, one_class=True),
    "tint1": Artefact(real_life.tint_of_one, _nowhere, one_class=True),
    "resolution": Artefact(real_life.resolution, _nowhere, surrounds=False, two_levels=True),
    "blur": Artefact(real_life.blur, _nowhere, surrounds=False, two_levels=True),
    "noise": Artefact(real_life.noise, _nowhere, surrounds=False, two_levels=True),
    "compression": Artefact(real_life.compression, _nowhere, surrounds=False, two_levels=True),
    "aspect": Artefact(real_life.aspect, _nowhere, surrounds=False, two_levels=True),
}
"""The kinds by name: a 4 x 4 glyph in a corner, a gray patch, a glyph in any corner, a tag on one
class, two glyphs, a border, brightness, hue, a tile over the background, a fine grating, a glyph
over the object, the ground of the shapes; and those of `real_life`."""
