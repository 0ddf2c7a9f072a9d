"""`SaliencyMonitor`: a live model and a probe set in, a `SaliencyReport` out. No files."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_saliency.attributions import Method, methods_by_name, num_passes
from keras_saliency.attributions.scores import (
    Score,
    ScoreFunction,
    checked_score,
    is_segmentation,
    needs_boxes,
)
from keras_saliency.data.checks import check_step
from keras_saliency.data.costs import Costs
from keras_saliency.data.probes import ProbeSet, check_probes
from keras_saliency.data.reports import Array, InterventionResults, SaliencyReport
from keras_saliency.data.several import input_names, input_title
from keras_saliency.detection.alerts import announce, effect_metrics, judge
from keras_saliency.detection.evaluations import Evaluation
from keras_saliency.detection.facts import ProbeFacts
from keras_saliency.detection.interventions import intervene
from keras_saliency.detection.permutation import REPEATS, permutation_importances
from keras_saliency.detection.settings import Interventions, checked_interventions
from keras_saliency.detection.significance import level_of_round
from keras_saliency.detection.state import BATCH, EPOCH, RunState, check_state
from keras_saliency.engine.answering import ModelAnswers
from keras_saliency.engine.compilation import Compute, checked_compute
from keras_saliency.engine.device import DeviceProbes
from keras_saliency.engine.models import (
    runs_eagerly,
    structure,
    weights,
)
from keras_saliency.engine.subject import subject_of
from keras_saliency.engine.traced import TracedModel
from keras_saliency.metrics.catalog import (
    completeness_gap,
    of_input,
    precision_gap,
    reference,
    summarize,
    summarize_maps,
)

MOST_PRECISION_GAP = 0.05
"""The largest `precision_gap` without a warning."""


class SaliencyMonitor:
    """Explains the same probes again and again while a model's weights change.

    The model is used as it is: no clone, no changed layer, `training=False`. One `tf.function`
    is traced, here (again if weights are added or replaced, and at each evaluation of a model that
    runs eagerly); every evaluation runs it on chunks of one fixed size, so the memory that the
    model needs does not depend on the number of probes. Weights, optimizer, layer states and all
    global random states are the same after an evaluation as before.

    In a custom training loop, call `step` before the first epoch and after each one.

    Args:
        model: A built Keras 3 model. If it has several inputs, the probes name the one that is
            explained.
        probes: What to explain: held-out images that carry the same cues as the training data.
        method: A key of `keras_saliency.attributions.METHODS`; one of its functions with settings,
            `functools.partial(smoothgrad, num_samples=50)`; a custom function
            `(score_fn, inputs) -> attribution`; or a list of these: reports are about the first,
            and contain the maps of the others.
        score: What is differentiated: `"auto"`, `"logit"`, another name, a callable, or a `Score`.
        interventions: Which tests are made and when: `"auto"`, `"epoch"`, `None`, or
            `Interventions`.
        compute: `"auto"` or a `Compute`.

    Attributes:
        probes: The probes as the model sees them: integers are floats, and the images of a
            keras-hub task are preprocessed.
        methods: The methods by their names; reports are about the first. Of several inputs, one
            that a method cannot explain is explained by the others, or by its gradient.
        held: The names of inputs that were to be explained but have no gradient, such as integers
            that the model looks up, and of strings.
        notes: What was chosen by default where there was a choice, and how to choose otherwise; a
            sentence each.
        costs: What the evaluations of this training took so far.

    Raises:
        TypeError: `model` is not a Keras 3 model; an argument has the wrong type.
        ValueError: The model is not built or does not fit the probes; an argument has a wrong
            value.
        RuntimeError: Keras runs on another backend than TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(3, activation="softmax")])
        >>> probes = ProbeSet(np.ones((2, 4, 4, 1), "float32"), [0, 2])
        >>> monitor = SaliencyMonitor(model, probes)
        >>> report = monitor.step(-1)
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
        score: ScoreFunction | Score = "auto",
        interventions: str | Interventions | None = "auto",
        compute: str | Compute = "auto",
    ) -> None:
        self.methods = methods_by_name(method)
        self.score = checked_score(score)
        self.interventions = checked_interventions(interventions)
        self.compute = checked_compute(compute)
        check_probes(probes)
        subject = subject_of(model, probes, self.score, self.compute.batch_size)
        self.model, self.score, self._text_layer = subject.model, subject.score, subject.text_layer
        self.probes = probes = subject.probes
        self.held, self.notes = subject.held, subject.notes
        self.reduction = self.compute.reduction_for(probes.kind)
        self._state = RunState(targets=probes.targets)
        self.costs = Costs()
        self._facts = ProbeFacts(probes)
        self._structure = structure(self.model)
        score_function = self.score.score
        self._inputs = DeviceProbes(
            probes,
            with_masks=is_segmentation(score_function),
            with_boxes=needs_boxes(score_function),
        )
        self._traced = self._trace(is_default=subject.is_default)
        self.score = self._traced.score
        self.notes += self._traced.notes
        pairs = zip(probes.explained.values(), self._traced.explaining, strict=True)
        self._map_passes = len(probes) * sum(
            num_passes(method, one.images.shape[1:])
            for one, methods in pairs
            for method in methods.values()
        )

    def step(self, step: int, *, last: bool = False) -> SaliencyReport:
        """Explains all probes and, when it is due, tests what the model relies on.

        The same in a custom training loop as what `SaliencyCallback` does at the end of an epoch.

        Args:
            step: The number of this evaluation: Keras' 0-based epoch; -1 before training.
            last: Whether it is the last one, which is always tested.

        Returns:
            The report. Its `alerts` are those that are new; `state.alerts` has all.

        Raises:
            TypeError: `step` is not an integer.
            ValueError: `step` is below -1.
        """
        report, is_repeat = self._evaluate(step, EPOCH)
        settings, tested = self.interventions, self.state.tested
        if settings is None:
            return report
        if is_repeat and tested is not None and tested.is_same_state(report):
            return self._retold(report, tested)
        if not self.state.must_test(settings.when, last=last):
            if not self.state.is_round_due(report):
                return report
            if not self.state.affords_round(self.compute.budget):
                self.state.work = self.state.work.without(rounds=1)
                return report
        return self.intervene(report)

    def is_evaluation_due(self) -> bool:
        """Whether the next evaluation is due by the schedule, or fits into the budget.

        See `Compute.budget`. It is always due if `Interventions.when` is `"epoch"`, or if nothing
        is known of the training's work (`state.work.trained`).
        """
        settings = self.interventions
        budget = None if settings and settings.when == "epoch" else self.compute.budget
        return self.state.is_evaluation_due(self._map_passes, budget)

    def evaluate(self, step: int, *, unit: str = EPOCH) -> SaliencyReport:
        """Explains all probes with the weights as they are now, without tests.

        Args:
            step: The number of this evaluation.
            unit: What it counts: `"epoch"`, or `"batch"` for evaluations within an epoch.
                Similarities compare with the evaluation before of the same unit.

        Returns:
            The report; its arrays belong to it alone.

        Raises:
            TypeError: `step` is not an integer.
            ValueError: `step` is below -1, or `unit` is another string.
        """
        if unit not in (EPOCH, BATCH):
            raise ValueError(f"unit: expected 'epoch' or 'batch', received {unit!r}.")
        return self._evaluate(step, unit)[0]

    def intervene(self, report: SaliencyReport) -> SaliencyReport:
        """Tests by interventions what the model relies on, with the weights as they are now.

        Forward passes only: for every probe, counterfactual images are made, in which one thing
        (a region, the tint, ...) is taken from another probe. See
        `keras_saliency.detection.interventions`. A test that fires at two rounds in a row raises
        an alert; see `keras_saliency.detection.alerts`.

        Args:
            report: The latest report of this monitor; its maps propose places.

        Returns:
            The report with `interventions`, `verdicts` and `alerts`.

        Raises:
            TypeError: `report` is not a report.
            ValueError: The report is not the latest one of this monitor.
        """
        if not isinstance(report, SaliencyReport):
            raise TypeError(
                "report: expected a SaliencyReport, as returned by evaluate, received "
                f"{type(report).__name__}."
            )
        latest = self.state.latest.get(EPOCH)
        if latest is None or latest.step != report.step or not latest.is_same_state(report):
            raise ValueError(
                "report: expected the latest report of this monitor, as returned by "
                f"evaluate, received a different one (of step {report.step})."
            )
        began = time.perf_counter()
        settings = self.interventions or Interventions()
        tested = self.state.tested
        if tested is not None and tested.is_same_state(report):
            report = self._retold(report, tested)  # one state is not two tests in a row
            self.state.record_effects(report)
            return report
        answers = self._traced.answers_of(report.targets)
        results = intervene(
            self.probes,
            report.maps,
            report.predictions,
            report.scores,
            answers.by_image,
            by_score=not self._traced.classifies,
            chunk_size=self._traced.batch_size,
            settings=settings,
            metrics=report.metrics,
            alpha=level_of_round(len(self.state.tested_steps) + 1),
            facts=self._facts,
            standing=[test for test, streak in self.state.streaks.items() if streak.active],
            by_index=answers,
        )
        importances = self._importances(report, answers, settings, results)
        results = dataclasses.replace(
            results, passes=results.passes + len(importances) * REPEATS * len(self.probes)
        )
        verdicts, streaks = judge(
            results,
            settings=settings,
            start=self.state.start_effects,
            streaks=self.state.streaks,
            class_name=self.probes.class_name,
            feature_names=self.probes.feature_names,
            step=report.step,
        )
        alerts = announce(
            verdicts,
            self.state.streaks,
            report.step,
            results.unit,
            settings,
            tested=[*self.state.tested_steps, report.step],
            noun="image" if self.probes.kind == "image" else "input",
            inputs=input_names(self.probes.input_name),
        )
        report = dataclasses.replace(
            report,
            metrics={**report.metrics, **effect_metrics(results), **importances},
            interventions=results,
            verdicts=verdicts,
            alerts=alerts,
        )
        self.state.record_round(report, streaks)
        seconds = self.costs.tests + time.perf_counter() - began
        rounds = self.costs.rounds + bool(results.passes)
        self.costs = dataclasses.replace(self.costs, tests=seconds, rounds=rounds)
        return report

    def _importances(
        self,
        report: SaliencyReport,
        answers: ModelAnswers,
        settings: Interventions,
        results: InterventionResults,
    ) -> dict[str, float]:
        """What each input but the first is worth, as metrics; none if accuracies prove nothing."""
        targets, names = self.probes.targets, [*self.probes.others]
        is_blocked = bool(results.effects and results.blocked_because)
        if is_blocked or results.unit == "score" or targets is None or not names:
            return {}
        found = permutation_importances(
            names, report.predictions, targets, answers.with_input, seed=settings.seed
        )
        return {f"permutation_importance/{name}": value for name, value in found.items()}

    def is_current(self) -> bool:
        """Whether the model is in the state of the latest evaluation at the end of an epoch."""
        latest = self.state.latest.get(EPOCH)
        return latest is not None and latest.is_same_state(self._explained(latest.step))

    def recognizer(self, *, exactly: bool = False) -> Callable[[RunState], bool]:
        """A function that tells whether the model has the weights that a state is of, or may.

        The model is evaluated once, however many states are asked about.

        Args:
            exactly: Whether scores, predictions and maps have to be equal. Otherwise, scores that
                differ by 1 % will do, as they may on another machine, and so will a damaged state,
                which tells nothing.
        """
        now: dict[bytes, SaliencyReport] = {}  # by the targets

        def is_of_these_weights(state: RunState) -> bool:
            latest = state.latest.get(EPOCH)
            try:
                check_state(state, self.probes)
            except ValueError:
                return not exactly
            if latest is None or state.targets is None:
                return not exactly
            key = state.targets.tobytes()
            if key not in now:
                now[key] = self._explained(latest.step, state.targets)
            report = now[key]
            return latest.is_same_state(report) if exactly else latest.resembles(report)

        return is_of_these_weights

    def restart(self) -> None:
        """Says that the next evaluation begins another training.

        If the model is then in the state of the latest evaluation, the run goes on. Otherwise it
        starts anew: no earlier test counts any more.
        """
        self.state.is_restarting = True
        self.costs = Costs()

    def explains(self, model: Any) -> bool:
        """Whether `model` is the one that was traced (or `Score.model`), with the same weights.

        The values of the weights may differ. A changed layer is noticed if the model has a
        configuration; a subclassed model without `get_config` has none.
        """
        explained = self.score.model or model
        return explained is self.model and self._structure == structure(explained)

    @property
    def state(self) -> RunState:
        """All that the monitor remembers from one evaluation to the next.

        To save it, write what `content, arrays = monitor.state.to_json()` returns, for example with
        `json.dump` and `np.savez`. To resume in a new monitor of the same probes, assign
        `monitor.state = keras_saliency.RunState.from_json(content, arrays)`.
        """
        return self._state

    @state.setter
    def state(self, state: RunState) -> None:
        """Resumes a state.

        Raises:
            TypeError: `state` is not a `RunState`.
            ValueError: It is the state of other probes.
        """
        check_state(state, self.probes)
        self._state = state

    @property
    def score_source(self) -> str:
        """The tensor that the score is computed from, in words."""
        return self._traced.score_source

    @property
    def compilation(self) -> str:
        """Whether XLA compiles, and why, in words."""
        return self._traced.compilation

    @property
    def described(self) -> str:
        """What is explained and how, in words."""
        methods = ", ".join(self.methods)
        source = f"{self.score.name} ({self.score_source})"
        inputs = ""
        if self.probes.other_inputs:
            listed = ", ".join(map(input_title, self.probes.explained))
            inputs = f", {len(self.probes.explained)} inputs ({listed})"
            for name, used in zip(self.probes.explained, self._traced.explaining, strict=True):
                refused = ", ".join(one for one in self.methods if one not in used)
                if refused:
                    inputs += (
                        f" ({input_title(name)} by {', '.join(used)}: {refused} cannot explain it)"
                    )
        if self.held:
            inputs += (
                f" (held, since they have no gradient: {', '.join(map(input_title, self.held))})"
            )
        return f"{methods} of the {source} for {len(self.probes)} probes{inputs}"

    @property
    def trace_count(self) -> int:
        """How often the model, as it is built now, has been traced: 1."""
        return self._traced.trace_count

    def _evaluate(self, step: int, unit: str) -> tuple[SaliencyReport, bool]:
        """The report, and whether it repeats the latest evaluation."""
        began = time.perf_counter()
        report = self._explained(check_step(step))
        is_repeat = self.state.begin(report, unit)
        now = reference(report, self.probes)
        previous, start = self.state.compared_with(unit, is_repeat)
        metrics = summarize(
            report,
            self.probes,
            previous=None if previous is None else previous.reference,
            before=None if start is None else start.reference,
            now=now,
            predicts=self._traced.predicts,
        )
        metrics |= report.metrics
        others, other_references = {}, {}
        for name, one in report.other_inputs.items():
            key, probes = str(name), self.probes.other_inputs[name]
            other_references[key] = reference(one, probes)
            measured = summarize_maps(
                one,
                probes,
                previous=None if previous is None else previous.other_references.get(key),
                before=None if start is None else start.other_references.get(key),
                now=other_references[key],
            )
            others[name] = dataclasses.replace(one, metrics={**measured, **one.metrics})
            metrics |= of_input(others[name].metrics, name)
        exact = self._traced.norms_without_float8(report.targets, report.method)
        if exact is not None:
            metrics["precision_gap"] = precision_gap(report.gradient_norms, exact)
            if metrics["precision_gap"] > MOST_PRECISION_GAP:
                warnings.warn(
                    f"the norms of {report.method} in float8 differ by more than "
                    f"{MOST_PRECISION_GAP:.0%} from those of the same weights without float8. The "
                    "metric precision_gap says by how much.",
                    stacklevel=2,
                )
        report = dataclasses.replace(report, metrics=metrics, other_inputs=others)
        self.state.record(Evaluation.of(report, now, other_references), unit, is_repeat)
        if not is_repeat and unit == EPOCH:  # those within epochs were asked for
            self.state.work = self.state.work.after(self._map_passes)
        seconds = self.costs.maps + time.perf_counter() - began
        count = self.costs.evaluations + 1
        self.costs = dataclasses.replace(self.costs, maps=seconds, evaluations=count)
        return report, is_repeat

    def _explained(self, step: int, targets: Array | None = None) -> SaliencyReport:
        """The report of the model as it is now, with the metrics that need more than maps.

        The targets are those of the run, by default.

        The model is traced anew if weights were added or replaced; and if it runs eagerly, since
        any attribute may then change what it computes.
        """
        if self._structure[0] != weights(self.model) or runs_eagerly(self.model):
            self._structure = structure(self.model)
            self._traced = self._trace()
        if targets is None:
            if self.state.targets is None:
                self.state.targets = self._traced.first_targets()
            targets = self.state.targets
        found = self._traced.explain(targets)
        first, *others = (
            self._of_input(place, probes.kind, step, targets, found)
            for place, probes in enumerate(self.probes.explained.values())
        )
        names = self.probes.other_inputs
        return dataclasses.replace(first, other_inputs=dict(zip(names, others, strict=True)))

    def _of_input(
        self, place: int, kind: str, step: int, targets: Array, found: Mapping[str, Array]
    ) -> SaliencyReport:
        """The report of one of the explained inputs, by its place among them.

        Its metrics are those that need more than maps.
        """
        first, *further = self._traced.explaining[place]
        maps, metrics = found[f"{place}/maps/{first}"], {}
        is_signed = self.compute.reduction_for(kind) == "signed"
        for name in (first, *further):
            if f"{place}/completeness/{name}" in found:
                metric = "completeness_gap" if name == first else f"completeness_gap/{name}"
                metrics[metric] = completeness_gap(found[f"{place}/completeness/{name}"])
        return SaliencyReport(
            step=step,
            maps=np.abs(maps, out=None if is_signed else maps),
            targets=targets.copy(),
            predictions=found["predictions"],
            confidences=found["confidences"],
            scores=found["scores"],
            gradient_norms=found[f"{place}/norms/{first}"],
            metrics=metrics,
            method=first,
            signed_maps=maps if is_signed else None,
            others={name: found[f"{place}/maps/{name}"] for name in further},
        )

    def _retold(self, report: SaliencyReport, tested: Evaluation) -> SaliencyReport:
        """A report with the findings of an evaluation of the same state; no alert is new."""
        return dataclasses.replace(
            report,
            metrics={**tested.metrics, **report.metrics},
            interventions=tested.interventions,
            verdicts=tested.verdicts,
        )

    def _trace(self, *, is_default: bool = False) -> TracedModel:
        """The model, traced as it is built now, after a check that it can be explained."""
        return TracedModel(
            self.model,
            self._inputs,
            self.methods,
            self.score,
            self.compute,
            self.state.targets,
            text_layer=self._text_layer,
            is_default=is_default,
        )
