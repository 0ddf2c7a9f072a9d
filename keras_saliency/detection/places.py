"""Places: where the built-in tests exchange something, proposed from the probes and their maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_saliency.data.reports import Array, Window
from keras_saliency.detection import proposals
from keras_saliency.detection.facts import ProbeFacts
from keras_saliency.detection.pairs import Pairs, donors_for, draw_pairs
from keras_saliency.detection.repetition import SHARE, bounding_window
from keras_saliency.metrics.localization import border as ring

BORDER, THIN_BORDER = 0.12, 0.05
"""The width of the tested borders, as a share of the image's shorter side."""

THIN_AREA = 0.25
"""A border that covers a larger share of the image is not thin."""

WIDE = 0.5
"""A pattern whose bounding window covers more of the image has no window."""

COMMON = 0.1
"""The share of the probes whose hot spots have to cover a pixel for it to be a common one."""

COLUMNS = 3
"""The number of columns of a table that are tested."""

KNOWN = 0.25
"""The share of probes whose object has to be known for a test of estimated backgrounds."""


@dataclass(frozen=True, eq=False)
class Round:
    """What a proposal can look at: the probes, and the maps of this evaluation.

    Attributes:
        images: `(num_probes, height, width, channels)`; for other kinds, see
            `keras_saliency.data.inputs.KINDS`.
        targets: `(num_probes,)`, class indices.
        maps: `(num_probes, height, width)`, saliency maps; those of images are weighted by the
            contrast of the images.
        masks: bool `(num_probes, height, width)`, the objects; `None` if they are not known.
        regions: The regions that the user named, each bool `(num_probes, height, width)`; those of
            a series may have channels.
        facts: What the probes alone tell about where their objects are.
        tested: Indices of the probes that are tested.
        pairs: Recipients and donors among these.
        seed: Seed of all draws.
        kind: The kind of input, a key of `keras_saliency.data.inputs.KINDS`.
        feature_names: Of the columns of a table, if they have names.
    """

    images: Array
    targets: Array
    maps: Array
    masks: Array | None
    regions: Mapping[str, Array]
    facts: ProbeFacts
    tested: Array
    pairs: Pairs
    seed: int
    kind: str = "image"
    feature_names: Sequence[str] | None = None

    @property
    def place_shape(self) -> tuple[int, ...]:
        """The shape of a place that is the same for all probes.

        `(height, width)` for images, `(depth, height, width)` for volumes; otherwise the shape of
        an input: `(steps, channels)`, `(features,)` or `(tokens,)`.
        """
        channels = self.kind in ("image", "volume")
        shape: tuple[int, ...] = self.images.shape[1 : self.images.ndim - channels]
        return shape


@dataclass(frozen=True, eq=False)
class Place:
    """Where a test exchanges something.

    Attributes:
        mask: bool `(height, width)`, the same for all; or `(num_probes, height, width)`; for other
            inputs than images `Round.place_shape`, or the same for each probe. `None` if the place
            is `untestable`.
        name: The part after the test's name and a slash: `"tag"` of `"region/tag"`.
        control: The place of a control `"inside"`, the shape of `mask`.
        overlap: If masks differ between probes: whether to exchange where both the recipient's and
            the donor's mask are `True`, instead of where either is.
        pairs: Recipients and donors; `None`: those of the round.
        window: The place as a rectangle, if it is one that was proposed.
        target: The class that the place is proposed for, if it is for one.
        support: What speaks for an artefact at this place, in words; empty if nothing does. `None`:
            it is found by `ProbeFacts.support`, if the place is the same for all probes.
        num_candidates: From how many places and classes this one was chosen with the help of the
            targets; the p-value is multiplied by it.
        untestable: Why the test cannot be made.
        common: If masks differ between probes: where many of them lie, bool `(height, width)`.
    """

    mask: Array | None = None
    name: str = ""
    control: Array | None = None
    overlap: bool = False
    pairs: Pairs | None = None
    window: Window | None = None
    target: int | None = None
    support: str | None = None
    num_candidates: int = 1
    untestable: str = ""
    common: Array | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Several places, of which the one with the largest effect is tested.

    They are compared on few donors. The p-value of the one that is chosen is multiplied by their
    number.

    Attributes:
        places: All have the same name and pairs.
    """

    places: Sequence[Place]


Propose = Callable[[Round], "Sequence[Place | Candidates]"]
"""What proposes places for a test."""


def named_regions(round_: Round) -> list[Place]:
    """A place for each region that the user named."""
    shape = len(round_.images), *round_.place_shape
    regions = {  # all channels of a series, if it has no channel axis
        name: masks if masks.shape == shape else np.broadcast_to(masks[..., np.newaxis], shape)
        for name, masks in round_.regions.items()
    }
    return [
        Place(masks[0] if (masks == masks[0]).all() else masks, name=name)
        for name, masks in regions.items()
    ]


def telling_columns(round_: Round) -> list[Place]:
    """The columns that tell the classes best by themselves, each a place by its name.

    The probes choose them, not the maps, so that all evaluations test the same ones.
    """
    (count,) = round_.place_shape
    if count < 2:
        return []  # there is nothing else to compare it with
    found = proposals.purities(round_.images[round_.tested], round_.targets[round_.tested])
    best = np.argsort(-found, kind="stable")[:COLUMNS]
    columns = np.eye(count, dtype=bool)
    pure, next_pure = found[best[:2]]
    support = (
        f"two probes with nearly the same value have the same class in {pure:.0%} of cases, in the "
        f"next best column in {next_pure:.0%}"
    )
    support *= proposals.stands_out(pure, next_pure)
    names = round_.feature_names or [*map(str, range(count))]
    return [
        Place(
            columns[i], name=names[i], num_candidates=count, support=support if i == best[0] else ""
        )
        for i in best
    ]


def background(round_: Round) -> list[Place]:
    """All that lies outside of both objects."""
    return [] if round_.masks is None else [Place(~round_.masks, overlap=True)]


def border(round_: Round) -> list[Place]:
    """A ring of 12 % of the shorter side."""
    _, height, width, _ = round_.images.shape
    return [Place(ring(height, width, BORDER))]


def thin_border(round_: Round) -> list[Place]:
    """A ring of 5 % of the shorter side."""
    _, height, width, _ = round_.images.shape
    thin = ring(height, width, THIN_BORDER)
    if thin.mean() > THIN_AREA:
        share = f"{thin.mean():.0%} of it, more than {THIN_AREA:.0%}"
        return [Place(untestable=f"the image is too small: a border of one pixel covers {share}")]
    return [Place(thin)]


def own_hot_spot(round_: Round) -> list[Place]:
    """Each probe's hottest small window near the border; the control is its hottest one inside."""
    outer, inner = (proposals.own_hot_windows(round_.maps, outer=side) for side in (True, False))
    common = outer.mean(axis=0) >= COMMON
    return [Place(outer, control=inner, common=common if common.any() else None)]


