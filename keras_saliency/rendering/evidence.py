"""The picture that goes with an alert: what was exchanged, and what the model said then."""

from __future__ import annotations

import numpy as np

from keras_saliency.data.blocks import rounded, thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Alert, Array, Example, SaliencyReport
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import displayed, enlarged, factor_for, value_range
from keras_saliency.rendering.layouts import Line

MIN_PANEL, MAX_PANEL = 192, 224
"""A panel's longer side in pixels: smaller images are enlarged, larger ones averaged."""

MIN_WIDTH = 240
"""A panel is at least so wide, for its caption."""


def evidence(probes: ProbeSet, report: SaliencyReport, alert: Alert) -> Array:
    """Up to four pairs of probes, each with the image made of them, in a row; windows outlined.

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
    """Draws a frame around a window, outside of it where there is room, in place."""
    bottom, right = (
        min(end, size - 1)
        for end, size in zip((top + height, left + width), panels.shape[1:3], strict=True)
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
        for role, probe in (("image", example.recipient), ("other", example.donor))
    )
    changed = example.prediction != int(report.predictions[example.recipient])
    made = [
        Line("the image, with the other's"),
        Line(predicts(example.prediction), wrong=changed),
        Line(f"with its own class's: {predicts(example.same_class_prediction)}"),
    ]
    if example.prediction < 0:
        made = made[:1] + [Line("")] * 2
    return [recipient, donor, made]


def _class(probes: ProbeSet, index: int) -> str:
    name = probes.class_name(index)
    return name if layouts.is_drawable(name) else f"class {index}"
