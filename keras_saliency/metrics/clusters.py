"""Clusters of saliency maps: spectral relevance analysis (SpRAy).

Images that a model decides by different means have maps of different shapes, and fall into
different clusters. What a cluster means is for a person to see: a cluster of one class that looks
at the same corner is worth a look, and no more. This is for exploration and never an alert.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import kmeans, vq
from scipy.linalg import eigh
from scipy.spatial.distance import pdist, squareform

from keras_saliency.data.blocks import thumbnails
from keras_saliency.data.reports import Array
from keras_saliency.metrics.maps import shares, totals

NEIGHBOURS = 10
"""Each map is connected to this many nearest ones."""

THUMBNAIL_SIDE = 16
"""Maps are compared at this size: averaged over whole blocks until no side is longer."""

MAX_CLUSTERS = 8


def clusters(maps: Array) -> tuple[Array, Array]:
    """Sorts maps into 2 to 8 clusters of alike ones.

    The maps, each divided by its sum, averaged down to 16 x 16 at most, are tied to their 10
    nearest neighbours (Euclidean; ties of one direction count half). The smallest eigenvalues of
    the normalised Laplacian of that graph tell how well it falls apart: as many are near 0 as
    there are clusters. The largest gap between neighbours among the first 9 picks the number; the
    clusters are found by k-means on the eigenvectors. The same maps give the same clusters.

    Args:
        maps: `(num_probes, height, width)`, non-negative.

    Returns:
        labels: `(num_probes,)` int, 0 for the largest cluster; -1 for dead maps. All 0 with fewer
            than 3 live maps.
        eigenvalues: The smallest ones, ascending, in 0..2; at most 9. Maps that are all alike or
            all different have no gap among them; they are divided nevertheless.

    Example:
        >>> left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        >>> clusters(np.array([left] * 20 + [right] * 12))[0].tolist() == [0] * 20 + [1] * 12
        True

    Reference:
        Lapuschkin et al.: Unmasking Clever Hans Predictors. arXiv:1902.10178.
    """
    alive = ~np.isnan(totals(maps))
    labels = np.where(alive, 0, -1)
    if alive.sum() < 3:
        return labels, np.zeros(0)
    small = shares(thumbnails(maps[alive], THUMBNAIL_SIDE))
    affinity = _affinity(small.reshape(len(small), -1))
    degrees = affinity.sum(axis=1)
    laplacian = np.eye(len(affinity)) - affinity / np.sqrt(np.outer(degrees, degrees))
    first = min(len(laplacian), MAX_CLUSTERS + 1)
    # "evx": of so few maps, it does without waking other threads, which takes most of the time.
    eigenvalues, vectors = eigh(laplacian, subset_by_index=(0, first - 1), driver="evx")
    gaps = np.diff(eigenvalues)[1:].round(9)  # between the second and the third, and so on
    number = 2 + int(gaps.argmax())
    labels[alive] = _by_size(_divided(vectors[:, :number]))
    return labels, eigenvalues


def _affinity(points: Array) -> Array:
    """1 between points each of which is among the nearest of the other, 1/2 where one is."""
    distances = squareform(pdist(points))
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(axis=1, kind="stable")[:, : min(NEIGHBOURS, len(points) - 1)]
    ties = np.zeros(distances.shape)
    np.put_along_axis(ties, nearest, 1, axis=1)
    symmetric: Array = (ties + ties.T) / 2
    return symmetric


def _divided(vectors: Array) -> Array:
    """k-means of the rows, each of length 1, into as many clusters as there are columns."""
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    rows = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    distances = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    chosen: list[int] = []
    for _ in range(rows.shape[1]):  # each centre begins at the row that is farthest from the others
        chosen.append(int(distances.round(9).argmax()))
        from_last = ((rows - rows[chosen[-1]]) ** 2).sum(axis=1)
        distances = from_last if len(chosen) == 1 else np.minimum(distances, from_last)
    centres, _ = kmeans(rows, rows[chosen])
    labels: Array = vq(rows, centres)[0]
    return labels


def _by_size(labels: Array) -> Array:
    """The labels renamed: 0 for the largest cluster; of two alike, the one that begins first."""
    names, first, renamed, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    position = np.empty(len(names), int)
    position[np.lexsort((first, -counts))] = np.arange(len(names))
    result: Array = position[renamed]
    return result
