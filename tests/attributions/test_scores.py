"""Every model here has random weights and a small image; NumPy says what its logits are."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from keras import layers

from keras_saliency import ProbeSet, SaliencyMonitor

SHAPE = (3, 3, 2)
SIZE = 18
IMAGES = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype(np.float32)
FLAT = IMAGES.reshape(6, SIZE).astype(np.float64)
TARGETS = np.array([0, 1, 2, 2, 0, 1])
BINARY = np.array([0, 1, 1, 0, 0, 1])
ROWS = np.arange(6)


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


def dense(units=3, activation=None, **kwargs):
    """With a bias that is not zero, so that losing it shows."""
    return layers.Dense(units, activation, bias_initializer="random_normal", **kwargs)


def linear_end(*last, dtype=None, units=3, activation=None, head=()):
    """Flatten, a dense layer, and whatever follows."""
    layer = dense(units, activation, dtype=dtype)
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layer, *head, *last])
    return model, layer


def numpy_logits(layer):
    kernel, bias = (np.asarray(weight.numpy(), np.float64) for weight in layer.weights)
    return FLAT @ kernel + bias


def explained(model, targets=TARGETS, images=IMAGES, **kwargs):
    return SaliencyMonitor(model, ProbeSet(images, targets), **kwargs).evaluate(step=0)


# ------------------------------------------------ models, each with the logits worked out apart


def dense_softmax():
    model, layer = linear_end(activation="softmax")
    return model, numpy_logits(layer)


def dense_softmax_of_tensorflow():
    model, layer = linear_end(activation=tf.nn.softmax)
    return model, numpy_logits(layer)


def activation_layer():
    model, layer = linear_end(layers.Activation("softmax"))
    return model, numpy_logits(layer)


def softmax_layer():
    model, layer = linear_end(layers.Softmax())
    return model, numpy_logits(layer)


def softmax_then_dropout():
    model, layer = linear_end(layers.Softmax(), layers.Dropout(0.5), layers.Identity())
    return model, numpy_logits(layer)


def softmax_then_reshape():
    model, layer = linear_end(layers.Reshape((1, 3)), layers.Softmax(), layers.Reshape((3,)))
    return model, numpy_logits(layer)


def softmax_then_flatten():
    model, layer = linear_end(layers.Reshape((1, 1, 3)), layers.Softmax(), layers.Flatten())
    return model, numpy_logits(layer)


def softmax_with_temperature():
    model, layer = linear_end(layers.Rescaling(0.25), layers.Softmax())
    return model, numpy_logits(layer) / 4


def functional():
    inputs = keras.Input(SHAPE)
    layer = dense(3, "softmax")
    model = keras.Model(inputs, layer(layers.Flatten()(inputs)))
    return model, numpy_logits(layer)


def dict_output():
    inputs = keras.Input(SHAPE)
    layer = dense(3, "softmax")
    model = keras.Model(inputs, {"class": layer(layers.Flatten()(inputs))})
    return model, numpy_logits(layer)


def nested():
    inner, layer = linear_end(activation="softmax")
    return keras.Sequential([keras.Input(SHAPE), inner]), numpy_logits(layer)


def nested_twice_and_functional():
    inner, layer = linear_end(layers.Softmax())
    inputs = keras.Input(SHAPE)
    middle = keras.Model(inputs, inner(inputs))
    outer = keras.Input(SHAPE)
    return keras.Model(outer, layers.Identity()(middle(outer))), numpy_logits(layer)


def nested_base_with_own_head():
    base = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Rescaling(2.0)])
    layer = dense(3)
    model = keras.Sequential([keras.Input(SHAPE), base, layer, layers.Activation("softmax")])
    kernel, bias = (weight.numpy().astype(np.float64) for weight in layer.weights)
    return model, 2 * FLAT @ kernel + bias


def log_softmax():
    model, layer = linear_end(activation="log_softmax")
    return model, numpy_logits(layer)


def log_softmax_layer():
    model, layer = linear_end(layers.Lambda(tf.nn.log_softmax))
    return model, numpy_logits(layer)


class Subclassed(keras.Model):
    def __init__(self, end, units=3):
        super().__init__()
        self.flatten, self.dense, self.end = layers.Flatten(), dense(units), end

    def call(self, inputs, training=False):
        return self.end(self.dense(self.flatten(inputs)))


def subclassed():
    model = Subclassed(keras.ops.softmax)
    model(IMAGES)
    return model, numpy_logits(model.dense)


def subclassed_with_softmax_of_tensorflow():
    model = Subclassed(tf.nn.softmax)
    model(IMAGES)
    return model, numpy_logits(model.dense)


def softmax_handed_on():
    """By operations of TensorFlow that keep every value."""

    def end(x):
        y = tf.squeeze(tf.expand_dims(tf.nn.softmax(x), axis=1), axis=1)
        return tf.ensure_shape(tf.identity(y), (None, 3))

    model = Subclassed(end)
    model(IMAGES)
    return model, numpy_logits(model.dense)


def linear_logits_between_0_and_1():
    """They look like probabilities, but do not sum to 1 and are a product with weights."""
    model, layer = linear_end()
    layer.kernel.assign(layer.kernel * 0.02)
    layer.bias.assign([0.2, 0.5, 0.7])
    logits = numpy_logits(layer)
    assert logits.min() > 0
    assert logits.max() < 1
    return model, logits


def linear_logits():
    model, layer = linear_end()
    return model, numpy_logits(layer)


def subclassed_linear_logits():
    model = Subclassed(lambda x: x)
    model(IMAGES)
    return model, numpy_logits(model.dense)


def sigmoid_units():
    model, layer = linear_end(activation="sigmoid")
    return model, numpy_logits(layer)


def sigmoid_layer_units():
    model, layer = linear_end(layers.Activation("sigmoid"))
    return model, numpy_logits(layer)


def attention_inside():
    """Softmaxes inside, linear at the end: the inner ones are not the model's."""
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    gate, layer = dense(SIZE, "softmax"), dense(3)
    model = keras.Model(inputs, layer(layers.Multiply()([gate(flat), flat])))
    kernel, bias = (weight.numpy().astype(np.float64) for weight in layer.weights)
    return model, scipy.special.softmax(numpy_logits(gate), axis=1) * FLAT @ kernel + bias


