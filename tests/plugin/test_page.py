"""The page of the SALIENCY tab in Chromium: on a real training's log, in real TensorBoards.

What it shows is compared with what `read_log` reads and matplotlib colours.
"""

import itertools
import re

import matplotlib
import numpy as np
import pytest

from keras_saliency.app import html_report
from keras_saliency.log.reader import read_log
from support import page_logs
from support.browser import eventually, matrix_cell, opened
from support.page_logs import CLASS_NAMES, EPOCHS, KINDS, METHODS, Expected
from support.servers import serving, tensorboard_command

pytestmark = pytest.mark.gate

STEPS = [-1, *range(EPOCHS)]
RUN = "cue/saliency"
SIGNED = "written/signed/saliency"
UNNAMED = "unnamed/saliency"  # of the same training, but without regions
WITHDRAWN = "written/withdrawn/saliency"
SEVERAL = "written/several"  # inputs are explained
RUNS = [RUN, UNNAMED, WITHDRAWN, "no cue/saliency", "written/many", SIGNED, SEVERAL]
RUNS = sorted(RUNS + [f"written/{kind}/saliency" for kind in KINDS])


@pytest.fixture(scope="module")
def logs(chromium, tmp_path_factory):
    directory = tmp_path_factory.mktemp("logs")
    page_logs.train(directory / "no cue", cue=False, epochs=2, interventions=None)
    page_logs.write_signed(directory / "written" / "signed")
    page_logs.write_withdrawn(directory / "written" / "withdrawn")
    page_logs.write_many(directory / "written" / "many")
    page_logs.write_several(directory / "written" / "several")
    for kind in KINDS:
        page_logs.write_kind(directory / "written" / kind, kind)
    page_logs.train(directory / "unnamed", named=False, interventions="epoch")
    # The last one, so that the page shows it of its own accord.
    page_logs.train(directory / "cue", method=METHODS, interventions="epoch")
    return directory


@pytest.fixture(scope="module")
def expected(logs):
    return Expected(logs, RUN)


def all_read(board):
    tags = {run: len(tags["saliency_log/reports"]) for run, tags in board.index().items()}
    return tags.keys() == {*RUNS} and tags["written/many"] == 120 and tags[RUN] == len(STEPS)


@pytest.fixture(scope="module")
def board(logs, tmp_path_factory):
    with serving(tensorboard_command(logs), tmp_path_factory.mktemp("board"), all_read) as found:
        yield found.url


@pytest.fixture(scope="module")
def python_board(logs, tmp_path_factory):
    further = ["--load_fast=false", "--path_prefix=/board"]
    place = tmp_path_factory.mktemp("python_board")
    with serving(tensorboard_command(logs, *further), place, all_read, "/board") as found:
        yield found.url


