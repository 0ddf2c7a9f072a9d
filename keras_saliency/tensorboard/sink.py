"""`TensorBoardSink`: writes reports for TensorBoard's own tabs and for the SALIENCY tab."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import platform
import re
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_BLOB_SEQUENCE, SummaryMetadata
from tensorboard.plugins.image.metadata import create_summary_metadata

from keras_saliency import __version__
from keras_saliency.data.checks import check_choice
from keras_saliency.data.probes import ProbeSet, check_probes
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.detection.state import RunState
from keras_saliency.log import files, tags
from keras_saliency.log.encoder import Encoder, Record
from keras_saliency.log.reader import alerts_in
from keras_saliency.log.states import SavedState, read_state, write_state
from keras_saliency.metrics.catalog import description
from keras_saliency.rendering.evidence import evidence
from keras_saliency.rendering.settings import Pictures, checked_pictures
from keras_saliency.tensorboard import custom_scalars, texts
from keras_saliency.tensorboard.checks import (
    check_log_dir,
    check_report,
    check_run,
    checked_texts,
)
from keras_saliency.tensorboard.pictures import PictureWriter
from keras_saliency.tensorboard.runs import (
    Contents,
    Run,
    continued_run,
    new_run,
    num_records,
    runs_of,
)

MAX_PENDING = 8
"""The number of steps that wait to be written if writing fails."""

_QUEUE: Mapping[str, int] = {"max_queue": 2**30, "flush_millis": 2_000_000}
"""TensorFlow's writer is to write only when it is told to. (More milliseconds overflow.)"""

_LATE = ("effect/", "flip/", "p_value/")
"""How the metrics begin that come with the findings."""


