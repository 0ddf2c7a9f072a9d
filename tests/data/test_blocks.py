import numpy as np
import pytest

from keras_saliency.data.blocks import thumbnails

RNG = np.random.default_rng(0)
NAN = np.nan


def block_means(values, block):
    """Slow and plain."""
    count, height, width = values.shape[:3]
    rows, columns = -(-height // block), -(-width // block)
    means = np.empty((count, rows, columns, *values.shape[3:]))
    for y in range(rows):
        for x in range(columns):
            part = values[:, y * block : (y + 1) * block, x * block : (x + 1) * block]
            means[:, y, x] = part.astype(np.float64).mean(axis=(1, 2))
    return means


@pytest.mark.parametrize(
    ("shape", "at_most", "block"),
    [
        ((2, 8, 8), 4, 2),
        ((2, 7, 5), 4, 2),
        ((1, 9, 10), 3, 4),
        ((1, 13, 2), 5, 3),
        ((2, 3, 11, 3), 4, 3),
        ((1, 5, 5), 1, 5),
    ],
)
def test_thumbnails_are_block_means(shape, at_most, block):
    values = RNG.random(shape).astype(np.float32)
    found = thumbnails(values, at_most)
    expected = block_means(values, block)
    assert found.shape == expected.shape
    assert max(found.shape[1:3]) <= at_most
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_thumbnails_by_hand():
    values = np.arange(15, dtype=np.float32).reshape(1, 3, 5)
    assert thumbnails(values, 3)[0].tolist() == [[3, 5, 6.5], [10.5, 12.5, 14]]


def test_small_enough_pictures_stay():
    for shape in ((2, 4, 4), (2, 1, 4), (1, 4, 3, 3)):
        values = RNG.integers(0, 256, shape).astype(np.uint8)
        found = thumbnails(values, 4)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, values)


def test_thumbnails_of_integers_do_not_wrap():
    np.testing.assert_array_equal(
        thumbnails(np.full((1, 8, 8, 3), 250, np.uint8), 2), np.full((1, 2, 2, 3), 250)
    )


@pytest.mark.parametrize("block", [2, 16, 17])
def test_thumbnails_of_pictures_are_exact(block):
    """Sums of 16 x 16 levels of 255 are below 2**16, those of 17 x 17 are not."""
    levels = RNG.integers(200, 256, (2, 4 * block, 3 * block - 1, 3)).astype(np.uint8)
    levels[0] = 255
    found = thumbnails(levels, 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, block_means(levels, block).astype(np.float32))


@pytest.mark.parametrize("value", [1e-45, 1e-38, 3e38])
def test_thumbnails_over_the_range_of_float32(value):
    values = np.full((1, 6, 6), value, np.float32)
    np.testing.assert_allclose(
        thumbnails(values, 2), np.full((1, 2, 2), np.float32(value)), rtol=1e-6
    )


def test_thumbnails_keep_nan_in_its_block():
    values = np.ones((1, 4, 4), np.float32)
    values[0, 0, 0] = NAN
    np.testing.assert_array_equal(thumbnails(values, 2), [[[NAN, 1], [1, 1]]])


def test_many_large_pictures_are_averaged_part_by_part():
    """Five of 1,600 x 1,000 pixels: two parts of two, and one of one."""
    pictures = np.random.default_rng(0).random((5, 1600, 1000), np.float32)
    blocks = pictures.reshape(5, 160, 10, 100, 10).mean(axis=(2, 4), dtype=np.float64)
    np.testing.assert_allclose(thumbnails(pictures, 160), blocks, rtol=1e-6)
