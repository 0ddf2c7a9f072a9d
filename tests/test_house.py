"""The house: which room may import which, and what nobody may import."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

import keras_saliency

PACKAGE = Path(keras_saliency.__file__).parent
ROOT = "keras_saliency"
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): (
        path.read_text("utf-8")
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}

HOUSE = {
    "data": set(),
    "attributions": {"data"},
    "metrics": {"data"},
    "rendering": {"data"},
    "engine": {"data", "attributions"},
    "detection": {"data", "metrics"},
    "monitor": {"data", "attributions", "metrics", "engine", "detection"},
    "console": {"data", "detection"},
    "log": {"data", "metrics", "rendering", "detection"},
    "tensorboard": {"data", "metrics", "detection", "rendering", "log"},
    "continuing": {"detection", "monitor", "tensorboard"},
    "remedies": {"data", "detection", "engine"},
    "plugin": {"log"},
    "callback": {
        *("data", "attributions", "metrics", "rendering", "engine", "detection"),
        *("monitor", "console", "continuing", "log", "tensorboard"),
    },
    "app": {
        *("data", "attributions", "rendering", "engine", "detection", "monitor", "log"),
        "callback",
    },
}
"""Every room (a folder, or a module beside the folders) and the rooms that it imports."""

MOST_ARROWS = 53

TO_THE_FRONT_DOOR = {("data", ROOT)}
"""`Alert.remedy()` asks the package for `remedy`, so that records know nothing of layers."""

MAY_IMPORT = {
    "data": set(),
    "attributions": {"tensorflow", "scipy"},
    "metrics": {"scipy"},
    "rendering": {"matplotlib", "PIL"},
    "engine": {"tensorflow", "keras"},
    "detection": {"scipy"},
    "monitor": set(),
    "console": set(),
    "continuing": set(),
    "remedies": {"keras"},
    "log": {"tensorboard", "google"},
    "tensorboard": {"tensorflow", "keras", "tensorboard"},
    "plugin": {"tensorboard", "werkzeug"},
    "callback": {"keras"},
    "app": {"h5py", "keras", "PIL", "sklearn"},
}
"""What each room imports beside the standard library and NumPy, at the top of a module or late;
google is protobuf, and h5py comes with Keras."""


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ROOT


def imported(source: str) -> Iterator[str]:
    """All modules that a source imports, wherever in it; a relative import has leading dots.

    A call of `import_module` or `__import__` counts if the name is written out.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            yield from (f"{name}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            function, first = node.func, node.args[0]
            name = getattr(function, "id", getattr(function, "attr", ""))
            if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield str(first.value)


def internal(source: str) -> Iterator[str]:
    """The modules and names of the package that a source imports, without `__version__`."""
    for name in imported(source):
        if name.startswith("."):
            yield ROOT  # the house writes imports in full
        elif name.split(".")[0] == ROOT and name != f"{ROOT}.__version__":
            yield name


def arrows(sources: Mapping[str, str]) -> set[tuple[str, str]]:
    """Pairs of different rooms of which the first imports the second; `__init__` not counted."""
    found = set()
    for module, source in sources.items():
        for name in internal(source):
            target = room(name) if room(name) in HOUSE else ROOT
            if module != ROOT and target != room(module):
                found.add((room(module), target))
    return found


def complaints(found: Iterable[tuple[str, str]]) -> list[str]:
    """Arrows that the table does not allow, and allowed ones that no file uses."""
    allowed = {(importer, target) for importer, targets in HOUSE.items() for target in targets}
    allowed |= TO_THE_FRONT_DOOR
    return [f"forbidden: {a} -> {b}" for a, b in sorted({*found} - allowed)] + [
        f"unused: {a} -> {b}" for a, b in sorted(allowed - {*found})
    ]


def circle(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a circle; empty if there is none."""
    graph = {}
    for module, source in sources.items():
        targets = {
            name if name in sources else name.rpartition(".")[0] for name in imported(source)
        }
        graph[module] = {target for target in targets if target in sources and target != module}
    graph.pop(ROOT, None)  # which imports late
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_every_module_has_a_room() -> None:
    assert {room(module) for module in SOURCES} - {ROOT} == HOUSE.keys() == MAY_IMPORT.keys()


def test_rooms_import_what_the_table_allows_and_all_of_it() -> None:
    found = arrows(SOURCES)
    print(f"{len(HOUSE)} rooms, {len(found)} arrows")
    assert complaints(found) == []
    assert len(found) <= MOST_ARROWS


def test_the_table_has_no_circle() -> None:
    assert len([*graphlib.TopologicalSorter(HOUSE).static_order()]) == len(HOUSE)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(SOURCES) == []


@pytest.mark.parametrize(
    ("module", "statement", "target"),
    [
        ("metrics.maps", "from keras_saliency.monitor import SaliencyMonitor", "monitor"),
        ("metrics.maps", "from keras_saliency import detection", "detection"),
        ("metrics.maps", "from keras_saliency.detection import alerts", "detection"),
        ("metrics.maps", "import keras_saliency.tensorboard.sink", "tensorboard"),
        (
            "metrics.maps",
            "def late():\n    from keras_saliency import attributions",
            "attributions",
        ),
        ("metrics.maps", "from .localization import enrichment", ROOT),
        ("metrics.maps", "from keras_saliency import ProbeSet", ROOT),
        ("callback", "import keras_saliency as ks", ROOT),
        ("tensorboard.sink", "from keras_saliency.monitor import SaliencyMonitor", "monitor"),
        ("monitor", "import keras_saliency.tensorboard.pictures", "tensorboard"),
        ("attributions.paths", "from keras_saliency.engine.explainer import Explainer", "engine"),
    ],
)
def test_an_arrow_that_is_not_allowed_is_seen(module: str, statement: str, target: str) -> None:
    found = arrows({f"{ROOT}.{module}": statement})
    assert found == {(room(f"{ROOT}.{module}"), target)}
    assert complaints(found)[0] == f"forbidden: {module.split('.')[0]} -> {target}"


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("callback", "from keras_saliency.monitor import SaliencyMonitor"),
        ("app.cli", "from keras_saliency import __version__"),
        ("tensorboard.sink", "from keras_saliency.tensorboard.pictures import PictureWriter"),
        ("attributions.scores", "import numpy as np, tensorflow as tf"),
    ],
)
def test_an_arrow_that_is_allowed_is_fine(module: str, statement: str) -> None:
    found = complaints(arrows({f"{ROOT}.{module}": statement}))
    assert [text for text in found if text.startswith("forbidden")] == []


def test_an_allowed_arrow_that_nobody_uses_is_seen() -> None:
    left = arrows(SOURCES) - {("plugin", "log")}
    assert complaints(left) == ["unused: plugin -> log"]


def test_a_circle_within_a_room_is_seen() -> None:
    two = {
        f"{ROOT}.metrics.maps": f"from {ROOT}.metrics import groups",
        f"{ROOT}.metrics.groups": f"from {ROOT}.metrics.maps import gini",
    }
    assert {*circle(two)} == {*two}


def third_party(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """What each room imports beside the package, the standard library and NumPy."""
    found: dict[str, set[str]] = {name: set() for name in HOUSE}
    for module, source in sources.items():
        if module != ROOT:
            tops = {name.split(".")[0] for name in imported(source) if not name.startswith(".")}
            found[room(module)] |= tops - {ROOT, "numpy"} - sys.stdlib_module_names
    return found


def test_rooms_import_what_is_listed_for_them_and_nothing_else() -> None:
    assert third_party(SOURCES) == MAY_IMPORT


def test_tensorflow_is_imported_in_three_rooms() -> None:
    users = {name for name, found in third_party(SOURCES).items() if "tensorflow" in found}
    assert users == {"attributions", "engine", "tensorboard"}


@pytest.mark.parametrize(
    ("statement", "module"),
    [
        ("def late():\n    import tensorflow.io", "tensorflow"),
        ("import numpy, pandas as pd, json", "pandas"),
        ("from torch.nn import functional", "torch"),
        ("import importlib\nimportlib.import_module('tensorflow.io')", "tensorflow"),
        ("from importlib import import_module\nimport_module('jax')", "jax"),
        ("__import__('keras')", "keras"),
    ],
)
def test_a_module_that_is_not_listed_for_a_room_is_seen(statement: str, module: str) -> None:
    found = third_party({f"{ROOT}.data.probes": statement})
    assert found == {name: {module} if name == "data" else set() for name in HOUSE}


def test_the_package_itself_imports_the_standard_library_alone() -> None:
    tops = {name.split(".")[0] for name in imported(SOURCES[ROOT])}
    assert tops - {ROOT} <= sys.stdlib_module_names


def test_an_arrow_by_name_is_seen() -> None:
    late = f"import importlib\nimportlib.import_module('{ROOT}.monitor')"
    assert arrows({f"{ROOT}.metrics.maps": late}) == {("metrics", "monitor")}


LIGHT = {f"{ROOT}.log.{name}" for name in ("tags", "headers")}
KNOWN_TO_PLUGIN = LIGHT | {f"{ROOT}.plugin", "tensorboard", "werkzeug"}
"""What the plugin may import, and what is in it; werkzeug comes with TensorBoard, and only so."""


def unknown_to_plugin(source: str) -> list[str]:
    """What is imported of neither the standard library nor `KNOWN_TO_PLUGIN`."""
    return [
        name
        for name in imported(source)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(f"{name}.".startswith(f"{known}.") for known in KNOWN_TO_PLUGIN)
    ]


def test_the_plugin_imports_no_framework() -> None:
    """TensorBoard imports it, also where TensorFlow and Keras are not installed."""
    parts = {name: source for name, source in SOURCES.items() if room(name) == "plugin"}
    assert f"{ROOT}.plugin.loader" in parts
    assert [name for source in parts.values() for name in unknown_to_plugin(source)] == []
    assert SOURCES[f"{ROOT}.log"] == ""
    assert [name for light in LIGHT for name in unknown_to_plugin(SOURCES[light])] == []


@pytest.mark.parametrize(
    "statement",
    [
        "import numpy as np",
        "def late():\n    import tensorflow.io",
        "from keras_saliency.data.probes import ProbeSet",
        "from keras_saliency.log import blobs",
        "from . import runs",
        "from tensorboard_plugin_profile import plugin",
    ],
)
def test_an_import_that_the_plugin_may_not_make_is_seen(statement: str) -> None:
    assert len(unknown_to_plugin(statement)) == 1


@pytest.mark.slow
def test_importing_the_package_imports_no_framework() -> None:
    code = (
        "import keras_saliency, sys; print({'keras', 'matplotlib', 'tensorflow'} & {*sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "set()\n"


def test_every_public_name_is_where_the_table_says() -> None:
    objects = {name: getattr(keras_saliency, name) for name in keras_saliency.__all__}
    assert {getattr(found, "__name__", name) for name, found in objects.items()} == {*objects}
    assert {"Place", "Round", "RunState"} <= {*objects}


def test_dir_lists_the_public_names_and_the_version_alone() -> None:
    assert sorted([*keras_saliency.__all__, "__version__"]) == dir(keras_saliency)


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


def test_everything_public_has_a_docstring() -> None:
    missing = [
        name
        for module, text in SOURCES.items()
        if module != f"{ROOT}.log"  # empty
        for name in undocumented(module, ast.parse(text))
    ]
    assert missing == []


def test_a_missing_docstring_is_seen() -> None:
    source = 'class A:\n    "Doc."\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...'
    assert list(undocumented("m", ast.parse(source))) == ["m", "m.A.f", "m.h"]
