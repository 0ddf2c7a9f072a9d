"""Kinds and texts that the model tells: what nobody should have to say twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.engine import kinds
from keras_saliency.engine.forward import build

RNG = np.random.default_rng(0)
ROWS = RNG.random((4, 6, 3), "float32")
IDS = np.arange(20).reshape(4, 5) % 7


def sequential(shape, *more, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *more, layers.Dense(2)])


class Subclass(keras.Model):
    """A model whose graph shows nothing."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.out = layer, layers.Dense(2)

    def call(self, inputs):
        return self.out(self.layer(inputs))


class Positions(layers.Layer):
    """A custom layer around an embedding."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Embedding(7, 4)

    def call(self, tokens):
        return self.inner(tokens)


def expanded():
    inputs = keras.Input((6, 3))
    seen = layers.Conv2D(2, 2)(keras.ops.expand_dims(inputs, -1))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(seen)))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: sequential((6, 3), layers.Conv1D(4, 2), layers.GlobalMaxPooling1D()), "series"),
        (lambda: sequential((6, 3), layers.Rescaling(2.0), layers.LSTM(4)), "series"),
        (lambda: sequential((6, 3), layers.Bidirectional(layers.GRU(4))), "series"),
        (lambda: Subclass(layers.SimpleRNN(3)), "series"),
        (lambda: sequential((6, 3), layers.Flatten()), "image"),
        (lambda: sequential((6, 3), layers.Reshape((6, 3, 1)), layers.Flatten()), "image"),
        (expanded, "image"),
        (
            lambda: sequential(
                (6, 3, 1), layers.RandomFlip(), layers.Conv2D(2, 2), layers.Flatten()
            ),
            "image",
        ),
    ],
)
def test_the_first_layers_tell_series_from_gray_images(make, kind):
    model = make()
    model(ROWS)  # which builds it
    monitor = SaliencyMonitor(model, ProbeSet(ROWS, [0, 1, 0, 1]))
    assert type(monitor.probes.kind) is str
    assert monitor.probes.kind == kind
    maps = monitor.evaluate(0).maps
    assert maps.shape == ((4, 6) if kind == "series" else (4, 6, 3))
    with tf.GradientTape() as tape:
        inputs = tf.constant(ROWS)
        tape.watch(inputs)
        scores = tf.gather(model(inputs, training=False), [0, 1, 0, 1], axis=1, batch_dims=1)
    slopes = np.abs(tape.gradient(scores, inputs).numpy())
    expected = slopes.max(axis=-1) if kind == "series" else slopes
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-7)


def test_layers_that_do_not_tell_ask():
    inputs = keras.Input((6, 3))
    model = keras.Model(inputs, layers.LayerNormalization()(inputs)[:, 0])
    with pytest.raises(ValueError, match=r"\(4, 6, 3\).*Pass kind='image' or kind='series'"):
        SaliencyMonitor(model, ProbeSet(ROWS, [0, 1, 0, 1]))
    for kind in ("image", "series"):
        SaliencyMonitor(model, ProbeSet(ROWS, [0, 1, 0, 1], kind=kind))


def test_masks_and_kind_overrule():
    model = sequential((6, 3), layers.Conv1D(4, 2), layers.GlobalMaxPooling1D())
    masked = ProbeSet(ROWS, [0, 1, 0, 1], masks=ROWS > 0.5)
    assert SaliencyMonitor(model, masked).evaluate(0).maps.shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: sequential((5,), layers.Embedding(7, 4), layers.LSTM(3), dtype="int32"), "tokens"),
        (lambda: sequential((5,), Positions(), layers.LSTM(3), dtype="int32"), "tokens"),
        (lambda: sequential((5,), layers.Dense(4)), "features"),
        (lambda: sequential((5,), layers.Normalization(mean=0.0, variance=1.0)), "features"),
    ],
)
def test_the_first_layers_tell_tokens_from_whole_numbers(make, kind):
    assert SaliencyMonitor(make(), ProbeSet(IDS, [0, 1, 0, 1])).probes.kind == kind


def test_a_series_among_several_inputs():
    rows, age = keras.Input((6, 3), name="rows"), keras.Input((1,), name="age")
    both = layers.Concatenate()([layers.GRU(3)(rows), age])
    model = keras.Model([rows, age], layers.Dense(2)(both))
    maps = ks.saliency_maps(model, {"age": ROWS[:, 0, :1], "rows": ROWS}, [0, 1, 0, 1])
    assert {name: one.shape for name, one in maps.items()} == {"age": (4, 1), "rows": (4, 6)}


# ---------------------------------------------------------------- texts

TEXTS = np.array(["a fine film", "a dull film", "fine", "dull dull dull"])
LABELS = np.array([1, 0, 1, 0])


def text_model(mode="int", length=None):
    vectorize = layers.TextVectorization(
        output_mode=mode, output_sequence_length=length, name="vectorize"
    )
    vectorize.adapt(TEXTS)
    embed = [layers.Embedding(9, 4, name="embed"), layers.GlobalAveragePooling1D()]
    body = embed if mode == "int" else []
    return keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            vectorize,
            *body,
            layers.Dense(5, activation="tanh"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@pytest.mark.parametrize("length", [None, 4])
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:, None], TEXTS.astype(object), [*TEXTS]])
def test_texts_are_explained_by_their_words(texts, length):
    model = text_model(length=length)
    monitor = SaliencyMonitor(model, ProbeSet(texts, LABELS))
    vectorize, embed, *rest = model.layers
    tokens = vectorize(TEXTS[:, None])
    np.testing.assert_array_equal(monitor.probes.images, tokens)
    assert monitor.probes.vocabulary == tuple(vectorize.get_vocabulary())
    with tf.GradientTape() as tape:
        vectors = embed(tokens)
        tape.watch(vectors)
        values = vectors
        for layer in rest[:-1]:
            values = layer(values)
        logits = (values @ rest[-1].kernel + rest[-1].bias)[:, 0]
        scores = tf.where(LABELS == 1, logits, -logits)
    expected = np.linalg.norm(tape.gradient(scores, vectors), axis=-1)
    report = monitor.evaluate(0)
    np.testing.assert_allclose(report.maps, expected, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(report.scores, scores, rtol=1e-4)


def test_counted_words_are_features_with_their_names():
    model = text_model(mode="multi_hot")
    monitor = SaliencyMonitor(model, ProbeSet(TEXTS, LABELS))
    words = model.layers[0].get_vocabulary()
    assert monitor.probes.feature_names == tuple(words)
    counts = model.layers[0](TEXTS[:, None]).numpy()
    np.testing.assert_array_equal(monitor.probes.images, counts)
    with tf.GradientTape() as tape:
        inputs = tf.constant(counts, tf.float32)
        tape.watch(inputs)
        hidden, last = model.layers[1:]
        logits = (hidden(inputs) @ last.kernel)[:, 0]
    slopes = np.abs(tape.gradient(logits, inputs).numpy())
    np.testing.assert_allclose(monitor.evaluate(0).maps, slopes, rtol=1e-4, atol=1e-8)


def test_a_training_on_texts_is_explained_in_three_lines(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((np.tile(TEXTS, 4), np.tile(LABELS, 4))).batch(4)
    model = text_model(length=4)
    model.compile("adam", "binary_crossentropy")
    probes = ProbeSet.from_dataset(data, per_class=2)
    saliency = ks.SaliencyCallback(probes, log_dir=tmp_path, verbose=0)
    model.fit(data, epochs=1, verbose=0, shuffle=False, callbacks=[saliency])
    logged = ks.read_log(tmp_path)["saliency"]
    assert logged.probes.kind == "tokens"
    assert logged.reports[-1].maps.shape == (4, 4)
    assert set(saliency.monitor.probes.vocabulary) >= {"fine", "dull", "film"}


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_categories_that_the_model_looks_up_are_explained(mode):
    """As tokens if their indices are embedded, and as columns if they are one-hot."""
    towns = np.array(["rome", "oslo", "rome", "bonn"])
    lookup = layers.StringLookup(vocabulary=["oslo", "rome"], output_mode=mode)
    embed = [layers.Embedding(3, 4), layers.Flatten()] if mode == "int" else []
    dense = layers.Dense(2)
    model = keras.Sequential([keras.Input((1,), dtype="string"), lookup, *embed, dense])
    monitor = SaliencyMonitor(model, ProbeSet(towns, LABELS))
    report = monitor.evaluate(0)
    indices, kernel = np.array([2, 1, 2, 0]), dense.kernel.numpy()
    inputs = embed[0].embeddings.numpy()[indices] if mode == "int" else np.eye(3)[indices]
    logits = inputs @ kernel + dense.bias.numpy()
    np.testing.assert_allclose(report.scores, logits[range(4), LABELS], rtol=1e-5)
    if mode == "int":
        assert monitor.probes.images.tolist() == [[2], [1], [2], [0]]
        assert [monitor.probes.vocabulary[k] for k in indices] == ["rome", "oslo", "rome", "[UNK]"]
        expected = np.linalg.norm(kernel[:, LABELS], axis=0)[:, None]
    else:
        assert monitor.probes.feature_names == ("[UNK]", "oslo", "rome")
        expected = np.abs(kernel[:, LABELS]).T
    np.testing.assert_allclose(report.maps, expected, rtol=1e-5)


def test_texts_without_a_vectorization_are_refused():
    model = sequential((1,), layers.Dense(2))
    with pytest.raises(ValueError, match="one TextVectorization layer.*one with 0.*vocabulary="):
        SaliencyMonitor(model, ProbeSet(TEXTS, LABELS))


def test_texts_beside_other_inputs_are_held():
    """An error says so if they are the input to explain; the line that it has explains the rest."""
    vectorize = layers.TextVectorization(output_sequence_length=4)
    vectorize.adapt(TEXTS)
    review, year = keras.Input((1,), dtype="string", name="review"), keras.Input((1,), name="year")
    words = layers.Embedding(9, 2)(vectorize(review))
    both = layers.Concatenate()([year, layers.Flatten()(words)])
    model = keras.Model({"review": review, "year": year}, layers.Dense(2)(both))
    years = np.arange(len(TEXTS))[:, None] / 4
    alone = ProbeSet(TEXTS, LABELS, kind="tokens", input_name="review", held={"year": years})
    with pytest.raises(ValueError, match=r"'year' as well.*ProbeSet\({'review': texts, 'year':"):
        SaliencyMonitor(model, alone)
    maps = ks.saliency_maps(model, ProbeSet({"review": TEXTS, "year": years}, LABELS))
    expected = np.abs(model.layers[-1].kernel.numpy()[0, LABELS])
    np.testing.assert_allclose(maps[:, 0], expected, rtol=1e-6)


class Nodes(keras.Model):
    """A graph network looks nodes up in what it computes: a node's number has no gradient."""

    def __init__(self):
        super().__init__()
        self.features = ROWS[:, 0]
        self.inner, self.out = layers.Dense(4, activation="tanh"), layers.Dense(3)

    def call(self, nodes):
        hidden = self.inner(tf.constant(self.features))
        numbers = keras.ops.cast(keras.ops.reshape(nodes, (-1,)), "int32")
        return self.out(keras.ops.take(hidden, numbers, axis=0))


