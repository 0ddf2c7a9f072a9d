import dataclasses
import math

import numpy as np
import pytest

from keras_saliency.data.reports import Effect, Example, InterventionResults
from keras_saliency.detection.alerts import (
    ALERT,
    COUNTS_FROM,
    FINDING,
    FIRST,
    SCORE_FLOORS,
    UNSUPPORTED,
    WARNING,
    Streak,
    announce,
    effect_metrics,
    judge,
)
from keras_saliency.detection.sentences import in_short, sentence, subject
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.significance import ALPHA, holm
from keras_saliency.detection.tests import TESTS as RULES
from keras_saliency.detection.tests import InterventionTest, row_name

NAN = math.nan
SURE, UNSURE = 1e-4, 0.5
TESTS = {rule: f"{rule}/tag" if rule == "region" else rule for rule in RULES}
NAMES = ["cat", "dog", "emu"]
SUPPORT = "outside of your masks"


def effect(test="region/tag", value=0.9, p_value=SURE, **fields):
    """An effect with support, if it needs some; its control has none, and it exceeds that."""
    row = RULES.get(row_name(test))
    defaults = {
        "support": SUPPORT if row is not None and row.needs_support else "",
        "flip": 0.8,
        "keep": 0.95,
        "control": 0.0,
        "control_p_value": UNSURE,
        "margin_p_value": SURE,
        "num_probes": 40,
        "num_donors": 4,
    }
    return Effect(test, effect=value, p_value=p_value, **(defaults | fields))


def found(*effects, blocked_because="", unit="accuracy"):
    return InterventionResults(effects, blocked_because, unit, 100, "")


def with_floors(floors):
    return Interventions(floors=floors)


def status(single, floors=None, **kwargs):
    (verdict,), _ = judge(found(single), settings=with_floors(floors), **kwargs)
    return verdict.status


# ---------------------------------------------------------------- Holm


def test_holm_by_hand():
    """Five p-values in order: times 5, 4, 3, 2, 1, and none below the one before."""
    assert holm([0.001, 0.01, 0.012, 0.03, 0.5]) == pytest.approx([0.005, 0.04, 0.04, 0.06, 0.5])
    assert holm([0.5, 0.012, 0.001, 0.03, 0.01]) == pytest.approx([0.5, 0.04, 0.005, 0.06, 0.04])
    assert holm([0.2, 0.6, 0.9]) == pytest.approx([0.6, 1, 1])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_rejects_as_the_step_down_procedure_does():
    """Holm's own words: compare the k-th smallest with alpha / (m - k + 1), stop at the first."""
    generator = np.random.default_rng(0)
    for _ in range(300):
        p_values = generator.random(generator.integers(1, 9)) ** 3
        adjusted = np.array(holm(list(p_values)))
        rejected = np.zeros(len(p_values), bool)
        for rank, index in enumerate(p_values.argsort()):
            if p_values[index] >= 0.05 / (len(p_values) - rank):
                break
            rejected[index] = True
        np.testing.assert_array_equal(adjusted < 0.05, rejected)


def test_holm_seldom_errs_though_there_are_many_tests():
    """Of 12 true nulls the smallest adjusted p is below 0.05 in one of 20 evaluations."""
    draws = np.random.default_rng(0).random((4000, 12))
    errors = np.mean([min(holm(list(row))) < 0.05 for row in draws])
    assert errors == pytest.approx(1 - (1 - 0.05 / 12) ** 12, abs=0.01)


# ---------------------------------------------------------------- when a rule fires


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_fires_at_its_floor_and_not_below(rule):
    test, floor = TESTS[rule], RULES[rule].floor
    assert floor >= (0.1 if rule == "spectrum" else 0.15)  # an effect that is worth a word
    assert status(effect(test, floor)) == "fires"
    below = status(effect(test, np.nextafter(floor, 0)))
    assert below == ("finding" if floor > FINDING else "quiet")


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_wants_a_small_p_value(rule):
    test = TESTS[rule]
    assert status(effect(test, 1.0, np.nextafter(ALPHA, 0))) == "fires"
    assert status(effect(test, 1.0, ALPHA)) == "quiet"
    assert status(effect(test, NAN, NAN)) == "quiet"


def test_the_p_value_is_that_of_all_tests_together():
    """0.004 would do alone, and among two; not among three."""
    for others, expected in ((0, "fires"), (1, "fires"), (2, "quiet")):
        effects = [effect("border", 0.0, 1.0), effect("tint", 0.0, 1.0)][:others]
        verdicts, _ = judge(found(effect("region/tag", p_value=0.004), *effects))
        assert verdicts[0].status == expected
        assert verdicts[0].p_value == pytest.approx(0.004 * (others + 1))


