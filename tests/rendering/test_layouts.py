import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageFont

from keras_saliency.rendering.layouts import (
    BACKGROUND,
    GAP,
    LINE,
    TEXT,
    WRONG,
    Line,
    beside,
    blank,
    captioned,
    contact_sheet,
    draw_line,
    encoded,
    filmstrip,
    grid,
)

RNG = np.random.default_rng(0)
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def noise(height, width):
    """A picture no part of which looks like another."""
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


def is_background(part):
    return bool((part == np.uint8(BACKGROUND)).all())


# ---------------------------------------------------------------- sheets


def test_png_keeps_every_pixel():
    picture = noise(37, 23)
    image = Image.open(io.BytesIO(encoded(picture, lossless=True)))
    assert image.format == "PNG"
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), picture)


def test_jpeg_is_close():
    y, x = np.mgrid[:64, :48]
    smooth = np.stack([4 * y, 5 * x, 255 - 2 * y - 2 * x], axis=-1).astype(np.uint8)
    image = Image.open(io.BytesIO(encoded(smooth, lossless=False)))
    assert image.format == "JPEG"
    difference = np.abs(np.asarray(image).astype(int) - smooth)
    # Quality 90 quantises in steps of 3 to 20 per 8 x 8 coefficient.
    assert difference.mean() < 2
    assert difference.max() < 16


