"""Training on several devices: observed without a change, with the values of one device."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import keras_saliency as ks
from support import workers
from support.programs import run_program


@pytest.mark.slow
def test_a_fit_on_two_devices_is_explained_as_on_one(tmp_path):
    ended = run_program("from support import mirrored; mirrored.main()", args=[tmp_path])
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    for watched, unwatched in (found["left"], found["left of unbuilt models"]):
        assert watched == unwatched
    batches = [["saliency_batches", count] for count in (2, 4, 6)]
    assert sorted(found["steps"]) == [*(["saliency", step] for step in (-1, 0, 1)), *batches]
    assert found["files"] == ["saliency", "saliency_batches"]  # one file each
    for numbers, expected in zip(found["found"], found["expected"], strict=True):
        for name in ("maps", "scores", "effects"):
            assert np.nanmax(expected[name]) > 0
            within = 1e-6 * np.nanmax(np.abs(expected[name]))
            np.testing.assert_allclose(numbers[name], expected[name], rtol=0, atol=within)


def trained_by_two_workers(folder, *, explains, stops=False):
    """The exit codes, outputs and error messages of two workers; the second one may stop."""
    folder.mkdir()
    code = "from support import workers; workers.main()"
    with ThreadPoolExecutor() as pool:
        running = [
            pool.submit(
                run_program, code, args=[explains, stops and index == 1], cwd=folder, TF_CONFIG=text
            )
            for index, text in enumerate(workers.example().configurations())
        ]
        return [worker.result() for worker in running]


@pytest.mark.slow
def test_of_two_workers_the_chief_explains_and_training_is_the_same(tmp_path):
    watched = trained_by_two_workers(tmp_path / "watched", explains=True)
    unwatched = trained_by_two_workers(tmp_path / "unwatched", explains=False)
    left = set()
    for ended in (*watched, *unwatched):
        assert ended.returncode == 0, ended.stderr
        left.add(ended.stdout.splitlines()[-1])
    assert len(left) == 1  # both workers, with and without explanations
    (run,) = ks.read_log(tmp_path / "watched" / "logs").values()
    assert [report.step for report in run.reports] == [-1, 0, 1, 2]
    assert [*(tmp_path / "unwatched").iterdir()] == []
    files = [*(tmp_path / "watched").rglob("*tfevents*")]
    assert len(files) == 1


@pytest.mark.slow
def test_a_worker_that_stops_ends_the_training_as_it_does_without_explanations(tmp_path):
    ends = []
    for explains in (True, False):
        chief, stopped = trained_by_two_workers(
            tmp_path / str(explains), explains=explains, stops=True
        )
        assert stopped.returncode == 3
        ends.append((chief.returncode, chief.stderr.splitlines()[-1][:60]))
    assert ends[0] == ends[1]
    assert ends[0][0] != 0
