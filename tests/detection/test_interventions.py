"""Models of which it is known exactly what they read, as functions of NumPy arrays."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.detection.calibration import calibrate
from keras_saliency.detection.edits import swap_region
from keras_saliency.detection.interventions import intervene
from keras_saliency.detection.pairs import MAX_RECIPIENTS
from keras_saliency.detection.places import THIN_AREA, Place
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.tests import TESTS as TABLE
from keras_saliency.detection.tests import InterventionTest
from support.exact_models import (
    COUNT,
    INNER,
    LOWEST,
    OBJECT,
    RING,
    SIDE,
    TAG,
    TARGETS,
    assert_all,
    assert_full,
    assert_none,
    assert_not_compared,
    assert_stopped,
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

TESTS = {
    *("border", "thin_border", "tint", "spectrum", "high_frequency"),
    *("own_hot_spot", "hot_window", "class_hot_spot"),
}
"""Without regions, masks, and patterns that repeat."""

ESTIMATED = "estimated_background"
"""The test that noise does not allow, as it has no objects."""


def one_class(*names):
    """The names of these tests with donors of a single class."""
    return {f"{name}/one_class" for name in names}


AIMED = one_class("border", "thin_border", "tint")


# ---------------------------------------------------------------- models that read one place


def test_a_model_that_reads_a_named_region_only():
    regions = {"tag": region(TAG), "other": region((4, 3)), "object": region(OBJECT)}
    found = examined(ProbeSet(coded(TAG, OBJECT), TARGETS, regions=regions), reads(*TAG))
    effects = by_name(found)
    regions = {"region/tag", "region/other", "region/object"}
    assert set(effects) == TESTS | AIMED | regions | {ESTIMATED}
    assert effects[ESTIMATED].untestable == (
        "the borders of the images do not tell where the objects are"
    )
    assert (found.blocked_because, found.unit, found.note) == ("", "accuracy", "")
    assert_full(effects["region/tag"])
    assert_all(effects["region/tag"], control=0, control_p_value=1, margin_p_value=LOWEST)
    for name in ("region/other", "region/object", "own_hot_spot", "hot_window", "class_hot_spot"):
        assert_none(effects[name])
    for name in ("border", "thin_border"):
        assert_none(effects[name])
        assert_not_compared(effects[name])
    for name in AIMED:
        assert_stopped(effects[name])
    sizes = [(effect.num_probes, effect.num_donors) for effect in found.effects[:3]]
    assert sizes == [(60, 4), (60, 1), (60, 1)]  # without an effect, it stops
    assert np.isnan(effects["region/tag"].bound)
    assert effects["region/other"].bound == pytest.approx(2 / 60)


@pytest.mark.parametrize(("pixel", "thin"), [(RING, 1), (INNER, 0)])
def test_a_model_that_reads_the_border_only(pixel, thin):
    effects = by_name(examined(ProbeSet(coded(pixel, OBJECT), TARGETS), reads(*pixel)))
    assert_full(effects["border"])
    assert_all(effects["border"], control=0, control_p_value=1, margin_p_value=LOWEST)
    assert_all(effects["thin_border"], effect=thin, flip=thin, keep=1)
    for name in ("hot_window", "class_hot_spot"):
        assert_none(effects[name])


@pytest.mark.parametrize(
    ("side", "share"),
    [(8, 28 / 64), (12, 44 / 144), (14, 52 / 196), (15, 56 / 225), (20, 76 / 400)],
)
def test_a_border_of_a_small_image_is_not_thin(side, share):
    """It is one pixel wide, which is more than a quarter of the area up to 14 pixels."""
    images = noise()[:, :side, :side]
    images[:, side // 2, side // 2, 0] = TARGETS
    maps = np.ones((COUNT, side, side))
    effects = by_name(examined(ProbeSet(images, TARGETS), reads(side // 2, side // 2), maps))
    untestable = share > THIN_AREA
    assert set(effects) == TESTS | {ESTIMATED} | AIMED - one_class(*["thin_border"] * untestable)
    assert_none(effects["border"])
    thin = effects["thin_border"]
    if share > THIN_AREA == 0.25:
        assert thin.untestable == (
            f"the image is too small: a border of one pixel covers {share:.0%} of it, more than 25%"
        )
        assert np.isnan([thin.effect, thin.flip, thin.keep, thin.p_value]).all()
        assert (thin.num_probes, thin.examples) == (0, ())
    else:
        assert_none(thin)
        assert thin.num_probes == COUNT


def test_a_model_that_knows_and_reads_nothing():
    """It is told the targets, so the images can't matter."""

    def told(images, targets):
        return targets, np.zeros(len(images))

    images = coded(OBJECT)
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    probes = ProbeSet(images, TARGETS, masks=masks, regions={"tag": region(TAG)})
    found = examined(probes, told)
    aimed = AIMED | one_class("background")
    assert set(by_name(found)) == TESTS | aimed | {"region/tag", "background", "border_patch"}
    for effect in found.effects:
        if effect.test in {*aimed, "border_patch"}:  # what has masks has candidates
            assert_stopped(effect)
        else:
            assert_none(effect)
    assert found.blocked_because == ""


