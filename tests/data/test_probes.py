import dataclasses
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import ProbeSet


def numbered(count, *, dtype=np.float32):
    """Image number i is i everywhere, so that drawn images can be told apart."""
    return np.broadcast_to(np.arange(count, dtype=dtype)[:, None, None, None], (count, 3, 2, 1))


def drawn(probes):
    return probes.images[:, 0, 0, 0].astype(int).tolist()


IMAGES = np.arange(24, dtype=np.float32).reshape(4, 3, 2, 1)
WITH_NAN = IMAGES.copy()
WITH_NAN[2, 1, 1, 0] = np.nan
WITH_INF = IMAGES.copy()
WITH_INF[1, 0, 0, 0] = -np.inf
WITH_INF[3, 0, 0, 0] = np.inf
EMPTY_MASK = np.zeros((3, 2), bool)


# ---------------------------------------------------------------- what is kept


def test_values_are_kept_as_given():
    masks = IMAGES[..., 0] > 5
    tag = np.zeros((3, 2), bool)
    tag[0, 1] = True
    probes = ProbeSet(
        IMAGES.tolist(),
        (2, 0, 1, 2),
        masks=masks,
        regions={"tag": tag, "own": masks},
        groups=["a", "b", "a", "b"],
        class_names=["x", "y", "z"],
        names=["one", "two", "three", "four"],
    )
    assert len(probes) == 4
    np.testing.assert_array_equal(probes.images, IMAGES)
    assert probes.targets.tolist() == [2, 0, 1, 2]
    assert probes.targets.dtype == np.int64
    np.testing.assert_array_equal(probes.masks, masks)
    np.testing.assert_array_equal(probes.regions["tag"], np.stack([tag] * 4))
    np.testing.assert_array_equal(probes.regions["own"], masks)
    assert list(probes.regions) == ["tag", "own"]
    assert probes.groups.tolist() == ["a", "b", "a", "b"]
    assert probes.class_names == ("x", "y", "z")
    assert probes.names == ("one", "two", "three", "four")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
def test_dtype_of_images_is_kept(dtype):
    assert ProbeSet(IMAGES.astype(dtype)).images.dtype == dtype


def test_what_was_not_given():
    probes = ProbeSet(IMAGES)
    assert probes.targets is None
    assert probes.masks is None
    assert probes.groups is None
    assert probes.class_names is None
    assert dict(probes.regions) == {}
    assert dict(ProbeSet(IMAGES, regions=None).regions) == {}
    assert probes.names == ("000", "001", "002", "003")


def test_arrays_are_copies():
    given = {
        "images": IMAGES.copy(),
        "targets": np.array([0, 1, 0, 1]),
        "masks": IMAGES[..., 0] > 5,
        "groups": np.array([1, 2, 3, 4]),
    }
    region = np.ones((4, 3, 2), bool)
    before = {name: array.copy() for name, array in given.items()}
    probes = ProbeSet(**given, regions={"tag": region})
    for array in given.values():
        array[...] = 0
    region[...] = False
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(probes, name), array)
    assert probes.regions["tag"].all()


def test_arrays_are_read_only():
    flat, deep = np.ones((3, 2), bool), np.ones((4, 3, 2), bool)
    probes = ProbeSet(
        IMAGES, [0, 1, 0, 1], masks=deep, groups=[1, 2, 3, 4], regions={"a": flat, "b": deep}
    )
    arrays = [probes.images, probes.targets, probes.masks, probes.groups, *probes.regions.values()]
    assert len(arrays) == 6
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        probes.images = IMAGES


def test_given_arrays_stay_writable():
    images, targets = IMAGES.copy(), np.array([0, 1, 0, 1])
    ProbeSet(images, targets)
    images[0], targets[0] = 7, 7
    assert images[0, 0, 0, 0] == targets[0] == 7


def test_replace_adds_regions():
    probes = ProbeSet(IMAGES, [1, 0, 1, 0], class_names=["x", "y"], groups=[1, 1, 2, 2])
    border = np.array([[1, 1], [0, 0], [1, 1]], bool)
    more = dataclasses.replace(probes, regions={"border": border})
    assert dict(probes.regions) == {}
    np.testing.assert_array_equal(more.regions["border"], np.stack([border] * 4))
    np.testing.assert_array_equal(more.images, IMAGES)
    assert more.targets.tolist() == [1, 0, 1, 0]
    assert more.groups.tolist() == [1, 1, 2, 2]
    assert more.names == probes.names
    assert more.fingerprint == probes.fingerprint
    with pytest.raises(ValueError, match=r"regions\['border'\]"):
        dataclasses.replace(probes, regions={"border": border.T})


def test_default_names():
    assert ProbeSet(IMAGES, [3, 0, 3, 1]).names[0] == "000 class 3"
    named = ProbeSet(IMAGES, [1, 0, 1, 0], class_names=["cat", "dog"])
    assert named.names == ("000 dog", "001 cat", "002 dog", "003 cat")
    assert ProbeSet(IMAGES, class_names=["cat", "dog"]).names == ("000", "001", "002", "003")


