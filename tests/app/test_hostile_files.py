"""Images and models for `keras-saliency explain` that are damaged, or made to do harm."""

import io
import json
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_saliency.app.cli import main
from keras_saliency.app.images import MAX_PIXELS, read_image
from keras_saliency.app.model_files import read_model

RGB = (None, 8, 8, 3)


def failed(capsys, *arguments):
    """Runs a command that fails, soon and without much memory; returns its one line."""
    tracemalloc.start()
    start = time.monotonic()
    assert main([str(argument) for argument in arguments]) == 2
    assert time.monotonic() - start < 10
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().split("\n")
    return line


def result(function, *arguments):
    """What a function returns, or the message of its ValueError."""
    try:
        return function(*arguments), ""
    except ValueError as error:
        return None, str(error)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model in both formats."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    model.save(folder / "model.keras")
    keras.saving.save_model(model, folder / "model.h5")
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


# ---------------------------------------------------------------- images


def png(width, height, *, data=b""):
    """A PNG file in gray that says how large it is; its pixels may be missing."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + end


def test_an_image_with_too_many_pixels_is_one_clear_line(tmp_path, models, capsys):
    """From twice 89 million pixels on, Pillow raises an error of its own kind."""
    path = tmp_path / "large.png"
    said = (
        f": expected an image of at most 80 million pixels, received {path}, which is larger. "
        "Make it smaller first."
    )
    for size in [(2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (20_000, 20_000), (10_000, 8_001)]:
        path.write_bytes(png(*size))
        assert result(read_image, path, RGB) == (None, f"image_path{said}")
    command = explained(models / "model.keras", path)
    assert failed(capsys, *command) == f"keras-saliency: --image{said}"


def test_an_image_may_have_as_many_pixels_as_the_message_says(tmp_path):
    """Its pixels are missing: this is the next thing that is wrong with it."""
    assert MAX_PIXELS == 80e6
    path = tmp_path / "large.png"
    path.write_bytes(png(10_000, 8_000))
    with pytest.raises(ValueError, match="image_path: .*large.png is not a readable image: "):
        read_image(path, RGB)


def test_damaged_images_are_not_readable_or_are_read(tmp_path):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("png", "jpg", "gif", "tif", "webp", "bmp", "ico"):
        file = io.BytesIO()
        picture.save(file, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix), exif=exif)
        whole = file.getvalue()
        path = tmp_path / f"image.{suffix}"
        for _ in range(25):
            content = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 200), 2):
                content[place] = rng.integers(256)
            path.write_bytes(content[: rng.integers(len(whole) // 2, len(whole) + 1)])
            image, said = result(read_image, path, RGB)
            if image is None:
                assert said.startswith("image_path: ")
            else:
                assert (image.shape, image.dtype) == ((8, 8, 3), np.float32)


def test_an_image_is_turned_by_its_orientation(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    expected = np.rot90(pixels, -1)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png", (None,) * 3 + (3,)), expected)


# ---------------------------------------------------------------- models


def explained(model, photo):
    return ["explain", "--model", model, "--pixels=0..1", "--image", photo]


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_damaged_model_is_one_clear_line(suffix, models, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = (models / f"model.{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"damaged.{suffix}"
    refused = 0
    for case in range(12):
        content = bytearray(whole)
        if case < 4:
            content = content[: len(whole) * case // 4]
        else:
            for place in rng.integers(0, len(whole), 30):
                content[place] = rng.integers(256)
        path.write_bytes(content)
        model, said = result(read_model, path)
        refused += model is None
        assert said.startswith("" if model else f"path: {path} could not be loaded: ")
    assert refused >= 4
    path.write_bytes(whole[: len(whole) // 2])
    line = failed(capsys, *explained(path, photo))
    assert line.startswith(f"keras-saliency: --model: {path} could not be loaded: ")


def rezipped(models, path, **members):
    """The `.keras` file with other members, compressed."""
    with (
        zipfile.ZipFile(models / "model.keras") as before,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for name in before.namelist():
            after.writestr(name, members.get(name.split(".")[0]) or before.read(name))


def test_an_archive_that_holds_far_more_than_its_size_is_not_unpacked(models, tmp_path):
    path = tmp_path / "bomb.keras"
    rezipped(models, path, config=b" " * 100_000_000)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="its content has 95 MB, more than 100 times the size of"):
        read_model(path)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()
    rezipped(models, path)
    assert read_model(path).count_params() == 2 * 192 + 2


def test_weights_that_are_only_declared_are_not_read(models, tmp_path):
    """HDF5 fills what is missing with zeros."""
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        weights.create_dataset("a/b", (2**40,), "f4", chunks=(1024,))
    path = tmp_path / "bomb.keras"
    rezipped(models, path, model=file.getvalue())
    said = "its content has 4194304 MB, more than 100 times"
    with pytest.raises(ValueError, match=said):
        read_model(path)
    (tmp_path / "bomb.h5").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match=said):
        read_model(tmp_path / "bomb.h5")


def with_config(models, path, change):
    """The `.h5` file with another configuration."""
    path.write_bytes((models / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)


def as_lambda(layers):
    layers[1]["class_name"] = "Lambda"
    layers[1]["config"] = {"name": layers[1]["config"]["name"], "function": ["4wEA", None, None]}


def nested_lambda(layers):
    inner = json.loads(json.dumps(layers[1])) | {"class_name": "Lambda"}
    layers[1] |= {"class_name": "TimeDistributed", "config": {"name": "a", "layer": inner}}


def as_function(layers):
    code = {"class_name": "__lambda__", "config": {"value": "4wEA"}}
    layers[2]["config"]["activation"] = code


@pytest.mark.parametrize("change", [as_lambda, nested_lambda, as_function])
def test_code_in_an_h5_file_is_refused(change, models, photo, tmp_path, capsys):
    """Old versions of Keras run it."""
    path = tmp_path / "model.h5"
    with_config(models, path, change)
    line = failed(capsys, *explained(path, photo))
    assert line.startswith(
        f"keras-saliency: --model: {path} could not be loaded: it has a Lambda layer, whose code"
    )
    renamed = path.rename(tmp_path / "model.weights")  # by its content, not its name
    with pytest.raises(ValueError, match="it has a Lambda layer"):
        read_model(renamed)


def test_an_h5_file_without_code_is_loaded(models, tmp_path):
    path = tmp_path / "model.h5"
    with_config(models, path, lambda layers: None)
    assert read_model(path).count_params() == 2 * 192 + 2


def test_a_model_that_is_a_folder_or_missing(models, tmp_path):
    (tmp_path / "folder.keras").mkdir()
    for path in (tmp_path / "folder.keras", Path("none.h5")):
        with pytest.raises(ValueError, match="could not be loaded: "):
            read_model(path)
