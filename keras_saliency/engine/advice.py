"""Lines that work, for messages: the score of a model whose outputs are not one class each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def score_line(
    shape: Sequence[int | None], *, output: Any = None, part: str = "", numbers: bool = False
) -> str:
    """The argument `score=` that explains outputs of a shape; `""` if the default does.

    Args:
        shape: Of the output, with the batch.
        output: Its name or position, if there are several.
        part: The Python expression of the part of the model to explain.
        numbers: Whether the outputs are numbers, not classes.

    Example:
        >>> score_line((None, 5, 20), output="words")
        "score=ks.Score(output='words', position=0)"
        >>> score_line((None, 4), numbers=True)
        'score=lambda outputs, targets: outputs[:, 0]'
    """
    sizes, settings, function = shape[1:], [], ""
    has_places = len(sizes) > 1 and any(size != 1 for size in sizes[:-1])
    if has_places and (numbers or sizes[-1] == 1):
        function = mean_line(shape)
    elif has_places:
        place = ", ".join(["0"] * (len(sizes) - 1))
        settings.append(f"position={f'({place})' if len(sizes) > 2 else place}")
    elif numbers and len(sizes) and sizes[-1] != 1:
        function = f"lambda outputs, targets: outputs[:, {', '.join(['0'] * len(sizes))}]"
    if output is not None:
        settings.insert(0, f"output={output!r}")
    if part:
        settings.append(f"model={part}")
    if not settings:
        return f"score={function}" if function else ""
    return f"score=ks.Score({', '.join([function] * bool(function) + settings)})"


def mean_line(shape: Sequence[int | None]) -> str:
    """A callable that is the mean of all outputs of a shape, with the batch."""
    return f"lambda outputs, targets: keras.ops.mean(outputs, axis={tuple(range(1, len(shape)))})"


def model_line(model: Any, part: str = "") -> str:
    """As `score_line`, for the outputs of a model, as far as it tells their shapes."""
    outputs = [*(getattr(model, "outputs", None) or [])]
    if len(outputs) == 1:
        return score_line(outputs[0].shape, part=part)
    if not outputs:
        return score_line((None, 1), part=part)
    by_name: Any = getattr(model, "output", None)
    first = next(iter(by_name)) if isinstance(by_name, Mapping) else 0
    shape = by_name[first].shape if isinstance(by_name, Mapping) else outputs[0].shape
    return score_line(shape, output=first, part=part)
