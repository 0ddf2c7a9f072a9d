"""A training loop of one's own: `SaliencyMonitor` explains, the loop decides when.

Run: python examples/custom_training_loop.py
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_saliency as ks

digits = load_digits()
images = digits.images[..., np.newaxis].astype("float32") / 16
batches = tf.data.Dataset.from_tensor_slices((images, digits.target)).batch(64)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
)
optimizer = keras.optimizers.Adam()
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function
def train_step(images, labels):
    with tf.GradientTape() as tape:
        value = loss(labels, model(images, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


probes = ks.ProbeSet.from_dataset(batches)
monitor = ks.SaliencyMonitor(model, probes)
sink = ks.TensorBoardSink("logs", probes)

start = report = monitor.intervene(monitor.evaluate(step=-1))
sink.write(report)
for epoch in range(3):
    for batch in batches:
        train_step(*batch)
    report = monitor.evaluate(step=epoch, previous=report, before=start)
    report = monitor.intervene(report)  # tests what the model uses; as often as you like
    sink.write(report)
    print(
        f"epoch {epoch}: {report.metrics['probe_accuracy']:.0%} of the probes right, "
        f"similarity to the maps before {report.metrics['map_similarity']:.2f}"
    )
    for alert in report.alerts:  # a warning first, an alert if it fires again
        print(f"{alert.level}: {alert}")
sink.close()
