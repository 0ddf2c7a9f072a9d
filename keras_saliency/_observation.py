"""Looking at a model without leaving a trace: randomness and variables end as they began."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

_READS = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Keeps the global random states of Python, NumPy and Keras as they are.

    Tracing a layer that draws without a seed makes Keras create its global seed generator, from
    a number that it takes from Python's `random`. Had it not been there before, it is forgotten
    again, so that training creates it at the same place in the sequence as it would have.
    Keras has no public name for that generator.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    keras_generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, keras_generator)


@contextmanager
def variables_kept(variables: Sequence[Any]) -> Iterator[None]:
    """Gives the variables back the values they had."""
    values = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def written_variables(concrete_function: Any) -> list[Any]:
    """The variables that a traced function may change.

    In inference these are the states of seed generators (dropout that stays on, noise) and
    whatever a layer counts for itself. A variable handed on to an inner function counts as
    written.
    """
    graph = concrete_function.graph
    inside = {id(outer): inner for outer, inner in graph.captures}
    return [
        variable
        for variable in graph.variables
        if any(operation.type not in _READS for operation in inside[id(variable.handle)].consumers())
    ]
