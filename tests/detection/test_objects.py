import numpy as np
import pytest

from keras_saliency.detection.objects import AREAS, estimated_mask

SIDE = 40


def ground(seed=0, height=SIDE, width=SIDE, channels=3, spread=0.08):
    """One background: a colour with some texture."""
    generator = np.random.default_rng(seed)
    colour = generator.uniform(0.2, 0.8, channels)
    return colour + generator.normal(0, spread, (height, width, channels))


def disc(top, left, radius, height=SIDE, width=SIDE):
    rows, columns = np.indices((height, width))
    return np.hypot(rows - top, columns - left) < radius


def overlap(found, mask):
    """Intersection over union."""
    return (found & mask).sum() / (found | mask).sum()


# ---------------------------------------------------------------- objects that are found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(40, 40), (33, 52), (64, 64)])
def test_an_object_of_another_colour(seed, size):
    generator = np.random.default_rng(seed)
    image, mask = ground(seed, *size), disc(size[0] * 0.45, size[1] * 0.55, 10, *size)
    image[mask] += generator.choice([-0.6, 0.6], 3)
    assert overlap(estimated_mask(image), mask) > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_an_object_of_another_colour_and_the_same_brightness(seed):
    image, mask = ground(seed), disc(20, 18, 10)
    image[mask] += [0.5, -0.5, 0.0]
    assert overlap(estimated_mask(image), mask) > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_an_object_of_another_texture_and_the_same_colour(seed):
    """Stripes of three columns, which sum to 0 in each window of 3 x 3."""
    image, mask = ground(seed, spread=0.02), disc(20, 18, 10)
    stripes = np.resize([0.4, -0.4, 0.0], (SIDE, SIDE))[..., np.newaxis]
    stripes = np.tile(stripes[:1], (SIDE, 1, 1))
    image[mask] += stripes[mask]
    assert overlap(estimated_mask(image), mask) > 0.7


def test_an_object_before_a_ground_without_any_variation():
    image, mask = np.full((SIDE, SIDE, 1), 0.3), disc(20, 18, 10)
    image[mask] = 0.9
    assert overlap(estimated_mask(image), mask) > 0.75


def test_holes_of_an_object_belong_to_it():
    image, mask = ground(), disc(20, 20, 12)
    image[mask & ~disc(20, 20, 5)] += 0.7
    found = estimated_mask(image)
    assert found[18:23, 18:23].all()
    assert overlap(found, mask) > 0.8


def test_several_objects_and_no_specks():
    """A pixel that stands out is less than a hundredth of the image, with its neighbours, too."""
    size = (80, 80)
    image, mask = ground(0, *size), disc(24, 24, 12, *size) | disc(56, 54, 14, *size)
    image[mask] += 0.7
    image[12, 66] += 9
    found = estimated_mask(image)
    assert found[24, 24]
    assert found[56, 54]
    assert not found[6:18, 60:72].any()


def test_a_mask_does_not_depend_on_brightness_contrast_or_mirroring():
    image = ground()
    image[disc(20, 15, 9)] += 0.6
    mask = estimated_mask(image)
    np.testing.assert_array_equal(estimated_mask(255 * image - 30), mask)
    np.testing.assert_array_equal(estimated_mask(-image), mask)
    np.testing.assert_array_equal(estimated_mask(image[:, ::-1]), mask[:, ::-1])
    np.testing.assert_array_equal(estimated_mask(image.swapaxes(0, 1)), mask.T)
    np.testing.assert_array_equal(estimated_mask(image[..., ::-1]), mask)


# ---------------------------------------------------------------- images without a mask


@pytest.mark.parametrize("seed", range(3))
def test_an_object_that_reaches_the_edge_has_no_mask(seed):
    image = ground(seed)
    image[disc(20, 0, 12)] += 0.7
    assert estimated_mask(image) is None
    image = ground(seed)
    image[12:28] += 0.7  # from edge to edge
    assert estimated_mask(image) is None


OTHER = [1.0, -1.0, 0.5]
"""The difference to another ground."""


@pytest.mark.parametrize("seed", range(3))
def test_what_touches_the_edge_is_not_the_object(seed):
    """A balloon on a string that hangs from the edge: the border hardly knows it."""
    size = (96, 96)
    object_, other = disc(32, 60, 12, *size), disc(68, 24, 14, *size)
    other[66:70, :12] = True
    image = ground(seed, *size)
    image[other] += [0.8, -0.8, 0.0]
    assert estimated_mask(image) is None
    image[object_] += [0.6, 0.6, 0.8]
    found = estimated_mask(image)
    assert overlap(found, object_) > 0.8
    assert not (found & other).any()


@pytest.mark.parametrize("seed", range(3))
def test_a_glow_that_fades_is_not_an_object(seed):
    """Nowhere does it end."""
    rows, columns = np.indices((SIDE, SIDE))
    distance = np.hypot(rows - 20, columns - 20)[..., np.newaxis]
    assert estimated_mask(ground(seed) + 5 / (1 + distance)) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_border_that_is_two_grounds_has_no_mask(seed):
    """Sky and sea alone; and with something of the sea's colour in the sky."""
    for rows in (3, 10, 20):
        image = ground(seed)
        image[-rows:] += OTHER
        assert estimated_mask(image) is None
        image[disc(14, 20, 5)] += OTHER
        assert estimated_mask(image) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_side_that_the_other_sides_do_not_know_is_no_sample(seed):
    """Though there is an object; with more of the second ground in the sample it is found."""
    mask = disc(17, 20, 9)
    for rows, is_found in ((3, False), (20, True)):
        image = ground(seed)
        image[-rows:] += OTHER
        image[mask] += [-0.6, 0.5, 0.5]
        found = estimated_mask(image)
        assert (found is not None) == is_found
        assert not is_found or overlap(found, mask) > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_noise_has_no_mask(seed):
    generator = np.random.default_rng(seed)
    assert estimated_mask(generator.random((SIDE, SIDE, 3))) is None
    assert estimated_mask(generator.normal(size=(SIDE, SIDE, 1))) is None
    assert estimated_mask(ground(seed)) is None


@pytest.mark.parametrize("period", [1, 2, 3, 5])
@pytest.mark.parametrize("offset", [0.0, 0.1, 0.3, 1e3])
def test_stripes_and_chessboards_have_no_mask(period, offset):
    """Their distances from the border are the same everywhere, but for rounding errors."""
    rows, columns = np.indices((16, 16))
    for image in (columns // period % 2, rows // period % 2, (rows // period + columns) % 2):
        assert estimated_mask((image + offset)[..., np.newaxis]) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (1, 9), (2, 30), (3, 3), (3, 50), (5, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_and_flat_images_have_no_mask(size, channels):
    assert estimated_mask(np.full((*size, channels), 0.3)) is None
    if min(size) < 3:
        assert estimated_mask(np.random.default_rng(0).random((*size, channels))) is None


def test_too_small_and_too_large_objects_have_no_mask():
    for radius in (2.2, 19):  # 0.01 and 0.7 of the image
        image, mask = ground(), disc(19.5, 19.5, radius)
        image[mask] += 0.9
        assert not AREAS[0] < mask.mean() < AREAS[1]
        assert estimated_mask(image) is None
