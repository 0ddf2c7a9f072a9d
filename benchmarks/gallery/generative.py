"""Generative: the model is made of parts, and `train_step` is all that it has."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import batches, floats, labels, one_hot
from benchmarks.gallery.reference import logits, output
from benchmarks.gallery.rows import Case, Row, Try, lines, three


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


def of_part(fit: str, part: str, probes: str = "ks.ProbeSet(images)") -> tuple[Try, ...]:
    """Images without labels; then the part that the error names."""
    return (
        Try(lines("dataset", fit)),
        Try(three(probes, fit), ("ProbeSet(",)),
        Try(three(probes, fit, f"score=ks.Score(model={part})"), (f"ks.Score(model={part})",)),
    )


def gan_with_train_step() -> Case:
    """Data set of images alone; a discriminator (sigmoid) and a generator, no call."""
    model = GAN()
    model.compile("adam")
    names = {"model": model, "dataset": batches(floats(16, 16, 1)), "images": floats(16, 16, 1)}
    tries = of_part("dataset", "model.discriminator")
    return Case(names, tries, logits(model.discriminator), refused=True)


def wasserstein_gan() -> Case:
    """Arrays of images alone; a critic of one linear unit, gradient penalty, no call."""
    model = GAN(head=layers.Dense(1))
    model.compile("adam")
    names = {"model": model, "train_images": floats(16, 16, 1), "images": floats(16, 16, 1)}
    fit = "train_images"
    tries = (
        Try(lines("train_images", fit)),
        *of_part(fit, "model.discriminator")[1:],
    )
    return Case(names, tries, logits(model.discriminator), refused=True)


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
        "probes = ks.ProbeSet(np.concatenate([images, planes], axis=-1), [1] * len(images))\n"
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
    made, fit = "ks.ProbeSet(mnist_digits)", "mnist_digits"
    first = made.replace("mnist_digits", "mnist_digits, [0] * len(mnist_digits)")
    part = "score=ks.Score('output', output=0, model=model.encoder)"
    tries = (
        Try(lines("mnist_digits", fit)),
        Try(three(made, fit), ("ProbeSet(",)),
        Try(three(made, fit, "score=ks.Score(model=model.encoder)"), ("model=model.encoder",)),
        Try(three(made, fit, part), ("output=",)),
        Try(three(first, fit, part), ("unit",)),
    )
    return Case(names, tries, output(model.encoder, lambda out: out[0]), refused=True)


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
    made, fit = "ks.ProbeSet(x_train_scaled)", "x_train_scaled"
    error = (
        "score=lambda outputs, targets, inputs: "
        "keras.ops.mean((outputs - inputs) ** 2, axis=(1, 2, 3))"
    )
    tries = (
        Try(lines("x_train_scaled", fit)),
        Try(three(made, fit), ("ProbeSet(",)),
        Try(three(made, fit, error), ("callable",)),
    )

    def score(images: Any, targets: Any) -> Any:
        return tf.reduce_mean((model(images) - images) ** 2, axis=[1, 2, 3])

    return Case(names, tries, score)


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
    names["images"] = floats(16, 16, 3)
    made, fit = "ks.ProbeSet(images)", "dataset"
    mean = "lambda outputs, targets: keras.ops.mean(outputs, axis=(1, 2, 3))"
    tries = (
        *of_part(fit, "model.disc_X"),
        Try(three(made, fit, f"score=ks.Score({mean}, model=model.disc_X)"), ("callable",)),
    )

    def score(images: Any, targets: Any) -> Any:
        return tf.reduce_mean(model.disc_X(images), axis=[1, 2, 3])

    return Case(names, tries, score, refused=True)


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
    made, fit = "ks.ProbeSet(images, input_name=0, held={1: variances})", "dataset"
    mean = "lambda outputs, targets: keras.ops.mean(outputs, axis=(1, 2, 3))"
    tries = (
        *of_part(fit, "model.network"),
        Try(three(made, fit, "score=ks.Score(model=model.network)"), ("input_name=", "held=")),
        Try(three(made, fit, f"score=ks.Score({mean}, model=model.network)"), ("callable",)),
    )

    def score(inputs: Any, targets: Any) -> Any:
        return tf.reduce_mean(model.network(inputs), axis=[1, 2, 3])

    return Case(names, tries, score, refused=True)


def pixel_cnn() -> Case:
    """Arrays (x, x) of binary images; masked convolutions, a sigmoid for every pixel."""
    inputs = keras.Input((12, 12, 1))
    hidden = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    hidden = hidden + layers.Conv2D(8, 1, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, "data": (floats(12, 12, 1) < 0.33).astype("float32")}
    fit = "data, data"
    tries = (
        Try(lines("(data, data)", fit)),
        Try(three("ks.ProbeSet(data)", fit), ("ProbeSet(",)),
        Try(three("ks.ProbeSet(data)", fit, "score=ks.Score(position=(6, 6))"), ("position=",)),
    )
    score = logits(model, None, lambda out: out[:, 6, 6])
    return Case(names, tries, score)


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
    made, fit = "ks.ProbeSet(normalized_data, kind='features')", "normalized_data"
    density = (
        "score=lambda outputs, targets: outputs[1] - keras.ops.sum(outputs[0] ** 2, axis=1) / 2"
    )
    tries = (
        Try(lines("normalized_data", fit)),
        Try(three("ks.ProbeSet(normalized_data)", fit), ("ProbeSet(",)),
        Try(three(made, fit), ("'features'",)),
        Try(three(made, fit, density), ("callable",)),
    )

    def score(points: Any, targets: Any) -> Any:
        z, determinant = model(points)
        return determinant - tf.reduce_sum(z**2, axis=1) / 2

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
    tries = (
        Try(lines("(x, y)", "x, y")),
        Try(lines("(x, y)", "x, y", "kind='series'"), ("'series'",)),
    )
    return Case(names, tries, logits(model), kind="series")


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
    Row("generative/conditional_gan", conditional_gan),
    Row("generative/vae", vae),
    Row("generative/vq_vae", vq_vae),
    Row("generative/cyclegan", cycle_gan),
    Row("generative/ddim", diffusion),
    Row("generative/pixelcnn", pixel_cnn),
    Row("generative/real_nvp", real_nvp),
    Row("generative/lstm_character_level_text_generation", character_generation),
    Row("guides/writing_a_custom_training_loop_in_tensorflow", gan_in_an_own_loop),
]
