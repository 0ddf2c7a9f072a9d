"""Interventions: does the model use a thing, or does the saliency map merely show it?

One thing (a region, the tint, the finest detail) is taken from another probe, the *donor*, and put
into a probe, the *recipient*. Whatever damage that does, it does with a donor of the same class
and with one of another class alike. So if the model does not read the class from that thing, the
two make no difference: the region-swap effect is 0, however unnatural the images. Xiao et al. call
it the background gap, for backgrounds (arXiv:2006.09994).

Everything here is pure: images and maps in, a question to the model (`Answer`), records out.
Donors are drawn with a fixed seed, the same at each evaluation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, Effect, InterventionResults
from keras_saliency.detection.edits import swap_high_frequency, swap_region, swap_tint
from keras_saliency.detection.effects import (
    MIN_RECIPIENTS,
    Answer,
    Edit,
    Pairs,
    Question,
    SwapExperiment,
    balanced,
    draw_pairs,
    split_halves,
)
from keras_saliency.detection.proposals import (
    class_hot_window,
    contrast_weighted,
    elsewhere,
    hot_window,
    own_hot_windows,
    window_mask,
)
from keras_saliency.metrics.localization import border

BORDER, THIN_BORDER = 0.12, 0.05
"""How wide the tested borders are on each side, as a share of the shorter side."""

THIN_AREA = 0.25
"""A border of a larger share of the area is not thin any more."""

MAX_RECIPIENTS = 256
"""So many probes are changed at most, the same number of each class as far as there are any."""

NUM_DONORS = 4
"""Donors of each kind per recipient, at most."""


def intervene(
    probes: ProbeSet,
    maps: Array,
    predictions: Array,
    scores: Array,
    answer: Answer,
    *,
    by_score: bool,
    chunk_size: int,
    seed: int = 0,
) -> InterventionResults:
    """Makes every test that these probes allow.

    Args:
        probes: With targets.
        maps: `(num_probes, height, width)`, saliency maps, which propose windows.
        predictions: `(num_probes,)`, the classes predicted now.
        scores: `(num_probes,)`, the targets' scores now.
        answer: Asks the model about images; it gets `chunk_size` of them at most.
        by_score: Whether effects are measured in the score instead of in accuracy.
        chunk_size: Bounds the memory.
        seed: Of all draws.
    """
    unit = "score" if by_score else "accuracy"
    targets = probes.targets
    if probes.kind != "image":
        return InterventionResults(
            (), f"tests are made with images, not with {probes.kind}", unit, 0, ""
        )
    if targets is None:
        return InterventionResults((), "the probes have no targets", unit, 0, "")
    everyone = balanced(targets, np.arange(len(targets)), MAX_RECIPIENTS, seed)
    pairs = draw_pairs(targets, everyone, num_donors=donors_for(everyone), seed=seed)
    if not len(pairs.recipients):
        few = "it takes two classes, and two probes of one"
        return InterventionResults((), few, unit, 0, "")
    asker = SwapExperiment(probes.images, targets, scores, answer, chunk_size, by_score)
    gate, scale = asker.gate(pairs, predictions)
    tests = [
        *_named(probes, pairs, seed),
        *_proposed(probes.images, targets, maps, pairs, everyone, seed),
    ]
    effects = [test if isinstance(test, Effect) else asker.effect(test, scale) for test in tests]
    note = _left_out(probes, targets, everyone, pairs)
    return InterventionResults(tuple(effects), gate, unit, asker.passes, note)


def _left_out(probes: ProbeSet, targets: Array, everyone: Array, pairs: Pairs) -> str:
    """Which classes are not tested, and why; empty if all are."""
    classes, drawn = {*targets.tolist()}, {*targets[everyone].tolist()}
    single = sorted(drawn - {*targets[pairs.recipients].tolist()})
    names = ", ".join(map(probes.class_name, single))
    return "; ".join(
        [f"tests are made on {len(drawn)} of the {len(classes)} classes"] * (drawn != classes)
        + [f"classes with a single probe are not tested: {names}"] * bool(single)
    )


def what_is_tested(found: InterventionResults | None, at_times: bool) -> str:
    """Which tests are made and which can't be, and what one round of them takes, in words.

    Args:
        found: What the first round found; `None` where none is made.
        at_times: Whether rounds are ever further apart.
    """
    if found is None:
        return "no tests of what the model uses (interventions=None)"
    if not found.effects:
        return f"no tests of what the model uses: {found.blocked_because}"
    few = [effect for effect in found.effects if effect.num_probes < MIN_RECIPIENTS]
    tested = [effect.test for effect in found.effects if effect not in few]
    missing = [f"{effect.test} ({effect.untestable})" for effect in few]
    when = "often at first, then ever less" if at_times else "every time"
    text = f"tests what the model uses, {when}: {', '.join(tested) or 'none'}"
    text += f"; {found.passes} forward passes"
    text += f"; not testable: {', '.join(missing)}" if missing else ""
    return text + (f"; {found.note}" if found.note else "")


def donors_for(recipients: Array) -> int:
    """How many donors of each kind so many recipients get."""
    return max(1, min(NUM_DONORS, MAX_RECIPIENTS // max(1, len(recipients))))


def _swap(images: Array, mask: Array) -> Edit:
    """Exchanges a region that is the same for all, or the union of both probes' own regions."""

    def edit(recipients: Array, donors: Array) -> Array:
        masks = mask if mask.ndim == 2 else mask[recipients] | mask[donors]
        return swap_region(images[recipients], images[donors], masks)

    return edit


