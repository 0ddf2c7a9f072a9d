"""Elements of data sets as people have them: gray images, dicts, several inputs, ragged batches."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from keras_saliency import ProbeSet
from keras_saliency.data.inputs import AssumedKind

Dataset = tf.data.Dataset
COUNT = 24
LABELS = np.arange(COUNT) % 3
GRAY = np.random.default_rng(0).random((COUNT, 8, 6)).astype(np.float32)
IMAGES = GRAY[..., None]
COLOR = np.repeat(IMAGES, 3, axis=-1)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def stream(*parts):
    return Dataset.from_tensor_slices(parts)


def drawn(dataset, **settings):
    return ProbeSet.from_dataset(dataset, per_class=2, **settings)


EXPECTED = drawn((IMAGES, LABELS))


def unknown_shapes(images, labels):
    """Unbatched images whose shape is only known when they are read."""
    signature = (tf.TensorSpec([None] * (images.ndim - 1)), tf.TensorSpec((), tf.int64))
    return Dataset.from_generator(
        lambda: zip(images, labels, strict=True), output_signature=signature
    )


# ---------------------------------------------------------------- with and without a batch axis


@pytest.mark.parametrize(
    "data",
    [
        (GRAY, LABELS),
        (GRAY, ONE_HOT),
        stream(GRAY, LABELS),
        stream(GRAY, LABELS[:, None]),
        stream(GRAY, ONE_HOT),
        stream(GRAY, LABELS).batch(5),
        stream(GRAY, LABELS[:, None]).batch(5),
        stream(GRAY, LABELS).batch(8, drop_remainder=True),  # as many as rows of an image
        stream(GRAY, LABELS).batch(3, drop_remainder=True),
        stream(GRAY, ONE_HOT).batch(3, drop_remainder=True),
        stream(GRAY, ONE_HOT).batch(5),
        stream(GRAY, LABELS).batch(1),
        unknown_shapes(GRAY, LABELS),
        unknown_shapes(GRAY, LABELS).batch(5),
    ],
)
def test_gray_images_without_a_channel_axis(data):
    probes = drawn(data)
    assert probes.data_format == "no_channels"
    np.testing.assert_array_equal(probes.images, EXPECTED.images)
    np.testing.assert_array_equal(probes.targets, EXPECTED.targets)
    np.testing.assert_array_equal(probes.indices, EXPECTED.indices)


@pytest.mark.parametrize("images", [IMAGES, COLOR])
@pytest.mark.parametrize("classes", [3, 8])
def test_images_with_channels_are_not_batches_of_gray_ones(images, classes):
    """Images have eight rows, as many as there may be classes."""
    one_hot = np.eye(classes)[LABELS]
    expected = drawn((images, LABELS))
    for data in (
        stream(images, LABELS),
        stream(images, one_hot),
        stream(images, 0.9 * one_hot + 0.1 / classes),
        stream(images, one_hot).batch(8),
        stream(images, one_hot).batch(8, drop_remainder=True),
        unknown_shapes(images, LABELS),
    ):
        probes = drawn(data)
        assert probes.data_format == "channels_last"
        assert probes.fingerprint == expected.fingerprint


@pytest.mark.parametrize("width", [4, 6])
def test_batches_whose_labels_look_like_one_row(width):
    """The classes of each batch sum to 1, like a one-hot row, and are as many as rows."""
    images, labels = GRAY[..., :width], (np.arange(COUNT) % 8 == 1).astype(int)
    expected = drawn((images, labels)).fingerprint
    assert drawn(stream(images, labels).batch(8)).fingerprint == expected
    if width > 4:  # as many columns cannot be channels
        static = stream(images, labels).batch(8, drop_remainder=True)
        assert drawn(static).fingerprint == expected
    values = np.arange(COUNT)
    batches = stream(values, labels).batch(8)
    features = drawn((values, labels), kind="features")
    assert drawn(batches, kind="features").fingerprint == features.fingerprint


def test_the_format_decides_what_the_axes_are():
    many = np.repeat(IMAGES, 8, axis=-1)
    for data in (stream(many, np.eye(8)[LABELS]), stream(many, LABELS).batch(8)):
        assert drawn(data, data_format="channels_last").images.shape == (6, 8, 6, 8)
    moved = np.moveaxis(COLOR, -1, 1)
    for data in ((moved, LABELS), stream(moved, LABELS), stream(moved, LABELS).batch(5)):
        probes = drawn(data, data_format="channels_first")
        assert probes.data_format == "channels_first"
        assert probes.fingerprint == drawn((COLOR, LABELS)).fingerprint
    assert drawn((GRAY, LABELS), data_format="no_channels").data_format == "no_channels"
    with pytest.raises(
        ValueError, match=r"gray images \(batch, height, width\), .*\(24, 8, 6, 1\)"
    ):
        drawn((IMAGES, LABELS), data_format="no_channels")
    with pytest.raises(ValueError, match=r"\(batch, channels, height, width\).*\(24, 8, 6\)"):
        drawn((GRAY, LABELS), data_format="channels_first")
    with pytest.raises(ValueError, match="data_format: expected one of .*'no_channels'"):
        drawn((GRAY, LABELS), data_format="gray")


@pytest.mark.parametrize("kind", ["features", "tokens"])
def test_one_value_per_example_is_a_column(kind):
    values = np.arange(COUNT) * (1 if kind == "tokens" else 0.5)
    values = values.astype(int) if kind == "tokens" else values
    expected = drawn((values[:, None], LABELS), kind=kind)
    assert expected.images.shape == (6, 1)
    for data in (
        (values, LABELS),
        stream(values, LABELS),
        stream(values, LABELS).batch(5),
        stream(values, ONE_HOT).batch(5),
        stream(values[:, None], ONE_HOT),
    ):
        assert drawn(data, kind=kind).fingerprint == expected.fingerprint


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16"])
def test_any_dtype_is_kept(dtype):
    images = (IMAGES * 200).astype(dtype)
    with pytest.warns(UserWarning, match="fewer") if dtype == "bool" else nullcontext():
        assert drawn((images, LABELS)).images.dtype == dtype


# ---------------------------------------------------------------- dicts


@pytest.mark.parametrize(
    ("image", "label"),
    [("image", "label"), ("images", "labels"), ("x", "y"), ("inputs", "targets"), ("x", "target")],
)
def test_elements_that_are_dicts(image, label):
    values = {image: IMAGES, label: LABELS, "id": np.arange(COUNT)}
    for data in (values, Dataset.from_tensor_slices(values), iter([values])):
        probes = drawn(data)
        assert probes.fingerprint == EXPECTED.fingerprint
        assert probes.input_name is None
        assert dict(probes.held) == {}


def test_dicts_with_other_keys():
    data = Dataset.from_tensor_slices({"image": IMAGES, "x": IMAGES + 1, "label": LABELS})
    with pytest.raises(ValueError, match=r"received several: 'image', 'x'\. Choose .*dataset\.map"):
        drawn(data)
    assert drawn(data, input_name="image").fingerprint == EXPECTED.fingerprint
    with pytest.raises(TypeError, match=r"'image', .* for the inputs; received the keys 'scan'"):
        drawn({"scan": IMAGES, "label": LABELS})
    assert drawn({"scan": IMAGES, "label": LABELS}, input_name="scan").input_name is None
    with pytest.raises(TypeError, match="for the labels; received the keys 'kind'"):
        drawn({"image": IMAGES, "kind": LABELS})
    with pytest.raises(ValueError, match="received several: 'label', 'y'"):
        drawn({"image": IMAGES, "label": LABELS, "y": LABELS})


def test_a_dict_of_inputs_in_a_dict():
    inputs = {"picture": IMAGES, "age": np.arange(COUNT)}
    probes = drawn({"inputs": inputs, "label": LABELS}, input_name="picture")
    assert probes.input_name == "picture"
    np.testing.assert_array_equal(probes.held["age"], probes.indices)


def test_lists_are_tuples_as_for_keras():
    assert drawn(iter([[IMAGES, LABELS]])).fingerprint == EXPECTED.fingerprint


# ---------------------------------------------------------------- several inputs


def test_a_list_of_arrays_is_several_inputs():
    users, items = np.arange(COUNT) // 3, np.arange(COUNT) // 3 + 100
    probes = drawn(([users, items], LABELS), kind="tokens", input_name=0)
    assert probes.images.shape == (6, 1)
    np.testing.assert_array_equal(probes.images[:, 0], probes.indices // 3)
    np.testing.assert_array_equal(probes.held[1], probes.indices // 3 + 100)  # stays (n,)
    both = drawn(([users, items], LABELS), kind="tokens")
    assert [*both.explained] == [0, 1]
    np.testing.assert_array_equal(both.images[:, 0], both.indices // 3)
    np.testing.assert_array_equal(both.other_inputs[1].images[:, 0], both.indices // 3 + 100)
    with pytest.warns(UserWarning, match="labels of several outputs, 0, 1: those of 0 are taken"):
        first = drawn((users, [LABELS, 2 - LABELS]), kind="tokens")
    assert (first.output, first.targets.tolist()) == (0, LABELS[first.indices].tolist())
    rows = [*np.eye(3)[LABELS]]
    with pytest.raises(TypeError, match=r"received several.*output=: 0, 1.*np\.stack\(labels\)"):
        drawn((users, rows), kind="tokens")


def test_a_single_input_in_a_dict_needs_no_name():
    for data in (stream({"scan": IMAGES}, LABELS).batch(5), ((IMAGES,), LABELS)):
        probes = drawn(data)
        assert probes.fingerprint == EXPECTED.fingerprint
        assert probes.input_name is None
    assert drawn(stream({"scan": IMAGES}, LABELS), input_name="scan").input_name == "scan"


def test_one_of_several_inputs_without_labels_is_named():
    ids = {"user": np.arange(COUNT), "film": np.arange(COUNT) + 5}
    for data in (Dataset.from_tensor_slices(ids).batch(4), ids):
        probes = drawn(data, input_name="user", kind="tokens")
        assert (probes.input_name, probes.targets) == ("user", None)
        np.testing.assert_array_equal(probes.held["film"], probes.images[:, 0] + 5)


def test_held_inputs_of_several_lengths():
    data = Dataset.from_generator(
        lambda: ((IMAGES[i], np.zeros(i % 2 + 1), LABELS[i]) for i in range(COUNT)),
        output_signature=(tf.TensorSpec((8, 6, 1)), tf.TensorSpec((None,)), tf.TensorSpec(())),
    ).map(lambda image, more, label: ({"a": image, "b": more}, label))
    with pytest.raises(ValueError, match=r"dataset, input 'b': .*\(1,\) and \(2,\)"):
        drawn(data, input_name="a")
    with pytest.raises(ValueError, match=r"one row of 'b' for each of 24 images, .*\(5, 1\)"):
        drawn(({"a": IMAGES, "b": np.zeros((5, 1))}, LABELS), input_name="a")


def test_a_batch_that_is_merged_into_one_graph():
    """As many labels as graphs, and features of all nodes and edges: lines that explain one."""
    nodes, edges, owner = np.zeros((6, 3)), np.zeros((9, 2)), np.array([0, 0, 0, 1, 1, 1])
    advice = r"\(features, \*others\), targets = next.*rows = model\(\[graph\[0\], \*others\]\)"
    with pytest.raises(ValueError, match=rf"one label for each of 6 rows.* received 2\..*{advice}"):
        drawn(((nodes, owner), np.array([1, 0])))
    with pytest.raises(ValueError, match=rf"one row of 1 for each of 6.*\(9, 2\)\..*{advice}"):
        drawn(((nodes, edges, owner), np.array([1, 0])))


# ---------------------------------------------------------------- several sizes


def sizes():
    return Dataset.from_generator(
        lambda: ((IMAGES[i, : 4 + i % 3], LABELS[i]) for i in range(COUNT)),
        output_signature=(tf.TensorSpec((None, 6, 1)), tf.TensorSpec((), tf.int64)),
    )


@pytest.mark.parametrize(
    "make",
    [
        sizes,
        lambda: sizes().batch(4),
        lambda: sizes().ragged_batch(4),
        lambda: ([IMAGES[0, :4], IMAGES[1, :5]], [0, 1]),
        lambda: iter([(IMAGES[:, :4], LABELS), (IMAGES[:, :5], LABELS)]),
        lambda: (np.array([IMAGES[0, :4], IMAGES[1, :5], None], object)[:2], [0, 1]),
    ],
)
def test_images_of_several_sizes(make):
    with pytest.raises(ValueError, match=r"^dataset: .*\(4, 6, 1\) and \(5, 6, 1\)") as refused:
        drawn(make())
    assert "Resize them: dataset.map(lambda x, y: (tf.image.resize(x, (height" in str(refused.value)
    assert len(str(refused.value)) < 200


def test_spectrograms_of_different_lengths():
    """Padded with zeros, also from one batch to the next; the model tells what they are."""
    rows = [np.full((length, 3), length, "float32") for length in (2, 4, 1, 3)]
    spec = tf.TensorSpec((None, 3), tf.float32)
    dataset = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=spec)
    probes = ProbeSet.from_dataset(dataset.padded_batch(2))
    assert isinstance(probes.kind, AssumedKind)
    assert probes.images.shape == (4, 4, 3, 1)
    expected = [[1, 0, 0, 0], [2, 2, 0, 0], [3, 3, 3, 0], [4, 4, 4, 4]]
    np.testing.assert_array_equal(sorted(probes.images[:, :, 0, 0].tolist()), expected)


def test_labels_of_several_sizes_are_not_called_images():
    data = Dataset.from_generator(
        lambda: ((IMAGES[i], ONE_HOT[i, : 2 + i % 2]) for i in range(COUNT)),
        output_signature=(tf.TensorSpec((8, 6, 1)), tf.TensorSpec((None,))),
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="Cannot batch tensors"):
        drawn(data.batch(4))


def test_ragged_batches_of_one_size():
    same = unknown_shapes(IMAGES, LABELS).ragged_batch(5)
    assert drawn(same).fingerprint == EXPECTED.fingerprint


def test_tokens_of_several_lengths():
    texts = tf.ragged.constant([[1, 2], [3]])
    batches = [stream(texts, [0, 1]).batch(size) for size in (1, 2)]
    for data in batches:
        found = ProbeSet.from_dataset(data, kind="tokens", per_class=1)
        assert found.images.tolist() == [[1, 2], [3, 0]]
    assert ProbeSet.from_dataset(batches[1], per_class=1).kind == "tokens"
    series = np.arange(12.0).reshape(3, 2, 2)
    two = iter([(series[:2], [0, 0]), (series[2:, :1], [1])])
    with pytest.warns(UserWarning, match="found fewer"):
        found = ProbeSet.from_dataset(two, kind="series", per_class=2)
    assert found.images[-1].tolist() == [[8, 9], [0, 0]]
    with pytest.raises(ValueError, match=r"images: .*\(2,\) and \(1,\)\. Cut or pad"):
        ProbeSet(texts, kind="tokens")


def test_sparse_inputs():
    tensor = tf.sparse.from_dense(np.eye(4))
    batches = stream(tensor, [0, 1, 0, 1]).batch(2)  # which TensorFlow makes dense
    assert drawn(batches, kind="features").images.sum(0).tolist() == [1] * 4
    for inputs in (tensor, scipy.sparse.csr_matrix(np.eye(4))):
        with pytest.raises(TypeError, match=r"dataset: .*dense.*\.toarray.*tf\.sparse\.to_dense"):
            drawn((inputs, [0, 1, 0, 1]), kind="features")
        with pytest.raises(TypeError, match="images: .*dense"):
            ProbeSet(inputs, kind="features")


@pytest.mark.parametrize(
    "make",
    [
        lambda text: (np.array(text), LABELS),
        lambda text: (np.array(text, object), LABELS),
        lambda text: (text, LABELS),
        lambda text: stream(text, LABELS),
        lambda text: stream(text, LABELS).batch(5),
        lambda text: stream([[one] for one in text], LABELS).batch(5),
    ],
)
def test_text(make):
    """One text for each input, as the model's TextVectorization takes it."""
    words = [f"word {i}" for i in range(COUNT)]
    probes = drawn(make(words))
    assert probes.kind == "tokens"
    assert probes.images[:, 0].tolist() == [words[i] for i in probes.indices]
    with pytest.raises(TypeError, match="dataset: expected numbers, received text"):
        drawn(make(words), kind="image")


