"""The demo: trains the same network on clean digits and on digits with a tag in the corner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_saliency.callback import SaliencyCallback
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.log.files import Location, join

TAG = "top-left 4x4"
EPOCHS = 8
SIDE = 20
NUM_TRAIN = 1200


@dataclass(frozen=True)
class Outcome:
    """The result of one run of the demo.

    Attributes:
        run: `"clean"` or `"tagged"`.
        own_accuracy: Accuracy on held-out images like the training images, in 0..1.
        clean_accuracy: Accuracy on the same images without the tag, in 0..1.
        enrichment: The enrichment of the tag's region; 1 is chance.
        alerts: The alerts of the callback, as text.
    """

    run: str
    own_accuracy: float
    clean_accuracy: float
    enrichment: float
    alerts: tuple[str, ...]


def digits(*, tagged: bool, seed: int = 0) -> tuple[Array, Array]:
    """Makes scikit-learn's handwritten digits hard to read, and adds a tag if requested.

    The 8 x 8 scans are doubled in size, placed near the middle of a 20 x 20 canvas at half contrast
    and covered with noise. The tag is a 4 x 4 pattern in the top left corner, with a different
    pattern for each class: a model that reads it does not need the digit.

    Args:
        tagged: Whether to add the tag.
        seed: The seed of the order, the places, the noise and the tags.

    Returns:
        The images, float32 `(1797, 20, 20, 1)` in 0..1, and the labels `(1797,)`. Their order does
        not depend on `tagged`.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.images))
    images: Array = np.zeros((len(order), SIDE, SIDE), np.float32)
    for image, index in zip(images, order, strict=True):
        image[2:18, 2:18] = data.images[index].repeat(2, axis=0).repeat(2, axis=1) / 16
        image[:] = np.roll(image, rng.integers(-2, 3, size=2), axis=(0, 1))
    labels = data.target[order]
    images = np.clip(0.5 * images + 0.15 + rng.normal(0, 0.12, images.shape), 0, 1)
    if tagged:
        images[:, :4, :4] = (rng.random((10, 4, 4)) > 0.5)[labels]
    return images.astype(np.float32)[..., np.newaxis], labels


def network() -> keras.Model:
    """A small convolutional network for the digits, compiled."""
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(
    run: str, log_dir: Location, *, epochs: int = EPOCHS, progress: Callable[[str], None] = print
) -> Outcome:
    """Trains one of the two runs with `SaliencyCallback` and Keras' TensorBoard callback.

    Args:
        run: `"clean"` or `"tagged"`.
        log_dir: The log is written to `<log_dir>/<run>`.
        epochs: The number of epochs.
        progress: Called with a line of text at the end of each epoch.
    """
    keras.utils.set_random_seed(0)
    images, labels = digits(tagged=run == "tagged")
    clean_images, _ = digits(tagged=False)
    region = np.zeros((SIDE, SIDE), bool)
    region[:4, :4] = True
    # Held-out images: on memorised ones the p-values of the tests do not hold.
    probes = dataclasses.replace(
        ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:])),
        regions={TAG: region},
    )
    log_of_run = str(join(log_dir, run))
    saliency = SaliencyCallback(probes, log_dir=log_of_run, on_alert=None, verbose=0)
    report_progress = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress(
            f"{run}: epoch {epoch + 1}/{epochs}, validation accuracy {logs['val_accuracy']:.2f}"
        )
    )
    model = network()
    model.fit(
        images[:NUM_TRAIN],
        labels[:NUM_TRAIN],
        validation_data=(images[NUM_TRAIN:], labels[NUM_TRAIN:]),
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.TensorBoard(log_of_run), saliency, report_progress],
    )
    return Outcome(
        run,
        _accuracy(model, images, labels),
        _accuracy(model, clean_images, labels),
        saliency.history[f"enrichment/{TAG}"][-1],
        tuple(map(str, saliency.alerts)),
    )


def _accuracy(model: keras.Model, images: Array, labels: Array) -> float:
    predictions = model.predict(images[NUM_TRAIN:], verbose=0).argmax(axis=1)
    return float((predictions == labels[NUM_TRAIN:]).mean())
