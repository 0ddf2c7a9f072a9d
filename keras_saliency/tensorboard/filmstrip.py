"""`Filmstrip`: the maps of some probes over the evaluations of a run, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.data.serialization import put
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import diverging, enlarged, limits, map_defect
from keras_saliency.rendering.layouts import Line
from keras_saliency.rendering.renderers import Renderer

MIN_STRIP_CELL = 32
"""The smallest width of the filmstrip's frames in pixels."""

MAX_COLUMNS = 16
"""The largest number of columns, evenly spaced, without the newest one."""

ALL = "mean of all"
"""The name of the first row."""

_SHORT = {"zero map": "zero", "constant map": "constant", "not a number": "nan"}


@dataclass
class _Column:
    """The maps of one evaluation, as they are drawn in a film strip.

    Attributes:
        step: Of the evaluation.
        mean: `(1, ...)`, the mean of all maps, at the size of a frame.
        maps: `(num_probes, ...)`, at the size of a frame.
        frames: As they were drawn last: of the mean, then of each map.
        saved: As `Filmstrip.to_json` returned it last: the row, and the arrays that it names.
    """

    step: int
    mean: Array
    maps: Array
    frames: list[Array] = field(default_factory=list)
    saved: tuple[dict[str, Any], dict[str, Array]] | None = None

    def to_json(self, arrays: dict[str, Array]) -> dict[str, Any]:
        """The column as values for JSON; puts the arrays that these name among `arrays`."""
        if self.saved is None:
            ours: dict[str, Array] = {}
            row = {"step": self.step, "mean": put(self.mean, ours), "maps": put(self.maps, ours)}
            self.saved = row, ours
        arrays |= self.saved[1]
        return self.saved[0]