def test_rows_of_a_computed_table_are_no_embeddings():
    model, nodes = Nodes(), np.arange(4)[:, None]
    model(nodes)
    with pytest.raises(ValueError, match="expected a layer that returns a vector for each of the"):
        SaliencyMonitor(model, ProbeSet(nodes, [0, 1, 2, 0], kind="tokens"))


def test_row_numbers_of_a_graph_are_refused_with_lines_that_explain_it():
    """The lines of the error, with the model's own layers, give the gradient of one row."""
    model, nodes = Nodes(), np.arange(4)
    model(nodes)
    with pytest.raises(ValueError, match=r"'nodes[_\d]*/.*' \(GatherV2\) looks up rows") as error:
        SaliencyMonitor(model, ProbeSet(nodes, [0, 1, 2, 0]))
    advised = str(error.value).partition("explain the whole graph as one input: ")[2]
    *lines, score = advised.removesuffix(".").split("; ")
    score = score.removeprefix("and for one of its rows score=")
    assert lines[1] == "rows = model.head(model.body(graph[0]))"
    lines[1] = "rows = model.out(model.inner(graph[0]))"
    names = {"keras": keras, "ks": ks, "model": model, "features": ROWS[:, 0], "target": 2}
    exec("\n".join(lines), names)
    score = eval(score, names | {"row": 1})
    maps = SaliencyMonitor(model, names["probes"], score=score).evaluate(0).maps
    slopes = 1 - np.tanh(ROWS[1, 0] @ model.inner.kernel + model.inner.bias) ** 2
    expected = model.inner.kernel.numpy() @ (slopes * model.out.kernel.numpy()[:, 2])
    np.testing.assert_allclose(maps[0, 1], np.abs(expected).max(), rtol=1e-5)
    assert maps.shape == (1, 4)
    assert not maps[0, [0, 2, 3]].any()


