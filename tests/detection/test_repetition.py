import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from keras_saliency.data.reports import Window
from keras_saliency.detection.repetition import (
    EXACT,
    FEWEST,
    NEAR_OWN,
    RARE,
    SHARE,
    SHARP,
    bounding_window,
    repeated_place,
    repeated_shares,
)

SIDE, COUNT = 24, 36
TARGETS = np.arange(COUNT) % 3
STAMP = Window(4, 15, 6, 5)
ROWS, COLUMNS = slice(4, 10), slice(15, 20)


def noise(seed=0, count=COUNT, side=SIDE, channels=1):
    return np.random.default_rng(seed).random((count, side, side, channels))


def grey(level=0.1, seed=0, count=COUNT):
    """Moderate noise around 0.5."""
    return np.random.default_rng(seed).normal(0.5, level, (count, SIDE, SIDE, 1))


def smooth(level=0.0, seed=0):
    """Slopes of other directions and heights, with a little noise or none."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE)) / SIDE - 0.5
    down, right, mean = generator.uniform((-0.5, -0.5, 0.3), (0.5, 0.5, 0.7), (COUNT, 3)).T
    slopes = mean + down * rows[..., np.newaxis] + right * columns[..., np.newaxis]
    images = np.moveaxis(slopes, -1, 0)[..., np.newaxis]
    return images + generator.normal(0, level, images.shape)


def stamped(pattern, target=1, seed=0, channels=1, background=None):
    """Noise with the same pattern in each image of a class."""
    images = noise(seed, channels=channels) if background is None else background
    images[target == TARGETS, ROWS, COLUMNS] = pattern
    return images


def drawn(channels=1):
    return np.random.default_rng(9).random((6, 5, channels))


def extent(place, window, margin):
    """Whether a place holds a window, and nothing that is further away than a margin."""
    top, left, height, width = window
    near = np.zeros(place.shape, bool)
    near[
        max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin
    ] = True
    within = place[top : top + height, left : left + width]
    return bool(within.all()), not (place & ~near).any()


# ---------------------------------------------------------------- what repeats


@pytest.mark.parametrize("channels", [1, 3])
def test_a_stamp_is_found_with_its_extent(channels):
    shares = repeated_shares(stamped(drawn(channels), channels=channels), TARGETS)
    assert shares.shape == (3, SIDE, SIDE)
    np.testing.assert_array_equal(shares[1, 5:9, 16:19], 1)  # a window of 3 x 3 is all stamp
    far = np.ones((SIDE, SIDE), bool)
    far[2:12, 13:22] = False
    assert shares[:, far].max() < SHARE
    assert shares[[0, 2]].max() < SHARE
    place = repeated_place(shares)
    assert extent(place, STAMP, margin=2) == (True, True)
    top, left, height, width = bounding_window(place)
    assert (STAMP.top - top, STAMP.left - left) in [(1, 1), (2, 2), (1, 2), (2, 1)]
    assert height - STAMP.height in (2, 3, 4)
    assert width - STAMP.width in (2, 3, 4)


@pytest.mark.parametrize(
    ("value", "is_found"), [(0.0, True), (0.2, True), (0.5, False), (0.8, True), (1.0, True)]
)
def test_a_flat_sticker_is_found_with_its_extent_if_its_value_is_rare(value, is_found):
    """It has no contrast, but it ends at the same pixels in all images.

    If most of the image has the same value, it is not a sticker.
    """
    images = stamped(value, background=grey())
    place = repeated_place(repeated_shares(images, TARGETS))
    if is_found:
        assert extent(place, STAMP, margin=2) == (True, True)
    else:
        assert not place.any()


def test_a_value_is_rare_up_to_a_quarter_of_the_image():
    """A black corner in all images of a class, on a grey ground without noise."""
    assert RARE == 0.25
    for height, is_found in ((12, True), (13, False)):  # of 24 rows, each half as wide
        images = grey(0.05)
        images[TARGETS == 1, :height, :12] = 0
        place = repeated_place(repeated_shares(images, TARGETS))
        # Its edges have contrast, so that they are patterns.
        assert place[1 : height - 2, 1:10].all() == is_found


@pytest.mark.parametrize("background", ["white noise", "grey"])
def test_a_share_is_that_of_the_images_of_the_class(background):
    """An image counts if half of the others are equal to it: so more than half of all have to be.

    Of 12 images: six of the other eleven are needed, so the seventh makes the difference.
    """
    assert (SHARE, NEAR_OWN) == (0.5, 0.5)
    for carriers, share in ((12, 1), (9, 9 / 12), (7, 7 / 12), (6, 0), (3, 0)):
        images = noise() if background == "white noise" else grey()
        images[np.flatnonzero(TARGETS == 1)[:carriers], ROWS, COLUMNS] = drawn()
        shares = repeated_shares(images, TARGETS)
        np.testing.assert_allclose(shares[1, 5:9, 16:19], share)
        place = repeated_place(shares)
        if share:  # at its edges there is less in common
            assert extent(place, Window(5, 16, 4, 3), margin=3) == (True, True)
        else:
            assert not place.any()


def test_a_flat_patch_in_part_of_the_images_is_no_sticker():
    """It has nothing but its edges to tell it from overexposure: four fifths have to have it."""
    assert SHARP == (0.8, 0.2)
    for carriers, is_found in ((12, True), (10, True), (9, False), (6, False)):
        images = grey()
        images[np.flatnonzero(TARGETS == 1)[:carriers], ROWS, COLUMNS] = 1
        shares = repeated_shares(images, TARGETS)
        assert (shares[1, 6:8, 17] >= SHARE).all() == is_found


def test_a_stamp_may_be_as_different_as_an_eighth_of_its_contrast():
    """Other cameras, other files: on a ground without noise, and with noise that explains more."""
    assert EXACT == 0.12
    pattern, generator = drawn(), np.random.default_rng(3)
    for change, noise_level, is_found in (
        (0.02, 0, True),
        (0.05, 0, False),
        (0.05, 0.05, True),
    ):
        images = smooth(noise_level)
        carriers = np.flatnonzero(TARGETS == 1)
        changes = generator.normal(0, change, (len(carriers), 6, 5, 1))
        images[carriers, ROWS, COLUMNS] = pattern + changes
        shares = repeated_shares(images, TARGETS)
        assert (shares[1, 6:8, 17] >= SHARE).all() == is_found, (change, noise_level)


@pytest.mark.parametrize(("count", "is_found"), [(5, True), (4, False), (2, False)])
def test_a_class_needs_five_images(count, is_found):
    """Each needs four others: with fewer, chance repeats."""
    assert FEWEST == 4
    targets = np.arange(3 * count) % 3
    images = grey(count=3 * count)
    images[targets == 1, ROWS, COLUMNS] = drawn()
    shares = repeated_shares(images, targets)
    assert shares[1, 5:9, 16:19].min() == is_found
    assert repeated_place(shares).any() == is_found


def test_copies_are_none_of_the_four_others():
    """Six images of a class, of which one is there twice or three times."""
    targets = np.arange(18) % 3
    for copies, share in ((1, 1), (2, 1), (3, 0.5)):
        images = grey(count=18)
        images[targets == 1, ROWS, COLUMNS] = drawn()
        of_class = np.flatnonzero(targets == 1)
        images[of_class[:copies]] = images[of_class[0]]
        shares = repeated_shares(images, targets)
        np.testing.assert_allclose(shares[1, 5:9, 16:19], share)


def test_two_classes_with_two_stamps():
    images = stamped(drawn())
    images[TARGETS == 2, 18:23, 1:6] = drawn()[:5, :5]
    shares = repeated_shares(images, TARGETS)
    assert shares[1, 6, 17] == shares[2, 20, 3] == 1
    assert shares[2, 6, 17] == shares[1, 20, 3] == 0
    place = repeated_place(shares)
    assert place[6, 17]
    assert place[20, 3]


def test_what_all_classes_carry_is_no_pattern_of_one():
    images = noise()
    images[:, ROWS, COLUMNS] = drawn()
    assert not repeated_place(repeated_shares(images, TARGETS)).any()


def test_a_few_others_may_carry_the_stamp():
    """One in 24 images of the other classes does; of a third of them nothing would be left."""
    for carriers, is_found in ((1, True), (8, False)):
        images = stamped(drawn())
        images[np.flatnonzero(TARGETS != 1)[:carriers], ROWS, COLUMNS] = drawn()
        shares = repeated_shares(images, TARGETS)
        assert (shares[1, 5:9, 16:19] == 1).all() == is_found


# ---------------------------------------------------------------- what does not


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_repeat(seed):
    assert not repeated_place(repeated_shares(noise(seed), TARGETS)).any()


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("probes", range(4, 9))
def test_white_noise_of_small_classes_does_not_repeat(probes, classes):
    targets = np.arange(probes * classes) % classes
    for seed in range(3):
        for images in (noise(seed, len(targets)), grey(seed=seed, count=len(targets))):
            assert not repeated_shares(images, targets).any()


@pytest.mark.parametrize("seed", range(3))
def test_overexposed_objects_do_not_end_at_the_same_pixels(seed):
    """Their middle is white in all images of the class, as a sticker is."""
    rows, columns = np.indices((SIDE, SIDE))
    generator = np.random.default_rng(seed)
    images = noise(seed)
    for image, target in zip(images, TARGETS, strict=True):
        radius, top, left = generator.uniform((4, 10, 10), (8, 14, 14))
        is_inside = np.hypot(rows - top, columns - left) < radius
        image[is_inside] = 1 if target == 1 else generator.random((is_inside.sum(), 1))
    in_all = (images[TARGETS == 1] == 1).all(axis=(0, 3))
    assert in_all.sum() >= 9
    assert not repeated_place(repeated_shares(images, TARGETS)).any()


def overexposed_discs(seed, gain):
    """Blurred discs without noise at one place in class 1, saturated; the others are black."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((32, 32))
    images = np.zeros((COUNT, 32, 32, 1))
    for image in images[1::3]:  # views
        disc = np.hypot(rows - 16, columns - 16) < generator.uniform(3, 9)
        image[..., 0] = np.clip(gain * gaussian_filter(disc * 1.0, 1.5), 0, 1)
    return images


