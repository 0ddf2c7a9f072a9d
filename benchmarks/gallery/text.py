"""Text with a class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, WORDS, batches, floats, ids, labels, one_hot, sentences
from benchmarks.gallery.reference import first_embedding, logits
from benchmarks.gallery.rows import Case, Row, Try, lines

FIT = "train_ds, validation_data=val_ds"
FIRST = Try(lines("val_ds", FIT))


def datasets(*elements: Any) -> dict[str, Any]:
    return {"train_ds": batches(*elements), "val_ds": batches(*elements)}


def arrays(x: Any, y: Any) -> dict[str, Any]:
    return {"x_train": x, "y_train": y, "x_val": x, "y_val": y}


def from_arrays(*more: str) -> tuple[Try, ...]:
    fit = "x_train, y_train, validation_data=(x_val, y_val)"
    first = Try(lines("(x_val, y_val)", fit))
    kind = Try(lines("(x_val, y_val)", fit, "kind='tokens'"), ("'tokens'",))
    return (first, kind, *(Try(lines("(x_val, y_val)", fit, "kind='tokens'", m)) for m in more))


class TokenAndPosition(layers.Layer):
    def __init__(self, length: int, words: int, width: int) -> None:
        super().__init__()
        self.token_emb = layers.Embedding(words, width)
        self.pos_emb = layers.Embedding(length, width)

    def call(self, tokens: Any) -> Any:
        return self.token_emb(tokens) + self.pos_emb(ops.arange(tokens.shape[-1]))


class TransformerBlock(layers.Layer):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.att = layers.MultiHeadAttention(2, width)
        self.ffn = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(width)])
        self.norm = layers.LayerNormalization()

    def call(self, values: Any) -> Any:
        values = self.norm(values + self.att(values, values))
        return values + self.ffn(values)


def text_from_ids() -> Case:
    """Data set of ids made by a vectorizer in the pipeline, int labels; Conv1D, sigmoid."""
    inputs = keras.Input((None,), dtype="int64")
    hidden = layers.Dropout(0.5)(layers.Embedding(20, 8)(inputs))
    hidden = layers.GlobalMaxPooling1D()(layers.Conv1D(8, 3, activation="relu")(hidden))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, **datasets(ids(10), labels())}
    return Case(names, (FIRST,), logits(model), kind="tokens")


def vectorizer() -> Any:
    layer = layers.TextVectorization(output_sequence_length=8)
    layer.adapt(sentences())
    return layer


def text_vectorized_inside() -> Case:
    """Data set of strings; the model begins with a TextVectorization, sigmoid."""
    vectorize = vectorizer()
    inputs = keras.Input((1,), dtype="string", name="text")
    tokens = vectorize(inputs)
    body = keras.Sequential(
        [
            keras.Input((8,), dtype="int64"),
            layers.Embedding(len(WORDS) + 2, 8),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model = keras.Model(inputs, body(tokens))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, **datasets(sentences()[:, None], labels())}
    return Case(names, (FIRST,), logits(body), "tokens", first_embedding(body))


def strings_with_vectorized_pipeline() -> Case:
    """Raw data set of strings beside the vectorized one that fit takes; sigmoid."""
    case = text_from_ids()
    vectorize = vectorizer()
    raw = batches(sentences(), labels())
    both = raw.map(lambda x, y: (vectorize(x), y))
    names = {**case.names, "train_ds": both, "val_ds": both, "raw_val_ds": raw}
    names["vectorize"] = vectorize
    mapped = "raw_val_ds.map(lambda x, y: (vectorize(x), y))"
    tries = (
        Try(lines("raw_val_ds", FIT)),
        Try(
            lines(mapped, FIT),
            ("ProbeSet.from_dataset(dataset.map(lambda x, y: (vectorize(x), y)))",),
        ),
    )
    return Case(names, tries, case.score, kind="tokens")


def transformer() -> Case:
    """Arrays of padded ids, int labels; token and position embedding, softmax over two."""
    inputs = keras.Input((10,))
    hidden = TransformerBlock(8)(TokenAndPosition(10, 20, 8)(inputs))
    hidden = layers.Dense(8, activation="relu")(layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(ids(10).astype("int32"), labels())}
    return Case(names, from_arrays(), logits(model), kind="tokens")


def bidirectional_lstm() -> Case:
    """int32 arrays, input of any length and dtype; two LSTMs both ways, sigmoid."""
    inputs = keras.Input((None,), dtype="int32")
    hidden = layers.Embedding(20, 8)(inputs)
    hidden = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(hidden)
    hidden = layers.Bidirectional(layers.LSTM(4))(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, **arrays(ids(8).astype("int32"), labels())}
    return Case(names, from_arrays(), logits(model), kind="tokens")


class FNetEncoder(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm = layers.Dense(8, activation="relu"), layers.LayerNormalization()

    def call(self, values: Any) -> Any:
        mixed = tf.math.real(tf.signal.fft2d(tf.cast(values, tf.complex64)))
        return values + self.dense(self.norm(values + mixed))


def fnet() -> Case:
    """Dict elements {"input_ids"} with labels; Fourier mixing, sigmoid over one unit."""
    inputs = keras.Input((None,), dtype="int64", name="input_ids")
    hidden = FNetEncoder()(layers.Embedding(20, 8)(inputs))
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, **datasets({"input_ids": ids(10)}, labels())}
    return Case(names, (FIRST,), logits(model), kind="tokens")


class Switch(layers.Layer):
    """Routes each token to the expert that the router prefers; the balance is an added loss."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts = layers.Dense(2), [layers.Dense(8) for _ in range(2)]

    def call(self, tokens: Any) -> Any:
        probabilities = ops.softmax(self.router(tokens))
        self.add_loss(0.1 * ops.mean(ops.mean(probabilities, (0, 1)) ** 2))
        chosen = ops.one_hot(ops.argmax(probabilities, axis=-1), 2) * probabilities
        outputs = [expert(tokens) for expert in self.experts]
        return sum(chosen[..., k : k + 1] * outputs[k] for k in range(2))


