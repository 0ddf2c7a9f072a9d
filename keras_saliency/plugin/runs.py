"""Reads the SALIENCY tab's log through TensorBoard, with either of its loaders.

The format is described in docs/log_format.md. Only headers are parsed; arrays are passed on as they
are.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tensorboard import errors, plugin_util
from tensorboard.data import provider

from keras_saliency.log.headers import BlobError, as_sentence, read_header
from keras_saliency.log.tags import PLUGIN

_LOGGER = logging.getLogger("tensorboard")

Environ = Mapping[str, Any]
"""The environment of a WSGI request; it tells TensorBoard which log is requested."""

EVERY = 2**31 - 1
"""The largest number of steps; TensorBoard has already chosen which to keep."""

READERS = 8
"""The number of elements that are read in parallel. The default loader needs 43 ms for one, nearly
all of it waiting: 200 take 8.6 s in sequence, and 0.2 s if four or more are read in parallel."""

LARGEST_HEADER = 2**25
CACHED_HEADERS = 2**26
"""The largest number of characters of all cached headers together."""


class Entry(NamedTuple):
    """What was logged with a tag at a step; as JSON: `[step, wall_time, [key, ...]]`."""

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
        """All entries, by run and tag, in the order of their steps.

        A step that was written twice has one entry: the later one with the default loader, the
        first one with the Python loader.
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
            environ: The request's environment.
            run: Name of a run.
            tag: A tag of this run.
            after: Return only the headers of later steps; `None`: all.

        Returns:
            A JSON array. Its items have `step`, `wall_time` and either `header` or `error`, a
            sentence that says why the header is missing.

        Raises:
            NotFoundError: The run does not exist, or has no such tag.
        """
        only = provider.RunTagFilter(runs=[run], tags=[tag])
        entries = self._entries(environ, only).get(run, {}).get(tag)
        if entries is None:
            raise errors.NotFoundError(
                f"run, tag: the run {run!r} has no data with the tag {tag!r}"
            )
        context = plugin_util.context(environ)
        wanted = [entry for entry in entries if after is None or entry.step > after]
        items = self._readers.map(lambda entry: self._item(context, entry), wanted)
        return f"[{','.join(items)}]"

    def blob(self, environ: Environ, key: str) -> tuple[bytes, float | None]:
        """An element of an entry, and its wall time.

        Args:
            environ: The request's environment.
            key: A key from `index`. Other keys are refused, because TensorBoard would also read
                the data of other plugins.

        Raises:
            NotFoundError: The key does not belong to this plugin's data.
        """
        if key not in self._wall_times:
            self.index(environ)
        wall_times = self._wall_times
        if key not in wall_times:
            raise errors.NotFoundError("key: this plugin has no data with this key")
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
        """An item of `headers`. An error becomes part of the item, so that the others are shown."""
        place = json.dumps({"step": entry.step, "wall_time": entry.wall_time})[:-1]
        try:
            return f'{place}, "header": {self._header(context, entry)}}}'
        except BlobError as error:
            sentence = as_sentence(error)
        except errors.PublicError as error:
            sentence = str(error)
        except Exception:
            _LOGGER.exception("keras_saliency: step %d", entry.step)
            sentence = "The header could not be read; the reason is in TensorBoard's output."
        return f'{place}, "error": {json.dumps(sentence)}}}'

    def _header(self, context: Any, entry: Entry) -> str:
        if not entry.keys:
            raise BlobError("its header is missing: only the step was written")
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
            raise errors.NotFoundError("the data was deleted, or it has another type")
        return blob


def header_text(blob: bytes) -> str:
    """Checks a header and returns its JSON unchanged.

    Args:
        blob: The first element of an entry.

    Raises:
        BlobError: It does not follow docs/log_format.md; the message is shown to the user.
    """
    if len(blob) > LARGEST_HEADER:
        raise BlobError(f"its header is larger than {LARGEST_HEADER >> 20} MB")
    read_header(blob)
    return blob.decode()


def _entry(datum: Any) -> Entry:
    return Entry(
        int(datum.step),
        datum.wall_time if math.isfinite(datum.wall_time) else None,
        tuple(value.blob_key for value in datum.values),
    )


class Texts:
    """A cache of texts by key, of bounded size. Those that were not used for longest are dropped.

    Args:
        size: The largest number of characters of all texts; a longer text is not kept.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._texts: OrderedDict[object, str] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> str | None:
        """The text, or `None` if it is not in the cache."""
        with self._lock:
            if key in self._texts:
                self._texts.move_to_end(key)
            return self._texts.get(key)

    def put(self, key: object, text: str) -> None:
        """Keeps the text, and drops the oldest ones if the cache is full."""
        with self._lock:
            self._left += len(self._texts.pop(key, "")) - len(text)
            self._texts[key] = text
            while self._left < 0:
                self._left += len(self._texts.popitem(last=False)[1])
