"""Colour image sets: each function draws one image of a class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.unseen.drawing import (
    Drawn,
    Rng,
    any_crop,
    canvas,
    clouds,
    distance,
    noise,
    pixels,
)


def lesion(rng: Rng, label: int, side: int = 40) -> Drawn:
    """A mole on skin, nearly centred: round, jagged (class 1) or with blue dots (class 2)."""
    skin = np.array([0.85, 0.65, 0.55]) + rng.normal(0, 0.05, 3)
    image = skin + 0.03 * clouds(rng, side, 4)
    centre = side / 2 + rng.normal(0, 2, 2)
    down, across = np.mgrid[:side, :side]
    angles = np.arctan2(down - centre[0], across - centre[1])
    radius = rng.uniform(7, 11)
    waves = 0.3 * np.sin(5 * angles + rng.uniform(0, 6)) if label == 1 else 0
    mask = distance(side, centre) < radius * (1 + waves)
    soft = ndimage.gaussian_filter(mask.astype(float), 1)[..., np.newaxis]
    mole = np.array([0.45, 0.28, 0.2]) + rng.normal(0, 0.04, 3)
    image = image * (1 - soft) + mole * soft
    if label == 2:
        for _ in range(4):
            top, left = (centre + rng.uniform(-4, 4, 2)).astype(int)
            image[top : top + 2, left : left + 2] = [0.2, 0.2, 0.35]
    return image + noise(rng, 0.02, side, 3), mask


FRUIT = np.array([[0.8, 0.2, 0.2], [0.3, 0.7, 0.2], [0.85, 0.7, 0.2], [0.5, 0.25, 0.6]])


def fruit(rng: Rng, label: int, side: int = 32) -> Drawn:
    """A disk of any size anywhere; its colour is the class."""
    centre = rng.uniform(8, side - 8, 2)
    mask = distance(side, centre) < rng.uniform(4, 9)
    image = 0.5 + 0.12 * clouds(rng, side, 3, 3)
    image[mask] = FRUIT[label] + rng.normal(0, 0.08, 3)
    return image + noise(rng, 0.05, side, 3), mask


def scene(rng: Rng, label: int, side: int = 48, level: float = 0.1) -> Drawn:
    """Sky over ground and on it a disk, a triangle or a box of any colour, half transparent."""
    horizon = int(rng.integers(side // 3, 2 * side // 3))
    image = np.zeros((side, side, 3))
    image[:horizon], image[horizon:] = [0.6, 0.7, 0.85], [0.45, 0.5, 0.35]
    image += 0.06 * clouds(rng, side, 4, 3) + rng.normal(0, 0.03, 3)
    shape, pen = canvas(side)
    (x, y), w = rng.uniform(14, side - 14, 2), rng.uniform(7, 12)
    if label == 0:
        pen.ellipse([x - w, y - w * 0.7, x + w, y + w * 0.7], fill=255)
    elif label == 1:
        corners = [(x - w, y + w * 0.7), (x + w, y + w * 0.7), (x, y - w * 0.9)]
        pen.polygon(corners, fill=255)
    else:
        pen.rectangle([x - w * 0.9, y - w * 0.6, x + w * 0.9, y + w * 0.6], fill=255)
    share = 0.7 * pixels(shape)[..., np.newaxis]
    image = image * (1 - share) + share * rng.uniform(0.2, 0.6, 3)
    return image + level * rng.normal(size=image.shape), share[..., 0] > 0


def lamps(rng: Rng, label: int, side: int = 36) -> Drawn:
    """The panel of a machine; which lamp of the top row is lit is the class, by right."""
    image = np.ones((side, side, 3)) * rng.uniform(0.3, 0.5) + 0.04 * clouds(rng, side, 5, 3)
    for _ in range(4):
        top, left = rng.integers(10, side - 6, 2)
        image[top : top + 5, left : left + 5] = rng.uniform(0.1, 0.9, 3)
    down, across = rng.integers(0, 2, 2)
    left = 6 + label * 9 + across
    image[4 + down : 8 + down, left : left + 4] = [0.9, 0.9, 0.3]
    return image + noise(rng, 0.04, side, 3), None


def sign(rng: Rng, label: int, side: int = 40, level: float = 0.02) -> Drawn:
    """A round traffic sign, cropped to a pixel, before a photograph; the glyph is the class."""
    image = any_crop(rng, side)
    drawn = Image.new("RGB", (side, side))
    pen = ImageDraw.Draw(drawn)
    across, down = map(int, rng.integers(-1, 2, 2))
    left, top, right, bottom = box = [7 + across, 7 + down, 33 + across, 33 + down]
    pen.ellipse(box, fill=(200, 30, 30))
    pen.ellipse([left + 4, top + 4, right - 4, bottom - 4], fill=(240, 240, 240))
    _glyph(pen, label, 20 + across, 20 + down)
    shape, pen = canvas(side)
    pen.ellipse(box, fill=255)
    mask = pixels(shape) > 0
    image[mask] = pixels(drawn)[mask] * rng.uniform(0.7, 1)
    return image + level * rng.normal(size=image.shape), mask


def _glyph(pen: ImageDraw.ImageDraw, label: int, x: int, y: int) -> None:
    """A horizontal bar, a vertical one, or a triangle; class 3 has nothing."""
    black = (20, 20, 20)
    if label == 0:
        pen.rectangle([x - 7, y - 2, x + 7, y + 2], fill=black)
    elif label == 1:
        pen.rectangle([x - 2, y - 7, x + 2, y + 7], fill=black)
    elif label == 2:
        pen.polygon([(x - 6, y + 5), (x + 6, y + 5), (x, y - 7)], fill=black)


def tinted_photo(rng: Rng, label: int, side: int = 72) -> Drawn:
    """A photograph with a square, or (class 1) a disk, of any colour, half transparent."""
    image = any_crop(rng, side)
    shape, pen = canvas(side)
    (x, y), w = rng.uniform(20, side - 20, 2), rng.uniform(11, 17)
    box = [x - w, y - w, x + w, y + w]
    if label:
        pen.ellipse(box, fill=255)
    else:
        pen.rectangle(box, fill=255)
    mask = pixels(shape) > 0
    image[mask] = 0.45 * image[mask] + 0.55 * rng.uniform(0, 1, 3)
    return image, mask
