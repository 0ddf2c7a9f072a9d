"""The private names of Keras that the package uses, and what is left without each of them."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers

import keras_saliency as ks
from keras_saliency.engine import keras_internals
from keras_saliency.engine.batches import BatchCounter
from keras_saliency.engine.state_guard import own_seed_generator

NAMES = {
    keras.layers.Layer: ["_flatten_layers"],
    keras.layers.Dense(1): ["_call_has_training_arg", "_call_has_mask_arg", "_dtype_policy"],
    keras.Model(*2 * [keras.Input((2,))]): ["_inputs_struct"],
    keras.optimizers.SGD(): ["_iterations"],
    keras.layers.Dense(1, name="again"): ["call"],
    importlib.import_module(keras_internals.GLOBAL_STATE): [
        "get_global_attribute",
        "set_global_attribute",
    ],
}


@pytest.mark.parametrize(("owner", "names"), NAMES.items())
def test_this_version_of_keras_has_the_names(owner, names):
    assert [name for name in names if not hasattr(owner, name)] == []


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
    assert keras_internals.all_layers(model)[1:] == [*model._flatten_layers(include_self=False)]
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
        [keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]
    )
    maps = ks.saliency_maps(model, images, [0, 1], method="grad_cam")
    assert maps.max() > 0
    assert all("call" not in vars(layer) for layer in model.layers)
