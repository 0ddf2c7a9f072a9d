"""Lines that work, for messages: the score of a model whose outputs are not one class each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_saliency.engine.outputs import named_outputs


def score_line(
    shape: Sequence[int | None], *, output: Any = None, part: str = "", numbers: bool = False
) -> str:
    """The argument `score=` that explains outputs of a shape, whatever the targets are.

    Args:
        shape: Of the output, with the batch.
        output: Its name or position, if there are several.
        part: The Python expression of the part of the model to explain.
        numbers: Whether the outputs are numbers, not classes.

    Example:
        >>> score_line((None, 5, 20), output="words")
        "score=ks.Score('max_logit', output='words')"
        >>> score_line((None, 8, 8, 3), part="model.generator", numbers=True)
        "score=ks.Score('mean', model=model.generator)"
    """
    *positions, units = shape[1:] or (1,)
    has_positions = any(size != 1 for size in positions)
    function = "'max_logit'" if has_positions else ""
    if (numbers and (has_positions or units != 1)) or (has_positions and units == 1):
        function = "'mean'"
    return _line(function, output=output, part=part)


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


def part_line(part: Any, name: str) -> str:
    """As `score_line`, for a part of a model that has no call of its own.

    The losses of its `train_step` say nothing about the outputs. Those with several positions, such
    as the pixels of an image, are taken for numbers.

    Args:
        part: The part of the model.
        name: The Python expression for it.
    """
    outputs = [*(getattr(part, "outputs", None) or [])]
    if len(outputs) < 2:
        shape = outputs[0].shape if outputs else (None, 1)
        return score_line(shape, part=name, numbers=len(shape) > 2)
    by_name: Any = getattr(part, "output", None)
    named = named_outputs(part, by_name) if isinstance(by_name, Mapping) else {0: outputs[0]}
    first, output = next(iter(named.items()))
    return score_line(output.shape, output=first, part=name, numbers=len(output.shape) > 2)


def _line(function: str = "", *, output: Any = None, position: str = "", part: str = "") -> str:
    """The argument `score=ks.Score(...)`."""
    settings = [
        function,
        "" if output is None else f"output={output!r}",
        position and f"position={position}",
        part and f"model={part}",
    ]
    return f"score=ks.Score({', '.join(filter(None, settings))})"
