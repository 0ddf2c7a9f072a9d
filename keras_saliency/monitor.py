"""`SaliencyMonitor`: a live model and a probe set in, a `SaliencyReport` out. No files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from keras_saliency.attributions import REDUCTIONS, Method, check_method, method_name, scores
from keras_saliency.attributions.scores import Score
from keras_saliency.data.checks import check_choice, check_positive_int
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, Effect, SaliencyReport
from keras_saliency.detection import alerts
from keras_saliency.detection.calibration import check_floors
from keras_saliency.detection.interventions import intervene
from keras_saliency.engine.compilation import check_compilation, compiled
from keras_saliency.engine.explainer import Explainer
from keras_saliency.engine.forward import ForwardPass
from keras_saliency.engine.models import as_seen, check_fit, check_keras, place, structure, weights
from keras_saliency.metrics.catalog import completeness_gap, summarize


class SaliencyMonitor:
    """Explains the same probes again and again while a model's weights change.

    The model is used as it is: no clone, no changed layer, `training=False`. One `tf.function`
    is traced, here (and again if weights are added or replaced); every evaluation runs it on
    chunks of one fixed size, so the memory that the model needs does not depend on the number of
    probes. Weights, optimizer, layer states and all global random states are the same after an
    evaluation as before.

    Args:
        model: A built Keras 3 model. Of several inputs the probes name the one that is explained.
        probes: What to explain.
        method: A key of `keras_saliency.attributions.METHODS`; one of its functions with settings,
            `functools.partial(smoothgrad, num_samples=50)`; a function of one's own,
            `(score_fn, inputs) -> attribution`; or a list of these: the first is what reports are
            about, the maps of the others go along.
        score: What is differentiated: `"logit"`, `"log_probability"`, `"probability"`, `"output"`
            (the model's output as it is: a regression), `"segmentation"` (the target's logits,
            summed over where it is predicted), or a callable from the model's outputs and
            `(batch,)` targets to `(batch,)` scores. See `keras_saliency.attributions.scores`.
        output: Of a model with several outputs, the one that is explained, by name or position.
        reduction: How channels become one map: `"max_abs"` (default), `"l2"` (default of tokens),
            `"sum"` or `"signed"`. See `keras_saliency.attributions.reductions`.
        batch_size: Probes per pass, at most.
        jit_compile: Whether XLA compiles the passes. `"auto"`: not on a CPU, where it was slower
            for nearly all that was measured; on another device what proves faster on the first
            probes.
        floors: By the name of a test, what its effect has to reach for an alert, where that is
            more than the rule's own floor; see `keras_saliency.calibrate`.

    Attributes:
        probes: As the model sees them: those of a keras-hub task are preprocessed.
        methods: By their names; the first is what reports are about.
        compilation: Whether XLA compiles, and why, in words.

    Raises:
        TypeError: `model` is no Keras 3 model; the images are integers; an argument has the
            wrong type.
        ValueError: The model is not built or does not fit the probes; an argument is unknown.
        RuntimeError: Keras runs on another backend than TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(3, activation="softmax")])
        >>> probes = ProbeSet(np.ones((2, 4, 4, 1), "float32"), [0, 2])
        >>> monitor = SaliencyMonitor(model, probes)
        >>> report = monitor.evaluate(step=0)
        >>> weights = model.layers[-1].kernel.numpy()  # the map of a linear model is |weights|
        >>> bool(np.allclose(report.maps[1].ravel(), abs(weights[:, 2])))
        True
    """

    def __init__(
        self,
        model: Any,
        probes: ProbeSet,
        *,
        method: Method | Sequence[Method] = "gradient",
        score: Score = "logit",
        output: str | int | None = None,
        reduction: str | None = None,
        batch_size: int = 32,
        jit_compile: bool | str = "auto",
        floors: Mapping[str, float] | None = None,
    ) -> None:
        self.methods, self.score = check_method_and_score(method, score)
        check_positive_int("batch_size", batch_size, hint="Give the number of probes per pass.")
        if not isinstance(probes, ProbeSet):
            raise TypeError(f"probes: expected a ProbeSet, received {type(probes).__name__}.")
        check_keras(model)
        probes = as_seen(model, probes)
        check_fit(model, probes)
        self.model = model
        self.probes = probes
        self.reduction = check_reduction(reduction, probes.kind)
        self._output = check_output(output)
        self._batch_size = batch_size
        self._jit = check_compilation(jit_compile)
        self._floors = check_floors("floors", floors or {})
        self._start: dict[str, float] | None
        self._streaks: dict[str, alerts.Streak]
        self._tested: SaliencyReport | None  # the latest with interventions
        self.forget()
        self._targets = probes.targets
        self._trace()

    def evaluate(
        self,
        step: int,
        *,
        previous: SaliencyReport | None = None,
        before: SaliencyReport | None = None,
    ) -> SaliencyReport:
        """Explains all probes with the weights as they are now.

        Args:
            step: When this is, for the report.
            previous: An earlier report, for `map_similarity`; without it that is `nan`.
            before: The report of the state before training, for what is compared with that.

        Returns:
            The report; its arrays belong to it alone.
        """
        if self._structure[0] != weights(self.model):
            self._trace()
        if self._targets is None:
            self._targets = self._checked_targets(self._first_targets())
        found = self._explainer.explain(self._targets)
        if not self._predicts:
            found["predictions"] = np.full_like(found["predictions"], -1)
            found["confidences"] = np.full_like(found["confidences"], np.nan)
        first, *further = self.methods
        is_signed = self.reduction == "signed"
        report = SaliencyReport(
            step=step,
            maps=np.abs(found[f"maps/{first}"]),
            targets=self._targets.copy(),
            predictions=found["predictions"],
            confidences=found["confidences"],
            scores=found["scores"],
            gradient_norms=found[f"norms/{first}"],
            metrics={},
            method=first,
            signed_maps=found[f"maps/{first}"] if is_signed else None,
            others={name: found[f"maps/{name}"] for name in further},
        )
        numbers = summarize(
            report, self.probes, previous=previous, before=before, predicts=self._predicts
        )
        for name in self.methods:
            if f"completeness/{name}" in found:
                number = "completeness_gap" if name == first else f"completeness_gap/{name}"
                numbers[number] = completeness_gap(found[f"completeness/{name}"])
        return dataclasses.replace(report, metrics=numbers)

    @property
    def score_source(self) -> str:
        """Which tensor the score is computed from, in words."""
        if self._explainer.head is None:
            return "the model's outputs, by a callable"
        if self._explainer.head.activation == scores.LINEAR:
            return f"the outputs, {place(self._explainer.head.operation, self.model)!r}"
        return f"the input of {place(self._explainer.head.operation, self.model)!r}"

    @property
    def described(self) -> str:
        """What is explained and how, in words."""
        methods, score = ", ".join(self.methods), scores.score_name(self.score)
        return f"{methods} of the {score} ({self.score_source}) for {len(self.probes)} probes"

    @property
    def trace_count(self) -> int:
        """How often the model, as it is built now, has been traced: 1."""
        return self._explainer.trace_count

    def explains(self, model: Any) -> bool:
        """Whether `model` is the one that was traced, with the same layers and weights.

        The weights' values may differ. A layer that was changed since is seen where the model
        has a configuration; a subclassed model without `get_config` has none.
        """
        return model is self.model and self._structure == structure(model)

    def _trace(self) -> None:
        """Traces the model as it is built now, and checks that it can be explained."""
        forward_pass = ForwardPass(self.model, self.probes, self.score, self._output)
        make = partial(
            Explainer,
            forward_pass,
            self.probes,
            self.methods,
            reduction=self.reduction,
            batch_size=self._batch_size,
        )
        self._explainer, self.compilation = compiled(make, self._jit)
        self._structure = structure(self.model)
        self._check()

    def intervene(self, report: SaliencyReport, *, seed: int = 0) -> SaliencyReport:
        """Tests by interventions what the model uses, with the weights as they are now.

        Forward passes only: of every probe, counterfactual images are made, in which one thing
        (a region, the tint, ...) is taken from another probe. See
        `keras_saliency.detection.interventions`. A rule that fires at two such tests in a row
        raises an alert; see `keras_saliency.detection.alerts`.

        Args:
            report: This monitor's report for the same weights; its maps propose windows.
            seed: Of the draw of donors; the same at each evaluation, so that they compare.

        Returns:
            The report with `interventions`, `verdicts` and `alerts`.
        """
        before = self._tested
        if before is not None and before.is_same_state(report):
            return dataclasses.replace(  # one state is no two tests in a row
                report,
                metrics={**before.metrics, **report.metrics},
                interventions=before.interventions,
                verdicts=before.verdicts,
            )
        found = intervene(
            self.probes,
            report.maps,
            report.predictions,
            report.scores,
            self._ask,
            by_score=not self._classifies,
            chunk_size=self._batch_size,
            seed=seed,
        )
        if "group_gap" in report.metrics:
            gap = Effect(
                "groups",
                effect=report.metrics["group_gap"],
                p_value=report.metrics["group_gap_p_value"],
                num_probes=len(self.probes),
            )
            found = dataclasses.replace(found, effects=(*found.effects, gap))
        verdicts, streaks = alerts.judge(
            found, floors=self._floors, start=self._start, streaks=self._streaks
        )
        raised = alerts.announce(
            verdicts, self._streaks, report.step, found.unit, self.probes.class_name
        )
        self._streaks = streaks
        if self._start is None:
            self._start = {effect.test: effect.effect for effect in found.effects}
        self._tested = dataclasses.replace(
            report,
            metrics={**report.metrics, **alerts.numbers(found)},
            interventions=found,
            verdicts=verdicts,
            alerts=raised,
        )
        return self._tested

    def forget(self) -> None:
        """Starts anew, as for a model with new weights: no test before counts any more."""
        self._start, self._streaks, self._tested = None, {}, None

    @property
    def _classifies(self) -> bool:
        """Whether one class of two or more is predicted: effects are then told in accuracy."""
        head = self._explainer.head if self._predicts else None
        return head is not None and (
            head.activation != scores.SIGMOID or head.outputs.shape[1] == 1
        )

    def _ask(self, images: Array, recipients: Array) -> tuple[Array, Array]:
        """The predictions and scores of some images, `batch_size` at most."""
        if self._targets is None:
            raise RuntimeError("report: expected one of this monitor; it has not evaluated yet.")
        predictions, values = self._explainer.answers(images, recipients, self._targets)
        return predictions if self._predicts else np.full_like(predictions, -1), values

    def _check(self) -> None:
        """One dry run: targets against the model's classes, logits against its output."""
        if self._targets is not None:
            self._checked_targets(self._targets)
        first = np.zeros(len(self.probes), np.int64) if self._targets is None else self._targets
        found = self._explainer.explain(first[: self._explainer.chunk_size], with_ends=True)
        self._predicts = self._explainer.head is not None
        if self._explainer.head is not None:
            ends = self._explainer.head, found["outputs"], found["logits"]
            name = scores.known_name(self.score)
            if name is None:
                one_number = ends[0].activation == scores.LINEAR and ends[1].shape[-1] == 1
                self._predicts = not one_number and scores.agrees(*ends, "logit")
            else:
                scores.check_head(*ends, name)
                self._predicts = name not in ("output", "segmentation")

    def _first_targets(self) -> Array:
        """Of probes without targets: the predictions; of a single number, that. -1 if neither."""
        none = np.zeros(len(self.probes), np.int64)
        if not self._is_regression:
            return self._explainer.explain(none)["predictions"]
        is_single = self._explainer.head is not None and self._explainer.head.outputs.shape[-1] == 1
        return none if is_single else none - 1

    @property
    def _is_regression(self) -> bool:
        return scores.known_name(self.score) == "output"

    def _checked_targets(self, targets: Array) -> Array:
        if (targets < 0).any():
            raise ValueError(
                "targets: expected a class per probe, since this model's outputs give no "
                "prediction to fix instead. Give targets to the ProbeSet."
            )
        if self._explainer.head is not None and scores.known(self.score) is not None:
            units = self._explainer.head.outputs.shape[-1]
            classes = 2 if units == 1 and not self._is_regression else units
            if classes is not None and targets.max() >= classes:
                raise ValueError(
                    f"targets: expected class indices 0..{classes - 1} (the model has {units} "
                    f"output unit{'s' if units > 1 else ''}), received {targets.max()} for probe "
                    f"{targets.argmax()}."
                )
        return targets


