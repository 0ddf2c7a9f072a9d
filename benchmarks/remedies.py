"""Does a remedy take a shortcut away, and what does it cost?

    python -m benchmarks.remedies [--seeds 0 1 2] [--kinds tint ...] [--records FILE] [--out FILE]

For every kind of cue of `benchmarks.spurious`, a network is trained on images with the cue, which
tells the class, under a `SaliencyCallback`. Then the remedy of its first alert is put into the
training data, with one line, and the same network is trained on for as many epochs, under the same
callback. If another test raises an alert then, its remedy is added at the next epoch.

A second network has the remedy from the start, for as many epochs as the first one has in all: that
is *anew*.

Images are held out. *Conflict accuracy* is that on images with the cue of another class. A network
trained on images without the cue, from the same weights, and for as many epochs as there were with
the remedy, says what can be reached, on images without the cue. What was lost is its accuracy minus
the conflict accuracy before the remedy; *restored* is the share of it that came back. The *cost* is
its accuracy minus that after the remedy, both on images without the cue. *Withdrawn*: the first
alert was, within five evaluations, and no alert stood at the end.

Records are appended to a file, and runs that are in it are not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_saliency as ks
from benchmarks._models import machine, table, tell
from benchmarks.spurious.artefacts import wrong_codes
from benchmarks.spurious.families import FAMILIES
from benchmarks.spurious.material import (
    BATCH_SIZE,
    artefact_of,
    as_in_training,
    material,
    planted,
    probe_sets,
)
from benchmarks.spurious.networks import EPOCHS, network
from benchmarks.spurious.pictures import Array, ImageSet, dilated
from benchmarks.spurious.plan import Run
from keras_saliency.detection.remedies import takes_place

WITH_MASKS = ("border", "texture", "ground")
"""Kinds that are tried with masks of the objects, too."""

ENOUGH = 0.8
"""The share of the lost conflict accuracy that has to come back."""

WITHDRAWN_WITHIN = 5
"""Evaluations within which an alert has to be withdrawn."""

PATIENCE = 2
"""If the alert still stands after this many further epochs, remedies of the tests that it explains
are added."""


def plan(kinds: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """A run for each kind and seed; grounds are those of shapes."""
    shapes: Mapping[str, Any] = {"domain": "shapes", "contrast": 1.0}
    runs = []
    for kind in kinds:
        settings = shapes if kind == "ground" else {}
        runs += [Run("remedies", kind, seed, **settings) for seed in seeds]
        if kind in WITH_MASKS:
            runs += [Run("remedies", kind, s, watches=("exact",), **settings) for s in seeds]
    return runs


class Remedied:
    """Batches of images and labels, and the remedies of all alerts up to now.

    Args:
        images: Of the training.
        train: The rest of what is known of them.
        run: With exact masks, remedies of backgrounds get them.
    """

    def __init__(self, images: Array, train: ImageSet, run: Run) -> None:
        self._has_masks = "exact" in run.watches
        data = tf.data.Dataset.from_tensor_slices((images, train.labels, dilated(train.objects)))
        self._data = data.shuffle(len(train), run.seed).batch(BATCH_SIZE)
        self.rules: list[str] = []

    def add(self, alert: ks.Alert) -> None:
        """Adds the remedy of an alert."""
        self.rules.append(alert.rule)
        remedy = alert.remedy()
        has_masks = self._has_masks and alert.rule == "background"

        def changed(images: Any, labels: Any, masks: Any) -> tuple[Any, Any, Any]:
            made = remedy(images, training=True, masks=masks if has_masks else None)
            return made, labels, masks

        self._data = self._data.map(changed)

    def add_explained(self, alert: ks.Alert) -> None:
        """Adds the remedies of the tests that an alert explains, if they need no place."""
        for rule in alert.explains:
            name = rule.partition("/")[0]
            if name != "groups" and not takes_place(ks.TESTS[name]) and rule not in self.rules:
                self.add(dataclasses.replace(alert, rule=name, place=None))

    @property
    def data(self) -> tf.data.Dataset:
        """The batches."""
        return self._data.map(lambda images, labels, masks: (images, labels))


def is_standing(watch: ks.SaliencyCallback, rule: str) -> bool:
    """Whether an alert of a test stands."""
    return any(alert.rule == rule and alert.withdrawn is None for alert in watch.alerts)


def accuracies(model: keras.Model, run: Run, test: ImageSet) -> dict[str, float]:
    """On images with the cue of their class, without a cue, and with that of another class."""
    wrong = wrong_codes(test, artefact_of(run), np.random.default_rng([run.seed, 14]))
    sets = {
        "own": as_in_training(run, test, seed=2),
        "clean": test.images,
        "conflict": planted(run, test, wrong),
    }
    return {
        name: float((model.predict(images, 512, 0).argmax(axis=1) == test.labels).mean())
        for name, images in sets.items()
    }


def trained(run: Run, parts: Any, data: Remedied) -> list[dict[str, float]]:
    """What a network reaches that is trained on some data from the start, after E and 2E epochs."""
    train, epochs = parts.train, EPOCHS[run.network]
    model = network(run.network, train.images.shape[1:], train.classes, learns=True, seed=run.seed)
    results = []
    for first in (0, epochs):
        model.fit(data.data, initial_epoch=first, epochs=first + epochs, verbose=0)
        results.append(accuracies(model, run, parts.test))
    return results


def execute(run: Run) -> dict[str, Any]:
    """Makes a run, and returns its record."""
    parts = material(run)
    train, epochs = parts.train, EPOCHS[run.network]
    model = network(run.network, train.images.shape[1:], train.classes, learns=True, seed=run.seed)
    watch = ks.SaliencyCallback(
        probe_sets(run, parts.probes)["exact" if "exact" in run.watches else "nothing"],
        log_dir=None,
        interventions="epoch",
        on_alert=None,
        compute=ks.Compute(batch_size=256),
        verbose=0,
    )
    data = Remedied(as_in_training(run, train, seed=0), train, run)
    model.fit(data.data, epochs=epochs, verbose=0, callbacks=[watch])
    before = accuracies(model, run, parts.test)
    first = [alert for alert in watch.alerts if alert.withdrawn is None]
    if first:
        data.add(first[0])
    for epoch in range(epochs, 2 * epochs):
        if not first:
            break
        model.fit(data.data, initial_epoch=epoch, epochs=epoch + 1, verbose=0, callbacks=[watch])
        for alert in watch.alerts:
            if alert.step == epoch and alert.rule not in data.rules:
                data.add(alert)
        if epoch == epochs + PATIENCE and watch.alerts and is_standing(watch, first[0].rule):
            data.add_explained(first[0])
    withdrawn = next(
        (one.withdrawn for one in watch.alerts if first and one.rule == first[0].rule), None
    )
    return {
        "id": run.id,
        "kind": run.artefact,
        "seed": run.seed,
        "rules": data.rules,
        "standing": [alert.rule for alert in watch.alerts if alert.withdrawn is None],
        "withdrawn_after": None if withdrawn is None else withdrawn - (epochs - 1),
        "before": before,
        "after": accuracies(model, run, parts.test),
        "anew": trained(run, parts, data) if first else None,
        "reached": trained(run, parts, Remedied(train.images, train, run)),
    }


def restored(record: Mapping[str, Any], how: str) -> float:
    """The share of the lost conflict accuracy that came back.

    Args:
        record: Of a run.
        how: `"after"`: the network that went on with the remedy; `"anew"`: one that had it from the
            start, trained for twice as long.
    """
    lost, after = record["reached"][how == "anew"]["clean"], record[how]
    after = after[1] if how == "anew" else after
    before = record["before"]["conflict"]
    return float((after["conflict"] - before) / (lost - before))


def cost(record: Mapping[str, Any], how: str) -> float:
    """What images without the cue cost, in points."""
    after = record[how][1] if how == "anew" else record[how]
    return 100 * float(record["reached"][how == "anew"]["clean"] - after["clean"])


def is_withdrawn(record: Mapping[str, Any]) -> bool:
    """Whether the first alert was withdrawn in time, and no other one stands."""
    count = record["withdrawn_after"]
    return count is not None and count <= WITHDRAWN_WITHIN and not record["standing"]


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """The results as Markdown: a row for each kind, medians over the seeds."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        masks = ", masks" if "exact" in record["id"] else ""
        kinds.setdefault(f"{record['kind']}{masks}", []).append(record)
    alerted = {
        kind: [run for run in runs if run["rules"]]
        for kind, runs in kinds.items()
        if any(run["rules"] for run in runs)
    }
    rows = [_row(kind, runs) for kind, runs in kinds.items()]
    heads = ["cue", "alerts", "alert of", "conflict accuracy (clean training)", "restored"]
    heads += ["anew", "cost in points", "anew", "withdrawn"]
    nothing = {kind: runs for kind, runs in alerted.items() if "masks" not in kind}
    masks = {kind: alerted.get(f"{kind}, masks", runs) for kind, runs in nothing.items()}
    settings = {"given nothing": nothing, "with masks where they were tried": masks}
    summaries = [_summary(name, some) for name, some in settings.items()]
    return "\n\n".join([table(heads, rows), *summaries])


