"""What `SaliencyCallback` and `TensorBoardSink` write, read back by `read_log`."""

import dataclasses
import json
import math
import shutil
import subprocess
import sys

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.data.reports import Effect, InterventionResults, Verdict, Window
from keras_saliency.log import tags
from keras_saliency.log.blobs import packed
from keras_saliency.log.reader import read_blobs, read_log
from keras_saliency.rendering.heatmaps import colorize, displayed
from keras_saliency.tensorboard.runs import read_contents
from support.events import write_blobs
from support.logs import images, report, written
from support.networks import fit, network, probes
from support.planted import linear, tagged_probes, train


def assert_alike(read, kept, error):
    """Maps are alike to within an error, as a share of each map's largest size."""
    ends = np.abs(kept).max(axis=tuple(range(1, kept.ndim)), keepdims=True)
    assert (np.abs(read - kept) <= error * ends * (1 + 1e-5)).all()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The log of a training of two epochs; tests that change one copy it."""
    log_dir = tmp_path_factory.mktemp("trained")
    fit([ks.SaliencyCallback(probes(), log_dir=log_dir, verbose=0)])
    return log_dir


@pytest.mark.slow
def test_a_training_is_read_back(tmp_path):
    saliency = ks.SaliencyCallback(
        probes(), log_dir=tmp_path, method=["gradient", "smoothgrad"], verbose=0
    )
    seen = {}
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.setdefault(saliency.report.step, saliency.report),
        on_epoch_end=lambda epoch, logs: seen.setdefault(epoch, saliency.report),
    )
    fit([saliency, look])
    assert list(read_log(tmp_path)) == ["saliency"]
    log = read_log(tmp_path)["saliency"]
    assert (log.run, log.unit, log.problems) == ("saliency", "epoch", ())
    assert log.configuration["method"] == "gradient, smoothgrad"
    assert [one.step for one in log.reports] == list(seen) == [-1, 0, 1]
    for read, kept in zip(log.reports, seen.values(), strict=True):
        assert read.method == "gradient"
        assert_alike(read.maps, kept.maps, 1 / 504)
        assert list(read.others) == ["smoothgrad"]
        assert_alike(read.others["smoothgrad"], kept.others["smoothgrad"], 1 / 504)
        for name in ("targets", "predictions", "confidences", "scores", "gradient_norms"):
            np.testing.assert_array_equal(getattr(read, name), getattr(kept, name))
            assert getattr(read, name).dtype.kind == getattr(kept, name).dtype.kind
        assert read.metrics.keys() == kept.metrics.keys()
        np.testing.assert_array_equal(list(read.metrics.values()), list(kept.metrics.values()))


def test_the_probes_are_read_back(tmp_path):
    values = images(3, 6, 9, 3)
    masks = values[..., 0] > 0.5
    corner = np.zeros((6, 9), bool)
    corner[:2, :3] = True
    given = ks.ProbeSet(
        values,
        [1, 0, 1],
        masks=masks,
        regions={"corner": corner, "own": ~masks},
        groups=["a", "b", "a"],
        class_names=["cat", "dog"],
    )
    read = written(tmp_path, given, report(values[..., 0])).probes
    assert read.names == given.names == ("000 dog", "001 cat", "002 dog")
    assert read.targets.tolist() == [1, 0, 1]
    assert read.class_names == ("cat", "dog")
    assert read.groups == ("a", "b", "a")
    assert (read.kind, read.shape, read.fingerprint) == ("image", (6, 9), given.fingerprint)
    np.testing.assert_array_equal(read.pictures, displayed(values))
    np.testing.assert_array_equal(read.masks, masks)
    assert list(read.regions) == ["corner", "own"]
    np.testing.assert_array_equal(read.regions["own"], ~masks)
    assert (read.regions["corner"] == corner).all()
    assert read.places is None


def test_a_region_that_is_one_for_all_is_kept_once(tmp_path):
    corner = np.zeros((4, 4), bool)
    corner[0, 0] = True
    given = ks.ProbeSet(images(5, 4, 4), [0] * 5, regions={"corner": corner})
    read = written(tmp_path, given, report(images(5, 4, 4)[..., 0])).probes
    assert read.regions["corner"].shape == (1, 4, 4)


def test_large_maps_are_block_means_and_masks_follow_the_majority(tmp_path):
    """8 x 8 maps at a `map_size` of 4: means of 2 x 2."""
    values = images(2, 8, 8)
    masks = np.zeros((2, 8, 8), bool)
    masks[:, :4, :3] = True  # the second column of blocks is half covered: counts as inside
    masks[:, 6, 6] = True  # a quarter: does not
    log = written(
        tmp_path,
        ks.ProbeSet(values, [0, 0], masks=masks),
        report(values[..., 0]),
        pictures=ks.Pictures(map_size=4),
    )
    means = values[..., 0].reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
    assert log.reports[0].maps.shape == (2, 4, 4)
    assert_alike(log.reports[0].maps, means, 1 / 504)
    expected = np.zeros((2, 4, 4), bool)
    expected[:, :2, :2] = True
    np.testing.assert_array_equal(log.probes.masks, expected)
    assert log.probes.shape == (8, 8)
    assert log.probes.pictures.shape == (2, 8, 8, 3)


def test_thumbnails_are_block_means_with_the_maps_own_limit(tmp_path):
    """Read from the blobs themselves: 80 pixels become 40."""
    from keras_saliency.log.blobs import unpacked, values

    maps = images(2, 80, 80)[..., 0]
    written(tmp_path, ks.ProbeSet(images(2, 80, 80), [0, 0]), report(maps))
    blobs = read_blobs(tmp_path)["saliency"]
    _, arrays = unpacked(blobs["saliency_log/maps/saliency"][0][1])
    ends = maps.max(axis=(1, 2))
    small = values(arrays["thumbnails"], limits=ends)
    means = maps.reshape(2, 40, 2, 40, 2).mean(axis=(2, 4))
    assert np.abs(small - means).max() <= ends.max() / 504 * (1 + 1e-5)


def test_signed_maps_keep_their_signs(tmp_path):
    maps = np.float32([[[-2, 1], [0, 0.5]], [[0, 0], [0, 0]]])
    log = written(
        tmp_path,
        ks.ProbeSet(images(2, 2, 2), [0, 0]),
        report(maps, signed_maps=maps, others={"occlusion": -maps}, method="sums"),
    )
    (read,) = log.reports
    assert_alike(read.signed_maps, maps, 1 / 252)
    assert_alike(read.maps, np.abs(maps), 1 / 252)
    assert_alike(read.others["occlusion"], -maps, 1 / 252)
    assert read.method == "sums"


def test_what_is_not_a_number_is_nan_again(tmp_path):
    maps = np.float32([[[np.nan, np.nan]], [[1, 2]]])
    log = written(
        tmp_path,
        ks.ProbeSet(images(2, 1, 2), [0, 0]),
        report(
            maps,
            metrics={"gini": math.nan, "entropy": 0.5},
            confidences=np.float32([math.nan, 1]),
        ),
    )
    (read,) = log.reports
    assert np.isnan(read.maps[0]).all()
    assert read.maps[1].tolist() == [[1, 2]]
    assert math.isnan(read.metrics["gini"])
    assert read.metrics["entropy"] == 0.5
    assert np.isnan(read.confidences).tolist() == [True, False]


@pytest.mark.parametrize(
    ("kind", "shape", "map_shape"),
    [
        ("series", (3, 20, 2), (3, 20)),
        ("series", (2, 1, 1), (2, 1)),
        ("volume", (3, 5, 6, 7, 1), (3, 5, 6, 7)),
        ("features", (3, 4), (3, 4)),
        ("features", (3, 60), (3, 60)),
        ("features", (2, 1), (2, 1)),
        ("tokens", (3, 12), (3, 12)),
    ],
)
def test_maps_of_other_kinds_keep_their_shape(kind, shape, map_shape, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, shape) if kind == "tokens" else rng.random(shape)
    maps = rng.random(map_shape).astype(np.float32)
    log = written(tmp_path, ks.ProbeSet(values, [0] * len(maps), kind=kind), report(maps))
    assert log.reports[0].maps.shape == map_shape
    assert_alike(log.reports[0].maps, maps, 1 / 504)
    places = log.probes.places
    assert places.dtype == np.int32
    assert len(places) == (len(maps) if kind == "tokens" else 1)
    assert places.shape[1:] == log.probes.pictures.shape[1:3]
    assert places.max() < np.prod(map_shape[1:])


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("series", (2, 20, 2)),
        ("series", (2, 700, 2)),
        ("volume", (2, 5, 6, 7, 1)),
        ("volume", (2, 12, 6, 7, 1)),
        ("features", (2, 60)),
    ],
)
def test_places_are_where_the_stock_pictures_show_the_map(kind, shape):
    """Against the drawing of the map itself, in gray."""
    from keras_saliency.rendering.renderers import PANEL, renderer

    rng = np.random.default_rng(0)
    given = ks.ProbeSet(rng.random(shape), [0, 0], kind=kind)
    drawn = renderer(given, np.arange(2), PANEL)
    axes = shape[1:-1] if kind != "features" else shape[1:]
    reduced = drawn.reduced(rng.random((2, *axes)).astype(np.float32))
    ends = np.ones(2)
    heat = drawn.heat(reduced, limits=ends, colormap="gray", signed=False)
    shown = drawn.shown(reduced)
    levels = colorize(shown, limits=ends, colormap="gray")[..., 0].reshape(2, -1)
    places = drawn.places[0]
    inside = places >= 0
    np.testing.assert_array_equal(heat[:, inside, 0], levels[:, places[inside]])
    assert (heat[:, ~inside] == 24).all()  # the background
    assert set(places[inside]) == set(range(levels.shape[1]))


def test_places_of_tokens_are_where_their_words_stand():
    from keras_saliency.rendering.renderers import PANEL, renderer

    given = ks.ProbeSet(np.array([[5, 6, 7], [7, 7, 7]]), [0, 0], kind="tokens")
    drawn = renderer(given, np.arange(2), PANEL)
    maps = np.float32([[0, 0.5, 1], [1, 0.5, 0]])
    over = drawn.over(maps, limits=np.ones(2), colormap="gray", signed=False)
    for place, color in enumerate(colorize(maps, limits=np.ones(2), colormap="gray")[0]):
        found = over[0][drawn.places[0] == place]
        assert (found == color).all(axis=1).mean() > 0.5  # the rest is ink


@pytest.mark.slow
def test_findings_and_alerts_are_read_back(tmp_path):
    """Of a network that reads a planted tag, interventions and all."""
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=tmp_path, interventions="epoch", verbose=0
    )
    train([saliency])
    log = read_log(tmp_path)["saliency"]
    kept = {alert.sentence: alert for alert in [*saliency.warnings, *saliency.alerts]}
    read = {alert.sentence: alert for one in log.reports for alert in one.alerts}
    assert read.keys() == kept.keys()
    assert read
    for sentence, alert in read.items():
        for name in (field.name for field in dataclasses.fields(alert)):
            if name != "examples":
                np.testing.assert_equal(getattr(alert, name), getattr(kept[sentence], name))
    last, seen = log.reports[-1], saliency.report
    assert [v.status for v in last.verdicts] == [v.status for v in seen.verdicts]
    for name in ("alpha", "blocked_because", "note", "passes", "unit"):
        assert getattr(last.interventions, name) == getattr(seen.interventions, name)
    for mine, theirs in zip(last.verdicts, seen.verdicts, strict=True):
        logged = dataclasses.replace(theirs.effect, examples=(), place=None)  # alerts have places
        np.testing.assert_equal(dataclasses.astuple(mine.effect), dataclasses.astuple(logged))
        np.testing.assert_equal(
            (mine.floor, mine.p_value, mine.start, mine.reason, mine.active),
            (theirs.floor, theirs.p_value, theirs.start, theirs.reason, theirs.active),
        )


@pytest.mark.slow
def test_every_run_below_a_directory_is_read_under_tensorboards_name(tmp_path):
    for name in ("a", "a/b"):
        fit([ks.SaliencyCallback(probes(), log_dir=tmp_path / name, verbose=0)], epochs=1)
    assert list(read_log(tmp_path)) == ["a/b/saliency", "a/saliency"]
    assert list(read_log(tmp_path / "a" / "saliency")) == ["."]


def test_batches_are_told_from_epochs(tmp_path):
    fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, update_freq=2, verbose=0)], epochs=1)
    logs = read_log(tmp_path)
    assert [(run, log.unit) for run, log in logs.items()] == [
        ("saliency", "epoch"),
        ("saliency_batches", "batch"),
    ]


@pytest.mark.slow
def test_a_resumed_training_goes_on_in_the_log(tmp_path):
    model = network()
    for first, last in ((0, 2), (2, 4)):
        saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
        fit([saliency], epochs=last, initial_epoch=first, model=model)
    log = read_log(tmp_path)["saliency"]
    assert [one.step for one in log.reports] == [-1, 0, 1, 2, 3]
    assert log.problems == ()


def test_without_maps_for_the_tab_there_is_none_of_its_data(tmp_path):
    fit(
        [
            ks.SaliencyCallback(
                probes(), log_dir=tmp_path, verbose=0, pictures=ks.Pictures(map_size=None)
            )
        ],
        epochs=1,
    )
    assert read_blobs(tmp_path) == {}
    with pytest.raises(
        ValueError, match="log_dir: expected a directory with a log of SaliencyCallback"
    ):
        read_log(tmp_path)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (True, TypeError), ("8", TypeError)])
def test_a_bad_map_size_is_refused(value, error, tmp_path):
    with pytest.raises(error, match="map_size: .*no data for the SALIENCY tab"):
        ks.SaliencyCallback(probes(), pictures=ks.Pictures(map_size=value))
    with pytest.raises(error, match="map_size: .*no data for the SALIENCY tab"):
        ks.TensorBoardSink(tmp_path, probes(), pictures=ks.Pictures(map_size=value))


def test_a_log_dir_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="log_dir: expected a directory"):
        read_log(tmp_path / "missing")
    with pytest.raises(TypeError, match="log_dir: expected a path, received 3"):
        read_log(3)


@pytest.mark.slow
def test_metrics_of_tests_that_came_after_their_report_are_in_it(tmp_path):
    """A callback after ours ends the training at epoch 4, where tests were not due."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, verbose=0)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 4)
    )
    train([saliency, stop], epochs=20, model=linear(rate=0.0))
    last = read_log(tmp_path)["saliency"].reports[-1]
    assert last.step == 4
    assert last.interventions is not None
    assert "effect/border" in last.metrics
    assert last.metrics.keys() == saliency.report.metrics.keys()
    np.testing.assert_array_equal(
        [last.metrics[name] for name in saliency.report.metrics],
        list(saliency.report.metrics.values()),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", [{"compute": ks.Compute(reduction="signed")}, {"pictures": ks.Pictures(map_size=4)}]
)
def test_a_training_resumed_with_other_settings_gets_a_run_of_its_own(changed, tmp_path):
    model = network()
    first = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
    fit([first], epochs=1, model=model)
    then = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0, **changed)
    fit([then], epochs=2, initial_epoch=1, model=model)
    logs = read_log(tmp_path)
    assert {run: [one.step for one in log.reports] for run, log in logs.items()} == {
        "saliency": [-1, 0],
        "saliency_2": [0, 1],
    }


