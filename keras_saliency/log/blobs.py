"""Blobs: converts headers, arrays and maps to the bytes in the SALIENCY tab's log, and back.

`docs/log_format.md` describes the format. All functions are pure; none of them accesses files.
"""

from __future__ import annotations

import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.log import tags
from keras_saliency.log.headers import BlobError, read_header
from keras_saliency.rendering.heatmaps import shades

LARGEST_ARRAY = 2**30
"""The largest size of an array in bytes; larger arrays are not read."""


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
    levels = codes.astype(np.float64)
    shares = (levels - half) / half if signed else levels / tags.LEVELS
    shares[codes == tags.NOT_FINITE] = math.nan
    result: Array = shares * np.asarray(limits, np.float64).reshape(-1, *(1,) * (codes.ndim - 1))
    return result.astype(np.float32)


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


def unpacked(blobs: Sequence[bytes]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Decodes a list of blobs: returns the header and the arrays, without those that are empty.

    Raises:
        BlobError: The blobs are truncated, damaged, or in a newer format.
    """
    header = read_header(blobs[0] if blobs else b"")
    names = header.get("arrays")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BlobError("its header has no list of arrays")
    if len(names) != len(blobs) - 1:
        raise BlobError(f"expected {len(names)} arrays, received {len(blobs) - 1}")
    arrays = {n: _inflated(n, blob) for n, blob in zip(names, blobs[1:], strict=True) if blob}
    return header, arrays


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
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0))
    return zlib.compress(file.getbuffer(), 1)


def _inflated(name: str, blob: bytes) -> Array:
    try:
        inflating = zlib.decompressobj()
        file = io.BytesIO(inflating.decompress(blob, LARGEST_ARRAY))
        if not inflating.eof:
            raise ValueError(f"it is truncated, or larger than {LARGEST_ARRAY >> 20} MB")
        return np.lib.format.read_array(file, allow_pickle=False)
    except (zlib.error, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise BlobError(f"its array {name!r} cannot be read: {error}") from error
