"""Exchanges within a batch: each image gets one thing of another image of its batch.

They use the edits of the tests, in a graph that also runs in `tf.data`, in `fit`, and under XLA.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.reports import Array
from keras_saliency.engine.edits import DESCRIBE, EDITS

NUM_BACKGROUNDS = 4
"""From how many other images of the batch an image gets its background."""


def others(inputs: Tensor, seed: int) -> Tensor:
    """For each row of a batch the index of another row; of a batch of one, its own.

    All other rows are equally likely, so that the class of the other one does not depend on the
    class of the row. The draw depends on the seed and the values of the batch alone.

    Args:
        inputs: `(batch_size, ...)`.
        seed: An integer from 0 on.

    Returns:
        int32 `(batch_size,)`.
    """
    values = tf.cast(inputs, tf.float32) if inputs.dtype.is_floating else tf.cast(inputs, tf.int32)
    digest = tf.reduce_sum(tf.bitcast(values, tf.int32))
    size = tf.shape(inputs)[:1]
    order = tf.argsort(tf.random.stateless_uniform(size, tf.stack([seed, digest])), stable=True)
    return tf.gather(tf.roll(order, 1, 0), tf.argsort(order))


def exchanged(
    edit: str, images: Tensor, index: Tensor, where: Tensor | None, given: Tensor | None = None
) -> Tensor:
    """The images with one thing of other images, of the same dtype.

    Args:
        edit: The name of an edit, a key of `EDITS`.
        images: `(batch_size, ...)`, numbers of any type; integers are rounded.
        index: For each image, that of the other one.
        where: As `EDITS` has it; `None` for edits of the whole image.
        given: What the other images are taken from; default: `images`.
    """
    given = images if given is None else given
    is_exact = images.dtype in (tf.float32, tf.float64) or edit not in DESCRIBE
    ours, theirs = (x if is_exact else tf.cast(x, tf.float32) for x in (images, given))
    describe = DESCRIBE.get(edit, lambda images: ())
    described = describe(ours)  # once for each image: every other one is one of them, too
    others = described if images is given else describe(theirs)
    others = tuple(tf.gather(values, index) for values in others)
    made = EDITS[edit](ours, tf.gather(theirs, index), described, others, where)
    if made.dtype == images.dtype:
        return made
    return tf.saturate_cast(tf.round(made) if images.dtype.is_integer else made, images.dtype)


def with_other_backgrounds(images: Tensor, objects: Tensor, index: Tensor) -> Tensor:
    """The images, each with its objects and nothing of its own background.

    Where the other image has its object, the background comes from the other one's other, and so
    on. What is still left gets the mean colour of the other image's background.

    Args:
        images: `(batch_size, height, width, channels)`, or volumes.
        objects: bool, the same axes without the channels.
        index: As returned by `others`.
    """
    made, is_left, donors, own = images, ~objects, index, tf.range(tf.shape(index)[0])
    for _ in range(NUM_BACKGROUNDS):
        is_other = tf.reshape(donors != own, [-1, *[1] * (images.shape.rank - 2)])
        is_found = is_left & is_other & ~tf.gather(objects, donors)
        made = tf.where(is_found[..., tf.newaxis], tf.gather(images, donors), made)
        is_left, donors = is_left & ~is_found, tf.gather(index, donors)
    is_outside = tf.cast(~objects, tf.float32)[..., tf.newaxis]
    axes = list(range(1, images.shape.rank - 1))
    sums = tf.reduce_sum(tf.cast(images, tf.float32) * is_outside, axes, keepdims=True)
    means = sums / tf.maximum(tf.reduce_sum(is_outside, axes, keepdims=True), 1)
    if images.dtype.is_integer:
        means = tf.round(means)
    colours = tf.cast(tf.gather(means, index), images.dtype)
    is_left &= tf.size(index) > 1  # an image alone stays as it is
    return tf.where(is_left[..., tf.newaxis], colours, made)


def exchanged_in_numpy(
    edit: Callable[[Array, Array, Array | None], Array],
    images: Tensor,
    donors: Tensor,
    where: Tensor | None,
) -> Tensor:
    """As `exchanged`, by a function `(images, donors, where) -> images` of NumPy arrays."""
    arrays = [images, donors] if where is None else [images, donors, tf.convert_to_tensor(where)]

    def made(images: Array, donors: Array, where: Array | None = None) -> Array:
        return np.asarray(edit(images, donors, where), images.dtype)

    result = tf.numpy_function(made, arrays, images.dtype)
    result.set_shape(images.shape)
    return result


def masks_of(function: Callable[[Array], Array], images: Tensor) -> Tensor:
    """What a NumPy function finds in images: bool `(batch_size, height, width)`.

    Args:
        function: From images to such masks.
        images: `(batch_size, height, width, channels)`.
    """
    masks = tf.numpy_function(lambda values: np.asarray(function(values), bool), [images], tf.bool)
    masks.set_shape(images.shape[:3])
    return masks
