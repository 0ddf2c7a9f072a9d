"""Small vision transformers of plain Keras, as the literature builds them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops


class Prefix(layers.Layer):
    """Learned tokens before those of the image: class, distillation or register tokens."""

    def __init__(self, count: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape: Sequence[int]) -> None:
        self.tokens = self.add_weight((1, self.count, shape[-1]), "random_normal", name="tokens")

    def call(self, inputs: Any) -> Any:
        tokens = ops.tile(self.tokens, (ops.shape(inputs)[0], 1, 1))
        return ops.concatenate([tokens, inputs], axis=1)

    def compute_output_shape(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        return (shape[0], shape[1] + self.count, shape[2])


class Positions(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, shape: Sequence[int]) -> None:
        self.vectors = self.add_weight((1, *shape[1:]), "random_normal", name="vectors")

    def call(self, inputs: Any) -> Any:
        return inputs + self.vectors


def block(tokens: Any, name: str, *, heads: int = 2) -> Any:
    """Attention, then a perceptron, each after a normalization and beside a residual."""
    width = tokens.shape[-1]
    inner = layers.LayerNormalization(name=f"{name}_norm_1")(tokens)
    attention = layers.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")
    tokens = layers.Add(name=f"{name}_add_1")([tokens, attention(inner, inner)])
    inner = layers.LayerNormalization(name=f"{name}_norm_2")(tokens)
    inner = layers.Dense(2 * width, activation="gelu", name=f"{name}_dense_1")(inner)
    inner = layers.Dense(width, name=f"{name}_dense_2")(inner)
    return layers.Add(name=f"{name}_add_2")([tokens, inner])


def vit(
    shape: Sequence[int] = (16, 24, 3),
    *,
    patch: int = 4,
    width: int = 8,
    depth: int = 2,
    prefix: int = 1,
    classes: int = 3,
) -> keras.Model:
    """A ViT: with prefix tokens, the first one is the class token; without, tokens are averaged."""
    inputs = keras.Input(shape)
    patches = layers.Conv2D(width, patch, strides=patch, name="patches")(inputs)
    tokens = layers.Reshape((-1, width), name="flat")(patches)
    if prefix:
        tokens = Prefix(prefix, name="prefix")(tokens)
    tokens = Positions(name="positions")(tokens)
    for index in range(depth):
        tokens = block(tokens, f"block_{index}")
    tokens = layers.LayerNormalization(name="norm")(tokens)
    head = tokens[:, 0] if prefix else layers.GlobalAveragePooling1D(name="mean")(tokens)
    return keras.Model(inputs, layers.Dense(classes, name="head")(head))


class Patches(layers.Layer):
    """The pixels of each patch as a token, without a convolution, as in keras.io's example."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, images: Any) -> Any:
        batch, height, width, channels = ops.shape(images)
        size = (height // self.size) * (width // self.size)
        patches = ops.image.extract_patches(images, size=self.size)
        return ops.reshape(patches, (batch, size, self.size * self.size * channels))


def keras_io_vit(shape: Sequence[int] = (16, 24, 3)) -> keras.Model:
    """The ViT of keras.io's example: no class token, all tokens flattened before the head."""
    inputs = keras.Input(shape)
    tokens = Positions(name="positions")(layers.Dense(8)(Patches(4, name="patches")(inputs)))
    for index in range(2):
        tokens = block(tokens, f"block_{index}")
    values = layers.LayerNormalization(name="norm")(tokens)
    values = layers.Dropout(0.5)(layers.Flatten()(values))
    return keras.Model(inputs, layers.Dense(3, name="head")(values))


class WindowAttention(layers.Layer):
    """Attention within windows of a map, which may be shifted first, as in a Swin transformer.

    Tokens `(batch, height * width, channels)` go in and come out.
    """

    def __init__(self, size: tuple[int, int], window: int, shift: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.window, self.shift = size, window, shift
        self.norm, self.attention = layers.LayerNormalization(), layers.MultiHeadAttention(2, 4)

    def build(self, shape: Sequence[int]) -> None:
        self.norm.build(shape)
        self.attention.build(shape, shape)

    def call(self, tokens: Any) -> Any:
        (height, width), side, channels = self.size, self.window, tokens.shape[-1]
        values = ops.reshape(self.norm(tokens), (-1, height, width, channels))
        values = ops.roll(values, (-self.shift, -self.shift), axis=(1, 2))
        grid = (-1, height // side, side, width // side, side, channels)
        windows = ops.transpose(ops.reshape(values, grid), (0, 1, 3, 2, 4, 5))
        windows = ops.reshape(windows, (-1, side * side, channels))
        windows = self.attention(windows, windows)
        grid = (-1, height // side, width // side, side, side, channels)
        values = ops.transpose(ops.reshape(windows, grid), (0, 1, 3, 2, 4, 5))
        values = ops.reshape(values, (-1, height, width, channels))
        values = ops.roll(values, (self.shift, self.shift), axis=(1, 2))
        return tokens + ops.reshape(values, (-1, height * width, channels))


class PatchMerging(layers.Layer):
    """Four neighbours become one token: half the height, half the width, twice the channels."""

    def __init__(self, size: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, shape: Sequence[int]) -> None:
        self.dense = layers.Dense(2 * shape[-1], use_bias=False)
        self.dense.build((None, 4 * shape[-1]))

    def call(self, tokens: Any) -> Any:
        channels = tokens.shape[-1]
        values = ops.reshape(tokens, (-1, *self.size, channels))
        parts = [values[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        values = self.dense(ops.concatenate(parts, axis=-1))
        return ops.reshape(values, (-1, values.shape[1] * values.shape[2], 2 * channels))


def swin() -> keras.Model:
    """A small Swin transformer of images `(32, 16, 3)`: a grid of 8 by 4, then of 4 by 2."""
    inputs = keras.Input((32, 16, 3))
    tokens = layers.Conv2D(8, 4, strides=4, name="patches")(inputs)
    tokens = layers.Reshape((-1, 8), name="flat")(tokens)
    tokens = WindowAttention((8, 4), 2, 0, name="window")(tokens)
    tokens = WindowAttention((8, 4), 2, 1, name="shifted")(tokens)
    tokens = PatchMerging((8, 4), name="merging")(tokens)
    tokens = WindowAttention((4, 2), 2, 0, name="window_2")(tokens)
    tokens = layers.LayerNormalization(name="norm")(tokens)
    head = layers.GlobalAveragePooling1D(name="mean")(tokens)
    return keras.Model(inputs, layers.Dense(3, name="head")(head))
