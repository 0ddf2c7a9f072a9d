"""Headers: the JSON that stands first in each entry of the SALIENCY tab's log.

`docs/log_format.md` describes the format. The plugin imports this module, so it needs only the
standard library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from keras_saliency.log.tags import FORMAT

MAX_DEPTH = 50
"""The largest number of levels of lists and objects in a header. Python's own limit depends on how
deep the program is."""


class BlobError(ValueError):
    """The data is not valid in this format; the message says why."""


def read_header(blob: bytes) -> dict[str, Any]:
    """Decodes a header, the first in a list of blobs.

    Raises:
        BlobError: The header is truncated, damaged, or in a newer format.
    """
    try:
        header = json.loads(blob.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BlobError(f"its header is not valid JSON: {error}") from error
    if _is_deeper(header, MAX_DEPTH):
        raise BlobError(f"its header is nested more than {MAX_DEPTH} levels deep")
    version = header.get("format") if isinstance(header, dict) else None
    if type(version) is not int or version < 1:
        raise BlobError("its header has no format")
    if version > FORMAT:
        raise BlobError(
            f"it was written by a newer version of keras_saliency (format {version}; this version "
            f"reads format {FORMAT}). Upgrade keras_saliency"
        )
    return dict(header)


def as_sentence(error: BlobError) -> str:
    """The message of an error as the SALIENCY tab shows it."""
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


def _is_deeper(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inner(outer)]
    return any(isinstance(value, dict | list) for value in level)


def _inner(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a finite number")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)
