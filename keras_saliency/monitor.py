"""`SaliencyMonitor`: a live model and a probe set in, a `SaliencyReport` out. No files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_saliency import alerts, attributions, scores
from keras_saliency._checks import check_choice, check_positive_int
from keras_saliency._models import check_model, place, structure, weights
from keras_saliency._observation import Written, own_seed_generator
from keras_saliency.baselines import check_floors
from keras_saliency.interventions import intervene
from keras_saliency.probes import ProbeSet
from keras_saliency.reports import Array, Effect, SaliencyReport
from keras_saliency.scores import Score, Tensor
from keras_saliency.summary import summarize


class SaliencyMonitor:
    """Explains the same probes again and again while a model's weights change.

    The model is used as it is: no clone, no changed layer, `training=False`. One `tf.function`
    is traced, here (and again if weights are added or replaced); every evaluation runs it on
    chunks of one fixed size, so the memory that the model needs does not depend on the number of
    probes. Weights, optimizer, layer states and all global random states are the same after an
    evaluation as before.

    Args:
        model: A built Keras 3 model with one image input, channels last, and one output.
        probes: What to explain.
        method: A key of `keras_saliency.attributions.METHODS`.
        score: What is differentiated: `"logit"`, `"log_probability"`, `"probability"`, or a
            callable from the model's outputs and `(batch,)` targets to `(batch,)` scores.
        batch_size: Probes per pass, at most.
        floors: By the name of a test, what its effect has to reach for an alert, where that is
            more than the rule's own floor; see `keras_saliency.calibrate`.

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
        method: str = "gradient",
        score: Score = "logit",
        batch_size: int = 32,
        floors: Mapping[str, float] | None = None,
    ) -> None:
        check_method_and_score(method, score)
        check_positive_int("batch_size", batch_size, mend="Give the number of probes per pass.")
        if not isinstance(probes, ProbeSet):
            raise TypeError(f"probes: expected a ProbeSet, received {type(probes).__name__}.")
        check_model(model, probes)
        self.model = model
        self.probes = probes
        self.method = method
        self.score = score
        self._batch_size = batch_size
        self._floors = check_floors("floors", floors or {})
        self._start: dict[str, float] | None
        self._streaks: dict[str, alerts.Streak]
        self._tested: SaliencyReport | None  # the latest with interventions
        self.forget()
        num_chunks = -(-len(probes) // batch_size)
        self._chunk_size = -(-len(probes) // num_chunks)
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
            predictions = self._run(np.zeros(len(self.probes), np.int64))["predictions"]
            self._targets = self._checked_targets(predictions)
        found = self._run(self._targets)
        if not self._predicts:
            found["predictions"] = np.full_like(found["predictions"], -1)
            found["confidences"] = np.full_like(found["confidences"], np.nan)
        report = SaliencyReport(
            step=step,
            maps=found["maps"],
            targets=self._targets.copy(),
            predictions=found["predictions"],
            confidences=found["confidences"],
            scores=found["scores"],
            gradient_norms=found["gradient_norms"],
            statistics={},
        )
        numbers = summarize(
            report, self.probes, previous=previous, before=before, predicts=self._predicts
        )
        return dataclasses.replace(report, statistics=numbers)

    @property
    def score_source(self) -> str:
        """Which tensor the score is computed from, in words."""
        if self._head is None:
            return "the model's outputs, by a callable"
        if self._head.activation == scores.LINEAR:
            return f"the outputs, {place(self._head.operation, self.model)!r}"
        return f"the input of {place(self._head.operation, self.model)!r}"

    @property
    def trace_count(self) -> int:
        """How often the model, as it is built now, has been traced: 1."""
        return int(self._function.experimental_get_tracing_count())

    def explains(self, model: Any) -> bool:
        """Whether `model` is the one that was traced, with the same layers and weights.

        The weights' values may differ. A layer that was changed since is seen where the model
        has a configuration; a subclassed model without `get_config` has none.
        """
        return model is self.model and self._structure == structure(model)

    def _trace(self) -> None:
        """Traces the model as it is built now, and checks that it can be explained."""
        self._head: scores.Head | None = None
        self._function = tf.function(self._explain_chunk, autograph=False)
        images = self.probes.images
        with own_seed_generator() as self._seed_generator:
            self._explain = self._function.get_concrete_function(
                tf.TensorSpec((self._chunk_size, *images.shape[1:]), images.dtype),
                tf.TensorSpec((self._chunk_size,), tf.int32),
            )
        self._written = Written(self._explain)
        self._answer: Any = None  # traced when it is first asked
        self._structure = structure(self.model)
        self._check()

    def _explain_chunk(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        passes: list[tuple[Tensor, scores.Head | None, Tensor]] = []

        def score_fn(inputs: Tensor) -> Tensor:
            head, values = self._score(self.model(inputs, training=False), targets)
            passes.append((inputs, head, values))
            return values

        attribution = attributions.METHODS[self.method](score_fn, images)
        if passes[0][0] is not images:  # the method made no pass at the probes themselves
            score_fn(images)
        _, head, values = next(entry for entry in passes if entry[0] is images)
        results = {
            "maps": attributions.saliency_map(attribution),
            "gradient_norms": attributions.norm(attribution),
            "scores": values,
        }
        if head is None:
            nothing = tf.zeros(self._chunk_size)
            return results | {
                "predictions": tf.cast(nothing - 1, tf.int64),
                "confidences": nothing + float("nan"),
            }
        self._head = head
        predictions, confidences = scores.predict(head)
        return results | {
            "predictions": predictions,
            "confidences": confidences,
            "outputs": head.outputs,
            "logits": head.logits,
        }

    def intervene(self, report: SaliencyReport, *, seed: int = 0) -> SaliencyReport:
        """Tests by interventions what the model uses, with the weights as they are now.

        Forward passes only: of every probe, counterfactual images are made, in which one thing
        (a region, the tint, ...) is taken from another probe. See `keras_saliency.interventions`.
        A rule that fires at two such tests in a row raises an alert; see `keras_saliency.alerts`.

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
                statistics={**before.statistics, **report.statistics},
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
        if "group_gap" in report.statistics:
            gap = Effect(
                "groups",
                effect=report.statistics["group_gap"],
                p_value=report.statistics["group_gap_p_value"],
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
            statistics={**report.statistics, **alerts.numbers(found)},
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
        head = self._head if self._predicts else None
        return head is not None and (
            head.activation != scores.SIGMOID or head.outputs.shape[1] == 1
        )

    def _ask(self, images: Array, targets: Array) -> tuple[Array, Array]:
        """The predictions and scores of some images, `batch_size` at most."""
        size, total = self._batch_size, len(images)
        if self._answer is None:
            function = tf.function(self._answer_chunk, autograph=False)
            with own_seed_generator() as self._answer_seed_generator:
                self._answer = function.get_concrete_function(
                    tf.TensorSpec((size, *images.shape[1:]), self.probes.images.dtype),
                    tf.TensorSpec((size,), tf.int32),
                )
            self._answer_written = Written(self._answer)
        index = np.minimum(np.arange(size), total - 1)  # pads with the last
        with self._answer_written.kept():
            predictions, values = self._answer(
                tf.constant(images[index]), tf.constant(targets[index], tf.int32)
            )
        return predictions.numpy()[:total], values.numpy()[:total]

    def _answer_chunk(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        head, values = self._score(self.model(images, training=False), targets)
        if head is None or not self._predicts:
            return tf.fill(tf.shape(targets), tf.constant(-1, tf.int64)), values
        return scores.predict(head)[0], values

    def _score(self, outputs: Any, targets: Tensor) -> tuple[scores.Head | None, Tensor]:
        single = tf.nest.flatten(outputs)
        head = None
        if len(single) == 1 and single[0].shape.rank == 2:
            head = scores.find_head(single[0], self.score)
        if callable(self.score):
            values = self.score(outputs, targets)
            if values is None:
                raise TypeError(
                    "score: expected a callable that returns one number per probe, received None. "
                    "Does it lack a return?"
                )
            values = tf.convert_to_tensor(values)
            if values.shape.as_list() != targets.shape.as_list():
                raise ValueError(
                    "score: expected a callable that returns one number per probe, shape "
                    f"(num_probes,) = {tuple(targets.shape)}, received shape {values.shape}."
                )
            return head, values
        if head is None:
            shapes = ", ".join(str(output.shape) for output in single)
            raise ValueError(
                f"score={self.score!r}: expected a model with one output (batch, classes), "
                f"received {shapes}. Pass a callable (outputs, targets) -> (num_probes,)."
            )
        return head, scores.SCORES[self.score](head, targets)

    def _check(self) -> None:
        """One dry run: targets against the model's classes, logits against its output."""
        if self._targets is not None:
            self._checked_targets(self._targets)
        first = np.zeros(len(self.probes), np.int64) if self._targets is None else self._targets
        found = self._run(first[: self._chunk_size])
        self._predicts = self._head is not None
        if self._head is not None:
            ends = self._head, found["outputs"], found["logits"]
            if callable(self.score):
                one_number = self._head.activation == scores.LINEAR and ends[1].shape[1] == 1
                self._predicts = not one_number and scores.agrees(*ends, "logit")
            else:
                scores.check_head(*ends, self.score)

    def _checked_targets(self, targets: Array) -> Array:
        if (targets < 0).any():
            raise ValueError(
                "targets: expected a class per probe, since this model's outputs give no "
                "prediction to fix instead. Give targets to the ProbeSet."
            )
        if self._head is not None and not callable(self.score):
            units = self._head.outputs.shape[1]
            classes = 2 if units == 1 else units
            if classes is not None and targets.max() >= classes:
                raise ValueError(
                    f"targets: expected class indices 0..{classes - 1} (the model has {units} "
                    f"output unit{'s' if units > 1 else ''}), received {targets.max()} for probe "
                    f"{targets.argmax()}."
                )
        return targets

    def _run(self, targets: Array) -> dict[str, Array]:
        """Runs the function on the first `len(targets)` probes, chunk by chunk."""
        size, total = self._chunk_size, len(targets)
        chunks = []
        with self._written.kept():
            for start in range(0, total, size):
                index = np.minimum(np.arange(start, start + size), total - 1)  # pads with the last
                images = tf.constant(self.probes.images[index])
                results = self._explain(images, tf.constant(targets[index], tf.int32))
                chunks.append({name: result.numpy() for name, result in results.items()})
        return {
            name: np.concatenate([chunk[name] for chunk in chunks])[:total] for name in chunks[0]
        }


def check_method_and_score(method: str, score: Score) -> None:
    """Checks the two without a model.

    Raises:
        TypeError: `method` is no string; `score` is neither a string nor callable.
        ValueError: An unknown name.
    """
    check_choice("method", method, attributions.METHODS)
    if not callable(score):
        check_choice("score", score, scores.SCORES)
