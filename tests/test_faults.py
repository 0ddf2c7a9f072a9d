"""What goes wrong around a training: each row of docs/faults.md that a fit can show."""

import copy
import pickle
import shutil
import threading

import joblib
import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_score

import keras_saliency as ks
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.tensorboard.writer_thread import wait_for_writers
from support.networks import CLASSES, EVERYTHING, data, fit, network, probes
from support.planted import linear, reading_the_tag, tagged_probes, train
from support.random_states import next_draws

QUICK = {"log_dir": None, "interventions": None, "verbose": 0}


def maps_of(model):
    return ks.saliency_maps(model, probes().images, probes().targets)


def contents(saliency):
    """What a callback has found, with nan made equal to itself."""
    found = [saliency.history, saliency.alerts, saliency.warnings, saliency.effects]
    return [repr(each) for each in found] + [saliency.report.maps.tobytes()]


@pytest.mark.slow
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda used: pickle.loads(pickle.dumps(used))])
def test_a_copy_of_a_used_callback_has_its_history_and_can_be_used(copied, tmp_path):
    used = ks.SaliencyCallback(
        probes(), log_dir=tmp_path, pictures=None, compute=EVERYTHING, verbose=0
    )
    model = network()
    fit([used], model=model)
    other = copied(used)
    assert contents(other) == contents(used)
    assert len(other.effects) == 3
    assert other.model is None
    fit([other], epochs=1, model=model)
    assert other.history["step"] == [-1, 0, 1, 2]  # with the same weights it goes on
    assert other.history["run"] == ["saliency"] * 4
    np.testing.assert_array_equal(other.report.maps, maps_of(model))
    assert used.history["step"] == [-1, 0, 1]
    assert {*ks.read_log(tmp_path)} == {"saliency"}


class StopAndRestore(keras.callbacks.Callback):
    """Ends the training after an epoch, with the weights that there were after the first one."""

    def __init__(self, last):
        super().__init__()
        self.last, self.first = last, None

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.first = self.model.get_weights()
        if epoch == self.last:
            self.model.set_weights(self.first)
            self.model.stop_training = True


@pytest.mark.slow
def test_maps_and_tests_of_a_step_are_of_one_state(tmp_path, capsys):
    """Epoch 4 is not due for tests, until a later callback makes it the last one."""
    keras.utils.set_random_seed(0)
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, pictures=None, compute=EVERYTHING)
    model, states = network(), []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: states.append(maps_of(model))
    )
    fit([look, saliency, StopAndRestore(4)], epochs=20, model=model)
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 4]
    (run,) = ks.read_log(tmp_path).values()
    last = run.reports[-1]
    np.testing.assert_allclose(saliency.report.maps, states[4])
    assert np.abs(states[4] - maps_of(model)).max() > 1e-3
    assert last.interventions is None
    assert last.metrics["gradient_norm"] == pytest.approx(
        saliency.history["gradient_norm"][-1], rel=1e-6
    )
    assert 4 not in [step for step, _ in saliency.effects]
    printed = capsys.readouterr().out
    assert "the weights were changed after epoch 4 had been explained" in printed


@pytest.mark.slow
def test_after_a_callback_that_stops_and_restores_maps_and_tests_are_of_what_is_left():
    saliency, model = ks.SaliencyCallback(probes(), log_dir=None, verbose=0), network()
    fit([StopAndRestore(4), saliency], epochs=20, model=model)
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 4]
    assert saliency.effects[-1][0] == 4
    np.testing.assert_allclose(saliency.report.maps, maps_of(model), rtol=1e-6)


@pytest.mark.slow
def test_a_last_epoch_that_was_not_explained_shows_the_weights_that_are_left():
    saliency = ks.SaliencyCallback(probes(), saliency_freq=4, log_dir=None, verbose=0)
    model = network()
    fit([saliency, StopAndRestore(5)], epochs=20, model=model)
    assert saliency.history["step"] == [-1, 0, 4, 5]
    assert saliency.effects[-1][0] == 5
    np.testing.assert_allclose(saliency.report.maps, maps_of(model), rtol=1e-6)


class Scaled(keras.Model):
    """Its outputs depend on a Python attribute."""

    def __init__(self):
        super().__init__()
        self.alpha, self.flatten = 1.0, keras.layers.Flatten()
        self.dense = keras.layers.Dense(CLASSES)

    def call(self, inputs):
        return keras.ops.softmax(self.alpha * self.dense(self.flatten(inputs)))


