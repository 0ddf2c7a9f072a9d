"""What is written for a model of which several inputs are explained."""

import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.detection.state import RunState
from keras_saliency.rendering import layouts
from keras_saliency.rendering.layouts import BACKGROUND, GAP, LINE
from keras_saliency.tensorboard.sink import TensorBoardSink
from support.events import events, pixels
from support.logs import images, report

COUNT = 2
COLUMNS = {"age": np.array([30, 40]), "dose": np.array([1.5, 2.5])}
PROBES = ks.ProbeSet({"picture": images(COUNT, 4, 4), **COLUMNS}, [0, 0])
PICTURES = ks.Pictures(when="epoch", scale="probe", colormap="gray")


def both(step, picture=1.0, table=(1.0, 0.5)):
    of_table = report(np.tile(table, (COUNT, 1)), step)
    return report(np.full((COUNT, 4, 4), picture), step, other_inputs={"table": of_table})


def write(log_dir, *reports, resume=None, close=True):
    sink = TensorBoardSink(log_dir, PROBES, subject={}, pictures=PICTURES)
    if resume is not None:
        assert sink.resume(resume) is not None
    for one in reports:
        sink.write(one)
        sink.save_state(one.step, RunState(targets=PROBES.targets))
    if close:
        sink.close()
    return events(log_dir / "saliency")


def test_each_input_has_sheets_and_a_probe_has_one_picture(tmp_path):
    found = write(tmp_path, both(0))
    of_pictures = {tag for tag in found if not tag.startswith("saliency_log")}
    assert {tag for tag in of_pictures if "sheet" in tag or "strip" in tag or "probe" in tag} == {
        "saliency/contact_sheet",
        "saliency/filmstrip",
        "saliency/contact_sheet/table",
        "saliency/filmstrip/table",
        "saliency_probe/000 class 0",
        "saliency_probe/001 class 0",
    }


def test_the_inputs_of_a_probe_are_below_each_other(tmp_path):
    """The image and five lines, the first its name, then the bars and two."""
    picture = pixels(write(tmp_path, both(0))["saliency_probe/000 class 0"][0][-1])
    top = 96 + 2 + 5 * LINE + GAP
    assert picture.shape[0] == top + 2 * LINE + 2 + 2 * LINE
    assert picture.shape[1] == 3 * 240 + 2 * GAP
    assert (picture[top - GAP : top] == BACKGROUND).all()
    bars = picture[top + 5 :: LINE, 2 * (240 + GAP) + 104 :][:2]  # of the map alone
    lengths = (bars != bars[1, -1]).any(axis=-1).sum(axis=1)
    assert lengths.tolist() == [134, 67]
    for name, line in (("picture", 97), ("table", top + 2 * LINE + 1)):
        written = layouts.blank(LINE, 60)
        layouts.draw_line(written, 0, 0, 60, layouts.Line(name))
        np.testing.assert_array_equal(picture[line : line + LINE, :60], written)


def test_a_report_without_one_of_the_inputs_is_refused(tmp_path):
    sink = TensorBoardSink(tmp_path, PROBES)
    with pytest.raises(ValueError, match="'picture', 'table'.*received other inputs: none"):
        sink.write(report(np.ones((COUNT, 4, 4))))
    wrong = report(np.ones((COUNT, 3)))
    with pytest.raises(ValueError, match=r"maps of shape \(2, 2\).*received .*\(2, 3\)"):
        sink.write(report(np.ones((COUNT, 4, 4)), other_inputs={"table": wrong}))


def test_filmstrips_of_all_inputs_go_on_after_a_training_was_killed(tmp_path):
    reports = both(0), both(1, 2, (4.0, 1.0))
    whole = write(tmp_path / "whole", *reports)
    write(tmp_path / "killed", reports[0], close=False)
    resumed = write(tmp_path / "killed", reports[1], resume=0)
    for tag in ("saliency/filmstrip", "saliency/filmstrip/table", "saliency_probe/000 class 0"):
        np.testing.assert_array_equal(pixels(resumed[tag][1][-1]), pixels(whole[tag][1][-1]))
    alone = write(tmp_path / "alone", reports[1])
    tag = "saliency/filmstrip/table"
    assert pixels(alone[tag][1][-1]).shape != pixels(whole[tag][1][-1]).shape
