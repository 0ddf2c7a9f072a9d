"""`replay` and `watch`: the log that is made of checkpoints is that of the callback in `fit`."""

import shutil
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.app.checkpoints import find_checkpoints, is_complete, number_of
from keras_saliency.app.cli import main
from keras_saliency.data.serialization import to_json
from keras_saliency.log import tags
from support.events import events
from support.networks import EVERYTHING
from support.planted import CLASSES, SIDE, linear, planted, tagged_probes, train

EPOCHS = 9
"""With the state before training: ten checkpoints."""

KINDS = ("keras", "weights", "legacy", "tensorflow")


def network():
    """A network with layers that differ in training and inference."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Conv2D(3, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A folder with the log of a training that learns late, and its checkpoints of all kinds."""
    folder = tmp_path_factory.mktemp("live")
    for kind in KINDS:
        (folder / kind).mkdir()
    model = network()

    def save(number):
        model.save(folder / "keras" / f"{number:02d}.keras")
        model.save_weights(folder / "weights" / f"net_v2_epoch_{number}.weights.h5")
        keras.saving.save_model(model, folder / "legacy" / f"model.{number:02d}-0.25.h5")
        whole = tf.train.Checkpoint(net=model, optimizer=model.optimizer)
        whole.write(str(folder / "tensorflow" / f"ckpt-{number}"))

    saver = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: save(0), on_epoch_end=lambda epoch, logs: save(epoch + 1)
    )
    late = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 if epoch >= 6 else 0.0)
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=folder / "logs", compute=EVERYTHING, verbose=0
    )
    model.fit(*planted(True), epochs=EPOCHS, verbose=0, callbacks=[late, saver, saliency])
    (folder / "model.json").write_text(model.to_json())
    tagged_probes().save(folder / "probes.npz")
    return folder


def written(log_dir, run="saliency"):
    """All that a run has in its files, as it is last there, by tag and step, but the settings."""
    return {
        (tag, step): tensors[-1].SerializeToString()
        for tag, by_step in events(log_dir / run).items()
        if tag not in (tags.CONFIGURATION, tags.PROBES)
        for step, tensors in by_step.items()
    }


def assert_same_log(one, other, run="saliency"):
    """Every report, value by value, then every byte that was written."""
    ours, theirs = (ks.read_log(log_dir)[run] for log_dir in (one, other))
    assert ours.problems == theirs.problems == ()
    assert ours.probes.names == theirs.probes.names
    for mine, yours in zip(ours.reports, theirs.reports, strict=True):
        np.testing.assert_array_equal(mine.maps, yours.maps)
        np.testing.assert_equal(to_json(mine), to_json(yours))
    assert written(one) == written(other)


def command(live, kind, log_dir, *arguments, name="replay"):
    model = [] if kind in ("keras", "legacy") else ["--model", live / "model.json"]
    places = [live / kind, "--probes", live / "probes.npz", "--log-dir", log_dir]
    return main([str(argument) for argument in (name, *places, *model, *arguments)])


@pytest.mark.slow
def test_the_live_training_is_worth_comparing(live):
    reports = ks.read_log(live / "logs")["saliency"].reports
    assert [report.step for report in reports] == [*range(-1, EPOCHS)]
    tested = [report.step for report in reports if report.interventions is not None]
    assert tested == [-1, 0, 1, 2, 3, 5, 6, 7, 8]
    levels = {alert.level for report in reports for alert in report.alerts}
    assert levels == {"warning", "alert"}
    assert len({report.maps.tobytes() for report in reports}) == len(reports)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_replay_of_ten_checkpoints_equals_the_log_of_the_live_run(kind, live, tmp_path, capsys):
    assert command(live, kind, tmp_path / "logs") == 0
    assert_same_log(tmp_path / "logs", live / "logs")
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line for line in printed.out.splitlines() if line.startswith("saliency: step ")]
    found = find_checkpoints([live / kind])
    assert len(found) == 10
    assert lines[0] == f"saliency: step -1 (before training): {found[0].path}"
    assert lines[1:] == [f"saliency: step {step}: {path}" for path, step in found[1:]]
    assert printed.out.count("saliency: alert: epoch ") >= 1
    assert "one evaluation took" not in printed.out  # no epoch was trained