def test_tests_that_could_not_be_made_do_not_count():
    """Neither those that say why, nor those without a number."""
    others = [
        Effect("hot_window", untestable="no map is alive"),
        effect("border", 0.9, 1e-3, untestable="it spoils the images"),
        effect("groups", NAN, NAN),
    ]
    for place in range(4):
        effects = [*others[:place], effect("region/tag", p_value=0.004), *others[place:]]
        effects.append(effect("tint", p_value=0.002))
        verdicts, _ = judge(found(*effects))
        by_test = {verdict.effect.test: verdict for verdict in verdicts}
        assert [verdict.effect for verdict in verdicts] == effects
        assert by_test["region/tag"].p_value == 0.004
        assert by_test["tint"].p_value == 0.004
        assert by_test["tint"].status == by_test["region/tag"].status == "fires"
        assert [by_test[t].status for t in ("hot_window", "border")] == ["untestable"] * 2
        assert by_test["border"].reason == "it spoils the images"
        assert math.isnan(by_test["border"].p_value)
        assert by_test["groups"].status == "quiet"


def test_a_finding_is_a_true_effect_below_the_floor():
    floor = RULES["tint"].floor
    (verdict,), _ = judge(found(effect("tint", floor - 0.01)))
    assert (verdict.status, verdict.reason) == ("finding", f"below the floor of {floor:.2g}")
    assert status(effect("tint", FINDING - 0.001)) == "quiet"
    assert status(effect("tint", floor - 0.01, UNSURE)) == "quiet"


def test_floors_of_the_user_raise_the_floor_and_never_lower_it():
    high, low = {"region/tag": 0.6}, {"region/tag": 0.01}
    assert status(effect(value=0.59), floors=high) == "finding"
    assert status(effect(value=0.6), floors=high) == "fires"
    assert status(effect(value=0.14), floors=low) == "quiet"
    assert status(effect("region/other", 0.2), floors=high) == "fires"
    verdicts, _ = judge(
        found(effect(), effect("region/other")), settings=with_floors(high | {"border": 0.9})
    )
    assert [verdict.floor for verdict in verdicts] == [0.6, RULES["region"].floor]


# ---------------------------------------------------------------- controls

SUPPORTED = [rule for rule in RULES if RULES[rule].needs_support]
COMPARED = [rule for rule in RULES if RULES[rule].control]
RELATIVE = [rule for rule in COMPARED if RULES[rule].control in ("rest", "inside")]
BOUNDED = [rule for rule in COMPARED if RULES[rule].control in COUNTS_FROM]
WITHOUT = [rule for rule in RULES if RULES[rule].control == "" and rule not in SUPPORTED]


def least_control(rule):
    """The effect from which the control of a rule counts."""
    return {"elsewhere": RULES[rule].floor, "border": 0.25}[RULES[rule].control]


def test_every_rule_has_one_of_these_controls():
    assert sorted([*RELATIVE, *BOUNDED, *SUPPORTED, *WITHOUT]) == sorted(RULES)
    assert BOUNDED == ["region", "tint", "spectrum"]
    assert SUPPORTED == ["border_patch", "hot_window", "class_hot_spot"]
    assert "border" in RELATIVE
    for rule in (*SUPPORTED, *WITHOUT):
        assert (RULES[rule].control, RULES[rule].outweighs) == ("", 0)


@pytest.mark.parametrize("rule", RELATIVE)
def test_what_does_not_exceed_all_else_is_a_finding(rule):
    (verdict,), _ = judge(found(effect(TESTS[rule], 0.9, control=0.87, margin_p_value=ALPHA)))
    assert verdict.status == "finding"
    assert "has an effect of 0.87" in verdict.reason
    assert status(effect(TESTS[rule], 0.9, margin_p_value=np.nextafter(ALPHA, 0))) == "fires"


@pytest.mark.parametrize("rule", COMPARED)
def test_an_effect_outweighs_its_control_by_a_factor(rule):
    test, control = TESTS[rule], 0.5
    enough = control * RULES[rule].outweighs
    sure = {"control": control, "control_p_value": SURE, "margin_p_value": SURE}
    assert status(effect(test, enough, **sure)) == "fires"
    below = status(effect(test, np.nextafter(enough, 0), **sure))
    assert below == "finding"


@pytest.mark.parametrize("rule", BOUNDED)
def test_a_test_whose_control_has_an_effect_of_its_own_is_a_finding(rule):
    test, least = TESTS[rule], least_control(rule)
    bad = {"control": least, "control_p_value": SURE, "margin_p_value": UNSURE}
    (verdict,), _ = judge(found(effect(test, 0.9, **bad)))
    assert verdict.status == "finding"
    place = {"elsewhere": "the same shape elsewhere", "border": "the border of the image alone"}
    control = f"the control, {place[RULES[rule].control]}, has an effect of {least:.2f}"
    assert verdict.reason == f"{control}, and the margin over it is not significant"
    for change in (
        {"control": np.nextafter(least, 0)},
        {"control_p_value": ALPHA},
        {"margin_p_value": np.nextafter(ALPHA, 0)},
        {"control": NAN, "control_p_value": NAN, "margin_p_value": NAN},
    ):
        assert status(effect(test, 0.9, **(bad | change))) == "fires", change


