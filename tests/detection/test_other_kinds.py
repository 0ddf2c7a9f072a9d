"""Series, tables, tokens and volumes: models of which it is known exactly what they read."""

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.detection.alerts import announce, judge
from keras_saliency.detection.edits import swap_offset, swap_region, swap_scale
from keras_saliency.detection.interventions import intervene, what_is_tested
from keras_saliency.detection.places import Place
from keras_saliency.detection.proposals import elsewhere, purities
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.tests import TESTS, InterventionTest
from support.exact_models import COUNT, TARGETS, assert_full, assert_none, by_name, examined

STEPS, CHANNELS, FEATURES, TOKENS = 12, 3, 5, 8
RNG = np.random.default_rng(0)


def judged(probes, answer, **settings):
    maps = np.ones(probes.map_shape)
    return examined(probes, answer, maps, settings=Interventions(**settings))


def told(classes):
    """What a model answers that names these classes."""
    return np.asarray(classes).astype(int), np.zeros(len(classes))


def series():
    return RNG.random((COUNT, STEPS, CHANNELS))


def place(shape, *index):
    mask = np.zeros(shape, bool)
    mask[index] = True
    return mask


# ---------------------------------------------------------------- named regions


def test_a_channel_and_a_window_of_a_series():
    """The model reads one channel at one step."""
    inputs = series()
    inputs[:, 4, 1] = TARGETS
    shape = STEPS, CHANNELS
    regions = {
        "channel": place(shape, slice(None), 1),
        "other channel": place(shape, slice(None), 2),
        "window": place(STEPS, slice(3, 6)),
        "other window": place(STEPS, slice(6, 9)),
        "both": place(shape, slice(3, 6), 1),
        "own": np.broadcast_to(place(STEPS, slice(3, 6)), (COUNT, STEPS)),
        "own channel": np.broadcast_to(place(shape, 4, 1), (COUNT, *shape)),
    }
    probes = ProbeSet(inputs, TARGETS, kind="series", regions=regions)
    found = judged(probes, lambda x, _: told(np.rint(x[:, 4, 1])), tests=["region"])
    effects = by_name(found)
    assert [*effects] == [f"region/{name}" for name in regions]
    for name in ("channel", "window", "both", "own", "own channel"):
        assert_full(effects[f"region/{name}"])
        assert effects[f"region/{name}"].control == 0
    for name in ("other channel", "other window"):
        assert_none(effects[f"region/{name}"])


def test_a_region_of_a_volume():
    inputs = RNG.random((COUNT, 3, 4, 5, 2))
    inputs[:, 1, 2, 3, 0] = TARGETS
    regions = {"voxel": place((3, 4, 5), 1, 2, 3), "slice": place((3, 4, 5), 2)}
    probes = ProbeSet(inputs, TARGETS, kind="volume", regions=regions)
    effects = by_name(judged(probes, lambda x, _: told(np.rint(x[:, 1, 2, 3, 0]))))
    assert [*effects] == ["region/voxel", "region/slice"]
    assert_full(effects["region/voxel"])
    assert_none(effects["region/slice"])


def test_all_outside_the_masks_of_a_volume():
    inputs = RNG.random((COUNT, 3, 4, 5, 1))
    inputs[:, 0, 0, 0, 0] = TARGETS
    masks = np.broadcast_to(place((3, 4, 5), 1), inputs.shape[:-1])
    probes = ProbeSet(inputs, TARGETS, kind="volume", masks=masks)
    read = {
        "outside": lambda x, _: told(np.rint(x[:, 0, 0, 0, 0])),
        "inside": lambda x, targets: told(np.where(x[:, 1, 1, 1, 0] >= 0, targets, -1)),
    }
    assert_full(by_name(judged(probes, read["outside"]))["background"])
    assert_none(by_name(judged(probes, read["inside"]))["background"])


