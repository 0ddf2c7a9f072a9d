"""Occlusion against algebra: of a linear score, what a window covers is known."""

from functools import partial
from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import occlusion

RNG = np.random.default_rng(0)


@pytest.fixture(params=["eager", "compiled"])
def run(request):
    def found(score_fn, inputs, **settings):
        def explained(x):
            return occlusion(score_fn, x, **settings)

        function = explained if request.param == "eager" else tf.function(explained)
        return function(tf.constant(inputs)).numpy()

    return found


def by_hand(shares, sides, starts):
    """The mean, over the windows that cover a place, of the shares they cover.

    Args:
        shares: `(batch, *spatial axes)`, what each place adds to a linear score.
        sides: Of a window, along each axis.
        starts: Of the windows, along each axis.
    """
    total, count = np.zeros(shares.shape), np.zeros(shares.shape[1:])
    for corner in product(*starts):
        window = tuple(
            slice(start, start + side) for start, side in zip(corner, sides, strict=True)
        )
        axes = tuple(range(1, shares.ndim))
        fall = shares[(slice(None), *window)].sum(axis=axes)
        total[(slice(None), *window)] += fall.reshape(-1, *[1] * len(axes))
        count[window] += 1
    assert (count > 0).all()
    return total / count


def linear(weights):
    def score(x):
        return tf.reduce_sum(x * weights, axis=list(range(1, len(x.shape))))

    return score


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "settings", "sides", "starts"),
    [
        ((6, 5, 2), {"window": 1, "stride": 1}, (1, 1), (range(6), range(5))),
        ((6, 5, 2), {"window": 3, "stride": 1}, (3, 3), (range(4), range(3))),
        # The last window ends where the axis ends, whatever the stride.
        ((6, 5, 2), {"window": 2, "stride": 2}, (2, 2), ([0, 2, 4], [0, 2, 3])),
        ((7, 5, 2), {"window": 3}, (3, 3), ([0, 1, 2, 3, 4], [0, 1, 2])),
        ((9, 4, 1), {"window": 4}, (4, 4), ([0, 2, 4, 5], [0])),
        ((3, 8, 1), {"window": 5, "stride": 4}, (3, 5), ([0], [0, 3])),
        ((6, 5, 2), {"window": 6, "stride": 9}, (6, 5), ([0], [0])),
        ((32, 17, 1), {}, (4, 2), ([*range(0, 29, 2)], [*range(16)])),
        ((7, 3), {"window": 3, "stride": 2}, (3,), ([0, 2, 4],)),
        ((16, 1), {}, (2,), (range(15),)),
        ((4, 3, 5, 2), {"window": 2}, (2, 2, 2), (range(3), range(2), range(4))),
    ],
)
def test_windows_of_a_linear_score(run, shape, settings, sides, starts):
    weights, inputs = RNG.normal(size=shape), RNG.normal(size=(2, *shape))
    cover = RNG.normal(size=shape)
    found = run(linear(weights), inputs, baseline=cover, **settings)
    assert found.shape == (2, *shape[:-1], 1)
    shares = ((inputs - cover) * weights).sum(axis=-1)
    np.testing.assert_allclose(found[..., 0], by_hand(shares, sides, starts), rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "side", "starts"),
    [
        ({}, 1, range(5)),
        ({"window": 2, "stride": 1}, 2, range(4)),
        ({"window": 3}, 3, range(3)),
        ({"window": 3, "stride": 3}, 3, [0, 2]),
    ],
)
def test_features_have_no_channels(run, settings, side, starts):
    weights, inputs = RNG.normal(size=5), RNG.normal(size=(3, 5))
    found = run(linear(weights), inputs, baseline="zero", **settings)
    expected = by_hand(inputs * weights, (side,), (starts,))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_cue_that_is_there_twice_is_not_seen(run):
    """The larger of two values: covering one of two equals costs nothing."""
    inputs = np.array([[2.0, 2.0, 0.0], [2.0, 1.0, 0.0]])
    found = run(lambda x: tf.reduce_max(x, axis=1), inputs, baseline="zero")
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 0, 0]])


def test_what_speaks_against_the_class_is_negative(run):
    found = run(linear(np.array([-1.0, 2.0])), np.ones((1, 2)), baseline="zero")
    np.testing.assert_array_equal(found, [[-1, 2]])


def test_no_gradient_is_needed(run):
    found = run(lambda x: tf.round(x[:, 0]) + tf.stop_gradient(x[:, 1]), [[2.4, 3.0]], baseline=0.0)
    np.testing.assert_allclose(found, [[2.0, 3.0]])


