"""Effects: how much the answers of a model change when one thing is exchanged between probes.

A swap names an edit, which takes one thing from a *donor* and puts it into a *recipient*. It is
measured with donors of the recipient's class and with donors of other classes; the effect is the
difference. Nothing here knows what the thing is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency.data.placed_edits import PlacedEdit
from keras_saliency.data.reports import Array, Effect, Example
from keras_saliency.detection.asking import Asker
from keras_saliency.detection.edits import NAMES, swap_region
from keras_saliency.detection.pairs import Pairs, balanced
from keras_saliency.detection.significance import ALPHA, min_recipients, sign_flip_p_value
from keras_saliency.detection.swaps import (
    CONTROLLED,
    Answer,
    Answers,
    BuiltInEdit,
    ByIndex,
    Images,
    PairEdit,
    Readiness,
    Swap,
)

FURTHER = 0.7
"""For models without classes: tests start once the image of another class changes the score further
than one of the same class in at least this share of pairs."""

UNDAMAGED = 0.8
"""The share of the recipients' own accuracy that has to remain with donors of the same class."""

SCREENED = 24
"""The number of recipients on which all candidates are compared at first, with one donor each."""

FINALISTS = 3
"""The number of candidates that are then compared on all recipients, with one donor each."""

NEARLY = 0.9
"""Of candidates with nearly the largest effect, this share of it, the smallest place is tested."""

PILOT = 64
"""The number of recipients that a test begins with, with one donor of each kind. Then come the
other recipients, and then the other donors."""

BOUND = 2.0
"""A test stops in between if its effect, and this many standard errors, are below what would be of
interest. That can lose an alert, and never makes one."""

NUM_EXAMPLES = 4
"""Pairs that are kept as evidence, of different classes where possible."""


def required_accuracy(chance: float) -> float:
    """The accuracy from which a model's answers count as more than guesses.

    Twice chance, but at most 0.6; at least chance plus 0.1; never more than halfway from chance
    to 1.

    Example:
        >>> [round(required_accuracy(chance), 2) for chance in (0.1, 0.5, 0.9)]
        [0.2, 0.6, 0.95]
    """
    return min(max(chance + 0.1, min(2 * chance, 0.6)), (1 + chance) / 2)


@dataclass(frozen=True)
class Suspect:
    """The class whose donors changed most answers.

    Attributes:
        target: Its index.
        effect: Of these donors.
        bound: As in `Effect`.
    """

    target: int
    effect: float
    bound: float


