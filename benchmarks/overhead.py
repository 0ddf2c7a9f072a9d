"""What does it cost to watch? The callback's epoch end against three yardsticks.

    python benchmarks/overhead.py [--rounds N] [--json FILE] [--quick]

For each shape (a model and its probes), in one process:

* *epoch end*: `SaliencyCallback.on_epoch_end`, called through `keras.callbacks.CallbackList` as
  `fit` calls it: gradients, statistics, numbers, the data of the SALIENCY tab, at some epochs
  pictures. It runs with its defaults, but for the interventions, and the filmstrip is as full as
  after many epochs.
* *interventions*: all tests of one evaluation, forward passes on counterfactual images. With the
  default schedule they are made at few of the evaluations.
* *floor*: a bare compiled `tf.function`, the gradient of the same probes' logits in one batch,
  brought to NumPy. No one who wants these gradients can do with less.
* *tutorial*: what tutorials do: an eager `tf.GradientTape`, image by image, and for each image
  a matplotlib figure (image and map, matplotlib's default size) saved as PNG.
* *epoch*: training on 50,000 images, batch 32, Adam, data in memory. Not run to its end: a few
  steps of `fit` are measured, and the median step is multiplied by 1,563.

Images are crops of a photograph that comes with matplotlib, since noise would compress
differently. Every round does all of these in an order drawn anew (seed 0), what is short three
times, so that a load that comes and goes hits all alike. A time in the table is the median over
the rounds, a ratio is the median of the rounds' own ratios.

How to read it: `epoch end / floor` is what the callback adds to the gradients: 1.00 would be
nothing at all; next to it the same of CPU time, of all threads together, with what is written while
the training goes on, which other programs on the machine distort less. Both are of epochs without
pictures, as most are. `all pictures` is the CPU time, also relative to the floor, of an epoch end
with `ks.Pictures(when="epoch", probes=64)`, which draws the most. `tutorial / all pictures` is how
many times dearer the same pictures are the usual way. `epoch end / epoch` is the share of training
time to expect. The breakdown is of an epoch end with all pictures, and has
multiples of the floor: what the callback's own gradient pass costs, the statistics, drawing, and
what encoding and writing add to it. These parts are run one by one and beside the epoch end, so
they sum to it only nearly. Times hold for the machine and versions that are printed; ratios travel
better, yet not everywhere: a GPU shortens the floor and leaves the drawing as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import random
import statistics as medians
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib as mpl
import numpy as np
import PIL
import tensorflow as tf

mpl.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

import keras_saliency as ks
from keras_saliency.detection.state import RunState
from keras_saliency.metrics.catalog import reference, summarize
from keras_saliency.tensorboard.pictures import PictureWriter
from keras_saliency.tensorboard.sink import TensorBoardSink
from keras_saliency.tensorboard.writer_thread import wait_for_writers

Array = np.ndarray[Any, np.dtype[Any]]
Way = Callable[[], float]
"""Does its work once and returns the seconds it took."""

CLASSES = 10
EPOCH_IMAGES = 50_000
BATCH_SIZE = 32
REPEATS = 3
"""How often a round does what is short."""

EPOCHS_BEFORE = 16
"""Epoch ends before the first measured one: by then the filmstrip is full."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is measured: a model, and how many probes are explained."""

    name: str
    build: Callable[[], keras.Model]
    num_probes: int
    train_steps: int


def small_cnn(side: int = 32) -> keras.Model:
    """Four convolutions, as a first model for CIFAR-10 has them."""
    layers = keras.layers
    blocks: list[Any] = []
    for filters in (32, 64):
        for _ in range(2):
            blocks += [layers.Conv2D(filters, 3, padding="same", use_bias=False)]
            blocks += [layers.BatchNormalization(), layers.ReLU()]
        blocks += [layers.MaxPooling2D()]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, activation="softmax")]
    return keras.Sequential([keras.Input((side, side, 3)), *blocks, *head])


