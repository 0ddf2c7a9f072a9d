"""Explanations under TensorFlow's hunt for nan, and of models in float8."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from support.networks import network, probes


@pytest.fixture
def checked_numerics():
    """Any operation that computes a nan or an infinity is an error."""
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["gradient", "vargrad", "integrated_gradients", "grad_cam_plus_plus", "occlusion"]
)
def test_a_hunt_for_nan_finds_none_in_explanations(method, checked_numerics):
    model = network()
    found = ks.SaliencyMonitor(model, probes(), method=method).step(-1)
    tf.debugging.disable_check_numerics()
    expected = ks.SaliencyMonitor(model, probes(), method=method).step(-1)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    assert found.interventions is not None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
def test_a_hunt_for_nan_lets_float16_overflow_where_it_has_to(method, checked_numerics):
    """A loss scale that is too large overflows; the next one does not."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    model.layers[0].kernel.assign(3e3 * model.layers[0].kernel)
    found = ks.SaliencyMonitor(model, probes(), method=method).evaluate(-1)
    tf.debugging.disable_check_numerics()
    expected = ks.SaliencyMonitor(model, probes(), method=method).evaluate(-1)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=2e-2, atol=1e-2 * found.maps.max())


def test_a_hunt_for_nan_in_a_regression_finds_none(checked_numerics):
    model = keras.Sequential([network(), keras.layers.Dense(1)])
    inputs = ks.ProbeSet(probes().images)
    report = ks.SaliencyMonitor(model, inputs, score="output").step(-1)
    assert np.isnan(report.confidences).all()
    assert (report.predictions == -1).all()


# ---------------------------------------------------------------- float8


def in_float8(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.quantize("float8")


@pytest.mark.slow
def test_gradients_in_float8_are_as_large_as_without():
    """Keras clips them to the range of the loss's gradients, which are much smaller."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((64, 8, 8, 1), "float32"), np.arange(64) % 3

    def make():
        keras.utils.set_random_seed(0)
        hidden = keras.layers.Dense(16, activation="tanh")
        return keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(), hidden, keras.layers.Dense(3)]
        )

    model, plain = make(), make()
    in_float8(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    saliency = ks.SaliencyCallback(
        ks.ProbeSet(images, labels), log_dir=None, interventions=None, verbose=0
    )
    model.fit(images, labels, epochs=3, verbose=0, callbacks=[saliency])
    for ours, other in zip(model.layers[1:], plain.layers[1:], strict=True):
        other.set_weights([ours.kernel.numpy(), ours.bias.numpy()])
    exact = ks.SaliencyMonitor(plain, ks.ProbeSet(images, labels)).evaluate(2)
    report = saliency.report
    norms, expected = report.gradient_norms, exact.gradient_norms
    assert abs(norms.mean() / expected.mean() - 1) < 0.05
    gap = np.median(abs(norms / expected - 1))
    assert report.metrics["precision_gap"] == pytest.approx(gap, rel=1e-3)
    assert all(layer.quantization_mode == "float8" for layer in model.layers[1:])


@pytest.mark.slow
def test_before_training_gradients_in_float8_do_not_underflow():
    """Then float8 has no scales yet, and small gradients lie near its smallest numbers."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(32, activation="relu") for _ in range(3)]
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(3)]
    )
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    in_float8(model)
    with pytest.warns(UserWarning, match=r"in float8 differ by more than 5%.*precision_gap"):
        found = ks.SaliencyMonitor(model, probes()).evaluate(-1)
    expected = ks.SaliencyMonitor(plain, probes()).evaluate(-1)
    assert np.corrcoef(found.maps.ravel(), expected.maps.ravel())[0, 1] > 0.9
    gap = np.median(abs(found.gradient_norms / expected.gradient_norms - 1))
    assert 0.05 < gap < 0.15  # what the warning says
    assert found.metrics["precision_gap"] == pytest.approx(gap, rel=1e-4)
