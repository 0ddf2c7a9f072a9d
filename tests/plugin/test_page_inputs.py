"""The page with a log of which several inputs are explained: in Chromium, from a file."""

import json
import re

import numpy as np
import pytest

from keras_saliency.app import html_report
from keras_saliency.log import tags
from keras_saliency.log.reader import read_blobs
from support import page_logs
from support.browser import eventually, matrix_cell, opened
from support.events import write_blobs
from support.page_logs import FEATURES, Expected

pytestmark = pytest.mark.gate

RUN, FIRST, SECOND = "saliency", *page_logs.SEVERAL_METHODS
NAMES = ["picture", "table", "left/scan"]
COUNT, STEPS = 4, [0, 1, 2]


@pytest.fixture(scope="module")
def logs(chromium, tmp_path_factory):
    directory = tmp_path_factory.mktemp("logs")
    page_logs.write_several(directory / RUN)
    return directory


@pytest.fixture(scope="module")
def expected(logs):
    return {name: Expected(logs, RUN, None if name == "picture" else name) for name in NAMES}


@pytest.fixture(scope="module")
def tab(chromium, logs, tmp_path_factory):
    """Opens the page with some state."""
    path = tmp_path_factory.mktemp("file") / "page.html"
    path.write_text(html_report.page(logs), "utf-8")
    return lambda **state: opened(chromium, path.as_uri(), **({"show": "map"} | state))


def drawn(expected, name, method, step, probe):
    """The pixels of a map at the size of its cell; of the table, its colours where its bars are."""
    own = expected[name]
    if name != "table":
        return own.pixels(method, step, probe)
    place = own.probes.places[0]
    return own.heat(own.codes(method, step, probe)[place], 1, "hot")


def shown(tab, selector):
    """By input, the pixels of the maps in an element."""
    names = tab.frame.locator(f"{selector} .input").evaluate_all("a => a.map(i => i.dataset.input)")
    return [*zip(names, tab.pixels(f"{selector} .input canvas"), strict=True)]


@pytest.mark.parametrize("chosen", ["picture", "table"])
def test_each_probe_has_the_maps_of_its_inputs_side_by_side(chosen, tab, expected):
    """Whichever is chosen: the colours of images end at a percentile, those of tables do not."""
    with tab(view="step", input=chosen) as page:
        for step in (2, 0):
            page.get("step-slider").fill(str(step))
            page.painted(step)
            for probe in range(COUNT):
                cell = f'.cells figure[data-probe="{probe}"]'
                found = shown(page, cell)
                assert [name for name, _ in found] == NAMES
                for name, pixels in found:
                    wanted = drawn(expected, name, FIRST, step, probe)
                    np.testing.assert_array_equal(pixels[..., :3], wanted, err_msg=name)
        boxes = [
            box.bounding_box()
            for box in page.frame.locator(".cells .input .stage").all()[: len(NAMES)]
        ]
        assert len({box["y"] for box in boxes}) == 1
        assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        assert boxes[1]["x"] + boxes[1]["width"] <= boxes[2]["x"]
        assert boxes[1]["width"] >= expected["table"].probes.ink.shape[2]  # its text is legible


def test_captions_name_the_input_and_its_peak(tab, expected):
    with tab(view="step", step=1) as page:
        page.painted(1)
        assert page.texts(".cells figure:first-child .input-name") == NAMES
        peaks = page.texts(".cells figure:first-child .peak")
        for name, text in zip(NAMES, peaks, strict=True):
            found = float(re.fullmatch(r"peak ([\d.e-]+)", text)[1])
            assert found == pytest.approx(expected[name].maps(FIRST, 1)[0].max(), rel=0.005)
        strong = page.texts(".cells figcaption strong")
        assert strong == list(expected["picture"].probes.names)
        page.choose("method", SECOND)  # which the table does not have
        page.painted(1)
        assert page.texts(".cells figure:first-child .input-name") == [
            *("picture", f"table, {FIRST}", "left/scan")
        ]
        for name, pixels in shown(page, ".cells figure:first-child"):
            method = FIRST if name == "table" else SECOND
            np.testing.assert_array_equal(pixels[..., :3], drawn(expected, name, method, 1, 0))


