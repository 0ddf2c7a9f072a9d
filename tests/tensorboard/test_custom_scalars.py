"""The layout of the Custom Scalars tab: each of our curves has its chart."""

import re

import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2

import keras_saliency as ks
from keras_saliency.metrics.catalog import METRICS
from keras_saliency.tensorboard.custom_scalars import LAYOUT_TAG, layout
from support.events import events
from support.networks import fit, probes

OF_A_REGION = {
    *("enrichment", "enrichment_ratio", "largest_class_enrichment_ratio"),
    *("rank_accuracy", "pointing_game", "translated_mask_rank"),
}


def charts(serialized):
    """`{category: {chart: [pattern]}}`."""
    return {
        category.title: {chart.title: list(chart.multiline.tag) for chart in category.chart}
        for category in layout_pb2.Layout.FromString(serialized).category
    }


def patterns(found):
    return [tag for of_one in found.values() for tags in of_one.values() for tag in tags]


def tags_of(kind):
    """A tag of a kind of metric, as README's table has it."""
    of_group = kind in ("group_accuracy", "object_group_enrichment")
    named = {"group_enrichment": "/corner/a"} | dict.fromkeys(OF_A_REGION, "/corner")
    return f"saliency/{kind}{'/a' if of_group else named.get(kind, '')}"


def test_every_kind_of_curve_has_one_chart():
    tags = [tags_of(kind) for kind in METRICS]
    tags += [f"saliency/{kind}/region/corner" for kind in ("effect", "flip", "p_value")]
    tags += ["saliency_alert/region/corner"]
    found = patterns(charts(layout(tag.removeprefix("saliency/") for tag in tags)))
    matched = {tag: [one for one in found if re.match(one, tag)] for tag in tags}
    assert {tag: len(ones) for tag, ones in matched.items()} == dict.fromkeys(tags, 1)
    assert {one for ones in matched.values() for one in ones} == set(found)


def test_a_category_that_would_stay_empty_is_left_out():
    assert charts(layout(["gini", "border_enrichment"])) == {
        "Saliency: what the model uses": {
            "Effects: drop in accuracy or score; chance: 0": ["saliency/effect/.*$"],
            "Flips: how often the prediction follows the donor; chance: 0": ["saliency/flip/.*$"],
            "p-values, before correction": ["saliency/p_value/.*$"],
            "Alerts: 1 while active": ["saliency_alert/.*$"],
        },
        "Saliency: where it looks": {
            "Enrichment; chance: 1": [
                "saliency/(border_enrichment|object_enrichment|enrichment)(/.*)?$"
            ],
        },
        "Saliency: health": {
            "Accuracy and confidence": ["saliency/(probe_accuracy|confidence)$"],
            "Gradient norm": ["saliency/gradient_norm(/.*)?$"],
            "Similarity to the previous maps, and to those before training": [
                "saliency/(map_similarity|similarity_to_start)(/.*)?$"
            ],
            "Spread: gini, entropy": ["saliency/(gini|entropy)(/.*)?$"],
            "Dead maps, completeness gap, precision gap: 0 is good": [
                "saliency/(dead_maps|completeness_gap|precision_gap)(/.*)?$"
            ],
        },
    }


def test_a_run_has_its_layout_once(tmp_path):
    fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)])
    written = events(tmp_path / "saliency")[LAYOUT_TAG]
    assert [*written] == [-1]
    assert set(charts(tf.make_ndarray(written[-1][0]).item())) == {
        "Saliency: what the model uses",
        "Saliency: where it looks",
        "Saliency: health",
    }
