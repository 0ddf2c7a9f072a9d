import io

import matplotlib
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from keras_saliency import Pictures
from keras_saliency.data.inputs import map_axes
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.log import tags
from keras_saliency.rendering import drawings, layouts
from keras_saliency.rendering.drawings import (
    PAPER,
    bars,
    cells,
    extremes,
    inked,
    lines,
    montage,
    on_places,
    spread,
    upright,
    words,
)
from keras_saliency.rendering.heatmaps import NOT_A_NUMBER
from keras_saliency.rendering.layouts import GAP, LINE
from keras_saliency.rendering.renderers import PANEL, renderer
from keras_saliency.tensorboard.pictures import PictureWriter
from keras_saliency.tensorboard.sink import TensorBoardSink

RNG = np.random.default_rng(0)
START, END = (10, 0, 0), (255, 255, 255)  # of the colormap "hot"
BLUE, WHITE, RED = (5, 48, 97), (247, 247, 247), (103, 0, 31)  # of "RdBu_r"
NAN = np.nan


def hot(value):
    return tuple(matplotlib.colormaps["hot"](round(value * 255), bytes=True)[:3])


def report(maps, step=0, **more):
    maps = np.asarray(maps, np.float32)
    ones, zeros = np.ones(len(maps)), np.zeros(len(maps), int)
    return SaliencyReport(step, maps, zeros, zeros, ones, ones, ones, {}, **more)


def drawn(values, maps, kind, *, scale="epoch", colormap="hot", vocabulary=None, signed=None):
    probes = ProbeSet(values, np.zeros(len(values), int), kind=kind, vocabulary=vocabulary)
    signed_maps = None if signed is None else np.asarray(signed, np.float32)
    return PictureWriter(probes, Pictures(scale, colormap)).draw(
        report(maps, signed_maps=signed_maps)
    )


def panels(picture, height, width):
    """Original, overlay and map of a probe's picture."""
    return [picture[:height, left : left + width] for left in range(0, 3 * width, width + GAP)]


def all_colors(picture):
    return {tuple(color) for color in picture.reshape(-1, 3).tolist()}


# ---------------------------------------------------------------- series


def test_the_background_of_a_step_is_its_saliency():
    series = np.float64([[[0.0], [1.0], [0.0], [1.0]]])
    picture = drawn(series, [[0, 0, 7, 0]], "series")["saliency_probe/000 class 0"]
    _, over, heat = panels(picture, 96, 192)  # 4 steps of 48 pixels
    for left, color, ink in ((0, START, 240), (48, START, 240), (96, END, 16), (144, START, 240)):
        assert all_colors(heat[:, left : left + 48]) == {color}
        assert all_colors(over[:, left : left + 48]) == {color, (ink,) * 3}  # the line, readable


def test_a_line_goes_from_the_smallest_to_the_largest_value():
    """Of 3 steps, 11 pixels each: 0, 1, 0.5; the line is two pixels thick."""
    ink = lines(np.float64([[[2.0], [6.0], [4.0]]]), height=34, wide=11)[0]
    assert ink.shape == (34, 33)
    centres = [np.flatnonzero(ink[:, 11 * step + 5]) for step in range(3)]
    assert centres[0].min() >= 29  # at the bottom, and next to it the line rises
    assert centres[0].max() == 32
    assert centres[1].min() == 1
    assert centres[2].mean() == pytest.approx(16.5, abs=2)
    assert (ink.sum(axis=0) >= 2 * 255).all()  # no gap


def test_channels_have_a_lane_and_a_range_of_their_own():
    series = np.zeros((1, 20, 2))
    series[0, 10:, 0], series[0, :10, 1] = 1000, 1e-6  # up, and down
    ink = lines(series, height=40, wide=1)[0] > 0
    assert ink.shape == (40, 20)
    rows = [np.flatnonzero(ink[:, column]).tolist() for column in (0, 19)]
    assert rows == [[17, 18, 21, 22], [1, 2, 37, 38]]


def test_many_channels_share_lanes():
    ink = lines(np.zeros((1, 10, 20)), height=80, wide=1)[0] > 0
    # 8 lanes of 20 pixels, in each a constant line in the middle.
    assert np.flatnonzero(ink[:, 0]).tolist() == [9 + 20 * i + j for i in range(8) for j in (0, 1)]


