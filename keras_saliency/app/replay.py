"""Gives the checkpoints of a training to a callback, as `fit` would have given it the epochs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_saliency.app.checkpoints import (
    EXPECTED,
    Checkpoint,
    fill,
    find_checkpoints,
    is_complete,
    open_model,
    without_number,
)
from keras_saliency.callback import SaliencyCallback

INTERVAL = 10.0
"""How often `watch` looks for new checkpoints, in seconds."""


def replay(
    checkpoints: str | Path | Iterable[str | Path],
    saliency: SaliencyCallback,
    model: Any = None,
    *,
    first_epoch: int = 1,
) -> None:
    """Writes the log of a training that is over, from its checkpoints.

    The callback evaluates each checkpoint as it would have evaluated the epoch, in order, and tests
    the last one: maps, metrics, tests and alerts are those of a callback that was in `fit`. If the
    log already has the first of these steps, the run goes on from there.

    The lowest epoch takes the part of the state before training. So that this state itself is
    there, save it with a number that is one lower: `model.save("ckpt/00.keras")`, before `fit`.

    Args:
        checkpoints: Directories, files and patterns: `.keras` files, `.weights.h5` or `.h5` files,
            or TensorFlow checkpoints. The number of the epoch is the one after the word `epoch` in
            the name of the file, or else the last whole number.
        saliency: A new callback, as for `fit`, with `update_freq="epoch"`.
        model: The model that the weights are put into: a Keras model, or the path of a `.keras`,
            `.h5` or `.json` file (`model.to_json()`). Default: that of the first checkpoint.
        first_epoch: The number that the first epoch has in the names of the files. It is 1 for
            `keras.callbacks.ModelCheckpoint`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: No checkpoint was found, or one of them cannot be loaded; the model cannot be
            explained; the log has steps of another training.

    Example:
        >>> import keras, keras_saliency as ks, numpy as np, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(2, activation="softmax")])
        >>> for number in range(3):
        ...     model.save_weights(f"{folder}/{number:02d}.weights.h5")
        >>> probes = ks.ProbeSet(np.zeros((4, 8, 8, 1), "float32"), [0, 1, 0, 1])
        >>> saliency = ks.SaliencyCallback(probes, log_dir=f"{folder}/logs", verbose=0)
        >>> ks.replay(folder, saliency, model)
        >>> saliency.history["step"]
        [-1, 0, 1]
    """
    _check(saliency)
    places = _places(checkpoints)
    found = find_checkpoints(places, first_epoch=first_epoch)
    if not found:
        raise ValueError(
            f"checkpoints: expected {EXPECTED}, with the number of the epoch in the name, received "
            f"{', '.join(map(str, places))}, where there are none."
        )
    for path, _ in found:
        if not is_complete(path):
            raise ValueError(
                f"checkpoints: {path} is not complete. If its training was killed, remove it."
            )
    for path in without_number(places):
        _print(saliency, f"{path} is left out: its name has no number")
    later = _begin(saliency, model, found, last=found[-1].step)
    for checkpoint in later:
        if not saliency.model.stop_training:  # which an alert may have asked for
            _go_on(saliency, checkpoint)
    saliency.on_train_end()


def watch(
    checkpoints: str | Path | Iterable[str | Path],
    saliency: SaliencyCallback,
    model: Any = None,
    *,
    first_epoch: int = 1,
    interval: float = INTERVAL,
    until_idle: float | None = None,
) -> None:
    """Writes the log of a training while it runs in another process, from its checkpoints.

    As `replay`, but for checkpoints that appear one by one. A file is read once it is complete and
    has not changed for one interval. When the watch ends, also by Ctrl-C between two checkpoints,
    the last one is tested.

    Args:
        checkpoints: As in `replay`. What does not exist yet is waited for.
        saliency: As in `replay`.
        model: As in `replay`.
        first_epoch: As in `replay`.
        interval: The time between two looks at the files, in seconds.
        until_idle: Ends the watch when no file has changed for so many seconds. `None`: never.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: As in `replay`; a time is not positive, or `until_idle` is not longer than the
            interval.
    """
    _check(saliency)
    _check_times(interval, until_idle)
    places = _places(checkpoints)
    last: int | None = None
    seen: dict[Path, tuple[int, int]] = {}
    changed = time.monotonic()
    while True:
        found = find_checkpoints(places, first_epoch=first_epoch)
        sizes = {path: _size(path) for path, _ in found}
        if sizes != seen:
            changed = time.monotonic()
        stable = [
            one for one in found if seen.get(one.path) == sizes[one.path] and is_complete(one.path)
        ]
        seen = sizes
        if last is None and stable:
            stable = _begin(saliency, model, stable)
            last, changed = saliency.history["step"][-1], time.monotonic()
        for checkpoint in stable:
            if last is not None and checkpoint.step > last and not saliency.model.stop_training:
                _go_on(saliency, checkpoint)
                last, changed = checkpoint.step, time.monotonic()
        is_idle = until_idle is not None and time.monotonic() - changed >= until_idle
        if is_idle or (last is not None and saliency.model.stop_training) or not _waits(interval):
            break
    if last is None:
        raise ValueError(
            f"checkpoints: expected {EXPECTED}, received {', '.join(map(str, places))}, where none "
            "was complete before the watch ended."
        )
    for path, step in found:
        if step not in saliency.history["step"] and step > saliency.history["step"][0]:
            _print(saliency, f"{path} was left out: it was not complete in time")
    saliency.on_train_end()


def _begin(
    saliency: SaliencyCallback, model: Any, found: list[Checkpoint], last: int | None = None
) -> list[Checkpoint]:
    """Evaluates the checkpoint that the log ends with, or the first; returns those after it.

    Args:
        saliency: The callback.
        model: As in `replay`.
        found: At least one checkpoint.
        last: The last step of the training, if it is known.
    """
    if model is None or isinstance(model, str | Path):
        model = open_model(found[0].path if model is None else Path(model).expanduser())
    model.stop_training = False
    # A replay takes nothing from a training; the log may be of one that had a budget.
    saliency.compute = dataclasses.replace(saliency.compute, budget=None)
    saliency.set_model(model)
    saliency.set_params({} if last is None else {"epochs": last + 1})
    saliency.on_train_begin()
    in_log = saliency.step_in_log()
    at = 0
    if in_log is not None and in_log >= found[0].step:
        at = [one.step for one in found].index(in_log) if in_log in dict(found).values() else -1
        if at >= 0:
            fill(model, found[at].path)
        if at < 0 or not saliency.is_in_log():
            raise ValueError(
                f"log_dir: expected a directory without the steps of another training, received "
                f"{saliency.log_dir}, where a run of these probes has steps up to {in_log}, which "
                "are not those of the checkpoints. Pass another log_dir or name."
            )
    fill(model, found[at].path)
    _say(saliency, found[at])
    saliency.on_epoch_begin(found[at].step + 1)
    return found[at + 1 :]


def _go_on(saliency: SaliencyCallback, checkpoint: Checkpoint) -> None:
    """Evaluates a checkpoint after the first."""
    fill(saliency.model, checkpoint.path)
    _say(saliency, checkpoint)
    saliency.on_epoch_end(checkpoint.step)


def _say(saliency: SaliencyCallback, checkpoint: Checkpoint) -> None:
    when = " (before training)" if checkpoint.step < 0 else ""
    _print(saliency, f"step {checkpoint.step}{when}: {checkpoint.path}")


def _print(saliency: SaliencyCallback, text: str) -> None:
    if saliency.verbose:
        print(f"saliency: {text}", flush=True)


def _places(checkpoints: Any) -> list[str | Path]:
    return [checkpoints] if isinstance(checkpoints, str | Path) else [*checkpoints]


def _size(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:  # it was removed meanwhile
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def _waits(interval: float) -> bool:
    """Waits; says whether the watch goes on."""
    try:
        time.sleep(interval)
    except KeyboardInterrupt:
        return False
    return True


def _check(saliency: object) -> None:
    if not isinstance(saliency, SaliencyCallback):
        raise TypeError(
            f"saliency: expected a SaliencyCallback, received {type(saliency).__name__}."
        )
    if saliency.update_freq != "epoch":
        raise ValueError(
            "update_freq: expected 'epoch', as checkpoints are of the ends of epochs, received "
            f"{saliency.update_freq!r}."
        )
    if saliency.history["step"]:
        raise ValueError("saliency: expected a new callback, received one that was used.")


def _check_times(interval: float, until_idle: float | None) -> None:
    for name, value in (("interval", interval), ("until_idle", until_idle)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}: expected a number of seconds above 0, received {value!r}.")
    if until_idle is not None and until_idle <= interval:
        raise ValueError(
            f"until_idle: expected more than the interval of {interval:g} s, received "
            f"{until_idle:g}."
        )
