"""The elements of a data set, and what it tells of itself: its end, its order, its class names.

A pipeline is a chain of data sets, each made from others. TensorFlow is not imported: whatever has
an `element_spec` counts as a `tf.data.Dataset`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from keras_saliency.data.inputs import map_axes, sizes_error

MOST_IMAGES, MOST_ELEMENTS = 100_000, 20_000
"""Reading a data set that does not tell its length stops at that many images, or elements."""


def elements(dataset: Any, kind: str) -> Iterator[Any]:
    """Reads a data set once, in its order. A generator is used up.

    Args:
        dataset: A `tf.data.Dataset`; a tuple or dict of arrays, which is one element; a
            `keras.utils.PyDataset`; or an iterable, such as a generator.
        kind: The kind of input, for messages.

    Raises:
        TypeError: The data set has another type.
        ValueError: A pipeline has batches of images of different sizes.
    """
    if isinstance(dataset, tuple | Mapping):
        yield dataset
    elif hasattr(dataset, "as_numpy_iterator"):
        try:
            yield from dataset.as_numpy_iterator()
        except Exception as error:
            shapes = [
                tuple(map(int, numbers.split(",")))
                for numbers in re.findall(r"\[(\d[\d,]*)\]", str(error))
            ]
            is_size = re.search("Cannot (batch tensors|add tensor to the batch)", str(error))
            if not is_size or len(shapes) < 2 or len(shapes[0]) < len(map_axes(kind)):
                raise
            raise sizes_error("dataset", shapes[0], shapes[1], kind) from error
    elif hasattr(dataset, "__getitem__") and hasattr(dataset, "num_batches"):
        length = num_batches(dataset)
        for index in itertools.count() if length is None else range(length):
            try:
                element = dataset[index]
            except IndexError:
                if length is not None:
                    raise
                return
            yield element
    elif isinstance(dataset, Iterable) and not (
        isinstance(dataset, list | str | bytes) or hasattr(dataset, "ndim")
    ):
        yield from dataset
    else:
        raise TypeError(
            "dataset: expected a tf.data.Dataset, a tuple (images, labels), a "
            f"keras.utils.PyDataset or a generator, received {type(dataset).__name__}."
        )


def is_pipeline(dataset: Any) -> bool:
    """Whether it is a `tf.data.Dataset`."""
    return hasattr(dataset, "element_spec")


def sources(dataset: Any) -> Iterator[Any]:
    """A data set and all those that it was made from."""
    pending = [dataset]
    while pending:
        current = pending.pop(0)
        yield current
        pending += _inputs(current)


def class_names(dataset: Any, classes: set[int]) -> Sequence[str] | None:
    """The names of the classes that a data set carries, or one that it was made from.

    `keras.utils.image_dataset_from_directory` sets `class_names`, which `map` and `prefetch` lose.
    A map may also change the labels. So names from before a map are used only if exactly their
    classes occur.

    Args:
        dataset: Any data set.
        classes: The class indices that occur in it.
    """
    own = getattr(dataset, "class_names", None)
    by_name = getattr(dataset, "class_indices", None)  # Keras' ImageDataGenerator
    if own is None and isinstance(by_name, dict) and by_name:
        own = sorted(by_name, key=by_name.__getitem__)
    if own is not None or not is_pipeline(dataset):
        return own
    named = [(known, mapped) for known, mapped in _named_sources(dataset, False)]
    if not named or any(known != named[0][0] for known, _ in named):
        return None
    names = named[0][0]
    is_mapped = any(mapped for _, mapped in named)
    fits = classes == {*range(len(names))} if is_mapped else max(classes) < len(names)
    return names if fits else None


def shuffles(dataset: Any) -> bool:
    """Whether each pass over a data set has another order, as far as can be seen."""
    if not is_pipeline(dataset):
        return getattr(dataset, "shuffle", False) is True
    return any(
        "Shuffle" in type(source).__name__
        and getattr(source, "_reshuffle_each_iteration", None) is not False
        for source in sources(dataset)
    )


def has_known_end(dataset: Any) -> bool:
    """Whether a data set tells that it is finite.

    Raises:
        ValueError: It tells that it is endless.
    """
    if is_pipeline(dataset):
        cardinality = int(dataset.cardinality()) if hasattr(dataset, "cardinality") else -2
        if cardinality == -1:  # tf.data.INFINITE_CARDINALITY
            raise ValueError(
                "dataset: expected a finite data set, received an endless one. Use .take(n)."
            )
        return cardinality >= 0 or any(
            type(source).__name__ == "_TakeDataset" for source in sources(dataset)
        )
    return isinstance(dataset, tuple | Mapping) or num_batches(dataset) is not None


def num_batches(dataset: Any) -> int | None:
    """The length that a data set has or was given; `None` if it has none."""
    number = getattr(dataset, "num_batches", None)
    if number is None:
        number = len(dataset) if hasattr(dataset, "__len__") else None
    return None if number is None else int(number)


def _inputs(dataset: Any) -> list[Any]:
    return [*dataset._inputs()] if hasattr(dataset, "_inputs") else []


def _named_sources(dataset: Any, is_mapped: bool) -> Iterator[tuple[list[str], bool]]:
    """The nearest names on each way back, and whether a map lies between."""
    names = getattr(dataset, "class_names", None)
    if names is not None:
        yield [*names], is_mapped
        return
    is_mapped = is_mapped or "Map" in type(dataset).__name__
    for source in _inputs(dataset):
        yield from _named_sources(source, is_mapped)
