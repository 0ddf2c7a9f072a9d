"""Logs of models of which several inputs are explained, and of format 1, which has only one."""

import dataclasses
import json

import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.app.html_report import page
from keras_saliency.log import tags
from keras_saliency.log.blobs import packed, unpacked
from keras_saliency.log.encoder import Encoder
from keras_saliency.log.reader import read_blobs, read_log
from support.events import write_blobs
from support.logs import images, report

COUNT = 3
PICTURE, SCAN, TABLE = images(COUNT, 4, 5), images(COUNT, 6, 3, seed=1), images(COUNT, 1, 4, seed=2)
TABLE = TABLE[:, 0, :, 0]
NAMES = ("age", "income", "site[0]", "site[1]")


def region(*shape):
    found = np.zeros(shape, bool)
    found[0] = True
    return found


def probes():
    """A picture, a scan whose name has a slash, and a table."""
    others = {
        "left/scan": ks.ProbeSet(SCAN, masks=SCAN[..., 0] > 0.4, regions={"top": region(6, 3)}),
        "table": ks.ProbeSet(TABLE, kind="features", feature_names=NAMES),
    }
    return ks.ProbeSet(
        PICTURE,
        [0, 1, 0],
        class_names=["cat", "dog"],
        groups=["a", "b", "b"],
        regions={"edge": region(4, 5)},
        input_name="picture",
        other_inputs=others,
    )


def made(step):
    """Each input has maps, norms and metrics of its own; one has another method, one has signs."""
    scan = SCAN[..., 0] * (step + 2) - 1
    others = {
        "left/scan": report(
            scan, step, signed_maps=scan, others={"more": SCAN[..., 0]}, metrics={"gini": 0.25}
        ),
        "table": report(TABLE * 9, step, method="gradient", gradient_norms=np.arange(3.0)),
    }
    metrics = {"gini": 0.5, "gini/left/scan": 0.25}
    return report(PICTURE[..., 0], step, metrics=metrics, other_inputs=others)


@pytest.fixture
def records():
    encoder = Encoder(probes(), ks.Pictures())
    found = [(0, encoder.of_probes({}, unit="epoch"))]
    return found + [(step, record) for step in range(2) for record in encoder.of_report(made(step))]


def written(log_dir, records):
    for place, (step, (tag, blobs)) in enumerate(records):
        write_blobs(log_dir / "saliency", tag, step, blobs, suffix=f".{place}")
    return log_dir


def test_the_inputs_are_read_back(records, tmp_path):
    log = read_log(written(tmp_path, records))["saliency"]
    found = log.probes
    assert log.problems == ()
    assert (found.input_name, found.kind, found.shape) == ("picture", "image", (4, 5))
    assert list(found.other_inputs) == ["left/scan", "table"]
    scan, table = found.other_inputs.values()
    assert (scan.kind, scan.shape, scan.feature_names) == ("image", (6, 3), None)
    assert (table.kind, table.shape, table.feature_names) == ("features", (4,), NAMES)
    for one, name in ((scan, "left/scan"), (table, "table")):
        assert one.input_name == name
        assert one.names == found.names == ("000 cat", "001 dog", "002 cat")
        assert one.class_names == ("cat", "dog")
        assert (one.groups, one.fingerprint) == (("a", "b", "b"), probes().fingerprint)
        assert one.targets.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(scan.masks, SCAN[..., 0] > 0.4)
    assert (found.masks, table.masks) == (None, None)
    assert [list(one.regions) for one in (found, scan, table)] == [["edge"], ["top"], []]
    np.testing.assert_array_equal(scan.regions["top"], [region(6, 3)])
    assert np.abs(scan.pictures - 255 * SCAN).max() <= 0.51
    assert sorted(np.unique(table.places)) == [0, 1, 2, 3]
    assert (found.places, scan.places) == (None, None)


