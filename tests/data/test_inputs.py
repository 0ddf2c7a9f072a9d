"""The kinds of input, and the inputs that are held beside the one that is explained."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import ProbeSet
from keras_saliency.data.inputs import KINDS, has_channels, map_axes

SHAPES = {
    "image": (3, 4, 5, 2),
    "series": (3, 4, 2),
    "volume": (3, 4, 5, 6, 2),
    "features": (3, 4),
    "tokens": (3, 4),
}


def values(kind):
    return np.arange(np.prod(SHAPES[kind])).reshape(SHAPES[kind]) / (1 if kind == "tokens" else 2)


def probes(kind, **settings):
    images = values(kind)
    return ProbeSet(
        images.astype(int) if kind == "tokens" else images, [0, 1, 0], kind=kind, **settings
    )


@pytest.mark.parametrize("kind", KINDS)
def test_masks_have_the_shape_of_a_map(kind):
    shape = SHAPES[kind][:-1] if has_channels(kind) else SHAPES[kind]
    assert len(map_axes(kind)) + 1 == len(shape)
    mask = np.ones(shape, bool)
    given = probes(kind, masks=mask, regions={"all": mask[0]})
    np.testing.assert_array_equal(given.masks, mask)
    np.testing.assert_array_equal(given.regions["all"], mask)
    with pytest.raises(ValueError, match=r"masks: expected shape"):
        probes(kind, masks=np.ones((*shape, 1), bool))


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("image", "volume", r"rank 4.*pass kind='volume'\."),
        ("image", "features", r"rank 4.*pass kind='features' or 'tokens'\."),
        ("series", "image", r"rank 3, \(num_probes, steps, channels\).*pass kind='image'\."),
        ("features", "series", r"rank 2, \(num_probes, features\)"),
    ],
)
def test_another_rank_than_the_kind_has(kind, given, says):
    with pytest.raises(ValueError, match=says):
        ProbeSet(values(given), kind=kind)


def test_kinds_and_formats_that_are_not_there():
    with pytest.raises(ValueError, match="kind: expected one of 'image', 'series'"):
        ProbeSet(values("image"), kind="picture")
    with pytest.raises(ValueError, match="data_format: expected one of 'channels_last'"):
        ProbeSet(values("image"), data_format="NCHW")
    with pytest.raises(TypeError, match="images: expected integers as tokens, received.*float64"):
        ProbeSet(values("features"), kind="tokens")
    with pytest.raises(ValueError, match="vocabulary: expected None for kind='image'"):
        probes("image", vocabulary=["a"])
    assert probes("tokens", vocabulary=["", "a"]).vocabulary == ("", "a")


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"held": [1]}, TypeError, "held: expected a dict"),
        ({"held": {"age": [1, 2, 3]}}, ValueError, "input_name: expected the name.*'age'"),
        ({"input_name": "p", "held": {0: [1, 2, 3]}}, TypeError, "names .strings. or positions"),
        ({"input_name": True}, TypeError, "names .strings. or positions"),
        ({"input_name": "p", "held": {"p": [1, 2, 3]}}, ValueError, "'p' is an input to explain"),
        (
            {"input_name": 0, "held": {2: [1, 2, 3]}},
            ValueError,
            r"each of the positions 0\.\.1 once",
        ),
        (
            {"input_name": "p", "held": {"age": [1, 2]}},
            ValueError,
            r"held\['age'\]: .*\(3, \.\.\.\)",
        ),
        ({"input_name": "p", "held": {"age": [1, np.nan, 2]}}, ValueError, "finite numbers"),
        ({"input_name": "p", "held": {"age": 1}}, ValueError, r"held\['age'\]: .*shape \(\)"),
        ({"input_name": "p", "held": {"age": [None] * 3}}, TypeError, r"held\['age'\]: .*object"),
    ],
)
def test_held_inputs_that_are_refused(settings, error, says):
    with pytest.raises(error, match=says):
        probes("image", **settings)


def test_held_strings_may_come_as_objects():
    for words in (["a", "bc", "d"], tf.constant(["a", "bc", "d"]).numpy()):
        given = probes("image", input_name="p", held={"word": np.array(words, object)})
        assert given.held["word"].dtype.kind in "US"
        assert given.held["word"].astype(str).tolist() == ["a", "bc", "d"]


def test_held_inputs_are_part_of_the_probes():
    ages = np.array([1.0, 2.0, 3.0])
    given = probes("image", input_name="picture", held={"age": ages})
    ages[0] = 7
    assert given.held["age"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        given.held["age"][0] = 7
    other = dataclasses.replace(given, held={"age": [1.0, 2.0, 4.0]})
    assert given.fingerprint != other.fingerprint
    assert copy.deepcopy(given) is given  # there is nothing in it that could change


@pytest.mark.parametrize("kind", ["series", "volume", "features", "tokens"])
@pytest.mark.parametrize("batched", [True, False])
def test_other_kinds_are_drawn_from_data_sets(kind, batched):
    given = probes(kind)
    labels = np.array([1, 0, 1])
    data = tf.data.Dataset.from_tensor_slices((given.images, labels))
    data = data.batch(2) if batched else data
    with pytest.warns(UserWarning, match="fewer different inputs"):
        drawn = ProbeSet.from_dataset(data, per_class=2, kind=kind)
    assert drawn.targets.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(drawn.images[0], given.images[1])
    np.testing.assert_array_equal(np.sort(drawn.images[1:, ..., 0], 0), given.images[::2, ..., 0])
    assert drawn.kind == kind


def test_data_sets_of_another_kind():
    given = values("series"), np.array([0, 1, 0])
    with pytest.raises(ValueError, match=r"dataset: expected images .*pass kind='series'\."):
        ProbeSet.from_dataset(given, data_format="channels_last", kind="image")
    with pytest.raises(ValueError, match=r"dataset: expected features .*\(3, 4, 2\)"):
        ProbeSet.from_dataset(given, kind="features")
    with pytest.raises(ValueError, match="input_name='age' and a single input"):
        ProbeSet.from_dataset(given, kind="series", input_name="age")
    with pytest.warns(UserWarning, match="found fewer"):
        both = ProbeSet.from_dataset(((given[0], given[0]), given[1]), kind="series")
    assert (both.kind, [*both.explained]) == ("series", [0, 1])


# ---------------------------------------------------------------- what fit takes, too


def test_gray_images_are_stored_with_a_channel_axis():
    gray = np.arange(24.0).reshape(2, 3, 4)
    masks = gray > 3
    for images in (gray, gray.tolist(), [*gray]):
        given = ProbeSet(images, [0, 1], masks=masks, regions={"all": masks[1]})
        np.testing.assert_array_equal(given.images, gray[..., None])
        assert given.data_format == "no_channels"
        assert given.map_shape == (2, 3, 4)
    assert ProbeSet(gray[..., None]).data_format == "channels_last"
    asked = ProbeSet(gray[..., None], data_format="no_channels")
    assert asked.data_format == "no_channels"
    for other in (
        dataclasses.replace(given, targets=[1, 1]),
        dataclasses.replace(given, images=gray + 1),
        pickle.loads(pickle.dumps(given)),
    ):
        assert other.data_format == "no_channels"
        assert other.images.shape == (2, 3, 4, 1)


@pytest.mark.parametrize(
    ("shape", "settings", "says"),
    [
        (
            (2, 3, 4, 3),
            {"data_format": "no_channels"},
            r"gray images.*\(2, 3, 4, 3\).*channels_last",
        ),
        (
            (2, 3, 4),
            {"data_format": "channels_last"},
            r"rank 4.*'no_channels', not 'channels_last'",
        ),
        ((2, 3, 4), {"data_format": "channels_first"}, "'no_channels', not 'channels_first'"),
        ((2, 3, 4), {"data_format": "no_channels", "kind": "series"}, "for kind='series'"),
        ((0, 3, 4), {}, r"at least one probe, received shape \(0, 3, 4, 1\)"),
    ],
)
def test_gray_images_refused(shape, settings, says):
    with pytest.raises(ValueError, match=says):
        ProbeSet(np.zeros(shape), **settings)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16"])
def test_images_of_any_dtype(dtype):
    images = (np.arange(24).reshape(2, 3, 4, 1) % 3).astype(dtype)
    given = ProbeSet(images)
    assert given.images.dtype == dtype
    np.testing.assert_array_equal(given.images, images)


@pytest.mark.parametrize("kind", ["features", "tokens"])
def test_one_value_per_probe_is_a_column(kind):
    given = ProbeSet([3, 1, 2], [[0], [1], [0]], kind=kind, held={1: [7, 8, 9]}, input_name=0)
    assert given.images.tolist() == [[3], [1], [2]]
    assert given.targets.tolist() == [0, 1, 0]
    assert given.held[1].tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match=r"at least one probe, received shape \(0, 1\)"):
        ProbeSet(np.zeros(0, int), kind=kind)


def test_a_list_of_columns_is_not_stacked():
    columns = [np.arange(4), np.arange(4)]
    for kind in ("features", "tokens"):
        with pytest.raises(ValueError, match=r"a list of 2 arrays.*held={1: second}.*np\.stack"):
            ProbeSet(columns, kind=kind)
    assert ProbeSet([[0, 1, 2, 3], [4, 5, 6, 7]], kind="tokens").images.shape == (2, 4)


def test_a_long_list_of_images_of_several_sizes_gets_a_short_message():
    images = [np.zeros((4, 4, 3))] * 5000 + [np.zeros((5, 4, 3))] * 5000
    with pytest.raises(ValueError, match=r"\(4, 4, 3\) and \(5, 4, 3\)\. Resize") as refused:
        ProbeSet(images)
    assert len(str(refused.value)) < 200
    objects = np.empty(2, object)
    objects[:] = [np.ones((4, 4, 3)), np.zeros((4, 4, 3))]
    assert ProbeSet(objects).images.mean((1, 2, 3)).tolist() == [1, 0]
