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
        "score=ks.Score('max_logit', output='words')"
        >>> score_line((None, 4), numbers=True)
        "score='mean'"
    """
    sizes = shape[1:]
    has_positions = any(size != 1 for size in sizes[:-1])
    has_units = bool(sizes) and sizes[-1] != 1
    name = ""
    if has_positions or (has_units and numbers):
        name = "max_logit" if has_units and not numbers else "mean"
    if not part and output is None:
        return f"score={name!r}" if name else ""
    return _line(repr(name) if name else "", output=output, part=part)


def position_line(shape: Sequence[int | None], *, output: Any = None) -> str:
    """The argument `score=` that explains the classes at the first position of an output.

    Example:
        >>> position_line((None, 8, 8, 3))
        'score=ks.Score(position=(0, 0))'
    """
    place = ", ".join(["0"] * (len(shape) - 2))
    return _line(output=output, position=f"({place})" if len(shape) > 3 else place)


def unit_line(shape: Sequence[int | None], *, output: Any = None) -> str:
    """The argument `score=` that explains the first of several numbers.

    Example:
        >>> unit_line((None, 4))
        'score=lambda outputs, targets: outputs[:, 0]'
    """
    function = f"lambda outputs, targets: outputs[:, {', '.join(['0'] * (len(shape) - 1))}]"
    return f"score={function}" if output is None else _line(function, output=output)


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


def _line(function: str = "", *, output: Any = None, position: str = "", part: str = "") -> str:
    """The argument `score=ks.Score(...)`."""
    settings = [
        function,
        "" if output is None else f"output={output!r}",
        position and f"position={position}",
        part and f"model={part}",
    ]
    return f"score=ks.Score({', '.join(filter(None, settings))})"
