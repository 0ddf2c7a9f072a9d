"""SmoothGrad and VarGrad: against algebra, with the noise that was drawn read back."""

import numpy as np
import pytest
import tensorflow as tf

from keras_saliency.attributions import gradient, smoothgrad, vargrad

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 2))
FORM = RNG.normal(size=(8, 8))


def squares(x):
    return tf.reduce_sum(x**2, axis=[1, 2]) / 2


def cubes(x):
    return tf.reduce_sum(x**3, axis=[1, 2])


def quadratic(x):
    flat = tf.reshape(x, (-1, 8))
    return tf.einsum("bi,ij,bj->b", flat, tf.constant(FORM, x.dtype), flat)


def wavy(x):
    return tf.reduce_sum(tf.sin(3 * x) * tf.exp(x[:, ::-1] / 2), axis=[1, 2])


@pytest.fixture(params=["eager", "compiled"])
def run(request):
    """Runs a method on a score function, in one of the two ways."""

    def found(method, score_fn, inputs=X, dtype=tf.float64, **settings):
        inputs = tf.constant(inputs, dtype)

        def explained(x):
            return method(score_fn, x, **settings)

        return (explained if request.param == "eager" else tf.function(explained))(inputs).numpy()

    return found


def noise(count, inputs=X, **settings):
    """The noise of each copy, `(count, *inputs.shape)`.

    The gradient of half the squares is the copy itself; more copies begin as fewer do.
    """
    sums = [
        number * smoothgrad(squares, tf.constant(inputs), num_samples=number, **settings).numpy()
        for number in range(1, count + 1)
    ]
    return np.diff(sums, axis=0, prepend=0) - inputs


# ---------------------------------------------------------------- the noise


def test_copies_come_in_pairs():
    drawn = noise(6)
    np.testing.assert_allclose(drawn[1::2], -drawn[::2], rtol=1e-12, atol=1e-13)
    assert len(np.unique(np.abs(drawn[::2]).round(9))) == drawn[::2].size


def test_without_pairs_no_copy_is_like_another():
    drawn = noise(6, antithetic=False)
    assert len(np.unique(np.abs(drawn).round(9))) == drawn.size


def test_noise_is_normal_with_a_share_of_each_inputs_range():
    inputs = RNG.normal(size=(2, 100, 100)) * np.array([1.0, 20.0])[:, None, None]
    drawn = noise(4, inputs, noise_level=0.25, antithetic=False)
    spread = np.ptp(inputs, axis=(1, 2))
    share = drawn / spread[:, None, None]
    # 40000 draws: standard errors 0.0013 of the mean and 0.0009 of the deviation.
    np.testing.assert_allclose(share.mean(axis=(0, 2, 3)), 0, atol=0.006)
    np.testing.assert_allclose(share.std(axis=(0, 2, 3)), 0.25, atol=0.004)
    inside = (np.abs(share) < 0.25).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(inside, 0.6827, atol=0.012)


def test_noise_is_the_same_for_every_input_but_for_its_range():
    inputs = X[[0, 0, 0]] * np.array([1.0, 5.0, 1.0])[:, None, None]
    inputs[2] += 100
    drawn = noise(3, inputs, antithetic=False)
    np.testing.assert_allclose(drawn[:, 1], 5 * drawn[:, 0], rtol=1e-10)
    np.testing.assert_allclose(drawn[:, 2], drawn[:, 0], rtol=1e-10)


