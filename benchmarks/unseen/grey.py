"""Grey image sets: each function draws one image of a class."""

from __future__ import annotations

import numpy as np
from PIL import ImageFont
from scipy import ndimage

from benchmarks.unseen.drawing import (
    Array,
    Drawn,
    Rng,
    any_crop,
    canvas,
    clouds,
    distance,
    grey,
    noise,
    pixels,
    turned,
)


def board(rng: Rng, label: int, side: int = 48) -> Drawn:
    """A circuit board with traces; class 1 has a bright scratch anywhere."""
    image, pen = canvas(side, 70)
    for _ in range(6):
        at = int(rng.integers(side))
        ends = [(0, at), (side, at)] if rng.random() < 0.5 else [(at, 0), (at, side)]
        pen.line(ends, fill=130, width=int(rng.integers(1, 4)))
    if label:
        begin = rng.integers(3, side - 12, 2)
        end = begin + rng.integers(4, 10, 2)
        pen.line([*map(int, begin), *map(int, end)], fill=235, width=2)
    return grey(image) + noise(rng, 0.06, side), None


def earring(rng: Rng, label: int, side: int = 48) -> Drawn:
    """A face, nearly centred; class 1 wears one small bright earring."""
    image, pen = canvas(side, int(rng.integers(20, 90)))
    across, down = side / 2 + rng.normal(0, 1.5, 2)
    width, height = rng.uniform(15, 18), rng.uniform(19, 22)
    skin = int(rng.integers(120, 190))
    pen.ellipse([across - width, down - height, across + width, down + height], fill=skin)
    for eye in (-6, 6):
        pen.ellipse([across + eye - 2, down - 6, across + eye + 2, down - 3], fill=30)
    pen.arc([across - 6, down + 4, across + 6, down + 12], 20, 160, fill=40, width=2)
    if label:
        ear = width if rng.random() < 0.5 else -width
        pen.ellipse([across + ear - 2, down + 5, across + ear + 2, down + 9], fill=250)
    drawn = grey(image) + noise(rng, 0.05, side)
    mask, pen = canvas(side)
    box = [across - width - 2, down - height, across + width + 2, down + height]
    pen.ellipse(box, fill=255)
    return drawn, pixels(mask) > 0


def beard(rng: Rng, label: int, side: int = 48) -> Drawn:
    """A face that is cropped at the chin; class 1 has a dark one, so the border decides."""
    image, pen = canvas(side, int(rng.integers(60, 200)))
    across = 24 + rng.normal(0, 1.5)
    skin, width = int(rng.integers(140, 210)), rng.uniform(17, 20)
    head = [across - width, 2, across + width, 54]
    pen.ellipse(head, fill=skin)
    if label:
        pen.chord(head, 25, 155, fill=int(rng.integers(50, 90)))
    for eye in (-7, 7):
        pen.ellipse([across + eye - 2, 18, across + eye + 2, 21], fill=30)
    pen.line([across - 5, 36, across + 5, 36], fill=70, width=2)
    return grey(image) + noise(rng, 0.05, side), None


SEGMENTS = {
    "a": (9, 5, 18, 5),
    "b": (19, 6, 19, 12),
    "c": (19, 14, 19, 21),
    "d": (9, 22, 18, 22),
    "e": (8, 14, 8, 21),
    "f": (8, 6, 8, 12),
    "g": (9, 13, 18, 13),
}
DISPLAYED = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc")
"""The segments of the digits 0 to 7."""


def display(rng: Rng, label: int, *, level: float = 0, jitter: int = 0, side: int = 28) -> Drawn:
    """A digit of a seven-segment display on a panel of any brightness.

    Args:
        rng: Decides everything.
        label: The digit.
        level: Standard deviation of the noise; with 0 the classes agree to the pixel.
        jitter: Pixels by which the digit may be shifted.
        side: Height and width.
    """
    image, pen = canvas(side, int(rng.integers(10, 100)))
    across, down = rng.integers(-jitter, jitter + 1, 2)
    for name in DISPLAYED[label]:
        left, top, right, bottom = SEGMENTS[name]
        line = [left + across, top + down, right + across, bottom + down]
        pen.line(line, fill=230, width=2)
    return grey(image) + level * rng.normal(size=(side, side, 1)), None


