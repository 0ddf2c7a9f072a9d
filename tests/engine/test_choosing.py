"""The default score: what is explained of outputs of any shape, and what is said about it."""

import dataclasses
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_saliency as ks
from keras_saliency import ProbeSet, SaliencyMonitor

RNG = np.random.default_rng(0)
ROWS = RNG.random((4, 6, 3), "float32")
IMAGES = RNG.random((4, 6, 6, 3), "float32")
IDS = np.arange(20).reshape(4, 5) % 7


def by_tape(inputs, score):
    """The scores, and the largest absolute gradient over the channels."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = score(inputs)
    return values.numpy(), np.abs(tape.gradient(values, inputs).numpy())


def assert_explained(monitor, score):
    """That scores and maps are those of a score, which needs no targets."""
    report = monitor.evaluate(0)
    scores, gradients = by_tape(monitor.probes.images, score)
    if monitor.probes.kind != "features":
        gradients = gradients.max(axis=-1)
    np.testing.assert_allclose(report.scores, scores, rtol=1e-4)
    np.testing.assert_allclose(report.maps, gradients, rtol=1e-3, atol=1e-6)


def painter(*ends):
    """A model that computes an image."""
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3, padding="same"), *ends])
    keras.utils.set_random_seed(0)
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape))
    return model


# ---------------------------------------------------------------- one output for each probe


def test_the_output_of_a_regression_is_explained():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = SaliencyMonitor(model, ProbeSet(ROWS[:, 0]))
    assert (monitor.score.score, monitor.score.name) == ("output", "output")
    report = monitor.evaluate(0)
    np.testing.assert_allclose(report.scores, model(ROWS[:, 0])[:, 0], rtol=1e-5)
    expected = np.tile(np.abs(model.layers[0].kernel.numpy())[:, 0], (4, 1))
    np.testing.assert_allclose(report.maps, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "targets"), [("mse", [0, 1, 0, 1]), ("binary_crossentropy", None), (None, None)]
)
def test_classes_are_explained_by_their_logit(loss, targets):
    """Also with a loss of numbers, if the probes have labels."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, activation="sigmoid")])
    if loss:
        model.compile("sgd", loss)
    assert SaliencyMonitor(model, ProbeSet(ROWS[:, 0], targets)).score.score == "logit"


