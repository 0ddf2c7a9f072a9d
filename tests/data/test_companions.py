"""Masks, regions, groups and names that are drawn along, and the positions of what is drawn."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import ProbeSet

COUNT = 20
NUMBERS = np.arange(COUNT)
IMAGES = np.broadcast_to(NUMBERS.astype(np.float32)[:, None, None, None], (COUNT, 4, 5, 1))
LABELS = NUMBERS % 2
MASKS = (NUMBERS[:, None, None] >> np.arange(5)) % 2 * np.ones((1, 4, 1), int) > 0
"""Column i of mask n is bit i of n."""
GROUPS = NUMBERS // 5
NAMES = [f"image {number}" for number in NUMBERS]
BORDER = np.pad(np.zeros((2, 3), bool), 1, constant_values=True)
REGIONS = {"border": BORDER, "bits": MASKS}


def stream(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


class Two:
    """A PyDataset of two batches, as far as it matters here."""

    num_batches = 2

    def __getitem__(self, index):
        return IMAGES[index * 10 :][:10], LABELS[index * 10 :][:10]


def check(probes, count=6):
    numbers = probes.images[:, 0, 0, 0].astype(int)
    assert len(numbers) == count
    assert probes.indices.tolist() == numbers.tolist()
    assert probes.indices.dtype == np.int64
    np.testing.assert_array_equal(probes.masks, MASKS[numbers])
    np.testing.assert_array_equal(probes.regions["bits"], MASKS[numbers])
    np.testing.assert_array_equal(probes.groups, GROUPS[numbers])
    assert probes.names == tuple(f"image {number}" for number in numbers)


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES, LABELS),
        stream(IMAGES, LABELS),
        stream(IMAGES, LABELS).batch(3).prefetch(1),
        stream(IMAGES, LABELS).shuffle(1, reshuffle_each_iteration=False),
        Two(),
    ],
)
def test_arrays_in_the_order_of_the_data_set(data):
    probes = ProbeSet.from_dataset(
        data, per_class=3, masks=MASKS, groups=GROUPS, names=NAMES, regions=REGIONS
    )
    check(probes)
    assert probes.regions["border"].tolist() == [BORDER.tolist()] * 6
    assert list(probes.regions) == ["border", "bits"]


ELEMENTS = {
    "image": IMAGES,
    "label": LABELS,
    "where": MASKS,
    "site": GROUPS,
    "file": NAMES,
}
KEYS = {"masks": "where", "groups": "site", "names": "file", "regions": {"bits": "where"}}


@pytest.mark.parametrize(
    "data",
    [
        ELEMENTS,
        tf.data.Dataset.from_tensor_slices(ELEMENTS),
        tf.data.Dataset.from_tensor_slices(ELEMENTS).batch(3),
        stream({name: ELEMENTS[name] for name in ELEMENTS if name != "label"}, LABELS).batch(3),
    ],
)
def test_keys_of_the_elements(data):
    probes = ProbeSet.from_dataset(data, per_class=3, **KEYS)
    check(probes)
    assert dict(probes.held) == {}
    assert probes.input_name is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
@pytest.mark.parametrize("inside", [1, 255])
@pytest.mark.parametrize("axis", [(), (1,)])
def test_masks_by_key_may_be_stored_as_numbers(dtype, inside, axis):
    stored = (MASKS * np.float32(inside)).astype(dtype).reshape(*MASKS.shape, *axis)
    for data in (
        {**ELEMENTS, "where": stored},
        tf.data.Dataset.from_tensor_slices({**ELEMENTS, "where": stored}).batch(3),
    ):
        check(ProbeSet.from_dataset(data, per_class=3, **KEYS))


@pytest.mark.parametrize(
    ("values", "received"),
    [
        (MASKS * 2, "dtype int64 with values from 0 to 2"),
        (MASKS * np.float32(0.5), "dtype float32 with values from 0 to 0.5"),
        (np.where(MASKS, 255, 1), "dtype int64 with values from 1 to 255"),
        (MASKS.astype(str), "dtype <U5"),
    ],
)
def test_masks_by_key_with_other_values(values, received):
    data = {**ELEMENTS, "where": values}
    with pytest.raises(TypeError) as raised:
        ProbeSet.from_dataset(data, masks="where")
    assert f"received 'where', {received}. Say which values are inside" in str(raised.value)
    said = re.search(r"dataset\.map\((.*)\)\.$", str(raised.value))[1]
    mapped = eval(said)({**data, "where": np.where(MASKS, 1, 2)})
    check(ProbeSet.from_dataset(mapped, per_class=3, **KEYS))
    with pytest.raises(TypeError, match="^masks: expected dtype bool .*pass mask > 0"):
        ProbeSet.from_dataset(ELEMENTS, masks=MASKS.astype(np.uint8))


def test_keys_go_with_images_that_are_shuffled():
    data = tf.data.Dataset.from_tensor_slices({**ELEMENTS, "number": NUMBERS}).shuffle(COUNT)
    probes = ProbeSet.from_dataset(data.batch(3), per_class=3, masks="where", groups="number")
    np.testing.assert_array_equal(probes.groups, probes.images[:, 0, 0, 0])
    np.testing.assert_array_equal(probes.masks, MASKS[probes.groups])


def test_groups_may_be_strings():
    names = np.array(["north", "south"])[LABELS]
    for groups, data in (
        (names, (IMAGES, LABELS)),
        (names[:, None], (IMAGES, LABELS)),
        ([*names], (IMAGES, LABELS)),
        ("site", tf.data.Dataset.from_tensor_slices({**ELEMENTS, "site": names}).batch(3)),
    ):
        probes = ProbeSet.from_dataset(data, per_class=1, groups=groups)
        assert probes.groups.tolist() == ["north", "south"]


def test_of_equal_images_the_first_is_drawn():
    images = np.concatenate([IMAGES[:4], IMAGES[:4]])
    for order in (slice(None), slice(None, None, -1)):
        groups = np.arange(8)[order]
        probes = ProbeSet.from_dataset(
            (images[order], np.tile([0, 1, 0, 1], 2)[order]), per_class=2, groups=groups
        )
        assert {*probes.indices} == {0, 1, 2, 3}
        np.testing.assert_array_equal(probes.groups, groups[probes.indices])


@pytest.mark.parametrize(
    ("data", "settings", "error", "says"),
    [
        ((IMAGES, LABELS), {"groups": [1, 2]}, ValueError, r"groups: .*the 20 images .*\(2,\)"),
        ((IMAGES, LABELS), {"masks": MASKS[0]}, ValueError, r"masks: .*20 images .*\(4, 5\)"),
        ((IMAGES, LABELS), {"names": ["a"]}, ValueError, "names: .*one row for each"),
        ((IMAGES, LABELS), {"regions": {"a": MASKS[:3]}}, ValueError, r"regions\['a'\]: .*20"),
        ((IMAGES, LABELS), {"regions": MASKS}, TypeError, "regions: expected a dict.*ndarray"),
        ((IMAGES, LABELS), {"masks": "m"}, ValueError, "masks: .*'m'.*a tuple.*dataset.map"),
        (ELEMENTS, {"groups": "m"}, ValueError, "groups: .*'m'.*the keys 'image', 'label'"),
        (stream(IMAGES, LABELS).shuffle(9), {"masks": MASKS}, ValueError, "masks: .*masks='key'"),
        (
            stream(IMAGES, LABELS).shuffle(9).batch(4),
            {"regions": {"a": MASKS}},
            ValueError,
            r"regions\['a'\]: .*fixed order",
        ),
        ((IMAGES, LABELS), {"masks": MASKS.astype(int)}, TypeError, "masks: .*bool"),
        ((IMAGES, LABELS), {"vocabulary": ["a"]}, ValueError, "vocabulary: .*kind='image'"),
        ((IMAGES, LABELS), {"max_probes": 0}, ValueError, "max_probes: .*positive"),
        ((IMAGES, LABELS), {"max_probes": None}, TypeError, "max_probes: .*positive integer"),
    ],
)
def test_refused(data, settings, error, says):
    with pytest.raises(error, match=says):
        ProbeSet.from_dataset(data, per_class=1, **settings)


def test_a_region_for_all_images_does_not_need_an_order():
    data = stream(IMAGES, LABELS).shuffle(9).batch(4)
    probes = ProbeSet.from_dataset(data, per_class=1, regions={"border": BORDER})
    assert probes.regions["border"].tolist() == [BORDER.tolist()] * 2


def test_vocabulary_is_passed_on():
    tokens = np.arange(8).reshape(4, 2)
    probes = ProbeSet.from_dataset(
        (tokens, [0, 1, 0, 1]), per_class=2, kind="tokens", vocabulary=list("abcdefgh")
    )
    assert probes.vocabulary == tuple("abcdefgh")


# ---------------------------------------------------------------- positions


def test_positions_are_kept_and_are_no_part_of_the_fingerprint():
    probes = ProbeSet.from_dataset((IMAGES, LABELS), per_class=3)
    for other in (
        dataclasses.replace(probes, groups=[0] * 6),
        pickle.loads(pickle.dumps(probes)),
    ):
        assert other.indices.tolist() == probes.indices.tolist()
        with pytest.raises(ValueError, match="read-only"):
            other.indices[0] = 1
    without = ProbeSet(probes.images, probes.targets)
    assert without.indices is None
    assert without.fingerprint == probes.fingerprint


@pytest.mark.parametrize(
    ("indices", "error", "says"),
    [
        ([0, 1], ValueError, r"indices: .*\(20,\), received shape \(2,\).*indices=None"),
        (NUMBERS * 1.0, TypeError, "indices: .*integers.*float64"),
        (NUMBERS - 1, ValueError, "indices: .*0 or more, received -1"),
    ],
)
def test_positions_refused(indices, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(IMAGES, indices=indices)
