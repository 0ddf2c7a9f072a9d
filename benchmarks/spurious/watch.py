"""A `SaliencyCallback` that is timed, and the ways in which a run may cripple it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import tensorflow as tf

import keras_saliency as ks
from benchmarks.spurious.plan import Run
from keras_saliency import attributions
from keras_saliency.attributions import ScoreFn
from keras_saliency.attributions.scores import Tensor
from keras_saliency.data.reports import Array, Effect
from keras_saliency.detection import effects, interventions

NOT_KEPT = ("examples",)
"""Fields of `Effect` that are too large for a results file."""


class Watch(ks.SaliencyCallback):
    """Keeps all reports on interventions as JSON takes them, and what they took.

    Args:
        probes: As in `ks.SaliencyCallback`.
        method: As in `ks.SaliencyCallback`.
        only: If given, no test but this is made.

    Attributes:
        rows: A dict for each evaluation: `"step"`, `"seconds"`, `"accuracy"` on the probes,
            `"gate"`, `"effects"` (a list of dicts, the fields of `Effect` that say something) and
            `"alerts"`, those that were new.
    """

    def __init__(self, probes: ks.ProbeSet, method: str, only: str = "") -> None:
        super().__init__(
            probes, log_dir=None, method=method, interventions="epoch", verbose=0, batch_size=256
        )
        self._only = only
        self.rows: list[dict[str, Any]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        began = time.perf_counter()
        with asked_only(self._only):
            super().on_epoch_begin(epoch, logs)
        if epoch == 0:
            self._keep(time.perf_counter() - began)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        began = time.perf_counter()
        with warnings.catch_warnings(), asked_only(self._only):
            warnings.filterwarnings("ignore", "saliency: alert")
            super().on_epoch_end(epoch, logs)
        self._keep(time.perf_counter() - began)

    def _keep(self, seconds: float) -> None:
        report = self.report
        if report is None or report.interventions is None:
            raise RuntimeError("the callback made no interventions")
        row = {
            "step": report.step,
            "seconds": round(seconds, 4),
            "accuracy": report.metrics["probe_accuracy"],
            "blocked_because": report.interventions.blocked_because,
            "effects": [_kept(effect) for effect in report.interventions.effects],
            "alerts": [[alert.level, alert.rule, alert.window] for alert in report.alerts],
        }
        self.rows.append(row)


def _kept(effect: Effect) -> dict[str, Any]:
    """The fields of an effect that differ from their defaults, numbers to six digits."""
    kept = {}
    for field in dataclasses.fields(effect):
        value = getattr(effect, field.name)
        if field.name in NOT_KEPT or value is None or value == "" or value != value:
            continue
        kept[field.name] = round(value, 6) if isinstance(value, float) else value
    return kept


def noise(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """Random numbers in place of a gradient, other ones whenever the scores are others."""
    scores = tf.cast(score_fn(inputs), tf.float32)
    seed = tf.bitcast(tf.stack([tf.reduce_sum(scores), tf.reduce_max(scores)]), tf.int32)
    return tf.random.stateless_uniform(tf.shape(inputs), seed, dtype=inputs.dtype)


def coarse(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """The gradient's size averaged over cells of 5 x 5 pixels, as coarse as a late layer."""
    size = tf.abs(attributions.gradient(score_fn, inputs))
    cells = tf.nn.avg_pool2d(size, 5, 5, "SAME")
    wide = tf.repeat(tf.repeat(cells, 5, axis=1), 5, axis=2)
    return wide[:, : inputs.shape[1], : inputs.shape[2]]


def uncontrolled_pairs(
    targets: Array, among: Array, *, num_donors: int, seed: int, donors_of: int | None = None
) -> effects.Pairs:
    """Pairs in which the donor of the own class is the recipient itself: nothing is controlled."""
    pairs = DRAW_PAIRS(targets, among, num_donors=num_donors, seed=seed, donors_of=donors_of)
    return dataclasses.replace(pairs, same=pairs.recipients[:, None].repeat(num_donors, axis=1))


DRAW_PAIRS = effects.draw_pairs
NAMED = interventions._named


@contextlib.contextmanager
def asked_only(test: str) -> Iterator[None]:
    """Within, interventions make no test but this; all of them if it is empty."""

    def named(probes: ks.ProbeSet, pairs: effects.Pairs, seed: int) -> list[effects.Question]:
        return [question for question in NAMED(probes, pairs, seed) if question.test == test]

    with contextlib.ExitStack() as stack:
        if test:
            stack.enter_context(mock.patch.object(interventions, "_named", named))
            stack.enter_context(mock.patch.object(interventions, "_proposed", return_value=[]))
        yield


@contextlib.contextmanager
def crippled(run: Run) -> Iterator[None]:
    """Puts the run's maps into the table of methods, and switches off what it does without."""
    parts = {
        "control": (interventions, "draw_pairs", uncontrolled_pairs),
        "halves": (interventions, "split_halves", lambda targets, among, seed: (among, among)),
        "blocked_because": (effects, "required_accuracy", lambda chance: 0.0),
    }
    methods = {"noise": noise, "coarse": coarse}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(attributions.METHODS, methods))
        if run.without:
            stack.enter_context(mock.patch.object(*parts[run.without]))
        yield