def own_loss(truth, predicted):
    return ops.abs(truth - predicted)


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber(), own_loss, None])
def test_whole_numbers_above_one_are_no_classes_of_one_unit(loss):
    """Ratings from 1 to 5: a model of one unit has no class 5."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(loss=loss)
    rows, ratings = ROWS[:, 0], np.array([5.0, 1, 3, 2])
    monitor = SaliencyMonitor(model, ProbeSet(rows, ratings))
    (note,) = monitor.notes
    expected = "the targets are numbers to predict, not classes, so they are left out"
    if loss is None or inspect.isfunction(loss):
        expected = "no unit of the model stands for some of the targets, so they are"
    assert note.startswith(expected)
    assert " left out, and nothing is tested; " in note
    assert SaliencyMonitor(model, ProbeSet(rows)).notes == []
    report = monitor.step(-1)
    kernel, bias = (one.numpy() for one in model.layers[0].weights)
    np.testing.assert_allclose(report.scores, (rows @ kernel + bias)[:, 0], rtol=1e-5)
    np.testing.assert_allclose(report.maps, np.tile(np.abs(kernel[:, 0]), (4, 1)), rtol=1e-6)


def test_classes_that_a_model_lacks_are_refused_if_its_loss_is_not_of_numbers():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy")
    with pytest.raises(ValueError, match=r"class indices 0\.\.1 .*received 5 for probe 0"):
        SaliencyMonitor(model, ProbeSet(ROWS[:, 0], [5, 1, 3, 2]))


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_regression_of_a_fixed_batch_size_is_explained(is_shown):
    """It is traced for the default score with the only batch size that it takes."""
    inputs = keras.Input(batch_shape=(4, 6, 3)) if is_shown else keras.Input((6, 3))
    flat = keras.ops.reshape(inputs, (4, 18))
    model = keras.Model(inputs, layers.Dense(1)(flat))
    model.compile("sgd", "mse")
    compute = "auto" if is_shown else ks.Compute(batch_size=4)
    monitor = SaliencyMonitor(model, ProbeSet(ROWS, kind="series"), compute=compute)
    assert monitor.score.score == "output"
    slopes = np.abs(model.layers[-1].kernel.numpy()).reshape(6, 3).max(axis=1)
    np.testing.assert_allclose(monitor.evaluate(0).maps, np.tile(slopes, (4, 1)), rtol=1e-5)


def test_several_numbers_are_explained_by_their_mean():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh")])
    model.compile("sgd", "mse")
    monitor = SaliencyMonitor(model, ProbeSet(ROWS[:, 0]))
    assert monitor.score.score == "mean"
    (note,) = monitor.notes
    assert "the mean of all 4 outputs" in note
    assert_explained(monitor, lambda rows: tf.reduce_mean(model(rows), 1))
    first = eval(note.rpartition("score=")[2])  # the line that it advises
    other = SaliencyMonitor(model, ProbeSet(ROWS[:, 0]), score=first)
    assert_explained(other, lambda rows: model(rows)[:, 0])


def test_a_softmax_is_about_classes_whatever_the_loss():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="softmax")])
    model.compile("sgd", "mse")
    assert SaliencyMonitor(model, ProbeSet(ROWS[:, 0])).score.score == "logit"


def test_targets_of_several_numbers_ask():
    """The class 2 of a regression may be its unit 2, or a mistake."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="look like numbers. Pass score='mean'.*score='output'"):
        SaliencyMonitor(model, ProbeSet(ROWS[:, 0], [0, 1, 2, 3]))


# ---------------------------------------------------------------- outputs with positions


def test_a_model_that_labels_pixels_is_explained_by_the_segmentation():
    images = RNG.random((4, 6, 6, 1), "float32")
    masks = images[..., 0] > 0.5
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Conv2D(2, 3, padding="same", activation="softmax")]
    )
    probes = ProbeSet(images, [0, 1, 0, 1], masks=masks)
    default, named = (SaliencyMonitor(model, probes, score=s) for s in ("auto", "segmentation"))
    assert default.score.score == "segmentation"
    np.testing.assert_array_equal(default.evaluate(0).maps, named.evaluate(0).maps)
    whole = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(2)])
    assert SaliencyMonitor(whole, probes).score.score == "logit"


@pytest.mark.parametrize("masks", [None, np.ones((4, 6, 6), bool)])
@pytest.mark.parametrize(
    ("end", "loss"),
    [
        (layers.Conv2D(3, 1, activation="softmax"), None),
        (layers.Conv2D(3, 1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (layers.Conv2D(3, 1, activation="sigmoid"), keras.losses.CategoricalCrossentropy()),
    ],
)
def test_classes_at_all_positions_are_explained_by_their_largest_logits(end, loss, masks):
    model = painter(type(end).from_config(end.get_config()))
    if loss:
        model.compile("sgd", loss)
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES, masks=masks))
    assert monitor.score.score == "max_logit"
    assert "all 36 positions" in monitor.notes[0]
    linear = keras.Model(model.inputs, model.layers[-2].output)
    last = model.layers[-1]

    def score(images):
        logits = ops.conv(linear(images), last.kernel) + last.bias
        return tf.reduce_mean(tf.reduce_max(logits, -1), [1, 2])

    assert_explained(monitor, score)
    at_one = eval(monitor.notes[0].rpartition("score=")[2])
    targets = SaliencyMonitor(model, ProbeSet(IMAGES), score=at_one).evaluate(0).targets
    np.testing.assert_array_equal(targets, model(IMAGES).numpy()[:, 0, 0].argmax(-1))