@pytest.mark.parametrize("rule", SUPPORTED)
def test_without_support_a_place_that_the_maps_propose_is_a_finding(rule):
    """However large its effect is, and however small its control's."""
    for value in (RULES[rule].floor, 1.0):
        (verdict,), streaks = judge(
            found(effect(rule, value, support="")), streaks={rule: Streak(1, 0)}
        )
        assert (verdict.status, verdict.reason) == ("finding", UNSUPPORTED)
        assert streaks[rule] == Streak(0, 1)  # it does not pause
    assert status(effect(rule, np.nextafter(RULES[rule].floor, 0), support="")) == "quiet"
    assert status(effect(rule, 1.0, support="outside of your masks")) == "fires"


@pytest.mark.parametrize("rule", [*COMPARED, *SUPPORTED])
def test_a_place_with_support_needs_no_control(rule):
    for control in (
        {"control": 0.95, "control_p_value": SURE, "margin_p_value": 1.0},
        {"control": NAN, "control_p_value": NAN, "margin_p_value": NAN},
    ):
        assert status(effect(TESTS[rule], 0.9, support=SUPPORT, **control)) == "fires"
    below = np.nextafter(RULES[rule].floor, 0)
    assert status(effect(TESTS[rule], below, support=SUPPORT)) != "fires"
    assert status(effect(TESTS[rule], 0.9, ALPHA, support=SUPPORT)) == "quiet"


@pytest.mark.parametrize("rule", COMPARED)
def test_an_unclear_margin_pauses_a_streak(rule):
    """It neither counts as fired nor as quiet, whatever the streak was."""
    floor = RULES[rule].floor
    control = max(floor, 0.25)
    unclear = effect(TESTS[rule], 0.9, control=control, control_p_value=SURE, margin_p_value=UNSURE)
    for before in (Streak(1, 0), Streak(0, 1, True), Streak(3, 0, True), Streak()):
        (verdict,), after = judge(found(unclear), streaks={TESTS[rule]: before})
        assert (verdict.status, after[TESTS[rule]]) == ("finding", before)
    fires = effect(TESTS[rule], 0.9)
    streaks: dict[str, Streak] = {}
    for step in (fires, unclear, fires):
        (verdict,), streaks = judge(found(step), streaks=streaks)
    assert verdict.active
    explained = effect(TESTS[rule], 0.9, control=0.9, control_p_value=SURE, margin_p_value=UNSURE)
    if RULES[rule].outweighs > 1:  # as large as the effect itself: no pause
        _, after = judge(found(explained), streaks={TESTS[rule]: Streak(1, 0)})
        assert after[TESTS[rule]].fired == 0


def test_the_level_of_the_round_decides():
    for alpha, expected in ((0.0061, "fires"), (0.0015, "quiet")):
        results = dataclasses.replace(found(effect("tint", 0.9, 0.002)), alpha=alpha)
        (verdict,), _ = judge(results)
        assert (verdict.status, verdict.alpha) == (expected, alpha)


@pytest.mark.parametrize("rule", WITHOUT)
def test_other_rules_ask_no_control(rule):
    control = {"control": 0.95, "control_p_value": SURE, "margin_p_value": 1.0}
    assert status(effect(TESTS[rule], 0.9, **control)) == "fires"


# ---------------------------------------------------------------- twice in a row

FIRES, QUIET = effect(), effect(value=0.0, p_value=1.0)
FINDS = effect("region/tag", 0.2)
CANT = effect(untestable="it spoils the images")


def course(*effects, gates=None, floors=None):
    """Level announced, and whether an alert stands, at each of these evaluations in turn."""
    streaks, told = {}, []
    for step, single in enumerate(effects):
        gate = gates[step] if gates else ""
        before = streaks
        verdicts, streaks = judge(
            found(single, blocked_because=gate), settings=with_floors(floors), streaks=before
        )
        alerts = announce(verdicts, before, step, "accuracy")
        told.append((*(alert.level for alert in alerts), verdicts[0].active))
    return told


def withdrawn(*effects, gates=None):
    """Whether the alert is withdrawn at each of these evaluations in turn."""
    streaks, ended = {}, []
    for step, single in enumerate(effects):
        results = found(single, blocked_because=gates[step] if gates else "")
        (verdict,), streaks = judge(results, streaks=streaks)
        ended.append(verdict.withdrawn)
    return ended


def test_the_first_warns_and_the_second_in_a_row_is_an_alert():
    assert course(FIRES, FIRES, FIRES) == [(WARNING, False), (ALERT, True), (True,)]


def test_one_quiet_evaluation_between_two_starts_anew():
    assert course(FIRES, QUIET, FIRES, FIRES) == [
        (WARNING, False),
        (False,),
        (WARNING, False),
        (ALERT, True),
    ]


def test_an_alert_stays_until_two_in_a_row_are_quiet():
    told = course(FIRES, FIRES, QUIET, FIRES, QUIET, QUIET, QUIET, FIRES, FIRES)
    stands = [row[-1] for row in told]
    assert stands == [False, True, True, True, True, False, False, False, True]
    assert told[3] == (True,)  # it stands already
    assert [row[:-1] for row in told[7:]] == [(WARNING,), (ALERT,)]  # it comes back


