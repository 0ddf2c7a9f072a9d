"""Lookups: which columns of numbers each of them takes, read from the graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_saliency.attributions.lookups import columns_of_lookups, is_learned, lookups

TABLE = np.random.default_rng(0).random((9, 4), "float32")


def columns(model, length=4, batch=3):
    """What is found in a trace of a function of ids `(batch, length)`: the columns, in order."""
    found = []

    @tf.function(autograph=False)
    def run(ids):
        scores = model(ids)
        read = columns_of_lookups(ids, scores)
        found.append(None if read is None else [*read.values()])
        return scores

    run.get_concrete_function(tf.TensorSpec((batch, length), tf.int64))
    return found[0]


def look_up(ids, table=TABLE):
    return tf.reduce_sum(ops.take(table, ids, axis=0))


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        (lambda ids: [ids], [(0, 1, 2, 3)]),
        (lambda ids: [ids[:, 2]], [(2,)]),
        (lambda ids: [ids[:, -1], ids[:, 0:1]], [(3,), (0,)]),
        (lambda ids: [ids[:, 1:3], ids[:, ::-3]], [(1, 2), (3, 0)]),
        (lambda ids: tf.unstack(ids, axis=1)[:2], [(0,), (1,)]),
        (lambda ids: tf.split(ids, [1, 3], axis=1), [(0,), (1, 2, 3)]),
        (lambda ids: [tf.gather(ids, [3, 1], axis=1)], [(3, 1)]),
        (lambda ids: [tf.slice(ids, [0, 1], [-1, 2])], [(1, 2)]),
        (lambda ids: [ops.reshape(ids[:, 1:2], (-1,)) + 3], [(1,)]),
        (lambda ids: [tf.cast(tf.cast(ids[:, :2], tf.float32), tf.int32)], [(0, 1)]),
        (lambda ids: [ids[:, 0] * tf.cast(ids[:, 0] < 9, tf.int64)], [(0,)]),
    ],
)
def test_the_columns_that_lookups_take(take, expected):
    assert columns(lambda ids: sum(map(look_up, take(ids)))) == expected


@pytest.mark.parametrize(
    "model",
    [
        lambda ids: look_up(ids[:, 0]) + tf.cast(ids[0, 1], tf.float32),  # a column as a number
        lambda ids: tf.reduce_sum(tf.cast(ids[:, 1], tf.float32)) + look_up(ids[:, 0]),
        lambda ids: tf.cast(ids[0, 1], tf.float32),
        lambda ids: ops.take(TABLE[:, 0], ids[:, 0], axis=0) + tf.cast(ids[:, 1], tf.float32),
        lambda ids: look_up(ids[:, 0] + ids[:, 1]),  # a number of two columns
        lambda ids: look_up(tf.reverse(ids, [0])),  # rows of other examples
        lambda ids: look_up(ids[1:, 0]),
        lambda ids: look_up(tf.gather(ids, ids[0, :1] % 4, axis=1)),  # a column by its number
        lambda ids: look_up(tf.reshape(ids, [-1, 3])),
    ],
)
def test_what_takes_columns_otherwise_is_not_guessed(model):
    assert columns(model) is None


def test_columns_of_an_unknown_number_of_examples():
    assert columns(lambda ids: look_up(ids[:, 0]), batch=None) is None


def test_masks_and_shapes_are_no_other_use_of_a_column():
    def model(ids):
        is_there = tf.cast(ids[:, 1:] > 0, tf.float32)
        return look_up(ids[:, 0]) * tf.reduce_sum(is_there) / tf.cast(tf.shape(ids)[0], tf.float32)

    assert columns(model) == [(0,)]


def test_tables_that_are_learned():
    dense = keras.layers.Dense(4)
    weights = tf.Variable(TABLE)
    found = {}

    @tf.function(autograph=False)
    def run(ids):
        tables = {
            "a variable": tf.gather(weights, ids),
            "a weight": ops.take(dense.kernel, ids, axis=0),
            "a constant": ops.take(TABLE, ids, axis=0),
            "computed": ops.take(dense(tf.constant(TABLE)), ids, axis=0),
        }
        for name, rows in tables.items():
            (one,) = (each for each in lookups(ids) if each is rows.op)
            found[name] = is_learned(one)
        return tf.add_n([tf.reduce_sum(rows) for rows in tables.values()])

    dense.build((None, 4))
    run.get_concrete_function(tf.TensorSpec((3,), tf.int64))
    assert found == {"a variable": True, "a weight": True, "a constant": False, "computed": False}
