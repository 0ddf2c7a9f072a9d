"""All metrics of an evaluation, and a description of each.

The *kind* of a metric is its name up to the first slash: `enrichment/top-left` is an `enrichment`.
No metric raises an alert by itself. Some may propose a region, which an intervention then tests.
The others are diagnostics: they show whether a run is healthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency.data.blocks import thumbnails
from keras_saliency.data.inputs import without_channels
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.read_only import freeze, restore
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

RANKED_SIDE = 112
"""The longer side of the maps that are compared, in pixels; larger ones are averaged over blocks.
By default, the SALIENCY tab has these maps."""


_OBJECT = ""
"""The name of the place of the masks; no region has an empty name."""


@dataclass(frozen=True)
class Metric:
    """The description of a kind of metric.

    Attributes:
        shows: What it shows, in one line.
        chance: The score of a random map or model.
        may_propose: Whether it may propose a region to test. If not, it is a diagnostic.
    """

    shows: str
    chance: str
    may_propose: bool = False


_ENRICHMENT = "share of saliency in {}, divided by its share of the area"
_RATIO = "enrichment of {}, divided by that before training"
_LARGEST = "largest enrichment ratio of {} in any class"
_RANK = "share of a map's highest pixels that lie in {}"
_POINTING = "share of maps whose highest pixel lies in {}"
_TRANSLATED = "share of all places with as much saliency as {}"
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
    "gradient_norm": Metric("mean L2 norm of the attribution; by default, the gradient", "none"),
    "confidence": Metric("mean probability of the predicted class", "1 / classes"),
    "probe_accuracy": Metric("accuracy on the probes with a prediction", "1 / classes"),
    "dead_maps": Metric("share of maps that are zero or not a number", "0"),
    "map_similarity": Metric("rank correlation with the maps of the previous evaluation", "0"),
    "similarity_to_start": Metric("rank correlation with the maps before training", "0"),
    "gini": Metric("how unequally saliency is spread: 0 flat, 1 one pixel", "0.33 to 0.41"),
    "entropy": Metric("how evenly saliency is spread: 1 flat, 0 one pixel", "near 1"),
    "border_enrichment": Metric(_ENRICHMENT.format("the border"), "1", True),
    "completeness_gap": Metric(
        "error of the sum of the attributions, as a share of the score's change", "0"
    ),
    "precision_gap": Metric(
        "how far gradient norms are from those without float8, as a share", "0"
    ),
    "worst_group_accuracy": Metric(
        "accuracy of the group with the lowest accuracy", "1 / classes", may_propose=True
    ),
    "group_accuracy": Metric("accuracy of one group of probes", "1 / classes", may_propose=True),
    "group_gap": Metric(
        "the best group's accuracy minus the worst group's",
        "above 0; p: group_gap_p_value",
        may_propose=True,
    ),
    "group_gap_p_value": Metric(
        "how often shuffled groups have as large a gap", "uniform in 0..1", may_propose=True
    ),
    **{k: Metric(text.format("the region"), c, True) for k, (text, c) in _PLACES.items()},
    **{
        f"object_{k}": Metric(text.format("the object"), c, True)
        for k, (text, c) in _PLACES.items()
    },
}
"""All kinds of metrics, by name."""

_EFFECTS = {
    "effect": "Drop in accuracy or score if the cue comes from another class. Chance: 0. "
    "Alert: above the floor, twice in a row.",
    "flip": "How much more often the prediction then changes to that class. Chance: 0.",
    "p_value": "How likely such an effect is if the model does not use the cue.",
    "permutation_importance": "Drop in accuracy if this input comes from another probe. Chance: 0.",
}
"""The descriptions of the metrics of interventions, by kind."""

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
"""The kinds that are added to Keras' `logs` and shown in its progress bar. The others are only in
the history and in the log directory."""


def is_logged(name: str) -> bool:
    """Whether a metric is added to Keras' `logs`.

    Example:
        >>> is_logged("enrichment/top-left"), is_logged("gini")
        (True, False)
    """
    return _family(name) in LOGGED


def description(name: str) -> str:
    """The description of a metric, for TensorBoard; empty if the metric is not known.

    It is at most 127 bytes long: ClearML silently loses metrics with a longer description.

    Example:
        >>> description("gini")[:76]
        'How unequally saliency is spread: 0 flat, 1 one pixel. Chance: 0.33 to 0.41.'
    """
    if _family(name) not in METRICS:
        return _EFFECTS.get(_family(name), "")
    kind = METRICS[_family(name)]
    use = "May propose a region" if kind.may_propose else "Diagnostic"
    shows = f"{kind.shows[0].upper()}{kind.shows[1:]}"
    return f"{shows}. Chance: {kind.chance}. {use}; never an alert."


def descriptions() -> dict[str, str]:
    """The descriptions of all kinds of metrics, by kind."""
    return {kind: description(kind) for kind in (*METRICS, *_EFFECTS)}


def _family(name: str) -> str:
    return name.split("/")[0]


@dataclass(frozen=True, eq=False)
class Reference:
    """What later evaluations need of the maps of an evaluation, to be compared with them.

    Attributes:
        ranks: As in `ranks`, of the maps at `RANKED_SIDE`.
        enrichments: `(num_probes,)` for each region, by name, and for the masks, by `""`.
    """

    ranks: Array
    enrichments: Mapping[str, Array]

    def __post_init__(self) -> None:
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied reference, read-only as before."""
        restore(self, state)


