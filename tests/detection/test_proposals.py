import itertools
import tracemalloc

import numpy as np
import pytest

from keras_saliency.detection.proposals import (
    OUTER,
    SMALLEST_SIDE,
    WINDOW_AREA,
    Window,
    border_windows,
    class_hot_window,
    contrast_weighted,
    elsewhere,
    grown,
    hot_window,
    own_hot_windows,
    window_mask,
    window_side,
)
from keras_saliency.metrics.localization import border

SIZES = [(1, 3), (3, 3), (6, 6), (8, 8), (13, 13), (20, 20), (20, 37), (64, 9), (5, 100), (97, 60)]


def random_maps(count, height, width, seed=0):
    return np.random.default_rng(seed).gamma(0.5, size=(count, height, width))


def pixel_maps(height, width, *pixels):
    """Maps of which each holds all its saliency in one pixel."""
    maps = np.zeros((len(pixels), height, width))
    for single, pixel in zip(maps, pixels, strict=True):
        single[pixel] = 1
    return maps


def square_maps(height, width, *corners):
    """Maps of which each has all its saliency in one window of 3 x 3, from a corner on."""
    maps = np.zeros((len(corners), height, width))
    for single, (top, left) in zip(maps, corners, strict=True):
        single[top : top + 3, left : left + 3] = 1
    return maps


def all_windows(height, width):
    """Every window of the proposed size that fits, rows first."""
    side = window_side(height, width)
    for top in range(height - side + 1):
        for left in range(width - side + 1):
            yield Window(top, left, side, side)


def within(single, window):
    top, left, height, width = window
    return single[top : top + height, left : left + width].sum()


def is_outer(window, height, width):
    """Whether the window's centre is in the outer zone, in whole numbers."""
    twice = 2 * window.top + window.height, 2 * window.left + window.width
    fifth = round(1 / OUTER)
    return any(
        fifth * centre <= 2 * size or fifth * centre >= 2 * (fifth - 1) * size
        for centre, size in zip(twice, (height, width), strict=True)
    )


# ---------------------------------------------------------------- the border


def test_a_border_by_hand():
    """A fifth of the shorter side, 5, is one pixel."""
    expected = [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ]
    np.testing.assert_array_equal(border(5, 7, 0.2), expected)
    np.testing.assert_array_equal(border(7, 5, 0.2), np.transpose(expected))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.05, 0.12, 0.25])
def test_a_border_is_as_near_to_the_border_as_it_says(size, share):
    rows, columns = np.indices(size)
    distance = np.minimum.reduce([rows, columns, size[0] - 1 - rows, size[1] - 1 - columns])
    thick = max(1, round(share * min(size)))
    np.testing.assert_array_equal(border(*size, share), distance < thick)


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("size", SIZES)
def test_a_window_is_the_largest_square_that_is_small_enough(size):
    side, limit = window_side(*size), WINDOW_AREA * size[0] * size[1]
    assert min(SMALLEST_SIDE, *size) <= side <= min(size)
    assert side <= SMALLEST_SIDE or side**2 <= limit
    assert (side + 1) ** 2 > limit or side == min(size)


@pytest.mark.parametrize(
    ("size", "side"),
    [((1, 1), 1), ((2, 9), 2), ((3, 3), 3), ((24, 24), 3), ((25, 25), 4), ((9, 400), 9)],
)
def test_sides_by_hand(size, side):
    """Three pixels at least: 0.026 * 24 * 24 = 14.98, 0.026 * 25 * 25 = 16.25."""
    assert window_side(*size) == side


