"""Checks of what is known of probes beside their inputs: targets, masks, regions, groups, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_saliency.data.inputs import KINDS, map_axes
from keras_saliency.data.labels import LabelReader
from keras_saliency.data.reports import Array


class DefaultNames(tuple[str, ...]):
    """Default names: `dataclasses.replace` makes new ones, to match new targets."""


def checked_targets(
    targets: Any, num_probes: int, class_names: tuple[str, ...] | None
) -> Array | None:
    """Class indices `(num_probes,)`, int64; see `LabelReader` for what is accepted.

    Raises:
        TypeError: The targets are not numbers.
        ValueError: There is not exactly one class per probe, or a class has no name.
    """
    if targets is None:
        return None
    classes = LabelReader("targets", "probes").classes(targets, num_probes)
    highest = None if class_names is None else len(class_names) - 1
    if highest is not None and classes.max() > highest:
        probe = int(np.flatnonzero(classes > highest)[0])
        raise ValueError(
            f"targets: expected class indices 0..{highest} (there are {highest + 1} class_names), "
            f"received {classes[probe]} for probe {probe}."
        )
    return classes


def checked_indices(indices: Any, num_probes: int) -> Array | None:
    """Positions `(num_probes,)` in a data set, int64.

    Raises:
        TypeError: The positions are not integers.
        ValueError: There is not one position per probe, or one is negative.
    """
    if indices is None:
        return None
    array = np.array(indices)
    if array.dtype.kind not in "iu":
        raise TypeError(f"indices: expected integers, received dtype {array.dtype}.")
    if array.shape != (num_probes,):
        raise ValueError(
            f"indices: expected one position per probe, shape ({num_probes},), received shape "
            f"{array.shape}. Pass indices=None for other images."
        )
    if (array < 0).any():
        raise ValueError(f"indices: expected positions 0 or more, received {array.min()}.")
    return array.astype(np.int64)


def checked_mask(argument: str, mask: Any, shapes: Sequence[tuple[int, ...]]) -> Array:
    """A copy of a bool array that has one of the shapes.

    Raises:
        TypeError: The array is not bool.
        ValueError: It has another shape.
    """
    array = np.array(mask)
    if array.dtype != np.bool_:
        raise TypeError(
            f"{argument}: expected dtype bool (True inside), received {array.dtype}. For "
            "example, pass mask > 0."
        )
    if array.shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"{argument}: expected shape {expected}, received {array.shape}.")
    return array


def checked_regions(regions: Any, shape: tuple[int, ...], kind: str) -> Mapping[str, Array]:
    """One read-only mask per probe for each region.

    Args:
        regions: Masks by name.
        shape: `(num_probes, ...)`, of the inputs. Masks have the shape of the maps, one for all
            probes or one for each; those of a series may have a channel axis.
        kind: A key of `KINDS`.

    Raises:
        TypeError: `regions` is not a dict from names to bool arrays.
        ValueError: A region has another shape, or no place.
    """
    if not isinstance(regions, Mapping):
        raise TypeError(
            f"regions: expected a dict that maps names to masks, received {type(regions).__name__}."
        )
    axes = ("num_probes", *map_axes(kind))
    per_probe = {axes: shape[: len(axes)]}
    if kind == "series":
        per_probe[("num_probes", *KINDS[kind])] = shape
    shapes = {names[1:]: full[1:] for names, full in per_probe.items()} | per_probe
    checked = {}
    for name, mask in regions.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"regions: expected non-empty strings as names, received {name!r}.")
        array = _checked_region(f"regions[{name!r}]", mask, shapes, kind)
        if not array.any():
            place = "pixel" if kind == "image" else "place"
            raise ValueError(f"regions[{name!r}]: expected at least one {place} to be True.")
        array.setflags(write=False)
        is_shared = array.shape not in per_probe.values()
        full = (shape[0], *array.shape) if is_shared else array.shape
        checked[name] = np.broadcast_to(array, full)
    return checked


def _checked_region(
    argument: str, mask: Any, shapes: Mapping[tuple[str, ...], tuple[int, ...]], kind: str
) -> Array:
    """A copy of a mask of one of these shapes, by the names of their axes."""
    array = np.array(mask)
    num_meanings = sum(shape == array.shape for shape in shapes.values())
    if kind == "image" or array.dtype != np.bool_ or num_meanings == 1:
        return checked_mask(argument, array, [*shapes.values()])
    options = ", ".join(
        f"({', '.join(names)}{',' * (len(names) == 1)}) = {shape}"
        for names, shape in shapes.items()
    )
    received = (
        f"{array.shape}, which may be {num_meanings} of these" if num_meanings else array.shape
    )
    raise ValueError(
        f"{argument}: expected one of the shapes {options} for kind={kind!r}, received {received}."
    )


def checked_groups(groups: Any, num_probes: int) -> Array | None:
    """Group labels `(num_probes,)`, integers or strings; a column `(num_probes, 1)` is one, too.

    Raises:
        TypeError: The labels are neither integers nor strings.
        ValueError: There is not one label per probe.
    """
    if groups is None:
        return None
    array = np.array(groups)
    if array.dtype.kind not in "iuU":
        raise TypeError(f"groups: expected integers or strings, received dtype {array.dtype}.")
    if array.shape == (num_probes, 1):
        array = array[:, 0]
    if array.shape != (num_probes,):
        raise ValueError(
            f"groups: expected one label per probe, shape ({num_probes},), received {array.shape}."
        )
    return array


def checked_class_names(class_names: Any) -> tuple[str, ...] | None:
    """The names of the classes.

    Raises:
        TypeError: `class_names` is not a list of strings.
        ValueError: There are no names, or one is empty.
    """
    if class_names is None:
        return None
    names = _strings("class_names", class_names)
    if not names:
        raise ValueError("class_names: expected at least one name, received none.")
    return names


def checked_names(
    names: Any, targets: Array | None, class_names: tuple[str, ...] | None, num_probes: int
) -> tuple[str, ...]:
    """A unique name for each probe; by default its index and its class.

    Raises:
        TypeError: `names` is not a list of strings.
        ValueError: There is not one name per probe, or a name is empty or occurs twice.
    """
    if names is None or isinstance(names, DefaultNames):
        labels = [""] * num_probes
        if targets is not None:
            labels = [f" {class_names[t] if class_names else f'class {t}'}" for t in targets]
        return DefaultNames(f"{index:03d}{label}" for index, label in enumerate(labels))
    checked = _strings("names", names)
    if len(checked) != num_probes:
        raise ValueError(f"names: expected {num_probes} names, received {len(checked)}.")
    duplicates = sorted({name for name in checked if checked.count(name) > 1})
    if duplicates:
        raise ValueError(
            f"names: expected a different name for every probe, received {duplicates[0]!r} "
            "more than once (TensorBoard would keep only one picture per name)."
        )
    return checked


def checked_vocabulary(vocabulary: Any, kind: str) -> tuple[str, ...] | None:
    """The text of each token.

    Raises:
        TypeError: `vocabulary` is not a list of strings.
        ValueError: The inputs are not tokens.
    """
    if vocabulary is None:
        return None
    if kind != "tokens":
        raise ValueError(
            f"vocabulary: expected None for kind={kind!r}. Only kind='tokens' has one."
        )
    return _strings("vocabulary", vocabulary, may_be_empty=True)  # Keras uses "" for padding


def checked_feature_names(
    feature_names: Any, kind: str, shape: tuple[int, ...]
) -> tuple[str, ...] | None:
    """A different name for each column of features.

    Args:
        feature_names: The names.
        kind: A key of `KINDS`.
        shape: Of the inputs, `(num_probes, features)`.

    Raises:
        TypeError: `feature_names` is not a list of strings.
        ValueError: The inputs are not features, or there is not one name for each.
    """
    if feature_names is None:
        return None
    if kind != "features":
        raise ValueError(
            f"feature_names: expected None for kind={kind!r}. Only kind='features' has them."
        )
    names = _strings("feature_names", feature_names)
    if len(names) != shape[1]:
        raise ValueError(
            f"feature_names: expected {shape[1]} names, one for each column, received {len(names)}."
        )
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"feature_names: expected a different name for each column, received {twice!r} more "
            "than once."
        )
    return names


def _strings(argument: str, values: Any, *, may_be_empty: bool = False) -> tuple[str, ...]:
    is_sequence = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    if not is_sequence or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{argument}: expected a list of strings, received {values!r}.")
    if not may_be_empty and not all(values):
        raise ValueError(f"{argument}: expected non-empty strings, received {list(values)!r}.")
    return tuple(str(value) for value in values)