def test_arrays_of_unequal_length():
    with pytest.raises(ValueError, match=r"dataset: .*shape \(24,\), received shape \(23,\)"):
        drawn((IMAGES, LABELS[1:]))


def test_a_segmentation_mask_is_a_label_image_unless_there_are_labels():
    """As in the Oxford pets of TensorFlow Datasets, whose masks have the values 1, 2 and 3."""
    label_images = (np.arange(COUNT)[:, None, None, None] % 3 + np.ones((1, 8, 6, 1))).astype(
        "uint8"
    )
    elements = {"image": IMAGES, "segmentation_mask": label_images, "species": LABELS}
    for data in (elements, tf.data.Dataset.from_tensor_slices(elements).batch(5)):
        probes = ProbeSet.from_dataset(data, per_class=2)
        assert probes.targets.tolist() == [1, 1, 2, 2, 3, 3]
        np.testing.assert_array_equal(probes.indices % 3 + 1, probes.targets)
        assert probes.masks.all()
    both = {**elements, "label": LABELS, "segmentation_mask": label_images == 1}
    probes = ProbeSet.from_dataset(both, per_class=2, masks="segmentation_mask")
    np.testing.assert_array_equal(probes.targets, LABELS[probes.indices])
    np.testing.assert_array_equal(probes.masks[:, 0, 0], probes.indices % 3 == 0)


