"""`Pictures`: one report's pictures, by tag: every probe, the sheets, the filmstrip."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from keras_saliency import _tags, sheets
from keras_saliency.clusters import clusters
from keras_saliency.heatmaps import (
    colorize,
    displayed,
    enlarged,
    factor_for,
    limits,
    overlay,
    statement,
    thumbnails,
    value_range,
)
from keras_saliency.probes import ProbeSet
from keras_saliency.reports import Array, SaliencyReport
from keras_saliency.sheets import Line
from keras_saliency.statistics import mean_map

MAX_PROBES = 64
"""Pictures are drawn of so many probes at most, evenly chosen; statistics are of all."""

MIN_PANEL, MAX_PANEL = 96, 512
"""A panel's longer side: smaller maps are enlarged by a whole factor until they reach the first,
larger ones averaged over whole blocks until they don't pass the second."""

MIN_CELL, MAX_CELL = 80, 112
"""The same for the cells of the contact sheet."""

MIN_FRAME, MAX_FRAME = 32, 64
"""The same for the frames of the filmstrip."""

CAPTION_WIDTH = 200
"""A probe's picture is at least so wide, for its caption."""

MAX_ROWS = MAX_COLUMNS = 16
"""The filmstrip's rows (evenly chosen) and columns (evenly spaced, and the newest)."""

MIN_CLUSTERED = 20
"""Live maps that are fewer are not sorted into clusters: each is tied to 10 others."""

ALL = "mean of all"

CLUSTERS_TITLE = "clusters of alike maps: for exploration, never an alert"

_SHORT = {"zero map": "zero", "constant map": "constant", "not a number": "nan"}


