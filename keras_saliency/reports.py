"""`SaliencyReport`: the frozen record of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class SaliencyReport:
    """What one evaluation of a probe set found. All arrays are read-only.

    Attributes:
        step: When: Keras' 0-based epoch, -1 for the state before the first batch, or whatever
            a custom training loop counts.
        maps: `(num_probes, height, width)`, non-negative saliency maps on the raw scale of the
            attribution; `nan` where the gradient is.
        targets: `(num_probes,)` int, the class explained for each probe.
        predictions: `(num_probes,)` int, the class predicted now; -1 where that can't be told:
            the model's output is not one score per class; its logits are not finite; or, with a
            `score` of one's own, it may be something else than logits or probabilities.
        confidences: `(num_probes,)` in 0..1, the probability of the predicted class; `nan`
            where `predictions` is -1.
        scores: `(num_probes,)`, the scalar that was differentiated.
        gradient_norms: `(num_probes,)`, the L2 norm of each probe's attribution (of the gradient
            itself for `method="gradient"`): the magnitude that a map scaled for display lacks.
        statistics: Named numbers computed from the above; `nan` where undefined. See
            `keras_saliency.statistics`.
    """

    step: int
    maps: Array
    targets: Array
    predictions: Array
    confidences: Array
    scores: Array
    gradient_norms: Array
    statistics: Mapping[str, float]

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
