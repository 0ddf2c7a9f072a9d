"""Frozen records: nothing in them can be changed, also not after pickling and copying."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from keras_saliency import ProbeSet, SaliencyReport
from keras_saliency.data.read_only import ReadOnlyDict
from keras_saliency.data.reports import Example
from keras_saliency.log.decoder import Log
from keras_saliency.log.logged_probes import LoggedProbes

IMAGES = np.arange(24, dtype=np.float32).reshape(4, 3, 2, 1)
CORNER = np.array([[1, 0], [0, 0], [0, 0]], bool)


def probes(**changes):
    """With every field that can hold an array."""
    given = {
        "images": IMAGES,
        "targets": [0, 1, 0, 1],
        "masks": IMAGES[..., 0] > 5,
        "regions": {"corner": CORNER, "own": IMAGES[..., 0] > 7},
        "groups": ["a", "b", "a", "b"],
        "held": {"age": np.arange(4.0)},
        "input_name": "image",
    }
    return ProbeSet(**(given | changes))


def report():
    maps = IMAGES[..., 0] * 1
    return SaliencyReport(
        step=0,
        maps=maps,
        targets=np.zeros(4, int),
        predictions=np.zeros(4, int),
        confidences=np.ones(4),
        scores=np.ones(4),
        gradient_norms=np.ones(4),
        metrics={"gini": 0.5},
        signed_maps=-maps,
        others={"smoothgrad": maps * 2},
    )


def logged():
    return LoggedProbes(
        names=("a",),
        targets=np.zeros(1, int),
        class_names=None,
        groups=None,
        kind="image",
        fingerprint="",
        shape=(3, 2),
        pictures=np.zeros((1, 3, 2, 3), np.uint8),
        masks=None,
        regions={"corner": CORNER[np.newaxis].copy()},
        places=None,
        ink=None,
    )


RECORDS = {
    "probes": probes(),
    "report": report(),
    "example": Example(0, 1, IMAGES[0].copy(), 0, 1),
    "logged": logged(),
    "log": Log("run", "epoch", {"method": "gradient"}, logged(), (report(),), ()),
}


def pickled(record):
    return pickle.loads(pickle.dumps(record))


def out_of_band(record):
    buffers = []
    content = pickle.dumps(record, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(content, buffers=[bytearray(buffer) for buffer in buffers])


WAYS = {
    "itself": lambda record: record,
    "pickled": pickled,
    "pickled by protocol 0": lambda record: pickle.loads(pickle.dumps(record, protocol=0)),
    "pickled out of band": out_of_band,
    "copied": copy.copy,
    "deep-copied": copy.deepcopy,
    "replaced": dataclasses.replace,
}


def values(record):
    """All that a record's fields hold, and what is in its mappings."""
    for value in vars(record).values():
        yield value
        if isinstance(value, Mapping):
            yield from value.values()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RECORDS)
def test_arrays_and_mappings_are_read_only(name, way):
    record = WAYS[way](RECORDS[name])
    assert type(record) is type(RECORDS[name])
    arrays = [value for value in values(record) if isinstance(value, np.ndarray)]
    mappings = [value for value in values(record) if isinstance(value, Mapping)]
    assert arrays or mappings
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    for mapping in mappings:
        with pytest.raises(TypeError, match="read-only"):
            mapping["x"] = "no mask"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RECORDS)
def test_a_copy_holds_the_same_values(name, way):
    record, read = RECORDS[name], WAYS[way](RECORDS[name])
    for field in dataclasses.fields(record):
        kept, found = getattr(record, field.name), getattr(read, field.name)
        if not isinstance(kept, LoggedProbes) and field.name != "reports":
            assert type(found) is type(kept)
            np.testing.assert_equal(found, kept)


@pytest.mark.parametrize("way", WAYS)
def test_probes_stay_what_they_are(way):
    read = WAYS[way](probes())
    assert read.fingerprint == probes().fingerprint
    assert list(read.regions) == ["corner", "own"]
    assert read.regions["corner"].shape == (4, 3, 2)
    named = dataclasses.replace(read, targets=[1, 1, 0, 0], class_names=["x", "y"])
    assert named.names == ("000 y", "001 y", "002 x", "003 x")  # nobody gave them: made anew
    own = WAYS[way](dataclasses.replace(read, names=list("abcd")))
    assert dataclasses.replace(own, targets=[1, 1, 0, 0]).names == ("a", "b", "c", "d")


def test_the_dict_that_was_given_can_still_be_changed():
    regions, metrics = {"corner": CORNER}, {"gini": 0.5}
    kept = probes(regions=regions)
    of_report = dataclasses.replace(report(), metrics=metrics)
    regions["x"], metrics["x"] = CORNER, 1.0
    assert list(kept.regions) == ["corner"]
    assert dict(of_report.metrics) == {"gini": 0.5}


CHANGES = {
    "set": lambda d: d.__setitem__("a", 2),
    "delete": lambda d: d.__delitem__("a"),
    "in-place or": lambda d: d.__ior__({"b": 2}),
    "update": lambda d: d.update(b=2),
    "setdefault": lambda d: d.setdefault("b", 2),
    "pop": lambda d: d.pop("a"),
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_read_only_dict_refuses_every_change(change):
    kept = ReadOnlyDict({"a": 1})
    with pytest.raises(
        TypeError, match=r"This dict is read-only. Change a copy of it: dict\(...\)"
    ):
        CHANGES[change](kept)
    assert kept == {"a": 1}


def test_every_method_that_changes_a_dict_is_refused():
    """The methods of dict that ReadOnlyDict leaves as they are change nothing."""
    reading = {"copy", "fromkeys", "get", "items", "keys", "values"}
    public = {name for name in vars(dict) if name[0] != "_"}
    assert public - {*vars(ReadOnlyDict)} == reading


def test_a_read_only_dict_reads_as_a_dict():
    kept = ReadOnlyDict(b=1, a=2)
    assert (kept["a"], kept.get("c"), [*kept], len(kept)) == (2, None, ["b", "a"], 2)
    assert (repr(kept), json.dumps(kept)) == ("{'b': 1, 'a': 2}", '{"b": 1, "a": 2}')
    for changeable in (dict(kept), kept | {}, kept.copy(), {**kept}):
        changeable["c"] = 3
        assert changeable == {"b": 1, "a": 2, "c": 3}
    assert kept == {"b": 1, "a": 2}
