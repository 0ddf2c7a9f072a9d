"""`Asker`: asks the model about counterfactual images, and only about what is not known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_saliency.data.placed_edits import Describe, Description, PlacedEdit
from keras_saliency.data.reports import Array
from keras_saliency.detection.pairs import Pairs
from keras_saliency.detection.swaps import Answer, Answers, BuiltInEdit, ByIndex, Images, PairEdit


class Asker:
    """Makes counterfactual images, chunk by chunk, and asks the model about them.

    Args:
        images: `(num_probes, height, width, channels)`, or inputs of another kind.
        scores: `(num_probes,)`, the targets' scores now.
        answer: Asks the model; it gets at most `chunk_size` images.
        chunk_size: Bounds the memory.
        by_score: Whether scores are needed; otherwise, predictions are.
        predictions: `(num_probes,)`, the classes predicted for the probes as they are. With them,
            the model is not asked about counterfactual images that equal a probe.
        by_index: Makes the images of built-in edits where the model runs, and asks it.

    Attributes:
        passes: The number of images that the model was asked about.
    """

    def __init__(
        self,
        images: Array,
        scores: Array,
        answer: Answer,
        chunk_size: int,
        by_score: bool,
        predictions: Array | None,
        by_index: ByIndex | None = None,
    ) -> None:
        self._images, self._scores, self._predictions = images, scores, predictions
        self._answer, self._chunk_size, self._by_score = answer, chunk_size, by_score
        self._by_index = by_index
        self.passes = 0
        self._describe: Describe | None = None  # whose descriptions are kept
        self._descriptions: dict[int, Description] = {}  # by probe

    def run(self, edit: PairEdit, pairs: Pairs) -> Answers:
        """The model's answers to the images that an edit makes of these pairs."""
        shape = pairs.same.shape
        recipients = np.tile(pairs.recipients.repeat(shape[1]), 2)
        donors = np.concatenate([pairs.same.ravel(), pairs.other.ravel()])
        by_index = self._by_index
        if by_index and isinstance(edit, BuiltInEdit) and by_index.makes(edit.placed):
            predictions, scores = self._by_indices(by_index, edit.placed, recipients, donors)
        else:
            predictions, scores = self._by_images(edit, recipients, donors)
        (same, other), (same_scores, other_scores) = (
            values.reshape(2, *shape) for values in (predictions, scores)
        )
        return Answers(same, other, same_scores, other_scores)

    def _by_indices(
        self, by_index: ByIndex, edit: PlacedEdit, recipients: Array, donors: Array
    ) -> tuple[Array, Array]:
        """The answers to all pairs, whose images the model makes itself."""
        probes = self._known_probes(recipients, donors)
        is_same = by_index.equal(edit, recipients, donors) if probes else {}
        predictions, scores, is_open = self._looked_up(len(donors), probes, is_same)
        if is_open.any():
            asked = by_index.by_index(edit, recipients[is_open], donors[is_open])
            predictions[is_open], scores[is_open] = asked
            self.passes += int(is_open.sum())
        return predictions, scores

    def _by_images(self, edit: PairEdit, recipients: Array, donors: Array) -> tuple[Array, Array]:
        """The answers to all pairs, whose images are made chunk by chunk."""
        predictions, scores = np.full(len(donors), -1), np.full(len(donors), np.nan)
        rows = np.empty(0, np.int64)  # of the images that wait for a full chunk
        images = np.empty((0, *self._images.shape[1:]), self._images.dtype)
        for start in range(0, len(donors), self._chunk_size):
            part = np.arange(start, min(start + self._chunk_size, len(donors)))
            made = self.made(edit, recipients[part], donors[part])
            probes = self._known_probes(recipients[part], donors[part])
            is_same = {
                name: (made == self._images[index]).all(axis=tuple(range(1, made.ndim)))
                for name, index in probes.items()
            }
            predictions[part], scores[part], is_open = self._looked_up(len(part), probes, is_same)
            rows = np.concatenate([rows, part[is_open]])
            images = np.concatenate([images, made[is_open]])
            while len(rows) >= self._chunk_size or (len(rows) and part[-1] + 1 == len(donors)):
                now, later = slice(self._chunk_size), slice(self._chunk_size, None)
                asked = self._answer(images[now], recipients[rows[now]])
                predictions[rows[now]], scores[rows[now]] = asked
                self.passes += len(rows[now])
                rows, images = rows[later], images[later]
        return predictions, scores

    def made(self, edit: PairEdit, recipients: Array, donors: Array) -> Array:
        """The counterfactual images of these probes, pair by pair."""
        return edit(
            *(Images(self._images[one], one, self._described) for one in (recipients, donors))
        )

    def _known_probes(self, recipients: Array, donors: Array) -> dict[str, Array]:
        """Those probes of each pair whose answers are known.

        A score is that of one target, so that the score of a donor's image is not known.
        """
        if self._predictions is None:
            return {}
        return {"recipients": recipients} | ({} if self._by_score else {"donors": donors})

    def _looked_up(
        self, count: int, probes: Mapping[str, Array], is_same: Mapping[str, Array]
    ) -> tuple[Array, Array, Array]:
        """What is known of images that equal probes, and which images are open.

        Args:
            count: The number of images.
            probes: Probes that the images may equal, `(count,)` each.
            is_same: Whether they do, bool `(count,)` each.
        """
        predictions, scores = np.full(count, -1), np.full(count, np.nan)
        is_open = np.ones(count, bool)
        for name, index in probes.items():
            known = is_open & is_same[name]
            if self._predictions is not None:
                predictions[known] = self._predictions[index[known]]
            scores[known] = self._scores[index[known]]
            is_open &= ~known
        return predictions, scores, is_open

    def _described(self, describe: Describe, indices: Array) -> Description:
        """The descriptions of these probes, each of which is made once and kept for the test."""
        if describe is not self._describe:
            self._describe, self._descriptions = describe, {}
        missing = sorted({*indices.tolist()} - self._descriptions.keys())
        if missing:
            parts = describe(self._images[missing])
            for row, index in enumerate(missing):
                self._descriptions[index] = tuple(part[row : row + 1] for part in parts)
        rows = [self._descriptions[index] for index in indices.tolist()]
        return tuple(np.concatenate(part) for part in zip(*rows, strict=True))
