import dataclasses
import importlib.util
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from keras import layers

from keras_saliency import ProbeSet, SaliencyMonitor, saliency_maps
from keras_saliency.detection.interventions import intervene
from keras_saliency.monitor import check_method_and_score

ROOT = Path(__file__).parents[1]
SHAPE = (6, 5, 2)
COUNT = 7
IMAGES = np.random.default_rng(0).normal(size=(COUNT, *SHAPE)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 2, 1, 0, 1])
PROBES = ProbeSet(IMAGES, TARGETS)
ROWS = np.arange(COUNT)


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


def small_net(*extra):
    """Convolution, BatchNorm with statistics of its own, dropout, softmax in a layer of its own."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            *extra,
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3),
            layers.Softmax(),
        ]
    )
    batch_norm = model.layers[1]
    batch_norm.moving_mean.assign([0.1, 0.2, -0.1, 0.3])
    batch_norm.moving_variance.assign([0.5, 2.0, 1.0, 0.7])
    return model


def linear_net(units=3, **kwargs):
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(units, **kwargs)])


def by_eager_tape(model, images=IMAGES, targets=TARGETS):
    """Gradient and logits of a model that ends in a dense layer and a softmax layer."""
    logits_model = keras.Model(model.inputs[0], model.layers[-2].output)
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        logits = logits_model(inputs, training=False)
        scores = tf.gather(logits, targets, axis=1, batch_dims=1)
    return tape.gradient(scores, inputs).numpy(), logits.numpy()


def contents(report):
    """A report's arrays as bytes, and its metrics with nan made equal to itself."""
    arrays = {n: v.tobytes() for n, v in vars(report).items() if isinstance(v, np.ndarray)}
    return arrays, {name: repr(value) for name, value in report.metrics.items()}


# ---------------------------------------------------------------- values


