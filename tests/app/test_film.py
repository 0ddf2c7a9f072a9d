"""Animations and filmstrips of a log, against the overlays drawn from its maps."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import keras_saliency as ks
from keras_saliency import Pictures
from keras_saliency.app.film import animation, caption, filmstrip, save_animation
from keras_saliency.rendering.heatmaps import colorize, displayed, overlay
from keras_saliency.tensorboard.pictures import PictureWriter
from support.logs import images, report, written

MAPS = np.float32([[[[0, 1], [2, 4]], [[1, 0], [0, 0]]], [[[8, 0], [0, 0]], [[0, 0], [2, 0]]]])
"""Of two evaluations and two probes, 2 x 2 pixels; multiples of their limits' 252nds."""


@pytest.fixture
def probes():
    return ks.ProbeSet(images(2, 2, 2), [0, 1], class_names=["cat", "dog"], names=["a", "b"])


@pytest.fixture
def log(tmp_path, probes):
    first = report(MAPS[0], step=-1)  # of both, 0 is predicted
    second = report(MAPS[1], step=0, others={"other": MAPS[0]})
    targets = probes.targets
    return written(
        tmp_path, probes, *(dataclasses.replace(r, targets=targets) for r in (first, second))
    )


def shown(probes, maps, ends):
    return overlay(displayed(probes.images), maps, limits=np.array(ends, float))


@pytest.mark.parametrize(
    ("scale", "ends"),
    [
        ("epoch", [[4, 1], [8, 2]]),
        ("probe", [[8, 2], [8, 2]]),
        ("shared", [[8, 8], [8, 8]]),
    ],
)
def test_an_animation_is_the_overlays_enlarged(scale, ends, log, probes):
    frames = animation(log, "b", scale=scale)
    assert len(frames) == 2
    for frame, maps, own in zip(frames, MAPS, ends, strict=True):
        expected = shown(probes, maps, own)[1].repeat(112, axis=0).repeat(112, axis=1)
        np.testing.assert_array_equal(frame[:224, :224], expected)
    assert frames[0].shape == frames[1].shape


def test_a_wrong_prediction_is_in_the_warning_colour(log):
    wrong, right = animation(log, "b")[0], animation(log, "a")[0]
    assert (wrong == (255, 120, 100)).all(axis=-1).any()
    assert not (right == (255, 120, 100)).all(axis=-1).any()


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_saved_animation_has_every_evaluation_and_plays_on(suffix, log, tmp_path):
    frames = animation(log, "a")
    path = tmp_path / f"a{suffix}"
    save_animation(frames, path)
    with Image.open(path) as film:
        assert film.n_frames == 2
        assert film.info["loop"] == 0
        for number, frame in enumerate(frames):
            film.seek(number)
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - frame).max() <= (0 if suffix == ".png" else 8)
            assert film.info["duration"] == (2000 if number else 400)


def test_another_file_is_refused(log, tmp_path):
    with pytest.raises(ValueError, match="out: expected a .png or .gif file"):
        save_animation(animation(log, "a"), tmp_path / "a.mp4")


def test_a_filmstrip_shows_the_inputs_then_every_evaluation(log, probes):
    strip = filmstrip(log, ["b", "a"])
    cells = strip[19:, -3 * 64 - 2 * 4 :]
    for row, probe in enumerate([1, 0]):
        columns = [displayed(probes.images), *(shown(probes, m, m.max((1, 2))) for m in MAPS)]
        for column, pictures in enumerate(columns):
            found = cells[row * 68 :][:64, column * 68 :][:, :64]
            expected = pictures[probe].repeat(32, axis=0).repeat(32, axis=1)
            np.testing.assert_array_equal(found, expected)


def test_maps_smaller_than_their_pictures_are_stretched(tmp_path):
    probes = ks.ProbeSet(images(1, 4, 4), [0])
    maps = np.kron(np.float32([[[1, 2], [0, 4]]]), np.ones((2, 2), np.float32))
    log = written(tmp_path, probes, report(maps), pictures=ks.Pictures(map_size=2))
    assert log.reports[0].maps.shape == (1, 2, 2)
    frame = animation(log, "000 class 0")[0][:224, :224]
    expected = overlay(displayed(probes.images), maps, limits=np.array([4.0]))[0]
    np.testing.assert_array_equal(frame, expected.repeat(56, axis=0).repeat(56, axis=1))


