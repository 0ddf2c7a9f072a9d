"""The command `keras-saliency explain`: checks its options, explains images, writes a picture."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.app.explain import (
    PIXEL_RANGES,
    ImageModel,
    explain,
    load_application,
    load_saved,
)
from keras_saliency.app.images import PICTURE_SUFFIXES, image_files, read_image, write_picture
from keras_saliency.attributions import METHODS, check_method
from keras_saliency.attributions.paths import BASELINES
from keras_saliency.attributions.scores import Score
from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array
from keras_saliency.rendering import layouts
from keras_saliency.rendering.clipping import check_percentile
from keras_saliency.rendering.heatmaps import CLIP_PERCENTILE, check_colormap


def run(options: argparse.Namespace) -> None:
    """Runs the command.

    Args:
        options: From `keras_saliency.app.options.build_parser`.

    Raises:
        TypeError: An option has the wrong type.
        ValueError: An option has a wrong value, or the model or an image cannot be read.
        OSError: The picture cannot be written.
    """
    check_colormap(options.colormap)
    if options.clip_percentile is None:
        options.clip_percentile = CLIP_PERCENTILE
    check_percentile(options.clip_percentile)
    method, output = _method(options), _output(options.model_output)
    score = Score(options.score, output=output)
    if options.target is not None and options.target < 0:
        raise ValueError(f"--target: expected a class index, 0 or more, received {options.target}.")
    out, paths = _files(options)
    subject = _subject(options, output)
    images = [read_image(path, subject.model.input_shape) for path in paths]
    pictures: dict[int, Array] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        indices = [index for index, image in enumerate(images) if image.shape == shape]
        explained = explain(
            subject,
            np.stack([images[index] for index in indices]),
            target=options.target,
            method=method,
            score=score,
            reduction=options.reduction,
            colormap=options.colormap,
            clip_percentile=options.clip_percentile,
        )
        for index, (picture, words) in zip(indices, explained, strict=True):
            pictures[index] = picture
            print(f"{paths[index]}: {words}")
    write_picture(layouts.stacked([pictures[index] for index in range(len(images))]), out)
    print(f"image | saliency map | overlay: {out}")


def _files(options: argparse.Namespace) -> tuple[Path, list[Path]]:
    """The file to write, and the images."""
    out: Path | None = options.out
    paths = image_files(options.image, Path(_SHEET) if out is None else out)
    if out is None:
        out = Path(_SHEET if len(paths) > 1 else f"{paths[0].stem}_saliency.png")
    if out.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(f"--out: expected a {_listed(PICTURE_SUFFIXES)} file, received {out}.")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out: the directory {out.parent} does not exist.")
    if out.resolve() in [path.resolve() for path in paths]:
        raise ValueError(f"--out: {out} is one of the images and would be overwritten.")
    return out, paths


_SHEET = "saliency.png"


def _method(options: argparse.Namespace) -> Any:
    """The method with its settings."""
    check_method(options.method)
    function = METHODS[options.method]
    settings: dict[str, Any] = {}
    if options.layer is not None:
        settings["layer"] = options.layer
    if options.baseline is not None:
        settings["baseline"] = _baseline(options.baseline)
    for name in settings:
        able = [m for m, known in METHODS.items() if name in inspect.signature(known).parameters]
        if options.method not in able:
            raise ValueError(
                f"--{name}: expected a method with this setting, such as --method {able[0]} "
                f"(or {', '.join(able[1:])}), received --method {options.method}."
            )
    return partial(function, **settings) if settings else options.method


def _baseline(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        check_choice("baseline", text, BASELINES, alternatives="or a number")
        return text


def _output(text: str | None) -> str | int | None:
    """The name of an output, or its position if it is a number."""
    return int(text) if text is not None and text.isdecimal() else text


def _subject(options: argparse.Namespace, output: str | int | None) -> ImageModel:
    if options.class_names and not options.class_names.is_file():
        raise ValueError(f"--class-names: {options.class_names} is not a file.")
    if Path(options.model).exists() or options.model.endswith((".keras", ".h5")):
        if options.weights is not None:
            raise ValueError("--weights: a saved model has its own weights; remove this option.")
        if options.pixels is not None:
            check_choice("--pixels", options.pixels, PIXEL_RANGES)
        names = options.class_names and options.class_names.read_text("utf-8").splitlines()
        return load_saved(Path(options.model), options.pixels, names, output)
    if options.pixels or options.class_names:
        raise ValueError(
            "--pixels, --class-names: a keras.applications model has its own preprocessing "
            "and class names; remove these options."
        )
    weights = None if options.weights == "none" else options.weights or "imagenet"
    return load_application(options.model, weights)


def _listed(suffixes: Sequence[str]) -> str:
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
