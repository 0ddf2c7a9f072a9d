"""A worker of `examples/multi_worker.py`, with or without explanations, that may stop midway.

`python -c "from support import workers; workers.main()" <explains> <stops>`, with `TF_CONFIG`.
"""

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "multi_worker.py"


def example():
    """The example, as a module."""
    spec = importlib.util.spec_from_file_location("multi_worker", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    """Trains; prints the hash of the variables after the first epoch."""
    explains, stops = (text == "True" for text in sys.argv[1:3])

    def at_epoch_end(model, epoch):
        if epoch == 0:
            values = b"".join(variable.numpy().tobytes() for variable in model.variables)
            print("left:", hashlib.sha256(values).hexdigest(), flush=True)
            if stops:
                os._exit(3)

    example().train(explains=explains, at_epoch_end=at_epoch_end)
