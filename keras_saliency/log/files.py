"""Files of a log directory: local ones by `pathlib`, those behind a URL by TensorBoard's layer.

TensorBoard's layer is `tf.io.gfile`, and is imported when the first URL is used. Which file systems
there are depends on TensorFlow: `gs://` is built in, `s3://` and `hdfs://` come with tensorflow-io.

A `Location` is a `Path` for a local directory or file, and a string for a URL. What a file system
cannot do raises `OSError`.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from tensorboard.compat import tf

Location = Path | str

EVENT_FILE = "tfevents"
"""A part of the name of each event file."""

MOST_VISITS = 50
"""How often a directory is listed if links lead to it."""

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+:/"


def location(path: str | Path) -> Location:
    """Where a path or a URL is; `~` is the home directory.

    Raises:
        ValueError: It is a URL with one slash; a `Path` that was made of a URL has lost the other.

    Example:
        >>> location("gs://bucket/logs/"), str(location("logs/run"))
        ('gs://bucket/logs', 'logs/run')
    """
    text = str(path)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    if re.match(f"{_SCHEME}/", text):
        scheme, _, rest = text.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    local = Path(path).expanduser()
    if re.match(_SCHEME, text) and not local.parents[-2].exists():
        raise ValueError(
            f"log_dir: expected a directory, or a URL as a string, received {path!r}. A URL has "
            "two slashes, of which a Path keeps one: pass the string."
        )
    return local


def scheme(where: Location) -> str:
    """The scheme of a URL; empty for a local path.

    Example:
        >>> scheme("gs://bucket/logs"), scheme(Path("logs"))
        ('gs', '')
    """
    return where.partition("://")[0] if isinstance(where, str) else ""


def join(where: Location, name: str) -> Location:
    """What is at this name, which may have slashes, below a directory.

    Example:
        >>> join("gs://bucket", "a/b"), join("ram://", "a")
        ('gs://bucket/a/b', 'ram://a')
    """
    if isinstance(where, Path):
        return where / name
    return f"{where}{'' if where.endswith('/') else '/'}{name}"


def base_name(where: Location) -> str:
    """The last part of a path or a URL.

    Example:
        >>> base_name("gs://bucket/logs"), base_name("gs://bucket"), base_name(Path("a/../b"))
        ('logs', 'bucket', 'b')
    """
    return where.rpartition("/")[2] if isinstance(where, str) else where.resolve().name


def is_dir(where: Location) -> bool:
    """Whether there is a directory.

    Raises:
        OSError: A file system that does not exist, or does not answer.
    """
    if isinstance(where, Path):
        return where.is_dir()
    with os_errors(where):
        if tf.io.gfile.isdir(where):  # `False` also for each error
            return True
        with suppress(tf.errors.NotFoundError):
            tf.io.gfile.stat(where)
        return False


def exists(where: Location) -> bool:
    """Whether there is anything."""
    if isinstance(where, Path):
        return where.exists()
    with os_errors(where):
        return bool(tf.io.gfile.exists(where))


def event_files(where: Location) -> list[tuple[str, Location]]:
    """The event files below a directory, each with the directory it is in, relative to `where`.

    Links are followed, as in TensorBoard, but not back to a directory that they are in. What is
    not a file, such as a directory or a pipe, is left out.

    Returns:
        In the order of their directories and names; `"."` is the directory itself.
    """
    if isinstance(where, Path):
        return sorted(
            (run, entry)
            for run, folder in _folders(where)
            for entry in folder.iterdir()
            if EVENT_FILE in entry.name and entry.is_file()
        )
    files = []
    with os_errors(where):
        for folder, _, names in tf.io.gfile.walk(where, onerror=_fail):
            run = folder[len(where) :].strip("/") or "."
            start = folder if folder.endswith("://") else folder.rstrip("/")
            files += [(run, join(start, name)) for name in names if EVENT_FILE in name]
    return sorted(files)


def _fail(error: Exception) -> NoReturn:
    raise error


def _folders(root: Path) -> Iterator[tuple[str, Path]]:
    """A directory and all below it, with their paths from `root`."""
    visits: Counter[tuple[int, int]] = Counter()
    waiting: deque[tuple[str, Path, frozenset[tuple[int, int]]]] = deque([(".", root, frozenset())])
    while waiting:  # the shortest paths first
        name, folder, above = waiting.popleft()
        status = folder.stat()
        identity = status.st_dev, status.st_ino
        visits[identity] += 1
        if identity in above or visits[identity] > MOST_VISITS:
            continue
        if name != "." and not os.access(folder, os.R_OK | os.X_OK):
            continue  # as in TensorBoard
        yield name, folder
        start = "" if name == "." else f"{name}/"
        waiting += [
            (start + entry.name, entry, above | {identity})
            for entry in folder.iterdir()
            if entry.is_dir()
        ]


def size(where: Location) -> int:
    """The number of bytes in a file."""
    if isinstance(where, Path):
        return where.stat().st_size
    with os_errors(where):
        return int(tf.io.gfile.stat(where).length)


def total_size(where: Location) -> int:
    """The number of bytes in all files below a directory.

    Raises:
        OSError: The directory does not exist or cannot be read.
    """
    names = [join(where, name) for name in file_names(where)]
    below = [join(where, name) for name in subdirectories(where)]
    return sum(map(size, names)) + sum(map(total_size, below))


@contextmanager
def open_binary(where: Location) -> Iterator[Any]:
    """Opens a file to read its bytes, as a context manager."""
    if isinstance(where, Path):
        with where.open("rb") as local:
            yield local
        return
    with os_errors(where), tf.io.gfile.GFile(where, "rb") as remote:
        yield remote


@contextmanager
def os_errors(where: Location) -> Iterator[None]:
    """Raises `OSError` in place of TensorFlow's errors about a file."""
    try:
        yield
    except tf.errors.OpError as error:
        message = error.message or type(error).__name__
        raise OSError(f"{where}: {message}") from error


