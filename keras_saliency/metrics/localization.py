"""Metrics of saliency maps and masks: how much saliency lies in a region, compared with chance.

Arrays are as in `maps`. Probes with a dead map or an empty mask are ignored. Each docstring gives
the chance value: the score of a map that is independent of the mask.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from keras_saliency.data.reports import Array
from keras_saliency.metrics.maps import by_probe, counts, defined_mean, mean_map, totals

RING_WIDTH = 0.1
"""The width of the ring of `border_enrichment`, as a share of the image's shorter side."""


def enrichments(maps: Array, masks: Array) -> Array:
    """The share of saliency in each probe's mask, divided by the mask's share of the area.

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
    """How much more saliency lies in a region than expected by chance; the mean over the probes.

    This is the share of a map's saliency that lies in the region (the relevance mass accuracy of
    Arras et al.), divided by the region's share of the area. 0: all saliency is outside; 1:
    chance, the score of a flat or a random map; area / region area, the maximum: all saliency is
    inside.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`. Probes with an empty mask are ignored.

    Returns:
        The mean over the probes with a live map and a mask; `nan` if there are none.

    Example:
        >>> enrichment(np.array([[[3.0, 1.0]]]), np.array([[True, False]]))
        1.5

    Reference:
        Arras, Osman, Samek: CLEVR-XAI. arXiv:2003.07258.
    """
    return defined_mean(enrichments(maps, masks))


def enrichment_ratio(now: Array, before: Array) -> float:
    """The current enrichment divided by the enrichment before training: the effect of training.

    Some regions are enriched before training, such as a bright tag that the model ignores. The
    ratio corrects for that. 1: chance; above 1: saliency has moved into the region; below 1:
    saliency has moved away, for example from the background while the model learns an object.

    Args:
        now: `(num_probes,)`, the current `enrichments`.
        before: `(num_probes,)`, the `enrichments` before training.

    Returns:
        The ratio of the means over the probes that are defined at both times, 0 or more; `nan`
        if there are no such probes, or if they had no saliency in the region before training.

    Example:
        >>> enrichment_ratio(np.array([3.0, 5.0]), np.array([1.0, 3.0]))
        2.0

    Reference:
        Adebayo et al., about maps that point at cues a model ignores. arXiv:2212.04629.
    """
    both = ~np.isnan(now) & ~np.isnan(before)
    if not before[both].any():
        return float("nan")
    return float(now[both].mean() / before[both].mean())


def largest_class_enrichment_ratio(now: Array, before: Array, targets: Array) -> float:
    """The largest `enrichment_ratio` of any class.

    A cue of a single class, such as a tag on the images of that class only, is lost in the mean
    over all classes. With several classes, the largest ratio is above 1 by chance; fewer probes
    per class make it larger.

    Args:
        now: As in `enrichment_ratio`.
        before: As in `enrichment_ratio`.
        targets: `(num_probes,)`, the class of each probe.

    Returns:
        0 or more. Classes with an undefined ratio are ignored; `nan` if all are undefined.

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

    This is the relevance rank accuracy: for a mask of K pixels, the share of the K highest pixels
    of the map that lie in the mask. 1: all of them; 0: none of them. If pixels are tied at the
    K-th place, each of them counts by the same fraction. A flat map therefore scores exactly
    chance, the mask's share of the area.

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
    mask_sizes = counts(inside)
    last = values.shape[1] - mask_sizes
    ordered = np.partition(values, np.unique(last), axis=1)
    threshold = np.take_along_axis(ordered, last[:, np.newaxis], axis=1)
    above, tied = values > threshold, values == threshold
    tied_weight = (mask_sizes - counts(above)) / counts(tied)
    result: Array = (counts(above & inside) + tied_weight * counts(tied & inside)) / mask_sizes
    return result


def pointing_game(maps: Array, masks: Array) -> float:
    """The share of maps whose highest pixel lies in the mask.

    1: the highest pixel of every map lies in the mask; chance: the mask's share of the area. If
    several pixels are tied for the highest, all of them have to lie in the mask. A flat map is
    therefore not a hit.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`.

    Returns:
        In 0..1; `nan` if no probe has a live map and a mask.

    Example:
        >>> pointing_game(np.array([[[0.0, 2.0]], [[2.0, 2.0]]]), np.array([[False, True]]))
        0.5

    Reference:
        Zhang et al.: Top-down Neural Attention by Excitation Backprop. arXiv:1608.00507. The paper
        has a tolerance of 15 pixels; here, widen the mask instead.
    """
    return defined_mean(by_probe(_points_inside, maps, np.broadcast_to(masks, maps.shape)))


def _points_inside(maps: Array, masks: Array) -> Array:
    outside = (maps == maps.max(axis=(1, 2), keepdims=True)) & ~masks
    return np.equal(counts(outside), 0)


def translated_mask_rank(maps: Array, masks: Array) -> float:
    """The rank of the mask's place among all places in the image, by the saliency they hold.

    The mask is moved to every place where its bounding box stays in the image. The rank is the
    share of these places, including the original one, that hold at least as much saliency as the
    original. 1 / number of places: no other place holds as much; 1: every place does. If the map is
    independent of the mask, the rank is 0.5 on average; for a flat map it is 1. A tag that the
    model ignores can have a low rank because of its contrast, so compare with `enrichment_ratio`.
    The rank says little about objects, since their places differ from the rest of the image.

    Probes with the same mask, such as that of a fixed region, share a rank: the rank in their mean
    map. If the masks differ, such as those of objects, the result is the mean rank over the probes.

    Args:
        maps: `(num_probes, height, width)`.
        masks: bool, same shape or `(height, width)`.

    Returns:
        In (0, 1]. The rank is exact: sums that are equal up to float32 rounding count as equal.
        `nan` if no probe has a live map and a mask that can be moved.

    Example:
        >>> corner = np.array([[True, False], [False, False]])
        >>> translated_mask_rank(np.array([[[3.0, 2.0], [4.0, 1.0]]]), corner)
        0.5

    Reference:
        Arras, Osman, Samek: CLEVR-XAI, for the share of saliency in a mask; the other places are
        its null distribution. arXiv:2003.07258.
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
    """The rank of one mask in one map."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down = np.arange(-rows[0], len(mask) - rows[-1])
    right = np.arange(-columns[0], mask.shape[1] - columns[-1])
    if len(down) * len(right) == 1:
        return float("nan")
    values, inside = one_map.astype(np.float32), mask.astype(np.float32)
    spectrum = fft.rfft2(values) * fft.rfft2(inside).conj()
    # The index is the distance the mask was moved; negative ones count from the end, as in the FFT.
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
    """The `enrichment` of the `border`: how much saliency lies along the border.

    1: chance; the value before training is close to 1. If the objects are in the centre, it falls
    as the model learns. If it does not fall while the accuracy rises, check what is at the border.
    Values are not comparable between data sets, since objects may reach the border.

    Returns:
        0 or more; `nan` if all maps are dead.

    Example:
        >>> border_enrichment(np.ones((1, 10, 10)))
        1.0
    """
    _, height, width = maps.shape
    return enrichment(maps, border(height, width, RING_WIDTH))
