"""`LoggedProbes`: the probes of a logged run, decoded from their header and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.data.read_only import freeze, restore
from keras_saliency.data.reports import Array
from keras_saliency.log.blobs import unpacked
from keras_saliency.log.fields import (
    check_array,
    input_name,
    integers,
    optional_texts,
    text,
    texts,
    whole_numbers,
)
from keras_saliency.log.headers import BlobError

MAX_PICTURE_SIDE = 4096
"""The longest side of a picture of an input, in pixels; larger ones are not read."""


@dataclass(frozen=True, eq=False)
class LoggedProbes:
    """The probes of a logged run. Arrays and mappings are read-only.

    Attributes:
        names: The name of each probe.
        targets: `(num_probes,)`, class indices; `None` if the targets are the first predictions.
        class_names: The names of the classes, by index, or `None`.
        groups: The group of each probe, or `None`.
        kind: The kind of input, a key of `keras_saliency.data.inputs.KINDS`.
        fingerprint: The fingerprint of the `ProbeSet`.
        shape: The shape of a map at the size of the model's input; the logged maps may be smaller.
        pictures: uint8 `(num_probes, height, width, 3)`, pictures of the inputs.
        masks: bool `(num_probes, ...)`, with the shape of the logged maps, or `None`.
        regions: The masks of the regions by name, bool `(num_probes or 1, ...)`.
        places: int32 `(num_probes or 1, height, width)`, for inputs that are not images: the index
            of the place in the map that each pixel of a picture shows (in C order), or -1.
        ink: uint8 `(num_probes, height, width)`, how much of each pixel of a picture is covered by
            text or lines; `None` if there are none.
        feature_names: For features: the name of each, or `None`.
        input_name: The name or position of the input that is explained; `None` if it has none.
        other_inputs: By name, the further inputs that are explained: with kind, shape, pictures,
            masks, regions, places, ink and feature names of their own.
    """

    names: tuple[str, ...]
    targets: Array | None
    class_names: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    kind: str
    fingerprint: str
    shape: tuple[int, ...]
    pictures: Array = field(repr=False)
    masks: Array | None = field(repr=False)
    regions: Mapping[str, Array] = field(repr=False)
    places: Array | None = field(repr=False)
    ink: Array | None = field(repr=False)
    feature_names: tuple[str, ...] | None = None
    input_name: str | int | None = None
    other_inputs: Mapping[str | int, LoggedProbes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied record, read-only as before."""
        restore(self, state)


def logged_probes(header: Mapping[str, Any], content: list[bytes]) -> LoggedProbes:
    """Decodes the record of the probes.

    Args:
        header: Its header.
        content: All of its blobs.

    Raises:
        BlobError: It lacks something, or an array does not fit the header. Values of an unexpected
            form may raise other errors.
    """
    names = texts(header, "names")
    if not names:
        raise BlobError("its header has no probes, or maps without a size")
    others: dict[str | int, Mapping[str, Any]] = {}
    for row in header.get("inputs", []):  # format 1 has none
        name = input_name(row["name"])
        if str(name) in map(str, others):
            raise BlobError(f"its header has two inputs with the name {str(name)!r}")
        others[name] = row
    shapes = _largest(header, "", len(names))
    for name, row in others.items():
        shapes |= _largest(row, f"/{name}", len(names))
    _, arrays = unpacked(content, largest=shapes)
    own = _of_input(header, arrays, "", len(names))
    groups, targets = optional_texts(header, "groups"), header["targets"]
    if groups is not None and len(groups) != len(names):
        raise BlobError(f"its header has {len(groups)} groups of {len(names)} probes")
    shared: dict[str, Any] = {
        "names": names,
        "targets": None if targets is None else integers(targets, len(names)),
        "class_names": optional_texts(header, "class_names"),
        "groups": groups,
        "fingerprint": text(header["fingerprint"]),
    }
    further = {
        name: LoggedProbes(
            **shared, **_of_input(row, arrays, f"/{name}", len(names)), input_name=name
        )
        for name, row in others.items()
    }
    first = header.get("input")  # format 1 has none
    first = None if first is None else input_name(first)
    return LoggedProbes(**shared, **own, input_name=first, other_inputs=further)


def _largest(header: Mapping[str, Any], suffix: str, count: int) -> dict[str, tuple[int, ...]]:
    """The largest shape of each array of an input."""
    shape, regions = whole_numbers(header["shape"]), texts(header, "regions")
    if not shape or min(shape) < 1:
        raise BlobError("its header has no probes, or maps without a size")
    sides = (MAX_PICTURE_SIDE, MAX_PICTURE_SIDE)
    return {
        f"pictures{suffix}": (count, *sides, 3),
        f"masks{suffix}": (count, *shape),
        f"regions{suffix}": (len(regions), count, *shape),
        f"places{suffix}": (count, *sides),
        f"ink{suffix}": (count, *sides),
    }


def _of_input(
    header: Mapping[str, Any], arrays: Mapping[str, Array], suffix: str, count: int
) -> dict[str, Any]:
    """The fields of `LoggedProbes` that each input has of its own."""
    regions, shape = texts(header, "regions"), whole_numbers(header["shape"])
    pictures = arrays[f"pictures{suffix}"]
    masks, places, ink = (arrays.get(f"{name}{suffix}") for name in ("masks", "places", "ink"))
    check_array(f"pictures{suffix}", pictures, (count, *pictures.shape[1:3], 3), np.uint8)
    if places is not None:
        of_all = 1 if len(places) == 1 else count
        check_array(f"places{suffix}", places, (of_all, *pictures.shape[1:3]), np.int32)
    if ink is not None:
        check_array(f"ink{suffix}", ink, pictures.shape[:3], np.uint8)
    if masks is not None:
        check_array(f"masks{suffix}", masks, (count, *masks.shape[1:]), np.uint8)
    masks_of_regions = _regions(arrays.get(f"regions{suffix}"), suffix, len(regions), count)
    features = None if header.get("feature_names") is None else texts(header, "feature_names")
    if features is not None and shape != (len(features),):
        raise BlobError(f"its header has the names of {len(features)} features of {shape}")
    return {
        "kind": text(header["kind"]),
        "shape": shape,
        "pictures": pictures,
        "masks": None if masks is None else masks.astype(bool),
        "regions": dict(zip(regions, masks_of_regions, strict=True)),
        "places": places,
        "ink": ink,
        "feature_names": features,
    }


def _regions(array: Array | None, suffix: str, regions: int, count: int) -> list[Array]:
    if array is None:
        return []
    of_all = count if array.ndim > 1 and array.shape[1] == count else 1
    check_array(f"regions{suffix}", array, (regions, of_all, *array.shape[2:]), np.uint8)
    return list(array.astype(bool))
