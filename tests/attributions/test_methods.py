import re
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.attributions import (
    METHODS,
    REFUSED,
    check_method,
    grad_cam,
    gradient,
    input_x_gradient,
    integrated_gradients,
    method_name,
    norm,
    occlusion,
    smoothgrad,
)
from keras_saliency.attributions.reductions import max_abs as saliency_map

SHAPE = (3, 2, 3)
SIZE = 18
IMAGES = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)
TARGETS = np.array([3, 0, 1, 2, 3])


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


def linear_model(**kwargs):
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(4, **kwargs)])
    return model, model.layers[-1].kernel.numpy()


def explained(model, images=IMAGES, targets=TARGETS, **kwargs):
    return SaliencyMonitor(model, ProbeSet(images, targets), **kwargs).evaluate(step=0)


def test_the_table_of_methods():
    assert METHODS["gradient"] is gradient
    assert METHODS["input_x_gradient"] is input_x_gradient
    for name, method in METHODS.items():
        check_method(name)
        check_method(method)
        assert name in (method_name(method), "smoothgrad_squared")
    assert method_name(METHODS["smoothgrad_squared"]) == "smoothgrad(average='squared')"


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_method_says_why(name):
    with pytest.raises(ValueError, match=rf"method='{name}' is not offered: .*random.*1810.03292"):
        check_method(name)
    with pytest.raises(ValueError, match="is not offered"):
        explained(linear_model()[0], method=["gradient", name])
    assert name not in METHODS


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        (
            "gradcam",
            ValueError,
            r"method: expected one of 'gradient', .*'occlusion', or a callable",
        ),
        ("", ValueError, "received ''"),
        (None, TypeError, r"method: expected one of .*\(score_fn, inputs\) -> .*received None"),
        (7, TypeError, "received 7"),
    ],
)
def test_what_is_no_method(method, error, message):
    with pytest.raises(error, match=message):
        check_method(method)


class Own:
    def __call__(self, score_fn, inputs):
        return inputs


def own(score_fn, inputs, strength=1):
    return inputs


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("grad_cam", "grad_cam"),
        (smoothgrad, "smoothgrad"),
        (partial(smoothgrad), "smoothgrad()"),
        (partial(smoothgrad, num_samples=50), "smoothgrad(num_samples=50)"),
        (partial(partial(smoothgrad, seed=1), seed=2, noise_level=0.1), None),
        (partial(grad_cam, layer="a/b"), "grad_cam(layer='a/b')"),
        (own, "own"),
        (partial(own, strength=2), "own(strength=2)"),
        (Own(), "Own"),
        (partial(integrated_gradients, baseline=IMAGES[0]), None),
        (
            partial(integrated_gradients, baseline=[np.zeros((3, 2, 3)), "zero", 0.5]),
            "integrated_gradients(baseline=[array(3, 2, 3)#...., 'zero', 0.5])",
        ),
    ],
)
def test_what_a_method_is_called(method, name):
    expected = {
        "seed": "smoothgrad(seed=2, noise_level=0.1)",
        "baseline": "integrated_gradients(baseline=array(3, 2, 3)#....)",
    }
    if name is None:
        name = expected[next(iter(method.keywords))]
    assert re.sub("#[0-9a-f]{4}", "#....", method_name(method)) == name


def test_two_arrays_have_two_names():
    first, same, other = (
        partial(integrated_gradients, baseline=np.full(3, value)) for value in (1.0, 1.0, 2.0)
    )
    assert method_name(first) == method_name(same) != method_name(other)


# ---------------------------------------------------------------- gradient


def test_linear_map_is_the_weights():
    model, kernel = linear_model()
    report = explained(model)
    expected = np.abs(kernel.T[TARGETS].reshape(IMAGES.shape)).max(axis=-1)
    np.testing.assert_array_equal(report.maps, expected)  # one product with 1: exact
    norms = np.linalg.norm(kernel.T[TARGETS].astype(np.float64), axis=1)
    np.testing.assert_allclose(report.gradient_norms, norms, rtol=1e-6)


