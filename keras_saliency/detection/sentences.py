"""Sentences: what a test found, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from keras_saliency.data.reports import Alert, Effect, Verdict
from keras_saliency.detection.remedies import remedy_line
from keras_saliency.detection.tests import CONTROLS, TESTS, InterventionTest

MOST_STEPS = 6
"""The number of steps that are listed."""


def subject(
    effect: Effect,
    test: InterventionTest,
    class_name: Callable[[int], str],
    feature_names: Sequence[str] | None = None,
) -> str:
    """What a test exchanges, in words.

    Args:
        effect: With the name of the test, and its window and class, if there are any.
        test: The row of the table.
        class_name: From a class index to its name.
        feature_names: Of the columns of a table, if they have names.
    """
    window, name = "", effect.test.partition("/")[2]
    if effect.window is not None:
        top, left, height, width = effect.window
        window = f"at {_span('row', top, height)}, {_span('column', left, width)}"
    words = test.subject.format(name=name, window=window).strip()
    if feature_names is not None and test is TESTS["column"]:
        words = column_words(feature_names.index(name), feature_names)
    if effect.target is not None:
        words += f" of class {class_name(effect.target)!r}"
    return words


def column_words(index: int, feature_names: Sequence[str] | None) -> str:
    """A column of a table, by its name if it has one.

    Example:
        >>> column_words(1, ("age", "chol")), column_words(1, None)
        ("the column 'chol'", 'column 1 (counted from 0)')
    """
    if feature_names is None:
        return TESTS["column"].subject.format(name=index)
    return f"the column {feature_names[index]!r}"


def _span(name: str, first: int, count: int) -> str:
    return f"{name} {first}" if count == 1 else f"{name}s {first}-{first + count - 1}"


def sentence(
    verdict: Verdict,
    test: InterventionTest,
    unit: str,
    explains: Sequence[str] = (),
    first_seen: str = "",
    noun: str = "image",
    *,
    has_inputs: bool = False,
) -> str:
    """What a verdict says: the claim, its numbers, its assumption, and what to do about it.

    Args:
        verdict: Of a test that fired.
        test: The row of the table.
        unit: As in `InterventionResults`.
        explains: The tests that fired as a consequence.
        first_seen: When it was seen first, as in `seen`.
        noun: What an input is called.
        has_inputs: Whether the model has several inputs.
    """
    effect, of_groups = verdict.effect, test.edit is None
    relies = f"the model relies on {verdict.subject}"
    drop = f"accuracy drops by {_points(effect.effect, unit)}"
    if of_groups:
        claim = (
            "the model does worse on some groups, and their classes do not explain it: between "
            f"the best and the worst group accuracy drops by {_points(effect.effect, unit)}"
        )
    elif unit == "score":
        claim = (
            f"{relies}: exchanging it with an {noun} of another class changes the score "
            f"{effect.effect:.0%} as far as exchanging the whole {noun}"
        )
    elif effect.target is not None:
        claim = f"{relies}: {drop} when it is put into {noun}s of other classes"
    else:
        claim = f"{relies}: {drop} when it is exchanged with an {noun} of another class"
    smallest = 1e-6  # smaller ones say no more
    p_value = f"= {verdict.p_value:.2g}" if verdict.p_value >= smallest else f"< {smallest:g}"
    values = [f"p {p_value} at a level of {verdict.alpha:.2g}", f"{effect.num_probes} probes"]
    if test.control and not math.isnan(effect.control):
        values.append(f"{CONTROLS[test.control]}: {_points(effect.control, unit)}")
    if effect.support:
        values.append(effect.support)
    if not math.isnan(verdict.start):
        values.append(f"at the start: {_points(verdict.start, unit)}")
    parts = [f"{claim} ({'; '.join(values)}).", first_seen]
    if explains:
        parts.append(f"It explains the effects of {', '.join(explains)}.")
    if not of_groups:
        parts.append("Validation data with the same cue do not show this.")
    parts.append(
        f"This is a problem if {test.assumption}. Otherwise ignore it with "
        f"ks.Interventions(ignore=[{effect.test!r}])."
    )
    line = remedy_line(effect, test, has_inputs=has_inputs)
    parts.append(
        f"Next: {test.advice}, or remove it in training: {line}."
        if line
        else f"Next: {test.advice}."
    )
    return " ".join(part for part in parts if part)


def seen(since: int, tested: Sequence[int]) -> str:
    """When a test fired first, and when tests were made, in words; empty if this was the first.

    Args:
        since: The step at which it fired first.
        tested: All steps with tests up to now.

    Example:
        >>> seen(11, [-1, 4, 11, 12])
        'First seen at epoch 11 (tested before training and at 4, 11, 12).'
        >>> seen(12, [4, 11, 12])
        'Not seen before (tested at 4, 11).'
        >>> seen(0, [0])
        ''
    """
    is_new = since == tested[-1] if tested else True
    shown = tested[:-1] if is_new else tested
    if not shown:
        return ""
    steps = [str(step) for step in shown[-MOST_STEPS:] if step >= 0]
    more = "..., " if len(shown) > MOST_STEPS else ""
    when = ["before training"] if shown[0] == -1 else []
    when += [f"at {more}{', '.join(steps)}"] if steps else []
    first = "before training" if since == -1 else f"at epoch {since}"
    claim = "Not seen before" if is_new else f"First seen {first}"
    return f"{claim} (tested {' and '.join(when)})."


def _points(value: float, unit: str) -> str:
    """A difference of accuracies in percentage points; a share of the score's change in percent."""
    number = round(100 * value)
    if unit == "score":
        return f"{number} %"
    return f"{number} point{'' if abs(number) == 1 else 's'}"


def plain(value: float) -> str:
    """Two decimals, and no minus in front of a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def in_short(alerts: Sequence[Alert]) -> str:
    """The first alert's sentence, and the names of the others."""
    others = ", ".join(alert.rule for alert in alerts[1:])
    return alerts[0].sentence + (f" Also: {others}." if others else "")
