"""The command-line program `keras-saliency`."""

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
from itertools import takewhile
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from keras_saliency.app.options import build_parser, in_options
from keras_saliency.app.quiet import import_keras

if TYPE_CHECKING:
    from keras_saliency.app.demo import Outcome

_VIEWS = {
    "the SALIENCY tab": "#saliency",
    "pictures beside curves": "?tagFilter=%5Esaliency%7Cepoch_loss#timeseries",
}
"""The views in TensorBoard: the last part of the address, by description."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, 2 for an error, or 130 if interrupted.

    Does not return if TensorBoard takes over.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    own = list(takewhile(lambda argument: argument != "--", arguments))
    commands = {
        "demo": _demo,
        "tensorboard": _serve,
        "report": _report,
        "explain": _explain,
        "replay": _replay,
        "watch": _watch,
    }
    parser = build_parser(commands)
    passed_on = argparse.Namespace(for_tensorboard=arguments[len(own) + 1 :])
    options = parser.parse_args(own, passed_on)
    if options.for_tensorboard and options.run is not _serve:
        parser.error(
            "arguments after -- are only allowed for TensorBoard: "
            "keras-saliency tensorboard LOGDIR -- ..."
        )
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _print_error(message)
            options.run(options)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        _print_error(in_options(str(error), options.command))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _print_error(message: object) -> None:
    print(f"keras-saliency: {' '.join(str(message).split())}", file=sys.stderr)


def _demo(options: argparse.Namespace) -> None:
    if options.epochs < 1:
        raise ValueError(f"--epochs: expected 1 or more, received {options.epochs}.")
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError(
            "demo: scikit-learn is required, which contains the digits; install it with: "
            "pip install 'keras-saliency[demo]'"
        )
    import_keras()
    start_time = time.monotonic()
    print("Training the same network twice, with SaliencyCallback in model.fit:", flush=True)
    from keras_saliency.app.demo import TAG, train

    def progress(text: str) -> None:
        print(f"  [{time.monotonic() - start_time:3.0f} s] {text}", flush=True)

    log_dir = _unused(options.log_dir)
    settings = {"epochs": options.epochs, "progress": progress}
    clean = train("clean", log_dir, **settings)
    tagged = train("tagged", log_dir, remedy=options.remedy, **settings)
    print(f"\n{'':8}  accuracy  accuracy without the tag  enrichment of {TAG!r} (chance: 1)")
    rows = {"clean": clean, "tagged": tagged, "remedied": tagged.remedied}
    for name, run in rows.items():
        if run is not None:
            print(
                f"{name:8}  {run.own_accuracy:8.2f}  {run.clean_accuracy:24.2f}  "
                f"{run.enrichment:10.1f}"
            )
    print(f"\n{_verdict(clean, tagged)}")
    command = _tensorboard(str(log_dir), options.port)
    print(f"\nTo see both runs, epoch by epoch:\n  {' '.join(command)}")
    print(_links("localhost", options.port))
    if options.serve:
        _become(command)


def _verdict(clean: Outcome, tagged: Outcome) -> str:
    paragraphs = [_alerts(run) for run in (clean, tagged)]
    if tagged.alerts and not clean.alerts:
        paragraphs.append(
            f"The tagged run's accuracy of {tagged.own_accuracy:.2f} looks better than the clean "
            f"run's {clean.own_accuracy:.2f}. The validation\nimages have the tag, too, so no "
            "curve shows that the accuracy without the tag is only\n"
            f"{tagged.clean_accuracy:.2f}. The alert does."
        )
    if tagged.remedied:
        paragraphs.append(_remedied(tagged.remedied))
    elif tagged.alerts:
        paragraphs.append(
            "\nThe line that removes the shortcut, and training goes on:\n"
            "  train_ds = train_ds.map(saliency.alerts[0].remedy().map)\n"
            "To see that it does: keras-saliency demo --remedy"
        )
    else:
        paragraphs.append(
            "Train for more epochs: the model has to learn the tag first, and an alert needs two "
            "tests in a row."
        )
    return "\n".join(paragraphs)


def _remedied(run: Outcome) -> str:
    """What the remedy changed."""
    withdrawn = ", ".join(run.withdrawn)
    return (
        "\nThen the tagged run went on with one line more:\n"
        "  train_ds = train_ds.map(saliency.alerts[0].remedy().map)\n"
        f"Accuracy without the tag is {run.clean_accuracy:.2f} now. "
        + (f"The alert was withdrawn by its own test: {withdrawn}." if withdrawn else "")
    )


def _alerts(run: Outcome) -> str:
    """The alerts of a run, the first one in full."""
    if not run.alerts:
        return f"{run.run:8}  no alert"
    more = f"\n{'':10}and {len(run.alerts) - 1} more about the same cue" if run.alerts[1:] else ""
    first = textwrap.fill(run.alerts[0], 88, initial_indent="ALERT, ", subsequent_indent=" " * 10)
    return f"{run.run:8}  {first}{more}"


def _serve(options: argparse.Namespace) -> None:
    """Starts TensorBoard for a log directory and prints the links."""
    host, port = options.host or "localhost", options.port
    log_dir = options.log_dir
    if "://" not in log_dir:
        log_dir = str(Path(log_dir).expanduser())
        if not Path(log_dir).is_dir():
            raise ValueError(f"LOGDIR: the directory {log_dir} does not exist.")
    if not 1 <= port <= 65535:
        raise ValueError(f"--port: expected 1 to 65535, received {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        hint = "If another TensorBoard uses this port, choose another one."
        raise ValueError(f"--port, --host: {error.strerror}. {hint}") from None
    print(_links(host, port, _prefix(options.for_tensorboard)), flush=True)
    command = _tensorboard(log_dir, port) + (["--host", host] if options.host else [])
    _become([*command, *options.for_tensorboard])


def _become(command: Sequence[str]) -> NoReturn:
    """Runs TensorBoard's command in the place of this process, which gets its signals."""
    tensorboard = [sys.executable, "-m", "tensorboard.main", *command[1:]]
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(sys.executable, tensorboard)
    sys.exit(subprocess.run(tensorboard, check=False).returncode)


