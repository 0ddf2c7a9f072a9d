"""Tiny data in the structures of keras.io's examples: random, the same at every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks._models import Array

COUNT = 32

WORDS = ("the", "film", "was", "a", "fine", "dull", "plot", "with", "good", "bad", "music")


def floats(*shape: int, seed: int = 0) -> Array:
    """float32 in 0..1, `(32, *shape)`."""
    return np.random.default_rng(seed).random((COUNT, *shape), "float32")


def pixels(*shape: int, seed: int = 0) -> Array:
    """uint8, `(32, *shape)`."""
    return np.random.default_rng(seed).integers(0, 256, (COUNT, *shape), "uint8")


def ids(length: int, words: int = 20, seed: int = 0) -> Array:
    """int64 tokens `(32, length)`, from 1; the last quarter of each row is 0, as padding."""
    tokens = np.random.default_rng(seed).integers(1, words, (COUNT, length))
    tokens[:, length - length // 4 :] = 0
    return tokens


def labels(classes: int = 2) -> Array:
    """int64 class indices `(32,)`."""
    return np.arange(COUNT) % classes


def one_hot(classes: int) -> Array:
    """float32 rows `(32, classes)`."""
    return np.eye(classes, dtype="float32")[labels(classes)]


def sentences() -> Array:
    """Strings `(32,)` of three to six words."""
    draw = np.random.default_rng(0)
    return np.array([" ".join(draw.choice(WORDS, draw.integers(3, 7))) for _ in range(COUNT)])


def batches(*elements: Any) -> tf.data.Dataset:
    """A data set of batches of 8; with one argument its elements are not tuples."""
    content = elements[0] if len(elements) == 1 else elements
    return tf.data.Dataset.from_tensor_slices(content).batch(8)
