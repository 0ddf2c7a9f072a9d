"""`SaliencyCallback`: from the events of `fit` to evaluations, logs and sinks."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_saliency.attributions import Method
from keras_saliency.attributions.scores import Score, score_name
from keras_saliency.data.checks import check_bool, check_choice, check_positive_int
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Alert, Effect, SaliencyReport
from keras_saliency.detection.alerts import ALERT, WARNING, SaliencyAlertWarning, in_short
from keras_saliency.detection.calibration import Baseline, check_baseline
from keras_saliency.detection.interventions import what_is_tested
from keras_saliency.detection.schedule import check_update_freq, has_moved, is_log_spaced
from keras_saliency.engine.compilation import check_compilation
from keras_saliency.engine.forward import build
from keras_saliency.engine.state_guard import own_seed_generator
from keras_saliency.log import tags
from keras_saliency.metrics.catalog import is_logged
from keras_saliency.monitor import (
    SaliencyMonitor,
    check_method_and_score,
    check_output,
    check_reduction,
)
from keras_saliency.rendering.heatmaps import SCALES, check_colormap
from keras_saliency.tensorboard.sink import (
    TensorBoardSink,
    check_log_dir,
    check_map_size,
    check_run,
)


class SaliencyCallback(keras.callbacks.Callback):
    """Explains a fixed set of probes while a model trains, for TensorBoard and for `logs`.

    The first evaluation shows the model before its first batch; then one follows each epoch
    (`saliency_freq`) and, if asked for, every so many batches (`update_freq`). Training itself is
    bit for bit what it is without the callback. What can't be explained right raises before
    training begins; what can't be *written* warns once, and training goes on.

    Pictures, scalars and the configuration go to the run `<log_dir>/saliency`, the step being
    Keras' 0-based epoch and -1 the state before training. Training that is resumed goes on in
    that run; a second `fit` from epoch 0 gets a run of its own, `saliency_2`.
    Evaluations inside epochs go to the run `saliency_batches` (`saliency_2_batches` beside
    `saliency_2`), the step being the number of batches trained on.

    Args:
        probes: What to explain; we recommend a few images of every class from the training data.
        log_dir: TensorBoard's log directory, as that of `keras.callbacks.TensorBoard`; `None`
            writes nothing.
        method: What explains, as in `SaliencyMonitor`: a name, a function with settings, or a list.
        score: What is explained, as in `SaliencyMonitor`: `"logit"`, ..., or a callable.
        output: Of a model with several outputs, the one that is explained, by name or position.
        reduction: How channels become one map: `"max_abs"`, `"l2"`, `"sum"` or `"signed"`.
        saliency_freq: Frequency in epochs: epochs 0, n, 2n, ... and the last one.
        update_freq: `"epoch"`: at epoch ends only. An integer, or `"batch"` for 1: after every
            so many batches, too.
        scale: How pictures are scaled: `"epoch"`, each map by its own maximum; `"probe"`, by the
            probe's maximum in the run so far; `"shared"`, by that of all probes.
        colormap: The name of a matplotlib colormap.
        map_size: The longer side in pixels of the maps that the SALIENCY tab gets: larger ones are
            averaged over blocks. `None`: it gets none.
        batch_size: Probes per pass, at most; bounds the memory.
        jit_compile: Whether XLA compiles the passes; `"auto"` decides by the device.
        interventions: When to test what the model uses: `"auto"`, at the first evaluation, at
            epochs ever further apart, at the last one, after a warning, and when a metric has
            moved; `"epoch"`, at each evaluation at an epoch's end; `None`, never.
        baseline: What effects have to exceed for an alert: a file of `keras_saliency.calibrate`,
            or a dict from test to floor. Where a rule's own floor is higher, that holds.
        on_alert: Is called with each alert; what it raises ends the training.
        stop_on_alert: Whether an alert ends the training after its epoch.
        name: Of the run below `log_dir` and in `logs`. Two callbacks in one `fit` need two names.
        verbose: 1 says once what is done, where it goes and what it costs; 0 says nothing.

    Attributes:
        history: A dict of lists of one length: `"fit"` (1 for the first one with this callback),
            `"run"`, `"step"`, and every metric.
        report: The latest `SaliencyReport`; `None` before the first.
        alerts: What was caught: a list of `Alert`s, each of a rule that fired at two tests in a
            row; see `keras_saliency.detection.alerts.RULES`.
        warnings: The same of rules that fired for the first time, before they became alerts.
        effects: What every test found: a list of pairs, step and tuple of `Effect`s.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that is not offered.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> images = np.random.default_rng(0).random((20, 8, 8, 1), "float32")
        >>> labels = np.arange(20) % 2
        >>> saliency = SaliencyCallback(ProbeSet.from_dataset((images, labels), per_class=2),
        ...                             log_dir=tempfile.mkdtemp(), verbose=0)
        >>> fitted = model.fit(images, labels, epochs=2, verbose=0, callbacks=[saliency])
        >>> saliency.history["step"]
        [-1, 0, 1]
        >>> len(fitted.history["saliency_gradient_norm"])
        2
    """

    def __init__(
        self,
        probes: ProbeSet,
        *,
        log_dir: str | Path | None = "logs",
        method: Method | Sequence[Method] = "gradient",
        score: Score = "logit",
        output: str | int | None = None,
        reduction: str | None = None,
        saliency_freq: int = 1,
        update_freq: int | str = "epoch",
        scale: str = "epoch",
        colormap: str = "hot",
        map_size: int | None = 112,
        batch_size: int = 32,
        jit_compile: bool | str = "auto",
        interventions: str | None = "auto",
        baseline: Baseline = None,
        on_alert: Callable[[Alert], object] | None = None,
        stop_on_alert: bool = False,
        name: str = "saliency",
        verbose: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(probes, ProbeSet):
            raise TypeError(
                f"probes: expected a keras_saliency.ProbeSet, received {type(probes).__name__}. "
                "Make one with ProbeSet(images, targets) or ProbeSet.from_dataset(dataset)."
            )
        self.probes = probes
        self.log_dir = None if log_dir is None else check_log_dir(log_dir)
        check_method_and_score(method, score)
        self.method, self.score = method, score
        self.output = check_output(output)
        self.reduction = check_reduction(reduction, probes.kind)
        self.jit_compile = check_compilation(jit_compile)
        self.name = check_run(name)
        self.saliency_freq = check_positive_int(
            "saliency_freq", saliency_freq, hint="It counts epochs; 1 is every epoch."
        )
        self.update_freq = check_update_freq(update_freq)
        self.scale = check_choice("scale", scale, SCALES)
        self.colormap = check_colormap(colormap)
        self.map_size = check_map_size(map_size)
        self.batch_size = check_positive_int(
            "batch_size", batch_size, hint="It is the number of probes per pass."
        )
        if interventions is not None:
            check_choice("interventions", interventions, ("auto", "epoch"))
        self.interventions = interventions
        self.baseline = check_baseline(baseline)
        if on_alert is not None and not callable(on_alert):
            raise TypeError(f"on_alert: expected a function of an alert, received {on_alert!r}.")
        self.on_alert = on_alert
        self.stop_on_alert = check_bool("stop_on_alert", stop_on_alert)
        if verbose not in (0, 1):
            raise ValueError(f"verbose: expected 0 or 1, received {verbose!r}.")
        self.verbose = verbose
        self.history: dict[str, list[Any]] = {"fit": [], "run": [], "step": []}
        self.report: SaliencyReport | None = None
        self.alerts: list[Alert] = []
        self.warnings: list[Alert] = []
        self.effects: list[tuple[int, tuple[Effect, ...]]] = []
        self._monitor: Any = None  # a SaliencyMonitor once training begins
        self._fits = 0
        self._epoch_began = self._epoch_seconds = self._seconds = math.nan

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Traces the model and checks that it can be explained, before training begins."""
        if not self.model.built:  # `fit` would do it in a moment
            with own_seed_generator():
                build(self.model, self.probes)
        if self._monitor is None or not self._monitor.explains(self.model):
            self._monitor = SaliencyMonitor(
                self.model,
                self.probes,
                method=self.method,
                score=self.score,
                output=self.output,
                reduction=self.reduction,
                batch_size=self.batch_size,
                jit_compile=self.jit_compile,
                floors=self.baseline,
            )
            self._tested: SaliencyReport | None = None  # the latest with interventions
            self._sinks: dict[str, TensorBoardSink] = {}
            self._said = {"what": False, "tests": False, "cost": False}
        self._close()  # what a fit that crashed left open
        self._fits += 1
        self._has_begun = self._has_warned = False
        self._last_epoch = self._last_seen = -1
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", 0)
        self._batches = self._batches_seen = int(iterations)
        self._previous: dict[str, SaliencyReport] = {}
        self._older: dict[str, SaliencyReport | None] = {}  # the ones before those
        self._before: SaliencyReport | None = None  # the first report of the fit
        self._evaluations = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Explains the state before the first batch: new, loaded, or restored by a callback."""
        if not self._has_begun:
            self._has_begun = True
            self._evaluate(self.name, epoch - 1, again=epoch > 0)
            self._say("what", f"{self._monitor.described}, {self._where()}")
            found = None if self._tested is None else self._tested.interventions
            self._say("tests", what_is_tested(found, self.interventions == "auto"))
        else:
            self._say_cost()
        self._epoch_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Explains the model inside an epoch, if asked to."""
        if isinstance(self.update_freq, str):
            return
        self._batches += self.model.steps_per_execution
        if self._batches - self._batches_seen >= self.update_freq:
            self._batches_seen = self._batches
            self._evaluate(tags.batch_run(self.name), self._batches)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Explains the model after an epoch; the metrics join Keras' `logs`."""
        self._last_epoch = epoch
        is_last = epoch == (self.params or {}).get("epochs", 0) - 1 or self.model.stop_training
        if epoch % self.saliency_freq and not is_last:
            return
        began = time.perf_counter()
        report = self._evaluate(self.name, epoch, last=is_last)
        self._seconds, self._epoch_seconds = time.perf_counter() - began, began - self._epoch_began
        if logs is not None:
            numbers = {name: v for name, v in report.metrics.items() if is_logged(name)}
            if self._tested is not None:
                numbers["alert"] = float(any(v.active for v in self._tested.verdicts))
            keyed = {tags.log_key(name, self.name): value for name, value in numbers.items()}
            if logs.keys() & keyed:
                text = f"saliency: two callbacks are named {self.name!r}: give one another name"
                warnings.warn(text, stacklevel=2)
            logs.update(keyed)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Explains the last epoch, if a callback after this one made it the last; closes files."""
        is_tested = self._tested is not None and self._tested.step == self._last_epoch
        if self._last_epoch > self._last_seen:
            self._evaluate(self.name, self._last_epoch, last=True)
        elif self.interventions is not None and self._last_epoch >= 0 and not is_tested:
            self._evaluate(self.name, self._last_epoch, again=True, last=True)
        self._say_cost()
        self._close()

    def _close(self) -> None:
        for sink in self._sinks.values():
            sink.close()

    def _sink(self, log_dir: Path, run: str, unit: str) -> TensorBoardSink:
        frequency = f"every {self.saliency_freq} epochs; update_freq={self.update_freq}"
        return TensorBoardSink(
            log_dir,
            self._monitor.probes,
            run=run,
            subject={
                "method": ", ".join(self._monitor.methods),
                "score": score_name(self.score),
                "reduction": self._monitor.reduction,
            },
            notes={
                "model": self.model.name,
                "score's place": self._monitor.score_source,
                "compilation": self._monitor.compilation,
                "evaluated": f"{frequency}; {self.batch_size} probes per pass at most",
            },
            scale=self.scale,
            colormap=self.colormap,
            map_size=self.map_size,
            unit=unit,
        )

    def _evaluate(
        self, run: str, step: int, *, again: bool = False, last: bool = False
    ) -> SaliencyReport:
        previous = self._previous.get(run)
        if previous is not None and previous.step == step:  # the same state, seen again
            previous = self._older[run]
        report: SaliencyReport = self._monitor.evaluate(
            step, previous=previous, before=self._before
        )
        self._older[run], self._previous[run] = previous, report
        self._before = self._before or report
        if run == self.name:
            self._last_seen = step
            if self._evaluations == 0 and self._tested is not None:
                if not self._tested.is_same_state(report):
                    self._monitor.forget()  # not the state that the fit before ended in
                self._tested = None
            if self._is_due(report, last):
                report = self._tested = self._monitor.intervene(report)
            self._evaluations += 1
        self.report = report
        run = self._write(run, report, again)
        self._remember(run, report, again)
        self._tell(report)
        return report

    def _is_due(self, report: SaliencyReport, last: bool) -> bool:
        """Whether interventions are to be made of a report."""
        if self.interventions != "auto" or self._tested is None:
            return self.interventions is not None
        return (
            last
            or is_log_spaced(self._evaluations)
            or any(verdict.status == "fires" for verdict in self._tested.verdicts)
            or has_moved(report.metrics, self._tested.metrics)
        )

    def _remember(self, run: str, report: SaliencyReport, again: bool) -> None:
        """Adds a row to the history, or replaces its last one by the same state seen again."""
        row = {"fit": self._fits, "run": run, "step": report.step, **report.metrics}
        place = list(zip(self.history["run"], self.history["step"], strict=True))
        if again and place[-1:] == [(run, report.step)]:
            before = {name: column.pop() for name, column in self.history.items()}
            row = before | row | {"fit": before["fit"]}
        rows = len(self.history["step"])
        for name in dict.fromkeys([*self.history, *row]):
            column = self.history.setdefault(name, [math.nan] * rows)
            column.append(row.get(name, math.nan))
        if report.interventions is not None:
            effects = [dataclasses.replace(e, examples=()) for e in report.interventions.effects]
            self.effects.append((report.step, tuple(effects)))

    def _tell(self, report: SaliencyReport) -> None:
        """Hands on what is new in a report: to lists, to the user, to `on_alert`."""
        alerts = [alert for alert in report.alerts if alert.level == ALERT]
        warned = [alert for alert in report.alerts if alert.level == WARNING]
        self.alerts += alerts
        self.warnings += warned
        if warned and self.verbose:
            print(f"saliency: warning: {in_short(warned)}", flush=True)
        if alerts:
            text = f"saliency: alert: {in_short(alerts)}"
            warnings.warn(text, SaliencyAlertWarning, stacklevel=2)
        for alert in alerts:
            if self.on_alert is not None:
                self.on_alert(alert)
            if self.stop_on_alert:
                self.model.stop_training = True

    def _write(self, run: str, report: SaliencyReport, again: bool) -> str:
        """Writes a report to the sink of its run; returns the name that the run has on disk."""
        if self.log_dir is None:
            return run
        unit = "epoch"
        if run == tags.batch_run(self.name):
            run, unit = tags.batch_run(self._sinks[self.name].run), "batch"
        sink = self._sinks[run] = self._sinks.get(run) or self._sink(self.log_dir, run, unit)
        try:
            sink.write(report, again=again)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"saliency: step {report.step} could not be written to {self.log_dir}: "
                    f"{error}. Training goes on and each step is tried "
                    "again; the numbers are in SaliencyCallback.history.",
                    stacklevel=2,
                )
        return sink.run

    def _where(self) -> str:
        """How often maps are made, how they are compiled, and where they are seen."""
        often = "every epoch" if self.saliency_freq == 1 else f"every {self.saliency_freq} epochs"
        batches = f" and every {self.update_freq} batches" if self.update_freq != "epoch" else ""
        where = f"; see it with: tensorboard --logdir {self.log_dir}" if self.log_dir else ""
        return f"{often}{batches}; {self._monitor.compilation}{where}"

    def _say_cost(self) -> None:
        """Says, after the first epoch that ended with an evaluation, what that cost."""
        if not math.isnan(self._seconds):
            share = self._seconds / self._epoch_seconds
            cost = f"{self._seconds:.2g} s an evaluation, {share:.1%} of the epoch before it"
            self._say("cost", cost)

    def _say(self, topic: str, text: str) -> None:
        if self.verbose and not self._said[topic]:
            self._said[topic] = True
            print(f"saliency: {text}", flush=True)
