"""Statistics of saliency maps: pure NumPy, one function each.

Arrays: maps are `(num_probes, height, width)`, non-negative; masks are bool, `True` inside, and
have that shape or `(height, width)`. A statistic that is undefined is `nan`, never 0. A map is
*dead* if it is zero everywhere or not finite somewhere: it points nowhere.
"""

from __future__ import annotations

import numpy as np

from keras_saliency.reports import Array


def dead_maps(maps: Array) -> float:
    """The share of dead maps, in 0..1; a healthy run has 0.

    Example:
        >>> dead_maps(np.array([[[0.0, 0.0]], [[0.0, 1.0]]]))
        0.5
    """
    return float(_is_dead(maps).mean())


def _is_dead(maps: Array) -> Array:
    peaks = maps.max(axis=(1, 2))
    dead: Array = ~np.isfinite(peaks) | (peaks == 0)
    return dead


def shares(maps: Array) -> Array:
    """Each map divided by its own sum: how its saliency is spread, without its magnitude.

    Returns:
        `(num_probes, height, width)` float64, every map summing to 1; `nan` for dead maps.
    """
    dead = _is_dead(maps)
    # Dividing by the peak first keeps the sum of the largest floats finite.
    peaks = np.where(dead, np.nan, maps.max(axis=(1, 2))).astype(np.float64)
    scaled = maps / peaks[:, np.newaxis, np.newaxis]
    spread: Array = scaled / scaled.sum(axis=(1, 2), keepdims=True)
    return spread


def mean_map(maps: Array) -> Array:
    """The mean of all maps' `shares`: where the model looks on the whole.

    A cue that sits in one place in all images, as a tag in a corner, stands out in it.

    Returns:
        `(height, width)` float64, summing to 1; dead maps are left out; `nan` if all are dead.
    """
    alive = ~_is_dead(maps)
    if not alive.any():
        return np.full(maps.shape[1:], np.nan)
    mean: Array = shares(maps[alive]).mean(axis=0)
    return mean


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
    masks = np.broadcast_to(masks, maps.shape)
    used = ~_is_dead(maps) & masks.any(axis=(1, 2))
    if not used.any():
        return float("nan")
    inside = np.where(masks[used], shares(maps[used]), 0).sum(axis=(1, 2))
    return float((inside / masks[used].mean(axis=(1, 2))).mean())


def worst_group_accuracy(correct: Array, groups: Array) -> float:
    """The accuracy of the group that fares worst, in 0..1.

    Far below the accuracy over all where a model relies on what holds for most groups only.

    Args:
        correct: bool `(num_probes,)`, whether a probe is predicted right.
        groups: `(num_probes,)`, a label a probe.

    Example:
        >>> worst_group_accuracy(np.array([True, True, False, True]), np.array([0, 0, 1, 1]))
        0.5

    Reference:
        Sagawa, Koh, Hashimoto, Liang: Distributionally Robust Neural Networks. arXiv:1911.08731.
    """
    return min(float(correct[groups == group].mean()) for group in np.unique(groups))


def map_similarity(maps: Array, previous: Array) -> float:
    """Spearman's rank correlation of each map with its predecessor; the mean over the probes.

    1: the maps rank their pixels alike, whatever their scale; 0: unrelated, what two random maps
    score. It shows that saliency has settled or still moves, not whether it is right.

    Args:
        maps: Now, `(num_probes, height, width)`.
        previous: Before, same shape.

    Returns:
        In -1..1; pairs in which a map is constant or not finite are left out; `nan` if all are.

    Example:
        >>> map_similarity(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 4.0, 9.0]]]))
        1.0
    """
    now = maps.reshape(len(maps), -1)
    before = previous.reshape(len(previous), -1)
    pairs = [(x, y) for x, y in zip(now, before, strict=True) if _varies(x) and _varies(y)]
    if not pairs:
        return float("nan")
    return float(np.mean([_rank_correlation(x, y) for x, y in pairs]))


def _varies(values: Array) -> bool:
    """Whether a list is finite and not constant."""
    return bool(np.isfinite(values).all() and values.max() > values.min())


def _rank_correlation(x: Array, y: Array) -> float:
    """Spearman's rank correlation of two lists, neither constant."""
    x, y = _centred_ranks(x), _centred_ranks(y)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _centred_ranks(values: Array) -> Array:
    """Ranks minus their mean, float64; tied values share the mean of their ranks."""
    order = values.argsort()
    ordered = values[order]
    ranks = np.arange(len(values)) - (len(values) - 1) / 2
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        ties = np.concatenate([[False], equal, [False]])  # with the value in front
        tied = np.flatnonzero(ties[:-1] | ties[1:])
        group = np.cumsum(~ties[tied]) - 1
        ranks[tied] = (np.bincount(group, ranks[tied]) / np.bincount(group))[group]
    result = np.empty_like(ranks)
    result[order] = ranks
    return result
