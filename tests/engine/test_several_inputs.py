"""Several inputs of one model: their maps against a plain tape, and against one input at a time."""

import re
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency import ProbeSet, SaliencyMonitor
from keras_saliency.attributions import (
    expected_gradients,
    grad_cam,
    integrated_gradients,
    layer_cam,
    occlusion,
)
from keras_saliency.detection.interventions import what_is_tested
from keras_saliency.engine.choosing import CLASSES
from support.programs import run_program

COUNT = 6
RNG = np.random.default_rng(0)
PICTURES = RNG.random((COUNT, 8, 8, 3), "float32")
AGES = RNG.random((COUNT, 1), "float32")
SITES = RNG.random((COUNT, 2), "float32")
WORDS = RNG.integers(1, 9, (COUNT, 5))
TARGETS = np.arange(COUNT) % 3


def logits_model():
    """An image, two inputs of features and tokens, as a dict."""
    picture = keras.Input((8, 8, 3), name="picture")
    age, site = keras.Input((1,), name="age"), keras.Input((2,), name="site")
    words = keras.Input((5,), dtype="int32", name="words")
    seen = layers.GlobalAveragePooling2D()(
        layers.Conv2D(4, 3, activation="tanh", name="conv")(picture)
    )
    vectors = layers.Embedding(9, 4, name="embedding")(words)
    read = layers.GlobalAveragePooling1D()(layers.Dense(3, activation="tanh")(vectors))
    hidden = layers.Dense(8, activation="tanh")(layers.Concatenate()([seen, age, site, read]))
    inputs = {"picture": picture, "age": age, "site": site, "words": words}
    return keras.Model(inputs, layers.Dense(3)(hidden))


INPUTS = {"picture": PICTURES, "age": AGES, "site": SITES, "words": WORDS}


@pytest.fixture(scope="module")
def model():
    logits = logits_model()
    return keras.Model(logits.input, layers.Softmax()(logits.output)), logits


def by_tape(logits):
    """The gradients of the inputs that are numbers, and of the embeddings of the words."""
    names = ("picture", "age", "site")
    vectors = logits.get_layer("embedding").output
    behind = keras.Model([*(logits.input[name] for name in names), vectors], logits.output)
    given = [*(tf.constant(INPUTS[name]) for name in names), logits.get_layer("embedding")(WORDS)]
    with tf.GradientTape() as tape:
        tape.watch(given)
        scores = tf.gather(behind(given, training=False), TARGETS, axis=1, batch_dims=1)
    slopes = tape.gradient(scores, given)
    return {name: one.numpy() for name, one in zip((*names, "vectors"), slopes, strict=True)}


def test_the_maps_of_all_inputs_are_those_of_a_tape(model):
    softmax, logits = model
    monitor = SaliencyMonitor(softmax, ProbeSet(INPUTS, TARGETS))
    report, slopes = monitor.evaluate(0), by_tape(logits)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(report.maps, np.abs(slopes["picture"]).max(-1), **close)
    table = np.concatenate([slopes["age"], slopes["site"]], axis=1)
    np.testing.assert_allclose(report.other_inputs["table"].maps, np.abs(table), **close)
    norms = np.linalg.norm(slopes["vectors"], axis=-1)
    np.testing.assert_allclose(report.other_inputs["words"].maps, norms, **close)
    np.testing.assert_allclose(
        report.other_inputs["table"].gradient_norms, np.linalg.norm(table, axis=1), **close
    )
    assert monitor.trace_count == 1


@pytest.mark.gate
@pytest.mark.slow
def test_gradients_of_all_inputs_take_one_pass():
    """The operations of the compiled function, in a process where nothing else is traced."""
    code = """
        import keras, numpy as np
        from keras import layers
        from keras_saliency import ProbeSet, SaliencyMonitor
        picture, age = keras.Input((8, 8, 3), name="picture"), keras.Input((1,), name="age")
        seen = layers.Flatten()(layers.Conv2D(4, 3)(picture))
        model = keras.Model([picture, age], layers.Dense(2)(layers.Concatenate()([seen, age])))
        inputs = {"picture": np.ones((2, 8, 8, 3), "float32"), "age": np.ones((2, 1), "float32")}
        monitor = SaliencyMonitor(model, ProbeSet(inputs, [0, 1]))
        graph = monitor._traced._explainer._explain.graph
        print([operation.type for operation in graph.get_operations()].count("Conv2D"))
        print([o.type for o in graph.get_operations()].count("Conv2DBackpropInput"))
    """
    assert run_program(code).stdout.split() == ["1", "1"]


@pytest.mark.parametrize(
    "method",
    [
        "gradient",
        "integrated_gradients",
        *(
            pytest.param(name, marks=pytest.mark.gate)
            for name in ("smoothgrad", "expected_gradients", "occlusion")
        ),
    ],
)
def test_each_map_is_that_of_this_input_while_the_others_are_held(model, method):
    softmax, _ = model
    report = SaliencyMonitor(softmax, ProbeSet(INPUTS, TARGETS), method=method).evaluate(0)
    held = {name: values for name, values in INPUTS.items() if name != "picture"}
    alone = ProbeSet(PICTURES, TARGETS, input_name="picture", held=held)
    expected = SaliencyMonitor(softmax, alone, method=method).evaluate(0)
    np.testing.assert_allclose(report.maps, expected.maps, rtol=1e-4, atol=1e-7)
    columns = ProbeSet(
        np.concatenate([AGES, SITES], axis=1),
        TARGETS,
        input_name=("age", "site", "site"),
        held={"picture": PICTURES, "words": WORDS},
    )
    expected = SaliencyMonitor(softmax, columns, method=method).evaluate(0)
    table = report.other_inputs["table"]
    np.testing.assert_allclose(table.maps, expected.maps, rtol=1e-4, atol=1e-7)
    if method == "integrated_gradients":
        assert table.metrics["completeness_gap"] == pytest.approx(
            expected.metrics["completeness_gap"], abs=1e-4
        )
        assert report.metrics["completeness_gap/table"] == table.metrics["completeness_gap"]


def test_plain_features_get_the_gradient_if_no_method_can_explain_them(model):
    softmax, logits = model
    inputs = {name: INPUTS[name] for name in ("picture", "age", "site")}
    probes = ProbeSet(inputs, TARGETS, held={"words": WORDS})
    report = SaliencyMonitor(softmax, probes, method=["grad_cam", "gradient"]).evaluate(0)
    assert (report.method, [*report.others]) == ("grad_cam", ["gradient"])
    table = report.other_inputs["table"]
    assert (table.method, [*table.others]) == ("gradient", [])
    slopes = by_tape(logits)
    expected = np.abs(np.concatenate([slopes["age"], slopes["site"]], axis=1))
    np.testing.assert_allclose(table.maps, expected, rtol=1e-4, atol=1e-6)
    only = SaliencyMonitor(softmax, probes, method="grad_cam").evaluate(0).other_inputs["table"]
    np.testing.assert_allclose(only.maps, expected, rtol=1e-4, atol=1e-6)