class Filmstrip:
    """Rows of maps over the evaluations of a run: at most `MAX_COLUMNS`, and the newest one.

    The first row is the mean of all maps, with a scale of its own unless maps have one value. The
    first column shows the images.

    Args:
        names: The names of the probes.
        renderer: A renderer for these probes.
        map_shape: The shape of a map.
        scale: As in `Pictures`; `"shared"` if maps have one value.
        colormap: As in `Pictures`.
        clip_percentile: As in `Pictures`.
    """

    def __init__(
        self,
        names: list[str],
        renderer: Renderer,
        map_shape: tuple[int, ...],
        scale: str,
        colormap: str,
        *,
        clip_percentile: float,
    ) -> None:
        self._names, self._scale, self._colormap = [ALL, *names], scale, colormap
        self._percentile = clip_percentile
        self._renderer, self._map_shape, self._signed = renderer, map_shape, False
        self._images = [layouts.blank(*renderer.originals.shape[1:3]), *renderer.originals]
        self._kept: list[_Column] = []
        self._newest: _Column | None = None
        self._stride, self._count = 1, 0
        self._last_step: int | None = None
        self._limits: Array | None = None

    def add(self, step: int, mean: Array, maps: Array, *, signed: bool = False) -> None:
        """Adds a column, which is drawn when the filmstrip is.

        Args:
            step: The step of the column; -1 is the state before training. If it is that of the last
                column, it replaces that.
            mean: `(height, width)`, the mean of all maps.
            maps: `(num_probes, height, width)`.
            signed: Whether the maps are signed; must be the same for all columns.
        """
        self._signed = signed
        if step == self._last_step:
            self._kept = [column for column in self._kept if column.step != step]
            self._count -= 1
        self._last_step = step
        new = _Column(step, self._renderer.reduced(mean[np.newaxis]), self._renderer.reduced(maps))
        if self._scale != "epoch":
            self._limits = self._ends(new.maps, self._limits)
        self._newest = new
        if self._count % self._stride == 0:
            self._kept = [*self._kept, new]
        if len(self._kept) > MAX_COLUMNS:
            self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._count += 1

    def draw(self) -> Array:
        """Draws the columns that are kept, and the newest one: uint8 `(height, width, 3)`."""
        columns = [column for column in self._kept if column is not self._newest]
        if self._newest is not None:
            columns.append(self._newest)
        for column in columns:
            self._draw(column)
        frames = [self._framed(self._images, [""] * len(self._names))]
        frames += [column.frames for column in columns]
        rows = [(name, [frame[row] for frame in frames]) for row, name in enumerate(self._names)]
        steps = ["start" if column.step == -1 else str(column.step) for column in columns]
        return layouts.filmstrip(rows, ["", *steps])

    def index(self, step: int) -> int:
        """How many columns were added before the one of this step, which may be the last."""
        return self._count - (step == self._last_step)

    def to_json(self, arrays: dict[str, Array]) -> dict[str, Any]:
        """The columns as values for JSON; puts the arrays that these name among `arrays`."""
        return {
            "stride": self._stride,
            "count": self._count,
            "last_step": self._last_step,
            "limits": None if self._limits is None else put(self._limits, arrays),
            "columns": [column.to_json(arrays) for column in self._kept],
        }

    def resume(
        self, content: Mapping[str, Any], arrays: Mapping[str, Array], *, signed: bool
    ) -> None:
        """Goes on from what `to_json` returned."""
        shape = self._renderer.reduced(np.zeros((1, *self._map_shape))).shape
        expected = {"mean": shape, "maps": (len(self._names) - 1, *shape[1:])}
        for column in content["columns"]:
            received = {name: arrays[column[name]].shape for name in expected}
            if received != expected:
                raise ValueError(f"expected columns of {expected}, received {received}.")
        self._signed = signed
        self._stride, self._count = content["stride"], content["count"]
        self._last_step = content["last_step"]
        self._limits = None if content["limits"] is None else arrays[content["limits"]]
        self._kept = [
            _Column(one["step"], arrays[one["mean"]], arrays[one["maps"]])
            for one in content["columns"]
        ]

    def _ends(self, small: Array, before: Array | None) -> Array:
        """Where the colours of these maps end."""
        return limits(small, self._scale, before, clip_percentile=self._percentile)

    def _draw(self, column: _Column) -> None:
        """Draws the frames of a column, unless they are as they were."""
        if column.frames and self._scale == "epoch":  # only other scales change with later columns
            return
        ends = self._ends(column.maps, self._limits)
        end = ends[:1] if math.prod(self._map_shape) == 1 else None
        mean = heat_alone(self._renderer, column.mean, self._colormap, self._percentile, end)
        column.frames = self._framed(mean, [map_defect(column.mean)])
        column.frames += self._shown(column.maps, ends)

    def _shown(self, small: Array, running: Array) -> list[Array]:
        """The frames of a column's maps, with the current scale."""
        heat = self._renderer.heat(
            small,
            limits=running,
            colormap=diverging(self._colormap) if self._signed else self._colormap,
            signed=self._signed,
        )
        return self._framed(heat, [map_defect(one) for one in small])

    def _framed(self, pictures: Iterable[Array], defects: Iterable[str]) -> list[Array]:
        frames = []
        for picture, defect in zip(pictures, defects, strict=True):
            frame = layouts.padded(
                enlarged(picture, self._renderer.factor), layouts.LINE, MIN_STRIP_CELL
            )
            if defect:
                layouts.draw_line(frame, 0, 0, frame.shape[1], Line(_SHORT[defect], wrong=True))
            frames.append(frame)
        return frames


def heat_alone(
    renderer: Renderer,
    reduced: Array,
    colormap: str,
    clip_percentile: float,
    end: Array | None = None,
) -> Array:
    """Draws one map alone, at the renderer's size; without an end, with a scale of its own."""
    if end is None:
        end = limits(reduced, "epoch", clip_percentile=clip_percentile)
    return renderer.heat(reduced, limits=end, colormap=colormap, signed=False)
