"""Clusters of saliency maps: spectral relevance analysis (SpRAy).

If a model uses different cues for different images, their maps have different shapes and fall into
different clusters. A person has to decide what a cluster means: a cluster of one class whose maps
all point at the same corner is worth a look. Clusters are for exploration; they never raise an
alert.
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
"""The number of nearest neighbours that each map is connected to."""

THUMBNAIL_SIDE = 16
"""Maps are averaged over blocks until no side is longer than this, and then compared."""

MAX_CLUSTERS = 8


def clusters(maps: Array) -> tuple[Array, Array]:
    """Sorts maps into 2 to 8 clusters of similar maps.

    Each map is divided by its sum, averaged down to at most 16 x 16 and connected to its 10 nearest
    neighbours (Euclidean distance; connections in one direction count half). The smallest
    eigenvalues of the normalised Laplacian of this graph show how well it can be divided: the
    number of eigenvalues near 0 is the number of clusters. The largest gap between successive
    eigenvalues among the first 9 determines the number of clusters, and k-means on the
    eigenvectors assigns the maps. The same maps always give the same clusters.

    Args:
        maps: `(num_probes, height, width)`, non-negative.

    Returns:
        labels: `(num_probes,)` int, 0 for the largest cluster, -1 for dead maps. With fewer than 3
            live maps, those are all 0.
        eigenvalues: The smallest eigenvalues, at most 9, ascending, in 0..2. If the maps are all
            similar or all different, there is no clear gap, but they are divided anyway.

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
    # "evx": for so few maps it starts no other threads, which would take most of the time.
    eigenvalues, vectors = eigh(laplacian, subset_by_index=(0, first - 1), driver="evx")
    gaps = np.diff(eigenvalues)[1:].round(9)  # between the second and the third, and so on
    number = 2 + int(gaps.argmax())
    labels[alive] = _by_size(_divided(vectors[:, :number]))
    return labels, eigenvalues


def _affinity(points: Array) -> Array:
    """1 between points that are neighbours of each other, 1/2 if only one is a neighbour."""
    distances = squareform(pdist(points))
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(axis=1, kind="stable")[:, : min(NEIGHBOURS, len(points) - 1)]
    connections = np.zeros(distances.shape)
    np.put_along_axis(connections, nearest, 1, axis=1)
    symmetric: Array = (connections + connections.T) / 2
    return symmetric


def _divided(vectors: Array) -> Array:
    """The k-means labels of the rows, scaled to length 1; one cluster for each column."""
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    rows = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    distances = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    chosen: list[int] = []
    for _ in range(rows.shape[1]):  # each centre starts at the row farthest from the others
        chosen.append(int(distances.round(9).argmax()))
        from_last = ((rows - rows[chosen[-1]]) ** 2).sum(axis=1)
        distances = from_last if len(chosen) == 1 else np.minimum(distances, from_last)
    centres, _ = kmeans(rows, rows[chosen])
    labels: Array = vq(rows, centres)[0]
    return labels


def _by_size(labels: Array) -> Array:
    """Renumbers labels by size: 0 for the largest cluster; equal sizes in order of appearance."""
    names, first, renamed, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    position = np.empty(len(names), int)
    position[np.lexsort((first, -counts))] = np.arange(len(names))
    result: Array = position[renamed]
    return result