def test_compiled_equals_eager():
    model = small_net()
    gradients, logits = by_eager_tape(model)
    report = SaliencyMonitor(model, PROBES).evaluate(step=3)
    assert report.step == 3
    # float32, other order of sums: some ulps of the largest value.
    np.testing.assert_allclose(report.maps, np.abs(gradients).max(axis=-1), rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(gradients.reshape(COUNT, -1).astype(np.float64), axis=1)
    np.testing.assert_allclose(report.gradient_norms, norms, rtol=1e-5)
    np.testing.assert_allclose(report.scores, logits[ROWS, TARGETS], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(report.targets, TARGETS)
    np.testing.assert_array_equal(report.predictions, logits.argmax(axis=1))
    confidences = scipy.special.softmax(logits.astype(np.float64), axis=1).max(axis=1)
    np.testing.assert_allclose(report.confidences, confidences, rtol=1e-5)


def test_metrics_are_those_of_the_report():
    model = small_net()
    kernel = model.layers[0].kernel.numpy()
    later = kernel + 0.1 * np.sign(kernel)
    model.layers[0].kernel.assign(later)
    predictions = by_eager_tape(model)[1].argmax(axis=1)
    targets = predictions.copy()
    targets[[1, 3]] = (predictions[[1, 3]] + 1) % 3  # so these two will be wrong
    model.layers[0].kernel.assign(kernel)
    region = np.zeros(SHAPE[:2], bool)
    region[:2, :2] = True
    masks = np.random.default_rng(3).random((COUNT, *SHAPE[:2])) < 0.3
    groups = ["a", "a", "a", "b", "b", "b", "b"]
    probes = ProbeSet(IMAGES, targets, regions={"corner": region}, masks=masks, groups=groups)
    monitor = SaliencyMonitor(model, probes)
    first = monitor.evaluate(step=0)
    model.layers[0].kernel.assign(later)
    report = monitor.evaluate(step=1, previous=first, before=first)
    gradients, logits = by_eager_tape(model, targets=targets)
    maps = np.abs(gradients).max(axis=-1).astype(np.float64)
    norms = np.linalg.norm(gradients.reshape(COUNT, -1).astype(np.float64), axis=1)
    similarity = [
        scipy.stats.spearmanr(now.ravel(), before.ravel()).statistic
        for now, before in zip(report.maps, first.maps, strict=True)
    ]
    inside = maps[:, :2, :2].sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    inside_before = first.maps[:, :2, :2].sum(axis=(1, 2)) / first.maps.sum(axis=(1, 2))
    on_object = (maps * masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    expected = {
        "gradient_norm": norms.mean(),
        "confidence": scipy.special.softmax(logits, axis=1).max(axis=1).mean(),
        "probe_accuracy": 5 / 7,
        "worst_group_accuracy": 2 / 3,
        "object_enrichment": (on_object / masks.mean(axis=(1, 2))).mean(),
        "dead_maps": 0.0,
        "map_similarity": np.mean(similarity),
        "similarity_to_start": np.mean(similarity),
        "enrichment/corner": inside.mean() / (4 / 30),
        "enrichment_ratio/corner": inside.mean() / inside_before.mean(),
    }
    assert set(expected) <= set(report.metrics) == set(first.metrics)
    for name, value in expected.items():
        assert report.metrics[name] == pytest.approx(value, rel=1e-5), name
        assert type(report.metrics[name]) is float
    assert report.metrics["map_similarity"] < 0.9999
    assert np.isnan(first.metrics["map_similarity"])


def test_mean_gradient_norm_of_large_gradients():
    """Each norm is a float32; so is their mean, though not their sum."""
    model = linear_net(use_bias=False)
    kernel = np.zeros((60, 3), np.float32)
    kernel[0] = 2e38
    model.layers[-1].kernel.assign(kernel)
    images = np.zeros_like(IMAGES)
    report = SaliencyMonitor(model, ProbeSet(images, TARGETS)).evaluate(step=0)
    np.testing.assert_array_equal(report.gradient_norms, np.full(COUNT, np.float32(2e38)))
    assert report.metrics["gradient_norm"] == pytest.approx(2e38, rel=1e-6)


def test_weights_are_live():
    model = linear_net()
    monitor = SaliencyMonitor(model, PROBES)
    for step in range(3):
        kernel = np.random.default_rng(step).normal(size=(60, 3)).astype(np.float32)
        model.layers[-1].kernel.assign(kernel)
        expected = np.abs(kernel.T[TARGETS].reshape(IMAGES.shape)).max(axis=-1)
        np.testing.assert_array_equal(monitor.evaluate(step).maps, expected)


# ---------------------------------------------------------------- chunks and neighbours


@pytest.fixture(scope="module")
def one_by_one():
    """A model, and a report for each of its probes alone."""
    keras.utils.set_random_seed(9)
    model = small_net()
    singles = [ProbeSet(IMAGES[i : i + 1], TARGETS[i : i + 1]) for i in range(COUNT)]
    return model, [SaliencyMonitor(model, probe).evaluate(step=0) for probe in singles]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 7, 32])
def test_a_batch_equals_its_probes_one_by_one(one_by_one, batch_size):
    model, singles = one_by_one
    together = SaliencyMonitor(model, PROBES, batch_size=batch_size).evaluate(step=0)
    assert together.maps.shape == (COUNT, 6, 5)
    for i, alone in enumerate(singles):
        # Kernels for other batch sizes may sum in another order.
        np.testing.assert_allclose(together.maps[i], alone.maps[0], rtol=1e-5, atol=1e-6)
        for name in ("gradient_norms", "scores", "confidences"):
            np.testing.assert_allclose(
                getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-5, atol=1e-6
            )
        assert together.predictions[i] == alone.predictions[0]
        assert together.targets[i] == alone.targets[0]


def test_chunks_are_few_and_even_and_never_pass_the_batch_size():
    sizes = []

    class Seeing(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(3)

        def call(self, inputs, training=False):
            sizes.append(inputs.shape[0])
            return self.dense(self.flatten(inputs))

    model = Seeing()
    model(IMAGES)
    fewest_and_even = {1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 4, 7: 7, 8: 7}
    for batch_size, size in fewest_and_even.items():
        sizes.clear()
        SaliencyMonitor(model, PROBES, batch_size=batch_size).evaluate(step=0)
        assert set(sizes) == {size}


@pytest.mark.parametrize("batch_size", [3, 32])
def test_neighbours_do_not_matter(batch_size):
    model = small_net()
    others = 100 * np.random.default_rng(5).normal(size=IMAGES.shape).astype(np.float32)
    others[2] = IMAGES[2]
    mine = SaliencyMonitor(model, PROBES, batch_size=batch_size).evaluate(step=0)
    targets = np.array([1, 0, 2, 0, 0, 2, 2])
    theirs = SaliencyMonitor(model, ProbeSet(others, targets), batch_size=batch_size).evaluate(0)
    assert mine.maps[2].tobytes() == theirs.maps[2].tobytes()
    assert mine.scores[2] == theirs.scores[2]
    assert mine.gradient_norms[2] == theirs.gradient_norms[2]
    assert mine.confidences[2] == theirs.confidences[2]
    assert (mine.maps[[0, 1, 3]] != theirs.maps[[0, 1, 3]]).any(axis=(1, 2)).all()


# ---------------------------------------------------------------- targets


def test_without_targets_the_first_prediction_stays():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES), batch_size=3)
    dense = model.layers[-1]
    logits = IMAGES.reshape(COUNT, -1) @ dense.kernel.numpy()
    first = logits.argmax(axis=1)
    assert len(set(first)) > 1
    report = monitor.evaluate(step=-1)
    np.testing.assert_array_equal(report.targets, first)
    np.testing.assert_array_equal(report.predictions, first)
    assert "probe_accuracy" not in report.metrics
    kernel = -dense.kernel.numpy()
    dense.kernel.assign(kernel)
    report = monitor.evaluate(step=0)
    np.testing.assert_array_equal(report.targets, first)
    np.testing.assert_array_equal(report.predictions, logits.argmin(axis=1))
    assert (report.predictions != first).all()
    np.testing.assert_allclose(report.scores, -logits[ROWS, first], rtol=1e-5, atol=1e-5)
    expected = np.abs(kernel.T[first].reshape(IMAGES.shape)).max(axis=-1)
    np.testing.assert_array_equal(report.maps, expected)


def test_without_targets_the_first_evaluation_counts_not_the_constructor():
    model = linear_net()
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES))
    model.layers[-1].kernel.assign(-model.layers[-1].kernel.numpy())
    logits = IMAGES.reshape(COUNT, -1) @ model.layers[-1].kernel.numpy()
    np.testing.assert_array_equal(monitor.evaluate(step=0).targets, logits.argmax(axis=1))


def test_without_targets_one_unit():
    model = linear_net(1, activation="sigmoid")
    z = IMAGES.reshape(COUNT, -1) @ model.layers[-1].kernel.numpy()[:, 0]
    report = SaliencyMonitor(model, ProbeSet(IMAGES)).evaluate(step=0)
    assert set(z > 0) == {True, False}
    np.testing.assert_array_equal(report.targets, z > 0)
    np.testing.assert_allclose(report.scores, np.abs(z), rtol=1e-5, atol=1e-5)


def test_without_targets_and_without_classes():
    model = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(1, 1)])
    monitor = SaliencyMonitor(
        model, ProbeSet(IMAGES), score=lambda outputs, targets: outputs[:, 0, 0, 0]
    )
    with pytest.raises(ValueError, match="targets: .*Give targets to the ProbeSet"):
        monitor.evaluate(step=0)


# ---------------------------------------------------------------- one trace