def test_outlines_belong_to_their_input(tab):
    look = """all => all.map(input => [
        ...input.querySelectorAll(".outlines path:not(.casing)")
    ].map(path => [path.dataset.name, path.classList.contains("chosen")]))"""
    wanted = [[["edge", False]], [], [["object", False], ["top", False]]]
    with tab(view="step") as page:
        page.painted()
        assert page.frame.locator(".cells .input").evaluate_all(look) == wanted * COUNT
    with tab(view="step", region=[1, 1, 2, 2]) as page:  # of an alert, so of the first input
        page.painted()
        wanted[0].append(["window", True])
        assert page.frame.locator(".cells .input").evaluate_all(look) == wanted * COUNT


@pytest.mark.parametrize("name", NAMES)
def test_the_matrix_shows_the_input_that_is_chosen(name, tab, expected):
    def assert_matrix(page):
        where, pixels = page.matrix()
        assert (where["rows"], where["columns"]) == (COUNT, len(STEPS))
        if name == "table":  # its names are legible
            size = expected[name].probes.ink.shape[1:]
            assert (where["cellHeight"], where["cellWidth"]) == size
        for probe in range(COUNT):
            for column, step in enumerate(STEPS):
                wanted = drawn(expected, name, FIRST, step, probe)
                size = where["cellHeight"], where["cellWidth"]
                wanted = page_logs.resampled(wanted, size)[1:-1, 1:-1]
                np.testing.assert_array_equal(matrix_cell(where, pixels, probe, column), wanted)

    with tab() as page:
        page.matrix()
        assert page.options("input") == NAMES
        page.choose("input", name)
        eventually(assert_matrix, page)
        assert page.options("method") == ([FIRST] if name == "table" else [FIRST, SECOND])


def test_the_probe_view_shows_all_inputs_and_the_history_of_one(tab, expected):
    probe = 2

    def assert_filmstrip(page, name):
        found = page.pixels('[data-testid="filmstrip-cell"] canvas')
        for step, pixels in zip(STEPS, found, strict=True):
            wanted = drawn(expected, name, FIRST, step, probe)
            np.testing.assert_array_equal(pixels[..., :3], wanted)

    with tab(view="probe", probe=probe, step=1) as page:
        page.frame.locator(".probe-now figure[data-step='1']").wait_for()
        for name in ("picture", "left/scan", "table"):
            page.choose("input", name)
            page.get("filmstrip").scroll_into_view_if_needed()
            eventually(assert_filmstrip, page, name)
            found = shown(page, ".probe-now")
            assert [one for one, _ in found] == NAMES
            for one, pixels in found:
                np.testing.assert_array_equal(
                    pixels[..., :3], drawn(expected, one, FIRST, 1, probe)
                )
            assert page.frame.locator(".probe-view h3").text_content() == f"All steps: {name}"
            curve = page.frame.locator('[data-testid="curve"][data-name="gradient-norm"]')
            norm = float(curve.locator(".readout b").first.text_content())
            wanted = expected[name].reports[1].gradient_norms[probe]
            assert norm == pytest.approx(wanted, rel=0.005)


def test_the_input_that_is_chosen_is_compared(tab, expected):
    scan = expected["left/scan"]
    with tab(view="compare", input="left/scan", step=2, otherStep=0) as page:
        page.frame.locator('[data-testid="compare"][data-other-step="0"]').wait_for()
        page.frame.locator('canvas[data-testid="compare-difference"][data-probe="1"]').wait_for()
        for side, step in (("left", 2), ("right", 0)):
            (found,) = page.pixels(f'canvas[data-testid="compare-{side}"][data-probe="1"]')
            np.testing.assert_array_equal(found[..., :3], scan.pixels(FIRST, step, 1))
        left, right = (
            np.float32(scan.codes(FIRST, step, 1) / 252).astype(float) for step in (2, 0)
        )
        index = np.floor(126 + (left - right) * 126 + 0.5)
        wanted = page_logs.diverging(index.astype(int))
        (found,) = page.pixels('canvas[data-testid="compare-difference"][data-probe="1"]')
        np.testing.assert_array_equal(found[..., :3], wanted)
        assert "left/scan" in page.frame.locator(".side-title").first.text_content()


