"""Whether XLA compiles: as told, by the device, or by the clock."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.engine import compilation
from keras_saliency.engine.compilation import Compute, faster


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="module")
def monitor():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    return SaliencyMonitor(model, ProbeSet(np.ones((2, 3), "float32"), [0, 1], kind="features"))


@pytest.mark.parametrize(
    ("plain", "with_xla", "said"),
    [
        ([5, 2, 4], [9, 8, 1], "XLA on (with it, a pass takes 0.5 times as long)"),
        ([5, 1, 4], [9, 8, 2], "XLA off (with it, a pass takes 2 times as long)"),
        ([1, 1, 1], [1, 1, 1], "XLA off (with it, a pass takes 1 times as long)"),
    ],
)
def test_the_faster_one_stays(monitor, plain, with_xla, said):
    """The shortest of three passes counts; the clock is one that we set."""
    ends = itertools.chain.from_iterable((0, seconds) for seconds in plain + with_xla)
    other = SaliencyMonitor(monitor.model, monitor.probes)
    first, second = monitor._traced._explainer, other._traced._explainer
    found, words = faster(first, second, clock=lambda: next(ends))
    assert words == said
    assert found is (second if said.startswith("XLA on") else first)


def test_on_an_accelerator_both_are_tried(monkeypatch, monitor):
    monkeypatch.setattr(compilation, "is_accelerated", lambda: True)
    found = SaliencyMonitor(monitor.model, monitor.probes)
    assert found.compilation.split(" (with it, ")[0] in ("XLA on", "XLA off")
    np.testing.assert_allclose(found.evaluate(0).maps, monitor.evaluate(0).maps, rtol=1e-6)


def test_what_xla_cannot_compile_is_run_without(monkeypatch):
    """XLA has no strings."""
    monkeypatch.setattr(compilation, "is_accelerated", lambda: True)
    image, word = keras.Input((4,), name="image"), keras.Input((), dtype="string", name="word")
    length = keras.layers.Lambda(
        lambda text: tf.cast(tf.strings.length(text), tf.float32)[:, tf.newaxis],
        output_shape=(1,),
    )(word)
    model = keras.Model([image, word], keras.layers.Dense(2, use_bias=False)(image) * length)
    probes = ProbeSet(
        np.ones((2, 4), "float32"),
        [0, 1],
        kind="features",
        input_name="image",
        held={"word": np.array(["a", "abc"])},
    )
    monitor = SaliencyMonitor(model, probes)
    assert monitor.compilation.startswith("XLA off (it cannot compile this model: ")
    kernel = next(
        np.abs(layer.kernel.numpy()) for layer in model.layers if hasattr(layer, "kernel")
    )
    np.testing.assert_allclose(monitor.evaluate(0).maps, kernel.T * [[1], [3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "error"), [("on", ValueError), (None, TypeError), (1, TypeError)]
)
def test_other_values_are_refused(value, error):
    with pytest.raises(error, match="jit_compile: expected"):
        Compute(jit_compile=value)
