"""Kills trainings, resumes them, and compares their logs with that of one that was not killed.

    python -m benchmarks.kills [--random 200] [--boundaries] [--every 7] [--out FILE]

A training of sixteen epochs, with a test at each, is a process that gets SIGKILL: at a random
moment, or before one of its operations on files of the log (`--boundaries`: before each of them, or
each n-th, in a training of its own). Then it is started again, until it ends. It goes on from what
Keras saved, in one of these ways:

- backup after: `BackupAndRestore` comes after `SaliencyCallback` in the list of callbacks, so the
  log may be one epoch ahead of the weights;
- backup before: it comes before it, so the log may lack the last epoch that was saved;
- checkpoint: `ModelCheckpoint` saves the model, and the script passes `initial_epoch`.

With the same batches in the same order and deterministic operations, a resumed log must have the
reports, maps, tests and alerts of the uninterrupted one, value for value, in one run. (Similarities
within epochs are left out: if a process dies after Keras has saved an epoch's weights and before
the log has that epoch, the next one compares with the evaluation before it.) If a training is
killed before the first weights are saved, but after the first epoch is logged, it begins again
in a second run, which must have all that.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_saliency as ks
from benchmarks._models import arguments_of, machine, table, tell
from keras_saliency.data.serialization import to_json

SIDE, CLASSES = 12, 3
WAYS = ("backup after", "backup before", "checkpoint")
UPDATE_FREQ = {"backup after": "epoch", "backup before": 4, "checkpoint": "epoch"}

ENDED, KILLED = 0, -signal.SIGKILL

EQUAL, BEGUN_ANEW = "equal", "equal, in a new run"
"""The good outcomes."""

UNREADABLE = "Keras cannot read its checkpoint"
WRONG = "Keras' checkpoint has weights and epoch of two epochs"
"""A process was killed while Keras wrote its checkpoint, file by file. This is told, and the logs
are not compared."""

GOOD = {EQUAL, BEGUN_ANEW, UNREADABLE, WRONG}


def images(seed: int, count: int = 240) -> tuple[Any, Any]:
    """Noise with a bar for each class, and one bright pixel that also tells the class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    canvas = generator.normal(0, 1, (count, SIDE, SIDE, 1)).astype(np.float32)
    for target in range(CLASSES):
        canvas[labels == target, 3 + 2 * target : 5 + 2 * target, 3:9] += 0.6
    canvas[:, 1, 2:5] = 0
    canvas[np.arange(count), 1, 2 + labels] = 6
    return canvas, labels


def probes() -> ks.ProbeSet:
    """Other images of the kind, with the place of the bright pixel as a region."""
    region = np.zeros((SIDE, SIDE), bool)
    region[1, 2:5] = True
    canvas, labels = images(seed=1, count=12 * CLASSES)
    return ks.ProbeSet(canvas, labels, regions={"tag": region})


def train(way: str, epochs: int, directory: Path, dies_at: int | None = None) -> None:
    """A process: trains from what was saved on, and writes why it failed, if it does.

    Args:
        way: One of `WAYS`.
        epochs: How many there are in all.
        directory: For the log and what Keras saves.
        dies_at: The number of the operation on files of the log that it is killed before.
    """
    count_operations(directory, dies_at)
    try:
        fit(way, epochs, directory)
    except Exception:
        (directory / "error").write_text(traceback.format_exc())
        raise


def fit(way: str, epochs: int, directory: Path) -> None:
    """Trains from what was saved on; the arguments are those of `train`."""
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    saliency = ks.SaliencyCallback(
        probes(),
        log_dir=directory / "logs",
        update_freq=UPDATE_FREQ[way],
        interventions="epoch",
        verbose=0,
        on_alert=None,
    )
    first = 0
    if way == "checkpoint":
        saved = sorted((directory / "checkpoints").glob("[0-9]*.keras"))
        if saved:
            first = int(saved[-1].stem) + 1
            model = keras.saving.load_model(saved[-1])
        callbacks = [saliency, Checkpoint(directory / "checkpoints")]
    else:
        backup = keras.callbacks.BackupAndRestore(directory / "backup", delete_checkpoint=False)
        callbacks = [backup, saliency] if way == "backup before" else [saliency, backup]
    callbacks.insert(0, States(directory / "states"))
    model.fit(
        *images(seed=0),
        batch_size=24,
        shuffle=False,
        initial_epoch=first,
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
    )


