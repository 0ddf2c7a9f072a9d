"""Short trainings: some epochs and tests are left out, and what matters is not."""

import re

import keras
import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.engine.batches import BatchCounter
from support.networks import EVERYTHING, data, network
from support.planted import (
    linear,
    planted,
    reading_the_object,
    reading_the_tag,
    tagged_probes,
    train,
)

# 240 images are 720 passes an epoch, of which a tenth is 72. 36 maps are 108, 8 pictures are 32.


def steps_with(budget, epochs=20, **kwargs):
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=None, interventions=None, compute=budget, verbose=0, **kwargs
    )
    train([saliency], epochs=epochs, model=linear(rate=1e-5))
    return saliency.history["step"]


@pytest.mark.gate
def test_epochs_ever_further_apart_and_the_last_two_are_explained():
    # After epoch 15, nine evaluations took 9 x 108 + 5 x 32 = 1132; 1240 is above 17 x 72 = 1224.
    assert steps_with("auto") == [-1, 0, 1, 2, 3, 5, 7, 10, 15, 17, 18, 19]
    assert steps_with(ks.Compute(budget=0)) == [-1, 0, 1, 2, 3, 5, 7, 10, 15, 18, 19]
    assert steps_with(EVERYTHING) == list(range(-1, 20))


def test_what_the_budget_leaves_is_used():
    """After epoch 3, five evaluations took 5 x 108 + 4 x 32; after epoch 4, there are 5 x 180."""
    assert steps_with(ks.Compute(budget=0.25), epochs=6) == [-1, 0, 1, 2, 3, 4, 5]
    # Of 144 an epoch, there are 720, less than 668 + 108.
    assert steps_with(ks.Compute(budget=0.2), epochs=7) == [-1, 0, 1, 2, 3, 5, 6]


def test_pictures_are_work():
    """Without them, seven evaluations take 756, less than 7 x 116; with four times eight, 884."""
    budget = ks.Compute(budget=116 / 720)
    assert 6 in steps_with(budget, epochs=9, pictures=None)
    assert 6 not in steps_with(budget, epochs=9)


def test_a_frequency_of_epochs_is_thinned_as_well():
    floor = [-1, 0, 2, 4, 6, 10, 14, 20, 22, 23]
    assert steps_with(ks.Compute(budget=0), epochs=24, saliency_freq=2) == floor


def test_what_was_asked_for_by_name_is_made():
    within = ks.SaliencyCallback(
        *(tagged_probes(),), log_dir=None, update_freq=5, interventions=None, verbose=0
    )
    train([within], epochs=3)
    assert within.history["step"] == [-1, 5, 10, 0, 15, 20, 1, 25, 30, 2]
    every = ks.SaliencyCallback(tagged_probes(), log_dir=None, interventions="epoch", verbose=0)
    train([every], epochs=7, model=linear(rate=1e-5))
    assert every.history["step"] == [step for step, _ in every.effects] == list(range(-1, 7))


class Reads(keras.callbacks.Callback):
    """Gives a model that reads the object other weights: those that read the tag, from an epoch on.

    The weights change at each epoch, so that no test repeats another.
    """

    def __init__(self, tag_from=99):
        super().__init__()
        self.tag_from = tag_from

    def on_train_begin(self, logs=None):
        self.model.set_weights(reading_the_object())

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= self.tag_from:
            self.model.set_weights(reading_the_tag(2 + epoch))
        else:
            kernel, bias = reading_the_object()
            self.model.set_weights([kernel * (1 + 0.01 * (epoch + 1)), bias])


def reading(tag_from, **kwargs):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, on_alert=None, **kwargs)
    train([Reads(tag_from), saliency], epochs=20, model=linear(rate=0.0))
    return saliency


def rounds_of(saliency):
    return [step for step, _ in saliency.effects]


