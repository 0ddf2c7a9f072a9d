import itertools
import math
import tracemalloc

import numpy as np
import pytest

from keras_saliency.metrics.groups import (
    group_gap,
    group_gap_p_value,
    group_means,
    worst_group_accuracy,
)

NAN = np.nan


def test_worst_group_accuracy_by_hand():
    correct = np.array([True, False, True, True, False, False])
    by_number = np.array([5, 5, 5, 2, 2, 9])
    assert worst_group_accuracy(correct, by_number) == 0.0
    assert worst_group_accuracy(correct[:5], by_number[:5]) == 0.5
    assert worst_group_accuracy(correct[:3], by_number[:3]) == pytest.approx(2 / 3)
    assert worst_group_accuracy(correct[:5], np.array(["b", "b", "a", "a", "b"])) == pytest.approx(
        1 / 3
    )
    assert worst_group_accuracy(np.array([True, True]), np.array([0, 1])) == 1.0


def test_group_means_by_hand():
    values = np.array([1.0, 3.0, NAN, NAN, 5.0])
    groups = np.array(["night", "day", "day", "dusk", "night"])
    found = group_means(values, groups)
    assert list(found) == ["day", "dusk", "night"]
    np.testing.assert_array_equal(list(found.values()), [3, NAN, 3])
    assert group_means(np.array([True, False, True]), np.array([10, 10, 9])) == {
        "9": 1.0,
        "10": 0.5,
    }


def test_group_gap_by_hand():
    correct = np.array([True, False, True, True, False, False])
    assert group_gap(correct, np.array([0, 0, 1, 1, 2, 2])) == 1.0
    assert group_gap(correct, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(1 / 3)
    assert group_gap(correct, np.array([0, 1, 0, 1, 0, 1])) == pytest.approx(1 / 3)
    assert np.isnan(group_gap(correct, np.zeros(6, int)))


# ---------------------------------------------------------------- p-values


def exact_p_value(correct, groups, targets):
    """By all ways to hand out the labels within the classes."""
    places = [np.flatnonzero(targets == target) for target in np.unique(targets)]
    gaps = []
    for choice in itertools.product(*(set(itertools.permutations(groups[p])) for p in places)):
        labels = np.empty_like(groups)
        for place, given in zip(places, choice, strict=True):
            labels[place] = given
        gaps.append(group_gap(correct, labels))
    return np.mean(np.array(gaps) >= group_gap(correct, groups) - 1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_p_value_of_two_groups_is_exact_and_of_more_an_upper_bound(seed):
    rng = np.random.default_rng(seed)
    targets = rng.permutation([0] * 5 + [1] * 5)
    groups = np.array([["a", "b"], ["a", "b", "c"]][seed % 2])[rng.integers(0, 2 + seed % 2, 10)]
    correct = rng.random(10) < np.where(groups == "a", 0.9, 0.3) - 0.3 * targets
    exact = exact_p_value(correct, groups, targets)
    found = group_gap_p_value(correct, groups, targets)
    if seed % 2:
        assert exact - 1e-9 <= found <= min(1, 3 * exact) + 1e-9  # of three pairs
    else:
        assert found == pytest.approx(exact, abs=1e-9)


def test_the_smallest_p_value():
    """The gap of 1 has 2 labellings of 20 choose 10."""
    found = group_gap_p_value(np.arange(20) < 10, np.arange(20) < 10, np.zeros(20, int))
    assert found == pytest.approx(2 / math.comb(20, 10), rel=1e-6)
    many = np.arange(80) < 40  # of 80 choose 40: less than is told apart from rounding
    assert group_gap_p_value(many, many, np.zeros(80, int)) == 1e-12


def test_a_hard_class_is_no_gap():
    """Group and class are one: no shuffle within a class changes anything."""
    targets = np.array([0, 1] * 20)
    assert group_gap(targets == 0, targets) == 1.0
    assert group_gap_p_value(targets == 0, targets, targets) == pytest.approx(1.0)
    assert group_gap_p_value(targets == 0, targets, np.zeros(40, int)) < 1e-9


@pytest.mark.slow
def test_without_effect_the_p_value_is_rarely_small():
    rng = np.random.default_rng(0)
    targets, groups = np.arange(48) % 4, np.arange(48) // 4 % 3
    found = np.array(
        [
            group_gap_p_value(rng.random(48) < 0.3 + 0.2 * targets, groups, targets)
            for _ in range(300)
        ]
    )
    # 300 draws with probability 0.05 at most: 15, and three standard deviations of 3.8
    assert (found <= 0.05).sum() <= 26
    assert (found <= 0.5).mean() > 0.2


def test_the_p_value_ignores_names_and_numbers_of_groups_and_classes():
    rng = np.random.default_rng(3)
    correct, groups, targets = rng.random(30) < 0.6, rng.integers(0, 3, 30), np.arange(30) % 2
    found = group_gap_p_value(correct, groups, targets)
    assert found == group_gap_p_value(correct, np.array(["a", "b", "c"])[groups], targets * 100)
    renamed = np.array(["c", "a", "b"])[groups]
    assert found == pytest.approx(group_gap_p_value(correct, renamed, 1 - targets), rel=1e-9)


def test_one_group_has_no_p_value():
    assert np.isnan(group_gap_p_value(np.ones(4, bool), np.zeros(4, int), np.zeros(4, int)))


@pytest.mark.parametrize(("num_groups", "num_classes"), [(2, 1), (2, 4), (3, 2)])
def test_the_p_value_is_near_that_of_shuffled_labels(num_groups, num_classes):
    """By 4000 shuffles within the classes; both are off by a standard deviation of 0.01 at most."""
    rng = np.random.default_rng(num_groups * num_classes)
    targets = rng.integers(0, num_classes, 60)
    groups = rng.integers(0, num_groups, 60)
    correct = rng.random(60) < 0.75 - 0.2 * (groups == 0)
    gap, as_large = group_gap(correct, groups), 0
    for _ in range(4000):
        shuffled = groups.copy()
        for target in range(num_classes):
            inside = targets == target
            shuffled[inside] = rng.permutation(groups[inside])
        as_large += group_gap(correct, shuffled) >= gap - 1e-9
    found = group_gap_p_value(correct, groups, targets)
    if num_groups == 2:
        assert found == pytest.approx(as_large / 4000, abs=0.04)
    else:  # the sum over three pairs
        assert as_large / 4000 - 0.04 <= found <= 3 * as_large / 4000 + 0.04


def test_the_memory_of_the_p_value_does_not_grow_with_the_probes():
    groups, targets = np.arange(20_000) % 2, np.arange(20_000) % 3
    tracemalloc.start()
    try:
        assert group_gap_p_value(groups == 0, groups, targets) == 1e-12
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6  # a shuffle of each probe would be 1.6 GB
