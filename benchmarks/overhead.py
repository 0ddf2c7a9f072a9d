"""What does it cost to watch? The callback's epoch end, compared with the bare gradient.

    python -m benchmarks.overhead [--quick] [--out FILE]

For each model and number of probes, in one process:

* *floor*: a compiled `tf.function` that computes the gradients of the same probes' logits in one
  batch, and brings them to NumPy. No one who wants these gradients can do with less.
* *epoch end*: `SaliencyCallback.on_epoch_end`, called as `fit` calls it, with default pictures and
  without tests: gradients, metrics, scalars, the data of the SALIENCY tab and, at some epochs,
  pictures. Between two epochs all weights change a little.
* *tf-explain*: the epoch end of the callback of that library, which computes the same gradients and
  writes one grey picture of all of them; if it is installed.

They take turns: floor, epoch end, tf-explain, floor, and so on. Epochs are 1 to 20, as they come in
a training. Pictures are drawn at 1, 3, 7 and 15 of these, later ever more rarely; so the
mean over the epochs includes pictures, and the median is an epoch without them.

Times are CPU times of all threads, with what is written while the training goes on. Ratios are
epoch by epoch to the mean of the floors before and after. `waits` is the mean ratio of wall times,
of what the training waits for, if the epoch is longer than what it takes to write. `log` is by how
much the log grows in an epoch. `tests` are forward passes (images) of one round of tests; these are
rare, and not part of an epoch end. In parentheses: the CPU time of the round (from 160 px on, with
tracing), compared with bare passes of as many images. The last layer is fitted to the probes, since
a model that does not know their classes is not tested.

Images are crops of a photograph; weights are random, but for the last layer. Ratios depend less on
the machine than times do, but on a GPU the floor is much lower.

`--quick` takes one small model.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_saliency as ks
from benchmarks import _peers
from benchmarks._epochs import EpochEnds, Seconds, timed
from benchmarks._models import CLASSES, Array, arguments_of, machine, photographs, table, tell
from keras_saliency.detection.state import RunState

SHORTEST = 0.1
"""What is shorter is repeated until it has taken so many seconds."""

LARGE = 160
"""The side of images from which on there is one round of tests only, which traces."""

PASSES = 64
"""Forward passes that are timed, in images: as many as tests make at once, or more."""


def small_cnn(side: int) -> keras.Model:
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


def application(build: Callable[..., keras.Model]) -> Callable[[int], keras.Model]:
    """A model of `keras.applications` for images of a given side."""
    return lambda side: build(input_shape=(side, side, 3), weights=None, classes=CLASSES)


mobilenet = application(keras.applications.MobileNetV2)
resnet = application(keras.applications.ResNet50)


@dataclass(frozen=True)
class Shape:
    """What is measured: a model and how many probes are explained, at how many epochs."""

    name: str
    build: Callable[[int], keras.Model]
    side: int
    num_probes: int
    epochs: int = 20
    has_peer: bool = False


SHAPES = (
    Shape("small CNN", small_cnn, 32, 16, has_peer=True),
    Shape("small CNN", small_cnn, 32, 64, has_peer=True),
    Shape("small CNN", small_cnn, 32, 128, has_peer=True),
    Shape("small CNN", small_cnn, 64, 64, has_peer=True),
    Shape("MobileNetV2", mobilenet, 160, 16, has_peer=True),
    Shape("MobileNetV2", mobilenet, 160, 64),
    Shape("MobileNetV2", mobilenet, 224, 64),
    Shape("ResNet50", resnet, 224, 16),
)
QUICK = (Shape("small CNN", small_cnn, 16, 16, has_peer=True),)


@dataclass
class Ratios:
    """Of something to the floor, epoch by epoch."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def add(self, seconds: Seconds, floors: list[Seconds]) -> None:
        """Adds an epoch, with the floors before and after it."""
        self.cpu.append(seconds.cpu / statistics.mean(floor.cpu for floor in floors))
        self.wall.append(seconds.wall / statistics.mean(floor.wall for floor in floors))


def body_of(model: keras.Model) -> keras.Model:
    """The model without its last layer, which is dense."""
    return keras.Model(model.inputs[0], model.layers[-2].output)


def fit_head(model: keras.Model, images: Array, targets: Array) -> None:
    """Sets the last layer, by least squares, so that the model knows the classes of the images."""
    features = body_of(model).predict(images, verbose=0)
    center = features.mean(axis=0)
    spread = features.std() + np.finfo(np.float32).tiny
    wanted = 10 * np.eye(CLASSES, dtype=np.float32)[targets]
    kernel = np.linalg.lstsq((features - center) / spread, wanted, rcond=1e-4)[0] / spread
    model.layers[-1].set_weights([kernel, -center @ kernel])


