"""Logs with anything wrong in them: values, problems, a warning or a clear error, nothing else."""

import contextlib
import copy
import dataclasses
import json
import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2

import keras_saliency as ks
from keras_saliency.app import film
from keras_saliency.app.html_report import page
from keras_saliency.data.reports import Alert, Effect, InterventionResults, Verdict, Window
from keras_saliency.log import tags
from keras_saliency.log.blobs import packed, unpacked
from keras_saliency.log.encoder import Encoder
from keras_saliency.log.headers import BlobError, read_header
from keras_saliency.log.reader import read_log
from keras_saliency.log.records import Loss, records
from support.logs import images, report

COUNT, SIDES = 2, (4, 5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
SPECIAL = st.sampled_from(
    [0, -1, 2**31, 2**70, 1e39, 1e308, "", [], {}, None, True, [0] * 9, "\ud800"]
)


def examples(number):
    """The same ones each time."""
    return settings(max_examples=number, derandomize=True, database=None, deadline=None)


def made_log():
    """The records of two steps, with findings, as lists of tag, step and blobs."""
    maps = images(COUNT, *SIDES)[..., 0]
    window = Window(0, 1, 2, 3)
    effect = Effect("hot_window", effect=0.5, window=window)
    verdict = Verdict(effect, 0.2, 0.01, 0.0, "fires", "", True)
    alert = Alert(
        *("alert", 1, "hot_window", "a sentence", "an assumption", "a remedy"),
        *(0.5, 0.1, 0.001, 0.0, 0.0, 2, window, None, ()),
    )
    found = InterventionResults((effect,), "", "accuracy", 8, "")
    signed = {"signed_maps": maps, "others": {"contours": maps}, "metrics": {"gini": 0.5}}
    reports = [
        report(maps, 0),
        report(maps, 1, interventions=found, verdicts=(verdict,), alerts=(alert,), **signed),
    ]
    table = images(COUNT, 1, 3)[:, 0, :, 0]
    reports = [
        dataclasses.replace(one, other_inputs={"table": report(table, one.step), "scan/2": one})
        for one in reports
    ]
    probes = ks.ProbeSet(
        images(COUNT, *SIDES),
        [0, 1],
        masks=maps > 0.5,
        regions={"all": np.ones(SIDES, bool)},
        class_names=["cat", "dog"],
        groups=["a", "b"],
        input_name="picture",
        other_inputs={
            "table": ks.ProbeSet(table, kind="features", feature_names=["a", "b", "c"]),
            "scan/2": ks.ProbeSet(
                images(COUNT, *SIDES), masks=maps > 0.5, regions={"left": maps > 0.7}
            ),
        },
    )
    encoder = Encoder(probes, ks.Pictures())
    result = [(0, encoder.of_probes({"method": "gradient"}, unit="epoch"))]
    for one in reports:
        result += [(one.step, record) for record in encoder.of_report(one)]
    picture = np.zeros((2, 2, 3), np.uint8)
    result.append((1, encoder.of_findings(reports[1], [picture])))
    return [(tag, step, blobs) for step, (tag, blobs) in result]


def write(path, entries):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for tag, step, blobs in entries:
            event = event_pb2.Event(step=step, wall_time=1.0)
            value = event.summary.value.add(tag=tag)
            value.metadata.plugin_data.plugin_name = tags.PLUGIN
            value.tensor.string_val.extend(blobs)
            writer.write(event.SerializeToString())


MADE = made_log()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """An event file; each example writes it again."""
    directory = tmp_path_factory.mktemp("fuzzed") / "saliency"
    directory.mkdir()
    return directory / "tfevents"


def assert_sound(log):
    """All values have the types and shapes that their docstrings promise, and can be drawn."""
    assert all(isinstance(text, str) for text in (log.run, log.unit, *log.configuration.values()))
    assert all(isinstance(text, str) for text in log.problems)
    assert_input_sound(log)
    for name, probes in log.probes.other_inputs.items():
        assert probes.input_name == name
        reports = [one.other_inputs[name] for one in log.reports if name in one.other_inputs]
        assert_input_sound(dataclasses.replace(log, probes=probes, reports=tuple(reports)))


def assert_input_sound(log):
    probes, count = log.probes, len(log.probes.names)
    assert all(isinstance(text, str) for text in (*probes.names, probes.kind))
    assert isinstance(probes.input_name, str | int | None)
    assert probes.feature_names is None or len(probes.feature_names) == probes.shape[0]
    assert (probes.pictures.dtype, probes.pictures.ndim) == (np.uint8, 4)
    assert len(probes.pictures) == count
    for masks in (probes.masks, *probes.regions.values()):
        assert masks is None or (masks.dtype == bool and len(masks) in (1, count))
    for one in log.reports:
        for maps in (one.maps, one.signed_maps, *one.others.values()):
            assert maps is None or (maps.dtype == np.float32 and len(maps) == count)
            assert maps is None or maps.ndim == 1 + len(probes.shape)
        assert not (one.maps < 0).any()
        for numbers in (one.confidences, one.scores, one.gradient_norms):
            assert (numbers.dtype, numbers.shape) == (np.float32, (count,))
        for numbers in (one.targets, one.predictions):
            assert (numbers.dtype, numbers.shape) == (np.int64, (count,))
        assert all(type(value) is float for value in one.metrics.values())
        assert all(type(verdict.effect.effect) is float for verdict in one.verdicts)
    try:
        frames = film.animation(log, probes.names[0])
    except ValueError:
        return  # such as maps of another shape than the pictures
    assert len(frames) == len(log.reports)


def assert_read(path):
    """The log is read, or an error says why not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(is damaged|ends within a record):")
        try:
            logs = read_log(path.parent.parent)
        except ValueError as error:
            assert str(error).startswith("log_dir: expected a directory with a log")  # noqa: PT017
        else:
            assert_sound(logs["saliency"])
        try:
            assert page(path.parent.parent).endswith("</html>\n")
        except ValueError as error:
            assert str(error).startswith("log_dir: expected a directory with a log")  # noqa: PT017


def test_the_log_is_sound_before_anything_is_wrong(path):
    write(path, MADE)
    log = read_log(path.parent.parent)["saliency"]
    assert (len(log.reports), log.problems) == (2, ())
    assert_sound(log)
    assert len(film.animation(log, log.probes.names[0])) == 2


@given(st.data())
@examples(60)
def test_files_with_changed_bytes(path, data):
    write(path, MADE)
    content = bytearray(path.read_bytes())
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    for first in data.draw(st.lists(places, max_size=1)):
        del content[first : first + data.draw(st.integers(1, 300))]
    path.write_bytes(content[: data.draw(st.none() | places)])
    assert_read(path)


def inner_places(value, path=()):
    """The paths to all values in a header."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner if isinstance(value, dict | list) else ():
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from inner_places(item, (*path, key))


def changed(header, where, value):
    header = copy.deepcopy(header)
    holder = header
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    return header


PLACES = [
    (entry, where)
    for entry, (_, _, blobs) in enumerate(MADE)
    for where in inner_places(json.loads(blobs[0]))
    if "colormaps" not in where and "descriptions" not in where
]


@given(st.sampled_from(PLACES), SPECIAL | JSON)
@examples(80)
def test_headers_with_any_value_anywhere(path, place, value):
    entries = list(MADE)
    entry, where = place
    tag, step, (header, *arrays) = entries[entry]
    text = json.dumps(changed(json.loads(header), where, value))
    entries[entry] = tag, step, [text.encode(), *arrays]
    write(path, entries)
    assert_read(path)


SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 1000]), max_size=5)


