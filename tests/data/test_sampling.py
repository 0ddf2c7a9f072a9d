"""How many probes are drawn, of which classes; the memory that it takes; what is printed."""

import itertools
import tracemalloc
import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import ProbeSet
from keras_saliency.data.datasets import Batch
from keras_saliency.data.labels import are_numbers
from keras_saliency.data.sampling import Plan, Progress, draw, plan


def numbered(count):
    return np.broadcast_to(
        np.arange(count, dtype=np.float32)[:, None, None, None], (count, 2, 2, 1)
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, None, 512), Plan(32, 1)),
        ((10, None, 512), Plan(12, 10)),
        ((128, None, 512), Plan(4, 128)),
        ((129, None, 512), Plan(4, 128)),
        ((1000, None, 4000), Plan(4, 1000)),
        ((20, 32, 512), Plan(25, 20)),  # 512 / 20 = 25.6
        ((1000, 32, 512), Plan(4, 128)),
        ((1000, 2, 512), Plan(2, 256)),
        ((3, None, 10), Plan(4, 2)),
        ((3, None, 2), Plan(2, 1)),
    ],
)
def test_plan(arguments, expected):
    assert plan(*arguments) == expected


@pytest.mark.parametrize("per_class", [None, 1, 3, 7, 50])
@pytest.mark.parametrize("max_probes", [1, 5, 64, 512])
def test_plans_are_bounded_and_shrink(per_class, max_probes):
    plans = [plan(classes, per_class, max_probes) for classes in range(1, 700)]
    assert max(each * classes for each, classes in plans) <= max_probes
    sizes = [each for each, _ in plans]
    assert sizes == sorted(sizes, reverse=True)
    numbers = [classes for _, classes in plans]
    assert numbers == sorted(numbers)  # so a class that was left out need not come back


LABELS = np.arange(1200) % 300


def test_many_classes():
    with pytest.warns(UserWarning, match=r"300 classes: 128 .*seed 0; pass max_probes= .*512\)"):
        probes = ProbeSet.from_dataset((numbered(1200), LABELS))
    classes, counts = np.unique(probes.targets, return_counts=True)
    assert counts.tolist() == [4] * 128
    assert len(classes) == 128
    np.testing.assert_array_equal(probes.targets, probes.images[:, 0, 0, 0] % 300)
    everything = ProbeSet.from_dataset((numbered(1200), LABELS), max_probes=1200)
    assert len(everything) == 1200


def test_the_classes_that_are_drawn_depend_on_the_seed_and_not_on_the_order():
    order = np.random.default_rng(0).permutation(1200)
    draws = []
    for images, labels, seed in (
        (numbered(1200), LABELS, 0),
        (numbered(1200)[order], LABELS[order], 0),
        (numbered(1200), LABELS, 1),
    ):
        with pytest.warns(UserWarning, match=f"300 classes: 16 of them were drawn by seed {seed}"):
            draws.append(ProbeSet.from_dataset((images, labels), max_probes=64, seed=seed))
    assert draws[0].fingerprint == draws[1].fingerprint
    assert len({*draws[0].targets} & {*draws[2].targets}) < 8  # 16 * 16 / 300 = 0.85 by chance
    np.testing.assert_array_equal(order[draws[1].indices], draws[0].indices)


def test_fewer_of_each_class_than_asked_for():
    with pytest.warns(UserWarning, match=r"per_class=32: 25 of each class .*max_probes=512"):
        probes = ProbeSet.from_dataset((numbered(1200), LABELS % 20), per_class=32)
    assert np.bincount(probes.targets).tolist() == [25] * 20
    # Nothing is said if the classes have no more.
    assert len(ProbeSet.from_dataset((numbered(40), LABELS[:40] % 20), per_class=2)) == 40


@pytest.mark.parametrize(
    ("count", "names", "is_told"), [(30, None, True), (30, "abc", False), (3, None, False)]
)
def test_many_whole_numbers_may_be_no_classes(count, names, is_told):
    """Counts, such as 0 to 29 bike rentals, of which some are rare."""
    counts = np.append(np.arange(count).repeat(4), 1)[1:]
    names = names and [f"{names} {label}" for label in range(count)]
    with pytest.warns(UserWarning, match=r"found fewer different images for class 0 \(3\)") as told:
        ProbeSet.from_dataset((numbered(len(counts)), counts), per_class=4, class_names=names)
    assert ("a loss such as 'mse' is explained without classes" in str(told[0].message)) == is_told