@pytest.fixture(scope="module")
def file(logs, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "page.html"
    path.write_text(html_report.page(logs), "utf-8")
    return path.as_uri()


def frame_of(board):
    """Where TensorBoard keeps the tab's frame: the page without what surrounds it."""
    return f"{board}/data/plugin_entry.html?name=saliency"


@pytest.fixture(params=["default loader", "Python loader, prefix", "file"])
def door(request):
    """By each of the ways in which the page gets its data, its address."""
    if request.param == "file":
        return request.getfixturevalue("file")
    is_default = request.param == "default loader"
    return frame_of(request.getfixturevalue("board" if is_default else "python_board"))


@pytest.fixture
def tab(chromium, board):
    """Opens the page with some state, out of TensorBoard."""
    return lambda **state: opened(chromium, frame_of(board), **state)


def assert_cells(cells, expected, method, step, tolerance=0, **style):
    """The pixels of large cells are as computed, all opaque."""
    for cell in cells:
        wanted = expected.pixels(method, step, cell["probe"], **style)
        found = cell["pixels"].astype(int)
        assert found.shape == (*wanted.shape[:2], 4)
        assert (found[..., 3] == 255).all()
        assert np.abs(found[..., :3] - wanted).max() <= tolerance, (method, step, cell["probe"])


def assert_matrix(tab, expected, method, rows, columns, small=False, **style):
    """The cells of these probes and steps are in sight, with their pixels as computed.

    Where there is room, they are the maps; else the thumbnails.
    """
    where, pixels = tab.matrix()
    for (row, probe), (column, step) in itertools.product(rows, columns):
        codes = (expected.thumbnail if small else expected.codes)(method, step, probe)
        wanted = expected.pixels(method, step, probe, codes=codes, **style)
        times = where["cellHeight"] // wanted.shape[0]
        wanted = wanted.repeat(times, 0).repeat(times, 1)[1:-1, 1:-1]
        assert where["cellHeight"] == wanted.shape[0] + 2
        found = matrix_cell(where, pixels, row, column)
        np.testing.assert_array_equal(found, wanted, err_msg=f"{probe} at {step}")


# ---------------------------------------------------------------- TensorBoard's own page


def framed(tab):
    """Looks into the frame in which TensorBoard shows the page, and waits for the matrix."""
    tab.frame = tab.page.locator("iframe").element_handle().content_frame()
    tab.frame.wait_for_url("**/data/plugin_entry.html?name=saliency")
    tab.matrix()
    return tab


@pytest.mark.parametrize("which", ["board", "python_board"])
def test_the_tab_is_in_tensorboard_and_shows_the_matrix(which, request, chromium, expected):
    with opened(chromium, f"{request.getfixturevalue(which)}/#saliency") as tab:
        tab.page.locator(".mat-mdc-tab").get_by_text("Saliency", exact=True).wait_for()
        where, _ = framed(tab).matrix()
        assert (where["rows"], where["columns"]) == (page_logs.COUNT, len(STEPS))
        tab.choose("show", "map")
        rows = [(row, row) for row in range(6)]
        eventually(assert_matrix, tab, expected, METHODS[0], rows, [*enumerate(STEPS)])


def test_dark_mode_of_tensorboard_is_that_of_the_page(chromium, board):
    """The matrix is painted anew, too: its band of the current step has the theme's colour."""

    def assert_theme(name, ground, band):
        look = "document.documentElement.dataset.theme + getComputedStyle(document.body).background"
        found = tab.frame.evaluate(look)
        assert found.startswith(f"{name}{ground}")
        where, pixels = tab.matrix()
        at = where["gap"] + STEPS.index(0) * (where["cellWidth"] + where["gap"]) + 5
        assert pixels[0, at].tolist() == [*band, 255]

    with opened(chromium, f"{board}/#saliency", step=0) as tab:
        framed(tab)
        light = ("light", "rgb(255, 255, 255)", (227, 238, 251))
        dark = ("dark", "rgb(27, 29, 33)", (31, 58, 88))
        eventually(assert_theme, *light)
        for theme in (dark, light, dark):
            tab.page.evaluate("document.body.classList.toggle('dark-mode')")
            eventually(assert_theme, *theme)


# ---------------------------------------------------------------- the core, by every door


def test_rows_are_probes_and_columns_are_steps(door, chromium, expected):
    with opened(chromium, door, show="map") as tab:
        where, _ = tab.matrix()
        assert (where["rows"], where["columns"]) == (len(expected.probes.names), len(STEPS))
        assert tab.texts(".matrix-columns button") == ["start", *map(str, range(EPOCHS))]
        names = tab.texts(".matrix-rows button strong")
        assert len(names) >= 8
        assert names == list(expected.probes.names)[: len(names)]
        targets = [CLASS_NAMES[target] for target in expected.probes.targets]
        assert tab.texts(".matrix-rows button span span") == targets[: len(names)]
        assert tab.options("run") == RUNS
        assert tab.options("method") == METHODS
        pictures = tab.pixels(".matrix-rows canvas")
        for found, picture in zip(pictures, expected.probes.pictures, strict=False):
            np.testing.assert_array_equal(found[..., :3], picture)
        rows = [(row, row) for row in range(8)]
        for method in METHODS:
            tab.choose("method", method)
            eventually(assert_matrix, tab, expected, method, rows, [*enumerate(STEPS)])


def test_a_narrow_matrix_shows_thumbnails(tab, expected):
    with tab(show="map", scale="shared") as page:
        page.matrix()
        page.page.set_viewport_size({"width": 420, "height": 860})
        rows, columns = [(0, 0), (3, 3)], [(0, -1), (2, 1)]
        check = {"small": True, "scale": "shared"}
        eventually(assert_matrix, page, expected, METHODS[0], rows, columns, **check)


@pytest.mark.gate
def test_large_cells_are_the_maps_of_the_log(door, chromium, expected):
    """Exactly, in every scale, for every probe."""
    with opened(chromium, door, view="step", show="map", step=-1) as tab:
        for method, step, scale in itertools.product(
            METHODS, (-1, 2), ("epoch", "probe", "shared")
        ):
            tab.choose("method", method)
            tab.choose("scale", scale)
            tab.get("step-slider").fill(str(STEPS.index(step)))
            cells = tab.cells(step)
            assert [cell["probe"] for cell in cells] == [*range(page_logs.COUNT)]
            assert_cells(cells, expected, method, step, scale=scale)


def test_maps_blend_with_the_gray_picture(door, chromium, expected):
    with opened(chromium, door, view="step", step=1) as tab:
        for show, opacity, scale in (
            ("overlay", 1, "epoch"),
            ("overlay", 0.35, "shared"),
            ("overlay", 0, "epoch"),
            ("map", 0.6, "probe"),
        ):
            tab.choose("show", show)
            tab.choose("scale", scale)
            tab.get("opacity").fill(str(opacity))
            style = {"show": show, "opacity": opacity, "scale": scale}
            assert_cells(tab.cells(1), expected, METHODS[0], 1, tolerance=1, **style)


def test_the_slider_shows_each_step_with_its_captions(door, chromium, expected):
    with opened(chromium, door, view="step", show="map") as tab:
        tab.painted(STEPS[-1])
        assert tab.get("step-label").text_content() == f"epoch {STEPS[-1]}"
        for place, step in (*enumerate(STEPS), (1, STEPS[1])):
            tab.get("step-slider").fill(str(place))
            label = "before training" if step < 0 else f"epoch {step}"
            assert tab.get("step-label").text_content() == label
            cells = tab.cells(step)
            assert {cell["step"] for cell in cells} == {step}
            assert_cells(cells, expected, METHODS[0], step)
            wrong = expected.wrong(step)
            assert [cell["wrong"] for cell in cells] == wrong.tolist()
            told = f"{len(wrong)} probes, {wrong.sum()} misclassified"
            assert tab.get("step-summary").text_content() == told
            for cell in cells:
                assert cell["caption"][:3] == caption(expected, step, cell["probe"])
                peak = float(re.fullmatch(r"peak ([\d.e-]+)", cell["caption"][3])[1])
                limit = expected.limit(METHODS[0], step, cell["probe"], "epoch")
                assert peak == pytest.approx(limit, rel=0.005)


def caption(expected, step, probe):
    """What stands below a cell: name, target, prediction."""
    found = expected.reports[step]
    prediction, target = CLASS_NAMES[found.predictions[probe]], CLASS_NAMES[found.targets[probe]]
    sign = "✓" if prediction == target else "✗"
    predicted = f"{sign} predicted: {prediction} ({100 * found.confidences[probe]:.0f}%)"
    return [expected.probes.names[probe], f"target: {target}", predicted]


def test_keys_move_through_steps_and_probes(door, chromium):
    def assert_at(step, probe):
        assert {cell["step"] for cell in tab.cells(step)} == {step}
        assert [cell["probe"] for cell in tab.cells() if cell["current"]] == [probe]

    with opened(chromium, door, view="step") as tab:
        tab.painted()
        for key, step, probe in (
            ("Home", -1, 0),
            ("ArrowLeft", -1, 0),
            ("ArrowRight", 0, 0),
            ("ArrowDown", 0, 1),
            ("ArrowDown", 0, 2),
            ("ArrowUp", 0, 1),
            ("End", STEPS[-1], 1),
            ("ArrowRight", STEPS[-1], 1),
            ("ArrowLeft", STEPS[-2], 1),
        ):
            tab.press(key)
            assert_at(step, probe)
        field = tab.get("filter-text")
        field.click()
        tab.press("d", "o", "Space", "Backspace", "ArrowLeft", "Home", "ArrowRight", "End", "g")
        assert field.input_value() == "dog"
        assert tab.get("play").get_attribute("aria-label") == "Play"
        assert tab.cells()[0]["step"] == STEPS[-2]
        assert tab.probes() == [probe for probe in range(page_logs.COUNT) if probe % 3 == 1]


def test_playing_goes_through_all_steps_and_stops(door, chromium):
    watch = """() => {
        window.seen = [document.querySelector(".cells").dataset.step];
        const look = () => {
            const {step} = document.querySelector(".cells").dataset;
            if (window.seen.at(-1) !== step) window.seen.push(step);
        };
        new MutationObserver(look).observe(document.querySelector(".cells"), {attributes: true});
    }"""
    # The first step's maps are still on their way when the next step's would have been shown.
    delay_first_maps = """() => {
        const {fetch} = window;
        let delay = 600;
        window.fetch = async (url) => {
            if (!String(url).includes("/blob?")) return fetch(url);
            const wait = delay;
            delay = 0;
            await new Promise((done) => setTimeout(done, wait));
            return fetch(url);
        };
    }"""
    with opened(chromium, door, view="step") as tab:
        tab.painted(STEPS[-1])
        tab.frame.evaluate(delay_first_maps)
        for start in (tab.get("play").click, lambda: tab.press("Space")):
            tab.frame.evaluate(watch)
            start()
            tab.frame.locator('[data-testid="play"][aria-label="Pause"]').wait_for()
            tab.frame.locator('[data-testid="play"][aria-label="Play"]').wait_for()
            tab.painted(STEPS[-1])
            assert tab.frame.evaluate("window.seen") == list(map(str, [STEPS[-1], *STEPS]))
            tab.page.locator("body").evaluate("body => document.activeElement.blur()")
        tab.press("Space", "Space")
        assert tab.get("play").get_attribute("aria-label") == "Play"


# ---------------------------------------------------------------- what is shown, in what order


def sorted_probes(expected, step, by, descending):
    """The order in plain Python: by a number and then the probe's place."""
    now, first = expected.reports[step], expected.reports[STEPS[0]]
    probes = range(page_logs.COUNT)
    peak = [expected.limit(METHODS[0], step, probe, "epoch") for probe in probes]
    start = [
        expected.limit(METHODS[0], STEPS[0], probe, "epoch") for probe in range(page_logs.COUNT)
    ]
    assert first.step == -1
    keys = {
        "logged": np.arange(page_logs.COUNT),
        "name": np.arange(page_logs.COUNT),  # they are numbered
        "target": now.targets,
        "confidence": now.confidences,
        "score": now.scores,
        "gradient": now.gradient_norms,
        "peak": np.array(peak),
        "growth": np.array(peak) / np.array(start),
    }
    sign = -1 if descending else 1
    return sorted(range(page_logs.COUNT), key=lambda probe: (sign * float(keys[by][probe]), probe))


def test_probes_are_sorted(tab, expected):
    with tab(view="step", step=0) as page:
        page.painted(0)
        for by in page.options("sort-by"):
            page.choose("sort-by", by)
            for descending in (False, True):
                assert page.probes() == sorted_probes(expected, 0, by, descending), by
                page.get("sort").click()
        page.choose("sort-by", "score")
        page.get("step-slider").fill("0")
        page.painted(-1)
        assert page.probes() == sorted_probes(expected, -1, "score", False)
        page.get("tab-matrix").click()
        where, _ = page.matrix()
        names = page.texts(".matrix-rows button strong")
        order = sorted_probes(expected, -1, "score", False)[where["firstRow"] :]
        assert names == [expected.probes.names[probe] for probe in order[: len(names)]] != []


def test_probes_are_filtered(tab, expected):
    step = 0
    wrong = expected.wrong(step)
    targets = expected.reports[step].targets
    assert 0 < wrong.sum() < page_logs.COUNT
    with tab(view="step", step=step) as page:
        page.painted(step)
        assert page.options("filter-class") == [None, 0, 1, 2]
        for target, is_wrong in itertools.product((None, 0, 2), (None, True, False)):
            page.choose("filter-class", target)
            page.choose("filter-wrong", is_wrong)
            passes = [
                probe
                for probe in range(page_logs.COUNT)
                if target in (None, targets[probe]) and is_wrong in (None, wrong[probe])
            ]
            assert page.probes() == passes, (target, is_wrong)
            told = f"{len(passes)} of {page_logs.COUNT} probes, {wrong[passes].sum()} misclassified"
            if len(passes) not in (0, page_logs.COUNT):
                assert page.get("step-summary").text_content() == told
        page.choose("filter-class", None)
        page.choose("filter-wrong", None)
        page.get("filter-text").fill("01")
        names = expected.probes.names
        assert page.probes() == [probe for probe in range(page_logs.COUNT) if "01" in names[probe]]
        page.get("filter-text").fill("EEL")
        assert page.probes() == [probe for probe in range(page_logs.COUNT) if "eel" in names[probe]]
        page.get("filter-text").fill("none of these")
        assert page.probes() == []
        assert page.get("step-summary").text_content() == "No probes match the filter."


def test_every_map_of_colours_is_matplotlibs(tab, expected):
    names = ["hot", "inferno", "viridis", "magma", "turbo", "gray"]
    with tab(view="step", show="map", step=1) as page:
        page.painted(1)
        assert page.options("colormap") == names
        for name in names:
            page.choose("colormap", name)
            assert_cells(page.cells(1), expected, METHODS[0], 1, colormap=name)


def edges(mask):
    """The unit edges between inside and outside, as `(row, column, is_vertical)`."""
    padded = np.pad(mask, 1).astype(int)
    across = np.argwhere(np.diff(padded, axis=0)[:, 1:-1])
    down = np.argwhere(np.diff(padded, axis=1)[1:-1])
    return {(*map(int, at), False) for at in across} | {(*map(int, at), True) for at in down}


def drawn_edges(path):
    """The same of the data of an SVG path that has lines along the axes only."""
    found = set()
    for left, top, way, end in re.findall(r"M(\d+) (\d+)([HV])(\d+)", path):
        x, y, end = int(left), int(top), int(end)
        if way == "H":
            found |= {(y, column, False) for column in range(x, end)}
        else:
            found |= {(row, x, True) for row in range(y, end)}
    assert re.sub(r"M\d+ \d+[HV]\d+", "", path) == ""
    return found


def test_outlines_are_those_of_masks_and_regions(tab, expected):
    look = """all => all.map(figure => [
        ...figure.querySelectorAll(".outlines path:not(.casing)")
    ].map(path => [path.dataset.name, path.getAttribute("d"), path.getAttribute("transform")]))"""
    with tab(view="step") as page:
        page.painted()
        found = page.frame.locator(".cells figure").evaluate_all(look)
        assert len(found) == page_logs.COUNT
        regions = expected.probes.regions
        for probe, paths in enumerate(found):
            assert [name for name, _, _ in paths] == ["object", "tag", "own corner"]
            masks = [expected.probes.masks[probe], regions["tag"][0], regions["own corner"][probe]]
            for (_, path, transform), mask in zip(paths, masks, strict=True):
                assert drawn_edges(path) == edges(mask)
                scale = re.fullmatch(r"scale\((.*) (.*)\)", transform).groups()
                assert list(map(float, scale)) == pytest.approx([1 / 60, 1 / 48])
        page.get("outlines").uncheck()
        assert page.frame.locator(".cells .outlines path").count() == 0
        page.get("outlines").check()
        assert page.frame.locator(".cells .outlines path").count() == page_logs.COUNT * 3 * 2


# ---------------------------------------------------------------- other maps


def test_signed_maps_diverge_and_what_is_no_number_is_seen(tab, logs):
    expected = Expected(logs, SIGNED)
    with tab(run=SIGNED, view="step", show="map") as page:
        for method, scale, step in itertools.product(
            ("saliency", "occlusion"), ("epoch", "probe", "shared"), (0, 2)
        ):
            page.choose("method", method)
            page.choose("scale", scale)
            page.get("step-slider").fill(str(step))
            assert_cells(page.cells(step), expected, method, step, scale=scale)
        assert page.options("colormap") == ["RdBu_r"]
        page.choose("method", "saliency")
        page.get("step-slider").fill("0")
        cells = page.cells(0)
        assert (cells[4]["pixels"][..., :3] == page_logs.NOT_A_NUMBER).all()
        assert [cell["defect"] for cell in cells[3:]] == ["zero map", "not a number"]
        page.choose("show", "overlay")
        for step, scale in ((0, "epoch"), (1, "shared")):
            page.get("step-slider").fill(str(step))
            page.choose("scale", scale)
            cells = page.cells(step)
            assert cells[0]["pixels"].shape == (8, 12, 4)  # the picture's; the map has 4 x 6
            assert_cells(cells, expected, "saliency", step, 1, show="overlay", scale=scale)
        assert (cells[4]["pixels"][0, 0, :3] == page_logs.NOT_A_NUMBER).all()


def test_names_of_low_rows_do_not_overlap(tab):
    """Rows of words are one line high: a name and its class stand side by side."""
    with tab(run="written/tokens/saliency") as page:
        where, _ = page.matrix()
        assert where["cellHeight"] + where["gap"] < 30
        look = """all => all.map(label => {
            const { top, bottom } = label.getBoundingClientRect();
            return [top, bottom];
        })"""
        labels = page.frame.locator(".matrix-rows button strong, .matrix-rows button span span")
        boxes = labels.evaluate_all(look)
        (tops, bottoms), pitch = np.transpose(boxes), where["cellHeight"] + where["gap"]
        np.testing.assert_allclose(tops[0::2], tops[1::2], atol=1)
        assert len(boxes) == 6
        assert (bottoms - tops < pitch).all()
        np.testing.assert_allclose(np.diff(tops[0::2]), pitch)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_other_inputs_lie_where_their_pictures_have_them(kind, tab, logs):
    run = f"written/{kind}/saliency"
    expected = Expected(logs, run)
    places = expected.probes.places
    with tab(run=run, view="step", show="map") as page:
        for step in (0, 1):
            page.get("step-slider").fill(str(step))
            for cell in page.cells(step):
                probe = cell["probe"]
                place = places[probe if len(places) > 1 else 0]
                codes = expected.codes("saliency", step, probe).ravel()
                ratio = expected.ratio("saliency", step, probe, "epoch")
                assert (ratio > 1) == (kind == "volume")  # no other kind is clipped
                wanted = expected.heat(codes[place], ratio, "hot")
                wanted[place < 0] = expected.probes.pictures[probe][place < 0]
                np.testing.assert_array_equal(cell["pixels"][..., :3], wanted)


def test_maps_of_further_inputs_are_served(door, chromium, logs):
    """Of an input whose name has a slash, too."""
    names = ["picture", "table", "left/scan"]
    with opened(chromium, door, run=SEVERAL, view="step", show="map", step=1) as tab:
        tab.painted(1)
        pixels = tab.pixels('.cells figure[data-probe="3"] canvas')
        assert tab.texts('.cells figure[data-probe="3"] .input-name') == names
        for name, found in zip(names, pixels, strict=True):
            own = Expected(logs, SEVERAL, None if name == "picture" else name)
            codes = own.codes("gradient", 1, 3)
            if own.probes.places is not None:
                codes = codes[own.probes.places[0]]
            ratio = own.ratio("gradient", 1, 3, "epoch")
            np.testing.assert_array_equal(found[..., :3], own.heat(codes, ratio, "hot"))


# ---------------------------------------------------------------- the matrix


def test_a_click_on_the_matrix_chooses_what_the_large_view_shows(tab, expected):
    with tab() as page:
        where, _ = page.matrix()
        height, width, gap = where["cellHeight"], where["cellWidth"], where["gap"]
        position = {"x": gap + 2 * (width + gap) + 5, "y": gap + 3 * (height + gap) + 5}
        page.get("matrix-canvas").hover(position=position)
        tooltip = page.frame.locator(".tooltip").inner_text()
        assert tooltip.startswith(f"{expected.probes.names[3]}, epoch 1")
        page.get("matrix-canvas").click(position=position)
        assert page.get("step-label").text_content() == "epoch 1"
        page.get("tab-step").click()
        cells = page.cells(1)
        assert [cell["probe"] for cell in cells if cell["current"]] == [3]
        page.get("tab-matrix").click()
        page.frame.locator(".matrix-columns button").nth(1).click()
        assert {cell["step"] for cell in page.cells(0)} == {0}


def test_the_last_corner_of_a_large_log(tab, logs):
    """300 probes at 120 steps: the page holds what is in sight, not all."""
    expected = Expected(logs, "written/many")
    nodes = "document.querySelectorAll('*').length"
    with tab(run="written/many", show="map", step=0) as page:
        where, _ = page.matrix()
        assert (where["rows"], where["columns"]) == page_logs.MANY
        assert (where["firstRow"], where["firstColumn"]) == (0, 0)
        rows, columns = [(row, row) for row in range(8)], [(step, step) for step in range(15)]
        eventually(assert_matrix, page, expected, "saliency", rows, columns)
        at_first = page.frame.evaluate(nodes)
        assert at_first < 600
        page.frame.evaluate("document.querySelector('.matrix-view').scrollTo(1e9, 1e9)")
        rows, columns = [(row, row) for row in range(292, 300)], [(s, s) for s in range(105, 120)]
        eventually(assert_matrix, page, expected, "saliency", rows, columns)
        assert page.texts(".matrix-rows button strong")[-1] == expected.probes.names[-1]
        assert page.texts(".matrix-columns button")[-1] == "119"
        assert abs(page.frame.evaluate(nodes) - at_first) < 30
        where, _ = page.matrix()
        size = where["cellHeight"] + where["gap"]
        x, y = (
            where["gap"] + place * size - where[scrolled] + 9
            for place, scrolled in ((118, "scrollLeft"), (297, "scrollTop"))
        )
        page.get("matrix-canvas").click(position={"x": x, "y": y})
        assert page.get("step-label").text_content() == "epoch 118"
        page.get("tab-step").click()
        page.painted(118)
        page.frame.locator(".cells figure.current").scroll_into_view_if_needed()
        page.frame.locator('figure[data-probe="297"][data-step="118"]').wait_for()
        (found,) = page.pixels(".cells figure.current canvas")
        wanted = expected.pixels("saliency", 118, 297)
        np.testing.assert_array_equal(found[..., :3], wanted)


# ---------------------------------------------------------------- compare, probe, alerts


def difference(expected, method, left, right, scale="epoch"):
    """The colours of the left map minus the right one, each `(step, probe)` as shares."""

    def shares(step, probe):
        ratio = expected.ratio(method, step, probe, scale, clips=False)
        return np.float32(expected.codes(method, step, probe) / 252 * ratio).astype(float)

    index = np.floor(126 + (shares(*left) - shares(*right)) * 126 + 0.5).astype(int)
    return matplotlib.colormaps["RdBu_r"].resampled(253)(index, bytes=True)[..., :3]


@pytest.mark.parametrize("scale", ["epoch", "shared"])
def test_differences_are_those_of_the_maps(scale, tab, expected):
    """Of the last step and the one before training."""
    with tab(view="compare", show="map", otherStep=-1, scale=scale) as page:
        list_of = f'[data-testid="compare"][aria-busy="false"][data-step="{STEPS[-1]}"]'
        page.frame.locator(f"{list_of}[data-other-step='-1']").wait_for()
        page.frame.locator('canvas[data-testid="compare-difference"][data-probe="1"]').wait_for()
        for probe in range(2):
            sides = (
                ("left", expected.pixels(METHODS[0], STEPS[-1], probe, scale=scale)),
                ("right", expected.pixels(METHODS[0], -1, probe, scale=scale)),
                (
                    "difference",
                    difference(expected, METHODS[0], (STEPS[-1], probe), (-1, probe), scale),
                ),
            )
            for side, wanted in sides:
                which = f'canvas[data-testid="compare-{side}"][data-probe="{probe}"]'
                (found,) = page.pixels(which)
                np.testing.assert_array_equal(found[..., :3], wanted, err_msg=f"{side} {probe}")


def test_two_runs_are_compared(tab, expected, logs):
    """The other run ends at epoch 1: that is its step beside later ones."""
    other = Expected(logs, "no cue/saliency")
    with tab(view="compare", show="map", otherRun=other.log.run) as page:
        page.frame.locator('[data-testid="compare"][data-other-step="1"]').wait_for()
        page.frame.locator('canvas[data-testid="compare-right"][data-probe="1"]').wait_for()
        (found,) = page.pixels('canvas[data-testid="compare-right"][data-probe="1"]')
        wanted = other.pixels(METHODS[0], 1, 1)
        np.testing.assert_array_equal(found[..., :3], wanted)
        (found,) = page.pixels('canvas[data-testid="compare-left"][data-probe="1"]')
        wanted = expected.pixels(METHODS[0], STEPS[-1], 1)
        np.testing.assert_array_equal(found[..., :3], wanted)


def test_a_probe_is_shown_at_every_step(tab, expected):
    probe = 4
    with tab(view="probe", show="map", probe=probe, step=0) as page:
        filmstrip = page.get("filmstrip-cell")
        eventually(lambda: assert_count(filmstrip, len(STEPS)))

        def assert_filmstrip():
            found = page.pixels('[data-testid="filmstrip-cell"] canvas')
            for step, pixels in zip(STEPS, found, strict=True):
                codes = expected.thumbnail(METHODS[0], step, probe)
                wanted = expected.pixels(METHODS[0], step, probe, codes=codes)
                np.testing.assert_array_equal(pixels[..., :3], wanted)

        eventually(assert_filmstrip)
        for name, values in (
            ("confidence", "confidences"),
            ("score", "scores"),
            ("gradient-norm", "gradient_norms"),
        ):
            curve = page.frame.locator(f'[data-testid="curve"][data-name="{name}"]')
            said = float(curve.locator(".readout b").first.text_content())
            assert said == pytest.approx(getattr(expected.reports[0], values)[probe], rel=0.005)
            heights = drawn_heights(curve)
            numbers = np.array([getattr(one, values)[probe] for one in expected.log.reports])
            assert len(heights) == len(STEPS)
            # Lower on the page is less; places are rounded to a tenth of a pixel.
            slope, offset = np.polyfit(numbers, heights, 1)
            assert slope < 0
            np.testing.assert_allclose(heights, slope * numbers + offset, atol=0.11)
        chart = page.frame.locator('[data-testid="curve"][data-name="score"] svg')
        box = chart.bounding_box()
        chart.click(position={"x": 40 / 320 * box["width"] + 1, "y": box["height"] / 2})
        assert page.get("step-label").text_content() == "before training"
        filmstrip.nth(2).click()
        assert page.get("step-label").text_content() == "epoch 1"
        page.get("next-probe").click()
        (found,) = page.pixels(".probe-now canvas")
        np.testing.assert_array_equal(found[..., :3], expected.pixels(METHODS[0], 1, probe + 1))


def drawn_heights(curve):
    path = curve.locator("path.main").first.get_attribute("d")
    return [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def assert_count(locator, count):
    assert locator.count() == count


def test_alerts_are_those_of_the_log_with_their_evidence(tab, expected, logs):
    raised = [alert for one in expected.log.reports for alert in one.alerts]
    (alert,) = (alert for alert in raised if alert.level == "alert")
    assert alert.rule == "region/tag"
    assert "repeated_pattern" in alert.explains
    with tab(view="alerts", step=-1) as page:
        page.frame.locator('[data-testid="alert-card"]').first.wait_for()
        said = page.frame.locator(".alert-card .sentence").all_text_contents()
        assert sorted(said) == sorted(alert.sentence for alert in raised)
        marks = page.get("timeline-mark").evaluate_all(
            "all => all.map(m => [Number(m.dataset.step), m.dataset.rule])"
        )
        tests = {(one.step, v.effect.test) for one in expected.log.reports for v in one.verdicts}
        assert {tuple(mark) for mark in marks} == tests
        pictures = expected.evidence()
        for alert in raised:
            if alert.level != "alert":
                continue
            where = f'[data-rule="{alert.rule}"][data-step="{alert.step}"][data-level="alert"]'
            card = page.frame.locator(f'[data-testid="alert-card"]{where}')
            card.scroll_into_view_if_needed()
            card.get_by_test_id("evidence").wait_for()
            (found,) = page.pixels(f'{where} [data-testid="evidence"]')
            np.testing.assert_array_equal(found[..., :3], pictures[alert.step, alert.rule, "alert"])


def test_marks_show_the_verdict_on_every_test(tab, expected):
    """And a hint says why there can't be an alert before training."""
    kinds = {}
    for one in expected.log.reports:
        for verdict in one.verdicts:
            fires = "explained" if verdict.effect.explained_by else "warning"
            usual = fires if verdict.status == "fires" else verdict.status
            kinds[one.step, verdict.effect.test] = "active" if verdict.active else usual
        kinds |= {(one.step, alert.rule): alert.level for alert in one.alerts}
    assert set(kinds.values()) >= {"alert", "warning", "explained", "quiet", "untestable"}
    with tab(view="alerts", step=-1) as page:
        marks = page.get("timeline-mark")
        marks.first.wait_for()
        found = marks.evaluate_all(
            "all => all.map(m => [Number(m.dataset.step), m.dataset.rule, m.dataset.kind])"
        )
        assert {(step, rule): kind for step, rule, kind in found} == kinds
        reason = expected.reports[-1].interventions.blocked_because
        assert reason
        hint = page.get("alerts-hint").text_content()
        assert hint.startswith(f"No alert could be raised before training: {reason}.")


def test_a_withdrawn_alert_says_so(tab):
    with tab(run=WITHDRAWN, view="alerts", step=-1) as page:
        marks = page.get("timeline-mark")
        marks.first.wait_for()
        kinds = marks.evaluate_all("all => all.map(m => m.dataset.kind)")
        assert kinds == ["warning", "alert", "active", "withdrawn"]
        card = page.frame.locator('[data-testid="alert-card"][data-level="alert"]')
        assert card.locator(".when-withdrawn").text_content() == "withdrawn at epoch 3"
        summary = page.get("alerts-summary").text_content()
        assert "none are still active at the last test" in summary


@pytest.mark.parametrize(("run", "rule"), [(RUN, "region/tag"), (UNNAMED, "repeated_pattern")])
def test_an_alert_leads_to_its_place_on_the_maps(run, rule, tab, logs):
    log = read_log(logs)[run]
    alert = next(
        alert
        for one in log.reports
        for alert in one.alerts
        if (alert.rule, alert.level) == (rule, "alert")
    )
    with tab(run=run, view="alerts", step=-1) as page:
        card = page.frame.locator(
            f'[data-testid="alert-card"][data-rule="{rule}"][data-level="alert"]'
        )
        card.get_by_test_id("show-alert").click()
        assert {cell["step"] for cell in page.cells(alert.step)} == {alert.step}
        chosen = page.frame.locator(".cells .outlines path.chosen")
        assert chosen.count() == page_logs.COUNT
        path = chosen.first.get_attribute("d")
        if alert.window is not None:
            top, left, height, width = alert.window
            assert path == f"M{left} {top}h{width}v{height}h-{width}z"
        else:
            assert drawn_edges(path) == edges(log.probes.regions["tag"][0])


# ---------------------------------------------------------------- the standalone file


def assert_kept(tab, where, text):
    assert text in tab.frame.evaluate(f"decodeURIComponent({where})")


def test_a_file_asks_for_nothing_and_keeps_its_state_in_its_address(chromium, file):
    with opened(chromium, file) as tab:
        tab.matrix()
        tab.get("tab-step").click()
        tab.get("step-slider").fill("1")
        tab.choose("show", "map")
        tab.choose("method", METHODS[1])
        before = tab.cells(STEPS[1])
        eventually(assert_kept, tab, "location.hash", METHODS[1])
        tab.page.reload()
        after = tab.cells(STEPS[1])
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.pop("pixels"), other.pop("pixels"))
        assert after == before
        assert tab.get("method").input_value() == f'"{METHODS[1]}"'
        assert {url.partition("#")[0] for url in tab.requested} == {file}


def test_a_notebook_shows_the_page_in_a_frame(chromium, logs, expected, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(html_report.show(logs)._repr_html_(), "utf-8")
    with opened(chromium, path.as_uri()) as tab:
        tab.frame = tab.page.locator("iframe").element_handle().content_frame()
        tab.matrix()
        tab.choose("show", "map")
        rows = [(row, row) for row in range(4)]
        eventually(assert_matrix, tab, expected, METHODS[0], rows, [*enumerate(STEPS)])


def test_a_reload_in_tensorboard_keeps_the_state(tab):
    with tab() as page:
        page.matrix()
        page.get("tab-step").click()
        page.get("step-slider").fill("2")
        page.painted(STEPS[2])
        eventually(assert_kept, page, "localStorage['keras-saliency']", f'"step":{STEPS[2]}')
        page.page.reload()
        assert page.cells(STEPS[2])[0]["step"] == STEPS[2]
