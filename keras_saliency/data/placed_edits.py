"""`PlacedEdit`: what one exchange between probes is, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras_saliency.data.reports import Array

Description = tuple[Array, ...]
"""What an edit needs to know of each of some images: arrays with a row for each."""

Describe = Callable[[Array], Description]
"""From images to their descriptions."""

HIGH_FREQUENCY = 0.33
"""The lowest spatial frequency that counts as high, in cycles per pixel; the largest is 0.71."""

BANDS = 8
"""The bands of spatial frequency of a spectrum, equally wide up to 0.5 cycles per pixel."""


@dataclass(frozen=True, eq=False)
class PlacedEdit:
    """A built-in edit at a place of each image.

    It says how counterfactual images are made from the indices of recipients and donors.

    Attributes:
        name: What is exchanged, a key of `keras_saliency.engine.edits.EDITS`.
        mask: Where, bool `(height, width)` or `(num_probes, height, width)`; `None` for an edit of
            the whole image.
        overlap: If masks differ between probes: whether to exchange where both the recipient's and
            the donor's mask are `True`, instead of where either is.
        rest: Whether to exchange everything else instead: what the donor gets of the recipient.
        describe: From images to what the edit needs to know of them: arrays with a row for each.
            `None` if it needs nothing.
    """

    name: str
    mask: Array | None = None
    overlap: bool = False
    rest: bool = False
    describe: Describe | None = None
