"""Checks that a model can be explained, and detects changes that require a new trace."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_saliency.data.inputs import SCALARS
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.several import pieces
from keras_saliency.engine.advice import part_line
from keras_saliency.engine.keras_internals import inputs_struct

_LOSSES_OF_NUMBERS = {
    "cosine_similarity",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
}

_GENERATED_NAME = re.compile(r"(keras_tensor|input_layer)(_\d+)?")
"""How Keras names a `keras.Input` without a name, in a new model and in one that is loaded."""


def check_keras(model: Any) -> None:
    """Checks that a model is a Keras 3 model on the TensorFlow backend.

    Raises:
        RuntimeError: Keras runs on a backend other than TensorFlow.
        TypeError: `model` is not a Keras 3 model.
    """
    if keras.config.backend() != "tensorflow":
        raise RuntimeError(
            "keras_saliency: expected Keras on the TensorFlow backend, received "
            f"{keras.config.backend()!r}. Set the environment variable KERAS_BACKEND=tensorflow "
            "before Keras is imported."
        )
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        legacy = any(base.__module__.startswith("tf_keras") for base in type(model).__mro__)
        hint = " Build it with Keras 3: tf_keras (Keras 2) is not supported." if legacy else ""
        raise TypeError(f"model: expected a keras.Model of Keras 3, received {kind}.{hint}")


def check_built(model: Any) -> None:
    """Checks that a model has weights.

    Raises:
        ValueError: It is not built.
    """
    if not model.built:
        raise ValueError(
            "model: expected a built model, received one without weights. Add a keras.Input, or "
            "call the model on a batch once."
        )


def check_strategy(strategy: Any) -> None:
    """Checks that the weights of a model have one state that can be read.

    Raises:
        RuntimeError: They are on parameter servers.
    """
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise RuntimeError(
            "model: expected a model that is trained on this machine or by workers in step, "
            "received one under ParameterServerStrategy: its workers change the weights at any "
            "time, also while a map is computed. Save the model, load it without the strategy, "
            "and pass that to keras_saliency.saliency_maps."
        )


def runs_eagerly(model: Any) -> bool:
    """Whether a model runs as Python code, of which any attribute may change what it computes."""
    return bool(getattr(model, "run_eagerly", False) or tf.config.functions_run_eagerly())


def explained_part(model: Any, part: Any, probes: ProbeSet) -> Any:
    """The part of the trained model that is explained: itself, if it has a `call`.

    Without a `call`, it is the only part that takes probes like these, if it cannot hold their
    targets as classes: if they have none, or those of one of several outputs, or if the part ends
    in one unit, as a discriminator, whose classes are others. A part without weights, such as one
    that augments images, does not count.

    Args:
        model: The model that is trained.
        part: `Score.model`; `None` if none is named.
        probes: What it is explained for.

    Raises:
        TypeError: `part` is not a Keras model.
        ValueError: `part` shares no weights with `model`; or it is `None`, `model` has no `call`,
            and it is not clear which part is meant.
    """
    if part is not None:
        if not isinstance(part, keras.Model):
            raise TypeError(
                f"model: expected a keras.Model in ks.Score(model=...), received {part!r}."
            )
        if model.built and model.weights and not {*weights(part)} & {*weights(model)}:
            raise ValueError(
                f"score: expected a model that shares weights with the one that is trained, "
                f"received {part.name!r}. Pass ks.Score(model=...) a part of {model.name!r}."
            )
        return part
    if type(model).call not in (keras.Model.call, keras.layers.Layer.call):
        return model
    parts = _parts(model)
    fitting = {name: one for name, one in parts.items() if _takes(one, probes)}
    if len(fitting) == 1 and not (may_differ(probes) and _num_units(*fitting.values()) != 1):
        return next(iter(fitting.values()))
    lines = part_lines(model, probes) or [part_line(parts[name], f"model.{name}") for name in parts]
    if probes.targets is not None:
        pairs = [
            (f"score=ks.Score(model=keras.Sequential([model.{first}, model.{second}]))", second)
            for first in fitting
            for second in parts
            if _follows(parts[second], parts[first])
        ]
        num_classes = int(probes.targets.max()) + 1
        first_ones = [line for line, last in pairs if _num_units(parts[last]) == num_classes]
        lines = list(dict.fromkeys([*first_ones, *lines, *(line for line, _ in pairs)]))
    raise ValueError(
        f"model: expected a model with a call method; {type(model).__name__} has none, as its "
        "train_step is all that it needs. Say which part is explained: "
        f"{' or '.join(lines or ['score=ks.Score(model=model.part)'])}.{about_labels(probes)}"
    )


def part_lines(model: Any, probes: ProbeSet) -> list[str]:
    """The arguments `score=` that explain the parts of a model that take probes like these."""
    fitting = ((name, one) for name, one in _parts(model).items() if _takes(one, probes))
    return [part_line(one, f"model.{name}") for name, one in fitting]


def _parts(model: Any) -> dict[str, Any]:
    """The models that are attributes of a model, if they have weights or are not built yet."""
    models = {name: one for name, one in vars(model).items() if isinstance(one, keras.Model)}
    return {name: one for name, one in models.items() if one.weights or not one.built}


def may_differ(probes: ProbeSet) -> bool:
    """Whether probes have labels that may not be the classes of a part of the model."""
    return probes.targets is not None and probes.output is None


def about_labels(probes: ProbeSet) -> str:
    """A sentence on labels, if a part of a model may have other classes than they name."""
    if not may_differ(probes):
        return ""
    return (
        " The targets then are its classes; if they are not, leave them out: "
        "dataclasses.replace(probes, targets=None)."
    )


def _num_units(part: Any) -> int | None:
    """The number of values of a part with one output; `None` if it has several."""
    outputs = getattr(part, "outputs", None) or []
    sizes = [size for output in outputs for size in output.shape[1:]]
    is_known = len(outputs) == 1 and None not in sizes
    return math.prod(sizes) if is_known else None


def _follows(part: Any, other: Any) -> bool:
    """Whether a part of a model takes what another one returns, as far as their shapes tell."""
    shapes = [*input_shapes(part).values()]
    outputs = getattr(other, "outputs", None) or []
    is_one = len(shapes) == len(outputs) == 1 and part is not other
    return is_one and tuple(shapes[0]) == tuple(outputs[0].shape)


def _takes(part: Any, probes: ProbeSet) -> bool:
    """Whether a part of a model takes inputs of the shape of the probes, as far as it tells."""
    try:
        shapes = [*input_shapes(part).values()]
    except ValueError:  # nested inputs
        return False
    is_one = probes.input_name is None and len(shapes) == 1
    return is_one and _fits(tuple(shapes[0][1:]), fed_shape(probes)[1:])


def as_seen(model: Any, probes: ProbeSet) -> ProbeSet:
    """The probes as the model sees them in `fit` and `predict`.

    A keras-hub task preprocesses its inputs in `fit` and `predict`, but not when it is called. This
    function applies its preprocessor to the probes.

    Raises:
        ValueError: The preprocessor returns something other than images of the same size.
    """
    preprocess = getattr(model, "preprocess_samples", None)
    if probes.kind != "image" or preprocess is None or getattr(model, "preprocessor", None) is None:
        return probes
    seen = keras.tree.map_structure(np.asarray, preprocess(probes.images))
    if not isinstance(seen, np.ndarray):
        raise ValueError(
            "images: expected images that the model's preprocessor turns into one array; it makes "
            "several inputs. Run the preprocessor yourself, and pass its results to the ProbeSet "
            "by name: input_name=..., held={...}."
        )
    if np.array_equal(seen, probes.images):
        return probes
    if seen.shape[:-1] != probes.images.shape[:-1] and (probes.masks is not None or probes.regions):
        raise ValueError(
            f"masks, regions: the model's preprocessor makes images of shape {seen.shape[1:]} from "
            f"images of shape {probes.images.shape[1:]}. Pass images of the new size, with masks "
            "or boxes that fit them."
        )
    return dataclasses.replace(probes, images=seen)


def input_shapes(model: Any) -> dict[str, Sequence[int | None]]:
    """The shapes of a model's inputs, as `input_tensors` gives them."""
    return {name: tensor.shape for name, tensor in input_tensors(model).items()}


