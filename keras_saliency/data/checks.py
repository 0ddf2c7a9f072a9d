"""Argument checks. Each error says what was expected, what was received, and how to fix it."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral
from typing import Any


def check_positive_int(argument: str, value: object, *, hint: str) -> int:
    """Returns `value` as an int >= 1; a bool is not an int.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is below 1.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{argument}: expected a positive integer, received {value!r}. {hint}")
    if value < 1:
        raise ValueError(f"{argument}: expected a positive integer, received {value!r}. {hint}")
    return int(value)


def check_bool(argument: str, value: object) -> bool:
    """Returns `value`, which must be a bool.

    Raises:
        TypeError: `value` is not a bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument}: expected True or False, received {value!r}.")
    return value


def check_choice(argument: str, value: Any, choices: Collection[str]) -> Any:
    """Returns `value`, which must be one of the strings in `choices`.

    Raises:
        TypeError: `value` is not a string.
        ValueError: `value` is not one of the choices.
    """
    listed = ", ".join(repr(choice) for choice in choices)
    if not isinstance(value, str):
        raise TypeError(f"{argument}: expected one of {listed}, received {value!r}.")
    if value not in choices:
        raise ValueError(f"{argument}: expected one of {listed}, received {value!r}.")
    return value
