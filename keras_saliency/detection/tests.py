"""`TESTS`: the table of intervention tests, one row for each thing that is exchanged.

Arrays: images are `(num_pairs, height, width, channels)`, floating point; masks are bool.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from keras_saliency.data.checks import check_choice
from keras_saliency.data.inputs import KINDS
from keras_saliency.data.reports import Array
from keras_saliency.detection import edits, places

Edit = Callable[[Array, Array, Any], Array]
"""`(recipients, donors, where) -> images`: row by row, the recipient's image with one thing of the
donor's. All images have one shape; `where` is bool, `(height, width)` or `(num_pairs, height,
width)`, `True` where to exchange, or `None` for a test without a place. Inputs of other kinds have
the axes of their kind, and `where` has as many, each of the same length or of length 1."""

ALL_KINDS = tuple(KINDS)
"""The kinds of input that every test is for that does not depend on the kind."""

CONTROLS = {
    "elsewhere": "the same shape elsewhere",
    "rest": "everything else",
    "inside": "an equally small place inside",
    "border": "the border of the image alone",
    "": "none",
}
"""What an effect is compared with, in words."""

GROUPS = "groups"
"""The test that exchanges nothing: its effect is the gap in accuracy between groups of probes."""

ONE_CLASS = "one_class"
"""The name of the place of an aimed test."""


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
            and `{window}` the coordinates of a proposed place, or empty.
        assumption: Under which an effect is a problem; follows "This is a problem if".
        advice: What to do about it; follows "Next:".
        floor: The smallest effect that counts, in 0..1.
        control: What the effect is compared with: `"rest"`, everything else is exchanged instead;
            `"elsewhere"`, the same shape in another place; `"inside"`, the place that the proposal
            gives; `"border"`, the border of the image; `""`, nothing.
        outweighs: How many times as large as the control's the effect has to be, being
            significantly larger than the control's, or than that part of it. With `"elsewhere"` it
            applies only if the control reaches the floor, too. A place with support needs no
            control.
        propose: Where to exchange: from a `Round` to a list of `Place`s and `Candidates`; `None`:
            the edit needs no place.
        needs_support: Whether an effect is a problem only if something else speaks for an artefact
            at that place, see `Place.support`. Otherwise it is a finding.
        aimed: If it is made with donors of a single class as well, unless the effect of all reaches
            the floor: the control of that, and how many times it has to be outweighed. The class is
            the one whose donors change most answers. It finds a cue that only one class has. Its
            name ends in `/one_class`.
        kinds: The kinds of input that it is for, keys of `keras_saliency.data.inputs.KINDS`.

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
    advice: str = "look at the evidence pictures"
    floor: float = 0.25
    control: str = "rest"
    outweighs: float = 2.0
    propose: places.Propose | None = field(default=None, repr=False)
    needs_support: bool = False
    aimed: tuple[str, float] | None = None
    kinds: tuple[str, ...] = ("image",)

    def __post_init__(self) -> None:
        for argument in ("name", "subject", "assumption", "advice"):
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
        self._check_kinds()
        if self.aimed is not None:
            if not isinstance(self.aimed, tuple) or len(self.aimed) != 2:
                raise TypeError(
                    "aimed: expected a control and how many times it has to be outweighed, such "
                    f"as ('rest', 2.0), or None, received {self.aimed!r}."
                )
            self.named(f"{self.name}/{ONE_CLASS}")  # a row of its own, which is checked
        if self.control in ("elsewhere", "inside") and self.propose is None:
            raise ValueError(
                f"control={self.control!r}: expected a test of a part of the image. Pass "
                "propose=, or use control='rest'."
            )

    def _check_kinds(self) -> None:
        if not isinstance(self.kinds, tuple):
            raise TypeError(
                f"kinds: expected a tuple of kinds of input, such as ('image',), received "
                f"{self.kinds!r}."
            )
        if not self.kinds:
            raise ValueError("kinds: expected at least one kind of input, received none.")
        for kind in self.kinds:
            check_choice("kinds", kind, ALL_KINDS)
        if self.control == "border" and self.kinds != ("image",):
            raise ValueError(
                "control='border': expected kinds=('image',), since other inputs have no border, "
                f"received kinds={self.kinds!r}. Use control='rest'."
            )

    def named(self, test: str) -> InterventionTest:
        """The row for a test of this row by its full name; one of a single class may differ."""
        if self.aimed is None or not test.endswith(f"/{ONE_CLASS}"):
            return self
        control, outweighs = self.aimed
        return replace(self, control=control, outweighs=outweighs, aimed=None)


def _fields(text: str) -> set[str]:
    """The names in braces in a format string; `{""}` if it is not valid."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return {""}


def row_name(test: str) -> str:
    """The row of the table that a test belongs to: `"region"` for `"region/tag"`."""
    return test.partition("/")[0]


_BORDER_WORDS = "the border of the image (as wide as {share:.0%} of its shorter side)"
_BORDER_ASSUMPTION = "objects do not reach the border"
_PLACE_ASSUMPTION = "the object does not reach this place"
_PLACE_ADVICE = "look at the evidence, and crop or cover this place in all images"
_REGION_ADVICE = "look at the evidence, and cover or leave out this region in all inputs"

_ROWS = (
    InterventionTest(
        "region",
        edits.swap_region,
        "the region {name!r}",
        "this region should not determine the class",
        _REGION_ADVICE,
        floor=0.15,
        control="elsewhere",
        outweighs=1.5,
        propose=places.named_regions,
        kinds=ALL_KINDS,
    ),
    InterventionTest(
        "background",
        edits.swap_region,
        "the background",
        "your masks cover the object",
        "balance the backgrounds over the classes",
        floor=0.15,
        control="",
        outweighs=0.0,
        propose=places.background,
        aimed=("", 0.0),
        kinds=("image", "volume"),
    ),
    InterventionTest(
        "estimated_background",
        edits.swap_region,
        "the background (all that looks like the border of the image)",
        "the objects differ from their backgrounds, so that they are found without masks",
        "pass masks= to the ProbeSet to be sure, and balance the backgrounds over the classes",
        outweighs=0.6,
        propose=places.estimated_background,
    ),
    InterventionTest(
        "repeated_pattern",
        edits.swap_region,
        "a repeated pattern {window}",
        "your objects do not repeat pixel by pixel",
        _PLACE_ADVICE,
        floor=0.15,
        control="",
        outweighs=0.0,
        propose=places.repeated_pattern,
    ),
    InterventionTest(
        "border",
        edits.swap_region,
        _BORDER_WORDS.format(share=places.BORDER),
        _BORDER_ASSUMPTION,
        "crop the images",
        propose=places.border,
        aimed=("rest", 2.0),
    ),
    InterventionTest(
        "thin_border",
        edits.swap_region,
        _BORDER_WORDS.format(share=places.THIN_BORDER),
        _BORDER_ASSUMPTION,
        "crop the images",
        outweighs=0.55,
        propose=places.thin_border,
        aimed=("rest", 0.55),
    ),
    InterventionTest(
        "tint",
        edits.swap_tint,
        "overall brightness, contrast and colour",
        "brightness, contrast and colour do not determine the class",
        "normalise each image",
        floor=0.2,
        control="border",
        outweighs=1.25,
        aimed=("rest", 0.55),
    ),
    InterventionTest(
        "spectrum",
        edits.swap_spectrum,
        "how sharp, noisy or grainy the image is (the energy of its spatial frequencies)",
        "sharpness, noise and grain do not determine the class",
        "give all images the same resolution and file format",
        floor=0.1,
        control="border",
        outweighs=1.25,
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
        _PLACE_ADVICE,
        control="inside",
        outweighs=2.5,
        propose=places.own_hot_spot,
    ),
    InterventionTest(
        "border_patch",
        edits.swap_region,
        "the part of the image {window}",
        _PLACE_ASSUMPTION,
        _PLACE_ADVICE,
        floor=0.15,
        control="",
        outweighs=0.0,
        propose=places.border_patch,
        needs_support=True,
    ),
    InterventionTest(
        "hot_window",
        edits.swap_region,
        "the window {window}",
        _PLACE_ASSUMPTION,
        _PLACE_ADVICE,
        floor=0.15,
        control="",
        outweighs=0.0,
        propose=places.hot_window,
        needs_support=True,
    ),
    InterventionTest(
        "class_hot_spot",
        edits.swap_region,
        "the window {window}",
        _PLACE_ASSUMPTION,
        _PLACE_ADVICE,
        floor=0.15,
        control="",
        outweighs=0.0,
        propose=places.class_hot_spot,
        needs_support=True,
    ),
    InterventionTest(
        "offset",
        edits.swap_offset,
        "the offset (mean over time) of the channels",
        "the level of a channel does not determine the class",
        "normalise each channel of each series",
        floor=0.2,
        outweighs=1.5,
        kinds=("series",),
    ),
    InterventionTest(
        "scale",
        edits.swap_scale,
        "the scale (standard deviation over time) of the channels",
        "the amplitude of a channel does not determine the class",
        "normalise each channel of each series",
        floor=0.2,
        outweighs=1.5,
        kinds=("series",),
    ),
    InterventionTest(
        "column",
        edits.swap_region,
        "column {name} (counted from 0)",
        "no column should tell the class nearly by itself",
        "find out how this column is made, and leave it out if it is known only after the class "
        "is, or is an identifier",
        floor=0.25,
        control="rest",
        outweighs=2.0,
        propose=places.telling_columns,
        kinds=("features",),
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
        kinds=ALL_KINDS,
    ),
)

TESTS: Mapping[str, InterventionTest] = {test.name: test for test in _ROWS}
"""The built-in tests by name. Floors and controls were calibrated by `benchmarks/spurious`."""