# ---------------------------------------------------------------- labels that are no classes


@pytest.mark.parametrize("width", [1, 2])
def test_batches_of_series_with_a_number_for_each_step(width):
    """Inputs (8, 64, 1) and labels (8, 64, 2) are a batch, not an image with its label image."""
    rows = np.random.default_rng(0).random((COUNT, 6, 1), np.float32)
    labels = np.repeat(rows / 2, width, axis=-1)
    with pytest.warns(UserWarning, match="the probes have no targets"):
        probes = ProbeSet.from_dataset(stream(rows, labels).batch(8), per_class=COUNT)
    assert probes.targets is None
    order = np.argsort(probes.indices)
    np.testing.assert_array_equal(probes.images[order].reshape(rows.shape), rows)


def test_a_one_hot_row_for_each_step_is_no_label_image():
    """Points (6, 3) with three parts: labels of the shape of the inputs, and of no picture."""
    points = np.random.default_rng(0).random((COUNT, 6, 3), np.float32)
    parts = np.eye(3, dtype=np.float32)[np.arange(COUNT * 6).reshape(COUNT, 6) % 3]
    with pytest.warns(UserWarning, match="are classes for each position"):
        probes = ProbeSet.from_dataset(stream(points, parts).batch(8))
    assert probes.targets is None
    assert probes.masks is None


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (np.arange(COUNT * 5).reshape(COUNT, 5) % 7, "tokens"),
        (np.arange(COUNT * 15.0).reshape(COUNT, 5, 3), "series"),
        (np.arange(COUNT * 15.0).reshape(COUNT, 5, 3), None),
    ],
)
def test_zeros_and_ones_for_each_step_are_no_classes_of_the_whole(inputs, kind):
    """Tags of words, (n, 5) as the words, are no rows of five classes; one-hot rows are."""
    tags = (np.arange(COUNT * 5).reshape(COUNT, 5) % 3 == 0).astype(np.int64)
    with pytest.warns(UserWarning, match="may be classes 0 and 1 for each position, .* 5 names"):
        assert ProbeSet.from_dataset((inputs, tags), kind=kind).targets is None
    for wide in (tags[:, :4], np.eye(5, dtype=int)[np.arange(COUNT) % 5]):
        assert ProbeSet.from_dataset((inputs, wide), kind=kind).targets is not None


