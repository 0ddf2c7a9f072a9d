"""Boxes: the rectangle of one object in each probe, and the masks that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.data.reports import Array


class BoxMasks(np.ndarray):
    """Masks that `filled` made: `dataclasses.replace` makes new ones, to match new boxes.

    Attributes:
        boxes: What they were made of; `None` for arrays that were made of such masks.
    """

    boxes: Array | None = None

    def __reduce__(self) -> Any:
        """Pickles the boxes."""
        return super().__reduce__() if self.boxes is None else (filled, (self.boxes, self.shape))


def filled(boxes: Array, shape: tuple[int, ...]) -> BoxMasks:
    """The pixels that each box covers, also those that it covers only a part of.

    Args:
        boxes: `(num_probes, 4)`, left, top, right, bottom, in pixels.
        shape: `(num_probes, height, width)`.

    Example:
        >>> filled(np.array([[0.5, 0, 2, 1]]), (1, 2, 3)).astype(int)[0].tolist()
        [[1, 1, 0], [0, 0, 0]]
    """
    left, top, right, bottom = boxes[..., np.newaxis, np.newaxis].swapaxes(0, 1)
    y, x = np.ogrid[: shape[1], : shape[2]]
    masks = (x + 1 > left) & (x < right) & (y + 1 > top) & (y < bottom)
    marked: BoxMasks = masks.view(BoxMasks)
    marked.boxes = boxes
    return marked


def are_filled(masks: Any) -> bool:
    """Whether masks were made by `filled`."""
    return isinstance(masks, BoxMasks) and masks.boxes is not None


def checked_boxes(boxes: Any, kind: str, shape: tuple[int, ...]) -> Array | None:
    """A box for each probe: `(num_probes, 4)`, float32, left, top, right, bottom, in pixels.

    Args:
        boxes: Numbers, or `None`.
        kind: A key of `KINDS`.
        shape: Of the maps, `(num_probes, height, width)`.

    Raises:
        TypeError: The boxes are not numbers.
        ValueError: The inputs are not images, there is not one box for each, a box is not within
            the image or has no area, or all of them look like shares of the image.
    """
    if boxes is None:
        return None
    if kind != "image":
        raise ValueError(f"boxes: expected None for kind={kind!r}. Only kind='image' has boxes.")
    try:
        array = np.asarray(boxes)
    except ValueError as error:
        raise ValueError(
            "boxes: expected one box per probe, received rows of unequal lengths. To explain "
            "several boxes of an image, repeat the image."
        ) from error
    if array.dtype.kind not in "iuf":
        raise TypeError(f"boxes: expected numbers, received dtype {array.dtype}.")
    if array.shape != (shape[0], 4):
        raise ValueError(
            f"boxes: expected one box per probe, shape ({shape[0]}, 4), received shape "
            f"{array.shape}. To explain several boxes of an image, repeat the image."
        )
    _, height, width = shape
    checked = array.astype(np.float32)
    low, high = checked[:, :2], checked[:, 2:]
    is_inside = ((low >= 0) & (high <= (width, height))).all(axis=1)
    is_wrong = ~is_inside | ~(high > low).all(axis=1)  # nan is wrong, too
    if is_wrong.any():
        probe = int(is_wrong.argmax())
        raise ValueError(
            "boxes: expected left, top, right, bottom in pixels, with a positive width and height, "
            f"within the image of {width} x {height} pixels (width x height), received "
            f"{array[probe].tolist()} for probe {probe}. np.clip cuts off what lies outside."
        )
    if checked.max() <= 1 < max(width, height) and (checked % 1).any():
        raise ValueError(
            "boxes: expected left, top, right, bottom in pixels, received boxes within the first "
            "pixel of each image, which look like shares of the image. Multiply them: "
            f"boxes * [{width}, {height}, {width}, {height}]."
        )
    return checked
