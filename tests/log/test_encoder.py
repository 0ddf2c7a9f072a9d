"""The header of the probes: what a reader needs to know of codes and colours is in it."""

import json

import numpy as np

import keras_saliency as ks
from keras_saliency.log import tags
from keras_saliency.log.blobs import unpacked
from keras_saliency.log.reader import read_blobs
from keras_saliency.rendering.drawings import inked
from keras_saliency.rendering.heatmaps import colorize
from support.logs import images, report, written


def test_the_header_says_what_codes_stand_for_and_in_which_colours_they_are_drawn(tmp_path):
    maps = np.array([[[0.0, 0.5], [1.0, np.nan]]], np.float32)
    written(tmp_path, ks.ProbeSet(images(1, 2, 2), [0]), report(maps))
    kept = read_blobs(tmp_path)["saliency"]
    header = json.loads(kept[tags.PROBES][0][1][0])
    _, arrays = unpacked(kept[tags.maps_tag("saliency")][0][1])
    levels = header["levels"]
    assert arrays["maps"].tolist() == [[[0, levels / 2], [levels, header["not_finite"]]]]
    for digits in header["colormaps"].values():
        assert len(bytes.fromhex(digits)) == 3 * (levels + 1)
    drawn = colorize(maps, limits=np.array([1.0]))
    assert bytes.fromhex(header["not_finite_color"]) == drawn[0, 1, 1].tobytes()


def test_the_header_says_how_ink_is_drawn(tmp_path):
    probes = ks.ProbeSet(images(1, 20, 2)[..., 0], [0], kind="series")
    written(tmp_path, probes, report(np.ones((1, 20), np.float32)))
    header, arrays = unpacked(read_blobs(tmp_path)["saliency"][tags.PROBES][0][1])
    grounds = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1).repeat(3, axis=3)
    drawn = inked(grounds, np.full((2, 1, 1), 255, np.uint8))
    levels = header["ink_levels"]
    assert drawn[:, 0, 0].tolist() == [[levels["light"]] * 3, [levels["dark"]] * 3]
    ink, picture = arrays["ink"][0], arrays["pictures"][0]
    assert set(np.unique(picture[ink == 255])) == {levels["light"]}
    assert levels["ground"] in picture[ink == 0]


def test_codes_are_not_clipped_but_the_header_has_the_percentile(tmp_path):
    """Of 400 values, the largest is 1000 and the 99th percentile 396; of 1, 2 and 3, it is 3."""
    ramp = np.random.default_rng(0).permutation(np.append(np.arange(399), 1000))
    sparse = np.append(np.zeros(397), [1, 2, 3])
    maps = np.stack([ramp, sparse]).reshape(2, 20, 20).astype(np.float32)
    for percentile, clip, ends in (
        (99, "99th percentile", [396, 3]),
        (50, "50th percentile", [200, 2]),
        (100, None, [1000, 3]),
    ):
        probes = ks.ProbeSet(images(2, 20, 20), [0, 1])
        settings = ks.Pictures(clip_percentile=percentile)
        path = tmp_path / str(percentile)
        written(path, probes, report(maps), pictures=settings)
        kept = read_blobs(path)["saliency"]
        header = json.loads(kept[tags.PROBES][0][1][0])
        assert header["clip"] == clip
        method = json.loads(kept[tags.REPORTS][0][1][0])["methods"]["saliency"]
        assert method["limits"] == method["peaks"] == [1000, 3]
        assert method["clip_limits"] == ends
        _, arrays = unpacked(kept[tags.maps_tag("saliency")][0][1])
        np.testing.assert_array_equal(arrays["maps"][0].ravel(), np.rint(ramp * 252 / 1000))


def test_series_have_no_percentile(tmp_path):
    maps = np.append(np.arange(399), 1000).reshape(1, 400).astype(np.float32)
    probes = ks.ProbeSet(np.zeros((1, 400, 1)), [0], kind="series")
    written(tmp_path, probes, report(maps))
    kept = read_blobs(tmp_path)["saliency"]
    assert json.loads(kept[tags.PROBES][0][1][0])["clip"] is None
    method = json.loads(kept[tags.REPORTS][0][1][0])["methods"]["saliency"]
    assert method["clip_limits"] == method["limits"]


def test_a_region_of_some_channels_has_the_shape_of_a_map(tmp_path):
    series, region = images(3, 8, 2)[..., 0], np.zeros((8, 2), bool)
    region[2:4, 1] = True
    probes = ks.ProbeSet(series, [0, 1, 0], kind="series", regions={"place": region})
    log = written(tmp_path, probes, report(series[..., 0]))
    np.testing.assert_array_equal(log.probes.regions["place"], [region.any(axis=1)])
