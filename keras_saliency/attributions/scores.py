"""Scores: the scalar of a model's output that is differentiated, one per probe.

The default is the logit, since probabilities saturate: the probability of a confident model hardly
changes, so its gradient vanishes just when the model is most certain. If the model ends in a
softmax or sigmoid, the logits are found in the traced graph. The model itself is not changed.

Shapes: outputs and logits are `(batch, units)`, targets `(batch,)` int, scores `(batch,)`.
One unit means two classes: its logit `z` is the logit of class 1, and `-z` that of class 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.data.checks import check_choice, plain_int
from keras_saliency.data.reports import Array

Tensor = Any
"""A `tf.Tensor`; TensorFlow ships no types."""

ScoreFunction = str | Callable[..., Tensor]
"""A key of `SCORES`; a `functools.partial` of one of its functions, with settings; or a callable
that maps a model's outputs and `(batch,)` targets to `(batch,)` scores."""


@dataclass(frozen=True)
class Score:
    """What is differentiated: a scalar of the model's output, one per probe.

    Args:
        score: `"logit"`, `"log_probability"`, `"probability"`, `"output"` (the model's output
            unchanged, for regression), `"segmentation"` (the sum of the target's logits over the
            pixels where it is predicted), or a callable that maps the model's outputs and
            `(batch,)` targets to `(batch,)` scores.
        output: For a model with several outputs: the name or position of the one to explain.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The name of the score is unknown.

    Example:
        >>> Score("probability", output="species")
        Score(score='probability', output='species')
    """

    score: ScoreFunction = "logit"
    output: str | int | None = None

    def __post_init__(self) -> None:
        if not callable(self.score):
            check_choice("score", self.score, SCORES, alternatives="a callable, or ks.Score(...)")
        object.__setattr__(self, "output", plain_int(self.output))
        if isinstance(self.output, bool) or not (
            self.output is None or isinstance(self.output, str | int)
        ):
            raise TypeError(
                f"output: expected a name or a position, received {self.output!r}. It selects one "
                "of several outputs to explain."
            )

    @property
    def name(self) -> str:
        """The name of the score in pictures and logs."""
        return score_name(self.score)