def test_an_alert_is_withdrawn_at_the_second_of_two_quiet_rounds_and_only_there():
    """Not while it stands, not again when it is quiet for longer, nor if there was a warning."""
    ended = withdrawn(FIRES, FIRES, QUIET, FIRES, QUIET, QUIET, QUIET, FIRES, FIRES, QUIET, QUIET)
    assert np.flatnonzero(ended).tolist() == [5, 10]
    assert not any(withdrawn(FIRES, QUIET, QUIET, QUIET))
    assert not any(withdrawn(QUIET, QUIET, QUIET))


def test_findings_withdraw_an_alert_and_what_is_no_test_does_not():
    finding = effect(control=0.9, control_p_value=SURE, margin_p_value=1.0)
    weak = effect(value=0.1)
    assert withdrawn(FIRES, FIRES, weak, weak) == [False, False, False, True]
    assert not any(withdrawn(FIRES, FIRES, finding, finding))  # the effect is there
    assert withdrawn(FIRES, FIRES, QUIET, CANT, QUIET) == [False] * 4 + [True]
    unclear = effect(control=0.5, control_p_value=SURE, margin_p_value=UNSURE)
    assert withdrawn(FIRES, FIRES, QUIET, unclear, QUIET) == [False] * 4 + [True]
    gates = ["", "", "", "too low", "too low"]
    assert not any(withdrawn(FIRES, FIRES, QUIET, QUIET, QUIET, gates=gates))


def test_each_test_is_withdrawn_by_itself():
    standing = {"region/tag": Streak(0, 1, True), "border": Streak(2, 0, True)}
    verdicts, streaks = judge(found(QUIET, effect("border", 0.0, 1.0)), streaks=standing)
    assert [(v.withdrawn, v.active) for v in verdicts] == [(True, False), (False, True)]
    verdicts, _ = judge(found(QUIET, effect("border", 0.0, 1.0)), streaks=streaks)
    assert [(v.withdrawn, v.active) for v in verdicts] == [(False, False), (True, False)]


def test_findings_are_quiet():
    bad = effect(control=0.9, control_p_value=SURE, margin_p_value=1.0)
    for calm, stands in ((bad, True), (FINDS, False)):
        told = course(FIRES, FIRES, calm, calm, floors={"region/tag": 0.5})
        assert [row[-1] for row in told] == [False, True, True, stands]
        assert course(calm, calm, floors={"region/tag": 0.5}) == [(False,), (False,)]


def test_what_can_not_be_tested_neither_fires_nor_calms():
    assert course(FIRES, CANT, FIRES) == [(WARNING, False), (False,), (ALERT, True)]
    told = course(FIRES, FIRES, QUIET, CANT, CANT, QUIET)
    assert [row[-1] for row in told] == [False, True, True, True, True, False]


def test_while_the_gate_is_closed_nothing_is_testable_and_nothing_is_forgotten():
    gates = ["too low", "", "too low", "", "too low", ""]
    told = course(FIRES, FIRES, FIRES, FIRES, QUIET, QUIET, gates=gates)
    assert told == [(False,), (WARNING, False), (False,), (ALERT, True), (True,), (True,)]
    for single in (FIRES, QUIET, FINDS, CANT):
        given = {"region/tag": Streak(1, 0)}
        (verdict,), streaks = judge(
            found(single, blocked_because="the accuracy is 0.1"), streaks=given
        )
        assert (verdict.status, verdict.reason) == ("untestable", "the accuracy is 0.1")
        assert streaks == given


def test_each_test_has_a_streak_of_its_own():
    streaks = {
        "region/tag": Streak(1, 0, since=3),
        "border": Streak(0, 1, True),
        "tint": Streak(1, 0, True),
    }
    given = dict(streaks)
    effects = effect("region/tag"), effect("region/other"), effect("border", 0.0, 1.0)
    _, after = judge(found(*effects), streaks=streaks, step=4)
    assert after == {
        "region/tag": Streak(2, 0, True, since=3),
        "region/other": Streak(1, 0, since=4),
        "border": Streak(0, 2),
        "tint": Streak(1, 0, True),
    }
    assert streaks == given


# ---------------------------------------------------------------- what another test explains


def both(*, border="region/tag", tag=""):
    """Two tests that fire, and what explains each."""
    return effect("border", 0.95, explained_by=border), effect("region/tag", explained_by=tag)


def announced(*rounds, settings=None):
    """Rule and level of all alerts, and whether that of the border stands, round by round."""
    streaks, rows = {}, []
    for step, effects in enumerate(rounds):
        before = streaks
        verdicts, streaks = judge(found(*effects), streaks=before, settings=settings)
        alerts = announce(verdicts, before, step, "accuracy", settings)
        rows.append(([(a.rule, a.level) for a in alerts], streaks["border"].active))
    return rows


