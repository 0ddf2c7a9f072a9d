"""What the documents show runs: the Python blocks of README.md, and every example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [path for path in [ROOT / "README.md"] if path.exists()]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def python_blocks(markdown: str) -> str:
    """A document's Python blocks as one script, in which each line keeps its number."""
    script, inside = [], False
    for line in markdown.splitlines():
        inside = inside and line != "```"
        script.append(line if inside else "")
        inside = inside or line == "```python"
    return "\n".join(script)


def run(script: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script in a directory, as a user would, without a screen; a warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=directory,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_python_blocks_of_a_document_run_in_order(document: Path, tmp_path: Path) -> None:
    script = tmp_path / document.with_suffix(".py").name
    script.write_text(python_blocks(document.read_text("utf-8")), "utf-8")
    ran = run(script, tmp_path)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    ran = run(example, tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_blocks_share_one_namespace_and_keep_their_line_numbers(tmp_path: Path) -> None:
    markdown = "\n".join(
        ["Text", "```python", "a = 1", "```", "```bash", "rm", "```", "```python", "a + b", "```"]
    )
    script = tmp_path / "script.py"
    script.write_text(python_blocks(markdown))
    ran = run(script, tmp_path)
    assert ran.returncode == 1
    assert "line 9, in <module>" in ran.stderr
    assert ran.stderr.endswith("NameError: name 'b' is not defined\n")
