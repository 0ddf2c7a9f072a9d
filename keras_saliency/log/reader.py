"""Reads the log of a training: the data of the SALIENCY tab, as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from keras_saliency.data.read_only import freeze, restore
from keras_saliency.data.reports import (
    Alert,
    Array,
    Effect,
    InterventionResults,
    SaliencyReport,
    Verdict,
)
from keras_saliency.data.serialization import from_json
from keras_saliency.log import tags
from keras_saliency.log.blobs import unpacked, values
from keras_saliency.log.files import Location
from keras_saliency.log.headers import BlobError

Blobs = dict[str, dict[int, tuple[float, list[bytes]]]]
"""The wall time and the blobs, by tag and step."""


@dataclass(frozen=True, eq=False)
class LoggedProbes:
    """The probes of a logged run. Arrays and mappings are read-only.

    Attributes:
        names: The name of each probe.
        targets: `(num_probes,)`, class indices; `None` if the targets are the first predictions.
        class_names: The names of the classes, by index, or `None`.
        groups: The group of each probe, or `None`.
        kind: The kind of input, a key of `keras_saliency.data.inputs.KINDS`.
        fingerprint: The fingerprint of the `ProbeSet`.
        shape: The shape of a map at the size of the model's input; the logged maps may be smaller.
        pictures: uint8 `(num_probes, height, width, 3)`, pictures of the inputs.
        masks: bool `(num_probes, ...)`, with the shape of the logged maps, or `None`.
        regions: The masks of the regions by name, bool `(num_probes or 1, ...)`.
        places: int32 `(num_probes or 1, height, width)`, for inputs that are not images: the index
            of the place in the map that each pixel of a picture shows (in C order), or -1.
        ink: uint8 `(num_probes, height, width)`, how much of each pixel of a picture is covered by
            text or lines; `None` if there are none.
    """

    names: tuple[str, ...]
    targets: Array | None
    class_names: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    kind: str
    fingerprint: str
    shape: tuple[int, ...]
    pictures: Array = field(repr=False)
    masks: Array | None = field(repr=False)
    regions: Mapping[str, Array] = field(repr=False)
    places: Array | None = field(repr=False)
    ink: Array | None = field(repr=False)

    def __post_init__(self) -> None:
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied record, read-only as before."""
        restore(self, state)


@dataclass(frozen=True, eq=False)
class Log:
    """One logged run.

    Attributes:
        run: The name of the run in TensorBoard, which is its directory.
        unit: What steps count: `"epoch"` or `"batch"`.
        configuration: The name and value of each setting, as text.
        probes: The probes of the run.
        reports: The reports, in the order of their steps. The error of map values is at most
            1 / 504 of the largest value of the map (signed maps: 1 / 252). Maps of images larger
            than `map_size` are block means, maps of volumes contain only the slices that are shown.
            Alerts have no examples.
        problems: Descriptions of the parts that could not be read; empty if everything was read.
    """

    run: str
    unit: str
    configuration: Mapping[str, str]
    probes: LoggedProbes
    reports: tuple[SaliencyReport, ...] = field(repr=False)
    problems: tuple[str, ...]

    def __post_init__(self) -> None:
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied log, read-only as before."""
        restore(self, state)


def read_log(log_dir: str | Path) -> dict[str, Log]:
    """Reads the reports of all runs below a log directory, with their maps and metrics.

    If a file is damaged or cut off, the part before that is read, with a warning.

    Args:
        log_dir: TensorBoard's log directory.

    Returns:
        The logs by the name of the run, such as `"saliency"`; sorted by name.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is not a directory, or has no readable log of `SaliencyCallback`.

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
            logs[run] = _log(run, blobs)
        except _BROKEN as error:
            broken.append(f"{run}: {_why(error)}")
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
    last one written is used. If a file is damaged or cut off, the part before that is read, with a
    warning.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is not a directory.
    """
    if not isinstance(log_dir, str | Path):
        raise TypeError(f"log_dir: expected a path, received {log_dir!r}.")
    root = Path(log_dir)
    if not root.is_dir():
        raise ValueError(f"log_dir: expected a directory, received {root}.")
    runs: dict[str, Blobs] = {}
    for path in sorted(root.rglob("*tfevents*")):
        run = path.parent.relative_to(root).as_posix()
        count = 0
        for event in events(path):
            count += 1
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == tags.PLUGIN:
                    steps = runs.setdefault(run, {}).setdefault(value.tag, {})
                    if event.step not in steps or steps[event.step][0] <= event.wall_time:
                        steps[event.step] = event.wall_time, list(value.tensor.string_val)
        if count < _records(path):
            text = f"{path} is damaged or cut off: only its first {count} events are read."
            warnings.warn(text, stacklevel=2)
    return {run: _in_order(runs[run]) for run in sorted(runs)}


def events(path: Location) -> Iterator[Any]:
    """Yields the events of a file, until it is damaged or cut off."""
    for content in RawEventFileLoader(str(path)).Load():
        try:
            yield Event.FromString(content)
        except DecodeError:
            return


def _records(path: Path) -> int:
    """The number of events in a file, including an incomplete one at the end.

    Each event has its length and two checksums around it.
    """
    count, position, size = 0, 0, path.stat().st_size
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            position += 16 + int.from_bytes(file.read(8), "little")
            count += 1
    return count


_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""The errors that data of an unexpected form may raise."""


