import matplotlib
import numpy as np
import pytest

from keras_saliency.rendering import heatmaps
from keras_saliency.rendering.heatmaps import (
    NOT_A_NUMBER,
    SCALES,
    check_colormap,
    colorize,
    displayed,
    diverging,
    enlarged,
    factor_for,
    limits,
    map_defect,
    overlay,
    scaled,
    value_range,
)

RNG = np.random.default_rng(0)
MAPS = RNG.gamma(0.5, size=(4, 5, 6)).astype(np.float32)
COLORMAPS = ["hot", "viridis", "inferno", "gray", "jet"]
NAN, INF = np.nan, np.inf


def colors(name, values):
    return np.asarray(matplotlib.colormaps[name](values, bytes=True))[..., :3]


def peaks(maps):
    return maps.max(axis=(1, 2))


# ---------------------------------------------------------------- colour


@pytest.mark.parametrize("colormap", COLORMAPS)
@pytest.mark.parametrize("peak", [1e-38, 1e-20, 1.0, 255.0, 1e20, 3.4e38])
def test_the_256_colours_are_those_of_matplotlib(colormap, peak):
    """The values 0/255 .. 255/255 of the limit are the colormap's 256 entries in order."""
    steps = np.arange(256).reshape(1, 16, 16)
    maps = (steps / 255 * peak).astype(np.float32)
    found = colorize(maps, limits=np.float32([peak]), colormap=colormap)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, colors(colormap, steps))
    np.testing.assert_array_equal(found, colors(colormap, steps / 255))


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_values_between_get_the_nearest_colour(colormap):
    found = colorize(MAPS, limits=peaks(MAPS), colormap=colormap)
    exact = MAPS.astype(np.float64) / peaks(MAPS)[:, None, None]
    np.testing.assert_array_equal(found, colors(colormap, np.rint(exact * 255).astype(int)))


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_values_between_lie_within_one_colour_of_matplotlib(colormap):
    """Which takes floor(256 x) where we take the nearest of 255 steps."""
    found = colorize(MAPS, limits=peaks(MAPS), colormap=colormap)
    index = np.minimum((MAPS / peaks(MAPS)[:, None, None] * 256).astype(int), 255)
    np.testing.assert_array_equal(
        colors(colormap, index), colors(colormap, MAPS / peaks(MAPS)[:, None, None])
    )
    near = [colors(colormap, np.clip(index + step, 0, 255)) for step in (-1, 0, 1)]
    assert np.any([(found == color).all(axis=-1) for color in near], axis=0).all()


def test_hot_is_the_default():
    limit = peaks(MAPS)
    np.testing.assert_array_equal(
        colorize(MAPS, limits=limit), colorize(MAPS, limits=limit, colormap="hot")
    )
    assert colorize(np.float32([[[0, 1]]]), limits=np.float32([1]))[0, 0, 1].tolist() == [255] * 3


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_zero_map_is_the_colormaps_beginning(limit):
    found = colorize(
        np.zeros((1, 2, 3), np.float32), limits=np.float32([limit]), colormap="viridis"
    )
    np.testing.assert_array_equal(found, np.broadcast_to([68, 1, 84], (1, 2, 3, 3)))


def test_a_constant_map_is_the_colormaps_end():
    found = colorize(
        np.full((1, 2, 3), 1e-20, np.float32), limits=np.float32([1e-20]), colormap="viridis"
    )
    np.testing.assert_array_equal(found, np.broadcast_to(colors("viridis", 1.0), (1, 2, 3, 3)))


def test_nan_pixels_have_a_colour_of_their_own():
    found = colorize(np.float32([[[0, NAN], [4, 2]]]), limits=np.float32([4]))[0]
    assert tuple(found[0, 1]) == NOT_A_NUMBER
    np.testing.assert_array_equal(found[0, 0], colors("hot", 0.0))
    np.testing.assert_array_equal(found[1, 0], colors("hot", 1.0))
    np.testing.assert_array_equal(found[1, 1], colors("hot", 128))


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_the_colour_of_nan_is_in_no_colormap(colormap):
    distance = np.abs(colors(colormap, np.arange(256)).astype(int) - NOT_A_NUMBER).max(axis=1)
    assert distance.min() > 10


