"""Ends of models and scores: every score of every end against a tape and NumPy, or a refusal.

An end is built from an input; it returns the outputs and, if there are any, the logits.
"""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from keras import layers, ops

from keras_saliency import ProbeSet, SaliencyMonitor

SHAPE = (3, 3, 2)
COUNT = 8
IMAGES = np.random.default_rng(0).normal(size=(COUNT, *SHAPE)).astype(np.float32)
MEMBERSHIP = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
NOISE = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]], np.float32)
VOTES = np.array([[0.5], [0.3], [0.2]], np.float32)


def dense(inputs, units=3, activation=None):
    """With a bias that is not zero, so that losing it shows."""
    layer = layers.Dense(units, activation, bias_initializer="random_normal")
    return layer(layers.Flatten()(inputs))


def fixed(values, matrix):
    """A product with given weights."""
    layer = layers.Dense(matrix.shape[1], use_bias=False)
    outputs = layer(values)
    layer.set_weights([matrix])
    return outputs


def softmaxes(inputs, count=3):
    return [dense(inputs, activation="softmax") for _ in range(count)]


def sigmoids(inputs, units=1, count=3):
    return [dense(inputs, units, "sigmoid") for _ in range(count)]


def instances(inputs, units=1, activation="sigmoid"):
    """Rows of the image as instances of a bag: their attention and their probabilities."""
    rows = layers.Reshape((3, 6))(inputs)
    attention = layers.Softmax(axis=1)(layers.Dense(1)(rows))
    return attention, layers.Dense(units, activation)(rows)


def with_activation(name, units=3, end=lambda values: values):
    def build(inputs):
        logits = dense(inputs, units)
        return end(layers.Activation(name)(logits)), logits

    return build


def linear(make):
    def build(inputs):
        outputs = make(inputs)
        return outputs, outputs

    return build


def probabilities(make):
    return lambda inputs: (make(inputs), None)


def on_pixels(inputs):
    return layers.Conv2D(3, 1, activation="softmax")(inputs)


def mixed_on_pixels(inputs):
    layer = layers.Conv2D(3, 1, use_bias=False)
    outputs = layers.GlobalAveragePooling2D()(layer(on_pixels(inputs)))
    layer.set_weights([NOISE[None, None]])
    return outputs


def product_of_experts(inputs):
    product = ops.prod(ops.stack(softmaxes(inputs), axis=1), axis=1)
    return product / ops.sum(product, axis=-1, keepdims=True)


def own_softmax(values):
    exponentials = ops.exp(values)
    return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


HEADS = {
    # logits
    "dense": linear(dense),
    "dense, one unit": linear(lambda x: dense(x, 1)),
    "two towers": linear(lambda x: dense(x) + dense(x)),
    "temperature": linear(lambda x: layers.Rescaling(3.0, -1.0)(dense(x))),
    "mean of logits": linear(lambda x: layers.Average()([dense(x), dense(x)])),
    "dense on sigmoid units": linear(lambda x: dense(dense(x, 5, "sigmoid"))),
    "no bias, on sigmoid units": linear(
        lambda x: layers.Dense(3, use_bias=False)(dense(x, 5, "sigmoid"))
    ),
    "log_softmax": lambda x: (lambda z: (ops.log_softmax(z), z))(dense(x)),
    # an activation
    "softmax": with_activation("softmax"),
    "softmax, reshaped": with_activation("softmax", end=layers.Reshape((3,))),
    "sigmoid, one unit": with_activation("sigmoid", 1),
    "sigmoids": with_activation("sigmoid"),
    "pooled softmax": lambda x: (lambda z: (layers.Softmax()(z), z))(
        layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(x))
    ),
    # classes that exclude each other, by products and averages of probabilities
    "superclasses": probabilities(lambda x: fixed(dense(x, 5, "softmax"), MEMBERSHIP)),
    "superclasses by matmul": probabilities(
        lambda x: ops.matmul(dense(x, 5, "softmax"), ops.convert_to_tensor(MEMBERSHIP))
    ),
    "label noise": probabilities(lambda x: fixed(dense(x, 3, "softmax"), NOISE)),
    "mixture of experts": probabilities(
        lambda x: ops.einsum("be,bec->bc", dense(x, 3, "softmax"), ops.stack(softmaxes(x), axis=1))
    ),
    "attention over instances": probabilities(
        lambda x: layers.Flatten()(layers.Dot(axes=1)([*instances(x, 3, "softmax")]))
    ),
    "mean of members": probabilities(lambda x: layers.Average()(softmaxes(x))),
    "weighted voting": probabilities(
        lambda x: fixed(ops.stack(softmaxes(x), axis=-1), VOTES)[..., 0]
    ),
    "1x1 convolution of softmaxes": probabilities(mixed_on_pixels),
    "mean over pixels": probabilities(lambda x: layers.GlobalAveragePooling2D()(on_pixels(x))),
    "product of experts": probabilities(product_of_experts),
    "smoothed": probabilities(lambda x: layers.Rescaling(0.9, 0.1 / 3)(dense(x, 3, "softmax"))),
    "own softmax": probabilities(lambda x: layers.Lambda(own_softmax)(dense(x))),
    # one unit
    "bag by Dot": probabilities(lambda x: layers.Flatten()(layers.Dot(axes=1)([*instances(x)]))),
    "bag by einsum": probabilities(lambda x: ops.einsum("bik,bij->bj", *instances(x))),
    "bag by matmul": probabilities(
        lambda x: (lambda a, p: ops.matmul(ops.transpose(a, (0, 2, 1)), p)[:, 0])(*instances(x))
    ),
    "bag by sum": probabilities(lambda x: ops.sum(ops.multiply(*instances(x)), axis=1)),
    "bag by noisy or": probabilities(lambda x: 1 - ops.prod(1 - instances(x)[1], axis=1)),
    "bag by maximum": probabilities(lambda x: ops.max(instances(x)[1], axis=1)),
    "vote of three": probabilities(lambda x: fixed(ops.concatenate(sigmoids(x), -1), VOTES)),
    # classes that do not exclude each other
    "mean of sigmoids": probabilities(lambda x: layers.Average()(sigmoids(x, 3))),
    "mixture of sigmoids": probabilities(
        lambda x: ops.einsum(
            "be,bec->bc", dense(x, 3, "softmax"), ops.stack(sigmoids(x, 3), axis=1)
        )
    ),
}
INDEPENDENT = {"sigmoids", "mean of sigmoids", "mixture of sigmoids"}


