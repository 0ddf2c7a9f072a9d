"""Letters in the fonts that matplotlib ships: aligned, centred objects of a few classes.

All letters have the same height and stand in the same place, so that small places of the image
tell the class by right: only `P` and `R` have a bowl at the top and none below, and so on.
"""

from __future__ import annotations

import functools
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from benchmarks.spurious.pictures import Array, ImageSet

LETTERS = "BDEFHKPR"
CLASSES = len(LETTERS)
NUM_IMAGES = 1800
NUM_TRAIN = 1200
PER_CLASS = 10
SIDE = 28
CAP = 20  # height of the letters in pixels
PAPER = 0.15
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10", "cmmi10"),
)


def letters(seed: int, *, contrast: float = 0.5, noise: float = 0.12) -> ImageSet:
    """Capitals of any font, slightly turned, slanted and stretched, under smears and noise.

    Args:
        seed: Decides everything.
        contrast: The ink against the paper, about; an image has 0.4 to 1.1 times as much.
        noise: Standard deviation of the noise.
    """
    rng = np.random.default_rng([seed, 20])
    labels = rng.integers(CLASSES, size=NUM_IMAGES)
    fonts = rng.integers(len(FONTS), size=NUM_IMAGES)
    inks = np.stack(
        [_jittered(_drawn()[font, label], rng) for font, label in zip(fonts, labels, strict=True)]
    )
    smears = np.stack([_smear(rng) for _ in labels])
    strengths = contrast * rng.uniform(0.4, 1.1, (NUM_IMAGES, 1, 1))
    slopes = rng.uniform(-0.1, 0.1, (2, NUM_IMAGES, 1, 1))
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    clear = PAPER + slopes[0] * rows + slopes[1] * columns
    clear = clear + strengths * np.maximum(inks, smears)
    images = clear + rng.normal(0, noise, clear.shape)
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32)[..., np.newaxis],
        labels=labels,
        objects=inks > 0.25,
        draws=rng.integers(2**31, size=NUM_IMAGES),
        classes=CLASSES,
    )


@functools.cache
def _drawn() -> Array:
    """All letters in all fonts at twice the size, `(fonts, letters, 56, 56)` in 0..1."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return np.stack(
        [np.stack([_letter(folder / f"{font}.ttf", x) for x in LETTERS]) for font in FONTS]
    )


def _letter(path: Path, letter: str) -> Array:
    probe = ImageFont.truetype(path, 100).getbbox("H")
    font = ImageFont.truetype(path, round(100 * 2 * CAP / (probe[3] - probe[1])))
    canvas = Image.new("L", (2 * SIDE, 2 * SIDE))
    left, top, right, bottom = font.getbbox(letter)
    place = SIDE - (left + right) / 2, SIDE - (top + bottom) / 2
    ImageDraw.Draw(canvas).text(place, letter, fill=255, font=font)
    return np.asarray(canvas, np.float32) / 255


def _jittered(drawn: Array, rng: np.random.Generator) -> Array:
    """A letter at its size, `(28, 28)`, with a turn, a slant, a stretch and a shift of its own."""
    turn, slant = rng.normal(0, 0.08), rng.normal(0, 0.12)
    scale = rng.uniform(0.85, 1.1, 2)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn) + slant, np.cos(turn)]])
    matrix = 2 * matrix / scale[:, np.newaxis]
    offset = SIDE - 0.5 - matrix @ (np.full(2, SIDE / 2 - 0.5) + rng.uniform(-1.2, 1.2, 2))
    soft = ndimage.uniform_filter(drawn, 2)
    return ndimage.affine_transform(soft, matrix, offset, (SIDE, SIDE), order=1)


def _smear(rng: np.random.Generator) -> Array:
    """Three strokes across the image."""
    canvas = Image.new("L", (2 * SIDE, 2 * SIDE))
    pen = ImageDraw.Draw(canvas)
    for _ in range(3):
        pen.line([*rng.uniform(0, 2 * SIDE, 4)], fill=255, width=int(rng.integers(2, 6)))
    return np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