def _prefix(arguments: Sequence[str]) -> str:
    """The path prefix in TensorBoard's arguments, such as `board/`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--path_prefix", default="")
    path = parser.parse_known_args(arguments)[0].path_prefix.strip("/")
    return f"{path}/" if path else ""


def _links(host: str, port: int, prefix: str = "") -> str:
    """The links to the views with their descriptions, one on each line."""
    name = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{name}:{port}/{prefix}"
    return "\n".join(f"  {address}{view}  {what}" for what, view in _VIEWS.items())


def _tensorboard(log_dir: str, port: int) -> list[str]:
    """TensorBoard's command, which keeps all pictures. The SALIENCY tab always keeps all steps."""
    keep = ["--samples_per_plugin", "images=1000"]
    script = Path(sys.executable).with_name("tensorboard")  # as in a virtual environment
    command = "tensorboard" if shutil.which("tensorboard") == str(script) else relpath(script)
    return [command, "--logdir", log_dir, *keep, "--port", str(port)]


def _unused(path: str) -> Path | str:
    """The first of `path`, `path-2`, `path-3`, ... that does not exist."""
    from keras_saliency.log import files

    number, free = 1, files.location(path)
    while files.exists(free):
        number += 1
        free = files.location(f"{path}-{number}")
    return free


def _report(options: argparse.Namespace) -> None:
    from keras_saliency.app import film
    from keras_saliency.app.html_report import page
    from keras_saliency.data.blocks import evenly
    from keras_saliency.data.checks import check_positive_int
    from keras_saliency.log.decoder import Log
    from keras_saliency.log.reader import read_log
    from keras_saliency.rendering import layouts

    draws = options.animate is not None or options.filmstrip
    suffixes = (".png", ".gif") if options.animate is not None else (".png",)
    suffixes = suffixes if draws else (".html", ".htm")
    out: Path = options.out
    if out.suffix.lower() not in suffixes:
        hint = "" if draws else " For a picture, add --animate PROBE or --filmstrip."
        raise ValueError(f"--out: expected a {' or '.join(suffixes)} file, received {out}.{hint}")
    of_drawings = ("method", "scale", "colormap", "clip_percentile")
    settings = {name: getattr(options, name) for name in of_drawings}
    settings = {name: value for name, value in settings.items() if value is not None}
    unused = [] if draws else [*settings, *["run"] * (options.name is not None)]
    if unused:
        option = unused[0].replace("_", "-")
        raise ValueError(f"--{option}: this option needs --animate PROBE or --filmstrip.")
    if options.probe and not options.filmstrip:
        raise ValueError("--probe: this option needs --filmstrip.")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out: the directory {out.parent} does not exist.")
    if options.steps is not None:
        check_positive_int("--steps", options.steps, hint="Pass the number of steps to keep.")
    if not draws:
        out.write_text(page(options.log_dir, max_steps=options.steps), "utf-8")
        print(f"{out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser.")
        return
    log: Log = _one_of(read_log(options.log_dir), options.name)
    if options.steps is not None:
        kept = evenly(len(log.reports), options.steps)
        log = dataclasses.replace(log, reports=tuple(log.reports[index] for index in kept))
    if options.animate is not None:
        film.save_animation(film.animation(log, options.animate, **settings), out)
    else:
        names = log.probes.names
        probes = options.probe or [names[index] for index in evenly(len(names), 16)]
        strip = film.filmstrip(log, probes, **settings)
        out.write_bytes(layouts.encoded(strip, lossless=True))
    print(f"{len(log.reports)} evaluations of the run {log.run!r}: {out}")


def _one_of(logs: dict[str, Any], run: str | None) -> Any:
    """The log of a run. If there is only one run, its name is optional."""
    if run is None and len(logs) > 1:
        raise ValueError(
            f"--run: there are several runs; expected one of {', '.join(logs)}, received none."
        )
    if run is not None and run not in logs:
        raise ValueError(f"--run: expected one of {', '.join(logs)}, received {run}.")
    return logs[run or next(iter(logs))]


def _explain(options: argparse.Namespace) -> None:
    import_keras()
    from keras_saliency.app.explain_command import run

    run(options)


def _replay(options: argparse.Namespace) -> None:
    import_keras()
    from keras_saliency.app.replay_command import run_replay

    run_replay(options)


def _watch(options: argparse.Namespace) -> None:
    import_keras()
    from keras_saliency.app.replay_command import run_watch

    run_watch(options)
