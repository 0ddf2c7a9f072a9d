"""Swaps: what is to be exchanged between which probes, and what the model answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from keras_saliency.data.placed_edits import Describe, Description, PlacedEdit
from keras_saliency.data.reports import Array, Window
from keras_saliency.detection.pairs import Pairs

Answer = Callable[[Array, Array], tuple[Array, Array]]
"""Asks the model: from images, and the indices of the probes that they were made from, to the
predicted classes (-1 where unknown) and the scores of these probes' targets."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images of some probes, as they are or changed.

    Attributes:
        values: `(num_images, height, width, channels)`.
        indices: `(num_images,)`, the probes.
        known: Describes probes as they are, each only once: from `Describe` and indices to what
            `Describe` returns of the images. `None` if the images are changed.
    """

    values: Array
    indices: Array
    known: Callable[[Describe, Array], Description] | None = None

    def described(self, describe: Describe) -> Description:
        """The description of each image."""
        if self.known is None:
            return describe(self.values)
        return self.known(describe, self.indices)


PairEdit = Callable[[Images, Images], Array]
"""From recipients and donors, pair by pair, to counterfactual images."""


@dataclass(frozen=True, eq=False)
class BuiltInEdit:
    """A `PairEdit` whose images can be made where the model runs, from the indices of probes.

    Attributes:
        edit: Makes the images in NumPy.
        placed: Says which images are to be made.
    """

    edit: PairEdit
    placed: PlacedEdit

    def __call__(self, ours: Images, theirs: Images) -> Array:
        """The counterfactual images, made in NumPy."""
        return self.edit(ours, theirs)


class ByIndex(Protocol):
    """Asks the model about counterfactual images that are made where it runs."""

    def makes(self, edit: PlacedEdit) -> bool:
        """Whether it can make the images of an edit; if not, `Answer` is used."""

    def equal(self, edit: PlacedEdit, recipients: Array, donors: Array) -> dict[str, Array]:
        """Which images equal the `"recipients"`, and which the `"donors"`, bool `(num_pairs,)`."""

    def by_index(self, edit: PlacedEdit, recipients: Array, donors: Array) -> tuple[Array, Array]:
        """The answers to the images of any number of pairs, as those of `Answer`."""


CONTROLLED = 0.15
"""From this effect on, a control is measured; smaller ones raise no alert."""


@dataclass(frozen=True, eq=False)
class Swap:
    """One exchange to be measured.

    Attributes:
        test: The test's name, as in `Effect`.
        edit: Makes the counterfactual images.
        control: The same as `edit` for the control; `None` if there is none.
        pairs: Recipients and donors.
        window: As in `Effect`.
        target: As in `Effect`.
        support: As in `Effect`.
        area: The share of the image that is exchanged, in 0..1.
        floor: The smallest effect that is of interest.
        outweighs: The share of the control's effect that this one has to exceed, at most 1.
        num_candidates: From how many swaps this one was chosen by the model's answers.
        place: As in `Effect`.
    """

    test: str
    edit: PairEdit
    control: PairEdit | None
    pairs: Pairs
    window: Window | None = None
    target: int | None = None
    support: str = ""
    area: float = 1.0
    floor: float = CONTROLLED
    outweighs: float = 1.0
    num_candidates: int = 1
    place: Array | None = None


@dataclass(frozen=True)
class Readiness:
    """Whether the model's answers can prove anything yet.

    Attributes:
        blocked_because: Why they cannot; empty if they can.
        scale: The change that counts as an effect of 1.
        required: The accuracy that has to remain when donors are of the same class.
        known: bool `(num_probes,)`, whether the model is right on each probe; `None` for scores.
    """

    blocked_because: str
    scale: float = 1.0
    required: float = 0.0
    known: Array | None = field(default=None, compare=False)


class Answers(NamedTuple):
    """The model's answers to counterfactual images, each `(num_recipients, num_donors)`."""

    same: Array
    other: Array
    same_scores: Array
    other_scores: Array
