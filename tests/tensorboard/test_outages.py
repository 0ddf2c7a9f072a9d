"""What becomes of reports that cannot be written, and of a log that is removed meanwhile."""

import itertools
import resource
import shutil
import signal
import warnings

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event

import keras_saliency as ks
from keras_saliency.data.reports import Alert, Effect, InterventionResults, Verdict
from keras_saliency.detection.state import RunState
from keras_saliency.tensorboard.sink import MAX_PENDING, TensorBoardSink
from support.events import steps
from support.logs import report
from support.networks import probes


def at(step, **more):
    return report(np.full((6, 8, 8), 1.0 + step), step=step, metrics={"gini": 0.1 * step}, **more)


def steps_of(log_dir, run="saliency"):
    return [one.step for one in ks.read_log(log_dir)[run].reports]


@pytest.fixture
def outage(tmp_path):
    """A sink that cannot create its directory, as there is a file in its place."""
    sink = TensorBoardSink(tmp_path / "logs", probes())
    (tmp_path / "logs").write_text("")
    return sink


def refused(sink, *reports):
    for one in reports:
        with pytest.raises(OSError, match="logs"):
            sink.write(one)


# ---------------------------------------------------------------- reports wait


def test_what_could_not_be_written_is_written_later(outage, tmp_path):
    refused(outage, at(-1), at(0), at(1))
    assert outage.pending == (-1, 0, 1)
    (tmp_path / "logs").unlink()
    outage.write(at(2))
    assert outage.pending == ()
    log = ks.read_log(tmp_path / "logs")["saliency"]
    assert [one.step for one in log.reports] == [-1, 0, 1, 2]
    assert [one.metrics["gini"] for one in log.reports] == [-0.1, 0.0, 0.1, 0.2]
    assert [one.maps.max() for one in log.reports] == [0, 1, 2, 3]
    assert steps(tmp_path / "logs" / "saliency")["saliency/filmstrip"] == [-1, 0, 1]


def test_close_writes_what_waits(outage, tmp_path):
    refused(outage, at(0))
    (tmp_path / "logs").unlink()
    outage.close()
    assert steps_of(tmp_path / "logs") == [0]


def test_the_oldest_of_too_many_is_lost_and_that_is_said(outage, tmp_path):
    refused(outage, *map(at, range(MAX_PENDING)))
    for lost in (0, 1):
        with pytest.warns(
            UserWarning, match=f"results of step {lost} of saliency are lost: only 8 later"
        ):
            refused(outage, at(MAX_PENDING + lost))
    assert outage.pending == tuple(range(2, MAX_PENDING + 2))
    (tmp_path / "logs").unlink()
    outage.close()
    assert steps_of(tmp_path / "logs") == list(range(2, MAX_PENDING + 2))


def test_what_is_lost_at_the_end_is_said(outage, tmp_path):
    refused(outage, at(0), at(3))
    with pytest.raises(OSError, match="results of these steps are lost: 0, 3 .*logs"):
        outage.close()
    (tmp_path / "logs").unlink()
    outage.write(at(1))
    outage.close()
    assert steps_of(tmp_path / "logs") == [1]


def test_tests_of_a_step_that_waits_are_written_with_it(outage, tmp_path):
    refused(outage, at(0), examined(0))
    (tmp_path / "logs").unlink()
    outage.write(at(1))
    first, second = ks.read_log(tmp_path / "logs")["saliency"].reports
    assert len(first.interventions.effects) == 1
    assert second.interventions is None


def test_steps_do_not_go_back_while_they_wait(outage):
    refused(outage, at(3))
    with pytest.raises(ValueError, match="report: expected a step after 3"):
        outage.write(at(2))


# ---------------------------------------------------------------- a log that is removed


@pytest.mark.parametrize("remade", [False, True])
def test_a_directory_that_is_removed_is_noticed_and_made_again(remade, tmp_path):
    sink = TensorBoardSink(tmp_path / "logs", probes())
    sink.write(at(0))
    sink.write(at(1))
    shutil.rmtree(tmp_path / "logs")
    if remade:
        (tmp_path / "logs" / "saliency").mkdir(parents=True)
    with pytest.warns(UserWarning, match="was removed during training, .* before step 2"):
        sink.write(at(2))
    sink.write(at(3))
    sink.close()
    log = ks.read_log(tmp_path / "logs")["saliency"]  # with its probes and its configuration
    assert [one.step for one in log.reports] == [2, 3]
    assert log.probes.fingerprint == probes().fingerprint
    assert steps(tmp_path / "logs" / "saliency")["saliency/configuration"] == [2]


@pytest.mark.parametrize("replaced", [False, True])
def test_an_event_file_that_is_cut_or_replaced_is_noticed(replaced, tmp_path):
    sink = TensorBoardSink(tmp_path / "logs", probes())
    sink.write(at(0))
    (path,) = (tmp_path / "logs" / "saliency").glob("*tfevents*")
    if replaced:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 3])
    else:
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="was replaced or cut during training, .* before step 1"):
        sink.write(at(1))
    sink.write(at(2))
    sink.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file that was cut
        *_, log = ks.read_log(tmp_path / "logs").values()
    assert [one.step for one in log.reports][-2:] == [1, 2]


def test_a_directory_that_is_removed_after_the_last_step_is_noticed(tmp_path):
    sink = TensorBoardSink(tmp_path / "logs", probes())
    sink.write(at(0))
    shutil.rmtree(tmp_path / "logs")
    with pytest.raises(OSError, match="was removed, with all that was written"):
        sink.close()