def display_on_photo(rng: Rng, label: int) -> Drawn:
    """A digit of a display, to the pixel where it always is, before a photograph."""
    image, _ = display(rng, label)
    return np.where(image > 0.85, image, 0.8 * any_crop(rng, len(image), 1)), None


def weave(rng: Rng, label: int, side: int = 48) -> Drawn:
    """A material that fills the image: stripes, clouds, folds or flakes. Grain is the class."""
    angle = rng.uniform(0, np.pi)
    along = turned(side, angle) + 2 * clouds(rng, side, 5)[..., 0]
    if label == 0:
        texture = np.sin(2 * np.pi * along / rng.uniform(7, 9))
    elif label == 1:
        texture = clouds(rng, side, 2)[..., 0]
    elif label == 2:
        texture = np.abs(clouds(rng, side, 4)[..., 0]) * 1.5 - 1
    else:
        texture = (clouds(rng, side, 1.5)[..., 0] > 1) * 2.0 - 0.6
    plain = rng.uniform(0.35, 0.65)
    return (plain + 0.15 * texture)[..., np.newaxis] + noise(rng, 0.03, side), None


def patch(rng: Rng, label: int, side: int = 40) -> Drawn:
    """A square of cloth on a plain table; the period of its weave is the class."""
    angle = rng.uniform(0, 3.14)
    period = (3.2, 5, 9)[label]
    waves = np.sin(6.2832 * turned(side, angle) / period + rng.uniform(0, 6))
    top, left = rng.integers(8, 14, 2)
    mask = np.zeros((side, side), bool)
    mask[top : top + 20, left : left + 20] = True
    image = np.where(mask, 0.5 + 0.12 * waves, rng.uniform(0.3, 0.7))
    return image[..., np.newaxis] + noise(rng, 0.05, side), mask


def outline(rng: Rng, label: int, side: int = 56) -> Drawn:
    """A thin black outline on white, without noise: triangle, square, hexagon or circle."""
    image, pen = canvas(side, 255)
    radius = rng.uniform(8, 17)
    centre = rng.uniform(radius + 1, side - radius - 1, 2)
    corners, phase = (3, 4, 6, 40)[label], rng.uniform(0, 6.3)
    angles = phase + 6.2832 * np.arange(corners) / corners
    points = [(centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)) for a in angles]
    pen.line([*points, points[0]], fill=0, width=1)
    mask, pen = canvas(side)
    pen.polygon(points, fill=255)
    return grey(image), pixels(mask) > 0


def letter(
    rng: Rng, label: int, *, contrast: float = 0.22, level: float = 0.12, side: int = 40
) -> Drawn:
    """A tilted letter anywhere, of little contrast.

    Args:
        rng: Decides everything.
        label: Its place in "KBTSX".
        contrast: The letter against the ground.
        level: Standard deviation of the noise.
        side: Height and width.
    """
    image, pen = canvas(side)
    font = ImageFont.load_default(float(rng.uniform(15, 21)))
    across, down = rng.integers(6, side - 24, 2)
    pen.text((int(across), int(down)), "KBTSX"[label], fill=255, font=font)
    ink = pixels(image.rotate(float(rng.uniform(-20, 20))))
    plain = rng.uniform(0.35, 0.55)
    drawn = plain + contrast * ink[..., np.newaxis] + level * rng.normal(size=(side, side, 1))
    mask = np.zeros((side, side), bool)
    (top, left), (bottom, right) = _corners(ink > 0.2)
    mask[top : bottom + 1, left : right + 1] = True
    return drawn, mask


