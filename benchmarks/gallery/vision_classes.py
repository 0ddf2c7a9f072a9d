"""Vision: images with a class, by convolutions; mixed and several labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.gallery.data import COUNT, batches, floats, labels, one_hot, pixels
from benchmarks.gallery.reference import logits
from benchmarks.gallery.rows import Case, Row, Try, lines


def classifier(*body: Any, shape: tuple[int, ...] = (16, 16, 3), head: Any = None) -> keras.Model:
    head = head or layers.Dense(3, activation="softmax")
    return keras.Sequential([keras.Input(shape), *body, head])


def convolutions(shape: tuple[int, ...] = (16, 16, 3)) -> Any:
    inputs = keras.Input(shape)
    hidden = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    hidden = layers.Activation("relu")(layers.BatchNormalization()(hidden))
    return inputs, layers.SeparableConv2D(8, 3, padding="same", activation="relu")(hidden)


def arrays(x: Any, y: Any) -> dict[str, Any]:
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}


def datasets(x: Any, y: Any) -> dict[str, Any]:
    return {"train_ds": batches(x, y), "val_ds": batches(x, y)}


FROM_ARRAYS = Try(lines("(x_test, y_test)", "x_train, y_train"))
FROM_DATASETS = Try(lines("val_ds", "train_ds, validation_data=val_ds"))


def mnist_convnet() -> Case:
    """Arrays, one-hot labels; Sequential with Dropout, softmax."""
    model = classifier(
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),
        shape=(28, 28, 1),
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    names = {"model": model, **arrays(floats(28, 28, 1), one_hot(3))}
    return Case(names, (FROM_ARRAYS,), logits(model))


def quickstart_gray() -> Case:
    """Gray images (n, 28, 28) without a channel axis, int labels; logits."""
    model = classifier(layers.Flatten(), shape=(28, 28), head=layers.Dense(4))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **arrays(floats(28, 28), labels(4))}
    return Case(names, (FROM_ARRAYS,), logits(model))


def image_classification_from_scratch() -> Case:
    """Data set of files with int labels, 0..255; augmentation and rescaling inside, one logit."""
    model = classifier(
        layers.RandomFlip("horizontal", seed=0),
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        head=layers.Dense(1),
    )
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3) * 255, labels())}
    return Case(names, (FROM_DATASETS,), logits(model))


def efficientnet_fine_tuning() -> Case:
    """Data set with one-hot labels and uint8 images; a frozen nested backbone, softmax."""
    inputs, hidden = convolutions()
    backbone = keras.Model(inputs, hidden)
    backbone.trainable = False
    model = classifier(backbone, layers.GlobalAveragePooling2D(), layers.BatchNormalization())
    model.compile("adam", "categorical_crossentropy")
    names = {"model": model, **datasets(pixels(16, 16, 3), one_hot(3))}
    return Case(names, (FROM_DATASETS,), logits(model))


def transfer_learning() -> Case:
    """Data set with int labels; a frozen backbone called with training=False, one logit."""
    inputs, hidden = convolutions()
    backbone = keras.Model(inputs, hidden)
    backbone.trainable = False
    outer = keras.Input((16, 16, 3))
    seen = backbone(layers.Rescaling(1 / 127.5, offset=-1)(outer), training=False)
    outputs = layers.Dense(1)(layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(seen)))
    model = keras.Model(outer, outputs)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3) * 255, labels())}
    return Case(names, (FROM_DATASETS,), logits(model))


def convmixer() -> Case:
    """Data set of float images in 0..1, labels (n, 1); depthwise convolutions, softmax."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Conv2D(8, 2, strides=2, activation="gelu")(layers.Rescaling(1 / 255)(inputs))
    mixed = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(hidden))
    hidden = layers.Conv2D(8, 1, activation="gelu")(layers.Add()([mixed, hidden]))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAvgPool2D()(hidden))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(pixels(16, 16, 3), labels(3)[:, None])}
    return Case(names, (FROM_DATASETS,), logits(model))


class PatchConvNet(keras.Model):
    """A subclass with its own `train_step`, whose `call` returns logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = layers.Conv2D(8, 3, strides=2, padding="same", activation="gelu")
        self.pool, self.head = layers.GlobalAveragePooling2D(), layers.Dense(3)

    def call(self, images: Any, training: bool = False) -> Any:
        return self.head(self.pool(self.stem(images)))

    def train_step(self, data: Any) -> dict[str, Any]:
        images, classes = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=classes, y_pred=self(images, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def patch_convnet() -> Case:
    """Data set; a subclass that is not built before fit, own train_step, logits."""
    model = PatchConvNet()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3), labels(3))}
    return Case(names, (FROM_DATASETS,), logits(model))


class Involution(layers.Layer):
    """Kernels made from the pixels; returns the output and the kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = layers.Conv2D(9, 1)

    def call(self, images: Any) -> Any:
        kernels = self.kernels(images)
        patches = keras.ops.image.extract_patches(images, 3, strides=1, padding="same")
        shape = keras.ops.shape(images)
        patches = keras.ops.reshape(patches, (shape[0], shape[1], shape[2], 9, images.shape[-1]))
        return keras.ops.sum(kernels[..., None] * patches, axis=3), kernels


