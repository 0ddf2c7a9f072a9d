"""What a model's outputs stand for, which part of them is explained, and by which score."""

import copy
import dataclasses
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency.attributions import scores

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 8, 8, 3)).astype("float32")
TARGETS = np.arange(6) % 3
CLOSE = {"rtol": 1e-4, "atol": 1e-7}


def by_tape(score_of, images=IMAGES):
    """The saliency maps of any score, by a plain tape."""
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = score_of(inputs)
    return abs(tape.gradient(values, inputs).numpy()).max(-1)


def chosen(outputs, targets=TARGETS):
    return tf.gather(outputs, targets, axis=1, batch_dims=1)


def flat(*ends):
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), *ends])


# ---------------------------------------------------------------- no classes

NUMBERS = {
    "one number": (lambda: flat(layers.Dense(1)), "mse"),
    "a box": (lambda: flat(layers.Dense(4, activation="sigmoid")), "huber"),
    "an object of Keras": (lambda: flat(layers.Dense(3)), keras.losses.MeanAbsoluteError()),
    "a function of Keras": (lambda: flat(layers.Dense(3)), keras.losses.log_cosh),
    "an embedding": (lambda: flat(layers.Dense(5), layers.UnitNormalization()), None),
    "a compared embedding": (lambda: flat(layers.Dense(5)), keras.losses.CosineSimilarity()),
}


@pytest.mark.parametrize(("make", "loss"), NUMBERS.values(), ids=NUMBERS)
def test_outputs_that_are_no_classes_are_not_taken_for_classes(make, loss):
    model = make()
    if loss is not None:
        model.compile("sgd", loss)
    expected = "look like (numbers|an embedding).*score='output'.*callable.*score='probability'"
    with pytest.raises(ValueError, match=expected):
        ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS % 2))
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, [0] * 6), score="output").step(-1)
    np.testing.assert_allclose(report.maps, by_tape(lambda x: model(x)[:, 0]), **CLOSE)
    assert report.interventions.unit == "score"  # no class is tested
    mean = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES), score=lambda outputs, _: outputs[:, 0])
    report = mean.step(-1)
    assert (report.predictions == -1).all()
    assert np.isnan(report.confidences).all()
    assert "probe_accuracy" not in report.metrics


CLASSES = {
    "softmax and mse": (layers.Dense(3, activation="softmax"), "mse"),
    "sigmoid and mse": (layers.Dense(1, activation="sigmoid"), "mse"),
    "hinge": (layers.Dense(3), "categorical_hinge"),
    "cross-entropy": (layers.Dense(3), keras.losses.CategoricalCrossentropy(from_logits=True)),
    "the name of an own loss": (layers.Dense(3), "own_loss"),  # from an .h5 file
    "an unknown loss": (layers.Dense(3), lambda labels, outputs: tf.reduce_sum(outputs)),
}


@pytest.mark.parametrize(("end", "loss"), CLASSES.values(), ids=CLASSES)
def test_classes_trained_with_any_loss_are_classes(end, loss):
    model = flat(end)
    model.compile("sgd", loss)
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS % 2)).evaluate(-1)
    outputs = model.predict(IMAGES, verbose=0)
    one_unit = outputs.shape[1] == 1
    expected = (outputs[:, 0] > 0.5) if one_unit else outputs.argmax(1)
    np.testing.assert_array_equal(report.predictions, expected)


