"""How a monitor runs a model: in chunks, traced once, in every way that Keras has."""

import importlib.util

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from keras import layers

from keras_saliency import Compute, ProbeSet, SaliencyCallback, SaliencyMonitor, saliency_maps
from keras_saliency.attributions import methods_by_name
from keras_saliency.engine.explainer import PASSES_AT_ONCE
from support.programs import run_program
from support.small_nets import (
    COUNT,
    IMAGES,
    MANY_PROBES,
    PROBES,
    ROWS,
    SHAPE,
    TARGETS,
    by_eager_tape,
    compiled,
    contents,
    linear_net,
    small_net,
)


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(7)


# ---------------------------------------------------------------- values


def test_compiled_equals_eager():
    model = small_net()
    gradients, logits = by_eager_tape(model)
    report = SaliencyMonitor(model, PROBES).evaluate(step=3)
    assert report.step == 3
    # float32, other order of sums: some ulps of the largest value.
    np.testing.assert_allclose(report.maps, np.abs(gradients).max(axis=-1), rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(gradients.reshape(COUNT, -1).astype(np.float64), axis=1)
    np.testing.assert_allclose(report.gradient_norms, norms, rtol=1e-5)
    np.testing.assert_allclose(report.scores, logits[ROWS, TARGETS], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(report.targets, TARGETS)
    np.testing.assert_array_equal(report.predictions, logits.argmax(axis=1))
    confidences = scipy.special.softmax(logits.astype(np.float64), axis=1).max(axis=1)
    np.testing.assert_allclose(report.confidences, confidences, rtol=1e-5)


def test_weights_are_live():
    model = linear_net()
    monitor = SaliencyMonitor(model, PROBES)
    for step in range(3):
        kernel = np.random.default_rng(step).normal(size=(60, 3)).astype(np.float32)
        model.layers[-1].kernel.assign(kernel)
        expected = np.abs(kernel.T[TARGETS].reshape(IMAGES.shape)).max(axis=-1)
        np.testing.assert_array_equal(monitor.evaluate(step).maps, expected)


# ---------------------------------------------------------------- chunks and neighbours


@pytest.fixture(scope="module")
def one_by_one():
    """A model, and a report for each of its probes alone."""
    keras.utils.set_random_seed(9)
    model = small_net()
    singles = [ProbeSet(IMAGES[i : i + 1], TARGETS[i : i + 1]) for i in range(COUNT)]
    return model, [SaliencyMonitor(model, probe).evaluate(step=0) for probe in singles]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 7, 32])
def test_a_batch_equals_its_probes_one_by_one(one_by_one, batch_size):
    model, singles = one_by_one
    together = SaliencyMonitor(model, PROBES, compute=Compute(batch_size=batch_size)).evaluate(
        step=0
    )
    assert together.maps.shape == (COUNT, 6, 5)
    for i, alone in enumerate(singles):
        # Kernels for other batch sizes may sum in another order.
        np.testing.assert_allclose(together.maps[i], alone.maps[0], rtol=1e-5, atol=1e-6)
        for name in ("gradient_norms", "scores", "confidences"):
            np.testing.assert_allclose(
                getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-5, atol=1e-6
            )
        assert together.predictions[i] == alone.predictions[0]
        assert together.targets[i] == alone.targets[0]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_many_passes_give_what_one_gives(policy):
    """Of 40 probes in 20 passes, 8 begin before a result is waited for; the last ones are 4."""
    images = np.tile(IMAGES, (7, 1, 1, 1))[:40] * np.linspace(0.5, 1, 40)[:, None, None, None]
    probes = ProbeSet(images.astype("float32"), np.resize(TARGETS, 40))
    keras.config.set_dtype_policy(policy)
    try:
        model = small_net()
    finally:
        keras.config.set_dtype_policy("float32")
    many, one = (
        SaliencyMonitor(model, probes, compute=Compute(batch_size=size)).evaluate(0)
        for size in (2, 40)
    )
    assert 2 * PASSES_AT_ONCE < 20
    tolerance = 1e-6 if policy == "float32" else 2e-3
    for name in ("maps", "scores", "gradient_norms", "confidences"):
        mine, theirs = getattr(many, name), getattr(one, name)
        np.testing.assert_allclose(mine, theirs, atol=tolerance * np.abs(theirs).max())
    np.testing.assert_array_equal(many.predictions, one.predictions)


