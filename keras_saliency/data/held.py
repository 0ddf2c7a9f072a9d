"""Checks of the names of a model's inputs, and of the inputs that are held."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from keras_saliency.data.checks import plain_int
from keras_saliency.data.reports import Array


def checked_input_name(
    input_name: Any, kind: str, shape: tuple[int, ...]
) -> str | int | tuple[str | int, ...] | None:
    """The name of an input; for a table of several inputs, a tuple with that of each column.

    Args:
        input_name: The name.
        kind: A key of `KINDS`.
        shape: Of the inputs, `(num_probes, ...)`.

    Raises:
        TypeError: A name is neither a string nor a position.
        ValueError: There is not one name for each column, or columns of one input are apart.
    """
    if not isinstance(input_name, list | tuple):
        return plain_int(input_name)  # type: ignore[no-any-return]
    names = tuple(map(plain_int, input_name))
    if kind != "features" or len(names) != shape[1]:
        raise ValueError(
            "input_name: expected one name, or a tuple with a name for each column of "
            f"kind='features', received {len(names)} names for kind={kind!r} and inputs of shape "
            f"{shape}."
        )
    changes = sum(one != other for one, other in pairwise(names))
    if changes >= len({*names}):
        raise ValueError(
            f"input_name: expected the columns of each input side by side, received {names!r}."
        )
    return names


def checked_held(
    held: Any,
    input_name: str | int | tuple[str | int, ...] | None,
    num_probes: int,
    others: Mapping[str | int, Any],
) -> Mapping[str | int, Array]:
    """Read-only copies of the held inputs.

    Args:
        held: The inputs by name.
        input_name: As in `checked_input_name`.
        num_probes: The number of rows that each must have.
        others: The other inputs that are explained, as probes, by name.

    Raises:
        TypeError: `held` is not a dict of arrays, or the names are neither all strings nor all
            positions.
        ValueError: An input has the wrong number of rows or values that are not finite, the name
            of the explained input is missing, or the positions have gaps or duplicates.
    """
    if held is None:
        held = {}
    if not isinstance(held, Mapping):
        raise TypeError(
            f"held: expected a dict that maps the names of inputs to their values, received "
            f"{type(held).__name__}."
        )
    held = {plain_int(name): values for name, values in held.items()}
    if (held or others) and input_name is None:
        raise ValueError(
            f"input_name: expected the name of the input to explain, as there are other inputs "
            f"({', '.join(map(repr, [*others, *held]))}), received None."
        )
    for name, one in others.items():
        if len(one) != num_probes:
            raise ValueError(
                f"other_inputs[{name!r}]: expected {num_probes} probes, received {len(one)}."
            )
    names = [*_names(input_name)]
    for one in others.values():
        names += _names(one.input_name)
    names += held
    if len({type(name) for name in names}) > 1 or not all(type(n) in (str, int) for n in names):
        raise TypeError(
            "input_name, held: expected either names (strings) or positions in the model's list "
            f"of inputs (integers), received {', '.join(map(repr, names))}."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"held: {twice!r} is an input to explain. Remove it from held."
            if twice in held
            else f"other_inputs: expected each input once, received {twice!r} twice."
        )
    positions = [name for name in names if isinstance(name, int)]
    is_alone = len(names) == 1  # as one of the other inputs of some probes
    if not is_alone and sorted(positions) != [*range(len(positions))]:
        raise ValueError(
            f"input_name, held: expected each of the positions 0..{len(positions) - 1} once, "
            f"received {', '.join(map(repr, positions))}."
        )
    checked = {}
    for name, values in held.items():
        array = np.array(values)
        if array.dtype == object and all(isinstance(value, str | bytes) for value in array.flat):
            array = np.array(array, dtype="S" if isinstance(array.flat[0], bytes) else "U")
        if array.ndim == 0 or len(array) != num_probes:
            raise ValueError(
                f"held[{name!r}]: expected one row per probe, ({num_probes}, ...), received shape "
                f"{array.shape}."
            )
        if array.dtype.kind not in "iufbUS":
            raise TypeError(
                f"held[{name!r}]: expected numbers or strings, received dtype {array.dtype}."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"held[{name!r}]: expected finite numbers, received nan or infinity.")
        array.setflags(write=False)
        checked[name] = array
    return checked


def _names(input_name: Any) -> list[Any]:
    """The names of the model's inputs that explained probes stand for."""
    if input_name is None:
        return []
    return [*dict.fromkeys(input_name)] if isinstance(input_name, tuple) else [input_name]
