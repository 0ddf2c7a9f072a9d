"""Chooses the score that is explained by default: what the outputs of a model stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_saliency.attributions.heads import LINEAR, find_head
from keras_saliency.attributions.scores import AUTO, Score
from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.dry_run import dry_run
from keras_saliency.engine.forward import ForwardPass
from keras_saliency.engine.models import declared_outputs, loss_of_numbers


def chosen_score(
    model: Any, probes: ProbeSet, score: Score, batch_size: int, text_layer: str = ""
) -> tuple[Score, ProbeSet]:
    """The score with its function chosen, if it is `"auto"`, and the probes that it explains.

    It is the output for a model of one unit that is compiled with a loss of numbers, if the probes
    have no targets, or some above 1, such as ratings, which are left out then; and also if they
    have none, the model ends in no sigmoid, and its loss says nothing. It is the segmentation for a
    model that labels all places of images, if the probes have masks; and otherwise the logit.

    Args:
        model: The model.
        probes: The probes, as the model sees them.
        score: What is differentiated.
        batch_size: As in `dry_run`.
        text_layer: As in `ForwardPass`.
    """
    if score.score != AUTO:
        return score, probes
    is_declared = bool(declared_outputs(model, score.output))
    has_numbers = bool(loss_of_numbers(model, score.output))
    is_class = probes.targets is not None and (probes.targets.max() <= 1 or not has_numbers)
    may_be_number = not is_class and not is_declared
    may_be_places = probes.masks is not None and probes.kind == "image" and score.position is None
    chosen = "logit"
    if may_be_number or may_be_places:
        forward = ForwardPass(model, probes, score, text_layer=text_layer)
        shape, is_linear = _end(forward, probes, batch_size)
        is_number = is_linear or has_numbers
        if may_be_number and is_number and shape is not None and shape[1:] in ((), (1,)):
            chosen, probes = "output", replace(probes, targets=None)
        elif may_be_places and shape is not None and shape[1:3] == probes.images.shape[1:3]:
            chosen = "segmentation"
    return replace(score, score=chosen), probes


def _end(
    forward: ForwardPass, probes: ProbeSet, batch_size: int
) -> tuple[tuple[Any, ...] | None, bool]:
    """The shape of the explained output, and whether no activation is known to be behind it.

    The shape is `None` if there are several outputs, or if the model cannot be traced.
    """
    found: list[tuple[Any, bool]] = []

    def look(chunk: dict[str, Any]) -> None:
        found.clear()
        for output in tf.nest.flatten(forward.outputs(chunk["images"], chunk["held"])):
            head = find_head(output) if output.shape.rank else None
            found.append((output.shape, head is None or head.activation == LINEAR))

    if not dry_run(forward, DeviceProbes(probes), batch_size, look) or len(found) != 1:
        return None, False
    ((shape, is_linear),) = found
    return tuple(shape), is_linear
