"""Several inputs of a model that are explained together, given as a dict of arrays by name.

Inputs that are plain features are the columns of one table: it has one map, with a value for each
column. Every other input has a map of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from keras_saliency.data.checks import check_choice, plain_int
from keras_saliency.data.elements import check_flat
from keras_saliency.data.inputs import (
    KINDS,
    SCALARS,
    check_dense,
    check_finite,
    default_kind,
    has_channels,
)
from keras_saliency.data.reports import Array

TABLE = "table"
"""The name of a table of several inputs, among the other inputs that are explained."""

Name = str | int


@dataclass(frozen=True)
class Group:
    """Inputs that have one map: a table, or a single input.

    Attributes:
        name: Of the input; `TABLE` for a table of several.
        images: `(num_probes, ...)`.
        kind: A key of `KINDS`.
        input_name: Of the input; for a table of several inputs, that of each column.
        feature_names: Of a table.
        data_format: `SCALARS` for an input `(num_probes,)`, and for a table if all of its inputs
            that have one column are given so.
    """

    name: Name
    images: Any
    kind: str
    input_name: Name | tuple[Name, ...]
    feature_names: tuple[str, ...] | None
    data_format: str | None = None


def groups_of(
    inputs: Mapping[Any, Any], kind: Any, feature_names: Any = None
) -> tuple[list[Group], dict[Name, Any]]:
    """The inputs that have a map, in their order, and those that can have none, which are texts.

    Args:
        inputs: Arrays `(num_probes, ...)` by name.
        kind: The kind of each input, by name, or of all. For those that it leaves out, it is found
            by the rank.
        feature_names: Of the columns of the table. Default: the names of the inputs.

    Raises:
        TypeError: A value is not an array of numbers or texts, or is a dict.
        ValueError: A kind is unknown, no input can be explained, a number is not finite, or
            `feature_names` is given although no input is plain features.
    """
    check_flat("images", inputs)
    arrays = {plain_int(name): _array(name, values) for name, values in inputs.items()}
    texts = {name: array for name, array in arrays.items() if array.dtype.kind in "SU"}
    kinds = _kinds({name: array for name, array in arrays.items() if name not in texts}, kind)
    if not kinds:
        raise ValueError(
            "images: expected a dict of at least one input with numbers, received "
            f"{_only_strings(arrays) if arrays else 'an empty dict.'}"
        )
    for name, one in kinds.items():
        if arrays[name].dtype.kind == "f":
            check_finite(f"images[{name!r}]", arrays[name], one)
    columns = {name: arrays[name] for name, one in kinds.items() if one == "features"}
    if feature_names is not None and not columns:
        raise ValueError(
            "feature_names: expected None for a dict of inputs without plain features, of which "
            f"the kinds are {', '.join(f'{name!r}: {one!r}' for name, one in kinds.items())}. Only "
            "kind='features' has them."
        )
    groups, is_listed = [], False
    for name, one in kinds.items():
        if one != "features":
            layout = SCALARS if arrays[name].ndim == 1 else None
            groups.append(Group(name, arrays[name], one, name, None, layout))
        elif not is_listed:
            table = _table(columns)
            names = table.feature_names if feature_names is None else feature_names
            groups.append(replace(table, feature_names=names))
            is_listed = True
    return groups, texts


def _only_strings(names: Iterable[Name]) -> str:
    """What to do with inputs that are all strings, for an error."""
    return (
        f"{', '.join(map(repr, names))}, which are strings. Strings have no gradient: look them up "
        "in front of the model, by its own layers (StringLookup, TextVectorization), and explain "
        "the rest of it. With "
        f"lookups = {{{', '.join(f'{name!r}: ...' for name in names)}}}, these layers: "
        "ids = lambda x: {name: lookup(x[name]) for name, lookup in lookups.items()}; "
        "probes = ks.ProbeSet.from_dataset(dataset.map(lambda x, y: (ids(x), y))), or "
        "probes = ks.ProbeSet(ids(inputs), targets) for arrays; and of a functional model "
        "part = keras.Model({name: lookup.output for name, lookup in lookups.items()}, "
        "model.output); score=ks.Score(model=part). If inputs share such a layer, use it in the "
        "data set alone, and build the model on ids."
    )


def channels_last(inputs: Mapping[Any, Any], kind: Any) -> dict[Name, Array]:
    """Inputs whose channels come first, with channels last; those without channels as they are.

    Args:
        inputs: As in `groups_of`.
        kind: As in `groups_of`.

    Raises:
        TypeError: As in `groups_of`.
        ValueError: A kind is unknown.
    """
    arrays = {plain_int(name): _array(name, values) for name, values in inputs.items()}
    kinds = _kinds({name: one for name, one in arrays.items() if one.dtype.kind not in "SU"}, kind)
    for name, one in kinds.items():
        if has_channels(one) and arrays[name].ndim == len(KINDS[one]) + 1:
            arrays[name] = np.moveaxis(arrays[name], 1, -1)
    return arrays


def pieces(input_name: Sequence[Name]) -> dict[Name, slice]:
    """The columns of a table that each input of the model gets.

    Args:
        input_name: The name of the input of each column.

    Example:
        >>> pieces(["age", "site", "site"])
        {'age': slice(0, 1, None), 'site': slice(1, 3, None)}
    """
    names = list(input_name)
    return {
        name: slice(names.index(name), names.index(name) + names.count(name))
        for name in dict.fromkeys(names)
    }


def input_title(name: Name | None) -> str:
    """The name of an input for readers, to whom a bare position would look like a count.

    Example:
        >>> input_title("age"), input_title(2)
        ('age', 'input 2')
    """
    return f"input {name}" if isinstance(name, int) else str(name)


def input_names(input_name: Name | Sequence[Name] | None) -> tuple[str, ...]:
    """The name of an input as texts: one, or that of each column of a table; none without a name.

    Example:
        >>> input_names(("age", "site", "site")), input_names(0), input_names(None)
        (('age', 'site', 'site'), ('0',), ())
    """
    if input_name is None:
        return ()
    return tuple(map(str, input_name if isinstance(input_name, list | tuple) else (input_name,)))


def column_names(input_name: Sequence[Name]) -> tuple[str, ...]:
    """A name for each column of a table, by the input that it is of.

    Args:
        input_name: The name of the input of each column.

    Example:
        >>> column_names(["age", "site", "site"])
        ('age', 'site[0]', 'site[1]')
    """
    counts = {name: part.stop - part.start for name, part in pieces(input_name).items()}
    return tuple(
        str(name) if count == 1 else f"{name}[{place}]"
        for name, count in counts.items()
        for place in range(count)
    )


def _table(columns: Mapping[Name, Array]) -> Group:
    """Inputs `(num_probes,)` or `(num_probes, columns)` as one table, by Keras' default dtype."""
    flat = {
        name: array[:, np.newaxis] if array.ndim == 1 else array for name, array in columns.items()
    }
    singles = {array.ndim for name, array in columns.items() if flat[name].shape[1:] == (1,)}
    layout = SCALARS if singles == {1} else None
    is_double = any(array.dtype == np.float64 for array in flat.values())
    dtype = np.float64 if is_double else np.float32
    lengths = {len(array) for array in flat.values()}
    if len(lengths) > 1 or any(array.ndim != 2 for array in flat.values()):
        shapes = ", ".join(f"{name!r}: {array.shape}" for name, array in columns.items())
        raise ValueError(
            "images: expected inputs (num_probes,) or (num_probes, columns) with the same number "
            f"of probes for kind='features', received {shapes}."
        )
    inputs = tuple(chain.from_iterable([name] * len(array.T) for name, array in flat.items()))
    names = column_names(inputs)
    if len(flat) == 1:
        ((name, array),) = flat.items()
        return Group(name, array, "features", name, names, layout)
    table = np.concatenate([array.astype(dtype) for array in flat.values()], axis=1)
    return Group(TABLE, table, "features", inputs, names, layout)


def _kinds(arrays: Mapping[Name, Array], kind: Any) -> dict[Name, str]:
    """The kind of each input, as it is given or found by the rank."""
    given = kind if isinstance(kind, Mapping) else dict.fromkeys(arrays, kind)
    unknown = [name for name in given if name not in arrays]
    if unknown:
        raise ValueError(
            f"kind: expected the names of inputs, {', '.join(map(repr, arrays))}, received "
            f"{unknown[0]!r}."
        )
    for name, one in given.items():
        if one is not None:
            check_choice(f"kind[{name!r}]", one, KINDS)
    return {name: given.get(name) or default_kind(array) for name, array in arrays.items()}


def _array(name: Any, values: Any) -> Array:
    check_dense(f"images[{name!r}]", values)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"images[{name!r}]: expected rows of one shape, received unequal ones."
        ) from error
    if array.dtype == object and all(isinstance(value, str | bytes) for value in array.flat):
        array = array.astype("S" if array.size and isinstance(array.flat[0], bytes) else "U")
    if not array.ndim:
        raise ValueError(f"images[{name!r}]: expected one row per probe, received {values!r}.")
    return array
