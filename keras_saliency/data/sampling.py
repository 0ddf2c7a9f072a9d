"""Draws labelled images from any data set that Keras can train on."""

from __future__ import annotations

import hashlib
import heapq
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_saliency.data.datasets import Batch
from keras_saliency.data.elements import Name
from keras_saliency.data.inputs import AssumedKind, map_axes
from keras_saliency.data.labels import (
    VOID,
    LabelReader,
    NotClassesError,
    are_numbers,
    is_class_row,
    is_one_hot,
    is_void,
    may_have_void,
)
from keras_saliency.data.pipelines import MOST_ELEMENTS, MOST_IMAGES
from keras_saliency.data.reports import Array

MIN_PER_CLASS = 4
"""At least as many probes are drawn of a class, if it has them, unless fewer were asked for."""

MANY = 20
"""At least so many whole numbers may be no classes."""

NUMBERS = (
    " If the labels are numbers to predict, such as counts, this does not matter: a model of one "
    "output with a loss such as 'mse' is explained without classes."
)
"""What is added to remarks about many classes without names."""

NO_CLASS = -1
"""Stands for the class of inputs without one."""

_ABOUT = 128
_MOST_BY_DEFAULT = 32
_SECONDS_BETWEEN_LINES = 10.0


class Example(NamedTuple):
    """One image that was drawn.

    Attributes:
        position: Its position in the pass over the data set.
        image: The input to explain.
        held: The other inputs.
        extras: The values of the keys that were asked for.
        mask: For label images: where the pixels of the class are.
    """

    position: int
    image: Array
    held: dict[str | int, Array]
    extras: dict[str, Array]
    mask: Array | None

    def copied(self) -> Example:
        """A copy that does not keep the batch in memory."""
        held = {name: np.array(values) for name, values in self.held.items()}
        extras = {key: np.array(values) for key, values in self.extras.items()}
        mask = None if self.mask is None else np.array(self.mask)
        return Example(self.position, np.array(self.image), held, extras, mask)


class Drawn(NamedTuple):
    """What a draw returns.

    Attributes:
        examples: The examples that were drawn, by class.
        classes: All classes that occur, also those that were not drawn.
        num_read: The number of images that were read.
        per_class: The largest number of examples of a class.
        input_name: The name of the explained input, if the data set names it.
        is_cut: Whether reading stopped before the end of the data set.
        explains_all: Whether there are several inputs, and none was named.
        no_classes: Why there are no classes; empty if there are, or if there are no labels.
        has_mixed: Whether labels mix classes, so that the largest shares were taken.
        has_numbers: Whether labels are numbers to predict.
        outputs: The outputs that there are labels of, as in `Batch`.
    """

    examples: dict[Any, list[Example]]
    classes: set[Any]
    num_read: int
    per_class: int
    input_name: Name
    is_cut: bool
    explains_all: bool = False
    no_classes: str = ""
    has_mixed: bool = False
    has_numbers: bool = False
    outputs: tuple[str | int, ...] = ()


class Plan(NamedTuple):
    """How many images to draw: `per_class` of each of `num_classes` classes."""

    per_class: int
    num_classes: int


