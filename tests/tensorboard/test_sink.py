import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import keras_saliency as ks
from keras_saliency.metrics.catalog import description
from keras_saliency.rendering.layouts import GAP
from keras_saliency.tensorboard.runs import Contents, read_contents
from keras_saliency.tensorboard.sink import TensorBoardSink
from keras_saliency.tensorboard.writer_thread import wait_for_writers
from support.events import events, pixels, steps
from support.logs import report, written
from support.networks import CLASSES, EVERYTHING, fit, network, probes
from support.planted import TAG, Teacher, linear, reading_the_object, tagged_probes, train
from support.programs import run_program

SCALARS = {
    f"saliency/{name}"
    for name in (
        *("gradient_norm", "confidence", "probe_accuracy", "dead_maps", "map_similarity"),
        *("similarity_to_start", "gini", "entropy", "border_enrichment"),
    )
}
NAMES = {"000 class 0", "001 class 0", "002 class 1", "003 class 1", "004 class 2", "005 class 2"}
PICTURES = {"saliency/contact_sheet", "saliency/filmstrip"} | {
    f"saliency_probe/{name}" for name in NAMES
}
TEXT = {"saliency/configuration"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A callback that saw three epochs, and its log."""
    log_dir = tmp_path_factory.mktemp("logs")
    saliency = ks.SaliencyCallback(probes(), log_dir=log_dir, compute=EVERYTHING, verbose=0)
    fit([saliency], epochs=3)
    return saliency, saliency.log_dir


def test_tags_and_steps_are_exactly_these(trained):
    saliency, log_dir = trained
    accuracies = zip(saliency.history["step"], saliency.history["probe_accuracy"], strict=True)
    tested = [step for step, accuracy in accuracies if accuracy >= 0.6]  # three classes
    expected = {tag: [-1, 0, 1, 2] for tag in SCALARS | PICTURES}
    for tag in ("saliency/map_similarity", "saliency/similarity_to_start"):
        expected[tag] = [0, 1, 2]  # undefined before there is another map
    expected["saliency/configuration"] = expected["custom_scalars__config__"] = [-1]
    made = {"border", "tint", "spectrum", "high_frequency", "own_hot_spot", "hot_window"}
    made |= {"class_hot_spot", "border/one_class", "tint/one_class"}
    for name in itertools.product(("effect", "flip", "p_value"), made):
        expected[f"saliency/{'/'.join(name)}"] = tested
    # Of images of 8 x 8 no border is thin, and these have no border of one background.
    for test in made | {"thin_border", "estimated_background"}:
        expected[f"saliency_alert/{test}"] = [-1, 0, 1, 2]
    expected["saliency/alerts"] = [-1, 0, 1, 2]
    expected["saliency_log/probes"] = [-1]
    for tag in ("reports", "findings", "maps/gradient"):
        expected[f"saliency_log/{tag}"] = [-1, 0, 1, 2]
    found = steps(log_dir / "saliency")
    # Not measured, or not in full, where few donors show nothing, or the border's own effect does.
    for name in itertools.product(("effect", "flip", "p_value"), ("border", "tint")):
        tag = f"saliency/{'/'.join(name)}/one_class"
        assert {*found.pop(tag, [])} <= {*expected.pop(tag)}
    for test in ("border", "tint"):  # aimed tests are listed where they were made
        alert = f"saliency_alert/{test}/one_class"
        assert found.pop(alert, []) == expected.pop(alert)[:0] + tested
    assert found == {tag: listed for tag, listed in expected.items() if listed}
    assert [path.name for path in log_dir.iterdir()] == ["saliency"]


def test_scalars_are_those_of_the_history(trained):
    saliency, log_dir = trained
    found = events(log_dir / "saliency")
    for tag in SCALARS:
        for step, values in zip([-1, 0, 1, 2], saliency.history[tag.split("/")[1]], strict=True):
            if not np.isnan(values):
                (tensor,) = found[tag][step]
                assert tf.make_ndarray(tensor) == np.float32(values)


def test_scalars_say_what_they_show(trained):
    _, log_dir = trained
    said = {}
    for path in (log_dir / "saliency").glob("*tfevents*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.summary_description:
                    said[value.tag] = value.metadata.summary_description
    for tag in SCALARS:
        assert said[tag] == description(tag.removeprefix("saliency/")) != ""


def test_a_picture_holds_original_overlay_and_map(trained):
    """Read back from the event file, against matplotlib's own colours of the maps."""
    import matplotlib

    saliency, log_dir = trained
    tensor = events(log_dir / "saliency")["saliency_probe/003 class 1"][2][0]
    picture = pixels(tensor)
    assert tensor.string_val[:2] == [b"296", str(picture.shape[0]).encode()]
    original, middle, heat = picture[:96, :96], picture[:96, 100:196], picture[:96, 200:]
    block = np.ones((12, 12, 1), int)  # 8 pixels, enlarged until 96 are reached
    image = np.rint(probes().images[3] * 255).repeat(3, axis=-1)
    np.testing.assert_array_equal(original, np.kron(image, block))
    found = saliency.report.maps[3]
    colors = matplotlib.colormaps["hot"](np.rint(found / found.max() * 255).astype(int), bytes=True)
    np.testing.assert_array_equal(heat, np.kron(colors[..., :3], block))
    hottest = np.unravel_index(found.argmax(), found.shape)
    corner = tuple(12 * index for index in hottest)
    assert tuple(middle[corner]) == tuple(heat[corner]) == (255, 255, 255)


def test_large_images_become_jpeg_close_to_the_map(tmp_path):
    images = np.random.default_rng(0).random((2, 120, 130, 3)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((120, 130, 3)),
            keras.layers.AveragePooling2D(10),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    sink = TensorBoardSink(tmp_path, ks.ProbeSet(images, [0, 1]))
    report = ks.SaliencyMonitor(model, ks.ProbeSet(images, [0, 1])).evaluate(0)
    sink.write(report)
    tensor = events(tmp_path / "saliency")["saliency_probe/000 class 0"][0][0]
    assert tensor.string_val[2][:2] == b"\xff\xd8"
    from keras_saliency.rendering.heatmaps import colorize

    heat = colorize(report.maps[:1], limits=report.maps[:1].max(axis=(1, 2)))[0]
    difference = np.abs(pixels(tensor)[:120, 268:].astype(int) - heat)
    assert difference.mean() < 3


@pytest.mark.slow
def test_pictures_survive_the_recording_condition_of_another_callback(tmp_path):
    other = keras.callbacks.TensorBoard(tmp_path, update_freq=7)
    fit([other, ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)], epochs=6)
    drawn = [-1, 0, 1, 3, 5]  # evaluations 0, 1, 2 and 4, and the last
    assert steps(tmp_path / "saliency")["saliency/contact_sheet"] == drawn
    assert steps(tmp_path / "saliency")["saliency/gini"] == list(range(-1, 6))
    assert not any("saliency" in tag for tag in events(tmp_path / "train"))


@pytest.mark.slow
def test_a_resumed_training_goes_on_in_the_same_run(tmp_path):
    model = network()
    fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)], model=model)
    resumed = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
    fit([resumed], epochs=4, initial_epoch=2, model=model)
    found = events(tmp_path / "saliency")["saliency/contact_sheet"]
    assert {step: len(tensors) for step, tensors in found.items()} == {-1: 1, 0: 1, 1: 1, 3: 1}
    assert [path.name for path in tmp_path.iterdir()] == ["saliency"]