def with_an_lstm():
    """An image with a convolution, words and a series that go through an LSTM only, and a table."""
    picture = keras.Input((8, 8, 3), name="picture")
    words = keras.Input((5,), dtype="int32", name="words")
    series, age = keras.Input((6, 2), name="series"), keras.Input((2,), name="age")
    convolved = layers.Conv2D(4, 3, activation="tanh", name="conv")(picture)
    vectors = layers.Embedding(9, 4, name="embedding")(words)
    parts = [layers.GlobalAveragePooling2D()(convolved), layers.LSTM(3)(vectors)]
    parts += [layers.LSTM(3)(series), age]
    inputs = {"picture": picture, "words": words, "series": series, "age": age}
    return keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(parts)))


OF_LSTM = {
    "picture": PICTURES,
    "words": WORDS,
    "series": RNG.random((COUNT, 6, 2), "float32"),
    "age": SITES,
}
ARRAY = np.full((8, 8, 3), 0.5, np.float32)


REFUSING = [
    (partial(layer_cam, layer="conv"), {"words", "series", "age"}),
    (partial(integrated_gradients, baseline="mean", num_steps=4), {"words"}),
    (partial(integrated_gradients, baseline="blurred", num_steps=4), {"age"}),
    (partial(integrated_gradients, baseline=ARRAY, num_steps=4), {"words", "series", "age"}),
    (partial(occlusion, baseline="mean"), {"words"}),
    (partial(occlusion, window=6), {"words", "age"}),
    (partial(expected_gradients, num_samples=4), {"words"}),
]


@pytest.mark.parametrize(
    ("method", "refusing"),
    [
        ("grad_cam", {"words", "series", "age"}),
        *(pytest.param(*each, marks=pytest.mark.gate) for each in REFUSING),
    ],
)
def test_an_input_that_a_method_cannot_explain_has_its_gradient(method, refusing):
    """Which the description says; the others have the maps that they have alone."""
    model = with_an_lstm()
    probes = ProbeSet(OF_LSTM, TARGETS, kind={"series": "series"})
    monitor = SaliencyMonitor(model, probes, method=method)
    report = monitor.evaluate(0)
    plain = SaliencyMonitor(model, probes).evaluate(0)
    (name,) = monitor.methods
    for one in OF_LSTM:
        found, gradient = (
            each if one == "picture" else each.other_inputs[one] for each in (report, plain)
        )
        words = f"({one} by gradient: {name} cannot explain it)"
        assert (words in monitor.described) == (one in refusing)
        assert found.method == ("gradient" if one in refusing else name)
        if one in refusing:
            np.testing.assert_array_equal(found.maps, gradient.maps)
        else:
            held = {other: values for other, values in OF_LSTM.items() if other != one}
            alone = ProbeSet(
                OF_LSTM[one], TARGETS, input_name=one, held=held, kind=probes.explained[one].kind
            )
            expected = SaliencyMonitor(model, alone, method=method).evaluate(0).maps
            np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-7)
            assert not np.allclose(found.maps, gradient.maps)


@pytest.mark.gate
def test_the_other_methods_explain_an_input_that_one_cannot_explain():
    probes = ProbeSet(OF_LSTM, TARGETS, kind={"series": "series"})
    methods = ["grad_cam", "input_x_gradient", partial(occlusion, window=6)]
    monitor = SaliencyMonitor(with_an_lstm(), probes, method=methods)
    report = monitor.evaluate(0)
    names = {"picture": (report.method, *report.others)}
    names |= {name: (one.method, *one.others) for name, one in report.other_inputs.items()}
    first, second, third = monitor.methods
    assert names == {
        "picture": (first, second, third),
        "words": (second,),
        "series": (second, third),
        "age": (second,),
    }
    assert f"(words by {second}: {first}, {third} cannot explain it)" in monitor.described
    assert f"(series by {second}, {third}: {first} cannot explain it)" in monitor.described
    assert "(picture by" not in monitor.described


@pytest.mark.gate
def test_a_method_that_cannot_explain_any_input_is_refused():
    probes = ProbeSet(OF_LSTM, TARGETS, kind={"series": "series"})
    listed = "'picture', 'words', 'series', 'age'"
    words = f"cannot explain any of the inputs {listed}. Of the first: layer='nowhere': expected a"
    for methods in (
        partial(grad_cam, layer="nowhere"),
        ["gradient", partial(grad_cam, layer="nowhere")],
    ):
        with pytest.raises(ValueError, match=words):
            SaliencyMonitor(with_an_lstm(), probes, method=methods)
    with pytest.raises(ValueError, match="^input 'picture': baseline: .*'black'.*held="):
        SaliencyMonitor(with_an_lstm(), probes, method=partial(occlusion, baseline="black"))


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        (
            "words",
            partial(integrated_gradients, baseline="mean"),
            "baseline: .*tokens have no mean",
        ),
        ("series", "grad_cam", "layer: expected a model with a layer whose output has spatial"),
        ("age", partial(occlusion, window=6), "window: expected 2 or less"),
    ],
)
def test_a_single_input_is_not_quietly_explained_by_another_method(name, method, words):
    held = {other: values for other, values in OF_LSTM.items() if other != name}
    kind = "series" if name == "series" else None
    probes = ProbeSet(OF_LSTM[name], TARGETS, input_name=name, held=held, kind=kind)
    with pytest.raises(ValueError, match=words):
        SaliencyMonitor(with_an_lstm(), probes, method=method)


def test_features_alone_are_not_quietly_explained_by_another_method():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="layer"):
        SaliencyMonitor(model, ProbeSet(RNG.random((4, 3)), [0, 1, 0, 1]), method="grad_cam")


def five_columns(scales=(1.0, 2.0, 4.0, 8.0, 16.0)):
    """The structured data model of keras.io: named columns; here linear, with known weights."""
    names = ["age", "chol", "oldpeak", "slope", "thalach"]
    inputs = {name: keras.Input((1,), name=name) for name in names}
    unit = layers.Dense(1, activation="sigmoid")
    model = keras.Model(inputs, unit(layers.Concatenate()([*inputs.values()])))
    unit.kernel.assign(np.array(scales, np.float32)[:, np.newaxis])
    return model, {name: RNG.random((8, 1), "float32") for name in names}


