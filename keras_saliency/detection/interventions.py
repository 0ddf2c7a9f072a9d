"""Interventions: does the model use a thing, or does the saliency map merely show it?

One thing (a region, the tint, the finest detail) is taken from another probe, the *donor*, and put
into a probe, the *recipient*. Whatever damage that does, it does with a donor of the same class
and with one of another class alike. So if the model does not read the class from that thing, the
two make no difference: the region-swap effect is 0, however unnatural the images. Xiao et al. call
it the background gap, for backgrounds (arXiv:2006.09994).

Everything here is pure: images and maps in, the model as a function (`Answer`), records out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, Effect, InterventionResults, Verdict
from keras_saliency.data.several import input_title
from keras_saliency.detection.alerts import judge
from keras_saliency.detection.effects import SwapExperiment, stopped
from keras_saliency.detection.exchanges import exchange_at, places_of, swap_at
from keras_saliency.detection.explaining import explained
from keras_saliency.detection.facts import ProbeFacts
from keras_saliency.detection.pairs import (
    MAX_RECIPIENTS,
    Pairs,
    balanced,
    donors_for,
    draw_pairs,
)
from keras_saliency.detection.places import Candidates, Place, Round
from keras_saliency.detection.proposals import contrast_weighted
from keras_saliency.detection.settings import Interventions
from keras_saliency.detection.significance import ALPHA, min_recipients
from keras_saliency.detection.swaps import Answer, ByIndex, Readiness, Swap
from keras_saliency.detection.tests import GROUPS, ONE_CLASS, TESTS, InterventionTest, row_name


def intervene(
    probes: ProbeSet,
    maps: Array,
    predictions: Array,
    scores: Array,
    answer: Answer,
    *,
    by_score: bool,
    chunk_size: int,
    settings: Interventions | None = None,
    metrics: Mapping[str, float] | None = None,
    alpha: float = ALPHA,
    facts: ProbeFacts | None = None,
    standing: Collection[str] = (),
    by_index: ByIndex | None = None,
) -> InterventionResults:
    """Makes every test that these probes allow.

    Args:
        probes: The probes.
        maps: `(num_probes, height, width)` for images, saliency maps, which propose places.
        predictions: `(num_probes,)`, the classes predicted now.
        scores: `(num_probes,)`, the targets' scores now.
        answer: Asks the model; it gets at most `chunk_size` images.
        by_score: Whether effects are measured in the score instead of in accuracy.
        chunk_size: Bounds the memory.
        settings: Which tests, and the seed.
        metrics: The metrics of this evaluation, which have the effect of `"groups"`.
        alpha: The level of significance, for all tests of this round together.
        facts: Of these probes, if they are known from an earlier round.
        standing: Tests whose alerts stand, see `explained`.
        by_index: As in `Asker`.

    Raises:
        ValueError: The edit of a custom test returns something else than images.
    """
    settings = settings or Interventions()
    _check_names(settings, probes)
    unit = "score" if by_score else "accuracy"
    groups = _groups(settings.table, metrics or {}, len(probes))
    targets = probes.targets
    if targets is None:
        return InterventionResults(groups, "the probes have no targets", unit, 0, "")
    tested = balanced(targets, np.arange(len(targets)), MAX_RECIPIENTS, settings.seed)
    num_donors = donors_for(tested)
    pairs = draw_pairs(targets, tested, num_donors=num_donors, seed=settings.seed)
    if not len(pairs.recipients):
        reason = "at least two classes are needed, one of them with two probes"
        return InterventionResults(groups, reason, unit, 0, "")
    round_ = Round(
        images=probes.images,
        targets=targets,
        maps=contrast_weighted(maps, probes.images) if probes.kind == "image" else maps,
        masks=probes.masks,
        regions=probes.regions,
        facts=facts or ProbeFacts(probes),
        tested=tested,
        pairs=pairs,
        seed=settings.seed,
        kind=probes.kind,
        feature_names=probes.feature_names,
    )
    planned = [
        (test, place, exchange_at(test, place, round_))
        for test in settings.table.values()
        if test.edit is not None and probes.kind in test.kinds
        for place in places_of(test, round_)
    ]
    if not planned and not groups:
        return InterventionResults((), _nothing_to_test(probes.kind), unit, 0, "")
    experiment = SwapExperiment(
        probes.images, targets, scores, answer, chunk_size, by_score, predictions, by_index
    )
    readiness = experiment.readiness(pairs, predictions)
    effects, swaps = _measured(planned, round_, experiment, readiness, len(groups), alpha)
    left_out = _left_out(probes, targets, tested, pairs)
    blocked = readiness.blocked_because
    results = InterventionResults((*effects, *groups), blocked, unit, 0, left_out, alpha)
    everything = dataclasses.replace(settings, ignore=())  # what is ignored explains, too
    verdicts, _ = judge(results, settings=everything, start={})
    firing = {one.effect.test: one.effect for one in verdicts if _counts(one, standing)}
    by = explained(firing, swaps, experiment, readiness, standing)
    named = [
        dataclasses.replace(
            effect,
            explained_by=by.get(effect.test, ""),
            place=swaps[effect.test].place if effect.test in firing.keys() & swaps else None,
        )
        for effect in results.effects
    ]
    return dataclasses.replace(results, effects=tuple(named), passes=experiment.passes)


def _nothing_to_test(kind: str) -> str:
    """Why no test is made of probes that could be tested."""
    return (
        f"no test is for kind={kind!r} without a named place. Name what to exchange in "
        "ProbeSet(regions={...})"
    )


def _check_names(settings: Interventions, probes: ProbeSet) -> None:
    """Checks that places in `ignore` and `floors` exist; those of custom tests may come later.

    A file of floors may have been made with other regions.
    """
    given = {"ignore": settings.ignore, "floors": settings.floors_by_test}
    known = {f"region/{name}" for name in probes.regions}
    known |= {f"{name}/{ONE_CLASS}" for name, test in settings.table.items() if test.aimed}
    if probes.kind == "features":
        columns = probes.feature_names or range(probes.images.shape[1])
        known |= {f"column/{column}" for column in columns}
    for argument, names in given.items():
        for name in names:
            row = row_name(name)
            if "/" in name and settings.table.get(row) is TESTS.get(row) and name not in known:
                listed = ", ".join(map(repr, sorted(known))) or "no region, as the probes have none"
                raise ValueError(
                    f"{argument}: expected {listed}, received {name!r}. Name regions in "
                    "ProbeSet(regions={...})."
                )


def _groups(
    table: Mapping[str, InterventionTest], metrics: Mapping[str, float], num_probes: int
) -> tuple[Effect, ...]:
    """The gap between groups, which is an effect without an exchange."""
    row = table.get(GROUPS)
    if row is None or row.edit is not None or "group_gap" not in metrics:
        return ()
    gap, p_value = metrics["group_gap"], metrics["group_gap_p_value"]
    return (Effect(GROUPS, effect=gap, p_value=p_value, num_probes=num_probes),)


def _counts(verdict: Verdict, standing: Collection[str]) -> bool:
    """Whether a test fires, or its alert stands and it still has its effect."""
    stays = verdict.status == "finding" and verdict.effect.effect >= verdict.floor
    return verdict.status == "fires" or (stays and verdict.effect.test in standing)


def _measured(
    planned: Sequence[tuple[InterventionTest, Place | Candidates, Swap | Effect | list[Swap]]],
    round_: Round,
    experiment: SwapExperiment,
    readiness: Readiness,
    num_others: int,
    alpha: float,
) -> tuple[list[Effect], dict[str, Swap]]:
    """The effects of all planned tests, and of those with donors of one class.

    Args:
        planned: The rows of the table, their places, and what they exchange.
        round_: Of this evaluation.
        experiment: Asks the model.
        readiness: Of the model.
        num_others: The number of tests that are made elsewhere.
        alpha: As in `intervene`.

    Returns:
        The effects, and what was exchanged by the name of the test.
    """
    if readiness.blocked_because:
        return [_not_made(plan) for _, _, plan in planned], {}
    num_classes = len(np.unique(round_.targets[round_.pairs.other]))
    num_aimed = sum(test.aimed is not None and num_classes > 2 for test, _, _ in planned)
    num_tests = len(planned) + num_aimed + num_others
    effects: list[Effect] = []
    swaps: dict[str, Swap] = {}
    for test, place, plan in planned:
        swap = experiment.most_promising(plan, readiness) if isinstance(plan, list) else plan
        if isinstance(swap, Effect):
            effects.append(swap)
            continue
        effect, suspect = experiment.effect_and_suspect(swap, readiness, num_tests, alpha)
        effects.append(effect)
        swaps[swap.test] = swap
        if test.aimed is None or num_classes <= 2 or isinstance(place, Candidates):
            continue
        aimed = _aimed(test, place, suspect.target, num_classes, round_)
        if effect.effect >= swap.floor:
            effects.append(Effect(aimed.test, untestable=f"{swap.test} has an effect by itself"))
        elif suspect.effect < swap.floor / 2:
            effects.append(stopped(aimed, suspect.effect, suspect.bound))
        else:
            effects.append(experiment.effect(aimed, readiness, num_tests, alpha))
            swaps[aimed.test] = aimed
    return effects, swaps


def _not_made(plan: Swap | Effect | list[Swap]) -> Effect:
    """A test without numbers, since the model does not know the classes."""
    if isinstance(plan, Effect):
        return plan
    swap = plan[0] if isinstance(plan, list) else plan
    return Effect(swap.test, num_probes=len(swap.pairs.recipients))


def _aimed(
    test: InterventionTest, place: Place, target: int, num_classes: int, round_: Round
) -> Swap:
    """The same test with donors of one class, which was chosen among all."""
    pairs = draw_pairs(
        round_.targets,
        round_.tested,
        num_donors=donors_for(round_.tested),
        seed=round_.seed,
        donors_of=target,
    )
    name = f"{place.name}/{ONE_CLASS}" if place.name else ONE_CLASS
    aimed = dataclasses.replace(
        place, name=name, pairs=pairs, target=target, num_candidates=num_classes
    )
    return swap_at(test.named(f"{test.name}/{name}"), aimed, round_)


def _left_out(probes: ProbeSet, targets: Array, tested: Array, pairs: Pairs) -> str:
    """Which inputs and classes are not tested, and why; empty if all are."""
    classes, drawn = {*targets.tolist()}, {*targets[tested].tolist()}
    single = sorted(drawn - {*targets[pairs.recipients].tolist()})
    names = ", ".join(map(probes.class_name, single))
    first, *others = map(input_title, probes.explained)
    return "; ".join(
        [f"only the first input, {first}, is tested, not {', '.join(others)}"] * bool(others)
        + [f"{len(drawn)} of the {len(classes)} classes are tested"] * (drawn != classes)
        + [f"classes with a single probe are not tested: {names}"] * bool(single)
    )


def what_is_tested(results: InterventionResults | None, when: str) -> str:
    """Which tests are made, which cannot be made, and what one round of them takes, in words.

    Args:
        results: Of the first round; `None` if there is none.
        when: As in `Interventions`.
    """
    if results is None:
        return "no intervention tests (interventions=None)"
    if not results.effects:
        importances = "; test rounds only measure permutation_importance" * bool(results.passes)
        return f"no intervention tests: {results.blocked_because}{importances}"
    fewest = min_recipients(len(results.effects), results.alpha)
    missing = [effect for effect in results.effects if effect.num_probes < fewest]
    tested = [effect.test for effect in results.effects if effect not in missing]
    reasons = [f"{effect.test} ({effect.untestable or 'too few probes'})" for effect in missing]
    how_often = "frequent at first, then less often" if when == "auto" else "at every evaluation"
    text = f"intervention tests ({how_often}): {', '.join(tested) or 'none'}"
    none = f"not made yet, since {results.blocked_because}"
    text += f"; {none if results.blocked_because else f'{results.passes} forward passes'}"
    text += f"; not testable: {', '.join(reasons)}" if reasons else ""
    return text + (f"; {results.note}" if results.note else "")
