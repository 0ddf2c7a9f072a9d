"""`Encoder`: what the SALIENCY tab is made of, as tags and blobs. See `docs/log_format.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_saliency.data.blocks import rounded, thumbnails
from keras_saliency.data.inputs import map_axes
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport, Verdict
from keras_saliency.data.serialization import to_json
from keras_saliency.detection.alerts import effect_metrics
from keras_saliency.log import tags
from keras_saliency.log.blobs import codes, packed
from keras_saliency.metrics.catalog import descriptions
from keras_saliency.rendering.drawings import DARK_INK, LIGHT_INK, PAPER
from keras_saliency.rendering.heatmaps import (
    NOT_A_NUMBER,
    colors,
    displayed,
    diverging,
    limits,
    map_defect,
    value_range,
)
from keras_saliency.rendering.renderers import PANEL, renderer
from keras_saliency.rendering.settings import Pictures

MAX_PICTURE = 224
"""The longer side of the images below the maps, in pixels: larger ones are averaged."""

MAX_THUMBNAIL = 40
"""The longer side of the maps in the tab's matrix, in pixels: larger ones are averaged."""

COLORMAPS = ("hot", "inferno", "viridis", "magma", "turbo", "gray", "RdBu_r")
"""What the tab offers, besides the colormap of the pictures."""

Record = tuple[str, list[bytes]]
"""A tag and its blobs."""

_TOO_LARGE = ("examples",)
"""Fields of alerts and effects that the log leaves out: images on the model's own scale."""


class Encoder:
    """Makes the records of one run.

    Args:
        probes: What the reports are about.
        pictures: The scale and the colormap that the tab starts with, and the size of maps.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures) -> None:
        self._probes, self._map_size = probes, pictures.map_size or 1
        self._scale, self._colormap = pictures.scale, pictures.colormap
        every = np.arange(len(probes))
        self._renderer = None if probes.kind == "image" else renderer(probes, every, PANEL)

    def of_probes(self, configuration: Mapping[str, str], *, unit: str) -> Record:
        """What does not change.

        Args:
            configuration: Name and value of each setting.
            unit: What steps count.
        """
        probes = self._probes
        shown = dict.fromkeys([self._colormap, *COLORMAPS, diverging(self._colormap)])
        header = {
            "content": "probes",
            "kind": probes.kind,
            "unit": unit,
            "fingerprint": probes.fingerprint,
            "names": probes.names,
            "targets": probes.targets,
            "class_names": probes.class_names,
            "groups": None if probes.groups is None else [str(group) for group in probes.groups],
            "regions": list(probes.regions),
            "shape": probes.images.shape[1 : 1 + len(map_axes(probes.kind))],
            "scale": self._scale,
            "colormap": self._colormap,
            "colormaps": {n: colors(n, tags.LEVELS + 1).tobytes().hex() for n in shown},
            "diverging": diverging(self._colormap),
            "levels": tags.LEVELS,
            "not_finite": tags.NOT_FINITE,
            "not_finite_color": bytes(NOT_A_NUMBER).hex(),
            "ink_levels": {"light": LIGHT_INK, "dark": DARK_INK, "ground": PAPER},
            "descriptions": descriptions(),
            "configuration": configuration,
        }
        arrays: dict[str, Array | None] = {"pictures": self._pictures()}
        if probes.masks is not None:
            arrays["masks"] = self._smaller_masks(probes.masks)
        if probes.regions:
            arrays["regions"] = self._regions()
        if self._renderer is not None:
            arrays["places"] = self._renderer.places
            arrays["ink"] = self._renderer.ink
        return tags.PROBES, packed(header, arrays)

    def of_report(self, report: SaliencyReport) -> list[Record]:
        """What an evaluation found: numbers, and each method's maps."""
        is_signed = report.signed_maps is not None
        first = report.maps if report.signed_maps is None else report.signed_maps
        methods = {report.method: first, **report.others}
        records, told = [], {}
        for name, whole in methods.items():
            maps = self._smaller(whole)
            ends = limits(maps, "epoch")
            small = None
            if self._renderer is None and max(maps.shape[1:]) > MAX_THUMBNAIL:
                small = codes(thumbnails(maps, MAX_THUMBNAIL), limits=ends, signed=is_signed)
            header = {"content": "maps", "step": report.step, "method": name}
            arrays = {"thumbnails": small, "maps": codes(maps, limits=ends, signed=is_signed)}
            records.append((tags.maps_tag(name), packed(header, arrays)))
            defects = [map_defect(one) for one in whole]
            peaks = limits(whole, "epoch")
            told[name] = {"signed": is_signed, "limits": ends, "peaks": peaks, "defects": defects}
        header = {
            "content": "reports",
            "step": report.step,
            "methods": told,
            "targets": report.targets,
            "predictions": report.predictions,
            "confidences": report.confidences,
            "scores": report.scores,
            "gradient_norms": report.gradient_norms,
            "metrics": report.metrics,
        }
        return [*records, (tags.REPORTS, packed(header, {}))]

    def of_findings(self, report: SaliencyReport, pictures: Sequence[Array | None]) -> Record:
        """What the interventions found.

        Args:
            report: One with interventions.
            pictures: The evidence of each of its alerts; `None` of one without.
        """
        found = report.interventions
        if found is None:
            raise ValueError(
                f"report: expected one with interventions, received step {report.step}."
            )
        arrays = {f"evidence/{i}": p for i, p in enumerate(pictures) if p is not None}
        raised = [
            to_json(alert, leave_out=_TOO_LARGE)
            | {"evidence": f"evidence/{i}" if f"evidence/{i}" in arrays else None}
            for i, alert in enumerate(report.alerts)
        ]
        header = {
            "content": "findings",
            "step": report.step,
            "unit": found.unit,
            "blocked_because": found.blocked_because,
            "note": found.note,
            "passes": found.passes,
            "metrics": effect_metrics(found),
            "verdicts": [_verdict_row(verdict) for verdict in report.verdicts],
            "alerts": raised,
        }
        return tags.FINDINGS, packed(header, arrays)

    def _smaller(self, maps: Array) -> Array:
        """Maps as they are kept, `(num_probes, ...)`."""
        if self._renderer is None:
            return thumbnails(maps, self._map_size)
        return self._renderer.shown(self._renderer.reduced(maps))

    def _smaller_masks(self, masks: Array) -> Array:
        return (self._smaller(masks.astype(np.float32)) >= 0.5).astype(np.uint8)

    def _regions(self) -> Array:
        """`(num_regions, num_probes or 1, ...)`: one for all probes where they are alike."""
        regions = list(self._probes.regions.values())
        if all((region == region[:1]).all() for region in regions):
            regions = [region[:1] for region in regions]
        return np.stack([self._smaller_masks(region) for region in regions])

    def _pictures(self) -> Array:
        if self._renderer is not None:
            return self._renderer.originals
        images = self._probes.images
        black, white = value_range(images)
        return np.concatenate(
            [
                rounded(thumbnails(displayed(images[first : first + 1], black, white), MAX_PICTURE))
                for first in range(len(images))  # one at a time: copies in float64 are large
            ]
        )


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    """A verdict and its effect as one row of a table."""
    row = to_json(verdict, leave_out=_TOO_LARGE)
    effect = row.pop("effect")
    return {**effect, "raw_p_value": effect["p_value"], **row}
