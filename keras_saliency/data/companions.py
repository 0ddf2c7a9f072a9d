"""Masks, boxes, regions, groups and names that are drawn along with the images they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_saliency.data import pipelines
from keras_saliency.data.inputs import map_axes
from keras_saliency.data.reports import Array
from keras_saliency.data.sampling import Example

_NO_MASKS = ("boxes", "groups", "names")


class Companions:
    """What `ProbeSet.from_dataset` was given beside the data set, one value per image.

    Args:
        kind: The kind of input, a key of `KINDS`.
        given: `"masks"`, `"boxes"`, `"groups"` and `"names"`: each an array in the order of the
            data set, or a key of its elements; `None`: there are none. The masks of a key may also
            be 0 and 1, or 0 and 255, and have a last axis of 1.
        regions: As masks, by the name of the region. An array may also be one mask for all.

    Raises:
        TypeError: `regions` is not a dict.
    """

    def __init__(self, kind: str, given: Mapping[str, Any], regions: Any) -> None:
        if regions is not None and not isinstance(regions, Mapping):
            raise TypeError(
                "regions: expected a dict that maps names to masks, received "
                f"{type(regions).__name__}."
            )
        self._map_rank = len(map_axes(kind))
        everything = {
            **given,
            **{f"regions[{name!r}]": region for name, region in (regions or {}).items()},
        }
        self._region_names = {f"regions[{name!r}]": name for name in regions or {}}
        self._keys = {name: value for name, value in everything.items() if isinstance(value, str)}
        self._arrays = {
            name: np.asarray(value)
            for name, value in everything.items()
            if value is not None and not isinstance(value, str)
        }

    @property
    def keys(self) -> dict[str, str]:
        """The keys to read, each with the name of the argument that asks for it."""
        return {key: name for name, key in self._keys.items()}

    def check_order(self, dataset: Any) -> None:
        """Checks that arrays can be in the order of the data set.

        Raises:
            ValueError: The data set is shuffled anew in each pass.
        """
        arrays = [name for name in self._arrays if not self._is_shared(name)]
        if arrays and pipelines.shuffles(dataset):
            raise ValueError(
                f"{arrays[0]}: expected a data set with a fixed order, since the array is in that "
                "order; received one that is shuffled in each pass. Pass the data set as it was "
                "before the shuffle; or put the values into its elements as dicts, and pass their "
                f"key: {arrays[0]}='key'."
            )

    def drawn(
        self, examples: Sequence[Example], targets: Sequence[int], num_read: int
    ) -> dict[str, Any]:
        """The values of the examples, as arguments of `ProbeSet`.

        Args:
            examples: The examples that were drawn. If they have masks, from label images, one image
                may be several examples; its name then gets the class.
            targets: The class of each example.
            num_read: The number of images in the data set.

        Raises:
            TypeError: The values of a key are not masks.
            ValueError: An array does not have one row per image of the data set; or there are masks
                beside those of the examples.
        """
        values: dict[str, Any] = {}
        positions = [example.position for example in examples]
        for name, array in self._arrays.items():
            if self._is_shared(name):
                values[name] = array
            elif array.shape[:1] != (num_read,):
                raise ValueError(
                    f"{name}: expected one row for each of the {num_read} images of the data set, "
                    f"received shape {array.shape}."
                )
            else:
                values[name] = array[positions]
        for name, key in self._keys.items():
            values[name] = np.stack([example.extras[key] for example in examples])
            if name not in _NO_MASKS:
                values[name] = self._as_masks(name, key, values[name])
        for name in values.keys() & {"groups", "names"}:
            values[name] = _text(values[name])
        masks = [example.mask for example in examples if example.mask is not None]
        if masks and "masks" in values:
            raise ValueError(
                "masks: expected None, as the labels are images, which give the masks."
            )
        if masks:
            values["masks"] = np.stack(masks)
        if masks and "names" in values:
            pairs = zip(values["names"], targets, strict=True)
            values["names"] = [f"{name} class {target}" for name, target in pairs]
        regions = {
            self._region_names[name]: values.pop(name)
            for name in [*self._region_names]
            if name in values
        }
        return {**values, "regions": regions}

    def _is_shared(self, name: str) -> bool:
        return name in self._region_names and self._arrays[name].ndim == self._map_rank

    def _as_masks(self, name: str, key: str, values: Array) -> Array:
        """The values of a key as bool arrays, which they cannot be in many stored formats."""
        if values.ndim == self._map_rank + 2 and values.shape[-1] == 1:
            values = values[..., 0]
        if values.dtype.kind == "b":
            return values
        is_number = values.dtype.kind in "iuf"
        if is_number and any(np.isin(values, (0, inside)).all() for inside in (1, 255)):
            return np.asarray(values > 0)
        received = f"dtype {values.dtype}"
        if is_number:
            received += f" with values from {values.min():g} to {values.max():g}"
        raise TypeError(
            f"{name}: expected a key of masks, bool (True inside) or with the values 0 and 1 or 0 "
            f"and 255, received {key!r}, {received}. Say which values are inside, for example with "
            f"dataset.map(lambda element: {{**element, {key!r}: element[{key!r}] == 1}})."
        )


def _text(values: Array) -> Array:
    """Bytes and objects, as TensorFlow and pandas hold strings, as strings; numbers unchanged."""
    if values.dtype.kind not in "SO":
        return values
    flat = [value.decode() if isinstance(value, bytes) else value for value in values.flat]
    is_text = all(isinstance(value, str) for value in flat)
    return np.array(flat).reshape(values.shape) if is_text else values
