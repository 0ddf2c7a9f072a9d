"""`PictureWriter`: one report's pictures, by tag: every probe, the sheets, the filmstrip."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from keras_saliency.data.blocks import evenly, rounded, thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.log import tags
from keras_saliency.metrics.clusters import clusters
from keras_saliency.metrics.maps import mean_map
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import diverging, enlarged, factor_for, limits, map_defect
from keras_saliency.rendering.layouts import Line
from keras_saliency.rendering.renderers import FRAME, PANEL, Renderer, renderer
from keras_saliency.rendering.settings import Pictures

MAX_PROBES = 64
"""Pictures are drawn of at most this many probes, evenly chosen; metrics are of all."""

MIN_SHEET_CELL = 80
"""The longer side of the contact sheet's cells: smaller ones are enlarged by a whole factor."""

MIN_STRIP_CELL = 32
"""The filmstrip's frames are at least so wide."""

CAPTION_WIDTH = 200
"""A probe's picture is at least so wide, for its caption."""

MAX_ROWS = MAX_COLUMNS = 16
"""The filmstrip's rows (evenly chosen) and columns (evenly spaced, and the newest)."""

MIN_CLUSTERED = 20
"""Live maps that are fewer are not sorted into clusters: each is tied to 10 others."""

ALL = "mean of all"

CLUSTERS_TITLE = "clusters of alike maps: for exploration, never an alert"

_SHORT = {"zero map": "zero", "constant map": "constant", "not a number": "nan"}


