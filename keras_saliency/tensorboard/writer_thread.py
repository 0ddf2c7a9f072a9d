"""`WriterThread`: writes behind the training, one report at a time."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress


class WriterThread:
    """Does one task at a time in another thread.

    A task that is handed over waits until the one before it has ended: none is dropped, and no more
    than one is kept in memory. What a task raises, and what it warns of by `warn`, the next call
    raises and warns of. The interpreter ends after the task; if there was no next call, it then
    warns. A forked process does not have the task: its parent does it.

    Example:
        >>> writer, written = WriterThread(), []
        >>> for number in range(3):
        ...     writer.run(lambda number=number: written.append(number))
        >>> writer.wait()
        >>> written
        [0, 1, 2]
    """

    def __init__(self) -> None:
        self._task: _Task | None = None
        # One thread for all tasks: memory that several threads have freed is not used again.
        self._pool: ThreadPoolExecutor | None = None

    def run(self, task: Callable[[], object]) -> None:
        """Hands a task over, after the one before it.

        Raises:
            Exception: What the task before it raised; this one is then not done.
        """
        self.wait()
        self._task = _Task(task)
        _BUSY.add(self)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="saliency writer")
        with suppress(RuntimeError):  # without another thread, the next call does it
            self._pool.submit(self._task.do)

    def wait(self) -> None:
        """Waits until the task has ended, and warns of what it warned of.

        Raises:
            Exception: What the task raised.
        """
        task = self._task
        if task is None:
            return
        task.do()  # if Ctrl-C ends this, the next call goes on
        self._task = None
        _BUSY.discard(self)
        for message in task.messages:
            warnings.warn(message, stacklevel=3)
        if task.error is not None:
            raise task.error

    def end(self) -> None:
        """Waits for a task after which there was no call; warns also of what it raised."""
        try:
            self.wait()
        except Exception as error:
            warnings.warn(
                f"saliency: the last report could not be written: {error!r}", stacklevel=2
            )

    def help(self) -> None:
        """Waits until the task has ended, and leaves what came of it to the next call."""
        task = self._task
        if task is not None:
            task.do()

    def forget(self) -> None:
        """Drops the task, which the parent of this process does, and the thread."""
        self._task = self._pool = None


class _Task:
    """A function that is called once, by the thread that comes first.

    Attributes:
        owner: The thread that handed it over.
        messages: What it warned of.
        error: What it raised.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self.owner = threading.get_ident()
        self.messages: list[str] = []
        self.error: Exception | None = None
        self._function: Callable[[], object] | None = function
        self._lock = threading.Lock()

    def do(self) -> None:
        """Calls the function, or waits until another thread has called it."""
        with self._lock:
            function, self._function = self._function, None
            if function is None:
                return
            _CURRENT.task = self
            try:
                function()
            except Exception as error:
                self.error = error
            finally:
                _CURRENT.task = None


class _Current(threading.local):
    task: _Task | None = None


_CURRENT = _Current()
"""The task that a thread does."""

_BUSY: set[WriterThread] = set()
"""Those with a task that nobody has waited for."""


def warn(message: str) -> None:
    """Warns; in a task, has the thread that handed it over warn."""
    task = _CURRENT.task
    if task is None:
        warnings.warn(message, stacklevel=3)
    else:
        task.messages.append(message)


def owner() -> int:
    """The current thread; in a task, the one that handed it over."""
    task = _CURRENT.task
    return threading.get_ident() if task is None else task.owner


def wait_for_writers() -> None:
    """Waits until all that was handed over in this process is written, or could not be."""
    for writer in [*_BUSY]:
        writer.help()


@atexit.register
def _end() -> None:
    for writer in [*_BUSY]:
        writer.end()


def _forget() -> None:
    """In a forked process."""
    for writer in _BUSY:
        writer.forget()
    _BUSY.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
