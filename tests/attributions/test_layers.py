"""Class activation maps against a computation by hand, wherever in a model the layer is."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.lib.stride_tricks import sliding_window_view

from keras_saliency import Compute, ProbeSet, SaliencyMonitor, Score
from keras_saliency.attributions import (
    grad_cam,
    grad_cam_plus_plus,
    gradient,
    hires_cam,
    layer_cam,
)
from keras_saliency.attributions.differentiation import LayerCall, ModelScore
from support.class_activation import by_hand, enlarged

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 8, 6, 2)).astype(np.float32)
TARGETS = np.array([0, 1, 1])
KERNEL = RNG.normal(size=(3, 3, 2, 4)).astype(np.float32)
DENSE = RNG.normal(size=(6 * 4 * 4, 2)).astype(np.float32)

CAMS = [grad_cam, grad_cam_plus_plus, layer_cam, hires_cam]


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(3)


def maps_of(model, method, images=IMAGES, targets=TARGETS, **kwargs):
    probes = ProbeSet(images, targets, **kwargs)
    return (
        SaliencyMonitor(model, probes, method=method, compute=Compute(batch_size=2))
        .evaluate(step=0)
        .maps
    )


def conv(**kwargs):
    return layers.Conv2D(4, 3, activation="relu", use_bias=False, **kwargs)


def set_weights(model):
    """The known kernel to the first convolution, the known matrix to the dense layer."""
    for weight in model.weights:
        known = {KERNEL.shape: KERNEL, DENSE.shape: DENSE}.get(tuple(weight.shape))
        if known is not None:
            weight.assign(known)
    return model


def dense_model():
    parts = [conv(name="seen"), layers.Flatten(), layers.Dense(2, use_bias=False)]
    return set_weights(keras.Sequential([keras.Input((8, 6, 2)), *parts]))


def activations():
    """Of the known convolution with a ReLU: `(3, 6, 4, 4)`."""
    windows = sliding_window_view(IMAGES.astype(np.float64), (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("bhwcij,ijck->bhwk", windows, KERNEL), 0)


SLOPES = DENSE.T.reshape(2, 6, 4, 4)[TARGETS].astype(np.float64)


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize("method", CAMS)
def test_by_hand(method):
    expected = enlarged(by_hand(method.__name__, activations(), SLOPES))
    assert (expected > 0).any()
    found = maps_of(dense_model(), method)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found, maps_of(dense_model(), partial(method, layer="seen")))


@pytest.mark.parametrize("method", [grad_cam, layer_cam])
def test_global_average_pooling(method):
    """The gradient is the dense layer's weight, over the number of places."""
    weights = RNG.normal(size=(4, 2)).astype(np.float32)
    parts = [conv(), layers.GlobalAveragePooling2D(), layers.Dense(2, use_bias=False)]
    model = set_weights(keras.Sequential([keras.Input((8, 6, 2)), *parts]))
    model.layers[-1].kernel.assign(weights)
    slopes = np.broadcast_to(weights.T[TARGETS][:, None, None] / 24, SLOPES.shape)
    expected = enlarged(by_hand(method.__name__, activations(), slopes.astype(np.float64)))
    np.testing.assert_allclose(maps_of(model, method), expected, rtol=1e-4, atol=1e-5)


def test_hires_cam_sums_to_the_score_less_its_bias():
    """Where it is linear from the layer on, and nothing is negative."""
    same = layers.Conv2D(4, 3, padding="same", use_bias=False, activation="relu")
    parts = [same, layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts])
    same.kernel.assign(np.abs(KERNEL))
    parts[-1].kernel.assign(np.abs(RNG.normal(size=(8 * 6 * 4, 2))))
    parts[-1].bias.assign([5.0, -7.0])
    images = np.abs(IMAGES)
    found = maps_of(model, "hires_cam", images).sum(axis=(1, 2))
    logits = model(images).numpy()[range(3), TARGETS] - np.array([5.0, -7.0])[TARGETS]
    np.testing.assert_allclose(found, logits, rtol=1e-5)


