"""The second domain: coloured shapes on textured grounds, in the manner of Waterbirds.

Every image has a ground of one of four textures. Here the ground has nothing to do with the
class; the artefact `"ground"` (see `artefacts.py`) ties the two together.

Reference:
    Sagawa et al.: Distributionally Robust Neural Networks. arXiv:1911.08731.
"""

from __future__ import annotations

import numpy as np

from benchmarks.spurious.pictures import Array, ImageSet

CLASSES = 4  # disc, square, triangle, cross
NUM_TRAIN = 1600
NUM_IMAGES = 3000
PER_CLASS = 32
SIDE = 32


def shapes(
    seed: int, *, contrast: float = 0.5, noise: float = 0.12, reaching: bool = False
) -> ImageSet:
    """Discs, squares, triangles and crosses of any colour, size, turn and place.

    Args:
        seed: Decides everything.
        contrast: How far the object's colour is from the ground's; the lower, the harder.
        noise: Standard deviation of the noise.
        reaching: Large objects, most of which touch or cross the edge of the image; else they
            stay well inside.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=NUM_IMAGES)
    if reaching:
        radii = rng.uniform(9, 12, NUM_IMAGES)
        centres = rng.uniform(8, SIDE - 8, (NUM_IMAGES, 2))
    else:
        radii = rng.uniform(6, 8, NUM_IMAGES)
        centres = rng.uniform(11, SIDE - 11, (NUM_IMAGES, 2))
    turns = rng.uniform(-0.2, 0.2, NUM_IMAGES)
    objects = np.stack(
        [
            outline(label, centre, radius, turn)
            for label, centre, radius, turn in zip(labels, centres, radii, turns, strict=True)
        ]
    )
    draws = rng.integers(2**31, size=NUM_IMAGES)
    images = grounds(rng.integers(CLASSES, size=NUM_IMAGES), draws)
    hues = rng.random((NUM_IMAGES, 1, 1, 3)) - 0.5
    colours = 0.45 + contrast * (0.5 + 0.5 * hues)
    images = np.where(objects[..., np.newaxis], colours, images)
    images = images + rng.normal(0, noise, images.shape)
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32),
        labels=labels,
        objects=objects,
        draws=draws,
        classes=CLASSES,
    )


def outline(label: int, centre: Array, radius: float, turn: float) -> Array:
    """One object as a mask `(32, 32)`.

    Args:
        label: 0 disc, 1 square, 2 triangle, 3 cross.
        centre: Row and column.
        radius: Half the extent; the classes are scaled to cover about the same area.
        turn: In radians.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE] - np.reshape(centre, (2, 1, 1))
    down = np.cos(turn) * rows - np.sin(turn) * columns
    across = np.sin(turn) * rows + np.cos(turn) * columns
    if label == 0:
        return np.hypot(down, across) <= 0.9 * radius
    if label == 1:
        return np.maximum(abs(down), abs(across)) <= 0.8 * radius
    if label == 2:
        return (abs(across) <= 0.65 * (down + radius)) & (down <= 0.9 * radius)
    arms = np.minimum(abs(down), abs(across)) <= 0.38 * radius
    return arms & (np.maximum(abs(down), abs(across)) <= 1.05 * radius)


def grounds(codes: Array, draws: Array, *, side: int = SIDE, classes: int = CLASSES) -> Array:
    """Textures: of four, waves lying, standing, and two oblique ones; each with a hint of a hue.

    Args:
        codes: Which texture, 0..classes-1.
        draws: Each image's own number; it sets phase, wavelength and brightness.
        side: Height and width.
        classes: How many textures there are.

    Returns:
        `(n, side, side, 3)`, about 0.25..0.65, without noise.
    """
    rng = [np.random.default_rng(draw) for draw in draws]
    phases, scales, lights = np.array([r.random(3) for r in rng]).T[..., None, None]
    rows, columns = np.mgrid[:side, :side]
    angles = (np.pi * codes / classes)[:, None, None]
    frequencies = 0.12 + 0.05 * scales
    waves = np.sin(
        2 * np.pi * (frequencies * (np.cos(angles) * rows + np.sin(angles) * columns) + phases)
    )
    hues = np.array([[-1, 0, 1], [-0.5, 1, -0.5], [1, 0, -1], [0, 0, 0]])[codes % 4]
    gray = 0.35 + 0.2 * lights + 0.08 * waves
    ground: Array = gray[..., np.newaxis] + 0.03 * hues[:, np.newaxis, np.newaxis, :]
    return ground
