"""Which words belong to which input of a pipeline, and where that cannot be told."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency import ProbeSet
from keras_saliency.data.vectorizers import words_of_inputs

TEXTS = ["a fine film", "a dull film", "fine", "dull"]
OTHER_TEXTS = ["un bon film", "nul", "bon", "un film nul"]
NAMES = ["negative", "positive", "negative", "positive"]
LABELS = [0, 1, 0, 1]
IDS = np.arange(12).reshape(4, 3)
OTHER_IDS = tf.ones((2, 200), tf.int64)  # captured; smaller ones become constants of the graph


def vectorization(texts=tuple(TEXTS), **settings):
    layer = keras.layers.TextVectorization(**settings)
    layer.adapt(list(texts))
    return layer


VECTORIZE = vectorization(output_sequence_length=3)
FRENCH = vectorization(OTHER_TEXTS, output_sequence_length=3)
LABEL = keras.layers.StringLookup(vocabulary=["negative", "positive"], num_oov_indices=0)
WORDS = tuple(VECTORIZE.get_vocabulary())
RAW = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))
BATCHES = RAW.batch(2)
PAIRS = tf.data.Dataset.from_tensor_slices((TEXTS, OTHER_TEXTS, NAMES)).batch(2)


def vectorized(text, label):
    return VECTORIZE(text), label


def vectorized_by(layer, text, label):
    return layer(text), label


class Preparation:
    def __init__(self, layer):
        self.layer = layer

    def method(self, text, label):
        return self.layer(text), label

    def __call__(self, text, label):
        return self.method(text, label)


def within(text, label):
    def inner(text):
        return VECTORIZE(text)

    return inner(text), label


def found(dataset, input_name=None):
    return {name: one.words for name, one in words_of_inputs(dataset, input_name).items()}


LOCAL = {
    "function": vectorized,
    "closure": (lambda layer: lambda text, label: (layer(text), label))(VECTORIZE),
    "partial": functools.partial(vectorized_by, VECTORIZE),
    "method": Preparation(VECTORIZE).method,
    "object": Preparation(VECTORIZE),
    "calls another": lambda text, label: vectorized(text, label),
    "function within": within,
    "default": lambda text, label, layer=VECTORIZE: (layer(text), label),
    "keyword": lambda text, label, *, layer=VECTORIZE: (layer(text), label),
    "in a dict": (lambda layers: lambda text, label: (layers["en"](text), label))(
        {"en": VECTORIZE, "fr": FRENCH}
    ),
    "in a model": (lambda model: lambda text, label: (model(text), label))(
        keras.Sequential([keras.Input((), dtype="string"), VECTORIZE])
    ),
}


@pytest.mark.parametrize("name", LOCAL)
def test_the_layer_is_found_however_the_function_refers_to_it(name):
    probes = ProbeSet.from_dataset(BATCHES.map(LOCAL[name]), per_class=2)
    assert (probes.kind, probes.vocabulary) == ("tokens", WORDS)


STEPS = {
    "further steps": lambda data: data.map(vectorized).cache().shuffle(4).prefetch(1).take(4),
    "parallel": lambda data: data.map(vectorized, num_parallel_calls=2),
    "batched later": lambda data: data.unbatch().map(vectorized).batch(2),
    "padded later": lambda data: data.unbatch().map(vectorized).padded_batch(2),
    "unbatched later": lambda data: data.map(vectorized).unbatch().batch(3),
    "repeated and joined": lambda data: data.map(vectorized).concatenate(data.map(vectorized)),
    "cast": lambda data: data.map(vectorized).map(lambda x, y: (tf.cast(x, "int32"), y)),
    "cut": lambda data: data.map(lambda x, y: (VECTORIZE(x)[:, 1:], y)),
    "begun": lambda data: data.map(
        lambda x, y: (
            tf.concat([tf.fill([tf.shape(x)[0], 1], 2), tf.cast(VECTORIZE(x), "int32")], 1),
            y,
        )
    ),
    "masked": lambda data: data.map(vectorized).map(
        lambda x, y: (tf.where(x > 3, tf.ones_like(x), x), y)
    ),
    "zip": lambda data: tf.data.Dataset.zip(
        (data.map(lambda x, y: VECTORIZE(x)), data.map(lambda x, y: y))
    ),
    "zip of labels first": lambda data: tf.data.Dataset.zip(
        (data.map(lambda x, y: y), data.map(lambda x, y: VECTORIZE(x)))
    ).map(lambda label, tokens: (tokens, label)),
    "one input by name": lambda data: data.map(lambda x, y: ({"text": VECTORIZE(x)}, y)),
    "a dict of input and label": lambda data: data.map(
        lambda x, y: {"text": VECTORIZE(x), "label": y}
    ).map(lambda element: (element["text"], element["label"])),
}


@pytest.mark.parametrize("name", STEPS)
def test_values_are_followed_through_steps_that_copy_them(name):
    assert found(STEPS[name](BATCHES)) == {None: WORDS}


def test_ragged_tokens_have_words():
    layer = vectorization(ragged=True)
    data = BATCHES.map(lambda text, label: (layer(text), label))
    assert found(data) == {None: WORDS}
    dense = data.map(lambda tokens, label: (tokens.to_tensor(), label))
    assert found(dense) == {None: WORDS}
    assert ProbeSet.from_dataset(data, per_class=2).vocabulary == WORDS


UNKNOWN = {
    "no layer": BATCHES,
    "ids and a lookup of labels": tf.data.Dataset.from_tensor_slices((IDS, NAMES))
    .batch(2)
    .map(lambda ids, name: (ids, LABEL(name))),
    "multiples": BATCHES.map(lambda text, label: (VECTORIZE(text) * 2, label)),
    "other numbers": BATCHES.map(lambda text, label: (VECTORIZE(text) + 1, label)),
    "other ids beside": BATCHES.map(
        lambda text, label: (tf.concat([VECTORIZE(text), OTHER_IDS], 1), label)
    ),
    "another data set for each element": BATCHES.map(vectorized).flat_map(
        lambda ids, label: tf.data.Dataset.from_tensors((ids + 1, label))
    ),
    "two layers": PAIRS.map(lambda x, y, _: (tf.concat([VECTORIZE(x), FRENCH(y)], 1), [0, 1])),
    "two data sets": BATCHES.map(vectorized).concatenate(
        BATCHES.map(lambda text, label: (FRENCH(text), label))
    ),
    "not a pipeline": (IDS, LABELS),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_where_it_cannot_be_told_there_are_no_words(name):
    assert found(UNKNOWN[name]) == {}


def test_a_lookup_of_labels_is_not_the_vocabulary_of_tokens():
    data = tf.data.Dataset.from_tensor_slices((IDS % 5, NAMES)).batch(2)
    probes = ProbeSet.from_dataset(data.map(lambda x, name: (x, LABEL(name))), per_class=2)
    assert (probes.kind, probes.vocabulary) == ("tokens", None)
    assert probes.targets.tolist() == [0, 0, 1, 1]
    texts = tf.data.Dataset.from_tensor_slices((TEXTS, NAMES)).batch(2)
    probes = ProbeSet.from_dataset(
        texts.map(lambda x, name: (VECTORIZE(x), LABEL(name))), per_class=2
    )
    assert (probes.targets.tolist(), probes.vocabulary) == ([0, 0, 1, 1], WORDS)


def test_a_table_of_integers_beside_a_lookup_of_labels_is_explained():
    data = tf.data.Dataset.from_tensor_slices((IDS, NAMES)).batch(2)
    probes = ProbeSet.from_dataset(data.map(lambda x, name: (x, LABEL(name))), per_class=2)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    maps = ks.saliency_maps(model, probes)
    kernel = np.abs(model.layers[0].kernel.numpy())
    np.testing.assert_allclose(maps, kernel.T[probes.targets], rtol=1e-5)


def test_each_of_several_inputs_has_the_words_of_its_own_layer():
    data = PAIRS.map(
        lambda en, fr, name: ({"z": VECTORIZE(en), "a": FRENCH(fr)[:, :2]}, LABEL(name))
    )
    french = tuple(FRENCH.get_vocabulary())
    assert found(data) == {"z": WORDS, "a": french}
    probes = ProbeSet.from_dataset(data, per_class=2)
    vocabularies = {name: one.vocabulary for name, one in probes.explained.items()}
    assert vocabularies == {"z": WORDS, "a": french}
    assert found(data, "a") == {None: french}
    assert ProbeSet.from_dataset(data, per_class=2, input_name="a").vocabulary == french
    in_tuple = data.map(lambda x, y: ((x["z"], x["a"], tf.cast(y, "float32")), y))
    probes = ProbeSet.from_dataset(in_tuple, per_class=2)
    vocabularies = {name: one.vocabulary for name, one in probes.explained.items()}
    assert vocabularies == {0: WORDS, 1: french, 2: None}
    with_ids = data.map(lambda x, y: ({"ids": tf.zeros((2, 3), tf.int32), "z": x["z"]}, y))
    probes = ProbeSet.from_dataset(with_ids, per_class=2)
    vocabularies = {name: one.vocabulary for name, one in probes.explained.items()}
    assert vocabularies == {"ids": None, "z": WORDS}


def test_ids_without_a_word_have_no_vocabulary():
    padded = (
        BATCHES.map(vectorized).unbatch().padded_batch(2, ([5], []), (tf.constant(99, tf.int64), 0))
    )
    probes = ProbeSet.from_dataset(padded, per_class=2)
    assert (probes.images.max(), probes.vocabulary) == (99, None)


def test_a_vocabulary_that_is_passed_counts():
    own = ProbeSet.from_dataset(BATCHES.map(vectorized), per_class=2, vocabulary=list("abcdefg"))
    assert own.vocabulary == tuple("abcdefg")


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_counted_words_are_the_names_of_columns(mode):
    layer = vectorization(output_mode=mode)
    data = BATCHES.map(lambda text, label: (layer(text), label))
    words = tuple(layer.get_vocabulary())
    probes = ProbeSet.from_dataset(data, per_class=2)
    assert (probes.kind, probes.vocabulary, probes.feature_names) == ("features", None, words)
    own = ProbeSet.from_dataset(data, per_class=2, feature_names=list("abcde"))
    assert own.feature_names == tuple("abcde")
    as_floats = data.map(lambda x, y: (tf.cast(x, "float32") * 2.0, y))
    assert ProbeSet.from_dataset(as_floats, per_class=2).feature_names == words
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    maps = ks.saliency_maps(model, probes)
    kernel = np.abs(model.layers[0].kernel.numpy())
    np.testing.assert_allclose(maps, kernel.T[probes.targets], rtol=1e-5)


def test_columns_that_are_not_one_for_each_word_have_no_names():
    wide = vectorization(output_mode="multi_hot", max_tokens=9, pad_to_max_tokens=True)
    narrow = vectorization(output_mode="count")
    reverse, cut = slice(None, None, -1), slice(2)
    for layer, columns in ((wide, slice(None)), (narrow, cut), (narrow, reverse)):
        data = BATCHES.map(lambda x, y, layer=layer, columns=columns: (layer(x)[:, columns], y))
        assert ProbeSet.from_dataset(data, per_class=1).feature_names is None
    padded = ProbeSet.from_dataset(BATCHES.map(lambda x, y: (wide(x), y)), per_class=2)
    assert (padded.kind, padded.vocabulary) == ("features", None)


def test_nothing_is_read():
    def fails():
        raise AssertionError
        yield

    data = tf.data.Dataset.from_generator(
        fails, output_signature=(tf.TensorSpec((None,), tf.string), tf.TensorSpec((None,)))
    )
    assert found(data.map(vectorized)) == {None: WORDS}
