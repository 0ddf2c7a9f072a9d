"""Counterfactual images that are made on the device are those that NumPy makes."""

import itertools
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_saliency import Compute, ProbeSet, RunState, SaliencyMonitor
from keras_saliency.data.placed_edits import PlacedEdit
from keras_saliency.detection.edits import NAMES, swap_offset, swap_region, swap_scale
from keras_saliency.detection.edits import PARTS as ALL_PARTS
from keras_saliency.engine import device
from keras_saliency.engine.counterfactuals import Counterfactuals
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.edits import EDITS
from support.small_nets import MANY, MANY_PROBES, found_by, small_net
from support.transfers import transfers

COUNT, SIDE = 9, (7, 6)
RECIPIENTS, DONORS = np.array(list(itertools.product(range(COUNT), repeat=2))).T
"""All pairs of probes, each with itself, too."""

OF_SERIES = (swap_offset, swap_scale)
PARTS = {edit: parts for edit, parts in ALL_PARTS.items() if edit not in OF_SERIES}
"""Those of images; the others are made in NumPy."""

MASKS = np.random.default_rng(3).random((COUNT, *SIDE)) < 0.4


@pytest.fixture(autouse=True)
def accelerated(monkeypatch):
    """On the device, though it is a CPU."""
    monkeypatch.setattr(device, "is_accelerated", lambda: True)


def some_images(dtype, channels=3):
    """Noise; probes that are alike, or flat in a channel, or all over."""
    images = np.random.default_rng(0).normal(size=(COUNT, *SIDE, channels))
    images[1] = images[0]
    images[2, ..., 0] = 0.1
    images[3] = 0.3
    images[4] = 0.7 * images[5] + 0.2
    images[6] = np.round(images[6])
    return images.astype(dtype)


def made(images, edit, batch_size=4):
    counterfactuals = Counterfactuals(DeviceProbes(ProbeSet(images)), batch_size)
    assert counterfactuals.makes(edit)
    return counterfactuals, counterfactuals.images(edit, RECIPIENTS, DONORS).numpy()


def test_every_edit_has_a_version_for_the_device():
    assert {*NAMES.values()} == EDITS.keys()
    assert NAMES.keys() == ALL_PARTS.keys() | {swap_region}


# Fourier transforms of two libraries differ in the last digits of float64. A float32 is then the
# same, but for the rare one that lies between two others.
WITHIN = {np.float64: 1e-13, np.float32: 2e-7, np.float16: 1e-3}


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("edit", PARTS, ids=lambda edit: edit.__name__)
def test_edits_of_the_whole_image(edit, rest, dtype):
    images = some_images(dtype)
    placed = PlacedEdit(NAMES[edit], rest=rest, describe=PARTS[edit][0])
    _, found = made(images, placed)
    one, other = (DONORS, RECIPIENTS) if rest else (RECIPIENTS, DONORS)
    expected = edit(images[one], images[other])
    assert found.dtype == dtype
    if NAMES[edit] == "spectrum":
        scale = np.ptp(images)
        np.testing.assert_allclose(found, expected, rtol=0, atol=WITHIN[dtype] * scale)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [*WITHIN, tf.bfloat16.as_numpy_dtype])
@pytest.mark.parametrize("rest", [False, True])
def test_a_region(rest, dtype):
    """One place for all; a place of each probe, where both have it, or either."""
    images = some_images(dtype)
    ours, theirs = MASKS[RECIPIENTS], MASKS[DONORS]
    one, other = (DONORS, RECIPIENTS) if rest else (RECIPIENTS, DONORS)
    for mask, overlap, where in (
        (MASKS[0], False, np.broadcast_to(MASKS[0], ours.shape)),
        (MASKS[0], True, np.broadcast_to(MASKS[0], ours.shape)),
        (MASKS, False, ours | theirs),
        (MASKS, True, ours & theirs),
    ):
        _, found = made(images, PlacedEdit("region", mask, overlap, rest))
        expected = images[one].copy()
        expected[where] = images[other][where]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 8), (12, 3), (16, 16)])
@pytest.mark.parametrize("edit", PARTS, ids=lambda edit: edit.__name__)
def test_sizes_and_gray_images(edit, size):
    images = np.random.default_rng(1).random((COUNT, *size, 1))
    _, found = made(images, PlacedEdit(NAMES[edit], describe=PARTS[edit][0]))
    expected = edit(images[RECIPIENTS], images[DONORS])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("edit", [swap_region, *PARTS], ids=lambda edit: edit.__name__)
def test_images_that_equal_a_probe(edit, rest):
    images = some_images(np.float32)
    describe = PARTS[edit][0] if edit in PARTS else None
    mask = None if describe else np.arange(42).reshape(SIDE) < 3
    images[7], images[8] = images[0], images[5]
    images[7, 0, :3] = images[5, 0, :3]  # 7 is 0 with the region of 5
    placed = PlacedEdit(NAMES[edit], mask, rest=rest, describe=describe)
    counterfactuals, found = made(images, placed)
    equal = counterfactuals.equal(placed, RECIPIENTS, DONORS)
    for name, index in (("recipients", RECIPIENTS), ("donors", DONORS)):
        expected = (found == images[index]).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(equal[name], expected)
        assert 0 < expected.sum() < len(expected)