def mobilenet() -> keras.Model:
    """MobileNetV2 with random weights."""
    return keras.applications.MobileNetV2((160, 160, 3), weights=None, classes=CLASSES)


SHAPES = (
    Shape("small CNN 32x32, 16 probes", small_cnn, 16, train_steps=30),
    Shape("small CNN 32x32, 64 probes", small_cnn, 64, train_steps=30),
    Shape("small CNN 32x32, 128 probes", small_cnn, 128, train_steps=30),
    Shape("MobileNetV2 160x160, 16 probes", mobilenet, 16, train_steps=4),
)
QUICK = (Shape("small CNN 16x16, 4 probes", lambda: small_cnn(16), 4, train_steps=3),)


def photographs(number: int, side: int) -> tuple[Array, Array]:
    """Crops of one photograph and their labels, the brightness in ten classes of equal size.

    Returns:
        float32 `(number, side, side, 3)` in 0..1, and int `(number,)`.
    """
    path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photograph = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    generator = np.random.default_rng(0)
    tops = generator.integers(photograph.shape[0] - side, size=number)
    lefts = generator.integers(photograph.shape[1] - side, size=number)
    crops = [photograph[y : y + side, x : x + side] for y, x in zip(tops, lefts, strict=True)]
    images = np.stack(crops)
    rank = images.mean(axis=(1, 2, 3)).argsort().argsort()
    return images, rank * CLASSES // number


def timed(work: Callable[[], Any]) -> Way:
    """The way that does this work, whatever it returns."""

    def way() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return way


def floor_gradient(model: keras.Model, probes: ks.ProbeSet) -> Callable[[], Array]:
    """The gradients of the probes' logits and nothing else, compiled, in one batch."""
    head = model.layers[-1]
    body = keras.Model(model.inputs, model.layers[-2].output)
    images, targets = tf.constant(probes.images), tf.constant(probes.targets)

    @tf.function
    def gradient(images: Any, targets: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = body(images, training=False) @ head.kernel + head.bias
            scores = tf.gather(logits, targets, axis=1, batch_dims=1)
        return tape.gradient(scores, images)

    return lambda: np.asarray(gradient(images, targets))


def check_floor(gradients: Array, maps: Array) -> None:
    """Both must compute the same maps, or there is nothing to compare.

    Raises:
        RuntimeError: They don't.
    """
    expected = np.abs(gradients).max(axis=-1)
    difference = np.abs(expected - maps).max() / expected.max()
    if not difference < 1e-3:
        raise RuntimeError(f"floor and callback differ by {difference:.1e} of the largest value")


def tutorial(model: keras.Model, probes: ks.ProbeSet, folder: Path) -> None:
    """Image by image: an eager tape, then a figure to a PNG file."""
    for number, (image, target) in enumerate(zip(probes.images, probes.targets, strict=True)):
        inputs = tf.constant(image[np.newaxis])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = model(inputs, training=False)[:, target]
        gradient = tape.gradient(score, inputs)
        saliency_map = tf.reduce_max(tf.abs(gradient), axis=-1)[0].numpy()
        figure, (left, right) = plt.subplots(1, 2)
        left.imshow(image)
        right.imshow(saliency_map / (saliency_map.max() or 1), cmap="hot")
        left.axis("off")
        right.axis("off")
        figure.savefig(folder / f"{number}.png")
        plt.close(figure)


@dataclasses.dataclass(frozen=True)
class Times:
    """What every way took in every round, by its name; CPU time of the short ones only.

    Attributes:
        passes: Forward passes of the interventions of one evaluation, in images.
    """

    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]
    passes: int = 0


