"""What the image sets and the cues draw with.

An image is float `(side, side, channels)` in 0..1, a mask is bool `(side, side)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Array = np.ndarray[Any, np.dtype[Any]]
Rng = np.random.Generator
Drawn = tuple[Array, Array | None]
"""An image, and where its object is; `None` if no object is set apart from the rest."""
Drawer = Callable[[Rng, int], Drawn]
"""Draws one image of a class."""


def canvas(side: int, fill: int = 0) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An image of one grey, and a pen for it."""
    image = Image.new("L", (side, side), fill)
    return image, ImageDraw.Draw(image)


def pixels(image: Image.Image) -> Array:
    """A picture of Pillow in 0..1: `(side, side)` or `(side, side, 3)`."""
    return np.asarray(image, np.float32) / 255


def grey(image: Image.Image) -> Array:
    """A grey picture of Pillow as an image of one channel."""
    return pixels(image)[..., np.newaxis]


def noise(rng: Rng, level: float, side: int, channels: int = 1) -> Array:
    """Noise of this standard deviation, for a whole image."""
    return rng.normal(0, level, (side, side, channels))


def clouds(rng: Rng, side: int, scale: float, channels: int = 1) -> Array:
    """Smooth noise of mean 0 and standard deviation 1, for a whole image."""
    rough = rng.normal(size=(side, side, channels))
    smooth = ndimage.gaussian_filter(rough, (scale, scale, 0))
    return (smooth - smooth.mean()) / (smooth.std() + 1e-9)


def turned(side: int, angle: float) -> Array:
    """How far each pixel is along a direction, `(side, side)`."""
    down, across = np.mgrid[:side, :side]
    return np.cos(angle) * down + np.sin(angle) * across


def distance(side: int, centre: Array) -> Array:
    """How far each pixel is from a place (down, across), `(side, side)`."""
    down, across = np.mgrid[:side, :side]
    return np.hypot(down - centre[0], across - centre[1])


@cache
def photographs() -> tuple[Array, ...]:
    """Four colour photographs that scikit-image ships: a cat, a cup, a rocket, a face."""
    from skimage import data

    return data.chelsea(), data.coffee(), data.rocket(), data.astronaut()


def crop(rng: Rng, which: int, size: int, shape: tuple[int, int, int]) -> Array:
    """A square of a photograph, from anywhere in it, scaled to a shape."""
    photograph = photographs()[which]
    top, left = rng.integers(photograph.shape[0] - size), rng.integers(photograph.shape[1] - size)
    square = Image.fromarray(photograph[top : top + size, left : left + size])
    scaled = pixels(square.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return scaled if shape[2] == 3 else scaled.mean(-1, keepdims=True)


def any_crop(rng: Rng, side: int, channels: int = 3) -> Array:
    """A square of any size from any of the photographs."""
    which, size = int(rng.integers(4)), int(rng.integers(90, 250))
    return crop(rng, which, size, (side, side, channels))
