"""Artefacts that real data carry: large ones, ones without a place, ones of one class.

Where the artefact can only be there or not (`levels`), it is there for the upper half of the codes.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.spurious.pictures import Array, ImageSet

Window = tuple[int, int, int, int]  # top, left, height, width
BANNER = 4
STAMP = (3, 7)


def level(codes: Array, classes: int) -> Array:
    """Whether an artefact with two levels is there: for the upper half of the codes."""
    is_there: Array = codes >= classes / 2
    return is_there


def square_place(side: int) -> tuple[Window, ...]:
    """A square in a corner, a tenth of the image."""
    size = round(side * 0.1**0.5)
    return ((0, 0, size, size),)


def banner_place(side: int) -> tuple[Window, ...]:
    """Rows along the top."""
    return ((0, 0, BANNER, side),)


def label_place(side: int) -> tuple[Window, ...]:
    """A label at the right side."""
    height = side // 2
    return (((side - height) // 2, side - BANNER, height, BANNER),)


def _patterns(classes: int, height: int, width: int, seed: int) -> Array:
    """A pattern of cells of two pixels for every class."""
    rng = np.random.default_rng([seed, 4])
    cells = rng.random((classes, -(-height // 2), -(-width // 2))) > 0.5
    return cells.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width].astype(np.float32)


def _pasted(pictures: ImageSet, codes: Array, seed: int, window: Window) -> Array:
    top, left, height, width = window
    images = pictures.images.copy()
    patterns = _patterns(pictures.classes, height, width, seed)[codes]
    images[:, top : top + height, left : left + width] = patterns[..., np.newaxis]
    return images


def square(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return _pasted(pictures, codes, seed, square_place(pictures.images.shape[1])[0])


def banner(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return _pasted(pictures, codes, seed, banner_place(pictures.images.shape[1])[0])


def label(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return _pasted(pictures, codes, seed, label_place(pictures.images.shape[1])[0])


def stamp(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """A small pattern at a place of each image's own."""
    height, width = STAMP
    images = pictures.images.copy()
    patterns = _patterns(pictures.classes, height, width, seed)[codes][..., np.newaxis]
    free = images.shape[1] - height, images.shape[2] - width
    for image, pattern, draw in zip(images, patterns, pictures.draws, strict=True):
        top, left = np.random.default_rng([int(draw), 5]).integers(0, free)
        image[top : top + height, left : left + width] = pattern
    return images


def _where(pictures: ImageSet, codes: Array, changed: Array) -> Array:
    is_there = level(codes, pictures.classes)[:, None, None, None]
    return np.where(is_there, changed, pictures.images)


def resolution(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """As if taken with half the resolution, and enlarged."""
    half = ndimage.zoom(pictures.images, (1, 0.5, 0.5, 1), order=1, grid_mode=True, mode="nearest")
    factors = [new / old for new, old in zip(pictures.images.shape, half.shape, strict=True)]
    large = ndimage.zoom(half, factors, order=1, grid_mode=True, mode="nearest")
    return _where(pictures, codes, large)


def blur(pictures: ImageSet, codes: Array, seed: int) -> Array:
    return _where(pictures, codes, ndimage.gaussian_filter(pictures.images, (0, 0.7, 0.7, 0)))


def noise(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """Half as much noise again as the digits have."""
    drawn = np.stack(
        [
            np.random.default_rng([int(draw), 6]).normal(0, 0.12, pictures.images.shape[1:])
            for draw in pictures.draws
        ]
    )
    return _where(pictures, codes, pictures.images + drawn)


def compression(pictures: ImageSet, codes: Array, seed: int) -> Array:
    """As after JPEG of low quality."""
    changed = np.stack([_compressed(image) for image in pictures.images])
    return _where(pictures, codes, changed)


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
    return _where(pictures, codes, wider)


def border_of_one(pictures: ImageSet, codes: Array, seed: int, tagged: int = 3) -> Array:
    """A bright border around one class."""
    images = pictures.images.copy()
    chosen = codes == tagged
    inner = images[chosen][:, 2:-2, 2:-2]
    images[chosen] = 1
    framed = images[chosen]
    framed[:, 2:-2, 2:-2] = inner
    images[chosen] = framed
    return images


def tint_of_one(pictures: ImageSet, codes: Array, seed: int, tagged: int = 3) -> Array:
    """One class is brighter."""
    chosen = (codes == tagged)[:, None, None, None]
    return np.where(chosen, 0.75 * pictures.images + 0.25, pictures.images)
