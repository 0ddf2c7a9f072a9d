"""Draws the history of probes from a log: an animation or a filmstrip."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.log.decoder import Log
from keras_saliency.rendering import layouts
from keras_saliency.rendering.clipping import check_percentile, percentile_for
from keras_saliency.rendering.drawings import PAPER, inked
from keras_saliency.rendering.heatmaps import (
    CLIP_PERCENTILE,
    SCALES,
    check_colormap,
    diverging,
    enlarged,
    factor_for,
    limits,
    map_defect,
    overlay,
    scale_for,
)
from keras_saliency.rendering.layouts import Line

MIN_FILM_SIDE, MIN_FILMSTRIP_SIDE = 224, 64
"""The longer side of the pictures in an animation and in a filmstrip, in pixels; smaller pictures
are enlarged."""

SECONDS, LAST_SECONDS = 0.4, 2.0
"""How long an animation shows each evaluation, and the last evaluation."""


def animation(
    log: Log,
    probe: str,
    *,
    method: str | None = None,
    scale: str = "probe",
    colormap: str = "hot",
    clip_percentile: float = CLIP_PERCENTILE,
    input_name: str | int | None = None,
) -> list[Array]:
    """Draws the overlay of a probe at every evaluation of a run.

    Args:
        log: A run, from `keras_saliency.read_log`.
        probe: The name of the probe.
        method: The name of a method; default: the first.
        scale: One of `keras_saliency.rendering.heatmaps.SCALES`, over all evaluations.
        colormap: The name of a matplotlib colormap.
        clip_percentile: As in `Pictures`, of the logged maps.
        input_name: The name of the input, if several are explained; default: the first.

    Returns:
        Pictures of the same size, uint8 `(height, width, 3)`, with captions.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An unknown probe, input, method, scale or colormap, or a wrong percentile.
    """
    log = _of_input(log, input_name)
    index = _index(log, "probe", probe)
    ends = _ends(log, method, scale, clip_percentile)
    pictures = _overlays(log, [index], method, ends, colormap)[:, 0]
    factor = factor_for(max(pictures.shape[1:3]), MIN_FILM_SIDE)
    return [
        layouts.captioned(enlarged(picture, factor), caption(log, report, index), min_width=200)
        for picture, report in zip(pictures, log.reports, strict=True)
    ]


def filmstrip(
    log: Log,
    probes: Sequence[str],
    *,
    method: str | None = None,
    scale: str = "epoch",
    colormap: str = "hot",
    clip_percentile: float = CLIP_PERCENTILE,
    input_name: str | int | None = None,
) -> Array:
    """Draws the overlays of some probes at all evaluations of a run; the first column has no maps.

    Args:
        log: A run, from `keras_saliency.read_log`.
        probes: The names of the probes, one for each row.
        method: As in `animation`.
        scale: As in `animation`.
        colormap: As in `animation`.
        clip_percentile: As in `animation`.
        input_name: As in `animation`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An unknown probe, input, method, scale or colormap, or a wrong percentile.
    """
    log = _of_input(log, input_name)
    rows = [_index(log, "probes", probe) for probe in probes]
    ends = _ends(log, method, scale, clip_percentile)
    columns = _overlays(log, rows, method, ends, colormap)
    factor = factor_for(max(columns.shape[2:4]), MIN_FILMSTRIP_SIDE)
    first = log.probes.pictures[rows]
    cells = [enlarged(frame, factor) for frame in (first, *columns)]
    names = ["start" if report.step == -1 else str(report.step) for report in log.reports]
    return layouts.filmstrip(
        [(name, [column[row] for column in cells]) for row, name in enumerate(probes)],
        ["", *names],
    )


def save_animation(frames: Sequence[Array], path: Path) -> None:
    """Writes pictures of the same size as an animated PNG or GIF, which plays in a loop.

    Raises:
        ValueError: The file name does not end in .png or .gif.
        OSError: The file cannot be written.
    """
    if path.suffix.lower() not in (".png", ".gif"):
        raise ValueError(f"out: expected a .png or .gif file, received {path}.")
    first, *others = map(Image.fromarray, frames)
    times = [int(1000 * SECONDS)] * len(others) + [int(1000 * LAST_SECONDS)]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)


def _of_input(log: Log, name: str | int | None) -> Log:
    """The log with the probes and the maps of one input as its own."""
    if name is None or name == log.probes.input_name:
        return log
    others = log.probes.other_inputs
    if name not in others:
        known = ", ".join(map(repr, [log.probes.input_name, *others]))
        raise ValueError(f"input_name: expected one of {known}, received {name!r}.")
    reports = tuple(r.other_inputs[name] for r in log.reports if name in r.other_inputs)
    return dataclasses.replace(log, probes=others[name], reports=reports)


def _index(log: Log, argument: str, probe: str) -> int:
    names = log.probes.names
    if probe not in names:
        first = ", ".join(map(repr, names[:3]))
        more = f", ... ({len(names)} in all)" if len(names) > 3 else ""
        raise ValueError(f"{argument}: expected one of {first}{more}, received {probe!r}.")
    return names.index(probe)


def _ends(log: Log, method: str | None, scale: str, clip_percentile: float) -> Array:
    """The values at which colours end, `(evaluations, probes)`."""
    check_choice("scale", scale, SCALES)
    percentile = percentile_for(log.probes.kind, check_percentile(clip_percentile))
    if not log.reports:
        raise ValueError(f"log: expected at least one evaluation in the run {log.run!r}.")
    ends = np.stack(
        [limits(_maps(r, method), "epoch", clip_percentile=percentile) for r in log.reports]
    )
    scale = scale_for(scale, _maps(log.reports[0], method).shape[1:])
    if scale != "epoch":
        ends = np.broadcast_to(ends.max(axis=0), ends.shape)
    return np.full_like(ends, ends.max()) if scale == "shared" else ends


def _overlays(log: Log, probes: list[int], method: str | None, ends: Array, colormap: str) -> Array:
    """uint8 `(evaluations, probes, height, width, 3)`."""
    check_colormap(colormap)
    is_signed = log.reports[0].signed_maps is not None
    pictures, ink = log.probes.pictures[probes], None
    if log.probes.ink is not None:  # text and lines are drawn on top, so that they can be read
        ink = log.probes.ink[probes]
        pictures = np.where(ink[..., np.newaxis] > 0, np.uint8(PAPER), pictures)
    frames = []
    for report, map_ends in zip(log.reports, ends, strict=True):
        frame = overlay(
            pictures,
            _as_pictures(log, _maps(report, method), probes),
            limits=map_ends[probes],
            colormap=diverging(colormap) if is_signed else colormap,
            signed=is_signed,
        )
        frames.append(frame if ink is None else inked(frame, ink))
    return np.stack(frames)


def _maps(report: SaliencyReport, method: str | None) -> Array:
    first = report.maps if report.signed_maps is None else report.signed_maps
    known = {report.method: first, **report.others}
    return known[check_choice("method", method or report.method, tuple(known))]


def _as_pictures(log: Log, maps: Array, probes: list[int]) -> Array:
    """The map value for each pixel of a picture; 0 for pixels outside of the map."""
    places, chosen = log.probes.places, maps[probes]
    _, height, width, _ = log.probes.pictures.shape
    if places is None:
        down, right = (
            np.arange(side) * length // side
            for side, length in zip((height, width), maps.shape[1:], strict=True)
        )
        result: Array = chosen[:, down][:, :, right]
        return result
    indices = places[probes] if len(places) > 1 else places.repeat(len(probes), axis=0)
    flat = chosen.reshape(len(chosen), -1)
    values = np.take_along_axis(flat, indices.reshape(len(indices), -1).clip(0), axis=1)
    return np.where(indices < 0, 0, values.reshape(indices.shape))


def caption(log: Log, report: SaliencyReport, probe: int) -> list[Line]:
    """The caption of a probe at an evaluation, for an animation."""

    def name(index: int) -> str:
        names = log.probes.class_names or ()
        known = names[index] if 0 <= index < len(names) else f"class {index}"
        return known if layouts.is_drawable(known) else f"class {index}"

    when = "before training" if report.step == -1 else f"{log.unit} {report.step}"
    target, prediction = int(report.targets[probe]), int(report.predictions[probe])
    has_labels = log.probes.targets is not None
    lines = [Line(when)]
    if has_labels or prediction >= 0:
        lines.append(Line(f"{'target' if has_labels else 'explained:'} {name(target)}"))
    if prediction >= 0:
        text = f"predicts {report.confidences[probe]:.2f} {name(prediction)}"
        lines.append(Line(text, wrong=has_labels and prediction != target))
    return [*lines, Line(map_defect(report.maps[probe]), wrong=True)]
