"""What a map must be, by a plain `tf.GradientTape`: no code of the library takes part.

A score is computed with the model itself, layer by layer. Where the score is a logit, the last
activation is left out while the model is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks._models import Array
from benchmarks.gallery.rows import Case

ScoreOf = Callable[[Any, Any], Any]


def logits(model: Any, head: Any = None, select: Callable[[Any], Any] = lambda out: out) -> ScoreOf:
    """The target's logit; with one unit `z`, `z` for class 1 and `-z` for class 0.

    Args:
        model: A Keras model, or a function of its inputs.
        head: The layer with the softmax or sigmoid. Default: the last layer that has one.
        select: From what the model returns to `(batch, classes)`.
    """

    def score(inputs: Any, targets: Any) -> Any:
        with linear(head or last_activation(model)):
            values = select(model(inputs, training=False))
        values = tf.reshape(tf.cast(values, tf.float32), [len(targets), -1])
        if values.shape[1] == 1:
            return tf.where(targets == 1, values[:, 0], -values[:, 0])
        return tf.gather(values, targets, axis=1, batch_dims=1)

    return score


def output(model: Any, select: Callable[[Any], Any] = lambda out: out, unit: int = 0) -> ScoreOf:
    """A number that the model predicts, as it is."""

    def score(inputs: Any, targets: Any) -> Any:
        values = select(model(inputs, training=False))
        return tf.reshape(values, [len(targets), -1])[:, unit]

    return score


def last_activation(model: Any) -> Any:
    """The last layer with a softmax or sigmoid; `None` if the outputs are logits."""
    ends = (keras.activations.softmax, keras.activations.sigmoid)
    found = [one for one in in_order(model) if getattr(one, "activation", None) in ends]
    return found[-1] if found else None


def in_order(layer: Any) -> Iterator[Any]:
    """The layers inside a layer, in the order in which they were made."""
    for inner in getattr(layer, "_layers", ()):
        yield inner
        yield from in_order(inner)


@contextmanager
def linear(layer: Any) -> Iterator[None]:
    """Leaves out the activation of a layer meanwhile."""
    if layer is None:
        yield
        return
    before, layer.activation = layer.activation, keras.activations.linear
    try:
        yield
    finally:
        layer.activation = before


@contextmanager
def watched(layer: Any, tape: tf.GradientTape) -> Iterator[list[Any]]:
    """The outputs of a layer, watched, of all calls meanwhile."""
    seen: list[Any] = []
    call = layer.call

    def watching(*args: Any, **kwargs: Any) -> Any:
        seen.append(call(*args, **kwargs))
        tape.watch(seen[-1])
        return seen[-1]

    layer.call = watching
    try:
        yield seen
    finally:
        layer.call = call


def scores_and_maps(case: Case, probes: Any, targets: Array) -> tuple[Array, Array]:
    """The scores `(num_probes,)` and the maps of the probes.

    A map is the largest absolute value of the gradient over the channels; of tokens, the norm of
    the gradient at their embedding.
    """
    explained = fed(probes)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        if case.kind == "tokens":
            embedding = case.embedding or first_embedding(case.names["model"])
            with watched(embedding, tape) as seen:
                scores = case.score(as_taken(probes, explained), targets)
            source = seen[0]
        else:
            tape.watch(explained)
            scores = case.score(as_taken(probes, explained), targets)
            source = explained
        scores = tf.cast(scores, tf.float32)
    gradient = np.asarray(tf.convert_to_tensor(tape.gradient(scores, source)), np.float64)
    if case.kind == "tokens":
        maps = np.linalg.norm(gradient, axis=-1)
    elif case.kind == "features" or probes.data_format == "no_channels":
        maps = np.abs(gradient)
    else:
        maps = np.abs(gradient).max(axis=-1)
    return np.asarray(scores), maps.reshape(probes.map_shape)


def fed(probes: Any) -> Any:
    """The explained input, as the model takes it."""
    values = probes.images[..., 0] if probes.data_format == "no_channels" else probes.images
    return tf.constant(values if probes.kind == "tokens" else np.asarray(values, np.float32))


def as_taken(probes: Any, explained: Any) -> Any:
    """All inputs, in the structure that the model takes."""
    if probes.input_name is None:
        return explained
    inputs = {**{name: tf.constant(v) for name, v in probes.held.items()}}
    inputs[probes.input_name] = explained
    if all(isinstance(name, int) for name in inputs):
        return [inputs[place] for place in sorted(inputs)]
    return inputs


def first_embedding(model: Any) -> Any:
    """The first `Embedding` among the layers."""
    return next(one for one in in_order(model) if isinstance(one, keras.layers.Embedding))


def difference(found: Array, expected: Array) -> float:
    """The relative L2 difference; 0 where both are zero."""
    if np.shape(found) != expected.shape:
        return float("inf")
    scale = np.abs(expected).max() or 1.0
    norm = np.linalg.norm(expected / scale) or 1.0
    return float(np.linalg.norm((np.asarray(found, np.float64) - expected) / scale) / norm)