def input_tensors(model: Any) -> dict[str, Any]:
    """A model's inputs by name, in the model's order; empty if it defines none.

    If the model takes a dict, these are its keys, in its order (Keras sorts `model.inputs`); else
    the names of the `keras.Input`s.

    Raises:
        ValueError: The inputs are nested.
    """
    struct = inputs_struct(model)
    if struct is None:
        struct = list(getattr(model, "inputs", None) or [])
    if not isinstance(struct, Mapping | list | tuple):
        struct = [struct]
    inputs = list(struct.values()) if isinstance(struct, Mapping) else list(struct)
    if not all(hasattr(tensor, "shape") for tensor in inputs):
        raise ValueError(
            "model: expected inputs in a flat list or dict, received nested ones. Wrap the model "
            "in a model that takes a flat dict."
        )
    names = list(struct) if isinstance(struct, Mapping) else [tensor.name for tensor in inputs]
    return dict(zip(names, inputs, strict=True))


def optional_inputs(model: Any) -> set[str]:
    """The names of the inputs that a model works without (`keras.Input(optional=True)`)."""
    layers = {layer.name for layer in getattr(model, "layers", []) if _is_optional(layer)}
    return {name for name, tensor in input_tensors(model).items() if tensor.name in layers}


def _is_optional(layer: Any) -> bool:
    return isinstance(layer, keras.layers.InputLayer) and getattr(layer, "optional", False)