@pytest.mark.slow
def test_backup_and_restore_resumes_in_the_same_runs(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("the machine went away")

    def callbacks():
        saliency = ks.SaliencyCallback(
            probes(), log_dir=tmp_path / "logs", update_freq=2, verbose=0
        )
        return [saliency, keras.callbacks.BackupAndRestore(tmp_path / "backup")]

    with pytest.raises(RuntimeError, match="went away"):
        fit([*callbacks(), Crash()], epochs=4)
    wait_for_writers()
    assert steps(tmp_path / "logs" / "saliency")["saliency/filmstrip"] == [-1, 0, 1]
    after = callbacks()
    fit(after, epochs=4)
    rows = zip(after[0].history["run"], after[0].history["step"], strict=True)
    assert [step for run, step in rows if run == "saliency"] == [1, 2, 3]
    assert steps(tmp_path / "logs" / "saliency")["saliency/filmstrip"] == [-1, 0, 1, 3]
    batches = steps(tmp_path / "logs" / "saliency_batches")["saliency/filmstrip"]
    assert batches == [2, 4, 6, 10, 12]  # of 3 in each epoch
    assert len([*(tmp_path / "logs").iterdir()]) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:saliency. two callbacks")  # of one run, to be told apart
def test_another_subject_does_not_go_on_in_a_run(tmp_path):
    model = network()
    fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)], model=model)
    others = [
        ks.SaliencyCallback(probes(), log_dir=tmp_path, method="input_x_gradient", verbose=0),
        ks.SaliencyCallback(probes(), log_dir=tmp_path, score="probability", verbose=0),
        ks.SaliencyCallback(ks.ProbeSet(probes().images[:2], [0, 1]), log_dir=tmp_path, verbose=0),
    ]
    fit(others, initial_epoch=2, epochs=3, model=model)
    assert [other.history["run"][-1] for other in others] == [
        "saliency_2",
        "saliency_3",
        "saliency_4",
    ]
    assert steps(tmp_path / "saliency")["saliency/filmstrip"] == [-1, 0, 1]
    assert steps(tmp_path / "saliency_3")["saliency/filmstrip"] == [1, 2]


