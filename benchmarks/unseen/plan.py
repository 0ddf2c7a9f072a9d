"""Which runs are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.unseen.sets import SETS


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        set: The name of the image set.
        cue: What is planted; empty: nothing.
        seed: Decides the images, the weights and the batches.
        network: "pooled" (the maximum of each channel, so places are lost) or "flat".
        masks: Whether the probes have the masks of the objects.
        epochs: How long it trains.
    """

    set: str
    cue: str
    seed: int
    network: str = "pooled"
    masks: bool = False
    epochs: int = 4

    @property
    def id(self) -> str:
        """Its name in the results."""
        given = "masks" if self.masks else "nothing"
        return f"{self.set}, {self.cue or 'clean'}, {self.network}, {given}, seed {self.seed}"


def clean(seed: int) -> list[Run]:
    """Every set on which something is learned, without a cue."""
    return [Run(name, "", seed, epochs=kind.epochs) for name, kind in SETS.items() if not kind.hard]


def planted(seed: int) -> list[Run]:
    """The cues, most of them on sets that are too hard to be learned without one."""
    return [
        *(Run("letter", cue, seed) for cue in ON_LETTERS),
        Run("lesion", "moving tag", seed),
        *(Run("letter/clear", cue, seed) for cue in ("date", "noisy tag")),
        *(Run("letter", cue, seed, masks=True) for cue in ("moving tag", "noisy tag", "ground")),
        Run("scene", "resolution", seed, "flat", epochs=6),
        *(Run("scene", cue, seed, "flat") for cue in ON_SCENES),
        Run("letter", "noisy tag", seed, "flat"),
        Run("board", "tag", seed, epochs=3),
        Run("fruit", "logo", seed, epochs=3),
    ]


ON_LETTERS = (
    *("noisy tag", "moving tag", "ruler", "cast", "grain", "ground", "vignette", "shadow"),
    *("corner light", "tag", "frame", "hot pixel", "rounded", "hairs", "marked box"),
    *("letterbox", "date", "logo"),
)

ON_SCENES = (
    *("jpeg", "grain", "cast", "ground", "logo", "letterbox", "hairs", "marked box"),
    *("date", "frame"),
)


def runs(clean_seeds: Sequence[int], planted_seeds: Sequence[int]) -> list[Run]:
    """All runs, those without a cue first."""
    return [
        *(run for seed in clean_seeds for run in clean(seed)),
        *(run for seed in planted_seeds for run in planted(seed)),
    ]
