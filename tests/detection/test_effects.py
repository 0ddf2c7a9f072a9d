import numpy as np
import pytest

from keras_saliency.detection.asking import Asker
from keras_saliency.detection.effects import (
    FURTHER,
    NUM_EXAMPLES,
    Readiness,
    Swap,
    SwapExperiment,
    required_accuracy,
    upper_bound,
)
from keras_saliency.detection.pairs import Pairs, balanced, draw_pairs
from keras_saliency.detection.swaps import Images

UNEVEN = np.repeat([0, 3, 7, 9], [5, 12, 2, 31])
np.random.default_rng(0).shuffle(UNEVEN)
EVERYONE = np.arange(50)


def counts(targets):
    return dict(zip(*np.unique(targets, return_counts=True), strict=True))


# ---------------------------------------------------------------- who is asked


@pytest.mark.parametrize(
    ("at_most", "expected"),
    [
        (50, [5, 12, 2, 31]),
        (49, [5, 12, 2, 30]),
        (31, [5, 12, 2, 12]),
        (17, [5, 5, 2, 5]),
    ],
)
def test_the_largest_classes_are_cut_first(at_most, expected):
    chosen = balanced(UNEVEN, EVERYONE, at_most, seed=0)
    assert counts(UNEVEN[chosen]) == dict(zip([0, 3, 7, 9], expected, strict=True))
    assert len(set(chosen)) == len(chosen)
    np.testing.assert_array_equal(chosen, np.sort(chosen))


