"""Where tokens lie: what the graph shows against what the values do if a patch is changed."""

import numpy as np
import pytest
import tensorflow as tf

from keras_saliency.attributions.differentiation import ModelScore
from keras_saliency.attributions.tokens import TokenPlaces

SHAPE = (2, 8, 12, 3)
"""Images: with patches of 2 by 2, a grid of 4 by 6."""

RNG = np.random.default_rng(0)
KERNEL = tf.constant(RNG.normal(size=(2, 2, 3, 5)), tf.float32)
SQUARE = tf.constant(RNG.normal(size=(5, 5)), tf.float32)


def patches(images):
    return tf.nn.conv2d(images, KERNEL, 2, "VALID")


def tokens(images):
    return tf.reshape(patches(images), (2, 24, 5))


def with_prefix(images, count=1):
    return tf.concat([tf.ones((2, count, 5)), tokens(images)], axis=1)


def by_reshapes(images):
    """Patches without a convolution: `(batch, rows, 2, columns, 2, channels)`, transposed."""
    parts = tf.reshape(images, (2, 4, 2, 6, 2, 3))
    return tf.reshape(tf.transpose(parts, (0, 1, 3, 2, 4, 5)), (2, 24, 12))


def channels_first(images):
    """As where convolutions have their channels in front."""
    front = tf.transpose(patches(images), (0, 3, 1, 2))
    return tf.transpose(tf.reshape(front, (2, 5, 24)), (0, 2, 1))


def registers(images):
    """As in DINOv2: registers between the class token and the patches, which come later."""
    values = with_prefix(images)
    return tf.concat([values[:, :1], tf.zeros((2, 4, 5)), values[:, 1:]], axis=1)


def by_heads(images):
    """The order of attention, and back: `(batch, heads, tokens, channels)`."""
    heads = tf.reshape(with_prefix(images, 2), (2, 26, 5, 1))
    heads = tf.transpose(heads, (0, 2, 1, 3)) * 2
    return tf.reshape(tf.transpose(heads, (0, 2, 1, 3)), (2, 26, 5))


def merged(images):
    """Patch merging, as in a Swin transformer: a grid of 2 by 3."""
    grid = tf.reshape(tokens(images), (2, 4, 6, 5))
    parts = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return tf.reshape(tf.concat(parts, axis=-1), (2, 6, 20))


def pooled(images):
    return tf.reshape(tf.nn.max_pool2d(patches(images), 2, 2, "VALID"), (2, 6, 5))


def flat_products(images):
    values = tf.reshape(with_prefix(images), (50, 5)) @ SQUARE
    return tf.nn.gelu(tf.reshape(values, (2, 25, 5)))


