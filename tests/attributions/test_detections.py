"""The score of one box of a detector, by hand and against a tape."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.attributions.detections import detection

BOXES = np.array(
    [
        [[0, 0, 4, 4], [2, 0, 6, 4], [8, 8, 9, 9]],
        [[1, 1, 3, 3], [0, 0, 8, 2], [5, 5, 4, 4]],  # the last has no area
    ],
    np.float32,
)
LOGITS = np.array([[[0, 1], [2, 3], [9, 9]], [[-1, 1], [2, -3], [9, 9]]], np.float32)
TARGETS = np.array([0, 1])
BOX = (0, 0, 4, 4)


def outputs(boxes=BOXES, classes=LOGITS):
    return {"boxes": tf.constant(boxes), "classes": tf.constant(classes)}


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def test_the_similarity_is_the_overlap_times_the_probability():
    """Overlaps with the box: 1, 8 / 24, 0; and 4 / 16, 8 / 24, 0."""
    expected = [max(sigmoid(0), sigmoid(2) / 3), max(sigmoid(1) / 4, sigmoid(-3) / 3)]
    found = detection(outputs(), TARGETS, box=BOX, part="similarity", activation="sigmoid")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = detection(outputs(), TARGETS, box=BOX, activation="sigmoid")
    np.testing.assert_array_equal(found, [LOGITS[0, 0, 0], LOGITS[1, 0, 1]])


def test_softmax_and_probabilities():
    exponentials = np.exp(LOGITS.astype(np.float64))
    probable = exponentials / exponentials.sum(axis=-1, keepdims=True)
    expected = [max(probable[0, 0, 0], probable[0, 1, 0] / 3), probable[1, 0, 1] / 4]
    ask = partial(detection, targets=TARGETS, box=BOX, part="similarity")
    np.testing.assert_allclose(ask(outputs(), activation="softmax"), expected, rtol=1e-6)
    given = outputs(classes=probable.astype(np.float32))
    np.testing.assert_allclose(ask(given, activation="linear"), expected, rtol=1e-6)
    found = detection(given, TARGETS, box=BOX, activation="linear")
    odds = [probable[0, 0, 0] / probable[0, 0, 1], probable[1, 0, 1] / probable[1, 0, 0]]
    np.testing.assert_allclose(found, np.log(odds), rtol=1e-5)


def test_a_box_that_nothing_overlaps():
    asked = partial(detection, targets=TARGETS, box=(20, 20, 30, 30), activation="sigmoid")
    np.testing.assert_array_equal(asked(outputs(), part="similarity"), [0, 0])


@pytest.mark.parametrize(
    ("box_format", "order"),
    [
        ("yxyx", lambda b: b[..., [1, 0, 3, 2]]),
        ("xywh", lambda b: np.concatenate([b[..., :2], b[..., 2:] - b[..., :2]], -1)),
        (
            "center_xywh",
            lambda b: np.concatenate([(b[..., :2] + b[..., 2:]) / 2, b[..., 2:] - b[..., :2]], -1),
        ),
    ],
)
def test_formats_of_boxes(box_format, order):
    box = np.array([0, 1, 4, 6], np.float32)
    asked = partial(detection, targets=TARGETS, part="similarity", activation="sigmoid")
    expected = asked(outputs(), box=box)
    assert (expected.numpy() > 0).all()
    found = asked(outputs(order(BOXES)), box=order(box), box_format=box_format)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def detector(**kwargs):
    """Three boxes and their classes, from a dense layer; without an activation, or with one."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1))
    values = layers.Flatten()(inputs)
    boxes = layers.Reshape((3, 4))(layers.Dense(12, bias_initializer=starting_boxes)(values))
    classes = layers.Reshape((3, 2))(layers.Dense(6, **kwargs)(values))
    return keras.Model(inputs, {"boxes": boxes, "classes": classes})


def starting_boxes(shape, dtype=None):
    return tf.constant(np.tile([0.0, 0, 4, 4], 3) + np.arange(12) / 5, dtype)


@pytest.mark.parametrize("part", ["class", "similarity"])
def test_maps_of_one_box_are_those_of_a_tape(part):
    model = detector(activation="sigmoid")
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32) / 4
    box = (1.0, 1.0, 5.0, 6.0)
    score = partial(detection, box=box, part=part)
    maps = SaliencyMonitor(model, ProbeSet(images, TARGETS), score=score).evaluate(step=0).maps
    with tf.GradientTape() as tape:
        watched = tf.constant(images)
        tape.watch(watched)
        answer = model(watched)
        total = 0.0
        for index, target in enumerate(TARGETS):
            rows = []
            for place in range(3):
                left, top, right, bottom = tf.unstack(answer["boxes"][index, place])
                wide = tf.maximum(tf.minimum(right, 5.0) - tf.maximum(left, 1.0), 0)
                tall = tf.maximum(tf.minimum(bottom, 6.0) - tf.maximum(top, 1.0), 0)
                union = (right - left) * (bottom - top) + 20 - wide * tall
                rows.append(wide * tall / union * answer["classes"][index, place, target])
            best = int(np.argmax(rows))
            p = answer["classes"][index, best, target]
            total += rows[best] if part == "similarity" else tf.math.log(p / (1 - p))
    expected = abs(tape.gradient(total, watched).numpy()[..., 0])
    assert (expected > 0).all()
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


def test_other_outputs_are_decoded():
    """One tensor, with the boxes before the classes."""
    joined = tf.concat([BOXES, LOGITS], -1)
    decode = lambda values: (values[..., :4], values[..., 4:])  # noqa: E731
    found = detection(joined, TARGETS, box=BOX, decode=decode, activation="sigmoid")
    np.testing.assert_array_equal(found, [0, 1])


def test_without_an_activation_in_the_graph_it_has_to_be_told():
    model = detector()
    probes = ProbeSet(np.ones((2, 4, 4, 1), np.float32), TARGETS)
    with pytest.raises(ValueError, match="activation: expected classes that end in a sigmoid"):
        SaliencyMonitor(model, probes, score=partial(detection, box=BOX))
    asked = partial(detection, box=BOX, activation="sigmoid")
    assert SaliencyMonitor(model, probes, score=asked).evaluate(step=0).maps.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box": (0, 0, 4)}, "box: expected left, top, right, bottom, with a positive"),
        ({"box": (4, 0, 4, 4)}, "positive width and height"),
        ({"box": (0, 0, 4, -1), "box_format": "xywh"}, "left, top, width, height"),
        ({"box": (0, 0, 4, float("nan"))}, "finite|positive"),
        ({"box": BOX, "box_format": "xyz"}, "box_format: expected one of 'xyxy'"),
        ({"box": BOX, "part": "edges"}, "part: expected one of 'class', 'similarity'"),
        ({"box": BOX, "activation": "relu"}, "activation: expected one of 'sigmoid'"),
    ],
)
def test_settings_that_are_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        detection(outputs(), TARGETS, **{"activation": "sigmoid", **settings})


def test_outputs_that_are_wrong():
    with pytest.raises(TypeError, match=r"outputs: expected a dict .*received \['boxes'\]"):
        detection({"boxes": BOXES}, TARGETS, box=BOX, activation="sigmoid")
    with pytest.raises(ValueError, match=r"received shapes \(2, 3, 4\) and \(2, 2, 2\)"):
        detection(outputs(classes=LOGITS[:, :2]), TARGETS, box=BOX, activation="sigmoid")
