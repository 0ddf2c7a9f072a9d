"""Which of several effects names the cue: models of which it is known exactly what they read."""

import dataclasses
import itertools

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.reports import Effect
from keras_saliency.detection.alerts import announce, judge
from keras_saliency.detection.edits import swap_region
from keras_saliency.detection.effects import Readiness, Swap, SwapExperiment
from keras_saliency.detection.explaining import (
    COMPARABLE,
    REMAINS,
    SPECIFIC,
    WIDE_PATTERN,
    explained,
)
from keras_saliency.detection.interventions import intervene
from keras_saliency.detection.pairs import draw_pairs
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.tests import TESTS, InterventionTest
from support.exact_models import (
    COUNT,
    OBJECT,
    RING,
    SIDE,
    TAG,
    TARGETS,
    by_name,
    digit,
    examined,
    heat,
    hide,
    noise,
    reads_digit,
    region,
)

GATE = (11, 12)
"""A pixel that says by which place a probe is read; it is part of the object."""


def cues(*places, shares=(1.0,)):
    """Digits of the class at these places, and of which of them is read at the gate.

    Args:
        places: Pixels.
        shares: Of the probes, evenly in all classes, that are read at each place.
    """
    images = noise()
    for place in places:
        hide(images, TARGETS, *place)
    ends = np.rint(np.cumsum(shares) * COUNT / 3)
    hide(images, np.searchsorted(ends, np.arange(COUNT) // 3, side="right"), *GATE)

    def answer(batch, targets):
        gate = digit(batch, *GATE)
        digits = [digit(batch, *place) for place in places]
        return np.select([gate == k for k in range(len(places))], digits, 9), np.zeros(len(batch))

    return images, answer


def found_by(images, answer, *tests, maps=None, **probes):
    settings = Interventions(tests=tests) if tests else Interventions()
    return examined(ProbeSet(images, TARGETS, **probes), answer, maps, settings=settings)


def explanations(found, settings=None):
    """By the tests that fire, what explains them; empty if nothing does."""
    verdicts, _ = judge(found, settings=settings)
    return {v.effect.test: v.effect.explained_by for v in verdicts if v.status == "fires"}


def alerted(found):
    """By the tests that are told, what they explain."""
    verdicts, _ = judge(found)
    return {alert.rule: alert.explains for alert in announce(verdicts, {}, 0, "accuracy")}


# ---------------------------------------------------------------- one cue, one name


def test_a_tag_explains_all_that_hold_it():
    """It is in both borders, in the background and in the window where the maps are hot."""
    images, answer = cues(RING)
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    found = found_by(
        images, answer, maps=heat(RING), masks=masks, regions={"tag": region(RING, size=1)}
    )
    named = explanations(found)
    assert {"border", "thin_border", "background", "hot_window", "border_patch"} <= set(named)
    assert [name for name, by in named.items() if not by] == ["region/tag"]
    assert set(named.values()) == {"", "region/tag"}
    assert set(alerted(found)) == {"region/tag"}
    assert set(alerted(found)["region/tag"]) == set(named) - {"region/tag"}


def test_the_border_is_not_explained_by_a_tag_that_is_not_read():
    images, answer = cues(RING)
    hide(images, TARGETS, *TAG)
    found = found_by(images, answer, "region", "border", regions={"tag": region(TAG)})
    assert explanations(found) == {"border": ""}


def test_two_independent_cues_are_two_alerts():
    """A half of the probes is read in the border, the other half at a tag inside."""
    images, answer = cues(RING, TAG, shares=(0.5, 0.5))
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    regions = {"tag": region(TAG)}
    found = found_by(images, answer, "region", "border", regions=regions, masks=masks)
    effects = by_name(found)
    assert (effects["border"].effect, effects["region/tag"].effect) == (0.5, 0.5)
    assert explanations(found) == {"region/tag": "", "border": ""}
    assert alerted(found) == {"region/tag": (), "border": ()}


def test_a_border_is_not_explained_by_a_tag_that_is_a_part_of_it():
    """The tag is half of the cue; the border is all of it, and explains the tag."""
    other = (0, 14)
    images, answer = cues(RING, other, shares=(0.5, 0.5))
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    regions = {"tag": region(RING, size=1)}
    found = found_by(images, answer, "region", "border", regions=regions, masks=masks)
    effects = by_name(found)
    assert (effects["border"].effect, effects["region/tag"].effect) == (1, 0.5)
    assert explanations(found) == {"region/tag": "border", "border": ""}
    assert alerted(found) == {"border": ("region/tag",)}


@pytest.mark.parametrize(("rest", "named"), [(0.25, "region/tag"), (0.3, "border")])
def test_an_effect_is_explained_by_three_quarters_of_it(rest, named):
    """The rest of the probes is read elsewhere in the border.

    If the tag is too small a part of the border's effect, the border explains the tag.
    """
    assert COMPARABLE == 0.75
    images, answer = cues(RING, (0, 14), shares=(1 - rest, rest))
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    found = found_by(
        images, answer, "region", "border", regions={"tag": region(RING, size=1)}, masks=masks
    )
    assert by_name(found)["region/tag"].effect == pytest.approx(1 - rest)
    other = ({"region/tag", "border"} - {named}).pop()
    assert explanations(found) == {named: "", other: named}


def test_of_two_names_for_one_cue_the_more_specific_one_counts():
    """A user's own test first, then a region, then what was proposed, then the border."""
    images, answer = cues(RING)
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    mine = InterventionTest(
        "mine",
        lambda recipients, donors, where: swap_region(recipients, donors, region(RING, size=1)),
        "mine",
        "it is",
        control="",
    )
    probes = {"masks": masks, "regions": {"tag": region(RING, size=1)}, "maps": heat(RING)}
    rows = ["border", "hot_window", "region", mine]
    for number, first in enumerate(["border", "hot_window", "region/tag", "mine"]):
        found = found_by(images, answer, *rows[: number + 1], **probes)
        settings = Interventions(tests=rows[: number + 1])
        named = explanations(found, settings)
        assert len(named) == number + 1
        assert named == {name: "" if name == first else first for name in named}


def test_what_explains_is_not_explained_itself():
    """Two tags of the same cue, which is half of that in the border."""
    images, answer = cues(RING, (0, 14), shares=(0.5, 0.5))
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    regions = {"a": region(RING, size=1), "b": region(RING, size=1)}
    found = found_by(images, answer, "region", regions=regions, masks=masks)
    assert explanations(found) == {"region/a": "", "region/b": "region/a"}
    found = found_by(images, answer, "region", "border", regions=regions, masks=masks)
    assert explanations(found) == {"region/a": "border", "region/b": "border", "border": ""}


def test_a_cue_that_is_elsewhere_in_each_image_is_put_back_where_it_was():
    """The brightest pixel, anywhere in row 2, by masks of each image's own."""
    images = noise()
    lefts = np.random.default_rng(3).integers(2, SIDE - 3, COUNT)
    images[np.arange(COUNT), 2, lefts, 0] = 2 + TARGETS
    masks = np.zeros(images.shape[:3], bool)
    masks[np.arange(COUNT), 2, lefts] = True

    def brightest(batch, targets):
        return np.rint(batch.max(axis=(1, 2, 3)) - 2).astype(int), np.zeros(len(batch))

    found = found_by(
        images, brightest, "region", "own_hot_spot", maps=masks * 1.0, regions={"cue": masks}
    )
    assert explanations(found) == {"region/cue": "", "own_hot_spot": "region/cue"}


def test_a_background_is_put_back_where_both_are_background():
    """It explains a region of it that a user named, if the other half of the cue is there, too."""
    places = (15, 4), (15, 9)
    images, answer = cues(*places, shares=(0.5, 0.5))
    generator = np.random.default_rng(0)
    masks = np.zeros(images.shape[:3], bool)
    for mask in masks:
        top, left = generator.integers(2, 5, 2)
        mask[top : top + 8, left : left + 9] = True
    masks[:, GATE[0], GATE[1]] = True
    regions = {"tag": region(places[0], size=1)}
    found = found_by(images, answer, "region", "background", regions=regions, masks=masks)
    assert by_name(found)["background"].effect == 1
    assert explanations(found) == {"region/tag": "background", "background": ""}


def test_the_tint_is_put_back():
    """A model that reads brightness; a test that exchanges it, and more, is explained by it."""
    images = 0.1 * noise() + 0.3 * TARGETS[:, None, None, None]

    def bright(batch, targets):
        return np.rint((batch.mean(axis=(1, 2, 3)) - 0.05) / 0.3).astype(int), np.zeros(len(batch))

    masks = np.zeros(images.shape[:3], bool)
    masks[:, 10, 10] = True
    found = found_by(images, bright, "tint", "background", masks=masks)
    assert explanations(found) == {"tint": "", "background": "tint"}


def test_a_test_that_does_not_fire_explains_nothing_and_is_not_explained():
    """Two tags, of which one is read; its effect is below the floor of a user's own test of it."""
    images, answer = cues(RING, (15, 4), shares=(0.3, 0.7))
    mine = InterventionTest(
        "mine",
        lambda recipients, donors, where: swap_region(recipients, donors, region(RING, size=1)),
        "mine",
        "it is",
        floor=0.5,
        control="",
    )
    regions = {"tag": region(RING, size=1), "other": region(TAG)}
    found = found_by(images, answer, mine, "region", regions=regions)
    effects = by_name(found)
    assert effects["mine"].effect == effects["region/tag"].effect == pytest.approx(0.3)
    assert explanations(found, Interventions(tests=[mine, "region"])) == {"region/tag": ""}
    assert [effect.explained_by for effect in found.effects] == [""] * 3


@pytest.mark.parametrize("ignored", ["region/tag", "border"])
def test_what_is_ignored_explains_and_is_explained(ignored):
    """If the tag is ignored, the border, which contains it, raises no alert; and the reverse."""
    images, answer = cues(RING)
    probes = ProbeSet(images, TARGETS, regions={"tag": region(RING, size=1)})
    settings = Interventions(tests=["region", "border"], ignore=[ignored])
    found = examined(probes, answer, settings=settings)
    by = {effect.test: effect.explained_by for effect in found.effects}
    assert (by["region/tag"], by["border"]) == ("", "region/tag")
    verdicts, _ = judge(found, settings=settings)
    by_test = {verdict.effect.test: verdict for verdict in verdicts}
    assert by_test[ignored].reason == "ignored, as set by ignore="
    told = announce(verdicts, {}, 0, "accuracy", settings)
    assert [alert.rule for alert in told] == [] if ignored == "region/tag" else ["region/tag"]


def test_while_tests_are_blocked_nothing_is_explained():
    images, _ = cues(RING)
    regions = {"tag": region(RING, size=1)}
    found = found_by(
        images,
        lambda batch, targets: (np.zeros(len(batch), int), np.zeros(len(batch))),
        "region",
        "border",
        regions=regions,
    )
    assert found.blocked_because
    assert {effect.explained_by for effect in found.effects} == {""}


def test_explaining_takes_one_donor_for_each_pair_of_tests():
    """The tag explains the border: one pair, 60 probes, and donors of two kinds."""
    images, answer = cues(RING)
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    regions = {"tag": region(RING, size=1)}
    alone = [
        found_by(images, answer, test, regions=regions, masks=masks).passes
        for test in ("region", "border")
    ]
    both = found_by(images, answer, "region", "border", regions=regions, masks=masks)
    assert both.passes == sum(alone) + 2 * COUNT


# ---------------------------------------------------------------- of the pure function


class Pixels:
    """Swaps of single pixels; a model that reads some of them, each for some of the probes."""

    def __init__(self, *shares):
        self.targets = np.arange(40) % 2
        images = np.tile(self.targets[:, None, None, None], (1, 1, len(shares), 1)).astype(float)
        self.images = images
        ends = np.rint(np.cumsum(shares) * 20)
        self.places = np.searchsorted(ends, np.arange(40) // 2, side="right")
        self.pairs = draw_pairs(self.targets, np.arange(40), num_donors=2, seed=0)
        self.experiment = SwapExperiment(
            images, self.targets, np.zeros(40), self.answer, 1000, False
        )

    def answer(self, images, recipients):
        read = images[np.arange(len(images)), 0, self.places[recipients], 0]
        return read.astype(int), np.zeros(len(images))

    def swap(self, test, *pixels, **fields):
        mask = np.zeros(self.images.shape[1:3], bool)
        mask[0, list(pixels)] = True
        return Swap(
            test,
            lambda ours, theirs: swap_region(ours.values, theirs.values, mask),
            None,
            self.pairs,
            **fields,
        )

    def explained(self, *swaps, more=(), standing=()):
        ready = Readiness("")
        by_test = {swap.test: swap for swap in swaps}
        firing = {swap.test: self.experiment.effect(swap, ready, 8) for swap in swaps}
        return explained(firing | dict(more), by_test, self.experiment, ready, standing)


def test_what_remains_of_an_effect_by_hand():
    """Three pixels are read for 10, 6 and 4 of 20 probes of each class."""
    toy = Pixels(0.5, 0.3, 0.2)
    whole = toy.swap("border", 0, 1, 2)
    for kept, remaining in (((0,), 0.5), ((1,), 0.7), ((1, 2), 0.5), ((0, 1, 2), 0), ((), 1)):
        found = toy.experiment.remaining(whole, toy.swap("region/x", *kept), Readiness(""))
        assert found == pytest.approx(remaining)
    found = toy.experiment.remaining(whole, toy.swap("region/x", 0), Readiness("", 2.0))
    assert found == pytest.approx(0.25)  # of scores, in units of their scale
    before = toy.experiment.passes
    toy.experiment.remaining(whole, whole, Readiness(""))
    assert toy.experiment.passes - before == 40 * 2


def test_rows_are_ordered_from_the_most_specific_on():
    """For each pair of rows that name the same pixel, the one that is named first explains."""
    rows = [*SPECIFIC[:8], "spectrum", "high_frequency", "tint", "background"]
    assert set(SPECIFIC) - {WIDE_PATTERN} == set(TESTS) - {"groups"}
    toy = Pixels(1.0)
    for first, second in itertools.pairwise(rows):
        window = (0, 0, 1, 1)
        swaps = [toy.swap(name, 0, window=window) for name in (second, first)]
        assert toy.explained(*swaps) == {second: first}
    assert toy.explained(toy.swap("region/x", 0), toy.swap("mine", 0)) == {"region/x": "mine"}
    assert toy.explained(toy.swap("region/b", 0), toy.swap("region/a", 0)) == {
        "region/b": "region/a"
    }


def test_a_pattern_around_the_image_is_named_by_its_border():
    """One with a window names itself."""
    toy = Pixels(1.0)
    pattern = toy.swap("repeated_pattern", 0)
    assert toy.explained(pattern, toy.swap("border", 0)) == {"repeated_pattern": "border"}
    assert toy.explained(pattern, toy.swap("tint", 0)) == {"tint": "repeated_pattern"}
    small = dataclasses.replace(pattern, window=(0, 0, 1, 1))
    assert toy.explained(small, toy.swap("border", 0)) == {"border": "repeated_pattern"}


def test_a_place_of_an_aimed_test_has_the_rank_of_its_row():
    toy = Pixels(1.0)
    aimed = toy.swap("border/one_class", 0)
    assert toy.explained(toy.swap("tint", 0), aimed) == {"tint": "border/one_class"}
    assert toy.explained(aimed, toy.swap("region/a", 0)) == {"border/one_class": "region/a"}


def test_heads_are_passed_on():
    """The small tag explains its twin; the border explains the tag; so it explains the twin."""
    toy = Pixels(0.5, 0.5)
    small, twin = toy.swap("region/a", 0), toy.swap("region/b", 0)
    assert toy.explained(small, twin, toy.swap("border", 0, 1)) == {
        "region/a": "border",
        "region/b": "border",
    }
    # The vaguest one that explains it: nothing is explained by what is explained.
    by = toy.explained(small, twin, toy.swap("border", 0, 1), toy.swap("background", 0, 1))
    assert by == {"region/a": "border", "region/b": "border", "background": "border"}


def test_the_vaguest_one_that_explains_all_the_others_names_them():
    toy = Pixels(0.2, 0.4, 0.4)
    nested = toy.swap("region/a", 0), toy.swap("border", 0, 1), toy.swap("background", 0, 1, 2)
    assert toy.explained(*nested) == {"region/a": "background", "border": "background"}


def test_what_two_tests_explain_is_named_by_the_more_specific_one():
    """Neither of these explains the other: of 0.7 of each, 0.3 remains.

    Both explain what is in both of them; what holds both of them explains both.
    """
    toy = Pixels(0.4, 0.3, 0.3)
    both = toy.swap("region/a", 0, 1), toy.swap("hot_window", 0, 2)
    assert toy.explained(*both) == {}
    assert toy.explained(*both, toy.swap("border", 0)) == {"border": "region/a"}
    assert toy.explained(*both, toy.swap("border", 0, 1, 2)) == {
        "region/a": "border",
        "hot_window": "border",
    }


@pytest.mark.parametrize(("common", "is_explained"), [(0.5, True), (0.45, False)])
def test_an_effect_of_which_a_third_remains_is_explained(common, is_explained):
    """Of 0.75 of each, 0.25 remains, which is a third; of 0.7, it is more than 0.35 of it."""
    assert REMAINS == 0.35
    toy = Pixels(common, 0.25, 0.25, 0.5 - common)
    both = toy.swap("region/a", 0, 1), toy.swap("border", 0, 2)
    assert toy.explained(*both) == ({"border": "region/a"} if is_explained else {})


@pytest.mark.parametrize(("part", "head"), [(0.75, "region/a"), (0.7, "border")])
def test_a_part_names_the_whole_from_three_quarters_of_it_on(part, head):
    toy = Pixels(part, 1 - part)
    nested = {"region/a": toy.swap("region/a", 0), "border": toy.swap("border", 0, 1)}
    (other,) = nested.keys() - {head}
    assert toy.explained(*nested.values()) == {other: head}


def test_a_test_whose_alert_stands_keeps_naming_the_cue():
    """Each of the first two explains the other; of the third, half is not in either."""
    toy = Pixels(0.5, 0.5)
    tag, border = toy.swap("region/a", 0), toy.swap("border", 0)
    assert toy.explained(tag, border) == {"border": "region/a"}
    assert toy.explained(tag, border, standing=["border"]) == {"region/a": "border"}
    assert toy.explained(tag, border, standing=["region/a", "border"]) == {"border": "region/a"}
    both = toy.swap("background", 0, 1)
    named = toy.explained(tag, border, both, standing=["border"])
    assert named == {"region/a": "background", "border": "background"}


def test_an_alert_that_stands_names_the_cue_while_its_rule_is_undecided():
    """Nothing but its effect speaks for the window; a named region of the same pixels fires."""
    images, answer = cues(TAG)
    probes = ProbeSet(images, TARGETS, regions={"tag": region(TAG)})
    predictions, scores = answer(images, TARGETS)

    def explanation(standing):
        results = intervene(
            *(probes, heat(TAG), predictions, scores),
            lambda batch, recipients: answer(batch, TARGETS[recipients]),
            by_score=False,
            chunk_size=64,
            settings=Interventions(tests=("hot_window", "region")),
            standing=standing,
        )
        verdicts, _ = judge(results)
        return {v.effect.test: (v.status, v.effect.explained_by) for v in verdicts}

    tests = {"hot_window": ("finding", ""), "region/tag": ("fires", "")}
    assert explanation(()) == tests
    assert explanation(("hot_window",)) == tests | {"region/tag": ("fires", "hot_window")}


def test_an_alert_that_stands_explains_a_larger_effect_of_the_same_place():
    """Without it, a part of an effect does not explain the whole."""
    toy = Pixels(1.0)
    firing = {
        "hot_window": Effect("hot_window", effect=0.4, p_value=0.0),
        "border": Effect("border", effect=0.8, p_value=0.0),
    }
    swaps = {"hot_window": toy.swap("hot_window", 0), "border": toy.swap("border", 0)}
    arguments = firing, swaps, toy.experiment, Readiness("")
    assert explained(*arguments) == {"hot_window": "border"}
    assert explained(*arguments, standing=["hot_window"]) == {"border": "hot_window"}


def test_what_has_nothing_to_do_with_each_other_is_not_explained():
    toy = Pixels(0.5, 0.3, 0.2)
    swaps = [toy.swap(name, k) for k, name in enumerate(("region/a", "border", "background"))]
    assert toy.explained(*swaps) == {}
    assert toy.explained(swaps[0]) == {}
    assert toy.explained() == {}


def test_groups_are_not_explained():
    """They exchange nothing, so that nothing can be put back."""
    toy = Pixels(1.0)
    swap = toy.swap("border", 0)
    gap = toy.experiment.effect(swap, Readiness(""), 8)
    gap = dataclasses.replace(gap, test="groups")
    assert toy.explained(swap, more={"groups": gap}.items()) == {}


def test_reading_a_digit_is_exact():
    """What these models rest on: a digit survives the exchange of its pixel, and no other does."""
    images = noise()
    hide(images, TARGETS, *TAG)
    assert (reads_digit(*TAG)(images, None)[0] == TARGETS).all()
    assert (digit(images.astype(np.float32), *TAG) == TARGETS).all()