def test_a_model_that_reads_part_of_the_time():
    """It reads the tag of two classes of three, and of the third the object: 2/3 of the effect."""

    def answer(images, targets):
        by_tag, by_object = reads(*TAG)(images, targets)[0], reads(*OBJECT)(images, targets)[0]
        return np.where(by_object == 2, 2, by_tag), np.zeros(len(images))

    probes = ProbeSet(coded(TAG, OBJECT), TARGETS, regions={"tag": region(TAG)})
    effect = by_name(examined(probes, answer))["region/tag"]
    assert_all(effect, effect=2 / 3, flip=2 / 3, keep=1, p_value=LOWEST)


def test_two_copies_cover_for_one_another():
    """Two of three places decide: either copy alone may be exchanged, but not both."""
    other = (15, 4)

    def majority(images, targets):
        said = np.stack([reads(*place)(images, targets)[0] for place in (TAG, other, OBJECT)])
        two_agree = (said[0] == said[1]) | (said[0] == said[2])
        return np.where(two_agree, said[0], said[1]), np.zeros(len(images))

    regions = {"one": region(TAG), "other": region(other), "both": region(TAG, other)}
    probes = ProbeSet(coded(TAG, other, OBJECT), TARGETS, regions=regions)
    effects = by_name(examined(probes, majority))
    assert_none(effects["region/one"])
    assert_none(effects["region/other"])
    assert_full(effects["region/both"])


# ---------------------------------------------------------------- what is somewhere else in each


def scattered(low, high, targets=TARGETS):
    """Images whose brightest pixel, anywhere in some rows, tells the class; and where it is."""
    images = noise(len(targets))
    generator = np.random.default_rng(3)
    tops = generator.integers(low, high, len(targets))
    lefts = generator.integers(2, SIDE - 3, len(targets))
    rows = np.arange(len(targets))
    images[rows, tops, lefts, 0] = 2 + targets
    masks = np.zeros(images.shape[:3], bool)
    masks[rows, tops, lefts] = True
    return images, masks


def brightest(images, targets):
    return np.rint(images.max(axis=(1, 2, 3)) - 2).astype(int), np.zeros(len(images))


def test_the_background_of_a_model_that_reads_the_object():
    """Were the union of both objects not spared, the donor's would come in and be read."""
    images, masks = scattered(2, 18)
    assert masks.any(axis=0).sum() > 40
    effects = by_name(examined(ProbeSet(images, TARGETS, masks=masks), brightest))
    assert_none(effects["background"])


def test_the_background_of_a_model_that_reads_the_background():
    images, masks = scattered(8, 12)
    images[:, 15, 4, 0] = TARGETS
    effects = by_name(examined(ProbeSet(images, TARGETS, masks=masks), reads(15, 4)))
    assert_full(effects["background"])


def test_a_cue_that_is_somewhere_else_in_each_image():
    """In row 3: near the border, and off the border."""
    images, masks = scattered(3, 4)
    regions = {"cue": masks}
    effects = by_name(examined(ProbeSet(images, TARGETS, regions=regions), brightest, masks * 1.0))
    assert_full(effects["own_hot_spot"])
    assert_full(effects["region/cue"])
    assert_none(effects["thin_border"])
    assert_none(effects["border"])
    without = by_name(examined(ProbeSet(images, TARGETS), brightest, heat((17, 10))))
    assert_none(without["own_hot_spot"])


def test_the_control_of_own_hot_spots_is_inside():
    """The object, wherever it is in the middle, is a small place that decides, too."""
    images, masks = scattered(4, 16)
    found = by_name(examined(ProbeSet(images, TARGETS), brightest, masks * 1.0))["own_hot_spot"]
    columns = masks.any(axis=1).argmax(axis=1)
    inside = ((columns > 4) & (columns < 16)).mean()
    assert 0.5 < inside < 1
    assert found.effect > 0.15
    assert found.control > 0.3
    assert found.effect < found.control


# ---------------------------------------------------------------- what the maps propose


def test_a_hot_window_is_where_the_maps_are_hot():
    probes = ProbeSet(coded(TAG, OBJECT), TARGETS)
    for hot, effect in ((TAG, 1), (OBJECT, 0)):
        found = by_name(examined(probes, reads(*TAG), heat(hot)))["hot_window"]
        assert_all(found, effect=effect, flip=effect, keep=1)
        top, left, height, width = found.window
        assert height == width == 3
        assert top <= hot[0] < top + height
        assert left <= hot[1] < left + width
        assert (found.num_probes, found.support) == (COUNT, "")


