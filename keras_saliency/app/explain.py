"""Explains the predictions of a trained model for a few images."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_saliency.app.images import first_line, image_layout
from keras_saliency.app.model_files import read_model
from keras_saliency.attributions import Method, method_name
from keras_saliency.attributions.scores import Score, ScoreFunction, known_name
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport
from keras_saliency.engine.compilation import Compute
from keras_saliency.engine.keras_internals import with_graph
from keras_saliency.engine.outputs import named_outputs
from keras_saliency.monitor import SaliencyMonitor
from keras_saliency.rendering import layouts
from keras_saliency.rendering.clipping import end_of_colors
from keras_saliency.rendering.heatmaps import (
    CLIP_PERCENTILE,
    colorize,
    diverging,
    enlarged,
    factor_for,
    limits,
    map_defect,
    overlay,
    peaks,
)
from keras_saliency.rendering.layouts import Line

PIXEL_RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
"""The ranges of pixel values that a saved model may expect."""

MIN_PICTURE_SIDE = 224
"""The longer side of a panel in pixels; smaller pictures are enlarged by an integer factor."""


def saliency_maps(
    model: Any,
    images: Any,
    targets: Any = None,
    *,
    method: Method = "gradient",
    score: ScoreFunction | Score = "auto",
    compute: str | Compute = "auto",
) -> Any:
    """Computes the saliency maps of a few images.

    Args:
        model: As in `SaliencyMonitor`.
        images: `(num_images, height, width, channels)`, preprocessed for the model; a dict of the
            model's inputs by name; or a `ProbeSet`.
        targets: `(num_images,)`, class indices; default: the predicted classes.
        method: As in `SaliencyMonitor`, but only one method.
        score: As in `SaliencyMonitor`.
        compute: As in `SaliencyMonitor`.

    Returns:
        `(num_images, height, width)`, non-negative except with `reduction="signed"`. The unit is
        score per unit of input for gradients, and score for other methods. To display the maps,
        use `keras_saliency.rendering.heatmaps`, or clip each at its 99th percentile: divided by its
        maximum, a map with one hot pixel would be black. If several inputs are explained, a dict
        of maps by the name of the input; those of a table of several are called `"table"`.

    Raises:
        TypeError: As in `SaliencyMonitor` and `ProbeSet`.
        ValueError: As in `SaliencyMonitor` and `ProbeSet`.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(5)])
        >>> saliency_maps(model, np.zeros((1, 8, 8, 3), "float32")).shape
        (1, 8, 8)
    """
    if isinstance(images, ProbeSet) and targets is not None:
        raise ValueError("targets: expected None, since a ProbeSet has its own targets.")
    if isinstance(method, list | tuple):
        raise TypeError(
            f"method: expected one method, received {method!r}. Use a SaliencyMonitor for several."
        )
    probes = images if isinstance(images, ProbeSet) else ProbeSet(images, targets)
    monitor = SaliencyMonitor(
        model, probes, method=method, score=score, interventions=None, compute=compute
    )
    report = monitor.evaluate(step=0)
    if not report.other_inputs:
        return _signed_if_known(report)
    reports = zip(monitor.probes.explained, [report, *report.other_inputs.values()], strict=True)
    return {name: _signed_if_known(one) for name, one in reports}


def _signed_if_known(report: SaliencyReport) -> Array:
    return report.maps if report.signed_maps is None else report.signed_maps


@dataclass(frozen=True)
class ImageModel:
    """An image model with its preprocessing and class names.

    Attributes:
        model: The Keras model.
        preprocess: A function from float32 images in 0..255, channels last, to the scale of the
            model's input.
        class_names: The names of the classes, as far as they are known.
    """

    model: Any
    preprocess: Callable[[Array], Array]
    class_names: Sequence[str] = ()

    def class_name(self, index: int) -> str:
        """The name of a class, or its index as text."""
        known = 0 <= index < len(self.class_names)
        return self.class_names[index] if known else f"class {index}"

    def explained(self, score: Score, index: int) -> str:
        """What is explained, in words: a class, or an output unit if the score is `"output"`."""
        what = self._number(score, index)
        return what if score.output is None else f"{what} (output {score.output!r})"

    def _number(self, score: Score, index: int) -> str:
        """The number that is explained."""
        name = known_name(score.score)
        if name == "mean":
            return "the mean of all outputs"
        if name == "max_logit":
            return "the largest logits, averaged over all positions"
        if name != "output":
            return f"the {score.name} of {self.class_name(index)}"
        if 0 <= index < len(self.class_names):
            return f"the output of {self.class_names[index]}"
        is_single = _num_classes(self.model, score.output) == 1
        return "the output" if is_single else f"output {index}"


def applications() -> dict[str, tuple[Callable[..., Any], Any]]:
    """The architectures of `keras.applications`: constructor and module by name."""
    members = vars(keras.applications)
    modules = {
        module.preprocess_input.__module__: module
        for module in members.values()
        if hasattr(module, "preprocess_input")
    }
    return {
        name: (member, modules[member.__module__])
        for name, member in members.items()
        if name[0].isupper() and callable(member)  # MobileNetV3 is not in its own module
    }


def load_application(name: str, weights: str | None) -> ImageModel:
    """Loads an architecture of `keras.applications`, with its preprocessing and class names.

    Args:
        name: A name in `keras.applications`; upper and lower case do not matter.
        weights: `"imagenet"`, the path of a weights file, or `None` for random weights.

    Raises:
        ValueError: The name is unknown, or the weights cannot be loaded.
    """
    names = {known.lower(): known for known in applications()}
    if name.lower() not in names:
        close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        hint = f" Similar names: {', '.join(names[match] for match in close)}." if close else ""
        raise ValueError(
            "name: expected a .keras or .h5 file, or the name of a keras.applications model, "
            f"received {name!r}.{hint}"
        )
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ValueError(
            f"weights: expected 'imagenet', none or an existing file, received {weights!r}."
        )
    constructor, module = applications()[names[name.lower()]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per layer, if the file is for another model
            model = constructor(weights=weights)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ValueError(
            f"weights: the weights {weights!r} of {names[name.lower()]} could not be loaded: "
            f"{first_line(error)} Pass the file of the weights, or none."
        ) from error
    knows_imagenet = weights is not None and model.output_shape[-1] == 1000
    class_names = _imagenet_names(model, module) if knows_imagenet else []
    preprocess = partial(module.preprocess_input, data_format="channels_last")
    return ImageModel(model, preprocess, class_names)


def _imagenet_names(model: Any, module: Any) -> list[str]:
    classes = model.output_shape[-1]
    try:
        ranked = module.decode_predictions(np.arange(classes)[np.newaxis] / classes, top=classes)[0]
    except Exception as error:  # the names are downloaded, too; Keras raises a bare Exception
        warnings.warn(
            "The class names of ImageNet could not be loaded; class indices are shown instead: "
            f"{first_line(error)}",
            stacklevel=2,
        )
        return []
    return [entry[1].replace("_", " ") for entry in reversed(ranked)]


def load_saved(
    path: Path,
    pixels: str | None,
    class_names: Sequence[str] | None,
    output: str | int | None = None,
) -> ImageModel:
    """Loads a model saved as `.keras` or `.h5`, with the loss that it is compiled with.

    The loss tells whether the outputs are classes or numbers. A loss that is not known here, such
    as a function of the user's, is left out.

    Args:
        path: The file.
        pixels: A key of `PIXEL_RANGES`; `None` if the model itself rescales pixels from 0..255.
        class_names: A name for every class; default: the indices.
        output: The name or position of the output whose classes these are, if there are several.

    Raises:
        ValueError: As in `read_model`; the number of class names is wrong; or `pixels` is
            required.
    """
    model = read_model(path)
    count = _num_classes(model, output)
    if class_names is not None and count is not None and len(class_names) != count:
        raise ValueError(
            f"class_names: expected {count} names, one per class, received {len(class_names)}."
        )
    if pixels is None:
        if not _rescales(model):
            raise ValueError(
                f"pixels: {path} has no Rescaling or Normalization layer, so the range of its "
                f"pixels is unknown; use one of pixels={', pixels='.join(PIXEL_RANGES)}."
            )
        pixels = "0..255"
    low, high = PIXEL_RANGES[pixels]
    return ImageModel(
        model,
        lambda images: images * np.float32((high - low) / 255) + np.float32(low),
        class_names or (),
    )


def _num_classes(model: Any, output: str | int | None) -> int | None:
    """The number of values of an output; `None` if it is not clear which output is meant."""
    named = named_outputs(model, with_graph(model).output)
    several = dict(enumerate(named.values())) | named
    if len(named) > 1 and output not in several:
        return None
    number: int | None = several[0 if len(named) == 1 else output].shape[-1]
    return number


def _rescales(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
        return True
    return any(_rescales(inner) for inner in getattr(layer, "layers", []))


def explain(
    subject: ImageModel,
    images: Array,
    *,
    target: int | None = None,
    method: Method = "gradient",
    score: str | Score = "auto",
    reduction: str | None = None,
    colormap: str = "hot",
    clip_percentile: float = CLIP_PERCENTILE,
) -> list[tuple[Array, str]]:
    """Draws image, saliency map and overlay, with the predicted class and its probability.

    The gradient is computed at the preprocessed image, and shown on the original image.

    Args:
        subject: The model.
        images: float32 `(num_images, height, width, channels)` in 0..255.
        target: The class to explain; default: the predicted class of each image.
        method: As in `SaliencyMonitor`, but only one method.
        score: A key of `keras_saliency.attributions.scores.SCORES`, or a `Score`.
        reduction: As in `SaliencyMonitor`; `"signed"` maps are shown in two colours.
        colormap: The name of a matplotlib colormap.
        clip_percentile: The percentile of each map at which colours end; 100 for its maximum.

    Returns:
        For each image, its picture, uint8 `(height, width, 3)`, and a line of text about it.
    """
    model_inputs = np.asarray(subject.preprocess(images.copy()), np.float32)
    probes = ProbeSet(
        model_inputs,
        None if target is None else [target] * len(images),
        data_format=image_layout(subject.model.input_shape).data_format,
    )
    monitor = SaliencyMonitor(
        subject.model,
        probes,
        method=method,
        score=score,
        interventions=None,
        compute=Compute(reduction=reduction),
    )
    report = monitor.evaluate(0)
    signed = report.signed_maps is not None
    maps = _signed_if_known(report)
    pictures = images.repeat(3 if images.shape[-1] == 1 else 1, axis=-1).astype(np.uint8)
    ends = limits(maps, "epoch", clip_percentile=clip_percentile)
    colormap = diverging(colormap) if signed else colormap
    panels = [
        pictures,
        colorize(maps, limits=ends, colormap=colormap, signed=signed),
        overlay(pictures, maps, limits=ends, colormap=colormap, signed=signed),
    ]
    factor = factor_for(max(images.shape[1:3]), MIN_PICTURE_SIDE)
    explained = []
    for index, peak in enumerate(peaks(maps)):
        defect = map_defect(report.maps[index])
        prediction = report.predictions[index]
        explained_unit = subject.explained(monitor.score, report.targets[index])
        predicts = f"predicts {subject.class_name(prediction)} {report.confidences[index]:.3f}"
        lines = [
            predicts if prediction >= 0 else f"scores {report.scores[index]:.3g}",
            f"{method_name(method)} of {explained_unit}",
        ]
        end = end_of_colors(ends[index], peak, "epoch", clip_percentile)
        scale = f"map peak {peak:.3g}, {end}" if end else f"map peak {peak:.3g}"
        picture = layouts.captioned(
            layouts.beside([enlarged(panel[index], factor) for panel in panels]),
            [*map(Line, [*lines, scale]), *([Line(defect, wrong=True)] if defect else [])],
        )
        explained.append((picture, f"{lines[0]}; {lines[1]}{f' ({defect})' if defect else ''}"))
    return explained
