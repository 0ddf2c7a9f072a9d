"""What there is to say of one evaluation in numbers, and what each number says.

A metric's *kind* is its name up to the first slash: `enrichment/top-left` is an `enrichment`.
No metric by itself ever raises an alert. Some may propose a region, which is then tested by
changing it; the others are health lines, to see that a run is what one thinks it is.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.metrics import groups, localization
from keras_saliency.metrics.maps import (
    dead_maps,
    defined_mean,
    entropy,
    gini,
    rank_similarity,
    ranks,
)

NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """What is to be known of a metric before it is read.

    Attributes:
        shows: What it shows, in one line.
        chance: What a map, or a model, that knows nothing scores.
        may_propose: Whether it may name a region to be tested; else it is a health line.
    """

    shows: str
    chance: str
    may_propose: bool = False


_ENRICHMENT = "saliency in {} against its share of the area"
_RATIO = "enrichment of {} against that before training"
_LARGEST = "the largest enrichment ratio of {} in a class"
_RANK = "the highest pixels, as many as {} has: the share in it"
_POINTING = "the share of maps whose highest pixel lies in {}"
_TRANSLATED = "the share of all places with as much saliency as {}"
_GROUPS = "enrichment of {} in one group of probes"

_PLACES = {
    "enrichment": (_ENRICHMENT, "1"),
    "enrichment_ratio": (_RATIO, "1"),
    "largest_class_enrichment_ratio": (_LARGEST, "above 1 with few probes"),
    "rank_accuracy": (_RANK, "its area's share"),
    "pointing_game": (_POINTING, "its area's share"),
    "translated_mask_rank": (_TRANSLATED, "0.5; flat map: 1"),
    "group_enrichment": (_GROUPS, "1"),
}

METRICS: Mapping[str, Metric] = {
    "gradient_norm": Metric(
        "the mean L2 norm of the attribution: by default, of the gradient", "none"
    ),
    "confidence": Metric("the mean probability of the predicted class", "1 / classes"),
    "probe_accuracy": Metric("the share of probes that are predicted right", "1 / classes"),
    "dead_maps": Metric("the share of maps that are zero or not a number", "0"),
    "map_similarity": Metric("rank correlation with the maps before", "0"),
    "similarity_to_start": Metric("rank correlation with the maps before training", "0"),
    "gini": Metric("how unequally saliency is spread: 0 flat, 1 one pixel", "0.33 to 0.41"),
    "entropy": Metric("how evenly saliency is spread: 1 flat, 0 one pixel", "near 1"),
    "border_enrichment": Metric(_ENRICHMENT.format("the outer tenth"), "1", True),
    "completeness_gap": Metric(
        "how far integrated gradients are from adding up, as a share of the score's change", "0"
    ),
    "worst_group_accuracy": Metric(
        "the accuracy of the group that fares worst", "1 / classes", may_propose=True
    ),
    "group_accuracy": Metric(
        "the accuracy of one group of probes", "1 / classes", may_propose=True
    ),
    "group_gap": Metric(
        "the best group's accuracy minus the worst's",
        "above 0; see group_gap_p_value",
        may_propose=True,
    ),
    "group_gap_p_value": Metric(
        "how often shuffled group labels give a gap as large", "uniform in 0..1", may_propose=True
    ),
    **{k: Metric(text.format("the region"), c, True) for k, (text, c) in _PLACES.items()},
    **{
        f"object_{k}": Metric(text.format("the object"), c, True)
        for k, (text, c) in _PLACES.items()
    },
}
"""All kinds of metrics, by name."""

_EFFECTS = {
    "effect": "What taking a thing from another class costs, in accuracy or score. Chance: 0. "
    "An alert needs its rule's floor, twice in a row.",
    "flip": "How much more often the answer then turns to that class. Chance: 0.",
    "p_value": "How likely such an effect is of a model that does not use the thing.",
}
"""What the interventions add to the metrics, by kind."""

LOGGED = frozenset(
    {
        "gradient_norm",
        "confidence",
        "probe_accuracy",
        "dead_maps",
        "map_similarity",
        "worst_group_accuracy",
        "object_enrichment",
        "enrichment",
    }
)
"""The kinds that go to Keras' `logs` and its progress bar; all others to the history and the log
directory alone."""


def is_logged(name: str) -> bool:
    """Whether a metric goes to Keras' `logs`, too.

    Example:
        >>> is_logged("enrichment/top-left"), is_logged("gini")
        (True, False)
    """
    return _family(name) in LOGGED


def description(name: str) -> str:
    """What a metric shows, in words; empty for one that this room does not make.

    Never longer than 127 bytes: ClearML silently loses what has a longer description.

    Example:
        >>> description("gini")[:76]
        'How unequally saliency is spread: 0 flat, 1 one pixel. Chance: 0.33 to 0.41.'
    """
    if _family(name) not in METRICS:
        return _EFFECTS.get(_family(name), "")
    kind = METRICS[_family(name)]
    use = "May propose a region" if kind.may_propose else "A health line"
    shows = f"{kind.shows[0].upper()}{kind.shows[1:]}"
    return f"{shows}. Chance: {kind.chance}. {use}; never an alert."


def descriptions() -> dict[str, str]:
    """What every kind of metric shows, by kind."""
    return {kind: description(kind) for kind in (*METRICS, *_EFFECTS)}


def _family(name: str) -> str:
    return name.split("/")[0]


def summarize(
    report: SaliencyReport,
    probes: ProbeSet,
    *,
    previous: SaliencyReport | None = None,
    before: SaliencyReport | None = None,
    predicts: bool = True,
) -> dict[str, float]:
    """All metrics of a report.

    Args:
        report: What an evaluation found; its own `metrics` are not looked at.
        probes: What it is about.
        previous: The report before, for `map_similarity`.
        before: The report of the state before training, for what is compared with that.
        predicts: Whether the model predicts classes; if not, there are no accuracies.

    Returns:
        Number by name; the names depend on `probes` and `predicts` alone. `nan` where undefined,
        as what lacks an earlier report.
    """
    maps = in_planes(report.maps)
    numbers = {
        "gradient_norm": float(report.gradient_norms.mean(dtype=np.float64)),
        "confidence": float(report.confidences.mean()),
        "dead_maps": dead_maps(maps),
        "map_similarity": _similarity(report, previous),
        "similarity_to_start": _similarity(report, before),
        "gini": gini(maps),
        "entropy": entropy(maps),
    }
    if probes.kind == "image":
        numbers["border_enrichment"] = localization.border_enrichment(maps)
    if probes.targets is not None and predicts:
        correct = report.predictions == probes.targets
        numbers["probe_accuracy"] = float(correct.mean())
        if probes.groups is not None:
            numbers |= _of_groups(correct, probes.groups, probes.targets)
    if probes.masks is not None:
        found = _of_place(probes.masks, report, before, probes.groups)
        numbers |= {f"object_{name}": value for name, value in found.items()}
    for region, masks in probes.regions.items():
        for name, value in _of_place(masks, report, before, probes.groups).items():
            kind, slash, group = name.partition("/")
            numbers[f"{kind}/{region}{slash}{group}"] = value
    return numbers


def in_planes(maps: Array) -> Array:
    """Maps of any input as those of images, `(num_probes, height, width)`.

    A series is one row; the slices of a volume lie below each other.
    """
    return maps if maps.ndim == 3 else maps.reshape(len(maps), -1, maps.shape[-1])


def completeness_gap(sums_and_changes: Array) -> float:
    """How far attributions are from adding up to the change of the score.

    Args:
        sums_and_changes: `(num_probes, 2)`, the sum of each attribution, and what it should be.

    Returns:
        The sum of the differences' sizes over that of the changes'; `nan` where nothing
        changes or a score is not finite.
    """
    total, change = np.asarray(sums_and_changes, np.float64).T
    if not np.isfinite(sums_and_changes).all():
        return NAN
    whole = np.abs(change).sum()
    return float(np.abs(total - change).sum() / whole) if whole > 0 else NAN


def _of_groups(correct: Array, labels: Array, targets: Array) -> dict[str, float]:
    accuracies = groups.group_means(correct, labels)
    return {f"group_accuracy/{label}": value for label, value in accuracies.items()} | {
        "worst_group_accuracy": groups.worst_group_accuracy(correct, labels),
        "group_gap": groups.group_gap(correct, labels),
        "group_gap_p_value": groups.group_gap_p_value(correct, labels, targets),
    }


def _of_place(
    masks: Array, report: SaliencyReport, before: SaliencyReport | None, labels: Array | None
) -> dict[str, float]:
    """The metrics of a region or of the objects, by kind, and by group where there are any."""
    maps, masks = in_planes(report.maps), in_planes(masks)
    now = localization.enrichments(maps, masks)
    start = np.full_like(now, NAN)
    if before is not None:
        start = localization.enrichments(in_planes(before.maps), masks)
    numbers = {
        "enrichment": defined_mean(now),
        "enrichment_ratio": localization.enrichment_ratio(now, start),
        "largest_class_enrichment_ratio": localization.largest_class_enrichment_ratio(
            now, start, report.targets
        ),
        "rank_accuracy": localization.rank_accuracy(maps, masks),
        "pointing_game": localization.pointing_game(maps, masks),
        "translated_mask_rank": localization.translated_mask_rank(maps, masks),
    }
    if labels is not None:
        by_group = groups.group_means(now, labels)
        numbers |= {f"group_enrichment/{label}": value for label, value in by_group.items()}
    return numbers


def _similarity(report: SaliencyReport, other: SaliencyReport | None) -> float:
    if other is None:
        return NAN
    return rank_similarity(_RANKS.of(report.maps), _RANKS.of(other.maps))


class _RankCache:
    """The ranks of the maps that were looked at last, as long as those maps are in use.

    The maps of a report are read-only, so that the same array has the same ranks. It is not kept
    alive here: when the last report that holds it is gone, its ranks go, too.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ranks: dict[int, tuple[weakref.ref[Array], Array]] = {}  # by the identity of the maps

    def of(self, maps: Array) -> Array:
        key = id(maps)
        known = self._ranks.pop(key, None)
        found = known[1] if known and known[0]() is maps else ranks(in_planes(maps))
        while len(self._ranks) >= self._size:
            self._ranks.pop(next(iter(self._ranks), 0), None)  # the one not looked at for longest
        self._ranks[key] = weakref.ref(maps, lambda _: self._ranks.pop(key, None)), found
        return found


_RANKS = _RankCache(size=4)  # now, before training, and the last ones of epochs and of batches
