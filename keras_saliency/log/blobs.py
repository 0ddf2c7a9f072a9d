"""Blobs: converts headers, arrays and maps to the bytes in the SALIENCY tab's log, and back.

`docs/log_format.md` describes the format. All functions are pure; none of them accesses files.
"""

from __future__ import annotations

import io
import json
import math
import operator
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.log import tags
from keras_saliency.log.headers import BlobError, read_header
from keras_saliency.rendering.heatmaps import shades

LARGEST_ARRAY = 2**30
"""The largest size of an array in bytes; larger arrays are not read."""

_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_HEADER = 1024
"""The first bytes of an array, which have to contain the header of the .npy file."""

_INPUT, _OUTPUT = 2**14, 2**18
"""The numbers of bytes that are read and written at a time when an array is decompressed."""

_PIECE = 2**16
"""The number of codes that are decoded at a time."""


def codes(maps: Array, *, limits: Array, signed: bool = False) -> Array:
    """Encodes maps as one byte for each value.

    Args:
        maps: `(num_probes, ...)`.
        limits: `(num_probes,)`, the largest absolute value of each map; 0 for a map of zeros.
        signed: Whether maps may have negative values.

    Returns:
        uint8, same shape. The error is at most 1 / 504 of the limit (signed: 1 / 252). Values that
        are not finite become `tags.NOT_FINITE`.

    Example:
        >>> codes(np.array([[0.0, 1.0, 2.0, np.nan]]), limits=np.array([2.0])).tolist()
        [[0, 126, 252, 255]]
    """
    wide = maps.astype(np.result_type(maps, np.float32), copy=False)  # float16 is too coarse
    values, finite = shades(wide, limits, signed)
    half = tags.LEVELS // 2
    levels = np.rint(values * half + half if signed else values * tags.LEVELS)
    result: Array = levels.astype(np.uint8)
    result[~finite] = tags.NOT_FINITE
    return result


def values(codes: Array, *, limits: Array, signed: bool = False) -> Array:
    """Decodes maps: float32; `nan` for values that were not finite.

    Example:
        >>> values(np.array([[0, 126, 252, 255]], np.uint8), limits=np.array([2.0])).tolist()
        [[0.0, 1.0, 2.0, nan]]
    """
    half = tags.LEVELS // 2
    levels = np.arange(256.0)
    shares = (levels - half) / half if signed else levels / tags.LEVELS
    shares[tags.NOT_FINITE] = math.nan
    result = np.empty(codes.shape, np.float32)
    rows = len(codes), math.prod(codes.shape[1:])
    pairs = zip(codes.reshape(rows), result.reshape(rows), strict=True)
    for (one, decoded), limit in zip(pairs, np.asarray(limits, np.float64), strict=True):
        table = (shares * limit).astype(np.float32)
        for first in range(0, len(one), _PIECE):  # an index needs eight times the memory of a code
            decoded[first : first + _PIECE] = table[one[first : first + _PIECE]]
    return result


