import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import layers

import keras_saliency as ks
from keras_saliency import Compute, Interventions, ProbeSet, SaliencyMonitor
from keras_saliency.data.serialization import to_json
from keras_saliency.detection.alerts import Streak
from keras_saliency.detection.interventions import intervene
from keras_saliency.detection.significance import level_of_round
from keras_saliency.detection.state import RunState
from support.networks import EVERYTHING
from support.planted import linear, planted, reading_the_tag, tagged_probes, train
from support.small_nets import (
    CORNER,
    COUNT,
    IMAGES,
    MANY,
    MANY_PROBES,
    MANY_TARGETS,
    PROBES,
    ROWS,
    SHAPE,
    TARGETS,
    by_eager_tape,
    contents,
    found_by,
    linear_net,
    small_net,
)


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


# ---------------------------------------------------------------- values


def test_metrics_are_those_of_the_report():
    model = small_net()
    kernel = model.layers[0].kernel.numpy()
    later = kernel + 0.1 * np.sign(kernel)
    model.layers[0].kernel.assign(later)
    predictions = by_eager_tape(model)[1].argmax(axis=1)
    targets = predictions.copy()
    targets[[1, 3]] = (predictions[[1, 3]] + 1) % 3  # so these two will be wrong
    model.layers[0].kernel.assign(kernel)
    region = np.zeros(SHAPE[:2], bool)
    region[:2, :2] = True
    masks = np.random.default_rng(3).random((COUNT, *SHAPE[:2])) < 0.3
    groups = ["a", "a", "a", "b", "b", "b", "b"]
    probes = ProbeSet(IMAGES, targets, regions={"corner": region}, masks=masks, groups=groups)
    monitor = SaliencyMonitor(model, probes)
    first = monitor.evaluate(step=0)
    model.layers[0].kernel.assign(later)
    report = monitor.evaluate(step=1)
    gradients, logits = by_eager_tape(model, targets=targets)
    maps = np.abs(gradients).max(axis=-1).astype(np.float64)
    norms = np.linalg.norm(gradients.reshape(COUNT, -1).astype(np.float64), axis=1)
    similarity = [
        scipy.stats.spearmanr(now.ravel(), before.ravel()).statistic
        for now, before in zip(report.maps, first.maps, strict=True)
    ]
    inside = maps[:, :2, :2].sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    inside_before = first.maps[:, :2, :2].sum(axis=(1, 2)) / first.maps.sum(axis=(1, 2))
    on_object = (maps * masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    expected = {
        "gradient_norm": norms.mean(),
        "confidence": scipy.special.softmax(logits, axis=1).max(axis=1).mean(),
        "probe_accuracy": 5 / 7,
        "worst_group_accuracy": 2 / 3,
        "object_enrichment": (on_object / masks.mean(axis=(1, 2))).mean(),
        "dead_maps": 0.0,
        "map_similarity": np.mean(similarity),
        "similarity_to_start": np.mean(similarity),
        "enrichment/corner": inside.mean() / (4 / 30),
        "enrichment_ratio/corner": inside.mean() / inside_before.mean(),
    }
    assert set(expected) <= set(report.metrics) == set(first.metrics)
    for name, value in expected.items():
        assert report.metrics[name] == pytest.approx(value, rel=1e-5), name
        assert type(report.metrics[name]) is float
    assert report.metrics["map_similarity"] < 0.9999
    assert np.isnan(first.metrics["map_similarity"])


def test_mean_gradient_norm_of_large_gradients():
    """Each norm is a float32; so is their mean, though not their sum."""
    model = linear_net(use_bias=False)
    kernel = np.zeros((60, 3), np.float32)
    kernel[0] = 2e38
    model.layers[-1].kernel.assign(kernel)
    images = np.zeros_like(IMAGES)
    report = SaliencyMonitor(model, ProbeSet(images, TARGETS)).evaluate(step=0)
    np.testing.assert_array_equal(report.gradient_norms, np.full(COUNT, np.float32(2e38)))
    assert report.metrics["gradient_norm"] == pytest.approx(2e38, rel=1e-6)


# ---------------------------------------------------------------- targets


def test_without_targets_the_first_prediction_stays():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES), compute=Compute(batch_size=3))
    dense = model.layers[-1]
    logits = IMAGES.reshape(COUNT, -1) @ dense.kernel.numpy()
    first = logits.argmax(axis=1)
    assert len(set(first)) > 1
    report = monitor.evaluate(step=-1)
    np.testing.assert_array_equal(report.targets, first)
    np.testing.assert_array_equal(report.predictions, first)
    assert "probe_accuracy" not in report.metrics
    kernel = -dense.kernel.numpy()
    dense.kernel.assign(kernel)
    report = monitor.evaluate(step=0)
    np.testing.assert_array_equal(report.targets, first)
    np.testing.assert_array_equal(report.predictions, logits.argmin(axis=1))
    assert (report.predictions != first).all()
    np.testing.assert_allclose(report.scores, -logits[ROWS, first], rtol=1e-5, atol=1e-5)
    expected = np.abs(kernel.T[first].reshape(IMAGES.shape)).max(axis=-1)
    np.testing.assert_array_equal(report.maps, expected)


