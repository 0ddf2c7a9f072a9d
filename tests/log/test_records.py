"""Damaged event files: what is lost, and that no more is."""

import os
import struct
import time
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from keras_saliency.log import records as module
from keras_saliency.log.checksums import checksum, checksums
from keras_saliency.log.records import Loss, records

DAMAGED, CUT = Loss(at_end=False), Loss(at_end=True)
CONTENTS = [bytes([65 + place]) * size for place, size in enumerate([1, 20, 300, 4000, 50, 7])]


def head(length):
    return struct.pack("<Q", length) + struct.pack("<I", masked_crc32c(struct.pack("<Q", length)))


def frame(content):
    return head(len(content)) + content + struct.pack("<I", masked_crc32c(content))


FRAMES = list(map(frame, CONTENTS))
STARTS = np.cumsum([0, *map(len, FRAMES)]).tolist()


@pytest.fixture
def read(tmp_path):
    """The records of a file with some bytes."""

    def found(content):
        path = tmp_path / "tfevents"
        path.write_bytes(content)
        return [*records(path)]

    return found


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 4095, 4096, 4097, 8191, 8192, 100_001])
def test_checksums_are_those_of_tensorboard(size):
    content = np.random.default_rng(size).bytes(size)
    assert checksum(content) == masked_crc32c(content)


def test_checksums_of_rows_are_those_of_each():
    rows = np.random.default_rng(0).integers(0, 256, (50, 8), dtype=np.uint8)
    assert checksums(rows).tolist() == [masked_crc32c(row.tobytes()) for row in rows]
    assert checksums(rows[:0]).tolist() == []


def test_the_frames_are_those_that_tensorflow_writes(tmp_path, read):
    path = tmp_path / "written"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in CONTENTS:
            writer.write(content)
    assert path.read_bytes() == b"".join(FRAMES)
    assert [*records(path)] == CONTENTS


def test_an_empty_file_has_no_records(read):
    assert read(b"") == []


@pytest.mark.parametrize("damaged", range(6))
@pytest.mark.parametrize("part", ["length", "its checksum", "record", "checksum"])
def test_damage_costs_the_record_that_it_is_in(part, damaged, read):
    size = len(CONTENTS[damaged])
    place = {"length": 0, "its checksum": 9, "record": 12, "checksum": 12 + size}[part]
    found = read(flipped(b"".join(FRAMES), STARTS[damaged] + place))
    assert found == [*CONTENTS[:damaged], DAMAGED, *CONTENTS[damaged + 1 :]]


def test_several_damaged_records(read):
    content = b"".join(FRAMES)
    for place in (STARTS[0] + 12, STARTS[2] + 3, STARTS[3] + 3, STARTS[5] + 1):
        content = flipped(content, place)
    found = read(content)
    # Two lengths in a row are wrong: nothing says how many records were there.
    assert found == [DAMAGED, CONTENTS[1], DAMAGED, CONTENTS[4], DAMAGED]


def test_bytes_that_are_missing_or_too_many(read):
    content = b"".join(FRAMES)
    middle = STARTS[3] + 1000
    assert (
        read(content[:middle] + content[middle + 9 :])
        == [
            *CONTENTS[:3],
            DAMAGED,
            DAMAGED,  # the start of the next frame is taken for the end of this record
            *CONTENTS[5:],
        ]
    )
    for junk in (b"\0" * 99, os.urandom(99), b"x"):
        found = read(b"".join(FRAMES[:2]) + junk + b"".join(FRAMES[2:]))
        assert found == [*CONTENTS[:2], DAMAGED, *CONTENTS[2:]]
        assert read(content + junk)[:6] == CONTENTS


@pytest.mark.parametrize("left", [1, 11, 12, 13, 15, 61])
def test_a_file_that_ends_within_a_record_is_cut_not_damaged(left, read):
    """As it is while the record is written."""
    assert read(b"".join(FRAMES[:4]) + FRAMES[4][:left]) == [*CONTENTS[:4], CUT]


def test_a_length_beyond_the_end_is_damage_if_frames_follow(read):
    found = read(FRAMES[0] + head(2**20) + b"".join(FRAMES[1:]))
    assert found == [CONTENTS[0], DAMAGED, *CONTENTS[1:]]


@pytest.mark.parametrize("length", [2**33, 2**45, 2**64 - 1])
def test_a_huge_length_takes_no_memory(length, read):
    """TensorFlow's reader ends the process."""
    tracemalloc.start()
    assert read(FRAMES[0] + head(length) + b"x" * 99) == [CONTENTS[0], CUT]
    assert read(head(length)) == [CUT]
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_frames_are_found_across_chunks(read, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 16)
    for junk in range(1, 60):
        content = b"\1" * junk + b"".join(FRAMES[1:])
        assert read(content) == [DAMAGED, *CONTENTS[1:]]


@pytest.mark.parametrize("junk", [b"\0", b"\1\0\0\0\0\0\0\0", b"\xff", None], ids=str)
def test_megabytes_of_junk_end_soon(junk, read):
    size = 3_000_000
    content = np.random.default_rng(0).bytes(size) if junk is None else junk * (size // len(junk))
    start = time.monotonic()
    assert read(FRAMES[1] + content + FRAMES[2]) == [CONTENTS[1], DAMAGED, CONTENTS[2]]
    assert time.monotonic() - start < 5


def test_records_behind_a_url(tmp_path):
    tf.io.gfile.makedirs("ram://records")
    with tf.io.gfile.GFile("ram://records/tfevents", "wb") as file:
        file.write(flipped(b"".join(FRAMES), STARTS[3]))
    assert [*records("ram://records/tfevents")] == [*CONTENTS[:3], DAMAGED, *CONTENTS[4:]]
    with pytest.raises(OSError, match="ram://records/none"):
        next(records("ram://records/none"))
    with pytest.raises(OSError, match="none"):
        next(records(tmp_path / "none"))
