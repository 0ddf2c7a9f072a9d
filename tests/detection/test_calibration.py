import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from keras_saliency.detection.calibration import QUANTILE, calibrate, checked_floors
from keras_saliency.detection.tests import TESTS


def checked(argument, floors):
    return checked_floors(argument, floors, TESTS)


NAN = math.nan


def history(steps, **effects):
    """A history, of which `effect_border` becomes `effect/border`."""
    return {"step": steps, "fit": [1] * len(steps)} | {
        name.replace("_", "/", 1): values for name, values in effects.items()
    }


# ---------------------------------------------------------------- calibrate


def test_a_floor_is_the_quantile_over_all_evaluations_of_all_runs():
    generator = np.random.default_rng(0)
    first, second, tint = (list(generator.random(size)) for size in (7, 40, 40))
    runs = [
        history(list(range(7)), effect_border=first),
        history(list(range(40)), effect_border=second, effect_tint=tint),
    ]
    expected = {
        "border": np.quantile(first + second, 0.99),
        "tint": np.quantile(tint, 0.99),
    }
    assert calibrate(runs) == pytest.approx(expected, abs=1e-6)


def test_a_floor_by_hand():
    """Of 0, 0.005 .. 0.5 the 99 % quantile is 0.495, whatever their order."""
    values = [float(value) / 200 for value in np.random.default_rng(0).permutation(101)]
    assert calibrate([history(list(range(101)), effect_border=values)]) == {"border": 0.495}


def test_the_state_before_training_and_what_was_not_tested_do_not_count():
    steps = [-1, 0, 1, 2, 3]
    runs = [
        history(steps, effect_border=[9.0, 0.1, NAN, 0.3, math.inf], effect_tint=[1.0] + [NAN] * 4)
    ]
    assert calibrate(runs) == {"border": pytest.approx(0.1 + 0.99 * 0.2)}


def test_only_effects_count():
    columns = {
        "gini": [0.5, 0.6],
        "p_value/border": [0.5, 0.6],
        "flip/border": [0.5, 0.6],
        "mine": [0.5, 0.6],
        "effect/region/top/left": [0.2, 0.2],
        "effect/groups": [0.3, 0.3],
    }
    floors = calibrate([{"step": [0, 1], **columns}])
    assert floors == {"region/top/left": 0.2, "groups": 0.3}


def test_callbacks_are_as_good_as_their_histories():
    columns = history([0, 1], effect_border=[0.1, 0.2])
    assert calibrate([SimpleNamespace(history=columns)]) == calibrate([columns])


def test_a_history_that_was_kept_as_json():
    columns = history([-1, 0, 1], effect_border=[0.4, NAN, 0.2])
    assert calibrate([json.loads(json.dumps(columns))]) == {"border": 0.2}


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["string", "path"])
def test_a_file_gives_back_what_was_written(tmp_path, kind):
    path = kind(tmp_path / "null.json")
    runs = [history([0, 1, 2], effect_border=[0.1, 0.2, 1 / 3], **{"effect_region/a": [0.5] * 3})]
    floors = calibrate(runs * 3, path)
    assert checked("floors", path) == floors
    written = json.loads((tmp_path / "null.json").read_text("utf-8"))
    assert written == {"format": 1, "quantile": QUANTILE, "runs": 3, "floors": floors}


