"""The picture of an alert: what was exchanged, and what the model predicts before and after."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_saliency.data.blocks import rounded, thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Alert, Array, Example, SaliencyReport
from keras_saliency.rendering import layouts
from keras_saliency.rendering.drawings import outline, with_box
from keras_saliency.rendering.heatmaps import displayed, enlarged, factor_for, value_range
from keras_saliency.rendering.layouts import Line
from keras_saliency.rendering.renderers import PANEL, renderer

MIN_PANEL, MAX_PANEL = 192, 224
"""The longer side of a panel in pixels: smaller images are enlarged, larger ones averaged."""

MIN_WIDTH = 240
"""The smallest width of a panel in pixels, so that its caption fits."""


def evidence(probes: ProbeSet, report: SaliencyReport, alert: Alert) -> Array:
    """Draws the examples of an alert, one per row: recipient, donor and edited image.

    If the alert has a window, it is outlined, and so are the boxes of probes that have some: in the
    edited image, that of the recipient. Of other inputs than images, the places are outlined at
    which the exchange changed the recipient, unless it changed all of it.

    Returns:
        uint8 `(height, width, 3)`.
    """
    draw = _images if probes.kind == "image" else _drawings
    rows = [
        layouts.beside(
            [
                layouts.captioned(panel, lines, min_width=MIN_WIDTH)
                for panel, lines in zip(panels, _captions(probes, report, example), strict=True)
            ]
        )
        for example, panels in zip(alert.examples, draw(probes, alert), strict=True)
    ]
    return layouts.stacked(rows)


def _images(probes: ProbeSet, alert: Alert) -> Iterator[Array]:
    """The three panels of each example, uint8 `(3, height, width, 3)`."""
    black, white = value_range(probes.images)
    for example in alert.examples:
        images = _three(probes, example).clip(black, white)
        panels = rounded(thumbnails(displayed(images, black, white), MAX_PANEL))
        panels = enlarged(panels, factor_for(max(panels.shape[1:3]), MIN_PANEL))
        if probes.boxes is not None:
            boxes = probes.boxes[[example.recipient, example.donor, example.recipient]]
            size = probes.images.shape[1:3]
            panels = np.stack([with_box(*pair, size) for pair in zip(panels, boxes, strict=True)])
        if alert.window is not None:
            scale = panels.shape[1] / probes.images.shape[1]
            _outline(panels, *(round(scale * side) for side in alert.window))
        yield panels


def _three(probes: ProbeSet, example: Example) -> Array:
    """The recipient, the donor, and the edited recipient."""
    pair = probes.images[[example.recipient, example.donor]]
    return np.concatenate([pair, example.image[np.newaxis]])


def _drawings(probes: ProbeSet, alert: Alert) -> Iterator[Array]:
    """As `_images`, for the other kinds of input; all examples are drawn on one scale."""
    values = np.concatenate([_three(probes, example) for example in alert.examples])
    shown = ProbeSet(
        values,
        kind=probes.kind,
        vocabulary=probes.vocabulary,
        feature_names=probes.feature_names,
    )
    drawing = renderer(shown, np.arange(len(values)), PANEL)
    channels = tuple(range(len(shown.map_shape) - 1, values.ndim - 1))
    places = drawing.places
    for first in range(0, len(values), 3):
        panels = drawing.originals[first : first + 3].copy()
        changed = (values[first + 2] != values[first]).any(axis=channels)
        if places is not None and not changed.all():
            own = places[first : first + 3] if len(places) > 1 else places.repeat(3, axis=0)
            on_maps = drawing.shown(drawing.reduced(changed[np.newaxis].astype(float)))
            _outline_places(panels, own, on_maps)
        yield panels


def _outline_places(panels: Array, places: Array, changed: Array) -> None:
    """Draws an outline around the changed places, in place; within them.

    Args:
        panels: uint8 `(3, height, width, 3)`.
        places: `(3, height, width)`, as in `Renderer`.
        changed: `(1, ...)`, not 0 where a place was changed, as `Renderer.shown` returns it.
    """
    is_changed = np.append(changed.ravel() != 0, False)[places]  # -1: beside all places
    panels[outline(is_changed)] = layouts.WRONG


def _outline(panels: Array, top: int, left: int, height: int, width: int) -> None:
    """Draws an outline around a window, in place; outside of the window if there is space."""
    bottom, right = (
        min(edge, size - 1)
        for edge, size in zip((top + height, left + width), panels.shape[1:3], strict=True)
    )
    top, left = max(0, top - 1), max(0, left - 1)
    panels[:, [top, bottom], left : right + 1] = layouts.WRONG
    panels[:, top : bottom + 1, [left, right]] = layouts.WRONG


def _captions(probes: ProbeSet, report: SaliencyReport, example: Example) -> list[list[Line]]:
    def predicts(prediction: int) -> str:
        return "" if prediction < 0 else f"predicts {_class(probes, prediction)}"

    recipient, donor = (
        [
            Line(f"{role}: {probes.names[probe]}"),
            Line(predicts(int(report.predictions[probe]))),
            Line(""),
        ]
        for role, probe in (("recipient", example.recipient), ("donor", example.donor))
    )
    changed = example.prediction != int(report.predictions[example.recipient])
    edited = [
        Line("recipient, edited"),
        Line(predicts(example.prediction), wrong=changed),
        Line(f"same-class donor: {predicts(example.same_class_prediction)}"),
    ]
    if example.prediction < 0:
        edited = edited[:1] + [Line("")] * 2
    return [recipient, donor, edited]


def _class(probes: ProbeSet, index: int) -> str:
    name = probes.class_name(index)
    return name if layouts.is_drawable(name) else f"class {index}"