def test_each_output_has_the_loss_that_it_is_compiled_with():
    inputs = keras.Input((8, 8, 3))
    values = layers.Flatten()(inputs)
    heads = {"kind": layers.Dense(3, name="kind"), "age": layers.Dense(1, name="age")}
    model = keras.Model(inputs, {name: head(values) for name, head in heads.items()})
    model.compile("sgd", {"kind": "categorical_hinge", "age": "mse"})
    probes = ks.ProbeSet(IMAGES, TARGETS % 2)
    ks.SaliencyMonitor(model, probes, score=ks.Score(output="kind"))
    with pytest.raises(ValueError, match="mean_squared_error"):
        ks.SaliencyMonitor(model, probes, score=ks.Score(output="age"))


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize("score", ["logit", "probability", "output"])
def test_outputs_without_an_axis_of_units_have_one_unit(score):
    unit = layers.Dense(1, activation="sigmoid")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.ops.squeeze(unit(layers.Flatten()(inputs)), -1))
    targets = TARGETS % 2 if score != "output" else [0] * 6
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, targets), score=score).evaluate(-1)
    with_axis = keras.Model(inputs, unit(layers.Flatten()(inputs)))
    expected = ks.SaliencyMonitor(with_axis, ks.ProbeSet(IMAGES, targets), score=score).evaluate(-1)
    np.testing.assert_allclose(report.maps, expected.maps, **CLOSE)
    np.testing.assert_allclose(report.scores, expected.scores, rtol=1e-5)
    np.testing.assert_array_equal(report.predictions, expected.predictions)


def test_axes_of_length_one_before_the_classes_are_dropped():
    inputs = keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 8, activation="softmax")  # one position: (batch, 1, 1, 4)
    model = keras.Model(inputs, conv(inputs))
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS)).evaluate(-1)
    kernel = conv.kernel.numpy()  # (8, 8, 3, 4): the gradient of a logit
    np.testing.assert_allclose(
        report.maps, [abs(kernel[..., target]).max(-1) for target in TARGETS], **CLOSE
    )
    probabilities = model.predict(IMAGES, verbose=0)[:, 0, 0]
    np.testing.assert_allclose(report.confidences, probabilities.max(1), rtol=1e-5)


