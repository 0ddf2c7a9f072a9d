"""Crops of photographs and of natural textures, which installed packages ship.

The photographs come with scikit-image, scikit-learn and matplotlib; nothing is downloaded. No two
crops overlap, so none is in training and in the test at once.
"""

from __future__ import annotations

import functools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import skimage
import sklearn.datasets
from PIL import Image

from benchmarks.spurious import shapes
from benchmarks.spurious.pictures import Array, ImageSet

SIDE = 32
MOST = 240  # crops of one photograph
FLAT = 0.04  # crops with a smaller standard deviation show nothing and are left out
FOLDERS = {
    "skimage": Path(skimage.__file__).parent / "data",
    "sklearn": Path(sklearn.datasets.__file__).parent / "images",
    "matplotlib": Path(mpl.get_data_path()) / "sample_data",
}
SCENES = (
    ("sklearn", "china.jpg"),
    ("skimage", "ihc.png"),
    ("skimage", "retina.jpg"),
    ("skimage", "brick.png"),
    ("skimage", "grass.png"),
    ("skimage", "gravel.png"),
)
OTHERS = (
    ("skimage", "coffee.png"),
    ("sklearn", "flower.jpg"),
    ("matplotlib", "grace_hopper.jpg"),
    ("skimage", "chelsea.png"),
    ("skimage", "astronaut.png"),
    ("skimage", "motorcycle_left.png"),
    ("skimage", "coins.png"),
)
CLASSES = len(SCENES)
NUM_TRAIN = 800
PER_CLASS = 11
ON_OBJECTS = {"all": 1900, "train": 1300, "per class": 16}  # images with an object


def textures(seed: int, *, contrast: float = 0.5, noise: float = 0.12) -> ImageSet:
    """Crops of six photographs and textures; which one is the class.

    Every crop is used once. Its mean colour is replaced by a random one, so that brightness and
    tint do not tell the class; contrast, and the colours within a crop, still do.

    Args:
        seed: Decides changes, order and noise.
        contrast: Of the crops; 0.4 leaves it as it is, on average.
        noise: The noise has a quarter of this standard deviation.

    Returns:
        What decides is everywhere, so the objects cover the images.
    """
    rng = np.random.default_rng([seed, 24])
    crops = [_crops(*scene) for scene in SCENES]
    labels = np.repeat(np.arange(CLASSES), [len(some) for some in crops])
    images = _changed(np.concatenate(crops), contrast, noise, rng)
    return ImageSet(
        images=images,
        labels=labels,
        objects=np.ones(images.shape[:3], bool),
        draws=rng.integers(2**31, size=len(labels)),
        classes=CLASSES,
    )


def objects(seed: int, *, contrast: float = 0.5, noise: float = 0.12) -> ImageSet:
    """Discs, squares, triangles and crosses on crops that have nothing to do with the class.

    Args:
        seed: Decides everything.
        contrast: How far the object's colour is from the crops' mean.
        noise: The noise has a quarter of this standard deviation.
    """
    rng = np.random.default_rng([seed, 25])
    crops = np.concatenate([_crops(*scene) for scene in (*SCENES, *OTHERS)])
    grounds = (
        _changed(crops[rng.permutation(len(crops))[: ON_OBJECTS["all"]]], 0.25, 0.0, rng) - 0.15
    )
    count = len(grounds)
    labels = rng.integers(shapes.CLASSES, size=count)
    centres, radii = rng.uniform(12, SIDE - 12, (count, 2)), rng.uniform(7, 10, count)
    turns = rng.uniform(-0.3, 0.3, count)
    masks = np.stack(
        [
            shapes.outline(label, centre, radius, turn)
            for label, centre, radius, turn in zip(labels, centres, radii, turns, strict=True)
        ]
    )
    colours = 0.35 + contrast * rng.uniform(0.2, 1, (count, 1, 1, 3))
    images = np.where(masks[..., np.newaxis], colours, grounds)
    images = images + rng.normal(0, noise / 4, images.shape)
    return ImageSet(
        images=np.clip(images, 0, 1).astype(np.float32),
        labels=labels,
        objects=masks,
        draws=rng.integers(2**31, size=count),
        classes=shapes.CLASSES,
    )


@functools.cache
def _crops(package: str, name: str) -> Array:
    """Crops of one photograph that lie side by side, `(n, 32, 32, 3)` in 0..1, in any order."""
    with Image.open(FOLDERS[package] / name) as file:
        photograph = np.asarray(file.convert("RGB"), np.float32) / 255
    down, across = photograph.shape[0] // SIDE, photograph.shape[1] // SIDE
    cut = photograph[: down * SIDE, : across * SIDE].reshape(down, SIDE, across, SIDE, 3)
    crops = cut.transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)
    shown = crops[crops.std(axis=(1, 2)).mean(axis=1) > FLAT]
    return shown[np.random.default_rng(0).permutation(len(shown))[:MOST]]


def _changed(crops: Array, contrast: float, noise: float, rng: np.random.Generator) -> Array:
    """Crops with another mean colour and saturation, half of them mirrored, and with noise."""
    count = len(crops)
    gray = crops.mean(axis=3, keepdims=True)
    saturation = rng.uniform(0.5, 1.2, (count, 1, 1, 1))
    changed = gray + saturation * (crops - gray)
    means = changed.mean(axis=(1, 2), keepdims=True)
    light, tint = rng.uniform(0.4, 0.6, (count, 1, 1, 1)), rng.normal(0, 0.02, (count, 1, 1, 3))
    changed = light + tint + contrast * rng.uniform(1.8, 3, (count, 1, 1, 1)) * (changed - means)
    mirrored = rng.random(count) < 0.5
    changed[mirrored] = changed[mirrored, :, ::-1]
    changed = changed + rng.normal(0, noise / 4, changed.shape)
    return np.clip(changed, 0, 1).astype(np.float32)
