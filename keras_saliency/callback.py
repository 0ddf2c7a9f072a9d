"""`SaliencyCallback`: from the events of `fit` to evaluations, logs and sinks."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_saliency.attributions import Method, methods_by_name
from keras_saliency.attributions.scores import Score, ScoreFunction, checked_score
from keras_saliency.console import Console
from keras_saliency.continuing import continued, lacks_last_step
from keras_saliency.data.checks import check_on_alert, check_positive_int, check_verbose
from keras_saliency.data.costs import Costs
from keras_saliency.data.history import add_row
from keras_saliency.data.probes import ProbeSet, check_probes
from keras_saliency.data.reports import Alert, Effect, SaliencyReport
from keras_saliency.detection.budget import PASSES_PER_PICTURE, Work
from keras_saliency.detection.interventions import what_is_tested
from keras_saliency.detection.schedule import check_update_freq
from keras_saliency.detection.settings import Interventions, checked_interventions
from keras_saliency.detection.state import BATCH, EPOCH, RunState
from keras_saliency.engine.compilation import Compute, checked_compute
from keras_saliency.engine.forward import build
from keras_saliency.engine.models import explained_part
from keras_saliency.engine.progress import Progress
from keras_saliency.log import tags
from keras_saliency.metrics.catalog import is_logged
from keras_saliency.monitor import SaliencyMonitor
from keras_saliency.rendering.settings import Pictures, checked_pictures
from keras_saliency.tensorboard.checks import check_log_dir, check_run
from keras_saliency.tensorboard.training_log import TrainingLog

OnAlert = str | Callable[[Alert], object] | None
"""What happens on an alert: `"warn"`, `"stop"`, a function, or nothing."""


class SaliencyCallback(keras.callbacks.Callback):
    """Explains a fixed set of probes while a model trains, for TensorBoard and for `logs`.

    The first evaluation shows the model before its first batch; then one follows each epoch
    (`saliency_freq`) and, if you ask for it, every `update_freq` batches. Training itself
    is bit for bit what it is without the callback. Anything that cannot be explained correctly
    raises before training begins; if something cannot be *written*, there is a warning, training
    goes on, and it is written later if possible.

    Pictures, scalars and the configuration go to the run `<log_dir>/saliency`; steps are Keras'
    0-based epochs, and -1 is the state before training. A resumed training continues that run, and
    so does a second `fit` that starts with the weights that the first one ended with: steps then
    count completed epochs. Other trainings get a run of their own, `saliency_2`. Evaluations within
    epochs go to the run `saliency_batches` (`saliency_2_batches` for `saliency_2`), where steps
    count the batches trained on.

    Args:
        probes: What to explain. Draw it from held-out data that carry the same cues as the training
            data: on images that the model has memorised, the p-values of the tests do not hold.
        log_dir: TensorBoard's log directory, as that of `keras.callbacks.TensorBoard`, or a URL
            such as `"gs://bucket/logs"`; `None` writes nothing.
        method: The attribution method, as in `SaliencyMonitor`: a name, a function with settings,
            or a list.
        score: What is differentiated: `"auto"`, `"logit"`, another name, a callable, or
            `ks.Score(score, output, position, model)`.
        saliency_freq: Frequency in epochs: epochs 0, n, 2n, ... and the last one. A short training
            leaves some of them out: see `budget` of `ks.Compute`.
        update_freq: `"epoch"`: at epoch ends only. An integer, or `"batch"` for 1: also after
            every n batches.
        interventions: Tests of what the model relies on: `"auto"`, at the first evaluation, at
            epochs ever further apart, at the last one, after a warning, and when a metric has
            moved; `"epoch"`, at every evaluation at an epoch's end; `None`, never; or
            `ks.Interventions(when, tests, ignore, floors, seed)`.
        on_alert: `"warn"`: prints the alert, whatever `verbose` is. `"stop"`: prints it, and ends
            the training after the epoch. A function: is called with each alert, which is also
            printed; if it returns `"stop"`, training ends after the epoch, and what it raises ends
            it at once. `None`: alerts are only in the list.
        pictures: How maps become pictures, and at which steps the stock tabs get some: `"auto"` or
            `ks.Pictures(scale, colormap, map_size, clip_percentile, when, probes)`; `None`: no
            pictures in the stock tabs.
        compute: How maps are computed: `"auto"` or
            `ks.Compute(batch_size, jit_compile, reduction, budget)`.
        name: The name of the run below `log_dir`, and the prefix in `logs`. Two callbacks in one
            `fit` need two names.
        verbose: 1 prints once what is done, where it goes and what it costs; 0 prints nothing but
            alerts.

    Attributes:
        history: A dict of lists of equal length: `"fit"` (1 for the first one with this callback),
            `"run"`, `"step"`, and every metric.
        report: The latest `SaliencyReport`; `None` before the first.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(2, activation="softmax")])
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> images = np.random.default_rng(0).random((40, 8, 8, 1), "float32")
        >>> labels = np.arange(40) % 2
        >>> probes = ProbeSet.from_dataset((images[20:], labels[20:]), per_class=4)  # held out
        >>> saliency = SaliencyCallback(probes, log_dir=tempfile.mkdtemp(), verbose=0)
        >>> fitted = model.fit(images[:20], labels[:20], epochs=2, verbose=0, callbacks=[saliency])
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
        score: ScoreFunction | Score = "auto",
        saliency_freq: int = 1,
        update_freq: int | str = "epoch",
        interventions: str | Interventions | None = "auto",
        on_alert: OnAlert = "warn",
        pictures: str | Pictures | None = "auto",
        compute: str | Compute = "auto",
        name: str = "saliency",
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.probes = check_probes(probes)
        self.log_dir = None if log_dir is None else check_log_dir(log_dir)
        methods_by_name(method)
        self.method = method
        self.score = checked_score(score)
        self.saliency_freq = check_positive_int(
            "saliency_freq",
            saliency_freq,
            hint="Pass the number of epochs between evaluations; 1 evaluates at every epoch.",
        )
        self.update_freq = check_update_freq(update_freq)
        self.interventions = checked_interventions(interventions)
        self.on_alert = check_on_alert(on_alert)
        self.pictures = checked_pictures(pictures)
        self.compute = checked_compute(compute)
        self.name = check_run("name", name)
        self.verbose = check_verbose(verbose)
        self.history: dict[str, list[Any]] = {"fit": [], "run": [], "step": []}
        self.report: SaliencyReport | None = None
        self._monitor: SaliencyMonitor | None = None  # once training begins
        self._log = self._new_log()
        self._before = RunState()  # of a copy: what the original had found
        self._console = Console(self.verbose)
        self._fits = 0
        self._first_epoch: int | None = None  # of this fit
        self._last_epoch = -1
        self._completed = 0  # epochs of earlier fits of this training, each from epoch 0
        self._work_before = Work()  # of this training, before this fit
        self._progress, self._log_seconds = Progress(), 0.0

    @property
    def monitor(self) -> SaliencyMonitor | None:
        """The monitor of the model that was trained last; `None` before a training.

        Its `probes` are those that the model sees: with kinds told, texts as tokens, columns that
        have no gradient held.
        """
        return self._monitor

    @property
    def alerts(self) -> list[Alert]:
        """What was caught: the tests that fired at two rounds in a row, as `Alert`s."""
        return [*self._state.alerts]

    @property
    def warnings(self) -> list[Alert]:
        """Tests that fired for the first time, before they became alerts."""
        return [*self._state.warnings]

    @property
    def effects(self) -> list[tuple[int, tuple[Effect, ...]]]:
        """What every test found: a list of pairs, step and tuple of `Effect`s."""
        return [*self._state.effects]

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy or a pickle: settings, history and alerts; no model, no trace, no open file."""
        without_model = vars(keras.callbacks.Callback())
        state = {**vars(self), **without_model, "_before": self._state, "_monitor": None}
        state["history"] = {name: [*values] for name, values in self.history.items()}
        return {**state, "_log": self._new_log(), "_progress": Progress()}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Traces the model and checks that it can be explained, before training begins."""
        explained = explained_part(self.model, self.score.model, self.probes)
        if not explained.built:  # `fit` would build it in a moment
            build(explained, self.probes, is_part=explained is not self.model)
        before, state = self._monitor, self._state
        if before is None or not before.explains(self.model):
            self._monitor = SaliencyMonitor(
                self.model,
                self.probes,
                method=self.method,
                score=self.score,
                interventions=self.interventions,
                compute=self.compute,
            )
            self._monitor.state.take_lists(state)  # what was caught before stays listed
            self._begin_model(self._monitor)
            self._console.begin_model()
        else:
            before.restart()
            if self._log is not None:
                self._log.close()  # what a fit that crashed left open
        self._fits += 1
        self._first_epoch, self._last_epoch = None, -1
        self._progress, self._log_seconds = Progress(), 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Explains the state before the first batch: new, loaded, or restored by a callback."""
        monitor = self._traced
        if self._first_epoch is None:
            self._first_epoch = epoch
            run = self._log.run if self._log else ""
            completed = continued(monitor, self._log, epoch)
            goes_on, self._completed = completed is not None or epoch > 0, completed or 0
            before = epoch - 1 + self._completed
            if not (goes_on and self._was_left_out(before)):
                self._evaluate(before, again=goes_on)
            self._work_before = monitor.state.work
            self._begin_progress(goes_on)
            self._console.print("what", f"{monitor.described}, {self._where()}")
            for note in monitor.notes:
                self._console.print(note, note)
            if self._log is not None:
                last = self._log.resumed_at
                self._console.run(self._fits, self._log.run, before, last=last, earlier=run)
            when = self.interventions.when if self.interventions else ""
            tested = monitor.state.tested
            found = None if tested is None else tested.interventions
            self._console.print("tests", what_is_tested(found, when))
            if self.interventions is not None:
                self._console.audit(monitor.probes)
        if monitor.state.work.is_thinned:
            self._console.budget(self.compute.budget or 0)
        if epoch == self._first_epoch + 2:
            costs, has_pictures = self._costs(), self.pictures is not None
            less = costs.less_with(saliency_freq=self.saliency_freq, has_pictures=has_pictures)
            self._console.costs_so_far(costs, less)
        self._progress.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Explains the model within an epoch, if asked to."""
        monitor, progress = self._traced, self._progress
        progress.end_batch(batch)
        if not isinstance(self.update_freq, str):
            count = progress.due(self.update_freq, self.params.get("steps"))
            if count is not None:
                with progress.paused():
                    self._keep(monitor.evaluate(count, unit=BATCH), BATCH)
        if progress.is_last_batch:  # another callback may save the weights after this epoch
            with progress.paused():
                self._wait_for_log()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Explains the model after an epoch; the metrics join Keras' `logs`."""
        monitor, self._last_epoch = self._traced, epoch
        self._count_training()
        is_last = epoch == self._num_epochs - 1 or self.model.stop_training
        if not is_last and epoch % self.saliency_freq:
            return
        if not is_last and not self._is_due(epoch):
            monitor.state.work = monitor.state.work.without(evaluations=1)
            return
        # A fit of one epoch may be one of a loop of fits, of which none is the last.
        ends = is_last and epoch != self._first_epoch
        is_tested = self._is_last_but_one(epoch) and monitor.state.work.is_thinned
        report = self._evaluate(epoch + self._completed, last=ends or is_tested)
        if is_last:
            self._wait_for_log()  # before another callback saves that the training has ended
        if logs is not None:
            metrics = {name: v for name, v in report.metrics.items() if is_logged(name)}
            tested = monitor.state.tested
            if tested is not None and tested.verdicts:  # without a test, 0 would say "fine"
                metrics["alert"] = float(any(verdict.active for verdict in tested.verdicts))
            keyed = {tags.log_key(name, self.name): value for name, value in metrics.items()}
            if logs.keys() & keyed:
                text = (
                    f"saliency: two callbacks have the name {self.name!r}; pass a different name= "
                    "to one of them"
                )
                warnings.warn(text, stacklevel=2)
            logs.update(keyed)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Explains the last epoch, if a callback after this one made it the last; closes files."""
        if self._first_epoch is None:
            self._make_up()
        monitor, epoch = self._traced, self._last_epoch
        latest, tested = monitor.state.latest.get(EPOCH), monitor.state.tested
        if epoch >= 0:
            step = epoch + self._completed
            is_explained = latest is not None and latest.step == step
            is_tested = tested is not None and tested.step == step
            is_due = self.interventions is not None and epoch != self._first_epoch
            if not is_explained:
                self._evaluate(step, last=is_due)
            elif is_due and not is_tested and monitor.is_current():
                self._evaluate(step, again=True, last=True)
            elif is_due and not is_tested:  # tests and maps of one step are of one state
                changed = f"the weights were changed after epoch {epoch} had been explained"
                self._console.print(
                    "changed", f"{changed}; the maps are those from before, not tested"
                )
        if self._log is not None:
            self._log.close()
        if self._last_epoch != self._first_epoch:  # not one of a loop of fits
            size = None if self._log is None else self._log.num_bytes()
            work, before = monitor.state.work, self._work_before
            self._console.costs_in_all(self._fits, self._costs(), size, work, before)

    def step_in_log(self) -> int | None:
        """The last step of the newest run in the log; `None` if it is not of this training's kind.

        That run has the same probes, method and score. To be called after `on_train_begin`.
        """
        latest = {} if self._log is None else (self._log.newest() or RunState()).latest
        return latest[EPOCH].step if EPOCH in latest else None

    def is_in_log(self) -> bool:
        """Whether the model may have the weights of the last step in the newest run in the log."""
        state = None if self._log is None else self._log.newest()
        return state is not None and self._traced.recognizer()(state)

    @property
    def _state(self) -> RunState:
        return self._before if self._monitor is None else self._monitor.state

    @property
    def _traced(self) -> SaliencyMonitor:
        if self._monitor is None:
            raise RuntimeError(
                "SaliencyCallback: expected on_train_begin before other events. Pass the callback "
                "to model.fit; in a custom training loop, use SaliencyMonitor."
            )
        return self._monitor

    def _new_log(self) -> TrainingLog | None:
        if self.log_dir is None:
            return None
        return TrainingLog(self.log_dir, self.name, self.pictures)

    def _begin_model(self, monitor: SaliencyMonitor) -> None:
        """Tells the log what distinguishes this training from others, and how it is made."""
        if self._log is None:
            return
        frequency = f"every {self.saliency_freq} epochs; update_freq={self.update_freq}"
        subject = {
            "method": ", ".join(monitor.methods),
            "score": monitor.score.name,
            "reduction": monitor.reduction,
            "parameters": f"{monitor.model.count_params():,}",
        }
        notes = {
            "model": monitor.model.name,
            "score's place": monitor.score_source,
            "compilation": monitor.compilation,
            "evaluated": f"{frequency}; at most {self.compute.batch_size} probes per pass",
        }
        self._log.begin_model(monitor.probes, subject, notes)

    def _make_up(self) -> None:
        """Explains the last epoch of a training that was killed after its weights were saved.

        It is resumed with no epoch left.
        """
        monitor, log, step = self._traced, self._log, self._num_epochs - 1
        if log and step >= 0 and lacks_last_step(monitor, log, step, self.saliency_freq):
            self._evaluate(step, again=True, last=True)

    @property
    def _num_epochs(self) -> int:
        """The number of epochs that the fit ends with; 0 if it is not known."""
        return int((self.params or {}).get("epochs", 0))

    def _is_last_but_one(self, epoch: int) -> bool:
        """Whether the next epoch that is due is the last one."""
        return epoch + self.saliency_freq >= self._num_epochs - 1 > epoch

    def _is_due(self, epoch: int) -> bool:
        """Whether an epoch is explained that is a multiple of `saliency_freq`, not the last one."""
        return self._is_last_but_one(epoch) or self._traced.is_evaluation_due()

    def _was_left_out(self, step: int) -> bool:
        """Whether the step that a training goes on after was left out, as it would be now.

        What was trained after the latest evaluation in the log is counted as if it had been here.
        """
        state = self._traced.state
        latest = state.latest.get(EPOCH)
        is_left_out = False
        for number in range(step if latest is None else latest.step + 1, step + 1):
            epoch = number - self._completed
            state.work = state.work.after_epoch()
            if epoch % self.saliency_freq == 0:
                is_left_out = not self._is_due(epoch)
                state.work = state.work.without(evaluations=int(is_left_out))
        return is_left_out

    def _count_training(self) -> None:
        """Counts the epoch that ended."""
        state, progress = self._traced.state, self._progress
        progress.end_epoch((self.params or {}).get("steps"))
        if progress.samples:
            state.batches = progress.batches
            state.work = state.work.after_epoch(progress.samples)

    def _begin_progress(self, goes_on: bool) -> None:
        """Counts batches from where the training is, and explains them in the rhythm it has."""
        state, explained, every = self._traced.state, None, 1
        if goes_on and not isinstance(self.update_freq, str):
            latest, every = state.latest.get(BATCH), self.update_freq
            explained = state.batches if latest is None else latest.step
        self._progress.begin_fit(self.model, state.batches, explained=explained, every=every)

    def _evaluate(self, step: int, *, again: bool = False, last: bool = False) -> SaliencyReport:
        """Evaluates at the end of an epoch, or before training.

        Args:
            step: Of the evaluation.
            again: Whether the last report on disk may show this very state.
            last: Whether it is the last one of the training.
        """
        state = self._traced.state
        count = state.evaluations
        report = self._traced.step(step, last=last)
        if state.evaluations > count:  # it repeats none
            state.work = state.work.after(self._picture_passes(count))
        self._keep(report, EPOCH, again=again)
        self._announce(report)
        return report

    def _picture_passes(self, count: int) -> int:
        """The work of the pictures of one evaluation, in forward passes.

        Args:
            count: How many evaluations there were before.
        """
        settings = self.pictures
        if settings is None or not settings.are_drawn(count):
            return 0
        return PASSES_PER_PICTURE * min(len(self.probes), settings.probes)

    def _keep(self, report: SaliencyReport, unit: str, *, again: bool = False) -> None:
        """Writes a report and adds it to the history."""
        self.report = report
        self._console.broken_scores(report, unit)
        run = self.name if unit == EPOCH else tags.batch_run(self.name)
        if self._log is not None:
            began = time.perf_counter()
            run = self._log.write(report, unit, self._traced.state, again=again)
            self._log_seconds += time.perf_counter() - began
        row = {"fit": self._fits, "run": run, "step": report.step, **report.metrics}
        add_row(self.history, row, replaces=again)

    def _wait_for_log(self) -> None:
        """Waits until all that was evaluated is written, or could not be."""
        if self._log is not None:
            began = time.perf_counter()
            self._log.wait()
            self._log_seconds += time.perf_counter() - began

    def _announce(self, report: SaliencyReport) -> None:
        """Prints new warnings and alerts, and does what `on_alert` says."""
        alerts = [alert for alert in report.alerts if alert.level == "alert"]
        self._console.findings(report)
        if not alerts or self.on_alert is None:
            return
        self._console.alerts(alerts)
        self._wait_for_log()  # what is called now may raise
        for alert in alerts:
            answer = self.on_alert(alert) if callable(self.on_alert) else self.on_alert
            if isinstance(answer, str) and answer == "stop":
                self.model.stop_training = True

    def _where(self) -> str:
        """How often maps are made, how they are compiled, and where to see them."""
        often = "every epoch" if self.saliency_freq == 1 else f"every {self.saliency_freq} epochs"
        batches = f" and every {self.update_freq} batches" if self.update_freq != "epoch" else ""
        where = f"; see them with: tensorboard --logdir {self.log_dir}" if self.log_dir else ""
        return f"{often}{batches}; {self._traced.compilation}{where}"

    def _costs(self) -> Costs:
        """What this fit and its evaluations took so far."""
        return dataclasses.replace(
            self._traced.costs, training=self._progress.seconds, log=self._log_seconds
        )
