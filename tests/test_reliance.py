"""What models rely on that are not plain classifiers: detectors, and models of several inputs.

The models read one thing that is known, by weights that are set by hand: the effect of exchanging
that is 1, that of anything else 0.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_saliency as ks

SIDE, COUNT, CLASSES = 8, 60, 3
TARGETS = np.arange(COUNT) % CLASSES
TAG = np.zeros((SIDE, SIDE), bool)
TAG[0, :CLASSES] = True
REGIONS = {"tag": TAG}


def reliance(model, probes, score="logit"):
    """Two rounds of tests, between which the weights change, but not what the model reads."""
    monitor = ks.SaliencyMonitor(model, probes, score=score)
    monitor.step(-1)
    model.set_weights([2 * values for values in model.get_weights()])
    report = monitor.step(0, last=True)
    effects = {verdict.effect.test: verdict.effect.effect for verdict in report.verdicts}
    return report, effects


# ---------------------------------------------------------------- several inputs


def rows():
    """Pictures whose tag shows the class, and columns of which one is the class."""
    rng = np.random.default_rng(0)
    pictures = rng.random((COUNT, SIDE, SIDE, 1))
    pictures[:, TAG, 0] = np.eye(CLASSES)[TARGETS]
    columns = {"age": rng.random(COUNT), "chol": TARGETS.astype(float), "site": rng.random(COUNT)}
    return pictures, columns


def two_inputs(read):
    """The class is read from the tag of the picture, or from the column chol."""
    picture = keras.Input((SIDE, SIDE, 1), name="picture")
    columns = [keras.Input((1,), name=name) for name in ("age", "chol", "site")]
    seen = layers.Dense(CLASSES, use_bias=False)
    known = layers.Dense(CLASSES)
    outputs = seen(layers.Flatten()(picture)) + known(layers.Concatenate()(columns))
    model = keras.Model([picture, *columns], layers.Softmax()(outputs))
    pixels, values = np.zeros((SIDE, SIDE, CLASSES)), np.zeros((3, CLASSES))
    of_class = np.arange(CLASSES)
    if read == "tag":
        pixels[TAG] = 9 * np.eye(CLASSES)
        bias = np.zeros(CLASSES)
    else:  # -(chol - class)^2, but for what all classes have in common
        values[1], bias = 18 * of_class, -9 * of_class**2
    seen.set_weights([pixels.reshape(-1, CLASSES)])
    known.set_weights([values, bias])
    return model


def image_explained():
    pictures, columns = rows()
    return ks.ProbeSet(pictures, TARGETS, input_name="picture", held=columns, regions=REGIONS)


def columns_explained():
    pictures, columns = rows()
    return ks.ProbeSet(columns, TARGETS, held={"picture": pictures})


def all_explained():
    pictures, columns = rows()
    return ks.ProbeSet({"picture": pictures, **columns}, TARGETS, regions=REGIONS)


def table_first():
    pictures, columns = rows()
    return ks.ProbeSet({**columns, "picture": pictures}, TARGETS)


@pytest.mark.parametrize("probes", [image_explained, all_explained])
def test_a_tag_in_the_picture_beside_a_table(probes):
    report, effects = reliance(two_inputs("tag"), probes())
    assert effects["region/tag"] == 1
    (alert,) = report.alerts
    assert (alert.rule, alert.level) == ("region/tag", "alert")
    assert "the model relies on the region 'tag': accuracy drops by 100 points" in alert.sentence
    _, quiet = reliance(two_inputs("chol"), probes())
    assert quiet["region/tag"] == 0
    assert np.nanmax([*quiet.values()]) == 0


@pytest.mark.parametrize("probes", [columns_explained, table_first])
def test_a_column_beside_a_picture_is_called_by_its_name(probes):
    report, effects = reliance(two_inputs("chol"), probes())
    assert (effects["column/chol"], effects["column/age"], effects["column/site"]) == (1, 0, 0)
    (alert,) = report.alerts
    assert (alert.rule, alert.level) == ("column/chol", "alert")
    assert "the model relies on the column 'chol': accuracy drops by 100 points" in alert.sentence
    assert "ignore=['column/chol']" in alert.sentence
    (verdict,) = [one for one in report.verdicts if one.effect.test == "column/chol"]
    assert verdict.subject == "the column 'chol'"
    _, quiet = reliance(two_inputs("tag"), probes())
    assert quiet == {"column/age": 0, "column/chol": 0, "column/site": 0}


def with_a_category_first():
    """The class is read from chol; sex, the first column, is looked up, and ignored."""
    names = ("sex", "age", "chol")
    columns = {
        name: keras.Input((1,), name=name, dtype="int64" if name == "sex" else "float32")
        for name in names
    }
    one_hot = layers.CategoryEncoding(2, output_mode="one_hot")(columns["sex"])
    known = layers.Dense(CLASSES)
    read = known(layers.Concatenate()([one_hot, columns["age"], columns["chol"]]))
    of_class, values = np.arange(CLASSES), np.zeros((4, CLASSES))
    values[3] = 18 * of_class
    known.set_weights([values, -9 * of_class**2])
    return keras.Model(columns, layers.Softmax()(read))


def test_columns_keep_their_names_when_one_is_held():
    _, columns = rows()
    sex = np.random.default_rng(1).integers(0, 2, COUNT)
    given = {"sex": sex, "age": columns["age"], "chol": columns["chol"]}
    model = with_a_category_first()
    for ignored, status in (("column/chol", "finding"), ("column/age", "fires")):
        settings = ks.Interventions(ignore=[ignored])
        monitor = ks.SaliencyMonitor(model, ks.ProbeSet(given, TARGETS), interventions=settings)
        assert monitor.held == ["sex"]
        verdicts = {one.effect.test: one for one in monitor.step(-1).verdicts}
        assert {*verdicts} == {"column/age", "column/chol"}
        assert (verdicts["column/chol"].effect.effect, verdicts["column/chol"].status) == (
            1,
            status,
        )
    settings = ks.Interventions(ignore=["column/1"])
    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(given, TARGETS), interventions=settings)
    with pytest.raises(ValueError, match="ignore: .*'column/age', 'column/chol'.*'column/1'"):
        monitor.step(-1)


def test_the_audit_calls_a_column_by_its_name():
    (finding,) = ks.audit(columns_explained()).findings
    assert finding.subject == "the column 'chol'"


# ---------------------------------------------------------------- detectors

HALF = SIDE // 2
QUADRANTS = np.array([[0, 0, 4, 4], [4, 0, 8, 4], [0, 4, 4, 8], [4, 4, 8, 8]], np.float32)


def scenes():
    """An object in one of the two lower quadrants: which of its first pixels is lit is its class.

    So is which pixel of the tag is lit.
    """
    rng = np.random.default_rng(0)
    images = rng.random((COUNT, SIDE, SIDE, 1)) / 8
    images[:, TAG, 0] = np.eye(CLASSES)[TARGETS]
    place = 2 + np.arange(COUNT) // CLASSES % 2
    for image, quadrant, target in zip(images, place, TARGETS, strict=True):
        image[HALF, HALF * (quadrant - 2) : HALF * (quadrant - 1)] = 0
        image[HALF, HALF * (quadrant - 2) + target] = 1
    return images, QUADRANTS[place]


def detector(read):
    """It predicts the four quadrants, with the class of what is in each, or of the tag."""
    inputs = keras.Input((SIDE, SIDE, 1))
    inside = layers.Conv2D(CLASSES, HALF, strides=HALF, use_bias=False)
    above = layers.Dense(CLASSES, use_bias=False)
    logits = layers.Reshape((4, CLASSES))(inside(inputs))
    logits = logits + layers.Reshape((1, CLASSES))(above(layers.Flatten()(inputs)))
    places = layers.Reshape((4, 4))(0 * logits[..., :1] + QUADRANTS)
    model = keras.Model(inputs, {"boxes": places, "classes": layers.Activation("sigmoid")(logits)})
    objects, tag = np.zeros((HALF, HALF, 1, CLASSES)), np.zeros((SIDE, SIDE, CLASSES))
    if read == "tag":
        tag[TAG] = 5 * np.eye(CLASSES)
    else:
        objects[0, :CLASSES, 0] = 5 * np.eye(CLASSES)
    inside.set_weights([objects])
    above.set_weights([tag.reshape(-1, CLASSES)])
    return model


def test_a_tag_that_a_detector_reads():
    images, boxes = scenes()
    probes = ks.ProbeSet(images, TARGETS, boxes=boxes, regions=REGIONS)
    report, effects = reliance(detector("tag"), probes, "detection")
    np.testing.assert_array_equal(report.predictions, TARGETS)
    assert report.interventions.unit == "accuracy"
    assert (effects["region/tag"], effects["background"]) == (1, 1)
    (alert,) = report.alerts
    assert (alert.rule, alert.level) == ("region/tag", "alert")
    assert "accuracy drops by 100 points" in alert.sentence
    np.testing.assert_array_equal(report.maps[0] > 0, TAG & (np.arange(SIDE) == TARGETS[0]))


def test_a_tag_that_a_detector_does_not_read():
    images, boxes = scenes()
    probes = ks.ProbeSet(images, TARGETS, boxes=boxes, regions=REGIONS)
    report, effects = reliance(detector("object"), probes, "detection")
    np.testing.assert_array_equal(report.predictions, TARGETS)
    assert (effects["region/tag"], effects["background"]) == (0, 0)
    assert "region/tag" not in [alert.rule for alert in report.alerts]
    assert report.metrics["object_pointing_game"] == 1
    spectrum = next(e for e in report.interventions.effects if e.test == "spectrum")
    assert spectrum.untestable == "small objects of two classes differ in their spectrum by right"


def test_a_detector_that_finds_nothing_is_wrong_and_not_tested():
    images, _ = scenes()
    boxes = np.tile([2, 2, 6, 6], (COUNT, 1))  # a quarter of each quadrant, which is too little
    report, _ = reliance(detector("object"), ks.ProbeSet(images, TARGETS, boxes=boxes), "detection")
    assert (report.predictions == -1).all()
    assert (report.metrics["probe_accuracy"], report.metrics["confidence"]) == (0, 0)
    reason = "the accuracy on the probes is 0.00, below 0.60"
    assert report.interventions.blocked_because == reason


def test_the_report_says_that_only_the_first_input_is_tested():
    report, _ = reliance(two_inputs("tag"), all_explained())
    assert report.interventions.note == "only the first input, picture, is tested, not table"
