"""Chooses the score that is explained by default: what the outputs of a model stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_saliency.attributions.scores import AUTO, Score
from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.forward import ForwardPass
from keras_saliency.engine.models import loss_of_numbers
from keras_saliency.engine.state_guard import own_seed_generator


def chosen_score(model: Any, probes: ProbeSet, score: Score, text_layer: str = "") -> Score:
    """The score with its function chosen, if it is `"auto"`.

    It is the output for a model of one unit that is compiled with a loss of numbers, if the probes
    have no targets; the segmentation for a model that labels all places of images, if the probes
    have masks; and otherwise the logit.

    Args:
        model: The model.
        probes: The probes, as the model sees them.
        score: What is differentiated.
        text_layer: As in `ForwardPass`.
    """
    if score.score != AUTO:
        return score
    are_numbers = probes.targets is None and bool(loss_of_numbers(model, score.output))
    may_be_places = probes.masks is not None and probes.kind == "image" and score.position is None
    chosen = "logit"
    if are_numbers or may_be_places:
        shape = _output_shape(ForwardPass(model, probes, score, text_layer=text_layer), probes)
        if are_numbers and shape is not None and shape[1:] in ((), (1,)):
            chosen = "output"
        elif may_be_places and shape is not None and shape[1:3] == probes.images.shape[1:3]:
            chosen = "segmentation"
    return replace(score, score=chosen)


def _output_shape(forward: ForwardPass, probes: ProbeSet) -> tuple[Any, ...] | None:
    """The shape of the explained output; `None` if there are several."""
    shapes: list[Any] = []

    def traced(chunk: dict[str, Any]) -> Any:
        outputs = tf.nest.flatten(forward.outputs(chunk["images"], chunk["held"]))
        shapes.extend(output.shape for output in outputs)
        return outputs

    with own_seed_generator():
        specs = DeviceProbes(probes).specs(2)
        tf.function(traced, autograph=False).get_concrete_function(specs)
    return tuple(shapes[0]) if len(shapes) == 1 else None
