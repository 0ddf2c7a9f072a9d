import numpy as np
import pytest
import scipy.stats

from keras_saliency.statistics import (
    dead_maps,
    enrichment,
    map_similarity,
    mean_map,
    shares,
    worst_group_accuracy,
)

RNG = np.random.default_rng(0)
MAPS = RNG.gamma(0.5, size=(5, 6, 7)).astype(np.float32)
BEFORE = RNG.gamma(0.5, size=(5, 6, 7)).astype(np.float32)
NAN, INF = np.nan, np.inf


def one(*rows):
    """One map."""
    return np.array([rows], np.float32)


# ---------------------------------------------------------------- dead maps


def test_dead_maps_by_hand():
    maps = np.concatenate(
        [one([0, 0], [0, 0]), one([0, 1], [0, 0]), one([NAN, 1], [2, 3]), one([1, INF], [0, 0])]
    )
    assert dead_maps(maps) == 0.75
    assert [dead_maps(maps[i : i + 1]) for i in range(4)] == [1.0, 0.0, 1.0, 1.0]


def test_a_faint_map_is_not_dead():
    assert dead_maps(one([0, 1e-45])) == 0.0
    assert dead_maps(one([3e38, 3e38])) == 0.0


# ---------------------------------------------------------------- shares


def test_shares_by_hand():
    found = shares(np.concatenate([one([1, 3], [0, 4]), one([0, 0], [0, 5])]))
    np.testing.assert_array_equal(found, [[[0.125, 0.375], [0, 0.5]], [[0, 0], [0, 1]]])
    assert found.dtype == np.float64


def test_shares_of_dead_maps_are_nan():
    found = shares(np.concatenate([one([0, 0]), one([1, NAN]), one([INF, 1]), one([1, 1])]))
    assert np.isnan(found[:3]).all()
    np.testing.assert_array_equal(found[3], [[0.5, 0.5]])


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-10, 1e10, 1e30, 1e37])
def test_scale_does_not_change_shares(scale):
    maps = (MAPS * np.float32(scale)).astype(np.float32)
    exact = maps.astype(np.longdouble)
    expected = exact / exact.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(shares(maps), expected.astype(np.float64), rtol=1e-13)


@pytest.mark.parametrize("factor", [2.0**-100, 2.0**-20, 2.0**100])
def test_a_power_of_two_changes_no_bit(factor):
    """Scaling by a power of two is exact in floating point."""
    scaled, region = MAPS * np.float32(factor), MAPS > 0.5
    np.testing.assert_array_equal(shares(scaled), shares(MAPS))
    np.testing.assert_array_equal(mean_map(scaled), mean_map(MAPS))
    assert enrichment(scaled, region) == enrichment(MAPS, region)
    assert map_similarity(scaled, BEFORE) == map_similarity(MAPS, BEFORE)
    assert map_similarity(BEFORE, scaled) == map_similarity(BEFORE, MAPS)
    assert dead_maps(scaled) == dead_maps(MAPS)


@pytest.mark.parametrize("peak", [1e-45, 1e-40, 3.4e38])
def test_shares_at_the_ends_of_float32(peak):
    maps = np.full((1, 2, 2), np.float32(peak))
    np.testing.assert_allclose(shares(maps), np.full((1, 2, 2), 0.25), rtol=1e-15)


def test_shares_of_a_probe_ignore_the_others():
    alone = shares(MAPS[2:3])[0]
    others = MAPS * np.float32([1e-20, 0, 1, 1e20, NAN])[:, None, None]
    np.testing.assert_array_equal(shares(others)[2], alone)


# ---------------------------------------------------------------- mean map


def test_mean_map_by_hand():
    maps = np.concatenate([one([1, 3], [0, 4]), one([0, 0], [0, 100])])
    np.testing.assert_array_equal(mean_map(maps), [[0.0625, 0.1875], [0, 0.75]])
    assert mean_map(MAPS).sum() == pytest.approx(1, rel=1e-12)


def test_every_probe_counts_alike_in_the_mean_map():
    faint_and_bright = MAPS * np.float32([1e-30, 1, 1e3, 1e30, 7])[:, None, None]
    np.testing.assert_allclose(mean_map(faint_and_bright), mean_map(MAPS), rtol=1e-6)


def test_dead_maps_are_left_out_of_the_mean_map():
    maps = np.concatenate([one([1, 3]), one([0, 0]), one([NAN, 3]), one([3, 1])])
    np.testing.assert_array_equal(mean_map(maps), [[0.5, 0.5]])


