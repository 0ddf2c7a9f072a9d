"""Drawing labelled images from any data set that Keras trains on."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_saliency.data.inputs import KINDS
from keras_saliency.data.reports import Array

Row = dict[str | int | None, Array]
"""What a model is fed of one probe, by the names of its inputs; `None` is the only one."""


def draw(
    dataset: Any,
    per_class: Callable[[int], int],
    seed: int,
    *,
    input_name: str | int | None = None,
    kind: str = "image",
) -> dict[int, list[Row]]:
    """The images of each class whose keyed hash is smallest: a draw without order.

    Args:
        dataset: As `ProbeSet.from_dataset` takes it; one pass is made.
        per_class: From the number of classes to that of images of each class, at most; it may
            not rise. Equal images count once.
        seed: The key of the hash.
        input_name: Which of several inputs is explained; of equal ones, one is drawn.
        kind: A key of `KINDS`, what the input is.

    Returns:
        Rows by class index.

    Raises:
        TypeError: The data set or its elements are of another kind.
        ValueError: The data set is endless, or the labels are not classes.
    """
    key = seed.to_bytes(16, "little", signed=True)
    kept: dict[int, list[tuple[int, Row]]] = {}
    at_most = 0
    for inputs, labels in _batches(dataset, input_name, kind):
        for position, label in enumerate(labels):
            row = {name: values[position] for name, values in inputs.items()}
            digest = hashlib.blake2b(row[input_name].tobytes(), digest_size=8, key=key).digest()
            rank = -int.from_bytes(digest, "big")
            if int(label) not in kept:
                kept[int(label)] = []
                at_most = per_class(len(kept))
                for heap in kept.values():
                    while len(heap) > at_most:
                        heapq.heappop(heap)
            heap = kept[int(label)]
            if any(rank == other for other, _ in heap):
                continue
            if len(heap) < at_most:
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
    """Yields inputs by name, and labels, of any of the kinds of data set that Keras trains on."""
    if isinstance(dataset, tuple):
        elements: Any = iter([dataset])
    elif hasattr(dataset, "element_spec"):
        if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise ValueError("dataset: expected a finite one, received an endless. Use .take(n).")
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
                "instance with dataset.map."
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
            wanted = f"{kind.removesuffix('s')}s (batch, {', '.join(axes)})"
            if kind == "image":
                hint = " Gray images need a channel axis: images[..., np.newaxis]."
            hint += f" Other kinds: {', '.join(others)}." if others else ""
            raise ValueError(f"dataset: expected {wanted}, received shape {images.shape}.{hint}")
        yield inputs, _classes(labels, len(images))


def _is_array(values: Any) -> bool:
    """Whether a list is that of an array's rows, and not one of several arrays."""
    return isinstance(values, list) and np.ndim(values[0]) <= 1


def _named(inputs: Any, name: str | int | None) -> dict[str | int | None, Array]:
    """A model's inputs by name, or by position in a list; `None` is the only one."""
    several: dict[Any, Any] = {None: inputs}
    if isinstance(inputs, Mapping):
        several = dict(inputs)
    elif isinstance(inputs, tuple) or (isinstance(inputs, list) and not _is_array(inputs)):
        several = dict(enumerate(inputs))
    if name not in several:
        received = "a single one" if None in several else ", ".join(map(repr, several))
        raise (TypeError if name is None else ValueError)(
            "dataset: expected one array of images, or input_name= to say which of several inputs "
            f"is explained; received input_name={name!r} and {received}."
        )
    return {key: np.asarray(values) for key, values in several.items()}


def _is_one_hot(labels: Array) -> bool:
    is_binary = labels.dtype.kind in "iufb" and bool(np.isin(labels, (0, 1)).all())
    return is_binary and bool((labels.sum(axis=-1) == 1).all())


def _classes(labels: Array, batch: int) -> Array:
    """Class indices `(batch,)` from indices, whole floats, a column or one-hot rows."""
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
