"""Which run a training writes to, and that no two trainings write to one."""

import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.tensorboard import runs
from keras_saliency.tensorboard.runs import Contents, new_run, read_contents, runs_of
from keras_saliency.tensorboard.sink import TensorBoardSink
from support.events import steps
from support.logs import report
from support.networks import probes


def sink(log_dir, **more):
    return TensorBoardSink(log_dir, probes(), pictures=None, **more)


def maps(value=1.0):
    return np.full((6, 8, 8), value)


def written_steps(log_dir):
    return {name: [one.step for one in log.reports] for name, log in ks.read_log(log_dir).items()}


def write(log_dir, *written, again=False, **more):
    """A training that writes these steps and ends; its run."""
    one = sink(log_dir, **more)
    for step in written:
        one.write(report(maps(), step=step), again=again)
    one.close()
    return one.run


# ---------------------------------------------------------------- two trainings at once


@pytest.mark.parametrize("has_locks", [True, False])
def test_threads_that_begin_together_get_a_run_each(has_locks, tmp_path, monkeypatch):
    """Without locks, as on some network file systems and on Windows, `mkdir` decides."""
    if not has_locks:
        monkeypatch.setattr(runs, "fcntl", None)
    barrier, names = threading.Barrier(8), {}

    def train(number):
        one = sink(tmp_path)
        barrier.wait()
        one.write(report(maps(), step=-1, metrics={"gini": number}))
        names[number] = one.run
        barrier.wait()
        one.write(report(maps(), step=0, metrics={"gini": number}))
        one.close()

    threads = [threading.Thread(target=train, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*names.values()}) == 8
    logs = ks.read_log(tmp_path)
    for number, name in names.items():
        assert [one.metrics["gini"] for one in logs[name].reports] == [number, number]


def _take(log_dir, begin, names):
    begin.wait()
    names.put(new_run(log_dir, "saliency").name)
    begin.wait()  # all live until all have a run


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_begin_together_get_a_run_each(tmp_path):
    context = multiprocessing.get_context("fork")  # which needs no second TensorFlow
    begin, names = context.Barrier(6), context.SimpleQueue()
    processes = [context.Process(target=_take, args=(tmp_path, begin, names)) for _ in range(6)]
    for process in processes:
        process.start()
    taken = [names.get() for _ in processes]
    for process in processes:
        process.join()
    assert sorted(taken) == sorted(["saliency", *(f"saliency_{n}" for n in range(2, 7))])


def test_an_empty_directory_is_taken_if_no_training_has_it(tmp_path):
    """It may be left over from a process that was killed before its first report."""
    (tmp_path / "saliency").mkdir()
    assert write(tmp_path, -1, 0) == "saliency"


def test_a_run_that_is_being_written_is_not_continued(tmp_path):
    first = sink(tmp_path)
    first.write(report(maps(), step=2))
    names = []

    def resume():
        names.append(write(tmp_path, 3))

    for _ in range(2):
        thread = threading.Thread(target=resume)
        thread.start()
        thread.join()
        first.close()
    assert names == ["saliency_2", "saliency"]
    assert written_steps(tmp_path) == {"saliency": [2, 3], "saliency_2": [3]}


def test_a_training_of_this_thread_that_was_not_closed_has_ended(tmp_path):
    """As after an exception, in a notebook that still holds the earlier callback."""
    crashed = sink(tmp_path)
    crashed.write(report(maps(), step=2))
    assert write(tmp_path, 3) == "saliency"
    crashed.close()


def test_a_file_of_the_name_is_left_alone(tmp_path):
    (tmp_path / "saliency").write_text("mine")
    assert write(tmp_path, 0) == "saliency_2"
    assert (tmp_path / "saliency").read_text() == "mine"


# ---------------------------------------------------------------- which run is continued


def test_the_run_that_was_written_last_is_continued(tmp_path):
    """The older training has ended; its last step is before the new one, too."""
    write(tmp_path, -1, 0)
    write(tmp_path, -1, 0, 1)
    for name, age in (("saliency", 100), ("saliency_2", 50)):
        (path,) = (tmp_path / name).iterdir()
        os.utime(path, (time.time() - age,) * 2)
    assert runs_of(tmp_path, "saliency") == ["saliency_2", "saliency"]
    assert write(tmp_path, 2) == "saliency_2"


