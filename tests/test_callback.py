import random
import re
import resource
import signal
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency import TESTS
from keras_saliency.metrics.maps import map_similarity
from support.events import steps
from support.networks import CLASSES, EVERYTHING, data, fit, network, probes
from support.planted import SIDE, Teacher, linear, reading_the_tag, tagged_probes, train


class Noise(keras.layers.Layer):
    """Draws from Keras' global seed generator, in inference too."""

    def call(self, inputs):
        return inputs + 0.1 * keras.random.normal(tf.shape(inputs))


class Dropout(keras.layers.Layer):
    """Dropout that stays on in inference, with a seed generator of its own."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(5)

    def call(self, inputs):
        return keras.random.dropout(inputs, 0.3, seed=self.seeds)


def trained_on_a_generator(extra, is_built, with_callback, log_dir):
    """Everything that a fit leaves behind, on batches drawn from the global generators."""

    def batches():
        images, labels = data(64)
        for _ in range(15):  # as many as are used: one prefetched would move the generators
            chosen = np.random.choice(64, 8)
            flip = -1 if random.random() < 0.5 else 1
            yield images[chosen, :, ::flip], labels[chosen]

    keras.utils.clear_session()  # forgets the global seed generator, which older Keras keeps
    keras.utils.set_random_seed(7)
    tf.random.set_global_generator(tf.random.Generator.from_seed(7))
    model = network(*[layer() for layer in extra], is_built=is_built)
    model.compile("adam", "sparse_categorical_crossentropy")  # which has variables of its own
    callbacks = []
    if with_callback:
        callbacks = [ks.SaliencyCallback(probes(), log_dir=log_dir, update_freq=2, verbose=0)]
    model.fit(batches(), steps_per_epoch=5, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
    variables = [*model.variables, *model.optimizer.variables]
    drawn = [
        np.random.random(3),
        [random.random() for _ in range(3)],
        tf.random.uniform([3]).numpy(),
        keras.random.uniform([3]).numpy(),
        tf.random.get_global_generator().uniform([3]).numpy(),
    ]
    return [variable.numpy() for variable in variables], drawn


@pytest.mark.slow
@pytest.mark.parametrize("is_built", [True, False])
@pytest.mark.parametrize("extra", [(), (Noise, Dropout)], ids=["plain", "random"])
def test_training_is_bit_for_bit_what_it_is_without_the_callback(extra, is_built, tmp_path):
    weights, drawn = trained_on_a_generator(extra, is_built, False, tmp_path)
    watched_weights, watched_drawn = trained_on_a_generator(extra, is_built, True, tmp_path)
    for alone, watched in zip(weights, watched_weights, strict=True):
        np.testing.assert_array_equal(alone, watched)
    for alone, watched in zip(drawn, watched_drawn, strict=True):
        np.testing.assert_array_equal(alone, watched)


def test_each_epoch_and_the_state_before_are_explained(tmp_path):
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
    logs = fit([saliency], epochs=3).history
    assert saliency.history["step"] == [-1, 0, 1, 2]
    assert saliency.history["run"] == ["saliency"] * 4
    assert saliency.history["fit"] == [1] * 4
    metrics = {"gradient_norm", "confidence", "probe_accuracy", "dead_maps", "map_similarity"}
    keys = {f"saliency_{name}" for name in metrics} | {"saliency_alert"}
    assert {key for key in logs if key != "loss"} == keys
    for name in metrics:
        np.testing.assert_array_equal(logs[f"saliency_{name}"], saliency.history[name][1:])
    assert np.isnan(saliency.history["map_similarity"][0])
    assert saliency.report.step == 2


@pytest.mark.slow
def test_maps_are_compared_with_those_before_training():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    model = network()
    start = ks.saliency_maps(model, probes().images, probes().targets)
    fit([saliency], epochs=3, model=model)
    found = saliency.history["similarity_to_start"]
    assert found[-1] == pytest.approx(map_similarity(saliency.report.maps, start), rel=1e-9)
    assert found[1] == saliency.history["map_similarity"][1]
    assert found[3] < saliency.history["map_similarity"][3]
    before = {name: column[:4] for name, column in saliency.history.items() if name != "fit"}
    fit([saliency], epochs=1, model=model)  # it goes on from the same state: the same start
    assert saliency.history["step"] == [-1, 0, 1, 2, 3]
    for name, column in before.items():
        np.testing.assert_array_equal(saliency.history[name][:4], column)
    found = saliency.history["similarity_to_start"]
    assert found[-1] == pytest.approx(map_similarity(saliency.report.maps, start), rel=1e-9)
    model.set_weights([0.5 * weight for weight in model.get_weights()])
    fit([saliency], epochs=1, model=model)  # other weights: another start
    assert saliency.history["step"][5:] == [-1, 0]
    assert np.isnan(saliency.history["similarity_to_start"][5])
    assert saliency.history["similarity_to_start"][6] == saliency.history["map_similarity"][6]


def test_the_last_report_is_that_of_the_trained_model(tmp_path):
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    model = network()
    fit([saliency], model=model)
    maps = ks.saliency_maps(model, probes().images, probes().targets)
    np.testing.assert_array_equal(saliency.report.maps, maps)
    assert list(tmp_path.iterdir()) == []


def test_the_first_report_is_that_of_the_untrained_model():
    model = network()
    untrained = ks.saliency_maps(model, probes().images, probes().targets)
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(saliency.report.maps)
    )
    fit([saliency, look], epochs=1, model=model)
    np.testing.assert_array_equal(seen[0], untrained)


@pytest.mark.slow
def test_the_model_is_traced_once_over_two_fits_and_a_new_compile():
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, update_freq=5, verbose=0)
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs, training=False):
            if not training:
                traces.append(1)
            return inputs

    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), Counting(), *linear().layers])
    model.set_weights(reading_the_tag())  # so that there are tests
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    traces.clear()
    train([saliency], epochs=2, model=model)
    count = len(traces)  # once for the maps, once for the answers to interventions
    assert saliency._monitor.trace_count == 1
    train([saliency], epochs=1, model=model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    train([saliency], epochs=1, model=model)
    assert saliency._monitor.trace_count == 1
    assert len(traces) == count == 2


@pytest.mark.slow
def test_another_model_is_traced_anew():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    fit([saliency])
    model = network()
    fit([saliency], model=model)
    np.testing.assert_array_equal(
        saliency.report.maps, ks.saliency_maps(model, probes().images, probes().targets)
    )


@pytest.mark.slow
def test_layers_added_between_fits_are_seen():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    model = network()
    fit([saliency], model=model)
    model.pop()
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    fit([saliency], model=model)
    np.testing.assert_array_equal(
        saliency.report.maps, ks.saliency_maps(model, probes().images, probes().targets)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("freq", "epochs", "steps"),
    [(2, 5, [-1, 0, 2, 4]), (2, 4, [-1, 0, 2, 3]), (10, 3, [-1, 0, 2]), (1, 1, [-1, 0])],
)
def test_saliency_freq_counts_epochs_and_the_last_is_always_seen(freq, epochs, steps):
    saliency = ks.SaliencyCallback(probes(), log_dir=None, saliency_freq=freq, verbose=0)
    fit([saliency], epochs=epochs)
    assert saliency.history["step"] == steps


@pytest.mark.slow
def test_a_stopped_training_is_seen_at_its_end():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, saliency_freq=4, verbose=0)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 2)
    )
    fit([stop, saliency], epochs=9)
    assert saliency.history["step"] == [-1, 0, 2]


@pytest.mark.slow
@pytest.mark.parametrize(("freq", "batches"), [(2, [2, 4, 6]), (3, [3, 6]), ("batch", range(1, 7))])
def test_update_freq_counts_batches(freq, batches, tmp_path):
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, update_freq=freq, verbose=0)
    fit([saliency])  # 24 images in batches of 8: 3 a epoch
    rows = zip(saliency.history["run"], saliency.history["step"], strict=True)
    assert [step for run, step in rows if run == "saliency_batches"] == list(batches)
    assert saliency.history["step"].count(-1) == 1


@pytest.mark.slow
def test_update_freq_counts_batches_within_one_execution_of_several():
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=2)
    saliency = ks.SaliencyCallback(probes(), log_dir=None, update_freq=2, verbose=0)
    model.fit(*data(32), batch_size=8, epochs=1, verbose=0, callbacks=[saliency])
    assert saliency.history["step"] == [-1, 2, 4, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "optimizer"),
    [
        *(("known", "plain"), ("known", "both"), ("unknown", "scaled"), ("unknown", "both")),
        ("steps_per_epoch", "accumulated"),
    ],
)
def test_steps_are_the_batches_that_were_trained_on(known, optimizer):
    """10 batches an epoch, four per execution: the last execution has two."""
    accumulates = optimizer in ("accumulated", "both")
    adam = keras.optimizers.Adam(gradient_accumulation_steps=4 if accumulates else None)
    is_scaled = optimizer in ("scaled", "both")
    scale = 2.0**127 if optimizer == "scaled" else 1.0  # the first batches are skipped
    used = keras.optimizers.LossScaleOptimizer(adam, initial_scale=scale) if is_scaled else adam
    model = network()
    model.compile(used, "sparse_categorical_crossentropy", steps_per_execution=4)
    images = tf.data.Dataset.from_tensor_slices(data(20)).batch(2)
    if known == "unknown":
        images = images.filter(lambda *_: True)
    if known == "steps_per_epoch":  # three executions of four: Keras trains on 12 batches
        images = images.repeat()
    per_epoch = 12 if known == "steps_per_epoch" else 10
    steps = 10 if known == "steps_per_epoch" else None
    saliency = ks.SaliencyCallback(
        probes(), log_dir=None, update_freq=4, interventions=None, verbose=0
    )
    for fit_number in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(images, steps_per_epoch=steps, verbose=0, callbacks=[saliency])
        assert saliency._progress.batches == per_epoch * (fit_number + 1)
    explained = [4, 8, 12, 16, 20, 24] if per_epoch == 12 else [4, 8, 14, 18]
    rows = zip(saliency.history["run"], saliency.history["step"], strict=True)
    assert [step for run, step in rows if run == "saliency_batches"] == explained


@pytest.mark.slow
def test_the_last_epoch_is_seen_though_a_later_callback_made_it_the_last():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, saliency_freq=4, verbose=0)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 2)
    )
    fit([saliency, stop], epochs=9)
    assert saliency.history["step"] == [-1, 0, 2]


def test_batches_are_counted_whatever_the_model_trains_with():
    class OwnStep(keras.Model):
        def __init__(self):
            super().__init__()
            self.end = keras.layers.Dense(CLASSES)
            self.optimizer_of_mine = keras.optimizers.SGD()

        def call(self, inputs):
            return self.end(keras.ops.reshape(inputs, (-1, 64)))

        def train_step(self, data):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self(data[0]) ** 2)
            gradients = tape.gradient(loss, self.trainable_variables)
            pairs = zip(gradients, self.trainable_variables, strict=True)
            self.optimizer_of_mine.apply_gradients(pairs)
            return {"loss": loss}

    model = OwnStep()
    model.compile()
    saliency = ks.SaliencyCallback(probes(), log_dir=None, update_freq=2, verbose=0)
    fit([saliency], epochs=2, model=model)
    assert saliency.history["step"] == [-1, 2, 0, 4, 6, 1]


@pytest.mark.slow
def test_a_layer_changed_between_fits_is_seen():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    model = network()
    fit([saliency], model=model)
    model.layers[0].activation = keras.activations.tanh
    model.compile("adam", "sparse_categorical_crossentropy")
    fit([saliency], model=model)
    fresh = network()
    fresh.layers[0].activation = keras.activations.tanh
    fresh.set_weights(model.get_weights())
    np.testing.assert_allclose(
        saliency.report.maps,
        ks.saliency_maps(fresh, probes().images, probes().targets),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.slow
def test_a_configuration_that_holds_arrays_is_compared_too():
    model = network(keras.layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1, 1, 1, 1]))
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    fit([saliency], model=model)
    monitor = saliency._monitor
    fit([saliency], model=model)
    assert saliency._monitor is monitor


def test_a_model_that_broke_down_predicts_nothing(tmp_path):
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
    model = network()
    broken = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: model.layers[-1].bias.assign([np.nan] * CLASSES)
    )
    fit([broken, saliency], epochs=1, model=model)
    assert (saliency.report.predictions == -1).all()
    assert np.isnan(saliency.report.confidences).all()
    assert np.isnan(saliency.history["probe_accuracy"][-1])
    assert saliency.history["step"] == [-1, 0]


@pytest.mark.slow
def test_early_stopping_can_watch_a_metric():
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    stop = keras.callbacks.EarlyStopping("saliency_dead_maps", mode="min", patience=1)
    fit([saliency, stop], epochs=6)
    assert saliency.history["step"] == [-1, 0, 1]  # it stays at 0, so patience ends after epoch 1


@pytest.mark.slow
def test_it_says_once_what_it_does_and_what_that_costs(capsys, tmp_path):
    keras.utils.set_random_seed(0)  # of some other weights, the probes could be tested
    model = network()
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path)
    fit([saliency], epochs=3, model=model)
    fit([saliency], epochs=4, initial_epoch=3, model=model)
    first, tests, so_far, in_all = capsys.readouterr().out.strip().split("\n")
    end = f"{model.name}/{model.layers[-1].name}/Softmax"
    assert first == (
        f"saliency: gradient of the logit (the input of '{end}') for 6 probes, every epoch; "
        f"XLA off (CPU); see them with: tensorboard --logdir {tmp_path}"
    )
    assert tests.startswith(
        "saliency: intervention tests (frequent at first, then less often): none; "
    )
    assert "border (" in tests  # of two probes a class not one test can be made
    took = (
        r"evaluations: maps [\d.]+ s, pictures and log [\d.]+ s, tests [\d.]+ s: "
        r"[\d.]+% of the training; "
    )
    assert re.fullmatch(f"saliency: so far 3 {took}less with .+", so_far)
    assert re.fullmatch(rf"saliency: in all 4 {took}[\d.]+ MB on disk", in_all)
    fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)])
    assert capsys.readouterr().out == ""


def test_it_says_once_per_callback_where_the_data_let_a_model_cheat(capsys):
    """Two fits of two models; a border of the class's own brightness, and none."""
    images = np.random.default_rng(0).random((30, 8, 8, 1), "float32")
    labels = np.arange(30) % CLASSES
    planted = images.copy()
    planted[:, 0] = planted[:, -1] = labels[:, None, None] / CLASSES

    def printed(pictures, **settings):
        saliency = ks.SaliencyCallback(ks.ProbeSet(pictures, labels), log_dir=None, **settings)
        fit([saliency], model=network())
        fit([saliency], model=network())
        lines = capsys.readouterr().out.split("\n")
        return [line for line in lines if line.startswith("saliency: audit: ")], saliency

    (line,), saliency = printed(planted)
    assert line == f"saliency: {ks.audit(saliency.probes).in_short}"
    assert "the data let a model cheat there; watched by " in line
    assert "thin_border" in line
    assert saliency.alerts == []
    assert printed(images)[0] == []
    assert printed(planted, verbose=0)[0] == []
    assert printed(planted, interventions=None)[0] == []


