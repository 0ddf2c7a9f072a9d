"""What a row of the table is: an example of keras.io in small, and the lines its user would write.

The code is our own. What is kept of an example is the structure of its data (tuples, dicts,
strings, dtypes, shapes of labels) and the form of its model: inputs, outputs, loss, `train_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Try:
    """Lines that a user writes.

    Attributes:
        lines: Python source. It may use `ks`, `keras`, `tf`, `np`, `log_dir`, and the names of the
            case. It leaves `probes`, and `saliency` (a callback) or `report`.
        advice: What the errors before have to say, so that a user can come to these lines.
    """

    lines: str
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A model and its data, not trained yet, and what is right about them.

    Attributes:
        names: The example's own names: `model`, `train_ds`, `x_train`, ...
        tries: The shortest lines first; each of the others is what the error before advises.
        score: The number that is differentiated, computed without the library:
            `(inputs, targets) -> (batch,)`; inputs are as the model takes them. `None`: there is
            no input with a gradient, and whatever is explained is wrong.
        kind: The right kind of input.
        embedding: For tokens, the layer whose output is explained, a tuple of the layers of all
            columns, or a dict of these by input; the model's first `Embedding` if `None`.
        refused: The model or data cannot be explained as they are; the first try must fail, with
            lines that work instead.
        tolerance: The largest relative difference from the tape; larger in half precision.
        kinds: The kinds of inputs that have another one, by name or position.
    """

    names: Mapping[str, Any]
    tries: tuple[Try, ...]
    score: Callable[[Any, Any], Any] | None
    kind: str = "image"
    embedding: Any = None
    refused: bool = False
    tolerance: float = 1e-3
    kinds: Mapping[str | int, str] = field(default_factory=dict)

    def kind_of(self, name: Any) -> str:
        """The right kind of an input."""
        return self.kinds.get(name, self.kind)

    def embedding_of(self, name: Any) -> Any:
        """The layer whose output is explained, of an input of tokens."""
        return self.embedding.get(name) if isinstance(self.embedding, dict) else self.embedding


@dataclass(frozen=True)
class Row:
    """One shape of the gallery.

    Attributes:
        example: The path of the example on keras.io below `/examples/`, or of another page.
        make: Builds the case; its docstring says what the shape is.
    """

    example: str
    make: Callable[[], Case] = field(repr=False)

    @property
    def name(self) -> str:
        """The name of the row, by which `--only` selects it."""
        return self.make.__name__

    @property
    def shape(self) -> str:
        """The data and the model in words."""
        return " ".join((self.make.__doc__ or "").split()).removesuffix(".")


def lines(dataset: str, fit: str, probes: str = "", callback: str = "") -> str:
    """The three lines with which a user begins.

    Args:
        dataset: What probes are drawn from.
        fit: The arguments of `fit`.
        probes: Further arguments of `from_dataset`, such as `kind="series"`.
        callback: Further arguments of the callback.
    """
    return three(f"ks.ProbeSet.from_dataset({joined(dataset, probes)})", fit, callback)


def advised(dataset: str, fit: str, argument: str) -> tuple[Try, Try]:
    """The three lines; then the same with the callback's argument that the error advises."""
    more = Try(lines(dataset, fit, callback=argument), (argument,))
    return Try(lines(dataset, fit)), more


def three(probes: str, fit: str, callback: str = "") -> str:
    """The three lines, with probes that are made in another way."""
    return (
        f"probes = {probes}\n"
        f"saliency = ks.SaliencyCallback({joined('probes', 'log_dir=log_dir', callback)})\n"
        f"model.fit({joined(fit, 'callbacks=[saliency]')})"
    )


def joined(*arguments: str) -> str:
    """Arguments of a call, without the empty ones."""
    return ", ".join(argument for argument in arguments if argument)
