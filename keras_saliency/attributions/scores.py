"""Scores: which scalar of a model's output is differentiated, one per probe.

The logit is the default, since probabilities saturate: a confident model's probability hardly
changes, so its gradient fades just when the model has made up its mind. Where the model ends in
a softmax or sigmoid, the tensor in front of it is found in the traced graph; the model itself is
not touched.

Shapes: outputs and logits are `(batch, units)`, targets `(batch,)` int, scores `(batch,)`.
One unit means two classes: its logit `z` is that of class 1, and `-z` is that of class 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array

Tensor = Any
"""A `tf.Tensor`; TensorFlow ships no types."""

ScoreFunction = str | Callable[..., Tensor]
"""A key of `SCORES`; a `functools.partial` of one of its functions, with settings; or a callable
from a model's outputs and `(batch,)` targets to `(batch,)`."""


@dataclass(frozen=True)
class Score:
    """What is differentiated: a scalar of the model's output, one per probe.

    Args:
        score: `"logit"`, `"log_probability"`, `"probability"`, `"output"` (the model's output
            unchanged: a regression), `"segmentation"` (the target's logits, summed over the places
            where it is predicted), or a callable from the model's outputs and `(batch,)` targets to
            `(batch,)` scores.
        output: Of a model with several outputs, the one that is explained: its name or position.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An unknown name.

    Example:
        >>> Score("probability", output="species")
        Score(score='probability', output='species')
    """

    score: ScoreFunction = "logit"
    output: str | int | None = None

    def __post_init__(self) -> None:
        if not callable(self.score):
            check_choice("score", self.score, SCORES)
        if isinstance(self.output, bool) or not (
            self.output is None or isinstance(self.output, str | int)
        ):
            raise TypeError(
                f"output: expected a name or a position, received {self.output!r}. It says which "
                "of several outputs is explained."
            )

    @property
    def name(self) -> str:
        """What the score is called in pictures and logs."""
        return score_name(self.score)


def checked_score(score: Any) -> Score:
    """The settings for what a user gives as `score`: a name, a callable, or a `Score`."""
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


@dataclass(frozen=True)
class Head:
    """The end of a model, as the traced graph shows it.

    Attributes:
        outputs: What the model returns, `(batch, units)`; of a segmentation `(batch, ..., units)`.
        logits: In front of `activation`, float32 or float64, same shape.
        activation: `"softmax"`, `"sigmoid"`, `"log_softmax"`, or `"linear"` where the outputs
            are the logits.
        certain: Whether the graph shows that: the activation, or a product with weights, was
            found. If not, the values decide (`check_head`).
        operation: The operation that was looked at, a `tf.Operation`.
    """

    outputs: Tensor
    logits: Tensor
    activation: str
    certain: bool
    operation: Any


def find_head(outputs: Tensor, score: ScoreFunction) -> Head:
    """Finds the logits behind a model's outputs in the graph that is being traced.

    Walks back from the outputs over operations that keep every value (casts, reshapes) to a
    softmax or sigmoid and takes its input. Wherever that activation was written (in a `Dense`
    layer, in a layer of its own, inside a nested or subclassed model), the graph is the same.
    Where neither it nor a product with weights is found, the outputs are taken for what `score`
    says they are, logits or probabilities, until `check_head` has seen their values.

    Args:
        outputs: Symbolic tensor `(batch, ..., units)`.
        score: A key of `SCORES`, or a callable.
    """
    operation = behind(outputs.op)
    activation = _OPERATIONS.get(operation.type)
    certain = activation is not None or _is_product(operation)
    values = outputs if activation is None else operation.inputs[0]
    if values.dtype != tf.float64:
        values = tf.cast(values, tf.float32)
    logits = tf.ensure_shape(tf.reshape(values, tf.shape(outputs)), outputs.shape)
    if not certain and score in ("probability", "log_probability"):
        activation = SIGMOID if outputs.shape[-1] == 1 else SOFTMAX
        no, yes = _log(1 - logits), _log(logits)
        logits = yes - no if activation == SIGMOID else yes
    return Head(outputs, logits, activation or LINEAR, certain, operation)


def _log(probability: Tensor) -> Tensor:
    """The logarithm, with a finite value and the gradient 0 where a probability underflowed."""
    return tf.math.log(tf.maximum(probability, probability.dtype.as_numpy_dtype(1e-37)))


def behind(operation: Any) -> Any:
    """The operation that computes the values which casts and reshapes only hand on."""
    while operation.type in _SAME_VALUES:
        operation = operation.inputs[0].op
    return operation


def _is_product(operation: Any) -> bool:
    """Whether an operation is a product with weights, a bias added or an average taken or not."""
    while operation.type in _SUMS | _SAME_VALUES:
        operation = operation.inputs[0].op
    return operation.type in _PRODUCTS


def agrees(head: Head, outputs: Array, logits: Array, score: ScoreFunction) -> bool:
    """Whether computed values bear out what `find_head` read off the graph.

    The activation of the logits must be the output; where no activation was found, and `score` is
    the logit, the outputs must not look like probabilities. Probes whose logits are not finite
    have no say.

    Args:
        head: What was found.
        outputs: The values of `head.outputs`, `(num_probes, units)`.
        logits: The values of `head.logits`, same shape.
        score: As given to `find_head`.
    """
    if score == "output":
        return True  # whatever it is, it is explained as it is
    finite = np.isfinite(logits).all(axis=tuple(range(1, logits.ndim))) | (not head.certain)
    if not finite.any():
        return True  # the graph shows what it is, and there is no value to say otherwise
    outputs, logits = outputs[finite].astype(np.float64), logits[finite].astype(np.float64)
    if head.activation == LINEAR:
        in_range = bool(((outputs >= 0) & (outputs <= 1)).all()) and bool(outputs.any())
        sums_to_one = outputs.shape[-1] > 1 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3)
        looks_like_probabilities = in_range and (sums_to_one or not head.certain)
        return score in ("probability", "log_probability") or not looks_like_probabilities
    is_half = head.operation.outputs[0].dtype in (tf.float16, tf.bfloat16)
    tolerance = 1e-2 if is_half else 1e-4
    relative = tolerance if head.activation == LOG_SOFTMAX else 0
    expected = np.asarray(_ACTIVATIONS[head.activation](logits))
    return np.allclose(expected, outputs, relative, tolerance)