def test_named_columns_are_one_table_whose_statistics_are_numbers():
    model, columns = five_columns()
    probes = ProbeSet(columns, np.arange(8) % 2)
    assert probes.feature_names == ("age", "chol", "oldpeak", "slope", "thalach")
    monitor = SaliencyMonitor(model, probes)
    monitor.evaluate(-1)
    model.layers[-1].kernel.assign(-model.layers[-1].kernel)
    report = monitor.evaluate(0)
    np.testing.assert_allclose(report.maps, np.tile([1, 2, 4, 8, 16], (8, 1)), rtol=1e-6)
    assert all(np.isfinite(value) for value in report.metrics.values()), report.metrics
    assert report.metrics["gradient_norm"] == pytest.approx(np.sqrt(341), rel=1e-6)
    assert report.metrics["map_similarity"] == 1
    # 1 - 2 sum_k c_k / 31 (5 - k + 1/2) / 5, with c = 1, 2, 4, 8, 16
    assert report.metrics["gini"] == pytest.approx(1 - 2 * (4.5 + 7 + 10 + 12 + 8) / 155)


def test_one_column_of_one_number_has_no_metric_that_is_undefined():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activation="sigmoid")])
    monitor = SaliencyMonitor(model, ProbeSet(RNG.random(8), np.arange(8) % 2))
    monitor.evaluate(-1)
    report = monitor.evaluate(0)
    weight = abs(float(model.layers[0].kernel.numpy().item()))
    np.testing.assert_allclose(report.maps, np.full((8, 1), weight), rtol=1e-6)
    assert set(report.metrics) == {"gradient_norm", "dead_maps", "confidence", "probe_accuracy"}
    assert all(np.isfinite(value) for value in report.metrics.values())


def test_a_list_of_inputs_is_named_by_positions():
    picture, age = keras.Input((8, 8, 3)), keras.Input((1,))
    seen = layers.GlobalAveragePooling2D()(picture)
    outputs = layers.Dense(3)(layers.Concatenate()([seen, age]))
    model = keras.Model([picture, age], outputs)
    maps = ks.saliency_maps(model, {1: AGES, 0: PICTURES}, TARGETS)
    weights = np.abs(model.layers[-1].kernel.numpy())[:, TARGETS]
    assert [*maps] == [1, 0]
    np.testing.assert_allclose(maps[1][:, 0], weights[3], rtol=1e-5)
    expected = np.broadcast_to(weights[:3].max(0)[:, None, None] / 64, (COUNT, 8, 8))
    np.testing.assert_allclose(maps[0], expected, rtol=1e-5)


def test_channels_of_another_input_may_be_first():
    picture, age = keras.Input((3, 8, 6), name="picture"), keras.Input((1,), name="age")
    slopes = RNG.random((3, 8, 6), "float32")
    weighted = keras.ops.sum(picture * slopes, axis=(1, 2, 3), keepdims=False)[:, None]
    model = keras.Model([picture, age], layers.Concatenate()([weighted + age, age]))
    pictures = RNG.random((COUNT, 8, 6, 3), "float32")
    inner = ProbeSet(pictures, data_format="channels_first")
    probes = ProbeSet(AGES, np.zeros(COUNT, int), input_name="age", other_inputs={"picture": inner})
    report = SaliencyMonitor(model, probes, score="output").evaluate(0)
    expected = np.broadcast_to(slopes.max(0), (COUNT, 8, 6))
    np.testing.assert_allclose(report.other_inputs["picture"].maps, expected, rtol=1e-6)
    np.testing.assert_allclose(report.maps, 1)


def test_integers_are_cast_as_fit_casts_them():
    model, columns = five_columns()
    columns["age"] = np.arange(8)
    report = SaliencyMonitor(model, ProbeSet(columns, np.arange(8) % 2)).evaluate(0)
    np.testing.assert_allclose(report.maps, np.tile([1, 2, 4, 8, 16], (8, 1)), rtol=1e-6)


def with_looked_up_sex():
    age, sex = keras.Input((1,), name="age"), keras.Input((1,), dtype="int64", name="sex")
    picture = keras.Input((8, 8, 3), name="picture")
    one_hot = layers.CategoryEncoding(2, output_mode="one_hot")(sex)
    seen = layers.GlobalAveragePooling2D()(picture)
    outputs = layers.Dense(2)(layers.Concatenate()([age, one_hot, seen]))
    return keras.Model({"age": age, "sex": sex, "picture": picture}, outputs)


@pytest.mark.parametrize("first", ["age", "picture"])
def test_a_column_that_is_looked_up_is_held_and_named(first):
    """In a table that is the first input, and in one that is not."""
    model = with_looked_up_sex()
    inputs = {"age": AGES, "sex": np.arange(COUNT) % 2, "picture": PICTURES}
    ordered = {first: inputs.pop(first), **inputs}
    monitor = SaliencyMonitor(model, ProbeSet(ordered, np.arange(COUNT) % 2))
    assert monitor.held == ["sex"]
    explained = "2 inputs (age, picture)" if first == "age" else "2 inputs (picture, age)"
    held = "(held, since they have no gradient: sex)"
    assert monitor.described.endswith(f"for {COUNT} probes, {explained} {held}")
    np.testing.assert_array_equal(monitor.probes.held["sex"][:, 0], np.arange(COUNT) % 2)
    report = monitor.evaluate(0)
    maps = report.maps if first == "age" else report.other_inputs["age"].maps
    kernel = np.abs(model.layers[-1].kernel.numpy())
    np.testing.assert_allclose(maps[:, 0], kernel[0, np.arange(COUNT) % 2], rtol=1e-5)
    assert maps.shape == (COUNT, 1)


def two_columns_and_sex():
    columns = {name: keras.Input((1,), name=name) for name in ("age", "dose")}
    sex = keras.Input((1,), dtype="int64", name="sex")
    one_hot = layers.CategoryEncoding(2, output_mode="one_hot")(sex)
    outputs = layers.Dense(2)(layers.Concatenate()([columns["age"], one_hot, columns["dose"]]))
    return keras.Model({"age": columns["age"], "sex": sex, "dose": columns["dose"]}, outputs)


COLUMNS = {"age": AGES, "sex": np.arange(COUNT) % 2, "dose": AGES[::-1]}


