"""The state of a run beside its event files: what is read back is what was written."""

import json

import numpy as np
import pytest

from keras_saliency.data.probes import ProbeSet
from keras_saliency.detection.alerts import Streak
from keras_saliency.detection.evaluations import Evaluation
from keras_saliency.detection.state import EPOCH, RunState
from keras_saliency.log.states import KEPT, SavedState, read_state, write_state
from keras_saliency.metrics.catalog import reference
from support.logs import report


def evaluation(maps, step):
    one = report(maps, step=step, scores=np.array([0.5, step]))
    return Evaluation.of(one, reference(one, ProbeSet(np.zeros((2, 3, 3, 1)))), {})


def state_at(step):
    """One whose latest report is of this step, with maps of its own, and the same start."""
    one = RunState(targets=np.zeros(2, int))
    for number in dict.fromkeys((-1, step - 1, step)):
        one.record(evaluation(np.full((2, 3, 3), 2.0 + number), number), EPOCH, False)
    one.streaks["border"] = Streak(fired=step)
    return one


def saved(step):
    return SavedState(step, {"method": "gradient"}, state_at(step))


@pytest.fixture(params=["local", "remote"])
def run(request, tmp_path):
    return tmp_path if request.param == "local" else f"ram:/{tmp_path}"


def test_the_latest_state_is_read_back(run):
    for step in range(1, 5):
        write_state(run, saved(step))
    found = read_state(run)
    assert (found.step, found.subject) == (4, {"method": "gradient"})
    assert found.state.streaks == {"border": Streak(fired=4)}
    steps = [one.step for one in (found.state.start, found.state.earlier[EPOCH])]
    assert steps == [-1, 3]
    latest = found.state.latest[EPOCH]
    for number, is_same in ((6.0, True), (5.0, False)):
        other = report(np.full((2, 3, 3), number), scores=np.array([0.5, 4]))
        assert latest.is_same_state(other) == is_same
    content, arrays = found.state.to_json()
    expected, expected_arrays = state_at(4).to_json()
    assert json.dumps(content) == json.dumps(expected)
    assert arrays.keys() == expected_arrays.keys()


def test_a_training_that_is_one_step_behind_finds_its_state(run):
    for step in range(1, 6):
        write_state(run, saved(step))
    assert KEPT == 2
    assert [read_state(run, at_most=n).step for n in (4, 5, 9)] == [4, 5, 5]
    assert read_state(run, at_most=3) is None


def test_what_a_resumed_training_overtakes_is_removed(tmp_path):
    for step in (1, 2, 3, 4):
        write_state(tmp_path, saved(step))
    write_state(tmp_path, saved(3))
    names = {path.name for path in (tmp_path / "state").iterdir()}
    assert {name for name in names if name.endswith("json")} == {"3.json"}
    needed = {f"{name}.npy" for name in state_at(3).to_json()[1]}
    assert names == {"3.json", *needed}


def test_arrays_are_written_once_and_removed_when_nothing_needs_them(tmp_path):
    times = {}
    for step in range(1, 6):
        write_state(tmp_path, saved(step))
        for path in (tmp_path / "state").glob("*.npy"):
            assert times.setdefault(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
    left = {path.stem for path in (tmp_path / "state").glob("*.npy")}
    assert left == {*state_at(4).to_json()[1], *state_at(5).to_json()[1]}


@pytest.mark.parametrize(
    "damage", ["", "{", '{"step": 1}', "[" * 100_000, "null", '{"content": 3}']
)
def test_a_state_that_cannot_be_read_is_none(damage, tmp_path):
    write_state(tmp_path, saved(1))
    (tmp_path / "state" / "1.json").write_text(damage)
    assert read_state(tmp_path) is None


def test_a_state_without_its_arrays_is_none(tmp_path):
    write_state(tmp_path, saved(1))
    next((tmp_path / "state").glob("*.npy")).write_bytes(b"\x93NUMPY")
    assert read_state(tmp_path) is None
    for path in (tmp_path / "state").glob("*.npy"):
        path.unlink()
    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "nowhere") is None


@pytest.mark.parametrize("damage", ["", "{", '{"step": 1}', "null"])
def test_a_damaged_state_does_not_keep_the_next_one_from_being_written(damage, tmp_path):
    write_state(tmp_path, saved(1))
    (tmp_path / "state" / "1.json").write_text(damage)
    write_state(tmp_path, saved(2))
    assert read_state(tmp_path).step == 2
    assert read_state(tmp_path, at_most=1) is None


def test_if_the_latest_state_is_damaged_the_one_before_is_read(tmp_path):
    for step in (1, 2):
        write_state(tmp_path, saved(step))
    (tmp_path / "state" / "2.json").write_text("")
    assert read_state(tmp_path).step == 1
