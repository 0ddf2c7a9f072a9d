"""The same numbers as captum's, on a copy of the model in PyTorch.

An optional check: PyTorch is large, and the numbers are tested against algebra elsewhere. It runs
where captum is installed.
"""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import grad_cam, integrated_gradients, occlusion

captum = pytest.importorskip("captum.attr")
torch = pytest.importorskip("torch")

# PyTorch, where it was built for a GPU that is not there.
pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning")

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 9, 8, 2)).astype(np.float32)
TARGETS = np.array([1, 0, 1])


@pytest.fixture(scope="module")
def models():
    """A model in Keras, and one in PyTorch with the same weights and its channels in front."""
    keras.utils.set_random_seed(1)
    parts = [
        layers.Conv2D(4, 3, activation="relu", name="first"),
        layers.MaxPooling2D(),
        layers.Conv2D(3, 2, activation="softplus", name="second"),
        layers.Flatten(),
        layers.Dense(2),
    ]
    ours = keras.Sequential([keras.Input((9, 8, 2)), *parts])
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 3, 2),
        torch.nn.Softplus(),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 2),
    )
    dense = parts[-1].kernel.numpy().reshape(2, 2, 3, 2).transpose(3, 2, 0, 1).reshape(2, 12)
    with torch.no_grad():
        for index, layer in ((0, parts[0]), (3, parts[2])):
            theirs[index].weight.copy_(
                torch.tensor(layer.kernel.numpy().transpose(3, 2, 0, 1).copy())
            )
            theirs[index].bias.copy_(torch.tensor(layer.bias.numpy()))
        theirs[6].weight.copy_(torch.tensor(dense.copy()))
        theirs[6].bias.copy_(torch.tensor(parts[-1].bias.numpy()))
    logits = theirs(inputs()).detach().numpy()
    np.testing.assert_allclose(ours(IMAGES), logits, rtol=1e-4, atol=1e-5)
    return ours, theirs


def inputs():
    return torch.tensor(IMAGES.transpose(0, 3, 1, 2).copy(), requires_grad=True)


def in_channels_last(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def maps_of(model, method, reduction="signed"):
    monitor = SaliencyMonitor(
        model,
        ProbeSet(IMAGES, TARGETS),
        method=method,
        compute=Compute(batch_size=2, reduction=reduction),
    )
    report = monitor.evaluate(step=0)
    return report.signed_maps if reduction == "signed" else report.maps


def test_gradient(models):
    ours, theirs = models
    found = captum.Saliency(theirs).attribute(inputs(), torch.tensor(TARGETS), abs=True)
    np.testing.assert_allclose(
        maps_of(ours, "gradient", "max_abs"),
        in_channels_last(found).max(axis=-1),
        rtol=1e-4,
        atol=1e-6,
    )


def test_input_x_gradient(models):
    ours, theirs = models
    found = captum.InputXGradient(theirs).attribute(inputs(), torch.tensor(TARGETS))
    expected = in_channels_last(found).sum(axis=-1)
    np.testing.assert_allclose(maps_of(ours, "input_x_gradient"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "theirs_called"),
    [("midpoint", "riemann_middle"), ("gauss_legendre", "gausslegendre")],
)
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_integrated_gradients(models, rule, theirs_called, start):
    ours, theirs = models
    found = captum.IntegratedGradients(theirs).attribute(
        inputs(),
        torch.full((3, 2, 9, 8), start),
        torch.tensor(TARGETS),
        n_steps=7,
        method=theirs_called,
    )
    method = partial(integrated_gradients, baseline=start, num_steps=7, rule=rule)
    expected = in_channels_last(found).sum(axis=-1)
    np.testing.assert_allclose(maps_of(ours, method), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("index", "layer"), [(1, "first"), (4, "second")])
def test_grad_cam(models, index, layer):
    """Enlarged by its own interpolation, bilinear between the centres of places."""
    ours, theirs = models
    method = captum.LayerGradCam(theirs, theirs[index])
    found = method.attribute(inputs(), torch.tensor(TARGETS), relu_attributions=True)
    large = torch.nn.functional.interpolate(found, (9, 8), mode="bilinear", align_corners=False)
    mine = maps_of(ours, partial(grad_cam, layer=layer))
    np.testing.assert_allclose(mine, in_channels_last(large)[..., 0], rtol=1e-4, atol=1e-6)
    assert mine.max() > 0


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (2, 2), (4, 3)])
def test_occlusion(models, window, stride):
    """Where the last window does not end with the axis, theirs is cut short; ours is moved back."""
    ours, theirs = models
    found = captum.Occlusion(theirs).attribute(
        inputs(),
        sliding_window_shapes=(2, window, window),
        strides=(2, stride, stride),
        baselines=0.1,
        target=torch.tensor(TARGETS),
    )
    method = partial(occlusion, window=window, stride=stride, baseline=0.1)
    mine, expected = maps_of(ours, method), in_channels_last(found)[..., 0]
    starts = [sorted({*range(0, size - window, stride), size - window}) for size in (9, 8)]
    fits = [(size - window) % stride == 0 for size in (9, 8)]
    inside = tuple(
        slice(None) if whole else slice(0, begin[-1])
        for whole, begin in zip(fits, starts, strict=True)
    )
    np.testing.assert_allclose(
        mine[(slice(None), *inside)], expected[(slice(None), *inside)], rtol=1e-3, atol=1e-5
    )
