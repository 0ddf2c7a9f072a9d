"""Keras recipes and guides: ways to give data, several inputs and outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.gallery.data import COUNT, batches, floats, ids, labels, one_hot
from benchmarks.gallery.recipes import FIRST, arrays, small
from benchmarks.gallery.reference import logits, output
from benchmarks.gallery.rows import Case, Row, Try, lines, three


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
    tries = (Try(lines("(x, y)", "x, y")),)
    score = logits(model, None, lambda out: out["priority"])
    embeddings = {"title": embed, "body": embed_body}
    return Case(names, tries, score, "tokens", embeddings, kinds={"tags": "features"})


def tickets_given_as_probes() -> Case:
    """The same model, begun with ProbeSet({name: input}, labels), as docs/models.md has it."""
    case = tickets()
    made, one = "ks.ProbeSet(x, y['priority'])", "score=ks.Score(output='priority')"
    tries = (Try(three(made, "x, y")), Try(three(made, "x, y", one), (one,)))
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
    tries = (Try(lines("val_ds", "train_ds")),)
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
    tries = (Try(lines("val_ds", "train_ds")),)
    return Case(names, tries, output(model, lambda out: out[0]))


def labels_in_a_list() -> Case:
    """Arrays of images and a list of two arrays of labels, of one shape; two softmax outputs."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs))
    heads = [layers.Dense(3, activation="softmax") for _ in range(2)]
    model = keras.Model(inputs, [head(hidden) for head in heads])
    model.compile("adam", ["sparse_categorical_crossentropy"] * 2)
    names = {"model": model, "x": floats(16, 16, 3), "y1": labels(3), "y2": labels(3)[::-1]}
    tries = (Try(lines("(x, [y1, y2])", "x, [y1, y2]")),)
    return Case(names, tries, logits(model, heads[0], lambda out: out[0]))


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
    tries = (Try(lines("val_ds", "train_ds")),)
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
    return Case(names, (FIRST,), logits(model), kind="series")


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


ROWS = [
    Row("guides/functional_api", tickets),
    Row("guides/functional_api", tickets_given_as_probes),
    Row("guides/functional_api", image_and_number),
    Row("guides/training_with_built_in_methods", two_outputs),
    Row("guides/training_with_built_in_methods", dict_labels),
    Row("guides/training_with_built_in_methods", labels_in_a_list),
    Row("guides/understanding_masking_and_padding", masked_series),
    Row("keras_recipes/creating_tfrecords", generator_of_images),
    Row("api/utils/python_utils", image_pydataset),
    Row("guides/training_with_built_in_methods", sample_weights),
    Row("keras_recipes/tfrecord", dict_elements),
]