@pytest.fixture(scope="module", params=HEADS, ids=lambda name: name.replace(" ", "_"))
def head(request):
    """The name of an end, the model, and the model of its logits, if there are any."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(SHAPE)
    outputs, logits = HEADS[request.param](inputs)
    model = keras.Model(inputs, outputs)
    return request.param, model, None if logits is None else keras.Model(inputs, logits)


def class_probabilities(name, model, logits):
    """`(count, classes)`: what the model says of each class, from NumPy."""
    outputs = model(IMAGES).numpy().astype(np.float64)
    if logits is not None:
        z = logits(IMAGES).numpy().astype(np.float64)
        is_sigmoid = z.shape[1] == 1 or name in INDEPENDENT
        outputs = scipy.special.expit(z) if is_sigmoid else scipy.special.softmax(z, axis=1)
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def by_tape(name, model, logits, score, targets):
    """Scores, and their gradients by a tape."""
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = model(images)
        if score == "output":
            chosen = tf.gather(
                values, targets if values.shape[1] > 1 else targets * 0, batch_dims=1
            )
        else:
            z = None if logits is None else logits(images)
            if score == "logit":
                values = z
            elif z is not None:
                is_sigmoid = z.shape[1] == 1 or name in INDEPENDENT
                values = tf.sigmoid(z) if is_sigmoid else tf.nn.softmax(z)
            if values.shape[1] == 1:
                values = tf.concat([-values if score == "logit" else 1 - values, values], axis=1)
            chosen = tf.gather(values, targets, batch_dims=1)
            if score == "log_probability":
                chosen = tf.math.log(chosen)
    return chosen.numpy(), np.abs(tape.gradient(chosen, images).numpy()).max(axis=-1)


@pytest.mark.gate
@pytest.mark.parametrize("score", ["logit", "log_probability", "probability", "output"])
def test_scores_maps_and_predictions(head, score):
    name, model, logits = head
    expected = class_probabilities(name, model, logits)
    targets = np.arange(COUNT) % expected.shape[1]
    if score == "output":
        targets %= model.output_shape[1]
    probes = ProbeSet(IMAGES, targets)
    if score == "logit" and logits is None:
        advice = "score='log_probability' or score='probability'"
        with pytest.raises(ValueError, match=f"score='logit': .*{advice}") as refused:
            SaliencyMonitor(model, probes, score=score)
        if "cannot be determined" in str(refused.value):  # without a loss, they may be logits
            with pytest.raises(ValueError, match="cannot be determined"):
                SaliencyMonitor(model, probes)
            return
        monitor, score = SaliencyMonitor(model, probes), "log_probability"  # the default
        assert monitor.score.score == score
        assert "probabilities without logits" in monitor.notes[0]
    else:
        monitor = SaliencyMonitor(model, probes, score=score)
    report = monitor.evaluate(0)
    scores, maps = by_tape(name, model, logits, score, targets)
    np.testing.assert_allclose(report.scores, scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(report.maps, maps, rtol=1e-3, atol=1e-4 * maps.max())
    if score != "output":
        rows, predicted = np.arange(COUNT), expected.argmax(axis=1)
        if "sigmoids" in name:  # labels that do not exclude each other
            predicted = np.where(expected[rows, targets] > 0.5, targets, predicted)
        np.testing.assert_array_equal(report.predictions, predicted)
        np.testing.assert_allclose(report.confidences, expected[rows, predicted], rtol=1e-4)


@pytest.mark.filterwarnings("ignore:(?s).*softmax over axis -1.*has size 1")
def test_a_softmax_of_one_unit_is_refused():
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(1, "softmax")])
    probes = ProbeSet(IMAGES, np.zeros(COUNT, int))
    for score in ("logit", "log_probability", "probability", "output"):
        with pytest.raises(ValueError, match="single unit, which is always the same. Use"):
            SaliencyMonitor(model, probes, score=score)


def test_a_small_output_of_sigmoid_units_is_what_the_loss_takes_it_for():
    """A product of sigmoid units with positive weights may be a logit or a probability."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, fixed(dense(inputs, 3, "sigmoid"), VOTES))
    outputs = model(IMAGES).numpy()[:, 0]
    probes = ProbeSet(IMAGES, np.ones(COUNT, int))
    with pytest.raises(ValueError, match="logits cannot be determined.*from_logits=True"):
        SaliencyMonitor(model, probes)
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    report = SaliencyMonitor(model, probes).evaluate(0)
    np.testing.assert_allclose(report.scores, outputs, rtol=1e-5)
    np.testing.assert_allclose(report.confidences, scipy.special.expit(outputs), rtol=1e-5)
    for loss in ("binary_crossentropy", keras.losses.BinaryCrossentropy()):
        model.compile(loss=loss)
        report = SaliencyMonitor(model, probes).evaluate(0)
        np.testing.assert_allclose(report.scores, np.log(outputs), rtol=1e-5)


