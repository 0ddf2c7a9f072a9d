"""Whether XLA compiles: as told, by the device, or by the clock."""

import time

import pytest

from keras_saliency import _compilation
from keras_saliency._compilation import check_compilation, compiled, faster


class Passes:
    """What takes so many seconds to explain its probes, the first time longer."""

    chunk_size = 3

    def __init__(self, seconds, jit_compile=None):
        self.seconds, self.jit_compile, self.calls = seconds, jit_compile, 0

    def explain(self, targets):
        assert len(targets) == self.chunk_size
        time.sleep(self.seconds if self.calls else 0.2 - self.seconds)
        self.calls += 1


def test_the_faster_one_stays():
    slow, fast = Passes(0.08), Passes(0.01)
    assert faster(slow, fast)[0] is fast
    assert faster(fast, slow)[0] is fast
    assert faster(Passes(0.08), Passes(0.01))[1].startswith("XLA on (it took 0.1")
    assert faster(Passes(0.01), Passes(0.08))[1].startswith("XLA off (it took ")


def test_what_is_told_is_done():
    def made(jit_compile):
        return Passes(0, jit_compile)

    assert [compiled(made, jit)[0].jit_compile for jit in (True, False, "auto")] == [
        True,
        False,
        False,
    ]


def test_on_an_accelerator_both_are_tried(monkeypatch):
    monkeypatch.setattr(_compilation, "is_accelerated", lambda: True)
    found, said = compiled(
        lambda jit_compile: Passes(0.01 if jit_compile else 0.08, jit_compile), "auto"
    )
    assert found.jit_compile
    assert said.startswith("XLA on")


@pytest.mark.parametrize(
    ("value", "error"), [("on", ValueError), (None, TypeError), (1, TypeError)]
)
def test_other_values_are_refused(value, error):
    with pytest.raises(error, match="jit_compile: expected"):
        check_compilation(value)