def plan(num_classes: int, per_class: int | None, max_probes: int) -> Plan:
    """How many images of how many classes to draw, not more than `max_probes` in total.

    If there would be more, fewer of each class are drawn, down to `MIN_PER_CLASS`, and then fewer
    classes. With more classes, `per_class` never becomes larger.

    Args:
        num_classes: The number of classes that occur.
        per_class: The number of images per class that was asked for. `None`: about 128 in total,
            from 4 to 32 per class.
        max_probes: The largest number of images in total.

    Example:
        >>> plan(2, None, 512), plan(1000, None, 512)
        (Plan(per_class=32, num_classes=2), Plan(per_class=4, num_classes=128))
        >>> plan(20, 32, 512)
        Plan(per_class=25, num_classes=20)
    """
    wanted = per_class or max(MIN_PER_CLASS, min(_MOST_BY_DEFAULT, _ABOUT // num_classes))
    if wanted * num_classes > max_probes:
        wanted = min(wanted, max(MIN_PER_CLASS, max_probes // num_classes), max_probes)
    return Plan(wanted, min(num_classes, max_probes // wanted))


def remarks(
    drawn: Drawn,
    per_class: int | None,
    max_probes: int,
    seed: int,
    *,
    has_names: bool,
    noun: str = "images",
) -> Iterator[str]:
    """What the user of a draw should know, one line each.

    Args:
        drawn: The draw.
        per_class: As in `draw`.
        max_probes: As in `draw`.
        seed: As in `draw`.
        has_names: Whether the user named the classes.
        noun: What was drawn: `"images"` or `"inputs"`.
    """
    if drawn.is_cut:
        yield (
            f"dataset: read {drawn.num_read:,} {noun} and stopped, as the data set does not tell "
            "where it ends. Pass dataset.take(n), or itertools.islice(generator, n), to say how "
            "much of it to read."
        )
    if drawn.outputs:
        first, other, *_ = drawn.outputs
        yield (
            f"there are labels of several outputs, {', '.join(map(repr, drawn.outputs))}: those of "
            f"{first!r} are taken, and this output is explained. For another one, pass "
            f"output={other!r}."
        )
    if drawn.no_classes:
        yield (
            "the probes have no targets, so that the outputs are explained as they are (the "
            f"predicted class, or the mean if they are numbers): {drawn.no_classes}"
        )
        return
    if drawn.has_mixed:
        yield (
            "labels mix classes (as MixUp and CutMix do): the class with the largest share is "
            "taken. Better draw from the data set before the map that mixes."
        )
    if not has_names and any(isinstance(label, str) for label in drawn.classes):
        yield (
            "labels are text: classes are numbered in the order of their names. If the model "
            "numbers them in another order, pass class_names= in that order."
        )
    counts = {label: len(chosen) for label, chosen in drawn.examples.items()}
    if NO_CLASS in counts:
        return
    is_named = has_names or any(isinstance(label, str) for label in drawn.classes)
    numbers = "" if is_named or len(drawn.classes) < MANY else NUMBERS
    if len(counts) < len(drawn.classes):
        yield (
            f"{len(drawn.classes)} classes: {len(counts)} of them were drawn by seed {seed}; pass "
            f"max_probes= for more (now {max_probes}).{numbers}"
        )
    if per_class is not None and max(counts.values()) == drawn.per_class < per_class:
        yield (
            f"per_class={per_class}: {drawn.per_class} of each class were drawn, as "
            f"{len(drawn.classes)} classes would be more than max_probes={max_probes}."
        )
    wanted = min(per_class or MIN_PER_CLASS, drawn.per_class)
    short = [f"class {label} ({count})" for label, count in counts.items() if count < wanted]
    if short:
        more = f" and {len(short) - 10} more" if len(short) > 10 else ""
        yield (
            f"per_class={wanted}: found fewer different {noun} for {', '.join(short[:10])}{more}."
            f"{numbers}"
        )


class Progress:
    """Prints a line to stderr when reading takes long: every ten seconds.

    Args:
        ending: What to add to each line.
        clock: Returns the time in seconds.
    """

    def __init__(self, ending: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._ending = ending
        self._clock = clock
        self._last = clock()

    def update(self, num_read: int) -> None:
        """Prints the number of images that were read, unless that was done a short time ago."""
        now = self._clock()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            print(
                f"saliency: reading the data set for probes: {num_read:,} images so far"
                f"{self._ending}",
                file=sys.stderr,
                flush=True,
            )


class _Heaps:
    """The examples of each class with the smallest hashes, of the classes with the smallest."""

    def __init__(self, key: bytes, per_class: int | None, max_probes: int) -> None:
        self.classes: set[Any] = set()
        self.plan = plan(1, per_class, max_probes)
        self._key = key
        self._per_class = per_class
        self._max_probes = max_probes
        self._heaps: dict[Any, list[tuple[int, Example]]] = {}

    def add(self, label: Any, rank: int, example: Example) -> None:
        """Adds an example, if its rank is among the largest of the class."""
        if label not in self.classes:
            self.adopt(label, [])
        heap = self._heaps.get(label)
        if heap is None or any(rank == other for other, _ in heap):
            return
        if len(heap) < self.plan.per_class:
            heapq.heappush(heap, (rank, example.copied()))
        elif rank > heap[0][0]:
            heapq.heapreplace(heap, (rank, example.copied()))

    def adopt(self, label: Any, heap: list[tuple[int, Example]]) -> None:
        """Adds a new class. More classes mean fewer examples of each, and at last fewer classes."""
        self.classes.add(label)
        self._heaps[label] = heap
        self.plan = plan(len(self.classes), self._per_class, self._max_probes)
        while len(self._heaps) > self.plan.num_classes:
            del self._heaps[max(self._heaps, key=self._class_rank)]
        for other in self._heaps.values():
            while len(other) > self.plan.per_class:
                heapq.heappop(other)

    def forget_classes(self) -> None:
        """Puts all examples into one heap: what looked like classes were numbers."""
        known = [item for heap in self._heaps.values() for item in heap]
        self.classes, self._heaps = set(), {}
        for rank, example in known:
            self.add(NO_CLASS, rank, example)

    def heap(self, label: Any) -> list[tuple[int, Example]]:
        return self._heaps.get(label, [])

    def examples(self) -> dict[Any, list[Example]]:
        """By class, in the order of the hashes."""
        return {
            label: [example for _, example in sorted(heap, key=lambda item: -item[0])]
            for label, heap in sorted(self._heaps.items())
        }

    def _class_rank(self, label: Any) -> bytes:
        text = f"class {label}".encode()
        return hashlib.blake2b(text, digest_size=8, key=self._key).digest()


def draw(
    batches: Iterable[Batch],
    *,
    per_class: int | None,
    max_probes: int,
    seed: int,
    kind: str,
    progress: Progress,
    may_be_endless: bool = False,
    num_classes: int | None = None,
) -> Drawn:
    """The images of each class with the smallest keyed hash: a draw that ignores the order.

    Equal images of a class count once; the first is drawn. If all of several inputs are explained,
    all of them have to be equal. Of a label image, each class that occurs
    may draw the image. At no time are more than `max_probes` images kept (and as many of one class
    more, until it is known whether 255 is a class of label images).

    Args:
        batches: What a `Reader` reads.
        per_class: The number of images per class; `None` for about 128 in total.
        max_probes: The largest number of images in total.
        seed: The key of the hash, of images and of classes.
        kind: The kind of input, a key of `KINDS`.
        progress: Is told how many images were read.
        may_be_endless: Whether to stop at `MOST_IMAGES` or `MOST_ELEMENTS`.
        num_classes: The number of classes, if it is known.

    Raises:
        TypeError: The labels are not numbers.
        ValueError: The labels are not classes.
    """
    key = seed.to_bytes(16, "little", signed=True)
    heaps, void = _Heaps(key, per_class, max_probes), _Heaps(key, per_class, max_probes)
    num_read, input_name, is_cut, explains_all, no_classes = 0, None, False, False, ""
    has_numbers = False
    outputs: tuple[str | int, ...] = ()
    labels = LabelReader("dataset")
    for number, batch in enumerate(batches, 1):
        input_name, explains_all, outputs = batch.input_name, batch.explains_all, batch.outputs
        has_none = NO_CLASS in heaps.classes
        found, why = _classes(batch, labels, kind, num_classes, has_none=has_none)
        if why and not no_classes:
            heaps.forget_classes()
            no_classes = why
        if no_classes and batch.labels is not None and not has_numbers:
            has_numbers = are_numbers(batch.labels)
        for index, classes in enumerate(found):
            image = batch.images[index]
            others = batch.held.values() if explains_all else ()
            digest = hashlib.blake2b(_bytes(image), digest_size=8, key=key)
            for values in others:
                digest.update(_bytes(values[index]))
            rank = -int.from_bytes(digest.digest(), "big")
            for label, mask in classes:
                example = Example(
                    num_read,
                    image,
                    {name: values[index] for name, values in batch.held.items()},
                    {name: values[index] for name, values in batch.extras.items()},
                    mask,
                )
                is_doubtful = (
                    label == VOID and mask is not None and may_have_void(np.asarray(batch.labels))
                )
                (void if is_doubtful else heaps).add(label, rank, example)
            num_read += 1
            progress.update(num_read)
        if may_be_endless and (num_read >= MOST_IMAGES or number >= MOST_ELEMENTS):
            is_cut = True
            break
    if void.classes and not is_void(heaps.classes):
        heaps.adopt(VOID, void.heap(VOID))
    elif void.classes and heaps.classes <= {0}:
        raise ValueError(
            "dataset: expected label images of class indices, received the values 0 and 255 only. "
            "255 marks pixels without a class. If it is the class 1, map it to 1: "
            "dataset.map(lambda x, y: (x, y // 255))."
        )
    return Drawn(
        heaps.examples(),
        heaps.classes,
        num_read,
        heaps.plan.per_class,
        input_name,
        is_cut,
        explains_all,
        no_classes,
        labels.has_mixed,
        has_numbers,
        outputs,
    )


def _bytes(values: Any) -> bytes:
    """The bytes of a row of an input; of texts as objects, those of their characters."""
    array = np.asarray(values)
    return array.tobytes() if array.dtype != object else repr(array.tolist()).encode()


def _classes(
    batch: Batch, reader: LabelReader, kind: str, num_classes: int | None, *, has_none: bool
) -> tuple[Iterable[list[tuple[Any, Array | None]]], str]:
    """For each image, its classes; for label images with a mask each.

    Args:
        batch: Images and labels.
        reader: Reads the labels.
        kind: A key of `KINDS`.
        num_classes: The number of classes, if it is known.
        has_none: Whether an earlier batch has shown that there are no classes.

    Returns:
        The classes, and why there are none: the labels are something else.
    """
    unlabelled: list[list[tuple[Any, Array | None]]] = [[(NO_CLASS, None)]] * len(batch.images)
    if batch.labels is None or has_none:
        return unlabelled, batch.reason
    shape = batch.images.shape[: 1 + len(map_axes(kind))]
    if kind != "tokens" and not batch.explains_all and _is_like_inputs(batch):
        if not np.array_equal(batch.labels, batch.images):
            return unlabelled, _not_classes(batch.labels)
        return unlabelled, (
            "the labels are the inputs themselves, as of an autoencoder. For the error of the "
            "reconstruction, pass score= to the callback, a callable (outputs, targets, inputs) -> "
            "(num_probes,)."
        )
    if _are_of_steps(batch, kind, len(shape), num_classes):
        what = "are classes for each position. "
        if batch.labels.ndim == 2:
            what = (
                "may be classes 0 and 1 for each position, or several classes for each input. If "
                f"they are the latter, pass class_names= with {batch.labels.shape[1]} names. "
            )
        return unlabelled, (
            f"the labels, of shape {batch.labels.shape}, {what}To explain one position, pass "
            "score=ks.Score(position=...) to the callback."
        )
    try:
        if batch.explains_all or not _has_label_images(batch, shape):
            lists = reader.class_lists(batch.labels, len(batch.images))
            return [[(label, None) for label in labels] for labels in lists], ""
        images = reader.label_images(batch.labels, shape)
    except (TypeError, ValueError) as error:
        if not isinstance(error, NotClassesError) and not batch.outputs:
            raise
        if isinstance(error, NotClassesError):
            return unlabelled, _not_classes(np.asarray(batch.labels))
        return unlabelled, str(error).removeprefix("dataset: ")
    return ([(int(label), image == label) for label in np.unique(image)] for image in images), ""


def _are_of_steps(batch: Batch, kind: str, rank: int, num_classes: int | None) -> bool:
    """Whether the labels are classes of each step or token, one-hot or as indices 0 and 1.

    Rows of zeros and ones may also say which of several classes an input has: they do if there is
    a column for each class.

    Args:
        batch: Inputs and labels.
        kind: A key of `KINDS`.
        rank: Of a batch of maps.
        num_classes: The number of classes, if it is known.
    """
    labels = np.asarray(batch.labels)
    has_steps = kind in ("tokens", "series") or (isinstance(kind, AssumedKind) and rank == 3)
    if not has_steps or batch.explains_all or labels.shape[:2] != batch.images.shape[:2]:
        return False
    if labels.ndim == 2:
        is_binary = bool(np.isin(labels, (0, 1)).all())
        return is_binary and labels.shape[1] not in (1, num_classes) and not is_one_hot(labels)
    return labels.ndim == rank == 3 and isinstance(kind, AssumedKind) and is_one_hot(labels)


def _not_classes(labels: Array) -> str:
    """Why labels `(batch, ...)` are not taken for classes: what they are."""
    each = f"of dtype {labels.dtype}, each of shape {labels.shape[1:]},"
    if labels.ndim <= 2 and labels.size == len(labels):
        is_whole = np.isfinite(labels) & (np.floor(labels) == labels)
        example = float(labels[~is_whole].flat[0])
        each = f"numbers such as {example:.4g}, of dtype {labels.dtype},"
    return f"the labels, {each} are not one class for each input."


def _is_like_inputs(batch: Batch) -> bool:
    """Whether the labels are the inputs, or numbers that look like them."""
    labels = batch.labels
    is_like = labels is not None and labels.ndim > 1 and labels.shape == batch.images.shape
    if labels is None or not is_like or labels.dtype.kind not in "biuf":
        return False
    if labels.ndim == 2 and all(is_class_row(row) for row in labels):
        return False
    is_whole = labels.dtype.kind != "f" or bool((np.floor(labels) == labels).all())
    return not is_whole or np.array_equal(labels, batch.images)


def _has_label_images(batch: Batch, shape: tuple[int, ...]) -> bool:
    """Whether the labels have the places of an image as axes: two at least."""
    return batch.labels is not None and batch.labels.ndim >= len(shape) > 2