def test_a_callable_has_the_predictions_of_a_mixture():
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, fixed(dense(inputs, 5, "softmax"), MEMBERSHIP))
    outputs = model(IMAGES).numpy()
    score = lambda outputs, targets: outputs[:, 2]  # noqa: E731
    report = SaliencyMonitor(model, ProbeSet(IMAGES), score=score).evaluate(0)
    np.testing.assert_allclose(report.scores, outputs[:, 2], rtol=1e-5)
    np.testing.assert_array_equal(report.predictions, outputs.argmax(axis=1))
    np.testing.assert_allclose(report.confidences, outputs.max(axis=1), rtol=1e-5)


def test_a_loss_of_probabilities_makes_a_vote_beyond_0_and_1_a_probability():
    """Learned weights of a vote need not be shares."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    weights = np.array([[2.0], [-0.5], [0.2]], np.float32)
    model = keras.Model(inputs, fixed(ops.concatenate(sigmoids(inputs), -1), weights))
    outputs = model(IMAGES).numpy()[:, 0]
    assert (outputs > 1).any()
    assert ((outputs > 0) & (outputs < 0.5)).any()
    probes = ProbeSet(IMAGES, np.ones(COUNT, int))
    by_default = SaliencyMonitor(model, probes).evaluate(0)  # without a loss: a logit
    np.testing.assert_array_equal(by_default.predictions, outputs > 0)
    model.compile(loss="binary_crossentropy")
    report = SaliencyMonitor(model, probes, score="probability").evaluate(0)
    np.testing.assert_array_equal(report.predictions, outputs > 0.5)
    np.testing.assert_allclose(report.scores, outputs.clip(0, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("loss", "is_known"), [("binary_crossentropy", True), ("mse", False)])
def test_a_loss_of_probabilities_gives_a_callable_its_predictions(loss, is_known):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, HEADS["bag by noisy or"](inputs)[0])
    model.compile(loss=loss)
    outputs = model(IMAGES).numpy()[:, 0]
    score = lambda outputs, targets: outputs[:, 0]  # noqa: E731
    report = SaliencyMonitor(model, ProbeSet(IMAGES, np.ones(COUNT, int)), score=score).evaluate(0)
    expected = (outputs > 0.5) if is_known else np.full(COUNT, -1)
    np.testing.assert_array_equal(report.predictions, expected)