@given(st.data())
@examples(60)
def test_arrays_of_any_shape(path, data):
    entries = list(MADE)
    entry = data.draw(st.sampled_from([i for i, (_, _, b) in enumerate(MADE) if len(b) > 1]))
    tag, step, (header, *arrays) = entries[entry]
    place = data.draw(st.integers(0, len(arrays) - 1))
    shape = data.draw(SHAPES)
    array = np.broadcast_to(data.draw(st.integers(0, 255)), shape if np.prod(shape) < 1e6 else [3])
    kind = data.draw(st.sampled_from([np.uint8, np.int32, np.float32]))
    arrays[place] = packed({}, {"a": array.astype(kind)})[1]
    entries[entry] = tag, step, [header, *arrays]
    write(path, entries)
    assert_read(path)


@given(st.data())
@examples(100)
def test_blobs_with_changed_bytes(data):
    blobs = list(data.draw(st.sampled_from(MADE))[2])
    place = data.draw(st.integers(0, len(blobs) - 1))
    content = bytearray(blobs[place])
    if content:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    blobs[place] = bytes(content[: data.draw(st.none() | st.integers(0, len(content)))])
    try:
        header, arrays = unpacked(blobs)
    except BlobError:
        return
    assert isinstance(header, dict)
    assert all(array.dtype in (np.uint8, np.int32) for array in arrays.values())


@given(st.binary(max_size=50) | JSON.map(json.dumps).map(str.encode))
@examples(100)
def test_headers_of_any_bytes(content):
    with contextlib.suppress(BlobError):
        assert isinstance(read_header(content), dict)


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=5), st.data())
@examples(60)
def test_records_before_and_after_the_damage(path, contents, data):
    """A byte that is changed costs the record that it is in, and no other."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    ends = np.cumsum([len(content) + 16 for content in contents])
    whole = bytearray(path.read_bytes())
    damaged = set()
    if whole:
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        damaged = {int(np.searchsorted(ends, place, side="right"))}
    path.write_bytes(whole)
    expected = [
        Loss(at_end=False) if index in damaged else content
        for index, content in enumerate(contents)
    ]
    assert [*records(path)] == expected
