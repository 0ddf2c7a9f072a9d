"""Runs a model: prepares its inputs, records the outputs of layers, and computes the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_saliency.attributions import heads, scores
from keras_saliency.attributions.differentiation import LayerCall
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.scores import ScoreFunction
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.models import fed_shape, input_shapes
from keras_saliency.engine.recording import recorded
from keras_saliency.engine.state_guard import same_state


class ForwardPass:
    """A model, with the probes and the score that it is explained for.

    Args:
        model: A built Keras model, channels first or last.
        probes: The probes; they define the kind and name of the input, and the held inputs.
        score: What is differentiated.
        output: For a model with several outputs: the name (a dict key, or the name of the output)
            or position of the output to explain.
        activation: As in `heads.find_head`.

    Attributes:
        states: The variables that the model changes at inference, such as the states of a stateful
            recurrent layer. Every run starts with the values that they have outside of it.
    """

    def __init__(
        self,
        model: Any,
        probes: ProbeSet,
        score: ScoreFunction,
        output: str | int | None,
        activation: str | None = None,
    ) -> None:
        self.model, self.score = model, score
        self._probes, self._output, self._activation = probes, output, activation
        self.states: Sequence[Any] = ()

    def run(
        self,
        images: Tensor,
        held: Mapping[str, Tensor],
        targets: Tensor,
        replaced: Mapping[tuple[str, int], Tensor] | None = None,
    ) -> tuple[heads.Head | None, Tensor, Sequence[LayerCall]]:
        """The head, if the model has one output of classes; the scores; the calls of all layers.

        Args:
            images: `(batch, ...)`, channels last.
            held: The held inputs, `(batch, ...)` each, by name; positions are given as text.
            targets: `(batch,)`.
            replaced: As in `recorded`.
        """
        if self._probes.data_format == "channels_first":
            last = images.shape.rank - 1
            images = tf.transpose(images, [0, last, *range(1, last)])
        inputs = _fed(self.model, self._probes.input_name, images, held)
        computed: list[Tensor] = []
        with recorded(self.model, replaced or {}) as calls, same_state(self.states, computed):
            outputs = self.model(inputs, training=False)
            computed += tf.nest.flatten(outputs)
        return *self._scored(outputs, targets), calls

    def _chosen(self, outputs: Any) -> Any:
        """The output to explain; all outputs if none is named."""
        if self._output is None:
            return outputs
        known = output_names(self.model, outputs)
        place = known.index(self._output) if self._output in known else self._output
        if isinstance(place, int) and 0 <= place < len(known):
            is_named = isinstance(outputs, Mapping)
            return outputs[known[place]] if is_named else tf.nest.flatten(outputs)[place]
        raise ValueError(
            f"output: expected one of {', '.join(map(repr, known))}, received {self._output!r}."
        )

    def _scored(self, outputs: Any, targets: Tensor) -> tuple[heads.Head | None, Tensor]:
        outputs = self._chosen(outputs)
        flat_outputs = tf.nest.flatten(outputs)
        head = None
        if len(flat_outputs) == 1 and (flat_outputs[0].shape.rank or 0) >= 2:
            head = heads.find_head(flat_outputs[0], self._activation)
        known = scores.known(self.score)
        if known is None:
            is_flat = head is not None and head.outputs.shape.rank == 2
            return head if is_flat else None, _custom_score(self.score, outputs, targets)
        is_segmentation = scores.is_segmentation(self.score)
        if is_segmentation and self._probes.data_format == "channels_first":
            raise ValueError(
                "score='segmentation': expected a model with channels-last output. End it in a "
                "keras.layers.Permute and pass a function (outputs, targets) -> (num_probes,)."
            )
        is_spatial = head is not None and head.outputs.shape.rank > 2
        if head is None or (is_spatial and not is_segmentation):
            shapes = ", ".join(str(output.shape) for output in flat_outputs)
            names = ", ".join(map(repr, output_names(self.model, outputs)))
            hint = f" Choose one with output=: {names}." if len(flat_outputs) > 1 else ""
            if is_spatial:
                hint += " If the model labels every pixel, pass score='segmentation'."
            raise ValueError(
                f"score={scores.score_name(self.score)!r}: expected a model with one output "
                f"(batch, classes), received {shapes}.{hint} Or pass a callable "
                "(outputs, targets) -> (num_probes,)."
            )
        return head, known(head, targets)


def _fed(model: Any, name: str | int | None, images: Any, held: Mapping[str, Any]) -> Any:
    """The argument of the model's call: the explained input together with the held inputs."""
    if name is None:
        return images
    if isinstance(name, int):
        others = [held[str(position)] for position in range(len(held) + 1) if position != name]
        return [*others[:name], images, *others[name:]]
    inputs, struct = {name: images, **held}, getattr(model, "_inputs_struct", None)
    if struct is None or isinstance(struct, Mapping):
        return inputs
    several = [inputs[known] for known in input_shapes(model)]
    return several if isinstance(struct, list | tuple) else several[0]


def build(model: Any, probes: ProbeSet) -> None:
    """Builds a model that has not seen any input, from the shapes of the probes."""
    specs = {str(name): _spec(values.shape, values) for name, values in probes.held.items()}
    images = _spec(fed_shape(probes), probes.images)
    model(_fed(model, probes.input_name, images, specs))


def _spec(shape: Sequence[int], values: Array) -> Any:
    dtype = "string" if values.dtype.kind in "US" else values.dtype.name
    return keras.KerasTensor((None, *shape[1:]), dtype)


def _custom_score(score: Any, outputs: Any, targets: Tensor) -> Tensor:
    values = score(outputs, targets)
    if values is None:
        raise TypeError(
            "score: expected a callable that returns one number per probe, received None. "
            "Is a return statement missing?"
        )
    values = tf.convert_to_tensor(values)
    if values.shape.rank == 1 and values.shape[0] is None:
        values = tf.ensure_shape(values, targets.shape)
    if values.shape.as_list() != targets.shape.as_list():
        raise ValueError(
            "score: expected a callable that returns one number per probe, shape "
            f"(num_probes,) = {tuple(targets.shape)}, received shape {values.shape}."
        )
    return values


def output_names(model: Any, outputs: Any) -> list[Any]:
    """The names of a model's outputs; their positions if they have no names."""
    if isinstance(outputs, Mapping):
        return list(outputs)
    count = len(tf.nest.flatten(outputs))
    names = list(getattr(model, "output_names", None) or [])
    return names if len({*names}) == count else list(range(count))
