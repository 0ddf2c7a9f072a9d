"""`ProbeSet`: the fixed inputs that are explained at every evaluation.

Throughout this module, images are `(num_probes, height, width, channels)`, on the scale that the
model is trained on; targets are `(num_probes,)` class indices; masks are bool, `True` on the
object. For other kinds of input, `images` has the axes of that kind, and masks and regions have the
shape of its saliency map; see `keras_saliency.data.inputs.KINDS`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.data.checks import check_choice, check_positive_int, check_seed, plain_int
from keras_saliency.data.inputs import KINDS, checked_held, checked_images, map_axes
from keras_saliency.data.read_only import freeze, restore
from keras_saliency.data.reports import Array
from keras_saliency.data.sampling import draw

MIN_PER_CLASS = 4
"""`from_dataset` without `per_class` warns if a class yields fewer probes than this."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class ProbeSet:
    """Labelled inputs that are explained repeatedly while a model trains.

    The constructor checks all arguments and copies them. After that, all arrays and mappings are
    read-only. Take the probes from the same source as the training data, preferably from the
    validation split: a tag that reveals the class can only be detected in images that contain it.
    To add masks or regions later, use `dataclasses.replace(probes, regions=...)`.

    Args:
        images: `(num_probes, height, width, channels)`, finite numbers, preprocessed as in
            training. Other kinds of input have the axes of their `kind`.
        targets: `(num_probes,)` integers, the class to explain for each probe, usually its label.
            `None`: the model's predictions at the first evaluation, which are then kept.
        masks: `(num_probes, height, width)` bool, where the object is.
        regions: Named places, such as a suspect tag or a border. Each is bool, `(height, width)`
            (the same for all probes) or `(num_probes, height, width)`. Stored with one mask per
            probe.
        groups: `(num_probes,)` integers or strings, one group label per probe, for worst-group
            metrics.
        class_names: A name for every class, in the order of the class indices.
        names: A unique name for every probe, used in TensorBoard tags. Default: the index, and the
            class if it is known.
        kind: The kind of input, a key of `keras_saliency.data.inputs.KINDS`.
        data_format: The layout of the model's input: `"channels_last"` or `"channels_first"`.
            `images` are channels last in both cases.
        held: For a model with several inputs: the inputs that are not explained and keep their
            values. A dict of `(num_probes, ...)` arrays. The keys are the model's names for these
            inputs (the dict keys if the model takes a dict), or positions if the model takes a
            list.
        input_name: For a model with several inputs: the name or position of the input that
            `images` contains.
        vocabulary: For tokens: the text of each token, in the order of the token ids.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has the wrong shape, length or values.

    Example:
        >>> import numpy as np
        >>> images = np.random.default_rng(0).random((2, 8, 8, 1))
        >>> probes = ProbeSet(images, [1, 0], class_names=["cat", "dog"])
        >>> probes.names
        ('000 dog', '001 cat')
    """

    images: Array
    targets: Array | None
    masks: Array | None
    regions: Mapping[str, Array]
    groups: Array | None
    class_names: tuple[str, ...] | None
    names: tuple[str, ...]
    kind: str
    data_format: str
    held: Mapping[str | int, Array]
    input_name: str | int | None
    vocabulary: tuple[str, ...] | None

    def __init__(
        self,
        images: ArrayLike,
        targets: ArrayLike | None = None,
        *,
        masks: ArrayLike | None = None,
        regions: Mapping[str, ArrayLike] | None = None,
        groups: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        kind: str = "image",
        data_format: str = "channels_last",
        held: Mapping[Any, ArrayLike] | None = None,
        input_name: str | int | None = None,
        vocabulary: Sequence[str] | None = None,
    ) -> None:
        input_name = plain_int(input_name)
        check_choice("kind", kind, KINDS)
        check_choice("data_format", data_format, ("channels_last", "channels_first"))
        pixels = checked_images(images, kind)
        shape = pixels.shape[: len(map_axes(kind)) + 1]
        classes = _checked_class_names(class_names)
        labels = _checked_targets(targets, len(pixels), classes)
        checked = {
            "images": pixels,
            "targets": labels,
            "masks": None if masks is None else _checked_mask("masks", masks, [shape]),
            "regions": _checked_regions({} if regions is None else regions, shape),
            "groups": _checked_groups(groups, len(pixels)),
            "class_names": classes,
            "names": _checked_names(names, labels, classes, len(pixels)),
            "kind": kind,
            "data_format": data_format,
            "held": checked_held(held, input_name, len(pixels)),
            "input_name": input_name,
            "vocabulary": _checked_vocabulary(vocabulary, kind),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        freeze(self)

    def __repr__(self) -> str:
        """The number and shape of the probes, and the fingerprint; never the values."""
        return f"ProbeSet({len(self)} probes of shape {self.images.shape[1:]}, {self.fingerprint})"

    def __deepcopy__(self, memo: dict[int, Any]) -> ProbeSet:
        """Returns the object itself: it cannot change, but copied arrays could."""
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores pickled probes, read-only as before."""
        restore(self, state)

    def __len__(self) -> int:
        """The number of probes."""
        return len(self.images)

    def class_name(self, index: int) -> str:
        """The name of a class, or its index as text if it has no name."""
        names = self.class_names or ()
        return names[index] if 0 <= index < len(names) else str(index)

    @property
    def map_shape(self) -> tuple[int, ...]:
        """The shape of the probes' saliency maps, `(num_probes, height, width)` for images."""
        shape: tuple[int, ...] = self.images.shape
        return shape[: len(map_axes(self.kind)) + 1]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change whenever images, targets or held inputs change.

        The shapes, the dtypes and the names of held inputs count, too. Masks, regions, groups and
        probe names do not.
        """
        arrays: list[tuple[Any, Array | None]] = [
            ("images", self.images),
            ("targets", self.targets),
            *((["held", name], self.held[name]) for name in sorted(self.held, key=str)),
        ]
        digest = hashlib.blake2b(digest_size=8)
        for label, array in arrays:
            if array is not None:
                header = json.dumps([label, str(array.dtype), array.shape])
                digest.update(f"{header}\n".encode())
                digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        per_class: int | None = None,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
        kind: str = "image",
        data_format: str = "channels_last",
        input_name: str | int | None = None,
    ) -> ProbeSet:
        """Draws the same number of probes of every class from a data set.

        The draw depends only on `seed` and on the images, not on their order. A data set that is
        shuffled anew in each pass gives the same probes. (One that augments at random does not:
        draw before the augmentation.) An image that occurs twice in a class is drawn once.
        The data set is read once.

        Args:
            dataset: A finite `tf.data.Dataset` of `(images, labels)`, batched or not; a tuple of
                arrays `(images, labels)`; or a `keras.utils.PyDataset`. Sample weights are
                ignored. Labels are class indices (whole-numbered floats and a trailing axis of
                length 1 are accepted) or one-hot rows.
            per_class: The number of probes per class. If a class has fewer images, all of them are
                used, with a warning. Default: about 128 probes in total, from 4 to 32 per class.
                With fewer than 8 per class, intervention tests detect little.
            seed: The seed of the draw, from 0 to 2**31 - 1.
            class_names: As in `ProbeSet`. Default: the data set's `class_names`, if it has them.
            kind: As in `ProbeSet`.
            data_format: As in `ProbeSet`; the images of the data set have the same format.
            input_name: The input to explain, if the data set yields several inputs in a dict or a
                tuple. The other inputs are held.

        Returns:
            Probes sorted by class.

        Raises:
            TypeError: The data set or its elements have an unsupported type.
            ValueError: The data set is empty or endless, or the labels are not classes.

        Example:
            >>> import numpy as np
            >>> images = np.random.default_rng(0).random((20, 8, 8, 1))
            >>> labels = np.arange(20) % 2
            >>> ProbeSet.from_dataset((images, labels), per_class=3).targets.tolist()
            [0, 0, 0, 1, 1, 1]
        """
        if per_class is not None:
            per_class = check_positive_int(
                "per_class", per_class, hint="Pass the number of probes per class."
            )
        seed, input_name = check_seed("seed", seed), plain_int(input_name)
        if class_names is None:
            class_names = getattr(dataset, "class_names", None)
        check_choice("kind", kind, KINDS)
        drawn = draw(
            dataset,
            lambda classes: per_class or _per_class(classes),
            seed,
            input_name=input_name,
            kind=kind,
        )
        if not drawn:
            raise ValueError("dataset: expected at least one batch, received an empty data set.")
        wanted = per_class or MIN_PER_CLASS
        short = {label: len(kept) for label, kept in sorted(drawn.items()) if len(kept) < wanted}
        if short:
            warnings.warn(
                f"per_class={wanted}: found fewer different images for "
                f"{', '.join(f'class {label} ({count})' for label, count in short.items())}.",
                stacklevel=2,
            )
        rows = [row for label in sorted(drawn) for row in drawn[label]]
        targets = [label for label in sorted(drawn) for _ in drawn[label]]
        inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        images = inputs.pop(input_name)
        if data_format == "channels_first":
            images = np.moveaxis(images, 1, -1)
        return cls(
            images,
            np.asarray(targets),
            class_names=class_names,
            kind=kind,
            data_format=data_format,
            held={name: values for name, values in inputs.items() if name is not None},
            input_name=input_name,
        )


def check_probes(probes: object) -> ProbeSet:
    """Returns the argument `probes`, which must be a `ProbeSet`.

    Raises:
        TypeError: `probes` is not a `ProbeSet`.
    """
    if not isinstance(probes, ProbeSet):
        raise TypeError(
            f"probes: expected a keras_saliency.ProbeSet, received {type(probes).__name__}. "
            "Make one with ProbeSet.from_dataset(dataset) or ProbeSet(images, targets)."
        )
    return probes


def _per_class(classes: int) -> int:
    """The number of probes per class that makes about 128 in total."""
    return max(MIN_PER_CLASS, min(32, 128 // classes))


class _DefaultNames(tuple[str, ...]):
    """Default names: `dataclasses.replace` makes new ones, to match new targets."""


def _checked_targets(
    targets: Any, num_probes: int, class_names: tuple[str, ...] | None
) -> Array | None:
    if targets is None:
        return None
    array = np.array(targets)
    if array.ndim == 2 and array.shape[1] > 1:
        raise ValueError(
            f"targets: expected class indices of shape ({num_probes},), received shape "
            f"{array.shape}. For one-hot rows, pass np.argmax(targets, axis=-1)."
        )
    if array.shape != (num_probes,):
        raise ValueError(
            f"targets: expected one class index per probe, shape ({num_probes},), received shape "
            f"{array.shape}."
        )
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"targets: expected integers, received dtype {array.dtype}. Class indices stored as "
            "floats can be passed as targets.astype(int)."
        )
    array = array.astype(np.int64)
    highest = None if class_names is None else len(class_names) - 1
    outside = (array < 0) | (array > (np.iinfo(np.int32).max if highest is None else highest))
    if outside.any():
        probe = int(np.flatnonzero(outside)[0])
        expected = (
            "0 or more"
            if highest is None
            else f"0..{highest} (there are {highest + 1} class_names)"
        )
        raise ValueError(
            f"targets: expected class indices {expected}, received {array[probe]} for probe "
            f"{probe}."
        )
    return array


def _checked_mask(argument: str, mask: Any, shapes: Sequence[tuple[int, ...]]) -> Array:
    array = np.array(mask)
    if array.dtype != np.bool_:
        raise TypeError(
            f"{argument}: expected dtype bool (True inside), received {array.dtype}. For "
            "example, pass mask > 0."
        )
    if array.shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"{argument}: expected shape {expected}, received {array.shape}.")
    return array


def _checked_regions(regions: Any, shape: tuple[int, ...]) -> Mapping[str, Array]:
    if not isinstance(regions, Mapping):
        raise TypeError(
            f"regions: expected a dict that maps names to masks, received {type(regions).__name__}."
        )
    checked = {}
    for name, mask in regions.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"regions: expected non-empty strings as names, received {name!r}.")
        array = _checked_mask(f"regions[{name!r}]", mask, [shape[1:], shape])
        if not array.any():
            raise ValueError(f"regions[{name!r}]: expected at least one pixel to be True.")
        array.setflags(write=False)
        checked[name] = np.broadcast_to(array, shape)
    return checked


def _checked_groups(groups: Any, num_probes: int) -> Array | None:
    if groups is None:
        return None
    array = np.array(groups)
    if array.dtype.kind not in "iuU":
        raise TypeError(f"groups: expected integers or strings, received dtype {array.dtype}.")
    if array.shape != (num_probes,):
        raise ValueError(
            f"groups: expected one label per probe, shape ({num_probes},), received {array.shape}."
        )
    return array


def _checked_class_names(class_names: Any) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    names = _strings("class_names", class_names)
    if not names:
        raise ValueError("class_names: expected at least one name, received none.")
    return names


def _checked_names(
    names: Any, targets: Array | None, class_names: tuple[str, ...] | None, num_probes: int
) -> tuple[str, ...]:
    if names is None or isinstance(names, _DefaultNames):
        labels = [""] * num_probes
        if targets is not None:
            labels = [f" {class_names[t] if class_names else f'class {t}'}" for t in targets]
        return _DefaultNames(f"{index:03d}{label}" for index, label in enumerate(labels))
    checked = _strings("names", names)
    if len(checked) != num_probes:
        raise ValueError(f"names: expected {num_probes} names, received {len(checked)}.")
    duplicates = sorted({name for name in checked if checked.count(name) > 1})
    if duplicates:
        raise ValueError(
            f"names: expected a different name for every probe, received {duplicates[0]!r} "
            "more than once (TensorBoard would keep only one picture per name)."
        )
    return checked


def _checked_vocabulary(vocabulary: Any, kind: str) -> tuple[str, ...] | None:
    if vocabulary is None:
        return None
    if kind != "tokens":
        raise ValueError(
            f"vocabulary: expected None for kind={kind!r}. Only kind='tokens' has one."
        )
    return _strings("vocabulary", vocabulary, may_be_empty=True)  # Keras uses "" for padding


def _strings(argument: str, values: Any, *, may_be_empty: bool = False) -> tuple[str, ...]:
    is_sequence = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    if not is_sequence or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{argument}: expected a list of strings, received {values!r}.")
    if not may_be_empty and not all(values):
        raise ValueError(f"{argument}: expected non-empty strings, received {list(values)!r}.")
    return tuple(str(value) for value in values)