class StepTimes(keras.callbacks.Callback):
    """The seconds from the end of each training step to the end of the next."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._ends.append(time.perf_counter())

    def median(self) -> float:
        return float(np.median(np.diff(self._ends)))


def training_epoch(model: keras.Model, side: int, steps: int) -> Way:
    """Trains a few steps; returns the seconds of an epoch of `EPOCH_IMAGES` at that pace."""
    images, labels = photographs((steps + 1) * BATCH_SIZE, side)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH_SIZE).cache()
    dataset = dataset.prefetch(2)
    times = StepTimes()

    def way() -> float:
        model.fit(dataset, epochs=1, shuffle=False, verbose=0, callbacks=[times])
        return times.median() * -(-EPOCH_IMAGES // BATCH_SIZE)

    return way


class EpochEnd:
    """A `SaliencyCallback` in the middle of a long fit."""

    def __init__(self, model: keras.Model, probes: ks.ProbeSet, log_dir: Path) -> None:
        self.saliency = ks.SaliencyCallback(probes, log_dir=log_dir, interventions=None, verbose=0)
        self._fit = keras.callbacks.CallbackList([self.saliency], model=model, epochs=10**6)
        self._epoch = 0
        self._fit.on_train_begin()
        for _ in range(EPOCHS_BEFORE):
            self.step()

    def step(self) -> float:
        """One epoch end; the seconds it took."""
        self._fit.on_epoch_begin(self._epoch)
        seconds = timed(lambda: self._fit.on_epoch_end(self._epoch, {"loss": 0.0}))()
        self._epoch += 1
        return seconds

    def report(self) -> ks.SaliencyReport:
        """The latest report.

        Raises:
            RuntimeError: There is none.
        """
        if self.saliency.report is None:
            raise RuntimeError("the callback made no report")
        return self.saliency.report

    def close(self) -> None:
        """Ends the fit."""
        self._fit.on_train_end()


class Parts:
    """The parts of an epoch end, one by one, on the callback's latest report."""

    def __init__(self, end: EpochEnd, log_dir: Path) -> None:
        saliency, probes = end.saliency, end.saliency.probes
        self._end = end
        self._probes = probes
        self._first = self._before = reference(end.report(), probes)
        self._monitor = ks.SaliencyMonitor(saliency.model, probes)
        most = ks.Pictures(when="epoch", probes=64)
        self._pictures = PictureWriter(probes, most)
        self._sink = TensorBoardSink(log_dir, probes, pictures=most)
        self._step = self._evaluations = 0
        for _ in range(EPOCHS_BEFORE):
            self.draw()
            self.write()

    def ways(self) -> dict[str, Way]:
        """Each part's way, by its name."""
        return {
            "evaluate": timed(self._evaluate),
            "metrics": self.metrics,
            "draw": self.draw,
            "write": self.write,
        }

    def _evaluate(self) -> ks.SaliencyReport:
        """An evaluation, which is compared with the one before and with the first."""
        self._evaluations += 1
        return self._monitor.evaluate(self._evaluations)

    def metrics(self) -> float:
        """Every metric that an evaluation of these probes computes."""
        report, before = self._end.report(), self._before
        self._before = reference(report, self._probes)
        return timed(lambda: summarize(report, self._probes, previous=before, before=self._first))()

    def passes(self) -> int:
        """How many images the model is asked about by the interventions of one evaluation.

        Raises:
            RuntimeError: There were none.
        """
        found = self._monitor.intervene(self._untested()).interventions
        if found is None:
            raise RuntimeError("no interventions were made")
        return int(found.passes)

    def intervene(self) -> float:
        """All interventions of one evaluation: counterfactual images, answers, p-values."""
        report = self._untested()
        return timed(lambda: self._monitor.intervene(report))()

    def _untested(self) -> ks.SaliencyReport:
        """A report whose state has not been tested: otherwise no test would be made."""
        self._monitor.state = RunState(targets=self._probes.targets)
        return self._monitor.evaluate(0)

    def draw(self) -> float:
        """All pictures of a report, as arrays."""
        return timed(lambda: list(self._pictures.draw(self._next())))()

    def write(self) -> float:
        """All pictures, encoded, and scalars: drawn and written."""
        return timed(lambda: self._sink.write(self._next()))()

    def _next(self) -> ks.SaliencyReport:
        self._step += 1
        return dataclasses.replace(self._end.report(), step=self._step)

    def close(self) -> None:
        """Closes the event file."""
        self._sink.close()


