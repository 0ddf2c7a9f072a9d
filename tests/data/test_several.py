"""A dict of inputs: which of them have a map, of what kind, and how columns become one table."""

import dataclasses
import pickle

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.inputs import default_kind
from keras_saliency.data.several import pieces

RNG = np.random.default_rng(0)
PICTURES = RNG.random((4, 5, 6, 3), "float32")
AGES = np.array([30, 40, 50, 60])
SITES = RNG.random((4, 2), "float32")
LABELS = [0, 1, 1, 0]


def test_each_kind_of_input_has_a_map_and_columns_share_one():
    inputs = {
        "site": SITES,
        "picture": PICTURES,
        "age": AGES,
        "words": np.arange(12).reshape(4, 3),
        "scan": RNG.random((4, 2, 3, 4, 1)),
        "name": np.array(["a", "b", "c", "d"]),
    }
    probes = ProbeSet(inputs, LABELS, groups=["n", "s", "n", "s"])
    assert {name: one.kind for name, one in probes.explained.items()} == {
        "table": "features",
        "picture": "image",
        "words": "tokens",
        "scan": "volume",
    }
    np.testing.assert_array_equal(probes.images, np.column_stack([SITES, AGES]).astype(np.float32))
    assert probes.images.dtype == np.float32
    assert probes.input_name == ("site", "site", "age")
    assert probes.feature_names == ("site[0]", "site[1]", "age")
    assert probes.held["name"].tolist() == ["a", "b", "c", "d"]
    picture = probes.other_inputs["picture"]
    np.testing.assert_array_equal(picture.images, PICTURES)
    assert picture.input_name == "picture"
    for name in ("names", "targets", "groups"):
        assert getattr(picture, name) is getattr(probes, name)


def test_a_single_input_of_features_keeps_its_name():
    probes = ProbeSet({"picture": PICTURES, "site": SITES}, LABELS)
    site = probes.other_inputs["site"]
    assert (site.input_name, site.feature_names) == ("site", ("site[0]", "site[1]"))
    np.testing.assert_array_equal(site.images, SITES)


def test_a_table_is_double_precision_if_a_column_is():
    assert ProbeSet({"a": AGES, "b": SITES.astype(np.float64)}).images.dtype == np.float64


def test_columns_have_the_names_of_their_inputs():
    table = np.column_stack([SITES, AGES])
    probes = ProbeSet(table, LABELS, input_name=("site", "site", "age"))
    assert probes.feature_names == ("site[0]", "site[1]", "age")
    assert probes.with_columns(np.array([False, True, True])).feature_names == ("site[1]", "age")


def test_kinds_and_names_can_be_told():
    probes = ProbeSet(
        {"series": RNG.random((4, 7, 2)), "x": RNG.random((4, 3))},
        kind={"series": "series"},
        held={"extra": AGES},
    )
    assert (probes.kind, probes.other_inputs["x"].kind) == ("series", "features")
    named = ProbeSet({"a": AGES, "b": SITES}, feature_names=["age", "north", "south"])
    assert named.feature_names == ("age", "north", "south")
    later = ProbeSet({"picture": PICTURES, "b": SITES}, feature_names=["north", "south"])
    assert later.other_inputs["b"].feature_names == ("north", "south")
    assert later.feature_names is None
    ids = ProbeSet({"user": AGES, "film": AGES + 1}, kind="tokens")
    assert {name: one.images.shape for name, one in ids.explained.items()} == {
        "user": (4, 1),
        "film": (4, 1),
    }


def test_tokens_have_one_vocabulary_or_each_its_own():
    ids = {"number": AGES.astype(float), "a": np.zeros((4, 2), int), "b": np.ones((4, 3), int)}

    def vocabularies(vocabulary):
        explained = ProbeSet(ids, LABELS, vocabulary=vocabulary).explained
        return {name: one.vocabulary for name, one in explained.items()}

    both = ("", "x")
    assert vocabularies(["", "x"]) == {"number": None, "a": both, "b": both}
    own = vocabularies({"a": ["", "x"], "b": ["", "y"]})
    assert own == {"number": None, "a": ("", "x"), "b": ("", "y")}
    assert vocabularies({"b": ["", "y"]}) == {"number": None, "a": None, "b": ("", "y")}
    with pytest.raises(ValueError, match="names of inputs that are tokens, 'a', 'b', received 'c'"):
        vocabularies({"c": ["x"]})


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((4,), float, "features"),
        ((4,), int, "features"),
        ((4, 1), int, "features"),
        ((4, 3), float, "features"),
        ((4, 3), bool, "features"),
        ((4, 3), "uint8", "tokens"),
        ((4, 3, 3), int, "image"),
        ((4, 3, 3, 1), float, "image"),
        ((4, 2, 3, 3, 1), float, "volume"),
    ],
)
def test_the_kind_is_found_by_rank_and_dtype(shape, dtype, kind):
    array = np.ones(shape, dtype)
    assert default_kind(array) == default_kind(array.tolist()) == ProbeSet(array).kind == kind


def test_columns_of_each_input():
    assert pieces(("a", "b", "b", "c")) == {
        "a": slice(0, 1),
        "b": slice(1, 3),
        "c": slice(3, 4),
    }