def test_mean_map_of_dead_maps_is_nan():
    found = mean_map(np.zeros((3, 2, 4), np.float32))
    assert found.shape == (2, 4)
    assert np.isnan(found).all()


# ---------------------------------------------------------------- enrichment


def test_enrichment_by_hand():
    maps = np.concatenate([one([6, 2], [1, 1]), one([1, 1], [1, 5])])
    corner = np.array([[True, False], [False, False]])
    # shares inside: 0.6 and 0.125; a quarter of the area
    assert enrichment(maps, corner) == pytest.approx((0.6 + 0.125) / 2 / 0.25, rel=1e-12)
    each = np.stack([corner, ~corner])
    # shares 0.6 of 1/4 and 0.875 of 3/4
    assert enrichment(maps, each) == pytest.approx((2.4 + 0.875 / 0.75) / 2, rel=1e-12)


@pytest.mark.parametrize("inside", [1, 3, 10, 41, 42])
def test_enrichment_of_known_maps(inside):
    region = np.zeros(42, bool)
    region[RNG.permutation(42)[:inside]] = True
    region = region.reshape(6, 7)
    assert enrichment(np.full((3, 6, 7), 0.3), region) == pytest.approx(1, rel=1e-12)
    assert enrichment(MAPS * region, region) == pytest.approx(42 / inside, rel=1e-12)
    if inside < 42:
        assert enrichment(MAPS * ~region, region) == 0.0
        both = MAPS * region / (MAPS * region).sum(axis=(1, 2), keepdims=True)
        both = both + 3 * MAPS * ~region / (MAPS * ~region).sum(axis=(1, 2), keepdims=True)
        assert enrichment(both, region) == pytest.approx(42 / inside / 4, rel=1e-6)


def test_enrichment_of_random_maps_is_chance():
    maps = np.random.default_rng(1).random((400, 6, 7))
    region = np.zeros((6, 7), bool)
    region[:2, :3] = True
    # One map's share has a relative standard deviation of about sqrt(1/3/6 + ...) < 0.25, so the
    # mean of 400 one of 0.0125; four of them.
    assert enrichment(maps, region) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_scale_does_not_change_enrichment(scale):
    region = MAPS > 0.4
    scaled = MAPS * np.float32(scale)
    assert enrichment(scaled, region) == pytest.approx(enrichment(MAPS, region), rel=1e-6)


def test_enrichment_leaves_out_dead_maps_and_empty_masks():
    maps = np.concatenate([one([3, 1]), one([0, 0]), one([NAN, 1]), one([1, 9])])
    left = np.array([[True, False]])
    assert enrichment(maps, left) == pytest.approx((1.5 + 0.2) / 2, rel=1e-12)
    masks = np.stack([left, left, left, ~left & left])
    assert enrichment(maps, masks) == pytest.approx(1.5, rel=1e-12)


def test_enrichment_without_anything_is_nan():
    assert np.isnan(enrichment(np.zeros((2, 3, 3)), np.ones((3, 3), bool)))
    assert np.isnan(enrichment(np.ones((2, 3, 3)), np.zeros((3, 3), bool)))


# ---------------------------------------------------------------- groups


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


# ---------------------------------------------------------------- map similarity


def spearman(maps, previous):
    pairs = zip(maps, previous, strict=True)
    return np.mean([scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs])


def test_map_similarity_by_hand():
    assert map_similarity(one([1, 2, 3]), one([1, 4, 9])) == pytest.approx(1, rel=1e-12)
    assert map_similarity(one([1, 2, 3]), one([9, 4, 1])) == pytest.approx(-1, rel=1e-12)
    # ranks 1 2 3 and 1 3 2: 1 - 6 * (0 + 1 + 1) / (3 * 8)
    assert map_similarity(one([1, 2, 3]), one([1, 9, 4])) == pytest.approx(0.5, rel=1e-12)
    # ties: ranks 1 2.5 2.5 and 1 2 3: 1.5 / sqrt(1.5 * 2)
    assert map_similarity(one([1, 5, 5]), one([1, 2, 3])) == pytest.approx(1.5 / 3**0.5, rel=1e-12)


def test_map_similarity_without_ties():
    assert len(np.unique(MAPS)) == MAPS.size
    assert map_similarity(MAPS, BEFORE) == pytest.approx(spearman(MAPS, BEFORE), rel=1e-12)


