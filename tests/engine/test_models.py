"""Every kind of model: maps are the gradients that a plain tape gives on the model itself."""

import dataclasses
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.attributions import grad_cam, scores
from keras_saliency.engine.loss_scales import uses_half_precision

RNG = np.random.default_rng(0)
PICTURES, OTHERS, AGES = (
    RNG.normal(size=shape).astype(np.float32) for shape in ((3, 8, 8, 3), (3, 8, 8, 3), (3, 4))
)
TARGETS = np.array([0, 2, 1])


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(3)


def by_tape(score_of, inputs, reduce=True):
    """The gradient of `score_of(inputs)`, `(num_probes,)`, and its largest over the channels."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = score_of(inputs)
    gradients = np.abs(tape.gradient(values, inputs).numpy())
    return gradients.max(axis=-1) if reduce else gradients


def of_target(outputs, targets=TARGETS):
    return tf.gather(outputs, targets, axis=1, batch_dims=1)


def close(found, expected):
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6 * expected.max())


def maps(model, probes, **settings):
    return SaliencyMonitor(model, probes, **settings).evaluate(0).maps


# ---------------------------------------------------------------- several inputs


def two_inputs(struct):
    """Logits of a picture and an age that are multiplied with each other."""
    picture, age = keras.Input((8, 8, 3), name="picture"), keras.Input((4,), name="age")
    seen = layers.Flatten()(layers.Conv2D(2, 3, activation="tanh")(picture))
    x = layers.Dense(5)(seen) * layers.Dense(5)(age)
    inputs = {"list": [picture, age], "dict": {"picture": picture, "age": age}}[struct]
    return keras.Model(inputs, layers.Dense(3)(x))


@pytest.mark.parametrize("struct", ["list", "dict"])
def test_one_input_is_explained_and_the_other_held(struct):
    model = two_inputs(struct)
    pack = (
        list if struct == "list" else lambda both: dict(zip(("picture", "age"), both, strict=True))
    )
    expected = by_tape(lambda x: of_target(model(pack([x, tf.constant(AGES)]))), PICTURES)
    probes = ProbeSet(PICTURES, TARGETS, input_name="picture", held={"age": AGES})
    close(maps(model, probes, compute=ks.Compute(batch_size=2)), expected)
    expected = by_tape(
        lambda x: of_target(model(pack([tf.constant(PICTURES), x]))), AGES, reduce=False
    )
    probes = ProbeSet(AGES, TARGETS, kind="features", input_name="age", held={"picture": PICTURES})
    close(maps(model, probes), expected)


def test_inputs_by_their_positions():
    model = two_inputs("list")
    expected = by_tape(lambda x: of_target(model([tf.constant(PICTURES), x])), AGES, reduce=False)
    probes = ProbeSet(AGES, TARGETS, kind="features", input_name=1, held={0: PICTURES})
    close(maps(model, probes), expected)


def test_a_dict_of_one_input():
    picture = keras.Input((8, 8, 3), name="picture")
    model = keras.Model({"picture": picture}, layers.Dense(3)(layers.Flatten()(picture)))
    expected = by_tape(lambda x: of_target(model({"picture": x})), PICTURES)
    close(maps(model, ProbeSet(PICTURES, TARGETS, input_name="picture")), expected)


class Difference(keras.Model):
    """A subclassed model of a list of two pictures."""

    def __init__(self):
        super().__init__()
        self.eye = keras.Sequential(
            [
                layers.Conv2D(4, 3, activation="relu", name="first"),
                layers.Conv2D(3, 3, name="last"),
            ],
            name="eye",
        )
        self.end = layers.Dense(3)

    def call(self, inputs):
        left, right = inputs
        seen = keras.ops.mean(self.eye(left), axis=(1, 2)), keras.ops.mean(self.eye(right), (1, 2))
        return self.end(seen[0] * seen[1])


@pytest.mark.parametrize("place", [0, 1])
def test_a_subclassed_model_with_a_shared_backbone(place):
    model = Difference()
    model([PICTURES, OTHERS])
    both = [PICTURES, OTHERS]
    held = tf.constant(both[1 - place])

    def score_of(inputs):
        return of_target(model([inputs, held] if place == 0 else [held, inputs]))

    probes = ProbeSet(both[place], TARGETS, input_name=place, held={1 - place: both[1 - place]})
    found = SaliencyMonitor(model, probes, method=["gradient", "grad_cam"]).evaluate(0)
    close(found.maps, by_tape(score_of, both[place]))
    # The class activation map is that of the call on this input, not of the one that is held.
    activations = model.eye(tf.constant(both[place])).numpy()
    other = tf.reduce_mean(model.eye(held), (1, 2))
    weights = (other.numpy() * model.end.kernel.numpy().T[TARGETS])[:, np.newaxis, np.newaxis]
    cam = np.maximum((weights / 16 * activations).sum(-1), 0)[..., np.newaxis]
    enlarged = tf.image.resize(cam, (8, 8)).numpy()[..., 0]
    close(found.others["grad_cam"], enlarged)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, r"model: expected one input, received .* 2 inputs: 'picture', 'age'"),
        ({"input_name": "picture"}, r"held: expected the model's inputs 'picture', 'age'"),
        ({"input_name": "x", "held": {"age": AGES}}, r"input_name, held: .*received 'x', 'age'"),
        (
            {"input_name": "picture", "held": {"age": AGES[:, :3]}},
            r"held\['age'\]: expected shape \('num_probes', 4\).*\(3, 3\)",
        ),
        ({"input_name": 0}, "held: expected 2 inputs in total, as the model has, received 1"),
        (
            {"input_name": "age", "held": {"picture": PICTURES}},
            r"images: expected shape \('num_probes', 4\)",
        ),
    ],
)
def test_inputs_that_do_not_fit(settings, says):
    with pytest.raises(ValueError, match=says):
        SaliencyMonitor(two_inputs("list"), ProbeSet(PICTURES, TARGETS, **settings))


@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize("name", [None, "ages"])
def test_inputs_without_names_are_asked_for_by_position(name, is_loaded):
    """Keras makes up names, which change with every model; the line in the messages works."""
    pictures, ages = keras.Input(PICTURES.shape[1:]), keras.Input((4,), name=name)
    both = layers.Concatenate()([layers.Flatten()(pictures), ages])
    model = keras.Model([pictures, ages], layers.Dense(3)(both))
    if is_loaded:
        model = keras.Model.from_config(model.get_config())
    with pytest.raises(
        ValueError, match="expected one input, received .* 2 inputs: 0, 1\\."
    ) as one:
        SaliencyMonitor(model, ProbeSet(PICTURES, TARGETS))
    named = ProbeSet({"pictures": PICTURES, "age": AGES}, TARGETS)
    with pytest.raises(ValueError, match="received 'pictures', 'age'. They have no name") as other:
        SaliencyMonitor(model, named)
    for error in (one, other):
        line = "ProbeSet({0: ..., 1: ...}, targets)"
        assert line in str(error.value)
        assert "keras_tensor" not in str(error.value)
        assert "input_layer" not in str(error.value)
    report = SaliencyMonitor(model, ProbeSet({0: PICTURES, 1: AGES}, TARGETS)).evaluate(0)
    kernel = np.abs(model.layers[-1].kernel.numpy())[:, TARGETS].T
    close(report.maps, kernel[:, :-4].reshape(PICTURES.shape).max(-1))
    close(report.other_inputs[1].maps, kernel[:, -4:])


def test_probes_of_several_inputs_are_drawn_together():
    """The held rows are those of the images they came with."""
    pictures = np.arange(40.0).reshape(40, 1, 1, 1).astype(np.float32)
    ages = np.arange(40)[:, np.newaxis] * [10, 100]
    labels = np.arange(40) % 2
    expected = ProbeSet.from_dataset((pictures, labels), per_class=3)
    streamed = tf.data.Dataset.from_tensor_slices(({"p": pictures, "age": ages}, labels)).batch(7)
    for data, name, other in (
        (streamed, "p", "age"),
        (((pictures, ages), labels), 0, 1),
        (((ages, pictures), labels), 1, 0),
    ):
        drawn = ProbeSet.from_dataset(data, per_class=3, input_name=name)
        np.testing.assert_array_equal(drawn.images, expected.images)
        rows = drawn.images[:, 0, 0].astype(int) * [10, 100]
        np.testing.assert_array_equal(drawn.held[other], rows)


def test_interventions_hold_the_recipients_other_inputs():
    """The class is the sign of pixel times age: what is held goes with its probe."""
    picture, age = keras.Input((4, 4, 1), name="picture"), keras.Input((1,), name="age")
    x = layers.Flatten()(picture)[:, :1] * age
    model = keras.Model([picture, age], layers.Concatenate()([-x, x]))
    labels = np.arange(40) % 2
    ages = np.where(np.arange(40) < 20, 1.0, -1.0)[:, np.newaxis]
    pictures = np.zeros((40, 4, 4, 1), np.float32)
    pictures[:, 0, 0, 0] = (2 * labels - 1) * ages[:, 0]
    region = np.zeros((4, 4), bool)
    region[0, 0] = True
    probes = ProbeSet(
        pictures, labels, regions={"pixel": region}, input_name="picture", held={"age": ages}
    )
    monitor = SaliencyMonitor(model, probes, compute=ks.Compute(batch_size=7))
    report = monitor.evaluate(0)
    assert report.metrics["probe_accuracy"] == 1
    found = monitor.intervene(report).interventions
    effect = next(e for e in found.effects if e.test == "region/pixel")
    # With a donor of either kind the pixel's sign is that of its class times its own age: in half
    # of all pairs the ages agree, and then the donor's class is answered.
    assert abs(effect.effect) < 0.5
    moved = monitor._traced.answers_of(labels).by_image(pictures[[0]], np.array([20]))[0]
    assert moved[0] == 1 - labels[0]  # the picture of a probe of age 1, at the age of -1


# ---------------------------------------------------------------- several outputs, other tasks


def two_outputs(struct):
    x = layers.Flatten()(inputs := keras.Input((8, 8, 3)))
    kind, age = (
        layers.Dense(3, activation="softmax", name="kind")(x),
        layers.Dense(1, name="age")(x),
    )
    outputs = {"kind": kind, "age": age} if struct == "dict" else [kind, age]
    return keras.Model(inputs, outputs), model_kernels(inputs, kind, age)


def model_kernels(*tensors):
    return [t._keras_history.operation.kernel for t in tensors[1:]]


@pytest.mark.parametrize(
    ("struct", "kind"), [("dict", "kind"), ("dict", 0), ("list", "kind"), ("list", 0)]
)
def test_an_output_by_name_or_position(struct, kind):
    model, (kernel, _) = two_outputs(struct)
    found = maps(model, ProbeSet(PICTURES, TARGETS), score=ks.Score(output=kind))
    expected = np.abs(kernel.numpy().T[TARGETS].reshape(PICTURES.shape)).max(-1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("struct", "age"), [("dict", "age"), ("list", "age"), ("list", 1)])
def test_a_regression_is_explained_as_it_is(struct, age):
    model, (_, kernel) = two_outputs(struct)
    probes = ProbeSet(PICTURES, [0, 0, 0])
    report = SaliencyMonitor(model, probes, score=ks.Score("output", output=age)).evaluate(0)
    expected = np.abs(kernel.numpy().reshape(1, 8, 8, 3)).max(-1)
    np.testing.assert_array_equal(report.maps, np.repeat(expected, 3, axis=0))
    outputs = model(PICTURES)["age"] if struct == "dict" else model(PICTURES)[1]
    np.testing.assert_allclose(report.scores, outputs[:, 0], rtol=1e-5)
    assert report.predictions.tolist() == [-1, -1, -1]  # it has no classes
    assert "probe_accuracy" not in report.metrics


def test_a_regression_without_targets():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, bias_initializer="ones")])
    features = ProbeSet(np.ones((3, 2), np.float32), kind="features")
    report = SaliencyMonitor(model, features, score="output").evaluate(0)
    assert report.targets.tolist() == [0, 0, 0]
    several = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="targets: expected an output unit per probe"):
        SaliencyMonitor(several, features, score="output").evaluate(0)


def test_outputs_that_are_not_there():
    model, _ = two_outputs("list")
    with pytest.raises(
        ValueError, match=r"Choose one of 'kind', 'age': score=ks\.Score\(output='kind'\)"
    ):
        SaliencyMonitor(model, ProbeSet(PICTURES, TARGETS))
    with pytest.raises(ValueError, match=r"output: expected one of 'kind', 'age', received 'sex'"):
        SaliencyMonitor(model, ProbeSet(PICTURES, TARGETS), score=ks.Score(output="sex"))
    with pytest.raises(TypeError, match=r"output: expected a name or a position, received 1\.5"):
        SaliencyMonitor(model, ProbeSet(PICTURES, TARGETS), score=ks.Score(output=1.5))
    with pytest.raises(ValueError, match=r"targets: expected class indices 0\.\.0"):
        SaliencyMonitor(model, ProbeSet(PICTURES, TARGETS), score=ks.Score("output", output="age"))


def test_multi_label():
    """The logit of a label is its own: the others do not matter."""
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4, activation="sigmoid")]
    )
    expected = np.abs(model.layers[-1].kernel.numpy().T[TARGETS].reshape(PICTURES.shape)).max(-1)
    np.testing.assert_array_equal(maps(model, ProbeSet(PICTURES, TARGETS)), expected)


def constant_model(activation):
    """Gives the logits 2, 3, -1 and -4, whatever the picture is."""
    bias = keras.initializers.Constant([2, 3, -1, -4])
    layer = layers.Dense(4, activation, kernel_initializer="zeros", bias_initializer=bias)
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layer])


def test_labels_that_do_not_exclude_each_other_are_right_above_one_half():
    probes = ProbeSet(np.repeat(PICTURES[:2], 2, axis=0), [0, 1, 2, 3])
    monitor = SaliencyMonitor(constant_model("sigmoid"), probes)
    report = monitor.evaluate(step=0)
    assert report.predictions.tolist() == [0, 1, 1, 1]
    np.testing.assert_allclose(report.confidences, 1 / (1 + np.exp([-2.0, -3, -3, -3])), rtol=1e-6)
    assert report.metrics["probe_accuracy"] == 2 / 4
    answers = monitor._traced.answers_of(report.targets)
    assert answers.by_image(probes.images, np.arange(4))[0].tolist() == [0, 1, 1, 1]
    exclusive = SaliencyMonitor(constant_model("softmax"), probes).evaluate(step=0)
    assert exclusive.predictions.tolist() == [1] * 4


def test_of_labels_that_are_not_known_the_largest_logit_is_predicted():
    monitor = SaliencyMonitor(constant_model("sigmoid"), ProbeSet(PICTURES))
    assert monitor.evaluate(step=0).targets.tolist() == [1] * 3


def segmentation_model(activation, classes=3):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="tanh"),
            layers.Conv2D(classes, 1, activation=activation),
        ]
    )


def test_segmentation_over_a_region():
    """A 1 x 1 and a 3 x 3 convolution see one pixel more on each side than the region."""
    region = np.zeros((8, 8), bool)
    region[2:4, 3:6] = True
    model = segmentation_model("softmax")
    score = partial(scores.segmentation, region=region)
    found = maps(model, ProbeSet(PICTURES, TARGETS), score=score)
    seen = np.zeros((8, 8), bool)
    seen[1:5, 2:7] = True
    assert (found[:, ~seen] == 0).all()
    assert (found[:, seen] > 0).all()
    with pytest.raises(ValueError, match=r"region: expected a bool array of shape \(8, 8\)"):
        maps(model, ProbeSet(PICTURES, TARGETS), score=partial(scores.segmentation, region=[1]))


def test_the_class_activation_map_of_a_segmentation_is_taken_where_the_model_is_coarsest():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="fine"),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="coarse"),
            layers.UpSampling2D(),
            layers.Conv2D(3, 3, padding="same", name="answer"),
        ]
    )
    methods = ["grad_cam", *(partial(grad_cam, layer=name) for name in ("coarse", "answer"))]
    monitor = SaliencyMonitor(
        model, ProbeSet(PICTURES, TARGETS), method=methods, score="segmentation"
    )
    default, coarse, answer = (report := monitor.evaluate(0)).maps, *report.others.values()
    np.testing.assert_array_equal(default, coarse)
    assert not np.allclose(default, answer)


def test_the_outputs_of_a_segmentation_are_not_kept():
    """Of all probes they would be far larger than the maps."""
    monitor = SaliencyMonitor(
        segmentation_model(None), ProbeSet(PICTURES, TARGETS), score="segmentation"
    )
    assert "outputs" in monitor._traced._explainer.explain(TARGETS, with_ends=True)
    assert not {"outputs", "logits"} & monitor._traced._explainer.explain(TARGETS).keys()


def test_segmentation_of_one_class():
    model = segmentation_model("sigmoid", classes=1)
    end = model.layers[-1]

    def score_of(inputs):
        values = (model.layers[0](inputs) @ end.kernel[0, 0] + end.bias)[..., 0]
        signed = values * np.array([-1, 1, 1])[:, None, None]
        return tf.reduce_sum(signed * tf.stop_gradient(tf.nn.sigmoid(signed)), (1, 2))

    found = maps(model, ProbeSet(PICTURES, [0, 1, 1]), score="segmentation")
    close(found, by_tape(score_of, PICTURES))


def test_a_score_with_settings_is_the_score_that_it_is():
    """What is known of a score by its name is known of its function, with settings or without."""
    probes = ProbeSet(PICTURES, TARGETS)
    score = partial(scores.segmentation, region=np.ones((8, 8), bool))
    monitor = SaliencyMonitor(segmentation_model("softmax"), probes, score=score)
    report = monitor.intervene(monitor.evaluate(0))
    assert report.interventions.unit == "score"
    assert "probe_accuracy" not in report.metrics
    model = ends_in_classes((8, 8, 3), layers.Flatten())
    np.testing.assert_array_equal(maps(model, probes, score=scores.logit), maps(model, probes))


def test_a_method_of_ones_own_may_use_a_tape():
    def own(score_fn, inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            values = 2 * score_fn(inputs)
        return tape.gradient(values, inputs)

    model = ends_in_classes((8, 8, 3), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten())
    found = SaliencyMonitor(
        model, ProbeSet(PICTURES, TARGETS), method=["gradient", own, "smoothgrad"]
    ).evaluate(0)
    np.testing.assert_allclose(found.others["own"], 2 * found.maps, rtol=1e-6)


def test_scores_and_models_that_do_not_match():
    channels_first = ProbeSet(PICTURES, TARGETS, data_format="channels_first")
    turned = keras.Sequential([keras.Input((3, 8, 8)), layers.Permute((2, 3, 1))])
    with pytest.raises(ValueError, match="expected a model with channels-last output"):
        SaliencyMonitor(turned, channels_first, score="segmentation")
    with pytest.raises(ValueError, match="every position of the input, pass score='segmentation'"):
        SaliencyMonitor(segmentation_model("softmax"), ProbeSet(PICTURES, TARGETS))
    flat = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"score='segmentation': expected a model with an output"):
        SaliencyMonitor(flat, ProbeSet(PICTURES, TARGETS), score="segmentation")


# ---------------------------------------------------------------- other kinds of input


def ends_in_classes(shape, *body):
    return keras.Sequential([keras.Input(shape), *body, layers.Dense(3, activation="softmax")])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "shape", "body"),
    [
        ("series", (12, 2), [layers.Conv1D(4, 3, activation="tanh"), layers.Flatten()]),
        ("series", (12, 2), [layers.LSTM(4)]),
        (
            "volume",
            (4, 5, 6, 2),
            [layers.Conv3D(3, 2, activation="tanh"), layers.GlobalAveragePooling3D()],
        ),
        ("features", (7,), [layers.Dense(5, activation="tanh")]),
    ],
    ids=["convolution", "recurrence", "volume", "features"],
)
def test_every_kind_of_input(kind, shape, body, tmp_path):
    model = ends_in_classes(shape, *body)
    values = RNG.normal(size=(3, *shape)).astype(np.float32)
    logits = keras.Sequential([*model.layers[:-1]])
    end = model.layers[-1]
    expected = by_tape(
        lambda x: of_target(logits(x) @ end.kernel + end.bias), values, reduce=kind != "features"
    )
    probes = ProbeSet(values, TARGETS, kind=kind)
    close(maps(model, probes), expected)
    model.compile("sgd", "sparse_categorical_crossentropy")
    saliency = ks.SaliencyCallback(probes, log_dir=tmp_path, verbose=0)
    model.fit(values, TARGETS, epochs=1, verbose=0, callbacks=[saliency])
    assert saliency.report.maps.shape == probes.images.shape[: len(shape) + (kind == "features")]
    found = saliency.report.interventions
    assert found.blocked_because == "at least two classes are needed, one of them with two probes"


def token_model(**settings):
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, name="words", **settings),
            layers.Conv1D(3, 2, activation="tanh"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.slow
def test_tokens_are_explained_at_their_vectors(tmp_path):
    model = token_model()
    tokens = RNG.integers(0, 9, (3, 6))
    end = model.layers[-1]

    def score_of(vectors):
        x = vectors
        for layer in model.layers[1:-1]:
            x = layer(x)
        return of_target(x @ end.kernel + end.bias)

    vectors = model.layers[0](tokens).numpy()
    gradients = by_tape(score_of, vectors, reduce=False)
    words = list("abcdefghi")
    probes = ProbeSet(tokens, TARGETS, kind="tokens", vocabulary=words)
    found = SaliencyMonitor(
        model, probes, method=["gradient", "integrated_gradients", "smoothgrad"]
    ).evaluate(0)
    close(found.maps, np.linalg.norm(gradients, axis=-1))
    assert found.metrics["completeness_gap/integrated_gradients"] < 0.01
    assert (found.others["smoothgrad"] > 0).all()
    model.compile("sgd", "sparse_categorical_crossentropy")
    saliency = ks.SaliencyCallback(probes, log_dir=tmp_path, verbose=0)
    model.fit(tokens, TARGETS, epochs=1, verbose=0, callbacks=[saliency])
    assert saliency.report.maps.shape == (3, 6)


@pytest.mark.slow
def test_tokens_that_are_masked_have_no_saliency():
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.LSTM(3),
            layers.Dense(3),
        ]
    )
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 0, 0, 0, 0], [6, 7, 8, 1, 2, 3]])
    for method in ("gradient", "smoothgrad"):
        found = maps(model, ProbeSet(tokens, TARGETS, kind="tokens"), method=method)
        np.testing.assert_array_equal(found > 0, tokens > 0)


def reader(vectors):
    """Logits of an answer and, ten times as strong, of a question."""
    question, answer = (keras.Input((4,), dtype="int32", name=n) for n in ("question", "answer"))
    first, second = vectors
    weights = keras.ops.convert_to_tensor([[1.0], [2.0], [3.0], [4.0]])
    x = 10 * first(question) * weights + second(answer) * weights
    return keras.Model([question, answer], layers.Dense(3)(layers.Flatten()(x)))


@pytest.mark.slow
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("method", ["gradient", "smoothgrad"])
def test_of_two_token_inputs_the_one_is_explained_that_is_named(is_shared, method):
    first = layers.Embedding(9, 2)
    model = reader((first, first if is_shared else layers.Embedding(9, 2)))
    tokens = RNG.integers(0, 9, (2, 3, 4))
    kernel = model.layers[-1].kernel.numpy().T[TARGETS].reshape(3, 4, 2)
    expected = np.linalg.norm(kernel, axis=-1) * [1, 2, 3, 4]
    for name, held, values, factor in (
        ("question", "answer", tokens[0], 10),
        ("answer", "question", tokens[1], 1),
    ):
        probes = ProbeSet(values, TARGETS, kind="tokens", input_name=name, held={held: tokens[0]})
        found = maps(model, probes, method=method)
        np.testing.assert_allclose(found, factor * expected, rtol=1e-4)  # linear in the vectors


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "input_x_gradient"])
def test_tokens_and_images_in_half_precision_keep_small_gradients(method):
    """The gradients, of 2 ** -27, are below the smallest number of float16, 2 ** -24."""
    inputs = keras.Input((4,), dtype="int32")
    vectors = layers.Embedding(9, 8, dtype="mixed_float16")(inputs)
    x = deep("mixed_float16", 2.0**-9)(layers.GlobalAveragePooling1D(dtype="float32")(vectors))
    tokens = ProbeSet(RNG.integers(0, 9, (3, 4)), TARGETS, kind="tokens")
    model = keras.Model(inputs, x)
    found = maps(model, tokens, method=method)
    assert (found > 0).all()
    assert found.max() < 2.0**-24
    half = ProbeSet(RNG.normal(size=(3, 8)).astype(np.float16), TARGETS, kind="features")
    assert (maps(deep("mixed_float16", 2.0**-9), half, method=method) > 0).all()


def test_tokens_without_vectors():
    model = keras.Sequential([keras.Input((6,), dtype="int32"), layers.Dense(3)])
    with pytest.raises(ValueError, match="a vector for each of the 6 tokens"):
        SaliencyMonitor(model, ProbeSet(np.ones((2, 6), int), [0, 1], kind="tokens"))


def test_channels_first():
    """The map is the same as that of a model that takes the channels last."""
    last = ends_in_classes((8, 8, 3), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten())
    first = keras.Sequential([keras.Input((3, 8, 8)), layers.Permute((2, 3, 1)), *last.layers])
    probes = ProbeSet(PICTURES, TARGETS)
    expected = maps(last, probes)
    moved = dataclasses.replace(probes, data_format="channels_first")
    np.testing.assert_array_equal(maps(first, moved), expected)
    with pytest.raises(ValueError, match=r"images: expected shape \('num_probes', 3, 8, 8\)"):
        SaliencyMonitor(first, probes)
    data = (np.moveaxis(PICTURES, -1, 1), TARGETS)
    with pytest.warns(UserWarning, match="fewer different images"):
        drawn = ProbeSet.from_dataset(data, per_class=2, data_format="channels_first")
    np.testing.assert_array_equal(drawn.images, PICTURES[TARGETS.argsort()])


def test_layers_that_preprocess_and_augment_are_part_of_the_model():
    """Augmentation is off in inference, so the gradient is that of the rescaled image."""
    model = ends_in_classes(
        (8, 8, 3), layers.Rescaling(1 / 100), layers.RandomFlip(), layers.Flatten()
    )
    kernel = model.layers[-1].kernel.numpy().T[TARGETS].reshape(PICTURES.shape)
    found = maps(model, ProbeSet(PICTURES * 100, TARGETS))
    np.testing.assert_allclose(found, np.abs(kernel).max(-1) / 100, rtol=1e-5)


def test_a_layer_in_a_nested_model_by_name():
    model = Difference()
    model([PICTURES, OTHERS])
    probes = ProbeSet(PICTURES, TARGETS, input_name=0, held={1: OTHERS})
    methods = [partial(grad_cam, layer=name) for name in ("first", "eye/first", "eye/last")]
    found = SaliencyMonitor(model, probes, method=["grad_cam", *methods]).evaluate(0)
    default, by_name, by_path, last = (found.maps, *found.others.values())
    np.testing.assert_array_equal(by_name, by_path)
    np.testing.assert_array_equal(default, last)
    assert not np.allclose(default, by_name)
    says = r"layer='lost': expected a layer with .*'eye/first' \(6, 6, 4\).*'eye/last' \(4, 4, 3\)"
    with pytest.raises(ValueError, match=says):
        SaliencyMonitor(model, probes, method=partial(grad_cam, layer="lost"))
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


class Task(keras.Sequential):
    """Preprocesses in `fit` and `predict`, as a task of keras-hub does, and not where called."""

    preprocessor = staticmethod(lambda x: x[:, ::2, ::2] / 10)

    def preprocess_samples(self, x, y=None, sample_weight=None):
        return self.preprocessor(x)


def test_a_task_that_preprocesses_is_explained_on_what_it_sees(tmp_path):
    task = Task([keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    probes = ProbeSet(PICTURES, TARGETS)
    monitor = SaliencyMonitor(task, probes)
    np.testing.assert_array_equal(monitor.probes.images, PICTURES[:, ::2, ::2] / 10)
    report = monitor.evaluate(0)
    np.testing.assert_allclose(
        report.confidences, task(PICTURES[:, ::2, ::2] / 10).numpy().max(-1), rtol=1e-5
    )
    masked = dataclasses.replace(probes, masks=np.ones((3, 8, 8), bool))
    with pytest.raises(ValueError, match=r"masks, regions: the model's preprocessor makes images"):
        SaliencyMonitor(task, masked)
    task.preprocessor = lambda x: {"token_ids": x, "padding_mask": x}
    with pytest.raises(ValueError, match="it makes several inputs"):
        SaliencyMonitor(task, probes)
    task.preprocessor = None
    with pytest.raises(ValueError, match=r"images: expected shape \('num_probes', 4, 4, 3\)"):
        SaliencyMonitor(task, probes)


# ---------------------------------------------------------------- precision and compilation


def deep(policy, size, depth=3):
    """Gradients are `size ** depth` times those of the last layer."""
    body = [
        layers.Dense(
            8,
            use_bias=False,
            kernel_initializer=keras.initializers.Orthogonal(gain=size, seed=i),
            dtype=policy,
        )
        for i in range(depth)
    ]
    end = layers.Dense(3, dtype="float32", kernel_initializer=keras.initializers.Orthogonal(seed=9))
    return keras.Sequential([keras.Input((8,)), *body, end])


@pytest.mark.slow
@pytest.mark.parametrize("size", [2.0**-9, 2.0**-4, 1.0, 2.0**4])
@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated_gradients"])
def test_gradients_out_of_the_range_of_float16(size, method):
    """2 ** -27 is below float16's smallest number; 2 ** 12, scaled, above its largest."""
    values = RNG.normal(size=(3, 8)).astype(np.float32) / 8
    probes = ProbeSet(values, TARGETS, kind="features")
    half, single = (deep(policy, size) for policy in ("mixed_float16", "float32"))
    assert (uses_half_precision(half), uses_half_precision(single)) == (True, False)
    found, expected = (maps(model, probes, method=method) for model in (half, single))
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=5e-3 * expected.max())


