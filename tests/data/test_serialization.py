"""Records as JSON and back: every record of a report, through `json` itself."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest

from keras_saliency.data import reports
from keras_saliency.data.reports import (
    Alert,
    Array,
    Effect,
    Example,
    InterventionResults,
    SaliencyReport,
    Verdict,
    Window,
)
from keras_saliency.data.serialization import from_json, put, to_json

EXAMPLE = Example(
    3, 1, np.array([[[0.1], [np.nan]]], np.float32), prediction=-1, same_class_prediction=2
)
EFFECT = Effect(
    "hot_window",
    effect=0.1 + 0.2,
    p_value=5e-324,
    control=math.nan,
    num_probes=12,
    window=Window(top=0, left=1, height=2, width=3),
    target=0,
    support="outside of your masks",
    explained_by="region/µ",
    examples=(EXAMPLE, EXAMPLE),
)
VERDICT = Verdict(EFFECT, 0.2, 1.0, math.nan, "fires", "", active=True)
ALERT = Alert(
    level="alert",
    step=-1,
    rule="border",
    sentence='He said "no", 50 µm.',
    assumption="",
    advice="",
    effect=0.5,
    flip=-1.0,
    p_value=1e-4,
    control=math.nan,
    start=0.0,
    num_probes=12,
    window=None,
    target=None,
    examples=(EXAMPLE,),
    explains=("tint", "border"),
    withdrawn=3,
    place=np.eye(3, 5, dtype=bool),
)
REPORT = SaliencyReport(
    step=7,
    maps=np.arange(12, dtype=np.float32).reshape(1, 3, 4) / 7,
    targets=np.array([2], np.int32),
    predictions=np.array([-1]),
    confidences=np.array([np.nan], np.float16),
    scores=np.array([1 / 3]),
    gradient_norms=np.zeros(1, ">f4"),
    metrics={"gini": math.nan, "magnitude": 1e300},
    others={"smoothgrad": np.zeros((0, 3, 4), np.float32)},
    interventions=InterventionResults((EFFECT, Effect("tint")), "", "accuracy", 512, "note"),
    verdicts=(VERDICT,),
    alerts=(ALERT, ALERT),
)
RECORDS = (
    EXAMPLE,
    EFFECT,
    Effect("border", untestable="too few probes"),
    InterventionResults((), "hardly better than chance", "score", 0, ""),
    VERDICT,
    ALERT,
    REPORT,
    dataclasses.replace(REPORT, signed_maps=-REPORT.maps, interventions=None, verdicts=()),
)


def through_json(record, **how):
    return json.loads(json.dumps(to_json(record, **how), allow_nan=False))


def assert_same(read, kept):
    """The same types and values, down to the bits of floats and the dtypes of arrays."""
    assert type(read) is type(kept)
    if dataclasses.is_dataclass(kept):
        for field in dataclasses.fields(kept):
            assert_same(getattr(read, field.name), getattr(kept, field.name))
    elif isinstance(kept, np.ndarray):
        assert read.dtype == kept.dtype
        np.testing.assert_array_equal(read, kept, strict=True)
    elif isinstance(kept, tuple):
        assert len(read) == len(kept)
        for pair in zip(read, kept, strict=True):
            assert_same(*pair)
    elif isinstance(kept, Mapping):
        assert list(read) == list(kept)
        for name in kept:
            assert_same(read[name], kept[name])
    else:
        assert repr(read) == repr(kept)  # so that nan is nan, and 0.0 is not -0.0


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_json_as_it_was(record):
    assert_same(from_json(type(record), through_json(record)), record)


def test_every_record_of_a_report_is_among_the_cases():
    classes = {kind for kind in vars(reports).values() if dataclasses.is_dataclass(kind)}
    assert {type(record) for record in RECORDS} == classes


def test_json_of_an_effect_by_hand():
    assert to_json(Effect("border", effect=np.float64(0.25), window=Window(1, 2, 3, 4))) == {
        "test": "border",
        "effect": 0.25,
        **dict.fromkeys(
            ("p_value", "flip", "keep", "control", "margin_p_value", "control_p_value", "bound")
        ),
        "num_probes": 0,
        "num_donors": 0,
        "window": [1, 2, 3, 4],
        "target": None,
        "support": "",
        "explained_by": "",
        "untestable": "",
        "place": None,
        "examples": [],
    }


def test_json_of_an_array_by_hand():
    assert to_json(EXAMPLE)["image"] == {
        "dtype": "<f4",
        "shape": [1, 2, 1],
        "values": [0.10000000149011612, None],
    }


def test_fields_are_left_out_at_every_depth():
    row = through_json(VERDICT, leave_out=["examples", "reason"])
    kept = {"effect", "floor", "p_value", "start", "status", "active", "subject", "alpha"}
    kept |= {"withdrawn"}
    assert row.keys() == kept
    assert "examples" not in row["effect"]
    read = from_json(Verdict, row, reason="said later")
    assert (read.reason, read.effect.examples) == ("said later", ())
    assert read.effect.window == Window(0, 1, 2, 3)


def test_more_fields_win_over_the_row_which_need_not_be_readable_there():
    row = through_json(VERDICT) | {"effect": 0.3}  # as a findings header has it
    assert from_json(Verdict, row, effect=EFFECT).effect is EFFECT


def test_unknown_names_are_ignored_and_missing_ones_take_their_defaults():
    read = from_json(Effect, {"test": "tint", "subject": "the tint", "effect": 1})
    assert (read.test, read.num_probes, read.window) == ("tint", 0, None)
    assert type(read.effect) is float
    assert math.isnan(read.p_value)


def test_infinite_numbers_become_nan():
    row = through_json(Effect("tint", effect=math.inf, flip=-math.inf))
    assert (row["effect"], row["flip"]) == (None, None)
    assert math.isnan(from_json(Effect, row).effect)


class Pair(NamedTuple):
    low: float
    name: str


@dataclasses.dataclass(frozen=True)
class Nested:
    pairs: tuple[Pair, ...]
    by_name: Mapping[str, tuple[int, float]]
    flags: Array | None = None


def test_nested_named_tuples_mappings_and_flags_come_back():
    record = Nested(
        (Pair(math.nan, "a"), Pair(2.0, "b")),
        {"x": (1, math.nan)},
        np.array([[True], [False]]),
    )
    assert_same(from_json(Nested, through_json(record)), record)


@pytest.mark.parametrize(
    ("cls", "row", "message"),
    [
        (Effect, {"test": 3}, "Effect.test: expected str, received 3"),
        (
            Effect,
            {"test": "tint", "effect": "0.5"},
            "Effect.effect: expected float, received '0.5'",
        ),
        (Effect, {"test": "tint", "effect": True}, "Effect.effect: expected float, received True"),
        (
            Effect,
            {"test": "tint", "num_probes": 2.0},
            "Effect.num_probes: expected int, received 2.0",
        ),
        (Effect, {"test": "tint", "num_probes": None}, "num_probes: expected int, received None"),
        (Effect, {"test": "tint", "window": [0, 0, 1, 1.5]}, "window: expected int, received 1.5"),
        (Effect, {"test": "tint", "window": 3}, "Effect.window: expected Window, received 3"),
        (Effect, {"test": "tint", "examples": {}}, "Effect.examples: expected tuple"),
        (Effect, {"effect": 1.0}, "test"),
        (Effect, [1.0], r"Effect: expected values by field name, received \[1.0\]"),
        (Nested, {"pairs": [], "by_name": [1]}, "Nested.by_name: expected Mapping"),
        (Nested, {"pairs": [], "by_name": {}, "flags": [1]}, "Nested.flags: expected ndarray"),
    ],
)
def test_a_value_of_another_type_is_refused(cls, row, message):
    with pytest.raises(TypeError, match=message):
        from_json(cls, row)


@pytest.mark.parametrize(
    "row",
    [
        {"test": "tint", "window": [0, 0, 1]},
        {"test": "tint", "window": [0, 0, 1, 1, 1]},
        {
            "test": "tint",
            "examples": [to_json(EXAMPLE) | {"image": to_json(EXAMPLE)["image"] | {"shape": [3]}}],
        },
    ],
)
def test_a_list_of_another_length_is_refused(row):
    with pytest.raises(ValueError, match="argument 2|reshape"):
        from_json(Effect, row)


@pytest.mark.parametrize("value", [object(), {1: 2}, {1}, np.array([1j]), np.array([None])])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(TypeError, match="expected values that JSON can hold"):
        to_json(dataclasses.replace(EFFECT, untestable=value))


@pytest.mark.parametrize("value", [{"effect": 1}, Effect])
def test_what_is_not_a_record_is_refused(value):
    with pytest.raises(TypeError, match="expected a dataclass instance"):
        to_json(value)


# ---------------------------------------------------------------- arrays by their hashes


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype="float32").reshape(2, 3), np.array([["a", "bc"]]), np.zeros((0, 4))],
)
def test_an_array_is_named_by_its_type_shape_and_bytes(array):
    arrays = {}
    content = f"{array.dtype.str}{array.shape}".encode() + array.tobytes()
    expected = hashlib.blake2b(content, digest_size=16).hexdigest()
    frozen, turned = array.copy(), np.asfortranarray(array)
    frozen.setflags(write=False)
    assert {put(one, arrays) for one in (array, frozen, frozen, turned)} == {expected}
    assert [*arrays] == [expected]


def test_the_hash_of_a_read_only_array_is_computed_once_and_that_of_another_each_time():
    array = np.zeros(3)
    frozen = array.view()
    frozen.setflags(write=False)
    before = put(array, {})
    assert put(frozen, {}) == before
    array[0] = 1
    assert put(array, {}) != before
    assert put(frozen, {}) == before  # nobody changes what a frozen record holds
    frozen = frozen.view()  # another array, perhaps at the place of the one before
    assert put(frozen, {}) == put(array, {}) != before
