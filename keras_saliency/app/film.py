"""A probe's history from a log, as pictures: an animation, a filmstrip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.log.reader import Log
from keras_saliency.rendering import layouts
from keras_saliency.rendering.drawings import PAPER, inked
from keras_saliency.rendering.heatmaps import (
    SCALES,
    check_colormap,
    diverging,
    enlarged,
    factor_for,
    limits,
    map_defect,
    overlay,
)
from keras_saliency.rendering.layouts import Line

MIN_FILM_SIDE, MIN_FILMSTRIP_SIDE = 224, 64
"""The longer side of an animation's and a filmstrip's pictures: smaller ones are enlarged."""

SECONDS, LAST_SECONDS = 0.4, 2.0
"""How long an animation shows each evaluation, and the last one."""


def animation(
    log: Log,
    probe: str,
    *,
    method: str | None = None,
    scale: str = "probe",
    colormap: str = "hot",
) -> list[Array]:
    """A probe's map, laid over it, at every evaluation of a run.

    Args:
        log: A run, from `keras_saliency.read_log`.
        probe: Its name.
        method: The name of a method; default: the first.
        scale: One of `keras_saliency.rendering.heatmaps.SCALES`, over all evaluations.
        colormap: The name of a matplotlib colormap.

    Returns:
        Pictures of one size, uint8 `(height, width, 3)`, with captions.

    Raises:
        ValueError: An unknown probe, method, scale or colormap.
    """
    index = _index(log, probe)
    pictures = _overlays(log, [index], method, scale, colormap)[:, 0]
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
) -> Array:
    """Some probes over all evaluations of a run, first as they are, without a map.

    Args:
        log: A run, from `keras_saliency.read_log`.
        probes: Their names, one for each row.
        method: As in `animation`.
        scale: As in `animation`.
        colormap: As in `animation`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: An unknown probe, method, scale or colormap.
    """
    rows = [_index(log, probe) for probe in probes]
    columns = _overlays(log, rows, method, scale, colormap)
    factor = factor_for(max(columns.shape[2:4]), MIN_FILMSTRIP_SIDE)
    first = log.probes.pictures[rows]
    cells = [enlarged(frame, factor) for frame in (first, *columns)]
    names = ["start" if report.step == -1 else str(report.step) for report in log.reports]
    return layouts.filmstrip(
        [(name, [column[row] for column in cells]) for row, name in enumerate(probes)],
        ["", *names],
    )


def save_animation(frames: Sequence[Array], path: Path) -> None:
    """Writes pictures of one size as an animated PNG or GIF, which plays again and again.

    Raises:
        ValueError: The file's name ends neither in .png nor in .gif.
        OSError: It cannot be written.
    """
    if path.suffix.lower() not in (".png", ".gif"):
        raise ValueError(f"out: expected a .png or .gif file, received {path}.")
    first, *others = map(Image.fromarray, frames)
    times = [int(1000 * SECONDS)] * len(others) + [int(1000 * LAST_SECONDS)]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)


def _index(log: Log, probe: str) -> int:
    names = log.probes.names
    if probe not in names:
        first = ", ".join(map(repr, names[:3]))
        more = f", ... ({len(names)} in all)" if len(names) > 3 else ""
        raise ValueError(f"probe: expected one of {first}{more}, received {probe!r}.")
    return names.index(probe)


def _overlays(log: Log, probes: list[int], method: str | None, scale: str, colormap: str) -> Array:
    """uint8 `(evaluations, probes, height, width, 3)`."""
    check_choice("scale", scale, SCALES)
    check_colormap(colormap)
    histories = [_maps(report, method) for report in log.reports]
    if not histories:
        raise ValueError(f"log: expected at least one evaluation in the run {log.run!r}.")
    is_signed = log.reports[0].signed_maps is not None
    shown = np.stack([limits(maps, "epoch") for maps in histories])
    if scale != "epoch":
        shown = np.broadcast_to(shown.max(axis=0), shown.shape)
    if scale == "shared":
        shown = np.full_like(shown, shown.max())
    pictures, ink = log.probes.pictures[probes], None
    if log.probes.ink is not None:  # text and lines go on top, so that they can be read
        ink = log.probes.ink[probes]
        pictures = np.where(ink[..., np.newaxis] > 0, np.uint8(PAPER), pictures)
    frames = []
    for maps, ends in zip(histories, shown, strict=True):
        frame = overlay(
            pictures,
            _as_pictures(log, maps, probes),
            limits=ends[probes],
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
    """Of each pixel of a picture, the map's value there; 0 where it has none."""
    places, chosen = log.probes.places, maps[probes]
    _, height, width, _ = log.probes.pictures.shape
    if places is None:
        down, right = (
            np.arange(side) * length // side
            for side, length in zip((height, width), maps.shape[1:], strict=True)
        )
        result: Array = chosen[:, down][:, :, right]
        return result
    own = places[probes] if len(places) > 1 else places.repeat(len(probes), axis=0)
    flat = chosen.reshape(len(chosen), -1)
    values = np.take_along_axis(flat, own.reshape(len(own), -1).clip(0), axis=1)
    return np.where(own < 0, 0, values.reshape(own.shape))


def caption(log: Log, report: SaliencyReport, probe: int) -> list[Line]:
    """What an animation says of a probe at an evaluation."""

    def name(index: int) -> str:
        names = log.probes.class_names or ()
        known = names[index] if 0 <= index < len(names) else f"class {index}"
        return known if layouts.is_drawable(known) else f"class {index}"

    when = "before training" if report.step == -1 else f"{log.unit} {report.step}"
    target, prediction = int(report.targets[probe]), int(report.predictions[probe])
    has_labels = log.probes.targets is not None
    lines = [Line(when), Line(f"{'target' if has_labels else 'explained:'} {name(target)}")]
    if prediction >= 0:
        said = f"predicts {report.confidences[probe]:.2f} {name(prediction)}"
        lines.append(Line(said, wrong=has_labels and prediction != target))
    said = map_defect(report.maps[probe])
    return [*lines, Line(said, wrong=True)]
