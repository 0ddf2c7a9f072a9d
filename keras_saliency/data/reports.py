"""`SaliencyReport`: the frozen record of one evaluation, and the records of its interventions."""

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
    """One counterfactual image and the model's answer to it: evidence to look at.

    Attributes:
        recipient: Index of the probe that was changed.
        donor: Index of the probe of another class whose content was inserted.
        image: `(height, width, channels)`, the recipient with the donor's content.
        prediction: The class predicted for `image`; -1 if it is unknown.
        same_class_prediction: The class predicted if the donor is of the recipient's own class.
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
    """The result of one intervention test.

    The test exchanges one thing between probes and compares the model's answers.

    Numbers are `nan` if they are undefined. All are `nan` if `untestable` gives a reason.

    Attributes:
        test: The name of the test, a key of `keras_saliency.TESTS`, followed by a slash and the
            name of a place if it has several: `"region/tag"`; `"border/one_class"` for donors of
            one class.
        effect: The region-swap effect: accuracy with content from a donor of the same class, minus
            accuracy with content from a donor of another class. In -1..1; 0 if the model does not
            use the content. For models without classes: the change of the score, as a share of the
            change that exchanging the whole image causes (1 is all of it).
        p_value: The p-value of `effect` > 0, by a sign-flip test over the probes, times the number
            of places or classes that were compared to find this one.
        flip: The net flip rate: how much more often the answer changes to the donor's class than
            with a donor of the same class. In -1..1; 0 if the model does not use the content.
        keep: Accuracy with donors of the same class, in 0..1: what remains after the exchange.
        control: The effect of the control, with the same donors: what is exchanged instead says
            `control` of the test. `nan` if there is none, or `effect` is too small to need one.
        margin_p_value: The p-value of `effect` > `control`.
        control_p_value: The p-value of `control` > 0.
        num_probes: How many probes were changed.
        num_donors: The number of donors of each kind, per probe.
        window: A proposed window, in pixels; `None` for other tests.
        target: The class, if the proposal is for one class.
        support: What, beside the effect, speaks for an artefact at this place; empty if nothing
            does.
        explained_by: The test of which this effect is a consequence; empty if there is none.
        untestable: Why the test was not possible; empty if it was.
        bound: The upper bound of the effect, if the test was stopped after a part of the donors
            because it would not reach its floor; `effect` is then that of this part, and `p_value`
            is 1. `nan` for a complete test.
        place: Where the exchange was made, if the test fires and this is (nearly) the same for all
            probes: bool `(height, width)`, for other inputs than images `(steps, channels)`,
            `(features,)`, `(tokens,)` or `(depth, height, width)`. Otherwise `None`.
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
    support: str = ""
    explained_by: str = ""
    untestable: str = ""
    bound: float = math.nan
    place: Array | None = field(default=None, repr=False)
    examples: tuple[Example, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class InterventionResults:
    """The results of all interventions of one evaluation.

    Attributes:
        effects: One per test.
        blocked_because: Why no alert can be raised yet (the model is hardly better than chance);
            empty if alerts are possible.
        unit: The unit of the effects: `"accuracy"` or `"score"`.
        passes: The number of images that the model was run on.
        note: What was left out, such as classes with too few probes; empty if nothing was.
        alpha: The level of significance, for all tests of this evaluation together.
    """

    effects: tuple[Effect, ...]
    blocked_because: str
    unit: str
    passes: int
    note: str
    alpha: float = 0.01


@dataclass(frozen=True, eq=False)
class Verdict:
    """The judgement of a rule on one effect.

    Attributes:
        effect: What was measured.
        floor: The smallest effect for which the rule can fire.
        p_value: The p-value of an effect > 0, corrected by Holm's method over all tests of the
            evaluation.
        start: The effect at the first evaluation, usually before training; `nan` without one.
        status: `"fires"`; `"finding"`: a significant effect that raises no alert, for the reason
            given; `"quiet"`; `"stopped"`, a part of the donors shows that the effect is too small;
            or `"untestable"`.
        reason: The reason for the status, in words; may be empty.
        active: Whether an alert of this rule is active.
        subject: What was exchanged, in words.
        alpha: What the p-value has to be below.
        withdrawn: Whether the alert of this rule was withdrawn at this evaluation, as it was quiet
            at two tests in a row.
    """

    effect: Effect
    floor: float
    p_value: float
    start: float
    status: str
    reason: str
    active: bool
    subject: str = ""
    alpha: float = 0.01
    withdrawn: bool = False


@dataclass(frozen=True, eq=False)
class Alert:
    """The message of a rule that fired, and the numbers behind it.

    Attributes:
        level: `"warning"` if a rule fires, `"alert"` if it fires twice in a row.
        step: The report's step: Keras' 0-based epoch, -1 before training.
        rule: The name of the test, such as `"region/top-left"` or `"border"`.
        sentence: The whole message, in plain words.
        assumption: The condition under which this is a problem, such as "your masks cover the
            object".
        advice: What to do about it.
        effect: The region-swap effect, as in `Effect`.
        flip: The net flip rate, as in `Effect`.
        p_value: The p-value, corrected by Holm's method over all tests of the evaluation, in 0..1.
        control: The effect of the control; `nan` without one.
        start: The effect at the first evaluation, usually before training; `nan` without one.
        num_probes: How many probes were changed.
        window: The window that the maps proposed, in pixels; `None` for other tests.
        target: The class, if the proposal is for one class.
        examples: Pairs of probes to look at.
        alpha: The level of significance that the p-value is below. The levels of all evaluations
            of a run sum to 0.01.
        explains: The tests that fired as well, as a consequence of this one.
        withdrawn: The step at which the alert was withdrawn, as later tests did not confirm it;
            `None` if it stands.
        place: As in `Effect`.
        inputs: Of a model with several inputs, the name of the one that was changed, or of a table
            of several, that of each column; positions as text.
    """

    level: str
    step: int
    rule: str
    sentence: str
    assumption: str
    advice: str
    effect: float
    flip: float
    p_value: float
    control: float
    start: float
    num_probes: int
    window: Window | None
    target: int | None
    examples: tuple[Example, ...] = field(repr=False)
    alpha: float = 0.01
    explains: tuple[str, ...] = ()
    withdrawn: int | None = None
    place: Array | None = field(default=None, repr=False)
    inputs: tuple[str, ...] = ()

    def remedy(self, *, seed: int = 0, data_format: str | None = None) -> Any:
        """The layer that takes away what the alert names; the same as `keras_saliency.remedy`.

        Args:
            seed: As in `keras_saliency.remedy`.
            data_format: As in `keras_saliency.remedy`.

        Raises:
            ValueError: The test exchanges nothing.
        """
        import keras_saliency  # the front door: records know nothing of layers

        return keras_saliency.remedy(self, seed=seed, data_format=data_format)

    def __str__(self) -> str:
        """The sentence."""
        return self.sentence


@dataclass(frozen=True, eq=False)
class SaliencyReport:
    """The result of one evaluation of a probe set. All arrays and mappings are read-only.

    Attributes:
        step: The number of the evaluation: Keras' 0-based epoch, -1 before the first batch, or
            the count of a custom training loop.
        maps: `(num_probes, height, width)`, non-negative saliency maps on the raw scale of the
            attribution; `nan` where the gradient is `nan`. For other kinds of input: their axes
            without the channels, see `keras_saliency.data.inputs`.
        targets: `(num_probes,)` int, the class explained for each probe.
        predictions: `(num_probes,)` int, the class predicted now. -1 if it is unknown: the output
            of the model is not one score per class, its logits are not finite, or a custom `score`
            is used and the output may be something other than logits or probabilities. Of a
            detector, the class in the probe's box; -1 if it finds nothing there.
        confidences: `(num_probes,)` in 0..1, the probability of the predicted class; `nan` where
            `predictions` is -1, but 0 where a detector finds nothing.
        scores: `(num_probes,)`, the scalar that was differentiated.
        gradient_norms: `(num_probes,)`, the L2 norm of each probe's attribution (of the gradient
            itself for `method="gradient"`). Heatmaps are scaled for display and do not show this
            magnitude.
        metrics: Named numbers computed from the arrays above; `nan` where undefined. See
            `keras_saliency.metrics.catalog`.
        method: The name of the method that computed `maps`.
        signed_maps: `maps` with their signs if the reduction keeps them, else `None`.
        others: The maps of all further methods, by the name of the method; with their signs if the
            reduction keeps them.
        other_inputs: For each further input that is explained, by name, the report of its maps;
            its metrics are those of its maps, and are among `metrics` as well, followed by a slash
            and the name.
        interventions: The results of the interventions; `None` if there were none.
        verdicts: The judgements of the rules, one per effect.
        alerts: The alerts and warnings that are new at this step.
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
    other_inputs: Mapping[str | int, SaliencyReport] = field(default_factory=dict)
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