def test_jpeg_keeps_fine_colours():
    """Colours that alternate by column survive: no chroma subsampling."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 255, 0, 0
    stripes[:, 1::2] = 0, 0, 255
    image = np.asarray(Image.open(io.BytesIO(encoded(stripes, lossless=False))))
    assert np.abs(image.astype(int) - stripes).max() < 64


def test_blank():
    assert blank(3, 5).shape == (3, 5, 3)
    assert blank(3, 5).dtype == np.uint8
    assert is_background(blank(3, 5))


def test_beside():
    panels = [noise(6, 4), noise(6, 9), noise(6, 1)]
    sheet = beside(panels)
    assert sheet.shape == (6, 4 + 9 + 1 + 2 * GAP, 3)
    np.testing.assert_array_equal(sheet[:, :4], panels[0])
    np.testing.assert_array_equal(sheet[:, 4 + GAP : 13 + GAP], panels[1])
    np.testing.assert_array_equal(sheet[:, 13 + 2 * GAP :], panels[2])
    assert is_background(sheet[:, 4 : 4 + GAP])
    assert is_background(sheet[:, 13 + GAP : 13 + 2 * GAP])


def test_grid():
    cells = [[noise(5, 7), None, noise(5, 7)], [None, noise(5, 7)]]
    sheet = grid(cells)
    assert sheet.shape == (2 * 5 + GAP, 3 * 7 + 2 * GAP, 3)
    down, right = 5 + GAP, 7 + GAP
    np.testing.assert_array_equal(sheet[:5, :7], cells[0][0])
    np.testing.assert_array_equal(sheet[:5, 2 * right : 2 * right + 7], cells[0][2])
    np.testing.assert_array_equal(sheet[down : down + 5, right : right + 7], cells[1][1])
    assert is_background(sheet[:5, 7 : 2 * right])
    assert is_background(sheet[5:down])
    assert is_background(sheet[down:, :right])
    assert is_background(sheet[down:, right + 7 :])


@pytest.mark.parametrize(
    ("count", "height", "width", "columns"),
    [
        (1, 10, 10, 1),
        (2, 10, 10, 2),
        (5, 10, 20, 2),  # sqrt(2 * 5 * 10 / 20) = 2.24
        (8, 10, 10, 4),
        (16, 10, 10, 6),  # 5.66
        (3, 4, 90, 1),
        (3, 90, 4, 3),
    ],
)
def test_contact_sheet(count, height, width, columns):
    pictures = [noise(height, width) for _ in range(count)]
    sheet = contact_sheet(pictures)
    rows = -(-count // columns)
    assert sheet.shape == (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    left_over = np.ones(sheet.shape[:2], bool)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], picture)
        left_over[top : top + height, left : left + width] = False
    assert is_background(sheet[left_over])


@pytest.mark.parametrize(("height", "width"), [(20, 30), (15, 15), (48, 48)])
def test_filmstrip(height, width):
    names, columns = ["first", "second"], ["before", "0", "1"]
    frames = [[noise(height, width) for _ in columns] for _ in names]
    strip = filmstrip(list(zip(names, frames, strict=True)), columns)
    top = LINE + GAP
    assert strip.shape[0] == top + 2 * height + GAP
    left = strip.shape[1] - (3 * width + 2 * GAP)
    assert left > 0
    for y, row in enumerate(frames):
        for x, frame in enumerate(row):
            down, right = top + y * (height + GAP), left + x * (width + GAP)
            np.testing.assert_array_equal(strip[down : down + height, right : right + width], frame)
    for y in range(2):  # a name beside every row, and over every column
        down = top + y * (height + GAP)
        ink = (strip[down : down + height, :left] != np.uint8(BACKGROUND)).any(axis=(1, 2))
        assert abs(np.flatnonzero(ink).mean() - (height - 1) / 2) < 4
    for x in range(3):
        right = left + x * (width + GAP)
        assert not is_background(strip[:LINE, right : right + width])
    assert is_background(strip[:LINE, :left])


@pytest.mark.parametrize("height", [1, 3, 8, 14])
def test_filmstrip_of_flat_pictures(height):
    """Lower than a line of text, as the maps of 4 x 64 pixels are."""
    frames = [[noise(height, 48)], [noise(height, 48)]]
    strip = filmstrip([("first", frames[0]), ("second", frames[1])], ["0"])
    for row in frames:
        windows = np.lib.stride_tricks.sliding_window_view(strip, row[0].shape)
        assert (windows == row[0]).all(axis=(-3, -2, -1)).sum() == 1


def test_filmstrip_with_very_long_names():
    frames = [[noise(20, 20), noise(20, 20)]]
    strip = filmstrip([("name " * 100, frames[0])], ["epoch " * 50, "1"])
    assert strip.shape[1] < 300
    left = strip.shape[1] - 44
    np.testing.assert_array_equal(strip[LINE + GAP :, left : left + 20], frames[0][0])
    assert is_background(strip[:LINE, left + 20 : left + 24])  # the first column's name is cut


# ---------------------------------------------------------------- captions


def test_captions_lie_below_the_picture():
    picture = noise(10, 60)
    sheet = captioned(picture, [Line("one"), Line("two"), Line("")])
    assert sheet.shape == (10 + 3 * LINE + 2, 60, 3)
    np.testing.assert_array_equal(sheet[:10], picture)
    lines = [sheet[11 + LINE * i : 11 + LINE * (i + 1)] for i in range(3)]
    assert not is_background(lines[0])
    assert not is_background(lines[1])
    assert is_background(lines[2])
    assert lines[0].tobytes() != lines[1].tobytes()


def test_captions_have_the_colour_of_text():
    """Somewhere a stroke covers a pixel nearly whole; elsewhere text and background mix."""
    for wrong, color in ((False, TEXT), (True, WRONG)):
        line = captioned(blank(1, 60), [Line("▇▇▇▇", wrong)])[2:]
        assert (line == np.uint8(color)).all(axis=-1).any()
        low, high = np.minimum(color, BACKGROUND), np.maximum(color, BACKGROUND)
        assert ((line >= low) & (line <= high)).all()


def test_too_long_text_is_cut():
    font = ImageFont.truetype(str(FONT), 11)
    text, width = "a rather long name of a class, with a comma", 80
    fitting = max(n for n in range(len(text)) if font.getlength(text[:n] + "…") <= width - 2)
    assert 5 < fitting < 20
    cut = captioned(blank(4, width), [Line(text[:fitting] + "…")])
    np.testing.assert_array_equal(captioned(blank(4, width), [Line(text)]), cut)
    short = captioned(blank(4, 400), [Line(text)])
    whole = int(font.getlength(text))
    assert not is_background(short[:, whole - 6 : whole + 2])
    assert is_background(short[:, whole + 4 :])


def test_text_stays_in_its_place():
    picture = noise(40, 90)
    before = picture.copy()
    draw_line(picture, 10, 20, 30, Line("mmmmmmmmmmmmmmmmmmmmmmm"))
    changed = (picture != before).any(axis=-1)
    assert changed[10 : 10 + LINE, 20:50].any()
    changed[10 : 10 + LINE, 20:50] = False
    assert not changed.any()


@pytest.mark.parametrize("width", [1, 2, 3, 5, 10])
def test_captions_of_very_narrow_pictures(width):
    picture = noise(8, width)
    sheet = captioned(picture, [Line("class 7")])
    assert sheet.shape == (8 + LINE + 2, width, 3)
    np.testing.assert_array_equal(sheet[:8], picture)


@pytest.mark.parametrize(
    "text",
    ["猫", "Šťáva", "עברית", "🐈 cat", "a\tb", "a\nb", "a\r\nb\n", "a\x00b", "\ud800", "e\u0301"],
)
def test_any_name_can_be_drawn(text):
    sheet = captioned(blank(4, 90), [Line(text)])
    assert sheet.shape == (4 + LINE + 2, 90, 3)
    assert not is_background(sheet)
    strip = filmstrip([(text, [noise(20, 20)])], [text])
    assert not is_background(strip[LINE + GAP :, :-20])


def test_text_is_the_same_every_time():
    made = [captioned(blank(4, 90), [Line("predicts cat 0.93")]).tobytes() for _ in range(2)]
    assert made[0] == made[1]
