"""The Custom Scalars tab: TensorBoard's own plugin serves our charts, and finds our curves."""

import itertools
import json
import re
import time
import urllib.parse
import urllib.request

import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar.summary import pb as layout_summary

import keras_saliency as ks
from keras_saliency.metrics.catalog import METRICS
from keras_saliency.tensorboard.custom_scalars import TAG, layout
from support.events import events
from support.networks import fit, probes
from support.servers import both_loaders, tensorboard_server

OF_A_REGION = {
    *("enrichment", "enrichment_ratio", "largest_class_enrichment_ratio"),
    *("rank_accuracy", "pointing_game", "translated_mask_rank"),
}


def rich_probes():
    """With an object mask, a region and groups: these have all metrics."""
    corner = np.zeros((8, 8), bool)
    corner[:4, :4] = True
    plain = probes()
    return ks.ProbeSet(
        plain.images,
        plain.targets,
        masks=np.broadcast_to(corner, (len(plain), 8, 8)),
        regions={"corner": corner},
        groups=["a", "b"] * 3,
    )


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
                "saliency/(border_enrichment|object_enrichment|enrichment/.*)$"
            ],
        },
        "Saliency: health": {
            "Accuracy and confidence": ["saliency/(probe_accuracy|confidence)$"],
            "Gradient norm": ["saliency/gradient_norm$"],
            "Similarity to the previous maps, and to those before training": [
                "saliency/(map_similarity|similarity_to_start)$"
            ],
            "Spread: gini, entropy": ["saliency/(gini|entropy)$"],
            "Dead maps, completeness gap: 0 is good": ["saliency/(dead_maps|completeness_gap)$"],
        },
    }


def test_a_run_has_its_layout_once(tmp_path):
    fit([ks.SaliencyCallback(probes(), log_dir=tmp_path, verbose=0)])
    written = events(tmp_path / "saliency")[TAG]
    assert [*written] == [-1]
    assert set(charts(tf.make_ndarray(written[-1][0]).item())) == {
        "Saliency: what the model uses",
        "Saliency: where it looks",
        "Saliency: health",
    }


def write_users_layout(log_dir):
    """A layout of a user, with a title that we have too but for its first word."""
    mine = layout_pb2.Chart(title="loss", multiline={"tag": ["epoch_loss"]})
    theirs = layout_pb2.Layout(category=[layout_pb2.Category(title="health", chart=[mine])])
    with tf.summary.create_file_writer(str(log_dir)).as_default(step=0):
        tf.summary.experimental.write_raw_pb(layout_summary(theirs).SerializeToString())


@both_loaders
def test_tensorboard_serves_our_charts_with_all_curves_and_the_user_s(fast, tmp_path):
    for probe_set in (probes(), rich_probes()):  # the second gets a run of its own: saliency_2
        fit([ks.SaliencyCallback(probe_set, log_dir=tmp_path, verbose=0)])
    write_users_layout(tmp_path)
    expected = {
        run: {
            tag
            for tag, by_step in events(tmp_path / run).items()
            if not by_step[min(by_step)][0].string_val
        }
        for run in ("saliency", "saliency_2")
    }
    with tensorboard_server(tmp_path, fast) as address:

        def read(route, **query):
            query = urllib.parse.urlencode(query)
            url = f"{address}data/plugin/custom_scalars/{route}?{query}"
            with urllib.request.urlopen(url) as reply:
                return json.load(reply)

        found = served(read, expected)
    titles = [category["title"] for category in found["layout"]["category"]]
    assert titles == [
        "health",
        "Saliency: what the model uses",
        "Saliency: where it looks",
        "Saliency: health",
        "Saliency: in objects and regions",
        "Saliency: groups",
    ]
    assert found["layout"]["category"][0]["chart"][0]["multiline"]["tag"] == ["epoch_loss"]
    assert found["tags"] == expected
    for charts_of_a_run in found["by_chart"].values():
        for one, other in itertools.combinations(charts_of_a_run, 2):
            assert one & other == set()


def served(read, expected, seconds=30):
    """What TensorBoard answers, once it has loaded the runs."""
    deadline = time.monotonic() + seconds
    while True:
        found = {"layout": read("layout"), "by_chart": {}, "tags": {}}
        tags = [
            tag
            for category in found["layout"].get("category", [])
            if category["title"].startswith("Saliency")
            for chart in category["chart"]
            for tag in chart["multiline"]["tag"]
        ]
        for run in expected:
            answers = [read("scalars", run=run, tag=tag)["tag_to_events"] for tag in tags]
            found["by_chart"][run] = [set(answer) for answer in answers]
            found["tags"][run] = set().union(*answers)
        if found["tags"] == expected or time.monotonic() > deadline:
            return found
        time.sleep(0.5)
