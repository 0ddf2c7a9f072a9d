"""The answers of a model to counterfactual images, without gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency.attributions import scores
from keras_saliency.attributions.heads import Tensor
from keras_saliency.data.placed_edits import PlacedEdit
from keras_saliency.data.reports import Array
from keras_saliency.engine.counterfactuals import Counterfactuals
from keras_saliency.engine.device import DeviceProbes, fetched
from keras_saliency.engine.forward import ForwardPass, places_of
from keras_saliency.engine.state_guard import MutatedVariables, own_seed_generator


class AnswerPass:
    """Runs a model on images in place of those of the probes. It is traced when first needed.

    Args:
        forward_pass: The model.
        inputs: Of the probes.
        batch_size: The number of images per pass.
        jit_compile: Whether XLA compiles the function.

    Attributes:
        forward_pass: The model.
        batch_size: The number of images per pass.
        counterfactuals: Makes images of these probes.
    """

    def __init__(
        self, forward_pass: ForwardPass, inputs: DeviceProbes, batch_size: int, jit_compile: bool
    ) -> None:
        self.forward_pass, self.batch_size = forward_pass, batch_size
        self.counterfactuals = Counterfactuals(inputs, batch_size)
        self._inputs, self._jit = inputs, jit_compile
        self._traced: tuple[Any, MutatedVariables] | None = None

    def __call__(
        self,
        images: Tensor | None,
        recipients: Array,
        targets: Array,
        others: Mapping[str, Array] | None = None,
    ) -> dict[str, Tensor]:
        """The `"predictions"` and `"scores"` of `batch_size` images. Does not wait for them.

        Args:
            images: `(batch_size, ...)`; `None` for those of the recipients.
            recipients: `(batch_size,)`, the indices of the probes whose other inputs are used.
            targets: `(batch_size,)`.
            others: As in `DeviceProbes.rows`.
        """
        if self._traced is None:
            specs = self._inputs.specs(self.batch_size)
            specs["targets"] = tf.TensorSpec((self.batch_size,), tf.int32)
            function = tf.function(self._run, autograph=False, jit_compile=self._jit or None)
            with own_seed_generator() as self._seed_generator:
                traced = function.get_concrete_function(specs)
            self._traced = traced, MutatedVariables(traced)
        function, written = self._traced
        chunk = self._inputs.rows(recipients, images, others)
        chunk["targets"] = tf.constant(targets, tf.int32)
        with written.restored():
            return function(chunk)  # type: ignore[no-any-return]

    def _run(self, chunk: dict[str, Any]) -> dict[str, Tensor]:
        targets = chunk["targets"]
        end, values, _ = self.forward_pass.run(
            chunk["images"], chunk["held"], targets, places_of(chunk)
        )
        labels = None if self._inputs.probes.targets is None else targets
        predictions, _ = scores.answers(end, self.batch_size, labels)
        return {"predictions": predictions, "scores": values}


@dataclass(frozen=True, eq=False)
class ModelAnswers:
    """Asks a model about counterfactual images of probes.

    Answers are predictions and scores, `(count,)` each. All passes begin before a result is waited
    for.

    Attributes:
        answer_pass: Runs the model.
        targets: `(num_probes,)`, the targets of the probes.
        predicts: Whether the outputs predict classes; otherwise, predictions are -1.
    """

    answer_pass: AnswerPass
    targets: Array
    predicts: bool

    def by_image(self, images: Array, recipients: Array) -> tuple[Array, Array]:
        """The answers to images.

        Args:
            images: `(count, ...)`.
            recipients: `(count,)`, the indices of the probes whose targets and held inputs are
                used.
        """
        passes = ((tf.constant(images[rows]), rows) for rows in self._passes(len(images)))
        return self._answers(passes, recipients)

    def by_index(self, edit: PlacedEdit, recipients: Array, donors: Array) -> tuple[Array, Array]:
        """The answers to the images that an edit makes of pairs of probes, if it `makes` them.

        Args:
            edit: The edit.
            recipients: `(count,)`, indices of probes.
            donors: `(count,)`.
        """
        make = self.answer_pass.counterfactuals.images
        passes = (
            (make(edit, recipients[rows], donors[rows]), rows)
            for rows in self._passes(len(recipients))
        )
        return self._answers(passes, recipients)

    def with_input(self, name: str, recipients: Array, donors: Array) -> Array:
        """The predictions for probes with another input, by its name as text, of other probes.

        Args:
            name: A key of `ProbeSet.others`.
            recipients: `(count,)`, indices of probes.
            donors: `(count,)`.
        """
        with self.answer_pass.forward_pass.named_errors():
            results = [
                self.answer_pass(
                    None,
                    recipients[rows],
                    self.targets[recipients[rows]],
                    {name: donors[rows]},
                )
                for rows in self._passes(len(recipients))
            ]
            return fetched(results, len(recipients))["predictions"]

    def makes(self, edit: PlacedEdit) -> bool:
        """As `Counterfactuals.makes`."""
        return self.answer_pass.counterfactuals.makes(edit)

    def equal(self, edit: PlacedEdit, recipients: Array, donors: Array) -> dict[str, Array]:
        """As `Counterfactuals.equal`."""
        return self.answer_pass.counterfactuals.equal(edit, recipients, donors)

    def _answers(
        self, passes: Iterator[tuple[Tensor, Array]], recipients: Array
    ) -> tuple[Array, Array]:
        """The answers to the images of some passes, each with its rows of the recipients."""
        with self.answer_pass.forward_pass.named_errors():
            results = [
                self.answer_pass(images, recipients[rows], self.targets[recipients[rows]])
                for images, rows in passes
            ]
            found = fetched(results, len(recipients))
        predictions = found["predictions"]
        return predictions if self.predicts else np.full_like(predictions, -1), found["scores"]

    def _passes(self, count: int) -> Iterator[Array]:
        """The rows of each pass; those of the last one end with repeats."""
        size = self.answer_pass.batch_size
        for start in range(0, count, size):
            yield np.minimum(np.arange(start, start + size), count - 1)
