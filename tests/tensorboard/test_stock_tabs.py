"""What TensorBoard's own tabs show of our logs, with either of its loaders."""

import itertools
import json
import urllib.request
from urllib.parse import urlencode

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar.summary import pb as layout_summary
from tensorboard.plugins.hparams import api as hp

import keras_saliency as ks
from support.browser import eventually
from support.events import events
from support.networks import EVERYTHING, fit, network, probes
from support.servers import Board, serving, tensorboard_command

pytestmark = pytest.mark.gate

RATE = hp.HParam("rate", hp.Discrete([0.001, 0.01]))
METRICS = ("saliency/probe_accuracy", "saliency/gini", "saliency/effect/border")
RUNS = ("charts/saliency", "charts/saliency_2")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A training of twelve epochs, two with other metrics, and a search."""
    directory = tmp_path_factory.mktemp("logs")
    every = ks.Pictures(when="epoch")
    shown = ks.SaliencyCallback(
        probes(), log_dir=directory / "pictures", pictures=every, compute=EVERYTHING, verbose=0
    )
    fit([shown], epochs=12)
    for probe_set in (probes(), rich_probes()):  # the second gets a run of its own: saliency_2
        fit([ks.SaliencyCallback(probe_set, log_dir=directory / "charts", verbose=0)])
    write_users_layout(directory / "charts")
    return directory


@pytest.fixture(scope="module")
def searched(logs):
    """A search as docs/trackers.md shows it; the last value of each metric, by rate."""
    log_dir, found = logs / "search", {}
    with tf.summary.create_file_writer(str(log_dir)).as_default():
        hp.hparams_config(
            hparams=[RATE], metrics=[hp.Metric(tag, group="saliency") for tag in METRICS]
        )
    for rate in RATE.domain.values:
        run = log_dir / f"rate={rate}"
        model = network()
        model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
        saliency = ks.SaliencyCallback(probes(), log_dir=run, verbose=0)
        fit([saliency, hp.KerasCallback(str(run), {RATE: rate})], model=model)
        last = {tag: saliency.history[tag.removeprefix("saliency/")][-1] for tag in METRICS}
        found[rate] = {tag: value for tag, value in last.items() if not np.isnan(value)}
    return found


@pytest.fixture(scope="module", params=["true", "false"], ids=["default loader", "Python loader"])
def board(request, logs, searched, tmp_path_factory):
    further = [f"--load_fast={request.param}", "--samples_per_plugin=images=1000"]
    directory = tmp_path_factory.mktemp("board")
    with serving(tensorboard_command(logs, *further), directory, Board.listing) as found:
        yield found


def read(board, route, **query):
    status, _, content = board.get(f"/data/plugin/{route}?{urlencode(query)}")
    assert status == 200, content
    return json.loads(content)


def test_every_step_of_a_picture_is_shown(board):
    query = {"run": "pictures/saliency", "tag": "saliency_probe/003 class 1", "sample": 0}

    def check():
        found = read(board, "images/images", **query)
        assert [entry["step"] for entry in found] == list(range(-1, 12))

    eventually(check)


# ---------------------------------------------------------------- Custom Scalars


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


def write_users_layout(log_dir):
    """A layout of a user, with a title that we have too but for its first word."""
    mine = layout_pb2.Chart(title="loss", multiline={"tag": ["epoch_loss"]})
    theirs = layout_pb2.Layout(category=[layout_pb2.Category(title="health", chart=[mine])])
    with tf.summary.create_file_writer(str(log_dir)).as_default(step=0):
        tf.summary.experimental.write_raw_pb(layout_summary(theirs).SerializeToString())


def test_our_charts_are_shown_with_all_curves_and_the_user_s(board, logs):
    expected = {
        run: {
            tag
            for tag, by_step in events(logs / run).items()
            if not by_step[min(by_step)][0].string_val
        }
        for run in RUNS
    }

    def check():
        categories = read(board, "custom_scalars/layout")["category"]
        assert [category["title"] for category in categories] == [
            "health",
            "Saliency: what the model uses",
            "Saliency: where it looks",
            "Saliency: health",
            "Saliency: in objects and regions",
            "Saliency: groups",
        ]
        assert categories[0]["chart"][0]["multiline"]["tag"] == ["epoch_loss"]
        patterns = [
            tag
            for category in categories[1:]
            for chart in category["chart"]
            for tag in chart["multiline"]["tag"]
        ]
        for run in RUNS:
            by_chart = [
                set(read(board, "custom_scalars/scalars", run=run, tag=tag)["tag_to_events"])
                for tag in patterns
            ]
            assert set().union(*by_chart) == expected[run]
            for one, other in itertools.combinations(by_chart, 2):
                assert one & other == set()

    eventually(check)


# ---------------------------------------------------------------- HParams


def session_groups(board):
    columns = [
        {"hparam": "rate"},
        *({"metric": {"tag": tag, "group": "saliency"}} for tag in METRICS),
    ]
    question = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"],
        "colParams": columns,
        "startIndex": 0,
        "sliceSize": 100,
    }
    request = urllib.request.Request(
        f"{board.url}/data/plugin/hparams/session_groups",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["sessionGroups"]


def test_our_last_values_are_shown_by_the_hparams_tab(board, searched):
    """It compares runs by our metrics, with nothing but its own `hp.Metric`."""

    def check():
        found = {
            group["hparams"]["rate"]: {
                (metric["name"]["group"], metric["name"]["tag"]): (
                    metric["trainingStep"],
                    metric["value"],
                )
                for metric in group["metricValues"]
            }
            for group in session_groups(board)
        }
        assert found == {
            rate: {
                ("saliency", tag): (1, pytest.approx(value, rel=1e-6))
                for tag, value in values.items()
            }
            for rate, values in searched.items()
        }

    eventually(check)
