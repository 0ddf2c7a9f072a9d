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

from keras_saliency.attributions.heads import SIGMOID, Head, Tensor
from keras_saliency.data.checks import check_choice, plain_int

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

    -1 and 0 if the logits are not finite: then no class is predicted. (A `nan` here would be an
    error under `tf.debugging.enable_check_numerics`.)
    """
    if head.logits.shape[1] == 1:
        predictions = tf.cast(head.logits[:, 0] > 0, tf.int64)
    else:
        predictions = tf.argmax(head.logits, axis=1)
    is_finite = tf.reduce_all(tf.math.is_finite(head.logits), axis=1)
    confidences = probability(head, predictions)
    return (
        tf.where(is_finite, predictions, tf.constant(-1, tf.int64)),
        tf.where(is_finite, confidences, tf.zeros_like(confidences)),
    )