@pytest.mark.slow
def test_batches_that_are_trained_on_again_get_a_run_of_their_own(tmp_path):
    for _ in range(2):
        saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, update_freq=3, verbose=0)
        fit([saliency])
    assert {path.name for path in tmp_path.iterdir()} == {
        "saliency",
        "saliency_batches",
        "saliency_2",
        "saliency_2_batches",
    }
    for run in ("saliency_batches", "saliency_2_batches"):
        assert steps(tmp_path / run)["saliency/filmstrip"] == [3, 6]


def test_the_text_tells_the_configuration_and_the_probes(tmp_path):
    chosen = ks.ProbeSet(
        probes().images[:2], [1, 0], class_names=["a|b", "dog"], groups=["day", "night"]
    )
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2, name="end")],
        name="net",
    )
    model.compile("sgd", "categorical_hinge")
    callback = ks.SaliencyCallback(chosen, log_dir=tmp_path, saliency_freq=2, verbose=0)
    model.fit(chosen.images, np.eye(2), verbose=0, callbacks=[callback])
    (tensor,) = events(tmp_path / "saliency")["saliency/configuration"][-1]
    lines = tensor.string_val[0].decode().split("\n")
    assert {
        "| method | gradient |",
        "| score | logit |",
        f"| probes | 2, {chosen.fingerprint} |",
        "| model | net |",
        "| maps | 8 x 8 pixels, enlarged 12 times |",
        "| pixel values | 0 is black, 1 is white |",
        "| 000 dog | 1 dog | day | yes |",
        "| 001 a&#124;b | 0 a&#124;b | night | yes |",
    } <= set(lines)
    assert any("the outputs, 'net/end/" in line for line in lines)


def test_a_zero_map_is_said_to_be_one(tmp_path):
    """Where the pictures of a zero map and of a live one differ, there is text."""
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    kernel = np.ones((64, 2), np.float32)
    kernel[:, 1] = 0
    model.set_weights([kernel, np.zeros(2)])
    report = ks.SaliencyMonitor(model, ks.ProbeSet(probes().images[:2], [1, 1])).evaluate(0)
    ks.TensorBoardSink(tmp_path, ks.ProbeSet(probes().images[:2], [1, 1])).write(report)
    found = events(tmp_path / "saliency")
    from keras_saliency.rendering.layouts import WRONG

    for tag in ("saliency/contact_sheet", "saliency/filmstrip", "saliency_probe/000 class 1"):
        picture = pixels(found[tag][0][0]).reshape(-1, 3)
        assert (picture == WRONG).all(axis=1).sum() > 10  # letters in the colour of a warning


