"""Structured data: tables, and dicts with a column for each feature."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from benchmarks.gallery.data import COUNT, batches, floats, labels, one_hot
from benchmarks.gallery.reference import log_probability, logits, output
from benchmarks.gallery.rows import Case, Row, Try, lines, three

FIT = "train_ds, validation_data=val_ds"
FIRST = Try(lines("val_ds", FIT))
NUMBERS, WORDS = ("age", "chol", "oldpeak"), ("thal", "sex")


def datasets(*elements: Any) -> dict[str, Any]:
    return {"train_ds": batches(*elements), "val_ds": batches(*elements)}


def numbers(shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {name: floats(*shape, seed=k) for k, name in enumerate(NUMBERS)}


def dense(*body: Any, features: int, head: Any) -> keras.Model:
    return keras.Sequential([keras.Input((features,)), *body, head])


def columns_in_a_dict() -> Case:
    """Dict of float columns (n, 1), int labels; concatenated, sigmoid."""
    inputs = {name: keras.Input((1,), name=name) for name in NUMBERS}
    hidden = layers.Dense(8, activation="relu")(layers.Concatenate()([*inputs.values()]))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, **datasets(numbers(), labels())}
    return Case(names, (FIRST,), logits(model), kind="features")


def columns_of_numbers_and_strings() -> Case:
    """Dict of columns (n, 1), floats and strings; lookups and normalization inside, sigmoid."""
    inputs = {name: keras.Input((1,), name=name) for name in NUMBERS}
    inputs["thal"] = keras.Input((1,), name="thal", dtype="string")
    lookup = layers.StringLookup(vocabulary=["fixed", "normal"], output_mode="one_hot")
    numeric = [layers.Normalization(mean=0.5, variance=1.0)(inputs[name]) for name in NUMBERS]
    hidden = layers.Dense(8)(layers.Concatenate()([*numeric, lookup(inputs["thal"])]))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(hidden)))
    model.compile("adam", "binary_crossentropy")
    strings = np.array(["fixed", "normal"])[labels()][:, None]
    names = {"model": model, **datasets(numbers() | {"thal": strings}, labels())}
    return Case(names, (FIRST,), logits(model), kind="features")


def columns_given_as_probes() -> Case:
    """The same columns, begun with ProbeSet({name: column}, labels), as docs/models.md has it."""
    case = columns_of_numbers_and_strings()
    strings = np.array(["fixed", "normal"])[labels()][:, None]
    names = {**case.names, "columns": numbers() | {"thal": strings}, "targets": labels()}
    return Case(names, (Try(three("ks.ProbeSet(columns, targets)", FIT)),), case.score, "features")


def feature_space() -> Case:
    """Dict of scalars (n,), floats, ints and strings; a FeatureSpace in the pipeline, sigmoid."""
    space = keras.utils.FeatureSpace(
        {
            **dict.fromkeys(NUMBERS, "float_normalized"),
            "sex": "integer_categorical",
            "thal": "string_categorical",
        },
        output_mode="concat",
    )
    words = np.array(["fixed", "normal"])[labels()]
    rows = {**numbers(()), "sex": labels(), "thal": words}
    raw = batches(rows, labels())
    space.adapt(raw.map(lambda x, y: x))
    both = raw.map(lambda x, y: (space(x), y))
    encoded = space.get_encoded_features()
    hidden = layers.Dense(8, activation="relu")(encoded)
    model = keras.Model(encoded, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, "train_ds": both, "val_ds": both}
    return Case(names, (FIRST,), logits(model), kind="features")


def wide_deep_cross() -> Case:
    """Data set of (dict of columns, labels, weights); embeddings of categories, softmax."""
    inputs = {name: keras.Input((1,), name=name) for name in NUMBERS}
    inputs["soil"] = keras.Input((1,), name="soil", dtype="string")
    index = layers.StringLookup(vocabulary=["clay", "sand"])(inputs["soil"])
    embedded = layers.Reshape((4,))(layers.Embedding(3, 4)(index))
    features = layers.Concatenate()([*(inputs[name] for name in NUMBERS), embedded])
    crossed = features * layers.Dense(7)(features) + features
    merged = layers.Concatenate()([crossed, layers.Dense(8, activation="relu")(features)])
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(merged))
    model.compile("adam", "sparse_categorical_crossentropy")
    soil = np.array(["clay", "sand"])[labels()][:, None]
    weights = np.ones(COUNT, "float32")
    names = {"model": model, **datasets(numbers() | {"soil": soil}, labels(3), weights)}
    return Case(names, (FIRST,), logits(model), kind="features")


def tab_transformer() -> Case:
    """The same with a transformer over the embedded categories, one logit with sigmoid."""
    inputs = {name: keras.Input((1,), name=name) for name in NUMBERS}
    embedded = []
    for name in WORDS:
        inputs[name] = keras.Input((1,), name=name, dtype="string")
        index = layers.StringLookup(vocabulary=["a", "b"])(inputs[name])
        embedded.append(layers.Embedding(3, 4)(index))
    tokens = layers.Concatenate(axis=1)(embedded)
    tokens = layers.LayerNormalization()(tokens + layers.MultiHeadAttention(2, 4)(tokens, tokens))
    numeric = layers.LayerNormalization()(layers.Concatenate()([inputs[n] for n in NUMBERS]))
    merged = layers.Concatenate()([layers.Flatten()(tokens), numeric])
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(merged))
    model.compile("adam", "binary_crossentropy")
    words = {name: np.array(["a", "b"])[labels()][:, None] for name in WORDS}
    y, weights = labels().astype("float32")[:, None], np.ones((COUNT, 1), "float32")
    names = {"model": model, **datasets(numbers() | words, y, weights)}
    return Case(names, (FIRST,), logits(model), kind="features")


def variable_selection() -> Case:
    """A plain list of inputs by name from a dict of columns; gated residual networks, sigmoid."""
    inputs = [keras.Input((1,), name=name) for name in NUMBERS]
    projected = [layers.Dense(4)(one) for one in inputs]
    weights = layers.Dense(3, activation="softmax")(layers.Concatenate()(projected))
    stacked = ops.stack(projected, axis=1)
    selected = layers.Flatten()(ops.matmul(ops.expand_dims(weights, 1), stacked))
    head = layers.Dense(1, activation="sigmoid")
    model = keras.Model(inputs, head(selected))
    model.compile("adam", "binary_crossentropy")
    names = {"model": model, **datasets(numbers(), labels(), np.ones(COUNT, "float32"))}
    return Case(names, (FIRST,), logits(model, head), kind="features")


def neural_forest() -> Case:
    """Dict of scalars (n,), a mixture of trees by probabilities (no logit), cross-entropy."""
    inputs = {name: keras.Input((1,), name=name) for name in NUMBERS}
    features = layers.BatchNormalization()(layers.Concatenate()([*inputs.values()]))
    routes = layers.Dense(4, activation="softmax")(features)
    model = keras.Model(inputs, ops.matmul(routes, ops.softmax(Leaves()(routes))))
    model.compile("adam", "sparse_categorical_crossentropy")
    names = {"model": model, **datasets(numbers(()), labels())}

    return Case(names, (Try(lines("val_ds", FIT)),), log_probability(model), kind="features")


class Leaves(layers.Layer):
    def build(self, shape: Any) -> None:
        self.leaves = self.add_weight(shape=(4, 2), initializer="random_normal")

    def call(self, routes: Any) -> Any:
        return self.leaves + 0 * ops.sum(routes)


def fraud() -> Case:
    """One table (n, 30) as an array, uint8 labels (n, 1), class_weight; sigmoid."""
    hidden = [layers.Dense(8, activation="relu"), layers.Dropout(0.3)]
    model = dense(*hidden, features=30, head=layers.Dense(1, activation="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    targets = labels().astype("uint8")[:, None]
    names = {"model": model, "train_features": floats(30), "train_targets": targets}
    names |= {"val_features": floats(30), "val_targets": targets}
    fit = "train_features, train_targets, class_weight={0: 1.0, 1: 5.0}"
    given = "(val_features, val_targets)"
    return Case(names, (Try(lines(given, fit)),), logits(model), kind="features")


def collaborative_filtering() -> Case:
    """Int array (user, movie), float ratings in 0..1; a vector and a bias per column, sigmoid."""

    class RecommenderNet(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.movie = layers.Embedding(10, 4), layers.Embedding(12, 4)
            self.user_bias, self.movie_bias = layers.Embedding(10, 1), layers.Embedding(12, 1)

        def dots(self, inputs: Any, training: bool = False) -> Any:
            users, movies = inputs[:, 0], inputs[:, 1]
            products = ops.sum(self.user(users) * self.movie(movies), axis=1, keepdims=True)
            return products + self.user_bias(users) + self.movie_bias(movies)

        def call(self, inputs: Any) -> Any:
            return ops.sigmoid(self.dots(inputs))

    model = RecommenderNet()
    model.compile("adam", keras.losses.BinaryCrossentropy())
    pairs = np.stack([np.arange(COUNT) % 10, np.arange(COUNT) % 12], axis=1)
    ratings = np.linspace(0, 1, COUNT)
    names = {"model": model, "x_train": pairs, "y_train": ratings, "x_val": pairs, "y_val": ratings}
    fit = "x_train, y_train, validation_data=(x_val, y_val)"
    score = logits(model.dots)
    tries = (Try(lines("(x_val, y_val)", fit)),)
    return Case(names, tries, score, "tokens", embedding=(model.user, model.movie))


def memory_efficient_embeddings() -> Case:
    """Data set of a dict of string ids (n,), float ratings; a lookup and a vector per column."""
    words = {"user_id": [f"user_{k}" for k in range(10)], "movie_id": [f"m_{k}" for k in range(12)]}
    inputs = {name: keras.Input((), name=name, dtype="string") for name in words}
    lookups = {name: layers.StringLookup(vocabulary=known) for name, known in words.items()}
    vectors = {name: layers.Embedding(len(known) + 1, 4) for name, known in words.items()}
    each = [vectors[name](lookups[name](inputs[name])) for name in words]
    model = keras.Model(inputs, layers.Dot(axes=1)(each))
    model.compile("adam", "mse")
    given = {name: np.array(known)[np.arange(COUNT) % len(known)] for name, known in words.items()}
    names = {"model": model, "lookups": lookups}
    names |= datasets(given, np.linspace(1, 5, COUNT, dtype="float32"))
    first = lines("val_ds", "train_ds")
    ids = "ids = lambda x: {name: lookup(x[name]) for name, lookup in lookups.items()}"
    outputs = "{name: lookup.output for name, lookup in lookups.items()}"
    part = f"part = keras.Model({outputs}, model.output)"
    mapped = "val_ds.map(lambda x, y: (ids(x), y))"
    more = lines(mapped, "train_ds", callback="score=ks.Score(model=part)")
    advice = (ids, f"dataset{mapped.removeprefix('val_ds')}", part, "score=ks.Score(model=part)")
    tries = (Try(first), Try(f"{ids}\n{part}\n{more}", advice))

    def score(x: Any, targets: Any) -> Any:
        products = [vectors[name](x[name]) for name in words]
        return ops.sum(ops.reshape(products[0] * products[1], (-1, 4)), -1)

    return Case(names, tries, score, "tokens", embedding=vectors, refused=True)


def movielens_transformer() -> Case:
    """CSV data set of a dict: string sequences and scalars; float rating, regression, mse."""
    inputs = {"sequence": keras.Input((4,), name="sequence", dtype="string")}
    inputs["age"] = keras.Input((1,), name="age")
    lookup = layers.StringLookup(vocabulary=["m1", "m2", "m3"])
    tokens = layers.Embedding(4, 8)(lookup(inputs["sequence"]))
    tokens = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    merged = layers.Concatenate()([layers.Flatten()(tokens), inputs["age"]])
    model = keras.Model(inputs, layers.Dense(1)(layers.Dense(8, activation="relu")(merged)))
    model.compile("adagrad", keras.losses.MeanSquaredError())
    draw = np.random.default_rng(0)
    movies = np.array(["m1", "m2", "m3"])[draw.integers(0, 3, (COUNT, 4))]
    given = {"sequence": movies, "age": floats(1)}
    names = {"model": model, **datasets(given, draw.integers(1, 6, COUNT).astype("float32"))}
    return Case(names, (FIRST,), output(model), kind="features")


def regression_of_a_table() -> Case:
    """Table (n, 13) with float prices; dense layers, one linear unit, mse."""
    model = dense(layers.Dense(8, activation="relu"), features=13, head=layers.Dense(1))
    model.compile("rmsprop", "mse", metrics=["mae"])
    names = {"model": model, "x_train": floats(13), "y_train": floats(seed=1) * 50}
    names |= {"x_test": floats(13), "y_test": floats(seed=1) * 50}
    fit = "x_train, y_train"
    tries = (Try(lines("(x_test, y_test)", fit)),)
    return Case(names, tries, output(model), kind="features")


def regression_given_as_probes() -> Case:
    """The same, begun with ProbeSet(x): is a regression taken for classes?"""
    case = regression_of_a_table()
    tries = (Try(three("ks.ProbeSet(x_test)", "x_train, y_train")),)
    return Case(case.names, tries, case.score, kind="features")


def string_labels() -> Case:
    """Table with string labels that a StringLookup turns to indices in front of fit; softmax."""
    model = dense(layers.Dense(8, "relu"), features=4, head=layers.Dense(3, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    species = np.array(["Adelie", "Chinstrap", "Gentoo"])[labels(3)]
    names = {"model": model, "x_train": floats(4), "y_train": labels(3)}
    names |= {"x_test": floats(4), "y_test": species}
    fit, given = "x_train, y_train", "(x_test, y_test)"
    return Case(names, (Try(lines(given, fit)),), logits(model), kind="features")


def missing_values() -> Case:
    """Table with nan where a value is missing; the model replaces them, softmax of one-hot."""
    inputs = keras.Input((6,))
    is_missing = ops.isnan(inputs)
    filled = ops.where(is_missing, ops.zeros_like(inputs), inputs)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dense(8)(filled)))
    model.compile("adam", "categorical_crossentropy")
    table = floats(6)
    table[::3, 2] = np.nan
    names = {"model": model, **datasets(table, one_hot(2))}
    filled = "dataset.map(lambda x, y: (tf.where(tf.math.is_nan(x), 0.0, x), y))"
    more = Try(lines(filled.replace("dataset", "val_ds"), FIT), (filled,))
    return Case(names, (FIRST, more), logits(model), kind="features")


ROWS = [
    Row("structured_data/structured_data_classification_from_scratch", columns_in_a_dict),
    Row(
        "structured_data/structured_data_classification_from_scratch",
        columns_of_numbers_and_strings,
    ),
    Row("structured_data/structured_data_classification_from_scratch", columns_given_as_probes),
    Row("structured_data/structured_data_classification_with_feature_space", feature_space),
    Row("structured_data/wide_deep_cross_networks", wide_deep_cross),
    Row("structured_data/tabtransformer", tab_transformer),
    Row("structured_data/classification_with_grn_and_vsn", variable_selection),
    Row("structured_data/deep_neural_decision_forests", neural_forest),
    Row("structured_data/imbalanced_classification", fraud),
    Row("structured_data/collaborative_filtering_movielens", collaborative_filtering),
    Row("keras_recipes/memory_efficient_embeddings", memory_efficient_embeddings),
    Row("structured_data/movielens_recommendations_transformers", movielens_transformer),
    Row("api/datasets/boston_housing", regression_of_a_table),
    Row("api/datasets/boston_housing", regression_given_as_probes),
    Row("guides/preprocessing_layers", string_labels),
    Row("structured_data/feature_space_advanced", missing_values),
]
