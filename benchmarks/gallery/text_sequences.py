"""Text: a label for every token, sequences from sequences, pairs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, ids, labels, one_hot
from benchmarks.gallery.reference import largest_logits, logits, output
from benchmarks.gallery.rows import Case, Row, Try, lines
from benchmarks.gallery.text import (
    FIRST,
    FIT,
    TokenAndPosition,
    TransformerBlock,
    arrays,
    datasets,
)


def named_entities() -> Case:
    """Padded batches of ids with a label for each token; softmax at each token, masked loss."""

    class NERModel(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.block = TokenAndPosition(10, 20, 8), TransformerBlock(8)
            self.out = layers.Dense(4, activation="softmax")

        def call(self, tokens: Any, training: bool = False) -> Any:
            return self.out(self.block(self.embedding(tokens)))

    model = NERModel()
    model.compile("adam", "sparse_categorical_crossentropy")
    tags = np.where(ids(10) > 0, ids(10) % 4, 0)
    names = {"model": model, **datasets(ids(10), tags)}
    tries = (Try(lines("val_ds", FIT)),)
    score = largest_logits(model, model.out)
    return Case(names, tries, score, "tokens", model.embedding.token_emb)


def characters_to_characters() -> Case:
    """Lists of two one-hot float arrays, one-hot targets per step; encoder and decoder LSTM."""
    encoder_inputs, decoder_inputs = keras.Input((None, 6)), keras.Input((None, 7))
    _, *states = layers.LSTM(8, return_state=True)(encoder_inputs)
    hidden = layers.LSTM(8, return_sequences=True)(decoder_inputs, initial_state=states)
    dense = layers.Dense(7, activation="softmax")
    model = keras.Model([encoder_inputs, decoder_inputs], dense(hidden))
    model.compile("rmsprop", "categorical_crossentropy")
    draw = np.random.default_rng(0)
    encoder_data, decoder_data, targets = (
        np.eye(n, dtype="float32")[draw.integers(0, n, (COUNT, 5))] for n in (6, 7, 7)
    )
    names = {"model": model, "encoder_input_data": encoder_data}
    names |= {"decoder_input_data": decoder_data, "decoder_target_data": targets}
    fit = "[encoder_input_data, decoder_input_data], decoder_target_data"
    return Case(names, (Try(lines(f"({fit})", fit)),), largest_logits(model, dense), kind="series")


def translation() -> Case:
    """({"encoder_inputs", "decoder_inputs"}, targets per step); transformer, softmax."""
    encoder_inputs = keras.Input((None,), dtype="int64", name="encoder_inputs")
    decoder_inputs = keras.Input((None,), dtype="int64", name="decoder_inputs")
    embed = layers.Embedding(20, 8, name="source")
    source = TransformerBlock(8)(embed(encoder_inputs))
    target = layers.Embedding(20, 8, name="target")(decoder_inputs)
    hidden = layers.MultiHeadAttention(2, 8)(target, source)
    dense = layers.Dense(20, activation="softmax")
    model = keras.Model([encoder_inputs, decoder_inputs], dense(hidden))
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    english, spanish = ids(8), ids(9, seed=1)
    given = {"encoder_inputs": english, "decoder_inputs": spanish[:, :-1]}
    names = {"model": model, **datasets(given, spanish[:, 1:])}
    tries = (Try(lines("val_ds", FIT)),)
    score = largest_logits(model, dense)
    both = {"encoder_inputs": embed, "decoder_inputs": model.get_layer("target")}
    return Case(names, tries, score, "tokens", both)


def masked_language_model() -> Case:
    """(ids with masks, ids, weights per token); softmax at each token, own train_step."""

    class MaskedLanguageModel(keras.Model):
        def train_step(self, inputs: Any) -> dict[str, Any]:
            features, classes, weights = inputs
            with tf.GradientTape() as tape:
                predicted = self(features, training=True)
                losses = keras.losses.sparse_categorical_crossentropy(classes, predicted)
                loss = tf.reduce_mean(losses * weights)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    inputs = keras.Input((10,), dtype="int64")
    hidden = TransformerBlock(8)(layers.Embedding(20, 8)(inputs))
    dense = layers.Dense(20, activation="softmax")
    model = MaskedLanguageModel(inputs, dense(hidden))
    model.compile("adam")
    masked, weights = ids(10).copy(), np.zeros((COUNT, 10), "float32")
    masked[:, 2], weights[:, 2] = 19, 1
    names = {"model": model, "mlm_ds": batches(masked, ids(10), weights)}
    tries = (Try(lines("mlm_ds", "mlm_ds")),)
    return Case(names, tries, largest_logits(model, dense), kind="tokens")


def semantic_similarity() -> Case:
    """PyDataset of ((ids, attention masks, token types), one-hot); three int inputs, softmax."""
    names_of = ("input_ids", "attention_masks", "token_type_ids")
    inputs = [keras.Input((10,), dtype="int32", name=name) for name in names_of]
    embeddings = {0: layers.Embedding(20, 8), 2: layers.Embedding(2, 8)}
    embedded = embeddings[0](inputs[0]) + embeddings[2](inputs[2])
    hidden = layers.Bidirectional(layers.LSTM(4))(embedded, mask=ops.cast(inputs[1], "bool"))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", "categorical_crossentropy")
    tokens = ids(10).astype("int32")
    given = [
        tokens,
        (tokens > 0).astype("int32"),
        np.tile(np.arange(10, dtype="int32") // 5, (32, 1)),
    ]

    class BertSemanticDataGenerator(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            rows = slice(index * 16, index * 16 + 16)
            return tuple(one[rows] for one in given), one_hot(3)[rows]

    names = {"model": model, "train_data": BertSemanticDataGenerator()}
    names["valid_data"] = names["train_data"]
    fit = "train_data, validation_data=valid_data"
    return Case(names, (Try(lines("valid_data", fit)),), logits(model), "tokens", embeddings)


def question_answering() -> Case:
    """[ids, types, mask] with [start, end] positions as labels; two softmax outputs over tokens."""
    inputs = [keras.Input((10,), dtype="int32") for _ in range(3)]
    embed = layers.Embedding(20, 8)
    embed_types = layers.Embedding(2, 8)
    hidden = TransformerBlock(8)(embed(inputs[0]) + embed_types(inputs[1]))
    heads = [layers.Dense(1, use_bias=False) for _ in range(2)]
    ends = [layers.Activation("softmax")(layers.Flatten()(head(hidden))) for head in heads]
    model = keras.Model(inputs, ends)
    model.compile("adam", ["sparse_categorical_crossentropy"] * 2)
    tokens = ids(10).astype("int32")
    given = [tokens, np.zeros_like(tokens), (tokens > 0).astype("int32")]
    names = {"model": model, "x_eval": given, "y_eval": [labels(7), labels(3)]}
    fit = "x_eval, y_eval"
    tries = (
        Try(lines("(x_eval, y_eval)", fit)),
        Try(lines("(x_eval, y_eval)", fit, "output=0"), ("output=: 0, 1",)),
    )
    logit_model = keras.Model(inputs, layers.Flatten()(heads[0].output))
    return Case(names, tries, logits(logit_model), "tokens", {0: embed, 1: embed_types})


def text_generation() -> Case:
    """(ids, ids a step later); causal transformer with two outputs, loss on the first."""
    inputs = keras.Input((10,), dtype="int32")
    hidden = TransformerBlock(8)(TokenAndPosition(10, 20, 8)(inputs))
    model = keras.Model(inputs, [layers.Dense(20, name="words")(hidden), hidden])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=[loss, None])
    tokens = ids(11).astype("int32")
    names = {"model": model, "text_ds": batches(tokens[:, :-1], tokens[:, 1:])}
    score = largest_logits(model, None, lambda out: out[0])
    embedding = model.layers[1].token_emb
    return Case(names, (Try(lines("text_ds", "text_ds")),), score, "tokens", embedding)


def addition() -> Case:
    """Arrays (steps, characters) of bool in and out; RNN, softmax at each step."""
    model = keras.Sequential(
        [
            keras.Input((5, 6)),
            layers.LSTM(8),
            layers.RepeatVector(3),
            layers.LSTM(8, return_sequences=True),
            layers.Dense(6, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    draw = np.random.default_rng(0)
    x, y = (np.eye(6, dtype=bool)[draw.integers(0, 6, (COUNT, n))] for n in (5, 3))
    names = {"model": model, **arrays(x, y)}
    fit = "x_train, y_train, validation_data=(x_val, y_val)"
    return Case(names, (Try(lines("(x_val, y_val)", fit)),), largest_logits(model), kind="series")


def sentence_embeddings() -> Case:
    """Regression on pairs of sentences: two id inputs, cosine similarity (n, 1), mse."""
    inputs = [keras.Input((8,), dtype="int32", name=name) for name in ("first", "second")]
    embed = keras.Sequential([layers.Embedding(20, 8), layers.GlobalAveragePooling1D()])
    cosine = layers.Dot(axes=1, normalize=True)([embed(one) for one in inputs])
    model = keras.Model(inputs, cosine)
    model.compile("adam", "mse")
    pair = {"first": ids(8).astype("int32"), "second": ids(8, seed=1).astype("int32")}
    similar = np.linspace(-1, 1, COUNT, dtype="float32")
    names = {"model": model, **datasets(pair, similar)}
    return Case(names, (FIRST,), output(model), "tokens", embed.layers[0])


ROWS = [
    Row("nlp/ner_transformers", named_entities),
    Row("nlp/lstm_seq2seq", characters_to_characters),
    Row("nlp/neural_machine_translation_with_transformer", translation),
    Row("nlp/masked_language_modeling", masked_language_model),
    Row("nlp/semantic_similarity_with_bert", semantic_similarity),
    Row("nlp/text_extraction_with_bert", question_answering),
    Row("generative/text_generation_with_miniature_gpt", text_generation),
    Row("nlp/addition_rnn", addition),
    Row("nlp/sentence_embeddings_with_sbert", sentence_embeddings),
]
