"""Explanations under TensorFlow's hunt for nan, and of models in float8."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.attributions import METHODS
from support.networks import network, probes


@pytest.fixture
def checked_numerics():
    """Any operation that computes a nan or an infinity is an error."""
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_hunt_for_nan_finds_none_in_explanations(method, checked_numerics):
    model = network()
    found = ks.SaliencyMonitor(model, probes(), method=method).step(-1)
    tf.debugging.disable_check_numerics()
    expected = ks.SaliencyMonitor(model, probes(), method=method).step(-1)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    assert found.interventions is not None


def test_a_hunt_for_nan_in_a_regression_finds_none(checked_numerics):
    model = keras.Sequential([network(), keras.layers.Dense(1)])
    inputs = ks.ProbeSet(probes().images)
    report = ks.SaliencyMonitor(model, inputs, score="output").step(-1)
    assert np.isnan(report.confidences).all()
    assert (report.predictions == -1).all()
