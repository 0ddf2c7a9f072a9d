"""`TensorBoardSink`: reports to TensorBoard's stock Images, Scalars and Text tabs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.image.metadata import create_summary_metadata

from keras_saliency import _tags
from keras_saliency._checks import check_choice
from keras_saliency.heatmaps import SCALES, check_colormap
from keras_saliency.probes import ProbeSet
from keras_saliency.reports import Array, SaliencyReport
from keras_saliency.sinks.pictures import Pictures


class TensorBoardSink:
    """Writes reports as pictures, scalars and text, below one log directory.

    Nothing is created before the first report; every report is on disk when `write` returns.
    Event files that are there already are never touched and never overruled. The first report
    after opening decides: if its step follows the last one on disk, it goes on in that run (a
    resumed training); if its step is the last one on disk, it is that very state, seen again, and
    is not written twice; else the run gets a number, `saliency_2`, `saliency_3`, ...

    Args:
        log_dir: TensorBoard's log directory, as that of `keras.callbacks.TensorBoard`.
        probes: What the reports are about.
        run: The run's name below `log_dir`.
        configuration: What was computed, name and value, for the Text tab.
        scale: One of `keras_saliency.heatmaps.SCALES`.
        colormap: The name of a matplotlib colormap.

    Raises:
        TypeError: `log_dir` is no path; an argument has the wrong type.
        ValueError: `log_dir` is a file; `scale` or `colormap` is unknown.
    """

    def __init__(
        self,
        log_dir: str | Path,
        probes: ProbeSet,
        *,
        run: str = _tags.EPOCH_RUN,
        configuration: dict[str, str] | None = None,
        scale: str = "epoch",
        colormap: str = "hot",
    ) -> None:
        self.log_dir = check_log_dir(log_dir)
        check_choice("scale", scale, SCALES)
        check_colormap(colormap)
        self.run = self._first_run = run
        self._new_pictures = partial(Pictures, probes, scale, colormap)
        self._configuration = configuration or {}
        self._last_step: int | None = None  # in the run, on disk
        self._drawn_step: int | None = None
        self._writer: Any = None

    def write(self, report: SaliencyReport) -> None:
        """Writes one report. Steps must increase from call to call, until `close`.

        Raises:
            OSError: The directory can't be made or read.
            tf.errors.OpError: The event file can't be written.
        """
        if self._writer is None:
            self._open(report.step)
        if report.step == self._drawn_step:
            return
        drawn = self._pictures.draw(report)
        self._drawn_step = report.step
        if report.step == self._last_step:
            return
        try:
            self._write(report, drawn)
        except tf.errors.OpError:
            self._writer = None  # a new event file, next time
            raise
        self._last_step = report.step

    def _open(self, step: int) -> None:
        if self._last_step is None or not goes_on(self._last_step, step):
            self.run, self._last_step = continued_run(self.log_dir, self._first_run, step)
            self._pictures = self._new_pictures()
            self._drawn_step = None
            self._text = _table(
                ("setting", "value"),
                [*self._configuration.items(), *self._pictures.configuration().items()],
            )
        self._writer = tf.summary.create_file_writer(str(self.log_dir / self.run))

    def close(self) -> None:
        """Closes the event file; a later `write` goes on, by the rule above."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, report: SaliencyReport, drawn: dict[str, Array]) -> None:
        # Another callback may have left a condition on recording active; ours always records.
        with self._writer.as_default(step=report.step), tf.summary.record_if(True):
            for name, value in report.statistics.items():
                if not math.isnan(value):
                    tf.summary.scalar(_tags.statistic_tag(name), value)
            for tag, picture in drawn.items():
                self._write_picture(tag, picture)
            if self._text:
                tf.summary.text(_tags.CONFIGURATION, self._text)
            self._writer.flush()
        self._text = ""

    def _write_picture(self, tag: str, picture: Array) -> None:
        height, width, _ = picture.shape
        content = self._pictures.encoded(picture)
        tf.summary.write(
            tag,
            tf.constant([str(width).encode(), str(height).encode(), content]),
            metadata=create_summary_metadata(
                display_name=None, description=self._pictures.description(tag)
            ),
        )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )


def check_log_dir(log_dir: object) -> Path:
    """Returns the path.

    Raises:
        TypeError: Not a path.
        ValueError: A file, or below one.
    """
    if not isinstance(log_dir, str | Path):
        raise TypeError(f"log_dir: expected a path, received {log_dir!r}.")
    path = Path(log_dir)
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(f"log_dir: expected a directory, received {path}; {place} is a file.")
    return path


def goes_on(last: int, step: int) -> bool:
    """Whether a report of this step belongs in a run that ends with step `last`.

    Training that begins anew, at step -1, never goes on.
    """
    return last < step or last == step >= 0


def continued_run(log_dir: Path, run: str, step: int) -> tuple[str, int | None]:
    """The run in which a first report of this step is to be written, and its last step so far."""
    number = 1
    while True:
        name = run if number == 1 else f"{run}_{number}"
        last = last_step(log_dir / name)
        if last is None or goes_on(last, step):
            return name, last
        number += 1


def last_step(directory: Path) -> int | None:
    """The largest step in the event files of a run; `None` where there is none."""
    steps = [
        event.step
        for path in sorted(directory.glob("*tfevents*"))
        for event in map(Event.FromString, RawEventFileLoader(str(path)).Load())
        if event.HasField("summary")
    ]
    return max(steps, default=None)
