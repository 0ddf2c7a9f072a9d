"""`Evaluation`: what a run remembers of one evaluation, which is all but the maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.data.read_only import freeze, restore
from keras_saliency.data.reports import Array, InterventionResults, SaliencyReport, Verdict
from keras_saliency.data.serialization import array_hash, from_json, put, to_json
from keras_saliency.metrics.catalog import Reference

_ARRAYS = ("predictions", "scores", "reference", "other_references")
_LEFT_OUT = ("examples",)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a run remembers of one evaluation.

    Attributes:
        step: As in `SaliencyReport`.
        shape: Of the maps.
        maps_hash: Of the maps.
        predictions: As in `SaliencyReport`.
        scores: As in `SaliencyReport`.
        reference: What the maps of later evaluations are compared with.
        other_references: As `reference`, for the maps of each other input, by name.
        metrics: As in `SaliencyReport`.
        interventions: As in `SaliencyReport`.
        verdicts: As in `SaliencyReport`.
    """

    step: int
    shape: tuple[int, ...]
    maps_hash: str
    predictions: Array
    scores: Array
    reference: Reference
    other_references: Mapping[str, Reference] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    interventions: InterventionResults | None = None
    verdicts: tuple[Verdict, ...] = ()

    def __post_init__(self) -> None:
        freeze(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled or copied evaluation, read-only as before."""
        restore(self, state)

    @classmethod
    def of(
        cls, report: SaliencyReport, reference: Reference, others: Mapping[str, Reference]
    ) -> Evaluation:
        """What is remembered of a report.

        Args:
            report: The report.
            reference: Of its maps.
            others: Of the maps of other inputs, by name.
        """
        return cls(
            step=report.step,
            shape=report.maps.shape,
            maps_hash=_maps_hash(report),
            predictions=report.predictions,
            scores=report.scores,
            reference=reference,
            other_references=others,
            metrics=report.metrics,
            interventions=report.interventions,
            verdicts=report.verdicts,
        )

    def tested(self, report: SaliencyReport) -> Evaluation:
        """The same evaluation with the findings of its report."""
        return dataclasses.replace(
            self,
            metrics=report.metrics,
            interventions=report.interventions,
            verdicts=report.verdicts,
        )

    def is_same_state(self, report: SaliencyReport) -> bool:
        """Whether a report has the same scores, predictions and maps."""
        pairs = ((self.scores, report.scores), (self.predictions, report.predictions))
        return all(np.array_equal(*pair, equal_nan=True) for pair in pairs) and (
            self.maps_hash == _maps_hash(report)
        )

    def resembles(self, report: SaliencyReport) -> bool:
        """Whether a report may be of the same weights, perhaps on another machine.

        Scores may differ by 1 % of the largest one.
        """
        finite = np.abs(self.scores[np.isfinite(self.scores)])
        most = 0.01 * float(finite.max(initial=0.0))
        return self.scores.shape == report.scores.shape and bool(
            np.isclose(self.scores, report.scores, rtol=0.01, atol=most, equal_nan=True).all()
        )

    def to_json(self, arrays: dict[str, Array]) -> dict[str, Any]:
        """The evaluation as values that JSON can hold.

        Args:
            arrays: Gets the arrays that these values name by their hashes.
        """
        others = self.other_references.items()
        return {
            **to_json(self, leave_out=(*_ARRAYS, *_LEFT_OUT)),
            "predictions": put(self.predictions, arrays),
            "scores": put(self.scores, arrays),
            **_row_of(self.reference, arrays),
            "other_inputs": {name: _row_of(reference, arrays) for name, reference in others},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any], arrays: Mapping[str, Array]) -> Evaluation:
        """The evaluation that `to_json` returned.

        Raises:
            KeyError: A value or an array is missing.
        """
        others = row.get("other_inputs", {}).items()
        return from_json(
            cls,
            row,
            predictions=arrays[row["predictions"]],
            scores=arrays[row["scores"]],
            reference=_reference_in(row, arrays),
            other_references={name: _reference_in(inner, arrays) for name, inner in others},
        )


def _row_of(reference: Reference, arrays: dict[str, Array]) -> dict[str, Any]:
    """What maps are compared with as values for JSON; puts the arrays among `arrays`."""
    enrichments = reference.enrichments.items()
    return {
        "ranks": put(reference.ranks, arrays),
        "enrichments": {name: put(values, arrays) for name, values in enrichments},
    }


def _reference_in(row: Mapping[str, Any], arrays: Mapping[str, Array]) -> Reference:
    """What `_row_of` has put into a row."""
    enrichments = {name: arrays[key] for name, key in row["enrichments"].items()}
    return Reference(arrays[row["ranks"]], enrichments)


def _maps_hash(report: SaliencyReport) -> str:
    """The hash of a report's maps; not that of an array that is kept, so with a prefix."""
    return f"maps {array_hash(report.maps)}"