class States(keras.callbacks.Callback):
    """Writes a line for each epoch: whether the process begins with it, its number, the state."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.is_first = path, True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Writes it."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        content = b"".join(np.asarray(variable).tobytes() for variable in variables)
        with self.path.open("a") as file:
            file.write(f"{int(self.is_first)} {epoch} {hashlib.sha256(content).hexdigest()}\n")
        self.is_first = False


def wrong_state(directory: Path, whole: Path) -> str:
    """Whether an epoch began in another state than in the training that was not killed."""
    expected = dict(line.split()[1:] for line in (whole / "states").read_text().splitlines())
    for line in (directory / "states").read_text().splitlines():
        is_first, epoch, state = line.split()
        if state != expected[epoch]:
            is_saved = is_first == "1" and state in expected.values()
            return WRONG if is_saved else f"other weights before epoch {epoch}"
    return ""


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole model after each epoch, under its final name only when it is complete."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves it."""
        self.directory.mkdir(exist_ok=True)
        self.model.save(self.directory / "new.keras")
        (self.directory / "new.keras").rename(self.directory / f"{epoch:03}.keras")


def count_operations(directory: Path, dies_at: int | None) -> None:
    """Counts operations on files of the log, in a file; kills this process before one of them."""
    log_dir, count = str(directory / "logs"), 0

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in ("open", "os.mkdir", "os.rename", "os.remove"):
            return
        if any(str(argument).startswith(log_dir) for argument in arguments[:2]):
            if count == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            (directory / "operations").write_text(str(count))

    directory.mkdir(exist_ok=True)
    sys.addaudithook(look)


def operations(directory: Path) -> int:
    """The number of operations of the process that trained there last."""
    return int((directory / "operations").read_text())