def fixed_batch_size(model: Any) -> int | None:
    """The batch size that a model is built for; `None` if it takes any number of inputs.

    It is fixed by `keras.Input(batch_shape=...)`, or by a reshape to a constant batch size.
    """
    tensors = [*(getattr(model, "inputs", None) or []), *(getattr(model, "outputs", None) or [])]
    sizes = [tensor.shape[0] for tensor in tensors if len(tensor.shape)]
    return next((int(size) for size in sizes if size is not None), None)


def check_fit(model: Any, probes: ProbeSet) -> None:
    """Checks that probes provide every input of a model, in the right shape, without running it.

    Args:
        model: The model.
        probes: The probes.

    Raises:
        ValueError: An input is missing or has the wrong shape.
    """
    known = input_shapes(model)
    if not known:
        return
    names = _stable_names(model)
    listed, inputs = _listed(names), ", ".join(f"{name!r}: ..." for name in names)
    if probes.input_name is None and len(known) > 1:
        raise ValueError(
            f"model: expected one input, received a model with {len(known)} inputs: {listed}. "
            f"Explain all of them, ProbeSet({{{inputs}}}, targets), or one: "
            "ProbeSet(images, targets, input_name=..., held={...}). If the elements of a data set "
            "are inputs alone: ProbeSet.from_dataset(dataset.map(lambda *inputs: (inputs,))), or "
            "ProbeSet.from_dataset((data,)) for a dict of arrays."
        )
    given: dict[Any, tuple[int, ...]] = {}
    for one in probes.explained.values():
        given |= _shapes(one)
    explained = {*given}
    given |= {other: values.shape for other, values in probes.held.items()}
    for other in optional_inputs(model) - {*given}:
        del known[other]
    if all(isinstance(name, str) for name in given) and {*given} != {*known}:
        argument = "images" if len(explained) > 1 else "input_name, held"
        hint = ""
        if names != [*known]:
            hint = (
                f" They have no names, so give them by position: ProbeSet({{{inputs}}}, targets)."
            )
        elif {*known} < {*given} and not ignores(model, {*given}):
            hint = (
                " Keras takes the values of a dict in the order of their names, so the model gets "
                "others than its own in fit. Leave out those that it does not take: "
                f"dataset.map(lambda x, y: ({{name: x[name] for name in [{listed}]}}, y)), or "
                f"inputs = {{name: inputs[name] for name in [{listed}]}} for arrays."
            )
        raise ValueError(
            f"{argument}: expected the model's inputs {listed}, received {_listed(given)}.{hint}"
        )
    if len(given) != len(known):
        raise ValueError(
            f"held: expected {len(known)} inputs in total, as the model has, received {len(given)}."
        )
    for place, values in given.items():
        expected = known[place] if isinstance(place, str) else [*known.values()][place or 0]
        argument = f"held[{place!r}]"
        if place in explained:
            argument = "images" if len(explained) == 1 else f"images[{place!r}]"
        if not _fits(tuple(expected[1:]), values[1:]):
            raise ValueError(
                f"{argument}: expected shape {('num_probes', *expected[1:])}, like the model's "
                f"input, received {tuple(values)}."
            )


def ignores(model: Any, names: Collection[Any]) -> bool:
    """Whether a model takes its own inputs from a dict that also has others.

    It takes them by name. A model that was made of a dict of inputs takes the values in the order
    of their names, so that the others have to come after its own.

    Args:
        model: The model.
        names: The keys of the dict.
    """
    known = [*input_shapes(model)]
    if not known or not all(isinstance(name, str) for name in names) or {*known} - {*names}:
        return False
    by_order = isinstance(inputs_struct(model), Mapping)
    return not by_order or sorted(names)[: len(known)] == sorted(known)


def _stable_names(model: Any) -> list[Any]:
    """The names of a model's inputs; positions if Keras made up names, which change."""
    names, struct = [*input_tensors(model)], inputs_struct(model)
    if isinstance(struct, Mapping) or not any(map(_GENERATED_NAME.fullmatch, names)):
        return names
    return [*range(len(names))]


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(repr, names))


def _shapes(probes: ProbeSet) -> dict[Any, tuple[int, ...]]:
    """The shapes of the model's inputs that explained probes stand for, by name."""
    if not isinstance(probes.input_name, tuple):
        return {probes.input_name: fed_shape(probes)}
    columns = pieces(probes.input_name).items()
    return {name: (len(probes), piece.stop - piece.start) for name, piece in columns}


