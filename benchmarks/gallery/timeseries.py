"""Timeseries: classes, forecasts, anomalies."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels
from benchmarks.gallery.reference import logits, mean, output
from benchmarks.gallery.rows import Case, Row, Try, lines

GIVEN, FIT = "(x_test, y_test)", "x_train, y_train"
FIRST = Try(lines(GIVEN, FIT))
FORECAST = "dataset_train, validation_data=dataset_val"


def arrays(x: Any, y: Any) -> dict[str, Any]:
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}


def datasets(*elements: Any) -> dict[str, Any]:
    return {"dataset_train": batches(*elements), "dataset_val": batches(*elements)}


def timeseries_from_scratch() -> Case:
    """Arrays (n, steps, 1) with int labels; Conv1D, BatchNorm, softmax."""
    inputs = keras.Input((20, 1))
    hidden = layers.Conv1D(8, 3, padding="same")(inputs)
    hidden = layers.GlobalAveragePooling1D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return Case(
        {"model": model, **arrays(floats(20, 1), labels())},
        (FIRST,),
        logits(model),
        kind="series",
    )


def timeseries_without_channel() -> Case:
    """Arrays (n, steps) as the file has them, the model adds the channel; softmax."""
    inputs = keras.Input((20,))
    hidden = layers.Conv1D(8, 3, activation="relu")(layers.Reshape((20, 1))(inputs))
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(floats(20), labels())}
    return Case(names, (FIRST,), logits(model), kind="features")


def timeseries_transformer() -> Case:
    """Arrays (n, steps, 1) with int labels; attention, channels-first pooling, softmax."""
    inputs = keras.Input((20, 1))
    hidden = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(inputs, inputs) + inputs)
    hidden = layers.Conv1D(4, 1, activation="relu")(hidden) + inputs
    hidden = layers.GlobalAveragePooling1D(data_format="channels_last")(hidden)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return Case(
        {"model": model, **arrays(floats(20, 1), labels())},
        (FIRST,),
        logits(model),
        kind="series",
    )


def weather_lstm() -> Case:
    """timeseries_dataset_from_array: (steps, features), float targets (n, 1); LSTM, mse."""
    inputs = keras.Input((12, 7))
    model = keras.Model(inputs, layers.Dense(1)(layers.LSTM(8)(inputs)))
    model.compile("adam", "mse")
    table = np.random.default_rng(0).normal(size=(60, 7)).astype("float32")
    made = keras.utils.timeseries_dataset_from_array(table[:-12], table[12:, :1], 12, batch_size=8)
    names = {"model": model, "dataset_train": made, "dataset_val": made}
    return Case(names, (Try(lines("dataset_val", FORECAST)),), output(model), kind="series")


def anomaly_autoencoder() -> Case:
    """Arrays (x, x) of series; Conv1D and its transpose, mse."""
    inputs = keras.Input((20, 1))
    hidden = layers.Conv1D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    hidden = layers.Conv1DTranspose(8, 3, strides=2, padding="same", activation="relu")(hidden)
    model = keras.Model(inputs, layers.Conv1DTranspose(1, 3, padding="same")(hidden))
    model.compile("adam", "mse")
    names = {"model": model, "x_train": floats(20, 1)}
    data = "x_train, x_train"
    return Case(names, (Try(lines(f"({data})", data)),), mean(model), kind="series")


def eeg() -> Case:
    """Data set of (channels, samples) with one-hot labels, class weights; Conv1D, sigmoid of 3."""
    inputs = keras.Input((24, 1))
    hidden = layers.Conv1D(8, 3, strides=2, activation="relu")(inputs)
    hidden = layers.Flatten()(layers.LeakyReLU()(layers.BatchNormalization()(hidden)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", keras.losses.CategoricalCrossentropy())
    hot = np.eye(3, dtype="float32")[labels(3)]
    names = {"model": model, **datasets(floats(24, 1), hot)}
    fit = "dataset_train, validation_data=dataset_val, class_weight={0: 1.0, 1: 2.0, 2: 1.0}"
    return Case(names, (Try(lines("dataset_val", fit)),), logits(model), kind="series")


class GraphConvolution(layers.Layer):
    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.dense, self.edges = layers.Dense(4), np.eye(nodes, k=1, dtype="float32")

    def call(self, features: Any) -> Any:
        return ops.relu(self.dense(ops.einsum("ij,bjtc->bitc", self.edges, features) + features))


def traffic() -> Case:
    """Data set of (steps, roads, 1) in, (steps, roads) out; a graph convolution, an LSTM, mse."""
    inputs = keras.Input((12, 5, 1))
    hidden = GraphConvolution(5)(ops.transpose(inputs, (0, 2, 1, 3)))
    hidden = layers.LSTM(8)(ops.reshape(hidden, (-1, 12, 4)))
    outputs = ops.transpose(ops.reshape(layers.Dense(3)(hidden), (-1, 5, 3)), (0, 2, 1))
    model = keras.Model(inputs, outputs)
    model.compile("rmsprop", keras.losses.MeanSquaredError())
    names = {"model": model, **datasets(floats(12, 5, 1), floats(3, 5, seed=1))}
    return Case(names, (Try(lines("dataset_val", FORECAST)),), mean(model))


def payments() -> Case:
    """PyDataset of (steps, events) with float labels; Conv1D, sigmoid."""
    inputs = keras.Input((12, 6))
    hidden = layers.GlobalMaxPooling1D()(layers.Conv1D(8, 3, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")

    class Payments(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            rows = slice(index * 8, index * 8 + 8)
            return floats(12, 6)[rows], labels().astype("float32")[rows]

    names = {"model": model, "dataset_train": Payments(), "dataset_val": Payments()}
    return Case(names, (Try(lines("dataset_val", FORECAST)),), logits(model), kind="series")


def multi_step_forecast() -> Case:
    """Data set of (steps, features), targets (horizon,); one output of several units, mae."""
    inputs = keras.Input((12, 3))
    model = keras.Model(inputs, layers.Dense(4)(layers.GRU(8)(inputs)))
    model.compile("adam", "mae")
    names = {"model": model, **datasets(floats(12, 3), floats(4, seed=1))}
    return Case(names, (Try(lines("dataset_val", FORECAST)),), mean(model), kind="series")


def crowd_flow_generator() -> Case:
    """A Python generator of (batch, labels) that never ends, steps_per_epoch; softmax."""
    inputs = keras.Input((12, 4))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GRU(8)(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")

    def generate() -> Any:
        while True:
            for start in range(0, COUNT, 8):
                yield floats(12, 4)[start : start + 8], labels(3)[start : start + 8]

    names = {"model": model, "generate": generate}
    fit = "generate(), steps_per_epoch=4"
    return Case(names, (Try(lines("generate()", fit)),), logits(model), kind="series")


ROWS = [
    Row("timeseries/timeseries_classification_from_scratch", timeseries_from_scratch),
    Row("timeseries/timeseries_classification_from_scratch", timeseries_without_channel),
    Row("timeseries/timeseries_classification_transformer", timeseries_transformer),
    Row("timeseries/timeseries_weather_forecasting", weather_lstm),
    Row("timeseries/timeseries_anomaly_detection", anomaly_autoencoder),
    Row("timeseries/eeg_signal_classification", eeg),
    Row("timeseries/timeseries_traffic_forecasting", traffic),
    Row("timeseries/event_classification_for_payment_card_fraud_detection", payments),
    Row("timeseries/timeseries_weather_forecasting", multi_step_forecast),
    Row("api/utils/python_utils", crowd_flow_generator),
]