def test_some_rounds_of_tests_are_made_in_any_case():
    """Evaluations 0, 4, and from 12 on the first that is explained, 16; and the last two."""
    saliency = reading(99, verbose=0)
    assert rounds_of(saliency) == [-1, 3, 15, 18, 19]
    assert not saliency.alerts


def test_a_warning_is_followed_up_at_the_next_epoch():
    """Epoch 4 would be left out."""
    saliency = reading(3, verbose=0)
    assert rounds_of(saliency)[:3] == [-1, 3, 4]
    assert [(alert.rule, alert.step) for alert in saliency.warnings] == [("region/tag", 3)]
    (alert,) = saliency.alerts
    assert (alert.rule, alert.step) == ("region/tag", 4)
    assert "Not seen before (tested before training)." in saliency.warnings[0].sentence
    assert "First seen at epoch 3 (tested before training and at 3, 4)." in alert.sentence


def test_what_is_read_late_is_found_at_the_end():
    saliency = reading(16, verbose=0)
    assert rounds_of(saliency) == [-1, 3, 15, 18, 19]
    (alert,) = saliency.alerts
    assert alert.step == 19
    tested = "tested before training and at 3, 15, 18, 19"
    assert f"First seen at epoch 18 ({tested})." in alert.sentence


def test_what_is_read_before_training_is_stopped_early_is_found():
    """Nobody knows beforehand that it ends after epoch 22."""
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 22)
    )
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, on_alert=None, verbose=0)
    train([Reads(6), saliency, stop], epochs=100, model=linear(rate=0.0))
    assert [(alert.rule, alert.step) for alert in saliency.alerts] == [("region/tag", 16)]


