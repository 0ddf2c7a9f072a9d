"""Attribution methods, each a pure TensorFlow function, and the table `METHODS`.

Every method has the form `(score_fn, inputs) -> attribution`, and may have settings with defaults.
`score_fn` maps inputs `(batch, ...)` to scores `(batch,)`; inputs are channels last. The
attribution has the shape of `inputs`, or a single channel. To change settings, use
`functools.partial(smoothgrad, num_samples=50)`, or write a function of the same form. Methods are
traced inside a `tf.function`; they do not loop over inputs, samples or steps in Python.
"""

from __future__ import annotations

from keras_saliency.attributions.differentiation import (
    LayerCall,
    ModelScore,
    ScoreFn,
    UnsuitableInputError,
)
from keras_saliency.attributions.gradients import gradient, input_x_gradient
from keras_saliency.attributions.layers import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from keras_saliency.attributions.methods import (
    METHODS,
    REFUSED,
    Method,
    check_method,
    method_name,
    methods_by_name,
    num_passes,
)
from keras_saliency.attributions.noise import smoothgrad, vargrad
from keras_saliency.attributions.occlusion import occlusion
from keras_saliency.attributions.paths import (
    completeness,
    expected_gradients,
    integrated_gradients,
)
from keras_saliency.attributions.reductions import REDUCTIONS, norm

__all__ = [
    "METHODS",
    "REDUCTIONS",
    "REFUSED",
    "LayerCall",
    "Method",
    "ModelScore",
    "ScoreFn",
    "UnsuitableInputError",
    "check_method",
    "completeness",
    "expected_gradients",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "hires_cam",
    "input_x_gradient",
    "integrated_gradients",
    "layer_cam",
    "method_name",
    "methods_by_name",
    "norm",
    "num_passes",
    "occlusion",
    "smoothgrad",
    "vargrad",
]