def reference(report: SaliencyReport, probes: ProbeSet) -> Reference:
    """What later evaluations need of the maps of a report."""
    maps = in_planes(report.maps)
    enrichments = {
        name: localization.enrichments(maps, in_planes(masks)) for name, masks in _places(probes)
    }
    return Reference(ranks(in_planes(_reduced(report.maps))), enrichments)


def _places(probes: ProbeSet) -> list[tuple[str, Array]]:
    """The names and masks of all places that are measured."""
    objects = [] if probes.masks is None else [(_OBJECT, probes.masks)]
    regions = probes.regions.items()
    return [*objects, *((name, without_channels(mask, probes.kind)) for name, mask in regions)]


def summarize(
    report: SaliencyReport,
    probes: ProbeSet,
    *,
    previous: Reference | None = None,
    before: Reference | None = None,
    now: Reference | None = None,
    predicts: bool = True,
) -> dict[str, float]:
    """All metrics of a report.

    Args:
        report: The report of an evaluation; its `metrics` are ignored.
        probes: The probes of the report.
        previous: Of the previous evaluation, for `map_similarity`.
        before: Of the one before training, for comparisons with the start.
        now: Of this evaluation; default: it is computed.
        predicts: Whether the model predicts classes. If not, there are no accuracies.

    Returns:
        The values by name; the names depend only on `probes` and `predicts`. Undefined values are
        `nan`, such as comparisons with an evaluation that is missing.
    """
    metrics = {"confidence": float(report.confidences.mean())}
    if probes.targets is not None and predicts:
        is_known = report.predictions >= 0  # of a model that gives nan, no accuracy is known
        is_known |= report.confidences == 0  # a detector that finds nothing in the box is wrong
        correct = np.where(is_known, report.predictions == probes.targets, NAN)
        metrics["probe_accuracy"] = defined_mean(correct)
        if probes.groups is not None:
            metrics |= _group_metrics(correct, probes.groups, probes.targets)
    return summarize_maps(report, probes, previous=previous, before=before, now=now) | metrics


def summarize_maps(
    report: SaliencyReport,
    probes: ProbeSet,
    *,
    previous: Reference | None = None,
    before: Reference | None = None,
    now: Reference | None = None,
) -> dict[str, float]:
    """The metrics that depend on the maps of one input, as in `summarize`.

    Maps of a single place have no spread and no ranks, so the metrics of these are left out.
    """
    maps, now = in_planes(report.maps), now or reference(report, probes)
    metrics = {
        "gradient_norm": float(report.gradient_norms.mean(dtype=np.float64)),
        "dead_maps": dead_maps(maps),
    }
    if maps[0].size > 1:
        metrics |= {
            "map_similarity": _similarity(now, previous),
            "similarity_to_start": _similarity(now, before),
            "gini": gini(maps),
            "entropy": entropy(maps),
        }
    if probes.kind == "image":
        metrics["border_enrichment"] = localization.border_enrichment(maps)
    for place, masks in _places(probes):
        start = None if before is None else before.enrichments.get(place)
        found = _mask_metrics(maps, masks, now.enrichments[place], start, report, probes.groups)
        for name, value in found.items():
            kind, slash, group = name.partition("/")
            of_region = f"{kind}/{place}{slash}{group}"
            metrics[f"object_{name}" if place == _OBJECT else of_region] = value
    return metrics