def test_one_trace():
    calls = []

    class Counted(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(3, activation="softmax")

        def call(self, inputs, training=False):
            calls.append(training)
            return self.dense(self.flatten(inputs))

    model = Counted()
    model(IMAGES)
    calls.clear()
    monitor = SaliencyMonitor(model, PROBES, batch_size=3)
    traced = len(calls)
    for step in range(8):
        model.dense.kernel.assign(model.dense.kernel.numpy() * 1.1)
        monitor.evaluate(step)
    assert monitor.trace_count == 1
    assert len(calls) == traced == 1
    assert calls == [False]


def test_one_trace_though_compiled_again():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES)
    for optimizer in ("sgd", "adam"):
        compiled(model, optimizer)
        model.fit(IMAGES, TARGETS, batch_size=4, verbose=0)
        gradients, _ = by_eager_tape(model)
        maps = monitor.evaluate(step=0).maps
        np.testing.assert_allclose(maps, np.abs(gradients).max(axis=-1), rtol=1e-5, atol=1e-6)
    assert monitor.trace_count == 1
    assert monitor.explains(model)


def test_explains_the_model_it_was_made_for():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES)
    assert monitor.explains(model)
    assert not monitor.explains(keras.models.clone_model(model))
    assert not monitor.explains(keras.Sequential([keras.Input(SHAPE), model]))
    model.layers[-2].kernel.assign(model.layers[-2].kernel.numpy() + 1)
    assert monitor.explains(model)


# ---------------------------------------------------------------- reports


def test_reports_are_read_only():
    report = SaliencyMonitor(small_net(), PROBES).evaluate(step=0)
    arrays = [value for value in vars(report).values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 6
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.step = 4


def test_a_report_does_not_change_later():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES, batch_size=3)
    first = monitor.evaluate(step=0)
    before = contents(first)
    model.layers[-2].kernel.assign(-model.layers[-2].kernel.numpy())
    second = monitor.evaluate(step=1)
    assert contents(first) == before
    assert first.scores.tobytes() != second.scores.tobytes()


# ---------------------------------------------------------------- nothing is changed


class UnseededNoise(layers.Layer):
    """Draws in inference from Keras' global seed generator."""

    def call(self, inputs):
        return inputs + keras.random.normal(tf.shape(inputs))


class OwnNoise(layers.Layer):
    """Draws in inference from a seed generator of its own."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(11)

    def call(self, inputs):
        return inputs + keras.random.normal(tf.shape(inputs), seed=self.generator)


class TensorFlowNoise(layers.Layer):
    """Draws in inference from TensorFlow's global generator."""

    def call(self, inputs):
        return inputs + tf.random.get_global_generator().normal(tf.shape(inputs))


class Counter(layers.Layer):
    """Counts its calls, in inference too."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs


NOISES = [UnseededNoise, OwnNoise, TensorFlowNoise]
EXTRAS = [None, Counter, *NOISES]


def net_with(extra):
    return small_net(*([] if extra is None else [extra()]))


def compiled(model, optimizer="adam", **kwargs):
    """Without XLA, which takes seconds to compile."""
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False, **kwargs)
    return model


def global_states():
    return (
        random.getstate(),
        [np.asarray(part).tobytes() for part in np.random.get_state()[1:]],
        tf.random.get_global_generator().state.numpy().tobytes(),
    )


def next_draws():
    """What the five global generators give next."""
    return [
        random.random(),
        np.random.random(),
        tf.random.normal(()).numpy(),
        tf.random.get_global_generator().normal(()).numpy(),
        keras.random.normal(()).numpy(),
    ]


@pytest.mark.parametrize("extra", EXTRAS)
def test_variables_and_random_states_stay(extra):
    model = compiled(net_with(extra), metrics=["accuracy"])
    model.fit(IMAGES, TARGETS, batch_size=4, verbose=0)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    assert len(variables) > 20
    names = [variable.path for variable in model.variables]
    random.seed(1)
    np.random.seed(2)
    values, states = [v.numpy().tobytes() for v in variables], global_states()
    monitor = SaliencyMonitor(model, PROBES, batch_size=3)
    for step in range(3):
        monitor.evaluate(step)
    assert [v.numpy().tobytes() for v in variables] == values
    assert [variable.path for variable in model.variables] == names
    assert global_states() == states


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_next_random_numbers_stay(extra):
    def draws(observed):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        model = net_with(extra)
        if observed:
            monitor = SaliencyMonitor(model, PROBES, batch_size=3)
            monitor.evaluate(step=0)
            monitor.evaluate(step=1)
        return next_draws()

    assert draws(True) == draws(False)


@pytest.mark.parametrize("extra", EXTRAS)
def test_training_is_the_same_with_and_without(extra):
    def trained(observed):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        model = compiled(net_with(extra))
        monitor = SaliencyMonitor(model, PROBES, batch_size=3) if observed else None
        for step in range(4):
            model.train_on_batch(IMAGES + np.random.normal(size=IMAGES.shape), TARGETS)
            if monitor:
                monitor.evaluate(step)
        return [v.numpy().tobytes() for v in [*model.variables, *model.optimizer.variables]]

    assert trained(True) == trained(False)


def test_an_inferring_subclassed_model_that_draws_unseeded_trains_the_same():
    """Its first draw, which makes Keras create its generator, may be ours or training's."""

    class Drawing(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(3)

        def build(self, shape):
            self.flatten.build(shape)
            self.dense.build((None, 60))
            self.built = True

        def call(self, inputs, training=False):
            flat = self.flatten(inputs)
            return tf.nn.softmax(self.dense(flat + keras.random.normal(tf.shape(flat))))

    def trained(observed):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        model = Drawing()
        model.build((None, *SHAPE))
        compiled(model, "sgd")
        states = global_states()
        monitor = SaliencyMonitor(model, PROBES) if observed else None
        if monitor:
            monitor.intervene(monitor.evaluate(-1))
        assert global_states() == states  # Keras would take its seed from Python's `random`
        for step in range(3):
            model.train_on_batch(IMAGES, TARGETS)
            if monitor:
                monitor.evaluate(step)
        return [v.numpy().tobytes() for v in model.variables] + next_draws()

    assert trained(True) == trained(False)


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("batch_size", [3, 32])
def test_the_same_evaluation_twice_gives_the_same_bytes(extra, batch_size):
    monitor = SaliencyMonitor(net_with(extra), PROBES, batch_size=batch_size)
    first = contents(monitor.evaluate(step=0))
    assert contents(monitor.evaluate(step=0)) == first
    keras.random.normal((3,))
    random.random()
    np.random.random()
    assert contents(monitor.evaluate(step=0)) == first


@pytest.mark.parametrize("extra", [UnseededNoise, OwnNoise])
def test_the_same_noise_after_training_went_on(extra):
    """Training moves the seed generators; with a learning rate of 0 it moves nothing else."""
    model = net_with(extra)
    model.layers[1].momentum = 1.0  # BatchNorm's statistics stay, too
    compiled(model, keras.optimizers.SGD(0.0))
    monitor = SaliencyMonitor(model, PROBES)
    first = contents(monitor.evaluate(step=0))
    model.fit(IMAGES, TARGETS, batch_size=2, verbose=0)
    assert contents(monitor.evaluate(step=0)) == first


@pytest.mark.parametrize("extra", NOISES)
def test_the_noise_is_there(extra):
    """Else the tests above would show nothing."""
    quiet = net_with(None)
    noisy = net_with(extra)
    noisy.layers[0].set_weights(quiet.layers[0].get_weights())
    noisy.layers[-2].set_weights(quiet.layers[-2].get_weights())
    scores = [SaliencyMonitor(model, PROBES).evaluate(step=0).scores for model in (quiet, noisy)]
    assert np.abs(scores[0] - scores[1]).mean() > 0.1  # noise as large as the images


# ---------------------------------------------------------------- ways to run


def test_a_model_that_runs_eagerly():
    model = small_net()
    expected = contents(SaliencyMonitor(model, PROBES, batch_size=3).evaluate(step=0))
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    assert contents(SaliencyMonitor(model, PROBES, batch_size=3).evaluate(step=0)) == expected


def test_all_functions_eager():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES, batch_size=3)
    expected = contents(monitor.evaluate(step=0))
    tf.config.run_functions_eagerly(True)
    try:
        assert contents(monitor.evaluate(step=0)) == expected
        again = SaliencyMonitor(model, PROBES, batch_size=3)
        np.testing.assert_allclose(
            again.evaluate(step=0).maps, monitor.evaluate(step=0).maps, rtol=1e-5, atol=1e-6
        )
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_images_of_another_float(dtype):
    model = linear_net()
    images = IMAGES.astype(dtype)
    monitor = SaliencyMonitor(model, ProbeSet(images, TARGETS))
    report = monitor.evaluate(step=1, previous=monitor.evaluate(step=0))
    assert report.maps.dtype == {"float16": np.float32}.get(dtype, dtype)
    kernel = model.layers[-1].kernel.numpy().astype(dtype)
    expected = np.abs(kernel.T[TARGETS].reshape(images.shape)).max(axis=-1)
    np.testing.assert_array_equal(report.maps, expected)
    assert report.metrics["map_similarity"] == pytest.approx(1.0, abs=1e-12)


