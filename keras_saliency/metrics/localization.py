"""Saliency maps against masks: how much of them lies in a named place, and is that much by chance?

Arrays as in `metrics`. A probe counts in none of these numbers if its map is dead or its mask
empty. Each name carries its chance value: what a map that knows nothing of the mask scores.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from keras_saliency.data.reports import Array
from keras_saliency.metrics.maps import by_probe, counts, defined_mean, mean_map, totals

RING_WIDTH = 0.1
"""The width of the ring of `border_enrichment`, as a share of the image's shorter side."""


def enrichments(maps: Array, masks: Array) -> Array:
    """How much more saliency each probe's mask holds than its area would by chance.

    Returns:
        `(num_probes,)` float64, see `enrichment`; `nan` for dead maps and empty masks.

    Example:
        >>> enrichments(np.array([[[3.0, 1.0]], [[0.0, 0.0]]]), np.array([[True, False]]))
        array([1.5, nan])
    """
    return by_probe(_enrichments, maps, np.broadcast_to(masks, maps.shape))


def _enrichments(maps: Array, masks: Array) -> Array:
    mass = (maps * masks).sum(axis=(1, 2), dtype=np.float64) / totals(maps)
    result: Array = mass * maps[0].size / counts(masks)
    return result


def enrichment(maps: Array, masks: Array) -> float:
    """How much more saliency a region holds than its area would by chance.

    The share of a map's sum inside the region (the relevance mass accuracy of Arras et al.),
    divided by the share of the area; the mean over the probes. 0: all saliency is outside;
    1: chance, what a flat or a random map scores; area / region area at most: all is inside.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`. Probes with an empty mask are left out.

    Returns:
        The mean over probes with a live map and a mask; `nan` if there is none.

    Example:
        >>> enrichment(np.array([[[3.0, 1.0]]]), np.array([[True, False]]))
        1.5

    Reference:
        Arras, Osman, Samek: CLEVR-XAI. arXiv:2003.07258.
    """
    return defined_mean(enrichments(maps, masks))


def enrichment_ratio(now: Array, before: Array) -> float:
    """Enrichment now, divided by that before training: what training has added.

    Untrained networks and methods have a taste of their own: a bright tag that the model ignores
    is enriched at the start, too. The ratio takes that out. 1: chance; above: saliency has moved
    there; below: away, as from the background while an object is learnt.

    Args:
        now: `(num_probes,)`, `enrichments` now.
        before: `(num_probes,)`, before training.

    Returns:
        The ratio of the means over the probes that are defined at both times, 0 or more; `nan`
        if there is none, or none with any saliency there before.

    Example:
        >>> enrichment_ratio(np.array([3.0, 5.0]), np.array([1.0, 3.0]))
        2.0

    Reference:
        Adebayo et al., on maps that point at what a model ignores. arXiv:2212.04629.
    """
    both = ~np.isnan(now) & ~np.isnan(before)
    if not before[both].any():
        return float("nan")
    return float(now[both].mean() / before[both].mean())


def largest_class_enrichment_ratio(now: Array, before: Array, targets: Array) -> float:
    """The `enrichment_ratio` of the class that has the largest.

    A cue of a single class, as a tag on its images alone, vanishes in the mean over all. Of
    several classes, the largest is above 1 by chance, the more so the fewer probes a class has.

    Args:
        now: As in `enrichment_ratio`.
        before: As in `enrichment_ratio`.
        targets: `(num_probes,)`, the class of each probe.

    Returns:
        0 or more; classes for which it is undefined are left out; `nan` if all are.

    Example:
        >>> largest_class_enrichment_ratio(
        ...     np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0, 1]))
        2.0
    """
    classes = [targets == target for target in np.unique(targets)]
    ratios = np.array([enrichment_ratio(now[probes], before[probes]) for probes in classes])
    defined = ratios[~np.isnan(ratios)]
    return float(defined.max()) if len(defined) else float("nan")


def rank_accuracy(maps: Array, masks: Array) -> float:
    """The share of a map's highest pixels that lie in the mask; the mean over the probes.

    Of a mask of K pixels and the K highest pixels of the map, the relevance rank accuracy: their
    overlap over K. 1: the mask holds all of them; 0: none. Pixels that tie for the last places
    count by their share, so that a flat map scores exactly chance, the mask's share of the area,
    whatever the order of its pixels.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`.

    Returns:
        In 0..1; `nan` if no probe has a live map and a mask.

    Example:
        >>> mask = np.array([[True, False, True, False]])
        >>> rank_accuracy(np.array([[[3.0, 2.0, 1.0, 0.0]]]), mask)
        0.5

    Reference:
        Arras, Osman, Samek: CLEVR-XAI. arXiv:2003.07258.
    """
    return defined_mean(by_probe(_rank_accuracy, maps, np.broadcast_to(masks, maps.shape)))


