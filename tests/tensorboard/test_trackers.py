"""W&B and ClearML, offline, take the stock set: what they stored is what our event files have."""

import contextlib
import importlib.util
import io
import json
import re
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from support.programs import run_program

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"


def run(script, directory, **env):
    """Runs a script in a process of its own: trackers patch TensorFlow, and stay."""
    ran = run_program(script, cwd=directory, HOME=str(directory), **env)
    assert ran.returncode == 0, ran.stderr


def needs(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install -e '.[trackers]'")


def page(tracker):
    """The tracker's block of docs/trackers.md, behind the block that all share."""
    blocks = re.findall(r"```py(?:thon)?\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if tracker in block)
    return blocks[0] + block


FIT = """
from pathlib import Path
import keras
from support.planted import Teacher, linear, tagged_probes, train
import keras_saliency as ks
saliency = ks.SaliencyCallback(tagged_probes(), log_dir="logs", verbose=0)
train([keras.callbacks.TensorBoard("logs"), saliency, Teacher()], model=linear(rate=0.0))
assert saliency.alerts
"""
"""A fit that raises an alert, beside Keras' own callback."""


def stock(directory):
    """The scalars, pictures and texts of a run: `{plugin: {(tag, step): value}}`."""
    found = {"scalars": {}, "images": {}, "text": {}}
    plugins = {}
    for path in sorted(directory.glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                if plugin in found:
                    array = tf.make_ndarray(value.tensor)
                    found[plugin][value.tag, event.step] = array
    assert all(found.values())
    found["images"] = {key: pixels(array[2]) for key, array in found["images"].items()}
    return found


def has_evidence(expected):
    return any(tag.startswith("saliency_evidence/") for tag, _ in expected["images"])


def pixels(source):
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
        return np.asarray(picture.convert("RGB"))


def rounded(scalars):
    return {key: float(np.float32(value)) for key, value in scalars.items()}


# ---------------------------------------------------------------- W&B


def wandb_records(path):
    """The records of a run's file: LevelDB's log format behind seven bytes of W&B's own."""
    content, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def wandb_history(directory):
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    for record in map(Record.FromString, wandb_records(path)):
        if record.WhichOneof("record_type") == "history":
            yield {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }


@pytest.mark.gate
def test_wandb_takes_the_scalars_and_the_pictures(tmp_path):
    needs("wandb")
    script = f"""
import wandb
wandb.tensorboard.patch(root_logdir="logs")
run = wandb.init(project="saliency")
{FIT}
run.finish()
"""
    run(script, tmp_path, WANDB_MODE="offline", WANDB_SILENT="true")
    expected = stock(tmp_path / "logs" / "saliency")
    assert has_evidence(expected)
    (media,) = tmp_path.glob("wandb/offline-run-*/files")
    scalars, images = {}, {}
    for row in wandb_history(tmp_path):
        for key, value in row.items():
            tag, step = key.removeprefix("saliency/"), row["global_step"]
            if tag.endswith("/filenames"):
                (name,) = value
                images[tag.removesuffix("/filenames"), step] = pixels(media / name)
            elif key.startswith("saliency/") and (tag, step) in expected["scalars"]:
                scalars[tag, step] = value
    assert rounded(scalars) == rounded(expected["scalars"])
    assert images.keys() == expected["images"].keys()
    for key, picture in images.items():
        np.testing.assert_array_equal(picture, expected["images"][key])


@pytest.mark.gate
def test_wandb_as_the_page_shows_it(tmp_path):
    needs("wandb")
    run(page("wandb"), tmp_path, WANDB_MODE="offline", WANDB_SILENT="true")
    rows = [row for row in wandb_history(tmp_path) if "saliency/saliency/gini" in row]
    assert [row["global_step"] for row in rows] == [-1, 0, 1, 2]


# ---------------------------------------------------------------- ClearML


def clearml_environment(directory):
    """Reports go by a thread: at the end, ClearML waits ten seconds for a process of its own."""
    settings = directory / "clearml.conf"
    settings.write_text("sdk { development { report_use_subprocess: false } }")
    return {"CLEARML_CACHE_DIR": str(directory / "cache"), "CLEARML_CONFIG_FILE": str(settings)}


def curve(tag):
    """ClearML's metric and variant of a scalar: what is before the last slash, and after it."""
    metric, _, variant = tag.rpartition("/")
    return metric.replace("/", "_"), variant


def sheet(tag):
    """ClearML's metric and variant of a picture or text: before the first slash, and after it."""
    metric, _, variant = tag.partition("/")
    return metric, variant.replace("/", "_")


@pytest.mark.gate
def test_clearml_takes_the_scalars_the_pictures_and_the_text(tmp_path):
    needs("clearml")
    script = f"""
from clearml import Task
Task.set_offline(True)
task = Task.init(
    project_name="saliency", task_name="fit", auto_resource_monitoring=False,
    auto_connect_arg_parser=False,
)
{FIT}
task.close()
"""
    run(script, tmp_path, **clearml_environment(tmp_path))
    expected = stock(tmp_path / "logs" / "saliency")
    assert has_evidence(expected)
    (log,) = tmp_path.glob("cache/offline/*/metrics.jsonl")
    stored = [event for line in log.read_text().splitlines() for event in json.loads(line)]
    ours = [event for event in stored if event["metric"].startswith("saliency")]

    scalars = {
        (event["metric"], event["variant"], event["iter"]): event["value"]
        for event in ours
        if event["type"] == "training_stats_scalar"
    }
    assert rounded(scalars) == rounded(
        {(*curve(tag), step): value for (tag, step), value in expected["scalars"].items()}
    )
    media = {
        (event["metric"], event["variant"], event["iter"]): event["url"]
        for event in ours
        if event["type"] == "training_debug_image"
    }
    shown = expected["images"] | expected["text"]
    assert media.keys() == {(*sheet(tag), step) for tag, step in shown}
    for (tag, step), picture in expected["images"].items():
        difference = pixels(media[(*sheet(tag), step)]).astype(int) - picture
        assert np.abs(difference).mean() < 6  # ClearML stores them as JPEG
    for (tag, step), text in expected["text"].items():
        assert Path(media[(*sheet(tag), step)]).read_bytes() == text.item()


@pytest.mark.gate
def test_clearml_as_the_page_shows_it(tmp_path):
    needs("clearml")
    run(page("clearml"), tmp_path, CLEARML_OFFLINE_MODE="1", **clearml_environment(tmp_path))
    (log,) = tmp_path.glob("cache/offline/*/metrics.jsonl")
    stored = [event for line in log.read_text().splitlines() for event in json.loads(line)]
    found = [event["iter"] for event in stored if event["variant"] == "probe_accuracy"]
    assert sorted(found) == [-1, 0, 1, 2]


# ---------------------------------------------------------------- MLflow


def test_mlflow_as_the_page_shows_it(tmp_path):
    needs("mlflow")
    run(page("mlflow"), tmp_path, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        rows = store.execute("SELECT key, step, value FROM metrics").fetchall()
    expected = {
        key: value
        for key, value in stock(tmp_path / "logs" / "saliency")["scalars"].items()
        if not key[0].startswith("saliency_alert/")
    }
    found = {(key, step): value for key, step, value in rows}
    assert rounded(found) == rounded(expected)
    (kept,) = tmp_path.glob("mlruns/**/artifacts/logs/saliency/*tfevents*")
    (log,) = (tmp_path / "logs" / "saliency").glob("*tfevents*")
    assert kept.read_bytes() == log.read_bytes()
