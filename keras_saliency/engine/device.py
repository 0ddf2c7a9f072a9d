"""`DeviceProbes`: the inputs of a model for some probes, on the device on which it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array

MOST_BYTES = 512 * 2**20
"""Probes of at most this size stay on the device. Larger ones are copied to it at each pass."""


class DeviceProbes:
    """The inputs of a model for some probes, as tensors.

    Inputs of at most `MOST_BYTES` are copied to the device once, when they are first needed: then
    a pass uploads nothing but the indices of its probes.

    Args:
        probes: The probes, as the model sees them.
        with_masks: Whether masks are an input of the score.
        with_boxes: Whether boxes are.

    Attributes:
        probes: The probes.
        num_bytes: The size of their inputs.
        are_kept: Whether the inputs stay on the device.
    """

    def __init__(
        self, probes: ProbeSet, *, with_masks: bool = False, with_boxes: bool = False
    ) -> None:
        self.probes = probes
        self._arrays: dict[str, Any] = {
            "images": probes.images,
            "held": probes.others,
        }
        if with_masks and probes.masks is not None:
            self._arrays["masks"] = probes.masks
        if with_boxes and probes.boxes is not None:
            self._arrays["boxes"] = probes.boxes
        self.num_bytes = num_bytes(self._arrays)
        self.are_kept = self.num_bytes <= MOST_BYTES
        self._tensors: Any = None
        self._whole: dict[int, Tensor] = {}  # by place, if they are not kept

    def specs(self, size: int) -> dict[str, Any]:
        """What `rows` returns for this many indices, as specifications of tensors."""

        def spec(array: Array) -> Any:
            dtype = tf.string if array.dtype.kind in "US" else tf.as_dtype(array.dtype)
            return tf.TensorSpec((size, *array.shape[1:]), dtype)

        return tf.nest.map_structure(spec, self._arrays)  # type: ignore[no-any-return]

    def rows(
        self,
        index: Array,
        images: Tensor | None = None,
        others: Mapping[str, Array] | None = None,
    ) -> dict[str, Any]:
        """The `"images"` of some probes, other inputs by name (`"held"`), `"masks"` and `"boxes"`.

        Args:
            index: `(count,)`, the indices of the probes.
            images: `(count, ...)`, in place of the images of the probes.
            others: By the name of another input, the indices of the probes to take it from.
        """
        inputs = dict(self._kept() if self.are_kept else self._arrays)
        if images is not None:
            inputs.pop("images")

        def taken(source: Any, rows: Array) -> Tensor:
            return tf.gather(source, rows) if self.are_kept else tf.constant(source[rows])

        found = tf.nest.map_structure(lambda source: taken(source, index), inputs)
        for name, rows in (others or {}).items():
            found["held"][name] = taken(inputs["held"][name], rows)
        return found if images is None else {**found, "images": images}

    def images(self) -> Tensor:
        """The images of all probes, which then stay on the device, whatever their size."""
        return self.all_of(0)

    def all_of(self, place: int) -> Tensor:
        """As `images`, of the explained input at a place of `ProbeSet.explained`."""
        name = str([*self.probes.explained][place])
        if self.are_kept:
            return self._kept()["held"][name] if place else self._kept()["images"]
        if place not in self._whole:
            with tf.init_scope():
                array = self._arrays["held"][name] if place else self._arrays["images"]
                self._whole[place] = tf.constant(array)
        return self._whole[place]

    def _kept(self) -> dict[str, Any]:
        if self._tensors is None:
            with tf.init_scope():  # a method may be the first to need them, while it is traced
                self._tensors = tf.nest.map_structure(tf.constant, self._arrays)
        return self._tensors  # type: ignore[no-any-return]


def is_accelerated() -> bool:
    """Whether TensorFlow runs on a GPU or TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def num_bytes(arrays: Any) -> int:
    """The size of nested arrays."""
    return sum(array.nbytes for array in tf.nest.flatten(arrays))


def fetched(chunks: Sequence[Mapping[str, Any]], total: int) -> dict[str, Array]:
    """The results of several passes as arrays with `total` rows; waits until all have ended.

    Args:
        chunks: Results by name, with the same names in each.
        total: The number of rows to keep; the last pass may have more.
    """
    joined = {name: tf.concat([chunk[name] for chunk in chunks], axis=0) for name in chunks[0]}
    return {name: values.numpy()[:total] for name, values in joined.items()}
