"""What is written behind the training: nothing is lost, and what goes wrong is said."""

import dataclasses
import shutil
import signal
import threading

import keras
import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.detection.state import EPOCH, RunState
from keras_saliency.log.states import read_state
from keras_saliency.rendering.settings import Pictures
from keras_saliency.tensorboard.training_log import TrainingLog
from keras_saliency.tensorboard.writer_thread import WriterThread, wait_for_writers, warn
from support.logs import report
from support.networks import fit, probes
from support.planted import Teacher, linear, tagged_probes, train
from support.programs import run_program

# ---------------------------------------------------------------- tasks


def test_tasks_are_done_in_order_by_another_thread():
    writer, done = WriterThread(), []
    for number in range(20):
        writer.run(lambda number=number: done.append((number, threading.get_ident())))
    writer.wait()
    assert [number for number, _ in done] == [*range(20)]
    assert any(thread != threading.get_ident() for _, thread in done)


def test_what_a_task_raises_is_raised_by_the_next_call():
    writer, done = WriterThread(), []

    def fail():
        raise ValueError("told")

    for call in (writer.wait, lambda: writer.run(lambda: done.append("not run"))):
        writer.run(fail)
        with pytest.raises(ValueError, match="told"):
            call()
    writer.run(lambda: done.append("again"))
    writer.wait()
    assert done == ["again"]


def test_what_a_task_warns_of_is_said_by_the_thread_that_waits_for_it():
    writer, threads = WriterThread(), []
    writer.run(lambda: (threads.append(threading.get_ident()), warn("one"), warn("two")))
    wait_for_writers()  # which says nothing, as warnings are errors here
    with pytest.warns(UserWarning, match="one|two") as warned:
        writer.wait()
    assert [str(one.message) for one in warned] == ["one", "two"]
    writer.wait()  # and nothing is said twice
    with pytest.warns(UserWarning, match="at once") as warned:
        warn("at once")
    assert len(warned) == 1


@pytest.mark.slow
def test_a_forked_process_leaves_the_task_to_its_parent():
    program = """
    import os, sys, threading
    from keras_saliency.tensorboard.writer_thread import WriterThread, wait_for_writers, warn

    writer, gate, done = WriterThread(), threading.Event(), []
    writer.run(lambda: (gate.wait(), done.append("parent"), warn("said once")))
    child = os.fork()
    if child == 0:
        wait_for_writers()
        writer.wait()
        writer.run(lambda: done.append("child"))
        writer.wait()
        sys.exit(0 if done == ["child"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    gate.set()
    """
    done = run_program(program)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("UserWarning: said once") == 1  # when the parent ends


