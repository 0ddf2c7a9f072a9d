"""Looking at a model changes nothing: no variable, no random state, and not its training."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_saliency import Compute, SaliencyMonitor
from support.random_states import global_states, next_draws
from support.small_nets import (
    EXTRAS,
    IMAGES,
    MANY_PROBES,
    NOISES,
    PROBES,
    SHAPE,
    TARGETS,
    compiled,
    contents,
    found_by,
    net_with,
)


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


@pytest.mark.slow
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
    monitor = SaliencyMonitor(model, MANY_PROBES, compute=Compute(batch_size=16))
    for step in range(3):
        report = monitor.evaluate(step)
    assert [v.numpy().tobytes() for v in variables] == values
    assert global_states() == states
    for _ in range(2):
        monitor.intervene(report)
    assert [v.numpy().tobytes() for v in variables] == values
    assert [variable.path for variable in model.variables] == names
    assert global_states() == states


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
def test_the_next_random_numbers_stay(extra):
    def draws(evaluations, tests):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        model = net_with(extra)
        if evaluations:
            monitor = SaliencyMonitor(model, MANY_PROBES, compute=Compute(batch_size=16))
        for step in range(evaluations):
            report = monitor.evaluate(step)
        for _ in range(tests):
            monitor.intervene(report)
        return next_draws()

    alone = draws(evaluations=0, tests=0)
    assert draws(evaluations=2, tests=0) == alone
    assert draws(evaluations=1, tests=1) == alone


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
def test_training_is_the_same_with_and_without(extra):
    def trained(observed):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        model = compiled(net_with(extra))
        monitor = (
            SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3)) if observed else None
        )
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


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_a_model_that_draws_in_python_trains_the_same(draw, run_eagerly):
    class Drawing(layers.Layer):
        def call(self, inputs):
            return inputs * (0.5 + draw())

    def trained(observed):
        keras.utils.set_random_seed(3)
        tf.random.get_global_generator().reset_from_seed(4)
        model = compiled(net_with(Drawing), run_eagerly=run_eagerly)
        if observed:
            monitor = SaliencyMonitor(model, PROBES)
            monitor.intervene(monitor.evaluate(-1))
        model.fit(IMAGES, TARGETS, batch_size=3, verbose=0)
        return [v.numpy().tobytes() for v in model.variables] + next_draws()

    assert trained(True) == trained(False)


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("batch_size", [3, 32])
def test_the_same_evaluation_twice_gives_the_same_bytes(extra, batch_size):
    monitor = SaliencyMonitor(net_with(extra), PROBES, compute=Compute(batch_size=batch_size))
    first = contents(monitor.evaluate(step=0))
    assert contents(monitor.evaluate(step=0)) == first
    keras.random.normal((3,))
    random.random()
    np.random.random()
    assert contents(monitor.evaluate(step=0)) == first


@pytest.mark.slow
@pytest.mark.parametrize("extra", NOISES)
def test_the_same_noise_after_training_went_on(extra):
    """Training moves the seed generators; with a learning rate of 0 it moves nothing else."""
    model = net_with(extra)
    model.layers[1].momentum = 1.0  # BatchNorm's statistics stay, too
    compiled(model, keras.optimizers.SGD(0.0))
    monitor = SaliencyMonitor(model, PROBES)
    first = contents(monitor.evaluate(step=0))
    model.fit(IMAGES, TARGETS, batch_size=2, verbose=0)
    assert contents(monitor.evaluate(step=0)) == first


@pytest.mark.slow
@pytest.mark.parametrize("extra", NOISES)
def test_the_noise_is_there(extra):
    """Else the tests above would show nothing."""
    quiet = net_with(None)
    noisy = net_with(extra)
    noisy.layers[0].set_weights(quiet.layers[0].get_weights())
    noisy.layers[-2].set_weights(quiet.layers[-2].get_weights())
    scores = [SaliencyMonitor(model, PROBES).evaluate(step=0).scores for model in (quiet, noisy)]
    assert np.abs(scores[0] - scores[1]).mean() > 0.1  # noise as large as the images


@pytest.mark.slow
@pytest.mark.parametrize("extra", NOISES)
def test_the_same_interventions_twice_find_the_same(extra):
    monitor = SaliencyMonitor(net_with(extra), MANY_PROBES, compute=Compute(batch_size=16))
    first = found_by(monitor)
    keras.random.normal((3,))
    np.random.random()
    assert found_by(monitor) == first