def test_the_scale_of_a_probe_is_its_own():
    """One probe overflows at the first scale, the others do not; all are right."""
    inputs = keras.Input((2,))
    half = layers.Dense(2, use_bias=False, dtype="mixed_float16", kernel_initializer="identity")(
        inputs
    )
    model = keras.Model(inputs, keras.ops.cast(half, "float32") ** 4)
    values = np.array([[1e-2, 1e-2], [3.0, 1.0], [1.0, 30.0]], np.float32)
    found = maps(model, ProbeSet(values, [0, 0, 1], kind="features"))
    expected = np.array([[4e-6, 0], [108, 0], [0, 108_000]])
    np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_other_precisions(dtype):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        model = ends_in_classes((8, 8, 3), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten())
    finally:
        keras.config.set_dtype_policy(before)
    images = PICTURES.astype(np.float64) if dtype == "float64" else PICTURES
    single = ends_in_classes((8, 8, 3), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten())
    single.set_weights(model.get_weights())
    methods = ["gradient", "smoothgrad", "grad_cam"]
    found = SaliencyMonitor(model, ProbeSet(images, TARGETS), method=methods).evaluate(0)
    expected = SaliencyMonitor(single, ProbeSet(PICTURES, TARGETS), method=methods).evaluate(0)
    tolerance = {"mixed_bfloat16": 0.05, "float64": 2e-5}[dtype]
    for mine, theirs in (
        (found.maps, expected.maps),
        *((found.others[name], expected.others[name]) for name in methods[1:]),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance * theirs.max())


