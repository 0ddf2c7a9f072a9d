"""`Encoder`: encodes the data of the SALIENCY tab as tags and blobs. See `docs/log_format.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_saliency.data.blocks import rounded, thumbnails
from keras_saliency.data.inputs import map_axes, without_channels
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport, Verdict
from keras_saliency.data.serialization import to_json
from keras_saliency.detection.alerts import effect_metrics
from keras_saliency.log import tags
from keras_saliency.log.blobs import codes, packed
from keras_saliency.metrics.catalog import descriptions
from keras_saliency.rendering.clipping import percentile_for, percentile_name
from keras_saliency.rendering.drawings import DARK_INK, LIGHT_INK, PAPER
from keras_saliency.rendering.heatmaps import (
    NOT_A_NUMBER,
    colors,
    displayed,
    diverging,
    limits,
    map_defect,
    peaks,
    value_range,
)
from keras_saliency.rendering.renderers import PANEL, renderer
from keras_saliency.rendering.settings import Pictures

MAX_PICTURE = 224
"""The longer side of the images below the maps, in pixels; larger images are averaged."""

MAX_THUMBNAIL = 40
"""The longer side of the maps in the tab's matrix, in pixels; larger maps are averaged."""

COLORMAPS = ("hot", "inferno", "viridis", "magma", "turbo", "gray", "RdBu_r")
"""The colormaps in the tab, in addition to the colormap of the pictures."""

Record = tuple[str, list[bytes]]
"""A tag and its blobs."""

_TOO_LARGE = ("examples",)
"""Fields of alerts and effects that are not logged: images on the scale of the model's input."""


class Encoder:
    """Makes the records of one run.

    Args:
        probes: The probes of the reports.
        pictures: The initial scale and colormap of the tab, the size of the maps, and the
            percentile at which the tab can clip them. The logged maps are not clipped.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures) -> None:
        self._probes, self._map_size = probes, pictures.map_size or 1
        self._scale, self._colormap = pictures.scale, pictures.colormap
        self._percentile = percentile_for(probes.kind, pictures.clip_percentile)
        indices = np.arange(len(probes))
        self._renderer = None if probes.kind == "image" else renderer(probes, indices, PANEL)

    def of_probes(self, configuration: Mapping[str, str], *, unit: str) -> Record:
        """Makes the record of what does not change during a run.

        Args:
            configuration: The name and value of each setting.
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
            "clip": None if self._percentile == 100 else percentile_name(self._percentile),
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
        """Makes the records of an evaluation: its numbers, and the maps of each method."""
        is_signed = report.signed_maps is not None
        first = report.maps if report.signed_maps is None else report.signed_maps
        methods = {report.method: first, **report.others}
        records, method_headers = [], {}
        for name, full_maps in methods.items():
            maps = self._smaller(full_maps)
            map_limits = peaks(maps)
            small = None
            if self._renderer is None and max(maps.shape[1:]) > MAX_THUMBNAIL:
                small = codes(thumbnails(maps, MAX_THUMBNAIL), limits=map_limits, signed=is_signed)
            header = {"content": "maps", "step": report.step, "method": name}
            arrays = {"thumbnails": small, "maps": codes(maps, limits=map_limits, signed=is_signed)}
            records.append((tags.maps_tag(name), packed(header, arrays)))
            method_headers[name] = {
                "signed": is_signed,
                "limits": map_limits,
                "clip_limits": limits(maps, "epoch", clip_percentile=self._percentile),
                "peaks": peaks(full_maps),
                "defects": [map_defect(one) for one in full_maps],
            }
        header = {
            "content": "reports",
            "step": report.step,
            "methods": method_headers,
            "targets": report.targets,
            "predictions": report.predictions,
            "confidences": report.confidences,
            "scores": report.scores,
            "gradient_norms": report.gradient_norms,
            "metrics": report.metrics,
        }
        return [*records, (tags.REPORTS, packed(header, {}))]

    def of_findings(self, report: SaliencyReport, pictures: Sequence[Array | None]) -> Record:
        """Makes the record of the results of interventions.

        Args:
            report: A report with interventions.
            pictures: The evidence of each alert; `None` for an alert without evidence.
        """
        results = report.interventions
        if results is None:
            raise ValueError(
                "report: expected a report with interventions, received a report without, of step "
                f"{report.step}."
            )
        arrays = {f"evidence/{i}": p for i, p in enumerate(pictures) if p is not None}
        alerts = [
            to_json(alert, leave_out=_TOO_LARGE)
            | {"evidence": f"evidence/{i}" if f"evidence/{i}" in arrays else None}
            for i, alert in enumerate(report.alerts)
        ]
        header = {
            "content": "findings",
            "step": report.step,
            "unit": results.unit,
            "alpha": results.alpha,
            "blocked_because": results.blocked_because,
            "note": results.note,
            "passes": results.passes,
            "metrics": effect_metrics(results),
            "verdicts": [_verdict_row(verdict) for verdict in report.verdicts],
            "alerts": alerts,
        }
        return tags.FINDINGS, packed(header, arrays)

    def _smaller(self, maps: Array) -> Array:
        """The maps at the size they are logged, `(num_probes, ...)`."""
        if self._renderer is None:
            return thumbnails(maps, self._map_size)
        return self._renderer.shown(self._renderer.reduced(maps))

    def _smaller_masks(self, masks: Array) -> Array:
        return (self._smaller(masks.astype(np.float32)) >= 0.5).astype(np.uint8)

    def _regions(self) -> Array:
        """`(num_regions, num_probes or 1, ...)`: 1 if each region is the same in all probes."""
        kind = self._probes.kind
        regions = [without_channels(mask, kind) for mask in self._probes.regions.values()]
        if all((region == region[:1]).all() for region in regions):
            regions = [region[:1] for region in regions]
        return np.stack([self._smaller_masks(region) for region in regions])

    def _pictures(self) -> Array:
        if self._renderer is not None:
            return self._renderer.originals
        images = self._probes.images
        black, white = value_range(images)
        made = (
            rounded(thumbnails(displayed(images[first : first + 1], black, white), MAX_PICTURE))
            for first in range(len(images))  # one at a time: copies as floats are large
        )
        first = next(made)
        pictures: Array = np.empty((len(images), *first.shape[1:]), np.uint8)
        for index, picture in enumerate(chain([first], made)):
            pictures[index] = picture[0]
        return pictures


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    """A verdict and its effect as one row of a table."""
    row = to_json(verdict, leave_out=(*_TOO_LARGE, "place"))  # which the alert has
    effect = row.pop("effect")
    return {**effect, "raw_p_value": effect["p_value"], **row}
