"""What a model has to be to be explained, and what of it a trace depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_saliency.probes import ProbeSet


def check_model(model: Any, probes: ProbeSet) -> None:
    """Checks that a model can be explained on these probes, as far as that shows without a run.

    Raises:
        RuntimeError: Keras runs on another backend than TensorFlow.
        TypeError: `model` is no Keras 3 model; the images are integers.
        ValueError: The model is not built, or its input is of another shape.
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
        mend = " Build it with Keras 3: tf_keras (Keras 2) is not supported." if legacy else ""
        raise TypeError(f"model: expected a keras.Model of Keras 3, received {kind}.{mend}")
    if not model.built:
        raise ValueError(
            "model: expected a built model, received one without weights. Give it a keras.Input, "
            "or call it on a batch once."
        )
    if probes.images.dtype.kind in "iu":
        raise TypeError(
            f"images: expected floating point, as a gradient needs, received "
            f"{probes.images.dtype}. Convert them as the training data are, for instance "
            "images.astype('float32')."
        )
    _check_input_shape(model, probes.images.shape)


def _check_input_shape(model: Any, shape: Sequence[int]) -> None:
    inputs = getattr(model, "inputs", None)  # a subclassed model has none
    if not inputs:
        return
    if len(inputs) != 1:
        raise ValueError(f"model: expected one input, received a model with {len(inputs)}.")
    expected = inputs[0].shape
    fits = len(expected) == len(shape) and all(
        want in (None, have) for want, have in zip(expected[1:], shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"images: expected shape {('num_probes', *expected[1:])}, as the model's input, "
            f"received {tuple(shape)}."
        )


def structure(model: Any) -> tuple[list[int], str]:
    """What a trace depends on: the weights themselves, and how the layers are configured.

    The configuration is compared as text, since it may hold arrays; it is empty where a model,
    or a layer of somebody's own, has none.
    """
    try:
        configuration = repr(model.get_config())
    except (NotImplementedError, AttributeError, TypeError, ValueError):
        configuration = ""
    return weights(model), configuration


def weights(model: Any) -> list[int]:
    """Which weights a model has, whatever their values."""
    return [id(weight) for weight in model.weights]


def place(operation: Any, model: Any) -> str:
    """An operation's name by the layers' own names, without the numbers that a graph appends."""
    known = _layer_names(model)
    parts = operation.name.split("/")
    plain = [part.rpartition("_")[0] for part in parts]
    return "/".join(
        short if short in known and part not in known else part
        for part, short in zip(parts, plain, strict=True)
    )


def _layer_names(layer: Any) -> set[str]:
    return {layer.name}.union(*(_layer_names(inner) for inner in getattr(layer, "layers", [])))
