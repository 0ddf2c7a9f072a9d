"""Metrics of saliency maps alone: pure NumPy, one function for each metric.

Metrics of maps and masks are in `localization`, metrics by group of probes in `groups`. These
metrics describe how saliency is spread and whether it changes. They do not show whether a model
is right or wrong.

Arrays, in all of these modules: maps are `(num_probes, height, width)`, non-negative; masks are
bool, `True` inside, and have that shape or `(height, width)`. An undefined metric is `nan`, never
0. A map is *dead* if it is zero everywhere or if its sum is not finite.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_saliency.data.reports import Array

_PIXELS_AT_ONCE = 2**15
"""This many pixels fit into the processor's cache; larger batches take twice as long."""


def dead_maps(maps: Array) -> float:
    """The share of dead maps, in 0..1. It is 0 in a healthy run.

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
    sums: Array = maps.sum(axis=(1, 2), dtype=np.float64)  # sums of float32 cannot overflow here
    return np.where(np.isfinite(sums) & (sums > 0), sums, np.nan)


def shares(maps: Array) -> Array:
    """Each map divided by its sum: the distribution of saliency, without its magnitude.

    Returns:
        `(num_probes, height, width)` float64; every map sums to 1; `nan` for dead maps.
    """
    result: Array = maps / totals(maps)[:, np.newaxis, np.newaxis]
    return result


def mean_map(maps: Array) -> Array:
    """The mean of the `shares` of all maps: where the model looks on average.

    A cue that has the same place in all images, such as a tag in a corner, stands out in it.

    Returns:
        `(height, width)` float64, which sums to 1. Dead maps are ignored; `nan` if all are dead.
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
    """The mean of the values that are not `nan`; `nan` if all are `nan`.

    Example:
        >>> defined_mean(np.array([1.0, np.nan, 2.0]))
        1.5
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def by_probe(function: Callable[..., Array], maps: Array, *masks: Array) -> Array:
    """Computes one value for each probe with a live map and, if masks are given, non-empty masks.

    Args:
        function: Takes the maps and masks of a few such probes and returns one value for each.
        maps: `(num_probes, height, width)`.
        *masks: Same shape as the maps.

    Returns:
        `(num_probes,)` float64; `nan` for the other probes.
    """
    result = np.full(len(maps), np.nan)
    step = max(1, _PIXELS_AT_ONCE // maps[0].size)
    for start in range(0, len(maps), step):
        part = [array[start : start + step] for array in (maps, *masks)]
        used = ~np.isnan(totals(part[0]))
        for mask in part[1:]:
            used &= counts(mask) > 0
        if used.any():
            chosen = part if used.all() else [array[used] for array in part]
            result[start : start + step][used] = function(*chosen)
    return result


def counts(masks: Array) -> Array:
    """The number of `True` pixels in each mask."""
    return np.array([np.count_nonzero(mask) for mask in masks])  # much faster than a sum


def gini(maps: Array) -> float:
    """How unequally saliency is spread over the pixels; the mean over the probes.

    This is the Gini index of each map, `1 - 2 sum_k (c_k / sum(c)) (N - k + 1/2) / N`, with the N
    pixels c_k in ascending order. 0: the map is flat; 1 - 1/N: one pixel has all saliency. A map
    of uniform random numbers has 1/3, a map of absolute values of normal numbers 0.41. A shortcut
    can raise it (a small tag) or lower it (a tint). It shows that maps change, not whether they
    are right.

    Returns:
        In 0..1. Dead maps are ignored; `nan` if all are dead.

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

    This is the entropy of each map's shares P of N pixels, `-sum(P log P) / log(N)`. 1: the map is
    flat; 0: one pixel has all saliency. A map of uniform random numbers has 1 - 0.19 / log(N),
    which is 0.97 for 32 x 32 pixels. As with `gini`, a shortcut can raise or lower it.

    Returns:
        In 0..1. Dead maps are ignored; `nan` if all are dead or if maps have one pixel.

    Example:
        >>> entropy(np.array([[[1.0, 1.0, 0.0, 0.0]]]))
        0.5

    Reference:
        Bhatt, Weller, Moura: Evaluating and Aggregating Feature-based Model Explanations. Called
        "complexity" there; here it is divided by its largest value. arXiv:2005.00631.
    """
    return defined_mean(by_probe(_entropy, maps)) if maps[0].size > 1 else float("nan")


def _entropy(maps: Array) -> Array:
    values: Array = maps.reshape(len(maps), -1)
    values = np.asarray(values / values.max(axis=1, keepdims=True), np.float32)
    logarithms = np.log(np.maximum(values, np.finfo(np.float32).tiny))  # 0 log 0 is 0
    sums = values.sum(axis=1, dtype=np.float64)
    means = (values * logarithms).sum(axis=1, dtype=np.float64) / sums
    result: Array = (np.log(sums) - means) / np.log(values.shape[1])
    return result


def map_similarity(maps: Array, previous: Array) -> float:
    """Spearman's rank correlation of each map with an earlier one; the mean over the probes.

    1: both maps rank their pixels in the same order, whatever their scale; 0: they are unrelated,
    as two random maps are. It shows whether saliency has settled or still changes, not whether it
    is right. The similarity to the maps before training should fall as the model learns. A method
    whose maps do not change shows the image or the architecture, not what the model has learned.

    Args:
        maps: The current maps, `(num_probes, height, width)`.
        previous: The earlier maps, same shape.

    Returns:
        In -1..1. Pairs with a map that is constant or not finite are ignored; `nan` if no pair is
        left.

    Example:
        >>> map_similarity(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 4.0, 9.0]]]))
        1.0

    Reference:
        Adebayo et al.: Sanity Checks for Saliency Maps. arXiv:1810.03292.
    """
    return rank_similarity(ranks(maps), ranks(previous))


def ranks(maps: Array) -> Array:
    """Twice the rank of each pixel within its map, from 0; tied pixels get their mean rank.

    Returns:
        `(num_probes, height * width)`, uint16 for maps of up to 2**15 pixels, otherwise uint32; all
        0 for maps that are constant or not finite.

    Example:
        >>> ranks(np.array([[[0.5, 0.1, 0.5, 0.9]]])).tolist()
        [[3, 0, 3, 6]]
    """
    flat = maps.reshape(len(maps), -1)
    result = np.zeros(flat.shape, np.uint16 if flat.shape[1] <= 2**15 else np.uint32)
    for row, values in zip(result, flat, strict=True):
        if np.isfinite(values).all() and values.max() > values.min():
            _rank(values, row)
    return result


def rank_similarity(now: Array, before: Array) -> float:
    """`map_similarity`, computed from the `ranks` of the maps."""
    return defined_mean(np.array([_correlation(*pair) for pair in zip(now, before, strict=True)]))


def _correlation(one: Array, other: Array) -> float:
    """Pearson's correlation, in float64; `nan` if one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    square = (one @ one) * (other @ other)
    return float(one @ other / np.sqrt(square)) if square > 0 else float("nan")


def _rank(values: Array, result: Array) -> None:
    """Writes twice the ranks of `values` into `result`."""
    order = values.argsort()
    ordered = values[order]
    ranked = 2 * np.arange(len(values))
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        ties = np.concatenate([[False], equal, [False]])  # whether equal to the value in front
        first, last = (
            np.flatnonzero(edge) for edge in (ties[1:] > ties[:-1], ties[1:] < ties[:-1])
        )
        sizes = last - first + 1  # of each group of equal values
        tied = ties[:-1] | ties[1:]
        ranked[tied] = np.repeat(first + last, sizes)
    result[order] = ranked
