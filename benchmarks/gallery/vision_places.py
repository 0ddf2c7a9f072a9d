"""Vision: a class or a number for every place, boxes, key points, texts in images."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels, pixels
from benchmarks.gallery.reference import largest_logits, linear, mean
from benchmarks.gallery.rows import Case, Row, Try, lines

FIT = "train_dataset, validation_data=valid_dataset"
FIRST = Try(lines("valid_dataset", FIT))


def datasets(x: Any, *rest: Any) -> dict[str, Any]:
    both = [batches(x, *rest) for _ in range(2)]
    return {"train_dataset": both[0], "valid_dataset": both[1], "valid_images": np.asarray(x)}


def label_images(classes: int = 3) -> Any:
    """uint8 `(32, 16, 16, 1)`: a square of a class on a ground of class 0."""
    masks = np.zeros((COUNT, 16, 16, 1), np.uint8)
    masks[:, 4:10, 4:10] = (1 + labels(classes - 1))[:, None, None, None]
    return masks


def unet(activation: str | None = "softmax", channels: int = 3, classes: int = 3) -> Any:
    inputs = keras.Input((16, 16, channels))
    small = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    large = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(small)
    head = layers.Conv2D(classes, 3, padding="same", activation=activation)
    return keras.Model(inputs, head(layers.Concatenate()([large, inputs]))), head


def summed_logits(model: Any, head: Any, masks: Any) -> Any:
    """The target's logits, summed over the pixels of the mask; one unit as in `logits`."""

    def score(inputs: Any, targets: Any) -> Any:
        with linear(head):
            values = model(inputs, training=False)
        if values.shape[-1] == 1:
            sign = tf.where(targets == 1, 1.0, -1.0)[:, None, None]
            values = values[..., 0] * sign
        else:
            values = tf.gather(values, targets, axis=-1, batch_dims=1)
        return tf.reduce_sum(values * tf.cast(masks, tf.float32), axis=[1, 2])

    return score


def mask_of_target(probes_inputs: Any, targets: Any) -> Any:
    square = np.zeros((len(targets), 16, 16), bool)
    square[:, 4:10, 4:10] = True
    return np.where((np.asarray(targets) == 0)[:, None, None], ~square, square)


def on_masks(model: Any, head: Any) -> Any:
    return lambda inputs, targets: summed_logits(model, head, mask_of_target(inputs, targets))(
        inputs, targets
    )


def image_segmentation() -> Case:
    """Data set with label images (height, width, 1), uint8; U-Net, softmax at each pixel."""
    model, head = unet()
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(floats(16, 16, 3), label_images())}
    return Case(names, (FIRST,), on_masks(model, head))


def deeplab() -> Case:
    """Data set with label images; dilated convolutions, logits at each pixel."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    dilated = [
        layers.Conv2D(8, 3, dilation_rate=rate, padding="same", activation="relu")(hidden)
        for rate in (1, 2)
    ]
    large = layers.UpSampling2D(2, interpolation="bilinear")(layers.Concatenate()(dilated))
    model = keras.Model(inputs, layers.Conv2D(3, 1, padding="same")(large))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(16, 16, 3), label_images())}
    return Case(names, (FIRST,), on_masks(model, None))


def segmentation_without_channel() -> Case:
    """PyDataset with label images (height, width), int32; softmax at each pixel."""
    model, head = unet()
    model.compile("adam", "sparse_categorical_crossentropy")

    class Pets(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            rows = slice(index * 16, index * 16 + 16)
            return floats(16, 16, 3)[rows], label_images()[rows, ..., 0].astype("int32")

    names = {"model": model, "train_gen": Pets(), "val_gen": Pets()}
    fit = "train_gen, validation_data=val_gen"
    return Case(names, (Try(lines("val_gen", fit)),), on_masks(model, head))


def binary_masks() -> Case:
    """Data set with bool masks as labels; several sigmoid maps as outputs (deep supervision)."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    heads = [
        layers.Conv2D(1, 3, padding="same", activation="sigmoid", name=name)
        for name in ("first", "second")
    ]
    model = keras.Model(inputs, [head(hidden) for head in heads])
    model.compile("adam", ["binary_crossentropy"] * 2)
    masks = (label_images(2) > 0).astype("float32")
    names = {"model": model, **datasets(floats(16, 16, 3), (masks, masks))}
    return Case(names, (FIRST,), on_masks(keras.Model(inputs, model.outputs[0]), heads[0]))


def retinanet() -> Case:
    """(images, encoded boxes and classes per anchor); anchors in one output, own loss."""
    inputs = keras.Input((32, 32, 3))
    hidden = layers.Conv2D(8, 3, strides=4, padding="same", activation="relu")(inputs)
    classes = layers.Reshape((-1, 3))(layers.Conv2D(3, 1, activation=None)(hidden))
    boxes = layers.Reshape((-1, 4))(layers.Conv2D(4, 1)(hidden))
    model = keras.Model(inputs, layers.Concatenate()([boxes, classes]))
    model.compile("sgd", loss=lambda y, p: ops.mean((y[..., :4] - p[..., :4]) ** 2))
    targets = np.random.default_rng(0).normal(size=(COUNT, 64, 5)).astype("float32")
    names = {"model": model, **datasets(floats(32, 32, 3), targets)}
    return Case(names, (FIRST,), mean(model))


