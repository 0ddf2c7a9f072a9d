"""`Pictures`: one report's pictures, by tag: every probe, the contact sheet, the filmstrip."""

from __future__ import annotations

import numpy as np

from keras_saliency import _tags, sheets
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

MAX_PROBES = 128
"""Pictures are drawn of so many probes at most, evenly chosen; statistics are of all."""

MIN_PANEL, MAX_PANEL = 112, 512
"""A panel's longer side: smaller maps are enlarged by a whole factor until they reach the first,
larger ones averaged over whole blocks until they don't pass the second."""

MIN_CELL, MAX_CELL = 72, 112
"""The same for the cells of the contact sheet."""

FRAME = 48
"""The same, both, for the frames of the filmstrip."""

MAX_ROWS = MAX_COLUMNS = 16
"""The filmstrip's rows (evenly chosen) and columns (evenly spaced, and the newest)."""


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
            ["all probes", *(probes.names[row] for row in self._rows)], scale, colormap
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
        drawn = {
            _tags.CONTACT_SHEET: self._contact_sheet(report, over, mean),
            _tags.FILMSTRIP: self._film.add(
                report.step, np.concatenate([mean[np.newaxis], report.maps[self._rows]])
            ),
        }
        for position, probe in enumerate(self._chosen):
            panels = (self._originals[position], over[position], heat[position])
            drawn[_tags.probe_tag(self._probes.names[probe])] = sheets.captioned(
                sheets.beside([enlarged(panel, self._factor) for panel in panels]),
                self._caption(report, probe),
            )
        return drawn

    def description(self, tag: str) -> str:
        """What the picture of a tag shows, in Markdown."""
        shown = f"Colormap `{self._colormap}`, scale `{self._scale}`."
        if tag == _tags.CONTACT_SHEET:
            return f"All probes, each with its map laid over; first the mean of all maps. {shown}"
        if tag == _tags.FILMSTRIP:
            return f"Saliency maps from before training to now; first the mean of all. {shown}"
        return f"The probe, its saliency map laid over, its saliency map. {shown}"

    def configuration(self) -> dict[str, str]:
        """What the pictures show, for the Text tab."""
        low, high = value_range(self._probes.images)
        height, width = self._probes.images.shape[1:3]
        block = -(-max(height, width) // MAX_PANEL)
        size = (
            f"enlarged {self._factor} times"
            if block == 1
            else f"averaged over {block} x {block} pixels"
        )
        return {
            "pictures": f"{len(self._chosen)} of {len(self._probes)} probes, maps of {height} x "
            f"{width} pixels, {size}",
            "pixel values shown": f"{low:g} black, {high:g} white",
            "colormap, scale": f"{self._colormap}, {self._scale}",
        }

    def _caption(self, report: SaliencyReport, probe: int) -> list[Line]:
        said = statement(report.maps[probe])
        peak = "" if said == "not a number" else f"map peak {report.maps[probe].max():.2e}"
        return [
            Line(f"target {self._probes.class_name(report.targets[probe])}"),
            self._prediction(report, probe),
            Line(" · ".join(part for part in (peak, said) if part), wrong=bool(said)),
        ]

    def _prediction(self, report: SaliencyReport, probe: int) -> Line:
        prediction = report.predictions[probe]
        if prediction < 0:
            return Line(f"score {report.scores[probe]:.3g}")
        name = self._probes.class_name(prediction)
        wrong = bool(prediction != report.targets[probe])
        return Line(f"predicts {name} {report.confidences[probe]:.2f}", wrong)

    def _contact_sheet(self, report: SaliencyReport, over: Array, mean: Array) -> Array:
        cells = thumbnails(np.concatenate([over, self._colored(mean)]), MAX_CELL)
        factor = factor_for(max(cells.shape[1:3]), MIN_CELL)
        cells = enlarged((cells + 0.5).astype(np.uint8), factor)
        captions = [[Line("mean of all"), Line("")]]
        for probe in self._chosen:
            target = self._probes.class_name(report.targets[probe])
            prediction = self._prediction(report, probe)
            captions.append(
                [Line(target), Line(prediction.text.replace("predicts", "→"), prediction.wrong)]
            )
        return sheets.contact_sheet(
            [
                sheets.captioned(cell, lines)
                for cell, lines in zip([cells[-1], *cells[:-1]], captions, strict=True)
            ]
        )

    def _colored(self, one_map: Array) -> Array:
        maps = thumbnails(one_map[np.newaxis], MAX_PANEL)
        return colorize(maps, limits=limits(maps, "epoch"), colormap=self._colormap)


class Filmstrip:
    """Rows of maps over the evaluations of a run, at most `MAX_COLUMNS` and the newest.

    Args:
        names: The rows' names.
        scale: As in `Pictures`; the first row, which is no probe's, always has its own maximum.
        colormap: As in `Pictures`.
    """

    def __init__(self, names: list[str], scale: str, colormap: str) -> None:
        self._names, self._scale, self._colormap = names, scale, colormap
        self._kept: list[tuple[int, Array]] = []
        self._stride, self._count = 1, 0
        self._limits: Array | None = None

    def add(self, step: int, maps: Array) -> Array:
        """Takes a column, gives the strip as it is now.

        Args:
            step: The column's name; -1 is the state before training.
            maps: `(num_rows, height, width)`.
        """
        newest = (step, thumbnails(maps, FRAME))
        running = self._limits = limits(newest[1][1:], self._scale, self._limits)
        columns = [*self._kept, newest]
        if self._count % self._stride == 0:
            self._kept = columns
        if len(self._kept) > MAX_COLUMNS:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._count += 1
        frames = [self._frames(small, running) for _, small in columns]
        rows = [(name, [frame[row] for frame in frames]) for row, name in enumerate(self._names)]
        return sheets.filmstrip(
            rows, ["before" if step == -1 else str(step) for step, _ in columns]
        )

    def _frames(self, small: Array, running: Array) -> Array:
        own = limits(small, "epoch")
        shown = own if self._scale == "epoch" else np.concatenate([own[:1], running])
        colored = colorize(small, limits=shown, colormap=self._colormap)
        return enlarged(colored, factor_for(max(small.shape[1:3]), FRAME))


def _evenly(total: int, at_most: int) -> Array:
    """Indices of `at_most` of `total` things, evenly spaced; all where there are no more."""
    return np.unique(np.linspace(0, total - 1, min(total, at_most)).round().astype(int))
