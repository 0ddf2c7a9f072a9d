"""Runs a row: its lines as a user would, then the map against the tape, and the pictures."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import keras_saliency as ks
from benchmarks._models import Array
from benchmarks.gallery.reference import difference, scores_and_maps
from benchmarks.gallery.rows import Case, Row
from keras_saliency.log import files
from keras_saliency.log.reader import events

FIRST, SECOND, MORE = "first try", "one more line", "more lines"
REFUSED, UNADVISED = "refused, lines work", "not advised"
WRONG, FAILS = "wrong", "fails"
OUTCOMES = (FIRST, SECOND, MORE, REFUSED, UNADVISED, WRONG, FAILS)
"""From best to worst. `UNADVISED`: lines work, but the error before does not say so."""

BLANK = 3.0
"""A picture is blank if the standard deviation of its pixels, in 0..255, is below this."""


@dataclass(frozen=True)
class Result:
    """What happened to a row.

    Attributes:
        row: Its name.
        example: As in `Row`.
        shape: As in `Row`.
        outcome: One of `OUTCOMES`.
        kind: The kind of input that was found, of the lines that worked.
        score: What was explained of the output.
        lines: The lines that worked, or those tried last.
        errors: The error of each try that failed.
        problem: What is wrong, or not advised.
        difference: Of the maps from the tape's, relative.
        seconds: That all of it took.
    """

    row: str
    example: str
    shape: str
    outcome: str
    kind: str = ""
    score: str = ""
    lines: str = ""
    errors: tuple[str, ...] = ()
    problem: str = ""
    difference: float = float("nan")
    seconds: float = 0.0


def run(row: Row) -> Result:
    """Tries the lines of a row one after the other, each with a new model."""
    start = time.perf_counter()
    facts: dict[str, Any] = {"row": row.name, "example": row.example, "shape": row.shape}
    errors: list[str] = []
    unadvised: list[str] = []
    wrong = ""
    number, case = 0, None
    while case is None or number < len(case.tries):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        try:
            case = row.make()
        except Exception as error:  # the row itself is broken
            return Result(**facts, outcome=FAILS, problem=f"row: {told(error)}")
        attempt = case.tries[number]
        unadvised += [text for text in attempt.advice if number and text not in "\n".join(errors)]
        facts |= {"lines": attempt.lines}
        with tempfile.TemporaryDirectory() as log_dir:
            try:
                names = execute(attempt.lines, {**case.names, "log_dir": log_dir})
            except Exception as error:
                errors.append(told(error))
                number += 1
                continue
            try:
                facts |= examined(case, names, log_dir)
            except Exception as error:
                facts |= {"problem": f"check: {told(error)}"}
        if not facts["problem"]:
            break
        wrong = wrong or facts["problem"]
        number += 1
    facts |= {"errors": tuple(errors), "seconds": time.perf_counter() - start}
    if wrong:
        right = "" if facts["problem"] else "; right with the lines shown"
        return Result(**{**facts, "problem": wrong + right}, outcome=WRONG)
    if number == len(case.tries):
        return Result(**facts, outcome=FAILS)
    if unadvised:
        problem = f"the errors do not say: {'; '.join(unadvised)}"
        return Result(**{**facts, "problem": problem}, outcome=UNADVISED)
    outcome = (FIRST, SECOND, MORE)[min(number, 2)]
    return Result(**facts, outcome=REFUSED if case.refused and number else outcome)


def execute(lines: str, names: dict[str, Any]) -> dict[str, Any]:
    """Runs the lines; returns all names afterwards."""
    names |= {"ks": ks, "keras": keras, "tf": tf, "np": np}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        exec(compile(lines, "<lines>", "exec"), names)
    return names


def examined(case: Case, names: dict[str, Any], log_dir: str) -> dict[str, Any]:
    """What was found and explained, how far the maps are from the tape's, and what is wrong."""
    monitor = names["saliency"].monitor if "saliency" in names else names["monitor"]
    probes, score = monitor.probes, monitor.score
    output = "" if score.output is None else f" of output {score.output!r}"
    report = names["report"] if "report" in names else names["saliency"].report
    inputs = probes.explained
    kinds = [*dict.fromkeys(one.kind for one in inputs.values())]
    facts = {"kind": ", ".join(kinds), "score": f"{score.name}{output}", "problem": ""}
    if case.score is None:
        return facts | {"problem": "it is explained, though nothing of it can be"}
    for name, one in inputs.items():
        if one.kind != case.kind_of(name):
            problem = f"kind {one.kind!r} instead of {case.kind_of(name)!r}"
            return facts | {"problem": problem if name is None else f"input {name!r}: {problem}"}
    scores, expected = scores_and_maps(case, probes, report.targets)
    found = [report.maps, *(other.maps for other in report.other_inputs.values())]
    differences = list(map(difference, found, expected))
    facts |= {"difference": max(differences)}
    problems = []
    if not facts["difference"] < case.tolerance:
        problems.append(f"the maps differ from the tape's by {facts['difference']:.1e}")
    if not difference(report.scores, scores) < case.tolerance:
        problems.append(f"scores {report.scores[:3]} instead of {scores[:3]}")
    if not any(maps.any() for maps in expected):
        problems.append("all maps are zero, as the tape's")
    problems += wrong_pictures(probes, log_dir)
    return facts | {"problem": "; ".join(problems)}


def wrong_pictures(probes: Any, log_dir: str) -> list[str]:
    """What is wrong with the inputs in the SALIENCY tab, and with the contact sheet."""
    problems = []
    *_, log = ks.read_log(log_dir).values()
    if log.probes.kind != probes.kind:
        problems.append(f"the log says kind {log.probes.kind!r}")
    if log.problems:
        problems.append(f"the log has problems: {log.problems[0]}")
    pictures = log.probes.pictures
    blank = sum(picture.std() < BLANK for picture in pictures)
    if blank:
        problems.append(f"{blank} of {len(pictures)} pictures of inputs are blank")
    if probes.kind == "image" and unlike(pictures, probes.images):
        problems.append("the pictures of inputs do not show the inputs")
    sheets = contact_sheets(log_dir)
    if len(sheets) < len(probes.explained):
        problems.append(f"{len(sheets)} contact sheets for {len(probes.explained)} inputs")
    if any(sheet.std() < BLANK for sheet in sheets.values()):
        problems.append("a contact sheet is blank")
    return problems


def unlike(pictures: Array, images: Array) -> bool:
    """Whether the pictures of images are not the images, up to brightness and contrast."""
    if pictures.shape[:3] != images.shape[:3]:
        return False  # another size: not compared
    gray = [values.astype(np.float64).mean(axis=-1) for values in (pictures, images)]
    pairs = zip(*(values.reshape(len(values), -1) for values in gray), strict=True)
    return min(np.corrcoef(*pair)[0, 1] for pair in pairs) < 0.9


def contact_sheets(log_dir: str) -> dict[str, Array]:
    """The last contact sheet of each input in the log, uint8 `(height, width, 3)`, by tag."""
    sheets = {}
    for _, where in files.event_files(Path(log_dir)):
        for event in events(where):
            for value in event.summary.value:
                if value.tag.startswith("saliency/contact_sheet"):
                    encoded = value.tensor.string_val[2]  # after width and height
                    sheets[value.tag] = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    return sheets


def told(error: Exception) -> str:
    """An error as the user sees it."""
    return "\n".join((f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())))
