"""From an attribution to a map: the channel reductions. `norm` is in `test_attributions`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import REDUCTIONS

VALUES = np.array([[[3.0, -4.0], [-1.0, 1.0]], [[0.0, 0.0], [-2.0, -5.0]]])

EXPECTED = {
    "max_abs": [[4.0, 1.0], [0.0, 5.0]],
    "l2": [[5.0, np.sqrt(2)], [0.0, np.sqrt(29)]],
    "sum": [[1.0, 0.0], [0.0, 7.0]],
    "signed": [[-1.0, 0.0], [0.0, -7.0]],
}


@pytest.fixture(params=["eager", "compiled"])
def reduce(request):
    def reduced(name, values):
        function = REDUCTIONS[name]
        return (function if request.param == "eager" else tf.function(function))(values).numpy()

    return reduced


def test_all_are_tested():
    assert EXPECTED.keys() == REDUCTIONS.keys()


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64])
def test_by_hand(reduce, name, dtype):
    found = reduce(name, tf.constant(VALUES, dtype))
    assert found.dtype == dtype.as_numpy_dtype
    np.testing.assert_allclose(found, EXPECTED[name], rtol=1e-3 if dtype == tf.float16 else 1e-6)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_axes_of_any_number(reduce, name):
    np.testing.assert_allclose(reduce(name, tf.constant(VALUES[0])), EXPECTED[name][0])
    deep = tf.constant(VALUES[:, np.newaxis, :, np.newaxis])
    found = reduce(name, deep)
    assert found.shape == (2, 1, 2, 1)
    np.testing.assert_allclose(found[:, 0, :, 0], EXPECTED[name])


@pytest.mark.parametrize("scale", [1e-37, 1e-30, 1e-20, 1.0, 1e20, 1e30, 1e37])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_over_the_range_of_float32(reduce, name, scale):
    found = reduce(name, tf.constant(VALUES * scale, tf.float32)).astype(np.float64)
    np.testing.assert_allclose(found / scale, EXPECTED[name], rtol=1e-6)


@pytest.mark.parametrize("name", ["sum", "signed"])
def test_a_sum_that_float32_holds_does_not_overflow_on_the_way(reduce, name):
    assert reduce(name, tf.constant([[3e38, 3e38, -3e38, -3e38]]))[0] == 0


def test_l2_of_a_single_channel_is_its_size(reduce):
    values = np.array([[3e-38], [-2.5], [0.0], [3e38]], np.float32)
    np.testing.assert_array_equal(reduce("l2", tf.constant(values)), np.abs(values[:, 0]))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_nan_stays_where_it_is(reduce, name):
    found = reduce(name, tf.constant([[[np.nan, 1.0], [3.0, 4.0]]]))
    np.testing.assert_array_equal(np.isnan(found), [[True, False]])


@pytest.mark.parametrize("name", REDUCTIONS)
def test_of_a_monitor(name):
    """The maps are non-negative; the signed ones go along where they were asked for."""
    probes = ProbeSet(np.zeros((2, 1, 2, 2), np.float32), [0, 0])

    def method(score_fn, inputs):
        return tf.constant(VALUES[:, np.newaxis], tf.float32) + 0 * inputs

    model = keras.Sequential(
        [keras.Input((1, 2, 2)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    report = SaliencyMonitor(
        model, probes, method=method, compute=Compute(reduction=name)
    ).evaluate(step=0)
    np.testing.assert_allclose(report.maps[:, 0], np.abs(EXPECTED[name]), rtol=1e-6)
    if name == "signed":
        np.testing.assert_allclose(report.signed_maps[:, 0], EXPECTED[name], rtol=1e-6)
    else:
        assert report.signed_maps is None