def per_step_model(end="softmax"):
    """`(batch, 8, 3)`: three classes at each of eight columns."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Permute((2, 1, 3)),
            layers.Reshape((8, 24)),
            layers.Dense(3, activation=end),
        ]
    )


@pytest.mark.parametrize("position", [5, -3, (5,)])
def test_one_position_of_many_is_explained(position):
    model = per_step_model()
    score = ks.Score(position=position)
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS), score=score).evaluate(-1)
    kernel = model.layers[-1].kernel.numpy().reshape(8, 3, 3)  # rows, channels, classes
    expected = np.zeros((6, 8, 8))
    expected[:, :, 5] = abs(kernel).max(1).T[TARGETS]
    np.testing.assert_allclose(report.maps, expected, **CLOSE)
    outputs = model.predict(IMAGES, verbose=0)[:, 5]
    np.testing.assert_array_equal(report.predictions, outputs.argmax(1))
    np.testing.assert_allclose(report.confidences, outputs.max(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("position", "error", "expected"),
    [
        (8, ValueError, r"position: expected an index for each axis of \(8,\).*received \(8,\)"),
        ((1, 2), ValueError, r"position: expected an index for each axis of \(8,\)"),
        (1.5, TypeError, "position: expected an integer or a tuple of integers, received 1.5"),
        (True, TypeError, "position: expected an integer or a tuple of integers, received True"),
    ],
)
def test_positions_are_checked(position, error, expected):
    with pytest.raises(error, match=expected):
        ks.SaliencyMonitor(
            per_step_model(), ks.ProbeSet(IMAGES, TARGETS), score=ks.Score(position=position)
        )


def test_the_refusal_of_many_positions_names_what_fits():
    with pytest.raises(
        ValueError, match=r"'max_logit'.*ks\.Score\(position=0\).*callable"
    ) as refused:
        ks.SaliencyMonitor(per_step_model(), ks.ProbeSet(IMAGES, TARGETS))
    assert "segmentation" not in str(refused.value)  # columns are no places of the image
    painter = autoencoder()
    painter.compile("sgd", "mse")
    with pytest.raises(ValueError, match="mean of all outputs, pass score='mean'") as refused:
        ks.SaliencyMonitor(painter, ks.ProbeSet(IMAGES, TARGETS))
    assert "segmentation" not in str(refused.value)
    labels = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 2, strides=2)])
    with pytest.raises(ValueError, match="labels every position.*score='segmentation'"):
        ks.SaliencyMonitor(labels, ks.ProbeSet(IMAGES, TARGETS))


# ---------------------------------------------------------------- segmentation


def labelling(activation="softmax", classes=3, strides=1):
    conv = layers.Conv2D(4, 3, padding="same", strides=strides, activation="tanh")
    end = layers.Conv2D(classes, 1, activation=activation)
    return keras.Sequential([keras.Input((8, 8, 3)), conv, end])


def test_a_class_that_is_predicted_nowhere_has_a_score():
    """Its logits, weighted by its probability, which is not differentiated."""
    model = labelling()
    hidden, end = model.layers
    end.bias.assign([0.0, 0.0, -20.0])  # class 2 is predicted nowhere

    def logits(inputs):
        return hidden(inputs) @ end.kernel[0, 0] + end.bias

    probabilities = model(IMAGES).numpy()
    assert not (probabilities.argmax(-1) == 2).any()

    def score_of(inputs):
        return tf.reduce_sum(logits(inputs)[..., 2] * probabilities[..., 2], (1, 2))

    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, [2] * 6), score="segmentation")
    report = monitor.evaluate(-1)
    expected = by_tape(score_of)
    assert (expected.max((1, 2)) > 0).all()
    np.testing.assert_allclose(report.maps / expected.max(), expected / expected.max(), **CLOSE)
    np.testing.assert_allclose(report.scores, score_of(IMAGES), rtol=1e-4)
    assert report.metrics["dead_maps"] == 0


@pytest.mark.parametrize("strides", [1, 2])
def test_the_score_of_a_segmentation_is_that_of_the_mask(strides):
    """Of half the size, the output's positions lie at the mask's pixels 1, 3, 5, 7."""
    model = labelling(activation=None, strides=strides)
    masks = RNG.random((6, 8, 8)) > 0.6
    masks[5] = False  # as if there was none
    outputs = model(IMAGES).numpy()
    inside = masks if strides == 1 else masks[:, 1::2, 1::2]
    probabilities = tf.nn.softmax(outputs).numpy()
    weights = np.where(inside[..., None], 1.0, 0.0) * np.ones(3)
    weights[5] = probabilities[5]
    expected = [(weights * outputs)[row, ..., label].sum() for row, label in enumerate(TARGETS)]
    probes = ks.ProbeSet(IMAGES, TARGETS, masks=masks)
    report = ks.SaliencyMonitor(model, probes, score="segmentation").step(-1)
    np.testing.assert_allclose(report.scores, expected, rtol=1e-4)


# ---------------------------------------------------------------- callables


def autoencoder():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
        ]
    )


def reconstruction_error(outputs, targets, inputs):
    return tf.reduce_mean((outputs - inputs) ** 2, (1, 2, 3))


@pytest.mark.parametrize(
    "score",
    [
        reconstruction_error,
        lambda outputs, targets, inputs=None: reconstruction_error(outputs, targets, inputs),
        partial(lambda scale, o, t, i: scale * reconstruction_error(o, t, i), 1.0),
    ],
    ids=["three", "default", "partial"],
)
def test_a_score_may_compare_the_output_with_the_input(score):
    model = autoencoder()
    expected = by_tape(lambda inputs: reconstruction_error(model(inputs), None, inputs))
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES), score=score).step(-1)
    np.testing.assert_allclose(report.maps, expected, **CLOSE)
    np.testing.assert_allclose(
        report.scores, ((model.predict(IMAGES, verbose=0) - IMAGES) ** 2).mean((1, 2, 3)), rtol=1e-5
    )


def test_a_score_that_ignores_targets_needs_none():
    model = autoencoder()
    found = ks.saliency_maps(model, IMAGES, score=lambda outputs, _: outputs[:, 0, 0, 0])
    np.testing.assert_allclose(found, by_tape(lambda x: model(x)[:, 0, 0, 0]), **CLOSE)
    with pytest.raises(ValueError, match="targets: expected a class per probe"):
        ks.saliency_maps(model, IMAGES, score=lambda o, t: tf.gather(o[:, 0, 0], t, batch_dims=1))


def test_a_score_with_other_arguments_gets_outputs_and_targets():
    assert not scores.takes_inputs(lambda outputs, targets: outputs)
    assert not scores.takes_inputs(lambda outputs, targets, scale=2.0: outputs)
    assert not scores.takes_inputs(partial(reconstruction_error, inputs=None))
    assert not scores.takes_inputs(lambda *ends: ends[0])
    assert scores.takes_inputs(reconstruction_error)


# ---------------------------------------------------------------- a part of the model


class Discriminating(keras.Model):
    """A model with a train_step and no call, as in Keras' example of a GAN."""

    def __init__(self):
        super().__init__()
        self.discriminator = flat(layers.Dense(1))
        self.generator = keras.Sequential([keras.Input((4,)), layers.Dense(192)])

    def train_step(self, images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.softplus(-self.discriminator(images)))
        weights = self.discriminator.trainable_weights
        gradients = tape.gradient(loss, weights)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {"loss": loss}


