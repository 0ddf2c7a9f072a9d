import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import Ridge

import keras_saliency as ks
from keras_saliency.detection import left_out, readings
from keras_saliency.detection.audit import FLOORS, MAX_SIDE

SIDE, CLASSES, PER_CLASS = 20, 4, 15
TARGETS = np.arange(CLASSES * PER_CLASS) % CLASSES


def noise(size=SIDE, channels=1, seed=0):
    """An object of random brightness in the middle, on noise; nothing tells the class."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.5, 0.1, (len(TARGETS), size, size, channels))
    third = size // 3
    images[:, third:-third, third:-third] += rng.uniform(-0.3, 0.3, (len(TARGETS), 1, 1, 1))
    return images


def pattern(height, width, seed=1):
    """A pattern for each probe, that of its class: `(num_probes, height, width, 1)`."""
    patterns = np.random.default_rng(seed).integers(0, 2, (CLASSES, height, width, 1))
    return patterns[TARGETS].astype(float)


def names(audit):
    return [reading.name for reading in audit.findings]


def reading(audit, name):
    return next(one for one in audit.readings if one.name == name)


# ---------------------------------------------------------------- arithmetic


def coordinates(kernel):
    """Features whose products are a kernel."""
    values, vectors = np.linalg.eigh(kernel)
    return vectors * np.sqrt(values.clip(0))


@pytest.mark.parametrize("width", [0.1, 1.0])
def test_predictions_are_those_of_one_regression_for_each_probe_that_is_left_out(width):
    rng = np.random.default_rng(0)
    targets = rng.permutation(np.arange(24) % 3)
    kernel = left_out.similarities(rng.normal(size=(24, 5)), width=width)
    labels = np.eye(3)[targets]
    found = left_out.left_out_predictions(left_out.hat_matrix(kernel), labels)
    features, penalty = coordinates(kernel), left_out.RIDGE * np.trace(kernel) / 24
    for probe in range(24):
        others = np.arange(24) != probe
        fit = Ridge(alpha=penalty).fit(features[others], labels[others])
        np.testing.assert_allclose(found[probe], fit.predict(features[[probe]])[0], atol=1e-8)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_similarities_are_a_centred_gaussian_kernel():
    features = np.array([[0.0], [1.0], [3.0]])
    squares = (features - features.T) ** 2
    mean = 2 * (1 + 9 + 4) / 9
    kernel = np.exp(-squares / (2 * 0.5**2 * mean))
    centre = np.eye(3) - 1 / 3
    np.testing.assert_allclose(
        left_out.similarities(features, width=0.5), centre @ kernel @ centre, atol=1e-12
    )


def test_scaled_features_count_alike_and_constant_ones_do_not_count():
    values = np.random.default_rng(0).normal(size=(9, 3))
    scaled = left_out.similarities(values, scaled=True)
    stretched = np.concatenate([values * [1, 1000, 0.01], np.full((9, 1), 7.0)], axis=1)
    np.testing.assert_allclose(left_out.similarities(stretched, scaled=True), scaled, atol=1e-9)


def test_the_p_value_is_the_share_of_all_orders_that_separate_as_well():
    """All 90 orders of six labels in three classes, each as often as in 6! = 720."""
    targets = np.array([0, 0, 1, 1, 2, 2])
    features = np.array([[0.0], [0.1], [0.9], [1.4], [2.0], [2.1]])
    hat = left_out.hat_matrix(left_out.similarities(features))
    orders = np.array(list(itertools.permutations(targets)))
    observed = left_out.separation(hat, targets).value
    as_good = sum(left_out.separation(hat, order).value >= observed - 1e-9 for order in orders)
    assert 0 < as_good < len(orders) / 2
    found = left_out.permutation_p_value([hat], targets, orders)
    assert found == (1 + as_good) / (1 + len(orders))


def test_of_several_readings_the_weakest_counts():
    targets = np.arange(12) % 2
    telling = left_out.hat_matrix(left_out.similarities(targets[:, np.newaxis].astype(float)))
    rest = np.random.default_rng(0).normal(size=(12, 1))
    mute = left_out.hat_matrix(left_out.similarities(rest))
    draws = left_out.shuffled(targets, 0)
    assert left_out.permutation_p_value([telling], targets, draws) < 0.01
    assert left_out.permutation_p_value([telling, mute], targets, draws) > 0.05


def test_shuffled_labels_are_the_same_labels_and_fewer_draws_with_many_classes():
    few, many = np.arange(12) % 3, np.arange(60) % 30
    assert left_out.shuffled(few, 0).shape == (left_out.NUM_SHUFFLES, 12)
    assert left_out.shuffled(many, 0).shape == (left_out.FEW_SHUFFLES, 60)
    np.testing.assert_array_equal(np.sort(left_out.shuffled(few, 0)), [np.sort(few)] * 999)
    np.testing.assert_array_equal(left_out.shuffled(few, 3), left_out.shuffled(few, 3))
    assert (left_out.shuffled(few, 3) != left_out.shuffled(few, 4)).any()


def test_a_cue_of_one_class_and_of_half_of_the_classes_separates():
    targets = np.arange(40) % 5
    for group in ([3], [0, 4], [0, 2]):
        has_cue = np.isin(targets, group).astype(float)[:, np.newaxis]
        hat = left_out.hat_matrix(left_out.similarities(has_cue))
        found = left_out.separation(hat, targets)
        assert (found.value, found.group) == (1.0, tuple(group))


def test_classes_in_between_are_told_apart():
    """A straight line could tell the lowest and the highest of five levels only."""
    targets = np.arange(50) % 5
    hat = left_out.hat_matrix(left_out.similarities(targets[:, np.newaxis].astype(float)))
    assert left_out.separation(hat, targets).accuracy == 1


def test_features_without_a_difference_tell_nothing():
    hat = left_out.hat_matrix(left_out.similarities(np.full((8, 2), 0.3)))
    np.testing.assert_allclose(hat, 1 / 8)
    targets = np.arange(8) % 2
    assert left_out.permutation_p_value([hat], targets, left_out.shuffled(targets, 0)) == 1


# ---------------------------------------------------------------- readings


def test_readings_of_known_images():
    images = np.arange(2.0)[:, np.newaxis, np.newaxis, np.newaxis] + np.zeros((2, 16, 16, 2))
    np.testing.assert_allclose(readings.levels(images), [[0] * 10, [1] * 10])
    np.testing.assert_allclose(readings.border_means(images), [[0, 0], [1, 1]])
    assert readings.thumbnail(images).shape == (2, 8 * 8 * 2)
    assert readings.surroundings(images).shape == (2, (64 - 16) * 2)
    columns = np.tile(np.arange(16.0), (16, 1))[np.newaxis, ..., np.newaxis]
    means = readings.cell_means(columns)[0, ..., 0]
    np.testing.assert_allclose(means, [np.arange(8) * 2 + 0.5] * 8)
    assert readings.cell_means(np.zeros((1, 5, 20, 1))).shape == (1, 5, 8, 1)


def test_corners_are_squares_of_a_share_of_the_sides():
    places = readings.corners(20, 40)
    assert [int(place.sum()) for place in places] == [3 * 6] * 4
    assert [place[0, 0] for place in places] == [True, False, False, False]
    assert [place[-1, -1] for place in places] == [False, False, False, True]


def test_fine_detail_grows_with_noise_and_does_not_see_what_is_smooth():
    rng = np.random.default_rng(0)
    grain = rng.normal(size=(1, 32, 32, 1))
    ramp = np.linspace(0, 1, 32)[np.newaxis, np.newaxis, :, np.newaxis]
    images = np.concatenate([0.1 * grain, 0.2 * grain, 0.1 * grain + 0.1 * ramp])
    low, high, sloped = readings.fine_detail(images)
    np.testing.assert_allclose(high - low, math.log(4), atol=0.01)
    np.testing.assert_allclose(sloped, low, atol=0.05)


# ---------------------------------------------------------------- planted cues


def border_by_class(images):
    planted = images.copy()
    place = readings.thin_ring(*images.shape[1:3])
    planted[:, place] += 0.2 * TARGETS[:, np.newaxis, np.newaxis]
    return planted


def test_a_border_that_tells_the_class_is_named():
    found = ks.audit(ks.ProbeSet(border_by_class(noise()), TARGETS))
    assert "border" in names(found)
    border = reading(found, "border")
    assert border.accuracy > 0.9
    assert border.separation > 0.95
    assert border.p_value < 0.01
    assert {"border", "thin_border", "estimated_background"} <= set(found.tests)
    np.testing.assert_array_equal(found.regions["border"], readings.thin_ring(SIDE, SIDE))
    masks = np.zeros((len(TARGETS), SIDE, SIDE), bool)
    masks[:, 6:14, 6:14] = True
    with_masks = ks.audit(ks.ProbeSet(border_by_class(noise()), TARGETS, masks=masks))
    assert "background" in with_masks.tests
    assert "estimated_background" not in with_masks.tests


def test_a_corner_that_tells_the_class_is_named_with_its_place():
    images = noise()
    images[:, -3:, :3] += 0.3 * pattern(3, 3)
    found = ks.audit(ks.ProbeSet(images, TARGETS))
    assert "corners" in names(found)
    assert "border_patch" in found.tests
    np.testing.assert_array_equal(found.regions["corners"], readings.corners(SIDE, SIDE)[2])
    dataclasses.replace(ks.ProbeSet(images, TARGETS), regions=found.regions)


def test_brightness_that_tells_the_class_is_named():
    images = noise() + 0.15 * TARGETS[:, np.newaxis, np.newaxis, np.newaxis]
    found = ks.audit(ks.ProbeSet(images, TARGETS))
    assert "tint" in names(found)
    assert "tint" in found.tests
    assert "tint" not in found.regions


def test_the_brightness_of_the_middle_is_not_that_of_the_image():
    images = noise()
    images[:, 6:14, 6:14] += 0.5 * TARGETS[:, np.newaxis, np.newaxis, np.newaxis]
    found = ks.audit(ks.ProbeSet(images, TARGETS))
    assert reading(found, "thumbnail").accuracy > 0.8
    assert {"tint", "border", "corners", "repeated_pattern"}.isdisjoint(names(found))


def test_noise_of_half_of_the_classes_is_named_as_fine_detail():
    images = noise()
    images[TARGETS >= 2] += np.random.default_rng(5).normal(0, 0.1, images[TARGETS >= 2].shape)
    found = ks.audit(ks.ProbeSet(images, TARGETS, class_names=["a", "b", "c", "d"]))
    assert names(found) == ["fine_detail"]
    assert found.tests == ("spectrum", "high_frequency")
    assert reading(found, "fine_detail").group in (("a", "b"), ("c", "d"))


def test_a_stamp_that_repeats_in_one_class_is_named_with_its_place():
    images = noise()
    images[TARGETS == 3, 5:10, 8:13] = np.random.default_rng(2).random((5, 5, 1))
    found = ks.audit(ks.ProbeSet(images, TARGETS))
    first = found.findings[0]
    assert (first.name, first.tests, first.group) == (
        "repeated_pattern",
        ("repeated_pattern",),
        ("3",),
    )
    assert first.region[5:10, 8:13].mean() > 0.8
    assert first.region.mean() < 0.3


def test_an_order_that_tells_the_class_is_named_unless_it_is_that_of_the_classes():
    in_blocks = np.repeat([0, 1, 2, 3, 2, 1, 0, 3], 8)
    images = np.random.default_rng(0).normal(size=(64, 12, 12, 1))
    found = ks.audit(ks.ProbeSet(images, in_blocks, indices=np.arange(64) * 3))
    assert names(found) == ["order"]
    assert found.tests == ("groups",)
    for targets, indices in (
        (in_blocks, None),  # unknown
        (np.sort(in_blocks), np.arange(64)),  # sorted by class
    ):
        other = ks.audit(ks.ProbeSet(images, targets, indices=indices))
        assert "order" not in [one.name for one in other.readings]
    mixed = np.random.default_rng(1).permutation(64)
    other = ks.audit(ks.ProbeSet(images, in_blocks, indices=mixed))
    assert names(other) == []
    assert reading(other, "order").separation < FLOORS["order"]
    assert math.isnan(reading(other, "order").p_value)


def test_all_tests_that_are_named_exist():
    audit = ks.audit(ks.ProbeSet(border_by_class(noise()), TARGETS))
    assert {test for one in audit.readings for test in one.tests} <= ks.TESTS.keys()
    assert {one.name for one in audit.readings if not math.isnan(one.p_value)} <= FLOORS.keys()


# ---------------------------------------------------------------- nothing planted


def test_noise_is_significant_no_more_often_than_the_level_says():
    """200 draws of labels: p < .05 in at most as many as chance allows, at 1 in 1000."""
    features = np.random.default_rng(0).normal(size=(24, 6))
    hat = left_out.hat_matrix(left_out.similarities(features))
    targets = np.arange(24) % 3
    rng = np.random.default_rng(1)
    draws = left_out.shuffled(targets, 2)[:199]
    count = sum(
        left_out.permutation_p_value([hat], rng.permutation(targets), draws) <= 0.05
        for _ in range(200)
    )
    assert 0 < count <= binom.ppf(0.999, 200, 0.05)


def test_noise_has_no_finding():
    for seed in range(5):
        found = ks.audit(ks.ProbeSet(noise(seed=seed), TARGETS))
        assert names(found) == []
        assert found.tests == ()
        assert found.regions == {}
        assert found.in_short == ""
        assert str(found).startswith("audit of 60 probes: no finding\n")


def test_constant_images_have_no_finding():
    found = ks.audit(ks.ProbeSet(np.zeros((12, 8, 8, 3)), np.arange(12) % 2))
    assert names(found) == []
    assert all(one.p_value == 1 for one in found.readings if not math.isnan(one.p_value))


def test_few_probes_prove_nothing():
    images = noise()[:4]
    images[:2, 0] = 0
    assert names(ks.audit(ks.ProbeSet(images, [0, 0, 1, 1]))) == []


# ---------------------------------------------------------------- what cannot be audited


def test_it_says_why_there_is_nothing_to_audit():
    images = noise()[:6]
    for probes, reason in (
        (ks.ProbeSet(images), "the probes have no targets"),
        (ks.ProbeSet(images, np.zeros(6)), "at least two classes are needed"),
        (ks.ProbeSet(images, [0, 0, 0, 0, 1, 2]), "with two probes each"),
        (ks.ProbeSet(np.zeros((6, 9, 2)), [0, 1] * 3, kind="series"), "these probes are series"),
    ):
        found = ks.audit(probes)
        assert found.readings == ()
        assert found.in_short == ""
        assert reason in found.reason
        assert reason in str(found)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"probes: expected a keras_saliency.ProbeSet, received"):
        ks.audit(noise())
    probes = ks.ProbeSet(noise(), TARGETS)
    with pytest.raises(TypeError, match="seed: expected"):
        ks.audit(probes, seed=1.5)
    with pytest.raises(ValueError, match="seed: expected"):
        ks.audit(probes, seed=-1)


# ---------------------------------------------------------------- any images


def test_large_images_are_reduced_and_places_have_their_size():
    small = border_by_class(noise(size=MAX_SIDE))
    large = small.repeat(3, axis=1).repeat(3, axis=2)[:, :-1]
    found = ks.audit(ks.ProbeSet(large, TARGETS))
    assert "border" in names(found)
    assert {place.shape for place in found.regions.values()} == {(119, 120)}
    np.testing.assert_array_equal(found.regions["border"], readings.thin_ring(119, 120))


def test_the_scale_of_values_does_not_matter():
    images = border_by_class(noise())
    found = ks.audit(ks.ProbeSet(images.astype(np.float32), TARGETS))
    large = ks.audit(ks.ProbeSet((images * 1000).astype(np.float32), TARGETS))
    assert [one.name for one in found.readings] == [one.name for one in large.readings]
    for one, other in zip(found.readings, large.readings, strict=True):
        np.testing.assert_allclose(one.separation, other.separation, atol=0.02)
    in_bytes = (np.clip(images, 0, 1) * 255).astype(np.uint8)
    assert "border" in names(ks.audit(ks.ProbeSet(in_bytes, TARGETS)))


def test_the_same_probes_give_the_same_audit_and_random_states_stay():
    probes = ks.ProbeSet(border_by_class(noise()), TARGETS)
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    assert str(ks.audit(probes)) == str(ks.audit(probes))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_text():
    images = noise()
    images[:, 0] = 0.25 * TARGETS[:, np.newaxis, np.newaxis]
    text = ks.audit(ks.ProbeSet(images, TARGETS)).in_short
    assert text.startswith(
        "audit: a pattern that repeats pixel by pixel alone tells the class of 100% of the probes "
        "(25% by chance, p = 0.00"
    )
    assert ": the data let a model cheat there; watched by repeated_pattern, " in text
    images = noise()
    images[TARGETS == 3, 0] = 0
    audit = ks.audit(ks.ProbeSet(images, TARGETS, class_names=["cat", "dog", "cow", "hen"]))
    border = audit.told_by(reading(audit, "border"))
    assert border.startswith("tells hen from the other classes in 100% of cases (50% by chance")


def a_table(leaked):
    rng = np.random.default_rng(4)
    targets = np.arange(90) % 3
    columns = rng.normal(0, 1, (90, 6)) + 0.5 * targets[:, np.newaxis]
    if leaked:
        columns[:, 4] = targets + rng.normal(0, 0.05, 90)
    return ks.ProbeSet(columns, targets, kind="features")


def test_a_column_that_gives_the_class_away_is_found():
    found = ks.audit(a_table(leaked=True))
    (reading,) = found.findings
    assert (reading.name, reading.tests, reading.accuracy) == ("column", ("column",), 1)
    np.testing.assert_array_equal(reading.region, np.arange(6) == 4)
    assert found.in_short.startswith(
        "audit: column 4 (counted from 0) alone tells the class of 100%"
    )
    assert ks.ProbeSet(
        a_table(True).images, kind="features", regions=found.regions
    ).regions.keys() == {"column"}


def test_columns_that_tell_as_much_as_others_are_no_finding():
    assert ks.audit(a_table(leaked=False)).findings == ()
    one = ks.ProbeSet(np.arange(12.0)[:, np.newaxis], np.arange(12) // 6, kind="features")
    assert ks.audit(one).findings == ()


def test_probes_that_may_be_series_are_said_to_be_read_as_images():
    nodes, targets = np.random.default_rng(0).random((40, 7, 5)), np.arange(40) % 2
    lines = str(ks.audit(ks.ProbeSet(nodes, targets))).splitlines()
    assert lines[0] == "audit of 40 probes: no finding"
    assert lines[1].startswith(
        "  the probes, of rank 3, are read as gray images; if they are series"
    )
    assert "ProbeSet(..., kind='series')" in lines[1]
    for told in (
        ks.ProbeSet(nodes, targets, kind="image"),
        ks.ProbeSet(nodes[..., None], targets),
        ks.ProbeSet(nodes[:, 0], targets),
    ):
        assert ks.audit(told).note == ""
    series = ks.ProbeSet(nodes, targets, kind="series")
    assert str(ks.audit(series)).endswith("and these probes are series")