def test_of_volumes_the_slices_that_are_shown_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.random((1, 17, 4, 5)).astype(np.float32)
    given = ks.ProbeSet(rng.random((1, 17, 4, 5, 1)), [0], kind="volume")
    log = written(tmp_path, given, report(maps))
    assert_alike(log.reports[0].maps, maps[:, ::2], 1 / 500)  # 9 of 17


def test_peaks_are_those_of_the_whole_maps(tmp_path):
    maps = np.zeros((1, 8, 8), np.float32)
    maps[0, 3, 3] = 1
    written(
        tmp_path, ks.ProbeSet(images(1, 8, 8), [0]), report(maps), pictures=ks.Pictures(map_size=4)
    )
    told = header_of(tmp_path, tags.REPORTS)["methods"]["saliency"]
    assert told["limits"] == [0.25]  # a block's mean
    assert told["peaks"] == [1]


def test_defects_of_maps_are_kept(tmp_path):
    maps = np.zeros((3, 2, 2), np.float32)
    maps[1], maps[2, 0, 0] = 3, np.inf
    written(tmp_path, ks.ProbeSet(images(3, 2, 2), [0] * 3), report(maps))
    defects = header_of(tmp_path, tags.REPORTS)["methods"]["saliency"]["defects"]
    assert defects == ["zero map", "constant map", "not a number"]


