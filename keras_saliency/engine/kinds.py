"""Finds the kinds of inputs that their rank leaves open, from the first layers of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from keras import layers

from keras_saliency.data.inputs import AssumedKind
from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.keras_internals import all_layers, steps_behind, with_graph
from keras_saliency.engine.models import input_tensors

_OF_SERIES = (
    layers.AdditiveAttention,
    layers.Attention,
    layers.AveragePooling1D,
    layers.Bidirectional,
    layers.Conv1D,
    layers.Conv1DTranspose,
    layers.Cropping1D,
    layers.Dense,
    layers.DepthwiseConv1D,
    layers.GlobalAveragePooling1D,
    layers.GlobalMaxPooling1D,
    layers.GroupQueryAttention,
    layers.Masking,
    layers.MaxPooling1D,
    layers.MultiHeadAttention,
    layers.RNN,
    layers.SeparableConv1D,
    layers.SpatialDropout1D,
    layers.TimeDistributed,
    layers.UpSampling1D,
    layers.ZeroPadding1D,
)
"""Layers that take steps and channels."""

_OF_IMAGES = (
    layers.AveragePooling2D,
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.Flatten,
    layers.MaxPooling2D,
    layers.Reshape,
    layers.Resizing,
    layers.SeparableConv2D,
    layers.ZeroPadding2D,
)
"""Layers that take rows and columns, or an image of which they make a vector."""


def with_kinds_told(model: Any, probes: ProbeSet) -> ProbeSet:
    """The probes with kinds that the first layers of a model tell, where the rank leaves several.

    Inputs of rank 3 are gray images or series, integers of rank 2 tokens or features.

    Raises:
        ValueError: The layers do not tell either.
    """
    others = {name: _told(model, one) for name, one in probes.other_inputs.items()}
    first = _told(model, probes)
    if first is probes and all(others[name] is probes.other_inputs[name] for name in others):
        return probes
    return replace(first, other_inputs=others)


def _told(model: Any, probes: ProbeSet) -> ProbeSet:
    """One of the explained inputs, with its kind told."""
    if not isinstance(probes.kind, AssumedKind):
        return probes
    name = probes.input_name
    if probes.kind == "image":
        kind = next(filter(None, map(_kind_of_rank_3, _first_layers(model, name))), None)
        if kind is None:
            raise ValueError(
                f"kind: images of shape {probes.images.shape[:-1]} are gray images or series, and "
                "the first layers of the model do not tell which. Pass kind='image' or "
                "kind='series' to the ProbeSet."
            )
        if kind == "series":
            return _with(probes, kind, images=probes.images[..., 0], data_format="channels_last")
        return _with(probes, kind)
    if isinstance(name, tuple):
        return _with(probes, str(probes.kind))
    kind = next(filter(None, map(_kind_of_integers, _first_layers(model, name))), None)
    return _with(probes, kind or str(probes.kind))


def _with(probes: ProbeSet, kind: str, **fields: Any) -> ProbeSet:
    names = None if kind != "features" else probes.feature_names
    return replace(probes, kind=kind, feature_names=names, **fields)


def _kind_of_rank_3(layer: Any) -> str | None:
    if isinstance(layer, _OF_IMAGES) or type(layer).__name__ in ("ExpandDims", "Reshape"):
        return "image"
    return "series" if isinstance(layer, _OF_SERIES) else None


def _kind_of_integers(layer: Any) -> str | None:
    if isinstance(layer, layers.Embedding):
        return "tokens"
    return "features" if isinstance(layer, layers.Dense | layers.Normalization) else None


def are_embedded(model: Any, names: Sequence[Any]) -> bool:
    """Whether the first layer behind each of these inputs that tells its kind is an embedding."""
    return all(
        next(filter(None, map(_kind_of_integers, _first_layers(model, name))), None) == "tokens"
        for name in names
    )


def _first_layers(model: Any, name: Any) -> Iterator[Any]:
    """The layers behind an input, in the order in which they compute; their inner ones as well.

    Of a model whose graph does not show it, all layers.
    """
    functional = with_graph(model)
    given = input_tensors(functional)
    known, tensors = [*given], [*given.values()]
    if len(tensors) > 1:
        place = name if isinstance(name, int) else known.index(name) if name in known else 0
        tensors = tensors[place : place + 1]
    behind = steps_behind(functional, tensors)
    for layer in [model] if behind is None else behind:
        yield from all_layers(layer) if isinstance(layer, layers.Layer) else [layer]
