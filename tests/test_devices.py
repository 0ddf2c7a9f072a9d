"""Training on several devices: observed without a change, with the values of one device."""

import json

import numpy as np
import pytest

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