def test_narrow_and_flat_images_have_room_for_their_captions(tmp_path):
    for shape in ((64, 8), (8, 64), (4, 16)):
        images = np.random.default_rng(0).random((2, *shape, 1)).astype("float32")
        model = keras.Sequential(
            [keras.Input((*shape, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
        )
        chosen = ks.ProbeSet(images, [0, 1])
        log_dir = tmp_path / str(shape)
        ks.TensorBoardSink(log_dir, chosen).write(ks.SaliencyMonitor(model, chosen).evaluate(0))
        found = events(log_dir / "saliency")
        assert pixels(found["saliency_probe/000 class 0"][0][0]).shape[1] >= 200


@pytest.mark.slow
def test_a_second_fit_from_the_start_gets_a_run_of_its_own(tmp_path):
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, update_freq=2, verbose=0)
    model = network()
    fit([saliency], model=model)
    before = events(tmp_path / "saliency")
    model.layers[0].kernel.assign(-model.layers[0].kernel)  # or it would go on from there
    fit([saliency], epochs=1, model=model)
    assert steps(tmp_path / "saliency_2_batches")["saliency/filmstrip"] == [8]
    assert events(tmp_path / "saliency").keys() == before.keys()
    assert steps(tmp_path / "saliency")["saliency/filmstrip"] == [-1, 0, 1]
    assert steps(tmp_path / "saliency_2")["saliency/filmstrip"] == [-1, 0]
    assert steps(tmp_path / "saliency_batches")["saliency/filmstrip"] == [2, 4, 6]
    rows = zip(*(saliency.history[name] for name in ("fit", "run", "step")), strict=True)
    assert [row for row in rows if "batches" not in row[1]] == [
        (1, "saliency", -1),
        (1, "saliency", 0),
        (1, "saliency", 1),
        (2, "saliency_2", -1),
        (2, "saliency_2", 0),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "anew"), [(True, False), (False, False), (False, True)])
def test_a_loop_of_fits_is_one_run_with_one_filmstrip(counts, anew, tmp_path):
    """Whether each fit is told its epoch, or begins at 0; of one callback, or of one for each."""
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path / "loop", verbose=0)
    model = network()
    for epoch in range(4):
        if anew:  # as in processes of their own
            saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path / "loop", verbose=0)
        first = epoch if counts else 0
        fit([saliency], initial_epoch=first, epochs=first + 1, model=model)
    assert saliency.history["step"][-1] == 3
    assert [path.name for path in (tmp_path / "loop").iterdir()] == ["saliency"]
    found = events(tmp_path / "loop" / "saliency")["saliency/filmstrip"]
    assert {step: len(tensors) for step, tensors in found.items()} == dict.fromkeys(range(-1, 4), 1)
    assert len(events(tmp_path / "loop" / "saliency")["saliency/configuration"][-1]) == 1
    width = [pixels(found[step][0]).shape[1] for step in range(-1, 4)]
    if not anew:
        assert set(np.diff(width)) == {32 + 4}  # each epoch adds one column, whichever fit it is of


def test_a_crash_in_fit_loses_nothing_that_was_computed(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 5:
                raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0), Crash()], epochs=9)
    wait_for_writers()
    assert steps(tmp_path / "saliency")["saliency/contact_sheet"] == [-1, 0]


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_that_was_written(tmp_path):
    program = f"""
import os
import keras
from support.networks import fit, probes
import keras_saliency as ks
kill = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: os._exit(9) if epoch else 0)
fit([ks.SaliencyCallback(probes(), log_dir={str(tmp_path)!r}, verbose=0), kill], epochs=5)
"""
    done = run_program(program)
    assert done.returncode == 9
    found = steps(tmp_path / "saliency")["saliency/contact_sheet"]
    assert found[:2] == [-1, 0]  # that of epoch 1 may have been about to be written