def test_regions_and_masks_of_a_table_stay_when_a_column_is_held():
    """What is left of them: the columns that have a gradient."""
    masks = np.array([[True, True, False], [False, True, True]] * 3)
    regions = {"age or sex": np.array([True, True, False])}
    probes = ProbeSet(COLUMNS, np.arange(COUNT) % 2, masks=masks, regions=regions)
    model = two_columns_and_sex()
    monitor = SaliencyMonitor(model, probes)
    assert monitor.probes.feature_names == ("age", "dose")
    assert monitor.probes.masks.tolist() == [[True, False], [False, True]] * 3
    assert monitor.probes.regions["age or sex"].tolist() == [[True, False]] * COUNT
    weights = np.abs(model.layers[-1].kernel.numpy()[[0, 3]][:, np.arange(COUNT) % 2])
    shares = (weights / weights.sum(axis=0))[0]
    enrichment = monitor.evaluate(0).metrics["enrichment/age or sex"]
    np.testing.assert_allclose(enrichment, np.mean(shares / 0.5), rtol=1e-5)


def test_a_region_of_held_columns_alone_is_refused():
    probes = ProbeSet(COLUMNS, regions={"the sex": np.array([False, True, False])})
    with pytest.raises(ValueError, match=r"regions\['the sex'\]: .*none with respect to 'sex'"):
        SaliencyMonitor(two_columns_and_sex(), probes)


def test_inputs_drawn_with_channels_first_are_stored_with_channels_last():
    inputs = {"picture": PICTURES.transpose(0, 3, 1, 2), "site": SITES}
    for names in (["picture", "site"], ["site", "picture"]):
        ordered = {name: inputs[name] for name in names}
        probes = ProbeSet.from_dataset(
            (ordered, np.zeros(COUNT, int)), data_format="channels_first", per_class=COUNT
        )
        picture = probes.explained["picture"]
        assert picture.data_format == "channels_first"
        np.testing.assert_array_equal(picture.images, PICTURES[probes.indices])
        np.testing.assert_array_equal(probes.explained["site"].images, SITES[probes.indices])


@pytest.mark.parametrize("first", ["sex", "picture"])
def test_a_single_column_that_is_looked_up_is_held(first):
    """Without a table: an image and a category."""
    picture = keras.Input((8, 8, 3), name="picture")
    sex = keras.Input((1,), dtype="int64", name="sex")
    one_hot = layers.CategoryEncoding(2, output_mode="one_hot")(sex)
    outputs = layers.Dense(2)(layers.Concatenate()([layers.Flatten()(picture), one_hot]))
    model = keras.Model({"picture": picture, "sex": sex}, outputs)
    inputs = {"sex": np.arange(COUNT) % 2, "picture": PICTURES}
    ordered = {first: inputs.pop(first), **inputs}
    monitor = SaliencyMonitor(model, ProbeSet(ordered, np.arange(COUNT) % 2))
    assert (monitor.held, monitor.probes.input_name) == (["sex"], "picture")
    kernel = model.layers[-1].kernel.numpy()[:192].reshape(8, 8, 3, 2)
    report = monitor.evaluate(0)
    expected = np.abs(kernel).max(axis=2).transpose(2, 0, 1)[np.arange(COUNT) % 2]
    np.testing.assert_allclose(report.maps, expected, rtol=1e-6)
    assert not report.other_inputs
    if first == "sex":
        probes = ProbeSet(ordered, regions={"the sex": np.array([True])})
        with pytest.raises(ValueError, match=r"regions\['the sex'\]: .*none with respect to 'sex'"):
            SaliencyMonitor(model, probes)


def test_columns_without_any_gradient_are_refused():
    sex, site = (keras.Input((1,), dtype="int64", name=name) for name in ("sex", "site"))
    one_hot = [layers.CategoryEncoding(2, output_mode="one_hot")(each) for each in (sex, site)]
    model = keras.Model([sex, site], layers.Dense(2)(layers.Concatenate()(one_hot)))
    columns = {"sex": np.arange(COUNT) % 2, "site": np.arange(COUNT) % 2}
    with pytest.raises(ValueError, match="none with respect to 'sex', 'site'"):
        SaliencyMonitor(model, ProbeSet(columns, np.arange(COUNT) % 2))


def test_columns_that_are_all_embedded_are_tokens():
    """As in a recommender: a user and a film. The gradient of each vector is the other one."""
    user, film = keras.Input((1,), name="user"), keras.Input((1,), name="film")
    of_user = layers.Flatten()(layers.Embedding(9, 4, name="users")(user))
    of_film = layers.Flatten()(layers.Embedding(9, 4, name="films")(film))
    model = keras.Model([user, film], keras.ops.sigmoid(layers.Dot(1)([of_user, of_film])))
    ids = {"user": np.arange(COUNT), "film": np.arange(COUNT) + 2}
    maps = ks.saliency_maps(model, ProbeSet(ids, np.ones(COUNT, int)))
    for name, other in (("user", "film"), ("film", "user")):
        vectors = model.get_layer(f"{other}s").embeddings.numpy()[ids[other]]
        np.testing.assert_allclose(maps[name][:, 0], np.linalg.norm(vectors, axis=1), rtol=1e-5)


def test_of_two_towers_the_one_that_is_not_explained_is_held():
    """Each output depends on one input alone; a score of both outputs depends on both inputs."""
    user, film = keras.Input((1,), name="user"), keras.Input((1,), name="film")
    outputs = {
        "user": layers.Flatten()(layers.Embedding(9, 4, name="users")(user)),
        "film": layers.Flatten()(layers.Embedding(9, 4, name="films")(film)),
    }
    model = keras.Model({"user": user, "film": film}, outputs)
    probes = ProbeSet({"user": np.arange(COUNT), "film": np.arange(COUNT) + 2})
    monitor = SaliencyMonitor(model, probes, score=ks.Score("mean", output="user"))
    assert ([*monitor.probes.explained], monitor.held) == (["user"], ["film"])
    maps = monitor.evaluate(step=0).maps
    np.testing.assert_allclose(maps[:, 0], np.full(COUNT, 0.5), rtol=1e-5)  # |(1, 1, 1, 1) / 4|

    def product(outputs, targets):
        return keras.ops.sum(outputs["user"] * outputs["film"], axis=-1)

    both = ks.saliency_maps(model, probes, score=product)
    vectors = model.get_layer("films").embeddings.numpy()[np.arange(COUNT) + 2]
    np.testing.assert_allclose(both["user"][:, 0], np.linalg.norm(vectors, axis=1), rtol=1e-5)


