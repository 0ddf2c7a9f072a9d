"""What others use as detectors, measured on the same runs: a number for each evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.data.reports import SaliencyReport
from keras_saliency.metrics.clusters import clusters


def map_measures(report: SaliencyReport) -> dict[str, Any]:
    """Measures of the maps alone; the larger, the more suspicious.

    Returns:
        `"border mass"`, saliency in the border over its share of the area; `"eigengap"`, the
        largest gap between eigenvalues of SpRAy's graph, from the second on.
    """
    _, eigenvalues = clusters(report.maps)
    gaps = np.diff(eigenvalues)[1:]
    measures = {
        "border mass": report.metrics.get("border_enrichment", float("nan")),
        "eigengap": float(gaps.max()) if len(gaps) else float("nan"),
    }
    return {name: round(value, 5) for name, value in measures.items() if value == value}