def box_regression() -> Case:
    """Arrays, boxes (n, 4) as labels; a vision transformer that predicts four numbers, mse."""
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Flatten()(layers.Conv2D(8, 4, strides=4, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(4)(hidden))
    model.compile("adam", "mean_squared_error")
    boxes = np.random.default_rng(1).random((COUNT, 4)).astype("float32")
    names = {"model": model, "x_train": floats(16, 16, 3), "y_train": boxes}
    names |= {"x_test": floats(16, 16, 3), "y_test": boxes}
    return Case(names, (Try(lines("(x_test, y_test)", "x_train, y_train")),), mean(model))


def keypoints() -> Case:
    """PyDataset of keypoints (n, 1, 1, 2k); fully convolutional, sigmoid outputs, mse."""
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 5, strides=5, activation="relu"),
            layers.Conv2D(4, 3, activation="sigmoid"),
        ]
    )
    model.compile("adam", "mse")
    points = np.random.default_rng(0).random((COUNT, 1, 1, 4)).astype("float32")
    x = floats(16, 16, 3) * 255

    class KeyPoints(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return x[index * 16 : index * 16 + 16], points[index * 16 : index * 16 + 16]

    names = {"model": model, "train_dataset": KeyPoints(), "validation_dataset": KeyPoints()}
    fit = "train_dataset, validation_data=validation_dataset"
    return Case(names, (Try(lines("validation_dataset", fit)),), mean(model))


class CTCLayer(layers.Layer):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        batch = ops.shape(y_true)[0]
        lengths = [ops.ones((batch,), "int32") * n for n in (y_true.shape[1], y_pred.shape[1])]
        self.add_loss(
            ops.mean(ops.ctc_loss(y_true, ops.log(y_pred + 1e-7), *lengths, mask_index=0))
        )
        return y_pred


def captcha_ocr() -> Case:
    """Dict elements with image and label and no y; two inputs, a CTC loss layer at the end."""
    images = keras.Input((24, 12, 1), name="image")
    truth = keras.Input((3,), name="label", dtype="float32")
    hidden = layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    hidden = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(
        layers.Reshape((24, 48))(hidden)
    )
    dense = layers.Dense(6, activation="softmax", name="dense2")
    predicted = dense(hidden)
    model = keras.Model([images, truth], CTCLayer()(truth, predicted))
    model.compile("adam")
    x, y = floats(24, 12, 1), np.random.default_rng(0).integers(1, 5, (COUNT, 3))
    names = {"model": model, **datasets({"image": x, "label": y.astype("float32")})}
    inputs = "dataset.map(lambda *inputs: (inputs,))"
    tries = (FIRST, Try(lines(inputs.replace("data", "valid_data"), FIT), (inputs,)))
    part = keras.Model(images, predicted)
    score = largest_logits(lambda x, training: part(x["image"]), dense)
    return Case(names, tries, score)


def handwriting() -> Case:
    """The same with the label as a second element, padded; dict of image and label, then no y."""
    case = captcha_ocr()
    fit = "train_ds, validation_data=validation_ds"
    given = case.names["valid_dataset"]
    names = {**case.names, "train_ds": given, "validation_ds": given}
    first, more = (
        one.lines.replace(FIT, fit).replace("valid_dataset", "validation_ds") for one in case.tries
    )
    tries = (Try(first), Try(more, case.tries[1].advice))
    return Case(names, tries, case.score)


def pixel_classes_from_uint8() -> Case:
    """uint8 images with label images that mark the border as 255; fully convolutional, logits."""
    model, _ = unet(None)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True, ignore_class=255))
    masks = label_images()
    masks[:, :1] = 255
    names = {"model": model, **datasets(pixels(16, 16, 3), masks)}

    def score(inputs: Any, targets: Any) -> Any:
        inside = mask_of_target(inputs, targets)
        inside[:, :1] = False
        return summed_logits(model, None, inside)(inputs, targets)

    return Case(names, (FIRST,), score)


ROWS = [
    Row("vision/oxford_pets_image_segmentation", image_segmentation),
    Row("vision/deeplabv3_plus", deeplab),
    Row("vision/fully_convolutional_network", pixel_classes_from_uint8),
    Row("vision/oxford_pets_image_segmentation", segmentation_without_channel),
    Row("vision/basnet_segmentation", binary_masks),
    Row("vision/retinanet", retinanet),
    Row("vision/object_detection_using_vision_transformer", box_regression),
    Row("vision/keypoint_detection", keypoints),
    Row("vision/captcha_ocr", captcha_ocr),
    Row("vision/handwriting_recognition", handwriting),
]
