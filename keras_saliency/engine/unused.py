"""Inputs in the data that a functional model does not take. Keras ignores them in `fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_saliency.data.probes import ProbeSet
from keras_saliency.engine.models import ignores, input_shapes


def without_unused(model: Any, probes: ProbeSet) -> tuple[ProbeSet, Sequence[str]]:
    """The probes without the inputs and columns that a model does not take, and their names.

    The same probes if the model shows no names, if an input of its own is missing, if it would take
    one of the others in place of its own (see `ignores`), or if a region lies in them alone:
    `check_fit` says why these do not fit.

    Args:
        model: The model.
        probes: The probes.
    """
    known = input_shapes(model)
    names = [name for one in probes.explained.values() for name in _names(one)]
    unused = [name for name in dict.fromkeys([*names, *probes.held]) if name not in known]
    if not unused or not {*names} & {*known} or not ignores(model, {*names, *probes.held}):
        return probes, ()
    explained: dict[Any, ProbeSet] = {}
    for key, one in probes.explained.items():
        kept = np.array([name in known for name in _names(one)])
        if kept.all():
            explained[key] = one
        elif kept.any():
            table = one.with_columns(kept)
            explained[key if isinstance(table.input_name, tuple) else table.input_name] = table
    left = {region for one in explained.values() for region in one.regions}
    if any(name not in left for one in probes.explained.values() for name in one.regions):
        return probes, ()
    (_, first), *rest = explained.items()
    held: dict[Any, Any] = {name: values for name, values in probes.held.items() if name in known}
    return replace(first, held=held, other_inputs=dict(rest)), unused


def _names(probes: ProbeSet) -> tuple[Any, ...]:
    """The name of an input; those of the columns of a table."""
    name = probes.input_name
    return name if isinstance(name, tuple) else (name,)
