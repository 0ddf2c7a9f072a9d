"""Probes as a file: one `.npz` that NumPy can read, without pickle.

Each array is a member of its own, `images`, `targets`, ..., also `regions_0` and `held_0`, in the
order of the names in the header; those of further inputs that are explained are `input_0_images`,
... The member `header` is JSON: the format, the other fields, and a
hash of all that the file holds.

Members are not compressed, so that what is read is never larger than the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.data.inputs import AssumedKind
from keras_saliency.data.reports import Array

FORMAT = 2
"""The version of the format."""

READABLE = (1, FORMAT)
"""The versions that can be read; others are refused. Format 1 does not say which kinds were
assumed: all of them count as given."""

ARRAYS = ("images", "targets", "masks", "boxes", "groups", "indices")
"""The fields that are one array."""

NAMED = ("regions", "held")
"""The fields that are arrays by name."""

OTHERS = "other_inputs"
"""The field that is fields by name."""

ASSUMED = "kind_is_assumed"
"""Whether the kind of input is an `AssumedKind`, which the first layers of a model correct."""

MAX_HEADER = 2**26
"""The largest header, in bytes."""

_ONE_DATE = (1980, 1, 1, 0, 0, 0)


def write_probes(path: Path, fields: Mapping[str, Any]) -> None:
    """Writes the fields of probes. The file is replaced as a whole, or stays as it was.

    Args:
        path: The `.npz` file.
        fields: The arguments of `ProbeSet`: arrays, dicts of arrays, values that JSON can hold,
            and, for other inputs, dicts of such fields.

    Raises:
        ValueError: The name of the file does not end in `.npz`.
        OSError: The file cannot be written.
    """
    if path.suffix != ".npz":
        raise ValueError(f"path: expected the name of a .npz file, received {path}.")
    arrays, content = _taken_apart(fields)
    content["dtypes"] = {name: array.dtype.name for name, array in arrays.items()}
    members = {name: _encoded(array) for name, array in arrays.items()}
    header = {"format": FORMAT, "hash": _hash(content, members), "content": content}
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    new = path.with_name(f"{path.name}.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"header": _encoded(text), **members}.items():
            # One date for all: equal probes are equal files.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _ONE_DATE), data)
    new.replace(path)


def read_probes(path: Path) -> dict[str, Any]:
    """Reads what `write_probes` wrote.

    Returns:
        The arguments of `ProbeSet`. They are as they were written, but need its checks, since
        whoever made the file can have written anything.

    Raises:
        ValueError: The file does not hold probes, is damaged, or has another format.
        OSError: It cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except OSError:
        raise
    except Exception as error:  # whatever zipfile, NumPy and json raise for a damaged file
        reason = f"{error}" or type(error).__name__
        raise ValueError(
            f"path: expected probes, as ProbeSet.save writes them, received {path}: {reason}"
        ) from error


def _read(archive: zipfile.ZipFile, file_size: int) -> dict[str, Any]:
    members = {member.filename: member for member in archive.infolist()}
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise ValueError("a part of it is compressed.")
    if sum(member.file_size for member in members.values()) > file_size:
        raise ValueError("its parts are larger than the file.")
    if "header.npy" not in members:
        raise ValueError("it has no header.")
    if members["header.npy"].file_size > MAX_HEADER:
        raise ValueError(f"its header has more than {MAX_HEADER >> 20} MB.")
    header = json.loads(_decoded(archive.read("header.npy"), "uint8").tobytes())
    if header["format"] not in READABLE:
        raise ValueError(
            f"it has format {header['format']!r}, and this version of keras_saliency reads formats "
            f"{', '.join(map(str, READABLE))}. Save the probes again."
        )
    content = header["content"]
    dtypes = content["dtypes"]
    data = {name: archive.read(f"{name}.npy") for name in dtypes}
    if header["hash"] != _hash(content, data):
        raise ValueError("it is damaged: its content does not have the hash that it states.")
    arrays = {name: _decoded(data[name], dtypes[name]) for name in dtypes}
    del content["dtypes"]
    return _put_together(content, arrays)


def _taken_apart(fields: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays among the fields, by their names in the file, and the rest, for JSON."""
    arrays = {name: fields[name] for name in ARRAYS if fields.get(name) is not None}
    for name in NAMED:
        arrays |= {f"{name}_{i}": _once(array) for i, array in enumerate(fields[name].values())}
    content = {name: value for name, value in fields.items() if name not in ARRAYS}
    content |= {name: list(fields[name]) for name in NAMED}
    content[ASSUMED] = isinstance(fields["kind"], AssumedKind)
    content[OTHERS] = []
    for i, (name, inner) in enumerate(fields.get(OTHERS, {}).items()):
        inner_arrays, inner_content = _taken_apart(inner)
        arrays |= {f"input_{i}_{key}": array for key, array in inner_arrays.items()}
        content[OTHERS].append([name, inner_content])
    return arrays, content


def _put_together(
    content: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str = ""
) -> dict[str, Any]:
    """The fields of which `_taken_apart` returned this content and these arrays."""
    fields = {**content, **{name: arrays.get(f"{prefix}{name}") for name in ARRAYS}}
    if fields.pop(ASSUMED, False):
        fields["kind"] = AssumedKind(fields["kind"])
    for name in NAMED:
        fields[name] = {key: arrays[f"{prefix}{name}_{i}"] for i, key in enumerate(content[name])}
    fields[OTHERS] = {
        name: _put_together(inner, arrays, f"{prefix}input_{i}_")
        for i, (name, inner) in enumerate(content.get(OTHERS, []))
    }
    return fields


def _once(array: Array) -> Array:
    """The only row of an array that repeats one, such as a region that all probes have."""
    return array[0] if array.strides[0] == 0 else array


def _encoded(array: Array) -> bytes:
    """An array as a `.npy` file; bfloat16, which NumPy does not know, as integers."""
    buffer = io.BytesIO()
    array = array.view(f"u{array.dtype.itemsize}") if array.dtype.isbuiltin == 2 else array
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _decoded(data: bytes, dtype: str) -> Array:
    """The array in a `.npy` file. No more memory is taken than the file has."""
    buffer = io.BytesIO(data)
    if np.lib.format.read_magic(buffer) != (1, 0):
        raise ValueError("the header of an array has another version.")
    shape, is_fortran, stored = np.lib.format.read_array_header_1_0(buffer)
    if stored.kind not in "biufSU":
        raise ValueError(f"an array has dtype {stored}, which is neither numbers nor text.")
    array = np.ndarray(shape, stored, data, buffer.tell(), order="F" if is_fortran else "C")
    if stored.name != dtype:
        if np.dtype(dtype).isbuiltin != 2:
            raise ValueError(f"an array has dtype {stored} instead of {dtype}.")
        array = array.view(dtype)
    return array


def _hash(content: Mapping[str, Any], members: Mapping[str, bytes]) -> str:
    """Of the fields and of all arrays, with their names, dtypes and shapes."""
    digest = hashlib.blake2b(json.dumps(content).encode(), digest_size=16)
    for data in members.values():
        digest.update(data)
    return digest.hexdigest()