def pooled_convolution():
    conv = layers.Conv2D(3, 1, bias_initializer="random_normal")
    model = keras.Sequential([keras.Input(SHAPE), conv, layers.GlobalAveragePooling2D()])
    kernel, bias = (weight.numpy().astype(np.float64) for weight in conv.weights)
    return model, IMAGES.astype(np.float64).mean(axis=(1, 2)) @ kernel[0, 0] + bias


def pooled_convolution_softmax():
    model, logits = pooled_convolution()
    return keras.Sequential([keras.Input(SHAPE), model, layers.Softmax()]), logits


def whole_image_convolution_softmax():
    """Fully convolutional: classes as channels of a 1 x 1 map, flattened after the softmax."""
    conv = layers.Conv2D(3, 3, activation="softmax", bias_initializer="random_normal")
    model = keras.Sequential([keras.Input(SHAPE), conv, layers.Flatten()])
    kernel, bias = (weight.numpy().astype(np.float64) for weight in conv.weights)
    return model, FLAT @ kernel.reshape(SIZE, 3) + bias


MODELS = [
    dense_softmax,
    dense_softmax_of_tensorflow,
    activation_layer,
    softmax_layer,
    softmax_then_dropout,
    softmax_then_reshape,
    softmax_then_flatten,
    softmax_with_temperature,
    functional,
    dict_output,
    log_softmax,
    log_softmax_layer,
    nested,
    nested_twice_and_functional,
    nested_base_with_own_head,
    subclassed,
    subclassed_with_softmax_of_tensorflow,
    softmax_handed_on,
    linear_logits,
    linear_logits_between_0_and_1,
    subclassed_linear_logits,
    sigmoid_units,
    sigmoid_layer_units,
    attention_inside,
    pooled_convolution,
    pooled_convolution_softmax,
    whole_image_convolution_softmax,
]
INDEPENDENT = {sigmoid_units, sigmoid_layer_units}
ENDS = [
    dense_softmax,
    log_softmax,
    softmax_then_reshape,
    linear_logits,
    sigmoid_units,
    sigmoid_layer_units,
]

# Sums of 18 products of order 1 in float32: an error of some 18 * 2**-24 * 5.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def predicted(logits, make=None):
    """The largest; of classes that do not exclude each other, the label if its logit is above 0."""
    is_right = (logits[ROWS, TARGETS] > 0) & (make in INDEPENDENT)
    return np.where(is_right, TARGETS, logits.argmax(axis=1))


@pytest.mark.parametrize("make", MODELS)
def test_logit(make):
    model, logits = make()
    report = explained(model)
    np.testing.assert_allclose(report.scores, logits[ROWS, TARGETS], **CLOSE)
    np.testing.assert_array_equal(report.predictions, predicted(logits, make))


