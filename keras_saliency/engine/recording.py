"""Records what a model's layers return, while the model is traced, also inside wrappers.

Some wrappers run their layers in a graph of their own, where the gradients of the layers' outputs
are out of reach: `tf.function`, `keras.RematScope`, and `TimeDistributed` one step at a time.
Within `recorded`, they run in the graph that is being traced, with the same results.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from keras_saliency.attributions.differentiation import LayerCall
from keras_saliency.attributions.heads import Tensor
from keras_saliency.engine.keras_internals import (
    all_layers,
    outside_of_remat,
    sublayers,
    takes,
    with_policy,
)

_Function = tf.types.experimental.PolymorphicFunction
_MISSING = object()
_KERAS_FUNCTIONS = {"train_function", "test_function", "predict_function"}


@contextmanager
def recorded(
    model: Any,
    replaced: Mapping[tuple[str, int], Tensor],
    *,
    float8: bool = True,
    watch: Callable[[Any, Any], None] | None = None,
) -> Iterator[list[LayerCall]]:
    """Within this context, every call of a layer is recorded. Afterwards the layers are as before.

    Args:
        model: The model.
        replaced: Values to return in place of a layer's output, by the path of the layer and the
            number of the call, from 0.
        float8: Whether layers that are quantized to float8 compute in float8; otherwise in the
            precision that their weights have.
        watch: Gets each layer that is called, and its arguments, before it computes.

    Yields:
        The calls with a single tensor as output, in order.
    """
    calls: list[LayerCall] = []
    seen: dict[str, int] = {}
    steps: list[int] = []  # the numbers of steps of the TimeDistributed layers around

    def all_steps(layer: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """All steps in one call, if the layer allows it; otherwise one by one."""
        before, seen_before = len(calls), dict(seen)
        if not any(getattr(inner, "stateful", False) for inner in all_layers(layer)):
            try:
                return _all_steps(layer, call, steps, *args, **kwargs)
            except (ValueError, TypeError, tf.errors.OpError):  # of a fixed batch size
                del calls[before:]
                seen.clear()
                seen.update(seen_before)
        return call(*args, **kwargs)

    def recording(layer: Any, path: str) -> Callable[..., Any]:
        call, is_wrapper = layer.call, _is_time_distributed(layer)
        if is_wrapper:
            call = partial(all_steps, layer, call)

        def recorded_call(*args: Any, **kwargs: Any) -> Any:
            if watch is not None:
                watch(layer, (args, kwargs))
            nth = seen[path] = seen.get(path, -1) + 1
            output = replaced.get((path, nth), _MISSING)
            if output is _MISSING:
                output = call(*args, **kwargs)
                if not tf.is_tensor(output):
                    return output
                output = _split(output, steps)
            calls.append(LayerCall(path, output, len(steps) + is_wrapper))
            return _merged(output, len(steps))

        return recorded_call

    with ExitStack() as stack:
        layers = [*_layers(model, "")]
        for layer in [model, *(layer for layer, _ in layers)]:
            changes = {**dict(_functions(layer)), **outside_of_remat(layer)}
            if not float8 and is_float8(layer):
                changes |= with_policy(layer, layer.dtype_policy.name.rpartition("_from_")[2])
            for name, value in changes.items():
                _set(stack, layer, name, value)
        for layer, path in layers:
            _set(stack, layer, "call", recording(layer, path))
        yield calls


def is_float8(layer: Any) -> bool:
    """Whether a layer computes in float8 (`model.quantize("float8")`)."""
    return getattr(layer, "quantization_mode", None) == "float8"


def _set(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Sets an attribute of an object, until the stack is closed."""
    before = vars(owner).get(name, _MISSING)
    object.__setattr__(owner, name, value)  # Keras' own __setattr__ would track the value
    if before is _MISSING:
        stack.callback(object.__delattr__, owner, name)
    else:
        stack.callback(object.__setattr__, owner, name, before)


def _functions(layer: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The attributes of a layer that are `tf.function`s, as plain functions."""
    classes = [kind for kind in type(layer).__mro__ if not kind.__module__.startswith("keras.")]
    for name, value in ChainMap(*[dict(vars(kind)) for kind in classes]).items():
        if isinstance(value, _Function) and name not in vars(layer):
            yield name, MethodType(plain(value), layer)
    for name, value in vars(layer).items():
        if isinstance(value, _Function) and name not in _KERAS_FUNCTIONS:
            yield name, plain(value)


def plain(function: Any) -> Callable[..., Any]:
    """The Python function of a `tf.function`, with its control flow converted by AutoGraph."""
    inner = function.python_function
    room = (getattr(inner, "__module__", None) or "").partition(".")[0]
    if room == "tensorflow":  # of a SavedModel, without its source
        return function  # type: ignore[no-any-return]
    if room == "keras":
        return inner  # type: ignore[no-any-return]
    try:
        if isinstance(inner, MethodType):
            return MethodType(tf.autograph.to_graph(inner.__func__), inner.__self__)
        return tf.autograph.to_graph(inner)  # type: ignore[no-any-return]
    except Exception:  # as in a tf.function, what cannot be converted runs as it is
        return inner  # type: ignore[no-any-return]


def _is_time_distributed(layer: Any) -> bool:
    return getattr(type(layer), "call", None) is keras.layers.TimeDistributed.call


def _all_steps(
    layer: Any,
    call: Callable[..., Any],
    steps: list[int],
    inputs: Tensor,
    training: bool | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """What a `TimeDistributed` layer returns, from one call on the steps of all inputs."""
    count = inputs.shape[1]
    if count is None:
        return call(inputs, training=training, mask=mask)
    options = {}
    if takes(layer.layer, "training"):
        options["training"] = training
    if takes(layer.layer, "mask") and mask is not None:
        options["mask"] = _merged(mask, 1)
    steps.append(count)
    try:
        return _split(layer.layer.call(_merged(inputs, 1), **options), [count])
    finally:
        steps.pop()


def _merged(values: Tensor, num_steps: int) -> Tensor:
    """`(batch, *steps, ...)` to `(batch * steps, ...)`."""
    if not num_steps:
        return values
    rest = values.shape[1 + num_steps :]
    merged = tf.reshape(values, tf.concat([[-1], tf.shape(values)[1 + num_steps :]], 0))
    return tf.ensure_shape(merged, [merged.shape[0], *rest])


def _split(values: Tensor, steps: Sequence[int]) -> Tensor:
    """`(batch * steps, ...)` to `(batch, *steps, ...)`."""
    if not steps:
        return values
    split = tf.reshape(values, tf.concat([[-1, *steps], tf.shape(values)[1:]], 0))
    return tf.ensure_shape(split, [split.shape[0], *steps, *values.shape[1:]])


def _layers(layer: Any, path: str) -> Iterator[tuple[Any, str]]:
    """All nested layers of a layer, each once, with its path."""
    by_id: dict[int, tuple[Any, str]] = {}
    waiting = [(inner, path) for inner in _inner(layer)]
    while waiting:
        inner, around = waiting.pop(0)
        if id(inner) not in by_id:
            name = f"{around}{inner.name}"
            by_id[id(inner)] = (inner, name)
            waiting += [(deeper, f"{name}/") for deeper in _inner(inner)]
    yield from by_id.values()


def _inner(layer: Any) -> list[Any]:
    """The direct sublayers of a layer, and the operations of a functional model.

    `x + y` becomes an operation, for example at the end of a residual block.
    """
    inner = sublayers(layer)
    known = {id(sublayer) for sublayer in inner}
    operations = getattr(layer, "operations", ())
    return inner + [operation for operation in operations if id(operation) not in known]
