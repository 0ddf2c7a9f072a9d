"""Does every architecture of keras.applications get right maps? A table of pass or fail.

    python -m benchmarks.applications [--subset ci] [--only MobileNetV2,VGG16] [--out FILE]

Each architecture is built with random weights at the smallest input of 64, 71, 75 or 96
pixels that it allows, in a process of its own, and two probes are explained by four methods in one
monitor: gradient, smoothgrad (4 samples), integrated_gradients (4 steps) and grad_cam. What maps
are held against is computed without this library: the same architecture, built to end in its
logits and given the same weights, and a `tf.GradientTape` in a plain `tf.function`.

A cell passes if both maps are finite, not zero and not constant, and

* gradient: is the tape's (relative L2 difference under 1e-3);
* smoothgrad: is the mean of the tape's at the same noisy copies (under 1e-3);
* integrated_gradients: is the tape's, of four steps (under 1e-3), and complete: the gap to the
  change of the logit is under 5 % at 4 steps, or falls below it with up to 256;
* grad_cam: is the tape's Grad-CAM at the same layer (under 1e-3), which is named.

TensorFlow's graph optimiser is off: it would take longer than the passes. A map that is zero or
constant is a fail, unless the tape's is so as well: then it is what the
model gives, the cell says "dead", and counts as a pass. The exit status is 1 if there is a fail.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_saliency as ks
from benchmarks._models import Array, arguments_of, machine, photographs, table
from keras_saliency.app.explain import applications
from keras_saliency.attributions import METHODS
from keras_saliency.attributions.layer_maps import layer_map
from keras_saliency.attributions.noise import noisy

SIDES = (64, 71, 75, 96)
TARGETS = np.array([3, 7])
TOLERANCE, COMPLETE = 1e-3, 0.05
COLUMNS = ("gradient", "smoothgrad", "integrated_gradients", "grad_cam")
CI = ["MobileNetV2", "MobileNetV3Small", "VGG16", "ResNet50", "InceptionV3", "EfficientNetB0"]
CI += ["ConvNeXtTiny"]


class Reference:
    """The gradients of logits to images, and to a layer, by a tape."""

    def __init__(self, logits: keras.Model) -> None:
        self._logits, self._run = logits, compiled(logits)

    def gradient(self, images: Array) -> Array:
        """`(batch, height, width, channels)`."""
        return np.asarray(self._run(tf.constant(images, tf.float32))[0])

    def smoothgrad(self, images: Array, samples: int) -> Array:
        """The mean over the copies of the method's own defaults."""
        copy = noisy(None, tf.constant(images), samples, 0.15, True, 0)
        return np.mean([self.gradient(copy(tf.constant(k))) for k in range(samples)], axis=0)

    def integrated(self, images: Array, steps: int) -> Array:
        """Integrated gradients from zero, by the midpoint rule."""
        parts = [self.gradient(images * ((k + 0.5) / steps)) for k in range(steps)]
        return images * np.mean(np.asarray(parts, np.float64), axis=0)

    def grad_cam(self, images: Array, layer: str) -> Array:
        """`(batch, height, width)`, enlarged."""
        at = next(one for one in self._logits.operations if one.name == layer)  # or `x + y`
        both = [at.output, self._logits.output]
        run = compiled(keras.Model(self._logits.inputs, both))
        gradients, activations = map(np.asarray, run(tf.constant(images)))
        weights = gradients.mean(axis=(1, 2), keepdims=True)
        cam = np.maximum((weights * activations).sum(axis=-1, keepdims=True), 0)
        return np.asarray(tf.image.resize(cam, images.shape[1:3]))[..., 0]


def compiled(model: keras.Model) -> Any:
    """From images to the gradients of their logits, and to what; a layer if the model gives it."""

    @tf.function(autograph=False)
    def run(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            found = model(images, training=False)
            source, logits = found if isinstance(found, list) else (images, found)
            scores = tf.gather(logits, TARGETS, axis=1, batch_dims=1)
        return tape.gradient(scores, source), source

    return run


def build(name: str) -> tuple[keras.Model, keras.Model, Any]:
    """The architecture, the same ending in its logits, and its preprocessing.

    Raises:
        ValueError: None of the sides is large enough.
    """
    constructor, module = applications()[name]
    for side in SIDES:
        keras.utils.clear_session()
        make = partial(constructor, weights=None, classes=10, input_shape=(side, side, 3))
        try:
            model = make()
        except ValueError:
            if side == SIDES[-1]:
                raise
            continue
        break
    keras.utils.clear_session()  # both count their unnamed layers from 0
    logits = make(classifier_activation=None)
    logits.set_weights(model.get_weights())
    return model, logits, module.preprocess_input


def explain(model: keras.Model, images: Array) -> tuple[dict[str, Array], dict[str, Any]]:
    """The maps by method; the layer of Grad-CAM, its size, and the completeness gap."""
    notes: dict[str, Any] = {}

    def named_grad_cam(score_fn: Any, inputs: Any) -> Any:
        call = layer_map(score_fn, inputs).call
        notes["layer"], notes["size"] = call.path, tuple(call.output.shape[1:3])
        return METHODS["grad_cam"](score_fn, inputs)

    methods: dict[str, Any] = {
        "gradient": "gradient",
        "smoothgrad": partial(METHODS["smoothgrad"], num_samples=4),
        "integrated_gradients": partial(METHODS["integrated_gradients"], num_steps=4),
        "grad_cam": named_grad_cam,
    }
    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(images, TARGETS), method=[*methods.values()])
    report = monitor.evaluate(step=0)
    maps = [report.maps, *report.others.values()]
    notes["gap"] = next(v for k, v in report.metrics.items() if k.startswith("completeness_gap"))
    return dict(zip(methods, maps, strict=True)), notes