def measure(shape: Shape, rounds: int, folder: Path) -> Times:
    """What every way takes in every round."""
    keras.utils.set_random_seed(0)
    model = shape.build()
    model.compile("adam", "sparse_categorical_crossentropy")
    side = model.input_shape[1]
    probes = ks.ProbeSet(*photographs(shape.num_probes, side))
    train = training_epoch(model, side, shape.train_steps)
    train()
    floor = floor_gradient(model, probes)
    end = EpochEnd(model, probes, folder / "callback")
    check_floor(floor(), end.report().maps)
    parts = Parts(end, folder / "parts")
    tutorial(model, probes, folder)  # matplotlib's first figure is dearer
    passes = parts.passes()  # traces, too
    long = {
        "tutorial": timed(lambda: tutorial(model, probes, folder)),
        "interventions": parts.intervene,
        "epoch": train,
    }
    short = {"floor": timed(floor), "epoch end": end.step, **parts.ways()}
    times = interleaved(long, short, rounds, shape.name)
    end.close()
    parts.close()
    return dataclasses.replace(times, passes=passes)


def interleaved(long: dict[str, Way], short: dict[str, Way], rounds: int, title: str) -> Times:
    """Runs all ways in turn; of the short ones a round's value is the median of its repeats."""
    shuffle = random.Random(0).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in (*long, *short)}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in short}
    for number in range(rounds):
        print(f"\r{title}: round {number + 1} of {rounds} ", end="", file=sys.stderr)
        for name in shuffled(long, shuffle):
            seconds[name].append(long[name]())
        repeats: dict[str, list[tuple[float, float]]] = {name: [] for name in short}
        for _ in range(REPEATS):
            for name in shuffled(short, shuffle):
                began = time.process_time()
                wall = short[name]()
                wait_for_writers()
                repeats[name].append((wall, time.process_time() - began))
        for name, pairs in repeats.items():
            seconds[name].append(medians.median(wall for wall, _ in pairs))
            cpu_seconds[name].append(medians.median(cpu for _, cpu in pairs))
    print(file=sys.stderr)
    return Times(seconds, cpu_seconds)


def shuffled(names: Iterable[str], shuffle: Callable[[list[str]], None]) -> list[str]:
    """The names in a new order."""
    order = list(names)
    shuffle(order)
    return order


def ratio(over: list[float], under: list[float]) -> float:
    """The median of the rounds' own ratios."""
    return medians.median(a / b for a, b in zip(over, under, strict=True))


def difference(left: list[float], right: list[float]) -> list[float]:
    """The rounds' own differences."""
    return [a - b for a, b in zip(left, right, strict=True)]


def total(left: list[float], right: list[float]) -> list[float]:
    """The rounds' own sums."""
    return [a + b for a, b in zip(left, right, strict=True)]


