"""Python programs that run in a process of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run_program(code, *options, args=(), cwd=TESTS, **environment):
    """Runs a program that may import the package and `support`; gives the ended process."""
    paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    places = os.pathsep.join(filter(None, paths))
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": places} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
