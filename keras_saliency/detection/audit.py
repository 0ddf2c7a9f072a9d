"""`audit`: whether trivial readings of the probes tell their labels, before a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from keras_saliency.data.blocks import thumbnails
from keras_saliency.data.checks import check_seed
from keras_saliency.data.inputs import AssumedKind
from keras_saliency.data.probes import ProbeSet, check_probes
from keras_saliency.data.reports import Array
from keras_saliency.detection import readings as read
from keras_saliency.detection.facts import ProbeFacts
from keras_saliency.detection.left_out import (
    hat_matrix,
    permutation_p_value,
    separation,
    shuffled,
    similarities,
)
from keras_saliency.detection.pairs import MAX_RECIPIENTS, balanced
from keras_saliency.detection.proposals import purities, stands_out
from keras_saliency.detection.sentences import column_words
from keras_saliency.detection.significance import holm

MAX_SIDE = 40
"""Larger images are reduced to this many pixels of their longer side; fine detail is not."""

LEVEL = 0.05
"""The level of significance, for all readings together."""

FLOORS: Mapping[str, float] = MappingProxyType(
    {
        "repeated_pattern": 0.85,
        "corners": 0.9,
        "border": 0.85,
        "tint": 0.8,
        "fine_detail": 0.88,
        "order": 0.85,
        "column": 0.85,
    }
)
"""By reading, the balanced accuracy from which it is a finding. Chosen by `benchmarks/audit.py`.
Thumbnails have none: objects are seen in them."""

_ORDER_WIDTH = 0.1
_MOSTLY = 0.5  # of what chance leaves: from here on, the accuracy says enough
_MOST_NAMES = 3


@dataclass(frozen=True, eq=False)
class Reading:
    """What one trivial reading of the probes tells about their classes.

    Attributes:
        name: Its name, such as `"border"`.
        subject: What is read, in words.
        accuracy: The share of probes whose class it tells, in 0..1, each left out in turn.
        separation: The balanced accuracy with which it tells classes apart in two groups, in 0..1;
            0.5 by chance.
        group: The smaller one of these groups, as names of classes.
        p_value: How likely such a separation is if labels are shuffled, with Holm's correction for
            all readings that have a floor; `nan` below the floor.
        found: Whether it is a finding: a model could cheat there.
        tests: The intervention tests that watch it, keys of `ks.TESTS`.
        region: Where it is, bool `(height, width)` or `(features,)`, for `ProbeSet(regions=...)`;
            `None` if it is not a place.
    """

    name: str
    subject: str
    accuracy: float
    separation: float
    group: tuple[str, ...]
    p_value: float
    found: bool
    tests: tuple[str, ...]
    region: Array | None = field(repr=False)


@dataclass(frozen=True, eq=False)
class Audit:
    """What trivial readings of the probes tell about their classes.

    Attributes:
        readings: All readings, the most specific ones first; empty if there is nothing to audit.
        chance: The share of the largest class.
        num_probes: How many probes were read.
        reason: Why there is nothing to audit; empty if there is something.
        note: What the probes were taken for, if their shape leaves it open; empty if not.
    """

    readings: tuple[Reading, ...]
    chance: float
    num_probes: int
    reason: str = ""
    note: str = ""

    @property
    def findings(self) -> tuple[Reading, ...]:
        """The readings by which a model could cheat, the strongest first."""
        found = [reading for reading in self.readings if reading.found]
        return tuple(sorted(found, key=lambda reading: -round(reading.separation, 1)))

    @property
    def tests(self) -> tuple[str, ...]:
        """The intervention tests that watch the findings, keys of `ks.TESTS`."""
        return tuple(dict.fromkeys(test for one in self.findings for test in one.tests))

    @property
    def regions(self) -> dict[str, Array]:
        """The places of the findings, for `ProbeSet(regions=...)`: bool `(height, width)`."""
        return {one.name: one.region for one in self.findings if one.region is not None}

    @property
    def in_short(self) -> str:
        """The strongest finding and the names of others; empty if nothing was found."""
        if not self.findings:
            return ""
        first, *others = self.findings
        more = f" (also: {', '.join(one.name for one in others)})" if others else ""
        text = f"audit: {first.subject} alone {self.told_by(first)}{more}"
        watched = ", ".join(self.tests)
        return f"{text}: the data let a model cheat there; watched by {watched}"

    def told_by(self, reading: Reading) -> str:
        """What a reading tells, with chance and p-value, in words."""
        p_value = "" if np.isnan(reading.p_value) else f", p = {reading.p_value:.2g}"
        few = 0 < len(reading.group) <= _MOST_NAMES
        if reading.accuracy >= self.chance + _MOSTLY * (1 - self.chance) or not reading.found:
            chance = f"({self.chance:.0%} by chance{p_value})"
            return f"tells the class of {reading.accuracy:.0%} of the probes {chance}"
        names = ", ".join(reading.group) if few else f"{len(reading.group)} of the classes"
        share = f"in {reading.separation:.0%} of cases (50% by chance{p_value})"
        return f"tells {names} from the other classes {share}"

    def __str__(self) -> str:
        """A line for each reading; findings are marked, and say what watches them."""
        if self.reason:
            return f"audit: nothing to audit: {self.reason}"
        verdict = "the data let a model cheat" if self.findings else "no finding"
        lines = [f"audit of {self.num_probes} probes: {verdict}"]
        lines += [f"  {self.note}"] if self.note else []
        for reading in self.readings:
            mark = "!" if reading.found else " "
            watched = f"; watched by {', '.join(reading.tests)}" if reading.found else ""
            lines.append(f"{mark} {reading.subject} {self.told_by(reading)}{watched}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class _Plan:
    """A reading that is to be made: its words, and one hat matrix or several."""

    name: str
    subject: str
    hats: list[Array]
    tests: tuple[str, ...] = ()
    region: Array | None = None


def audit(probes: ProbeSet, *, seed: int = 0) -> Audit:
    """Finds out whether trivial readings of the images tell their classes.

    A reading is a few numbers of each image that say nothing about its object: its outermost
    pixels, its brightness, how sharp it is. A ridge regression predicts the class of each probe
    from those of the others. If it succeeds, *the data let a model cheat there*: whether a model
    does is what the intervention tests find out. An audit needs no model, and raises no alert.

    - `repeated_pattern`: places where the images of a class repeat each other pixel by pixel.
    - `corners`: squares of 15 % of the side.
    - `border`: a border as wide as 5 % of the shorter side.
    - `tint`: brightness, contrast and colour, both of the image and of its border.
    - `fine_detail`: how sharp or noisy the image is, in its sharpest cells and along its border.
    - `order`: the positions of the probes in their data set, `ProbeSet.indices`, if they are known
      and the data set is not sorted by class. A model does not see them: they stand for the day or
      the place where images were taken.
    - `column`: of a table, the column that tells the classes far better than the next.
    - `thumbnail`, `surroundings`: 8 x 8 cells with and without their inner half, to compare. They
      show objects, too, so they are never findings.

    A reading is a finding if it tells classes apart in two groups with a balanced accuracy of
    `FLOORS` or more, and significantly: a cue may belong to one class alone, or to half of them.

    Args:
        probes: Images or features with targets. Inputs of rank 3 are read as gray images, unless
            their `kind` says otherwise. At most 256 are read, equally many of each class.
        seed: Of the shuffled labels.

    Returns:
        An `Audit`. It has no readings, and a `reason`, if the probes are neither images nor
        features, have no targets, or fewer than two classes of two probes or more.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `seed` is negative.

    Example:
        >>> images = np.random.default_rng(0).random((60, 16, 16, 1))
        >>> targets = np.arange(60) % 3
        >>> images[:, 0] = targets[:, np.newaxis, np.newaxis] / 2  # the top row tells the class
        >>> found = audit(ProbeSet(images, targets))
        >>> found.findings[0].name, "thin_border" in found.tests
        ('repeated_pattern', True)
        >>> watched = ProbeSet(images, targets, regions=found.regions)
    """
    check_probes(probes)
    seed = check_seed("seed", seed)
    if probes.kind not in ("image", "features"):
        reason = f"an audit reads images and columns, and these probes are {probes.kind}"
        return Audit((), np.nan, 0, reason)
    if probes.targets is None:
        return Audit((), np.nan, 0, "the probes have no targets")
    classes, counts = np.unique(probes.targets, return_counts=True)
    among = np.flatnonzero(np.isin(probes.targets, classes[counts > 1]))
    chosen = balanced(probes.targets, among, MAX_RECIPIENTS, seed)
    classes, targets, counts = np.unique(
        probes.targets[chosen], return_inverse=True, return_counts=True
    )
    if len(classes) < 2:
        why = "at least two classes are needed, with two probes each"
        return Audit((), np.nan, 0, why)
    plans = _plans(probes, chosen) if probes.kind == "image" else _columns(probes, chosen)
    names = tuple(probes.class_name(int(index)) for index in classes)
    made = _made(plans, targets, names, seed)
    chance = float(counts.max() / counts.sum())
    return Audit(made, chance, len(chosen), note=_assumption(probes))


def _assumption(probes: ProbeSet) -> str:
    """What the probes are taken for, if no model has told; empty if they leave no choice."""
    if probes.kind != "image" or not isinstance(probes.kind, AssumedKind):
        return ""
    return (
        "the probes, of rank 3, are read as gray images; if they are series (or nodes of graphs), "
        "pass ProbeSet(..., kind='series'), which is not audited"
    )


def _plans(probes: ProbeSet, chosen: Array) -> list[_Plan]:
    """All readings that these probes allow, the most specific ones first."""
    images = probes.images[chosen]
    small = thumbnails(images, MAX_SIDE).astype(np.float64)
    small /= max(float(np.abs(small).max()), np.finfo(float).tiny)
    border = read.thin_ring(*small.shape[1:3])
    background = "estimated_background" if probes.masks is None else "background"
    by_level = [similarities(read.levels(small), scaled=True)]
    by_level.append(similarities(read.border_means(small)))
    detail = similarities(read.fine_detail(images), scaled=True)
    return [
        *_repeated(small, probes, chosen),
        _corners(small, probes, chosen),
        _Plan(
            "border",
            "the border",
            [hat_matrix(similarities(read.pixels(small, border)))],
            ("thin_border", "border", background),
            read.thin_ring(*probes.images.shape[1:3]),
        ),
        _Plan(
            "tint",
            "the tint (brightness, contrast, colour)",
            [hat_matrix(kernel) for kernel in by_level],
            ("tint", background),
        ),
        _Plan(
            "fine_detail",
            "the fine detail (sharpness, noise, grain)",
            [hat_matrix(detail)],
            ("spectrum", "high_frequency"),
        ),
        *_ordered(probes, chosen),
        _Plan("thumbnail", "an 8 x 8 thumbnail", [hat_matrix(similarities(read.thumbnail(small)))]),
        _Plan(
            "surroundings",
            "an 8 x 8 thumbnail without its middle",
            [hat_matrix(similarities(read.surroundings(small)))],
        ),
    ]


def _columns(probes: ProbeSet, chosen: Array) -> list[_Plan]:
    """The column of a table that tells the classes far better than the next, if there is one."""
    found = purities(probes.images[chosen], np.asarray(probes.targets)[chosen])
    if len(found) < 2:
        return []
    second, best = found.argsort(kind="stable")[-2:]
    if not stands_out(found[best], found[second]):
        return []
    column = probes.images[chosen][:, best : best + 1].astype(float)
    hat = hat_matrix(similarities(column, scaled=True))
    region = np.arange(len(found)) == best
    return [
        _Plan("column", column_words(int(best), probes.feature_names), [hat], ("column",), region)
    ]


def _repeated(small: Array, probes: ProbeSet, chosen: Array) -> list[_Plan]:
    """The place where images of a class repeat each other, if there is one."""
    targets = np.asarray(probes.targets)[chosen]
    place = ProbeFacts(ProbeSet(small, targets)).repeated_place
    if not place.any():
        return []
    hat = hat_matrix(similarities(read.pixels(small, place)))
    words = "a pattern that repeats pixel by pixel"
    region = _enlarged(place, probes)
    return [_Plan("repeated_pattern", words, [hat], ("repeated_pattern",), region)]


def _corners(small: Array, probes: ProbeSet, chosen: Array) -> _Plan:
    """The corners together; their region is those that tell classes apart by themselves."""
    _, targets = np.unique(np.asarray(probes.targets)[chosen], return_inverse=True)
    places = read.corners(*small.shape[1:3])
    values = [
        separation(hat_matrix(similarities(read.pixels(small, place))), targets).value
        for place in places
    ]
    telling = [value >= min(FLOORS["corners"], max(values)) for value in values]
    full = read.corners(*probes.images.shape[1:3])
    region = np.any([place for place, tells in zip(full, telling, strict=True) if tells], axis=0)
    hat = hat_matrix(similarities(read.pixels(small, np.any(places, axis=0))))
    tests = ("border_patch", "thin_border", "border")
    return _Plan("corners", "the content of the corners", [hat], tests, region)


def _ordered(probes: ProbeSet, chosen: Array) -> list[_Plan]:
    """The order of the probes in their data set, unless it is unknown, or that of the classes."""
    if probes.indices is None:
        return []
    order = np.asarray(probes.indices)[chosen].argsort(kind="stable")
    targets = np.asarray(probes.targets)[chosen]
    if np.count_nonzero(np.diff(targets[order])) == len(np.unique(targets)) - 1:
        return []
    position = order.argsort().astype(float)[:, np.newaxis]
    hat = hat_matrix(similarities(position, width=_ORDER_WIDTH))
    return [_Plan("order", "the position in the data set", [hat], ("groups",))]


def _enlarged(place: Array, probes: ProbeSet) -> Array:
    """A place in reduced images, at their full size."""
    height, width = probes.images.shape[1:3]
    block = -(-max(height, width) // MAX_SIDE)
    large: Array = place.repeat(block, axis=0).repeat(block, axis=1)
    return large[:height, :width]


def _made(
    plans: list[_Plan], targets: Array, names: tuple[str, ...], seed: int
) -> tuple[Reading, ...]:
    """Makes the readings; p-values only of those that reach their floor."""
    weakest = {
        plan.name: min((separation(hat, targets) for hat in plan.hats), key=lambda one: one.value)
        for plan in plans
    }
    draws = shuffled(targets, seed)
    raw = {
        plan.name: permutation_p_value(plan.hats, targets, draws)
        if weakest[plan.name].value >= FLOORS[plan.name]
        else 1.0
        for plan in plans
        if plan.name in FLOORS
    }
    p_values = dict(zip(raw, holm([*raw.values()]), strict=True))
    readings = []
    for plan in plans:
        best_cut = weakest[plan.name]
        reaches = best_cut.value >= FLOORS.get(plan.name, np.inf)
        readings.append(
            Reading(
                name=plan.name,
                subject=plan.subject,
                accuracy=best_cut.accuracy,
                separation=best_cut.value,
                group=tuple(names[index] for index in best_cut.group),
                p_value=p_values[plan.name] if reaches else np.nan,
                found=reaches and p_values[plan.name] < LEVEL,
                tests=plan.tests,
                region=plan.region,
            )
        )
    return tuple(readings)