def test_nothing_is_created_before_training_begins(tmp_path):
    ks.SaliencyCallback(probes(), log_dir=tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []


def test_the_contents_of_a_run_are_read_from_a_log_that_a_crash_cut_off(trained, tmp_path):
    _, log_dir = trained
    assert read_contents(log_dir / "saliency").last_step == 2
    (path,) = (log_dir / "saliency").glob("*tfevents*")
    whole = path.read_bytes()
    (tmp_path / path.name).write_bytes(whole[: len(whole) // 2])
    assert read_contents(tmp_path).last_step in (-1, 0, 1)
    assert read_contents(tmp_path / "nowhere") == Contents()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"probes": np.zeros((2, 8, 8, 1))}, TypeError, "probes: expected a keras_saliency.Pro"),
        ({"run": "a/b"}, ValueError, "run: expected a directory name without .*'a/b'"),
        ({"run": ".."}, ValueError, r"run: expected a directory name without .*'\.\.'"),
        ({"run": 3}, TypeError, "run: expected a string, received 3"),
        ({"subject": "gradient"}, TypeError, "subject: expected a dict .*received 'gradient'"),
        ({"notes": {1: "a"}}, TypeError, "notes: expected a dict that maps names .*{1: 'a'}"),
    ],
)
def test_a_bad_argument_of_the_sink_is_named(arguments, error, message, tmp_path):
    with pytest.raises(error, match=message):
        TensorBoardSink(tmp_path, **({"probes": probes()} | arguments))


def test_values_of_settings_are_written_as_text(tmp_path):
    written(tmp_path, probes(), report(np.ones((6, 8, 8))), notes={"rate": 0.5}, subject={"k": 3})
    text = read_contents(tmp_path / "saliency").configuration.split("\n")
    assert {"| rate | 0.5 |", "| k | 3 |"} <= set(text)


@pytest.mark.parametrize("shape", [(5, 8, 8), (6, 8, 9), (6, 8)])
def test_a_report_about_other_probes_is_refused_before_anything_is_written(shape, tmp_path):
    sink = TensorBoardSink(tmp_path, probes())
    message = re.escape("report: expected maps of shape (6, 8, 8), as the sink's probes are ")
    with pytest.raises(
        ValueError, match=f"{message}.* received maps of shape {re.escape(str(shape))}"
    ):
        sink.write(report(np.ones(shape)))
    with pytest.raises(TypeError, match="report: expected a SaliencyReport, received ndarray"):
        sink.write(np.ones((6, 8, 8)))
    assert list(tmp_path.iterdir()) == []


def test_steps_do_not_go_back_until_close(tmp_path):
    sink = TensorBoardSink(tmp_path, probes())
    sink.write(report(np.ones((6, 8, 8)), step=3))
    with pytest.raises(ValueError, match=r"report: expected a step after 3, .* step 2\. .*close"):
        sink.write(report(np.ones((6, 8, 8)), step=2))
    sink.close()
    sink.write(report(np.ones((6, 8, 8)), step=2))
    sink.close()
    found = {name: [one.step for one in log.reports] for name, log in ks.read_log(tmp_path).items()}
    assert found == {"saliency": [3], "saliency_2": [2]}


def test_without_a_subject_reports_of_another_method_get_a_run_of_their_own(tmp_path):
    maps = np.ones((6, 8, 8))
    written(tmp_path, probes(), report(maps, step=0, method="gradient"))
    written(tmp_path, probes(), report(maps, step=1, method="smoothgrad"))
    sink = TensorBoardSink(tmp_path, probes())
    for step, method in ((2, "gradient"), (3, "smoothgrad"), (4, "smoothgrad")):
        sink.write(report(maps, step=step, method=method))
        sink.close()
    found = {name: [one.step for one in log.reports] for name, log in ks.read_log(tmp_path).items()}
    assert found == {"saliency": [0, 2], "saliency_2": [1, 3, 4]}
    assert "| method | smoothgrad |" in read_contents(tmp_path / "saliency_2").configuration.split(
        "\n"
    )


# ---------------------------------------------------------------- interventions and alerts