def test_gradient_of_a_quadratic_form():
    """d/dx (x^T A x + b^T x) = (A + A^T) x + b, for an A that is not symmetric."""
    rng = np.random.default_rng(1)
    form, shift = rng.normal(size=(SIZE, SIZE)), rng.normal(size=SIZE)

    def score(inputs):
        x = tf.reshape(inputs, (-1, SIZE))
        return tf.einsum("bi,ij,bj->b", x, form, x) + tf.linalg.matvec(x, shift)

    x = IMAGES.astype(np.float64).reshape(-1, SIZE)
    expected = (x @ (form + form.T) + shift).reshape(IMAGES.shape)
    images = tf.constant(IMAGES, tf.float64)
    np.testing.assert_allclose(gradient(score, images), expected, rtol=1e-12, atol=1e-12)
    times_input = input_x_gradient(score, images)
    np.testing.assert_allclose(times_input, IMAGES * expected, rtol=1e-12, atol=1e-12)


def test_gradient_of_a_quadratic_model():
    """One convolution, squared and summed: the score sum_p (w . x_p)^2 has gradient 2 (w . x) w."""
    conv = layers.Conv2D(1, 1, use_bias=False)
    square = layers.Lambda(lambda x: tf.reduce_sum(x**2, axis=[1, 2]))
    model = keras.Sequential([keras.Input(SHAPE), conv, square])
    report = explained(model, targets=np.ones(5, int))
    w = conv.kernel.numpy().astype(np.float64)[0, 0, :, 0]
    expected = 2 * (IMAGES @ w)[..., None] * w
    np.testing.assert_allclose(report.maps, np.abs(expected).max(axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(report.scores, ((IMAGES @ w) ** 2).sum(axis=(1, 2)), rtol=1e-5)


def test_gradient_keeps_shape_dtype_and_sign():
    x = tf.constant([[[[2.0, -3.0]]]], tf.float64)
    found = gradient(lambda x: tf.reduce_sum(x**3, axis=[1, 2, 3]), x)
    assert found.dtype == tf.float64
    np.testing.assert_array_equal(found, [[[[12.0, 27.0]]]])
    found = gradient(lambda x: -tf.reduce_sum(x, axis=[1, 2, 3]), x)
    np.testing.assert_array_equal(found, [[[[-1.0, -1.0]]]])


def test_a_flat_score_has_the_gradient_zero():
    model, _ = linear_model(kernel_initializer="zeros")
    report = explained(model)
    np.testing.assert_array_equal(report.maps, np.zeros((5, 3, 2)))
    np.testing.assert_array_equal(report.gradient_norms, np.zeros(5))
    assert report.metrics["dead_maps"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [name for name in METHODS if "gra" in name and "cam" not in name]
)
@pytest.mark.parametrize(
    ("cut", "operation"),
    [
        (tf.stop_gradient, "StopGradient"),
        (lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32), "Cast"),
        (lambda x: tf.one_hot(tf.argmax(x, axis=1), SIZE), "ArgMax"),
        (lambda x: tf.gather(tf.eye(SIZE), tf.argmax(x, axis=1)), "ArgMax"),
    ],
    ids=["stop_gradient", "cast", "argmax", "vector_quantization"],
)
def test_a_score_cut_off_from_the_images(method, cut, operation):
    ends = [layers.Flatten(), layers.Lambda(cut, output_shape=(SIZE,)), layers.Dense(4)]
    model = keras.Sequential([keras.Input(SHAPE), *ends])
    with pytest.raises(ValueError, match=rf"no gradient reaches the images.*\({operation}\)"):
        explained(model, method=method)


# ---------------------------------------------------------------- input x gradient


def test_input_x_gradient_sums_to_the_logit_of_a_linear_model():
    model, kernel = linear_model(use_bias=False)
    logits = IMAGES.reshape(5, SIZE).astype(np.float64) @ kernel.astype(np.float64)

    def score(inputs):
        return tf.gather(model(inputs), TARGETS, axis=1, batch_dims=1)

    shares = input_x_gradient(score, tf.constant(IMAGES)).numpy()
    np.testing.assert_allclose(shares, IMAGES * kernel.T[TARGETS].reshape(IMAGES.shape), rtol=1e-6)
    # 18 terms of order 1, rounded to float32 each.
    sums = shares.astype(np.float64).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sums, logits[np.arange(5), TARGETS], atol=1e-6)
    report = explained(model, method="input_x_gradient")
    np.testing.assert_allclose(report.maps, np.abs(shares).max(axis=-1), rtol=1e-6)