def test_without_targets_the_first_evaluation_counts_not_the_constructor():
    model = linear_net()
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES))
    model.layers[-1].kernel.assign(-model.layers[-1].kernel.numpy())
    logits = IMAGES.reshape(COUNT, -1) @ model.layers[-1].kernel.numpy()
    np.testing.assert_array_equal(monitor.evaluate(step=0).targets, logits.argmax(axis=1))


def test_without_targets_one_unit():
    model = linear_net(1, activation="sigmoid")
    z = IMAGES.reshape(COUNT, -1) @ model.layers[-1].kernel.numpy()[:, 0]
    report = SaliencyMonitor(model, ProbeSet(IMAGES)).evaluate(step=0)
    assert set(z > 0) == {True, False}
    np.testing.assert_array_equal(report.targets, z > 0)
    np.testing.assert_allclose(report.scores, np.abs(z), rtol=1e-5, atol=1e-5)


def test_without_targets_and_without_classes():
    model = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(1, 1)])
    monitor = SaliencyMonitor(
        model,
        ProbeSet(IMAGES),
        score=lambda outputs, targets: outputs[:, 0, 0, 0] * keras.ops.cast(targets, "float32"),
    )
    with pytest.raises(ValueError, match=r"targets: .*replace\(probes, targets=\[0\] \*"):
        monitor.evaluate(step=0)


# ---------------------------------------------------------------- reports


def test_reports_are_read_only():
    report = SaliencyMonitor(small_net(), PROBES).evaluate(step=0)
    arrays = [value for value in vars(report).values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 6
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.step = 4


def test_a_report_does_not_change_later():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3))
    first = monitor.evaluate(step=0)
    before = contents(first)
    model.layers[-2].kernel.assign(-model.layers[-2].kernel.numpy())
    second = monitor.evaluate(step=1)
    assert contents(first) == before
    assert first.scores.tobytes() != second.scores.tobytes()


# ---------------------------------------------------------------- interventions


def corner_net(activation="softmax"):
    """A linear model that knows many of the probes, for the most part by the corner."""
    model = linear_net(activation=activation)
    flat = MANY.reshape(30, -1).astype(np.float64)
    kernel = np.linalg.lstsq(flat, np.eye(3)[MANY_TARGETS], rcond=None)[0].reshape(*SHAPE, 3)
    kernel[~CORNER] *= 0.2
    model.layers[-1].kernel.assign(kernel.reshape(-1, 3))
    return model