def gap(model: keras.Model, images: Array, steps: int) -> float:
    """The completeness gap of integrated gradients with so many steps."""
    method = partial(METHODS["integrated_gradients"], num_steps=steps)
    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(images, TARGETS), method=method)
    return monitor.evaluate(step=0).metrics["completeness_gap"]


def difference(found: Array, expected: Array) -> float:
    """The relative L2 difference; 0 where both are zero."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = np.abs(expected).max() or 1.0  # gradients of 1e-21 have squares, too
    norm = np.linalg.norm(expected / scale) or 1.0
    return float(np.linalg.norm((found - expected) / scale) / norm)


def verdict(found: Array, expected: Array, wrong: str) -> str:
    """`"pass"`, `"pass (dead)"`, or why it is a fail.

    Args:
        found: `(num_probes, height, width)`.
        expected: The tape's.
        wrong: What else is wrong; empty if nothing is.
    """
    if not np.isfinite(found).all():
        return "FAIL: not finite"
    if wrong:
        return f"FAIL: {wrong}"
    flat = np.ptp(found, axis=(1, 2)) == 0
    if not flat.any():
        return "pass"
    if not (np.ptp(expected, axis=(1, 2)) == 0)[flat].all():
        return "FAIL: zero or constant"
    return f"pass ({flat.sum()} dead)"


def examine(name: str, max_steps: int) -> dict[str, str]:
    """The row of one architecture; steps are added until integrated gradients are complete."""
    keras.utils.set_random_seed(0)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    model, logits, preprocess = build(name)
    images = preprocess(photographs(2, model.input_shape[1]))
    reference = Reference(logits)
    maps, notes = explain(model, images)
    expected = {
        "gradient": np.abs(reference.gradient(images)).max(axis=-1),
        "smoothgrad": np.abs(reference.smoothgrad(images, 4)).max(axis=-1),
        "integrated_gradients": np.abs(reference.integrated(images, 4)).max(axis=-1),
        "grad_cam": reference.grad_cam(images, notes["layer"]),
    }
    off = {name: difference(maps[name], expected[name]) for name in COLUMNS}
    wrong = {n: f"differs by {d:.0e}" if d > TOLERANCE else "" for n, d in off.items()}
    gaps, steps = f"gap {notes['gap']:.1%}", 4
    last = notes["gap"]
    while last > COMPLETE and steps < max_steps:
        steps *= 4
        last = gap(model, images, steps)
    if steps > 4:
        gaps += f", {last:.1%} at {steps} steps"
        if last > COMPLETE:
            wrong["integrated_gradients"] += f" incomplete ({gaps})"
    row = {n: verdict(maps[n], expected[n], wrong[n].strip()) for n in COLUMNS}
    row["integrated_gradients"] += f" ({gaps})"
    row["grad_cam"] += f": {notes['layer']} {'x'.join(map(str, notes['size']))}"
    largest = max(off.values())
    side = f"{model.input_shape[1]} px"
    return {"input": side, **row, "largest difference": f"{largest:.0e}"}


def row_of(name: str, max_steps: int) -> list[str]:
    """The row of one architecture, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.applications", "--row", name]
    command += ["--max-steps", str(max_steps)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode == 0:
        return [name, *json.loads(ran.stdout.splitlines()[-1]).values()]
    lines = ran.stderr.strip().splitlines()
    reason = f"FAIL: {lines[-1][:200]}" if lines else f"FAIL: exit status {ran.returncode}"
    return [name, "", *[reason] * len(COLUMNS), ""]


def main() -> int:
    """Examines the architectures one by one and prints the table; returns the exit status."""
    parser = arguments_of(__doc__)
    parser.add_argument("--only", metavar="NAMES", help="these, separated by commas")
    parser.add_argument("--subset", choices=["all", "ci"], default="all", help="ci: seven of them")
    parser.add_argument(
        "--max-steps",
        type=int,
        default=256,
        metavar="N",
        help="of integrated gradients, until they add up; 4: whether they do is told, not judged",
    )
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(examine(arguments.row, arguments.max_steps)))
        return 0
    names = CI if arguments.subset == "ci" else sorted(applications())
    names = arguments.only.split(",") if arguments.only else names
    if unknown := set(names) - set(applications()):
        parser.error(f"--only: no architecture of keras.applications: {sorted(unknown)}")
    header = ["architecture", "input", *COLUMNS, "largest difference"]
    rows: list[list[str]] = []
    for name in names:
        rows = sorted([*rows, row_of(name, arguments.max_steps)])
        fails = sum(cell.startswith("FAIL") for row in rows for cell in row)
        said = f"{len(rows)} architectures, random weights, 2 probes: {fails} fails. {machine()}"
        text = f"{said}\n\n{table(header, rows)}"
        print(f"{len(rows)} of {len(names)}: {name}", file=sys.stderr, flush=True)
        if arguments.out:
            arguments.out.write_text(text + "\n", encoding="utf-8")  # so far
    print(text)
    return int(fails > 0)


if __name__ == "__main__":
    sys.exit(main())
