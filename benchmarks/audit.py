"""Whether the audit names planted cues before training, and is quiet without one.

    python -m benchmarks.audit [--seeds 40 45] [--out FILE]

Makes the probes of the runs of `benchmarks/spurious`, and trains nothing. Floors were chosen on the
seeds 0 to 4. *Found*: the audit has a finding. *Named*: a test that watches a finding is one of
those that name the kind rightly (`benchmarks/spurious/families.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Iterable, Iterator

import numpy as np

import keras_saliency as ks
from benchmarks._models import arguments_of, machine, table, tell
from benchmarks._other_kinds import features
from benchmarks.spurious.families import FAMILIES, NAMES, family, is_full_strength
from benchmarks.spurious.material import as_in_training, material
from benchmarks.spurious.pictures import ImageSet
from benchmarks.spurious.plan import Run, kinds, real_life, second_domain
from benchmarks.spurious.second_edition import (
    GENERATED,
    controls,
    everywhere,
    settings,
    sizes,
    somewhere,
    unique,
)
from keras_saliency.detection.audit import Audit

DOMAINS = ("digits", *GENERATED)
PHOTOGRAPHS = "textures, free"
SIZES = ((32, 10), (64, 10), (224, 10), (32, 40), (32, 100))
"""Sides of images, and numbers of classes, for which audits are timed."""

TABLES = range(300, 350)
"""Seeds of tables; the rule for columns was chosen on others."""

NUM_PROBES = 256


def runs(seeds: range) -> list[Run]:
    """Cues at full strength, and runs without a cue, each set of probes once."""
    found = []
    for seed in seeds:
        one = range(seed, seed + 1)
        planted = [
            *everywhere(one, DOMAINS),
            *everywhere(range(seed + 1, seed + 2), DOMAINS, rho=0.95),
            *somewhere(one),
            *sizes(one, DOMAINS),
            *kinds(one),
            *second_domain(one),
            *real_life(one),
            *settings(one),
        ]
        idle = [
            *controls(one),
            *everywhere(range(seed + 3, seed + 4), DOMAINS, rho=0),
            *sizes(range(seed + 2, seed + 3), DOMAINS, rho=0),
        ]
        found += [dataclasses.replace(run, seed=seed) for run in planted + idle]
    return [
        run
        for run in unique(map(data_only, found))
        if is_clean(run) or is_full_strength(dataclasses.asdict(run))
    ]


def data_only(run: Run) -> Run:
    """The run with the same probes, without all that is about training."""
    if run.schedule == "never":  # what it measures by is not in its probes, except for its colours
        kind = "colour" if run.artefact == "colour" else "glyph"
        run = dataclasses.replace(run, artefact=kind, size=0.0, where="")
    fields = ("domain", "layout", "rho", "amplitude", "contrast", "noise", "labels", "probes")
    kept = {name: getattr(run, name) for name in (*fields, "size", "where", "label_noise")}
    schedule = "never" if run.schedule == "never" else "planted"
    return Run("data", run.artefact, run.seed, schedule=schedule, **kept)


def is_clean(run: Run) -> bool:
    """Whether nothing is planted, or what is planted means nothing."""
    return run.schedule == "never" or run.rho == 0


@functools.lru_cache(maxsize=40)
def probes_of(run: Run) -> ImageSet:
    """The probes of a run without an artefact."""
    return material(run).probes


def audited(run: Run) -> Audit:
    """The audit of a run's probes."""
    kind = "colour" if run.artefact == "colour" else "glyph"
    plain = dataclasses.replace(
        run, artefact=kind, rho=1.0, amplitude=1.0, schedule="planted", size=0.0, where=""
    )
    pictures = probes_of(plain)
    return ks.audit(ks.ProbeSet(as_in_training(run, pictures, seed=1), pictures.labels))


def share(count: int, total: int) -> str:
    return f"{count}/{total} ({count / total:.0%})" if total else "-"


