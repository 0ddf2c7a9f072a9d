"""The HParams tab compares runs by our metrics, with nothing but its own `hp.Metric`."""

import json
import time
import urllib.request

import keras
import pytest
import tensorflow as tf
from tensorboard.plugins.hparams import api as hp

import keras_saliency as ks
from support.networks import fit, network, probes
from support.servers import both_loaders, tensorboard_server

RATE = hp.HParam("rate", hp.Discrete([0.001, 0.01]))
METRICS = ("saliency/probe_accuracy", "saliency/gini", "saliency/effect/border")


def search(log_dir):
    """A search as docs/trackers.md shows it; the last value of each metric, by rate."""
    found = {}
    with tf.summary.create_file_writer(str(log_dir)).as_default():
        hp.hparams_config(
            hparams=[RATE], metrics=[hp.Metric(tag, group="saliency") for tag in METRICS]
        )
    for rate in RATE.domain.values:
        run = log_dir / f"rate={rate}"
        model = network()
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        saliency = ks.SaliencyCallback(probes(), log_dir=run, verbose=0)
        fit([saliency, hp.KerasCallback(str(run), {RATE: rate})], model=model)
        found[rate] = {tag: saliency.history[tag.removeprefix("saliency/")][-1] for tag in METRICS}
    return found


def session_groups(address):
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
        f"{address}data/plugin/hparams/session_groups",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["sessionGroups"]


@both_loaders
def test_the_hparams_tab_shows_our_last_values(fast, tmp_path):
    expected = search(tmp_path)
    deadline = time.monotonic() + 30
    with tensorboard_server(tmp_path, fast) as address:
        while True:
            found = {
                group["hparams"]["rate"]: {
                    (metric["name"]["group"], metric["name"]["tag"]): (
                        metric["trainingStep"],
                        metric["value"],
                    )
                    for metric in group["metricValues"]
                }
                for group in session_groups(address)
            }
            is_all = [*map(len, found.values())] == [len(METRICS)] * 2
            if is_all or time.monotonic() > deadline:
                break
            time.sleep(0.5)
    assert found == {
        rate: {
            ("saliency", tag): (1, pytest.approx(value, rel=1e-6)) for tag, value in values.items()
        }
        for rate, values in expected.items()
    }
