"""The networks: one that knows where in the image it looks, one that does not, a frozen one."""

from __future__ import annotations

import functools

import keras
import numpy as np

from benchmarks.spurious import shapes
from benchmarks.spurious.pictures import Array

EPOCHS = {"dense": 8, "gap": 16, "frozen": 8}
RATES = {"dense": 1e-3, "gap": 2e-3, "frozen": 1e-3}
PRETRAINING = 6  # epochs


def network(
    name: str, shape: tuple[int, ...], classes: int, *, learns: bool, seed: int
) -> keras.Model:
    """A small convolutional network, compiled with Adam.

    Args:
        name: `"dense"`, whose last layers are dense on all places; `"gap"`, which averages over
            places before its last layer; `"frozen"`, whose convolutions were trained on shapes
            and their grounds and stay as they are.
        shape: Of an image.
        classes: Outputs.
        learns: If false, the learning rate is 0.
        seed: Of the weights; also Keras' own from here on.
    """
    weights = list(pretrained(shape[-1])) if name == "frozen" else []
    keras.utils.set_random_seed(seed)
    strides = 1 if shape[0] < 28 else 2  # keeps the cost of a run of larger images down
    body = {
        "dense": [
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, strides=strides, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
        ],
        "gap": [
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ],
        "frozen": [
            *_convolutions(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
        ],
    }[name]
    head = keras.layers.Dense(classes, activation="softmax")
    model = keras.Sequential([keras.Input(shape), *body, head])
    if name == "frozen":
        for layer in body[:-2]:
            layer.trainable = False
            layer.set_weights([weights.pop(0) for _ in layer.weights])
    optimizer = keras.optimizers.Adam(RATES[name] if learns else 0.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _convolutions() -> list[keras.layers.Layer]:
    return [
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
    ]


@functools.cache
def pretrained(channels: int) -> tuple[Array, ...]:
    """Weights of the frozen body, after training on shapes of four outlines on four grounds.

    Args:
        channels: Of an image; with one, the shapes are gray.
    """
    keras.utils.set_random_seed(0)
    pictures = shapes.shapes(0, contrast=1.0, noise=0.05)
    rng = np.random.default_rng(17)
    codes = rng.integers(shapes.CLASSES, size=len(pictures))
    grounds = shapes.grounds(codes, pictures.draws)
    images = np.where(pictures.objects[..., np.newaxis], pictures.images, grounds)
    if channels == 1:
        images = images.mean(axis=3, keepdims=True)
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            *_convolutions(),
            keras.layers.Flatten(),
            keras.layers.Dense(shapes.CLASSES**2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    targets = shapes.CLASSES * pictures.labels + codes
    model.fit(images, targets, batch_size=32, epochs=PRETRAINING, verbose=0)
    return tuple(weight for layer in model.layers[:-2] for weight in layer.get_weights())