def test_a_column_that_is_named():
    inputs = RNG.random((COUNT, FEATURES))
    inputs[:, 2] = TARGETS
    regions = {"age": place(FEATURES, 2), "height": place(FEATURES, 3)}
    probes = ProbeSet(inputs, TARGETS, kind="features", regions=regions)
    found = judged(probes, lambda x, _: told(np.rint(x[:, 2])), tests=["region"])
    assert_full(by_name(found)["region/age"])
    assert_none(by_name(found)["region/height"])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_a_token_moves_with_its_mask_and_stays_an_integer(dtype):
    """The cue is token 17, wherever it stands: class 1 has it."""
    targets = np.arange(COUNT) % 2
    inputs = RNG.integers(1, 9, (COUNT, TOKENS)).astype(dtype)
    inputs[targets == 1, RNG.integers(4, size=COUNT)[targets == 1]] = 17
    seen = []

    def answer(tokens, _):
        seen.append(tokens)
        return told((tokens == 17).any(axis=1))

    late = np.arange(TOKENS) >= 4
    regions = {"token 17": inputs == 17, "token 3": (inputs == 3) & late}
    probes = ProbeSet(inputs, targets, kind="tokens", regions=regions)
    effects = by_name(judged(probes, answer))
    assert [*effects] == ["region/token 17", "region/token 3"]
    assert_full(effects["region/token 17"])
    assert_none(effects["region/token 3"])
    assert {tokens.dtype for tokens in seen} == {np.dtype(dtype)}
    assert {int(token) for tokens in seen for token in np.unique(tokens)} <= {*range(1, 9), 17}
    (example, *_) = effects["region/token 17"].examples
    given, taken = inputs[example.recipient], inputs[example.donor]
    moved = (given == 17) | (taken == 17)
    np.testing.assert_array_equal(example.image, np.where(moved, taken, given))


# ---------------------------------------------------------------- offset and scale


def test_the_offset_of_a_series():
    inputs = series()
    inputs[:, :, 1] += TARGETS[:, np.newaxis] - inputs[:, :, 1].mean(axis=1, keepdims=True)
    probes = ProbeSet(inputs, TARGETS, kind="series")
    effects = by_name(judged(probes, lambda x, _: told(np.rint(x[:, :, 1].mean(axis=1)))))
    assert [*effects] == ["offset", "scale"]
    assert_full(effects["offset"])
    assert effects["offset"].control == 0
    assert_none(effects["scale"])


def test_the_scale_of_a_series():
    inputs = series()
    inputs[:, :, 0] *= (1 + TARGETS)[:, np.newaxis] / inputs[:, :, 0].std(axis=1, keepdims=True)
    probes = ProbeSet(inputs, TARGETS, kind="series")
    effects = by_name(judged(probes, lambda x, _: told(np.rint(x[:, :, 0].std(axis=1)) - 1)))
    assert_full(effects["scale"])
    assert effects["scale"].control == 0
    assert_none(effects["offset"])


def test_the_edits_of_series_by_hand():
    ours, theirs = series()[:2].astype("float32"), (3 * series()[:2] + 1).astype("float32")
    for channel in range(CHANNELS):
        one, other = ours[1, :, channel], theirs[1, :, channel]
        offset = one - one.mean() + other.mean()
        scale = one.mean() + (one - one.mean()) / one.std() * other.std()
        np.testing.assert_allclose(swap_offset(ours, theirs)[1, :, channel], offset, rtol=1e-5)
        np.testing.assert_allclose(swap_scale(ours, theirs)[1, :, channel], scale, rtol=1e-5)
    assert swap_offset(ours, theirs).dtype == swap_scale(ours, theirs).dtype == np.float32


def test_a_constant_channel_stays_constant_and_gets_an_offset():
    flat, wild = np.full((1, 4, 1), 2.0), np.array([[[0.0], [4], [0], [8]]])
    np.testing.assert_array_equal(swap_scale(flat, wild), flat)
    np.testing.assert_array_equal(swap_offset(flat, wild), np.full((1, 4, 1), 3.0))
    np.testing.assert_array_equal(swap_scale(wild, flat), np.full((1, 4, 1), 3.0))


def test_a_place_has_as_many_axes_as_the_inputs():
    ours, theirs = np.zeros((2, 3, 2)), np.ones((2, 3, 2))
    channel = place((1, 3, 2), 0, slice(None), 1)
    np.testing.assert_array_equal(swap_region(ours, theirs, channel)[..., 1], np.ones((2, 3)))
    np.testing.assert_array_equal(swap_region(ours, theirs, channel)[..., 0], np.zeros((2, 3)))


# ---------------------------------------------------------------- columns


def table(column):
    """Noise, and one column that the class can be read from."""
    inputs = RNG.random((COUNT, FEATURES))
    inputs[:, column] = TARGETS
    return inputs


def test_a_column_that_gives_the_class_away():
    probes = ProbeSet(table(3), TARGETS, kind="features")
    found = judged(probes, lambda x, _: told(np.rint(x[:, 3])))
    first, *others = found.effects
    assert first.test == "column/3"
    assert first.effect == first.flip == first.keep == 1
    assert first.p_value * 2.0**COUNT == pytest.approx(FEATURES)  # one of five columns
    assert np.isnan(first.control)  # it is far purer than the others
    assert [effect.effect for effect in others] == [0, 0]
    assert len({effect.test for effect in found.effects}) == 3


