"""Draws labelled images from any data set that Keras can train on."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_saliency.data.inputs import KINDS
from keras_saliency.data.reports import Array

Row = dict[str | int | None, Array]
"""The inputs of one probe, by their names; the name is `None` if there is only one input."""


def draw(
    dataset: Any,
    per_class: Callable[[int], int],
    seed: int,
    *,
    input_name: str | int | None = None,
    kind: str = "image",
) -> dict[int, list[Row]]:
    """The images of each class with the smallest keyed hash: a draw that ignores the order.

    Args:
        dataset: As in `ProbeSet.from_dataset`; it is read once.
        per_class: Maps the number of classes to the maximum number of images per class. It must
            not increase. Equal images count once.
        seed: The key of the hash.
        input_name: The input to explain, if there are several. Of rows in which it is equal, one is
            drawn.
        kind: The kind of input, a key of `KINDS`.

    Returns:
        Rows by class index.

    Raises:
        TypeError: The data set or its elements have an unsupported type.
        ValueError: The data set is endless, or the labels are not classes.
    """
    key = seed.to_bytes(16, "little", signed=True)
    kept: dict[int, list[tuple[int, Row]]] = {}
    max_rows = 0
    for inputs, labels in _batches(dataset, input_name, kind):
        for position, label in enumerate(labels):
            row = {name: values[position] for name, values in inputs.items()}
            digest = hashlib.blake2b(row[input_name].tobytes(), digest_size=8, key=key).digest()
            rank = -int.from_bytes(digest, "big")
            if int(label) not in kept:
                kept[int(label)] = []
                max_rows = per_class(len(kept))
                for heap in kept.values():
                    while len(heap) > max_rows:
                        heapq.heappop(heap)
            heap = kept[int(label)]
            if any(rank == other for other, _ in heap):
                continue
            if len(heap) < max_rows:
                heapq.heappush(heap, (rank, _copied(row)))
            elif rank > heap[0][0]:
                heapq.heapreplace(heap, (rank, _copied(row)))
    return {
        label: [row for _, row in sorted(heap, key=lambda item: -item[0])]
        for label, heap in kept.items()
    }


def _copied(row: Row) -> Row:
    return {name: np.array(values) for name, values in row.items()}


def _batches(
    dataset: Any, input_name: str | int | None, kind: str
) -> Iterator[tuple[dict[str | int | None, Array], Array]]:
    """Yields inputs by name, and labels, from any data set that Keras can train on."""
    if isinstance(dataset, tuple):
        elements: Any = iter([dataset])
    elif hasattr(dataset, "element_spec"):
        if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise ValueError(
                "dataset: expected a finite data set, received an endless one. Use .take(n)."
            )
        elements = dataset.as_numpy_iterator()
    elif hasattr(dataset, "__getitem__") and hasattr(dataset, "num_batches"):
        if dataset.num_batches is None:
            raise ValueError(
                "dataset: expected a PyDataset with a length, received an endless one."
            )
        elements = (dataset[index] for index in range(dataset.num_batches))
    else:
        raise TypeError(
            "dataset: expected a tf.data.Dataset, a tuple (images, labels) or a "
            f"keras.utils.PyDataset, received {type(dataset).__name__}."
        )
    for element in elements:
        if not isinstance(element, tuple) or len(element) not in (2, 3):
            raise TypeError(
                "dataset: expected elements (images, labels) or (images, labels, weights), "
                f"received {type(element).__name__}."
            )
        if isinstance(element[1], Mapping | tuple | list) and not _is_array(element[1]):
            raise TypeError(
                "dataset: expected one array of labels, received several. Select one first, for "
                "example with dataset.map."
            )
        inputs, labels = _named(element[0], input_name), np.asarray(element[1])
        images, axes = inputs[input_name], KINDS[kind]
        is_single = labels.shape in ((), (1,)) or (labels.ndim == 1 and _is_one_hot(labels))
        if images.ndim == len(axes) and is_single and hasattr(dataset, "element_spec"):
            inputs = {name: values[np.newaxis] for name, values in inputs.items()}
            images, labels = inputs[input_name], labels[np.newaxis]
        if images.ndim != len(axes) + 1:
            hint = ""
            others = [name for name, known in KINDS.items() if len(known) + 1 == images.ndim]
            expected = f"{kind.removesuffix('s')}s (batch, {', '.join(axes)})"
            if kind == "image":
                hint = " Gray images need a channel axis: images[..., np.newaxis]."
            hint += f" Other kinds: {', '.join(others)}." if others else ""
            raise ValueError(f"dataset: expected {expected}, received shape {images.shape}.{hint}")
        yield inputs, _classes(labels, len(images))


def _is_array(values: Any) -> bool:
    """Whether a list holds the rows of one array, not several arrays."""
    return isinstance(values, list) and np.ndim(values[0]) <= 1


def _named(inputs: Any, name: str | int | None) -> dict[str | int | None, Array]:
    """A model's inputs by name, or by position in a list; by `None` if there is only one."""
    several: dict[Any, Any] = {None: inputs}
    if isinstance(inputs, Mapping):
        several = dict(inputs)
    elif isinstance(inputs, tuple) or (isinstance(inputs, list) and not _is_array(inputs)):
        several = dict(enumerate(inputs))
    if name not in several:
        received, hint = ", ".join(map(repr, several)), ""
        if None in several:
            received = "a single input"
        elif not isinstance(inputs, Mapping):
            received = f"a {type(inputs).__name__} of {len(several)} inputs"
            if isinstance(inputs, list):
                hint = " If these are the images, pass np.stack(images)."
        raise (TypeError if name is None else ValueError)(
            "dataset: expected one array of images, or input_name= to select one of several "
            f"inputs; received input_name={name!r} and {received}.{hint}"
        )
    return {key: np.asarray(values) for key, values in several.items()}


def _is_one_hot(labels: Array) -> bool:
    is_binary = labels.dtype.kind in "iufb" and bool(np.isin(labels, (0, 1)).all())
    return is_binary and bool((labels.sum(axis=-1) == 1).all())


def _classes(labels: Array, batch: int) -> Array:
    """Class indices `(batch,)` from indices, whole-numbered floats, a column or one-hot rows."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not _is_one_hot(labels):
            raise ValueError("dataset: expected class indices or one-hot rows as labels.")
        labels = labels.argmax(axis=1)
    labels = labels[:, 0] if labels.shape == (batch, 1) else labels
    is_whole = labels.dtype.kind in "iufb" and bool((np.abs(labels) < 2**31).all())
    is_whole = is_whole and np.array_equal(labels, labels.astype(np.int64))
    if labels.shape != (batch,) or not is_whole:
        raise ValueError(
            f"dataset: expected class indices of shape ({batch},) as labels, received shape "
            f"{labels.shape}, dtype {labels.dtype}."
        )
    return labels.astype(np.int64)
