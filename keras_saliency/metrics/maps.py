"""Metrics of saliency maps alone: pure NumPy, one function each.

What they say of masks is in `localization`, of groups of probes in `groups`. None of these numbers
shows that a model is right or wrong: they say how saliency is spread and whether it moves.

Arrays, here and there: maps are `(num_probes, height, width)`, non-negative; masks are bool,
`True` inside, and have that shape or `(height, width)`. A metric that is undefined is `nan`,
never 0. A map is *dead* if it is zero everywhere, or if its sum is not finite: it points nowhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_saliency.data.reports import Array

_PIXELS_AT_ONCE = 2**15
"""What fits a processor's cache; more than this many pixels at once take twice as long."""


def dead_maps(maps: Array) -> float:
    """The share of dead maps, in 0..1; a healthy run has 0.

    Example:
        >>> dead_maps(np.array([[[0.0, 0.0]], [[0.0, 1.0]]]))
        0.5
    """
    return float(np.isnan(totals(maps)).mean())


def totals(maps: Array) -> Array:
    """The sum of each map.

    Returns:
        `(num_probes,)` float64, positive; `nan` for dead maps.
    """
    sums: Array = maps.sum(axis=(1, 2), dtype=np.float64)  # no sum of float32 overflows it
    return np.where(np.isfinite(sums) & (sums > 0), sums, np.nan)


def shares(maps: Array) -> Array:
    """Each map divided by its own sum: how its saliency is spread, without its magnitude.

    Returns:
        `(num_probes, height, width)` float64, every map summing to 1; `nan` for dead maps.
    """
    spread: Array = maps / totals(maps)[:, np.newaxis, np.newaxis]
    return spread


def mean_map(maps: Array) -> Array:
    """The mean of all maps' `shares`: where the model looks on the whole.

    A cue that sits in one place in all images, as a tag in a corner, stands out in it.

    Returns:
        `(height, width)` float64, summing to 1; dead maps are left out; `nan` if all are dead.
    """
    sums = totals(maps)
    alive = np.flatnonzero(~np.isnan(sums))
    if not len(alive):
        return np.full(maps.shape[1:], np.nan)
    mean = np.zeros(maps.shape[1:])
    for probe in alive:
        mean += np.divide(maps[probe], sums[probe], dtype=np.float64)
    return mean / len(alive)


