"""Training is bit for bit the same with the callback, for models that explanations look into."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_saliency as ks
from support.random_states import next_draws

RNG = np.random.default_rng(0)
IMAGES = RNG.random((24, 8, 8, 1)).astype("float32")
LABELS = np.arange(24) % 3


def convolutional():
    return [
        layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.3),
        layers.Dense(3, activation="softmax"),
    ]


def in_steps():
    cnn = keras.Sequential([keras.Input((8, 8, 1)), *convolutional()[:2]])
    parts = [layers.TimeDistributed(cnn), layers.LSTM(4), layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((2, 8, 8, 1)), *parts])


def rematerialized():
    if not hasattr(keras, "RematScope"):
        pytest.skip("Keras has RematScope from 3.9 on")
    with keras.RematScope(mode="activations"):
        return keras.Sequential([keras.Input((8, 8, 1)), *convolutional()])


class Compiled(keras.Sequential):
    @tf.function
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training)


def in_a_function():
    return Compiled([keras.Input((8, 8, 1)), *convolutional()])


def in_float8():
    ends = [layers.Flatten(), layers.Dense(8, activation="tanh"), layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *ends, layers.Softmax()])
    for layer in ends[1:]:
        layer.quantize("float8")
    return model


def of_integers():
    return keras.Sequential([keras.Input((8, 8)), layers.Reshape((8, 8, 1)), *convolutional()])


def drawn(shape, dtype=None):
    """An initializer that draws from Keras' global generator."""
    return keras.random.normal(shape, stddev=0.1, dtype=dtype)


class Seeded(layers.Layer):
    """Draws in `build`: its weights, and the seed of a generator from Python's `random`."""

    def build(self, shape):
        self.seeds = keras.random.SeedGenerator()
        self.scale = self.add_weight(shape=shape[-1:], initializer=drawn)

    def call(self, inputs):
        return inputs * (1 + keras.random.normal((), seed=self.seeds) * self.scale)


class NoiseInTraining(layers.Layer):
    def call(self, inputs, training=False):
        noise = 0.1 * keras.random.normal(ops.shape(inputs)) if training else 0.0
        return inputs + noise


def unbuilt():
    ends = [layers.Dense(4, kernel_initializer=drawn), layers.Dropout(0.3), Seeded()]
    last = layers.Dense(3, activation="softmax", kernel_initializer=drawn)
    return keras.Sequential([layers.Conv2D(2, 3), layers.Flatten(), *ends, last])


class Unbuilt(keras.Model):
    """Keras builds its layers in its first call, one after the other."""

    def __init__(self):
        super().__init__()
        self.noise = NoiseInTraining()
        self.parts = [layers.Conv2D(2, 3), layers.Flatten(), Seeded()]
        self.parts.append(layers.Dense(3, activation="softmax", kernel_initializer=drawn))

    def call(self, inputs, training=False):
        outputs = self.noise(inputs, training=training)
        for part in self.parts:
            outputs = part(outputs)
        return outputs


CASES = {
    "TimeDistributed": (in_steps, np.stack([IMAGES, IMAGES[::-1]], 1), {}, "volume"),
    "RematScope": (rematerialized, IMAGES, {}, "image"),
    "tf.function": (in_a_function, IMAGES, {}, "image"),
    "float8": (in_float8, IMAGES, {}, "image"),
    "gray integers": (of_integers, (255 * IMAGES[..., 0]).astype("uint8"), {}, "image"),
    "unbuilt": (unbuilt, IMAGES, {}, "image"),
    "unbuilt subclass": (Unbuilt, IMAGES, {"jit_compile": False}, "image"),
    "several batches": (rematerialized, IMAGES, {"steps_per_execution": 2}, "image"),
}


def trained(make, inputs, options, kind, callbacks):
    """What a fit leaves behind: all variables and random states, and the losses."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy", **options)
    history = model.fit(inputs, LABELS, batch_size=5, epochs=2, verbose=0, callbacks=callbacks)
    variables = [*model.variables, *model.optimizer.variables]
    return [each.numpy() for each in variables] + next_draws(), history.history["loss"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the norms of gradient in float8")
@pytest.mark.parametrize("case", CASES)
def test_training_is_bit_for_bit_the_same_with_the_callback(case):
    make, inputs, options, kind = CASES[case]
    probes = ks.ProbeSet.from_dataset((inputs, LABELS), per_class=4, kind=kind)
    saliency = ks.SaliencyCallback(
        probes,
        method=["gradient", "grad_cam"][: 1 + (case != "float8")],
        update_freq=2,
        log_dir=None,
        verbose=0,
    )
    values, losses = trained(make, inputs, options, kind, [saliency])
    expected, losses_without = trained(make, inputs, options, kind, [])
    assert losses == losses_without
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, other)
    assert len(saliency.history["step"]) > 3


class Towers(keras.Model):
    """Two towers that Keras builds in its first call, and a loss that sees the shape of outputs."""

    def __init__(self):
        super().__init__()
        self.user, self.film = (
            keras.Sequential([layers.Embedding(9, 4), layers.Dense(3)]) for _ in range(2)
        )

    def call(self, inputs):
        return ops.sum(self.user(inputs["user"]) * self.film(inputs["film"]), axis=-1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.square(ops.cast(y, "float32") - y_pred))


class Columns(Towers):
    """Towers of a column of numbers, beside an input of three columns."""

    def call(self, inputs):
        ages = ops.cast(inputs["age"], "int32")
        products = ops.sum(self.user(ages) * self.film(ages), axis=-1)
        return products * inputs["age"] + inputs["genres"][:, 1]


IDS = RNG.integers(0, 9, (2, 24))


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (Towers, {"user": IDS[0], "film": IDS[1]}),
        (Columns, {"age": IDS[0].astype("float32"), "genres": RNG.random((24, 3), np.float32)}),
    ],
)
def test_inputs_of_one_number_are_given_to_the_model_as_in_the_training(make, inputs):
    """With an axis more, Keras would build the layers so that every batch got one, too."""
    probes = ks.ProbeSet({name: values[:6] for name, values in inputs.items()})
    saliency = ks.SaliencyCallback(probes, log_dir=None, verbose=0)
    values, losses = trained(make, inputs, {}, None, [saliency])
    expected, losses_without = trained(make, inputs, {}, None, [])
    assert losses == losses_without
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, other)
    maps = saliency.report.maps
    assert saliency.report.scores.shape == (6,)
    assert maps.any()
    assert maps.shape == (6, 4 if make is Columns else 1)


class OfKnownSize(keras.Model):
    """Keras cannot build it without the size of the batch."""

    def __init__(self):
        super().__init__()
        self.flatten, self.end = layers.Flatten(), layers.Dense(3, activation="softmax")

    def call(self, inputs):
        if inputs.shape[0] is None:
            raise TypeError("expected a batch of known size")
        return self.end(self.flatten(inputs))


def test_a_model_that_cannot_be_built_from_shapes_is_to_be_called_once():
    probes = ks.ProbeSet(IMAGES[:6], LABELS[:6])
    saliency = ks.SaliencyCallback(probes, log_dir=None, verbose=0)
    model = OfKnownSize()
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(Exception, match="expected a batch of known size") as error:
        model.fit(IMAGES, LABELS, verbose=0, callbacks=[saliency])
    assert "call it on a batch once before fit" in error.value.__notes__[0]
    model(IMAGES[:1])
    assert ks.saliency_maps(model, probes).shape == (6, 8, 8)