class PictureWriter:
    """Draws reports; keeps what pictures of a run need of earlier reports.

    Args:
        probes: What the reports are about.
        pictures: Their scale and colormap.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures) -> None:
        self._probes, self._scale, self._colormap = probes, pictures.scale, pictures.colormap
        self._chosen = evenly(len(probes), MAX_PROBES)
        self._rows = evenly(len(probes), MAX_ROWS)
        self._renderer = renderer(probes, self._chosen, PANEL)
        self._frames = renderer(probes, self._rows, FRAME)
        self._signed = False
        self._limits: dict[str, Array] = {}
        self._films: dict[str, Filmstrip] = {}

    def encoded(self, picture: Array) -> bytes:
        """A picture as a file: of enlarged pixels, small and exact, as PNG; else as JPEG."""
        return layouts.encoded(picture, lossless=self._renderer.lossless)

    def draw(self, report: SaliencyReport) -> dict[str, Array]:
        """The report's pictures, uint8 `(height, width, 3)`, by their TensorBoard tags."""
        self._signed = report.signed_maps is not None
        maps = report.maps if report.signed_maps is None else report.signed_maps
        over, heat = self._panels("", maps, self._signed)
        mean = _mean(report.maps)
        cells = self._cells(report, maps, over, mean)
        drawn = {
            tags.CONTACT_SHEET: layouts.contact_sheet(cells),
            tags.FILMSTRIP: self._film("").add(
                report.step, mean, maps[self._rows], signed=self._signed
            ),
        }
        if self._renderer.has_clusters:
            labels, _ = clusters(self._renderer.reduced(report.maps[self._chosen]))
            if (labels >= 0).sum() >= MIN_CLUSTERED:
                targets = report.targets[self._chosen]
                drawn[tags.CLUSTERS] = self._clusters(targets, labels, cells[1:])
        for method, others in report.others.items():
            mean = _mean(np.abs(others))
            over_others, _ = self._panels(method, others, self._signed)
            sheet = layouts.contact_sheet(self._cells(report, others, over_others, mean))
            drawn[tags.contact_sheet_tag(method)] = sheet
            strip = self._film(method).add(
                report.step, mean, others[self._rows], signed=self._signed
            )
            drawn[tags.filmstrip_tag(method)] = strip
        for position, probe in enumerate(self._chosen):
            panels = (self._renderer.originals[position], over[position], heat[position])
            drawn[tags.probe_tag(self._probes.names[probe])] = layouts.captioned(
                layouts.beside([enlarged(panel, self._renderer.factor) for panel in panels]),
                self._caption(report, maps, probe),
                min_width=CAPTION_WIDTH,
            )
        return drawn

    def _panels(self, method: str, maps: Array, signed: bool) -> tuple[Array, Array]:
        """Of every chosen probe, the map with the input, and the map alone."""
        reduced = self._renderer.reduced(maps[self._chosen])
        shown = limits(reduced, self._scale, self._limits.get(method))
        self._limits[method] = shown
        colormap = diverging(self._colormap) if signed else self._colormap
        return (
            self._renderer.over(reduced, limits=shown, colormap=colormap, signed=signed),
            self._renderer.heat(reduced, limits=shown, colormap=colormap, signed=signed),
        )

    def _film(self, method: str) -> Filmstrip:
        if method not in self._films:
            names = [self._probes.names[row] for row in self._rows]
            names = [name if layouts.is_drawable(name) else name[:3] for name in names]
            self._films[method] = Filmstrip(names, self._frames, self._scale, self._colormap)
        return self._films[method]

    def description(self, tag: str) -> str:
        """What the picture of a tag shows, in Markdown."""
        shown = f"Colormap `{self._colormap}`, scale `{self._scale}`."
        if self._signed:
            shown = (
                f"`{diverging(self._colormap)}`, scale `{self._scale}`: 0 in the middle, "
                "for the target at its end."
            )
        if tag.startswith(tags.CONTACT_SHEET):
            return f"All probes with their maps; first the mean. {shown}"
        if tag == tags.CLUSTERS:
            return f"The probes, alike maps together: for exploration, never an alert. {shown}"
        if tag.startswith(tags.FILMSTRIP):
            return f"The maps up to now; first their mean. {shown}"
        return f"A probe, its map laid over, its map. {shown}"

    def configuration(self) -> dict[str, str]:
        """What the pictures show, for the Text tab."""
        colormap = diverging(self._colormap) if self._signed else self._colormap
        shown = f"{colormap}, {self._scale}"
        if self._signed:
            shown += f"; means, without signs: {self._colormap}"
        return self._renderer.configuration() | {"colormap, scale": shown}

    def is_drawn(self, probe: int) -> bool:
        """Whether a probe has a picture of its own."""
        return bool(np.isin(probe, self._chosen))

    def _class(self, index: int) -> str:
        name = self._probes.class_name(index)
        return name if layouts.is_drawable(name) else f"class {index}"

    def _caption(self, report: SaliencyReport, maps: Array, probe: int) -> list[Line]:
        said = map_defect(maps[probe])
        peak = "" if said == "not a number" else f"map peak {report.maps[probe].max():.2e}"
        return [
            Line(f"target {self._class(report.targets[probe])}"),
            self._prediction(report, probe, "predicts"),
            Line(" · ".join(part for part in (peak, said) if part), wrong=bool(said)),
        ]

    def _prediction(self, report: SaliencyReport, probe: int, verb: str) -> Line:
        prediction, score = report.predictions[probe], report.scores[probe]
        if prediction < 0:
            return Line(f"score {score:.3g}", wrong=bool(np.isnan(score)))
        has_labels = self._probes.targets is not None
        wrong = bool(has_labels and prediction != report.targets[probe])
        return Line(f"{verb} {report.confidences[probe]:.2f} {self._class(prediction)}", wrong)

    def _cells(self, report: SaliencyReport, maps: Array, over: Array, mean: Array) -> list[Array]:
        """The mean of all maps and every probe, small, with captions; all of one size."""
        first = _heat(self._renderer, mean, self._colormap)
        cells = thumbnails(np.concatenate([first, over]), self._renderer.max_cell)
        cells = enlarged(rounded(cells), factor_for(max(cells.shape[1:3]), MIN_SHEET_CELL))
        said = [map_defect(maps[probe]) for probe in self._chosen]
        captions = [[Line(ALL), Line("" if np.isfinite(mean).all() else "no live map", wrong=True)]]
        captions += [
            [
                Line(self._class(report.targets[probe])),
                self._prediction(report, probe, "→"),
            ]
            for probe in self._chosen
        ]
        if any(said):
            captions = [
                [*lines, Line(text, wrong=True)]
                for lines, text in zip(captions, ["", *said], strict=True)
            ]
        return [
            layouts.captioned(cell, lines, min_width=MIN_SHEET_CELL)
            for cell, lines in zip(cells, captions, strict=True)
        ]

    def _clusters(self, targets: Array, labels: Array, cells: list[Array]) -> Array:
        parts = []
        for label in sorted(set(labels.tolist()), key=lambda label: (label < 0, label)):
            members = np.flatnonzero(labels == label)
            name = f"cluster {label + 1}" if label >= 0 else "dead maps"
            heading = f"{name}: {self._composition(targets[members])}"
            parts.append((heading, [cells[member] for member in members]))
        return layouts.sections(CLUSTERS_TITLE, parts)

    def _composition(self, targets: Array) -> str:
        """How many probes of which classes, the most frequent first."""
        classes, counts = np.unique(targets, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        said = [f"{counts[i]} {self._class(classes[i])}" for i in order]
        return f"{len(targets)} probe{'s'[: len(targets) > 1]} ({', '.join(said)})"


class Filmstrip:
    """Rows of maps over the evaluations of a run, at most `MAX_COLUMNS` and the newest.

    The first row is the mean of all maps, always by its own maximum; the first column shows the
    images.

    Args:
        names: The probes' names.
        renderer: Made for these probes.
        scale: As in `PictureWriter`.
        colormap: As in `PictureWriter`.
    """

    def __init__(self, names: list[str], renderer: Renderer, scale: str, colormap: str) -> None:
        self._names, self._scale, self._colormap = [ALL, *names], scale, colormap
        self._renderer, self._signed = renderer, False
        self._images = [layouts.blank(*renderer.originals.shape[1:3]), *renderer.originals]
        self._kept: list[tuple[int, Array, list[Array]]] = []
        self._stride, self._count = 1, 0
        self._limits: Array | None = None

    def add(self, step: int, mean: Array, maps: Array, *, signed: bool = False) -> Array:
        """Takes a column, gives the strip as it is now.

        Args:
            step: The column's name; -1 is the state before training.
            mean: `(height, width)`, the mean of all maps.
            maps: `(num_probes, height, width)`.
            signed: Whether maps are; the same for all columns.
        """
        self._signed = signed
        small = self._renderer.reduced(maps)
        running = self._limits = limits(small, self._scale, self._limits)
        first = self._framed(
            _heat(self._renderer, mean, self._colormap),
            [map_defect(self._renderer.reduced(mean[None]))],
        )
        columns = [*self._kept, (step, small, first + self._shown(small, running))]
        if self._scale != "epoch":  # the scale of earlier columns may have changed
            columns = [
                (step, small, column[:1] + self._shown(small, running))
                for step, small, column in columns
            ]
        if self._count % self._stride == 0:
            self._kept = columns
        if len(self._kept) > MAX_COLUMNS:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._count += 1
        frames = [self._framed(self._images, [""] * len(self._names))]
        frames += [column for _, _, column in columns]
        rows = [(name, [frame[row] for frame in frames]) for row, name in enumerate(self._names)]
        steps = ["start" if step == -1 else str(step) for step, _, _ in columns]
        return layouts.filmstrip(rows, ["", *steps])

    def _shown(self, small: Array, running: Array) -> list[Array]:
        """The frames of a column's maps, in the scale as it is now."""
        heat = self._renderer.heat(
            small,
            limits=running,
            colormap=diverging(self._colormap) if self._signed else self._colormap,
            signed=self._signed,
        )
        return self._framed(heat, [map_defect(one) for one in small])

    def _framed(self, pictures: Iterable[Array], said: Iterable[str]) -> list[Array]:
        framed = []
        for picture, text in zip(pictures, said, strict=True):
            frame = layouts.padded(
                enlarged(picture, self._renderer.factor), layouts.LINE, MIN_STRIP_CELL
            )
            if text:
                layouts.draw_line(frame, 0, 0, frame.shape[1], Line(_SHORT[text], wrong=True))
            framed.append(frame)
        return framed


def _mean(maps: Array) -> Array:
    """The mean of all maps, of any number of axes."""
    return mean_map(maps.reshape(len(maps), 1, -1)).reshape(maps.shape[1:])


def _heat(renderer: Renderer, one_map: Array, colormap: str) -> Array:
    """A map alone, by its own maximum."""
    reduced = renderer.reduced(one_map[np.newaxis])
    ends = limits(reduced, "epoch")
    return renderer.heat(reduced, limits=ends, colormap=colormap, signed=False)
