"""`TracedModel`: a model that can be explained, after a check of what its outputs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from keras_saliency.attributions import Method, heads, scores
from keras_saliency.attributions.scores import Score
from keras_saliency.data.inputs import KINDS
from keras_saliency.data.reports import Array
from keras_saliency.engine.advice import unit_line
from keras_saliency.engine.answering import ModelAnswers
from keras_saliency.engine.choosing import CLASSES, LOGARITHMS
from keras_saliency.engine.compilation import Compute, compiled
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.explainer import Explainer
from keras_saliency.engine.forward import ForwardPass
from keras_saliency.engine.keras_internals import with_policy
from keras_saliency.engine.loss_scales import uses_float8
from keras_saliency.engine.models import declared_outputs, loss_of_numbers, place


class TracedModel:
    """A model as it is built now, traced for a probe set.

    Args:
        model: A built Keras model.
        inputs: Of the probes, as the model sees them.
        methods: The methods by name.
        score: What is differentiated.
        compute: How maps are computed.
        targets: `(num_probes,)`; `None` if they are not known yet.
        text_layer: As in `ForwardPass`.
        is_default: Whether the score was not asked for; the logarithms of probabilities then take
            the place of logits that cannot be found.

    Attributes:
        score: What is differentiated.
        compilation: Whether XLA compiles, and why, in words.
        predicts: Whether the outputs predict classes.
        notes: What the values of the outputs made of a score that was not asked for, in words.

    Raises:
        ValueError: The model cannot be explained by this score, or the targets do not fit it.
    """

    def __init__(
        self,
        model: Any,
        inputs: DeviceProbes,
        methods: Mapping[str, Method],
        score: Score,
        compute: Compute,
        targets: Array | None,
        *,
        text_layer: str = "",
        is_default: bool = False,
    ) -> None:
        self._text_layer, self._is_default = text_layer, is_default
        self._model, self._inputs, self._methods = model, inputs, methods
        self._probes = inputs.probes
        self.notes: list[str] = []
        self.score, self._compute = score, compute
        self._explainer, self.compilation = self._compiled()
        activation, self.predicts = self._decided(targets)
        head = self._explainer.head
        if self.predicts and head is not None and activation != head.activation:
            self._explainer, self.compilation = self._compiled(activation)
        self._without_float8: Explainer | None = None
        if uses_float8(model) and with_policy(model, "float32"):
            first = dict([*self.explaining[0].items()][:1])  # of the others, nothing is compared
            self._without_float8 = self._compiled(activation, first, float8=False)[0]

    def explain(self, targets: Array) -> dict[str, Array]:
        """As `Explainer.explain`; no predictions if the outputs do not predict classes."""
        found = self._explainer.explain(targets)
        if not self.predicts:
            found["predictions"] = np.full_like(found["predictions"], -1)
            found["confidences"] = np.full_like(found["confidences"], np.nan)
        return found

    def norms_without_float8(self, targets: Array, method: str) -> Array | None:
        """The norms of a method's attributions with float8 switched off; `None` if it is not on."""
        if self._without_float8 is None:
            return None
        return self._without_float8.explain(targets)[f"0/norms/{method}"]

    def answers_of(self, targets: Array) -> ModelAnswers:
        """Asks the model about counterfactual images of probes with these targets."""
        return ModelAnswers(self._explainer.answer_pass, targets, self.predicts)

    @property
    def explaining(self) -> Sequence[Mapping[str, Method]]:
        """For each input, the methods that explain it, by name."""
        return self._explainer.explaining

    @property
    def batch_size(self) -> int:
        """The number of images per pass."""
        return self._explainer.batch_size

    @property
    def trace_count(self) -> int:
        """How often the model has been traced: 1."""
        return self._explainer.trace_count

    @property
    def classifies(self) -> bool:
        """Whether one class of two or more is predicted; effects are then accuracies."""
        if self._explainer.num_named is not None:
            return True
        head = self._explainer.head if self.predicts else None
        return head is not None and (not head.is_independent or head.outputs.shape[1] == 1)

    @property
    def score_source(self) -> str:
        """The tensor that the score is computed from, in words."""
        head = self._explainer.head
        if self._explainer.num_named is not None:
            return "the prediction that fits the box of each probe"
        if head is None:
            return "the model's outputs, by a callable"
        if head.activation == heads.LINEAR or self._explains_numbers or not head.is_found:
            return f"the outputs, {place(head.operation, self._model)!r}"
        return f"the input of {place(head.operation, self._model)!r}"

    def first_targets(self) -> Array:
        """For probes without targets: the predictions; 0 if the score does not depend on targets.

        Raises:
            ValueError: There are no predictions.
        """
        none, head = np.zeros(len(self._probes), np.int64), self._explainer.head
        has_one_unit = self._explains_numbers and head is not None and head.outputs.shape[-1] == 1
        if has_one_unit or not self._explainer.uses_targets:
            return none
        predictions = self.explain(none)["predictions"]
        if (predictions < 0).any():
            what = "an output unit" if self._explains_numbers else "a class"
            raise ValueError(
                f"targets: expected {what} per probe, since this model's outputs give no "
                "prediction that could take its place. For the first one: "
                "dataclasses.replace(probes, targets=[0] * len(probes))."
            )
        return predictions

    def check_targets(self, targets: Array) -> None:
        """Checks that targets are classes of the model.

        Raises:
            ValueError: The model has fewer classes.
        """
        head, named = self._explainer.head, self._explainer.num_named
        if named is not None and targets.max() >= named:
            raise ValueError(
                f"targets: expected class indices 0..{named - 1} (the model has {named} classes), "
                f"received {targets.max()} for probe {targets.argmax()}."
            )
        is_custom = scores.known(self.score.score) is None
        if head is None or is_custom or not self._explainer.uses_targets:
            return
        units = head.outputs.shape[-1]
        classes = 2 if units == 1 and not self._explains_numbers else units
        if classes is not None and targets.max() >= classes:
            hint = ""
            declared = declared_outputs(self._model, self.score.output)
            is_linear = head.activation == heads.LINEAR and not declared
            if units == 1 and (self._explains_numbers or is_linear or self._loss_of_numbers):
                hint = (
                    " One number has no class: leave targets out, "
                    "dataclasses.replace(probes, targets=None)."
                )
            elif is_linear:
                hint = (
                    " If they are numbers to predict, explain the outputs without them: "
                    "dataclasses.replace(probes, targets=None) and score='mean'."
                )
            raise ValueError(
                f"targets: expected class indices 0..{classes - 1} (the model has {units} "
                f"output unit{'s' if units > 1 else ''}), received {targets.max()} for probe "
                f"{targets.argmax()}.{hint}"
            )

    @property
    def _explains_numbers(self) -> bool:
        return scores.known_name(self.score.score) in scores.NUMBERS

    @property
    def _loss_of_numbers(self) -> str:
        """The loss of numbers that the explained output is compiled with, or `""`."""
        return loss_of_numbers(self._model, self.score.output)

    def _compiled(
        self,
        activation: str | None = None,
        methods: Mapping[str, Method] | None = None,
        *,
        float8: bool = True,
    ) -> tuple[Explainer, str]:
        """An explainer, and whether XLA compiles it, in words."""
        forward = ForwardPass(
            self._model,
            self._probes,
            self.score,
            activation,
            float8=float8,
            text_layer=self._text_layer,
        )
        make = partial(
            Explainer,
            forward,
            self._inputs,
            methods or self._methods,
            reductions={kind: self._compute.reduction_for(kind) for kind in KINDS},
            batch_size=self._compute.batch_size,
        )
        return compiled(make, self._compute.jit_compile)

    def _decided(self, targets: Array | None) -> tuple[str | None, bool]:
        """One dry run: targets against the model's classes, logits against its output.

        Returns:
            What the outputs are (see `heads.decide`), and whether they predict classes.
        """
        if targets is None:
            targets = np.zeros(len(self._probes), np.int64)
        else:
            self.check_targets(targets)
        explainer, score = self._explainer, self.score
        found = explainer.explain(targets[: explainer.chunk_size], with_ends=True)
        head, name = explainer.head, scores.known_name(score.score)
        if head is None:
            return None, explainer.num_named is not None
        outputs, logits = found["outputs"], found["logits"]
        declared = declared_outputs(self._model, score.output)
        activation = heads.decide(head, outputs, logits, name or "logit", declared=declared)
        loss = self._loss_of_numbers
        numbers = heads.no_classes(
            outputs, activation, loss, is_labelled=self._probes.targets is not None
        )
        has_logits = activation == head.activation or activation == heads.LINEAR
        if self._is_default and name == "logit" and activation and not (has_logits or numbers):
            name = "log_probability"
            self.score = replace(score, score=name)
            self.notes.append(LOGARITHMS)
        is_open = activation == heads.LINEAR and not declared and outputs.shape[-1] > 1
        if self._is_default and name == "logit" and is_open:
            self.notes.append(CLASSES)
        if name is not None:
            heads.check_head(head, outputs, activation, name)
            if name == "logit" and numbers:
                raise ValueError(
                    f"score='logit': expected a model with one output per class; {numbers}. Pass "
                    "score='mean' to explain the mean of all outputs, score='output' for the unit "
                    "that the targets name, or a callable (outputs, targets) -> (num_probes,), "
                    f"such as {unit_line(outputs.shape)}. If the outputs are classes, pass "
                    "score='probability'."
                )
            has_positions = outputs.ndim > 2
            return activation, not has_positions and name not in scores.NUMBERS
        is_number = activation in (heads.LINEAR, heads.SOFTMAX) and outputs.shape[-1] == 1
        return activation, activation is not None and not is_number and not numbers
