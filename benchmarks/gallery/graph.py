"""Graphs: nodes with a class, molecules of different sizes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels
from benchmarks.gallery.reference import linear, logits
from benchmarks.gallery.rows import Case, Row, Try, lines

GIVEN, FIT = "(x_test, y_test)", "x_train, y_train"


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
    tries = (Try(lines(GIVEN, FIT)),)
    return Case(names, tries, None, kind="tokens", refused=True)


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
    return Case(names, (Try(lines(GIVEN, FIT)),), None, "tokens", refused=True)


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
    tries = (Try(lines("valid_dataset", fit)),)

    def score(inputs: Any, targets: Any) -> Any:
        with linear(head):
            return model(inputs)[:, 0]

    return Case(names, tries, score, kind="features", refused=True)


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
