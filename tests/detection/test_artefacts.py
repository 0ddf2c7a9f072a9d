"""Tests of what the probes alone point at: patterns that repeat, backgrounds, grain."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from keras_saliency import ProbeSet
from keras_saliency.data.reports import Window
from keras_saliency.detection.alerts import judge
from keras_saliency.detection.facts import ProbeFacts
from keras_saliency.detection.interventions import intervene
from keras_saliency.detection.settings import Interventions
from support.exact_models import (
    COUNT,
    OBJECT,
    RING,
    SIDE,
    TAG,
    TARGETS,
    assert_full,
    assert_none,
    assert_not_compared,
    by_name,
    coded,
    digit,
    examined,
    heat,
    hide,
    noise,
    reads,
    reads_digit,
    region,
)

ROWS, COLUMNS = slice(2, 8), slice(11, 17)
STAMPS = np.random.default_rng(7).random((3, 6, 6, 1))


def asked(probes, answer, *tests):
    return by_name(examined(probes, answer, settings=Interventions(tests=tests)))


def stamped(*classes, targets=TARGETS):
    """Noise with a stamp for each of these classes, and the class at the object."""
    images = coded(OBJECT, targets=targets)
    for target in classes:
        images[targets == target, ROWS, COLUMNS] = STAMPS[target]
    return images


def stamps_first(images, targets):
    """A model that believes a stamp; where there is none, it reads the object."""
    place = images[:, np.newaxis, ROWS, COLUMNS]
    distances = np.abs(place - STAMPS).mean(axis=(2, 3, 4))
    by_object = reads(*OBJECT)(images, targets)[0]
    return np.where(distances.min(1) < 0.01, distances.argmin(1), by_object), np.zeros(len(images))


# ---------------------------------------------------------------- patterns that repeat


def test_stamps_of_all_classes_are_one_pattern():
    probes = ProbeSet(stamped(0, 1, 2), TARGETS, class_names=["cat", "dog", "emu"])
    (found,) = asked(probes, stamps_first, "repeated_pattern").values()
    assert_full(found)
    assert_not_compared(found)
    assert (found.target, found.num_probes) == (None, COUNT)
    assert found.support == "the same pixels in 100% of the images of class 'cat'"
    top, left, height, width = found.window
    assert 0 <= ROWS.start - top <= 2
    assert 0 <= COLUMNS.start - left <= 2
    assert ROWS.stop <= top + height <= ROWS.stop + 2
    assert COLUMNS.stop <= left + width <= COLUMNS.stop + 2


def test_a_stamp_of_one_class_is_put_into_the_images_of_the_others():
    probes = ProbeSet(stamped(1), TARGETS)
    (found,) = asked(probes, stamps_first, "repeated_pattern").values()
    assert_full(found)
    assert (found.target, found.num_probes) == (1, 40)
    assert found.support == "the same pixels in 100% of the images of class '1'"


def test_of_two_classes_all_are_recipients():
    two = np.arange(COUNT) % 2
    probes = ProbeSet(stamped(1, targets=two), two)
    (found,) = asked(probes, stamps_first, "repeated_pattern").values()
    assert (found.target, found.num_probes) == (None, COUNT)
    # A class-1 probe with a class-0 donor loses its stamp, and is known by its object.
    assert found.effect == 0.5


def test_a_stamp_that_is_not_read_has_no_effect():
    probes = ProbeSet(stamped(0, 1, 2), TARGETS)
    (found,) = asked(probes, reads(*OBJECT), "repeated_pattern").values()
    assert_none(found)


def test_a_pattern_around_the_image_has_no_window():
    images = coded(OBJECT)
    frame = ~region((2, 2), size=16)
    for target in range(3):
        pattern = np.random.default_rng(target).random((frame.sum(), 1))
        for image in images[target::3]:  # views of the images of this class
            image[frame] = pattern
    hide(images, TARGETS, *RING)
    (found,) = asked(ProbeSet(images, TARGETS), reads_digit(*RING), "repeated_pattern").values()
    assert_full(found)
    assert found.window is None


def test_noise_has_no_pattern_to_test():
    assert asked(ProbeSet(coded(OBJECT), TARGETS), reads(*OBJECT), "repeated_pattern") == {}


def test_a_pattern_of_the_only_class_with_two_probes_says_so():
    targets = np.array([0] * 20 + [1, 2])
    probes = ProbeSet(stamped(0, targets=targets), targets)
    (found,) = asked(probes, reads(*OBJECT), "repeated_pattern").values()
    assert found.untestable == "no other class has two probes"
    assert np.isnan([found.effect, found.p_value]).all()


@pytest.mark.parametrize("is_stamped", [True, False])
def test_other_places_leave_a_pattern_to_its_own_test(is_stamped):
    """The masks speak for all corners and strips; those that overlap the pattern are left out.

    So is the hot window not grown in it.
    """
    images = coded(OBJECT)
    corner = slice(0, 5), slice(15, 20)
    if is_stamped:
        for target in range(3):
            images[target::3, corner[0], corner[1]] = STAMPS[target, :5, :5]
    hide(images, TARGETS, 2, 17)
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    settings = Interventions(tests=["repeated_pattern", "border_patch", "hot_window"])
    probes = ProbeSet(images, TARGETS, masks=masks)
    found = examined(probes, reads_digit(2, 17), heat((2, 17)), settings=settings)
    effects = by_name(found)
    place = ProbeFacts(probes).repeated_place
    assert place[2, 17] == is_stamped
    assert ("repeated_pattern" in effects) == is_stamped
    top, left, height, width = effects["border_patch"].window
    assert place[top : top + height, left : left + width].sum() == 0
    assert effects["border_patch"].effect == 1 - is_stamped
    assert effects["hot_window"].effect == 1
    assert effects["hot_window"].window[2:] == (3, 3)
    if is_stamped:
        assert_full(effects["repeated_pattern"])


@pytest.mark.slow
def test_stamps_of_very_many_classes():
    """More than are looked at for repetition: the stamps of all are one place."""
    for classes in (25, 40):
        (found,) = asked(*stamps_of(classes), "repeated_pattern").values()
        assert_none(found)
        assert (found.num_probes, found.target) == (64, None)


def stamps_of(classes):
    """Five probes of each class, with a stamp of the class; read in the object."""
    targets = np.repeat(np.arange(classes), 5)
    images = noise(len(targets))
    hide(images, targets % 10, *OBJECT)
    hide(images, targets // 10, OBJECT[0], OBJECT[1] + 1)
    for target in range(classes):
        images[targets == target, ROWS, COLUMNS] = np.random.default_rng(target).random((6, 6, 1))

    def answer(batch, asked):
        tens = digit(batch, OBJECT[0], OBJECT[1] + 1)
        return 10 * tens + digit(batch, *OBJECT), np.zeros(len(batch))

    return ProbeSet(images, targets), answer


# ---------------------------------------------------------------- backgrounds without masks

BLOB = region((6, 6), size=8)
"""Where the objects are; their middle, a pixel of them, and one of the background."""
MIDDLE, OUTSIDE = (10, 10), (16, 3)


def scenes(without=0):
    """Objects that differ from their ground, with a digit in each; noise for the first ones."""
    images = 0.3 + np.random.default_rng(0).normal(0, 0.02, (COUNT, SIDE, SIDE, 1))
    images[:, BLOB] += 0.6
    images[:without] = noise(COUNT)[:without]
    for pixel in (MIDDLE, OUTSIDE):
        hide(images, TARGETS, *pixel)
    return ProbeSet(images, TARGETS)


def test_the_estimated_background_is_all_but_both_objects():
    for pixel, check, control in ((OUTSIDE, assert_full, 0), (MIDDLE, assert_none, np.nan)):
        (found,) = asked(scenes(), reads_digit(*pixel), "estimated_background").values()
        check(found)
        assert found.num_probes == COUNT
        assert found.control == pytest.approx(control, nan_ok=True)


def test_objects_in_different_places_stay_as_they_are():
    """What is exchanged is background in both images: no object is covered, none comes in."""
    generator = np.random.default_rng(0)
    images = 0.3 + generator.normal(0, 0.02, (COUNT, SIDE, SIDE, 1))
    for image, target in zip(images, TARGETS, strict=True):
        top, left = generator.integers(2, 11, 2)
        image[top : top + 7, left : left + 7] += 0.6
        image[top + 3, left + 3] = 2 + target

    def brightest(batch, targets):
        return np.rint(batch.max(axis=(1, 2, 3)) - 2).astype(int), np.zeros(len(batch))

    (found,) = asked(ProbeSet(images, TARGETS), brightest, "estimated_background").values()
    assert_none(found)
    assert found.num_probes > 50


def test_only_probes_with_an_object_that_is_found_are_asked():
    (found,) = asked(scenes(without=30), reads_digit(*OUTSIDE), "estimated_background").values()
    assert_full(found)
    assert found.num_probes == 30
    used = {example.recipient for example in found.examples}
    used |= {example.donor for example in found.examples}
    assert min(used) >= 30


def test_with_too_few_objects_there_is_no_estimate():
    """A quarter of the probes at least."""
    for without, untestable in (
        (45, ""),
        (46, "the borders of the images do not tell where the objects are"),
    ):
        probes = scenes(without)
        (found,) = asked(probes, reads_digit(*OUTSIDE), "estimated_background").values()
        assert found.untestable == untestable
        assert np.isnan(found.effect) == bool(untestable)


def test_masks_of_a_user_take_the_place_of_estimates():
    probes = scenes()
    masks = np.broadcast_to(BLOB, (COUNT, SIDE, SIDE))
    probes = ProbeSet(probes.images, TARGETS, masks=masks)
    assert asked(probes, reads_digit(*OUTSIDE), "estimated_background") == {}


# ---------------------------------------------------------------- grain


def test_a_model_that_reads_the_grain_only():
    """White noise is one class, and smoothed noise of the same contrast the other one."""
    two = np.arange(40) % 2
    images = noise(40)
    smooth = np.stack([gaussian_filter(image[..., 0], 1.5, mode="wrap") for image in images])
    images[two == 1] = smooth[two == 1, ..., np.newaxis]
    means, contrasts = images.mean((1, 2, 3), keepdims=True), images.std((1, 2, 3), keepdims=True)
    images = (images - means) / contrasts

    def grain(batch, targets):
        steps = np.diff(batch, axis=2).std(axis=(1, 2, 3)) / batch.std(axis=(1, 2, 3))
        return (steps < 1.05).astype(int), np.zeros(len(batch))

    probes = ProbeSet(images, two)
    found = examined(probes, grain, settings=Interventions(tests=["spectrum", "tint", "border"]))
    effects = by_name(found)
    assert_full(effects["spectrum"])
    assert_none(effects["tint"])
    # The border is a third of the image: alone it does not tip the scales.
    assert effects["spectrum"].control == effects["border"].effect < 0.1
    verdicts, _ = judge(found)
    assert [verdict.status for verdict in verdicts] == ["fires", "stopped", "stopped"]


def test_a_spectrum_does_not_carry_what_is_in_the_image():
    """Where a dark half is: turned by 180 degrees, the images have the same spectrum."""
    two = np.arange(40) % 2
    images = 0.1 * noise(40)
    images[two == 0, :, :10] += 1
    images[two == 1, :, 10:] += 1

    def side(batch, targets):
        means = batch.mean(axis=(1, 3))
        return (means[:, :10].sum(1) < means[:, 10:].sum(1)).astype(int), np.zeros(len(batch))

    (found,) = asked(ProbeSet(images, two), side, "spectrum").values()
    assert_none(found)


# ---------------------------------------------------------------- facts


def test_facts_of_an_earlier_round_change_nothing():
    """They are of the probes, not of the model."""
    probes = ProbeSet(stamped(0, 1, 2), TARGETS)
    facts = ProbeFacts(probes)
    settings = Interventions(tests=["repeated_pattern", "border_patch", "hot_window"])
    rounds = []
    for given in (None, facts, facts):
        found = intervene(
            probes,
            heat(TAG),
            TARGETS,
            np.zeros(COUNT),
            lambda images, recipients: stamps_first(images, None),
            by_score=False,
            chunk_size=64,
            settings=settings,
            facts=given,
        )
        rows = [(e.test, e.effect, e.p_value, e.support, e.window) for e in found.effects]
        rounds.append((rows, found.passes))
    assert rounds[0] == rounds[1] == rounds[2]
    effects = {row[0]: row for row in rounds[0][0]}
    assert effects["hot_window"][3] == "the same pixels in 100% of the images of class '0'"
    assert isinstance(effects["hot_window"][4], Window)


def test_facts_that_are_given_are_used():
    """Those of other probes show it: they support the place of a stamp that is not there."""
    settings = Interventions(tests=["repeated_pattern"])
    found = intervene(
        ProbeSet(coded(OBJECT), TARGETS),
        heat(TAG),
        TARGETS,
        np.zeros(COUNT),
        lambda images, recipients: reads(*OBJECT)(images, None),
        by_score=False,
        chunk_size=64,
        settings=settings,
        facts=ProbeFacts(ProbeSet(stamped(0, 1, 2), TARGETS)),
    )
    assert [effect.test for effect in found.effects] == ["repeated_pattern"]