@pytest.mark.parametrize("at_tag", [31, 29])
def test_all_probes_choose_the_place_and_all_test_it(at_tag):
    """It costs nothing that the maps choose: they do not know the donors."""
    maps = heat(OBJECT)
    maps[np.random.default_rng(0).permutation(COUNT)[:at_tag]] = heat(TAG)[0]
    probes = ProbeSet(coded(TAG, OBJECT), TARGETS)
    found = by_name(examined(probes, reads(*TAG), maps))["hot_window"]
    if at_tag > COUNT / 2:
        assert_full(found)
        assert region(TAG, size=1)[found.window.top :, found.window.left :][:3, :3].any()
    else:
        assert_none(found)


def one_class_cue(images, y, x):
    """Class 2 is named by a digit of its own; all others by the object."""
    hide(images, np.where(TARGETS == 2, 7, 0), y, x)

    def answer(batch, targets):
        by_object = reads(*OBJECT)(batch, targets)[0]
        return np.where(digit(batch, y, x) == 7, 2, by_object), np.zeros(len(batch))

    return answer


def test_a_cue_of_one_class():
    """The p-value pays for the choice among 18 x 18 windows and 3 classes."""
    images = coded(OBJECT)
    answer = one_class_cue(images, *TAG)
    maps = heat(OBJECT)
    maps[TARGETS == 2, 4, 15] = 0.9
    effects = by_name(examined(ProbeSet(images, TARGETS), answer, maps))
    found = effects["class_hot_spot"]
    assert (found.target, found.support, found.num_probes) == (2, "", 40)
    assert_all(found, effect=1, flip=1, keep=1, p_value=18 * 18 * 3 * 2.0**-40)
    assert_not_compared(found)
    assert {TARGETS[example.donor] for example in found.examples} == {2}
    assert 2 not in {TARGETS[example.recipient] for example in found.examples}
    assert effects["hot_window"].window[:2] == (9, 10)  # the first one that holds the object


def test_a_cue_of_one_class_that_repeats_has_support():
    """The same, and to be seen: a bright pixel in all images of class 2."""
    images = coded(OBJECT)
    images[TARGETS == 2, 4, 15, 0] = 9

    def answer(batch, targets):
        by_object = reads(*OBJECT)(batch, targets)[0]
        return np.where(batch[:, 4, 15, 0] > 5, 2, by_object), np.zeros(len(batch))

    maps = heat(OBJECT)
    maps[TARGETS == 2, 4, 15] = 0.9
    effects = by_name(examined(ProbeSet(images, TARGETS), answer, maps))
    for name in ("class_hot_spot", "repeated_pattern"):
        found = effects[name]
        assert (found.target, found.num_probes) == (2, 40)
        assert found.support == "the same pixels in 100% of the images of class '2'"
        assert_all(found, effect=1, flip=1, keep=1)
        assert_not_compared(found)
    assert_all(effects["repeated_pattern"], p_value=LOWEST)  # nothing was chosen with the targets


def test_dead_maps_propose_nothing():
    found = examined(ProbeSet(coded(OBJECT), TARGETS), reads(*OBJECT), np.zeros((60, SIDE, SIDE)))
    effects = by_name(found)
    reasons = {
        "hot_window": "all maps are dead",
        "class_hot_spot": "fewer than two classes have a map that is not dead",
    }
    for name, reason in reasons.items():
        assert effects[name].untestable == reason
        assert np.isnan([effects[name].effect, effects[name].p_value]).all()
    assert_none(effects["border"])


# ---------------------------------------------------------------- what is not a place


def test_a_model_that_reads_the_tint_only():
    """The pixels of a probe are those of any other, shuffled, and brighter by class."""
    targets = np.arange(40) % 2
    generator = np.random.default_rng(0)
    values = np.linspace(-1, 1, SIDE * SIDE)
    images = np.stack([generator.permutation(values) for _ in targets]) + targets[:, np.newaxis]
    probes = ProbeSet(
        images.reshape(40, SIDE, SIDE, 1), targets, regions={"tag": region(TAG), "most": ~region()}
    )

    def brightness(batch, asked):
        return (batch.mean(axis=(1, 2, 3)) > 0.5).astype(int), np.zeros(len(batch))

    effects = by_name(examined(probes, brightness))
    assert_full(effects["tint"])
    assert_all(effects["tint"], control=0, control_p_value=1, margin_p_value=LOWEST)
    for name in TESTS - {"tint"} | {"region/tag"}:  # a third of the pixels at most
        assert_none(effects[name])