def packed(header: Mapping[str, Any], arrays: Mapping[str, Array | None]) -> list[bytes]:
    """Encodes a header and arrays as a list of blobs.

    Args:
        header: Any values that JSON supports, and NumPy's numbers and arrays. Numbers that are not
            finite become `null`.
        arrays: uint8 or int32 arrays by name; `None` becomes an empty blob.
    """
    content = {"format": tags.FORMAT, **header, "arrays": list(arrays)}
    text = json.dumps(_plain(content), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return [text.encode(), *map(_deflated, arrays.values())]


def unpacked(
    blobs: Sequence[bytes], *, largest: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Decodes a list of blobs: returns the header and the arrays, without those that are empty.

    Args:
        blobs: The blobs.
        largest: The largest shape of each array that is wanted; the others are not decoded.
            Default: all arrays.

    Returns:
        The header and the arrays, which are read-only.

    Raises:
        BlobError: The blobs are truncated, damaged, or in a newer format, or an array is too large.
    """
    header = read_header(blobs[0] if blobs else b"")
    names = header.get("arrays")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BlobError("its header has no list of arrays")
    if len(names) != len(blobs) - 1:
        raise BlobError(f"expected {len(names)} arrays, received {len(blobs) - 1}")
    return header, {
        name: _inflated(name, blob, None if largest is None else largest[name])
        for name, blob in zip(names, blobs[1:], strict=True)
        if blob and (largest is None or name in largest)
    }


def _plain(value: Any) -> Any:
    """Converts a value to what JSON supports; float32 gets the fewest digits that identify it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.floating) and value.dtype.itemsize <= 4:
        value = float(str(value))
    elif isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _deflated(array: Array | None) -> bytes:
    if array is None:
        return b""
    values, header, deflating = np.ascontiguousarray(array), io.BytesIO(), zlib.compressobj(1)
    about = np.lib.format.header_data_from_array_1_0(values)
    np.lib.format.write_array_header_1_0(header, about)
    # The array is not copied: pictures of many probes are large.
    parts = [deflating.compress(header.getbuffer()), deflating.compress(values.data)]
    return b"".join([*parts, deflating.flush()])


def _inflated(name: str, blob: bytes, largest: tuple[int, ...] | None) -> Array:
    """Decodes an array. Its size is checked first, and no more than that is decompressed."""
    try:
        inflating = zlib.decompressobj()
        start = inflating.decompress(blob[:_INPUT], _MAX_HEADER)
        shape, dtype, first = _array_header(start)
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes > LARGEST_ARRAY:
            raise ValueError(f"it is larger than {LARGEST_ARRAY >> 20} MB")
        if largest is not None and not _fits(shape, largest):
            raise ValueError(f"its shape is {shape}, but the largest possible is {largest}")
        array = np.empty(num_bytes, np.uint8)
        inputs = (blob[at : at + _INPUT] for at in range(_INPUT, len(blob), _INPUT))
        filled = 0
        for output in chain([start[first:]], _outputs(inflating, inputs)):
            if filled + len(output) > num_bytes:
                raise ValueError("it is longer than its shape")
            array[filled : filled + len(output)] = np.frombuffer(output, np.uint8)
            filled += len(output)
        if filled < num_bytes or not inflating.eof:
            raise ValueError("it is truncated")
    except (zlib.error, ValueError, MemoryError) as error:
        raise BlobError(f"its array {name!r} cannot be read: {error}") from error
    result: Array = array.view(dtype).reshape(shape)
    result.setflags(write=False)
    return result


def _outputs(inflating: Any, inputs: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses pieces, until the end of the data or of the pieces."""
    for piece in chain([inflating.unconsumed_tail], inputs):
        left = piece
        while left and not inflating.eof:
            yield inflating.decompress(left, _OUTPUT)
            left = inflating.unconsumed_tail


def _fits(shape: tuple[int, ...], largest: tuple[int, ...]) -> bool:
    return len(shape) == len(largest) and all(map(operator.le, shape, largest))


def _array_header(start: bytes) -> tuple[tuple[int, ...], Any, int]:
    """The shape and type of an array, and where its data begins in the .npy file."""
    first = len(_MAGIC) + 2 + int.from_bytes(start[len(_MAGIC) : len(_MAGIC) + 2], "little")
    if not start.startswith(_MAGIC) or first > len(start):
        raise ValueError("it is not a .npy file of version 1.0")
    text = start[:first].decode("latin1")
    dtype = re.search(r"'descr':\s*'(\|u1|<i4)'", text, re.ASCII)
    shape = re.search(r"'shape':\s*\(([\d,\s]*)\)", text, re.ASCII)
    if not dtype or not shape or not re.search(r"'fortran_order':\s*False", text):
        raise ValueError("its type or its layout is unknown")
    sizes = tuple(int(size) for size in shape[1].split(",") if size.strip())
    return sizes, np.dtype(dtype[1]), first
