"""`Summaries`: the events that TensorBoard shows of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_BLOB_SEQUENCE, SummaryMetadata
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar import metadata as scalars

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.log import tags
from keras_saliency.log.encoder import Encoder, Record
from keras_saliency.metrics.catalog import description
from keras_saliency.rendering.evidence import evidence
from keras_saliency.rendering.settings import Pictures
from keras_saliency.tensorboard import custom_scalars, texts
from keras_saliency.tensorboard.event_file import Write
from keras_saliency.tensorboard.pictures import PictureWriter
from keras_saliency.tensorboard.writer_thread import warn

_LATE = ("effect/", "flip/", "p_value/", "permutation_importance/")
"""How the metrics begin that come with the findings."""


class Summaries:
    """Makes what is written of a report; the record that makes a step whole comes last.

    Args:
        probes: The probes of the run.
        pictures: Settings for pictures; `None`: no pictures in TensorBoard's own tabs.
        unit: What steps count.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures | None, unit: str) -> None:
        tab = pictures or Pictures()
        self._probes, self._settings, self._unit = probes, pictures, unit
        self._encoder = None if tab.map_size is None else Encoder(probes, tab)
        self._pictures: PictureWriter | None = None
        self._added_step: int | None = None  # the step that the film strips end with
        self._undrawn: SaliencyReport | None = None  # that of this step, if it has no pictures
        self.begin_run()

    def begin_run(self) -> None:
        """Begins new film strips."""
        self._pictures = PictureWriter(self._probes, self._settings) if self._settings else None
        self._added_step = self._undrawn = None

    def films(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What is kept of earlier reports: values for JSON, and the arrays that these name."""
        return ({}, {}) if self._pictures is None else self._pictures.to_json()

    def resume(self, films: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Continues the film strips that another process began."""
        if self._pictures is not None and films:
            self._pictures.resume(films, arrays)

    def pictures(self, report: SaliencyReport) -> list[Write]:
        """The pictures of a report, if it is to have some; its maps join the film strips.

        None of the step that joined them last.
        """
        drawing, settings = self._pictures, self._settings
        if drawing is None or settings is None or report.step == self._added_step:
            return []
        self._added_step, self._undrawn = report.step, None
        if not settings.are_drawn(drawing.index(report.step)):
            self._undrawn = report
            drawing.add(report)
            return []
        return self._drawn(drawing, report)

    def last(self) -> tuple[int, list[Write]] | None:
        """The step of the latest report and its pictures, if these were not made yet."""
        report, self._undrawn = self._undrawn, None
        if report is None or self._pictures is None:
            return None
        return report.step, self._drawn(self._pictures, report)

    def _drawn(self, drawing: PictureWriter, report: SaliencyReport) -> list[Write]:
        drawn = drawing.draw(report)
        writes: list[Write] = []
        for tag, picture in drawn.items():
            content, about = drawing.encoded(picture), drawing.description(tag)
            writes.append(partial(_write_picture, tag, picture.shape, content, about))
        return writes

    def report(
        self, report: SaliencyReport, configuration: Mapping[str, str] | None
    ) -> list[Write]:
        """All of a report but its pictures.

        Args:
            report: The report.
            configuration: Names and values of settings, if they are to be written.
        """
        writes: list[Write] = []
        if configuration is not None:
            configuration = {**configuration, **self._drawing()}
            drawn = () if self._pictures is None else self._pictures.drawn
            text = texts.configuration(configuration, self._probes, drawn)
            layout = custom_scalars.layout(report.metrics)
            about = custom_scalars.METADATA
            writes += [
                partial(tf.summary.text, tags.CONFIGURATION, text),
                partial(tf.summary.write, custom_scalars.LAYOUT_TAG, layout, metadata=about),
            ]
        if report.interventions is not None:
            writes += self._findings(report)
        writes += _scalars(report.metrics)

        def records(encoder: Encoder) -> list[Record]:
            of_report = encoder.of_report(report)
            if configuration is None:
                return of_report
            return [encoder.of_probes(configuration, unit=self._unit), *of_report]

        return writes + self._for_tab(records, report)

    def findings(self, report: SaliencyReport, written: Collection[str]) -> list[Write]:
        """The results of interventions, and the metrics that are not among those written."""
        metrics = {name: v for name, v in report.metrics.items() if name not in written}
        return self._findings(report) + _scalars(metrics)

    def is_whole(self, written: Collection[str], report: SaliencyReport) -> bool:
        """Whether what is written last of a report is among these tags."""
        if self._encoder is not None:
            return tags.REPORTS in written
        names = [name for name, value in report.metrics.items() if not math.isnan(value)]
        names = [name for name in names if not name.startswith(_LATE)]
        return not names or tags.metric_tag(names[-1]) in written

    def _drawing(self) -> dict[str, str]:
        return {} if self._pictures is None else self._pictures.configuration()

    def _findings(self, report: SaliencyReport) -> list[Write]:
        writes: list[Write] = [
            partial(_write_scalar, tags.alert_tag(one.effect.test), float(one.active))
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
                about = texts.row([alert.sentence])
                writes.append(partial(_write_picture, tag, picture.shape, content, about))
        return writes + self._for_tab(lambda one: [one.of_findings(report, pictures)], report)

    def _for_tab(
        self, make: Callable[[Encoder], list[Record]], report: SaliencyReport
    ) -> list[Write]:
        """Makes records of the SALIENCY tab; an error here does not affect other tabs."""
        if self._encoder is None:
            return []
        try:
            return [partial(write_record, record) for record in make(self._encoder)]
        except Exception as error:
            self._encoder = None
            warn(
                f"saliency: the SALIENCY tab gets no more data from step {report.step} on, because "
                f"of {error!r}. TensorBoard's other tabs are not affected. Please report this."
            )
            return []


def _scalars(metrics: Mapping[str, float]) -> list[Write]:
    return [
        partial(_write_scalar, tags.metric_tag(name), value, description(name))
        for name, value in metrics.items()
        if not math.isnan(value)
    ]


def _write_scalar(tag: str, value: float, about: str | None = None) -> None:
    """As `tf.summary.scalar`, which takes longer."""
    metadata = scalars.create_summary_metadata(display_name=None, description=about)
    tf.summary.write(tag, tf.constant(value, tf.float32), metadata=metadata)


def _write_picture(tag: str, shape: tuple[int, ...], content: bytes, about: str) -> None:
    height, width, *_ = shape
    tf.summary.write(
        tag,
        tf.constant([str(width).encode(), str(height).encode(), content]),
        metadata=images.create_summary_metadata(display_name=None, description=_cut(about)),
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