@pytest.mark.slow
def test_interventions_are_those_of_the_pure_function_asked_by_predict():
    model = corner_net()
    settings = Interventions(seed=3)
    monitor = SaliencyMonitor(
        model, MANY_PROBES, interventions=settings, compute=Compute(batch_size=8)
    )
    report = monitor.evaluate(step=4)
    with_found = monitor.intervene(report)

    def answer(images, targets):
        predicted = model.predict(images, verbose=0)
        return predicted.argmax(axis=1), np.zeros(len(images))

    expected = intervene(
        MANY_PROBES,
        report.maps,
        report.predictions,
        report.scores,
        answer,
        by_score=False,
        chunk_size=1000,
        settings=settings,
        alpha=level_of_round(1),
    )
    found = with_found.interventions
    assert (found.blocked_because, found.unit, found.passes) == (
        expected.blocked_because,
        expected.unit,
        expected.passes,
    )
    assert [effect.test for effect in found.effects] == [e.test for e in expected.effects]
    for one, other in zip(found.effects, expected.effects, strict=True):
        assert repr(dataclasses.replace(one, examples=())) == repr(
            dataclasses.replace(other, examples=())
        )
    corner = found.effects[0]
    assert corner.test == "region/corner"
    assert corner.effect > 0.1
    # The report is the same but for what was found.
    assert contents(with_found)[0] == contents(report)[0]
    assert with_found.metrics["effect/region/corner"] == corner.effect
    assert with_found.metrics["p_value/region/corner"] == corner.p_value
    for name, value in report.metrics.items():
        assert repr(with_found.metrics[name]) == repr(value)
    assert [verdict.effect.test for verdict in with_found.verdicts] == [
        effect.test for effect in found.effects
    ]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_the_batch_size_changes_no_effect(batch_size):
    model = corner_net()
    assert found_by(
        SaliencyMonitor(model, MANY_PROBES, compute=Compute(batch_size=batch_size))
    ) == found_by(SaliencyMonitor(model, MANY_PROBES, compute=Compute(batch_size=500)))


def test_interventions_see_the_weights_of_the_moment():
    model = corner_net()
    monitor = SaliencyMonitor(model, MANY_PROBES)
    monitor.intervene(monitor.evaluate(0))
    kernel = model.layers[-1].kernel.numpy().reshape(*SHAPE, 3)
    kernel[CORNER] = 0
    model.layers[-1].kernel.assign(kernel.reshape(-1, 3))
    found = monitor.intervene(monitor.evaluate(1)).interventions.effects[0]
    assert (found.test, found.effect, found.flip, found.p_value) == ("region/corner", 0, 0, 1)


REGION = ["region"]
"""The only test here, where another one, of the border, has both cues."""

WITHIN, BESIDE = [(0, 0), (0, 1), (1, 0)], [(3, 0), (5, 2), (2, 4)]
"""By class, the pixel that shows it."""


def two_cues():
    """The class shows in the corner, and elsewhere at 1 (half of the probes) or 3 (the rest)."""
    images, rows = np.zeros((30, *SHAPE), np.float32), np.arange(30)
    for places, values in ((WITHIN, 1), (BESIDE, np.where(rows < 15, 1, 3))):
        top, left = np.array(places)[MANY_TARGETS].T
        images[rows, top, left, 0] = values
    return ProbeSet(images, MANY_TARGETS, regions={"corner": CORNER})


def weigh_corner(model, weight):
    """The sum of both cues; from a weight of 1 (3) on the corner decides for half (all)."""
    kernel = np.zeros((*SHAPE, 3))
    for target, places in enumerate(zip(WITHIN, BESIDE, strict=True)):
        for place, value in zip(places, (weight, 1), strict=True):
            kernel[(*place, 0, target)] = value
    model.layers[-1].kernel.assign(kernel.reshape(-1, 3))


def of_corner(report):
    """Effect, status, whether an alert stands, the start, and the levels announced."""
    (verdict,) = (v for v in report.verdicts if v.effect.test == "region/corner")
    levels = [alert.level for alert in report.alerts if alert.rule == "region/corner"]
    return verdict.effect.effect, verdict.status, verdict.active, verdict.start, levels


def evaluated_at(monitor, model, step, weight):
    weigh_corner(model, weight)
    return monitor.intervene(monitor.evaluate(step))


def test_two_in_a_row_across_evaluations_and_the_start_beside_them():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(
        model, two_cues(), interventions=Interventions(tests=REGION, floors={"region/corner": 0.2})
    )
    reports = [evaluated_at(monitor, model, step, weight) for step, weight in enumerate((2, 4, 5))]
    assert [report.verdicts[0].floor for report in reports] == [0.2] * 3
    assert of_corner(reports[0]) == (
        0.5,
        "fires",
        False,
        pytest.approx(np.nan, nan_ok=True),
        ["warning"],
    )
    assert of_corner(reports[1]) == (1.0, "fires", True, 0.5, ["alert"])
    assert of_corner(reports[2]) == (1.0, "fires", True, 0.5, [])


