"""Exchanges: the tests of a round as edits of probes, ready to be measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from keras_saliency.data.placed_edits import PlacedEdit
from keras_saliency.data.reports import Array, Effect
from keras_saliency.detection import places
from keras_saliency.detection.edits import NAMES, PARTS, swap_region
from keras_saliency.detection.places import Candidates, Place, Round
from keras_saliency.detection.proposals import elsewhere
from keras_saliency.detection.swaps import BuiltInEdit, Images, PairEdit, Swap
from keras_saliency.detection.tests import TESTS, Edit, InterventionTest


def places_of(test: InterventionTest, round_: Round) -> Sequence[Place | Candidates]:
    """The places that a test proposes, checked."""
    if test.propose is None:
        return [Place(untestable=round_.facts.objection(test.name))]
    proposed = test.propose(round_)
    source = f"propose of the test {test.name!r}"
    if not isinstance(proposed, Sequence) or not all(
        isinstance(place, Place | Candidates) for place in proposed
    ):
        raise TypeError(
            f"{source}: expected a list of Place or Candidates objects, received {proposed!r}."
        )
    each = [place.places if isinstance(place, Candidates) else [place] for place in proposed]
    if not all(each):
        raise ValueError(f"{source}: expected Candidates with at least one place, received none.")
    candidates = [place for place in proposed if isinstance(place, Candidates)]
    if any(place.untestable for some in candidates for place in some.places):
        raise ValueError(f"{source}: expected Candidates that can all be tested.")
    names = [some[0].name for some in each]
    if len({*names}) < len(names):
        raise ValueError(
            f"{source}: expected places with different names, received {names}. Pass "
            "Place(name=...)."
        )
    shared = round_.place_shape
    whole = (len(round_.images), *shared)
    for place in itertools.chain(*each):
        needed = {"mask": place.mask}
        if test.control == "inside":
            needed["control"] = place.control
        for argument, mask in needed.items():
            if place.untestable:
                continue
            if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
                kind = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
                raise TypeError(f"{source}: expected a bool array as {argument}, received {kind}.")
            if mask.shape not in (shared, whole):
                raise ValueError(
                    f"{source}: expected a {argument} of shape {shared} or {whole}, received "
                    f"{mask.shape}."
                )
    return proposed


def exchange_at(
    test: InterventionTest, place: Place | Candidates, round_: Round
) -> Swap | Effect | list[Swap]:
    """A test at a place, as edits of probes; several swaps for candidates.

    An effect without numbers if it cannot be made.
    """
    if isinstance(place, Candidates):
        return [swap_at(test, one, round_) for one in place.places]
    if place.untestable:
        return Effect(_name(test, place), untestable=place.untestable)
    return swap_at(test, place, round_)


def _name(test: InterventionTest, place: Place) -> str:
    return f"{test.name}/{place.name}" if place.name else test.name


def swap_at(test: InterventionTest, place: Place, round_: Round) -> Swap:
    """A test at one place that can be tested."""
    edit, mask, support = test.edit, place.mask, place.support
    if edit is None:
        raise ValueError(f"test: expected a test with an edit, received {test.name!r}.")
    is_fixed = mask is not None and mask.ndim == len(round_.place_shape)
    fixed = mask if is_fixed else None
    if support is None:
        support = "" if fixed is None else round_.facts.support(fixed)
    return Swap(
        _name(test, place),
        _exchange(test, edit, place.mask, round_, place.overlap),
        _control(test, edit, place, round_),
        place.pairs or round_.pairs,
        place.window,
        place.target,
        support,
        1.0 if mask is None else float(mask.mean()),
        test.floor,
        min(1.0, test.outweighs),
        place.num_candidates,
        place.common if fixed is None else fixed,
    )


def _control(test: InterventionTest, edit: Edit, place: Place, round_: Round) -> PairEdit | None:
    """What the effect of a test is compared with; `None` if there is nothing."""
    if test.control == "rest":
        return _exchange(test, edit, place.mask, round_, place.overlap, rest=True)
    if test.control == "border":
        (ring,) = places.border(round_)
        return _exchange(test, swap_region, ring.mask, round_, False)
    if test.control == "inside":
        return _exchange(test, edit, place.control, round_, place.overlap)
    if test.control == "elsewhere" and place.mask is not None:
        moved = elsewhere(place.mask, round_.seed, len(round_.place_shape))
        return None if moved is None else _exchange(test, edit, moved, round_, place.overlap)
    return None


def _exchange(
    test: InterventionTest,
    edit: Edit,
    mask: Array | None,
    round_: Round,
    overlap: bool,
    *,
    rest: bool = False,
) -> PairEdit:
    """An edit at a place of each pair; `rest` takes everything else from the donor."""

    def exchanged(ours: Images, theirs: Images) -> Array:
        one, other = (theirs, ours) if rest else (ours, theirs)
        if edit in PARTS:
            describe, exchange = PARTS[edit]
            return exchange(one.values, one.described(describe), other.described(describe))
        where = _where(mask, round_, overlap, ours.indices, theirs.indices)
        return _checked_images(test, edit(one.values, other.values, where), ours.values)

    if edit not in NAMES:
        return exchanged
    describe = PARTS[edit][0] if edit in PARTS else None
    where = None if describe else mask
    return BuiltInEdit(exchanged, PlacedEdit(NAMES[edit], where, overlap, rest, describe))


def _where(
    mask: Array | None, round_: Round, overlap: bool, recipients: Array, donors: Array
) -> Array | None:
    """The places of these pairs; unless they are images, with as many axes as the inputs."""
    if mask is None:
        return None
    rank = len(round_.place_shape)
    if mask.ndim > rank:
        mask = mask[recipients] & mask[donors] if overlap else mask[recipients] | mask[donors]
    if round_.kind == "image":
        return mask
    if mask.ndim == rank:
        mask = mask[np.newaxis]
    return mask[..., np.newaxis] if mask.ndim < round_.images.ndim else mask


def _checked_images(test: InterventionTest, made: object, expected: Array) -> Array:
    """What an edit returned, if it is images like those that it was given."""
    source = f"edit of the test {test.name!r}"
    if not isinstance(made, np.ndarray) or made.shape != expected.shape:
        received = made.shape if isinstance(made, np.ndarray) else type(made).__name__
        raise ValueError(
            f"{source}: expected a NumPy array of shape {expected.shape}, like the recipients, "
            f"received {received}."
        )
    if TESTS.get(test.name) is test:
        return made.astype(expected.dtype, copy=False)
    if made.dtype.kind != expected.dtype.kind:
        raise TypeError(
            f"{source}: expected {expected.dtype}, like the recipients, received {made.dtype}."
        )
    if not np.isfinite(made).all():
        raise ValueError(f"{source}: expected finite numbers, received nan or infinity.")
    return made.astype(expected.dtype, copy=False)
