"""Heads: the end of a model, its logits, and whether its outputs are logits or probabilities.

The graph shows an activation, if there is one; otherwise the values decide, and the loss that the
model is compiled with. The model itself is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.data.reports import Array

Tensor = Any
"""A `tf.Tensor`; TensorFlow ships no types."""

SOFTMAX = "softmax"
SIGMOID = "sigmoid"
LOG_SOFTMAX = "log_softmax"
LINEAR = "linear"

_OPERATIONS = {"Softmax": SOFTMAX, "Sigmoid": SIGMOID, "LogSoftmax": LOG_SOFTMAX}
_ACTIVATIONS = {
    SOFTMAX: tf.nn.softmax,
    SIGMOID: tf.nn.sigmoid,
    LOG_SOFTMAX: tf.nn.log_softmax,
    LINEAR: tf.identity,
}
_SAME_VALUES = {"Cast", "EnsureShape", "ExpandDims", "Identity", "IdentityN", "Reshape", "Squeeze"}
_SUMS = {"Add", "AddV2", "AvgPool", "BiasAdd", "Mean"}
_PRODUCTS = {"BatchMatMulV2", "Conv2D", "Einsum", "MatMul"}
_OF_FIRST = {"AvgPool", "GatherV2", "Max", "MaxPool", "Mean", "Slice", "StridedSlice", "Sum"}
_OF_FIRST |= {"Transpose"}
_OF_ALL = {"AddN", "ConcatV2", "Mul", "Pack", "RealDiv", "Sub", *_PRODUCTS}
_WEIGHTS = {"Const", "ReadVariableOp"}

PROBABILITY_SCORES = ("probability", "log_probability")


@dataclass(frozen=True)
class Head:
    """The end of a model, as found in the traced graph.

    Attributes:
        outputs: The model's outputs, `(batch, units)`; for a segmentation `(batch, ..., units)`.
        logits: The input of `activation`, float32 or float64, same shape. If the graph has no
            activation, but the outputs are probabilities, their logarithms (softmax) or log-odds
            (sigmoid).
        activation: `"softmax"`, `"sigmoid"`, `"log_softmax"`, or `"linear"` if the outputs
            are the logits.
        operation: The `tf.Operation` that was inspected.
        is_found: Whether `operation` is the activation.
        mask: Which positions count, bool `(batch, ...)`, as in the model's loss; `None` if all do.
        has_labels: Whether the model's loss takes each unit for a label of its own.
    """

    outputs: Tensor
    logits: Tensor
    activation: str
    operation: Any
    is_found: bool = False
    mask: Tensor | None = None
    has_labels: bool = False

    @property
    def is_independent(self) -> bool:
        """Whether each unit has a probability of its own: a single one, or several labels."""
        is_linear = self.activation == LINEAR
        return (
            self.activation == SIGMOID
            or self.outputs.shape[-1] == 1
            or (is_linear and self.has_labels)
        )


@dataclass(frozen=True)
class Named:
    """The classes that a model names, one per probe, if it has no `Head`.

    Attributes:
        predictions: `(batch,)` int64; -1 if none is named.
        confidences: `(batch,)`, their probabilities, 0 if none is named.
        num_classes: How many classes there are.
    """

    predictions: Tensor
    confidences: Tensor
    num_classes: int


def find_head(outputs: Tensor, activation: str | None = None) -> Head:
    """Finds the logits behind a model's outputs in the graph that is being traced.

    Walks back from the outputs over operations that do not change values (casts, reshapes) to a
    softmax or sigmoid, and takes its input. It does not matter where the activation is defined: in
    a `Dense` layer, as a separate layer, or inside a nested or subclassed model. If there is none,
    the outputs are taken for logits, until `decide` has looked at their values.

    Args:
        outputs: Symbolic tensor `(batch, ..., units)`.
        activation: What `decide` returned. `"softmax"` or `"sigmoid"`, if the graph has no such
            activation, mean that the outputs are probabilities, of exclusive or independent
            classes.
    """
    operation = behind(outputs)
    found = _OPERATIONS.get(operation.type, LINEAR)
    is_found = found != LINEAR and activation in (None, found)
    values = operation.inputs[0] if is_found else outputs
    if values.dtype != tf.float64:
        values = tf.cast(values, tf.float32)
    logits = tf.ensure_shape(tf.reshape(values, tf.shape(outputs)), outputs.shape)
    if is_found:
        return Head(outputs, logits, found, operation, is_found=True)
    if activation == SOFTMAX:
        logits = _log(logits)
    elif activation == SIGMOID:
        logits = _log(logits) - _log(1 - logits)
    return Head(outputs, logits, activation or LINEAR, operation)


def _log(probability: Tensor) -> Tensor:
    """The logarithm; for a probability that underflowed, a finite value with gradient 0."""
    return tf.math.log(tf.maximum(probability, probability.dtype.as_numpy_dtype(1e-37)))


def behind(values: Tensor) -> Any:
    """The operation that computes the values, before any casts and reshapes."""
    while values.op.type in _SAME_VALUES:
        values = _unchanged(values)
    return values.op


def _unchanged(values: Tensor) -> Tensor:
    """The input of an operation that does not change values."""
    return values.op.inputs[values.value_index if values.op.type == "IdentityN" else 0]


def _is_product(values: Tensor) -> bool:
    """Whether values are a product with weights, or a linear function of such products."""
    while True:
        operation, inputs = values.op, list(values.op.inputs)
        if operation.type in _SAME_VALUES:
            inputs = [_unchanged(values)]
        elif operation.type in ("Mul", "RealDiv", "Sub"):
            inputs = [before for before in inputs if behind(before).type not in _WEIGHTS]
            if len(inputs) != 1:
                return False
        elif operation.type not in _SUMS:
            return operation.type in _PRODUCTS
        values = inputs[0]


def _mixes(outputs: Tensor) -> bool:
    """Whether outputs are computed from softmaxes, sigmoids and weights alone.

    Examples are soft voting, mixtures of experts and attention over instances. Their outputs may be
    probabilities, although they end in a product. A sum with a learned bias is not a mixture.
    """
    waiting, seen, found = [outputs], {outputs.ref()}, False
    while waiting:
        values = waiting.pop()
        kind, inputs = values.op.type, list(values.op.inputs)
        if kind in ("Softmax", "Sigmoid"):
            found = True
            continue
        if kind in ("Add", "AddV2", "BiasAdd"):
            if any(behind(before).type == "ReadVariableOp" for before in inputs):
                return False
        elif kind in _SAME_VALUES:
            inputs = [_unchanged(values)]
        elif kind in _OF_FIRST:
            inputs = inputs[:1]
        elif kind in _WEIGHTS:
            continue
        elif kind not in _OF_ALL:
            return False
        waiting += [before for before in inputs if before.ref() not in seen]
        seen.update(before.ref() for before in inputs)
    return found


def decide(
    head: Head, outputs: Array, logits: Array, score: str, *, declared: str = ""
) -> str | None:
    """What a model's outputs are, from the graph and from their values.

    An activation in the graph counts if it gives these outputs. Without one, outputs are
    probabilities if they lie in 0..1 and sum to 1; or if they lie in 0..1, and either their graph
    leaves no other reading, or the compiled loss or the score say so.

    Args:
        head: The result of `find_head`, without `activation`.
        outputs: The values of `head.outputs`, `(num_probes, ..., units)`.
        logits: The values of `head.logits`, same shape.
        score: A key of `SCORES`.
        declared: What the compiled loss takes the outputs for: `"probabilities"`, `"logits"`, or
            `""` if that is unknown.

    Returns:
        The activation for `find_head`; `None` if it cannot be determined.
    """
    is_half = head.operation.outputs[0].dtype in (tf.float16, tf.bfloat16)
    tolerance = 1e-2 if is_half else 1e-4
    if head.activation != LINEAR and _gives(head, outputs, logits, tolerance):
        return head.activation
    is_product = head.activation == LINEAR and _is_product(head.outputs)
    mixes = head.activation == LINEAR and _mixes(head.outputs)
    finite = np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
    values = outputs[finite].astype(np.float64)
    in_range = bool((abs(values - 0.5) <= 0.5 + tolerance).all())
    sums_tolerance = 1e-2 if is_half else 1e-3
    is_normalized = values.shape[-1] > 1 and np.allclose(
        values.sum(axis=-1), 1, atol=sums_tolerance
    )
    activation = SOFTMAX if is_normalized else SIGMOID
    if mixes and declared == "probabilities":
        return activation
    is_other = _is_log_probability(head) or (not in_range and _is_multiple(head.outputs))
    if head.activation == LINEAR and declared != "logits" and is_other:
        return None
    if not values.any() or not in_range:
        is_logit = is_product or declared == "logits" or score not in PROBABILITY_SCORES
        return LINEAR if is_logit and head.activation == LINEAR else None
    if is_normalized:
        return SOFTMAX
    if (is_product and not mixes) or (head.activation == LINEAR and declared == "logits"):
        return LINEAR
    if declared == "probabilities" or score in PROBABILITY_SCORES:
        return SIGMOID
    return None


def _is_multiple(values: Tensor) -> bool:
    """Whether values are constant multiples of a softmax or sigmoid, such as percentages."""
    while values.op.type in _SAME_VALUES | {"Mul", "RealDiv", "AddV2", "Sub"}:
        inputs = [before for before in values.op.inputs if behind(before).type != "Const"]
        if values.op.type in _SAME_VALUES:
            inputs = [_unchanged(values)]
        if len(inputs) != 1:
            return False
        values = inputs[0]
    return values.op.type in ("Softmax", "Sigmoid")


def _is_log_probability(head: Head) -> bool:
    """Whether a single unit ends in a logarithm of a probability, such as a log-sigmoid."""
    if head.outputs.shape[-1] != 1:
        return False
    operation = head.operation
    if operation.type == "Neg":  # a log-sigmoid is minus a softplus of minus the logit
        operation = behind(operation.inputs[0])
        return bool(operation.type == "Softplus")
    return bool(operation.type == "Log")


def _gives(head: Head, outputs: Array, logits: Array, tolerance: float) -> bool:
    """Whether the activation of the logits gives the outputs. Logits that overflowed do not count.

    If all overflowed, no value contradicts the graph.
    """
    finite = np.isfinite(logits).all(axis=tuple(range(1, logits.ndim)))
    relative = tolerance if head.activation == LOG_SOFTMAX else 0
    expected = np.asarray(_ACTIVATIONS[head.activation](logits[finite].astype(np.float64)))
    return np.allclose(expected, outputs[finite].astype(np.float64), relative, tolerance)


def no_classes(outputs: Array, activation: str | None, loss: str, is_labelled: bool) -> str:
    """Why outputs do not stand for classes, in words; `""` if nothing speaks against it.

    A softmax always stands for classes; a single sigmoid does if the probes have labels.

    Args:
        outputs: The values, `(num_probes, ..., units)`.
        activation: The result of `decide`.
        loss: The name of the loss that the model is compiled with, if it is one for numbers.
        is_labelled: Whether the probes have targets.
    """
    units = outputs.shape[-1]
    if activation == SOFTMAX or (activation == SIGMOID and units == 1 and is_labelled):
        return ""
    if loss:
        return f"the model is compiled with the loss {loss}, so its outputs look like numbers"
    lengths = np.linalg.norm(outputs.reshape(-1, units).astype(np.float64), axis=-1)
    if activation == LINEAR and units > 1 and np.allclose(lengths, 1, atol=1e-3):
        return "each of its outputs has the length 1, so they look like an embedding"
    return ""


def check_head(head: Head, outputs: Array, activation: str | None, score: str) -> None:
    """Checks that a built-in score can be computed from a model's outputs.

    Args:
        head: The result of `find_head`.
        outputs: The values of `head.outputs`, `(num_probes, ..., units)`.
        activation: The result of `decide`.
        score: A key of `SCORES`.

    Raises:
        ValueError: The message says what was found, and what to do.
    """
    name = head.operation.name
    is_softmax = activation == SOFTMAX or head.activation == LOG_SOFTMAX
    if is_softmax and outputs.shape[-1] == 1 and np.ptp(outputs) < 1e-6:
        raise ValueError(
            f"model: expected an output that depends on the input; {name!r} is a softmax of a "
            "single unit, which is always the same. Use activation='sigmoid' for one unit, or a "
            "softmax over one unit per class."
        )
    if score in ("output", "mean"):
        return
    is_probability = activation in (SOFTMAX, SIGMOID) and activation != head.activation
    low, high = float(outputs.min()), float(outputs.max())  # they may be of a bfloat16 type
    received = f"its outputs, from {low:.3g} to {high:.3g}, come from"
    if is_probability and score not in PROBABILITY_SCORES:
        choices = "'log_probability' or score='probability'"
        if outputs.ndim > 2:
            choices = "a callable (outputs, targets) -> (num_probes,)"
        raise ValueError(
            f"score={score!r}: expected a model whose logits can be found; {received} "
            f"the operation {name!r} and are probabilities. Pass score={choices}. Or end the model "
            "in logits, or in a Keras softmax or sigmoid."
        )
    if activation is None:
        is_asked = score in PROBABILITY_SCORES
        values = "probabilities" if is_asked else "logits"
        choices = (
            "end the model in a Keras softmax or sigmoid"
            if is_asked
            else "if the outputs are probabilities, pass score='log_probability' or "
            "score='probability'; if they are logits, compile the model with a loss with "
            "from_logits=True"
        )
        raise ValueError(
            f"score={score!r}: expected a model that ends in a softmax, a sigmoid or "
            f"in {values}; {received} the operation {name!r} ({head.activation}), so the {values} "
            f"cannot be determined. Choose one: {choices}; pass score='output' to explain them "
            "unchanged; or pass a callable (outputs, targets) -> (num_probes,)."
        )