def test_a_column_that_the_model_does_not_read_is_quiet():
    inputs = table(3)
    inputs[:, 0] = TARGETS
    probes = ProbeSet(inputs, TARGETS, kind="features")
    effects = by_name(judged(probes, lambda x, _: told(np.rint(x[:, 0]))))
    assert effects["column/0"].effect == 1
    assert_none(effects["column/3"])


def test_a_column_is_no_alert_if_the_others_matter_as_much():
    """The class is the sum of two columns: of either, and of the rest, the effect is the same."""
    inputs = RNG.random((COUNT, FEATURES))
    inputs[:, 1] = TARGETS
    inputs[:, 2] = 10 * TARGETS
    probes = ProbeSet(inputs, TARGETS, kind="features")

    def both(x, _):
        one, other = np.rint(x[:, 1]), np.rint(x[:, 2] / 10)
        return told(np.where(one == other, one, -1))

    found = judged(probes, both)
    verdicts = {verdict.effect.test: verdict for verdict in judge(found)[0]}
    assert verdicts["column/1"].effect.effect == verdicts["column/1"].effect.control == 1
    assert (verdicts["column/1"].status, verdicts["column/2"].status) == ("finding", "finding")


def test_a_column_that_is_far_purer_than_the_next_needs_no_control():
    """One column repeats the class, the next one does so for two thirds of the probes."""
    inputs = RNG.random((COUNT, FEATURES))
    inputs[:, 1] = TARGETS
    is_wrong = np.arange(COUNT) % 3 == 0
    inputs[:, 2] = 10 * np.where(is_wrong, 1 - TARGETS, TARGETS)
    probes = ProbeSet(inputs, TARGETS, kind="features")

    pure, other = purities(inputs, TARGETS)[1:3]
    assert pure == 1 > 0.9 > other > 0.4
    found = judged(probes, lambda x, _: told(np.rint(x[:, 1])))
    verdicts = {one.effect.test: one for one in judge(found)[0]}
    assert verdicts["column/1"].status == "fires"
    assert np.isnan(verdicts["column/1"].effect.control)
    assert verdicts["column/1"].effect.support == (
        "two probes with nearly the same value have the same class in 100% of cases, in the next "
        f"best column in {other:.0%}"
    )
    assert verdicts["column/2"].effect.support == ""


def test_what_an_alert_of_a_column_says():
    probes = ProbeSet(table(3), TARGETS, kind="features")
    results = judged(probes, lambda x, _: told(np.rint(x[:, 3])))
    verdicts, _ = judge(results, step=4)
    (warning,) = announce(verdicts, {}, 4, results.unit, noun="input")
    assert warning.rule == "column/3"
    assert warning.sentence.startswith(
        "epoch 4: the model relies on column 3 (counted from 0): accuracy drops by 100 points when "
        "it is exchanged with an input of another class"
    )


def test_one_column_has_nothing_beside_it():
    probes = ProbeSet(TARGETS.astype(float), TARGETS, kind="features")
    found = judged(probes, lambda x, _: told(np.rint(x[:, 0])))
    assert found.effects == ()


def test_purity_by_hand():
    """Two bins of a column with two values: 3 of class 0 and 1 of class 1; 2 of class 1."""
    column = np.array([0.0, 0, 0, 0, 1, 1])
    targets = np.array([0, 0, 0, 1, 1, 1])
    pairs = 3 * (2 / 3) + 1 * 0 + 2 * 1  # for each probe: the others of its bin with its class
    assert purities(column[:, np.newaxis], targets)[0] == pytest.approx(pairs / 6)


def test_purity_does_not_depend_on_the_order_of_values():
    shuffled = np.array([5.0, -1, 9])[TARGETS]
    np.testing.assert_array_equal(purities(shuffled[:, np.newaxis], TARGETS), [1])


# ---------------------------------------------------------------- controls


@pytest.mark.parametrize("shape", [(9,), (6, 4), (4, 5, 6)])
def test_a_place_is_moved_along_all_axes(shape):
    mask = place(shape, *[0] * len(shape))
    moved = elsewhere(mask, 0, len(shape))
    assert (moved.shape, moved.sum(), (moved & mask).any()) == (shape, 1, False)
    each = elsewhere(np.stack([mask, mask]), 0, len(shape))
    np.testing.assert_array_equal(each, np.stack([moved, moved]))
    assert elsewhere(np.ones(shape, bool), 0, len(shape)) is None


