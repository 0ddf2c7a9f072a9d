"""The one file: its modules, its data, and what can't get out of it. Browsers open it elsewhere."""

import base64
import dataclasses
import html
import json
import re

import pytest

import keras_saliency as ks
from keras_saliency.app.html_report import STATIC, page, script, show
from keras_saliency.data.reports import Alert, InterventionResults
from keras_saliency.log.reader import read_blobs
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
        *("alert", 3, "frame", "a sentence", "an assumption"),
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


def test_the_modules_are_one_script_each_after_those_it_needs():
    text = script()
    assert not re.search(r"^(import|export)\b.*\./", text, re.MULTILINE)
    places = {}
    for path in STATIC.glob("*.js"):
        source = path.read_text("utf-8")
        declared = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", source, re.M)
        for name in declared:
            where = [m.start() for m in re.finditer(rf"^(?:async )?\w+ {name}\b", text, re.M)]
            assert len(where) == 1, name
            places[path.name] = where[0]
    for path in STATIC.glob("*.js"):
        for needed in re.findall(r'^import .* from "\./(.*)";$', path.read_text("utf-8"), re.M):
            assert places[needed] < places[path.name]


def test_modules_import_in_the_one_way_that_can_be_inlined():
    """On one line, by name, from a neighbour: what `script` takes away."""
    for path in STATIC.glob("*.js"):
        for line in path.read_text("utf-8").splitlines():
            if re.match(r"(import|export)\b", line) and "ks" not in line:
                assert re.match(
                    r'import \{ [\w, ]+ \} from "\./[\w-]+\.js";$'
                    r"|export (async )?(function|class|const|let)\b",
                    line,
                ), f"{path.name}: {line}"


def test_no_two_modules_declare_one_name():
    """They share one scope in the file; browsers would refuse it."""
    declared = re.findall(
        r"^(?:async )?(?:function\*?|class|const|let) (\w+)", script(), re.MULTILINE
    )
    twice = {name for name in declared if declared.count(name) > 1}
    assert twice == set()
    assert len(declared) > 50


def test_nothing_from_a_log_becomes_markup():
    """Of the ways to do so, none is in the modules."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(ways, script())


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
    assert last["error"].startswith("Its header is no JSON")


def test_a_directory_without_a_log_is_refused(tmp_path):
    with pytest.raises(ValueError, match="log_dir: expected a log of SaliencyCallback"):
        page(tmp_path)
    with pytest.raises(ValueError, match="log_dir: expected a directory"):
        page(tmp_path / "missing")


def test_the_same_log_gives_the_same_bytes(log_dir):
    assert page(log_dir) == page(log_dir)
