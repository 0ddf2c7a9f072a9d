"""Keras recipes and guides: ways to write a model, to give data, and to train."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, ids, labels, one_hot
from benchmarks.gallery.reference import logits, output
from benchmarks.gallery.rows import Case, Row, Try, lines, three

GIVEN, FIT = "(x_test, y_test)", "x_train, y_train"
FIRST = Try(lines(GIVEN, FIT))
FEATURES = Try(lines(GIVEN, FIT, "kind='features'"), ("'features'",))


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
    made = "ks.ProbeSet(x_test, kind='features')"
    last = Try(three(made, FIT, "score='output'"), ("score='output'", "ProbeSet("))
    return Case(names, (FIRST, FEATURES, last), output(model), kind="features")


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
        (FIRST, FEATURES),
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
    name = "input_name='inputs', held={'targets': data['targets']}"
    made = f"ks.ProbeSet(data['inputs'], kind='features', {name})"
    tries = (
        Try(lines("data", "data")),
        Try(lines("data", "data", "kind='features'"), ("'features'",)),
        Try(three(made, "data"), ("held=",)),
    )
    score = logits(lambda x, training: keras.Model(inputs, values)(x["inputs"]))
    return Case(names, tries, score, kind="features")


def tickets() -> Case:
    """Dict of two id sequences and a float row; two outputs by name, dict of labels."""
    title = keras.Input((6,), dtype="int32", name="title")
    body = keras.Input((8,), dtype="int32", name="body")
    tags = keras.Input((4,), name="tags")
    embed = layers.Embedding(20, 8)
    embed_body = layers.Embedding(20, 8)
    hidden = [layers.LSTM(4)(embed(title)), layers.LSTM(4)(embed_body(body)), tags]
    merged = layers.Concatenate()(hidden)
    priority = layers.Dense(1, name="priority")
    department = layers.Dense(4, name="department")
    model = keras.Model(
        [title, body, tags],
        {"priority": priority(merged), "department": department(merged)},
    )
    model.compile(
        "rmsprop",
        {
            "priority": keras.losses.BinaryCrossentropy(from_logits=True),
            "department": keras.losses.CategoricalCrossentropy(from_logits=True),
        },
    )
    x = {"title": ids(6).astype("int32"), "body": ids(8).astype("int32"), "tags": floats(4)}
    y = {"priority": labels().astype("float32")[:, None], "department": one_hot(4)}
    names = {"model": model, "x": x, "y": y}
    one, name = "(x, y['department'])", "input_name='title'"
    tries = (
        Try(lines("(x, y)", "x, y")),
        Try(lines(one, "x, y"), ("Select one",)),
        Try(lines(one, "x, y", name), ("input_name=",)),
        Try(lines(one, "x, y", f"{name}, kind='tokens'"), ("'tokens'",)),
        Try(
            lines(one, "x, y", f"{name}, kind='tokens'", "score=ks.Score(output='department')"),
            ("output=",),
        ),
    )
    score = logits(model, None, lambda out: out["department"])
    embeddings = {"title": embed, "body": embed_body}
    return Case(names, tries, score, "tokens", embeddings, kinds={"tags": "features"})


def tickets_given_as_probes() -> Case:
    """The same model, begun with ProbeSet({name: input}, labels), as docs/models.md has it."""
    case = tickets()
    made = "ks.ProbeSet(x, y['department'])"
    tries = (
        Try(three(made, "x, y")),
        Try(three(made, "x, y", "score=ks.Score(output='department')"), ("output=",)),
    )
    return Case(
        case.names, tries, case.score, case.kind, embedding=case.embedding, kinds=case.kinds
    )


def image_and_number() -> Case:
    """Dict of an image and a float column (n, 1), int labels; merged by Concatenate, softmax."""
    image, age = keras.Input((16, 16, 3), name="image"), keras.Input((1,), name="age")
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
    merged = layers.Concatenate()([hidden, age])
    model = keras.Model([image, age], layers.Dense(3, activation="softmax")(merged))
    model.compile("adam", "sparse_categorical_crossentropy")
    dataset = batches({"image": floats(16, 16, 3), "age": floats(1)}, labels(3))
    names = {"model": model, "train_ds": dataset, "val_ds": dataset}
    tries = (
        Try(lines("val_ds", "train_ds")),
        Try(lines("val_ds", "train_ds", "input_name='image'"), ("input_name=",)),
    )
    return Case(names, tries, logits(model), kinds={"age": "features", "table": "features"})


def two_outputs() -> Case:
    """Data set of (image, (class, number)); a softmax and a regression, two losses."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(inputs))
    head = layers.Dense(3, activation="softmax", name="class_output")
    model = keras.Model(inputs, [layers.Dense(1, name="score_output")(hidden), head(hidden)])
    model.compile("rmsprop", ["mse", "sparse_categorical_crossentropy"])
    dataset = tf.data.Dataset.from_tensor_slices(
        (floats(16, 16, 3), (floats(1, seed=1), labels(3)))
    ).batch(8)
    names = {"model": model, "train_ds": dataset, "val_ds": dataset}
    select = "val_ds.map(lambda x, y: (x, y[1]))"
    tries = (
        Try(lines("val_ds", "train_ds")),
        Try(lines(select, "train_ds"), ("dataset.map",)),
        Try(lines(select, "train_ds", "", "score=ks.Score(output='class_output')"), ("output=",)),
    )
    return Case(names, tries, logits(model, head, lambda out: out[1]))


