"""Vision: images from images, point clouds, rays, captions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels, pixels
from benchmarks.gallery.reference import largest_logits, logits, mean
from benchmarks.gallery.rows import Case, Row, Try, advised, lines, three
from benchmarks.gallery.vision_places import FIT, datasets, unet


def depth_estimation() -> Case:
    """PyDataset of images and depth maps (height, width, 1); a subclass with its own train_step."""

    class Depth(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.net, _ = unet("tanh", classes=1)

        def call(self, images: Any) -> Any:
            return self.net(images)

        def train_step(self, batch: Any) -> dict[str, Any]:
            images, depths = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(images, training=True) - depths) ** 2)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    model = Depth()
    model.compile("adam")
    names = {"model": model, **datasets(floats(16, 16, 3), floats(16, 16, 1, seed=1))}
    return Case(names, (Try(lines("valid_dataset", "train_dataset")),), mean(model))


def super_resolution() -> Case:
    """Data set of small gray images and large ones as labels; depth_to_space, mse."""
    inputs = keras.Input((None, None, 1))
    hidden = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    hidden = layers.Conv2D(4, 3, padding="same")(hidden)
    model = keras.Model(inputs, layers.Lambda(lambda x: tf.nn.depth_to_space(x, 2))(hidden))
    model.compile("adam", "mse")
    names = {"model": model, **datasets(floats(12, 12, 1), floats(24, 24, 1, seed=1))}
    return Case(names, (Try(lines("valid_dataset", FIT)),), mean(model))


def low_light() -> Case:
    """Data set of images alone, no labels; Zero-DCE with four losses in train_step."""

    class ZeroDCE(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dce_model, _ = unet("tanh")

        def call(self, images: Any) -> Any:
            curves = self.dce_model(images)
            return images + curves * (images**2 - images)

        def train_step(self, images: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(images) - 0.6) ** 2)
            weights = self.dce_model.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = ZeroDCE()
    model.compile("adam")
    names = {"model": model, "train_dataset": batches(floats(16, 16, 3))}
    names |= {"valid_dataset": batches(floats(16, 16, 3))}
    tries = advised("valid_dataset", "train_dataset", "score='mean'")
    return Case(names, tries, mean(model))


def enhancement() -> Case:
    """Data set of dark and bright uint8 images; a residual network, a loss of its own."""
    inputs = keras.Input((None, None, 3))
    values = layers.Rescaling(1 / 255)(inputs)
    hidden = layers.Conv2D(8, 3, padding="same", activation="relu")(values)
    hidden = layers.Add()([values, layers.Conv2D(3, 3, padding="same")(hidden)])
    model = keras.Model(inputs, layers.Rescaling(255.0)(hidden))

    def charbonnier(truth: Any, predicted: Any) -> Any:
        return ops.mean(ops.sqrt((ops.cast(truth, "float32") - predicted) ** 2 + 1e-6))

    model.compile("adam", charbonnier)
    bright = pixels(16, 16, 3)
    names = {"model": model, **datasets(bright // 4, bright)}
    return Case(names, (Try(lines("valid_dataset", FIT)),), mean(model))


def autoencoder() -> Case:
    """Arrays (x, x): noisy images to clean ones; sigmoid outputs, binary cross-entropy."""
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    hidden = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(hidden)
    model = keras.Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    x = floats(16, 16, 1)
    names = {"model": model, "noisy_train_data": x, "train_data": x, "test_data": x}
    names["noisy_test_data"] = x
    fit = "noisy_train_data, train_data"
    return Case(names, (Try(lines("(noisy_test_data, test_data)", fit)),), mean(model))


class TNet(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.matrix = layers.Dense(8, activation="relu"), layers.Dense(9)

    def call(self, points: Any) -> Any:
        matrices = ops.reshape(self.matrix(ops.max(self.dense(points), axis=1)), (-1, 3, 3))
        return ops.matmul(points, matrices)


def pointnet() -> Case:
    """Data set of point clouds (points, 3) with int labels (n, 1); softmax."""
    inputs = keras.Input((32, 3))
    hidden = layers.Conv1D(8, 1, activation="relu")(TNet()(inputs))
    hidden = layers.Dropout(0.3)(layers.GlobalMaxPooling1D()(hidden))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    both = {"train_dataset": batches(floats(32, 3), labels(3)[:, None])}
    both["test_dataset"] = both["train_dataset"]
    fit = "train_dataset, validation_data=test_dataset"
    tries = (Try(lines("test_dataset", fit)),)
    return Case({"model": model, **both}, tries, logits(model), kind="series")


def pointnet_segmentation() -> Case:
    """Point clouds with one-hot labels of every point; softmax at each point."""
    inputs = keras.Input((32, 3))
    hidden = layers.Conv1D(8, 1, activation="relu")(inputs)
    head = layers.Conv1D(3, 1, activation="softmax")
    model = keras.Model(inputs, head(hidden))
    model.compile("adam", "categorical_crossentropy")
    parts = np.eye(3, dtype="float32")[np.random.default_rng(0).integers(0, 3, (COUNT, 32))]
    names = {"model": model, **datasets(floats(32, 3), parts)}
    return Case(names, (Try(lines("valid_dataset", FIT)),), largest_logits(model, head), "series")


def nerf() -> Case:
    """(images, (rays, t values)): train_step renders; no call. The field maps points to colours."""

    class NeRF(keras.Model):
        def __init__(self, nerf_model: Any) -> None:
            super().__init__()
            self.nerf_model = nerf_model

        def train_step(self, inputs: Any) -> dict[str, Any]:
            images, (rays, _) = inputs
            with tf.GradientTape() as tape:
                colours = tf.reduce_mean(self.nerf_model(rays), axis=1)
                loss = tf.reduce_mean((colours - tf.reduce_mean(images, axis=[1, 2])) ** 2)
            weights = self.nerf_model.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    field = keras.Sequential([keras.Input((20, 9)), layers.Dense(8, "relu"), layers.Dense(3)])
    model = NeRF(field)
    model.compile("adam")
    rays = floats(20, 9)
    names = {"model": model, **datasets(floats(8, 8, 3), (rays, rays[..., 0])), "rays": rays}
    fit = "train_dataset"
    made = "ks.ProbeSet(rays)"
    part = "score=ks.Score('mean', model=model.nerf_model)"
    tries = (
        *advised("valid_dataset", fit, part),
        Try(three(made, fit, part), ("expected shape ('num_probes', 20, 9)",)),
    )
    return Case(names, tries, mean(field), kind="series", refused=True)


def image_captioning() -> Case:
    """Data set (image, captions (5, length)); a CNN and a transformer, own train_step."""

    class Captioning(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            inputs = keras.Input((16, 16, 3))
            hidden = layers.Conv2D(8, 4, strides=4, activation="relu")(inputs)
            self.cnn_model = keras.Model(inputs, layers.Reshape((-1, 8))(hidden))
            self.words = layers.Embedding(12, 8)
            self.attention, self.out = layers.MultiHeadAttention(2, 4), layers.Dense(12)

        def call(self, inputs: Any) -> Any:
            images, captions = inputs
            words = self.words(captions)
            return self.out(self.attention(words, self.cnn_model(images)))

        def train_step(self, batch: Any) -> dict[str, Any]:
            images, captions = batch
            with tf.GradientTape() as tape:
                predicted = self((images, captions[:, 0, :-1]))
                losses = tf.keras.losses.sparse_categorical_crossentropy(
                    captions[:, 0, 1:], predicted, from_logits=True
                )
                loss = tf.reduce_mean(losses)
            weights = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = Captioning()
    model.compile("adam")
    captions = np.random.default_rng(0).integers(1, 12, (COUNT, 5, 7))
    model((floats(16, 16, 3), captions[:, 0, :-1]))
    names = {"model": model, **datasets(floats(16, 16, 3), captions), "captions": captions}
    both = "ks.ProbeSet({0: valid_images, 1: captions[:, 0, :-1]})"
    tries = (
        Try(lines("valid_dataset", "train_dataset")),
        Try(three(both, "train_dataset"), ("ProbeSet({0: ..., 1: ...}",)),
    )
    return Case(names, tries, largest_logits(model), embedding=model.words, kinds={1: "tokens"})


ROWS = [
    Row("vision/depth_estimation", depth_estimation),
    Row("vision/super_resolution_sub_pixel", super_resolution),
    Row("vision/zero_dce", low_light),
    Row("vision/mirnet", enhancement),
    Row("vision/autoencoder", autoencoder),
    Row("vision/pointnet", pointnet),
    Row("vision/pointnet_segmentation", pointnet_segmentation),
    Row("vision/nerf", nerf),
    Row("vision/image_captioning", image_captioning),
]
