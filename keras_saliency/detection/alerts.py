"""Alerts: what is worth telling the user, and in which words.

A test *fires* if its effect passes a floor, its p-value (Holm's, over all tests of the evaluation)
is below `ALPHA`, the model knows the classes at all, and its control does not say that anything
would do. The first evaluation at which a test fires warns; the second in a row is an alert, which
stays until two in a row are quiet. No metric of a map raises an alert by itself.

A model and its data alone cannot tell a shortcut from a feature. So each rule names the assumption
under which its effect is a fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras_saliency.data.reports import Alert, Effect, InterventionResults, Verdict, Window

ALPHA = 0.01
"""The level of significance, for all tests of one evaluation together."""

WARNING, ALERT = "warning", "alert"
"""The levels of an alert: fired once; fired twice in a row."""


SCORE_FLOORS = 2.0
"""Of models without classes, whose floors no benchmark has measured, floors are so many times as
high, and an effect has to pass them from where it was at the start."""

FINDING = 0.15
"""From this effect on, one that is no reason for an alert is still worth showing."""


class SaliencyAlertWarning(UserWarning):
    """The category of the Python warning that tells of alerts."""


@dataclass(frozen=True)
class Rule:
    """When the effect of a test is worth an alert.

    Attributes:
        floor: The smallest effect that counts.
        control: What the effect is held against: `"elsewhere"`, the same shape in another place;
            `"rest"`, everything but the thing; `"inside"`, a place as hot and as small away from
            the border; or nothing, `""`.
        outweighs: How many times the control's effect it has to reach, being significantly larger;
            against `"elsewhere"` only if that reaches the floor, too.
        subject: What is exchanged, in words.
        assumption: Under which a model that uses it is at fault; follows "assuming that".
    """

    floor: float
    control: str
    outweighs: float
    subject: str
    assumption: str


_CONTROLS = {
    "elsewhere": "the same shape elsewhere",
    "rest": "all but it",
    "inside": "a place as small inside",
}
_BORDER_PRIOR = "objects do not reach the border (border prior)"
_SIZE_PRIOR = "no place so small makes the class of a natural image (size prior)"
_TINT_PRIOR = "brightness and contrast do not make the class (tint prior)"
_DETAIL_PRIOR = "the finest detail does not make the class (detail prior)"

RULES: Mapping[str, Rule] = {
    "region": Rule(
        0.15, "elsewhere", 1.5, "the region {name!r}", "a region you name should not decide"
    ),
    "background": Rule(0.15, "", 0.0, "the background", "your masks cover the object"),
    "border": Rule(0.25, "rest", 2.0, "the outer 12 % of each side", _BORDER_PRIOR),
    "thin_border": Rule(0.25, "rest", 2.0, "the outer 5 % of each side", _BORDER_PRIOR),
    "tint": Rule(0.2, "rest", 1.0, "brightness and contrast", _TINT_PRIOR),
    "high_frequency": Rule(
        0.2, "rest", 1.0, "the finest detail (waves of three pixels or less)", _DETAIL_PRIOR
    ),
    "own_hot_spot": Rule(
        0.25, "inside", 1.5, "one small place near the border of each image", _BORDER_PRIOR
    ),
    "class_hot_spot": Rule(0.25, "elsewhere", 1.5, "the small window {window}", _SIZE_PRIOR),
    "hot_window": Rule(0.25, "elsewhere", 1.5, "the small window {window}", _SIZE_PRIOR),
    "groups": Rule(
        0.2, "", 0.0, "what tells the groups apart", "the groups you named should fare alike"
    ),
}
"""By the part of a test's name in front of `/`."""


def _against_start(effect: Effect, floor: float, before: float, is_first: bool) -> tuple[str, str]:
    """What becomes of a score's effect that fires; one unknown at the start counts as none."""
    if is_first:
        return "finding", "later ones are held against this"
    if effect.effect < (0.0 if math.isnan(before) else before) + floor:
        return "finding", f"at the start it was {_plain(before)}"
    return "fires", ""


@dataclass(frozen=True)
class Streak:
    """How often in a row a test has fired, or been quiet, and whether its alert stands."""

    fired: int = 0
    quiet: int = 0
    active: bool = False
    place: tuple[Window | None, int | None] = (None, None)
    """The window and the class of the latest firing: a proposal elsewhere begins a new streak."""


