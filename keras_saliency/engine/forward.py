"""Runs a model: prepares its inputs, records the outputs of layers, and computes the score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_saliency.attributions import heads, scores
from keras_saliency.attributions.detections import detected
from keras_saliency.attributions.differentiation import LayerCall
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.scores import Score
from keras_saliency.data.graphs import as_one_input
from keras_saliency.data.inputs import SCALARS
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.data.several import pieces
from keras_saliency.engine.advice import position_line, score_line
from keras_saliency.engine.keras_internals import inputs_struct, mask_of
from keras_saliency.engine.models import (
    about_labels,
    fed_shape,
    input_shapes,
    loss_of_labels,
    loss_of_numbers,
    optional_inputs,
    part_lines,
)
from keras_saliency.engine.outputs import named_outputs
from keras_saliency.engine.recording import plain, recorded
from keras_saliency.engine.state_guard import own_seed_generator, same_state

OWN_SCORE = "your_score"
"""The name scope of the operations of a score that is a function."""


class ForwardPass:
    """A model, with the probes and the score that it is explained for.

    Args:
        model: A built Keras model, channels first or last.
        probes: The probes; they define the kind and name of the input, and the held inputs.
        score: What is differentiated.
        activation: As in `heads.find_head`.
        float8: As in `recorded`.
        text_layer: The path of the layer whose output the probes are; the model itself takes texts.
            Empty if it takes the probes.

    Attributes:
        states: The variables that the model changes at inference, such as the states of a stateful
            recurrent layer. Every run starts with the values that they have outside of it.
    """

    def __init__(
        self,
        model: Any,
        probes: ProbeSet,
        score: Score,
        activation: str | None = None,
        *,
        float8: bool = True,
        text_layer: str = "",
    ) -> None:
        self.model, self.score, self.float8 = model, score, float8
        self._text_layer = text_layer
        self._probes, self._activation = probes, activation
        self.states: Sequence[Any] = ()

    def run(
        self,
        images: Tensor | Mapping[str, Tensor],
        held: Mapping[str, Any],
        targets: Tensor,
        places: Mapping[str, Tensor],
        replaced: Mapping[tuple[str, int], Tensor] | None = None,
    ) -> tuple[heads.Head | heads.Named | None, Tensor, Sequence[LayerCall]]:
        """The end of the model; the scores; the calls of all layers.

        The end is a head if the model has one output of classes, and the named classes of a
        detector.

        Args:
            images: `(batch, ...)`, channels last. A table of several inputs may be a dict of these.
            held: The other inputs, held or explained, `(batch, ...)` each, by name; positions are
                given as text. They are as `images`.
            targets: `(batch,)`.
            places: What `places_of` finds: `"masks"`, bool `(batch, ...)`, for a segmentation;
                `"boxes"`, `(batch, 4)`, for a detector.
            replaced: As in `recorded`.
        """
        inputs, outputs, calls = self._called(images, held, replaced or {})
        return *self._scored(self._chosen(outputs), targets, places, inputs), calls

    def outputs(self, images: Tensor, held: Mapping[str, Tensor]) -> Any:
        """The output to explain; all outputs if there are several and none is named."""
        return self._chosen(self._called(images, held, {})[1])

    def watched(
        self,
        images: Tensor | Mapping[str, Tensor],
        held: Mapping[str, Any],
        watch: Callable[[Any, Any], None],
    ) -> None:
        """Runs the model; each layer is shown before it computes, as in `recorded`."""
        self._called(images, held, {}, watch)

    def _called(
        self,
        images: Any,
        held: Mapping[str, Any],
        replaced: Mapping[tuple[str, int], Tensor],
        watch: Callable[[Any, Any], None] | None = None,
    ) -> tuple[Any, Any, Sequence[LayerCall]]:
        """The model's inputs and outputs, and the calls of its layers."""
        replaced = dict(replaced)
        if self._text_layer:
            replaced[self._text_layer, 0] = images
            images = tf.fill([tf.shape(images)[0], 1], "")
        inputs = _fed(self.model, self._probes, *_all_arranged(self._probes, images, held))
        computed: list[Tensor] = []
        with (
            recorded(self.model, replaced, float8=self.float8, watch=watch) as calls,
            same_state(self.states, computed),
            _noted(self._probes, None if self.score.model else self.model),
        ):
            outputs = self.model(inputs, training=False)
            computed += tf.nest.flatten(outputs)
        return inputs, outputs, calls

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """While traced runs are executed: says if it was the score's function that failed."""
        try:
            yield
        except tf.errors.OpError as error:
            if f"{OWN_SCORE}/" not in error.message:
                raise
            raise RuntimeError(
                f"score={scores.score_name(self.score.score)!r}: expected a function that works "
                f"at every step, whatever the outputs are; it failed with {error.message}"
            ) from error

    def _chosen(self, outputs: Any) -> Any:
        """The output to explain; all outputs if none is named."""
        name = self.score.output
        if name is None:
            return outputs
        known = named_outputs(self.model, outputs)
        if name in known:
            return known[name]
        if isinstance(name, int) and 0 <= name < len(known):
            return [*known.values()][name]
        raise ValueError(
            f"output: expected one of {', '.join(map(repr, known))}, received {name!r}."
        )

    def _scored(
        self, outputs: Any, targets: Tensor, places: Mapping[str, Tensor], inputs: Any
    ) -> tuple[heads.Head | heads.Named | None, Tensor]:
        score = self.score.score
        if scores.is_detection(score):
            values, named = detected(
                outputs, targets, **{**places, **getattr(score, "keywords", {})}
            )
            return named, tf.ensure_shape(values, targets.shape)
        head = self._head(outputs)
        known, name = scores.known(score), scores.known_name(score)
        if known is None:
            is_flat = head is not None and head.outputs.shape.rank == 2
            if self.score.position is not None and head is not None:
                outputs = head.outputs
            extra = (inputs,) if callable(score) and scores.takes_inputs(score) else ()
            return head if is_flat else None, _custom_score(score, outputs, targets, *extra)
        is_channels_first = self._probes.data_format == "channels_first"
        if is_channels_first and _is_of_classes(head, name):
            raise ValueError(
                f"score={name!r}: expected a model with channels-last output. End it in a "
                "keras.layers.Permute and pass a function (outputs, targets) -> (num_probes,)."
            )
        if head is None or (head.outputs.shape.rank > 2 and name not in scores.OF_POSITIONS):
            each = named_outputs(self.model, outputs).values()
            shapes = ", ".join(str(output.shape) for output in each)
            raise ValueError(
                f"score={scores.score_name(score)!r}: expected a model with one output "
                f"(batch, classes), received {shapes}. {self._hint(outputs, head)}"
            )
        return head, known(head, targets, **places)

    def _head(self, outputs: Any) -> heads.Head | None:
        """The end of a model with one output; at the position to explain, if there is one.

        Outputs `(batch,)` get one unit; from `(batch, 1, 1, classes)`, axes of 1 are dropped.
        """
        flat = tf.nest.flatten(outputs)
        if len(flat) != 1 or not flat[0].shape.rank:
            return None
        values, position = flat[0], self.score.position
        if isinstance(position, tuple):
            return _at_position(self._found(values), position)
        _, *sizes = values.shape
        is_channels_first = self._probes.data_format == "channels_first" and len(sizes) == 3
        if not sizes:
            values = tf.expand_dims(values, -1)
        elif len(sizes) > 1 and all(size == 1 for size in sizes[:-1]):
            values = tf.reshape(values, [-1, sizes[-1]])
        elif is_channels_first and all(size == 1 for size in sizes[1:]):
            values = tf.reshape(values, [-1, sizes[0]])
        mask = mask_of(flat[0]) if values.shape.rank > 2 else None
        return replace(self._found(values), mask=mask)

    def _found(self, values: Tensor) -> heads.Head:
        """The head of an output."""
        has_labels = loss_of_labels(self.model, self.score.output)
        return replace(heads.find_head(values, self._activation), has_labels=has_labels)

    def _hint(self, outputs: Any, head: heads.Head | None) -> str:
        """What to do about outputs that are not `(batch, classes)`."""
        if head is None:
            known = named_outputs(self.model, outputs)
            listed, (first, output) = ", ".join(map(repr, known)), next(iter(known.items()))
            numbers = bool(loss_of_numbers(self.model, first))
            line = score_line(output.shape, output=first, numbers=numbers)
            hint = f"Choose one of {listed}: {line}."
            if self._probes.boxes is not None:
                hint = f"To explain the box of each probe, pass score='detection'. {hint}"
            return hint
        shape = head.outputs.shape
        custom = "Or pass a callable (outputs, targets) -> (num_probes,)."
        if shape[-1] == 1 or loss_of_numbers(self.model, self.score.output):
            return f"For the mean of all outputs, pass score='mean'. {custom}"
        sizes, whole = shape[1:-1], self._probes.images.shape[1:-1]
        hint = (
            f"For classes at each of the positions {sizes}, pass score='max_logit', or for one "
            f"position {position_line(shape)}; for numbers, score='mean', their mean."
        )
        is_place = self._probes.kind not in ("tokens", "features") and len(sizes) == len(whole)
        ratios = {want / have for want, have in zip(whole, sizes, strict=False) if have}
        if is_place and len(ratios) == 1:
            hint += " If the model labels every position of the input, pass score='segmentation'."
        return f"{hint} {custom}"


