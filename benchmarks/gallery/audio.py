"""Audio: waves, spectrograms, embeddings."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, ids, labels, one_hot
from benchmarks.gallery.reference import largest_logits, logits, mean
from benchmarks.gallery.rows import Case, Row, Try, lines, three

FIT = "train_ds, validation_data=valid_ds"
FIRST = Try(lines("valid_ds", FIT))


def datasets(*elements: Any) -> dict[str, Any]:
    return {"train_ds": batches(*elements), "valid_ds": batches(*elements)}


def speaker_recognition() -> Case:
    """Data set of FFT magnitudes (frequencies, 1) with int labels; residual Conv1D, softmax."""
    inputs = keras.Input((40, 1), name="input")
    hidden = layers.Conv1D(8, 3, padding="same", activation="relu")(inputs)
    hidden = layers.MaxPool1D(2)(hidden + layers.Conv1D(8, 1, padding="same")(inputs))
    hidden = layers.Flatten()(layers.AveragePooling1D(pool_size=3, strides=3)(hidden))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(floats(40, 1), labels(3))}
    return Case(names, (FIRST,), logits(model), kind="series")


def accents() -> Case:
    """Data set of embeddings (1024,) with one-hot labels, class_weight; dense layers, softmax."""
    inputs = keras.Input((24,), name="embedding")
    hidden = layers.Dropout(0.5)(layers.Dense(8, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("adam", keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    names = {"model": model, **datasets(floats(24), one_hot(3))}
    return Case(names, (FIRST,), logits(model), kind="features")


def mel_spectrogram() -> Case:
    """Data set of waves (samples,) with int labels; a MelSpectrogram layer inside, softmax."""
    inputs = keras.Input((512,))
    mel = layers.MelSpectrogram(
        fft_length=64, sequence_stride=32, sampling_rate=8000, num_mel_bins=8, max_freq=4000
    )(inputs)
    hidden = layers.Conv2D(4, 3, activation="relu")(ops.expand_dims(mel, -1))
    hidden = layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(floats(512) - 0.5, labels())}
    return Case(names, (FIRST,), logits(model), kind="features")


def spectrogram_images() -> Case:
    """Data set of spectrograms (time, frequencies, 1) with int labels; Conv2D, logits."""
    inputs = keras.Input((24, 16, 1))
    hidden = layers.Resizing(16, 16)(layers.Normalization(mean=0.0, variance=1.0)(inputs))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(hidden))
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, **datasets(floats(24, 16, 1) * 4 - 9, labels(3))}
    return Case(names, (FIRST,), logits(model))


def speech_to_text_ctc() -> Case:
    """Data set of spectrograms of many lengths, padded in batches as their texts; CTC as a loss."""
    inputs = keras.Input((None, 16), name="input")
    hidden = layers.Conv2D(4, 3, padding="same", activation="relu")(
        layers.Reshape((-1, 16, 1))(inputs)
    )
    hidden = layers.Bidirectional(layers.GRU(4, return_sequences=True))(
        layers.Reshape((-1, 64))(hidden)
    )
    dense = layers.Dense(7, activation="softmax")
    model = keras.Model(inputs, dense(hidden), name="DeepSpeech_2")

    def ctc(y_true: Any, y_pred: Any) -> Any:
        ones = ops.ones((ops.shape(y_true)[0],), "int32")
        lengths = [ones * ops.shape(y_true)[1], ones * ops.shape(y_pred)[1]]
        return ops.mean(ops.ctc_loss(y_true, ops.log(y_pred + 1e-7), *lengths, mask_index=0))

    model.compile("adam", loss=ctc)
    characters = np.random.default_rng(0).integers(1, 6, (COUNT, 4))
    sounds = [(sound[: 12 + k % 9], characters[k]) for k, sound in enumerate(floats(20, 16))]
    specs = tf.TensorSpec((None, 16), tf.float32), tf.TensorSpec((None,), tf.int64)
    dataset = tf.data.Dataset.from_generator(lambda: iter(sounds), output_signature=specs)
    dataset = dataset.padded_batch(8)
    names = {"model": model, "train_ds": dataset, "valid_ds": dataset}
    return Case(names, (Try(lines("valid_ds", FIT)),), largest_logits(model, dense))


def speech_transformer() -> Case:
    """Dict elements {"source", "target"} without y; a transformer with its own train_step."""

    class Transformer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = layers.Conv1D(8, 3, strides=2, activation="relu")
            self.words, self.attention = layers.Embedding(8, 8), layers.MultiHeadAttention(2, 4)
            self.classifier = layers.Dense(8)

        def call(self, inputs: Any) -> Any:
            source, target = inputs
            words = self.words(target)
            return self.classifier(words + self.attention(words, self.encoder(source)))

        def train_step(self, batch: Any) -> dict[str, Any]:
            source, target = batch["source"], batch["target"]
            with tf.GradientTape() as tape:
                predicted = self([source, target[:, :-1]])
                loss = self.compute_loss(None, target[:, 1:], predicted)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    model = Transformer()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    source, target = floats(20, 16), ids(6, words=8)
    names = {"model": model, **datasets({"source": source, "target": target})}
    names |= {"source": source, "target": target}
    both = "ks.ProbeSet({0: source, 1: target[:, :-1]})"
    pair = "(element['source'], element['target'])"
    tries = (
        Try(lines("valid_ds", "train_ds")),
        Try(lines(f"valid_ds.map(lambda element: {pair})", "train_ds"), ("dataset.map(lambda",)),
        Try(three(both, "train_ds"), ("ProbeSet({0: ..., 1: ...}",)),
    )
    return Case(
        names,
        tries,
        largest_logits(model),
        kind="series",
        embedding=model.words,
        kinds={1: "tokens"},
    )


def raw_waves() -> Case:
    """Ragged waves with attention masks, dict inputs and int labels; Conv1D, softmax."""
    waves = keras.Input((None,), name="input_values")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    hidden = layers.Conv1D(8, 8, strides=4, activation="relu")(
        ops.expand_dims(waves * ops.cast(mask, "float32"), -1)
    )
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(
        {"input_values": waves, "attention_mask": mask},
        layers.Dense(3, activation="softmax")(layers.Dropout(0.5)(hidden)),
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    given = {"input_values": floats(64) - 0.5, "attention_mask": np.ones((COUNT, 64), "int32")}
    names = {"model": model, "train_x": given, "train_y": labels(3), "test_x": given}
    names["test_y"] = labels(3)
    data, fit = "(test_x, test_y)", "train_x, train_y"
    return Case(names, (Try(lines(data, fit)),), logits(model), kind="features")


def vocal_track_separation() -> Case:
    """Mixed waves (samples, 1) to sources (samples, sources); STFT inside a subclass, mae."""

    class Separator(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.mask = layers.Dense(34, activation="sigmoid")

        def call(self, waves: Any) -> Any:
            real, imaginary = ops.stft(waves[..., 0], 32, 16, 32)
            mask = ops.reshape(self.mask(ops.abs(real)), (*ops.shape(real)[:2], 17, 2))
            sources = [
                ops.istft((real * mask[..., k], imaginary * mask[..., k]), 32, 16, 32)
                for k in range(2)
            ]
            return ops.stack(sources, axis=-1)

    model = Separator()
    model.compile("adam", "mae")
    waves = floats(64, 1) - 0.5
    names = {"model": model, **datasets(waves, np.repeat(waves / 2, 2, axis=-1))}
    return Case(names, (Try(lines("valid_ds", FIT)),), mean(model), kind="series")


ROWS = [
    Row("audio/speaker_recognition_using_cnn", speaker_recognition),
    Row("audio/uk_ireland_accent_recognition", accents),
    Row("audio/stft", mel_spectrogram),
    Row("audio/stft", spectrogram_images),
    Row("audio/ctc_asr", speech_to_text_ctc),
    Row("audio/transformer_asr", speech_transformer),
    Row("audio/wav2vec2_audiocls", raw_waves),
    Row("audio/vocal_track_separation", vocal_track_separation),
]
