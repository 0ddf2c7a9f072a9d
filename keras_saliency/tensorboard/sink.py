"""`TensorBoardSink`: writes reports for TensorBoard's own tabs and for the SALIENCY tab."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.log import tags
from keras_saliency.log.encoder import Encoder, Record
from keras_saliency.log.reader import events
from keras_saliency.metrics.catalog import description
from keras_saliency.rendering.evidence import evidence
from keras_saliency.rendering.settings import Pictures, checked_pictures
from keras_saliency.tensorboard import custom_scalars
from keras_saliency.tensorboard.checks import (
    check_log_dir,
    check_report,
    check_run,
    checked_texts,
)
from keras_saliency.tensorboard.pictures import PictureWriter


class TensorBoardSink:
    """Writes reports as pictures, scalars and text to a TensorBoard log directory.

    Nothing is created before the first report. When `write` returns, the report is on disk.
    Existing event files are never changed. The first report chooses the run: if the last step of
    an existing run is before its own step, and that run has the same probes, method and score, the
    sink continues that run (a resumed training). Otherwise the run gets a number: `saliency_2`,
    `saliency_3`, ...

    Args:
        log_dir: TensorBoard's log directory, as in `keras.callbacks.TensorBoard`.
        probes: The probes of the reports.
        run: The name of the run below `log_dir`.
        subject: The settings that distinguish runs, such as `"method"` and `"score"`, with their
            values, which are written as text. Default: the methods of the reports.
        notes: Other settings to show in the Text tab, with their values.
        pictures: Settings for pictures: `"auto"` or a `Pictures`. `None`: no pictures in
            TensorBoard's own tabs; the SALIENCY tab still has all maps.
        unit: What steps count, `"epoch"` or `"batch"`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `log_dir` is a file or a URL; another argument has a wrong value.
    """

    def __init__(
        self,
        log_dir: str | Path,
        probes: ProbeSet,
        *,
        run: str = tags.EPOCH_RUN,
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
        self._subject["map_size"] = str(tab_settings.map_size)
        self._encoder = None if tab_settings.map_size is None else Encoder(probes, tab_settings)
        self._pictures: PictureWriter | None = self._new_pictures()
        self._has_configuration = False  # whether the configuration is in the run, on disk
        self._last_step: int | None = None  # in the run, on disk
        self._drawn_step: int | None = None
        self._written: frozenset[str] = frozenset()  # metrics of the latest step
        self._findings_step: int | None = None  # the latest step whose findings are on disk
        self._writer: Any = None

    def write(self, report: SaliencyReport, *, again: bool = False) -> None:
        """Writes one report. Until `close`, steps must increase from call to call.

        A report of the latest step is not written again; if it has new findings of interventions,
        these are added.

        Args:
            report: The report to write.
            again: Whether the last report on disk may be of the same state, as at the start of a
                resumed training. If it has the same step, the report is not written again.

        Raises:
            TypeError: `report` is not a report.
            ValueError: The report is about other probes, or its step is before the latest one.
            OSError: The directory or the event file cannot be created, read or written.
        """
        check_report(report, self._probes)
        drawn = self._drawn_step
        if self._writer is not None and drawn is not None and report.step < drawn:
            raise ValueError(
                f"report: expected a step after {drawn}, the latest one that was written, received "
                f"step {report.step}. To begin another run, call close() first."
            )
        try:
            self._write_once(report, again)
        except tf.errors.OpError as error:
            raise OSError(error.message) from error

    def _write_once(self, report: SaliencyReport, again: bool) -> None:
        if self._writer is None:
            self._open(report, again)
        if report.step == self._drawn_step:
            if report.interventions is not None and self._findings_step != report.step:
                self._write_findings(report)  # they were not in the report before
            return
        drawn = {} if self._pictures is None else self._pictures.draw(report)
        self._drawn_step = report.step
        if report.step == self._last_step:
            return
        try:
            self._write(report, drawn)
        except tf.errors.OpError:
            self._writer = None  # the next call opens a new event file
            raise
        self._last_step = report.step

    def _open(self, report: SaliencyReport, again: bool) -> None:
        step, before = report.step, dict(self._subject)
        if not self._has_subject:
            self._subject["method"] = ", ".join((report.method, *report.others))
        is_next = (
            self._last_step is not None
            and (self._last_step < step or (again and self._last_step == step))
            and self._subject == before
        )
        if not is_next:
            self.run, self._last_step = self._choose_run(step, again)
            self._pictures = self._new_pictures()
            self._has_configuration = False
            self._drawn_step = self._findings_step = None
        self._writer = tf.summary.create_file_writer(str(self.log_dir / self.run))

    def _choose_run(self, step: int, again: bool) -> tuple[str, int | None]:
        """The first run that a report of this step may continue, and the last step of that run."""
        name, number = self._first_run, 1
        while True:
            last, text = last_step(self.log_dir / name)
            is_ours = all(_row(item) in text for item in self._subject.items())
            if last is None or (is_ours and (last < step or (again and last == step))):
                return name, last
            number += 1
            name = f"{self._first_run}_{number}"

    def _settings(self) -> dict[str, str]:
        drawing = {} if self._pictures is None else self._pictures.configuration()
        return self._subject | self._notes | drawing

    def _configuration(self) -> str:
        settings = self._settings()
        table = [_row(("setting", "value")), _row(("---", "---")), *map(_row, settings.items())]
        columns = ("probe", "target", "group", "picture")
        probes = [_row(columns), _row(["---"] * len(columns))]
        for index, name in enumerate(self._probes.names):
            targets, groups = self._probes.targets, self._probes.groups
            target = "first prediction" if targets is None else str(targets[index])
            if targets is not None and self._probes.class_names:
                target += f" {self._probes.class_name(targets[index])}"
            group = "" if groups is None else str(groups[index])
            is_drawn = self._pictures is not None and self._pictures.is_drawn(index)
            picture = "yes" if is_drawn else "no"
            probes.append(_row((name, target, group, picture)))
        return "\n".join([*table, "", *probes])

    def close(self) -> None:
        """Closes the event file. A later `write` chooses the run as the first one does."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, report: SaliencyReport, drawn: dict[str, Array]) -> None:
        pictures = self._pictures
        contents: list[bytes] = []
        if pictures is not None:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow releases the GIL
                contents = list(pool.map(pictures.encoded, drawn.values()))
        # Another callback may have disabled recording; this one always records.
        with self._writer.as_default(step=report.step), tf.summary.record_if(True):
            self._write_scalars(report.metrics)
            for (tag, picture), content in zip(drawn.items(), contents, strict=True):
                description = "" if pictures is None else pictures.description(tag)
                self._write_picture(tag, picture, content, description)
            if not self._has_configuration:
                tf.summary.text(tags.CONFIGURATION, self._configuration())
                tf.summary.write(
                    custom_scalars.LAYOUT_TAG,
                    custom_scalars.layout(report.metrics),
                    metadata=custom_scalars.METADATA,
                )
            self._writer.flush()
        self._write_for_tab(partial(self._tab_records, report), report.step)
        self._has_configuration = True
        if report.interventions is not None:
            self._write_findings(report)

    def _tab_records(self, report: SaliencyReport) -> list[Record]:
        """The records of a report for the SALIENCY tab."""
        if self._encoder is None:
            return []
        records = self._encoder.of_report(report)
        if not self._has_configuration:
            records.insert(0, self._encoder.of_probes(self._settings(), unit=self._unit))
        return records

    def _write_for_tab(self, make: Callable[[], list[Record]], step: int) -> None:
        """Writes the data of the SALIENCY tab, last: an error here does not affect other tabs."""
        try:
            records = make()
        except Exception as error:
            self._encoder = None
            warnings.warn(
                f"saliency: the SALIENCY tab gets no more data from step {step} on, because of "
                f"{error!r}. TensorBoard's other tabs are not affected. Please report this.",
                stacklevel=2,
            )
            return
        with self._writer.as_default(step=step), tf.summary.record_if(True):
            for record in records:
                write_record(record)
            self._writer.flush()

    def _write_scalars(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            if not math.isnan(value):
                tag = tags.metric_tag(name)
                tf.summary.scalar(tag, value, description=description(name))
        self._written = frozenset(metrics)

    def _write_findings(self, report: SaliencyReport) -> None:
        """Writes the results of interventions, which may come after the rest of a report."""
        with self._writer.as_default(step=report.step), tf.summary.record_if(True):
            late = report.metrics.keys() - self._written
            self._write_scalars({name: report.metrics[name] for name in sorted(late)})
            for verdict in report.verdicts:
                tf.summary.scalar(tags.alert_tag(verdict.effect.test), float(verdict.active))
            tf.summary.text(tags.ALERTS, self._findings(report))
            # Alerts about groups have no examples.
            pictures = [
                evidence(self._probes, report, alert) if alert.examples else None
                for alert in report.alerts
            ]
            for alert, picture in zip(report.alerts, pictures, strict=True):
                if picture is not None and self._pictures is not None:
                    content = self._pictures.encoded(picture)
                    tag = tags.evidence_tag(alert.rule)
                    self._write_picture(tag, picture, content, _row([alert.sentence]))
            self._writer.flush()
        encoder = self._encoder
        if encoder is not None:
            self._write_for_tab(lambda: [encoder.of_findings(report, pictures)], report.step)
        self._findings_step = report.step

    def _findings(self, report: SaliencyReport) -> str:
        results = report.interventions
        if results is None:
            return ""
        columns = (
            "test",
            "effect",
            "net flips",
            "p",
            "floor",
            "control",
            "at the start",
            "verdict",
        )
        rows = [_row(columns), _row(["---"] * len(columns))]
        for verdict in report.verdicts:
            effect = verdict.effect
            numbers = (
                effect.effect,
                effect.flip,
                verdict.p_value,
                verdict.floor,
                effect.control,
                verdict.start,
            )
            outcome = f"**{verdict.status}**" if verdict.status == "fires" else verdict.status
            outcome += f": {verdict.reason}" if verdict.reason else ""
            outcome += " (alert)" if verdict.active else ""
            outcome += " (alert withdrawn)" if verdict.withdrawn else ""
            rows.append(_row((verdict.subject, *map(_number, numbers), outcome)))
        sentences = [f"{alert.level}: {alert.sentence}\n" for alert in report.alerts]
        notes = [f"No alert yet: {results.blocked_because}.\n"] if results.blocked_because else []
        notes += [f"{results.note}.\n"] if results.note else []
        notes.append(f"Effects in {results.unit}; {results.passes} forward passes.\n")
        return "\n".join([*sentences, *notes, *rows])

    def _write_picture(self, tag: str, picture: Array, content: bytes, description: str) -> None:
        height, width, _ = picture.shape
        tf.summary.write(
            tag,
            tf.constant([str(width).encode(), str(height).encode(), content]),
            metadata=create_summary_metadata(display_name=None, description=_cut(description)),
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


def _row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', '&#124;') for cell in cells)} |"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def last_step(directory: Path) -> tuple[int | None, str]:
    """The largest step in the event files of a run, and the configuration of the run.

    Returns:
        `(None, "")` if there are no events.
    """
    last, text = None, ""
    for path in sorted(directory.glob("*tfevents*")):
        for event in events(path):
            for value in event.summary.value:
                last = event.step if last is None else max(last, event.step)
                if value.tag == tags.CONFIGURATION:
                    text = value.tensor.string_val[0].decode()
    return last, text