def test_a_map_that_is_nan_or_infinite():
    for value in (NAN, INF):
        maps = np.full((1, 2, 2), value, np.float32)
        found = colorize(maps, limits=limits(maps, "epoch"))
        np.testing.assert_array_equal(found, np.broadcast_to(NOT_A_NUMBER, (1, 2, 2, 3)))


def test_values_above_the_limit_are_the_end():
    found = colorize(np.float32([[[1, 2, 5, 1e30]]]), limits=np.float32([2]), colormap="gray")
    assert found[0, 0, :, 0].tolist() == [128, 255, 255, 255]


def test_scaled_is_exact_over_the_range_of_float32():
    for peak in (1e-45, 1e-40, 1e-30, 1.0, 1e30, 3.4e38):
        found = scaled(np.full((1, 1, 2), peak, np.float32), np.float32([peak]))
        np.testing.assert_array_equal(found, [[[1, 1]]])
        assert found.dtype == np.float32
    np.testing.assert_array_equal(scaled(np.zeros((1, 1, 2)), np.zeros(1)), [[[0, 0]]])


def test_unknown_colormaps():
    with pytest.raises(ValueError, match="colormap: .*'hot'.*'viridis'.*received 'warm'"):
        check_colormap("warm")
    expected = "^colormap: expected the name of a matplotlib colormap, .*'viridis', received None.$"
    with pytest.raises(TypeError, match=expected):
        check_colormap(None)
    with pytest.raises(ValueError, match="colormap: .*received 'warm'"):
        colorize(MAPS, limits=peaks(MAPS), colormap="warm")
    assert check_colormap("magma") == "magma"


def test_colours_are_matplotlibs_and_cannot_be_changed():
    found = heatmaps.colors("viridis", 253)
    table = matplotlib.colormaps["viridis"].resampled(253)(np.arange(253), bytes=True)
    np.testing.assert_array_equal(found, table[:, :3])
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


# ---------------------------------------------------------------- limits


def of_peaks(*values):
    """Maps with these maxima, the maximum at another place in each."""
    maps = np.zeros((len(values), 2, 2), np.float32)
    for i, value in enumerate(values):
        maps[i].flat[i % 4] = value
        maps[i].flat[(i + 1) % 4] = 0.25 * value
    return maps


def test_limits_over_a_run_by_hand():
    run = [of_peaks(1, 8, 0), of_peaks(4, 2, 3), of_peaks(2, 1, 1)]
    expected = {
        "epoch": [[1, 8, 0], [4, 2, 3], [2, 1, 1]],
        "probe": [[1, 8, 0], [4, 8, 3], [4, 8, 3]],
        "shared": [[8, 8, 8], [8, 8, 8], [8, 8, 8]],
    }
    assert set(SCALES) == set(expected)
    for scale, rows in expected.items():
        before = None
        for maps, row in zip(run, rows, strict=True):
            before = limits(maps, scale, before)
            assert before.tolist() == row, scale


def test_shared_limits_grow():
    before = limits(of_peaks(1, 2), "shared")
    assert before.tolist() == [2, 2]
    assert limits(of_peaks(5, 1), "shared", before).tolist() == [5, 5]


def test_limits_ignore_what_is_not_finite():
    maps = np.float32([[[NAN, 3], [1, 2]], [[INF, 7], [0, 0]], [[NAN, NAN], [NAN, NAN]]])
    assert limits(maps, "epoch").tolist() == [3, 7, 0]
    assert limits(maps, "shared").tolist() == [7, 7, 7]
    assert limits(maps, "probe", np.float32([4, 4, 4])).tolist() == [4, 7, 4]


