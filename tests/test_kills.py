"""Trainings that are killed, each in a process of its own. `.ci/run` kills more of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_log_of_a_killed_training_is_that_of_one_that_was_not(tmp_path):
    command = [sys.executable, "-m", "benchmarks.kills", "--epochs", "3", "--random", "1"]
    ran = subprocess.run(
        [*command, "--boundaries", "--every", "37", "--ways", "backup after"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (kills,) = re.findall(r"(\d+) kills of trainings", ran.stdout)
    assert int(kills) >= 4
    assert re.search(r"\| an operation +\| backup after +\| equal ", ran.stdout)
