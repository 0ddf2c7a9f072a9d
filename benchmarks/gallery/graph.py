"""Graphs: nodes with a class, molecules of different sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels
from benchmarks.gallery.reference import linear, logits
from benchmarks.gallery.rows import Case, Row, Try, lines, three

GIVEN, FIT = "(x_test, y_test)", "x_train, y_train"


def one_graph(features: str, rows: str, row: str, target: str, fit: str) -> Try:
    """The whole graph as one input, of which one row is explained, as the errors advise."""
    graph = "graph = keras.Input(batch_shape=(1, *features.shape))"
    part = "part = keras.Model(graph, keras.ops.expand_dims(rows, 0))"
    probes = f"ks.ProbeSet(features[None], [{target}], kind='series')"
    score = f"score=ks.Score(position={row}, model=part)"
    advice = (graph, part, "ks.ProbeSet(features[None], [target], kind='series')")
    advice += ("score=ks.Score(position=row, model=part)",)
    text = f"{features}\n{graph}\nrows = {rows}\n{part}\n{three(probes, fit, score)}"
    return Try(text, advice)


def of_row(values: Callable[[Any], Any], head: Any, row: int) -> Any:
    """The target's logit at one row of the only graph, from `values` of its features."""

    def score(graphs: Any, targets: Any) -> Any:
        with linear(head):
            logits = values(graphs[0])[row]
        if logits.shape[0] == 1:
            return tf.where(targets == 1, logits[0], -logits[0])
        return tf.gather(logits, targets)

    return score


NODES = 40


def graph() -> tuple[Any, Any]:
    """Edges (2, 80) of 40 nodes, and float features (40, 6)."""
    edges = np.random.default_rng(0).integers(0, NODES, (2, 2 * NODES))
    return edges, np.resize(floats(6), (NODES, 6))


class GraphConvolution(layers.Layer):
    def __init__(self, edges: Any) -> None:
        super().__init__()
        self.edges, self.dense = edges, layers.Dense(8, activation="relu")

    def call(self, features: Any) -> Any:
        messages = ops.take(self.dense(features), self.edges[1], axis=0)
        return ops.segment_sum(messages, self.edges[0], num_segments=NODES)


class GNNNodeClassifier(keras.Model):
    """Takes indices of nodes; the features of all nodes are held inside."""

    def __init__(self) -> None:
        super().__init__()
        edges, self.features = graph()
        self.convolution = GraphConvolution(edges)
        self.compute_logits = layers.Dense(3)

    def call(self, indices: Any) -> Any:
        nodes = self.convolution(ops.convert_to_tensor(self.features))
        nodes = ops.take(nodes, ops.cast(ops.reshape(indices, (-1,)), "int32"), axis=0)
        return self.compute_logits(nodes)


def node_classification() -> Case:
    """Int node indices (n,) as inputs, int labels; the features are constants of the model."""
    model = GNNNodeClassifier()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    nodes = np.arange(COUNT)
    names = {"model": model, "x_train": nodes, "y_train": labels(3)}
    names |= {"x_test": nodes, "y_test": labels(3)}
    rows = "model.compute_logits(model.convolution(graph[0]))"
    more = one_graph("features = model.features", rows, "x_test[3]", "y_test[3]", FIT)
    score = of_row(lambda graph: model.compute_logits(model.convolution(graph)), None, row=3)
    return Case(names, (Try(lines(GIVEN, FIT)), more), score, kind="series", refused=True)


