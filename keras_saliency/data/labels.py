"""Class indices from labels in the forms that Keras trains on.

A label is a class index (an integer, a bool or a whole float, in `(n,)` or `(n, 1)`), a one-hot
row, or a one-hot row after label smoothing. A label image has one class per pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.data.reports import Array

VOID = 255
"""In label images of dtype uint8: a pixel without a class, unless there are classes above 199."""

_FIRST_CLASS_BESIDE_VOID = 200
_LIMIT = 2**31
_SHARES_TO = 0.05
"""Shares of classes sum to 1 up to this."""

_REGRESSION = "Numbers are not classes: a regression is explained without targets."


class NotClassesError(ValueError):
    """The labels are numbers, images or sequences: they do not give a class for each input."""


class LabelReader:
    """Reads the labels of one batch after the other.

    The rows of smoothed labels all have the same largest value. Those of mixed images (MixUp) do
    not, which may only be seen in a later batch.

    Args:
        argument: The name of the argument that the labels come from, for messages.
        rows: What a row of the labels belongs to, in the plural.

    Attributes:
        has_mixed: Whether rows were read that mix classes.
    """

    def __init__(self, argument: str, rows: str = "images") -> None:
        self._argument = argument
        self._rows = rows
        self._peak: float | None = None
        self.has_mixed = False

    def class_lists(self, labels: Any, count: int) -> list[list[Any]]:
        """The classes of each image: names or indices. Rows of zeros and ones may have several.

        Of rows that mix classes (MixUp), this is the one with the largest share.

        Args:
            labels: As in `classes`; or `(count, num_classes)` rows with any number of ones, rows
                that sum to 1, or names `(count,)` or `(count, 1)`.
            count: The number of images.

        Raises:
            TypeError: The labels are neither numbers nor names.
            ValueError: The labels have another shape, or are not classes.

        Example:
            >>> LabelReader("labels").class_lists([[1, 0, 1], [0, 0, 0]], 2)
            [[0, 2], []]
        """
        array = np.asarray(labels)
        if array.dtype.kind in "OSU" and array.size == count:
            return [[_name(label)] for label in array.reshape(count)]
        if array.ndim == 2 and len(array) == count and array.shape[1] > 1:
            array = self._numbers(labels)
            if np.isin(array, (0, 1)).all():
                return [np.flatnonzero(row).tolist() for row in array]
            if (array >= 0).all() and np.abs(
                array.astype(np.float64).sum(1) - 1
            ).max() < _SHARES_TO:
                ordered = np.sort(array, axis=1)
                self.has_mixed |= bool((ordered[:, -2] > ordered[:, 0]).any())
                return [[label] for label in array.argmax(axis=1).tolist()]
        return [[label] for label in self.classes(labels, count).tolist()]

    def classes(self, labels: Any, count: int) -> Array:
        """Class indices `(count,)`, int64.

        Args:
            labels: `(count,)` or `(count, 1)` indices, or `(count, num_classes)` rows that are
                one-hot, as they are or smoothed.
            count: The number of images.

        Raises:
            TypeError: The labels are not numbers.
            ValueError: The labels have another shape, or are not classes.

        Example:
            >>> LabelReader("labels").classes([[1.0], [0.0]], 2).tolist()
            [1, 0]
            >>> LabelReader("labels").classes([[0.05, 0.95], [0.95, 0.05]], 2).tolist()
            [1, 0]
        """
        array = self._numbers(labels)
        if array.ndim == 2 and len(array) == count and array.shape[1] > 1:
            return self._largest(array)
        if array.shape == (count, 1):
            array = array[:, 0]
        if array.shape != (count,):
            kind = NotClassesError if array.ndim > 1 and len(array) == count else ValueError
            raise kind(
                f"{self._argument}: expected one class index for each of {count} {self._rows}, "
                f"shape ({count},), received shape {array.shape}. (One-hot rows are fine, too.)"
            )
        return self._whole(array)

    def label_images(self, labels: Any, shape: tuple[int, ...]) -> Array:
        """Class indices of pixels, int64.

        Args:
            labels: Indices of that shape, with or without a last axis of length 1, or exact
                one-hot vectors in a last axis.
            shape: `(count, height, width)`.

        Raises:
            TypeError: The labels are not numbers.
            ValueError: The labels have another shape, or are not classes.
        """
        array = self._numbers(labels)
        if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
            array = array[..., 0]
        elif array.ndim == len(shape) + 1:
            if not is_one_hot(array):
                raise NotClassesError(
                    f"{self._argument}: expected one class for each pixel, as an index or one-hot "
                    f"in the last axis, received shape {array.shape} with other values."
                )
            array = array.argmax(-1)
        if array.shape == shape:
            return self._whole(array)
        is_flat = array.ndim == len(shape)
        ratios = {have / want for have, want in zip(array.shape[1:], shape[1:], strict=is_flat)}
        if is_flat and len(ratios) == 1 and len(self._whole(array)):
            raise ValueError(
                f"{self._argument}: expected one class for each pixel, shape {shape}, received "
                f"shape {array.shape}. Resize the label images to the size of the images."
            )
        raise NotClassesError(
            f"{self._argument}: expected one class for each pixel, shape {shape}, received shape "
            f"{array.shape}, which is not that of a label image of another size."
        )

    def _numbers(self, labels: Any) -> Array:
        array = np.asarray(labels)
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float16)
        if array.dtype.kind in "OSU":
            raise TypeError(
                f"{self._argument}: expected numbers (integers) as labels, received dtype "
                f"{array.dtype}. Convert names to class indices, for example with "
                "class_names, labels = np.unique(labels, return_inverse=True), or with "
                "keras.layers.StringLookup in dataset.map."
            )
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"{self._argument}: expected integers as labels, received dtype {array.dtype}."
            )
        return array

    def _largest(self, rows: Array) -> Array:
        """The class of each row, which must be one-hot or smoothed like all others."""
        if not len(rows):
            return np.zeros(0, np.int64)
        is_binary = bool(np.isin(rows, (0, 1)).all())
        tolerance = 1e-2 if rows.dtype.itemsize <= 2 else 1e-5
        values = rows.astype(np.float64)
        is_share = (values >= 0) & (values <= 1)  # nan is neither
        if not is_share.all() or np.abs(values.sum(1) - 1).max() > 5 * tolerance:
            if is_binary:
                raise ValueError(
                    f"{self._argument}: expected class indices or one-hot rows as labels, received "
                    "rows with several ones or none (multi-label). One class per image is "
                    "explained: pass ProbeSet(images, targets) with the class that you choose."
                )
            if (np.floor(values) == values).all():
                raise NotClassesError(
                    f"{self._argument}: expected one class index per row as labels, received "
                    f"whole numbers of shape {rows.shape}. If there is a class for each position, "
                    "pass those of one position: ProbeSet(inputs, targets[:, 0]) and "
                    "score=ks.Score(position=0)."
                )
            raise NotClassesError(
                f"{self._argument}: expected class indices or one-hot rows as labels, received "
                f"rows of shape {rows.shape} that do not sum to 1. {_REGRESSION}"
            )
        ordered = np.sort(values, axis=1)
        peak = float(ordered[0, -1]) if self._peak is None else self._peak
        is_smoothed = (
            np.abs(ordered[:, -1] - peak).max() <= tolerance
            and np.abs(ordered[:, -2] - ordered[:, 0]).max() <= tolerance
            and (ordered[:, -1] - ordered[:, -2]).min() > tolerance
        )
        if not is_smoothed:
            raise ValueError(
                f"{self._argument}: expected class indices, one-hot rows or equally smoothed rows "
                "as labels, received mixed labels (as of MixUp or CutMix). Draw from the data set "
                "before the map that mixes, or pass ProbeSet(images, targets) with the class to "
                "explain for each image."
            )
        self._peak = peak
        return np.asarray(rows.argmax(axis=1), np.int64)

    def _whole(self, array: Array) -> Array:
        values = array.astype(np.float64) if array.dtype.kind == "f" else array
        with np.errstate(invalid="ignore"):
            is_whole = np.isfinite(values) & (np.floor(values) == values)
        if not is_whole.all():
            raise NotClassesError(
                f"{self._argument}: expected class indices (whole numbers) as labels, received "
                f"{array[~is_whole].flat[0]}, dtype {array.dtype}. {_REGRESSION}"
            )
        outside = (values < 0) | (values >= _LIMIT)
        if outside.any():
            index = tuple(np.argwhere(outside)[0])
            place = f" for {self._rows.removesuffix('s')} {index[0]}" if array.ndim == 1 else ""
            hint = ""
            if array[index] == -1:
                hint = (
                    " Labels -1 and 1 become classes with (labels + 1) // 2."
                    if array.ndim == 1
                    else f" Mark pixels to be ignored by {VOID}, in labels of dtype uint8."
                )
            raise ValueError(
                f"{self._argument}: expected class indices 0 or more, received "
                f"{int(array[index])}{place}.{hint}"
            )
        return array.astype(np.int64)


def _name(label: Any) -> str:
    """A label that is text, as TensorFlow, NumPy and pandas hold it."""
    if isinstance(label, bytes):
        return label.decode()
    if not isinstance(label, str):
        raise TypeError(
            f"labels: expected numbers or names as labels, received {type(label).__name__}."
        )
    return str(label)


def may_have_void(labels: Array) -> bool:
    """Whether 255 may stand for pixels without a class: in label images of dtype uint8."""
    return labels.dtype == np.uint8


def is_void(classes: set[int]) -> bool:
    """Whether the value 255 marks pixels without a class.

    It does if no other value is above 199.

    Args:
        classes: All values that occur.

    Example:
        >>> is_void({0, 20}), is_void({0, 254})
        (True, False)
    """
    return max(classes - {VOID}, default=0) < _FIRST_CLASS_BESIDE_VOID


def is_class_row(labels: Array) -> bool:
    """Whether a vector could be the label of one image: it sums to 1, or has one entry."""
    if labels.shape == (1,):
        return True
    is_numeric = labels.ndim == 1 and labels.dtype.kind in "biuf"
    return is_numeric and bool((labels >= 0).all()) and abs(float(labels.sum()) - 1) < 0.05


def are_numbers(labels: Array) -> bool:
    """Whether labels that are no classes are numbers to predict.

    They are if they are not whole, and no shares that sum to 1 in a row; or images in colour.
    """
    if labels.dtype.kind not in "iuf":
        return False
    has_rows = labels.ndim > 1 and labels.shape[-1] > 1
    if labels.dtype.kind != "f" or ((np.floor(labels) == labels) | ~np.isfinite(labels)).all():
        return has_rows and labels.ndim > 3 and bool((labels > 1).any())
    are_shares = has_rows and bool((labels >= 0).all())
    return not (are_shares and np.abs(labels.sum(-1, dtype=np.float64) - 1).max() < _SHARES_TO)


def is_one_hot(labels: Array) -> bool:
    """Whether the last axis holds one 1 each, and zeros."""
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=-1) == 1).all())
