"""Which steps and probes get pictures, and that a filmstrip has the columns of all steps."""

import numpy as np
import pytest

import keras_saliency as ks
from keras_saliency.detection.state import RunState
from keras_saliency.rendering import drawings
from keras_saliency.rendering.heatmaps import NOT_A_NUMBER
from keras_saliency.tensorboard.pictures import PictureWriter
from keras_saliency.tensorboard.sink import TensorBoardSink
from support.events import events, pixels, steps
from support.logs import report
from support.networks import probes

STRIP, SHEET = "saliency/filmstrip", "saliency/contact_sheet"


def at(step, seed=0):
    maps = np.random.default_rng(1000 * seed + step).random((6, 8, 8), np.float32)
    return report(maps, step=step, metrics={"gini": 0.5})


def write(log_dir, *reports, how=(), close=True, resume=None):
    """Writes reports, and the state after each, as a training does."""
    sink = TensorBoardSink(log_dir, probes(), subject={}, **dict(how))
    if resume is not None:
        assert sink.resume(resume) is not None
    for one in reports:
        sink.write(one, again=one.step == resume)
        sink.save_state(one.step, RunState(targets=probes().targets))
    if close:
        sink.close()
    return sink


def strips(log_dir):
    found = events(log_dir / "saliency")[STRIP]
    return {step: pixels(tensors[-1]) for step, tensors in found.items()}


@pytest.mark.parametrize("scale", ["epoch", "probe"])
def test_pictures_are_drawn_ever_further_apart_and_at_last(scale, tmp_path):
    reports = [at(5 * number) for number in range(14)]
    thin, full = (ks.Pictures(scale=scale, when=when) for when in ("auto", "epoch"))
    write(tmp_path / "thin", *reports, how={"pictures": thin})
    write(tmp_path / "full", *reports, how={"pictures": full})
    found = steps(tmp_path / "thin" / "saliency")
    drawn = [0, 5, 10, 20, 40, 65]  # evaluations 0, 1, 2, 4, 8, and the last
    for tag in (STRIP, SHEET, "saliency_probe/003 class 1"):
        assert found[tag] == drawn
    every = steps(tmp_path / "full" / "saliency")
    assert found["saliency/gini"] == every["saliency/gini"] == every[SHEET] == [*range(0, 70, 5)]
    for tag in (STRIP, SHEET, "saliency_probe/003 class 1"):
        ours, theirs = (events(tmp_path / one / "saliency")[tag] for one in ("thin", "full"))
        for step in drawn:
            assert len(ours[step]) == 1
            assert ours[step] == theirs[step]


def test_a_killed_training_draws_at_the_steps_of_one_that_was_not(tmp_path):
    """It was killed after steps 6 and 9, which were not drawn; the log was one step ahead."""
    write(tmp_path / "whole", *map(at, range(13)))
    write(tmp_path / "killed", *map(at, range(8)), close=False)
    write(tmp_path / "killed", *map(at, range(6, 10)), close=False, resume=6)
    write(tmp_path / "killed", *map(at, range(9, 13)), resume=9)
    whole, killed = (strips(tmp_path / one) for one in ("whole", "killed"))
    assert [*whole] == [*killed] == [0, 1, 2, 4, 8, 12]
    for step, strip in whole.items():
        np.testing.assert_array_equal(killed[step], strip)


def test_the_next_fit_of_a_run_goes_on_counting(tmp_path):
    sink = write(tmp_path, *map(at, range(6)))
    for step in range(6, 9):
        sink.write(at(step))
    sink.close()
    assert steps(tmp_path / "saliency")[STRIP] == [0, 1, 2, 4, 5, 8]


def test_a_step_that_could_not_be_written_keeps_its_pictures(tmp_path):
    log_dir = tmp_path / "logs"
    sink = TensorBoardSink(log_dir, probes())
    log_dir.write_text("")
    for step in range(6):
        with pytest.raises(OSError, match="logs"):
            sink.write(at(step))
    log_dir.unlink()
    sink.close()
    assert steps(log_dir / "saliency")[STRIP] == [0, 1, 2, 4, 5]
    assert steps(log_dir / "saliency")["saliency/gini"] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("count", "chosen"), [(1, {"000"}), (3, {"000", "002", "005"})])