def test_a_model_that_reads_the_finest_detail_only():
    """A chessboard, of which the black and white fields change places by class."""
    targets = np.arange(40) % 2
    board = (-1.0) ** np.add(*np.indices((SIDE, SIDE)))[..., np.newaxis]
    images = noise(40) + np.where(targets == 1, 2, -2)[:, None, None, None] * board

    def phase(batch, asked):
        return ((batch * board).sum(axis=(1, 2, 3)) > 0).astype(int), np.zeros(len(batch))

    effects = by_name(examined(ProbeSet(images, targets), phase))
    assert_full(effects["high_frequency"])
    assert_all(effects["high_frequency"], control=0, control_p_value=1, margin_p_value=LOWEST)
    for name in TESTS - {"high_frequency"}:
        assert_none(effects[name])


# ---------------------------------------------------------------- scores instead of classes


def linear(**weights):
    """A score that is a weighted sum of pixels; classes can't be told."""
    places = {"tag": TAG, "object": OBJECT}

    def answer(images, targets):
        values = [weight * images[(..., *places[name], 0)] for name, weight in weights.items()]
        return np.full(len(images), -1), sum(values)

    return answer


def test_shares_of_a_score():
    """The tag moves it three times as far as the object; both together are all there is."""
    regions = {
        "tag": region(TAG),
        "object": region(OBJECT),
        "all": np.ones((SIDE, SIDE), bool),
        "none": region((4, 3)),
    }
    probes = ProbeSet(coded(TAG, OBJECT), TARGETS, regions=regions)
    found = examined(probes, linear(tag=3.0, object=1.0), by_score=True)
    assert (found.unit, found.blocked_because) == ("score", "")
    effects = by_name(found)
    expected = {"region/tag": 0.75, "region/object": 0.25, "region/all": 1, "region/none": 0}
    for name, share in expected.items():
        assert_all(effects[name], effect=share, keep=1, p_value=LOWEST if share else 1)
    assert_all(effects["border"], effect=0)
    assert_not_compared(effects["border"])
    assert np.isnan([effect.flip for effect in found.effects]).all()


def test_shares_do_not_depend_on_the_scale_of_the_score():
    regions = {"tag": region(TAG), "all": np.ones((SIDE, SIDE), bool)}
    probes = ProbeSet(coded(TAG, OBJECT), TARGETS, regions=regions)
    for sign in (1e-3, 1e6, -1):
        effects = by_name(examined(probes, linear(tag=sign, object=3 * sign), by_score=True))
        assert_all(effects["region/tag"], effect=0.25)
        assert_all(effects["region/all"], effect=1)


def test_scores_that_tell_no_class_apart_close_the_gate():
    def norm(images, targets):
        return np.full(len(images), -1), images.sum(axis=(1, 2, 3))

    found = examined(ProbeSet(noise(), TARGETS), norm, by_score=True)
    assert (
        found.blocked_because
        == "the scores tell the classes of the probes apart in 0.52 of pairs, below 0.70"
    )


# ---------------------------------------------------------------- what can't be tested


def test_a_model_that_knows_nothing_closes_the_gate():
    found = examined(ProbeSet(coded(OBJECT), TARGETS), lambda x, t: (0 * t, np.zeros(len(x))))
    assert found.blocked_because == "the accuracy on the probes is 0.33, below 0.60"


def test_a_model_that_every_change_confuses():
    """It knows the probes by heart, and nothing else."""
    images = coded(OBJECT)
    known = {image.tobytes(): target for image, target in zip(images, TARGETS, strict=True)}

    def by_heart(batch, targets):
        said = [known.get(image.tobytes(), 0) for image in batch]
        return np.array(said), np.zeros(len(batch))

    found = examined(ProbeSet(images, TARGETS), by_heart)
    assert found.blocked_because == ""
    assert set(by_name(found)) == TESTS | AIMED | {ESTIMATED}
    for effect in found.effects:
        if effect.test in AIMED:
            assert_stopped(effect)
            continue
        if effect.test == ESTIMATED:
            continue
        if effect.test == "class_hot_spot" and effect.target == 0:
            continue  # its donors make the very answer that is given to all
        assert effect.untestable == (
            f"the exchange damages the images: with donors of the same class only "
            f"{effect.keep:.2f} remains, below 0.60"
        )
        assert effect.keep <= 0.5
        assert effect.effect == pytest.approx(0)


def test_probes_without_targets_or_of_one_class():
    found = examined(ProbeSet(noise()), reads(*OBJECT))
    assert (found.effects, found.blocked_because) == ((), "the probes have no targets")
    for targets in (np.zeros(60, int), np.arange(60)):
        found = examined(ProbeSet(noise(), targets), reads(*OBJECT))
        assert found.effects == ()
        assert (
            found.blocked_because == "at least two classes are needed, one of them with two probes"
        )
        assert found.passes == 0


