"""`Work`: what a training has done so far, and what its evaluations may do.

Work is counted in forward passes, not in seconds, so that each run of a training evaluates at the
same epochs. Evaluations may do a share of the training's work, the budget. A few are made whatever
they take, since a tenth of a very short training is nothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

PASSES_PER_SAMPLE = 3
"""A training step is a forward pass and a backward pass, which takes as long as two. So is a
gradient map."""

PASSES_PER_PICTURE = 4
"""About what drawing, encoding and writing one picture takes, in passes of a small model."""

ROUNDS_AT_THE_END = 2
"""Rounds at the last evaluations: an alert needs two in a row."""

APART, SPREAD = 4, 3
"""If the budget is used up, a round follows at least four evaluations after the one before it, and
at three times its number of evaluations."""


@dataclass(frozen=True)
class Work:
    """Work done so far, in forward passes.

    Attributes:
        trained: By the training.
        epoch: By the latest epoch of the training.
        spent: By evaluations: maps, pictures and tests.
        round: By the latest round of tests that took any.
        rounds: The number of rounds that took any.
        tested_at: The index of the evaluation with the latest of these, counting those left out.
        skipped: The number of evaluations that were left out, as the budget was used up.
        skipped_rounds: The number of rounds that were left out.

    Example:
        >>> work = Work().after_epoch(1000).after_round(200, index=1)
        >>> work.trained, work.affords(100, 0.1), work.affords(101, 0.1), work.affords(101, None)
        (3000, True, False, True)
    """

    trained: int = 0
    epoch: int = 0
    spent: int = 0
    round: int = 0
    rounds: int = 0
    tested_at: int = 0
    skipped: int = 0
    skipped_rounds: int = 0

    @property
    def is_thinned(self) -> bool:
        """Whether anything was left out."""
        return self.skipped + self.skipped_rounds > 0

    def affords(self, passes: int, budget: float | None) -> bool:
        """Whether evaluations may take this many more passes.

        Args:
            passes: How many.
            budget: The share of the training's work that evaluations may take; `None`: all of it.
                It does not hold while nothing is known of the training.
        """
        return budget is None or not self.trained or self.spent + passes <= budget * self.trained

    def affords_round(self, index: int, budget: float | None) -> bool:
        """Whether a round of tests may be made now, with a reserve for those at the end.

        Args:
            index: Of this evaluation, counting those left out.
            budget: As in `affords`.
        """
        if not self.rounds or index >= max(self.tested_at + APART, SPREAD * self.tested_at):
            return True
        return self.affords((1 + ROUNDS_AT_THE_END) * self.round, budget)

    def after_epoch(self, samples: int | None = None) -> Work:
        """With one more epoch of this many samples; by default, of as many as the one before."""
        passes = self.epoch if samples is None else PASSES_PER_SAMPLE * samples
        return dataclasses.replace(self, trained=self.trained + passes, epoch=passes)

    def after(self, passes: int) -> Work:
        """With maps or pictures that took this many passes."""
        return dataclasses.replace(self, spent=self.spent + passes)

    def after_round(self, passes: int, index: int) -> Work:
        """With one more round of tests, which may have taken no passes.

        Args:
            passes: How many it took.
            index: As in `affords_round`.
        """
        if not passes:
            return self
        rounds = self.rounds + 1
        return dataclasses.replace(self.after(passes), round=passes, rounds=rounds, tested_at=index)

    def without(self, *, evaluations: int = 0, rounds: int = 0) -> Work:
        """With this many more evaluations, or rounds of tests, that were left out."""
        return dataclasses.replace(
            self,
            skipped=self.skipped + evaluations,
            skipped_rounds=self.skipped_rounds + rounds,
        )
