"""Drawing labelled images from any data set that Keras trains on."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_saliency.reports import Array


def draw(dataset: Any, per_class: Callable[[int], int], seed: int) -> dict[int, list[Array]]:
    """The images of each class whose keyed hash is smallest: a draw without order.

    Args:
        dataset: As `ProbeSet.from_dataset` takes it; one pass is made.
        per_class: From the number of classes to that of images of each class, at most; it may
            not rise. Equal images count once.
        seed: The key of the hash.

    Returns:
        Images `(height, width, channels)` by class index.

    Raises:
        TypeError: The data set or its elements are of another kind.
        ValueError: The data set is endless, or the labels are no classes.
    """
    key = seed.to_bytes(16, "little", signed=True)
    kept: dict[int, list[tuple[int, Array]]] = {}
    at_most = 0
    for images, labels in _batches(dataset):
        for image, label in zip(images, labels, strict=True):
            digest = hashlib.blake2b(image.tobytes(), digest_size=8, key=key).digest()
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
                heapq.heappush(heap, (rank, image.copy()))
            elif rank > heap[0][0]:
                heapq.heapreplace(heap, (rank, image.copy()))
    return {
        label: [image for _, image in sorted(heap, key=lambda item: -item[0])]
        for label, heap in kept.items()
    }


def _batches(dataset: Any) -> Iterator[tuple[Array, Array]]:
    """Yields `(images, labels)` of any of the kinds of data set that Keras trains on."""
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
        if any(isinstance(part, Mapping) for part in element[:2]):
            raise TypeError(
                "dataset: expected one array of images and one of labels, received a dict. Select "
                "them first, for instance with dataset.map."
            )
        images, labels = np.asarray(element[0]), np.asarray(element[1])
        is_single = labels.shape in ((), (1,)) or (labels.ndim == 1 and _is_one_hot(labels))
        if images.ndim == 3 and is_single and hasattr(dataset, "element_spec"):
            images, labels = images[np.newaxis], labels[np.newaxis]
        if images.ndim != 4:
            raise ValueError(
                "dataset: expected images (batch, height, width, channels), received shape "
                f"{images.shape}. Gray images need a channel axis: images[..., np.newaxis]."
            )
        yield images, _classes(labels, len(images))


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
