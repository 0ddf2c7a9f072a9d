"""A `SaliencyCallback` that keeps what every round of tests found, and what it took."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras_saliency as ks
from benchmarks.spurious import ablations, methods
from benchmarks.spurious.peers import map_measures
from benchmarks.spurious.plan import Run
from keras_saliency.data.reports import Effect

NOT_KEPT = ("examples", "place")
"""Fields of `Effect` that are too large for a results file."""


class Watch(ks.SaliencyCallback):
    """Keeps all reports on interventions as JSON takes them, and what they took.

    Args:
        probes: As in `ks.SaliencyCallback`.
        run: Which maps are made, and which part of the tests is switched off.
        tests: The tests that are made; default: all.

    Attributes:
        rows: A dict for each evaluation: `"step"`, `"seconds"`, `"accuracy"` on the probes,
            `"blocked_because"`, `"alpha"`, `"passes"` (images that the model was asked about for
            the tests), `"effects"` (a list of dicts, the fields of `Effect` that are not at their
            defaults), `"alerts"`, those that were new: `[level, rule, window, explains]`, and
            `"maps"`, what others read from the maps alone, see `peers`.
    """

    def __init__(self, probes: ks.ProbeSet, run: Run, tests: tuple[str, ...] = ()) -> None:
        super().__init__(
            probes,
            log_dir=None,
            method=methods.METHODS.get(run.maps, run.maps),
            interventions=ks.Interventions("epoch", ablations.ablated(run.without, tests)),
            on_alert=None,
            compute=ks.Compute(batch_size=256),
            verbose=0,
        )
        self.rows: list[dict[str, Any]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        began = time.perf_counter()
        super().on_epoch_begin(epoch, logs)
        if epoch == 0:
            self._add_row(time.perf_counter() - began)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        began = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        self._add_row(time.perf_counter() - began)

    def _add_row(self, seconds: float) -> None:
        report = self.report
        if report is None or report.interventions is None:
            raise RuntimeError("the callback made no interventions")
        row = {
            "step": report.step,
            "seconds": round(seconds, 4),
            "accuracy": report.metrics["probe_accuracy"],
            "blocked_because": report.interventions.blocked_because,
            "alpha": report.interventions.alpha,
            "passes": report.interventions.passes,
            "effects": [_kept(effect) for effect in report.interventions.effects],
            "alerts": [
                [alert.level, alert.rule, alert.window, alert.explains] for alert in report.alerts
            ],
            "maps": map_measures(report),
        }
        self.rows.append(row)


def _kept(effect: Effect) -> dict[str, Any]:
    """The fields of an effect that differ from their defaults; numbers have six digits."""
    kept = {}
    for field in dataclasses.fields(effect):
        value = getattr(effect, field.name)
        if field.name in NOT_KEPT or value is None or value == "" or value != value:
            continue
        kept[field.name] = float(f"{value:.6g}") if isinstance(value, float) else value
    return kept
