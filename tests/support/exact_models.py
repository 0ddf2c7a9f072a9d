"""Models of which it is known exactly what they read, and images with that in them."""

import numpy as np
import pytest

from keras_saliency.detection.interventions import intervene
from keras_saliency.detection.settings import Interventions

SIDE, COUNT = 20, 60
TARGETS = np.arange(COUNT) % 3
LOWEST = "lowest"
"""The smallest p-value, of one flip: 2 to the power of minus the number of probes."""

OBJECT, TAG, RING, INNER = (11, 12), (4, 15), (0, 7), (1, 7)
"""Pixels: in the middle; off the middle and the border; in both borders; in the wide one only."""


def noise(count=COUNT, seed=0):
    return np.random.default_rng(seed).random((count, SIDE, SIDE, 1))


def coded(*pixels, targets=TARGETS):
    """Noise in 0..1, with the class as the value of each of these pixels."""
    images = noise(len(targets))
    for y, x in pixels:
        images[:, y, x, 0] = targets
    return images


def region(*pixels, size=2):
    """Squares from these pixels on."""
    mask = np.zeros((SIDE, SIDE), bool)
    for y, x in pixels:
        mask[y : y + size, x : x + size] = True
    return mask


def heat(*pixels, count=COUNT):
    maps = np.zeros((count, SIDE, SIDE))
    for y, x in pixels:
        maps[:, y, x] = 1
    return maps


def reads(y, x):
    """A model that names the class by the value of one pixel and looks at nothing else."""

    def answer(images, targets):
        return np.rint(images[:, y, x, 0]).astype(int), np.zeros(len(images))

    return answer


def examined(probes, answer, maps=None, *, by_score=False, chunk_size=64, seed=0, settings=None):
    maps = heat(OBJECT, count=len(probes)) if maps is None else maps
    targets = np.zeros(len(probes), int) if probes.targets is None else probes.targets
    predictions, scores = answer(probes.images, targets)
    return intervene(
        probes,
        maps,
        predictions,
        scores,
        lambda images, recipients: answer(images, targets[recipients]),
        by_score=by_score,
        chunk_size=chunk_size,
        settings=settings or Interventions(seed=seed),
    )


def by_name(found):
    return {effect.test: effect for effect in found.effects}


def assert_all(found, **expected):
    for name, value in expected.items():
        value = 2.0**-found.num_probes if value is LOWEST else value
        limits = {"rel": 1e-9} if name.endswith("p_value") else {"abs": 1e-12}
        assert getattr(found, name) == pytest.approx(value, **limits), (found.test, name)


def assert_full(effect):
    assert_all(effect, effect=1, flip=1, keep=1, p_value=LOWEST)
    assert effect.untestable == ""


def assert_none(effect):
    assert_all(effect, effect=0, flip=0, keep=1, p_value=1)
    assert effect.untestable == ""


def assert_not_compared(effect):
    """A small effect needs no control."""
    assert np.isnan([effect.control, effect.control_p_value, effect.margin_p_value]).all()


def assert_stopped(effect, value=0):
    """Few donors had too small an effect for more questions."""
    assert_all(effect, effect=value, p_value=1)
    assert np.isnan([effect.flip, effect.keep, effect.control]).all()
    assert (effect.num_donors, effect.untestable, effect.examples) == (1, "", ())


def hide(images, digits, y, x):
    """Writes a digit into the third decimal of a pixel: no one can see it, and nothing repeats."""
    images[:, y, x, 0] = np.floor(images[:, y, x, 0] * 100) / 100 + np.asarray(digits) / 1000


def digit(images, y, x):
    return np.rint(images[:, y, x, 0] * 1000).astype(int) % 10


def reads_digit(y, x):
    def answer(images, targets):
        return digit(images, y, x), np.zeros(len(images))

    return answer