def rule_name(test: str) -> str:
    """The part of a test's name that says which rule is for it: `"region"` of `"region/tag"`."""
    return test.partition("/")[0]


def judge(
    found: InterventionResults,
    *,
    floors: Mapping[str, float] | None = None,
    start: Mapping[str, float] | None = None,
    streaks: Mapping[str, Streak] | None = None,
) -> tuple[tuple[Verdict, ...], dict[str, Streak]]:
    """Holds the effects of one evaluation against the rules.

    Args:
        found: Of this evaluation.
        floors: By test, a floor that is higher than the rule's own; of a baseline.
        start: By test, the effect before training.
        streaks: By test, after the evaluation before.

    Returns:
        A verdict for each effect, and the streaks after it. While the gate is closed nothing is
        testable and the streaks stay.
    """
    tested = [e for e in found.effects if not e.untestable and not math.isnan(e.p_value)]
    p_values = holm([effect.p_value for effect in tested])
    adjusted = {effect.test: p for effect, p in zip(tested, p_values, strict=True)}
    verdicts = []
    after = dict(streaks or {})
    for effect in found.effects:
        rule = RULES[rule_name(effect.test)]
        before = (start or {}).get(effect.test, math.nan)
        floor = max(rule.floor, (floors or {}).get(effect.test, 0.0))
        if found.unit == "score":
            floor = min(1.0, max(SCORE_FLOORS * rule.floor, floor))
        p_value = adjusted.get(effect.test, math.nan)
        status, reason = _status(effect, rule, floor, p_value)
        if found.blocked_because:
            status, reason = "untestable", found.blocked_because
        elif found.unit == "score" and status == "fires":
            status, reason = _against_start(effect, floor, before, start is None)
        streak = after.get(effect.test, Streak())
        after[effect.test] = _next(streak, status, (effect.window, effect.target))
        active = after[effect.test].active
        verdicts.append(Verdict(effect, floor, p_value, before, status, reason, active))
    return tuple(verdicts), after


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number: below alpha with probability alpha if nothing is true.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]

    Reference:
        Holm: A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of
        Statistics 6 (1979), 65-70.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _status(effect: Effect, rule: Rule, floor: float, p_value: float) -> tuple[str, str]:
    if effect.untestable:
        return "untestable", effect.untestable
    if not (p_value < ALPHA and effect.effect >= min(floor, FINDING)):
        return "quiet", ""
    if effect.effect < floor:
        return "finding", f"below the floor of {floor:.2g}"
    beats_control = (
        effect.margin_p_value < ALPHA and effect.effect >= rule.outweighs * effect.control
    )
    if rule.control in ("rest", "inside") and not beats_control:
        return "finding", f"{_CONTROLS[rule.control]} has an effect of {_plain(effect.control)}"
    control_fires = effect.control >= floor and effect.control_p_value < ALPHA
    if rule.control == "elsewhere" and control_fires and not beats_control:
        return "finding", f"{_CONTROLS[rule.control]} has an effect of {_plain(effect.control)}"
    return "fires", ""


def _next(streak: Streak, status: str, place: tuple[Window | None, int | None]) -> Streak:
    if status == "untestable":
        return streak
    if status == "fires":
        fired = 1 + streak.fired * _is_one(place, streak.place)
        return Streak(fired, 0, streak.active or fired >= 2, place)
    quiet = streak.quiet + 1
    return Streak(0, quiet, streak.active and quiet < 2, streak.place)


def _is_one(
    place: tuple[Window | None, int | None], before: tuple[Window | None, int | None]
) -> bool:
    """Whether two proposals are of one class and overlap; all are where there is no window."""
    (window, target), (earlier, earlier_target) = place, before
    if window is None or earlier is None:
        return True
    apart = [abs(window[axis] - earlier[axis]) for axis in (0, 1)]
    return target == earlier_target and apart[0] < window[2] and apart[1] < window[3]