def test_a_long_list_of_small_classes_is_cut():
    with pytest.warns(UserWarning, match=r"class 9 \(1\) and 90 more\. If"):
        ProbeSet.from_dataset((numbered(100), np.arange(100)), per_class=2)


def test_no_more_images_are_kept_than_will_be_drawn():
    """All four of each class would be 26 MB; 40 in total are 0.7 MB."""

    def batches():  # each has one image of 40 classes
        for copy, first in itertools.product(range(4), range(0, 400, 40)):
            labels = np.arange(first, first + 40)
            images = np.zeros((40, 64, 64, 1), np.float32)
            images[:] = (labels + copy / 8)[:, None, None, None]
            yield Batch(images, labels, {}, {}, None)

    tracemalloc.start()
    drawn = draw(
        batches(), per_class=None, max_probes=40, seed=0, kind="image", progress=Progress()
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(chosen) for chosen in drawn.examples.values()] == [4] * 10
    assert drawn.classes == {*range(400)}
    assert peak < 3e6


def test_arrays_are_read_piece_by_piece():
    """As class indices, the label images alone are 33 MB."""
    images, labels = np.zeros((4000, 32, 32, 1), np.uint8), np.zeros((4000, 32, 32), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(4000), 256)
    tracemalloc.start()
    probes = ProbeSet.from_dataset((images, labels), per_class=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert probes.masks.all()
    assert peak < 10e6


def test_a_line_every_ten_seconds(capsys):
    times = iter([0, 4, 11, 12, 20.9, 21, 30])
    progress = Progress(clock=lambda: next(times))
    for count in (1, 2000, 2001, 2002, 3000, 3001):
        progress.update(count)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "saliency: reading the data set for probes: 2,000 images so far",
        "saliency: reading the data set for probes: 3,000 images so far",
    ]


def test_progress_counts_images_that_were_read():
    counts = []

    class Counting(Progress):
        def update(self, num_read):
            counts.append(num_read)

    draw(
        [Batch(numbered(3), np.zeros(3), {}, {}, None)] * 2,
        per_class=1,
        max_probes=9,
        seed=0,
        kind="image",
        progress=Counting(),
    )
    assert counts == [1, 2, 3, 4, 5, 6]


# ---------------------------------------------------------------- label images

IMAGES = numbered(6)
CORNERS = np.zeros((6, 2, 2), np.uint8)
CORNERS[0:3, 0, 0] = 1
CORNERS[2:4, 1, 1] = 4
"""Class 1 is the first corner of images 0, 1 and 2, class 4 the last corner of 2 and 3."""


def places(probes):
    """Image number, class and the True places of each probe's mask."""
    return {
        (int(image[0, 0, 0]), int(target)): [tuple(map(int, place)) for place in np.argwhere(mask)]
        for image, target, mask in zip(probes.images, probes.targets, probes.masks, strict=True)
    }


EXPECTED = {
    **{(image, 1): [(0, 0)] for image in (0, 1, 2)},
    **{(image, 4): [(1, 1)] for image in (2, 3)},
    **{(image, 0): [(0, 1), (1, 0), (1, 1)] for image in (0, 1)},
    (2, 0): [(0, 1), (1, 0)],
    (3, 0): [(0, 0), (0, 1), (1, 0)],
    **{(image, 0): [(0, 0), (0, 1), (1, 0), (1, 1)] for image in (4, 5)},
}


def stream(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES, CORNERS),
        (IMAGES, CORNERS[..., None].astype("float32")),
        (IMAGES, np.eye(5)[CORNERS]),
        (IMAGES[..., 0], CORNERS),
        stream(IMAGES, CORNERS).batch(4),
        stream(IMAGES, CORNERS),
        stream(IMAGES, CORNERS[..., None]),
        stream(IMAGES[..., 0], CORNERS),
        stream(IMAGES, np.eye(5)[CORNERS]),
    ],
)
def test_label_images_give_classes_and_masks(data):
    with pytest.warns(UserWarning, match=r"class 1 \(3\), class 4 \(2\)"):
        probes = ProbeSet.from_dataset(data, per_class=6)
    assert places(probes) == EXPECTED
    np.testing.assert_array_equal(probes.indices, probes.images[:, 0, 0, 0])