def test_what_another_test_explains_fires_and_raises_no_alert():
    (border, tag), streaks = judge(found(*both()))
    assert (border.status, border.reason) == ("fires", "explained by region/tag")
    assert (tag.status, tag.reason) == ("fires", "")
    (alert,) = announce((border, tag), {}, 0, "accuracy")
    assert (alert.rule, alert.explains) == ("region/tag", ("border",))
    assert streaks["border"] == Streak(1, 0, since=-1)
    assert announced(both(), both(), both()) == [
        ([("region/tag", WARNING)], False),
        ([("region/tag", ALERT)], False),
        ([], False),
    ]


def test_an_alert_names_all_that_it_explains_in_their_order():
    effects = [
        effect("tint", 0.99, explained_by="region/tag"),
        effect("border", 0.5, explained_by="region/tag"),
        effect("thin_border", 0.6, explained_by="region/other"),
        effect("high_frequency", 0.1, explained_by="region/tag"),  # does not fire
        effect("region/tag", 0.8),
        effect("region/other", 0.9),
    ]
    verdicts, _ = judge(found(*effects))
    alerts = announce(verdicts, {}, 0, "accuracy")
    assert [(alert.rule, alert.explains) for alert in alerts] == [
        ("region/other", ("thin_border",)),
        ("region/tag", ("tint", "border")),
    ]


def test_a_streak_goes_on_while_it_is_explained():
    """Once nothing explains it any more, it is an alert at once."""
    alone = both(border="")
    assert announced(both(), both(), alone, alone) == [
        ([("region/tag", WARNING)], False),
        ([("region/tag", ALERT)], False),
        ([("border", ALERT)], True),
        ([], True),
    ]
    # One round alone and the next one explained: no alert.
    assert announced(alone, both()) == [
        ([("border", WARNING), ("region/tag", WARNING)], False),
        ([("region/tag", ALERT)], False),
    ]


def test_an_alert_that_stands_goes_on_standing_while_it_is_explained():
    alone, quiet = both(border=""), (effect("border", 0.0, 1.0), QUIET)
    rows = announced(alone, alone, both(), both(), quiet, both(), quiet, quiet)
    assert [row[1] for row in rows] == [False, True, True, True, True, True, True, False]
    assert all(row[0] == [] for row in rows[2:4])


def test_what_is_explained_and_ignored_is_ignored():
    settings = Interventions(ignore=["border"])
    (border, _), _ = judge(found(*both()), settings=settings)
    assert (border.status, border.reason) == ("finding", "ignored, as set by ignore=")


def test_what_is_explained_and_does_not_fire_keeps_its_own_reason():
    below = effect("border", 0.2, explained_by="region/tag")
    (verdict,), _ = judge(found(below))
    assert (verdict.status, verdict.reason) == ("finding", "below the floor of 0.25")


# ---------------------------------------------------------------- in the score


def in_score(single, floors=None, **kwargs):
    results, settings = found(single, unit="score"), with_floors(floors)
    (verdict,), _ = judge(results, settings=settings, **{"start": {}, **kwargs})
    return verdict


@pytest.mark.parametrize("rule", RULES)
def test_floors_of_scores_are_twice_as_high(rule):
    test, floor = TESTS[rule], RULES[rule].floor
    assert SCORE_FLOORS == 2
    verdict = in_score(effect(test, 2 * floor))
    assert (verdict.status, verdict.floor) == ("fires", 2 * floor)
    below = in_score(effect(test, np.nextafter(2 * floor, 0)))
    assert (below.status, below.floor) == ("finding", 2 * floor)


def test_in_the_score_nothing_fires_at_first():
    """Accuracy has a gate of its own."""
    verdict = in_score(effect(value=0.9), start=None)
    assert (verdict.status, verdict.reason) == ("finding", FIRST)
    assert status(effect(value=0.9), start=None) == "fires"


def test_floors_of_scores_are_taken_as_they_are():
    """It was measured in the score already."""
    for given, floor in ((0.6, 0.6), (0.2, 0.3), (1.0, 1.0)):
        assert in_score(effect(value=0.9), floors={"region/tag": given}).floor == floor


def test_in_the_score_a_cue_that_was_there_at_the_start_alerts():
    """What an untrained model shows says nothing of what the trained one relies on."""
    for start in (0.6, 6.27):
        streaks = {}
        for fired in (1, 2):
            (verdict,), streaks = judge(
                found(effect(value=0.6), unit="score"), start={"region/tag": start}, streaks=streaks
            )
            assert (verdict.status, verdict.start, verdict.active) == ("fires", start, fired == 2)


# ---------------------------------------------------------------- proposed windows


def proposed(*places):
    """Whether an alert stands after each of these firings, by window and class."""
    streaks, stands = {}, []
    for window, target in places:
        single = effect("class_hot_spot", window=window, target=target)
        verdicts, streaks = judge(found(single), streaks=streaks)
        assert verdicts[0].status == "fires"
        stands.append(verdicts[0].active)
    return stands


HERE = (4, 4, 3, 2)


