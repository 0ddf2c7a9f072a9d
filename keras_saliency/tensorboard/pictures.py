"""`PictureWriter`: draws the pictures of a report: some probes, the sheets and the filmstrip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_saliency.data.blocks import evenly, rounded, thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.data.serialization import put
from keras_saliency.data.several import input_title
from keras_saliency.log import tags
from keras_saliency.metrics.clusters import clusters
from keras_saliency.metrics.maps import defined_mean, mean_map
from keras_saliency.rendering import drawings, layouts
from keras_saliency.rendering.clipping import end_of_colors, percentile_for, percentile_name
from keras_saliency.rendering.heatmaps import (
    diverging,
    enlarged,
    factor_for,
    limits,
    map_defect,
    peaks,
    scale_for,
)
from keras_saliency.rendering.layouts import Line
from keras_saliency.rendering.renderers import FRAME, PANEL, renderer
from keras_saliency.rendering.settings import Pictures
from keras_saliency.tensorboard.filmstrip import ALL, Filmstrip, heat_alone

MAX_PROBES = 64
"""The largest number of probes on the sheets, evenly chosen. Metrics use all probes."""

MIN_SHEET_CELL = 80
"""The longer side of the contact sheet's cells in pixels; smaller pictures are enlarged by an
integer factor."""

CAPTION_WIDTH = 240
"""The smallest width of a probe's picture in pixels, so that its caption fits."""

MAX_ROWS = 16
"""The largest number of rows of the filmstrip, evenly chosen."""

MIN_CLUSTERED = 20
"""The smallest number of live maps that are clustered, since each is connected to 10 others."""

CLUSTERS_TITLE = "clusters of similar maps: for exploration, never an alert"