def _row(kind: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    alerted = [run for run in runs if run["rules"]]
    counts = f"{len(alerted)}/{len(runs)}"
    if not alerted:
        return [kind, counts, *["-"] * 7]
    rules = Counter(run["rules"][0] for run in alerted)
    before, after = (
        statistics.median(run[key]["conflict"] for run in alerted) for key in ("before", "after")
    )
    reached = statistics.median(run["reached"][0]["clean"] for run in alerted)
    return [
        *(kind, counts, ", ".join(rules), f"{before:.2f} -> {after:.2f} ({reached:.2f})"),
        *(f"{_median(restored, alerted, how):.0%}" for how in ("after", "anew")),
        *(f"{_median(cost, alerted, how):+.0f}" for how in ("after", "anew")),
        f"{sum(map(is_withdrawn, alerted))}/{len(alerted)}",
    ]


def _median(measure: Any, runs: Sequence[Mapping[str, Any]], how: str) -> float:
    return float(statistics.median(measure(run, how) for run in runs))


def _summary(name: str, kinds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = []
    for how, words in (("after", "going on"), ("anew", "anew")):
        good = sum(_median(restored, runs, how) >= ENOUGH for runs in kinds.values())
        cheap = sum(_median(cost, runs, how) <= 1 for runs in kinds.values())
        parts.append(f"{words}, {ENOUGH:.0%} or more came back in {good} of {len(kinds)} kinds")
        parts.append(f"at a cost of one point or less in {cheap}")
    runs = [run for some in kinds.values() for run in some]
    withdrawn = f"{sum(map(is_withdrawn, runs))} of {len(runs)} alerts were withdrawn in time"
    return f"Kinds with an alert, {name}: {'; '.join([*parts, withdrawn])}."


def main() -> None:
    """Makes the runs that are wanted."""
    parser = argparse.ArgumentParser()
    kinds = [kind for names in FAMILIES.values() for kind in names]
    parser.add_argument("--kinds", nargs="+", default=kinds)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--records", type=Path, default=Path("logs/remedies.jsonl"))
    arguments = parser.parse_args()
    arguments.records.parent.mkdir(parents=True, exist_ok=True)
    lines = arguments.records.read_text().splitlines() if arguments.records.exists() else []
    done = {json.loads(line)["id"] for line in lines}
    for run in plan(arguments.kinds, arguments.seeds):
        if run.id in done:
            continue
        record = execute(run)
        keras.backend.clear_session()
        with arguments.records.open("a") as file:
            file.write(json.dumps(record) + "\n")
        states = [record["before"], record["after"], *(record["anew"] or []), *record["reached"]]
        numbers = "; ".join(f"{one['conflict']:.2f} {one['clean']:.2f}" for one in states)
        print(
            f"{run.id}: {record['rules']} standing {record['standing']} after "
            f"{record['withdrawn_after']}: {numbers}",
            flush=True,
        )
    records = [json.loads(line) for line in arguments.records.read_text().splitlines()]
    seeds = sorted({record["seed"] for record in records})
    tell(f"Seeds {seeds[0]} to {seeds[-1]}. {machine()}\n\n{report(records)}", arguments.out)


if __name__ == "__main__":
    main()
