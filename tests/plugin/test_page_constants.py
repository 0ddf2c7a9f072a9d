"""What stands in Python and in the page's JavaScript: in the log's header, or compared here."""

import json

import matplotlib
import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.app import html_report
from keras_saliency.log import tags
from keras_saliency.log.blobs import LARGEST_ARRAY, packed, unpacked
from keras_saliency.log.logged_probes import MAX_PICTURE_SIDE
from keras_saliency.log.reader import read_blobs
from keras_saliency.rendering.heatmaps import SCALES
from support.browser import eventually, matrix_cell, opened
from support.events import write_blobs
from support.page_logs import report

pytestmark = pytest.mark.gate

MAP = (6, 5)


def write_log(log_dir, **settings):
    """Two probes at one step; the records as a sink writes them, by tag."""
    rng = np.random.default_rng(0)
    shape = {"image": (*MAP, 3), "series": (30, 2)}[settings.get("kind", "image")]
    sink = ks.TensorBoardSink(log_dir, ks.ProbeSet(rng.random((2, *shape)), [0, 1], **settings))
    sink.write(report(0, rng.random((2, *shape[:-1])).astype(np.float32)))
    sink.close()
    return {tag: steps[0][1] for tag, steps in read_blobs(log_dir)["saliency"].items()}


@pytest.fixture
def show(chromium, tmp_path):
    """Opens a file with a log of these records."""

    def shown(records, **state):
        for place, (tag, elements) in enumerate(records.items()):
            write_blobs(tmp_path / "shown", tag, 0, elements, suffix=f".{place}")
        path = tmp_path / "page.html"
        path.write_text(html_report.page(tmp_path / "shown"), "utf-8")
        return opened(chromium, path.as_uri(), **state)

    return shown


def changed(elements, **fields):
    return [json.dumps(json.loads(elements[0]) | fields).encode(), *elements[1:]]


def evaluated(tab, module, expression):
    return tab.frame.evaluate(f'import("keras-saliency/{module}").then((module) => ({expression}))')


def test_names_in_the_log_are_those_of_python(show, tmp_path):
    with show(write_log(tmp_path)) as tab:
        assert evaluated(tab, "tags.js", "({...module})") == {
            "PROBES": tags.PROBES,
            "REPORTS": tags.REPORTS,
            "FINDINGS": tags.FINDINGS,
            "MAPS": tags.MAPS,
            "INPUTS": tags.INPUTS,
            "FORMAT": tags.FORMAT,
            "BATCHES": tags.batch_run(""),
        }
        limits = evaluated(tab, "arrays.js", "[module.MOST_BYTES, module.MAX_PICTURE_SIDE]")
        assert limits == [LARGEST_ARRAY, MAX_PICTURE_SIDE]
        tab.matrix()
        assert tab.options("scale") == list(SCALES)


@pytest.mark.parametrize("is_signed", [False, True])
def test_codes_and_colours_are_those_of_the_header(is_signed, show, tmp_path):
    """Other ones than Python writes: the page has no copy of them."""
    records = write_log(tmp_path)
    levels, not_finite, colour = 100, 200, (255, 0, 255)
    table = matplotlib.colormaps["viridis"].resampled(levels + 1)
    table = table(np.arange(levels + 1), bytes=True)[:, :3]
    codes = np.random.default_rng(1).integers(0, levels + 1, (2, *MAP), np.uint8)
    codes[:, 0, 0] = not_finite
    records[tags.PROBES] = changed(
        records[tags.PROBES],
        levels=levels,
        not_finite=not_finite,
        not_finite_color=bytes(colour).hex(),
        colormap="mine",
        diverging="mine",
        colormaps={"mine": table.tobytes().hex()},
    )
    header = json.loads(records[tags.REPORTS][0])
    header["methods"]["saliency"] |= {
        "signed": is_signed,
        "limits": [1.0, 0.5],
        "clip_limits": [1.0, 0.5],
    }
    records[tags.REPORTS] = changed(records[tags.REPORTS], **header)
    tag = tags.maps_tag("saliency")
    records[tag] = packed(json.loads(records[tag][0]), {"thumbnails": None, "maps": codes})
    zero = levels // 2 if is_signed else 0
    with show(records, view="step", show="map", scale="shared") as tab:
        for probe, cell in enumerate(tab.cells(0)):
            index = np.floor((codes[probe].astype(int) - zero) * [1, 0.5][probe] + 0.5) + zero
            wanted = table[np.minimum(index, levels).astype(int)]
            wanted[0, 0] = colour
            np.testing.assert_array_equal(cell["pixels"][..., :3], wanted)