def _rank_accuracy(maps: Array, masks: Array) -> Array:
    values, inside = maps.reshape(len(maps), -1), masks.reshape(len(maps), -1)
    wanted = counts(inside)
    last = values.shape[1] - wanted
    ordered = np.partition(values, np.unique(last), axis=1)
    threshold = np.take_along_axis(ordered, last[:, np.newaxis], axis=1)
    above, tied = values > threshold, values == threshold
    places = (wanted - counts(above)) / counts(tied)
    result: Array = (counts(above & inside) + places * counts(tied & inside)) / wanted
    return result


def pointing_game(maps: Array, masks: Array) -> float:
    """The share of maps whose highest pixel lies in the mask.

    1: every map points there; chance is the mask's share of the area. Where several pixels tie
    for the highest, all of them have to lie in the mask: a flat map is not a hit.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`.

    Returns:
        In 0..1; `nan` if no probe has a live map and a mask.

    Example:
        >>> pointing_game(np.array([[[0.0, 2.0]], [[2.0, 2.0]]]), np.array([[False, True]]))
        0.5

    Reference:
        Zhang et al.: Top-down Neural Attention by Excitation Backprop. arXiv:1608.00507. Without
        its tolerance of 15 pixels: widen the mask instead.
    """
    return defined_mean(by_probe(_points_inside, maps, np.broadcast_to(masks, maps.shape)))


def _points_inside(maps: Array, masks: Array) -> Array:
    outside = (maps == maps.max(axis=(1, 2), keepdims=True)) & ~masks
    return np.equal(counts(outside), 0)


def translated_mask_rank(maps: Array, masks: Array) -> float:
    """The mask's rank among all places in the image where it could lie: is any place as good?

    The mask is moved, in its shape, to every place where its bounding box stays in the image; the
    rank is the share of these places, its own among them, that hold at least as much saliency as
    its own. 1 / number of places: no other place holds as much; 1: every one does. A map that
    knows nothing of the mask has any rank, 0.5 on the mean; a flat map has 1. Contrast alone gives
    a low rank to a tag that the model ignores: look at `enrichment_ratio`, too. On an object it
    says little, since objects are no place like any other.

    Probes that share a mask, as those of a region do, share a rank, that of their mean map. Where
    masks differ, as those of objects do, the result is the mean of their ranks, by probe.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`.

    Returns:
        In (0, 1], an exact rank: masses that are equal up to the rounding of float32 count as
        equal. `nan` without a live map with a mask that can be moved.

    Example:
        >>> corner = np.array([[True, False], [False, False]])
        >>> translated_mask_rank(np.array([[[3.0, 2.0], [4.0, 1.0]]]), corner)
        0.5

    Reference:
        Arras, Osman, Samek: CLEVR-XAI, for the mass; the other places are its null distribution.
        arXiv:2003.07258.
    """
    masks = np.broadcast_to(masks, maps.shape)
    sharing: dict[bytes, list[int]] = {}
    for probe in np.flatnonzero(~np.isnan(totals(maps)) & (counts(masks) > 0)).tolist():
        sharing.setdefault(masks[probe].tobytes(), []).append(probe)
    ranked = np.full(len(maps), np.nan)
    for probes in sharing.values():
        ranked[probes] = _translated_rank(mean_map(maps[probes]), masks[probes[0]])
    return defined_mean(ranked)


def _translated_rank(one_map: Array, mask: Array) -> float:
    """The rank of one mask on one map."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down = np.arange(-rows[0], len(mask) - rows[-1])
    right = np.arange(-columns[0], mask.shape[1] - columns[-1])
    if len(down) * len(right) == 1:
        return float("nan")
    values, inside = one_map.astype(np.float32), mask.astype(np.float32)
    spectrum = fft.rfft2(values) * fft.rfft2(inside).conj()
    # By how much the mask was moved is the index; a negative one counts from the end, as it should.
    masses = fft.irfft2(spectrum, s=mask.shape)[down][:, right]
    rounding = 1e-6 * np.sqrt((values * values).sum() * inside.sum())
    own = masses[rows[0], columns[0]]
    return float((masses >= own - rounding).mean())


def border(height: int, width: int, share: float) -> Array:
    """A ring along the border of an image, equally wide on all sides.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        share: The ring's width as a share of the image's shorter side. It is at least one pixel.

    Returns:
        bool `(height, width)`, `True` in the ring.

    Example:
        >>> border(3, 4, 0.1).astype(int).tolist()
        [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    thickness = max(1, round(share * min(height, width)))
    ring = np.ones((height, width), bool)
    ring[thickness : height - thickness, thickness : width - thickness] = False
    return ring


def border_enrichment(maps: Array) -> float:
    """`enrichment` of the `border`: how much saliency lies along the border.

    1 is chance, the value before training is near it; with objects in the centre it falls as a
    model learns. Where it stays while accuracy rises, ask what is at the border. The level is not
    portable between data sets: objects that reach the border belong there.

    Returns:
        0 or more; `nan` if all maps are dead.

    Example:
        >>> border_enrichment(np.ones((1, 10, 10)))
        1.0
    """
    _, height, width = maps.shape
    return enrichment(maps, border(height, width, RING_WIDTH))
