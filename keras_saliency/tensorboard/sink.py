"""`TensorBoardSink`: writes reports for TensorBoard's own tabs and for the SALIENCY tab."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_saliency import __version__
from keras_saliency.data.checks import check_choice
from keras_saliency.data.probes import ProbeSet, check_probes
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.detection.state import RunState
from keras_saliency.log import files, tags
from keras_saliency.log.decoder import alerts_in
from keras_saliency.log.states import SavedState, read_state, write_state
from keras_saliency.rendering.settings import Pictures, checked_pictures
from keras_saliency.tensorboard import texts
from keras_saliency.tensorboard.checks import (
    check_log_dir,
    check_report,
    check_run,
    checked_texts,
)
from keras_saliency.tensorboard.event_file import EventFile, RemovedError, Write
from keras_saliency.tensorboard.runs import Contents, Run, continued_run, new_run, runs_of
from keras_saliency.tensorboard.summaries import Summaries
from keras_saliency.tensorboard.writer_thread import warn

MAX_PENDING = 8
"""The number of steps that wait to be written if writing fails."""


@dataclass
class _Pending:
    """A step to write.

    Attributes:
        report: What is to be written.
        again: As in `TensorBoardSink.write`.
        is_late: Whether all but the findings is on disk.
        pictures: What writes its pictures; `None` before they are drawn.
    """

    report: SaliencyReport
    again: bool
    is_late: bool = False
    pictures: list[Write] | None = None


class TensorBoardSink:
    """Writes reports as pictures, scalars and text to a TensorBoard log directory.

    Nothing is created before the first report. When `write` returns, the report is on disk.
    Existing event files are never changed. The first report chooses the run: if the last step of
    an existing run is before its own step, and that run has the same probes, method and score, and
    no other training is writing it, the sink continues that run (a resumed training). Otherwise the
    run gets a number: `saliency_2`, `saliency_3`, ...

    A report that cannot be written waits for the next call of `write` or `close`, which writes it
    first. At most eight reports wait; if there are more, the oldest is lost, with a warning.

    Args:
        log_dir: TensorBoard's log directory, as in `keras.callbacks.TensorBoard`; also the URL of
            a file system that TensorFlow knows, such as `gs://bucket/logs`.
        probes: The probes of the reports.
        run: The name of the run below `log_dir`.
        previous_run: The run that an earlier sink of this training has written. The first report
            continues that run or begins a new one.
        subject: The settings that distinguish runs, such as `"method"` and `"score"`, with their
            values, which are written as text. Default: the methods of the reports.
        notes: Other settings to show in the Text tab, with their values.
        pictures: Settings for pictures: `"auto"` or a `Pictures`. `None`: no pictures in
            TensorBoard's own tabs; the SALIENCY tab still has all maps.
        unit: What steps count, `"epoch"` or `"batch"`.

    Attributes:
        run: The name of the run that is written.
        overtaken: The run that `resume` found to be ahead of the training, and its last step;
            `None` if there is none.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `log_dir` is a file, or a URL of an unknown file system; another argument has a
            wrong value.
    """

    def __init__(
        self,
        log_dir: str | Path,
        probes: ProbeSet,
        *,
        run: str = tags.EPOCH_RUN,
        previous_run: str | None = None,
        subject: Mapping[str, object] | None = None,
        notes: Mapping[str, object] | None = None,
        pictures: str | Pictures | None = "auto",
        unit: str = "epoch",
    ) -> None:
        self.log_dir = check_log_dir(log_dir)
        check_probes(probes)
        settings = checked_pictures(pictures)
        self._summaries = Summaries(
            probes, settings, check_choice("unit", unit, ("epoch", "batch"))
        )
        self.run = self._first_run = check_run("run", run)
        if previous_run is not None:
            check_run("previous_run", previous_run)
        self._own_run = previous_run  # once it is chosen, `run`
        self._probes = probes
        self._has_subject = subject is not None
        self._subject = checked_texts("subject", subject) | {
            "probes": f"{len(probes)}, {probes.fingerprint}"
        }
        self._notes = checked_texts("notes", notes) | {
            "versions": f"keras_saliency {__version__}, keras {keras.__version__}, "
            f"tensorflow {tf.__version__}"
        }
        began = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self._notes["began"] = f"{began} on {platform.node()}, process {os.getpid()}"
        self._subject["map_size"] = str((settings or Pictures()).map_size)
        self.overtaken: tuple[str, int] | None = None
        self._pending: deque[_Pending] = deque()
        self._latest: int | None = None  # the step of the latest report, since the last close
        self._findings_step: int | None = None  # the latest step whose findings were accepted
        self._written: frozenset[str] = frozenset()  # metrics of the latest step
        self._place: Run | None = None  # while it is taken
        self._has_looked = False  # whether `resume` has looked for a run to continue
        self._overlaps = False  # whether steps may be written that the run has
        self._has_configuration = False  # whether the run has the configuration, on disk
        self._file: EventFile | None = None

    @property
    def pending(self) -> tuple[int, ...]:
        """The steps that could not be written yet."""
        return tuple(entry.report.step for entry in self._pending)

    @property
    def is_open(self) -> bool:
        """Whether an event file is open, that the latest report was written to."""
        return self._file is not None

    def write(self, report: SaliencyReport, *, again: bool = False) -> None:
        """Writes one report. Until `close`, steps must increase from call to call.

        A report of the latest step is not written again; if it has new findings of interventions,
        these are added.

        Args:
            report: The report to write.
            again: Whether the last report on disk may be of the same state, as at the start of a
                resumed training. If it has the same step, only what is missing is written.

        Raises:
            TypeError: `report` is not a report.
            ValueError: The report is about other probes, or its step is before the latest one.
            OSError: The directory or the event file cannot be created, read or written. The report
                is written later, see above.
        """
        check_report(report, self._probes)
        latest, step = self._latest, report.step
        if latest is not None and step < latest:
            raise ValueError(
                f"report: expected a step after {latest}, the latest one that was written, "
                f"received step {step}. To begin another run, call close() first."
            )
        waiting = self._pending[-1] if self._pending else None
        if step != latest:
            self._pending.append(_Pending(report, again))
        elif report.interventions is None or self._findings_step == step:
            return
        elif waiting is not None and waiting.report.step == step:
            waiting.report = report
        else:
            self._pending.append(_Pending(report, again, is_late=True))
        self._latest = step
        if report.interventions is not None:
            self._findings_step = step
        self._write_pending()

    def resume(
        self,
        step: int,
        is_ours: Callable[[RunState], bool] | None = None,
        *,
        is_known: bool = False,
    ) -> RunState | None:
        """Takes the run that a training which goes on after a step belongs to; to be called first.

        That run is one of the same probes, method and score whose last step is this one or one
        before it: the one that `is_ours` recognises, otherwise the one that was written last. If a
        training was killed after it wrote a step and before it saved its weights, the run is one
        step ahead, and that step is written again.

        Args:
            step: The step that the weights are of, such as `initial_epoch - 1`.
            is_ours: Whether a state that was saved at this very step may be of this training, such
                as `SaliencyMonitor.recognizer()`. Runs with other states are left alone.
            is_known: Whether it is known that the run of this very name is of this training,
                whatever is in it.

        Returns:
            The state that was saved with the run, for `SaliencyMonitor.state`; `None` if there is
            no such run, or its state is missing or damaged.

        Raises:
            OSError: The log directory cannot be read.
        """
        found: dict[str, SavedState | None] = {}
        self._has_looked = True

        def fits(name: str, contents: Contents) -> bool:
            last = contents.last_step
            if is_known:
                return True
            if last is None or not self._is_ours(contents) or self.overtaken is not None:
                return False
            if last > step and found[name] is None:
                self.overtaken = (name, last)
            return last <= step or found[name] is not None

        names = runs_of(self.log_dir, self._first_run)
        if self._own_run or is_known:
            names = [self._own_run or self._first_run]
        recognised, others = [], []
        for name in names:
            with suppress(OSError):  # it may be somebody else's
                found[name] = read_state(files.join(self.log_dir, name), self._subject, step)
                saved = found[name]
                if is_ours is None or saved is None or saved.state is None or saved.step < step:
                    others.append(name)
                elif is_ours(saved.state):
                    recognised.append(name)
                    break
        place = continued_run(self.log_dir, recognised + others, fits)
        if place is None:
            return None
        self._place = self._taken(place)
        self._overlaps = True
        saved = found[place.name]
        if saved is None:
            return None
        try:
            self._summaries.resume(saved.films, saved.arrays)
        except (ValueError, LookupError, TypeError):  # it is damaged
            self._summaries.begin_run()
        return saved.state

    def newest(self, is_ours: Callable[[RunState], bool] | None = None) -> RunState | None:
        """The latest state of the run of the same subject that was written last.

        Args:
            is_ours: What has to be true of the state.
        """
        for name in runs_of(self.log_dir, self._first_run):
            with suppress(OSError):  # it may be somebody else's
                saved = read_state(files.join(self.log_dir, name), self._subject)
                state = None if saved is None else saved.state
                if state is not None and (is_ours is None or is_ours(state)):
                    return state
        return None

    @property
    def is_resumed(self) -> bool:
        """Whether `resume` has found the run of an earlier training, since the last close."""
        return self._overlaps

    @property
    def last_step(self) -> int | None:
        """The last step of the run when it was taken; `None` if it was empty, or none is taken."""
        return None if self._place is None else self._place.contents.last_step

    def save_state(self, step: int, state: RunState | None = None) -> None:
        """Writes what a run remembers, beside its event files, for `resume`.

        Args:
            step: Of the latest report, which was written.
            state: As in `SaliencyMonitor.state`; `None`: the film strips only.

        Raises:
            OSError: It cannot be written.
        """
        if self._place is not None:
            saved = SavedState(step, self._subject, state, *self._summaries.films())
            write_state(files.join(self.log_dir, self.run), saved)

    def close(self) -> None:
        """Writes what waits and the pictures of the last report, and closes the event file.

        A later `write` chooses the run as the first one does.

        Raises:
            OSError: Reports, or the last pictures, could not be written; they are lost.
        """
        try:
            if self._pending:
                self._write_pending()
            if self._file is not None:
                last = self._summaries.last()
                if last is not None:
                    self._file.write(*last)
                self._file.close()
        except RemovedError as error:
            raise OSError(f"{error}, with all that was written") from error
        except OSError as error:
            steps = ", ".join(map(str, self.pending))
            lost = f"the results of these steps are lost: {steps}"
            raise OSError(f"{lost if steps else 'the last pictures are lost'} ({error})") from error
        finally:
            self._pending.clear()
            self._file = self._latest = self._findings_step = None
            self._overlaps = self._has_looked = False
            self._release()

    def _write_pending(self) -> None:
        """Writes all reports that wait, and drops the oldest if too many remain."""
        try:
            while self._pending:
                try:
                    self._write_entry(self._pending[0])
                except RemovedError as error:
                    self._begin_again(self._pending[0].report.step, error)
                    self._write_entry(self._pending[0])
                self._pending.popleft()
        except OSError:
            self._file = None  # the next call opens a new one
            while len(self._pending) > MAX_PENDING:
                lost = self._pending.popleft().report.step
                warn(
                    f"saliency: the results of step {lost} of {self.run} are lost: only "
                    f"{MAX_PENDING} later steps wait to be written."
                )
            raise

    def _write_entry(self, entry: _Pending) -> None:
        """Writes the report of one step with one flush, so that it is there as a whole or not."""
        file = self._open(entry) if self._file is None else self._file
        report, step = entry.report, entry.report.step
        if entry.pictures is None:
            entry.pictures = self._summaries.pictures(report)
        contents = Contents() if self._place is None else self._place.contents
        is_there = entry.again and step in contents.steps
        if is_there and step != contents.last_step:
            return  # as a whole, since a later one is there
        is_late = entry.is_late
        if is_there and self._summaries.is_whole(contents.tags, report):
            report = _with_earlier_alerts(report, contents)
            is_new = tags.ALERTS not in contents.tags or report is not entry.report
            if report.interventions is None or not is_new:
                return
            is_late = True
        if is_late:
            file.write(step, self._summaries.findings(report, self._written))
        else:
            settings = None if self._has_configuration else self._subject | self._notes
            file.write(step, entry.pictures + self._summaries.report(report, settings))
        self._written = frozenset(report.metrics)
        self._has_configuration = True

    def _open(self, entry: _Pending) -> EventFile:
        """Opens a new event file, in the run that this report belongs to."""
        if self._place is None:
            self._place = self._taken_run(entry)
        elif not files.is_dir(files.join(self.log_dir, self.run)):
            raise RemovedError(f"{files.join(self.log_dir, self.run)} was removed")
        self._file = EventFile(files.join(self.log_dir, self.run))
        if self._file.is_first:
            self._has_configuration = False  # also if there was one, and was removed
        return self._file

    def _begin_again(self, step: int, why: RemovedError) -> None:
        """Says that the file or directory of the run was removed, and gives it up."""
        self._file = None
        self._release()
        warn(
            f"saliency: {why} during training, with all that was written before step {step}. A new "
            "one is created, and this and later steps are written there."
        )

    def _taken_run(self, entry: _Pending) -> Run:
        """Takes the run that this report belongs to."""
        step, before = entry.report.step, self._subject.get("method")
        if not self._has_subject:
            self._subject["method"] = ", ".join((entry.report.method, *entry.report.others))
        is_same = before in (None, self._subject.get("method"))

        def fits(_: str, contents: Contents) -> bool:
            last = contents.last_step
            if last is None:
                return True
            is_before = last < step or (entry.again and last == step)
            return self._is_ours(contents) and (is_before or self._overlaps)

        own = self._own_run if is_same else None
        may_continue = step >= 0 and not self._has_looked
        names = [own] if own else runs_of(self.log_dir, self._first_run) if may_continue else []
        place = continued_run(self.log_dir, names, fits) or new_run(self.log_dir, self._first_run)
        return self._taken(place)

    def _taken(self, place: Run) -> Run:
        if place.name != self._own_run:
            self._summaries.begin_run()
        self.run = self._own_run = place.name
        self._has_configuration = bool(place.contents.configuration)
        return place

    def _is_ours(self, contents: Contents) -> bool:
        """Whether a run has the same probes, method and score."""
        return all(texts.row(item) in contents.configuration for item in self._subject.items())

    def _release(self) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None


def _with_earlier_alerts(report: SaliencyReport, contents: Contents) -> SaliencyReport:
    """The report of a step that is on disk, with its alerts and those that were raised before.

    The same report, if it has no alert that is new.
    """
    earlier = alerts_in(contents.findings)
    known = {(alert.level, alert.rule) for alert in earlier}
    if all((alert.level, alert.rule) in known for alert in report.alerts):
        return report
    raised = {(alert.level, alert.rule) for alert in report.alerts}
    kept = [alert for alert in earlier if (alert.level, alert.rule) not in raised]
    return dataclasses.replace(report, alerts=(*kept, *report.alerts))
