"""Log directories on disk and behind URLs. `ram://` is a file system of TensorFlow's."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from keras_saliency.log import files


@pytest.fixture
def remote(request):
    """A directory in memory."""
    where = f"ram://{request.node.name}"
    tf.io.gfile.makedirs(where)
    return where


def write(where, content=b"abcdef"):
    with tf.io.gfile.GFile(where, "wb") as file:
        file.write(content)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gs://bucket/logs/", "gs://bucket/logs"),
        ("gs://bucket", "gs://bucket"),
        ("ram://", "ram://"),
        ("s3+x://a//b", "s3+x://a//b"),
        ("logs/run", Path("logs/run")),
        (Path("logs"), Path("logs")),
        ("file:///tmp/logs", Path("/tmp/logs")),
        ("C:/logs", Path("C:/logs")),
        ("~/logs", Path.home() / "logs"),
        (Path("~/logs"), Path.home() / "logs"),
    ],
)
def test_a_location_is_a_url_or_a_path(path, expected):
    found = files.location(path)
    assert found == expected
    assert type(found) is type(expected)


def test_a_path_that_was_a_url_is_refused(tmp_path, monkeypatch):
    """`Path` makes one slash of two: a directory named `gs:` would be meant."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="log_dir: expected .* a URL as a string, .*pass the str"):
        files.location(Path("gs://bucket/logs"))
    (tmp_path / "exp:").mkdir()
    assert files.location(Path("exp:/logs")) == Path("exp:/logs")


def test_the_scheme_of_a_path_is_empty():
    assert (files.scheme("gs://a/b"), files.scheme(Path("a"))) == ("gs", "")


def test_names_are_joined():
    assert files.join("gs://bucket/a", "b/c") == "gs://bucket/a/b/c"
    assert files.join("ram://", "a") == "ram://a"
    assert files.join(Path("a"), "b/c") == Path("a/b/c")


def test_the_name_is_the_last_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.base_name("gs://bucket/logs") == "logs"
    assert files.base_name("gs://bucket") == "bucket"
    assert files.base_name(Path()) == tmp_path.name


def test_directories(tmp_path, remote):
    (tmp_path / "file").touch()
    write(f"{remote}/file")
    for where in (tmp_path, remote):
        assert files.is_dir(where)
        assert not files.is_dir(files.join(where, "file"))
        assert not files.is_dir(files.join(where, "none"))
        existing = [files.exists(files.join(where, name)) for name in ("", "file", "none")]
        assert existing == [True, True, False]


def test_a_file_system_that_does_not_exist_is_an_error_in_words():
    with pytest.raises(OSError, match="nofs://a/b: .*nofs.* not implemented"):
        files.is_dir("nofs://a/b")


def test_files_are_read_from_any_place(tmp_path, remote):
    (tmp_path / "file").write_bytes(b"abcdef")
    write(f"{remote}/file")
    for where in (tmp_path, remote):
        path = files.join(where, "file")
        assert files.size(path) == 6
        with files.open_binary(path) as file:
            file.seek(2)
            assert (file.read(3), file.read()) == (b"cde", b"f")


def test_a_missing_file_is_an_os_error(tmp_path, remote):
    for where in (tmp_path, remote):
        path = files.join(where, "none")
        with pytest.raises(OSError, match="none"):
            files.size(path)
        with pytest.raises(OSError, match="none"), files.open_binary(path) as file:
            file.read()


def test_event_files_with_their_runs(tmp_path, remote):
    names = ["events.out.tfevents.2", "events.out.tfevents.1", "a/b/x.tfevents", "a.b/tfevents"]
    for name in [*names, "a/notes.txt"]:
        for where in (str(tmp_path), remote):
            tf.io.gfile.makedirs(f"{where}/{name}".rpartition("/")[0])
            write(f"{where}/{name}")
    for where in (tmp_path, remote):
        found = files.event_files(where)
        assert [run for run, _ in found] == [".", ".", "a.b", "a/b"]
        ends = [str(path).removeprefix(f"{where}/") for _, path in found]
        assert ends == [names[1], names[0], names[3], names[2]]
    run = f"{files.base_name(remote)}/a/b"
    assert (run, f"{remote}/a/b/x.tfevents") in files.event_files("ram://")


def test_only_files_are_event_files(tmp_path, monkeypatch):
    """A pipe would be read for ever, and a directory is an error."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tfevents.directory").mkdir()
    os.mkfifo(tmp_path / "run" / "tfevents.pipe")
    (tmp_path / "run" / "tfevents.gone").symlink_to("nothing")
    (tmp_path / "run" / "tfevents.circle").symlink_to("tfevents.circle")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path / "run")  # the path of a socket has to be short
        server.bind("tfevents.socket")
        (tmp_path / "run" / "tfevents.file").touch()
        (tmp_path / "run" / "tfevents.link").symlink_to("tfevents.file")
        found = [path.name for _, path in files.event_files(tmp_path)]
    assert found == ["tfevents.file", "tfevents.link"]


def test_links_to_runs_are_followed_but_not_in_circles(tmp_path):
    logs = tmp_path / "logs"
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere" / "inner" / "tfevents").touch()
    (logs / "run").mkdir(parents=True)
    (logs / "run" / "tfevents").touch()
    (logs / "again").symlink_to("run")
    (logs / "linked").symlink_to(tmp_path / "elsewhere")
    (logs / "run" / "above").symlink_to(logs)
    (logs / "self").symlink_to("self")
    assert [run for run, _ in files.event_files(logs)] == ["again", "linked/inner", "run"]
    top = tmp_path / "top"
    top.symlink_to(logs)
    assert [run for run, _ in files.event_files(top)] == ["again", "linked/inner", "run"]


def test_directories_that_all_link_to_each_other_end(tmp_path):
    """12 directories have 12! paths without a circle."""
    for name in range(12):
        (tmp_path / f"{name:02}").mkdir()
        (tmp_path / f"{name:02}" / "tfevents").touch()
        for other in range(12):
            if other != name:
                (tmp_path / f"{name:02}" / f"to{other}").symlink_to(f"../{other:02}")
    runs = [run for run, _ in files.event_files(tmp_path)]
    assert {f"{name:02}" for name in range(12)} <= {*runs}
    assert len(runs) <= 12 * files.MOST_VISITS


@pytest.mark.slow
def test_local_logs_are_listed_without_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path; import keras_saliency.log.reader\n"
        "from keras_saliency.log import files\n"
        "assert files.is_dir(Path(sys.argv[1])), files.event_files(Path(sys.argv[1]))\n"
        "print('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "False\n"
