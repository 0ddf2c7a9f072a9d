import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_saliency as ks
from keras_saliency.app import cli, film
from keras_saliency.app.cli import main
from keras_saliency.app.demo import Outcome
from keras_saliency.app.explain import applications, load_application
from keras_saliency.app.html_report import page
from keras_saliency.app.images import read_image
from support.logs import images, report
from support.servers import free_port

COLORS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(COLORS).save(path)
    return path


def saved(tmp_path, *layers, name="model.keras", shape=(16, 16, 3)):
    keras.utils.set_random_seed(3)
    dense = keras.layers.Dense(4, activation="softmax")
    model = keras.Sequential([keras.Input(shape), *layers, keras.layers.Flatten(), dense])
    model.save(tmp_path / name)
    return str(tmp_path / name), model


def failed(capsys, *arguments):
    """Runs a command that fails; returns its one line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.strip().split("\n")
    assert captured.out == ""
    return line


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")  # what it is about
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_explain_shows_image_map_and_overlay(name, tmp_path, image, capsys):
    path, model = saved(tmp_path, name=name)
    out = tmp_path / "heatmap.png"
    arguments = ["explain", "--model", path, "--image", str(image), "--out", str(out)]
    assert main([*arguments, "--pixels=0..1", "--target", "2"]) == 0
    picture = np.asarray(Image.open(out).convert("RGB"))
    block = np.ones((14, 14, 1), int)  # 16 pixels, enlarged until 224 are reached
    np.testing.assert_array_equal(picture[:224, :224], np.kron(COLORS, block))
    found = np.abs(model.layers[-1].kernel.numpy()[:, 2]).reshape(16, 16, 3).max(axis=-1)
    import matplotlib

    end = np.sort(found.ravel())[253]  # the 99th percentile: the third largest of 256
    shares = found.clip(0, end) / end
    heat = matplotlib.colormaps["hot"](np.rint(shares * 255).astype(int), bytes=True)
    np.testing.assert_array_equal(picture[:224, 228:452], np.kron(heat[..., :3], block))
    probabilities = model(COLORS[np.newaxis] / np.float32(255)).numpy()[0]
    predicted = probabilities.argmax()
    first, second = capsys.readouterr().out.strip().split("\n")
    assert first == (
        f"{image}: predicts class {predicted} {probabilities[predicted]:.3f}; "
        "gradient of the logit of class 2"
    )
    assert second == f"image | saliency map | overlay: {out}"


def test_explain_stacks_several_images_and_names_classes(tmp_path, image, capsys):
    path, _ = saved(tmp_path, keras.layers.Rescaling(1 / 255))
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\ncow\nemu\n")
    out = tmp_path / "heatmap.png"
    arguments = ["explain", "--model", path, "--class-names", str(names), "--out", str(out)]
    assert main([*arguments, "--image", str(image), "--image", str(image)]) == 0
    picture = np.asarray(Image.open(out))
    half = (picture.shape[0] - 4) // 2
    np.testing.assert_array_equal(picture[:half], picture[half + 4 :])
    assert capsys.readouterr().out.split("predicts ")[1].split(" ")[0] in (
        "cat",
        "dog",
        "cow",
        "emu",
    )


def test_a_model_that_rescales_takes_0_to_255(tmp_path, image):
    """The same weights behind a Rescaling layer and fed with 0..1 give the same picture."""
    inside, _ = saved(tmp_path, keras.layers.Rescaling(1 / 255), name="inside.keras")
    outside, _ = saved(tmp_path, name="outside.keras")
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    common = ["--image", str(image), "--out"]
    assert main(["explain", "--model", inside, *common, str(one)]) == 0
    assert main(["explain", "--model", outside, "--pixels=0..1", *common, str(other)]) == 0
    left, right = np.asarray(Image.open(one)), np.asarray(Image.open(other))
    np.testing.assert_allclose(left[:224].astype(int), right[:224], atol=1)


@pytest.mark.slow
def test_explain_by_the_name_of_an_application(tmp_path, image, capsys):
    out = tmp_path / "heatmap.png"
    arguments = ["explain", "--model", "mobilenetv2", "--weights", "none", "--image", str(image)]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "predicts class " in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.size == (3 * 224 + 8, 224 + 3 * 15 + 2)


def test_an_application_is_fed_by_its_own_preprocessing():
    names = applications()
    assert {"VGG16", "ResNet50", "InceptionV3", "MobileNetV2", "ConvNeXtTiny"} <= names.keys()
    assert names["MobileNetV3Small"][1] is keras.applications.mobilenet_v3
    subject = load_application("MobileNetV2", None)
    fed = subject.preprocess(np.array([[[[0.0, 127.5, 255.0]]]], np.float32))
    np.testing.assert_array_equal(fed.ravel(), [-1, 0, 1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The class names of ImageNet")  # a download
def test_weights_come_from_a_file(tmp_path, image, capsys):
    weights = tmp_path / "mine.weights.h5"
    model = keras.applications.MobileNetV2(weights=None)
    model.save_weights(weights)
    subject = load_application("MobileNetV2", str(weights))
    for mine, loaded in zip(model.weights, subject.model.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), loaded.numpy())


def test_images_are_turned_upright_resized_and_made_gray(tmp_path):
    sideways = Image.new("L", (20, 10), 0)
    sideways.paste(255, (10, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    sideways.save(tmp_path / "photo.jpg", exif=exif, quality=100)
    upright = read_image(tmp_path / "photo.jpg", (None, 4, 2, 1))
    assert upright.shape == (4, 2, 1)
    np.testing.assert_allclose(upright[[0, 3], :, 0], [[0, 0], [255, 255]], atol=12)
    assert read_image(tmp_path / "photo.jpg", (None, None, None, 3)).shape == (20, 10, 3)


def test_images_of_any_size_are_stacked(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(2, 3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.save(tmp_path / "model.keras")
    arguments = ["explain", "--model", str(tmp_path / "model.keras"), "--pixels=0..1"]
    for name, size in (("a", (16, 16)), ("b", (300, 20)), ("c", (16, 16))):
        Image.fromarray(np.resize(COLORS, (*size[::-1], 3))).save(tmp_path / f"{name}.png")
        arguments += ["--image", str(tmp_path / f"{name}.png")]
    assert main([*arguments, "--out", str(tmp_path / "out.png")]) == 0
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (3 * 300 + 8, 2 * (224 + 47) + (20 + 47) + 2 * 4)


def test_16_bits_and_transparency_are_shown_as_they_look(tmp_path):
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    found = read_image(tmp_path / "deep.png", (None, 4, 4, 1))
    np.testing.assert_array_equal(found[..., 0], np.rint(ramp / 257))
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png", (None, 4, 4, 3)) == 255).all()
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match="mode 'F' have no fixed range"):
        read_image(tmp_path / "float.tiff", (None, 4, 4, 1))


def test_an_image_is_never_overwritten(tmp_path, image, capsys):
    path, _ = saved(tmp_path)
    before = image.read_bytes()
    line = failed(
        capsys, "explain", "--model", path, "--pixels=0..1", "--image", image, "--out", image
    )
    assert "is one of the images" in line
    assert image.read_bytes() == before


def test_a_bad_image_is_one_clear_line(tmp_path, image, capsys):
    path, _ = saved(tmp_path)
    common = ["explain", "--model", path, "--pixels=0..1", "--out", tmp_path / "out.png"]
    line = failed(capsys, *common, "--image", tmp_path / "none.png")
    assert line == f"keras-saliency: --image: {tmp_path / 'none.png'} is not a file."
    (tmp_path / "text.png").write_text("no image")
    line = failed(capsys, *common, "--image", tmp_path / "text.png")
    assert line.startswith(f"keras-saliency: --image: {tmp_path / 'text.png'} is not a readable")
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:200])
    line = failed(capsys, *common, "--image", tmp_path / "cut.png")
    assert line.startswith(f"keras-saliency: --image: {tmp_path / 'cut.png'} is not a readable")
    assert not (tmp_path / "out.png").exists()


def test_a_bad_model_is_one_clear_line(tmp_path, image, capsys):
    common = ["explain", "--image", image, "--out", tmp_path / "out.png", "--model"]
    assert "Similar names: VGG1" in failed(capsys, *common, "vgg17", "--weights", "none")
    assert "could not be loaded" in failed(capsys, *common, tmp_path / "none.keras")
    (tmp_path / "broken.keras").write_text("no model")
    assert "could not be loaded" in failed(capsys, *common, tmp_path / "broken.keras")
    (tmp_path / "broken.h5").write_text("no model")
    assert "could not be loaded" in failed(capsys, *common, tmp_path / "broken.h5")
    vectors = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    vectors.save(tmp_path / "vectors.keras")
    line = failed(capsys, *common, tmp_path / "vectors.keras", "--pixels=0..1")
    assert "expected a model with an image input" in line
    path, _ = saved(tmp_path)
    assert "use one of --pixels=0..255" in failed(capsys, *common, path)
    assert failed(capsys, *common, path, "--pixels=0..1", "--target", 4).startswith(
        "keras-saliency: --target: expected class indices 0..3"
    )
    assert failed(capsys, *common, path).startswith(f"keras-saliency: --pixels: {path} has no")
    assert failed(capsys, *common, "vgg17").startswith("keras-saliency: --model: expected a .keras")
    assert "received 'nowhere.h5'" in failed(capsys, *common, "VGG16", "--weights", "nowhere.h5")


def test_a_bad_option_is_one_clear_line(tmp_path, image, capsys):
    path, _ = saved(tmp_path)
    common = ["explain", "--model", path, "--image", image, "--pixels=0..1", "--out"]
    assert "expected a .png, .jpg, .jpeg, .pdf or .svg file, received" in failed(
        capsys, *common, tmp_path / "out.bmp"
    )
    assert "does not exist" in failed(capsys, *common, tmp_path / "no" / "out.png")
    out = tmp_path / "out.png"
    for option, value in (
        ("colormap", "heat"),
        ("method", "lime"),
        ("score", "loss"),
        ("reduction", "mean"),
        ("pixels", "0..2"),
    ):
        line = failed(capsys, *common, out, f"--{option}={value}")
        assert line.startswith(f"keras-saliency: --{option}: expected"), line
    layer = failed(capsys, *common, out, "--method=grad_cam", "--layer=none")
    assert layer.startswith("keras-saliency: --layer none: expected a layer with"), layer
    assert "--weights: a saved model has its own" in failed(capsys, *common, out, "--weights=none")
    assert "--epochs: expected 1 or more" in failed(capsys, "demo", "--epochs", "0")


def test_tensorboard_that_cannot_start_is_one_clear_line(tmp_path, capsys):
    line = failed(capsys, "tensorboard", tmp_path / "none")
    assert line == f"keras-saliency: LOGDIR: the directory {tmp_path / 'none'} does not exist."
    assert "expected 1 to 65535" in failed(capsys, "tensorboard", tmp_path, "--port", 0)
    with socket.create_server(("localhost", 0)) as server:
        line = failed(capsys, "tensorboard", tmp_path, "--port", server.getsockname()[1])
    assert line.startswith("keras-saliency: --port, --host: Address already in use")
    assert line.endswith("If another TensorBoard uses this port, choose another one.")
    assert "--port, --host: " in failed(capsys, "tensorboard", tmp_path, "--host", "203.0.113.1")


def served(port, *arguments, options=(), **settings):
    """The command `tensorboard` in a process of its own."""
    code = "import sys; from keras_saliency.app.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, *options, "-c", code, "tensorboard", "--port", str(port)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *arguments], stdout=pipe, stderr=pipe, text=True, **settings)


@pytest.mark.gate
@pytest.mark.slow
def test_tensorboard_takes_the_place_of_the_command_which_imports_little(tmp_path):
    port = free_port()
    options = ["-X", "importtime"]  # of the command; TensorBoard is started without it
    process = served(port, str(tmp_path), "--", "--nonsense", options=options)
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 2
    assert printed.startswith(f"  http://localhost:{port}/#saliency  the SALIENCY tab\n")
    assert "unrecognized arguments: --nonsense" in errors
    imported = {*re.findall(r"\| +(\S+)$", errors, re.MULTILINE)}
    assert "keras_saliency.app.cli" in imported
    assert not imported & {"keras", "numpy", "tensorboard", "tensorflow"}


@pytest.mark.gate
@pytest.mark.slow
def test_a_signal_to_the_command_ends_tensorboard_and_all_its_processes(tmp_path):
    port = free_port()
    process = served(port, str(tmp_path), start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while not answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)  # until no process can print any more
        assert not answers(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def answers(port):
    try:
        socket.create_connection(("localhost", port)).close()
    except OSError:
        return False
    return True


def test_only_tensorboard_is_handed_what_follows_two_dashes(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--", "--load_fast=false"])
    assert "arguments after -- are only allowed for TensorBoard" in capsys.readouterr().err


@pytest.mark.gate
@pytest.mark.slow
def test_the_demo_tells_the_two_runs_apart(tmp_path, capsys):
    assert main(["demo", "--remedy", "--log-dir", str(tmp_path / "logs")]) == 0
    lines = capsys.readouterr().out.split("\n")
    runs = "clean", "tagged", "remedied"
    told = {run: [line for line in lines if line.startswith(run)] for run in runs}
    clean, tagged, remedied = (
        [float(number) for number in told[run][0].split()[1:]] for run in told
    )
    assert tagged[0] > clean[0]  # the tagged run looks better
    assert tagged[1] < clean[1] - 0.2  # and is worse
    assert tagged[2] > 2 > 0.5 > clean[2]  # which its maps show
    assert remedied[1] > max(clean[1] - 0.01, tagged[1] + 0.2)  # what was lost is back
    assert remedied[2] < 1 < tagged[2]
    end = "The alert was withdrawn by its own test: region/top-left 4x4."
    assert any(line.endswith(end) for line in lines)
    assert told["clean"][1].split(maxsplit=1)[1] == "no alert"
    sentence = r"ALERT, epoch \d: the model relies on the region 'top-left 4x4'"
    assert re.search(sentence, told["tagged"][1])
    command = f"tensorboard --logdir {tmp_path / 'logs'} --samples_per_plugin images=1000"
    assert any(command in line for line in lines)
    assert "  http://localhost:6006/#saliency  the SALIENCY tab" in lines
    assert any(line.startswith("The tagged run's accuracy of") for line in lines)
    for run in ("clean", "tagged"):
        assert {path.name for path in (tmp_path / "logs" / run).iterdir()} == {
            "train",
            "validation",
            "saliency",
        }


def test_the_demo_ends_with_the_line_that_removes_the_shortcut():
    clean = Outcome("clean", 0.7, 0.7, 0.2, ())
    tagged = Outcome("tagged", 0.9, 0.3, 3.0, ("the alert",))
    assert cli._verdict(clean, tagged).endswith(
        "\n  train_ds = train_ds.map(saliency.alerts[0].remedy().map)\n"
        "To see that it does: keras-saliency demo --remedy"
    )
    assert "train_ds" not in cli._verdict(clean, dataclasses.replace(tagged, alerts=()))


@pytest.fixture
def log_dir(tmp_path):
    """Of two runs, three evaluations each."""
    for run in ("one", "two"):
        sink = ks.TensorBoardSink(tmp_path / "logs" / run, ks.ProbeSet(images(2, 3, 3), [0, 1]))
        for step in range(-1, 2):
            sink.write(report(images(2, 3, 3, seed=step + 1)[..., 0], step))
        sink.close()
    return tmp_path / "logs"


def test_report_writes_the_page(log_dir, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", str(log_dir), "--out", str(out)]) == 0
    assert out.read_text("utf-8") == page(log_dir)
    assert capsys.readouterr().out.startswith(f"{out} (0.")


def test_report_writes_a_film_and_a_filmstrip_of_one_run(log_dir, tmp_path, capsys):
    movie, strip = tmp_path / "film.png", tmp_path / "strip.png"
    of_one = ["report", str(log_dir), "--run", "two/saliency"]
    assert main([*of_one, "--out", str(movie), "--animate", "001 class 1", "--steps", "2"]) == 0
    assert capsys.readouterr().out == f"2 evaluations of the run 'two/saliency': {movie}\n"
    assert main([*of_one, "--out", str(strip), "--filmstrip", "--colormap", "viridis"]) == 0
    log = ks.read_log(log_dir)["two/saliency"]
    with Image.open(movie) as frames:
        assert frames.n_frames == 2
        frames.seek(1)
        last = film.animation(log, "001 class 1")[-1]
        np.testing.assert_array_equal(frames.convert("RGB"), last)
    expected = film.filmstrip(log, log.probes.names, colormap="viridis")
    np.testing.assert_array_equal(Image.open(strip).convert("RGB"), expected)
    assert main([*of_one, "--out", str(strip), "--filmstrip", "--clip-percentile", "50"]) == 0
    clipped = film.filmstrip(log, log.probes.names, clip_percentile=50)
    np.testing.assert_array_equal(Image.open(strip).convert("RGB"), clipped)
    assert (clipped != film.filmstrip(log, log.probes.names)).any()


def test_a_log_behind_a_url_is_reported(log_dir, tmp_path, capsys):
    url = "ram://test_cli/logs"
    for path in log_dir.rglob("*tfevents*"):
        target = f"{url}/{path.parent.relative_to(log_dir)}"
        tf.io.gfile.makedirs(target)
        tf.io.gfile.copy(str(path), f"{target}/{path.name}")
    out, strip = tmp_path / "report.html", tmp_path / "strip.png"
    assert main(["report", f"{url}/", "--out", str(out)]) == 0
    assert out.read_text("utf-8") == page(log_dir)
    of_one = ["report", url, "--run", "two/saliency", "--filmstrip", "--out", str(strip)]
    assert main(of_one) == 0
    expected = film.filmstrip(ks.read_log(log_dir)["two/saliency"], ["000 class 0", "001 class 1"])
    np.testing.assert_array_equal(Image.open(strip).convert("RGB"), expected)
    capsys.readouterr()
    line = failed(capsys, "report", "ram://test_cli/none", "--out", out)
    assert line.startswith("keras-saliency: LOGDIR: expected a directory, received ram://test_cli")
    line = failed(capsys, "report", "nofs://logs", "--out", out)
    assert line.startswith("keras-saliency: nofs://logs: File system scheme 'nofs' not implemented")


def test_the_home_directory_is_found(log_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["report", "~/logs", "--out", str(tmp_path / "report.html")]) == 0


def test_the_demo_does_not_write_into_a_log_that_exists(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert cli._unused(tmp_path / "demo") == tmp_path / "demo-3"
    tf.io.gfile.makedirs("ram://test_cli/demo")
    assert cli._unused("ram://test_cli/demo") == "ram://test_cli/demo-2"


def test_a_report_that_cannot_be_made_is_one_clear_line(log_dir, tmp_path, capsys):
    common = ["report", log_dir, "--out"]
    whole, film = tmp_path / "a.html", tmp_path / "a.gif"
    animate = [film, "--animate", "000 class 0"]
    assert "--out: expected a .html or .htm file" in failed(capsys, *common, film)
    assert "add --animate PROBE or --filmstrip" in failed(capsys, *common, film)
    assert "expected a .png file, received" in failed(capsys, *common, film, "--filmstrip")
    assert "does not exist" in failed(capsys, *common, tmp_path / "no" / "a.html")
    assert "--steps: expected a positive" in failed(capsys, *common, whole, "--steps", "0")
    assert "--run: this option needs --animate PROBE or --filmstrip" in failed(
        capsys, *common, whole, "--run", "one/saliency"
    )
    assert "--method: this option needs" in failed(capsys, *common, whole, "--method", "gradient")
    assert "--clip-percentile: this option needs" in failed(
        capsys, *common, whole, "--clip-percentile", "50"
    )
    assert "--probe: this option needs" in failed(
        capsys, *common, *animate, "--probe", "000 class 0"
    )
    several = "expected one of one/saliency, two/saliency"
    assert f"--run: there are several runs; {several}" in failed(capsys, *common, *animate)
    assert f"--run: {several}, received x" in failed(capsys, *common, *animate, "--run", "x")
    missing = ["report", tmp_path / "missing", "--out", whole]
    assert "keras-saliency: LOGDIR: expected a directory" in failed(capsys, *missing)
    of_one = [*common, whole.with_suffix(".png"), "--run", "one/saliency"]
    for drawing, option in (
        (("--animate", "zzz"), "--animate"),
        (("--filmstrip", "--probe", "zzz"), "--probe"),
        (("--filmstrip", "--scale", "zzz"), "--scale"),
        (("--filmstrip", "--colormap", "zzz"), "--colormap"),
        (("--filmstrip", "--method", "zzz"), "--method"),
    ):
        line = failed(capsys, *of_one, *drawing)
        assert line.startswith(f"keras-saliency: {option}: expected "), line
        assert line.count("zzz") == 1
    line = failed(capsys, *of_one, "--filmstrip", "--clip-percentile", "0")
    assert line.startswith("keras-saliency: --clip-percentile: expected a number above 0"), line
    assert list(tmp_path.iterdir()) == [log_dir]


def test_the_links_are_below_the_prefix_that_tensorboard_is_told():
    for further in (["--path_prefix", "/board/x/"], ["--path_prefix=board/x"]):
        links = cli._links("localhost", 6006, cli._prefix(further))
        assert "http://localhost:6006/board/x/#saliency" in links
    assert "http://localhost:6006/#saliency" in cli._links("localhost", 6006, cli._prefix([]))
