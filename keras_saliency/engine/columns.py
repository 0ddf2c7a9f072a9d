"""Which columns of a table have a gradient. The others, which the model looks up, are held."""

from __future__ import annotations

from itertools import compress
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.differentiation import differentiated
from keras_saliency.attributions.scores import Score
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.forward import ForwardPass, by_input, places_of
from keras_saliency.engine.kinds import are_embedded
from keras_saliency.engine.state_guard import own_seed_generator

_SHARED = ("targets", "groups", "class_names", "names", "indices")


def with_gradients(model: Any, probes: ProbeSet, score: Score) -> tuple[ProbeSet, list[Any]]:
    """The probes without the columns of tables that have no gradient, which are held.

    Integers that all have an embedding each are tokens instead.

    Args:
        model: The model.
        probes: The probes.
        score: What is differentiated.

    Returns:
        The probes, and the names of the columns that are held now.

    Raises:
        ValueError: No column has a gradient, and nothing else is explained, or a region has no
            column with one.
    """
    everything = probes.explained.items()
    tables = {name: one for name, one in everything if isinstance(one.input_name, tuple)}
    without = _without_gradient(model, probes, score, tables) if tables else []
    if not without:
        return probes, []
    explained: dict[Any, ProbeSet] = {}
    looked_up: dict[Any, Array] = {}
    for key, one in everything:
        if not isinstance(one.input_name, tuple):
            explained[key] = one
            continue
        columns = by_input(one, one.images)
        looked_up |= {name: _whole(columns[name]) for name in columns if name in without}
        left = {name: values for name, values in columns.items() if name not in without}
        if left:
            table = _of_columns(one, one.input_name, left)
            explained[key if len(left) > 1 else table.input_name] = table
    if not explained and not are_embedded(model, without):
        raise ValueError(
            "images: expected inputs with a gradient; the score has none with respect to "
            f"{', '.join(map(repr, without))}, for example since the model looks their values up. "
            "Explain another input: ProbeSet(images, targets, input_name=..., held={...})."
        )
    shared = {name: getattr(probes, name) for name in _SHARED}
    if not explained:
        return ProbeSet(looked_up, kind="tokens", **shared, held=probes.held), []
    (_, first), *rest = explained.items()
    fields = {
        name: getattr(first, name)
        for name in (
            "masks",
            "boxes",
            "regions",
            "kind",
            "data_format",
            "vocabulary",
            "feature_names",
        )
    }
    seen = ProbeSet(
        first.images,
        **shared,
        **fields,
        input_name=first.input_name,
        held={**probes.held, **looked_up},
        other_inputs=dict(rest),
    )
    return seen, without


def _without_gradient(
    model: Any, probes: ProbeSet, score: Score, tables: dict[Any, ProbeSet]
) -> list[Any]:
    """The names of the inputs of tables that the score has no gradient with respect to."""
    forward = ForwardPass(model, probes, score)
    specs = DeviceProbes(probes, with_boxes=True).specs(2)
    specs["targets"] = tf.TensorSpec((2,), tf.int32)
    without: list[Any] = []

    def traced(chunk: dict[str, Any]) -> Any:
        images, held = chunk["images"], dict(chunk["held"])
        columns: dict[Any, Any] = {}
        for key, one in tables.items():
            is_first = key not in probes.other_inputs
            split = by_input(one, images if is_first else held[str(key)])
            columns |= split
            if is_first:
                images = split
            else:
                held[str(key)] = split
        _, values, _ = forward.run(images, held, chunk["targets"], places_of(chunk))
        gradients = differentiated(values, [*columns.values()], None)[0]
        pairs = zip(columns, gradients, strict=True)
        without.extend(name for name, gradient in pairs if gradient is None)
        return values

    with own_seed_generator():
        tf.function(traced, autograph=False).get_concrete_function(specs)
    return without


def _of_columns(
    table: ProbeSet, input_name: tuple[str | int, ...], columns: dict[Any, Array]
) -> ProbeSet:
    """Some columns of a table, with its masks and regions there.

    Args:
        table: The table.
        input_name: The name of the input of each of its columns.
        columns: The columns that stay, by the names of their inputs.

    Raises:
        ValueError: A region has none of these columns.
    """
    kept = np.array([name in columns for name in input_name])
    regions = {name: region[:, kept] for name, region in table.regions.items()}
    empty = [name for name, region in regions.items() if not region.any()]
    if empty:
        without = dict.fromkeys(compress(input_name, ~kept))
        raise ValueError(
            f"regions[{empty[0]!r}]: expected a column with a gradient, since only those are "
            f"explained and tested; the score has none with respect to "
            f"{', '.join(map(repr, without))}, for example since the model looks the values up. "
            "Leave this region out."
        )
    names = None if table.feature_names is None else [*compress(table.feature_names, kept)]
    return ProbeSet(
        columns,
        kind="features",
        feature_names=names,
        masks=None if table.masks is None else table.masks[:, kept],
        regions=regions,
    )


def _whole(values: Array) -> Array:
    """Values as integers, if they are, as lookups take them."""
    is_whole = bool((np.floor(values) == values).all())
    return values.astype(np.int64) if is_whole else values
