"""Permutation importance: what a whole input is worth, also one that has no gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keras_saliency.data.reports import Array

MOST_INPUTS = 16
"""The importance of more inputs than that is not measured, beginning with the last."""

REPEATS = 2
"""How often each input is exchanged."""

AnswerWith = Callable[[str, Array, Array], Array]
"""From the name of an input, and recipients and donors, `(count,)` indices of probes, to the
predictions for the recipients with this input of the donors."""


def permutation_importances(
    names: Sequence[str], predictions: Array, targets: Array, answer: AnswerWith, *, seed: int
) -> dict[str, float]:
    """How much accuracy drops if an input is taken from other probes.

    High: the model needs this input. 0: it does not use it, or another input tells the same. A
    model that is right by chance has values around 0. Cost: `REPEATS` passes for each probe and
    input.

    Args:
        names: Of the inputs.
        predictions: `(num_probes,)`, the classes predicted for the probes as they are.
        targets: `(num_probes,)`.
        answer: Asks the model.
        seed: Of the exchange, in which each probe gets the input of another one.

    Returns:
        By the name of the input, in -1..1.

    Example:
        >>> targets = np.array([0, 1, 0, 1])
        >>> reads_sex = lambda name, ours, theirs: targets[theirs if name == "sex" else ours]
        >>> found = permutation_importances(["sex", "age"], targets, targets, reads_sex, seed=0)
        >>> found["sex"] > 0, found["age"]
        (True, 0.0)

    Reference:
        Fisher, Rudin, Dominici: All Models are Wrong, but Many are Useful. arXiv:1801.01489.
    """
    count = len(targets)
    draws = np.random.default_rng(seed)
    recipients, donors = [], []
    for _ in range(REPEATS):
        order = draws.permutation(count)
        recipients.append(order)
        donors.append(np.roll(order, 1))
    ours, theirs = np.concatenate(recipients), np.concatenate(donors)
    before = float((predictions == targets).mean())
    return {
        name: before - float((answer(name, ours, theirs) == targets[ours]).mean())
        for name in names[:MOST_INPUTS]
    }
