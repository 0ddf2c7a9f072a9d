"""What does each method cost, here and elsewhere? Times as multiples of the least possible.

    pip install -e '.[peers]'
    python -m benchmarks.methods [--rounds N] [--model NAME] [--out FILE]

The same model (it ends in its logits) and the same 16 images, in one process for each library. The
floor is a bare compiled `tf.function` that passes all images through the model at once, times the
passes of the method: with the gradient to the input, or forward only for class activation maps and
occlusion (a class activation map also has a gradient to its layer; the floor leaves it out). Every
round asks all libraries for all methods, one after the other, in an order drawn anew, and for the
floor before and after them; a cell is the median of the rounds' own ratios. Times are CPU times of
all threads, which other programs on the machine distort less. Methods with several passes make 24
of them on the CNN and 8 on MobileNetV2; occlusion covers 4 x 4 places that don't overlap. This
library also gives the score and the prediction of every image, which costs a forward pass, and for
integrated gradients the completeness gap, which costs one more. Every method was called once
before: compilation is not counted, but a library that compiles anew at each call pays each time.

A dash: the library does not have the method, or none that compares. Peak memory is that of the
library's process with all its methods called; in brackets, when the model had been built.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import keras
import numpy as np

from benchmarks._models import CLASSES, arguments_of, cnn, machine, photographs, table, tell
from benchmarks._peers import GRID, LIBRARIES

NUM_PROBES = 16
MODELS = {"CNN 32 px": (32, 24), "MobileNetV2 160 px": (160, 8)}
"""By name, the side of the images, and the passes of methods that make several."""

BACKWARD = ("gradient", "input_x_gradient")
SEVERAL = ("smoothgrad", "smoothgrad_squared", "vargrad", "integrated_gradients")
SEVERAL = (*SEVERAL, "expected_gradients")
FORWARD = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "hires_cam")


def costs(name: str) -> dict[str, tuple[int, str]]:
    """By method, how many passes of which kind a model makes."""
    return {
        **dict.fromkeys(BACKWARD, (1, "backward")),
        **dict.fromkeys(SEVERAL, (MODELS[name][1], "backward")),
        **dict.fromkeys(FORWARD, (1, "forward")),
        "occlusion": (GRID**2 + 1, "forward"),
    }


def build(name: str) -> keras.Model:
    """A model with random weights that ends in its logits."""
    keras.utils.set_random_seed(0)
    side, _ = MODELS[name]
    if name.startswith("CNN"):
        model = cnn((side, side, 3), widths=(32, 64, 64))
        model.layers[-1].activation = keras.activations.linear
        return keras.Model(model.inputs, model.outputs)  # tf-keras-vis takes no Sequential
    return keras.applications.MobileNetV2(
        (side, side, 3), weights=None, classes=CLASSES, classifier_activation=None
    )


def peak() -> float:
    """The most memory this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(library: str, name: str) -> None:
    """A library's process: told a method, it answers with CPU seconds, or with what went wrong."""
    model, (side, passes) = build(name), MODELS[name]
    images = photographs(NUM_PROBES, side) / 127.5 - 1
    before, answers = peak(), sys.stdout
    sys.stdout = sys.stderr  # for what libraries print
    try:
        targets = np.arange(NUM_PROBES) % CLASSES
        ways = LIBRARIES[library](model, images, targets, passes)
        known: dict[str, Any] = {"ways": [*ways]}
    except Exception as error:  # whatever a peer stumbles over is told in the table
        ways, known = {}, {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(known), file=answers, flush=True)
    for line in sys.stdin:
        method = line.strip()
        began = time.process_time()
        try:
            ways[method]()
            answer: dict[str, Any] = {"seconds": time.process_time() - began}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answer |= {"before": before, "peak": peak()}
        print(json.dumps(answer), file=answers, flush=True)


class Library:
    """A library in a process of its own."""

    def __init__(self, library: str, name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.methods", "--worker", library, "--model", name]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self.seconds: dict[str, list[float]] = {}
        self.errors: dict[str, str] = {}
        self.memory = (0.0, 0.0)
        known = self._answer()
        self.error = str(known.get("error", ""))
        self.ways = list(known.get("ways", []))
        for method in self.ways:
            self.run(method)
        self.seconds = {method: [] for method in self.ways if method not in self.errors}

    def run(self, method: str) -> None:
        """Runs a method once, and notes the CPU seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(method + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            self.errors[method] = answer["error"]
        else:
            self.seconds.setdefault(method, []).append(answer["seconds"])
        self.memory = (answer.get("before", 0.0), answer.get("peak", 0.0))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line else {"error": "the process ended"}

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def measure(name: str, rounds: int) -> dict[str, Library]:
    """Every library, after all rounds."""
    libraries = {library: Library(library, name) for library in LIBRARIES}
    shuffle = random.Random(0).shuffle
    for number in range(rounds):
        print(f"{name}: round {number + 1} of {rounds}", file=sys.stderr)
        for method, (_, kind) in costs(name).items():
            floor = libraries["floor"]
            order = [one for one in libraries.values() if method in one.seconds and one != floor]
            shuffle(order)
            for library in [floor, *order, floor]:
                library.run(kind if library is floor else method)
            around = statistics.mean(floor.seconds[kind][-2:])
            floor.seconds.setdefault(method, []).append(around)
    for library in libraries.values():
        library.close()
    return libraries


def shown(libraries: dict[str, Library], name: str) -> str:
    """The ratios, the memory, and what went wrong."""
    floor = libraries["floor"].seconds
    rows = []
    for method, (passes, kind) in costs(name).items():
        row = [method, f"{passes} {kind}"]
        for key, library in libraries.items():
            if key == "floor":
                continue
            if taken := library.seconds.get(method):
                ratios = [a / b / passes for a, b in zip(taken, floor[method], strict=True)]
                row.append(f"{statistics.median(ratios):.2f}")
            else:
                row.append("fails" if method in library.errors else "-")
        rows.append(row)
    header = ["method", "passes", *(key for key in libraries if key != "floor")]
    memory = ["peak memory (of it the model)", ""]
    for key, library in libraries.items():
        if key != "floor":
            before, most = library.memory
            memory.append(f"{most:.0f} ({before:.0f}) MiB" if most else "-")
    lines = [table(header, [*rows, memory]), ""]
    for key, library in libraries.items():
        wrong = {"": library.error} if library.error else library.errors
        lines += [
            f"* {key} {method}: {text.splitlines()[0][:160]}" for method, text in wrong.items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Measures every model, prints a table for each."""
    parser = arguments_of(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds (default: 7)")
    parser.add_argument("--model", choices=[*MODELS], help="this one only")
    parser.add_argument("--worker", choices=[*LIBRARIES], help="run as a library's process")
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.model)
        return
    parts = [
        f"CPU time / floor, {NUM_PROBES} images, medians of {arguments.rounds} interleaved rounds."
    ]
    parts[0] += f" {machine()}"
    for name in [arguments.model] if arguments.model else MODELS:
        parts += [f"## {name}", shown(measure(name, arguments.rounds), name)]
    tell("\n\n".join(parts), arguments.out)


if __name__ == "__main__":
    main()