def test_numbers_are_not_audited_as_classes(capsys):
    """If the model predicts a count, a column that determines the count is not a leak."""
    counts = np.arange(60) % 6
    rows = np.random.default_rng(0).random((60, 4), "float32")
    rows[:, 1] = counts
    probes = ks.ProbeSet(rows, counts)
    assert ks.audit(probes).findings
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    saliency = ks.SaliencyCallback(probes, log_dir=None)
    model.fit(rows, counts, verbose=0, callbacks=[saliency])
    lines = capsys.readouterr().out
    assert "the targets are numbers to predict, not classes, so they are left out" in lines
    assert "audit" not in lines


def test_what_cannot_be_explained_raises_before_training_begins():
    images, labels = data()
    model = network()
    before = [weight.numpy() for weight in model.weights]
    saliency = ks.SaliencyCallback(ks.ProbeSet(images[:2, 1:], labels[:2]), log_dir=None)
    with pytest.raises(ValueError, match="images: expected shape"):
        fit([saliency], model=model)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


@pytest.mark.slow
def test_a_model_built_by_fit_is_explained():
    model = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(CLASSES, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    saliency = ks.SaliencyCallback(probes(), log_dir=None, verbose=0)
    fit([saliency], model=model)
    weights = np.abs(model.layers[-1].kernel.numpy()).reshape(8, 8, CLASSES)
    for found, target in zip(saliency.report.maps, probes().targets, strict=True):
        np.testing.assert_allclose(found, weights[..., target], rtol=1e-6)


BAD = [
    ("probes", np.zeros((2, 8, 8, 1)), TypeError, "probes: expected a keras_saliency.ProbeSet"),
    ("method", "lime", ValueError, "method: expected one of 'gradient', .*received 'lime'"),
    ("method", 3, TypeError, "method: expected one of"),
    ("score", "loss", ValueError, "score: expected one of 'auto', 'logit', .*received 'loss'"),
    ("score", None, TypeError, "score: expected one of"),
    ("saliency_freq", 0, ValueError, "saliency_freq: expected a positive integer, received 0"),
    ("saliency_freq", True, TypeError, "saliency_freq: expected a positive integer"),
    ("update_freq", 0, ValueError, "update_freq: expected a positive integer, received 0"),
    ("update_freq", -1, ValueError, "update_freq: expected a positive integer, received -1"),
    ("update_freq", 2.5, TypeError, "update_freq: expected a positive integer, received 2.5"),
    ("update_freq", True, TypeError, "update_freq: expected a positive integer, received True"),
    ("update_freq", "banana", ValueError, "update_freq: expected one of 'epoch', 'batch'"),
    ("verbose", 3, ValueError, "verbose: expected 0 or 1, received 3"),
    ("verbose", True, TypeError, "verbose: expected 0 or 1, received True"),
    ("verbose", None, TypeError, "verbose: expected 0 or 1, received None"),
    ("verbose", "1", TypeError, "verbose: expected 0 or 1, received '1'"),
    ("verbose", np.ones(2), TypeError, r"verbose: expected 0 or 1, received array\(\[1., 1.\]\)"),
    ("on_alert", np.ones(2), TypeError, r"on_alert: expected 'warn', .* received array\(\["),
    ("log_dir", 3, TypeError, "log_dir: expected a path, received 3"),
    (
        "log_dir",
        "s4://b/logs",
        ValueError,
        "log_dir: expected .* knows .file, gs.* received 's4://b",
    ),
    ("log_dir", "hdfs:/logs", ValueError, "log_dir: expected .* a URL as a string, received 'hdfs"),
    ("log_dir", Path("gs://a"), ValueError, "log_dir: expected a directory, or a URL as a string"),
    ("interventions", "always", ValueError, "interventions: expected 'auto', 'epoch', None"),
    ("interventions", 3, TypeError, "interventions: expected 'auto', 'epoch', None .no tests. or"),
    ("on_alert", "print", ValueError, "on_alert: expected 'warn', 'stop', a function of an alert"),
    ("on_alert", 1, TypeError, "on_alert: expected 'warn', 'stop', a function of an alert, or"),
    ("pictures", "hot", ValueError, "pictures: expected 'auto', None .no pictures. or"),
    ("compute", 32, TypeError, "compute: expected 'auto' or ks.Compute"),
]


@pytest.mark.parametrize(("argument", "value", "error", "message"), BAD)
def test_a_bad_argument_is_named_with_what_was_expected(argument, value, error, message):
    arguments = {"probes": probes(), "log_dir": None, argument: value}
    with pytest.raises(error, match=message):
        ks.SaliencyCallback(arguments.pop("probes"), **arguments)


@pytest.mark.parametrize("update_freq", ["epoch", 1])
def test_events_before_the_training_begins_are_refused(update_freq):
    callback = ks.SaliencyCallback(probes(), log_dir=None, update_freq=update_freq)
    events = (callback.on_epoch_begin, callback.on_train_batch_end, callback.on_epoch_end)
    for event in [*events, *events]:
        with pytest.raises(RuntimeError, match="expected on_train_begin before .*model.fit"):
            event(0)
    with pytest.raises(RuntimeError, match="expected on_train_begin before other events"):
        callback.on_train_end()


def test_a_log_dir_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for log_dir in (file, file / "logs"):
        with pytest.raises(ValueError, match=r"log_dir: expected a directory.*notes.txt is a file"):
            ks.SaliencyCallback(probes(), log_dir=log_dir)


class FullDisk(keras.callbacks.Callback):
    """Lets no file grow beyond 1000 bytes while the callbacks after it end some epochs."""

    def __init__(self, *epochs):
        super().__init__()
        self.epochs, self.usual = epochs, resource.getrlimit(resource.RLIMIT_FSIZE)
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def on_epoch_end(self, epoch, logs=None):
        largest = 1000 if epoch in self.epochs else self.usual[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, self.usual[1]))

    def clean(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.usual)
        signal.signal(signal.SIGXFSZ, self.handler)


