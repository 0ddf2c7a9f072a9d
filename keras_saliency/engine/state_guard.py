"""Looking at a model without leaving a trace: randomness and variables end as they began.

Global random states are never saved and put back: a generator that feeds `fit` may draw from them
in another thread at the same time, and would draw the same numbers twice. They are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.backend.common import global_state

_SEED_GENERATOR = "global_seed_generator"
"""Keras' own key of its global generator; it has no public name."""

_READS = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}


@contextmanager
def own_seed_generator() -> Iterator[keras.random.SeedGenerator]:
    """Lets layers that draw without a seed draw from a generator of ours while they are traced.

    Keras' global generator then neither advances nor comes into being; to create it Keras would
    take a number from Python's `random`.

    Yields:
        The generator; what was traced needs it for as long as it is used.
    """
    before = global_state.get_global_attribute(_SEED_GENERATOR)
    ours = keras.random.SeedGenerator(0)
    global_state.set_global_attribute(_SEED_GENERATOR, ours)
    try:
        yield ours
    finally:
        global_state.set_global_attribute(_SEED_GENERATOR, before)


class MutatedVariables:
    """The variables that a traced function may change, to be given back their values.

    In inference these are the states of seed generators (dropout that stays on, noise) and
    whatever a layer counts for itself. A variable handed on to an inner function counts as
    written. Seed generators start every evaluation from the state they were first seen in, so
    that the same noise is drawn every time.

    Args:
        concrete_function: The traced function.
    """

    def __init__(self, concrete_function: Any) -> None:
        graph = concrete_function.graph
        inside = {id(outer): inner for outer, inner in graph.captures}
        self._variables = [
            variable
            for variable in graph.variables
            if {operation.type for operation in inside[id(variable.handle)].consumers()} - _READS
        ]
        self._seeds = [
            (variable, variable.numpy())
            for variable in self._variables
            if "seed_generator_state" in variable.name
        ]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Within, the function may run; after it, the variables are what they were."""
        values = [variable.numpy() for variable in self._variables]
        _assign(self._seeds)
        try:
            yield
        finally:
            _assign(list(zip(self._variables, values, strict=True)))


def _assign(pairs: Sequence[tuple[Any, Any]]) -> None:
    for variable, value in pairs:
        variable.assign(value)
