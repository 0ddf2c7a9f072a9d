"""TensorFlow checkpoints, which Keras 3 itself does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf


def restore(model: Any, prefix: Path) -> None:
    """Gives a model the weights of a TensorFlow checkpoint.

    The model may be what was saved, or a part of it with any name, as in
    `tf.train.Checkpoint(model=model, optimizer=optimizer)`. The optimizer is left as it is.

    Args:
        model: A built Keras model.
        prefix: The path of the checkpoint without `.index`.

    Raises:
        ValueError: The checkpoint does not have all weights of the model, in their shapes. Some
            may have been changed.
        tf.errors.OpError: A file is missing or damaged.
    """
    first = {name.partition("/")[0] for name, _ in tf.train.list_variables(str(prefix))}
    optimizer = getattr(model, "optimizer", None)  # a model that is not compiled has none
    if optimizer is not None:
        model.optimizer = None  # so that it need not match
    try:
        for part in (None, *sorted(name for name in first if not name.startswith("_"))):
            whole = {"root": model} if part is None else {part: model}
            try:
                status = tf.train.Checkpoint(**whole).read(str(prefix))
                status.assert_existing_objects_matched().expect_partial()
            except (AssertionError, ValueError):  # another object, or other shapes
                status = None
            if status is not None:
                return
    finally:
        if optimizer is not None:
            model.optimizer = optimizer
    raise ValueError("it does not have all weights of this model, in their shapes.")