@pytest.mark.parametrize("there", [(4, 4, 3, 2), (6, 4, 3, 2), (2, 5, 3, 2), (5, 3, 3, 2)])
def test_a_window_that_overlaps_the_one_before_goes_on(there):
    assert proposed((HERE, 1), (there, 1)) == [False, True]


@pytest.mark.parametrize("there", [(7, 4, 3, 2), (1, 4, 3, 2), (4, 6, 3, 2), (4, 2, 3, 2)])
def test_a_window_beside_the_one_before_begins_anew(there):
    assert proposed((HERE, 1), (there, 1)) == [False, False]
    assert proposed((HERE, 1), (there, 1), (HERE, 1), (HERE, 1)) == [False, False, False, True]


def test_a_window_of_another_class_begins_anew():
    assert proposed((HERE, 1), (HERE, 2)) == [False, False]
    assert proposed((HERE, 1), (HERE, 2), (HERE, 2)) == [False, False, True]
    assert proposed((HERE, 0), (HERE, None)) == [False, False]


def test_the_place_of_the_latest_firing_counts():
    """Though the one before was elsewhere, or nothing fired in between."""
    assert proposed((HERE, 1), ((6, 4, 3, 2), 1), ((8, 4, 3, 2), 1)) == [False, True, True]
    single = effect("hot_window", window=HERE)
    _, streaks = judge(found(single))
    assert streaks["hot_window"] == Streak(1, 0, False, HERE, None, -1)
    quiet = effect("hot_window", 0.0, 1.0, window=(0, 0, 3, 2))
    _, streaks = judge(found(quiet), streaks=streaks)
    assert streaks["hot_window"] == Streak(0, 1, False, HERE, None)


# ---------------------------------------------------------------- what is said


def told(*effects, before=None, start=None, unit="accuracy", step=7):
    verdicts, _ = judge(
        found(*effects, unit=unit), start=start, streaks=before, class_name=NAMES.__getitem__
    )
    return announce(verdicts, before or {}, step, unit)


def test_an_alert_is_what_was_found():
    example = Example(0, 1, np.zeros((2, 2, 1)), 1, 0)
    single = effect(
        "class_hot_spot", 0.7, window=(3, 4, 2, 5), target=2, examples=(example,), control=0.05
    )
    other = effect("border", 0.0, 1.0)
    (alert,) = told(single, other, start={"class_hot_spot": -0.02})
    fields = {field.name: getattr(alert, field.name) for field in dataclasses.fields(alert)}
    assert fields.pop("sentence") == str(alert)
    assert fields == {
        "level": WARNING,
        "step": 7,
        "rule": "class_hot_spot",
        "assumption": RULES["class_hot_spot"].assumption,
        "advice": RULES["class_hot_spot"].advice,
        "effect": 0.7,
        "flip": 0.8,
        "p_value": 2 * SURE,
        "control": 0.05,
        "start": -0.02,
        "num_probes": 40,
        "window": (3, 4, 2, 5),
        "target": 2,
        "examples": (example,),
        "alpha": 0.01,
        "explains": (),
        "withdrawn": None,
        "place": None,
        "inputs": (),
    }


def test_the_largest_effect_comes_first():
    effects = [effect("tint", 0.5), effect("region/a", 0.9), effect("border", 0.7)]
    assert [alert.rule for alert in told(*effects)] == ["region/a", "border", "tint"]


def test_a_standing_alert_is_not_told_again():
    before = {"tint": Streak(3, 0, True), "border": Streak(1, 0)}
    effects = [effect("tint", 0.9), effect("border", 0.7), effect("region/a", 0.5)]
    assert [(alert.rule, alert.level) for alert in told(*effects, before=before)] == [
        ("border", ALERT),
        ("region/a", WARNING),
    ]


PLACE = np.eye(4, dtype=bool)
NAMED = ("border", "thin_border", "tint", "spectrum", "high_frequency", "estimated_background")
OF_SERIES = ("offset", "scale")
IN_WINDOWS = ("repeated_pattern", "border_patch", "hot_window", "class_hot_spot")
LINES = {
    **{rule: f"ks.remedy('{rule}')" for rule in ("background", *NAMED, *OF_SERIES)},
    **{rule: f"ks.remedy('{rule}', (3, 4, 2, 5))" for rule in IN_WINDOWS},
    **dict.fromkeys(("region", "own_hot_spot", "column"), "alert.remedy()"),
}
REMEDIES = {"groups": ""} | {
    rule: f", or remove it in training: train_ds = train_ds.map({line}.map)"
    for rule, line in LINES.items()
}