def test_one_dimension_and_three():
    for shape, kind, spatial in (((9, 2), "series", (7,)), ((6, 5, 4, 1), "volume", (4, 3, 2))):
        values = RNG.normal(size=(2, *shape)).astype(np.float32)
        make = layers.Conv1D if kind == "series" else layers.Conv3D
        parts = [make(3, 3), layers.Flatten(), layers.Dense(2)]
        model = keras.Sequential([keras.Input(shape), *parts])
        found = maps_of(model, "hires_cam", values, [1, 0], kind=kind)
        seen = parts[0](values).numpy()
        slopes = parts[-1].kernel.numpy().T[[1, 0]].reshape(seen.shape)
        small = np.maximum((seen * slopes).sum(axis=-1), 0)
        assert small.shape[1:] == spatial
        for axis, size in enumerate(shape[:-1], start=1):  # one axis after the other
            small = np.moveaxis(small, axis, -1)
            flat = enlarged(small.reshape(-1, 1, small.shape[-1]).repeat(2, axis=1), (2, size))
            small = np.moveaxis(flat[:, 0].reshape(*small.shape[:-1], size), -1, axis)
        np.testing.assert_allclose(found, small, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- the arithmetic alone


def at_layer(method, seen, slopes, size):
    """A method on a layer with these values, where the score has these gradients."""

    @tf.function(autograph=False)
    def explained(x):
        def forward(inputs):
            output = seen + 0 * tf.reduce_sum(inputs)
            scores = tf.reduce_sum(output * slopes, axis=[1, 2, 3])
            return scores, [LayerCall("seen", output)]

        return method(ModelScore(forward), x, layer="seen")

    return explained(tf.zeros((len(seen), *size, 1))).numpy()[..., 0]


@pytest.mark.slow
@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("power", [-60, 60])
def test_values_and_gradients_of_any_size(method, power):
    """What float32 holds of a map is right: to the last bit, for powers of two."""
    seen = RNG.uniform(1, 2, size=(2, 3, 3, 4)).astype(np.float32)
    slopes = RNG.uniform(1, 2, size=(2, 3, 3, 4)).astype(np.float32)
    scale = np.float32(2.0**power)
    plain = at_layer(method, seen, slopes, (5, 5))
    assert (plain > 0).all()
    if method is grad_cam_plus_plus:
        for a, b in ((1, scale), (scale, 1), (scale, 1 / scale), (scale, scale)):
            found = at_layer(method, seen * np.float32(a), slopes * np.float32(b), (3, 3))
            wide = [values.astype(np.float64) for values in (seen * a, slopes * b)]
            np.testing.assert_allclose(found, by_hand("grad_cam_plus_plus", *wide), rtol=1e-5)
        return
    np.testing.assert_array_equal(at_layer(method, seen * scale, slopes, (5, 5)), plain * scale)
    np.testing.assert_array_equal(at_layer(method, seen, slopes * scale, (5, 5)), plain * scale)
    both = at_layer(method, seen * scale, slopes / scale, (5, 5))
    np.testing.assert_array_equal(both, plain)


@pytest.mark.parametrize("method", CAMS)
def test_a_mean_of_values_near_the_end_of_the_range(method):
    seen = np.full((1, 4, 4, 2), 1e-3, np.float32)
    slopes = np.full((1, 4, 4, 2), 2e38, np.float32)
    found = at_layer(method, seen, slopes, (4, 4))
    assert np.isfinite(found).all()
    assert (found > 0).all()
    if method is not grad_cam_plus_plus:
        np.testing.assert_allclose(found, 4e35, rtol=1e-5)


def test_grad_cam_plus_plus_of_negative_values_has_no_pole():
    """A sum of -2 times a slope of 1 is where the paper's fraction has the denominator 0."""
    seen = np.zeros((1, 2, 2, 1), np.float32)
    seen[0, 0, 0] = -3
    seen[0, 1, 1] = 1
    found = at_layer(grad_cam_plus_plus, seen, np.ones((1, 2, 2, 1), np.float32), (2, 2))
    np.testing.assert_allclose(found, [[[0, 0], [0, 2]]])  # 4 places, each of weight 1/2


@pytest.mark.parametrize("method", CAMS)
def test_what_speaks_against_the_class_is_cut_off(method):
    seen = np.ones((1, 2, 2, 1), np.float32)
    assert (at_layer(method, seen, -seen, (4, 4)) == 0).all()
    assert (at_layer(method, seen, 0 * seen, (4, 4)) == 0).all()


@pytest.mark.parametrize(("old", "new"), [(7, 224), (4, 9), (3, 2), (1, 5), (5, 5)])
def test_enlarged_maps_are_not_shifted(old, new):
    """As `tf.image.resize`, with half-pixel centres; what is symmetric stays so."""
    seen = RNG.uniform(size=(1, old, old + 1, 1)).astype(np.float32)
    slopes = np.ones_like(seen)
    found = at_layer(hires_cam, seen, slopes, (new, 11))
    expected = tf.image.resize(seen, (new, 11))[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    even = seen + seen[:, ::-1, ::-1]
    found = at_layer(hires_cam, even, slopes, (new, 11))
    np.testing.assert_allclose(found, found[:, ::-1, ::-1], rtol=1e-6)


def test_the_peak_of_a_map_is_at_the_middle_of_its_place():
    seen = np.zeros((1, 3, 3, 1), np.float32)
    seen[0, 2, 0] = 1
    found = at_layer(hires_cam, seen, np.ones_like(seen), (15, 15))[0]
    assert found[12, 2] == 1
    assert found.argmax() == 12 * 15  # at the border it stays: nothing is beyond


# ---------------------------------------------------------------- which layer


def test_the_default_is_the_layer_before_the_last_pool():
    parts = [
        layers.Conv2D(3, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(3, 3, padding="same", name="last"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(),
        layers.Dense(4),
        layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts])
    found = maps_of(model, "hires_cam")
    np.testing.assert_array_equal(found, maps_of(model, partial(hires_cam, layer="last")))
    pooled = maps_of(model, partial(hires_cam, layer="pool"))
    assert not np.array_equal(found, pooled)


def nested_model():
    inner = keras.Sequential([keras.Input((8, 6, 2)), conv(name="seen")], name="backbone")
    inputs = keras.Input((8, 6, 2))
    outputs = layers.Dense(2, use_bias=False)(layers.Flatten()(inner(inputs)))
    return set_weights(keras.Model(inputs, outputs))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.parts = {"a": [conv(name="seen")]}
        self.dense = layers.Dense(2, use_bias=False)

    def call(self, inputs, training=False):
        seen = self.parts["a"][0](inputs)
        return self.dense(tf.reshape(seen, (-1, 96)))


def subclassed_model():
    model = Subclassed()
    model(IMAGES)
    return set_weights(model)


@pytest.mark.slow
@pytest.mark.parametrize("method", [grad_cam, hires_cam])
@pytest.mark.parametrize("model", [nested_model, subclassed_model])
@pytest.mark.parametrize("layer", [None, "seen"])
def test_nested_and_subclassed_models(method, model, layer):
    expected = maps_of(dense_model(), method)
    found = maps_of(model(), partial(method, layer=layer))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["backbone/seen", "backbone"])
def test_a_layer_by_its_path_and_a_nested_model_by_its_name(layer):
    found = maps_of(nested_model(), partial(grad_cam, layer=layer))
    np.testing.assert_allclose(found, maps_of(dense_model(), grad_cam), rtol=1e-5, atol=1e-6)


def test_of_a_shared_layer_the_last_call_counts():
    shared = layers.Conv2D(2, 3, padding="same", name="shared", activation="relu")
    inputs = keras.Input((8, 6, 2))
    outputs = layers.Dense(2, name="end")(layers.Flatten()(shared(shared(inputs))))
    model = keras.Model(inputs, outputs)
    seen = shared(shared(IMAGES)).numpy()
    slopes = model.get_layer("end").kernel.numpy().T[TARGETS].reshape(seen.shape)
    found = maps_of(model, partial(hires_cam, layer="shared"))
    np.testing.assert_allclose(
        found, np.maximum((seen * slopes).sum(axis=-1), 0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("layer", [None, "shared"])
@pytest.mark.parametrize("explained", ["first", "second"])
def test_what_a_shared_layer_sees_of_a_held_input_is_not_meant(layer, explained):
    """Two inputs, one layer: the map is of the input that is explained, also if it came first."""
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    inputs = {name: keras.Input((8, 6, 2), name=name) for name in ("first", "second")}
    both = [layers.Flatten()(shared(inputs[name])) for name in inputs]
    end = layers.Dense(2, name="end")
    model = keras.Model(inputs, end(layers.Concatenate()(both)))
    images = {"first": IMAGES, "second": IMAGES[:, ::-1]}
    held = {name: values for name, values in images.items() if name != explained}
    seen = shared(images[explained]).numpy()
    half = slice(0, 96) if explained == "first" else slice(96, 192)
    slopes = end.kernel.numpy().T[TARGETS][:, half].reshape(seen.shape)
    found = maps_of(
        model, partial(hires_cam, layer=layer), images[explained], held=held, input_name=explained
    )
    np.testing.assert_allclose(
        found, np.maximum((seen * slopes).sum(axis=-1), 0), rtol=1e-4, atol=1e-5
    )


# ---------------------------------------------------------------- channels first


def front_model():
    """As `dense_model`, with its channels in front throughout."""
    front = {"data_format": "channels_first"}
    parts = [conv(name="seen", **front), layers.MaxPooling2D(1, **front)]
    # Back to the order that the dense layer's weights are in.
    parts += [layers.Permute((2, 3, 1)), layers.Flatten(), layers.Dense(2, use_bias=False)]
    return set_weights(keras.Sequential([keras.Input((2, 8, 6)), *parts]))


def moving_model():
    """One that takes its channels in front and moves them to the end."""
    parts = [layers.Permute((2, 3, 1)), conv(name="seen"), layers.Flatten()]
    parts += [layers.Dense(2, use_bias=False)]
    return set_weights(keras.Sequential([keras.Input((2, 8, 6)), *parts]))


@pytest.mark.slow
@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("model", [front_model, moving_model])
@pytest.mark.parametrize("layer", [None, "seen"])
def test_channels_first(method, model, layer):
    found = maps_of(model(), partial(method, layer=layer), data_format="channels_first")
    np.testing.assert_allclose(found, maps_of(dense_model(), method), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("moves", [False, True])
def test_series_with_channels_first(moves):
    """A series' two axes change places both ways alike."""
    values = RNG.normal(size=(2, 9, 3)).astype(np.float32)
    order = "channels_last" if moves else "channels_first"
    seen = layers.Conv1D(4, 3, data_format=order, name="seen")
    first = [layers.Permute((2, 1))] if moves else []
    same_values = layers.MaxPooling1D(1, data_format=order, name="positive")  # it turns and returns
    parts = [*first, seen, layers.ReLU(), same_values, layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((3, 9)), *parts])
    found = maps_of(
        model,
        partial(hires_cam, layer="positive"),
        values,
        [0, 1],
        kind="series",
        data_format="channels_first",
    )
    same = layers.Conv1D(4, 3)
    same.build((None, 9, 3))
    same.kernel.assign(seen.kernel)
    activity = np.maximum(same(values).numpy(), 0)  # (2, 7, 4)
    slopes = parts[-1].kernel.numpy().T
    slopes = slopes.reshape(2, 7, 4) if moves else slopes.reshape(2, 4, 7).transpose(0, 2, 1)
    small = np.maximum((activity * slopes).sum(axis=-1), 0)
    expected = enlarged(small[:, None].repeat(2, axis=1), (2, 9))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- what is refused


def two_branches():
    """A layer beside the score, layers in front of it and one that is called twice by name."""
    inputs = keras.Input((8, 6, 2))
    used = layers.Conv2D(3, 3, name="used")(inputs)
    aside = layers.Dense(2, name="other")(layers.Flatten()(layers.Conv2D(3, 3, name="aside")(used)))
    end = layers.Dense(2, name="end")(layers.Flatten()(used))
    return keras.Model(inputs, {"end": end, "other": aside})


@pytest.mark.parametrize("layer", ["aside", "end", "nothing", "se", "", "flatten"])
def test_a_layer_that_does_not_lead_to_the_score(layer):
    probes = ProbeSet(IMAGES, TARGETS)
    with pytest.raises(
        ValueError, match=rf"layer={layer!r}: expected a layer .*: 'used' \(6, 4, 3\)\."
    ):
        SaliencyMonitor(
            two_branches(), probes, method=partial(grad_cam, layer=layer), score=Score(output="end")
        )


def test_a_layer_after_the_score():
    """The map of probabilities comes after the logits, which are what is explained."""
    parts = [layers.Conv2D(2, 3, name="logits"), layers.Softmax(name="probabilities")]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts])
    method = partial(grad_cam, layer="probabilities")
    with pytest.raises(ValueError, match=r"layer='probabilities': .*: 'logits' \(6, 4, 2\)\."):
        SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=method, score="segmentation")


@pytest.mark.parametrize("layer", [3, ["conv"], layers.ReLU()])
def test_a_layer_that_is_no_name(layer):
    with pytest.raises(TypeError, match="layer: expected the name of a layer"):
        maps_of(dense_model(), partial(grad_cam, layer=layer))


def test_a_name_that_two_layers_have():
    parts = [
        keras.Sequential([layers.Conv2D(2, 3, name="seen")], name=name) for name in ("one", "two")
    ]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts, layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"layer='seen': .*'one/seen' .*'two/seen' .*of its path"):
        maps_of(model, partial(grad_cam, layer="seen"))
    assert maps_of(model, partial(grad_cam, layer="one/seen")).max() >= 0