def test_a_spike_in_a_long_series_is_seen():
    """A block's line reaches from its smallest to its largest value."""
    series = np.zeros((1, 10_000, 1))
    series[0, 5005] = 1
    ink = lines(series, height=96, block=40)[0] > 0
    assert ink.shape == (96, 250)
    assert ink[1, 125]  # 5005 // 40
    assert ink.sum(axis=0)[125] == 94
    assert (np.delete(ink.sum(axis=0), 125) == 2).all()


def test_the_columns_of_a_long_series_meet():
    """A rise between two blocks is drawn in the first of them."""
    ink = lines(np.float64([0, 0, 1, 1]).reshape(1, 4, 1), height=40, block=2)[0] > 0
    assert ink.sum(axis=0).tolist() == [38, 2]


def test_long_series_are_averaged_over_whole_blocks():
    maps = np.zeros((1, 10_000))
    maps[0, 40:80], maps[0, 80:100] = 4, 4  # all and half of a block of 40
    picture = drawn(RNG.random((1, 10_000, 1)), maps, "series")["saliency_probe/000 class 0"]
    heat = panels(picture, 96, 250)[2]
    assert [tuple(color) for color in heat[5, :4].tolist()] == [START, END, hot(0.5), START]


def test_the_probes_of_a_set_share_a_range():
    found = spread(np.array([[0.0, 5.0], [4.0, 5.0], [1.0, 5.0]]))
    assert found.tolist() == [[0, 0.5], [1, 0.5], [0.25, 0.5]]
    assert spread(np.array([[-1e308], [1e308], [0.0]])).tolist() == [[0], [1], [0.5]]


# ---------------------------------------------------------------- features


def test_bars_are_as_long_as_saliency_is_large():
    picture = drawn(RNG.random((1, 4)), [[0, 1, 2, 4]], "features")["saliency_probe/000 class 0"]
    _, over, heat = panels(picture, 4 * LINE, 240)
    for feature, (length, share) in enumerate([(0, 0), (34, 0.25), (67, 0.5), (134, 1)]):
        row = over[LINE * feature + 5, 104:]
        filled = (row != PAPER).any(axis=1)
        assert np.flatnonzero(filled).tolist() == [*range(length)]
        assert all_colors(row[filled]) <= {hot(share)}
        np.testing.assert_array_equal(heat[LINE * feature + 5, 104:], row)
        assert all_colors(heat[LINE * feature, 104:]) == {(PAPER,) * 3}


def test_signed_bars_go_to_both_sides():
    found = bars(
        np.array([[-1.0, 0.5, 0.0]]),
        np.full((1, 3, 3), 200, np.uint8),
        thick=1,
        length=25,
        signed=True,
    )[0, :, :, 0]
    filled = [np.flatnonzero(row != PAPER).tolist() for row in found]
    assert filled == [[*range(2, 13)], [*range(12, 17)], [12]]