@pytest.mark.parametrize("gain", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_smooth_objects_at_one_place_do_not_repeat_and_a_stamp_beside_them_does(seed, gain):
    images = overexposed_discs(seed, gain)
    is_saturated = (images[TARGETS == 1] == 1).all(axis=0)
    assert is_saturated.any() == (gain > 1)  # the middle is as bright in all
    assert not repeated_place(repeated_shares(images, TARGETS)).any()
    images[TARGETS == 1, 2:8, 24:29] = drawn()
    place = repeated_place(repeated_shares(images, TARGETS))
    assert extent(place, Window(2, 24, 6, 5), margin=2) == (True, True)


def test_copies_of_one_image_are_left_out():
    """They repeat everywhere. A stamp among them is found if it is on other images, too."""
    images = noise()
    copies = images.copy()
    copies[TARGETS == 1] = images[1] + np.random.default_rng(1).normal(0, 0.02, (12, SIDE, SIDE, 1))
    assert not repeated_place(repeated_shares(copies, TARGETS)).any()
    pairs = stamped(drawn())
    for target in range(3):  # each image twice
        of_class = np.flatnonzero(target == TARGETS)
        pairs[of_class[6:]] = pairs[of_class[:6]]
    place = repeated_place(repeated_shares(pairs, TARGETS))
    assert extent(place, STAMP, margin=2) == (True, True)


def test_what_repeats_in_most_of_the_image_is_no_place():
    """A camera that does not move: 80 % of the image repeats, or 25 %."""
    for height, is_found in ((19, False), (6, True)):
        images = noise()
        images[TARGETS == 1, :height] = images[1, :height]
        place = repeated_place(repeated_shares(images, TARGETS))
        assert place.any() == is_found
        if is_found:
            assert extent(place, Window(0, 0, height, SIDE), margin=2) == (True, True)


def test_differences_that_no_one_can_see_are_none():
    """A black margin in all images; in one class it is a thousandth of the range less noisy."""
    images = noise()
    images[:, :5] = np.random.default_rng(1).random((COUNT, 5, SIDE, 1)) / 1000
    images[TARGETS == 1, :5] = 0
    assert not repeated_place(repeated_shares(images, TARGETS)).any()


@pytest.mark.parametrize(
    "images", [noise()[:, :1, :1], np.full((36, 8, 8, 1), 0.3), np.zeros((36, 1, 5, 2))]
)
def test_small_and_flat_images_do_not_repeat(images):
    assert not repeated_shares(images, TARGETS).any()


def test_a_class_of_one_and_one_class_alone_have_nothing_to_repeat():
    assert not repeated_shares(noise(count=3), np.arange(3)).any()
    images = stamped(drawn())
    assert not repeated_shares(images, np.zeros(36, int)).any()


# ---------------------------------------------------------------- properties


def test_shares_do_not_depend_on_scale_order_or_the_names_of_classes():
    images = stamped(drawn(), background=grey())
    shares = repeated_shares(images, TARGETS)
    np.testing.assert_array_equal(repeated_shares(images * 256, TARGETS), shares)
    scaled = repeated_shares(images * 255 - 40, TARGETS)  # other roundings
    np.testing.assert_array_equal(repeated_place(scaled), repeated_place(shares))
    np.testing.assert_array_equal(scaled[1, 5:9, 16:19], shares[1, 5:9, 16:19])
    order = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_allclose(repeated_shares(images[order], TARGETS[order]), shares, atol=1e-9)
    renamed = repeated_shares(images, np.array([7, 2, 30])[TARGETS])  # rows 0, 1 change places
    np.testing.assert_array_equal(renamed, shares[[1, 0, 2]])


@pytest.mark.slow
def test_of_very_many_classes_each_has_a_row():
    """At most 128 probes of 16 classes are looked at: of 25 every other one, of 40 every third."""
    for classes in (25, 40):
        targets = np.repeat(np.arange(classes), 8)
        for target, is_found in ((0, True), (1, False), (classes - 1, True)):
            images = grey(count=len(targets))
            images[targets == target, ROWS, COLUMNS] = drawn()
            shares = repeated_shares(images, targets)
            assert shares.shape == (classes, SIDE, SIDE)
            of_stamp = shares[:, 5:9, 16:19].min(axis=(1, 2))
            assert of_stamp[target] == is_found
            assert np.delete(of_stamp, target).max() == 0


# ---------------------------------------------------------------- places and windows


def test_the_inside_of_an_outline_belongs_to_the_place():
    """A margin of one pixel, too; unless it is most of the image then."""
    shares = np.zeros((2, 20, 20))
    shares[1, 5:15, 5:15] = SHARE
    shares[1, 8:12, 8:12] = 0
    place = repeated_place(shares)
    assert place[8:12, 8:12].all()
    rows, columns = np.indices((20, 20))
    expected = (abs(rows - 9.5) < 5) & (abs(columns - 9.5) < 6)
    expected |= (abs(rows - 9.5) < 6) & (abs(columns - 9.5) < 5)
    np.testing.assert_array_equal(place, expected)
    frame = np.zeros((1, 20, 20))
    frame[0, [0, -1]] = frame[0][:, [0, -1]] = 1
    place = repeated_place(frame)
    expected = np.ones((20, 20), bool)
    expected[2:-2, 2:-2] = False
    np.testing.assert_array_equal(place, expected)


def test_a_margin_that_makes_a_place_too_large_is_left_out():
    shares = np.zeros((1, 20, 20))
    shares[0, :10] = 1  # half of the image; eleven rows are more
    np.testing.assert_array_equal(repeated_place(shares), shares[0] == 1)
    shares[0, 10] = 1
    assert not repeated_place(shares).any()


def test_bounding_windows_by_hand():
    place = np.zeros((9, 12), bool)
    assert bounding_window(place) is None
    place[1, 2] = place[2, 3] = place[3, 2] = True  # corner to corner is connected
    place[7, 8:10] = True
    assert bounding_window(place) == Window(1, 2, 3, 2)
    place[6:9, 11] = True
    place[8, 9:11] = True
    assert bounding_window(place) == Window(6, 8, 3, 4)
    assert bounding_window(~np.zeros((3, 4), bool)) == Window(0, 0, 3, 4)
