"""The commands `keras-saliency replay` and `watch`: from their options to a callback."""

from __future__ import annotations

import argparse
from pathlib import Path

from keras_saliency.app.replay import replay, watch
from keras_saliency.attributions.scores import Score
from keras_saliency.callback import SaliencyCallback
from keras_saliency.data.checks import check_choice
from keras_saliency.data.probes import ProbeSet
from keras_saliency.detection.settings import Interventions
from keras_saliency.engine.compilation import Compute


def run_replay(options: argparse.Namespace) -> None:
    """Runs `keras-saliency replay`.

    Args:
        options: From `keras_saliency.app.options.build_parser`.

    Raises:
        TypeError: An option has the wrong type.
        ValueError: An option has a wrong value, or a file cannot be read.
        OSError: The log cannot be written.
    """
    saliency = _callback(options)
    replay(options.checkpoints, saliency, options.model, first_epoch=options.first_epoch)


def run_watch(options: argparse.Namespace) -> None:
    """Runs `keras-saliency watch`; arguments and errors as in `run_replay`."""
    watch(
        options.checkpoints,
        _callback(options),
        options.model,
        first_epoch=options.first_epoch,
        interval=options.interval,
        until_idle=options.until_idle,
    )


def _callback(options: argparse.Namespace) -> SaliencyCallback:
    output = options.model_output
    return SaliencyCallback(
        _probes(options.probes),
        log_dir=options.log_dir,
        method=options.method or "gradient",
        score=Score(options.score, output=int(output) if output and output.isdecimal() else output),
        saliency_freq=options.saliency_freq,
        interventions=_interventions(options),
        compute=Compute(reduction=options.reduction),
        name=options.name,
    )


def _probes(path: Path) -> ProbeSet:
    try:
        return ProbeSet.load(path)
    except ValueError as error:
        raise ValueError(f"--probes{str(error).removeprefix('path')}") from error


def _interventions(options: argparse.Namespace) -> Interventions | None:
    check_choice("interventions", options.interventions, ("auto", "epoch", "none"))
    if options.interventions != "none":
        return Interventions(options.interventions, ignore=options.ignore)
    if options.ignore:
        raise ValueError("ignore: expected no test to ignore, as --interventions none makes none.")
    return None
