"""A program that trains under `MirroredStrategy`, on two logical devices of the CPU.

Devices are set up before TensorFlow starts, so it needs a process of its own. It prints what it
found as JSON: `python -c "from support import mirrored; mirrored.main()" <log_dir>`.
"""

import json
import sys
from pathlib import Path

import keras
import tensorflow as tf

import keras_saliency as ks
from support.networks import data, network, probes
from support.random_states import next_draws
from support.small_nets import OwnNoise


class Counter(keras.layers.Layer):
    """Counts its calls, in inference too."""

    def build(self, shape):
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False, aggregation="mean"
        )

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs


def fitted(strategy, extra, callbacks, *, is_built=True):
    """A trained model, and all that the fit leaves behind, as bytes."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    with strategy.scope():
        model = network(*[layer() for layer in extra], is_built=is_built)
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(*data(), batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    variables = [*model.variables, *model.optimizer.variables]
    left = [variable.numpy().tobytes().hex() for variable in variables]
    return model, [*left, repr(next_draws())]


def known(model):
    """Probes that a model gets right, so that there are tests."""
    images, _ = data()
    return ks.ProbeSet(images, model.predict(images, verbose=0).argmax(axis=1))


def tested(model, of):
    """The report of a new monitor."""
    monitor = ks.SaliencyMonitor(model, of)
    return monitor.intervene(monitor.evaluate(0))


def numbers(report):
    """What a report says, as lists."""
    effects = [(effect.effect, effect.flip) for effect in report.interventions.effects]
    return {"maps": report.maps.tolist(), "scores": report.scores.tolist(), "effects": effects}


def main():
    """Trains with and without the callback, and compares with one device."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    log_dir, extra = Path(sys.argv[1]), (OwnNoise, Counter)
    saliency = ks.SaliencyCallback(
        probes(), log_dir=log_dir, update_freq=2, interventions="epoch", pictures=None, verbose=0
    )
    model, left = fitted(strategy, extra, [saliency])
    alone = network(*[layer() for layer in extra])
    alone.set_weights(model.get_weights())
    expected = [tested(alone, probes())]  # with the noise of a new model, as before the training
    for variable, trained in zip(alone.variables, model.variables, strict=True):
        variable.assign(trained.numpy())  # also the states of seed generators
    right = known(alone)
    for variable, trained in zip(alone.variables, model.variables, strict=True):
        variable.assign(trained.numpy())  # also those that predictions have changed
    expected += 2 * [tested(alone, right)]
    with strategy.scope():
        found = [saliency.report, tested(model, right)]
    found.append(tested(model, right))
    watching = ks.SaliencyCallback(probes(), log_dir=None, interventions=None, verbose=0)
    result = {
        "replicas": strategy.num_replicas_in_sync,
        "left": [left, fitted(strategy, extra, [])[1]],
        "left of unbuilt models": [
            fitted(strategy, (), callbacks, is_built=False)[1] for callbacks in ([watching], [])
        ],
        "steps": list(zip(saliency.history["run"], saliency.history["step"], strict=True)),
        "files": sorted(path.parent.name for path in log_dir.rglob("*tfevents*")),
        "found": [numbers(report) for report in found],
        "expected": [numbers(report) for report in expected],
    }
    print(json.dumps(result))