def test_a_part_of_a_model_without_a_call_is_explained_while_the_model_trains():
    model = Discriminating()
    model.compile("sgd")
    probes = ks.ProbeSet(IMAGES, [1] * 6)
    score = ks.Score(model=model.discriminator)
    saliency = ks.SaliencyCallback(probes, score=score, log_dir=None, verbose=0)
    for _ in range(2):
        model.fit(IMAGES, epochs=2, verbose=0, callbacks=[saliency])
    kernel = model.discriminator.layers[-1].kernel.numpy().reshape(8, 8, 3)
    np.testing.assert_allclose(saliency.report.maps[0], abs(kernel).max(-1), **CLOSE)
    assert saliency.history["step"] == [-1, 0, 1, 2, 3]
    assert saliency._monitor.trace_count == 1  # the second fit goes on


@pytest.mark.parametrize("labels", [[0, 1, 0, 1, 1, 0], [0, 1, 2, 0, 1, 2]])
def test_labels_are_no_classes_of_a_discriminator(labels):
    """They are of the images, real ones all; the line in the note takes 0 and 1 as its classes."""
    model, probes = Discriminating(), ks.ProbeSet(IMAGES, labels)
    monitor = ks.SaliencyMonitor(model, probes)
    line = "ks.Score(model=model.discriminator)"
    assert monitor.notes == [
        "Discriminating has no call method, so its part 'discriminator' is explained, without the "
        f"labels, since they may not be its classes; with them: score={line}"
    ]
    assert monitor.probes.targets is None
    logits = model.discriminator(IMAGES).numpy()[:, 0]
    kernel = model.discriminator.layers[-1].kernel.numpy().reshape(8, 8, 3)
    report = monitor.step(-1)
    np.testing.assert_allclose(report.scores, logits, **CLOSE)
    np.testing.assert_allclose(report.maps[0], abs(kernel).max(-1), **CLOSE)
    with_them = ks.SaliencyMonitor(model, probes, score=eval(line, {"ks": ks, "model": model}))
    if max(labels) > 1:
        (note,) = with_them.notes
        assert note.startswith("no unit of the model stands for some of the targets")
        np.testing.assert_allclose(with_them.step(-1).scores, logits, **CLOSE)
    else:
        signed = np.where(labels, logits, -logits)
        np.testing.assert_allclose(with_them.step(-1).scores, signed, **CLOSE)


