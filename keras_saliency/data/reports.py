"""`SaliencyReport`: the frozen record of one evaluation, and those of the interventions in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keras_saliency.data.read_only import freeze, restore

Array = np.ndarray[Any, np.dtype[Any]]


class Window(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Example:
    """One counterfactual image and what the model said of it: the evidence in pictures.

    Attributes:
        recipient: Index of the probe that was changed.
        donor: Index of the probe of another class that it was changed with.
        image: `(height, width, channels)`, the recipient with what the donor gave.
        prediction: The class predicted for it; -1 if unknown.
        same_class_prediction: The same with a donor of the recipient's own class.
    """

    recipient: int
    donor: int
    image: Array = field(repr=False)
    prediction: int
    same_class_prediction: int

    def __post_init__(self) -> None:
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied example, read-only as before."""
        restore(self, state)


@dataclass(frozen=True, eq=False)
class Effect:
    """What one intervention found: one thing exchanged between probes, and the answers compared.

    `nan` where a number is undefined, all of them where `untestable` says why.

    Attributes:
        test: Which: `"region/<name>"`, `"background"`, `"border"`, `"thin_border"`, `"tint"`,
            `"high_frequency"`, `"own_hot_spot"`, `"class_hot_spot"`, `"hot_window"`, `"groups"`.
        effect: The region-swap effect: accuracy with the thing taken from a donor of the same
            class, minus accuracy with it taken from one of another class; in -1..1, 0 if the
            model does not use it. Of models without classes, the share (1 is all) of what
            exchanging the whole image does to the score.
        p_value: Of `effect` > 0, by a sign-flip test over the probes.
        flip: The net flip rate: how much more often the answer turns to the donor's class than
            under a donor of the same class; in -1..1, 0 if the model does not use it.
        keep: Accuracy under donors of the same class, in 0..1: what the exchange spares.
        control: The effect of the control, with the same donors: of a region or window, the same
            shape elsewhere; of border, tint and finest detail, all but that; of own hot spots,
            those away from the border; `nan` for other tests.
        margin_p_value: Of `effect` > `control`.
        control_p_value: Of `control` > 0.
        num_probes: How many probes were changed.
        num_donors: Donors of each kind, per probe.
        window: A proposed window, in pixels; `None` for other tests.
        target: The class of a proposal for one class.
        untestable: Why no test could be made; empty if it was.
        examples: Up to four of the pairs in which the answer changed most.
    """

    test: str
    effect: float = math.nan
    p_value: float = math.nan
    flip: float = math.nan
    keep: float = math.nan
    control: float = math.nan
    margin_p_value: float = math.nan
    control_p_value: float = math.nan
    num_probes: int = 0
    num_donors: int = 0
    window: Window | None = None
    target: int | None = None
    untestable: str = ""
    examples: tuple[Example, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class InterventionResults:
    """All interventions of one evaluation.

    Attributes:
        effects: One for each test.
        blocked_because: Why no alert can be raised yet (the model is hardly better than chance);
            empty if one can.
        unit: What effects are measured in: `"accuracy"` or `"score"`.
        passes: How many images the model was asked about.
        note: What was left out, such as classes with too few probes; empty if nothing was.
    """

    effects: tuple[Effect, ...]
    blocked_because: str
    unit: str
    passes: int
    note: str


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a rule makes of one effect.

    Attributes:
        effect: What was measured.
        floor: What it has to reach.
        p_value: Of an effect > 0, by Holm's method over all tests of the evaluation.
        start: The effect at the first evaluation, as a rule before training; `nan` without one.
        status: `"fires"`; `"finding"`: a significant effect that raises no alert, for the reason
            given; `"quiet"`; `"untestable"`.
        reason: For the status, in words; may be empty.
        active: Whether an alert of this rule stands.
        subject: What was exchanged, in words.
    """

    effect: Effect
    floor: float
    p_value: float
    start: float
    status: str
    reason: str
    active: bool
    subject: str = ""


@dataclass(frozen=True, eq=False)
class Alert:
    """What a rule has to say, and what that rests on.

    Attributes:
        level: `"warning"` when a rule fires, `"alert"` when it fires twice in a row.
        step: The report's step: Keras' 0-based epoch, -1 before training.
        rule: The name of the test, such as `"region/top-left"` or `"border"`.
        sentence: All of it, in plain words.
        assumption: Under which it is a problem, such as "your masks cover the object".
        remedy: What to do about it.
        effect: The region-swap effect, as in `Effect`.
        flip: The net flip rate, as in `Effect`.
        p_value: By Holm's method over all tests of the evaluation, in 0..1.
        control: The effect of the control; `nan` without one.
        start: The effect at the first evaluation, as a rule before training; `nan` without one.
        num_probes: How many probes were changed.
        window: The window that the maps proposed, in pixels; `None` for other tests.
        target: The class of a proposal for one class.
        examples: Pairs of probes to look at.
    """

    level: str
    step: int
    rule: str
    sentence: str
    assumption: str
    remedy: str
    effect: float
    flip: float
    p_value: float
    control: float
    start: float
    num_probes: int
    window: Window | None
    target: int | None
    examples: tuple[Example, ...] = field(repr=False)

    def __str__(self) -> str:
        """The sentence."""
        return self.sentence


@dataclass(frozen=True, eq=False)
class SaliencyReport:
    """What one evaluation of a probe set found. All arrays and mappings are read-only.

    Attributes:
        step: When: Keras' 0-based epoch, -1 for the state before the first batch, or whatever
            a custom training loop counts.
        maps: `(num_probes, height, width)`, non-negative saliency maps on the raw scale of the
            attribution; `nan` where the gradient is. For inputs other than images: their axes
            without the channels, see `keras_saliency.data.inputs`.
        targets: `(num_probes,)` int, the class explained for each probe.
        predictions: `(num_probes,)` int, the class predicted now; -1 if unknown:
            the model's output is not one score per class; its logits are not finite; or, with a
            custom `score`, it may be something else than logits or probabilities.
        confidences: `(num_probes,)` in 0..1, the probability of the predicted class; `nan`
            where `predictions` is -1.
        scores: `(num_probes,)`, the scalar that was differentiated.
        gradient_norms: `(num_probes,)`, the L2 norm of each probe's attribution (of the gradient
            itself for `method="gradient"`): the magnitude that a map scaled for display lacks.
        metrics: Named numbers computed from the above; `nan` where undefined. See
            `keras_saliency.metrics.catalog`.
        method: The name of what made `maps`.
        signed_maps: The same as `maps` with their signs, where the reduction keeps them; else
            `None`.
        others: By their names, the maps of the further methods that were asked for; with their
            signs, where the reduction keeps them.
        interventions: What the interventions found; `None` where none were made.
        verdicts: What the rules make of that, one for each effect.
        alerts: What is new in it.
    """

    step: int
    maps: Array
    targets: Array
    predictions: Array
    confidences: Array
    scores: Array
    gradient_norms: Array
    metrics: Mapping[str, float]
    method: str = "saliency"
    signed_maps: Array | None = None
    others: Mapping[str, Array] = field(default_factory=dict)
    interventions: InterventionResults | None = None
    verdicts: tuple[Verdict, ...] = ()
    alerts: tuple[Alert, ...] = ()

    def __post_init__(self) -> None:
        if self.method in self.others:
            raise ValueError(f"others: expected further methods, received {self.method!r} again.")
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied report, read-only as before."""
        restore(self, state)

    def is_same_state(self, other: SaliencyReport) -> bool:
        """Whether the model was the same, as far as what it said and its maps tell."""
        pairs = (
            (self.scores, other.scores),
            (self.predictions, other.predictions),
            (self.maps, other.maps),
        )
        return all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs)
