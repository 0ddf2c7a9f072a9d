"""The words of inputs that a pipeline makes with text vectorizations and lookups.

The functions of a pipeline's maps are TensorFlow graphs. The values of an input are followed back
through operations that copy them, such as casts and slices, to the table that they were looked up
in; the layer that has this table knows the words. Nothing is read or computed. Where the graph
does not tell, there are no words. TensorFlow is not imported.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from keras_saliency.data import pipelines
from keras_saliency.data.elements import Name, parts, several

_FIRST = slice(0, 1)
_COPIES = {
    **dict.fromkeys(("Cast", "EnsureShape", "ExpandDims", "Identity", "Reshape"), _FIRST),
    **dict.fromkeys(("GatherV2", "Pad", "PadV2", "ReverseV2", "Slice", "StridedSlice"), _FIRST),
    **dict.fromkeys(("RaggedTensorFromVariant", "Squeeze", "Tile", "Transpose"), _FIRST),
    "ConcatV2": slice(0, -1),
    "Pack": slice(None),
    "RaggedTensorToTensor": slice(1, 2),
    "RaggedTensorToVariant": slice(-1, None),
    "SelectV2": slice(1, 3),
}
"""Operations that copy values, each with those of its inputs that they come from."""

_COUNTS = {"DenseBincount": _FIRST, "RaggedBincount": slice(1, 2)}
"""Operations that count values, which makes a column of each."""

_SCALES = ("Mul", "RealDiv")
_KEEP_COLUMNS = (*_SCALES, "Cast", "EnsureShape", "ExpandDims", "Identity", "Reshape", "Squeeze")
_CONSTANTS = ("Const", "Fill", "OnesLike", "ZerosLike")
_LOOKUPS = ("LookupTableFind", "LookupTableFindV2")

_MOST_STEPS = 4
"""Layers are looked for among what a function refers to, and this again, so many times."""

_MOST_ITEMS = 100
"""Larger lists and dicts hold no layers, but data."""

_Origins = frozenset[tuple[int, bool]] | None
"""Tables, and whether what was looked up is counted; `None` if values come from elsewhere."""


class Words(NamedTuple):
    """The words of an input.

    Attributes:
        words: In the order of the tokens, or of the columns.
        are_columns: Whether the input has a column for each word instead of tokens.
    """

    words: tuple[str, ...]
    are_columns: bool


def words_of_inputs(dataset: Any, input_name: Name) -> dict[Name, Words]:
    """The words of the inputs that were looked up in the vocabulary of one layer.

    Args:
        dataset: Any data set; only pipelines have such inputs.
        input_name: The input to explain, as in `elements.parts`.

    Returns:
        By the name of the input; under `None` if only one is explained.
    """
    if not pipelines.is_pipeline(dataset):
        return {}
    inputs, _, name = parts(_numbered(dataset.element_spec), input_name)
    named = several(inputs) or {None: inputs}
    if len(named) == 1 or name in named:
        named = {None: named.get(name, next(iter(named.values())))}
    layers = _layers_by_table(dataset)
    words = {}
    for key, place in named.items():
        origins = _of_component(dataset, place) if layers and isinstance(place, int) else None
        if origins and len(origins) == 1:
            ((table, is_counted),) = origins
            if table in layers:
                words[key] = Words((*map(str, layers[table].get_vocabulary()),), is_counted)
    return words


# ---------------------------------------------------------------- from inputs to tables


def _of_component(dataset: Any, place: int) -> _Origins:
    """Where the values of an element of a pipeline come from, of which `place` is the position."""
    step, inputs = pipelines.step_of(dataset), pipelines.inputs_of(dataset)
    if step == "map":
        function = getattr(getattr(dataset, "_map_func", None), "function", None)
        outputs = getattr(function, "outputs", ())
        if len(inputs) != 1 or len(outputs) != _num_components(dataset):
            return None
        return _of_tensor(outputs[place], function, inputs[0])
    if step == "zip":
        for source in inputs:
            if place < _num_components(source):
                return _of_component(source, place)
            place -= _num_components(source)
    if step not in pipelines.KEEP_VALUES:
        return None
    origins = {_of_component(source, place) for source in inputs}
    return origins.pop() if len(origins) == 1 else None


def _of_tensor(tensor: Any, function: Any, source: Any) -> _Origins:
    """Where the values of a tensor of a map's function come from.

    Args:
        tensor: The tensor.
        function: The function.
        source: The data set whose elements it takes.
    """
    operation = tensor.op
    kind, inputs = operation.type, [*operation.inputs]
    if kind in _CONSTANTS:
        return frozenset()
    if kind in _LOOKUPS:
        captured = {inner.op.name: outer for outer, inner in function.graph.captures}
        table = captured.get(inputs[0].op.name)
        return None if table is None else frozenset({(id(table), False)})
    if kind == "Placeholder":
        names = [each.op.name for each in function.inputs[: _num_components(source)]]
        is_argument = operation.name in names
        return _of_component(source, names.index(operation.name)) if is_argument else None
    if kind in _COUNTS:
        counted = _of_tensor(inputs[_COUNTS[kind]][0], function, source)
        return counted and frozenset((table, True) for table, _ in counted)
    if kind not in _COPIES and kind not in _SCALES:
        return None
    found = [_of_tensor(each, function, source) for each in inputs[_COPIES.get(kind, slice(None))]]
    known = frozenset().union(*(one for one in found if one is not None))
    are_counts = bool(known) and all(is_counted for _, is_counted in known)
    if kind in _SCALES:
        return known if are_counts else None
    is_copied = None not in found and (kind in _KEEP_COLUMNS or not are_counts)
    return known if is_copied else None


def _numbered(spec: Any) -> Any:
    """The structure of elements, with positions in place of their components."""
    counter = iter(range(_num_leaves(spec)))

    def numbered(part: Any) -> Any:
        if isinstance(part, Mapping):
            places = {key: numbered(part[key]) for key in sorted(part)}  # as in tf.nest
            return {key: places[key] for key in part}
        return tuple(map(numbered, part)) if isinstance(part, tuple) else next(counter)

    return numbered(spec)


def _num_leaves(spec: Any) -> int:
    inner: Iterable[Any] = spec.values() if isinstance(spec, Mapping) else spec
    return sum(map(_num_leaves, inner)) if isinstance(spec, Mapping | tuple) else 1


def _num_components(dataset: Any) -> int:
    return _num_leaves(dataset.element_spec)


# ---------------------------------------------------------------- from tables to layers


def _layers_by_table(dataset: Any) -> dict[int, Any]:
    """The layers with a vocabulary that the functions of a pipeline's maps use, by table."""
    layers: dict[int, Any] = {}
    for source in pipelines.sources(dataset):
        function = getattr(getattr(source, "_map_func", None), "_func", None)
        for layer in _used(function):
            if hasattr(type(layer), "get_vocabulary"):
                layers |= dict.fromkeys(_tables(layer), layer)
    return layers


