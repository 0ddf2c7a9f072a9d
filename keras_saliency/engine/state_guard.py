"""Leaves no trace on a model: random states and variables end with their old values.

Evaluations never change global random states, and do not save and restore them either, since a
generator that feeds `fit` may draw from them in another thread at the same time, and would draw the
same numbers twice. Only tracing restores those of Python and NumPy: a model may draw from them in
its Python code, and it is traced before `fit` draws a batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_saliency.engine.keras_internals import replaced_seed_generator

_READS = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}
_DRAWS = {"RngReadAndSkip", "RngSkip"}  # of a tf.random.Generator


@contextmanager
def own_seed_generator() -> Iterator[keras.random.SeedGenerator]:
    """While a model is traced: its layers that draw without a seed use a separate generator.

    Keras' global generator is then neither advanced nor created. (To create it, Keras would draw a
    number from Python's `random`.) What the model draws from `random` and `np.random`, it draws
    again in `fit`.

    Yields:
        The generator. Keep it as long as functions that were traced in the context are used.
    """
    generator = keras.random.SeedGenerator(0)
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with replaced_seed_generator(generator):
            yield generator
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


class MutatedVariables:
    """The variables that a traced function may change, and how to restore their values.

    At inference these are the states of seed generators (dropout that stays on, noise), the states
    of stateful recurrent layers, and any counters of layers. A variable that is passed to an inner
    function counts as changed. Seed generators start every evaluation from the state in which they
    were first seen, so that every evaluation draws the same noise.

    Args:
        concrete_function: The traced function.

    Attributes:
        variables: The variables.
    """

    def __init__(self, concrete_function: Any) -> None:
        graph = concrete_function.graph
        inside = {id(outer): inner for outer, inner in graph.captures}
        uses = {
            variable.ref(): {each.type for each in inside[id(variable.handle)].consumers()} - _READS
            for variable in graph.variables
        }
        self.variables = [variable for variable in graph.variables if uses[variable.ref()]]
        self._seeds = [
            (variable, tf.identity(variable))
            for variable in self.variables
            if "seed_generator_state" in variable.name or uses[variable.ref()] & _DRAWS
        ]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Within this context the function may run. Afterwards the old values are restored."""
        values = [tf.identity(variable) for variable in self.variables]  # on the device
        _assign(self._seeds)
        try:
            yield
        finally:
            _assign(list(zip(self.variables, values, strict=True)))


@contextmanager
def same_state(variables: Sequence[Any], outputs: list[Any]) -> Iterator[None]:
    """In a graph: what runs within this context leaves variables with the values that they had.

    Args:
        variables: The variables.
        outputs: Within the context, add the tensors that have to be computed first.
    """
    before = [tf.identity(variable) for variable in variables]
    yield
    with tf.control_dependencies(outputs):
        _assign(list(zip(variables, before, strict=True)))


def _assign(pairs: Sequence[tuple[Any, Any]]) -> None:
    for variable, value in pairs:
        variable.assign(value)
