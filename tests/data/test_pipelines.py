"""What data sets tell of themselves: class names, order, and an end."""

import itertools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import ProbeSet
from keras_saliency.data import pipelines

Dataset = tf.data.Dataset
IMAGES = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None, None], (12, 2, 2, 1))
LABELS = np.arange(12) % 3


def stream(names=("x", "y", "z")):
    data = Dataset.from_tensor_slices((IMAGES, LABELS))
    data.class_names = [*names]
    return data


def names_of(dataset):
    return pipelines.class_names(dataset, {0, 1, 2})


def test_class_names_are_found_behind_steps_that_keep_labels():
    steps = stream().cache().shuffle(5).skip(0).repeat(1).filter(lambda x, y: y < 9).shard(1, 0)
    steps = steps.batch(4).unbatch().padded_batch(4).rebatch(3).with_options(tf.data.Options())
    steps = steps.take(9).prefetch(1).apply(tf.data.experimental.assert_cardinality(4))
    assert names_of(steps) == ["x", "y", "z"]
    assert pipelines.step_that_lost_names(steps) == ""
    assert ProbeSet.from_dataset(steps).class_names == ("x", "y", "z")
    assert ProbeSet.from_dataset(steps, class_names=["a", "b", "c"]).class_names == tuple("abc")
    assert names_of(stream().concatenate(stream()).take(9)) == ["x", "y", "z"]


def named_pairs(data):
    return data.map(lambda x, y: (x, 1 - y))


@pytest.mark.parametrize(
    ("step", "data"),
    [
        ("map", named_pairs(stream()).batch(4).prefetch(1)),
        ("map", stream().map(lambda x, y: (x, 1 - y), num_parallel_calls=2)),
        ("map", named_pairs(named_pairs(stream().batch(3)))),
        ("flat_map", stream().flat_map(lambda x, y: Dataset.from_tensors((x, 1 - y)))),
        ("zip", Dataset.zip((stream().map(lambda x, y: x), Dataset.range(12)))),
        ("map", named_pairs(stream()).concatenate(stream())),
    ],
)
def test_class_names_behind_a_step_that_may_change_labels_are_not_used(step, data):
    """The labels 0 and 1 are swapped: the names would be wrong, though the same classes occur."""
    assert pipelines.class_names(data, {0, 1, 2}) is None
    assert pipelines.step_that_lost_names(data) == step


def test_a_hint_tells_of_class_names_that_are_not_used():
    data = named_pairs(stream().filter(lambda x, y: y < 2)).batch(4)
    hint = "^class_names: the names of the classes were lost by map, .*pass class_names=.$"
    with pytest.warns(UserWarning, match=hint) as caught:
        probes = ProbeSet.from_dataset(data)
    assert len(caught) == 1
    assert probes.class_names is None
    assert probes.names[0] == "000 class 0"
    assert ProbeSet.from_dataset(data, class_names=["y", "x"]).names[0] == "000 y"


def test_class_names_that_may_be_wrong_are_left_out():
    unnamed = Dataset.from_tensor_slices((IMAGES, LABELS))
    for data in (stream().concatenate(stream("abc")), stream().concatenate(unnamed), unnamed):
        assert names_of(data.take(9)) is None
        assert pipelines.step_that_lost_names(data) == ""
    assert pipelines.step_that_lost_names(named_pairs(unnamed)) == ""
    assert pipelines.class_names(stream().take(2), {0, 1}) == ["x", "y", "z"]
    assert pipelines.class_names(stream().take(9), {0, 3}) is None


def test_positions_in_a_data_set_that_is_shuffled_in_each_pass_mean_nothing():
    fixed = stream().shuffle(12, seed=1, reshuffle_each_iteration=False).batch(4)
    order = np.concatenate([x[:, 0, 0, 0] for x, _ in fixed.as_numpy_iterator()])
    probes = ProbeSet.from_dataset(fixed, per_class=2)
    np.testing.assert_array_equal(order[probes.indices], probes.images[:, 0, 0, 0])
    again = ProbeSet.from_dataset(stream().shuffle(12).batch(4), per_class=2)
    assert again.indices is None
    assert again.fingerprint == probes.fingerprint


