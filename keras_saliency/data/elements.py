"""What an element of a data set consists of: inputs and labels, in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_saliency.data import pipelines
from keras_saliency.data.inputs import default_kind, kind_by_rank

INPUT_KEYS = ("image", "images", "x", "input", "inputs", "features", "tokens", "series", "volume")
LABEL_KEYS = ("label", "labels", "y", "target", "targets")
LABEL_IMAGE_KEYS = ("segmentation_mask",)
"""Keys of labels in elements that have none of `LABEL_KEYS`."""

Name = str | int | None
"""The name or position of an input; `None` if there is only one."""


def parts(element: Any, input_name: Name) -> tuple[Any, Any, Name]:
    """The inputs and the labels of an element, and the name to select among the inputs.

    The labels are `None` if there are none: an array alone, or a dict with no key of labels.

    Raises:
        TypeError: The element has another form.
        ValueError: A dict has several keys of inputs or labels.
    """
    if isinstance(element, Mapping):
        known = {*INPUT_KEYS, *LABEL_KEYS, *LABEL_IMAGE_KEYS}
        if len(element) == 1 or not known & {*element}:
            return element, None, input_name
        key = input_name if input_name in element else None
        chosen = _only_key(element, INPUT_KEYS, "inputs") if key is None else key
        others = {name: value for name, value in element.items() if name != chosen}
        is_class = any(name in others for name in LABEL_KEYS)
        of_labels = LABEL_KEYS if is_class else LABEL_KEYS + LABEL_IMAGE_KEYS
        label = _only_key(others, of_labels, "labels")
        return element[chosen], element[label], input_name if key is None else None
    if isinstance(element, list):  # as Keras reads what a PyDataset gives
        element = tuple(element)
    if not isinstance(element, tuple):
        return element, None, input_name
    if len(element) not in (1, 2, 3):
        raise TypeError(
            "dataset: expected elements images, (images, labels), (images, labels, weights) or "
            f"dicts of an image and a label, received a tuple of {len(element)}. If these are "
            "inputs, make them one: dataset.map(lambda *inputs: (inputs[:-1], inputs[-1]))."
        )
    inputs, *labels = element[:2]
    if isinstance(inputs, tuple) and len(inputs) == 1 and isinstance(inputs[0], Mapping):
        (inputs,) = inputs  # a dict that dataset.map(lambda *inputs: (inputs,)) has wrapped
    return inputs, labels[0] if labels else None, input_name


def _only_key(element: Mapping[Any, Any], known: tuple[str, ...], what: str) -> Any:
    """The only key of an element that is one of the known ones."""
    found = [key for key in known if key in element]
    if len(found) != 1:
        received = f"several: {_listed(found)}" if found else f"the keys {_listed(element)}"
        raise (ValueError if found else TypeError)(
            f"dataset: expected elements (images, labels), or dicts with one of the keys "
            f"{_listed(known)} for the {what}; received {received}. Choose with "
            "dataset.map(lambda element: (element['image'], element['label'])), with your keys; if "
            "all of them are inputs, with dataset.map(lambda element: (element,))."
        )
    return found[0]


def several(inputs: Any) -> dict[Any, Any] | None:
    """A model's inputs by name, or by position in a list; `None` if it is a single array."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    is_list = isinstance(inputs, list) and any(len(getattr(row, "shape", ())) for row in inputs)
    return dict(enumerate(inputs)) if is_list or isinstance(inputs, tuple) else None


def labels_by_output(labels: Any) -> dict[Any, Any] | None:
    """Labels of several outputs by name or position; `None` if they are a single array.

    Those in nested dicts have paths as names.

    Example:
        >>> labels_by_output({"head": {"class": 1, "box": 2}, "pose": 3})
        {'head/class': 1, 'head/box': 2, 'pose': 3}
    """
    named = several(labels)
    if named is None or not isinstance(labels, Mapping):
        return named
    flat: dict[Any, Any] = {}
    for key, value in named.items():
        are_arrays = isinstance(value, list | tuple) and all(hasattr(one, "shape") for one in value)
        inner = labels_by_output(value) if isinstance(value, Mapping) or are_arrays else None
        flat |= {f"{key}/{name}": each for name, each in inner.items()} if inner else {key: value}
    return flat