@pytest.fixture
def full_disk():
    """Makes a `FullDisk`."""
    made = []

    def make(*epochs):
        made.append(FullDisk(*epochs))
        return made[0]

    yield make
    made[0].clean()


@pytest.mark.slow
def test_a_full_disk_is_said_once_an_outage_and_its_steps_are_written_later(tmp_path, full_disk):
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, interventions="epoch", verbose=0)
    with pytest.warns(UserWarning, match="could not be written") as warned:
        fit([full_disk(1, 2, 4), saliency], epochs=6)
    told = [re.match(r"saliency: step (\d) could not be", str(one.message)) for one in warned]
    assert [one and one[1] for one in told] == ["1", "4"]
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 4, 5]
    with pytest.warns(UserWarning, match="within a record"):  # what was begun on the full disk
        log = ks.read_log(tmp_path)["saliency"]
    assert [one.step for one in log.reports] == [-1, 0, 1, 2, 3, 4, 5]
    assert all(one.interventions for one in log.reports)
    assert not log.problems
    np.testing.assert_allclose(log.reports[2].metrics["gini"], saliency.history["gini"][2])


@pytest.mark.slow
def test_what_could_not_be_written_until_the_end_is_said_to_be_lost(tmp_path, full_disk):
    saliency = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
    with pytest.warns(UserWarning, match="saliency: ") as warned:
        fit([full_disk(1, 2), saliency], epochs=3)
    assert [str(one.message).partition(" (")[0] for one in warned][1:] == [
        "saliency: the results of these steps are lost: 1, 2"
    ]
    assert saliency.history["step"] == [-1, 0, 1, 2]