@pytest.mark.slow
def test_an_attribute_that_an_eager_model_reads_is_seen():
    model = Scaled()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    saliency = ks.SaliencyCallback(probes(), **QUICK)
    change = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "alpha", 0.0)
    )
    fit([saliency, change], model=model)
    norms = saliency.history["gradient_norm"]
    assert norms[1] > 0.1
    assert norms[2] == 0


@pytest.mark.slow
def test_layers_that_are_frozen_or_replaced_and_compiled_anew_are_seen():
    model = network()
    saliency = ks.SaliencyCallback(probes(), **QUICK)
    for change in ("none", "frozen", "unfrozen", "replaced"):
        model.layers[0].trainable = change != "frozen"
        if change == "replaced":
            model.layers[0].activation = keras.activations.tanh
        model.compile("sgd", "sparse_categorical_crossentropy")
        fit([saliency], epochs=1, model=model)
        np.testing.assert_allclose(saliency.report.maps, maps_of(model), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_cleared_session_between_fits():
    model = network()
    saliency = ks.SaliencyCallback(probes(), **QUICK)
    fit([saliency], epochs=1, model=model)
    keras.backend.clear_session()
    fit([saliency], epochs=1, model=model)
    assert saliency.history["step"] == [-1, 0, 1]
    np.testing.assert_array_equal(saliency.report.maps, maps_of(model))


@pytest.mark.slow
def test_fits_in_threads():
    models = [network(), network()]
    callbacks = [ks.SaliencyCallback(probes(), **QUICK) for _ in models]
    threads = [
        threading.Thread(target=fit, args=([saliency],), kwargs={"model": model})
        for model, saliency in zip(models, callbacks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, saliency in zip(models, callbacks, strict=True):
        assert saliency.history["step"] == [-1, 0, 1]
        np.testing.assert_array_equal(saliency.report.maps, maps_of(model))


@pytest.mark.slow
def test_a_log_that_is_removed_within_a_fit_goes_on(tmp_path):
    saliency = ks.SaliencyCallback(probes(), **QUICK | {"log_dir": tmp_path / "logs"})

    def remove(epoch, logs):
        wait_for_writers()
        if epoch == 1:
            shutil.rmtree(tmp_path / "logs")

    with pytest.warns(UserWarning, match="was removed during training, .* before step 2"):
        fit([saliency, keras.callbacks.LambdaCallback(on_epoch_end=remove)], epochs=4)
    assert saliency.history["step"] == [-1, 0, 1, 2, 3]
    (run,) = ks.read_log(tmp_path / "logs").values()
    assert [report.step for report in run.reports] == [2, 3]


@pytest.mark.slow
def test_a_fit_writes_behind_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = network()
    for epochs in (2, 4):
        saliency = ks.SaliencyCallback(probes(), **QUICK | {"log_dir": "ram://faults/logs"})
        fit([saliency], initial_epoch=epochs - 2, epochs=epochs, model=model)
    (run,) = ks.read_log("ram://faults/logs").values()
    assert [report.step for report in run.reports] == [-1, 0, 1, 2, 3]
    assert [*tmp_path.iterdir()] == []


class Estimator(ClassifierMixin, BaseEstimator):
    """Of scikit-learn; fits with copies of its callbacks, as they reach another process."""

    def __init__(self, callbacks=()):
        self.callbacks = callbacks

    def fit(self, images, labels):
        self.classes_, self.model_ = sorted({*labels}), network()
        callbacks = pickle.loads(pickle.dumps(self.callbacks))
        self.model_.fit(images, labels, epochs=2, verbose=0, callbacks=callbacks)
        return self

    def predict(self, images):
        return self.model_.predict(images, verbose=0).argmax(axis=-1)


@pytest.mark.slow
def test_copies_train_beside_the_original_within_its_fit(tmp_path):
    saliency = ks.SaliencyCallback(probes(), **QUICK | {"log_dir": tmp_path})
    scores = []

    def validate(epoch, logs):
        if epoch == 0:
            with joblib.parallel_config("threading", n_jobs=2):
                scores.extend(cross_val_score(Estimator([saliency]), *data(), cv=2))

    fit([saliency, keras.callbacks.LambdaCallback(on_epoch_end=validate)])
    assert np.isfinite(scores).all()
    steps = {name: [r.step for r in run.reports] for name, run in ks.read_log(tmp_path).items()}
    assert steps == {name: [-1, 0, 1] for name in ("saliency", "saliency_2", "saliency_3")}
    assert saliency.history["run"] == ["saliency"] * 3


class Slices(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return tuple(values[8 * index :][:8] for values in data())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_load_data_change_nothing(tmp_path):
    saliency = ks.SaliencyCallback(
        probes(), log_dir=tmp_path, pictures=None, interventions=None, update_freq=2, verbose=0
    )
    left = []
    for callbacks in ([saliency], []):
        keras.utils.set_random_seed(0)
        model = network()
        batches = Slices(use_multiprocessing=True, workers=2)
        model.fit(batches, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        left.append([*model.get_weights(), *next_draws()[:3], next_draws()[4]])
    for value, other in zip(*left, strict=True):
        np.testing.assert_array_equal(value, other)
    steps = {name: [r.step for r in run.reports] for name, run in ks.read_log(tmp_path).items()}
    assert steps == {"saliency": [-1, 0, 1], "saliency_batches": [2, 4, 6]}


def test_weights_that_are_nan_are_told_once_and_have_no_accuracy(capsys):
    saliency = ks.SaliencyCallback(probes(), log_dir=None, interventions=None)
    model = network()
    breaking = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.layers[-1].bias.assign([np.nan] * CLASSES)
    )
    fit([breaking, saliency], epochs=3, model=model)
    accuracies = saliency.history["probe_accuracy"]
    assert 0 <= accuracies[0] <= 1
    assert np.isnan(accuracies[1:]).all()
    printed = capsys.readouterr().out
    assert printed.count("nan or infinite") == 1
    assert "saliency: step 0: the scores of 6 of 6 probes are nan or infinite" in printed


class Interrupted(Exception):
    """Of a data set."""


@pytest.mark.slow
def test_after_an_error_in_the_data_set_fit_works_again(tmp_path):
    def batches():
        images, labels = data()
        for count in range(5):
            if count == 4:
                raise Interrupted
            yield images[:8], labels[:8]

    saliency = ks.SaliencyCallback(
        probes(), log_dir=tmp_path, pictures=None, interventions=None, verbose=0
    )
    model = network()
    with pytest.raises(tf.errors.OpError, match="Interrupted"):
        model.fit(
            batches(), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0, callbacks=[saliency]
        )
    assert saliency.history["step"] == [-1, 0]
    fit([saliency], epochs=1, model=model)
    np.testing.assert_array_equal(saliency.report.maps, maps_of(model))
    steps = {name: [r.step for r in run.reports] for name, run in ks.read_log(tmp_path).items()}
    assert steps == {"saliency": [-1, 0], "saliency_2": [-1, 0]}


@pytest.mark.slow
def test_after_an_interruption_within_an_evaluation_fit_works_again(tmp_path):
    begun = []

    def interrupting(recipients, donors, where):
        if len(begun) == 2:
            raise KeyboardInterrupt
        return donors

    whole = ks.InterventionTest("whole", interrupting, "the whole image", "it should not")
    saliency = ks.SaliencyCallback(
        tagged_probes(),
        log_dir=tmp_path,
        pictures=None,
        interventions=ks.Interventions("epoch", tests=[whole]),
        verbose=0,
    )
    model = linear(rate=0.01)
    model.set_weights(reading_the_tag())  # so that there are tests
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: begun.append(model.get_weights())
    )
    with pytest.raises(KeyboardInterrupt):
        train([keep, saliency], epochs=5, model=model)
    for value, before in zip(model.get_weights(), begun[-1], strict=True):
        np.testing.assert_array_equal(value, before)
    assert saliency.history["step"] == [-1, 0]
    begun.clear()
    train([saliency], epochs=1, model=model)
    assert saliency.history["step"] == [-1, 0, 1, 2]  # it goes on after the interrupted one
    expected = ks.SaliencyMonitor(model, tagged_probes()).evaluate(0).maps
    np.testing.assert_array_equal(saliency.report.maps, expected)
    assert all(isinstance(r, SaliencyReport) for r in ks.read_log(tmp_path)["saliency"].reports)


@pytest.mark.slow
def test_a_score_that_fails_late_is_named():
    limit = tf.Variable(1e9, trainable=False)

    def bounded(outputs, targets):
        with tf.control_dependencies([tf.debugging.assert_less(outputs, limit)]):
            return tf.gather(outputs, targets, batch_dims=1)

    saliency = ks.SaliencyCallback(probes(), score=bounded, **QUICK)
    fail = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: limit.assign(1e9 if epoch < 1 else -1.0)
    )
    with pytest.raises(RuntimeError, match="score='bounded': expected a function that works"):
        fit([saliency, fail], epochs=3)
    assert saliency.history["step"] == [-1, 0]
