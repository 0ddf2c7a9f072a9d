"""The state of a run, beside its event files: a training that was killed resumes from it.

A directory in the run has one JSON file for each of the latest steps, and the arrays that these
files name by their hashes, each once. The two latest steps are kept: a checkpoint of the training
may be one step behind the log.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.data.reports import Array
from keras_saliency.detection.state import RunState
from keras_saliency.log import files
from keras_saliency.log.files import Location

DIRECTORY = "state"
"""Its name, below that of the run."""

KEPT = 2
"""The number of steps whose states are kept."""


@dataclass(frozen=True, eq=False)
class SavedState:
    """A state that was written.

    Attributes:
        step: Of the latest evaluation.
        subject: What distinguishes the run from others: names and values of settings.
        state: The state after that evaluation; `None` for a run within epochs.
        films: The film strips, as values that JSON can hold.
        arrays: The arrays that `films` names, by these names.
    """

    step: int
    subject: Mapping[str, str]
    state: RunState | None
    films: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)


def write_state(run: Location, saved: SavedState) -> None:
    """Writes a state, and removes those that are not kept.

    Args:
        run: The directory of the run.
        saved: The state; of a step that has one, it replaces that.

    Raises:
        OSError: It cannot be written.
    """
    directory = files.join(run, DIRECTORY)
    files.make_dir(directory)
    content, arrays = (None, {}) if saved.state is None else saved.state.to_json()
    there = files.file_names(directory)
    for name, array in {**arrays, **saved.arrays}.items():
        if f"{name}.npy" not in there:
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            files.write(files.join(directory, f"{name}.npy"), buffer.getvalue())
    text = {"step": saved.step, "subject": dict(saved.subject), "content": content}
    text["films"] = dict(saved.films)
    files.write(files.join(directory, f"{saved.step}.json"), json.dumps(text).encode())
    _remove_old(directory, saved.step)


def read_state(
    run: Location, subject: Mapping[str, str] | None = None, at_most: int | None = None
) -> SavedState | None:
    """Reads the latest state that is not damaged.

    Args:
        run: The directory of the run.
        subject: What the state has to be about; `None`: anything.
        at_most: The largest step that is of interest.

    Returns:
        The state; `None` if there is none.

    Raises:
        OSError: The directory cannot be read.
    """
    directory = files.join(run, DIRECTORY)
    if not files.is_dir(directory):
        return None
    there = files.file_names(directory)
    steps = [one for one in _steps(there) if at_most is None or one <= at_most]

    def array(name: str) -> Array:
        if f"{name}.npy" not in there:
            raise LookupError(name)
        content = files.read(files.join(directory, f"{name}.npy"))
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))

    for step in sorted(steps, reverse=True):
        try:
            text = json.loads(files.read(files.join(directory, f"{step}.json")))
            content, films = text["content"], text["films"]
            if subject is not None and text["subject"] != dict(subject):
                continue
            arrays = {name: array(name) for name in _hashes(json.dumps([content, films]))}
            state = None if content is None else RunState.from_json(content, arrays)
            return SavedState(step, text["subject"], state, films, arrays)
        except OSError:
            raise
        except Exception:
            continue  # it is damaged, or of another version
    return None


def _remove_old(directory: Location, step: int) -> None:
    """Removes what belongs to none of the steps that are kept, of which this is the last."""
    names = files.file_names(directory)
    # Steps after it are of a training that was resumed at an earlier one.
    kept = sorted(one for one in _steps(names) if one <= step)[-KEPT:]
    needed = {f"{one}.json" for one in kept}
    for one in kept:
        # As text: one that was damaged still names its arrays, or none.
        text = files.read(files.join(directory, f"{one}.json")).decode(errors="replace")
        needed |= {f"{name}.npy" for name in _hashes(text)}
    for name in names:
        if name not in needed:
            files.remove(files.join(directory, name))


def _steps(names: list[str]) -> list[int]:
    return [int(name[:-5]) for name in names if re.fullmatch(r"-?\d+\.json", name)]


def _hashes(text: str) -> set[str]:
    """The names of all arrays in a state."""
    return set(re.findall(r'"([0-9a-f]{32})"', text))
