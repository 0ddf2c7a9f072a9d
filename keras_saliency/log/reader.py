"""The log of a training, read back: what the SALIENCY tab shows, as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
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
from keras_saliency.log.blobs import BlobError, unpacked, values

Blobs = dict[str, dict[int, tuple[float, list[bytes]]]]
"""By tag and step, the wall time and the blobs."""


@dataclass(frozen=True, eq=False)
class LoggedProbes:
    """What a log holds of the probes; arrays and mappings are read-only.

    Attributes:
        names: A name for each probe.
        targets: `(num_probes,)` class indices; `None` where the first predictions were taken.
        class_names: By class index; `None` where none were given.
        groups: A label for each probe, or `None`.
        kind: What the input is, a key of `keras_saliency.data.inputs.KINDS`.
        fingerprint: As that of the `ProbeSet`.
        shape: Of a map as the model's input has it; maps of the log may be smaller.
        pictures: uint8 `(num_probes, height, width, 3)`, the inputs as they are shown.
        masks: bool `(num_probes, ...)`, of the maps' shape, or `None`.
        regions: By name, bool `(num_probes or 1, ...)`.
        places: int32 `(num_probes or 1, height, width)`, for inputs other than images: which place
            of a map, counted in C order, a pixel of a picture shows; -1 for none.
        ink: uint8 `(num_probes, height, width)`, how much of each pixel of a picture is covered by
            text or lines; `None` where there are none.
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
    """One run of a log.

    Attributes:
        run: Its name: the directory, as TensorBoard calls it.
        unit: What steps count: `"epoch"` or `"batch"`.
        configuration: Name and value of each setting, as text.
        probes: What was explained.
        reports: In the order of their steps. Maps are off by 1 / 504 of the map's largest value
            at most (signed ones by 1 / 252); those of images that pass `map_size` are means of
            blocks, those of volumes the slices that are shown; there are no examples.
        problems: What could not be read, in plain words; empty if all could.
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
    """The reports of all runs below a log directory, with their maps and metrics, in memory.

    A file that is damaged, or cut off, is read up to there, with a warning.

    Args:
        log_dir: TensorBoard's log directory.

    Returns:
        Log by the name of its run, such as `"saliency"`; sorted by name.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: It is not a directory, or has no readable log of `SaliencyCallback`.

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
            f"log_dir: expected a log of SaliencyCallback in {log_dir}, found none that can be "
            f"read{why}. Give the directory that the callback got as log_dir. (With map_size=None "
            "it keeps no such log.)"
        )
    return logs


def read_blobs(log_dir: str | Path) -> dict[str, Blobs]:
    """The tab's data of all runs below a log directory, as they are.

    A run is a directory that holds event files, as in TensorBoard. Where a tag has a step twice,
    the one written last counts. A file that is damaged, or cut off, is read up to there, with a
    warning.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: It is not a directory.
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
            text = f"{path} is damaged, or cut off: only its first {count} events are read."
            warnings.warn(text, stacklevel=2)
    return {run: _in_order(runs[run]) for run in sorted(runs)}


def events(path: Path) -> Iterator[Any]:
    """The events of a file, up to where it is damaged or cut off."""
    for content in RawEventFileLoader(str(path)).Load():
        try:
            yield Event.FromString(content)
        except DecodeError:
            return


def _records(path: Path) -> int:
    """How many events a file begins; each is framed by its length and two checksums."""
    count, place, size = 0, 0, path.stat().st_size
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            place += 16 + int.from_bytes(file.read(8), "little")
            count += 1
    return count


_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What is raised on data that are not as the format has them."""


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, BlobError) else f"it is not as expected ({error!r})"


def _in_order(blobs: Blobs) -> Blobs:
    return {tag: dict(sorted(steps.items())) for tag, steps in blobs.items()}


def _log(run: str, blobs: Blobs) -> Log:
    if not blobs.get(tags.PROBES):
        raise BlobError("it holds no probes")
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
    for method, told in header["methods"].items():
        _, kept = blobs.get(tags.maps_tag(method), {}).get(step, (0.0, []))
        _, arrays = unpacked(kept)
        if arrays["maps"].dtype != np.uint8 or len(arrays["maps"]) != num_probes:
            raise BlobError(f"its maps of {method!r} are not those of {num_probes} probes")
        signed = told["signed"]
        maps[method] = values(arrays["maps"], limits=_floats(told["limits"]), signed=signed)
    first, *others = maps
    is_signed = header["methods"][first]["signed"]
    found, verdicts, alerts, late = _findings(blobs.get(tags.FINDINGS, {}).get(step))
    numbers = {**header["metrics"], **late}
    return SaliencyReport(
        step=step,
        maps=np.abs(maps[first]),
        targets=np.array(header["targets"]),
        predictions=np.array(header["predictions"]),
        confidences=_floats(header["confidences"]),
        scores=_floats(header["scores"]),
        gradient_norms=_floats(header["gradient_norms"]),
        metrics={name: _float(value) for name, value in numbers.items()},
        method=first,
        signed_maps=maps[first] if is_signed else None,
        others={name: maps[name] for name in others},
        interventions=found,
        verdicts=verdicts,
        alerts=alerts,
    )


def _findings(
    kept: tuple[float, list[bytes]] | None,
) -> tuple[InterventionResults | None, tuple[Verdict, ...], tuple[Alert, ...], dict[str, Any]]:
    """What the interventions found, and the metrics that came with it."""
    if kept is None:
        return None, (), (), {}
    header, _ = unpacked(kept[1])
    verdicts = tuple(
        from_json(Verdict, row, effect=from_json(Effect, row | {"p_value": row["raw_p_value"]}))
        for row in header["verdicts"]
    )
    found = InterventionResults(
        tuple(verdict.effect for verdict in verdicts),
        header["blocked_because"],
        header["unit"],
        header["passes"],
        header["note"],
    )
    alerts = tuple(from_json(Alert, row, examples=()) for row in header["alerts"])
    return found, verdicts, alerts, header["metrics"]


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _floats(row: list[float | None]) -> Array:
    return np.array([_float(value) for value in row], np.float32)
