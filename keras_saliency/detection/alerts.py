"""Alerts: which effects are a problem, and since when.

A test *fires* if its effect reaches the floor, its p-value (Holm's, over all tests of the round) is
below the level of the round, the model knows the classes at all, and the control does not explain
it. The first round in which a test fires is a warning; the second in a row is an alert, which stays
until two rounds in a row are quiet. A round in which only the margin over the control is not
significant counts as neither. No metric of a map raises an alert by itself.

A model and its data alone cannot tell a shortcut from a feature. So each test states the assumption
under which its effect is a problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras_saliency.data.reports import Alert, Effect, InterventionResults, Verdict, Window
from keras_saliency.detection.sentences import plain, seen, sentence, subject
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.significance import ALPHA, holm
from keras_saliency.detection.tests import CONTROLS, GROUPS, InterventionTest, row_name

WARNING, ALERT = "warning", "alert"
"""The levels of an alert: fired once; fired at two tests in a row."""

SCORE_FLOORS = 2.0
"""For models without classes, whose floors no benchmark has measured, floors are this many times as
high."""

FIRST = "the first test of a run may be of an untrained model"
"""Why nothing fires at first in a model without classes, of which no accuracy tells how good it
is."""

UNCLEAR = ", and the margin over it is not significant"
"""How the reason of a finding ends that is larger than its control; it pauses a streak."""

UNSUPPORTED = "it may be a part of the object: does the object reach this place?"
"""The reason of a finding at a place where nothing but the effect speaks for an artefact."""

COUNTS_FROM = {"elsewhere": 0.0, "border": 0.25}
"""Controls that explain an effect only if theirs is at least this large; 0 is the test's floor."""

FINDING = 0.15
"""From this effect on, one that raises no alert is still shown as a finding."""


@dataclass(frozen=True)
class Streak:
    """How many rounds in a row a test has fired, or been quiet, and whether its alert stands.

    Attributes:
        fired: Rounds in a row in which it fired.
        quiet: Rounds in a row in which it was quiet.
        active: Whether an alert stands.
        window: The window of the latest firing.
        target: The class of the latest firing; another window or class begins a new streak.
        since: The step of the first of these rounds in which it fired; `None` if it did not fire
            in the latest one.
    """

    fired: int = 0
    quiet: int = 0
    active: bool = False
    window: Window | None = None
    target: int | None = None
    since: int | None = None


def judge(
    results: InterventionResults,
    *,
    settings: Interventions | None = None,
    start: Mapping[str, float] | None = None,
    streaks: Mapping[str, Streak] | None = None,
    class_name: Callable[[int], str] = str,
    feature_names: Sequence[str] | None = None,
    step: int = -1,
) -> tuple[tuple[Verdict, ...], dict[str, Streak]]:
    """Applies the rules to the effects of one round.

    Args:
        results: Of this round.
        settings: The table of tests, floors, and what is ignored.
        start: By test, the effect before training.
        streaks: By test, after the round before.
        class_name: From a class index to its name.
        feature_names: Of the columns of a table, if they have names.
        step: Of this round.

    Returns:
        A verdict for each effect, and the streaks after it. While tests are blocked, nothing is
        testable and the streaks stay as they are.
    """
    settings = settings or Interventions()
    tested = [e for e in results.effects if not e.untestable and not math.isnan(e.p_value)]
    p_values = holm([effect.p_value for effect in tested])
    adjusted = {effect.test: p for effect, p in zip(tested, p_values, strict=True)}
    verdicts = []
    after = dict(streaks or {})
    for effect in results.effects:
        test = settings.table[row_name(effect.test)].named(effect.test)
        before = (start or {}).get(effect.test, math.nan)
        floor = max(test.floor, settings.floor(effect.test))
        if results.unit == "score":
            floor = min(1.0, max(SCORE_FLOORS * test.floor, floor))
        p_value = adjusted.get(effect.test, math.nan)
        status, reason = _status(effect, test, floor, p_value, results.alpha)
        if results.blocked_because:
            status, reason = "untestable", results.blocked_because
        elif results.unit == "score" and status == "fires" and start is None:
            status, reason = "finding", FIRST
        if status == "fires" and effect.explained_by:
            reason = f"explained by {effect.explained_by}"
        if status == "fires" and settings.ignores(effect.test):
            status, reason = "finding", "ignored, as set by ignore="
        streak = after.get(effect.test, Streak())
        is_pause = (
            status == "finding"
            and effect.effect >= floor
            and (streak.active or reason.endswith(UNCLEAR))
        )
        after[effect.test] = streak if is_pause else _next(streak, status, effect, step)
        active = after[effect.test].active
        words = subject(effect, test, class_name, feature_names)
        is_withdrawn = streak.active and not active
        verdicts.append(
            Verdict(
                *(effect, floor, p_value, before, status, reason),
                *(active, words, results.alpha, is_withdrawn),
            )
        )
    return tuple(verdicts), after


