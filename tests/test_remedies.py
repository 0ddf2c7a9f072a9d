"""Remedies: layers that take away in training what a test names."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.detection.edits import (
    swap_high_frequency,
    swap_offset,
    swap_scale,
    swap_spectrum,
    swap_tint,
)
from keras_saliency.detection.objects import estimated_mask
from keras_saliency.detection.remedies import widened_place
from keras_saliency.detection.tests import TESTS, InterventionTest
from keras_saliency.engine.exchanging import others
from support.planted import SIDE, linear, reading_the_tag, tagged_probes

RNG = np.random.default_rng(0)
WHOLE = {
    "tint": swap_tint,
    "spectrum": lambda ours, theirs: swap_spectrum(swap_high_frequency(ours, theirs), theirs),
    "high_frequency": swap_high_frequency,
}
OF_PLACES = ("region", "repeated_pattern", "border_patch", "hot_window", "class_hot_spot")


def images(*shape):
    return RNG.random(shape).astype("float32")


def donors_of(batch, seed=0):
    return batch[others(tf.constant(batch), seed).numpy()]


def exchanged(remedy, batch, **more):
    return remedy(batch, training=True, **more).numpy()


@pytest.mark.parametrize("test", WHOLE)
def test_a_remedy_exchanges_what_the_test_exchanges(test):
    batch = images(6, 12, 12, 3)
    made = exchanged(ks.remedy(test, seed=7), batch)
    np.testing.assert_allclose(made, WHOLE[test](batch, donors_of(batch, 7)), atol=5e-7, rtol=0)
    assert abs(made - batch).max() > 0.05


@pytest.mark.parametrize("test", OF_PLACES)
def test_a_place_is_exchanged_with_a_margin(test):
    batch = images(4, 30, 20, 1)
    made = exchanged(ks.remedy(test, (2, 17, 3, 2)), batch)
    where = np.zeros((30, 20), bool)
    where[1:6, 16:20] = True  # a pixel wider, as that is 5 % of 20 pixels, and not beyond the edge
    expected = np.where(where[..., np.newaxis], donors_of(batch), batch)
    np.testing.assert_array_equal(made, expected)


def test_a_mask_and_a_window_of_the_same_pixels_are_the_same_place():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    batch = images(4, 10, 12, 1)
    by_mask, by_window = (ks.remedy("region", place) for place in (mask, (2, 3, 3, 6)))
    np.testing.assert_array_equal(exchanged(by_mask, batch), exchanged(by_window, batch))


@pytest.mark.parametrize(
    ("test", "width"), [("border", 3), ("thin_border", 2), ("own_hot_spot", 5)]
)
def test_a_border_is_exchanged_with_a_margin(test, width):
    """Of 20 pixels 12 %, 5 % and 20 %, rounded, and a margin of 5 %."""
    batch = images(4, 20, 20, 1)
    expected = donors_of(batch)
    inside = np.s_[:, width:-width, width:-width]
    expected[inside] = batch[inside]
    np.testing.assert_array_equal(exchanged(ks.remedy(test), batch), expected)


def test_nothing_of_the_own_background_is_left():
    """Where the other image has its object, the next one gives the background, or a colour."""
    batch = images(3, 6, 6, 2)
    objects = np.zeros((3, 6, 6), bool)
    objects[0, 0], objects[1, 1:3], objects[2, 2:4] = True, True, True
    index = others(tf.constant(batch), 0).numpy()
    made = exchanged(ks.remedy("background"), batch, masks=objects)
    for one, other in enumerate(index):
        third = index[other]
        for row in range(6):
            if objects[one, row].any():
                expected = batch[one, row]
            elif not objects[other, row].any():
                expected = batch[other, row]
            elif not objects[third, row].any():
                expected = batch[third, row]
            else:
                expected = batch[other][~objects[other]].mean(axis=0)
            np.testing.assert_allclose(made[one, row], np.broadcast_to(expected, (6, 2)), rtol=1e-6)


def with_objects(count):
    """Bright squares on dark noise, each at a place of its own."""
    batch = 0.1 * images(count, 24, 24, 1)
    for one, (top, left) in enumerate(RNG.integers(5, 11, (count, 2))):
        batch[one, top : top + 8, left : left + 8] += 0.8
    return batch


@pytest.mark.parametrize("test", ["background", "estimated_background"])
def test_without_masks_objects_are_estimated(test):
    batch = with_objects(5)
    masks = np.stack([estimated_mask(image) for image in batch])
    assert masks.any(axis=(1, 2)).all()
    made, expected = (
        exchanged(ks.remedy(test), batch),
        exchanged(ks.remedy(test), batch, masks=masks),
    )
    np.testing.assert_array_equal(made, expected)
    assert (made != batch).any()


@pytest.mark.parametrize("test", ["background", "tint", "border"])
def test_an_image_alone_stays_as_it_is(test):
    batch = with_objects(1)
    np.testing.assert_array_equal(exchanged(ks.remedy(test), batch), batch)


@pytest.mark.parametrize(
    ("test", "shape", "words"),
    [
        (
            "background",
            (4, 5, 5),
            r"masks: expected shape \(4, 6, 6\) or \(4, 6, 6, 1\), a mask for",
        ),
        ("region", (6, 6), r"each input, received \(6, 6\)"),
        ("tint", (4, 6, 6), "masks: expected None for the test 'tint', which has no place"),
    ],
)
def test_masks_that_do_not_fit_are_named(test, shape, words):
    with pytest.raises(ValueError, match=words):
        ks.remedy(test)(images(4, 6, 6, 1), training=True, masks=np.ones(shape, bool))


def test_objects_of_volumes_are_not_estimated():
    with pytest.raises(
        ValueError, match="masks: expected masks of the objects, since they are est"
    ):
        ks.remedy("background").map(images(2, 4, 4, 4, 1))


def test_without_an_estimate_the_border_is_exchanged():
    batch = with_objects(2)
    batch[1] = 0.5
    assert estimated_mask(batch[1]) is None
    objects = np.stack([estimated_mask(batch[0]), np.zeros((24, 24), bool)])
    objects[1, 5:-5, 5:-5] = True  # 12 % and 5 % of 24 pixels, rounded up
    made, expected = (
        exchanged(ks.remedy("background"), batch, masks=masks) for masks in (None, objects)
    )
    np.testing.assert_array_equal(made, expected)


def test_a_place_of_its_own_in_each_image_is_given_by_masks():
    batch = images(3, 4, 4, 1)
    places = np.zeros((3, 4, 4), bool)
    for one in range(3):
        places[one, one] = True
    index = others(tf.constant(batch), 0).numpy()
    made = exchanged(ks.remedy("region"), batch, masks=places)
    either = (places | places[index])[..., np.newaxis]
    np.testing.assert_array_equal(made, np.where(either, batch[index], batch))


@pytest.mark.parametrize("test", ["tint", "border", "estimated_background"])
def test_in_inference_nothing_happens(test):
    batch = with_objects(4)
    layer = ks.remedy(test)
    np.testing.assert_array_equal(layer(batch), batch)
    np.testing.assert_array_equal(keras.Sequential([layer]).predict(batch, verbose=0), batch)


def test_channels_may_come_first():
    batch = images(4, 6, 8, 3)
    layer = ks.remedy("tint", data_format="channels_first")
    made = layer(batch.transpose(0, 3, 1, 2), training=True).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(made, swap_tint(batch, donors_of(batch)), atol=5e-7, rtol=0)


def test_a_data_set_is_mapped_with_its_labels_and_weights():
    batch, labels, weights = images(8, 6, 6, 1), np.arange(8), np.ones(8)
    remedy = ks.remedy("tint")
    data = tf.data.Dataset.from_tensor_slices((batch, labels, weights)).batch(4)
    (first, of_first, *_), second = data.map(remedy.map, num_parallel_calls=2)
    np.testing.assert_array_equal(first, exchanged(remedy, batch[:4]))
    np.testing.assert_array_equal(of_first, labels[:4])
    np.testing.assert_array_equal(second[0], exchanged(remedy, batch[4:]))
    np.testing.assert_array_equal(second[2], weights[4:])
    (alone,) = tf.data.Dataset.from_tensor_slices(batch).batch(8).map(remedy.map)
    np.testing.assert_array_equal(alone, exchanged(remedy, batch))


@pytest.mark.parametrize(
    ("element", "kind", "words"),
    [
        (np.zeros((4, 4, 1), "float32"), ValueError, r"images: expected a batch.*\(4, 4, 1\)"),
        ({"image": np.zeros((2, 4, 4, 1))}, TypeError, "expected a tensor, received several"),
    ],
)
def test_what_cannot_be_mapped_is_refused(element, kind, words):
    with pytest.raises(kind, match=words):
        ks.remedy("tint").map(element, np.zeros(2))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("nothing",), ValueError, "test: expected one of 'region', .*received 'nothing'"),
        ((3,), TypeError, "test: expected one of 'region'"),
        (("groups",), ValueError, "exchanges something, received 'groups'. Instead, look at"),
        (("tint", (0, 0, 2, 2)), ValueError, "place: expected None for the test 'tint'"),
        (("border", np.ones((4, 4), bool)), ValueError, "place: expected None for the test 'bor"),
        (("column",), ValueError, r"place: .*the columns .*'column', \[True, False, False\]\)"),
        (("region", np.ones((4, 4))), TypeError, "place: expected a bool mask or a window"),
        (("region", (0, 0, 2.5, 2)), TypeError, "place: expected four integers"),
        (("region", (0, 0, 0, 2)), ValueError, "with positive height and width"),
        (("region", (-1, 0, 2, 2)), ValueError, r"place: expected a window .*received \(-1, 0"),
        (("region", np.zeros((4, 4), bool)), ValueError, r"shape \(4, 4\) without any True"),
    ],
)
def test_a_wrong_argument_is_named(arguments, kind, words):
    with pytest.raises(kind, match=words):
        ks.remedy(*arguments)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (None, "expected a mask or a window, since 'hot_window' is a test of any place"),
        ((0, 0, 5, 2), r"within inputs of shape \(4, 6, 1\), received \(0, 0, 5, 2\)"),
        (np.ones((6, 4), bool), r"for inputs of shape \(4, 6, 1\), received one of shape \(6, 4\)"),
    ],
)
def test_a_place_that_does_not_fit_is_named(place, words):
    with pytest.raises(ValueError, match=words):
        widened_place(TESTS["hot_window"], ks.remedy("hot_window", place).place, (4, 6, 1))
    with pytest.raises(ValueError, match=words):
        ks.remedy("hot_window", place).map(images(2, 4, 6, 1))


@pytest.mark.parametrize(("seed", "kind"), [(-1, ValueError), (0.5, TypeError), (True, TypeError)])
def test_a_wrong_seed_is_named(seed, kind):
    with pytest.raises(kind, match="seed: expected"):
        ks.remedy("tint", seed=seed)


@pytest.mark.parametrize(
    ("test", "place", "shape"),
    [
        ("region", np.array([False, True, True]), (5, 3)),  # columns, or tokens
        ("region", np.array([True, False, True, False]), (5, 4, 2)),  # the steps of a series
        ("region", np.arange(8).reshape(4, 2) % 3 == 0, (5, 4, 2)),  # some channels at some steps
        ("region", np.arange(24).reshape(2, 3, 4) % 2 == 0, (5, 2, 3, 4, 1)),  # a volume
        ("column", np.array([False, True, False]), (5, 3)),
    ],
)
def test_places_of_other_kinds_have_no_margin(test, place, shape):
    batch = images(*shape)
    made = exchanged(ks.remedy(test, place), batch)
    mask = np.broadcast_to(place.reshape(place.shape + (1,) * (len(shape) - 1 - place.ndim)), shape)
    np.testing.assert_array_equal(made, np.where(mask, donors_of(batch), batch))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16", "uint8", "bool"])
def test_what_is_exchanged_at_a_place_keeps_its_type(dtype):
    tokens = RNG.integers(0, 99, (6, 4)).astype(dtype)
    made = exchanged(ks.remedy("region", np.array([True, False, False, True])), tokens)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made[:, [0, 3]], donors_of(tokens)[:, [0, 3]])
    np.testing.assert_array_equal(made[:, 1:3], tokens[:, 1:3])


@pytest.mark.parametrize(("test", "swap"), [("offset", swap_offset), ("scale", swap_scale)])
def test_series_get_the_offset_or_scale_of_others(test, swap):
    series = images(6, 10, 2)
    series[0, :, 1] = 0.25  # constant
    made = exchanged(ks.remedy(test), series)
    np.testing.assert_array_equal(made, swap(series, donors_of(series)))
    assert (made != series).any()


@pytest.mark.parametrize(
    ("arguments", "shape", "words"),
    [
        (("offset",), (6, 8, 8, 1), r"expected a batch, \(batch_size, steps, channels\), received"),
        (
            ("column", [True] + 7 * [False]),
            (6, 8, 1),
            r"expected a batch, \(batch_size, features\), received",
        ),
        (("background",), (6, 8), "channels\\) or \\(batch_size, depth, height, width, channels"),
    ],
)
def test_inputs_of_another_kind_are_refused(arguments, shape, words):
    with pytest.raises(ValueError, match=words):
        ks.remedy(*arguments).map(images(*shape))


def small_model(*layers):
    return keras.Sequential([keras.Input((12, 12, 1)), *layers, keras.layers.Flatten()])


@pytest.mark.parametrize(
    ("test", "place"),
    [("tint", None), ("hot_window", (1, 2, 3, 4)), ("region", np.eye(12, dtype=bool))],
)
def test_a_model_with_a_remedy_is_saved_and_loaded(test, place, tmp_path):
    model = small_model(ks.remedy(test, place, seed=3))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    batch = images(4, 12, 12, 1)
    np.testing.assert_array_equal(loaded(batch, training=True), model(batch, training=True))
    np.testing.assert_array_equal(loaded(batch), batch.reshape(4, -1))


@pytest.mark.slow
@pytest.mark.parametrize("test", ["tint", "spectrum", "border", "background"])
def test_a_model_with_a_remedy_trains_the_same_each_time(test):
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = small_model(ks.remedy(test))
        model.add(keras.layers.Dense(2))
        model.compile("sgd", "mse", jit_compile=model.layers[0].supports_jit)
        model.fit(with_objects_of_12(), np.ones((16, 2)), epochs=2, batch_size=8, verbose=0)
        weights.append(model.layers[-1].kernel.numpy())
    np.testing.assert_array_equal(*weights)


def with_objects_of_12():
    rng = np.random.default_rng(5)
    batch = (0.1 * rng.random((16, 12, 12, 1))).astype("float32")
    batch[:, 4:8, 4:8] += rng.random((16, 1, 1, 1)).astype("float32")
    return batch


def swap_first_row(recipients, donors, where):
    made = recipients.copy()
    made[:, 0] = donors[:, 0]
    return made


FIRST_ROW = InterventionTest("first_row", swap_first_row, "the first row", "it is empty")


def test_a_custom_test_has_a_remedy():
    batch = images(4, 12, 12, 1)
    made = exchanged(ks.remedy(FIRST_ROW), batch)
    np.testing.assert_array_equal(made[:, 0], donors_of(batch)[:, 0])
    np.testing.assert_array_equal(made[:, 1:], batch[:, 1:])
    with pytest.raises(ValueError, match=r"received 'first_row'. Exchange in the data set instead"):
        small_model(ks.remedy(FIRST_ROW)).layers[0].get_config()


def monitor_of(probes):
    return ks.SaliencyMonitor(linear(), probes, interventions=ks.Interventions("epoch", ["region"]))


def two_steps(monitor):
    """The reports of a model that reads the tag, ever more strongly."""
    for step in range(2):
        monitor.model.set_weights(reading_the_tag(1 + step))
        yield monitor.step(step)


def alert_of_the_tag():
    first, second = two_steps(monitor_of(tagged_probes()))
    assert [alert.level for alert in (*first.alerts, *second.alerts)] == ["warning", "alert"]
    return second.alerts[0]


def test_the_remedy_of_an_alert_exchanges_its_place():
    alert = alert_of_the_tag()
    layer = alert.remedy(seed=2)
    assert (layer.test, layer.seed) == ("region", 2)
    np.testing.assert_array_equal(layer.place, tagged_probes().regions["tag"][0])
    assert "train_ds = train_ds.map(alert.remedy().map)" in alert.sentence


def test_an_alert_that_was_logged_has_its_remedy(tmp_path):
    probes = tagged_probes()
    monitor = monitor_of(probes)
    sink = ks.TensorBoardSink(tmp_path, probes)
    for report in two_steps(monitor):
        sink.write(report)
    sink.close()
    log = ks.read_log(tmp_path)["saliency"]
    (alert,) = [
        alert for report in log.reports for alert in report.alerts if alert.level == "alert"
    ]
    np.testing.assert_array_equal(alert.remedy().place, probes.regions["tag"][0])


@pytest.mark.parametrize(("rule", "name"), [("border", "border"), ("tint/one_class", "tint")])
def test_an_alert_whose_name_tells_its_place_needs_no_other(rule, name):
    alert = dataclasses.replace(alert_of_the_tag(), rule=rule)
    assert alert.remedy().test == name
    assert alert.remedy().place is None


def test_four_bools_are_a_mask_and_no_window():
    place = ks.remedy("column", [True, False, False, False]).place
    np.testing.assert_array_equal(place, [True, False, False, False])


def test_an_alert_of_a_test_without_an_exchange_says_what_to_do():
    groups = dataclasses.replace(alert_of_the_tag(), rule="groups")
    with pytest.raises(ValueError, match="Instead, look at the images of the worst group"):
        groups.remedy()


def test_a_linear_model_cannot_learn_from_what_is_exchanged():
    """The class is the brightness of one pixel; exchanged, it has no correlation with the class."""
    labels = np.arange(4000) % 2
    batch = np.zeros((4000, SIDE, SIDE, 1), "float32")
    batch[:, 2, 3, 0] = labels + RNG.normal(0, 0.1, 4000)
    data = tf.data.Dataset.from_tensor_slices((batch, labels)).batch(40)
    made = data.map(ks.remedy("hot_window", (2, 3, 1, 1)).map)
    values = np.concatenate([batch[:, 2, 3, 0] for batch, _ in made])
    after = np.corrcoef(values, labels)[0, 1]
    assert np.corrcoef(batch[:, 2, 3, 0], labels)[0, 1] > 0.95
    # Another image of 39 has the other class with a probability of 20/39: -1/39 on average.
    assert abs(after + 1 / 39) < 4 / 4000**0.5


# ---------------------------------------------------------------- one of several inputs

AGES = np.arange(6.0, dtype=np.float32)[:, np.newaxis]
SITES = np.arange(6) % 2
TABLE_INPUTS = {"age": AGES, "site": SITES, "other": AGES * 2}


def of_column(place):
    return ks.remedy("column", place, input_name=["age", "site"])


def test_a_column_of_named_inputs_is_exchanged_alone():
    """The same as in the joined table; dtypes, shapes and other inputs stay."""
    changed, labels = of_column([True, False]).map(TABLE_INPUTS, SITES)
    joined = np.concatenate([AGES, SITES[:, np.newaxis]], axis=1).astype(np.float32)
    expected = ks.remedy("column", [True, False])(joined, training=True).numpy()
    np.testing.assert_array_equal(changed["age"], expected[:, :1])
    np.testing.assert_array_equal(changed["site"], SITES)
    assert changed["site"].dtype == "int64"
    assert changed["other"] is TABLE_INPUTS["other"]
    assert labels is SITES
    assert sorted(np.array(changed["age"])[:, 0]) == [*range(6)]
    assert not (np.array(changed["age"]) == AGES).any()


def test_one_of_several_inputs_is_exchanged():
    pictures = np.arange(6.0).repeat(12).reshape(6, 2, 2, 3).astype(np.float32)
    tint = ks.remedy("tint", input_name="picture")
    expected = tint(pictures, training=True).numpy()
    named, _ = tint.map({"picture": pictures, "age": AGES}, SITES)
    np.testing.assert_array_equal(named["picture"], expected)
    by_place = ks.remedy("tint", input_name=0).map((pictures, AGES), SITES)[0]
    assert isinstance(by_place, tuple)
    np.testing.assert_array_equal(by_place[0], expected)
    assert by_place[1] is AGES
    with pytest.raises(TypeError, match=r"several inputs, 'picture', 'age'.*input_name='picture'"):
        ks.remedy("tint").map({"picture": pictures, "age": AGES}, SITES)
    with pytest.raises(ValueError, match="input_name: .*'picture', 'age', received 'pictures'"):
        ks.remedy("tint", input_name="pictures").map({"picture": pictures, "age": AGES}, SITES)
    with pytest.raises(TypeError, match="expected a tensor, received the inputs 'picture', 'age'"):
        tint({"picture": pictures, "age": AGES}, training=True)
    again = type(tint).from_config(tint.get_config())
    assert again.inputs == ("picture",)


def test_the_printed_line_of_an_alert_works_on_named_columns():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    columns = {"noise": rng.normal(size=120), "leak": labels + rng.normal(size=120) / 9}
    columns = {name: values.astype(np.float32)[:, np.newaxis] for name, values in columns.items()}
    inputs = {name: keras.Input((1,), name=name) for name in columns}
    unit = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(inputs, unit(keras.layers.Concatenate()([*inputs.values()])))
    unit.set_weights([np.array([[0.0], [8.0]]), np.array([-4.0])])
    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(columns, labels))
    monitor.step(0)
    unit.bias.assign([-4.1])
    (alert,) = monitor.step(1, last=True).alerts
    assert alert.inputs == ("noise", "leak")
    assert "train_ds.map(alert.remedy().map)" in alert.sentence
    train_ds = tf.data.Dataset.from_tensor_slices((columns, labels)).batch(60)
    changed = [*train_ds.map(alert.remedy().map)]
    leaks = np.concatenate([inputs["leak"] for inputs, _ in changed])[:, 0]
    given = np.concatenate([label for _, label in changed])
    assert abs(np.corrcoef(leaks, given)[0, 1]) < 0.3
    np.testing.assert_array_equal(
        np.concatenate([inputs["noise"] for inputs, _ in changed]), columns["noise"]
    )