def test_input_x_gradient_sums_to_the_logit_of_a_relu_net_without_bias():
    """Such a net is positively homogeneous of degree 1: Euler's theorem gives sum x df/dx = f."""
    parts = [
        layers.Conv2D(6, 2, activation="relu", use_bias=False),
        layers.Flatten(),
        layers.Dense(8, activation="relu", use_bias=False),
        layers.Dense(4, use_bias=False),
    ]
    model = keras.Sequential([keras.Input(SHAPE), *parts])
    shares = input_x_gradient(lambda x: model(x)[:, 2], tf.constant(IMAGES)).numpy()
    expected = model(IMAGES).numpy()[:, 2]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(shares.sum(axis=(1, 2, 3)), expected, rtol=1e-5, atol=1e-6)


def test_input_x_gradient_is_zero_where_the_image_is():
    model, _ = linear_model()
    images = IMAGES.copy()
    images[:, 1] = 0
    maps = explained(model, images, method="input_x_gradient").maps
    assert (maps[:, 1] == 0).all()
    assert (maps[:, [0, 2]] > 0).all()


# ---------------------------------------------------------------- from attribution to map


def test_saliency_map_is_the_largest_absolute_value_over_the_channels():
    attribution = tf.constant(
        [[[[1.0, -3.0, 2.0], [0.0, 0.0, 0.0]], [[-1.0, -2.0, -0.5], [4.0, 0, 0]]]]
    )
    np.testing.assert_array_equal(saliency_map(attribution), [[[3.0, 0.0], [2.0, 4.0]]])


def test_saliency_map_keeps_nan():
    found = saliency_map(tf.constant([[[[1.0, np.nan], [5.0, -6.0]]]])).numpy()
    assert np.isnan(found[0, 0, 0])
    assert found[0, 0, 1] == 6.0


# ---------------------------------------------------------------- norm


@pytest.fixture(params=["eager", "compiled"])
def any_norm(request):
    return norm if request.param == "eager" else tf.function(norm)


@pytest.mark.parametrize("scale", [1.2e-38, 1e-30, 1e-20, 1e-6, 1.0, 1e6, 1e20, 1e30, 3e37])
def test_norm_over_the_whole_range(any_norm, scale):
    rng = np.random.default_rng(2)
    sizes, signs = rng.uniform(1, 2, (4, 3, 2, 3)), rng.choice([-1, 1], (4, 3, 2, 3))
    values = (sizes * signs * scale).astype(np.float32)
    expected = np.linalg.norm(values.astype(np.float64).reshape(4, -1), axis=1)
    # 18 squares summed and a root, each step rounded at 2**-24.
    np.testing.assert_allclose(any_norm(tf.constant(values)), expected, rtol=5e-7)


@pytest.mark.parametrize("value", [1e-300, 3.3, 1e300])
def test_norm_in_double_precision(any_norm, value):
    found = any_norm(tf.fill((1, 3, 1, 1), tf.constant(value, tf.float64)))
    assert found.dtype == tf.float64
    np.testing.assert_allclose(found, [value * np.sqrt(3)], rtol=1e-14)


@pytest.mark.parametrize("value", [2e-38, 1.5e38])
def test_norm_at_the_ends_of_the_range(any_norm, value):
    """The norm of four equal values is twice the value."""
    found = any_norm(tf.fill((1, 2, 2, 1), tf.constant(value, tf.float32))).numpy()
    np.testing.assert_allclose(found, [2 * value], rtol=5e-7)


