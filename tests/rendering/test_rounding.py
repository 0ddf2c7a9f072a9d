"""The same picture is the same everywhere: means of pixels are rounded to the nearest level."""

import numpy as np
import pytest

from keras_saliency import ProbeSet, SaliencyReport
from keras_saliency.data.blocks import rounded
from keras_saliency.data.reports import Alert, Example
from keras_saliency.log.blobs import unpacked
from keras_saliency.log.encoder import Encoder
from keras_saliency.rendering.evidence import evidence
from keras_saliency.rendering.renderers import FRAME, PANEL, renderer
from keras_saliency.rendering.settings import Pictures


def drawn_levels(*shape):
    """Pixels on 0..255, 0 and 255 among them, each a whole number."""
    levels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    levels.flat[:2] = 0, 255
    return levels


def nearest_means(levels, block):
    """The mean of each block, to the nearest level, in whole numbers; halves go up."""
    count, height, width, channels = levels.shape
    blocks = levels.astype(int).reshape(
        count, height // block, block, width // block, block, channels
    )
    return (2 * blocks.sum(axis=(2, 4)) + block**2) // (2 * block**2)


def report_of(probes, *alerts):
    count = len(probes)
    return SaliencyReport(
        step=0,
        maps=np.ones(probes.images.shape[:-1], np.float32),
        targets=np.zeros(count, int),
        predictions=np.zeros(count, int),
        confidences=np.ones(count),
        scores=np.ones(count),
        gradient_norms=np.ones(count),
        metrics={},
        alerts=alerts,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounded_is_the_nearest_level(dtype):
    values = np.arange(0, 255.001, 0.125).astype(dtype)
    found = rounded(values)
    assert found.dtype == np.uint8
    assert (np.abs(found - values) <= 0.5).all()
    assert rounded(np.array([0, 0.5, 1.5, 2.5, 254.5, 255], dtype)).tolist() == [
        *(0, 1, 2, 3, 255, 255)
    ]


def test_levels_stay_what_they_are():
    levels = np.arange(256, dtype=np.uint8)
    assert rounded(levels) is levels


@pytest.mark.parametrize(("size", "side", "block"), [(PANEL, 1024, 2), (FRAME, 192, 3)])
def test_the_stock_picture_of_a_large_image_has_the_nearest_means(size, side, block):
    levels = drawn_levels(2, side, side, 3)
    found = renderer(ProbeSet(levels), np.arange(2), size).originals
    np.testing.assert_array_equal(found, nearest_means(levels, block))


def test_the_slices_of_a_large_volume_have_the_nearest_means():
    """One slice alone may be 512 pixels wide."""
    levels = drawn_levels(1, 1, 1024, 1024, 1)
    found = renderer(ProbeSet(levels, kind="volume"), np.arange(1), PANEL).originals
    np.testing.assert_array_equal(found, nearest_means(levels[:, 0], 2).repeat(3, axis=-1))


def test_the_tab_and_the_evidence_show_the_same_picture_of_a_large_image():
    levels = drawn_levels(2, 448, 448, 3)
    probes = ProbeSet(levels, [0, 0])
    expected = nearest_means(levels, 2)
    _, blobs = Encoder(probes, Pictures(map_size=224)).of_probes({}, unit="epoch")
    np.testing.assert_array_equal(unpacked(blobs)[1]["pictures"], expected)
    example = Example(0, 1, levels[1], 0, 0)
    alert = Alert(
        level="alert",
        step=0,
        rule="border",
        sentence="",
        assumption="",
        advice="",
        effect=0.5,
        flip=0.5,
        p_value=0.01,
        control=0.0,
        start=0.0,
        num_probes=12,
        window=None,
        target=None,
        examples=(example,),
    )
    picture = evidence(probes, report_of(probes, alert), alert)
    width = picture.shape[1] // 3 + 1  # three panels with gaps between them
    for index, shown in enumerate((expected[0], expected[1], expected[1])):
        panel = picture[:224, index * width :][:, : width - 1]
        places = [
            x for x in range(panel.shape[1] - 223) if np.array_equal(panel[:, x : x + 224], shown)
        ]
        assert len(places) == 1
