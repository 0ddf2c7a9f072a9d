"""The second edition of the plan: more domains, cues of any size, settings, many controls.

Rules are chosen on the runs of `development`; `full` has seeds that nothing was chosen on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable

from benchmarks.spurious.plan import GRID, Run, ablations, kinds, second_domain

IN_PLACE = ("glyph", "gray", "rglyph", "tag1", "pair", "border", "stamp", "caption")
ALL_OVER = (
    "tint",
    "hf",
    "border1",
    "tint1",
    "resolution",
    "blur",
    "noise",
    "compression",
    "aspect",
)
EVERYWHERE = (*IN_PLACE, *ALL_OVER)
"""The kinds that can be planted on all domains."""

SOMEWHERE = (
    ("colour", "textures", "free"),
    ("texture", "letters", "free"),
    ("texture", "textures", "object"),
    ("watermark", "garments", "free"),
    ("watermark", "letters", "free"),
    ("ground", "textures", "object"),
)
"""Kinds that need colour, or an object and its surroundings, with domain and layout."""

GENERATED = ("garments", "faces", "letters", "scans", "textures")
LAYOUTS = {
    "scans": ("fixed", "jittered", "free"),
    "faces": ("free", "edge"),
    "textures": ("free", "object"),
}
SIZES = {
    "corner": (0.01, 0.03, 0.06, 0.1, 0.25),
    "inside": (0.02, 0.05, 0.1, 0.2),
    "edge": (0.08, 0.12, 0.2),
    "side": (0.06, 0.12),
}


def full(seeds: range) -> list[Run]:
    """All runs; every kind and size is on several domains at correlations of 1 and .95.

    Args:
        seeds: Eight of them.
    """
    with_digits = ("digits", *GENERATED)
    runs = [
        *controls(seeds),
        *ablations(seeds[:1]),
        *(Run("N2", kind, seeds[0], rho=0) for kind in ("glyph", "border", "hf")),  # to compare
        *(Run("N2", "glyph", seed, rho=0, network="gap") for seed in seeds[:2]),
        *kinds(seeds[:1]),
        *second_domain(seeds[:1]),
        *everywhere(seeds[:3], GENERATED),
        *everywhere(seeds[3:4], with_digits, rho=0.95),
        *somewhere(seeds[:2]),
        *sizes(seeds[:2], with_digits),
        *sizes(seeds[2:3], with_digits, rho=0.95),
        *settings(seeds[:3]),
        *weaker(seeds[:1]),
    ]
    return unique(runs)


def development(seeds: range) -> list[Run]:
    """Each control and each kind about once.

    Args:
        seeds: Two of them.
    """
    some = controls(seeds[:1])
    runs = first_of_each(some, [(run.group, run.domain, run.layout) for run in some])
    runs += everywhere(seeds[:1], GENERATED) + somewhere(seeds[:1])[::2]
    runs += sizes(seeds[1:], ("digits", *GENERATED))[::2]
    some = settings(seeds[1:])
    keys = [(run.group, run.schedule, run.network, run.imbalance, run.label_noise) for run in some]
    return unique(runs + first_of_each(some, keys))


def controls(seeds: range) -> list[Run]:
    """N1 to N13, three or more a seed of each: nothing here is a shortcut that was learned."""
    runs = []
    for seed in seeds:
        hard = Run("N4", "texture", seed, rho=0.5, amplitude=0.25, contrast=1.0, noise=0.03)
        runs += [
            Run("N1", "glyph", seed, schedule="never"),
            Run("N1", "glyph", seed, schedule="never", network="gap"),
            Run("N1", "glyph", seed, schedule="never", probes="trained"),
            Run("N3", "glyph", seed, labels="shuffled", rho=0),
            Run("N3", "glyph", seed, "faces", labels="shuffled", rho=0),
            by_heart(seed) if seed % 4 == 0 else Run("N3", "tint", seed, labels="shuffled", rho=0),
            hard,
            dataclasses.replace(hard, artefact="tint", rho=1.0, amplitude=0.1),
            dataclasses.replace(hard, artefact="hf", rho=0.3, amplitude=0.5),
            Run("N5", "glyph", seed, region="elsewhere"),
            Run("N5", "gray", seed, region="elsewhere"),
            Run("N5", "glyph", seed, "letters", region="elsewhere"),
            Run("N6", "glyph", seed, schedule="never", region="random"),
            Run("N6", "glyph", seed, rho=0, region="random"),
            Run("N6", "gray", seed, rho=0, region="random"),
            Run("N7", "glyph", seed, schedule="never", maps="noise"),
            Run("N7", "glyph", seed, rho=0, maps="noise"),
            Run("N7", "glyph", seed, "garments", schedule="never", maps="noise"),
            Run("N8", "glyph", seed, learns=False, epochs=4),
            Run("N8", "glyph", seed, "faces", learns=False, epochs=4),
            Run("N8", "patch", seed, "scans", learns=False, epochs=4),
            Run("N9", "glyph", seed, schedule="swapped"),
            Run("N9", "tint", seed, schedule="swapped"),
            Run("N9", "patch", seed, "faces", schedule="swapped", size=0.05),
            Run("N10", "glyph", seed, schedule="never", layout="fixed"),
            Run("N10", "glyph", seed, schedule="never", layout="edge"),
            Run("N10", "glyph", seed, rho=0, layout="edge"),
            *idle(seed),
        ]
    return runs


def idle(seed: int) -> list[Run]:
    """N2 and N11 to N13: the domains as they are, and with artefacts that mean nothing.

    N11 are lesions, N12 aligned and centred objects, N13 photographs and textures. Each seed has
    artefacts of its own, so that all have their turn.
    """
    kind = [EVERYWHERE[(5 * seed + step) % len(EVERYWHERE)] for step in range(7)]
    clean = [
        *(Run("N11", "glyph", seed, "scans", layout=layout) for layout in LAYOUTS["scans"]),
        *(Run("N12", "glyph", seed, domain) for domain in ("letters", "garments")),
        *(Run("N12", "glyph", seed, "faces", layout=layout) for layout in LAYOUTS["faces"]),
        *(Run("N13", "glyph", seed, "textures", layout=layout) for layout in LAYOUTS["textures"]),
    ]
    planted = [
        on("scans", "N11", kind[0], seed),
        Run("N12", kind[1], seed, "garments"),
        on("faces", "N12", kind[2], seed),
        on("textures", "N13", kind[3], seed),
        *(Run("N2", kind[step], seed) for step in (4, 5, 6)),
        Run("N2", "patch", seed, size=0.1, where=list(SIZES)[seed % 4]),
        Run("N2", "patch", seed, size=0.03, where="inside"),
    ]
    return [dataclasses.replace(run, schedule="never") for run in clean] + [
        dataclasses.replace(run, rho=0) for run in planted
    ]


def by_heart(seed: int) -> Run:
    """Shuffled labels that are learned by heart, on probes that were trained on."""
    run = Run("N3", "glyph", seed, rho=0, contrast=1.0, noise=0.03, probes="trained")
    return dataclasses.replace(run, labels="shuffled", epochs=24)


def everywhere(seeds: range, domains: tuple[str, ...], rho: float = 1.0) -> list[Run]:
    """Each kind at full strength on one of the domains, on another one with each seed."""
    return [
        on(domains[(seed + number) % len(domains)], "kinds", kind, seed, rho)
        for seed in seeds
        for number, kind in enumerate(EVERYWHERE)
    ]


def somewhere(seeds: range) -> list[Run]:
    """Each kind that needs something of its domain."""
    return [
        Run("kinds", kind, seed, domain, layout=layout)
        for seed in seeds
        for kind, domain, layout in SOMEWHERE
    ]


def sizes(seeds: range, domains: tuple[str, ...], rho: float = 1.0) -> list[Run]:
    """Patches of all sizes and places, and a caption inside; as `everywhere`."""
    places = [(where, size) for where, some in SIZES.items() for size in some]
    runs = []
    for seed in seeds:
        for number, (where, size) in enumerate(places):
            run = on(domains[(seed + number) % len(domains)], "sizes", "patch", seed, rho)
            runs.append(dataclasses.replace(run, size=size, where=where))
        run = on(domains[seed % len(domains)], "sizes", "caption", seed, rho)
        runs.append(dataclasses.replace(run, where="inside"))
    return runs


def settings(seeds: range) -> list[Run]:
    """Rare classes, wrong labels, augmentation, a frozen body; cues that come late, or go away."""
    runs = []
    for seed in seeds:
        for group, kind, rho in (
            ("settings", "glyph", 1),
            ("settings", "tint", 1),
            ("N2", "glyph", 0),
        ):
            runs += [
                Run(group, kind, seed, "garments", rho=rho, imbalance=9),
                Run(group, kind, seed, "letters", rho=rho, label_noise=0.1),
                Run(group, kind, seed, "faces", rho=rho, augment=True),
                Run(group, kind, seed, "letters", rho=rho, network="frozen"),
            ]
        ground = Run("settings", "ground", seed, "textures", layout="object", network="frozen")
        runs += [
            ground,
            dataclasses.replace(ground, artefact="glyph"),
            Run("settings", "glyph", seed, "scans", imbalance=9, rho=0.95),
            Run("settings", "glyph", seed, schedule="gone", epochs=12),
            Run("settings", "patch", seed, "faces", schedule="gone", epochs=12, size=0.05),
            Run("settings", "patch", seed, "faces", schedule="late", epochs=10, size=0.05),
        ]
    return runs


def weaker(seeds: range) -> list[Run]:
    """Weaker correlations and fainter artefacts."""
    runs = []
    for seed in seeds:
        runs += [Run("grid", kind, seed, rho=rho) for kind in GRID for rho in (0.9, 0.7, 0.5)]
        for kind in ("glyph", "tint", "patch"):
            for domain in ("letters", "garments", "scans"):
                run = Run("grid", kind, seed, domain)
                runs += [dataclasses.replace(run, rho=rho) for rho in (0.7, 0.4)]
                runs.append(dataclasses.replace(run, amplitude=0.4))
    return runs


def on(domain: str, group: str, kind: str, seed: int, rho: float = 1.0) -> Run:
    """A run on one of the domain's layouts, on another one with each seed."""
    layouts = LAYOUTS.get(domain, ("free",))
    return Run(group, kind, seed, domain, rho=rho, layout=layouts[seed % len(layouts)])


def unique(runs: Iterable[Run]) -> list[Run]:
    """Without those that are there already."""
    return list(dict.fromkeys(runs))


def first_of_each(runs: Iterable[Run], keys: Iterable[Hashable]) -> list[Run]:
    """The first run of each key."""
    first: dict[Hashable, Run] = {}
    for run, key in zip(runs, keys, strict=True):
        first.setdefault(key, run)
    return list(first.values())
