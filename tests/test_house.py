"""The house: imports point down its floors, and importing the package imports no framework."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import keras_saliency

PACKAGE = Path(keras_saliency.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): (
        path.read_text("utf-8")
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}

FLOORS = {
    "callback": 5,
    "cli": 5,
    "demo": 5,
    "explain": 5,
    "history": 4,
    "monitor": 4,
    "sinks": 4,
    "standalone": 4,
    "_compilation": 3,
    "_explainer": 3,
    "_models": 3,
    "_observation": 3,
    "_subject": 3,
    "attributions": 3,
    "scores": 3,
    "alerts": 2,
    "baselines": 2,
    "blobs": 2,
    "clusters": 2,
    "counterfactuals": 2,
    "drawings": 2,
    "groups": 2,
    "effects": 2,
    "heatmaps": 2,
    "interventions": 2,
    "localization": 2,
    "reader": 2,
    "regions": 2,
    "schedule": 2,
    "sheets": 2,
    "statistics": 2,
    "summary": 2,
    "_checks": 1,
    "_sampling": 1,
    "_tags": 1,
    "inputs": 1,
    "plugin": 1,
    "probes": 1,
    "reports": 1,
}
"""The floor of every room: a module of the package, or a folder with all that is in it."""

STRANGERS = {("monitor", "sinks"), ("sinks", "monitor")}
"""Rooms of one floor that may not know each other."""

ROOF = "keras_saliency"
"""The lazy `__init__`, which knows every room; of its names, only `__version__` is for them."""


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ROOF


def imported_rooms(source: str) -> Iterator[str]:
    """The rooms that a module imports from, wherever in it the import stands.

    A relative import counts as one of the roof: the house writes imports in full.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [ROOF] if node.level else [f"{node.module}.{a.name}" for a in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == ROOF and name != f"{ROOF}.__version__":
                yield room(name) if room(name) in FLOORS else ROOF


def forbidden_arrows(sources: Mapping[str, str]) -> list[str]:
    """The imports that point up or to a stranger, as `"importer -> imported room"`."""
    return [
        f"{module} -> {imported}"
        for module, source in sources.items()
        if module != ROOF
        for imported in imported_rooms(source)
        if imported == ROOF
        or FLOORS[imported] > FLOORS[room(module)]
        or (room(module), imported) in STRANGERS
    ]


def test_every_module_has_a_floor() -> None:
    assert {room(module) for module in SOURCES} - {ROOF} == FLOORS.keys()


def test_imports_point_down() -> None:
    assert forbidden_arrows(SOURCES) == []


@pytest.mark.parametrize(
    ("module", "statement", "arrow"),
    [
        ("statistics", "from keras_saliency.monitor import SaliencyMonitor", "monitor"),
        ("statistics", "from keras_saliency import _tags, scores", "scores"),
        ("statistics", "import keras_saliency.sinks.tensorboard", "sinks"),
        ("statistics", "def late():\n    from keras_saliency import attributions", "attributions"),
        ("statistics", "from .reports import Array", ROOF),
        ("statistics", "from keras_saliency import ProbeSet", ROOF),
        ("callback", "import keras_saliency as ks", ROOF),
        ("sinks.tensorboard", "from keras_saliency.monitor import saliency_maps", "monitor"),
        ("monitor", "import keras_saliency.sinks.pictures", "sinks"),
    ],
)
def test_an_arrow_that_points_up_is_seen(module: str, statement: str, arrow: str) -> None:
    module = f"{ROOF}.{module}"
    assert forbidden_arrows({module: statement}) == [f"{module} -> {arrow}"]


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("callback", "from keras_saliency.monitor import SaliencyMonitor"),
        ("monitor", "from keras_saliency import scores, statistics"),
        ("cli", "from keras_saliency import __version__"),
        ("sinks.tensorboard", "from keras_saliency.sinks.pictures import Pictures"),
        ("scores", "import numpy as np, tensorflow as tf"),
    ],
)
def test_an_arrow_that_points_down_is_fine(module: str, statement: str) -> None:
    assert forbidden_arrows({f"{ROOF}.{module}": statement}) == []


BESIDE = {"keras_saliency._tags", "keras_saliency.plugin", "tensorboard", "werkzeug"}
"""What the plugin may import, and what is in it; werkzeug comes with TensorBoard, and only so."""


def strangers_of_the_plugin(source: str) -> list[str]:
    """What is imported of neither the standard library nor `BESIDE`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append("." * node.level + (node.module or ""))
    return [
        name
        for name in names
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(f"{name}.".startswith(f"{known}.") for known in BESIDE)
    ]


def test_the_plugin_stands_beside_the_floors() -> None:
    """TensorBoard imports it, also where the rest of the house could not be built."""
    parts = {name: source for name, source in SOURCES.items() if room(name) == "plugin"}
    assert f"{ROOF}.plugin.loader" in parts
    assert [name for source in parts.values() for name in strangers_of_the_plugin(source)] == []


@pytest.mark.parametrize(
    "statement",
    [
        "import numpy as np",
        "def late():\n    import tensorflow.io",
        "from keras_saliency.probes import ProbeSet",
        "from keras_saliency import _tags",
        "from . import log",
        "from tensorboard_plugin_profile import plugin",
    ],
)
def test_a_stranger_of_the_plugin_is_seen(statement: str) -> None:
    assert len(strangers_of_the_plugin(statement)) == 1


def test_importing_the_package_imports_no_framework() -> None:
    code = (
        "import keras_saliency, sys; print({'keras', 'matplotlib', 'tensorflow'} & {*sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "set()\n"


def test_every_public_name_is_found_where_it_is_said_to_be() -> None:
    assert {getattr(keras_saliency, name).__name__ for name in keras_saliency.__all__} == set(
        keras_saliency.__all__
    )
    assert set(keras_saliency.__all__) <= set(dir(keras_saliency))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'keras_saliency' has no attribute 'SaliencyMap'"):
        keras_saliency.SaliencyMap  # noqa: B018


def undocumented(name: str, node: ast.AST) -> Iterator[str]:
    """The module, its public classes and functions, and their public methods without docstring."""
    if ast.get_docstring(node) is None:
        yield name
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef) and inner.name[0] != "_":
                yield from undocumented(f"{name}.{inner.name}", inner)


def test_all_that_is_public_has_a_docstring() -> None:
    missing = [
        name for module, text in SOURCES.items() for name in undocumented(module, ast.parse(text))
    ]
    assert missing == []


def test_a_missing_docstring_is_seen() -> None:
    source = 'class A:\n    "Doc."\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...'
    assert list(undocumented("m", ast.parse(source))) == ["m", "m.A.f", "m.h"]