def checked_score(score: Any) -> Score:
    """Converts the argument `score` (a name, a callable, or a `Score`) to a `Score`."""
    return score if isinstance(score, Score) else Score(score)


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
_SAME_VALUES = {"Cast", "EnsureShape", "ExpandDims", "Identity", "Reshape", "Squeeze"}
_SUMS = {"Add", "AddV2", "AvgPool", "BiasAdd", "Mean"}
_PRODUCTS = {"BatchMatMulV2", "Conv2D", "Einsum", "MatMul"}
_OF_FIRST = {"AvgPool", "GatherV2", "Max", "MaxPool", "Mean", "Slice", "StridedSlice", "Sum"}
_OF_FIRST |= {"Transpose", *_SAME_VALUES}
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
        certain: Whether the graph shows this: the activation, or a product with weights, was
            found. If not, the values decide (`decide`).
        mixes: Whether the outputs are made of nothing but softmaxes or sigmoids and weights, by
            products, sums or averages, such as in soft voting, a mixture of experts or attention
            over instances. Then they may be probabilities, though they end in a product.
        operation: The `tf.Operation` that was inspected.
    """

    outputs: Tensor
    logits: Tensor
    activation: str
    certain: bool
    mixes: bool
    operation: Any


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
    operation = behind(outputs.op)
    found = _OPERATIONS.get(operation.type)
    certain = found is not None or _is_product(operation)
    is_found = found is not None and activation in (None, found)
    values = operation.inputs[0] if is_found else outputs
    if values.dtype != tf.float64:
        values = tf.cast(values, tf.float32)
    logits = tf.ensure_shape(tf.reshape(values, tf.shape(outputs)), outputs.shape)
    if is_found:
        return Head(outputs, logits, found or LINEAR, certain, False, operation)
    if activation in (SOFTMAX, SIGMOID):
        log_odds = _log(logits) - _log(1 - logits)
        logits = _log(logits) if activation == SOFTMAX else log_odds
    return Head(outputs, logits, activation or LINEAR, certain, _mixes(outputs), operation)


def _log(probability: Tensor) -> Tensor:
    """The logarithm; for a probability that underflowed, a finite value with gradient 0."""
    return tf.math.log(tf.maximum(probability, probability.dtype.as_numpy_dtype(1e-37)))


def behind(operation: Any) -> Any:
    """The operation that computes the values, before any casts and reshapes."""
    while operation.type in _SAME_VALUES:
        operation = operation.inputs[0].op
    return operation


def _is_product(operation: Any) -> bool:
    """Whether an operation is a product with weights, or a linear function of such products."""
    while True:
        inputs = [tensor.op for tensor in operation.inputs]
        if operation.type in ("Mul", "RealDiv", "Sub"):
            inputs = [before for before in inputs if behind(before).type not in _WEIGHTS]
            if len(inputs) != 1:
                return False
        elif operation.type not in _SUMS | _SAME_VALUES:
            return operation.type in _PRODUCTS
        operation = inputs[0]


def _mixes(outputs: Tensor) -> bool:
    """Whether outputs are computed from softmaxes, sigmoids and weights alone.

    A bias that is learned (`Dense` with a bias on sigmoid units) is no part of a mixture.
    """
    waiting, seen, found = [outputs.op], {outputs.op}, False
    while waiting:
        operation = waiting.pop()
        if operation.type in ("Softmax", "Sigmoid"):
            found = True
            continue
        inputs = [tensor.op for tensor in operation.inputs]
        if operation.type in ("Add", "AddV2", "BiasAdd"):
            if any(behind(before).type == "ReadVariableOp" for before in inputs):
                return False
        elif operation.type in _OF_FIRST:
            inputs = inputs[:1]
        elif operation.type in _WEIGHTS:
            continue
        elif operation.type not in _OF_ALL:
            return False
        waiting += [before for before in inputs if before not in seen]
        seen.update(inputs)
    return found


def decide(
    head: Head, outputs: Array, logits: Array, score: ScoreFunction, *, declared: str = ""
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
    is_linear = head.activation == LINEAR and head.certain
    finite = np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
    values = outputs[finite].astype(np.float64)
    in_range = bool((abs(values - 0.5) <= 0.5 + tolerance).all())
    is_normalized = values.shape[-1] > 1 and np.allclose(values.sum(axis=-1), 1, atol=1e-3)
    activation = SOFTMAX if is_normalized else SIGMOID
    if head.mixes and declared == "probabilities":
        return activation
    if not values.any() or not in_range:
        is_logit = is_linear or declared == "logits" or score not in PROBABILITY_SCORES
        return LINEAR if is_logit and head.activation == LINEAR else None
    if is_normalized:
        return SOFTMAX
    if (is_linear and not head.mixes) or (head.activation == LINEAR and declared == "logits"):
        return LINEAR
    if declared == "probabilities" or score in PROBABILITY_SCORES:
        return SIGMOID
    return None


def _gives(head: Head, outputs: Array, logits: Array, tolerance: float) -> bool:
    """Whether the activation of the logits gives the outputs. Logits that overflowed do not count.

    If all overflowed, no value contradicts the graph.
    """
    finite = np.isfinite(logits).all(axis=tuple(range(1, logits.ndim)))
    relative = tolerance if head.activation == LOG_SOFTMAX else 0
    expected = np.asarray(_ACTIVATIONS[head.activation](logits[finite].astype(np.float64)))
    return np.allclose(expected, outputs[finite].astype(np.float64), relative, tolerance)


def check_head(head: Head, outputs: Array, activation: str | None, score: ScoreFunction) -> None:
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
    if activation == SOFTMAX and outputs.shape[-1] == 1 and np.allclose(outputs, 1):
        raise ValueError(
            f"model: expected an output that depends on the input; {name!r} is a softmax of a "
            "single unit, which is always 1. Use activation='sigmoid' for one unit, or a softmax "
            "of one unit for each class."
        )
    if score == "output":
        return
    is_probability = activation in (SOFTMAX, SIGMOID) and activation != head.activation
    received = f"its outputs, from {outputs.min():.3g} to {outputs.max():.3g}, come from"
    if is_probability and score not in PROBABILITY_SCORES:
        choices = "'log_probability' or score='probability'"
        if score == "segmentation":
            choices = "a callable (outputs, targets) -> (num_probes,)"
        raise ValueError(
            f"score={score_name(score)!r}: expected a model whose logits can be found; {received} "
            f"the operation {name!r} and are probabilities. Pass score={choices}. Or end the model "
            "in logits, or in a Keras softmax or sigmoid."
        )
    if activation is None:
        values = "probabilities" if score in PROBABILITY_SCORES else "logits"
        raise ValueError(
            f"score={score_name(score)!r}: expected a model that ends in a softmax, a sigmoid or "
            f"in {values}; {received} the operation {name!r} ({head.activation}), so the {values} "
            "cannot be determined. Choose one: if the outputs are probabilities, pass "
            "score='log_probability' or score='probability'; if they are logits, compile the model "
            "with a loss with from_logits=True; pass score='output' to explain them unchanged; or "
            "pass a callable (outputs, targets) -> (num_probes,)."
        )


def logit(head: Head, targets: Tensor) -> Tensor:
    """The logit of the target, in (-inf, inf): the score before softmax or sigmoid."""
    if head.logits.shape[1] == 1:
        return tf.where(targets == 1, head.logits[:, 0], -head.logits[:, 0])
    return tf.gather(head.logits, targets, axis=1, batch_dims=1)


def log_probability(head: Head, targets: Tensor) -> Tensor:
    """The logarithm of the target's probability, in (-inf, 0]. It depends on all logits."""
    if head.activation == SIGMOID or head.logits.shape[1] == 1:
        return tf.math.log_sigmoid(logit(head, targets))
    return tf.gather(tf.nn.log_softmax(head.logits), targets, axis=1, batch_dims=1)


