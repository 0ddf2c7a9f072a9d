"""Values in headers: checks that they have the expected types, and converts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.log.headers import BlobError


def text(value: object) -> str:
    """A text.

    Raises:
        TypeError: It is not one.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected a text, received {value!r}")
    return value


def texts(header: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The texts in a field."""
    return tuple(map(text, header[name]))


def optional_texts(header: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """The texts in a field; `None` for `null`."""
    return None if header[name] is None else texts(header, name)


def input_name(value: object) -> str | int:
    """The name or the position of an input.

    Raises:
        TypeError: It is neither a text nor a whole number.
    """
    return value if type(value) is int else text(value)


def whole_numbers(row: list[object]) -> tuple[int, ...]:
    """Whole numbers.

    Raises:
        TypeError: One of them is not.
    """
    if not all(type(value) is int for value in row):
        raise TypeError(f"expected whole numbers, received {row!r}")
    return tuple(row)  # type: ignore[arg-type]


def integers(row: list[object], count: int) -> Array:
    """Whole numbers as int64 `(count,)`."""
    return _of_each(np.array(whole_numbers(row), np.int64), count)


def number(value: object) -> float:
    """A number, or `nan` for `null`.

    Raises:
        TypeError: It is neither.
    """
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, received {value!r}")
    return float(value)  # type: ignore[arg-type]


def numbers_by_name(values: Mapping[str, object]) -> dict[str, float]:
    """Numbers by name, `nan` for `null`."""
    return {name: number(value) for name, value in values.items()}


def floats(row: list[object], count: int) -> Array:
    """Numbers as float32 `(count,)`, `nan` for `null`.

    Raises:
        BlobError: There are more or fewer, or one is too large.
    """
    wide = np.array([number(value) for value in row], np.float64)
    if (np.abs(wide) > np.finfo(np.float32).max).any():
        raise BlobError("its header has numbers that are too large")
    return _of_each(wide.astype(np.float32), count)


def check_array(name: str, array: Array, shape: tuple[int, ...], dtype: Any) -> None:
    """Checks an array of the log.

    Raises:
        BlobError: It is empty, or has another shape or type.
    """
    if array.shape != shape or array.dtype != dtype or 0 in shape:
        raise BlobError(
            f"its array {name!r} is {array.dtype} {array.shape} instead of "
            f"{np.dtype(dtype)} {shape}"
        )


def _of_each(row: Array, count: int) -> Array:
    if len(row) != count:
        raise BlobError(f"its header has {len(row)} numbers for {count} probes")
    return row
