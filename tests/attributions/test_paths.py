"""Integrated and expected gradients: completeness, exactness, baselines."""

from functools import partial

import keras
import numpy as np
import pytest
import scipy.integrate
import tensorflow as tf
from keras import layers
from scipy.ndimage import gaussian_filter

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import (
    completeness,
    expected_gradients,
    gradient,
    integrated_gradients,
)
from keras_saliency.attributions.paths import baselines

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
IMAGES = RNG.normal(size=(5, 4, 5, 2)).astype(np.float32)
WEIGHTS = RNG.normal(size=(4, 5, 2))


def power(degree):
    return lambda x: tf.reduce_sum(x**degree, axis=1)


def product(x):
    """Of four factors: a polynomial of degree 4 along any line."""
    return tf.reduce_prod(x, axis=1)


def wavy(x):
    axes = list(range(1, x.shape.rank))
    return tf.reduce_sum(tf.sin(2 * x) * tf.exp(x[:, ::-1] / 3), axis=axes)


@pytest.fixture(params=["eager", "compiled"])
def run(request):
    def found(method, score_fn, inputs=X, dtype=tf.float64, **settings):
        def explained(x):
            return method(score_fn, x, **settings)

        function = explained if request.param == "eager" else tf.function(explained)
        return function(tf.constant(inputs, dtype)).numpy()

    return found


# ---------------------------------------------------------------- integrated gradients


