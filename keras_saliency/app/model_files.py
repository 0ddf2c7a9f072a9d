"""Saved models: checked as far as that is possible without loading them, then loaded.

A model file is a program. These checks keep damaged files and the oldest tricks out; they do not
make a file harmless.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import keras

from keras_saliency.app.images import first_line

MAX_INFLATION = 100
"""How many times larger than the file its content may be. Weights can hardly be compressed."""

SMALL = 2**26
"""The number of bytes of content that is always accepted."""


def read_model(path: Path) -> Any:
    """Loads a model saved as `.keras` or `.h5`, with its loss if that can be loaded.

    A `.json` file has the result of `model.to_json()`; the weights of that model are random.

    Raises:
        ValueError: The file is not a Keras model, is damaged, is larger inside than it may be, or
            is an `.h5` file with code.
    """
    try:
        if path.suffix == ".json":
            return _configured(json.loads(path.read_text("utf-8")))
        check_file(path)
        return _loaded(path)
    except Exception as error:  # whatever zipfile, h5py and Keras raise for a damaged file
        reason = first_line(error) or type(error).__name__
        if path.suffix == ".keras" and path.is_file() and not zipfile.is_zipfile(path):
            reason = "it is damaged: a .keras file is a zip archive, but this file is not."
        elif isinstance(error, zipfile.BadZipFile):
            reason = f"it is damaged: {reason}"
        raise ValueError(f"path: {path} could not be loaded: {reason}") from error


def check_file(path: Path) -> None:
    """Checks a file of a model or of weights.

    Raises:
        ValueError: It would take too much memory, or would run code.
    """
    if not path.is_file():
        return  # Keras says what is missing
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check_size(path, sum(member.file_size for member in archive.infolist()))
            for member in archive.infolist():
                if member.filename.endswith(".h5"):
                    with archive.open(member) as content, h5py.File(content) as weights:
                        _check_size(path, _num_bytes(weights))
    elif h5py.is_hdf5(path):
        with h5py.File(path) as file:
            _check_size(path, _num_bytes(file))
            config = json.loads(file.attrs.get("model_config", "{}"))
        if any(name in ("Lambda", "__lambda__") for name in _class_names(config)):
            raise ValueError(
                "it has a Lambda layer, whose code would run. Build the model in Python and call "
                "keras_saliency.saliency_maps, or save it with a layer of its own instead."
            )


def _check_size(path: Path, num_bytes: int) -> None:
    if num_bytes > max(SMALL, MAX_INFLATION * path.stat().st_size):
        raise ValueError(
            f"its content has {num_bytes >> 20} MB, more than {MAX_INFLATION} times the size of "
            "the file. Save the model with Keras again, if you trust it."
        )


def _num_bytes(file: h5py.File) -> int:
    """The size of all arrays in an HDF5 file, as they are declared."""
    sizes: list[int] = []

    def add(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            sizes.append(math.prod(map(int, item.shape)) * item.dtype.itemsize)

    file.visititems(add)
    return sum(sizes)


def _class_names(config: object) -> Iterator[object]:
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value.get("class_name")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _loaded(path: Path) -> Any:
    """A saved model, compiled if possible; otherwise with its loss alone, if that is possible."""
    messages = logging.getLogger("absl")  # Keras' remarks on optimizers and metrics
    level = messages.level
    try:
        messages.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(path)
    except Exception:  # whatever a custom loss, metric or optimizer raises
        model = keras.saving.load_model(path, compile=False)
    finally:
        messages.setLevel(level)
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # or an .h5 file
        _compile(model, json.loads(archive.read("config.json")))
    return model


def _configured(config: dict[str, Any]) -> Any:
    """A model of this configuration, with its loss if that is possible."""
    model = keras.saving.deserialize_keras_object(
        {name: value for name, value in config.items() if name != "compile_config"}
    )
    _compile(model, config)
    return model


def _compile(model: Any, config: dict[str, Any]) -> None:
    """Compiles a model with the loss in its configuration, if that can be loaded."""
    with suppress(Exception):  # a custom loss; a model that was not compiled
        loss = config["compile_config"]["loss"]
        model.compile(loss=keras.saving.deserialize_keras_object(loss))
