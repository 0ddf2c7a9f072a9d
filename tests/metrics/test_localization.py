import numpy as np
import pytest

from keras_saliency.metrics.localization import (
    RING_WIDTH,
    border,
    border_enrichment,
    enrichment,
    enrichment_ratio,
    enrichments,
    largest_class_enrichment_ratio,
    pointing_game,
    rank_accuracy,
    translated_mask_rank,
)

RNG = np.random.default_rng(0)
MAPS = RNG.gamma(0.5, size=(5, 6, 7)).astype(np.float32)
MASKS = RNG.random((5, 6, 7)) < 0.3
NAN, INF = np.nan, np.inf
WITH_MASKS = [enrichment, rank_accuracy, pointing_game, translated_mask_rank]


def one(*rows):
    """One map."""
    return np.array([rows], np.float32)


def rectangle(top, left, height, width, shape=(6, 7)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


# ---------------------------------------------------------------- what holds for all


@pytest.mark.parametrize("function", WITH_MASKS)
def test_dead_maps_and_empty_masks_are_left_out(function):
    masks = np.stack([rectangle(i, 1, 2, 3) for i in range(5)])
    expected = function(MAPS[[1, 4]], masks[[1, 4]])
    maps, some = MAPS.copy(), masks.copy()
    maps[0], maps[2, 3, 3], some[3] = 0, NAN, False
    assert function(maps, some) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(function(np.zeros((2, 3, 3)), np.ones((3, 3), bool)))
    assert np.isnan(function(np.ones((2, 3, 3)), np.zeros((3, 3), bool)))


@pytest.mark.parametrize("function", WITH_MASKS)
@pytest.mark.parametrize("masks", [MASKS, MASKS[0]], ids=["a mask each", "one for all"])
def test_neither_scale_nor_the_order_of_probes_matters(function, masks):
    expected = function(MAPS, masks)
    scales = np.float32([2.0**-90, 1, 2.0**10, 2.0**90, 8])[:, None, None]
    assert function(MAPS * scales, masks) == pytest.approx(expected, rel=1e-12)
    turned = masks[::-1] if masks.ndim == 3 else masks
    assert function(MAPS[::-1], turned) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("function", WITH_MASKS)
def test_a_mask_for_all_is_one_for_each(function):
    each = np.broadcast_to(MASKS[0], MAPS.shape)
    assert function(MAPS, MASKS[0]) == function(MAPS, each) == function(MAPS, each.copy())


@pytest.mark.parametrize("function", [enrichment, rank_accuracy, pointing_game])
def test_of_masks_that_differ_it_is_the_mean(function):
    single = [function(MAPS[i : i + 1], MASKS[i]) for i in range(5)]
    assert function(MAPS, MASKS) == pytest.approx(np.mean(single), rel=1e-12)


def test_inputs_are_left_as_they_are():
    maps, masks = MAPS.copy(), MASKS.copy()
    maps[1] = 0
    kept = maps.copy()
    for function in WITH_MASKS:
        function(maps, masks)
    np.testing.assert_array_equal(maps, kept)
    np.testing.assert_array_equal(masks, MASKS)


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


def test_enrichments_by_hand():
    maps = np.concatenate([one([3, 1]), one([0, 0]), one([NAN, 1]), one([1, 9]), one([3e38, 3e38])])
    found = enrichments(maps, np.array([[True, False]]))
    np.testing.assert_allclose(found, [1.5, NAN, NAN, 0.2, 1], rtol=1e-12)
    masks = np.array([[[True, False]]] * 3 + [[[False, False]]] + [[[True, True]]])
    np.testing.assert_allclose(enrichments(maps, masks), [1.5, NAN, NAN, NAN, 1], rtol=1e-12)


# ---------------------------------------------------------------- against the start


def test_enrichment_ratio_by_hand():
    now, before = np.array([3.0, 1.0, NAN, 8.0, NAN]), np.array([1.0, 1.0, 5.0, NAN, NAN])
    assert enrichment_ratio(now, before) == 2.0
    assert enrichment_ratio(before, now) == 0.5
    assert enrichment_ratio(np.array([0.0]), np.array([2.0])) == 0.0


def test_enrichment_ratio_without_anything_to_compare_with_is_nan():
    assert np.isnan(enrichment_ratio(np.array([1.0, NAN]), np.array([NAN, 2.0])))
    assert np.isnan(enrichment_ratio(np.array([1.0, 2.0]), np.array([0.0, 0.0])))


def test_the_largest_class_by_hand():
    now = np.array([2.0, 4.0, 1.0, 1.0, 9.0, NAN])
    before = np.array([1.0, 1.0, 1.0, 3.0, NAN, 1.0])
    targets = np.array([7, 7, 0, 0, 3, 4])
    assert largest_class_enrichment_ratio(now, before, targets) == 3.0  # of class 7; 0 has 0.5
    assert largest_class_enrichment_ratio(now[2:], before[2:], targets[2:]) == 0.5
    assert np.isnan(largest_class_enrichment_ratio(now[4:], before[4:], targets[4:]))


def test_a_cue_of_one_class_vanishes_in_the_mean_only():
    before, targets = np.ones(40), np.arange(40) % 10
    now = np.where(targets == 3, 5.0, 0.9)
    assert enrichment_ratio(now, before) < 1.5
    assert largest_class_enrichment_ratio(now, before, targets) == 5.0


# ---------------------------------------------------------------- rank accuracy


def by_argsort(maps, masks):
    """Arras et al., for maps without ties."""
    shares = []
    for values, mask in zip(maps, np.broadcast_to(masks, maps.shape), strict=True):
        highest = np.argsort(-values.ravel())[: mask.sum()]
        shares.append(mask.ravel()[highest].mean())
    return np.mean(shares)


def test_rank_accuracy_by_hand():
    maps = one([9, 8], [1, 0])
    assert rank_accuracy(maps, np.array([[True, True], [False, False]])) == 1.0
    assert rank_accuracy(maps, np.array([[True, False], [True, False]])) == 0.5
    assert rank_accuracy(maps, np.array([[False, False], [True, True]])) == 0.0
    assert rank_accuracy(maps, np.array([[False, True], [False, False]])) == 0.0
    assert rank_accuracy(maps, np.ones((2, 2), bool)) == 1.0


@pytest.mark.parametrize("masks", [MASKS, MASKS[0]])
def test_rank_accuracy_without_ties(masks):
    assert len(np.unique(MAPS)) == MAPS.size
    assert rank_accuracy(MAPS, masks) == pytest.approx(by_argsort(MAPS, masks), rel=1e-12)


def test_rank_accuracy_with_ties_is_the_mean_over_their_orders():
    """A hair of noise breaks the ties, at random."""
    rng = np.random.default_rng(1)
    maps = rng.integers(0, 4, (5, 6, 7)).astype(np.float64)
    orders = [by_argsort(maps + 1e-6 * rng.random(maps.shape), MASKS) for _ in range(2000)]
    error = np.std(orders) / len(orders) ** 0.5
    assert error > 0
    assert rank_accuracy(maps, MASKS) == pytest.approx(np.mean(orders), abs=4 * error)


def test_rank_accuracy_of_flat_maps_is_chance():
    flat = np.full((5, 6, 7), 0.3, np.float32)
    assert rank_accuracy(flat, MASKS) == pytest.approx(MASKS.mean(), rel=1e-12)
    assert rank_accuracy(flat, rectangle(0, 0, 2, 2)) == pytest.approx(4 / 42, rel=1e-12)


# ---------------------------------------------------------------- pointing game


def test_pointing_game_by_hand():
    maps = np.concatenate([one([9, 8], [1, 0]), one([0, 7], [1, 2]), one([0, 1], [1, 0])])
    top = np.array([[True, True], [False, False]])
    assert pointing_game(maps[:2], top) == 1.0
    assert pointing_game(maps[:2], ~top) == 0.0
    assert pointing_game(maps[:2], np.array([[True, False], [True, False]])) == 0.5
    # of the third, both places of the maximum have to lie in the mask
    assert pointing_game(maps, top) == pytest.approx(2 / 3, rel=1e-12)
    assert pointing_game(maps[2:], np.array([[False, True], [True, False]])) == 1.0


def test_no_flat_map_is_a_hit():
    flat = np.full((5, 6, 7), 0.3, np.float32)
    assert pointing_game(flat, MASKS) == 0.0
    assert pointing_game(flat, ~rectangle(0, 0, 1, 1)) == 0.0


def test_pointing_game_is_that_of_argmax_without_ties():
    hits = [mask.ravel()[one_map.argmax()] for one_map, mask in zip(MAPS, ~MASKS, strict=True)]
    assert 0 < np.mean(hits) < 1
    assert pointing_game(MAPS, ~MASKS) == pytest.approx(np.mean(hits), rel=1e-12)


# ---------------------------------------------------------------- translated mask


def moved_by_hand(one_map, mask):
    """Every place of the mask's bounding box, one by one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    pattern = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = pattern.shape
    masses = np.array(
        [
            [
                one_map[top : top + height, left : left + width][pattern].sum(dtype=np.float64)
                for left in range(one_map.shape[1] - width + 1)
            ]
            for top in range(one_map.shape[0] - height + 1)
        ]
    )
    own = masses[rows[0], columns[0]]
    return (masses >= own * (1 - 1e-12)).mean()


def test_translated_mask_rank_by_hand():
    maps = one([5, 1, 2], [0, 3, 4])
    for place, rank in {(0, 0): 1, (1, 2): 2, (1, 1): 3, (0, 2): 4, (0, 1): 5, (1, 0): 6}.items():
        mask = np.zeros((2, 3), bool)
        mask[place] = True
        assert translated_mask_rank(maps, mask) == pytest.approx(rank / 6, rel=1e-12)
    # two in a row: 6 3 of the first, 3 7 of the second
    assert translated_mask_rank(maps, rectangle(0, 0, 1, 2, (2, 3))) == 0.5
    assert translated_mask_rank(maps, rectangle(1, 1, 1, 2, (2, 3))) == 0.25
    # a diagonal: 8 and 5
    diagonal = np.array([[True, False, False], [False, True, False]])
    assert translated_mask_rank(maps, diagonal) == 0.5


@pytest.mark.parametrize("shape", [(6, 7), (1, 12), (13, 9), (31, 17)])
def test_translated_mask_rank_one_place_after_the_other(shape):
    rng = np.random.default_rng(shape[0])
    for kind in range(12):
        maps = rng.gamma(0.5, size=(1, *shape)).astype(np.float32)
        if kind % 3 == 1:
            maps = np.round(maps)  # many ties
        if kind % 3 == 2:
            maps *= rng.random(maps.shape) < 0.1  # mostly nothing
        maps[0, 0, 0] += 1
        height, width = (1 + int(rng.integers(0, side)) for side in shape)
        if (height, width) == shape:
            continue
        top, left = (
            int(rng.integers(0, a - b + 1)) for a, b in zip(shape, (height, width), strict=True)
        )
        mask = rectangle(top, left, height, width, shape)
        inner = rng.random(shape) < 0.5
        inner[top, left] = inner[top + height - 1, left + width - 1] = True  # keeps the box
        for pattern in (mask, mask & inner):
            expected = moved_by_hand(maps[0], pattern)
            assert translated_mask_rank(maps, pattern) == pytest.approx(expected, rel=1e-12)


def test_probes_that_share_a_mask_share_a_rank():
    mask = rectangle(1, 2, 2, 2)
    mean = (MAPS / MAPS.sum(axis=(1, 2), keepdims=True)).mean(axis=0)
    assert translated_mask_rank(MAPS, mask) == pytest.approx(moved_by_hand(mean, mask), rel=1e-12)
    other = rectangle(3, 0, 1, 5)
    masks = np.stack([mask, other, mask, mask, other])
    parts = [translated_mask_rank(MAPS[[0, 2, 3]], mask), translated_mask_rank(MAPS[[1, 4]], other)]
    assert translated_mask_rank(MAPS, masks) == pytest.approx((3 * parts[0] + 2 * parts[1]) / 5)


def test_a_mask_that_has_no_other_place_has_no_rank():
    ring = np.ones((6, 7), bool)
    ring[1:-1, 1:-1] = False
    assert np.isnan(translated_mask_rank(MAPS, ring))
    masks = np.stack([ring, *[rectangle(1, 2, 2, 2)] * 4])
    expected = translated_mask_rank(MAPS[1:], masks[1])
    assert translated_mask_rank(MAPS, masks) == pytest.approx(expected, rel=1e-12)


def test_a_flat_map_has_the_last_rank_and_a_lit_mask_the_first():
    mask = rectangle(2, 3, 2, 2)
    assert translated_mask_rank(np.full((3, 6, 7), 0.3), mask) == 1.0
    assert translated_mask_rank(mask[np.newaxis] + np.zeros((3, 1, 1)), mask) == 1 / (5 * 6)


def test_the_rank_of_random_maps_is_uniform():
    rng = np.random.default_rng(2)
    mask = rectangle(5, 4, 1, 1, (12, 12))
    found = [translated_mask_rank(rng.random((1, 12, 12)), mask) for _ in range(600)]
    assert np.mean(found) == pytest.approx(0.5, abs=4 * 12**-0.5 / 600**0.5)
    assert 0.05 < np.mean(np.array(found) <= 0.1) < 0.15


# ---------------------------------------------------------------- border


@pytest.mark.parametrize(
    ("shape", "down", "right"),
    [((8, 8), 1, 1), ((20, 20), 2, 2), ((32, 100), 3, 3), ((224, 160), 16, 16), ((4, 4), 1, 1)],
)
def test_the_border_is_a_tenth_of_the_shorter_side(shape, down, right):
    ring = border(*shape, RING_WIDTH)
    inner = ring[down:-down, right:-right]
    assert not inner.any()
    assert ring.sum() == ring.size - inner.size


def test_border_enrichment_by_hand():
    maps = np.zeros((2, 10, 10))
    maps[0, 0, 0] = 1  # all in the border, which is 36 of 100 pixels
    maps[1, 5, 5] = 1
    assert border_enrichment(maps[:1]) == pytest.approx(100 / 36, rel=1e-12)
    assert border_enrichment(maps[1:]) == 0.0
    assert border_enrichment(maps) == pytest.approx(50 / 36, rel=1e-12)
    assert border_enrichment(np.ones((2, 30, 17))) == pytest.approx(1, rel=1e-12)
    assert np.isnan(border_enrichment(np.zeros((2, 10, 10))))