@pytest.mark.parametrize("rule", ["midpoint", "gauss_legendre"])
@pytest.mark.parametrize("steps", [1, 5])
def test_of_a_linear_score_it_is_the_input_less_the_baseline_times_the_weights(run, rule, steps):
    weights = np.array([1.0, -2.0, 0.5, 0.0])
    start = np.array([0.1, 0.2, -0.3, 0.4])
    found = run(
        integrated_gradients,
        lambda x: tf.linalg.matvec(x, weights),
        baseline=start,
        num_steps=steps,
        rule=rule,
    )
    np.testing.assert_allclose(found, weights * (X - start), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("degree", [2, 3, 6])
def test_gauss_legendre_is_exact_up_to_degree_twice_the_steps(run, degree):
    """Each value of a sum of powers has its own change, x**n - s**n."""
    settings = {"baseline": 0.5, "rule": "gauss_legendre"}
    enough = run(integrated_gradients, power(degree), num_steps=-(-degree // 2), **settings)
    np.testing.assert_allclose(enough, X**degree - 0.5**degree, rtol=1e-10, atol=1e-11)
    if degree > 2:
        fewer = run(integrated_gradients, power(degree), num_steps=degree // 2 - 1 or 1, **settings)
        assert np.abs(fewer - (X**degree - 0.5**degree)).max() > 1e-3


def test_midpoint_is_exact_for_quadratics_and_falls_with_the_square_of_the_steps(run):
    found = run(integrated_gradients, power(2), num_steps=1, baseline=-1.0)
    np.testing.assert_allclose(found, X**2 - 1, rtol=1e-12, atol=1e-13)
    # The error of 3 (alpha x)**2 x at the middles of n parts is -x**3 / (4 n**2).
    for steps in (1, 4, 10):
        found = run(integrated_gradients, power(3), num_steps=steps)
        np.testing.assert_allclose(found, X**3 * (1 - 1 / (4 * steps**2)), rtol=1e-12)


def test_a_product_is_shared_equally_among_its_factors(run):
    found = run(integrated_gradients, product, rule="gauss_legendre", num_steps=2)
    np.testing.assert_allclose(found, np.repeat(X.prod(axis=1)[:, None] / 4, 4, axis=1), rtol=1e-10)


@pytest.mark.parametrize("rule", ["midpoint", "gauss_legendre"])
def test_it_sums_to_the_change_of_the_score(run, rule):
    start = RNG.normal(size=4)
    found = run(integrated_gradients, wavy, baseline=start, num_steps=60, rule=rule)
    change = wavy(tf.constant(X)) - wavy(tf.constant(start[np.newaxis]))
    np.testing.assert_allclose(found.sum(axis=1), change, rtol=1e-3, atol=1e-4)


def test_several_baselines_are_averaged(run):
    starts = [0.0, np.array([1.0, 0.0, -1.0, 2.0]), "zero", np.full((1, 4), 0.5)]
    each = [run(integrated_gradients, wavy, baseline=start, num_steps=3) for start in starts]
    found = run(integrated_gradients, wavy, baseline=starts, num_steps=3)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(each[0], each[2])
    assert not np.allclose(each[0], each[1])


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-100, 100])
def test_the_scores_scale_is_the_maps_scale(exponent):
    inputs = tf.constant(X, tf.float32)
    for method in (integrated_gradients, partial(expected_gradients, background=X[1:])):
        plain = method(wavy, inputs)
        scaled = method(lambda x: 2.0**exponent * wavy(x), inputs)
        np.testing.assert_array_equal(scaled, plain.numpy() * np.float32(2.0**exponent))


# ---------------------------------------------------------------- completeness


def test_completeness_by_hand(run):
    """One step of x**3: 3 (x / 2)**2 x, three quarters of it."""
    found = run(
        lambda score_fn, x: completeness(
            score_fn, x, integrated_gradients(score_fn, x, num_steps=1)
        ),
        power(3),
    )
    cubes = (X**3).sum(axis=1)
    np.testing.assert_allclose(found, np.stack([0.75 * cubes, cubes], axis=1), rtol=1e-12)


def test_completeness_with_several_baselines(run):
    starts = [np.full(4, 0.5), -1.0]
    found = run(
        lambda score_fn, x: completeness(score_fn, x, x, baseline=starts),
        power(2),
        dtype=tf.float32,
    )
    assert found.dtype == np.float64
    expected = np.stack([X.sum(axis=1), (X**2).sum(axis=1) - (4 * 0.25 + 4) / 2], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def cubic_monitor(images, **kwargs):
    """A model with the score sum(w * x**3), in a monitor."""
    cubed = layers.Lambda(lambda x: x**3)
    dense = layers.Dense(1, use_bias=False)
    shape = images.shape[1:]
    model = keras.Sequential([keras.Input(shape), cubed, layers.Flatten(), dense])
    dense.kernel.assign(WEIGHTS.reshape(-1, 1))
    return SaliencyMonitor(model, ProbeSet(images, np.ones(len(images), int)), **kwargs)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(4)
    parts = [layers.Conv2D(3, 2, activation="relu"), layers.Conv2D(2, 2, activation="softplus")]
    return keras.Sequential([keras.Input((4, 5, 2)), *parts, layers.Flatten(), layers.Dense(2)])


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["midpoint", "gauss_legendre"])
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_of_a_network_it_is_scipys_quadrature_of_the_gradients(network, rule, start):
    """With as few steps, which are not enough for the integral: the same steps, not a close one."""
    targets, steps = np.array([1, 0, 1, 1, 0]), 7

    def gradients(place):
        inputs = tf.constant(start + place * (IMAGES - start), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            scores = tf.gather(network(inputs), targets, axis=1, batch_dims=1)
        return tape.gradient(scores, inputs).numpy()

    def at_places(places):
        return np.stack([gradients(place) for place in places], axis=-1)

    if rule == "midpoint":
        mean = at_places((np.arange(steps) + 0.5) / steps).mean(axis=-1)
    else:
        mean, _ = scipy.integrate.fixed_quad(at_places, 0, 1, n=steps)
    expected = ((IMAGES - start) * mean).sum(axis=-1)
    method = partial(integrated_gradients, baseline=start, num_steps=steps, rule=rule)
    monitor = SaliencyMonitor(
        network,
        ProbeSet(IMAGES, targets),
        method=method,
        compute=Compute(batch_size=2, reduction="signed"),
    )
    found = monitor.evaluate(step=0).signed_maps
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_completeness_gap_of_a_monitor():
    methods = {
        "integrated_gradients(num_steps=1)": partial(integrated_gradients, num_steps=1),
        "integrated_gradients(num_steps=2)": partial(integrated_gradients, num_steps=2),
        "gradient": "gradient",
    }
    report = cubic_monitor(
        IMAGES, method=list(methods.values()), compute=Compute(batch_size=2)
    ).evaluate(step=0)
    shares = WEIGHTS * IMAGES.astype(np.float64) ** 3
    np.testing.assert_allclose(report.maps, np.abs(0.75 * shares).max(axis=-1), rtol=1e-4)
    # Every share is missed by a quarter, or a sixteenth, of it.
    assert report.metrics["completeness_gap"] == pytest.approx(1 / 4, rel=1e-4)
    finer = report.metrics["completeness_gap/integrated_gradients(num_steps=2)"]
    assert finer == pytest.approx(1 / 16, rel=1e-4)
    assert "completeness_gap/gradient" not in report.metrics


def test_the_completeness_gap_knows_the_baseline():
    method = partial(integrated_gradients, num_steps=2, rule="gauss_legendre", baseline="mean")
    report = cubic_monitor(IMAGES, method=method).evaluate(step=0)
    assert report.metrics["completeness_gap"] < 1e-5


# ---------------------------------------------------------------- baselines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("zero", 0.0),
        ("mean", IMAGES.mean(axis=0)),
        ("blurred", gaussian_filter(IMAGES, (0, 0.2, 0.25, 0), mode="nearest")),
        (0.25, 0.25),
        (np.array([0.5, -0.5]), np.array([0.5, -0.5])),
        (IMAGES[0], IMAGES[0]),
        (IMAGES[:1], IMAGES[:1]),
        (np.arange(4).reshape(4, 1, 1), np.arange(4).reshape(4, 1, 1)),
    ],
    ids=["zero", "mean", "blurred", "number", "channels", "image", "image of one", "rows"],
)
def test_baselines_of_a_monitor(baseline, expected):
    """Of a sum of cubes the exact attributions are w (x**3 - s**3)."""
    method = partial(integrated_gradients, baseline=baseline, rule="gauss_legendre", num_steps=2)
    report = cubic_monitor(IMAGES, method=method, compute=Compute(batch_size=2)).evaluate(step=0)
    shares = WEIGHTS * (IMAGES.astype(np.float64) ** 3 - expected**3)
    np.testing.assert_allclose(report.maps, np.abs(shares).max(axis=-1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 9, 3), (2, 40, 30, 1), (2, 9, 6, 12, 2)])
