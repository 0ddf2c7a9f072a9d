"""Layers inside wrappers: TimeDistributed, RematScope, tf.function, SavedModels, lost gradients."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency.attributions import grad_cam, hires_cam

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 12, 12, 1)).astype("float32")
VIDEOS = RNG.random((6, 5, 12, 12, 1)).astype("float32")
TARGETS = np.arange(6) % 3
CLOSE = {"rtol": 1e-4, "atol": 1e-7}

# ---------------------------------------------------------------- TimeDistributed


def video_parts():
    """A CNN for one frame, its convolution, and a network over frames."""
    keras.utils.set_random_seed(0)
    frame = keras.Input((12, 12, 1))
    seen = layers.Conv2D(4, 3, strides=2, activation="relu", name="seen")(frame)
    cnn = keras.Model(frame, layers.GlobalAveragePooling2D()(seen), name="cnn")
    frames = keras.Input((5, 4))
    over = keras.Model(frames, layers.Dense(3)(layers.LSTM(8)(frames)))
    return cnn, over


def video_model(wrap=layers.TimeDistributed):
    cnn, over = video_parts()
    videos = keras.Input((5, 12, 12, 1))
    return keras.Model(videos, over(wrap(cnn, name="wrapped")(videos)))


def by_hand(method):
    """Class activation maps at `seen`, one per frame, from a tape; positions `(6, 5, 5, 5)`."""
    cnn, over = video_parts()
    convolve = cnn.get_layer("seen")
    frames = tf.reshape(VIDEOS, (30, 12, 12, 1))
    with tf.GradientTape() as tape:
        seen = convolve(frames)
        tape.watch(seen)
        pooled = tf.reshape(tf.reduce_mean(seen, [1, 2]), (6, 5, 4))
        scores = tf.gather(over(pooled), TARGETS, axis=1, batch_dims=1)
    gradient = tape.gradient(scores, seen).numpy()
    if method is grad_cam:
        gradient = gradient.mean((1, 2), keepdims=True)
    return np.maximum((gradient * seen.numpy()).sum(-1), 0).reshape(6, 5, 5, 5)


@pytest.mark.slow
@pytest.mark.parametrize("method", [grad_cam, hires_cam])
@pytest.mark.parametrize("layer", [None, "seen", "wrapped/cnn/seen"])
def test_a_time_distributed_network_has_a_class_activation_map_for_each_frame(method, layer):
    probes = ks.ProbeSet(VIDEOS, TARGETS, kind="volume")
    maps = ks.saliency_maps(video_model(), probes, method=partial(method, layer=layer))
    positions = by_hand(method).reshape(30, 5, 5, 1)
    expected = tf.image.resize(positions, (12, 12)).numpy().reshape(maps.shape)
    np.testing.assert_allclose(maps, expected, **CLOSE)


@pytest.mark.slow
def test_the_maps_that_a_time_distributed_layer_returns_are_one_per_frame():
    """The convolution in one wrapper, the pooling in another: the map is the wrapper's output."""
    cnn, over = video_parts()
    videos = keras.Input((5, 12, 12, 1))
    seen = layers.TimeDistributed(cnn.get_layer("seen"), name="maps")(videos)
    pooled = layers.TimeDistributed(layers.GlobalAveragePooling2D())(seen)
    probes = ks.ProbeSet(VIDEOS, TARGETS, kind="volume")
    method = partial(grad_cam, layer="maps")
    found = ks.saliency_maps(keras.Model(videos, over(pooled)), probes, method=method)
    positions = by_hand(grad_cam).reshape(30, 5, 5, 1)
    expected = tf.image.resize(positions, (12, 12)).numpy().reshape(found.shape)
    np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.slow
def test_the_gradient_of_a_time_distributed_network_is_that_of_a_tape():
    model, videos = video_model(), tf.constant(VIDEOS)
    with tf.GradientTape() as tape:
        tape.watch(videos)
        scores = tf.gather(model(videos), TARGETS, axis=1, batch_dims=1)
    expected = abs(tape.gradient(scores, videos).numpy())[..., 0]
    probes = ks.ProbeSet(VIDEOS, TARGETS, kind="volume")
    np.testing.assert_allclose(ks.saliency_maps(model, probes), expected, **CLOSE)


