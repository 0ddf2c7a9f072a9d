"""Does a map change when the model forgets what it learned? The model randomisation test.

    python -m benchmarks.randomization [--seeds N] [--out FILE]

A small network is trained, and its maps of 16 unseen probes are compared with those of the same
network after weights were drawn anew: of the last layer, of the upper half of the layers with
weights (cascading from the top, as in Adebayo et al., arXiv:1810.03292), of all. What is compared
is the ranking of places: Spearman's correlation of two saliency maps (non-negative), averaged over
probes, seeds and models. A method that shows what a model learned is near 0 when all weights are
random. Two more columns give the scale: "trained anew" is the same network trained from another
seed, which a useful map may resemble; "with |x|" compares the trained model's map to the size of
the input values, that is, with a map that no model was asked for. "dead" is the share of maps that
are constant, in all states, and have no ranking; they are left out of the means.

A last layer that was drawn anew makes every class another: a map that hardly changes then does not
show the class, whatever else it shows. Guided backpropagation is not in this library. It is made
here, by a ReLU with a gradient of its own, to show why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import spearmanr

import keras_saliency as ks
from benchmarks._models import (
    Array,
    Trained,
    arguments_of,
    cnn,
    digits,
    digits_on_photographs,
    machine,
    plain_cnn,
    table,
    tell,
    trained,
)
from keras_saliency.attributions import METHODS

GUIDED, INPUT = "guided backpropagation", "|x|"
STATES = ("last layer", "upper half", "all", "trained anew")
UNFIT = 0.5
"""At this correlation between trained and random weights a map says more of the image than of
what was learned."""

Build = Callable[[tuple[int, int, int]], keras.Model]
CASES: dict[str, tuple[Build, Callable[[], tuple[Array, Array]]]] = {
    "CNN with batch norm, digits on black": (cnn, digits),
    "CNN with batch norm, digits on photographs": (cnn, digits_on_photographs),
    "CNN without, digits on photographs": (plain_cnn, digits_on_photographs),
}


@tf.custom_gradient
def guided_relu(inputs: Any) -> Any:
    """A ReLU that hands back positive gradients only."""
    outputs = tf.nn.relu(inputs)
    return outputs, lambda upstream: tf.nn.relu(upstream) * tf.cast(inputs > 0, inputs.dtype)


def guided(model: keras.Model) -> keras.Model:
    """The same model with guided ReLUs; it has weights of its own."""
    copy = keras.models.clone_model(model)
    for layer in copy.layers:
        if getattr(layer, "activation", None) is keras.activations.relu:
            layer.activation = guided_relu
    return copy


def states(subject: Trained, other: Trained, fresh: keras.Model) -> dict[str, list[Array]]:
    """The weights of the trained model, and with ever more of them drawn anew."""
    learned, drawn = subject.model.get_weights(), fresh.get_weights()
    counts = [len(layer.weights) for layer in subject.model.layers if layer.weights]
    kept = {"last layer": len(counts) - 1, "upper half": len(counts) // 2, "all": 0}
    found = {"trained": learned}
    for state, layers in kept.items():
        boundary = sum(counts[:layers])
        found[state] = [*learned[:boundary], *drawn[boundary:]]
    return found | {"trained anew": other.model.get_weights()}


def maps_of(subject: Trained, weights: dict[str, list[Array]]) -> dict[str, dict[str, Array]]:
    """By method and state, `(num_probes, height, width)`."""
    probes = ks.ProbeSet(subject.images, subject.targets)
    unlike = guided(subject.model)
    monitor = ks.SaliencyMonitor(subject.model, probes, method=[*METHODS])
    watcher = ks.SaliencyMonitor(unlike, probes)
    found: dict[str, dict[str, Array]] = {name: {} for name in (*METHODS, GUIDED, INPUT)}
    for state, values in weights.items():
        subject.model.set_weights(values)
        unlike.set_weights(values)
        report = monitor.evaluate(step=0)
        for name, maps in {next(iter(METHODS)): report.maps, **report.others}.items():
            found[name][state] = maps
        found[GUIDED][state] = watcher.evaluate(step=0).maps
        found[INPUT][state] = np.abs(subject.images).max(axis=-1)
    subject.model.set_weights(weights["trained"])
    return found


def correlations(first: Array, second: Array) -> list[float]:
    """Spearman's correlation for each probe; `nan` where a map is constant."""
    pairs = [(a.ravel(), b.ravel()) for a, b in zip(first, second, strict=True)]
    return [float(spearmanr(a, b)[0]) if np.ptp(a) * np.ptp(b) else np.nan for a, b in pairs]


def compare(case: str, num_seeds: int) -> tuple[dict[str, dict[str, list[float]]], list[float]]:
    """By method and column, one correlation for each probe and seed; and the accuracies."""
    build, load = CASES[case]
    data = load()
    subjects = [trained(build, data, seed=seed) for seed in range(num_seeds + 1)]
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(num_seeds):
        subject = subjects[seed]
        keras.utils.set_random_seed(1000 + seed)
        weights = states(subject, subjects[seed + 1], build(data[0].shape[1:]))
        for name, maps in maps_of(subject, weights).items():
            row = found.setdefault(name, {})
            for state in STATES:
                row.setdefault(state, []).extend(correlations(maps["trained"], maps[state]))
            size = np.abs(subject.images).max(axis=-1)
            row.setdefault("with |x|", []).extend(correlations(maps["trained"], size))
            dead = [float(np.ptp(one) == 0) for state in maps.values() for one in state]
            row.setdefault("dead", []).extend(dead)
    return found, [subject.accuracy for subject in subjects]


def shown(found: dict[str, dict[str, list[float]]]) -> str:
    """The table, the methods that change most on top."""
    rows = []
    for name, row in sorted(found.items(), key=lambda item: float(np.nanmean(item[1]["all"]))):
        means = [f"{np.nanmean(values):.2f}" for key, values in row.items() if key != "dead"]
        verdict = "unfit" if np.nanmean(row["all"]) >= UNFIT else ""
        rows.append([name, *means, f"{np.mean(row['dead']):.0%}", verdict])
    return table(["method", *STATES, "with |x|", "dead", "as a monitor"], rows)


def main() -> None:
    """Trains, compares, prints a table for each model and one for all."""
    parser = arguments_of(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of a model (default: 3)")
    arguments = parser.parse_args()
    every: dict[str, dict[str, list[float]]] = {}
    sections = []
    for case in CASES:
        found, accuracies = compare(case, arguments.seeds)
        for name, row in found.items():
            for key, values in row.items():
                every.setdefault(name, {}).setdefault(key, []).extend(values)
        told = f"accuracy {min(accuracies):.2f} to {max(accuracies):.2f}"
        sections.append(f"{case} ({told}):\n\n{shown(found)}")
    kept = {name: np.nanmean(row["last layer"]) for name, row in every.items()}
    ranked = sorted(kept, key=lambda name: -kept[name])
    ranked = [f"{name} ({kept[name]:.2f})" for name in ranked if name != INPUT]
    parts = [
        f"Spearman's correlation of maps with those of the trained model; {arguments.seeds} seeds, "
        f"16 probes. {machine('scipy')}",
        f"All models:\n\n{shown(every)}",
        f"Unfit: {UNFIT} or more remains of the ranking when all weights are random. What remains "
        f"when only the last layer is, from most to least: {', '.join(ranked)}.",
        *sections,
    ]
    tell("\n\n".join(parts), arguments.out)


if __name__ == "__main__":
    main()