def test_bfloat16_images():
    probes = ProbeSet(tf.cast(IMAGES, tf.bfloat16).numpy(), TARGETS)
    model = linear_net()
    report = SaliencyMonitor(model, probes).evaluate(step=0)
    kernel = np.abs(model.layers[-1].kernel.numpy())
    expected = kernel.T[TARGETS].reshape(IMAGES.shape).max(axis=-1)
    np.testing.assert_allclose(report.maps.astype(np.float32), expected, rtol=2**-8)


def test_a_model_without_a_fixed_image_size():
    inputs = keras.Input((None, None, 2))
    conv = layers.Conv2D(3, 1, use_bias=False)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(conv(inputs)))
    report = SaliencyMonitor(model, PROBES).evaluate(step=0)
    kernel = conv.kernel.numpy()[0, 0]
    expected = np.abs(kernel.T[TARGETS]).max(axis=-1)[:, None, None] / 30
    np.testing.assert_allclose(report.maps, np.broadcast_to(expected, (COUNT, 6, 5)), rtol=1e-6)


def test_saliency_maps_of_one_image():
    model = linear_net(activation="softmax")
    kernel = model.layers[-1].kernel.numpy()
    image = IMAGES[4:5]
    maps = saliency_maps(model, image, [2])
    np.testing.assert_array_equal(maps, np.abs(kernel[:, 2].reshape(1, *SHAPE)).max(axis=-1))
    predicted = int((image.reshape(-1) @ kernel).argmax())
    own = np.abs(kernel[:, predicted].reshape(1, *SHAPE)).max(axis=-1)
    np.testing.assert_array_equal(saliency_maps(model, image), own)
    times = saliency_maps(model, image, [2], method="input_x_gradient")
    expected = np.abs(image * kernel[:, 2].reshape(1, *SHAPE)).max(axis=-1)
    np.testing.assert_allclose(times, expected, rtol=1e-6)


def test_saliency_maps_by_score_and_batch_size():
    model = linear_net()
    kernel = model.layers[-1].kernel.numpy()

    def twice(outputs, targets):
        return 2 * tf.gather(outputs, targets, axis=1, batch_dims=1)

    maps = saliency_maps(model, IMAGES, TARGETS, score=twice, batch_size=2)
    expected = 2 * np.abs(kernel.T[TARGETS].reshape(IMAGES.shape)).max(axis=-1)
    np.testing.assert_array_equal(maps, expected)


# ---------------------------------------------------------------- what is refused


def test_integer_images():
    probes = ProbeSet(np.zeros((2, *SHAPE), np.uint8), [0, 1])
    with pytest.raises(TypeError, match=r"images: .*floating point.*uint8.*astype\('float32'\)"):
        SaliencyMonitor(linear_net(), probes)


def test_a_model_that_was_never_built():
    model = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"model: .*built model.*keras\.Input.*call it"):
        SaliencyMonitor(model, PROBES)