def test_nested_and_masked_time_distributed_layers_give_what_keras_gives():
    """Two axes of steps; and a mask per step, which the inner layer gets."""
    clips = RNG.random((3, 2, 4, 6)).astype("float32")
    nested = keras.Sequential(
        [
            keras.Input((2, 4, 6)),
            layers.TimeDistributed(layers.TimeDistributed(layers.Dense(5, activation="tanh"))),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    inputs = keras.Input((2, 4, 6))
    masked = layers.TimeDistributed(layers.Masking(0.0))(inputs)
    steps = layers.TimeDistributed(layers.LSTM(5))(masked)
    over = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(steps)))
    clips[:, :, 2:] = 0
    for model in (nested, over):
        probes = ks.ProbeSet(clips, TARGETS[:3])
        scores = ks.SaliencyMonitor(model, probes).evaluate(-1).scores
        expected = model.predict(clips, verbose=0)[np.arange(3), TARGETS[:3]]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


# ---------------------------------------------------------------- remat and tf.function


def network():
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(4, 3, activation="relu", name="a"),
            layers.Conv2D(6, 3, activation="relu", name="b"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


SCOPES = {
    "full": {},
    "activations": {},
    "list_of_layers": {"layer_names": ["a", "b"]},
    "larger_than": {"output_size_threshold": 10},
}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(keras, "RematScope"), reason="Keras has it from 3.9 on")
@pytest.mark.parametrize("mode", SCOPES)
@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
def test_rematerialized_layers_are_explained_as_others(mode, method):
    plain = network()
    with keras.RematScope(mode=mode, **SCOPES[mode]):
        model = network()
    model.set_weights(plain.get_weights())
    modes = [layer._remat_mode for layer in model.layers]
    found = ks.saliency_maps(model, IMAGES, TARGETS, method=method)
    expected = ks.saliency_maps(plain, IMAGES, TARGETS, method=method)
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert [layer._remat_mode for layer in model.layers] == modes  # as before


class Block(layers.Layer):
    """A convolution whose call has control flow that only AutoGraph can convert."""

    def __init__(self, is_compiled):
        super().__init__()
        self.convolve = layers.Conv2D(4, 3, activation="relu", name="inner")
        self.scale = tf.function(self.doubled) if is_compiled else self.doubled

    def doubled(self, inputs):
        return 2 * inputs

    def call(self, inputs):
        return self.helped(inputs)

    def helped(self, inputs):
        return self.scale(self.convolve(inputs))


class CompiledBlock(Block):
    @tf.function
    def call(self, inputs):
        if tf.reduce_sum(inputs) > 0:
            inputs = 3 * inputs
        return self.helped(inputs) / 3  # the same, as the convolution starts with a bias of 0

    @tf.function
    def helped(self, inputs):
        return super().helped(inputs)


class Network(keras.Model):
    def __init__(self, end, block):
        super().__init__()
        self.block, self.pool = block, layers.GlobalAveragePooling2D()
        self.last = layers.Conv2D(6, 3, activation="relu", name="last")
        self.end = layers.Dense(3, activation=end)

    def call(self, inputs):
        return self.end(self.pool(self.last(self.block(inputs))))


class CompiledNetwork(Network):
    @tf.function
    def call(self, inputs):
        return super().call(inputs)


@pytest.mark.slow
@pytest.mark.parametrize("end", [None, "softmax"])
@pytest.mark.parametrize(
    "method", ["gradient", "grad_cam", partial(grad_cam, layer="inner")], ids=["g", "cam", "inner"]
)
def test_calls_decorated_with_tf_function_are_explained_as_others(end, method):
    plain = Network(end, Block(is_compiled=False))
    model = CompiledNetwork(end, CompiledBlock(is_compiled=True))
    for each in (plain, model):
        each(IMAGES)
    model.set_weights(plain.get_weights())
    found = ks.saliency_maps(model, IMAGES, TARGETS, method=method)
    expected = ks.saliency_maps(plain, IMAGES, TARGETS, method=method)
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert "call" not in vars(model)
    assert isinstance(model.block.scale, tf.types.experimental.PolymorphicFunction)