@pytest.mark.parametrize("make", ENDS)
def test_probability_and_confidence(make):
    model, logits = make()
    activate = scipy.special.expit if make in INDEPENDENT else scipy.special.softmax
    probabilities = activate(logits, **({} if make in INDEPENDENT else {"axis": 1}))
    report = explained(model, score="probability")
    np.testing.assert_allclose(report.scores, probabilities[ROWS, TARGETS], **CLOSE)
    predictions = predicted(logits, make)
    np.testing.assert_allclose(report.confidences, probabilities[ROWS, predictions], **CLOSE)
    np.testing.assert_array_equal(report.predictions, predictions)


@pytest.mark.parametrize("make", ENDS)
def test_log_probability(make):
    model, logits = make()
    if make in INDEPENDENT:
        expected = scipy.special.log_expit(logits)
    else:
        expected = scipy.special.log_softmax(logits, axis=1)
    report = explained(model, score="log_probability")
    np.testing.assert_allclose(report.scores, expected[ROWS, TARGETS], **CLOSE)


HALVES = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}


@pytest.mark.parametrize("policy", HALVES)
@pytest.mark.parametrize("end", ["softmax in half, cast", "softmax in float32", "softmax in half"])
def test_logit_in_mixed_precision(policy, end):
    if end == "softmax in half, cast":
        cast = layers.Activation("linear", dtype="float32")
        model, layer = linear_end(cast, activation="softmax", dtype=policy)
    elif end == "softmax in float32":
        model, layer = linear_end(layers.Activation("softmax", dtype="float32"), dtype=policy)
    else:
        model, layer = linear_end(activation="softmax", dtype=policy)
    report = explained(model)
    assert report.maps.dtype == np.float32
    logits = numpy_logits(layer)
    # Inputs, weights, product and sum with the bias are rounded to half precision, once each.
    kernel, bias = (np.abs(weight.numpy().astype(np.float64)) for weight in layer.weights)
    bound = 4 * HALVES[policy] * (np.abs(FLAT) @ kernel + bias)[ROWS, TARGETS]
    assert (np.abs(report.scores - logits[ROWS, TARGETS]) < bound).all()
    probabilities = scipy.special.softmax(logits, axis=1)
    # A softmax's sensitivity to a logit is a quarter at most, twice that with the others.
    np.testing.assert_allclose(
        report.confidences, probabilities.max(axis=1), atol=bound.max() + HALVES[policy]
    )


