"""Faces drawn from parameters: aligned, centred, and reaching over the edges of the image.

The class is the expression and the glasses, small parts inside the face; or the hair, which
reaches the border, so that the outermost pixels tell the class by right.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.spurious.pictures import Array, ImageSet

CLASSES = 4  # serious, smiling, serious with glasses, smiling with glasses; or four kinds of hair
HAIR = ("bald", "short", "long", "hat")
NUM_IMAGES = 1800
NUM_TRAIN = 1200
PER_CLASS = 18
SIDE = 28
FINE = 4  # faces are drawn this many times larger


def faces(seed: int, *, contrast: float = 0.5, noise: float = 0.12, hair: bool = False) -> ImageSet:
    """Gray portraits of any skin, shape of head, hair, light and ground.

    Args:
        seed: Decides everything.
        contrast: How far eyes, mouth, glasses and hair are from the skin.
        noise: The noise has half this standard deviation.
        hair: Whether the hair is the class, instead of expression and glasses.
    """
    rng = np.random.default_rng([seed, 23])
    labels = rng.integers(CLASSES, size=NUM_IMAGES)
    others = rng.integers(CLASSES, size=NUM_IMAGES)
    looks, cuts = (others, labels) if hair else (labels, others)
    drawn = [
        _face(int(look), HAIR[cut], contrast, rng) for look, cut in zip(looks, cuts, strict=True)
    ]
    clear = np.stack([face for face, _ in drawn])
    images = clear + rng.normal(0, noise / 2, clear.shape)
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32)[..., np.newaxis],
        labels=labels,
        objects=np.stack([mask for _, mask in drawn]),
        draws=rng.integers(2**31, size=NUM_IMAGES),
        classes=CLASSES,
    )


def _face(look: int, hair: str, contrast: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """A portrait `(28, 28)` in 0..1, and where the head, the hair and the shoulders are."""
    skin = rng.uniform(0.4, 0.8)
    ground = rng.uniform(0.15, 0.85)
    canvas = Image.new("F", (FINE * SIDE, FINE * SIDE), ground)
    covered = Image.new("L", canvas.size)
    pens = ImageDraw.Draw(canvas), ImageDraw.Draw(covered)

    def points(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((x + 1) * FINE * SIDE / 2, (y + 1) * FINE * SIDE / 2) for x, y in places]

    def oval(x: float, y: float, wide: float, high: float, light: float) -> None:
        box = points([(x - wide, y - high), (x + wide, y + high)])
        pens[0].ellipse(box, fill=light)
        pens[1].ellipse(box, fill=255)

    def block(places: list[tuple[float, float]], light: float) -> None:
        pens[0].polygon(points(places), fill=light)
        pens[1].polygon(points(places), fill=255)

    def stroke(places: list[tuple[float, float]], light: float, width: float) -> None:
        pens[0].line(points(places), fill=light, width=round(width * FINE), joint="curve")

    dark = max(0.03, skin - contrast * rng.uniform(0.35, 1))
    wide, high = rng.uniform(0.58, 0.7), rng.uniform(0.82, 0.92)
    middle = rng.uniform(-0.02, 0.1)
    if hair == "long":
        oval(0, -0.15, wide + 0.2, 0.95, dark)
        block(
            [(-wide - 0.2, -0.1), (wide + 0.2, -0.1), (wide + 0.15, 1.1), (-wide - 0.15, 1.1)], dark
        )
    cloth = rng.uniform(0.1, 0.9)
    block([(-0.95, 1.1), (-0.35, 0.78), (0.35, 0.78), (0.95, 1.1)], cloth)
    oval(0, middle, wide, high, skin)
    if hair in ("short", "long"):
        line = middle - high * rng.uniform(0.45, 0.7)
        part = rng.uniform(-0.4, 0.4)
        crown = [(-wide - 0.05, middle - 0.15), (-wide, -0.75), (-0.4, -1.1), (0.4, -1.1)]
        crown += [
            (wide, -0.75),
            (wide + 0.05, middle - 0.15),
            (wide - 0.1, line),
            (part, line - 0.12),
        ]
        block([*crown, (-wide + 0.1, line)], dark)
    if hair == "hat":
        brim = middle - high * rng.uniform(0.4, 0.6)
        felt = rng.uniform(0.05, 0.95)
        block([(-wide, brim), (-wide + 0.1, -1.1), (wide - 0.1, -1.1), (wide, brim)], felt)
        block([(-0.95, brim), (0.95, brim), (0.95, brim + 0.12), (-0.95, brim + 0.12)], felt)
    eyes, apart = middle - rng.uniform(0.08, 0.18), rng.uniform(0.26, 0.34)
    for x in (-apart, apart):
        oval(x, eyes, rng.uniform(0.08, 0.13), rng.uniform(0.04, 0.09), dark)
        lift = rng.uniform(-0.05, 0.05)
        brow = eyes - rng.uniform(0.15, 0.2)
        stroke([(x - 0.15, brow + lift), (x + 0.15, brow - lift)], dark, rng.uniform(0.7, 1.6))
    shade = skin - 0.4 * (skin - dark)
    nose = middle + rng.uniform(0.15, 0.25)
    stroke([(0, eyes), (rng.uniform(-0.08, 0.08), nose), (0, nose + 0.02)], shade, 1)
    mouth, half = middle + rng.uniform(0.42, 0.52), rng.uniform(0.2, 0.32)
    bend = rng.uniform(0.07, 0.18) if look % 2 else rng.uniform(-0.08, 0.02)
    curve = [(half * t, mouth - bend * (2 * t**2 - 1)) for t in np.linspace(-1, 1, 9)]
    stroke(curve, dark, rng.uniform(1, 2))
    if look >= 2:
        rim, light = rng.uniform(0.16, 0.23), skin - contrast * rng.uniform(0.3, 1)
        for x in (-apart, apart):
            box = points([(x - rim, eyes - rim), (x + rim, eyes + rim)])
            pens[0].ellipse(box, outline=light, width=round(FINE * rng.uniform(0.6, 1.2)))
        stroke([(rim - apart, eyes), (apart - rim, eyes)], light, 1)
    face = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX))
    mask = np.asarray(covered.resize((SIDE, SIDE), Image.Resampling.BOX)) > 127
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    lit = face + rng.uniform(-0.12, 0.12) * rows + rng.uniform(-0.12, 0.12) * columns
    cloudy = ndimage.gaussian_filter(rng.normal(size=lit.shape), 2)
    return lit + rng.uniform(0, 0.05) * cloudy / cloudy.std(), mask
