"""The SALIENCY tab's plugin: the routes below `data/plugin/saliency/`.

| route | answer |
|---|---|
| `/index.js`, ... | the files of the page, those in `static/` |
| `/index` | `{"format": 2, "runs": {run: {tag: [[step, wall_time, [key, ...]], ...]}}}` |
| `/headers?run=&tag=&after=` | `[{"step", "wall_time", "header" or "error"}, ...]`, later steps |
| `/blob?key=&wall_time=` | an element's bytes; the browser caches them if `wall_time` is right |

Errors have a status of 400 or more, and the content `{"error": "a sentence"}`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tensorboard import errors
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug.wrappers import Request, Response

from keras_saliency.log.tags import FORMAT, PLUGIN
from keras_saliency.plugin.runs import Runs

_LOGGER = logging.getLogger("tensorboard")

STATIC = Path(__file__).with_name("static")
CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript"}
BLOB_SECONDS = 3600

POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For answers that are opened as documents, though none of them is one: the document of the page is
TensorBoard's. Then nothing in them may run, load or be framed."""

Handler = Callable[[Request], Response]


class SaliencyPlugin(base_plugin.TBPlugin):
    """Serves the SALIENCY tab.

    Args:
        context: TensorBoard's `TBContext`.
    """

    plugin_name = PLUGIN

    def __init__(self, context: Any) -> None:
        if context.data_provider is None:
            raise ValueError("expected a data provider; TensorBoard runs without one.")
        self._runs = Runs(context.data_provider)
        self._files: dict[str, Handler] = {
            f"/{path.name}": partial(
                _respond, content=path.read_bytes(), content_type=CONTENT_TYPES[path.suffix]
            )
            for path in STATIC.iterdir()
            if path.suffix in CONTENT_TYPES
        }  # not cached by the browser, so that an update is seen at once

    def get_plugin_apps(self) -> dict[str, Any]:
        """The handlers by route. Each file has a route of its own, so no URL becomes a path."""
        answers = {"/index": self._index, "/headers": self._headers, "/blob": self._blob}
        return {route: _application(answer) for route, answer in (self._files | answers).items()}

    def is_active(self) -> bool:
        """Always `False`: TensorBoard finds out by itself whether this plugin has data."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The name of the tab and the file that it loads first."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Saliency")

    def _index(self, request: Request) -> Response:
        index = {"format": FORMAT, "runs": self._runs.index(request.environ)}
        return _fresh(request, json.dumps(index, separators=(",", ":")))

    def _headers(self, request: Request) -> Response:
        run, tag = (_parameter(request, name) for name in ("run", "tag"))
        after = _number(request, "after", int, "a whole number")
        return _fresh(request, self._runs.headers(request.environ, run, tag, after))

    def _blob(self, request: Request) -> Response:
        expected = _number(request, "wall_time", float, "the wall time that the index gives")
        content, wall_time = self._runs.blob(request.environ, _parameter(request, "key"))
        # Keys repeat between log directories, so only the time tells that the data is the same.
        kept = BLOB_SECONDS if expected is not None and expected == wall_time else 0
        return _respond(request, content, "application/octet-stream", expires=kept)


def _application(answer: Handler) -> Any:
    """Makes a handler a WSGI application that returns errors as JSON."""

    @Request.application
    def application(request: Request) -> Response:
        try:
            if request.method not in ("GET", "HEAD"):
                return _refused(request, 405, f"{request.method}: expected GET.")
            return answer(request)
        except errors.PublicError as error:  # ours, or a blob that is gone
            return _refused(request, error.http_code, str(error))
        except Exception:
            _LOGGER.exception("keras_saliency: %s", request.path)
            return _refused(
                request, 503, "The log could not be read; the reason is in TensorBoard's output."
            )

    return application


def _parameter(request: Request, name: str) -> str:
    if name not in request.args:
        raise errors.InvalidArgumentError(f"{name}: expected this parameter; it is missing.")
    return request.args[name]


def _number(request: Request, name: str, kind: Callable[[str], Any], expected: str) -> Any:
    """The parameter as a number, or `None` if it is missing."""
    text = request.args.get(name)
    try:
        return None if text is None else kind(text)
    except ValueError:
        message = f"{name}: expected {expected}, received {text!r}."
        raise errors.InvalidArgumentError(message) from None


def _refused(request: Request, code: int, sentence: str) -> Response:
    return _fresh(request, json.dumps({"error": sentence}), code)


def _fresh(request: Request, text: str, code: int = 200) -> Response:
    """JSON that is never cached; it is compressed if the browser accepts that."""
    response = _respond(request, text, "application/json", code=code)
    response.headers["Cache-Control"] = "no-store"
    return response


def _respond(request: Request, content: str | bytes, content_type: str, **how: int) -> Response:
    response: Response = http_util.Respond(request, content, content_type, **how)
    response.headers["Content-Security-Policy"] = POLICY
    return response