@pytest.mark.parametrize("edit", PARTS, ids=lambda edit: edit.__name__)
def test_flat_images_make_no_nan_on_the_way(edit):
    tf.debugging.enable_check_numerics()
    try:
        _, found = made(some_images(np.float32), PlacedEdit(NAMES[edit], describe=PARTS[edit][0]))
    finally:
        tf.debugging.disable_check_numerics()
    assert np.isfinite(found).all()


def test_what_does_not_fit_on_the_device_is_made_in_numpy(monkeypatch):
    """The finest detail is described by an image, the tint by a few numbers."""
    images = some_images(np.float32)
    size, small = images.nbytes, COUNT * (3 * (8 + 8 + 1) + 2 * 4)
    by_name = {NAMES[edit]: PlacedEdit(NAMES[edit], describe=PARTS[edit][0]) for edit in PARTS}
    region = PlacedEdit("region", MASKS[0])
    for limit, expected in (
        (2 * size + small, (True, True, True)),
        (2 * size + small - 1, (True, True, False)),
        (size + small - 1, (True, False, False)),
        (size - 1, (False, False, False)),
    ):
        monkeypatch.setattr(device, "MOST_BYTES", limit)
        counterfactuals = Counterfactuals(DeviceProbes(ProbeSet(images)), 4)
        edits = region, by_name["tint"], by_name["high_frequency"]
        assert tuple(map(counterfactuals.makes, edits)) == expected


def test_on_a_cpu_images_are_made_in_numpy(monkeypatch):
    monkeypatch.setattr(device, "is_accelerated", lambda: False)
    counterfactuals = Counterfactuals(DeviceProbes(ProbeSet(some_images(np.float32))), 4)
    assert not counterfactuals.makes(PlacedEdit("region", MASKS[0]))


def test_inputs_of_other_kinds_are_made_in_numpy():
    series = ProbeSet(some_images(np.float32)[..., 0], kind="series")
    counterfactuals = Counterfactuals(DeviceProbes(series), 4)
    assert not counterfactuals.makes(PlacedEdit("region", np.ones(SIDE, bool)))


# ---------------------------------------------------------------- a round of tests


def known_probes(model):
    """Probes that the model is right about, with masks, half of which are alike."""
    targets = model.predict(MANY, verbose=0).argmax(axis=1)
    masks = np.zeros((len(MANY), 6, 5), bool)
    masks[:, 2:5, 1:4] = True
    masks[::2, 1] = True
    return ProbeSet(MANY, targets, masks=masks, regions=dict(MANY_PROBES.regions))


@pytest.mark.slow
@pytest.mark.parametrize("score", ["logit", "by score"])
def test_a_round_finds_the_same_as_with_images_of_numpy(monkeypatch, score):
    keras.utils.set_random_seed(7)
    model = small_net()
    probes, compute = known_probes(model), Compute(batch_size=16, jit_compile=False)
    settings = {} if score == "logit" else {"score": lambda outputs, targets: outputs[:, 0] ** 2}
    with transfers({}) as happened:
        found = found_by(SaliencyMonitor(model, probes, compute=compute, **settings))
    monkeypatch.setattr(device, "is_accelerated", lambda: False)
    with transfers({}) as others:
        expected = found_by(SaliencyMonitor(model, probes, compute=compute, **settings))
    assert found == expected
    assert "inference__compared" in happened.of("launch")
    assert "inference__compared" not in others.of("launch")


@pytest.mark.slow
def test_a_round_uploads_indices_and_masks_and_waits_twice_for_each_part():
    keras.utils.set_random_seed(7)
    model = small_net()
    probes = known_probes(model)
    monitor = SaliencyMonitor(model, probes, compute=Compute(batch_size=16, jit_compile=False))
    seen = {}
    for _ in range(2):
        monitor.state = RunState(targets=probes.targets)
        report = monitor.evaluate(0)
        with transfers(seen) as happened:
            found = monitor.intervene(report).interventions
    launches = Counter(happened.of("launch"))
    passes = launches["inference__run"]
    assert launches["inference__compared"] == passes  # no image equals a probe, so all are asked
    # An image that is compared needs two indices, int64; one that is asked about a target, too.
    sizes = Counter(happened.of("upload"))
    shared, of_each = 6 * 5, 30 * 6 * 5
    masks = shared * sizes.pop(shared) + of_each * sizes.pop(of_each)
    assert masks < 30 * of_each
    axes = 4 * sizes.pop(4)
    assert axes < 1000
    total = sum(size * count for size, count in sizes.items())
    assert total == 16 * found.passes + (16 + 4) * 16 * passes
    # Two results at a time: what equals probes, then predictions and scores.
    kinds = itertools.groupby(kind for kind, _ in happened if kind != "upload")
    waits = [len([*group]) for kind, group in kinds if kind == "fetch"]
    assert {*waits} == {2}
    assert len(waits) <= 2 * 4 * len(found.effects)  # at most three parts and a control