class PictureWriter:
    """Draws the reports of a run, and keeps what is needed from earlier reports.

    If several inputs are explained, each has sheets and a filmstrip of its own, and the picture of
    a probe has them all.

    Args:
        probes: The probes of the reports.
        pictures: The scale, its percentile, the colormap, and how many probes are drawn alone.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures) -> None:
        self._probes, self._colormap = probes, pictures.colormap
        self._scale = scale_for(pictures.scale, probes.map_shape[1:])
        self._percentile = percentile_for(probes.kind, pictures.clip_percentile)
        self._chosen = evenly(len(probes), MAX_PROBES)
        self._alone = evenly(len(self._chosen), pictures.probes)  # positions in `chosen`
        self._rows = evenly(len(probes), MAX_ROWS)
        self._renderer = renderer(probes, self._chosen, PANEL)
        self._frames = renderer(probes, self._rows, FRAME)
        self._signed = False
        self._limits: dict[str, Array] = {}
        self._films: dict[str, Filmstrip] = {}
        others = probes.other_inputs.items()
        self._others = {str(name): PictureWriter(one, pictures) for name, one in others}

    def encoded(self, picture: Array) -> bytes:
        """Encodes a picture: as PNG if it has few colours for its size, otherwise as JPEG."""
        return layouts.encoded(picture, lossless=self._renderer.lossless)

    def index(self, step: int) -> int:
        """How many evaluations were added before the one of this step, which may be the latest."""
        return self._film("").index(step)

    def add(self, report: SaliencyReport) -> None:
        """Adds the maps of a report to the filmstrips and the scales, without drawing anything.

        A report of the step that was added last replaces that.
        """
        self._signed = report.signed_maps is not None
        for method, maps in _maps(report).items():
            mean = _mean(report, method)
            self._film(method).add(report.step, mean, maps[self._rows], signed=self._signed)
            if self._scale != "epoch":
                self._ends(method, self._renderer.reduced(maps[self._chosen]))
        for name, one in report.other_inputs.items():
            self._others[str(name)].add(one)

    def draw(self, report: SaliencyReport) -> dict[str, Array]:
        """Adds a report and draws its pictures: uint8 `(height, width, 3)` by TensorBoard tag."""
        self.add(report)
        drawn, alone = self._drawn(report)
        lines = [self._caption(report, probe) for probe in self.drawn]
        rows = [self._captioned(alone, lines)]
        for name, one in report.other_inputs.items():
            writer = self._others[str(name)]
            pictures, others = writer._drawn(one)
            drawn |= {tags.of_input(tag, name): picture for tag, picture in pictures.items()}
            lines = [[Line(input_title(name)), writer._peak(one, probe)] for probe in self.drawn]
            rows.append(writer._captioned(others, lines))
        for probe, parts in zip(self.drawn, zip(*rows, strict=True), strict=True):
            drawn[tags.probe_tag(self._probes.names[probe])] = layouts.stacked(parts)
        return drawn

    def _drawn(self, report: SaliencyReport) -> tuple[dict[str, Array], list[tuple[Array, str]]]:
        """The sheets of all methods by tag; and of the first, each probe that is drawn alone.

        Of these, the input, the overlay and the map side by side, and where the colours end.
        """
        drawn: dict[str, Array] = {}
        alone: list[tuple[Array, str]] = []
        for method, maps in _maps(report).items():
            over, heat, ends = self._panels(method, maps)
            cells = self._cells(report, method, over)
            sheet, strip = layouts.contact_sheet(cells), self._film(method).draw()
            if method:
                drawn[tags.contact_sheet_tag(method)] = sheet
                drawn[tags.filmstrip_tag(method)] = strip
                continue
            drawn |= {tags.CONTACT_SHEET: sheet, tags.FILMSTRIP: strip}
            if self._renderer.has_clusters:
                labels, _ = clusters(self._renderer.reduced(report.maps[self._chosen]))
                if (labels >= 0).sum() >= MIN_CLUSTERED:
                    targets = report.targets[self._chosen]
                    drawn[tags.CLUSTERS] = self._clusters(targets, labels, cells[1:])
            for row, position in enumerate(self._alone):
                panels = (self._renderer.originals[position], over[position], heat[row])
                large = [enlarged(panel, self._renderer.factor) for panel in panels]
                probe = self._chosen[position]
                picture = layouts.beside([self._with_box(panel, probe) for panel in large])
                alone.append((picture, ends[row]))
        return drawn, alone

    def _captioned(self, alone: list[tuple[Array, str]], lines: list[list[Line]]) -> list[Array]:
        """Pictures of probes with these lines, and where their colours end."""
        return [
            layouts.captioned(
                picture, [*own, *([Line(end)] if end else [])], min_width=CAPTION_WIDTH
            )
            for (picture, end), own in zip(alone, lines, strict=True)
        ]

    def _panels(self, method: str, maps: Array) -> tuple[Array, Array, list[str]]:
        """The maps as pictures.

        Returns:
            over: Of every chosen probe, the map with the input.
            heat: Of those that have a picture of their own, the map alone.
            ends: Of these, where the colours end, in words.
        """
        reduced = self._renderer.reduced(maps[self._chosen])
        shown = self._ends(method, reduced)
        signed = self._signed
        colormap = diverging(self._colormap) if signed else self._colormap
        alone, limits_alone = reduced[self._alone], shown[self._alone]
        ends = [
            end_of_colors(limit, peak, self._scale, self._percentile)
            for limit, peak in zip(limits_alone, peaks(alone), strict=True)
        ]
        return (
            self._renderer.over(reduced, limits=shown, colormap=colormap, signed=signed),
            self._renderer.heat(alone, limits=limits_alone, colormap=colormap, signed=signed),
            ends,
        )

    def _ends(self, method: str, reduced: Array) -> Array:
        """Where the colours of the chosen maps end; they join the scale of the run."""
        before = self._limits.get(method)
        ends = limits(reduced, self._scale, before, clip_percentile=self._percentile)
        self._limits[method] = ends
        return ends

    def _film(self, method: str) -> Filmstrip:
        if method not in self._films:
            names = [self._probes.names[row] for row in self._rows]
            names = [name if layouts.is_drawable(name) else name[:3] for name in names]
            self._films[method] = Filmstrip(
                names,
                self._frames,
                self._probes.map_shape[1:],
                self._scale,
                self._colormap,
                clip_percentile=self._percentile,
            )
        return self._films[method]

    def to_json(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What is kept of earlier reports: values for JSON, and the arrays that these name."""
        arrays: dict[str, Array] = {}
        content: dict[str, Any] = {
            "signed": self._signed,
            "limits": {method: put(limit, arrays) for method, limit in self._limits.items()},
            "films": {method: film.to_json(arrays) for method, film in self._films.items()},
        }
        for name, writer in self._others.items():
            content.setdefault("other_inputs", {})[name], others = writer.to_json()
            arrays |= others
        return content, arrays

    def resume(self, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Goes on from what `to_json` returned, in another process.

        Raises:
            ValueError: It is of other probes, or of another renderer.
        """
        self._signed = content["signed"]
        self._limits = {method: arrays[name] for method, name in content["limits"].items()}
        for method, film in content["films"].items():
            self._film(method).resume(film, arrays, signed=self._signed)
        for name, writer in self._others.items():
            writer.resume(content["other_inputs"][name], arrays)

    def description(self, tag: str) -> str:
        """Describes the picture of a tag, in Markdown."""
        scale = f"`{self._scale}` ({percentile_name(self._percentile)})"
        colors = f"Colormap `{self._colormap}`, scale {scale}."
        if self._signed:  # as short as trackers need it
            colormap = diverging(self._colormap)
            colors = f"`{colormap}`, {scale}, 0 in the middle; the end is for the target."
        if tag.startswith(tags.CONTACT_SHEET):
            return f"All probes; first, the mean map. {colors}"
        if tag.startswith(tags.CLUSTERS):
            return f"Clusters: exploration, never an alert. {colors}"
        if tag.startswith(tags.FILMSTRIP):
            return f"All maps so far; first, the mean map. {colors}"
        return f"Probe, overlay and map. {colors}"

    def configuration(self) -> dict[str, str]:
        """Describes the pictures, for the Text tab."""
        colormap = diverging(self._colormap) if self._signed else self._colormap
        colors = f"{colormap}, {self._scale} ({percentile_name(self._percentile)})"
        if self._signed:
            colors += f"; unsigned means: {self._colormap}"
        of_others = {
            f"{setting} of {name}": text
            for name, writer in self._others.items()
            for setting, text in writer._renderer.configuration().items()
        }
        return self._renderer.configuration() | of_others | {"colormap, scale": colors}

    @property
    def drawn(self) -> list[int]:
        """The indices of the probes that have a picture of their own."""
        return [int(index) for index in self._chosen[self._alone]]

    def _class(self, index: int) -> str:
        name = self._probes.class_name(index)
        return name if layouts.is_drawable(name) else f"class {index}"

    def _caption(self, report: SaliencyReport, probe: int) -> list[Line]:
        return [
            *([Line(input_title(next(iter(self._probes.explained))))] if self._others else []),
            Line(self._target(report, probe, "target ", "explained: ")),
            self._prediction(report, probe, "predicts"),
            self._peak(report, probe),
        ]

    def _target(
        self, report: SaliencyReport, probe: int, label: str = "", prediction: str = ""
    ) -> str:
        """The class that is explained, after a word for a label or for a prediction.

        Without labels or predicted classes, as of a regression, it is the name of the probe.
        """
        has_labels = self._probes.targets is not None
        if not has_labels and (report.predictions < 0).all():
            return self._probes.names[probe]
        return f"{label if has_labels else prediction}{self._class(report.targets[probe])}"

    def _peak(self, report: SaliencyReport, probe: int) -> Line:
        """The largest value of a map, and what is wrong with it."""
        defect = map_defect(_maps(report)[""][probe])
        peak = "" if defect == "not a number" else f"map peak {report.maps[probe].max():.3g}"
        return Line(" · ".join(part for part in (peak, defect) if part), wrong=bool(defect))

    def _prediction(self, report: SaliencyReport, probe: int, verb: str) -> Line:
        prediction, score = report.predictions[probe], report.scores[probe]
        if prediction < 0 and report.confidences[probe] == 0:  # by a detector
            return Line(f"{verb} nothing in the box", wrong=True)
        if prediction < 0:
            return Line(f"score {score:.3g}", wrong=bool(np.isnan(score)))
        has_labels = self._probes.targets is not None
        wrong = bool(has_labels and prediction != report.targets[probe])
        return Line(f"{verb} {report.confidences[probe]:.2f} {self._class(prediction)}", wrong)

    def _cells(self, report: SaliencyReport, method: str, over: Array) -> list[Array]:
        """Small pictures of the mean map and of every probe, with captions; all of one size."""
        maps, mean = _maps(report)[method], _mean(report, method)
        reduced = self._renderer.reduced(mean[np.newaxis])
        end = self._limits[method][:1] if mean.size == 1 else None
        first = heat_alone(self._renderer, reduced, self._colormap, self._percentile, end)
        cells = thumbnails(np.concatenate([first, over]), self._renderer.max_cell)
        cells = enlarged(rounded(cells), factor_for(max(cells.shape[1:3]), MIN_SHEET_CELL))
        defects = [map_defect(maps[probe]) for probe in self._chosen]
        is_alive = np.isfinite(mean).all() and mean.any()
        captions = [[Line(ALL), Line("" if is_alive else "no live map", wrong=True)]]
        captions += [
            [
                Line(self._target(report, probe)),
                self._prediction(report, probe, "→"),
            ]
            for probe in self._chosen
        ]
        if any(defects):
            captions = [
                [*lines, Line(defect, wrong=True)]
                for lines, defect in zip(captions, ["", *defects], strict=True)
            ]
        drawn = [cells[0], *map(self._with_box, cells[1:], self._chosen)]
        return [
            layouts.captioned(cell, lines, min_width=MIN_SHEET_CELL)
            for cell, lines in zip(drawn, captions, strict=True)
        ]

    def _with_box(self, picture: Array, probe: int) -> Array:
        """A picture of a probe, with the outline of its box if it has one."""
        boxes = self._probes.boxes
        box = None if boxes is None else boxes[probe]
        return drawings.with_box(picture, box, self._probes.map_shape[1:])

    def _clusters(self, targets: Array, labels: Array, cells: list[Array]) -> Array:
        parts = []
        for label in sorted(set(labels.tolist()), key=lambda label: (label < 0, label)):
            members = np.flatnonzero(labels == label)
            name = f"cluster {label + 1}" if label >= 0 else "dead maps"
            heading = f"{name}: {self._composition(targets[members])}"
            parts.append((heading, [cells[member] for member in members]))
        return layouts.sections(CLUSTERS_TITLE, parts)

    def _composition(self, targets: Array) -> str:
        """The number of probes of each class, the most frequent class first."""
        classes, counts = np.unique(targets, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        by_class = [f"{counts[i]} {self._class(classes[i])}" for i in order]
        return f"{len(targets)} probe{'s'[: len(targets) > 1]} ({', '.join(by_class)})"


def _maps(report: SaliencyReport) -> dict[str, Array]:
    """The maps that are drawn, signed if there are such: of the first method (`""`), and others."""
    first = report.maps if report.signed_maps is None else report.signed_maps
    return {"": first, **report.others}


def _mean(report: SaliencyReport, method: str) -> Array:
    """The mean of the sizes of all maps, with any number of axes; 0 if all maps are zero.

    The values of maps of one value are not divided by the sum of their map: all would be 1.
    """
    maps = np.abs(report.others[method]) if method else report.maps
    if not maps.any() or maps[0].size == 1:
        return np.full(maps.shape[1:], defined_mean(maps))
    return mean_map(maps.reshape(len(maps), 1, -1)).reshape(maps.shape[1:])