def test_pointing_at_a_bar_tells_its_name(tab, expected):
    """In a large cell with its value, in the matrix, and beside the values of a comparison."""
    values = expected["table"].maps(FIRST, 2)[1]
    with tab(view="step", step=2, input="table") as page:
        page.painted(2)
        stage = page.frame.locator('figure[data-probe="1"] [data-input="table"] .stage')
        box = stage.bounding_box()
        for place, name in enumerate(FEATURES):
            y = (place + 0.5) / len(FEATURES) * box["height"]
            stage.hover(position={"x": 0.6 * box["width"], "y": y})
            told, value = stage.get_attribute("title").split(": ")
            assert told == name
            assert float(value) == pytest.approx(values[place], abs=3 / 252)
        page.frame.locator('figure[data-probe="1"] [data-input="picture"] .stage').hover()
        assert not page.frame.locator(
            '[data-input="picture"] .stage[title]:not([title=""])'
        ).count()
        page.get("tab-matrix").click()
        where, _ = page.matrix()
        height, gap = where["cellHeight"], where["gap"]
        for place, name in enumerate(FEATURES):
            y = gap + (place + 0.5) / len(FEATURES) * height
            page.get("matrix-canvas").hover(position={"x": gap + 9, "y": y})
            assert f"feature: {name}" in page.frame.locator(".tooltip").inner_text()
        page.choose("input", "picture")
        page.matrix()
        page.get("matrix-canvas").hover(position={"x": gap + 9, "y": gap + 9})
        assert "feature" not in page.frame.locator(".tooltip").inner_text()
        page.choose("input", "table")
        page.get("tab-compare").click()
        canvas = page.frame.locator('canvas[data-testid="compare-left"][data-probe="1"]')
        canvas.wait_for()
        box = canvas.bounding_box()
        canvas.hover(position={"x": 9, "y": 0.5 * box["height"]})
        assert page.frame.locator(".pair .pointed").all_text_contents()[1].startswith("height: ")


def test_maps_of_one_value_share_a_scale(chromium, tmp_path):
    values = {0: [1, 2, 4], 1: [3, 3, 6]}
    page_logs.write_one_value(tmp_path / RUN, values)
    path = tmp_path / "page.html"
    path.write_text(html_report.page(tmp_path), "utf-8")
    own = Expected(tmp_path, RUN)
    with opened(chromium, path.as_uri(), view="step", show="map") as page:
        for step, row in values.items():
            page.get("step-slider").fill(str(step))
            page.painted(step)
            for probe, value in enumerate(row):
                (found,) = page.pixels(f'.cells figure[data-probe="{probe}"] canvas')
                wanted = own.heat(np.array([[252]]), value / 6, "hot")
                np.testing.assert_array_equal(
                    found[..., :3], np.broadcast_to(wanted, (*found.shape[:2], 3))
                )
        assert page.frame.locator(".cells .defect").all_inner_texts() == [""] * 3
        assert page.get("legend").inner_text().split() == ["0", "6"]
        assert not page.get("scale").is_visible()


def test_a_log_of_format_1_is_shown_without_a_choice_of_inputs(chromium, logs, expected, tmp_path):
    """As version 1 wrote it, which knew of one input."""
    for tag, steps in read_blobs(logs)[RUN].items():
        for step, (_, blobs) in steps.items():
            header = json.loads(blobs[0]) | {"format": 1}
            for name in ("input", "inputs", "feature_names"):
                header.pop(name, None)
            if not tag.startswith(tags.INPUTS):
                old = [json.dumps(header).encode(), *blobs[1:]]
                suffix = f".{tag.replace('/', '_')}"
                write_blobs(tmp_path / RUN, tag, step, old, suffix=suffix)
    path = tmp_path / "page.html"
    path.write_text(html_report.page(tmp_path), "utf-8")
    with opened(chromium, path.as_uri(), view="step", show="map", step=1) as page:
        cells = page.cells(1)
        assert [cell["note"] for cell in cells] == [""] * COUNT
        for probe, cell in enumerate(cells):
            wanted = expected["picture"].pixels(FIRST, 1, probe)
            np.testing.assert_array_equal(cell["pixels"][..., :3], wanted)
        assert not page.get("input").is_visible()
        assert page.texts(".input-name") == []
        assert not page.get("problems").is_visible()
