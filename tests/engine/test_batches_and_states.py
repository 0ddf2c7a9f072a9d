"""Models of a fixed batch size, and models with a state: each probe is explained on its own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_saliency import Compute, Interventions, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import METHODS

STEPS, FEATURES = 5, 3
SERIES = np.random.default_rng(0).normal(size=(9, STEPS, FEATURES)).astype(np.float32)
TARGETS = np.arange(9) % 2
WITHOUT_LAYERS = sorted(name for name in METHODS if not name.endswith(("cam", "plus_plus")))


class Decay(layers.Layer):
    """Adds a share of what it saw before, in inference, too."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(1, *shape[1:]), initializer="zeros", trainable=False)

    def call(self, inputs):
        outputs = inputs + 0.5 * self.seen
        self.seen.assign(ops.mean(outputs, axis=0, keepdims=True))
        return outputs


def recurrent(stateful):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input(batch_shape=(4 if stateful else None, STEPS, FEATURES)),
            layers.LSTM(4, stateful=stateful),
            layers.Dense(2, activation="softmax"),
        ]
    )


def remembering(stateful):
    keras.utils.set_random_seed(1)
    memory = [Decay()] if stateful else []
    dense = [layers.Flatten(), layers.Dense(4, activation="tanh"), layers.Dense(2)]
    return keras.Sequential([keras.Input((STEPS, FEATURES)), *memory, *dense])


@pytest.mark.slow
@pytest.mark.parametrize("method", WITHOUT_LAYERS)
@pytest.mark.parametrize("make", [recurrent, remembering])
def test_every_pass_starts_from_the_state_that_the_model_has(make, method):
    model, stateless = make(True), make(False)
    weights = [variable for variable in model.variables if variable.trainable]
    for variable, source in zip(weights, stateless.trainable_variables, strict=True):
        variable.assign(source)
    before = [variable.numpy() for variable in model.variables]
    probes = ProbeSet(SERIES, TARGETS, kind="series")
    compute = Compute(batch_size=4)
    found, expected = (
        SaliencyMonitor(net, probes, method=method, compute=compute).evaluate(0)
        for net in (model, stateless)
    )
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found.maps, expected.maps, rtol=1e-3, atol=1e-4 * expected.maps.max()
    )
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_state_that_training_left_is_where_every_pass_starts():
    """With a state of `seen`, the inputs are shifted by half of it."""
    model, stateless = remembering(True), remembering(False)
    for variable, source in zip(
        model.trainable_variables, stateless.trainable_variables, strict=True
    ):
        variable.assign(source)
    state = np.full((1, STEPS, FEATURES), 0.8, np.float32)
    model.layers[0].seen.assign(state)
    monitor = SaliencyMonitor(
        model, ProbeSet(SERIES, TARGETS, kind="series"), compute=Compute(batch_size=2)
    )
    shifted = SaliencyMonitor(stateless, ProbeSet(SERIES + state / 2, TARGETS, kind="series"))
    for step in range(2):
        report = monitor.evaluate(step)
        np.testing.assert_allclose(report.maps, shifted.evaluate(step).maps, rtol=1e-4, atol=1e-6)


IMAGES = np.random.default_rng(0).random((13, 8, 8, 1)).astype(np.float32)


def convolutional(batch_size, *, reshaped):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(batch_shape=(None if reshaped else batch_size, 8, 8, 1))
    maps = layers.Conv2D(3, 3, activation="relu")(inputs)
    flat = ops.reshape(maps, (batch_size or -1, 108))
    return keras.Model(inputs, layers.Dense(2)(flat))


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 4, 13])
@pytest.mark.parametrize("reshaped", [False, True])
@pytest.mark.parametrize("compute", ["auto", Compute(batch_size=5)])
def test_a_model_of_a_fixed_batch_size_is_explained_for_any_number(count, reshaped, compute):
    model, free = convolutional(4, reshaped=reshaped), convolutional(None, reshaped=True)
    probes = ProbeSet(IMAGES[:count], TARGETS.repeat(2)[:count])
    settings = Interventions("epoch")
    found, expected = (
        SaliencyMonitor(net, probes, interventions=settings, compute=compute).step(0)
        for net in (model, free)
    )
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    for one, other in zip(found.interventions.effects, expected.interventions.effects, strict=True):
        np.testing.assert_equal(one.effect, other.effect)
