"""Exact p-values against brute force and drawn flips; the level of a whole run, simulated."""

import itertools
import math

import numpy as np
import pytest

from keras_saliency.detection.significance import (
    ALPHA,
    holm,
    level_of_round,
    min_recipients,
    sign_flip_p_value,
)

# ---------------------------------------------------------------- sign flips


def by_enumeration(values):
    """The share of all 2^n flips with a mean as large or larger."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(values))))
    return (signs @ values >= values.sum() - 1e-9).mean()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("step", [0.125, 0.25, 1 / 3, 1.0])
def test_on_a_lattice_the_p_value_is_that_of_all_flips(size, shift, step):
    values = step * np.rint(np.random.default_rng(size).normal(shift, 1, size) / step)
    assert sign_flip_p_value(values, step) == pytest.approx(by_enumeration(values), abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 12, 16])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.3, 1.0])
def test_of_any_values_it_is_an_upper_bound_and_near(size, shift):
    values = np.random.default_rng(size).normal(shift, 1, size)
    exact, found = by_enumeration(values), sign_flip_p_value(values)
    assert found >= exact - 1e-12
    assert found <= exact * 1.05 + 2.0 ** (1 - size)  # one flip may count as a tie


@pytest.mark.parametrize("size", [40, 200])
def test_with_many_values_it_is_that_of_drawn_flips(size):
    generator = np.random.default_rng(size)
    values = np.rint(generator.normal(0.8 / size**0.5, 1, size) * 4) / 4
    flips = generator.choice([-1.0, 1.0], (100_000, size)) @ values
    drawn = (flips >= values.sum() - 1e-9).mean()
    error = 5 * (drawn * (1 - drawn) / 100_000) ** 0.5
    assert sign_flip_p_value(values, 0.25) == pytest.approx(drawn, abs=error)
    assert sign_flip_p_value(values) == pytest.approx(drawn, abs=error + 0.03 * drawn)


def test_the_smallest_p_value_is_that_of_one_flip():
    assert sign_flip_p_value(np.full(60, 0.25), 0.25) == 2.0**-60
    assert sign_flip_p_value(np.full(256, 0.1)) == pytest.approx(2.0**-256, rel=1e-9)


def test_no_difference_no_evidence():
    assert sign_flip_p_value(np.zeros(30)) == 1
    assert sign_flip_p_value(np.full(60, -0.25), 0.25) == 1


def test_of_what_is_undefined_the_p_value_is_too():
    """A nan is at least as large as nothing, which is no evidence."""
    assert np.isnan(sign_flip_p_value(np.array([0.5] * 20 + [np.nan])))


def test_it_is_of_one_side():
    """Both sides count the ties."""
    values = np.rint(np.random.default_rng(0).normal(0.2, 1, 14))
    signs = np.array(list(itertools.product([-1, 1], repeat=14)))
    ties = (signs @ values == values.sum()).mean()
    both = sign_flip_p_value(values, 1.0) + sign_flip_p_value(-values, 1.0)
    assert both == pytest.approx(1 + ties, abs=1e-12)


def test_scale_silent_probes_and_order_do_not_change_it():
    generator = np.random.default_rng(0)
    values = np.rint(generator.normal(0.2, 1, 40) * 4) / 4
    found = sign_flip_p_value(values, 0.25)
    assert sign_flip_p_value(8 * values, 2.0) == found
    assert sign_flip_p_value(np.concatenate([values, np.zeros(20)]), 0.25) == found
    assert sign_flip_p_value(generator.permutation(values), 0.25) == pytest.approx(found, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [24, 40])
@pytest.mark.parametrize("step", [None, 0.25])
def test_under_the_null_p_values_are_as_small_as_they_say(size, step):
    generator = np.random.default_rng(size)
    draws = generator.normal(size=(1000, size))
    if step:
        keep = generator.binomial(4, generator.uniform(0.2, 1, (1000, 1, size)), (1000, 2, size))
        draws = (keep[:, 0] - keep[:, 1]) / 4
    p_values = np.array([sign_flip_p_value(values, step) for values in draws])
    assert (p_values < 0.05).mean() <= 0.07
    assert (p_values < 0.01).mean() <= 0.02
    assert (p_values < 0.05).mean() >= 0.03  # it is not blind, either


# ---------------------------------------------------------------- the level of a run


def test_the_levels_of_all_rounds_sum_to_alpha():
    levels = [level_of_round(number) for number in range(1, 100_001)]
    left = 6 * ALPHA / math.pi**2 / 100_000  # of the integral of 1 / t^2
    assert sum(levels) == pytest.approx(ALPHA - left, rel=1e-6)
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("num_tests", [1, 2, 9, 100])
@pytest.mark.parametrize("number", [1, 10, 100])
def test_the_fewest_recipients_are_those_that_can_be_significant(num_tests, number):
    level = level_of_round(number)
    fewest = min_recipients(num_tests, level)
    smallest = [
        holm([sign_flip_p_value(np.ones(count), 1.0)] + [1.0] * (num_tests - 1))[0]
        for count in (fewest - 1, fewest)
    ]
    assert smallest[1] < level <= smallest[0]


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [30, 100, 300])
def test_a_run_without_an_effect_is_rarely_alarmed_however_long_it_is(rounds):
    """Six tests of 64 probes with small effects of their own, which persist from round to round.

    That is the hardest null: what looks like an effect once, does so again.
    """
    generator = np.random.default_rng(rounds)
    runs, tests, probes = 150, 6, 64
    lasting = generator.normal(0, 0.25, (runs, tests, probes))
    fired = np.zeros(runs, bool)
    for number in range(1, rounds + 1):
        values = np.rint(4 * (lasting + generator.normal(0, 0.25, lasting.shape))) / 4
        largest = values.mean(2) / (values.std(2) / probes**0.5 + 1e-9)
        for run in np.flatnonzero(~fired & (largest.max(1) > 2.3)):  # others cannot be significant
            p_values = [sign_flip_p_value(values[run, test], 0.25) for test in range(tests)]
            fired[run] |= min(holm(p_values)) < level_of_round(number)
    # At most 1 % of 150 runs: 1.5, and three standard deviations of 1.2.
    assert fired.sum() <= 5
