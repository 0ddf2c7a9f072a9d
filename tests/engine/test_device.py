"""What an evaluation copies to the device and back. Bytes and passes are counted by TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.engine import device
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.loss_scales import LOSS_SCALES
from support.networks import data, network
from support.small_nets import contents
from support.transfers import transfers

COUNT, PIXELS = 128, 8 * 8
IMAGES, TARGETS = data(COUNT)
KEPT = COUNT * PIXELS * 4
"""The bytes of all images."""


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


def evaluations(monitor, count=2):
    """What each of some evaluations transfers, and their reports."""
    seen, found = {}, []
    for step in range(count):
        with transfers(seen) as happened:
            report = monitor.evaluate(step)
        found.append((happened, report))
    return found


def test_an_evaluation_uploads_indices_and_waits_once():
    monitor = SaliencyMonitor(network(), ProbeSet(IMAGES, TARGETS))  # 4 passes of 32 probes
    (first, report), (second, again) = evaluations(monitor)
    assert contents(again)[0] == contents(report)[0]
    results = COUNT * (4 * PIXELS + 4 + 4 + 4 + 8)  # maps, norms, scores, confidences, predictions
    for happened in (first, second):
        assert happened.of("launch") == 4 * ["inference__explain_chunk"]
        assert len(happened.of("fetch")) == 5
        assert sum(happened.of("fetch")) == results
        kinds = [kind for kind, _ in happened]
        assert kinds.index("fetch") > max(i for i, kind in enumerate(kinds) if kind == "launch")
    indices = COUNT * (8 + 4)  # int64; targets are int32
    sizes = second.of("upload")
    assert sum(size for size in sizes if size > 4) == indices
    assert sum(sizes) < 2048  # the rest: axes and bounds of slices


def test_the_first_evaluation_finds_the_images_where_the_dry_run_put_them():
    with transfers({}) as happened:
        monitor = SaliencyMonitor(network(), ProbeSet(IMAGES, TARGETS), method="expected_gradients")
        monitor.evaluate(0)
    assert [size for size in happened.of("upload") if size >= KEPT] == [KEPT]


def test_probes_that_are_too_large_are_copied_pass_by_pass(monkeypatch):
    model, probes = network(), ProbeSet(IMAGES, TARGETS)
    expected = contents(SaliencyMonitor(model, probes).evaluate(0))
    monkeypatch.setattr(device, "MOST_BYTES", KEPT - 1)
    ((happened, report),) = evaluations(SaliencyMonitor(model, probes), 1)
    assert contents(report) == expected
    assert [size for size in happened.of("upload") if size > 128] == 4 * [KEPT // 4]


def test_the_limit_counts_all_inputs(monkeypatch):
    held = {"age": np.zeros((COUNT, 3)), "word": np.zeros(COUNT, "<U5")}
    masks = np.zeros((COUNT, 8, 8), bool)
    probes = ProbeSet(IMAGES, TARGETS, held=held, input_name="picture", masks=masks)
    size = KEPT + COUNT * (3 * 8 + 5 * 4)
    for with_masks, total in ((False, size), (True, size + COUNT * PIXELS)):
        for limit, is_kept in ((total, True), (total - 1, False)):
            monkeypatch.setattr(device, "MOST_BYTES", limit)
            assert DeviceProbes(probes, with_masks=with_masks).are_kept is is_kept


@pytest.mark.parametrize("limit", [0, 2**29])
def test_rows_of_all_inputs(monkeypatch, limit):
    """In any order, and more than once; texts, too."""
    monkeypatch.setattr(device, "MOST_BYTES", limit)
    rng = np.random.default_rng(0)
    held = {"age": rng.random((COUNT, 3)), "word": np.array([str(i) for i in range(COUNT)])}
    masks = rng.random((COUNT, 8, 8)) < 0.5
    probes = ProbeSet(IMAGES, TARGETS, held=held, input_name="picture", masks=masks)
    index = np.array([5, 127, 5, 0])
    inputs = DeviceProbes(probes, with_masks=True)
    rows = inputs.rows(index)
    np.testing.assert_array_equal(rows["images"], IMAGES[index])
    np.testing.assert_array_equal(rows["held"]["age"], held["age"][index])
    assert rows["held"]["word"].numpy().tolist() == [b"5", b"127", b"5", b"0"]
    np.testing.assert_array_equal(rows["masks"], masks[index])
    tf.nest.map_structure(
        lambda spec, tensor: tf.debugging.assert_equal(spec.is_compatible_with(tensor), True),
        inputs.specs(4),
        rows,
    )
    np.testing.assert_array_equal(inputs.images(), IMAGES)


def test_masks_are_copied_for_the_score_that_uses_them():
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Conv2D(3, 3, padding="same", activation="softmax")(inputs)
    probes = ProbeSet(IMAGES, TARGETS, masks=np.ones((COUNT, 8, 8), bool))
    monitor = SaliencyMonitor(keras.Model(inputs, outputs), probes, score="segmentation")
    assert monitor._inputs.rows(np.array([0]))["masks"].shape == (1, 8, 8)
    assert "masks" not in SaliencyMonitor(network(), probes)._inputs.rows(np.array([0]))


def test_the_search_for_a_loss_scale_waits_once_for_each_scale():
    """Of 4 passes, two have a probe that overflows at the first scale: they are run again."""
    keras.config.set_dtype_policy("float16")
    try:
        model = keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
        )
    finally:
        keras.config.set_dtype_policy("float32")
    # The gradient of a logit is the kernel: a scale of 2**15 times 4 leaves the range of float16.
    kernel = np.ones((PIXELS, 3), "float32")
    kernel[:, 1] = 4
    model.layers[-1].kernel.assign(kernel)
    targets = np.zeros(COUNT, int)
    targets[[1, 2, 70]] = 1
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES, targets), compute=Compute(batch_size=32))
    _, (happened, report) = evaluations(monitor)
    np.testing.assert_array_equal(report.maps, kernel[0, targets][:, None, None] * np.ones((8, 8)))
    passes = [4, 2]  # by scale
    kinds = [kind for kind, _ in happened if kind != "upload"]
    expected = [kind for count in passes for kind in [*count * ["launch"], "fetch"]]
    assert kinds == [*expected, *5 * ["fetch"]]
    assert LOSS_SCALES[0] * 2 >= 2**16 > LOSS_SCALES[1] * 4
