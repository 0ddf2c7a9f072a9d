import pytest
import tensorflow as tf

from keras_saliency.engine.models import check_strategy


def test_weights_on_parameter_servers_are_refused_in_words():
    strategy = object.__new__(tf.distribute.ParameterServerStrategy)  # which has no cluster
    with pytest.raises(RuntimeError, match="its workers change the weights at any time"):
        check_strategy(strategy)


def test_the_default_strategy_is_fine():
    check_strategy(tf.distribute.get_strategy())