def by_kind(made: Iterable[tuple[Run, Audit]]) -> Iterator[list[str]]:
    """A line for each kind of cue, and one for each family."""
    planted = [(run, audit) for run, audit in made if not is_clean(run)]
    for name, members in FAMILIES.items():
        groups = [(kind, (kind,)) for kind in members] + [(f"all: {name}", members)]
        for label, group in groups:
            some = [(run, audit) for run, audit in planted if run.artefact in group]
            if not some:
                continue
            named = sum(not set(audit.tests).isdisjoint(NAMES[r.artefact]) for r, audit in some)
            found = sum(bool(audit.findings) for _, audit in some)
            yield [label, share(found, len(some)), share(named, len(some))]
    seen = [(run, audit) for run, audit in planted if family(run.artefact) != "other"]
    found = sum(bool(audit.findings) for _, audit in seen)
    named = sum(not set(audit.tests).isdisjoint(NAMES[run.artefact]) for run, audit in seen)
    yield ["all but other", share(found, len(seen)), share(named, len(seen))]


def by_domain(made: Iterable[tuple[Run, Audit]]) -> Iterator[list[str]]:
    """A line for each domain and layout: false findings, and which readings they are of."""
    clean = [(f"{run.domain}, {run.layout}", audit) for run, audit in made if is_clean(run)]
    names = sorted({domain for domain, _ in clean})
    groups = [(name, [name]) for name in names]
    groups.append(("all but photographs", [name for name in names if name != PHOTOGRAPHS]))
    groups.append(("all", names))
    for label, members in groups:
        some = [audit for domain, audit in clean if domain in members]
        count = sum(bool(audit.findings) for audit in some)
        of: dict[str, int] = {}
        for audit in some:
            for reading in audit.findings:
                of[reading.name] = of.get(reading.name, 0) + 1
        told = ", ".join(f"{name} {number}" for name, number in sorted(of.items()))
        yield [label, share(count, len(some)), told]


def of_columns() -> Iterator[list[str]]:
    """Tables with a leaked column, and without."""
    for label, is_planted in (("with a leaked column", True), ("without", False)):
        parts = [features(seed, is_planted).probes for seed in TABLES]
        sets = [ks.ProbeSet(part.inputs, part.labels, kind="features") for part in parts]
        yield [label, share(sum(bool(ks.audit(probes).findings) for probes in sets), len(sets))]


def seconds(side: int, num_classes: int, is_planted: bool) -> list[str]:
    """How long an audit takes: the median of three."""
    rng = np.random.default_rng(0)
    images = rng.random((NUM_PROBES, side, side, 3), np.float32)
    labels = np.arange(NUM_PROBES) % num_classes
    if is_planted:
        images[:, 0] = labels[:, np.newaxis, np.newaxis] / num_classes  # the top row
    probes = ks.ProbeSet(images, labels)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        ks.audit(probes)
        taken.append(time.perf_counter() - began)
    cue = "a cue" if is_planted else "noise"
    return [f"{side} x {side} x 3, {num_classes} classes, {cue}", f"{np.median(taken):.1f} s"]


def main() -> int:
    """Audits, and prints the tables."""
    parser = arguments_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(40, 45), help="first, and end")
    arguments = parser.parse_args()
    planned = runs(range(*arguments.seeds))
    made = []
    for number, run in enumerate(planned, 1):
        made.append((run, audited(run)))
        if number % 100 == 0:
            print(f"[{number}/{len(planned)}]", file=sys.stderr, flush=True)
    first, end = arguments.seeds
    parts = [
        f"Seeds {first} to {end - 1}: {len(made)} sets of probes. {machine()}",
        "Planted cues at full strength:",
        table(["cue", "found", "named"], [*by_kind(made)]),
        "Without a cue:",
        table(["images", "false findings", "of the readings"], [*by_domain(made)]),
        f"{NUM_PROBES} probes:",
        table(
            ["images", "an audit takes"],
            [seconds(*size, planted) for size in SIZES for planted in (False, True)],
        ),
        "Tables (`benchmarks/_other_kinds.py`):",
        table(["tables", "found"], [*of_columns()]),
    ]
    tell("\n\n".join(parts), arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
