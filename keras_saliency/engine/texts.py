"""Texts as inputs: what the model's own layer makes of them is explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.keras_internals import all_layers
from keras_saliency.engine.recording import recorded
from keras_saliency.engine.state_guard import own_seed_generator


def as_tokens(model: Any, probes: ProbeSet) -> tuple[ProbeSet, str]:
    """Probes that are texts as what the model's `TextVectorization` makes of them.

    Without one, it is the model's `StringLookup`.

    Args:
        model: The model, which takes the texts.
        probes: The probes.

    Returns:
        The probes, as tokens or, if the layer counts words, as features, with the vocabulary; and
        the path of the layer whose output they are. Other probes are returned as they are, with an
        empty path.

    Raises:
        ValueError: The model has no such layers, or several, or there are inputs beside the texts.
    """
    if probes.images.dtype.kind != "U":
        return probes, ""
    if probes.others:
        others = ", ".join(map(repr, probes.others))
        raise ValueError(
            f"images: expected texts alone, received {others} as well. Texts beside other inputs "
            "are held: "
            f"ProbeSet({{{probes.input_name!r}: texts, {next(iter(probes.others))!r}: ...}}, "
            "targets)."
        )
    kinds = (layers.TextVectorization, layers.StringLookup)
    each = [[one for one in all_layers(model) if isinstance(one, kind)] for kind in kinds]
    found = next(filter(None, each), [])
    if len(found) != 1:
        raise ValueError(
            f"images: expected a model with one TextVectorization layer for texts, or one "
            f"StringLookup, received one with {len(found)}. Apply the vectorization to the data: "
            "ProbeSet.from_dataset(dataset.map(lambda x, y: (vectorize(x), y))), or "
            "ProbeSet(tokens, targets, vocabulary=vectorize.get_vocabulary())."
        )
    (layer,) = found
    made = np.asarray(layer(tf.constant(probes.images)))
    words = tuple(map(str, layer.get_vocabulary()))
    if layer.get_config()["output_mode"] == "int":
        seen = replace(probes, images=made, kind="tokens", vocabulary=probes.vocabulary or words)
    else:
        names = tuple(word or "(padding)" for word in words)
        counts = made.astype(np.float32)
        seen = replace(probes, images=counts, kind="features", feature_names=names, vocabulary=None)
    return seen, _path(model, layer)


def _path(model: Any, layer: Any) -> str:
    """The path of a layer in the calls of a model, which is traced but not run."""

    def traced(texts: Any) -> Any:
        with recorded(model, {}) as calls:
            model(texts, training=False)
        paths.extend(call.path for call in calls if call.path.split("/")[-1] == layer.name)
        return tf.constant(0)

    paths: list[str] = []
    with own_seed_generator():
        spec = tf.TensorSpec((None, 1), tf.string)
        tf.function(traced, autograph=False).get_concrete_function(spec)
    return paths[0]
