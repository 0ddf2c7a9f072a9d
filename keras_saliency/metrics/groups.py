"""Metrics by group of probes: does the model behave the same way in all groups?

Groups are what a user knows in addition to the class: the hospital, the camera, with or without a
tag. All arrays are `(num_probes,)`; groups are integers or strings.
"""

from __future__ import annotations

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.metrics.maps import defined_mean

PERMUTATIONS = 9999
"""Enough for the smallest p-value, 1e-4, to stay below 0.01 by Holm's method over 20 tests."""


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


def group_gap_p_value(correct: Array, groups: Array, targets: Array, *, seed: int = 0) -> float:
    """The probability that chance alone gives a `group_gap` this large or larger.

    This is a permutation test. The groups are shuffled 9999 times among the probes of each class,
    and `p = (1 + number of gaps as large or larger) / 10000`. Differences between easy and hard
    classes therefore do not count as a gap. If the groups make no difference, p is below 0.05 for
    at most one of 20 models.

    A gap depends only on the number of correct predictions in each group. After a shuffle within a
    class, these counts have a multivariate hypergeometric distribution, so they are drawn
    directly: time and memory do not grow with the number of probes.

    Args:
        correct: As in `worst_group_accuracy`.
        groups: As in `worst_group_accuracy`.
        targets: `(num_probes,)`, the class of each probe.
        seed: The seed of the shuffles. The same seed gives the same result.

    Returns:
        In 0.0001..1; 1 if every class lies in one group; `nan` with fewer than two groups.

    Example:
        >>> group_gap_p_value(np.arange(20) < 10, np.arange(20) < 10, np.zeros(20))
        0.0001

    Reference:
        Phipson, Smyth: Permutation P-values Should Never Be Zero. arXiv:1603.05766.
    """
    labels, codes = np.unique(groups, return_inverse=True)
    if len(labels) < 2:
        return float("nan")
    sizes = np.bincount(codes)
    generator = np.random.default_rng(seed)
    correct_counts = np.zeros((PERMUTATIONS, len(labels)), np.int64)  # by shuffle and group
    for target in np.unique(targets):
        inside = targets == target
        members = np.bincount(codes[inside], minlength=len(labels))
        num_correct = int(np.count_nonzero(correct[inside]))
        correct_counts += generator.multivariate_hypergeometric(
            members, num_correct, size=PERMUTATIONS
        )
    gaps = np.ptp(correct_counts / sizes, axis=1)
    as_large = gaps >= group_gap(correct, groups) - 1e-9  # equal gaps may differ by rounding
    return float((1 + as_large.sum()) / (1 + PERMUTATIONS))
