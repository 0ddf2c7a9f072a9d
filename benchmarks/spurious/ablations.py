"""Tests without one of their parts.

`ablated` makes the tests without their control, which has to be done in training. The others are
left out of what was recorded, see `table` and `left_out`, so every run tells about them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

import keras_saliency as ks
from keras_saliency.data.reports import Effect
from keras_saliency.detection import proposals
from keras_saliency.detection.pairs import Pairs
from keras_saliency.detection.places import Candidates, Place, Round
from keras_saliency.detection.tests import ONE_CLASS, InterventionTest, row_name

REPLAYED = ("gate", "price", "support", "explaining")
"""Parts that a replay can leave out: the gate, which waits until the model knows the classes; the
price of a choice among several places or classes; that small windows need support; and that an
effect raises no alert if another one explains it."""


def ablated(without: str, names: Sequence[str] = ()) -> list[InterventionTest]:
    """These tests, or all, without a part of them.

    Args:
        without: `""` or `"control"`.
        names: Of tests; none means all.
    """
    rows = [ks.TESTS[name] for name in names or ks.TESTS]
    if without == "control":
        return [row if row.edit is None else _uncontrolled(row) for row in rows]
    return rows


def table(without: str) -> Mapping[str, InterventionTest]:
    """The table of tests without a part that its rows have."""
    if without != "support":
        return ks.TESTS
    return {name: dataclasses.replace(row, needs_support=False) for name, row in ks.TESTS.items()}


def left_out(effect: Effect, without: str, *, side: int, classes: int) -> Effect:
    """An effect as it would be without a part.

    Args:
        effect: As it was recorded.
        without: One of `REPLAYED`, or `""`.
        side: Of the images, in pixels.
        classes: How many there are.
    """
    if without == "gate":  # it counts whatever the accuracy is, as long as it was measured
        is_measured = effect.num_probes > 0
        return dataclasses.replace(effect, untestable="" if is_measured else effect.untestable)
    if without == "explaining":
        return dataclasses.replace(effect, explained_by="")
    if without == "price" and effect.p_value < 1:
        price = _price(effect, side=side, classes=classes)
        return dataclasses.replace(effect, p_value=effect.p_value / price)
    return effect


def _price(effect: Effect, *, side: int, classes: int) -> int:
    """From how many it was chosen; of supported places, at most so many."""
    row = row_name(effect.test)
    if effect.test.endswith(f"/{ONE_CLASS}"):
        return classes
    if row == "class_hot_spot" and effect.window is not None:
        return classes * (side - effect.window[2] + 1) * (side - effect.window[3] + 1)
    if row == "border_patch":
        return len(proposals.border_windows(side, side))
    if row == "hot_window" and effect.support:
        return 1 + len(proposals.GROWTH)
    return 1


def _uncontrolled(row: InterventionTest) -> InterventionTest:
    """The donor of the own class is the recipient itself: nothing is controlled."""

    def propose(round_: Round) -> list[Place | Candidates]:
        def uncontrolled(place: Place) -> Place:
            pairs = _with_itself(place.pairs or round_.pairs)
            return dataclasses.replace(place, pairs=pairs)

        everywhere = Place(np.ones(round_.images.shape[1:3], bool))
        places = [everywhere] if row.propose is None else row.propose(round_)
        return [
            dataclasses.replace(place, places=[uncontrolled(one) for one in place.places])
            if isinstance(place, Candidates)
            else uncontrolled(place)
            for place in places
        ]

    return dataclasses.replace(row, propose=propose)


def _with_itself(pairs: Pairs) -> Pairs:
    count = pairs.same.shape[1]
    return dataclasses.replace(pairs, same=pairs.recipients[:, None].repeat(count, axis=1))