class Recommender(keras.Model):
    """Looks up columns of one matrix of ids: a user, a film, and two words."""

    def __init__(self):
        super().__init__()
        self.users, self.films = layers.Embedding(9, 4), layers.Embedding(9, 4)
        self.words, self.bias = layers.Embedding(9, 2), layers.Embedding(9, 1)
        self.out = layers.Dense(1)

    def call(self, ids):
        user, film, words = self.users(ids[:, 0]), self.films(ids[:, 3:4]), self.words(ids[:, 1:3])
        return keras.ops.sigmoid(self.behind(user, film, words) + self.bias(ids[:, 0]))

    def behind(self, user, film, words):
        dots = keras.ops.sum(user * film[:, 0], axis=1, keepdims=True)
        return dots + self.out(keras.ops.tanh(keras.ops.reshape(words, (-1, 4))))


IDS = RNG.integers(0, 9, (COUNT, 5))


def recommender(method="gradient"):
    """A model, its maps, and its vectors."""
    model = Recommender()
    model(IDS)
    probes = ProbeSet(IDS, np.ones(COUNT, int))
    maps = ks.saliency_maps(model, probes, method=method)
    vectors = model.users(IDS[:, 0]), model.films(IDS[:, 3:4]), model.words(IDS[:, 1:3])
    return model, maps, vectors


def test_columns_of_one_matrix_that_have_an_embedding_each_are_tokens():
    """Their maps are the norms of a tape's gradients; the last column is not looked up."""
    model, maps, vectors = recommender()
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        scores = tf.reduce_sum(model.behind(*vectors))
    user, film, words = (np.linalg.norm(each, axis=-1) for each in tape.gradient(scores, vectors))
    np.testing.assert_allclose(maps[:, 0], user, rtol=1e-5)
    np.testing.assert_allclose(maps[:, 1:3], words, rtol=1e-5)
    np.testing.assert_allclose(maps[:, 3:4], film, rtol=1e-5)
    np.testing.assert_array_equal(maps[:, 4], 0)
    np.testing.assert_allclose(maps[:, 3], np.linalg.norm(vectors[0], axis=-1), rtol=1e-5)