def _fits(expected: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    """Whether Keras takes inputs of a shape, without the batch; it adds or drops an axis of 1."""
    if len(given) == len(expected) - 1 and expected[-1] == 1:
        given = (*given, 1)
    elif len(given) == len(expected) + 1 and given[-1] == 1:
        given = given[:-1]
    return len(given) == len(expected) and all(
        want in (None, have) for want, have in zip(expected, given, strict=True)
    )


def declared_outputs(model: Any, output: str | int | None = None) -> str:
    """What the loss that a model is compiled with takes its outputs for.

    Args:
        model: A Keras model.
        output: For a model with several outputs, the name or position of one.

    Returns:
        `"probabilities"` or `"logits"` for a cross-entropy; `""` for any other loss.
    """
    loss = _loss(model, output)
    is_logits = getattr(loss, "from_logits", None)
    if inspect.isfunction(loss):  # a function has `from_logits` as an argument
        argument = inspect.signature(loss).parameters.get("from_logits")
        is_logits = None if argument is None else argument.default
    if not isinstance(is_logits, bool):
        return ""
    return "logits" if is_logits else "probabilities"


def loss_of_numbers(model: Any, output: str | int | None = None) -> str:
    """The name of the loss that a model is compiled with, if it compares numbers; else `""`.

    Args:
        model: A Keras model.
        output: As in `declared_outputs`.
    """
    name = _loss_name(model, output)
    return name if name in _LOSSES_OF_NUMBERS else ""


def loss_of_classes(model: Any, output: str | int | None = None) -> bool:
    """Whether the loss that a model is compiled with is about classes that exclude each other.

    Args:
        model: A Keras model.
        output: As in `declared_outputs`.
    """
    is_of_classes = bool(declared_outputs(model, output)) and not loss_of_labels(model, output)
    return _loss_name(model, output) == "ctc" or is_of_classes


def loss_of_labels(model: Any, output: str | int | None = None) -> bool:
    """Whether the loss that a model is compiled with takes each unit for a label of its own.

    Args:
        model: A Keras model.
        output: As in `declared_outputs`.
    """
    return bool(declared_outputs(model, output)) and "binary" in _loss_name(model, output)


def has_loss(model: Any, output: str | int | None = None) -> bool:
    """Whether a model is compiled with a loss for an output, of any kind."""
    return _loss(model, output) is not None


def _loss_name(model: Any, output: str | int | None) -> str:
    """The name of the function of a loss; empty if there is none."""
    loss = _loss(model, output)
    return getattr(getattr(loss, "fn", loss), "__name__", "")


def _loss(model: Any, output: str | int | None) -> Any:
    """The loss of one output of a compiled model; `None` if there is none."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, Mapping | list | tuple):
        names = list(getattr(model, "output_names", None) or [])
        if isinstance(loss, Mapping):
            name = names[output] if isinstance(output, int) and names else output
            loss = _at_path(loss, name)
        else:
            place = names.index(output) if output in names else output or 0
            loss = loss[place] if isinstance(place, int) and place < len(loss) else None
    try:
        return keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:  # the name of a custom loss, which a file does not hold
        return None


def _at_path(losses: Any, name: Any) -> Any:
    """What dicts and lists have for an output, whose name may be a path; `None` for nothing."""
    if isinstance(losses, Mapping) and (name in losses or not isinstance(name, str)):
        return losses.get(name)
    first, _, rest = str(name).partition("/")
    if isinstance(losses, list | tuple):
        losses = {str(place): loss for place, loss in enumerate(losses)}
    inner = losses.get(first) if isinstance(losses, Mapping) else None
    return _at_path(inner, rest) if rest else inner


def fed_shape(probes: ProbeSet) -> tuple[int, ...]:
    """The shape of the explained input, in the model's data format."""
    shape: tuple[int, ...] = probes.images.shape
    if probes.data_format in ("no_channels", SCALARS):
        return shape[:-1]
    is_moved = probes.data_format == "channels_first"
    return (shape[0], shape[-1], *shape[1:-1]) if is_moved else shape


def structure(model: Any) -> tuple[list[int], str]:
    """What a trace depends on: the weight objects and the configuration of the layers.

    The configuration is compared as text, since it may contain arrays. It is empty if the model
    or a custom layer has none.
    """
    try:
        configuration = repr(model.get_config())
    except (AttributeError, RuntimeError, TypeError, ValueError):
        configuration = ""
    return weights(model), configuration


def weights(model: Any) -> list[int]:
    """The identities of a model's weights, whatever their values."""
    return [id(weight) for weight in model.weights]


def place(operation: Any, model: Any) -> str:
    """An operation's name in terms of layer names, without the numbers that a graph appends."""
    known = _layer_names(model)
    parts = operation.name.split("/")
    plain = [part.rpartition("_")[0] for part in parts]
    return "/".join(
        short if short in known and part not in known else part
        for part, short in zip(parts, plain, strict=True)
    )


def _layer_names(layer: Any) -> set[str]:
    return {layer.name}.union(*(_layer_names(inner) for inner in getattr(layer, "layers", [])))