def summarized(times: Times) -> dict[str, dict[str, float]]:
    """Median seconds, ratios, and the epoch end's parts as multiples of the floor."""
    seconds, cpu_seconds = times.seconds, times.cpu_seconds
    floor, end = seconds["floor"], seconds["epoch end"]
    parts = {
        "gradient": difference(seconds["evaluate"], seconds["metrics"]),
        "metrics": seconds["metrics"],
        "drawing": seconds["draw"],
        "encoding and writing": difference(seconds["write"], seconds["draw"]),
    }
    return {
        "median_seconds": {name: medians.median(values) for name, values in seconds.items()},
        "ratios": {
            "epoch end / floor": ratio(end, floor),
            "CPU": ratio(cpu_seconds["epoch end"], cpu_seconds["floor"]),
            "all pictures": ratio(
                total(cpu_seconds["evaluate"], cpu_seconds["write"]), cpu_seconds["floor"]
            ),
            "tutorial / all pictures": ratio(
                seconds["tutorial"], total(seconds["evaluate"], seconds["write"])
            ),
            "epoch end / epoch": ratio(end, seconds["epoch"]),
        },
        "interventions": {
            "passes": times.passes,
            "us a pass": 1e6 * medians.median(seconds["interventions"]) / max(1, times.passes),
            "interventions / epoch": ratio(seconds["interventions"], seconds["epoch"]),
        },
        "parts / floor": {name: ratio(values, floor) for name, values in parts.items()},
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, in columns of one width."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def shown(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The results as three tables: ratios, breakdown, interventions."""
    ratio_rows, part_rows, test_rows = [], [], []
    for name, result in results.items():
        time_of, ratios = result["median_seconds"], result["ratios"]
        ratio_rows.append(
            [name]
            + [f"{1000 * time_of[way]:.0f} ms" for way in ("floor", "epoch end", "tutorial")]
            + [f"{time_of['epoch']:.0f} s"]
            + [f"{ratios[key]:.2f}x" for key in ("epoch end / floor", "CPU", "all pictures")]
            + [f"{ratios['tutorial / all pictures']:.1f}x"]
            + [f"{100 * ratios['epoch end / epoch']:.2g}%"]
        )
        tests = result["interventions"]
        test_rows.append(
            [
                name,
                f"{tests['passes']:.0f}",
                f"{1000 * time_of['interventions']:.0f} ms",
                f"{tests['us a pass']:.0f} us",
                f"{100 * tests['interventions / epoch']:.2g}%",
            ]
        )
        part_rows.append([name] + [f"{value:.2f}x" for value in result["parts / floor"].values()])
    ratio_header = ["shape", "floor", "epoch end", "tutorial", "epoch (extrapolated)"]
    first = next(iter(results.values()))
    return "\n\n".join(
        (
            table(ratio_header + list(first["ratios"]), ratio_rows),
            "Parts of an epoch end with all pictures, as multiples of the floor:",
            table(["shape", *first["parts / floor"]], part_rows),
            "Interventions, at the evaluations that make them:",
            table(["shape", "forward passes", "took", "a pass", "of an epoch"], test_rows),
        )
    )


def machine() -> dict[str, Any]:
    """Where these numbers hold."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "matplotlib": mpl.__version__,
        "pillow": PIL.__version__,
        "keras_saliency": ks.__version__,
    }


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=11, help="measured rounds (default: 11)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--quick", action="store_true", help="one tiny shape: shows that it runs")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds: expected at least 1, received {arguments.rounds}")
    return arguments


def main() -> None:
    """Measures all shapes, prints the tables, writes the JSON."""
    arguments = parse_arguments()
    shapes = QUICK if arguments.quick else SHAPES
    times = {}
    for shape in shapes:
        with tempfile.TemporaryDirectory() as folder:
            times[shape.name] = measure(shape, arguments.rounds, Path(folder))
        keras.backend.clear_session()
    results = {name: summarized(values) for name, values in times.items()}
    found = machine()
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    steps = ", ".join(str(shape.train_steps) for shape in shapes)
    print(
        f"Medians of {arguments.rounds} interleaved rounds. The epoch is extrapolated to "
        f"{EPOCH_IMAGES:,} images from the median of {steps} training steps a round "
        f"(batch {BATCH_SIZE}).\n"
    )
    print(shown(results))
    if arguments.json:
        settings = {"rounds": arguments.rounds, "batch_size": BATCH_SIZE}
        settings |= {"epoch_images": EPOCH_IMAGES, "repeats": REPEATS}
        measured = {
            shape.name: {
                "train_steps_a_round": shape.train_steps,
                **results[shape.name],
                **dataclasses.asdict(times[shape.name]),
            }
            for shape in shapes
        }
        record = {"machine": found, "settings": settings, "shapes": measured}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
