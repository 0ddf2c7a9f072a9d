"""TensorBoard's servers: started, asked, and ended."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode


class Board:
    """A TensorBoard that runs."""

    def __init__(self, url):
        self.url = url

    def get(self, path, method="GET", **headers):
        """Status, headers and content of an answer."""
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def read(self, route, **parameters):
        """What a route of the plugin answers."""
        status, _, content = self.get(f"/data/plugin/saliency/{route}?{urlencode(parameters)}")
        assert status == 200, content
        return content

    def index(self):
        index = json.loads(self.read("index"))
        assert index.keys() == {"format", "runs"}
        assert index["format"] == 2
        return index["runs"]

    def headers(self, run, tag, **after):
        return json.loads(self.read("headers", run=run, tag=tag, **after))

    def refused(self, path, method="GET"):
        status, headers, content = self.get(f"/data/plugin/saliency/{path}", method)
        assert headers["Content-Type"] == "application/json"
        return status, json.loads(content)["error"]

    def listing(self):
        return json.loads(self.get("/data/plugins_listing")[2])

    def losses(self, run):
        _, _, content = self.get(f"/data/plugin/scalars/scalars?run={run}&tag=loss")
        return [(step, value) for _, step, value in json.loads(content)]


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def serving(command, directory, ready, prefix="", without=()):
    """A TensorBoard once it has read its logs, in an environment without some modules."""
    port = free_port()
    (directory / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {tuple(without)!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    places = [str(directory), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    with (directory / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # so that nothing outlives the test
        )
    board = Board(f"http://localhost:{port}{prefix}")
    try:
        deadline = time.monotonic() + 90
        while not _is(ready, board):
            said = (directory / "output.txt").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        yield board
        assert process.poll() is None, (directory / "output.txt").read_text()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _is(ready, board):
    try:
        return ready(board)
    except (OSError, http.client.HTTPException, AssertionError, ValueError, LookupError):
        return False


def tensorboard_command(logs, *further):
    return ["-m", "tensorboard.main", "--logdir", str(logs), *further]


LOADERS = {
    "the default loader": [],
    "the Python loader, below a prefix": ["--load_fast=false", "--path_prefix=/a/b"],
}
