"""The same numbers as PAIR's `saliency`, where it asks the same question."""

from functools import partial

import keras
import numpy as np
import pytest
import saliency.core as pair
import tensorflow as tf
from keras import layers

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import (
    grad_cam,
    gradient,
    input_x_gradient,
    integrated_gradients,
    occlusion,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 8, 8, 2)).astype(np.float32)
TARGETS = [1, 0]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    parts = [
        layers.Conv2D(4, 3, activation="relu", name="seen"),
        layers.Conv2D(3, 3, activation="tanh", name="last"),
        layers.Flatten(),
        layers.Dense(2),
    ]
    return keras.Sequential([keras.Input((8, 8, 2)), *parts])


@pytest.fixture
def answers(model):
    return answers_at(model, "last")


def answers_at(model, layer):
    """What the library asks a model for, by an eager tape; values and gradients of a layer."""
    seen = model.get_layer(layer).output
    before = keras.Model(model.inputs, seen)
    behind = model.layers[1 + model.layers.index(model.get_layer(layer)) :]
    after = keras.Sequential([keras.Input(seen.shape[1:]), *behind])

    def answer(images, call_model_args, expected_keys):
        x, target = tf.constant(images, tf.float32), call_model_args
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            seen = before(x)
            tape.watch(seen)
            scores = after(seen)[:, target]
        found = {
            pair.INPUT_OUTPUT_GRADIENTS: lambda: tape.gradient(scores, x),
            pair.CONVOLUTION_LAYER_VALUES: lambda: seen,
            pair.CONVOLUTION_OUTPUT_GRADIENTS: lambda: tape.gradient(scores, seen),
            pair.OUTPUT_LAYER_VALUES: lambda: scores,
        }
        return {key: found[key]().numpy() for key in expected_keys}

    return answer


def maps_of(model, method, reduction="signed"):
    monitor = SaliencyMonitor(
        model, ProbeSet(IMAGES, TARGETS), method=method, compute=Compute(reduction=reduction)
    )
    return monitor.evaluate(step=0).signed_maps


def test_gradient(model, answers):
    theirs = [
        pair.GradientSaliency().GetMask(image, answers, target)
        for image, target in zip(IMAGES, TARGETS, strict=True)
    ]
    found = maps_of(model, gradient)
    np.testing.assert_allclose(found, np.sum(theirs, axis=-1), rtol=1e-4, atol=1e-6)


def test_input_x_gradient(model, answers):
    theirs = [
        image * pair.GradientSaliency().GetMask(image, answers, target)
        for image, target in zip(IMAGES, TARGETS, strict=True)
    ]
    found = maps_of(model, input_x_gradient)
    np.testing.assert_allclose(found, np.sum(theirs, axis=-1), rtol=1e-4, atol=1e-6)


def test_integrated_gradients(model, answers):
    """Its steps include both ends of the path with a full weight each, an error of order 1 / n.

    With n steps the ends count twice too much: n - 1 parts by the trapezoidal rule, and half of
    each end more. Both are known here, and taken out of its answer.
    """
    start, steps = np.full((8, 8, 2), 0.3, np.float32), 401
    method = partial(integrated_gradients, baseline=start, num_steps=400)
    found = maps_of(model, method)
    for image, target, ours in zip(IMAGES, TARGETS, found, strict=True):
        theirs = pair.IntegratedGradients().GetMask(
            image, answers, target, x_baseline=start, x_steps=steps, batch_size=steps
        )
        ends = answers(np.stack([start, image]), target, [pair.INPUT_OUTPUT_GRADIENTS])
        half_ends = ends[pair.INPUT_OUTPUT_GRADIENTS].sum(axis=0) / 2 * (image - start)
        trapezoidal = (theirs * steps - half_ends) / (steps - 1)
        np.testing.assert_allclose(ours, trapezoidal.sum(axis=-1), rtol=5e-3, atol=2e-3)


@pytest.mark.parametrize("layer", ["seen", "last"])
def test_grad_cam(model, layer):
    """Its map at the layer's own size: enlarged, it is scaled to 1, and resized by another rule."""
    found = maps_of(model, partial(grad_cam, layer=layer))
    for image, target, ours in zip(IMAGES, TARGETS, found, strict=True):
        theirs = pair.GradCam().GetMask(
            image, answers_at(model, layer), target, should_resize=False, three_dims=False
        )
        expected = tf.image.resize(theirs[..., None], (8, 8))[..., 0]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    assert found.max() > 0


def test_occlusion(model, answers):
    """It sums the falls of all windows over a place, where ours is their mean."""
    found = maps_of(model, partial(occlusion, window=3, stride=1, baseline=0.25))
    rows = np.convolve(np.ones(6), np.ones(3))  # windows over each row
    for image, target, ours in zip(IMAGES, TARGETS, found, strict=True):
        theirs = pair.Occlusion().GetMask(image, answers, target, size=3, value=0.25)
        expected = theirs[..., 0] / np.outer(rows, rows)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
