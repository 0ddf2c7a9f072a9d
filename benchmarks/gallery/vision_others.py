"""Vision: volumes, videos, several networks in one model, a trained model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels, one_hot
from benchmarks.gallery.reference import logits, mean
from benchmarks.gallery.rows import Case, Row, Try, lines

FIT = "train_ds, validation_data=val_ds"
FIRST = Try(lines("val_ds", FIT))
ONLY_TRAIN = Try(lines("val_ds", "train_ds"))


def datasets(*elements: Any) -> dict[str, Any]:
    return {"train_ds": batches(*elements), "val_ds": batches(*elements)}


def encoder(width: int = 8, shape: tuple[int, ...] = (16, 16, 3)) -> keras.Model:
    inputs = keras.Input(shape)
    hidden = layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(width)(layers.GlobalAveragePooling2D()(hidden)))


def ct_scan() -> Case:
    """Volumes (width, height, depth, 1) with float labels (n,); Conv3D, sigmoid."""
    inputs = keras.Input((8, 8, 8, 1))
    hidden = layers.MaxPool3D(2)(layers.Conv3D(4, 3, activation="relu")(inputs))
    hidden = layers.GlobalAveragePooling3D()(layers.BatchNormalization()(hidden))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy", metrics=["acc"])
    names = {"model": model, **datasets(floats(8, 8, 8, 1), labels().astype("float32"))}
    return Case(names, (FIRST,), logits(model), kind="volume")


def video_features() -> Case:
    """([features of frames, bool mask], labels) as arrays; GRU with a mask, softmax."""
    frames, mask = keras.Input((6, 10)), keras.Input((6,), dtype="bool")
    hidden = layers.GRU(8)(frames, mask=mask)
    model = keras.Model([frames, mask], layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    lengths = np.arange(6)[None] < (3 + np.arange(COUNT) % 4)[:, None]
    data = (floats(6, 10), lengths)
    names = {"model": model, "train_data": data, "train_labels": labels(3)[:, None]}
    names |= {"test_data": data, "test_labels": labels(3)[:, None]}
    fit, given = "[train_data[0], train_data[1]], train_labels", "(test_data, test_labels)"
    return Case(names, (Try(lines(given, fit)),), logits(model), kind="series")


def video_transformer() -> Case:
    """Arrays of frame features (frames, width) with labels (n, 1); a transformer, softmax."""
    inputs = keras.Input((6, 10))
    hidden = inputs + layers.MultiHeadAttention(2, 4)(inputs, inputs)
    hidden = layers.GlobalMaxPooling1D()(layers.LayerNormalization()(hidden))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, "train_data": floats(6, 10), "train_labels": labels(3)[:, None]}
    names |= {"test_data": floats(6, 10), "test_labels": labels(3)[:, None]}
    fit, given = "train_data, train_labels", "(test_data, test_labels)"
    return Case(names, (Try(lines(given, fit)),), logits(model), kind="series")


def vivit() -> Case:
    """Videos (frames, height, width, 1) with int labels (n, 1); Conv3D tubelets, softmax."""
    inputs = keras.Input((8, 8, 8, 1))
    tokens = layers.Reshape((-1, 8))(layers.Conv3D(8, 4, strides=4)(inputs))
    tokens = tokens + layers.MultiHeadAttention(2, 4)(tokens, tokens)
    hidden = layers.GlobalAvgPool1D()(layers.LayerNormalization()(tokens))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(floats(8, 8, 8, 1), labels(3)[:, None])}
    return Case(names, (FIRST,), logits(model), kind="volume")


def next_frame() -> Case:
    """Arrays (x, y) of videos, y a frame later; ConvLSTM, sigmoid pixels."""
    inputs = keras.Input((4, 8, 8, 1))
    hidden = layers.ConvLSTM2D(4, 3, padding="same", return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Conv3D(1, 3, padding="same", activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    video = floats(5, 8, 8, 1)
    names = {"model": model, "x_train": video[:, :-1], "y_train": video[:, 1:]}
    names |= {"x_val": video[:, :-1], "y_val": video[:, 1:]}
    fit = "x_train, y_train"
    return Case(names, (Try(lines("(x_val, y_val)", fit)),), mean(model), kind="volume")


class Distiller(keras.Model):
    """A student and a teacher; `call` is the student's, `compute_loss` has both."""

    def __init__(self, student: keras.Model, teacher: keras.Model) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        taught = keras.losses.categorical_crossentropy(
            ops.softmax(self.teacher(x, training=False) / 3), ops.softmax(y_pred / 3)
        )
        hard = keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
        return ops.mean(hard) + ops.mean(taught)

    def call(self, images: Any) -> Any:
        return self.student(images)


