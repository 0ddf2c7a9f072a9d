"""Scores: the scalar of a model's output that is differentiated, one per probe.

The default is the logit, since probabilities saturate: the probability of a confident model hardly
changes, so its gradient vanishes just when the model is most certain. If the model ends in a
softmax or sigmoid, the logits are found in the traced graph. The model itself is not changed.

Shapes: outputs and logits are `(batch, units)`, targets `(batch,)` int, scores `(batch,)`.
One unit means two classes: its logit `z` is the logit of class 1, and `-z` that of class 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.detections import detection
from keras_saliency.attributions.heads import Head, Named, Tensor
from keras_saliency.data.checks import check_choice, checked_output, plain_int

AUTO = "auto"
"""The score that the model and the probes decide about."""

ScoreFunction = str | Callable[..., Tensor]
"""A key of `SCORES`; a `functools.partial` of one of its functions, with settings; or a callable
that maps a model's outputs and `(batch,)` targets to `(batch,)` scores. If it has a third argument,
it also gets the inputs, as the model does."""


@dataclass(frozen=True)
class Score:
    """What is differentiated: a scalar of the model's output, one per probe.

    Args:
        score: `"logit"`, `"log_probability"`, `"probability"`, `"output"` (the model's output
            unchanged, for regression), `"mean"` (of all outputs), `"max_logit"` (the logit of the
            predicted class, averaged over positions), `"segmentation"` (the target's logits, summed
            over pixels), `"detection"` (the target's logit at the prediction that fits each probe's
            box best), or a callable that maps the model's outputs and `(batch,)` targets to
            `(batch,)` scores. If it has a third argument, such as the one of a reconstruction error
            `(outputs, targets, inputs)`, it also gets the inputs, as the model does. `"auto"`
            chooses one of the names: see `keras_saliency.engine.choosing.chosen_score`.
        output: For a model with several outputs: the name or position of the one to explain.
            Default: the one that the targets of the probes belong to (`ProbeSet.output`), if they
            say so.
        position: For outputs `(batch, ..., classes)`, such as one class per time step: the
            position to explain, an integer, or a tuple with one integer per axis.
        model: The part of the trained model to explain, if its `call` is not what is of interest:
            the discriminator of a GAN, the encoder of a VAE, the network behind a text vectorizer.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The name of the score is unknown.

    Example:
        >>> Score("probability", output="species")
        Score(score='probability', output='species', position=None)
    """

    score: ScoreFunction = AUTO
    output: str | int | None = None
    position: int | tuple[int, ...] | None = None
    model: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.score):
            names = (AUTO, *SCORES)
            check_choice("score", self.score, names, alternatives="a callable, or ks.Score(...)")
        elif known_name(self.score) is None:
            takes_inputs(self.score)  # checks its arguments
        object.__setattr__(self, "output", checked_output(self.output))
        position = plain_int(self.position)
        places = position if isinstance(position, tuple) else (position,)
        if position is not None and not all(type(plain_int(place)) is int for place in places):
            raise TypeError(
                f"position: expected an integer or a tuple of integers, received {position!r}. It "
                "selects one position of outputs (batch, ..., classes)."
            )
        object.__setattr__(self, "position", None if position is None else places)

        if self.position is not None and (is_segmentation(self.score) or is_detection(self.score)):
            raise ValueError(
                f"position: expected None with score={known_name(self.score)!r}, which is about "
                f"all positions, received {position!r}."
            )
        if self.model is not None and not hasattr(self.model, "weights"):
            raise TypeError(f"model: expected a keras.Model, received {self.model!r}.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Score:
        """Returns the object itself: a copied model would not be the one that is trained."""
        return self

    @property
    def name(self) -> str:
        """The name of the score in pictures and logs."""
        return score_name(self.score)


def takes_inputs(score: Callable[..., Tensor]) -> bool:
    """Whether a custom score has a third argument, for the inputs.

    Raises:
        TypeError: It can be called neither with outputs and targets nor with inputs, too.
    """
    try:
        signature = inspect.signature(score)
    except (TypeError, ValueError):
        return False
    third = [*signature.parameters.values()][2:3]
    is_named = bool(third) and third[0].name == "inputs" and third[0].kind != third[0].KEYWORD_ONLY
    fits = [_takes(signature, count) for count in (2, 3)]
    if not any(fits):
        raise TypeError(
            "score: expected a callable of (outputs, targets) or (outputs, targets, inputs), "
            f"received one with the arguments {signature}."
        )
    return fits == [False, True] or (fits[1] and is_named)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


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
    if head.is_independent:
        return tf.math.log_sigmoid(logit(head, targets))
    return tf.gather(tf.nn.log_softmax(head.logits), targets, axis=1, batch_dims=1)


def probability(head: Head, targets: Tensor) -> Tensor:
    """The target's probability, in 0..1. It saturates: its gradient vanishes as confidence grows.

    Linear outputs are treated as the logits of a softmax; or of a sigmoid, if there is one unit or
    the loss is a binary cross-entropy.
    """
    if head.is_independent:
        return tf.nn.sigmoid(logit(head, targets))
    return tf.gather(tf.nn.softmax(head.logits), targets, axis=1, batch_dims=1)


def output(head: Head, targets: Tensor) -> Tensor:
    """The model's output unchanged, with the target as its unit: a regression's prediction."""
    return tf.gather(head.outputs, targets, axis=1, batch_dims=1)


def mean(head: Head, targets: Tensor) -> Tensor:
    """The mean of all outputs: of the numbers of a regression, or the pixels of an image.

    Padded positions do not count. It does not depend on the targets.
    """
    return _mean_of_positions(tf.cast(head.outputs, head.logits.dtype), head.mask)


def max_logit(head: Head, targets: Tensor) -> Tensor:
    """The largest logit, averaged over all positions: of the class that is predicted at each.

    Of a single unit, it is the logit of the more probable of both classes. Padded positions do not
    count. It does not depend on the targets.

    Reference:
        Hendrycks et al.: Scaling Out-of-Distribution Detection for Real-World Settings.
        arXiv:1911.11132.
    """
    logits = head.logits
    largest = tf.abs(logits[..., 0]) if logits.shape[-1] == 1 else tf.reduce_max(logits, -1)
    return _mean_of_positions(largest, head.mask)


def _mean_of_positions(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of values `(batch, ...)` over all axes but the first, where the mask is `True`.

    Args:
        values: `(batch, ...)`.
        mask: bool, of the first axes of `values`. `None`: all values count.
    """
    axes = list(range(1, values.shape.rank))
    if mask is None:
        return tf.reduce_mean(values, axes)
    for _ in range(values.shape.rank - mask.shape.rank):
        mask = mask[..., tf.newaxis]
    mask = tf.broadcast_to(mask, tf.shape(values))
    total = tf.reduce_sum(tf.where(mask, values, 0), axes)
    return tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(mask, values.dtype), axes))


