"""The versions that are tried are those that `pyproject.toml` names."""

import re
import subprocess
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_lowest_versions_that_are_tried_are_the_lower_bounds():
    command = ["make", "--silent", "lowest-versions"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    bounds = re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(requires("keras-saliency")), re.MULTILINE)
    assert ("keras", "3.6") in bounds
    assert sorted(made.split()) == sorted({f"{name}=={version}" for name, version in bounds})


def test_the_versions_of_python_that_are_tried_are_those_of_the_classifiers():
    project = metadata("keras-saliency")
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project.get_all("Classifier")))
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    (matrix,) = re.findall(r"python: \[(.*)\]", workflow)
    assert re.findall(r"3\.\d+", matrix) == versions
    lowest = project["Requires-Python"].removeprefix(">=")
    assert lowest == versions[0]
    assert f"PYTHON_OLDEST ?= python{lowest}\n" in (ROOT / "Makefile").read_text("utf-8")