def test_maps_with_infinities_of_both_signs_are_not_finite_in_their_blocks(tmp_path):
    maps = np.ones((1, 4, 4), np.float32)
    maps[0, 0, :2] = np.inf, -np.inf
    log = written(
        tmp_path,
        ks.ProbeSet(images(1, 4, 4), [0]),
        report(maps, signed_maps=maps),
        pictures=ks.Pictures(map_size=2),
    )
    expected = [[[np.nan, 1], [1, 1]]]
    np.testing.assert_array_equal(log.reports[0].signed_maps, expected)


def test_pictures_of_large_images_are_block_means(tmp_path):
    values = images(2, 300, 400)
    read = written(tmp_path, ks.ProbeSet(values, [0, 0]), report(values[..., 0])).probes
    means = displayed(values).reshape(2, 150, 2, 200, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(read.pictures, (means + 0.5).astype(np.uint8))


def test_of_one_step_written_twice_the_later_counts_whatever_its_files_name(tmp_path):
    written(tmp_path, ks.ProbeSet(images(1, 2, 2), [0]), report(images(1, 2, 2)[..., 0]))
    for suffix, time, score in (("z", 1e10, 1), ("a", 2e10, 2)):
        header = header_of(tmp_path, tags.REPORTS) | {"scores": [score]}
        blobs = packed({name: v for name, v in header.items() if name != "arrays"}, {})
        write_blobs(tmp_path / "saliency", tags.REPORTS, 0, blobs, suffix=suffix, time=time)
    assert read_log(tmp_path)["saliency"].reports[0].scores == [2]


def test_a_fault_in_what_the_tab_gets_costs_neither_training_nor_the_stock_set(tmp_path):
    odd = {"gini": tf.constant(0.5)}  # the Scalars tab takes it, JSON does not
    maps = images(1, 2, 2)[..., 0]
    sink = ks.TensorBoardSink(tmp_path, ks.ProbeSet(images(1, 2, 2), [0]))
    with pytest.warns(UserWarning, match="the SALIENCY tab gets no more data from step 0 on"):
        sink.write(report(maps, metrics=odd))
    sink.write(report(maps, step=1))
    sink.close()
    assert read_blobs(tmp_path) == {}
    assert read_contents(tmp_path / "saliency").last_step == 1


def header_of(log_dir, tag):
    """The header of the tag's first step."""
    ((_, blobs), *_) = read_blobs(log_dir)["saliency"][tag].values()
    return json.loads(blobs[0])


@pytest.mark.parametrize(
    ("blobs", "said"),
    [
        ([b"{"], "its header is not valid JSON"),
        ([b'{"format": 3, "arrays": []}'], "it was written by a newer version of keras_saliency"),
        (packed({"methods": {}}, {}), "its data has an unexpected form"),
        (
            packed({"methods": {"gradient": {"signed": 0}}}, {}),
            "its maps of 'gradient' are missing",
        ),
        ([], "its header is not valid JSON"),
    ],
)
def test_a_broken_step_is_told_and_the_others_are_read(blobs, said, tmp_path, trained):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    write_blobs(tmp_path / "saliency", tags.REPORTS, 7, blobs)
    log = read_log(tmp_path)["saliency"]
    assert [one.step for one in log.reports] == [-1, 0, 1]
    (problem,) = log.problems
    assert problem.startswith(f"saliency, step 7: {said}")


def test_a_run_without_readable_probes_is_left_out_if_others_can_be_read(tmp_path, trained):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    write_blobs(tmp_path / "broken", tags.PROBES, 0, [b"{}"])
    assert list(read_log(tmp_path)) == ["saliency"]
    shutil.rmtree(tmp_path / "saliency")
    with pytest.raises(ValueError, match="broken: its header has no format"):
        read_log(tmp_path)


def test_the_colours_of_the_tab_are_matplotlibs(tmp_path):
    from keras_saliency.log.blobs import unpacked

    written(
        tmp_path,
        ks.ProbeSet(images(1, 2, 2), [0]),
        report(images(1, 2, 2)[..., 0]),
        pictures=ks.Pictures(colormap="cividis"),
    )
    header, _ = unpacked(read_blobs(tmp_path)["saliency"][tags.PROBES][0][1])
    assert header["colormap"] == "cividis"
    assert header["diverging"] == "RdBu_r"
    assert {"cividis", "hot", "inferno", "viridis", "RdBu_r"} <= header["colormaps"].keys()
    for name, text in header["colormaps"].items():
        table = matplotlib.colormaps[name].resampled(253)(np.arange(253), bytes=True)
        assert bytes.fromhex(text) == table[:, :3].tobytes()


@pytest.mark.gate
@pytest.mark.slow
def test_a_log_read_in_another_process_says_the_same(trained):
    """Nothing of the process that wrote it is needed."""
    code = (
        "import sys, keras_saliency as ks\n"
        "log = ks.read_log(sys.argv[1])['saliency']\n"
        "print(log.reports[-1].maps.sum())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, trained], capture_output=True, text=True, check=True
    )
    here = read_log(trained)["saliency"].reports[-1].maps.sum()
    assert float(ran.stdout) == pytest.approx(float(here))


def test_a_window_that_the_maps_proposed_is_read_back_by_the_names_of_its_sides(tmp_path):
    window = Window(top=1, left=2, height=3, width=4)
    effect = Effect("hot_window", effect=0.5, window=window)
    verdict = Verdict(effect, 0.2, 0.01, math.nan, "quiet", "", False)
    found = InterventionResults((effect,), "", "accuracy", 8, "")
    maps = images(2, 8, 8)[..., 0]
    kept = report(maps, interventions=found, verdicts=(verdict,))
    log = written(tmp_path, ks.ProbeSet(images(2, 8, 8), [0, 1]), kept)
    read = log.reports[0].interventions.effects[0]
    assert (read.window.top, read.window.left) == (1, 2)
    assert (read.window.height, read.window.width) == (3, 4)
    assert (read.effect, log.reports[0].verdicts[0].p_value) == (0.5, 0.01)
