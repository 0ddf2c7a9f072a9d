"""What `benchmarks.methods` times: the same method by several libraries, on one model and images.

Each function but `tf_explain_callback`, which is for `benchmarks.overhead`, returns, by the name of
the method, a call that computes maps of all images and has them in NumPy at its end. All are given
the same model, which ends in its logits, and the number of copies, steps or baselines of the
methods that make several passes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks._models import CLASSES, Array

NOISE = 0.15
GRID = 4
"""Occlusion: a side is covered by so many windows, next to each other."""

Ways = dict[str, Callable[[], Any]]


def floor(model: keras.Model, images: Array, targets: Array, passes: int) -> Ways:
    """A bare compiled pass over all images, backward or forward: the least that can be done."""
    inputs, wanted = tf.constant(images), tf.constant(targets)

    @tf.function(autograph=False)
    def forward(images: Any) -> Any:
        return tf.gather(model(images, training=False), wanted, axis=1, batch_dims=1)

    @tf.function(autograph=False)
    def backward(images: Any) -> Any:
        return tf.gradients(forward.python_function(images), images)[0]

    return {
        "backward": lambda: backward(inputs).numpy(),
        "forward": lambda: forward(inputs).numpy(),
    }


def ours(model: keras.Model, images: Array, targets: Array, passes: int) -> Ways:
    """This library: what `SaliencyMonitor.evaluate` does but for its metrics."""
    import keras_saliency as ks
    from keras_saliency.attributions import METHODS

    settings: dict[str, dict[str, int]] = {
        "smoothgrad": {"num_samples": passes},
        "smoothgrad_squared": {"num_samples": passes},
        "vargrad": {"num_samples": passes},
        "integrated_gradients": {"num_steps": passes},
        "expected_gradients": {"num_samples": passes},
        "occlusion": {"window": images.shape[1] // GRID, "stride": images.shape[1] // GRID},
    }
    probes = ks.ProbeSet(images, targets)

    def way(name: str) -> Callable[[], Any]:
        method = partial(METHODS[name], **settings.get(name, {}))
        monitor = ks.SaliencyMonitor(model, probes, method=method)
        return lambda: monitor._explainer.explain(probes.targets)

    return {name: way(name) for name in METHODS}


def tf_keras_vis(model: keras.Model, images: Array, targets: Array, passes: int) -> Ways:
    """tf-keras-vis."""
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    score = CategoricalScore([int(target) for target in targets])
    saliency = Saliency(model)
    cams = {"grad_cam": Gradcam, "grad_cam_plus_plus": GradcamPlusPlus, "layer_cam": Layercam}
    raw = {"normalize_map": False}
    return {
        "gradient": lambda: saliency(score, images, **raw),
        "smoothgrad": lambda: saliency(
            score, images, smooth_samples=passes, smooth_noise=NOISE, **raw
        ),
        **{name: partial(cam(model), score, images) for name, cam in cams.items()},
    }


def xplique(model: keras.Model, images: Array, targets: Array, passes: int) -> Ways:
    """Xplique."""
    from xplique import attributions

    wanted = np.eye(CLASSES, dtype=np.float32)[targets]
    noisy = {"nb_samples": passes, "noise": NOISE}
    side = images.shape[1] // GRID
    known = {
        "gradient": (attributions.Saliency, {}),
        "input_x_gradient": (attributions.GradientInput, {}),
        "smoothgrad": (attributions.SmoothGrad, noisy),
        "smoothgrad_squared": (attributions.SquareGrad, noisy),
        "vargrad": (attributions.VarGrad, noisy),
        "integrated_gradients": (attributions.IntegratedGradients, {"steps": passes}),
        "grad_cam": (attributions.GradCAM, {}),
        "grad_cam_plus_plus": (attributions.GradCAMPP, {}),
        "occlusion": (attributions.Occlusion, {"patch_size": side, "patch_stride": side}),
    }

    def way(explainer: Any, settings: dict[str, Any]) -> Callable[[], Any]:
        make = cache(partial(explainer, model, batch_size=len(images), **settings))
        return lambda: np.asarray(make().explain(images, wanted))

    return {name: way(*one) for name, one in known.items()}


def pair(model: keras.Model, images: Array, targets: Array, passes: int) -> Ways:
    """PAIR saliency, image by image as it is made, on a compiled function that it is given.

    Its occlusion moves the window by one pixel at a time, and is not comparable.
    """
    from saliency import core

    layer = next(one for one in reversed(model.layers) if len(one.output.shape) == 4)
    both = keras.Model(model.inputs, [layer.output, model.outputs[0]])

    @tf.function(autograph=False, reduce_retracing=True)
    def gradients(images: Any, target: Any) -> Any:
        return tf.gradients(model(images, training=False)[:, target], images)[0]

    @tf.function(autograph=False, reduce_retracing=True)
    def at_layer(images: Any, target: Any) -> Any:
        values, logits = both(images, training=False)
        return values, tf.gradients(logits[:, target], values)[0]

    def call(images: Array, call_model_args: Any, expected_keys: Any) -> dict[str, Array]:
        inputs, target = tf.constant(images, tf.float32), tf.constant(call_model_args)
        if core.base.INPUT_OUTPUT_GRADIENTS in expected_keys:
            return {core.base.INPUT_OUTPUT_GRADIENTS: gradients(inputs, target).numpy()}
        values, found = at_layer(inputs, target)
        return {
            core.base.CONVOLUTION_LAYER_VALUES: values.numpy(),
            core.base.CONVOLUTION_OUTPUT_GRADIENTS: found.numpy(),
        }

    def each(ask: Callable[..., Any], **settings: Any) -> Callable[[], Any]:
        return lambda: np.stack(
            [ask(x, call, int(t), **settings) for x, t in zip(images, targets, strict=True)]
        )

    gradient, path = core.GradientSaliency(), core.IntegratedGradients()
    smooth = partial(each, gradient.GetSmoothedMask, stdev_spread=NOISE, nsamples=passes)
    return {
        "gradient": each(gradient.GetMask),
        "smoothgrad": smooth(magnitude=False),
        "smoothgrad_squared": smooth(magnitude=True),
        "integrated_gradients": each(path.GetMask, x_steps=passes, batch_size=passes),
        "grad_cam": each(core.GradCam().GetMask, three_dims=False),
    }


def tf_explain_callback(images: Array, folder: Path) -> keras.callbacks.Callback:
    """tf-explain's callback for the gradient, of the first class for all images.

    It wants the softmax to be a layer of its own. Here it is not, so the callback warns, and
    differentiates the probability, which takes as long.

    Raises:
        ImportError: tf-explain, or OpenCV, which it needs, is not installed.
    """
    from tf_explain.callbacks.vanilla_gradients import VanillaGradientsCallback

    class Quiet(VanillaGradientsCallback):
        def set_model(self, model: keras.Model) -> None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Unsupported model architecture")
                super().set_model(model)

    return Quiet((images, None), class_index=0, output_dir=str(folder))


LIBRARIES = {
    "floor": floor,
    "ours": ours,
    "tf-keras-vis": tf_keras_vis,
    "xplique": xplique,
    "PAIR saliency": pair,
}
