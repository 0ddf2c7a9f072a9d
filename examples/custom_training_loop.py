"""A custom training loop: `SaliencyMonitor` explains and tests, the loop decides when.

Run: python examples/custom_training_loop.py
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_saliency as ks

digits = load_digits()
images = digits.images[..., np.newaxis].astype("float32") / 16
batches = tf.data.Dataset.from_tensor_slices((images[:1200], digits.target[:1200])).batch(64)

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


# Held-out images: on memorised ones the p-values of the tests do not hold.
probes = ks.ProbeSet.from_dataset((images[1200:], digits.target[1200:]))
monitor = ks.SaliencyMonitor(model, probes)
sink = ks.TensorBoardSink("logs", probes)

NUM_EPOCHS = 3
sink.write(monitor.step(-1))  # the state before training
for epoch in range(NUM_EPOCHS):
    for batch in batches:
        train_step(*batch)
    report = monitor.step(epoch, last=epoch == NUM_EPOCHS - 1)
    sink.write(report)
    print(
        f"epoch {epoch}: accuracy on the probes {report.metrics['probe_accuracy']:.0%}, "
        f"similarity to the maps before {report.metrics['map_similarity']:.2f}"
    )
    for alert in report.alerts:  # a warning first, an alert if it fires again
        print(f"{alert.level}: {alert}")
sink.close()
print(f"{len(monitor.state.alerts)} alerts")