def places_of(chunk: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a score gets of a chunk of probes beside their targets: masks, or boxes."""
    return {name: chunk[name] for name in ("masks", "boxes") if name in chunk}


def _is_of_classes(head: heads.Head | None, name: str | None) -> bool:
    """Whether a score is about the last axis of an output with positions, as classes."""
    has_positions = head is not None and head.outputs.shape.rank > 2
    return name == "segmentation" or (name == "max_logit" and has_positions)


def _at_position(head: heads.Head, position: tuple[int, ...]) -> heads.Head:
    """A head `(batch, classes)`, of outputs `(batch, ..., classes)` at one position."""
    sizes = tuple(head.outputs.shape[1:-1])
    if not sizes:
        raise ValueError(
            f"position: expected outputs (batch, ..., classes) with positions, received a model "
            f"with outputs {head.outputs.shape}. Leave position out."
        )
    is_inside = len(position) == len(sizes) and all(
        size is None or -size <= at < size for at, size in zip(position, sizes, strict=True)
    )
    if not is_inside:
        raise ValueError(
            f"position: expected an index for each axis of {sizes}, the axes between the batch and "
            f"the classes, received {position}."
        )
    place = (slice(None), *position)
    return replace(head, outputs=head.outputs[place], logits=head.logits[place])


def _fed(model: Any, probes: ProbeSet, images: Any, others: Mapping[str, Any]) -> Any:
    """The argument of the model's call: the explained inputs together with the held ones.

    Args:
        model: The model.
        probes: Whose inputs these are.
        images: The first explained input, in the model's data format.
        others: All other inputs by name, in the model's data format.
    """
    if probes.input_name is None:
        return images
    given = {name: others[str(name)] for name in probes.held} | by_input(probes, images)
    for name, one in probes.other_inputs.items():
        given |= by_input(one, others[str(name)])
    if all(isinstance(name, int) for name in given):
        return [given[place] for place in range(len(given))]
    left_out = dict.fromkeys(optional_inputs(model) - {*given})
    inputs, struct = {**given, **left_out}, inputs_struct(model)
    if struct is None or isinstance(struct, Mapping):
        return inputs
    several = [inputs[known] for known in input_shapes(model)]
    return several if isinstance(struct, list | tuple) else several[0]


def by_input(probes: ProbeSet, values: Any) -> dict[Any, Any]:
    """An explained input by its name; a table of several inputs by all of their names."""
    if isinstance(values, Mapping):
        return dict(values)
    if not isinstance(probes.input_name, tuple):
        return {probes.input_name: values}
    are_scalars = probes.data_format == SCALARS
    return {
        name: values[:, piece.start if are_scalars and piece.stop - piece.start == 1 else piece]
        for name, piece in pieces(probes.input_name).items()
    }


def separate(
    probes: ProbeSet, chunk: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], dict[Any, Tensor]]:
    """The inputs of a chunk, with a tensor of its own for each column of a table.

    Args:
        probes: The probes.
        chunk: What `DeviceProbes.rows` returns.

    Returns:
        The images and the other inputs, as `ForwardPass.run` takes them; and the tensors of the
        explained inputs by name.
    """
    images, held = chunk["images"], dict(chunk["held"])
    given: dict[Any, Tensor] = {}
    for key, one in probes.explained.items():
        is_first = one is probes
        tensor = images if is_first else held[str(key)]
        if not isinstance(one.input_name, tuple):
            given[key] = tensor
            continue
        split = by_input(one, tensor)
        given |= split
        if is_first:
            images = split
        else:
            held[str(key)] = split
    return images, held, given


def _all_arranged(
    probes: ProbeSet, images: Any, others: Mapping[str, Tensor]
) -> tuple[Any, dict[str, Tensor]]:
    """The explained inputs in the model's data format; the held ones as they are."""
    explained = {
        str(name): _arranged(others[str(name)], one) for name, one in probes.other_inputs.items()
    }
    return _arranged(images, probes), {**others, **explained}


def as_floats(model: Any, probes: ProbeSet) -> ProbeSet:
    """The probes with integer inputs as floats, as Keras casts them to the dtype of an input.

    Raises:
        TypeError: The model has no `inputs` that say so, and does something else with integers
            than with the same numbers as floats.
    """
    if not any(map(_holds_integers, probes.explained.values())):
        return probes
    others = {name: _as_floats(one) for name, one in probes.other_inputs.items()}
    floats = replace(_as_floats(probes), other_inputs=others)
    if not getattr(model, "inputs", None) and not _answers_alike(model, probes, floats):
        raise TypeError(
            f"images: expected floating point, since gradients need it, received "
            f"{_integers(probes)}; this model's call treats integers otherwise than the same "
            "numbers as floats. Give it floats in fit and in the ProbeSet, or explain the part of "
            "it that takes floats: score=ks.Score(model=part)."
        )
    return floats


def _holds_integers(probes: ProbeSet) -> bool:
    return probes.kind != "tokens" and probes.images.dtype.kind in "biu"


def _as_floats(probes: ProbeSet) -> ProbeSet:
    if not _holds_integers(probes):
        return probes
    return replace(probes, images=probes.images.astype(keras.config.floatx()))


def _integers(probes: ProbeSet) -> str:
    """The dtypes of the explained inputs that are not floats."""
    dtypes = {str(one.images.dtype) for one in probes.explained.values() if _holds_integers(one)}
    return ", ".join(sorted(dtypes))


def _answers_alike(model: Any, *probe_sets: ProbeSet) -> bool:
    """Whether a model gives the same outputs for the first two probes of several sets."""
    variables = [(each, each.numpy()) for each in model.non_trainable_variables]
    answers = []
    try:
        with own_seed_generator():
            for probes in probe_sets:
                others = {name: tf.constant(each[:2]) for name, each in probes.others.items()}
                first = _all_arranged(probes, tf.constant(probes.images[:2]), others)
                outputs = model(_fed(model, probes, *first), training=False)
                answers.append([np.asarray(output) for output in tf.nest.flatten(outputs)])
    except (TypeError, ValueError, NotImplementedError, tf.errors.OpError):
        return False
    finally:
        for variable, value in variables:
            variable.assign(value)
    pairs = zip(*answers, strict=True)
    return all(np.allclose(one, other, 1e-3, 1e-5, equal_nan=True) for one, other in pairs)


def _arranged(images: Any, probes: ProbeSet) -> Any:
    """Images `(batch, ..., channels)` in a model's data format; columns of a table as they are."""
    if isinstance(probes.input_name, tuple):
        return images
    if probes.data_format == "channels_first":
        last = images.shape.rank - 1
        return tf.transpose(images, [0, last, *range(1, last)])
    return images[..., 0] if probes.data_format in ("no_channels", SCALARS) else images


def build(model: Any, probes: ProbeSet, *, is_part: bool = False) -> None:
    """Builds a model that has not seen any input, from the shapes of the probes.

    As in the first step of `fit`, with the same draws from the same generators: its weights are
    those that `fit` would have given it. An initializer that draws from TensorFlow's generators is
    an exception: in the graph of a training step they draw other numbers.

    Args:
        model: The model.
        probes: The probes.
        is_part: Whether it is a part of the model that is trained.
    """
    specs = {str(name): _spec(values.shape, values) for name, values in probes.held.items()}
    specs |= {str(name): _spec_of(one) for name, one in probes.other_inputs.items()}
    takes_training = "training" in inspect.signature(model.call).parameters
    options = {"training": True} if takes_training else {}
    with _noted(probes, None if is_part else model, is_built=False):
        model(_fed(model, probes, _spec_of(probes), specs), **options)


@contextmanager
def _noted(probes: ProbeSet, whole: Any, *, is_built: bool = True) -> Iterator[None]:
    """While a model is called: adds to its errors what it was given, and what else it may take.

    Args:
        probes: What it was given.
        whole: The model that is trained, a part of which may take the probes; `None` if the one
            that is called is such a part.
        is_built: Whether it was built before.
    """
    try:
        yield
    except Exception as error:
        shapes = [
            f"shape {('num_probes', *one.images.shape[1:])}" for one in probes.explained.values()
        ]
        note = f"keras_saliency: the model was called with the probes, {', '.join(shapes)}."
        parts = part_lines(whole, probes) if whole is not None else []
        if parts:
            note += f" If a part that takes them is meant: {' or '.join(parts)}."
            note += about_labels(probes)
        if not is_built:
            note += " If it takes such inputs, call it on a batch once before fit, which builds it."
        if probes.input_name is None:
            note += (
                " If it takes several inputs, give all of them: ProbeSet({0: ..., 1: ...}, targets)"
                " for a list, or by their names for a dict. If the elements of a data set are "
                "inputs alone: ProbeSet.from_dataset(dataset.map(lambda *inputs: (inputs,)))."
            )
            if probes.images.shape[1:] == (1,):
                note += (
                    " If train_step calls the model on a whole graph, and these are numbers of its "
                    f"rows, {as_one_input('model([graph[0], edges])')}"
                )
        error.add_note(note)
        raise


def _spec_of(probes: ProbeSet) -> Any:
    """The explained input of probes, or those of a table by name."""
    if not isinstance(probes.input_name, tuple):
        return _spec(fed_shape(probes), probes.images)
    columns = by_input(probes, probes.images)
    return {name: _spec(values.shape, values) for name, values in columns.items()}


def _spec(shape: Sequence[int], values: Array) -> Any:
    dtype = "string" if values.dtype.kind in "US" else values.dtype.name
    return keras.KerasTensor((None, *shape[1:]), dtype)


def _custom_score(score: Any, outputs: Any, targets: Tensor, *inputs: Any) -> Tensor:
    if isinstance(score, tf.types.experimental.PolymorphicFunction):
        score = plain(score)  # to see whether it depends on the targets
    with tf.name_scope(OWN_SCORE):
        values = score(outputs, targets, *inputs)
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