@pytest.mark.parametrize(
    ("end", "loss"),
    [
        (lambda: layers.Conv2D(3, 1), "mse"),  # an image
        (lambda: layers.Conv2D(3, 1, activation="sigmoid"), "binary_crossentropy"),
        (lambda: layers.Conv2D(3, 1, activation="sigmoid"), None),
        (lambda: layers.Conv2D(1, 1), None),  # a depth
        (lambda: layers.Conv2D(1, 1, activation="sigmoid"), "binary_crossentropy"),
        (lambda: layers.Conv2D(2, 6), "mse"),  # key points, (batch, 1, 1, 2)
    ],
)
def test_numbers_at_all_positions_are_explained_by_their_mean(end, loss):
    model = painter(end())
    if loss:
        model.compile("sgd", loss)
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES))
    assert monitor.score.score == "mean"
    assert_explained(monitor, lambda images: tf.reduce_mean(model(images), [1, 2, 3]))


def test_outputs_that_may_be_numbers_or_classes_ask():
    model = painter(layers.Conv2D(3, 1))
    with pytest.raises(ValueError, match="score='max_logit', or for one position.*score='mean'"):
        SaliencyMonitor(model, ProbeSet(IMAGES))
    maps = ks.saliency_maps(model, IMAGES, score="mean")
    expected = by_tape(IMAGES, lambda images: tf.reduce_mean(model(images), [1, 2, 3]))[1].max(-1)
    np.testing.assert_allclose(maps, expected, rtol=1e-4)


def test_the_labels_of_a_speech_recognizer():
    """CTC is a loss of classes, one at each time."""
    model = keras.Sequential([keras.Input((6, 3)), layers.Conv1D(5, 2), layers.Dense(4)])
    model.compile("sgd", keras.losses.CTC())
    monitor = SaliencyMonitor(model, ProbeSet(ROWS, kind="series"))
    assert monitor.score.score == "max_logit"
    score = lambda rows: tf.reduce_mean(tf.reduce_max(model(rows), -1), 1)  # noqa: E731
    assert_explained(monitor, score)


