"""Training on several devices: observed without a change, with the values of one device."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import keras_saliency as ks
from support import workers
from support.programs import run_program


@pytest.mark.gate
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
    names = ("maps", "scores", "effects")
    compared = [names[:2], names, names]  # what is trained knows too little for tests
    for numbers, expected, wanted in zip(found["found"], found["expected"], compared, strict=True):
        for name in wanted:
            assert np.nanmax(expected[name]) > 0
            within = 1e-6 * np.nanmax(np.abs(expected[name]))
            np.testing.assert_allclose(numbers[name], expected[name], rtol=0, atol=within)


def trained_by_two_workers(folder, *, explains):
    """Two processes that have ended; the second one stopped after the first epoch."""
    folder.mkdir()
    code = "from support import workers; workers.main()"
    with ThreadPoolExecutor() as pool:
        running = [
            pool.submit(run_program, code, args=[explains, index == 1], cwd=folder, TF_CONFIG=text)
            for index, text in enumerate(workers.example().configurations())
        ]
        return [worker.result() for worker in running]


@pytest.mark.gate
@pytest.mark.slow
def test_what_the_chief_explains_changes_no_training_and_not_how_it_ends(tmp_path):
    """The weights after an epoch, and the error when the other worker stops, are the same."""
    left, errors = [], []
    for explains in (True, False):
        chief, other = trained_by_two_workers(tmp_path / str(explains), explains=explains)
        assert other.returncode == 3, other.stderr
        assert chief.returncode == 1
        left += re.findall("^left: .*$", chief.stdout + other.stdout, re.MULTILINE)
        errors += re.findall(r"^\S*Error: ", chief.stderr, re.MULTILINE)
    assert len({*left}) == 2
    assert left[:2] == left[2:]  # of each worker, as BatchNorm's statistics are its own
    assert errors == 2 * ["tensorflow.python.framework.errors_impl.UnavailableError: "]
    (run,) = ks.read_log(tmp_path / "True" / "logs").values()
    assert [report.step for report in run.reports] == [-1, 0]
    assert len([*tmp_path.rglob("*tfevents*")]) == 1
