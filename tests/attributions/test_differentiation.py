"""What all methods have in common: one pass for all, the same numbers however they are asked."""

import random
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_saliency import Compute, ProbeSet, SaliencyMonitor
from keras_saliency.attributions import (
    METHODS,
    completeness,
    expected_gradients,
    gradient,
    integrated_gradients,
    occlusion,
    smoothgrad,
    vargrad,
)
from keras_saliency.attributions.differentiation import LayerCall, ModelScore, along, repeat

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(5, 6, 6, 2)).astype(np.float32)
TARGETS = np.array([2, 0, 1, 2, 1])

FIXED = {  # settings that do not depend on the other probes
    "expected_gradients": {"background": IMAGES[:2], "num_samples": 4},
    "occlusion": {"baseline": 0.5, "window": 2},
    "integrated_gradients": {"num_steps": 4},
}


def small_model():
    keras.utils.set_random_seed(5)
    parts = [
        layers.Conv2D(4, 3, activation="softplus", name="first"),
        layers.Conv2D(3, 2, activation="tanh", name="second"),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((6, 6, 2)), *parts])


def all_methods():
    return [partial(METHODS[name], **FIXED.get(name, {})) for name in METHODS]


def maps_by_method(monitor, step=0):
    """`(methods, num_probes, height, width)`."""
    report = monitor.evaluate(step=step)
    return np.array([report.maps, *report.others.values()])


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def monitor(model):
    return SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=all_methods())


@pytest.fixture(scope="module")
def maps(monitor):
    return maps_by_method(monitor)


# ---------------------------------------------------------------- every method


@pytest.mark.slow
def test_every_method_has_something_to_say(maps):
    assert maps.shape == (len(METHODS), 5, 6, 6)
    assert np.isfinite(maps).all()
    assert (maps.max(axis=(2, 3)) > 0).mean() > 0.8  # some maps of class activation are empty


@pytest.mark.slow
def test_the_same_bytes_at_every_call(monitor, maps):
    np.testing.assert_array_equal(maps_by_method(monitor), maps)
    assert monitor.trace_count == 1


@pytest.mark.gate
@pytest.mark.slow
def test_chunks_and_neighbours_do_not_matter(model, maps):
    """Probes one by one, padded chunks of two, and beside others."""
    others = 100 * RNG.normal(size=(3, 6, 6, 2)).astype(np.float32)
    for images, targets, size in [
        (IMAGES, TARGETS, 2),
        (IMAGES, TARGETS, 1),
        (np.concatenate([IMAGES, others]), [*TARGETS, 0, 1, 2], 8),
    ]:
        probes = ProbeSet(images, targets)
        found = maps_by_method(
            SaliencyMonitor(model, probes, method=all_methods(), compute=Compute(batch_size=size))
        )
        scale = maps.max(axis=(2, 3), keepdims=True)  # sums of another order are rounded otherwise
        np.testing.assert_allclose(found[:, :5] - maps, 0, atol=1e-5 * scale.max())
        np.testing.assert_allclose(found[:, :5], maps, rtol=1e-3, atol=1e-5 * scale.max())


@pytest.mark.slow
def test_a_plain_function_gives_what_a_monitor_does(model, maps):
    """The logits by hand, and each method eagerly."""
    logits = keras.Model(model.inputs, model.layers[-1].input)
    kernel, bias = model.layers[-1].kernel, model.layers[-1].bias

    def score(x):
        return tf.gather(logits(x) @ kernel + bias, TARGETS, axis=1, batch_dims=1)

    for name, method, expected in zip(METHODS, all_methods(), maps, strict=True):
        if "cam" not in name:
            found = np.abs(method(score, tf.constant(IMAGES))).max(axis=-1)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_no_global_generator_is_drawn_from(model):
    def states():
        generator = keras.src.backend.common.global_state.get_global_attribute(
            "global_seed_generator"
        )
        own = None if generator is None else generator.state.numpy().tolist()
        tensorflow = tf.random.get_global_generator().state.numpy().tolist()
        numpy = [
            part.tolist() if hasattr(part, "tolist") else part for part in np.random.get_state()
        ]
        return random.getstate(), numpy, tensorflow, own

    before = states()
    probes = ProbeSet(IMAGES, TARGETS)
    maps_by_method(SaliencyMonitor(model, probes, method=["smoothgrad", *all_methods()[4:7]]))
    assert states() == before


