"""The layout of TensorBoard's Custom Scalars tab: which curves share a chart.

TensorBoard merges the layouts of all runs of a log directory by the titles of their categories. The
titles here start with "Saliency", so that they do not change a layout of the user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MultilineChartContent,
)
from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG, create_summary_metadata

from keras_saliency.log import tags

LAYOUT_TAG = CONFIG_SUMMARY_TAG
"""The tag in which TensorBoard looks for a layout, in all runs."""

METADATA = create_summary_metadata()
"""The metadata of a layout, with the name of TensorBoard's plugin."""

_USES = {
    "Effects: drop in accuracy or score; chance: 0": tags.metric_tag("effect/.*"),
    "Flips: how often the prediction follows the donor; chance: 0": tags.metric_tag("flip/.*"),
    "p-values, before correction": tags.metric_tag("p_value/.*"),
    "Alerts: 1 while active": tags.alert_tag(".*"),
}
"""The charts of the interventions, which may start later: regular expressions by title."""

_CATEGORIES = {
    "where it looks": {
        "Enrichment; chance: 1": "(border_enrichment|object_enrichment|enrichment)(/.*)?",
    },
    "in objects and regions": {
        "Enrichment divided by that before training; chance: 1": (
            "(object_)?(largest_class_)?enrichment_ratio(/.*)?"
        ),
        "Rank accuracy, pointing game, translated mask rank": (
            "(object_)?(rank_accuracy|pointing_game|translated_mask_rank)(/.*)?"
        ),
    },
    "groups": {
        "Accuracy by group": "(group_accuracy/.*|worst_group_accuracy)",
        "Gap and its p-value": "(group_gap|group_gap_p_value)",
        "Enrichment by group; chance: 1": "(object_)?group_enrichment/.*",
    },
    "health": {
        "Accuracy and confidence": "(probe_accuracy|confidence)",
        "Gradient norm": "gradient_norm(/.*)?",
        "Similarity to the previous maps, and to those before training": (
            "(map_similarity|similarity_to_start)(/.*)?"
        ),
        "Spread: gini, entropy": "(gini|entropy)(/.*)?",
        "Dead maps, completeness gap, precision gap: 0 is good": (
            "(dead_maps|completeness_gap|precision_gap)(/.*)?"
        ),
    },
}
"""The charts of metrics: regular expressions of their names by title, by category."""


def layout(metrics: Iterable[str]) -> bytes:
    """The layout of a run, as a serialized `Layout`.

    Args:
        metrics: The names of the run's metrics. If the run has no metrics of a category, the whole
            category is left out. If it has some, all charts of the category are written, because
            TensorBoard loses charts that only some runs have, from the third run on.

    Example:
        >>> result = Layout.FromString(layout(["gini"]))
        >>> [category.title for category in result.category]
        ['Saliency: what the model uses', 'Saliency: health']
        >>> result.category[1].chart[3].multiline.tag
        ['saliency/(gini|entropy)(/.*)?$']
    """
    names = list(metrics)
    categories = {"what the model uses": _USES}
    for title, charts in _CATEGORIES.items():
        if any(re.fullmatch(pattern, name) for pattern in charts.values() for name in names):
            categories[title] = {
                chart: tags.metric_tag(pattern) for chart, pattern in charts.items()
            }
    result = Layout(category=[_category(title, charts) for title, charts in categories.items()])
    return bytes(result.SerializeToString())


def _category(title: str, charts: dict[str, str]) -> Category:
    return Category(
        title=f"Saliency: {title}",
        chart=[
            # TensorBoard only requires that a tag starts with the pattern, hence the "$".
            Chart(title=chart, multiline=MultilineChartContent(tag=[f"{pattern}$"]))
            for chart, pattern in charts.items()
        ],
    )
