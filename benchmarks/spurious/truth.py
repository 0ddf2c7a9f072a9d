"""What a model really relies on, measured by planting: the yardstick of the alerts.

The test images are held out and carry no artefact; into each of them the artefact is planted
twice, once with the code of its class and once with another. A model that does not read the
artefact is right as often on the one as on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from benchmarks.spurious.artefacts import wrong_codes
from benchmarks.spurious.material import artefact_of, as_in_training, planted
from benchmarks.spurious.pictures import Array, ImageSet
from benchmarks.spurious.plan import Run


@dataclass(frozen=True)
class Truth:
    """What was measured at one evaluation; all in 0..1 but `effect`, which is in -1..1.

    Attributes:
        step: When: -1 before training, then Keras' epoch.
        own: Accuracy on test images as in training.
        clean: Accuracy on the same images without the artefact.
        random: Accuracy on the same images with codes drawn at random.
        right: Accuracy with the code of the image's own class.
        wrong: Accuracy with the code of another class.
        worst: Accuracy in the worst group of those of one class with one code, own or another.
        flip: How often the prediction is the class that the wrong code stands for.
        effect: `right - wrong`.
    """

    step: int
    own: float
    clean: float
    random: float
    right: float
    wrong: float
    worst: float
    flip: float
    effect: float


class Oracle(keras.callbacks.Callback):
    """Measures the truth before training and after each epoch."""

    def __init__(self, run: Run, test: ImageSet) -> None:
        super().__init__()
        rng = np.random.default_rng([run.seed, 14])
        self._labels = test.labels
        self._wrong_codes = wrong_codes(test, artefact_of(run), rng)
        anything = rng.integers(test.classes, size=len(test))
        self._images = np.concatenate(
            [
                as_in_training(run, test, seed=2),
                test.images,
                planted(run, test, anything),
                planted(run, test, test.labels),
                planted(run, test, self._wrong_codes),
            ]
        )
        self.truths: list[Truth] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch == 0:
            self.truths.append(self._measured(-1))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.truths.append(self._measured(epoch))

    def _measured(self, step: int) -> Truth:
        outputs = self.model.predict(self._images, batch_size=512, verbose=0)
        predictions = outputs.argmax(axis=1).reshape(5, -1)
        own, clean, random, right, wrong = (predictions == self._labels).mean(axis=1).tolist()
        return Truth(
            step=step,
            own=own,
            clean=clean,
            random=random,
            right=right,
            wrong=wrong,
            worst=self._worst(predictions[3:] == self._labels),
            flip=float((predictions[4] == self._wrong_codes).mean()),
            effect=right - wrong,
        )

    def _worst(self, correct: Array) -> float:
        return min(
            float(row[self._labels == label].mean())
            for row in correct
            for label in np.unique(self._labels)
        )