@pytest.mark.parametrize("unit", ["accuracy", "score"])
@pytest.mark.parametrize("rule", RULES)
def test_a_sentence_holds_all_that_it_rests_on(rule, unit):
    window = {"window": (3, 4, 2, 5)} if "{window}" in RULES[rule].subject else {}
    numbers = {"control": 0.034, "num_probes": 41, "place": PLACE}
    single = effect(TESTS[rule], 0.67, 0.00012, **numbers, **window)
    (alert,) = told(single, start={TESTS[rule]: -0.001})
    (alert,) = told(single, start={TESTS[rule]: -0.001}, unit=unit)
    text = alert.sentence
    assert text.startswith("epoch 7: ")
    points = "points" if unit == "accuracy" else "%"
    is_share = unit == "score" and rule != "groups"
    expected = ["67% as far" if is_share else f"67 {points}", "p = 0.00012", "41 probes"]
    expected += [f"at the start: 0 {points}", f"This is a problem if {RULES[rule].assumption}"]
    expected += [
        f"Next: {RULES[rule].advice}{REMEDIES[rule]}.",
        f"ks.Interventions(ignore=[{TESTS[rule]!r}])",
    ]
    if RULES[rule].control:
        expected.append(f": 3 {points}")
    if window:
        expected.append("rows 3-4, columns 4-8")
    if rule == "region":
        expected.append("'tag'")
    for words in expected:
        assert words in text, words
    assert "spurious" not in text.lower()
    assert "nan" not in text
    assert "{" not in text


@pytest.mark.parametrize("rule", [*BOUNDED, *SUPPORTED, *WITHOUT])
def test_what_is_not_known_is_not_said(rule):
    single = effect(TESTS[rule], control=NAN, control_p_value=NAN)
    (alert,) = told(single)
    assert "nan" not in alert.sentence
    assert "at the start" not in alert.sentence
    for words in ("elsewhere:", "everything else:", "inside:", "alone:"):
        assert words not in alert.sentence


def test_each_exchange_has_its_own_words():
    of_class = effect("class_hot_spot", 0.5, target=1, window=(3, 4, 2, 5))
    for single, words in (
        (
            effect("region/tag", 0.5),
            "the model relies on the region 'tag': accuracy drops by 50 points when it is "
            "exchanged with an image of another class (p = 0.0001 at a level of 0.01; 40 probes; ",
        ),
        (
            of_class,
            "of class 'dog': accuracy drops by 50 points when it is put into images of other ",
        ),
    ):
        (alert,) = told(single)
        assert words in alert.sentence
        assert " Validation data with the same cue do not show this. " in alert.sentence
    (alert,) = told(effect("region/tag", 0.5), unit="score", start={})
    assert (
        "relies on the region 'tag': exchanging it with an image of another class changes the "
        "score 50% as far as exchanging the whole image"
    ) in alert.sentence


def test_a_sentence_from_end_to_end():
    found = effect("region/tag", 0.384, 8e-4, num_probes=120, control=0.012, place=PLACE)
    (alert,) = told(found, step=3)
    assert alert.sentence == (
        "epoch 3: the model relies on the region 'tag': accuracy drops by 38 points when it is "
        "exchanged with an image of another class (p = 0.0008 at a level of 0.01; 120 probes; "
        "the same shape elsewhere: 1 point). Validation data with the same cue do not show this. "
        "This is a problem if this region should not determine the class. Otherwise ignore it with "
        "ks.Interventions(ignore=['region/tag']). Next: look at the evidence, and cover or leave "
        "out this region in all inputs, or remove it in training: train_ds = "
        "train_ds.map(alert.remedy().map)."
    )


def test_a_place_that_differs_between_inputs_is_passed_as_masks():
    (alert,) = told(effect("region/tag", 0.5))
    assert alert.sentence.endswith(
        "remove it in training: train_ds = train_ds.map(lambda x, y: (ks.remedy('region')(x, "
        "training=True, masks=place(x)), y)), with the place in each input."
    )


def test_a_sentence_with_support():
    """It stands among the numbers, in the place of a control."""
    pattern = effect(
        "border_patch",
        0.4,
        window=(0, 0, 4, 5),
        control=NAN,
        support="the same pixels in 90% of the images of class 'cat'",
    )
    (alert,) = told(pattern, step=3)
    assert alert.sentence == (
        "epoch 3: the model relies on the part of the image at rows 0-3, columns 0-4: accuracy "
        "drops by 40 points when it is exchanged with an image of another class (p = 0.0001 at a "
        "level of 0.01; 40 probes; the same pixels in 90% of the images of class 'cat'). "
        "Validation data with the same cue do not show this. This is a problem if the object does "
        "not reach this place. Otherwise ignore it with ks.Interventions(ignore=['border_patch']). "
        "Next: look at the evidence, and crop or cover this place in all images, or remove it in "
        "training: train_ds = train_ds.map(ks.remedy('border_patch', (0, 0, 4, 5)).map)."
    )


def test_a_sentence_of_one_class():
    """What is ignored is the test by its full name."""
    (alert,) = told(effect("border/one_class", 0.4, target=1, control=0.02), step=3)
    assert alert.sentence.startswith(
        "epoch 3: the model relies on the border of the image (as wide as 12% of its shorter side) "
        "of class 'dog': accuracy drops by 40 points when it is put into images of other classes "
        "(p = 0.0001 at a level of 0.01; 40 probes; everything else: 2 points)."
    )
    assert "ks.Interventions(ignore=['border/one_class'])" in alert.sentence
    assert alert.assumption == "objects do not reach the border"


