"""Artefacts that real data carry: large ones, ones without a place, ones of one class.

Where the artefact can only be there or not (`levels`), it is there for the upper half of the codes.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.spurious.pictures import Array, ImageSet, Window

TAGGED = 3  # the class that carries an artefact of one class; the last one of fewer classes


def level(codes: Array, classes: int) -> Array:
    """Whether an artefact with two levels is there: for the upper half of the codes."""
    is_there: Array = codes >= classes / 2
    return is_there


def tagged(classes: int) -> int:
    """The class that an artefact of one class is put on."""
    return min(TAGGED, classes - 1)


def _banner(side: int) -> int:
    """Rows of a banner, columns of a label: 4, an eighth of large images."""
    return max(4, round(side / 8))


def square_place(side: int) -> tuple[Window, ...]:
    """A square in a corner, a tenth of the image."""
    size = round(side * 0.1**0.5)
    return ((0, 0, size, size),)


def banner_place(side: int) -> tuple[Window, ...]:
    """Rows along the top."""
    return ((0, 0, _banner(side), side),)


def label_place(side: int) -> tuple[Window, ...]:
    """A label at the right side."""
    height = side // 2
    return (((side - height) // 2, side - _banner(side), height, _banner(side)),)


def _patterns(classes: int, height: int, width: int, seed: int) -> Array:
    """A pattern for every class, no two alike; of cells of two pixels, or one if it is narrow."""
    rng = np.random.default_rng([seed, 4])
    cell = 2 if min(height, width) >= 4 else 1
    shape = -(-height // cell), -(-width // cell)
    cells = rng.random((classes, *shape)) > 0.5
    while len(np.unique(cells.reshape(classes, -1), axis=0)) < classes:
        cells = rng.random((classes, *shape)) > 0.5
    large = cells.repeat(cell, axis=1).repeat(cell, axis=2)
    return large[:, :height, :width].astype(np.float32)


def pasted_pattern(pictures: ImageSet, codes: Array, seed: int, window: Window) -> Array:
    """The pattern of each image's code in the same window of all of them."""
    top, left, height, width = window
    images = pictures.images.copy()
    patterns = _patterns(pictures.classes, height, width, seed)[codes]
    images[:, top : top + height, left : left + width] = patterns[..., np.newaxis]
    return images


def square(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return pasted_pattern(pictures, codes, seed, square_place(pictures.images.shape[1])[0])


def banner(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return pasted_pattern(pictures, codes, seed, banner_place(pictures.images.shape[1])[0])


def label(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return pasted_pattern(pictures, codes, seed, label_place(pictures.images.shape[1])[0])


def stamp_size(side: int) -> tuple[int, int]:
    """Height and width of a stamp: a sixth and a third of the side."""
    return round(side / 6), round(side / 3)


def stamp(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """The same small pattern at a place of each image's own."""
    images = pictures.images.copy()
    height, width = stamp_size(images.shape[1])
    pattern = _patterns(1, height, width, seed)[0][..., np.newaxis]
    free = images.shape[1] - height + 1, images.shape[2] - width + 1
    for image, draw in zip(images, pictures.draws, strict=True):
        top, left = np.random.default_rng([int(draw), 5]).integers(0, free)
        image[top : top + height, left : left + width] = pattern
    return where_there(pictures, codes, images)


def where_there(pictures: ImageSet, codes: Array, changed: Array) -> Array:
    """The changed images for the upper half of the codes, the others as they were."""
    is_there = level(codes, pictures.classes)[:, None, None, None]
    return np.where(is_there, changed, pictures.images)


def resolution(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """As if taken with half the resolution, and enlarged."""
    half = ndimage.zoom(pictures.images, (1, 0.5, 0.5, 1), order=1, grid_mode=True, mode="nearest")
    factors = [new / old for new, old in zip(pictures.images.shape, half.shape, strict=True)]
    large = ndimage.zoom(half, factors, order=1, grid_mode=True, mode="nearest")
    return where_there(pictures, codes, large)


def blur(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return where_there(pictures, codes, ndimage.gaussian_filter(pictures.images, (0, 0.7, 0.7, 0)))


def noise(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """Half as much noise again as the digits have."""
    drawn = np.stack(
        [
            np.random.default_rng([int(draw), 6]).normal(0, 0.12, pictures.images.shape[1:])
            for draw in pictures.draws
        ]
    )
    return where_there(pictures, codes, pictures.images + drawn)


def compression(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """As after JPEG of low quality."""
    changed = np.stack([_compressed(image) for image in pictures.images])
    return where_there(pictures, codes, changed)


def _compressed(image: Array) -> Array:
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        file, "JPEG", quality=15
    )
    read = np.asarray(Image.open(file), np.float32) / 255
    return read.reshape(image.shape)


def aspect(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """A quarter wider, cut to the same size."""
    width = pictures.images.shape[2]
    columns = (np.arange(width) - (width - 1) / 2) / 1.25 + (width - 1) / 2
    left = np.floor(columns).astype(int)
    share = (columns - left).astype(np.float32)[np.newaxis, np.newaxis, :, np.newaxis]
    right = np.minimum(left + 1, width - 1)
    wider = (1 - share) * pictures.images[:, :, left] + share * pictures.images[:, :, right]
    return where_there(pictures, codes, wider)


def border_width(side: int) -> int:
    """Pixels of a drawn border: 2, a sixteenth of large images."""
    return max(2, round(side / 16))


def border_of_one(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """A bright border around one class."""
    width = border_width(pictures.images.shape[1])
    framed = np.ones_like(pictures.images)
    inner = np.s_[:, width:-width, width:-width]
    framed[inner] = pictures.images[inner]
    chosen = (codes == tagged(pictures.classes))[:, None, None, None]
    return np.where(chosen, framed, pictures.images)


def tint_of_one(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """One class is brighter."""
    chosen = (codes == tagged(pictures.classes))[:, None, None, None]
    return np.where(chosen, 0.75 * pictures.images + 0.25, pictures.images)
