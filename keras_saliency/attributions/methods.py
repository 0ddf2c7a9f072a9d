"""`METHODS`: the table of attribution methods, by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from keras_saliency.attributions.gradients import gradient, input_x_gradient
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.layers import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from keras_saliency.attributions.noise import smoothgrad, vargrad
from keras_saliency.attributions.occlusion import num_windows, occlusion
from keras_saliency.attributions.paths import expected_gradients, integrated_gradients

Method = str | Callable[[Any, Tensor], Tensor]
"""A key of `METHODS`, or a function `(score_fn, inputs) -> attribution`."""

METHODS: dict[str, Callable[..., Tensor]] = {
    "gradient": gradient,
    "input_x_gradient": input_x_gradient,
    "smoothgrad": smoothgrad,
    "smoothgrad_squared": partial(smoothgrad, average="squared"),
    "vargrad": vargrad,
    "integrated_gradients": integrated_gradients,
    "expected_gradients": expected_gradients,
    "grad_cam": grad_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "layer_cam": layer_cam,
    "hires_cam": hires_cam,
    "occlusion": occlusion,
}
"""The built-in methods by name."""

_UNFIT = (
    "it mostly recovers the image, whichever class is explained (Nie et al., arXiv:1805.07039), "
    "and hardly changes if the last layers are randomized (Adebayo et al., arXiv:1810.03292). "
    "Use 'smoothgrad' for maps with less noise"
)

REFUSED = dict.fromkeys(
    ("deconvnet", "guided_backprop", "guided_backpropagation", "guided_grad_cam"), _UNFIT
)
"""Well-known methods that are not offered, each with the reason."""


def check_method(method: object) -> None:
    """Checks that a value is a method.

    Raises:
        TypeError: The value is neither a string nor callable.
        ValueError: The name is unknown or refused.
    """
    if callable(method):
        return
    listed = ", ".join(map(repr, METHODS))
    if not isinstance(method, str):
        raise TypeError(
            f"method: expected one of {listed}, or a callable (score_fn, inputs) -> attribution, "
            f"received {method!r}."
        )
    if method in REFUSED:
        raise ValueError(f"method={method!r} is not offered: {REFUSED[method]}.")
    if method not in METHODS:
        raise ValueError(
            f"method: expected one of {listed}, or a callable (score_fn, inputs) -> attribution, "
            f"received {method!r}."
        )


def method_name(method: Method) -> str:
    """The name of a method in pictures and logs: its own name, and the settings that were changed.

    Example:
        >>> method_name("grad_cam"), method_name(partial(smoothgrad, num_samples=50))
        ('grad_cam', 'smoothgrad(num_samples=50)')
    """
    if isinstance(method, str):
        return method
    if not isinstance(method, partial):
        return getattr(method, "__name__", type(method).__name__)
    settings = [f"{name}={_short(value)}" for name, value in method.keywords.items()]
    return f"{method_name(method.func)}({', '.join(settings)})"


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    if getattr(value, "shape", None) is None:
        return repr(value)
    digest = hashlib.blake2b(np.asarray(value).tobytes(), digest_size=2).hexdigest()
    return f"array{tuple(value.shape)}#{digest}"


def methods_by_name(method: Method | Sequence[Method]) -> dict[str, Method]:
    """Checks one or several methods, and returns them by name.

    Raises:
        TypeError: A method is neither a string nor callable.
        ValueError: A name is unknown, the list is empty, or two methods have the same name.
    """
    several: list[Any] = list(method) if isinstance(method, list | tuple) else [method]
    if not several:
        raise ValueError("method: expected one or more methods, received an empty list.")
    for value in several:
        check_method(value)
    methods = {method_name(value): value for value in several}
    if len(methods) < len(several):
        names = ", ".join(map(method_name, several))
        raise ValueError(
            f"method: expected methods with different names, received {names}. The name of a "
            "custom function is its __name__."
        )
    return methods


def num_passes(method: Method, shape: Sequence[int]) -> int:
    """About how many forward passes one map takes; a backward pass counts as two.

    Of a custom function it is known how many copies of the input it makes if it has a setting
    `num_samples` or `num_steps`.

    Args:
        method: The method.
        shape: Of one input, with its channels.

    Example:
        >>> num_passes("gradient", (32, 32, 3)), num_passes("smoothgrad", (32, 32, 3))
        (3, 72)
        >>> num_passes(partial(integrated_gradients, num_steps=10), (32, 32, 3))
        30
    """
    function = METHODS[method] if isinstance(method, str) else method
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return 3
    settings = {name: parameter.default for name, parameter in parameters.items()}
    if getattr(function, "func", function) is occlusion:
        return 1 + num_windows(shape, settings["window"], settings["stride"])
    copies = settings.get("num_samples", settings.get("num_steps", 1))
    return 3 * copies if isinstance(copies, int) else 3