def test_of_several_tests_of_one_cue_the_most_specific_one_alerts():
    """At a weight of 2 the corner decides for half of the probes, and the border for all."""
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues())
    named, standing = [], []
    for step, weight in enumerate((4, 5, 2, 2.5)):
        report = evaluated_at(monitor, model, step, weight)
        named.append([(alert.rule, alert.level) for alert in report.alerts])
        standing.append({v.effect.test for v in report.verdicts if v.active})
        if step == 0:
            (alert,) = report.alerts
            # The corner repeats, so that no other place that is proposed overlaps it.
            assert {"border", "hot_window", "repeated_pattern"} <= set(alert.explains)
            assert "border_patch" not in {v.effect.test for v in report.verdicts}
    assert named[:2] == [[("region/corner", "warning")], [("region/corner", "alert")]]
    # The streak of the border went on while it was explained: it is an alert at once.
    assert named[2:] == [[("border", "alert")], []]
    corner, both = {"region/corner"}, {"region/corner", "border"}
    assert standing == [set(), corner, both, both]


def test_the_same_state_twice_is_no_two_in_a_row():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues())
    first = evaluated_at(monitor, model, 0, 2)
    for step in (0, 1, 2):
        report = monitor.evaluate(step)
        again = monitor.intervene(report)
        assert again.step == step
        assert again.verdicts is first.verdicts
        assert again.interventions is first.interventions
        assert again.alerts == ()
        assert again.metrics["effect/region/corner"] == 0.5
    assert of_corner(evaluated_at(monitor, model, 3, 4))[2:] == (True, 0.5, ["alert"])
    assert of_corner(evaluated_at(monitor, model, 4, 0))[1:3] == ("stopped", True)
    # The state did not change, so this does not count as a second quiet test.
    assert of_corner(evaluated_at(monitor, model, 5, 0))[1:3] == ("stopped", True)
    assert of_corner(evaluated_at(monitor, model, 6, 0.5))[1:3] == ("stopped", False)


def test_an_alert_is_withdrawn_at_the_second_quiet_round():
    """It keeps the step at which it was, though it comes back and is withdrawn again."""
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues(), interventions=Interventions(tests=REGION))
    ended = []

    def withdrawn_at(step, weight):
        (verdict,) = evaluated_at(monitor, model, step, weight).verdicts
        if verdict.withdrawn:
            ended.append(step)
        assert not (verdict.withdrawn and verdict.active)
        return [alert.withdrawn for alert in monitor.state.alerts]

    assert [withdrawn_at(step, weight) for step, weight in ((0, 2), (1, 4))] == [[], [None]]
    assert withdrawn_at(2, 0) == [None]
    (standing,) = monitor.state.alerts
    assert withdrawn_at(4, 0.5) == [4]
    (alert,) = monitor.state.alerts
    assert dataclasses.replace(alert, withdrawn=None).sentence == standing.sentence
    assert (standing.withdrawn, alert.step) == (None, 1)  # what was told is not changed
    assert [w.withdrawn for w in monitor.state.warnings] == [None]
    assert [withdrawn_at(step, weight) for step, weight in ((5, 2), (6, 4))] == [[4], [4, None]]
    assert [withdrawn_at(step, weight) for step, weight in ((7, 0), (9, 0.5))] == [
        [4, None],
        [4, 9],
    ]
    assert withdrawn_at(10, 0.2) == [4, 9]
    assert ended == [4, 9]


def test_only_alerts_of_the_rule_are_withdrawn():
    """The corner is read no longer, and the rest of the border is."""
    model = linear_net(activation="softmax")
    regions = {"corner": CORNER, "beside": ~CORNER}
    probes = ProbeSet(two_cues().images, MANY_TARGETS, regions=regions)
    monitor = SaliencyMonitor(model, probes, interventions=Interventions(tests=REGION))
    for step, weight in enumerate((2, 2.5, 0, 0.5)):
        evaluated_at(monitor, model, step, weight)
    alerts = {alert.rule: alert.withdrawn for alert in monitor.state.alerts}
    assert alerts == {"region/corner": 3, "region/beside": None}


