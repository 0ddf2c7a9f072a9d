"""The picture of an alert, against one that is drawn by hand."""

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.reports import Alert, Example, Window
from keras_saliency.rendering.evidence import MIN_WIDTH, evidence
from keras_saliency.rendering.layouts import BACKGROUND, GAP, LINE, coverage
from support.logs import report

RED = (255, 120, 100)
"""The colour of warnings."""

CAPTION = 3 * LINE + 2
RNG = np.random.default_rng(0)


def alert(window, *examples):
    return Alert(
        level="alert",
        step=0,
        rule="hot_window",
        sentence="a sentence",
        assumption="an assumption",
        advice="some advice",
        effect=0.5,
        flip=0.5,
        p_value=0.001,
        control=0.0,
        start=0.0,
        num_probes=4,
        window=window,
        target=None,
        examples=examples,
    )


def panels(picture, count, height, width):
    """The panels of a picture, row by row, without their captions."""
    assert picture.shape == (
        count * (height + CAPTION) + (count - 1) * GAP,
        3 * max(width, MIN_WIDTH) + 2 * GAP,
        3,
    )
    down, right = height + CAPTION + GAP, max(width, MIN_WIDTH) + GAP
    return [
        [picture[y * down : y * down + height, x * right : x * right + width] for x in range(3)]
        for y in range(count)
    ]


def outlined(shades, factor, window):
    """Gray pixels as squares, and a line of one pixel around a window of them.

    The line lies outside of the window, or on its edge where that is the picture's edge.
    """
    picture = np.kron(shades[..., np.newaxis], np.ones((factor, factor, 1), np.uint8))
    picture = picture.repeat(3, axis=-1)
    if window is None:
        return picture
    height, width = picture.shape[:2]
    first_row = max(window[0] * factor - 1, 0)
    last_row = min((window[0] + window[2]) * factor, height - 1)
    first_column = max(window[1] * factor - 1, 0)
    last_column = min((window[1] + window[3]) * factor, width - 1)
    for row in range(first_row, last_row + 1):
        picture[row, first_column] = picture[row, last_column] = RED
    for column in range(first_column, last_column + 1):
        picture[first_row, column] = picture[last_row, column] = RED
    return picture


@pytest.mark.parametrize(
    "window",
    [None, Window(3, 5, 2, 4), Window(0, 0, 3, 3), Window(9, 8, 3, 4), Window(0, 8, 12, 4)],
)
def test_small_images_are_enlarged_and_the_window_is_outlined(window):
    shades = RNG.integers(0, 256, (4, 12, 12), np.uint8)
    images = (shades[..., np.newaxis] / 255).astype(np.float32)
    examples = [Example(0, 2, images[3], 1, 0), Example(1, 0, images[2], 1, 0)]
    made = evidence(
        ProbeSet(images, [0, 1, 0, 1]), report(images[..., 0]), alert(window, *examples)
    )
    shown = panels(made, 2, 192, 192)  # 12 pixels, enlarged until 192 are reached
    for row, indices in zip(shown, [(0, 2, 3), (1, 0, 2)], strict=True):
        for panel, index in zip(row, indices, strict=True):
            np.testing.assert_array_equal(panel, outlined(shades[index], 16, window))
    assert (made[:192, 192:MIN_WIDTH] == BACKGROUND).all()


def test_the_window_of_a_large_image_is_outlined_where_it_is_after_averaging():
    small = RNG.integers(0, 256, (2, 224, 224), np.uint8)
    images = np.kron(small, np.ones((2, 2), np.uint8))[..., np.newaxis].astype(np.float32)
    example = Example(0, 1, images[1], 1, 0)
    made = evidence(
        ProbeSet(images, [0, 1]), report(images[..., 0]), alert(Window(40, 60, 72, 30), example)
    )
    ((first, second, third),) = panels(made, 1, 224, 224)
    np.testing.assert_array_equal(first, outlined(small[0], 1, (20, 30, 36, 15)))
    np.testing.assert_array_equal(second, outlined(small[1], 1, (20, 30, 36, 15)))
    np.testing.assert_array_equal(third, second)


def framed(picture, left, top, right, bottom):
    """A light line of one pixel within the edges of a box, and a dark one around it."""
    picture = picture.copy()
    for line, out in ((16, 1), (240, 0)):
        first, last = (left - out, top - out), (right + out - 1, bottom + out - 1)
        for column in range(first[0], last[0] + 1):
            picture[first[1], column] = picture[last[1], column] = line
        for row in range(first[1], last[1] + 1):
            picture[row, first[0]] = picture[row, last[0]] = line
    return picture


