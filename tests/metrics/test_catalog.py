import dataclasses
import gc
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.metrics import groups, localization, maps
from keras_saliency.metrics.catalog import (
    LOGGED,
    METRICS,
    description,
    is_logged,
    reference,
    summarize,
)

RNG = np.random.default_rng(0)
COUNT = 12
IMAGES = RNG.random((COUNT, 8, 9, 1))
TARGETS = np.arange(COUNT) % 3
LABELS = np.array(["day", "night"])[np.arange(COUNT) // 6]
MASKS = RNG.random((COUNT, 8, 9)) < 0.3
TAG = np.zeros((8, 9), bool)
TAG[:2, :3] = True

ALWAYS = {
    "gradient_norm",
    "confidence",
    "dead_maps",
    "map_similarity",
    "similarity_to_start",
    "gini",
    "entropy",
    "border_enrichment",
}
OF_PLACES = {
    "enrichment",
    "enrichment_ratio",
    "largest_class_enrichment_ratio",
    "rank_accuracy",
    "pointing_game",
    "translated_mask_rank",
}
OF_GROUPS = {
    "group_accuracy/day",
    "group_accuracy/night",
    "worst_group_accuracy",
    "group_gap",
    "group_gap_p_value",
}


def report(seed, step=0):
    rng = np.random.default_rng(seed)
    return SaliencyReport(
        step=step,
        maps=rng.gamma(0.5, size=(COUNT, 8, 9)).astype(np.float32),
        targets=TARGETS.copy(),
        predictions=rng.integers(0, 3, COUNT),
        confidences=rng.random(COUNT),
        scores=rng.random(COUNT),
        gradient_norms=rng.random(COUNT).astype(np.float32),
        metrics={},
    )


def everything(**changes):
    regions = {"tag a/b {}": TAG}
    return ProbeSet(
        IMAGES,
        **({"targets": TARGETS, "masks": MASKS, "regions": regions, "groups": LABELS} | changes),
    )


def of(one, probes=None):
    """What later evaluations need of a report."""
    return reference(one, everything() if probes is None else probes)


NOW, PREVIOUS, BEFORE = report(1, 5), report(2, 4), report(3, -1)


# ---------------------------------------------------------------- names


def test_the_names_are_exactly_these():
    found = summarize(NOW, everything(), previous=of(PREVIOUS), before=of(BEFORE))
    of_tag = {f"{name}/tag a/b {{}}" for name in OF_PLACES}
    of_objects = {f"object_{name}" for name in OF_PLACES}
    by_group = {f"group_enrichment/tag a/b {{}}/{label}" for label in ("day", "night")}
    by_group |= {f"object_group_enrichment/{label}" for label in ("day", "night")}
    expected = ALWAYS | OF_GROUPS | of_tag | of_objects | by_group | {"probe_accuracy"}
    assert set(found) == expected
    assert all(type(value) is float for value in found.values())
    assert not any(np.isnan(value) for value in found.values())


def test_what_is_not_given_is_not_said():
    bare = everything(masks=None, regions=None, groups=None)
    assert set(summarize(NOW, bare)) == ALWAYS | {"probe_accuracy"}
    assert set(summarize(NOW, bare, predicts=False)) == ALWAYS
    assert set(summarize(NOW, everything(targets=None, masks=None, regions=None))) == ALWAYS
    grouped = everything(masks=None, regions=None)
    assert set(summarize(NOW, grouped)) == ALWAYS | OF_GROUPS | {"probe_accuracy"}


def test_the_names_do_not_depend_on_earlier_reports():
    first = summarize(NOW, everything())
    assert set(first) == set(summarize(NOW, everything(), previous=of(PREVIOUS), before=of(BEFORE)))
    undefined = {name.split("/")[0] for name, value in first.items() if np.isnan(value)}
    ratios = {"enrichment_ratio", "largest_class_enrichment_ratio"}
    expected = {"map_similarity", "similarity_to_start"} | ratios | {f"object_{r}" for r in ratios}
    assert undefined == expected


def test_every_name_has_a_kind_and_a_description():
    for name in summarize(NOW, everything()):
        kind = METRICS[name.split("/")[0]]
        said = description(name)
        assert kind.shows[1:] in said
        assert f"Chance: {kind.chance}." in said
        assert said.endswith("never an alert.")
        assert ("May propose a region" in said) == kind.may_propose
        assert ("Diagnostic" in said) != kind.may_propose
        assert "{" not in said
    assert description("something else") == ""


def test_a_description_is_as_short_as_trackers_need_it():
    # Of 128 bytes and on, the length of a field is no UTF-8, as which ClearML reads it.
    for kind in (*METRICS, "effect", "flip", "p_value"):
        assert 50 < len(description(kind).encode()) <= 127, kind


def test_health_lines_propose_nothing():
    health = {name for name, kind in METRICS.items() if not kind.may_propose}
    others = {"probe_accuracy", "completeness_gap", "precision_gap"}
    assert health == ALWAYS - {"border_enrichment"} | others


def test_what_goes_to_the_logs():
    found = summarize(NOW, everything())
    assert {name for name in found if is_logged(name)} == {
        "gradient_norm",
        "confidence",
        "dead_maps",
        "map_similarity",
        "probe_accuracy",
        "worst_group_accuracy",
        "object_enrichment",
        "enrichment/tag a/b {}",
    }
    assert METRICS.keys() >= LOGGED


# ---------------------------------------------------------------- values


def test_the_values_are_those_of_the_functions():
    found = summarize(NOW, everything(), previous=of(PREVIOUS), before=of(BEFORE))
    correct = NOW.predictions == TARGETS
    tag_now, tag_before = (localization.enrichments(r.maps, TAG) for r in (NOW, BEFORE))
    now, before = (localization.enrichments(r.maps, MASKS) for r in (NOW, BEFORE))
    expected = {
        "gradient_norm": NOW.gradient_norms.mean(dtype=np.float64),
        "confidence": NOW.confidences.mean(),
        "probe_accuracy": correct.mean(),
        "map_similarity": maps.map_similarity(NOW.maps, PREVIOUS.maps),
        "similarity_to_start": maps.map_similarity(NOW.maps, BEFORE.maps),
        "gini": maps.gini(NOW.maps),
        "entropy": maps.entropy(NOW.maps),
        "border_enrichment": localization.border_enrichment(NOW.maps),
        "group_accuracy/day": correct[:6].mean(),
        "group_accuracy/night": correct[6:].mean(),
        "group_gap": abs(correct[:6].mean() - correct[6:].mean()),
        "group_gap_p_value": groups.group_gap_p_value(correct, LABELS, TARGETS),
        "enrichment/tag a/b {}": tag_now.mean(),
        "enrichment_ratio/tag a/b {}": tag_now.mean() / tag_before.mean(),
        "largest_class_enrichment_ratio/tag a/b {}": max(
            tag_now[c::3].mean() / tag_before[c::3].mean() for c in range(3)
        ),
        "rank_accuracy/tag a/b {}": localization.rank_accuracy(NOW.maps, TAG),
        "pointing_game/tag a/b {}": localization.pointing_game(NOW.maps, TAG),
        "translated_mask_rank/tag a/b {}": localization.translated_mask_rank(NOW.maps, TAG),
        "group_enrichment/tag a/b {}/day": tag_now[:6].mean(),
        "group_enrichment/tag a/b {}/night": tag_now[6:].mean(),
        "object_enrichment": now.mean(),
        "object_enrichment_ratio": now.mean() / before.mean(),
        "object_rank_accuracy": localization.rank_accuracy(NOW.maps, MASKS),
        "object_pointing_game": localization.pointing_game(NOW.maps, MASKS),
        "object_group_enrichment/night": now[6:].mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_the_state_before_training_against_itself():
    found = summarize(NOW, everything(), previous=of(NOW), before=of(NOW))
    for name in ("map_similarity", "similarity_to_start"):
        assert found[name] == pytest.approx(1, rel=1e-12)
    for name in ("enrichment_ratio/tag a/b {}", "object_largest_class_enrichment_ratio"):
        assert found[name] == pytest.approx(1, rel=1e-12)


def test_similarities_are_those_of_the_reports_at_hand():
    """In any order."""
    reports = [report(seed) for seed in range(8)]
    for i, j in [(0, 1), (1, 2), (7, 0), (0, 1), (3, 4), (5, 6), (6, 5), (0, 7), (1, 0)]:
        found = summarize(reports[i], everything(), previous=of(reports[j]), before=of(reports[0]))
        expected = maps.map_similarity(reports[i].maps, reports[j].maps)
        assert found["map_similarity"] == pytest.approx(expected, rel=1e-12)
        expected = maps.map_similarity(reports[i].maps, reports[0].maps)
        assert found["similarity_to_start"] == pytest.approx(expected, rel=1e-12)


def test_all_maps_dead():
    dead = report(1)
    dead = SaliencyReport(**{**vars(dead), "maps": np.zeros_like(dead.maps)})
    found = summarize(dead, everything(), previous=of(NOW), before=of(BEFORE))
    assert found["dead_maps"] == 1.0
    places = {f"{name}/tag a/b {{}}" for name in OF_PLACES} | {f"object_{n}" for n in OF_PLACES}
    for name in places | ALWAYS - {"gradient_norm", "confidence", "dead_maps"}:
        assert np.isnan(found[name]), name
    assert found["probe_accuracy"] == np.mean(NOW.predictions == TARGETS)


def test_the_same_report_gives_the_same_numbers_and_stays_as_it_is():
    kept = {name: np.copy(value) for name, value in vars(NOW).items()}
    first = summarize(NOW, everything(), previous=of(PREVIOUS), before=of(BEFORE))
    assert summarize(NOW, everything(), previous=of(PREVIOUS), before=of(BEFORE)) == first
    for name, value in kept.items():
        np.testing.assert_array_equal(vars(NOW)[name], value)


# ---------------------------------------------------------------- memory


def large_report(seed):
    """A report of which the maps, and their ranks, are 1 MB each."""
    drawn = np.random.default_rng(seed).random((COUNT, 128, 170), np.float32)
    return dataclasses.replace(report(seed), maps=drawn)


def test_what_is_kept_of_large_maps_is_small():
    """Of 128 x 170 pixels, ranks of 64 x 85 as uint16, and a number for each region."""
    probes = ProbeSet(
        np.zeros((COUNT, 128, 170, 1), np.float32),
        masks=np.tile(np.eye(128, 170, dtype=bool), (COUNT, 1, 1)),
        regions={"tag": np.eye(128, 170, 1, dtype=bool)},
    )
    tracemalloc.start()
    try:
        kept = [of(large_report(seed), probes) for seed in range(6)]
        gc.collect()
        size = len(kept) * COUNT * (64 * 85 * 2 + 2 * 8)
        assert size < tracemalloc.get_traced_memory()[0] < size + 100_000
    finally:
        tracemalloc.stop()


def test_a_region_may_be_named_object():
    """Beside the masks, which are the objects."""
    probes = everything(regions={"object": TAG})
    found = summarize(NOW, probes, before=of(BEFORE, probes))
    tag, objects = (localization.enrichments(NOW.maps, one).mean() for one in (TAG, MASKS))
    assert found["enrichment/object"] == pytest.approx(tag, rel=1e-12)
    assert found["object_enrichment"] == pytest.approx(objects, rel=1e-12)
    assert found["enrichment_ratio/object"] != found["object_enrichment_ratio"]


@pytest.mark.parametrize("kind", ["image", "volume"])
def test_large_maps_are_compared_as_means_of_blocks(kind):
    """By SciPy, with blocks of 3 x 3 pixels; those at the edges are smaller."""
    shape = (COUNT, 250, 225) if kind == "image" else (COUNT, 2, 250, 225)
    drawn = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    now, before = (
        dataclasses.replace(report(0), maps=one**4) for one in (drawn[0], drawn[0] + drawn[1])
    )
    probes = ProbeSet(np.zeros((*shape, 1)), kind=kind)
    found = summarize(now, probes, previous=of(before, probes))
    starts = np.arange(0, 250, 3), np.arange(0, 225, 3)
    small = []
    for one in (now.maps, before.maps):
        sums = np.add.reduceat(np.add.reduceat(one.astype(float), starts[0], -2), starts[1], -1)
        counts = np.multiply.outer(np.diff([*starts[0], 250]), np.diff([*starts[1], 225]))
        small.append((sums / counts).astype(np.float32).reshape(COUNT, -1))
    expected = [scipy.stats.spearmanr(*pair).statistic for pair in zip(*small, strict=True)]
    assert found["map_similarity"] == pytest.approx(np.mean(expected), rel=1e-12)
    if kind == "image":
        full = maps.map_similarity(now.maps, before.maps)
        assert abs(found["map_similarity"] - full) > 0.01


def test_a_region_of_some_channels_is_that_of_their_steps():
    rng, region = np.random.default_rng(0), np.zeros((8, 2), bool)
    region[2:4, 1] = True
    given = {"images": rng.random((3, 8, 2)), "kind": "series"}
    regions = {"channels": region, "steps": region.any(axis=1)}
    found = summarize(
        SaliencyReport(
            step=0,
            maps=rng.random((3, 8)),
            targets=np.zeros(3, int),
            predictions=np.zeros(3, int),
            confidences=np.ones(3),
            scores=np.ones(3),
            gradient_norms=np.ones(3),
            metrics={},
        ),
        ProbeSet(**given, regions=regions),
    )
    assert found["enrichment/channels"] == found["enrichment/steps"] > 0