def test_blurred_is_by_a_twentieth_of_each_axis(shape):
    values = RNG.normal(size=shape)
    sigmas = [0, *(0.05 * size for size in shape[1:-1]), 0]
    found = baselines(wavy, tf.constant(values), "blurred")[0]
    np.testing.assert_allclose(
        found, gaussian_filter(values, sigmas, mode="nearest"), rtol=1e-9, atol=1e-12
    )


def test_flat_is_the_mean_of_each_channel():
    values = RNG.normal(size=(2, 3, 4, 2))
    found = baselines(wavy, tf.constant(values), "flat")[0]
    expected = np.broadcast_to(values.mean(axis=(1, 2), keepdims=True), values.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("method", ["expected_gradients", "mean"])
def test_one_probe_is_no_background(method):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    settings = partial(integrated_gradients, baseline="mean") if method == "mean" else method
    with pytest.raises(ValueError, match="expected several probes to compare with"):
        SaliencyMonitor(model, ProbeSet(np.ones((1, 4)), [0], kind="features"), method=settings)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("black", "baseline: expected one of 'zero', 'flat', 'blurred', 'mean', received 'black'"),
        ([], "baseline: expected one or more baselines, received an empty list"),
        (np.zeros(3), "baseline: .* broadcasts to one input's shape \\(4,\\).*shape \\(3,\\)"),
        # One for each input would be dealt out anew to every chunk of the probes.
        (np.zeros((3, 4)), "baseline: .* one input's shape \\(4,\\).*received .*\\(3, 4\\)"),
        (np.zeros((1, 1, 4)), "baseline: .*one input's shape"),
        (np.array(["a"] * 4), "baseline: .*finite numbers"),
        (np.array([0, 0, np.nan, 0]), "baseline: .*finite numbers"),
        (float("inf"), "baseline: .*finite numbers.*received inf"),
        (True, "baseline: .*received True"),
        ("mean", "baseline: the probes cannot be used here: .*an array"),
        ("blurred", "baseline='blurred': expected inputs with spatial axes"),
    ],
)
def test_baselines_that_are_refused(baseline, message):
    with pytest.raises(ValueError, match=message):
        integrated_gradients(wavy, tf.constant(X), baseline=baseline)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_steps": 0}, ValueError, "num_steps: expected a positive integer"),
        ({"num_steps": 1.5}, TypeError, "num_steps: expected a positive integer"),
        ({"rule": "trapezoid"}, ValueError, "rule: expected one of 'midpoint', 'gauss_legendre'"),
        ({"rule": None}, TypeError, "rule: expected one of"),
    ],
)
def test_settings_that_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        integrated_gradients(wavy, tf.constant(X), **settings)


# ---------------------------------------------------------------- expected gradients


def test_of_a_linear_score_it_is_the_input_less_the_backgrounds_mean(run):
    """Exact where every baseline is drawn as often as any other."""
    weights, others = RNG.normal(size=4), RNG.normal(size=(6, 4))
    found = run(
        expected_gradients,
        lambda x: tf.linalg.matvec(x, weights),
        background=others,
        num_samples=18,
    )
    np.testing.assert_allclose(found, weights * (X - others.mean(axis=0)), rtol=1e-11, atol=1e-13)


