"""Argument checks. Each error says what was expected, what was received, and how to fix it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any, TypeVar

Settings = TypeVar("Settings")


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


def check_seed(argument: str, value: object) -> int:
    """Returns `value`, an integer from 0 to 2**31 - 1, as an int; a bool is not an int.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is negative, or has more than 31 bits.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{argument}: expected an integer, received {value!r}.")
    number = int(value)
    if not 0 <= number < 2**31:
        raise ValueError(
            f"{argument}: expected an integer from 0 to {2**31 - 1}, received {value!r}."
        )
    return number


def check_step(value: object) -> int:
    """Returns the argument `step`, an integer >= -1, as an int; a bool is not an int.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is below -1.
    """
    number = plain_int(value)
    expected = "step: expected an integer, 0 or more, or -1 for the state before training"
    if type(number) is not int:
        raise TypeError(f"{expected}; received {value!r}.")
    if number < -1:
        raise ValueError(f"{expected}; received {value!r}.")
    return number


def check_bool(argument: str, value: object) -> bool:
    """Returns `value`, which must be a bool.

    Raises:
        TypeError: `value` is not a bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument}: expected True or False, received {value!r}.")
    return value


def check_choice(
    argument: str, value: Any, choices: Collection[str], *, alternatives: str = ""
) -> Any:
    """Returns `value`, which must be one of the strings in `choices`.

    Args:
        argument: The name of the argument.
        value: What was passed.
        choices: The valid strings.
        alternatives: What the caller accepts beside these strings, for the message.

    Raises:
        TypeError: `value` is not a string.
        ValueError: `value` is not one of the choices.
    """
    listed = ", ".join(repr(choice) for choice in choices)
    listed += f", {alternatives}" if alternatives else ""
    if not isinstance(value, str):
        raise TypeError(f"{argument}: expected one of {listed}, received {value!r}.")
    if value not in choices:
        raise ValueError(f"{argument}: expected one of {listed}, received {value!r}.")
    return value


def check_settings(
    argument: str, value: object, presets: Mapping[str, Settings], *, alternatives: str = ""
) -> Settings:
    """Returns the settings object that a name stands for, or that was passed itself.

    Args:
        argument: The name of the argument.
        value: What was passed.
        presets: The valid names, and the settings objects that they stand for.
        alternatives: What the caller accepts beside these, for the message.

    Raises:
        TypeError: `value` is neither a string nor such a settings object.
        ValueError: `value` is a string that is not a name.
    """
    settings = type(next(iter(presets.values())))
    if isinstance(value, settings):
        return value
    if isinstance(value, str) and value in presets:
        return presets[value]
    listed = ", ".join([*map(repr, presets), *([alternatives] if alternatives else [])])
    raise (ValueError if isinstance(value, str) else TypeError)(
        f"{argument}: expected {listed} or ks.{settings.__name__}(...), received {value!r}."
    )


def plain_int(value: Any) -> Any:
    """A NumPy integer as an int; everything else unchanged."""
    return value if isinstance(value, bool) or not isinstance(value, Integral) else int(value)


def checked_output(output: Any) -> str | int | None:
    """The name or position of an output; `None` if none is named.

    Raises:
        TypeError: It is something else.
    """
    output = plain_int(output)
    if output is None or (isinstance(output, str | int) and not isinstance(output, bool)):
        return output
    raise TypeError(
        f"output: expected a name or a position, received {output!r}. It selects one of several "
        "outputs of the model."
    )


def check_verbose(verbose: object) -> int:
    """Checks the argument `verbose`.

    Raises:
        TypeError: `verbose` is not an integer.
        ValueError: `verbose` is neither 0 nor 1.
    """
    number = plain_int(verbose)
    if type(number) is not int:
        raise TypeError(f"verbose: expected 0 or 1, received {verbose!r}.")
    if number not in (0, 1):
        raise ValueError(f"verbose: expected 0 or 1, received {verbose!r}.")
    return number


def check_on_alert(on_alert: Any) -> Any:
    """Checks the argument `on_alert`.

    Raises:
        TypeError: `on_alert` is neither a string nor a function nor `None`.
        ValueError: `on_alert` is another string than `"warn"` and `"stop"`.
    """
    is_string = isinstance(on_alert, str)
    if on_alert is None or callable(on_alert) or (is_string and on_alert in ("warn", "stop")):
        return on_alert
    expected = "expected 'warn', 'stop', a function of an alert, or None"
    raise (ValueError if is_string else TypeError)(f"on_alert: {expected}, received {on_alert!r}.")
