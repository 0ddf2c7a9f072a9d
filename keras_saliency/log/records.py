"""Reads the records of event files, also of damaged ones.

An event file is a sequence of frames: the length of a record (8 bytes), the checksum of the length
(4 bytes), the record, the checksum of the record (4 bytes). Damage costs the records that it is in:
reading goes on at the next frame whose length has the right checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

from keras_saliency.log.checksums import checksum, checksums
from keras_saliency.log.files import Location, open_binary, os_errors, size

LENGTH, HEAD, TAIL = 8, 12, 4
"""The number of bytes of a record's length, of all before the record, and of all after it."""

CHUNK = 2**18
"""The number of bytes that are searched for a frame at a time."""


class Loss(NamedTuple):
    """Stands in the place of a record, or of several in a row, that cannot be read.

    Attributes:
        at_end: Whether the file ends within the record: it is still being written, or was cut off.
            Otherwise the record is damaged.
    """

    at_end: bool


def records(where: Location) -> Iterator[bytes | Loss]:
    """Yields the records of an event file.

    Time and memory are at most a multiple of the file's size, whatever is in it.

    Raises:
        OSError: The file cannot be read.
    """
    end = size(where)
    with open_binary(where) as file:
        position = 0
        # TensorBoard's reader is fast. But it stops at the first damaged record, and a wrong length
        # ends the whole process.
        for content in _by_tensorboard(where, _frames(file, 0, end)[1]):
            position += HEAD + len(content) + TAIL
            yield content
        while position < end:
            length = _length(file, position, end)
            if length is not None and position + HEAD + length + TAIL <= end:
                position += HEAD + length + TAIL
                content, tail = file.read(length), file.read(TAIL)
                yield content if _number(tail) == checksum(content) else Loss(at_end=False)
            else:
                is_whole = length is None and position + HEAD <= end
                position = _next_frame(file, position + 1, end)
                yield Loss(at_end=position == end and not is_whole)


def num_records(where: Location, start: int) -> tuple[int, int]:
    """How many whole frames follow each other from a position on, and where the last one ends.

    Raises:
        OSError: The file cannot be read.
    """
    end = size(where)
    with open_binary(where) as file:
        return _frames(file, start, end)


def _by_tensorboard(where: Location, end: int) -> Iterator[bytes]:
    """The records up to the first damaged one, or up to a position in the file."""
    if end == 0:
        return
    position = 0
    with os_errors(where):
        for content in RawEventFileLoader(str(where)).Load():
            yield content
            position += HEAD + len(content) + TAIL
            if position >= end:
                return


def _frames(file: Any, start: int, end: int) -> tuple[int, int]:
    """How many frames follow each other, by their lengths, and where the last one ends."""
    count, position = 0, start
    while True:
        length = _length(file, position, end)
        if length is None or position + HEAD + length + TAIL > end:
            return count, position
        count, position = count + 1, position + HEAD + length + TAIL


def _length(file: Any, position: int, end: int) -> int | None:
    """The length of the record that begins at a position; `None` if no record begins there."""
    if position + HEAD > end:
        return None
    file.seek(position)
    head = file.read(HEAD)
    return _number(head[:LENGTH]) if _number(head[LENGTH:]) == checksum(head[:LENGTH]) else None


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


def _next_frame(file: Any, position: int, end: int) -> int:
    """Where the next frame is that has a record and fits into the file; `end` if there is none."""
    while position + HEAD + TAIL < end:
        file.seek(position)
        windows = sliding_window_view(np.frombuffer(file.read(CHUNK + HEAD), np.uint8), HEAD)
        lengths = np.ascontiguousarray(windows[:, :LENGTH]).view("<u8")[:, 0]
        starts = position + np.arange(len(windows))
        left = np.maximum(end - TAIL - HEAD - starts, 0).astype(np.uint64)
        (places,) = np.nonzero((lengths > 0) & (lengths <= left))
        given = np.ascontiguousarray(windows[places, LENGTH:]).view("<u4")[:, 0]
        right = places[checksums(windows[places, :LENGTH]) == given]
        if len(right):
            return position + int(right[0])
        position += len(windows)
    return end