def graph_attention() -> Case:
    """The same with attention, own train_step and a call of all inputs (features, edges)."""

    class GraphAttentionNetwork(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.edges, self.features = graph()
            self.dense, self.attention = layers.Dense(4), layers.Dense(1)
            self.output_layer = layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            features, edges = inputs
            hidden = self.dense(features)
            pairs = ops.reshape(ops.take(hidden, ops.transpose(edges), axis=0), (-1, 8))
            scores = ops.exp(ops.clip(self.attention(pairs), -2, 2))
            messages = ops.take(hidden, edges[1], axis=0) * scores
            return self.output_layer(ops.segment_sum(messages, edges[0], num_segments=NODES))

        def train_step(self, data: Any) -> dict[str, Any]:
            indices, classes = data
            with tf.GradientTape() as tape:
                values = tf.gather(self([self.features, self.edges]), indices)
                loss = self.compute_loss(None, classes, values)
            weights = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = GraphAttentionNetwork()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    nodes = np.arange(COUNT)
    names = {"model": model, "x_train": nodes, "y_train": labels(3)}
    names |= {"x_test": nodes, "y_test": labels(3)}
    rows = "model([graph[0], model.edges])"
    more = one_graph("features = model.features", rows, "x_test[3]", "y_test[3]", FIT)
    score = of_row(lambda graph: model([graph, model.edges]), None, row=3)
    return Case(names, (Try(lines(GIVEN, FIT)), more), score, kind="series", refused=True)


def dense_graphs() -> Case:
    """Dense graphs: node features (nodes, features) and adjacency (nodes, nodes), softmax."""
    features, adjacency = (
        keras.Input((6, 4), name="features"),
        keras.Input((6, 6), name="adjacency"),
    )
    hidden = layers.Dense(8, activation="relu")(ops.matmul(adjacency, features))
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model([features, adjacency], layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    edges = (floats(6, 6, seed=1) < 0.4).astype("float32")
    given = {"features": floats(6, 4), "adjacency": edges}
    names = {
        "model": model,
        "train_ds": batches(given, labels()),
        "val_ds": batches(given, labels()),
    }
    return Case(names, (Try(lines("val_ds", "train_ds")),), logits(model), kind="series")


def molecules() -> Case:
    """Tuples of ragged features and merged graphs with an indicator, float labels; sigmoid."""
    atoms = keras.Input((4,), name="atom_features")
    indicator = keras.Input((), dtype="int32", name="molecule_indicator")
    hidden = layers.Dense(8, activation="relu")(atoms)
    head = layers.Dense(1, activation="sigmoid")

    class Readout(layers.Layer):
        def call(self, inputs: Any) -> Any:
            values, owner = inputs
            return tf.math.segment_mean(values, owner)

        def compute_output_shape(self, shapes: Any) -> Any:
            return (None, 8)

    model = keras.Model([atoms, indicator], head(Readout()([hidden, indicator])))
    model.compile("adam", "binary_crossentropy")
    owner = np.repeat(np.arange(8), 4).astype("int32")

    def merged() -> Any:
        for start in range(0, COUNT, 8):
            yield (floats(4), owner), labels().astype("float32")[start : start + 8]

    signature = (
        (tf.TensorSpec((None, 4)), tf.TensorSpec((None,), tf.int32)),
        tf.TensorSpec((None,)),
    )
    dataset = tf.data.Dataset.from_generator(merged, output_signature=signature)
    names = {"mpnn": model, "model": model, "train_dataset": dataset, "valid_dataset": dataset}
    fit = "train_dataset, validation_data=valid_dataset"
    graph = "(features, *others), targets = next(iter(valid_dataset))"
    more = one_graph(graph, "model([graph[0], *others])", "5", "targets[5]", fit)
    score = of_row(lambda graph: model([graph, tf.constant(owner)]), head, row=5)
    tries = (Try(lines("valid_dataset", fit)), more)
    return Case(names, tries, score, kind="series", refused=True)


def node_embeddings() -> Case:
    """Dict of int scalars "target" and "context", labels 0 and 1; one embedding, a dot, logits."""
    inputs = {name: keras.Input((), dtype="int64", name=name) for name in ("target", "context")}
    embed, embed_context = layers.Embedding(12, 8), layers.Embedding(12, 8)
    dots = layers.Dot(axes=1)([embed(inputs["target"]), embed_context(inputs["context"])])
    model = keras.Model(inputs, dots)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    nodes = np.arange(COUNT) % 12
    given = {"target": nodes, "context": nodes[::-1].copy()}
    dataset = batches(given, labels())
    names = {"model": model, "dataset": dataset}
    embeddings = {"target": embed, "context": embed_context}
    return Case(names, (Try(lines("dataset", "dataset")),), logits(model), "tokens", embeddings)


ROWS = [
    Row("graph/gnn_citations", node_classification),
    Row("graph/gat_node_classification", graph_attention),
    Row("generative/wgan-graphs", dense_graphs),
    Row("graph/mpnn-molecular-graphs", molecules),
    Row("graph/node2vec_movielens", node_embeddings),
]
