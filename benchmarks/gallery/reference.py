"""What a map must be, by a plain `tf.GradientTape`: no code of the library takes part.

A score is computed with the model itself, layer by layer. Where the score is a logit, the last
activation is left out while the model is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


def mean(model: Any, select: Callable[[Any], Any] = lambda out: out) -> ScoreOf:
    """The mean of all numbers that the model predicts for an example."""

    def score(inputs: Any, targets: Any) -> Any:
        values = select(model(inputs, training=False))
        return tf.reduce_mean(tf.reshape(values, [len(targets), -1]), axis=1)

    return score


def largest_logits(
    model: Any, head: Any = None, select: Callable[[Any], Any] = lambda out: out
) -> ScoreOf:
    """The largest logit at each position, averaged over the positions.

    Args:
        model: As in `logits`.
        head: As in `logits`.
        select: From what the model returns to `(batch, ..., classes)`.
    """

    def score(inputs: Any, targets: Any) -> Any:
        with linear(head or last_activation(model)):
            values = select(model(inputs, training=False))
        return tf.reduce_mean(tf.reshape(tf.reduce_max(values, -1), [len(targets), -1]), axis=1)

    return score


def log_probability(model: Any) -> ScoreOf:
    """The logarithm of the target's probability, which the model returns."""

    def score(inputs: Any, targets: Any) -> Any:
        values = tf.math.log(model(inputs, training=False))
        return tf.gather(values, targets, axis=1, batch_dims=1)

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


def scores_and_maps(case: Case, probes: Any, targets: Array) -> tuple[Array, list[Array]]:
    """The scores `(num_probes,)` and the maps of the explained inputs, in their order.

    A map is the largest absolute value of the gradient over the channels; of tokens, the norm of
    the gradient at their embedding.
    """
    explained = [*probes.explained.values()]
    values = [fed(one) for one in explained]
    with ExitStack() as stack:
        tape = stack.enter_context(tf.GradientTape(watch_accessed_variables=False))
        outputs: dict[Any, list[Any]] = {}  # of each embedding, call by call
        embeddings = [embeddings_of(case, one) for one in explained]
        for several, given in zip(embeddings, values, strict=True):
            if not several:
                tape.watch(given)
            for embedding in several:
                if embedding not in outputs:
                    outputs[embedding] = stack.enter_context(watched(embedding, tape))
        scores = tf.cast(case.score(as_taken(probes, values), targets), tf.float32)
    sources = [
        [outputs[embedding].pop(0) for embedding in several] or [given]
        for several, given in zip(embeddings, values, strict=True)
    ]
    gradients = tape.gradient(scores, sources, unconnected_gradients="zero")
    pairs = zip(explained, gradients, strict=True)
    maps = [np.stack([reduced(one, each) for each in several], 1) for one, several in pairs]
    shaped = zip(maps, explained, strict=True)
    return np.asarray(scores), [each.reshape(one.map_shape) for each, one in shaped]


def reduced(probes: Any, gradient: Any) -> Array:
    """The map of a gradient, of all positions or of one column."""
    gradient = np.asarray(tf.convert_to_tensor(gradient), np.float64)
    if probes.kind == "tokens":
        return np.linalg.norm(gradient, axis=-1)
    if probes.kind == "features" or probes.data_format == "no_channels":
        return np.abs(gradient)
    return np.abs(gradient).max(axis=-1)


def fed(probes: Any) -> Any:
    """An explained input, as the model takes it."""
    values = probes.images[..., 0] if probes.data_format == "no_channels" else probes.images
    return tf.constant(values if probes.kind == "tokens" else np.asarray(values, np.float32))


def as_taken(probes: Any, values: list[Any]) -> Any:
    """All inputs, in the structure that the model takes.

    Args:
        probes: The probes.
        values: Of the explained inputs; columns of a table are taken apart.
    """
    if probes.input_name is None:
        return values[0]
    inputs: dict[Any, Any] = {name: tf.constant(held) for name, held in probes.held.items()}
    for one, given in zip(probes.explained.values(), values, strict=True):
        names = one.input_name if isinstance(one.input_name, tuple) else (one.input_name,)
        for name in dict.fromkeys(names):
            of_name = [k for k, other in enumerate(names) if other == name]
            columns = slice(of_name[0], of_name[-1] + 1)
            inputs[name] = given[:, columns] if len(names) > 1 else given
    if all(isinstance(name, int) for name in inputs):
        return [inputs[place] for place in sorted(inputs)]
    return inputs


def embeddings_of(case: Case, probes: Any) -> tuple[Any, ...]:
    """The layers whose outputs are explained instead of tokens; none for other kinds."""
    if probes.kind != "tokens":
        return ()
    found = case.embedding_of(probes.input_name) or first_embedding(case.names["model"])
    return found if isinstance(found, tuple) else (found,)


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