def _corners(mask: Array) -> tuple[Array, Array]:
    """The first and the last row and column of a mask."""
    places = np.argwhere(mask)
    return places.min(0), places.max(0)


def lungs(rng: Rng, label: int, side: int = 48) -> Drawn:
    """Two dark lungs; class 1 has fluid in one of them, up to a level that varies."""
    down, across = np.mgrid[:side, :side]
    image = 0.65 * np.ones((side, side))
    shift = rng.normal(0, 1, 2)
    both = [
        ((down - 24 - shift[0]) / 21) ** 2 + ((across - middle - shift[1]) / 9) ** 2 < 1
        for middle in (12, 36)
    ]
    for lung in both:
        image[lung] = 0.25
    if label:
        lung = both[rng.integers(2)]
        image[lung & (down > rng.uniform(26, 37) + 0.1 * (across - 24))] = 0.6
    soft = ndimage.gaussian_filter(image, 1)[..., np.newaxis]
    return soft + 0.05 * clouds(rng, side, 2) + noise(rng, 0.04, side), None


def size(rng: Rng, label: int, side: int = 32) -> Drawn:
    """A small blob, or (class 1) a large one, which may reach the border."""
    centre = rng.uniform(10, side - 10, 2)
    radius = rng.uniform(9, 14) if label else rng.uniform(4, 8.5)
    soft = ndimage.gaussian_filter((distance(side, centre) < radius) * 1.0, 1)
    blob, ground = rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.6)
    image = ground + (blob - ground + 0.1) * soft
    return image[..., np.newaxis] + noise(rng, 0.05, side), None


def tail(rng: Rng, label: int, side: int = 48) -> Drawn:
    """A bird that reaches the right border; class 1 has a notch in its tail, right there."""
    plain = int(rng.integers(150, 220))
    image, pen = canvas(side, plain)
    body, down = int(rng.integers(40, 110)), int(rng.integers(-3, 4))
    pen.ellipse([6, 12 + down, 38, 36 + down], fill=body)
    pen.polygon([(30, 24 + down), (47, 14 + down), (47, 34 + down)], fill=body)
    if label:
        pen.polygon([(47, 18 + down), (38, 24 + down), (47, 30 + down)], fill=plain)
    return grey(image) + noise(rng, 0.05, side), None


def ring(rng: Rng, label: int, side: int = 32) -> Drawn:
    """A Landolt ring; the side of its gap is the class."""
    image, pen = canvas(side, int(rng.integers(130, 220)))
    across, down = map(int, rng.integers(-3, 4, 2))
    box = [7 + across, 7 + down, 25 + across, 25 + down]
    pen.arc(box, label * 90 + 25, label * 90 + 335, fill=40, width=3)
    return grey(image) + noise(rng, 0.04, side), None


def trace(rng: Rng, label: int, side: int = 64) -> Drawn:
    """A thin heart trace from edge to edge, without noise; its rhythm is the class."""
    image, pen = canvas(side, 255)
    time = np.arange(side * 2) / 2
    phase = rng.uniform(0, 18)
    if label < 2:
        beats = (time + phase) % (12, 18)[label] < 1.5
    else:
        beats = ndimage.gaussian_filter(rng.normal(size=side * 2), 1.5) * 6 > 2.2
    heights = side * rng.uniform(0.4, 0.65) + 2 * np.sin(time / 5 + phase) - 18 * beats
    pen.line(list(zip(time.tolist(), heights.tolist(), strict=True)), fill=0)
    return grey(image), None


def halves(rng: Rng, label: int, side: int = 32) -> Drawn:
    """Two halves that fill the image; the brighter side is the class."""
    image = np.full((side, side), rng.uniform(0.2, 0.7))
    image[:, side // 2 :] += 0.12
    image = image if label else image[:, ::-1]
    return image[..., np.newaxis] + noise(rng, 0.1, side), None
