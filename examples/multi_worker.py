"""Several machines: a training loop under `MultiWorkerMirroredStrategy`, explained by the chief.

Keras' own `fit` does not work under this strategy. This program starts two workers on this
machine. On a cluster, start `train` once per machine, with that machine's `TF_CONFIG`.

Run: python examples/multi_worker.py
"""

import json
import os
import socket
import subprocess
import sys

NUM_EPOCHS = 3


def train(explains=True, at_epoch_end=lambda model, epoch: None):
    """What each worker does."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before anything else of TensorFlow

    import keras
    from sklearn.datasets import load_digits

    import keras_saliency as ks

    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16
    data = tf.data.Dataset.from_tensor_slices((images[:1280], digits.target[:1280])).batch(128)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(8, 3, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)

    def step(images, labels):
        with tf.GradientTape() as tape:
            losses = loss(labels, model(images, training=True))
            value = tf.reduce_sum(losses) / 128  # by the batch of all workers
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    @tf.function
    def train_step(batch):
        strategy.run(step, args=batch)

    # All workers have the same weights, except that each has BatchNorm statistics of its own. One
    # of them explains and writes, while the others wait for it in their next step. An evaluation
    # itself exchanges nothing with other workers.
    is_chief = strategy.cluster_resolver.task_id == 0
    monitor = None
    if explains and is_chief:
        probes = ks.ProbeSet.from_dataset((images[1280:], digits.target[1280:]), per_class=4)
        monitor = ks.SaliencyMonitor(model, probes)
        sink = ks.TensorBoardSink("logs", probes, pictures=None)
        sink.write(monitor.step(-1))
    batches = strategy.experimental_distribute_dataset(data)
    for epoch in range(NUM_EPOCHS):
        for batch in batches:
            train_step(batch)
        if monitor:
            report = monitor.step(epoch, last=epoch == NUM_EPOCHS - 1)
            sink.write(report)
            print(f"epoch {epoch}: accuracy {report.metrics['probe_accuracy']:.0%}", flush=True)
        at_epoch_end(model, epoch)
    if monitor:
        sink.close()


def configurations(num_workers=2):
    """The `TF_CONFIG` of each worker, on free ports of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(num_workers)]
    addresses = [f"127.0.0.1:{opened.getsockname()[1]}" for opened in sockets]
    for opened in sockets:
        opened.close()
    cluster = {"worker": addresses}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(num_workers)
    ]


if __name__ == "__main__":
    if "TF_CONFIG" in os.environ:
        train()
    else:
        workers = [
            subprocess.Popen([sys.executable, __file__], env=os.environ | {"TF_CONFIG": text})
            for text in configurations()
        ]
        sys.exit(max(worker.wait() for worker in workers))