def test_a_state_that_is_written_keeps_what_was_withdrawn():
    model = linear_net(activation="softmax")
    settings = Interventions(tests=REGION)
    monitor = SaliencyMonitor(model, two_cues(), interventions=settings)
    for step, weight in enumerate((2, 4, 0)):
        evaluated_at(monitor, model, step, weight)
    other = SaliencyMonitor(model, two_cues(), interventions=settings)
    for step, expected in ((3, 3), (4, 3)):  # read back before it is withdrawn, and after that
        content, arrays = monitor.state.to_json()
        other.state = RunState.from_json(json.loads(json.dumps(content)), arrays)
        for one in (monitor, other):
            evaluated_at(one, model, step, 0.5 - step / 10)
            assert [alert.withdrawn for alert in one.state.alerts] == [expected]
        assert other.state.to_json()[0] == monitor.state.to_json()[0]
    content, arrays = monitor.state.to_json()
    (row,) = content["alerts"]
    assert row["withdrawn"] == 3
    again = RunState.from_json(json.loads(json.dumps(content)), arrays)
    assert [alert.withdrawn for alert in again.alerts] == [3]


def test_an_alert_of_a_state_written_before_there_was_that_field_stands():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues(), interventions=Interventions(tests=REGION))
    for step, weight in enumerate((2, 4)):
        evaluated_at(monitor, model, step, weight)
    content, arrays = monitor.state.to_json()
    for row in content["alerts"]:
        del row["withdrawn"]
    state = RunState.from_json(content, arrays)
    assert [alert.withdrawn for alert in state.alerts] == [None]


def test_another_bias_is_another_state_though_the_maps_are_the_same():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(model, two_cues())
    first = evaluated_at(monitor, model, 0, 2)
    model.layers[-1].bias.assign([100.0, 0.0, 0.0])
    second = monitor.intervene(monitor.evaluate(1))
    np.testing.assert_array_equal(first.maps, second.maps)
    assert first.interventions.blocked_because == ""
    assert second.interventions.blocked_because.startswith("the accuracy on the probes is 0.3")


def test_another_training_with_other_weights_starts_anew():
    model = linear_net(activation="softmax")
    monitor = SaliencyMonitor(
        model, two_cues(), interventions=Interventions(tests=REGION, floors={"region/corner": 0.3})
    )
    evaluated_at(monitor, model, 0, 2)
    assert of_corner(evaluated_at(monitor, model, 1, 4))[2:] == (True, 0.5, ["alert"])
    monitor.restart()
    unknown = pytest.approx(np.nan, nan_ok=True)
    again = evaluated_at(monitor, model, 2, 8)
    assert of_corner(again) == (1.0, "fires", False, unknown, ["warning"])
    assert again.verdicts[0].floor == 0.3
    assert np.isnan(again.metrics["similarity_to_start"])
    assert of_corner(evaluated_at(monitor, model, 3, 2)) == (0.5, "fires", True, 1.0, ["alert"])


@pytest.mark.parametrize("floor", [np.nan, -0.1, 1.5])
def test_floors_refused(floor):
    with pytest.raises(ValueError, match=f"floors: .* from 0 to 1, received {floor} for 'border'"):
        SaliencyMonitor(
            linear_net(), MANY_PROBES, interventions=Interventions(floors={"border": floor})
        )
    with pytest.raises(TypeError, match="floors: expected a dict"):
        SaliencyMonitor(
            linear_net(), MANY_PROBES, interventions=Interventions(floors={"border": "0.5"})
        )


def one_number(outputs, targets):
    return outputs[:, 0]


@pytest.mark.parametrize(
    ("units", "activation", "score", "unit"),
    [
        (3, "softmax", "logit", "accuracy"),
        (3, None, "logit", "accuracy"),
        (3, "sigmoid", "logit", "score"),
        (1, "sigmoid", "logit", "accuracy"),
        (1, None, one_number, "score"),
    ],
)
def test_where_no_class_is_predicted_effects_are_told_in_the_score(units, activation, score, unit):
    targets = MANY_TARGETS if units == 3 else MANY_TARGETS % 2
    model = linear_net(units, activation=activation)
    monitor = SaliencyMonitor(model, ProbeSet(MANY, targets), score=score)
    found = monitor.intervene(monitor.evaluate(0)).interventions
    assert found.unit == unit