def test_a_models_own_layer_comes_before_one_of_that_name_inside():
    inner = keras.Sequential([layers.Conv2D(4, 3, padding="same", name="seen")], name="inner")
    own = layers.Conv2D(3, 3, name="seen")
    model = keras.Sequential(
        [keras.Input((8, 6, 2)), own, inner, layers.Flatten(), layers.Dense(2)]
    )
    named = maps_of(model, partial(hires_cam, layer="seen"))
    assert not np.allclose(named, maps_of(model, partial(hires_cam, layer="inner/seen")))


def test_a_model_without_spatial_maps():
    parts = [layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts])
    with pytest.raises(ValueError, match=r"layer: expected a model .* found none\. .*another meth"):
        maps_of(model, "grad_cam")


@pytest.mark.parametrize("method", CAMS)
def test_a_plain_function_has_no_layers(method):
    with pytest.raises(ValueError, match="score_fn: .*a plain function has no layers"):
        method(lambda x: tf.reduce_sum(x, axis=[1, 2, 3]), tf.ones((1, 2, 2, 1)))


# ---------------------------------------------------------------- the model stays as it is


def own_calls(model):
    """Those of the layers themselves, not of their classes: as a rule there are none."""
    return [vars(layer)["call"] for layer in model._flatten_layers() if "call" in vars(layer)]


