"""What the documents show runs: the Python blocks of README.md and docs, and every example."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest

from keras_saliency import TESTS
from keras_saliency.data.reports import Effect, Verdict
from keras_saliency.detection.sentences import sentence
from keras_saliency.detection.significance import level_of_round
from keras_saliency.metrics.catalog import METRICS

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted({*(ROOT / "examples").glob("*.py")} - {ROOT / "examples" / "multi_worker.py"})
"""`test_devices.py` runs the one with several workers."""

Run = Callable[[Path], str]


def python_blocks(markdown: str) -> str:
    """A document's Python blocks as one script, in which each line keeps its number."""
    script, inside = [], False
    for line in markdown.splitlines():
        inside = inside and line != "```"
        script.append(line if inside else "")
        inside = inside or line == "```python"
    return "\n".join(script)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script in an empty directory, with names as in a new process; gives what it prints."""

    def run(script: Path) -> str:
        monkeypatch.chdir(tmp_path)
        matplotlib.use("agg")
        keras.utils.clear_session()
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def without_numbers(text: str) -> str:
    return re.sub(r"-?\d+(\.\d+)?", "0", text)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_python_blocks_of_a_document_run_in_order_and_print_the_lines_that_it_shows(
    document: Path, tmp_path: Path, run: Run
) -> None:
    text = document.read_text("utf-8")
    script = tmp_path / "blocks.py"
    script.write_text(python_blocks(text), "utf-8")
    printed = run(script)
    shown = re.findall("^    (saliency: (?!alert).*)$", text, re.MULTILINE)
    assert {*map(without_numbers, shown)} <= {*map(without_numbers, printed.splitlines())}


def test_the_alert_that_the_readme_shows_is_what_an_alert_says_of_its_numbers() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    saliency: alert: "))
    shown = " ".join(line.strip() for line in lines[start : lines.index("", start)])
    support = "the same pixels in 100% of the images of class '0'"
    place = np.zeros((20, 20), bool)
    effect = Effect(
        "region/top-left 4x4", effect=0.26, num_probes=120, support=support, place=place
    )
    subject = "the region 'top-left 4x4'"
    rule = {"active": True, "subject": subject, "alpha": level_of_round(3)}
    verdict = Verdict(effect, 0.15, 1e-9, 0.0, "fires", "", **rule)
    explains = ["repeated_pattern", "hot_window"]
    said = sentence(verdict, TESTS["region"], "accuracy", explains)
    assert shown == f"saliency: alert: epoch 2: {said}"


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name
)
def test_the_files_that_a_document_links_to_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(example: Path, run: Run) -> None:
    printed = run(example)
    if example.name == "custom_test.py":  # no other test sees the cue, and none without it
        assert "striped: ['stripes']\nclean: []\n" in printed
    if example.name == "vision_transformer.py":
        assert "alerts: ['" in printed
        shares = [int(share) for share in re.findall(r"(\d+)% of the map is in the tag", printed)]
        assert len(shares) == 4
        assert min(shares) > 2 * 4  # the tag is 4 % of the image
    if example.name == "detector.py":
        assert "the model relies on the region 'tag': accuracy drops by" in printed
        shares = re.findall(r": (\d+)% in the boxes, ([\d.]+)% in the tag", printed)
        assert len(shares) == 2
        for inside, on_tag in shares:
            assert int(inside) > 2 * 7  # a box is 4 to 11 % of the image
            assert float(on_tag) > 2 * 0.7  # the tag is 0.7 %


def test_blocks_share_one_namespace_and_keep_their_line_numbers(tmp_path: Path, run: Run) -> None:
    markdown = "\n".join(
        ["Text", "```python", "a = 1", "```", "```bash", "rm", "```", "```python", "a + b", "```"]
    )
    script = tmp_path / "script.py"
    script.write_text(python_blocks(markdown))
    with pytest.raises(NameError, match="name 'b' is not defined") as raised:
        run(script)
    assert raised.traceback[-1].lineno + 1 == 9


def rows_of_the_table_headed(heading: str, text: str) -> list[list[str]]:
    lines = text.splitlines()
    start = lines.index(heading) + 2
    rows = lines[start : lines.index("", start)]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_tables_of_tests_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    heading = "| test | what is exchanged | floor | control | times | this is a problem if |"
    documented = {
        name.strip("`"): (float(floor), control, times, assumption)
        for name, _, floor, control, times, assumption in rows_of_the_table_headed(heading, text)
    }
    assert documented == {
        name: (
            test.floor,
            test.control or "none",
            f"{test.outweighs:g}" if test.control else "-",
            test.assumption,
        )
        for name, test in TESTS.items()
    }
    assert [*documented] == [*TESTS]
    heading = "| alert of | likely causes | how to confirm | what to do |"
    advice = {
        name.strip("`"): what
        for names, _, _, what in rows_of_the_table_headed(heading, text)
        for name in names.split(", ")
    }
    assert advice == {name: test.advice for name, test in TESTS.items()}


def test_the_page_of_tags_has_every_kind_of_metric() -> None:
    documented = set(
        re.findall("`saliency/([a-z_]+)", (ROOT / "docs" / "tags.md").read_text("utf-8"))
    )
    kinds = {kind for kind in METRICS if not kind.startswith("object_")}
    assert kinds - documented == set()