def subdirectories(where: Location) -> list[str]:
    """The names of the directories in a directory, sorted; none if it does not exist."""
    if not is_dir(where):
        return []
    if isinstance(where, Path):
        return sorted(entry.name for entry in where.iterdir() if entry.is_dir())
    with os_errors(where):
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(where)]
    return sorted(name for name in names if is_dir(join(where, name)))


def file_names(where: Location) -> list[str]:
    """The names of the files in a directory, sorted."""
    if isinstance(where, Path):
        return sorted(entry.name for entry in where.iterdir() if entry.is_file())
    with os_errors(where):
        return sorted(name for name in tf.io.gfile.listdir(where) if not name.endswith("/"))


def modified(where: Location) -> float:
    """When a file was changed last, in seconds since 1970."""
    if isinstance(where, Path):
        return where.stat().st_mtime
    with os_errors(where):
        return float(tf.io.gfile.stat(where).mtime_nsec) / 1e9


def make_dir(where: Location) -> None:
    """Creates a directory and those above it; it may exist."""
    if isinstance(where, Path):
        where.mkdir(parents=True, exist_ok=True)
        return
    with os_errors(where):
        tf.io.gfile.makedirs(where)


def read(where: Location) -> bytes:
    """The content of a file."""
    with open_binary(where) as file:
        return bytes(file.read())


def write(where: Location, content: bytes) -> None:
    """Writes a file; a local one is replaced as a whole, or stays as it was."""
    if isinstance(where, Path):
        new = where.with_name(f"{where.name}.new")
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(where)
        return
    with os_errors(where), tf.io.gfile.GFile(where, "wb") as file:
        file.write(content)


def remove(where: Location) -> None:
    """Removes a file."""
    if isinstance(where, Path):
        where.unlink()
        return
    with os_errors(where):
        tf.io.gfile.remove(where)