@pytest.mark.parametrize(
    ("runs", "error", "message"),
    [
        ([], ValueError, "runs: .*at least one run with interventions, received 0 runs without"),
        ([history([0, 1])], ValueError, "received 1 run without.*interventions='auto'"),
        (
            [history([-1, 0], effect_border=[0.5, NAN])] * 2,
            ValueError,
            "received 2 runs without.*probes of at least two classes",
        ),
        ([{"effect/border": [0.1]}], TypeError, "runs: expected SaliencyCallbacks.*received dict"),
        ([7], TypeError, "runs: .*received int"),
        ([SimpleNamespace(history=[1, 2])], TypeError, "runs: .*received SimpleNamespace"),
        (["null.json"], TypeError, "runs: .*received str"),
        (history([0], effect_border=[0.5]), TypeError, "runs: expected a list of runs.*dict"),
        (
            SimpleNamespace(history=history([0], effect_border=[0.5])),
            TypeError,
            "runs: expected a list of runs, received SimpleNamespace",
        ),
    ],
)
def test_runs_refused(runs, error, message, tmp_path):
    with pytest.raises(error, match=message):
        calibrate(runs, tmp_path / "null.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("effects", "floor"),
    [
        ([-0.02, -0.01, -0.03], 0.0),
        ([0.5, 1.5, 2.5], 1.0),
        ([-1e-9, -1e-9], 0.0),
        ([0.25, 0.25], 0.25),
    ],
)
def test_what_good_runs_give_is_accepted_as_floors(tmp_path, effects, floor):
    """Effects slightly below 0, and in units of the score above 1."""
    runs = [history([0, 1, 2][: len(effects)], effect_border=effects)]
    floors = calibrate(runs, tmp_path / "floors.json")
    assert floors == {"border": floor}
    assert checked("floors", tmp_path / "floors.json") == {"border": floor}
    assert checked("floors", floors) == {"border": floor}
    assert math.copysign(1, floors["border"]) == 1  # not -0.0


# ---------------------------------------------------------------- baselines


def test_floors_as_a_dict():
    assert checked("floors", None) == {}
    assert checked("floors", {}) == {}
    floors = checked("floors", {"border": 1, "region/anything": 0.25})
    assert floors == {"border": 1.0, "region/anything": 0.25}
    assert all(type(floor) is float for floor in floors.values())


def test_the_floors_are_a_copy():
    mine = {"border": 0.5}
    floors = checked("floors", mine)
    mine["border"] = 0.0
    assert floors == {"border": 0.5}


@pytest.mark.parametrize(
    "floors", [{"border": "0.5"}, {"border": True}, {3: 0.5}, [0.5], 0.5, True]
)
def test_what_is_no_baseline(floors):
    with pytest.raises(
        TypeError, match="floors: expected a dict .*by keras_saliency.calibrate.*received"
    ):
        checked("floors", floors)


def test_a_floor_of_an_unknown_test():
    with pytest.raises(ValueError, match=f"tests of {', '.join(TESTS)}, received 'vignette/x'"):
        checked("floors", {"border": 0.5, "vignette/x": 0.5})


@pytest.mark.parametrize("floor", [NAN, -0.01, 1.01, math.inf, -math.inf])
def test_a_floor_that_no_effect_can_be_held_against(floor):
    with pytest.raises(ValueError, match=f"floors: .* from 0 to 1, received {floor} for 'tint'"):
        checked("floors", {"border": 0.5, "tint": floor})
    with pytest.raises(ValueError, match=f"floors: .* from 0 to 1, received {floor} for 'tint'"):
        checked("floors", {"border": 0.5, "tint": floor})


def test_the_ends_are_floors():
    assert checked("floors", {"border": 0, "tint": 1}) == {"border": 0.0, "tint": 1.0}


GOOD = {"format": 1, "quantile": 0.99, "runs": 1, "floors": {"border": 0.3}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{not json", "JSONDecodeError"),
        (json.dumps({**GOOD, "format": 2}), "its format is 2, not 1"),
        (json.dumps({"format": 1}), "KeyError.*floors"),
        (json.dumps({"floors": {}}), "KeyError.*format"),
        (json.dumps([1, 2]), "TypeError"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
    ],
)
def test_a_file_that_is_no_baseline(tmp_path, content, reason):
    path = tmp_path / "null.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"(?s)calibrate, received '.*null.json': .*{reason}"):
        checked("floors", path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="floors: .*received '.*none.json': FileNotFoundError"):
        checked("floors", str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="IsADirectoryError"):
        checked("floors", tmp_path)


def test_a_file_with_wrong_floors(tmp_path):
    path = tmp_path / "null.json"
    path.write_text(json.dumps({**GOOD, "floors": {"border": "high"}}))
    with pytest.raises(TypeError, match="floors: expected"):
        checked("floors", path)
    path.write_text(json.dumps({**GOOD, "floors": {"vignette": 0.3}}))
    with pytest.raises(ValueError, match="received 'vignette'"):
        checked("floors", path)
    path.write_text(json.dumps(GOOD))
    assert checked("floors", path) == {"border": 0.3}
