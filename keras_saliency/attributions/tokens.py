"""Tokens of vision transformers as maps: on their grid, without those that have no place.

Attention weights are not used: they say what a layer reads, not what the score depends on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_saliency.attributions.differentiation import LayerCall, ModelScore, cuts, upstream
from keras_saliency.attributions.heads import Tensor
from keras_saliency.attributions.places import Places, carried, is_map, is_tokens


class TokenPlaces:
    """Where the outputs of a model's layers lie in the image, and which of them are read.

    A layer is read if the score depends on its tokens with a place. If a model has a class token,
    the head reads that token alone, so the last layers are not read.

    Args:
        score_fn: A model's score.
        inputs: Images, `(batch, height, width, channels)`.
    """

    def __init__(self, score_fn: ModelScore, inputs: Tensor) -> None:
        self._batch = int(inputs.shape[0])
        operations = score_fn.between(inputs)
        self._places = _places(operations, inputs)
        self._mixing, self._readers = _readers(operations, self._places)

    def of_tokens(self, output: Tensor) -> Places | None:
        """The places of an output `(batch, tokens, channels)`; `None` if it is not one.

        Also `None` if its places are unknown, or if there is only one.
        """
        places = self._places.get(output.ref())
        if places is None or not is_tokens(places, tuple(output.shape), self._batch):
            return None
        return places if places.height * places.width > 1 else None

    def may_be_map(self, output: Tensor, *, is_certain: bool = False) -> bool:
        """Whether an output `(batch, ..., ..., ...)` can be a map, as far as its places are known.

        The queries of attention, `(batch, tokens, heads, channels)`, are not.

        Args:
            output: The output.
            is_certain: What to return if the places are unknown is `False` then.
        """
        places = self._places.get(output.ref())
        if places is None:
            return not is_certain
        return is_map(places, tuple(output.shape), self._batch)

    def is_read(self, output: Tensor) -> bool:
        """Whether the score depends on tokens with a place, from this output on."""
        return bool(self._readers.get(output.ref()))

    def collects(self, output: Tensor) -> bool:
        """Whether all that is read of the image's places later is read from this output.

        The normalized tokens before attention are such an output. The values of attention are not,
        since its keys are read as well.
        """
        before = upstream(output.op)
        later = {mixing for mixing in self._mixing if mixing not in before}
        return self.is_read(output) and later <= self._readers[output.ref()]


def on_grid(values: Tensor, places: Places) -> Tensor:
    """Tokens `(batch, tokens, channels)` as `(batch, height, width, channels)`."""
    size = places.height * places.width
    tokens = values[:, places.first : places.first + size]
    return tf.reshape(tokens, [-1, places.height, places.width, values.shape[-1]])


def on_given_grid(call: LayerCall, grid: Sequence[int], known: Places | None) -> Places:
    """The places of a layer's tokens, with the grid that the user gives.

    Tokens that are more than the grid has are before it.

    Raises:
        TypeError: `grid` is not two positive integers.
        ValueError: The grid has more places than there are tokens, or the graph shows another.
    """
    is_pair = isinstance(grid, tuple | list) and len(grid) == 2
    if not is_pair or not all(type(size) is int and size > 0 for size in grid):
        raise TypeError(
            f"grid: expected (height, width) as two positive integers, received {grid!r}."
        )
    height, width = grid
    batch, count, _ = call.output.shape
    if height * width > count:
        raise ValueError(
            f"grid: expected a grid of at most {count} places, the tokens of the layer "
            f"{call.path!r}, received {tuple(grid)}."
        )
    if known is not None and (known.height, known.width) != tuple(grid):
        raise ValueError(
            f"grid: expected {(known.height, known.width)}, which is what the graph shows for the "
            f"layer {call.path!r}, received {tuple(grid)}. Leave grid out."
        )
    return known or Places(batch, height, width, count - height * width, count)


def _places(operations: Sequence[Any], inputs: Tensor) -> dict[Any, Places]:
    """The places of all tensors between the inputs and the scores of which they are known.

    The scores of attention have two axes of tokens, queries and keys. The first counts.
    """
    batch, height, width, _ = inputs.shape
    found = {inputs.ref(): Places(batch, height, width, 0, height * width)}
    for operation in operations:
        known = [(index, found.get(source.ref())) for index, source in enumerate(operation.inputs)]
        for output in operation.outputs:
            after = {carried(operation, index, output, places) for index, places in known if places}
            places = {each for each in after if each is not None and each.height}
            first = [each for each in places if each.lead == min(one.lead for one in places)]
            if len(first) == 1:
                found[output.ref()] = first[0]
    return found


def _readers(
    operations: Sequence[Any], places: Mapping[Any, Places]
) -> tuple[set[Any], dict[Any, set[Any]]]:
    """The operations that mix places; and for each tensor those that read it, token by token."""
    readers: dict[Any, set[Any]] = {}
    mixing: set[Any] = set()
    between = {*operations}
    for operation in reversed(operations):
        used = [each for each in operation.outputs if between & {*each.consumers()}]
        used = used or operation.outputs[:1]  # the scores
        if cuts(operation) or not used[0].dtype.is_floating:
            continue
        for index, source in enumerate(operation.inputs):
            before = places.get(source.ref())
            if before is None:
                continue
            found = readers.setdefault(source.ref(), set())
            for output in used:
                after = carried(operation, index, output, before)
                if after is None or (after.height and places.get(output.ref()) != after):
                    found.add(operation)
                    mixing.add(operation)
                elif after.height:
                    found |= readers.get(output.ref(), set())
    return mixing, readers
