"""The runs: what is trained on what, and what it is there to show."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

POSITIVES = (
    "glyph",
    "gray",
    "rglyph",
    "tag1",
    "border",
    "tint",
    "colour",
    "texture",
    "hf",
    "watermark",
    "pair",
)
REAL_LIFE = ("square", "banner", "label", "stamp", "border1", "tint1")
REAL_LIFE += ("resolution", "blur", "noise", "compression", "aspect")
GRID = ("glyph", "gray", "rglyph", "tint", "hf")
WATCHES = ("nothing", "exact", "box", "region", "few")


@dataclass(frozen=True)
class Run:
    """One training and all that is asked about it.

    Attributes:
        group: What it is there for: `"N1"`..`"N13"` (a negative control), `"kinds"`, `"sizes"`,
            `"settings"`, `"grid"`, `"real life"`, or `"ablation"`. Whether a run is a negative is
            decided by what it measures.
        artefact: A key of `artefacts.ARTEFACTS`, `"patch"` or `"caption"`. Where it is never
            planted, the truth is still measured by it.
        seed: Of data, artefact, weights and order.
        domain: `"digits"`, `"shapes"`, `"letters"`, `"garments"`, `"scans"`, `"faces"` or
            `"textures"`.
        schedule: `"planted"`; `"never"`; `"late"`, from the fifth epoch; `"swapped"`: planted,
            but in training its code is drawn anew for each image and epoch; or `"gone"`: planted
            until the fifth epoch, from then on swapped.
        rho: How often the code is the label; else it is any.
        amplitude: Strength of the artefact; 1 is full.
        contrast: Of the object; the lower, the harder, and the more tempting the artefact.
        noise: Standard deviation of the noise.
        layout: `"free"`; `"fixed"`, digits or lesions all in one place; `"jittered"`, lesions
            near one place; `"edge"`, digits on a canvas that they fill, shapes that reach over
            the edge, faces of which the hair is the class; `"object"`, shapes on photographs.
        labels: `"true"` or `"shuffled"`.
        network: `"dense"`, `"gap"` or `"frozen"`, a new head on a trained body.
        learns: If false, the learning rate is 0.
        probes: `"held out"` or `"trained"`: images the model is trained on.
        region: Which place is named to the callback, where the artefact has a place: its own,
            `"planted"`, or of its size `"elsewhere"` (the opposite corner), `"random"`.
        maps: `"gradient"`; `"noise"`, random numbers in their stead; `"coarse"`, cells of 5 px.
        watches: What else watches the training, beside a callback whose probes have neither masks
            nor regions: one with `"exact"` masks, the object and a pixel around it; one with the
            upright `"box"` of that, which makes the test of the background alone; one with a
            named `"region"`, which makes the test of it alone; one with `"few"` probes.
        without: A part of the tests that is switched off: `""` or `"control"`. Those that can be
            left out of what was recorded are in `ablations`.
        epochs: How long; 0 is the network's own number.
        size: How much of the image a patch or a caption covers; 0 is its usual size.
        where: Where a patch or a caption is: `"corner"`, `"inside"`, `"edge"` or `"side"`.
        imbalance: How many times as many training images the lower half of the classes has.
        label_noise: Share of wrong labels in training and probes. The artefact tells the label,
            right or wrong.
        augment: Whether training images are moved, flipped and made brighter or darker at random.
    """

    group: str
    artefact: str
    seed: int
    domain: str = "digits"
    schedule: str = "planted"
    rho: float = 1.0
    amplitude: float = 1.0
    contrast: float = 0.5
    noise: float = 0.12
    layout: str = "free"
    labels: str = "true"
    network: str = "dense"
    learns: bool = True
    probes: str = "held out"
    region: str = "planted"
    maps: str = "gradient"
    watches: tuple[str, ...] = ()
    without: str = ""
    epochs: int = 0
    size: float = 0.0
    where: str = ""
    imbalance: int = 1
    label_noise: float = 0.0
    augment: bool = False

    @property
    def id(self) -> str:
        """Group, artefact, seed, and whatever differs from the defaults."""
        parts = [self.group, self.artefact, f"seed={self.seed}"]
        for field in dataclasses.fields(self)[3:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown = "+".join(value) if isinstance(value, tuple) else value
                parts.append(f"{field.name}={shown}")
        return " ".join(parts)


def negatives(seeds: range) -> list[Run]:
    """The controls N1 to N10 on digits: nothing here is a shortcut that was learned."""
    runs = []
    for seed in seeds:
        runs += [
            Run("N1", "glyph", seed, schedule="never"),
            Run("N1", "glyph", seed, schedule="never", network="gap"),
            Run("N1", "glyph", seed, schedule="never", probes="trained"),
            Run("N2", "glyph", seed, rho=0),
            Run("N2", "glyph", seed, rho=0, network="gap"),
            Run("N2", "rglyph", seed, rho=0),
            Run("N2", "tag1", seed, rho=0),
            Run("N2", "border", seed, rho=0),
            Run("N2", "tint", seed, rho=0),
            Run("N2", "colour", seed, rho=0),
            Run("N2", "texture", seed, rho=0),
            Run("N2", "hf", seed, rho=0),
            Run("N3", "glyph", seed, labels="shuffled", rho=0),
            dataclasses.replace(
                Run("N3", "glyph", seed, rho=0, contrast=1.0, noise=0.03, probes="trained"),
                labels="shuffled",
                epochs=24,
            ),
            Run("N4", "texture", seed, rho=0.5, amplitude=0.25, contrast=1.0, noise=0.03),
            Run("N4", "tint", seed, amplitude=0.1, contrast=1.0, noise=0.03),
            Run("N4", "hf", seed, rho=0.3, amplitude=0.5, contrast=1.0, noise=0.03),
            Run("N5", "glyph", seed, region="elsewhere"),
            Run("N6", "glyph", seed, schedule="never", region="random"),
            Run("N6", "glyph", seed, rho=0, region="random"),
            Run("N7", "glyph", seed, schedule="never", maps="noise"),
            Run("N7", "glyph", seed, rho=0, maps="noise"),
            Run("N8", "glyph", seed, learns=False),
            Run("N9", "glyph", seed, schedule="swapped"),
            Run("N9", "tint", seed, schedule="swapped"),
            Run("N10", "glyph", seed, schedule="never", layout="fixed"),
            Run("N10", "glyph", seed, schedule="never", layout="edge"),
            Run("N10", "glyph", seed, schedule="never", layout="edge", network="gap"),
        ]
    return runs


def kinds(seeds: range) -> list[Run]:
    """Every kind of artefact at full strength, on both networks; and one that comes late."""
    runs = []
    for seed in seeds:
        for kind in POSITIVES:
            runs.append(Run("kinds", kind, seed))
        runs.append(Run("kinds", "glyph", seed, schedule="late", epochs=12))
    for seed in seeds[:2]:
        runs += [Run("kinds", kind, seed, network="gap") for kind in POSITIVES]
    return runs


def grid(seeds: range) -> list[Run]:
    """Weaker correlations, easier and harder digits, fainter artefacts."""
    runs = []
    for seed in seeds:
        for kind in GRID:
            runs += [Run("grid", kind, seed, rho=rho) for rho in (0.9, 0.7, 0.5, 0.3)]
            runs += [Run("grid", kind, seed, contrast=contrast) for contrast in (1.0, 0.35)]
            runs += [Run("grid", kind, seed, amplitude=amplitude) for amplitude in (0.5, 0.25)]
    return runs


def second_domain(seeds: range) -> list[Run]:
    """Shapes: well inside or reaching over the edge; each artefact telling, or meaning nothing."""
    runs = []
    for seed in seeds:
        for layout in ("free", "edge"):
            runs.append(Run("N1", "ground", seed, schedule="never", layout=layout))
            for kind in ("ground", "glyph", "tint", "border"):
                runs += [
                    Run("N2", kind, seed, rho=0, layout=layout),
                    Run("kinds", kind, seed, rho=0.95, layout=layout),
                    Run("kinds", kind, seed, layout=layout),
                ]
    return [dataclasses.replace(run, domain="shapes", contrast=1.0) for run in runs]


def real_life(seeds: range) -> list[Run]:
    """Cues that real data carry: telling, and meaning nothing."""
    runs = []
    for seed in seeds:
        for kind in REAL_LIFE:
            runs += [Run("real life", kind, seed), Run("N2", kind, seed, rho=0)]
    return runs


def ablations(seeds: range) -> list[Run]:
    """Runs that a test without one of its parts must get wrong."""
    runs = []
    for seed in seeds:
        runs += [
            Run("ablation", "border", seed, rho=0, without="control"),
            Run("ablation", "hf", seed, rho=0, without="control"),
            Run("ablation", "glyph", seed, maps="coarse"),
            Run("ablation", "rglyph", seed, maps="coarse"),
            Run("ablation", "glyph", seed, maps="noise"),
        ]
    return runs


def subset(name: str) -> list[Run]:
    """The runs of a subset.

    Args:
        name: `"full"`, the second edition; `"dev"`, each control and each kind about once, on
            other seeds; `"first"`, the first edition; `"lesions"`, scans whose class is a lesion,
            with masks, on further seeds; or `"ci"`, a minute's worth of short runs.
    """
    from benchmarks.spurious import second_edition  # which needs `Run`

    if name == "full":
        return watched(second_edition.full(range(20, 28)))
    if name == "lesions":
        runs = [run for run in second_edition.full(range(30, 36)) if run.group == "N11"]
        return [dataclasses.replace(run, watches=("exact",)) for run in runs]
    if name == "dev":
        return watched(second_edition.development(range(2)))
    if name == "first":
        runs = [*negatives(range(3)), *kinds(range(4)), *grid(range(1))]
        runs += second_domain(range(1)) + ablations(range(2)) + real_life(range(2))
        return watched(runs)
    runs = [
        *(Run("N1", "glyph", seed, schedule="never") for seed in (0, 1)),
        *(Run("N2", kind, 0, rho=0) for kind in ("glyph", "rglyph", "tint")),
        Run("N3", "glyph", 0, labels="shuffled", rho=0),
        Run("N5", "glyph", 0, region="elsewhere"),
        Run("N7", "glyph", 0, schedule="never", maps="noise"),
        Run("N9", "glyph", 0, schedule="swapped"),
        Run("N10", "glyph", 0, schedule="never", layout="fixed"),
        *(Run("kinds", kind, 0) for kind in ("glyph", "rglyph", "tag1", "tint", "hf", "texture")),
    ]
    return watched([dataclasses.replace(run, epochs=4) for run in runs])


def watched(runs: Sequence[Run]) -> list[Run]:
    """The same runs; some, of all groups and kinds, are watched in further ways.

    A third of them with exact masks, a third with few probes, a third with a named region, as are
    all those that are about regions; one of twelve with boxes.
    """
    chosen = []
    for number, run in enumerate(runs):
        turn = (number + run.seed) % 12
        further = {
            "exact": turn % 3 == 0,
            "box": turn == 6,
            "region": run.group in ("N5", "N6") or turn % 3 == 1,
            "few": turn % 3 == 2,
        }
        names = tuple(name for name, is_there in further.items() if is_there)
        chosen.append(run if run.group == "ablation" else dataclasses.replace(run, watches=names))
    return chosen