def test_an_own_run_is_continued_or_a_new_one_is_begun(tmp_path):
    write(tmp_path, -1, 0)
    write(tmp_path, -1, 0)
    assert write(tmp_path, 1, previous_run="saliency") == "saliency"
    assert write(tmp_path, 1, previous_run="saliency") == "saliency_3"  # not saliency_2
    assert write(tmp_path, 5, previous_run="gone") == "saliency_4"


def test_without_times_the_run_with_the_highest_number_is_the_last_one():
    """As in `ram://`; there, listing a directory also lists those that its name begins."""
    for name in ("logs", "logs_2", "logs_3"):
        assert new_run("ram://test_times", "logs").name == name
        with tf.io.gfile.GFile(f"ram://test_times/{name}/events.tfevents", "w") as file:
            file.write("x")
    assert runs_of("ram://test_times", "logs") == ["logs_3", "logs_2", "logs"]


def test_only_runs_of_the_name_count(tmp_path):
    for name in ("saliency_batches", "saliency_2_batches", "salience", "my_saliency", "saliency_x"):
        write(tmp_path, 0, run=name)
    assert runs_of(tmp_path, "saliency") == []
    assert write(tmp_path, 1) == "saliency"
    assert runs_of(tmp_path, "saliency") == ["saliency"]
    assert runs_of(tmp_path / "nowhere", "saliency") == []


def test_the_text_says_when_and_where_a_training_began(tmp_path):
    write(tmp_path, 0)
    (log,) = ks.read_log(tmp_path).values()
    when, where = log.configuration["began"].split(" on ")
    assert time.time() - 600 < time.mktime(time.strptime(when[:19], "%Y-%m-%d %H:%M:%S"))
    assert where == f"{os.uname().nodename}, process {os.getpid()}"


# ---------------------------------------------------------------- object stores


@pytest.fixture
def remote(tmp_path):
    """A directory of the file system in memory that comes with TensorFlow."""
    return f"ram:/{tmp_path}"


def test_a_log_behind_a_url_has_what_a_local_one_has(remote, tmp_path):
    for log_dir in (remote, f"{remote}/", tmp_path):
        assert write(log_dir, -1, 0, 1) == ("saliency_2" if log_dir == f"{remote}/" else "saliency")
    for name in ("saliency", "saliency_2"):
        contents = read_contents(f"{remote}/{name}")
        assert (contents.last_step, contents.tags) == (1, read_contents(tmp_path / "saliency").tags)


def test_a_remote_run_is_continued_and_taken_once(remote):
    write(remote, -1, 0)
    assert write(remote, 1) == "saliency"
    assert read_contents(f"{remote}/saliency").last_step == 1
    names = [new_run(remote, "other").name for _ in range(3)]  # none has written anything
    assert names == ["other", "other_2", "other_3"]
    assert write(remote, -1) == "saliency_2"


def test_remote_trainings_that_begin_together_get_a_run_each(remote):
    barrier, names = threading.Barrier(6), []

    def take():
        barrier.wait()
        names.append(new_run(remote, "saliency").name)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*names}) == 6  # numbers may be left out


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write("~/logs", 0) == "saliency"
    assert steps(tmp_path / "logs" / "saliency")["saliency_log/reports"] == [0]


def test_nothing_is_read_of_a_run_without_events(tmp_path):
    assert read_contents(tmp_path) == read_contents(tmp_path / "nowhere") == Contents()


def test_a_run_of_somebody_else_is_left_alone():
    """One whose directory may not be read, by a user who is not root."""
    nobody, root = 65534, os.geteuid()
    with tempfile.TemporaryDirectory() as log_dir:  # which pytest's own is not: anybody may enter
        Path(log_dir).chmod(0o777)
        theirs = Path(log_dir, "saliency")
        theirs.mkdir(mode=0o700 if root == 0 else 0)
        try:
            if root == 0:
                os.seteuid(nobody)
            for step in (-1, 3):
                assert write(log_dir, step) == "saliency_2"
        finally:
            os.seteuid(root)
            theirs.chmod(0o700)
        assert [*theirs.iterdir()] == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_outlives_its_parent_holds_no_lock(tmp_path):
    """Such as a worker that a data set has forked, after the training was killed."""
    one = sink(tmp_path)
    one.write(report(maps(), step=2))
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for lock in [*runs._LOCKS.values()]:  # as when this process is killed: closed, not unlocked
        os.close(lock.descriptor)
    runs._LOCKS.clear()
    try:
        assert write(tmp_path, 3) == "saliency"
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
        one._place._lock.descriptor = -1
        one.close()