class Pictures:
    """Draws reports; keeps what pictures of a run need of earlier reports.

    Args:
        probes: What the reports are about.
        scale: One of `keras_saliency.heatmaps.SCALES`.
        colormap: The name of a matplotlib colormap.
    """

    def __init__(self, probes: ProbeSet, scale: str, colormap: str) -> None:
        self._probes, self._scale, self._colormap = probes, scale, colormap
        self._chosen = _evenly(len(probes), MAX_PROBES)
        self._rows = _evenly(len(probes), MAX_ROWS)
        originals = thumbnails(displayed(probes.images[self._chosen]), MAX_PANEL)
        self._originals = originals.astype(np.uint8)
        self._factor = factor_for(max(originals.shape[1:3]), MIN_PANEL)
        self._limits: Array | None = None
        self._film = Filmstrip(
            [name if sheets.is_drawable(name) else name[:3] for name in self._row_names()],
            displayed(probes.images[self._rows]),
            scale,
            colormap,
        )

    def encoded(self, picture: Array) -> bytes:
        """A picture as a file: of enlarged pixels, small and exact, as PNG; else as JPEG."""
        return sheets.encoded(picture, lossless=self._factor > 1)

    def draw(self, report: SaliencyReport) -> dict[str, Array]:
        """The report's pictures, uint8 `(height, width, 3)`, by their TensorBoard tags."""
        maps = thumbnails(report.maps[self._chosen], MAX_PANEL)
        self._limits = limits(maps, self._scale, self._limits)
        heat = colorize(maps, limits=self._limits, colormap=self._colormap)
        over = overlay(self._originals, maps, limits=self._limits, colormap=self._colormap)
        mean = mean_map(report.maps)
        cells = self._cells(report, over, mean)
        drawn = {
            _tags.CONTACT_SHEET: sheets.contact_sheet(cells),
            _tags.FILMSTRIP: self._film.add(report.step, mean, report.maps[self._rows]),
        }
        labels, _ = clusters(maps)
        if (labels >= 0).sum() >= MIN_CLUSTERED:
            drawn[_tags.CLUSTERS] = self._clusters(report.targets[self._chosen], labels, cells[1:])
        for position, probe in enumerate(self._chosen):
            panels = (self._originals[position], over[position], heat[position])
            drawn[_tags.probe_tag(self._probes.names[probe])] = sheets.captioned(
                sheets.beside([enlarged(panel, self._factor) for panel in panels]),
                self._caption(report, probe),
                min_width=CAPTION_WIDTH,
            )
        return drawn

    def description(self, tag: str) -> str:
        """What the picture of a tag shows, in Markdown."""
        shown = f"Colormap `{self._colormap}`, scale `{self._scale}`."
        if tag == _tags.CONTACT_SHEET:
            return f"All probes, each with its map laid over; first the mean of all maps. {shown}"
        if tag == _tags.CLUSTERS:
            return (
                "The same probes, sorted by the shape of their maps (SpRAy, arXiv:1902.10178). For "
                "exploration: a cluster of one class that looks at one place is worth a look, and "
                f"is never an alert. {shown}"
            )
        if tag == _tags.FILMSTRIP:
            return f"Saliency maps from before training to now; first the mean of all. {shown}"
        return f"The probe, its saliency map laid over, its saliency map. {shown}"

    def configuration(self) -> dict[str, str]:
        """What the pictures show, for the Text tab."""
        low, high = value_range(self._probes.images)
        height, width = self._probes.images.shape[1:3]
        block = -(-max(height, width) // MAX_PANEL)
        size = f"averaged over {block} x {block} pixels" if block > 1 else "not resized"
        if self._factor > 1:
            size = f"enlarged {self._factor} times"
        return {
            "maps": f"{height} x {width} pixels, shown {size}",
            "pixel values": f"{low:g} is shown black, {high:g} white",
            "colormap, scale": f"{self._colormap}, {self._scale}",
        }

    def is_drawn(self, probe: int) -> bool:
        """Whether a probe has a picture of its own."""
        return bool(np.isin(probe, self._chosen))

    def _row_names(self) -> list[str]:
        return [self._probes.names[row] for row in self._rows]

    def _class(self, index: int) -> str:
        name = self._probes.class_name(index)
        return name if sheets.is_drawable(name) else f"class {index}"

    def _caption(self, report: SaliencyReport, probe: int) -> list[Line]:
        said = statement(report.maps[probe])
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
        wrong = bool(prediction != report.targets[probe])
        return Line(f"{verb} {report.confidences[probe]:.2f} {self._class(prediction)}", wrong)

    def _cells(self, report: SaliencyReport, over: Array, mean: Array) -> list[Array]:
        """The mean of all maps and every probe, small, with captions; all of one size."""
        cells = thumbnails(np.concatenate([self._colored(mean), over]), MAX_CELL)
        cells = enlarged(
            (cells + 0.5).astype(np.uint8), factor_for(max(cells.shape[1:3]), MIN_CELL)
        )
        said = [statement(report.maps[probe]) for probe in self._chosen]
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
            sheets.captioned(cell, lines, min_width=MIN_CELL)
            for cell, lines in zip(cells, captions, strict=True)
        ]

    def _clusters(self, targets: Array, labels: Array, cells: list[Array]) -> Array:
        parts = []
        for label in sorted(set(labels.tolist()), key=lambda label: (label < 0, label)):
            members = np.flatnonzero(labels == label)
            name = f"cluster {label + 1}" if label >= 0 else "dead maps"
            heading = f"{name}: {self._composition(targets[members])}"
            parts.append((heading, [cells[member] for member in members]))
        return sheets.sections(CLUSTERS_TITLE, parts)

    def _composition(self, targets: Array) -> str:
        """How many probes of which classes, the most frequent first."""
        classes, counts = np.unique(targets, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        said = [f"{counts[i]} {self._class(classes[i])}" for i in order]
        return f"{len(targets)} probe{'s'[: len(targets) > 1]} ({', '.join(said)})"

    def _colored(self, one_map: Array) -> Array:
        maps = thumbnails(one_map[np.newaxis], MAX_PANEL)
        return colorize(maps, limits=limits(maps, "epoch"), colormap=self._colormap)


class Filmstrip:
    """Rows of maps over the evaluations of a run, at most `MAX_COLUMNS` and the newest.

    The first row is the mean of all maps, always by its own maximum; the first column shows the
    images.

    Args:
        names: The probes' names.
        images: uint8 `(num_probes, height, width, 3)`.
        scale: As in `Pictures`.
        colormap: As in `Pictures`.
    """

    def __init__(self, names: list[str], images: Array, scale: str, colormap: str) -> None:
        self._names, self._scale, self._colormap = [ALL, *names], scale, colormap
        small = thumbnails(images, MAX_FRAME).astype(np.uint8)
        self._factor = factor_for(max(small.shape[1:3]), MIN_FRAME)
        self._images = [sheets.blank(*small.shape[1:3]), *small]
        self._kept: list[tuple[int, Array, list[Array]]] = []
        self._stride, self._count = 1, 0
        self._limits: Array | None = None

    def add(self, step: int, mean: Array, maps: Array) -> Array:
        """Takes a column, gives the strip as it is now.

        Args:
            step: The column's name; -1 is the state before training.
            mean: `(height, width)`, the mean of all maps.
            maps: `(num_probes, height, width)`.
        """
        small = thumbnails(np.concatenate([mean[np.newaxis], maps]), MAX_FRAME)
        running = self._limits = limits(small[1:], self._scale, self._limits)
        columns = [*self._kept, (step, small, self._frames(small, running))]
        if self._scale != "epoch":  # the scale of earlier columns may have changed
            columns = [(step, small, self._frames(small, running)) for step, small, _ in columns]
        if self._count % self._stride == 0:
            self._kept = columns
        if len(self._kept) > MAX_COLUMNS:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._count += 1
        frames = [self._framed(self._images, [""] * len(self._names))]
        frames += [column for _, _, column in columns]
        rows = [(name, [frame[row] for frame in frames]) for row, name in enumerate(self._names)]
        steps = ["start" if step == -1 else str(step) for step, _, _ in columns]
        return sheets.filmstrip(rows, ["", *steps])

    def _frames(self, small: Array, running: Array) -> list[Array]:
        own = limits(small, "epoch")
        shown = own if self._scale == "epoch" else np.concatenate([own[:1], running])
        colored = colorize(small, limits=shown, colormap=self._colormap)
        return self._framed(colored, [statement(one) for one in small])

    def _framed(self, pictures: Iterable[Array], said: Iterable[str]) -> list[Array]:
        framed = []
        for picture, text in zip(pictures, said, strict=True):
            frame = sheets.padded(enlarged(picture, self._factor), sheets.LINE, MIN_FRAME)
            if text:
                sheets.draw_line(frame, 0, 0, frame.shape[1], Line(_SHORT[text], wrong=True))
            framed.append(frame)
        return framed


def _evenly(total: int, at_most: int) -> Array:
    """Indices of `at_most` of `total` things, evenly spaced; all where there are no more."""
    return np.unique(np.linspace(0, total - 1, min(total, at_most)).round().astype(int))
