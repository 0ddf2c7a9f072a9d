"""One run: trains a model under watch and measures the truth; a record that JSON can hold."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras

from benchmarks.spurious.levels import onset, verdict
from benchmarks.spurious.material import (
    Batches,
    artefact_of,
    as_in_training,
    material,
    probe_sets,
)
from benchmarks.spurious.networks import EPOCHS, network
from benchmarks.spurious.peers import datalab
from benchmarks.spurious.plan import Run
from benchmarks.spurious.truth import Oracle
from benchmarks.spurious.watch import Watch

TESTS = {"box": ("background",), "region": ("region",)}
"""The tests of a watch that does not make all of them."""


class Clock(keras.callbacks.Callback):
    """The seconds from the begin of each epoch to its end; stands first in the list."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch == 0:
            self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._began)


def execute(run: Run) -> dict[str, Any]:
    """Makes a run.

    Returns:
        The run's fields and `"id"`; `"truth"`, one dict per evaluation; `"verdict"`, `"onset"`;
        `"places"`, the windows where the artefact can be; `"side"` and `"classes"` of the images;
        `"epoch_seconds"`; `"datalab"`, see `peers.datalab`, and its seconds; and `"watched"`, by
        the name of each watch its effects and alerts, see `Watch.rows`.
    """
    parts = material(run)
    shape = parts.train.images.shape[1:]
    model = network(run.network, shape, parts.train.classes, learns=run.learns, seed=run.seed)
    oracle, clock = Oracle(run, parts.test), Clock()
    sets = probe_sets(run, parts.probes)
    watches = {name: Watch(probes, run, TESTS.get(name, ())) for name, probes in sets.items()}
    model.fit(
        Batches(run, parts.train),
        epochs=run.epochs or EPOCHS[run.network],
        shuffle=False,
        verbose=0,
        callbacks=[clock, oracle, *watches.values()],
    )
    keras.backend.clear_session()
    began = time.perf_counter()
    scores = datalab(as_in_training(run, parts.train, seed=0), parts.train.labels)
    datalab_seconds = time.perf_counter() - began
    effects = {truth.step: truth.effect for truth in oracle.truths}
    return {
        "id": run.id,
        **dataclasses.asdict(run),
        "verdict": verdict(effects),
        "onset": onset(effects),
        "places": artefact_of(run).places(shape[0]),
        "side": shape[0],
        "classes": parts.train.classes,
        "epoch_seconds": clock.seconds,
        "datalab": scores,
        "datalab_seconds": datalab_seconds,
        "truth": [dataclasses.asdict(truth) for truth in oracle.truths],
        "watched": {name: watch.rows for name, watch in watches.items()},
    }