def test_upright_bars_stand_on_the_floor():
    colors = np.full((1, 2, 3), 200, np.uint8)
    found = upright(bars(np.array([[0.5, 1.0]]), colors, thick=2, length=6))[0, :, :, 0]
    expected = [[0, 0, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2 + [[1, 1, 1, 1]] * 2
    assert (found == 200).astype(int).tolist() == expected


def test_the_largest_bars_have_paper_around_them():
    """In every picture with bars: a white bar shows on a white page."""
    for count in (2, 40):  # with names, and without
        maps = np.zeros((1, count))
        maps[0, 0] = maps[0, -1] = 1
        drawer = renderer(ProbeSet(RNG.random((1, count)), kind="features"), np.arange(1), PANEL)
        settings = {"limits": np.ones(1), "colormap": "hot", "signed": False}
        over = drawer.over(drawer.reduced(maps), **settings)[0]
        assert END in all_colors(over)
        assert all_colors(over[0]) == {(PAPER,) * 3}
        assert all_colors(over[:, -2:] if count == 2 else over[:2]) == {(PAPER,) * 3}


def test_of_many_features_the_most_salient_neighbour_is_shown():
    assert extremes(np.array([[1, -3, 2, 2, 0.5]]), 3).tolist() == [[-3, 2, 0.5]]
    assert extremes(np.array([[1, -3]]), 2).tolist() == [[1, -3]]
    np.testing.assert_array_equal(extremes(np.array([[NAN, -3, 2]]), 2), [[NAN, 2]])
    maps = np.zeros((1, 2000))
    maps[0, 1203] = 5
    picture = drawn(RNG.random((1, 2000)), maps, "features")["saliency_probe/000 class 0"]
    _, over, heat = panels(picture, 96, 250)  # 8 features in a bar
    assert all_colors(heat[:, 150]) == {END}
    assert all_colors(np.delete(heat, 150, axis=1)) == {START}
    assert all_colors(over[2:, 150]) == {END}
    assert all_colors(np.delete(over, 150, axis=1)) == {(PAPER,) * 3}


# ---------------------------------------------------------------- tokens


def test_a_word_stands_on_its_saliency():
    vocabulary = ["bad", "good", "film"]
    maps = [[4, 0, 1]]
    picture = drawn(np.array([[0, 2, 1]]), maps, "tokens", vocabulary=vocabulary)
    _, over, heat = panels(picture["saliency_probe/000 class 0"], LINE, 320)
    left = 0
    for text, share, ink in (("bad", 1, 16), ("film", 0, 240), ("good", 0.25, 240)):
        coverage = layouts.coverage(text, 320)
        box = over[:, left : left + coverage.shape[1]]
        assert all_colors(box[coverage == 0]) == {hot(share)}
        assert all_colors(box[coverage == 255]) == {(ink,) * 3}
        left += coverage.shape[1] + 3
    assert all_colors(over[:, left:]) == {(PAPER,) * 3}
    for cell, share in enumerate((1, 0, 0.25)):  # 3 cells of 106 pixels
        assert all_colors(heat[: LINE - 1, 106 * cell : 106 * cell + 105]) == {hot(share)}


@pytest.mark.parametrize(
    ("token", "text"), [(0, "one"), (1, "#1"), (2, "␣"), (3, "3"), (-1, "-1"), (70_000, "70000")]
)
def test_what_a_token_is_shown_as(token, text):
    picture = drawn(np.array([[token]]), [[0]], "tokens", vocabulary=["one", "猫", " "])
    original = panels(picture["saliency_probe/000 class 0"], LINE, 320)[0]
    coverage = layouts.coverage(text, 320)
    box = original[:, : coverage.shape[1]]
    assert all_colors(box[coverage == 0]) == {(52, 52, 52)}
    assert (box[coverage > 128] > 128).all()
    assert all_colors(original[:, coverage.shape[1] :]) == {(PAPER,) * 3}


def test_words_are_set_in_lines():
    wide = layouts.coverage("word", 100).shape[1]
    _, places = words([["word"] * 5, ["word"]], width=2 * wide + 3, max_lines=9)
    assert places.shape == (2, 3 * LINE + 2 * 3, 2 * wide + 3)
    starts = {
        int(word): tuple(np.argwhere(places[0] == word)[0].tolist())
        for word in np.unique(places[0])
        if word >= 0
    }
    right, line = wide + 3, LINE + 3
    assert starts == {
        0: (0, 0),
        1: (0, right),
        2: (line, 0),
        3: (line, right),
        4: (2 * line, 0),
    }
    assert set(np.unique(places[1])) == {-1, 0}


def test_words_without_a_place_are_counted():
    ink, places = words([["word"] * 50], width=100, max_lines=3)
    shown = places.max() + 1
    note = layouts.coverage(f"… {50 - shown} more", 100)
    windows = np.lib.stride_tricks.sliding_window_view(ink[0], note.shape)
    assert 2 <= shown <= 9
    assert (windows == note).all(axis=(-1, -2)).sum() == 1
    ink, places = words([["w" * 99] * 5], width=100, max_lines=1)
    assert places.max() == -1
    assert (ink[0, :LINE, : layouts.coverage("… 5 more", 100).shape[1]] > 0).any()


def test_colours_lie_on_their_words():
    colors = np.uint8([[[1, 1, 1], [2, 2, 2]], [[3, 3, 3], [4, 4, 4]]])
    places = np.array([[[0, -1, 1]], [[1, 1, -1]]])
    assert on_places(colors, places)[..., 0].tolist() == [[[1, PAPER, 2]], [[4, 4, PAPER]]]


def test_cells_are_as_large_as_they_find_room():
    colors = np.arange(1, 6, dtype=np.uint8).reshape(1, 5, 1).repeat(3, axis=2)
    found = cells(colors, height=5, width=9)[0, :, :, 0]  # 2 lines of 3 cells of 2 x 3
    first, second = [1] * 3 + [2] * 3 + [3] * 3, [4] * 3 + [5] * 3 + [PAPER] * 3
    assert found.tolist() == [first, first, second, second, [PAPER] * 9]


def test_larger_cells_have_gaps():
    colors = np.full((1, 4, 3), 200, np.uint8)
    found = cells(colors, height=9, width=8)[0, :, :, 0]  # 4 cells of 4 x 4
    filled = np.zeros((9, 8), bool)
    filled[:3, :3] = filled[:3, 4:7] = filled[4:7, :3] = filled[4:7, 4:7] = True
    np.testing.assert_array_equal(found == 200, filled)
    assert (found[~filled] == PAPER).all()


@pytest.mark.parametrize(("below", "expected"), [(0, 240), (127, 240), (128, 16), (255, 16)])
def test_ink_is_readable_on_any_gray(below, expected):
    pictures = np.full((1, 1, 3, 3), below, np.uint8)
    found = inked(pictures, np.uint8([[[0, 255, 51]]]))[0, 0]
    assert found[:2].tolist() == [[below] * 3, [expected] * 3]
    np.testing.assert_allclose(found[2], 0.8 * below + 0.2 * expected, atol=1)
    assert (pictures == below).all()


# ---------------------------------------------------------------- volumes


def test_slices_lie_in_lines_from_the_upper_left():
    slices = np.arange(1, 6, dtype=np.uint8).reshape(1, 5, 1, 1, 1).repeat(3, axis=-1)
    found = montage(slices, gap=1)[0, :, :, 0]
    assert found.tolist() == [[1, PAPER, 2, PAPER, 3], [PAPER] * 5, [4, PAPER, 5, PAPER, PAPER]]


def test_the_montage_shows_evenly_spaced_slices():
    """Of 17 slices every second one; only slice 10 has saliency, in its upper left corner."""
    volumes = np.broadcast_to(np.arange(17.0).reshape(1, 17, 1, 1, 1) / 16, (1, 17, 2, 2, 1))
    maps = np.zeros((1, 17, 2, 2))
    maps[0, 10, 0, 0] = 3
    maps[0, 11] = 1.5  # between the slices
    side = 2 * 32  # 3 x 3 slices of 2 pixels reach 192 by a factor of 32
    width = 3 * side + 2 * 2
    picture = drawn(volumes, maps, "volume")["saliency_probe/000 class 0"]
    original, over, heat = panels(picture, width, width)
    for index in range(9):
        row, column = divmod(index, 3)
        top, left = row * (side + 2), column * (side + 2)
        place = slice(top, top + side), slice(left, left + side)
        gray = round(2 * index / 16 * 255)
        assert np.abs(original[place].astype(int) - gray).max() <= 1
        expected = np.full((side, side, 3), START)
        if index == 5:
            expected[:32, :32] = END
        np.testing.assert_array_equal(heat[place], expected)
        assert np.abs(over[place][32:].astype(int) - gray).max() <= 1
    assert all_colors(over[66:98, 132:164]) == {END}


def test_the_scale_of_a_volume_is_that_of_all_its_slices():
    maps = np.zeros((1, 17, 2, 2))
    maps[0, 10], maps[0, 11] = 1, 4
    picture = drawn(np.zeros((1, 17, 2, 2, 1)), maps, "volume")["saliency_probe/000 class 0"]
    heat = panels(picture, 196, 196)[2]
    assert all_colors(heat[66:130, 132:]) == {hot(0.25)}


# ---------------------------------------------------------------- signed maps


def test_signed_series():
    signed, colors = [[-2, 0, 2, 0]], (BLUE, WHITE, RED)
    found = drawn(RNG.random((1, 4, 1)), np.abs(signed), "series", signed=signed)
    heat = panels(found["saliency_probe/000 class 0"], 96, 192)[2]
    assert [tuple(heat[3, x].tolist()) for x in (0, 50, 100, 150)] == [*colors, WHITE]
    strip = found[tags.FILMSTRIP][-16, -64:]  # 4 steps of 16 pixels
    assert [tuple(strip[x].tolist()) for x in (0, 20, 40, 60)] == [*colors, WHITE]


def test_signed_images():
    signed = np.zeros((1, 8, 8))
    signed[0, 0, 0], signed[0, 7, 7] = -4, 4
    found = drawn(np.full((1, 8, 8, 1), 0.4), np.abs(signed), "image", signed=signed)
    original, over, heat = panels(found["saliency_probe/000 class 0"], 96, 96)
    assert all_colors(original) == {(102,) * 3}
    assert tuple(heat[0, 0]) == tuple(over[0, 0]) == BLUE
    assert tuple(heat[95, 95]) == tuple(over[95, 95]) == RED
    assert all_colors(heat[12:84]) == {WHITE}
    assert all_colors(over[12:84]) == {(102,) * 3}


def test_the_users_diverging_colormap_stays():
    found = drawn(
        np.zeros((1, 1, 3, 1)), [[[1, 0, 1]]], "image", colormap="bwr", signed=[[[-1, 0, 1]]]
    )
    heat = found["saliency_probe/000 class 0"][5, -96:]
    assert [heat[x].tolist() for x in (0, 40, 95)] == [[0, 0, 255], [255] * 3, [255, 0, 0]]


def test_a_signed_scale_of_a_run_holds_the_largest_size():
    probes = ProbeSet(np.zeros((1, 1, 2, 1)), [0])
    pictures = PictureWriter(probes, Pictures("probe", "bwr"))
    for step, peak in enumerate((-4, 1)):
        signed = np.float32([[[peak, 0]]])
        found = pictures.draw(report(np.abs(signed), step, signed_maps=signed))
    color = found["saliency_probe/000 class 0"][5, -96]
    assert color.tolist() == pytest.approx([255, 191, 191], abs=2)  # a quarter to red
    assert "`bwr`" in pictures.description(tags.FILMSTRIP)
    assert (
        pictures.configuration()["colormap, scale"]
        == "bwr, probe (99th percentile); unsigned means: bwr"
    )


def test_a_negative_constant_map_is_said_to_be_constant():
    """In the warning colour, as a zero map is; a map of both signs is neither."""

    def warns(signed):
        found = drawn(np.zeros((1, 4)), np.abs(signed), "features", signed=signed)
        picture = found["saliency_probe/000 class 0"]
        expected = layouts.blank(LINE, picture.shape[1])
        size = f"map peak {np.abs(signed).max():.3g}"
        said = {}
        for word in ("constant map", "zero map"):
            layouts.draw_line(
                expected, 0, 0, picture.shape[1], layouts.Line(f"{size} · {word}", wrong=True)
            )
            said[word] = np.array_equal(picture[-LINE - 1 : -1], expected)
            expected[:] = layouts.BACKGROUND
        return said

    assert warns([[-2, -2, -2, -2]]) == {"constant map": True, "zero map": False}
    assert warns([[0, 0, 0, 0]]) == {"constant map": False, "zero map": True}
    assert warns([[-2, 2, 2, -2]]) == {"constant map": False, "zero map": False}


# ---------------------------------------------------------------- further methods


def test_further_methods_have_a_sheet_and_a_strip_with_limits_of_their_own():
    probes = ProbeSet(np.zeros((2, 1, 2, 1)), [0, 0])
    pictures, alone = (PictureWriter(probes, Pictures("shared", "hot")) for _ in range(2))
    for step, size in enumerate((8, 2)):
        maps = np.float32([[[size, 0]], [[1, size]]])
        others = 1000 * maps[::-1] + np.float32([[[1, 500]]])
        found = pictures.draw(report(maps, step, others={"smoothgrad": others, "x": maps}))
        expected = alone.draw(report(others, step))
    assert found.keys() - expected.keys() == {
        "saliency/contact_sheet/smoothgrad",
        "saliency/filmstrip/smoothgrad",
        "saliency/contact_sheet/x",
        "saliency/filmstrip/x",
    }
    for tag in (tags.CONTACT_SHEET, tags.FILMSTRIP):
        np.testing.assert_array_equal(found[f"{tag}/smoothgrad"], expected[tag])
        np.testing.assert_array_equal(found[f"{tag}/x"], found[tag])
        assert not np.array_equal(found[f"{tag}/x"], expected[tag])
        assert pictures.description(f"{tag}/x") == pictures.description(tag)


def test_further_methods_of_signed_maps_are_signed():
    maps = np.float32([[[2, 0]]])
    pictures = PictureWriter(ProbeSet(np.zeros((1, 1, 2, 1)), [0]), Pictures("epoch", "hot"))
    found = pictures.draw(report(maps, signed_maps=-maps, others={"x": maps}))
    alone = PictureWriter(ProbeSet(np.zeros((1, 1, 2, 1)), [0]), Pictures("epoch", "hot"))
    expected = alone.draw(report(maps, signed_maps=maps))
    for tag in (tags.CONTACT_SHEET, tags.FILMSTRIP):
        np.testing.assert_array_equal(found[f"{tag}/x"], expected[tag])
        assert not np.array_equal(found[f"{tag}/x"], found[tag])
        assert "`RdBu_r`" in pictures.description(f"{tag}/x")
    assert tuple(found[tags.FILMSTRIP][-10, -32]) == BLUE


# ---------------------------------------------------------------- every kind

SHAPES = [
    *(("image", shape) for shape in [(1, 1, 1), (30, 4, 2)]),
    *(("series", shape) for shape in [(1, 1), (7, 12), (257, 1), (10_000, 2)]),
    *(("volume", shape) for shape in [(1, 1, 1, 1), (2, 300, 8, 3), (40, 6, 6, 1)]),
    *(("features", shape) for shape in [(1,), (3,), (33,), (2000,)]),
    *(("tokens", shape) for shape in [(1,), (300,), (2500,)]),
]


@pytest.mark.slow
@pytest.mark.parametrize("num_probes", [1, 3])
@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_every_kind_can_be_drawn(kind, shape, num_probes):
    """Live, zero, constant and broken maps, of any shape: a picture per probe, sheet and strip."""
    values = RNG.integers(0, 99, (num_probes, *shape))
    probes = ProbeSet(values, np.zeros(num_probes, int), kind=kind)
    pictures = PictureWriter(probes, Pictures("probe", "hot"))
    map_shape = num_probes, *shape[: len(map_axes(kind))]
    broken = np.ones(map_shape)
    broken.flat[0] = NAN
    live = RNG.random(map_shape)
    for step, maps in enumerate((live, 0 * live, 0 * live + 2, broken, NAN * live)):
        found = pictures.draw(report(maps, step, signed_maps=np.float32(-maps), others={"x": maps}))
        expected = {tags.CONTACT_SHEET, tags.FILMSTRIP}
        expected |= {f"{tag}/x" for tag in expected}
        expected |= {tags.probe_tag(name) for name in probes.names}
        assert found.keys() == expected
        sizes = {found[tags.probe_tag(name)].shape for name in probes.names}
        assert len(sizes) == 1
        for picture in found.values():
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            assert pictures.encoded(picture)
    assert NOT_A_NUMBER in all_colors(found[tags.FILMSTRIP])
    assert all(pictures.configuration().values())


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_a_probes_picture_ignores_its_neighbours_maps(kind, shape):
    values = RNG.integers(0, 99, (2, *shape))
    maps = RNG.random((2, *shape[: len(map_axes(kind))]))
    other = maps.copy()
    other[1] = NAN
    tag = "saliency_probe/000 class 0"
    np.testing.assert_array_equal(drawn(values, maps, kind)[tag], drawn(values, other, kind)[tag])


def test_what_is_shown_is_told():
    def told(values, kind):
        return PictureWriter(ProbeSet(values, kind=kind), Pictures("epoch", "hot")).configuration()

    assert told(np.zeros((1, 10_000, 2)), "series")["maps"] == (
        "10000 steps, averaged over 40 steps"
    )
    assert told(np.zeros((1, 4, 2)), "series")["maps"] == "4 steps, enlarged 48 times"
    volumes = told(np.zeros((1, 17, 2, 2, 1)), "volume")
    assert volumes["maps"] == "17 slices of 2 x 2 pixels, enlarged 32 times"
    assert volumes["slices"].startswith("0, 2, 4, 6, 8, 10, 12, 14, 16, in rows")
    assert told(np.zeros((1, 2000)), "features")["maps"] == (
        "2000 features, the maximum of every 8 neighbours"
    )
    assert told(np.zeros((1, 5), int), "tokens")["maps"].startswith("5 tokens; ")


def test_a_log_of_signed_series_and_a_further_method(tmp_path):
    """Read back: the tags are exactly these, and the text names the colormap that is shown."""
    maps, values = np.float32([[1, 0, 2]]), np.zeros((1, 3, 1))
    sink = TensorBoardSink(tmp_path, ProbeSet(values, [0], kind="series"))
    sink.write(report(maps, signed_maps=-maps, others={"smoothgrad": maps}))
    sink.close()
    (path,) = (tmp_path / "saliency").iterdir()
    found = {
        value.tag: value.tensor.string_val
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }
    assert found.keys() == {
        "saliency/configuration",
        "saliency/contact_sheet",
        "saliency/contact_sheet/smoothgrad",
        "saliency/filmstrip",
        "saliency/filmstrip/smoothgrad",
        "saliency_probe/000 class 0",
        "saliency_log/probes",
        "saliency_log/reports",
        "saliency_log/maps/saliency",
        "saliency_log/maps/smoothgrad",
        "custom_scalars__config__",
    }
    (text,) = found["saliency/configuration"]
    assert "| colormap, scale | RdBu_r, epoch (maximum); unsigned means: hot |" in text.decode()
    assert "| maps | 3 steps, enlarged 64 times |" in text.decode()
    content = found["saliency_probe/000 class 0"][2]
    picture = np.asarray(Image.open(io.BytesIO(content)))
    heat = panels(picture, 96, 192)[2]
    assert [tuple(heat[0, x].tolist()) for x in (64, 128)] == [WHITE, BLUE]


# ---------------------------------------------------------------- names of features


def test_bars_have_the_names_of_their_features():
    """A name that is too long is cut off, its value is not."""
    values = np.array([[0.5, 123.25], [1.0, 100.0]])
    names = ["age", "a name that is much too long for its place"]
    probes = ProbeSet(values, [0, 0], kind="features", feature_names=names)
    drawer = renderer(probes, np.arange(2), PANEL)
    assert drawer.ink.shape == (2, 2 * LINE, 176 + 136)
    first = layouts.coverage("age: 0.5", 176)
    np.testing.assert_array_equal(drawer.ink[0, :LINE, : first.shape[1]], first)
    assert not drawer.ink[0, :LINE, first.shape[1] : 176].any()
    tails = [
        line[:, : np.flatnonzero(line.any(axis=0))[-1] + 1][:, -25:]
        for line in (drawer.ink[0, LINE:, :176], layouts.coverage("...: 123.2", 176))
    ]
    np.testing.assert_array_equal(*tails)
    bar = np.zeros((2 * LINE, 136), bool)  # of the larger value of the second column
    bar[LINE + 1 :, :134] = True
    bar[LINE + 2 : -1, 1:133] = False
    np.testing.assert_array_equal(drawer.ink[0, :, 176:], 255 * bar)
    heat = drawer.heat(
        np.array([[1.0, 0.5]]), limits=np.array([1.0]), colormap="gray", signed=False
    )
    bars = (heat[0, 5::LINE, 176:] != PAPER).any(axis=-1)
    assert bars.sum(axis=1).tolist() == [134, 67]


def test_a_box_is_a_light_line_in_a_dark_one():
    """A box of 2 x 1 pixels in an image of 4 x 5 that is drawn at twice the size."""
    picture = np.full((8, 10, 3), 100, np.uint8)
    drawn = drawings.with_box(picture, np.array([1.0, 1, 3, 2]), (4, 5))
    expected = np.full((8, 10), 100, np.uint8)
    expected[1:5, 1:7] = drawings.DARK_INK
    expected[2:4, 2:6] = drawings.LIGHT_INK
    np.testing.assert_array_equal(drawn, np.stack([expected] * 3, axis=-1))
    assert (picture == 100).all()
    assert drawings.with_box(picture, None, (4, 5)) is picture


def test_a_box_of_the_whole_image_and_a_box_below_a_pixel():
    picture = np.zeros((4, 6, 3), np.uint8)
    whole = drawings.with_box(picture, np.array([0.0, 0, 12, 8]), (8, 12))[..., 0]
    expected = np.full((4, 6), drawings.LIGHT_INK)
    expected[1:-1, 1:-1] = 0
    np.testing.assert_array_equal(whole, expected)
    tiny = drawings.with_box(picture, np.array([11.9, 7.9, 12, 8]), (8, 12))[..., 0]
    assert np.argwhere(tiny == drawings.LIGHT_INK).tolist() == [[3, 5]]