def test_copies_are_equal(tmp_path):
    probes = ProbeSet(
        {"age": AGES, "site": SITES, "picture": PICTURES, "note": np.array(list("abcd"))}, LABELS
    )
    probes.save(tmp_path / "probes.npz")
    copies = [
        ProbeSet.load(tmp_path / "probes.npz"),
        pickle.loads(pickle.dumps(probes)),
        dataclasses.replace(probes),
    ]
    for copy in copies:
        assert copy.fingerprint == probes.fingerprint
        assert (copy.input_name, copy.feature_names) == (probes.input_name, probes.feature_names)
        np.testing.assert_array_equal(copy.other_inputs["picture"].images, PICTURES)
        assert copy.other_inputs["picture"].names == probes.names
    changed = dataclasses.replace(probes, targets=[1, 1, 1, 1])
    assert changed.other_inputs["picture"].targets.tolist() == [1, 1, 1, 1]
    assert changed.other_inputs["picture"].names[0] == "000 class 1"
    other = {"age": AGES, "site": SITES, "picture": PICTURES + 1, "note": np.array(list("abcd"))}
    assert ProbeSet(other, LABELS).fingerprint != probes.fingerprint


INNER = ProbeSet(PICTURES)


@pytest.mark.parametrize(
    ("images", "settings", "error", "says"),
    [
        ({}, {}, ValueError, "images: .*at least one input with numbers, received an empty dict"),
        ({"a": np.array(list("abcd"))}, {}, ValueError, "at least one input with numbers.*'a'"),
        ({"a": AGES}, {"kind": {"b": "image"}}, ValueError, "kind: .*'a', received 'b'"),
        ({"a": AGES}, {"kind": {"a": "picture"}}, ValueError, r"kind\['a'\]: .*'picture'"),
        ({"a": AGES, "b": AGES[:3]}, {}, ValueError, r"same number.*'a': \(4,\), 'b': \(3,\)"),
        ({"a": AGES, "b": PICTURES[:3]}, {}, ValueError, r"other_inputs\['b'\]: .*4.*received 3"),
        ({"a": AGES}, {"input_name": "a"}, ValueError, "input_name: expected None for a dict"),
        ({"a": AGES}, {"held": {"a": AGES}}, ValueError, "held: 'a' is an input to explain"),
        ({"a": AGES, 1: PICTURES}, {}, TypeError, "names .*or positions"),
        ({"a": 3.0}, {}, ValueError, r"images\['a'\]: expected one row per probe"),
        (
            {"a": AGES, "b": np.array([1, 2, np.nan, 4])},
            {},
            ValueError,
            r"images\['b'\]: .*nan or infinity in probe 2 .*np.nan_to_num\(images\['b'\]\)",
        ),
        ({"a": AGES, "b": PICTURES}, {"vocabulary": ["x"]}, ValueError, "vocabulary: .*None"),
        (
            [PICTURES, SITES],
            {},
            ValueError,
            r"list of 2 arrays \(shapes \(4, 5, 6, 3\), \(4, 2\)\).*ProbeSet\({0: first, 1:",
        ),
        (
            (AGES, AGES, AGES),
            {},
            ValueError,
            r"tuple of 3 arrays \(shapes \(4,\), \(4,\), \.\.\.\)",
        ),
        (AGES, {"feature_names": ["a", "b"]}, ValueError, "feature_names: expected 1 .*received 2"),
        (SITES, {"feature_names": ["a", "a"]}, ValueError, "'a' more than once"),
        (PICTURES, {"feature_names": ["a"]}, ValueError, "feature_names: .*kind='image'"),
        ({"p": PICTURES}, {"feature_names": ["a"]}, ValueError, "feature_names: .*'p': 'image'"),
        (
            {"p": PICTURES, "b": SITES},
            {"feature_names": ["a"]},
            ValueError,
            "feature_names: expected 2 .*received 1",
        ),
        (SITES, {"input_name": ("a",)}, ValueError, "a name for each column.*1 names"),
        (RNG.random((4, 3)), {"input_name": ("a", "b", "a")}, ValueError, "side by side"),
        (AGES, {"other_inputs": {"b": INNER}}, ValueError, "input_name: .*other inputs.*'b'"),
        (AGES, {"other_inputs": [INNER]}, TypeError, "other_inputs: .*dict.*received list"),
        (
            AGES,
            {"input_name": "a", "other_inputs": {"b": PICTURES}},
            TypeError,
            r"other_inputs\['b'\]: expected a ProbeSet.*pass a dict of all inputs",
        ),
        (
            AGES,
            {"input_name": "a", "other_inputs": {"a": INNER}},
            ValueError,
            "each input once, received 'a' twice",
        ),
        (
            AGES,
            {
                "input_name": "a",
                "other_inputs": {"b": ProbeSet(PICTURES, input_name="b", held={"c": AGES})},
            },
            ValueError,
            r"other_inputs\['b'\]: expected a ProbeSet of one input",
        ),
    ],
)
def test_what_is_refused(images, settings, error, says):
    with pytest.raises(error, match=says):
        ProbeSet(images, LABELS, **settings)