def test_a_channel_is_moved_to_another_channel():
    moved = elsewhere(place((6, 3), slice(None), 1), 0, 2)
    assert moved.all(axis=0).tolist() in ([True, False, False], [False, False, True])


# ---------------------------------------------------------------- what is not tested


@pytest.mark.parametrize(
    ("kind", "shape"), [("tokens", (TOKENS,)), ("volume", (3, 4, 5, 1))], ids=["tokens", "volume"]
)
def test_what_has_no_test_has_no_effect(kind, shape):
    inputs = RNG.integers(1, 9, (COUNT, *shape))
    probes = ProbeSet(inputs, TARGETS, kind=kind)
    found = judged(probes, lambda _, targets: told(targets))
    assert (found.effects, found.passes) == ((), 0)
    assert what_is_tested(found, "auto") == (
        f"no intervention tests: no test is for kind={kind!r} without a named place. Name what to "
        "exchange in ProbeSet(regions={...})"
    )


def test_groups_of_tokens_are_tested():
    probes = ProbeSet(RNG.integers(1, 9, (COUNT, TOKENS)), TARGETS, kind="tokens")
    metrics = {"group_gap": 0.5, "group_gap_p_value": 0.001}
    found = intervene(
        *(probes, np.ones((COUNT, TOKENS)), TARGETS, np.zeros(COUNT)),
        lambda tokens, recipients: told(TARGETS[recipients]),
        by_score=False,
        chunk_size=8,
        metrics=metrics,
    )
    assert found.blocked_because == ""
    (verdict,), _ = judge(found)
    assert (verdict.effect.test, verdict.status) == ("groups", "fires")


def test_images_have_no_tests_of_other_kinds():
    for name in ("offset", "scale", "column"):
        assert "image" not in TESTS[name].kinds
    assert TESTS["region"].kinds == TESTS["groups"].kinds
    assert set(TESTS["region"].kinds) == {"image", "series", "volume", "features", "tokens"}


# ---------------------------------------------------------------- custom tests


def swap_first(recipients, donors, where):
    made = recipients.copy()
    made[:, 0] = donors[:, 0]
    return made


def test_a_custom_test_of_tokens():
    inputs = RNG.integers(3, 9, (COUNT, TOKENS))
    inputs[:, 0] = TARGETS
    probes = ProbeSet(inputs, TARGETS, kind="tokens")
    first = InterventionTest("first", swap_first, "the first token", "it is", kinds=("tokens",))
    found = judged(probes, lambda x, _: told(x[:, 0]), tests=[*TESTS, first])
    assert_full(by_name(found)["first"])


def test_an_edit_of_tokens_has_to_give_integers():
    def as_floats(recipients, donors, where):
        return recipients.astype(float)

    probes = ProbeSet(RNG.integers(1, 9, (COUNT, TOKENS)), TARGETS, kind="tokens")
    test = InterventionTest("floats", as_floats, "a token", "it is", kinds=("tokens",))
    with pytest.raises(TypeError, match="'floats': expected int64, .*received float64"):
        judged(probes, lambda _, targets: told(targets), tests=[test])


def test_a_custom_place_in_a_series_has_channels():
    def proposed(round_):
        assert round_.place_shape == (STEPS, CHANNELS)
        return [Place(np.ones(STEPS, bool))]

    test = InterventionTest(
        "step", swap_region, "a step", "it is", propose=proposed, kinds=("series",)
    )
    with pytest.raises(ValueError, match=r"shape \(12, 3\) or \(60, 12, 3\), received \(12,\)"):
        judged(
            ProbeSet(series(), TARGETS, kind="series"),
            lambda _, targets: told(targets),
            tests=[test],
        )


@pytest.mark.parametrize(
    ("kinds", "error", "says"),
    [
        ("series", TypeError, r"kinds: expected a tuple .*\('image',\), received 'series'"),
        ((), ValueError, "kinds: expected at least one"),
        (("audio",), ValueError, "kinds: expected .*'image', 'series'.*'audio'"),
    ],
)
def test_wrong_kinds_are_refused(kinds, error, says):
    with pytest.raises(error, match=says):
        InterventionTest("mine", swap_first, "a thing", "it is", kinds=kinds)


def test_only_images_have_a_border():
    with pytest.raises(ValueError, match="control='border': expected kinds=.*'series'"):
        InterventionTest(
            "mine", swap_first, "a thing", "it is", control="border", kinds=("series",)
        )
