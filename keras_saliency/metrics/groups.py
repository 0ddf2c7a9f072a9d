"""Metrics by group of probes: does the model behave the same way in all groups?

Groups are what a user knows in addition to the class: the hospital, the camera, with or without a
tag. All arrays are `(num_probes,)`; groups are integers or strings.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import gammaln

from keras_saliency.data.reports import Array
from keras_saliency.metrics.maps import defined_mean

_SMALLEST = 1e-12
"""The smallest p-value, well above what rounding leaves."""


def group_means(values: Array, groups: Array) -> dict[str, float]:
    """The mean of the values in each group, by the name of the group.

    Args:
        values: `(num_probes,)`, such as enrichments, or whether each prediction is correct.
        groups: `(num_probes,)`, the group of each probe.

    Returns:
        The means, in the order of the group names. Probes with `nan` are ignored; a group that
        has no other probes is `nan`.

    Example:
        >>> group_means(np.array([1.0, 0.0, 1.0]), np.array(["day", "day", "night"]))
        {'day': 0.5, 'night': 1.0}
    """
    numbers = values.astype(np.float64)
    return {str(group): defined_mean(numbers[groups == group]) for group in np.unique(groups)}


def worst_group_accuracy(correct: Array, groups: Array) -> float:
    """The accuracy of the group with the lowest accuracy, in 0..1.

    It is far below the overall accuracy if the model relies on something that holds in most groups
    but not in all.

    Args:
        correct: bool `(num_probes,)`, whether the prediction for each probe is correct.
        groups: `(num_probes,)`, the group of each probe.

    Example:
        >>> worst_group_accuracy(np.array([True, True, False, True]), np.array([0, 0, 1, 1]))
        0.5

    Reference:
        Sagawa, Koh, Hashimoto, Liang: Distributionally Robust Neural Networks. arXiv:1911.08731.
    """
    return min(group_means(correct, groups).values())


def group_gap(correct: Array, groups: Array) -> float:
    """The accuracy of the best group minus that of the worst, in 0..1.

    0: all groups have the same accuracy. Small groups differ by chance: see `group_gap_p_value`.

    Args:
        correct: As in `worst_group_accuracy`.
        groups: As in `worst_group_accuracy`.

    Returns:
        `nan` with fewer than two groups.

    Example:
        >>> group_gap(np.array([True, True, False, True]), np.array([0, 0, 1, 1]))
        0.5

    Reference:
        Sagawa, Koh, Hashimoto, Liang: Distributionally Robust Neural Networks. arXiv:1911.08731.
    """
    accuracies = group_means(correct, groups).values()
    return max(accuracies) - min(accuracies) if len(accuracies) > 1 else float("nan")


def group_gap_p_value(correct: Array, groups: Array, targets: Array) -> float:
    """The probability that chance alone gives a `group_gap` this large or larger.

    Chance means that the groups are shuffled among the probes of each class. Differences between
    easy and hard classes therefore do not count as a gap. A gap depends only on the number of
    correct predictions in each group; after a shuffle within a class, these have a multivariate
    hypergeometric distribution. So nothing is drawn: with two groups the result is exact; with more
    it is the sum over all pairs of groups, which is an upper bound.

    Args:
        correct: As in `worst_group_accuracy`.
        groups: As in `worst_group_accuracy`.
        targets: `(num_probes,)`, the class of each probe.

    Returns:
        In 1e-12..1; 1 if every class lies in one group; `nan` with fewer than two groups.

    Example:
        >>> correct = np.array([True] * 4 + [False] * 4)
        >>> p = group_gap_p_value(correct, correct, np.zeros(8))
        >>> round(p, 4)  # 2 of the 70 ways to choose four of eight
        0.0286

    Reference:
        Bonferroni's inequality, for more than two groups.
    """
    labels, codes = np.unique(groups, return_inverse=True)
    if len(labels) < 2:
        return float("nan")
    gap = group_gap(correct, groups) - 1e-9  # equal gaps may differ by rounding
    sizes = np.bincount(codes)
    total = 0.0
    for pair in itertools.combinations(range(len(labels)), 2):
        one, other = (np.arange(sizes[group] + 1) for group in pair)
        ways = _counts(correct, codes, targets, pair)
        if len(labels) == 2:  # what is not in one group is in the other
            ways, other = ways[:, 0], int(correct.sum()) - one
        else:
            one = one[:, np.newaxis]
        differences = np.abs(one / sizes[pair[0]] - other / sizes[pair[1]])
        total += float(ways[differences >= gap].sum())
    return min(1.0, max(total, _SMALLEST))


def _counts(correct: Array, codes: Array, targets: Array, pair: tuple[int, int]) -> Array:
    """The probabilities of all numbers of correct predictions in two groups, after shuffles.

    Returns:
        `(size of the first group + 1, size of the second group + 1)`; `(..., 1)` if there are no
        other groups, as the number in the second group is then what is left.
    """
    found = np.ones((1, 1))
    is_all = bool(np.isin(codes, pair).all())
    for target in np.unique(targets):
        inside = targets == target
        sizes = [int((codes[inside] == group).sum()) for group in pair]
        rest, num_correct = int(inside.sum()) - sum(sizes), int(correct[inside].sum())
        one = np.arange(sizes[0] + 1)[:, np.newaxis]
        other = num_correct - one if is_all else np.arange(sizes[1] + 1)
        logs = _log_choices(sizes[0], one) + _log_choices(sizes[1], other)
        logs = logs + _log_choices(rest, num_correct - one - other)
        logs = logs - _log_choices(sum(sizes) + rest, num_correct)
        found = fftconvolve(found, np.exp(logs))
    return np.asarray(found)


def _log_choices(total: int, chosen: Array | int) -> Array:
    """The logarithm of the number of ways to choose; minus infinity if there is none."""
    inside = np.clip(chosen, 0, total)
    logs = gammaln(total + 1) - gammaln(inside + 1) - gammaln(total - inside + 1)
    return np.where(inside == chosen, logs, -np.inf)
