"""The score of one box of a detector, for models that predict many boxes at once, and its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import LINEAR, SIGMOID, SOFTMAX, Named, Tensor, find_head
from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array

BOX_FORMATS = {"xyxy": "left, top, right, bottom", "yxyx": "top, left, bottom, right"}
BOX_FORMATS |= {"xywh": "left, top, width, height", "center_xywh": "centre x, y, width, height"}
"""The names that Keras gives to the order of a box's four numbers."""

_ACTIVATIONS = {SIGMOID: tf.nn.sigmoid, SOFTMAX: tf.nn.softmax, LINEAR: tf.identity}
_PARTS = ("class", "similarity")

MATCH = 0.5
"""The smallest intersection over union with which a prediction counts as one of this object."""


def detection(
    outputs: Any,
    targets: Tensor,
    *,
    box: Sequence[float] | None = None,
    boxes: Tensor | None = None,
    part: str = "class",
    box_format: str = "xyxy",
    decode: Callable[[Any], tuple[Tensor, Tensor]] | None = None,
    activation: str | None = None,
) -> Tensor:
    """The score of the prediction that matches one box and the target's class best.

    As in D-RISE, the similarity of a prediction is its intersection over union with the box, times
    the probability that it gives to the class. D-RISE covers parts of the image and watches the
    largest similarity; here, one gradient answers. By default it is that of the class's logit at
    the most similar prediction: a similarity near 1 has hardly a gradient, as any probability.

    With `score="detection"`, or `functools.partial(detection, decode=...)`, each probe has the box
    of `ProbeSet(boxes=...)`; with `box`, all probes have the same one. It may be one that the model
    predicts ("why here?") or one that it should predict. Suppression of overlapping boxes is not
    needed, since only the most similar prediction counts.

    Args:
        outputs: The model's outputs: a dict with `"boxes"` `(batch, ..., 4)`, decoded, and
            `"classes"` `(batch, ..., classes)`; or whatever `decode` takes.
        targets: `(batch,)`, the class of the object in the box.
        box: Four numbers, in the unit of the predicted boxes (pixels, or shares of the image).
        boxes: Without `box`: `(batch, 4)`, left, top, right, bottom, in pixels, as a `ProbeSet` has
            them. Boxes that are predicted in another unit have to be made pixels by `decode`.
        part: `"class"`, the logit of the target; or `"similarity"`, in 0..1, of which the gradient
            also goes through the four edges. A similarity has its maximum at a box that the model
            predicts, so its gradient means most for boxes that are a little off. It is 0 if no
            prediction overlaps the box.
        box_format: The order of the four numbers, of `box` and of the predictions (not of `boxes`):
            `"xyxy"`, `"yxyx"`, `"xywh"` or `"center_xywh"`.
        decode: A function `outputs -> (boxes, classes)`, for models with other outputs.
        activation: What makes probabilities of the classes: `"sigmoid"`, `"softmax"`, or
            `"linear"` if they are probabilities. Default: the classes end in a sigmoid or softmax,
            which the graph shows.

    Returns:
        `(batch,)`, float32.

    Raises:
        TypeError: The outputs are not a dict with `"boxes"` and `"classes"`, without `decode`.
        ValueError: The box is missing, or not four finite numbers with a positive width and
            height; a name is unknown, the shapes do not fit, or the graph shows no activation.

    Example:
        >>> boxes = tf.constant([[[0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 6.0, 4.0]]])
        >>> outputs = {"boxes": boxes, "classes": tf.constant([[[0.0, -1.0], [2.0, 3.0]]])}
        >>> settings = {"box": (0, 0, 4, 4), "activation": "sigmoid"}
        >>> detection(outputs, tf.constant([0]), **settings).numpy()  # 1 x 0.5, not 1/3 x 0.88
        array([0.], dtype=float32)
        >>> detection(outputs, tf.constant([0]), part="similarity", **settings).numpy()
        array([0.5], dtype=float32)

    Reference:
        Petsiuk, Jain, Manjunatha, Morariu, Mehra, Ordonez, Saenko: Black-box Explanation of Object
        Detectors via Saliency Maps. arXiv:2006.03204.
    """
    return detected(
        outputs,
        targets,
        box=box,
        boxes=boxes,
        part=part,
        box_format=box_format,
        decode=decode,
        activation=activation,
    )[0]


def detected(
    outputs: Any,
    targets: Tensor,
    *,
    box: Sequence[float] | None = None,
    boxes: Tensor | None = None,
    part: str = "class",
    box_format: str = "xyxy",
    decode: Callable[[Any], tuple[Tensor, Tensor]] | None = None,
    activation: str | None = None,
) -> tuple[Tensor, Named]:
    """The score `detection`, with the same arguments, and the class that the model names there.

    The class is that of the prediction and class with the largest similarity, among the predictions
    whose intersection over union with the box is at least `MATCH`; its confidence is the
    probability there. Without such a prediction, no class is named.
    """
    check_choice("part", part, _PARTS)
    check_choice("box_format", box_format, BOX_FORMATS)
    if box is None and boxes is None:
        raise ValueError(
            "score='detection': expected a box for each probe, or one for all, received none. Pass "
            "ProbeSet(images, targets, boxes=...), with left, top, right, bottom in pixels, or "
            "score=functools.partial(detection, box=(...))."
        )
    predicted, classes = (decode or _by_name)(outputs)
    logits, probabilities = _of_classes(classes, activation)
    shapes = tuple(predicted.shape), tuple(probabilities.shape)
    if shapes[0][-1:] != (4,) or shapes[0][:-1] != shapes[1][:-1] or len(shapes[0]) < 3:
        raise ValueError(
            "outputs: expected boxes (batch, ..., 4) and classes (batch, ..., classes), received "
            f"shapes {shapes[0]} and {shapes[1]}."
        )
    if box is not None:
        boxes = tf.constant(_checked(box, box_format))[tf.newaxis]
    corners = _corners(_listed(tf.cast(predicted, tf.float32)), box_format)
    overlap = _overlap(corners, tf.expand_dims(boxes, 1))
    similarity = overlap * _of_target(probabilities, targets)
    named = _named(overlap, _listed(probabilities))
    if part == "similarity":
        return tf.reduce_max(similarity, axis=1), named
    best = tf.argmax(similarity, axis=1)
    return tf.gather(_of_target(logits, targets), best, axis=1, batch_dims=1), named


