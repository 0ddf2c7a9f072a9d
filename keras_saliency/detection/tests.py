"""`TESTS`: the table of intervention tests, one row for each thing that is exchanged.

Arrays: images are `(num_pairs, height, width, channels)`, floating point; masks are bool.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array, Window
from keras_saliency.detection import edits, proposals
from keras_saliency.detection.pairs import Pairs, donors_for, draw_pairs, split_halves
from keras_saliency.metrics.localization import border

Edit = Callable[[Array, Array, Any], Array]
"""`(recipients, donors, where) -> images`: row by row, the recipient's image with one thing of the
donor's. All images have one shape; `where` is bool, `(height, width)` or `(num_pairs, height,
width)`, `True` where to exchange, or `None` for a test without a place."""

CONTROLS = {
    "elsewhere": "the same shape elsewhere",
    "rest": "everything else",
    "inside": "an equally small place inside",
    "": "none",
}
"""What an effect is compared with, in words."""

GROUPS = "groups"
"""The test that exchanges nothing: its effect is the gap in accuracy between groups of probes."""

BORDER, THIN_BORDER = 0.12, 0.05
"""The width of the tested borders, as a share of the image's shorter side."""

THIN_AREA = 0.25
"""A border that covers a larger share of the image is not thin."""


@dataclass(frozen=True, eq=False)
class Round:
    """What a proposal can look at: the probes, and the maps of this evaluation.

    Attributes:
        images: `(num_probes, height, width, channels)`.
        targets: `(num_probes,)`, class indices.
        maps: `(num_probes, height, width)`, saliency maps, weighted by the contrast of the images.
        masks: bool `(num_probes, height, width)`, the objects; `None` if they are not known.
        regions: The regions that the user named, each bool `(num_probes, height, width)`.
        tested: Indices of the probes that are tested.
        pairs: Recipients and donors among these.
        seed: Seed of all draws.
    """

    images: Array
    targets: Array
    maps: Array
    masks: Array | None
    regions: Mapping[str, Array]
    tested: Array
    pairs: Pairs
    seed: int


@dataclass(frozen=True, eq=False)
class Place:
    """Where a test exchanges something.

    Attributes:
        mask: bool `(height, width)`, the same for all; or `(num_probes, height, width)`. `None` if
            `untestable` says why there is no place.
        name: The part after the test's name and a slash: `"tag"` of `"region/tag"`.
        control: The place of a control `"inside"`, the shape of `mask`.
        overlap: If masks differ between probes: whether to exchange where both the recipient's and
            the donor's mask are `True`, instead of where either is.
        pairs: Recipients and donors; `None`: those of the round.
        window: The place as a rectangle, if it is one that the maps proposed.
        target: The class that the place is proposed for, if it is for one.
        untestable: Why the test cannot be made.
    """

    mask: Array | None = None
    name: str = ""
    control: Array | None = None
    overlap: bool = False
    pairs: Pairs | None = None
    window: Window | None = None
    target: int | None = None
    untestable: str = ""


@dataclass(frozen=True, eq=False)
class InterventionTest:
    """One thing that is exchanged between probes, and the rule for its effect.

    A model that does not use the thing gets as many probes right with a donor of another class as
    with one of the same class. If the difference is larger than `floor`, significant and larger
    than that of the control, the rule fires; if it fires at two tests in a row, it is an alert.

    Args:
        name: Its name in logs and alerts.
        edit: What is exchanged, `(recipients, donors, where) -> images`, NumPy in and out; see
            `Edit`. `None` only for `"groups"`, whose effect is a metric.
        subject: What is exchanged, in words; follows "the model relies on". `{name}` is the name
            and `{window}` the coordinates of a proposed place.
        assumption: Under which an effect is a problem; follows "This is a problem if".
        remedy: What to do about it; follows "Next:".
        floor: The smallest effect that counts, in 0..1.
        control: What the effect is compared with: `"rest"`, everything else is exchanged instead;
            `"elsewhere"`, the same shape in another place; `"inside"`, the place that the proposal
            gives; `""`, nothing.
        outweighs: How many times as large as the control's the effect has to be, being
            significantly larger. With `"elsewhere"` it applies only if the control reaches the
            floor, too.
        propose: Where to exchange: from a `Round` to a list of `Place`s; `None`: the edit needs no
            place.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> def swap_corner(recipients, donors, where):
        ...     images = recipients.copy()
        ...     images[:, :2, :2] = donors[:, :2, :2]
        ...     return images
        >>> corner = InterventionTest("corner", swap_corner, "the top left corner",
        ...                           "the corner does not belong to the object")
        >>> corner.floor, corner.control
        (0.25, 'rest')
    """

    name: str
    edit: Edit | None = field(repr=False)
    subject: str
    assumption: str
    remedy: str = "look at the evidence pictures"
    floor: float = 0.25
    control: str = "rest"
    outweighs: float = 2.0
    propose: Callable[[Round], Sequence[Place]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for argument in ("name", "subject", "assumption", "remedy"):
            text = getattr(self, argument)
            if not isinstance(text, str):
                raise TypeError(f"{argument}: expected a string, received {text!r}.")
            if not text:
                raise ValueError(f"{argument}: expected some text, received an empty string.")
        if not _fields(self.subject) <= {"name", "window"}:
            raise ValueError(
                f"subject: expected text in which only {{name}} and {{window}} are in braces, "
                f"received {self.subject!r}."
            )
        if not self.name.isprintable():
            raise ValueError(f"name: expected printable characters, received {self.name!r}.")
        if "/" in self.name:
            raise ValueError(
                f"name: expected a name without a slash, received {self.name!r}. The part after "
                "a slash names the place of a test."
            )
        for argument, value in (("edit", self.edit), ("propose", self.propose)):
            if value is not None and not callable(value):
                raise TypeError(f"{argument}: expected a function or None, received {value!r}.")
        if self.edit is None and self.name != GROUPS:
            raise ValueError(
                "edit: expected a function (recipients, donors, where) -> images, received None. "
                f"Only the test {GROUPS!r} has no edit."
            )
        for argument in ("floor", "outweighs"):
            number = getattr(self, argument)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise TypeError(f"{argument}: expected a number, received {number!r}.")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor: expected a number in 0..1, received {self.floor!r}.")
        if not self.outweighs >= 0:
            raise ValueError(f"outweighs: expected 0 or more, received {self.outweighs!r}.")
        check_choice("control", self.control, CONTROLS)
        if self.control in ("elsewhere", "inside") and self.propose is None:
            raise ValueError(
                f"control={self.control!r}: expected a test of a part of the image. Pass "
                "propose=, or use control='rest'."
            )


def _fields(text: str) -> set[str]:
    """The names in braces in a format string; `{""}` if it is not valid."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return {""}


def row_name(test: str) -> str:
    """The row of the table that a test belongs to: `"region"` for `"region/tag"`."""
    return test.partition("/")[0]


def _named_regions(round_: Round) -> list[Place]:
    """A place for each region that the user named."""
    return [
        Place(masks[0] if (masks == masks[0]).all() else masks, name=name)
        for name, masks in round_.regions.items()
    ]


def _background(round_: Round) -> list[Place]:
    """All that lies outside of both objects."""
    return [] if round_.masks is None else [Place(~round_.masks, overlap=True)]


def _border(round_: Round) -> list[Place]:
    _, height, width, _ = round_.images.shape
    return [Place(border(height, width, BORDER))]


def _thin_border(round_: Round) -> list[Place]:
    _, height, width, _ = round_.images.shape
    ring = border(height, width, THIN_BORDER)
    if ring.mean() > THIN_AREA:
        share = f"{ring.mean():.0%} of it, more than {THIN_AREA:.0%}"
        return [Place(untestable=f"the image is too small: a border of one pixel covers {share}")]
    return [Place(ring)]


def _own_hot_spot(round_: Round) -> list[Place]:
    """Each probe's hottest small window near the border; the control is its hottest one inside."""
    outer, inner = (proposals.own_hot_windows(round_.maps, outer=side) for side in (True, False))
    return [Place(outer, control=inner)]


def _hot_window(round_: Round) -> list[Place]:
    """The small window with most saliency, chosen on one half of the probes, tested on the other.

    Otherwise a window would be tested on the chance that it was chosen by.
    """
    choosers, testers = split_halves(round_.targets, round_.tested, round_.seed)
    pairs = _draw(round_, testers)
    if not len(pairs.recipients) or not len(choosers):
        return [Place(untestable="two classes with three probes each are needed")]
    window = proposals.hot_window(round_.maps[choosers])
    if window is None:
        return [Place(untestable="all maps are dead")]
    mask = proposals.window_mask(window, *round_.images.shape[1:3])
    return [Place(mask, pairs=pairs, window=window)]


def _class_hot_spot(round_: Round) -> list[Place]:
    """The small window in which one class stands out; donors of that class for all others."""
    choosers, testers = split_halves(round_.targets, round_.tested, round_.seed)
    if not len(_draw(round_, testers).recipients) or not len(choosers):
        return [Place(untestable="two classes with three probes each are needed")]
    proposal = proposals.class_hot_window(round_.maps[choosers], round_.targets[choosers])
    if proposal is None:
        return [Place(untestable="fewer than two classes have a map that is not dead")]
    target, window = proposal
    pairs = _draw(round_, testers, target)
    if not len(pairs.recipients):
        return [Place(untestable="no other class has three probes")]
    mask = proposals.window_mask(window, *round_.images.shape[1:3])
    return [Place(mask, pairs=pairs, window=window, target=target)]


def _draw(round_: Round, among: Array, donors_of: int | None = None) -> Pairs:
    return draw_pairs(
        round_.targets,
        among,
        num_donors=donors_for(among),
        seed=round_.seed,
        donors_of=donors_of,
    )


_BORDER_WORDS = "the border of the image (as wide as {share:.0%} of its shorter side)"
_BORDER_ASSUMPTION = "objects do not reach the border"
_SMALL_ASSUMPTION = "no place this small determines the class of your images"
_PLACE_REMEDY = (
    "look at the evidence, crop or cover this place in all images, or exchange it at random "
    "between the images of a batch"
)

_ROWS = (
    InterventionTest(
        "region",
        edits.swap_region,
        "the region {name!r}",
        "this region should not determine the class",
        _PLACE_REMEDY,
        floor=0.15,
        control="elsewhere",
        outweighs=1.5,
        propose=_named_regions,
    ),
    InterventionTest(
        "background",
        edits.swap_region,
        "the background",
        "your masks cover the object",
        "balance the backgrounds over the classes, or exchange backgrounds between training images",
        floor=0.15,
        control="",
        outweighs=0.0,
        propose=_background,
    ),
    InterventionTest(
        "border",
        edits.swap_region,
        _BORDER_WORDS.format(share=BORDER),
        _BORDER_ASSUMPTION,
        "crop the images, or exchange borders at random between the images of a batch",
        propose=_border,
    ),
    InterventionTest(
        "thin_border",
        edits.swap_region,
        _BORDER_WORDS.format(share=THIN_BORDER),
        _BORDER_ASSUMPTION,
        "crop the images, or exchange borders at random between the images of a batch",
        propose=_thin_border,
    ),
    InterventionTest(
        "tint",
        edits.swap_tint,
        "overall brightness, contrast and colour",
        "brightness, contrast and colour do not determine the class",
        "normalise each image, or change brightness, contrast and colour at random in training",
        floor=0.2,
        outweighs=1.0,
    ),
    InterventionTest(
        "high_frequency",
        edits.swap_high_frequency,
        "the finest detail (waves of three pixels or less)",
        "the finest detail does not determine the class",
        "blur or resize all images alike: cameras, scanners and file formats leave such traces",
        floor=0.2,
        outweighs=1.0,
    ),
    InterventionTest(
        "own_hot_spot",
        edits.swap_region,
        "one small place near the border of each image",
        _BORDER_ASSUMPTION,
        _PLACE_REMEDY,
        control="inside",
        outweighs=1.5,
        propose=_own_hot_spot,
    ),
    InterventionTest(
        "hot_window",
        edits.swap_region,
        "the small window {window}",
        _SMALL_ASSUMPTION,
        _PLACE_REMEDY,
        control="elsewhere",
        outweighs=1.5,
        propose=_hot_window,
    ),
    InterventionTest(
        "class_hot_spot",
        edits.swap_region,
        "the small window {window}",
        _SMALL_ASSUMPTION,
        _PLACE_REMEDY,
        control="elsewhere",
        outweighs=1.5,
        propose=_class_hot_spot,
    ),
    InterventionTest(
        GROUPS,
        None,
        "what tells the groups apart",
        "the model should do equally well on all groups",
        "look at the images of the worst group, and balance the groups within each class",
        floor=0.2,
        control="",
        outweighs=0.0,
    ),
)

TESTS: Mapping[str, InterventionTest] = {test.name: test for test in _ROWS}
"""The built-in tests by name. Floors and controls were calibrated by `benchmarks/spurious`."""