def test_names_of_classes_tell_that_rows_as_wide_as_the_inputs_are_classes():
    tokens = np.arange(COUNT * 4).reshape(COUNT, 4)
    has_genre = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], np.float32)
    labels = has_genre[np.arange(COUNT) % 3]
    probes = ProbeSet.from_dataset((tokens, labels), per_class=2, class_names=list("abcd"))
    assert probes.targets.tolist() == [0, 0, 1, 1, 3, 3]
    assert (probes.indices % 3).tolist() == [0, 0, 1, 1, 0, 0]
    with pytest.warns(UserWarning, match="no targets"):
        named = ProbeSet.from_dataset((tokens, labels), class_names=["other", "name"])
    assert named.targets is None
    with pytest.raises(TypeError, match="class_names: expected a list of strings"):
        ProbeSet.from_dataset((tokens, labels), class_names=4)


@pytest.mark.parametrize(
    "inputs",
    [
        np.array([f"a b {i}" for i in range(COUNT)])[:, None],
        np.arange(COUNT)[:, None],
        np.arange(COUNT * 3.0).reshape(COUNT, 1, 3),
    ],
)
def test_a_column_of_labels_is_never_of_steps(inputs):
    labels = (np.arange(COUNT) % 2).astype(np.float32)[:, None]
    for data in ((inputs, labels), tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(8)):
        probes = ProbeSet.from_dataset(data, per_class=3)
        assert probes.targets.tolist() == [0, 0, 0, 1, 1, 1]
        assert (probes.indices % 2).tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "labels",
    [
        np.random.default_rng(0).random((COUNT, 16, 12, 1)),  # larger images
        np.random.default_rng(0).random((COUNT, 9, 5)),  # anchors
        np.arange(COUNT * 35).reshape(COUNT, 5, 7) % 9,  # captions
    ],
)
def test_labels_of_other_shapes_than_the_images_are_no_classes(labels):
    with pytest.warns(UserWarning, match="the probes have no targets"):
        assert ProbeSet.from_dataset((COLOR, labels), per_class=3).targets is None


