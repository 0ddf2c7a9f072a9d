"""`Progress`: how far a fit is, in batches, samples and seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_saliency.engine.batches import BatchCounter


class Progress:
    """How far a fit is.

    Attributes:
        batches: The number of batches that the model was trained on, at the end of an epoch.
        samples: The number of samples of the epoch that ended; 0 if no batch was seen.
        seconds: Of training, without what was done while it was paused.
    """

    def __init__(self) -> None:
        self.batches = self.samples = 0
        self.seconds = 0.0
        self._counter = BatchCounter()
        self._explained = 0  # the batches up to the latest evaluation within an epoch
        self._batch = self._last_batch = 0  # the indices of the latest one, and of the last one
        self._since = math.nan  # a time in an epoch

    def begin_fit(
        self, model: Any, before: int, *, explained: int | None = None, every: int = 1
    ) -> None:
        """Counts from where the training is.

        Args:
            model: The model that is trained.
            before: The number of batches that it was trained on.
            explained: That number at the latest evaluation within an epoch, if the fit goes on with
                an earlier one.
            every: The number of batches from one such evaluation to the next.
        """
        self._counter.begin_fit(model, before=before)
        self._explained = count = self._counter.count
        if explained is not None:
            self._explained -= (count - explained) % every

    def begin_epoch(self) -> None:
        """To be called before the first batch of an epoch."""
        self._counter.begin_epoch()
        self._since = time.perf_counter()

    def end_batch(self, batch: int) -> None:
        """To be called after each execution, with the index that Keras gives it."""
        self._batch = batch
        self._counter.end_execution()

    def due(self, every: int, batches_per_epoch: int | None) -> int | None:
        """The number of batches if an evaluation within the epoch is due; else `None`.

        Args:
            every: The number of batches from one to the next.
            batches_per_epoch: As in the callback's `params["steps"]`.
        """
        if self._counter.count < self._explained + every:
            return None
        count = self._counter.settle(batches_per_epoch)
        if count < self._explained + every:
            return None
        self._explained = count
        return count

    @property
    def is_last_batch(self) -> bool:
        """Whether the epoch may end with this batch: the one before had no more batches.

        Always true in the first epoch of a fit, of which nothing is known.
        """
        return self._batch >= self._last_batch

    def end_epoch(self, batches_per_epoch: int | None) -> None:
        """To be called after the last batch of an epoch."""
        self.samples, self._last_batch = 0, self._batch
        if math.isnan(self._since):
            return
        self.batches = self._counter.settle(batches_per_epoch)
        self.samples = self._counter.samples
        if self.samples:
            self.seconds += time.perf_counter() - self._since
        self._since = math.nan

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The training waits within this context."""
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began