def signs(activation):
    """A probe's pixels are the signs of its class, and the corner weighs a fifth."""
    targets = np.arange(24) % 2
    images = np.broadcast_to(2.0 * targets[:, None, None, None] - 1, (24, *SHAPE))
    everything = np.ones(SHAPE[:2], bool)
    probes = ProbeSet(
        images.astype(np.float32), targets, regions={"corner": CORNER, "all": everything}
    )
    model = linear_net(1, activation=activation)
    kernel = np.full(SHAPE, 0.8 / (26 * 2))
    kernel[CORNER] = 0.2 / (4 * 2)
    model.layers[-1].kernel.assign(kernel.reshape(-1, 1))
    return model, probes


def test_a_share_of_a_score_of_one_s_own():
    model, probes = signs(None)
    monitor = SaliencyMonitor(model, probes, score=one_number)
    report = monitor.intervene(monitor.evaluate(0))
    effects = {effect.test: effect for effect in report.interventions.effects}
    assert report.interventions.blocked_because == ""
    assert effects["region/corner"].effect == pytest.approx(0.2, rel=1e-5)
    assert effects["region/all"].effect == pytest.approx(1, rel=1e-5)
    assert effects["region/all"].keep == pytest.approx(1)
    assert "flip/region/all" not in report.metrics
    verdicts = {verdict.effect.test: verdict for verdict in report.verdicts}
    assert [verdicts[f"region/{name}"].floor for name in ("corner", "all")] == [0.3, 0.3]


def test_one_unit_is_measured_in_accuracy():
    """A fifth of the sum turns no answer."""
    model, probes = signs("sigmoid")
    monitor = SaliencyMonitor(model, probes)
    report = monitor.intervene(monitor.evaluate(0))
    assert (report.interventions.unit, report.interventions.blocked_because) == ("accuracy", "")
    effects = {effect.test: effect for effect in report.interventions.effects}
    for name, value in (("corner", 0), ("all", 1)):
        effect = effects[f"region/{name}"]
        assert (effect.effect, effect.flip, effect.keep) == (value, value, 1)
    assert report.metrics["flip/region/all"] == 1
    assert {verdict.floor for verdict in report.verdicts if "region" in verdict.effect.test} == {
        0.15
    }


def test_groups_that_fare_differently_are_an_effect_of_their_own():
    """All probes of group b are predicted wrong."""
    model = linear_net(activation="softmax")
    logits = MANY.reshape(30, -1) @ model.layers[-1].kernel.numpy()
    targets = logits.argmax(axis=1)
    groups = np.array(["a", "b"])[(np.arange(30) >= 20).astype(int)]
    targets[20:] = (targets[20:] + 1) % 3
    monitor = SaliencyMonitor(model, ProbeSet(MANY, targets, groups=groups))
    report = monitor.intervene(monitor.evaluate(0))
    verdict = next(v for v in report.verdicts if v.effect.test == "groups")
    assert verdict.effect.effect == 1
    assert verdict.effect.num_probes == 30
    # Of each class, all members of b are wrong and all of a are right: one shuffle of all.
    sizes = [((targets == c).sum(), ((targets == c) & (groups == "b")).sum()) for c in range(3)]
    ways = np.prod([float(math.comb(int(total), int(wrong))) for total, wrong in sizes])
    assert verdict.effect.p_value == report.metrics["group_gap_p_value"]
    assert verdict.effect.p_value == pytest.approx(1 / ways, rel=1e-6)
    assert verdict.status == "fires"


def test_interventions_without_targets():
    monitor = SaliencyMonitor(linear_net(activation="softmax"), ProbeSet(MANY))
    report = monitor.intervene(monitor.evaluate(0))
    assert report.interventions.blocked_because == "the probes have no targets"
    assert (report.interventions.effects, report.verdicts, report.alerts) == ((), (), ())


# ---------------------------------------------------------------- a run has one state


def everything_in(report):
    """A report as text, without arrays of evidence; maps to the last bit."""
    content = to_json(report, leave_out=("examples", "maps"))
    return json.dumps(content, sort_keys=True), report.maps.tobytes()


