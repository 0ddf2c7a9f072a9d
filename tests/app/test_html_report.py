"""The one file: its modules, its data, and what can't get out of it. Browsers open it elsewhere."""

import base64
import dataclasses
import html
import json
import re

import pytest

import keras_saliency as ks
from keras_saliency.app.html_report import STATIC, document, page, show
from keras_saliency.data.reports import Alert, InterventionResults
from keras_saliency.log.reader import read_blobs
from support.browser import eventually
from support.events import write_blobs
from support.logs import images, report, written

DATA = re.compile(
    r'<script type="application/json" id="keras-saliency-data">(.*?)</script>', re.DOTALL
)


def data(text):
    (found,) = DATA.findall(text)
    return json.loads(found)


@pytest.fixture
def log_dir(tmp_path):
    probes = ks.ProbeSet(images(2, 3, 3), [0, 0])
    written(tmp_path, probes, *(report(images(2, 3, 3)[..., 0], step) for step in range(-1, 9)))
    return tmp_path


def test_the_file_carries_the_logs_blobs_as_they_are(log_dir):
    found, runs = data(page(log_dir)), read_blobs(log_dir)
    index = found["index"]["runs"]
    assert index.keys() == runs.keys() == {"saliency"}
    assert index["saliency"].keys() == runs["saliency"].keys()
    for tag, steps in runs["saliency"].items():
        entries = index["saliency"][tag]
        assert [entry[0] for entry in entries] == list(steps)
        for (_, wall_time, keys), (time, blobs) in zip(entries, steps.values(), strict=True):
            assert wall_time == time
            assert [base64.b64decode(found["blobs"][key]) for key in keys] == blobs
    headers = found["headers"]["saliency"]
    assert headers.keys() == {"saliency_log/probes", "saliency_log/reports"}
    assert [told["step"] for told in headers["saliency_log/reports"]] == list(range(-1, 9))
    first = json.loads(runs["saliency"]["saliency_log/reports"][-1][1][0])
    assert headers["saliency_log/reports"][0]["header"] == first


def test_fewer_steps_are_evenly_spaced_with_the_first_and_the_last(log_dir):
    index = data(page(log_dir, max_steps=4))["index"]["runs"]["saliency"]
    for tag in ("saliency_log/reports", "saliency_log/maps/saliency"):
        assert [entry[0] for entry in index[tag]] == [-1, 2, 5, 8]
    assert [entry[0] for entry in index["saliency_log/probes"]] == [-1]


def test_steps_with_a_new_alert_are_kept_beside_the_chosen_ones(tmp_path):
    alert = Alert(
        *("alert", 3, "border", "a sentence", "an assumption", "a remedy"),
        *(0.5, 0.1, 0.001, 0.0, 0.0, 2, None, None, ()),
    )
    found = InterventionResults((), "", "accuracy", 10, "")
    maps = images(2, 3, 3)[..., 0]
    reports = [report(maps, step) for step in range(9)]
    reports[3] = dataclasses.replace(reports[3], interventions=found, alerts=(alert,))
    reports[5] = dataclasses.replace(reports[5], interventions=found)
    written(tmp_path, ks.ProbeSet(images(2, 3, 3), [0, 0]), *reports)
    index = data(page(tmp_path, max_steps=3))["index"]["runs"]["saliency"]
    assert [entry[0] for entry in index["saliency_log/reports"]] == [0, 3, 4, 8]
    assert [entry[0] for entry in index["saliency_log/findings"]] == [3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_steps": 0}, "max_steps: expected a positive integer, received 0"),
        ({"max_steps": True}, "max_steps: expected a positive integer, received True"),
        ({"height": "1px"}, "height: expected a positive integer, received '1px'"),
    ],
)
def test_a_bad_number_is_named(arguments, said, log_dir):
    with pytest.raises((TypeError, ValueError), match=said):
        show(log_dir, **arguments)


def test_names_cannot_end_the_data(tmp_path):
    name = "</script><script>alert(1)</script><!--"
    written(
        tmp_path, ks.ProbeSet(images(1, 2, 2), [0], names=[name]), report(images(1, 2, 2)[..., 0])
    )
    text = page(tmp_path)
    assert name not in text
    told = data(text)["headers"]["saliency"]["saliency_log/probes"][0]["header"]
    assert told["names"] == [name]


def test_the_title_is_text(tmp_path):
    log_dir = tmp_path / "<b>&"
    written(log_dir, ks.ProbeSet(images(1, 2, 2), [0]), report(images(1, 2, 2)[..., 0]))
    assert "<title>Saliency: &lt;b&gt;&amp;</title>" in page(log_dir)


def test_the_page_asks_nobody_for_anything(log_dir):
    text = page(log_dir)
    assert "default-src 'none'" in text
    assert not re.search(r"<(link|img|iframe|script src)", DATA.sub("", text))


def test_the_page_does_not_say_where_the_log_is(log_dir):
    text = page(log_dir)
    assert f"<title>Saliency: {log_dir.name}</title>" in text
    assert str(log_dir.parent) not in text


NONCE = re.compile(r'nonce="([^"]*)"')


def test_only_what_carries_the_nonce_may_run(log_dir):
    """The policy names one nonce, which depends on all that is in the file."""
    text = page(log_dir)
    (nonce,) = set(NONCE.findall(text))
    assert f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}';" in text
    assert "unsafe" not in text.partition("<title>")[0]
    other = page(log_dir, max_steps=3)
    assert NONCE.search(other)[1] != nonce


