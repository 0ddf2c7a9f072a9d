"""Generative: autoencoders, densities, the next character."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import floats, labels, one_hot
from benchmarks.gallery.generative import generator, update
from benchmarks.gallery.reference import logits, mean
from benchmarks.gallery.rows import Case, Row, Try, lines


class Sampling(layers.Layer):
    def call(self, inputs: Any) -> Any:
        mean, variance = inputs
        return mean + ops.exp(0.5 * variance) * keras.random.normal(ops.shape(mean), seed=0)


class VAE(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        inputs = keras.Input((16, 16, 1))
        hidden = layers.Flatten()(layers.Conv2D(8, 3, strides=2, activation="relu")(inputs))
        mean, variance = layers.Dense(2, name="z_mean")(hidden), layers.Dense(2)(hidden)
        self.encoder = keras.Model(inputs, [mean, variance, Sampling()([mean, variance])])
        self.decoder = generator(width=2)

    def train_step(self, data: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            mean, variance, sample = self.encoder(data)
            loss = tf.reduce_mean((self.decoder(sample) - data) ** 2) - tf.reduce_mean(
                1 + variance - mean**2 - tf.exp(variance)
            )
        update(self, tape, loss, self.trainable_weights)
        return {"loss": loss}


def vae() -> Case:
    """Array of images alone; encoder (mean, variance, sample) and decoder, no call."""
    model = VAE()
    model.compile("adam")
    names = {"model": model, "mnist_digits": floats(16, 16, 1)}
    tries = (Try(lines("mnist_digits", "mnist_digits")),)
    score = logits(model.encoder, None, lambda out: out[0])
    return Case(names, tries, score)


class VectorQuantizer(layers.Layer):
    def build(self, shape: Any) -> None:
        self.codes = self.add_weight(shape=(4, 8), initializer="random_uniform")

    def call(self, values: Any) -> Any:
        distances = ops.sum((values[..., None, :] - self.codes) ** 2, axis=-1)
        nearest = ops.take(self.codes, ops.argmin(distances, axis=-1), axis=0)
        self.add_loss(ops.mean((ops.stop_gradient(nearest) - values) ** 2))
        return values + ops.stop_gradient(nearest - values)


def vq_vae() -> Case:
    """Array of images alone, own train_step; straight-through codes; the model has a call."""
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    hidden = layers.Conv2DTranspose(1, 3, strides=2, padding="same")(VectorQuantizer()(hidden))

    class VQVAETrainer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.vqvae = keras.Model(inputs, hidden)

        def call(self, images: Any) -> Any:
            return self.vqvae(images)

        def train_step(self, images: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.vqvae(images) - images) ** 2) + sum(self.vqvae.losses)
            update(self, tape, loss, self.vqvae.trainable_variables)
            return {"loss": loss}

    model = VQVAETrainer()
    model.compile("adam")
    names = {"model": model, "x_train_scaled": floats(16, 16, 1)}
    return Case(names, (Try(lines("x_train_scaled", "x_train_scaled")),), mean(model))


def pixel_cnn() -> Case:
    """Arrays (x, x) of binary images; masked convolutions, a sigmoid for every pixel."""
    inputs = keras.Input((12, 12, 1))
    hidden = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    hidden = hidden + layers.Conv2D(8, 1, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, "data": (floats(12, 12, 1) < 0.33).astype("float32")}
    fit = "data, data"
    return Case(names, (Try(lines("(data, data)", fit)),), mean(model))


def real_nvp() -> Case:
    """Array of points (n, 2) alone; coupling layers, call returns (z, log det), own train_step."""

    class RealNVP(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.scale = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(2, "tanh")])

        def call(self, x: Any) -> Any:
            mask = np_mask()
            scale = self.scale(x * mask) * (1 - mask)
            return x * ops.exp(scale), ops.sum(scale, axis=1)

        def train_step(self, data: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                z, determinant = self(data)
                loss = tf.reduce_mean(tf.reduce_sum(z**2, axis=1) - determinant)
            update(self, tape, loss, self.trainable_variables)
            return {"loss": loss}

    model = RealNVP()
    model.compile("adam")
    names = {"model": model, "normalized_data": floats(2)}
    tries = (Try(lines("normalized_data", "normalized_data")),)
    score = logits(model, None, lambda out: out[0])
    return Case(names, tries, score, kind="features")


def np_mask() -> Any:
    return ops.convert_to_tensor([[1.0, 0.0]])


def character_generation() -> Case:
    """Arrays of one-hot text windows (steps, characters), one-hot next character; LSTM, softmax."""
    model = keras.Sequential(
        [keras.Input((10, 8)), layers.LSTM(8), layers.Dense(8, activation="softmax")]
    )
    model.compile("rmsprop", "categorical_crossentropy")
    windows = tf.one_hot((labels(7)[:, None] + tf.range(10, dtype=tf.int64)) % 8, 8).numpy()
    names = {"model": model, "x": windows, "y": one_hot(8)}
    return Case(names, (Try(lines("(x, y)", "x, y")),), logits(model), kind="series")


ROWS = [
    Row("generative/vae", vae),
    Row("generative/vq_vae", vq_vae),
    Row("generative/pixelcnn", pixel_cnn),
    Row("generative/real_nvp", real_nvp),
    Row("generative/lstm_character_level_text_generation", character_generation),
]
