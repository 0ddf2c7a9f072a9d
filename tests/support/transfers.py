"""Counts what is copied to the device, what is started there, and what is copied back.

TensorFlow calls us back after each operation and each compiled function that it runs. A tensor that
goes into one of them, and came out of none before, was copied to the device.
"""

from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework import op_callbacks, ops


class Transfers(list):
    """What happened, in order.

    Pairs `("upload", bytes)`, `("launch", name)` for each compiled function, and `("fetch", bytes)`
    for each tensor that is waited for.
    """

    def of(self, kind):
        """The second part of all pairs of a kind."""
        return [value for found, value in self if found == kind]


@contextmanager
def transfers(seen):
    """Records what happens within this context.

    Args:
        seen: A dict of the tensors that are known to be on the device, by their ids, which grows.
            Tensors that are kept have no other tensor's id.
    """
    found, base = Transfers(), ops._EagerTensorBase
    fetch = base._numpy

    def fetched(tensor):
        found.append(("fetch", _num_bytes(tensor)))
        return fetch(tensor)

    def ran(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        if graph is not None:  # an operation that is traced, not run
            return
        for tensor in inputs:
            if tensor.dtype not in (tf.resource, tf.variant) and id(tensor) not in seen:
                found.append(("upload", _num_bytes(tensor)))
        name = tf.compat.as_str(op_type)
        if name.startswith("__"):
            found.append(("launch", name.strip("_").rpartition("_")[0]))
        seen.update({id(tensor): tensor for tensor in (*inputs, *outputs)})

    base._numpy = fetched
    op_callbacks.add_op_callback(ran)
    try:
        yield found
    finally:
        op_callbacks.remove_op_callback(ran)
        base._numpy = fetch


def _num_bytes(tensor):
    return tensor.shape.num_elements() * tensor.dtype.size
