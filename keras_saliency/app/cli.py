"""The command `keras-saliency`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency import __version__

if TYPE_CHECKING:
    from keras_saliency.app.demo import Outcome

_VIEWS = {
    "the SALIENCY tab": "#saliency",
    "pictures beside curves": "?tagFilter=%5Esaliency%7Cepoch_loss#timeseries",
}
"""Where to look in TensorBoard."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 for wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only; before TensorFlow loads
    given = list(sys.argv[1:] if arguments is None else arguments)
    own = list(takewhile(lambda argument: argument != "--", given))
    parser = _parser()
    options = parser.parse_args(own, argparse.Namespace(further=given[len(own) + 1 :]))
    if options.further and options.run is not _serve:
        parser.error("what follows -- is for TensorBoard: keras-saliency tensorboard LOGDIR -- ...")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _complain(message)
            options.run(options)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        _complain(error)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _complain(what: object) -> None:
    print(f"keras-saliency: {' '.join(str(what).split())}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "keras-saliency", description="Watch where a Keras model looks while it trains."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="train on digits with and without a tag that gives them away; show both"
    )
    demo.add_argument(
        "--log-dir", type=Path, default=Path("logs/demo"), help="default: %(default)s"
    )
    demo.add_argument("--epochs", type=int, default=8, help="of each run; default: %(default)s")
    demo.add_argument("--serve", action="store_true", help="open TensorBoard afterwards")
    demo.add_argument("--port", type=int, default=6006, help="TensorBoard's port")
    demo.set_defaults(run=_demo)

    board = commands.add_parser(
        "tensorboard",
        help="start TensorBoard with every epoch kept, and say where to look",
        epilog="What follows -- is for TensorBoard: ... tensorboard logs -- --path_prefix /board",
    )
    board.add_argument("log_dir", metavar="LOGDIR", help="the log_dir of the callbacks")
    board.add_argument("--port", type=int, default=6006, help="default: %(default)s")
    board.add_argument("--host", help="default: localhost")
    board.set_defaults(run=_serve)

    report = commands.add_parser(
        "report", help="make one HTML file of a log, an animation of a probe, or a filmstrip"
    )
    report.add_argument("log_dir", metavar="LOGDIR", help="the log_dir of the callbacks")
    report.add_argument(
        "--out",
        required=True,
        type=Path,
        help="the file to write: .html; .png or .gif with --animate; .png with --filmstrip",
    )
    report.add_argument(
        "--steps",
        type=int,
        help="steps to keep of each run, evenly spaced (a page also keeps those with a new alert)",
    )
    kinds = report.add_mutually_exclusive_group()
    kinds.add_argument("--animate", metavar="PROBE", help="a probe's name: its maps as a film")
    kinds.add_argument("--filmstrip", action="store_true", help="probes and evaluations in a table")
    drawn = report.add_argument_group("of films and filmstrips")
    drawn.add_argument("--run", dest="name", help="of several, the one to draw")
    drawn.add_argument("--method", help="of several, the one to draw; default: the first")
    drawn.add_argument("--scale", help="epoch, probe or shared; default: probe in a film")
    drawn.add_argument("--colormap", help="default: hot; maps with signs need a diverging one")
    drawn.add_argument(
        "--probe", action="append", help="a row of the filmstrip, repeatable; default: 16 of all"
    )
    report.set_defaults(run=_report)

    explain = commands.add_parser("explain", help="show where a trained model looks in images")
    explain.add_argument(
        "--model", required=True, help="a .keras or .h5 file, or a keras.applications name"
    )
    explain.add_argument(
        "--image", required=True, type=Path, action="append", help="an image; repeatable"
    )
    explain.add_argument("--out", required=True, type=Path, help="the PNG file to write")
    explain.add_argument("--target", type=int, help="class index; default: the predicted class")
    explain.add_argument(
        "--weights", help="of a keras.applications model: imagenet (default), none, or a file"
    )
    explain.add_argument(
        "--pixels",
        help="the scale on which a saved model takes pixels: --pixels=0..255, 0..1 or -1..1",
    )
    explain.add_argument("--class-names", type=Path, help="a text file, one class name a line")
    explain.add_argument(
        "--method", default="gradient", help="gradient (default), smoothgrad, grad_cam, ..."
    )
    explain.add_argument(
        "--reduction", help="of the channels to one map: max_abs (default), l2, sum or signed"
    )
    explain.add_argument("--layer", help="of a class activation map; default: the last spatial one")
    explain.add_argument("--score", default="logit", help="default: %(default)s")
    explain.add_argument("--colormap", default="hot", help="default: %(default)s")
    explain.set_defaults(run=_explain)
    return parser