def test_layers_are_as_before_when_all_goes_well():
    model = nested_model()
    maps_of(model, "grad_cam")
    assert own_calls(model) == []


def test_layers_are_as_before_when_the_model_fails_halfway():
    def fail(x):
        if not tf.executing_eagerly() and fail.now:
            raise RuntimeError("halfway")
        return x

    fail.now = False
    parts = [conv(), layers.Lambda(fail, output_shape=(6, 4, 4)), layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 6, 2)), *parts])
    fail.now = True
    own = model.layers[0].call
    object.__setattr__(model.layers[0], "call", own)
    with pytest.raises(RuntimeError, match="halfway"):
        maps_of(model, "grad_cam")
    assert own_calls(model) == [own]


def test_layers_are_as_before_when_the_method_fails():
    model = dense_model()
    with pytest.raises(ValueError, match="layer='none'"):
        maps_of(model, partial(grad_cam, layer="none"))
    assert own_calls(model) == []


def test_layer_gradients_are_those_of_the_score():
    """What a method of one's own may ask for."""
    found = {}

    def method(score_fn, inputs):
        found["calls"] = [call.path for call, _ in score_fn.layer_gradients(inputs)]
        return gradient(score_fn, inputs)

    maps_of(nested_model(), method)
    assert found["calls"][:2] == ["backbone/seen", "backbone"]
    assert len(found["calls"]) == 4  # and those of the two layers after it
