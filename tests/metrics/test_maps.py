import numpy as np
import pytest
import scipy.stats

from keras_saliency.metrics.maps import (
    dead_maps,
    defined_mean,
    entropy,
    gini,
    map_similarity,
    mean_map,
    rank_similarity,
    ranks,
    shares,
    totals,
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
    scaled = MAPS * np.float32(factor)
    np.testing.assert_array_equal(shares(scaled), shares(MAPS))
    np.testing.assert_array_equal(mean_map(scaled), mean_map(MAPS))
    assert gini(scaled) == gini(MAPS)
    assert entropy(scaled) == pytest.approx(entropy(MAPS), rel=1e-14)  # the log of the sum
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


# ---------------------------------------------------------------- Gini and entropy


def of_rows(function, rows):
    return np.mean([function(row) for row in rows.reshape(len(rows), -1).astype(np.float64)])


def gini_by_pairs(row):
    """Half the mean difference of all pairs over the mean, the other definition."""
    return np.abs(row[:, None] - row).mean() / 2 / row.mean()


def test_gini_by_hand():
    assert gini(one([1, 1, 1])) == pytest.approx(0, abs=1e-15)
    assert gini(one([0, 5], [0, 0])) == pytest.approx(0.75, rel=1e-12)
    # 1 and 3, of sum 4: 1 - 2 (1/4 * 1.5/2 + 3/4 * 0.5/2)
    assert gini(one([3, 1])) == pytest.approx(0.25, rel=1e-12)
    assert gini(np.concatenate([one([3, 1]), one([1, 0])])) == pytest.approx(0.375, rel=1e-12)


def test_gini_is_that_of_all_pairs():
    assert gini(MAPS) == pytest.approx(of_rows(gini_by_pairs, MAPS), rel=1e-6)


def test_gini_of_random_maps_is_as_said():
    rng = np.random.default_rng(0)
    assert gini(rng.random((50, 64, 64))) == pytest.approx(1 / 3, abs=0.002)
    normal = np.abs(rng.normal(size=(50, 64, 64)))
    assert gini(normal) == pytest.approx(2**0.5 - 1, abs=0.002)


def test_entropy_by_hand():
    assert entropy(one([7, 7, 7])) == pytest.approx(1, rel=1e-12)
    assert entropy(one([0, 5], [0, 0])) == 0
    assert entropy(one([2, 2], [0, 0])) == pytest.approx(0.5, rel=1e-12)
    assert entropy(np.concatenate([one([2, 2, 0, 0]), one([0, 0, 0, 3])])) == pytest.approx(0.25)
    assert np.isnan(entropy(one([3])))


def test_entropy_is_that_of_scipy():
    def expected(row):
        return scipy.stats.entropy(row) / np.log(len(row))

    assert entropy(MAPS) == pytest.approx(of_rows(expected, MAPS), rel=1e-6)
    sparse = np.maximum(MAPS - 0.6, 0)
    assert entropy(sparse) == pytest.approx(of_rows(expected, sparse), rel=1e-6)


def test_entropy_of_random_maps_is_as_said():
    found = entropy(np.random.default_rng(0).random((50, 32, 32)))
    assert found == pytest.approx(1 - (np.log(2) - 0.5) / np.log(32 * 32), abs=5e-4)


@pytest.mark.parametrize("function", [gini, entropy])
def test_spread_leaves_out_dead_maps_and_ignores_order_and_scale(function):
    dead = np.concatenate([MAPS, one(*np.zeros((6, 7))), one(*np.full((6, 7), NAN))])
    dead = np.concatenate([dead, np.full((1, 6, 7), INF, np.float32)])
    assert function(dead) == pytest.approx(function(MAPS), rel=1e-12)
    assert function(MAPS[::-1]) == pytest.approx(function(MAPS), rel=1e-12)
    scales = np.float32([1e-30, 1, 1e3, 1e30, 7])[:, None, None]
    assert function(MAPS * scales) == pytest.approx(function(MAPS), rel=1e-6)
    shuffled = np.random.default_rng(1).permuted(MAPS.reshape(5, -1), axis=1).reshape(MAPS.shape)
    assert function(shuffled) == pytest.approx(function(MAPS), rel=1e-6)
    assert np.isnan(function(np.zeros((2, 3, 3))))


def test_totals_and_defined_mean_by_hand():
    maps = np.concatenate(
        [one([1, 2]), one([0, 0]), one([NAN, 1]), one([INF, 1]), one([3e38, 3e38])]
    )
    np.testing.assert_allclose(totals(maps), [3, NAN, NAN, NAN, 6e38], rtol=1e-6)
    assert defined_mean(np.array([NAN, 1, 2])) == 1.5
    assert np.isnan(defined_mean(np.array([NAN])))
    assert np.isnan(defined_mean(np.array([])))


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


def test_ranks_are_those_of_scipy():
    maps = np.concatenate([MAPS, np.round(MAPS, 1)])
    expected = 2 * scipy.stats.rankdata(maps.reshape(10, -1), axis=1) - 2
    np.testing.assert_array_equal(ranks(maps), expected)
    flat = np.concatenate([one([2, 2]), one([NAN, 1]), one([1, 3])])
    np.testing.assert_array_equal(ranks(flat), [[0, 0], [0, 0], [0, 2]])
    assert rank_similarity(ranks(MAPS), ranks(BEFORE)) == map_similarity(MAPS, BEFORE)


def test_inputs_are_left_as_they_are():
    maps, before = MAPS.copy(), BEFORE.copy()
    maps[1] = 0
    kept = maps.copy()
    dead_maps(maps), shares(maps), mean_map(maps)
    gini(maps), entropy(maps), map_similarity(maps, before)
    np.testing.assert_array_equal(maps, kept)
    np.testing.assert_array_equal(before, BEFORE)


@pytest.mark.parametrize(("side", "dtype"), [(181, np.uint16), (182, np.uint32)])
def test_the_ranks_of_large_maps_do_not_overflow(side, dtype):
    """2**15 pixels are between 181 x 181 and 182 x 182; those of 8 values are tied."""
    wave = np.arange(side * side, dtype=np.float32).reshape(1, side, side)
    for maps in (wave, wave[:, ::-1], wave % 8):
        found = ranks(maps)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found[0], 2 * scipy.stats.rankdata(maps) - 2)