class SwapExperiment:
    """Asks the model about counterfactual images and compares the answers.

    Args:
        images: `(num_probes, height, width, channels)`, or inputs of another kind.
        targets: `(num_probes,)`.
        scores: `(num_probes,)`, the targets' scores now.
        answer: Asks the model; it gets at most `chunk_size` images.
        chunk_size: Bounds the memory.
        by_score: Whether effects are measured in the score instead of in accuracy.
        predictions: As in `Asker`.
        by_index: As in `Asker`.
    """

    def __init__(
        self,
        images: Array,
        targets: Array,
        scores: Array,
        answer: Answer,
        chunk_size: int,
        by_score: bool,
        predictions: Array | None = None,
        by_index: ByIndex | None = None,
    ) -> None:
        self._targets, self._scores, self._by_score = targets, scores, by_score
        self._asker = Asker(images, scores, answer, chunk_size, by_score, predictions, by_index)
        everywhere = np.ones(images.shape[1:3], bool)
        self._whole_image = BuiltInEdit(
            lambda _, theirs: theirs.values, PlacedEdit(NAMES[swap_region], everywhere)
        )

    @property
    def passes(self) -> int:
        """The number of images that the model was asked about."""
        return self._asker.passes

    def readiness(self, pairs: Pairs, predictions: Array) -> Readiness:
        """Whether the model knows the classes at all, and which change counts as an effect of 1."""
        own = self._targets[pairs.recipients]
        chance = float(np.unique(own, return_counts=True)[1].max() / len(own))
        required = required_accuracy(chance)
        if not self._by_score:
            known = predictions == self._targets
            accuracy = float(known[pairs.recipients].mean())
            reason = f"the accuracy on the probes is {accuracy:.2f}, below {required:.2f}"
            return Readiness("" if accuracy >= required else reason, 1.0, required, known)
        whole = self._asker.run(self._whole_image, pairs)
        scale = float(self._differences(whole, pairs).mean())
        same, other = self._changes(whole, pairs)
        further = float((same > other).mean())
        if self._p_value((1.0, whole), pairs=pairs) < ALPHA and further >= FURTHER:
            return Readiness("", scale)
        reason = f"the scores tell the classes of the probes apart in {further:.2f} of pairs"
        scale = scale if scale > 0 else math.nan
        return Readiness(f"{reason}, below {FURTHER:.2f}", scale)

    def effect(
        self, swap: Swap, readiness: Readiness, num_tests: int, alpha: float = ALPHA
    ) -> Effect:
        """Measures one swap.

        Args:
            swap: What to exchange.
            readiness: Of the same model and probes.
            num_tests: How many tests are made in this round.
            alpha: The level of significance, which they share.
        """
        return self.effect_and_suspect(swap, readiness, num_tests, alpha)[0]

    def effect_and_suspect(
        self, swap: Swap, readiness: Readiness, num_tests: int, alpha: float = ALPHA
    ) -> tuple[Effect, Suspect]:
        """Measures one swap, as `effect` does, and finds the class whose donors changed most."""
        scale, count = readiness.scale, len(swap.pairs.recipients)
        pairs, answers, bound = self._as_far_as_needed(swap, scale)
        is_stopped = not math.isnan(bound)
        differences = self._differences(answers, pairs) / scale
        keep = self._keep(answers, pairs, scale)
        p_value = swap.num_candidates * self._p_value((1 / scale, answers), pairs=pairs)
        numbers: dict[str, Any] = {
            "effect": float(differences.mean()),
            "p_value": 1.0 if is_stopped else min(p_value, 1.0),  # nan stays nan
            "bound": bound,
            "keep": keep,
        }
        if not self._by_score:
            numbers["flip"] = self._flip(answers, pairs)
        control = None if swap.support else swap.control
        if control is not None and numbers["effect"] >= min(swap.floor, CONTROLLED):
            controlled = self._asker.run(control, pairs)
            others = self._differences(controlled, pairs) / scale
            numbers |= {
                "control": float(others.mean()),
                "control_p_value": self._p_value((1 / scale, controlled), pairs=pairs),
                "margin_p_value": self._p_value(
                    (1 / scale, answers), (-swap.outweighs / scale, controlled), pairs=pairs
                ),
            }
        fewest = min_recipients(num_tests * swap.num_candidates, alpha)
        required = readiness.required
        if readiness.known is not None:  # what it does not know cannot be damaged
            required = min(required, UNDAMAGED * float(readiness.known[pairs.recipients].mean()))
        effect = Effect(
            swap.test,
            **numbers,
            num_probes=len(pairs.recipients),
            num_donors=pairs.same.shape[1],
            window=swap.window,
            target=swap.target,
            support=swap.support,
            untestable=_objection(count, fewest, keep, required),
            examples=self._examples(swap.edit, pairs, answers, differences),
        )
        return effect, self._suspect(answers, pairs, scale)

    def _as_far_as_needed(self, swap: Swap, scale: float) -> tuple[Pairs, Answers, float]:
        """Asks about ever more pairs of a swap, while its effect may be of interest.

        Returns:
            The pairs that were asked about, the answers, and the upper bound of the effect; `nan`
            if these are all pairs.
        """
        shape, everyone, first = swap.pairs.same.shape, slice(None), slice(1)
        few = balanced(self._targets[swap.pairs.recipients], np.arange(shape[0]), PILOT, 0)
        others = np.setdiff1d(np.arange(shape[0]), few)
        whole = Answers(*np.full((2, *shape), -1), *np.full((2, *shape), np.nan))
        for rows, columns, known in (
            (few, first, few),
            (others, first, everyone),
            (everyone, slice(1, None), everyone),
        ):
            part = swap.pairs.part(rows, columns)
            if part.same.size:
                for values, found in zip(whole, self._asker.run(swap.edit, part), strict=True):
                    values[rows, columns] = found
            pairs = swap.pairs.part(known, slice(columns.stop))
            answers = Answers(*(values[known, : columns.stop] for values in whole))
            bound = upper_bound(self._differences(answers, pairs) / scale)
            if pairs.same.size == swap.pairs.same.size:
                break
            if bound < min(swap.floor, CONTROLLED):
                return pairs, answers, bound
        return pairs, answers, math.nan

    def remaining(self, swap: Swap, kept: Swap, readiness: Readiness) -> float:
        """The effect of a swap, with one donor each, that has what another swap would exchange.

        Each donor first gets it from its recipient, so that it does not differ between the two.
        """
        pairs = swap.pairs.part(slice(None))

        def edit(ours: Images, theirs: Images) -> Array:
            return swap.edit(ours, Images(kept.edit(theirs, ours), theirs.indices))

        answers = self._asker.run(edit, pairs)
        return float(self._differences(answers, pairs).mean()) / readiness.scale

    def most_promising(self, swaps: Sequence[Swap], readiness: Readiness) -> Swap | Effect:
        """Chooses one of several swaps, on few donors: the one with the largest effect.

        Of those with nearly the largest effect, it is the one that exchanges least.

        Args:
            swaps: Candidates, of the same test and pairs.
            readiness: Of the same model and probes.

        Returns:
            The swap, which pays for the choice with its p-value; or, if no effect comes near the
            floor, that effect, with a p-value of 1.
        """
        if len(swaps) == 1:
            return swaps[0]
        pairs = swaps[0].pairs
        everyone = np.arange(len(pairs.recipients))
        few = balanced(self._targets[pairs.recipients], everyone, SCREENED, 0)
        left = list(range(len(swaps)))
        is_screened = len(swaps) > FINALISTS and len(few) < len(everyone)
        for rows in (few, everyone) if is_screened else (everyone,):
            part = pairs.part(rows)
            found = {
                index: self._differences(self._asker.run(swaps[index].edit, part), part)
                / readiness.scale
                for index in left
            }
            effects = {index: float(differences.mean()) for index, differences in found.items()}
            order = sorted(left, key=lambda index: -effects[index])
            floor = min(swaps[0].floor, CONTROLLED)
            left = [index for index in order if upper_bound(found[index]) >= floor][:FINALISTS]
            if not left:
                return stopped(swaps[order[0]], effects[order[0]], upper_bound(found[order[0]]))
        largest = effects[left[0]]
        nearly = [index for index in left if not effects[index] < min(NEARLY * largest, largest)]
        chosen = swaps[min(nearly, key=lambda index: (swaps[index].area, -effects[index]))]
        if largest >= chosen.floor / 2:
            return dataclasses.replace(chosen, num_candidates=len(swaps))
        return stopped(chosen, largest, upper_bound(found[left[0]]))

    def _suspect(self, answers: Answers, pairs: Pairs, scale: float) -> Suspect:
        """The class whose donors changed most answers."""
        same, other = self._changes(answers, pairs)
        lost = (same.mean(axis=1, keepdims=True) - other) / scale
        donated = self._targets[pairs.other]
        by_target = {int(target): lost[donated == target] for target in np.unique(donated)}
        target, most = max(by_target.items(), key=lambda item: float(item[1].mean()))
        return Suspect(target, float(most.mean()), upper_bound(most))

    def _changes(self, answers: Answers, pairs: Pairs) -> tuple[Array, Array]:
        """How much each pair kept, with a donor of the same class and with one of another."""
        if self._by_score:
            own = self._scores[pairs.recipients, np.newaxis].astype(np.float64)
            return -np.abs(answers.same_scores - own), -np.abs(answers.other_scores - own)
        own = self._targets[pairs.recipients, np.newaxis]
        return (answers.same == own).astype(float), (answers.other == own).astype(float)

    def _differences(self, answers: Answers, pairs: Pairs) -> Array:
        """How much more a donor of another class changed, per recipient."""
        same, other = self._changes(answers, pairs)
        return np.asarray(same.mean(axis=1) - other.mean(axis=1))

    def _by_donor(self, answers: Answers, pairs: Pairs) -> Array:
        """The same sum, per donor: what each gave, relative to all that its recipients got."""
        same, other = self._changes(answers, pairs)
        middle = (same.mean(axis=1, keepdims=True) + other.mean(axis=1, keepdims=True)) / 2
        changes = np.concatenate([(same - middle).ravel(), (middle - other).ravel()])
        donors = np.concatenate([pairs.same.ravel(), pairs.other.ravel()])
        return np.bincount(np.unique(donors, return_inverse=True)[1], changes)

    def _p_value(self, *sides: tuple[float, Answers], pairs: Pairs) -> float:
        """The p-value of a weighted sum of effects > 0, over recipients and over donors.

        Flips by recipient alone would count it as evidence if a few donors of one class happen to
        carry something that confuses the model. So both are flipped, and the larger p counts.
        """
        recipients = [weight * self._differences(answers, pairs) for weight, answers in sides]
        donors = [weight * self._by_donor(answers, pairs) for weight, answers in sides]
        # Accuracies are multiples of one over the number of donors; around their middle, of half.
        is_on_lattice = not self._by_score and all(abs(weight) == 1 for weight, _ in sides)
        step = 1 / pairs.same.shape[1] if is_on_lattice else None
        return max(
            sign_flip_p_value(np.sum(recipients, axis=0), step),
            sign_flip_p_value(np.sum(donors, axis=0), step and step / 2),
        )

    def _flip(self, answers: Answers, pairs: Pairs) -> float:
        """How much more often the answer was the class of the other donor."""
        theirs = self._targets[pairs.other]
        return float((answers.other == theirs).mean() - (answers.same == theirs).mean())

    def _keep(self, answers: Answers, pairs: Pairs, scale: float) -> float:
        """What remains when the donor is of the same class."""
        if self._by_score:
            own = self._scores[pairs.recipients, np.newaxis]
            return 1 - float(np.abs(answers.same_scores - own).mean()) / scale
        return float((answers.same == self._targets[pairs.recipients, np.newaxis]).mean())

    def _examples(
        self, edit: PairEdit, pairs: Pairs, answers: Answers, differences: Array
    ) -> tuple[Example, ...]:
        """The pairs in which the answer changed most, first one of each class."""
        own = self._targets[pairs.recipients, np.newaxis]
        changed = (answers.same == own) & (answers.other != own)
        order = np.argsort(-differences, kind="stable")
        _, firsts = np.unique(own[order], return_index=True)
        order = order[
            np.concatenate([np.sort(firsts), np.setdiff1d(np.arange(len(order)), firsts)])
        ]
        examples = []
        for row in order[:NUM_EXAMPLES]:
            column = int(changed[row].argmax())
            recipient, donor = pairs.recipients[row], pairs.other[row, column]
            image = self._asker.made(edit, np.array([recipient]), np.array([donor]))[0]
            predictions = int(answers.other[row, column]), int(answers.same[row, column])
            examples.append(Example(int(recipient), int(donor), image, *predictions))
        return tuple(examples)