@pytest.mark.parametrize("loss", [own_loss, "mse"])
def test_targets_without_a_unit_are_numbers(loss):
    """Three quantiles of a count: 3 cannot be a class of three units."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    model.compile("sgd", loss)
    monitor = SaliencyMonitor(model, ProbeSet(ROWS[:, 0], [0, 1, 2, 3]))
    assert monitor.score.score == "mean"
    assert ("are numbers to predict" in monitor.notes[1]) == (loss == "mse")
    assert_explained(monitor, lambda rows: tf.reduce_mean(model(rows), 1))
    assert monitor.intervene(monitor.evaluate(0)).interventions.effects == ()


def test_outputs_that_nothing_tells_about_are_taken_for_logits_and_that_is_said():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    model.compile("sgd", own_loss)
    probes = ProbeSet(ROWS[:, 0], [0, 1, 2, 2])
    monitor = SaliencyMonitor(model, probes)
    assert monitor.score.score == "logit"
    assert monitor.notes[0].endswith("taken for logits; for numbers: score='mean'")
    numbers = SaliencyMonitor(model, probes, score="mean")
    assert numbers.notes == []
    assert_explained(numbers, lambda rows: tf.reduce_mean(model(rows), 1))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert SaliencyMonitor(model, probes).notes == []


def test_too_many_classes_for_a_model_that_shows_no_outputs():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model(ROWS[:, 0])
    probes = ProbeSet(ROWS[:, 0], [0, 1, 2, 3])
    with pytest.raises(ValueError, match="received 3 for probe 3. If they are numbers") as error:
        SaliencyMonitor(model, probes)
    assert str(error.value).endswith("dataclasses.replace(probes, targets=None) and score='mean'.")
    monitor = SaliencyMonitor(model, dataclasses.replace(probes, targets=None), score="mean")
    assert_explained(monitor, lambda rows: tf.reduce_mean(model(rows), 1))


@pytest.mark.parametrize("end", [layers.Dense(3, "softmax"), layers.Dense(7)])
def test_tokens_with_a_class_each(end):
    """A softmax of three classes; logits of as many words as are embedded."""
    end = layers.Dense.from_config(end.get_config())
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(7, 4), end])
    monitor = SaliencyMonitor(model, ProbeSet(IDS))
    assert monitor.score.score == "max_logit"
    vectors = model.layers[0].embeddings.numpy()[IDS]
    kernel, bias = (one.numpy() for one in model.layers[1].weights)
    logits = vectors @ kernel + bias
    report = monitor.evaluate(0)
    np.testing.assert_allclose(report.scores, logits.max(-1).mean(1), rtol=1e-5)
    expected = np.linalg.norm(kernel[:, logits.argmax(-1)], axis=0) / IDS.shape[1]
    np.testing.assert_allclose(report.maps, expected, rtol=1e-5)


@pytest.mark.parametrize("is_softmax", [True, False])
def test_padded_positions_do_not_count(is_softmax):
    """As in the model's loss. The last probe is nothing but padding."""
    lengths = np.array([6, 4, 1, 0])
    rows = ROWS * (np.arange(6) < lengths[:, np.newaxis])[..., np.newaxis]
    end = layers.Dense(3, activation="softmax" if is_softmax else None)
    recurrent = layers.LSTM(5, return_sequences=True)
    model = keras.Sequential([keras.Input((6, 3)), layers.Masking(), recurrent, end])
    model.compile("sgd", None if is_softmax else "mse")
    monitor = SaliencyMonitor(model, ProbeSet(rows, kind="series"))
    of = "positions" if is_softmax else "outputs"
    assert f"{of} that are not padding; for one" in monitor.notes[0]

    def score(inputs):
        linear = recurrent(inputs, mask=rows.any(-1)) @ end.kernel + end.bias
        scores = []
        for values, length in zip(linear, lengths, strict=True):
            each = tf.reduce_max(values, -1) if is_softmax else tf.reduce_mean(values, -1)
            scores.append(tf.reduce_sum(each[:length]) / max(length, 1))
        return tf.stack(scores)

    assert_explained(monitor, score)


def test_one_unit_has_two_classes():
    """The more probable of both is explained: a logit of -2 counts as 2 for the class 0."""
    model = painter(layers.Conv2D(1, 1, activation="sigmoid"))
    linear, last = keras.Model(model.inputs, model.layers[-2].output), model.layers[-1]

    def score(images):
        logits = ops.conv(linear(images), last.kernel) + last.bias
        return tf.reduce_mean(tf.abs(logits), [1, 2, 3])

    assert_explained(SaliencyMonitor(model, ProbeSet(IMAGES), score="max_logit"), score)


def test_channels_first():
    model = keras.Sequential(
        [
            keras.Input((3, 6, 6)),
            layers.Permute((2, 3, 1)),
            layers.Conv2D(4, 6),
            layers.Permute((3, 1, 2)),  # (batch, 4, 1, 1)
        ]
    )
    probes = ProbeSet(IMAGES, data_format="channels_first")
    assert SaliencyMonitor(model, probes).score.score == "logit"
    model.compile("sgd", "mse")
    monitor = SaliencyMonitor(model, probes)
    assert monitor.score.score == "mean"
    kernel = model.layers[1].kernel.numpy().mean(axis=-1)
    expected = np.tile(np.abs(kernel).max(axis=-1), (4, 1, 1))
    np.testing.assert_allclose(monitor.evaluate(0).maps, expected, rtol=1e-5)
    model = keras.Sequential(
        [*model.layers[:1], layers.Conv2D(4, 3), layers.Permute((3, 1, 2)), layers.Softmax(axis=1)]
    )
    model.build((None, 3, 6, 6))
    with pytest.raises(ValueError, match="score='max_logit': expected .* channels-last output"):
        SaliencyMonitor(model, probes, score="max_logit")


# ---------------------------------------------------------------- several outputs


