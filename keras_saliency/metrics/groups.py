"""Numbers by group of probes: does the model fare, or look, alike in all of them?

Groups are what a user knows beside the class: the hospital, the camera, with a tag or without.
Arrays: everything is `(num_probes,)`; groups are integers or strings.
"""

from __future__ import annotations

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.metrics.maps import defined_mean

PERMUTATIONS = 9999
"""So many that the smallest p-value, 1e-4, stays below 0.01 by Holm's method over 20 tests."""


def group_means(values: Array, groups: Array) -> dict[str, float]:
    """The mean of a number over each group's probes, by the group's name.

    Args:
        values: `(num_probes,)`: whether a probe is predicted right, for accuracies; enrichments.
        groups: `(num_probes,)`, a label a probe.

    Returns:
        In the order of the labels; probes with `nan` are left out; `nan` for a group without any.

    Example:
        >>> group_means(np.array([1.0, 0.0, 1.0]), np.array(["day", "day", "night"]))
        {'day': 0.5, 'night': 1.0}
    """
    numbers = values.astype(np.float64)
    return {str(group): defined_mean(numbers[groups == group]) for group in np.unique(groups)}


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
    return min(group_means(correct, groups).values())


def group_gap(correct: Array, groups: Array) -> float:
    """The accuracy of the best group minus that of the worst, in 0..1.

    0: all groups fare alike. Small groups differ by chance: see `group_gap_p_value`.

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
    """How often chance alone would make a `group_gap` as large as this.

    The group labels are shuffled among the probes of each class, 9999 times, always the same way;
    `p = (1 + number of gaps as large or larger) / 10000`. That some classes are harder than others
    does therefore not count as a gap. Where no group makes a difference, p is below 0.05 in one
    of 20 models at most.

    A gap depends only on how many probes of each group are right. After a shuffle within a class,
    these counts have a multivariate hypergeometric distribution, so they are drawn directly: time
    and memory do not grow with the number of probes.

    Args:
        correct: As in `worst_group_accuracy`.
        groups: As in `worst_group_accuracy`.
        targets: `(num_probes,)`, the class of each probe.
        seed: Another seed, other shuffles.

    Returns:
        In 0.0001..1; 1 where each class lies in a group of its own; `nan` with fewer than two
        groups.

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
    right = np.zeros((PERMUTATIONS, len(labels)), np.int64)  # in each group, after each shuffle
    for target in np.unique(targets):
        inside = targets == target
        members = np.bincount(codes[inside], minlength=len(labels))
        num_right = int(np.count_nonzero(correct[inside]))
        right += generator.multivariate_hypergeometric(members, num_right, size=PERMUTATIONS)
    gaps = np.ptp(right / sizes, axis=1)
    as_large = gaps >= group_gap(correct, groups) - 1e-9  # differences of fractions, rounded
    return float((1 + as_large.sum()) / (1 + PERMUTATIONS))