def segmentation(
    head: Head, targets: Tensor, *, region: Any = None, masks: Tensor | None = None
) -> Tensor:
    """The sum of the target's logits over a region of a model that labels every pixel.

    Args:
        head: A head with outputs `(batch, height, width, classes)`; one class means a sigmoid.
        targets: `(batch,)`.
        region: bool `(height, width)` of the output, the same for all probes. Default: the mask of
            each probe. Without a mask, all pixels count, each as much as the target is probable
            there: also a class that is predicted nowhere yet has a score.
        masks: bool `(batch, height, width)`, the masks of the probes, of any size.

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
    if head.logits.shape[-1] == 1:
        values = head.logits[..., 0]
        values = tf.where(_per_pixel(targets, spatial.rank) == 1, values, -values)
        weights = tf.nn.sigmoid(values)
    else:
        values = tf.gather(head.logits, targets, axis=-1, batch_dims=1)
        probable = tf.nn.sigmoid if head.is_independent else tf.nn.softmax
        weights = tf.gather(probable(head.logits), targets, axis=-1, batch_dims=1)
    if region is not None:
        mask = np.asarray(region)
        if mask.dtype != np.bool_ or mask.shape != tuple(spatial) or not mask.any():
            raise ValueError(
                f"region: expected a bool array of shape {tuple(spatial)}, like the model's "
                f"output, with a True pixel, received {mask.dtype} of shape {mask.shape}."
            )
        weights = tf.broadcast_to(tf.constant(mask, values.dtype), tf.shape(values))
    elif masks is not None:
        masks = _resized(masks, spatial)
        is_empty = _per_pixel(~tf.reduce_any(masks, range(1, spatial.rank + 1)), spatial.rank)
        weights = tf.where(is_empty, weights, tf.cast(masks, values.dtype))
    return tf.reduce_sum(tf.stop_gradient(weights) * values, list(range(1, spatial.rank + 1)))


def _per_pixel(values: Tensor, rank: int) -> Tensor:
    """Reshapes `(batch,)` to `(batch, 1, ...)`, with `rank` axes of length 1."""
    return tf.reshape(values, [-1, *[1] * rank])


def _resized(masks: Tensor, spatial: Any) -> Tensor:
    """Masks `(batch, ...)` at the nearest positions of an output of another size.

    Raises:
        ValueError: The output has other axes than the masks, and another number of positions.
    """
    if masks.shape.rank - 1 != spatial.rank:
        if masks.shape[1:].num_elements() != spatial.num_elements():
            raise ValueError(
                f"masks: expected masks like the model's output, whose positions are {spatial}, "
                f"received masks of shape {masks.shape[1:]}. Pass probes without masks, or "
                "functools.partial(keras_saliency.attributions.scores.segmentation, region=...)."
            )
        return tf.reshape(masks, [-1, *spatial])
    for axis, new in enumerate(spatial, start=1):
        old = masks.shape[axis]
        if old != new:
            nearest = ((np.arange(new) + 0.5) * old / new).astype(np.int32)
            masks = tf.gather(masks, nearest, axis=axis)
    return masks


SCORES: dict[str, Callable[..., Tensor]] = {
    "logit": logit,
    "log_probability": log_probability,
    "probability": probability,
    "output": output,
    "mean": mean,
    "max_logit": max_logit,
    "segmentation": segmentation,
    "detection": detection,
}
"""The built-in scores by name: functions of a model's `Head` and targets. `detection` is a function
of the model's outputs, since a detector has no `Head`."""