@pytest.mark.parametrize("scale", ["epoch", "probe"])
@pytest.mark.parametrize("neighbour", [0.0, 1e-30, 1e30, NAN])
def test_a_probes_picture_ignores_its_neighbours(scale, neighbour):
    images = RNG.integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)

    def pictures(chosen, maps):
        first = limits(0.5 * maps[chosen], scale)
        limit = limits(maps[chosen], scale, first)
        drawn = (
            colorize(maps[chosen], limits=limit),
            overlay(images[chosen], maps[chosen], limits=limit),
        )
        return [picture[0].tobytes() for picture in drawn]

    others = MAPS.copy()
    others[[0, 1, 3]] *= np.float32(neighbour)
    assert pictures([2, 0, 1, 3], others) == pictures([2], MAPS)


def test_shared_pictures_show_the_magnitude():
    maps = np.float32([[[2.55, 0]], [[255, 0]]])
    found = colorize(maps, limits=limits(maps, "shared"), colormap="gray")
    assert found[:, 0, 0, 0].tolist() == [3, 255]  # 2.55 -> 0.01 * 255, rounded
    found = colorize(maps, limits=limits(maps, "epoch"), colormap="gray")
    assert found[:, 0, 0, 0].tolist() == [255, 255]


@pytest.mark.parametrize("factor", [2.0**-60, 2.0**60])
def test_scale_does_not_change_the_picture_of_an_epoch(factor):
    other = MAPS * np.float32(factor)
    found = colorize(other, limits=limits(other, "epoch"))
    np.testing.assert_array_equal(found, colorize(MAPS, limits=limits(MAPS, "epoch")))


def test_statements():
    said = {
        "zero map": [[0, 0], [0, 0]],
        "constant map": [[1e-30, 1e-30], [1e-30, 1e-30]],
        "": [[0, 0], [0, 1e-45]],
    }
    for text, values in said.items():
        assert map_defect(np.float32(values)) == text
    for value in (NAN, INF):
        assert map_defect(np.float32([[1, value]])) == "not a number"
    one_value = {3: "", 0: "zero map", NAN: "not a number"}
    for value, text in one_value.items():
        assert map_defect(np.float32([[value]])) == text


# ---------------------------------------------------------------- percentiles


def shuffled(values, side, seed=0):
    return np.random.default_rng(seed).permutation(values).reshape(1, side, side)


def test_colours_end_at_the_99th_percentile_of_each_map():
    """1 to 400: 99% of these values are up to 396. One hot pixel changes nothing."""
    maps = shuffled(np.arange(1.0, 401), 20)
    hot = np.where(maps == 400, 1e6, maps)
    assert limits(maps, "epoch").tolist() == [np.percentile(maps, 99, method="higher")] == [397]
    assert limits(hot, "epoch").tolist() == [397]
    assert limits(np.concatenate([2 * maps, hot]), "epoch").tolist() == [794, 397]
    assert limits(hot, "epoch", clip_percentile=100).tolist() == [1e6]
    assert limits(maps, "epoch", clip_percentile=50).tolist() == [201]
    assert heatmaps.peaks(np.concatenate([-maps, hot])).tolist() == [400, 1e6]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_percentiles_are_close_to_those_that_pair_saliency_and_captum_take(dtype):
    """NumPy's, which are interpolated between two values of the map."""
    maps = RNG.gamma(0.3, size=(3, 224, 224)).astype(dtype)
    found = limits(maps, "epoch")
    np.testing.assert_allclose(found, np.percentile(maps, 99, axis=(1, 2)), rtol=1e-3)
    assert found.dtype == dtype
    assert found.tobytes() == limits(maps, "epoch").tobytes()


def test_percentiles_over_a_run_by_hand():
    """Of maps whose 99th percentiles are 397 times 1 and 8, then 4 and 2; peaks are far above."""
    ramp = shuffled(np.append(np.arange(1.0, 400), 1e9), 20)
    run = [np.concatenate([first * ramp, second * ramp]) for first, second in ((1, 8), (4, 2))]
    expected = {
        "epoch": [[1, 8], [4, 2]],
        "probe": [[1, 8], [4, 8]],
        "shared": [[8, 8], [8, 8]],
    }
    for scale, rows in expected.items():
        before = None
        for maps, row in zip(run, rows, strict=True):
            before = limits(maps, scale, before)
            assert before.tolist() == [397 * share for share in row], scale