MODULES = {
    "index.js": """import {
    greet as hello,
} from "./greeting.js";
import word, * as greeting from './greeting.js';
import "./effect.js";
export { late } from "./late.js";
const title = "index";
export async function render() {
    const { late } = await import("./late.js");
    const parts = [title, hello(), word, greeting.kind, window.effect, late];
    document.title = parts.join(" ");
}
export function fail() { throw new Error("failed"); }
""",
    "greeting.js": """import { fail } from "./index.js"; // each of the two needs the other one
const title = "greeting";
export const kind = typeof fail;
export function greet() { return title; }
export default "default";
""",
    "effect.js": 'const title = "effect"; window.effect = title; fetch("./none").catch(() => {});',
    "late.js": 'const title = "late"; export const late = title + " </script><!--";',
}
"""All declare `title`; they import in every form that the language has."""


@pytest.fixture
def modules_page(tmp_path):
    text = document(title="", style="", modules=MODULES, data={})
    (tmp_path / "modules.html").write_text(text, "utf-8")
    frame = f'<!DOCTYPE html><iframe srcdoc="{html.escape(text)}"></iframe>'
    (tmp_path / "notebook.html").write_text(frame, "utf-8")
    sandboxed = frame.replace("<iframe ", '<iframe sandbox="allow-scripts" ')
    (tmp_path / "sandboxed notebook.html").write_text(sandboxed, "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["modules", "notebook", "sandboxed notebook"])
def test_modules_may_declare_the_same_names_and_import_in_any_form(name, modules_page, chromium):
    def assert_title():
        wanted = "index greeting default function effect late </script><!--"
        assert browser_page.frames[-1].evaluate("document.title") == wanted

    browser_page = chromium.new_page()
    browser_page.goto((modules_page / f"{name}.html").as_uri())
    eventually(assert_title)
    browser_page.close()


def test_the_names_of_modules_stand_in_stack_traces(modules_page, chromium):
    browser_page = chromium.new_page()
    browser_page.goto((modules_page / "modules.html").as_uri())
    stack = """import("keras-saliency/index.js").then(({ fail }) => {
        try { fail(); } catch (error) { return error.stack; }
    })"""
    assert "at fail (keras-saliency/index.js:13:" in browser_page.evaluate(stack)
    browser_page.close()


def test_the_policy_stops_scripts_styles_and_requests_of_others(modules_page, chromium):
    """Of all that could be smuggled in, nothing runs and nothing leaves."""
    smuggled = """
    <style>body { color: rgb(1, 2, 3); }</style>
    <script>window.pwned = 1</script>
    <script nonce="0123456789abcdef0123456789abcdef">window.pwned = 1</script>
    <script src="data:text/javascript,window.pwned=1"></script>
    <script type="module">import "data:text/javascript,window.pwned=1"</script>
    <img src="https://example.org/image.png" onerror="window.pwned = 1">
    <base href="https://example.org/">
    """
    path = modules_page / "smuggled.html"
    text = (modules_page / "modules.html").read_text("utf-8")
    path.write_text(text.replace("<body>", f"<body>{smuggled}"), "utf-8")
    browser_page = chromium.new_page()
    requested = []
    browser_page.on("requestfinished", lambda request: requested.append(request.url))
    browser_page.goto(path.as_uri())
    eventually(lambda: assert_title_begins(browser_page, "index greeting"))
    assert browser_page.evaluate("window.pwned ?? null") is None
    assert browser_page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert browser_page.evaluate("document.baseURI") == path.as_uri()
    assert [url for url in requested if not url.startswith("data:")] == [path.as_uri()]
    browser_page.close()


def assert_title_begins(browser_page, words):
    assert browser_page.evaluate("document.title").startswith(words)


def test_modules_name_neighbours_that_exist():
    """TensorBoard serves them beside one another; a file has a map of them."""
    names = {path.name for path in STATIC.glob("*.js")}
    for path in STATIC.glob("*.js"):
        for needed in re.findall(r'\bfrom "(.*?)"|\bimport "(.*?)"', path.read_text("utf-8")):
            assert "".join(needed).removeprefix("./") in names, path.name


def test_nothing_from_a_log_becomes_markup():
    """Of the ways to do so, none is in the modules."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    for path in STATIC.glob("*.js"):
        assert not re.search(ways, path.read_text("utf-8")), path.name


def test_a_notebook_shows_the_page_in_a_frame(log_dir):
    shown = show(log_dir, height=321)._repr_html_()
    frame = re.fullmatch(
        r'<iframe srcdoc="([^"]*)" width="100%" height="321"[^>]*></iframe>', shown
    )
    assert html.unescape(frame[1]) == page(log_dir)
    assert len(repr(show(log_dir))) < 100  # not the whole page, where HTML can't be shown


def test_a_broken_header_is_told_in_its_place(tmp_path, log_dir):
    write_blobs(log_dir / "saliency", "saliency_log/reports", 99, [b"{"])
    last = data(page(log_dir))["headers"]["saliency"]["saliency_log/reports"][-1]
    assert last["step"] == 99
    assert last["error"].startswith("Its header is not valid JSON")


def test_a_directory_without_a_log_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="log_dir: expected a directory with a log of SaliencyCallback"
    ):
        page(tmp_path)
    with pytest.raises(ValueError, match="log_dir: expected a directory"):
        page(tmp_path / "missing")


def test_the_same_log_gives_the_same_bytes(log_dir):
    assert page(log_dir) == page(log_dir)