def _demo(options: argparse.Namespace) -> None:
    if options.epochs < 1:
        raise ValueError(f"--epochs: expected 1 or more, received {options.epochs}.")
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError(
            "demo: expected scikit-learn, which holds the digits; install it with: "
            "pip install 'keras-saliency[demo]'"
        )
    began = time.monotonic()
    print("Training the same network twice, with SaliencyCallback in model.fit:", flush=True)
    from keras_saliency.app.demo import TAG, train

    def progress(text: str) -> None:
        print(f"  [{time.monotonic() - began:3.0f} s] {text}", flush=True)

    log_dir = _unused(options.log_dir)
    clean, tagged = (
        train(run, log_dir, epochs=options.epochs, progress=progress) for run in ("clean", "tagged")
    )
    print(f"\n{'':8}  accuracy  the same without the tag  saliency in {TAG!r} (chance 1)")
    for run in (clean, tagged):
        print(
            f"{run.run:8}  {run.own_accuracy:8.2f}  {run.clean_accuracy:23.2f}  "
            f"{run.enrichment:10.1f}"
        )
    print(f"\n{_verdict(clean, tagged)}")
    command = _tensorboard(str(log_dir), options.port)
    print(f"\nSee both, epoch by epoch:\n  {' '.join(command)}")
    print(_links("localhost", options.port))
    if options.serve:
        _run(command)


def _verdict(clean: Outcome, tagged: Outcome) -> str:
    said = [_caught(run) for run in (clean, tagged)]
    if tagged.alerts and not clean.alerts:
        said.append(
            f"The tagged run's accuracy of {tagged.own_accuracy:.2f} looks better than the clean "
            f"run's {clean.own_accuracy:.2f}, and validation\nimages have the tag, too: no curve "
            f"shows that without it the model gets {tagged.clean_accuracy:.2f}. The alert does."
        )
    elif not tagged.alerts:
        said.append(
            "It takes two tests in a row to raise an alert, and more epochs to learn a tag."
        )
    return "\n".join(said)


def _caught(run: Outcome) -> str:
    """What was caught in a run, the first alert in full."""
    if not run.alerts:
        return f"{run.run:8}  no alert"
    others = f"\n{'':10}and {len(run.alerts) - 1} more, of the same cue" if run.alerts[1:] else ""
    told = textwrap.fill(run.alerts[0], 88, initial_indent="ALERT, ", subsequent_indent=" " * 10)
    return f"{run.run:8}  {told}{others}"


