import io

import numpy as np
import pytest
import scipy.sparse.csgraph
from PIL import Image
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from keras_saliency import Pictures
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import SaliencyReport
from keras_saliency.log import tags
from keras_saliency.metrics.clusters import clusters
from keras_saliency.rendering import layouts
from keras_saliency.tensorboard.pictures import CLUSTERS_TITLE, MIN_CLUSTERED, PictureWriter


def spots(counts, side=24, seed=0):
    """Maps with a bright spot at another place for each group, and the groups, mixed."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    maps = rng.random((len(truth), side, side)).astype(np.float32)
    for one_map, group in zip(maps, truth, strict=True):
        top, left = divmod(int(group), 4)
        one_map[6 * top : 6 * top + 6, 6 * left : 6 * left + 6] += 20
    return maps, truth


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "counts", [(30, 20), (25, 14, 18), (12,) * 5, (15, 12, 14, 13, 16, 12, 17, 12)]
)
def test_what_differs_is_divided(counts):
    maps, truth = spots(counts)
    labels, eigenvalues = clusters(maps)
    assert adjusted_rand_score(truth, labels) == 1.0
    # The graph falls into as many parts as there are groups: so many eigenvalues are 0.
    np.testing.assert_allclose(eigenvalues[: len(counts)], 0, atol=1e-9)
    assert len(counts) == 8 or eigenvalues[len(counts)] > 0.05
    assert len(eigenvalues) == 9


def test_the_largest_cluster_is_the_first():
    maps, truth = spots((12, 30, 19))
    labels, _ = clusters(maps)
    assert [set(truth[labels == label]) for label in range(3)] == [{1}, {2}, {0}]


def test_clusters_ignore_scale_and_order_and_are_the_same_every_time():
    maps, _ = spots((25, 14, 18))
    labels, eigenvalues = clusters(maps)
    scales = 2.0 ** np.random.default_rng(1).integers(-60, 60, len(maps))
    np.testing.assert_array_equal(clusters(maps * np.float32(scales)[:, None, None])[0], labels)
    order = np.random.default_rng(2).permutation(len(maps))
    np.testing.assert_array_equal(clusters(maps[order])[0], labels[order])
    again = clusters(maps)
    np.testing.assert_array_equal(again[0], labels)
    np.testing.assert_array_equal(again[1], eigenvalues)


def test_noise_is_divided_the_same_way_every_time():
    maps = np.random.default_rng(0).random((40, 20, 20))
    first, second = clusters(maps), clusters(maps.copy())
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert 2 <= len(set(first[0].tolist())) <= 8


def test_dead_maps_are_in_no_cluster():
    maps, truth = spots((20, 13))
    maps[[0, 7, 9]] = 0
    maps[9, 2, 2], maps[12, 3, 3] = np.nan, np.inf
    labels, _ = clusters(maps)
    assert np.flatnonzero(labels == -1).tolist() == [0, 7, 9, 12]
    alive = labels >= 0
    np.testing.assert_array_equal(labels[alive], clusters(maps[alive])[0])
    assert adjusted_rand_score(truth[alive], labels[alive]) == 1.0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_maps_are_one_cluster(count):
    maps = np.zeros((4, 5, 5))
    maps[:count, 0, 0] = 1
    labels, eigenvalues = clusters(maps)
    assert labels.tolist() == [0] * count + [-1] * (4 - count)
    assert eigenvalues.tolist() == []


@pytest.mark.parametrize("count", [3, 4, 11, 12, 30])
def test_maps_that_are_all_alike(count):
    labels, eigenvalues = clusters(np.ones((count, 4, 4)))
    assert labels.shape == (count,)
    assert labels.min() == 0
    assert np.isfinite(eigenvalues).all()


# ---------------------------------------------------------------- against other libraries


def test_eigenvalues_are_those_of_scikit_learns_graph_and_scipys_laplacian():
    maps = np.random.default_rng(3).gamma(0.5, size=(50, 32, 48))
    # Blocks of 3 x 3: 48 is 16 of them; of 32 rows, ten blocks and one of two rows.
    edges = np.arange(0, 33, 3)[:11]
    rows = np.add.reduceat(maps, edges, axis=1) / np.diff([*edges, 32])[:, None]
    small = np.add.reduceat(rows, np.arange(0, 48, 3), axis=2) / 3
    points = (small / small.sum(axis=(1, 2), keepdims=True)).reshape(50, -1)
    graph = kneighbors_graph(points, 10).toarray()
    laplacian = scipy.sparse.csgraph.laplacian((graph + graph.T) / 2, normed=True)
    _, eigenvalues = clusters(maps)
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(laplacian)[:9], atol=1e-6)


# ---------------------------------------------------------------- the sheet


def drawn(maps, targets, class_names=("cat", "dog", "cow")):
    images = np.random.default_rng(0).random((*maps.shape, 1))
    probes = ProbeSet(images, targets, class_names=class_names)
    many = np.ones(len(maps))
    report = SaliencyReport(0, maps, targets, targets, many, many, many, {})
    pictures = PictureWriter(probes, Pictures("epoch", "hot"))
    return pictures, pictures.draw(report)


def line(text, width):
    """A line of text as it stands on a sheet."""
    sheet = layouts.blank(layouts.LINE, width)
    layouts.draw_line(sheet, 0, 0, width, layouts.Line(text))
    return sheet


def rows_of(sheet, part):
    """Where a strip of pixels stands in a sheet of the same width."""
    height = part.shape[0]
    return [
        top
        for top in range(sheet.shape[0] - height + 1)
        if np.array_equal(sheet[top : top + height], part)
    ]


def test_the_sheet_shows_every_cell_of_the_contact_sheet_below_its_clusters_line():
    maps, truth = spots((11, 13))
    maps[truth.argmax()] = 0  # a dead one
    targets = np.where(np.arange(24) % 4 == 0, 2, truth)
    _, found = drawn(maps, targets)
    sheet, contact = found[tags.CLUSTERS], found[tags.CONTACT_SHEET]
    labels, _ = clusters(maps)
    names = np.array(["cat", "dog", "cow"])
    tops = rows_of(sheet, line(CLUSTERS_TITLE, sheet.shape[1]))
    assert tops == [0]
    for label, name in ((0, "cluster 1"), (1, "cluster 2"), (-1, "dead maps")):
        members = names[targets[labels == label]]
        counted = sorted(
            ((sum(members == word), -list(names).index(word), word) for word in set(members)),
            reverse=True,
        )
        composition = ", ".join(f"{count} {word}" for count, _, word in counted)
        plural = "s" if len(members) > 1 else ""
        heading = f"{name}: {len(members)} probe{plural} ({composition})"
        (top,) = rows_of(sheet, line(heading, sheet.shape[1]))
        tops.append(top)
    assert tops == sorted(tops)

    height, width = 96 + 3 * layouts.LINE + 2, 96  # a cell: 24 pixels, 4 times; three lines

    def cells(whole, tops):
        lefts = range(0, whole.shape[1] - width + 1, width + layouts.GAP)
        return {
            whole[top : top + height, left : left + width].tobytes()
            for top in tops
            for left in lefts
        }

    end = contact.shape[0] - height + 1
    in_contact = cells(contact, range(0, end, height + layouts.GAP))
    in_contact.discard(layouts.blank(height, width).tobytes())
    in_contact.remove(contact[:height, :width].tobytes())  # the mean of all
    assert len(in_contact) == 24
    assert in_contact <= cells(sheet, range(sheet.shape[0] - height + 1))


def test_few_maps_are_not_sorted():
    maps, truth = spots((MIN_CLUSTERED // 2, MIN_CLUSTERED // 2))
    assert tags.CLUSTERS in drawn(maps.copy(), truth)[1]
    maps[0] = 0
    assert tags.CLUSTERS not in drawn(maps, truth)[1]


def test_the_sheet_says_that_it_is_no_alert():
    maps, truth = spots((10, 10))
    pictures, found = drawn(maps, truth)
    said = pictures.description(tags.CLUSTERS)
    assert "exploration" in said
    assert "never an alert" in said
    shown = Image.open(io.BytesIO(pictures.encoded(found[tags.CLUSTERS])))
    np.testing.assert_array_equal(np.asarray(shown), found[tags.CLUSTERS])