def test_which_probes_are_cut_is_drawn():
    drawn = [balanced(UNEVEN, EVERYONE, 20, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    among = EVERYONE[::2]
    assert set(balanced(UNEVEN, among, 8, 0)) <= set(among)


def test_of_very_many_classes_some_are_left_out():
    targets = np.arange(900) % 200  # four or five of each
    chosen = balanced(targets, np.arange(900), 256, seed=0)
    assert len(chosen) == 256
    assert sorted(counts(targets[chosen]).values()) == [4] * 64
    other = balanced(targets, np.arange(900), 256, seed=1)
    assert set(targets[chosen]) != set(targets[other])


@pytest.mark.parametrize("num_donors", [1, 2, 4])
def test_donors_are_others_of_the_right_class(num_donors):
    pairs = draw_pairs(UNEVEN, EVERYONE, num_donors=num_donors, seed=0)
    np.testing.assert_array_equal(pairs.recipients, EVERYONE)
    assert pairs.same.shape == pairs.other.shape == (50, num_donors)
    own = UNEVEN[pairs.recipients, np.newaxis]
    assert (UNEVEN[pairs.same] == own).all()
    assert (UNEVEN[pairs.other] != own).all()
    assert (pairs.same != pairs.recipients[:, np.newaxis]).all()


def test_no_donor_is_drawn_twice_where_there_are_enough():
    pairs = draw_pairs(UNEVEN, EVERYONE, num_donors=4, seed=0)
    for recipient, same, other in zip(pairs.recipients, pairs.same, pairs.other, strict=True):
        assert len(set(other)) == 4
        there_are = (UNEVEN[recipient] == UNEVEN).sum() - 1
        assert len(set(same)) == 4 if there_are >= 4 else len(set(same)) <= there_are


def test_who_is_not_among_them_is_neither_recipient_nor_donor():
    among = np.flatnonzero(UNEVEN != 9)[:15]
    pairs = draw_pairs(UNEVEN, among, num_donors=4, seed=0)
    for drawn in (pairs.recipients, pairs.same, pairs.other):
        assert set(drawn.ravel()) <= set(among)


def test_a_class_of_one_gives_and_does_not_receive():
    targets = np.array([0, 0, 0, 1])
    pairs = draw_pairs(targets, np.arange(4), num_donors=2, seed=0)
    np.testing.assert_array_equal(pairs.recipients, [0, 1, 2])
    np.testing.assert_array_equal(pairs.other, np.full((3, 2), 3))


def test_one_class_alone_has_no_pairs():
    pairs = draw_pairs(np.zeros(5, int), np.arange(5), num_donors=2, seed=0)
    assert pairs.recipients.shape == (0,)
    assert pairs.same.shape == pairs.other.shape == (0, 2)


def test_donors_of_one_class_for_all_others():
    pairs = draw_pairs(UNEVEN, EVERYONE, num_donors=3, seed=0, donors_of=3)
    np.testing.assert_array_equal(pairs.recipients, np.flatnonzero(UNEVEN != 3))
    assert (UNEVEN[pairs.other] == 3).all()
    assert (UNEVEN[pairs.same] == UNEVEN[pairs.recipients, np.newaxis]).all()


def test_the_same_seed_draws_the_same_pairs():
    one, same, other = (draw_pairs(UNEVEN, EVERYONE, num_donors=3, seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.same, same.same)
    np.testing.assert_array_equal(one.other, same.other)
    assert (one.same != other.same).any()
    assert (one.other != other.other).any()


# ---------------------------------------------------------------- what accuracy is needed


@pytest.mark.parametrize(
    ("chance", "needed"),
    [
        *[(0.02, 0.12), (0.1, 0.2), (0.25, 0.5), (1 / 3, 0.6), (0.5, 0.6), (0.7, 0.8)],
        *[(0.8, 0.9), (0.9, 0.95), (0.95, 0.975), (1, 1)],  # halfway from chance to 1
    ],
)
def test_required_accuracy(chance, needed):
    assert required_accuracy(chance) == pytest.approx(needed)


# ---------------------------------------------------------------- one question, by hand

TARGETS = np.array([0, 0, 1, 1])
IMAGES = np.arange(4.0).reshape(4, 1, 1, 1)
PAIRS = Pairs(
    np.arange(4), np.array([[1], [0], [3], [2]]), np.array([[2], [3], [0], [1]])
)  # one donor of each kind for each
SAID = {(0, 1): 0, (1, 0): 1, (2, 3): 1, (3, 2): 1, (0, 2): 1, (1, 3): 0, (2, 0): 2, (3, 1): 0}
"""The class that is predicted for recipient i with the thing of donor j."""
MOVED = {(0, 1): 1, (1, 0): 0, (2, 3): -1, (3, 2): 2, (0, 2): 5, (1, 3): 3, (2, 0): -7, (3, 1): 0}
"""How far that moves the score."""
OWN = np.array([5.0, -5.0, -1.0, 2.0])
"""The scores of the probes themselves."""


def both(ours, theirs):
    """An image that shows who was made of whom."""
    return (10 * IMAGES[ours.indices] + IMAGES[theirs.indices]).astype(float)


def answer(images, recipients):
    pairs = [divmod(int(value), 10) for value in images.ravel()]
    assert [recipient for recipient, _ in pairs] == list(recipients)
    said = np.array([SAID[pair] for pair in pairs])
    return said, np.array([OWN[pair[0]] + MOVED[pair] for pair in pairs])


def swap(edit, pairs, **fields):
    return Swap("border", edit, fields.pop("control", None), pairs, **fields)


def asker(chunk_size=100, by_score=False):
    return SwapExperiment(IMAGES, TARGETS, OWN, answer, chunk_size, by_score)


@pytest.mark.parametrize("chunk_size", [1, 3, 8, 100])
def test_an_effect_in_accuracy_by_hand(chunk_size):
    asked = asker(chunk_size)
    effect = asked.effect(swap(both, PAIRS), Readiness("", 1.0), 8)
    # Right with the same class: 1 0 1 1; with another: 0 1 0 0.
    assert effect.effect == 0.5
    assert effect.keep == 0.75
    # The donor's class with another class: 1 0 0 1; with the same: 0 1 0 0.
    assert effect.flip == 0.25
    assert effect.p_value == pytest.approx(5 / 16, abs=0.03)
    assert np.isnan([effect.control, effect.control_p_value, effect.margin_p_value]).all()
    assert (effect.num_probes, effect.num_donors, asked.passes) == (4, 1, 8)


def test_an_effect_in_the_score_by_hand():
    effect = asker(by_score=True).effect(swap(both, PAIRS), Readiness("", 4.0), 8)
    # Moved by another class: 5 3 7 0; by the same: 1 0 1 2; the differences are 4 3 6 -2.
    assert effect.effect == 11 / 4 / 4
    assert effect.keep == 1 - 1 / 4
    assert np.isnan(effect.flip)
    assert effect.p_value == pytest.approx(2 / 16, abs=0.02)  # all plus, and but for the 2


def test_the_control_is_asked_of_the_same_pairs():
    seen = []

    def control(ours, theirs):
        """Each probe with a donor of its own class, whoever the donor was."""
        seen.extend(zip(ours.indices.tolist(), theirs.indices.tolist(), strict=True))
        return both(ours, Images(theirs.values, ours.indices ^ 1))

    asked = asker()
    effect = asked.effect(swap(both, PAIRS, control=control), Readiness("", 1.0), 8)
    assert seen == [(0, 1), (1, 0), (2, 3), (3, 2), (0, 2), (1, 3), (2, 0), (3, 1)]
    assert effect.control == 0
    assert effect.control_p_value == 1
    assert effect.margin_p_value == effect.p_value
    assert asked.passes == 16


def test_the_margin_is_of_the_differences_probe_by_probe():
    """Against itself an effect has no margin; against its opposite it has twice its own."""
    same = asker().effect(swap(both, PAIRS, control=both), Readiness("", 1.0), 8)
    assert (same.control, same.margin_p_value) == (0.5, 1)
    assert same.control_p_value == same.p_value


def many(pairs):
    """The same pairs again and again, as many as a proof takes."""
    parts = (pairs.recipients, pairs.same, pairs.other)
    return Pairs(*(np.concatenate([part] * 5) for part in parts))


def test_what_spoils_the_images_can_not_be_tested():
    """Kept is 0.75; of two classes 0.6 is needed. With one more that is lost, 0.5."""
    asked = asker()
    ready = asked.readiness(many(PAIRS), TARGETS)
    assert (ready.blocked_because, ready.required) == ("", 0.6)
    assert asked.effect(swap(both, many(PAIRS)), ready, 8).untestable == ""
    few = many(Pairs(PAIRS.recipients[:2], PAIRS.same[:2], PAIRS.other[:2]))
    effect = asked.effect(swap(both, few), ready, 8)
    assert effect.untestable == (
        "the exchange damages the images: with donors of the same class only 0.50 remains, "
        "below 0.60"
    )
    unknown = TARGETS.copy()
    unknown[0] = 1 - unknown[0]  # of the two recipients, the model knows one: 0.8 of that is less
    ready = asked.readiness(many(PAIRS), unknown)
    assert asked.effect(swap(both, few), ready, 8).untestable == ""
    assert asker(by_score=True).effect(swap(both, few), Readiness("", 4.0), 8).untestable == ""
    half = asker(by_score=True).effect(swap(both, many(PAIRS)), Readiness("", 2.0), 8)
    assert (half.keep, half.untestable) == (0.5, "")  # of a score, anything above 0 will do
    spoiled = asker(by_score=True).effect(swap(both, many(PAIRS)), Readiness("", 0.5), 8)
    assert spoiled.untestable.endswith(
        "only -1.00 remains, below 0.00"
    )  # moved by 1 on average, twice the scale


def test_few_probes_can_prove_nothing():
    """Of nine signs all are positive once in 512 times, too often for eight tests at 1 %."""
    nine = many(PAIRS)
    nine = Pairs(nine.recipients[:9], nine.same[:9], nine.other[:9])
    asked = asker()
    effect = asked.effect(swap(both, nine), Readiness("", 1.0), 8)
    assert effect.untestable == "9 probes are too few to prove an effect; at least 10 are needed"
    assert 0 < effect.effect < 1  # the number is there, for what it is
    lost = Pairs(*(part[[0, 1] * 4] for part in (PAIRS.recipients, PAIRS.same, PAIRS.other)))
    effect = asked.effect(swap(both, lost), Readiness("", 1.0), 8)
    assert effect.keep == 0.5  # of what is both few and spoiled, the number of probes is said
    assert effect.untestable == "8 probes are too few to prove an effect; at least 10 are needed"


def readied(experiment, pairs, predictions):
    """Why the tests are blocked, and what an effect of 1 is."""
    ready = experiment.readiness(pairs, predictions)
    return ready.blocked_because, ready.scale


def test_the_gate_of_accuracy():
    assert readied(asker(), PAIRS, np.array([0, 0, 1, 0])) == ("", 1.0)
    closed, _ = readied(asker(), PAIRS, np.array([0, 1, 1, 0]))
    assert closed == "the accuracy on the probes is 0.50, below 0.60"
    lopsided = SwapExperiment(IMAGES, np.array([0, 0, 0, 1]), OWN, answer, 9, False)
    closed, _ = readied(lopsided, PAIRS, np.array([0, 0, 0, 0]))  # as good as always the same
    assert closed == "the accuracy on the probes is 0.75, below 0.85"


def test_the_gate_of_scores_asks_what_the_whole_image_does():
    """The score is a pixel: another class moves it by 8, the same class by 1."""
    targets = np.arange(40) % 2
    images = (8.0 * targets + np.arange(40) // 2 % 2).reshape(40, 1, 1, 1)

    def pixel(batch, targets):
        return np.full(len(batch), -1), batch[:, 0, 0, 0]

    pairs = draw_pairs(targets, np.arange(40), num_donors=4, seed=0)
    asked = SwapExperiment(images, targets, images[:, 0, 0, 0], pixel, 100, True)
    gate, scale = readied(asked, pairs, np.full(40, -1))
    assert gate == ""
    assert 7 <= scale <= 8
    blind = SwapExperiment(
        images, targets, np.zeros(40), lambda x, _: (np.zeros(len(x)),) * 2, 100, True
    )
    gate, scale = readied(blind, pairs, np.full(40, -1))
    assert gate == "the scores tell the classes of the probes apart in 0.00 of pairs, below 0.70"
    assert np.isnan(scale)
    effect = blind.effect(swap(lambda ours, theirs: ours.values, pairs), Readiness("", scale), 8)
    assert np.isnan([effect.effect, effect.p_value, effect.keep]).all()
    broken = SwapExperiment(images, targets, np.full(40, np.nan), pixel, 100, True)
    gate, scale = readied(broken, pairs, np.full(40, -1))
    assert gate == "the scores tell the classes of the probes apart in 0.00 of pairs, below 0.70"
    assert np.isnan(scale)


@pytest.mark.parametrize(("moved", "gate"), [(28, ""), (27, "0.68")])
def test_the_gate_of_scores_counts_pairs(moved, gate):
    """Another class moves the score of so many of 40 probes further, and that of no more.

    That is significant for both: of 27 signs all are positive once in 2^27 times.
    """
    assert FURTHER == 0.7
    targets = np.arange(40) % 2
    images = np.arange(40.0).reshape(40, 1, 1, 1)
    among = np.arange(40)
    pairs = Pairs(among, ((among + 2) % 40)[:, np.newaxis], ((among + 1) % 40)[:, np.newaxis])

    def answer(batch, asked):
        """The class shows in the images of the first probes, asked about as another's."""
        donors = batch.ravel().astype(int)
        foreign = targets[donors] != targets[asked]
        return np.full(len(batch), -1), 4.0 * (foreign & ((donors - 1) % 40 < moved))

    asked = SwapExperiment(images, targets, np.zeros(40), answer, 100, True)
    closed, scale = readied(asked, pairs, np.full(40, -1))
    words = f"the scores tell the classes of the probes apart in {gate} of pairs, below 0.70"
    assert closed == (words if gate else "")
    assert scale == pytest.approx(4 * moved / 40)


def test_uneven_classes_can_open_the_gate():
    """Of 40 probes 38 are of one class: 0.975 is needed, and one error at most."""
    targets = (np.arange(40) >= 38).astype(int)
    pairs = draw_pairs(targets, np.arange(40), num_donors=1, seed=0)
    for errors, gate in ((0, ""), (1, ""), (2, "the accuracy on the probes is 0.95, below 0.97")):
        predictions = np.where(np.arange(40) < errors, 1, targets)
        asked = SwapExperiment(np.zeros((40, 1, 1, 1)), targets, np.zeros(40), answer, 9, False)
        assert readied(asked, pairs, predictions) == (gate, 1.0)


def test_the_gate_is_over_the_probes_that_are_tested():
    """Of 40 zeros, whom nobody asks about, all are known; of the tested half is."""
    targets = np.concatenate([np.repeat([0, 1], 10), np.zeros(40, int)])
    pairs = draw_pairs(targets, np.arange(20), num_donors=2, seed=0)
    asked = SwapExperiment(np.zeros((60, 1, 1, 1)), targets, np.zeros(60), answer, 9, False)
    closed, _ = readied(asked, pairs, np.zeros(60, int))
    assert closed == "the accuracy on the probes is 0.50, below 0.60"
    wrong_elsewhere = np.concatenate([targets[:20], np.ones(40, int)])
    assert readied(asked, pairs, wrong_elsewhere) == ("", 1.0)


def test_p_values_do_not_depend_on_probes_that_are_not_tested():
    """Which donor's class is believed is drawn for each pair, seldom enough for p to be no 0."""
    generator = np.random.default_rng(0)
    targets = np.arange(24) % 3
    said = np.where(generator.random((24, 24)) < 0.9, targets[:, np.newaxis], targets)
    pairs = draw_pairs(targets, np.arange(24), num_donors=4, seed=0)
    found = []
    for more in (0, 1, 7, 500):
        count = 24 + more

        def reads(images, _):
            rows, columns = np.divmod(images.ravel().astype(int), 24)
            return said[rows, columns], said[columns, rows].astype(float)

        def edit(ours, theirs):
            return (24 * ours.indices + theirs.indices).astype(float).reshape(-1, 1, 1, 1)

        everyone = np.concatenate([targets, np.full(more, 2)])
        for by_score in (False, True):
            asked = SwapExperiment(
                np.zeros((count, 1, 1, 1)), everyone, np.zeros(count), reads, 99, by_score
            )
            measured = swap(edit, pairs, floor=0.0)  # without stopping early
            found.append(asked.effect(measured, Readiness("", 1.0), 8).p_value)
    assert found == found[:2] * 4
    assert 1e-4 < found[0] < 0.5  # enough flips are as large to tell one draw from another


def test_examples_are_the_pairs_that_changed_most_of_different_classes():
    effect = asker().effect(swap(both, PAIRS), Readiness("", 1.0), 8)
    # The differences are 1 -1 1 1: first of each class 0 and 2, then 3, then 1.
    found = [(e.recipient, e.donor, e.prediction, e.same_class_prediction) for e in effect.examples]
    assert found == [(0, 2, 1, 0), (2, 0, 2, 1), (3, 1, 0, 1), (1, 3, 0, 1)]
    for example in effect.examples:
        assert example.image.item() == 10 * example.recipient + example.donor


def test_an_example_shows_a_donor_that_made_the_difference():
    pairs = Pairs(np.array([0]), np.array([[1, 1]]), np.array([[3, 2]]))
    said = SAID | {(0, 3): 0}  # the first donor of another class changes nothing

    def half(images, targets):
        return np.array([said[divmod(int(v), 10)] for v in images.ravel()]), np.zeros(len(images))

    effect = SwapExperiment(IMAGES, TARGETS, OWN, half, 9, False).effect(
        swap(both, pairs), Readiness("", 1.0), 8
    )
    (example,) = effect.examples
    assert (example.donor, example.prediction, example.same_class_prediction) == (2, 1, 0)
    assert effect.effect == 0.5


def test_there_are_a_few_examples_of_many_pairs():
    targets = np.repeat(np.arange(8), 3)
    images = np.zeros((24, 1, 1, 1))
    pairs = draw_pairs(targets, np.arange(24), num_donors=2, seed=0)

    def wrong_from_class_4_on(batch, asked):
        return np.where(asked < 4, asked, asked - 1), np.zeros(len(batch))

    effect = SwapExperiment(images, targets, np.zeros(24), wrong_from_class_4_on, 99, False).effect(
        swap(lambda ours, theirs: ours.values, pairs), Readiness("", 1.0), 8
    )
    assert len(effect.examples) == NUM_EXAMPLES
    assert len({int(targets[example.recipient]) for example in effect.examples}) == NUM_EXAMPLES


# ---------------------------------------------------------------- the null


@pytest.mark.slow
def test_a_region_that_says_nothing_of_the_class_has_small_p_values_as_seldom_as_it_should():
    """Models that the donor's region throws off the track at random, whatever its class.

    Who is thrown off by whom is drawn anew for each of 500 models; the share of pairs differs
    from model to model.
    """
    targets = np.arange(40) % 4
    indices = np.arange(40.0).reshape(40, 1, 1, 1)
    pairs = draw_pairs(targets, np.arange(40), num_donors=4, seed=0)
    p_values, effects = [], []
    for seed in range(500):
        generator = np.random.default_rng(seed)
        said = np.where(
            generator.random((40, 40)) < generator.random(),
            generator.integers(4, size=(40, 40)),
            targets[:, np.newaxis],
        )

        def reads(images, _, said=said):
            rows, columns = np.divmod(images.ravel().astype(int), 40)
            return said[rows, columns], np.zeros(len(images))

        asked = SwapExperiment(indices, targets, np.zeros(40), reads, 10**6, False)
        for floor in (0.0, 1.0):  # without stopping early, and with it
            edit = swap(lambda ours, theirs: 40 * ours.values + theirs.values, pairs, floor=floor)
            effect = asked.effect(edit, Readiness("", 1.0), 8)
            p_values.append(effect.p_value)
            effects.append(effect.effect)
    p_values, with_stops = p_values[::2], p_values[1::2]
    assert (np.array(with_stops) < 0.05).mean() <= (np.array(p_values) < 0.05).mean()
    effects = effects[::2]
    assert (np.array(p_values) < 0.05).mean() <= 0.07
    assert (np.array(p_values) < 0.01).mean() <= 0.02
    assert (np.array(p_values) < 0.05).mean() >= 0.02
    assert np.mean(effects) == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_what_other_donors_might_have_carried_is_no_evidence():
    """Models that read a region, whose content is drawn for each probe, not by class.

    With few probes, those of one class carry by chance what throws the model off more than that
    of another. That is true of these donors alone.
    """
    for classes, per_class in ((2, 16), (2, 32), (4, 8)):
        targets = np.repeat(np.arange(classes), per_class)
        count = len(targets)
        pairs = draw_pairs(targets, np.arange(count), num_donors=4, seed=0)
        p_values = []
        for seed in range(500):
            generator = np.random.default_rng(seed)
            by_object = generator.normal(size=(count, classes)) + 3 * np.eye(classes)[targets]
            by_region = (
                0.5 * generator.normal(size=(count, 4)) @ generator.normal(size=(4, classes))
            )

            def reads(images, _, by_object=by_object, by_region=by_region, count=count):
                rows, columns = np.divmod(images.ravel().astype(int), count)
                return (by_object[rows] + by_region[columns]).argmax(axis=1), np.zeros(len(images))

            def edit(ours, theirs, count=count):
                return (count * ours.indices + theirs.indices).astype(float).reshape(-1, 1, 1, 1)

            asked = SwapExperiment(
                np.zeros((count, 1, 1, 1)), targets, np.zeros(count), reads, 9**9, False
            )
            question = swap(edit, pairs)
            p_values.append(asked.effect(question, Readiness("", 1.0), 8).p_value)
        assert (np.array(p_values) < 0.05).mean() <= 0.07, (classes, per_class)
        assert (np.array(p_values) < 0.01).mean() <= 0.02, (classes, per_class)


# ---------------------------------------------------------------- what the model is asked


class Asked:
    """A model that predicts an image's first pixel, and remembers what it was asked."""

    def __init__(self):
        self.images, self.sizes = [], []

    def __call__(self, images, recipients):
        self.images += images[:, 0, 0, 0].tolist()
        self.sizes.append(len(images))
        return images[:, 0, 0, 0].astype(int), images[:, 0, 0, 0] / 2


MIXED = Pairs(np.arange(8), (np.arange(8) ^ 1)[:, np.newaxis], (np.arange(8) ^ 2)[:, np.newaxis])


def third_of_donors(ours, theirs):
    """The recipient, the donor, or an image of its own, by turns."""
    new = 100.0 + 10 * ours.values + theirs.values
    turn = (ours.indices % 3)[:, np.newaxis, np.newaxis, np.newaxis]
    return np.where(turn == 0, ours.values, np.where(turn == 1, theirs.values, new))


@pytest.mark.parametrize("by_score", [False, True])
def test_answers_that_are_known_are_looked_up(by_score):
    images = np.arange(8.0).reshape(8, 1, 1, 1)
    asked, told = Asked(), np.arange(8) % 5
    asker = Asker(images, told / 4, asked, 3, by_score, told)
    answers = asker.run(third_of_donors, MIXED)
    made = [
        third_of_donors(Images(images, np.arange(8)), Images(images[donors[:, 0]], donors[:, 0]))
        for donors in (MIXED.same, MIXED.other)
    ]
    turn = np.arange(8) % 3
    looked_up = (turn == 0) if by_score else (turn < 2)  # the score of a donor is of its target
    expected = [image[i].item() for image in made for i in range(8) if not looked_up[i]]
    assert asked.images == expected
    assert asked.sizes == [3] * (len(expected) // 3) + [len(expected) % 3] * (len(expected) % 3 > 0)
    assert asker.passes == len(expected)
    for found, scores, donors in (
        (answers.same, answers.same_scores, MIXED.same[:, 0]),
        (answers.other, answers.other_scores, MIXED.other[:, 0]),
    ):
        new = 100 + 10 * np.arange(8) + donors
        theirs = donors if by_score else told[donors]
        np.testing.assert_array_equal(
            found[:, 0], np.select([turn == 0, turn == 1], [told, theirs], new)
        )
        if by_score:
            own = np.select([turn == 0, turn == 1], [told / 4, donors / 2], new / 2)
            np.testing.assert_array_equal(scores[:, 0], own)


def test_each_probe_is_described_once_as_it_is():
    calls = []

    def describe(images):
        calls.extend(images.ravel().tolist())
        return images.ravel(), -images

    def edit(ours, theirs):
        (one, _), (_, other) = ours.described(describe), theirs.described(describe)
        assert one.tolist() == ours.values.ravel().tolist()
        np.testing.assert_array_equal(other, -theirs.values)
        return ours.values

    images = np.arange(8.0).reshape(8, 1, 1, 1)
    Asker(images, np.zeros(8), Asked(), 3, False, None).run(edit, MIXED)
    assert sorted(calls) == list(range(8))
    changed = Images(images[:2] + 50, np.array([0, 1]))
    assert changed.described(describe)[0].tolist() == [50, 51]


# ---------------------------------------------------------------- stopping early


def counted(share, count, num_donors, *, floor=0.25, control=None):
    """A share of the recipients is lost with each donor of the other class; effect and passes."""
    targets = np.arange(count) % 2
    pairs = draw_pairs(targets, np.arange(count), num_donors=num_donors, seed=0)
    lost = np.arange(count) // 2 < share * count / 2

    def edit(ours, theirs):
        is_lost = lost[ours.indices] & (targets[theirs.indices] != targets[ours.indices])
        said = np.where(is_lost, 1 - targets[ours.indices], targets[ours.indices])
        return said.astype(float).reshape(-1, 1, 1, 1)

    images = np.full((count, 1, 1, 1), -1.0)
    experiment = SwapExperiment(images, targets, np.zeros(count), Asked(), 50, False)
    return experiment.effect(swap(edit, pairs, floor=floor), Readiness(""), 8), experiment.passes


def test_without_an_effect_64_recipients_with_a_donor_of_each_kind_are_enough():
    effect, passes = counted(0.0, 100, 2)
    assert passes == 64 * 2
    assert (effect.effect, effect.p_value, effect.flip, effect.keep) == (0, 1, 0, 1)
    assert (effect.num_probes, effect.num_donors) == (64, 1)
    assert effect.bound == pytest.approx(2 / 64)


def test_what_a_part_of_the_recipients_shows_is_not_forgotten():
    """The whole effect is that of all pairs, each of which is asked once."""
    for share, count, num_donors in ((0.2, 100, 2), (0.5, 100, 4), (0.3, 200, 1), (1.0, 10, 3)):
        effect, passes = counted(share, count, num_donors)
        assert passes == count * num_donors * 2
        assert effect.effect == pytest.approx(share)
        assert (effect.num_probes, effect.num_donors) == (count, num_donors)
        assert np.isnan(effect.bound)


def test_a_part_is_enough_if_two_standard_errors_stay_below_what_is_of_interest():
    # Of 64 recipients, two are lost: a variance of (2 * 62 / 64 + 1) / 64.
    expected = 2 / 64 + 2 * np.sqrt((2 * 62 / 64 + 1) / 64 / 64)
    differences = np.zeros(64)
    differences[:2] = 1
    assert upper_bound(differences) == pytest.approx(expected)
    assert counted(0.02, 100, 2)[0].bound < 0.15
    assert counted(0.02, 100, 2, floor=0.05)[1] == 100 * 2 * 2  # here it may reach the floor


def test_then_come_all_recipients_and_then_the_other_donors():
    """Of an effect of 0.1, 64 recipients cannot tell whether it is below 0.15; 400 can."""
    for share, expected in ((0.0, 64 * 2), (0.1, 400 * 2), (0.6, 400 * 4 * 2)):
        effect, passes = counted(share, 400, 4)
        assert passes == expected, share
        assert effect.effect == pytest.approx(share)


def test_a_part_that_is_all_is_not_a_part():
    effect, passes = counted(0.0, 60, 1)
    assert (effect.num_probes, passes) == (60, 120)
    assert np.isnan(effect.bound)
