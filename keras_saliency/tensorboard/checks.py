"""Checks of what a sink is given: where to write, the texts about a run, and the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.log.files import Location, location, scheme


def check_log_dir(log_dir: object) -> Location:
    """Checks a log directory and returns where it is.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is a URL of an unknown file system, a file, or a path below a file.
    """
    if not isinstance(log_dir, str | Path):
        raise TypeError(f"log_dir: expected a path, received {log_dir!r}.")
    if not str(log_dir):
        raise ValueError("log_dir: expected a directory, received ''. Pass '.' for this directory.")
    try:
        path = location(log_dir)
    except RuntimeError as error:  # a home directory that does not exist
        raise ValueError(f"log_dir: expected a directory, received {log_dir!r}: {error}") from error
    if isinstance(path, str):
        known = sorted(name for name in tf.io.gfile.get_registered_schemes() if name)
        if scheme(path) not in known:
            raise ValueError(
                f"log_dir: expected a directory, or the URL of a file system that TensorFlow knows "
                f"({', '.join(known)}), received {path!r}. TensorFlow knows more file systems, "
                "such as s3:// and hdfs://, once tensorflow_io is installed and imported."
            )
        return path
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise ValueError(f"log_dir: expected a directory, received {path}; {part} is a file.")
    return path


def check_run(argument: str, name: object) -> str:
    """Checks the name of a run, which becomes a directory, and returns it.

    Raises:
        TypeError: `name` is not a string.
        ValueError: `name` is empty or contains slashes.
    """
    if not isinstance(name, str):
        raise TypeError(f"{argument}: expected a string, received {name!r}.")
    if not name or set(name) & set("/\\") or name in (".", ".."):
        raise ValueError(
            f"{argument}: expected a directory name without slashes, received {name!r}."
        )
    return name


def checked_texts(argument: str, settings: object) -> dict[str, str]:
    """Returns names of settings and their values, as text; `None` is an empty dict.

    Raises:
        TypeError: `settings` is not a dict, or a name is not a string.
    """
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise TypeError(
            f"{argument}: expected a dict that maps names of settings (strings) to their values, "
            f"received {settings!r}."
        )
    return {name: str(value) for name, value in settings.items()}


def check_report(report: object, probes: ProbeSet) -> None:
    """Checks that a report is one about these probes.

    Raises:
        TypeError: `report` is not a report.
        ValueError: There is another number of maps, or they have another shape.
    """
    if not isinstance(report, SaliencyReport):
        raise TypeError(
            f"report: expected a SaliencyReport, received {type(report).__name__}. "
            "SaliencyMonitor.step and evaluate return reports."
        )
    if [*report.other_inputs] != [*probes.other_inputs]:
        raise ValueError(
            f"report: expected maps of {_listed(probes.explained)}, as the sink's probes have, "
            f"received other inputs: {_listed(report.other_inputs)}."
        )
    for name, one in report.other_inputs.items():
        check_report(one, probes.other_inputs[name])
    if report.maps.shape != probes.map_shape:
        raise ValueError(
            f"report: expected maps of shape {probes.map_shape}, as the sink's probes are "
            f"{probes.images.shape}, received maps of shape {report.maps.shape}. Pass the probes "
            "of the monitor that made the report: TensorBoardSink(log_dir, monitor.probes)."
        )


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(repr, names)) or "none"
