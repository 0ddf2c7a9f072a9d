"""Generative: adversarial networks and diffusion; `train_step` is all that the model has."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from benchmarks.gallery.data import batches, floats, labels, one_hot
from benchmarks.gallery.reference import logits, mean, output
from benchmarks.gallery.rows import Case, Row, Try, advised, lines, three


def discriminator(channels: int = 1, head: Any = None) -> keras.Model:
    inputs = keras.Input((16, 16, channels))
    hidden = layers.LeakyReLU()(layers.Conv2D(8, 4, strides=2, padding="same")(inputs))
    return keras.Model(
        inputs, (head or layers.Dense(1, activation="sigmoid"))(layers.Flatten()(hidden))
    )


def generator(channels: int = 1, width: int = 4) -> keras.Model:
    inputs = keras.Input((width,))
    hidden = layers.Reshape((8, 8, 4))(layers.Dense(256, activation="relu")(inputs))
    hidden = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation="tanh")(
        hidden
    )
    return keras.Model(inputs, hidden)


def update(model: keras.Model, tape: Any, loss: Any, weights: Any) -> None:
    model.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))


class GAN(keras.Model):
    def __init__(self, channels: int = 1, head: Any = None) -> None:
        super().__init__()
        self.discriminator = discriminator(channels, head)
        self.generator = generator(1)

    def train_step(self, data: Any) -> dict[str, Any]:
        real = data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.discriminator(real)) - tf.reduce_mean(
                self.discriminator(self.fakes(data, tf.shape(real)[0]))
            )
        update(self, tape, loss, self.discriminator.trainable_weights)
        return {"loss": loss}

    def fakes(self, data: Any, number: Any) -> Any:
        return self.generator(tf.random.normal((number, 4)))


def gan_with_train_step() -> Case:
    """Data set of images alone; a discriminator (sigmoid) and a generator, no call."""
    model = GAN()
    model.compile("adam")
    names = {"model": model, "dataset": batches(floats(16, 16, 1))}
    return Case(names, (Try(lines("dataset", "dataset")),), logits(model.discriminator))


def wasserstein_gan() -> Case:
    """Arrays of images alone; a critic of one linear unit, gradient penalty, no call."""
    model = GAN(head=layers.Dense(1))
    model.compile("adam")
    names = {"model": model, "train_images": floats(16, 16, 1)}
    tries = (Try(lines("train_images", "train_images")),)
    return Case(names, tries, output(model.discriminator))


def gan_on_labelled_images() -> Case:
    """Data set of images with labels, which train_step leaves out; the same two parts, no call."""
    model = GAN()
    model.compile("adam")
    names = {"model": model, "dataset": batches(floats(16, 16, 1), labels())}
    return Case(names, (Try(lines("dataset", "dataset")),), logits(model.discriminator))


class CallableGAN(GAN):
    def call(self, inputs: Any) -> Any:
        return self.generator(inputs)


def gan_that_generates() -> Case:
    """Arrays of images alone; a critic, and a call that generates images from noise."""
    model = CallableGAN(head=layers.Dense(1))
    model.compile("adam")
    names = {"model": model, "train_images": floats(16, 16, 1)}
    tries = advised("train_images", "train_images", "score=ks.Score(model=model.discriminator)")
    return Case(names, tries, output(model.discriminator))


class ConditionalGAN(GAN):
    def __init__(self) -> None:
        super().__init__(channels=4)

    def train_step(self, data: Any) -> dict[str, Any]:
        images, classes = data
        shape = tf.shape(images)
        planes = tf.broadcast_to(classes[:, None, None], (shape[0], 16, 16, 3))
        return super().train_step((tf.concat([images, planes], -1), planes))

    def fakes(self, data: Any, number: Any) -> Any:
        return tf.concat([super().fakes(data, number), data[1]], -1)


def conditional_gan() -> Case:
    """Data set of (images, one-hot labels); the discriminator takes the label as more channels."""
    model = ConditionalGAN()
    model.compile("adam")
    x, y = floats(16, 16, 1), one_hot(3)
    names = {"model": model, "dataset": batches(x, y), "images": x, "classes": y}
    planes = (
        "planes = np.broadcast_to(classes[:, None, None], (*images.shape[:3], 3))\n"
        "probes = ks.ProbeSet(np.concatenate([images, planes], axis=-1))\n"
        "saliency = ks.SaliencyCallback(probes, log_dir=log_dir, "
        "score=ks.Score(model=model.discriminator))\n"
        "model.fit(dataset, callbacks=[saliency])"
    )
    part = "score=ks.Score(model=model.discriminator)"
    tries = (
        Try(lines("dataset", "dataset")),
        Try(lines("dataset", "dataset", "", part), ("ks.Score(model=model.discriminator)",)),
        Try(planes, ("expected shape ('num_probes', 16, 16, 4)",)),
    )
    return Case(names, tries, logits(model.discriminator), refused=True)


def cycle_gan() -> Case:
    """Zipped data sets of two domains; two generators, two patch discriminators, no call."""

    class CycleGan(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.gen_G = keras.Sequential(
                [keras.Input((16, 16, 3)), layers.Conv2D(3, 3, padding="same", activation="tanh")]
            )
            self.disc_X = keras.Sequential(
                [keras.Input((16, 16, 3)), layers.Conv2D(4, 3, strides=2), layers.Conv2D(1, 3)]
            )

        def train_step(self, data: Any) -> dict[str, Any]:
            real_x, real_y = data
            weights = self.gen_G.trainable_variables + self.disc_X.trainable_variables
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.gen_G(real_x) - real_y) ** 2) + tf.reduce_mean(
                    (self.disc_X(real_x) - 1) ** 2
                )
            update(self, tape, loss, weights)
            return {"loss": loss}

    model = CycleGan()
    model.compile("adam")
    horses, zebras = (batches(floats(16, 16, 3, seed=k)) for k in range(2))
    names = {"model": model, "dataset": tf.data.Dataset.zip((horses, zebras))}
    tries = advised("dataset", "dataset", "score=ks.Score('mean', model=model.disc_X)")
    return Case(names, tries, mean(model.disc_X))


def diffusion() -> Case:
    """Array of images alone; a network of noisy image and noise variance, train_step, no call."""

    class DiffusionModel(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.normalizer = layers.Normalization(mean=0.5, variance=0.1)
            self.normalizer.build((None, 16, 16, 3))
            images, variances = keras.Input((16, 16, 3)), keras.Input((1, 1, 1))
            planes = layers.UpSampling2D(16)(variances)
            hidden = layers.Conv2D(8, 3, padding="same", activation="swish")(
                layers.Concatenate()([images, planes])
            )
            self.network = keras.Model([images, variances], layers.Conv2D(3, 1)(hidden))

        def train_step(self, images: Any) -> dict[str, Any]:
            images = self.normalizer(images)
            variances = tf.random.uniform((tf.shape(images)[0], 1, 1, 1))
            noise = tf.random.normal(tf.shape(images))
            with tf.GradientTape() as tape:
                noisy = images * (1 - variances) ** 0.5 + noise * variances**0.5
                loss = tf.reduce_mean((self.network([noisy, variances]) - noise) ** 2)
            update(self, tape, loss, self.network.trainable_weights)
            return {"loss": loss}

    model = DiffusionModel()
    model.compile("adam")
    names = {"model": model, "dataset": batches(floats(16, 16, 3)), "images": floats(16, 16, 3)}
    names["variances"] = floats(1, 1, 1, seed=1)
    part = "score=ks.Score('mean', model=model.network)"
    both = "ks.ProbeSet({0: images, 1: variances})"
    tries = (
        *advised("dataset", "dataset", part),
        Try(three(both, "dataset", part), ("ProbeSet({0: ..., 1: ...}",)),
    )

    kinds = {1: "image"}
    return Case(names, tries, mean(model.network), kinds=kinds, refused=True)


def gan_in_an_own_loop() -> Case:
    """A loop of train steps without fit: the monitor explains the discriminator."""
    net = discriminator()
    optimizer = keras.optimizers.Adam()

    def train_step(real: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(net(real, training=True))
        weights = net.trainable_weights
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    names = {"discriminator": net, "train_step": train_step, "images": floats(16, 16, 1)}
    text = (
        "probes = ks.ProbeSet(images)\n"
        "monitor = ks.SaliencyMonitor(discriminator, probes)\n"
        "sink = ks.TensorBoardSink(log_dir, probes)\n"
        "train_step(images)\n"
        "report = monitor.step(0)\n"
        "sink.write(report)\n"
        "sink.close()"
    )
    return Case(names, (Try(text),), logits(net))


ROWS = [
    Row("generative/dcgan_overriding_train_step", gan_with_train_step),
    Row("generative/wgan_gp", wasserstein_gan),
    Row("generative/dcgan_overriding_train_step", gan_on_labelled_images),
    Row("generative/wgan_gp", gan_that_generates),
    Row("generative/conditional_gan", conditional_gan),
    Row("generative/cyclegan", cycle_gan),
    Row("generative/ddim", diffusion),
    Row("guides/writing_a_custom_training_loop_in_tensorflow", gan_in_an_own_loop),
]