def test_numbers_that_an_embedding_looks_up_are_advised_to_be_tokens():
    model = sequential((1,), layers.Embedding(7, 4), layers.Flatten())
    with pytest.raises(ValueError, match=r"rows of a learned table.*kind='tokens'"):
        SaliencyMonitor(model, ProbeSet(IDS[:, :1], [0, 1, 0, 1], kind="features"))
    kernel = model.layers[-1].kernel.numpy()[:, [0, 1, 0, 1]]
    report = SaliencyMonitor(model, ProbeSet(IDS[:, :1], [0, 1, 0, 1], kind="tokens")).evaluate(0)
    np.testing.assert_allclose(report.maps[:, 0], np.linalg.norm(kernel, axis=0), rtol=1e-5)


def test_a_call_of_a_whole_graph_is_refused_with_lines_that_explain_it():
    class Graph(keras.Model):
        def call(self, inputs):
            features, edges = inputs
            return keras.ops.take(features, edges, axis=0)

    with pytest.raises(Exception, match="call") as error:
        build(Graph(), ProbeSet(np.arange(4), [0, 1, 2, 0]))
    assert "numbers of its rows, explain the whole graph" in error.value.__notes__[0]
    assert "rows = model([graph[0], edges])" in error.value.__notes__[0]
    with pytest.raises(Exception, match="call") as error:
        build(Graph(), ProbeSet(ROWS[:, 0], [0, 1, 2, 0]))
    assert "graph" not in error.value.__notes__[0]