def test_default_names_follow_new_targets():
    probes = dataclasses.replace(ProbeSet(IMAGES, [1, 0, 1, 0]), targets=[2, 0, 1, 0])
    assert probes.names == ("000 class 2", "001 class 0", "002 class 1", "003 class 0")
    given = ProbeSet(IMAGES, [1, 0, 1, 0], names=list("abcd"))
    assert dataclasses.replace(given, targets=[2, 0, 1, 0]).names == tuple("abcd")


def test_repr_shows_no_pixels():
    text = repr(ProbeSet(IMAGES))
    assert text.startswith("ProbeSet(4 probes of shape (3, 2, 1)")
    assert len(text) < 80


def test_class_name():
    named = ProbeSet(IMAGES, class_names=["cat", "dog"])
    assert [named.class_name(index) for index in (-1, 0, 1, 2)] == ["-1", "cat", "dog", "2"]
    assert ProbeSet(IMAGES).class_name(1) == "1"


def test_fingerprint_changes_with_images_and_targets():
    other = IMAGES.copy()
    other[3, 2, 1, 0] += 1
    sets = [
        ProbeSet(IMAGES),
        ProbeSet(other),
        ProbeSet(IMAGES, [0, 0, 0, 0]),
        ProbeSet(IMAGES, [0, 0, 0, 1]),
    ]
    assert len({probes.fingerprint for probes in sets}) == 4
    assert ProbeSet(IMAGES.copy(), [0, 0, 0, 1]).fingerprint == sets[3].fingerprint
    assert ProbeSet(IMAGES, names=list("abcd")).fingerprint == sets[0].fingerprint
    assert set(sets[0].fingerprint) <= set("0123456789abcdef")
    assert len(sets[0].fingerprint) == 16


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("images", "error", "says"),
    [
        (IMAGES[None, None], ValueError, r"images: .*rank 4.*\(1, 1, 4, 3, 2, 1\).*images\[np.new"),
        (7.0, ValueError, r"images: .*rank 4.*\(\)"),
        (IMAGES[:0], ValueError, r"images: .*at least one probe.*\(0, 3, 2, 1\)"),
        (IMAGES[:, :0], ValueError, r"images: .*\(4, 0, 2, 1\)"),
        (WITH_NAN, ValueError, r"images: .*nan or infinity in probe 2 \(1 of 4 probes\)"),
        (WITH_INF, ValueError, r"images: .*nan or infinity in probe 1 \(2 of 4 probes\)"),
        (IMAGES.astype(object), TypeError, "images: .*numbers.*object"),
        (IMAGES.astype(str), TypeError, "images: .*numbers, received text.*kind='tokens'"),
        (IMAGES.astype(complex), TypeError, "images: .*numbers.*complex128"),
        ([IMAGES[0], IMAGES[1, :2]], ValueError, r"one shape, .*\(3, 2, 1\) and \(2, 2, 1\)\. Res"),
        (tf.data.Dataset.range(2), TypeError, r"a data set.*ProbeSet\.from_dataset\(dataset\)"),
        ([[[[0]], [[1], [2]]]], ValueError, "images: .*one shape, received unequal lists"),
    ],
)
def test_images_refused(images, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(images)


@pytest.mark.parametrize(
    ("targets", "error", "says"),
    [
        ([0, 1, 0], ValueError, r"targets: .*\(4,\).*\(3,\)"),
        (0, ValueError, r"targets: .*\(4,\).*\(\)"),
        (np.ones((4, 3)), ValueError, "targets: .*several ones or none"),
        (np.eye(3), ValueError, r"targets: .*\(4,\), received shape \(3, 3\)"),
        ([0.0, 1.5, 0.0, 1.0], ValueError, r"targets: .*received 1\.5.*without targets"),
        (["a", "b", "a", "b"], TypeError, "targets: .*integers.*<U1.*np.unique"),
        ([0, 1, -1, 0], ValueError, "targets: .*0 or more, received -1 for probe 2"),
        ([0, 2**31, 0, 0], ValueError, "targets: .*received 2147483648 for probe 1"),
    ],
)
def test_targets_refused(targets, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(IMAGES, targets)


def test_targets_beyond_class_names_refused():
    with pytest.raises(
        ValueError, match=r"targets: .*0\.\.1 .*2 class_names.*received 2 .*probe 3"
    ):
        ProbeSet(IMAGES, [0, 1, 0, 2], class_names=["x", "y"])
    assert ProbeSet(IMAGES, [0, 1, 0, 1], class_names=["x", "y"]).targets.max() == 1


@pytest.mark.parametrize(
    ("masks", "error", "says"),
    [
        (np.ones((4, 3, 2)), TypeError, "masks: .*bool.*float64.*mask > 0"),
        (np.ones((4, 3, 2), np.uint8), TypeError, "masks: .*bool.*uint8"),
        (np.ones((3, 2), bool), ValueError, r"masks: .*\(4, 3, 2\).*\(3, 2\)"),
        (np.ones((4, 2, 3), bool), ValueError, r"masks: .*\(4, 3, 2\).*\(4, 2, 3\)"),
        (np.ones((4, 3, 2, 1), bool), ValueError, r"masks: .*\(4, 3, 2\).*\(4, 3, 2, 1\)"),
        (np.ones((3, 3, 2), bool), ValueError, r"masks: .*\(4, 3, 2\).*\(3, 3, 2\)"),
    ],
)
def test_masks_refused(masks, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(IMAGES, masks=masks)


@pytest.mark.parametrize(
    ("regions", "error", "says"),
    [
        (np.ones((3, 2), bool), TypeError, "regions: .*dict.*ndarray"),
        ([("tag", np.ones((3, 2), bool))], TypeError, "regions: .*dict.*list"),
        ({"tag": np.ones((3, 2))}, TypeError, r"regions\['tag'\]: .*bool.*float64"),
        ({"tag": np.ones((2, 3), bool)}, ValueError, r"\['tag'\]: .*\(3, 2\) or \(4, 3, 2\)"),
        ({"tag": np.ones((1, 3, 2), bool)}, ValueError, r"\['tag'\]: .*received \(1, 3, 2\)"),
        ({"tag": EMPTY_MASK}, ValueError, r"regions\['tag'\]: .*at least one pixel"),
        ({"": np.ones((3, 2), bool)}, TypeError, "regions: .*non-empty strings.*''"),
        ({0: np.ones((3, 2), bool)}, TypeError, "regions: .*strings.*0"),
    ],
)
def test_regions_refused(regions, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(IMAGES, regions=regions)


INPUTS = {
    "series": np.zeros((4, 6, 2)),
    "volume": np.zeros((4, 2, 3, 5, 1)),
    "features": np.zeros((4, 6)),
    "tokens": np.zeros((4, 6), int),
}


@pytest.mark.parametrize(
    ("kind", "shape", "stored"),
    [
        ("series", (6,), (4, 6)),
        ("series", (4, 6), (4, 6)),
        ("series", (6, 2), (4, 6, 2)),
        ("series", (4, 6, 2), (4, 6, 2)),
        ("volume", (2, 3, 5), (4, 2, 3, 5)),
        ("volume", (4, 2, 3, 5), (4, 2, 3, 5)),
        ("features", (6,), (4, 6)),
        ("tokens", (4, 6), (4, 6)),
    ],
)
def test_regions_of_other_kinds(kind, shape, stored, tmp_path):
    mask = np.zeros(shape, bool)
    mask[..., -1] = True
    probes = ProbeSet(INPUTS[kind], kind=kind, regions={"place": mask})
    expected = np.broadcast_to(mask if mask.shape == stored else mask[np.newaxis], stored)
    np.testing.assert_array_equal(probes.regions["place"], expected)
    probes.save(tmp_path / "probes.npz")
    loaded = ProbeSet.load(tmp_path / "probes.npz")
    np.testing.assert_array_equal(loaded.regions["place"], expected)


@pytest.mark.parametrize(
    ("kind", "shape", "says"),
    [
        (
            "series",
            (2, 6),
            r"\(steps,\) = \(6,\), \(steps, channels\) = \(6, 2\), "
            r"\(num_probes, steps\) = \(4, 6\), \(num_probes, steps, channels\) = \(4, 6, 2\) "
            r"for kind='series', received \(2, 6\)",
        ),
        (
            "volume",
            (3, 5),
            r"\(depth, height, width\) = \(2, 3, 5\), .*kind='volume', received \(3, 5\)",
        ),
        ("features", (5,), r"\(features,\) = \(6,\), .*kind='features', received \(5,\)"),
        ("tokens", (6, 4), r"\(num_probes, tokens\) = \(4, 6\) .*'tokens', received \(6, 4\)"),
    ],
)
def test_a_region_of_another_shape_is_told_which_ones_its_kind_has(kind, shape, says):
    with pytest.raises(ValueError, match=rf"regions\['place'\]: .*{says}"):
        ProbeSet(INPUTS[kind], kind=kind, regions={"place": np.ones(shape, bool)})


def test_a_region_of_a_series_that_may_be_two_things_is_refused():
    with pytest.raises(ValueError, match=r"received \(3, 3\), which may be 2 of these"):
        ProbeSet(np.zeros((3, 3, 3)), kind="series", regions={"place": np.ones((3, 3), bool)})


def test_a_region_of_tokens_has_to_have_a_place():
    with pytest.raises(ValueError, match=r"regions\['word 9'\]: .*at least one place"):
        ProbeSet(INPUTS["tokens"], kind="tokens", regions={"word 9": INPUTS["tokens"] == 9})


@pytest.mark.parametrize(
    ("groups", "error", "says"),
    [
        ([1, 2, 3], ValueError, r"groups: .*\(4,\).*\(3,\)"),
        ([[1, 1], [2, 1], [3, 1], [4, 1]], ValueError, r"groups: .*\(4,\).*\(4, 2\)"),
        ([1.0, 2.0, 3.0, 4.0], TypeError, "groups: .*integers or strings.*float64"),
        ([None, 1, 2, 3], TypeError, "groups: .*integers or strings.*object"),
    ],
)
def test_groups_refused(groups, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(IMAGES, groups=groups)


@pytest.mark.parametrize(
    ("argument", "value", "error", "says"),
    [
        ("class_names", "ab", TypeError, "class_names: .*list of strings.*'ab'"),
        ("class_names", ["a", 1], TypeError, "class_names: .*list of strings"),
        ("class_names", 5, TypeError, "class_names: .*list of strings.*5"),
        ("class_names", [], ValueError, "class_names: .*at least one name"),
        ("class_names", ["a", ""], ValueError, "class_names: .*non-empty"),
        ("names", "abcd", TypeError, "names: .*list of strings.*'abcd'"),
        ("names", [0, 1, 2, 3], TypeError, "names: .*list of strings"),
        ("names", 5, TypeError, "names: .*list of strings.*5"),
        ("names", ["a", "b", "c"], ValueError, "names: .*4 names, received 3"),
        ("names", ["a", "b", "a", "c"], ValueError, "names: .*different.*'a' more than once"),
        ("names", ["a", "b", "", "c"], ValueError, "names: .*non-empty"),
    ],
)
def test_names_refused(argument, value, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(IMAGES, **{argument: value})


# ---------------------------------------------------------------- drawing from a data set

COUNT = 60
LABELS = np.arange(COUNT) % 3


class Batches(keras.utils.PyDataset):
    def __init__(self, images, labels, weights=None, size=7):
        super().__init__()
        self.parts = [images, labels] + ([] if weights is None else [weights])
        self.size = size

    def __len__(self):
        return -(-len(self.parts[0]) // self.size)

    def __getitem__(self, index):
        cut = slice(index * self.size, (index + 1) * self.size)
        return tuple(part[cut] for part in self.parts)


def stream(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


WEIGHTS = np.ones(COUNT, np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
KINDS = {
    "arrays": lambda x: (x, LABELS),
    "arrays with weights": lambda x: (x, LABELS, WEIGHTS),
    "arrays, one-hot": lambda x: (x, ONE_HOT),
    "arrays, column of floats": lambda x: (x, LABELS[:, None].astype("float32")),
    "tensors": lambda x: (tf.constant(x), tf.constant(LABELS)),
    "stream, batched": lambda x: stream(x, LABELS).batch(8),
    "stream, unbatched": lambda x: stream(x, LABELS),
    "stream, unbatched, one-hot": lambda x: stream(x, ONE_HOT),
    "stream, unbatched, column": lambda x: stream(x, LABELS[:, None].astype("float32")),
    "stream, one-hot": lambda x: stream(x, ONE_HOT).batch(8),
    "stream, column of floats": lambda x: stream(x, LABELS[:, None].astype("float32")).batch(8),
    "stream, floats": lambda x: stream(x, LABELS.astype("float32")).batch(8),
    "stream, batch of one": lambda x: stream(x, LABELS[:, None]).batch(1),
    "stream with weights": lambda x: stream(x, LABELS, WEIGHTS).batch(8),
    "stream, shuffled": lambda x: stream(x, LABELS).shuffle(COUNT).batch(8),
    "stream of unknown length": lambda x: stream(x, LABELS).filter(lambda *_: True).batch(8),
    "PyDataset": lambda x: Batches(x, LABELS),
    "PyDataset with weights": lambda x: Batches(x, LABELS, WEIGHTS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_set_gives_the_same_probes(kind):
    probes = ProbeSet.from_dataset(KINDS[kind](numbered(COUNT)), per_class=4, seed=5)
    assert probes.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [number % 3 for number in drawn(probes)] == probes.targets.tolist()
    assert len(set(drawn(probes))) == 12
    arrays = ProbeSet.from_dataset((numbered(COUNT), LABELS), per_class=4, seed=5)
    assert drawn(probes) == drawn(arrays)
    assert probes.images.dtype == np.float32
    assert probes.images.shape == (12, 3, 2, 1)


def test_order_does_not_matter():
    data = stream(numbered(COUNT), LABELS).shuffle(COUNT, reshuffle_each_iteration=True)
    orders = [[int(image[0, 0, 0]) for image, _ in data.as_numpy_iterator()] for _ in range(2)]
    assert orders[0] != orders[1]
    draws = [drawn(ProbeSet.from_dataset(data.batch(8), per_class=3)) for _ in range(3)]
    assert draws[0] == draws[1] == draws[2]


def test_other_seeds_draw_others():
    draws = [
        drawn(ProbeSet.from_dataset((numbered(COUNT), LABELS), per_class=4, seed=seed))
        for seed in (0, 1, 2, 2**31 - 1)
    ]
    assert len({tuple(draw) for draw in draws}) == 4
    assert draws[0] == drawn(ProbeSet.from_dataset((numbered(COUNT), LABELS), per_class=4))


def test_the_draw_is_fair():
    images, labels = numbered(12), np.zeros(12, int)
    hits = np.zeros(12)
    for seed in range(400):
        hits[drawn(ProbeSet.from_dataset((images, labels), per_class=3, seed=seed))] += 1
    # Hypergeometric: each of 12 is among 3 with chance 1/4, so 400 draws hit it 100 times with
    # standard deviation 8.7; all 12 within 4 deviations.
    assert hits.sum() == 1200
    assert np.abs(hits - 100).max() < 35


def test_labels_without_a_class_between():
    labels = np.where(np.arange(COUNT) % 2, 7, 2)
    probes = ProbeSet.from_dataset((numbered(COUNT), labels), per_class=2)
    assert probes.targets.tolist() == [2, 2, 7, 7]


def test_classes_of_unequal_size_give_equally_many():
    labels = np.repeat([0, 1, 2], [45, 10, 5])
    probes = ProbeSet.from_dataset((numbered(COUNT), labels), per_class=5)
    assert np.bincount(probes.targets).tolist() == [5, 5, 5]
    assert sorted(drawn(probes)[10:]) == [55, 56, 57, 58, 59]
    assert all(number < 45 for number in drawn(probes)[:5])


@pytest.mark.parametrize(
    ("classes", "each"), [(1, 32), (2, 32), (4, 32), (5, 25), (10, 12), (32, 4), (50, 4)]
)
def test_by_default_about_128_are_drawn(classes, each):
    labels = np.arange(classes * 40) % classes
    images = numbered(len(labels))
    probes = ProbeSet.from_dataset((images, labels))
    assert np.bincount(probes.targets).tolist() == [each] * classes
    asked = ProbeSet.from_dataset((images, labels), per_class=each)
    assert probes.fingerprint == asked.fingerprint


@pytest.mark.parametrize(("classes", "each"), [(2, 32), (5, 25), (10, 12), (32, 4)])
@pytest.mark.parametrize("order", ["rising", "falling"])
def test_images_sorted_by_class_are_drawn_as_if_they_were_shuffled(classes, each, order):
    """The number of classes, and so of probes of each, is known only at the end."""
    labels = np.repeat(np.arange(classes), 40)
    labels = labels if order == "rising" else labels[::-1]
    images = numbered(len(labels))
    probes = ProbeSet.from_dataset(stream(images, labels).batch(8))
    assert np.bincount(probes.targets).tolist() == [each] * classes
    shuffled = np.random.default_rng(1).permutation(len(labels))
    others = ProbeSet.from_dataset((images[shuffled], labels[shuffled]))
    assert drawn(probes) == drawn(others)


def test_classes_of_unequal_size_sorted_by_class():
    labels = np.repeat([0, 1, 2, 3, 4], [100, 40, 26, 25, 60])
    probes = ProbeSet.from_dataset((numbered(len(labels)), labels))
    assert np.bincount(probes.targets).tolist() == [25] * 5  # 128 / 5


def test_too_few_of_a_class_warns():
    labels = np.repeat([0, 1, 2], [57, 2, 1])
    with pytest.warns(UserWarning, match=r"per_class=3: .*class 1 \(2\), class 2 \(1\)\.") as said:
        probes = ProbeSet.from_dataset((numbered(COUNT), labels), per_class=3)
    assert probes.targets.tolist() == [0, 0, 0, 1, 1, 2]
    assert sorted(drawn(probes)[3:]) == [57, 58, 59]
    assert said[0].filename == __file__


def test_an_image_that_occurs_twice_is_drawn_once():
    images = numbered(COUNT) % 6  # class = number % 3, so two different images a class
    with pytest.warns(UserWarning, match=r"class 0 \(2\), class 1 \(2\), class 2 \(2\)"):
        probes = ProbeSet.from_dataset((images, LABELS), per_class=4)
    assert probes.targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert sorted(drawn(probes)) == [0, 1, 2, 3, 4, 5]


def test_duplicates_do_not_change_the_draw():
    once = ProbeSet.from_dataset((numbered(COUNT), LABELS), per_class=4)
    images, labels = np.tile(numbered(COUNT), (3, 1, 1, 1)), np.tile(LABELS, 3)
    assert drawn(ProbeSet.from_dataset((images, labels), per_class=4)) == drawn(once)


def test_the_same_image_in_two_classes_is_drawn_in_both():
    images, labels = np.zeros((2, 3, 2, 1)), [0, 1]
    assert ProbeSet.from_dataset((images, labels), per_class=1).targets.tolist() == [0, 1]


def test_class_names_of_the_data_set():
    class Named(Batches):
        class_names = ("x", "y", "z")

    data = stream(numbered(COUNT), LABELS).batch(8)
    data.class_names = ["x", "y", "z"]  # as keras.utils.image_dataset_from_directory does
    assert ProbeSet.from_dataset(data).class_names == ("x", "y", "z")
    assert ProbeSet.from_dataset(Named(numbered(COUNT), LABELS)).class_names == ("x", "y", "z")
    own = ProbeSet.from_dataset(data, class_names=["a", "b", "c"], per_class=1)
    assert own.names == ("000 a", "001 b", "002 c")
    assert ProbeSet.from_dataset((numbered(COUNT), LABELS)).class_names is None


def test_drawing_leaves_the_global_generators_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    ProbeSet.from_dataset((numbered(COUNT), LABELS))
    assert np.random.random() == expected


def test_empty_data_sets_are_refused():
    says = "dataset: .*at least one batch.*empty"
    with pytest.raises(ValueError, match=says):
        ProbeSet.from_dataset(stream(numbered(COUNT), LABELS).batch(8).take(0))
    with pytest.raises(ValueError, match=says):
        ProbeSet.from_dataset(Batches(numbered(COUNT)[:0], LABELS[:0]))
    with pytest.raises(ValueError, match=says):
        ProbeSet.from_dataset((numbered(COUNT)[:0], LABELS[:0]))


X = numbered(COUNT)


@pytest.mark.parametrize(
    ("dataset", "error", "says"),
    [
        ([X, LABELS], TypeError, "dataset: .*received list"),
        ((X, LABELS, WEIGHTS, WEIGHTS), TypeError, "dataset: .*a tuple of 4"),
        (stream({"x": X, "z": X}).map(lambda x: x).batch(8), TypeError, "the keys 'z'"),
        ((X[0], 0), ValueError, r"dataset: .*each of 3 images, .*received shape \(\)"),
        ((X, LABELS[:50]), ValueError, r"dataset: .*\(60,\).*\(50,\)"),
        ((X, np.array([{}] * COUNT)), TypeError, "numbers or names as labels, received dict"),
        ((X, LABELS - 1), ValueError, "received -1"),
    ],
)
def test_data_sets_refused(dataset, error, says):
    with pytest.raises(error, match=says):
        ProbeSet.from_dataset(dataset)


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ((X, LABELS + 0.5), "numbers such as 0.5, of dtype float64, are not one class"),
        ((X, np.ones((COUNT, 3)) * 0.7), r"of dtype float64, each of shape \(3,\), are not one"),
        ((X, np.full((COUNT, 2), [2, -1])), r"of dtype int64, each of shape \(2,\), are not one"),
        ((X, np.full((COUNT, 16, 4), 0.5)), r"each of shape \(16, 4\), are not one"),  # boxes
        ((X, np.full((COUNT, 1, 1, 8), 0.5)), r"each of shape \(1, 1, 8\), are not one"),
        (((X, X), X / 999), r"each of shape \(3, 2, 1\), are not one"),  # noise
        ((X, X / 999), r"each of shape \(3, 2, 1\), are not one class for each input.$"),  # pairs
        ((X, X), "the labels are the inputs themselves, as of an autoencoder"),
        ((X, np.where(LABELS, np.nan, 0)), "numbers such as nan"),
    ],
)
def test_labels_that_are_no_classes(dataset, says):
    with pytest.warns(UserWarning, match=f"no targets, .*{says}"):
        assert ProbeSet.from_dataset(dataset).targets is None


def test_the_output_that_targets_belong_to_is_kept(tmp_path):
    ages = np.arange(4.0)[:, None]
    probes = ProbeSet(
        {"image": IMAGES, "age": ages}, [1, 0, 1, 0], output=np.int64(1), predicts_numbers=True
    )
    probes.save(tmp_path / "probes.npz")
    copies = (
        probes,
        dataclasses.replace(probes, masks=None),
        pickle.loads(pickle.dumps(probes)),
        ProbeSet.load(tmp_path / "probes.npz"),
    )
    for one in copies:
        assert (one.output, type(one.output), one.predicts_numbers) == (1, int, True)
        assert one.other_inputs["age"].output == 1
        assert one.fingerprint == dataclasses.replace(one, output="kind").fingerprint
    assert (ProbeSet(IMAGES).output, ProbeSet(IMAGES).predicts_numbers) == (None, False)
    for wrong in (True, 1.0, ("a",)):
        with pytest.raises(TypeError, match="output: expected a name or a position"):
            ProbeSet(IMAGES, output=wrong)
    with pytest.raises(TypeError, match="predicts_numbers: expected True or False, received 1"):
        ProbeSet(IMAGES, predicts_numbers=1)


@pytest.mark.parametrize("dataset", [X, (X,), stream(X).map(lambda x: x).batch(8)])
def test_without_labels_there_are_no_targets(dataset):
    probes = ProbeSet.from_dataset(dataset)
    assert probes.targets is None
    assert len(probes) == 32


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"per_class": 0}, ValueError, "per_class: .*positive.*0"),
        ({"per_class": -3}, ValueError, "per_class: .*positive.*-3"),
        ({"per_class": 2.0}, TypeError, r"per_class: .*positive integer.*2\.0"),
        ({"per_class": True}, TypeError, "per_class: .*positive integer.*True"),
        ({"seed": None}, TypeError, "seed: .*integer.*None"),
        ({"seed": 1.5}, TypeError, r"seed: .*integer.*1\.5"),
        ({"seed": True}, TypeError, "seed: .*integer.*True"),
        ({"seed": -1}, ValueError, "seed: expected an integer from 0 to 2147483647, received -1"),
        ({"seed": 2**31}, ValueError, "seed: expected an integer from 0 .*received 2147483648"),
        ({"class_names": ["x", "y"]}, ValueError, r"targets: .*0\.\.1 .*received 2"),
    ],
)
def test_drawing_arguments_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        ProbeSet.from_dataset((X, LABELS), **arguments)


def test_a_list_of_images_is_refused_in_one_short_sentence():
    with pytest.raises(TypeError) as refused:
        ProbeSet.from_dataset((list(X), list(LABELS)))
    assert str(refused.value) == (
        "dataset: expected one array of images, or input_name= to select one of several inputs; "
        f"received input_name=None and a list of {len(X)} inputs. If these are the images, pass "
        "np.stack(images)."
    )


def test_numpy_integers_are_integers():
    drawn = ProbeSet.from_dataset((X, LABELS), per_class=np.int64(2), seed=np.int64(3))
    expected = ProbeSet.from_dataset((X, LABELS), per_class=2, seed=3)
    assert drawn.fingerprint == expected.fingerprint
    probes = ProbeSet(X, input_name=np.int64(0), held={np.int64(1): X})
    assert (repr(probes.input_name), repr([*probes.held])) == ("0", "[1]")


# ---------------------------------------------------------------- fingerprints


def test_the_fingerprint_changes_with_shapes_and_dtypes():
    """The bytes of all of these are zeros, as many as in the others."""
    zeros = np.zeros((4, 3, 2, 1), np.float32)
    alike = [
        ProbeSet(zeros),
        ProbeSet(zeros.reshape(4, 2, 3, 1)),
        ProbeSet(zeros.reshape(2, 3, 2, 2)),
        ProbeSet(zeros.view(np.int32)),
        ProbeSet(zeros.astype(np.float16).repeat(2, axis=3)),
        ProbeSet(zeros.reshape(4, 6, 1), kind="series"),
    ]
    assert {probes.images.tobytes() for probes in alike} == {bytes(4 * 24)}
    assert len({probes.fingerprint for probes in alike}) == len(alike)


def test_the_fingerprint_tells_apart_what_lies_in_which_array():
    zeros = np.zeros((4, 3, 2, 1), np.float32)
    more = {"input_name": "image"}
    halves = np.zeros((4, 2), np.float32)
    sets = [
        ProbeSet(zeros),
        ProbeSet(zeros, [0, 0, 0, 0]),
        ProbeSet(zeros, held={"a": np.zeros(4, int)}, **more),
        ProbeSet(zeros, held={"b": np.zeros(4, int)}, **more),
        ProbeSet(zeros, held={"a": halves, "b": halves}, **more),
        ProbeSet(zeros, held={"a": halves, "c": halves}, **more),
        ProbeSet(zeros, held={"a": np.zeros((4, 3), np.float32), "b": halves[:, :1]}, **more),
        ProbeSet(zeros, held={"a": np.array(["ab", "c", "", ""])}, **more),
        ProbeSet(zeros, held={"a": np.array(["a", "bc", "", ""])}, **more),
        ProbeSet(zeros, held={1: np.zeros(4, int)}, input_name=0),
    ]
    assert len({probes.fingerprint for probes in sets}) == len(sets)


def test_the_fingerprint_ignores_the_order_of_held_inputs_and_of_memory():
    held = {"a": np.arange(4), "b": np.ones(4)}
    first = ProbeSet(IMAGES, held=held, input_name="image")
    turned = ProbeSet(
        np.asfortranarray(IMAGES), held=dict(reversed(held.items())), input_name="image"
    )
    assert first.fingerprint == turned.fingerprint


def test_the_fingerprint_ignores_masks_regions_groups_and_names():
    plain = ProbeSet(IMAGES, [0, 1, 0, 1])
    more = dataclasses.replace(
        plain,
        masks=IMAGES[..., 0] > 5,
        regions={"all": np.ones((3, 2), bool)},
        groups=[1, 2, 3, 4],
        names=list("abcd"),
    )
    assert plain.fingerprint == more.fingerprint


# ---------------------------------------------------------------- boxes

BOXES = np.array([[0, 1, 3, 4], [1.5, 0, 2.5, 6], [0, 0, 5, 6], [4.25, 5.25, 4.75, 5.75]])


def boxed(**fields):
    return ProbeSet(np.zeros((4, 6, 5, 1), np.float32), [0, 1, 0, 1], boxes=BOXES, **fields)


def test_masks_are_the_pixels_of_the_boxes():
    probes = boxed()
    np.testing.assert_array_equal(probes.boxes, BOXES.astype(np.float32))
    assert probes.boxes.dtype == np.float32
    assert probes.masks.dtype == bool
    expected = np.zeros((4, 6, 5), bool)
    expected[0, 1:4, :3] = expected[1, :, 1:3] = expected[2] = expected[3, 5, 4] = True
    np.testing.assert_array_equal(probes.masks, expected)
    given = boxed(masks=~expected)
    np.testing.assert_array_equal(given.masks, ~expected)


@pytest.mark.parametrize(
    "again",
    [
        lambda probes, path: probes,
        lambda probes, path: pickle.loads(pickle.dumps(probes)),
        lambda probes, path: (probes.save(path), ProbeSet.load(path))[1],
        lambda probes, path: dataclasses.replace(probes, regions={"top": np.eye(6, 5) > 0}),
    ],
)
def test_masks_follow_the_boxes(again, tmp_path):
    probes = again(boxed(), tmp_path / "probes.npz")
    np.testing.assert_array_equal(probes.masks, boxed().masks)
    np.testing.assert_array_equal(probes.boxes, boxed().boxes)
    assert not probes.masks.flags.writeable
    assert not probes.boxes.flags.writeable
    moved = dataclasses.replace(probes, boxes=np.tile([0, 0, 1, 1], (4, 1)))
    assert moved.masks.sum() == moved.masks[:, 0, 0].sum() == 4
    assert dataclasses.replace(probes, boxes=None).masks is None
    larger = dataclasses.replace(probes, images=np.zeros((4, 7, 8, 1)), regions={})
    assert larger.masks.shape == (4, 7, 8)
    assert larger.masks[2].sum() == 30
    half = dataclasses.replace(probes, masks=probes.masks & (np.arange(5) < 2))
    assert half.masks[2].sum() == 12
    other_boxes = dataclasses.replace(half, boxes=np.tile([0, 0, 1, 1], (4, 1)))
    np.testing.assert_array_equal(other_boxes.masks, half.masks)  # they were given


def test_boxes_change_the_fingerprint_and_masks_do_not():
    probes = boxed()
    assert dataclasses.replace(probes, masks=~probes.masks).fingerprint == probes.fingerprint
    other = dataclasses.replace(probes, boxes=BOXES[[0, 1, 2, 2]])
    assert len({probes.fingerprint, other.fingerprint, boxed_without().fingerprint}) == 3


def boxed_without():
    return dataclasses.replace(boxed(), boxes=None)


@pytest.mark.parametrize(
    ("boxes", "error", "message"),
    [
        ([[0, 0, 5, 6]] * 3, ValueError, r"expected one box per probe, shape \(4, 4\), received"),
        ([[0, 0, 5]] * 4, ValueError, r"received shape \(4, 3\).*repeat the image"),
        ([[[0, 0, 5, 6]], [], [], []], ValueError, "rows of unequal lengths.*repeat the image"),
        ([[0, 0, 5, 6.5]] * 4, ValueError, r"within the image of 5 x 6 .* \[0.0, 0.0, 5.0, 6.5\]"),
        ([[-1, 0, 5, 6]] * 4, ValueError, "np.clip cuts off"),
        ([[0.2, 0, 0.5, 1]] * 4, ValueError, r"shares of the image. Multiply them: boxes \* \["),
        ([[0, 0, 5, 6]] * 3 + [[2, 3, 2, 4]], ValueError, "positive width .* for probe 3"),
        ([[0, 0, 5, np.nan]] * 4, ValueError, "for probe 0"),
        ([["0", "0", "5", "6"]] * 4, TypeError, "boxes: expected numbers, received dtype"),
        (np.ones((4, 4), bool), TypeError, "boxes: expected numbers, received dtype bool"),
    ],
)
def test_boxes_that_are_wrong(boxes, error, message):
    with pytest.raises(error, match=message):
        ProbeSet(np.zeros((4, 6, 5, 1)), boxes=boxes)


def test_only_images_have_boxes():
    with pytest.raises(ValueError, match="boxes: expected None for kind='series'"):
        ProbeSet(np.zeros((4, 6, 5)), boxes=BOXES, kind="series")


def test_boxes_are_drawn_along():
    images = np.arange(24, dtype=np.float32).reshape(6, 2, 2, 1)
    boxes = np.array([[0, 0, 1 + i % 2, 2 - i % 2] for i in range(6)])
    labels = np.arange(6) % 2
    for given in (boxes, "bbox"):
        data = {"image": images, "label": labels, "bbox": boxes} if given is not boxes else None
        drawn = ProbeSet.from_dataset(data or (images, labels), per_class=2, boxes=given)
        np.testing.assert_array_equal(drawn.boxes, boxes[drawn.indices])
        assert drawn.masks.sum() == 8
    with pytest.raises(ValueError, match="boxes: expected one row for each of the 6 images"):
        ProbeSet.from_dataset((images, labels), per_class=2, boxes=boxes[:5])
