"""Images on the command line: which files are meant, and how they are read and written."""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from keras_saliency.data.reports import Array
from keras_saliency.rendering import layouts

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The files in a folder that are taken for images."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
"""The formats in which a sheet can be written."""

MAX_SIDE = 65_500
"""The largest side of a sheet in formats other than PNG, in pixels: JPEG's limit."""

MAX_PIXELS = 80_000_000
"""The largest number of pixels of an image that is read: at most 1.3 GB of memory while it is."""

_MODES = {1: "L", 3: "RGB"}


class Layout(NamedTuple):
    """The image input of a model.

    Attributes:
        height: In pixels; `None` if the model takes any height.
        width: As `height`.
        channels: 1 or 3.
        data_format: A value of `keras_saliency.data.inputs.DATA_FORMATS`.
    """

    height: int | None
    width: int | None
    channels: int
    data_format: str


def image_layout(shape: Any) -> Layout:
    """The layout of a model's image input.

    Args:
        shape: The input shape of a model, with the batch axis.

    Raises:
        ValueError: It is not the shape of an image.

    Example:
        >>> image_layout((None, 28, 28)).data_format, image_layout((None, 3, 32, 32)).data_format
        ('no_channels', 'channels_first')
    """
    is_one_shape = isinstance(shape, tuple) and not any(isinstance(s, tuple) for s in shape)
    if is_one_shape and len(shape) == 4 and shape[3] in _MODES:
        return Layout(shape[1], shape[2], shape[3], "channels_last")
    if is_one_shape and len(shape) == 4 and shape[1] in _MODES:
        return Layout(shape[2], shape[3], shape[1], "channels_first")
    if is_one_shape and len(shape) == 3 and shape[2] not in _MODES:
        return Layout(shape[1], shape[2], 1, "no_channels")
    raise ValueError(
        "shape: expected a model with an image input, (height, width, channels) or (channels, "
        "height, width) of 1 or 3 channels, or (height, width), received a model with input shape "
        f"{shape}."
    )


def image_files(arguments: Iterable[str], out: Path | None = None) -> list[Path]:
    """The image files that are meant by arguments of the command line.

    Args:
        arguments: Files, folders (their images, sorted by name) and patterns such as
            `photos/*.jpg`, which a shell expands only if they are not quoted.
        out: A file in a folder or of a pattern that is left out: where the result is written.

    Raises:
        ValueError: A URL, a file that does not exist, a folder without images, or a pattern that
            no file matches.
    """
    return [path for argument in arguments for path in _files(argument, out)]


def _files(argument: str, out: Path | None) -> list[Path]:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", argument):
        raise ValueError(
            f"images: expected a file, received the URL {argument}. Download it first, then pass "
            "the file."
        )
    path = Path(argument).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        hint = f"the folder {path} has no images ({', '.join(SUFFIXES)})."
        listed = [entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES]
    elif glob.has_magic(argument):
        hint = f"no file matches {argument}."
        root = Path(path.anchor)
        listed = list(root.glob(str(path.relative_to(root))))
    else:
        raise ValueError(f"images: {path} is not a file.")
    files = sorted(
        entry
        for entry in listed
        if entry.is_file()
        and not entry.name.startswith(".")
        and (out is None or entry.resolve() != out.resolve())
    )
    if not files:
        raise ValueError(f"images: {hint}")
    return files


def read_image(image_path: Path, shape: Any) -> Array:
    """Reads an image file for a model with this input shape.

    Args:
        image_path: A file in any format that Pillow reads. The image is rotated by its EXIF
            orientation.
        shape: As in `image_layout`. If height and width are given, the whole image is resized to
            them (bilinear, antialiased).

    Returns:
        float32 `(height, width, channels)` in 0..255, whatever the data format.

    Raises:
        ValueError: The file does not exist, is not an image or has more than `MAX_PIXELS`, or the
            shape is not the shape of an image.
    """
    layout = image_layout(shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of size and of damaged tags
            image = _opened(image_path, _MODES[layout.channels])
    except FileNotFoundError as error:
        raise ValueError(f"image_path: {image_path} does not exist.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"image_path: expected an image of at most {MAX_PIXELS // 10**6} million pixels, "
            f"received {image_path}, which is larger. Make it smaller first."
        ) from error
    except Exception as error:  # whatever Pillow's formats raise for a damaged file
        raise ValueError(
            f"image_path: {image_path} is not a readable image: "
            f"{first_line(error) or type(error).__name__}"
        ) from error
    if layout.height and layout.width:
        image = image.resize((layout.width, layout.height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).reshape(image.height, image.width, layout.channels)


def _opened(path: Path, mode: str) -> Image.Image:
    """An image in this mode, without copies that are not needed."""
    with Image.open(path) as file:
        if file.width * file.height > MAX_PIXELS:  # as the file says: nothing is decoded yet
            raise Image.DecompressionBombError
        ImageOps.exif_transpose(file, in_place=True)
        image = _on_8_bits(file)
        image.load()
        return image if image.mode == mode else image.convert(mode)


def _on_8_bits(image: Image.Image) -> Image.Image:
    """Converts 16 bits to 8 and puts transparent images on white; raises for other wide modes."""
    is_16_bit_png = image.mode == "I" and image.format == "PNG"  # before Pillow 10.4
    if image.mode.startswith("I;16") or is_16_bit_png:
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((2 * wide + 257) // 514).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise OSError(f"pixels of mode {image.mode!r} have no fixed range; convert it to 8 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image if image.mode == "RGBA" else image.convert("RGBA"))
        return white
    return image


def write_picture(picture: Array, path: Path) -> None:
    """Writes a picture in the format that the file name ends in, one of `PICTURE_SUFFIXES`.

    Raises:
        ValueError: The picture is too large for the format.
        OSError: The file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix != ".png" and max(picture.shape[:2]) > MAX_SIDE:
        height, width = picture.shape[:2]
        raise ValueError(
            f"out: {path.suffix} files can have {MAX_SIDE} pixels per side, but the picture has "
            f"{height} x {width}. Use a .png file, or fewer images."
        )
    if suffix in (".pdf", ".svg"):
        path.write_bytes(layouts.embedded(picture, suffix[1:]))
    else:
        path.write_bytes(layouts.encoded(picture, lossless=suffix == ".png"))


def first_line(error: Exception) -> str:
    """The first line of an error message."""
    return str(error).strip().split("\n")[0]
