"""A small network of three classes, its data, its probes, and a fit of it."""

import keras
import numpy as np

import keras_saliency as ks

CLASSES = 3

EVERYTHING = ks.Compute(budget=None)
"""No evaluation is left out, however short the training is."""


def data(count=24, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, 8, 8, 1)).astype("float32"), np.arange(count) % CLASSES


def network(*extra, is_built=True):
    model = keras.Sequential(
        [
            *([keras.Input((8, 8, 1))] if is_built else []),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            *extra,
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def probes():
    return ks.ProbeSet.from_dataset(data(), per_class=2)


def fit(callbacks, epochs=2, initial_epoch=0, model=None):
    model = model or network()
    return model.fit(
        *data(),
        batch_size=8,
        epochs=epochs,
        initial_epoch=initial_epoch,
        verbose=0,
        callbacks=callbacks,
    )
