"""Files of a log directory: local ones by `pathlib`, those behind a URL by TensorBoard's layer.

TensorBoard's layer is `tf.io.gfile`, and is imported when the first URL is used. Which file systems
there are depends on TensorFlow: `gs://` is built in, `s3://` and `hdfs://` come with tensorflow-io.

A `Location` is a `Path` for a local directory or file, and a string for a URL. What a file system
cannot do raises `OSError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard.compat import tf

Location = Path | str

EVENT_FILE = "tfevents"
"""A part of the name of each event file."""


def location(path: str | Path) -> Location:
    """Where a path or a URL is; `~` is the home directory.

    Example:
        >>> location("gs://bucket/logs/"), str(location("logs/run"))
        ('gs://bucket/logs', 'logs/run')
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(path)):
        return str(path).rstrip("/")
    return Path(path).expanduser()


def scheme(where: Location) -> str:
    """The scheme of a URL; empty for a local path.

    Example:
        >>> scheme("gs://bucket/logs"), scheme(Path("logs"))
        ('gs', '')
    """
    return where.partition("://")[0] if isinstance(where, str) else ""


def join(where: Location, name: str) -> Location:
    """What is at this name, which may have slashes, below a directory."""
    return f"{where}/{name}" if isinstance(where, str) else where / name


def exists(where: Location) -> bool:
    """Whether there is a file or a directory."""
    if isinstance(where, Path):
        return where.exists()
    with _os_errors():
        return bool(tf.io.gfile.exists(where))


def is_dir(where: Location) -> bool:
    """Whether there is a directory."""
    if isinstance(where, Path):
        return where.is_dir()
    with _os_errors():
        return bool(tf.io.gfile.isdir(where))


def event_files(where: Location) -> list[tuple[str, Location]]:
    """The event files below a directory, each with the directory it is in, relative to `where`.

    Links to directories are followed, as in TensorBoard; what is not a file is left out.

    Returns:
        In the order of their directories and names; `"."` is the directory itself.
    """
    files: list[tuple[str, Location]] = []
    if isinstance(where, Path):
        for folder in _folders(where):
            names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
            run = folder.relative_to(where).as_posix()
            files += [(run, folder / name) for name in names if EVENT_FILE in name]
        return sorted(files)
    with _os_errors():
        for folder, _, names in tf.io.gfile.walk(where):
            run = folder[len(where) :].strip("/") or "."
            files += [(run, join(folder.rstrip("/"), n)) for n in names if EVENT_FILE in n]
    return sorted(files)


def _folders(root: Path) -> Iterator[Path]:
    """A directory and all below it; one that is linked to from several places comes once."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, _ in os.walk(root, followlinks=True):
        identity = Path(folder).stat()
        if (identity.st_dev, identity.st_ino) in seen:
            subfolders.clear()  # it was walked, or it is a link to a directory above it
            continue
        seen.add((identity.st_dev, identity.st_ino))
        subfolders.sort()
        yield Path(folder)


def subdirectories(where: Location) -> list[str]:
    """The names of the directories in a directory, sorted; none if it does not exist."""
    if not is_dir(where):
        return []
    if isinstance(where, Path):
        return sorted(entry.name for entry in os.scandir(where) if entry.is_dir())
    with _os_errors():
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(where)]
    return sorted(name for name in names if is_dir(join(where, name)))


def modified(where: Location) -> float:
    """When a file was changed last, in seconds since 1970."""
    if isinstance(where, Path):
        return where.stat().st_mtime
    with _os_errors():
        return float(tf.io.gfile.stat(where).mtime_nsec) / 1e9


def size(where: Location) -> int:
    """The number of bytes in a file."""
    if isinstance(where, Path):
        return where.stat().st_size
    with _os_errors():
        return int(tf.io.gfile.stat(where).length)


def open_binary(where: Location) -> Any:
    """Opens a file to read its bytes."""
    if isinstance(where, Path):
        return where.open("rb")
    with _os_errors():
        return tf.io.gfile.GFile(where, "rb")


@contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def names(where: Location) -> list[str]:
    """The names of the files in a directory, sorted."""
    if isinstance(where, Path):
        return sorted(entry.name for entry in os.scandir(where) if entry.is_file())
    with _os_errors():
        return sorted(name for name in tf.io.gfile.listdir(where) if not name.endswith("/"))


def make_dir(where: Location) -> None:
    """Creates a directory and those above it; it may exist."""
    if isinstance(where, Path):
        where.mkdir(parents=True, exist_ok=True)
        return
    with _os_errors():
        tf.io.gfile.makedirs(where)


def read(where: Location) -> bytes:
    """The content of a file."""
    with open_binary(where) as file, _os_errors():
        return bytes(file.read())


def write(where: Location, content: bytes) -> None:
    """Writes a file; a local one is replaced as a whole, or stays as it was."""
    if isinstance(where, Path):
        new = where.with_name(f"{where.name}.new")
        new.write_bytes(content)
        new.replace(where)
        return
    with _os_errors(), tf.io.gfile.GFile(where, "wb") as file:
        file.write(content)


def remove(where: Location) -> None:
    """Removes a file."""
    if isinstance(where, Path):
        where.unlink()
        return
    with _os_errors():
        tf.io.gfile.remove(where)