def check_flat(argument: str, inputs: Mapping[Any, Any]) -> None:
    """Checks that no input of a dict is a dict itself.

    Args:
        argument: Its name.
        inputs: The inputs by name.

    Raises:
        TypeError: An input is a dict. The message has the lines that flatten data and model.
    """
    nested = [key for key, value in inputs.items() if isinstance(value, Mapping)]
    if not nested:
        return
    paths = [*_paths(inputs)]
    last = [path[-1] for path in paths]
    entries = ", ".join(
        f"{path[-1] if last.count(path[-1]) == 1 else '_'.join(map(str, path))!r}: "
        f"x{''.join(f'[{key!r}]' for key in path)}"
        for path in paths
    )
    raise TypeError(
        f"{argument}: expected a dict of arrays, received a dict under {nested[0]!r}. Flatten the "
        f"data: flatten = lambda x: {{{entries}}}; "
        "probes = ks.ProbeSet.from_dataset(dataset.map(lambda x, y: (flatten(x), y))), or "
        "probes = ks.ProbeSet(flatten(inputs), targets) for arrays; and explain a model that takes "
        "the flat dict, of a functional one: "
        "flat = keras.Model(flatten(model.input), model.output); score=ks.Score(model=flat)."
    )


def _paths(inputs: Mapping[Any, Any]) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each array of nested dicts."""
    for key, value in inputs.items():
        if isinstance(value, Mapping):
            yield from ((key, *path) for path in _paths(value))
        else:
            yield (key,)


def kind_in(dataset: Any, input_name: Name) -> tuple[str | None, Any]:
    """The kind of the input to explain, and a data set that yields the same elements.

    Nothing is read of a pipeline, which tells shapes and dtypes; of others, the first element.

    Args:
        dataset: As in `pipelines.elements`.
        input_name: As in `parts`.

    Returns:
        The kind is `None` if there are several inputs, and none of them is named.

    Raises:
        TypeError: As in `parts`.
        ValueError: As in `parts`.
    """
    if pipelines.is_pipeline(dataset):
        element = dataset.element_spec
    else:
        element, dataset = pipelines.first_element(dataset)
    inputs, _, name = parts(element, input_name)
    named = several(inputs)
    if named is not None:
        check_flat("dataset", named)
        if name is None and len(named) == 1:
            name = next(iter(named))
        if name not in named:
            return None, dataset
        inputs = named[name]
    if not pipelines.is_pipeline(dataset):
        return default_kind(inputs), dataset
    shape: Any = getattr(inputs, "shape", None)
    if getattr(shape, "rank", None) is None:
        return "image", dataset
    rank = len(shape) + (not is_batched(dataset, input_name))
    return kind_by_rank(rank, inputs.dtype.name, bool(rank > 1 and shape[-1] == 1)), dataset


def is_batched(dataset: Any, input_name: Name) -> bool:
    """Whether the elements of a pipeline are batches, as far as its steps and shapes tell."""
    inputs, labels, _ = parts(dataset.element_spec, input_name)
    of_outputs = labels_by_output(labels)
    if of_outputs:
        labels = next(iter(of_outputs.values()))  # all are batched, or none
    if not isinstance(labels, tuple | list | Mapping) and hasattr(labels, "shape"):
        if labels.shape.rank == 0:
            return False
        if labels.shape.rank and labels.shape[0] is None:
            return True
    named = several(inputs)
    shape = getattr(next(iter(named.values())) if named else inputs, "shape", None)
    is_open = labels is None and shape is not None and shape.rank and shape[0] is None
    return bool(is_open) or pipelines.ends_in_batches(dataset)


def _listed(keys: Any) -> str:
    return ", ".join(map(repr, keys))