def test_the_maps_and_numbers_of_each_input_are_read_back(records, tmp_path):
    log = read_log(written(tmp_path, records))["saliency"]
    for step, found in enumerate(log.reports):
        wanted = made(step)
        assert list(found.other_inputs) == ["left/scan", "table"]
        for name in (None, "left/scan", "table"):
            one = found if name is None else found.other_inputs[name]
            right = wanted if name is None else wanted.other_inputs[name]
            assert (one.step, one.method, list(one.others)) == (
                *(step, right.method),
                list(right.others),
            )
            assert dict(one.metrics) == dict(right.metrics)
            np.testing.assert_array_equal(one.gradient_norms, right.gradient_norms)
            np.testing.assert_array_equal(one.predictions, right.predictions)
            assert_near(one.maps, right.maps, right.maps.max() / 252)
            for method in right.others:
                assert_near(one.others[method], right.others[method], 1 / 252)
        scan = found.other_inputs["left/scan"]
        assert_near(scan.signed_maps, wanted.other_inputs["left/scan"].signed_maps, 4 / 252)
        assert (scan.signed_maps < 0).any()
        assert found.other_inputs["table"].signed_maps is None


def assert_near(found, wanted, error):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=error)


def test_each_input_has_tags_of_its_own(records, tmp_path):
    blobs = read_blobs(written(tmp_path, records))["saliency"]
    assert set(blobs) == {
        "saliency_log/probes",
        "saliency_log/reports",
        "saliency_log/maps/saliency",
        "saliency_log/inputs/left%2Fscan/saliency",
        "saliency_log/inputs/left%2Fscan/more",
        "saliency_log/inputs/table/gradient",
    }
    header, arrays = unpacked(blobs["saliency_log/probes"][0][1])
    assert header["format"] == 2
    assert (header["input"], [one["name"] for one in header["inputs"]]) == (
        "picture",
        ["left/scan", "table"],
    )
    assert set(arrays) == {
        *("pictures", "regions", "pictures/left/scan", "masks/left/scan", "regions/left/scan"),
        *("pictures/table", "places/table", "ink/table"),
    }


