"""`ProbeFacts`: what the probes alone, without a model, tell about where their objects are."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.ndimage import label, uniform_filter

from keras_saliency.data.blocks import thumbnails
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.detection.objects import estimated_mask
from keras_saliency.detection.repetition import repeated_place, repeated_shares

MAX_SIDE = 64
"""Larger images are reduced to this many pixels of their longer side before they are compared."""

OUTSIDE = 0.1
"""A place is outside of the masks if they cover at most this share of it."""

MOST = 0.5
"""This share of a place has to repeat, or to be separate from the objects, to speak for it."""

VARYING = 0.35
"""A pixel varies if its standard deviation over the probes reaches this share of the largest."""


class ProbeFacts:
    """Facts about the probes of a run, each found when it is first needed.

    Args:
        probes: Images with targets.
    """

    def __init__(self, probes: ProbeSet) -> None:
        self._probes = probes

    @cached_property
    def classes(self) -> Array:
        """`(num_classes,)`, the indices of the classes, sorted."""
        return np.unique(np.asarray(self._probes.targets))

    @cached_property
    def repeated_shares(self) -> Array:
        """As returned by the function of this name, `(num_classes, height, width)`."""
        targets = np.asarray(self._probes.targets)
        return self._enlarged(repeated_shares(self._reduced, targets))

    @cached_property
    def repeated_place(self) -> Array:
        """Where the images of any class repeat each other, bool `(height, width)`."""
        return repeated_place(self.repeated_shares)

    @cached_property
    def estimated_masks(self) -> Array:
        """Objects, bool `(num_probes, height, width)`; all `False` for a probe without a mask."""
        masks = [estimated_mask(image) for image in self._reduced]
        none = np.zeros(self._reduced.shape[1:3], bool)
        return self._enlarged(np.stack([none if mask is None else mask for mask in masks]))

    @cached_property
    def detached_border(self) -> Array:
        """What varies between the probes and is separate from what varies in their middle.

        bool `(height, width)`, only parts that reach the edge. Empty where objects reach the edge,
        or backgrounds vary.
        """
        reduced = self._reduced
        means = uniform_filter(reduced, (0, 3, 3, 0), mode="nearest")
        spread = means.std(axis=0).max(axis=-1)
        parts, _ = label(spread >= VARYING * np.quantile(spread, 0.95))
        height, width = parts.shape
        middle = parts[height // 4 : height - height // 4, width // 4 : width - width // 4]
        edges = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        in_middle = np.unique(middle[middle > 0])
        separate = np.isin(parts, np.setdiff1d(edges[edges > 0], in_middle))
        return self._enlarged(separate & (len(in_middle) > 0))

    def support(self, mask: Array) -> str:
        """What speaks for an artefact at a place, in words; empty if nothing does.

        Args:
            mask: The place, bool `(height, width)`, the same for all probes.
        """
        if not mask.any():
            return ""
        masks = self._probes.masks
        if masks is not None and masks[:, mask].mean() <= OUTSIDE:
            return "outside of your masks"
        if self.repeated_place[mask].mean() >= MOST:
            shares = self.repeated_shares[:, mask].max(axis=1)
            name = self._probes.class_name(int(self.classes[shares.argmax()]))
            return f"the same pixels in {shares.max():.0%} of the images of class {name!r}"
        if self.detached_border[mask].mean() >= MOST:
            return "separate from what varies in the middle of the images"
        return ""

    @cached_property
    def _reduced(self) -> Array:
        """The images with a longer side of at most `MAX_SIDE`, float32."""
        return thumbnails(self._probes.images, MAX_SIDE).astype(np.float32)

    def _enlarged(self, values: Array) -> Array:
        """What was found of the reduced images, `(..., height, width)`, at their full size."""
        height, width = self._probes.images.shape[1:3]
        block = -(-max(height, width) // MAX_SIDE)
        result: Array = values.repeat(block, -2).repeat(block, -1)[..., :height, :width]
        return result
