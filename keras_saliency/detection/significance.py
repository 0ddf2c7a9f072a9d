"""Significance: exact p-values, and the level that each round of tests may use.

No p-value here is drawn: they are computed exactly, or bounded from above, down to `2**-n` for `n`
probes. So a test can be significant at any level, if it has enough probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from keras_saliency.data.reports import Array

ALPHA = 0.01
"""The level of significance, for all tests of all rounds of a run together."""

_RESOLUTION = 32768
"""Steps of the lattice that differences of scores are rounded to; more are more exact."""


def level_of_round(number: int) -> float:
    """The level of significance of the `number`-th round of tests of a run, from 1.

    The levels of all rounds sum to `ALPHA`, however many there are: a run without any effect raises
    an alert with a probability of at most `ALPHA`.

    Example:
        >>> [round(level_of_round(number), 6) for number in (1, 2, 10)]
        [0.006079, 0.00152, 6.1e-05]

    Reference:
        Foster, Stine: Alpha-investing. Journal of the Royal Statistical Society B 70 (2008),
        429-444. The sum of `1 / t**2` is `pi**2 / 6`.
    """
    return 6 * ALPHA / (math.pi * number) ** 2


def sign_flip_p_value(differences: Array, step: float | None = None) -> float:
    """How likely a mean this large is if the sign of each difference were a fair coin flip.

    Valid for any distribution that is symmetric about 0. The number of sign flips with a mean at
    least as large is counted on a lattice, by convolution.

    Args:
        differences: `(num_probes,)`.
        step: What all differences are multiples of, if anything; the result is then exact.
            Without it, their sizes are rounded so that the result is an upper bound, which is too
            large by little.

    Returns:
        From `2**-num_probes` to 1; 1 if all differences are 0; `nan` if one is `nan`.

    Example:
        >>> sign_flip_p_value(np.array([0.5, 0.5, 0.25, 0.25]), step=0.25)
        0.0625
        >>> sign_flip_p_value(np.array([0.5, -0.5]), step=0.5)
        0.75

    Reference:
        Pagano, Tritchler: On Obtaining Permutation Distributions in Polynomial Time. Journal of
        the American Statistical Association 78 (1983), 435-440.
    """
    values = differences.astype(np.float64)
    if np.isnan(values).any():
        return math.nan
    sizes = np.abs(values)
    if not sizes.any():
        return 1.0
    negative = float(sizes[values < 0].sum())
    if step is None:
        step = float(sizes.sum()) / _RESOLUTION
        steps, most = np.floor(sizes / step).astype(int), math.floor(negative / step + 1e-6)
    else:
        steps = np.rint(sizes / step).astype(int)
        most = round(negative / step)
    # A flip has a mean at least as large if its negative differences sum to no more than these.
    shares: Array = np.zeros(most + 1)
    shares[0] = 1.0
    for size in steps:
        moved = np.zeros_like(shares)
        if size <= most:
            moved[size:] = shares[: most + 1 - size]
        shares = (shares + moved) / 2
    return min(1.0, float(shares.sum()))


def min_recipients(num_tests: int, level: float = ALPHA) -> int:
    """The number of recipients from which an effect can be significant among this many tests.

    Holm's correction multiplies the smallest p-value by the number of tests. With n recipients the
    smallest p-value of a sign-flip test is 2 to the power of -n.

    Args:
        num_tests: The number of tests of a round.
        level: The level of that round.

    Example:
        >>> min_recipients(1), min_recipients(9), min_recipients(100)
        (7, 10, 14)
    """
    return math.floor(math.log2(num_tests / level)) + 1


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number.

    If no effect is real, the smallest one is below alpha with a probability of at most alpha.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]

    Reference:
        Holm: A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of
        Statistics 6 (1979), 65-70.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