def test_ink_has_the_gray_levels_of_the_header(show, tmp_path):
    records = write_log(tmp_path, kind="series")
    levels = {"light": 201, "dark": 52, "ground": 24}
    records[tags.PROBES] = changed(records[tags.PROBES], ink_levels=levels)
    _, arrays = unpacked(records[tags.PROBES])
    with show(records, view="step", show="overlay") as tab:
        for cell, ink in zip(tab.cells(0), arrays["ink"], strict=True):
            found = cell["pixels"][ink == 255][:, :3]
            assert {tuple(pixel) for pixel in found.tolist()} == {(201,) * 3, (52,) * 3}


@pytest.mark.parametrize("field", ["levels", "not_finite", "not_finite_color", "ink_levels"])
def test_a_header_without_them_is_not_guessed(field, show, tmp_path):
    records = write_log(tmp_path)
    header = json.loads(records[tags.PROBES][0])
    del header[field]
    records[tags.PROBES][0] = json.dumps(header).encode()
    with show(records) as tab:
        tab.get("problems").locator("summary").click()
        (problem,) = tab.texts('[data-testid="problems"] li')
        assert problem == (
            f'The data logged at step 0 can\'t be read: the field "{field}" is missing or invalid.'
        )


@pytest.mark.parametrize(
    "inputs", [7, [7], [{}], [{"name": None, "shape": [2], "regions": []}], [{"name": "a"}]]
)
def test_inputs_of_another_form_are_told(inputs, show, tmp_path):
    records = write_log(tmp_path)
    records[tags.PROBES] = changed(records[tags.PROBES], inputs=inputs)
    with show(records) as tab:
        tab.get("problems").locator("summary").click()
        (problem,) = tab.texts('[data-testid="problems"] li')
        assert problem == (
            'The data logged at step 0 can\'t be read: the field "inputs" is missing or invalid.'
        )


def test_a_run_without_readable_steps_says_so(show, tmp_path):
    records = write_log(tmp_path)
    records[tags.REPORTS] = changed(records[tags.REPORTS], metrics=None)
    with show(records) as tab:
        notice = tab.get("notice").get_by_text("has no steps that this page can read")
        notice.wait_for()
        assert notice.is_visible()


CLIPPED = np.random.default_rng(2).permutation(np.append(np.arange(399), 2000)).reshape(20, 20)
"""The 99th percentile is 396, the maximum 2000."""


def write_clipped(log_dir, sign=1):
    """Two probes, of which one has maps three times as large."""
    maps = np.stack([CLIPPED, 3 * CLIPPED]).astype(np.float32)
    sink = ks.TensorBoardSink(log_dir, ks.ProbeSet(np.zeros((2, 20, 20, 3)), [0, 1]))
    sink.write(report(0, maps, signed_maps=None if sign > 0 else -maps))
    sink.close()
    return {tag: steps[0][1] for tag, steps in read_blobs(log_dir)["saliency"].items()}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("scale", "clips", "ends"),
    [
        ("epoch", True, (396, 3 * 396)),
        ("shared", True, (3 * 396, 3 * 396)),
        ("epoch", False, (2000, 3 * 2000)),
        ("shared", False, (3 * 2000, 3 * 2000)),
    ],
)
def test_maps_are_clipped_when_they_are_drawn(scale, clips, ends, sign, show, tmp_path):
    """Of the log's codes, which are not: 0 to the maximum."""
    levels = 252 if sign > 0 else 126
    codes = np.rint(CLIPPED / 2000 * levels)
    table = matplotlib.colormaps["hot" if sign > 0 else "RdBu_r"].resampled(253)
    records = write_clipped(tmp_path, sign)
    _, arrays = unpacked(records[tags.maps_tag("saliency")])
    zero = 252 - levels
    np.testing.assert_array_equal(arrays["maps"], np.stack([zero + sign * codes] * 2))
    with show(records, view="step", show="map", scale=scale, clips=clips) as tab:
        for cell, peak, end in zip(tab.cells(0), (2000, 3 * 2000), ends, strict=True):
            index = np.floor(sign * codes * peak / end + 0.5).clip(-levels, levels) + zero
            wanted = table(index.astype(int), bytes=True)[..., :3]
            np.testing.assert_array_equal(cell["pixels"][..., :3], wanted)
            assert f"peak {peak}" in tab.frame.locator(".peak").all_text_contents()


