"""Which of several inputs have a gradient. The others, which the model looks up, are held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_saliency.attributions.differentiation import differentiated
from keras_saliency.attributions.scores import Score
from keras_saliency.data.inputs import SCALARS
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.dry_run import dry_run
from keras_saliency.engine.forward import ForwardPass, by_input, places_of, separate
from keras_saliency.engine.kinds import are_embedded
from keras_saliency.engine.traced_inputs import has_embedding


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
        if isinstance(one.input_name, tuple):
            columns = by_input(one, one.images)
            looked_up |= {name: _whole(columns[name]) for name in columns if name in without}
            kept = np.array([name not in without for name in one.input_name])
            if kept.any():
                table = one.with_columns(kept)
                explained[key if isinstance(table.input_name, tuple) else table.input_name] = table
            _check_none_lost(one, table.regions if kept.any() else {}, without)
        elif key in without:
            looked_up[key] = _whole(_as_given(one))
            _check_none_lost(one, {}, without)
        else:
            explained[key] = one
    if (
        not explained
        and probes.kind != "tokens"
        and are_embedded(model, probes, without, batch_size)
    ):
        return with_gradients(model, _as_tokens(probes, looked_up), score, batch_size)
    if not explained:
        advice = "Explain another input: ProbeSet(images, targets, input_name=..., held={...})."
        with_places = [key for key, one in everything if one.kind not in ("features", "tokens")]
        if with_places:
            advice = (
                "A method that needs no gradient explains one input alone: method='occlusion' and "
                f"ProbeSet.from_dataset(dataset, input_name={with_places[0]!r})."
            )
        raise ValueError(
            "images: expected inputs with a gradient; the score has none with respect to "
            f"{', '.join(map(repr, without))}, for example since the model looks their values up "
            f"or casts them to integers. {advice}"
        )
    (_, first), *rest = explained.items()
    held = {**probes.held, **looked_up}
    return replace(first, held=held, other_inputs=dict(rest)), without


def _as_tokens(probes: ProbeSet, ids: dict[Any, Array]) -> ProbeSet:
    """The probes with each of these inputs as tokens, in place of all that are explained."""
    return ProbeSet(
        ids,
        probes.targets,
        kind="tokens",
        groups=probes.groups,
        class_names=probes.class_names,
        names=probes.names,
        output=probes.output,
        predicts_numbers=probes.predicts_numbers,
        indices=probes.indices,
        held=probes.held,
    )


def _without_gradient(model: Any, probes: ProbeSet, score: Score, batch_size: int) -> list[Any]:
    """The names of the inputs that the score has no gradient with respect to.

    Tokens have none if no layer makes vectors of them. Masks of attention are such inputs.
    """
    forward = ForwardPass(model, probes, score)
    inputs = DeviceProbes(probes, with_boxes=True)
    without: set[Any] = set()

    def look(chunk: dict[str, Any]) -> None:
        images, held, given = separate(probes, chunk)
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
    if probes.data_format in ("no_channels", SCALARS):
        return probes.images[..., 0]
    is_moved = probes.data_format == "channels_first"
    return np.moveaxis(probes.images, -1, 1) if is_moved else probes.images


def _check_none_lost(probes: ProbeSet, kept: Collection[str], without: Sequence[Any]) -> None:
    """Checks that no region lies in inputs without a gradient alone.

    Args:
        probes: Of an input.
        kept: The names of its regions that have places in inputs with a gradient.
        without: The names of the inputs without one.

    Raises:
        ValueError: There is such a region.
    """
    lost = [name for name in probes.regions if name not in kept]
    if lost:
        raise ValueError(
            f"regions[{lost[0]!r}]: expected an input or column with a gradient, since only "
            "those are explained and tested; the score has none with respect to "
            f"{', '.join(map(repr, without))}, for example since the model looks the values up. "
            "Leave this region out."
        )


def _whole(values: Array) -> Array:
    """Values as integers, if they are, as lookups take them."""
    is_whole = bool((np.floor(values) == values).all())
    return values.astype(np.int64) if is_whole else values
