"""The private names of Keras that the package uses, and what is left without each of them."""

import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_saliency as ks
from keras_saliency.engine import keras_internals
from keras_saliency.engine.batches import BatchCounter
from keras_saliency.engine.state_guard import own_seed_generator

INPUT = keras.Input((2,))
NAMES = {
    keras.layers.Layer: ["_flatten_layers"],
    keras.layers.Dense(1): ["_call_has_training_arg", "_call_has_mask_arg", "_dtype_policy"],
    keras.Model(INPUT, layers.Flatten()(INPUT)): ["_inputs_struct"],
    keras.optimizers.SGD(): ["_iterations"],
    keras.layers.Dense(1, name="again"): ["call"],
    importlib.import_module(keras_internals.GLOBAL_STATE): [
        "get_global_attribute",
        "set_global_attribute",
    ],
}

PACKAGE = Path(ks.__file__).parent

if hasattr(keras, "RematScope"):
    NAMES[keras.layers.Dense(1, name="remat")] = ["_remat_mode"]


@pytest.mark.parametrize(("owner", "names"), NAMES.items())
def test_this_version_of_keras_has_the_names(owner, names):
    assert [name for name in names if not hasattr(owner, name)] == []


def test_this_version_of_keras_tells_which_positions_count():
    output = layers.Masking()(np.array([[[1.0], [0.0]]]))
    assert keras_internals.mask_of(output).numpy().tolist() == [[True, False]]
    assert keras_internals.mask_of(tf.zeros((1, 2, 1))) is None
    for shape in ((1, 3), (1, 2, 1)):  # of other positions
        output._keras_mask = tf.ones(shape, bool)
        assert keras_internals.mask_of(output) is None


def test_no_other_module_uses_private_names():
    paths = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    sources = {name: path.read_text("utf-8") for name, path in paths.items()}
    own = set(re.findall(r"(?:def |self\.)(_\w+)", "".join(sources.values())))
    of_named_tuples = {"_asdict", "_fields", "_replace"}
    del sources["engine/keras_internals.py"]
    found = {}
    for module, source in sources.items():
        assert "keras.src" not in source
        taken = re.findall(r'(?:\.|attr\(\w+, ")(_[a-z]\w*)', source)
        found[module] = {*taken} - own - of_named_tuples
    # Of tf.data. Without the first, every data set that is shuffled counts as shuffled anew in each
    # pass; without the other, a vocabulary in front of the model has to be told.
    assert {module: names for module, names in found.items() if names} == {
        "data/pipelines.py": {"_reshuffle_each_iteration"},
        "data/vectorizers.py": {"_map_func"},
    }


def test_draws_without_a_seed_come_from_the_generator_in_its_place():
    with own_seed_generator() as generator:
        before = generator.state.numpy().tolist()
        keras.random.normal((2,))
        assert generator.state.numpy().tolist() != before
        after = generator.state.numpy().tolist()
    keras.random.normal((2,))
    assert generator.state.numpy().tolist() == after


@pytest.mark.parametrize("change", ["module", "functions"])
def test_without_keras_global_state_a_warning_says_what_is_lost(change, monkeypatch):
    if change == "module":
        monkeypatch.setattr(keras_internals, "GLOBAL_STATE", "keras.src.moved_elsewhere")
    else:
        monkeypatch.setattr(keras_internals, "GLOBAL_STATE", "keras.src.version")
    with pytest.warns(UserWarning, match="has no keras.src.* any more"), own_seed_generator():
        pass


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(3)])
    return keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), inner, layers.Softmax()])


def test_without_flatten_layers_public_layers_are_found(monkeypatch):
    model = nested()
    inner = model.layers[1]
    assert {*keras_internals.all_layers(model)} == {*model._flatten_layers()}
    monkeypatch.delattr(keras.layers.Layer, "_flatten_layers")
    assert keras_internals.sublayers(model) == model.layers
    assert keras_internals.sublayers(inner.layers[0]) == []
    expected = [model, model.layers[0], inner, *inner.layers, model.layers[2]]
    assert keras_internals.all_layers(model) == expected


def test_inputs_are_known_as_the_model_takes_them():
    first, second = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    outputs = layers.Add()([first, second])
    struct = keras_internals.inputs_struct(keras.Model({"a": first, "b": second}, outputs))
    assert [*struct] == ["a", "b"]

    class Subclassed(keras.Model):
        pass

    assert keras_internals.inputs_struct(Subclassed()) is None  # inputs are taken in order


def test_without_its_own_counter_an_optimizer_counts_updates():
    class Optimizer:
        iterations = 7

    class Model:
        optimizer = Optimizer()

    counter = BatchCounter()
    counter.begin_fit(Model(), before=0)
    assert counter.count == 7


def test_calls_of_layers_are_seen_where_call_is_replaced():
    """Otherwise class activation maps find no layer, and say so."""
    images = np.random.default_rng(0).random((2, 6, 6, 1)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, kernel_initializer="ones"),
            layers.Flatten(),
            layers.Dense(2, kernel_initializer="ones"),
        ]
    )
    maps = ks.saliency_maps(model, images, [0, 1], method="grad_cam")
    assert maps.min() > 0
    assert all("call" not in vars(layer) for layer in model.layers)


def test_without_remat_mode_layers_in_a_scope_stay_in_it(monkeypatch):
    layer = layers.Dense(1)
    layer._remat_mode = "full"
    assert keras_internals.outside_of_remat(layer) == {"_remat_mode": None}
    monkeypatch.setattr(keras_internals, "REMAT_MODE", "_renamed")
    assert keras_internals.outside_of_remat(layer) == {}


def test_without_dtype_policy_there_is_no_precision_gap(monkeypatch):
    dense = layers.Dense(3)
    model = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), dense])
    dense.quantize("float8")
    probes = ks.ProbeSet(np.ones((1, 2, 2, 1), "float32"), [0])

    def metrics():
        return ks.SaliencyMonitor(model, probes).evaluate(-1).metrics

    assert "precision_gap" in metrics()
    monkeypatch.setattr(keras_internals, "DTYPE_POLICY", "_renamed")
    assert "precision_gap" not in metrics()
