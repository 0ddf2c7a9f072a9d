"""The SALIENCY tab's backend, in real TensorBoards with either of their loaders."""

import base64
import json
import math
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import quote

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto import types_pb2

from keras_saliency import plugin
from keras_saliency.log import tags
from keras_saliency.plugin.loader import ALL_STEPS, SaliencyLoader
from keras_saliency.plugin.runs import LARGEST_HEADER, Runs, Texts, header_text
from support.events import blobs, scalar, tensor, write, writing
from support.servers import LOADERS, serving, tensorboard_command

pytestmark = pytest.mark.gate  # servers of TensorBoard, with each of its loaders

STEPS = range(-1, 60)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
MAPS = tags.maps_tag("gradient")
MARKUP = "<img src=x onerror=alert(1)>"
HEAVY = {"keras", "matplotlib", "numpy", "scipy", "tensorflow"}
POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
HOSTILE = "saliency_log/maps/../<script>alert(1)</script>?&#%2e"


def header(step, **fields):
    return {"format": 1, "content": "maps", "arrays": ["thumbnails", "maps"], "step": step} | fields


def encoded(record):
    return json.dumps(record).encode()


BAD_HEADERS = {
    0: (b"", "not valid JSON"),
    1: (encoded(header(1))[:-5], "not valid JSON"),
    2: (b"no JSON", "not valid JSON"),
    3: (b'{"format": 1, "scores": [NaN]}', "NaN is not a finite number"),
    4: (b'{"format": 1, "scores": [-Infinity]}', "-Infinity is not a finite number"),
    5: (b"\xff\xfe{}", "utf-8"),
    6: (b"[1]", "Its header has no format"),
    7: (b'{"content": "maps"}', "Its header has no format"),
    8: (b'{"format": true}', "Its header has no format"),
    9: (b'{"format": 3}', "(format 3; this version reads format 2). Upgrade keras_saliency"),
    10: (b"[" * 100_000, "not valid JSON"),
    11: (b'{"format": 1' + b"9" * 5000 + b"}", "not valid JSON"),
}
"""By step, an invalid header, and a part of the message."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("logs")
    with writing(directory / "saliency") as writer:
        for step in STEPS:
            write(writer, MAPS, step, blobs(encoded(header(step)), b"", bytes([step % 256]) * 999))
            write(writer, "picture", step, blobs(b"1", b"1", PIXEL), plugin="images")
            write(writer, "loss", step, scalar(step / 2), plugin="scalars", data_class=1)
        write(writer, "private", 0, blobs(b"of another plugin"), plugin="other")
    with writing(directory / MARKUP) as writer:
        for step, (element, _) in BAD_HEADERS.items():
            write(writer, HOSTILE, step, blobs(element))
        write(writer, HOSTILE, 12, blobs())
        write(writer, HOSTILE, 13, blobs(encoded(header(13, said=MARKUP))))
    with writing(directory / "odd") as writer:
        write(writer, "numbers", 0, tensor(types_pb2.DT_FLOAT, [2], float_val=[1, 2]))
        write(writer, "no vector", 0, tensor(types_pb2.DT_STRING, [], string_val=[b"{}"]))
        write(writer, "late", 0, blobs(encoded(header(0))), wall_time=math.inf)
        for wall_time in (1, 2):
            element = encoded(header(0, wall_time=wall_time))
            write(writer, "twice", 0, blobs(element), wall_time=wall_time)
        write(writer, "last", 0, blobs(encoded(header(0))))
    return directory


@pytest.fixture(scope="module")
def plain_logs(tmp_path_factory):
    """Without a file of ours, and with one that is damaged."""
    directory = tmp_path_factory.mktemp("plain_logs")
    with writing(directory / "train") as writer:
        for step in range(60):
            write(writer, "loss", step, scalar(step / 2), plugin="scalars", data_class=1)
    (directory / "saliency").mkdir()
    (directory / "saliency" / "events.out.tfevents.1.damaged").write_bytes(os.urandom(2000))
    return directory


@pytest.fixture(scope="module", params=LOADERS)
def board(request, logs, tmp_path_factory):
    further = LOADERS[request.param]
    prefix = "/a/b" if further else ""

    def all_read(board):
        runs = board.index()
        return (
            len(runs["saliency"][MAPS]) == 61
            and len(runs[MARKUP][HOSTILE]) == 14
            and "last" in runs["odd"]
        )

    directory = tmp_path_factory.mktemp("board")
    with serving(tensorboard_command(logs, *further), directory, all_read, prefix) as board:
        yield board


def test_the_index_has_every_step_of_every_tag(board):
    runs = board.index()
    assert runs.keys() == {"saliency", MARKUP, "odd"}
    assert runs["saliency"].keys() == {MAPS}
    assert runs[MARKUP].keys() == {HOSTILE}
    entries = runs["saliency"][MAPS]
    assert [(step, wall_time) for step, wall_time, _ in entries] == [
        (step, 1e9 + step) for step in STEPS
    ]
    assert all(len(set(keys)) == 3 for _, _, keys in entries)


def test_a_blob_is_what_was_written(board):
    for step, _, keys in board.index()["saliency"][MAPS][::20]:
        elements = [board.read("blob", key=key) for key in keys]
        assert elements == [encoded(header(step)), b"", bytes([step % 256]) * 999]


def test_headers_are_those_of_later_steps(board):
    expected = [{"step": step, "wall_time": 1e9 + step, "header": header(step)} for step in STEPS]
    assert board.headers("saliency", MAPS) == expected
    assert board.headers("saliency", MAPS, after=57) == expected[-2:]
    assert board.headers("saliency", MAPS, after=-1) == expected[1:]
    assert board.headers("saliency", MAPS, after=59) == []


def test_a_bad_header_is_an_entry_that_says_so(board):
    *bad, none, good = board.headers(MARKUP, HOSTILE)
    for (step, (_, said)), item in zip(BAD_HEADERS.items(), bad, strict=True):
        assert item.keys() == {"step", "wall_time", "error"}
        assert (item["step"], item["wall_time"]) == (step, 1e9 + step)
        assert said in item["error"]
    assert none["error"] == "Its header is missing: only the step was written."
    assert good == {"step": 13, "wall_time": 1e9 + 13, "header": header(13, said=MARKUP)}


def test_what_only_other_writers_write_is_harmless(board):
    """The default loader leaves it out; the Python loader hands it on as if it were fine."""
    for tag, entries in board.index()["odd"].items():
        items = board.headers("odd", tag)
        assert [item["step"] for item in items] == [step for step, _, _ in entries]
        for _, _, keys in entries:
            for key in keys:
                assert board.get(f"/data/plugin/saliency/blob?key={key}")[0] in (200, 404)
        if tag in ("numbers", "no vector"):
            gone = "Not found: the data was deleted, or it has another type"
            assert all(item["error"] == gone for item in items)
        if tag == "late":
            expected = {"step": 0, "wall_time": None, "header": header(0)}
            assert all(item == expected for item in items)
        if tag == "twice":
            (item,) = items
            assert item["wall_time"] == item["header"]["wall_time"]


def test_other_plugins_data_is_not_served(board):
    *_, keys = board.index()["saliency"][MAPS][0]
    fields = json.loads(base64.urlsafe_b64decode(keys[0] + "=" * (-len(keys[0]) % 4)))
    assert fields[-4:] == ["saliency", MAPS, -1, 0]
    forged = json.dumps([*fields[:-4], "saliency", "private", 0, 0], separators=(",", ":"))
    key = base64.urlsafe_b64encode(forged.encode()).decode().rstrip("=")
    for bad in (key, "", "nonsense", "<b>"):
        status, said = board.refused(f"blob?key={quote(bad)}")
        assert (status, said) == (404, "Not found: key: this plugin has no data with this key")


def test_a_bad_request_says_what_is_wrong(board):
    tag = quote(MAPS)
    for path, said in {
        "blob": "key: expected this parameter; it is missing.",
        "headers?run=saliency": "tag: expected this parameter; it is missing.",
        f"headers?tag={tag}": "run: expected this parameter; it is missing.",
        f"headers?run=saliency&tag={tag}&after=1.5": (
            "after: expected a whole number, received '1.5'."
        ),
        "blob?key=0&wall_time=now": (
            "wall_time: expected the wall time that the index gives, received 'now'."
        ),
    }.items():
        assert board.refused(path) == (400, f"Invalid argument: {said}")
    assert board.refused("headers?run=none&tag=none") == (
        404,
        "Not found: run, tag: the run 'none' has no data with the tag 'none'",
    )
    for method in ("POST", "PUT", "DELETE"):
        assert board.refused("index", method) == (405, f"{method}: expected GET.")


def test_what_is_kept_by_a_browser(board):
    """Only a blob, and only by a URL that no other blob will ever have."""
    _, wall_time, (key, *_) = board.index()["saliency"][MAPS][0]
    headers = f"headers?run=saliency&tag={quote(MAPS)}"
    for route, kind, kept in (
        ("index", "application/json", "no-store"),
        (headers, "application/json", "no-store"),
        ("nonsense.js", None, None),
        (f"blob?key={key}", "application/octet-stream", "no-cache, must-revalidate"),
        (f"blob?key={key}&wall_time=7", "application/octet-stream", "no-cache, must-revalidate"),
        (
            f"blob?key={key}&wall_time={wall_time:.0f}",
            "application/octet-stream",
            "private, max-age=3600",
        ),
        ("blob?key=nonsense", "application/json", "no-store"),
    ):
        status, found, _ = board.get(f"/data/plugin/saliency/{route}")
        if kind is None:
            assert status == 404
            continue
        assert (found["Content-Type"], found["Cache-Control"]) == (kind, kept)
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Content-Security-Policy"] == POLICY


def test_json_is_compressed_where_the_browser_can(board):
    path = "/data/plugin/saliency/index"
    _, headers, content = board.get(path, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert len(content) < len(board.get(path)[2]) / 2


def test_the_files_of_the_page_are_served_and_no_others(board):
    static = Path(plugin.__file__).with_name("static")
    kinds = {".js": "text/javascript", ".css": "text/css"}
    files = [path for path in static.iterdir() if path.suffix in kinds]
    assert static / "index.js" in files
    for path in files:
        status, headers, content = board.get(f"/data/plugin/saliency/{path.name}")
        assert (status, content) == (200, path.read_bytes())
        assert headers["Content-Type"] == f"{kinds[path.suffix]}; charset=utf-8"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["Cache-Control"] == "no-cache, must-revalidate"
    for path in ("loader.py", "../loader.py", "%2e%2e/loader.py", "static/index.js", "..%2fa.js"):
        assert board.get(f"/data/plugin/saliency/{path}")[0] == 404


def test_the_tab_is_listed(board):
    listed = board.listing()["saliency"]
    assert (listed["enabled"], listed["tab_name"]) == (True, "Saliency")
    path = board.url.partition("/")[2].partition("/")[2].partition("/")
    assert listed["loading_mechanism"] == {
        "type": "IFRAME",
        "module_path": f"{path[1]}{path[2]}/data/plugin/saliency/index.js",
    }


def test_every_epoch_of_the_stock_pictures_is_shown(board):
    _, _, content = board.get("/data/plugin/images/images?run=saliency&tag=picture&sample=0")
    assert [picture["step"] for picture in json.loads(content)] == [*STEPS]


def test_the_other_tabs_work(board):
    assert board.losses("saliency") == [(step, step / 2) for step in STEPS]


@pytest.mark.slow
def test_a_number_of_the_users_own_is_respected(logs, tmp_path):
    """By way of the command, which hands it on."""
    own = ["--", "--samples_per_plugin", "saliency=5,images=3"]
    code = (
        "import sys; from keras_saliency.app.cli import main; "
        f"sys.exit(main(['tensorboard', {str(logs)!r}, *sys.argv[1:], *{own}]))"
    )

    def all_read(board):
        return (
            board.index()["saliency"][MAPS][-1][0] == 59 and board.losses("saliency")[-1][0] == 59
        )

    with serving(["-c", code], tmp_path, all_read) as board:
        assert len(board.index()["saliency"][MAPS]) == 5
        _, _, content = board.get("/data/plugin/images/images?run=saliency&tag=picture&sample=0")
        assert len(json.loads(content)) == 3
        said = (tmp_path / "output.txt").read_text()
        assert f"  {board.url}/#saliency  the SALIENCY tab\n" in said
        assert f"  {board.url}/?tagFilter=%5Esaliency%7Cepoch_loss#timeseries" in said


@pytest.mark.slow
@pytest.mark.parametrize("further", LOADERS.values(), ids=LOADERS)
def test_without_tensorflow_and_without_data_the_other_tabs_work(plain_logs, tmp_path, further):
    def all_read(board):
        return board.losses("train")[-1][0] == 59

    prefix = "/a/b" if further else ""
    command = tensorboard_command(plain_logs, *further)
    with serving(command, tmp_path, all_read, prefix, without=["tensorflow"]) as board:
        assert board.losses("train") == [(step, step / 2) for step in range(60)]
        assert board.listing()["saliency"]["enabled"] is False
        assert board.index() == {}


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["keras_saliency.log.tags", "keras_saliency.plugin.runs"])
def test_an_import_that_fails_costs_nothing_but_the_tab(logs, tmp_path, missing):
    def all_read(board):
        return board.losses("saliency")[-1][0] == 59

    with serving(
        tensorboard_command(logs), tmp_path, all_read, without=[missing, "tensorflow"]
    ) as board:
        assert board.losses("saliency") == [(step, step / 2) for step in STEPS]
        assert "saliency" not in board.listing()
        said = (tmp_path / "output.txt").read_text()
        assert "keras_saliency: the SALIENCY tab could not be loaded." in said


def test_a_blob_is_found_before_anyone_asks_for_the_index(logs):
    """As after a restart of TensorBoard under an open page."""
    multiplexer = EventMultiplexer(tensor_size_guidance={tags.PLUGIN: ALL_STEPS})
    multiplexer.AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logs))
    entry = Runs(provider).index({})["saliency"][MAPS][7]
    assert Runs(provider).blob({}, entry.keys[0]) == (encoded(header(6)), 1e9 + 6)


def test_a_header_has_a_bounded_size():
    start = b'{"format": 1}'
    fits = start + b" " * (LARGEST_HEADER - len(start))
    assert header_text(fits) == fits.decode()
    with pytest.raises(ValueError, match="its header is larger than 32 MB"):
        header_text(fits + b" ")


def test_the_headers_asked_for_last_are_kept():
    texts = Texts(10)
    texts.put("a", "12345")
    texts.put("b", "1234")
    assert texts.get("a") == "12345"
    texts.put("c", "12")
    assert [texts.get(key) for key in "abc"] == ["12345", None, "12"]
    texts.put("a", "12345678")
    assert [texts.get(key) for key in "ac"] == ["12345678", "12"]
    texts.put("large", "12345678901")
    assert [texts.get(key) for key in ("a", "c", "large")] == [None] * 3
    texts.put("d", "1234567890")
    assert texts.get("d") == "1234567890"


@pytest.mark.slow
def test_tensorboard_finds_the_loader_which_imports_nothing_heavy():
    (found,) = (
        point for point in entry_points(group="tensorboard_plugins") if point.name == tags.PLUGIN
    )
    assert found.load() is SaliencyLoader
    code = (
        f"import sys, {found.module}; heavy = {HEAVY}; print(heavy & {{*sys.modules}}); "
        "import keras_saliency.plugin.plugin; print(heavy & {*sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "set()\n{'numpy'}\n"  # which TensorBoard itself imports


def test_no_flags_and_no_context_are_no_end(caplog):
    assert SaliencyLoader().fix_flags(object()) is None
    assert SaliencyLoader().load(object()) is None
    assert [record.message for record in caplog.records] == [
        "keras_saliency: TensorBoard will not show every step.",
        "keras_saliency: the SALIENCY tab could not be loaded.",
    ]
