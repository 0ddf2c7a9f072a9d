"""Whether alerts of series, tables, texts and volumes catch a planted cue, and keep quiet without.

    python -m benchmarks.beyond_images [--first 200] [--runs 20] [--kinds series] [--out FILE]

For each kind of input, small networks are trained with a planted cue and without one. Beside each
run it is measured whether the model relies on the cue: by how much accuracy drops if the probes
get the cue of another class. The rules were chosen on seeds 0 to 19; the committed table is of
seeds 200 to 219.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import keras

import keras_saliency as ks
from benchmarks._models import arguments_of, machine, table, tell
from benchmarks._other_kinds import BATCH, KINDS, Material

RELIES = 0.2
"""A model relies on the cue if accuracy drops by this much without it."""


@dataclass(frozen=True)
class Outcome:
    """What one run showed: the accuracy, the drop, and the tests that alerted."""

    material: Material
    accuracy: float
    drop: float
    alerts: tuple[str, ...]
    effects: dict[str, tuple[float, float]]


def outcome(material: Material, seed: int) -> Outcome:
    """Trains one model with the callback, and asks it about the cue."""
    keras.utils.set_random_seed(seed)
    train, probes = material.train, material.probes
    dtype = "int32" if material.kind == "tokens" else "float32"
    model = keras.Sequential(
        [
            keras.Input(train.inputs.shape[1:], dtype=dtype),
            *material.body(),
            keras.layers.Dense(int(train.labels.max()) + 1, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    probe_set = ks.ProbeSet(
        probes.inputs, probes.labels, kind=material.kind, regions=dict(material.regions)
    )
    saliency = ks.SaliencyCallback(probe_set, log_dir=None, on_alert=None, verbose=0)
    model.fit(
        *(train.inputs, train.labels, BATCH),
        epochs=material.epochs,
        verbose=0,
        callbacks=[saliency],
    )
    accuracies = [
        float((model.predict(part.inputs, verbose=0).argmax(axis=1) == part.labels).mean())
        for part in (probes, material.swapped)
    ]
    alerts = tuple(alert.rule for alert in saliency.alerts if alert.withdrawn is None)
    effects = {e.test: (e.effect, e.control) for e in saliency.effects[-1][1]}
    keras.backend.clear_session()
    return Outcome(material, accuracies[0], accuracies[0] - accuracies[1], alerts, effects)


def rows_of(kind: str, seeds: range) -> list[list[str]]:
    """The rows of the table: one for each cue, and one for the runs without."""
    by_cue: dict[str, list[Outcome]] = {}
    for seed in seeds:
        for is_planted in (True, False):
            material = KINDS[kind](seed, is_planted)
            found = outcome(material, seed)
            by_cue.setdefault(material.cue, []).append(found)
            effects = {t: tuple(round(v, 2) for v in pair) for t, pair in found.effects.items()}
            print(
                f"{kind} {seed}: {material.cue}; accuracy {found.accuracy:.2f}, drop "
                f"{found.drop:.2f}; {found.alerts} {effects}",
                file=sys.stderr,
                flush=True,
            )
    rows = []
    for cue, outcomes in sorted(by_cue.items(), key=lambda item: item[0].startswith("none")):
        relying = [one for one in outcomes if one.drop >= RELIES]
        caught = [one for one in relying if one.alerts]
        named = [one for one in relying if one.alerts == (one.material.expected,)]
        others = [one for one in outcomes if one.drop < RELIES and one.alerts]
        counts = [str(len(some)) for some in (relying, caught, named, others)]
        accuracy, drop = (
            f"{sum(values) / len(values):.2f}"
            for values in ([one.accuracy for one in outcomes], [one.drop for one in outcomes])
        )
        if cue.startswith("none"):
            drop, counts[:3] = "-", ["-"] * 3
        rows.append([kind, cue, str(len(outcomes)), accuracy, drop, *counts])
    return rows


HEADER = [
    *("kind", "cue", "runs", "accuracy", "drop without the cue", "runs that rely on it"),
    *("of these with an alert", "with exactly the alert of the cue", "alerts of other runs"),
]


def main() -> None:
    """Runs all kinds and prints the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("--first", type=int, default=200, help="the first seed")
    parser.add_argument("--runs", type=int, default=20, help="seeds per kind")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=[*KINDS])
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.runs)
    rows = [row for kind in arguments.kinds for row in rows_of(kind, seeds)]
    text = f"Seeds {seeds[0]} to {seeds[-1]}. {machine('scikit-learn')}"
    tell(f"{text}\n\n{table(HEADER, rows)}", arguments.out)


if __name__ == "__main__":
    main()