@pytest.mark.gate
def test_fits_of_one_epoch_are_tested(tmp_path):
    """Each explains its epoch, whatever that takes; so at evaluation 12 a metric has moved."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, on_alert=None, verbose=0)
    model, reads = linear(rate=0.0), Reads(6)
    model.set_weights(reading_the_object())
    reads.on_train_begin = lambda logs=None: None
    for epoch in range(18):
        train([saliency, reads], epochs=epoch + 1, initial_epoch=epoch, model=model)
    assert [(alert.rule, alert.step) for alert in saliency.alerts] == [("region/tag", 12)]


def test_evaluations_within_epochs_take_nothing_from_those_at_their_ends():
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=None, interventions=None, update_freq=5, verbose=0
    )
    train([saliency], epochs=20, model=linear(rate=1e-5))
    rows = zip(saliency.history["run"], saliency.history["step"], strict=True)
    assert [step for run, step in rows if run == "saliency"] == steps_with("auto")


def test_the_console_says_what_is_left_out_and_what_all_of_it_took(tmp_path, capsys):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, on_alert=None)
    train([Reads(), saliency], epochs=8, model=linear(rate=0.0))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "budget=None" in line] == [
        "saliency: some epochs are not explained or not tested, since all of them would take more "
        "than 10% of the training's work; to have all of them: compute=ks.Compute(budget=None)"
    ]
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert re.fullmatch(
        r"saliency: in all 8 evaluations: maps [\d.]+ s, pictures and log [\d.]+ s, tests [\d.]+ s "
        rf"\(4 rounds\): [\d.]+% of the training; {size / 1e6:.1f} MB on disk; "
        "left out for the budget: 1 epoch, 4 test rounds",
        lines[-1],
    )
    assert rounds_of(saliency) == [-1, 3, 6, 7]  # of evaluations at -1, 0, 1, 2, 3, 5, 6, 7


def test_each_fit_says_what_it_left_out(capsys):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, interventions=None)
    model = linear(rate=1e-5)
    train([saliency], epochs=10, model=model)
    train([saliency], epochs=20, initial_epoch=10, model=model)
    lines = [line for line in capsys.readouterr().out.splitlines() if "in all" in line]
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 5, 7, 8, 9, 10, 15, 18, 19]
    assert [line.partition("left out for the budget: ")[2] for line in lines] == [
        "2 epochs",  # 4, 6
        "6 epochs",  # 11, 12, 13, 14, 16, 17
    ]


@pytest.mark.gate
def test_a_resumed_training_leaves_out_what_an_uninterrupted_one_does(tmp_path):
    """It was killed after epoch 8, which was left out, as were 4 and 6."""

    def callbacks(folder):
        return [
            Reads(6),
            ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path / folder, verbose=0),
        ]

    train(callbacks("one"), epochs=20, model=linear(rate=0.0), shuffle=False)
    died = linear(rate=0.0)

    class Dies(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 8:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([*callbacks("two"), Dies()], epochs=20, model=died, shuffle=False)
    resumed = linear(rate=0.0)
    (reads, saliency) = callbacks("two")
    reads.on_train_begin = lambda logs=None: resumed.set_weights(died.get_weights())
    train([reads, saliency], epochs=20, initial_epoch=9, model=resumed, shuffle=False)
    (one,) = ks.read_log(tmp_path / "one").values()
    (two,) = ks.read_log(tmp_path / "two").values()
    steps = [-1, 0, 1, 2, 3, 5, 7, 10, 15, 16, 18, 19]
    assert [report.step for report in two.reports] == steps
    for mine, theirs in zip(one.reports, two.reports, strict=True):
        np.testing.assert_array_equal(mine.maps, theirs.maps)
        assert mine.metrics == pytest.approx(theirs.metrics, nan_ok=True)
        assert [alert.sentence for alert in mine.alerts] == [a.sentence for a in theirs.alerts]
    assert [alert.step for report in two.reports for alert in report.alerts] == [15, 16]


# ---------------------------------------------------------------- how much is trained


class Counts(keras.callbacks.Callback):
    """Counts the samples of each epoch."""

    def __init__(self):
        super().__init__()
        self.counter, self.samples = BatchCounter(), []

    def on_train_begin(self, logs=None):
        self.counter.begin_fit(self.model, before=0)

    def on_epoch_begin(self, epoch, logs=None):
        self.counter.begin_epoch()

    def on_train_batch_end(self, batch, logs=None):
        self.counter.end_execution()

    def on_epoch_end(self, epoch, logs=None):
        self.counter.settle(self.params["steps"])
        self.samples.append(self.counter.samples)


class OwnStep(keras.Model):
    """A model whose training step keeps no loss."""

    def train_step(self, batch):
        return {"loss": keras.ops.sum(self.trainable_variables[0]) * 0}


@pytest.mark.parametrize(
    ("batch_size", "at_once", "expected"),
    [(8, 1, 24), (8, 3, 24), (8, 2, 24), (8, 12, 24), (24, 1, 24)],
)
def test_samples_are_counted(batch_size, at_once, expected):
    model, counts = network(), Counts()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=at_once)
    model.fit(*data(24), batch_size=batch_size, epochs=2, verbose=0, callbacks=[counts])
    assert counts.samples == [expected] * 2


def test_samples_of_a_generator_and_of_a_model_that_does_not_count():
    images, labels = data(24)

    def batches():
        while True:
            yield images[:6], labels[:6]

    model, counts = network(), Counts()
    model.fit(batches(), steps_per_epoch=5, epochs=2, shuffle=False, verbose=0, callbacks=[counts])
    assert counts.samples == [30, 30]
    inputs = keras.Input((8, 8, 1))
    own = OwnStep(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    own.compile("sgd", "mse")
    own.fit(images, labels, batch_size=8, epochs=1, verbose=0, callbacks=[counts])
    assert counts.samples[-1] == 3 * 32  # of three batches, as large as by default


def test_a_training_that_is_not_a_fit_has_no_limit():
    images, labels = planted(cue=True)
    model, monitor = linear(), None
    monitor = ks.SaliencyMonitor(model, tagged_probes())
    for epoch in range(6):
        model.train_on_batch(images, labels)
        assert monitor.is_evaluation_due()
        monitor.step(epoch)
    assert monitor.state.work.trained == 0