def _named(overlap: Tensor, probabilities: Tensor) -> Named:
    """The class of the box, from overlaps `(batch, predictions)` and `(..., classes)`."""
    num_classes = probabilities.shape[-1]
    is_match = overlap >= MATCH
    matching = tf.where(is_match, overlap, 0)[..., tf.newaxis] * probabilities
    best = tf.argmax(tf.reshape(matching, [-1, np.prod(matching.shape[1:])]), axis=1)
    place, predictions = best // num_classes, best % num_classes
    confidences = tf.gather_nd(probabilities, tf.stack([place, predictions], 1), batch_dims=1)
    is_found = tf.reduce_any(is_match, axis=1) & tf.math.is_finite(confidences)
    return Named(
        tf.where(is_found, predictions, tf.constant(-1, tf.int64)),
        tf.where(is_found, confidences, tf.zeros_like(confidences)),
        num_classes,
    )


def _by_name(outputs: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(outputs, Mapping) or not {"boxes", "classes"} <= {*outputs}:
        keys = list(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise TypeError(
            "outputs: expected a dict with 'boxes' and 'classes', received "
            f"{keys}. Pass decode=..., a function outputs -> (boxes, classes)."
        )
    return outputs["boxes"], outputs["classes"]


def _of_classes(classes: Tensor, activation: str | None) -> tuple[Tensor, Tensor]:
    """The logits of classes and their probabilities, float32."""
    if activation is None:
        head = find_head(classes)
        if not head.is_found or head.activation not in (SIGMOID, SOFTMAX):
            raise ValueError(
                "activation: expected classes that end in a sigmoid or softmax, found the "
                f"operation {head.operation.name!r}. Pass activation='sigmoid' or 'softmax' if "
                "they are logits, 'linear' if they are probabilities."
            )
        return tf.cast(head.logits, tf.float32), tf.cast(classes, tf.float32)
    check_choice("activation", activation, _ACTIVATIONS)
    values = tf.cast(classes, tf.float32)
    if activation == LINEAR:
        return tf.math.log(tf.maximum(values, 1e-37)) - tf.math.log1p(-values), values
    return values, _ACTIVATIONS[activation](values)


def _listed(values: Tensor) -> Tensor:
    """Values `(batch, ..., last)` as `(batch, predictions, last)`."""
    _, *places, last = values.shape
    return tf.reshape(values, [-1, int(np.prod(places)), last])


def _of_target(values: Tensor, targets: Tensor) -> Tensor:
    """Of values `(batch, ..., classes)` those of the target, `(batch, predictions)`."""
    return tf.gather(tf.transpose(_listed(values), [0, 2, 1]), targets, axis=1, batch_dims=1)


def _checked(box: Sequence[float], box_format: str) -> Array:
    """The box as left, top, right, bottom, float32."""
    numbers = np.asarray(box, np.float32)
    is_box = numbers.shape == (4,) and np.isfinite(numbers).all()
    corners = np.asarray(_corners(numbers, box_format)) if is_box else numbers
    if not is_box or (corners[2:] <= corners[:2]).any():
        raise ValueError(
            f"box: expected {BOX_FORMATS[box_format]}, with a positive width and height, received "
            f"{box!r}."
        )
    return corners


def _corners(boxes: Any, box_format: str) -> Any:
    """Boxes `(..., 4)` as left, top, right, bottom."""
    if box_format == "xyxy":
        return boxes
    first, second = boxes[..., :2], boxes[..., 2:]
    if box_format == "yxyx":
        return tf.concat([first[..., ::-1], second[..., ::-1]], -1)
    low = first - second / 2 if box_format == "center_xywh" else first
    return tf.concat([low, low + second], -1)


def _overlap(boxes: Tensor, box: Tensor) -> Tensor:
    """The intersection over union of boxes `(batch, predictions, 4)` with `(batch or 1, 1, 4)`.

    All boxes are left, top, right, bottom.
    """
    low = tf.maximum(boxes[..., :2], box[..., :2])
    high = tf.minimum(boxes[..., 2:], box[..., 2:])
    shared = tf.reduce_prod(tf.nn.relu(high - low), axis=-1)
    areas = tf.reduce_prod(tf.nn.relu(boxes[..., 2:] - boxes[..., :2]), axis=-1)
    return shared / (areas + tf.reduce_prod(box[..., 2:] - box[..., :2], axis=-1) - shared)
