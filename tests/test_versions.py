"""The versions that are tried are those that `pyproject.toml` names."""

import re
import subprocess
from itertools import chain
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.slow
def test_the_lowest_versions_that_are_tried_are_the_lower_bounds():
    command = ["make", "--silent", "lowest-versions"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    needs = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    bounds = {tuple(need.split(">=")) for need in needs if ">=" in need}
    assert {"keras", "numpy", "tensorflow"} <= {name for name, _ in bounds}
    assert sorted(made.split()) == sorted(f"{name}=={version}" for name, version in bounds)


def test_the_versions_of_python_that_are_tried_are_those_of_the_classifiers():
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    (matrix,) = re.findall(r"python: \[(.*)\]", workflow)
    assert re.findall(r"3\.\d+", matrix) == versions
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert f"PYTHON_OLDEST ?= python{versions[0]}\n" in (ROOT / "Makefile").read_text("utf-8")