@pytest.mark.parametrize("shape", [(5, 6, 2), (6, 5, 1), (6, 5, 3)])
def test_images_of_another_shape(shape):
    says = r"images: .*\('num_probes', 6, 5, 2\).*received \(2, " + ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=says):
        SaliencyMonitor(linear_net(), ProbeSet(np.zeros((2, *shape), np.float32), [0, 1]))


def test_a_model_of_vectors():
    model = keras.Sequential([keras.Input((60,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"images: .*\('num_probes', 60\).*\(7, 6, 5, 2\)"):
        SaliencyMonitor(model, PROBES)


def test_several_inputs():
    inputs = [keras.Input(SHAPE), keras.Input((4,))]
    merged = layers.Concatenate()([layers.Flatten()(inputs[0]), inputs[1]])
    with pytest.raises(ValueError, match="model: .*one input.*2"):
        SaliencyMonitor(keras.Model(inputs, layers.Dense(3)(merged)), PROBES)


@pytest.mark.parametrize(
    ("units", "activation", "targets", "says"),
    [
        (3, "softmax", [0, 3], r"targets: .*0\.\.2 .*3 output units.*received 3 for probe 1"),
        (3, None, [7, 0], r"targets: .*0\.\.2 .*received 7 for probe 0"),
        (1, "sigmoid", [1, 2], r"targets: .*0\.\.1 .*1 output unit\).*received 2 for probe 1"),
    ],
)
def test_targets_beyond_the_classes(units, activation, targets, says):
    with pytest.raises(ValueError, match=says):
        SaliencyMonitor(linear_net(units, activation=activation), ProbeSet(IMAGES[:2], targets))


def test_targets_beyond_the_classes_in_a_later_chunk():
    probes = ProbeSet(IMAGES, [0, 0, 0, 0, 0, 0, 3])
    with pytest.raises(ValueError, match=r"targets: .*0\.\.2 .*received 3 for probe 6"):
        SaliencyMonitor(linear_net(), probes, batch_size=2)


@pytest.mark.parametrize("model", [None, "model.keras", lambda x: x, layers.Dense(3)])
def test_what_is_no_model(model):
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    with pytest.raises(TypeError, match=rf"model: .*keras\.Model of Keras 3, received {kind}"):
        SaliencyMonitor(model, PROBES)


def test_what_is_no_probe_set():
    with pytest.raises(TypeError, match="probes: .*ProbeSet, received ndarray"):
        SaliencyMonitor(linear_net(), IMAGES)


def test_unknown_method():
    with pytest.raises(ValueError, match="method: .*'gradient', 'input_x_gradient'.*'gradcam'"):
        SaliencyMonitor(linear_net(), PROBES, method="gradcam")
    with pytest.raises(TypeError, match="method: .*'gradient'.*received None"):
        SaliencyMonitor(linear_net(), PROBES, method=None)
    with pytest.raises(ValueError, match="method: .*'GRADIENT'"):
        check_method_and_score("GRADIENT", "logit")


def test_unknown_score():
    with pytest.raises(
        ValueError, match="score: .*'logit', 'log_probability', 'probability'.*'loss'"
    ):
        SaliencyMonitor(linear_net(), PROBES, score="loss")


@pytest.mark.parametrize(
    ("batch_size", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (2.5, TypeError), ("8", TypeError)],
)
def test_batch_sizes_refused(batch_size, error):
    with pytest.raises(error, match=f"batch_size: .*positive integer.*{batch_size!r}"):
        SaliencyMonitor(linear_net(), PROBES, batch_size=batch_size)


def test_a_legacy_model():
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
    with pytest.raises(TypeError, match=r"model: .*Keras 3, received tf_keras.*not supported"):
        SaliencyMonitor(model, PROBES)


# ---------------------------------------------------------------- in a process of its own


def run_python(script, **environment):
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WRONG_BACKEND = "keras_saliency: expected Keras on the TensorFlow backend, received"


@pytest.mark.parametrize("use", [SaliencyMonitor, lambda m, p: saliency_maps(m, p.images)])
def test_what_keras_says_of_its_backend_counts(monkeypatch, use):
    model = linear_net()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match=f"{WRONG_BACKEND} 'jax'.*KERAS_BACKEND=tensorflow"):
        use(model, PROBES)


@pytest.mark.parametrize(
    ("backend", "needs"), [("numpy", "jax"), ("jax", "jax"), ("torch", "torch")]
)
def test_a_backend_that_is_not_tensorflow(backend, needs):
    if importlib.util.find_spec(needs) is None:  # Keras' NumPy backend imports JAX
        pytest.skip(f"{needs} is not installed")
    printed = run_python(
        """
        import warnings
        warnings.simplefilter("ignore")  # the backend's own
        import keras_saliency as ks, numpy as np, keras
        probes = ks.ProbeSet(np.zeros((2, 4, 4, 1), "float32"), [0, 1])
        drawn = ks.ProbeSet.from_dataset((probes.images, [0, 1]), per_class=1)
        assert drawn.targets.tolist() == [0, 1]
        model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(),
                                  keras.layers.Dense(2)])
        for use in (ks.SaliencyMonitor, lambda m, p: ks.saliency_maps(m, p.images)):
            try:
                use(model, probes)
            except RuntimeError as error:
                print(error)
        """,
        KERAS_BACKEND=backend,
    )
    lines = [
        line for line in printed.splitlines() if line.startswith(f"{WRONG_BACKEND} {backend!r}")
    ]
    assert len(lines) == 2


def test_mirrored_strategy():
    """Two logical CPU devices; the numbers are those of the same weights without a strategy."""
    printed = run_python(
        """
        import warnings
        warnings.simplefilter("ignore")  # TensorFlow's own, about the strategy
        import numpy as np, keras, tensorflow as tf
        from keras_saliency import ProbeSet, SaliencyMonitor
        cpu = tf.config.list_physical_devices("CPU")[0]
        half = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [half, half])

        class Noise(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                self.generator = keras.random.SeedGenerator(5)
            def call(self, x, training=False):
                noise = keras.random.normal((1, 6, 5, 2), seed=self.generator)
                return x + noise

        def net():
            return keras.Sequential([
                keras.Input((6, 5, 2)), Noise(), keras.layers.Conv2D(4, 3, activation="relu"),
                keras.layers.BatchNormalization(), keras.layers.Flatten(),
                keras.layers.Dense(3, activation="softmax")])

        rng = np.random.default_rng(0)
        images, targets = rng.normal(size=(8, 6, 5, 2)).astype("float32"), np.arange(8) % 3
        probes = ProbeSet(images, targets)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2
        with strategy.scope():
            model = net()
            model.compile("sgd", "sparse_categorical_crossentropy")
        single = net()
        single.set_weights(model.get_weights())
        monitor = SaliencyMonitor(model, probes, batch_size=3)

        def plain(model):
            return SaliencyMonitor(model, probes, batch_size=3).evaluate(0)

        reports = [(monitor.evaluate(0), plain(single))]
        model.fit(images, targets, batch_size=8, epochs=2, verbose=0)
        before = [v.numpy().tobytes() for v in model.variables]
        trained = net()
        trained.set_weights(model.get_weights())
        reports.append((monitor.evaluate(1), plain(trained)))
        assert before == [v.numpy().tobytes() for v in model.variables]
        assert monitor.trace_count == 1
        assert np.abs(reports[0][0].maps - reports[1][0].maps).max() > 1e-3
        for one, other in reports:
            np.testing.assert_allclose(one.maps, other.maps, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(one.predictions, other.predictions)
        print("equal")
        """
    )
    assert printed.splitlines()[-1] == "equal"


def test_a_model_with_other_weights_is_traced_anew():
    model = linear_net()
    monitor = SaliencyMonitor(model, PROBES)
    monitor.evaluate(0)
    model.pop()
    model.add(layers.Dense(3))
    np.testing.assert_array_equal(
        monitor.evaluate(1).maps, saliency_maps(model, PROBES.images, PROBES.targets)
    )
    assert monitor.trace_count == 1


@pytest.mark.filterwarnings("ignore:`build")  # Keras, about the layer that is not yet built
def test_weights_that_come_into_being_in_training_do_not_matter():
    class Auxiliary(keras.Model):
        def __init__(self):
            super().__init__()
            self.end, self.flat, self.other = layers.Dense(3), layers.Flatten(), layers.Dense(1)

        def call(self, inputs, training=False):
            flat = self.flat(inputs)
            if training:
                self.other(flat)
            return self.end(flat)

    model = Auxiliary()
    model(PROBES.images)
    monitor = SaliencyMonitor(model, PROBES)
    before = monitor.evaluate(0)
    model(PROBES.images, training=True)
    np.testing.assert_array_equal(monitor.evaluate(1).maps, before.maps)


# ---------------------------------------------------------------- interventions

CORNER = np.zeros(SHAPE[:2], bool)
CORNER[:2, :2] = True
MANY = np.random.default_rng(1).normal(size=(30, *SHAPE)).astype(np.float32)
MANY_TARGETS = np.arange(30) % 3
MANY_PROBES = ProbeSet(MANY, MANY_TARGETS, regions={"corner": CORNER})


def corner_net(activation="softmax"):
    """A linear model that knows many of the probes, for the most part by the corner."""
    model = linear_net(activation=activation)
    flat = MANY.reshape(30, -1).astype(np.float64)
    kernel = np.linalg.lstsq(flat, np.eye(3)[MANY_TARGETS], rcond=None)[0].reshape(*SHAPE, 3)
    kernel[~CORNER] *= 0.2
    model.layers[-1].kernel.assign(kernel.reshape(-1, 3))
    return model


def found_by(monitor, step=0):
    """All that a test evaluation finds, with nan made equal to itself."""
    found = monitor.intervene(monitor.evaluate(step)).interventions
    rows = []
    for effect in found.effects:
        examples = [(e.recipient, e.donor, e.image.tobytes()) for e in effect.examples]
        rows.append((repr(dataclasses.replace(effect, examples=())), examples))
    return rows, found.blocked_because, found.unit, found.passes


def test_interventions_are_those_of_the_pure_function_asked_by_predict():
    model = corner_net()
    monitor = SaliencyMonitor(model, MANY_PROBES, batch_size=8)
    report = monitor.evaluate(step=4)
    with_found = monitor.intervene(report, seed=3)

    def answer(images, targets):
        predicted = model.predict(images, verbose=0)
        return predicted.argmax(axis=1), np.zeros(len(images))

    expected = intervene(
        MANY_PROBES,
        report.maps,
        report.predictions,
        report.scores,
        answer,
        by_score=False,
        chunk_size=1000,
        seed=3,
    )
    found = with_found.interventions
    assert (found.blocked_because, found.unit, found.passes) == (
        expected.blocked_because,
        expected.unit,
        expected.passes,
    )
    assert [effect.test for effect in found.effects] == [e.test for e in expected.effects]
    for one, other in zip(found.effects, expected.effects, strict=True):
        assert repr(dataclasses.replace(one, examples=())) == repr(
            dataclasses.replace(other, examples=())
        )
    corner = found.effects[0]
    assert corner.test == "region/corner"
    assert corner.effect > 0.1
    # The report is the same but for what was found.
    assert contents(with_found)[0] == contents(report)[0]
    assert with_found.metrics["effect/region/corner"] == corner.effect
    assert with_found.metrics["p_value/region/corner"] == corner.p_value
    for name, value in report.metrics.items():
        assert repr(with_found.metrics[name]) == repr(value)
    assert [verdict.effect.test for verdict in with_found.verdicts] == [
        effect.test for effect in found.effects
    ]


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_the_batch_size_changes_no_effect(batch_size):
    model = corner_net()
    assert found_by(SaliencyMonitor(model, MANY_PROBES, batch_size=batch_size)) == found_by(
        SaliencyMonitor(model, MANY_PROBES, batch_size=500)
    )


@pytest.mark.parametrize("extra", EXTRAS)
def test_interventions_leave_variables_and_random_states(extra):
    model = compiled(net_with(extra), metrics=["accuracy"])
    model.fit(IMAGES, TARGETS, batch_size=4, verbose=0)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    random.seed(1)
    np.random.seed(2)
    monitor = SaliencyMonitor(model, MANY_PROBES, batch_size=16)
    report = monitor.evaluate(0)
    values, states = [v.numpy().tobytes() for v in variables], global_states()
    for _ in range(2):
        monitor.intervene(report)
    assert [v.numpy().tobytes() for v in variables] == values
    assert global_states() == states


@pytest.mark.parametrize("extra", EXTRAS)
def test_interventions_leave_the_next_random_numbers(extra):
    def draws(tested):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        monitor = SaliencyMonitor(net_with(extra), MANY_PROBES, batch_size=16)
        report = monitor.evaluate(step=0)
        if tested:
            monitor.intervene(report)
        return next_draws()

    assert draws(True) == draws(False)


@pytest.mark.parametrize("extra", [UnseededNoise, OwnNoise])
def test_the_same_interventions_twice_find_the_same(extra):
    monitor = SaliencyMonitor(net_with(extra), MANY_PROBES, batch_size=16)
    first = found_by(monitor)
    keras.random.normal((3,))
    np.random.random()
    assert found_by(monitor) == first


def test_one_more_trace_for_all_interventions():
    calls = []

    class Counted(layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    model = small_net(Counted())
    calls.clear()
    monitor = SaliencyMonitor(model, MANY_PROBES, batch_size=8)
    assert len(calls) == 1
    for step in range(3):
        model.layers[0].kernel.assign(model.layers[0].kernel.numpy() * 1.1)
        monitor.intervene(monitor.evaluate(step))
    assert len(calls) == 2
    model.pop()
    model.pop()
    model.add(layers.Dense(3))
    calls.clear()
    monitor.intervene(monitor.evaluate(4))
    assert len(calls) == 2  # other weights: both anew


def test_interventions_see_the_weights_of_the_moment():
    model = corner_net()
    monitor = SaliencyMonitor(model, MANY_PROBES)
    monitor.intervene(monitor.evaluate(0))
    kernel = model.layers[-1].kernel.numpy().reshape(*SHAPE, 3)
    kernel[CORNER] = 0
    model.layers[-1].kernel.assign(kernel.reshape(-1, 3))
    found = monitor.intervene(monitor.evaluate(1)).interventions.effects[0]
    assert (found.test, found.effect, found.flip, found.p_value) == ("region/corner", 0, 0, 1)


WITHIN, BESIDE = [(0, 0), (0, 1), (1, 0)], [(3, 0), (5, 2), (2, 4)]
"""By class, the pixel that shows it."""


def two_cues():
    """The class shows in the corner, and elsewhere at 1 (half of the probes) or 3 (the rest)."""
    images, rows = np.zeros((30, *SHAPE), np.float32), np.arange(30)
    for places, values in ((WITHIN, 1), (BESIDE, np.where(rows < 15, 1, 3))):
        top, left = np.array(places)[MANY_TARGETS].T
        images[rows, top, left, 0] = values
    return ProbeSet(images, MANY_TARGETS, regions={"corner": CORNER})


def weigh_corner(model, weight):
    """The sum of both cues; from a weight of 1 (3) on the corner decides for half (all)."""
    kernel = np.zeros((*SHAPE, 3))
    for target, places in enumerate(zip(WITHIN, BESIDE, strict=True)):
        for place, value in zip(places, (weight, 1), strict=True):
            kernel[(*place, 0, target)] = value
    model.layers[-1].kernel.assign(kernel.reshape(-1, 3))


def of_corner(report):
    """Effect, status, whether an alert stands, the start, and the levels announced."""
    (verdict,) = (v for v in report.verdicts if v.effect.test == "region/corner")
    levels = [alert.level for alert in report.alerts if alert.rule == "region/corner"]
    return verdict.effect.effect, verdict.status, verdict.active, verdict.start, levels


def evaluated_at(monitor, model, step, weight):
    weigh_corner(model, weight)
    return monitor.intervene(monitor.evaluate(step))


def test_two_in_a_row_across_evaluations_and_the_start_beside_them():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues(), floors={"region/corner": 0.2})
    reports = [evaluated_at(monitor, model, step, weight) for step, weight in enumerate((2, 4, 5))]
    assert [report.verdicts[0].floor for report in reports] == [0.2] * 3
    assert of_corner(reports[0]) == (
        0.5,
        "fires",
        False,
        pytest.approx(np.nan, nan_ok=True),
        ["warning"],
    )
    assert of_corner(reports[1]) == (1.0, "fires", True, 0.5, ["alert"])
    assert of_corner(reports[2]) == (1.0, "fires", True, 0.5, [])


def test_the_same_state_twice_is_no_two_in_a_row():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues())
    first = evaluated_at(monitor, model, 0, 2)
    for step in (0, 1, 2):
        report = monitor.evaluate(step)
        again = monitor.intervene(report, seed=step)
        assert again.step == step
        assert again.verdicts is first.verdicts
        assert again.interventions is first.interventions
        assert again.alerts == ()
        assert again.metrics["effect/region/corner"] == 0.5
    assert of_corner(evaluated_at(monitor, model, 3, 4))[2:] == (True, 0.5, ["alert"])
    assert of_corner(evaluated_at(monitor, model, 4, 0))[1:3] == ("quiet", True)
    assert of_corner(evaluated_at(monitor, model, 5, 0))[1:3] == ("quiet", True)  # nor is it calmer
    assert of_corner(evaluated_at(monitor, model, 6, 0.5))[1:3] == ("quiet", False)


def test_another_bias_is_another_state_though_the_maps_are_the_same():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues())
    first = evaluated_at(monitor, model, 0, 2)
    model.layers[-1].bias.assign([100.0, 0.0, 0.0])
    second = monitor.intervene(monitor.evaluate(1))
    np.testing.assert_array_equal(first.maps, second.maps)
    assert first.interventions.blocked_because == ""
    assert second.interventions.blocked_because.startswith("the accuracy on the probes is 0.3")


