"""The options of `keras-saliency`, and error messages in terms of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_saliency import __version__

_OPTIONS = {
    "baseline": "--baseline",
    "class_names": "--class-names",
    "clip_percentile": "--clip-percentile",
    "colormap": "--colormap",
    "image_path": "--image",
    "images": "--image",
    "layer": "--layer",
    "log": "LOGDIR",
    "log_dir": "LOGDIR",
    "max_steps": "--steps",
    "method": "--method",
    "model": "--model",
    "name": "--model",
    "out": "--out",
    "output": "--model-output",
    "path": "--model",
    "pixels": "--pixels",
    "probe": "--animate",
    "probes": "--probe",
    "reduction": "--reduction",
    "scale": "--scale",
    "score": "--score",
    "shape": "--model",
    "targets": "--target",
    "weights": "--weights",
}
"""The options of the commands, by the arguments of the functions that they are passed to."""

_OF_REPLAY = {
    "checkpoints": "CHECKPOINTS",
    "first_epoch": "--first-epoch",
    "ignore": "--ignore",
    "interval": "--interval",
    "interventions": "--interventions",
    "log_dir": "--log-dir",
    "name": "--name",
    "probes": "--probes",
    "saliency_freq": "--saliency-freq",
    "until_idle": "--until-idle",
}

_OF_COMMAND = {"demo": {"log_dir": "--log-dir"}, "replay": _OF_REPLAY, "watch": _OF_REPLAY}
"""What is different for some commands."""


def build_parser(
    commands: Mapping[str, Callable[[argparse.Namespace], None]],
) -> argparse.ArgumentParser:
    """The parser of the command line.

    Args:
        commands: What each command runs, by its name. The parsed options have it as `run`.
    """
    parser = argparse.ArgumentParser(
        "keras-saliency", description="Watch where a Keras model looks while it trains."
    )
    parser.add_argument("--version", action="version", version=__version__)
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    add_options = {
        "demo": _add_demo,
        "tensorboard": _add_tensorboard,
        "report": _add_report,
        "explain": _add_explain,
        "replay": _add_replay,
        "watch": _add_watch,
    }
    for name, add in add_options.items():
        add(added).set_defaults(run=commands[name], command=name)
    return parser


_CALLABLE = (
    r"(?:a|or a) (?:callable|function)(?: \([\w, ]+\) -> (?:\(num_probes,\)|\w+))?"
    r"(?:, such as score=lambda[^]]*\])?"
)

_AXES = r"(?:\([\w, ]*\)|\d)"

_ADVICE = {
    rf"; or pass {_CALLABLE}(?=\.)": "",
    rf" Or pass {_CALLABLE}\.": "",
    rf" Pass score={_CALLABLE}\. Or end the model": " End the model",
    rf", {_CALLABLE}(?:, or ks\.\w+\(\.\.\.\))?": "",
    rf", or for one position score=ks\.Score\(position={_AXES}\)": "",
    r"Choose one of (.*): score=ks\.Score\([^)]*\)\.": r"Choose one with --model-output: \1.",
    r"For the first one: dataclasses\.replace\(.*\)\.": "Pass --target.",
    r"One number has no class: leave targets out, .*$": "Leave --target out.",
}
"""What messages advise that no option can do, as patterns, and what is said instead."""


def in_options(message: str, command: str) -> str:
    """An error message with options instead of arguments: `name:` at its start, and any `name=`.

    Advice that only holds in Python, such as to pass a callable, is left out.

    Example:
        >>> in_options("score='logit': expected classes. Pass score='output'.", "explain")
        '--score logit: expected classes. Pass --score output.'
    """
    for pattern, instead in _ADVICE.items():
        message = re.sub(pattern, instead, message)
    options = _OPTIONS | _OF_COMMAND.get(command, {})
    known = "|".join(name for name, option in options.items() if option.startswith("--"))
    message = re.sub(
        rf"(?<![\w/.'-])({known})='([\w.]+)'", lambda m: f"{options[m[1]]} {m[2]}", message
    )
    return re.sub(
        r"^\w+(?=[:=])|(?<![\w/.'-])\w+(?==)", lambda name: options.get(name[0], name[0]), message
    )


def _add_demo(commands: Any) -> argparse.ArgumentParser:
    demo: argparse.ArgumentParser = commands.add_parser(
        "demo", help="train on digits with and without a tag that reveals the class, and compare"
    )
    demo.add_argument(
        "--log-dir", default="logs/demo", help="directory or URL; default: %(default)s"
    )
    demo.add_argument(
        "--epochs", type=int, default=8, help="epochs of each run; default: %(default)s"
    )
    demo.add_argument(
        "--remedy", action="store_true", help="train on without the shortcut, after the alert"
    )
    demo.add_argument("--serve", action="store_true", help="open TensorBoard afterwards")
    demo.add_argument(
        "--port", type=int, default=6006, help="port of TensorBoard; default: %(default)s"
    )
    return demo


def _add_tensorboard(commands: Any) -> argparse.ArgumentParser:
    board: argparse.ArgumentParser = commands.add_parser(
        "tensorboard",
        help="start TensorBoard, keep the pictures of all epochs, and print the links",
        epilog="Arguments after -- are passed to TensorBoard: "
        "keras-saliency tensorboard logs -- --path_prefix /board",
    )
    board.add_argument("log_dir", metavar="LOGDIR", help="the log_dir of the callbacks, also a URL")
    board.add_argument("--port", type=int, default=6006, help="default: %(default)s")
    board.add_argument("--host", help="default: localhost")
    return board


def _add_report(commands: Any) -> argparse.ArgumentParser:
    report: argparse.ArgumentParser = commands.add_parser(
        "report", help="make an HTML file of a log, an animation of a probe, or a filmstrip"
    )
    report.add_argument(
        "log_dir", metavar="LOGDIR", help="the log_dir of the callbacks, also a URL"
    )
    report.add_argument(
        "--out",
        required=True,
        type=Path,
        help="the file to write: .html; .png or .gif with --animate; .png with --filmstrip",
    )
    report.add_argument(
        "--steps",
        type=int,
        help="number of steps to keep from each run, evenly spaced (an HTML file also keeps the "
        "steps with a new alert)",
    )
    kinds = report.add_mutually_exclusive_group()
    kinds.add_argument(
        "--animate", metavar="PROBE", help="animate the maps of the probe with this name"
    )
    kinds.add_argument(
        "--filmstrip", action="store_true", help="draw a table of probes and evaluations"
    )
    drawing = report.add_argument_group("options for --animate and --filmstrip")
    drawing.add_argument("--run", dest="name", help="run to draw; required if there are several")
    drawing.add_argument("--method", help="method to draw; default: the first")
    drawing.add_argument(
        "--scale", help="epoch, probe or shared; default: probe with --animate, otherwise epoch"
    )
    drawing.add_argument("--colormap", help="default: hot, or RdBu_r for signed maps")
    _add_clip_percentile(drawing)
    drawing.add_argument(
        "--probe",
        action="append",
        help="name of a probe in the filmstrip; can be repeated; default: 16 probes",
    )
    return report


def _add_explain(commands: Any) -> argparse.ArgumentParser:
    explain: argparse.ArgumentParser = commands.add_parser(
        "explain", help="show where a trained model looks in an image"
    )
    explain.add_argument(
        "--model", required=True, help="a .keras or .h5 file, or a keras.applications name"
    )
    explain.add_argument(
        "--image",
        required=True,
        nargs="+",
        action="extend",
        help="image files, folders of images, or patterns such as 'photos/*.jpg'",
    )
    explain.add_argument(
        "--out",
        type=Path,
        help="the .png, .jpg, .pdf or .svg file to write, with a row for each image; default: "
        "<image>_saliency.png, or saliency.png for several images",
    )
    explain.add_argument(
        "--target", type=int, help="class index, or output unit; default: the predicted class"
    )
    explain.add_argument(
        "--weights", help="for a keras.applications model: imagenet (default), none, or a file"
    )
    explain.add_argument(
        "--pixels",
        help="for a saved model, the range of pixel values: --pixels=0..255, 0..1 or -1..1",
    )
    explain.add_argument(
        "--class-names", type=Path, help="text file with one class name on each line"
    )
    explain.add_argument(
        "--method", default="gradient", help="gradient (default), smoothgrad, grad_cam, ..."
    )
    explain.add_argument(
        "--reduction", help="how channels are reduced: max_abs (default), l2, sum or signed"
    )
    explain.add_argument(
        "--layer", help="layer for a class activation map; default: the last spatial layer"
    )
    explain.add_argument(
        "--baseline",
        help="for integrated_gradients and occlusion: zero, flat, blurred, mean (of the images), "
        "or a number on the scale of the model's input",
    )
    explain.add_argument(
        "--score",
        default="auto",
        help="what is explained: auto (default: the logit; of numbers the output, or the mean of "
        "several), logit, log_probability, probability, output (--target is the unit), mean (of "
        "all outputs), max_logit (averaged over positions) or segmentation",
    )
    explain.add_argument(
        "--model-output", help="for a model with several outputs: the name or position of one"
    )
    explain.add_argument("--colormap", default="hot", help="default: %(default)s")
    _add_clip_percentile(explain)
    return explain


def _add_replay(commands: Any) -> argparse.ArgumentParser:
    replay: argparse.ArgumentParser = commands.add_parser(
        "replay", help="write the log of a training that is over, from its checkpoints"
    )
    _add_checkpoints(replay)
    return replay


def _add_watch(commands: Any) -> argparse.ArgumentParser:
    watch: argparse.ArgumentParser = commands.add_parser(
        "watch", help="write the log of a training while it runs elsewhere, from its checkpoints"
    )
    _add_checkpoints(watch)
    watch.add_argument(
        "--interval",
        type=float,
        default=10.0,
        help="seconds between two looks at the files; default: %(default)g",
    )
    watch.add_argument(
        "--until-idle",
        type=float,
        metavar="SECONDS",
        help="end when no file has changed for so long; default: Ctrl-C ends it",
    )
    return watch


def _add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """The options of `replay` and `watch`."""
    parser.add_argument(
        "checkpoints",
        metavar="CHECKPOINTS",
        nargs="+",
        help="directories, files and patterns; the number after the word epoch in the name of a "
        "file, or else the last whole number, is that of its epoch",
    )
    parser.add_argument(
        "--probes", required=True, type=Path, help="an .npz file that ProbeSet.save has written"
    )
    parser.add_argument("--log-dir", default="logs", help="directory or URL; default: %(default)s")
    parser.add_argument(
        "--model",
        type=Path,
        help="for checkpoints that are weights alone: the model that they are put into, a .keras "
        "or .h5 file, or a .json file (model.to_json()); default: that of the first checkpoint",
    )
    parser.add_argument(
        "--first-epoch",
        type=int,
        default=1,
        help="number of the first epoch in the names of the files; default: %(default)s, as in "
        "ModelCheckpoint",
    )
    parser.add_argument(
        "--method",
        action="append",
        help="gradient (default), smoothgrad, grad_cam, ...; can be repeated",
    )
    parser.add_argument(
        "--reduction", help="how channels are reduced: max_abs (default), l2, sum or signed"
    )
    parser.add_argument(
        "--score",
        default="auto",
        help="what is explained: auto (default), logit, log_probability, probability, output, "
        "mean, max_logit, segmentation or detection",
    )
    parser.add_argument(
        "--model-output", help="for a model with several outputs: the name or position of one"
    )
    parser.add_argument(
        "--interventions", default="auto", help="when to test: auto (default), epoch or none"
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="TEST",
        help="a test that does not hold for your data; can be repeated",
    )
    parser.add_argument(
        "--saliency-freq", type=int, default=1, help="epochs between evaluations; default: 1"
    )
    parser.add_argument(
        "--name", default="saliency", help="name of the run in the log; default: %(default)s"
    )


def _add_clip_percentile(parser: Any) -> None:
    parser.add_argument(
        "--clip-percentile",
        type=float,
        help="percentile of a map at which colours end; 100 for its maximum; default: 99",
    )