def test_a_dict_that_was_wrapped_twice():
    """What dataset.map(lambda *inputs: (inputs,)) makes of elements that are dicts."""
    dataset = Dataset.from_tensor_slices({"image": COLOR, "label": LABELS}).batch(8)
    probes = ProbeSet.from_dataset(dataset.map(lambda *inputs: (inputs,)), max_probes=COUNT)
    assert [*probes.explained] == ["image", "label"]
    assert probes.targets is None


class ShuffledByNumPy(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        order = np.random.permutation(COUNT)
        return COLOR[order], LABELS[order]


@pytest.mark.parametrize("is_global", [False, True])
def test_a_training_has_its_order_if_probes_are_drawn_as_the_docstring_says(is_global):
    """Not if they are drawn from the data set itself, which that pass has moved on."""

    def made():
        if is_global:
            return ShuffledByNumPy()
        return Dataset.from_tensor_slices((COLOR, LABELS)).shuffle(COUNT).batch(COUNT)

    def order(drawn_from=""):
        if drawn_from == "before":
            ProbeSet.from_dataset(made())
        keras.utils.set_random_seed(7)
        sources = {"training": made(), "validation": made(), "arrays": (COLOR, LABELS)}
        if drawn_from in sources:
            ProbeSet.from_dataset(sources[drawn_from])
        images, _ = next(iter(sources["training"]))
        return np.asarray(images)

    alone = order()
    same = {
        name
        for name in ("", "training", "validation", "arrays", "before")
        if np.array_equal(order(name), alone)
    }
    assert same == {"", "arrays", "before"} | ({"validation"} if not is_global else set())
