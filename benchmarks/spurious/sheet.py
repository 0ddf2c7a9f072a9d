"""ImageSet of the data: what the models train on, with the masks that the probes get."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.spurious.material import as_in_training, material
from benchmarks.spurious.pictures import boxes, dilated
from benchmarks.spurious.plan import POSITIVES, REAL_LIFE, Run
from benchmarks.spurious.second_edition import EVERYWHERE, GENERATED, LAYOUTS, SIZES, SOMEWHERE, on

COLUMNS = 12


def draw(path: Path) -> None:
    """Writes a PNG, a row for each kind: three training images of each of four classes.

    Over the first three the exact mask is drawn in green, the rough box in red.
    """
    _draw(path, [*first_edition(), *second_edition()])


def first_edition() -> list[Run]:
    """Digits with each kind, then shapes."""
    runs = [Run("sheet", kind, 0) for kind in (*POSITIVES, *REAL_LIFE)]
    runs += [Run("sheet", "glyph", 0, schedule="never", layout=x) for x in ("fixed", "edge")]
    for layout in ("free", "edge"):
        shape = ("shapes", "never"), ("shapes", "planted")
        runs += [Run("sheet", "ground", 0, *s, contrast=1.0, layout=layout) for s in shape]
        runs += [
            Run("sheet", kind, 0, "shapes", contrast=1.0, layout=layout)
            for kind in ("glyph", "tint", "border")
        ]
    return runs


def second_edition() -> list[Run]:
    """The other domains as they are; then with each kind; then patches of all sizes."""
    layouts = [(domain, x) for domain in GENERATED for x in LAYOUTS.get(domain, ("free",))]
    runs = [Run("sheet", "glyph", 0, d, schedule="never", layout=x) for d, x in layouts]
    runs += [on(GENERATED[n % 5], "sheet", kind, 0) for n, kind in enumerate(EVERYWHERE)]
    runs += [Run("sheet", kind, 0, d, layout=layout) for kind, d, layout in SOMEWHERE]
    places = [(where, size) for where, some in SIZES.items() for size in some]
    runs += [
        Run("sheet", "patch", n, GENERATED[n % 5], size=size, where=where)
        for n, (where, size) in enumerate(places)
    ]
    return [*runs, Run("sheet", "caption", 0, "faces", where="inside")]


def _draw(path: Path, runs: list[Run]) -> None:
    figure, rows = plt.subplots(len(runs), COLUMNS, figsize=(COLUMNS, 1.15 * len(runs)))
    for row, run in zip(rows, runs, strict=True):
        train = material(run).train
        shown = np.linspace(0, train.classes - 1, min(4, train.classes)).astype(int)
        each = COLUMNS // len(shown)
        chosen = np.concatenate([np.flatnonzero(train.labels == x)[:each] for x in shown])
        images = as_in_training(run, train, seed=0)[chosen]
        exact = dilated(train.objects[chosen])
        rough = dilated(boxes(train.objects[chosen]))
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
            axes.axis("off")
        for axes, mask, box in zip(row[:3], exact, rough, strict=False):
            axes.contour(mask, [0.5], colors="lime", linewidths=1)
            axes.contour(box, [0.5], colors="red", linewidths=1)
        kind = f"{run.artefact} {run.where} {run.size or ''}".strip()
        title = f"{run.domain}: {kind}, {run.layout}, {run.schedule}"
        row[0].set_title(title, fontsize=7, loc="left")
    figure.savefig(path, dpi=80, bbox_inches="tight")
    plt.close(figure)