def test_a_series_is_drawn_at_its_places(tmp_path):
    probes = ks.ProbeSet(np.zeros((1, 3, 1)), [0], kind="series")
    maps = np.float32([[0, 126, 252]])
    log = written(tmp_path, probes, report(maps))
    frame = animation(log, "000 class 0")[0][: log.probes.pictures.shape[1]]
    end = colorize(np.ones((1, 1, 1)), limits=np.ones(1))[0, 0, 0]
    third = frame.shape[1] // 3
    np.testing.assert_array_equal(frame[5, -third + 5], end)
    assert not (frame[:, :third] == end).all(axis=-1).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"probe": "c"}, "probe: expected one of 'a', 'b', received 'c'"),
        ({"method": "lime"}, "method: .*'lime'"),
        ({"scale": "log"}, "scale: .*'log'"),
        ({"colormap": "hut"}, "colormap: .*'hut'"),
    ],
)
def test_a_bad_argument_is_named(arguments, said, log):
    with pytest.raises(ValueError, match=said):
        animation(log, **({"probe": "a"} | arguments))


def test_a_further_method_that_an_evaluation_lacks_is_named(log):
    with pytest.raises(ValueError, match="method: .*'other'"):
        animation(log, "a", method="other")


def test_signed_maps_are_drawn_in_a_diverging_colormap(tmp_path):
    probes = ks.ProbeSet(images(1, 2, 2), [0], names=["a"])
    maps = np.float32([[[-4, 0], [2, 4]]])
    log = written(tmp_path, probes, report(maps, signed_maps=maps))
    (frame,) = animation(log, "a")
    expected = overlay(
        displayed(probes.images), maps, limits=np.array([4.0]), colormap="RdBu_r", signed=True
    )[0]
    enlarged = expected.repeat(112, axis=0).repeat(112, axis=1)
    np.testing.assert_array_equal(frame[:224, :224], enlarged)
    cell = filmstrip(log, ["a"])[19:, -64:]
    np.testing.assert_array_equal(cell, expected.repeat(32, axis=0).repeat(32, axis=1))


def test_words_stay_readable_on_the_brightest_colour(tmp_path):
    """Of each probe where its own words stand, as the stock pictures draw them."""
    probes = ks.ProbeSet(
        np.array([[5, 6, 7], [777, 8, 9]]), [0, 0], kind="tokens", names=["a", "b"]
    )
    maps = np.float32([[0, 1, 0], [2, 0, 0]])
    log = written(tmp_path, probes, report(maps))
    pictures = log.probes.pictures
    for index, name in enumerate("ab"):
        (frame,) = animation(log, name)
        frame = frame[: pictures.shape[1], : pictures.shape[2]]
        place = log.probes.places[index] == maps[index].argmax()
        ink = log.probes.ink[index]
        white = (frame[place & (ink == 0)] == 255).all(axis=-1)
        assert white.all()  # the end of the colormap
        assert (frame[place & (ink == 255)] == 16).all()  # dark words on it
        elsewhere = (log.probes.places[index] >= 0) & ~place
        assert (frame[elsewhere & (ink == 255)] == 240).all()  # light ones where the map is 0


def test_captions_say_when_and_what_maps_say_for_themselves(tmp_path):
    probes = ks.ProbeSet(images(1, 2, 2), [0], class_names=["cat"], names=["a"])
    zero = np.zeros((1, 2, 2), np.float32)
    log = written(tmp_path, probes, report(zero, step=-1), report(zero + 1, step=0))
    assert [[line.text for line in caption(log, one, 0)] for one in log.reports] == [
        ["before training", "target cat", "predicts 1.00 cat", "zero map"],
        ["epoch 0", "target cat", "predicts 1.00 cat", "constant map"],
    ]


def test_without_classes_no_class_is_explained(tmp_path):
    """Of a regression: its probes have names, and the model a score."""
    probes = ks.ProbeSet(images(1, 2, 2), names=["a"])
    found = dataclasses.replace(report(images(1, 2, 2)[..., 0]), predictions=np.full(1, -1))
    log = written(tmp_path, probes, found)
    assert [line.text for line in caption(log, log.reports[0], 0)] == ["epoch 0", ""]
    writer = PictureWriter(probes, Pictures("epoch", "hot"))
    assert [line.text for line in writer._caption(found, 0)][:2] == ["a", "score 1"]


