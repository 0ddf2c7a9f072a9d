"""What is explained: a model, the probes as it sees them, and a score, checked and completed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from keras_saliency.attributions.scores import AUTO, Score
from keras_saliency.data.inputs import is_text
from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.choosing import chosen_score
from keras_saliency.engine.columns import with_gradients
from keras_saliency.engine.forward import as_floats
from keras_saliency.engine.kinds import with_kinds_told
from keras_saliency.engine.models import (
    as_seen,
    check_built,
    check_fit,
    check_keras,
    check_strategy,
    explained_part,
    may_differ,
)
from keras_saliency.engine.texts import as_tokens
from keras_saliency.engine.unused import without_unused


class Subject(NamedTuple):
    """What is explained.

    Attributes:
        model: The model, or a part of it.
        probes: As the model sees them: with kinds told, as floats, texts as tokens.
        score: With its function, output and part chosen.
        is_default: Whether the function of the score was chosen.
        held: The names of inputs that were to be explained but have no gradient, and of strings.
        notes: What was chosen where there was a choice, and how to choose otherwise; a sentence
            each.
        text_layer: As in `ForwardPass`.
    """

    model: Any
    probes: ProbeSet
    score: Score
    is_default: bool
    held: list[Any]
    notes: list[str]
    text_layer: str


def subject_of(model: Any, probes: ProbeSet, score: Score, batch_size: int) -> Subject:
    """What is explained of a model that is trained.

    Args:
        model: The model.
        probes: The probes, as they were given.
        score: What is differentiated, as it was given.
        batch_size: As in `dry_run`.

    Raises:
        TypeError: The model is not a Keras model, or takes no such inputs.
        ValueError: The model is not built, or cannot be explained for these probes.
        RuntimeError: Keras runs on another backend than TensorFlow.
    """
    check_keras(model)
    part, notes = explained_part(model, score.model, probes), []
    if part is not (score.model or model):
        has_labels = may_differ(probes)
        notes.append(_about_part(model, part, has_labels=has_labels))
        if has_labels:
            probes = replace(probes, targets=None)
        score = replace(score, model=part)
    check_built(part)
    check_strategy(part.distribute_strategy)
    probes, unused = without_unused(part, probes)
    if unused:
        left_out = ", ".join(map(repr, unused))
        notes.append(f"inputs that the model does not take are left out, as in fit: {left_out}")
    probes = with_kinds_told(part, probes, batch_size)
    probes = as_seen(part, as_floats(part, probes))
    check_fit(part, probes)
    probes, text_layer = as_tokens(part, probes)
    is_default = score.score == AUTO
    score, probes, more = chosen_score(part, probes, score, batch_size, text_layer)
    strings = [name for name, values in probes.held.items() if is_text(values)]
    probes, held = with_gradients(part, probes, score, batch_size)
    held = [*strings, *held]
    return Subject(part, probes, score, is_default, held, [*notes, *more], text_layer)


def _about_part(model: Any, part: Any, *, has_labels: bool) -> str:
    """That a part of a model is explained, and without the labels if there are some."""
    name = next(name for name, one in vars(model).items() if one is part)
    why = f"{type(model).__name__} has no call method, so its part {name!r} is explained"
    if has_labels:
        return (
            f"{why}, without the labels, since they may not be its classes; with them: "
            f"score=ks.Score(model=model.{name})"
        )
    return f"{why}; for another one: score=ks.Score(model=...)"