def of_input(metrics: Mapping[str, float], name: str | int) -> dict[str, float]:
    """Metrics with the name of an input that is not the first one.

    Example:
        >>> of_input({"gini": 0.5, "enrichment/tag": 2.0}, "age")
        {'gini/age': 0.5, 'enrichment/age/tag': 2.0}
    """
    split = {metric: metric.partition("/") for metric in metrics}
    return {
        f"{kind}/{name}{slash}{rest}": metrics[metric]
        for metric, (kind, slash, rest) in split.items()
    }


def in_planes(maps: Array) -> Array:
    """Reshapes maps of any kind of input to `(num_probes, height, width)`.

    A series becomes one row; the slices of a volume are placed below each other.
    """
    return maps if maps.ndim == 3 else maps.reshape(len(maps), -1, maps.shape[-1])


def completeness_gap(sums_and_changes: Array) -> float:
    """How much the sums of attributions differ from the changes of the score.

    Args:
        sums_and_changes: `(num_probes, 2)`, the sum of each attribution and the change of the
            score, which it should equal.

    Returns:
        The sum of the absolute differences, divided by the sum of the absolute changes. 0 is exact.
        `nan` if no score changes or if a score is not finite.
    """
    total, change = np.asarray(sums_and_changes, np.float64).T
    if not np.isfinite(sums_and_changes).all():
        return NAN
    total_change = np.abs(change).sum()
    return float(np.abs(total - change).sum() / total_change) if total_change > 0 else NAN


def precision_gap(norms: Array, exact: Array) -> float:
    """How much the norms of attributions differ from those of the same weights without float8.

    Args:
        norms: `(num_probes,)`, of the model in float8.
        exact: The same, without float8.

    Returns:
        The median of the absolute differences, each divided by `exact`. `nan` if all are 0.
    """
    valid = np.isfinite(norms) & np.isfinite(exact) & (exact > 0)
    return float(np.median(np.abs(norms[valid] / exact[valid] - 1))) if valid.any() else NAN


def _group_metrics(correct: Array, labels: Array, targets: Array) -> dict[str, float]:
    """The metrics of groups, of the probes whose prediction is known; the others are `nan`."""
    accuracies = groups.group_means(correct, labels)
    is_known = ~np.isnan(correct)
    known = correct[is_known] > 0, labels[is_known]
    return {f"group_accuracy/{label}": value for label, value in accuracies.items()} | {
        "worst_group_accuracy": groups.worst_group_accuracy(*known) if is_known.any() else NAN,
        "group_gap": groups.group_gap(*known) if is_known.any() else NAN,
        "group_gap_p_value": (
            groups.group_gap_p_value(*known, targets[is_known]) if is_known.any() else NAN
        ),
    }


def _mask_metrics(
    maps: Array,
    masks: Array,
    now: Array,
    start: Array | None,
    report: SaliencyReport,
    labels: Array | None,
) -> dict[str, float]:
    """The metrics of a region or of the objects, by kind, and by group if there are groups."""
    masks, start = in_planes(masks), np.full_like(now, NAN) if start is None else start
    metrics = {
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
        metrics |= {f"group_enrichment/{label}": value for label, value in by_group.items()}
    return metrics


def _similarity(now: Reference, other: Reference | None) -> float:
    return NAN if other is None else rank_similarity(now.ranks, other.ranks)


def _reduced(maps: Array) -> Array:
    """Maps of images and volumes, each slice at most `RANKED_SIDE` pixels long."""
    if maps.ndim < 3:
        return maps
    small = thumbnails(maps.reshape(-1, *maps.shape[-2:]), RANKED_SIDE)
    return small.reshape(*maps.shape[:-2], *small.shape[1:])