@pytest.mark.slow
def test_another_seed_is_other_noise_and_the_same_seed_the_same(run):
    first, again, other = (run(smoothgrad, wavy, seed=seed, num_samples=4) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.slow
def test_compiled_is_as_eager():
    inputs = tf.constant(X)
    for method in (smoothgrad, vargrad):
        compiled = tf.function(lambda x, method=method: method(wavy, x))(inputs)
        np.testing.assert_allclose(compiled, method(wavy, inputs), rtol=1e-12)


# ---------------------------------------------------------------- smoothgrad


@pytest.mark.slow
def test_pairs_make_smoothgrad_of_a_quadratic_score_its_gradient(run):
    expected = (X.reshape(3, 8) @ (FORM + FORM.T)).reshape(X.shape)
    found = run(smoothgrad, quadratic, num_samples=4, noise_level=2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    alone = run(smoothgrad, quadratic, num_samples=4, noise_level=2.0, antithetic=False)
    assert np.abs(alone - expected).max() > 0.1


def test_smoothgrad_of_a_cubic_score(run):
    """The gradient 3 x**2 becomes 3 mean((x + n)**2)."""
    drawn = noise(5, antithetic=False)
    found = run(smoothgrad, cubes, num_samples=5, antithetic=False)
    np.testing.assert_allclose(found, 3 * ((X + drawn) ** 2).mean(axis=0), rtol=1e-10)
    drawn = noise(6)
    found = run(smoothgrad, cubes, num_samples=6)
    np.testing.assert_allclose(found, 3 * (X**2 + (drawn**2).mean(axis=0)), rtol=1e-10)


@pytest.mark.parametrize(
    ("average", "expected"),
    [
        ("signed", lambda drawn: drawn.mean(axis=0)),
        ("absolute", lambda drawn: np.abs(drawn).mean(axis=0)),
        ("squared", lambda drawn: np.sqrt((drawn**2).mean(axis=0))),
    ],
)
def test_what_is_averaged(run, average, expected):
    drawn = X + noise(6)  # the gradients of half the squares
    assert (np.abs(drawn.sum(axis=0)) < np.abs(drawn).sum(axis=0)).any()  # some change their sign
    found = run(smoothgrad, squares, num_samples=6, average=average)
    np.testing.assert_allclose(found, expected(drawn), rtol=1e-10)


@pytest.mark.parametrize("average", ["signed", "absolute", "squared"])
def test_smoothgrad_of_a_linear_score_is_its_weights(run, average):
    weights = RNG.normal(size=(4, 2))
    found = run(smoothgrad, lambda x: tf.reduce_sum(x * weights, axis=[1, 2]), average=average)
    expected = weights if average == "signed" else np.abs(weights)
    np.testing.assert_allclose(found, np.broadcast_to(expected, X.shape), rtol=1e-12)


def test_smoothgrad_of_an_even_input_is_its_gradient(run):
    inputs = np.full((1, 4, 2), 0.3)
    expected = gradient(wavy, tf.constant(inputs))
    np.testing.assert_allclose(run(smoothgrad, wavy, inputs), expected, rtol=1e-12)


# ---------------------------------------------------------------- vargrad


def test_vargrad_of_a_linear_score_is_zero(run):
    weights = tf.constant(RNG.normal(size=(4, 2)), tf.float32)
    found = run(
        vargrad, lambda x: tf.reduce_sum(x * weights, axis=[1, 2]), dtype=tf.float32, num_samples=7
    )
    np.testing.assert_array_equal(found, np.zeros(X.shape))


def test_vargrad_of_a_quadratic_score(run):
    """Its gradient (A + A^T)(x + n) deviates by what is linear in the noise."""
    drawn = noise(5, antithetic=False).reshape(5, 3, 8) @ (FORM + FORM.T)
    found = run(vargrad, quadratic, num_samples=5)
    np.testing.assert_allclose(found.reshape(3, 8), drawn.std(axis=0), rtol=1e-10)


def test_vargrad_keeps_small_differences_of_large_gradients(run):
    """Squares of 1e6 less the squared mean would lose all digits in float32."""

    def steep(x):
        return tf.reduce_sum(1e6 * x + x**2 / 2, axis=[1, 2])

    found = run(vargrad, steep, dtype=tf.float64, num_samples=5)
    np.testing.assert_allclose(found, noise(5, antithetic=False).std(axis=0), rtol=1e-8)


# ---------------------------------------------------------------- range


@pytest.mark.parametrize("power", [-100, -50, 50, 100])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (smoothgrad, {"average": "signed"}),
        (smoothgrad, {"average": "absolute"}),
        (smoothgrad, {"average": "squared"}),
        (vargrad, {}),
    ],
)
def test_the_scores_scale_is_the_maps_scale(method, settings, power):
    """Of powers of two to the last bit: no square of 1e-30 vanishes, none of 1e+30 overflows."""
    inputs = tf.constant(X, tf.float32)
    plain, scaled = (  # eager: compiled, a score of another scale may be rounded otherwise
        method(lambda x, scale=scale: scale * wavy(x), inputs, num_samples=4, **settings)
        for scale in (1.0, 2.0**power)
    )
    assert (plain.numpy() != 0).all()
    np.testing.assert_array_equal(scaled.numpy(), plain.numpy() * np.float32(2.0**power))


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("method", "settings", "error", "message"),
    [
        (smoothgrad, {"num_samples": 0}, ValueError, "num_samples: expected a positive integer"),
        (smoothgrad, {"num_samples": 2.0}, TypeError, "num_samples: expected a positive integer"),
        (smoothgrad, {"noise_level": 0}, ValueError, "noise_level: expected a number above 0"),
        (smoothgrad, {"noise_level": np.inf}, ValueError, "noise_level: .*received inf"),
        (smoothgrad, {"noise_level": np.nan}, ValueError, "noise_level: .*received nan"),
        (smoothgrad, {"noise_level": "0.1"}, TypeError, "noise_level: expected a number"),
        (smoothgrad, {"noise_level": True}, TypeError, "noise_level: expected a number"),
        (smoothgrad, {"average": "mean"}, ValueError, "average: .*'signed', 'absolute', 'squared'"),
        (smoothgrad, {"seed": 0.5}, TypeError, "seed: expected an integer"),
        (smoothgrad, {"seed": True}, TypeError, "seed: expected an integer"),
        (smoothgrad, {"seed": -1}, ValueError, "seed: expected an integer from 0"),
        (smoothgrad, {"seed": 2**31}, ValueError, "seed: expected an integer from 0"),
        (vargrad, {"num_samples": 1}, ValueError, "num_samples: expected 2 or more"),
        (vargrad, {"noise_level": -1}, ValueError, "noise_level: expected a number above 0"),
    ],
)
def test_settings_that_are_refused(method, settings, error, message):
    with pytest.raises(error, match=message):
        method(squares, tf.constant(X), **settings)


def test_settings_may_be_numpys():
    settings = {"num_samples": np.int64(2), "noise_level": np.float32(0.5), "seed": np.int64(3)}
    plain = {"num_samples": 2, "noise_level": 0.5, "seed": 3}
    found = smoothgrad(wavy, tf.constant(X), **settings)
    np.testing.assert_array_equal(found, smoothgrad(wavy, tf.constant(X), **plain))
