"""Keras recipes and guides: ways to write a model, and to train."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import batches, floats, labels, one_hot
from benchmarks.gallery.reference import log_probability, logits, mean, output
from benchmarks.gallery.rows import Case, Row, Try, lines

GIVEN, FIT = "(x_test, y_test)", "x_train, y_train"
FIRST = Try(lines(GIVEN, FIT))


def arrays(x: Any, y: Any) -> dict[str, Any]:
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}


def small(head: Any = None) -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(inputs))
    return keras.Model(inputs, (head or layers.Dense(3, activation="softmax"))(hidden))


def own_train_step() -> Case:
    """A functional subclass with its own train_step and metrics, regression of a table, mse."""

    class CustomModel(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    inputs = keras.Input((32,))
    model = CustomModel(inputs, layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    names = {"model": model, **arrays(floats(32), floats(1, seed=1))}
    return Case(names, (FIRST,), output(model), kind="features")


class MLP(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [layers.Dense(8, activation="relu"), layers.Dense(8, activation="relu")]
        self.drop, self.head = layers.Dropout(0.2), layers.Dense(3)

    def call(self, inputs: Any, training: bool = False) -> Any:
        for one in self.blocks:
            inputs = one(inputs)
        return self.head(self.drop(inputs, training=training))


def subclassed() -> Case:
    """A subclass, not built before fit, of float rows with int labels; logits."""
    model = MLP()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Case(
        {"model": model, **arrays(floats(12), labels(3))},
        (FIRST,),
        logits(model),
        "features",
    )


def endpoint_layer() -> Case:
    """Dict of inputs and targets, no y: a last layer that adds the loss and gives predictions."""

    class LogisticEndpoint(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

        def call(self, targets: Any, values: Any) -> Any:
            self.add_loss(self.loss_fn(targets, values))
            return ops.sigmoid(values)

    inputs, targets = keras.Input((3,), name="inputs"), keras.Input((1,), name="targets")
    values = layers.Dense(1)(inputs)
    model = keras.Model([inputs, targets], LogisticEndpoint()(targets, values))
    model.compile("adam")
    data = {"inputs": floats(3), "targets": labels().astype("float32")[:, None]}
    names = {"model": model, "data": data}
    tries = (Try(lines("data", "data")), Try(lines("(data,)", "data"), ("from_dataset((data,))",)))
    score = logits(lambda x, training: keras.Model(inputs, values)(x["inputs"]))
    return Case(names, tries, score, kind="features")


class Antirectifier(layers.Layer):
    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(2 * shape[-1], 8))

    def call(self, values: Any) -> Any:
        values = values - ops.mean(values, axis=-1, keepdims=True)
        both = ops.concatenate([ops.relu(values), ops.relu(-values)], axis=-1)
        return ops.matmul(both / (ops.norm(both, axis=-1, keepdims=True) + 1e-6), self.kernel)


def antirectifier() -> Case:
    """Flat rows (n, 784) of digits with int labels; an own activation layer, logits."""
    model = keras.Sequential([keras.Input((64,)), Antirectifier(), layers.Dense(3)])
    model.compile("rmsprop", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Case(
        {"model": model, **arrays(floats(64), labels(3))},
        (FIRST,),
        logits(model),
        "features",
    )


def quasi_svm() -> Case:
    """Flat rows, one-hot labels; random Fourier features, categorical hinge, linear units."""
    scale = layers.Dense(16, activation=ops.cos, trainable=False)
    model = keras.Sequential([keras.Input((64,)), scale, layers.Dense(3)])
    model.compile("adam", keras.losses.CategoricalHinge())
    return Case(
        {"model": model, **arrays(floats(64), one_hot(3))},
        (FIRST,),
        logits(model),
        "features",
    )


def bayesian_regression() -> Case:
    """Dict of columns, float quality; noise layers, two outputs as a distribution, own loss."""
    inputs = {name: keras.Input((1,), name=name) for name in ("acid", "sugar")}
    hidden = layers.BatchNormalization()(layers.Concatenate()([*inputs.values()]))
    hidden = layers.GaussianDropout(0.1)(layers.Dense(8, activation="sigmoid")(hidden))
    model = keras.Model(inputs, layers.Dense(2)(hidden))

    def negative_loglikelihood(y: Any, parameters: Any) -> Any:
        center, deviation = parameters[:, :1], ops.softplus(parameters[:, 1:]) + 1e-3
        return ops.mean(ops.log(deviation) + ((y - center) / deviation) ** 2 / 2)

    model.compile("rmsprop", negative_loglikelihood)
    columns = {"acid": floats(1), "sugar": floats(1, seed=1)}
    dataset = batches(columns, floats(seed=2)[:, None] * 10)
    names = {"model": model, "train_dataset": dataset, "test_dataset": dataset, **columns}
    fit = "train_dataset, validation_data=test_dataset"
    tries = (Try(lines("test_dataset", fit)),)
    return Case(names, tries, mean(model), kind="features")


def ensemble() -> Case:
    """The mean of the softmax outputs of two classifiers as one model, which has no logit."""
    inputs = keras.Input((16, 16, 3))
    members = [small(), small()]
    model = keras.Model(inputs, layers.Average()([member(inputs) for member in members]))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(floats(16, 16, 3), labels(3))}
    return Case(names, (Try(lines(GIVEN, FIT)),), log_probability(model))


def mixed_precision() -> Case:
    """A model under mixed_bfloat16 with a float32 softmax; arrays, int labels."""
    policy = keras.mixed_precision.DTypePolicy("mixed_bfloat16")
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Conv2D(8, 3, activation="relu", dtype=policy)(inputs)
    hidden = layers.GlobalAveragePooling2D(dtype=policy)(hidden)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", dtype="float32")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(floats(16, 16, 3), labels(3))}
    return Case(names, (FIRST,), logits(model), tolerance=1e-2)


def resumed() -> Case:
    """Fit twice with one callback, the second from initial_epoch, as after a checkpoint."""
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(floats(16, 16, 3), labels(3))}
    again = "\nmodel.fit(x_train, y_train, initial_epoch=1, epochs=2, callbacks=[saliency])"
    return Case(names, (Try(FIRST.lines + again),), logits(model))


def two_callbacks() -> Case:
    """The callback beside TensorBoard, EarlyStopping and a checkpoint; several epochs."""
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    names = {"model": model, **arrays(floats(16, 16, 3), labels(3))}
    text = (
        "probes = ks.ProbeSet.from_dataset((x_test, y_test))\n"
        "saliency = ks.SaliencyCallback(probes, log_dir=log_dir)\n"
        "stop = keras.callbacks.EarlyStopping(monitor='loss', patience=2)\n"
        "board = keras.callbacks.TensorBoard(log_dir)\n"
        "model.fit(x_train, y_train, epochs=3, callbacks=[board, saliency, stop])"
    )
    return Case(names, (Try(text),), logits(model))


def hyperparameters() -> Case:
    """A function builds the model for each trial; a new callback for each, one log directory."""

    def build_model(units: int) -> keras.Model:
        model = keras.Sequential(
            [keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(units), layers.Dense(3)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        return model

    model = build_model(8)
    names = {"model": model, "build_model": build_model, **arrays(floats(16, 16, 1), labels(3))}
    text = (
        "probes = ks.ProbeSet.from_dataset((x_test, y_test))\n"
        "for units in (4, 8):\n"
        "    model.set_weights(build_model(8).get_weights())\n"
        "    saliency = ks.SaliencyCallback(probes, log_dir=f'{log_dir}/{units}')\n"
        "    model.fit(x_train, y_train, callbacks=[saliency])"
    )
    return Case(names, (Try(text),), logits(model))


ROWS = [
    Row("keras_recipes/trainer_pattern", own_train_step),
    Row("guides/making_new_layers_and_models_via_subclassing", subclassed),
    Row("keras_recipes/endpoint_layer_pattern", endpoint_layer),
    Row("keras_recipes/antirectifier", antirectifier),
    Row("keras_recipes/quasi_svm", quasi_svm),
    Row("keras_recipes/bayesian_neural_networks", bayesian_regression),
    Row("guides/functional_api", ensemble),
    Row("guides/mixed_precision", mixed_precision),
    Row("guides/writing_your_own_callbacks", two_callbacks),
    Row("keras_recipes/debugging_tips", resumed),
    Row("keras_tuner/getting_started", hyperparameters),
]