def test_parts_that_may_be_meant_are_named_with_what_happens_to_the_labels():
    model, probes = Discriminating(), ks.ProbeSet(IMAGES, [0, 1, 0, 1, 1, 0])
    model.other = flat(layers.Dense(1))
    with pytest.raises(ValueError, match=r"model\.discriminator\) or .*model\.other\)\.") as error:
        ks.SaliencyMonitor(model, probes)
    assert "The targets then are its classes; if they are not, leave them out" in str(error.value)
    line = str(error.value).partition("leave them out: ")[2].removesuffix(".")
    probes = eval(line, {"dataclasses": dataclasses, "probes": probes})
    scores = ks.SaliencyMonitor(model, probes, score=ks.Score(model=model.other)).step(-1).scores
    np.testing.assert_allclose(scores, model.other(IMAGES).numpy()[:, 0], **CLOSE)


def test_a_part_that_augments_images_is_not_the_one_that_is_explained():
    model = Discriminating()
    model.augment = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip()])
    model.compile("sgd")
    saliency = ks.SaliencyCallback(ks.ProbeSet(IMAGES), log_dir=None, verbose=0)
    model.fit(IMAGES, verbose=0, callbacks=[saliency])
    kernel = model.discriminator.layers[-1].kernel.numpy().reshape(8, 8, 3)
    np.testing.assert_allclose(saliency.report.maps[0], abs(kernel).max(-1), **CLOSE)


def test_a_part_has_to_be_a_part():
    other = flat(layers.Dense(3))
    with pytest.raises(ValueError, match="score: expected a model that shares weights with"):
        ks.SaliencyMonitor(
            flat(layers.Dense(3)), ks.ProbeSet(IMAGES, TARGETS), score=ks.Score(model=other)
        )
    with pytest.raises(TypeError, match="model: expected a keras.Model in"):
        ks.SaliencyMonitor(
            other, ks.ProbeSet(IMAGES, TARGETS), score=ks.Score(model=other.layers[0])
        )


# ---------------------------------------------------------------- what fit takes


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_integer_images_are_explained_as_floats(dtype):
    values = RNG.integers(0, 2, IMAGES.shape).astype(dtype)
    model = flat(layers.Rescaling(1 / 255), layers.Dense(3))
    found = ks.SaliencyMonitor(model, ks.ProbeSet(values, TARGETS))
    floats = ks.SaliencyMonitor(model, ks.ProbeSet(values.astype("float32"), TARGETS))
    np.testing.assert_array_equal(found.step(-1).maps, floats.step(-1).maps)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1)])
def test_a_last_axis_of_one_is_added_and_dropped_as_keras_does(shape):
    gray = IMAGES[..., :1]
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(3)])
    kernel = model.layers[-1].kernel.numpy()
    expected = abs(kernel.T[TARGETS].reshape(6, 8, 8))
    np.testing.assert_allclose(ks.saliency_maps(model, gray, TARGETS), expected, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "grad_cam", "integrated_gradients", "occlusion"])
def test_gray_images_without_a_channel_axis_are_explained(method):
    """The first model of everyone: (N, 8, 8) images, and the axis added inside."""
    gray = IMAGES[..., 0]
    inputs = keras.Input((8, 8))
    conv = layers.Conv2D(4, 3, activation="relu")
    seen = conv(layers.Reshape((8, 8, 1))(inputs))
    end = layers.Dense(3)
    model = keras.Model(inputs, end(layers.GlobalAveragePooling2D()(seen)))
    channels = keras.Input((8, 8, 1))
    plain = keras.Model(channels, end(layers.GlobalAveragePooling2D()(conv(channels))))
    found = ks.saliency_maps(model, gray, TARGETS, method=method)
    expected = ks.saliency_maps(plain, gray[..., None], TARGETS, method=method)
    np.testing.assert_allclose(found, expected, **CLOSE)


