"""Series: a sensor that was mounted again between two recordings, and so has another offset.

The class is the shape of the vibration that three sensors record. But each class was recorded on
another day, and on each day the second sensor had another offset. Nobody has to name it: the test
`offset` exchanges the mean over time of each channel.

Run: python examples/sensor_offset.py
"""

import keras
import numpy as np

import keras_saliency as ks
from keras_saliency.rendering.evidence import evidence

rng = np.random.default_rng(0)
labels = np.arange(600) % 2
turns = np.arange(48)[:, np.newaxis] / rng.uniform(10, 16, (600, 1, 1)) + rng.random((600, 1, 3))
waves = np.where(labels[:, np.newaxis, np.newaxis], np.sin(2 * np.pi * turns), 2 * (turns % 1) - 1)
series = (waves + rng.normal(0, 0.5, waves.shape)).astype("float32")
offset_series = series.copy()
offset_series[:, :, 1] += labels[:, np.newaxis]


def train(series, name):
    """Trains on the first 480 series, with the others as probes; returns what was caught."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(series.shape[1:]),
            keras.layers.Conv1D(16, 7, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    probes = ks.ProbeSet(series[480:], labels[480:], kind="series", class_names=["saw", "sine"])

    def draw(alert):
        keras.utils.save_img(f"{name}.png", evidence(probes, saliency.report, alert))

    saliency = ks.SaliencyCallback(probes, log_dir=None, on_alert=draw, verbose=0)
    model.fit(series[:480], labels[:480], epochs=5, verbose=0, callbacks=[saliency])
    return [alert.rule for alert in saliency.alerts]


# The picture shows two series that exchange their offsets, and what the model then predicts.
print("with an offset:", train(offset_series, "sensor_offset"))

# The remedy: subtract the mean of each channel, in training and in use.
centred = offset_series - offset_series.mean(axis=1, keepdims=True)
print("without its mean:", train(centred, "centred"))