def check_reduction(reduction: object, kind: str) -> str:
    """The reduction of a kind of input; `None` means the one that is advised.

    Raises:
        TypeError: Not a string.
        ValueError: An unknown name.
    """
    if reduction is None:
        return "l2" if kind == "tokens" else "max_abs"
    return str(check_choice("reduction", reduction, REDUCTIONS))


def check_output(output: object) -> str | int | None:
    """The name or position of an output.

    Raises:
        TypeError: Neither.
    """
    if isinstance(output, bool) or not (output is None or isinstance(output, str | int)):
        raise TypeError(f"output: expected a name or a position, received {output!r}.")
    return output


def check_method_and_score(
    method: Method | Sequence[Method], score: Score
) -> tuple[dict[str, Method], Score]:
    """Checks the two without a model.

    Returns:
        The methods by their names, and the score.

    Raises:
        TypeError: A method or the score is neither a string nor callable.
        ValueError: An unknown name; no method, or one twice.
    """
    several: list[Any] = list(method) if isinstance(method, list | tuple) else [method]
    if not several:
        raise ValueError("method: expected one or more, received an empty list.")
    for one in several:
        check_method(one)
    methods = {method_name(one): one for one in several}
    if len(methods) < len(several):
        names = ", ".join(map(method_name, several))
        raise ValueError(
            f"method: expected methods of different names, received {names}. A function of one's "
            "own is called by its __name__."
        )
    if not callable(score):
        check_choice("score", score, scores.SCORES)
    return methods, score