def test_label_images_of_channels_first():
    images, labels = np.moveaxis(IMAGES, -1, 1), np.moveaxis(np.eye(5)[CORNERS], -1, 1)
    probes = ProbeSet.from_dataset((images, labels), data_format="channels_first", per_class=2)
    assert len(probes) == 6
    assert places(probes).items() <= EXPECTED.items()


def test_void_pixels():
    labels = CORNERS.copy()
    labels[:, 0, 1] = 255
    void = ProbeSet.from_dataset((IMAGES, labels), per_class=2)
    assert {*void.targets} == {0, 1, 4}
    assert not void.masks[:, 0, 1].any()
    with pytest.warns(UserWarning, match="fewer"):  # as other dtypes have no void
        assert {*ProbeSet.from_dataset((IMAGES, labels.astype(int)), per_class=6).targets} == {
            *(0, 1, 4, 255)
        }
    labels[5, 1, 1] = 200  # there are that many classes
    with pytest.warns(UserWarning, match="fewer"):
        many = ProbeSet.from_dataset((IMAGES, labels), per_class=6)
    assert np.unique(many.targets, return_counts=True)[1].tolist() == [6, 3, 2, 1, 6]
    assert many.masks[many.targets == 255].sum(0).tolist() == [[0, 6], [0, 0]]


def test_black_and_white_label_images_are_ambiguous():
    with pytest.raises(ValueError, match=r"0 and 255 only.*y // 255"):
        ProbeSet.from_dataset((IMAGES, np.where(CORNERS, 255, 0).astype(np.uint8)))


ROWS = np.random.default_rng(0).random((12, 5)).astype(np.float32)
ADVICE = (
    "the labels are the inputs themselves, as of an autoencoder. For the error of the "
    r"reconstruction, pass score= to the callback, a callable \(outputs, targets, inputs\) -> "
    r"\(num_probes,\)\.$"
)

NOT_ONE_CLASS = (
    r"the labels, of dtype float\d\d, each of shape \(.*\), are not one class for each input\.$"
)


def unlabelled(data, says, **how):
    with pytest.warns(UserWarning, match=f"no targets, .* {says}"):
        probes = ProbeSet.from_dataset(data, **how)
    assert probes.targets is None
    return probes


def test_images_as_their_own_labels_are_no_label_images():
    for images in (IMAGES, IMAGES.astype(np.uint8), IMAGES[..., 0]):
        unlabelled((images, images), ADVICE)
    for inputs, kind in ((ROWS, "features"), (ROWS.reshape(4, 5, 3), "series")):
        unlabelled((inputs, inputs), ADVICE, kind=kind)
        unlabelled((inputs, inputs / 2), NOT_ONE_CLASS, kind=kind)
    unlabelled((IMAGES, IMAGES + np.float32(0.5)), NOT_ONE_CLASS)


def test_images_of_numbers_are_not_called_an_autoencoder():
    """A depth map, or a larger image."""
    for labels in (IMAGES + 0.5, np.concatenate([IMAGES + 0.5] * 2, axis=-1)):
        unlabelled((np.repeat(IMAGES, 3, axis=-1), labels), NOT_ONE_CLASS)


def test_rows_of_the_shape_of_the_inputs_may_be_classes():
    classes = np.arange(12) % 5
    for rows in (np.eye(5, dtype=np.float32)[classes], np.eye(5)[classes] * 0.9 + 0.02):
        probes = ProbeSet.from_dataset((ROWS, rows), per_class=2, kind="features")
        assert probes.targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    unlabelled((ROWS, ROWS[:, :3]), NOT_ONE_CLASS, kind="features")


def test_without_classes_inputs_are_drawn_by_their_values():
    """The same ones in any order, also if only a later batch shows that labels are numbers."""
    rows = np.arange(100.0).reshape(100, 1)
    numbers = np.where(np.arange(100) < 60, 1, 0.5)
    batches = ((rows[i : i + 20], numbers[i : i + 20]) for i in range(0, 100, 20))
    probes = unlabelled(batches, "numbers such as 0.5, .* are not one class", per_class=5)
    assert len(probes) == 5
    again = unlabelled((rows[::-1], numbers[::-1]), "numbers such as 0.5, .* are not", per_class=5)
    assert set(again.images[:, 0]) == set(probes.images[:, 0])
    alone = ProbeSet.from_dataset(rows, per_class=5)
    np.testing.assert_array_equal(alone.images, again.images)
    assert alone.targets is None


