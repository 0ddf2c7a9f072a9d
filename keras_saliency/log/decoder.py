"""Decodes the data of the SALIENCY tab: tags and blobs become a `Log`. See `docs/log_format.md`.

A log may be damaged, or made by somebody else to do harm. So nothing is decoded that does not have
the form that the header of the probes implies, and a step that cannot be read is a problem of that
step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from keras_saliency.log.fields import floats, input_name, integers, numbers_by_name, text
from keras_saliency.log.headers import BlobError, read_header
from keras_saliency.log.logged_probes import LoggedProbes, logged_probes

Blobs = dict[str, dict[int, tuple[float, list[bytes]]]]
"""The wall time and the blobs, by tag and step."""


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
    why = repr(error)
    return f"its data has an unexpected form ({why if len(why) < 300 else why[:300] + '...'})"


def _start(content: list[bytes]) -> tuple[str, dict[str, str], LoggedProbes]:
    """What is written once: the unit of steps, the configuration and the probes."""
    header = read_header(content[0] if content else b"")
    configuration = {name: text(value) for name, value in header["configuration"].items()}
    return text(header["unit"]), configuration, logged_probes(header, content)


def _report(step: int, blobs: Blobs, probes: LoggedProbes) -> SaliencyReport:
    if step not in blobs.get(tags.REPORTS, {}):
        raise BlobError("its report is missing")
    header, _ = unpacked(blobs[tags.REPORTS][step][1], largest={})
    count = len(probes.names)
    results, verdicts, alerts, effect_metrics = _findings(blobs.get(tags.FINDINGS, {}).get(step))
    first = _of_input(header, blobs, step, probes, tags.maps_tag)
    first["metrics"] |= numbers_by_name(effect_metrics)
    shared: dict[str, Any] = {
        "targets": integers(header["targets"], count),
        "predictions": integers(header["predictions"], count),
        "confidences": floats(header["confidences"], count),
        "scores": floats(header["scores"], count),
    }
    others = {}
    for row in header.get("inputs", []):  # format 1 has none
        name = input_name(row["name"])
        if name not in probes.other_inputs or name in others:
            raise BlobError(f"its report has an unknown input {name!r}, or has it twice")
        tag = partial(tags.input_maps_tag, name)
        own = _of_input(row, blobs, step, probes.other_inputs[name], tag, f" of input {name!r}")
        others[name] = SaliencyReport(step=step, **shared, **own)
    return SaliencyReport(
        step=step,
        **shared,
        **first,
        other_inputs=others,
        interventions=results,
        verdicts=verdicts,
        alerts=alerts,
    )


def _of_input(
    header: Mapping[str, Any],
    blobs: Blobs,
    step: int,
    probes: LoggedProbes,
    tag: Callable[[str], str],
    owner: str = "",
) -> dict[str, Any]:
    """The fields of a report that each input has of its own.

    Args:
        header: Of the report, or the part of it that is about this input.
        blobs: The data of the run.
        step: The step of the report.
        probes: The probes of this input.
        tag: The tag of the maps of a method.
        owner: Names the input in messages.
    """
    maps, signs = {}, {}
    for method, method_header in header["methods"].items():
        _, content = blobs.get(tag(method), {}).get(step, (0.0, []))
        if not content:
            raise BlobError(f"its maps of {method!r}{owner} are missing")
        signs[method] = bool(method_header["signed"])
        maps[method] = _maps(f"{method!r}{owner}", method_header, content, probes)
    first, *others = maps
    return {
        "maps": np.abs(maps[first]) if signs[first] else maps[first],
        "gradient_norms": floats(header["gradient_norms"], len(probes.names)),
        "metrics": numbers_by_name(header["metrics"]),
        "method": first,
        "signed_maps": maps[first] if signs[first] else None,
        "others": {name: maps[name] for name in others},
    }


def _maps(
    whose: str, header: Mapping[str, Any], content: list[bytes], probes: LoggedProbes
) -> Array:
    """The maps of a method at a step."""
    count = len(probes.names)
    _, arrays = unpacked(content, largest={"maps": (count, *probes.shape)})
    if "maps" not in arrays:
        raise BlobError(f"its maps of {whose} are missing")
    codes, limits = arrays["maps"], floats(header["limits"], count)
    if codes.dtype != np.uint8 or len(codes) != count:
        raise BlobError(f"its maps of {whose} are not uint8 maps of {count} probes")
    if (limits < 0).any() or 0 in codes.shape:
        raise BlobError(f"its maps of {whose} are empty, or have a limit below 0")
    if probes.places is not None and probes.places.max(initial=-1) >= codes[0].size:
        raise BlobError(f"its maps of {whose} are smaller than the places that are shown")
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
