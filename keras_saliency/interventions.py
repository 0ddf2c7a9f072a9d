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

import numpy as np

from keras_saliency.counterfactuals import swap_high_frequency, swap_region, swap_tint
from keras_saliency.effects import (
    Answer,
    Asker,
    Edit,
    Pairs,
    Question,
    balanced,
    draw_pairs,
    split_halves,
)
from keras_saliency.probes import ProbeSet
from keras_saliency.regions import (
    class_hot_window,
    elsewhere,
    frame,
    hot_window,
    outer_hot_windows,
    window_mask,
)
from keras_saliency.reports import Array, Effect, Interventions

FRAME, THIN_FRAME = 0.12, 0.05
"""How wide the tested frames are on each side, as a share of the shorter side."""

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
) -> Interventions:
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
    if targets is None:
        return Interventions((), "the probes have no targets", unit, 0, "")
    everyone = balanced(targets, np.arange(len(targets)), MAX_RECIPIENTS, seed)
    num_donors = max(1, min(NUM_DONORS, MAX_RECIPIENTS // max(1, len(everyone))))
    pairs = draw_pairs(targets, everyone, num_donors=num_donors, seed=seed)
    if not len(pairs.recipients):
        reason = "it takes two classes with two probes each"
        return Interventions((), reason, unit, 0, "")
    asked = Asker(probes.images, targets, scores, answer, chunk_size, by_score)
    gate, scale = asked.gate(pairs, predictions)
    choosers, testers = split_halves(targets, everyone, seed)
    questions, untestable = _named(probes, pairs, seed), []
    proposed, missing = _proposed(probes, maps, pairs, choosers, testers, num_donors, seed)
    effects = [asked.effect(question, scale) for question in [*questions, *proposed]]
    untestable += missing
    left_out = sorted(
        {int(target) for target in targets} - {int(t) for t in targets[pairs.recipients]}
    )
    note = ""
    if left_out:
        names = ", ".join(probes.class_name(target) for target in left_out)
        note = f"classes with a single probe are not tested: {names}"
    return Interventions((*effects, *untestable), gate, unit, asked.passes, note)


def _swap(images: Array, mask: Array) -> Edit:
    """Exchanges a region that is the same for all, or the union of both probes' own regions."""

    def edit(recipients: Array, donors: Array) -> Array:
        masks = mask if mask.ndim == 2 else mask[recipients] | mask[donors]
        return swap_region(images[recipients], images[donors], masks)

    return edit


def _exchanged(edit: Edit) -> Edit:
    """Everything but that from the donor."""
    return lambda recipients, donors: edit(donors, recipients)


def _named(probes: ProbeSet, pairs: Pairs, seed: int) -> list[Question]:
    """The tests of what is named in advance: by the user, or by a stated prior."""
    images = probes.images
    height, width = images.shape[1:3]
    questions = []
    for name, region in probes.regions.items():
        mask = region[0] if (region == region[0]).all() else region
        moved = elsewhere(mask, seed)
        control = None if moved is None else _swap(images, moved)
        questions.append(Question(f"region/{name}", _swap(images, mask), control, pairs))
    edits: dict[str, Edit] = {}
    if probes.masks is not None:
        masks = probes.masks
        edits["background"] = lambda recipients, donors: swap_region(
            images[recipients], images[donors], ~(masks[recipients] | masks[donors])
        )
    edits["frame"] = _swap(images, frame(height, width, FRAME))
    edits["thin_frame"] = _swap(images, frame(height, width, THIN_FRAME))
    edits["tint"] = lambda recipients, donors: swap_tint(images[recipients], images[donors])
    edits["high_frequency"] = lambda recipients, donors: swap_high_frequency(
        images[recipients], images[donors]
    )
    return questions + [
        Question(test, edit, _exchanged(edit), pairs) for test, edit in edits.items()
    ]


def _proposed(
    probes: ProbeSet,
    maps: Array,
    pairs: Pairs,
    choosers: Array,
    testers: Array,
    num_donors: int,
    seed: int,
) -> tuple[list[Question], list[Effect]]:
    """The tests of what the maps propose, and those that can't be made."""
    images, targets = probes.images, probes.targets
    assert targets is not None
    height, width = images.shape[1:3]
    questions, missing = [], []
    windows = outer_hot_windows(maps)
    questions.append(Question("own_hot_spot", _swap(images, windows), None, pairs))
    halves = draw_pairs(targets, testers, num_donors=num_donors, seed=seed)
    few = "" if len(halves.recipients) else "it takes two classes with three probes each"
    hot = None if few else hot_window(maps[choosers])
    if hot is None:
        missing.append(Effect("hot_window", untestable=few or "no map is alive"))
    else:
        mask = window_mask(hot, height, width)
        moved = elsewhere(mask, seed)
        control = None if moved is None else _swap(images, moved)
        questions.append(Question("hot_window", _swap(images, mask), control, halves, hot))
    proposal = None if few else class_hot_window(maps[choosers], targets[choosers])
    if proposal is not None:
        target, window = proposal
        toward = draw_pairs(targets, testers, num_donors=num_donors, seed=seed, donors_of=target)
        if len(toward.recipients):
            mask = window_mask(window, height, width)
            moved = elsewhere(mask, seed)
            control = None if moved is None else _swap(images, moved)
            questions.append(
                Question("class_hot_spot", _swap(images, mask), control, toward, window, target)
            )
            return questions, missing
    missing.append(Effect("class_hot_spot", untestable=few or "no map is alive"))
    return questions, missing
