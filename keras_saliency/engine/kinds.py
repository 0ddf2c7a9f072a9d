"""Finds the kinds of inputs that their rank leaves open, from the first layers of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import tensorflow as tf
from keras import layers

from keras_saliency.attributions.differentiation import downstream
from keras_saliency.attributions.scores import Score
from keras_saliency.data.inputs import AssumedKind
from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.dry_run import dry_run
from keras_saliency.engine.forward import ForwardPass, separate
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


_PRODUCTS = {"BatchMatMulV2", "Einsum", "Mul", "SelectV2"}
"""Operations that weight one tensor by another, or choose from it."""

_Layers = Callable[[Any], Sequence[Any]]
"""The layers behind an input, by its name."""


def with_kinds_told(model: Any, probes: ProbeSet, batch_size: int) -> ProbeSet:
    """The probes with kinds that the first layers of a model tell, where the rank leaves several.

    Inputs of rank 3 are gray images or series, integers of rank 2 tokens or features.

    Args:
        model: The model.
        probes: The probes.
        batch_size: As in `dry_run`.

    Raises:
        ValueError: The layers do not tell either.
    """
    first_layers = _first_layers(model, probes, batch_size)
    others = {name: _told(one, first_layers) for name, one in probes.other_inputs.items()}
    first = _told(probes, first_layers)
    if first is probes and all(others[name] is probes.other_inputs[name] for name in others):
        return probes
    return replace(first, other_inputs=others)


def _told(probes: ProbeSet, first_layers: _Layers) -> ProbeSet:
    """One of the explained inputs, with its kind told."""
    if not isinstance(probes.kind, AssumedKind):
        return probes
    name = probes.input_name
    if probes.kind == "image":
        kind = next(filter(None, map(_kind_of_rank_3, first_layers(name))), None)
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
    kind = next(filter(None, map(_kind_of_integers, first_layers(name))), None)
    return _with(probes, kind or str(probes.kind))


def _with(probes: ProbeSet, kind: str, **fields: Any) -> ProbeSet:
    names = None if kind != "features" else probes.feature_names
    words = None if kind != "tokens" else probes.vocabulary
    return replace(probes, kind=kind, feature_names=names, vocabulary=words, **fields)


def _kind_of_rank_3(layer: Any) -> str | None:
    if isinstance(layer, _OF_IMAGES) or type(layer).__name__ in ("ExpandDims", "Reshape"):
        return "image"
    return "series" if isinstance(layer, _OF_SERIES) else None


def _kind_of_integers(layer: Any) -> str | None:
    if isinstance(layer, layers.Embedding):
        return "tokens"
    return "features" if isinstance(layer, layers.Dense | layers.Normalization) else None


def are_embedded(model: Any, probes: ProbeSet, names: Sequence[Any], batch_size: int) -> bool:
    """Whether the first layer behind each of these inputs that tells its kind is an embedding."""
    first_layers = _first_layers(model, probes, batch_size)
    return all(
        next(filter(None, map(_kind_of_integers, first_layers(name))), None) == "tokens"
        for name in names
    )


def _first_layers(model: Any, probes: ProbeSet, batch_size: int) -> _Layers:
    """A function that gives the layers behind an input, in the order in which they compute.

    Inner layers count as well. Of a model without a graph, they are those that a trace shows to get
    something that is computed from the input; if it cannot be traced, all layers.
    """
    functional = with_graph(model)
    given = input_tensors(functional)
    traced = cache(lambda: _traced(model, probes, batch_size))

    def first_layers(name: Any) -> Sequence[Any]:
        known, tensors = [*given], [*given.values()]
        if len(tensors) > 1:
            place = name if isinstance(name, int) else known.index(name) if name in known else 0
            tensors = tensors[place : place + 1]
        behind = steps_behind(functional, tensors)
        if behind is None:
            by_input = traced()
            return all_layers(model) if by_input is None else by_input[name]
        each = [all_layers(one) if isinstance(one, layers.Layer) else [one] for one in behind]
        return [layer for several in each for layer in several]

    return first_layers


def _traced(model: Any, probes: ProbeSet, batch_size: int) -> dict[Any, list[Any]] | None:
    """By the name of an explained input, the layers that get something that is computed from it.

    In the order of their calls; `None` if the model cannot be traced. What is computed from
    integers counts until they weight another input, as masks do.
    """
    forward = ForwardPass(model, probes, Score())
    found: dict[Any, list[Any]] = {}

    def look(chunk: dict[str, Any]) -> None:
        calls: list[tuple[Any, list[Any]]] = []

        def watch(layer: Any, arguments: Any) -> None:
            flat = tf.nest.flatten(arguments, expand_composites=True)
            calls.append((layer, [*filter(tf.is_tensor, flat)]))

        images, held, given = separate(probes, chunk)
        forward.watched(images, held, watch)
        for name, source in given.items():
            dependent = downstream(source)
            if source.dtype.is_integer:
                others = [*held.values(), *(one for one in given.values() if one is not source)]
                of_others = {one.op for one in others}.union(*map(downstream, others))
                dependent -= _weighted(dependent, of_others)
            found[name] = [
                layer
                for layer, tensors in calls
                if any(tensor is source or _operation(tensor) in dependent for tensor in tensors)
            ]

    return found if dry_run(forward, DeviceProbes(probes), batch_size, look) else None


def _weighted(dependent: set[Any], others: set[Any]) -> set[Any]:
    """The operations that depend on a product of one input, as weights, with another one.

    Args:
        dependent: The operations that depend on the input.
        others: Those that depend on other inputs.
    """
    alone = others - dependent
    products = [
        operation
        for operation in dependent
        if operation.type in _PRODUCTS and any(tensor.op in alone for tensor in operation.inputs)
    ]
    after = [downstream(output) for product in products for output in product.outputs]
    return {*products}.union(*after)


def _operation(tensor: Any) -> Any:
    """The operation that computes a tensor; `None` for one that is outside of the graph."""
    return getattr(tensor, "op", None)
