"""`Explainer`: runs the compiled functions on the live model, in chunks. Arrays in, arrays out."""

from __future__ import annotations

import warnings
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions import (
    METHODS,
    REDUCTIONS,
    Method,
    heads,
    norm,
    scores,
)
from keras_saliency.attributions.differentiation import (
    LayerCall,
    ModelScore,
    Pass,
    UnsuitableInputError,
    upstream,
)
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.paths import completeness, integrated_gradients
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.answering import AnswerPass
from keras_saliency.engine.device import DeviceProbes, fetched
from keras_saliency.engine.forward import ForwardPass, places_of
from keras_saliency.engine.loss_scales import (
    finite,
    unclipped,
    uses_float8,
    uses_half_precision,
)
from keras_saliency.engine.models import fixed_batch_size
from keras_saliency.engine.state_guard import MutatedVariables, own_seed_generator
from keras_saliency.engine.traced_inputs import traced_inputs

_STATEFUL_DRAWS = {
    "Multinomial",
    "RandomGamma",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "TruncatedNormal",
}

FALLBACK = ("gradient", "gradient")
"""The name and the method that explains an input that none of the chosen methods can explain."""

PASSES_AT_ONCE = 8
"""The number of passes whose results may be on the device at the same time."""


class Explainer:
    """Runs methods on a model with `training=False`, without cloning or changing it.

    The constructor traces one `tf.function`, for a fixed number of probes. All methods, and all
    inputs that are explained, share the forward and backward pass of the probes. What a method
    changes of one input, such as noise, leaves the others as they are. An input that none of the
    methods can explain has its gradient.

    Args:
        forward_pass: The model.
        inputs: Of the probes to explain.
        methods: The methods by name.
        reductions: A key of `REDUCTIONS` for each kind of input.
        batch_size: The maximum number of probes per pass, or the only one if the model takes no
            other. A model that shows its fixed batch size has its own.
        jit_compile: Whether XLA compiles the functions.

    Attributes:
        head: The end of the model; `None` if it has no single output.
        num_named: The number of classes that a detector tells apart; `None` for other models.
        batch_size: The maximum number of images per pass.
        chunk_size: The number of probes per pass of `explain`.
        answer_pass: Runs the model on other images, without gradients.
        uses_targets: Whether the score depends on the targets.
        explaining: For each input, the methods that explain it, by name.

    Raises:
        ValueError: A method cannot explain any of the inputs, or the model cannot be explained.
    """

    def __init__(
        self,
        forward_pass: ForwardPass,
        inputs: DeviceProbes,
        methods: Mapping[str, Method],
        *,
        reductions: Mapping[str, str],
        batch_size: int,
        jit_compile: bool,
    ) -> None:
        self.head: heads.Head | None = None
        self.num_named: int | None = None
        self.explaining: list[Mapping[str, Method]] = []
        self._forward, self._inputs, self._methods = forward_pass, inputs, methods
        self._probes = inputs.probes
        self._reductions, self._jit = reductions, jit_compile
        fixed = fixed_batch_size(forward_pass.model)
        num_chunks = -(-len(inputs.probes) // batch_size)
        self.batch_size = fixed or batch_size
        self.chunk_size = fixed or -(-len(inputs.probes) // num_chunks)
        self._scaled = None
        if uses_float8(forward_pass.model) and forward_pass.float8:
            self._scaled = unclipped
        elif uses_half_precision(forward_pass.model):
            self._scaled = finite
        self.uses_targets = True
        try:
            self._trace()
        except (ValueError, TypeError, tf.errors.OpError) as error:
            if self.chunk_size == self.batch_size:
                raise
            self.chunk_size = self.batch_size  # the model may take no other
            try:
                self._trace()
            except (ValueError, TypeError, tf.errors.OpError):
                raise error from None
        if self._written.variables:
            forward_pass.states = self._written.variables
            self._trace()
        _warn_of_draws(self._explain.graph)
        self.answer_pass = AnswerPass(forward_pass, inputs, self.batch_size, jit_compile)

    def _trace(self) -> None:
        self._function = tf.function(
            self._explain_chunk, autograph=False, jit_compile=self._jit or None
        )
        with own_seed_generator() as self._seed_generator, _traceable(self._forward.model):
            self._explain = self._function.get_concrete_function(
                self._specs(self.chunk_size, with_scale=self._scaled is not None)
            )
        self._written = MutatedVariables(self._explain)

    @property
    def trace_count(self) -> int:
        """How often the model has been traced for maps; it should be 1."""
        return int(self._function.experimental_get_tracing_count())

    def explain(self, targets: Array, *, with_ends: bool = False) -> dict[str, Array]:
        """Explains the first `len(targets)` probes.

        Up to `PASSES_AT_ONCE` passes begin before a result is waited for.

        Args:
            targets: The class to explain for each probe.
            with_ends: Whether to return the model's outputs and logits, too. For a segmentation
                they are large.

        Returns:
            Arrays by name, with one row per probe: `"scores"`; `"predictions"` and
            `"confidences"`, which are -1 and `nan` if there are no classes, and -1 and 0 if a
            detector finds nothing in the box; `"outputs"` and
            `"logits"` if `with_ends`; and for each method `"0/maps/<method>"` and
            `"0/norms/<method>"`. For integrated gradients also `"0/completeness/<method>"`, the
            result of `completeness`. Those of other inputs begin with their places, from 1 on.
        """
        left_out = () if with_ends else ("outputs", "logits")
        size, num_chunks = self.chunk_size, -(-len(targets) // self.chunk_size)
        found: dict[str, Array] = {}

        def run(number: int, scales: Array | None = None) -> dict[str, Tensor]:
            chunk = self._chunk(np.arange(number * size, (number + 1) * size), targets)
            if scales is not None:
                chunk["scale"] = tf.constant(scales)
            results = self._explain(chunk)
            return {name: values for name, values in results.items() if name not in left_out}

        with self._written.restored(), self._forward.named_errors():
            for first in range(0, num_chunks, PASSES_AT_ONCE):
                numbers = range(first, min(first + PASSES_AT_ONCE, num_chunks))
                chunks = (
                    [run(number) for number in numbers]
                    if self._scaled is None
                    else self._scaled(run, numbers, size)
                )
                for name, values in fetched(chunks, len(targets) - first * size).items():
                    shape = (len(targets), *values.shape[1:])
                    rows = found.setdefault(name, np.empty(shape, values.dtype))
                    rows[first * size : first * size + len(values)] = values
        is_unknown = found["predictions"] < 0
        if self.num_named is not None:  # a detector that finds nothing in the box
            is_unknown &= ~np.isfinite(found["scores"])
        found["confidences"] = np.where(is_unknown, np.nan, found["confidences"])
        return found

    def _specs(self, size: int, *, with_scale: bool = False) -> dict[str, Any]:
        scale = {"scale": tf.TensorSpec((size,), tf.float32)} if with_scale else {}
        return {**self._inputs.specs(size), "targets": tf.TensorSpec((size,), tf.int32), **scale}

    def _chunk(self, index: Array, targets: Array) -> dict[str, Any]:
        """The probes at some indices; indices past the end select the last probe."""
        chosen = np.minimum(index, len(targets) - 1)
        return {**self._inputs.rows(chosen), "targets": tf.constant(targets[chosen], tf.int32)}

    def _explain_chunk(self, chunk: dict[str, Any]) -> dict[str, Tensor]:
        held, targets, places = chunk["held"], chunk["targets"], places_of(chunk)
        given = [chunk["images"], *(held[str(name)] for name in self._probes.other_inputs)]
        everything = [*self._probes.explained.values()]

        def run(
            tensors: Sequence[Any], replaced: Mapping[tuple[str, int], Tensor]
        ) -> tuple[heads.Head | heads.Named | None, Tensor, Sequence[LayerCall]]:
            others = dict(zip(map(str, self._probes.other_inputs), tensors[1:], strict=True))
            return self._forward.run(tensors[0], {**held, **others}, targets, places, replaced)

        inputs = traced_inputs(everything, given, run)

        def forward(
            *tensors: Tensor,
        ) -> tuple[heads.Head | heads.Named | None, Tensor, Sequence[LayerCall]]:
            fed = [one.fed(tensor) for one, tensor in zip(inputs, tensors, strict=True)]
            replaced = [one.replaced(tensor) for one, tensor in zip(inputs, tensors, strict=True)]
            return run(fed, ChainMap(*replaced))

        first = [one.tensor for one in inputs]
        end, values, calls = forward(*first)
        self.head = end if isinstance(end, heads.Head) else None
        self.num_named = end.num_classes if isinstance(end, heads.Named) else None
        self.uses_targets = targets.op in upstream(values.op)
        known = Pass(first, values, calls)
        results = {"scores": values}
        refusals: list[dict[str, UnsuitableInputError]] = []
        for place, (one, probes) in enumerate(zip(inputs, everything, strict=True)):

            def alone(tensor: Tensor, place: int = place) -> tuple[Tensor, Sequence[LayerCall]]:
                return forward(*first[:place], tensor, *first[place + 1 :])[1:]

            score_fn = ModelScore(
                alone,
                first=known,
                background=None if one.vectors else partial(self._inputs.all_of, place),
                loss_scale=chunk.get("scale"),
                data_format=probes.data_format,
                has_positions=isinstance(end, heads.Head) and end.outputs.shape.rank > 2,
            )
            with _named_errors(probes.input_name if len(inputs) > 1 else None):
                found, refused = self._explained(score_fn, one.tensor, probes)
            results |= {f"{place}/{name}": tensor for name, tensor in found.items()}
            refusals.append(refused)
        self.explaining = self._checked_methods(refusals)
        return results | self._answers(end, targets)

    def _explained(
        self, score_fn: ModelScore, tensor: Tensor, probes: ProbeSet
    ) -> tuple[dict[str, Tensor], dict[str, UnsuitableInputError]]:
        """The maps of one input by all methods, and what belongs to them.

        Also the methods that cannot explain it, with the reason. If none can, its gradient.

        Raises:
            UnsuitableInputError: It is the only input, and no method can explain it.
        """
        results: dict[str, Tensor] = {}
        refused: dict[str, UnsuitableInputError] = {}
        for name, method in self._methods.items():
            try:
                results |= self._explained_by(name, method, score_fn, tensor, probes)
            except UnsuitableInputError as error:
                refused[name] = error
        if not results and not self._probes.other_inputs:
            raise next(iter(refused.values()))
        if not results:
            results = self._explained_by(*FALLBACK, score_fn, tensor, probes)
        return results, refused

    def _explained_by(
        self, name: str, method: Method, score_fn: ModelScore, tensor: Tensor, probes: ProbeSet
    ) -> dict[str, Tensor]:
        """The maps of one input by one method, and what belongs to them."""
        function = METHODS[method] if isinstance(method, str) else method
        attribution = _checked(function(score_fn, tensor), tensor, name)
        with_channels = attribution
        if probes.kind == "features":
            with_channels = attribution[..., tf.newaxis]
        results = {
            f"maps/{name}": REDUCTIONS[self._reductions[probes.kind]](with_channels),
            f"norms/{name}": norm(attribution),
        }
        if getattr(function, "func", function) is integrated_gradients:
            settings = {
                argument: value
                for argument, value in _settings(function).items()
                if argument == "baseline"
            }
            results[f"completeness/{name}"] = completeness(
                score_fn, tensor, attribution, **settings
            )
        return results

    def _checked_methods(
        self, refusals: Sequence[Mapping[str, UnsuitableInputError]]
    ) -> list[Mapping[str, Method]]:
        """The methods that explain each input, by name.

        Args:
            refusals: For each input, the methods that cannot explain it, with the reason.

        Raises:
            ValueError: A method cannot explain any of the inputs.
        """
        for name in self._methods:
            if all(name in refused for refused in refusals):
                error = refusals[0][name]
                if len(refusals) == 1:
                    raise error
                listed = ", ".join(map(repr, self._probes.explained))
                raise ValueError(
                    f"method={name!r} cannot explain any of the inputs {listed}. Of the first: "
                    f"{error}"
                ) from error
        return [
            {name: one for name, one in self._methods.items() if name not in refused}
            or dict([FALLBACK])
            for refused in refusals
        ]

    def _answers(self, end: heads.Head | heads.Named | None, targets: Tensor) -> dict[str, Tensor]:
        """The predictions and confidences, and the outputs and logits of a model with a head."""
        labels = None if self._probes.targets is None else targets
        predictions, confidences = scores.answers(end, self.chunk_size, labels)
        ends = {}
        if isinstance(end, heads.Head):
            ends = {"outputs": end.outputs, "logits": end.logits}
        return {"predictions": predictions, "confidences": confidences, **ends}


@contextmanager
def _traceable(model: Any) -> Iterator[None]:
    """Explains the error if a model cannot be traced in this context but runs eagerly in `fit`."""
    try:
        yield
    except (AttributeError, NotImplementedError, tf.errors.OperatorNotAllowedInGraphError) as error:
        if not getattr(model, "run_eagerly", False):
            raise
        raise RuntimeError(
            "model: expected a model whose call can be traced by tf.function, as explanations use "
            "a compiled pass; this model is compiled with run_eagerly=True, and tracing it fails: "
            f"{error} In call, use TensorFlow or keras.ops instead of NumPy and .numpy()."
        ) from error


def _warn_of_draws(graph: Any) -> None:
    """Warns about layers that draw from a random state which cannot be restored."""
    operations = graph.get_operations()
    drawing = [operation.name for operation in operations if operation.type in _STATEFUL_DRAWS]
    if any(operation.type.endswith("PartitionedCall") for operation in operations):
        for function in graph.as_graph_def().library.function:
            drawing += [node.name for node in function.node_def if node.op in _STATEFUL_DRAWS]
    if drawing:
        warnings.warn(
            f"model: {drawing[0]!r} draws random numbers at inference with a stateful TensorFlow "
            "operation, so maps differ between evaluations even if the model does not change. Use "
            "keras.random with a keras.random.SeedGenerator instead.",
            stacklevel=2,
        )


@contextmanager
def _named_errors(name: Any) -> Iterator[None]:
    """Says which of several inputs a method cannot explain; nothing without a name."""
    try:
        yield
    except ValueError as error:
        if name is None:
            raise
        listed = ", ".join(map(repr, name)) if isinstance(name, tuple) else repr(name)
        raise ValueError(
            f"input {listed}: {error} If it is this input alone that cannot be explained, hold it: "
            "ProbeSet(..., held={...})."
        ) from error


def _settings(function: Any) -> Mapping[str, Any]:
    return getattr(function, "keywords", {})


def _checked(attribution: Any, inputs: Tensor, name: str) -> Tensor:
    """Checks the shape and dtype of an attribution, and adds a channel axis if it has none."""
    if isinstance(attribution, np.ndarray):
        raise TypeError(
            f"method={name!r}: expected a tensor, received a NumPy array. The method is traced, so "
            "the array would be the same for all probes and epochs. Compute it with TensorFlow."
        )
    shape = getattr(attribution, "shape", None)
    if shape is not None and tf.is_tensor(attribution) and shape.rank and shape[0] is None:
        attribution = tf.ensure_shape(attribution, [inputs.shape[0], *shape[1:]])
        shape = attribution.shape
    if tf.is_tensor(attribution) and inputs.shape.rank > 2 and shape == inputs.shape[:-1]:
        attribution = attribution[..., tf.newaxis]
        shape = attribution.shape
    one_channel = [*inputs.shape[:-1], 1] if inputs.shape.rank > 2 else None
    if not tf.is_tensor(attribution) or list(shape or ()) not in ([*inputs.shape], one_channel):
        received = type(attribution).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"method={name!r}: expected an attribution of the inputs' shape {tuple(inputs.shape)}, "
            f"with a single channel or without one, received {received}."
        )
    if not attribution.dtype.is_floating:
        raise TypeError(f"method={name!r}: expected floats, received {attribution.dtype.name}.")
    return attribution