NUMBERS = ("output", "mean")
"""The scores that explain outputs unchanged, as numbers."""

OF_POSITIONS = ("mean", "max_logit", "segmentation")
"""The scores of outputs `(batch, ..., units)` with several positions, such as one per pixel."""


def known_name(score: ScoreFunction) -> str | None:
    """The key in `SCORES` of a score, also if it is a partial of a function in `SCORES`.

    `None` for a custom callable, and for `"auto"`.
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


def is_detection(score: ScoreFunction) -> bool:
    """Whether a score is meant for a detector, and about one box."""
    return known_name(score) == "detection"


def needs_boxes(score: ScoreFunction) -> bool:
    """Whether a score is about the box of each probe."""
    return is_detection(score) and getattr(score, "keywords", {}).get("box") is None


def score_name(score: ScoreFunction) -> str:
    """The name of a score in pictures and logs."""
    if isinstance(score, str):
        return score
    function = score.func if isinstance(score, partial) else score
    return getattr(function, "__name__", "own")


def answers(
    end: Head | Named | None, count: int, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The predicted classes `(count,)` int64 and their probabilities; -1 and 0 if there are none.

    Args:
        end: Of the model; a head of outputs `(batch, ..., units)` predicts no class per probe.
        count: The size of the batch.
        labels: As in `predict`.
    """
    if isinstance(end, Named):
        return end.predictions, end.confidences
    if end is None or end.outputs.shape.rank != 2:
        return tf.fill([count], tf.constant(-1, tf.int64)), tf.zeros([count])
    return predict(end, labels)


def predict(head: Head, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The predicted class `(batch,)` int64 and its probability `(batch,)` in 0..1.

    It is the class with the largest logit. Several units with a sigmoid, or a binary cross-entropy
    as loss, do not exclude each other: there, it is the label, if the label's logit is above 0,
    whatever the other logits are.

    -1 and 0 if the logits are not finite: then no class is predicted. (A `nan` here would be an
    error under `tf.debugging.enable_check_numerics`.)

    Args:
        head: With logits `(batch, units)`.
        labels: `(batch,)` int, the classes that the probes have; `None` without labels.
    """
    if head.logits.shape[1] == 1:
        predictions = tf.cast(head.logits[:, 0] > 0, tf.int64)
    else:
        predictions = tf.argmax(head.logits, axis=1)
        if labels is not None and head.is_independent:
            is_label = tf.one_hot(labels, head.logits.shape[1], True, False)
            is_given = tf.reduce_any(is_label & (head.logits > 0), axis=1)
            predictions = tf.where(is_given, tf.cast(labels, tf.int64), predictions)
    is_finite = tf.reduce_all(tf.math.is_finite(head.logits), axis=1)
    confidences = probability(head, predictions)
    return (
        tf.where(is_finite, predictions, tf.constant(-1, tf.int64)),
        tf.where(is_finite, confidences, tf.zeros_like(confidences)),
    )