@pytest.mark.gate
@pytest.mark.slow
def test_a_replay_goes_on_where_the_log_ends(live, tmp_path, capsys):
    (tmp_path / "keras").mkdir()
    shutil.copy(live / "probes.npz", tmp_path)
    for numbers in (range(1), range(1, 4), range(4, 9), range(9, 10)):
        for number in numbers:
            shutil.copy(live / "keras" / f"{number:02d}.keras", tmp_path / "keras")
        capsys.readouterr()
        assert command(tmp_path, "keras", tmp_path / "logs", "--interventions=none") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if ": step " in line] == [
        f"saliency: step 7: {tmp_path / 'keras' / '08.keras'}",
        f"saliency: step 8: {tmp_path / 'keras' / '09.keras'}",
    ]
    assert command(live, "keras", tmp_path / "whole", "--interventions=none") == 0
    reports = [ks.read_log(tmp_path / name) for name in ("logs", "whole")]
    assert reports[0].keys() == {"saliency"}
    for mine, yours in zip(*(logs["saliency"].reports for logs in reports), strict=True):
        np.testing.assert_equal(to_json(mine), to_json(yours))


@pytest.mark.slow
def test_a_replay_leaves_nothing_out_in_the_log_of_a_training_with_a_budget(tmp_path):
    (tmp_path / "keras").mkdir()
    model = linear(rate=1e-5)
    saver = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.save(tmp_path / "keras" / f"{epoch + 1:02d}.keras")
    )

    def saliency():
        return ks.SaliencyCallback(
            tagged_probes(), log_dir=tmp_path / "logs", interventions=None, verbose=0
        )

    train([saliency(), saver], epochs=3, model=model)
    train([saver], initial_epoch=3, epochs=9, model=model)
    later = saliency()
    ks.replay(tmp_path / "keras", later)
    assert later.history["step"] == [2, 3, 4, 5, 6, 7, 8]
    assert [one.step for one in ks.read_log(tmp_path / "logs")["saliency"].reports] == [
        *range(-1, 9)
    ]


@pytest.mark.slow
def test_checkpoints_of_another_training_are_refused(live, tmp_path, capsys):
    shutil.copytree(live / "logs", tmp_path / "logs")
    keras.utils.set_random_seed(8)
    model = keras.saving.load_model(live / "keras" / "00.keras", compile=False)
    (tmp_path / "keras").mkdir()
    for number in range(10):
        model.set_weights([weights * 1.1 for weights in model.get_weights()])
        model.save(tmp_path / "keras" / f"{number:02d}.keras")
    before = written(tmp_path / "logs")
    for _ in range(2):  # the second time, without that step
        saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path / "logs", verbose=0)
        with pytest.raises(ValueError, match="log_dir: expected a directory without the steps of"):
            ks.replay(tmp_path / "keras", saliency)
        (tmp_path / "keras" / "09.keras").unlink(missing_ok=True)
    assert written(tmp_path / "logs") == before
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["saliency"]


@pytest.fixture
def few(live, tmp_path):
    """Three of the checkpoints, in the folder `keras` of their own, with their probes."""
    (tmp_path / "keras").mkdir()
    shutil.copy(live / "probes.npz", tmp_path)
    for number in range(3):
        shutil.copy(live / "keras" / f"{number:02d}.keras", tmp_path / "keras")
    return tmp_path