def test_the_page_has_the_maps_of_all_inputs_but_not_their_headers(records, tmp_path):
    text = page(written(tmp_path, records))
    start = text.index('id="keras-saliency-data">') + len('id="keras-saliency-data">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert len(data["index"]["runs"]["saliency"]["saliency_log/inputs/table/gradient"]) == 2
    assert set(data["headers"]["saliency"]) == {"saliency_log/probes", "saliency_log/reports"}


def as_format_1(tag, blobs):
    """What version 1 wrote: the same without the fields that are new."""
    header = json.loads(blobs[0]) | {"format": 1}
    for name in ("input", "inputs", "feature_names"):
        header.pop(name, None)
    return tag, [json.dumps(header).encode(), *blobs[1:]]


def test_a_log_of_format_1_is_read(tmp_path):
    given = dataclasses.replace(probes(), other_inputs={})
    encoder = Encoder(given, ks.Pictures())
    one = dataclasses.replace(made(0), other_inputs={})
    records = [encoder.of_probes({"a": "b"}, unit="epoch"), *encoder.of_report(one)]
    log = read_log(written(tmp_path, [(0, as_format_1(*found)) for found in records]))["saliency"]
    assert (log.problems, log.configuration) == ((), {"a": "b"})
    assert (log.probes.input_name, log.probes.feature_names) == (None, None)
    assert (log.probes.other_inputs, log.reports[0].other_inputs) == ({}, {})
    assert_near(log.reports[0].maps, PICTURE[..., 0], 1 / 252)
    assert list(log.probes.regions) == ["edge"]


def changed(records, tag, **fields):
    """The records with other fields of the last input, in the header of a tag."""
    found = []
    for step, (name, blobs) in records:
        if name == tag:
            header = json.loads(blobs[0])
            header["inputs"][1] |= fields
            blobs = [json.dumps(header).encode(), *blobs[1:]]
        found.append((step, (name, blobs)))
    return found


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": True}, "expected a text, received True"),
        ({"name": None}, "expected a text, received None"),
        ({"name": 2.5}, "expected a text, received 2.5"),
        ({"name": "left/scan"}, "two inputs with the name 'left/scan'"),
        ({"shape": [3]}, "the names of 4 features of \\(3,\\)"),
        ({"shape": [0]}, "maps without a size"),
        ({"kind": 1}, "expected a text, received 1"),
        ({"regions": None}, "unexpected form"),
        ({"feature_names": ["a"]}, "the names of 1 features of \\(4,\\)"),
        ({"feature_names": [1, 2, 3, 4]}, "expected a text, received 1"),
    ],
)
def test_a_wrong_input_of_the_probes_is_told(fields, said, records, tmp_path):
    with pytest.raises(ValueError, match=said):
        read_log(written(tmp_path, changed(records, tags.PROBES, **fields)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "unknown"}, "an unknown input 'unknown'"),
        ({"name": "left/scan"}, "an unknown input 'left/scan', or has it twice"),
        ({"methods": {"x": {}}}, "its maps of 'x' of input 'table' are missing"),
        ({"methods": {}}, "unexpected form"),
        ({"gradient_norms": [1]}, "its header has 1 numbers for 3 probes"),
        ({"metrics": {"a": "b"}}, "expected a number, received 'b'"),
    ],
)
def test_a_wrong_input_of_a_report_costs_its_step(fields, said, records, tmp_path):
    log = read_log(written(tmp_path, changed(records, tags.REPORTS, **fields)))["saliency"]
    assert log.reports == ()
    assert [said in problem for problem in log.problems] == [True, True]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 5), np.uint8), "its shape is (3, 5), but the largest possible is (3, 4)"),
        (np.zeros((3, 2), np.uint8), "of 'gradient' of input 'table' are smaller than the places"),
        (
            np.zeros((2, 4), np.uint8),
            "of 'gradient' of input 'table' are not uint8 maps of 3 probes",
        ),
        (
            np.zeros((3, 4), np.int32),
            "of 'gradient' of input 'table' are not uint8 maps of 3 probes",
        ),
    ],
)
def test_wrong_maps_of_an_input_cost_their_step(array, said, records, tmp_path):
    tag = tags.input_maps_tag("table", "gradient")
    blobs = packed({}, {"thumbnails": None, "maps": array})
    records = [(step, (name, blobs if name == tag else old)) for step, (name, old) in records]
    log = read_log(written(tmp_path, records))["saliency"]
    assert log.reports == ()
    assert said in log.problems[0]


def test_a_picture_of_another_size_is_told(records, tmp_path):
    step, (tag, blobs) = records[0]
    place = json.loads(blobs[0])["arrays"].index("pictures/table") + 1
    blobs[place] = packed({}, {"a": np.zeros((3, 2, 2, 3), np.uint8)})[1]
    with pytest.raises(ValueError, match="its array 'places/table' is int32"):
        read_log(written(tmp_path, [(step, (tag, blobs)), *records[1:]]))


def test_inputs_may_have_positions_instead_of_names(tmp_path):
    """As for a model that takes a list."""
    given = ks.ProbeSet(PICTURE, input_name=1, other_inputs={0: ks.ProbeSet(TABLE)})
    encoder = Encoder(given, ks.Pictures())
    one = report(PICTURE[..., 0], other_inputs={0: report(TABLE)})
    records = [encoder.of_probes({}, unit="epoch"), *encoder.of_report(one)]
    log = read_log(written(tmp_path, [(0, record) for record in records]))["saliency"]
    assert (log.probes.input_name, [*log.probes.other_inputs]) == (1, [0])
    assert_near(log.reports[0].other_inputs[0].maps, TABLE, 1 / 252)