class AddsChannels(keras.Model):
    """Of TensorFlow's tutorial for experts: `x[..., None]` in the call."""

    def __init__(self):
        super().__init__()
        self.convolve = layers.Conv2D(4, 3, activation="relu")
        self.flatten, self.end = layers.Flatten(), layers.Dense(3)

    def call(self, inputs):
        return self.end(self.flatten(self.convolve(inputs[..., None])))


def test_a_subclassed_model_gets_gray_images_as_in_fit():
    gray = IMAGES[..., 0]
    model = AddsChannels()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probes = ks.ProbeSet.from_dataset((gray, TARGETS), per_class=2)
    saliency = ks.SaliencyCallback(probes, log_dir=None, verbose=0)
    model.fit(gray, TARGETS, verbose=0, callbacks=[saliency])  # unbuilt before
    images, targets = probes.images[..., 0], probes.targets
    expected = by_tape(lambda x: chosen(model(x[..., 0]), targets), images[..., None])
    np.testing.assert_allclose(saliency.report.maps, expected, **CLOSE)


class Sums(layers.Layer):
    """The sum over all pixels; plus the numbers of an optional input."""

    def call(self, images, numbers=None):
        total = keras.ops.sum(images, axis=(1, 2))
        return total if numbers is None else total + numbers

    def compute_output_spec(self, images, numbers=None):
        return keras.KerasTensor((images.shape[0], 3))


AS_DICT = pytest.param(
    True,
    marks=pytest.mark.skipif(
        tuple(map(int, keras.__version__.split(".")[:2])) < (3, 10),
        reason="before Keras 3.10, none of the inputs in a dict can be left out",
    ),
)


@pytest.mark.parametrize("as_dict", [AS_DICT, False])
@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("image", "extra")])
def test_an_optional_input_may_be_left_out(a, b, as_dict):
    """In a dict, in any order of the names."""
    images, numbers = keras.Input((8, 8, 3), name=a), keras.Input((3,), name=b, optional=True)
    inputs = {a: images, b: numbers} if as_dict else [images, numbers]
    model = keras.Model(inputs, Sums()(images, numbers))
    sums = IMAGES.sum((1, 2))[np.arange(6), TARGETS]
    without = ks.ProbeSet(IMAGES, TARGETS, input_name=a)
    report = ks.SaliencyMonitor(model, without).evaluate(-1)
    np.testing.assert_allclose(report.scores, sums, rtol=1e-5)
    given = ks.ProbeSet(IMAGES, TARGETS, input_name=a, held={b: np.ones((6, 3), "float32")})
    report = ks.SaliencyMonitor(model, given).evaluate(-1)
    np.testing.assert_allclose(report.scores, sums + 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_token_per_input_is_explained_at_its_vector(shape):
    """A recommender: the logit is the product of two vectors."""
    users = keras.Input(shape, dtype="int32", name="user")
    items = keras.Input(shape, dtype="int32", name="item")
    of_users, of_items = layers.Embedding(5, 8), layers.Embedding(7, 8)
    vectors = [
        layers.Reshape((8,))(of(each)) for of, each in ((of_users, users), (of_items, items))
    ]
    model = keras.Model({"user": users, "item": items}, layers.Dot(1)(vectors))
    ids = np.arange(6)
    probes = ks.ProbeSet(
        ids % 5, ids % 2, kind="tokens", input_name="user", held={"item": ids.astype("int32")}
    )
    found = ks.saliency_maps(model, probes)
    expected = np.linalg.norm(of_items.embeddings.numpy()[ids], axis=1)  # of the other vector
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


class FromBytes(keras.Model):
    """Its call looks at the dtype: bytes are divided by 255, floats are not."""

    def __init__(self):
        super().__init__()
        self.end = layers.Dense(3)

    def call(self, inputs):
        return self.end(
            keras.ops.reshape(tf.image.convert_image_dtype(inputs, "float32"), (-1, 192))
        )


class Rescaled(FromBytes):
    def call(self, inputs):
        return self.end(keras.ops.reshape(tf.cast(inputs, "float32") / 255, (-1, 192)))


def test_integers_are_cast_only_if_the_model_answers_alike():
    pixels = (255 * IMAGES).astype("uint8")
    probes = ks.ProbeSet(pixels, TARGETS)
    keras.utils.set_random_seed(0)  # no logit is close to 0
    asked, other = Rescaled(), FromBytes()
    for model in (asked, other):
        model(pixels)
    report = ks.SaliencyMonitor(asked, probes).evaluate(-1)
    np.testing.assert_allclose(report.scores, asked(pixels).numpy()[range(6), TARGETS], rtol=1e-5)
    with pytest.raises(TypeError, match=r"images: expected floating point.*ks\.Score\(model=part"):
        ks.SaliencyMonitor(other, probes)


# ---------------------------------------------------------------- heads that look like others


def test_logarithms_of_one_probability_are_no_logits():
    for end in (
        layers.Activation(keras.ops.log_sigmoid),
        layers.Lambda(lambda z: tf.math.log(tf.sigmoid(z))),
    ):
        model = flat(layers.Dense(1), end)
        for score in ("logit", "probability"):
            with pytest.raises(ValueError, match=f"score='{score}': expected .*score='output'"):
                ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS % 2), score=score)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras warns of it, too
