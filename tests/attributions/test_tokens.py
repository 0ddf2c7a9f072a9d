"""Class activation maps of vision transformers, against algebra and against a gradient tape."""

import re
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from keras_saliency.attributions.layer_maps import layer_map
from support.class_activation import by_hand, enlarged
from support.vision_transformers import Prefix, block, keras_io_vit, swin, vit

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 8, 6, 2)).astype(np.float32)
TARGETS = np.array([0, 1, 1])
EMBEDDING = RNG.normal(size=(2, 2, 2, 4)).astype(np.float32)
HEAD = RNG.normal(size=(4, 2)).astype(np.float32)
CAMS = [grad_cam, grad_cam_plus_plus, layer_cam, hires_cam]


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(3)


def maps_of(model, method, images=IMAGES, targets=TARGETS, **kwargs):
    probes = ProbeSet(images, targets, **kwargs)
    monitor = SaliencyMonitor(model, probes, method=method, compute=Compute(batch_size=2))
    return monitor.evaluate(step=0).maps


def chosen(model, images, **kwargs):
    """The layer, the size of the grid and the number of tokens before it."""
    found = {}

    def method(score_fn, inputs):
        layer = layer_map(score_fn, inputs)
        places = layer.places
        found["layer"] = (layer.call.path, layer.sizes, None if places is None else places.first)
        return grad_cam(score_fn, inputs)

    maps_of(model, method, images, np.arange(len(images)) % 2, **kwargs)
    return found["layer"]


def pictures(shape, count=2):
    return np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)


# ---------------------------------------------------------------- by hand


def uniform(width):
    """An attention that every token pays equally to all: the mean of the tokens, unchanged."""
    attention = layers.MultiHeadAttention(1, width, use_bias=False, name="attention")
    attention.build((None, None, width), (None, None, width))
    unit = np.eye(width, dtype=np.float32)
    zero = np.zeros((width, 1, width), np.float32)
    attention.set_weights([zero, zero, unit[:, None], unit[None]])
    return attention


def embedded():
    """The tokens of `IMAGES`: `(3, 4, 3, 4)`, patch by patch."""
    patches = IMAGES.astype(np.float64).reshape(3, 4, 2, 3, 2, 2)
    return np.einsum("nhywxc,yxck->nhwk", patches, EMBEDDING)


def known_vit(prefix):
    """The class token, or the mean without one, reads the mean of all tokens after attention."""
    inputs = keras.Input((8, 6, 2))
    embedding = layers.Conv2D(4, 2, strides=2, use_bias=False, name="patches")
    tokens = layers.Reshape((12, 4), name="flat")(embedding(inputs))
    if prefix:
        tokens = Prefix(prefix, name="prefix")(tokens)
    tokens = layers.Identity(name="tokens")(tokens)
    mixed = uniform(4)(tokens, tokens)
    tokens = layers.Add(name="sum")([tokens, mixed])
    head = layers.Dense(2, name="head")
    model = keras.Model(inputs, head(tokens[:, 0] if prefix else ops.mean(tokens, axis=1)))
    embedding.kernel.assign(EMBEDDING)
    head.kernel.assign(HEAD)
    return model


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("prefix", [1, 2, 5])
def test_by_hand_with_tokens_without_a_place(method, prefix):
    """The gradient at each token is the head's weight over the number of tokens."""
    slopes = np.broadcast_to(HEAD.T[TARGETS][:, None, None] / (12 + prefix), (3, 4, 3, 4))
    expected = enlarged(by_hand(method.__name__, embedded(), slopes.astype(np.float64)))
    assert (expected > 0).mean() > 0.2
    found = maps_of(known_vit(prefix), method)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    named = maps_of(known_vit(prefix), partial(method, layer="tokens"))
    np.testing.assert_array_equal(found, named)


@pytest.mark.parametrize("method", CAMS)
def test_by_hand_without_a_class_token(method):
    """All tokens are averaged: after attention, each is itself plus the mean of all."""
    seen = embedded() + embedded().mean(axis=(1, 2), keepdims=True)
    slopes = np.broadcast_to(HEAD.T[TARGETS][:, None, None] / 12, (3, 4, 3, 4))
    expected = enlarged(by_hand(method.__name__, seen, slopes.astype(np.float64)))
    assert (expected > 0).mean() > 0.2
    np.testing.assert_allclose(maps_of(known_vit(0), method), expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- which layer, and against a tape


def by_tape(model, layer, images, targets, size, first):
    """Grad-CAM of a layer of a functional model, from a tape: `(batch, *size)`."""
    both = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.output])
    with tf.GradientTape() as tape:
        values, logits = both(images, training=False)
        tape.watch(values)
        logits = logits_after(model, layer, values)
        scores = tf.gather(logits, targets, axis=1, batch_dims=1)
    slopes = tape.gradient(scores, values)
    seen, slopes = (
        value.numpy()[:, first : first + size[0] * size[1]].reshape(len(images), *size, -1)
        for value in (values, slopes)
    )
    return by_hand("grad_cam", seen.astype(np.float64), slopes.astype(np.float64))