@pytest.mark.slow
def test_with_xla_the_maps_are_the_same():
    model = ends_in_classes((8, 8, 3), layers.Conv2D(4, 3, activation="tanh"), layers.Flatten())
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    probes = ProbeSet(PICTURES, TARGETS)
    methods = ["gradient", "integrated_gradients", "grad_cam", "occlusion"]
    monitors = [
        SaliencyMonitor(model, probes, method=methods, compute=ks.Compute(jit_compile=jit))
        for jit in (True, False)
    ]
    assert [monitor.compilation for monitor in monitors] == ["XLA on", "XLA off"]
    assert SaliencyMonitor(model, probes).compilation == "XLA off (CPU)"
    found, expected = (monitor.evaluate(0) for monitor in monitors)
    close(found.maps, expected.maps)
    for name in methods[1:]:
        close(found.others[name], expected.others[name])


class Counting(keras.Sequential):
    def call(self, inputs):
        assert int(np.sum(inputs.numpy())) is not None  # works where values are known only
        return super().call(inputs)


def test_models_that_run_eagerly():
    plain = ends_in_classes((8, 8, 3), layers.Flatten())
    expected = maps(plain, ProbeSet(PICTURES, TARGETS))
    plain.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    np.testing.assert_array_equal(maps(plain, ProbeSet(PICTURES, TARGETS)), expected)
    eager = Counting(ends_in_classes((8, 8, 3), layers.Flatten()).layers)
    eager(PICTURES)
    eager.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    with pytest.raises(RuntimeError, match=r"model: expected a model whose call can be traced"):
        SaliencyMonitor(eager, ProbeSet(PICTURES, TARGETS))