def test_boxes_of_probes_are_outlined():
    """Those of recipient and donor in their images, that of the recipient in the edited one."""
    shades = RNG.integers(0, 256, (3, 12, 12), np.uint8)
    images = (shades[..., np.newaxis] / 255).astype(np.float32)
    boxes = [[1, 2, 5, 7], [3, 1, 9, 10], [6, 6, 8, 8]]
    probes = ProbeSet(images, [0, 1, 0], boxes=boxes)
    for window in (None, Window(9, 8, 2, 3)):
        made = evidence(
            probes, report(images[..., 0]), alert(window, Example(0, 1, images[2], 1, 0))
        )
        (shown,) = panels(made, 1, 192, 192)
        for panel, index, box in zip(shown, (0, 1, 2), (0, 1, 0), strict=True):
            plain = outlined(shades[index], 16, None)
            expected = framed(plain, *(16 * side for side in boxes[box]))
            if window is not None:
                is_red = (outlined(np.zeros_like(shades[0]), 16, window) == RED).all(axis=-1)
                expected[is_red] = RED
            np.testing.assert_array_equal(panel, expected)


# ---------------------------------------------------------------- other kinds of input


def changed_places(inputs, changed, **kind):
    """Where each of the three panels is red, if input 3 is input 0 with these places of input 2."""
    example = Example(0, 2, np.where(changed, inputs[2], inputs[0]), 1, 0)
    probes = ProbeSet(inputs, [0, 1, 0, 1], **kind)
    drawn = evidence(probes, report(np.zeros(probes.map_shape)), alert(None, example))
    wide = (drawn.shape[1] - 2 * GAP) // 3
    starts = [number * (wide + GAP) for number in range(3)]
    shown = [drawn[: drawn.shape[0] - CAPTION, start : start + wide] for start in starts]
    return [(panel == RED).all(axis=-1) for panel in shown]


def rectangle(shape, top, bottom, left, right):
    mask = np.zeros(shape, bool)
    mask[[top, bottom], left : right + 1] = mask[top : bottom + 1, [left, right]] = True
    return mask


def test_the_changed_steps_of_a_series_are_outlined():
    """48 steps of 4 pixels each, and a picture of 96 rows."""
    series = RNG.random((4, 48, 2)).astype(np.float32)
    changed = np.zeros((48, 2), bool)
    changed[10:14, 1] = True
    for red in changed_places(series, changed, kind="series"):
        np.testing.assert_array_equal(red, rectangle(red.shape, 0, 95, 40, 55))


def test_what_is_changed_everywhere_has_no_outline():
    series = RNG.random((4, 48, 1)).astype(np.float32)
    for red in changed_places(series, np.ones((48, 1), bool), kind="series"):
        assert not red.any()


def test_the_changed_column_of_a_table_is_outlined():
    table = RNG.random((4, 5)).astype(np.float32)
    for red in changed_places(table, np.arange(5) == 1, kind="features"):
        np.testing.assert_array_equal(red, rectangle(red.shape, LINE, 2 * LINE - 1, 0, 239))


def test_the_columns_of_a_table_have_their_names():
    """Two names of one picture each: only the labels differ from those of the other names."""
    table = np.array([[0.0, 1], [1, 0]])
    pair = Example(0, 1, table[1], 1, 0)
    drawn = {}
    for names in (["age", "dose"], ["dose", "age"], ["0", "1"], None):
        probes = ProbeSet(table, [0, 1], kind="features", feature_names=names)
        drawn[str(names)] = evidence(probes, report(np.zeros((2, 2))), alert(None, pair))
    ages = drawn["['age', 'dose']"]
    assert (ages != drawn["['dose', 'age']"]).any()
    assert (ages != drawn["None"]).any()
    np.testing.assert_array_equal(drawn["None"], drawn["['0', '1']"])


def test_the_changed_tokens_are_outlined():
    words = ["one", "two", "three", "four"]
    tokens = np.array([[0, 1, 2], [1, 1, 2], [0, 3, 2], [1, 3, 2]], np.int32)
    reds = changed_places(tokens, np.arange(3) == 1, kind="tokens", vocabulary=words)
    widths = [np.flatnonzero(red.any(axis=0)) for red in reds]
    one = coverage("one", 320).shape[1]
    for columns, word in zip(widths, ("two", "four", "four"), strict=True):
        first = one + 3  # after a space of 3 pixels
        assert (columns[0], columns[-1]) == (first, first + coverage(word, 320).shape[1] - 1)


def test_the_changed_voxels_of_a_volume_are_outlined_in_their_slice():
    """Four slices of 8 x 8 in two rows; the changed ones are in the last."""
    volumes = RNG.random((4, 4, 8, 8, 1)).astype(np.float32)
    changed = np.zeros((4, 8, 8, 1), bool)
    changed[3, 2:4, 5] = True
    for red in changed_places(volumes, changed, kind="volume"):
        factor = 12  # two slices of 8 are enlarged until 192 are reached
        top, left = (8 * factor + 2 + place * factor for place in (2, 5))
        expected = rectangle(red.shape, top, top + 2 * factor - 1, left, left + factor - 1)
        np.testing.assert_array_equal(red, expected)
