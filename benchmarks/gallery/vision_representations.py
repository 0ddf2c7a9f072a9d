"""Vision: pairs, triplets, and images without labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import batches, floats, ids, labels
from benchmarks.gallery.reference import logits, output
from benchmarks.gallery.rows import Case, Row, Try, advised, lines
from benchmarks.gallery.vision_others import ONLY_TRAIN, datasets, encoder


def siamese_contrastive() -> Case:
    """([left, right], labels) as lists of arrays; a distance, sigmoid, contrastive loss."""
    left, right = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    embed = encoder(shape=(16, 16, 1))
    distance = layers.Lambda(
        lambda v: ops.sqrt(ops.sum((v[0] - v[1]) ** 2, axis=1, keepdims=True) + 1e-6)
    )([embed(left), embed(right)])
    normal = layers.BatchNormalization()(distance)
    model = keras.Model([left, right], layers.Dense(1, activation="sigmoid")(normal))

    def contrastive(y_true: Any, y_pred: Any) -> Any:
        return ops.mean((1 - y_true) * y_pred**2 + y_true * ops.maximum(1 - y_pred, 0) ** 2)

    model.compile("RMSprop", contrastive)
    pair = [floats(16, 16, 1, seed=k) for k in range(2)]
    y = labels().astype("float32")
    names = {"model": model, "x_train_1": pair[0], "x_train_2": pair[1], "labels_train": y}
    names |= {"x_val_1": pair[0], "x_val_2": pair[1], "labels_val": y}
    given, fit = "([x_val_1, x_val_2], labels_val)", "[x_train_1, x_train_2], labels_train"
    return Case(names, (Try(lines(given, fit)),), logits(model))


class Siamese(keras.Model):
    """Three images in, two distances out; the loss is made in `train_step`."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.siamese_network = network

    def call(self, inputs: Any) -> Any:
        return self.siamese_network(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            near, far = self.siamese_network(data)
            loss = tf.reduce_mean(tf.maximum(near - far + 0.5, 0.0))
        weights = self.siamese_network.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


def siamese_triplet() -> Case:
    """Data set of (anchor, positive, negative), no labels; two distances (n,) as outputs."""
    inputs = [keras.Input((16, 16, 3), name=n) for n in ("anchor", "positive", "negative")]
    embed = encoder()
    anchor, *others = map(embed, inputs)
    network = keras.Model(inputs, [ops.sum((anchor - other) ** 2, -1) for other in others])
    model = Siamese(network)
    model.compile("adam")
    triple = [floats(16, 16, 3, seed=k) for k in range(3)]
    both = tf.data.Dataset.from_tensor_slices(tuple(triple)).batch(8)
    names = {"model": model, "train_ds": both, "val_ds": both}
    inputs_alone = "dataset.map(lambda *inputs: (inputs,))"
    given = inputs_alone.replace("dataset", "val_ds")
    tries = (ONLY_TRAIN, Try(lines(given, "train_ds"), (inputs_alone,)))
    return Case(names, tries, output(network, select=lambda out: out[0]))


def metric_learning() -> Case:
    """PyDataset of (2, classes, image) pairs without labels; embeddings, own train_step."""

    class Embedding(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            anchors, positives = data[0][0], data[0][1]  # Keras makes a tuple of the batch
            with tf.GradientTape() as tape:
                near = tf.matmul(self(anchors), self(positives), transpose_b=True)
                classes = tf.range(tf.shape(near)[0])
                loss = self.compute_loss(y=classes, y_pred=near * 5)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    inputs = keras.Input((16, 16, 3))
    model = Embedding(inputs, layers.UnitNormalization()(encoder()(inputs)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = floats(16, 16, 3)

    class AnchorPositivePairs(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return np.stack([images[:4], images[4:8]])

    names = {"model": model, "train_ds": AnchorPositivePairs(), "x_test": images}
    names["y_test"] = labels(3)[:, None]
    number = "score=lambda outputs, targets: outputs[:, 0]"
    tries = advised("(x_test, y_test)", "train_ds", number)
    return Case(names, tries, output(model))


class SimCLR(keras.Model):
    """An encoder, a projection and a linear probe; no `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder()
        self.linear_probe = keras.Sequential([keras.Input((8,)), layers.Dense(3)])

    def train_step(self, data: Any) -> dict[str, Any]:
        (unlabeled, (images, classes)) = data
        weights = self.encoder.trainable_weights + self.linear_probe.trainable_weights
        with tf.GradientTape() as tape:
            values = self.linear_probe(self.encoder(images))
            loss = tf.reduce_mean(
                tf.keras.losses.sparse_categorical_crossentropy(classes, values, from_logits=True)
            ) + tf.reduce_mean(self.encoder(unlabeled) ** 2)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


def simclr() -> Case:
    """Zipped data sets (unlabeled, (images, labels)); encoder and linear probe, no call."""
    model = SimCLR()
    model.compile("adam")
    labelled = batches(floats(16, 16, 3), labels(3))
    names = {"model": model, "test_ds": labelled}
    names["train_ds"] = tf.data.Dataset.zip((batches(floats(16, 16, 3, seed=1)), labelled))
    part = "keras.Sequential([model.encoder, model.linear_probe])"
    tries = advised("test_ds", "train_ds", f"score=ks.Score(model={part})")

    def score(images: Any, targets: Any) -> Any:
        values = model.linear_probe(model.encoder(images))
        return tf.gather(values, targets, axis=1, batch_dims=1)

    return Case(names, tries, score)


def supervised_contrastive() -> Case:
    """Arrays with labels (n, 1) for a loss on embeddings; the first stage has no classes."""
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, layers.Dense(8, activation="relu")(encoder()(inputs)))

    def loss(classes: Any, vectors: Any) -> Any:
        same = ops.cast(ops.equal(classes, ops.transpose(classes)), "float32")
        return ops.mean((ops.matmul(vectors, ops.transpose(vectors)) - same) ** 2)

    model.compile("adam", loss)
    names = {"model": model, "x_train": floats(16, 16, 3), "y_train": labels(3)[:, None]}
    names |= {"x_test": floats(16, 16, 3), "y_test": labels(3)[:, None]}

    def score(images: Any, targets: Any) -> Any:
        return tf.gather(model(images), targets, axis=1, batch_dims=1)

    tries = advised("(x_test, y_test)", "x_train, y_train", "score='output'")
    return Case(names, tries, score)


def masked_autoencoder() -> Case:
    """Data set of images alone; patches, encoder and decoder, loss in train_step, no call."""

    class MaskedAutoencoder(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder()
            self.decoder = keras.Sequential(
                [keras.Input((8,)), layers.Dense(768), layers.Reshape((16, 16, 3))]
            )

        def train_step(self, images: Any) -> dict[str, Any]:
            weights = self.encoder.trainable_weights + self.decoder.trainable_weights
            with tf.GradientTape() as tape:
                mask = tf.cast(tf.random.uniform(tf.shape(images)) > 0.75, tf.float32)
                loss = tf.reduce_mean((self.decoder(self.encoder(images * mask)) - images) ** 2)
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = MaskedAutoencoder()
    model.compile("adam")
    names = {"model": model, **datasets(floats(16, 16, 3))}
    tries = (Try(lines("val_ds", "train_ds")),)

    def score(images: Any, targets: Any) -> Any:
        values = model.encoder(images)
        return tf.gather(values, targets, axis=1, batch_dims=1)

    return Case(names, tries, score)


def dual_encoder() -> Case:
    """Dict elements {"image", "caption"} without labels, strings as captions; no single call."""

    class DualEncoder(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.image_encoder = encoder()
            self.text_encoder = keras.Sequential([keras.Input((5,)), layers.Dense(8)])

        def call(self, features: Any, training: bool = False) -> Any:
            captions = tf.cast(features["caption"], tf.float32)
            return self.text_encoder(captions), self.image_encoder(features["image"])

        def train_step(self, features: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                captions, images = self(features)
                loss = tf.reduce_mean((captions - images) ** 2)
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = DualEncoder()
    model.compile("adam")
    features = {"caption": ids(5), "image": floats(16, 16, 3)}
    names = {"model": model, **datasets(features), **features}
    inputs_alone = "dataset.map(lambda element: (element,))"
    given = inputs_alone.replace("dataset", "val_ds")
    tries = (ONLY_TRAIN, Try(lines(given, "train_ds"), (inputs_alone,)))

    def score(inputs: Any, targets: Any) -> Any:
        return tf.gather(model(inputs)[0], targets, axis=1, batch_dims=1)

    return Case(names, tries, score, kinds={"caption": "features"})


ROWS = [
    Row("vision/siamese_contrastive", siamese_contrastive),
    Row("vision/siamese_network", siamese_triplet),
    Row("vision/metric_learning", metric_learning),
    Row("vision/semisupervised_simclr", simclr),
    Row("vision/supervised-contrastive-learning", supervised_contrastive),
    Row("vision/masked_image_modeling", masked_autoencoder),
    Row("vision/nl_image_search", dual_encoder),
]