def involution() -> Case:
    """Shuffled data set of cifar10; a layer with two outputs, logits."""
    inputs = keras.Input((16, 16, 3))
    hidden, _ = Involution()(inputs)
    hidden = layers.Flatten()(layers.MaxPooling2D()(layers.ReLU()(hidden)))
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(8, activation="relu")(hidden)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3), labels(3)[:, None])}
    names["train_ds"] = names["train_ds"].shuffle(4)
    return Case(names, (FROM_DATASETS,), logits(model))


class MyBiTModel(keras.Model):
    def __init__(self, module: keras.Model) -> None:
        super().__init__()
        self.module_, self.head = module, layers.Dense(3, kernel_initializer="zeros")

    def call(self, images: Any) -> Any:
        return self.head(self.module_(images))


def bit() -> Case:
    """Data set of images and int labels, with repeat() and steps; a subclass, zero head."""
    inputs, hidden = convolutions()
    model = MyBiTModel(keras.Model(inputs, layers.GlobalAveragePooling2D()(hidden)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3), labels(3))}
    names["train_ds"] = names["train_ds"].repeat()
    fit = "train_ds, steps_per_epoch=4, validation_data=val_ds"
    return Case(names, (Try(lines("val_ds", fit)),), logits(model))


class LearnableResizer(keras.Model):
    def __init__(self, backbone: keras.Model) -> None:
        super().__init__()
        self.convolution = layers.Conv2D(3, 3, padding="same")
        self.backbone = backbone

    def call(self, images: Any) -> Any:
        small = keras.ops.image.resize(images, (16, 16), interpolation="bilinear")
        return self.backbone(small + self.convolution(small))


def learnable_resizer() -> Case:
    """Data set with one-hot labels; resizing inside the model, softmax, label smoothing."""
    inputs, hidden = convolutions()
    head = layers.Dense(3, activation="softmax")
    backbone = keras.Model(inputs, head(layers.GlobalAveragePooling2D()(hidden)))
    model = LearnableResizer(backbone)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    names = {"model": model, **datasets(floats(24, 24, 3) * 255, one_hot(3))}
    return Case(names, (FROM_DATASETS,), logits(model, head))


def mixup() -> Case:
    """Training labels are mixed, validation labels one-hot; softmax."""
    model = classifier(layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D())
    model.compile("adam", "categorical_crossentropy")
    mixed = 0.7 * one_hot(3) + 0.3 * one_hot(3)[::-1]
    names = {"model": model, **datasets(floats(16, 16, 3), one_hot(3))}
    names["train_ds_mu"] = batches(floats(16, 16, 3, seed=1), mixed)
    return Case(
        names, (Try(lines("val_ds", "train_ds_mu, validation_data=val_ds")),), logits(model)
    )


def cutmix_probes_of_mixed() -> Case:
    """Probes from the mixed training set, soft labels of different peaks; softmax."""
    model = classifier(layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D())
    model.compile("adam", "categorical_crossentropy")
    share = np.linspace(0.55, 0.95, COUNT, dtype="float32")[:, None]
    mixed = share * one_hot(3) + (1 - share) * one_hot(3)[::-1]
    names = {"model": model, "train_ds_cmu": batches(floats(16, 16, 3), mixed)}
    names["test_ds"] = batches(floats(16, 16, 3), one_hot(3))
    fit = "train_ds_cmu, validation_data=test_ds"
    first = lines("train_ds_cmu", fit)
    return Case(names, (Try(first),), logits(model))


def multi_label() -> Case:
    """Data set with multi-hot labels; sigmoid, binary cross-entropy."""
    model = classifier(
        layers.Conv2D(8, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        head=layers.Dense(4, activation="sigmoid"),
    )
    model.compile("adam", "binary_crossentropy", metrics=["binary_accuracy"])
    hot = (np.random.default_rng(0).random((COUNT, 4)) < 0.5).astype("float32")
    names = {"model": model, **datasets(floats(16, 16, 3), hot), "x_val": floats(16, 16, 3)}
    more = Try(
        "probes = ks.ProbeSet(x_val)\n" + FROM_DATASETS.lines.partition("\n")[2], ("ProbeSet(",)
    )
    return Case(names, (FROM_DATASETS, more), logits(model))


ROWS = [
    Row("vision/mnist_convnet", mnist_convnet),
    Row("getting_started/intro_to_keras_for_engineers", quickstart_gray),
    Row("vision/image_classification_from_scratch", image_classification_from_scratch),
    Row("vision/image_classification_efficientnet_fine_tuning", efficientnet_fine_tuning),
    Row("guides/transfer_learning", transfer_learning),
    Row("vision/convmixer", convmixer),
    Row("vision/patch_convnet", patch_convnet),
    Row("vision/involution", involution),
    Row("vision/bit", bit),
    Row("vision/learnable_resizer", learnable_resizer),
    Row("vision/mixup", mixup),
    Row("vision/cutmix", cutmix_probes_of_mixed),
    Row("nlp/multi_label_classification", multi_label),
]