# ---------------------------------------------------------------- cost


def operations(function):
    """The types of all operations of a traced function, and of the functions that it calls."""
    graph = function.graph.as_graph_def()
    inner = [node.op for one in graph.library.function for node in one.node_def]
    return [node.op for node in graph.node] + inner


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "argument"),
    [
        (smoothgrad, "num_samples"),
        (vargrad, "num_samples"),
        (integrated_gradients, "num_steps"),
        (partial(integrated_gradients, rule="gauss_legendre"), "num_steps"),
        (partial(expected_gradients, background=IMAGES), "num_samples"),
    ],
)
def test_the_graph_does_not_grow_with_the_number_of_draws(method, argument):
    def score(x):
        return tf.reduce_sum(tf.sin(x), axis=[1, 2, 3])

    counts = [
        len(
            operations(
                tf.function(
                    lambda x, count=count: method(score, x, **{argument: count})
                ).get_concrete_function(tf.TensorSpec(IMAGES.shape))
            )
        )
        for count in (4, 400)
    ]
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_the_graph_of_occlusion_does_not_grow_with_the_number_of_windows():
    def traced(window):
        return tf.function(
            lambda x: occlusion(
                lambda x: tf.reduce_sum(x, axis=[1, 2, 3]), x, baseline=0.0, window=window
            )
        ).get_concrete_function(tf.TensorSpec(IMAGES.shape))

    assert len(operations(traced(1))) == len(operations(traced(5)))


@pytest.mark.parametrize(
    ("methods", "forth", "back"),
    [
        (["gradient"], 2, 2),
        (["gradient", "input_x_gradient", "grad_cam", "layer_cam", "hires_cam"], 2, 2),
        (["grad_cam_plus_plus", "gradient"], 2, 2),
        (["gradient", "smoothgrad"], 4, 4),  # the point itself, and the noisy copies, in a loop
        (["gradient", partial(occlusion, window=2)], 4, 2),
    ],
)
def test_methods_share_the_pass_at_the_point_itself(model, methods, forth, back):
    monitor = SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=methods)
    found = operations(monitor._traced._explainer._explain)
    assert found.count("Conv2D") == forth
    assert found.count("Conv2DBackpropInput") == back


def test_a_model_is_asked_once_for_each_input():
    asked = []

    def forward(x):
        asked.append(x)
        return tf.reduce_sum(x**2, axis=1), []

    @tf.function(autograph=False)
    def explained(x):
        score_fn = ModelScore(forward)
        both = gradient(score_fn, x), score_fn(x), gradient(score_fn, x)
        return *both, gradient(score_fn, 2 * x)

    x = tf.constant([[1.0, -2.0]])
    first, scores, again, doubled = explained(x)
    assert len(asked) == 2
    np.testing.assert_array_equal(first, [[2, -4]])
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(scores, [5])
    np.testing.assert_array_equal(doubled, [[4, -8]])


# ---------------------------------------------------------------- parts


def test_gradients_to_layers():
    """Of the score y**2, with y = 3 x: 2 y; what does not lead from x to the score is left out."""

    @tf.function(autograph=False)
    def found(x, aside):
        def forward(x):
            y = 3 * x
            calls = [
                ("y", y),
                ("after", 2 * y),
                ("aside", 5 * aside),
                ("whole", tf.cast(y, tf.int32)),
            ]
            scores = tf.reduce_sum(y**2 + calls[2][1], axis=1)
            return scores, [LayerCall(*call) for call in calls]

        score_fn = ModelScore(forward)
        gradients = score_fn.layer_gradients(x)
        assert [call.path for call, _ in gradients] == ["y"]
        return score_fn.gradient(x), gradients[0][1]

    to_input, to_layer = found(tf.constant([[1.0, -2.0]]), tf.constant([[7.0, 7.0]]))
    np.testing.assert_array_equal(to_layer, [[6, -12]])
    np.testing.assert_array_equal(to_input, [[18, -36]])


