"""Structured data: five named inputs, one bar chart, and a column that gives the label away.

Each column is an input of the model with its own normalization, as in Keras' structured data
examples. A dict of inputs in the ProbeSet explains all of them together. The last column is filled
in only after the diagnosis; a model that relies on it knows nothing about the next patient.

Run: python examples/structured_data.py
"""

from functools import partial

import keras
import numpy as np

import keras_saliency as ks
from keras_saliency.attributions import integrated_gradients

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
sick = rng.integers(0, 2, 1000)
columns = {
    "age": rng.normal(50 + 4 * sick, 9),
    "cholesterol": rng.normal(210 + 15 * sick, 40),
    "heart_rate": rng.normal(150 - 10 * sick, 20),
    "pressure": rng.normal(130, 15, 1000),
    "days_in_ward": np.where(rng.random(1000) < 0.9, 5.0 * sick, 2.0),
}
columns = {name: values.astype("float32")[:, np.newaxis] for name, values in columns.items()}
train = {name: values[:800] for name, values in columns.items()}
held_out = {name: values[800:] for name, values in columns.items()}

inputs, normalized = {}, []
for name, values in train.items():
    inputs[name] = keras.Input((1,), name=name)
    normalize = keras.layers.Normalization()
    normalize.adapt(values)
    normalized.append(normalize(inputs[name]))
hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()(normalized))
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")

probes = ks.ProbeSet(held_out, sick[800:], class_names=["healthy", "sick"])
# Columns have units of their own: compare what each adds to the score of the mean patient.
method = partial(integrated_gradients, baseline="mean")
saliency = ks.SaliencyCallback(probes, method=method, log_dir="logs")
model.fit(train, sick[:800], epochs=6, verbose=0, callbacks=[saliency])

for name, value in zip(probes.feature_names, saliency.report.maps.mean(axis=0), strict=True):
    print(f"{name:13} {value:.2f}")
for alert in saliency.alerts:
    print(alert)
