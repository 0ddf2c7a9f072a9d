"""Imports Keras without TensorFlow's messages, for programs whose own text is what matters."""

from __future__ import annotations

import os
import sys

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_keras() -> None:
    """Imports Keras and its backend without a message about devices or instructions.

    TensorFlow prints some messages before its log level takes effect. They are hidden by sending
    stderr to nowhere during the import. If the user has set the log level, nothing is hidden.
    """
    if _LOG_LEVEL in os.environ:
        return
    os.environ[_LOG_LEVEL] = "3"
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
