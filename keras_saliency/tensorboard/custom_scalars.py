"""The layout of TensorBoard's Custom Scalars tab: which curves share a chart.

TensorBoard merges the layouts of all runs of a log directory, by the titles of categories. Ours
have titles of their own, so that a layout that a user wrote in another run stands as it is.
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
"""The tag under which TensorBoard looks for a layout, in any run."""

METADATA = create_summary_metadata()
"""What makes it one: the name of TensorBoard's plugin."""

_USES = {
    "Effects: what exchanging a thing costs; chance: 0": tags.metric_tag("effect/.*"),
    "Flips: how often the answer follows; chance: 0": tags.metric_tag("flip/.*"),
    "p-values, before correction": tags.metric_tag("p_value/.*"),
    "Alerts: 1 while one stands": tags.alert_tag(".*"),
}
"""The charts of what the tests found, which may come later: regular expression by title."""

_CATEGORIES = {
    "where it looks": {
        "Enrichment; chance: 1": "(border_enrichment|object_enrichment|enrichment/.*)",
    },
    "in objects and regions": {
        "Enrichment against the start; chance: 1": (
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
        "Gradient norm": "gradient_norm",
        "Similarity of maps: to the last, to the first": "(map_similarity|similarity_to_start)",
        "Spread: gini, entropy": "(gini|entropy)",
        "Dead maps, completeness gap: 0 is good": "(dead_maps|completeness_gap)",
    },
}
"""The charts of metrics: regular expression of their names, by title, by category."""


def layout(metrics: Iterable[str]) -> bytes:
    """The layout of a run, a serialized `Layout`.

    Args:
        metrics: The names of the run's metrics. A category of which the run has nothing is
            left out, as a whole: of charts that only some runs have, TensorBoard loses those of
            the third run and on.

    Example:
        >>> found = Layout.FromString(layout(["gini"]))
        >>> [category.title for category in found.category]
        ['Saliency: what the model uses', 'Saliency: health']
        >>> found.category[1].chart[3].multiline.tag
        ['saliency/(gini|entropy)$']
    """
    names = list(metrics)
    categories = {"what the model uses": _USES}
    for title, charts in _CATEGORIES.items():
        if any(re.fullmatch(pattern, name) for pattern in charts.values() for name in names):
            categories[title] = {
                chart: tags.metric_tag(pattern) for chart, pattern in charts.items()
            }
    found = Layout(category=[_category(title, charts) for title, charts in categories.items()])
    return bytes(found.SerializeToString())


def _category(title: str, charts: dict[str, str]) -> Category:
    return Category(
        title=f"Saliency: {title}",
        chart=[
            # TensorBoard matches a pattern at the start of a tag, hence the sign for its end.
            Chart(title=chart, multiline=MultilineChartContent(tag=[f"{pattern}$"]))
            for chart, pattern in charts.items()
        ],
    )