def _status(
    effect: Effect, test: InterventionTest, floor: float, p_value: float, alpha: float
) -> tuple[str, str]:
    """What the rule says of one effect, and why."""
    if effect.untestable:
        return "untestable", effect.untestable
    if not math.isnan(effect.bound):
        return "stopped", f"at most {plain(effect.bound)}, by a part of the donors"
    if not (p_value < alpha and effect.effect >= min(floor, FINDING)):
        return "quiet", ""
    if effect.effect < floor:
        return "finding", f"below the floor of {floor:.2g}"
    if test.needs_support and not effect.support:
        return "finding", UNSUPPORTED
    if not test.control or effect.support:
        return "fires", ""
    outweighs = effect.effect >= test.outweighs * effect.control
    explained = not (effect.margin_p_value < ALPHA and outweighs)
    if test.control in COUNTS_FROM:  # counts only if it is an effect of its own
        least = COUNTS_FROM[test.control] or floor
        explained &= effect.control >= least and effect.control_p_value < ALPHA
    if not explained:
        return "fires", ""
    control = f"the control, {CONTROLS[test.control]}, has an effect of {plain(effect.control)}"
    return "finding", f"{control}{UNCLEAR}" if outweighs else control


def _next(streak: Streak, status: str, effect: Effect, step: int) -> Streak:
    if status == "untestable":
        return streak
    if status == "fires":
        fired = 1 + streak.fired * _is_same_place(effect, streak)
        active = streak.active or (fired >= 2 and not effect.explained_by)
        since = streak.since if fired > 1 else step
        return Streak(fired, 0, active, effect.window, effect.target, since)
    quiet = streak.quiet + 1
    return Streak(0, quiet, streak.active and quiet < 2, streak.window, streak.target)


def _is_same_place(effect: Effect, streak: Streak) -> bool:
    """Whether two proposals are for the same class and overlap; true without windows."""
    window, earlier = effect.window, streak.window
    if window is None or earlier is None:
        return True
    apart = [abs(window[axis] - earlier[axis]) for axis in (0, 1)]
    return effect.target == streak.target and apart[0] < window[2] and apart[1] < window[3]


def announce(
    verdicts: Sequence[Verdict],
    before: Mapping[str, Streak],
    step: int,
    unit: str,
    settings: Interventions | None = None,
    *,
    tested: Sequence[int] = (),
    noun: str = "image",
    inputs: tuple[str, ...] = (),
) -> tuple[Alert, ...]:
    """The alerts and warnings that are new in a round, those with the largest effect first.

    Args:
        verdicts: Of this round.
        before: The streaks after the round before.
        step: Of this round.
        unit: As in `InterventionResults`.
        settings: The table of tests.
        tested: The steps of all rounds so far in which the model knew the classes.
        noun: What an input is called.
        inputs: As in `Alert`.
    """
    table = (settings or Interventions()).table
    alerts = []
    when = "before training" if step == -1 else f"epoch {step}"
    fired = [verdict for verdict in verdicts if verdict.status == "fires"]
    for verdict in sorted(fired, key=lambda verdict: -verdict.effect.effect):
        effect, test = verdict.effect, table[row_name(verdict.effect.test)]
        streak = before.get(effect.test, Streak())
        if streak.active or effect.explained_by:
            continue
        since = step if streak.since is None or not verdict.active else streak.since
        first_seen = seen(since, tested)
        explains = tuple(
            other.effect.test for other in fired if other.effect.explained_by == effect.test
        )
        told = sentence(verdict, test, unit, explains, first_seen, noun, has_inputs=bool(inputs))
        alerts.append(
            Alert(
                level=ALERT if verdict.active else WARNING,
                step=step,
                rule=effect.test,
                sentence=f"{when}: {told}",
                assumption=test.assumption,
                advice=test.advice,
                effect=effect.effect,
                flip=effect.flip,
                p_value=verdict.p_value,
                control=effect.control,
                start=verdict.start,
                num_probes=effect.num_probes,
                window=effect.window,
                target=effect.target,
                examples=effect.examples,
                alpha=verdict.alpha,
                explains=explains,
                place=effect.place,
                inputs=inputs,
            )
        )
    return tuple(alerts)


def effect_metrics(results: InterventionResults) -> dict[str, float]:
    """What the interventions found as named numbers, for `SaliencyReport.metrics`."""
    named = {}
    for effect in results.effects:
        named[f"effect/{effect.test}"] = effect.effect
        if results.unit == "accuracy" and row_name(effect.test) != GROUPS:
            named[f"flip/{effect.test}"] = effect.flip
        named[f"p_value/{effect.test}"] = effect.p_value
    return named
