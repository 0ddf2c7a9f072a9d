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
"""A place is outside of the masks if they cover at most this share of it, and it holds at most this
share of them: a lesion may be a small part of a large place."""

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

    def objection(self, test: str) -> str:
        """Why a test of whole images proves nothing about these probes; empty if it does."""
        if test == "spectrum" and self._probes.boxes is not None:
            return "small objects of two classes differ in their spectrum by right"
        return ""

    @cached_property
    def classes(self) -> Array:
        """`(num_classes,)`, the indices of the classes, sorted."""
        classes: Array = np.unique(np.asarray(self._probes.targets))
        return classes

    @cached_property
    def repeated_place(self) -> Array:
        """Where the images of any class repeat each other, bool `(height, width)`."""
        return self._enlarged(repeated_place(self._repeated_shares))

    def repeated_in(self, mask: Array) -> Array:
        """By class, the largest share of its images that repeat each other at a place.

        Args:
            mask: The place, bool `(height, width)`.

        Returns:
            `(num_classes,)`, by the order of `classes`.
        """
        shares = self._repeated_shares
        small = np.zeros(shares.shape[1:], bool)
        rows, columns = np.nonzero(mask)
        small[rows // self._block, columns // self._block] = True
        return np.asarray(shares[:, small].max(axis=1, initial=0.0))

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

        Nothing is known of other inputs than images.

        Args:
            mask: The place, bool `(height, width)`, the same for all probes.
        """
        if self._probes.kind != "image" or not mask.any():
            return ""
        covered = self._num_covering
        if covered is not None:
            most = min(len(self._probes) * np.count_nonzero(mask), covered.sum())
            if covered[mask].sum() <= OUTSIDE * most:
                return "outside of your masks"
        if self.repeated_place[mask].mean() >= MOST:
            shares = self.repeated_in(mask)
            name = self._probes.class_name(int(self.classes[shares.argmax()]))
            return f"the same pixels in {shares.max():.0%} of the images of class {name!r}"
        if self.detached_border[mask].mean() >= MOST:
            return "separate from what varies in the middle of the images"
        return ""

    @cached_property
    def _num_covering(self) -> Array | None:
        """How many masks cover each pixel; `None` without masks."""
        masks = self._probes.masks
        return None if masks is None else masks.sum(axis=0)

    @cached_property
    def _repeated_shares(self) -> Array:
        """Those of the reduced images: at full size, of many classes, they would be large."""
        return repeated_shares(self._reduced, np.asarray(self._probes.targets))

    @property
    def _block(self) -> int:
        """The pixels of a side that are one pixel of the reduced images."""
        longer = int(max(self._probes.images.shape[1:3]))
        return -(-longer // MAX_SIDE)

    @cached_property
    def _reduced(self) -> Array:
        """The images with a longer side of at most `MAX_SIDE`, float32."""
        return thumbnails(self._probes.images, MAX_SIDE).astype(np.float32)

    def _enlarged(self, values: Array) -> Array:
        """What was found of the reduced images, `(..., height, width)`, at their full size."""
        height, width = self._probes.images.shape[1:3]
        repeated = values.repeat(self._block, -2).repeat(self._block, -1)
        result: Array = repeated[..., :height, :width]
        return result
