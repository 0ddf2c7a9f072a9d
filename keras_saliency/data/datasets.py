"""Reads batches, with or without labels, from any data set that Keras can train on.

Elements are inputs, `(inputs, labels)`, `(inputs, labels, weights)` or dicts with keys such as
`"image"` and `"label"`, batched or not. Inputs are one array, or several in a dict, tuple or list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_saliency.data import pipelines
from keras_saliency.data.elements import (
    Name,
    check_flat,
    is_batched,
    labels_by_output,
    parts,
    several,
)
from keras_saliency.data.graphs import as_one_input
from keras_saliency.data.inputs import (
    KINDS,
    PADDED,
    AssumedKind,
    check_dense,
    check_numbers,
    has_channels,
    holds_objects,
    is_text,
    map_axes,
    padded,
    sizes_error,
    texts,
    two_shapes,
)
from keras_saliency.data.labels import is_class_row
from keras_saliency.data.reports import Array

_MOST_CHANNELS = 4
"""A single image of rank 3 has no more channels than that; a batch of gray images is wider."""

_CHUNK = 256

_GRAPH = as_one_input(
    "model([graph[0], *others])", "(features, *others), targets = next(iter(dataset))"
)
_MERGED = f"If each batch is merged into one graph, {_GRAPH}"


class Batch(NamedTuple):
    """Inputs `(batch, ...)`, channels last; gray images come with or without a channel axis.

    Attributes:
        images: The input to explain; if all are, the first one.
        labels: In any of the forms that `keras_saliency.data.labels` reads; `None` without labels.
        held: The other inputs, by name or position.
        extras: The values of the keys that were asked for.
        input_name: The name of the input to explain, if there are several.
        explains_all: Whether there are several inputs, and none was named.
        outputs: The outputs that there are labels of, if there are several and none was asked for;
            `labels` are those of the first.
        reason: Why there are no labels, if the data set has some.
    """

    images: Array
    labels: Array | None
    held: dict[str | int, Array]
    extras: dict[str, Array]
    input_name: Name
    explains_all: bool = False
    outputs: tuple[str | int, ...] = ()
    reason: str = ""


class Reader:
    """Reads the elements of data sets.

    Args:
        kind: A key of `KINDS`.
        data_format: One of `DATA_FORMATS`, or `None` to recognize gray images by their shape.
        input_name: The input to explain, if there are several. If the elements are dicts of inputs
            and labels: the key of the input.
        keys: Keys of values to read besides, each with the name of the argument that asks for it.
        output: The output whose labels are read, if there are several. Default: the first.
    """

    def __init__(
        self,
        kind: str,
        data_format: str | None,
        input_name: Name,
        keys: Mapping[str, str],
        output: Name = None,
    ) -> None:
        self._kind = kind
        self._output = output
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
        is_arrays = isinstance(dataset, tuple | Mapping) or hasattr(dataset, "__array__")
        has_batches = pipelines.is_pipeline(dataset) and pipelines.ends_in_batches(dataset)
        has_batch_axis = pipelines.is_pipeline(dataset) and self._has_batch_axis(dataset)
        is_single = pipelines.is_pipeline(dataset) and not is_batched(dataset, self._input_name)
        shapes: dict[Name, tuple[int, ...]] = {}
        for element in pipelines.elements(dataset, self._kind):
            batch = self._batch(
                element, not is_arrays and not has_batches, has_batch_axis, is_single
            )
            read: list[tuple[Name, Array]] = [(None, batch.images), *batch.held.items()]
            for name, values in read:
                before = shapes.setdefault(name, values.shape[1:])
                is_open = isinstance(self._kind, AssumedKind)  # images or series
                may_differ = batch.explains_all or self._kind in PADDED or is_open
                if values.shape[1:] != before and not (
                    may_differ and values.ndim > 1 and values.shape[2:] == before[1:]
                ):
                    argument = "dataset" if name is None else f"dataset, input {name!r}"
                    raise sizes_error(argument, before, values.shape[1:], self._kind)
            yield from _chunks(batch)

    def _has_batch_axis(self, dataset: Any) -> bool:
        """Whether the labels of a pipeline have a first axis of unknown length."""
        try:
            labels = parts(dataset.element_spec, self._input_name)[1]
            labels = _of_one_output(labels, self._output)[0]
        except (TypeError, ValueError):
            return False  # the same error comes with the first element
        shape: Any = getattr(labels, "shape", None)
        return bool(getattr(shape, "rank", None)) and shape[0] is None

    def _batch(
        self, element: Any, may_be_single: bool, has_batch_axis: bool, is_single: bool
    ) -> Batch:
        """An element as a batch.

        Args:
            element: The element.
            may_be_single: Whether it may be one example, without a batch axis.
            has_batch_axis: Whether it is known to have one.
            is_single: Whether it has none, where its shape leaves both.
        """
        inputs, given_labels, name = parts(element, self._input_name)
        named = several(inputs)
        first = next(iter(named.values())) if named else inputs
        shape = getattr(first, "shape", None) or ([len(first)] if isinstance(first, list) else [0])
        count = int(shape[0] or 0)
        one, outputs = _of_one_output(given_labels, self._output, count)
        labels, reason = _label_array(one, is_guess=bool(outputs))
        extras: dict[str, Array] = {}
        for container in (element, named):
            for key in self._keys:
                if isinstance(container, Mapping) and key in container:
                    extras[key] = np.asarray(container[key])
        self._check_keys(element, extras)
        held: dict[str | int, Any] = {}
        explains_all = False
        if named is not None:
            check_flat("dataset", named)
            held = {key: value for key, value in named.items() if key not in extras}
            if name is None and len(held) == 1:
                inputs = held.popitem()[1]
            elif name in held:
                inputs = held.pop(name)
            elif name is None and held and not _is_list_of_rows(inputs, labels):
                explains_all, name = True, next(iter(held))
                inputs = held.pop(name)
            else:
                count = len(labels) if labels is not None and labels.ndim else 0
                raise self._name_error(inputs, name, [*held], count)
        elif name is not None:
            raise self._name_error(inputs, name, None, 0)
        images = _any_array(inputs) if explains_all else self._input_array(inputs)
        others = {key: _any_array(value) for key, value in held.items()}
        if explains_all or labels is None:
            is_one = is_single and may_be_single
        else:
            is_one = may_be_single and self._is_single(images, labels, has_batch_axis)
        if is_one:
            images = images[np.newaxis]
            labels = None if labels is None else labels[np.newaxis]
            others = {key: values[np.newaxis] for key, values in others.items()}
            extras = {key: values[np.newaxis] for key, values in extras.items()}
        if not explains_all:
            images, labels = self._checked(images, labels)
        hint = f" {_MERGED}" if others else ""
        for what, values in [*others.items(), *extras.items()]:
            if values.shape[:1] != images.shape[:1]:
                raise ValueError(
                    f"dataset: expected one row of {what!r} for each of {len(images)} images, "
                    f"received shape {values.shape}.{hint}"
                )
        if others and labels is not None and labels.ndim and len(labels) != len(images):
            raise ValueError(
                f"dataset: expected one label for each of {len(images)} rows of the inputs, "
                f"received {len(labels)}.{hint}"
            )
        return Batch(images, labels, others, extras, name, explains_all, outputs, reason)

    def _checked(self, images: Array, labels: Array | None) -> tuple[Array, Array | None]:
        """The input to explain, channels last, with its label images."""
        if images.ndim - 1 not in self._single_ranks:
            raise self._rank_error(images.shape)
        if self._data_format == "channels_first" and has_channels(self._kind):
            images = np.moveaxis(images, 1, -1)
            has_places = labels is not None and labels.ndim == images.ndim
            if labels is not None and has_places and labels.shape[2:] == images.shape[1:-1]:
                labels = np.moveaxis(labels, 1, -1)
        return images, labels

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
        """The input to explain, as an array of numbers or, for tokens, texts."""
        check_dense("dataset", values)
        if hasattr(values, "row_splits") and hasattr(values, "numpy"):
            values = values.numpy()  # a ragged tensor
        is_object = holds_objects(values) and np.ndim(values) == 1
        has_text = is_object and all(isinstance(row, str | bytes) for row in values)
        if (is_object and not has_text) or isinstance(values, list):
            different = two_shapes(values)
            if different is not None and self._kind in PADDED:
                return padded(list(map(np.asarray, values)))
            if different is not None:
                raise sizes_error("dataset", *different, self._kind)
        array = _dense(values) if is_object else np.asarray(values)
        if self._kind == "tokens" and is_text(array):
            return texts(array)
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
    labels = batch.labels
    if labels is not None and labels.shape[:1] != (count,):
        yield batch  # the reader of the labels says what is wrong
        return
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        yield batch._replace(
            images=batch.images[rows],
            labels=None if labels is None else labels[rows],
            held={name: values[rows] for name, values in batch.held.items()},
            extras={key: values[rows] for key, values in batch.extras.items()},
        )


def _of_one_output(labels: Any, output: Name, count: int = 0) -> tuple[Any, tuple[str | int, ...]]:
    """The labels of one output, if there are several.

    Args:
        labels: An array, or several in a dict, tuple or list; `None` without labels.
        output: The name or position of the output; `None` for the first.
        count: The number of examples, if it is known: of a list of arrays with this length each,
            each array has the labels of one output.

    Returns:
        The labels; and if there are several, and none was asked for, the names or positions of all.

    Raises:
        TypeError: They may be several outputs, or the rows of one array.
        ValueError: The output is unknown.
    """
    named = labels_by_output(labels)
    if not named:
        if output is not None and labels is not None:
            raise ValueError(
                f"output: expected None for labels of one output, received {output!r}. For a model "
                f"with several outputs: ProbeSet(images, targets, output={output!r})."
            )
        return labels, ()
    if output is None:
        is_list = isinstance(labels, list) and len({np.shape(row) for row in labels}) == 1
        if is_list and not (np.shape(labels[0])[:1] == (count,) != (len(labels),)):
            raise TypeError(
                "dataset: expected one array of labels, received several, as for several outputs. "
                f"Choose one with output=: {_listed(named)}. If these are the rows of one array, "
                "pass np.stack(labels)."
            )
        return next(iter(named.values())), tuple(named) if len(named) > 1 else ()
    if output not in named:
        raise ValueError(
            f"output: expected one of {_listed(named)}, the outputs that the data set has labels "
            f"of, received {output!r}."
        )
    return named[output], ()


def _label_array(labels: Any, *, is_guess: bool) -> tuple[Array | None, str]:
    """Labels as an array.

    Args:
        labels: Of one output; `None` without labels.
        is_guess: Whether they are those of the first of several outputs, which may have no classes.

    Returns:
        The labels, or `None`, and why there are none; empty if the data set has none.

    Raises:
        ValueError: They have several lengths, and are no guess.
    """
    if labels is None:
        return None, ""
    array = np.asarray(labels)
    if array.dtype == object and array.ndim == 1 and array.size and np.ndim(array[0]):
        different = two_shapes(array)
        if different is not None:
            reason = (
                "expected one class index for each image, received labels of several lengths, such "
                f"as {different[0]} and {different[1]}."
            )
            if is_guess:
                return None, reason
            raise ValueError(f"dataset: {reason}")
        array = _dense(array)
    return array, ""


def _is_list_of_rows(inputs: Any, labels: Array | None) -> bool:
    """Whether a list holds images instead of inputs: one for each label, none with a batch axis."""
    if not isinstance(inputs, list) or labels is None or not labels.ndim:
        return False
    return len(inputs) == len(labels) and any(len(row) != len(labels) for row in inputs)


def _any_array(values: Any) -> Array:
    """An input of any kind as an array; a ragged one is padded."""
    if hasattr(values, "row_splits") and hasattr(values, "numpy"):
        values = values.numpy()
    if holds_objects(values) and np.ndim(values) == 1 and two_shapes(values) is not None:
        return padded(list(map(np.asarray, values)))
    array = np.asarray(values)
    return _dense(array) if array.dtype == object else array


def _dense(rows: Any) -> Array:
    """Nested object arrays of equal shapes, as a ragged batch has them, as one array."""
    array = np.asarray(rows)
    if array.dtype == object and array.ndim == 1 and array.size and np.ndim(array[0]):
        return np.stack([_dense(row) for row in array])
    return array


def _listed(keys: Any) -> str:
    return ", ".join(map(repr, keys))