def _each(edit: Callable[[Array, Array], Array], images: Array) -> Edit:
    """An edit of images as one of indices."""
    return lambda recipients, donors: edit(images[recipients], images[donors])


def _placed(images: Array, mask: Array, seed: int) -> tuple[Edit, Edit | None]:
    """Exchanges a region; and its control, the same shape elsewhere."""
    moved = elsewhere(mask, seed)
    return _swap(images, mask), None if moved is None else _swap(images, moved)


def _exchanged(edit: Edit) -> Edit:
    """Everything but that from the donor."""
    return lambda recipients, donors: edit(donors, recipients)


def _named(probes: ProbeSet, pairs: Pairs, seed: int) -> list[Question | Effect]:
    """The tests of what is named in advance: by the user, or by a stated prior."""
    images = probes.images
    height, width = images.shape[1:3]
    questions: list[Question | Effect] = []
    for name, region in probes.regions.items():
        mask = region[0] if (region == region[0]).all() else region
        questions.append(Question(f"region/{name}", *_placed(images, mask, seed), pairs))
    if probes.masks is not None:
        masks = probes.masks

        def background(recipients: Array, donors: Array) -> Array:
            outside = ~(masks[recipients] | masks[donors])
            return swap_region(images[recipients], images[donors], outside)

        questions.append(Question("background", background, None, pairs))
    outer = _swap(images, border(height, width, BORDER))
    ring = border(height, width, THIN_BORDER)
    narrow = _swap(images, ring)
    thin = Question("thin_border", narrow, _exchanged(narrow), pairs)
    small = Effect("thin_border", untestable="of so small an image a border is too much")
    tint, detail = _each(swap_tint, images), _each(swap_high_frequency, images)
    return [
        *questions,
        Question("border", outer, _exchanged(outer), pairs),
        small if ring.mean() > THIN_AREA else thin,
        Question("tint", tint, _exchanged(tint), pairs),
        Question("high_frequency", detail, _exchanged(detail), pairs),
    ]


def _proposed(
    images: Array, targets: Array, maps: Array, pairs: Pairs, everyone: Array, seed: int
) -> list[Question | Effect]:
    """The tests of what the maps propose; effects without a number where none can be made.

    Windows that are the same for all are chosen on one half of the probes and tested on the
    other; else a window would be tested by the very chance that it was chosen for.
    """
    maps = contrast_weighted(maps, images)
    outer, inner = (_swap(images, own_hot_windows(maps, outer=side)) for side in (True, False))
    own = Question("own_hot_spot", outer, inner, pairs)
    choosers, testers = split_halves(targets, everyone, seed)
    halves = draw_pairs(targets, testers, num_donors=donors_for(testers), seed=seed)
    if not len(halves.recipients) or not len(choosers):
        few = "it takes two classes with three probes each"
        return [own, *(Effect(test, untestable=few) for test in ("hot_window", "class_hot_spot"))]
    hot = hot_window(maps[choosers])
    proposal = class_hot_window(maps[choosers], targets[choosers])
    if hot is None or proposal is None:
        dead = "too few maps are alive"
        return [own, *(Effect(test, untestable=dead) for test in ("hot_window", "class_hot_spot"))]
    target, window = proposal
    toward = draw_pairs(
        targets, testers, num_donors=donors_for(testers), seed=seed, donors_of=target
    )
    shape = images.shape[1:3]
    tests: list[Question | Effect] = [
        own,
        Question("hot_window", *_placed(images, window_mask(hot, *shape), seed), halves, hot),
    ]
    if len(toward.recipients):
        edits = _placed(images, window_mask(window, *shape), seed)
        tests.append(Question("class_hot_spot", *edits, toward, window, target))
    else:
        tests.append(Effect("class_hot_spot", untestable="no other class has three probes"))
    return tests