def logits_after(model, layer, values):
    """The model's output with these values in place of those of a layer that all later ones use."""
    return keras.Model(model.get_layer(layer).output, model.output)(values, training=False)


MODELS = {
    "averaged": (partial(vit, prefix=0), (16, 24, 3), ("norm", (4, 6), 0)),
    "keras.io": (keras_io_vit, (16, 24, 3), ("norm", (4, 6), 0)),
    "swin": (swin, (32, 16, 3), ("norm", (4, 2), 0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_without_a_class_token_the_last_layer_is_taken(name):
    build, shape, (layer, size, first) = MODELS[name]
    model, images, targets = build(), pictures(shape), [0, 2]
    assert chosen(model, images) == (layer, size, first)
    small = by_tape(model, layer, images, targets, size, first)
    assert small.max() > 0
    found = maps_of(model, "grad_cam", images, targets)
    np.testing.assert_allclose(found, enlarged(small, shape[:2]), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", [1, 2, 5])
def test_with_a_class_token_the_tokens_before_the_last_attention_are_taken(prefix):
    """All later layers have no gradient at the tokens of the image."""
    model, images = vit(prefix=prefix), pictures((16, 24, 3))
    assert chosen(model, images) == ("block_1_norm_1", (4, 6), prefix)
    last = keras.Model(model.inputs[0], model.get_layer("block_1_add_1").output)(images)
    with tf.GradientTape() as tape:
        tape.watch(last)
        scores = logits_after(model, "block_1_add_1", last)[:, 0]
    slopes = tape.gradient(scores, last).numpy()
    assert slopes[:, 0].any()
    assert not slopes[:, 1:].any()
    found = maps_of(model, "grad_cam", images, [0, 1])
    assert (found.max(axis=(1, 2)) > 0).all()
    before = maps_of(model, partial(hires_cam, layer="block_0_add_2"), images, [0, 1])
    assert (before.max(axis=(1, 2)) > 0).all()


@pytest.mark.parametrize("name", ["norm", "block_1_attention", "block_1_norm_2", "block_1_add_1"])
def test_a_layer_of_which_only_the_class_token_is_read_is_refused(name):
    model, images = vit(), pictures((16, 24, 3))
    message = (
        rf"layer='{name}': behind this layer only tokens without .* one of: .*'block_1_norm_1'"
    )
    with pytest.raises(ValueError, match=message):
        maps_of(model, partial(grad_cam, layer=name), images, [0, 1])


def test_the_values_of_attention_are_not_taken_since_its_keys_are_read_as_well():
    """An attention of single layers: its last one is `values`, but keys are read apart from it."""
    inputs = keras.Input((8, 6, 2))
    tokens = layers.Reshape((12, 4))(layers.Conv2D(4, 2, strides=2, name="patches")(inputs))
    tokens = layers.LayerNormalization(name="norm")(Prefix()(tokens))
    queries, keys, values = (layers.Dense(4, name=name)(tokens) for name in "qkv")
    weights = ops.softmax(queries @ ops.transpose(keys, (0, 2, 1)))
    model = keras.Model(inputs, layers.Dense(2)((weights @ values)[:, 0]))
    assert chosen(model, IMAGES) == ("norm", (4, 3), 1)
    with pytest.raises(ValueError, match="layer='q': behind this layer only tokens without"):
        maps_of(model, partial(grad_cam, layer="q"))
    assert maps_of(model, partial(layer_cam, layer="v")).max() > 0


def test_heads_of_attention_are_no_places():
    """`(tokens, heads, size)` has the rank of a spatial map."""
    model, images = vit(prefix=0), pictures((16, 24, 3))
    path = "block_1_attention/query"
    with pytest.raises(ValueError, match=rf"layer='{path}': expected a layer with a spatial map"):
        maps_of(model, partial(grad_cam, layer=path), images, [0, 1])


def test_a_convolution_before_the_tokens_may_be_named():
    model, images = vit(prefix=0), pictures((16, 24, 3))
    maps = [maps_of(model, partial(grad_cam, layer=n), images, [0, 1]) for n in ("patches", "flat")]
    assert maps[0].max() > 0
    np.testing.assert_array_equal(*maps)


def test_channels_first():
    """The patches are made with their channels in front, and moved behind."""
    inputs = keras.Input((2, 8, 6))
    values = layers.Conv2D(4, 2, strides=2, data_format="channels_first")(inputs)
    tokens = layers.Permute((2, 1), name="tokens")(layers.Reshape((4, 12))(values))
    outputs = layers.Dense(2)(layers.GlobalAveragePooling1D()(block(tokens, "block")))
    first = keras.Model(inputs, outputs)
    found = maps_of(first, "grad_cam", data_format="channels_first")
    inputs = keras.Input((8, 6, 2))
    tokens = layers.Reshape((12, 4))(layers.Conv2D(4, 2, strides=2)(inputs))
    outputs = layers.Dense(2)(layers.GlobalAveragePooling1D()(block(tokens, "block")))
    last = keras.Model(inputs, outputs)
    last.set_weights(first.get_weights())
    expected = maps_of(last, "grad_cam")
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- keras-hub


def hub_vit(hub, **kwargs):
    sizes = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    backbone = hub.ViTBackbone((32, 24, 3), **sizes, use_class_token=not kwargs)
    return hub.ViTImageClassifier(backbone, 3, **kwargs)


def hub_deit(hub):
    sizes = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
    backbone = hub.DeiTBackbone((32, 24, 3), **sizes, intermediate_dim=32)
    return hub.DeiTImageClassifier(backbone, 3)


def hub_swin(hub):
    sizes = {"embed_dim": 8, "depths": (2, 2), "num_heads": (2, 2), "window_size": 2}
    backbone = hub.SwinTransformerBackbone((32, 24, 3), **sizes)
    return hub.SwinTransformerImageClassifier(backbone, 3)


HUB = {
    "ViT": (hub_vit, "transformer_block_2/ln_1", (4, 3), 1),
    "ViT, averaged": (partial(hub_vit, pooling="gap"), "backbone", (4, 3), 0),
    "DeiT": (hub_deit, "transformer_block_2/ln_1", (4, 3), 2),
    "SwinTransformer": (hub_swin, "backbone", (4, 3), 0),
}


# keras-hub's Swin transformer, of masks that its windows do not pass on.
@pytest.mark.filterwarnings("ignore:Layer 'attn'.*does not support masking:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", HUB)
def test_models_of_keras_hub(name):
    """`benchmarks/keras_hub.py` compares their maps with a tape's."""
    keras_hub = pytest.importorskip("keras_hub")
    build, layer, size, first = HUB[name]
    model, images = build(keras_hub.models), pictures((32, 24, 3))
    path, *found = chosen(model, images)
    assert found == [size, first]
    assert re.fullmatch(rf".*{layer}(_\d+)?", path)
    assert maps_of(model, "grad_cam", images, [0, 1]).max() > 0


# ---------------------------------------------------------------- where the graph does not show it


def shuffled(prefix=0):
    """The tokens are turned round: an order that is not followed."""
    inputs = keras.Input((8, 6, 2))
    embedding = layers.Conv2D(4, 2, strides=2, use_bias=False, name="patches")
    tokens = ops.flip(layers.Reshape((12, 4))(embedding(inputs)), axis=1)
    if prefix:
        tokens = Prefix(prefix)(tokens)
    tokens = layers.Identity(name="tokens")(tokens)
    head = layers.Dense(2, name="head")
    model = keras.Model(inputs, head(ops.mean(uniform(4)(tokens, tokens), axis=1)))
    embedding.kernel.assign(EMBEDDING)
    head.kernel.assign(HEAD)
    return model


@pytest.mark.parametrize("prefix", [0, 1])
def test_the_user_says_where_the_tokens_lie(prefix):
    with pytest.raises(ValueError, match=r"layer='tokens': the graph .* Pass grid=\(height, width"):
        maps_of(shuffled(prefix), partial(grad_cam, layer="tokens"))
    slopes = np.broadcast_to(HEAD.T[TARGETS][:, None, None] / (12 + prefix), (3, 4, 3, 4))
    turned = embedded().reshape(3, 12, 4)[:, ::-1].reshape(3, 4, 3, 4)
    expected = enlarged(by_hand("grad_cam", turned, slopes.astype(np.float64)))
    found = maps_of(shuffled(prefix), partial(grad_cam, layer="tokens", grid=(4, 3)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_without_any_known_place_the_layers_are_listed():
    inputs = keras.Input((8, 6, 2))
    tokens = layers.Dense(4, name="mixed")(
        ops.transpose(layers.Reshape((6, 16))(inputs), (0, 2, 1))
    )
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(tokens)))
    with pytest.raises(
        ValueError, match=r"pass layer=.* and grid=\(height, width\): .*'mixed' \(16"
    ):
        maps_of(model, "grad_cam")


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        (4, TypeError, r"grid: expected \(height, width\) as two positive integers, received 4"),
        ((4, 0), TypeError, "two positive integers"),
        ((4, 3.0), TypeError, "two positive integers"),
        ((4, True), TypeError, "two positive integers"),
        ((4, 4), ValueError, r"grid: expected a grid of at most 12 places, .*'tokens'"),
    ],
)
def test_a_grid_that_does_not_fit(grid, error, message):
    with pytest.raises(error, match=message):
        maps_of(shuffled(), partial(grad_cam, layer="tokens", grid=grid))


def test_a_grid_that_the_graph_contradicts():
    with pytest.raises(ValueError, match=r"grid: expected \(4, 3\), which .* received \(3, 4\)"):
        maps_of(known_vit(0), partial(grad_cam, layer="tokens", grid=(3, 4)))
    with pytest.raises(ValueError, match="grid: expected layer as well"):
        maps_of(known_vit(0), partial(grad_cam, grid=(4, 3)))
    with pytest.raises(ValueError, match="grid: expected a layer with tokens"):
        maps_of(known_vit(0), partial(grad_cam, layer="patches", grid=(4, 3)))