@pytest.mark.slow
def test_options_are_those_of_the_callback(few, capsys):
    (few / "keras" / "best.keras").write_text("left out")
    options = ["--method=gradient", "--method=grad_cam", "--score=probability", "--name=mine"]
    options += ["--interventions=none", "--first-epoch=0", "--saliency-freq=2", "--reduction=l2"]
    assert command(few, "keras", few / "logs", *options) == 0
    (log,) = ks.read_log(few / "logs").values()
    assert (log.run, log.reports[0].method) == ("mine", "gradient")
    assert {*log.reports[0].others} == {"grad_cam"}
    assert [report.step for report in log.reports] == [0, 2]
    text = events(few / "logs" / "mine")[tags.CONFIGURATION][0][0].string_val[0].decode()
    for row in ("| score | probability |", "| reduction | l2 |", "every 2 epochs"):
        assert row in text
    out = capsys.readouterr().out
    assert f"saliency: {few / 'keras' / 'best.keras'} is left out: its name has no number" in out
    assert f"saliency: step 0: {few / 'keras' / '00.keras'}\n" in out
    assert "no intervention tests (interventions=None)" in out


@pytest.mark.slow
def test_stop_ends_the_replay_at_the_alert(live, tmp_path):
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=None, on_alert="stop", interventions="epoch", verbose=0
    )
    ks.replay(live / "keras", saliency)
    assert [alert.step for alert in saliency.alerts][:1] == [saliency.history["step"][-1]]
    assert saliency.history["step"][-1] < EPOCHS - 1


# ---------------------------------------------------------------- watch


class Clock:
    """In the place of `time.sleep`: each call lets the next thing happen, the last is Ctrl-C."""

    def __init__(self, *happenings):
        self.waiting = list(happenings)
        self.intervals = []

    def sleep(self, seconds):
        self.intervals.append(seconds)
        if not self.waiting:
            raise KeyboardInterrupt
        self.waiting.pop(0)()


def nothing():
    pass