@pytest.mark.parametrize("activation", ["softmax", "log_softmax"])
def test_one_unit_with_a_softmax_is_constant(activation):
    with pytest.raises(ValueError, match="softmax of a single unit, which is always the same"):
        ks.SaliencyMonitor(
            flat(layers.Dense(1, activation=activation)), ks.ProbeSet(IMAGES, TARGETS % 2)
        )


def test_percentages_are_no_logits():
    model = flat(layers.Dense(3, activation="softmax"), layers.Rescaling(100.0))
    with pytest.raises(ValueError, match="score='logit': expected"):
        ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixtures_in_16_bit_are_of_exclusive_classes(dtype):
    inputs = keras.Input((8, 8, 3))
    values = layers.Flatten()(inputs)
    gate = layers.Dense(2, activation="softmax", dtype=dtype)(values)
    experts = layers.Reshape((2, 3), dtype=dtype)(layers.Dense(6, dtype=dtype)(values))
    experts = layers.Softmax(dtype=dtype)(experts)
    model = keras.Model(inputs, keras.ops.einsum("be,bec->bc", gate, experts))
    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS), score="probability")
    assert monitor.step(-1).interventions.unit == "accuracy"
    np.testing.assert_array_equal(
        monitor.step(-1).predictions, model.predict(IMAGES, verbose=0).argmax(1)
    )


def test_a_sigmoid_with_a_loss_for_numbers_is_a_class_only_with_labels():
    model = flat(layers.Dense(1, activation="sigmoid"))
    model.compile("sgd", "mae")
    ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, TARGETS % 2))
    assert ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES)).score.score == "output"
    with pytest.raises(ValueError, match="mean_absolute_error, so its outputs look like numbers"):
        ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES), score="logit")


# ---------------------------------------------------------------- scores and their settings


def test_a_flattened_segmentation_has_the_mask_of_its_positions():
    model = keras.Sequential([labelling(activation=None), layers.Reshape((64, 3))])
    masks = RNG.random((6, 8, 8)) > 0.6
    outputs = model(IMAGES).numpy()
    expected = [outputs[row, masks[row].ravel(), label].sum() for row, label in enumerate(TARGETS)]
    probes = ks.ProbeSet(IMAGES, TARGETS, masks=masks)
    report = ks.SaliencyMonitor(model, probes, score="segmentation").evaluate(-1)
    np.testing.assert_allclose(report.scores, expected, rtol=1e-4)
    fewer = keras.Sequential([model, layers.Cropping1D(1)])
    with pytest.raises(ValueError, match=r"masks: expected masks like the model's output.*\(62,\)"):
        ks.SaliencyMonitor(fewer, probes, score="segmentation")


