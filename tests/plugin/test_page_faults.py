"""The page of the SALIENCY tab with logs that are hostile, damaged, empty, or still growing."""

import json
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency import Pictures
from keras_saliency.app import html_report
from keras_saliency.data.reports import Alert, Effect, Example, InterventionResults, Verdict
from keras_saliency.log import tags
from keras_saliency.log.blobs import packed
from keras_saliency.log.encoder import Encoder
from support import page_logs
from support.browser import eventually, opened
from support.events import blobs, scalar, write, writing
from support.page_logs import Expected, report
from support.servers import serving, tensorboard_command

pytestmark = pytest.mark.gate

MARKUP = "<img src=x onerror=window.pwned=1>"
CLOSING = "</script><script>window.pwned=1</script>"
HOSTILE = [
    MARKUP,
    CLOSING,
    "\"quotes' & <!--",
    "\u202eright to left\u202c \u05d0\u05d1",
    "x" * 10_000,
]
NAMES = [f"{place} {text}" for place, text in enumerate(HOSTILE)]
COUNT = len(HOSTILE)
MAP = (6, 5)


def maps(step, count=COUNT):
    return np.random.default_rng(step + 10).random((count, *MAP)).astype(np.float32)


def probes(**more):
    images = np.random.default_rng(0).random((COUNT, *MAP, 3))
    return ks.ProbeSet(images, np.arange(COUNT) % 3, **more)


def write_hostile(log_dir):
    """Markup wherever a user can put text; by `TensorBoardSink`, alerts and evidence and all."""
    region = np.zeros(MAP, bool)
    region[:2, :2] = True
    given = probes(
        names=NAMES,
        class_names=HOSTILE[:3],
        groups=HOSTILE,
        regions={MARKUP: region, CLOSING: ~region},
    )
    test = f"region/{MARKUP}"
    effect = Effect(
        test,
        0.5,
        0.001,
        0.4,
        0.9,
        0.01,
        0.001,
        0.5,
        COUNT,
        2,
        examples=(Example(0, 1, given.images[1], 1, 0),),
    )
    verdict = Verdict(effect, 0.2, 0.002, 0.0, "fires", MARKUP, True)
    alert = Alert(
        level="alert",
        step=1,
        rule=test,
        sentence=MARKUP + CLOSING,
        assumption=CLOSING,
        advice=MARKUP,
        effect=0.5,
        flip=0.4,
        p_value=0.002,
        control=0.01,
        start=0.0,
        num_probes=COUNT,
        window=(0, 0, 2, 2),
        target=1,
        examples=effect.examples,
    )
    sink = ks.TensorBoardSink(log_dir, given, notes={MARKUP: CLOSING}, subject={CLOSING: MARKUP})
    for step in range(3):
        more = {"others": {MARKUP: maps(step + 5)}}
        if step == 1:
            found = InterventionResults((effect,), MARKUP, "accuracy", 7, CLOSING)
            more |= {"interventions": found, "verdicts": (verdict,), "alerts": (alert,)}
        sink.write(report(step, maps(step), **more))
    sink.close()


def records_of(step):
    """The elements of a report's records by tag, for spoiling."""
    return dict(Encoder(probes(), Pictures()).of_report(report(step, maps(step))))


def spoiled_header(elements, **fields):
    return [json.dumps(json.loads(elements[0]) | fields).encode(), *elements[1:]]


TAG = tags.maps_tag("saliency")
DAMAGE = {
    1: (tags.REPORTS, lambda found: [found[0].replace(b'"step":1', b'"step":NaN')]),
    2: (tags.REPORTS, lambda found: spoiled_header(found, format=tags.FORMAT + 1)),
    3: (tags.REPORTS, lambda found: [found[0][:-9]]),
    4: (TAG, lambda found: [*found[:2], found[2][:20]]),
    5: (TAG, lambda found: packed({}, {"thumbnails": None, "maps": np.zeros((2, *MAP), np.uint8)})),
    6: (TAG, lambda found: None),
    7: (TAG, lambda found: found[:1]),
    8: (TAG, lambda found: [*found[:2], b"no array at all"]),
    9: (tags.REPORTS, lambda found: [b'{"format": 1, "content": "report", "arrays": []}']),
    12: (TAG, lambda found: [*found[:2], zlib.compress(bytes(2**26))]),
    10: (tags.REPORTS, lambda found: spoiled_header(found, targets=[0], predictions=None)),
}
"""By step, a tag and what becomes of its elements; None: nothing is written. Others are good."""