@pytest.mark.slow
def test_phases_of_a_training_are_in_one_run_beside_an_older_training(tmp_path):
    """The model is compiled anew between them; the older training ended before the second one."""
    older = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)
    fit([older], epochs=2)
    saliency, model = ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0), network()
    fit([saliency], epochs=3, model=model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.layers[-1].trainable = False
    fit([saliency], epochs=5, initial_epoch=3, model=model)
    found = {name: [r.step for r in log.reports] for name, log in ks.read_log(tmp_path).items()}
    assert found == {"saliency": [-1, 0, 1], "saliency_2": [-1, 0, 1, 2, 3, 4]}


# ---------------------------------------------------------------- interventions and alerts


@pytest.mark.slow
def test_a_cue_in_a_named_region_is_caught(capsys):
    heard = []
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, on_alert=heard.append, verbose=0)
    logs = train([saliency], epochs=5).history
    by_rule = {alert.rule: alert for alert in saliency.alerts}
    alert = by_rule["region/tag"]
    assert len(by_rule) == len(saliency.alerts)
    assert heard == saliency.alerts
    assert alert.level == "alert"
    # The warning came at the test before.
    warning = next(other for other in saliency.warnings if other.rule == "region/tag")
    assert (warning.level, warning.step) == ("warning", alert.step - 1)
    # One line for the alerts of an epoch, with the first in full, and nothing else.
    epochs = sorted({alert.step for alert in saliency.alerts})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(epochs)
    for line, epoch in zip(lines, epochs, strict=True):
        first, *others = [alert for alert in saliency.alerts if alert.step == epoch]
        also = f" Also: {', '.join(other.rule for other in others)}." if others else ""
        assert line == f"saliency: alert: {first.sentence}{also}"
    assert logs["saliency_alert"] == [float(epoch >= epochs[0]) for epoch in range(5)]
    # The number is that of the history, and of the effects kept.
    row = saliency.history["step"].index(alert.step)
    assert saliency.history["effect/region/tag"][row] == alert.effect > 0.3
    kept = {effect.test: effect for effect in dict(saliency.effects)[alert.step]}
    assert kept["region/tag"].effect == alert.effect
    assert kept["region/tag"].examples == ()
    assert alert.num_probes == 36


