"""What keeps a frozen record from changing: its arrays and mappings, read-only.

`dataclass(frozen=True)` only keeps fields from being set. What a field holds could still change,
and pickling makes arrays writable again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

Key = TypeVar("Key")
Value = TypeVar("Value")


class ReadOnlyDict(dict[Key, Value]):
    """A dict that cannot be changed; `dict(...)` makes a copy that can.

    It can be pickled and written as JSON, which `types.MappingProxyType` cannot.

    Example:
        >>> limits = ReadOnlyDict({"low": 0.5})
        >>> limits["low"], limits | {"high": 2.0}
        (0.5, {'low': 0.5, 'high': 2.0})
        >>> limits["low"] = 0.25
        Traceback (most recent call last):
        TypeError: This dict is read-only. Change a copy of it: dict(...).
    """

    def _refuse(self, *arguments: Any, **more: Any) -> NoReturn:
        raise TypeError("This dict is read-only. Change a copy of it: dict(...).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Built again from a dict: the usual way would set its items one by one."""
        return type(self), (dict(self),)


def freeze(record: object) -> None:
    """Makes the arrays of a record's fields read-only, and its mappings, and arrays in these.

    For the end of a frozen record's constructor and of its `__setstate__`. The arrays are not
    copied: whoever passed them finds them read-only, too.
    """
    for name, value in list(vars(record).items()):
        inner = value.values() if isinstance(value, Mapping) else [value]
        for array in inner:
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        if isinstance(value, Mapping):
            object.__setattr__(record, name, ReadOnlyDict(value))


def restore(record: object, state: Mapping[str, Any]) -> None:
    """What `__setstate__` of a frozen record does, so that a pickled or copied one is read-only."""
    vars(record).update(state)
    freeze(record)