@pytest.mark.parametrize("policy", HALVES)
def test_logit_under_a_global_policy(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        conv = layers.Conv2D(4, 3, activation="relu")
        end = layers.Dense(3), layers.Activation("softmax", dtype="float32")
        model = keras.Sequential([keras.Input(SHAPE), conv, layers.Flatten(), *end])
        report = explained(model)
    finally:
        keras.config.set_dtype_policy(before)
    logits = keras.Model(model.inputs[0], model.layers[-2].output)(IMAGES).numpy()
    np.testing.assert_array_equal(report.scores, logits[ROWS, TARGETS].astype(np.float32))


# ---------------------------------------------------------------- one unit


def one_unit(*last, activation=None):
    model, layer = linear_end(*last, units=1, activation=activation)
    return model, numpy_logits(layer)[:, 0], layer


@pytest.mark.parametrize(
    "end", [{"activation": "sigmoid"}, {}, "layer"], ids=["dense sigmoid", "linear", "own layer"]
)
def test_one_unit_is_the_logit_of_class_1(end):
    made = one_unit(layers.Activation("sigmoid")) if end == "layer" else one_unit(**end)
    model, z, layer = made
    sign = np.where(BINARY == 1, 1, -1)
    report = explained(model, BINARY)
    np.testing.assert_allclose(report.scores, sign * z, **CLOSE)
    np.testing.assert_array_equal(report.predictions, z > 0)
    np.testing.assert_allclose(report.confidences, scipy.special.expit(np.abs(z)), **CLOSE)
    likely = explained(model, BINARY, score="probability")
    np.testing.assert_allclose(likely.scores, scipy.special.expit(sign * z), **CLOSE)
    log_likely = explained(model, BINARY, score="log_probability")
    np.testing.assert_allclose(log_likely.scores, scipy.special.log_expit(sign * z), **CLOSE)
    attribution = explained(model, BINARY, score="logit", method="input_x_gradient")
    weights = layer.kernel.numpy().reshape(SHAPE)
    np.testing.assert_allclose(attribution.maps, np.abs(IMAGES * weights).max(axis=-1), rtol=1e-6)


def test_both_classes_of_one_unit_occur():
    z = one_unit(activation="sigmoid")[1]
    assert set(z > 0) == {True, False}


# ---------------------------------------------------------------- gradients that algebra gives


def probability_gradient(layer, logits, targets):
    """dp_t/dx = p_t (w_t - sum_k p_k w_k), as images."""
    kernel = layer.kernel.numpy().astype(np.float64)
    p = scipy.special.softmax(logits, axis=1)
    log_gradient = kernel.T[targets] - p @ kernel.T
    return (p[ROWS, targets, None] * log_gradient).reshape(IMAGES.shape), log_gradient.reshape(
        IMAGES.shape
    )


@pytest.mark.parametrize("end", [{"activation": "softmax"}, {}], ids=["softmax", "linear"])
def test_gradients_of_a_softmax_regression(end):
    model, layer = linear_end(**end)
    of_probability, of_log = probability_gradient(layer, numpy_logits(layer), TARGETS)
    maps = explained(model, score="probability").maps
    np.testing.assert_allclose(maps, np.abs(of_probability).max(axis=-1), **CLOSE)
    maps = explained(model, score="log_probability").maps
    np.testing.assert_allclose(maps, np.abs(of_log).max(axis=-1), **CLOSE)


def test_the_logit_does_not_saturate():
    model, layer = linear_end(activation="softmax")
    layer.bias.assign([60.0, 0.0, 0.0])
    weights = np.abs(layer.kernel.numpy()[:, 0].reshape(SHAPE)).max(axis=-1)
    maps = explained(model, np.zeros(6, int)).maps
    np.testing.assert_array_equal(maps, np.stack([weights] * 6))
    saturated = explained(model, np.zeros(6, int), score="probability").maps
    assert saturated.max() < 1e-12


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_whose_logits_are_not_finite_predicts_nothing(value):
    """Weights that diverged: nothing is wrong with the end of the model."""
    model, layer = linear_end(activation="softmax")
    layer.bias.assign([0.0, value, 0.0])
    report = explained(model)
    assert report.predictions.tolist() == [-1] * 6
    assert np.isnan(report.confidences).all()


def test_a_probe_whose_logits_overflow_predicts_nothing():
    images = IMAGES.copy()
    images[2] = 1e30
    model, layer = linear_end(activation="softmax")
    layer.kernel.assign(np.sign(layer.kernel.numpy()) * 1e10)
    report = explained(model, images=images)
    assert (report.predictions < 0).tolist() == [False, False, True, False, False, False]
    np.testing.assert_array_equal(np.isnan(report.confidences), report.predictions < 0)


# ---------------------------------------------------------------- a callable


def test_callable():
    def margin(outputs, targets):
        rest = tf.reduce_sum(outputs, axis=1)
        return 2 * tf.gather(outputs, targets, axis=1, batch_dims=1) - rest

    model, layer = linear_end()
    logits, kernel = numpy_logits(layer), layer.kernel.numpy()
    report = explained(model, score=margin)
    expected = 2 * logits[ROWS, TARGETS] - logits.sum(axis=1)
    np.testing.assert_allclose(report.scores, expected, **CLOSE)
    gradient = (2 * kernel.T[TARGETS] - kernel.sum(axis=1)).reshape(IMAGES.shape)
    np.testing.assert_allclose(report.maps, np.abs(gradient).max(axis=-1), **CLOSE)
    np.testing.assert_array_equal(report.predictions, logits.argmax(axis=1))
    confidences = scipy.special.softmax(logits, axis=1).max(axis=1)
    np.testing.assert_allclose(report.confidences, confidences, **CLOSE)


def test_logits_in_double_precision():
    """Not rounded to float32 on the way: that would be off by 1e-7."""
    layer = dense(dtype="float64")
    flatten = layers.Flatten(dtype="float64")
    model = keras.Sequential([keras.Input(SHAPE, dtype="float64"), flatten, layer])
    report = explained(model, images=IMAGES.astype(np.float64))
    np.testing.assert_allclose(report.scores, numpy_logits(layer)[ROWS, TARGETS], rtol=1e-12)


def test_callable_gets_what_the_model_returns():
    model, logits = dict_output()
    report = explained(model, score=lambda outputs, targets: outputs["class"][:, 1])
    expected = scipy.special.softmax(logits, axis=1)[:, 1]
    np.testing.assert_allclose(report.scores, expected, **CLOSE)


def test_callable_on_dense_outputs():
    """A segmentation model: one score per pixel and class."""
    conv = layers.Conv2D(4, 1, use_bias=False)
    model = keras.Sequential([keras.Input(SHAPE), conv])
    report = explained(model, score=lambda outputs, targets: outputs[:, 1, 2, 3])
    kernel = conv.kernel.numpy()[0, 0]
    expected = np.zeros((6, 3, 3))
    expected[:, 1, 2] = np.abs(kernel[:, 3]).max()
    np.testing.assert_allclose(report.maps, expected, rtol=1e-6)
    np.testing.assert_allclose(report.scores, IMAGES[:, 1, 2] @ kernel[:, 3], **CLOSE)
    assert report.predictions.tolist() == [-1] * 6
    assert np.isnan(report.confidences).all()
    assert "probe_accuracy" not in report.metrics
    assert np.isnan(report.metrics["confidence"])


def test_callable_on_several_outputs():
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    first, second = dense(3), dense(2)
    model = keras.Model(inputs, [first(flat), second(flat)])
    report = explained(model, score=lambda outputs, targets: outputs[1][:, 0])
    np.testing.assert_allclose(report.scores, numpy_logits(second)[:, 0], **CLOSE)
    assert report.predictions.tolist() == [-1] * 6


def averaged():
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    members = dense(3, "softmax"), dense(3, "softmax")
    model = keras.Model(inputs, layers.Average()([member(flat) for member in members]))
    each = [scipy.special.softmax(numpy_logits(member), axis=1) for member in members]
    return model, np.mean(each, axis=0)


# ---------------------------------------------------------------- where the logit can't be found


def own_softmax(x):
    exponentials = tf.exp(x)
    return exponentials / tf.reduce_sum(exponentials, axis=1, keepdims=True)


def lambda_softmax():
    return linear_end(layers.Lambda(own_softmax))[0]


def ensemble():
    return averaged()[0]


def smoothed():
    return linear_end(layers.Softmax(), layers.Rescaling(0.9, 0.1 / 3))[0]


def softmax_over_patches():
    """A softmax at every pixel, then the mean."""
    conv = layers.Conv2D(3, 1, activation="softmax")
    return keras.Sequential([keras.Input(SHAPE), conv, layers.GlobalAveragePooling2D()])


def softmax_over_half_of_the_units():
    return linear_end(layers.Reshape((2, 2)), layers.Softmax(), layers.Reshape((4,)), units=4)[0]


def noise_adaptation():
    """Probabilities times a confusion matrix: a product with weights, yet no logits."""
    mixing = layers.Dense(3, use_bias=False)
    model = linear_end(layers.Softmax(), mixing)[0]
    mixing.kernel.assign([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]])
    return model