def knowledge_distillation() -> Case:
    """Arrays; student and teacher in one model, own compute_loss, logits."""
    model = Distiller(encoder(3), encoder(3))
    model.compile("adam")
    names = {"model": model, "x_train": floats(16, 16, 3), "y_train": labels(3)}
    names |= {"x_test": floats(16, 16, 3), "y_test": labels(3)}
    first = Try(lines("(x_test, y_test)", "x_train, y_train"))
    return Case(names, (first,), logits(model.student))


def adamatch() -> Case:
    """Zipped data sets of a source and a target domain; own train_step."""

    class AdaMatch(keras.Model):
        def __init__(self, model: keras.Model) -> None:
            super().__init__()
            self.model = model

        def call(self, images: Any) -> Any:
            return self.model(images)

        def train_step(self, data: Any) -> dict[str, Any]:
            (weak, classes), (target, _) = data
            with tf.GradientTape() as tape:
                values = self.model(tf.concat([weak, target], 0))[: tf.shape(weak)[0]]
                loss = tf.reduce_mean(
                    tf.keras.losses.sparse_categorical_crossentropy(classes, values, True)
                )
            weights = self.model.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = AdaMatch(encoder(3))
    model.compile("adam")
    source = batches(floats(16, 16, 3), labels(3))
    target = batches(floats(16, 16, 3, seed=1), labels(3))
    names = {"model": model, "target_test_ds": target}
    names["final_source_ds"] = tf.data.Dataset.zip((source, target))
    first = Try(lines("target_test_ds", "final_source_ds"))
    return Case(names, (first,), logits(model.model))


def deit() -> Case:
    """One-hot data set; a subclass with two heads in training and their mean at inference."""

    class DeiT(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head, self.dist_head = encoder(), layers.Dense(3), layers.Dense(3)

        def call(self, images: Any, training: bool = False) -> Any:
            hidden = self.encoder(images)
            both = self.head(hidden), self.dist_head(hidden)
            return both if training else (both[0] + both[1]) / 2

        def train_step(self, data: Any) -> dict[str, Any]:
            images, classes = data
            with tf.GradientTape() as tape:
                losses = [
                    tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(classes, one))
                    for one in self(images, training=True)
                ]
                loss = tf.add_n(losses)
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = DeiT()
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3), one_hot(3))}
    return Case(names, (ONLY_TRAIN,), logits(model))


def grad_cam_of_a_trained_model() -> Case:
    """A trained model and one image (1, height, width, 3): no fit at all."""
    inputs = keras.Input((32, 32, 3))
    hidden = layers.SeparableConv2D(8, 3, strides=2, activation="relu")(inputs)
    hidden = layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    names = {"model": model, "img_array": floats(32, 32, 3)[:1]}
    text = (
        "probes = ks.ProbeSet(img_array)\n"
        "monitor = ks.SaliencyMonitor(model, probes)\n"
        "report = monitor.evaluate(step=0)\n"
        "sink = ks.TensorBoardSink(log_dir, probes)\n"
        "sink.write(report)\n"
        "sink.close()"
    )
    return Case(names, (Try(text),), logits(model))


ROWS = [
    Row("vision/3D_image_classification", ct_scan),
    Row("vision/video_classification", video_features),
    Row("vision/video_transformers", video_transformer),
    Row("vision/vivit", vivit),
    Row("vision/conv_lstm", next_frame),
    Row("vision/knowledge_distillation", knowledge_distillation),
    Row("vision/adamatch", adamatch),
    Row("vision/deit", deit),
    Row("vision/grad_cam", grad_cam_of_a_trained_model),
]