@pytest.mark.parametrize("value", [1e-45, 1e-42, 1e-39])
def test_norm_of_denormal_numbers(any_norm, value):
    """TensorFlow takes numbers below 1.18e-38 for 0 on some machines: that much may be missing."""
    found = any_norm(tf.fill((1, 2, 2, 1), tf.constant(value, tf.float32))).numpy()[0]
    assert 0 <= found <= 2.001 * value + 3e-45
    values = np.full((1, 2, 2, 1), value, np.float32)
    values[0, 0, 0, 0] = 1
    np.testing.assert_allclose(any_norm(tf.constant(values)), [1.0], rtol=5e-7)


def test_norm_of_one_large_and_many_small_values(any_norm):
    values = np.full((1, 4, 4, 1), 1e-30, np.float32)
    values[0, 2, 1, 0] = -1e30
    np.testing.assert_allclose(any_norm(tf.constant(values)), [1e30], rtol=5e-7)


def test_norm_of_zero(any_norm):
    np.testing.assert_array_equal(any_norm(tf.zeros((2, 3, 2, 1))), [0.0, 0.0])


def test_norm_of_nan_concerns_one_image_only(any_norm):
    values = np.zeros((3, 2, 1, 1), np.float32)
    values[0], values[1, 0], values[2] = 3, np.nan, -4
    found = any_norm(tf.constant(values)).numpy()
    np.testing.assert_allclose(found[[0, 2]], [np.sqrt(18), np.sqrt(32)], rtol=5e-7)
    assert np.isnan(found[1])


def test_norm_of_infinity_is_not_finite(any_norm):
    values = np.ones((1, 2, 1, 1), np.float32)
    values[0, 0] = np.inf
    assert not np.isfinite(any_norm(tf.constant(values)).numpy()[0])


def test_norm_of_many_half_precision_values(any_norm):
    """224 x 224 x 3 ones: the sum of squares, 150528, is beyond float16; the norm, 388, is not."""
    found = any_norm(tf.ones((1, 224, 224, 3), tf.float16)).numpy()
    np.testing.assert_allclose(found.astype(np.float64), [np.sqrt(150528)], rtol=1e-3)


# ---------------------------------------------------------------- occlusion


def test_covering_one_pixel_of_a_linear_model_takes_its_share_of_the_logit():
    model, kernel = linear_model()
    method = partial(occlusion, window=1, stride=1, baseline="zero")
    report = explained(model, method=method)
    shares = (kernel.T[TARGETS].reshape(IMAGES.shape) * IMAGES).sum(axis=-1)
    np.testing.assert_allclose(report.maps, np.abs(shares), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- class activation maps


def test_the_default_layer_is_not_one_that_pads():
    """A padded map's places are not where the image's are."""
    ends = [layers.ZeroPadding2D(((0, 1), (0, 1))), layers.GlobalAveragePooling2D()]
    convolution = layers.Conv2D(4, 2, activation="relu", name="last")
    model = keras.Sequential([keras.Input((8, 8, 3)), convolution, *ends, layers.Dense(4)])
    images = np.random.default_rng(0).random((5, 8, 8, 3)).astype("float32")
    named = explained(model, images, method=partial(grad_cam, layer="last"))
    assert named.maps.any()
    np.testing.assert_array_equal(explained(model, images, method="grad_cam").maps, named.maps)


def test_the_default_layer_may_be_a_sum_of_two_layers():
    """What `x + y` becomes in a functional model is no layer: a residual block may end in it."""
    inputs = keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    total = first + layers.Conv2D(4, 3, padding="same")(first)
    dense = layers.Dense(4)
    model = keras.Model(inputs, dense(layers.GlobalAveragePooling2D()(total)))
    images = np.random.default_rng(0).random((5, 8, 8, 3)).astype("float32")
    activations = keras.Model(inputs, total)(images).numpy()
    weights = dense.kernel.numpy().T[TARGETS] / 64  # the mean gradient of the mean of 64 places
    cams = np.maximum(np.einsum("bhwc,bc->bhw", activations, weights), 0)
    report = explained(model, images, method="grad_cam")
    np.testing.assert_allclose(report.maps, cams, rtol=1e-5, atol=1e-7)