def test_of_groups_nothing_is_said_of_validation_data():
    """They were the ones that show it."""
    (alert,) = told(effect("groups", 0.5))
    assert "the model does worse on some groups, and their classes do not explain" in alert.sentence
    assert (
        "accuracy drops by 50 points (p = 0.0001 at a level of 0.01; 40 probes)." in alert.sentence
    )
    assert "Validation" not in alert.sentence


def test_the_state_before_training_is_called_that():
    for step, words in ((-1, "before training: the "), (0, "epoch 0: the "), (9, "epoch 9: the ")):
        assert told(effect(), step=step)[0].sentence.startswith(words)


def test_the_sentence_of_a_verdict_is_that_of_its_alert():
    (verdict,), _ = judge(found(effect()))
    (alert,) = announce((verdict,), {}, 3, "accuracy")
    assert alert.sentence == f"epoch 3: {sentence(verdict, RULES['region'], 'accuracy')}"


def test_subjects():
    def named(single):
        return subject(single, RULES[row_name(single.test)], NAMES.__getitem__)

    assert named(effect("region/top/left")) == "the region 'top/left'"
    assert named(effect("hot_window", window=(0, 10, 3, 1))) == (
        "the window at rows 0-2, column 10"
    )
    assert named(effect("class_hot_spot", window=(0, 1, 2, 3), target=1)) == (
        "the window at rows 0-1, columns 1-3 of class 'dog'"
    )
    assert named(effect("hot_window", window=(7, 0, 1, 2))) == ("the window at row 7, columns 0-1")
    assert named(effect("hot_window")) == "the window"
    assert named(effect("region/{x}")) == "the region '{x}'"
    assert named(effect("repeated_pattern")) == "a repeated pattern"
    assert named(effect("repeated_pattern", window=(0, 2, 3, 4), target=2)) == (
        "a repeated pattern at rows 0-2, columns 2-5 of class 'emu'"
    )
    assert named(effect("tint/one_class", target=0)) == (
        "overall brightness, contrast and colour of class 'cat'"
    )


def test_in_short():
    alerts = told(effect("tint", 0.5), effect("region/a", 0.9), effect("border", 0.7))
    assert in_short(alerts[:1]) == alerts[0].sentence
    assert in_short(alerts) == f"{alerts[0].sentence} Also: border, tint."


# ---------------------------------------------------------------- numbers


def test_numbers_are_named():
    effects = effect("region/tag", 0.5, 0.02, flip=0.4), effect("groups", 0.3, 0.04)
    untestable = Effect("hot_window", untestable="no map is alive")
    named = effect_metrics(found(*effects, untestable))
    assert {name: value for name, value in named.items() if not math.isnan(value)} == {
        "effect/region/tag": 0.5,
        "flip/region/tag": 0.4,
        "p_value/region/tag": 0.02,
        "effect/groups": 0.3,
        "p_value/groups": 0.04,
    }
    assert {name for name, value in named.items() if math.isnan(value)} == {
        "effect/hot_window",
        "flip/hot_window",
        "p_value/hot_window",
    }
    assert set(effect_metrics(found(effects[0], unit="score"))) == {
        "effect/region/tag",
        "p_value/region/tag",
    }


def test_row_names():
    assert [row_name(test) for test in ("region/a/b", "border")] == ["region", "border"]


# ---------------------------------------------------------------- what a user sets


def test_what_is_ignored_is_a_finding_and_never_an_alert():
    """Its effect is still counted among the tests, and shown."""
    settings = Interventions(ignore=("tint", "region/tag"))
    streaks = {}
    for _ in range(3):
        effects = [effect("tint"), effect("region/tag"), effect("region/other")]
        before = streaks
        verdicts, streaks = judge(found(*effects), settings=settings, streaks=before)
        assert [verdict.status for verdict in verdicts] == ["finding", "finding", "fires"]
        assert [verdict.reason for verdict in verdicts[:2]] == ["ignored, as set by ignore="] * 2
        assert verdicts[0].p_value == 3 * SURE
        alerts = announce(verdicts, before, 0, "accuracy", settings)
        assert {alert.rule for alert in alerts} <= {"region/other"}
    assert [streaks[test].active for test in ("tint", "region/tag")] == [False, False]


def test_a_custom_test_is_judged_by_its_own_row():
    mine = InterventionTest(
        "corner",
        lambda recipients, donors, where: recipients,
        "the corner",
        "the corner is empty",
        "empty it",
        floor=0.4,
        control="",
    )
    settings = Interventions(tests=[mine])
    for value, expected in ((0.39, "finding"), (0.4, "fires")):
        (verdict,), _ = judge(found(effect("corner", value)), settings=settings)
        assert (verdict.status, verdict.floor) == (expected, 0.4)
    (alert,) = announce((verdict,), {}, 0, "accuracy", settings)
    assert "the model relies on the corner: accuracy drops by 40 points" in alert.sentence
    assert "This is a problem if the corner is empty." in alert.sentence
    assert alert.sentence.endswith(" Next: empty it.")