def test_a_monitor_that_forgets_starts_anew():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues(), floors={"region/corner": 0.3})
    evaluated_at(monitor, model, 0, 2)
    assert of_corner(evaluated_at(monitor, model, 1, 4))[2:] == (True, 0.5, ["alert"])
    monitor.forget()
    unknown = pytest.approx(np.nan, nan_ok=True)
    again = monitor.intervene(monitor.evaluate(2))  # the very state that was tested before
    assert of_corner(again) == (1.0, "fires", False, unknown, ["warning"])
    assert again.verdicts[0].floor == 0.3
    assert of_corner(evaluated_at(monitor, model, 3, 2)) == (0.5, "fires", True, 1.0, ["alert"])


@pytest.mark.parametrize("floor", [np.nan, -0.1, 1.5])
def test_floors_refused(floor):
    with pytest.raises(ValueError, match=f"floors: .* from 0 to 1, received {floor} for 'border'"):
        SaliencyMonitor(linear_net(), MANY_PROBES, floors={"border": floor})
    with pytest.raises(TypeError, match="floors: expected a dict"):
        SaliencyMonitor(linear_net(), MANY_PROBES, floors={"border": "0.5"})


def one_number(outputs, targets):
    return outputs[:, 0]


@pytest.mark.parametrize(
    ("units", "activation", "score", "unit"),
    [
        (3, "softmax", "logit", "accuracy"),
        (3, None, "logit", "accuracy"),
        (3, "sigmoid", "logit", "score"),
        (1, "sigmoid", "logit", "accuracy"),
        (1, None, one_number, "score"),
    ],
)
def test_where_no_class_is_predicted_effects_are_told_in_the_score(units, activation, score, unit):
    targets = MANY_TARGETS if units == 3 else MANY_TARGETS % 2
    model = linear_net(units, activation=activation)
    monitor = SaliencyMonitor(model, ProbeSet(MANY, targets), score=score)
    found = monitor.intervene(monitor.evaluate(0)).interventions
    assert found.unit == unit


