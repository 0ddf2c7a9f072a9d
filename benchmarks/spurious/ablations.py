"""Tests without one of their parts, as variants of the rows of the table of tests.

The third ablation leaves out the gate. It does not belong to a test, so `replay` leaves it out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

import keras_saliency as ks
from keras_saliency.data.reports import Window
from keras_saliency.detection import proposals
from keras_saliency.detection.pairs import Pairs, donors_for, draw_pairs
from keras_saliency.detection.tests import InterventionTest, Place, Round


def ablated(without: str, names: Sequence[str] = ()) -> list[InterventionTest]:
    """These tests, or all, without a part of them.

    Args:
        without: `""`, `"control"`, `"halves"` or `"gate"`; the last changes no test.
        names: Of tests; none means all.
    """
    rows = [ks.TESTS[name] for name in names or ks.TESTS]
    if without == "control":
        return [row if row.edit is None else _uncontrolled(row) for row in rows]
    if without == "halves":
        proposing = {"hot_window": _hot_window, "class_hot_spot": _class_hot_spot}
        return [
            dataclasses.replace(row, propose=proposing.get(row.name, row.propose)) for row in rows
        ]
    return rows


def _uncontrolled(row: InterventionTest) -> InterventionTest:
    """The donor of the own class is the recipient itself: nothing is controlled."""

    def propose(round_: Round) -> list[Place]:
        everywhere = Place(np.ones(round_.images.shape[1:3], bool))
        places = [everywhere] if row.propose is None else row.propose(round_)
        return [
            dataclasses.replace(place, pairs=_with_itself(place.pairs or round_.pairs))
            for place in places
        ]

    return dataclasses.replace(row, propose=propose)


def _with_itself(pairs: Pairs) -> Pairs:
    count = pairs.same.shape[1]
    return dataclasses.replace(pairs, same=pairs.recipients[:, None].repeat(count, axis=1))


def _hot_window(round_: Round) -> list[Place]:
    """The window of most saliency, tested on the very probes that it was chosen by."""
    window = proposals.hot_window(round_.maps[round_.tested])
    return _place(round_, window, None)


def _class_hot_spot(round_: Round) -> list[Place]:
    """The window in which one class stands out, tested on the probes that it was chosen by."""
    proposal = proposals.class_hot_window(round_.maps[round_.tested], round_.targets[round_.tested])
    target, window = (None, None) if proposal is None else proposal
    return _place(round_, window, target)


def _place(round_: Round, window: Window | None, target: int | None) -> list[Place]:
    if window is None:
        return [Place(untestable="the maps are dead")]
    _, height, width, _ = round_.images.shape
    pairs = draw_pairs(
        round_.targets,
        round_.tested,
        num_donors=donors_for(round_.tested),
        seed=round_.seed,
        donors_of=target,
    )
    mask = proposals.window_mask(window, height, width)
    return [Place(mask, pairs=pairs, window=window, target=target)]
