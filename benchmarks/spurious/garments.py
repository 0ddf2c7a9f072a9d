"""Clothes of one pose: centred silhouettes that fill the image and reach over its edges.

Rows at the top tell a collar from a waistband by right, so this is the set on which a strip along
the edge decides without being a shortcut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.spurious.pictures import Array, ImageSet

KINDS = ("shirt", "pullover", "coat", "dress", "trousers", "bag", "shoe", "boot")
CLASSES = len(KINDS)
NUM_IMAGES = 1800
NUM_TRAIN = 1200
PER_CLASS = 10
SIDE = 28
FINE = 4  # silhouettes are drawn this many times larger
GROUND = 0.15


def garments(seed: int, *, contrast: float = 0.5, noise: float = 0.12) -> ImageSet:
    """Shirts, pullovers, coats, dresses, trousers, bags, shoes and boots of any cut and cloth.

    Args:
        seed: Decides everything.
        contrast: The cloth against the ground; a dark cloth has a fifth of it.
        noise: Standard deviation of the noise.
    """
    rng = np.random.default_rng([seed, 21])
    labels = rng.integers(CLASSES, size=NUM_IMAGES)
    outlines = np.stack([_outline(KINDS[label], rng) for label in labels])
    cloths = np.stack([_cloth(rng) for _ in labels])
    strengths = contrast * rng.uniform(0.2, 1.1, (NUM_IMAGES, 1, 1))
    clear = GROUND + strengths * outlines * cloths
    images = clear + rng.normal(0, noise, clear.shape)
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32)[..., np.newaxis],
        labels=labels,
        objects=outlines > 0.25,
        draws=rng.integers(2**31, size=NUM_IMAGES),
        classes=CLASSES,
    )


def _outline(kind: str, rng: np.random.Generator) -> Array:
    """One garment, `(28, 28)` in 0..1: 1 on the cloth, less along seams."""
    size = FINE * SIDE
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)

    def shape(points: list[tuple[float, float]], fill: int = 255) -> None:
        """Fills a polygon of points (across, down), the image being from -1 to 1."""
        pen.polygon([((x + 1) * size / 2, (y + 1) * size / 2) for x, y in points], fill=fill)

    def both(points: list[tuple[float, float]], fill: int = 255) -> None:
        """A polygon and its mirror image."""
        shape(points, fill)
        shape([(-x, y) for x, y in points], fill)

    wide = rng.uniform(0.85, 1.15)
    if kind in ("shirt", "pullover", "coat", "dress"):
        _upper(kind, rng, wide, both)
    elif kind == "trousers":
        waist, hem, gap = 0.36 * wide, rng.uniform(0.34, 0.6), rng.uniform(0.06, 0.2)
        fork = rng.uniform(-0.55, -0.3)
        both([(0, -1.05), (waist, -1.05), (hem, 1.05), (gap, 1.05), (0, fork)])
    elif kind == "bag":
        top, width = rng.uniform(-0.45, -0.05), 0.8 * wide
        both([(0, top), (width * rng.uniform(0.8, 1), top), (width, 0.9), (0, 0.9)])
        handle, thick = width * rng.uniform(0.35, 0.6), rng.uniform(0.07, 0.15)
        both([(handle, top), (handle - thick, top), (handle - thick, -0.9), (handle, -1.05)])
        both([(0, -1.05), (handle, -1.05), (handle, -1.05 + thick), (0, -1.05 + thick)])
    else:
        _foot(kind, rng, wide, shape)
    outline = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
    return ndimage.shift(outline, rng.uniform(-1, 1, 2), order=1)


def _upper(kind: str, rng: np.random.Generator, wide: float, both: Callable[..., None]) -> None:
    """What covers the trunk: a body, sleeves, a neck."""
    shoulder = 0.5 * wide * (0.75 if kind == "dress" else 1)
    hem = shoulder * (rng.uniform(1.1, 1.9) if kind == "dress" else rng.uniform(0.85, 1.15))
    waist = shoulder * (rng.uniform(0.65, 0.95) if kind == "dress" else rng.uniform(0.8, 1))
    end = rng.uniform(0.7, 1.05) if kind in ("shirt", "pullover") else 1.05
    neck, depth = rng.uniform(0.14, 0.3), rng.uniform(0.05, 0.35)
    both([(0, -1), (shoulder, -0.85), (waist, 0), (hem, end), (0, end)])
    length = {"shirt": rng.uniform(-0.55, 0.45), "dress": rng.uniform(-0.8, 0.2)}
    cuff = length.get(kind, rng.uniform(0.2, 0.95))
    spread = shoulder + (0.42 + 0.1 * rng.random()) * (0.5 + 0.5 * (cuff + 1) / 2)
    thick = rng.uniform(0.16, 0.28)
    if kind != "dress" or cuff > -0.5:
        both([(shoulder - 0.1, -0.95), (shoulder, -0.88), (spread, cuff), (spread - thick, cuff)])
    both([(0, -1.1), (neck, -1.1), (0, -1 + depth)], fill=0)
    if kind == "coat":
        seam = rng.uniform(0.02, 0.06)
        both([(0, -1), (seam, -1), (seam, 1.05), (0, 1.05)], fill=60)


def _foot(kind: str, rng: np.random.Generator, wide: float, shape: Callable[..., None]) -> None:
    """A shoe or a boot that points to the left."""
    sole = rng.uniform(0.5, 0.7) if kind == "shoe" else 0.95
    top = rng.uniform(-0.3, 0.1) if kind == "shoe" else rng.uniform(-1.1, -0.6)
    heel, toe = rng.uniform(0.75, 0.95), rng.uniform(-1.0, -0.85)
    ankle = heel - rng.uniform(0.5, 0.75) * wide
    vamp = sole - rng.uniform(0.25, 0.4)
    slope = [(ankle, top), (ankle - 0.15, min(vamp, top + 0.5)), (toe + 0.25, vamp)]
    shape([(heel, top), *slope, (toe, vamp + 0.15), (toe, sole), (heel, sole)])
    if rng.random() < 0.6:
        raised = rng.uniform(0.06, 0.16)
        shape(
            [(heel - 0.3, sole), (heel, sole), (heel, sole + raised), (heel - 0.3, sole + raised)]
        )


def _cloth(rng: np.random.Generator) -> Array:
    """Brightness of a cloth: plain, striped or chequered, with folds; about 1."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    turned = np.cos(angle) * rows + np.sin(angle) * columns
    across = np.cos(angle) * columns - np.sin(angle) * rows
    waves = 2 * np.pi / rng.uniform(3, 9)
    pattern = rng.choice(["plain", "striped", "chequered"])
    weave = np.zeros((SIDE, SIDE))
    if pattern != "plain":
        weave = np.sin(waves * turned + phase)
    if pattern == "chequered":
        weave = weave * np.sin(waves * across)
    folds = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 3)
    return 1 + 0.35 * weave + 0.25 * folds / folds.std()