def starts_and_places(num_samples, count, seed=0):
    """Which baselines and places on the path were drawn, in order, read off the gradients."""
    drawn = []

    def score(x):
        drawn.append(x.numpy()[0])
        return tf.reduce_sum(x, axis=1)

    others = np.stack([np.arange(count), np.zeros(count)], axis=1)  # 0: which; 1: how far
    x = tf.constant([[1000.0, 1.0]], tf.float64)
    expected_gradients(score, x, background=others, num_samples=num_samples, seed=seed)
    places = np.array(drawn)[:, 1]
    starts = (np.array(drawn)[:, 0] - places * 1000) / (1 - places)
    return starts.round().astype(int), places


def test_the_background_is_drawn_evenly():
    starts, _ = starts_and_places(7, 3)
    assert sorted(np.bincount(starts)) == [2, 2, 3]
    starts, _ = starts_and_places(4, 10)
    assert len({*starts}) == 4


def test_places_are_spread_evenly_and_at_random():
    starts, places = starts_and_places(64, 4)
    np.testing.assert_array_equal(np.sort((places * 64).astype(int)), np.arange(64))
    for start in range(4):  # of each baseline, too: one in each sixteenth of the path
        own = np.sort((places[starts == start] * 16).astype(int))
        np.testing.assert_array_equal(own, np.arange(16))
    assert np.ptp(places * 64 % 1) > 0.5
    again = starts_and_places(64, 4)
    other = starts_and_places(64, 4, seed=1)
    np.testing.assert_array_equal(places, again[1])
    assert (places != other[1]).all()
    assert (starts != other[0]).any()


@pytest.mark.slow
def test_it_sums_about_to_the_score_less_the_backgrounds(run):
    others = np.random.default_rng(0).normal(size=(8, 4))
    found = run(expected_gradients, wavy, background=others, num_samples=1024)
    expected = wavy(tf.constant(X)) - tf.reduce_mean(wavy(tf.constant(others)))
    np.testing.assert_allclose(found.sum(axis=1), expected, atol=0.02)


@pytest.mark.slow
def test_the_background_of_a_monitor_is_its_probes():
    found = cubic_monitor(
        IMAGES, method="expected_gradients", compute=Compute(batch_size=2)
    ).evaluate(step=0)
    given = partial(expected_gradients, background=IMAGES)
    same = cubic_monitor(IMAGES, method=given, compute=Compute(batch_size=5)).evaluate(step=0)
    np.testing.assert_allclose(found.maps, same.maps, rtol=1e-4, atol=1e-6)
    other = partial(expected_gradients, background=IMAGES[:2])
    assert not np.allclose(
        cubic_monitor(IMAGES, method=other).evaluate(step=0).maps, same.maps, rtol=0.1
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ValueError, "background: the probes cannot be used here"),
        ({"background": X[0]}, ValueError, "background: .*\\(count, 4\\), received shape \\(4,\\)"),
        ({"background": X[:, :3]}, ValueError, "background: .*received shape \\(3, 3\\)"),
        ({"background": X[:0]}, ValueError, "background: .*received shape \\(0, 4\\)"),
        ({"background": X, "num_samples": 0}, ValueError, "num_samples: expected a positive"),
        ({"background": X, "seed": -1}, ValueError, "seed: expected an integer from 0"),
    ],
)
def test_backgrounds_that_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        expected_gradients(wavy, tf.constant(X), **settings)


# ---------------------------------------------------------------- both


@pytest.mark.slow
@pytest.mark.parametrize("method", [integrated_gradients, expected_gradients])
def test_a_batch_is_its_inputs_one_by_one(run, method):
    settings = {"background": X[:2]} if method is expected_gradients else {"baseline": 0.1}
    together = run(method, wavy, **settings)
    for index in range(3):
        alone = run(method, wavy, X[index : index + 1], **settings)
        np.testing.assert_allclose(alone[0], together[index], rtol=1e-12, atol=1e-14)


def test_zero_where_the_input_is_as_the_baseline(run):
    inputs = X.copy()
    inputs[:, 1] = 0.7
    found = run(integrated_gradients, wavy, inputs, baseline=0.7)
    np.testing.assert_array_equal(found[:, 1], 0)
    assert (gradient(wavy, tf.constant(inputs)).numpy()[:, 1] != 0).all()