def test_chunks_are_few_and_even_and_never_pass_the_batch_size():
    sizes = []

    class Seeing(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(3)

        def call(self, inputs, training=False):
            sizes.append(inputs.shape[0])
            return self.dense(self.flatten(inputs))

    model = Seeing()
    model(IMAGES)
    fewest_and_even = {1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 4, 7: 7, 8: 7}
    for batch_size, size in fewest_and_even.items():
        sizes.clear()
        SaliencyMonitor(model, PROBES, compute=Compute(batch_size=batch_size)).evaluate(step=0)
        assert set(sizes) == {size}


@pytest.mark.parametrize("batch_size", [3, 32])
def test_neighbours_do_not_matter(batch_size):
    model = small_net()
    others = 100 * np.random.default_rng(5).normal(size=IMAGES.shape).astype(np.float32)
    others[2] = IMAGES[2]
    mine = SaliencyMonitor(model, PROBES, compute=Compute(batch_size=batch_size)).evaluate(step=0)
    targets = np.array([1, 0, 2, 0, 0, 2, 2])
    theirs = SaliencyMonitor(
        model, ProbeSet(others, targets), compute=Compute(batch_size=batch_size)
    ).evaluate(0)
    assert mine.maps[2].tobytes() == theirs.maps[2].tobytes()
    assert mine.scores[2] == theirs.scores[2]
    assert mine.gradient_norms[2] == theirs.gradient_norms[2]
    assert mine.confidences[2] == theirs.confidences[2]
    assert (mine.maps[[0, 1, 3]] != theirs.maps[[0, 1, 3]]).any(axis=(1, 2)).all()


# ---------------------------------------------------------------- one trace


def test_one_trace():
    calls = []

    class Counted(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(3, activation="softmax")

        def call(self, inputs, training=False):
            calls.append(training)
            return self.dense(self.flatten(inputs))

    model = Counted()
    model(IMAGES)
    calls.clear()
    monitor = SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3))
    traced = len(calls)
    for step in range(8):
        model.dense.kernel.assign(model.dense.kernel.numpy() * 1.1)
        monitor.evaluate(step)
    assert monitor.trace_count == 1
    assert len(calls) == traced == 1
    assert calls == [False]


@pytest.mark.slow
def test_one_trace_though_compiled_again():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES)
    for optimizer in ("sgd", "adam"):
        compiled(model, optimizer)
        model.fit(IMAGES, TARGETS, batch_size=4, verbose=0)
        gradients, _ = by_eager_tape(model)
        maps = monitor.evaluate(step=0).maps
        np.testing.assert_allclose(maps, np.abs(gradients).max(axis=-1), rtol=1e-5, atol=1e-6)
    assert monitor.trace_count == 1
    assert monitor.explains(model)


def test_explains_the_model_it_was_made_for():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES)
    assert monitor.explains(model)
    assert not monitor.explains(keras.models.clone_model(model))
    assert not monitor.explains(keras.Sequential([keras.Input(SHAPE), model]))
    model.layers[-2].kernel.assign(model.layers[-2].kernel.numpy() + 1)
    assert monitor.explains(model)