def test_without_the_vector_of_a_column_its_product_is_lost():
    """Of a dot product, zeros take all away, and each vector is worth half on a straight path."""
    method = partial(occlusion, window=1, baseline="zero")
    model, maps, (user, film, words) = recommender(method)
    dots = np.abs(np.sum(user * film[:, 0], axis=-1))
    np.testing.assert_allclose(maps[:, 0], dots, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(maps[:, 3], dots, rtol=1e-4, atol=1e-6)
    first = np.array(words)
    first[:, 0] = 0
    fall = model.behind(user, film, words) - model.behind(user, film, first)
    np.testing.assert_allclose(maps[:, 1], np.abs(fall)[:, 0], rtol=1e-4, atol=1e-6)
    _, maps, (user, film, _) = recommender(partial(integrated_gradients, baseline="zero"))
    halves = np.linalg.norm(user * film[:, 0], axis=-1) / 2
    np.testing.assert_allclose(maps[:, 0], halves, rtol=1e-4)
    np.testing.assert_allclose(maps[:, 3], halves, rtol=1e-4)


def test_noise_on_the_vectors_of_columns_leaves_a_linear_score_as_it_is():
    class Linear(keras.Model):
        def __init__(self):
            super().__init__()
            self.user, self.film = layers.Embedding(9, 4), layers.Embedding(9, 2)
            self.out, self.end = layers.Dense(1), layers.Dense(1)

        def call(self, ids):
            user, film = keras.ops.unstack(ids, axis=1)
            return keras.ops.sigmoid(self.out(self.user(user)) + self.end(self.film(film)))

    model = Linear()
    model(IDS[:, :2])
    maps = ks.saliency_maps(model, ProbeSet(IDS[:, :2], np.ones(COUNT, int)), method="smoothgrad")
    slopes = [np.linalg.norm(layer.kernel) for layer in (model.out, model.end)]
    np.testing.assert_allclose(maps, np.tile(slopes, (COUNT, 1)), rtol=1e-5)


def test_the_map_of_reversed_tokens_is_in_the_order_of_the_input():
    ids = keras.Input((5,), dtype="int32")
    vectors = layers.Embedding(9, 2)(ids[:, ::-1])
    scores = layers.Dense(1, activation="sigmoid")(layers.Flatten()(vectors))
    model = keras.Model(ids, scores)
    maps = ks.saliency_maps(model, ProbeSet(IDS, np.ones(COUNT, int)))
    kernel = np.linalg.norm(np.reshape(model.layers[-1].kernel, (5, 2)), axis=1)
    np.testing.assert_allclose(maps, np.tile(kernel[::-1], (COUNT, 1)), rtol=1e-5)


def test_a_column_that_is_also_a_number_is_refused():
    """Its vector would not be all that the score depends on."""

    class Both(keras.Model):
        def __init__(self):
            super().__init__()
            self.user, self.out = layers.Embedding(9, 4), layers.Dense(1)

        def call(self, ids):
            return self.out(self.user(ids[:, 0])) + keras.ops.cast(ids[:, 1:], "float32")

    model, probes = Both(), ProbeSet(IDS[:, :2], np.ones(COUNT, int))
    model(IDS[:, :2])
    with pytest.raises(ValueError, match="one keras.Input per column"):
        ks.saliency_maps(model, probes)


def test_the_layers_behind_an_input_of_a_dict_tell_its_kind():
    """Keras sorts the inputs of such a model by name; here the order of the dict is another one."""
    words = keras.Input((5,), dtype="int32", name="words")
    amounts = keras.Input((5,), name="amounts")
    read = layers.Flatten()(layers.Embedding(9, 4)(words))
    outputs = layers.Dense(3)(layers.Concatenate()([read, layers.Dense(3)(amounts)]))
    model = keras.Model({"words": words, "amounts": amounts}, outputs)
    monitor = SaliencyMonitor(model, ProbeSet({"words": WORDS, "amounts": WORDS}, TARGETS))
    kinds = {name: one.kind for name, one in monitor.probes.explained.items()}
    assert kinds == {"words": "tokens", "amounts": "features"}


def test_strings_are_held():
    age, sex = keras.Input((1,), name="age"), keras.Input((1,), dtype="string", name="sex")
    looked_up = layers.StringLookup(vocabulary=["f", "m"], output_mode="one_hot")(sex)
    outputs = layers.Dense(2)(layers.Concatenate()([age, looked_up]))
    model = keras.Model({"age": age, "sex": sex}, outputs)
    columns = {"age": AGES, "sex": np.array([["f"], ["m"]] * 3)}
    probes = ProbeSet(columns, np.arange(COUNT) % 2)
    assert (probes.feature_names, [*probes.held]) == (("age",), ["sex"])
    kernel = np.abs(model.layers[-1].kernel.numpy())
    maps = ks.saliency_maps(model, probes)
    np.testing.assert_allclose(maps[:, 0], kernel[0, np.arange(COUNT) % 2], rtol=1e-5)
    monitor = SaliencyMonitor(model, probes)
    assert monitor.held == ["sex"]
    assert "(held, since they have no gradient: sex)" in monitor.described


# Keras asks for tensors with the names of the keys, which outputs of layers do not have.
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
def test_inputs_that_are_all_strings_are_explained_by_the_lines_of_the_error():
    names = {"user": ["u1", "u2", "u3"], "film": ["f1", "f2", "f3", "f4"]}
    x = {name: np.array(words)[np.arange(24) % len(words)] for name, words in names.items()}
    y = np.arange(24) % 2
    inputs = {name: keras.Input((), name=name, dtype="string") for name in names}
    lookups = {name: layers.StringLookup(vocabulary=words) for name, words in names.items()}
    tables = {name: layers.Embedding(5, 3) for name in names}
    read = [tables[name](lookups[name](one)) for name, one in inputs.items()]
    model = keras.Model(inputs, layers.Dense(2)(layers.Multiply()(read)))
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    for given in (lambda: ProbeSet.from_dataset(dataset), lambda: ProbeSet(x, y)):
        with pytest.raises(ValueError, match="Strings have no gradient") as raised:
            given()
    assert "lookups = {'user': ..., 'film': ...}" in str(raised.value)
    ids, drawn, arrays, part = re.search(
        r": ids = (.*?); probes = (.*), or probes = (.*) for arrays; .* part = (.*); score=",
        str(raised.value),
    ).groups()
    known = {"ks": ks, "keras": keras, "lookups": lookups, "dataset": dataset, "model": model}
    known |= {"inputs": x, "targets": y}
    for name, line in {"ids": ids, "part": part}.items():
        known[name] = eval(line, known)
    for line in (drawn, arrays):
        probes = eval(line, known)
        report = SaliencyMonitor(model, probes, score=ks.Score(model=known["part"])).evaluate(0)
        maps = {"user": report, **report.other_inputs}
        words = {name: x[name][probes.indices if line == drawn else slice(24)] for name in names}
        rows = [tf.constant(tables[name](lookups[name](words[name]))) for name in names]
        kernel = model.layers[-1].kernel.numpy()[:, probes.targets].T
        for name, other in (("user", rows[1]), ("film", rows[0])):
            expected = np.linalg.norm(other.numpy() * kernel, axis=-1)
            np.testing.assert_allclose(maps[name].maps[:, 0], expected, rtol=1e-5)


def test_a_model_that_is_not_explained_whole_says_how(model):
    softmax, _ = model
    with pytest.raises(ValueError, match=r"4 inputs: .*ProbeSet\(\{'picture': \.\.\., 'age'"):
        SaliencyMonitor(softmax, ProbeSet(PICTURES, TARGETS))
    with pytest.raises(ValueError, match="expected the model's inputs .*'words'"):
        SaliencyMonitor(softmax, ProbeSet({"picture": PICTURES, "age": AGES}, TARGETS))
    with pytest.raises(ValueError, match=r"images\['age'\]: expected shape .*1.*received \(6, 2\)"):
        SaliencyMonitor(softmax, ProbeSet({**INPUTS, "age": SITES}, TARGETS))


def test_similarities_of_other_inputs_go_on_after_a_state_was_read_back(model):
    softmax, _ = model
    probes = ProbeSet(INPUTS, TARGETS)
    monitor = SaliencyMonitor(softmax, probes)
    monitor.evaluate(-1)
    content, arrays = monitor.state.to_json()
    resumed = SaliencyMonitor(softmax, probes)
    resumed.state = ks.RunState.from_json(content, arrays)
    resumed_report, report = resumed.evaluate(0), monitor.evaluate(0)
    assert report.metrics["map_similarity/table"] == 1
    assert report.metrics == resumed_report.metrics


def test_a_subclassed_model_is_built_from_all_inputs():
    class Both(keras.Model):
        def __init__(self):
            super().__init__()
            self.unit = layers.Dense(2)

        def call(self, inputs):
            mean = keras.ops.mean(inputs["picture"], axis=(1, 2))
            return self.unit(keras.ops.concatenate([mean, inputs["age"], inputs["site"]], axis=1))

    model = Both()
    inputs = {"picture": PICTURES, "age": AGES, "site": SITES}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    saliency = ks.SaliencyCallback(ProbeSet(inputs, np.arange(COUNT) % 2), log_dir=None, verbose=0)
    model.fit(inputs, np.arange(COUNT) % 2, verbose=0, callbacks=[saliency])
    kernel = np.abs(model.unit.kernel.numpy())[:, np.arange(COUNT) % 2]
    found = saliency.report.other_inputs["table"].maps
    np.testing.assert_allclose(found, kernel[3:].T, rtol=1e-5)
    assert saliency.history["gradient_norm/table"][-1] > 0


class Weighted(keras.Model):
    """The sum of a series and of words, where masks say so; takes a list."""

    def __init__(self):
        super().__init__()
        self.embedding, self.out = layers.Embedding(9, 4), layers.Dense(3)

    def call(self, inputs):
        series, shown, words, marks = inputs
        shown = keras.ops.cast(keras.ops.cast(shown, "bool"), "float32")[..., None]
        marks = keras.ops.cast(marks, "float32")[..., None]
        vectors = keras.ops.sum(self.embedding(words) * marks, axis=1)
        return self.out(keras.ops.concatenate([keras.ops.sum(series * shown, axis=1), vectors], 1))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2)])
def test_inputs_without_a_gradient_are_held(order):
    """Masks of attention, integers and bools; the explained inputs keep their positions."""

    class Ordered(keras.Model):
        def __init__(self):
            super().__init__()
            self.part = Weighted()

        def call(self, inputs):
            return self.part([inputs[order.index(place)] for place in range(4)])

    series, shown = RNG.random((COUNT, 4, 2), "float32"), np.arange(24).reshape(6, 4) % 3 > 0
    marks = (np.arange(30).reshape(6, 5) % 4 > 0).astype(np.int32)
    given, model = [series, shown, WORDS, marks], Ordered()
    given = [given[place] for place in order]
    model([tf.constant(one) for one in given])
    kinds = {order.index(0): "series"}
    probes = ProbeSet(dict(enumerate(given)), TARGETS, kind=kinds)
    monitor = SaliencyMonitor(model, probes)
    kernel = model.part.out.kernel.numpy()[:, TARGETS].T  # (6, 2 + 4)
    of_series = np.abs(kernel[:, :2]).max(axis=1)[:, None] * shown
    of_words = np.linalg.norm(kernel[:, 2:], axis=1)[:, None] * marks
    explained = monitor.step(-1)
    maps = {monitor.probes.input_name: explained.maps}
    maps |= {name: one.maps for name, one in explained.other_inputs.items()}
    assert {*monitor.held} == {order.index(1), order.index(3)}
    assert {*monitor.probes.held} == {*monitor.held}
    np.testing.assert_allclose(maps[order.index(0)], of_series, rtol=1e-5)
    np.testing.assert_allclose(maps[order.index(2)], of_words, rtol=1e-5)