class Trainings:
    """Processes that train; they start from one that has imported TensorFlow already."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["keras_saliency", "benchmarks._models"])

    def run(
        self, way: str, directory: Path, *, dies_at: int | None = None, after: float | None = None
    ) -> int:
        """Starts a process and waits for its end; gives its exit code.

        Args:
            way: One of `WAYS`.
            directory: Of the training.
            dies_at: As in `train`.
            after: The seconds after which it is killed.
        """
        process = self._context.Process(target=train, args=(way, self._epochs, directory, dies_at))
        process.start()
        process.join(after)
        process.kill()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def until_it_ends(
        self, way: str, directory: Path, delays: Iterator[float] | None = None
    ) -> list[int]:
        """Starts processes until one ends by itself; gives their exit codes."""
        codes = []
        while not codes or codes[-1] == KILLED:
            codes.append(self.run(way, directory, after=next(delays) if delays else None))
        return codes


def rows(log: ks.Log) -> list[dict[str, Any]]:
    """All numbers and words of the reports of a run, without the maps."""
    found = [to_json(one, leave_out=("maps", "others")) for one in log.reports]
    if log.unit == "batch":
        for row in found:
            row["metrics"] = {k: v for k, v in row["metrics"].items() if "similarity" not in k}
    return found


def outcome(directory: Path, whole: Path) -> str:
    """How the log of a training that was killed differs from that of one that was not."""
    error = directory / "error"
    if error.exists():
        text = error.read_text()
        return text if str(Path(ks.__file__).parent) in text else UNREADABLE
    wrong = wrong_state(directory, whole)
    if wrong:
        return wrong
    logs, expected = ks.read_log(directory / "logs"), ks.read_log(whole / "logs")
    for run, log in logs.items():
        if log.problems:
            return f"{run}: {'; '.join(log.problems)}"
    *earlier, last = sorted(run for run in logs if not run.endswith("_batches"))
    for run in earlier:  # each of a training that was killed before anything was saved
        steps = [report.step for report in logs[run].reports]
        if steps not in ([-1], [-1, 0]):
            return f"split after step {steps[-1]}"
    ours = {run: log for run, log in logs.items() if run in (last, f"{last}_batches")}
    found = {run.replace(last, "saliency"): log for run, log in ours.items()}
    if found.keys() != expected.keys():
        return f"runs {', '.join(logs)}"
    for run, log in expected.items():
        steps = [[report.step for report in one.reports] for one in (found[run], log)]
        if steps[0] != steps[1]:
            return f"{run}: steps {steps[0]} instead of {steps[1]}"
        for one, other in zip(found[run].reports, log.reports, strict=True):
            if not np.array_equal(one.maps, other.maps):
                return f"{run}: other maps at step {one.step}"
        for one, other in zip(rows(found[run]), rows(log), strict=True):
            different = [name for name in other if one[name] != other[name]]
            if different:
                return f"{run}: other {', '.join(different)} at step {one['step']}"
    return EQUAL if last == "saliency" else BEGUN_ANEW


def attempts(arguments: argparse.Namespace, root: Path) -> Iterator[tuple[str, str, int, str]]:
    """Kills and resumes trainings below a directory.

    Yields:
        Of each training: when it was killed, its way, how often it was killed, and the outcome.
    """
    trainings = Trainings(arguments.epochs)
    generator = np.random.default_rng(arguments.seed)
    directories = (root / str(number) for number in itertools.count())
    wholes, seconds = {}, {}
    for way in arguments.ways:
        wholes[way], again = next(directories), next(directories)
        trainings.run(way, wholes[way])
        began = time.perf_counter()
        trainings.run(way, again)  # the first one may have started the server
        seconds[way] = time.perf_counter() - began
        if outcome(again, wholes[way]) != EQUAL:
            raise RuntimeError(f"{way}: two trainings that were not killed differ.")

    def ended(way: str, directory: Path, codes: list[int]) -> tuple[int, str]:
        if codes[-1] not in (ENDED, 1):
            return codes.count(KILLED), f"a process ended with {codes[-1]}"
        return codes.count(KILLED), outcome(directory, wholes[way])

    for way in arguments.ways if arguments.boundaries else ():
        for number in range(0, operations(wholes[way]), arguments.every):
            directory = next(directories)
            first = trainings.run(way, directory, dies_at=number)
            codes = [first, *trainings.until_it_ends(way, directory)]
            yield "an operation", way, *ended(way, directory, codes)
    for way in arguments.ways:
        kills = 0
        while kills * len(arguments.ways) < arguments.random:
            directory = next(directories)
            delays = (generator.uniform(0, seconds[way]) for _ in itertools.count())
            codes = trainings.until_it_ends(way, directory, delays)
            kills += codes.count(KILLED)
            yield "a random moment", way, *ended(way, directory, codes)


def main() -> int:
    """Kills, resumes and compares; returns 1 if a log differs from the uninterrupted one."""
    parser = arguments_of(__doc__)
    parser.add_argument("--random", type=int, default=200, help="kills at random moments")
    parser.add_argument("--boundaries", action="store_true", help="also before each operation")
    parser.add_argument("--every", type=int, default=1, help="of the operations, try each n-th")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    trainings: Counter[tuple[str, str, str]] = Counter()
    kills: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as root:
        for when, way, count, found in attempts(arguments, Path(root)):
            trainings[when, way, found] += 1
            kills[when, way, found] += count
            print(f"killed {count} times, at {when}; {way}: {found}", flush=True)
    rows = [[*key, str(kills[key]), str(trainings[key])] for key in sorted(trainings)]
    is_good = {found for _, _, found in trainings} <= GOOD
    parts = [
        f"{kills.total()} kills of trainings of {arguments.epochs} epochs. {machine()}",
        table(["killed at", "goes on from", "log", "kills", "trainings"], rows),
        "Every training that ended has the log of the uninterrupted one." if is_good else "FAIL",
    ]
    tell("\n\n".join(parts), arguments.out)
    return int(not is_good)


if __name__ == "__main__":
    sys.exit(main())