def test_inner_layers_are_read_in_the_order_in_which_they_were_made():
    """An embedding before a dense layer, two models deep: the integers are tokens."""

    class Inner(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.out = layers.Embedding(7, 4), layers.Dense(2)

        def call(self, tokens):
            return self.out(keras.ops.sum(self.embedding(tokens), axis=1))

    model = Subclass(Inner())
    model(IDS)
    monitor = SaliencyMonitor(model, ProbeSet(IDS, [0, 1, 0, 1]))
    assert monitor.probes.kind == "tokens"
    kernel = (model.layer.out.kernel @ model.out.kernel).numpy()  # each token has the same slope
    expected = np.linalg.norm(kernel, axis=0)[[0, 1, 0, 1]]
    maps = monitor.step(-1).maps
    np.testing.assert_allclose(maps, np.repeat(expected[:, None], 5, axis=1), rtol=1e-5)


def test_without_a_graph_the_layers_are_traced(monkeypatch):
    """As in a version of Keras that names the order of the layers otherwise."""
    model = sequential((6, 3), layers.Rescaling(2.0), layers.Conv1D(4, 2), layers.Flatten())
    monkeypatch.setattr(kinds, "steps_behind", lambda *_: None)
    assert kinds.with_kinds_told(model, ProbeSet(ROWS), 32).kind == "series"


def test_without_a_graph_and_a_trace_all_layers_are_read():
    class Eager(Subclass):
        def call(self, inputs):
            return super().call(inputs.numpy())

    model = Eager(layers.Conv1D(4, 2))
    model(ROWS)
    assert kinds.with_kinds_told(model, ProbeSet(ROWS), 32).kind == "series"


class Several(keras.Model):
    """A model that makes its layers in another order than it calls them.

    Args:
        parts: The layer of each input.
        order: The names of the inputs, in the order in which their layers are made.
    """

    def __init__(self, parts, order):
        super().__init__()
        self.out = layers.Dense(3)
        for name in order:
            setattr(self, name, parts[name]())

    def call(self, inputs):
        vectors = []
        for name, values in inputs.items():
            seen = getattr(self, name)(values[..., None] if name == "gray" else values)
            vectors.append(keras.ops.mean(seen, axis=[*range(1, len(seen.shape) - 1)]))
        return self.out(keras.ops.concatenate(vectors, axis=1))


PARTS = {
    "caption": lambda: layers.Embedding(7, 4),
    "counts": lambda: layers.Dense(4),
    "gray": lambda: layers.Conv2D(4, 2),
    "rows": lambda: layers.GRU(4, return_sequences=True),
    "states": lambda: layers.TimeDistributed(layers.Dense(4)),
}
VALUES = {"caption": IDS, "counts": IDS[:, :3], "gray": ROWS, "rows": ROWS, "states": ROWS}


@pytest.mark.parametrize("names", [("caption", "counts"), ("gray", "rows"), ("states", "gray")])
@pytest.mark.parametrize("turned", [False, True])
def test_kinds_do_not_depend_on_the_order_in_which_layers_were_made(names, turned):
    data, targets = {name: VALUES[name] for name in names}, [0, 1, 2, 0]
    model = Several(PARTS, names[::-1] if turned else names)
    model(data)
    before = [np.array(weight) for weight in model.weights]
    report = SaliencyMonitor(model, ProbeSet(data, targets)).evaluate(0)
    for weight, values in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, values)
    maps = {names[0]: report.maps, names[1]: report.other_inputs[names[1]].maps}
    with tf.GradientTape() as tape:
        given = {name: tf.constant(data[name], tf.float32) for name in names}
        tape.watch(given)
        vectors = tf.gather(model.caption.embeddings, IDS) if "caption" in names else None
        if vectors is not None:
            tape.watch(vectors)
        pooled = [
            tf.reduce_mean(
                vectors
                if name == "caption"
                else getattr(model, name)(
                    given[name][..., None] if name == "gray" else given[name]
                ),
                axis={"gray": [1, 2], "counts": []}.get(name, [1]),
            )
            for name in names
        ]
        scores = tf.gather(model.out(tf.concat(pooled, 1)), targets, axis=1, batch_dims=1)
    slopes = tape.gradient(scores, {**given, "caption": vectors} if "caption" in names else given)
    expected = {name: np.abs(slopes[name]) for name in names if name in ("gray", "counts")}
    expected |= {name: np.abs(slopes[name]).max(-1) for name in names if name in ("rows", "states")}
    if "caption" in names:
        expected["caption"] = np.linalg.norm(slopes["caption"], axis=-1)
    for name in names:
        np.testing.assert_allclose(maps[name], expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("are_scalars", [False, True])
def test_one_input_of_a_model_that_makes_its_head_first(are_scalars):
    """Ids of several columns, each with the same embedding; one array, or an input per column."""

    class Head(keras.Model):
        def __init__(self):
            super().__init__()
            self.out, self.embedding = layers.Dense(3), layers.Embedding(7, 4)

        def call(self, inputs):
            columns = [*inputs.values()] if are_scalars else keras.ops.unstack(inputs, axis=1)
            return self.out(sum(map(self.embedding, columns)))

    model, data = Head(), IDS
    if are_scalars:
        data = {f"word{place}": IDS[:, place] for place in range(5)}
    model(data)
    report = SaliencyMonitor(model, ProbeSet(data, [0, 1, 2, 0])).evaluate(0)
    several = [report.maps, *(one.maps for one in report.other_inputs.values())]
    maps = np.concatenate(several, axis=1)
    expected = np.linalg.norm(model.out.kernel.numpy(), axis=0)[[0, 1, 2, 0]]
    np.testing.assert_allclose(maps, np.repeat(expected[:, None], 5, axis=1), rtol=1e-5)


def test_integers_that_are_columns_have_no_vocabulary():
    """Categories that a pipeline has looked up are tokens until the model encodes them."""
    lookup = layers.StringLookup(vocabulary=["a", "b"])
    data = tf.data.Dataset.from_tensor_slices((["a", "b", "b", "a"], [0, 1, 1, 0])).batch(2)
    data = data.map(lambda x, y: (tf.stack([lookup(x), [1, 2]], axis=1), y))
    probes = ProbeSet.from_dataset(data, per_class=2)
    assert (probes.kind, probes.vocabulary) == ("tokens", ("[UNK]", "a", "b"))
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    np.testing.assert_allclose(
        ks.saliency_maps(model, probes), np.abs(model.layers[0].kernel.numpy()).T[probes.targets]
    )