# ---------------------------------------------------------------- the callback


@pytest.mark.slow
def test_two_callbacks_in_one_fit_have_two_names(tmp_path):
    model = two_inputs("list")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callbacks = [
        ks.SaliencyCallback(
            ProbeSet(PICTURES, TARGETS, input_name="picture", held={"age": AGES}),
            log_dir=tmp_path,
            name="picture",
            verbose=0,
        ),
        ks.SaliencyCallback(
            ProbeSet(AGES, TARGETS, kind="features", input_name="age", held={"picture": PICTURES}),
            log_dir=tmp_path,
            name="age",
            method=["gradient", "integrated_gradients"],
            verbose=0,
            compute=ks.Compute(reduction="signed"),
        ),
    ]
    fitted = model.fit([PICTURES, AGES], TARGETS, epochs=2, verbose=0, callbacks=callbacks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["age", "picture"]
    for callback, name in zip(callbacks, ("picture", "age"), strict=True):
        norms = callback.history["gradient_norm"][1:]
        assert fitted.history[f"{name}_gradient_norm"] == norms
    signed = callbacks[1].report.signed_maps
    np.testing.assert_array_equal(np.abs(signed), callbacks[1].report.maps)
    assert (signed < 0).any()
    assert callbacks[1].report.others["integrated_gradients"].shape == (3, 4)


def test_two_callbacks_of_one_name_are_told():
    model = ends_in_classes((8, 8, 3), layers.Flatten())
    model.compile("sgd", "sparse_categorical_crossentropy")
    both = [
        ks.SaliencyCallback(ProbeSet(PICTURES, TARGETS), log_dir=None, verbose=0) for _ in range(2)
    ]
    with pytest.warns(UserWarning, match="two callbacks have the name 'saliency'"):
        model.fit(PICTURES, TARGETS, epochs=1, verbose=0, callbacks=both)


def test_a_method_of_ones_own_may_give_a_map_without_channels():
    def brightness(score_fn, inputs):
        return tf.reduce_sum(inputs, axis=-1)

    model = ends_in_classes((8, 8, 3), layers.Flatten())
    report = SaliencyMonitor(
        model,
        ProbeSet(PICTURES, TARGETS),
        method=["gradient", brightness],
        compute=ks.Compute(reduction="signed"),
    ).evaluate(0)
    np.testing.assert_allclose(report.others["brightness"], PICTURES.sum(-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"name": ""}, ValueError, "name: expected a directory name"),
        ({"name": "a/b"}, ValueError, "name: expected a directory name"),
        ({"name": 3}, TypeError, "name: expected a string"),
        ({"method": []}, ValueError, "method: expected one or more"),
        (
            {"method": ["gradient", "gradient"]},
            ValueError,
            "method: expected methods with different names",
        ),
        ({"method": "guided_backprop"}, ValueError, "last layers are randomized"),
        (
            {"score": "logits"},
            ValueError,
            "score: expected one of 'auto', 'logit', 'log_probability'",
        ),
        ({"compute": 32}, TypeError, "compute: expected 'auto' or ks.Compute"),
        ({"compute": "fast"}, ValueError, "compute: expected 'auto' or ks.Compute"),
        ({"pictures": "small"}, ValueError, "pictures: expected 'auto', None .* 'small'"),
        ({"pictures": False}, TypeError, "pictures: expected 'auto', None .* received False"),
        ({"interventions": False}, TypeError, "interventions: expected 'auto', 'epoch', None"),
        ({"interventions": "batch"}, ValueError, "interventions: expected 'auto', 'epoch', None"),
        ({"on_alert": "raise"}, ValueError, "on_alert: expected 'warn', 'stop', a function"),
        ({"on_alert": True}, TypeError, "on_alert: expected 'warn', 'stop', a function"),
    ],
)
def test_settings_that_are_refused(settings, error, says):
    with pytest.raises(error, match=says):
        ks.SaliencyCallback(ProbeSet(PICTURES, TARGETS), **settings)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: ks.Compute(reduction="mean"), ValueError, "reduction: expected one of 'max_abs'"),
        (
            lambda: ks.Compute(jit_compile="yes"),
            ValueError,
            "jit_compile: expected True, False or 'auto', ",
        ),
        (lambda: ks.Compute(jit_compile=1), TypeError, "jit_compile: expected True, False or "),
        (lambda: ks.Compute(batch_size=0), ValueError, "batch_size: expected a positive integer"),
        (lambda: ks.Score(output=True), TypeError, "output: expected a name or a position"),
        (
            lambda: ks.Score(3),
            TypeError,
            r"score: expected one of 'auto', .*, a callable, or ks.Score\(\.\.\.\), received 3",
        ),
        (lambda: ks.Pictures(scale="own"), ValueError, "scale: expected one of 'epoch'"),
        (lambda: ks.Pictures(colormap="hotter"), ValueError, "colormap: expected the name of a"),
        (lambda: ks.Pictures(map_size=0), ValueError, "map_size: .*no data for the SALIENCY tab"),
    ],
)
def test_settings_objects_check_themselves(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_settings_objects_take_numpy_integers_and_keep_integers():
    assert repr(ks.Compute(batch_size=np.int64(4)).batch_size) == "4"
    assert repr(ks.Pictures(map_size=np.int32(64)).map_size) == "64"
    assert repr(ks.Score(output=np.int64(1)).output) == "1"


def test_a_model_of_two_inputs_that_fit_has_yet_to_build(tmp_path):
    model = Difference()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probes = ProbeSet(PICTURES, TARGETS, input_name=0, held={1: OTHERS})
    saliency = ks.SaliencyCallback(probes, log_dir=None, verbose=0)
    model.fit((PICTURES, OTHERS), TARGETS, epochs=1, verbose=0, callbacks=[saliency])
    assert saliency.history["step"] == [-1, 0]


class Shaking(layers.Layer):
    def call(self, inputs):
        return inputs + tf.random.normal((8, 8, 3))


class Hidden(layers.Layer):
    @tf.function
    def call(self, inputs):
        return inputs + tf.random.normal((8, 8, 3))


@pytest.mark.parametrize("layer", [Shaking, Hidden])
def test_a_layer_that_draws_from_tensorflows_own_state_is_told(layer):
    model = ends_in_classes((8, 8, 3), layer(), layers.Flatten())
    with pytest.warns(UserWarning, match="random numbers at inference with a stateful TensorFlow"):
        SaliencyMonitor(model, ProbeSet(PICTURES, TARGETS))