def test_signed_maps_have_the_percentile_of_their_absolute_values():
    signs = np.where(np.arange(400) % 2, 1, -1)
    maps = shuffled(signs * np.arange(1.0, 401), 20)
    assert limits(maps, "epoch").tolist() == [397]
    assert limits(-maps, "epoch").tolist() == [397]


def test_percentiles_ignore_what_is_not_finite():
    """300 values are left of 400: 1 to 300, whose 99th percentile is 298."""
    values = np.arange(1.0, 401)
    values[300:350], values[350:] = NAN, INF
    assert limits(shuffled(values, 20), "epoch").tolist() == [298]
    assert limits(np.full((1, 20, 20), NAN), "epoch").tolist() == [0]


def test_zeros_do_not_count_in_the_percentile_of_a_sparse_map():
    """Of 1 to n among zeros, as many exceed the end as if there were no zeros."""
    for count, end in ((1, 1), (3, 3), (99, 99), (100, 100), (101, 100), (102, 101), (200, 199)):
        values = np.append(np.arange(1.0, count + 1), np.zeros(10_000 - count))
        sparse = shuffled(values, 100)
        assert limits(sparse, "epoch").tolist() == [end], count
        assert limits(-sparse, "epoch").tolist() == [end], count
        alone = np.arange(1.0, count + 1).reshape(1, 1, -1)
        assert limits(alone, "epoch").tolist() == [end], count
        assert limits(sparse, "epoch", clip_percentile=100).tolist() == [count]
    found = colorize(sparse, limits=limits(sparse, "epoch"), colormap="gray")[..., 0]
    assert (found == 255).sum() == 2, "a white blob"
    assert limits(np.zeros((1, 20, 20)), "epoch").tolist() == [0]
    assert limits(np.concatenate([sparse, 9 * sparse]), "shared").tolist() == [9 * 199] * 2
    partly = shuffled([0, NAN, INF, -INF, 0, 0, 1, -2, 3], 3)
    assert limits(partly, "epoch", clip_percentile=50).tolist() == [2]


def test_maps_of_up_to_100_values_end_at_their_maximum():
    assert limits(shuffled(np.arange(100.0), 10), "epoch").tolist() == [99]
    assert limits(shuffled(np.arange(121.0), 11), "epoch").tolist() == [119]


def test_a_clipped_map_is_brighter_and_its_hot_pixel_the_end():
    maps = shuffled(np.append(np.arange(0.0, 399), 39700), 20)
    unclipped = colorize(maps, limits=heatmaps.peaks(maps), colormap="gray")
    assert np.sort(unclipped[..., 0].ravel())[-2] == 3  # 398 / 39700 * 255, rounded
    clipped = colorize(maps, limits=limits(maps, "epoch"), colormap="gray")
    index = np.floor(maps.clip(0, 396) / 396 * 255 + 0.5).astype(int)
    np.testing.assert_array_equal(clipped, colors("gray", index))


# ---------------------------------------------------------------- overlay


def gray_images(value, count=1, height=2, width=3):
    return np.full((count, height, width, 3), value, np.uint8)


@pytest.mark.parametrize("colormap", ["hot", "viridis"])
def test_no_saliency_shows_the_gray_image(colormap):
    shades = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    found = overlay(
        shades, np.zeros((1, 16, 16), np.float32), limits=np.float32([1]), colormap=colormap
    )
    np.testing.assert_array_equal(found, shades)
    found = overlay(
        shades, np.zeros((1, 16, 16), np.float32), limits=np.float32([0]), colormap=colormap
    )
    np.testing.assert_array_equal(found, shades)