def test_the_end_of_colours_is_chosen_beside_the_scale(show, tmp_path):
    def legend_is(text):
        assert tab.get("legend").text_content() == text

    with show(write_clipped(tmp_path), view="step") as tab:
        eventually(legend_is, "0each map's 99th percentile")
        brightest = [cell["pixels"].astype(int).sum() for cell in tab.cells(0)]
        tab.get("clips").select_option(label="maximum")
        eventually(legend_is, "0each map's peak")
        assert all(
            cell["pixels"].astype(int).sum() < bright
            for cell, bright in zip(tab.cells(0), brightest, strict=True)
        )
        tab.get("scale").select_option(label="shared by all maps")
        eventually(legend_is, "06000")
        tab.get("clips").select_option(label="99th percentile")
        eventually(legend_is, "01190")  # 1188


@pytest.mark.parametrize("is_older", [False, True])
def test_logs_without_a_percentile_show_the_maximum(is_older, show, tmp_path):
    """With `clip_percentile=100`, and as older versions wrote them."""
    records = write_clipped(tmp_path)
    records[tags.PROBES] = changed(records[tags.PROBES], clip=None)
    if is_older:
        header = json.loads(records[tags.PROBES][0])
        del header["clip"]
        records[tags.PROBES] = [json.dumps(header).encode(), *records[tags.PROBES][1:]]
        header = json.loads(records[tags.REPORTS][0])
        del header["methods"]["saliency"]["clip_limits"]
        records[tags.REPORTS] = [json.dumps(header).encode()]
    codes = np.rint(CLIPPED / 2000 * 252).astype(int)
    wanted = matplotlib.colormaps["hot"].resampled(253)(codes, bytes=True)[..., :3]
    with show(records, view="step", show="map") as tab:
        assert tab.options("clips") == [False]
        assert tab.get("legend").text_content() == "0each map's peak"
        for cell in tab.cells(0):
            np.testing.assert_array_equal(cell["pixels"][..., :3], wanted)


def test_a_clipped_map_is_not_more_than_opaque(show, tmp_path):
    """On a black picture: colour times the root of the share, which is at most 1."""
    shares = (np.rint(CLIPPED / 2000 * 252) / 252 * 2000 / 396).clip(0, 1)
    table = matplotlib.colormaps["viridis"].resampled(253)
    colors = table(np.floor(shares * 252 + 0.5).astype(int), bytes=True)[..., :3]
    with show(write_clipped(tmp_path), view="step", show="overlay", colormap="viridis") as tab:
        found = tab.cells(0)[0]["pixels"][..., :3].astype(float)
        np.testing.assert_allclose(found, colors * np.sqrt(shares)[..., np.newaxis], atol=1)


def test_all_views_are_painted_anew(show, tmp_path):
    """The matrix and the filmstrip, which keep what they painted."""
    codes = np.rint(CLIPPED / 2000 * 252)
    table = matplotlib.colormaps["hot"].resampled(253)

    def wanted(end):
        index = np.floor(codes * 2000 / end + 0.5).clip(0, 252).astype(int)
        return table(index, bytes=True)[..., :3]

    def assert_matrix(tab, end):
        where, pixels = tab.matrix()
        times = where["cellHeight"] // 20
        expected = wanted(end).repeat(times, 0).repeat(times, 1)[1:-1, 1:-1]
        np.testing.assert_array_equal(matrix_cell(where, pixels, 0, 0), expected)

    def assert_filmstrip(tab, end):
        (found,) = tab.pixels('[data-testid="filmstrip-cell"] canvas')
        np.testing.assert_array_equal(found[..., :3], wanted(end))

    with show(write_clipped(tmp_path), view="matrix", show="map") as tab:
        for view, check in (("matrix", assert_matrix), ("probe", assert_filmstrip)):
            tab.get(f"tab-{view}").click()
            for clips, end in ((False, 2000), (True, 396)):
                tab.choose("clips", clips)
                eventually(check, tab, end)
