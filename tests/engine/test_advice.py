"""Lines in messages: what they say, and that they work."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency import ProbeSet
from keras_saliency.engine.advice import part_line, score_line
from keras_saliency.engine.choosing import CLASSES
from keras_saliency.engine.models import explained_part, loss_of_numbers

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3), "float32")


@pytest.mark.parametrize(
    ("shape", "settings", "line"),
    [
        ((None, 5), {"output": "a"}, "score=ks.Score(output='a')"),
        ((None,), {"numbers": True, "output": 0}, "score=ks.Score(output=0)"),
        ((None, 1, 1, 5), {"part": "model.net"}, "score=ks.Score(model=model.net)"),
        ((None, 1), {"numbers": True, "output": 1}, "score=ks.Score(output=1)"),
        ((None, 7, 5), {}, "score=ks.Score('max_logit')"),
        ((None, 8, 8, 5), {"output": 1}, "score=ks.Score('max_logit', output=1)"),
        ((None, 8, 8, 1), {"part": "model.net"}, "score=ks.Score('mean', model=model.net)"),
        ((None, 1, 1, 5), {"numbers": True}, "score=ks.Score('mean')"),
        ((None, 7, 5), {"numbers": True}, "score=ks.Score('mean')"),
    ],
)
def test_the_line_for_outputs_of_a_shape(shape, settings, line):
    assert score_line(shape, **settings) == line


def lines_of(error):
    """The values of the arguments `score=` in a message."""
    text = str(error.value)
    found = [text[match.end() :] for match in re.finditer(r"score=(?=ks\.Score|lambda)", text)]
    return [one[: _end(one)] for one in found]


def _end(text):
    """Where an expression ends: at ` or `, or at the full stop that closes the sentence."""
    return min(at for at in (text.find(" or "), text.find(". "), len(text) - 1) if at >= 0)


class Networks(keras.Model):
    """Networks without a `call`, as GANs and autoencoders have them."""

    def __init__(self):
        super().__init__()
        inputs = keras.Input((8, 8, 3))
        hidden = layers.Flatten()(inputs)
        self.critic = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(1, 3)])
        self.encoder = keras.Model(inputs, [layers.Dense(4)(hidden), layers.Dense(4)(hidden)])
        self.backbone = keras.Model(inputs, layers.Dense(5)(hidden))
        self.head = keras.Sequential([keras.Input((5,)), layers.Dense(3)])


def test_a_model_without_a_call_names_the_parts_that_take_the_probes():
    """First those that end in a unit for each class."""
    model = Networks()
    probes = ProbeSet(IMAGES, [0, 1, 2, 0])
    with pytest.raises(ValueError, match="expected a model with a call method") as error:
        explained_part(model, None, probes)
    lines = lines_of(error)
    assert lines == [
        "ks.Score(model=keras.Sequential([model.backbone, model.head]))",
        "ks.Score('mean', model=model.critic)",
        "ks.Score(output=0, model=model.encoder)",
        "ks.Score(model=model.backbone)",
    ]
    kernel = model.backbone.layers[-1].kernel.numpy() @ model.head.layers[-1].kernel.numpy()
    for line in reversed(lines):
        score = eval(line, {"ks": ks, "keras": keras, "model": model})
        report = ks.SaliencyMonitor(model, probes, score=score).step(-1)
    expected = np.abs(kernel.reshape(8, 8, 3, 3)).max(axis=2)  # the target's, of every channel
    np.testing.assert_allclose(report.maps[1], expected[..., 1], rtol=1e-5)


def nested(is_functional):
    """A model of rows whose outputs are in dicts and lists; its kernels by the outputs' names."""
    named = {name: layers.Dense(units) for name, units in [("kind", 2), ("boxes", 4), ("age", 3)]}
    named["pose"] = layers.Dense(3)

    def structured(rows):
        of = {name: layer(rows) for name, layer in named.items()}
        head = {"kind": of["kind"], "several": [of["boxes"], of["age"]]}
        return {"head": head, "pose": of["pose"]}

    class Subclass(keras.Model):
        def __init__(self):
            super().__init__()
            self.named = named

        def call(self, rows):
            return structured(rows)

    inputs = keras.Input((3,))
    model = keras.Model(inputs, structured(inputs)) if is_functional else Subclass()
    model(IMAGES[:, 0, 0])
    names = {"kind": "head/kind", "boxes": "head/several/0", "age": "head/several/1"}
    return model, {names.get(name, name): layer.kernel.numpy() for name, layer in named.items()}


