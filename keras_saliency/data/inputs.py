"""The kinds of input that a model can take, and the checks of their arrays.

An image has two spatial axes and a channel axis. Other kinds are series, volumes, plain features
and tokens. A saliency map has one value per position: it has the axes of the input, without the
channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_saliency.data.checks import plain_int
from keras_saliency.data.reports import Array

KINDS = {
    "image": ("height", "width", "channels"),
    "series": ("steps", "channels"),
    "volume": ("depth", "height", "width", "channels"),
    "features": ("features",),
    "tokens": ("tokens",),
}
"""The axes of one input, by the name of its kind. Tokens are integers."""


def map_axes(kind: str) -> tuple[str, ...]:
    """The axes of a saliency map: those of the input, without the channels.

    Example:
        >>> map_axes("image"), map_axes("features")
        (('height', 'width'), ('features',))
    """
    return tuple(axis for axis in KINDS[kind] if axis != "channels")


def has_channels(kind: str) -> bool:
    """Whether inputs of this kind have a channel axis, which is then the last."""
    return KINDS[kind][-1] == "channels"


def checked_images(images: Any, kind: str) -> Array:
    """A copy of the inputs, after a check of their rank and dtype.

    Args:
        images: `(num_probes, *axes)`, finite numbers.
        kind: A key of `KINDS`.

    Raises:
        TypeError: The values are not numbers, or the tokens are not integers.
        ValueError: The rank is wrong, there are no probes, or a value is not finite.
    """
    try:
        array = np.array(images)
    except ValueError as error:
        raise ValueError(f"images: expected images of one shape, received: {error}.") from error
    if kind == "tokens" and array.dtype.kind not in "iu":
        raise TypeError(f"images: expected integers as tokens, received dtype {array.dtype}.")
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"images: expected an array of numbers, received dtype {array.dtype}.")
    axes = KINDS[kind]
    if array.ndim != len(axes) + 1:
        others = [name for name, known in KINDS.items() if len(known) + 1 == array.ndim]
        hint = ""
        if kind == "image":
            hint = (
                " Add an axis with images[np.newaxis] for a single image, or with "
                "images[..., np.newaxis] for gray images."
            )
        if others:
            kinds = " or ".join(map(repr, others))
            hint += f" For other inputs of rank {array.ndim}, pass kind={kinds}."
        raise ValueError(
            f"images: expected rank {len(axes) + 1}, (num_probes, {', '.join(axes)}), received "
            f"shape {array.shape}.{hint}"
        )
    if 0 in array.shape:
        raise ValueError(f"images: expected at least one probe, received shape {array.shape}.")
    broken = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if broken.size:
        raise ValueError(
            f"images: expected finite numbers, received nan or infinity in probe {broken[0]} "
            f"({broken.size} of {len(array)} probes). Remove these images."
        )
    return array


def checked_held(
    held: Any, input_name: str | int | None, num_probes: int
) -> Mapping[str | int, Array]:
    """Read-only copies of the held inputs.

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
    if held and input_name is None:
        raise ValueError(
            f"input_name: expected the name of the input to explain, as other inputs are held "
            f"({', '.join(map(repr, held))}), received None."
        )
    names = [*held] if input_name is None else [input_name, *held]
    if len({type(name) for name in names}) > 1 or not all(type(n) in (str, int) for n in names):
        raise TypeError(
            "input_name, held: expected either names (strings) or positions in the model's list "
            f"of inputs (integers), received {', '.join(map(repr, names))}."
        )
    if len({*names}) < len(names):
        raise ValueError(f"held: {input_name!r} is the input to explain. Remove it from held.")
    positions = [name for name in names if isinstance(name, int)]
    if positions and sorted(positions) != [*range(len(positions))]:
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