def test_so_few_probes_prove_nothing():
    """Nine tests at a level of 0.01 need 10 probes; a choice of 18 x 18 windows and 2 classes 20.

    2^-9 * 9 = 0.018, 2^-10 * 9 = 0.009; 2^-19 * 9 * 648 = 0.011, 2^-20 * 9 * 648 = 0.006.
    """
    for count, targets in ((4, [0, 1, 0, 1]), (6, np.arange(6) % 2)):
        targets = np.array(targets)
        images = noise(count) + 10 * np.arange(count)[:, None, None, None]  # nothing repeats
        hide(images, targets, *OBJECT)
        found = examined(ProbeSet(images, targets), reads_digit(*OBJECT))
        effects = by_name(found)
        assert set(effects) == TESTS | {ESTIMATED}
        for name in TESTS - {"class_hot_spot"}:
            assert effects[name].num_probes == count
            assert effects[name].untestable == (
                f"{count} probes are too few to prove an effect; at least 10 are needed"
            )
        assert effects["class_hot_spot"].untestable == (
            f"{count // 2} probes are too few to prove an effect; at least 20 are needed"
        )
        assert_all(effects["border"], effect=0, p_value=1)


def test_a_window_of_the_only_class_that_gives_and_receives():
    targets = np.array([0] * 15 + [1])
    maps = heat(TAG, count=16)
    maps[15] = heat(OBJECT, (4, 4), count=1)[0]  # spread, so that class 0 stands out more
    found = examined(ProbeSet(coded(OBJECT, targets=targets), targets), reads(*OBJECT), maps)
    effect = by_name(found)["class_hot_spot"]
    assert effect.untestable == "no other class has two probes"
    assert np.isnan([effect.effect, effect.p_value]).all()
    assert by_name(found)["hot_window"].num_probes == 15


def test_classes_of_a_single_probe_are_left_out_and_named():
    targets = np.array([0] * 9 + [1] * 9 + [2, 3])
    names = ["cat", "dog", "emu", "fox"]
    probes = ProbeSet(coded(RING, targets=targets), targets, class_names=names)
    found = examined(probes, reads(*RING))
    assert found.note == "classes with a single probe are not tested: emu, fox"
    effect = by_name(found)["border"]
    assert effect.num_probes == 18
    assert_all(effect, effect=1, flip=1, keep=1)


def test_of_many_probes_some_are_tested():
    targets = np.repeat([0, 1, 2], [300, 20, 100])
    found = examined(ProbeSet(coded(RING, targets=targets), targets), reads(*RING))
    effect = by_name(found)["border"]
    assert (effect.num_probes, effect.num_donors) == (MAX_RECIPIENTS, 1)
    assert_all(effect, effect=1, flip=1)


@pytest.mark.parametrize(("count", "donors"), [(60, 4), (64, 4), (66, 3), (90, 2), (200, 1)])
def test_the_number_of_passes_is_bounded(count, donors):
    targets = np.arange(count) % 2
    found = examined(ProbeSet(coded(RING, targets=targets), targets), reads(*RING))
    effect = by_name(found)["border"]
    assert (effect.num_probes, effect.num_donors) == (count, donors)


# ---------------------------------------------------------------- how the model is asked


def contents(found):
    """All numbers and images of what was found, with nan made equal to itself."""
    rows = []
    for effect in found.effects:
        fields = {f.name: getattr(effect, f.name) for f in dataclasses.fields(effect)}
        examples = [
            (e.recipient, e.donor, e.prediction, e.same_class_prediction, e.image.tobytes())
            for e in fields.pop("examples")
        ]
        rows.append((repr(fields), examples))
    return rows, found.blocked_because, found.unit, found.passes, found.note


def wavering(images, targets):
    """Reads the tag and the border, and is thrown off by the rest."""
    values = images[:, 4, 15, 0] + images[:, 0, 7, 0] + np.sin(40 * images.sum(axis=(1, 2, 3)))
    return np.clip(np.rint(values / 2), 0, 2).astype(int), values