def repeated_pattern(round_: Round) -> list[Place]:
    """All places where the images of a class are the same pixel by pixel; none in most data."""
    facts = round_.facts
    mask = facts.repeated_place
    if not mask.any():
        return []
    repeating = facts.classes[facts.repeated_in(mask) >= SHARE]
    is_of_one = len(repeating) == 1 and len(facts.classes) > 2
    target = int(repeating[0]) if is_of_one else None
    pairs = _draw(round_, target)
    if not len(pairs.recipients):
        return [Place(untestable="no other class has two probes")]
    window = bounding_window(mask)
    if window is not None and window.height * window.width > WIDE * mask.size:
        window = None
    return [Place(mask, pairs=pairs, window=window, target=target)]


def border_patch(round_: Round) -> list[Candidates]:
    """Corner squares and strips along the edges where something speaks for an artefact."""
    windows = proposals.border_windows(*round_.images.shape[1:3])
    return _supported(round_, windows)


def hot_window(round_: Round) -> Sequence[Place | Candidates]:
    """The window with most saliency, and larger ones around it if something speaks for them.

    The maps do not know the donors, so it costs nothing that they choose the place.
    """
    window = proposals.hot_window(round_.maps[round_.tested])
    if window is None:
        return [Place(untestable="all maps are dead")]
    sizes = proposals.grown(window, *round_.images.shape[1:3])
    return _supported(round_, sizes) or [_window_place(round_, window)]


def _supported(round_: Round, windows: Sequence[Window]) -> list[Candidates]:
    """Those windows for which something else speaks, unless they overlap a repeated pattern.

    That has a test of its own.
    """
    places = [_window_place(round_, window) for window in windows]
    repeated = round_.facts.repeated_place
    places = [place for place in places if place.support and not repeated[place.mask].any()]
    return [Candidates(places)] if places else []


def class_hot_spot(round_: Round) -> list[Place]:
    """The small window in which one class stands out; donors of that class for all others."""
    maps, targets = round_.maps[round_.tested], round_.targets[round_.tested]
    proposal = proposals.class_hot_window(maps, targets)
    if proposal is None:
        return [Place(untestable="fewer than two classes have a map that is not dead")]
    target, window = proposal
    pairs = _draw(round_, target)
    if not len(pairs.recipients):
        return [Place(untestable="no other class has two probes")]
    height, width = round_.images.shape[1:3]
    count = (height - window.height + 1) * (width - window.width + 1) * len(np.unique(targets))
    place = _window_place(round_, window)
    return [dataclasses.replace(place, pairs=pairs, target=target, num_candidates=count)]


def estimated_background(round_: Round) -> list[Place]:
    """All that lies outside of both objects, as far as the border of each image tells."""
    if round_.masks is not None:
        return []
    masks = round_.facts.estimated_masks
    known = round_.tested[masks[round_.tested].any(axis=(1, 2))]
    pairs = _draw(round_, among=known)
    if len(pairs.recipients) < KNOWN * len(round_.tested):
        return [Place(untestable="the borders of the images do not tell where the objects are")]
    return [Place(~masks, overlap=True, pairs=pairs)]


def _window_place(round_: Round, window: Window) -> Place:
    mask = proposals.window_mask(window, *round_.images.shape[1:3])
    return Place(mask, window=window, support=round_.facts.support(mask))


def _draw(round_: Round, donors_of: int | None = None, among: Array | None = None) -> Pairs:
    return draw_pairs(
        round_.targets,
        round_.tested if among is None else among,
        num_donors=donors_for(round_.tested),
        seed=round_.seed,
        donors_of=donors_of,
    )
