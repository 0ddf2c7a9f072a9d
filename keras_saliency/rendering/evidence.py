"""The picture of an alert: what was exchanged, and what the model predicts before and after."""

from __future__ import annotations

import numpy as np

from keras_saliency.data.blocks import rounded, thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Alert, Array, Example, SaliencyReport
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import displayed, enlarged, factor_for, value_range
from keras_saliency.rendering.layouts import Line

MIN_PANEL, MAX_PANEL = 192, 224
"""The longer side of a panel in pixels: smaller images are enlarged, larger ones averaged."""

MIN_WIDTH = 240
"""The smallest width of a panel in pixels, so that its caption fits."""


def evidence(probes: ProbeSet, report: SaliencyReport, alert: Alert) -> Array:
    """Draws the examples of an alert, one per row: recipient, donor and edited image.

    If the alert has a window, it is outlined.

    Returns:
        uint8 `(height, width, 3)`.
    """
    black, white = value_range(probes.images)
    rows = []
    for example in alert.examples:
        pair = probes.images[[example.recipient, example.donor]]
        images = np.concatenate([pair, example.image[np.newaxis]]).clip(black, white)
        panels = rounded(thumbnails(displayed(images, black, white), MAX_PANEL))
        panels = enlarged(panels, factor_for(max(panels.shape[1:3]), MIN_PANEL))
        if alert.window is not None:
            scale = panels.shape[1] / probes.images.shape[1]
            _outline(panels, *(round(scale * side) for side in alert.window))
        captions = _captions(probes, report, example)
        rows.append(
            layouts.beside(
                [
                    layouts.captioned(panel, lines, min_width=MIN_WIDTH)
                    for panel, lines in zip(panels, captions, strict=True)
                ]
            )
        )
    return layouts.stacked(rows)


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