def two_outputs():
    inputs = keras.Input((3,))
    classes = layers.Dense(4, activation="softmax", name="zebra")(inputs)
    return keras.Model(inputs, {"zebra": classes, "age": layers.Dense(1, name="age")(inputs)})


def test_the_first_of_several_outputs_is_explained():
    model, rows = two_outputs(), ROWS[:, 0]
    monitor = SaliencyMonitor(model, ProbeSet(rows))
    assert (monitor.score.score, monitor.score.output) == ("logit", "zebra")
    assert "'zebra', 'age', the first is explained" in monitor.notes[0]
    kernel = model.get_layer("zebra").kernel.numpy()
    targets = model(rows)["zebra"].numpy().argmax(1)
    np.testing.assert_allclose(monitor.evaluate(0).maps, np.abs(kernel[:, targets]).T, rtol=1e-5)
    other = eval(monitor.notes[0].rpartition("score=")[2])
    maps = SaliencyMonitor(model, ProbeSet(rows), score=other).evaluate(0).maps
    age = np.abs(model.get_layer("age").kernel.numpy()[:, 0])
    np.testing.assert_allclose(maps, np.tile(age, (4, 1)), rtol=1e-5)


def test_targets_may_belong_to_any_of_several_outputs():
    with pytest.raises(ValueError, match="Choose one of 'zebra', 'age': score=ks.Score"):
        SaliencyMonitor(two_outputs(), ProbeSet(ROWS[:, 0], [0, 1, 0, 1]))


def assert_logit_of(monitor, layer, targets):
    """That the maps are those of the targets' logits, of a dense layer."""
    kernel = monitor.model.get_layer(layer).kernel.numpy()
    maps = monitor.evaluate(0).maps
    np.testing.assert_allclose(maps, np.abs(kernel[:, targets]).T, rtol=1e-5)


@pytest.mark.parametrize("output", ["zebra", 0])
def test_targets_say_which_output_is_explained(output):
    probes = ProbeSet(ROWS[:, 0], [3, 1, 0, 3], output=output)
    monitor = SaliencyMonitor(two_outputs(), probes)
    assert (monitor.score.score, monitor.score.output) == ("logit", output)
    assert monitor.notes == []
    assert_logit_of(monitor, "zebra", [3, 1, 0, 3])


def test_targets_say_which_output_is_explained_by_another_score():
    model, rows = two_outputs(), ROWS[:, 0]
    probes = ProbeSet(rows, [3, 1, 0, 3], output="zebra")
    monitor = SaliencyMonitor(model, probes, score="probability")
    expected = model(rows)["zebra"].numpy()[np.arange(4), [3, 1, 0, 3]]
    np.testing.assert_allclose(monitor.evaluate(0).scores, expected, rtol=1e-5)
    own = SaliencyMonitor(model, probes, score=lambda outputs, targets: outputs["age"][:, 0])
    assert_explained(own, lambda rows: model(rows)["age"][:, 0])  # it gets all outputs
    assert own.probes.targets.tolist() == [3, 1, 0, 3]


@pytest.mark.parametrize("given", ["zebra", 0])
@pytest.mark.parametrize("wanted", ["age", 1])
def test_another_output_than_that_of_the_targets(given, wanted):
    model, masks = two_outputs(), np.ones((4, 3), bool)
    probes = ProbeSet(ROWS[:, 0], [3, 1, 0, 3], masks=masks, kind="features", output=given)
    monitor = SaliencyMonitor(model, probes, score=ks.Score(output=wanted))
    (note,) = monitor.notes
    assert note.startswith(f"the targets belong to output {given!r}, so {wanted!r} is explained")
    assert (monitor.score.score, monitor.probes.targets, monitor.probes.masks) == (
        "output",
        None,
        None,
    )
    assert_explained(monitor, lambda rows: model(rows)["age"][:, 0])
    same = SaliencyMonitor(model, probes, score=ks.Score(output={"age": "zebra", 1: 0}[wanted]))
    assert same.notes == []
    assert_logit_of(same, "zebra", [3, 1, 0, 3])