@pytest.mark.slow
@pytest.mark.parametrize("action", ["ignore", "error"])
def test_an_alert_is_printed_whatever_python_does_with_warnings(action, capsys):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        fitted = train([saliency], epochs=5)
    assert len(fitted.epoch) == 5
    printed = capsys.readouterr().out
    assert f"saliency: alert: {saliency.alerts[0].sentence}" in printed


@pytest.mark.slow
def test_without_on_alert_alerts_are_in_the_list_alone(capsys):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, on_alert=None, verbose=0)
    train([saliency], epochs=5)
    assert saliency.alerts
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_without_the_cue_nothing_is_said():
    """Warnings are errors here. The lit pixel is there, and says nothing."""
    told = []
    saliency = ks.SaliencyCallback(
        tagged_probes(cue=False),
        log_dir=None,
        on_alert=told.append,
        compute=EVERYTHING,
        verbose=0,
    )
    logs = train([saliency], cue=False, epochs=8).history
    assert (saliency.alerts, saliency.warnings, told) == ([], [], [])
    assert logs["saliency_alert"] == [0.0] * 8
    assert saliency.history["probe_accuracy"][-1] > 0.6  # the gate was open
    assert saliency.report.interventions.blocked_because == ""


@pytest.mark.slow
def test_an_alert_can_stop_the_training():
    callback = ks.SaliencyCallback(tagged_probes(), log_dir=None, verbose=0, on_alert="stop")
    fitted = train([callback], epochs=30)
    assert fitted.epoch[-1] == callback.alerts[0].step < 10


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["stop", "go on", None])
def test_a_function_can_stop_the_training(answer, capsys):
    heard = []

    def on_alert(alert):
        heard.append(alert)
        return answer

    callback = ks.SaliencyCallback(tagged_probes(), log_dir=None, verbose=0, on_alert=on_alert)
    fitted = train([callback], epochs=6)
    assert heard == callback.alerts
    assert heard[0].sentence in capsys.readouterr().out
    assert fitted.epoch[-1] == (heard[0].step if answer == "stop" else 5)