def floor_gradient(model: keras.Model, probes: ks.ProbeSet) -> Callable[[], Array]:
    """The gradients of the probes' logits and nothing else, compiled, in one batch."""
    head, body = model.layers[-1], body_of(model)
    images, targets = tf.constant(probes.images), tf.constant(probes.targets)

    @tf.function
    def gradient(images: Any, targets: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = body(images, training=False) @ head.kernel + head.bias
            scores = tf.gather(logits, targets, axis=1, batch_dims=1)
        return tape.gradient(scores, images)

    return lambda: gradient(images, targets).numpy()


def check_floor(gradients: Array, report: ks.SaliencyReport | None) -> None:
    """Checks that both compute the same maps; otherwise there is nothing to compare.

    Raises:
        RuntimeError: They don't.
    """
    expected = np.abs(gradients).max(axis=-1)
    difference = np.nan if report is None else np.abs(expected - report.maps).max() / expected.max()
    if not difference < 1e-3:
        raise RuntimeError(f"floor and callback differ by {difference:.1e} of the largest value")


def tests_of(model: keras.Model, probes: ks.ProbeSet) -> str:
    """Forward passes of a round of tests; the CPU time compared with that of bare passes."""
    monitor = ks.SaliencyMonitor(model, probes)
    if probes.images.shape[1] < LARGE:  # a round of a large model takes longer than tracing
        monitor.intervene(monitor.evaluate(0))
        monitor.state = RunState(targets=probes.targets)  # no state is tested twice
    images = tf.constant(np.resize(probes.images, (PASSES, *probes.images.shape[1:])))
    forward = tf.function(lambda batch: model(batch, training=False))
    forward(images)
    report = monitor.evaluate(0)
    found: list[ks.SaliencyReport] = []
    bare = [timed(lambda: forward(images).numpy(), SHORTEST)]
    seconds = timed(lambda: found.append(monitor.intervene(report)))
    bare.append(timed(lambda: forward(images).numpy(), SHORTEST))
    results = found[0].interventions
    if results is None or not results.passes:
        return "none: accuracy too low"
    one_pass = statistics.mean(one.cpu for one in bare) / PASSES
    return f"{results.passes:,} ({seconds.cpu / (results.passes * one_pass):.1f}x)"


def peer_of(shape: Shape, model: keras.Model, images: Array, folder: Path) -> Any:
    """The epoch end of tf-explain's callback; what the table says in its place if there is none."""
    if not shape.has_peer:
        return ""
    try:
        callback = _peers.tf_explain_callback(images, folder)
    except ImportError:
        return "not installed"
    fit = keras.callbacks.CallbackList([callback], model=model)
    fit.on_epoch_end(0)  # traces
    return fit.on_epoch_end


def row(shape: Shape, folder: Path) -> list[str]:
    """A line of the table."""
    keras.utils.set_random_seed(0)
    model = shape.build(shape.side)
    images = photographs(shape.num_probes, shape.side) / 255
    rank = images.mean(axis=(1, 2, 3)).argsort().argsort()
    targets = rank * CLASSES // shape.num_probes
    fit_head(model, images, targets)
    probes = ks.ProbeSet(images, targets)
    tests = tests_of(model, probes)
    floor = floor_gradient(model, probes)
    ends = EpochEnds(model, probes, folder / "saliency")
    check_floor(floor(), ends.saliency.report)
    peer = peer_of(shape, model, images, folder / "tf_explain")
    before, ours, theirs, floors = ends.num_bytes(), Ratios(), Ratios(), [timed(floor, SHORTEST)]
    for epoch in range(1, shape.epochs + 1):
        print(f"\r{title(shape)}: epoch {epoch} of {shape.epochs} ", end="", file=sys.stderr)
        end = ends.step()
        peer_end = timed(lambda: peer(epoch)) if callable(peer) else None  # noqa: B023
        floors.append(timed(floor, SHORTEST))
        ours.add(end, floors[-2:])
        if peer_end is not None:
            theirs.add(peer_end, floors[-2:])
    print(file=sys.stderr)
    grown = (ends.num_bytes() - before) / shape.epochs
    ends.close()
    return [
        title(shape),
        str(shape.epochs),
        f"{1000 * statistics.mean(one.cpu for one in floors):,.0f} ms",
        f"{statistics.mean(ours.cpu):.2f}x",
        f"{statistics.median(ours.cpu):.2f}x",
        f"{statistics.mean(ours.wall):.2f}x",
        f"{statistics.mean(theirs.cpu):.2f}x" if theirs.cpu else peer,
        f"{grown / 1000:,.0f} KB",
        tests,
    ]


def title(shape: Shape) -> str:
    """The shape in words."""
    return f"{shape.name} {shape.side} px, {shape.num_probes} probes"


def main() -> int:
    """Measures and prints."""
    parser = arguments_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="one small model only")
    options = parser.parse_args()
    rows = []
    for shape in QUICK if options.quick else SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(shape, Path(folder)))
        keras.backend.clear_session()
    header = ["model", "epochs", "floor", "epoch end", "median", "waits", "tf-explain", "log"]
    header += ["tests, passes"]
    about = (
        "Ratios are to the floor, the bare compiled gradient of the same probes in one batch; CPU "
        "time, but for `waits`."
    )
    tell("\n\n".join([about, table(header, rows), machine()]), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
