"""Small networks for tests of what a monitor computes, their probes, and layers that draw."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_saliency import ProbeSet

SHAPE = (6, 5, 2)
COUNT = 7
IMAGES = np.random.default_rng(0).normal(size=(COUNT, *SHAPE)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 2, 1, 0, 1])
PROBES = ProbeSet(IMAGES, TARGETS)
ROWS = np.arange(COUNT)


CORNER = np.zeros(SHAPE[:2], bool)
CORNER[:2, :2] = True
MANY = np.random.default_rng(1).normal(size=(30, *SHAPE)).astype(np.float32)
MANY_TARGETS = np.arange(30) % 3
MANY_PROBES = ProbeSet(MANY, MANY_TARGETS, regions={"corner": CORNER})


def small_net(*extra):
    """Convolution, BatchNorm with statistics of its own, dropout, softmax in a layer of its own."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            *extra,
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3),
            layers.Softmax(),
        ]
    )
    batch_norm = model.layers[1]
    batch_norm.moving_mean.assign([0.1, 0.2, -0.1, 0.3])
    batch_norm.moving_variance.assign([0.5, 2.0, 1.0, 0.7])
    return model


def linear_net(units=3, **kwargs):
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(units, **kwargs)])


def by_eager_tape(model, images=IMAGES, targets=TARGETS):
    """Gradient and logits of a model that ends in a dense layer and a softmax layer."""
    logits_model = keras.Model(model.inputs[0], model.layers[-2].output)
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        logits = logits_model(inputs, training=False)
        scores = tf.gather(logits, targets, axis=1, batch_dims=1)
    return tape.gradient(scores, inputs).numpy(), logits.numpy()


def contents(report):
    """A report's arrays as bytes, and its metrics with nan made equal to itself."""
    arrays = {n: v.tobytes() for n, v in vars(report).items() if isinstance(v, np.ndarray)}
    return arrays, {name: repr(value) for name, value in report.metrics.items()}


class UnseededNoise(layers.Layer):
    """Draws in inference from Keras' global seed generator."""

    def call(self, inputs):
        return inputs + keras.random.normal(tf.shape(inputs))


class OwnNoise(layers.Layer):
    """Draws in inference from a seed generator of its own."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(11)

    def call(self, inputs):
        return inputs + keras.random.normal(tf.shape(inputs), seed=self.generator)


class TensorFlowNoise(layers.Layer):
    """Draws in inference from TensorFlow's global generator."""

    def call(self, inputs):
        return inputs + tf.random.get_global_generator().normal(tf.shape(inputs))


class Counter(layers.Layer):
    """Counts its calls, in inference too."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs


NOISES = [UnseededNoise, OwnNoise, TensorFlowNoise]
EXTRAS = [None, Counter, *NOISES]


def net_with(extra):
    return small_net(*([] if extra is None else [extra()]))


def compiled(model, optimizer="adam", **kwargs):
    """Without XLA, which takes seconds to compile."""
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False, **kwargs)
    return model


def found_by(monitor, step=0):
    """All that a test evaluation finds, with nan made equal to itself."""
    found = monitor.intervene(monitor.evaluate(step)).interventions
    rows = []
    for effect in found.effects:
        examples = [(e.recipient, e.donor, e.image.tobytes()) for e in effect.examples]
        rows.append((repr(dataclasses.replace(effect, examples=())), examples))
    return rows, found.blocked_because, found.unit, found.passes