@pytest.mark.slow
def test_one_more_trace_for_all_interventions():
    calls = []

    class Counted(layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    model = small_net(Counted())
    calls.clear()
    targets = model.predict(MANY_PROBES.images, verbose=0).argmax(axis=1)  # it is always right
    calls.clear()
    known = ProbeSet(MANY_PROBES.images, targets)
    monitor = SaliencyMonitor(model, known, compute=Compute(batch_size=8))
    assert len(calls) == 1
    for step in range(3):
        model.layers[0].kernel.assign(model.layers[0].kernel.numpy() * 1.1)
        monitor.intervene(monitor.evaluate(step))
    assert len(calls) == 2
    same = model.layers[-2].get_weights()
    model.pop()
    model.pop()
    model.add(layers.Dense(3))
    model.layers[-1].set_weights([2 * values for values in same])
    calls.clear()
    monitor.intervene(monitor.evaluate(4))
    assert len(calls) == 2  # other weights: both anew


# ---------------------------------------------------------------- ways to run


def test_a_model_that_runs_eagerly():
    model = small_net()
    expected = contents(
        SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3)).evaluate(step=0)
    )
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    assert (
        contents(SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3)).evaluate(step=0))
        == expected
    )


def test_all_functions_eager():
    model = small_net()
    monitor = SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3))
    expected = contents(monitor.evaluate(step=0))
    tf.config.run_functions_eagerly(True)
    try:
        assert contents(monitor.evaluate(step=0)) == expected
        again = SaliencyMonitor(model, PROBES, compute=Compute(batch_size=3))
        np.testing.assert_allclose(
            again.evaluate(step=0).maps, monitor.evaluate(step=0).maps, rtol=1e-5, atol=1e-6
        )
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_images_of_another_float(dtype):
    model = linear_net()
    images = IMAGES.astype(dtype)
    monitor = SaliencyMonitor(model, ProbeSet(images, TARGETS))
    monitor.evaluate(step=0)
    report = monitor.evaluate(step=1)
    assert report.maps.dtype == {"float16": np.float32}.get(dtype, dtype)
    kernel = model.layers[-1].kernel.numpy().astype(dtype)
    expected = np.abs(kernel.T[TARGETS].reshape(images.shape)).max(axis=-1)
    np.testing.assert_array_equal(report.maps, expected)
    assert report.metrics["map_similarity"] == pytest.approx(1.0, abs=1e-12)


def test_bfloat16_images():
    probes = ProbeSet(tf.cast(IMAGES, tf.bfloat16).numpy(), TARGETS)
    model = linear_net()
    report = SaliencyMonitor(model, probes).evaluate(step=0)
    kernel = np.abs(model.layers[-1].kernel.numpy())
    expected = kernel.T[TARGETS].reshape(IMAGES.shape).max(axis=-1)
    np.testing.assert_allclose(report.maps.astype(np.float32), expected, rtol=2**-8)


def test_a_model_without_a_fixed_image_size():
    inputs = keras.Input((None, None, 2))
    conv = layers.Conv2D(3, 1, use_bias=False)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(conv(inputs)))
    report = SaliencyMonitor(model, PROBES).evaluate(step=0)
    kernel = conv.kernel.numpy()[0, 0]
    expected = np.abs(kernel.T[TARGETS]).max(axis=-1)[:, None, None] / 30
    np.testing.assert_allclose(report.maps, np.broadcast_to(expected, (COUNT, 6, 5)), rtol=1e-6)


def test_saliency_maps_of_one_image():
    model = linear_net(activation="softmax")
    kernel = model.layers[-1].kernel.numpy()
    image = IMAGES[4:5]
    maps = saliency_maps(model, image, [2])
    np.testing.assert_array_equal(maps, np.abs(kernel[:, 2].reshape(1, *SHAPE)).max(axis=-1))
    predicted = int((image.reshape(-1) @ kernel).argmax())
    own = np.abs(kernel[:, predicted].reshape(1, *SHAPE)).max(axis=-1)
    np.testing.assert_array_equal(saliency_maps(model, image), own)
    times = saliency_maps(model, image, [2], method="input_x_gradient")
    expected = np.abs(image * kernel[:, 2].reshape(1, *SHAPE)).max(axis=-1)
    np.testing.assert_allclose(times, expected, rtol=1e-6)


