"""Decodes the data of the SALIENCY tab: tags and blobs become a `Log`. See `docs/log_format.md`.

A log may be damaged, or made by somebody else to do harm. So nothing is decoded that does not have
the form that the header of the probes implies, and a step that cannot be read is a problem of that
step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
from keras_saliency.log.headers import BlobError, read_header

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


MAX_PICTURE_SIDE = 4096
"""The longest side of a picture of an input, in pixels; larger ones are not read."""

_BROKEN = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError),
    *(RecursionError, MemoryError),
)
"""The errors that data of an unexpected form may raise."""


def decoded(run: str, blobs: Blobs) -> Log:
    """Decodes the data of a run.

    Args:
        run: The name of the run.
        blobs: Its data.

    Raises:
        BlobError: The run has no probes that can be read.
    """
    start, why, problems = None, "it has no probes", []
    for step, (_, content) in reversed(blobs.get(tags.PROBES, {}).items()):
        try:
            start = _start(content)
            break
        except _BROKEN as error:
            why = _why(error)
            problems.append(f"{run}, probes of step {step}: {why}")
    if start is None:
        raise BlobError(why)
    unit, configuration, probes = start
    steps = {step for tag in blobs if tag != tags.PROBES for step in blobs[tag]}
    reports = []
    for step in sorted(steps):
        try:
            reports.append(_report(step, blobs, probes))
        except _BROKEN as error:
            problems.append(f"{run}, step {step}: {_why(error)}")
    return Log(run, unit, configuration, probes, tuple(reports), tuple(problems))


def _why(error: Exception) -> str:
    if isinstance(error, BlobError):
        return str(error)
    text = repr(error)
    return f"its data has an unexpected form ({text if len(text) < 300 else text[:300] + '...'})"


def _start(content: list[bytes]) -> tuple[str, dict[str, str], LoggedProbes]:
    """What is written once: the unit of steps, the configuration and the probes."""
    header = read_header(content[0] if content else b"")
    configuration = {name: _text(value) for name, value in header["configuration"].items()}
    return _text(header["unit"]), configuration, _probes(header, content)


def _probes(header: Mapping[str, Any], content: list[bytes]) -> LoggedProbes:
    names, shape = _texts(header, "names"), _whole_numbers(header["shape"])
    count, regions = len(names), _texts(header, "regions")
    if not count or not shape or min(shape) < 1:
        raise BlobError("its header has no probes, or maps without a size")
    sides = (MAX_PICTURE_SIDE, MAX_PICTURE_SIDE)
    _, arrays = unpacked(
        content,
        largest={
            "pictures": (count, *sides, 3),
            "masks": (count, *shape),
            "regions": (len(regions), count, *shape),
            "places": (count, *sides),
            "ink": (count, *sides),
        },
    )
    pictures, places, ink = arrays["pictures"], arrays.get("places"), arrays.get("ink")
    _check_shape("pictures", pictures, (count, *pictures.shape[1:3], 3), np.uint8)
    if places is not None:
        of_all = 1 if len(places) == 1 else count
        _check_shape("places", places, (of_all, *pictures.shape[1:3]), np.int32)
    if ink is not None:
        _check_shape("ink", ink, pictures.shape[:3], np.uint8)
    if "masks" in arrays:
        _check_shape("masks", arrays["masks"], (count, *arrays["masks"].shape[1:]), np.uint8)
    masks_of_regions = _regions(arrays.get("regions"), len(regions), count)
    class_names, groups = (
        None if header[name] is None else _texts(header, name) for name in ("class_names", "groups")
    )
    if groups is not None and len(groups) != count:
        raise BlobError(f"its header has {len(groups)} groups of {count} probes")
    return LoggedProbes(
        names=names,
        targets=None if header["targets"] is None else _integers(header["targets"], count),
        class_names=class_names,
        groups=groups,
        kind=_text(header["kind"]),
        fingerprint=_text(header["fingerprint"]),
        shape=shape,
        pictures=pictures,
        masks=arrays["masks"].astype(bool) if "masks" in arrays else None,
        regions=dict(zip(regions, masks_of_regions, strict=True)),
        places=places,
        ink=ink,
    )


def _regions(array: Array | None, regions: int, count: int) -> list[Array]:
    if array is None:
        return []
    of_all = count if array.ndim > 1 and array.shape[1] == count else 1
    _check_shape("regions", array, (regions, of_all, *array.shape[2:]), np.uint8)
    return list(array.astype(bool))


def _report(step: int, blobs: Blobs, probes: LoggedProbes) -> SaliencyReport:
    if step not in blobs.get(tags.REPORTS, {}):
        raise BlobError("its report is missing")
    header, _ = unpacked(blobs[tags.REPORTS][step][1], largest={})
    count = len(probes.names)
    maps, signs = {}, {}
    for method, method_header in header["methods"].items():
        _, content = blobs.get(tags.maps_tag(method), {}).get(step, (0.0, []))
        if not content:
            raise BlobError(f"its maps of {method!r} are missing")
        signs[method] = bool(method_header["signed"])
        maps[method] = _maps(method, method_header, content, probes)
    first, *others = maps
    results, verdicts, alerts, effect_metrics = _findings(blobs.get(tags.FINDINGS, {}).get(step))
    metrics = {**header["metrics"], **effect_metrics}
    return SaliencyReport(
        step=step,
        maps=np.abs(maps[first]) if signs[first] else maps[first],
        targets=_integers(header["targets"], count),
        predictions=_integers(header["predictions"], count),
        confidences=_floats(header["confidences"], count),
        scores=_floats(header["scores"], count),
        gradient_norms=_floats(header["gradient_norms"], count),
        metrics={name: _float(value) for name, value in metrics.items()},
        method=first,
        signed_maps=maps[first] if signs[first] else None,
        others={name: maps[name] for name in others},
        interventions=results,
        verdicts=verdicts,
        alerts=alerts,
    )


def _maps(
    method: str, header: Mapping[str, Any], content: list[bytes], probes: LoggedProbes
) -> Array:
    """The maps of a method at a step."""
    count = len(probes.names)
    _, arrays = unpacked(content, largest={"maps": (count, *probes.shape)})
    if "maps" not in arrays:
        raise BlobError(f"its maps of {method!r} are missing")
    codes, limits = arrays["maps"], _floats(header["limits"], count)
    if codes.dtype != np.uint8 or len(codes) != count:
        raise BlobError(f"its maps of {method!r} are not uint8 maps of {count} probes")
    if (limits < 0).any() or 0 in codes.shape:
        raise BlobError(f"its maps of {method!r} are empty, or have a limit below 0")
    if probes.places is not None and probes.places.max(initial=-1) >= codes[0].size:
        raise BlobError(f"its maps of {method!r} are smaller than the places that are shown")
    return values(codes, limits=limits, signed=header["signed"])


def alerts_in(findings: Sequence[bytes]) -> tuple[Alert, ...]:
    """The alerts in the record of the findings of a step; none if it cannot be read."""
    try:
        return _findings((0.0, [*findings]))[2] if findings else ()
    except _BROKEN:
        return ()


def _findings(
    entry: tuple[float, list[bytes]] | None,
) -> tuple[InterventionResults | None, tuple[Verdict, ...], tuple[Alert, ...], dict[str, Any]]:
    """The results of the interventions, the verdicts, the alerts and the metrics of effects."""
    if entry is None:
        return None, (), (), {}
    header, _ = unpacked(entry[1], largest={})
    verdicts = []
    for row in header["verdicts"]:
        effect = from_json(Effect, row | {"p_value": row["raw_p_value"]}, examples=())
        verdicts.append(from_json(Verdict, row, effect=effect))
    effects = tuple(verdict.effect for verdict in verdicts)
    results = from_json(InterventionResults, header, effects=effects)
    alerts = tuple(from_json(Alert, row, examples=()) for row in header["alerts"])
    return results, tuple(verdicts), alerts, header["metrics"]


def _check_shape(name: str, array: Array, shape: tuple[int, ...], dtype: Any) -> None:
    if array.shape != shape or array.dtype != dtype or 0 in shape:
        raise BlobError(
            f"its array {name!r} is {array.dtype} {array.shape} instead of "
            f"{np.dtype(dtype)} {shape}"
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, received {value!r}")
    return value


def _texts(header: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(map(_text, header[name]))


def _whole_numbers(row: list[object]) -> tuple[int, ...]:
    if not all(type(value) is int for value in row):
        raise TypeError(f"expected whole numbers, received {row!r}")
    return tuple(row)  # type: ignore[arg-type]


def _integers(row: list[object], count: int) -> Array:
    return _of_each(np.array(_whole_numbers(row), np.int64), count)


def _float(value: object) -> float:
    """A number, or `nan` for `null`."""
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, received {value!r}")
    return float(value)  # type: ignore[arg-type]


def _floats(row: list[object], count: int) -> Array:
    wide = np.array([_float(value) for value in row], np.float64)
    if (np.abs(wide) > np.finfo(np.float32).max).any():
        raise BlobError("its header has numbers that are too large")
    return _of_each(wide.astype(np.float32), count)


def _of_each(row: Array, count: int) -> Array:
    if len(row) != count:
        raise BlobError(f"its header has {len(row)} numbers for {count} probes")
    return row
