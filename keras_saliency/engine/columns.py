"""Which of several inputs have a gradient. The others, which the model looks up, are held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from keras_saliency.attributions.differentiation import differentiated
from keras_saliency.attributions.scores import Score
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.dry_run import dry_run
from keras_saliency.engine.forward import ForwardPass, by_input, places_of
from keras_saliency.engine.kinds import are_embedded
from keras_saliency.engine.traced_inputs import has_embedding

_SHARED = ("targets", "groups", "class_names", "names", "indices")


def with_gradients(
    model: Any, probes: ProbeSet, score: Score, batch_size: int
) -> tuple[ProbeSet, list[Any]]:
    """The probes without the inputs and columns of tables that have no gradient, which are held.

    Columns of integers that all have an embedding each are tokens instead.

    Args:
        model: The model.
        probes: The probes.
        score: What is differentiated.
        batch_size: As in `dry_run`.

    Returns:
        The probes, and the names of the inputs that are held now.

    Raises:
        ValueError: No input has a gradient, or a region lies in inputs without one.
    """
    everything = probes.explained.items()
    is_several = len(everything) > 1 or isinstance(probes.input_name, tuple)
    without = _without_gradient(model, probes, score, batch_size) if is_several else []
    if not without:
        return probes, []
    explained: dict[Any, ProbeSet] = {}
    looked_up: dict[Any, Array] = {}
    for key, one in everything:
        if not isinstance(one.input_name, tuple):
            if key in without:
                _check_none_lost([*one.regions], [key])
                looked_up[key] = _whole(_as_given(one))
            else:
                explained[key] = one
            continue
        columns = by_input(one, one.images)
        looked_up |= {name: _whole(columns[name]) for name in columns if name in without}
        left = {name: values for name, values in columns.items() if name not in without}
        if left:
            table = _of_columns(one, one.input_name, left)
            explained[key if len(left) > 1 else table.input_name] = table
        else:
            _check_none_lost([*one.regions], columns)
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


def _without_gradient(model: Any, probes: ProbeSet, score: Score, batch_size: int) -> list[Any]:
    """The names of the inputs that the score has no gradient with respect to.

    Tokens have none if no layer makes vectors of them. Masks of attention are such inputs.
    """
    forward = ForwardPass(model, probes, score)
    inputs = DeviceProbes(probes, with_boxes=True)
    without: set[Any] = set()

    def look(chunk: dict[str, Any]) -> None:
        images, held = chunk["images"], dict(chunk["held"])
        given: dict[Any, Any] = {}
        for key, one in probes.explained.items():
            is_first = one is probes
            tensor = images if is_first else held[str(key)]
            if not isinstance(one.input_name, tuple):
                given[key] = tensor
                continue
            split = by_input(one, tensor)
            given |= split
            if is_first:
                images = split
            else:
                held[str(key)] = split
        _, values, calls = forward.run(images, held, chunk["targets"], places_of(chunk))
        tokens = {key for key, one in probes.explained.items() if one.kind == "tokens"}
        without.update(key for key in tokens if not has_embedding(calls, values, given[key]))
        others = {key: tensor for key, tensor in given.items() if key not in tokens}
        gradients = differentiated(values, [*others.values()], None)[0]
        pairs = zip(others, gradients, strict=True)
        without.update(key for key, gradient in pairs if gradient is None)

    is_traced = dry_run(forward, inputs, batch_size, look)
    return [key for key in _names(probes) if is_traced and key in without]


def _names(probes: ProbeSet) -> list[Any]:
    """The names of all inputs that are explained, and of the columns of tables."""
    every = [one.input_name for one in probes.explained.values()]
    return [
        name for one in every for name in (dict.fromkeys(one) if isinstance(one, tuple) else [one])
    ]


def _as_given(probes: ProbeSet) -> Array:
    """An explained input in the layout in which the model takes it."""
    if probes.data_format == "no_channels":
        return probes.images[..., 0]
    is_moved = probes.data_format == "channels_first"
    return np.moveaxis(probes.images, -1, 1) if is_moved else probes.images


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
    _check_none_lost(empty, dict.fromkeys(compress(input_name, ~kept)))
    names = None if table.feature_names is None else [*compress(table.feature_names, kept)]
    return ProbeSet(
        columns,
        kind="features",
        feature_names=names,
        masks=None if table.masks is None else table.masks[:, kept],
        regions=regions,
    )


def _check_none_lost(regions: Sequence[str], without: Iterable[Any]) -> None:
    """Raises an error if there are regions that lie in inputs without a gradient alone.

    Args:
        regions: The names of such regions.
        without: The names of the inputs.

    Raises:
        ValueError: There is such a region.
    """
    if regions:
        raise ValueError(
            f"regions[{regions[0]!r}]: expected an input or column with a gradient, since only "
            "those are explained and tested; the score has none with respect to "
            f"{', '.join(map(repr, without))}, for example since the model looks the values up. "
            "Leave this region out."
        )


def _whole(values: Array) -> Array:
    """Values as integers, if they are, as lookups take them."""
    is_whole = bool((np.floor(values) == values).all())
    return values.astype(np.int64) if is_whole else values