def test_without_labels_no_prediction_is_wrong(tmp_path):
    """A prediction that moves away from the first one is told, and is no mistake."""
    maps = images(1, 2, 2)[..., 0]
    for targets, first in (([0], "target cat"), (None, "explained: cat")):
        probes = ks.ProbeSet(images(1, 2, 2), targets, class_names=["cat", "dog"], names=["a"])
        moved = dataclasses.replace(report(maps), predictions=np.ones(1, int))
        log = written(tmp_path / first, probes, moved)
        _, explained, predicted, _ = caption(log, log.reports[0], 0)
        assert explained.text == first
        assert predicted.text == "predicts 1.00 dog"
        assert predicted.wrong == (targets is not None)
        (line,) = (
            line
            for line in PictureWriter(probes, Pictures("epoch", "hot"))._caption(moved, 0)
            if "dog" in line.text
        )
        assert line.wrong == (targets is not None)


@pytest.mark.parametrize(
    ("settings", "ends"),
    [
        ({"scale": "epoch"}, (198, 99)),
        ({"scale": "probe"}, (198, 198)),
        ({"scale": "epoch", "clip_percentile": 100}, (252, 126)),
        ({"scale": "shared", "clip_percentile": 50}, (100, 100)),
    ],
)
def test_films_and_filmstrips_are_clipped(settings, ends, tmp_path):
    """Of the values 0, 0, 1, 1, ... 199 and 252, and of half of them, as codes exactly."""
    values = np.random.default_rng(0).permutation(np.append(np.arange(399) // 2, 252))
    maps = np.float32([values, values / 2]).reshape(2, 1, 20, 20)
    probes = ks.ProbeSet(images(1, 20, 20), [0], names=["a"])
    log = written(tmp_path, probes, *(report(one, step) for step, one in enumerate(maps)))
    frames = animation(log, "a", **settings)
    strip = filmstrip(log, ["a"], **settings)
    for step, end in enumerate(ends):
        expected = shown(probes, maps[step], [end])[0]
        np.testing.assert_array_equal(frames[step][:240:12, :240:12], expected)
        cell = strip[19:, strip.shape[1] + (step - 2) * 84 + 4 :][:80:4, :80:4]
        np.testing.assert_array_equal(cell, expected)


def test_each_of_several_inputs_is_drawn_as_if_it_were_the_only_one(tmp_path):
    table = images(2, 1, 6)[:, 0, :, 0]
    alone = ks.ProbeSet(table, [0, 1], kind="features")
    both = ks.ProbeSet(images(2, 4, 4), [0, 1], input_name="picture", other_inputs={"table": alone})
    own = [report(table * step, step) for step in (1, 2)]
    all_inputs = [report(images(2, 4, 4)[..., 0], r.step, other_inputs={"table": r}) for r in own]
    log = written(tmp_path / "both", both, *all_inputs)
    only = written(tmp_path / "alone", alone, *own)
    (name, _) = only.probes.names
    found = animation(log, name, input_name="table")
    np.testing.assert_array_equal(found, animation(only, name))
    strip = filmstrip(log, [name], input_name="table")
    np.testing.assert_array_equal(strip, filmstrip(only, [name]))
    assert animation(log, name, input_name="picture")[0].shape != found[0].shape
    with pytest.raises(ValueError, match="one of 'picture', 'table', received 'scan'"):
        filmstrip(log, [name], input_name="scan")


@pytest.mark.parametrize("scale", ["epoch", "probe", "shared"])
def test_maps_of_one_value_share_a_scale(scale, tmp_path):
    one_pixel = ks.ProbeSet(np.zeros((2, 1, 1, 1)), [0, 1], names=["a", "b"])
    maps = np.float32([[1, 2], [3, 6]])[..., None, None]
    log = written(tmp_path, one_pixel, *(report(m, step=s) for s, m in enumerate(maps)))
    frames = animation(log, "a", scale=scale)
    for frame, own in zip(frames, maps, strict=True):
        expected = shown(one_pixel, own, [6, 6])[0]
        np.testing.assert_array_equal(frame[:224, :224], np.broadcast_to(expected, (224, 224, 3)))