@pytest.mark.slow
def test_what_a_function_raises_ends_the_training():
    def on_alert(alert):
        raise RuntimeError("enough")

    callback = ks.SaliencyCallback(tagged_probes(), log_dir=None, verbose=0, on_alert=on_alert)
    with pytest.raises(RuntimeError, match="enough"):
        train([callback], epochs=6)


@pytest.mark.slow
def test_what_is_ignored_is_shown_and_never_raises_an_alert():
    everything = ["region", *(test for test in TESTS if test != "region")]
    saliency = ks.SaliencyCallback(
        tagged_probes(),
        log_dir=None,
        verbose=0,
        interventions=ks.Interventions(ignore=everything),
    )
    train([saliency], epochs=5)
    assert (saliency.alerts, saliency.warnings) == ([], [])
    verdicts = {verdict.effect.test: verdict for verdict in saliency.report.verdicts}
    verdict = verdicts["region/tag"]
    assert verdict.effect.effect > 0.3
    assert (verdict.status, verdict.reason) == ("finding", "ignored, as set by ignore=")


@pytest.mark.slow
def test_floors_keep_what_is_usual_quiet():
    usual = dict.fromkeys(["region/tag", *TESTS], 1.0)
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=None, verbose=0, interventions=ks.Interventions(floors=usual)
    )
    train([saliency], model=linear(rate=0.01))
    assert (saliency.alerts, saliency.warnings) == ([], [])
    assert saliency.history["effect/region/tag"][-1] > 0.3
    (floor,) = {verdict.floor for verdict in saliency.report.verdicts}
    assert floor == 1.0


@pytest.mark.slow
def test_a_warning_is_printed(capsys):
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None)
    train([saliency], model=linear(rate=0.01))  # which stays below an effect of 1
    printed = capsys.readouterr().out
    assert f"saliency: warning: {saliency.warnings[0].sentence}" in printed


def test_a_withdrawn_alert_is_printed(capsys):
    """A model that reads the tag, and from epoch 2 on the bars alone."""

    class Forgetful(Teacher):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch + 1)
            if epoch >= 2:
                kernel = np.zeros((SIDE, SIDE, CLASSES))
                for target in range(CLASSES):
                    kernel[3 + 2 * target : 5 + 2 * target, 3:9, target] = epoch
                self.model.set_weights([kernel.reshape(-1, CLASSES), np.zeros(CLASSES)])

    tests = ks.Interventions("epoch", tests=["region"])
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, interventions=tests)
    train([Forgetful(), saliency], model=linear(rate=0.0))
    assert [(alert.step, alert.withdrawn) for alert in saliency.alerts] == [(1, 3)]
    printed = capsys.readouterr().out.splitlines()
    told = [line for line in printed if "withdrawn" in line]
    assert told == ["saliency: alert withdrawn: region/tag (quiet at two tests in a row)"]