KNOWN = {
    "convolution": (tokens, (4, 6, 0)),
    "prefix": (with_prefix, (4, 6, 1)),
    "without the prefix": (lambda x: with_prefix(x, 3)[:, 2:], (4, 6, 1)),
    "only the grid": (lambda x: with_prefix(x, 3)[:, 3:], (4, 6, 0)),
    "an axis more": (lambda x: with_prefix(x)[:, tf.newaxis, ..., :][:, 0], (4, 6, 1)),
    "reshapes": (by_reshapes, (4, 6, 0)),
    "extracted": (
        lambda x: tf.reshape(
            tf.image.extract_patches(x, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID"),
            (2, 24, 12),
        ),
        (4, 6, 0),
    ),
    "channels first": (channels_first, (4, 6, 0)),
    "registers": (registers, (4, 6, 5)),
    "suffix": (lambda x: tf.concat([tokens(x), tf.ones((2, 3, 5))], 1), (4, 6, 0)),
    "heads": (by_heads, (4, 6, 2)),
    "merged": (merged, (2, 3, 0)),
    "pooled": (pooled, (2, 3, 0)),
    "every second column": (lambda x: tokens(x)[:, ::2], (4, 3, 0)),
    "products": (flat_products, (4, 6, 1)),
    "einsum": (lambda x: tf.einsum("btc,cd->btd", with_prefix(x), SQUARE), (4, 6, 1)),
    "einsum that transposes": (
        lambda x: tf.einsum("cbt,cd->btd", tf.transpose(with_prefix(x), (2, 0, 1)), SQUARE),
        (4, 6, 1),
    ),
    "gathered": (lambda x: tf.gather(with_prefix(x, 2), range(1, 26), axis=1), (4, 6, 1)),
    "split": (lambda x: tf.split(with_prefix(x), [1, 24], axis=1)[1], (4, 6, 0)),
    "slice": (lambda x: tf.slice(with_prefix(x), (0, 1, 0), (-1, -1, -1)), (4, 6, 0)),
    "normalized": (
        lambda x: with_prefix(x) - tf.reduce_mean(with_prefix(x), axis=-1, keepdims=True),
        (4, 6, 1),
    ),
    "sum of a known and an unknown order": (
        lambda x: tokens(x) + tf.reverse(tokens(x), [1]) * 1e-9,
        (4, 6, 0),
    ),
    "resized": (
        lambda x: tf.reshape(tf.image.resize(patches(x), (2, 3), "nearest"), (2, 6, 5)),
        (2, 3, 0),
    ),
}


def windows(images):
    """A list of windows of 2 by 2 tokens: `(batch, 6 * 4, channels)`, as many tokens as before."""
    parts = tf.reshape(patches(images), (2, 2, 2, 3, 2, 5))
    return tf.reshape(tf.transpose(parts, (0, 1, 3, 2, 4, 5)), (2, 24, 5))


LOST = {
    "windows": windows,
    "reversed": lambda x: tf.reverse(tokens(x), [1]),
    "rolled": lambda x: tf.roll(tokens(x), 1, 1),
    "strided backwards": lambda x: tokens(x)[:, ::-1],
    "shuffled": lambda x: tf.gather(tokens(x), np.roll(range(24), 1), axis=1),
    "a part": lambda x: tokens(x)[:, 3:],
    "every fifth token": lambda x: tokens(x)[:, ::5],
    "columns first": lambda x: tf.reshape(tf.transpose(patches(x), (0, 2, 1, 3)), (2, 24, 5)),
    "a spectrum": lambda x: tf.math.real(tf.signal.fft(tf.cast(tokens(x), tf.complex64))),
    "two images": lambda x: tf.concat([tokens(x), tokens(x)], axis=1),
    "mixed along the tokens": lambda x: tf.einsum("btc,ts->bsc", tokens(x), tf.ones((24, 24))),
    "a product with the tokens": lambda x: tf.matmul(tf.ones((2, 24, 24)), tokens(x)),
    "transposed of equal size": lambda x: tf.transpose(
        tf.matmul(tokens(x), tf.ones((5, 24))), (0, 2, 1)
    ),
    "a mean over the tokens": lambda x: tf.reduce_mean(
        tf.matmul(tokens(x), tf.ones((5, 24))), axis=1
    )[..., tf.newaxis],
    "cropped": lambda x: tf.reshape(patches(x)[:, :2], (2, 12, 5)),
}


def places(pipeline):
    """What the graph shows of a pipeline's output: height, width, first; `None` if it is lost."""
    found = {}

    @tf.function(autograph=False)
    def traced(images):
        def forward(inputs):
            found["output"] = pipeline(inputs)
            return tf.reduce_sum(found["output"], axis=[1, 2]), []

        score_fn = ModelScore(forward)
        score_fn(images)
        found["places"] = TokenPlaces(score_fn, images).of_tokens(found["output"])
        return images

    traced.get_concrete_function(tf.TensorSpec(SHAPE))
    return found["places"] and (
        found["places"].height,
        found["places"].width,
        found["places"].first,
    )


@pytest.mark.parametrize("name", KNOWN)
def test_a_changed_patch_changes_the_token_at_its_place_and_no_other(name):
    pipeline, expected = KNOWN[name]
    assert places(pipeline) == expected
    height, width, first = expected
    images = RNG.normal(size=SHAPE).astype(np.float32)
    before = np.asarray(pipeline(tf.constant(images)))
    rows, columns = SHAPE[1] // height, SHAPE[2] // width
    for row in range(height):
        for column in range(width):
            changed = images.copy()
            changed[1, row * rows : (row + 1) * rows, column * columns :][:, :columns] += 5
            after = np.asarray(pipeline(tf.constant(changed)))
            moved = np.argwhere((abs(after - before) > 1e-3).any(axis=-1))
            np.testing.assert_array_equal(moved, [[1, first + row * width + column]])


@pytest.mark.parametrize("name", LOST)
def test_an_order_that_is_not_known_is_not_guessed(name):
    assert places(LOST[name]) is None


def read(pipeline, rest):
    """Whether a pipeline's output is read by what follows, and collects all that is read."""
    found = {}

    @tf.function(autograph=False)
    def traced(images):
        def forward(inputs):
            found["output"] = pipeline(inputs)
            return rest(found["output"]), []

        score_fn = ModelScore(forward)
        score_fn(images)
        tokens = TokenPlaces(score_fn, images)
        found["answers"] = tokens.is_read(found["output"]), tokens.collects(found["output"])
        gradient = tf.gradients(score_fn(images), images)[0]
        return tf.zeros_like(images) if gradient is None else gradient

    slopes = traced(tf.constant(RNG.normal(size=SHAPE), tf.float32)).numpy()
    return found["answers"], bool(slopes.any())


def attended(values):
    weights = tf.nn.softmax(tf.matmul(values, values, transpose_b=True))
    return tf.matmul(weights, values)


RESTS = {
    "mean": (lambda v: tf.reduce_mean(v, [1, 2]), True),
    "class token": (lambda v: tf.reduce_sum(tf.nn.gelu(v)[:, 0], -1), False),
    "class token by split": (lambda v: tf.reduce_sum(tf.split(v, [2, 24], 1)[0], [1, 2]), False),
    "class token by gather": (lambda v: tf.reduce_sum(tf.gather(v, 1, axis=1), -1), False),
    "class token after attention": (lambda v: tf.reduce_sum(attended(v)[:, 0], -1), True),
    "one token of the grid": (lambda v: tf.reduce_sum(v[:, 2], -1), True),
    "sizes": (lambda v: tf.reduce_sum(v[:, 0] * tf.cast(tf.shape(v)[1], v.dtype), -1), False),
    "stopped": (
        lambda v: tf.reduce_sum(v[:, 0], -1) + tf.reduce_sum(tf.stop_gradient(v), [1, 2]),
        False,
    ),
}


@pytest.mark.parametrize("name", RESTS)
def test_tokens_are_read_if_the_image_has_a_gradient(name):
    """By way of these tokens alone: the prefix does not depend on the image."""
    rest, expected = RESTS[name]
    answers, has_gradient = read(lambda x: with_prefix(x, 2), rest)
    assert answers == (expected, expected)
    assert has_gradient == expected


def test_tokens_that_are_read_beside_others_do_not_collect_all():
    beside = {}

    def pipeline(images):
        beside["tokens"] = tokens(images)
        return tf.nn.relu(beside["tokens"])

    def rest(values):
        return tf.reduce_sum(values, [1, 2]) + tf.reduce_max(beside["tokens"], [1, 2])

    assert read(pipeline, rest)[0] == (True, False)
