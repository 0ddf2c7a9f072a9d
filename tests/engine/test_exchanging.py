import numpy as np
import pytest
import tensorflow as tf

from keras_saliency.detection import edits
from keras_saliency.engine.edits import DESCRIBE, EDITS
from keras_saliency.engine.exchanging import exchanged, exchanged_in_numpy, masks_of, others

RNG = np.random.default_rng(0)
SWAPS = {name: swap for swap, name in edits.NAMES.items() if swap in edits.PARTS}
OF_SERIES = ("offset", "scale")
SWAPPED = np.array([1, 0])


def images(*shape):
    return RNG.random(shape).astype("float32")


@pytest.mark.parametrize("size", [2, 3, 32])
def test_each_image_has_another_one_and_each_is_used_once(size):
    index = others(tf.constant(images(size, 4, 4, 1)), 0).numpy()
    assert sorted(index) == [*range(size)]
    assert (index != np.arange(size)).all()


def test_the_image_of_a_batch_of_one_is_its_own():
    assert others(tf.constant(images(1, 4, 4, 1)), 0).numpy().tolist() == [0]


def test_all_other_images_are_equally_likely():
    counts = np.zeros((4, 4))
    for seed in range(1200):
        counts[np.arange(4), others(tf.constant(images(4, 2, 2, 1)), seed).numpy()] += 1
    expected = 400 * (1 - np.eye(4))
    deviation = (1200 / 3 * 2 / 3) ** 0.5
    assert (abs(counts - expected) <= 4.5 * deviation).all()
    assert (np.diag(counts) == 0).all()


def test_the_draw_depends_on_the_seed_and_the_values_alone():
    batch = images(16, 4, 4, 1)
    first = others(tf.constant(batch), 3).numpy()
    np.testing.assert_array_equal(others(tf.constant(batch), 3).numpy(), first)
    assert (others(tf.constant(batch), 4).numpy() != first).any()
    batch[5, 0, 0, 0] += 0.25
    assert (others(tf.constant(batch), 3).numpy() != first).any()


def test_the_global_generators_are_left_alone():
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    before = tf.random.get_global_generator().state.numpy()
    np.random.seed(1)
    others(tf.constant(images(8, 4, 4, 1)), 0)
    np.testing.assert_array_equal(tf.random.get_global_generator().state.numpy(), before)
    assert np.random.random() == np.random.RandomState(1).random()


@pytest.mark.parametrize("shape", [(5, 20, 20, 1), (4, 17, 24, 3)])
@pytest.mark.parametrize("name", DESCRIBE)
def test_descriptions_are_those_of_numpy(name, shape):
    batch = images(*shape)[:, 0] if name in OF_SERIES else images(*shape)
    batch[0, ..., 0] = 0.5  # a flat channel
    expected = edits.PARTS[SWAPS[name]][0](batch)
    made = DESCRIBE[name](tf.constant(batch))
    assert len(made) == len(expected)
    for ours, theirs in zip(made, expected, strict=True):
        scale = max(1.0, float(np.abs(theirs.astype(float)).max()))
        exact = np.abs(ours.numpy().astype(float) - theirs.astype(float)).max()
        assert exact <= (2e-7 if name == "high_frequency" else 1e-13) * scale


def test_every_edit_of_the_whole_image_is_described():
    assert {*DESCRIBE} == {*SWAPS} == {*EDITS} - {"region"}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", DESCRIBE)
def test_an_exchange_of_the_whole_image_is_the_tests(name, jit_compile):
    shape = (4, 12, 3) if name in OF_SERIES else (4, 9, 12, 3)
    batch, given, index = images(*shape), images(*shape), np.array([2, 0, 3, 1])
    function = tf.function(
        lambda one, *other: exchanged(name, one, index, None, *other), jit_compile=jit_compile
    )
    made = function(tf.constant(batch)).numpy()
    np.testing.assert_allclose(made, SWAPS[name](batch, batch[index]), atol=5e-7, rtol=0)
    made = function(tf.constant(batch), tf.constant(given)).numpy()
    np.testing.assert_allclose(made, SWAPS[name](batch, given[index]), atol=5e-7, rtol=0)


def test_a_region_is_exchanged_where_asked():
    batch = images(2, 4, 5, 3)
    where = np.zeros((1, 4, 5), bool)
    where[:, 1:3, 2] = True
    made = exchanged("region", tf.constant(batch), SWAPPED, tf.constant(where)).numpy()
    np.testing.assert_array_equal(made, edits.swap_region(batch, batch[SWAPPED], where[0]))


def test_integers_are_rounded_and_stay_in_their_range():
    dark, bright = np.full((1, 2, 2, 1), 10, "uint8"), np.full((1, 2, 2, 1), 251, "uint8")
    dark[0, 0, 0], bright[0, 0, 0] = 13, 250
    batch = np.concatenate([dark, bright])
    made = exchanged("tint", tf.constant(batch), SWAPPED, None)
    assert made.dtype == tf.uint8
    floats = batch.astype("float32")
    np.testing.assert_array_equal(made, np.round(edits.swap_tint(floats, floats[SWAPPED])))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_floats_are_computed_in_full(dtype):
    batch = tf.cast(images(2, 6, 6, 1), dtype)
    made = exchanged("tint", batch, SWAPPED, None)
    assert made.dtype == dtype
    full = tf.cast(batch, tf.float32).numpy()
    rounded = tf.cast(edits.swap_tint(full, full[SWAPPED]), dtype)
    np.testing.assert_array_equal(tf.cast(made, tf.float32), tf.cast(rounded, tf.float32))


def test_an_edit_of_a_user_runs_in_numpy():
    def swap_row(recipients, donors, where):
        made = recipients.copy()
        made[:, :1] = donors[:, :1] if where is None else -1
        return made

    batch, donors = images(2, 3, 3, 1), images(2, 3, 3, 1)
    function = tf.function(lambda one, other: exchanged_in_numpy(swap_row, one, other, None))
    made = function(tf.constant(batch), tf.constant(donors))
    np.testing.assert_array_equal(made[:, 0], donors[:, 0])
    np.testing.assert_array_equal(made[:, 1:], batch[:, 1:])
    where = np.ones((1, 3, 3), bool)
    assert (exchanged_in_numpy(swap_row, batch, donors, where).numpy()[:, 0] == -1).all()


def test_masks_come_from_a_function_of_arrays():
    batch = images(2, 3, 4, 2)
    masks = masks_of(lambda values: values[..., 0] > 0.5, tf.constant(batch))
    assert masks.shape == (2, 3, 4)
    np.testing.assert_array_equal(masks.numpy(), batch[..., 0] > 0.5)
