"""A training that was killed and resumed in another process has the log of one that was not."""

import dataclasses
import itertools
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.data.serialization import to_json
from keras_saliency.log.states import read_state
from keras_saliency.tensorboard.sink import TensorBoardSink
from support.events import events, pixels
from support.planted import SIDE, linear, reading_the_tag, tagged_probes, train

pytestmark = pytest.mark.slow

EPOCHS = 6


def kernel_after(epoch):
    """Weights of 0, from epoch 2 on such as read the tag alone, ever larger ones."""
    return reading_the_tag(max(0, epoch - 1))


def trained(log_dir, first, last, *, after=None, name="saliency", seen=0, **settings):
    """A process that trains from one epoch to before another; its callback.

    Args:
        log_dir: Of the callback.
        first: The epoch it begins with.
        last: The epoch it is killed before.
        after: The epoch whose weights it begins with.
        name: Of the callback.
        seen: The batches that the optimizer has counted.
        settings: Further arguments of the callback.
    """
    model = linear(rate=0.0)
    model.optimizer.iterations.assign(seen)
    model.set_weights(kernel_after(first - 1 if after is None else after))
    learn = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: model.set_weights(kernel_after(epoch))
    )
    settings = {"log_dir": log_dir, "name": name, "verbose": 0, **settings}
    saliency = ks.SaliencyCallback(tagged_probes(), **settings)
    train([saliency, learn], model=model, initial_epoch=first, epochs=last)
    return saliency


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The log of a training of six epochs, and its callback."""
    log_dir = tmp_path_factory.mktemp("whole")
    return log_dir, trained(log_dir, 0, EPOCHS)


def rows(log_dir):
    """All numbers and words of the reports of the only run, without the maps."""
    (log,) = ks.read_log(log_dir).values()
    assert log.problems == ()
    return [
        to_json(dataclasses.replace(one, others={}), leave_out=("maps",)) for one in log.reports
    ]


def assert_equal(log_dir, other):
    np.testing.assert_equal(rows(log_dir), rows(other))
    ours, theirs = (next(iter(ks.read_log(one).values())) for one in (log_dir, other))
    for one, two in zip(ours.reports, theirs.reports, strict=True):
        np.testing.assert_array_equal(one.maps, two.maps)


def test_the_whole_training_alerts(whole):
    log_dir, saliency = whole
    assert [(alert.rule, alert.step) for alert in saliency.alerts][:1] == [("region/tag", 3)]
    assert [row["step"] for row in rows(log_dir)] == [-1, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kills", [(1,), (2, 3, 4)])
def test_a_resumed_log_equals_that_of_an_uninterrupted_training(kills, whole, tmp_path):
    for first, last in itertools.pairwise([0, *kills, EPOCHS]):
        saliency = trained(tmp_path, first, last)
    assert_equal(tmp_path, whole[0])
    told = [(a.level, a.rule, a.step, a.start) for a in saliency.warnings + saliency.alerts]
    assert told == [(a.level, a.rule, a.step, a.start) for a in whole[1].warnings + whole[1].alerts]
    assert len(saliency.effects) == len(whole[1].effects)


def pictures(run):
    """The pictures of a run, as they are last in its files, by tag and step."""
    found = events(run)
    return {
        (tag, step): pixels(tensors[-1])
        for tag in found
        if tag.startswith(("saliency/filmstrip", "saliency/contact"))
        for step, tensors in found[tag].items()
    }


@pytest.mark.gate
@pytest.mark.parametrize("scale", ["epoch", "shared"])
def test_film_strips_and_evaluations_within_epochs_go_on(scale, tmp_path):
    """Also those that were ahead of the weights, of batches 20 to 30."""
    settings = {
        "pictures": ks.Pictures(scale=scale),
        "update_freq": 5,
        "interventions": None,
    }
    trained(tmp_path / "whole", 0, EPOCHS, **settings)
    for first, last in ((0, 3), (2, 4), (4, EPOCHS)):
        trained(tmp_path / "resumed", first, last, seen=10 * first, **settings)
    for run in ("saliency", "saliency_batches"):
        whole, resumed = (pictures(tmp_path / one / run) for one in ("whole", "resumed"))
        assert len({tag for tag, _ in whole}) == 2
        ends = {30, 40} if "batches" in run else {2}  # the last steps of the two that were ended
        assert {step for _, step in resumed.keys() ^ whole.keys()} == ends
        for key, picture in whole.items():
            np.testing.assert_array_equal(picture, resumed[key], str(key))
    assert sorted(path.name for path in (tmp_path / "resumed").iterdir()) == [
        "saliency",
        "saliency_batches",
    ]


def test_evaluations_within_an_epoch_that_is_trained_again_are_written_again(tmp_path):
    """The process was killed in its first epoch, after batch 7, and before anything was saved."""
    settings = {"update_freq": 3, "interventions": None, "pictures": None}
    trained(tmp_path / "whole", 0, 2, **settings)
    model = linear(rate=0.0)
    model.set_weights(kernel_after(-1))
    log_dir = tmp_path / "resumed"
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=log_dir, verbose=0, **settings)
    death = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: kill(batch, logs) if batch == 7 else None
    )
    with pytest.raises(Killed):
        train([saliency, death], model=model)
    trained(log_dir, 0, 2, **settings)
    logs = [ks.read_log(one) for one in (log_dir, tmp_path / "whole")]
    assert [*logs[0]] == [*logs[1]] == ["saliency", "saliency_batches"]
    for run, log in logs[1].items():
        assert [r.step for r in logs[0][run].reports] == [r.step for r in log.reports]


def test_batches_are_counted_on_where_the_optimizer_counts_others(tmp_path):
    """As one that accumulates gradients, or that is made anew by each process."""
    for first in range(3):
        saliency = trained(
            tmp_path, first, first + 1, update_freq=5, interventions=None, pictures=None
        )
    (log,) = (log for run, log in ks.read_log(tmp_path).items() if run == "saliency_batches")
    assert [report.step for report in log.reports] == [5, 10, 15, 20, 25, 30]
    assert saliency.history["run"][-2:] == ["saliency_batches", "saliency"]


def test_a_last_epoch_that_was_saved_and_not_logged_is_made_up_for(tmp_path):
    """As by `BackupAndRestore` before the callback: the training resumes with no epoch left."""
    trained(tmp_path / "whole", 0, 4, interventions="epoch")
    log_dir = tmp_path / "resumed"
    trained(log_dir, 0, 3, interventions="epoch")
    for _ in range(2):  # and nothing is made up twice
        trained(log_dir, 4, 4, interventions="epoch")
        assert_equal(log_dir, tmp_path / "whole")
        assert [path.name for path in log_dir.iterdir()] == ["saliency"]


class Killed(Exception):
    pass


def kill(batch, logs):
    raise Killed


@pytest.mark.parametrize("same", [True, False])
def test_a_training_that_is_killed_in_its_first_epoch_begins_again_in_its_run(
    same, whole, tmp_path, capsys
):
    """If it begins with the same weights; others are of another training."""
    model = linear(rate=0.0)
    model.set_weights(kernel_after(-1 if same else 4))
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, verbose=0)
    death = keras.callbacks.LambdaCallback(on_train_batch_begin=kill)
    with pytest.raises(Killed):
        train([saliency, death], model=model)
    trained(tmp_path, 0, EPOCHS, verbose=1)
    told = capsys.readouterr().out
    if same:
        assert_equal(tmp_path, whole[0])
        assert "saliency: the run saliency goes on after step -1\n" in told
    else:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["saliency", "saliency_2"]
        assert "saliency: this training writes to a new run, saliency_2\n" in told


def test_a_log_that_is_one_epoch_ahead_of_the_checkpoint_is_written_again(whole, tmp_path):
    """The process was killed after it wrote the log, and before it saved the weights."""
    trained(tmp_path, 0, 4)  # it has alerted
    trained(tmp_path, 3, EPOCHS)
    assert_equal(tmp_path, whole[0])


def test_a_log_that_is_further_ahead_is_named(tmp_path, capsys):
    """And no older training is continued in its stead."""
    trained(tmp_path, 0, 1)
    trained(tmp_path, 0, 5, after=4)
    saliency = trained(tmp_path, 2, 4)
    assert saliency.history["run"][-1] == "saliency_3"
    assert (
        "saliency: the run saliency_2 already has steps up to 4; this training, which continues "
        "after step 1, gets a run of its own"
    ) in capsys.readouterr().out


def test_a_state_that_is_a_step_behind_the_log_is_made_up_for(whole, tmp_path):
    """The process was killed between the two writes."""
    trained(tmp_path, 0, 3)
    run = tmp_path / "saliency"
    shutil.copytree(run / "state", tmp_path / "earlier")
    trained(tmp_path, 3, 4)
    shutil.rmtree(run / "state")
    (tmp_path / "earlier").rename(run / "state")
    trained(tmp_path, 4, EPOCHS)
    assert_equal(tmp_path, whole[0])


def test_a_log_without_a_state_is_continued(tmp_path, capsys):
    """As one of an earlier version: with another start, but in the same run."""
    trained(tmp_path, 0, 3)
    shutil.rmtree(tmp_path / "saliency" / "state")
    saliency = trained(tmp_path, 3, 5)
    assert "saliency: the run saliency goes on, but what it remembered" in capsys.readouterr().out
    assert saliency.history["run"] == ["saliency"] * 3
    assert [row["step"] for row in rows(tmp_path)] == [-1, 0, 1, 2, 3, 4]


@pytest.mark.gate
def test_processes_of_one_epoch_that_count_from_0_are_one_training(whole, tmp_path):
    """Each begins with the weights that the one before saved."""
    for epoch in range(EPOCHS):
        model = linear(rate=0.0)
        model.set_weights(kernel_after(epoch - 1))
        learn = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda _, logs, m=model, e=epoch: m.set_weights(kernel_after(e))
        )
        saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, verbose=0)
        train([saliency, learn], model=model, epochs=1)
    assert [row["step"] for row in rows(tmp_path)] == [-1, 0, 1, 2, 3, 4, 5]
    assert {alert.rule for alert in saliency.alerts} == {a.rule for a in whole[1].alerts}


def test_another_model_begins_a_run_of_its_own(tmp_path):
    trained(tmp_path, 0, 3)
    saliency = trained(tmp_path, 0, 1, after=4)  # weights that no training ended with
    assert saliency.history["run"] == ["saliency_2"] * 2
    assert saliency.history["step"] == [-1, 0]
    assert saliency.alerts == []


@pytest.mark.parametrize("same", [True, False])
def test_a_resumed_callback_begins_a_new_run_with_other_weights(same, tmp_path, capsys):
    """Of the same model, or of another one."""
    trained(tmp_path, 0, 3)
    saliency = trained(tmp_path, 3, 4, verbose=1)
    assert "saliency: the run saliency goes on after step 2\n" in capsys.readouterr().out
    model = saliency.model if same else linear(rate=0.0)
    model.set_weights(kernel_after(-1))
    train([saliency], model=model, epochs=1)
    assert saliency.history["run"] == ["saliency"] * 2 + ["saliency_2"] * 2
    assert saliency.history["step"] == [2, 3, -1, 0]
    assert "saliency: this training writes to a new run, saliency_2\n" in capsys.readouterr().out


def test_a_state_of_other_shapes_is_ignored(tmp_path):
    trained(tmp_path, 0, 3)
    for path in (tmp_path / "saliency" / "state").glob("*.npy"):
        np.save(path, np.zeros((2, 3), np.float32))
    saliency = trained(tmp_path, 3, 4)
    assert saliency.history["run"] == ["saliency"] * 2


@pytest.mark.gate
def test_two_trainings_that_were_killed_each_go_on_in_their_own_run(tmp_path, capsys):
    """Which one a process resumes is told by the weights, whichever run was written last."""
    for run, after in (("saliency", None), ("saliency_2", 4)):
        lock = trained_at_the_same_step(tmp_path, after)
        assert lock.history["run"][-1] == run
    for run, after in (("saliency", None), ("saliency_2", 4)):
        saliency = trained_at_the_same_step(tmp_path, after, first=2, last=3)
        assert saliency.history["run"] == [run] * 2
        assert saliency.history["step"] == [1, 2]


def trained_at_the_same_step(log_dir, after, first=0, last=2):
    """A process whose weights are always those after an epoch, or those of all others."""
    model = linear(rate=0.0)
    model.set_weights(kernel_after(-1) if after is None else kernel_after(after))
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=log_dir, verbose=0)
    train([saliency], model=model, initial_epoch=first, epochs=last)
    return saliency


@pytest.mark.gate
def test_fits_of_one_epoch_of_two_trainings_find_their_own_runs(tmp_path):
    """Each a process of its own, by turns."""
    for epoch in range(3):
        for run, weight in (("saliency", 1.0), ("saliency_2", 2.0)):
            model = linear(rate=0.0)
            model.set_weights(reading_the_tag(weight * 3**epoch))
            learn = keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda _, logs, m=model, w=weight * 3 ** (epoch + 1): m.set_weights(
                    reading_the_tag(w)
                )
            )
            settings = {"log_dir": tmp_path, "interventions": None, "verbose": 0}
            saliency = ks.SaliencyCallback(tagged_probes(), **settings)
            train([saliency, learn], model=model, epochs=1)
            assert saliency.history["run"] == [run] * 2
            assert saliency.history["step"] == [epoch - 1, epoch]


def test_the_model_is_evaluated_once_however_many_runs_there_are(tmp_path):
    for after in (2, 4, 6):
        trained_at_the_same_step(tmp_path, after)
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            tf.py_function(lambda: calls.append(1), [], [])
            return inputs

    # Eager operations are counted when they run, not when they are traced.
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), Counting(), *linear().layers])
    model.set_weights(kernel_after(4))
    monitor = ks.SaliencyMonitor(model, tagged_probes())
    states = [read_state(tmp_path / run).state for run in ("saliency", "saliency_2", "saliency_3")]
    calls.clear()
    recognizes = monitor.recognizer()
    assert [recognizes(state) for state in states] == [False, True, False]
    once = len(calls)
    calls.clear()
    monitor.evaluate(0)
    assert once == len(calls) > 0


def test_other_weights_or_another_model_do_not_go_on_in_the_run_of_a_training(tmp_path, capsys):
    trained(tmp_path, 0, 4)
    saliency = trained(tmp_path, 4, 5, after=6, verbose=1)
    assert saliency.history["run"] == ["saliency_2"] * 2
    assert "saliency: this training writes to a new run, saliency_2\n" in capsys.readouterr().out
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), keras.layers.Dense(1), *linear().layers]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, verbose=0)
    train([saliency], model=model, initial_epoch=6, epochs=7)
    assert saliency.history["run"] == ["saliency_3"] * 2


def test_a_gap_is_said(tmp_path, capsys):
    """Epochs 2 and 3 were trained without the callback."""
    trained(tmp_path, 0, 2)
    saliency = trained(tmp_path, 4, 5, verbose=1)
    assert saliency.history["run"] == ["saliency"] * 2
    told = "saliency: the run saliency goes on after step 3 (its last step was 1)\n"
    assert told in capsys.readouterr().out


def test_what_resume_returns_is_for_a_monitor(tmp_path):
    model = linear(rate=0.0)
    monitor = ks.SaliencyMonitor(model, tagged_probes())
    sink = TensorBoardSink(tmp_path, monitor.probes, subject={"k": 1})
    assert sink.resume(0) is None
    for step in (-1, 0):
        model.set_weights(kernel_after(3 + step))
        sink.write(monitor.step(step))
        sink.save_state(step, monitor.state)
    sink.close()
    later = ks.SaliencyMonitor(model, tagged_probes())
    other = TensorBoardSink(tmp_path, monitor.probes, subject={"k": 1})
    later.state = other.resume(0)
    assert later.state.start.step == -1
    assert later.is_current()
    assert [alert.rule for alert in later.state.alerts] == [a.rule for a in monitor.state.alerts]
    other.close()
    assert TensorBoardSink(tmp_path, monitor.probes, subject={"k": 2}).resume(0) is None