def test_each_class_of_a_row_of_several_draws_the_image():
    rows = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 1, 1]])
    with pytest.warns(UserWarning, match="found fewer"):
        probes = ProbeSet.from_dataset((IMAGES[:4], rows), per_class=4)
    found = sorted(zip(probes.targets.tolist(), probes.indices.tolist(), strict=True))
    assert found == [(0, 0), (1, 1), (1, 3), (2, 0), (2, 3)]


def test_of_mixed_labels_the_largest_share_counts():
    rows = np.array([[0.7, 0.3, 0], [0.1, 0.4, 0.5], [0.6, 0.4, 0], [0, 0, 1]])
    with pytest.warns(UserWarning, match="labels mix classes"):
        probes = ProbeSet.from_dataset((IMAGES[:4], rows), per_class=2)
    assert sorted(zip(probes.targets.tolist(), probes.indices.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (2, 1),
        (2, 3),
    ]


def test_labels_that_are_names_are_numbered_in_their_order():
    names = np.array(["dog", "cat", "dog", "bird"])
    for labels in (names, names.astype("S"), names.astype(object)[:, None]):
        with pytest.warns(UserWarning, match="numbered in the order of their names"):
            probes = ProbeSet.from_dataset((IMAGES[:4], labels), per_class=1)
        assert probes.class_names == ("bird", "cat", "dog")
        assert probes.targets.tolist() == [0, 1, 2]
    own = ProbeSet.from_dataset(
        (IMAGES[:4], names), per_class=1, class_names=["dog", "cat", "bird", "eel"]
    )
    by_name = dict(zip(own.targets.tolist(), names[own.indices], strict=True))
    assert by_name == {0: "dog", 1: "cat", 2: "bird"}
    with pytest.raises(ValueError, match="class_names: .*'bird'; received 'dog', 'cat'"):
        ProbeSet.from_dataset((IMAGES[:4], names), per_class=1, class_names=["dog", "cat"])


def test_the_labels_of_one_of_several_outputs():
    numbers, classes = np.linspace(0, 1, 4), np.array([0, 1, 1, 0])
    for labels, output in (((numbers, classes), 1), ({"price": numbers, "kind": classes}, "kind")):
        probes = ProbeSet.from_dataset((IMAGES[:4], labels), per_class=2, output=output)
        assert sorted(probes.indices[probes.targets == 1]) == [1, 2]
        assert (probes.output, probes.predicts_numbers) == (output, False)
        with pytest.raises(ValueError, match="output: expected one of .*'other'"):
            ProbeSet.from_dataset((IMAGES[:4], labels), output="other")
    with pytest.raises(ValueError, match="output: expected None for labels of one output"):
        ProbeSet.from_dataset((IMAGES[:4], classes), output="kind")


@pytest.mark.parametrize("names", [(0, 1), ("kind", "price")])
def test_of_several_outputs_the_first_has_the_targets(names):
    numbers, classes = np.linspace(0, 1, 4), np.array([0, 1, 1, 0])

    def of(*labels):
        return labels if names == (0, 1) else dict(zip(names, labels, strict=True))

    first, other = map(repr, names)
    says = f"several outputs, {first}, {other}: those of {first} are taken.* output={other}"
    with pytest.warns(UserWarning, match=says):
        probes = ProbeSet.from_dataset((IMAGES[:4], of(classes, numbers)), per_class=2)
    assert probes.output == names[0]
    assert sorted(probes.indices[probes.targets == 1]) == [1, 2]
    with pytest.warns(UserWarning, match=says):
        probes = unlabelled((IMAGES[:4], of(numbers, classes)), "are not one class")
    assert (probes.output, probes.predicts_numbers) == (names[0], True)


def test_the_labels_of_a_single_output():
    classes = np.array([0, 1, 1, 0])
    for labels in (classes, (classes,), {"kind": classes}):
        probes = ProbeSet.from_dataset((IMAGES[:4], labels), per_class=2)
        assert probes.output is None
        assert sorted(probes.indices[probes.targets == 1]) == [1, 2]


@pytest.mark.parametrize("shape", [(2,), (4, 3)])
def test_batches_have_the_first_of_several_labels(shape):
    """Whether arrays are one example is told by the labels of the output that is read."""
    rows = np.random.default_rng(0).random((12, *shape), np.float32)
    classes = np.array([0, 1] * 6)
    dataset = tf.data.Dataset.from_tensor_slices((rows, (classes, classes[::-1])))
    spec = tf.TensorSpec((None,), tf.int64)
    generated = tf.data.Dataset.from_generator(
        lambda: iter(dataset.batch(2)),
        output_signature=(tf.TensorSpec((None, *shape)), (spec, spec)),
    )
    for one in (dataset, dataset.batch(2), generated):
        with pytest.warns(UserWarning, match="several outputs"):
            probes = ProbeSet.from_dataset(one, per_class=6)
        images = probes.images.reshape(-1, *shape)
        np.testing.assert_array_equal(images, rows[probes.indices])
        np.testing.assert_array_equal(probes.targets, classes[probes.indices])


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (np.array([1, -1, 1, -1]), "class indices 0 or more, received -1"),
        (np.array([np.zeros((2, 4)), np.zeros((3, 4))] * 2, object), "labels of several lengths"),
    ],
)
def test_first_labels_that_cannot_be_read_are_no_error(first, says):
    """They were not asked for."""
    data = IMAGES[:4], (first, np.array([0, 1, 1, 0]))
    with pytest.warns(UserWarning, match="those of 0 are taken"):
        assert unlabelled(data, says).output == 0
    with pytest.raises(ValueError, match=says):
        ProbeSet.from_dataset(data, output=0)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.linspace(0, 1, 12), True),
        (np.linspace(-1, 1, 36, dtype=np.float32).reshape(12, 3), True),
        (np.full((12, 3), 0.7), True),
        (np.array([1.0] * 8 + [0.5] * 4), True),
        (np.array([[3.0, 1, 2]] * 8 + [[0.5, 1, 2]] * 4), True),
        (np.arange(12), False),
        (np.tile([3.0, 1, 2], (12, 1)), False),  # tags
        (np.full((12, 4, 3), 1 / 3), False),  # shares at each position
        (np.array([0.0, np.nan] * 6), False),
        (np.arange(12 * 27, dtype="uint8").reshape(12, 3, 3, 3), True),  # images in colour
        (np.arange(12 * 9).reshape(12, 3, 3) % 4, False),  # label images
        (np.arange(12 * 27).reshape(12, 3, 3, 3) % 2, False),  # several classes at each pixel
    ],
)
def test_whether_labels_are_numbers(labels, expected):
    assert are_numbers(labels) is expected
    batches = [(ROWS[i : i + 4], labels[i : i + 4]) for i in range(0, 12, 4)]  # later ones tell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probes = ProbeSet.from_dataset(iter(batches), kind="features")
    assert probes.predicts_numbers is expected
    assert expected <= (probes.targets is None)


