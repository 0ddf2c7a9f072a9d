"""What others use as detectors, measured on the same runs: a number for each evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageStat
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB

from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.metrics.clusters import clusters

EDGE, MOST_AT_EDGE, GOOD = 0.15, 0.35, 0.9
"""Of bnnr 0.8.0: the width of its border, the share of saliency in it, and the accuracy of a class
below which it says "model may rely on padding/border artefacts"."""

GINI, COVERAGE = 0.85, 0.03
"""Of bnnr 0.8.0: above this Gini index, and with this share of pixels above half the maximum or
less, it says "this may indicate overfitting to a spurious feature"."""

CORRELATED = 0.3
"""Of cleanlab 2.9.0: a property with a lower score is reported as a spurious correlation."""


def map_measures(report: SaliencyReport) -> dict[str, Any]:
    """Measures of the maps alone; the larger, the more suspicious.

    Returns:
        `"border mass"`, saliency in the border over its share of the area; `"eigengap"`, the
        largest gap between eigenvalues of SpRAy's graph, from the second on; `"bnnr"`, the share
        of classes of which bnnr's diagnosis names a spurious cause.
    """
    _, eigenvalues = clusters(report.maps)
    gaps = np.diff(eigenvalues)[1:]
    measures = {
        "border mass": report.metrics.get("border_enrichment", float("nan")),
        "eigengap": float(gaps.max()) if len(gaps) else float("nan"),
        "bnnr": bnnr(report.maps, report.predictions == report.targets, report.targets),
    }
    return {name: round(value, 5) for name, value in measures.items() if value == value}


def bnnr(maps: Array, correct: Array, targets: Array) -> float:
    """The share of classes that `bnnr.xai_analysis.generate_class_diagnosis` suspects.

    Written after bnnr 0.8.0, which needs PyTorch: its suggestions that name a border artefact or a
    spurious feature. (`bnnr.analysis.diagnose` has five thresholds without defaults.)
    """
    alive = maps.sum(axis=(1, 2)) > 1e-8
    suspected = []
    for target in np.unique(targets):
        chosen = maps[(targets == target) & alive]
        if not len(chosen):
            continue
        height, width = maps.shape[1:]
        rows, columns = max(1, int(height * EDGE)), max(1, int(width * EDGE))
        inside = chosen[:, rows : height - rows, columns : width - columns]
        total = chosen.sum(axis=(1, 2))
        at_edge = float((1 - inside.sum(axis=(1, 2)) / total).mean())
        values = np.sort(chosen.reshape(len(chosen), -1), axis=1)
        count = values.shape[1]
        index = np.arange(1, count + 1)
        gini = float((2 * (values * index).sum(axis=1) / (count * total)).mean() - 1 - 1 / count)
        coverage = float((values >= values[:, -1:] / 2).mean())
        is_at_edge = at_edge > MOST_AT_EDGE and correct[targets == target].mean() < GOOD
        suspected.append(is_at_edge or (gini > GINI and coverage < COVERAGE))
    return float(np.mean(suspected)) if suspected else float("nan")


def datalab(images: Array, labels: Array) -> dict[str, float]:
    """The correlation scores of cleanlab's Datalab: how badly a property alone tells the class.

    Written after cleanlab 2.9.0 and cleanvision 0.3.6, which need `datasets`: 1 minus the accuracy
    of a Gaussian naive Bayes classifier in five folds. (Datalab divides it by what the most common
    class leaves, but takes the number of that class for its share, so it divides by nearly 1.) It
    reports properties with a score below `CORRELATED`.

    Args:
        images: Of the training data, in 0..1.
        labels: Their classes.

    Returns:
        By property, in 0..1. Those that are equal in all our images are left out.
    """
    found = [_properties(image) for image in images]
    scores = {}
    for name in found[0]:
        values = np.array([[properties[name]] for properties in found])
        with np.errstate(divide="ignore", invalid="ignore"):  # a property may not vary at all
            folds = cross_val_score(GaussianNB(), values, labels, cv=5, scoring="accuracy")
        scores[name] = round(float(1 - folds.mean()), 4)
    return scores


def _properties(image: Array) -> dict[str, float]:
    """The scores of an image for dark, light, low information and blurry, as cleanvision's."""
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    brightness = pixels[..., 0] / 255
    if pixels.shape[-1] == 3:
        brightness = np.sqrt((pixels.astype(float) ** 2) @ (0.241, 0.691, 0.068)) / 255
    gray = picture.convert("L")
    edges = ImageStat.Stat(gray.filter(ImageFilter.FIND_EDGES)).var[0] ** 0.5
    spread = 1 - np.exp(-0.01 * np.std(gray.histogram()))
    low, high = np.percentile(brightness, (5, 99))
    return {
        "dark": float(high),
        "light": float(1 - low),
        "low information": min(1.0, 0.1 * picture.entropy()),
        "blurry": float(min(1.0, 1 - np.exp(-0.01 * edges) + spread * (spread > 0.18))),
    }