@pytest.mark.parametrize("is_functional", [True, False])
def test_nested_outputs_are_named_by_their_paths(is_functional):
    model, kernels = nested(is_functional)
    probes = ProbeSet(IMAGES[:, 0, 0], [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"\(4, 2\), \(4, 4\), \(4, 3\), \(4, 3\)") as error:
        ks.SaliencyMonitor(model, probes)
    assert f"Choose one of {', '.join(map(repr, kernels))}:" in str(error.value)
    (line,) = lines_of(error)
    assert line == "ks.Score(output='head/kind')"
    for name, kernel in kernels.items():
        score = eval(line) if name == "head/kind" else ks.Score(output=name)
        maps = ks.saliency_maps(model, probes, score=score)
        np.testing.assert_allclose(maps, np.abs(kernel[:, [0, 1, 0, 1]]).T, rtol=1e-6)
    with pytest.raises(ValueError, match="expected one of 'head/kind', .*, received 'head'"):
        ks.saliency_maps(model, probes, score=ks.Score(output="head"))
    monitor = ks.SaliencyMonitor(model, ProbeSet(IMAGES[:, 0, 0]))
    assert monitor.score.output == "head/kind"
    assert monitor.notes == [
        f"of the outputs {', '.join(map(repr, kernels))}, the first is explained; for another one: "
        "score=ks.Score(output='head/several/0')",
        CLASSES,
    ]


@pytest.mark.parametrize("is_pipeline", [True, False])
def test_labels_of_nested_outputs(is_pipeline):
    model, kernels = nested(is_functional=True)
    rows, kinds, ages = IMAGES[:, 0, 0], np.array([0, 1, 1, 0]), np.array([2, 0, 1, 2])
    labels = {"head": {"kind": kinds, "several": (rows, ages)}, "pose": rows}
    data = (rows, labels)
    if is_pipeline:
        data = tf.data.Dataset.from_tensor_slices(data).batch(2)
    with pytest.warns(UserWarning, match="those of 'head/kind' are taken.*output='head/several/0'"):
        of_kinds = ProbeSet.from_dataset(data, per_class=1)
    of_ages = ProbeSet.from_dataset(data, output="head/several/1", per_class=1)
    both = [(of_kinds, "head/kind", kinds), (of_ages, "head/several/1", ages)]
    for probes, name, labels in both:
        assert probes.output == name
        targets = [labels[(rows == row).all(axis=1)][0] for row in probes.images]
        np.testing.assert_array_equal(probes.targets, targets)
        maps = ks.saliency_maps(model, probes)
        np.testing.assert_allclose(maps, np.abs(kernels[name][:, targets]).T, rtol=1e-6)


def test_nested_outputs_of_a_part():
    model, _ = nested(is_functional=True)
    line = part_line(model, "model.part")
    assert line == "score=ks.Score(output='head/kind', model=model.part)"


def test_losses_of_nested_outputs():
    """They say that the outputs are numbers, whichever way they are nested."""
    model, kernels = nested(is_functional=False)
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = {"head": {"kind": classes, "several": ["mse", classes]}, "pose": "mse"}
    for each in (losses, {"head/kind": classes, "head/several/0": "mse", "pose": "mse"}):
        model.compile(loss=each)
        numbers = [loss_of_numbers(model, name) for name in kernels]
        assert numbers == ["", "mean_squared_error", "", "mean_squared_error"]


def test_one_of_several_numbers_is_explained_by_the_line_in_the_message():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    model.compile(loss="mse")
    rows = IMAGES[:, 0, 0]
    with pytest.raises(ValueError, match="look like numbers") as error:
        ks.saliency_maps(model, ProbeSet(rows), score="logit")
    (line,) = lines_of(error)
    maps = ks.saliency_maps(model, ProbeSet(rows), score=eval(line))
    expected = np.abs(model.layers[0].kernel.numpy()[:, 0])
    np.testing.assert_allclose(maps, np.tile(expected, (4, 1)), rtol=1e-6)


def test_inputs_that_were_taken_for_labels():
    """Elements (a, b) of a model with two inputs: the line in the message explains both."""
    inputs = [keras.Input((3,), name="a"), keras.Input((3,), name="b")]
    model = keras.Model(inputs, layers.Dense(4)(layers.Concatenate()(inputs))[:, None])
    rows = IMAGES[:, 0, 0]
    with pytest.raises(ValueError, match="from_dataset.dataset.map") as error:
        ks.SaliencyMonitor(model, ProbeSet(rows))
    assert lines_of(error) == []  # outputs (batch, 1, classes) are (batch, classes)
    kernel = next(one for one in model.layers if isinstance(one, layers.Dense)).kernel.numpy()
    for data in (((rows, rows),), ({"a": rows, "b": rows},)):
        probes = ProbeSet.from_dataset(data)
        targets = model([probes.images[:, :3], probes.images[:, 3:]]).numpy()[:, 0].argmax(axis=1)
        maps = ks.saliency_maps(model, probes)
        np.testing.assert_allclose(maps, np.abs(kernel[:, targets]).T, rtol=1e-5)


def test_an_error_of_the_model_says_what_it_was_given():
    class Pair(keras.Model):
        def call(self, inputs):
            first, second = inputs
            return first + second

    model = Pair()
    model([IMAGES, IMAGES])
    with pytest.raises(Exception, match=r"Pair\.call") as error:
        ks.SaliencyMonitor(model, ProbeSet(IMAGES, [0, 1, 2, 0]))
    (note,) = error.value.__notes__
    assert "shape ('num_probes', 8, 8, 3)" in note
    assert "ProbeSet({0: ..., 1: ...}, targets)" in note


@pytest.mark.parametrize("is_built", [True, False])
def test_an_error_of_a_model_that_takes_something_else_names_its_parts(is_built):
    """A GAN whose call is the generator, with images: the line explains the discriminator."""

    class Generating(keras.Model):
        def __init__(self):
            super().__init__()
            layer = layers.Flatten()
            self.discriminator = keras.Sequential([keras.Input((8, 8, 3)), layer, layers.Dense(1)])
            self.generator = keras.Sequential([keras.Input((4,)), layers.Dense(192)])
            pair = {"a": {"b": keras.Input((8, 8, 3))}}
            self.nested = keras.Model(pair, layers.Flatten()(pair["a"]["b"]))

        def call(self, noise):
            return self.generator(noise)

        def train_step(self, images):
            return {"loss": keras.ops.mean(self.discriminator(images))}

    model = Generating()
    model.compile("sgd")
    if is_built:
        model(np.ones((1, 4)))
    saliency = ks.SaliencyCallback(ProbeSet(IMAGES), log_dir=None, verbose=0)
    with pytest.raises(Exception, match=r"Sequential\.call") as error:
        model.fit(IMAGES, verbose=0, callbacks=[saliency])
    (note,) = error.value.__notes__
    start, _, rest = note.partition(" If a part that takes them is meant: score=")
    assert start.endswith("the model was called with the probes, shape ('num_probes', 8, 8, 3).")
    line, _, rest = rest.partition(". ")
    assert rest.startswith("If it takes")
    score = eval(line, {"ks": ks, "model": model})
    assert score.model is model.discriminator
    saliency = ks.SaliencyCallback(ProbeSet(IMAGES), log_dir=None, verbose=0, score=score)
    model.fit(IMAGES, verbose=0, callbacks=[saliency])
    kernel = model.discriminator.layers[-1].kernel.numpy().reshape(8, 8, 3)
    expected = np.tile(np.abs(kernel).max(-1), (4, 1, 1))
    np.testing.assert_allclose(saliency.report.maps, expected, rtol=1e-5)


def test_a_model_that_does_not_tell_its_outputs():
    assert part_line(Networks(), "model.part") == "score=ks.Score(model=model.part)"