@pytest.mark.parametrize("by_score", [False, True])
def test_the_size_of_chunks_changes_nothing(by_score):
    images, masks = scattered(2, 18)
    images[:, 4, 15, 0] = images[:, 0, 7, 0] = TARGETS
    probes = ProbeSet(images, TARGETS, masks=masks, regions={"tag": region(TAG)})
    maps = np.random.default_rng(1).random((60, SIDE, SIDE))
    sizes = []

    def seen(batch, targets):
        sizes.append(len(batch))
        return wavering(batch, targets)

    found = examined(probes, seen, maps, by_score=by_score, chunk_size=7)
    assert max(sizes[1:]) == 7  # the first is of the probes themselves
    assert sum(sizes[1:]) == found.passes
    for chunk_size in (64, 10_000):
        again = examined(probes, wavering, maps, by_score=by_score, chunk_size=chunk_size)
        assert contents(again) == contents(found)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    images = coded(TAG, RING)
    probes = ProbeSet(images, TARGETS, regions={"tag": region(TAG)})
    maps = np.random.default_rng(1).random((60, SIDE, SIDE))
    np.random.seed(1)
    first = contents(examined(probes, wavering, maps))
    np.random.seed(2)
    state = np.random.get_state()[1].tobytes()
    assert contents(examined(probes, wavering, maps)) == first
    assert np.random.get_state()[1].tobytes() == state
    assert contents(examined(probes, wavering, maps, seed=1)) != first


def test_the_model_is_asked_for_the_recipient_s_own_target():
    """The recipient's first pixel leaves with the border alone, and with all but another thing."""
    images = coded(RING)
    probes = ProbeSet(images, TARGETS, regions={"tag": region(TAG)})
    asked = []

    def answer(batch, targets):
        asked.append((np.rint(batch[:, 0, 7, 0]), targets))
        return targets, np.zeros(len(batch))

    examined(probes, answer, chunk_size=10_000)
    said, targets = asked[1]  # the first question, after the probes themselves
    np.testing.assert_array_equal(said, targets)
    assert set(targets) == {0, 1, 2}


def test_the_probes_are_not_changed():
    images, masks = scattered(2, 18)
    probes = ProbeSet(images, TARGETS, masks=masks)
    before = probes.fingerprint
    maps = np.random.default_rng(1).random((60, SIDE, SIDE))
    maps.setflags(write=False)
    examined(probes, wavering, maps)
    assert probes.fingerprint == before


# ---------------------------------------------------------------- custom tests


def swap_pixel(y, x):
    """An edit that exchanges one pixel."""

    def edit(recipients, donors, where):
        assert where is None
        images = recipients.copy()
        images[:, y, x] = donors[:, y, x]
        return images

    return edit


def custom(edit, **settings):
    return InterventionTest("mine", edit, "my pixel", "my pixel says nothing", **settings)


def test_a_custom_test_finds_what_the_model_reads_and_nothing_else():
    probes = ProbeSet(coded(TAG, OBJECT), TARGETS)
    for pixel, check in ((TAG, assert_full), (OBJECT, assert_none)):
        settings = Interventions(tests=["border", custom(swap_pixel(*pixel))])
        found = examined(probes, reads(*TAG), settings=settings)
        effects = by_name(found)
        assert [*effects] == ["border", "border/one_class", "mine"]
        check(effects["mine"])
        if pixel == TAG:  # the control exchanges everything else
            assert_all(effects["mine"], control=0, control_p_value=1, margin_p_value=LOWEST)
        else:
            assert_not_compared(effects["mine"])


def test_a_custom_test_can_have_places():
    """Two of them, named; the control is the same shape elsewhere."""

    def places(round_):
        assert round_.images.shape == (COUNT, SIDE, SIDE, 1)
        return [Place(region(TAG), "tag"), Place(region(OBJECT), "object")]

    mine = custom(swap_region, control="elsewhere", propose=places)
    probes = ProbeSet(coded(TAG, OBJECT), TARGETS)
    found = by_name(examined(probes, reads(*TAG), settings=Interventions(tests=[mine])))
    assert_full(found["mine/tag"])
    assert_all(found["mine/tag"], control=0)
    assert_none(found["mine/object"])


def test_a_custom_test_that_cannot_be_made_says_why():
    mine = custom(swap_region, propose=lambda round_: [Place(untestable="it is too dark")])
    found = examined(
        ProbeSet(coded(OBJECT), TARGETS), reads(*OBJECT), settings=Interventions(tests=[mine])
    )
    assert [effect.untestable for effect in found.effects] == ["it is too dark"]


@pytest.mark.parametrize(
    ("edit", "received"),
    [
        (lambda recipients, donors, where: recipients[:, :2], r"\(64, 2, 20, 1\)"),
        (lambda recipients, donors, where: None, "NoneType"),
    ],
)
def test_an_edit_that_returns_no_images_is_named(edit, received):
    expected = (
        rf"edit of the test 'mine': expected .* shape \(64, 20, 20, 1\).* received {received}"
    )
    with pytest.raises(ValueError, match=expected):
        examined(
            ProbeSet(coded(OBJECT), TARGETS),
            reads(*OBJECT),
            settings=Interventions(tests=[custom(edit)]),
        )


def test_a_built_in_test_can_be_replaced_by_a_variant():
    wide = dataclasses.replace(TABLE["border"], floor=0.5)
    settings = Interventions(tests=["tint", wide])
    assert [*settings.table] == ["tint", "border"]
    assert settings.table["border"].floor == 0.5
    assert TABLE["border"].floor == 0.25


