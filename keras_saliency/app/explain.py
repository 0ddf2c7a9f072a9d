"""The classic picture: one trained model, a few images, where it looks for its prediction."""

from __future__ import annotations

import difflib
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_saliency.attributions import Method, method_name
from keras_saliency.attributions.scores import Score, ScoreFunction
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array
from keras_saliency.engine.compilation import Compute
from keras_saliency.monitor import SaliencyMonitor
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import (
    colorize,
    diverging,
    enlarged,
    factor_for,
    limits,
    map_defect,
    overlay,
)
from keras_saliency.rendering.layouts import Line

PIXEL_RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
"""The scales on which a saved model may take its pixels."""

MIN_PICTURE_SIDE = 224
"""Smaller pictures are enlarged by a whole factor until the longer side reaches this."""

_MODES = {1: "L", 3: "RGB"}


def saliency_maps(
    model: Any,
    images: Any,
    targets: Any = None,
    *,
    method: Method = "gradient",
    score: ScoreFunction | Score = "logit",
    compute: str | Compute = "auto",
) -> Array:
    """The saliency maps of a few images: the classic picture, as numbers.

    Args:
        model: As in `SaliencyMonitor`.
        images: `(num_images, height, width, channels)`, preprocessed as the model wants them; or a
            `ProbeSet`, for other inputs or several.
        targets: `(num_images,)` class indices; default: the predicted classes.
        method: As in `SaliencyMonitor`; one.
        score: As in `SaliencyMonitor`.
        compute: As in `SaliencyMonitor`.

    Returns:
        `(num_images, height, width)`, non-negative except with `reduction="signed"`, in score per
        input unit (the gradients) or in score (the others). For display divide each by its maximum,
        or use `keras_saliency.rendering.heatmaps`.

    Raises:
        TypeError: As `SaliencyMonitor` and `ProbeSet`.
        ValueError: As `SaliencyMonitor` and `ProbeSet`.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(5)])
        >>> saliency_maps(model, np.zeros((1, 8, 8, 3), "float32")).shape
        (1, 8, 8)
    """
    if isinstance(images, ProbeSet) and targets is not None:
        raise ValueError("targets: a ProbeSet has its own; leave them out.")
    if isinstance(method, list | tuple):
        raise TypeError("method: expected one; a SaliencyMonitor takes several.")
    report = SaliencyMonitor(
        model,
        images if isinstance(images, ProbeSet) else ProbeSet(images, targets),
        method=method,
        score=score,
        interventions=None,
        compute=compute,
    ).evaluate(step=0)
    return report.maps if report.signed_maps is None else report.signed_maps


@dataclass(frozen=True)
class ImageModel:
    """A model that takes images, and what it takes to ask it.

    Attributes:
        model: The Keras model.
        preprocess: From float32 images on 0..255 to what the model is fed.
        class_name: From a class index to its name.
    """

    model: Any
    preprocess: Callable[[Array], Array]
    class_name: Callable[[int], str]


