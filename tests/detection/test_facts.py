import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.reports import Window
from keras_saliency.detection import objects, repetition
from keras_saliency.detection.facts import MAX_SIDE, MOST, OUTSIDE, ProbeFacts
from keras_saliency.detection.proposals import window_mask

SIDE, TARGETS = 24, np.arange(30) % 3


def at(top, left, height, width, size=(SIDE, SIDE)):
    return window_mask(Window(top, left, height, width), *size)


def objects_on_a_ground(border=0):
    """Squares of random brightness in the middle, on a ground that never varies.

    Args:
        border: Rows at the top that vary from image to image.
    """
    generator = np.random.default_rng(0)
    images = np.full((len(TARGETS), SIDE, SIDE, 1), 0.5)
    images[:, 8:16, 8:16] = generator.uniform(-1, 1, (len(TARGETS), 1, 1, 1))
    images[:, :border] = generator.uniform(-1, 1, (len(TARGETS), 1, 1, 1))
    return images


def noise(size=(SIDE, SIDE)):
    return np.random.default_rng(0).random((len(TARGETS), *size, 1))


def stamped(size=(SIDE, SIDE)):
    """Noise, and the same square of noise in all images of class 1."""
    images = noise(size)
    images[TARGETS == 1, 2:8, 2:8] = np.random.default_rng(1).random((6, 6, 1))
    return images


# ---------------------------------------------------------------- support


def test_noise_supports_nothing():
    facts = ProbeFacts(ProbeSet(noise(), TARGETS))
    for window in ((0, 0, 5, 5), (0, 0, 3, SIDE), (10, 10, 4, 4), (0, 0, SIDE, SIDE)):
        assert facts.support(at(*window)) == ""
    assert facts.support(np.zeros((SIDE, SIDE), bool)) == ""


def test_a_place_outside_of_the_masks_has_support():
    """A tenth of it may be the object: 2 of 20 pixels, or all of it in one of ten images."""
    assert OUTSIDE == 0.1
    masks = np.zeros((len(TARGETS), SIDE, SIDE), bool)
    masks[:, 10:14, 10:15] = True  # 20 pixels
    facts = ProbeFacts(ProbeSet(noise(), TARGETS, masks=masks))
    assert facts.support(at(0, 0, 5, 5)) == "outside of your masks"
    assert facts.support(at(10, 10, 2, 2)) == ""
    assert facts.support(at(10, 13, 1, 7)) == ""  # 2 of 7 pixels
    assert facts.support(at(9, 13, 2, 10)) == "outside of your masks"  # 2 of 20
    assert facts.support(at(9, 12, 2, 10)) == ""  # 3 of 20
    for count, support in ((3, "outside of your masks"), (4, "")):
        masks[:count, :5, :4] = True
        facts = ProbeFacts(ProbeSet(noise(), TARGETS, masks=masks))
        assert facts.support(at(0, 0, 5, 4)) == support


