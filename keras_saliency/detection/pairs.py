"""Which probe is changed with whose help: recipients, and donors of the same and of other classes.

Every draw has a seed of its own, so that all evaluations of a run use the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_saliency.data.reports import Array

MAX_RECIPIENTS = 256
"""At most this many probes are changed, equally many of each class where possible."""

NUM_DONORS = 4
"""At most this many donors of each kind per recipient."""

MIN_CLASS_SIZE = 4
"""With many classes, some are left out so that the others keep this many probes each."""


_FIRST = slice(1)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Recipients and their donors, as indices of probes.

    Attributes:
        recipients: `(num_recipients,)`.
        same: `(num_recipients, num_donors)`, donors of the recipient's class, never itself.
        other: Same shape, donors of other classes.
    """

    recipients: Array
    same: Array
    other: Array

    def part(self, rows: Array | slice, columns: slice = _FIRST) -> Pairs:
        """Some of the recipients, with the first or other donors of each kind."""
        return Pairs(self.recipients[rows], self.same[rows, columns], self.other[rows, columns])


def donors_for(recipients: Array) -> int:
    """How many donors of each kind each of these recipients gets."""
    return max(1, min(NUM_DONORS, MAX_RECIPIENTS // max(1, len(recipients))))


def balanced(targets: Array, among: Array, at_most: int, seed: int) -> Array:
    """Chooses at most this many probes, as evenly over the classes as possible.

    With many classes, some are left out so that the others keep `MIN_CLASS_SIZE` probes each.

    Args:
        targets: `(num_probes,)`.
        among: Indices to choose from.
        at_most: The largest number to choose.
        seed: Seed of the draw.

    Returns:
        Sorted indices.
    """
    generator = np.random.default_rng(seed)
    if len(among) <= at_most:
        return among
    num_classes = max(2, at_most // MIN_CLASS_SIZE)
    classes = generator.permutation(np.unique(targets[among]))[:num_classes]
    shuffled = generator.permutation(among[np.isin(targets[among], classes)])
    rank = np.empty(len(shuffled), int)  # the first of each class, the second of each class, ...
    for target in classes:
        members = np.flatnonzero(targets[shuffled] == target)
        rank[members] = np.arange(len(members))
    return np.sort(shuffled[rank.argsort(kind="stable")[:at_most]])


def draw_pairs(
    targets: Array, among: Array, *, num_donors: int, seed: int, donors_of: int | None = None
) -> Pairs:
    """Draws donors of the same class and of other classes for each of these probes.

    A probe that is alone in its class has no donor of the same class and is no recipient. If there
    are fewer than `num_donors`, the same donor may be drawn more than once.

    Args:
        targets: `(num_probes,)`.
        among: Indices of recipients and donors.
        num_donors: Donors of each kind per recipient.
        seed: Seed of the draw.
        donors_of: If given, donors of other classes are of this class, and its own probes are not
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