def check_head(head: Head, outputs: Array, logits: Array, score: ScoreFunction) -> None:
    """Raises where `agrees`, which takes the same arguments, says no.

    Raises:
        ValueError: With what was found, and what to do.
    """
    if not agrees(head, outputs, logits, score):
        values = "probabilities" if score in ("probability", "log_probability") else "logits"
        raise ValueError(
            f"score={score_name(score)!r}: expected a model that ends in a softmax, a sigmoid or "
            f"in {values}; its outputs ({outputs.min():.3g} to {outputs.max():.3g}) come from the "
            f"operation {head.operation.name!r} ({head.activation}), and the {values} cannot be "
            "derived from them. Choose one: end the model in logits, or in a Keras softmax or "
            "sigmoid; pass score='logit', 'probability' or 'log_probability', whichever fits the "
            "outputs; pass score='output' to explain the outputs unchanged; or pass a callable "
            "(outputs, targets) -> (num_probes,)."
        )


def logit(head: Head, targets: Tensor) -> Tensor:
    """The logit of the target: the score in front of softmax or sigmoid, in (-inf, inf)."""
    if head.logits.shape[1] == 1:
        return tf.where(targets == 1, head.logits[:, 0], -head.logits[:, 0])
    return tf.gather(head.logits, targets, axis=1, batch_dims=1)


def log_probability(head: Head, targets: Tensor) -> Tensor:
    """The logarithm of the target's probability, in (-inf, 0]: the logit against the others'."""
    if head.activation == SIGMOID or head.logits.shape[1] == 1:
        return tf.math.log_sigmoid(logit(head, targets))
    return tf.gather(tf.nn.log_softmax(head.logits), targets, axis=1, batch_dims=1)


def probability(head: Head, targets: Tensor) -> Tensor:
    """The target's probability, in 0..1. Saturates: its gradient fades as confidence grows.

    Linear outputs are taken as the logits of a softmax, or of a sigmoid where there is one unit.
    """
    if head.activation == SIGMOID or head.logits.shape[1] == 1:
        return tf.nn.sigmoid(logit(head, targets))
    return tf.gather(tf.nn.softmax(head.logits), targets, axis=1, batch_dims=1)


def output(head: Head, targets: Tensor) -> Tensor:
    """The model's output as it is, the unit being the target: a regression's prediction."""
    return tf.gather(head.outputs, targets, axis=1, batch_dims=1)


def segmentation(head: Head, targets: Tensor, *, region: Any = None) -> Tensor:
    """The sum of the target's logits over a region of a model that labels every pixel.

    Args:
        head: With outputs `(batch, height, width, classes)`; one class is a sigmoid's.
        targets: `(batch,)`.
        region: bool `(height, width)` of the output, the same for all; default: each probe's
            pixels in which the target is predicted now. Where there are none, the score is 0 and
            so is the map.

    Raises:
        ValueError: The output has no spatial axes, or `region` has others.

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
        wanted = np.asarray(region)
        if wanted.dtype != np.bool_ or wanted.shape != tuple(spatial) or not wanted.any():
            raise ValueError(
                f"region: expected a bool array of shape {tuple(spatial)}, as the model's output, "
                f"with a pixel that is True, received {wanted.dtype} of shape {wanted.shape}."
            )
        predicted = tf.broadcast_to(tf.constant(wanted), tf.shape(values))
    kept = tf.where(predicted, values, tf.zeros_like(values))
    return tf.reduce_sum(kept, list(range(1, spatial.rank + 1)))


SCORES: dict[str, Callable[..., Tensor]] = {
    "logit": logit,
    "log_probability": log_probability,
    "probability": probability,
    "output": output,
    "segmentation": segmentation,
}
"""The scores known by name: functions of a model's `Head` and targets."""


def known_name(score: ScoreFunction) -> str | None:
    """The key in `SCORES` of a score, or of the function in it that has been given settings.

    `None` for a custom callable.
    """
    function = SCORES.get(score) if isinstance(score, str) else getattr(score, "func", score)
    return next((name for name, one in SCORES.items() if one is function), None)


def known(score: ScoreFunction) -> Callable[..., Tensor] | None:
    """The function of a `Head` that a score is; `None` for a custom callable."""
    if isinstance(score, str):
        return SCORES[score]
    return score if known_name(score) else None


def is_segmentation(score: ScoreFunction) -> bool:
    """Whether a score is of a model that labels every place, and not the input as a whole."""
    return known_name(score) == "segmentation"


def score_name(score: ScoreFunction) -> str:
    """What a score is called in pictures and logs."""
    if isinstance(score, str):
        return score
    function = score.func if isinstance(score, partial) else score
    return getattr(function, "__name__", "own")


def predict(head: Head) -> tuple[Tensor, Tensor]:
    """The predicted class `(batch,)` int64 and its probability `(batch,)` in 0..1.

    -1 and `nan` where the logits are not finite: such a model predicts nothing.
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