def _why(error: Exception) -> str:
    if isinstance(error, BlobError):
        return str(error)
    return f"its data has an unexpected form ({error!r})"


def _in_order(blobs: Blobs) -> Blobs:
    return {tag: dict(sorted(steps.items())) for tag, steps in blobs.items()}


def _log(run: str, blobs: Blobs) -> Log:
    if not blobs.get(tags.PROBES):
        raise BlobError("it has no probes")
    _, first = list(blobs[tags.PROBES].values())[-1]
    header, arrays = unpacked(first)
    probes = _probes(header, arrays)
    reports, problems = [], []
    for step, (_, content) in blobs.get(tags.REPORTS, {}).items():
        try:
            reports.append(_report(step, content, blobs, len(probes.names)))
        except _BROKEN as error:
            problems.append(f"{run}, step {step}: {_why(error)}")
    return Log(
        run,
        header["unit"],
        header["configuration"],
        probes,
        tuple(reports),
        tuple(problems),
    )


def _probes(header: dict[str, Any], arrays: dict[str, Array]) -> LoggedProbes:
    def listed(name: str) -> tuple[Any, ...] | None:
        return None if header[name] is None else tuple(header[name])

    regions = list(arrays["regions"].astype(bool)) if "regions" in arrays else []
    return LoggedProbes(
        names=tuple(header["names"]),
        targets=None if header["targets"] is None else np.array(header["targets"]),
        class_names=listed("class_names"),
        groups=listed("groups"),
        kind=header["kind"],
        fingerprint=header["fingerprint"],
        shape=tuple(header["shape"]),
        pictures=arrays["pictures"],
        masks=arrays["masks"].astype(bool) if "masks" in arrays else None,
        regions=dict(zip(header["regions"], regions, strict=True)),
        places=arrays.get("places"),
        ink=arrays.get("ink"),
    )


def _report(step: int, content: list[bytes], blobs: Blobs, num_probes: int) -> SaliencyReport:
    header, _ = unpacked(content)
    maps = {}
    for method, method_header in header["methods"].items():
        _, map_blobs = blobs.get(tags.maps_tag(method), {}).get(step, (0.0, []))
        _, arrays = unpacked(map_blobs)
        if arrays["maps"].dtype != np.uint8 or len(arrays["maps"]) != num_probes:
            raise BlobError(f"its maps of {method!r} are not uint8 maps of {num_probes} probes")
        signed, limits = method_header["signed"], _floats(method_header["limits"])
        maps[method] = values(arrays["maps"], limits=limits, signed=signed)
    first, *others = maps
    is_signed = header["methods"][first]["signed"]
    results, verdicts, alerts, effect_metrics = _findings(blobs.get(tags.FINDINGS, {}).get(step))
    metrics = {**header["metrics"], **effect_metrics}
    return SaliencyReport(
        step=step,
        maps=np.abs(maps[first]),
        targets=np.array(header["targets"]),
        predictions=np.array(header["predictions"]),
        confidences=_floats(header["confidences"]),
        scores=_floats(header["scores"]),
        gradient_norms=_floats(header["gradient_norms"]),
        metrics={name: _float(value) for name, value in metrics.items()},
        method=first,
        signed_maps=maps[first] if is_signed else None,
        others={name: maps[name] for name in others},
        interventions=results,
        verdicts=verdicts,
        alerts=alerts,
    )


def _findings(
    entry: tuple[float, list[bytes]] | None,
) -> tuple[InterventionResults | None, tuple[Verdict, ...], tuple[Alert, ...], dict[str, Any]]:
    """The results of the interventions, the verdicts, the alerts and the metrics of effects."""
    if entry is None:
        return None, (), (), {}
    header, _ = unpacked(entry[1])
    verdicts = tuple(
        from_json(Verdict, row, effect=from_json(Effect, row | {"p_value": row["raw_p_value"]}))
        for row in header["verdicts"]
    )
    effects = tuple(verdict.effect for verdict in verdicts)
    results = from_json(InterventionResults, header, effects=effects)
    alerts = tuple(from_json(Alert, row, examples=()) for row in header["alerts"])
    return results, verdicts, alerts, header["metrics"]


def alerts_in(findings: Sequence[bytes]) -> tuple[Alert, ...]:
    """The alerts in the record of the findings of a step; none if it cannot be read."""
    try:
        return _findings((0.0, [*findings]))[2] if findings else ()
    except _BROKEN:
        return ()


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _floats(row: list[float | None]) -> Array:
    return np.array([_float(value) for value in row], np.float32)