def test_a_callable_gets_the_outputs_at_the_position():
    model = per_step_model()
    score = ks.Score(lambda outputs, _: outputs[:, 1], position=5)
    report = ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES), score=score).evaluate(-1)
    expected = model.predict(IMAGES, verbose=0)[:, 5, 1]
    np.testing.assert_allclose(report.scores, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="position: expected None with score='segmentation'"):
        ks.Score("segmentation", position=3)
    with pytest.raises(ValueError, match=r"position: expected outputs.*Leave position out"):
        ks.SaliencyMonitor(flat(layers.Dense(3)), ks.ProbeSet(IMAGES), score=ks.Score(position=0))


def test_a_compiled_score_that_ignores_targets_needs_none():
    score = tf.function(lambda outputs, targets: outputs[:, 0, 0, 0])
    model = autoencoder()
    found = ks.saliency_maps(model, IMAGES, score=score)
    np.testing.assert_allclose(found, by_tape(lambda x: model(x)[:, 0, 0, 0]), **CLOSE)


@pytest.mark.parametrize("score", [lambda outputs: outputs, lambda a, b, c, d: a])
def test_scores_with_other_numbers_of_arguments_are_refused_at_once(score):
    with pytest.raises(TypeError, match=r"score: expected a callable of \(outputs, targets\) or"):
        ks.Score(score)


def test_a_copied_score_is_about_the_same_model():
    model = flat(layers.Dense(3))
    score = ks.Score(model=model)
    assert copy.deepcopy(score).model is model
    with pytest.raises(TypeError, match=r"model: expected a keras\.Model, received 'encoder'"):
        ks.Score(model="encoder")


def test_the_source_of_a_score_is_said_as_it_is():
    model = flat(layers.Dense(3, activation="softmax"))
    probes = ks.ProbeSet(IMAGES, TARGETS)
    sources = {
        score: ks.SaliencyMonitor(model, probes, score=score).score_source
        for score in ("logit", "output")
    }
    assert sources["logit"].startswith("the input of '")
    assert sources["output"].startswith("the outputs, '")


def test_targets_that_are_numbers_are_explained_as_numbers():
    """Counts as labels and a loss of numbers: the default leaves them out, others say how to."""
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    counts = ks.ProbeSet(IMAGES, [0, 7, 1, 2, 3, 4])
    report = ks.SaliencyMonitor(model, counts).evaluate(0)
    np.testing.assert_allclose(report.scores, model(IMAGES)[:, 0], rtol=1e-5)
    with pytest.raises(
        ValueError, match=r"received 7 for probe 1. One number has no class: .*targets=None"
    ):
        ks.SaliencyMonitor(model, counts, score="output")
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match=r"received 7 for probe 1.$"):
        ks.SaliencyMonitor(model, ks.ProbeSet(IMAGES, [0, 7, 1, 2, 3, 4]))


def test_logits_of_several_labels_have_a_probability_each():
    """The loss tells: without it, the three units would exclude each other."""
    images = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    dense = layers.Dense(3)
    model = keras.Sequential([keras.Input((4,)), dense])
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    logits = images @ dense.kernel.numpy()
    labels = np.argsort(logits, axis=1)[:, 1]  # never the largest
    report = ks.SaliencyMonitor(model, ks.ProbeSet(images, labels)).evaluate(0)
    own = logits[range(5), labels]
    assert {*np.sign(own)} == {-1, 1}
    np.testing.assert_array_equal(
        report.predictions, np.where(own > 0, labels, logits.argmax(axis=1))
    )
    shown = logits[range(5), report.predictions]
    np.testing.assert_allclose(report.confidences, 1 / (1 + np.exp(-shown)), rtol=1e-5)
    scores = ks.SaliencyMonitor(model, ks.ProbeSet(images, labels), score="probability").evaluate(0)
    np.testing.assert_allclose(scores.scores, 1 / (1 + np.exp(-own)), rtol=1e-5)
