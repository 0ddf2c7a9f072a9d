"""Chooses the score that is explained by default: what the outputs of a model stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import keras

from keras_saliency.attributions.heads import (
    LINEAR,
    LOG_SOFTMAX,
    SIGMOID,
    SOFTMAX,
    Tensor,
    find_head,
)
from keras_saliency.attributions.scores import AUTO, Score, is_detection, known_name
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.advice import position_line, unit_line
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.dry_run import dry_run
from keras_saliency.engine.forward import ForwardPass
from keras_saliency.engine.keras_internals import all_layers, mask_of
from keras_saliency.engine.models import (
    declared_outputs,
    has_loss,
    loss_of_classes,
    loss_of_numbers,
)
from keras_saliency.engine.outputs import named_outputs

NUMBERS = (
    "the targets are numbers to predict, not classes, so they are left out, and nothing is tested; "
    "for tests, pass bins as targets and a function as score="
)

NO_UNIT = (
    "no unit of the model stands for some of the targets, so they are not its classes and are left "
    "out, and nothing is tested; for tests, pass bins as targets and a function as score="
)

LOGARITHMS = (
    "the outputs are probabilities without logits, so the score is their logarithm; for another "
    "one: score='probability'"
)
CLASSES = (
    "nothing tells whether the outputs are classes, so they are taken for logits; for numbers: "
    "score='mean'"
)
"""What is said if the values of the outputs show it, after this module has chosen."""


class Choice(NamedTuple):
    """What is explained.

    Attributes:
        score: With its function and its output chosen.
        probes: Those that it explains: without targets, if these are numbers instead of classes.
        notes: What was chosen where there was a choice, and how to choose otherwise; a sentence
            each.
    """

    score: Score
    probes: ProbeSet
    notes: tuple[str, ...] = ()


class _End(NamedTuple):
    """An output of a model.

    Attributes:
        name: Its name or position.
        shape: With the batch.
        sizes: Of the axes of its positions, without axes of length 1; empty without positions.
        units: The length of the axis of classes.
        activation: As in `Head`.
        is_masked: Whether padded positions do not count.
    """

    name: Any
    shape: tuple[int | None, ...]
    sizes: tuple[int | None, ...]
    units: int | None
    activation: str
    is_masked: bool


def chosen_score(
    model: Any, probes: ProbeSet, score: Score, batch_size: int, text_layer: str = ""
) -> Choice:
    """Chooses the function of a score `"auto"`, and the output of a model with several.

    The output is the one that the targets belong to, if the probes say so. Targets of another
    output, or of several where the model has one, are left out.

    Probes with targets are explained by the `"logit"` of one output; except that targets above 1
    for which a model has no unit, such as ratings, are left out, unless its loss is one of classes,
    and that masks of images are explained by the `"segmentation"` of a model that labels all
    pixels. Probes with boxes are explained by the `"detection"` of a model with outputs `"boxes"`
    and `"classes"`.

    Without targets, the first of several outputs is explained, and

    - outputs with one unit for each probe by the `"output"`, unless they end in a sigmoid or their
      loss is a cross-entropy;
    - outputs with several units by their `"mean"`, if their loss is one for numbers, or the labels
      were numbers and their loss is not a cross-entropy;
    - outputs with a class at each of several positions by the `"max_logit"`, as their softmax,
      their loss, or an embedding of as many words tells;
    - other outputs with several positions by their `"mean"`, if there is one unit at each, their
      loss is one for numbers (or their labels), or they end in a sigmoid;
    - all others by the `"logit"` of the predicted class, which is refused if there is none.

    Args:
        model: The model.
        probes: The probes, as the model sees them.
        score: What is differentiated.
        batch_size: As in `dry_run`.
        text_layer: As in `ForwardPass`.

    Raises:
        ValueError: The targets belong to an output that the model does not have.
    """
    is_auto, is_whole = score.score == AUTO, score.position is None

    @cache
    def ends() -> list[_End]:
        return _ends(model, probes, replace(score, output=None), batch_size, text_layer)

    notes: tuple[str, ...] = ()
    may_detect = is_auto and is_whole and score.output is None and probes.boxes is not None
    if may_detect and {"boxes", "classes"} <= {end.name for end in ends()}:
        return Choice(replace(score, score="detection"), probes)
    if probes.output is not None and _is_of_one_output(score):
        names = [end.name for end in ends()]
        score, probes, notes = _of_their_output(score, probes, names)
    if not is_auto:
        return Choice(score, probes, notes)
    logit = Choice(replace(score, score="logit"), probes, notes)
    targets = probes.targets
    are_numbers = targets is not None and _are_numbers(model, score.output, targets, ends)
    are_classes = targets is not None and not are_numbers
    has_masks = are_classes and is_whole and probes.masks is not None and probes.kind == "image"
    if are_classes and not has_masks:
        return logit
    end = _of_name(ends(), score.output)
    is_open = score.output is None and len(ends()) > 1
    if end is None or (is_open and targets is not None):
        return logit
    if has_masks and end.shape[1:3] == probes.images.shape[1:3]:
        return Choice(replace(score, score="segmentation"), probes, notes)
    if targets is not None and (are_classes or end.sizes or not _are_beyond(targets, end.shape)):
        return logit
    if is_open:
        score, notes = replace(score, output=end.name), (*notes, _several(ends()))
    probes = replace(probes, predicts_numbers=probes.predicts_numbers or are_numbers)
    name = _function_for(model, end, score.output, probes)
    if name in ("mean", "max_logit"):
        notes = (*notes, _about_positions(end, score, name))
    if are_numbers:
        why = NUMBERS if loss_of_numbers(model, score.output) else NO_UNIT
        notes, probes = (*notes, why), replace(probes, targets=None)
    return Choice(replace(score, score=name), probes, notes)


def _are_numbers(
    model: Any, output: Any, targets: Array, ends: Callable[[], Sequence[_End]]
) -> bool:
    """Whether targets above 1 are numbers: the loss compares them, or no unit is for one of them.

    A model of several units without a loss tells nothing: its targets may be a mistake.
    """
    if targets.max() <= 1 or declared_outputs(model, output):
        return False
    if loss_of_numbers(model, output):
        return True
    shapes = [tuple(one.shape) for one in getattr(model, "outputs", None) or []]  # without a trace
    may_be = shapes in ([(None,)], [(None, 1)]) or has_loss(model, output)
    is_beyond = len(shapes) == 1 and _are_beyond(targets, shapes[0])
    return may_be and is_beyond and all(end.activation == LINEAR for end in ends())


def _are_beyond(targets: Array, shape: tuple[int | None, ...]) -> bool:
    """Whether outputs of a shape, with the batch, have no unit for one of the targets above 1."""
    *positions, units = shape[1:] or (1,)
    return {*positions} <= {1} and units is not None and int(targets.max()) >= units


def _of_name(ends: Sequence[_End], output: Any) -> _End | None:
    """The output of a name or position; the first one if none is named."""
    names = [end.name for end in ends]
    place = names.index(output) if output in names else output or 0
    return ends[place] if isinstance(place, int) and 0 <= place < len(ends) else None


def _is_of_one_output(score: Score) -> bool:
    """Whether a score is about one output; a function may be about all, and so is a detection."""
    is_known = score.score == AUTO or known_name(score.score) is not None
    return not is_detection(score.score) and (is_known or score.output is not None)


def _of_their_output(score: Score, probes: ProbeSet, names: Sequence[Any]) -> Choice:
    """The score of the output that targets belong to; or the probes without their targets.

    Args:
        score: What is differentiated.
        probes: With an `output`.
        names: Of all outputs of the model; empty if it cannot be traced.

    Raises:
        ValueError: The model has several outputs, but not this one.
    """
    output, wanted = probes.output, score.output
    places = {i: i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    if len(names) == 1 and (output != names[0] or isinstance(output, int)):
        why = (
            f"the targets belong to output {output!r} of several, but the model has one output, so "
            "they are left out, and nothing is tested; if they are its classes: "
            "dataclasses.replace(probes, output=None)"
        )
    elif wanted is None:
        if names and output not in places:
            raise ValueError(
                f"output: expected one of {', '.join(map(repr, names))}, the outputs of the model, "
                f"received {output!r}, which the targets of the probes belong to. Choose one of "
                f"the model: dataclasses.replace(probes, output={names[0]!r})."
            )
        return Choice(replace(score, output=output), probes)
    elif not names or places.get(wanted) == places.get(output):
        return Choice(score, probes)
    else:
        why = (
            f"the targets belong to output {output!r}, so {wanted!r} is explained without them, "
            "and nothing is tested; for its own: "
            f"ProbeSet.from_dataset(dataset, output={wanted!r})"
        )
    has_targets = probes.targets is not None
    masks = None if has_targets else probes.masks  # they may be those of the targets
    rest = replace(probes, targets=None, masks=masks, output=None, predicts_numbers=False)
    return Choice(score, rest, (why,) if has_targets else ())


def _function_for(model: Any, end: _End, output: Any, probes: ProbeSet) -> str:
    """The score that explains an output without targets."""
    are_numbers = probes.predicts_numbers and not (
        declared_outputs(model, output) or loss_of_classes(model, output)
    )
    has_numbers = are_numbers or bool(loss_of_numbers(model, output))
    is_softmax = end.activation in (SOFTMAX, LOG_SOFTMAX)
    if not end.sizes and end.units == 1:
        is_class = declared_outputs(model, output) or end.activation != LINEAR
        return "output" if has_numbers or not is_class else "logit"
    if not end.sizes:
        return "mean" if has_numbers and not is_softmax else "logit"
    are_classes = loss_of_classes(model, output) or _are_words(model, end.units)
    if is_softmax or (are_classes and end.units != 1):
        return "max_logit"
    return "mean" if has_numbers or end.units == 1 or end.activation == SIGMOID else "logit"


def _are_words(model: Any, units: int | None) -> bool:
    """Whether a model has an embedding of as many words as there are units, as decoders have."""
    embeddings = (one for one in all_layers(model) if isinstance(one, keras.layers.Embedding))
    return any(one.input_dim == units for one in embeddings)


def _several(ends: Sequence[_End]) -> str:
    """That the first of several outputs is explained."""
    listed = ", ".join(repr(end.name) for end in ends)
    line = f"score=ks.Score(output={ends[1].name!r})"
    return f"of the outputs {listed}, the first is explained; for another one: {line}"


def _about_positions(end: _End, score: Score, name: str) -> str:
    """That one number is explained of many."""
    but = " that are not padding" if end.is_masked else ""
    if name == "mean":
        line = unit_line(end.shape, output=score.output)
        count = _count((*end.sizes, end.units))
        return f"the score is the mean of {count} outputs{but}; for one of them: {line}"
    line = position_line(end.shape, output=score.output)
    of = f"the largest logits at {_count(end.sizes)} positions{but}"
    return f"the score is the mean of {of}; for one: {line}"


def _count(sizes: Sequence[int | None]) -> str:
    """How many there are, in words."""
    known = [size for size in sizes if size is not None]
    return f"all {math.prod(known):,}" if len(known) == len(sizes) else "all"


def _ends(
    model: Any, probes: ProbeSet, score: Score, batch_size: int, text_layer: str
) -> list[_End]:
    """The outputs that a score may be about; empty if the model cannot be traced."""
    forward = ForwardPass(model, probes, score, text_layer=text_layer)
    found: list[_End] = []

    def look(chunk: dict[str, Any]) -> None:
        outputs = forward.outputs(chunk["images"], chunk["held"])
        named = named_outputs(model, outputs)
        found[:] = [_end(name, output, probes, score) for name, output in named.items()]

    return found if dry_run(forward, DeviceProbes(probes), batch_size, look) else []


def _end(name: Any, output: Tensor, probes: ProbeSet, score: Score) -> _End:
    """What is known of an output without its values."""
    shape = tuple(output.shape)
    sizes = shape[1:] or (1,)
    is_channels_first = probes.data_format == "channels_first" and len(sizes) == 3
    if is_channels_first and sizes[1:] == (1, 1):
        sizes = sizes[::-1]
    positions = () if score.position is not None or {*sizes[:-1]} <= {1} else sizes[:-1]
    activation = find_head(output).activation if shape[1:] else LINEAR
    return _End(name, shape, positions, sizes[-1], activation, mask_of(output) is not None)
