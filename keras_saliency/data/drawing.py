"""Draws probes from a data set: reads it once, and returns the arguments of a `ProbeSet`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_saliency.data import pipelines
from keras_saliency.data.annotations import checked_class_names, checked_vocabulary
from keras_saliency.data.checks import (
    check_choice,
    check_positive_int,
    check_seed,
    checked_output,
    plain_int,
)
from keras_saliency.data.companions import Companions
from keras_saliency.data.datasets import Reader
from keras_saliency.data.elements import Name, kind_in
from keras_saliency.data.inputs import DATA_FORMATS, KINDS, default_kind, padded, two_shapes
from keras_saliency.data.reports import Array
from keras_saliency.data.sampling import NO_CLASS, Drawn, Progress, draw, remarks
from keras_saliency.data.several import channels_last
from keras_saliency.data.vectorizers import Words, words_of_inputs


class Wishes(NamedTuple):
    """How many probes to draw, and by which seed, as in `ProbeSet.from_dataset`."""

    per_class: int | None
    max_probes: int
    seed: int

    def checked(self) -> Wishes:
        """The same, checked."""
        per_class = self.per_class
        if per_class is not None:
            per_class = check_positive_int(
                "per_class", per_class, hint="Pass the number of probes per class."
            )
        max_probes = check_positive_int(
            "max_probes", self.max_probes, hint="Pass the largest number of probes in total."
        )
        return Wishes(per_class, max_probes, check_seed("seed", self.seed))


def drawn_fields(
    dataset: Any,
    wishes: Wishes,
    *,
    companions: Mapping[str, Any],
    regions: Any,
    class_names: Sequence[str] | None,
    kind: Any,
    data_format: str | None,
    input_name: Any,
    output: Any,
    vocabulary: Any,
    feature_names: Sequence[str] | None,
) -> dict[str, Any]:
    """Draws the same number of probes of every class. All arguments are those of `from_dataset`.

    Args:
        dataset: The data set.
        wishes: How many to draw.
        companions: Masks, boxes, groups and names.
        regions: By name.
        class_names: Of the classes.
        kind: Of the input, or by the names of several.
        data_format: Of the images.
        input_name: The input to explain.
        output: The output whose labels count. Default: the first.
        vocabulary: Of tokens, or by the names of several inputs.
        feature_names: Of columns.

    Returns:
        The arguments of `ProbeSet`.

    Raises:
        TypeError: As in `from_dataset`.
        ValueError: As in `from_dataset`.
    """
    wishes, input_name = wishes.checked(), plain_int(input_name)
    named = checked_class_names(class_names)
    if data_format is not None:
        check_choice("data_format", data_format, DATA_FORMATS)
    words, kind_of_first = words_of_inputs(dataset, input_name), kind
    if not isinstance(kind, str):
        kind_of_first, dataset = kind_in(dataset, input_name)
        if kind is None and kind_of_first == "tokens" and None in words and words[None].are_columns:
            kind_of_first = "features"
        kind = kind_of_first if kind is None else kind
    first_kind: str = check_choice("kind", kind_of_first or "image", KINDS)
    if kind_of_first is not None:
        checked_vocabulary(vocabulary, first_kind)
    beside = Companions(first_kind, companions, regions)
    beside.check_order(dataset)
    may_be_endless = not pipelines.has_known_end(dataset)
    output = checked_output(output)
    reader = Reader(first_kind, data_format, input_name, beside.keys, output)
    drawn = draw(
        reader.batches(dataset),
        **wishes._asdict(),
        kind=first_kind,
        progress=Progress(" (of unknown length)" if may_be_endless else ""),
        may_be_endless=may_be_endless,
        num_classes=None if named is None else len(named),
    )
    if not drawn.examples:
        raise ValueError("dataset: expected at least one batch, received an empty data set.")
    noun = "images" if first_kind == "image" and not drawn.explains_all else "inputs"
    for remark in remarks(drawn, *wishes, has_names=class_names is not None, noun=noun):
        warnings.warn(remark, stacklevel=3)  # the line that calls from_dataset
    targets, class_names = _classes(drawn, dataset, class_names)
    examples = [example for chosen in drawn.examples.values() for example in chosen]
    inputs, held, name = _inputs(drawn)
    if vocabulary is None and drawn.explains_all:
        vocabulary = _vocabularies(words, inputs, kind) or None
    elif vocabulary is None:
        vocabulary = _vocabularies(words, {None: inputs}, first_kind).get(None)
    if feature_names is None and None in words and first_kind == "features":
        feature_names = _column_names(words[None], inputs)
    if drawn.explains_all and data_format == "channels_first":
        inputs = channels_last(inputs, kind)
    return {
        "images": inputs,
        "targets": None if NO_CLASS in drawn.classes else targets,
        "class_names": class_names,
        "kind": kind,
        "data_format": data_format,
        "held": held,
        "input_name": name,
        "output": drawn.outputs[0] if drawn.outputs else output,
        "predicts_numbers": drawn.has_numbers,
        "vocabulary": vocabulary,
        "feature_names": feature_names,
        "indices": None if pipelines.shuffles(dataset) else [each.position for each in examples],
        **beside.drawn(examples, targets, drawn.num_read),
    }


def _inputs(drawn: Drawn) -> tuple[Any, dict[str | int, Array], Name]:
    """The explained input, or all in a dict; the held ones; and the name of the explained one."""
    examples = [example for chosen in drawn.examples.values() for example in chosen]
    images = [example.image for example in examples]
    others = {name: _stacked([one.held[name] for one in examples]) for name in examples[0].held}
    if drawn.explains_all:
        return {drawn.input_name: _stacked(images), **others}, {}, None
    is_copied_once = images[0].ndim > 1 and two_shapes(images) is None  # as a list
    return images if is_copied_once else _stacked(images), others, drawn.input_name


def _vocabularies(
    words: Mapping[Name, Words], inputs: Mapping[Name, Any], kind: Any
) -> dict[Name, tuple[str, ...]]:
    """The words of the inputs that are tokens, if each token is the position of a word."""
    given = kind if isinstance(kind, Mapping) else dict.fromkeys(inputs, kind)
    found = {}
    for name, (texts, are_columns) in words.items():
        if name in inputs and not are_columns:
            ids = np.asarray(inputs[name])
            is_tokens = (given.get(name) or default_kind(ids)) == "tokens"
            if is_tokens and ((ids >= 0) & (ids < len(texts))).all():
                found[name] = texts
    return found


def _column_names(words: Words, rows: Any) -> Sequence[str] | None:
    """The words of a table's columns, if they are names: one for each, not empty, all different."""
    names = words.words
    are_names = words.are_columns and all(names) and len({*names}) == len(names)
    return names if are_names and np.shape(rows)[1:] == (len(names),) else None


def _stacked(rows: Sequence[Array]) -> Array:
    return padded(rows) if two_shapes(rows) else np.stack(rows)


def _classes(
    drawn: Drawn, dataset: Any, class_names: Sequence[str] | None
) -> tuple[list[Any], Sequence[str] | None]:
    """The class of each example, and the names of the classes, if they are known."""
    labels = [label for label, chosen in drawn.examples.items() for _ in chosen]
    if isinstance(labels[0], str):
        names = sorted(drawn.classes) if class_names is None else [*class_names]
        return [_index_of(label, names) for label in labels], names
    if class_names is None and NO_CLASS not in drawn.classes:
        class_names = pipelines.class_names(dataset, drawn.classes)
        step = pipelines.step_that_lost_names(dataset)
        if step:
            warnings.warn(
                f"class_names: the names of the classes were lost by {step}, which may change "
                "labels. If they still hold, pass class_names=.",
                stacklevel=4,
            )
    return labels, class_names


def _index_of(label: str, class_names: Sequence[str]) -> int:
    if label not in class_names:
        raise ValueError(
            f"class_names: expected the labels of the data set among them, which has {label!r}; "
            f"received {', '.join(map(repr, class_names))}."
        )
    return class_names.index(label)