def test_a_directory_that_is_removed_between_two_fits_is_made_again(tmp_path):
    sink = TensorBoardSink(tmp_path / "logs", probes())
    sink.write(at(0))
    sink.close()
    shutil.rmtree(tmp_path / "logs")
    sink.write(at(1))
    sink.close()
    log = ks.read_log(tmp_path / "logs")["saliency"]
    assert [one.step for one in log.reports] == [1]
    assert log.probes.fingerprint == probes().fingerprint


# ---------------------------------------------------------------- a process that dies


def examined(step, *alerts):
    """A report with a test, and alerts of these rules."""
    effect = Effect("border", effect=0.5, p_value=0.001, num_probes=6)
    verdict = Verdict(effect, 0.25, 0.001, 0.0, "fires", "", bool(alerts), "the border", 0.01)
    raised = tuple(
        Alert(
            *(level, step, rule, "sentence", "assumption", "remedy"),
            *(0.5, 0.5, 0.001, 0.0, 0.0, 6, None, None, ()),
        )
        for level, rule in alerts
    )
    results = InterventionResults((effect,), "", "accuracy", 10, "")
    return at(step, interventions=results, verdicts=(verdict,), alerts=raised)


@pytest.mark.parametrize("map_size", [64, None])
def test_a_step_that_a_dying_process_left_incomplete_is_written_again(map_size, tmp_path):
    """The event file is cut at every record of its last step."""
    pictures = ks.Pictures(map_size=map_size)
    settings = {"pictures": pictures, "subject": {"k": 1}}
    sink = TensorBoardSink(tmp_path / "whole", probes(), **settings)
    sink.write(at(0))
    sink.write(examined(1, ("warning", "border")))
    sink.close()
    (path,) = (tmp_path / "whole" / "saliency").iterdir()
    whole, expected = path.read_bytes(), steps(path.parent)
    ends = record_ends(whole)
    first = next(n for n, _ in enumerate(ends) if whole_steps(whole[: ends[n]])[-1] == 1)
    for number in range(first - 1, len(ends)):
        log_dir = tmp_path / f"cut_{number}"
        (log_dir / "saliency").mkdir(parents=True)
        (log_dir / "saliency" / path.name).write_bytes(whole[: ends[number]])
        resumed = TensorBoardSink(log_dir, probes(), **settings)
        resumed.write(examined(1, ("warning", "border")), again=True)
        resumed.close()
        assert resumed.run == "saliency"
        found = steps(log_dir / "saliency")
        assert {tag: [*dict.fromkeys(some)] for tag, some in found.items()} == expected
        if map_size:
            one, other = ks.read_log(log_dir)["saliency"].reports
            assert (one.step, other.step) == (0, 1)
            assert [alert.rule for alert in other.alerts] == ["border"]


def record_ends(content):
    """Where each record of an event file ends: 12 bytes, the data, 4 bytes."""
    ends, position = [], 0
    while position < len(content):
        position += 16 + int.from_bytes(content[position : position + 8], "little")
        ends.append(position)
    return ends


def whole_steps(content):
    """The step of each event."""
    ends = itertools.pairwise([0, *record_ends(content)])
    return [Event.FromString(content[start + 12 : end - 4]).step for start, end in ends]


def test_a_whole_step_is_not_written_again(tmp_path):
    sink = TensorBoardSink(tmp_path, probes())
    sink.write(examined(1, ("alert", "border")))
    sink.close()
    before = {tag: len(found) for tag, found in steps(tmp_path / "saliency").items()}
    sink.write(examined(1, ("alert", "border")), again=True)
    sink.write(at(2))
    sink.close()
    after = {tag: found.count(1) for tag, found in steps(tmp_path / "saliency").items()}
    assert {tag: after[tag] for tag in before} == before


def test_alerts_of_a_step_that_is_evaluated_again_join_the_earlier_ones(tmp_path):
    """A resumed training tests the state that the killed one had tested."""
    for alerts in ([("alert", "border")], [("warning", "border"), ("warning", "tint")]):
        sink = TensorBoardSink(tmp_path, probes(), subject={})
        sink.write(examined(1, *alerts), again=True)
        sink.close()
    (log,) = ks.read_log(tmp_path).values()
    found = [(alert.level, alert.rule) for alert in log.reports[0].alerts]
    assert found == [("alert", "border"), ("warning", "border"), ("warning", "tint")]


def test_tests_of_a_step_that_had_none_are_added(tmp_path):
    for one in (at(1), examined(1)):
        sink = TensorBoardSink(tmp_path, probes(), subject={})
        sink.write(one, again=True)
        sink.close()
    (log,) = ks.read_log(tmp_path).values()
    assert log.reports[0].interventions.passes == 10
    assert steps(tmp_path / "saliency")["saliency_log/reports"] == [1]


def test_a_directory_that_is_removed_during_an_outage_is_made_again(tmp_path):
    """As by a user who makes space on a full disk."""
    sink = TensorBoardSink(tmp_path / "logs", probes())
    sink.write(at(0))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
        refused(sink, at(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, handler)
    shutil.rmtree(tmp_path / "logs")
    with pytest.warns(UserWarning, match="was removed during training, .* before step 1"):
        sink.write(at(2))
    sink.close()
    assert steps_of(tmp_path / "logs") == [1, 2]


def test_a_step_that_an_overtaking_run_does_not_have_is_written(tmp_path):
    """Steps 0 and 2 are there; a training that resumes after step 1 writes that one."""
    sink = TensorBoardSink(tmp_path, probes(), subject={})
    sink.write(at(0))
    sink.save_state(0, RunState(targets=probes().targets))
    sink.write(at(2))
    sink.close()
    resumed = TensorBoardSink(tmp_path, probes(), subject={})
    assert resumed.resume(1) is not None
    resumed.write(at(1), again=True)
    resumed.close()
    assert resumed.run == "saliency"
    assert steps_of(tmp_path) == [0, 1, 2]
