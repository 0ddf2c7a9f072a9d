"""Graphs, whose rows share one batch: how to explain one, for messages."""

from __future__ import annotations


def as_one_input(rows: str, given: str = "") -> str:
    """The lines that explain one row of a graph by the features of all of its nodes.

    Args:
        rows: The Python expression of what the model computes of all rows, from `graph[0]`, the
            features of all nodes.
        given: A line that makes `features`.
    """
    return (
        f"explain the whole graph as one input: {given and f'{given}; '}"
        "graph = keras.Input(batch_shape=(1, *features.shape)); "
        f"rows = {rows}; part = keras.Model(graph, keras.ops.expand_dims(rows, 0)); "
        "probes = ks.ProbeSet(features[None], [target], kind='series'); and for one of its rows "
        "score=ks.Score(position=row, model=part)."
    )
