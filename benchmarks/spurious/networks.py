"""The two networks: one that knows where in the image it looks, and one that does not."""

from __future__ import annotations

import keras

EPOCHS = {"dense": 8, "gap": 16}
RATES = {"dense": 1e-3, "gap": 2e-3}


def network(name: str, shape: tuple[int, ...], classes: int, *, learns: bool) -> keras.Model:
    """A small convolutional network, compiled with Adam.

    Args:
        name: `"dense"`, whose last layers are dense on all places; `"gap"`, which averages over
            places before its last layer.
        shape: Of an image.
        classes: Outputs.
        learns: If false, the learning rate is 0.
    """
    body = {
        "dense": [
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
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
    }[name]
    head = keras.layers.Dense(classes, activation="softmax")
    model = keras.Sequential([keras.Input(shape), *body, head])
    optimizer = keras.optimizers.Adam(RATES[name] if learns else 0.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