@pytest.mark.slow
def test_interventions_do_not_change_the_training():
    weights = []
    for interventions in (None, "epoch"):
        saliency = ks.SaliencyCallback(
            tagged_probes(cue=False), log_dir=None, interventions=interventions, verbose=0
        )
        model = linear()
        train([saliency], cue=False, model=model)
        weights.append([variable.numpy().tobytes() for variable in model.variables])
    assert weights[0] == weights[1]


def alert_tags(log_dir):
    return {tag for tag in steps(log_dir / "saliency") if tag.startswith("saliency_alert/")}


def token_fit(log_dir, regions):
    """A training on texts in which token 9 is the class."""
    tokens = np.random.default_rng(0).integers(1, 8, (60, 6)).astype("int32")
    labels = np.arange(60) % 2
    tokens[labels == 1, 0] = 9
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(10, 4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    probes = ks.ProbeSet(tokens, labels, kind="tokens", regions=regions(tokens))
    saliency = ks.SaliencyCallback(probes, log_dir=log_dir, verbose=0, on_alert=None)
    logs = model.fit(tokens, labels, epochs=4, verbose=0, callbacks=[saliency]).history
    return saliency, logs


@pytest.mark.slow
def test_where_nothing_can_be_tested_no_alert_is_logged_as_0(tmp_path):
    """0 would read as: tested, and fine."""
    saliency, logs = token_fit(tmp_path, lambda tokens: {})
    assert "saliency_alert" not in logs
    assert "saliency_gradient_norm" in logs
    assert alert_tags(tmp_path) == set()
    assert saliency.report.verdicts == ()


@pytest.mark.slow
def test_a_token_that_is_named_is_caught(tmp_path):
    saliency, logs = token_fit(tmp_path, lambda tokens: {"token 9": tokens == 9})
    assert [alert.rule for alert in saliency.alerts] == ["region/token 9"]
    assert "with an input of another class" in saliency.alerts[0].sentence
    assert logs["saliency_alert"][-1] == 1.0
    assert alert_tags(tmp_path) == {"saliency_alert/region/token 9"}
    log = ks.read_log(tmp_path)["saliency"]
    raised = [alert.rule for report in log.reports for alert in report.alerts]
    assert raised == ["region/token 9"] * 2  # a warning, and the alert
    assert log.problems == ()


def test_without_interventions_there_is_nothing_of_them():
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, interventions=None, verbose=0)
    logs = train([saliency], epochs=3).history
    assert "saliency_alert" not in logs
    assert not any("/tag" in name and "effect" in name for name in saliency.history)
    assert (saliency.effects, saliency.alerts, saliency.warnings) == ([], [], [])
    assert saliency.report.interventions is None


def steps_tested(saliency):
    """The steps with a round of tests, also if the model did not know the classes."""
    return [step for step, _ in saliency.effects]


@pytest.mark.slow
def test_tests_are_made_at_epochs_ever_further_apart_and_at_the_last():
    """With a learning rate of 0 nothing moves and nothing fires."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, compute=EVERYTHING, verbose=0)
    train([saliency], epochs=14, model=linear(rate=0.0))
    assert saliency.history["step"] == list(range(-1, 14))
    due = [-1, 0, 1, 2, 3, 5, 7, 10, 13]  # evaluations 0, 1, 2, 3, 4, 6, 8, 11, and the last
    assert steps_tested(saliency) == due
    assert [step for step, _ in saliency.effects] == due
    assert {len(column) for column in saliency.history.values()} == {15}


@pytest.mark.slow
def test_tests_at_every_epoch():
    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=None, interventions="epoch", saliency_freq=2, verbose=0
    )
    train([saliency], epochs=9, model=linear(rate=0.0))
    assert steps_tested(saliency) == saliency.history["step"] == [-1, 0, 2, 4, 6, 8]


@pytest.mark.slow
def test_after_an_alert_tests_are_seldom_again():
    """It fires at epochs 1 and 2; a model that knows nothing is not asked at all."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, compute=EVERYTHING, verbose=0)
    reports = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: reports.append(saliency.report)
    )
    train([saliency, Teacher(), look], epochs=12, model=linear(rate=0.0))
    assert {alert.step for alert in saliency.alerts} == {2}
    assert steps_tested(saliency) == [-1, 0, 1, 2, 3, 5, 7, 10, 11]
    assert [report.interventions.passes for report in reports[:2]] == [0, 0]
    assert reports[2].interventions.passes > 0


