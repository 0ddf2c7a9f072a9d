"""What several benchmarks share: images, small trained models, tables, the machine in words."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib as mpl
import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

CLASSES = 10


@dataclass(frozen=True)
class Trained:
    """A model, probes it was not trained on, and its accuracy on images like them, in 0..1."""

    model: keras.Model
    images: Array
    targets: Array
    accuracy: float


def photographs(number: int, side: int) -> Array:
    """Crops of one photograph that comes with matplotlib, float32 `(number, side, side, 3)`.

    Values are in 0..255; the crops are the same for the same number and side.
    """
    path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photograph = np.asarray(Image.open(path).convert("RGB"), np.float32)
    generator = np.random.default_rng(0)
    tops = generator.integers(photograph.shape[0] - side, size=number)
    lefts = generator.integers(photograph.shape[1] - side, size=number)
    crops = [photograph[y : y + side, x : x + side] for y, x in zip(tops, lefts, strict=True)]
    return np.stack(crops)


def digits() -> tuple[Array, Array]:
    """scikit-learn's digits, four times as large: float32 `(1797, 32, 32, 1)` in 0..1."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images.repeat(4, axis=1).repeat(4, axis=2)[..., np.newaxis] / 16
    order = np.random.default_rng(0).permutation(len(images))
    return images[order].astype(np.float32), data.target[order]


def digits_on_photographs() -> tuple[Array, Array]:
    """White digits on dimmed crops of a photograph: float32 `(1797, 40, 40, 3)` in 0..1.

    The digit is somewhere near the middle, the photograph at half its brightness.
    """
    small, labels = digits()
    canvas = photographs(len(small), 40) / 510
    corners = np.random.default_rng(1).integers(2, 7, size=(len(small), 2))
    for image, digit, (top, left) in zip(canvas, small, corners, strict=True):
        image[top : top + 32, left : left + 32] += (1 - image[top : top + 32, left : left + 32]) * (
            0.9 * digit
        )
    return canvas, labels


def cnn(shape: tuple[int, int, int], widths: Sequence[int] = (16, 32, 64)) -> keras.Model:
    """Blocks of convolution, batch norm, ReLU and pooling, then one dense layer: a softmax."""
    layers = keras.layers
    blocks: list[Any] = []
    for filters in widths:
        blocks += [layers.Conv2D(filters, 3, padding="same", use_bias=False)]
        blocks += [
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
        ]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, activation="softmax")]
    return keras.Sequential([keras.Input(shape), *blocks, *head])


def plain_cnn(shape: tuple[int, int, int]) -> keras.Model:
    """Convolutions with biases and no batch norm, then two dense layers: a softmax."""
    layers = keras.layers
    blocks: list[Any] = []
    for filters in (16, 32):
        blocks += [layers.Conv2D(filters, 3, padding="same", activation="relu")]
        blocks += [layers.MaxPooling2D()]
    head = [layers.Flatten(), layers.Dense(64, activation="relu")]
    head += [layers.Dense(CLASSES, activation="softmax")]
    return keras.Sequential([keras.Input(shape), *blocks, *head])


def separable_cnn(shape: tuple[int, int, int]) -> keras.Model:
    """Inverted residuals as in MobileNetV2, few of them: depthwise convolutions and ReLU6."""
    layers = keras.layers

    def block(values: Any, filters: int, strides: int) -> Any:
        inner = values
        for layer in (
            layers.Conv2D(4 * values.shape[-1], 1, use_bias=False),
            layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False),
        ):
            inner = layers.ReLU(6)(layers.BatchNormalization(momentum=0.9)(layer(inner)))
        inner = layers.Conv2D(filters, 1, use_bias=False)(inner)
        inner = layers.BatchNormalization(momentum=0.9)(inner)
        return inner + values if strides == 1 and filters == values.shape[-1] else inner

    inputs = keras.Input(shape)
    values = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(inputs)
    for filters, strides in ((16, 1), (24, 2), (24, 1), (48, 2)):
        values = block(values, filters, strides)
    values = layers.GlobalAveragePooling2D()(values)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(values))


def trained(
    build: Callable[[tuple[int, int, int]], keras.Model],
    data: tuple[Array, Array],
    *,
    seed: int = 0,
    epochs: int = 12,
    num_probes: int = 16,
    num_train: int = 1400,
) -> Trained:
    """A model trained on the first images; the probes are the first of the others."""
    keras.utils.set_random_seed(seed)
    images, labels = data
    model = build(images.shape[1:])
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(images[:num_train], labels[:num_train], epochs=epochs, verbose=0)
    _, accuracy = model.evaluate(images[num_train:], labels[num_train:], verbose=0)
    probes = slice(num_train, num_train + num_probes)
    return Trained(model, images[probes], labels[probes], float(accuracy))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, in columns of one width."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def machine(*packages: str) -> str:
    """Where the numbers hold, in words."""
    names = ("tensorflow", "keras", "numpy", *packages)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), no GPU; "
        f"Python {platform.python_version()}, {versions}."
    )


def arguments_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all scripts have."""
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table there")
    return parser


def tell(text: str, out: Path | None) -> None:
    """Prints a text, and writes it to a file if there is one."""
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
