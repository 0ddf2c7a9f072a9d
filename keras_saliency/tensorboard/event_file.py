"""`EventFile`: an event file to which one step is written at a time, and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from keras_saliency.log import files
from keras_saliency.log.files import Location
from keras_saliency.log.records import num_records

Write = Callable[[], object]
"""Writes one event to TensorFlow's current default writer, at its current step."""

_QUEUE: Mapping[str, int] = {"max_queue": 2**30, "flush_millis": 2_000_000}
"""TensorFlow's writer is to write only when it is told to. (More milliseconds overflow.)"""


class RemovedError(OSError):
    """The file that was written to has been removed."""


class EventFile:
    """A new event file.

    Args:
        directory: Of the run; is created.

    Raises:
        OSError: It cannot be created.
    """

    def __init__(self, directory: Location) -> None:
        before = {path for _, path in files.event_files(directory)}
        self.is_first = not before
        try:
            self._writer = tf.summary.create_file_writer(str(directory), **_QUEUE)
        except tf.errors.OpError as error:
            raise OSError(message(error)) from error
        made = [path for _, path in files.event_files(directory) if path not in before]
        if not made:
            raise RemovedError(f"{directory} was removed")
        self._path = made[0]
        self._position = files.size(self._path)
        self._identity = self._identified()

    def write(self, step: int, writes: Sequence[Write]) -> None:
        """Writes the events of one step with one flush: they are there as a whole, or not.

        TensorFlow's writer drops some errors: it writes to a file that was removed, and loses what
        is written while the disk is full. So the file is looked at afterwards.

        Raises:
            RemovedError: The file has been removed.
            OSError: The events cannot be written.
        """
        self._check()
        try:
            # Another callback may have disabled recording; this one always records.
            with self._writer.as_default(step=step), tf.summary.record_if(True):
                for write in writes:
                    write()
                self._writer.flush()
        except tf.errors.OpError as error:
            raise OSError(message(error)) from error
        self._check()
        count, self._position = num_records(self._path, self._position)
        if count < len(writes):
            raise OSError(f"{self._path} has only {count} of {len(writes)} new records")

    def close(self) -> None:
        """Closes the file."""
        try:
            self._writer.close()
        except tf.errors.OpError as error:
            raise OSError(message(error)) from error
        self._check()

    def _check(self) -> None:
        """Checks that the file is still there, with all that was written.

        Raises:
            RemovedError: It is not.
        """
        if not files.exists(self._path):
            raise RemovedError(f"{self._path} was removed")
        if self._identified() != self._identity or files.size(self._path) < self._position:
            raise RemovedError(f"{self._path} was replaced or cut")

    def _identified(self) -> tuple[int, int] | None:
        """The device and the number of a local file."""
        if not isinstance(self._path, Path):
            return None
        status = self._path.stat()
        return status.st_dev, status.st_ino


def message(error: tf.errors.OpError) -> str:
    """What a TensorFlow error says, without the operation that raised it."""
    return re.sub(r"^{{.*?}} | \[Op:.*", "", " ".join(error.message.split()))