@pytest.mark.parametrize("levels", [2, 3, 5, 20])
def test_map_similarity_with_ties(levels):
    rng = np.random.default_rng(levels)
    now = rng.integers(0, levels, (8, 6, 7)).astype(np.float32)
    before = np.where(rng.random(now.shape) < 0.4, now, rng.integers(0, levels, now.shape))
    expected = spearman(now, before)
    assert expected > 0.1
    assert map_similarity(now, before.astype(np.float32)) == pytest.approx(expected, rel=1e-12)
    mixed = MAPS[[0, 1, 2, 3, 4, 0, 1, 2]]
    assert map_similarity(now, mixed) == pytest.approx(spearman(now, mixed), abs=1e-12)


def test_map_similarity_of_relu_maps():
    """Mostly zeros, and a value that ends one map and begins the next: ties stay in their map."""
    now = np.maximum(MAPS - 0.6, 0)
    now[:, -1, -1], now[:, 0, 0] = 9, 9
    before = np.maximum(BEFORE - 0.4, 0)
    assert map_similarity(now, before) == pytest.approx(spearman(now, before), rel=1e-12)


def test_equal_values_in_neighbouring_maps_are_no_ties():
    """The largest value of a map is the smallest of the next."""
    now = np.array([[[0, 1, 2]], [[2, 3, 4]], [[4, 5, 6]]], np.float32)
    assert map_similarity(now, now[::-1]) == pytest.approx(1, rel=1e-12)
    two = np.array([[[0, 1, 1]], [[1, 1, 2]]], np.float32)
    before = np.array([[[0, 2, 1]], [[2, 1, 3]]], np.float32)
    assert map_similarity(two, before) == pytest.approx(spearman(two, before), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30, 1e37])
def test_map_similarity_over_the_range_of_float32(scale):
    scaled = MAPS * np.float32(scale)
    assert map_similarity(scaled, BEFORE) == pytest.approx(spearman(scaled, BEFORE), rel=1e-12)


def test_map_similarity_over_many_magnitudes():
    wide = 10.0 ** RNG.uniform(-38, 38, (4, 6, 7)).astype(np.float32)
    wide = wide.astype(np.float32)
    other = (wide * RNG.uniform(0.001, 1, wide.shape)).astype(np.float32)
    assert map_similarity(wide, other) == pytest.approx(spearman(wide, other), rel=1e-12)


def test_map_similarity_is_symmetric_and_ignores_monotone_changes():
    assert map_similarity(MAPS, BEFORE) == pytest.approx(map_similarity(BEFORE, MAPS), rel=1e-12)
    assert map_similarity(np.sqrt(MAPS), BEFORE) == pytest.approx(spearman(MAPS, BEFORE), rel=1e-6)
    assert map_similarity(MAPS, MAPS) == pytest.approx(1, rel=1e-12)
    assert map_similarity(MAPS, 1 / MAPS) == pytest.approx(-1, rel=1e-9)


@pytest.mark.parametrize("value", [0, 3, NAN, INF])
def test_map_similarity_of_constant_maps_is_nan(value):
    flat = np.full((2, 1, 3), value, np.float32)
    other = np.array([[[1, 2, 3]], [[3, 1, 2]]], np.float32)
    assert np.isnan(map_similarity(flat, other))
    assert np.isnan(map_similarity(other, flat))
    assert np.isnan(map_similarity(flat, flat))


def test_map_similarity_leaves_out_undefined_pairs():
    now = np.concatenate(
        [one([1, 2, 3]), one([4, 4, 4]), one([1, NAN, 2]), one([1, 2, 3]), one([INF, 2, 3])]
    )
    before = np.concatenate(
        [one([1, 9, 4]), one([1, 2, 3]), one([1, 2, 3]), one([0, 0, 0]), one([1, 2, 3])]
    )
    assert map_similarity(now, before) == pytest.approx(0.5, rel=1e-12)
    assert map_similarity(before, now) == pytest.approx(0.5, rel=1e-12)


def test_inputs_are_left_as_they_are():
    maps, before = MAPS.copy(), BEFORE.copy()
    maps[1] = 0
    kept = maps.copy()
    dead_maps(maps), shares(maps), mean_map(maps)
    enrichment(maps, MAPS > 0.5), map_similarity(maps, before)
    np.testing.assert_array_equal(maps, kept)
    np.testing.assert_array_equal(before, BEFORE)
