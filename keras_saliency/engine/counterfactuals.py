"""`Counterfactuals`: makes counterfactual images on the device, from the indices of probes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.placed_edits import Describe, PlacedEdit
from keras_saliency.data.reports import Array
from keras_saliency.engine import device
from keras_saliency.engine.device import DeviceProbes, fetched, num_bytes
from keras_saliency.engine.edits import EDITS, Description, Edit


class Counterfactuals:
    """Counterfactual images of probes that stay on the device.

    Each edit is a `tf.function`, which is traced when it is first needed.

    Args:
        inputs: Of the probes.
        batch_size: The number of images that are described, or made and compared, at once.
    """

    def __init__(self, inputs: DeviceProbes, batch_size: int) -> None:
        self._inputs, self._batch_size = inputs, batch_size
        self._descriptions: dict[str, Description | None] = {}  # of all probes, by the edit
        self._functions: dict[tuple[str, bool], Any] = {}  # by the edit, and overlap
        self._mask: tuple[Array | None, Tensor] = None, tf.zeros((1, 1, 1), tf.bool)  # the latest
        self._compare: Any = None

    def makes(self, edit: PlacedEdit) -> bool:
        """Whether the images of an edit are made on the device.

        They are if it is a GPU or TPU, where the probes, and what the edit needs to know of them,
        stay. On a CPU there is nothing to copy, and NumPy makes the images in less time. Inputs of
        other kinds than images are made by NumPy everywhere.
        """
        is_image = self._inputs.probes.kind == "image"
        is_possible = is_image and device.is_accelerated() and self._inputs.are_kept
        return is_possible and self._described(edit) is not None

    def images(self, edit: PlacedEdit, recipients: Array, donors: Array) -> Tensor:
        """The counterfactual images of some pairs, `(num_pairs, height, width, channels)`.

        Args:
            edit: One that it `makes`.
            recipients: `(num_pairs,)`, indices of probes.
            donors: `(num_pairs,)`.
        """
        return self._images(edit, _pairs(edit, recipients, donors))

    def equal(self, edit: PlacedEdit, recipients: Array, donors: Array) -> dict[str, Array]:
        """Which images of any number of pairs equal the `"recipients"`, and which the `"donors"`.

        Waits once, for bool `(num_pairs,)` each.
        """
        images = self._inputs.images()
        if self._compare is None:
            made = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
            pairs = tf.TensorSpec([2, None], tf.int64)
            function = tf.function(_compared, autograph=False)
            self._compare = function.get_concrete_function(made, _spec(images), pairs)
        results = []
        for start in range(0, len(donors), self._batch_size):
            part = slice(start, start + self._batch_size)
            pairs = _pairs(edit, recipients[part], donors[part])
            results.append(self._compare(self._images(edit, pairs), images, pairs))
        found = fetched(results, len(donors))
        return dict(zip(_roles(edit), (found["ones"], found["others"]), strict=True))

    def _images(self, edit: PlacedEdit, pairs: Tensor) -> Tensor:
        """The images of `_pairs`."""
        images, described = self._inputs.images(), self._described(edit)
        mask = self._on_device(edit.mask)
        key = edit.name, edit.overlap
        if key not in self._functions:
            made = partial(_made, EDITS[edit.name], edit.overlap)
            function = tf.function(made, autograph=False)
            self._functions[key] = function.get_concrete_function(
                _spec(images),
                tf.nest.map_structure(_spec, described),
                tf.TensorSpec([None, *mask.shape[1:]], tf.bool),
                tf.TensorSpec([2, None], tf.int64),
            )
        return self._functions[key](images, described, mask, pairs)

    def _on_device(self, mask: Array | None) -> Tensor:
        """A mask as `(1, height, width)` or `(num_probes, height, width)`."""
        if mask is not None and mask is not self._mask[0]:
            self._mask = mask, tf.constant(mask if mask.ndim == 3 else mask[np.newaxis])
        return self._mask[1]

    def _described(self, edit: PlacedEdit) -> Description | None:
        """The descriptions of all probes, which stay on the device; `None` if they are too large.

        The probes and all descriptions together may take `device.MOST_BYTES`.
        """
        if edit.describe is None:
            return ()
        if edit.name not in self._descriptions:
            images = self._inputs.probes.images
            known = [each for each in self._descriptions.values() if each is not None]
            size = len(images) * num_bytes(edit.describe(images[:1]))
            if self._inputs.num_bytes + _num_bytes(known) + size > device.MOST_BYTES:
                self._descriptions[edit.name] = None
            else:
                self._descriptions[edit.name] = self._all_described(images, edit.describe)
        return self._descriptions[edit.name]

    def _all_described(self, images: Array, describe: Describe) -> Description:
        size = self._batch_size
        chunks = [images[start : start + size] for start in range(0, len(images), size)]
        parts = [[tf.constant(values) for values in describe(chunk)] for chunk in chunks]
        return tuple(tf.concat(values, axis=0) for values in zip(*parts, strict=True))


def _roles(edit: PlacedEdit) -> tuple[str, str]:
    """Who gets something from whom."""
    return ("donors", "recipients") if edit.rest else ("recipients", "donors")


def _pairs(edit: PlacedEdit, recipients: Array, donors: Array) -> Tensor:
    """The probes that get something, and those that it is taken from, `(2, num_pairs)`."""
    index = {"recipients": recipients, "donors": donors}
    return tf.constant(np.stack([index[role] for role in _roles(edit)]))


def _made(
    edit: Edit, overlap: bool, images: Tensor, described: Description, mask: Tensor, pairs: Tensor
) -> Tensor:
    """The counterfactual images of `_pairs`."""
    one, other = tf.unstack(pairs)
    masks = tf.gather(mask, tf.minimum(pairs, tf.shape(mask, tf.int64)[0] - 1))
    where = masks[0] & masks[1] if overlap else masks[0] | masks[1]
    return edit(
        tf.gather(images, one),
        tf.gather(images, other),
        tuple(tf.gather(values, one) for values in described),
        tuple(tf.gather(values, other) for values in described),
        where,
    )


def _compared(made: Tensor, images: Tensor, pairs: Tensor) -> dict[str, Tensor]:
    """Which images equal the one probe of their pair, and which the other."""
    return {
        name: tf.reduce_all(made == tf.gather(images, index), axis=[1, 2, 3])
        for name, index in zip(("ones", "others"), tf.unstack(pairs), strict=True)
    }


def _spec(tensor: Tensor) -> Any:
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _num_bytes(tensors: object) -> int:
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size for tensor in tf.nest.flatten(tensors)
    )
