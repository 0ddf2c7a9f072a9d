"""Reinforcement learning: loops without `fit`; observed states are the probes of a monitor."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import floats, pixels
from benchmarks.gallery.reference import logits, output
from benchmarks.gallery.rows import Case, Row, Try


def monitored(model: str, probes: str, settings: str = "") -> str:
    """The shortest lines for a loop without `fit`, around one step of it."""
    return (
        f"probes = {probes}\n"
        f"monitor = ks.SaliencyMonitor({model}, probes{settings and f', {settings}'})\n"
        "sink = ks.TensorBoardSink(log_dir, probes)\n"
        "train_step()\n"
        "report = monitor.step(0)\n"
        "sink.write(report)\n"
        "sink.close()"
    )


def step_of(model: keras.Model, states: Any) -> Any:
    optimizer = keras.optimizers.Adam()

    def train_step() -> None:
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(model(states))
            loss = tf.add_n([tf.reduce_mean(one**2) for one in outputs])
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    return train_step


def first(model: str) -> Try:
    """The first lines, with the states as probes."""
    return Try(monitored(model, "ks.ProbeSet(states)"))


def discrete_policy() -> Case:
    """States (n, 4) float; shared layer with two outputs, a softmax over actions and a value."""
    inputs = keras.Input((4,))
    common = layers.Dense(8, activation="relu")(inputs)
    head = layers.Dense(2, activation="softmax", name="actions")
    model = keras.Model(inputs, [head(common), layers.Dense(1)(common)])
    names = {"model": model, "states": floats(4), "train_step": step_of(model, floats(4))}
    actor = logits(model, head, lambda out: out[0])
    return Case(names, (first("model"),), actor, kind="features")


def deep_q_network() -> Case:
    """Frames (84, 84, 4) uint8, four in a stack; convolutions, linear action values, no compile."""
    inputs = keras.Input((32, 32, 4))
    hidden = layers.Rescaling(1 / 255)(inputs)
    hidden = layers.Conv2D(8, 8, strides=4, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(hidden)))
    frames = pixels(32, 32, 4)
    step = step_of(model, frames.astype("float32"))
    names = {"model": model, "frames": frames, "train_step": step}
    return Case(names, (Try(monitored("model", "ks.ProbeSet(frames)")),), logits(model))


def deterministic_policy() -> Case:
    """States and actions, two inputs of a critic with one linear value; no compile."""
    state, action = keras.Input((3,), name="states"), keras.Input((1,), name="actions")
    merged = layers.Concatenate()([layers.Dense(8, activation="relu")(state), action])
    critic = keras.Model([state, action], layers.Dense(1)(layers.Dense(8, "relu")(merged)))
    names = {"critic_model": critic, "states": floats(3), "actions": floats(1, seed=1)}
    names["train_step"] = step_of(critic, [floats(3), floats(1, seed=1)])
    both = "ks.ProbeSet({'states': states, 'actions': actions})"
    tries = (
        first("critic_model"),
        Try(monitored("critic_model", both), ("ProbeSet({'states': ..., 'actions': ...}",)),
    )
    return Case(names, tries, output(critic), kind="features")


def clipped_policy() -> Case:
    """States (n, 4); the actor gives logits of actions, trained without compile or fit."""
    inputs = keras.Input((4,))
    actor = keras.Model(inputs, layers.Dense(2)(layers.Dense(8, activation="tanh")(inputs)))
    names = {"actor": actor, "states": floats(4), "train_step": step_of(actor, floats(4))}
    return Case(names, (first("actor"),), logits(actor), kind="features")


def continuous_actor() -> Case:
    """States (n, 3); an actor with one tanh action, scaled; a number, not classes."""
    inputs = keras.Input((3,))
    action = layers.Dense(1, activation="tanh")(layers.Dense(8, activation="relu")(inputs))
    actor = keras.Model(inputs, ops.multiply(action, 2.0))
    names = {"actor_model": actor, "states": floats(3), "train_step": step_of(actor, floats(3))}
    return Case(names, (first("actor_model"),), output(actor), kind="features")


ROWS = [
    Row("rl/actor_critic_cartpole", discrete_policy),
    Row("rl/deep_q_network_breakout", deep_q_network),
    Row("rl/ddpg_pendulum", deterministic_policy),
    Row("rl/ppo_cartpole", clipped_policy),
    Row("rl/ddpg_pendulum", continuous_actor),
]