@pytest.mark.slow
@pytest.mark.parametrize("score", ["log_probability", "probability"])
def test_the_gradient_through_a_saved_model_is_exact(score, tmp_path):
    base = network()
    base.export(tmp_path / "saved", verbose=False)
    saved = layers.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve")
    model = keras.Sequential([keras.Input((12, 12, 1)), saved])
    found = ks.saliency_maps(model, IMAGES, TARGETS, score=score)
    expected = ks.saliency_maps(base, IMAGES, TARGETS, score=score)
    np.testing.assert_allclose(found, expected, **CLOSE)
    with pytest.raises(ValueError, match="expected a model with a layer whose output has spatial"):
        ks.saliency_maps(model, IMAGES, TARGETS, score=score, method="grad_cam")


# ---------------------------------------------------------------- operations without a gradient


def resized_by_area(images):
    return tf.image.resize(images, (6, 6), method="area")


def of_numpy(images):
    doubled = tf.numpy_function(lambda array: 2 * array, [images], tf.float32)
    return tf.ensure_shape(doubled, (None, 12, 12, 3))


OPERATIONS = {
    "ResizeArea": resized_by_area,
    "AdjustHue": lambda images: tf.image.adjust_hue(images, 0.1),
    "AdjustContrastv2": lambda images: tf.image.adjust_contrast(images, 2.0),
    "PyFunc": of_numpy,
}


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_without_a_gradient_stops_only_what_needs_it(operation):
    colored = RNG.random((6, 12, 12, 3)).astype("float32")
    prepare = OPERATIONS[operation]
    prepared = prepare(tf.constant(colored)).numpy()
    behind = keras.Sequential(
        [
            keras.Input(prepared.shape[1:]),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    wrapped = layers.Lambda(prepare, output_shape=prepared.shape[1:])
    model = keras.Sequential([keras.Input((12, 12, 3)), wrapped, behind])
    expected = ks.saliency_maps(behind, prepared, TARGETS, method="grad_cam")
    found = ks.saliency_maps(model, colored, TARGETS, method="grad_cam")
    size = prepared.shape[1:3]  # both are resized from the same positions
    np.testing.assert_allclose(found.max((1, 2)) > 0, expected.max((1, 2)) > 0)
    if size == (12, 12):
        np.testing.assert_allclose(found, expected, **CLOSE)
    occluded = ks.saliency_maps(model, colored, TARGETS, method="occlusion")
    assert (occluded.max((1, 2)) > 0).all()
    with pytest.raises(ValueError, match=rf"^model: expected .*{operation}.*'occlusion'"):
        ks.saliency_maps(model, colored, TARGETS)


@pytest.mark.slow
def test_a_way_round_an_operation_without_a_gradient_is_no_gradient():
    """The score depends on the input by two ways; half a gradient would be a wrong map."""
    inputs = keras.Input((12, 12, 3))
    area = layers.Lambda(lambda x: tf.image.adjust_hue(x, 0.1), output_shape=(12, 12, 3))(inputs)
    early = layers.Conv2D(3, 1, name="early")(inputs)
    end = layers.Conv2D(4, 3, name="late")(layers.Add()([area, early]))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(end)))
    colored = RNG.random((6, 12, 12, 3)).astype("float32")
    with pytest.raises(ValueError, match="AdjustHue"):
        ks.saliency_maps(model, colored, TARGETS)
    early_cam = partial(hires_cam, layer="early")  # not before the operation: its gradient is whole
    assert ks.saliency_maps(model, colored, TARGETS, method=early_cam).max() > 0