def caught(log_dir):
    """A fit in which the model reads the tag from epoch 1 on, so that epoch 2 alerts."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=log_dir, verbose=0)
    train([saliency, Teacher()], epochs=4, model=linear(rate=0.0))
    return saliency, events(log_dir / "saliency")


def scalars(by_step):
    return {step: float(tf.make_ndarray(tensor)) for step, (tensor,) in by_step.items()}


@pytest.mark.slow
def test_a_rule_s_curve_is_0_and_then_1(tmp_path):
    saliency, found = caught(tmp_path)
    assert scalars(found["saliency_alert/region/tag"]) == {-1: 0, 0: 0, 1: 0, 2: 1, 3: 1}
    tests = {effect.test for effect in saliency.effects[-1][1]}
    assert {tag for tag in found if tag.startswith("saliency_alert/")} == {
        f"saliency_alert/{test}" for test in tests
    }
    assert scalars(found["saliency_alert/border"]) == dict.fromkeys(range(-1, 4), 0)
    for name in ("effect", "flip", "p_value"):
        values = scalars(found[f"saliency/{name}/region/tag"])
        expected = zip(
            saliency.history["step"], saliency.history[f"{name}/region/tag"], strict=True
        )
        assert values == {step: np.float32(v) for step, v in expected if not np.isnan(v)}
    assert scalars(found["saliency/effect/region/tag"])[2] == 1


@pytest.mark.slow
def test_the_table_tells_every_test_in_words(tmp_path):
    saliency, found = caught(tmp_path)
    texts = {
        step: tensor.string_val[0].decode() for step, (tensor,) in found["saliency/alerts"].items()
    }
    assert list(texts) == [-1, 0, 1, 2, 3]
    assert "No alert yet: the accuracy on the probes is 0.33, below 0.60." in texts[0]
    warning = next(w for w in saliency.warnings if w.rule == "region/tag")
    (alert,) = (a for a in saliency.alerts if a.rule == "region/tag")
    assert f"warning: {warning.sentence}" in texts[1]
    assert f"alert: {alert.sentence}" in texts[2]
    assert alert.sentence not in texts[3]
    passes = saliency.report.interventions.passes
    assert f"Effects in accuracy; {passes} forward passes." in texts[3]
    verdict = next(v for v in saliency.report.verdicts if v.effect.test == "region/tag")
    row = next(line for line in texts[3].split("\n") if "the region 'tag'" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "the region 'tag'",
        "1",
        "1",
        f"{verdict.p_value:.2g}",
        "0.15",
        "0",
        "",
        "**fires** (alert)",
    ]
    tests = saliency.report.interventions.effects
    assert sum(line.startswith("| ") for line in texts[3].split("\n")) == len(tests) + 2


@pytest.mark.slow
def test_the_evidence_shows_the_donor_s_region_in_the_recipient(tmp_path):
    saliency, found = caught(tmp_path)
    assert list(found["saliency_evidence/region/tag"]) == [1, 2]  # the warning and the alert
    (tensor,) = found["saliency_evidence/region/tag"][2]
    picture = pixels(tensor).astype(int)
    assert tensor.string_val[:2] == [str(picture.shape[1]).encode(), str(picture.shape[0]).encode()]
    (alert,) = (a for a in saliency.alerts if a.rule == "region/tag")
    assert len(alert.examples) == 4
    images = tagged_probes().images
    low, high = images.min(), images.max()
    height = (picture.shape[0] - 3 * GAP) // 4 + GAP  # of a pair, and the gap below it
    width = (picture.shape[1] - 2 * GAP) // 3 + GAP
    block = np.ones((16, 16))  # 12 pixels, enlarged until 192 are reached
    for row, example in enumerate(alert.examples):
        made = images[example.recipient].copy()
        made[TAG] = images[example.donor][TAG]
        np.testing.assert_array_equal(example.image, made)
        expected = images[example.recipient], images[example.donor], made
        for column, image in enumerate(expected):
            gray = np.kron((image[..., 0] - low) / (high - low) * 255, block)
            top, left = row * height, column * width
            panel = picture[top : top + 192, left : left + 192].mean(axis=-1)
            assert np.abs(panel - gray).mean() < 3  # JPEG's error
        assert np.abs(images[example.recipient][TAG] - made[TAG]).max() > 5


@pytest.mark.slow
def test_findings_of_an_epoch_that_a_later_callback_made_the_last(tmp_path):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, compute=EVERYTHING, verbose=0)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 4)
    )
    model = linear(rate=0.0)
    model.set_weights(reading_the_object())
    train([saliency, stop], epochs=20, model=model)
    found = events(tmp_path / "saliency")
    every = list(range(-1, 5))
    for tag in ("effect/border", "p_value/border", "flip/border", "effect/region/tag"):
        assert list(found[f"saliency/{tag}"]) == every  # evaluation 5, at epoch 4, was not due
    assert list(found["saliency_alert/border"]) == list(found["saliency/alerts"]) == every
    for tag, by_step in found.items():
        assert {len(tensors) for tensors in by_step.values()} == {1}, tag
    assert list(found["saliency/gini"]) == every


@pytest.mark.slow
def test_epochs_without_tests_have_no_findings(tmp_path):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, compute=EVERYTHING, verbose=0)
    model = linear(rate=0.0)
    model.set_weights(reading_the_object())
    train([saliency], epochs=9, model=model)
    found = events(tmp_path / "saliency")
    due = [-1, 0, 1, 2, 3, 5, 7, 8]
    for tag in ("saliency/effect/border", "saliency_alert/border", "saliency/alerts"):
        assert list(found[tag]) == due
    assert list(found["saliency/gini"]) == list(range(-1, 9))
    assert not any(tag.startswith("saliency_evidence") for tag in found)


@pytest.mark.slow
def test_groups_alert_without_a_picture(tmp_path):
    """There is nothing to exchange, so nothing to show; the rest is written, training goes on."""
    named = tagged_probes()
    is_b = np.arange(len(named)) >= 24
    targets = (named.targets + is_b) % CLASSES  # all of group b are wrong, a third of each class
    subject = ks.ProbeSet(named.images, targets, groups=np.where(is_b, "b", "a"))
    saliency = ks.SaliencyCallback(subject, log_dir=tmp_path, verbose=0)
    fitted = train([saliency, Teacher()], epochs=4, model=linear(rate=0.0))
    assert fitted.epoch == [0, 1, 2, 3]
    found = events(tmp_path / "saliency")
    (warning,) = (w for w in saliency.warnings if w.rule == "groups")
    (alert,) = (a for a in saliency.alerts if a.rule == "groups")
    assert (warning.step, alert.step, alert.effect, alert.examples) == (1, 2, 1.0, ())
    assert scalars(found["saliency_alert/groups"]) == {-1: 0, 0: 0, 1: 0, 2: 1, 3: 1}
    assert scalars(found["saliency/group_gap"])[3] == 1
    (text,) = found["saliency/alerts"][2]
    assert f"alert: {alert.sentence}" in text.string_val[0].decode()
    shown = {tag for tag in found if tag.startswith("saliency_evidence/")}
    told = {other.rule for other in [*saliency.alerts, *saliency.warnings]}
    assert shown == {f"saliency_evidence/{rule}" for rule in told - {"groups"}}


@pytest.mark.slow
def test_descriptions_are_as_short_as_trackers_need_them(tmp_path):
    """The length of a field of 128 bytes and on is no UTF-8, as which ClearML reads it."""
    saliency, _ = caught(tmp_path)
    signed = ks.SaliencyCallback(
        tagged_probes(),
        log_dir=tmp_path / "signed",
        verbose=0,
        compute=ks.Compute(reduction="signed"),
    )
    train([signed], epochs=1)
    said = {}
    for path in tmp_path.rglob("*tfevents*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                said[path.parent.parent.name, value.tag] = value.metadata.summary_description
    assert max(len(text.encode()) for text in said.values()) <= 127
    assert said["signed", "saliency/contact_sheet"].endswith("the end is for the target.")
    evidence = said[tmp_path.name, "saliency_evidence/region/tag"]
    (alert,) = (alert for alert in saliency.alerts if alert.rule == "region/tag")
    assert evidence == f"| {alert.sentence}"[: len(evidence) - 1] + "…"
    assert len(evidence.encode()) in range(124, 128)