def _serve(options: argparse.Namespace) -> None:
    """Serves a log directory and says where to look."""
    host, port = options.host or "localhost", options.port
    if "://" not in options.log_dir and not Path(options.log_dir).is_dir():
        raise ValueError(f"LOGDIR: there is no directory {options.log_dir}.")
    if not 1 <= port <= 65535:
        raise ValueError(f"--port: expected 1 to 65535, received {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        advice = "If another TensorBoard runs there, choose another port."
        raise ValueError(f"--port, --host: {error.strerror}. {advice}") from None
    print(_links(host, port, _prefix(options.further)), flush=True)
    command = _tensorboard(options.log_dir, port) + (["--host", host] if options.host else [])
    ended = _run([*command, *options.further])
    if ended.returncode:
        raise RuntimeError(f"TensorBoard ended with status {ended.returncode}.")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs TensorBoard by its command line, with this Python, until it is stopped."""
    tensorboard = [sys.executable, "-m", "tensorboard.main"]
    return subprocess.run([*tensorboard, *command[1:]], check=False)


def _prefix(further: Sequence[str]) -> str:
    """Below which path TensorBoard is told to serve, such as `board/`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--path_prefix", default="")
    path = parser.parse_known_args(further)[0].path_prefix.strip("/")
    return f"{path}/" if path else ""


def _links(host: str, port: int, prefix: str = "") -> str:
    """The views, a line each, with what they show."""
    name = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{name}:{port}/{prefix}"
    return "\n".join(f"  {address}{view}  {what}" for what, view in _VIEWS.items())


def _tensorboard(log_dir: str, port: int) -> list[str]:
    """TensorBoard's command line, with every step kept; the SALIENCY tab's are without asking."""
    keep = ["--samples_per_plugin", "images=1000"]
    beside = Path(sys.executable).with_name("tensorboard")  # as in a virtual environment
    command = "tensorboard" if shutil.which("tensorboard") == str(beside) else relpath(beside)
    return [command, "--logdir", log_dir, *keep, "--port", str(port)]


def _unused(path: Path) -> Path:
    """The path, or the first of `path-2`, `path-3`, ... that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _report(options: argparse.Namespace) -> None:
    from keras_saliency.app import film
    from keras_saliency.app.html_report import page
    from keras_saliency.data.blocks import evenly
    from keras_saliency.data.checks import check_positive_int
    from keras_saliency.log.reader import Log, read_log
    from keras_saliency.rendering import layouts

    draws = options.animate is not None or options.filmstrip
    endings = (".png", ".gif") if options.animate is not None else (".png",)
    endings = endings if draws else (".html", ".htm")
    out: Path = options.out
    if out.suffix.lower() not in endings:
        other = "" if draws else " For a picture add --animate PROBE or --filmstrip."
        raise ValueError(f"--out: expected a {' or '.join(endings)} file, got {out}.{other}")
    settings = {name: getattr(options, name) for name in ("method", "scale", "colormap")}
    settings = {name: value for name, value in settings.items() if value is not None}
    unused = [] if draws else [*settings, *["run"] * (options.name is not None)]
    unused += ["probe"] * bool(options.probe and not options.filmstrip)
    if unused:
        raise ValueError(f"--{unused[0]}: it is for --filmstrip, or for --animate; leave it out.")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out: the directory {out.parent} does not exist.")
    if options.steps is not None:
        check_positive_int("--steps", options.steps, hint="It counts the steps to keep.")
    if not draws:
        out.write_text(page(options.log_dir, max_steps=options.steps), "utf-8")
        print(f"{out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser, or send it on.")
        return
    log: Log = _one_of(read_log(options.log_dir), options.name)
    if options.steps is not None:
        kept = evenly(len(log.reports), options.steps)
        log = dataclasses.replace(log, reports=tuple(log.reports[place] for place in kept))
    if options.animate is not None:
        film.save_animation(film.animation(log, options.animate, **settings), out)
    else:
        names = log.probes.names
        probes = options.probe or [names[place] for place in evenly(len(names), 16)]
        strip = film.filmstrip(log, probes, **settings)
        out.write_bytes(layouts.encoded(strip, lossless=True))
    print(f"{len(log.reports)} evaluations of the run {log.run!r}: {out}")


def _one_of(logs: dict[str, Any], run: str | None) -> Any:
    """The log of a run, which need not be named where there is one."""
    if run is None and len(logs) > 1:
        raise ValueError(f"--run: expected one of {', '.join(logs)}; there are several.")
    if run is not None and run not in logs:
        raise ValueError(f"--run: expected one of {', '.join(logs)}, received {run}.")
    return logs[run or next(iter(logs))]


def _explain(options: argparse.Namespace) -> None:
    import numpy as np

    from keras_saliency.app.explain import (
        PIXEL_RANGES,
        explain,
        load_application,
        load_saved,
        read_image,
    )
    from keras_saliency.attributions import METHODS, check_method
    from keras_saliency.data.checks import check_choice
    from keras_saliency.data.reports import Array
    from keras_saliency.rendering import layouts
    from keras_saliency.rendering.heatmaps import check_colormap

    check_colormap(options.colormap)
    check_method(options.method)
    method: Any = options.method
    if options.layer is not None:
        if "cam" not in options.method:
            raise ValueError(f"--layer: --method {options.method} has none; a *_cam has.")
        method = partial(METHODS[options.method], layer=options.layer)
    missing = [path for path in options.image if not path.is_file()]
    if missing:
        raise ValueError(f"--image: {missing[0]} is not a file.")
    if not options.out.absolute().parent.is_dir():
        raise ValueError(f"--out: the directory {options.out.parent} does not exist.")
    if options.out.resolve() in [path.resolve() for path in options.image]:
        raise ValueError(f"--out: {options.out} is one of the images; it would be overwritten.")
    if options.target is not None and options.target < 0:
        raise ValueError(f"--target: expected a class index, 0 or more, got {options.target}.")
    if options.class_names and not options.class_names.is_file():
        raise ValueError(f"--class-names: {options.class_names} is not a file.")
    if options.out.suffix.lower() != ".png":
        raise ValueError(f"--out: expected a .png file, received {options.out}.")
    if Path(options.model).exists() or options.model.endswith((".keras", ".h5")):
        if options.weights is not None:
            raise ValueError("--weights: a saved model has its own; leave the option out.")
        if options.pixels is not None:
            check_choice("--pixels", options.pixels, PIXEL_RANGES)
        names = options.class_names and options.class_names.read_text("utf-8").splitlines()
        subject = load_saved(Path(options.model), options.pixels, names)
    else:
        if options.pixels or options.class_names:
            raise ValueError("--pixels, --class-names: a keras.applications model has its own.")
        weights = None if options.weights == "none" else options.weights or "imagenet"
        subject = load_application(options.model, weights)
    images = [read_image(path, subject.model.input_shape) for path in options.image]
    pictures: dict[int, Array] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        places = [place for place, image in enumerate(images) if image.shape == shape]
        explained = explain(
            subject,
            np.stack([images[place] for place in places]),
            target=options.target,
            method=method,
            score=options.score,
            reduction=options.reduction,
            colormap=options.colormap,
        )
        for place, (picture, words) in zip(places, explained, strict=True):
            pictures[place] = picture
            print(f"{options.image[place]}: {words}")
    sheet = layouts.stacked([pictures[place] for place in range(len(images))])
    options.out.write_bytes(layouts.encoded(sheet, lossless=True))
    print(f"image | saliency map | overlay: {options.out}")