@pytest.mark.slow
def test_a_layer_with_half_a_gradient_has_no_class_activation_map():
    """The score depends on `first` by two ways, and one has no gradient."""
    inputs = keras.Input((12, 12, 3))
    first = layers.Conv2D(3, 1, activation="sigmoid", name="first")(inputs)
    hue = layers.Lambda(lambda x: tf.image.adjust_hue(x, 0.1), output_shape=(12, 12, 3))(first)
    both = layers.Add(name="both")([hue, first])
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(both)))
    colored = RNG.random((6, 12, 12, 3)).astype("float32")
    assert (
        ks.saliency_maps(model, colored, TARGETS, method=partial(hires_cam, layer="both")).max() > 0
    )
    with pytest.raises(ValueError, match="layer='first': expected a layer with a spatial map"):
        ks.saliency_maps(model, colored, TARGETS, method=partial(hires_cam, layer="first"))


@pytest.mark.slow
def test_an_operation_in_a_loop_in_front_stops_no_class_activation_map():
    def hues(images):
        return tf.map_fn(lambda image: tf.image.adjust_hue(image, 0.1), images)

    colored = RNG.random((6, 12, 12, 3)).astype("float32")
    behind = [layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    end = keras.Sequential([keras.Input((12, 12, 3)), *behind, layers.Dense(3)])
    wrapped = layers.Lambda(hues, output_shape=(12, 12, 3))
    model = keras.Sequential([keras.Input((12, 12, 3)), wrapped, end])
    found = ks.saliency_maps(model, colored, TARGETS, method="grad_cam")
    expected = ks.saliency_maps(end, hues(colored).numpy(), TARGETS, method="grad_cam")
    np.testing.assert_allclose(found, expected, **CLOSE)
    with pytest.raises(ValueError, match=r"While\) has none in TensorFlow.*'occlusion'"):
        ks.saliency_maps(model, colored, TARGETS)


def test_of_a_layer_before_an_operation_without_a_gradient_the_reason_is_told():
    first = layers.Conv2D(4, 3, activation="relu")
    area = layers.Lambda(
        lambda images: tf.reshape(resized_by_area(images), (-1, 144)), output_shape=(144,)
    )
    model = keras.Sequential([keras.Input((12, 12, 1)), first, area, layers.Dense(3)])
    with pytest.raises(ValueError, match=r"No gradient reaches layers before .*ResizeArea"):
        ks.saliency_maps(model, IMAGES, TARGETS, method="grad_cam")


# ---------------------------------------------------------------- fixed batch sizes


class OfFour(layers.Layer):
    """Its batch size shows nowhere."""

    def call(self, inputs):
        return keras.ops.reshape(inputs, (4, 144))

    def compute_output_shape(self, input_shape):
        return None, 144


def test_a_hidden_batch_size_can_be_given():
    end = layers.Dense(3)
    model = keras.Sequential([keras.Input((12, 12, 1)), OfFour(), end])
    kernel = end.kernel.numpy().T.reshape(3, 12, 12)
    nine = np.concatenate([IMAGES, IMAGES[:3]])  # in chunks of 3, if it were free
    targets = np.arange(9) % 3
    monitor = ks.SaliencyMonitor(
        model, ks.ProbeSet(nine, targets), compute=ks.Compute(batch_size=4)
    )
    np.testing.assert_allclose(monitor.step(-1).maps, abs(kernel)[targets], **CLOSE)


class InChunks(layers.Layer):
    def call(self, inputs):
        return keras.ops.reshape(inputs, (4, 144))

    def compute_output_shape(self, input_shape):
        return None, 144


@pytest.mark.parametrize("kind", ["stateful", "reshape"])
def test_what_depends_on_the_batch_size_runs_step_by_step(kind):
    """Merged, the steps would be a batch of 8."""
    if kind == "stateful":
        inner, shape = layers.LSTM(5, stateful=True), (4, 2, 6, 3)
    else:
        inner, shape = InChunks(), (4, 2, 12, 12, 1)
    inputs = keras.Input(batch_shape=shape)
    values = layers.TimeDistributed(inner)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(values)))
    clips = RNG.random(shape).astype("float32")
    probes = ks.ProbeSet(clips, TARGETS[:4], kind="volume" if len(shape) == 5 else "image")
    expected = model(clips).numpy()[range(4), TARGETS[:4]]
    if kind == "stateful":
        inner.reset_states()
    report = ks.SaliencyMonitor(model, probes).evaluate(-1)
    np.testing.assert_allclose(report.scores, expected, rtol=1e-4)