def test_ids_that_become_tokens_keep_their_output():
    users, films = (keras.Input((1,), name=name) for name in ("user", "film"))
    vectors = [layers.Flatten()(layers.Embedding(5, 3)(one)) for one in (users, films)]
    both = layers.Concatenate()(vectors)
    ends = {name: layers.Dense(3, name=name)(both) for name in ("a", "b")}
    ids = np.arange(5)[:, None]
    probes = ProbeSet({"user": ids, "film": ids[::-1]}, [0, 1, 2, 0, 1], output="b")
    monitor = SaliencyMonitor(keras.Model({"user": users, "film": films}, ends), probes)
    assert (monitor.probes.kind, monitor.probes.output, monitor.score.output) == (
        "tokens",
        "b",
        "b",
    )
    kernel = monitor.model.get_layer("b").kernel.numpy()[:3, probes.targets]
    np.testing.assert_allclose(
        monitor.evaluate(0).maps[:, 0], np.linalg.norm(kernel, axis=0), rtol=1e-5
    )


def test_an_output_that_the_model_does_not_have():
    for output in ("lion", 2, -1):
        probes = ProbeSet(ROWS[:, 0], [3, 1, 0, 3], output=output)
        says = f"output: expected one of 'zebra', 'age', the outputs of the model, .*{output!r}"
        with pytest.raises(ValueError, match=says):
            SaliencyMonitor(two_outputs(), probes)


@pytest.mark.parametrize("output", ["first", 0])
def test_labels_of_several_outputs_of_a_model_with_one(output):
    """Its train_step makes something else of them."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="one")(inputs))
    probes = ProbeSet(ROWS[:, 0], [3, 1, 0, 3], output=output)
    monitor = SaliencyMonitor(model, probes)
    (note,) = monitor.notes
    assert f"belong to output {output!r} of several, but the model has one output" in note
    assert_logit_of(monitor, "one", model(ROWS[:, 0]).numpy().argmax(1))
    own = eval(note.rpartition(": ")[2], {"dataclasses": dataclasses, "probes": probes})
    assert_logit_of(SaliencyMonitor(model, own), "one", [3, 1, 0, 3])
    named = ProbeSet(ROWS[:, 0], [3, 1, 0, 3], output="one")
    assert SaliencyMonitor(model, named).notes == []
    assert_logit_of(SaliencyMonitor(model, named), "one", [3, 1, 0, 3])


def test_label_images_of_the_first_of_several_outputs():
    inputs = keras.Input((6, 6, 3))
    heads = [layers.Conv2D(3, 1, activation="softmax", name=name) for name in ("near", "far")]
    model = keras.Model(inputs, [head(inputs) for head in heads])
    label_images = np.zeros((4, 6, 6), np.uint8)
    label_images[:, 2:4] = 2
    with pytest.warns(UserWarning, match="several outputs, 0, 1"):
        probes = ProbeSet.from_dataset((IMAGES, (label_images, 0 * label_images)), per_class=4)
    monitor = SaliencyMonitor(model, probes)
    assert (monitor.score.score, monitor.score.output) == ("segmentation", 0)
    kernel = np.abs(heads[0].kernel.numpy()[0, 0]).max(axis=0)[probes.targets]
    np.testing.assert_allclose(
        monitor.evaluate(0).maps, probes.masks * kernel[:, None, None], rtol=1e-5
    )


# ---------------------------------------------------------------- labels that are numbers


def numbers_of(*shape):
    """Probes as they are drawn with labels that are numbers."""
    with pytest.warns(UserWarning, match="are not one class for each input"):
        return ProbeSet.from_dataset((IMAGES, RNG.normal(size=(4, *shape))))


def own_loss(labels, outputs):
    return ops.mean((labels - outputs) ** 4)


@pytest.mark.parametrize("end", ["linear", "sigmoid"])
def test_numbers_as_labels_say_that_several_units_are_numbers(end):
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(4, end)])
    model.compile("sgd", own_loss)
    monitor = SaliencyMonitor(model, numbers_of(4))
    assert monitor.score.score == "mean"
    assert_explained(monitor, lambda images: tf.reduce_mean(model(images), 1))


def test_numbers_as_labels_say_that_one_unit_is_a_number():
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(1, "sigmoid")])
    model.compile("sgd", own_loss)
    assert_explained(SaliencyMonitor(model, numbers_of()), lambda images: model(images)[:, 0])


def test_numbers_as_labels_say_that_positions_are_numbers():
    model = painter(layers.Conv2D(3, 1))
    model.compile("sgd", own_loss)
    monitor = SaliencyMonitor(model, numbers_of(6, 6, 2))
    assert_explained(monitor, lambda images: tf.reduce_mean(model(images), [1, 2, 3]))


@pytest.mark.parametrize(
    ("end", "loss"),
    [("softmax", own_loss), (None, keras.losses.CategoricalCrossentropy(from_logits=True))],
)
def test_a_softmax_or_a_cross_entropy_is_about_classes_whatever_the_labels(end, loss):
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(4, end)])
    model.compile("sgd", loss)
    assert SaliencyMonitor(model, numbers_of(4)).score.score == "logit"


def test_numbers_of_another_output_say_nothing():
    inputs = keras.Input((6, 6, 3))
    flat = layers.Flatten()(inputs)
    model = keras.Model(inputs, [layers.Dense(2, name="box")(flat), layers.Dense(3)(flat)])
    with pytest.warns(UserWarning, match="are not one class|several outputs"):
        probes = ProbeSet.from_dataset((IMAGES, (RNG.normal(size=(4, 2)), np.arange(4) % 3)))
    monitor = SaliencyMonitor(model, probes)
    assert (monitor.score.score, monitor.score.output) == ("mean", 0)
    assert_explained(monitor, lambda images: tf.reduce_mean(model(images)[0], 1))
    other = SaliencyMonitor(model, probes, score=ks.Score(output=1))
    assert other.score.score == "logit"
    assert [note[:13] for note in other.notes] == ["nothing tells"]
    assert_explained(other, lambda images: tf.reduce_max(model(images)[1], 1))


# ---------------------------------------------------------------- a part of the model


class Parts(keras.Model):
    """As a GAN or an autoencoder, which have no `call`."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="tanh")])
        self.decoder = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
        self.built = True