def upper_bound(differences: Array) -> float:
    """What an effect does not exceed, judged from the differences of each recipient.

    `BOUND` standard errors above their mean; one more difference of 1 counts in the variance, so
    that few equal differences do not prove much.

    Example:
        >>> round(upper_bound(np.zeros(100)), 3), round(upper_bound(np.zeros(10)), 3)
        (0.02, 0.2)
    """
    count, mean = len(differences), float(differences.mean())
    variance = (((differences - mean) ** 2).sum() + 1) / count
    return mean + BOUND * math.sqrt(variance / count)


def stopped(swap: Swap, effect: float, bound: float) -> Effect:
    """The effect of a swap that was not measured further, as few donors showed next to nothing."""
    return Effect(
        swap.test,
        effect=effect,
        bound=bound,
        p_value=1.0,
        num_probes=len(swap.pairs.recipients),
        num_donors=1,
        window=swap.window,
        target=swap.target,
    )


def _objection(num_recipients: int, fewest: int, keep: float, required: float) -> str:
    """Why the numbers of a test prove nothing; empty if they may."""
    if num_recipients < fewest:
        return (
            f"{num_recipients} probes are too few to prove an effect; at least {fewest} are needed"
        )
    if keep < required:
        kept = f"with donors of the same class only {keep:.2f} remains, below {required:.2f}"
        return f"the exchange damages the images: {kept}"
    return ""
