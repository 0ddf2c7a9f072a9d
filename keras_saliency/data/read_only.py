"""Keeps frozen records from changing: their arrays and mappings become read-only.

`dataclass(frozen=True)` only prevents fields from being set. The value of a field could still
change, and pickling makes arrays writable again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

Key = TypeVar("Key")
Value = TypeVar("Value")


class ReadOnlyDict(dict[Key, Value]):
    """A dict that cannot be changed; a copy made with `dict(...)` can.

    Unlike `types.MappingProxyType`, it can be pickled and written as JSON.

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
        """Pickles as a plain dict: by default, unpickling would set the items one by one."""
        return type(self), (dict(self),)


def freeze(record: object) -> None:
    """Makes the arrays and mappings in a record's fields read-only, and the arrays in the mappings.

    Call it at the end of a frozen record's constructor and of its `__setstate__`. The arrays are
    not copied: arrays that the caller passed become read-only, too.
    """
    for name, value in list(vars(record).items()):
        inner = value.values() if isinstance(value, Mapping) else [value]
        for array in inner:
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        if isinstance(value, Mapping):
            object.__setattr__(record, name, ReadOnlyDict(value))


def restore(record: object, state: Mapping[str, Any]) -> None:
    """Implements `__setstate__` of a frozen record: a pickled or copied one is read-only again."""
    vars(record).update(state)
    freeze(record)