def probability(head: Head, targets: Tensor) -> Tensor:
    """The target's probability, in 0..1. It saturates: its gradient vanishes as confidence grows.

    Linear outputs are treated as the logits of a softmax, or of a sigmoid if there is one unit.
    """
    if head.activation == SIGMOID or head.logits.shape[1] == 1:
        return tf.nn.sigmoid(logit(head, targets))
    return tf.gather(tf.nn.softmax(head.logits), targets, axis=1, batch_dims=1)


def output(head: Head, targets: Tensor) -> Tensor:
    """The model's output unchanged, with the target as its unit: a regression's prediction."""
    return tf.gather(head.outputs, targets, axis=1, batch_dims=1)


def segmentation(head: Head, targets: Tensor, *, region: Any = None) -> Tensor:
    """The sum of the target's logits over a region of a model that labels every pixel.

    Args:
        head: A head with outputs `(batch, height, width, classes)`; one class means a sigmoid.
        targets: `(batch,)`.
        region: bool `(height, width)` of the output, the same for all probes. Default: the pixels
            of each probe in which the target is predicted now. If there are no such pixels, the
            score and the map are 0.

    Raises:
        ValueError: The output has no spatial axes, or `region` has a different shape.

    Reference:
        Vinogradova, Dibrov, Myers: Towards Interpretable Semantic Segmentation via
        Gradient-weighted Class Activation Mapping. arXiv:2002.11434.
    """
    spatial = head.logits.shape[1:-1]
    if not spatial.rank:
        raise ValueError(
            "score='segmentation': expected a model with an output (batch, height, width, "
            f"classes), received {head.outputs.shape}."
        )
    shape = [-1, *[1] * spatial.rank]
    if head.logits.shape[-1] == 1:
        values = head.logits[..., 0]
        values = tf.where(tf.reshape(targets, shape) == 1, values, -values)
        predicted = values > 0
    else:
        values = tf.gather(head.logits, targets, axis=-1, batch_dims=1)
        winners = tf.argmax(head.logits, axis=-1, output_type=targets.dtype)
        predicted = winners == tf.reshape(targets, shape)
    if region is not None:
        mask = np.asarray(region)
        if mask.dtype != np.bool_ or mask.shape != tuple(spatial) or not mask.any():
            raise ValueError(
                f"region: expected a bool array of shape {tuple(spatial)}, like the model's "
                f"output, with a True pixel, received {mask.dtype} of shape {mask.shape}."
            )
        predicted = tf.broadcast_to(tf.constant(mask), tf.shape(values))
    kept = tf.where(predicted, values, tf.zeros_like(values))
    return tf.reduce_sum(kept, list(range(1, spatial.rank + 1)))


SCORES: dict[str, Callable[..., Tensor]] = {
    "logit": logit,
    "log_probability": log_probability,
    "probability": probability,
    "output": output,
    "segmentation": segmentation,
}
"""The built-in scores by name: functions of a model's `Head` and targets."""


def known_name(score: ScoreFunction) -> str | None:
    """The key in `SCORES` of a score, also if it is a partial of a function in `SCORES`.

    `None` for a custom callable.
    """
    function = SCORES.get(score) if isinstance(score, str) else getattr(score, "func", score)
    return next((name for name, entry in SCORES.items() if entry is function), None)


def known(score: ScoreFunction) -> Callable[..., Tensor] | None:
    """The function in `SCORES` for a score, with its settings; `None` for a custom callable."""
    if isinstance(score, str):
        return SCORES[score]
    return score if known_name(score) else None


def is_segmentation(score: ScoreFunction) -> bool:
    """Whether a score is meant for a model that labels every pixel."""
    return known_name(score) == "segmentation"


def score_name(score: ScoreFunction) -> str:
    """The name of a score in pictures and logs."""
    if isinstance(score, str):
        return score
    function = score.func if isinstance(score, partial) else score
    return getattr(function, "__name__", "own")


def predict(head: Head) -> tuple[Tensor, Tensor]:
    """The predicted class `(batch,)` int64 and its probability `(batch,)` in 0..1.

    -1 and `nan` if the logits are not finite: then no class is predicted.
    """
    if head.logits.shape[1] == 1:
        predictions = tf.cast(head.logits[:, 0] > 0, tf.int64)
    else:
        predictions = tf.argmax(head.logits, axis=1)
    is_finite = tf.reduce_all(tf.math.is_finite(head.logits), axis=1)
    confidences = probability(head, predictions)
    nothing = tf.constant(-1, tf.int64), tf.constant(float("nan"), confidences.dtype)
    return (
        tf.where(is_finite, predictions, nothing[0]),
        tf.where(is_finite, confidences, nothing[1]),
    )
