"""The names of Keras that are not public but needed here, each in one guarded function.

If a version of Keras renames one of them, the package can still be imported, and what is lost is
what the function says. `tests/engine/test_keras_internals.py` fails on such a version.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

GLOBAL_STATE = "keras.src.backend.common.global_state"
SEED_GENERATOR = "global_seed_generator"
"""The module and the key of Keras' global seed generator."""

REMAT_MODE = "_remat_mode"
DTYPE_POLICY = "_dtype_policy"
"""The attributes of a layer for the `keras.RematScope` that it is in, and for its dtype policy."""


@contextmanager
def replaced_seed_generator(generator: keras.random.SeedGenerator) -> Iterator[None]:
    """Within this context, `generator` is Keras' global seed generator in this thread.

    Without Keras' module, there is a warning, and the global generator stays.
    """
    try:
        module = importlib.import_module(GLOBAL_STATE)
        get, put = module.get_global_attribute, module.set_global_attribute
    except (ImportError, AttributeError) as error:
        warnings.warn(
            f"keras_saliency: Keras {keras.__version__} has no {GLOBAL_STATE} any more ({error}). "
            "Layers that draw random numbers without a seed may now draw other ones in training "
            "than without keras_saliency. Please report this.",
            stacklevel=4,
        )
        yield
        return
    before = get(SEED_GENERATOR)
    put(SEED_GENERATOR, generator)
    try:
        yield
    finally:
        put(SEED_GENERATOR, before)


def sublayers(layer: Any) -> list[Any]:
    """The direct sublayers of a layer; without `_flatten_layers`, its public `layers` if any."""
    if hasattr(layer, "_flatten_layers"):
        return list(layer._flatten_layers(include_self=False, recursive=False))
    return list(getattr(layer, "layers", []))


def all_layers(layer: Any) -> list[Any]:
    """A layer, and all layers within it, each before the next one of the same layer.

    Keras' own walk turns the order of inner layers round.
    """
    within = [deeper for inner in sublayers(layer) for deeper in all_layers(inner)]
    return [*dict.fromkeys([layer, *within])]


def with_graph(model: Any) -> Any:
    """The functional model behind a `Sequential`; the model itself if there is none."""
    return getattr(model, "_functional", None) or model


def steps_behind(model: Any, tensors: list[Any]) -> list[Any] | None:
    """The layers and operations of a functional model that some of its tensors reach, in order.

    `None` for a model without a graph, and without `_operations` or `_inbound_nodes`: then nothing
    is known of the order in which layers compute.
    """
    operations = getattr(model, "_operations", None)
    if not tensors or operations is None:
        return None
    known, behind = {id(tensor) for tensor in tensors}, []
    for operation in operations:
        for node in getattr(operation, "_inbound_nodes", []):
            if known & {id(tensor) for tensor in getattr(node, "input_tensors", [])}:
                known |= {id(tensor) for tensor in getattr(node, "outputs", [])}
                if operation not in behind:
                    behind.append(operation)
    return behind


def inputs_struct(model: Any) -> Any:
    """The inputs of a functional model as it takes them, a dict, a list or a tensor.

    `None` for a subclassed model, and without `_inputs_struct`: then inputs are taken in order.
    """
    return getattr(model, "_inputs_struct", None)


def takes(layer: Any, argument: str) -> bool:
    """Whether a layer's call takes the argument `"training"` or `"mask"`."""
    return bool(getattr(layer, f"_call_has_{argument}_arg", False))


def mask_of(output: Any) -> Any:
    """Which positions of a layer's output count, bool `(batch, ...)`; `None` if all do.

    Without `_keras_mask`, all count, also those that are padded. So they do if the mask has other
    positions than the output `(batch, ..., units)`.
    """
    mask: Any = getattr(output, "_keras_mask", None)
    if mask is None or len(mask.shape) >= len(output.shape):
        return None
    return mask if mask.shape.is_compatible_with(output.shape[: len(mask.shape)]) else None


def counter(optimizer: Any) -> Any:
    """The variable that counts batches; without `_iterations`, the one that counts updates."""
    return getattr(optimizer, "_iterations", getattr(optimizer, "iterations", 0))


def outside_of_remat(layer: Any) -> dict[str, Any]:
    """The attribute that takes a layer out of its `keras.RematScope`, with its value.

    Nothing for a layer that is in none, and without `_remat_mode`: then class activation maps do
    not find the layers in such a scope.
    """
    return {} if getattr(layer, REMAT_MODE, None) is None else {REMAT_MODE: None}


def with_policy(layer: Any, name: str) -> dict[str, Any]:
    """The attribute that gives a layer another dtype policy, with its value.

    Nothing without `_dtype_policy`: then there is no `precision_gap`.
    """
    return {DTYPE_POLICY: keras.DTypePolicy(name)} if hasattr(layer, DTYPE_POLICY) else {}
