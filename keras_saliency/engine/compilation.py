"""Decides whether XLA compiles the passes: as requested, or by timing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_saliency.attributions import REDUCTIONS
from keras_saliency.data.checks import check_choice, check_positive_int, check_settings
from keras_saliency.engine.device import is_accelerated
from keras_saliency.engine.explainer import Explainer


@dataclass(frozen=True)
class Compute:
    """How maps are computed.

    Args:
        batch_size: The maximum number of probes per pass. It limits the memory use. Probes of up to
            512 MiB stay on the device, too, so that an evaluation copies nothing but indices to it;
            larger ones are copied pass by pass.
        jit_compile: Whether XLA compiles the passes. With `"auto"`, XLA is off on a CPU, where it
            was slower in nearly all measurements. On other devices, both variants are timed on the
            first probes, and the faster one is kept.
        budget: The share of the training's work that maps, pictures and tests may take. Work is
            counted in forward passes, so that a run can be repeated: a training sample and a
            gradient map are three each, a counterfactual image is one, a picture four. If a
            training is too short for the usual evaluations, epochs are left out, but not the state
            before training, epochs ever further apart (0, 1, 2, 3, 5, 7, 10, 15, ...), the last
            two, a few rounds of tests ever further apart and those at the last two epochs, and the
            round after a warning; 0 leaves just these. What is asked for by
            `Interventions(when="epoch")` is never left out, and evaluations within epochs
            (`update_freq`) do not count. `None`: no limit. It holds in `fit` alone: a custom
            training loop decides by itself.
        reduction: How channels become one map: `"max_abs"`, `"l2"`, `"sum"` or `"signed"`.
            Default: `"l2"` for tokens, `"max_abs"` for everything else. See
            `keras_saliency.attributions.reductions`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has an invalid value.

    Example:
        >>> Compute(batch_size=8)
        Compute(batch_size=8, jit_compile='auto', reduction=None, budget=0.1)
    """

    batch_size: int = 32
    jit_compile: bool | str = "auto"
    reduction: str | None = None
    budget: float | None = 0.1

    def __post_init__(self) -> None:
        batch_size = check_positive_int(
            "batch_size", self.batch_size, hint="Pass the number of probes per pass."
        )
        object.__setattr__(self, "batch_size", batch_size)
        is_string = isinstance(self.jit_compile, str)
        if not isinstance(self.jit_compile, bool) and not (
            is_string and self.jit_compile == "auto"
        ):
            raise (ValueError if is_string else TypeError)(
                f"jit_compile: expected True, False or 'auto', received {self.jit_compile!r}."
            )
        if self.reduction is not None:
            check_choice("reduction", self.reduction, REDUCTIONS)
        if self.budget is not None:
            object.__setattr__(self, "budget", _checked_budget(self.budget))

    def reduction_for(self, kind: str) -> str:
        """The reduction that is used for a kind of input."""
        return self.reduction or ("l2" if kind == "tokens" else "max_abs")


def _checked_budget(budget: object) -> float:
    expected = "budget: expected a share of the training's work, such as 0.1, or None (no limit)"
    if isinstance(budget, bool) or not isinstance(budget, int | float | np.number):
        raise TypeError(f"{expected}, received {budget!r}.")
    if not 0 <= float(budget) < math.inf:
        raise ValueError(f"{expected}, received {budget!r}.")
    return float(budget)


def checked_compute(compute: object) -> Compute:
    """Converts the argument `compute` (`"auto"` or a `Compute`) to a `Compute`.

    Raises:
        TypeError: `compute` is neither a string nor a `Compute`.
        ValueError: `compute` is a string other than `"auto"`.
    """
    return check_settings("compute", compute, {"auto": Compute()})


def compiled(make: Callable[..., Explainer], jit_compile: bool | str) -> tuple[Explainer, str]:
    """Makes an explainer, with or without XLA. Also returns the choice, in words.

    Args:
        make: Makes an explainer, and takes the argument `jit_compile`.
        jit_compile: As in `Compute`. `benchmarks/compilation.py` measures both variants.
    """
    if isinstance(jit_compile, bool):
        return make(jit_compile=jit_compile), f"XLA {'on' if jit_compile else 'off'}"
    if not is_accelerated():
        return make(jit_compile=False), "XLA off (CPU)"
    plain = make(jit_compile=False)
    try:
        return faster(plain, make(jit_compile=True))
    except (tf.errors.OpError, NotImplementedError) as error:
        return plain, f"XLA off (it cannot compile this model: {type(error).__name__})"


def faster(
    plain: Explainer, with_xla: Explainer, clock: Callable[[], float] = time.perf_counter
) -> tuple[Explainer, str]:
    """Times both explainers on the first probes. Returns the faster one, and the ratio in words."""
    seconds = [_seconds(explainer, clock) for explainer in (plain, with_xla)]
    ratio = seconds[1] / seconds[0]
    description = (
        f"XLA {'on' if ratio < 1 else 'off'} (with it, a pass takes {ratio:.2g} times as long)"
    )
    return (with_xla if ratio < 1 else plain), description


def _seconds(explainer: Explainer, clock: Callable[[], float]) -> float:
    """The shortest of three passes, after a first pass that compiles."""
    targets = np.zeros(explainer.chunk_size, np.int64)
    explainer.explain(targets)
    durations = []
    for _ in range(3):
        start = clock()
        explainer.explain(targets)
        durations.append(clock() - start)
    return min(durations)