def test_some_probes_have_a_picture_of_their_own(count, chosen, tmp_path):
    write(tmp_path, at(0), how={"pictures": ks.Pictures(probes=count)})
    found = events(tmp_path / "saliency")
    names = {tag.split("/")[1][:3] for tag in found if tag.startswith("saliency_probe/")}
    assert names == chosen
    (text,) = found["saliency/configuration"][0]
    rows = text.string_val[0].decode().split("\n")
    assert {row[2:5] for row in rows if row.endswith("| yes |")} == chosen


@pytest.mark.parametrize(("side", "start"), [(47, b"\x89PNG"), (48, b"\xff\xd8")])
def test_pictures_that_are_enlarged_by_three_or_more_are_lossless(side, start, tmp_path):
    """Those of 47 pixels are enlarged to 141, those of 48 to 96."""
    sink = TensorBoardSink(tmp_path, ks.ProbeSet(np.zeros((1, side, side, 1)), [0]))
    sink.write(report(np.ones((1, side, side), np.float32)))
    sink.close()
    (tensor,) = events(tmp_path / "saliency")["saliency_probe/000 class 0"][0]
    assert tensor.string_val[2].startswith(start)


def test_when_and_probes_are_checked():
    with pytest.raises(ValueError, match="when: expected one of 'auto', 'epoch'"):
        ks.Pictures(when="log")
    with pytest.raises(ValueError, match="probes: expected a positive integer, received 0"):
        ks.Pictures(probes=0)
    with pytest.raises(TypeError, match="probes: expected a positive integer, received 2.5"):
        ks.Pictures(probes=2.5)


def test_boxes_are_outlined_on_pictures_of_probes_and_on_the_contact_sheet():
    """Only there, and only the lines: all else is as without boxes."""
    images = np.random.default_rng(0).random((2, 32, 32, 1))
    boxes = np.array([[4, 8, 16, 24], [0, 0, 32, 32]])
    with_boxes = ks.ProbeSet(images, [0, 1], boxes=boxes)
    without = ks.ProbeSet(images, [0, 1])
    made = report(images[..., 0])
    one, other = (
        PictureWriter(probes, ks.Pictures()).draw(made) for probes in (with_boxes, without)
    )
    changed = {tag for tag in one if not np.array_equal(one[tag], other[tag])}
    assert changed == {
        "saliency/contact_sheet",
        *(f"saliency_probe/{name}" for name in with_boxes.names),
    }
    pictures = [drawn[f"saliency_probe/{with_boxes.names[0]}"] for drawn in (one, other)]
    ink = np.zeros((96, 96), bool)  # three times as large
    ink[23:73, 11:49] = True
    ink[25:71, 13:47] = False
    for panel in range(3):
        part = slice(panel * 100, panel * 100 + 96)
        np.testing.assert_array_equal(
            (pictures[0] != pictures[1]).any(axis=-1)[:96, part] & ~ink, False
        )
        line = pictures[0][24, part][12:48]
        assert (line == drawings.LIGHT_INK).all()


@pytest.mark.parametrize("scale", ["epoch", "probe"])
def test_maps_of_one_value_share_a_scale(scale):
    """Over probes and evaluations; the mean is theirs, and zeros are dark."""
    noise = ks.ProbeSet(np.float32([[0.1], [0.2], [0.3]])[:, None, None])
    writer = PictureWriter(noise, ks.Pictures(scale=scale, colormap="gray"))
    for step, values in enumerate([[0, 0, 0], [1, 2, 3], [3, 3, 6]]):
        drawn = writer.draw(report(np.float32(values)[:, None, None], step=step))
        if not step:
            assert (drawn[STRIP] == NOT_A_NUMBER).all(axis=-1).sum() == 0
            assert (drawn[SHEET] == NOT_A_NUMBER).all(axis=-1).sum() == 0
    frames = drawn[STRIP][[48, 84, 120, 156]][:, [132, 164, 196], 0]
    shares = np.array([[0, 2, 4], [0, 1, 3], [0, 2, 3], [0, 3, 6]]) / 6
    np.testing.assert_array_equal(frames, np.floor(shares * 255 + 0.5))
    for name, value in zip(noise.names, [3, 3, 6], strict=True):
        alone = drawn[f"saliency_probe/{name}"]
        assert (alone[:96, 200:296] == np.floor(value / 6 * 255 + 0.5)).all()