def signs(activation):
    """A probe's pixels are the signs of its class, and the corner weighs a fifth."""
    targets = np.arange(24) % 2
    images = np.broadcast_to(2.0 * targets[:, None, None, None] - 1, (24, *SHAPE))
    everything = np.ones(SHAPE[:2], bool)
    probes = ProbeSet(
        images.astype(np.float32), targets, regions={"corner": CORNER, "all": everything}
    )
    model = linear_net(1, activation=activation)
    kernel = np.full(SHAPE, 0.8 / (26 * 2))
    kernel[CORNER] = 0.2 / (4 * 2)
    model.layers[-1].kernel.assign(kernel.reshape(-1, 1))
    return model, probes


def test_a_share_of_a_score_of_one_s_own():
    model, probes = signs(None)
    monitor = SaliencyMonitor(model, probes, score=one_number)
    report = monitor.intervene(monitor.evaluate(0))
    effects = {effect.test: effect for effect in report.interventions.effects}
    assert report.interventions.blocked_because == ""
    assert effects["region/corner"].effect == pytest.approx(0.2, rel=1e-5)
    assert effects["region/all"].effect == pytest.approx(1, rel=1e-5)
    assert effects["region/all"].keep == pytest.approx(1)
    assert "flip/region/all" not in report.metrics
    verdicts = {verdict.effect.test: verdict for verdict in report.verdicts}
    assert [verdicts[f"region/{name}"].floor for name in ("corner", "all")] == [0.3, 0.3]


