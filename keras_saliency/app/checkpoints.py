"""Checkpoints of a training: which files they are, of which epochs, and what is in them."""

from __future__ import annotations

import logging
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from keras_saliency.app.images import first_line
from keras_saliency.app.model_files import check_file, read_model
from keras_saliency.data.checks import plain_int
from keras_saliency.engine.checkpoints import restore

_KINDS = r"(\.weights)?\.h5|\.keras|\.index"

EXPECTED = ".keras, .weights.h5 or .h5 files, or TensorFlow checkpoints (.index)"

_ORBAX = ("orbax.checkpoint", "pytree.orbax-checkpoint", "checkpoint_metadata", "pytree")


class Checkpoint(NamedTuple):
    """The weights after one epoch.

    Attributes:
        path: The file; of a TensorFlow checkpoint, the one that ends in `.index`.
        step: The 0-based epoch; -1 is the state before training.
    """

    path: Path
    step: int


def number_of(name: str) -> int | None:
    """The number of the epoch in the name of a checkpoint.

    It is the number after the word `epoch`, or else the last whole number; `None` if there is none.

    Example:
        >>> names = ["03.keras", "resnet50_epoch_03.h5", "model.03-0.25.weights.h5", "ckpt-3.index"]
        >>> [number_of(name) for name in names], number_of("best.keras")
        ([3, 3, 3, 3], None)
    """
    stem = re.sub(f"({_KINDS})$", "", name)
    named = re.search(r"epoch[^a-z0-9]?(\d+)", stem, re.IGNORECASE)
    if named:
        return int(named[1])
    whole = re.findall(r"\d+", re.sub(r"\d+\.\d+(e-?\d+)?", "", stem))
    return int(whole[-1]) if whole else None


def find_checkpoints(places: Iterable[str | Path], *, first_epoch: int = 1) -> list[Checkpoint]:
    """The checkpoints at some places, in the order of their epochs.

    Args:
        places: Directories, files and patterns such as `ckpt/*.keras`. A file in a directory whose
            name has no number is left out. A place that does not exist has no checkpoints.
        first_epoch: The number of the first epoch in the names: 1 for `ModelCheckpoint`.

    Raises:
        TypeError: `first_epoch` is not an integer.
        ValueError: A file that is named is not a checkpoint, two are of one epoch, or one is of an
            epoch before the first; or a directory has Orbax checkpoints.
    """
    first_epoch = plain_int(first_epoch)
    if type(first_epoch) is not int:
        raise TypeError(f"first_epoch: expected an integer, received {first_epoch!r}.")
    found: dict[int, Path] = {}
    for path in _files(places):
        number = number_of(path.name)
        if number is None:
            continue
        step = number - first_epoch
        if step < -1:
            raise ValueError(
                f"first_epoch: expected {number} or {number + 1}, as the number of {path} says, "
                f"received {first_epoch}."
            )
        if step in found:
            raise ValueError(
                "checkpoints: expected one file for each epoch, received "
                f"{found[step]} and {path}, which both have the number {number}. Pass a pattern "
                "such as 'ckpt/*.keras', or write the number behind the word epoch: epoch_03.keras."
            )
        found[step] = path
    return [Checkpoint(found[step], step) for step in sorted(found)]


def without_number(places: Iterable[str | Path]) -> list[Path]:
    """The files at some places that `find_checkpoints` leaves out."""
    return [path for path in _files(places) if number_of(path.name) is None]


def is_complete(path: Path) -> bool:
    """Whether a checkpoint has been written to its end, as far as that can be seen."""
    try:
        if path.suffix == ".keras":
            return zipfile.is_zipfile(path)  # its table of contents is written last
        if path.suffix == ".h5":
            with h5py.File(path):
                return True
        return path.is_file()  # the index, which is written last
    except OSError:
        return False


def open_model(path: Path) -> Any:
    """The model that checkpoints are put into.

    Args:
        path: A `.keras` or `.h5` file, or a `.json` file with the result of `model.to_json()`.

    Raises:
        ValueError: The file has no model, is damaged, or its code would run.
    """
    if path.name.endswith((".weights.h5", ".index")):
        raise ValueError(
            f"model: expected the model of the weights in {path}, received None. Pass a .keras "
            "file, or a .json file with the result of model.to_json()."
        )
    return read_model(path)


def fill(model: Any, path: Path) -> None:
    """Gives a model the weights of a checkpoint. If that fails, it keeps those that it has.

    Raises:
        ValueError: The file is damaged, or is of another model.
    """
    before, messages = model.get_weights(), logging.getLogger("absl")
    level = messages.level
    try:
        check_file(path)
        messages.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer's variables are left out
            if path.suffix == ".index":
                restore(model, path.with_suffix(""))
            else:
                model.load_weights(path)
    except Exception as error:  # whatever zipfile, h5py, TensorFlow and Keras raise
        model.set_weights(before)
        reason = first_line(error) or type(error).__name__
        raise ValueError(f"checkpoints: {path} could not be loaded: {reason}") from error
    finally:
        messages.setLevel(level)


def _files(places: Iterable[str | Path]) -> list[Path]:
    """The files at some places that may be checkpoints, each once."""
    found: list[Path] = []
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            entries = sorted(path.iterdir())
            _refuse_orbax([path, *entries])
        elif path.is_file():
            if not _is_checkpoint(path):
                raise ValueError(f"checkpoints: expected {EXPECTED}, received {path}.")
            entries = [path]
        else:
            root = Path(path.anchor)
            entries = sorted(root.glob(str(path.relative_to(root))))
        found += [entry for entry in entries if _is_checkpoint(entry)]
    return list(dict.fromkeys(found))


def _is_checkpoint(path: Path) -> bool:
    return re.search(f"({_KINDS})$", path.name) is not None and path.is_file()


def _refuse_orbax(directories: Iterable[Path]) -> None:
    for directory in directories:
        if directory.is_dir() and any((directory / name).exists() for name in _ORBAX):
            raise ValueError(
                f"checkpoints: {directory} is an Orbax checkpoint, which needs JAX to be read. "
                f"Convert it where you have JAX: model.load_weights('{directory}'), then "
                "model.save_weights('03.weights.h5'), with the number of its epoch."
            )