@pytest.mark.slow
def test_a_metric_that_moved_is_tested():
    """At epoch 8, which is not due, the model suddenly knows the tag."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, compute=EVERYTHING, verbose=0)
    model = linear(rate=0.0)

    def learn(epoch, logs):
        if epoch >= 8:
            model.set_weights(reading_the_tag(epoch))

    begin = keras.callbacks.LambdaCallback(on_epoch_begin=learn)
    train([saliency, begin], epochs=12, model=model)
    assert steps_tested(saliency) == [-1, 0, 1, 2, 3, 5, 7, 8, 9, 10, 11]
    # Fires at 8 for the first time, and so 9 is tested and alerts.
    by_rule = {alert.rule: alert for alert in saliency.alerts}
    assert by_rule["region/tag"].step == 9
    assert by_rule["region/tag"].effect == 1
    assert by_rule["region/tag"].flip == 1
    assert {w.step for w in saliency.warnings if w.rule == "region/tag"} == {8}


@pytest.mark.slow
def test_a_loop_of_fits_of_one_epoch_is_tested_as_one_fit(tmp_path):
    """Nothing moves and nothing fires: evaluations 0, 1, 2, 3, 4, 6, 8 and 11 are due."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, compute=EVERYTHING, verbose=0)
    model = linear(rate=1e-5)
    for epoch in range(12):
        train([saliency], epochs=epoch + 1, initial_epoch=epoch, model=model)
    assert [step for step, _ in saliency.effects] == [-1, 0, 1, 2, 3, 5, 7, 10]
    assert ks.read_log(tmp_path).keys() == {"saliency"}
    one_fit = ks.SaliencyCallback(tagged_probes(), log_dir=None, compute=EVERYTHING, verbose=0)
    train([one_fit], epochs=12, model=linear(rate=1e-5))
    row = [name for name in one_fit.history if name not in ("fit", "run", "step")]
    assert saliency.history["step"] == one_fit.history["step"]
    for name in ("map_similarity", "similarity_to_start", "probe_accuracy"):
        assert name in row
        np.testing.assert_allclose(saliency.history[name], one_fit.history[name], rtol=1e-5)


@pytest.mark.slow
def test_a_last_epoch_that_a_later_callback_made_the_last_is_tested():
    saliency = ks.SaliencyCallback(
        tagged_probes(cue=False), log_dir=None, compute=EVERYTHING, verbose=0
    )
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 4)
    )
    logs = train([saliency, stop], cue=False, epochs=20, model=linear(rate=1e-4)).history
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 4]
    assert steps_tested(saliency) == [-1, 0, 1, 2, 3, 4]
    assert {len(column) for column in saliency.history.values()} == {6}
    # The rest of the row is what it was at the epoch's end.
    for name in ("map_similarity", "gradient_norm", "probe_accuracy"):
        np.testing.assert_array_equal(logs[f"saliency_{name}"], saliency.history[name][1:])


def weighing(*weights):
    """At the start of each epoch of a fit, the tag gets the next one of these weights."""
    rest = iter(weights)
    learn = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: learn.model.set_weights(reading_the_tag(next(rest)))
    )
    return learn


@pytest.mark.slow
def test_one_state_of_a_model_is_no_two_in_a_row():
    """Neither at a later epoch nor at the start of the next fit."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, verbose=0)
    model = linear(rate=0.0)
    train([saliency, weighing(0, 1, 1)], epochs=3, model=model)
    levels = [(w.rule, w.step) for w in saliency.warnings if w.rule == "region/tag"]
    assert levels == [("region/tag", 1)]
    train([saliency], epochs=4, initial_epoch=3, model=model)
    train([saliency], epochs=3, model=model)  # goes on after step 3
    assert saliency.alerts == []
    assert len(saliency.warnings) == len({w.rule for w in saliency.warnings})
    # Each of these has the numbers of the one test of this state.
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 4, 5, 6]
    assert saliency.history["effect/region/tag"][2:] == [1.0] * 6
    train([saliency, weighing(2)], epochs=4, initial_epoch=3, model=model)
    assert saliency.history["step"] == [-1, 0, 1, 2, 3, 4, 5, 6, 7]
    assert {alert.step for alert in saliency.alerts} == {7}
    assert "region/tag" in {alert.rule for alert in saliency.alerts}


@pytest.mark.slow
def test_the_next_fit_of_a_model_with_other_weights_starts_anew():
    """No streak, no standing alert and no start of the weights before."""
    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=None, verbose=0)
    model = linear(rate=0.0)
    train([saliency, weighing(1, 2)], epochs=2, model=model)
    assert {alert.step for alert in saliency.alerts} == {1}
    told = len(saliency.alerts), len(saliency.warnings)
    model.set_weights([np.zeros((SIDE * SIDE, CLASSES)), np.zeros(CLASSES)])
    logs = train([saliency], epochs=2, model=model).history
    assert logs["saliency_alert"] == [0.0, 0.0]
    assert (len(saliency.alerts), len(saliency.warnings)) == told
    verdict = saliency.report.verdicts[0]
    assert (verdict.effect.test, verdict.status) == ("region/tag", "untestable")
    assert np.isnan(verdict.start)
    assert not verdict.active
    model.set_weights(reading_the_tag(3))
    train([saliency], epochs=1, model=model)  # the first test of these weights warns
    assert len(saliency.alerts) == told[0]
    assert saliency.warnings[told[1] :][0].step == -1
    train([saliency, weighing(4)], epochs=1, model=model)
    again = [alert for alert in saliency.alerts[told[0] :] if alert.rule == "region/tag"]
    assert [(alert.step, alert.level, alert.start) for alert in again] == [(1, "alert", 1)]