def test_one_unit_is_measured_in_accuracy():
    """A fifth of the sum turns no answer."""
    model, probes = signs("sigmoid")
    monitor = SaliencyMonitor(model, probes)
    report = monitor.intervene(monitor.evaluate(0))
    assert (report.interventions.unit, report.interventions.blocked_because) == ("accuracy", "")
    effects = {effect.test: effect for effect in report.interventions.effects}
    for name, value in (("corner", 0), ("all", 1)):
        effect = effects[f"region/{name}"]
        assert (effect.effect, effect.flip, effect.keep) == (value, value, 1)
    assert report.metrics["flip/region/all"] == 1
    assert {verdict.floor for verdict in report.verdicts if "region" in verdict.effect.test} == {
        0.15
    }


def test_groups_that_fare_differently_are_an_effect_of_their_own():
    """All probes of group b are predicted wrong."""
    model = linear_net(activation="softmax")
    logits = MANY.reshape(30, -1) @ model.layers[-1].kernel.numpy()
    targets = logits.argmax(axis=1)
    groups = np.array(["a", "b"])[(np.arange(30) >= 20).astype(int)]
    targets[20:] = (targets[20:] + 1) % 3
    monitor = SaliencyMonitor(model, ProbeSet(MANY, targets, groups=groups))
    report = monitor.intervene(monitor.evaluate(0))
    verdict = next(v for v in report.verdicts if v.effect.test == "groups")
    assert verdict.effect.effect == 1
    assert verdict.effect.num_probes == 30
    assert verdict.effect.p_value == report.metrics["group_gap_p_value"] == 0.0001
    assert verdict.status == "fires"


def test_interventions_without_targets():
    monitor = SaliencyMonitor(linear_net(activation="softmax"), ProbeSet(MANY))
    report = monitor.intervene(monitor.evaluate(0))
    assert report.interventions.blocked_because == "the probes have no targets"
    assert (report.interventions.effects, report.verdicts, report.alerts) == ((), (), ())