def test_class_names_of_a_directory(tmp_path):
    for name, value in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        for index in range(3):
            image = np.full((4, 4, 3), value, np.uint8)
            image[0, 0] = index * 50
            keras.utils.save_img(tmp_path / name / f"{index}.png", image, scale=False)
    data = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(4, 4), batch_size=4, verbose=False
    )
    probes = ProbeSet.from_dataset(data.prefetch(1), per_class=3)
    assert probes.class_names == ("cat", "dog")
    assert probes.images[:, 3, 3, 0].tolist() == [0] * 3 + [255] * 3


def test_class_indices_of_an_iterator():
    data = types.SimpleNamespace(class_indices={"dog": 1, "cat": 0})
    assert pipelines.class_names(data, {0, 1}) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("data", "is_shuffled"),
    [
        (stream().shuffle(3), True),
        (stream().shuffle(3).map(lambda x, y: (x, y)).batch(2), True),
        (Dataset.zip((stream().shuffle(3), stream())), True),
        (stream().shuffle(3, reshuffle_each_iteration=False).batch(2), False),
        (stream().batch(2), False),
        ((IMAGES, LABELS), False),
        (types.SimpleNamespace(shuffle=True), True),
        (types.SimpleNamespace(shuffle=False), False),
    ],
)
def test_which_data_sets_are_shuffled(data, is_shuffled):
    assert pipelines.shuffles(data) is is_shuffled


def endless():
    """Ten images of a batch are new in each batch."""
    for start in itertools.count():
        yield IMAGES[:10] + start % 1000, LABELS[:10]


def endless_pipeline():
    return Dataset.from_generator(
        endless,
        output_signature=(tf.TensorSpec((None, 2, 2, 1)), tf.TensorSpec((None,), tf.int64)),
    )


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return IMAGES[:10] + index % 1000, LABELS[:10]


class WithLength(Endless):
    def __len__(self):
        return 2


class Short(Endless):
    def __getitem__(self, index):
        if index > 2:
            raise IndexError(index)
        return super().__getitem__(index)


def test_which_data_sets_have_a_known_end():
    known = [(IMAGES, LABELS), stream(), stream().repeat(2), endless_pipeline().take(3)]
    known += [WithLength(), {"x": IMAGES, "y": LABELS}]
    assert all(map(pipelines.has_known_end, known))
    unknown = [endless_pipeline(), stream().filter(lambda *_: True), endless(), Endless()]
    assert not any(map(pipelines.has_known_end, unknown))
    for data in (stream().repeat(), endless_pipeline().repeat()):
        with pytest.raises(ValueError, match=r"dataset: .*finite.*endless.*take\(n\)"):
            ProbeSet.from_dataset(data)


@pytest.mark.parametrize("make", [endless, Endless])
def test_reading_stops_where_no_end_is_told(make):
    with pytest.warns(UserWarning, match=r"read 100,000 images and stopped.*dataset\.take\(n\)"):
        probes = ProbeSet.from_dataset(make(), per_class=2)
    assert len(probes) == 6
    assert probes.indices.max() < 100_000


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: endless_pipeline().unbatch(), marks=[pytest.mark.slow, pytest.mark.gate]
        ),
        lambda: single_images(),
    ],
)
def test_reading_stops_after_fewer_images_if_they_come_one_by_one(make):
    with pytest.warns(UserWarning, match="read 20,000 images and stopped"):
        probes = ProbeSet.from_dataset(make(), per_class=2)
    assert len(probes) == 6


def single_images():
    for images, labels in endless():
        yield from zip(images, labels, strict=True)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: itertools.islice(endless(), 3), 3),
        (lambda: endless_pipeline().take(3), 3),
        (WithLength, 2),
        (Short, 3),
    ],
)
def test_data_sets_that_end(make, count):
    probes = ProbeSet.from_dataset(make(), per_class=5)
    expected = np.concatenate([IMAGES[:10] + start for start in range(count)])
    labels = np.concatenate([LABELS[:10]] * count)
    assert probes.fingerprint == ProbeSet.from_dataset((expected, labels), per_class=5).fingerprint


def test_errors_of_a_data_set_are_its_own():
    class Broken(WithLength):
        def __getitem__(self, index):
            raise IndexError("mine")

    with pytest.raises(IndexError, match="mine"):
        ProbeSet.from_dataset(Broken())
    bad = stream().map(lambda x, y: (tf.debugging.check_numerics(x / 0.0, "mine"), y))
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"):
        ProbeSet.from_dataset(bad)
