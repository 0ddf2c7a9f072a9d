"""The states of the global random generators."""

import random

import keras
import numpy as np
import tensorflow as tf


def global_states():
    return (
        random.getstate(),
        [np.asarray(part).tobytes() for part in np.random.get_state()[1:]],
        tf.random.get_global_generator().state.numpy().tobytes(),
    )


def next_draws():
    """What the five global generators give next."""
    return [
        random.random(),
        np.random.random(),
        tf.random.normal(()).numpy(),
        tf.random.get_global_generator().normal(()).numpy(),
        keras.random.normal(()).numpy(),
    ]
