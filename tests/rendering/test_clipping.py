"""Where colours end, in words, and in the pictures of each kind of input."""

import matplotlib
import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.data.probes import ProbeSet
from keras_saliency.rendering.clipping import check_percentile, end_of_colors, percentile_name
from keras_saliency.rendering.settings import Pictures
from keras_saliency.tensorboard.pictures import PictureWriter
from support.logs import report

RAMP = np.random.default_rng(0).permutation(np.append(np.arange(399), 4000)).astype(np.float32)
"""The 99th percentile is 396, the maximum 4000."""


def test_names_of_percentiles():
    names = {1: "1st", 2: "2nd", 3: "3rd", 11: "11th", 12: "12th", 13: "13th", 21: "21st"}
    names |= {93: "93rd", 95: "95th", 99: "99th", 99.9: "99.9th", 99.1: "99.1th", 0.5: "0.5th"}
    for percentile, name in names.items():
        assert percentile_name(percentile) == f"{name} percentile"
    assert percentile_name(100) == percentile_name(100.0) == "maximum"


def test_captions_name_the_end_of_colours():
    assert end_of_colors(0.2123, 0.83, "epoch", 99) == "colours end at 0.212 (99th percentile)"
    assert end_of_colors(0.83, 0.83, "epoch", 99) == "colours end at 0.83 (maximum)"
    ends = "colours end at 2e-07 (largest 95th percentile)"
    assert end_of_colors(2e-7, 1e-7, "probe", 95) == end_of_colors(2e-7, 2e-7, "shared", 95) == ends
    assert end_of_colors(0.83, 0.83, "epoch", 100) == ""


@pytest.mark.parametrize("value", [0, -1, 100.1, np.nan, np.inf, np.float32(0)])
def test_percentiles_out_of_range(value):
    message = r"^clip_percentile: expected a number above 0, at most 100, received .*100 for"
    with pytest.raises(ValueError, match=message):
        Pictures(clip_percentile=value)


@pytest.mark.parametrize("value", ["99", None, True, [99]])
def test_percentiles_of_another_type(value):
    with pytest.raises(TypeError, match="^clip_percentile: expected a number"):
        Pictures(clip_percentile=value)


def test_percentiles_become_pythons_numbers():
    assert repr(Pictures(clip_percentile=np.int64(95))).count("clip_percentile=95,") == 1
    assert isinstance(check_percentile(np.float32(99.5)), float)
    assert ks.Pictures() == Pictures(clip_percentile=99)


def drawn(maps, kind="image", **settings):
    values = np.zeros((*maps.shape, 1) if kind != "features" else maps.shape)
    probes = ProbeSet(values, [0], kind=kind)
    writer = PictureWriter(probes, Pictures(colormap="gray", **settings))
    return writer, writer.draw(report(maps))["saliency_probe/000 class 0"]


def gray(one_map, end):
    index = np.floor(one_map.clip(0, end) / np.float32(end) * 255 + np.float32(0.5)).astype(int)
    return matplotlib.colormaps["gray"](index, bytes=True)[..., 0]


def heat_of(picture):
    """The map of 20 x 20 pixels, which is the last of three panels, enlarged 5 times."""
    return picture[:100:5, -100::5, 0]


@pytest.mark.parametrize(("settings", "end"), [({}, 396), ({"clip_percentile": 100}, 4000)])
@pytest.mark.parametrize("scale", ["epoch", "probe", "shared"])
def test_a_probes_map_ends_at_its_percentile(scale, settings, end):
    maps = RAMP.reshape(1, 20, 20)
    _, picture = drawn(maps, scale=scale, **settings)
    np.testing.assert_array_equal(heat_of(picture), gray(maps[0], end))


def test_the_caption_has_the_peak_and_the_end():
    """One line more than with the maximum; the line above, the map's peak, is the same."""
    maps = RAMP.reshape(1, 20, 20)
    _, clipped = drawn(maps)
    _, unclipped = drawn(maps, clip_percentile=100)
    assert clipped.shape[0] == unclipped.shape[0] + 15
    np.testing.assert_array_equal(clipped[100:147], unclipped[100:147])
    _, other = drawn(maps * 2)
    assert (clipped[131:146] != other[131:146]).any()
    assert (clipped[146:161] != other[146:161]).any()


def test_descriptions_name_the_percentile():
    writer, _ = drawn(RAMP.reshape(1, 20, 20))
    assert "scale `epoch` (99th percentile)" in writer.description("saliency/contact_sheet")
    assert writer.configuration()["colormap, scale"] == "gray, epoch (99th percentile)"
    writer, _ = drawn(RAMP.reshape(1, 20, 20), clip_percentile=100)
    assert "scale `epoch` (maximum)" in writer.description("saliency/filmstrip")


@pytest.mark.parametrize("kind", ["series", "features"])
def test_lines_and_bars_are_not_clipped(kind):
    """400 values: the picture is the same as with the maximum."""
    maps = RAMP.reshape(1, -1)
    _, picture = drawn(maps, kind)
    _, unclipped = drawn(maps, kind, clip_percentile=100)
    np.testing.assert_array_equal(picture, unclipped)


def test_a_filmstrip_is_clipped_in_all_rows():
    """The row of the mean map and the row of the probe; the second column is of half the size."""
    maps = RAMP.reshape(1, 20, 20)
    probes = ProbeSet(np.zeros((1, 20, 20, 1)), [0])
    for scale, shares in (("epoch", (1, 1)), ("probe", (1, 0.5))):
        writer = PictureWriter(probes, Pictures(scale, "gray"))
        writer.draw(report(maps, 0))
        strip = writer.draw(report(maps / 2, 1))["saliency/filmstrip"]
        frames = [
            strip[19 + row * 44 :][:40:2, -84 + column * 44 :][:, :40:2, 0]
            for row in range(2)
            for column in range(2)
        ]
        for frame, share in zip(frames, (1, 1, *shares), strict=True):
            np.testing.assert_array_equal(frame, gray(share * maps[0], 396))


def test_descriptions_are_as_short_as_trackers_need_them():
    """At most 127 bytes, also with the longest names."""
    maps = RAMP.reshape(1, 20, 20)
    probes = ProbeSet(np.zeros((1, 20, 20, 1)), [0])
    writer = PictureWriter(probes, Pictures("shared", "coolwarm_r", clip_percentile=99.9))
    drawn = writer.draw(report(maps, signed_maps=-maps))
    for tag in (*drawn, "saliency/clusters"):
        text = writer.description(tag)
        assert len(text.encode()) <= 127
        assert "`coolwarm_r`, `shared` (99.9th percentile), 0 in the middle" in text
