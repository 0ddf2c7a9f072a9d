"""Attribution methods that say little or nothing, by name: what the tests do with bad proposals."""

from __future__ import annotations

import tensorflow as tf

from keras_saliency import attributions
from keras_saliency.attributions import ScoreFn
from keras_saliency.attributions.heads import Tensor


def noise(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """Random numbers in place of a gradient, other ones whenever the scores are others."""
    scores = tf.cast(score_fn(inputs), tf.float32)
    seed = tf.bitcast(tf.stack([tf.reduce_sum(scores), tf.reduce_max(scores)]), tf.int32)
    return tf.random.stateless_uniform(tf.shape(inputs), seed, dtype=inputs.dtype)


def coarse(score_fn: ScoreFn, inputs: Tensor) -> Tensor:
    """The gradient's size averaged over cells of 5 x 5 pixels, as coarse as a late layer."""
    size = tf.abs(attributions.gradient(score_fn, inputs))
    cells = tf.nn.avg_pool2d(size, 5, 5, "SAME")
    wide = tf.repeat(tf.repeat(cells, 5, axis=1), 5, axis=2)
    return wide[:, : inputs.shape[1], : inputs.shape[2]]


METHODS = {"noise": noise, "coarse": coarse}
