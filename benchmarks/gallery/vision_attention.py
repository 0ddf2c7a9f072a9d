"""Vision: images with a class, by attention and mixing of patches."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from benchmarks.gallery.data import floats, labels, one_hot, pixels
from benchmarks.gallery.reference import logits
from benchmarks.gallery.rows import Case, Row, Try, lines
from benchmarks.gallery.vision_classes import (
    FROM_ARRAYS,
    FROM_DATASETS,
    arrays,
    convolutions,
    datasets,
)


@keras.saving.register_keras_serializable("gallery")
class Patches(layers.Layer):
    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, images: Any) -> Any:
        patches = keras.ops.image.extract_patches(images, self.size)
        return keras.ops.reshape(
            patches, (-1, patches.shape[1] * patches.shape[2], patches.shape[3])
        )


class Positions(layers.Layer):
    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(number, width)
        self.number = number

    def call(self, tokens: Any) -> Any:
        return tokens + self.embedding(keras.ops.arange(self.number))


def block(tokens: Any) -> Any:
    normalized = layers.LayerNormalization()(tokens)
    tokens = tokens + layers.MultiHeadAttention(2, 4, dropout=0.1)(normalized, normalized)
    return tokens + layers.Dense(8, activation="gelu")(layers.LayerNormalization()(tokens))


def vision_transformer() -> Case:
    """uint8 arrays and labels (n, 1), as cifar100 gives them; augmentation, patches, logits."""
    inputs = keras.Input((16, 16, 3))
    augmented = layers.RandomFlip(seed=0)(layers.Rescaling(1 / 255)(inputs))
    tokens = block(Positions(16, 8)(layers.Dense(8)(Patches(4)(augmented))))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(tokens)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **arrays(pixels(16, 16, 3), labels(3)[:, None])}
    return Case(names, (FROM_ARRAYS,), logits(model))


def swin_transformer() -> Case:
    """Data set of patches made in the pipeline (n, patches, values), one-hot labels, softmax."""
    inputs = keras.Input((16, 48))
    tokens = block(layers.Dense(8)(inputs))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(inputs, outputs)
    model.compile("adam", keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    names = {"model": model, **datasets(floats(16, 48), one_hot(3))}
    return Case(names, (FROM_DATASETS,), logits(model), kind="series")


def mlp_mixer() -> Case:
    """float32 arrays and labels (n, 1); token mixing by Permute and Dense, logits."""
    inputs = keras.Input((16, 16, 3))
    tokens = layers.Dense(8)(Patches(4)(layers.Normalization(mean=0.5, variance=0.1)(inputs)))
    mixed = layers.Permute((2, 1))(
        layers.Dense(16, activation="gelu")(layers.Permute((2, 1))(tokens))
    )
    hidden = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(tokens + mixed))
    model = keras.Model(inputs, layers.Dense(3)(layers.Dropout(0.2)(hidden)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **arrays(floats(16, 16, 3), labels(3)[:, None])}
    return Case(names, (FROM_ARRAYS,), logits(model))


def external_attention() -> Case:
    """One-hot arrays; attention over a learnt memory, a softmax over tokens inside."""
    inputs = keras.Input((16, 16, 3))
    tokens = layers.Dense(8)(Patches(4)(inputs))
    attention = layers.Softmax(axis=1)(layers.Dense(4)(tokens))
    tokens = tokens + layers.Dense(8)(attention)
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(inputs, outputs)
    model.compile("adam", keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    names = {"model": model, **arrays(floats(16, 16, 3), one_hot(3))}
    return Case(names, (FROM_ARRAYS,), logits(model))


class SequencePooling(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.Dense(1)

    def call(self, tokens: Any) -> Any:
        weights = keras.ops.softmax(self.attention(tokens), axis=1)
        return keras.ops.squeeze(
            keras.ops.matmul(keras.ops.transpose(weights, (0, 2, 1)), tokens), 1
        )


def compact_transformer() -> Case:
    """One-hot arrays; convolutional tokenizer, sequence pooling by attention, logits."""
    inputs, hidden = convolutions()
    tokens = block(layers.Reshape((-1, 8))(layers.MaxPooling2D()(hidden)))
    model = keras.Model(inputs, layers.Dense(3)(SequencePooling()(tokens)))
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    names = {"model": model, **arrays(floats(16, 16, 3), one_hot(3))}
    return Case(names, (FROM_ARRAYS,), logits(model))


class Query(layers.Layer):
    def build(self, shape: Any) -> None:
        self.latents = self.add_weight(shape=(1, 4, 8), initializer="random_normal")

    def call(self, tokens: Any) -> Any:
        return keras.ops.repeat(self.latents, keras.ops.shape(tokens)[0], axis=0)


def perceiver() -> Case:
    """uint8 arrays, labels (n, 1); cross-attention from a learnt latent array, logits."""
    inputs = keras.Input((16, 16, 3))
    tokens = layers.Dense(8)(Patches(4)(layers.Rescaling(1 / 255)(inputs)))
    latents = layers.MultiHeadAttention(2, 4)(Query()(tokens), tokens)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(block(latents))))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **arrays(pixels(16, 16, 3), labels(3)[:, None])}
    return Case(names, (FROM_ARRAYS,), logits(model))


class TokenLearner(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.maps = layers.Conv2D(4, 3, padding="same", activation="gelu")

    def call(self, features: Any) -> Any:
        shape = keras.ops.shape(features)
        maps = keras.ops.softmax(keras.ops.reshape(self.maps(features), (shape[0], -1, 4)), axis=1)
        flat = keras.ops.reshape(features, (shape[0], -1, features.shape[-1]))
        return keras.ops.einsum("npk,npc->nkc", maps, flat)


def token_learner() -> Case:
    """Data set with labels (n, 1); a transformer on learnt tokens, softmax."""
    inputs, hidden = convolutions()
    tokens = layers.GlobalAvgPool1D()(block(TokenLearner()(hidden)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(tokens))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(floats(16, 16, 3), labels(3)[:, None])}
    return Case(names, (FROM_DATASETS,), logits(model))


def multiple_instances() -> Case:
    """Bags: a list of three inputs, one per instance; attention over them, softmax."""
    inputs = [keras.Input((16, 16, 1)) for _ in range(3)]
    embed = keras.Sequential([layers.Flatten(), layers.Dense(8, activation="relu")])
    embedded = [embed(one) for one in inputs]
    scores = layers.Softmax()(layers.Concatenate()([layers.Dense(1)(one) for one in embedded]))
    weighted = [
        layers.Multiply()([embedded[k], layers.Lambda(lambda w, k=k: w[:, k : k + 1])(scores)])
        for k in range(3)
    ]
    outputs = layers.Dense(2, activation="softmax")(layers.Concatenate()(weighted))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    bags = [floats(16, 16, 1, seed=k) for k in range(3)]
    names = {"model": model, "train_data": bags, "val_data": bags}
    names |= {"train_labels": labels(), "val_labels": labels()}
    fit, data = "train_data, train_labels", "(val_data, val_labels)"
    return Case(names, (Try(lines(data, fit)),), logits(model))


ROWS = [
    Row("vision/image_classification_with_vision_transformer", vision_transformer),
    Row("vision/swin_transformers", swin_transformer),
    Row("vision/mlp_image_classification", mlp_mixer),
    Row("vision/eanet", external_attention),
    Row("vision/cct", compact_transformer),
    Row("vision/perceiver_image_classification", perceiver),
    Row("vision/token_learner", token_learner),
    Row("vision/attention_mil_classification", multiple_instances),
]
