"""Logs that are damaged, cut off, behind links or URLs, or made to do harm."""

import io
import json
import os
import shutil
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event

import keras_saliency as ks
from keras_saliency.app.html_report import page
from keras_saliency.log import tags
from keras_saliency.log.blobs import packed, unpacked, values
from keras_saliency.log.headers import BlobError, read_header
from keras_saliency.log.reader import events, read_blobs, read_log
from keras_saliency.log.records import HEAD, TAIL
from support.events import write_blobs
from support.logs import images, report, written

MAPS = images(2, 4, 5)[..., 0]
CONTOURS = tags.maps_tag("contours")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A log of three steps and two methods; tests that change one copy it."""
    log_dir = tmp_path_factory.mktemp("made")
    given = ks.ProbeSet(
        images(2, 4, 5), [0, 1], masks=MAPS > 0.5, regions={"all": np.ones((4, 5), bool)}
    )
    reports = [report(MAPS * (step + 1), step, others={"contours": MAPS}) for step in range(3)]
    written(log_dir, given, *reports)
    return log_dir


@pytest.fixture
def log_dir(made, tmp_path):
    shutil.copytree(made, tmp_path / "logs")
    return tmp_path / "logs"


def event_file(log_dir):
    (path,) = (log_dir / "saliency").glob("*tfevents*")
    return path


def places(content):
    """Where each record of an event file begins, and how long it is, by tag and step."""
    found, position = {}, 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 8], "little")
        event = Event.FromString(content[position + HEAD : position + HEAD + length])
        for value in event.summary.value:
            found[value.tag, event.step] = position + HEAD, length
        position += HEAD + length + TAIL
    return found


def damage(path, *records):
    content = bytearray(path.read_bytes())
    known = places(content)
    for record in records:
        start, length = known[record]
        content[start + length // 2] ^= 255
    path.write_bytes(content)


def read_damaged(log_dir, said):
    with pytest.warns(UserWarning, match=said) as caught:
        log = read_log(log_dir)["saliency"]
    assert len(caught) == 1
    return log


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    ("tag", "steps", "problem"),
    [
        (tags.REPORTS, [0, 2], "saliency, step 1: its report is missing"),
        (tags.maps_tag("saliency"), [0, 2], "saliency, step 1: its maps of 'saliency' are missing"),
        (CONTOURS, [0, 2], "saliency, step 1: its maps of 'contours' are missing"),
        (tags.CONTACT_SHEET, [0, 1, 2], None),
    ],
)
def test_a_damaged_record_costs_its_step_at_most(tag, steps, problem, log_dir):
    damage(event_file(log_dir), (tag, 1))
    log = read_damaged(log_dir, "tfevents.* is damaged: 1 record is left out, the others are read")
    assert [one.step for one in log.reports] == steps
    assert log.problems == (() if problem is None else (problem,))
    np.testing.assert_allclose(log.reports[-1].maps, MAPS * 3, atol=3 / 504)


def test_the_number_of_damaged_records_is_told(log_dir):
    damage(event_file(log_dir), (CONTOURS, 0), (CONTOURS, 1), (tags.REPORTS, 1))
    log = read_damaged(log_dir, "is damaged: 3 records are left out")
    assert [one.step for one in log.reports] == [2]
    assert [problem.split(":")[0] for problem in log.problems] == [
        "saliency, step 0",
        "saliency, step 1",
    ]


def test_without_its_probes_a_run_cannot_be_read(log_dir):
    damage(event_file(log_dir), (tags.PROBES, 0))
    with (
        pytest.warns(UserWarning, match="1 record is left out"),
        pytest.raises(ValueError, match="no readable log .saliency: it has no probes"),
    ):
        read_log(log_dir)


def test_probes_that_were_written_before_stand_in_for_damaged_ones(log_dir):
    write_blobs(log_dir / "saliency", tags.PROBES, 2, [b"{"])
    log = read_log(log_dir)["saliency"]
    assert [one.step for one in log.reports] == [0, 1, 2]
    (problem,) = log.problems
    assert problem.startswith("saliency, probes of step 2: its header is not valid JSON")


def test_a_file_that_ends_within_a_record_is_read_up_to_there(log_dir):
    path = event_file(log_dir)
    content = path.read_bytes()
    start, length = places(content)[tags.maps_tag("saliency"), 2]
    path.write_bytes(content[: start + length // 2])
    log = read_damaged(log_dir, "ends within a record: it is being written, or was cut off")
    assert [one.step for one in log.reports] == [0, 1]
    assert all(problem.startswith("saliency, step 2: its report") for problem in log.problems)


def test_a_record_that_is_not_an_event_is_damaged(log_dir):
    with tf.io.TFRecordWriter(str(log_dir / "saliency" / "zz.tfevents")) as writer:
        writer.write(b"\xff\xff\xff")
    assert len(read_damaged(log_dir, "zz.tfevents is damaged: 1 record is").reports) == 3


def test_events_are_those_that_can_be_read(log_dir):
    path = event_file(log_dir)
    before = [*events(path)]
    damage(path, (tags.REPORTS, 0))
    after = [*events(path)]
    assert len(after) == len(before) - 1
    assert after == [event for event in before if event in after]


# ---------------------------------------------------------------- where logs are


def test_pipes_and_directories_are_not_read(log_dir):
    os.mkfifo(log_dir / "saliency" / "tfevents.pipe")
    (log_dir / "saliency" / "tfevents.directory").mkdir()
    assert len(read_log(log_dir)["saliency"].reports) == 3


def test_linked_runs_are_read_under_the_names_of_the_links(log_dir, tmp_path):
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "linked").symlink_to(log_dir)
    (log_dir / "saliency" / "above").symlink_to(tmp_path / "top")
    assert list(read_log(tmp_path / "top")) == ["linked/saliency"]


def test_the_home_directory_is_found(log_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(read_log("~/logs")) == ["saliency"]


@pytest.fixture(scope="module")
def remote(made):
    """The same log behind a URL."""
    url = "ram://damaged_logs/my logs"
    tf.io.gfile.makedirs(f"{url}/saliency")
    path = event_file(made)
    tf.io.gfile.copy(str(path), f"{url}/saliency/{path.name}")
    return url


def test_a_log_behind_a_url_is_read_as_a_local_one(made, remote):
    here, there = read_log(made), read_log(f"{remote}/")
    assert list(there) == ["saliency"]
    assert len(there["saliency"].reports) == 3
    for mine, theirs in zip(here["saliency"].reports, there["saliency"].reports, strict=True):
        np.testing.assert_array_equal(mine.maps, theirs.maps)
    assert read_blobs(made) == read_blobs(remote)
    assert "<title>Saliency: my logs</title>" in page(remote)


@pytest.mark.parametrize("log_dir", ["ram://damaged_logs/none", "/none/at/all"])
@pytest.mark.parametrize("read", [read_log, page, ks.show])
def test_a_missing_directory_is_named(read, log_dir):
    with pytest.raises(ValueError, match=f"log_dir: expected a directory, received {log_dir}"):
        read(log_dir)


def test_a_file_system_that_is_not_there_is_an_error_in_words():
    with pytest.raises(OSError, match="nofs://logs: .*not implemented"):
        read_log("nofs://logs")


# ---------------------------------------------------------------- arrays that are too large


def replaced(log_dir, tag, arrays, **fields):
    """Writes a step of a tag again, later, with other arrays."""
    _, blobs = read_blobs(log_dir)["saliency"][tag][0]
    header = json.loads(blobs[0]) | fields
    header.pop("arrays")
    later = [packed(header, dict.fromkeys(arrays))[0], *arrays.values()]
    write_blobs(log_dir / "saliency", tag, 0, later, suffix="z", time=1e12)


def deflated(array, *more):
    file = io.BytesIO()
    np.save(file, array)
    return zlib.compress(file.getvalue() + b"".join(more), 9)


def peak_of(function, *arguments, **named):
    """The most memory that a call takes, in bytes, and what it returns."""
    tracemalloc.start()
    try:
        result = function(*arguments, **named)
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


MANY = 30_000_000


@pytest.fixture(scope="module")
def bombs():
    """30 MB of zeros in 30 KB: as an array, behind a small array, and in the header of an array."""
    small = np.zeros((2, 4, 5), np.uint8)
    return {
        "its shape is": deflated(np.zeros((2, MANY // 10, 5), np.uint8)),
        "it is longer than its shape": deflated(small, bytes(MANY)),
        "it is not a .npy file": zlib.compress(b"\x93NUMPY\x01\x00\xff\xff" + bytes(MANY), 9),
    }


@pytest.mark.parametrize("said", ["its shape is", "it is longer", "it is not a .npy file"])
def test_bombs_are_not_unpacked(said, bombs, log_dir):
    (bomb,) = (content for name, content in bombs.items() if name.startswith(said))
    assert len(bomb) < 40_000
    arrays = {"thumbnails": b"", "maps": bomb}
    replaced(log_dir, tags.maps_tag("saliency"), arrays)
    peak, logs = peak_of(read_log, log_dir)
    assert peak < MANY / 2
    log = logs["saliency"]
    assert [one.step for one in log.reports] == [1, 2]
    (problem,) = log.problems
    assert problem.startswith("saliency, step 0: its array 'maps' cannot be read: it")
    assert said in problem


@pytest.mark.parametrize("name", ["pictures", "masks", "regions"])
def test_bombs_among_the_probes_are_not_unpacked(name, bombs, log_dir):
    _, blobs = read_blobs(log_dir)["saliency"][tags.PROBES][0]
    arrays = dict(zip(json.loads(blobs[0])["arrays"], blobs[1:], strict=True))
    replaced(log_dir, tags.PROBES, arrays | {name: bombs["its shape is"]})
    with pytest.raises(ValueError, match=f"saliency: its array '{name}' cannot be read: its shape"):
        assert peak_of(read_log, log_dir)[0] < MANY / 2


def test_other_arrays_are_not_unpacked(bombs, log_dir):
    arrays = dict.fromkeys(("thumbnails", "extra"), bombs["its shape is"])
    _, blobs = read_blobs(log_dir)["saliency"][tags.maps_tag("saliency")][0]
    replaced(log_dir, tags.maps_tag("saliency"), arrays | {"maps": blobs[2]})
    peak, logs = peak_of(read_log, log_dir)
    assert peak < MANY / 2
    assert logs["saliency"].problems == ()


def test_a_large_array_takes_a_small_multiple_of_its_size():
    """One byte for each code and four for each value."""
    codes = np.zeros((1, 3000, 3000), np.uint8)
    blobs = packed({}, {"maps": codes})
    peak, (_, arrays) = peak_of(unpacked, blobs)
    assert peak < 1.1 * codes.size + 2**20
    peak, _ = peak_of(values, arrays["maps"], limits=np.ones(1), signed=True)
    assert peak < 4.1 * codes.size + 2**20


def test_arrays_of_any_form_are_refused_before_they_are_read():
    header = packed({}, {"maps": None})[0]
    for text, said in [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", "its type or its layout"),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }", "its type or its layout"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,), }", "its type or its layout"),
        (
            "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999,), }",
            "it is larger than 1024",
        ),
        (f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({'9' * 800},), }}", "it is larger"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", "it is truncated"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }", "it is longer than its sh"),
    ]:
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"ab"
        with pytest.raises(BlobError, match=f"its array 'maps' cannot be read: {said}"):
            unpacked([header, zlib.compress(content)])


# ---------------------------------------------------------------- headers that are wrong


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"targets": [0]}, "its header has 1 numbers for 2 probes"),
        ({"targets": [0, 1.5]}, "expected whole numbers"),
        ({"targets": [0, 10**30]}, "its data has an unexpected form .OverflowError"),
        ({"scores": [0, 1, 2]}, "its header has 3 numbers for 2 probes"),
        ({"scores": [0, 1e300]}, "its header has numbers that are too large"),
        ({"confidences": ["1", 2]}, "expected a number, received '1'"),
        ({"metrics": {"gini": "high"}}, "expected a number, received 'high'"),
        ({"methods": {}}, "its data has an unexpected form"),
        ({"methods": {"saliency": {"signed": 0, "limits": [-1, 1]}}}, "or have a limit below 0"),
        ({"methods": {"none": {"signed": 0, "limits": [1, 1]}}}, "its maps of 'none' are missing"),
        ({"metrics": {"a": json.loads("[" * 60 + "]" * 60)}}, "nested more than 50 levels deep"),
        ({"metrics": {"a": "x" * 9999}}, "its data has an unexpected form .{300,400}$"),
    ],
)
def test_a_wrong_field_is_a_problem_of_its_step(fields, said, log_dir):
    replaced(log_dir, tags.REPORTS, {}, **fields)
    log = read_log(log_dir)["saliency"]
    assert [one.step for one in log.reports] == [1, 2]
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(*log.problems)


@pytest.mark.parametrize("depth", [51, 500, 900, 100_000])
@pytest.mark.parametrize("brackets", ["[]", ('{"a":', "}")])
def test_headers_are_not_nested_without_end(depth, brackets):
    """Whatever the depth of the program, and of what it does with them later."""
    first, last = brackets
    text = '{"format": 1, "x": %s1%s}' % (first * (depth - 1), last * (depth - 1))  # noqa: UP031
    with pytest.raises(BlobError, match=r"nested more than 50 levels|not valid JSON"):
        read_header(text.encode())
    assert read_header(b'{"format": 1, "x": %s1%s}' % (b"[" * 48, b"]" * 48))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"names": []}, "its header has no probes"),
        ({"names": [1, 2]}, "expected a text, received 1"),
        ({"names": ["a"]}, "its array 'pictures' cannot be read: its shape is"),
        ({"names": ["a", "b", "c"]}, "its array 'pictures' is uint8 .* instead of"),
        ({"shape": [4]}, "its array 'masks' cannot be read"),
        ({"shape": [4, 0]}, "its header has no probes, or maps without a size"),
        ({"shape": [4, 2.5]}, "expected whole numbers"),
        ({"targets": [1]}, "its header has 1 numbers for 2 probes"),
        ({"class_names": 7}, "its data has an unexpected form"),
        ({"groups": ["a"]}, "its header has 1 groups of 2 probes"),
        ({"regions": []}, "its array 'regions' cannot be read"),
        ({"configuration": {"a": 1}}, "expected a text, received 1"),
        ({"unit": None}, "expected a text, received None"),
    ],
)
def test_a_wrong_field_of_the_probes_is_named(fields, said, log_dir):
    _, blobs = read_blobs(log_dir)["saliency"][tags.PROBES][0]
    arrays = dict(zip(json.loads(blobs[0])["arrays"], blobs[1:], strict=True))
    replaced(log_dir, tags.PROBES, arrays, **fields)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=said):
        read_log(log_dir)
