"""The score of one box of a detector, by hand and against a tape."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.attributions.detections import detected, detection

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


# ---------------------------------------------------------------- a box for each probe

OWN = np.array([[0, 0, 4, 4], [0, 0, 4, 2]], np.float32)
"""Overlaps with the predictions: 1, 8 / 24, 0; and 2 / 10, 8 / 16, 0."""


def test_each_probe_has_its_own_box():
    ask = partial(detection, outputs(), TARGETS, activation="sigmoid")
    similarities = [max(sigmoid(0), sigmoid(2) / 3), max(sigmoid(1) / 5, sigmoid(-3) / 2)]
    np.testing.assert_allclose(ask(boxes=OWN, part="similarity"), similarities, rtol=1e-6)
    np.testing.assert_array_equal(ask(boxes=OWN), [0, 1])
    np.testing.assert_array_equal(ask(boxes=OWN, box=OWN[0]), ask(box=OWN[0]))  # the shared one
    with pytest.raises(ValueError, match=r"expected a box for each probe, or one for all.*boxes="):
        ask()


def test_the_class_in_the_box():
    """The predictions with half the box in common: the first; and the second, of class 0."""
    _, named = detected(outputs(), TARGETS, boxes=OWN, activation="sigmoid")
    assert named.predictions.numpy().tolist() == [1, 0]
    np.testing.assert_allclose(named.confidences, sigmoid([1, 2]), rtol=1e-6)
    assert named.num_classes == 2
    _, none = detected(outputs(), TARGETS, box=(3, 0, 6, 1), activation="sigmoid")
    assert none.predictions.numpy().tolist() == [-1, -1]
    assert none.confidences.numpy().tolist() == [0, 0]


def images_of(count):
    return np.random.default_rng(0).normal(size=(count, 4, 4, 1)).astype(np.float32) / 4


PIXEL_BOXES = np.array([[0, 0, 3, 4], [1, 1, 4, 4], [0, 1, 4, 4], [0, 0, 4, 4], [0, 0, 2, 4]])


@pytest.mark.parametrize("part", ["class", "similarity"])
def test_maps_of_many_boxes_are_those_of_a_tape_one_by_one(part):
    model, images, targets = detector(activation="sigmoid"), images_of(5), np.arange(5) % 2
    probes = ProbeSet(images, targets, boxes=PIXEL_BOXES)
    score = "detection" if part == "class" else partial(detection, part=part)
    report = SaliencyMonitor(model, probes, score=score, compute=ks.Compute(batch_size=2)).evaluate(
        step=0
    )
    for index in range(5):
        box = PIXEL_BOXES[index].astype(float).tolist()
        with tf.GradientTape() as tape:
            watched = tf.constant(images[index : index + 1])
            tape.watch(watched)
            answer = model(watched)
            similarities = []
            for place in range(3):
                left, top, right, bottom = tf.unstack(answer["boxes"][0, place])
                wide = tf.maximum(tf.minimum(right, box[2]) - tf.maximum(left, box[0]), 0)
                tall = tf.maximum(tf.minimum(bottom, box[3]) - tf.maximum(top, box[1]), 0)
                area = (box[2] - box[0]) * (box[3] - box[1])
                union = (right - left) * (bottom - top) + area - wide * tall
                p = answer["classes"][0, place, targets[index]]
                similarities.append(wide * tall / union * p)
            best = int(np.argmax(similarities))
            p = answer["classes"][0, best, targets[index]]
            value = similarities[best] if part == "similarity" else tf.math.log(p / (1 - p))
        expected = abs(tape.gradient(value, watched).numpy()[0, ..., 0])
        assert (expected > 0).all()
        np.testing.assert_allclose(report.scores[index], value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(report.maps[index], expected, rtol=1e-4, atol=1e-6)
        alone = ks.saliency_maps(
            model,
            ProbeSet(images[[index]], targets[[index]], boxes=PIXEL_BOXES[[index]]),
            score=score,
        )
        np.testing.assert_allclose(report.maps[index], alone[0], rtol=1e-4, atol=1e-6)


def test_a_detector_predicts_the_class_in_the_box():
    model, images = detector(activation="sigmoid"), images_of(5)
    targets = np.array([0, 1, 0, 1, 0])
    monitor = SaliencyMonitor(
        model, ProbeSet(images, targets, boxes=PIXEL_BOXES), score="detection"
    )
    report = monitor.evaluate(step=0)
    answer = model(images)
    _, named = detected(answer, targets, boxes=PIXEL_BOXES.astype(np.float32), activation="linear")
    np.testing.assert_array_equal(report.predictions, named.predictions)
    assert {*report.predictions.tolist()} > {-1}
    np.testing.assert_allclose(report.confidences, named.confidences, rtol=1e-5)
    assert (report.confidences[report.predictions < 0] == 0).all()
    assert report.metrics["probe_accuracy"] == (report.predictions == targets).mean()
    assert report.metrics["confidence"] == report.confidences.mean()
    assert monitor.score_source == "the prediction that fits the box of each probe"


def test_without_targets_the_class_in_the_box_is_explained():
    model, images = detector(activation="sigmoid"), images_of(3)
    boxes = np.tile([0, 0, 4, 4], (3, 1))
    report = SaliencyMonitor(model, ProbeSet(images, boxes=boxes), score="detection").evaluate(0)
    np.testing.assert_array_equal(report.targets, report.predictions)
    assert (report.targets >= 0).all()


def test_boxes_are_needed_and_targets_are_classes():
    model, images = detector(activation="sigmoid"), images_of(2)
    with pytest.raises(
        ValueError, match=r"expected a box for each probe.*ProbeSet\(images, targets,"
    ):
        SaliencyMonitor(model, ProbeSet(images, [0, 1]), score="detection")
    boxes = PIXEL_BOXES[:2]
    objects = ProbeSet(images, [0, 1], boxes=boxes)
    assert SaliencyMonitor(model, objects).score.score == "detection"
    outputs = dict(zip("ab", model.outputs, strict=True))
    with pytest.raises(ValueError, match="the box of each probe, pass score='detection'. Choose"):
        SaliencyMonitor(keras.Model(model.inputs, outputs), objects)
    with pytest.raises(
        ValueError, match=r"class indices 0\.\.1 \(the model has 2 classes\), received 2"
    ):
        SaliencyMonitor(model, ProbeSet(images, [0, 2], boxes=boxes), score="detection")
    with pytest.raises(ValueError, match="position: expected None with score='detection'"):
        ks.Score("detection", position=1)
    with pytest.raises(ValueError, match="activation: expected classes that end in a sigmoid"):
        SaliencyMonitor(detector(), ProbeSet(images, [0, 1], boxes=boxes), score="detection")


def test_boxes_are_passed_to_the_score_that_uses_them():
    model = detector(activation="sigmoid")
    probes = ProbeSet(images_of(2), [0, 1], boxes=PIXEL_BOXES[:2])
    rows = SaliencyMonitor(model, probes, score="detection")._inputs.rows(np.array([1]))
    np.testing.assert_array_equal(rows["boxes"], PIXEL_BOXES[1:2])
    assert "masks" not in rows
    shared = SaliencyMonitor(model, probes, score=partial(detection, box=BOX))
    assert "boxes" not in shared._inputs.rows(np.array([1]))