def defined_mean(values: Array) -> float:
    """The mean of the values that are not `nan`; `nan` if there is none.

    Example:
        >>> defined_mean(np.array([1.0, np.nan, 2.0]))
        1.5
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def by_probe(function: Callable[..., Array], maps: Array, *masks: Array) -> Array:
    """A number for each probe with a live map and, if masks are given, a mask that is not empty.

    Args:
        function: Takes maps and masks, of a few such probes at a time; gives a number for each.
        maps: `(num_probes, height, width)`.
        *masks: Of the same shape.

    Returns:
        `(num_probes,)` float64, `nan` for the other probes.
    """
    found = np.full(len(maps), np.nan)
    step = max(1, _PIXELS_AT_ONCE // maps[0].size)
    for start in range(0, len(maps), step):
        part = [array[start : start + step] for array in (maps, *masks)]
        used = ~np.isnan(totals(part[0]))
        for mask in part[1:]:
            used &= counts(mask) > 0
        if used.any():
            chosen = part if used.all() else [array[used] for array in part]
            found[start : start + step][used] = function(*chosen)
    return found


def counts(masks: Array) -> Array:
    """The number of pixels that are True, of each mask."""
    return np.array([np.count_nonzero(mask) for mask in masks])  # many times faster than a sum


def gini(maps: Array) -> float:
    """How unequally saliency is spread over the pixels; the mean over the probes.

    The Gini index of each map, `1 - 2 sum_k (c_k / sum(c)) (N - k + 1/2) / N` with the N pixels
    c_k in ascending order. 0: a flat map; 1 - 1/N: one pixel has all. A map of uniform random
    numbers has 1/3, the absolute values of normal ones 0.41. Shortcuts raise it (a small tag) or
    lower it (a tint): it tells that maps change, not whether they are right.

    Returns:
        In 0..1; dead maps are left out; `nan` if all are dead.

    Example:
        >>> gini(np.array([[[1.0, 0.0, 0.0, 0.0]]]))
        0.75

    Reference:
        Hurley, Rickard: Comparing Measures of Sparsity. arXiv:0811.4706.
    """
    count = maps[0].size
    weights = (count - np.arange(count) - 0.5) / count

    def inequality(part: Array) -> Array:
        ordered = np.sort(part.reshape(-1, count), axis=1)
        result: Array = 1 - 2 * (ordered * weights).sum(axis=1) / totals(part)
        return result

    return defined_mean(by_probe(inequality, maps))


def entropy(maps: Array) -> float:
    """How evenly saliency is spread over the pixels; the mean over the probes.

    The entropy of each map's shares P, `-sum(P log P) / log(N)` of N pixels. 1: a flat map; 0:
    one pixel has all. A map of uniform random numbers has 1 - 0.19 / log(N), 0.97 for 32 x 32
    pixels. As with `gini`, shortcuts move it both ways.

    Returns:
        In 0..1; dead maps are left out; `nan` if all are dead, or for maps of one pixel.

    Example:
        >>> entropy(np.array([[[1.0, 1.0, 0.0, 0.0]]]))
        0.5

    Reference:
        Bhatt, Weller, Moura: Evaluating and Aggregating Feature-based Model Explanations, there
        "complexity", here over its largest value. arXiv:2005.00631.
    """
    return defined_mean(by_probe(_entropy, maps)) if maps[0].size > 1 else float("nan")


def _entropy(maps: Array) -> Array:
    values = maps.reshape(len(maps), -1)
    values = np.asarray(values / values.max(axis=1, keepdims=True), np.float32)
    logarithms = np.log(np.maximum(values, np.finfo(np.float32).tiny))  # 0 log 0 is 0
    sums = values.sum(axis=1, dtype=np.float64)
    means = (values * logarithms).sum(axis=1, dtype=np.float64) / sums
    result: Array = (np.log(sums) - means) / np.log(values.shape[1])
    return result


def map_similarity(maps: Array, previous: Array) -> float:
    """Spearman's rank correlation of each map with its predecessor; the mean over the probes.

    1: the maps rank their pixels alike, whatever their scale; 0: unrelated, what two random maps
    score. It shows that saliency has settled or still moves, not whether it is right. Against the
    maps before training it should fall as the model learns: a method whose maps stay as they
    were shows the image or the architecture rather than what was learnt.

    Args:
        maps: Now, `(num_probes, height, width)`.
        previous: Before, same shape.

    Returns:
        In -1..1; pairs in which a map is constant or not finite are left out; `nan` if all are.

    Example:
        >>> map_similarity(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 4.0, 9.0]]]))
        1.0

    Reference:
        Adebayo et al.: Sanity Checks for Saliency Maps. arXiv:1810.03292.
    """
    return rank_similarity(ranks(maps), ranks(previous))


def ranks(maps: Array) -> Array:
    """The ranks of each map's pixels, minus their mean; tied pixels share the mean of theirs.

    Returns:
        `(num_probes, height * width)` float32, which holds them exactly up to 16 million pixels;
        `nan` for maps that are constant or not finite.
    """
    flat = maps.reshape(len(maps), -1)
    result = np.full(flat.shape, np.nan, np.float32)
    for row, values in zip(result, flat, strict=True):
        if np.isfinite(values).all() and values.max() > values.min():
            _rank(values, row)
    return result


def rank_similarity(now: Array, before: Array) -> float:
    """`map_similarity` of maps of which the `ranks` are known."""
    products = np.einsum("ij,ij->i", now, before, dtype=np.float64)
    squares = np.einsum("ij,ij->i", now, now, dtype=np.float64)
    squares = squares * np.einsum("ij,ij->i", before, before, dtype=np.float64)
    return defined_mean(products / np.sqrt(squares))


def _rank(values: Array, result: Array) -> None:
    """Writes the centred ranks of a list into another one."""
    order = values.argsort()
    ordered = values[order]
    ranked = np.arange(len(values)) - (len(values) - 1) / 2
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        ties = np.concatenate([[False], equal, [False]])  # with the value in front
        tied = np.flatnonzero(ties[:-1] | ties[1:])
        group = np.cumsum(~ties[tied]) - 1
        ranked[tied] = (np.bincount(group, ranked[tied]) / np.bincount(group))[group]
    result[order] = ranked