def announce(
    verdicts: Sequence[Verdict],
    before: Mapping[str, Streak],
    step: int,
    unit: str,
    class_name: Callable[[int], str],
) -> tuple[Alert, ...]:
    """The alerts that are new in an evaluation, those with the largest effect first.

    Args:
        verdicts: Of this evaluation.
        before: The streaks after the evaluation before.
        step: Of this evaluation.
        unit: As in `InterventionResults`.
        class_name: From a class index to its name.
    """
    alerts = []
    when = "before training" if step == -1 else f"epoch {step}"
    fired = [verdict for verdict in verdicts if verdict.status == "fires"]
    for verdict in sorted(fired, key=lambda verdict: -verdict.effect.effect):
        if before.get(verdict.effect.test, Streak()).active:
            continue
        level = ALERT if verdict.active else WARNING
        effect, rule = verdict.effect, RULES[rule_name(verdict.effect.test)]
        alerts.append(
            Alert(
                level=level,
                step=step,
                rule=effect.test,
                sentence=f"{when}: {sentence(verdict, unit, class_name)}",
                assumption=rule.assumption,
                effect=effect.effect,
                flip=effect.flip,
                p_value=verdict.p_value,
                control=effect.control,
                start=verdict.start,
                num_probes=effect.num_probes,
                window=effect.window,
                target=effect.target,
                examples=effect.examples,
            )
        )
    return tuple(alerts)


def subject(effect: Effect, class_name: Callable[[int], str]) -> str:
    """What a test exchanges, in words."""
    window = "that the maps propose"
    if effect.window is not None:
        top, left, height, width = effect.window
        window = f"at {_span('row', top, height)}, {_span('column', left, width)}"
    words = RULES[rule_name(effect.test)].subject.format(
        name=effect.test.partition("/")[2], window=window
    )
    if effect.target is not None:
        words += f" of class {class_name(effect.target)!r}"
    return words


def _span(name: str, first: int, count: int) -> str:
    return f"{name} {first}" if count == 1 else f"{name}s {first}-{first + count - 1}"


def sentence(verdict: Verdict, unit: str, class_name: Callable[[int], str]) -> str:
    """What a verdict says, in plain words, with its numbers and its assumption."""
    effect = verdict.effect
    rule = RULES[rule_name(effect.test)]
    words = subject(effect, class_name)
    if rule_name(effect.test) == "groups":
        said = (
            f"the model fares worse on some groups, and not for their classes: the best group's "
            f"accuracy exceeds the worst one's by {effect.effect:.2f}"
        )
    elif unit == "score":
        said = (
            f"the model relies on {words}: replacing that by what another class has there moves "
            f"the score {effect.effect:.0%} as far as replacing the whole image does"
        )
    elif effect.target is not None:
        said = (
            f"the model relies on {words}: putting it into images of other classes costs "
            f"{effect.effect:.2f} of accuracy"
        )
    else:
        them = "them" if rule_name(effect.test) == "tint" else "it"
        those = "those" if rule_name(effect.test) == "tint" else "that"
        said = (
            f"the model relies on {words}: replacing {them} by {those} of another class costs "
            f"{effect.effect:.2f} of accuracy"
        )
    numbers = [f"p = {verdict.p_value:.2g}", f"{effect.num_probes} probes"]
    if rule.control and not math.isnan(effect.control):
        numbers.append(f"{_CONTROLS[rule.control]}: {_plain(effect.control)}")
    if not math.isnan(verdict.start):
        numbers.append(f"at the start: {_plain(verdict.start)}")
    told = f"{said} ({'; '.join(numbers)}). A fault, assuming that {rule.assumption}."
    if rule_name(effect.test) == "groups":
        return told
    return f"{told} Validation data that share the cue do not show it."


def _plain(value: float) -> str:
    """Two decimals, and no minus in front of a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def in_short(alerts: Sequence[Alert]) -> str:
    """The first alert's sentence, and the names of the others."""
    others = ", ".join(alert.rule for alert in alerts[1:])
    return alerts[0].sentence + (f" Also: {others}." if others else "")


def numbers(found: InterventionResults) -> dict[str, float]:
    """What the interventions found as named numbers, for `SaliencyReport.metrics`."""
    named = {}
    for effect in found.effects:
        named[f"effect/{effect.test}"] = effect.effect
        if found.unit == "accuracy" and rule_name(effect.test) != "groups":
            named[f"flip/{effect.test}"] = effect.flip
        named[f"p_value/{effect.test}"] = effect.p_value
    return named
