"""Effects: one question put to a model about counterfactual images, and what its answers say.

A question names an edit, which takes one thing from a *donor* and puts it into a *recipient*. It
is asked with donors of the recipient's class and with donors of other classes; the effect is the
difference. All draws have a seed of their own, and nothing here knows what the thing is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from keras_saliency.data.reports import Array, Effect, Example, Window

Answer = Callable[[Array, Array], tuple[Array, Array]]
"""From images, and the indices of the probes that they were made of, to the classes predicted (-1
where that can't be told) and the scores of these probes' targets."""

Edit = Callable[[Array, Array], Array]
"""From the indices of recipients and donors, `(num_pairs,)`, to counterfactual images."""

MIN_CLASS_SIZE = 4
"""Where there are too many classes for so many probes of each, tests are made on some classes."""

MIN_RECIPIENTS = 10
"""With fewer no effect can be significant after Holm's correction over some ten tests."""

FURTHER = 0.7
"""Of models without classes: from this share of pairs on, in which an image of another class moves
the score further than one of the same class does, the model tells the classes apart."""

NUM_EXAMPLES = 4
"""So many pairs are kept for the evidence, of different classes as far as there are any."""

FLIPS = 9999
"""Sign flips drawn for a p-value; the smallest possible one is 1 / (FLIPS + 1)."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Who is changed with whose help.

    Attributes:
        recipients: `(num_recipients,)`, indices of probes.
        same: `(num_recipients, num_donors)`, donors of the recipient's class, never itself.
        other: Same shape, donors of other classes.
    """

    recipients: Array
    same: Array
    other: Array


@dataclass(frozen=True)
class Question:
    """One test to be made.

    Attributes:
        test: Its name, as in `Effect`.
        edit: Makes the counterfactual images.
        control: The same for the control; `None` if there is none.
        pairs: Who is changed with whose help.
        window: As in `Effect`.
        target: As in `Effect`.
    """

    test: str
    edit: Edit
    control: Edit | None
    pairs: Pairs
    window: Window | None = None
    target: int | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model said of the counterfactual images, each `(num_recipients, num_donors)`."""

    same: Array
    other: Array
    same_scores: Array
    other_scores: Array


def balanced(targets: Array, among: Array, at_most: int, seed: int) -> Array:
    """So many of these probes at most, as evenly over the classes as there are any; sorted.

    Classes that would be left with fewer than `MIN_CLASS_SIZE` probes each are left out, some of
    them, so that the others have enough.
    """
    generator = np.random.default_rng(seed)
    if len(among) <= at_most:
        return among
    classes = generator.permutation(np.unique(targets[among]))[: max(2, at_most // MIN_CLASS_SIZE)]
    shuffled = generator.permutation(among[np.isin(targets[among], classes)])
    rank = np.empty(len(shuffled), int)  # the first of each class, the second of each class, ...
    for target in classes:
        members = np.flatnonzero(targets[shuffled] == target)
        rank[members] = np.arange(len(members))
    return np.sort(shuffled[rank.argsort(kind="stable")[:at_most]])


def split_halves(targets: Array, among: Array, seed: int) -> tuple[Array, Array]:
    """Two halves of these probes, class by class: one proposes, the other tests.

    Of an odd number the tests get one more.
    """
    generator = np.random.default_rng(seed)
    choosers = [
        generator.permutation(among[targets[among] == target])[
            : (targets[among] == target).sum() // 2
        ]
        for target in np.unique(targets[among])
    ]
    first = np.sort(np.concatenate(choosers))
    return first, np.setdiff1d(among, first)


def draw_pairs(
    targets: Array, among: Array, *, num_donors: int, seed: int, donors_of: int | None = None
) -> Pairs:
    """Draws donors of the recipient's own class and of others for each of these probes.

    A class of a single probe has no donor of its own; its probe is no recipient. The same donor
    may be drawn twice where there are fewer than `num_donors`.

    Args:
        targets: `(num_probes,)`.
        among: Indices of recipients and donors.
        num_donors: Of each kind, per recipient.
        seed: Of the draw.
        donors_of: If given, donors of other classes are of this class, and its own probes are no
            recipients.
    """
    generator = np.random.default_rng(seed)
    recipients: list[int] = []
    same: list[Array] = []
    other: list[Array] = []
    for probe in among:
        own = among[(targets[among] == targets[probe]) & (among != probe)]
        others = among[targets[among] != targets[probe]]
        if donors_of is not None:
            others = among[(targets[among] == donors_of) & (targets[probe] != donors_of)]
        if len(own) and len(others):
            recipients.append(probe)
            for drawn, pool in ((same, own), (other, others)):
                drawn.append(generator.choice(pool, num_donors, replace=len(pool) < num_donors))
    shape = len(recipients), num_donors
    return Pairs(
        np.array(recipients, np.int64),
        np.array(same, np.int64).reshape(shape),
        np.array(other, np.int64).reshape(shape),
    )


@lru_cache(maxsize=4)
def _signs(size: int) -> Array:
    generator = np.random.default_rng(0)
    return generator.choice(np.array([-1.0, 1.0]), size=(FLIPS, size))


def sign_flip_p_value(differences: Array) -> float:
    """How likely a mean so large is, if each difference had its sign by a fair coin.

    Exact for any distribution that is symmetric about 0: `(1 + number of flips with a mean at
    least as large) / (1 + number of flips)`, over 9999 random flips.

    Args:
        differences: `(num_probes,)`.

    Returns:
        In (0, 1]; 1 if all differences are 0; `nan` if one is.

    Example:
        >>> sign_flip_p_value(np.array([0.5, -0.5, 0.25, -0.25])) > 0.4
        True

    Reference:
        Phipson, Smyth: Permutation P-values Should Never Be Zero. arXiv:1603.05766.
    """
    values = differences.astype(np.float64)
    if np.isnan(values).any():
        return math.nan
    means = _signs(len(values)) @ values
    return float((1 + (means >= values.sum() - 1e-9).sum()) / (1 + FLIPS))


def required_accuracy(chance: float) -> float:
    """From which accuracy on a model's answers count as more than guesses.

    Twice chance, 0.6 at most; chance and a tenth at least; but no more than halfway from chance
    to 1.
    """
    return min(max(chance + 0.1, min(2 * chance, 0.6)), (1 + chance) / 2)


class SwapExperiment:
    """Asks the model about counterfactual images and compares the answers."""

    def __init__(
        self,
        images: Array,
        targets: Array,
        scores: Array,
        answer: Answer,
        chunk_size: int,
        by_score: bool,
    ) -> None:
        self._images, self._targets, self._scores = images, targets, scores
        self._answer, self._chunk_size, self._by_score = answer, chunk_size, by_score
        self._chance = math.nan  # until the gate has seen who is asked about
        self.passes = 0

    def gate(self, pairs: Pairs, predictions: Array) -> tuple[str, float]:
        """Whether the model knows the classes at all, and what 1 means for effects."""
        mine = self._targets[pairs.recipients]
        self._chance = float(np.unique(mine, return_counts=True)[1].max() / len(mine))
        if not self._by_score:
            accuracy = float((predictions[pairs.recipients] == mine).mean())
            needed = required_accuracy(self._chance)
            if accuracy >= needed:
                return "", 1.0
            return f"the accuracy on the probes is {accuracy:.2f}, below {needed:.2f}", 1.0
        whole = self.ask(lambda _, donors: self._images[donors], pairs)
        differences = self._differences(whole, pairs)
        scale = float(differences.mean())
        same, other = self._changes(whole, pairs)
        further = float((same > other).mean())
        if self._p_value((1.0, whole), pairs=pairs) < 0.01 and further >= FURTHER:
            return "", scale
        reason = f"the scores tell the probes' classes apart in {further:.2f} of pairs"
        return f"{reason}, below {FURTHER:.2f}", scale if scale > 0 else math.nan

    def ask(self, edit: Edit, pairs: Pairs) -> Answers:
        """Makes the counterfactual images, chunk by chunk, and asks the model about them."""
        shape = pairs.same.shape
        recipients = np.tile(pairs.recipients.repeat(shape[1]), 2)
        donors = np.concatenate([pairs.same.ravel(), pairs.other.ravel()])
        answers = []
        for start in range(0, len(donors), self._chunk_size):
            part = slice(start, start + self._chunk_size)
            images = edit(recipients[part], donors[part])
            answers.append(self._answer(images, recipients[part]))
        self.passes += len(donors)
        predictions, scores = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        (same, other), (same_scores, other_scores) = (
            values.reshape(2, *shape) for values in (predictions, scores)
        )
        return Answers(same, other, same_scores, other_scores)

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
        """The same sum, per donor: what each gave, against all that its recipients got."""
        same, other = self._changes(answers, pairs)
        middle = (same.mean(axis=1, keepdims=True) + other.mean(axis=1, keepdims=True)) / 2
        changes = np.concatenate([(same - middle).ravel(), (middle - other).ravel()])
        donors = np.concatenate([pairs.same.ravel(), pairs.other.ravel()])
        return np.bincount(np.unique(donors, return_inverse=True)[1], changes)

    def _p_value(self, *sides: tuple[float, Answers], pairs: Pairs) -> float:
        """Of a weighted sum of effects > 0, were other recipients drawn, or other donors.

        Flips by recipient alone would take it for evidence that a few donors of one class happen
        to carry something that throws the model off. So both are flipped; the larger p counts.
        """
        recipients = [weight * self._differences(answers, pairs) for weight, answers in sides]
        donors = [weight * self._by_donor(answers, pairs) for weight, answers in sides]
        return max(sign_flip_p_value(np.sum(parts, axis=0)) for parts in (recipients, donors))

    def _flip(self, answers: Answers, pairs: Pairs) -> float:
        """How much more often the answer was the class of the other donor."""
        theirs = self._targets[pairs.other]
        return float((answers.other == theirs).mean() - (answers.same == theirs).mean())

    def _keep(self, answers: Answers, pairs: Pairs, scale: float) -> float:
        if self._by_score:
            own = self._scores[pairs.recipients, np.newaxis]
            return 1 - float(np.abs(answers.same_scores - own).mean()) / scale
        return float((answers.same == self._targets[pairs.recipients, np.newaxis]).mean())

    def effect(self, question: Question, scale: float) -> Effect:
        """Makes one test."""
        pairs = question.pairs
        answers = self.ask(question.edit, pairs)
        differences = self._differences(answers, pairs) / scale
        keep = self._keep(answers, pairs, scale)
        numbers = {
            "effect": float(differences.mean()),
            "p_value": self._p_value((1 / scale, answers), pairs=pairs),
            "keep": keep,
        }
        if not self._by_score:
            numbers["flip"] = self._flip(answers, pairs)
        if question.control is not None:
            control = self.ask(question.control, pairs)
            others = self._differences(control, pairs) / scale
            numbers |= {
                "control": float(others.mean()),
                "control_p_value": self._p_value((1 / scale, control), pairs=pairs),
                "margin_p_value": self._p_value(
                    (1 / scale, answers), (-1 / scale, control), pairs=pairs
                ),
            }
        return Effect(
            question.test,
            **numbers,
            num_probes=len(pairs.recipients),
            num_donors=pairs.same.shape[1],
            window=question.window,
            target=question.target,
            untestable=self._objection(len(pairs.recipients), keep),
            examples=self._examples(question, answers, differences),
        )

    def _objection(self, num_recipients: int, keep: float) -> str:
        """Why the numbers of a test prove nothing; empty if they may."""
        if num_recipients < MIN_RECIPIENTS:
            return f"{num_recipients} probes can't prove an effect, it takes {MIN_RECIPIENTS}"
        needed = 0.0 if self._by_score else required_accuracy(self._chance)
        if keep < needed:
            kept = f"with donors of the same class {keep:.2f} is kept"
            return f"exchanging it spoils the images: {kept}"
        return ""

    def _examples(
        self, question: Question, answers: Answers, differences: Array
    ) -> tuple[Example, ...]:
        pairs = question.pairs
        own = self._targets[pairs.recipients, np.newaxis]
        telling = (answers.same == own) & (answers.other != own)
        order = np.argsort(-differences, kind="stable")
        _, firsts = np.unique(own[order], return_index=True)  # of each class, before the others
        order = order[
            np.concatenate([np.sort(firsts), np.setdiff1d(np.arange(len(order)), firsts)])
        ]
        examples = []
        for row in order[:NUM_EXAMPLES]:
            column = int(telling[row].argmax())
            recipient, donor = pairs.recipients[row], pairs.other[row, column]
            image = question.edit(np.array([recipient]), np.array([donor]))[0]
            said = int(answers.other[row, column]), int(answers.same[row, column])
            examples.append(Example(int(recipient), int(donor), image, *said))
        return tuple(examples)
