"""Epoch ends of a `SaliencyCallback` as in a long `fit`, without the training between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_saliency as ks
from keras_saliency.detection.schedule import is_log_spaced
from keras_saliency.tensorboard.writer_thread import wait_for_writers


@dataclass(frozen=True)
class Seconds:
    """What something took.

    Attributes:
        wall: Until the call returned.
        cpu: Of all threads of this process, until all was written.
    """

    wall: float
    cpu: float


def timed(work: Callable[[], Any], at_least: float = 0.0) -> Seconds:
    """What a call takes: the mean of one or more calls, which take this long together."""
    count, began, cpu_began = 0, time.perf_counter(), time.process_time()
    while not count or time.perf_counter() - began < at_least:
        work()
        count += 1
    wall = time.perf_counter() - began
    wait_for_writers()
    return Seconds(wall / count, (time.process_time() - cpu_began) / count)


class EpochEnds:
    """A callback with default pictures and no tests; the first two evaluations are made here.

    Before each evaluation all weights are changed a little, as training would do: maps that do not
    change would be compared, drawn and compressed more easily.
    """

    def __init__(self, model: keras.Model, probes: ks.ProbeSet, log_dir: Path) -> None:
        self.saliency = ks.SaliencyCallback(probes, log_dir=log_dir, interventions=None, verbose=0)
        self._model, self._log_dir = model, log_dir
        self._generator = np.random.default_rng(0)
        self._fit = keras.callbacks.CallbackList([self.saliency], model=model, epochs=10**9)
        model.stop_training = False  # as `fit` does
        self._fit.on_train_begin()
        self.epoch = -1  # the latest one
        self._fit.on_epoch_begin(0)  # evaluates the state before training
        self.step()
        wait_for_writers()

    @property
    def has_pictures(self) -> bool:
        """Whether pictures were drawn at the latest epoch."""
        return is_log_spaced(self.epoch + 1)

    def step(self) -> Seconds:
        """Changes the weights; what the end of the next epoch takes."""
        self.change_weights()
        self.epoch += 1
        self._fit.on_epoch_begin(self.epoch)
        return timed(lambda: self._fit.on_epoch_end(self.epoch, {"loss": 0.0}))

    def change_weights(self) -> None:
        """Multiplies all weights that are trained by numbers close to 1."""
        for weight in self._model.trainable_weights:
            noise = self._generator.standard_normal(weight.shape, np.float32)
            weight.assign(weight * (1 + 0.01 * noise))

    def num_bytes(self) -> int:
        """The size of the log."""
        return sum(path.stat().st_size for path in self._log_dir.rglob("*") if path.is_file())

    def close(self) -> None:
        """Ends the fit."""
        self._fit.on_train_end()