def applications() -> dict[str, tuple[Callable[..., Any], Any]]:
    """The architectures of `keras.applications`: name to constructor and module."""
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
    """An architecture of `keras.applications`, with its own preprocessing and class names.

    Args:
        name: As in `keras.applications`; upper and lower case do not matter.
        weights: `"imagenet"`, the path of a weights file, or `None` for random weights.

    Raises:
        ValueError: An unknown name; weights that cannot be loaded or do not fit.
    """
    names = {known.lower(): known for known in applications()}
    if name.lower() not in names:
        close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        hint = f" Close: {', '.join(names[match] for match in close)}." if close else ""
        raise ValueError(
            f"--model: expected a .keras or .h5 file, or the name of a keras.applications model; "
            f"{name!r} is neither an existing file nor such a name.{hint}"
        )
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ValueError(f"--weights: expected 'imagenet', 'none' or a file; {weights!r} is none.")
    constructor, module = applications()[names[name.lower()]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per layer, where the file is of another model
            model = constructor(weights=weights)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ValueError(
            f"--weights: the weights {weights!r} of {names[name.lower()]} could not be loaded: "
            f"{_first_line(error)} Give a file with --weights FILE, or --weights none."
        ) from error
    knows_imagenet = weights is not None and model.output_shape[-1] == 1000
    class_names = _imagenet_names(model, module) if knows_imagenet else []
    return ImageModel(model, module.preprocess_input, _class_name(class_names))


def _imagenet_names(model: Any, module: Any) -> list[str]:
    classes = model.output_shape[-1]
    try:
        ranked = module.decode_predictions(np.arange(classes)[np.newaxis] / classes, top=classes)[0]
    except Exception as error:  # the names are a download, too; Keras raises a bare Exception
        warnings.warn(
            f"ImageNet's class names could not be loaded, indices are shown: {_first_line(error)}",
            stacklevel=2,
        )
        return []
    return [entry[1].replace("_", " ") for entry in reversed(ranked)]


def _class_name(names: Sequence[str]) -> Callable[[int], str]:
    return lambda index: names[index] if 0 <= index < len(names) else f"class {index}"


def load_saved(path: Path, pixels: str | None, class_names: Sequence[str] | None) -> ImageModel:
    """A model saved as `.keras` or `.h5`.

    Args:
        path: The file.
        pixels: A key of `PIXEL_RANGES`; `None` where the model itself rescales 0..255.
        class_names: A name for every class; default: the indices.

    Raises:
        ValueError: The file is not a Keras model, or the scale of its pixels is not known.
    """
    try:
        model = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        reason = _first_line(error)
        if path.suffix == ".keras" and path.is_file() and not zipfile.is_zipfile(path):
            reason = "it is damaged: a .keras file is a zip archive, this is none."
        raise ValueError(f"--model: {path} could not be loaded: {reason}") from error
    if class_names is not None and len(class_names) != model.output_shape[-1]:
        raise ValueError(
            f"--class-names: expected {model.output_shape[-1]} names, one per class, received "
            f"{len(class_names)}."
        )
    if pixels is None:
        if not _rescales(model):
            raise ValueError(
                f"--pixels: {path} has no Rescaling or Normalization layer to show on which "
                f"scale it takes pixels; give one of --pixels={', --pixels='.join(PIXEL_RANGES)}."
            )
        pixels = "0..255"
    low, high = PIXEL_RANGES[pixels]
    return ImageModel(
        model,
        lambda images: images * np.float32((high - low) / 255) + np.float32(low),
        _class_name(class_names or []),
    )


def _rescales(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
        return True
    return any(_rescales(inner) for inner in getattr(layer, "layers", []))


def read_image(path: Path, shape: Sequence[int | None]) -> Array:
    """An image file as a model of this input shape takes it, on 0..255.

    Args:
        path: Any format that Pillow reads; turned upright by its EXIF orientation.
        shape: `(None, height, width, channels)`; the image is resized to it as a whole
            (bilinear, antialiased), where height and width are given.

    Returns:
        float32 `(height, width, channels)`.

    Raises:
        ValueError: The file is missing or no image, or the shape is not an image's.
    """
    if len(shape) != 4 or shape[3] not in _MODES:
        raise ValueError(
            "--model: expected a model with an image input (height, width, channels) of 1 or 3 "
            f"channels, received one with input shape {tuple(shape)}."
        )
    try:
        with Image.open(path) as file:
            image = _on_8_bits(ImageOps.exif_transpose(file)).convert(_MODES[shape[3]])
    except FileNotFoundError as error:
        raise ValueError(f"--image: {path} does not exist.") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f"--image: {path} is not a readable image: {_first_line(error)}"
        ) from error
    if shape[1] and shape[2]:
        image = image.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).reshape(image.height, image.width, shape[3])


def _on_8_bits(image: Image.Image) -> Image.Image:
    """Brings 16 bits to 8, and transparent images onto white; refuses what has no fixed scale."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) / 257 + 0.5).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise OSError(f"pixels of mode {image.mode!r} have no fixed scale; convert it to 8 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA"))
    return image


def explain(
    subject: ImageModel,
    images: Array,
    *,
    target: int | None = None,
    method: Method = "gradient",
    score: str = "logit",
    reduction: str | None = None,
    colormap: str = "hot",
) -> list[tuple[Array, str]]:
    """Image, saliency map and overlay, with the class and its probability.

    The gradient is taken at the preprocessed image, and shown on the image as it was before.

    Args:
        subject: The model.
        images: float32 `(num_images, height, width, channels)` on 0..255.
        target: The class explained; default: the one predicted for each image.
        method: As in `SaliencyMonitor`; one.
        score: A key of `keras_saliency.attributions.scores.SCORES`.
        reduction: As in `SaliencyMonitor`; `"signed"` maps are shown in two colours.
        colormap: The name of a matplotlib colormap.

    Returns:
        For each image its picture, uint8 `(height, width, 3)`, and what that shows in words.
    """
    fed = np.asarray(subject.preprocess(images.copy()), np.float32)
    probes = ProbeSet(fed, None if target is None else [target] * len(images))
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
    maps = report.maps if report.signed_maps is None else report.signed_maps
    pictures = images.repeat(3 if images.shape[-1] == 1 else 1, axis=-1).astype(np.uint8)
    ends, colormap = limits(maps, "epoch"), diverging(colormap) if signed else colormap
    panels = [
        pictures,
        colorize(maps, limits=ends, colormap=colormap, signed=signed),
        overlay(pictures, maps, limits=ends, colormap=colormap, signed=signed),
    ]
    factor = factor_for(max(images.shape[1:3]), MIN_PICTURE_SIDE)
    explained = []
    for index in range(len(images)):
        said = map_defect(report.maps[index])
        prediction, of = report.predictions[index], subject.class_name(report.targets[index])
        predicts = f"predicts {subject.class_name(prediction)} {report.confidences[index]:.3f}"
        lines = [
            predicts if prediction >= 0 else f"scores {report.scores[index]:.3g}",
            f"{method_name(method)} of the {score} of {of}",
        ]
        picture = layouts.captioned(
            layouts.beside([enlarged(panel[index], factor) for panel in panels]),
            [*map(Line, lines), *([Line(said, wrong=True)] if said else [])],
        )
        explained.append((picture, f"{lines[0]}; {lines[1]}{f' ({said})' if said else ''}"))
    return explained


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