@pytest.mark.gate
@pytest.mark.slow
def test_a_watch_reads_checkpoints_as_they_are_completed(live, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "keras"

    def copy(number):
        return lambda: shutil.copy(live / "keras" / f"{number:02d}.keras", folder)

    def half():
        data = (live / "keras" / "05.keras").read_bytes()
        (folder / "05.keras").write_bytes(data[: len(data) // 2])

    happenings = [folder.mkdir, nothing, copy(0), nothing, copy(1), copy(2), copy(3), copy(4)]
    clock = Clock(*happenings, half, nothing, nothing, copy(5), nothing, copy(6), nothing)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    shutil.copy(live / "probes.npz", tmp_path)
    assert command(tmp_path, "keras", tmp_path / "logs", "--interval=3", name="watch") == 0
    assert {*clock.intervals} == {3}
    # Killed and started anew; this time it ends by itself.
    clock = Clock(*(copy(number) for number in (7, 8, 9)), *[nothing] * 10**6)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    options = ["--interval=0.01", "--until-idle=0.5"]
    assert command(tmp_path, "keras", tmp_path / "logs", *options, name="watch") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if ": step " in line]
    steps = [int(line.split()[2].rstrip(":")) for line in lines]
    assert steps == [-1, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8]
    logs = [ks.read_log(log_dir)["saliency"] for log_dir in (tmp_path / "logs", live / "logs")]
    for mine, yours in zip(*(log.reports for log in logs), strict=True):
        np.testing.assert_array_equal(mine.maps, yours.maps)
        if mine.step != 5:  # where the first watch ended, and tested as it was the last
            np.testing.assert_equal(to_json(mine), to_json(yours))


@pytest.mark.slow
def test_a_watch_of_a_whole_training_equals_the_live_log(live, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", Clock(nothing).sleep)
    assert command(live, "keras", tmp_path / "logs", name="watch") == 0
    ours, theirs = (
        ks.read_log(one)["saliency"].reports for one in (tmp_path / "logs", live / "logs")
    )
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.maps, yours.maps)
        np.testing.assert_equal(to_json(mine), to_json(yours))


@pytest.mark.slow
def test_a_checkpoint_that_is_never_completed_is_left_out(few, monkeypatch, capsys):
    data = (few / "keras" / "01.keras").read_bytes()
    (few / "keras" / "01.keras").write_bytes(data[:-1])
    late = lambda: (few / "keras" / "01.keras").write_bytes(data)  # noqa: E731
    monkeypatch.setattr(time, "sleep", Clock(nothing, late, nothing).sleep)
    assert command(few, "keras", few / "logs", "--interventions=none", name="watch") == 0
    assert [one.step for one in ks.read_log(few / "logs")["saliency"].reports] == [-1, 1]
    path = few / "keras" / "01.keras"
    assert f"saliency: {path} was left out: it was not complete in time" in capsys.readouterr().out


def test_a_watch_that_sees_nothing_says_so(tmp_path, capsys):
    ks.ProbeSet(np.zeros((2, 4, 4, 1)), [0, 1]).save(tmp_path / "probes.npz")
    options = ["--interval=0.01", "--until-idle=0.05"]
    assert command(tmp_path, "keras", tmp_path / "logs", *options, name="watch") == 2
    line = capsys.readouterr().err
    assert line.startswith("keras-saliency: CHECKPOINTS: expected .keras, .weights.h5 or .h5 files")
    assert line.endswith(
        f"received {tmp_path / 'keras'}, where none was complete before the watch ended.\n"
    )
    assert not (tmp_path / "logs").exists()


def test_a_file_that_just_appeared_is_not_read_yet(folder, monkeypatch):
    monkeypatch.setattr(time, "sleep", Clock().sleep)
    saliency = ks.SaliencyCallback(probes(), log_dir=None, interventions=None, verbose=0)
    with pytest.raises(ValueError, match="where none was complete before the watch ended"):
        ks.watch(folder / "ckpt", saliency, linear())


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("03.keras", 3),
        ("00.weights.h5", 0),
        ("model.02-1.76.keras", 2),
        ("weights.10-0.05.weights.h5", 10),
        ("weights.7.h5", 7),
        ("resnet50_v2_epoch_03_of_90.keras", 3),
        ("Epoch12.keras", 12),
        ("epoch=4-step=1000.keras", 4),
        ("ckpt-1000.index", 1000),
        ("model.ckpt-5.index", 5),
        ("003-1.5e-4.keras", 3),
        ("best.keras", None),
        ("loss-0.25.keras", None),
        ("final.weights.h5", None),
    ],
)
def test_the_number_of_the_epoch(name, number):
    assert number_of(name) == number


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def test_checkpoints_are_sorted_by_number(tmp_path):
    names = ["10.keras", "9.keras", "1.keras", "best.keras", "log.csv", "checkpoint"]
    touched(tmp_path, *names)
    found = find_checkpoints([tmp_path])
    assert [(path.name, step) for path, step in found] == [
        ("1.keras", 0),
        ("9.keras", 8),
        ("10.keras", 9),
    ]
    assert [step for _, step in find_checkpoints([tmp_path], first_epoch=0)] == [1, 9, 10]
    assert find_checkpoints([f"{tmp_path}/*.keras", tmp_path]) == found
    assert find_checkpoints([tmp_path / "9.keras"]) == found[1:2]
    assert find_checkpoints([tmp_path / "none", f"{tmp_path}/?.h5"]) == []


def test_what_is_wrong_with_names_is_said(tmp_path):
    touched(tmp_path, "03.keras", "03.weights.h5", "notes.txt")
    with pytest.raises(ValueError, match=r"03\.keras and .*03\.weights\.h5, which both have the"):
        find_checkpoints([tmp_path])
    with pytest.raises(
        ValueError, match=r"first_epoch: expected 3 or 4, .*03\.keras says, received 9"
    ):
        find_checkpoints([tmp_path / "03.keras"], first_epoch=9)
    with pytest.raises(ValueError, match=r"checkpoints: expected .keras, .* received .*notes\.txt"):
        find_checkpoints([tmp_path / "notes.txt"])
    with pytest.raises(TypeError, match="first_epoch: expected an integer, received 1.5"):
        find_checkpoints([tmp_path], first_epoch=1.5)


@pytest.mark.parametrize("name", ["3/pytree/manifest.ocdbt", "orbax.checkpoint/x"])
def test_orbax_checkpoints_are_refused_in_words(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match="is an Orbax checkpoint, which needs JAX to be read"):
        find_checkpoints([tmp_path])


# ---------------------------------------------------------------- errors


