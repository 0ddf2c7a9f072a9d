"""Reads labelled batches from any data set that Keras can train on.

Elements are `(inputs, labels)`, `(inputs, labels, weights)` or dicts with keys such as `"image"`
and `"label"`, batched or not. Inputs are one array, or several in a dict, tuple or list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_saliency.data import pipelines
from keras_saliency.data.inputs import (
    KINDS,
    check_dense,
    check_numbers,
    has_channels,
    holds_objects,
    map_axes,
    sizes_error,
    two_shapes,
)
from keras_saliency.data.labels import is_class_row
from keras_saliency.data.reports import Array

INPUT_KEYS = ("image", "images", "x", "input", "inputs", "features", "tokens", "series", "volume")
LABEL_KEYS = ("label", "labels", "y", "target", "targets")
LABEL_IMAGE_KEYS = ("segmentation_mask",)
"""Keys of labels in elements that have none of `LABEL_KEYS`."""

_MOST_CHANNELS = 4
"""A single image of rank 3 has no more channels than that; a batch of gray images is wider."""

_CHUNK = 256

Name = str | int | None
"""The name or position of an input; `None` if there is only one."""


class Batch(NamedTuple):
    """Inputs `(batch, ...)`, channels last; gray images come with or without a channel axis.

    Attributes:
        images: The input to explain.
        labels: In any of the forms that `keras_saliency.data.labels` reads.
        held: The other inputs, by name or position.
        extras: The values of the keys that were asked for.
        input_name: The name of the input to explain, if there are several.
    """

    images: Array
    labels: Array
    held: dict[str | int, Array]
    extras: dict[str, Array]
    input_name: Name


class Reader:
    """Reads the elements of data sets.

    Args:
        kind: A key of `KINDS`.
        data_format: One of `DATA_FORMATS`, or `None` to recognize gray images by their shape.
        input_name: The input to explain, if there are several. If the elements are dicts of inputs
            and labels: the key of the input.
        keys: Keys of values to read besides, each with the name of the argument that asks for it.
    """

    def __init__(
        self, kind: str, data_format: str | None, input_name: Name, keys: Mapping[str, str]
    ) -> None:
        self._kind = kind
        self._data_format = data_format
        self._input_name = input_name
        self._keys = keys
        self._single_ranks = {len(KINDS[kind])}
        if data_format == "no_channels":
            self._single_ranks = {len(map_axes(kind))}
        elif kind in ("features", "tokens") or (kind == "image" and data_format is None):
            self._single_ranks.add(len(KINDS[kind]) - 1)

    def batches(self, dataset: Any) -> Iterator[Batch]:
        """Reads a data set once.

        Raises:
            TypeError: The data set or its elements have an unsupported type.
            ValueError: The elements have unsupported or different shapes.
        """
        is_arrays = isinstance(dataset, tuple | Mapping)
        has_batch_axis = pipelines.is_pipeline(dataset) and self._has_batch_axis(dataset)
        shapes: dict[Name, tuple[int, ...]] = {}
        for element in pipelines.elements(dataset, self._kind):
            batch = self._batch(element, not is_arrays, has_batch_axis)
            read: list[tuple[Name, Array]] = [(None, batch.images), *batch.held.items()]
            for name, values in read:
                before = shapes.setdefault(name, values.shape[1:])
                if values.shape[1:] != before:
                    argument = "dataset" if name is None else f"dataset, input {name!r}"
                    raise sizes_error(argument, before, values.shape[1:], self._kind)
            yield from _chunks(batch)

    def _has_batch_axis(self, dataset: Any) -> bool:
        """Whether the labels of a pipeline have a first axis of unknown length."""
        try:
            labels = _parts(dataset.element_spec, self._input_name)[1]
        except (TypeError, ValueError):
            return False  # the same error comes with the first element
        shape: Any = getattr(labels, "shape", None)
        return bool(getattr(shape, "rank", None)) and shape[0] is None

    def _batch(self, element: Any, may_be_single: bool, has_batch_axis: bool) -> Batch:
        inputs, given_labels, name = _parts(element, self._input_name)
        labels = _label_array(given_labels)
        several = _several(inputs)
        extras: dict[str, Array] = {}
        for container in (element, several):
            for key in self._keys:
                if isinstance(container, Mapping) and key in container:
                    extras[key] = np.asarray(container[key])
        self._check_keys(element, extras)
        held: dict[str | int, Any] = {}
        if several is not None:
            held = {key: value for key, value in several.items() if key not in extras}
            if name is None and len(held) == 1:
                inputs = held.popitem()[1]
            elif name in held:
                inputs = held.pop(name)
            else:
                raise self._name_error(inputs, name, [*held], len(labels) if labels.ndim else 0)
        elif name is not None:
            raise self._name_error(inputs, name, None, 0)
        images = self._input_array(inputs)
        others = {key: np.asarray(value) for key, value in held.items()}
        if may_be_single and self._is_single(images, labels, has_batch_axis):
            images, labels = images[np.newaxis], labels[np.newaxis]
            others = {key: values[np.newaxis] for key, values in others.items()}
            extras = {key: values[np.newaxis] for key, values in extras.items()}
        if images.ndim - 1 not in self._single_ranks:
            raise self._rank_error(images.shape)
        if self._data_format == "channels_first" and has_channels(self._kind):
            images = np.moveaxis(images, 1, -1)
            if labels.ndim == images.ndim and labels.shape[2:] == images.shape[1:-1]:
                labels = np.moveaxis(labels, 1, -1)
        for what, values in [*others.items(), *extras.items()]:
            if values.shape[:1] != images.shape[:1]:
                raise ValueError(
                    f"dataset: expected one row of {what!r} for each of {len(images)} images, "
                    f"received shape {values.shape}."
                )
        return Batch(images, labels, others, extras, name)

    def _check_keys(self, element: Any, extras: Mapping[str, Array]) -> None:
        for key, argument in self._keys.items():
            if key not in extras:
                received = f"a {type(element).__name__}"
                if isinstance(element, Mapping):
                    received = f"the keys {_listed(element)}"
                raise ValueError(
                    f"{argument}: expected an array, or a key of the data set's elements, received "
                    f"{key!r}. The elements have {received}. Make them dicts with dataset.map, or "
                    "pass an array in the order of the data set."
                )

    def _is_single(self, images: Array, labels: Array, has_batch_axis: bool) -> bool:
        """Whether the arrays are one example without a batch axis."""
        if images.ndim not in self._single_ranks or images.ndim - 1 not in self._single_ranks:
            return images.ndim in self._single_ranks
        if labels.ndim == 0:
            return True
        is_narrow = self._kind != "image" or images.shape[-1] <= _MOST_CHANNELS
        if is_narrow and labels.ndim > 1 and labels.shape[:2] == images.shape[:2]:
            return True  # an image and its label image
        if has_batch_axis:
            return False
        if labels.shape[0] != images.shape[0]:
            return is_class_row(labels)
        return is_narrow and labels.ndim == 1 and is_class_row(labels)

    def _input_array(self, values: Any) -> Array:
        """The input to explain, as an array of numbers."""
        check_dense("dataset", values)
        if hasattr(values, "row_splits") and hasattr(values, "numpy"):
            values = values.numpy()  # a ragged tensor
        is_object = holds_objects(values) and np.ndim(values) == 1
        if is_object or isinstance(values, list):
            different = two_shapes(values)
            if different is not None:
                raise sizes_error("dataset", *different, self._kind)
        array = _dense(values) if is_object else np.asarray(values)
        check_numbers("dataset", array, self._kind)
        return array

    def _name_error(
        self, inputs: Any, name: Name, names: list[Any] | None, count: int
    ) -> Exception:
        received, hint = ", ".join(map(repr, names or [])), ""
        if names is None:
            received = "a single input"
        elif not isinstance(inputs, Mapping):
            received = f"a {type(inputs).__name__} of {len(names)} inputs"
            if isinstance(inputs, list):
                hint = " If these are the images, pass np.stack(images)."
                different = two_shapes(inputs) if len(inputs) == count else None
                if different and self._kind == "image":
                    return sizes_error("dataset", *different, self._kind)
        return (TypeError if name is None else ValueError)(
            "dataset: expected one array of images, or input_name= to select one of several "
            f"inputs; received input_name={name!r} and {received}.{hint}"
        )

    def _rank_error(self, shape: tuple[int, ...]) -> ValueError:
        expected = f"{self._kind.removesuffix('s')}s (batch, {', '.join(KINDS[self._kind])})"
        if self._data_format == "no_channels":
            expected = f"gray images (batch, {', '.join(map_axes(self._kind))})"
        elif self._data_format == "channels_first" and has_channels(self._kind):
            axes = ", ".join(map_axes(self._kind))
            expected = f"{self._kind.removesuffix('s')}s (batch, channels, {axes})"
        elif self._kind == "image" and self._data_format is None:
            expected += " or gray images (batch, height, width)"
        others = [name for name, axes in KINDS.items() if len(axes) + 1 == len(shape)]
        hint = f" For other inputs, pass kind={' or '.join(map(repr, others))}." if others else ""
        return ValueError(f"dataset: expected {expected}, received shape {shape}.{hint}")


def _chunks(batch: Batch) -> Iterator[Batch]:
    """Small batches, so that what is computed of arrays of a whole data set takes little memory."""
    count = len(batch.images)
    if batch.labels.shape[:1] != (count,):
        yield batch  # the reader of the labels says what is wrong
        return
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        yield batch._replace(
            images=batch.images[rows],
            labels=batch.labels[rows],
            held={name: values[rows] for name, values in batch.held.items()},
            extras={key: values[rows] for key, values in batch.extras.items()},
        )


def _parts(element: Any, input_name: Name) -> tuple[Any, Any, Name]:
    """The inputs and the labels of an element, and the name to select among the inputs."""
    if isinstance(element, Mapping):
        key = input_name if input_name in element else None
        chosen = _only_key(element, INPUT_KEYS, "inputs") if key is None else key
        others = {name: value for name, value in element.items() if name != chosen}
        is_class = any(name in others for name in LABEL_KEYS)
        known = LABEL_KEYS if is_class else LABEL_KEYS + LABEL_IMAGE_KEYS
        label = _only_key(others, known, "labels")
        return element[chosen], element[label], input_name if key is None else None
    if isinstance(element, list):  # as Keras reads what a PyDataset gives
        element = tuple(element)
    if not isinstance(element, tuple) or len(element) not in (2, 3):
        received = type(element).__name__
        if isinstance(element, tuple):
            received = f"a tuple of {len(element)}"
        raise TypeError(
            "dataset: expected elements (images, labels), (images, labels, weights) or dicts of an "
            f"image and a label, received {received}. The draw needs labels. Without labels, pass "
            "arrays: ProbeSet(images)."
        )
    return element[0], element[1], input_name


def _only_key(element: Mapping[Any, Any], known: tuple[str, ...], what: str) -> Any:
    """The only key of an element that is one of the known ones."""
    found = [key for key in known if key in element]
    if len(found) != 1:
        received = f"several: {_listed(found)}" if found else f"the keys {_listed(element)}"
        raise (ValueError if found else TypeError)(
            f"dataset: expected elements (images, labels), or dicts with one of the keys "
            f"{_listed(known)} for the {what}; received {received}. Choose with "
            "dataset.map(lambda element: (element['image'], element['label'])), with your keys."
        )
    return found[0]


def _several(inputs: Any) -> dict[Any, Any] | None:
    """A model's inputs by name, or by position in a list; `None` if it is a single array."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    is_list = isinstance(inputs, list) and any(len(getattr(row, "shape", ())) for row in inputs)
    return dict(enumerate(inputs)) if is_list or isinstance(inputs, tuple) else None


def _label_array(labels: Any) -> Array:
    if _several(labels) is not None:
        raise TypeError(
            "dataset: expected one array of labels, received several, as for several outputs. "
            "Select one first, for example with dataset.map. If these are the rows of one array, "
            "pass np.stack(labels)."
        )
    array = np.asarray(labels)
    if array.dtype == object and array.ndim == 1 and array.size and np.ndim(array[0]):
        different = two_shapes(array)
        if different is not None:
            raise ValueError(
                "dataset: expected one class index for each image, received labels of several "
                f"lengths, such as {different[0]} and {different[1]}."
            )
        array = _dense(array)
    return array


def _dense(rows: Any) -> Array:
    """Nested object arrays of equal shapes, as a ragged batch has them, as one array."""
    array = np.asarray(rows)
    if array.dtype == object and array.ndim == 1 and array.size and np.ndim(array[0]):
        return np.stack([_dense(row) for row in array])
    return array


def _listed(keys: Any) -> str:
    return ", ".join(map(repr, keys))