@pytest.mark.slow
def test_a_child_process_ends_after_its_task(tmp_path):
    program = """
    import multiprocessing, pathlib, sys, time
    from keras_saliency.tensorboard.writer_thread import WriterThread

    def task():
        time.sleep(0.5)
        pathlib.Path(sys.argv[1]).write_text("written")

    child = multiprocessing.get_context("fork").Process(target=WriterThread().run, args=(task,))
    child.start()
    child.join()
    """
    done = run_program(program, args=[tmp_path / "file"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text() == "written"


# ---------------------------------------------------------------- a training log


def at(step):
    return report(np.full((6, 8, 8), 2.0 + step), step=step, metrics={"gini": 0.5})


def state(**more):
    return RunState(targets=probes().targets, **more)


def begun(log_dir):
    """A log whose first report is written."""
    log = TrainingLog(log_dir, "saliency", Pictures())
    log.begin_model(probes(), {}, {})
    log.write(at(-1), EPOCH, state(), again=False)
    return log


def steps_of(log_dir):
    return [one.step for one in ks.read_log(log_dir)["saliency"].reports]


@dataclasses.dataclass(eq=False)
class SlowState(RunState):
    """A state that is written once a gate is open."""

    gate: threading.Event = dataclasses.field(default_factory=threading.Event)

    def to_json(self):
        assert self.gate.wait(60)
        return super().to_json()


def slow_state(**more):
    return SlowState(targets=probes().targets, **more)


def test_a_report_is_written_while_the_training_goes_on_and_the_next_one_waits(tmp_path):
    log, slow = begun(tmp_path), slow_state()
    assert log.write(at(0), EPOCH, slow, again=False) == "saliency"  # the gate is closed
    following = threading.Thread(
        target=log.write, args=(at(1), EPOCH, state()), kwargs={"again": False}
    )
    following.start()
    following.join(0.3)
    assert following.is_alive()
    assert steps_of(tmp_path) == [-1, 0]
    slow.gate.set()
    following.join(60)
    assert not following.is_alive()
    log.close()
    assert steps_of(tmp_path) == [-1, 0, 1]


def test_the_state_is_that_of_the_report(tmp_path):
    """The training goes on, and changes its state, before it is written."""
    log, slow = begun(tmp_path), slow_state()
    log.write(at(0), EPOCH, slow, again=False)
    slow.latest[EPOCH] = at(1)
    slow.effects.append((1, ()))
    slow.evaluations = 7
    slow.gate.set()
    log.close()
    written = read_state(tmp_path / "saliency").state
    assert (written.latest, written.effects, written.evaluations) == ({}, [], 0)


@pytest.mark.parametrize("read", ["newest", "resume"])
def test_another_training_sees_what_an_interrupted_one_has_handed_over(read, tmp_path):
    log, slow = begun(tmp_path), slow_state(evaluations=7)
    log.write(at(0), EPOCH, slow, again=False)
    threading.Timer(0.3, slow.gate.set).start()
    later = TrainingLog(tmp_path, "saliency", Pictures())
    later.begin_model(probes(), {}, {})
    found = later.newest() if read == "newest" else later.resume(0)
    assert found.evaluations == 7  # the state of step 0, which was being written
    if read == "resume":
        assert later.write(at(0), EPOCH, state(), again=True) == "saliency"
        later.close()
        assert steps_of(tmp_path) == [-1, 0]


def test_a_log_that_is_removed_is_noticed_by_the_thread_and_said_by_the_next_call(tmp_path):
    log = begun(tmp_path / "logs")
    shutil.rmtree(tmp_path / "logs")
    log.write(at(0), EPOCH, state(), again=False)
    wait_for_writers()
    with pytest.warns(UserWarning, match="was removed during training, .* before step 0") as warned:
        log.write(at(1), EPOCH, state(), again=False)
    assert [one.filename for one in warned] == [__file__]
    log.wait()
    # The run that the thread has begun is that of this thread: another training of it goes on.
    later = TrainingLog(tmp_path / "logs", "saliency", Pictures())
    later.begin_model(probes(), {}, {})
    assert later.resume(1) is not None
    later.close()
    assert steps_of(tmp_path / "logs") == [0, 1]


def test_a_state_that_could_not_be_written_is_said_once_in_an_outage(tmp_path):
    log = begun(tmp_path)
    (tmp_path / "saliency" / "state").rename(tmp_path / "elsewhere")
    (tmp_path / "saliency" / "state").write_text("")
    log.write(at(0), EPOCH, state(), again=False)
    with pytest.warns(UserWarning, match="what a resumed training needs of step 0 could not be"):
        log.write(at(1), EPOCH, state(), again=False)
    log.wait()  # without another warning
    (tmp_path / "saliency" / "state").unlink()
    log.write(at(2), EPOCH, state(), again=False)
    log.close()
    assert read_state(tmp_path / "saliency").step == 2
    assert steps_of(tmp_path) == [-1, 0, 1, 2]


# ---------------------------------------------------------------- a callback


@pytest.mark.slow
@pytest.mark.parametrize("update_freq", ["epoch", 1])
def test_an_epoch_is_written_before_the_next_one_is_saved(update_freq, tmp_path):
    """By callbacks before and after it; the last one is also before those after it.

    64 pictures take much longer than an epoch.
    """
    images, found = np.random.default_rng(0).random((64, 8, 8, 1), np.float32), []

    def look(epoch, logs):
        assert read_state(tmp_path / "saliency") is not None
        found.append([len(log.reports) for log in ks.read_log(tmp_path).values()])

    before, after = (keras.callbacks.LambdaCallback(on_epoch_end=look) for _ in range(2))
    saliency = ks.SaliencyCallback(
        ks.ProbeSet(images, np.arange(64) % 3),
        log_dir=tmp_path,
        update_freq=update_freq,
        interventions=None,
        pictures=ks.Pictures(when="epoch", probes=64),
        verbose=0,
    )
    fit([before, saliency, after], epochs=3)
    epochs, batches = ([counts[0] for counts in found], [sum(counts[1:]) for counts in found])
    assert epochs[::2] == [1, 2, 3]
    assert epochs[-1] == 4
    assert batches == ([0] * 6 if update_freq == "epoch" else [3, 3, 6, 6, 9, 9])


@pytest.mark.slow
def test_all_is_on_disk_before_on_alert_is_called(tmp_path):
    heard = []

    def on_alert(alert):
        (log,) = ks.read_log(tmp_path).values()
        heard.append((alert.step, log.reports[-1].step, read_state(tmp_path / "saliency").step))
        raise RuntimeError("enough")

    saliency = ks.SaliencyCallback(tagged_probes(), log_dir=tmp_path, verbose=0, on_alert=on_alert)
    with pytest.raises(RuntimeError, match="enough"):
        train([saliency, Teacher()], epochs=6, model=linear(rate=0.0))
    assert heard == [(2, 2, 2)]


# ---------------------------------------------------------------- a program that ends


PROGRAM = """
import os, resource, signal
import keras
from support.networks import fit, probes
import keras_saliency as ks

keras.utils.set_random_seed(0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

def end(epoch, logs):
    if epoch == 1:
        {end}

def fill(epoch, logs):
    if {full} and epoch == 1:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1))

saliency = ks.SaliencyCallback(probes(), log_dir={log_dir!r}, verbose=0)
before, after = (keras.callbacks.LambdaCallback(on_epoch_end=one) for one in (fill, end))
fit([before, saliency, after], epochs=5)
"""


@pytest.mark.gate
@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("raise RuntimeError('the machine went away')", 1, "the machine went away"),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "KeyboardInterrupt"),
        ("raise SystemExit(3)", 3, ""),
    ],
)
def test_a_program_that_ends_writes_the_last_report(end, code, told, tmp_path):
    done = run_program(PROGRAM.format(end=end, log_dir=str(tmp_path), full=False))
    assert done.returncode == code
    assert told in done.stderr
    assert "saliency:" not in done.stderr
    log = ks.read_log(tmp_path)["saliency"]
    assert [one.step for one in log.reports] == [-1, 0, 1]
    assert all(one.interventions for one in log.reports)
    assert read_state(tmp_path / "saliency").step == 1


@pytest.mark.gate
@pytest.mark.slow
def test_what_could_not_be_written_when_a_program_ends_is_said(tmp_path):
    done = run_program(PROGRAM.format(end="raise SystemExit(3)", log_dir=str(tmp_path), full=True))
    assert done.returncode == 3
    assert f"saliency: step 1 could not be written to {tmp_path}: " in done.stderr
    assert steps_of(tmp_path) == [-1, 0]
