"""`Costs`: what evaluations took beside the training, in seconds, and in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """What a training took, and what its evaluations took.

    Attributes:
        training: The seconds of training, without evaluations; 0 if they are not known.
        maps: The seconds of explanations and their statistics.
        log: The seconds for which the training waited for pictures and the log.
        tests: The seconds of the tests.
        evaluations: How many evaluations there were.
        rounds: How many rounds of tests there were.
    """

    training: float = 0.0
    maps: float = 0.0
    log: float = 0.0
    tests: float = 0.0
    evaluations: int = 0
    rounds: int = 0

    def __str__(self) -> str:
        """All of it in words.

        Example:
            >>> print(Costs(80.0, maps=0.5, log=0.3, tests=3.2, evaluations=4, rounds=2))
            4 evaluations: maps 0.50 s, pictures and log 0.30 s, tests 3.2 s (2 rounds): 5.0% ...
        """
        parts = [f"{name} {_seconds(value)}" for name, value in self._parts.items()]
        rounds = f" ({_count(self.rounds, 'round')})" if self.rounds else ""
        share = f": {self.share:.1%} of the training" if self.training else ""
        return f"{_count(self.evaluations, 'evaluation')}: {', '.join(parts)}{rounds}{share}"

    @property
    def share(self) -> float:
        """The evaluations' time as a share of the training's, which must not be 0."""
        return sum(self._parts.values()) / self.training

    def less_with(self, *, saliency_freq: int, has_pictures: bool) -> str:
        """What to change so that evaluations take less time.

        Args:
            saliency_freq: The number of epochs between evaluations now.
            has_pictures: Whether there are pictures now.

        Example:
            >>> Costs(80.0, maps=0.5, log=0.3).less_with(saliency_freq=3, has_pictures=True)
            'saliency_freq=6'
        """
        largest = max(self._parts, key=self._parts.__getitem__)
        if largest == "tests":
            return "interventions=None"
        if largest == "maps" or not has_pictures:
            return f"saliency_freq={2 * saliency_freq}"
        return "pictures=None"

    @property
    def _parts(self) -> dict[str, float]:
        return {"maps": self.maps, "pictures and log": self.log, "tests": self.tests}


def _seconds(value: float) -> str:
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:,.{digits}f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