def write_damaged(run):
    with writing(run) as writer:
        tag, elements = Encoder(probes(), Pictures()).of_probes({}, unit="epoch")
        write(writer, tag, 0, blobs(*elements))
        for step in range(13):
            for tag, good in records_of(step).items():
                wanted, spoil = DAMAGE.get(step, (None, None))
                found = spoil(good) if tag == wanted else good
                if found is not None:
                    write(writer, tag, step, blobs(*found))
        write(
            writer, tags.FINDINGS, 0, blobs(b'{"format": 1, "content": "findings", "arrays": []}')
        )
        write(writer, tags.FINDINGS, 11, blobs(b'{"format": 1'))


def write_odd_probes(run, spoil):
    """A log whose probes are spoiled."""
    with writing(run) as writer:
        tag, elements = Encoder(probes(masks=np.ones((COUNT, *MAP), bool)), Pictures()).of_probes(
            {}, unit="epoch"
        )
        found = spoil(elements)
        if found is not None:
            write(writer, tag, 0, blobs(*found))
        for tag, good in records_of(0).items():
            write(writer, tag, 0, blobs(*good))


@pytest.fixture(scope="module")
def logs(chromium, tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    write_hostile(directory / CLOSING)
    write_hostile(directory / MARKUP)
    write_damaged(directory / "damaged")
    write_odd_probes(
        directory / "newer", lambda found: spoiled_header(found, format=tags.FORMAT + 1)
    )
    write_odd_probes(directory / "none", lambda found: None)
    write_odd_probes(directory / "no pictures", lambda found: [found[0], found[1][:30], found[2]])
    two = packed({}, {"masks": np.ones((2, *MAP), np.uint8)})[1]
    write_odd_probes(directory / "two masks", lambda found: [*found[:2], two])
    return directory


def all_read(board):
    return len(board.index()) == 7 and len(board.index()["damaged"][tags.REPORTS]) == 13


@pytest.fixture(scope="module")
def board(logs, tmp_path_factory):
    with serving(tensorboard_command(logs), tmp_path_factory.mktemp("board"), all_read) as found:
        yield found.url


@pytest.fixture(params=["TensorBoard", "file"])
def door(request, logs, tmp_path):
    if request.param == "file":
        path = tmp_path / "page.html"
        path.write_text(html_report.page(logs), "utf-8")
        return path.as_uri()
    return f"{request.getfixturevalue('board')}/data/plugin_entry.html?name=saliency"


def assert_harmless(tab):
    for frame in tab.page.frames:
        assert frame.evaluate("typeof window.pwned") == "undefined"
        assert frame.locator("img[src=x]").count() == 0


VIEWS = ["matrix", "step", "compare", "probe", "alerts"]


@pytest.mark.parametrize("run", [MARKUP, CLOSING])
def test_markup_is_shown_as_text(run, door, chromium, logs):
    expected = Expected(logs, f"{run}/saliency")
    with opened(chromium, door, run=f"{run}/saliency", show="map") as tab:
        tab.matrix()
        assert tab.texts(".matrix-rows button strong") == NAMES
        assert tab.options("method") == ["saliency", MARKUP]
        assert f"{run}/saliency" in tab.options("run")
        tab.choose("method", MARKUP)
        for view in VIEWS:
            tab.get(f"tab-{view}").click()
            tab.frame.locator(".view > section").wait_for()
            tab.page.wait_for_timeout(100)
            assert_harmless(tab)
        tab.get("tab-step").click()
        tab.get("step-slider").fill("1")
        cells = tab.cells(1)
        assert [cell["caption"][0] for cell in cells] == NAMES
        assert cells[0]["caption"][1] == f"target: {MARKUP}"
        assert cells[0]["caption"][2].startswith(f"✓ predicted: {MARKUP} (")
        for cell in cells:
            wanted = expected.pixels(MARKUP, 1, cell["probe"])
            np.testing.assert_array_equal(cell["pixels"][..., :3], wanted)
        width = tab.frame.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0  # nothing bursts the page
        for place in range(COUNT):
            tab.frame.locator(".cells figure").nth(place).hover()
        assert_harmless(tab)


def test_markup_is_harmless_within_tensorboard(chromium, board):
    with opened(chromium, f"{board}/#saliency", run=f"{MARKUP}/saliency") as tab:
        tab.frame = tab.page.locator("iframe").element_handle().content_frame()
        tab.frame.wait_for_url("**/data/plugin_entry.html?name=saliency")
        tab.matrix()
        assert_harmless(tab)


def test_what_is_damaged_is_said_and_the_rest_is_shown(door, chromium):
    with opened(chromium, door, run="damaged", view="step", show="map", step=0) as tab:
        cells = tab.cells(0)
        expected = page_logs.codes_of(maps(0))
        for cell, codes in zip(cells, expected, strict=True):
            np.testing.assert_array_equal(cell["pixels"][..., :3], page_logs.hot(codes))
        tab.get("problems").locator("summary").click()
        problems = " ".join(tab.texts('[data-testid="problems"] li'))
        for said in ("step 1 ", "step 2 ", "step 3 ", "step 9 ", "step 10 ", "step 11 ", "step 0 "):
            assert f"at {said}" in problems, problems
        assert "newer" in problems
        steps = [0, 4, 5, 6, 7, 8, 11, 12]
        notes = {
            4: "truncated or corrupted",
            5: "Expected maps of 5 probes, found 2.",
            6: "The log has no saliency maps at epoch 6.",
            7: "An array is missing from this log.",
            8: "truncated or corrupted",
            12: "larger than its probes allow",
        }
        for place, step in enumerate(steps):
            tab.get("step-slider").fill(str(place))
            assert tab.get("step-label").text_content() == f"epoch {step}"
            if step in notes:
                tab.frame.locator(f'.cells figure[data-step="{step}"] .cell-note').first.wait_for()
                for note in tab.texts(".cells .cell-note"):
                    assert note
                    assert notes[step] in note
            else:
                cells = tab.cells(step)
                for cell, codes in zip(cells, page_logs.codes_of(maps(step)), strict=True):
                    assert cell["note"] == ""
                    np.testing.assert_array_equal(cell["pixels"][..., :3], page_logs.hot(codes))
        for view in VIEWS:
            tab.get(f"tab-{view}").click()
            tab.frame.locator(".view > section").wait_for()
            for place in range(len(steps)):
                tab.get("step-slider").fill(str(place))
                tab.page.wait_for_timeout(50)


def test_probes_that_cannot_be_read_are_said(door, chromium):
    """And another run can be chosen."""
    with opened(chromium, door, run="newer") as tab:
        tab.get("problems").locator("summary").click()
        (said,) = tab.texts('[data-testid="problems"] li')
        assert "newer" in said
        tab.get("notice").get_by_text("no probes that this page can read").wait_for()
        tab.choose("notice-run", "damaged")
        tab.matrix()
    with opened(chromium, door, run="none") as tab:
        tab.get("notice").get_by_text("no probes that this page can read").wait_for()


@pytest.mark.parametrize(("run", "said"), [("no pictures", "pictures"), ("two masks", "masks")])
def test_maps_are_shown_where_pictures_or_masks_are_spoiled(run, said, door, chromium):
    with opened(chromium, door, run=run, view="step") as tab:
        cells = tab.cells(0)
        assert cells[0]["pixels"].shape == (*MAP, 4)
        if run == "no pictures":
            for cell, codes in zip(cells, page_logs.codes_of(maps(0)), strict=True):
                np.testing.assert_array_equal(cell["pixels"][..., :3], page_logs.hot(codes))
        tab.get("problems").locator("summary").click()
        (problem,) = tab.texts('[data-testid="problems"] li')
        assert said in problem
        for view in VIEWS:
            tab.get(f"tab-{view}").click()
            tab.frame.locator(".view > section").wait_for()
            tab.page.wait_for_timeout(100)


# ---------------------------------------------------------------- a log that grows


def test_a_log_grows_while_it_is_watched(chromium, tmp_path):
    """From none, with what to do, to the first epochs; who follows the newest step gets it."""
    logs = tmp_path / "logs"
    with writing(logs / "train") as writer:
        write(writer, "loss", 0, scalar(0.5), plugin="scalars", data_class=1)
    command = tensorboard_command(logs, "--reload_interval=1")
    ready = lambda board: board.index() == {} and board.losses("train")  # noqa: E731
    with serving(command, tmp_path, ready) as board:
        address = f"{board.url}/data/plugin_entry.html?name=saliency"
        with opened(chromium, address, view="step", show="map") as tab:
            tab.get("introduction").wait_for()
            assert "ks.SaliencyCallback(probes" in tab.get("introduction").text_content()
            assert not tab.get("step-slider").is_visible()
            sink = ks.TensorBoardSink(logs, probes())
            for steps in ((0,), (1, 2)):
                for step in steps:
                    sink.write(report(step, maps(step)))
                tab.painted(steps[-1])  # without being asked
                assert not tab.get("introduction").is_visible()
            for cell, codes in zip(tab.cells(2), page_logs.codes_of(maps(2)), strict=True):
                np.testing.assert_array_equal(cell["pixels"][..., :3], page_logs.hot(codes))
            tab.get("step-slider").fill("1")
            tab.painted(1)
            tab.frame.locator(".cells figure").nth(3).click()
            sink.write(report(3, maps(3)))
            eventually(assert_last, tab, 3)
            cells = tab.cells(1)
            assert [cell["probe"] for cell in cells if cell["current"]] == [3]
            sink.close()


def assert_last(tab, last):
    assert tab.get("step-slider").get_attribute("max") == str(last)


def test_tensorboard_without_our_data_says_what_to_do(chromium, tmp_path):
    with writing(tmp_path / "logs" / "train") as writer:
        write(writer, "loss", 0, scalar(0.5), plugin="scalars", data_class=1)
    command = tensorboard_command(tmp_path / "logs", "--load_fast=false")
    with (
        serving(command, tmp_path, lambda board: board.losses("train")) as board,
        opened(chromium, f"{board.url}/#saliency") as tab,
    ):
        tab.frame = tab.page.locator("iframe").element_handle().content_frame()
        tab.get("introduction").wait_for()
        assert "ks.SaliencyCallback(probes" in tab.get("introduction").inner_text()


# Keras, of any tf.data.Dataset in `fit`.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_the_lines_that_an_empty_tab_shows_make_a_log(chromium, tmp_path, monkeypatch):
    data = {"index": {"format": tags.FORMAT, "runs": {}}, "headers": {}, "blobs": {}}
    modules = {path.name: path.read_text("utf-8") for path in html_report.STATIC.glob("*.js")}
    path = tmp_path / "page.html"
    path.write_text(html_report.document(title="", style="", modules=modules, data=data), "utf-8")
    with opened(chromium, path.as_uri()) as tab:
        lines = tab.get("introduction").locator("pre").text_content()
    assert lines.count("epochs=20") == 1
    images, labels = page_logs.planted(True, count=48)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.build((None, *images.shape[1:]))
    monkeypatch.chdir(tmp_path)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(24)
    given = {"model": model, "train_ds": dataset, "validation_ds": dataset}
    exec(lines.replace("epochs=20", "epochs=1"), given)
    assert [report.step for report in ks.read_log("logs")["saliency"].reports] == [-1, 0]