@pytest.mark.parametrize("power", [-100, 100])
def test_the_scores_scale_is_the_maps_scale(power):
    inputs = tf.constant(RNG.normal(size=(2, 6, 5, 2)), tf.float32)
    weights = RNG.normal(size=(6, 5, 2)).astype(np.float32)
    plain = occlusion(linear(weights), inputs, baseline=0.0)
    scaled = occlusion(linear(weights * np.float32(2.0**power)), inputs, baseline=0.0)
    np.testing.assert_array_equal(scaled, plain.numpy() * np.float32(2.0**power))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"window": 0}, ValueError, "window: expected a positive integer"),
        ({"window": 2.0}, TypeError, "window: expected a positive integer"),
        ({"stride": 0}, ValueError, "stride: expected a positive integer"),
        (
            {"window": 7},
            ValueError,
            r"window: expected 6 or less, since the input has the size \(6, 5\)",
        ),
        (
            {"window": 2, "stride": 3},
            ValueError,
            "stride: expected 2 or less, the size of the window",
        ),
        ({"baseline": "mean"}, ValueError, "baseline: the probes cannot be used here"),
        (
            {"baseline": ["zero", "blurred"]},
            ValueError,
            "baseline: expected one baseline, received a list of 2",
        ),
        ({"baseline": "gray"}, ValueError, "baseline: expected one of"),
    ],
)
def test_settings_that_are_refused(settings, error, message):
    inputs = tf.ones((1, 6, 5, 1))
    with pytest.raises(error, match=message):
        occlusion(linear(1.0), inputs, **{"baseline": 0.0, **settings})


# ---------------------------------------------------------------- in a monitor


IMAGES = RNG.normal(size=(5, 8, 6, 2)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 0, 1])


@pytest.mark.parametrize(
    ("method", "cover"),
    [
        ("occlusion", IMAGES.mean(axis=(1, 2), keepdims=True)),  # the image's own mean colour
        (partial(occlusion, baseline="mean"), IMAGES.mean(axis=0)),
    ],
    ids=["flat", "mean"],
)
def test_of_a_linear_model(method, cover):
    dense = layers.Dense(3)
    model = keras.Sequential([keras.Input((8, 6, 2)), layers.Flatten(), dense])
    probes = ProbeSet(IMAGES, TARGETS)
    monitor = SaliencyMonitor(
        model, probes, method=method, compute=Compute(batch_size=2, reduction="signed")
    )
    weights = dense.kernel.numpy().T[TARGETS].reshape(IMAGES.shape)
    shares = ((IMAGES - cover) * weights).sum(axis=-1)
    report = monitor.evaluate(step=0)
    np.testing.assert_allclose(report.signed_maps, shares, rtol=1e-3, atol=1e-5)  # windows of 1 x 1
    np.testing.assert_array_equal(report.maps, np.abs(report.signed_maps))


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (2, 2), (4, 3)])
def test_of_a_network_each_window_is_what_the_score_falls_without_it(window, stride):
    """Where nothing adds up: every image with one window covered, made and asked one by one."""
    keras.utils.set_random_seed(1)
    parts = [layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(3, 2, activation="softplus")]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts, layers.Flatten(), layers.Dense(3)])

    def scores(images):
        return model(images).numpy()[np.arange(5), TARGETS].astype(np.float64)

    total, count = np.zeros((5, 8, 6)), np.zeros((8, 6))
    starts = [sorted({*range(0, size - window, stride), size - window}) for size in (8, 6)]
    for top, left in product(*starts):
        place = slice(top, top + window), slice(left, left + window)
        covered = IMAGES.copy()
        covered[(slice(None), *place)] = 0.1
        total[(slice(None), *place)] += (scores(IMAGES) - scores(covered))[
            :, np.newaxis, np.newaxis
        ]
        count[place] += 1
    method = partial(occlusion, window=window, stride=stride, baseline=0.1)
    probes = ProbeSet(IMAGES, TARGETS)
    monitor = SaliencyMonitor(
        model, probes, method=method, compute=Compute(batch_size=2, reduction="signed")
    )
    found = monitor.evaluate(step=0).signed_maps
    np.testing.assert_allclose(found, total / count, rtol=1e-4, atol=1e-5)


def test_features_in_a_monitor():
    dense = layers.Dense(2)
    model = keras.Sequential([keras.Input((6,)), dense])
    values = RNG.normal(size=(3, 6)).astype(np.float32)
    method = partial(occlusion, baseline="zero", window=2)
    probes = ProbeSet(values, [0, 1, 1], kind="features")
    found = SaliencyMonitor(model, probes, method=method).evaluate(step=0).maps
    shares = values * dense.kernel.numpy().T[[0, 1, 1]]
    expected = np.abs(by_hand(shares, (2,), (range(5),)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_model_without_gradients_can_be_explained():
    parts = [layers.Lambda(tf.round), layers.Flatten(), layers.Dense(3, use_bias=False)]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts])
    method = partial(occlusion, baseline="zero")
    found = SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=method).evaluate(step=0).maps
    weights = parts[-1].kernel.numpy().T[TARGETS].reshape(IMAGES.shape)
    expected = np.abs((np.round(IMAGES) * weights).sum(axis=-1))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