def test_the_only_part_that_takes_the_probes_is_explained():
    model = Parts()
    monitor = SaliencyMonitor(model, ProbeSet(ROWS[:, 0]))
    assert monitor.model is model.encoder
    assert "its part 'encoder' is explained; for another one" in monitor.notes[0]
    assert monitor.explains(model)
    assert_explained(monitor, lambda rows: tf.reduce_max(model.encoder(rows), 1))
    with pytest.raises(ValueError, match="Say which part is explained"):
        SaliencyMonitor(model, ProbeSet(ROWS[:, 0], [0, 1, 0, 1]))
    of_one = SaliencyMonitor(model, ProbeSet(ROWS[:, 0], [0, 1, 0, 1], output=0))
    assert (of_one.model, of_one.probes.targets) == (model.encoder, None)
    assert "the model has one output" in of_one.notes[1]
    model.other = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="model=model.encoder.* or .*model=model.other"):
        SaliencyMonitor(model, ProbeSet(ROWS[:, 0]))


# ---------------------------------------------------------------- what is printed


def test_the_console_says_what_was_chosen(capfd):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    model.compile("sgd", "mse")
    rows = ROWS[:, 0]
    saliency = ks.SaliencyCallback(ProbeSet(rows), log_dir=None)
    model.fit(rows, rows[:, [0, 1, 2, 0]], epochs=2, verbose=0, callbacks=[saliency])
    printed = capfd.readouterr().out
    assert printed.count("saliency: the score is the mean of all 4 outputs; for one of them:") == 1