def dict_labels() -> Case:
    """Data set of (image, {"digit": label, "parity": label}); two softmax outputs by name."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs))
    heads = {
        n: layers.Dense(c, activation="softmax", name=n) for n, c in (("digit", 4), ("parity", 2))
    }
    model = keras.Model(inputs, {name: head(hidden) for name, head in heads.items()})
    model.compile("adam", dict.fromkeys(heads, "sparse_categorical_crossentropy"))
    dataset = batches(floats(16, 16, 3), {"digit": labels(4), "parity": labels()})
    names = {"model": model, "train_ds": dataset, "val_ds": dataset}
    select = "val_ds.map(lambda x, y: (x, y['digit']))"
    tries = (
        Try(lines("val_ds", "train_ds")),
        Try(lines(select, "train_ds"), ("dataset.map",)),
        Try(lines(select, "train_ds", "", "score=ks.Score(output='digit')"), ("output=",)),
    )
    return Case(names, tries, logits(model, heads["digit"], lambda out: out["digit"]))


def masked_series() -> Case:
    """Padded series (steps, channels), zeros masked by a Masking layer; GRU, one-hot softmax."""
    model = keras.Sequential(
        [
            keras.Input((8, 4)),
            layers.Masking(),
            layers.GRU(4),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    x = floats(8, 4)
    x[:, 6:] = 0
    names = {"model": model, **arrays(x, one_hot(3))}
    more = Try(lines(GIVEN, FIT, "kind='series'"), ("'series'",))
    return Case(names, (FIRST, more), logits(model), kind="series")


def generator_of_images() -> Case:
    """A generator function and from_generator with an unknown length; images, int labels."""
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy")

    def generate() -> Any:
        for start in range(0, COUNT, 8):
            yield floats(16, 16, 3)[start : start + 8], labels(3)[start : start + 8]

    signature = (tf.TensorSpec((None, 16, 16, 3)), tf.TensorSpec((None,), tf.int64))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    names = {"model": model, "train_ds": dataset, "val_ds": dataset}
    return Case(names, (Try(lines("val_ds", "train_ds, validation_data=val_ds")),), logits(model))


def image_pydataset() -> Case:
    """A PyDataset of (images, one-hot, sample weights) with workers; softmax."""
    model = small()
    model.compile("adam", "categorical_crossentropy")

    class Images(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            rows = slice(index * 8, index * 8 + 8)
            return floats(16, 16, 3)[rows], one_hot(3)[rows], np.ones(8, "float32")

    names = {"model": model, "train": Images(), "val": Images()}
    return Case(names, (Try(lines("val", "train, validation_data=val")),), logits(model))


def sample_weights() -> Case:
    """Data set of (images, int labels, weights); softmax."""
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    weights = np.linspace(0.5, 2, COUNT, dtype="float32")
    dataset = batches(floats(16, 16, 3), labels(3), weights)
    names = {"model": model, "train_ds": dataset, "val_ds": dataset}
    return Case(names, (Try(lines("val_ds", "train_ds, validation_data=val_ds")),), logits(model))


def dict_elements() -> Case:
    """Elements {"image", "label"} as tfds gives them, mapped to tuples for fit; softmax."""
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy")
    raw = batches({"image": floats(16, 16, 3), "label": labels(3)})
    names = {"model": model, "val_data": raw}
    names["train_ds"] = raw.map(lambda element: (element["image"], element["label"]))
    return Case(names, (Try(lines("val_data", "train_ds")),), logits(model))


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
        (FIRST, FEATURES),
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
        (FIRST, FEATURES),
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
        mean, deviation = parameters[:, :1], ops.softplus(parameters[:, 1:]) + 1e-3
        return ops.mean(ops.log(deviation) + ((y - mean) / deviation) ** 2 / 2)

    model.compile("rmsprop", negative_loglikelihood)
    columns = {"acid": floats(1), "sugar": floats(1, seed=1)}
    dataset = batches(columns, floats(seed=2)[:, None] * 10)
    names = {"model": model, "train_dataset": dataset, "test_dataset": dataset, **columns}
    fit = "train_dataset, validation_data=test_dataset"
    name = "input_name='acid', kind='features'"
    made = f"ks.ProbeSet(acid, [0] * len(acid), {name}, held={{'sugar': sugar}})"
    tries = (
        Try(lines("test_dataset", fit)),
        Try(lines("test_dataset", fit, "input_name='acid'"), ("input_name=",)),
        Try(lines("test_dataset", fit, name), ("'features'",)),
        Try(three(made, fit, "score='output'"), ("score='output'", "ProbeSet(", "held=")),
    )
    return Case(names, tries, output(model), kind="features")


def ensemble() -> Case:
    """The mean of two classifiers' softmaxes as one model: there is no logit."""
    inputs = keras.Input((16, 16, 3))
    members = [small(), small()]
    model = keras.Model(inputs, layers.Average()([member(inputs) for member in members]))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(floats(16, 16, 3), labels(3))}
    more = Try(lines(GIVEN, FIT, "", "score='probability'"), ("score='probability'",))

    def score(images: Any, targets: Any) -> Any:
        return tf.gather(model(images), targets, axis=1, batch_dims=1)

    return Case(names, (FIRST, more), score)


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
    Row("guides/functional_api", tickets),
    Row("guides/functional_api", tickets_given_as_probes),
    Row("guides/functional_api", image_and_number),
    Row("guides/training_with_built_in_methods", two_outputs),
    Row("guides/training_with_built_in_methods", dict_labels),
    Row("guides/understanding_masking_and_padding", masked_series),
    Row("keras_recipes/creating_tfrecords", generator_of_images),
    Row("api/utils/python_utils", image_pydataset),
    Row("guides/training_with_built_in_methods", sample_weights),
    Row("keras_recipes/tfrecord", dict_elements),
    Row("keras_recipes/antirectifier", antirectifier),
    Row("keras_recipes/quasi_svm", quasi_svm),
    Row("keras_recipes/bayesian_neural_networks", bayesian_regression),
    Row("guides/functional_api", ensemble),
    Row("guides/mixed_precision", mixed_precision),
    Row("guides/writing_your_own_callbacks", two_callbacks),
    Row("keras_recipes/debugging_tips", resumed),
    Row("keras_tuner/getting_started", hyperparameters),
]