def test_the_settings_by_default_are_all_built_in_tests():
    assert dict(Interventions().table) == dict(TABLE)
    assert [*Interventions(tests=[*TABLE, custom(swap_pixel(0, 0))]).table] == [*TABLE, "mine"]
    again = pickle.loads(pickle.dumps(Interventions("epoch", ["tint"], ["tint"], {"tint": 0.5}, 3)))
    assert (again.when, [*again.table], again.ignore, again.seed) == (
        "epoch",
        ["tint"],
        ("tint",),
        3,
    )
    assert (again.floor("tint"), again.floor("border")) == (0.5, 0.0)
    assert again == Interventions("epoch", ["tint"], ["tint"], {"tint": 0.5}, 3)


@pytest.mark.parametrize(
    ("settings", "error", "expected"),
    [
        ({"when": "often"}, ValueError, "when: expected one of 'auto', 'epoch', received 'often'"),
        ({"when": None}, TypeError, "when: expected one of 'auto', 'epoch', received None"),
        ({"tests": "tint"}, TypeError, "tests: expected a list .* received 'tint'"),
        ({"tests": []}, ValueError, "tests: expected at least one test"),
        ({"tests": ["colour"]}, ValueError, "tests: expected one of 'region'.* received 'colour'"),
        ({"tests": ["tint", "tint"]}, ValueError, "tests: expected each test once.*'tint' twice"),
        ({"tests": [3]}, TypeError, "tests: expected a name or an InterventionTest, received 3"),
        ({"ignore": "tint"}, TypeError, "ignore: expected a list of names .* received 'tint'"),
        ({"ignore": ("colour",)}, ValueError, "ignore: expected names of region.*'colour'"),
        ({"ignore": (3,)}, TypeError, "ignore: expected names of tests, received 3"),
        ({"floors": {"colour": 0.5}}, ValueError, "floors: expected tests of region.*'colour'"),
        ({"seed": 0.5}, TypeError, "seed: expected an integer, received 0.5"),
        ({"seed": True}, TypeError, "seed: expected an integer, received True"),
    ],
)
def test_settings_are_checked(settings, error, expected):
    with pytest.raises(error, match=expected):
        Interventions(**settings)


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        ({"name": ""}, ValueError, "name: expected some text"),
        ({"name": "a/b"}, ValueError, "name: expected a name without a slash, received 'a/b'"),
        ({"name": 3}, TypeError, "name: expected a string, received 3"),
        ({"subject": "a {thing}"}, ValueError, "subject: expected text in which only {name}"),
        ({"assumption": ""}, ValueError, "assumption: expected some text"),
        ({"edit": "swap"}, TypeError, "edit: expected a function or None, received 'swap'"),
        ({"propose": 3}, TypeError, "propose: expected a function or None, received 3"),
        ({"floor": 1.1}, ValueError, "floor: expected a number in 0..1, received 1.1"),
        ({"floor": "high"}, TypeError, "floor: expected a number, received 'high'"),
        ({"outweighs": -1}, ValueError, "outweighs: expected 0 or more, received -1"),
        ({"control": "none"}, ValueError, "control: expected one of 'elsewhere', .*'none'"),
        ({"control": "inside"}, ValueError, "control='inside': expected a test of a part"),
        ({"control": []}, TypeError, "control: expected one of 'elsewhere'"),
        ({"edit": None}, ValueError, "edit: expected a function .* received None"),
        ({"name": "my\ntest"}, ValueError, "name: expected printable characters"),
        ({"subject": "{name.__class__}"}, ValueError, "subject: .*only .name. and .window."),
    ],
)
def test_rows_of_the_table_are_checked(changes, error, expected):
    with pytest.raises(error, match=expected):
        dataclasses.replace(custom(swap_pixel(0, 0)), **changes)


def mask_of(*pixels):
    mask = np.zeros((SIDE, SIDE), bool)
    for pixel in pixels:
        mask[pixel] = True
    return mask


@pytest.mark.parametrize(
    ("places", "error", "expected"),
    [
        (None, TypeError, "expected a list of Place or Candidates objects, received None"),
        ([mask_of(TAG)], TypeError, "expected a list of Place or Candidates objects"),
        ([Place()], TypeError, "expected a bool array as mask, received NoneType"),
        ([Place(mask_of(TAG) * 1.0)], TypeError, "expected a bool array as mask, received float64"),
        ([Place(mask_of(TAG)[1:])], ValueError, r"expected a mask of shape .* received \(19, 20\)"),
        (
            [Place(mask_of(TAG))] * 2,
            ValueError,
            r"places with different names, received \['', ''\]",
        ),
    ],
)
def test_what_a_custom_test_proposes_is_checked(places, error, expected):
    test = custom(swap_pixel(*TAG), propose=lambda round_: places)
    with pytest.raises(error, match=f"propose of the test 'mine': .*{expected}"):
        examined(ProbeSet(coded(TAG), TARGETS), reads(*TAG), settings=Interventions(tests=[test]))