def probes():
    return ks.ProbeSet(np.zeros((4, SIDE, SIDE, 1), "float32"), [0, 1, 2, 0])


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints with weights alone, their model, and probes."""
    (tmp_path / "ckpt").mkdir()
    model = linear()
    for number in (1, 2):
        model.save_weights(tmp_path / "ckpt" / f"{number}.weights.h5")
    model.save(tmp_path / "model.keras")
    probes().save(tmp_path / "probes.npz")
    return tmp_path


def failed(capsys, folder, *arguments):
    """Runs a replay that fails; returns its one line."""
    places = [folder / "ckpt", "--probes", folder / "probes.npz", "--log-dir", folder / "logs"]
    assert main([str(one) for one in ("replay", *places, *arguments)]) == 2
    captured = capsys.readouterr()
    assert not (folder / "logs").exists()
    return captured.err.removeprefix("keras-saliency: ").removesuffix("\n")


def test_weights_need_a_model(folder, capsys):
    line = failed(capsys, folder)
    assert line.startswith("--model: expected the model of the weights in ")
    line = failed(capsys, folder, "--model", folder / "ckpt" / "1.weights.h5")
    assert line.startswith("--model: expected the model of the weights in ")
    line = failed(capsys, folder, "--model", folder / "none.keras")
    assert line.startswith(f"--model: {folder / 'none.keras'} could not be loaded: ")


def test_options_are_named(folder, capsys):
    model = ["--model", folder / "model.keras"]
    for option, start in (
        ("--method=lime", "--method: expected one of"),
        ("--score=loss", "--score: expected one of"),
        ("--interventions=often", "--interventions: expected one of 'auto', 'epoch', 'none'"),
        ("--ignore=taste", "--ignore: expected names of"),
        ("--name=a/b", "--name: expected "),
        ("--saliency-freq=0", "--saliency-freq: expected a positive integer"),
        ("--first-epoch=9", "--first-epoch: expected 1 or 2, as the number of"),
        ("--reduction=best", "--reduction: expected "),
        ("--log-dir=" + str(folder / "model.keras"), "--log-dir: "),
    ):
        assert failed(capsys, folder, *model, option).startswith(start)
    line = failed(capsys, folder, *model, "--interventions=none", "--ignore=tint")
    assert line.startswith("--ignore: expected no test to ignore")


def test_files_that_are_no_probes_are_named(folder, capsys):
    (folder / "probes.npz").write_bytes(b"no zip file")
    line = failed(capsys, folder, "--model", folder / "model.keras")
    assert line.startswith("--probes: expected probes, as ProbeSet.save writes them, received ")
    (folder / "probes.npz").unlink()
    line = failed(capsys, folder, "--model", folder / "model.keras")
    assert line.endswith(f"No such file or directory: '{folder / 'probes.npz'}'")


def test_a_directory_without_checkpoints_is_named(folder, capsys):
    shutil.rmtree(folder / "ckpt")
    assert failed(capsys, folder).endswith(f"received {folder / 'ckpt'}, where there are none.")


def test_weights_of_another_model_are_refused(folder, capsys):
    other = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten()])
    other.add(keras.layers.Dense(CLASSES + 1))
    other.save_weights(folder / "ckpt" / "1.weights.h5")
    line = failed(capsys, folder, "--model", folder / "model.keras")
    assert line.startswith(f"CHECKPOINTS: {folder / 'ckpt' / '1.weights.h5'} could not be loaded: ")


def test_a_checkpoint_that_is_cut_off_is_refused_before_anything_is_written(folder, capsys):
    for name in ("3.keras", "4.weights.h5"):
        source = folder / ("model.keras" if name.endswith("keras") else "ckpt/1.weights.h5")
        path = folder / "ckpt" / name
        path.write_bytes(source.read_bytes()[:-100])
        assert not is_complete(path)
        assert is_complete(source)
        line = failed(capsys, folder, "--model", folder / "model.keras")
        assert line.startswith(f"CHECKPOINTS: {path} is not complete.")
        path.unlink()


def test_a_checkpoint_that_claims_to_be_huge_is_refused(folder, capsys):
    with h5py.File(folder / "ckpt" / "1.weights.h5", "w") as file:
        file.create_dataset("huge", (10**6, 10**6), "float32", chunks=(1, 1))
    line = failed(capsys, folder, "--model", folder / "model.keras")
    assert "more than 100 times the size of the file" in line


def test_a_configuration_with_code_is_refused(folder, capsys):
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Lambda(lambda x: x)])
    (folder / "model.json").write_text(model.to_json())
    line = failed(capsys, folder, "--model", folder / "model.json")
    assert line.startswith(f"--model: {folder / 'model.json'} could not be loaded: ")
    assert "lambda" in line.lower()


def test_weights_stay_if_a_checkpoint_cannot_be_read(folder):
    from keras_saliency.app.checkpoints import fill

    model = linear()
    before = model.get_weights()
    damaged = folder / "ckpt" / "3.keras"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("model.weights.h5", b"damaged")
    (folder / "ckpt" / "4.index").write_bytes(b"damaged")
    two = tf.train.Checkpoint(model=keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    two.write(str(folder / "ckpt" / "5"))
    for path in (damaged, folder / "ckpt" / "4.index", folder / "ckpt" / "5.index"):
        with pytest.raises(ValueError, match=f"checkpoints: {path} could not be loaded: "):
            fill(model, path)
        for mine, yours in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(mine, yours)
    assert model.optimizer is not None


def test_weights_stay_if_only_the_first_layers_fit(tmp_path):
    from keras_saliency.app.checkpoints import fill

    def network(units):
        layers = [keras.layers.Dense(3), keras.layers.Dense(units)]
        return keras.Sequential([keras.Input((2,)), *layers])

    network(4).save_weights(tmp_path / "1.weights.h5")
    model = network(5)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"1\.weights\.h5 could not be loaded: "):
        fill(model, tmp_path / "1.weights.h5")
    for mine, yours in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.slow
@pytest.mark.parametrize("root", [True, False])
def test_a_tensorflow_checkpoint_fills_a_model_that_is_compiled_or_not(root, tmp_path):
    from keras_saliency.app.checkpoints import fill

    source = network()
    source.optimizer.build(source.trainable_variables)
    source.set_weights([np.full_like(weights, 0.5) for weights in source.get_weights()])
    whole = tf.train.Checkpoint(source) if root else tf.train.Checkpoint(model=source)
    path = whole.save(str(tmp_path / "ckpt"))
    for model in (network(), keras.Sequential.from_config(network().get_config())):
        fill(model, tmp_path / f"{path}.index")
        for weights in model.get_weights():
            np.testing.assert_array_equal(weights, np.full_like(weights, 0.5))


@pytest.mark.slow
def test_callbacks_that_cannot_replay_are_refused(folder):
    saliency = ks.SaliencyCallback(probes(), log_dir=None, update_freq=2)
    with pytest.raises(ValueError, match="update_freq: expected 'epoch', as checkpoints are of"):
        ks.replay(folder / "ckpt", saliency, linear())
    with pytest.raises(TypeError, match="saliency: expected a SaliencyCallback, received ProbeSet"):
        ks.replay(folder / "ckpt", probes(), linear())
    saliency = ks.SaliencyCallback(probes(), log_dir=None, interventions=None, verbose=0)
    ks.replay(str(folder / "ckpt"), saliency, linear())
    assert saliency.history["step"] == [0, 1]
    with pytest.raises(ValueError, match="saliency: expected a new callback, received one that"):
        ks.replay(folder / "ckpt", saliency, linear())


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"interval": 0}, "interval: expected a number of seconds above 0, received 0"),
        ({"until_idle": -1}, "until_idle: expected a number of seconds above 0, received -1"),
        ({"until_idle": 10}, "until_idle: expected more than the interval of 10 s, received 10"),
    ],
)
def test_times_are_checked(times, message):
    saliency = ks.SaliencyCallback(probes(), log_dir=None)
    with pytest.raises(ValueError, match=message):
        ks.watch("ckpt", saliency, **times)
