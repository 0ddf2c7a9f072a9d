"""Runs: the directories below the log directory, of which each training has its own.

Two trainings never write to one run. On a local disk, a run is taken by creating its directory,
and is locked until its training ends, however it ends; a resumed training continues a run that is
not locked. Network file systems without locks still create a directory only once. An object store
has neither: there, a file in the run says that it is taken, and whoever finds the file of another
training goes to the next name. It cannot tell whether a run that is to be *continued* is still
being written.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import tensorflow as tf

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from keras_saliency.log import files, tags
from keras_saliency.log.files import Location
from keras_saliency.log.reader import events
from keras_saliency.tensorboard.writer_thread import owner

CLAIM = "claimed-by-"
"""How the file begins that says, in an object store, that a run is taken."""


@dataclass(frozen=True)
class Contents:
    """What the event files of a run hold.

    Attributes:
        last_step: The largest step; `None` if there are no events.
        steps: All steps.
        tags: What was written of that step.
        findings: The blobs of the findings of that step, if there are any.
        configuration: The configuration, as text; empty if there is none.
    """

    last_step: int | None = None
    steps: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()
    findings: tuple[bytes, ...] = field(default=(), repr=False)
    configuration: str = ""


@dataclass
class Run:
    """A run that is taken.

    Attributes:
        name: Of its directory, below the log directory.
        contents: What was in it.
    """

    name: str
    contents: Contents
    _lock: _Lock | None = None

    def release(self) -> None:
        """Lets other trainings continue this run."""
        if self._lock is not None:
            self._lock.release()


def read_contents(directory: Location) -> Contents:
    """Reads the event files of a run."""
    last, text = None, ""
    steps: set[int] = set()
    found: set[str] = set()
    findings: tuple[bytes, ...] = ()
    for path in _event_files(directory):
        for event in events(path):
            for value in event.summary.value:
                if last is None or event.step > last:
                    last, found, findings = event.step, set(), ()
                steps.add(event.step)
                if event.step == last:
                    found.add(value.tag)
                    if value.tag == tags.FINDINGS:
                        findings = tuple(value.tensor.string_val)
                if value.tag == tags.CONFIGURATION and value.tensor.string_val:
                    text = value.tensor.string_val[0].decode(errors="replace")
    return Contents(last, frozenset(steps), frozenset(found), findings, text)


def new_run(log_dir: Location, first: str) -> Run:
    """Takes the first name that no training has taken: `first`, `first_2`, `first_3`, ...

    Raises:
        OSError: The directory cannot be created.
    """
    number, name = 1, first
    while True:
        directory = files.join(log_dir, name)
        if isinstance(directory, str):
            run = _take_remote(directory, name)
        else:
            run = _take_local(directory, name)
        if run is not None:
            return run
        number += 1
        name = f"{first}_{number}"


def continued_run(
    log_dir: Location, names: Sequence[str], fits: Callable[[str, Contents], bool]
) -> Run | None:
    """Takes the first of these runs that fits and that no training is writing."""
    for name in names:
        directory = files.join(log_dir, name)
        if not files.is_dir(directory):
            continue
        try:
            contents = read_contents(directory)
            if not fits(name, contents):
                continue
            lock = _Lock.of(directory) if isinstance(directory, Path) else None
        except OSError:
            continue  # it is not for us
        if lock is None or lock.is_held:
            return Run(name, contents, lock)
        print(
            f"saliency: the run {name} is being written by another training, so this one gets a "
            "run of its own",
            flush=True,
        )
    return None


def runs_of(log_dir: Location, first: str) -> list[str]:
    """The runs `first`, `first_2`, ... in a log directory, the one written last first."""
    times: dict[str, float] = {}
    for name in files.subdirectories(log_dir):
        if re.fullmatch(rf"{re.escape(first)}(_\d+)?", name):
            with suppress(OSError):  # it may be somebody else's
                written = [files.modified(path) for path in _event_files(files.join(log_dir, name))]
                times |= {name: max(written)} if written else {}
    # Some file systems know no times: there, the one with the highest number is the last one.
    return sorted(times, key=lambda name: (-times[name], -_number(name)))


def _number(name: str) -> int:
    """The number at the end of a run's name: 2 for `saliency_2`, 1 for `saliency`."""
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 1


def _event_files(directory: Location) -> list[Location]:
    if not files.is_dir(directory):
        return []
    return [path for folder, path in files.event_files(directory) if folder == "."]


def _take_local(directory: Path, name: str) -> Run | None:
    """Takes a local directory for a new run; `None` if it is taken already."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir()
        is_new = True
    except FileExistsError:
        is_new = False
    try:
        if not is_new and (not directory.is_dir() or _event_files(directory)):
            return None
        lock = _Lock.of(directory)
    except PermissionError:
        return None  # it is somebody else's
    if lock is None:  # without locks, an empty directory may be that of a training that just began
        return Run(name, Contents()) if is_new else None
    if lock.is_held and _event_files(directory):  # written by a training that has ended meanwhile
        lock.release()
    return Run(name, Contents(), lock) if lock.is_held else None


def _take_remote(directory: str, name: str) -> Run | None:
    """Takes a directory of an object store for a new run; `None` if it is taken already."""
    gfile = tf.io.gfile
    try:
        if gfile.isdir(directory) and gfile.listdir(f"{directory}/"):
            return None
        gfile.makedirs(directory)
        claim = f"{CLAIM}{uuid.uuid4().hex}"
        with gfile.GFile(f"{directory}/{claim}", "w") as file:
            file.write("A training of keras_saliency writes to this run.\n")
        # Of two trainings that are here at the same time, each may find the other's file: both go.
        if [other for other in gfile.listdir(f"{directory}/") if other.rstrip("/") != claim]:
            gfile.remove(f"{directory}/{claim}")
            return None
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
    return Run(name, Contents())


_LOCKS: dict[str, _Lock] = {}
"""The locks that this process has, by directory."""


def _close_inherited() -> None:
    """In a forked process, which must not keep the locks of its parent."""
    for lock in _LOCKS.values():
        os.close(lock.descriptor)
    _LOCKS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


class _Lock:
    """A lock on a directory, which ends with the process at the latest.

    It belongs to the thread that trains. Another sink of the same thread is of a training that has
    ended without closing it, such as one that raised: its lock is taken over.
    """

    def __init__(self, key: str, descriptor: int) -> None:
        self._key, self.descriptor = key, descriptor
        self._owner = owner()

    @property
    def is_held(self) -> bool:
        """Whether this is the one that has the directory."""
        return self.descriptor >= 0

    @classmethod
    def of(cls, directory: Path) -> _Lock | None:
        """Tries to lock a directory; `None` where directories cannot be locked."""
        if fcntl is None:
            return None
        key = str(directory.resolve())
        earlier = _LOCKS.get(key)
        if earlier is not None and earlier._owner == owner():
            earlier.release()
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return cls(key, -1)
        except OSError:  # a network file system
            os.close(descriptor)
            return None
        _LOCKS[key] = lock = cls(key, descriptor)
        return lock

    def release(self) -> None:
        """Unlocks the directory, if it was locked."""
        if not self.is_held:
            return
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # a forked process may have it open, too
        os.close(self.descriptor)
        self.descriptor = -1
        if _LOCKS.get(self._key) is self:
            del _LOCKS[self._key]
