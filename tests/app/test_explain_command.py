"""The options of `keras-saliency explain`: images, methods, outputs of models, files to write."""

import base64
import io
import os
import re
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

import keras_saliency as ks
from keras_saliency.app.cli import main
from keras_saliency.app.images import image_files, write_picture
from keras_saliency.app.options import in_options
from keras_saliency.attributions import integrated_gradients

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
ROW = 224 + 3 * 15 + 2
"""The height of an image's row: the picture and three lines of text."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with three photos and a text in `photos`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "a.JPG", "c.png"):
        Image.fromarray(COLORS).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".hidden.png").write_text("no image")
    return tmp_path


@pytest.fixture
def model(folder):
    keras.utils.set_random_seed(3)
    dense = keras.layers.Dense(4, activation="softmax")
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), dense])
    model.save(folder / "model.keras")
    return model


def explained(*arguments):
    """Runs the command, with `--pixels=0..1`."""
    command = ["explain", "--model", "model.keras", "--pixels=0..1", *map(str, arguments)]
    return main(command)


def failed(capsys, *arguments):
    """Runs a command that fails; returns its one line."""
    assert explained(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.removeprefix("keras-saliency: ").removesuffix("\n")


def heat(path):
    """The map of a picture of one image, one value of each block of 14 pixels."""
    return np.asarray(Image.open(path).convert("RGB"))[:224:14, 228:452:14].astype(int)


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("argument", ["photos", "photos/", "./photos"])
def test_a_folder_stands_for_its_images(argument):
    assert [path.name for path in image_files([argument])] == ["a.JPG", "b.png", "c.png"]


def test_patterns_and_files_in_the_order_in_which_they_are_passed(folder):
    found = image_files(["photos/c.png", "photos/*.png", str(folder / "**" / "a.*")])
    assert [path.name for path in found] == ["c.png", "b.png", "c.png", "a.JPG"]


def test_a_file_whose_name_looks_like_a_pattern(folder):
    (folder / "[1].png").write_bytes((folder / "photos" / "b.png").read_bytes())
    assert [path.name for path in image_files(["[1].png"])] == ["[1].png"]


def test_the_picture_of_the_run_before_is_no_image(folder):
    out = folder / "photos" / "saliency.png"
    out.write_bytes((folder / "photos" / "b.png").read_bytes())
    names = [path.name for path in image_files(["photos"], out)]
    assert names == ["a.JPG", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "https://example.org/cat.jpg",
            "--image: expected a file, received the URL https://example.org/cat.jpg. Download it "
            "first, then pass the file.",
        ),
        ("none.png", "--image: none.png is not a file."),
        ("photos/*.gif", "--image: no file matches photos/*.gif."),
        ("empty", "--image: the folder empty has no images (.bmp, .gif, .jpeg, .jpg, "),
        ("photos/notes.txt", "--image: photos/notes.txt is not a readable image: "),
    ],
)
def test_an_image_that_cannot_be_read_is_one_clear_line(argument, message, model, folder, capsys):
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("no image")
    assert failed(capsys, "--image", argument).startswith(message)
    assert failed(capsys, "--image", "photos/b.png", argument).startswith(message)
    assert not list(folder.glob("*.png"))


def test_several_images_are_the_rows_of_one_picture(model, folder, capsys):
    assert explained("--image", "photos/b.png", "photos/c.png", "--image", "photos") == 0
    lines = capsys.readouterr().out.strip().split("\n")
    named = [line.split(":")[0] for line in lines]
    files = ["photos/b.png", "photos/c.png", "photos/a.JPG", "photos/b.png", "photos/c.png"]
    assert named == [*files, "image | saliency map | overlay"]
    assert lines[-1].endswith(": saliency.png")
    with Image.open(folder / "saliency.png") as sheet:
        assert sheet.size == (3 * 224 + 8, 5 * ROW + 4 * 4)


def test_one_image_gives_its_name_to_the_picture(model, folder, capsys):
    assert explained("--image", "photos/b.png") == 0
    assert capsys.readouterr().out.endswith(": b_saliency.png\n")
    with Image.open(folder / "b_saliency.png") as picture:
        assert picture.size == (3 * 224 + 8, ROW)


def test_a_gray_model_of_any_size(folder):
    convolution = keras.layers.Conv2D(2, 3)
    pool = keras.layers.GlobalAveragePooling2D()
    keras.Sequential([keras.Input((None, None, 1)), convolution, pool]).save("model.keras")
    Image.fromarray(COLORS[:8]).save("low.png")
    assert explained("--image", "photos/b.png", "low.png") == 0
    picture = np.asarray(Image.open("saliency.png").convert("RGB"))
    assert picture.shape == (ROW + 4 + 112 + 47, 3 * 224 + 8, 3)
    gray = np.asarray(Image.fromarray(COLORS).convert("L"))
    np.testing.assert_array_equal(picture[:224:14, :224:14], gray[..., np.newaxis].repeat(3, -1))


def test_a_gray_model_without_a_channel_axis(folder):
    """The gradient of a linear model is its kernel, at the pixels of the gray image."""
    flat = keras.Sequential([keras.Input((16, 16)), keras.layers.Flatten(), keras.layers.Dense(2)])
    kernel = RNG.normal(size=(256, 2)).astype("float32")
    flat.set_weights([kernel, np.zeros(2, "float32")])
    flat.save("model.keras")
    common = ["--image", "photos/b.png", "--target", 1, "--clip-percentile=100"]
    assert explained(*common, "--colormap=gray") == 0
    expected = np.abs(kernel[:, 1]).reshape(16, 16)
    found = heat(folder / "b_saliency.png")[..., 0]
    np.testing.assert_allclose(found, expected / expected.max() * 255, atol=1.5)
    picture = np.asarray(Image.open("b_saliency.png").convert("RGB"))[:224:14, :224:14, 0]
    np.testing.assert_array_equal(picture, np.asarray(Image.fromarray(COLORS).convert("L")))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_channels_first_model(channels, folder):
    """The picture has the image as it is; the map is the largest kernel of the channels."""
    inputs = keras.Input((channels, 16, 12))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    kernel = RNG.normal(size=(channels * 192, 2)).astype("float32")
    model.set_weights([kernel, np.zeros(2, "float32")])
    model.save("model.keras")
    Image.fromarray(COLORS[:, :12]).save("narrow.png")
    common = ["--image", "narrow.png", "--target", 0, "--clip-percentile=100"]
    assert explained(*common, "--colormap=gray") == 0
    picture = np.asarray(Image.open("narrow_saliency.png").convert("RGB"))[:224:14].astype(int)
    expected = np.abs(kernel[:, 0]).reshape(channels, 16, 12).max(0)
    found = picture[:, 172 : 172 + 168 : 14, 0]
    np.testing.assert_allclose(found, expected / expected.max() * 255, atol=1.5)
    mode = {1: "L", 3: "RGB"}[channels]
    shown = np.asarray(Image.fromarray(COLORS[:, :12]).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(picture[:, :168:14], shown)


@pytest.mark.parametrize("shape", [(32, 32, 4), (100, 3), (8,), (4, 32, 32)])
def test_a_model_of_something_else_than_images(shape, folder, capsys):
    flat = keras.layers.Flatten()
    keras.Sequential([keras.Input(shape), flat, keras.layers.Dense(2)]).save("model.keras")
    line = failed(capsys, "--image", "photos/b.png")
    assert line.startswith("--model: expected a model with an image input, (height, width, ch")
    assert line.endswith(f"received a model with input shape {(None, *shape)}.")


# ---------------------------------------------------------------- the picture


def test_documents_show_the_same_pixels(model, folder):
    """An SVG has them as a PNG, from the lowest row to the highest."""
    for name in ("out.png", "out.SVG", "out.pdf"):
        assert explained("--image", "photos/b.png", "--out", name) == 0
    (encoded,) = re.findall(r"data:image/png;base64,([^\"]+)", (folder / "out.SVG").read_text())
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as found:
        expected = np.asarray(Image.open("out.png").convert("RGB"))
        np.testing.assert_array_equal(np.asarray(found.convert("RGB"))[::-1], expected)
    assert (folder / "out.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("suffix", ["jpg", "jpeg"])
def test_a_jpeg_is_close_to_the_png(suffix, model, folder):
    assert explained("--image", "photos/b.png", "--out", f"out.{suffix}") == 0
    assert explained("--image", "photos/b.png", "--out", "out.png") == 0
    with Image.open(f"out.{suffix}") as file:
        assert file.format == "JPEG"
        difference = np.asarray(file).astype(int) - Image.open("out.png").convert("RGB")
    assert np.abs(difference).mean() < 4


def test_a_sheet_that_is_too_large_for_a_jpeg(tmp_path):
    with pytest.raises(ValueError, match=r"^out: .jpg files can have 65500 pixels .*Use a .png"):
        write_picture(np.zeros((65_501, 1, 3), np.uint8), tmp_path / "out.jpg")
    write_picture(np.zeros((65_501, 1, 3), np.uint8), tmp_path / "out.png")
    with Image.open(io.BytesIO((tmp_path / "out.png").read_bytes())) as picture:
        assert picture.size == (1, 65_501)


def test_colours_end_where_they_are_told_to(model, folder):
    """At the third largest, the 129th and the largest of 256 values."""
    weights = model.layers[-1].kernel.numpy()[:, 2].reshape(16, 16, 3)
    sizes = np.abs(weights).max(axis=-1)
    for percentile, rank in ((99, -3), (50, -128), (100, -1)):
        out = f"{percentile}.png"
        common = ["--image", "photos/b.png", "--target", 2, "--colormap", "gray"]
        assert explained(*common, "--clip-percentile", percentile, "--out", out) == 0
        end = np.sort(sizes.ravel())[rank]
        is_end = (heat(folder / out) == 255).all(axis=-1)
        assert is_end[sizes >= end].all()
        assert not is_end[sizes < 0.99 * end].any()


@pytest.mark.parametrize("value", [0, 101, "nan"])
def test_a_percentile_that_is_none(value, model, capsys):
    line = failed(capsys, "--image", "photos/b.png", "--clip-percentile", value)
    assert line.startswith("--clip-percentile: expected a number above 0, at most 100, received ")


# ---------------------------------------------------------------- methods and outputs


@pytest.mark.slow
@pytest.mark.parametrize(("text", "value"), [("zero", "zero"), ("0.5", 0.5), ("flat", "flat")])
def test_a_baseline(text, value, model, folder):
    common = ["--image", "photos/b.png", "--target", 1, "--method=integrated_gradients"]
    assert explained(*common, "--baseline", text, "--colormap=gray", "--clip-percentile=100") == 0

    def method(score_fn, inputs):
        return integrated_gradients(score_fn, inputs, baseline=value)

    (maps,) = ks.saliency_maps(model, COLORS[np.newaxis] / np.float32(255), [1], method=method)
    np.testing.assert_allclose(
        heat(folder / "b_saliency.png")[..., 0], maps / maps.max() * 255, atol=1.5
    )


def test_settings_that_do_not_fit_are_one_clear_line(model, capsys):
    common = ["--image", "photos/b.png"]
    line = failed(capsys, *common, "--baseline", "zero")
    assert line == (
        "--baseline: expected a method with this setting, such as --method integrated_gradients "
        "(or occlusion), received --method gradient."
    )
    line = failed(capsys, *common, "--baseline=white", "--method=occlusion")
    assert line.startswith("--baseline: expected one of 'zero', 'flat', 'blurred', 'mean', or a nu")
    line = failed(capsys, *common, "--layer", "x", "--method=occlusion")
    assert line.startswith(
        "--layer: expected a method with this setting, such as --method grad_cam"
    )
    line = failed(capsys, *common, "--out", "photos")
    assert line == "--out: expected a .png, .jpg, .jpeg, .pdf or .svg file, received photos."


def regression(units, file="model.keras", **settings):
    layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(units)]
    model = keras.Sequential(layers)
    model.compile(**{"loss": "mse"} | settings)
    model.save(file)
    return model


@pytest.mark.parametrize("units", [1, 4])
def test_a_regression_is_not_explained_as_a_class(units, folder, capsys):
    """The advice is of the command line, and works."""
    regression(units)
    common = ["--image", "photos/b.png"]
    assert failed(capsys, *common, "--score=logit") == (
        "--score logit: expected a model with one output per class; the model is compiled with the "
        "loss mean_squared_error, so its outputs look like numbers. Pass --score mean to explain "
        "the mean of all outputs, --score output for the unit that the targets name. If the "
        "outputs are classes, pass --score probability."
    )
    if units == 4:
        assert failed(capsys, *common, "--score=output").endswith("take its place. Pass --target.")
        common += ["--target", 2]
    what = "output 2" if units == 4 else "the output"
    for score in (["--score", "output"], []) if units == 1 else (["--score", "output"],):
        assert explained(*common, *score) == 0
        assert f"; gradient of {what}\n" in capsys.readouterr().out


def own_loss(truth, predicted):
    return keras.ops.mean(keras.ops.square(truth - predicted), axis=-1)


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_a_loss_that_is_not_known_is_left_out(file, folder, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        regression(4, file, loss=own_loss)
    command = ["explain", "--model", file, "--pixels=0..1", "--image", "photos/b.png"]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "; gradient of the logit of class " in captured.out
    assert captured.err == ""


def test_a_metric_that_is_not_known_does_not_hide_the_loss(folder, capsys):
    regression(4, metrics=[own_loss])
    assert explained("--image", "photos/b.png") == 0
    assert "; gradient of the mean of all outputs" in capsys.readouterr().out
    assert "the loss mean_squared_error" in failed(capsys, "--image=photos/b.png", "--score=logit")


def test_advice_for_programs_is_left_out(folder, capsys):
    image = keras.Input((16, 16, 3))
    keras.Model(image, keras.layers.Conv2D(3, 1)(image)).save("model.keras")
    assert failed(capsys, "--image", "photos/b.png") == (
        "--score logit: expected a model with one output (batch, classes), received (1, 16, 16, 3)."
        " For classes at each of the positions (16, 16), pass --score max_logit; for numbers, "
        "--score mean, their mean. If the model labels every position of the input, pass --score "
        "segmentation."
    )
    assert explained("--image", "photos/b.png", "--score=max_logit") == 0
    assert "; gradient of the largest logits, averaged over all" in capsys.readouterr().out
    line = failed(capsys, "--image", "photos/b.png", "--score=loss")
    assert line == (
        "--score: expected one of 'auto', 'logit', 'log_probability', 'probability', 'output', "
        "'mean', 'max_logit', 'segmentation', 'detection', received 'loss'."
    )
    line = failed(capsys, "--image", "photos/b.png", "--method=lime")
    assert line.endswith(", received 'lime'.")
    assert "callable" not in line
    regression(1)
    line = failed(capsys, "--image", "photos/b.png", "--score=output", "--target=1")
    assert line.endswith("received 1 for probe 0. Leave --target out.")


@pytest.mark.parametrize("score", ["logit", "segmentation", "probability"])
def test_messages_about_heads_name_no_callable(score):
    for choices in (
        "'log_probability' or score='probability'",
        "a callable (outputs, targets) -> ",
    ):
        choices += "(num_probes,)" if choices.startswith("a") else ""
        message = f"score={score!r}: expected logits. Pass score={choices}. Or end the model in x."
        told = in_options(message, "explain")
        assert told.startswith(f"--score {score}: expected logits. ")
        assert not re.search("callable|num_probes|score=", told)
    message = "pass score='output' to explain them; or pass a callable (a, b) -> (num_probes,)."
    assert in_options(message, "explain") == "pass --score output to explain them."


@pytest.fixture
def two_heads(folder):
    """Of the outputs `species`, with 2 classes, and `breed`, with 3."""
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(image)
    heads = [
        keras.layers.Dense(size, activation="softmax", name=name)(flat)
        for name, size in (("species", 2), ("breed", 3))
    ]
    keras.Model(image, heads).save(folder / "model.keras")


@pytest.mark.parametrize("output", ["breed", "1"])
def test_one_of_several_outputs_is_explained(output, two_heads, folder, capsys):
    (folder / "names.txt").write_text("pug\npoodle\ntabby\n")
    common = ["--image", "photos/b.png", "--class-names", "names.txt", "--target", 2]
    assert explained(*common, "--model-output", output) == 0
    assert "; gradient of the logit of tabby (output " in capsys.readouterr().out


def test_an_output_that_is_missing_or_unknown(two_heads, folder, capsys):
    common = ["--image", "photos/b.png"]
    assert explained(*common) == 0
    assert "; gradient of the logit of class " in (printed := capsys.readouterr().out)
    assert "(output 'species')" in printed
    line = failed(capsys, *common, "--target=0")
    assert "Choose one with --model-output: 'species', 'breed'." in line
    line = failed(capsys, *common, "--model-output", "age")
    assert line == "--model-output: expected one of 'species', 'breed', received 'age'."
    line = failed(capsys, *common, "--model-output", "2")
    assert line == "--model-output: expected one of 'species', 'breed', received 2."
    (folder / "names.txt").write_text("pug\npoodle\n")
    line = failed(capsys, *common, "--model-output=breed", "--class-names", "names.txt")
    assert line == "--class-names: expected 3 names, one per class, received 2."


# ---------------------------------------------------------------- messages


@pytest.mark.gate
@pytest.mark.slow
def test_the_first_text_is_our_own(model):
    """TensorFlow says something about devices, but not here."""
    code = "import sys; from keras_saliency.app.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["explain", "--model", "model.keras", "--image", "photos/b.png"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--pixels=0..1"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=300,
    )
    assert ran.stdout.startswith("photos/b.png: predicts class ")
    assert ran.stderr == ""
