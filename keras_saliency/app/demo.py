"""The demo: trains the same network on clean digits and on digits with a tag in the corner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
BATCH_SIZE = 32


@dataclass(frozen=True)
class Outcome:
    """The result of one run of the demo.

    Attributes:
        run: `"clean"` or `"tagged"`.
        own_accuracy: Accuracy on held-out images like the training images, in 0..1.
        clean_accuracy: Accuracy on the same images without the tag, in 0..1.
        enrichment: The enrichment of the tag's region; 1 is chance.
        alerts: The standing alerts of the callback, as text.
        withdrawn: The names of the tests whose alerts were withdrawn.
        remedied: The result after as many epochs more with the remedy of the first alert; `None`
            without one.
    """

    run: str
    own_accuracy: float
    clean_accuracy: float
    enrichment: float
    alerts: tuple[str, ...]
    withdrawn: tuple[str, ...] = ()
    remedied: Outcome | None = None


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
    run: str,
    log_dir: Location,
    *,
    epochs: int = EPOCHS,
    remedy: bool = False,
    progress: Callable[[str], None] = print,
) -> Outcome:
    """Trains one of the two runs with `SaliencyCallback` and Keras' TensorBoard callback.

    Args:
        run: `"clean"` or `"tagged"`.
        log_dir: The log is written to `<log_dir>/<run>`.
        epochs: The number of epochs.
        remedy: Whether to train on with the remedy of the first alert, if there is one.
        progress: Called with a line of text at the end of each epoch.
    """
    keras.utils.set_random_seed(0)
    images, labels = digits(tagged=run == "tagged")
    region = np.zeros((SIDE, SIDE), bool)
    region[:4, :4] = True
    # Held-out images: on memorised ones the p-values of the tests do not hold.
    probes = dataclasses.replace(
        ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:])),
        regions={TAG: region},
    )
    log_of_run = str(join(log_dir, run))
    saliency = SaliencyCallback(probes, log_dir=log_of_run, on_alert=None, verbose=0)
    last = 2 * epochs if remedy else epochs
    report_progress = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress(
            f"{run}: epoch {epoch + 1}/{last}, validation accuracy {logs['val_accuracy']:.2f}"
        )
    )
    model = network()
    settings: dict[str, Any] = {
        "validation_data": (images[NUM_TRAIN:], labels[NUM_TRAIN:]),
        "verbose": 0,
        "callbacks": [keras.callbacks.TensorBoard(log_of_run), saliency, report_progress],
    }
    model.fit(images[:NUM_TRAIN], labels[:NUM_TRAIN], epochs=epochs, **settings)
    outcome = _outcome(run, model, saliency)
    if not remedy or not saliency.alerts:
        return outcome
    batches = _Batches(images[:NUM_TRAIN], labels[:NUM_TRAIN], saliency.alerts[0].remedy())
    model.fit(batches, initial_epoch=epochs, epochs=last, **settings)
    return dataclasses.replace(outcome, remedied=_outcome(run, model, saliency))


def _outcome(run: str, model: keras.Model, saliency: SaliencyCallback) -> Outcome:
    """What a model has learned up to now."""
    clean_images, labels = digits(tagged=False)
    images, _ = digits(tagged=run == "tagged")
    return Outcome(
        run,
        _accuracy(model, images, labels),
        _accuracy(model, clean_images, labels),
        saliency.history[f"enrichment/{TAG}"][-1],
        tuple(str(alert) for alert in saliency.alerts if alert.withdrawn is None),
        tuple(alert.rule for alert in saliency.alerts if alert.withdrawn is not None),
    )


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches in an order drawn anew for each epoch, changed by a remedy."""

    def __init__(self, images: Array, labels: Array, remedy: Any) -> None:
        super().__init__()
        self._images, self._labels, self._remedy = images, labels, remedy
        self._rng = np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._labels) // BATCH_SIZE)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        chosen = self._order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        return self._remedy(self._images[chosen], training=True), self._labels[chosen]

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self._order = self._rng.permutation(len(self._labels))


def _accuracy(model: keras.Model, images: Array, labels: Array) -> float:
    predictions = model.predict(images[NUM_TRAIN:], verbose=0).argmax(axis=1)
    return float((predictions == labels[NUM_TRAIN:]).mean())