@pytest.mark.parametrize("dtype", [tf.float16, tf.float32])
def test_a_loss_scale_leaves_no_trace(dtype):
    """Scores of 1e-6, of which float16 holds no gradient; one scale for each input."""

    @tf.function(autograph=False)
    def found(x, scale, *factors):
        def forward(x):
            return tf.reduce_sum(tf.cast(x, dtype) * factors[0] * factors[1], axis=1), []

        return gradient(ModelScore(forward, loss_scale=scale), x)

    # As large as the input: TensorFlow multiplies two scalars first, and their product is 0.
    factors = [tf.fill((2, 3), tf.constant(2.0**power, dtype)) for power in (-12, -13)]
    x = tf.ones((2, 3))
    scaled = found(x, tf.constant([2.0**15, 2.0**9]), *factors)
    np.testing.assert_array_equal(scaled, np.full((2, 3), 2.0**-25))
    if dtype == tf.float16:
        assert (found(x, tf.ones(2), *factors).numpy() == 0).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_through_a_lookup_are_dense(compiled):
    """Rows picked by their numbers have a gradient of a form of its own."""

    def found(x):
        return gradient(lambda x: tf.reduce_sum(tf.gather(x, [1, 0]) ** 2, axis=1)[::-1], x)

    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with_gradient = (tf.function(found) if compiled else found)(x)
    np.testing.assert_array_equal(with_gradient, [[2, 4], [6, 8]])


@pytest.mark.parametrize("compiled", [False, True])
def test_repeat_goes_through_every_index_in_order(compiled):
    def found(x):
        return repeat(4, lambda index, values: [values[0] * 10 + index, values[1] + 1], [x, x])

    total, count = (tf.function(found) if compiled else found)(tf.constant(0))
    assert (int(total), int(count)) == (123, 4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_product_along_an_axis(axis):
    values, matrix = RNG.normal(size=(2, 3, 4, 5)), RNG.normal(size=(7, (2, 3, 4)[axis]))
    expected = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    np.testing.assert_allclose(along(tf.constant(values), axis, matrix), expected, rtol=1e-12)


# ---------------------------------------------------------------- methods of one's own


def test_a_method_of_ones_own(model):
    def doubled(score_fn, inputs):
        return 2 * gradient(score_fn, inputs)

    found = maps_by_method(
        SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=["gradient", doubled])
    )
    np.testing.assert_array_equal(found[1], 2 * found[0])


def test_a_method_of_ones_own_may_give_one_channel(model):
    def summed(score_fn, inputs):
        return tf.reduce_sum(gradient(score_fn, inputs), axis=-1, keepdims=True)

    found = maps_by_method(SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=summed))
    same = SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), compute=Compute(reduction="sum"))
    np.testing.assert_allclose(found[0], same.evaluate(step=0).maps, rtol=1e-4, atol=1e-6)


def test_a_method_of_ones_own_may_check_completeness(model):
    """The building blocks are there for it: here, integrated gradients with the gap taken out."""

    def mended(score_fn, inputs):
        found = integrated_gradients(score_fn, inputs, num_steps=2)
        total, change = tf.unstack(completeness(score_fn, inputs, found), axis=1)
        return found * tf.cast(tf.reshape(change / total, (-1, 1, 1, 1)), tf.float32)

    monitor = SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=mended)
    assert np.isfinite(monitor.evaluate(step=0).maps).all()


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        (lambda score_fn, x: None, ValueError, "expected an attribution .* received NoneType"),
        (lambda score_fn, x: x[:, :3], ValueError, r"received shape \(5, 3, 6, 2\)"),
        (lambda score_fn, x: x[:, 0, :, 0], ValueError, r"with a single channel or without one"),
        (lambda score_fn, x: x[:1], ValueError, r"received shape \(1, 6, 6, 2\)"),
        (lambda score_fn, x: tf.cast(x, tf.int32), TypeError, "expected floats, received int32"),
        (lambda score_fn, x: tf.cast(x, tf.complex64), TypeError, "expected floats, received comp"),
        (lambda score_fn, x: IMAGES, TypeError, "method='<lambda>': .* received a NumPy array"),
    ],
)
def test_a_method_of_ones_own_that_gives_something_else(model, method, error, message):
    with pytest.raises(error, match=message):
        SaliencyMonitor(model, ProbeSet(IMAGES, TARGETS), method=method)