def test_no_saliency_shows_colours_by_their_luma():
    """ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    image = np.uint8([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]]])
    found = overlay(image, np.zeros((1, 1, 4), np.float32), limits=np.float32([1]))
    assert found[0, 0].tolist() == [[76] * 3, [150] * 3, [29] * 3, [18] * 3]


@pytest.mark.parametrize("colormap", ["hot", "viridis"])
def test_full_saliency_shows_the_colormaps_end(colormap):
    found = overlay(
        gray_images(77), np.full((1, 2, 3), 5.0), limits=np.array([5.0]), colormap=colormap
    )
    np.testing.assert_array_equal(found, np.broadcast_to(colors(colormap, 1.0), (1, 2, 3, 3)))
    above = overlay(
        gray_images(77), np.full((1, 2, 3), 9.0), limits=np.array([5.0]), colormap=colormap
    )
    np.testing.assert_array_equal(above, found)


def test_a_quarter_of_saliency_is_half_opaque():
    """Opacity is the root of the value: 100 / 2 + heat / 2, rounded half up."""
    found = overlay(gray_images(100), np.full((1, 2, 3), 0.25), limits=np.array([1.0]))
    heat = colors("hot", 64).astype(float)  # 0.25 * 255 = 63.75
    np.testing.assert_array_equal(found[0, 0, 0], np.floor(50 + heat / 2 + 0.5))


def test_nan_covers_the_image():
    found = overlay(
        gray_images(100, width=2), np.float32([[[NAN, 0], [0, INF]]]), limits=np.float32([1])
    )
    assert tuple(found[0, 0, 0]) == tuple(found[0, 1, 1]) == NOT_A_NUMBER
    assert found[0, 0, 1].tolist() == found[0, 1, 0].tolist() == [100] * 3


# ---------------------------------------------------------------- signed maps


@pytest.mark.parametrize(
    ("colormap", "ends"),
    [
        ("RdBu_r", [(5, 48, 97), (247, 247, 247), (103, 0, 31)]),  # ColorBrewer's
        ("bwr", [(0, 0, 255), (255, 255, 255), (255, 0, 0)]),
        ("seismic", [(0, 0, 76), (255, 255, 255), (127, 0, 0)]),
    ],
)
@pytest.mark.parametrize("peak", [1e-30, 1.0, 1e30])
def test_signed_maps_have_0_in_the_middle(colormap, ends, peak):
    maps = np.float32([[[-peak, 0, peak]]])
    found = colorize(maps, limits=limits(maps, "epoch"), colormap=colormap, signed=True)
    assert [tuple(color) for color in found[0, 0].tolist()] == ends


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_signed_zero_map_is_the_middle_colour(limit):
    zeros = np.zeros((1, 2, 3), np.float32)
    found = colorize(zeros, limits=np.float32([limit]), colormap="RdBu_r", signed=True)
    np.testing.assert_array_equal(found, np.full((1, 2, 3, 3), 247))


def test_signed_values_between_are_steps_of_127():
    """Gray of a linear colormap: the middle is 127.5, the nearest steps are 255 / 254 apart."""
    values = np.arange(-127, 128, dtype=np.float32)
    maps = values.reshape(1, 1, -1) / 127
    found = colorize(maps, limits=np.float32([1]), colormap="gray", signed=True)[0, 0, :, 0]
    np.testing.assert_allclose(found, 127.5 + values * 127.5 / 127, atol=1)
    assert found[0] == 0
    assert found[-1] == 255


def test_signed_values_beyond_the_limit_are_the_ends():
    maps = np.float32([[[-9, -2, 2, 9, NAN]]])
    found = colorize(maps, limits=np.float32([2]), colormap="bwr", signed=True)[0, 0]
    assert found.tolist() == [[0, 0, 255]] * 2 + [[255, 0, 0]] * 2 + [list(NOT_A_NUMBER)]


def test_limits_of_signed_maps_are_their_largest_size():
    maps = np.float32([[[-8, 3]], [[1, -2]], [[0, 0]], [[NAN, -5]]])
    assert limits(maps, "epoch").tolist() == [8, 2, 0, 5]
    assert limits(maps, "shared").tolist() == [8, 8, 8, 8]
    assert limits(maps, "probe", np.float32([1, 4, 1, 1])).tolist() == [8, 4, 1, 5]


def test_limits_of_maps_with_any_axes():
    assert limits(np.float32([[1, 5], [2, 0]]), "epoch").tolist() == [5, 2]
    assert limits(np.arange(16.0).reshape(2, 2, 2, 2), "epoch").tolist() == [7, 15]


def test_statements_of_signed_maps():
    said = {
        "zero map": [[0, 0], [0, 0]],
        "constant map": [[-3, -3], [-3, -3]],
        "": [[-3, 0], [0, 0]],
    }
    for text, values in said.items():
        assert map_defect(np.float32(values)) == text
    assert map_defect(np.float32([[-1, 1]])) == ""


def test_the_overlay_of_a_signed_map_is_opaque_on_either_side():
    image = np.full((1, 1, 4, 3), 100, np.uint8)
    maps = np.float32([[[-1, 0, 1, -0.25]]])
    found = overlay(image, maps, limits=np.float32([1]), colormap="bwr", signed=True)[0, 0]
    assert found[:3].tolist() == [[0, 0, 255], [100, 100, 100], [255, 0, 0]]
    middle, index = 127, 127 - 32  # -0.25 * 127 = -31.75
    white = round(255 * index / middle)
    expected = [50 + white / 2, 50 + white / 2, 50 + 255 / 2]
    np.testing.assert_allclose(found[3], expected, atol=1)


def test_diverging_colormaps_are_kept():
    for name in ("RdBu", "RdBu_r", "bwr", "seismic", "coolwarm", "PiYG", "Spectral_r"):
        assert diverging(name) == name
    for name in ("hot", "viridis", "gray_r", "jet", "twilight"):
        assert diverging(name) == "RdBu_r"


# ---------------------------------------------------------------- images as pictures


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], (0, 1)),
        ([0.2, 0.7], (0, 1)),
        ([0.0, 0.0], (0, 1)),
        ([-1.0, 0.5], (-1, 1)),
        ([-0.1, 1.0], (-1, 1)),
        ([0.0, 1.5], (0, 1.5)),  # on 0..255 it would be black
        ([0.0, 5.5], (0, 5.5)),
        ([0.0, 64.0], (0, 255)),  # whole numbers
        ([0.5, 64.0], (0.5, 64)),
        ([0.5, 64.5], (0, 255)),
        ([0.0, 16.0], (0, 16)),  # less than a tenth of 0..255
        ([0.0, 26.0], (0, 255)),
        ([0.0, 0.09], (0, 0.09)),
        ([0.0, 0.11], (0, 1)),
        ([-0.05, 0.1], (-0.05, 0.1)),
        ([-0.05, 0.2], (-1, 1)),
        ([3.0, 255.0], (0, 255)),
        ([0.0, 256.0], (0, 256)),
        ([-0.5, 2.0], (-0.5, 2)),
        ([-128.0, 151.0], (-128, 151)),
    ],
)
def test_value_range_by_hand(values, expected):
    assert value_range(np.array(values)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.2, 0.5, 1], [0, 51, 128, 255]),
        ([-1, -0.6, 0, 1], [0, 51, 128, 255]),
        ([0, 51, 128, 255], [0, 51, 128, 255]),
        ([-2, 0, 2, 8], [0, 51, 102, 255]),
        ([1000, 1002, 1004, 1010], [0, 51, 102, 255]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_displayed_by_hand(values, expected, dtype):
    images = np.array(values, dtype).reshape(1, 2, 2, 1)
    found = displayed(images)
    assert found.dtype == np.uint8
    assert found.shape == (1, 2, 2, 3)
    for channel in range(3):
        assert found[..., channel].ravel().tolist() == expected


def test_all_shades_of_integer_images_stay():
    shades = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for dtype in (np.uint8, np.int32, np.float32):
        np.testing.assert_array_equal(displayed(shades.astype(dtype))[..., 0], shades[..., 0])
    np.testing.assert_array_equal(
        displayed((shades / 255).astype(np.float32))[..., 1], shades[..., 0]
    )


def test_channels():
    rgb = np.array([[[[0.0, 0.2, 1.0]]]])
    assert displayed(rgb)[0, 0, 0].tolist() == [0, 51, 255]
    five = np.array([[[[0.0, 0.2, 0.4, 0.4, 1.0]]]])  # mean 0.4
    assert displayed(five)[0, 0, 0].tolist() == [102] * 3
    two = np.array([[[[0.2, 1.0]]]])
    assert displayed(two)[0, 0, 0].tolist() == [153] * 3


RAMP = np.random.default_rng(1).permutation(np.linspace(0, 1, 2 * 24 * 24)).reshape(2, 24, 24, 1)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 1),
        (-1, 1),
        (0, 255),
        (0, 4095),
        (0, 65535),
        (0, 10),  # depth in metres
        (0, 8),  # log-mel, log1p
        (0, 0.05),
        (0, 1e-4),
        (-80, 0),  # dB
        (-3, 3),  # z-scores
        (270, 310),  # Kelvin
        (-1000, 2000),  # Hounsfield
        (1e30, 3e30),
    ],
)
@pytest.mark.parametrize("outlier", [None, "low", "high"])
def test_images_on_any_scale_can_be_seen(low, high, outlier):
    """The middle 90% of a ramp cover 90% of the gray levels, also beside one dead pixel."""
    images = (low + (high - low) * RAMP).astype(np.float32)
    if outlier is not None:
        far = 30 * (high - low)
        images[0, 0, 0] = low - far if outlier == "low" else high + far
    shown = displayed(images)[..., 0]
    dark, light = np.percentile(shown, [5, 95])
    assert light - dark == pytest.approx(0.9 * 255, abs=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dark_photographs_stay_dark(dtype):
    """A night: whole numbers of which 99% are up to 20. Its lamps must not become white areas."""
    night = np.rint(20 * RAMP).astype(dtype)
    night[:, :3, :4] = 200
    assert value_range(night) == (0, 255)
    np.testing.assert_array_equal(displayed(night), night.repeat(3, axis=-1))
    assert value_range(night / np.float32(255)) == (0, 1)


def test_values_out_of_the_range_are_black_and_white():
    found = displayed(np.array([-9.0, 0.0, 1.0, 2.0, 9.0]).reshape(1, 1, 5, 1), 0, 2)
    assert found[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_large_sets_are_sampled_in_all_channels():
    """A million values and more: those of a channel are still an outlier, or are not."""
    images = np.zeros((3, 700, 700, 3), np.float32)
    images[..., 1] = np.linspace(0, 0.02, 700)
    images[0, 0, 0, 2] = 1
    low, high = value_range(images)
    assert low == 0
    assert high == pytest.approx(0.02, rel=0.01)
    images[:, :70, :, 2] = 1
    assert value_range(images) == (0, 1)


def test_one_range_for_all_images():
    images = np.stack([np.full((1, 1, 1), 0.5), np.full((1, 1, 1), 100.0)])
    assert displayed(images)[:, 0, 0, 0].tolist() == [1, 100]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("value", "shade"), [(0.0, 0), (1.0, 255), (0.2, 51), (-1.0, 0), (51.0, 51)]
)
def test_constant_images_in_a_usual_range(value, shade, channels):
    found = displayed(np.full((1, 2, 2, channels), value))
    np.testing.assert_array_equal(found, np.full((1, 2, 2, 3), shade))


@pytest.mark.parametrize("value", [300.0, -5.0, 1e30])
def test_constant_images_in_no_usual_range(value):
    """No division by zero; what shade is shown says nothing, as long as it is one."""
    found = displayed(np.full((2, 2, 2, 1), value))
    assert found.dtype == np.uint8
    assert found.shape == (2, 2, 2, 3)
    assert len(np.unique(found)) == 1


# ---------------------------------------------------------------- larger and smaller


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_enlarged_is_blocks(factor):
    pictures = RNG.integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    expected = np.kron(pictures, np.ones((1, factor, factor, 1), np.uint8))
    found = enlarged(pictures, factor)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(enlarged(pictures[0], factor), expected[0])


def test_factor_for():
    pixels = [1, 8, 28, 32, 111, 112, 113, 500]
    assert [factor_for(size, 112) for size in pixels] == [112, 14, 4, 4, 2, 1, 1, 1]