def test_a_large_place_that_holds_a_small_object_is_not_outside_of_it():
    """Such as a quarter of a scan with a lesion of four pixels."""
    masks = np.zeros((len(TARGETS), SIDE, SIDE), bool)
    masks[:, 10:12, 10:12] = True
    facts = ProbeFacts(ProbeSet(noise(), TARGETS, masks=masks))
    assert facts.support(at(4, 4, 12, 12)) == ""
    assert facts.support(at(0, 0, 10, 10)) == "outside of your masks"
    masks[: len(TARGETS) // 20, 5, 5] = True  # a few objects reach there
    facts = ProbeFacts(ProbeSet(noise(), TARGETS, masks=masks))
    assert facts.support(at(0, 0, 10, 10)) == "outside of your masks"


def test_a_place_that_repeats_has_support_and_names_the_class():
    facts = ProbeFacts(ProbeSet(stamped(), TARGETS, class_names=["cat", "dog", "emu"]))
    words = "the same pixels in 100% of the images of class 'dog'"
    assert facts.support(at(2, 2, 6, 6)) == words
    assert facts.support(at(3, 3, 2, 2)) == words
    assert facts.support(at(14, 14, 6, 6)) == ""
    assert MOST == 0.5
    place = facts.repeated_place
    for width in range(6, SIDE + 1):  # ever less of it is the stamp
        window = at(2, 2, 6, width)
        assert (facts.support(window) == words) == (place[window].mean() >= 0.5)
    assert facts.support(at(2, 2, 6, SIDE - 2)) == ""


def test_the_share_of_a_pattern_is_told():
    images = noise()
    carriers = np.flatnonzero(TARGETS == 2)[:6]  # of ten
    images[carriers, 2:8, 2:8] = np.random.default_rng(1).random((6, 6, 1))
    facts = ProbeFacts(ProbeSet(images, TARGETS))
    assert facts.support(at(3, 3, 4, 4)) == "the same pixels in 60% of the images of class '2'"


def test_classes_may_have_any_index():
    targets = np.array([4, 9, 2])[TARGETS]
    facts = ProbeFacts(ProbeSet(stamped(), targets))
    np.testing.assert_array_equal(facts.classes, [2, 4, 9])
    assert facts.support(at(3, 3, 4, 4)) == "the same pixels in 100% of the images of class '9'"


def test_a_class_that_was_not_looked_at_is_no_other_one():
    """Of 24 classes with enough probes, every other one is; of 40, every third one.

    No class gets another one's name.
    """
    for count, probes, repeating, first in ((25, 5, 12, 1), (40, 8, 14, 0)):
        targets = np.repeat(np.arange(count), probes)[1:]  # one less of the first class
        images = np.random.default_rng(0).normal(0.5, 0.1, (len(targets), 16, 16, 1))
        for target in range(count):
            pattern = np.random.default_rng(target).random((5, 5, 1))
            images[targets == target, 2:7, 2:7] = pattern
        facts = ProbeFacts(ProbeSet(images, targets))
        inside = facts.repeated_in(at(3, 3, 3, 3, (16, 16)))
        assert ((inside > 0.999).sum(), (inside == 0).sum()) == (repeating, count - repeating)
        assert np.flatnonzero(inside)[0] == first
        name = f"the same pixels in 100% of the images of class '{first}'"
        assert facts.support(at(3, 3, 3, 3, (16, 16))) == name


def test_a_border_that_varies_apart_from_the_objects_has_support():
    """The border varies, and so do the objects in the middle, and nothing between them."""
    facts = ProbeFacts(ProbeSet(objects_on_a_ground(border=2), TARGETS))
    expected = at(0, 0, 3, SIDE)  # two rows, and one more as neighbours are averaged
    np.testing.assert_array_equal(facts.detached_border[:2], True)
    np.testing.assert_array_equal(facts.detached_border[~expected], False)
    words = "separate from what varies in the middle of the images"
    assert facts.support(at(0, 0, 2, SIDE)) == words
    assert facts.support(at(0, 3, 2, 4)) == words
    assert facts.support(at(0, 0, 8, 8)) == ""  # three of eight rows
    assert facts.support(at(10, 10, 4, 4)) == ""  # on the object
    assert facts.support(at(4, 0, 3, SIDE)) == ""  # on the ground


def test_a_border_that_does_not_vary_has_no_support():
    facts = ProbeFacts(ProbeSet(objects_on_a_ground(), TARGETS))
    assert not facts.detached_border.any()


def test_a_border_that_touches_the_objects_has_no_support():
    """From row 0 to the objects from row 8 on it varies everywhere."""
    facts = ProbeFacts(ProbeSet(objects_on_a_ground(border=8), TARGETS))
    assert not facts.detached_border.any()


def test_a_border_alone_has_no_support():
    """If nothing varies in the middle, it is not known where the objects are."""
    images = np.full((len(TARGETS), SIDE, SIDE, 1), 0.5)
    images[:, :2] = np.random.default_rng(0).uniform(-1, 1, (len(TARGETS), 1, 1, 1))
    assert not ProbeFacts(ProbeSet(images, TARGETS)).detached_border.any()


# ---------------------------------------------------------------- large images


@pytest.mark.parametrize("size", [(128, 128), (130, 100), (100, 193)])
def test_facts_of_large_images_have_their_size_and_are_in_their_place(size):
    """They are found in block means of 2, 3 and 4 pixels; the last blocks are cut."""
    block = -(-max(size) // MAX_SIDE)
    images = np.zeros((len(TARGETS), *size, 1))
    small = stamped(tuple(-(-side // block) for side in size))
    images[:] = small.repeat(block, 1).repeat(block, 2)[:, : size[0], : size[1]]
    facts = ProbeFacts(ProbeSet(images, TARGETS))
    inside = at(3 * block, 3 * block, 2, 2, size)
    np.testing.assert_array_equal(facts.repeated_in(inside), [0, 1, 0])
    for found in (facts.repeated_place, facts.detached_border):
        assert (found.shape, found.dtype) == (size, bool)
    expected = repetition.repeated_place(repetition.repeated_shares(small, TARGETS))
    for row, column in [(0, 0), (3 * block, 3 * block), (9 * block, 9 * block), (-1, -1)]:
        place = row // block if row >= 0 else -1, column // block if column >= 0 else -1
        assert facts.repeated_place[row, column] == expected[place]
    assert facts.support(at(2 * block, 2 * block, 6 * block, 6 * block, size)) == (
        "the same pixels in 100% of the images of class '1'"
    )
    assert facts.support(at(size[0] - 20, size[1] - 20, 20, 20, size)) == ""


def test_estimated_masks_of_large_images():
    size = (130, 100)
    generator = np.random.default_rng(0)
    images = 0.3 + generator.normal(0, 0.03, (6, *size, 3))
    images[:, 42:84, 30:66] += 0.5
    images[5] = generator.random((*size, 3))  # no object
    masks = ProbeFacts(ProbeSet(images, np.arange(6) % 2)).estimated_masks
    assert (masks.shape, masks.dtype) == ((6, *size), bool)
    true = at(42, 30, 42, 36, size)
    for mask in masks[:5]:
        assert (mask & true).sum() / (mask | true).sum() > 0.7
    assert not masks[5].any()


def test_small_images_are_taken_as_they_are():
    images = objects_on_a_ground(border=2)
    images += np.random.default_rng(0).normal(0, 0.02, images.shape)
    probes = ProbeSet(images, TARGETS)
    facts = ProbeFacts(probes)
    shares = repetition.repeated_shares(probes.images, TARGETS)
    everywhere = np.ones(probes.images.shape[1:3], bool)
    np.testing.assert_array_equal(facts.repeated_in(everywhere), shares.max(axis=(1, 2)))
    for image, mask in zip(probes.images, facts.estimated_masks, strict=True):
        alone = objects.estimated_mask(image.astype(np.float32))
        np.testing.assert_array_equal(mask, np.zeros_like(mask) if alone is None else alone)