def test_a_window_as_a_mask():
    expected = [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(window_mask(Window(1, 2, 2, 2), 4, 4), expected)


@pytest.mark.parametrize("size", SIZES)
def test_the_hot_window_is_the_hottest_of_all(size):
    maps = random_maps(5, *size)
    mean = np.mean([single / single.sum() for single in maps], axis=0)
    hottest = max(all_windows(*size), key=lambda window: within(mean, window))
    assert hot_window(maps) == hottest


@pytest.mark.parametrize("corner", [(0, 0), (0, 17), (17, 0), (17, 17), (3, 11)])
def test_a_block_of_the_window_s_size_is_found(corner):
    maps = random_maps(4, 20, 20) * 0.01
    top, left = corner
    maps[:, top : top + 3, left : left + 3] = 1
    assert window_side(20, 20) == 3
    assert hot_window(maps) == Window(top, left, 3, 3)


def test_each_map_has_one_vote_whatever_its_scale():
    maps = square_maps(9, 9, (1, 1), (1, 1), (5, 4))
    maps[2] *= 1e6
    assert hot_window(maps) == Window(1, 1, 3, 3)


def test_dead_maps_propose_nothing():
    maps = square_maps(9, 9, (1, 1), (5, 4), (5, 4))
    maps[1] = 0
    maps[2, 0, 0] = np.nan
    assert hot_window(maps) == Window(1, 1, 3, 3)
    assert hot_window(maps[1:]) is None


# ---------------------------------------------------------------- windows of a class


@pytest.mark.parametrize("size", [(6, 6), (20, 20), (20, 37)])
def test_the_class_window_is_where_a_class_exceeds_the_rest_most(size):
    maps = random_maps(9, *size)
    targets = np.array([7, 2, 2, 7, 5, 5, 2, 7, 7])
    spread = maps / maps.sum(axis=(1, 2), keepdims=True)
    means = {target: spread[targets == target].mean(axis=0) for target in (2, 5, 7)}
    best = max(
        ((target, window) for target in means for window in all_windows(*size)),
        key=lambda pair: within(
            means[pair[0]]
            - np.mean([mean for target, mean in means.items() if target != pair[0]], axis=0),
            pair[1],
        ),
    )
    assert class_hot_window(maps, targets) == best


def test_a_cue_of_one_class_stands_out_though_another_place_is_hotter():
    """All look at (5, 3) most; class 4 alone looks at (0, 6), too."""
    maps = 3 * square_maps(9, 9, *[(5, 3)] * 6)
    targets = np.array([0, 0, 4, 4, 9, 9])
    maps[targets == 4] += 2 * square_maps(9, 9, (0, 6))
    assert hot_window(maps) == Window(5, 3, 3, 3)
    assert class_hot_window(maps, targets) == (4, Window(0, 6, 3, 3))


def test_a_class_counts_as_one_however_many_probes_it_has():
    """Class 0 has 8 probes, the others 1: the mean of the rest is of classes, not of probes."""
    maps = square_maps(9, 9, *[(0, 0)] * 8, (6, 6), (3, 3))
    maps[9] += square_maps(9, 9, (0, 0))[0]
    targets = np.array([0] * 8 + [1, 2])
    # At (6, 6) class 1 exceeds the rest by 1; at (0, 0) class 0 does by 1 - (0 + 1/2) / 2 = 3/4.
    assert class_hot_window(maps, targets) == (1, Window(6, 6, 3, 3))


def test_classes_with_dead_maps_are_left_out():
    maps = square_maps(9, 9, (0, 0), (3, 3), (6, 6))
    maps[0] = 0
    targets = np.array([0, 1, 2])
    assert class_hot_window(maps, targets) in [(1, Window(3, 3, 3, 3)), (2, Window(6, 6, 3, 3))]
    maps[2] = np.nan
    assert class_hot_window(maps, targets) is None
    assert class_hot_window(maps[:0], targets[:0]) is None
    assert class_hot_window(random_maps(3, 6, 6), np.array([1, 1, 1])) is None


# ---------------------------------------------------------------- windows near the border


@pytest.mark.parametrize("size", SIZES)
def test_each_map_s_outer_window_is_its_hottest_one_near_the_border(size):
    maps = random_maps(6, *size)
    outer = [window for window in all_windows(*size) if is_outer(window, *size)]
    assert bool(outer) == (size not in [(3, 3), (6, 6)])  # of those, every centre is inside
    outer = outer or [Window(0, 0, 3, 3)]
    for single, found in zip(maps, own_hot_windows(maps, outer=True), strict=True):
        best = max(outer, key=lambda window: within(single, window))
        np.testing.assert_array_equal(found, window_mask(best, *size))


@pytest.mark.parametrize("size", [(8, 8), (20, 20), (20, 37), (64, 9)])
def test_an_outer_window_ignores_the_hotter_middle(size):
    middle, corner = (size[0] // 2, size[1] // 2), (size[0] - 1, 0)
    maps = pixel_maps(*size, middle)
    maps[0][corner] = 0.25
    found = own_hot_windows(maps, outer=True)[0]
    assert found[corner]
    assert not found[middle]


def test_a_map_without_saliency_near_the_border_takes_the_first_window():
    maps = np.concatenate([pixel_maps(20, 20, (10, 10)), np.zeros((1, 20, 20))])
    for found in own_hot_windows(maps, outer=True):
        np.testing.assert_array_equal(found, window_mask(Window(0, 0, 3, 3), 20, 20))


def test_a_map_without_saliency_inside_takes_the_first_window_there():
    """Windows of 3 pixels: the first centre beyond 4 is that of the one from 3 on."""
    (found,) = own_hot_windows(pixel_maps(20, 20, (0, 5)), outer=False)
    np.testing.assert_array_equal(found, window_mask(Window(3, 3, 3, 3), 20, 20))


def test_outer_windows_of_broken_maps_and_of_neighbours():
    """A map that is not finite has no say; a map's window is its own."""
    maps = random_maps(3, 20, 20)
    expected = own_hot_windows(maps, outer=True)
    maps[1, 3, 3] = np.nan
    found = own_hot_windows(maps, outer=True)
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    np.testing.assert_array_equal(found[1], window_mask(Window(0, 0, 3, 3), 20, 20))


@pytest.mark.parametrize("size", SIZES[1:])
def test_the_inner_window_is_the_hottest_of_all_others(size):
    maps = random_maps(6, *size)
    inner = [window for window in all_windows(*size) if not is_outer(window, *size)]
    for single, found in zip(maps, own_hot_windows(maps, outer=False), strict=True):
        best = max(inner, key=lambda window: within(single, window))
        np.testing.assert_array_equal(found, window_mask(best, *size))


# ---------------------------------------------------------------- larger windows, and the border


def test_a_window_grows_around_its_middle_and_stays_within_the_image():
    assert grown(Window(10, 12, 4, 4), 32, 40) == [
        Window(10, 12, 4, 4),
        Window(9, 11, 6, 6),
        Window(8, 10, 8, 8),
        Window(6, 8, 12, 12),
    ]
    # At an edge it is moved, not cut.
    assert grown(Window(28, 0, 4, 4), 32, 40) == [
        Window(28, 0, 4, 4),
        Window(26, 0, 6, 6),
        Window(24, 0, 8, 8),
        Window(20, 0, 12, 12),
    ]


def test_a_window_grows_up_to_the_size_of_the_image_and_each_size_is_there_once():
    assert grown(Window(0, 0, 3, 3), 3, 20) == [
        Window(0, 0, 3, 3),
        Window(0, 0, 3, 4),
        Window(0, 0, 3, 6),
        Window(0, 0, 3, 9),
    ]
    assert grown(Window(0, 0, 3, 3), 3, 3) == [Window(0, 0, 3, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_grown_windows_hold_each_other(size):
    for window in list(all_windows(*size))[::7]:
        masks = [window_mask(larger, *size) for larger in grown(window, *size)]
        for inner, larger in itertools.pairwise(masks):
            assert (inner <= larger).all()
            assert larger.sum() > inner.sum()
        shapes = [larger[2:] for larger in grown(window, *size)]
        assert [mask.sum() for mask in masks] == [height * width for height, width in shapes]


def test_border_windows_by_hand():
    """Corners of 0.2, 0.25, 0.35, 0.45, strips of 0.1, 0.16, 0.25, as shares of 20 and 40."""
    corners = [
        Window(top, left, height, width)
        for height, width in ((4, 8), (5, 10), (7, 14), (9, 18))
        for top in (0, 20 - height)
        for left in (0, 40 - width)
    ]
    strips = []
    for height, width in ((2, 4), (3, 6), (5, 10)):
        strips += [Window(0, 0, height, 40), Window(20 - height, 0, height, 40)]
        strips += [Window(0, 0, 20, width), Window(0, 40 - width, 20, width)]
    assert border_windows(20, 40) == corners + strips


@pytest.mark.parametrize("size", SIZES)
def test_border_windows_are_at_the_edge_within_the_image_and_each_is_there_once(size):
    windows = border_windows(*size)
    assert len(set(windows)) == len(windows)
    for top, left, height, width in windows:
        assert min(top, left, height - 1, width - 1) >= 0
        assert top + height <= size[0]
        assert left + width <= size[1]
        is_at_edge = top == 0, left == 0, top + height == size[0], left + width == size[1]
        assert any(is_at_edge)
    # Turned and mirrored images have turned and mirrored windows.
    turned = {Window(left, top, width, height) for top, left, height, width in windows}
    assert turned == set(border_windows(*size[::-1]))
    mirrored = {
        Window(size[0] - top - height, left, height, width) for top, left, height, width in windows
    }
    assert mirrored == set(windows)


# ---------------------------------------------------------------- what there is to see


def test_saliency_counts_by_what_there_is_to_see():
    """One pixel differs from its surroundings: by 49 in a window of 7 x 7 there is 48/49 left."""
    assert window_side(20, 20) == 3  # so the surroundings are 7 x 7
    images = np.full((1, 20, 20, 2), 5.0)
    images[0, 8, 9, 1] += 49
    expected = np.zeros((20, 20))
    expected[5:12, 6:13] = 1
    expected[8, 9] = 48
    maps = random_maps(1, 20, 20)
    np.testing.assert_allclose(contrast_weighted(maps, images)[0], maps[0] * expected, atol=1e-5)


@pytest.mark.parametrize("size", [(6, 6), (20, 20), (20, 37), (64, 9)])
def test_surroundings_are_a_square_twice_as_wide_as_a_window(size):
    images = np.random.default_rng(0).random((2, *size, 3))
    reach = window_side(*size)
    padding = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    wide = np.pad(images, padding, mode="symmetric")
    side = 2 * reach + 1
    squares = np.lib.stride_tricks.sliding_window_view(wide, (side, side), axis=(1, 2))
    differences = np.abs(images - squares.mean(axis=(-2, -1))).max(axis=-1)
    maps = random_maps(2, *size)
    np.testing.assert_allclose(
        contrast_weighted(maps, images), maps * differences, rtol=1e-4, atol=1e-6
    )


def test_a_flat_image_proposes_nothing():
    maps = contrast_weighted(random_maps(2, 20, 20), np.full((2, 20, 20, 1), 0.5))
    assert hot_window(maps) is None


# ---------------------------------------------------------------- elsewhere


def is_moved(moved, mask):
    """Whether one is the other, moved and wrapped around."""
    axes = (-2, -1)
    moves = np.ndindex(mask.shape[-2:])
    return any((np.roll(mask, move, axis=axes) == moved).all() for move in moves)


@pytest.mark.parametrize("seed", range(5))
def test_elsewhere_is_the_same_shape_and_touches_it_not(seed):
    mask = np.zeros((9, 12), bool)
    mask[1:3, 2:5] = mask[3, 2] = True
    moved = elsewhere(mask, seed)
    assert is_moved(moved, mask)
    assert not (moved & mask).any()
    np.testing.assert_array_equal(elsewhere(mask, seed), moved)


def test_elsewhere_moves_the_masks_of_all_probes_alike():
    masks = np.random.default_rng(0).random((3, 7, 8)) < 0.15
    moved = elsewhere(masks, 0)
    assert is_moved(moved, masks)
    assert 2 * (moved & masks).sum() <= masks.sum()


def test_elsewhere_depends_on_the_seed():
    mask = window_mask(Window(0, 0, 3, 3), 20, 20)
    assert len({elsewhere(mask, seed).tobytes() for seed in range(8)}) > 4


def test_elsewhere_finds_the_place_with_the_least_overlap():
    """Half of the image: one of 8 x 1 moves overlaps nothing, and 64 draws find it."""
    mask = np.zeros((8, 1), bool)
    mask[:4] = True
    np.testing.assert_array_equal(elsewhere(mask, 0), ~mask)


def test_there_is_no_elsewhere_for_what_is_nearly_everything():
    assert elsewhere(np.ones((6, 6), bool), 0) is None
    most = np.ones((4, 4), bool)
    most[0] = False  # of 12 pixels, 8 at least stay in place
    assert elsewhere(most, 0) is None
    some = np.zeros((3, 1), bool)
    some[:2] = True  # of 2 pixels, 1 stays in place: half, which is not more than half
    np.testing.assert_array_equal(elsewhere(some, 0).sum(), 2)


# ---------------------------------------------------------------- memory


def peak_bytes(function, *arguments, **how):
    """The most that a call holds at once, its result included.

    The least of three measurements: other threads may allocate memory at the same time.
    """
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        try:
            function(*arguments, **how)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


@pytest.mark.slow
def test_proposals_hold_their_result_and_little_besides_whatever_the_number_of_probes():
    """One probe's arrays are 1 / 64 of all probes' here."""
    rng = np.random.default_rng(0)
    images = rng.random((64, 48, 48, 3), np.float32)
    maps = images[..., 0].copy()
    assert peak_bytes(contrast_weighted, maps, images) < 1.5 * maps.nbytes
    for outer in (True, False):
        assert peak_bytes(own_hot_windows, maps, outer=outer) < 2 * maps.size  # result: one byte
    masks = np.zeros(maps.shape, bool)
    masks[:, 5:15, 5:15] = True
    assert peak_bytes(elsewhere, masks, 0) < 1.5 * masks.nbytes


@pytest.mark.parametrize("count", [None, 3])
def test_elsewhere_is_the_first_of_64_random_moves_with_the_least_overlap(count):
    shape = (7, 9) if count is None else (count, 7, 9)
    for seed in range(10):
        mask = np.random.default_rng(seed).random(shape) < 0.3
        best, least = None, mask.size
        for move in np.random.default_rng(seed).integers((7, 9), size=(64, 2)):
            moved = np.roll(np.roll(mask, move[0], axis=-2), move[1], axis=-1)
            if (moved & mask).sum() < least:
                best, least = moved, (moved & mask).sum()
        np.testing.assert_array_equal(elsewhere(mask, seed), best)


def test_contrast_of_a_batch_is_that_of_its_images_one_by_one():
    rng = np.random.default_rng(0)
    maps, images = rng.random((4, 12, 17)), rng.random((4, 12, 17, 3), np.float32)
    together = contrast_weighted(maps, images)
    assert together.dtype == np.float64
    for probe in range(4):
        alone = contrast_weighted(maps[probe : probe + 1], images[probe : probe + 1])
        np.testing.assert_array_equal(together[probe], alone[0])
