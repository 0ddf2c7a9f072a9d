"""Which of several places is tested, when a control is asked, and donors of one class."""

import dataclasses

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.reports import Effect, Window
from keras_saliency.detection.alerts import judge
from keras_saliency.detection.edits import swap_region
from keras_saliency.detection.effects import (
    CONTROLLED,
    FINALISTS,
    NEARLY,
    SCREENED,
    Readiness,
    Swap,
    SwapExperiment,
)
from keras_saliency.detection.pairs import draw_pairs
from keras_saliency.detection.places import Candidates, Place
from keras_saliency.detection.proposals import border_windows
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.tests import TESTS, InterventionTest
from support.exact_models import (
    COUNT,
    LOWEST,
    OBJECT,
    RING,
    SIDE,
    TAG,
    TARGETS,
    assert_all,
    assert_full,
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

# ---------------------------------------------------------------- swaps with a known effect


class Shares:
    """Swaps by whom another class is believed: the first probes of each class, up to a share.

    The effect of each is exactly that share.
    """

    def __init__(self, *shares, count=20, by_score=False, scale=1.0):
        self.targets = np.arange(count) % 2
        self.pairs = draw_pairs(self.targets, np.arange(count), num_donors=2, seed=0)
        self._shares, self._count = shares, count
        images = np.zeros((count, 1, 1, 1))
        scores = np.zeros(count)
        self.experiment = SwapExperiment(images, self.targets, scores, self.answer, 50, by_score)
        self.readiness = Readiness("", scale)

    def answer(self, images, recipients):
        swaps, donors = np.divmod(images.ravel().astype(int), self._count)
        shares = np.array(self._shares)[swaps]
        foreign = self.targets[donors] != self.targets[recipients]
        is_wrong = foreign & (recipients // 2 < abs(shares) * self._count / 2 - 1e-9)
        negative = ~foreign & (shares < 0) & (recipients // 2 < -shares * self._count / 2 - 1e-9)
        is_wrong = np.where(shares < 0, negative, is_wrong)
        wrong = 1 - self.targets[recipients]
        return np.where(is_wrong, wrong, self.targets[recipients]), 1.0 * is_wrong

    def edit(self, index):
        return lambda ours, theirs: (
            (index * self._count + theirs.indices).astype(float).reshape(-1, 1, 1, 1)
        )

    def swaps(self, *areas, floor=0.25, **fields):
        areas = areas or (1.0,) * len(self._shares)
        return [
            Swap(f"{index}", self.edit(index), None, self.pairs, area=area, floor=floor)
            for index, area in enumerate(areas)
        ]

    def chosen(self, *areas, **fields):
        return self.experiment.most_promising(self.swaps(*areas, **fields), self.readiness)


def test_the_candidate_with_the_largest_effect_is_chosen():
    for shares, best in (((0.2, 0.8, 0.5), "1"), ((0.9, 0.8, 0.5), "0"), ((0.4, 0.5, 0.7), "2")):
        chosen = Shares(*shares).chosen()
        assert (chosen.test, chosen.num_candidates) == (best, 3)


def test_of_nearly_equal_candidates_the_smallest_place_is_chosen():
    """0.9 of the largest is nearly: 0.9 of 1."""
    assert NEARLY == 0.9
    assert Shares(1.0, 0.9, 0.8).chosen(0.5, 0.2, 0.1).test == "1"
    assert Shares(1.0, 0.9, 0.8).chosen(0.5, 0.6, 0.1).test == "0"
    assert Shares(0.9, 1.0).chosen(0.3, 0.3).test == "1"  # of the same size, the larger effect
    assert Shares(0.5, 0.5, 0.5).chosen(0.3, 0.1, 0.2).test == "1"


def test_the_finalists_are_compared_on_all_recipients():
    """The first 24 show nothing of who is believed; three of four go on, and one is right."""
    assert (SCREENED, FINALISTS) == (24, 3)
    toy = Shares(0.4, 0.6, 0.3, 0.5, count=60)
    assert toy.chosen().test == "1"
    assert toy.experiment.passes == 4 * 24 * 2 + 3 * 60 * 2


def test_candidates_are_screened_on_few_recipients_of_each_class():
    """A candidate that only changes those who are not screened gets no further."""
    toy = Shares(0.0, 0.0, 0.0, 0.0, count=60)
    toy.targets = np.repeat([0, 1], 30)
    toy.pairs = draw_pairs(toy.targets, np.arange(60), num_donors=2, seed=0)
    screened, hidden = [], []

    def answer(images, recipients):
        swaps = images.ravel().astype(int) // 60
        if not screened:
            screened.extend(sorted({*recipients.tolist()}))
            hidden.extend({*range(60)} - {*screened})
        is_wrong = (swaps == 3) & np.isin(recipients, hidden)
        wrong = 1 - toy.targets[recipients]
        return np.where(is_wrong, wrong, toy.targets[recipients]), np.zeros(len(images))

    experiment = SwapExperiment(
        np.zeros((60, 1, 1, 1)), toy.targets, np.zeros(60), answer, 10_000, False
    )
    found = experiment.most_promising(toy.swaps(), toy.readiness)
    assert len(screened) == 24
    assert [(toy.targets[screened] == target).sum() for target in (0, 1)] == [12, 12]
    assert (found.test, found.effect) == ("0", 0)


@pytest.mark.parametrize(("largest", "goes_on"), [(0.5, True), (0.3, True), (0.2, False)])
def test_half_of_the_floor_is_promising(largest, goes_on):
    """A swap, or the effect that it has. So few are not screened: all are asked once."""
    toy = Shares(largest, 0.1)
    found = toy.chosen(floor=0.6)
    assert toy.experiment.passes == 2 * 20 * 2
    assert isinstance(found, Swap if goes_on else Effect)
    if not goes_on:
        assert (found.test, found.effect, found.p_value) == ("0", pytest.approx(0.2), 1)
        assert (found.num_probes, found.num_donors, found.untestable) == (20, 1, "")
        assert np.isnan([found.flip, found.keep, found.control]).all()


@pytest.mark.parametrize("shares", [(0.0, 0.0), (-0.2, -0.4)])
def test_candidates_without_an_effect_or_with_a_negative_one(shares):
    found = Shares(*shares).chosen()
    assert (found.test, found.effect, found.p_value) == ("0", pytest.approx(shares[0]), 1)


def test_a_single_candidate_is_taken_as_it_is():
    toy = Shares(0.0)
    (swap,) = toy.swaps()
    assert toy.experiment.most_promising([swap], toy.readiness) is swap
    assert toy.experiment.passes == 0


def test_candidates_whose_effects_are_unknown():
    """Scores that tell no class apart have no scale."""
    found = Shares(0.5, 0.2, by_score=True, scale=np.nan).chosen()
    assert np.isnan(found.effect)
    assert found.p_value == 1


def test_the_choice_is_paid_for():
    """With a p-value times the number of candidates, and with more probes that are needed."""
    toy = Shares(1.0)
    (swap,) = toy.swaps()
    alone = toy.experiment.effect(swap, toy.readiness, 8).p_value
    assert 2.0**-20 <= alone <= 2.0**-18  # not all 20 probes are donors
    for count, p_value in ((1, alone), (7, 7 * alone), (1310, 1310 * alone), (2**21, 1)):
        paying = dataclasses.replace(swap, num_candidates=count)
        effect = toy.experiment.effect(paying, toy.readiness, 8)
        assert effect.p_value == pytest.approx(p_value, rel=1e-9)
        # 2^-20 times 8 tests times the candidates is below 0.01 for 1310 of them at most.
        assert (effect.untestable == "") == (count <= 1310)
    paying = dataclasses.replace(swap, num_candidates=1311)
    assert toy.experiment.effect(paying, toy.readiness, 8).untestable == (
        "20 probes are too few to prove an effect; at least 21 are needed"
    )


# ---------------------------------------------------------------- candidates of a test


def custom(*candidates, **fields):
    defaults = {"control": "", "propose": lambda round_: [Candidates(candidates)]}
    return InterventionTest("mine", swap_region, "my place", "it is", **(defaults | fields))


def asked(probes, answer, *tests, maps=None):
    return examined(probes, answer, maps, settings=Interventions(tests=tests))


SQUARES = [Place(region(place)) for place in ((2, 2), TAG, (16, 3))]


def test_the_best_of_a_custom_test_s_candidates_is_tested():
    found = asked(ProbeSet(coded(TAG, OBJECT), TARGETS), reads(*TAG), custom(*SQUARES))
    (effect,) = found.effects
    assert_all(effect, effect=1, flip=1, keep=1, p_value=3 * 2.0**-COUNT)
    assert (effect.test, effect.num_probes, effect.num_donors) == ("mine", COUNT, 4)
    for example in effect.examples:  # it is the tag that was exchanged
        images = coded(TAG, OBJECT)
        mask = region(TAG)
        np.testing.assert_array_equal(example.image[mask], images[example.donor][mask])
        np.testing.assert_array_equal(example.image[~mask], images[example.recipient][~mask])
    assert found.passes == 2 * (3 * COUNT + 4 * COUNT)


def test_candidates_that_promise_nothing_cost_no_further_passes():
    found = asked(ProbeSet(coded(TAG, OBJECT), TARGETS), reads(*OBJECT), custom(*SQUARES))
    (effect,) = found.effects
    assert_stopped(effect)
    assert effect.num_probes == COUNT
    assert found.passes == 2 * 3 * COUNT  # three need no screening


@pytest.mark.parametrize(
    ("place", "error", "expected"),
    [
        (Place(), TypeError, "expected a bool array as mask, received NoneType"),
        (Place(region(TAG)[1:]), ValueError, r"expected a mask of shape .* received \(19, 20\)"),
    ],
)
def test_each_candidate_is_checked(place, error, expected):
    probes = ProbeSet(coded(TAG), TARGETS)
    with pytest.raises(error, match=f"propose of the test 'mine': {expected}"):
        asked(probes, reads(*TAG), custom(*SQUARES, place))
    with pytest.raises(ValueError, match="expected Candidates with at least one place"):
        asked(probes, reads(*TAG), custom())
    untestable = Place(region(TAG), untestable="why")
    with pytest.raises(ValueError, match="expected Candidates that can all be tested"):
        asked(probes, reads(*TAG), custom(*SQUARES, untestable))
    with pytest.raises(ValueError, match="expected Candidates that can all be tested"):
        asked(probes, reads(*TAG), custom(untestable))
    both = custom(propose=lambda round_: [Candidates(SQUARES), SQUARES[0]])
    with pytest.raises(ValueError, match=r"places with different names, received \['', ''\]"):
        asked(probes, reads(*TAG), both)


def masked(images):
    """Probes with the object, so that every other place has support."""
    masks = np.broadcast_to(region(OBJECT), images.shape[:3])
    return ProbeSet(images, TARGETS, masks=masks)


@pytest.mark.parametrize(
    ("pixel", "window"),
    [
        ((7, 7), (6, 6, 3, 3)),
        ((9, 8), (6, 6, 4, 4)),
        ((5, 6), (5, 5, 6, 6)),
        ((4, 4), (3, 3, 9, 9)),
    ],
)
def test_a_hot_window_with_support_grows_until_it_holds_the_cue(pixel, window):
    """The smallest one that does is tested; without support it is the hot one itself."""
    images = noise()
    images[:, 6:9, 6:9] += 3 * (np.indices((3, 3)).sum(axis=0) % 2)[..., np.newaxis]
    hide(images, TARGETS, *pixel)
    maps = heat(*[(row, column) for row in (6, 7, 8) for column in (6, 7, 8)])
    masks = np.broadcast_to(region((15, 15)), images.shape[:3])
    supported = ProbeSet(images, TARGETS, masks=masks)
    (found,) = asked(supported, reads_digit(*pixel), "hot_window", maps=maps).effects
    assert (found.window, found.support) == (window, "outside of your masks")
    assert_all(found, effect=1, flip=1, keep=1, p_value=4 * 2.0**-COUNT)
    assert_not_compared(found)
    plain = ProbeSet(images, TARGETS)
    (found,) = asked(plain, reads_digit(*pixel), "hot_window", maps=maps).effects
    assert (found.window, found.support) == ((6, 6, 3, 3), "")
    assert found.effect == (window == (6, 6, 3, 3))


@pytest.mark.parametrize(
    ("pixel", "window"),
    [
        ((0, 0), Window(0, 0, 4, 4)),
        ((19, 18), Window(16, 16, 4, 4)),
        ((4, 16), Window(0, 15, 5, 5)),
        ((1, 10), Window(0, 0, 2, 20)),
        ((10, 2), Window(0, 0, 20, 3)),
    ],
)
def test_a_border_patch_is_the_smallest_that_holds_the_cue(pixel, window):
    images = noise()
    hide(images, TARGETS, *pixel)
    (found,) = asked(masked(images), reads_digit(*pixel), "border_patch").effects
    assert (found.window, found.support) == (window, "outside of your masks")
    count = len(border_windows(SIDE, SIDE))
    assert_all(found, effect=1, flip=1, keep=1, p_value=count * 2.0**-COUNT)


def test_without_support_there_is_no_border_patch():
    images = noise()
    hide(images, TARGETS, 0, 0)
    assert asked(ProbeSet(images, TARGETS), reads_digit(0, 0), "border_patch").effects == ()


# ---------------------------------------------------------------- when a control is asked


@pytest.mark.parametrize(
    ("share", "floor", "is_asked"),
    [
        (0.0, 0.25, False),
        (0.1, 0.25, False),
        (0.2, 0.25, True),  # a finding, and what it is compared with
        (0.9, 0.25, True),
        (0.1, 0.1, True),  # a test with a lower floor
        (0.05, 0.1, False),
    ],
)
def test_a_control_is_asked_of_effects_that_matter(share, floor, is_asked):
    assert CONTROLLED == 0.15
    toy = Shares(share, 0.05, count=40)
    swap = dataclasses.replace(toy.swaps(1.0, 1.0, floor=floor)[0], control=toy.edit(1))
    effect = toy.experiment.effect(swap, toy.readiness, 8)
    assert effect.effect == pytest.approx(share)
    is_stopped = share == 0  # with one donor
    assert toy.experiment.passes == (2 if is_asked else 1) * 40 * 2 * (1 if is_stopped else 2)
    if is_asked:
        assert effect.control == pytest.approx(0.05)
        assert not np.isnan([effect.control_p_value, effect.margin_p_value]).any()
    else:
        assert_not_compared(effect)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_place_with_support_is_asked_no_control(share):
    toy = Shares(share, 0.05, count=40)
    swap = dataclasses.replace(
        toy.swaps(1.0, 1.0)[0], control=toy.edit(1), support="outside of your masks"
    )
    effect = toy.experiment.effect(swap, toy.readiness, 8)
    assert toy.experiment.passes == 40 * 2 * 2
    assert effect.support == "outside of your masks"
    assert_not_compared(effect)


def test_the_margin_is_over_the_part_of_the_control_that_has_to_be_outweighed():
    """An effect of 0.6 against one of 0.8: less than all of it, more than half of it.

    Of 20 recipients, 12 lose 1 - 0.5 by it and 4 lose 0 - 0.5.
    """
    toy = Shares(0.6, 0.8)
    p_values = {}
    for outweighs in (1.0, 0.5):
        swap = dataclasses.replace(toy.swaps()[0], control=toy.edit(1), outweighs=outweighs)
        p_values[outweighs] = toy.experiment.effect(swap, toy.readiness, 8).margin_p_value
    assert p_values[1.0] == 1
    # With signs of 16 halves: at most 4 of them negative.
    flips = sum(np.prod([(16 - k) / (k + 1) for k in range(number)]) for number in range(5))
    assert p_values[0.5] == pytest.approx(flips / 2**16, rel=0.05)


def test_a_control_of_the_table_is_asked_as_its_row_says():
    """Of 0.55 for the thin border: an effect in half of the probes, and all of the rest's."""
    images = coded(OBJECT)
    hide(images, TARGETS, *RING)
    gate = np.random.default_rng(0).integers(2, size=COUNT)
    hide(images, gate, 8, 4)  # who reads the border; the others read the object

    def answer(batch, targets):
        by_border, by_object = digit(batch, *RING), reads(*OBJECT)(batch, targets)[0]
        return np.where(digit(batch, 8, 4) == 1, by_border, by_object), np.zeros(len(batch))

    found = asked(ProbeSet(images, TARGETS), answer, "thin_border")
    effect = by_name(found)["thin_border"]
    assert effect.effect == pytest.approx(gate.mean())
    # All but the border is the donor's: its gate as well. Those that read the border keep theirs.
    assert 0.4 < effect.control < 0.6
    assert effect.effect > 0.55 * effect.control
    assert effect.margin_p_value < 0.01


def test_a_tint_is_compared_with_the_border():
    """A model that reads the border, and how bright the image is, for half of the probes each."""
    images = 0.1 * noise()
    images += 0.3 * TARGETS[:, None, None, None]
    hide(images, TARGETS, *RING)

    def bright(batch, targets):
        return np.rint((batch.mean(axis=(1, 2, 3)) - 0.05) / 0.3).astype(int), np.zeros(len(batch))

    found = by_name(asked(ProbeSet(images, TARGETS), bright, "tint", "border"))
    assert_full(found["tint"])
    ring_share = 1 - 16 * 16 / 400  # a border of two pixels; 0.36 of the difference is too little
    assert ring_share == pytest.approx(0.36)
    assert found["border"].effect == pytest.approx(found["tint"].control, abs=1e-12)
    assert found["tint"].control < 0.6


# ---------------------------------------------------------------- donors of one class

FIVE, TEN = np.arange(100) % 5, np.arange(100) % 10


def carried(target=2, gate=None, pixel=RING, targets=FIVE, masks=None):
    """One class has a digit of its own, that says its name before all else.

    Args:
        target: The class.
        gate: Who reads it, bool `(100,)`; by default all.
        pixel: Where the digit is.
        targets: Of all probes.
        masks: Of the probes.
    """
    images = coded(OBJECT, targets=targets)
    hide(images, np.where(target == targets, 7, 0), *pixel)
    gate = np.ones(100, bool) if gate is None else gate
    hide(images, gate, 8, 4)

    def answer(batch, asked):
        by_object = reads(*OBJECT)(batch, asked)[0]
        is_read = (digit(batch, *pixel) == 7) & (digit(batch, 8, 4) == 1)
        return np.where(is_read, target, by_object), np.zeros(len(batch))

    return ProbeSet(images, targets, masks=masks, class_names=list("abcdefghij")), answer


@pytest.mark.parametrize("target", [0, 2, 4])
def test_a_border_of_one_class_is_found_with_donors_of_that_class(target):
    """Donors of all classes dilute it: only those of one class change an answer."""
    probes, answer = carried(target)
    found = asked(probes, answer, "border", "thin_border")
    effects = by_name(found)
    pairs = draw_pairs(FIVE, np.arange(100), num_donors=2, seed=0)
    diluted = (FIVE[pairs.other] == target).mean()
    assert 0.1 < diluted < 0.25
    for row in ("border", "thin_border"):
        assert_all(effects[row], effect=diluted)
        effect = effects[f"{row}/one_class"]
        # The control takes all else from that class, its object as well.
        assert (effect.target, effect.num_probes, effect.num_donors) == (target, 80, 2)
        assert_all(effect, effect=1, flip=1, keep=1, p_value=5 * 2.0**-80, control=1)
        assert {FIVE[example.donor] for example in effect.examples} == {target}
    verdicts, _ = judge(found, class_name=probes.class_name)
    by_test = {verdict.effect.test: verdict for verdict in verdicts}
    assert by_test["thin_border/one_class"].status == "fires"  # 1 is more than 0.55 of 1
    assert by_test["thin_border/one_class"].subject == (
        f"the border of the image (as wide as 5% of its shorter side) of class {'abcde'[target]!r}"
    )
    assert by_test["border/one_class"].status == "finding"  # and not twice as much as 1


def test_an_aimed_custom_test_of_several_places_names_each():
    places = [Place(region(TAG), name="here"), Place(region((2, 2)), name="there")]
    test = custom(propose=lambda round_: places, aimed=("", 0.0))
    found = asked(ProbeSet(coded(OBJECT), TARGETS), reads(*OBJECT), test)
    names = [effect.test for effect in found.effects]
    assert names == ["mine/here", "mine/here/one_class", "mine/there", "mine/there/one_class"]


@pytest.mark.parametrize(
    ("aimed", "error", "expected"),
    [
        (True, TypeError, "aimed: expected a control and how many times"),
        (("rest",), TypeError, "aimed: expected a control and how many times"),
        (("nowhere", 1.0), ValueError, "control: expected"),
        (("rest", -1.0), ValueError, "outweighs: expected 0 or more"),
    ],
)
def test_the_control_of_an_aimed_test_is_checked(aimed, error, expected):
    with pytest.raises(error, match=expected):
        custom(aimed=aimed)


def test_what_an_aimed_test_takes():
    """100 probes with two donors each; 80 for donors of the class, with a control."""
    probes, answer = carried()
    found = asked(probes, answer, "border")
    is_controlled = found.effects[0].effect >= CONTROLLED
    explaining = 0  # one test that fires has nothing to explain
    assert found.passes == 2 * 2 * (100 * (1 + is_controlled) + 80 * 2) + explaining


def test_a_cue_of_all_classes_is_not_aimed_at():
    images = coded(OBJECT, targets=FIVE)
    hide(images, FIVE, *RING)
    effects = by_name(asked(ProbeSet(images, FIVE), reads_digit(*RING), "border", "tint"))
    assert_all(effects["border"], effect=1)
    assert [*effects] == ["border", "border/one_class", "tint", "tint/one_class"]
    aimed = effects["border/one_class"]
    assert aimed.untestable == "border has an effect by itself"
    assert np.isnan([aimed.effect, aimed.p_value]).all()
    assert "by itself" not in effects["tint/one_class"].untestable


def test_what_is_not_aimed_at_takes_no_passes():
    """A cue of all classes: 100 probes with four donors of two kinds, and the control."""
    images = coded(OBJECT, targets=FIVE)
    hide(images, FIVE, *RING)
    passes = [
        asked(ProbeSet(images, FIVE), reads_digit(*RING), test).passes
        for test in ("border", dataclasses.replace(TESTS["border"], aimed=None))
    ]
    assert passes[0] == passes[1] > 0


def test_an_aimed_test_has_a_control_of_its_own():
    """That of tint is everything else, not the border, and is outweighed from 0.55 on."""
    tint = TESTS["tint"]
    assert (tint.control, tint.outweighs, tint.aimed) == ("border", 1.25, ("rest", 0.55))
    aimed = tint.named("tint/one_class")
    assert (aimed.control, aimed.outweighs) == tint.aimed
    assert (aimed.edit, aimed.floor, aimed.subject) == (tint.edit, tint.floor, tint.subject)
    assert tint.named("tint") is tint
    region_row = TESTS["region"]  # its places are no aimed tests
    assert region_row.named("region/one_class") is region_row


def test_two_classes_are_not_aimed_at():
    """There donors of another class are donors of one class already."""
    two = np.arange(60) % 2
    images = coded(OBJECT, targets=two)
    found = asked(ProbeSet(images, two), reads(*OBJECT), "border", "thin_border", "tint")
    assert [effect.test for effect in found.effects] == ["border", "thin_border", "tint"]


def test_donors_of_a_class_that_change_too_little_are_not_asked_further():
    """A tenth of the probes read the digit: less than half of the floor of 0.25. 64 tell that."""
    probes, answer = carried(gate=np.arange(100) // 5 % 10 == 0)
    found = asked(probes, answer, "border")
    plain, aimed = found.effects
    assert plain.effect < 0.05
    assert (aimed.test, aimed.target, aimed.p_value) == ("border/one_class", 2, 1)
    assert 0 < aimed.effect < 0.125
    assert aimed.num_probes == 80
    assert found.passes == 64 * 2


OUT = np.broadcast_to(region(OBJECT), (100, SIDE, SIDE))
"""Masks of the object."""


def test_a_border_of_one_class_with_support_needs_no_control():
    """Of ten classes, so that donors of all classes are below the floor of the background, too."""
    probes, answer = carried(targets=TEN, masks=OUT)
    found = asked(probes, answer, "border", "background")
    verdicts, _ = judge(found)
    by_test = {verdict.effect.test: verdict for verdict in verdicts}
    for row in ("border", "background"):
        effect = by_test[f"{row}/one_class"].effect
        assert (effect.target, effect.num_probes) == (2, 90)
        assert_all(effect, effect=1, flip=1, keep=1, p_value=10 * 2.0**-90)
        assert_not_compared(effect)
        assert by_test[row].status == "quiet"
        assert by_test[f"{row}/one_class"].status == "fires"
    assert by_test["border/one_class"].effect.support == "outside of your masks"


def test_a_background_of_one_class_that_is_not_in_the_border():
    probes, answer = carried(pixel=(15, 4), targets=TEN, masks=OUT)
    effects = by_name(asked(probes, answer, "background", "border"))
    assert_all(effects["background/one_class"], effect=1, flip=1, keep=1, p_value=10 * 2.0**-90)
    assert effects["background/one_class"].target == 2
    assert_stopped(effects["border/one_class"])


def test_floors_and_ignore_name_an_aimed_test():
    probes, answer = carried()
    for given, status in (({}, "fires"), ({"thin_border/one_class": 0.3}, "fires")):
        settings = Interventions(tests=["thin_border"], floors=given)
        verdicts, _ = judge(examined(probes, answer, settings=settings), settings=settings)
        assert verdicts[1].effect.test == "thin_border/one_class"
        assert verdicts[1].status == status
        assert verdicts[1].floor == given.get("thin_border/one_class", 0.25)
    settings = Interventions(tests=["thin_border"], ignore=["thin_border/one_class"])
    verdicts, _ = judge(examined(probes, answer, settings=settings), settings=settings)
    assert (verdicts[1].status, verdicts[1].reason) == ("finding", "ignored, as set by ignore=")


def test_too_few_donors_of_a_class_prove_nothing():
    """15 probes, 12 of them recipients: 2^-12 times 2 tests times 5 classes is below 0.01."""
    for count, untestable in ((15, ""), (10, "8 probes are too few to prove an effect; at least")):
        probes, answer = carried()
        part = ProbeSet(probes.images[:count], FIVE[:count])
        found = by_name(asked(part, answer, "border"))["border/one_class"]
        assert found.target == 2
        assert found.effect == 1
        assert found.untestable.startswith(untestable)
        assert bool(found.untestable) == bool(untestable)


def test_lowest_is_one_flip():
    """What `LOWEST` means where p-values are asserted."""
    (effect,) = asked(ProbeSet(coded(TAG), TARGETS), reads(*TAG), custom(SQUARES[1])).effects
    assert_all(effect, p_value=LOWEST)