def test_a_control_inside_needs_its_place():
    places = [Place(mask_of(TAG))]
    test = custom(swap_pixel(*TAG), control="inside", propose=lambda round_: places)
    with pytest.raises(TypeError, match="'mine': expected a bool array as control, received None"):
        examined(ProbeSet(coded(TAG), TARGETS), reads(*TAG), settings=Interventions(tests=[test]))


@pytest.mark.parametrize(
    ("made", "error", "expected"),
    [
        (lambda images: (images * 255).astype("uint8"), TypeError, "expected float64, .* uint8"),
        (lambda images: images.astype(complex), TypeError, "expected float64, .* complex128"),
        (lambda images: images.astype(object), TypeError, "expected float64, .* object"),
        (lambda images: images * np.nan, ValueError, "expected finite numbers, received nan"),
    ],
)
def test_what_a_custom_edit_returns_is_checked(made, error, expected):
    test = custom(lambda recipients, donors, where: made(recipients))
    with pytest.raises(error, match=f"edit of the test 'mine': {expected}"):
        examined(ProbeSet(coded(TAG), TARGETS), reads(*TAG), settings=Interventions(tests=[test]))


def test_settings_do_not_change_with_the_lists_and_dicts_that_they_were_made_of():
    tests, ignore, floors = ["border"], ["tint"], {"border": 0.5}
    settings = Interventions(tests=tests, ignore=ignore, floors=floors)
    tests[0], ignore[0], floors["border"] = "tint", "border", 0.1
    for found in (settings, pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert (found.tests, found.ignore) == (("border",), ("tint",))
        assert (found.floor("border"), [*found.table]) == (0.5, ["border"])
        assert found == settings
        assert hash(found) == hash(settings)
    with pytest.raises(TypeError, match="read-only"):
        settings.floors["border"] = 0.1


def test_floors_of_a_file_are_read_once(tmp_path):
    path = tmp_path / "floors.json"
    calibrate([{"step": [0], "effect/border": [0.5]}], path)
    settings = Interventions(floors=path)
    path.unlink()
    assert pickle.loads(pickle.dumps(settings)).floor("border") == 0.5


def test_a_floor_of_a_test_holds_for_all_its_places():
    settings = Interventions(floors={"region": 0.5, "region/tag": 0.25})
    assert settings.floor("region/tag") == 0.25
    assert settings.floor("region/other") == 0.5
    assert settings.floor("border") == 0


def test_the_row_of_groups_can_be_changed_and_copied():
    rows = [dataclasses.replace(TABLE["groups"], floor=0.3), TABLE["border"]]
    settings = copy.deepcopy(Interventions(tests=rows))
    assert settings.table["groups"].floor == 0.3
    assert settings.table["border"].name == "border"


def test_a_custom_test_of_the_name_groups_takes_its_place():
    test = dataclasses.replace(custom(swap_pixel(*TAG)), name="groups")
    probes = ProbeSet(coded(TAG), TARGETS)
    metrics = {"group_gap": 0.5, "group_gap_p_value": 0.001}
    maps = heat(OBJECT, count=len(probes))
    for tests, passes in ((["groups"], False), ([test], True)):
        found = intervene(
            probes,
            maps,
            TARGETS,
            np.zeros(COUNT),
            lambda images, recipients: reads(*TAG)(images, None),
            by_score=False,
            chunk_size=64,
            settings=Interventions(tests=tests),
            metrics=metrics,
        )
        (effect,) = found.effects
        assert effect.test == "groups"
        assert (effect.effect > 0.9) == passes


@pytest.mark.parametrize("name", ["region/typo", "border/foo", "spectrum/one_class"])
@pytest.mark.parametrize("argument", ["ignore", "floors"])
def test_a_place_that_is_not_there_is_refused(argument, name):
    given = {name: 0.5} if argument == "floors" else [name]
    probes = ProbeSet(coded(TAG), TARGETS, regions={"tag": region(TAG)})
    known = "'background/one_class', 'border/one_class', 'region/tag', 'thin_border/one_class'.*"
    with pytest.raises(ValueError, match=f"{argument}: expected {known}, received '{name}'"):
        examined(probes, reads(*TAG), settings=Interventions(**{argument: given}))


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**31, ValueError), ("1", TypeError)]
)
def test_a_bad_seed_is_refused(seed, error):
    with pytest.raises(error, match="seed: expected an integer"):
        Interventions(seed=seed)
