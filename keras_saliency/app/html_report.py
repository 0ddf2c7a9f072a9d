"""The SALIENCY tab without TensorBoard: one file that opens from disk, or a cell of a notebook."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_saliency.data.blocks import evenly
from keras_saliency.data.checks import check_positive_int
from keras_saliency.log import files, tags
from keras_saliency.log.decoder import Blobs
from keras_saliency.log.headers import BlobError, as_sentence, read_header
from keras_saliency.log.reader import read_blobs

STATIC = Path(__file__).parents[1] / "plugin" / "static"

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style nonce="{nonce}">
{style}
</style>
<script type="importmap" nonce="{nonce}">{modules}</script>
</head>
<body>
<script type="application/json" id="keras-saliency-data">{data}</script>
<script type="module" nonce="{nonce}">
import {{ render }} from "keras-saliency/index.js";
render();
</script>
</body>
</html>
"""

_NEIGHBOUR = re.compile(r"""(["'])\./([\w-]+\.js)\1""")
"""How a module of the page names another one: `"./paint.js"`."""


@dataclass(frozen=True)
class Viewer:
    """A log that a notebook displays.

    Attributes:
        page: The viewer and the log, in HTML.
        height: The height of the cell in pixels.
    """

    page: str = field(repr=False)
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" width="100%" height="{self.height}" '
            'style="border: 0"></iframe>'
        )


def show(log_dir: str | Path, *, max_steps: int | None = None, height: int = 800) -> Viewer:
    """The SALIENCY tab in a notebook, without TensorBoard: the log as it is now.

    Args:
        log_dir: The log directory of `SaliencyCallback`: a path, or a URL.
        max_steps: As in `page`.
        height: The height of the cell in pixels.

    Returns:
        A viewer, which a notebook shows if it is the last line of a cell.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is not a directory, or has no log of `SaliencyCallback`.
    """
    check_positive_int("height", height, hint="Pass a number of pixels.")
    return Viewer(page(log_dir, max_steps=max_steps), height)


def page(log_dir: str | Path, *, max_steps: int | None = None) -> str:
    """The SALIENCY tab and all of its data as one HTML file, which needs no server.

    Args:
        log_dir: The log directory of `SaliencyCallback`: a path, or a URL.
        max_steps: The number of steps to keep from each run, evenly spaced. Steps with a new alert
            are also kept. Default: all steps.

    Returns:
        The file's text.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is not a directory, or has no log of `SaliencyCallback`.
    """
    if max_steps is not None:
        check_positive_int("max_steps", max_steps, hint="Pass the number of steps to keep.")
    runs = read_blobs(log_dir)
    if not runs:
        raise ValueError(
            f"log_dir: expected a directory with a log of SaliencyCallback, received {log_dir}, "
            "which has no log. Use the log_dir of the callback. (With map_size=None, the callback "
            "does not write this log.)"
        )
    if max_steps is not None:
        runs = {run: _thinned(blobs, max_steps) for run, blobs in runs.items()}
    return document(
        title=f"Saliency: {files.base_name(files.location(log_dir))}",
        style="\n".join(path.read_text("utf-8") for path in sorted(STATIC.glob("*.css"))),
        modules={path.name: path.read_text("utf-8") for path in sorted(STATIC.glob("*.js"))},
        data=_data(runs),
    )


def document(*, title: str, style: str, modules: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """One HTML file out of its parts.

    Its scripts and styles carry a nonce that depends on everything in the file. The browser runs
    nothing else: whoever writes a log cannot know the nonce of the file that shows it.

    Args:
        title: The title of the page.
        style: Its CSS.
        modules: JavaScript modules by file name; `index.js` exports `render`, which builds it.
        data: What the page shows.

    Returns:
        The file's text.
    """
    parts = {
        "title": html.escape(title),
        "style": style,
        "modules": import_map(modules),
        # No "<" in the data: nothing in it can end the script element.
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    content = "\n".join(parts.values())
    return _PAGE.format(nonce=hashlib.sha256(content.encode()).hexdigest()[:32], **parts)


def import_map(modules: Mapping[str, str]) -> str:
    """An import map with a `data:` URL for each module: from disk, browsers load no other modules.

    A `data:` URL has no neighbours. `"./paint.js"` therefore becomes `"keras-saliency/paint.js"`,
    a name that the map has. Browsers show that name in stack traces and in their developer tools.

    Args:
        modules: Source text by file name.

    Returns:
        JSON.
    """
    imports = {}
    for name, source in modules.items():
        text = _NEIGHBOUR.sub(r"\1keras-saliency/\2\1", source)
        text += f"\n//# sourceURL=keras-saliency/{name}\n"
        imports[f"keras-saliency/{name}"] = f"data:text/javascript;base64,{_base64(text.encode())}"
    return json.dumps({"imports": imports}, separators=(",", ":"))


def _data(runs: dict[str, Blobs]) -> dict[str, Any]:
    """What the page would get from TensorBoard: the index, headers, and arrays by key."""
    index: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    arrays: dict[str, str] = {}
    for run, by_tag in runs.items():
        for tag, steps in by_tag.items():
            entries = []
            for step, (wall_time, blobs) in steps.items():
                first = len(arrays)
                keys = [str(first + place) for place in range(len(blobs))]
                arrays.update(zip(keys, map(_base64, blobs), strict=True))
                written = wall_time if math.isfinite(wall_time) else None
                entries.append([step, written, keys])
                if not tag.startswith(
                    (tags.MAPS, tags.INPUTS)
                ):  # whose headers the page does not ask for
                    tag_headers = headers.setdefault(run, {}).setdefault(tag, [])
                    tag_headers.append({"step": step, "wall_time": written, **_header(blobs)})
            index.setdefault(run, {})[tag] = entries
    return {"index": {"format": tags.FORMAT, "runs": index}, "headers": headers, "blobs": arrays}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _header(blobs: list[bytes]) -> dict[str, Any]:
    try:
        return {"header": read_header(blobs[0] if blobs else b"")}
    except BlobError as error:
        return {"error": as_sentence(error)}


def _thinned(blobs: Blobs, max_steps: int) -> Blobs:
    logged = list(blobs.get(tags.REPORTS, {}))
    kept = {logged[place] for place in evenly(len(logged), max_steps)} if logged else set()
    for step, (_, content) in blobs.get(tags.FINDINGS, {}).items():
        header = _header(content).get("header", {})
        if header.get("alerts"):
            kept.add(step)
    return {
        tag: {step: record for step, record in steps.items() if tag == tags.PROBES or step in kept}
        for tag, steps in blobs.items()
    }