def picky(takes):
    """A model of the features `"a"` and the series `"c"`; or of `"a"` alone."""
    first, second = keras.Input((2,), name="a"), keras.Input((4, 3), name="c")
    both = layers.Concatenate()([first, layers.Flatten()(layers.Conv1D(2, 2)(second))])
    inputs = {"dict": {"a": first, "c": second}, "list": [first, second], "one": first}[takes]
    return keras.Model(inputs, layers.Dense(3)(first if takes == "one" else both))


EXTRAS = {
    "features": RNG.random((COUNT, 2), "float32"),
    "numbers": RNG.random(COUNT, "float32"),
    "tokens": WORDS,
    "gray images": RNG.random((COUNT, 5, 5), "float32"),
    "texts": np.array(["a", "b", "c"] * (COUNT // 3)),
}


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize(
    ("takes", "name"), [("dict", "z"), ("list", "z"), ("list", "0"), ("one", "z"), ("one", "0")]
)
def test_inputs_that_the_model_does_not_take_are_left_out(takes, name, extra):
    """As Keras does in fit. Where they come first, they are not the input that is explained."""
    own = {"a": RNG.random((COUNT, 2), "float32"), "c": RNG.random((COUNT, 4, 3), "float32")}
    if takes == "one":
        del own["c"]
    inputs = {"0": EXTRAS[extra], **own} if name == "0" else {**own, "z": EXTRAS[extra]}
    model, probes = picky(takes), ProbeSet(inputs, TARGETS)
    monitor = SaliencyMonitor(model, probes)
    assert monitor.notes == [
        f"inputs that the model does not take are left out, as in fit: '{name}'",
        CLASSES,
    ]
    assert not monitor.probes.held
    report = monitor.step(-1)
    np.testing.assert_array_equal(report.targets, TARGETS)
    expected = SaliencyMonitor(model, ProbeSet(own, TARGETS)).step(-1)
    np.testing.assert_array_equal(report.maps, expected.maps)
    kernel = np.abs(model.layers[-1].kernel.numpy()[:2, TARGETS]).T
    np.testing.assert_allclose(report.maps, kernel, rtol=1e-6)
    assert [*report.other_inputs] == [*expected.other_inputs] == [*own][1:]
    for other, one in expected.other_inputs.items():
        np.testing.assert_array_equal(report.other_inputs[other].maps, one.maps)


def test_some_columns_of_a_table_are_left_out():
    columns = {name: RNG.random(COUNT, "float32") for name in ("age", "id", "size")}
    inputs = [keras.Input((1,), name=name) for name in ("size", "age")]
    model = keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(inputs)))
    monitor = SaliencyMonitor(model, ProbeSet(columns, TARGETS))
    assert monitor.notes == [
        "inputs that the model does not take are left out, as in fit: 'id'",
        CLASSES,
    ]
    assert monitor.probes.feature_names == ("age", "size")
    kernel = np.abs(model.layers[-1].kernel.numpy()[::-1, TARGETS]).T
    np.testing.assert_allclose(monitor.step(-1).maps, kernel, rtol=1e-6)


def test_inputs_that_keras_takes_for_others_are_refused():
    """A model of a dict gets its values in the order of their names; the line leaves some out."""
    rows, series = RNG.random((COUNT, 2), "float32"), RNG.random((COUNT, 4, 3), "float32")
    inputs, model = {"a": rows, "b": rows, "c": series}, picky("dict")
    with pytest.raises(ValueError, match="inputs 'a', 'c', received 'a', 'b', 'c'.*order") as error:
        SaliencyMonitor(model, ProbeSet(inputs, TARGETS))
    line = str(error.value).partition("or inputs = ")[2].removesuffix(" for arrays.")
    report = SaliencyMonitor(model, ProbeSet(eval(line, {"inputs": inputs}), TARGETS)).step(-1)
    kernel = np.abs(model.layers[-1].kernel.numpy()[:2, TARGETS]).T
    np.testing.assert_allclose(report.maps, kernel, rtol=1e-6)
    data = tf.data.Dataset.from_tensor_slices((inputs, TARGETS)).batch(3)
    line = str(error.value).partition("does not take: ")[2].partition(", or inputs = ")[0]
    data = eval(line, {"dataset": data})
    assert {*data.element_spec[0]} == {"a", "c"}
    SaliencyMonitor(model, ProbeSet.from_dataset(data, per_class=1))


# ---------------------------------------------------------------- what an input is worth


def reads_sex(weight=4.0):
    """The class is the sex, which is text, if a word begins with f; age and site are ignored."""
    inputs = {
        "age": keras.Input((1,), name="age"),
        "sex": keras.Input((1,), dtype="string", name="sex"),
        "site": keras.Input((1,), dtype="int64", name="site"),
    }
    looked_up = layers.StringLookup(vocabulary=["f", "m"], num_oov_indices=0)(inputs["sex"])
    is_f = 1 - 2 * keras.ops.cast(looked_up, "float32")
    site = layers.CategoryEncoding(2, output_mode="one_hot")(inputs["site"])
    zero = 0 * (keras.ops.sum(site, axis=1, keepdims=True) + inputs["age"])
    return keras.Model(inputs, keras.ops.sigmoid(weight * is_f + zero))


def test_what_is_said_to_be_tested_of_inputs_of_tokens_is_what_runs():
    """No test is for tokens without a place; each further input is exchanged as a whole."""
    first, second = (keras.Input((1,), dtype="int32") for _ in range(2))
    read = [layers.Flatten()(layers.Embedding(3, 4)(one)) for one in (first, second)]
    model = keras.Model([first, second], layers.Dense(2)(layers.Concatenate()(read)))
    ids = np.arange(12).reshape(12, 1) % 3
    monitor = SaliencyMonitor(model, ProbeSet({0: ids, 1: ids}, np.arange(12) % 2))
    assert monitor.described.endswith("for 12 probes, 2 inputs (input 0, input 1)")
    report = monitor.step(0)
    assert "permutation_importance/1" in report.metrics
    assert report.interventions.passes == 2 * 12
    assert what_is_tested(report.interventions, "auto").endswith(
        "ProbeSet(regions={...}); test rounds only measure permutation_importance"
    )