def hard_sigmoid():
    return linear_end(activation="hard_sigmoid")[0]


INDEPENDENT |= {softmax_over_half_of_the_units, hard_sigmoid}  # rows that do not sum to 1

ADVICE = r"(?si)score='logit'.*operation.*pass score='log_probability' or score='probability'"


UNKNOWN_LOGITS = [
    *(lambda_softmax, ensemble, smoothed, softmax_over_patches),
    *(softmax_over_half_of_the_units, noise_adaptation, hard_sigmoid),
]


@pytest.mark.parametrize("make", UNKNOWN_LOGITS)
def test_unknown_logits_are_refused_with_the_choices(make):
    with pytest.raises(ValueError, match=ADVICE):
        explained(make(), score="logit")


@pytest.mark.parametrize("make", UNKNOWN_LOGITS)
def test_unknown_logits_leave_the_probability(make):
    model = make()
    outputs = model(IMAGES).numpy()
    report = explained(model, score="probability")
    np.testing.assert_allclose(report.scores, outputs[ROWS, TARGETS], rtol=1e-5)
    predictions = predicted(outputs - 0.5, make)
    np.testing.assert_allclose(report.confidences, outputs[ROWS, predictions], rtol=1e-5)
    report = explained(model, score="log_probability")
    np.testing.assert_allclose(report.scores, np.log(outputs[ROWS, TARGETS]), **CLOSE)