def _tables(layer: Any) -> Iterator[int]:
    """The tables of a layer, and of the layers that it consists of."""
    for owner in (layer, *getattr(layer, "__dict__", {}).values()):
        for part in [*getattr(owner, "__dict__", {}).values()]:
            handle = getattr(part, "resource_handle", None)
            if handle is not None:
                yield id(handle)


def _used(function: Any) -> Iterator[Any]:
    """A function, what it refers to, what this refers to, and so on."""
    pending, seen = [(function, 0)], set()
    for value, steps in pending:  # which grows
        if id(value) in seen or isinstance(value, ModuleType | type):
            continue
        seen.add(id(value))
        yield value
        if steps < _MOST_STEPS and not hasattr(type(value), "get_vocabulary"):
            pending += [(each, steps + 1) for each in _referred_to(value)]


def _referred_to(value: Any) -> list[Any]:
    """What a function, an object that can be called, a list or a dict refers to."""
    if isinstance(value, Mapping | list | tuple | set):
        items = value.values() if isinstance(value, Mapping) else value
        return [*items] if len(value) <= _MOST_ITEMS else []
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__, *getattr(value.__self__, "__dict__", {}).values()]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_set(cell)]
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        variables = value.__globals__
        names = [name for name in _names(value.__code__) if name in variables]
        return [*cells, *defaults, *(variables[name] for name in names)]
    return [*getattr(value, "__dict__", {}).values()] if callable(value) else []


def _names(code: CodeType) -> list[str]:
    """The global names in a function, and in those that are defined in it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return [*code.co_names, *(name for each in inner for name in _names(each))]


def _is_set(cell: Any) -> bool:
    """Whether a variable of a closure has a value."""
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
