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


KEEP_VALUES = frozenset(
    {"assert_cardinality", "auto_shard", "batch", "cache", "concatenate", "dense_to_ragged"}
    | {"filter", "ignore_errors", "options", "padded_batch", "prefetch", "rebatch", "repeat"}
    | {"restructured", "shard", "shuffle", "skip", "snapshot", "take", "take_while"}
    | {"unbatch", "unique"}
)
"""The steps of a pipeline that cannot change values, such as labels."""


def elements(dataset: Any, kind: str) -> Iterator[Any]:
    """Reads a data set once, in its order. A generator is used up.

    Args:
        dataset: A `tf.data.Dataset`; an array, or a tuple or dict of arrays, which is one element;
            a `keras.utils.PyDataset`; or an iterable, such as a generator.
        kind: The kind of input, for messages.

    Raises:
        TypeError: The data set has another type.
        ValueError: A pipeline has batches of images of different sizes.
    """
    if isinstance(dataset, tuple | Mapping) or hasattr(dataset, "__array__"):
        yield dataset
    elif hasattr(dataset, "as_numpy_iterator"):
        try:
            yield from dataset.as_numpy_iterator()
        except Exception as error:  # of TensorFlow, which this room does not import
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


def first_element(dataset: Any) -> tuple[Any, Any]:
    """The first element of a data set that is not a pipeline, and one with all elements.

    Raises:
        TypeError: As in `elements`.
        ValueError: The data set is empty.
    """
    is_iterator = isinstance(dataset, Iterator)
    for element in dataset if is_iterator else elements(dataset, "image"):
        return element, itertools.chain([element], dataset) if is_iterator else dataset
    raise ValueError("dataset: expected at least one batch, received an empty data set.")


def ends_in_batches(dataset: Any) -> bool:
    """Whether the last step of a pipeline that makes or takes apart batches makes them."""
    for source in sources(dataset):
        step = type(source).__name__
        if "Unbatch" in step or step == "_RestructuredDataset":
            return False
        if "Batch" in step or "DenseToRagged" in step:
            return True
    return False


def sources(dataset: Any) -> Iterator[Any]:
    """A data set and all those that it was made from."""
    pending = [dataset]
    while pending:
        current = pending.pop(0)
        yield current
        pending += inputs_of(current)


def class_names(dataset: Any, classes: set[int]) -> Sequence[str] | None:
    """The names of the classes that a data set carries, or one that it was made from.

    `keras.utils.image_dataset_from_directory` sets `class_names`, which other steps lose. They are
    found behind steps that cannot change labels, such as `batch` and `prefetch`; not behind a
    `map`, which can.

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
    origins = [*_origins(dataset, "")]
    names = _common_names(origins)
    if names is None or any(step for _, step in origins) or max(classes) >= len(names):
        return None
    return names


def step_that_lost_names(dataset: Any) -> str:
    """The step of a pipeline behind which its class names may be wrong, such as `"map"`.

    Returns:
        The name of the step; `""` if no names were lost.
    """
    if not is_pipeline(dataset):
        return ""
    origins = [(names, step) for names, step in _origins(dataset, "") if names is not None]
    return "" if _common_names(origins) is None else next((s for _, s in origins if s), "")


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
    is_arrays = isinstance(dataset, tuple | Mapping) or hasattr(dataset, "__array__")
    return is_arrays or num_batches(dataset) is not None


def num_batches(dataset: Any) -> int | None:
    """The length that a data set has or was given; `None` if it has none."""
    number = getattr(dataset, "num_batches", None)
    if number is None:
        number = len(dataset) if hasattr(dataset, "__len__") else None
    return None if number is None else int(number)


def step_of(dataset: Any) -> str:
    """The last step of a pipeline, such as `"map"`."""
    step = re.sub("^_|Dataset(V[12])?$", "", type(dataset).__name__)
    return re.sub("(?<!^)(?=[A-Z])", "_", step).lower().removeprefix("parallel_")


def inputs_of(dataset: Any) -> list[Any]:
    """The data sets that the last step of a pipeline takes; none if it has none."""
    inputs = [*dataset._inputs()] if hasattr(dataset, "_inputs") else []
    if type(dataset).__name__ == "_RestructuredDataset":  # TensorFlow's map in unbatch and rebatch
        inputs = [origin for source in inputs for origin in inputs_of(source)]
    return inputs


def _origins(dataset: Any, changed_by: str) -> Iterator[tuple[list[str] | None, str]]:
    """For each way back: the nearest names, and the last step before that may change labels."""
    names = getattr(dataset, "class_names", None)
    inputs, step = inputs_of(dataset), step_of(dataset)
    if names is not None or not inputs:
        yield None if names is None else [*names], changed_by
        return
    if not changed_by and step not in KEEP_VALUES:
        changed_by = step
    for source in inputs:
        yield from _origins(source, changed_by)


def _common_names(origins: Sequence[tuple[list[str] | None, str]]) -> list[str] | None:
    """The names that all origins have; `None` if one has others or none."""
    first = origins[0][0] if origins else None
    return first if all(names == first for names, _ in origins) else None
