"""Reads the SALIENCY tab's log through TensorBoard, whichever of its loaders is at work.

docs/log_format.md describes it. Here only headers are looked into; arrays pass through as they are.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, NoReturn

from tensorboard import errors, plugin_util
from tensorboard.data import provider

from keras_saliency.log.tags import FORMAT, PLUGIN

_LOGGER = logging.getLogger("tensorboard")

Environ = Mapping[str, Any]
"""Of a WSGI request: it says whose log is asked for."""

EVERY = 2**31 - 1
"""Steps at most; what there is has been chosen when TensorBoard read it."""

READERS = 8
"""Elements read at a time. One takes the default loader 43 ms, nearly all of it waiting: 200 take
8.6 s one after the other, and 0.2 s from four at a time on."""

LARGEST_HEADER = 2**25
CACHED_HEADERS = 2**26
"""In characters, of all headers together."""


class Entry(NamedTuple):
    """What was logged under a tag at a step; as JSON: `[step, wall_time, [key, ...]]`."""

    step: int
    wall_time: float | None
    keys: tuple[str, ...]


class Runs:
    """The tab's data in a log directory.

    Args:
        data_provider: TensorBoard's `DataProvider`.
    """

    def __init__(self, data_provider: Any) -> None:
        self._provider = data_provider
        self._readers = ThreadPoolExecutor(READERS, "keras_saliency")
        self._texts = Texts(CACHED_HEADERS)
        self._wall_times: dict[str, float | None] = {}  # of the keys that may be read

    def index(self, environ: Environ) -> dict[str, dict[str, list[Entry]]]:
        """All entries, by run and tag, in the order of their steps, which TensorBoard keeps.

        Where a step was written twice, it has one entry: the later one with the default loader,
        the first with the Python loader.
        """
        found = self._entries(environ)
        self._wall_times = {
            key: entry.wall_time
            for tags in found.values()
            for entries in tags.values()
            for entry in entries
            for key in entry.keys
        }
        return found

    def headers(self, environ: Environ, run: str, tag: str, after: int | None) -> str:
        """The headers of a tag, in the order of their steps.

        Args:
            environ: Of the request.
            run: Name of a run.
            tag: One of its tags.
            after: The headers of later steps only; None: of all.

        Returns:
            A JSON array. Its items have `step`, `wall_time` and either `header` or `error`, a
            sentence which says why there is no header.

        Raises:
            NotFoundError: There is no such run, or it has no such tag.
        """
        only = provider.RunTagFilter(runs=[run], tags=[tag])
        entries = self._entries(environ, only).get(run, {}).get(tag)
        if entries is None:
            raise errors.NotFoundError(f"run, tag: there is no data of {tag!r} in {run!r}")
        context = plugin_util.context(environ)
        wanted = [entry for entry in entries if after is None or entry.step > after]
        items = self._readers.map(lambda entry: self._item(context, entry), wanted)
        return f"[{','.join(items)}]"

    def blob(self, environ: Environ, key: str) -> tuple[bytes, float | None]:
        """An element of an entry, and its wall time.

        Args:
            environ: Of the request.
            key: As `index` gave it. TensorBoard would read other plugins' data just as well.

        Raises:
            NotFoundError: It is not a key of this plugin's data.
        """
        if key not in self._wall_times:
            self.index(environ)
        wall_times = self._wall_times
        if key not in wall_times:
            raise errors.NotFoundError("key: there is no such data of this plugin")
        return self._read(plugin_util.context(environ), key), wall_times[key]

    def _entries(self, environ: Environ, only: Any = None) -> dict[str, dict[str, list[Entry]]]:
        found = self._provider.read_blob_sequences(
            plugin_util.context(environ),
            experiment_id=plugin_util.experiment_id(environ),
            plugin_name=PLUGIN,
            downsample=EVERY,
            run_tag_filter=only,
        )
        return {
            run: {tag: [*map(_entry, data)] for tag, data in tags.items()}
            for run, tags in found.items()
        }

    def _item(self, context: Any, entry: Entry) -> str:
        """An item of `headers`; nothing that is wrong with it keeps the others from being seen."""
        place = json.dumps({"step": entry.step, "wall_time": entry.wall_time})[:-1]
        try:
            return f'{place}, "header": {self._header(context, entry)}}}'
        except (ValueError, errors.PublicError) as error:
            sentence = str(error)
        except Exception:
            _LOGGER.exception("keras_saliency: step %d", entry.step)
            sentence = "The header could not be read; TensorBoard prints why."
        return f'{place}, "error": {json.dumps(sentence)}}}'

    def _header(self, context: Any, entry: Entry) -> str:
        if not entry.keys:
            raise ValueError("The header is missing: only the step was written.")
        cached = (entry.keys[0], entry.wall_time)
        text = self._texts.get(cached)
        if text is None:
            text = header_text(self._read(context, entry.keys[0]))
            self._texts.put(cached, text)
        return text

    def _read(self, context: Any, key: str) -> bytes:
        try:
            blob = self._provider.read_blob(context, blob_key=key)
        except (IndexError, KeyError):  # of the Python loader
            blob = None
        if not isinstance(blob, bytes):
            raise errors.NotFoundError("there is no data; it was deleted, or it has another type")
        return blob


def header_text(blob: bytes) -> str:
    """A header's JSON as it was written, once it is known to be fit for the tab.

    Args:
        blob: The first element of an entry.

    Raises:
        ValueError: It is not what docs/log_format.md says; in a sentence for the user.
    """
    if not blob:
        raise ValueError("The header is empty.")
    if len(blob) > LARGEST_HEADER:
        raise ValueError(f"The header is larger than {LARGEST_HEADER >> 20} MB.")
    try:
        text = blob.decode("utf-8")
        header = json.loads(text, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ValueError("The header is corrupted: it is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The header is corrupted: it is not strict JSON ({error}).") from None
    version = header.get("format") if isinstance(header, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError("The header is invalid: expected a JSON object with a positive `format`.")
    if version > FORMAT:
        raise ValueError(
            f"It was written by a newer version of keras_saliency (format {version}; this version "
            f"reads format {FORMAT}). Upgrade it where TensorBoard runs, and restart TensorBoard."
        )
    return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a valid number")


def _entry(datum: Any) -> Entry:
    return Entry(
        int(datum.step),
        datum.wall_time if math.isfinite(datum.wall_time) else None,
        tuple(value.blob_key for value in datum.values),
    )


class Texts:
    """What was asked for last: texts by key, of a bounded size altogether.

    Args:
        size: Characters at most; a text that has more is not kept.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._texts: OrderedDict[object, str] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> str | None:
        """The text, or None where it was never put or is gone."""
        with self._lock:
            if key in self._texts:
                self._texts.move_to_end(key)
            return self._texts.get(key)

    def put(self, key: object, text: str) -> None:
        """Keeps the text, in the place of those for which nobody asked the longest."""
        with self._lock:
            self._left += len(self._texts.pop(key, "")) - len(text)
            self._texts[key] = text
            while self._left < 0:
                self._left += len(self._texts.popitem(last=False)[1])