@pytest.mark.slow
def test_a_custom_loop_writes_the_log_that_fit_writes(tmp_path):
    images, labels = planted(cue=True)
    epochs, batch = 5, 24

    saliency = ks.SaliencyCallback(
        tagged_probes(), log_dir=tmp_path / "fit", verbose=0, on_alert=None, compute=EVERYTHING
    )
    fitted = linear()
    train([saliency], epochs=epochs, model=fitted, shuffle=False)

    model = linear()
    monitor = SaliencyMonitor(model, tagged_probes())
    with_loop = ks.TensorBoardSink(
        tmp_path / "loop",
        monitor.probes,
        subject={"method": "gradient", "score": "logit", "reduction": "max_abs"},
    )
    with_loop.write(monitor.step(-1))
    for epoch in range(epochs):
        for start in range(0, len(images), batch):
            model.train_on_batch(images[start : start + batch], labels[start : start + batch])
        with_loop.write(monitor.step(epoch, last=epoch == epochs - 1))
    with_loop.close()

    for ours, theirs in zip(model.weights, fitted.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    logs = {name: ks.read_log(tmp_path / name)["saliency"] for name in ("fit", "loop")}
    steps = [report.step for report in logs["fit"].reports]
    assert steps == [-1, 0, 1, 2, 3, 4] == [report.step for report in logs["loop"].reports]
    for one, other in zip(logs["fit"].reports, logs["loop"].reports, strict=True):
        assert everything_in(one) == everything_in(other), one.step
    assert [str(alert) for alert in monitor.state.alerts] == [str(a) for a in saliency.alerts] != []
    assert [step for step, _ in monitor.state.effects] == [step for step, _ in saliency.effects]


@pytest.mark.slow
def test_a_state_read_back_goes_on_as_if_nothing_had_happened():
    """The weights of the corner are 0, 2, 4 | 5, 0, 0, 0; it is written and read back at the bar.

    Then the alert stands already; two quiet tests take it back.
    """
    model = linear_net(activation="softmax")
    settings = Interventions("epoch", floors={"region/corner": 0.2})
    monitor = SaliencyMonitor(model, two_cues(), interventions=settings)
    for step, weight in enumerate((0.5, 2, 4)):
        weigh_corner(model, weight)
        monitor.step(step)
    content, arrays = monitor.state.to_json()
    assert len(monitor.state.alerts) > 0
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    other = SaliencyMonitor(model, two_cues(), interventions=settings)
    other.state = RunState.from_json(json.loads(json.dumps(content)), dict(arrays))
    assert other.state.to_json()[0] == content
    similarities = []
    for step, weight in enumerate((5, 0, 0.5, 0), start=3):
        weigh_corner(model, weight)
        reports = [one.step(step) for one in (monitor, other)]
        assert everything_in(reports[0]) == everything_in(reports[1])
        similarities.append(reports[1].metrics["similarity_to_start"])
    assert similarities[0] < 1 == similarities[2]  # the maps at 0.5 are those of the start
    assert monitor.state.to_json()[0] == other.state.to_json()[0]
    assert other.state.start.step == 0
    assert of_corner(reports[1])[1:3] == ("stopped", False)


def test_a_new_monitor_has_a_complete_state():
    monitor = SaliencyMonitor(linear_net(), PROBES)
    content, arrays = monitor.state.to_json()
    assert [content["evaluations"], content["start"], content["alerts"]] == [0, None, []]
    np.testing.assert_array_equal(arrays[content["targets"]], PROBES.targets)
    assert RunState.from_json(content, arrays).to_json() == (content, arrays)


def test_a_state_that_is_not_complete_is_refused():
    content, arrays = SaliencyMonitor(linear_net(), PROBES).state.to_json()
    with pytest.raises(ValueError, match="content: expected a state of format 2, received 99"):
        RunState.from_json(content | {"format": 99}, arrays)
    with pytest.raises(ValueError, match="arrays: expected the array"):
        RunState.from_json(content, {})


def test_a_report_of_another_monitor_is_refused():
    """With as many probes, with fewer, and one of an earlier step."""
    monitor = SaliencyMonitor(small_net(), PROBES)
    few = SaliencyMonitor(small_net(), ProbeSet(IMAGES[:3], TARGETS[:3]))
    others = [SaliencyMonitor(small_net(), PROBES).evaluate(0), few.evaluate(0)]
    with pytest.raises(ValueError, match="report: expected the latest report of this monitor"):
        monitor.intervene(others[0])
    stale = monitor.evaluate(-1)
    monitor.evaluate(0)
    for other in (*others, stale):
        with pytest.raises(ValueError, match="report: expected the latest report of this monitor"):
            monitor.intervene(other)


def test_what_is_no_report_is_refused():
    with pytest.raises(TypeError, match="report: expected a SaliencyReport, .* received int"):
        SaliencyMonitor(small_net(), PROBES).intervene(0)


@pytest.mark.parametrize(
    ("step", "error"),
    [(True, TypeError), ("0", TypeError), (None, TypeError), (1.0, TypeError), (-2, ValueError)],
)
def test_a_step_is_an_integer_from_minus_1_on(step, error):
    monitor = SaliencyMonitor(linear_net(), PROBES)
    for evaluate in (monitor.step, monitor.evaluate):
        with pytest.raises(error, match=f"step: expected an integer, 0 or more.* {step!r}"):
            evaluate(step)
    assert monitor.state.latest == {}


def test_a_step_may_be_a_numpy_integer():
    assert repr(SaliencyMonitor(linear_net(), PROBES).evaluate(np.int64(3)).step) == "3"


def test_a_state_of_other_probes_is_refused():
    """Fewer probes, other targets, and as many probes of another size."""
    monitor = SaliencyMonitor(linear_net(), PROBES)
    before = monitor.state
    few = SaliencyMonitor(linear_net(), ProbeSet(IMAGES[:3], TARGETS[:3]))
    few.evaluate(0)
    others = RunState(targets=(TARGETS + 1) % 3)
    monitor.evaluate(0)
    flat = dataclasses.replace(monitor.state.latest["epoch"], shape=(COUNT, 2, 2))
    small = RunState(targets=PROBES.targets, latest={"epoch": flat})
    expected = "state: expected the state of a monitor of the same probes, with"
    for state, received in (
        (few.state, r"maps of shape .*, received maps of shape \(3, "),
        (small, rf"maps of shape .*, received maps of shape \({COUNT}, 2, 2\)"),
        (others, "their targets, received targets .*RunState.targets=probes.targets."),
        (RunState(), "their targets, received targets None"),
    ):
        with pytest.raises(ValueError, match=f"{expected} {received}"):
            monitor.state = state
    with pytest.raises(TypeError, match="state: expected a RunState, received dict"):
        monitor.state = {}
    assert monitor.state is before


def test_a_unit_is_epoch_or_batch():
    with pytest.raises(ValueError, match="unit: expected 'epoch' or 'batch', received 'step'"):
        SaliencyMonitor(linear_net(), PROBES).evaluate(0, unit="step")


@pytest.mark.parametrize("interventions", [None, "epoch"])
@pytest.mark.parametrize("is_read_back", [False, True])
def test_the_start_repeated_is_compared_with_no_start(interventions, is_read_back):
    monitor = SaliencyMonitor(linear_net(), PROBES, interventions=interventions)
    monitor.step(-1)
    if is_read_back:
        monitor.state = RunState.from_json(*monitor.state.to_json())
    assert np.isnan(monitor.step(-1).metrics["similarity_to_start"])
    assert monitor.step(0).metrics["similarity_to_start"] == pytest.approx(1)
    assert monitor.step(0).metrics["similarity_to_start"] == pytest.approx(1)


@pytest.mark.slow
def test_an_alert_that_stands_keeps_naming_the_cue():
    """Of two regions of the same pixels the first names it, unless the other's alert stands."""
    model = linear()
    model.set_weights(reading_the_tag())
    tagged = tagged_probes()
    probes = dataclasses.replace(tagged, regions=dict.fromkeys("ab", tagged.regions["tag"]))
    for standing, explained in (("", ("region/b", "region/a")), ("b", ("region/a", "region/b"))):
        monitor = SaliencyMonitor(model, probes, interventions=Interventions(tests=["region"]))
        monitor.state.streaks = {f"region/{name}": Streak(2, active=True) for name in standing}
        effects = monitor.step(0).interventions.effects
        assert [(e.test, e.explained_by) for e in effects if e.explained_by] == [explained]