def test_saliency_maps_by_score_and_batch_size():
    model = linear_net()
    kernel = model.layers[-1].kernel.numpy()

    def twice(outputs, targets):
        return 2 * tf.gather(outputs, targets, axis=1, batch_dims=1)

    maps = saliency_maps(model, IMAGES, TARGETS, score=twice, compute=Compute(batch_size=2))
    expected = 2 * np.abs(kernel.T[TARGETS].reshape(IMAGES.shape)).max(axis=-1)
    np.testing.assert_array_equal(maps, expected)


# ---------------------------------------------------------------- what is refused


def test_a_model_that_was_never_built():
    model = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"model: .*built model.*keras\.Input.*call the model"):
        SaliencyMonitor(model, PROBES)


@pytest.mark.parametrize("shape", [(5, 6, 2), (6, 5, 1), (6, 5, 3)])
def test_images_of_another_shape(shape):
    says = r"images: .*\('num_probes', 6, 5, 2\).*received \(2, " + ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=says):
        SaliencyMonitor(linear_net(), ProbeSet(np.zeros((2, *shape), np.float32), [0, 1]))


def test_a_model_of_vectors():
    model = keras.Sequential([keras.Input((60,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"images: .*\('num_probes', 60\).*\(7, 6, 5, 2\)"):
        SaliencyMonitor(model, PROBES)


def test_several_inputs():
    inputs = [keras.Input(SHAPE), keras.Input((4,))]
    merged = layers.Concatenate()([layers.Flatten()(inputs[0]), inputs[1]])
    with pytest.raises(ValueError, match="model: .*one input.*2"):
        SaliencyMonitor(keras.Model(inputs, layers.Dense(3)(merged)), PROBES)


@pytest.mark.parametrize(
    ("units", "activation", "targets", "says"),
    [
        (3, "softmax", [0, 3], r"targets: .*0\.\.2 .*3 output units.*received 3 for probe 1"),
        (3, None, [7, 0], r"targets: .*0\.\.2 .*received 7 for probe 0"),
        (1, "sigmoid", [1, 2], r"targets: .*0\.\.1 .*1 output unit\).*received 2 for probe 1"),
    ],
)
def test_targets_beyond_the_classes(units, activation, targets, says):
    with pytest.raises(ValueError, match=says):
        SaliencyMonitor(linear_net(units, activation=activation), ProbeSet(IMAGES[:2], targets))


def test_targets_beyond_the_classes_in_a_later_chunk():
    probes = ProbeSet(IMAGES, [0, 0, 0, 0, 0, 0, 3])
    with pytest.raises(ValueError, match=r"targets: .*0\.\.2 .*received 3 for probe 6"):
        SaliencyMonitor(linear_net(), probes, compute=Compute(batch_size=2))


@pytest.mark.parametrize("model", [None, "model.keras", lambda x: x, layers.Dense(3)])
def test_what_is_no_model(model):
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    with pytest.raises(TypeError, match=rf"model: .*keras\.Model of Keras 3, received {kind}"):
        SaliencyMonitor(model, PROBES)


def test_what_is_no_probe_set():
    with pytest.raises(TypeError, match="probes: .*ProbeSet, received ndarray"):
        SaliencyMonitor(linear_net(), IMAGES)


def test_unknown_method():
    with pytest.raises(ValueError, match="method: .*'gradient', 'input_x_gradient'.*'gradcam'"):
        SaliencyMonitor(linear_net(), PROBES, method="gradcam")
    with pytest.raises(TypeError, match="method: .*'gradient'.*received None"):
        SaliencyMonitor(linear_net(), PROBES, method=None)
    with pytest.raises(ValueError, match="method: .*'GRADIENT'"):
        methods_by_name("GRADIENT")


def test_unknown_score():
    with pytest.raises(
        ValueError, match="score: .*'logit', 'log_probability', 'probability'.*'loss'"
    ):
        SaliencyMonitor(linear_net(), PROBES, score="loss")


@pytest.mark.parametrize(
    ("batch_size", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (2.5, TypeError), ("8", TypeError)],
)
def test_batch_sizes_refused(batch_size, error):
    with pytest.raises(error, match=f"batch_size: .*positive integer.*{batch_size!r}"):
        SaliencyMonitor(linear_net(), PROBES, compute=Compute(batch_size=batch_size))


def test_a_legacy_model():
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
    with pytest.raises(TypeError, match=r"model: .*Keras 3, received tf_keras.*not supported"):
        SaliencyMonitor(model, PROBES)


# ---------------------------------------------------------------- in a process of its own


def run_python(script, **environment):
    done = run_program(script, "-W", "error", TF_CPP_MIN_LOG_LEVEL="3", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


WRONG_BACKEND = "keras_saliency: expected Keras on the TensorFlow backend, received"


def fitted_unbuilt(model, probes):
    unbuilt = compiled(keras.Sequential([layers.Flatten(), layers.Dense(3)]))
    callbacks = [SaliencyCallback(probes, log_dir=None)]
    unbuilt.fit(IMAGES, TARGETS, verbose=0, callbacks=callbacks)


@pytest.mark.parametrize(
    "use", [SaliencyMonitor, lambda m, p: saliency_maps(m, p.images), fitted_unbuilt]
)
def test_what_keras_says_of_its_backend_counts(monkeypatch, use):
    model = linear_net()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match=f"{WRONG_BACKEND} 'jax'.*KERAS_BACKEND=tensorflow"):
        use(model, PROBES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "needs"), [("numpy", "jax"), ("jax", "jax"), ("torch", "torch")]
)
def test_a_backend_that_is_not_tensorflow(backend, needs):
    if importlib.util.find_spec(needs) is None:  # Keras' NumPy backend imports JAX
        pytest.skip(f"{needs} is not installed")
    printed = run_python(
        """
        import warnings
        warnings.simplefilter("ignore")  # the backend's own
        import keras_saliency as ks, numpy as np, keras
        probes = ks.ProbeSet(np.zeros((2, 4, 4, 1), "float32"), [0, 1])
        drawn = ks.ProbeSet.from_dataset((probes.images, [0, 1]), per_class=1)
        assert drawn.targets.tolist() == [0, 1]
        model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(),
                                  keras.layers.Dense(2)])
        for use in (ks.SaliencyMonitor, lambda m, p: ks.saliency_maps(m, p.images)):
            try:
                use(model, probes)
            except RuntimeError as error:
                print(error)
        """,
        KERAS_BACKEND=backend,
    )
    lines = [
        line for line in printed.splitlines() if line.startswith(f"{WRONG_BACKEND} {backend!r}")
    ]
    assert len(lines) == 2


def test_a_model_with_other_weights_is_traced_anew():
    model = linear_net()
    monitor = SaliencyMonitor(model, PROBES)
    monitor.evaluate(0)
    model.pop()
    model.add(layers.Dense(3))
    np.testing.assert_array_equal(
        monitor.evaluate(1).maps, saliency_maps(model, PROBES.images, PROBES.targets)
    )
    assert monitor.trace_count == 1


@pytest.mark.filterwarnings("ignore:`build")  # Keras, about the layer that is not yet built
def test_weights_that_come_into_being_in_training_do_not_matter():
    class Auxiliary(keras.Model):
        def __init__(self):
            super().__init__()
            self.end, self.flat, self.other = layers.Dense(3), layers.Flatten(), layers.Dense(1)

        def call(self, inputs, training=False):
            flat = self.flat(inputs)
            if training:
                self.other(flat)
            return self.end(flat)

    model = Auxiliary()
    model(PROBES.images)
    monitor = SaliencyMonitor(model, PROBES)
    before = monitor.evaluate(0)
    model(PROBES.images, training=True)
    np.testing.assert_array_equal(monitor.evaluate(1).maps, before.maps)
