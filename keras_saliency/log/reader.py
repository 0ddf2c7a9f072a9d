"""Reads the log of a training: the data of the SALIENCY tab, as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event

from keras_saliency.log import files, tags
from keras_saliency.log.decoder import Blobs, Log, decoded
from keras_saliency.log.files import Location
from keras_saliency.log.headers import BlobError
from keras_saliency.log.records import Loss, records


def read_log(log_dir: str | Path) -> dict[str, Log]:
    """Reads the reports of all runs below a log directory, with their maps and metrics.

    Damaged records are left out, with a warning. `Log.problems` lists the steps that lack a part.

    Args:
        log_dir: TensorBoard's log directory: a path, or a URL such as `"gs://bucket/logs"`.

    Returns:
        The logs by the name of the run, such as `"saliency"`; sorted by name.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is not a directory, or has no readable log of `SaliencyCallback`.
        OSError: A file cannot be read.

    Example:
        >>> import numpy as np, tempfile
        >>> from keras_saliency import ProbeSet, SaliencyReport, TensorBoardSink, read_log
        >>> log_dir = tempfile.mkdtemp()
        >>> sink = TensorBoardSink(log_dir, ProbeSet(np.zeros((1, 2, 2, 1)), [0]))
        >>> one = np.ones(1)
        >>> sink.write(SaliencyReport(step=0, maps=np.array([[[0.0, 1.0], [2.0, 4.0]]]),
        ...                           targets=np.array([0]), predictions=np.array([0]),
        ...                           confidences=one, scores=one, gradient_norms=one,
        ...                           metrics={"gini": 0.5}))
        >>> sink.close()
        >>> log = read_log(log_dir)["saliency"]
        >>> log.reports[0].maps.round(2).tolist(), log.reports[0].metrics
        ([[[0.0, 1.0], [2.0, 4.0]]], {'gini': 0.5})
    """
    logs, broken = {}, []
    for run, blobs in read_blobs(log_dir).items():
        try:
            logs[run] = decoded(run, blobs)
        except BlobError as error:
            broken.append(f"{run}: {error}")
    if not logs:
        why = f" ({'; '.join(broken)})" if broken else ""
        raise ValueError(
            f"log_dir: expected a directory with a log of SaliencyCallback, received {log_dir}, "
            f"which has no readable log{why}. Use the log_dir of the callback. (With "
            "map_size=None, the callback does not write this log.)"
        )
    return logs


def read_blobs(log_dir: str | Path) -> dict[str, Blobs]:
    """Reads the data of the SALIENCY tab for all runs below a log directory, without decoding it.

    As in TensorBoard, a run is a directory with event files. If a tag has the same step twice, the
    last one written is used. Damaged records are left out, with a warning.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is not a directory.
        OSError: A file cannot be read.
    """
    if not isinstance(log_dir, str | Path):
        raise TypeError(f"log_dir: expected a path, received {log_dir!r}.")
    root = files.location(log_dir)
    if not files.is_dir(root):
        raise ValueError(f"log_dir: expected a directory, received {root}.")
    runs: dict[str, Blobs] = {}
    for run, where in files.event_files(root):
        damaged = 0
        for event in _events(where):
            if isinstance(event, Loss):
                damaged += not event.at_end
                if event.at_end:
                    text = f"{where} ends within a record: it is being written, or was cut off."
                    warnings.warn(text, stacklevel=2)
                continue
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == tags.PLUGIN:
                    steps = runs.setdefault(run, {}).setdefault(value.tag, {})
                    if event.step not in steps or steps[event.step][0] <= event.wall_time:
                        steps[event.step] = event.wall_time, list(value.tensor.string_val)
        if damaged:
            text = f"{where} is damaged: {_counted(damaged)} left out, the others are read."
            warnings.warn(text, stacklevel=2)
    return {run: _in_order(runs[run]) for run in sorted(runs)}


def _counted(damaged: int) -> str:
    return "1 record is" if damaged == 1 else f"{damaged} records are"


def events(where: Location) -> Iterator[Any]:
    """Yields the events of a file, without those that are damaged.

    Raises:
        OSError: The file cannot be read.
    """
    return (event for event in _events(where) if not isinstance(event, Loss))


def _events(where: Location) -> Iterator[Any]:
    for content in records(where):
        try:
            yield content if isinstance(content, Loss) else Event.FromString(content)
        except DecodeError:
            yield Loss(at_end=False)


def _in_order(blobs: Blobs) -> Blobs:
    return {tag: dict(sorted(steps.items())) for tag, steps in blobs.items()}
