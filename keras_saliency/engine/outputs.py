"""The outputs of a model by their names, as messages give them and `Score.output` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf


def named_outputs(model: Any, outputs: Any) -> dict[Any, Any]:
    """A model's outputs by name, or by position if they have no names.

    Outputs in a dict have its keys; those that are nested in it have paths, as in Keras.

    Args:
        model: The model.
        outputs: What its call returns, of tensors or of `keras.KerasTensor`s.

    Example:
        >>> import keras
        >>> named_outputs(keras.Model(), {"head": {"class": 1, "boxes": [2, 3]}, "features": 4})
        {'head/class': 1, 'head/boxes/0': 2, 'head/boxes/1': 3, 'features': 4}
    """
    if isinstance(outputs, Mapping):
        return dict(_by_path(outputs))
    flat = tf.nest.flatten(outputs)
    names = list(getattr(model, "output_names", None) or [])
    return dict(zip(names if len({*names}) == len(flat) else range(len(flat)), flat, strict=True))


def _by_path(outputs: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    for key, value in outputs.items():
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            yield from ((f"{key}/{inner}", each) for inner, each in _by_path(value))
        else:
            yield key, value