@pytest.mark.parametrize(
    "make", [ensemble, noise_adaptation, softmax_over_half_of_the_units, softmax_over_patches]
)
def test_confidence_is_never_wrong_where_the_logits_are_unknown(make):
    """These outputs are no logits: a softmax of them would be no confidence."""
    model = make()
    outputs = model(IMAGES).numpy()
    report = explained(model, score=lambda outputs, targets: outputs[:, 0])
    np.testing.assert_allclose(report.scores, outputs[:, 0], **CLOSE)
    known = report.predictions >= 0
    np.testing.assert_array_equal(np.isnan(report.confidences), ~known)
    np.testing.assert_allclose(report.confidences[known], outputs.max(axis=1)[known], **CLOSE)


def test_unknown_sigmoid_leaves_the_probability():
    model = linear_end(layers.Lambda(lambda x: 1 / (1 + tf.exp(-x))), units=1)[0]
    with pytest.raises(ValueError, match=ADVICE):
        explained(model, BINARY)
    outputs = model(IMAGES).numpy()[:, 0]
    report = explained(model, BINARY, score="probability")
    np.testing.assert_allclose(report.scores, np.where(BINARY, outputs, 1 - outputs), rtol=1e-5)


def test_probabilities_by_name_must_be_probabilities():
    model = linear_end(layers.Lambda(lambda x: tf.abs(x) + 2))[0]
    with pytest.raises(
        ValueError, match="score='probability': .*probabilities cannot be determined"
    ):
        explained(model, score="probability")


def test_unknown_outputs_beyond_0_and_1_are_logits():
    model, layer = linear_end(layers.Rescaling(3.0, -1.0))
    report = explained(model)
    expected = 3 * numpy_logits(layer)[ROWS, TARGETS] - 1
    np.testing.assert_allclose(report.scores, expected, **CLOSE)


def test_a_saturated_own_softmax_gives_true_gradients():
    """A probability that underflows to 0 has the gradient 0, not nan."""

    def softmax(x):
        return own_softmax(x - tf.reduce_max(x, axis=1, keepdims=True))

    model, layer = linear_end(layers.Lambda(softmax))
    layer.bias.assign([500.0, 0.0, 0.0])
    report = explained(model, np.zeros(6, int), score="probability")
    np.testing.assert_array_equal(report.scores, np.ones(6))
    np.testing.assert_array_equal(report.maps, np.zeros((6, 3, 3)))


# ---------------------------------------------------------------- what is refused


def test_unknown_score():
    model = linear_end()[0]
    with pytest.raises(ValueError, match="score: .*'logit', 'log_probability', 'probability'.*'z'"):
        explained(model, score="z")
    with pytest.raises(TypeError, match="score: .*'logit'.*received 3"):
        explained(model, score=3)
    with pytest.raises(TypeError, match="score: .*'logit'.*received None"):
        explained(model, score=None)


@pytest.mark.parametrize(
    ("score", "shape"),
    [
        (lambda outputs, targets: outputs, r"\(6, 3\)"),
        (lambda outputs, targets: outputs[:, :1], r"\(6, 1\)"),
        (lambda outputs, targets: tf.reduce_sum(outputs), r"\(\)"),
        (lambda outputs, targets: outputs[:2, 0], r"\(2,\)"),
    ],
)
def test_callable_of_another_shape(score, shape):
    with pytest.raises(
        ValueError, match=rf"score: .*\(num_probes,\) = \(6,\), received shape {shape}"
    ):
        explained(linear_end()[0], score=score)


def test_outputs_of_rank_3():
    model = linear_end(layers.Reshape((3, 1)))[0]
    with pytest.raises(ValueError, match=r"score='logit': .*one output.*\(6, 3, 1\).*callable"):
        explained(model)


def test_several_outputs():
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    model = keras.Model(inputs, [dense(3)(flat), dense(2)(flat)])
    with pytest.raises(
        ValueError, match=r"score='probability': .*\(6, 3\), \(6, 2\).*ks\.Score\(output="
    ):
        explained(model, score="probability")


def test_callable_without_a_result():
    with pytest.raises(TypeError, match="score: .*one number per probe, received None.*return"):
        explained(linear_end()[0], score=lambda outputs, targets: None)


def test_score_source_names_the_tensor():
    def source(model, **kwargs):
        return SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), **kwargs).score_source

    softmax, _ = linear_end(layers.Softmax(name="the_end"))
    assert source(softmax).startswith("the input of '")
    assert "the_end" in source(softmax)
    linear, layer = linear_end()
    assert source(linear).startswith("the outputs, '")
    assert layer.name in source(linear)
    rank_4 = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(1, 1)])
    own = source(rank_4, score=lambda outputs, targets: outputs[:, 0, 0, 0])
    assert own == "the model's outputs, by a callable"