@dataclass
class _Pending:
    """A step to write.

    Attributes:
        report: What is to be written.
        again: As in `TensorBoardSink.write`.
        is_late: Whether all but the findings is on disk.
        pictures: PNG or JPEG files by tag, with height and width; `None` before they are drawn.
    """

    report: SaliencyReport
    again: bool
    is_late: bool = False
    pictures: dict[str, tuple[int, int, bytes]] | None = None


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
        tab_settings = settings or Pictures()
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
        self._new_pictures = partial(PictureWriter, probes, settings) if settings else lambda: None
        self._unit = check_choice("unit", unit, ("epoch", "batch"))
        began = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self._began = {"began": f"{began} on {platform.node()}, process {os.getpid()}"}
        self._subject["map_size"] = str(tab_settings.map_size)
        self._encoder = None if tab_settings.map_size is None else Encoder(probes, tab_settings)
        self._pictures: PictureWriter | None = self._new_pictures()
        self.overtaken: tuple[str, int] | None = None
        self._pending: deque[_Pending] = deque()
        self._latest: int | None = None  # the step of the latest report, since the last close
        self._findings_step: int | None = None  # the latest step whose findings were accepted
        self._written: frozenset[str] = frozenset()  # metrics of the latest step
        self._place: Run | None = None  # while it is taken
        self._overlaps = False  # whether steps may be written that the run has
        self._has_configuration = False  # whether the run has the configuration, on disk
        self._writer: Any = None
        self._file: files.Location | None = None  # that the writer writes to
        self._position = 0  # where what is known to be in that file ends
        self._drawn_step: int | None = None  # the step that the film strips end with

    @property
    def pending(self) -> tuple[int, ...]:
        """The steps that could not be written yet."""
        return tuple(entry.report.step for entry in self._pending)

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

    def resume(self, step: int) -> RunState | None:
        """Takes the run that a training which goes on after a step belongs to; to be called first.

        That run is the one that was written last, of the same probes, method and score, if its last
        step is this one or one before it. If a training was killed after it wrote a step and before
        it saved its weights, the run is one step ahead, and that step is written again.

        Args:
            step: The step that the weights are of, such as `initial_epoch - 1`.

        Returns:
            What the run remembers, for `SaliencyMonitor.state`; `None` if there is no such run, or
            it has no state.

        Raises:
            OSError: The log directory cannot be read.
        """
        found: dict[str, SavedState | None] = {}

        def fits(name: str, contents: Contents) -> bool:
            last = contents.last_step
            if last is None or not self._is_ours(contents):
                return False
            directory = files.join(self.log_dir, name)
            found[name] = read_state(directory, at_most=step)
            if last > step and found[name] is None:
                self.overtaken = (name, last)
            return last <= step or found[name] is not None

        own = self._own_run
        names = [own] if own else runs_of(self.log_dir, self._first_run)
        place = continued_run(self.log_dir, names, fits)
        if place is None:
            return None
        self._place = self._taken(place)
        self._overlaps = True
        saved = found[place.name]
        return None if saved is None else saved.state

    def newest(self) -> SavedState | None:
        """The latest state of the run that was written last, if it has the same subject."""
        for name in runs_of(self.log_dir, self._first_run)[:1]:
            saved = read_state(files.join(self.log_dir, name))
            if saved is not None and saved.subject == self._subject:
                return saved
        return None

    def save_state(self, step: int, state: RunState) -> None:
        """Writes what a run remembers, beside its event files, for `resume`.

        Args:
            step: Of the latest report, which was written.
            state: As in `SaliencyMonitor.state`.

        Raises:
            OSError: It cannot be written.
        """
        if self._place is not None:
            saved = SavedState(step, self._subject, state)
            write_state(files.join(self.log_dir, self.run), saved)

    def close(self) -> None:
        """Writes what waits, and closes the event file.

        A later `write` chooses the run as the first one does.

        Raises:
            OSError: Reports could not be written; they are lost.
        """
        try:
            if self._pending:
                self._write_pending()
            if self._writer is not None:
                self._writer.close()
        except (OSError, tf.errors.OpError) as error:
            steps = ", ".join(map(str, self.pending)) or "the latest one"
            text = f"the results of these steps are lost: {steps} ({_message(error)})"
            raise OSError(text) from error
        finally:
            self._pending.clear()
            self._writer = self._latest = self._findings_step = None
            self._release()

    def _write_pending(self) -> None:
        """Writes all reports that wait, and drops the oldest if too many remain."""
        try:
            while self._pending:
                try:
                    self._write_entry(self._pending[0])
                except _RemovedError:  # the directory is made again, once
                    self._write_entry(self._pending[0])
                self._pending.popleft()
        except (OSError, tf.errors.OpError) as error:
            self._writer = None  # the next call opens a new event file
            while len(self._pending) > MAX_PENDING:
                lost = self._pending.popleft().report.step
                warnings.warn(
                    f"saliency: the results of step {lost} are lost: only {MAX_PENDING} later "
                    "steps wait to be written.",
                    stacklevel=2,
                )
            raise OSError(_message(error)) from error

    def _write_entry(self, entry: _Pending) -> None:
        """Writes the report of one step with one flush, so that it is there as a whole or not."""
        if self._writer is None:
            self._open(entry)
        report, pictures = entry.report, self._pictures
        if entry.pictures is None:
            entry.pictures = {}
            if pictures is not None and report.step != self._drawn_step:
                self._drawn_step = report.step
                drawn = pictures.draw(report)
                with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow releases the GIL
                    encoded = pool.map(pictures.encoded, drawn.values())
                    entry.pictures = {
                        tag: (*picture.shape[:2], content)
                        for (tag, picture), content in zip(drawn.items(), encoded, strict=True)
                    }
        contents = Contents() if self._place is None else self._place.contents
        last = contents.last_step if entry.again and contents.last_step is not None else -2
        if last > report.step:
            return  # it is there, as a later one is
        if last == report.step and self._is_whole(contents, report):
            report = _with_earlier_alerts(report, contents)
            is_new = tags.ALERTS not in contents.tags or report is not entry.report
            if report.interventions is not None and is_new:
                self._write_step(report, {}, is_late=True)
        else:
            self._write_step(report, entry.pictures, is_late=entry.is_late)

    def _is_whole(self, contents: Contents, report: SaliencyReport) -> bool:
        """Whether what is written last of a step is there; a process may have died before."""
        if self._encoder is not None:
            return tags.REPORTS in contents.tags
        written = [name for name, value in report.metrics.items() if not math.isnan(value)]
        names = [name for name in written if not name.startswith(_LATE)]
        return not names or tags.metric_tag(names[-1]) in contents.tags

    def _open(self, entry: _Pending) -> None:
        """Opens a new event file, in the run that this report belongs to."""
        if self._place is None:
            self._place = self._taken_run(entry)
        directory = files.join(self.log_dir, self.run)
        before = {path for _, path in files.event_files(directory)}
        if not before:
            self._has_configuration = False  # also if there was one, and was removed
        self._writer = tf.summary.create_file_writer(str(directory), **_QUEUE)
        made = [path for _, path in files.event_files(directory) if path not in before]
        self._file = made[0] if made else None
        self._position = files.size(self._file) if self._file else 0

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
        names = [own] if own else runs_of(self.log_dir, self._first_run) if step >= 0 else []
        place = continued_run(self.log_dir, names, fits) or new_run(self.log_dir, self._first_run)
        return self._taken(place)

    def _taken(self, place: Run) -> Run:
        if place.name != self._own_run:
            self._pictures, self._drawn_step = self._new_pictures(), None
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

    def _write_step(
        self,
        report: SaliencyReport,
        pictures: Mapping[str, tuple[int, int, bytes]],
        *,
        is_late: bool,
    ) -> None:
        """Writes what is new in a step, the record that makes it whole last."""
        writes: list[Callable[[], object]] = []
        for tag, (height, width, content) in pictures.items():
            about = "" if self._pictures is None else self._pictures.description(tag)
            writes.append(partial(_write_picture, tag, height, width, content, about))
        if not (is_late or self._has_configuration):
            text, layout = self._configuration(), custom_scalars.layout(report.metrics)
            about_layout = custom_scalars.METADATA
            writes += [
                partial(tf.summary.text, tags.CONFIGURATION, text),
                partial(tf.summary.write, custom_scalars.LAYOUT_TAG, layout, metadata=about_layout),
            ]
        if report.interventions is not None:
            writes += self._findings(report)
        written = self._written if is_late else frozenset()
        for name, value in report.metrics.items():
            if name not in written and not math.isnan(value):
                tag, about = tags.metric_tag(name), description(name)
                writes.append(partial(tf.summary.scalar, tag, value, description=about))
        if not is_late:
            writes += [partial(write_record, record) for record in self._tab_records(report)]
        # Another callback may have disabled recording; this one always records.
        with self._writer.as_default(step=report.step), tf.summary.record_if(True):
            for write in writes:
                write()
            self._writer.flush()
        self._check_file(report.step, len(writes))
        self._written = frozenset(report.metrics)
        self._has_configuration = True

    def _check_file(self, step: int, num_written: int) -> None:
        """Checks that all is in the file: TensorFlow's writer drops some errors.

        It writes to a file that was removed, and loses what is written while the disk is full.
        """
        if self._file is None:
            return
        if files.exists(self._file):
            count, self._position = num_records(self._file, self._position)
            if count < num_written:
                raise OSError(f"{self._file} has only {count} of {num_written} new records")
            return
        self._writer = None
        self._release()
        warnings.warn(
            f"saliency: the directory {files.join(self.log_dir, self.run)} was removed during "
            f"training, with all that was written before step {step}. It is created again, and "
            "this and later steps are written there.",
            stacklevel=2,
        )
        raise _RemovedError(f"{self._file} was removed")

    def _findings(self, report: SaliencyReport) -> list[Callable[[], object]]:
        """What writes the results of interventions."""
        writes: list[Callable[[], object]] = [
            partial(tf.summary.scalar, tags.alert_tag(one.effect.test), float(one.active))
            for one in report.verdicts
        ]
        writes.append(partial(tf.summary.text, tags.ALERTS, texts.findings(report)))
        # Alerts about groups have no examples.
        pictures = [
            evidence(self._probes, report, alert) if alert.examples else None
            for alert in report.alerts
        ]
        for alert, picture in zip(report.alerts, pictures, strict=True):
            if picture is not None and self._pictures is not None:
                tag, content = tags.evidence_tag(alert.rule), self._pictures.encoded(picture)
                height, width, _ = picture.shape
                about = texts.row([alert.sentence])
                writes.append(partial(_write_picture, tag, height, width, content, about))
        records = self._for_tab(lambda encoder: [encoder.of_findings(report, pictures)], report)
        return [*writes, *(partial(write_record, record) for record in records)]

    def _tab_records(self, report: SaliencyReport) -> list[Record]:
        """The records of a report for the SALIENCY tab."""

        def records(encoder: Encoder) -> list[Record]:
            of_report = encoder.of_report(report)
            if self._has_configuration:
                return of_report
            return [encoder.of_probes(self._settings(), unit=self._unit), *of_report]

        return self._for_tab(records, report)

    def _for_tab(
        self, make: Callable[[Encoder], list[Record]], report: SaliencyReport
    ) -> list[Record]:
        """Makes records of the SALIENCY tab; an error here does not affect other tabs."""
        if self._encoder is None:
            return []
        try:
            return make(self._encoder)
        except Exception as error:
            self._encoder = None
            warnings.warn(
                f"saliency: the SALIENCY tab gets no more data from step {report.step} on, because "
                f"of {error!r}. TensorBoard's other tabs are not affected. Please report this.",
                stacklevel=2,
            )
            return []

    def _settings(self) -> dict[str, str]:
        drawing = {} if self._pictures is None else self._pictures.configuration()
        return self._subject | self._notes | self._began | drawing

    def _configuration(self) -> str:
        drawn = () if self._pictures is None else self._pictures.drawn
        return texts.configuration(self._settings(), self._probes, drawn)


class _RemovedError(OSError):
    """The directory of the run was removed."""


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


def _message(error: Exception) -> str:
    if not isinstance(error, tf.errors.OpError):
        return str(error)
    return re.sub(r"^{{.*?}} | \[Op:.*", "", " ".join(error.message.split()))


def _write_picture(tag: str, height: int, width: int, content: bytes, about: str) -> None:
    tf.summary.write(
        tag,
        tf.constant([str(width).encode(), str(height).encode(), content]),
        metadata=create_summary_metadata(display_name=None, description=_cut(about)),
    )


def _cut(description: str) -> str:
    """Cuts a description to 127 bytes: ClearML silently loses pictures with longer ones."""
    encoded = description.encode()
    return description if len(encoded) < 128 else encoded[:124].decode(errors="ignore") + "…"


def write_record(record: Record) -> None:
    """Writes a record to TensorFlow's current default writer, at its current step."""
    tag, blobs = record
    metadata = SummaryMetadata(data_class=DATA_CLASS_BLOB_SEQUENCE)
    metadata.plugin_data.plugin_name = tags.PLUGIN
    tf.summary.write(tag, tf.constant(blobs), metadata=metadata)
