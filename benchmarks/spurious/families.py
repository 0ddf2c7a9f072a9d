"""The kinds of artefacts in families, what has to be found, and which test names each rightly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "local": ("glyph", "gray", "rglyph", "pair", "patch", "caption", "square", "banner", "label"),
    "tint": ("tint", "colour"),
    "spectrum": ("hf", "resolution", "blur", "noise", "compression", "stamp"),
    "border": ("border",),
    "background": ("texture", "ground"),
    "one class": ("tag1", "border1", "tint1"),
    "other": ("watermark", "aspect"),
}
"""A stamp at random places is small text anywhere, which the energy of the spectrum shows. Of the
others none is wanted: a cue on the object, and one that no test is for."""

WANTED = {"local": 0.95, "tint": 0.9, "spectrum": 0.9, "border": 0.9, "one class": 0.9}
WANTED_BACKGROUND = {"nothing": 0.8, "masks": 0.9}
"""The shares of relying runs at full strength that have to be found."""

_PLACED = ("repeated_pattern", "hot_window", "class_hot_spot", "border_patch", "region")
_BORDER = ("border", "thin_border")
_SPECTRUM = ("spectrum", "high_frequency")
_BACKGROUND = ("background", "estimated_background")

NAMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(FAMILIES["local"], _PLACED),
    "rglyph": (*_PLACED, "own_hot_spot"),
    "tag1": _PLACED,
    **dict.fromkeys(("border", "border1"), _BORDER),
    **dict.fromkeys(("tint", "tint1", "colour"), ("tint",)),
    **dict.fromkeys(("hf", "resolution", "blur", "noise", "compression"), _SPECTRUM),
    "stamp": (*_SPECTRUM, "own_hot_spot"),
    "ground": _BACKGROUND,
    "texture": (*_BACKGROUND, "repeated_pattern"),
    "watermark": _PLACED,
    "aspect": (),
}
"""By kind, the rows of the table of tests that name it rightly, aimed at one class or not."""

SCATTERED = ("pair", "rglyph")
"""Kinds in several corners: a name without a window is right, too."""

OVERLAP = 0.3
"""The intersection over union from which a window lies on the place."""


def family(kind: str) -> str:
    """The family of a kind."""
    return next(name for name, kinds in FAMILIES.items() if kind in kinds)


def is_full_strength(record: Mapping[str, Any]) -> bool:
    """Whether the artefact is not faint and (nearly) always tells the class."""
    return bool(record["amplitude"] == 1 and record["rho"] >= 0.95)