def test_masks_beside_label_images_are_refused():
    with pytest.raises(ValueError, match="masks: expected None, as the labels are images"):
        ProbeSet.from_dataset((IMAGES, CORNERS), per_class=1, masks=CORNERS > 0)


def test_an_image_of_several_classes_has_several_names():
    probes = ProbeSet.from_dataset((IMAGES[:1], CORNERS[:1]), per_class=1, names=["a"])
    assert probes.names == ("a class 0", "a class 1")


def drawn_dict(first, second):
    """How many of the rows of two inputs are drawn."""
    inputs = {"first": np.asarray(first), "second": np.asarray(second)}
    return ProbeSet.from_dataset((inputs, np.zeros(len(first), int)), per_class=len(first))


def test_rows_of_several_inputs_are_equal_if_all_of_them_are():
    sexes, ages = np.arange(40) % 2, np.arange(40) / 3
    assert len(drawn_dict(sexes, ages)) == 40
    with pytest.warns(UserWarning, match=r"fewer different inputs for class 0 \(20\)"):
        assert len(drawn_dict(sexes, ages // 1 % 10)) == 20
    words = np.array([f"{number} words" for number in range(40)], object)
    images = np.zeros((40, 4, 4, 3), np.float32)
    assert len(drawn_dict(images, words)) == 40
    with pytest.warns(UserWarning, match=r"fewer different inputs for class 0 \(1\)"):
        assert len(drawn_dict(images, np.full(40, "word", object))) == 1
