"""`TrainingLog`: what one training writes: a run for the ends of epochs, and one within them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.detection.state import EPOCH, RunState
from keras_saliency.log import files, tags
from keras_saliency.log.files import Location
from keras_saliency.rendering.settings import Pictures
from keras_saliency.tensorboard.sink import MAX_PENDING, TensorBoardSink
from keras_saliency.tensorboard.writer_thread import WriterThread, wait_for_writers, warn


class TrainingLog:
    """Writes the reports of a training, over several fits and models.

    The first report of a run is written at once, since it chooses the run. Later ones are drawn,
    encoded and written by a thread, with the state after them, while the training goes on; the next
    report waits until that is done. What cannot be written is reported once per outage, and does
    not stop the training; during an outage, reports are written at once.

    Args:
        log_dir: The log directory, checked.
        name: The name of the run of the ends of epochs.
        pictures: As in `TensorBoardSink`, checked.

    Attributes:
        run: The name that the run has on disk.
    """

    def __init__(self, log_dir: Location, name: str, pictures: Pictures | None) -> None:
        self._log_dir, self._name, self._pictures, self.run = log_dir, name, pictures, name
        self._runs: dict[str, str] = {}  # that were written, by the names that were asked for
        self._sinks: dict[str, TensorBoardSink] = {}
        self._settings: tuple[ProbeSet, Mapping[str, object], Mapping[str, object]] | None = None
        self._has_warned = self._has_warned_of_state = False
        self._thread = WriterThread()

    def begin_model(
        self, probes: ProbeSet, subject: Mapping[str, object], notes: Mapping[str, object]
    ) -> None:
        """To be called before the first report of a model, with arguments as in the sink."""
        self.close()
        self._sinks, self._settings = {}, (probes, subject, notes)

    def resume(
        self, step: int, is_ours: Callable[[RunState], bool] | None = None
    ) -> RunState | None:
        """What an earlier process remembered of the training that goes on after this step.

        If the log of that process is ahead of this step, a line on the console says so.

        Args:
            step: As in `TensorBoardSink.resume`.
            is_ours: As there.
        """
        sink = self._sink(self._name, EPOCH)
        state = self._resume(sink, step, is_ours)
        if state is None and sink.is_resumed:
            print(
                f"saliency: the run {sink.run} goes on, but what it remembered cannot be read: "
                "comparisons with the start, and the tests, begin anew",
                flush=True,
            )
        return state

    def _resume(
        self,
        sink: TensorBoardSink,
        step: int,
        is_ours: Callable[[RunState], bool] | None = None,
    ) -> RunState | None:
        wait_for_writers()
        try:
            state = sink.resume(step, is_ours)
        except Exception as error:  # a training must not end because of an older log
            self._warn_unreadable(error)
            return None
        if sink.overtaken is not None:
            run, last = sink.overtaken
            print(
                f"saliency: the run {run} already has steps up to {last}; this training, which "
                f"continues after step {step}, gets a run of its own",
                flush=True,
            )
        return state

    def newest(self, is_ours: Callable[[RunState], bool] | None = None) -> RunState | None:
        """What the latest training of the same probes, method and score remembered, if any.

        Args:
            is_ours: As in `TensorBoardSink.newest`.
        """
        wait_for_writers()  # the latest one may have been of this process, and interrupted
        try:
            return self._sink(self._name, EPOCH).newest(is_ours)
        except Exception as error:
            self._warn_unreadable(error)
            return None

    @property
    def resumed_at(self) -> int | None:
        """The last step of the run, if it is that of an earlier process."""
        sink = self._sinks.get(self._name)
        return sink.last_step if sink is not None and sink.is_resumed else None

    def num_bytes(self) -> int | None:
        """The size of all that is in the runs of this training; `None` if it cannot be read."""
        try:
            runs = {*self._runs.values()}
            return sum(files.total_size(files.join(self._log_dir, run)) for run in runs)
        except OSError:
            return None

    def write(self, report: SaliencyReport, unit: str, state: RunState, *, again: bool) -> str:
        """Writes a report and the state after it, or has the thread write them.

        Args:
            report: The report.
            unit: What its step counts.
            state: Of the run.
            again: As in `TensorBoardSink.write`.

        Returns:
            The name that the run of this unit has on disk.
        """
        self._thread.wait()
        name = self._name_of(unit)
        sink = self._sinks.get(name)
        if sink is not None and sink.is_open:
            self._thread.run(partial(self._write, report, unit, _snapshot(state), again))
        else:
            self._write(report, unit, state, again)
        run = self._sinks[name].run
        if unit == EPOCH:
            self.run = run
        return run

    def _name_of(self, unit: str) -> str:
        return self._name if unit == EPOCH else tags.batch_run(self.run)

    def _write(self, report: SaliencyReport, unit: str, state: RunState, again: bool) -> None:
        name = self._name_of(unit)
        is_first = name not in self._sinks
        sink = self._sink(name, unit)
        try:
            if is_first and unit != EPOCH and self._sink(self._name, EPOCH).is_resumed:
                sink.resume(report.step - 1, is_known=True)
            sink.write(report, again=again)
            if unit == EPOCH:
                self._save_state(sink, report.step, state)
                within = self._sinks.get(tags.batch_run(self.run))
                if within is not None and state.batches:
                    self._save_state(within, state.batches)
            self._has_warned = False  # a later failure is another one
            self._runs[name] = sink.run
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warn(
                    f"saliency: step {report.step} could not be written to {self._log_dir}: "
                    f"{error}. Training goes on, and the last {MAX_PENDING} steps are kept to be "
                    "written later; all numbers are in SaliencyCallback.history."
                )

    def _save_state(self, sink: TensorBoardSink, step: int, state: RunState | None = None) -> None:
        try:
            sink.save_state(step, state)
            self._has_warned_of_state = False
        except Exception as error:  # a training must not end because of it
            if not self._has_warned_of_state:
                self._has_warned_of_state = True
                warn(
                    f"saliency: what a resumed training needs of step {step} could not be written "
                    f"to {self._log_dir}: {error!r}. All else was written."
                )

    def wait(self) -> None:
        """Waits until the latest report is written; what could not be written is said."""
        self._thread.wait()

    def close(self) -> None:
        """Waits for the thread and closes the files; warns of what is lost."""
        try:
            self._thread.wait()
        finally:
            for sink in self._sinks.values():
                try:
                    sink.close()
                except OSError as error:
                    warnings.warn(f"saliency: {error}", stacklevel=2)
            self._has_warned = False

    def _warn_unreadable(self, error: Exception) -> None:
        warnings.warn(
            f"saliency: earlier runs in {self._log_dir} could not be read, so none is continued: "
            f"{error!r}",
            stacklevel=3,
        )

    def _sink(self, name: str, unit: str) -> TensorBoardSink:
        if name not in self._sinks:
            if self._settings is None:
                raise RuntimeError("expected begin_model before the first report.")
            probes, subject, notes = self._settings
            self._sinks[name] = TensorBoardSink(
                self._log_dir,
                probes,
                run=name,
                previous_run=self._runs.get(name),
                subject=subject,
                notes=notes,
                pictures=self._pictures,
                unit=unit,
            )
        return self._sinks[name]


def _snapshot(state: RunState) -> RunState:
    """A copy of a state that does not change as the training goes on; records are shared."""
    values = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    mutable: dict[str, Any] = {
        name: value.copy() for name, value in values.items() if isinstance(value, dict | list)
    }
    return dataclasses.replace(state, **mutable)