def test_what_inputs_without_a_gradient_are_worth():
    """By hand: with the sex of another probe, the model is right where that is the same."""
    count, rng = 60, np.random.default_rng(1)
    sick = rng.integers(0, 2, count)
    columns = {
        "age": rng.random((count, 1), "float32"),
        "sex": np.where(sick, "f", "m")[:, np.newaxis],
        "site": rng.integers(0, 2, (count, 1)),
    }
    monitor = SaliencyMonitor(reads_sex(), ProbeSet(columns, sick, regions={"age": [True, False]}))
    report = monitor.step(0)
    draws, right = np.random.default_rng(0), []
    for _ in range(2):
        order = draws.permutation(count)
        right.append((sick[order] == sick[np.roll(order, 1)]).mean())
    assert report.metrics["probe_accuracy"] == 1
    assert report.metrics["permutation_importance/sex"] == pytest.approx(1 - np.mean(right))
    assert report.metrics["permutation_importance/site"] == 0
    assert report.metrics["permutation_importance/sex"] > 0.3
    assert {name for name in report.metrics if name.startswith("permutation")} == {
        "permutation_importance/sex",
        "permutation_importance/site",
    }
    blind = SaliencyMonitor(reads_sex(0.0), monitor.probes).step(0)
    assert not [name for name in blind.metrics if name.startswith("permutation")]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 1, 2]])
def test_a_column_in_a_list_is_held_by_its_position(order):
    """The columns around it stay, though their positions are no longer without a gap."""
    first, second = keras.Input((1,)), keras.Input((1,))
    sex, picture = keras.Input((1,), dtype="int64"), keras.Input((8, 8, 3))
    one_hot = layers.CategoryEncoding(2, output_mode="one_hot")(sex)
    seen = layers.GlobalAveragePooling2D()(picture)
    outputs = layers.Dense(2)(layers.Concatenate()([first, one_hot, second, seen]))
    model = keras.Model([first, sex, second, picture], outputs)
    given = {0: AGES, 1: np.arange(COUNT) % 2, 2: SITES[:, :1], 3: PICTURES}
    targets = np.arange(COUNT) % 2
    monitor = SaliencyMonitor(model, ProbeSet({at: given[at] for at in order}, targets))
    assert (monitor.held, [*monitor.probes.held]) == ([1], [1])
    assert "(held, since they have no gradient: input 1)" in monitor.described
    kernel = np.abs(model.layers[-1].kernel.numpy())[[0, 3]][:, targets].T
    report = monitor.evaluate(0)
    maps = report.maps if order[0] == 0 else report.other_inputs["table"].maps
    np.testing.assert_allclose(maps, kernel, rtol=1e-5)


# ---------------------------------------------------------------- dicts in dicts


def test_inputs_in_dicts_of_dicts_are_explained_by_the_lines_of_the_error():
    series, seen = RNG.random((12, 4, 2), "float32"), RNG.random((12, 3, 2), "float32")
    classes = np.arange(12) % 3
    data = {"past": {"series": series}, "future": {"seen": seen}}
    nested = {
        "past": {"series": keras.Input((4, 2), name="series")},
        "future": {"seen": keras.Input((3, 2), name="seen")},
    }
    read = [layers.Flatten()(tensor) for tensor in keras.tree.flatten(nested)]
    model = keras.Model(nested, layers.Dense(3)(layers.Concatenate()(read)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    dataset = tf.data.Dataset.from_tensor_slices((data, classes)).batch(3)
    for make in (
        lambda: ProbeSet.from_dataset(dataset),
        lambda: ProbeSet.from_dataset(dataset, kind="series", input_name="past"),
        lambda: ProbeSet.from_dataset((data, classes)),
        lambda: ProbeSet(data, classes),
    ):
        with pytest.raises(TypeError, match="received a dict under 'past'") as error:
            make()
    _, flatten, probes, flat, score = re.split(r"(?:; |: )(?=\w+ ?= ?)", str(error.value))
    known = {"ks": ks, "keras": keras, "model": model, "dataset": dataset}
    known |= {"inputs": data, "targets": classes}
    exec("\n".join([flatten, flat.partition(", of")[0]]), known)
    of_dataset, _, of_arrays = probes.partition(", or ")
    of_arrays = of_arrays.partition(" for arrays")[0]
    for line in (of_dataset, of_arrays):
        exec(line, known)
        saliency = ks.SaliencyCallback(
            known["probes"],
            score=eval(score.removeprefix("score=").rstrip("."), known),
            log_dir=None,
            verbose=0,
        )
        model.fit(dataset, shuffle=False, verbose=0, callbacks=[saliency])
        kernel = np.abs(model.layers[-1].kernel.numpy())  # Keras sorts names: future, past
        targets, report = known["probes"].targets, saliency.report
        expected = kernel[6:, targets].T.reshape(len(targets), 4, 2)
        np.testing.assert_allclose(report.maps, expected, rtol=1e-5)
        expected = kernel[:6, targets].T.reshape(len(targets), 3, 2)
        np.testing.assert_allclose(report.other_inputs["seen"].maps, expected, rtol=1e-5)


def test_inputs_that_are_cast_to_integers_are_explained_without_a_gradient():
    """The line that the error names works."""
    video = keras.Input((8, 8, 3), dtype="uint8", name="video")
    mask = keras.Input((4,), dtype="bool", name="mask")
    flat = layers.Concatenate()([layers.Flatten()(video), keras.ops.cast(mask, "float32")])
    model = keras.Model({"video": video, "mask": mask}, layers.Dense(3)(flat))
    data = {
        "video": np.random.default_rng(0).integers(0, 255, (12, 8, 8, 3)).astype("uint8"),
        "mask": np.ones((12, 4), bool),
    }
    dataset = (data, np.arange(12) % 3)
    with pytest.raises(ValueError, match="or casts them to integers") as error:
        ks.SaliencyMonitor(model, ks.ProbeSet.from_dataset(dataset))
    method, _, line = str(error.value).rpartition("alone: ")[2].rstrip(".").partition(" and ")
    probes = eval(line, {"ProbeSet": ks.ProbeSet, "dataset": dataset})
    report = ks.SaliencyMonitor(model, probes, method=eval(method[7:])).evaluate(0)
    assert report.maps.shape == (12, 8, 8)
    assert (report.maps.max(axis=(1, 2)) > 0).all()
