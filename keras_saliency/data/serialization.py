"""Converts frozen records to JSON and back, for logs and files.

JSON has no tuples, no arrays and no `nan`. The types of a record's fields say how to read lists,
dicts and nulls back, so files do not have to store types. A field may hold a bool, an integer, a
float, a string, an array, a named tuple or another record, a tuple of these, a mapping from strings
to these, or `None`.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import math
import types
import typing
import weakref
from collections.abc import Collection, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

from keras_saliency.data.reports import Array

RecordT = TypeVar("RecordT")

_ARRAY_KINDS = "biufU"
"""The values of `dtype.kind` for bools, integers, floats and strings."""


def to_json(record: Any, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a record as values that `json.dumps(..., allow_nan=False)` accepts.

    Numbers that are not finite become `None`, tuples become lists, records become dicts, NumPy's
    numbers become Python's, and an array becomes a dict of its dtype, shape and values.

    Args:
        record: A dataclass instance.
        leave_out: Names of fields to leave out, also in nested records.

    Raises:
        TypeError: `record` is not a dataclass instance, or a field holds an unsupported value.

    Example:
        >>> from keras_saliency.data.reports import Effect, Window
        >>> row = to_json(Effect("hot_window", effect=0.5, window=Window(0, 0, 4, 4)))
        >>> row["effect"], row["p_value"], row["window"]
        (0.5, None, [0, 0, 4, 4])
    """
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"record: expected a dataclass instance, received {record!r}.")
    return {
        field.name: _plain(getattr(record, field.name), leave_out)
        for field in dataclasses.fields(record)
        if field.name not in leave_out
    }


def array_to_json(array: Array) -> dict[str, Any]:
    """An array as a dict of its dtype, shape and values; those of a mask are packed into a string.

    Example:
        >>> array_to_json(np.array([[True, False, True]]))
        {'dtype': '|b1', 'shape': [1, 3], 'values': 'oA=='}
    """
    shape = list(array.shape)
    if array.dtype.kind == "b":
        values: Any = base64.b64encode(np.packbits(array).tobytes()).decode()
    else:
        values = [_plain(item, ()) for item in array.ravel().tolist()]
    return {"dtype": array.dtype.str, "shape": shape, "values": values}


def array_from_json(row: Mapping[str, Any]) -> Array:
    """An array from what `array_to_json` returned.

    Raises:
        ValueError: There are too few values for the shape, or too many.
    """
    dtype, values, shape = np.dtype(row["dtype"]), row["values"], row["shape"]
    if isinstance(values, str):
        bits = np.frombuffer(base64.b64decode(values), np.uint8)
        return np.unpackbits(bits, count=math.prod(shape)).astype(bool).reshape(shape)
    if dtype.kind == "f":
        values = [math.nan if item is None else item for item in values]
    return np.array(values, dtype).reshape(shape)


def put(array: Array, arrays: dict[str, Array]) -> str:
    """Puts an array among others, under its hash; returns that name, for use in JSON."""
    name = array_hash(array)
    arrays[name] = array
    return name


def array_hash(array: Array) -> str:
    """A hash of an array's values, shape and dtype, as 32 hexadecimal digits.

    The hash of a read-only array, such as those of reports, is computed once.
    """
    key = id(array)
    known = _HASHES.get(key)
    if known is not None and known[0]() is array and not array.flags.writeable:
        return known[1]
    digest = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    digest.update(array.ravel().data)
    if not array.flags.writeable:
        _HASHES[key] = weakref.ref(array, lambda _: _HASHES.pop(key, None)), digest.hexdigest()
    return digest.hexdigest()


_HASHES: dict[int, tuple[weakref.ref[Array], str]] = {}
"""Those of read-only arrays, by the identities of these, while they are there."""


def from_json(cls: type[RecordT], row: Mapping[str, Any], **more: Any) -> RecordT:
    """A record from what `to_json` returned, also after `json.dumps` and `json.loads`.

    A float field that is `None` becomes `nan`, also if it was infinite before. Unknown names are
    ignored, and fields that are missing from `row` take their defaults. So a record that gains a
    field with a default can still be read from an older file.

    Args:
        cls: A dataclass whose type annotations can be resolved in its module.
        row: Values by field name.
        **more: Values of fields, used as they are. They take precedence over `row`.

    Raises:
        TypeError: A value does not have the type of its field, or a field without a default is
            missing.
        ValueError: A list is longer or shorter than the tuple or array that it stands for.

    Example:
        >>> from keras_saliency.data.reports import Effect
        >>> effect = from_json(Effect, {"test": "border", "window": [0, 0, 4, 4]}, target=1)
        >>> effect.window, effect.target, effect.p_value
        (Window(top=0, left=0, height=4, width=4), 1, nan)
    """
    if not isinstance(row, Mapping):
        raise TypeError(f"{cls.__name__}: expected values by field name, received {row!r}.")
    hints = _hints(typing.cast(type, cls))
    values = {
        name: _typed(hints[name], row[name], f"{cls.__name__}.{name}")
        for name in hints
        if name in row and name not in more
    }
    return cls(**values, **more)


@functools.cache
def _hints(cls: Hashable) -> dict[str, Any]:
    """The type of every field of a dataclass or a named tuple."""
    hints = typing.get_type_hints(cls)
    if dataclasses.is_dataclass(cls):
        return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}
    return hints


def _plain(value: Any, leave_out: Collection[str]) -> Any:
    """Converts a value to what JSON can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray) and value.dtype.kind in _ARRAY_KINDS:
        return array_to_json(value)
    if isinstance(value, list | tuple):
        return [_plain(item, leave_out) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item, leave_out) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value, leave_out=leave_out)
    raise TypeError(f"record: expected values that JSON can hold, received {value!r}.")


def _typed(hint: Any, value: Any, name: str) -> Any:
    """Converts the JSON value of a field to the type of the field; `name` is used in errors."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (hint,) = (choice for choice in arguments if choice is not types.NoneType)
        return _typed(hint, value, name)
    if hint is float and value is None:
        return math.nan
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (bool, int, str) and type(value) is hint:
        return value
    if origin is np.ndarray and isinstance(value, Mapping):
        return array_from_json(value)
    if origin is tuple and isinstance(value, list):
        items = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        return tuple(_typed(*pair, name) for pair in zip(items, value, strict=True))
    if hasattr(hint, "_fields") and isinstance(value, list):  # a named tuple
        types_of_fields = _hints(hint).values()
        return hint(*(_typed(*pair, name) for pair in zip(types_of_fields, value, strict=True)))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _typed(arguments[1], item, name) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return from_json(hint, value)
    raise TypeError(f"{name}: expected {getattr(hint, '__name__', hint)}, received {value!r}.")