def switch_transformer() -> Case:
    """Arrays of ids; experts chosen per token, an added loss, softmax."""
    inputs = keras.Input((10,))
    hidden = Switch()(TokenAndPosition(10, 20, 8)(inputs))
    hidden = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(ids(10), labels())}
    return Case(names, from_arrays(), logits(model), kind="tokens")


def pretrained_embeddings() -> Case:
    """Arrays of ids and int labels; a frozen embedding with given weights, softmax."""
    matrix = np.random.default_rng(0).normal(size=(20, 8)).astype("float32")
    inputs = keras.Input((None,), dtype="int64")
    frozen = layers.Embedding(20, 8, trainable=False)
    hidden = layers.Conv1D(8, 3, activation="relu")(frozen(inputs))
    hidden = layers.GlobalMaxPooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    frozen.set_weights([matrix])
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(ids(10), labels(4))}
    return Case(names, from_arrays(), logits(model), kind="tokens")


def active_learning() -> Case:
    """Data set of ids with labels (n, 1) float32; BiLSTM of any length, sigmoid, checkpoint."""
    inputs = keras.Input((8,), dtype="int64")
    hidden = layers.Bidirectional(layers.LSTM(4))(layers.Embedding(20, 8)(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("rmsprop", "binary_crossentropy")
    names = {"model": model, **datasets(ids(8), labels().astype("float32")[:, None])}
    return Case(names, (FIRST,), logits(model), kind="tokens")


def multi_label_text() -> Case:
    """Data set of tf-idf rows with multi-hot labels; sigmoids, binary cross-entropy."""
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(8, "relu"), layers.Dense(5, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    hot = (np.random.default_rng(0).random((COUNT, 5)) < 0.5).astype("float32")
    names = {"model": model, **datasets(floats(12), hot)}
    return Case(names, (FIRST,), logits(model), kind="features")


def logits_of_several_labels() -> Case:
    """The same with logits: a linear end, and a binary cross-entropy with from_logits=True."""
    model = keras.Sequential([keras.Input((12,)), layers.Dense(8, "relu"), layers.Dense(5)])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    case = multi_label_text()
    return replace(case, names={**case.names, "model": model}, score=logits(model))


def words_counted_in_the_pipeline() -> Case:
    """Data set of strings that a vectorizer in the pipeline makes multi-hot rows of; sigmoid."""
    vectorize = layers.TextVectorization(output_mode="multi_hot")
    vectorize.adapt(sentences())
    counted = batches(sentences(), labels()).map(lambda x, y: (vectorize(x), y))
    inputs = keras.Input((vectorize.vocabulary_size(),))
    hidden = layers.Dense(8, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, "train_ds": counted, "val_ds": counted}
    return Case(names, (FIRST,), logits(model), kind="features")


def head_made_first() -> Case:
    """Arrays of ids; a subclass that is not built, whose head is made before its embedding."""

    class Classifier(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = layers.Dense(3, activation="softmax")
            self.embedding, self.pool = layers.Embedding(20, 8), layers.GlobalAveragePooling1D()

        def call(self, tokens: Any) -> Any:
            return self.head(self.pool(self.embedding(tokens)))

    model = Classifier()
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **arrays(ids(8), labels(3))}
    return Case(names, from_arrays()[:1], logits(model, model.head), kind="tokens")


def ragged_text() -> Case:
    """Data set of ragged ids with labels; Embedding with a mask, GRU, sigmoid."""
    inputs = keras.Input((None,), dtype="int64")
    hidden = layers.GRU(4)(layers.Embedding(20, 8, mask_zero=True)(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    rows = [row[: 4 + k % 4] for k, row in enumerate(ids(8).tolist())]
    ragged = batches(tf.ragged.constant(rows, dtype=tf.int64), labels())
    padded = ragged.map(lambda x, y: (x.to_tensor(), y))
    names = {"model": model, "ragged_val_ds": ragged, "train_ds": padded}
    fixed = "ragged_val_ds.map(lambda x, y: (x.to_tensor(shape=(None, 8)), y))"
    tries = (
        Try(lines("ragged_val_ds", "train_ds")),
        Try(lines("ragged_val_ds", "train_ds", "kind='tokens'"), ("'tokens'",)),
        Try(lines(fixed, "train_ds", "kind='tokens'"), ("to_tensor",)),
    )
    return Case(names, tries, logits(model), kind="tokens")


def bag_of_words() -> Case:
    """Arrays of multi-hot rows of words with one-hot labels; dense layers, softmax."""
    model = keras.Sequential(
        [keras.Input((20,)), layers.Dense(8, activation="relu"), layers.Dense(3, "softmax")]
    )
    model.compile("adam", "categorical_crossentropy")
    hot = (np.random.default_rng(0).random((COUNT, 20)) < 0.3).astype("float32")
    names = {"model": model, **arrays(hot, one_hot(3))}
    fit = "x_train, y_train, validation_data=(x_val, y_val)"
    return Case(names, (Try(lines("(x_val, y_val)", fit)),), logits(model), kind="features")


ROWS = [
    Row("nlp/text_classification_from_scratch", text_from_ids),
    Row("nlp/text_classification_from_scratch", text_vectorized_inside),
    Row("nlp/text_classification_from_scratch", strings_with_vectorized_pipeline),
    Row("nlp/text_classification_with_transformer", transformer),
    Row("nlp/bidirectional_lstm_imdb", bidirectional_lstm),
    Row("nlp/fnet_classification_with_keras_hub", fnet),
    Row("nlp/text_classification_with_switch_transformer", switch_transformer),
    Row("nlp/pretrained_word_embeddings", pretrained_embeddings),
    Row("nlp/active_learning_review_classification", active_learning),
    Row("nlp/multi_label_classification", multi_label_text),
    Row("nlp/multi_label_classification", logits_of_several_labels),
    Row("nlp/active_learning_review_classification", words_counted_in_the_pipeline),
    Row("guides/making_new_layers_and_models_via_subclassing", head_made_first),
    Row("guides/understanding_masking_and_padding", ragged_text),
    Row("api/datasets/reuters", bag_of_words),
]
