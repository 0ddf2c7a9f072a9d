"""`InputEncoder`: encodes what the log has of one of the inputs that are explained."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from keras_saliency.data.blocks import rounded, thumbnails
from keras_saliency.data.inputs import map_axes, without_channels
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.log.blobs import codes, packed
from keras_saliency.rendering.clipping import percentile_for, percentile_name
from keras_saliency.rendering.heatmaps import displayed, limits, map_defect, peaks, value_range
from keras_saliency.rendering.renderers import PANEL, renderer
from keras_saliency.rendering.settings import Pictures

MAX_PICTURE = 224
"""The longer side of the images below the maps, in pixels; larger images are averaged."""

MAX_THUMBNAIL = 40
"""The longer side of the maps in the tab's matrix, in pixels; larger maps are averaged."""


class InputEncoder:
    """Encodes pictures and maps of one input.

    Args:
        probes: The probes of this input.
        pictures: As in `Encoder`.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures) -> None:
        self._probes, self._map_size = probes, pictures.map_size or 1
        self._percentile = percentile_for(probes.kind, pictures.clip_percentile)
        indices = np.arange(len(probes))
        self._renderer = None if probes.kind == "image" else renderer(probes, indices, PANEL)

    def fields(self) -> dict[str, Any]:
        """What the header of the probes says of this input."""
        probes = self._probes
        return {
            "kind": probes.kind,
            "shape": probes.images.shape[1 : 1 + len(map_axes(probes.kind))],
            "regions": list(probes.regions),
            "feature_names": probes.feature_names,
            "clip": None if self._percentile == 100 else percentile_name(self._percentile),
        }

    def arrays(self) -> dict[str, Array | None]:
        """What does not change in a run: pictures, and the masks, places, ... that there are."""
        probes = self._probes
        arrays: dict[str, Array | None] = {"pictures": self._pictures()}
        if probes.masks is not None:
            arrays["masks"] = self._smaller_masks(probes.masks)
        if probes.regions:
            arrays["regions"] = self._regions()
        if self._renderer is not None:
            arrays["places"] = self._renderer.places
            arrays["ink"] = self._renderer.ink
        return arrays

    def of_report(self, report: SaliencyReport) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
        """Encodes the maps of an evaluation.

        Args:
            report: The report of this input.

        Returns:
            By the name of the method, what the header of the report says of its maps; and the blobs
            of the maps.
        """
        is_signed = report.signed_maps is not None
        first = report.maps if report.signed_maps is None else report.signed_maps
        headers, blobs = {}, {}
        for name, full_maps in {report.method: first, **report.others}.items():
            maps = self._smaller(full_maps)
            map_limits = peaks(maps)
            small = None
            if self._renderer is None and max(maps.shape[1:]) > MAX_THUMBNAIL:
                small = codes(thumbnails(maps, MAX_THUMBNAIL), limits=map_limits, signed=is_signed)
            header = {"content": "maps", "step": report.step, "method": name}
            arrays = {"thumbnails": small, "maps": codes(maps, limits=map_limits, signed=is_signed)}
            blobs[name] = packed(header, arrays)
            headers[name] = {
                "signed": is_signed,
                "limits": map_limits,
                "clip_limits": limits(maps, "epoch", clip_percentile=self._percentile),
                "peaks": peaks(full_maps),
                "defects": [map_defect(one) for one in full_maps],
            }
        return headers, blobs

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
