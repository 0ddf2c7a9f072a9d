"""`ProbeSet`: the fixed inputs that are explained at every evaluation.

Throughout this module, images are `(num_probes, height, width, channels)`, on the scale that the
model is trained on; targets are `(num_probes,)` class indices; masks are bool, `True` on the
object. For other kinds of input, `images` has the axes of that kind, and masks and regions have the
shape of its saliency map; see `keras_saliency.data.inputs.KINDS`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_saliency.data.annotations import (
    DefaultNames,
    checked_class_names,
    checked_feature_names,
    checked_groups,
    checked_indices,
    checked_mask,
    checked_names,
    checked_regions,
    checked_targets,
    checked_vocabulary,
)
from keras_saliency.data.boxes import are_filled, checked_boxes, filled
from keras_saliency.data.checks import check_bool, check_choice, checked_output, plain_int
from keras_saliency.data.drawing import Wishes, drawn_fields
from keras_saliency.data.held import checked_held, checked_input_name
from keras_saliency.data.inputs import (
    KINDS,
    checked_images,
    default_kind,
    has_channels,
    map_axes,
)
from keras_saliency.data.probe_files import read_probes, write_probes
from keras_saliency.data.read_only import freeze, restore
from keras_saliency.data.reports import Array
from keras_saliency.data.several import TABLE, Group, column_names, groups_of

_SHARED = ("targets", "groups", "class_names", "names", "output", "indices")
"""The fields that all inputs of the same probes have in common."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class ProbeSet:
    """Labelled inputs that are explained repeatedly while a model trains.

    The constructor checks all arguments and copies them. After that, all arrays and mappings are
    read-only. Take the probes from the same source as the training data, preferably from the
    validation split: a tag that reveals the class can only be detected in images that contain it.
    To add masks or regions later, use `dataclasses.replace(probes, regions=...)`.

    Args:
        images: `(num_probes, height, width, channels)`, finite numbers of any dtype, preprocessed
            as for `fit`. Gray images may lack the channel axis; they are stored with one. Other
            kinds of input have the axes of their `kind`. A dict of such arrays, by the names of
            the model's inputs, explains all of them: those that are plain features become one
            table, with a value for each column; the others have a map each. The first is the one
            that `images`, masks, regions and intervention tests are about; the rest are
            `other_inputs`. Inputs of strings have no gradient, and are held.
        targets: `(num_probes,)` class indices, the class to explain for each probe, usually its
            label: integers, whole floats or bools, also as a column `(num_probes, 1)`, or one-hot
            rows. Stored as int64. `None`: the model's predictions at the first evaluation, which
            are then kept.
        masks: `(num_probes, height, width)` bool, where the object is. Default: if there are boxes,
            all pixels that they cover, also in part.
        boxes: For images: `(num_probes, 4)` numbers, the box of one object in each probe: left,
            top, right and bottom, in pixels, within the image. The score `"detection"` explains it.
            Stored as float32.
        regions: Named places, such as a suspect tag or a border. Each is bool, `(height, width)`
            (the same for all probes) or `(num_probes, height, width)`. Those of a series may have
            channels, `(steps, channels)`; a mask of tokens may say where a token is, `images ==
            17`. Stored with one mask per probe.
        groups: `(num_probes,)` integers or strings, one group label per probe, for worst-group
            metrics.
        class_names: A name for every class, in the order of the class indices.
        names: A unique name for every probe, used in TensorBoard tags. Default: the index, and the
            class if it is known.
        kind: The kind of input, a key of `keras_saliency.data.inputs.KINDS`; for a dict of
            inputs, a dict of kinds by name. Default: by the rank. Integers of rank 2 are tokens,
            other numbers of rank 2 features (and so is a single column of integers), rank 3 and 4
            are images, and rank 5 volumes. The first layers of the model correct this for
            integers, and for series of rank 3.
        data_format: The layout of the model's input: `"channels_last"`, `"channels_first"`, or
            `"no_channels"` for a model of gray images `(height, width)`. `images` are channels
            last in all cases. Default: `"no_channels"` for images without a channel axis,
            `"scalars"` for features and tokens `(num_probes,)`, which the model takes as
            `(batch,)`, otherwise `"channels_last"`.
        held: For a model with several inputs: the inputs that are not explained and keep their
            values. A dict of `(num_probes, ...)` arrays. The keys are the model's names for these
            inputs (the dict keys if the model takes a dict), or positions if the model takes a
            list.
        input_name: For a model with several inputs: the name or position of the input that
            `images` contains. If they are a table of several inputs: a tuple with the name of the
            input of each column. A dict of inputs names them itself.
        vocabulary: For tokens: the text of each token, in the order of the token ids; for a dict
            of inputs, that of all tokens, or a dict of vocabularies by name.
        feature_names: For features: a name for each column; in a dict of inputs, of their table.
            Default for inputs with names: these.
        other_inputs: Further inputs of the model that are explained as well, by name: each a
            `ProbeSet` of its own, with masks, regions or a vocabulary if it has some. Targets,
            groups, class names and names are those of this one.
        output: For a model with several outputs: the name or position of the one that the targets
            belong to. It is the one that is explained, unless `ks.Score(output=...)` says
            otherwise; another one is explained without targets and masks.
        predicts_numbers: Whether the labels are numbers to predict instead of classes, set by
            `from_dataset`. Without targets, `score="auto"` then explains the output, or the mean of
            several, as with a loss of numbers.
        indices: `(num_probes,)` positions of the probes in the data set that they come from, set by
            `from_dataset`. They are kept for the user and have no effect. `None` if the data set is
            shuffled anew in each pass: another pass has other images at these positions.

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
    boxes: Array | None
    regions: Mapping[str, Array]
    groups: Array | None
    class_names: tuple[str, ...] | None
    names: tuple[str, ...]
    kind: str
    data_format: str
    held: Mapping[str | int, Array]
    input_name: str | int | tuple[str | int, ...] | None
    vocabulary: tuple[str, ...] | None
    feature_names: tuple[str, ...] | None
    other_inputs: Mapping[str | int, ProbeSet]
    output: str | int | None
    predicts_numbers: bool
    indices: Array | None

    def __init__(
        self,
        images: ArrayLike | Mapping[Any, ArrayLike],
        targets: ArrayLike | None = None,
        *,
        masks: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        regions: Mapping[str, ArrayLike] | None = None,
        groups: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        kind: str | Mapping[Any, str] | None = None,
        data_format: str | None = None,
        held: Mapping[Any, ArrayLike] | None = None,
        input_name: str | int | Sequence[str | int] | None = None,
        vocabulary: Sequence[str] | Mapping[Any, Sequence[str]] | None = None,
        feature_names: Sequence[str] | None = None,
        other_inputs: Mapping[Any, ProbeSet] | None = None,
        output: str | int | None = None,
        predicts_numbers: bool = False,
        indices: ArrayLike | None = None,
    ) -> None:
        others = _checked_others(other_inputs)
        if isinstance(images, Mapping):
            if input_name is not None:
                raise ValueError(
                    "input_name: expected None for a dict of inputs, whose keys are the names, "
                    f"received {input_name!r}."
                )
            (first, *rest), texts = groups_of(images, kind, feature_names)
            words = _words_by_name(vocabulary, (first, *rest))
            images, kind, input_name = first.images, first.kind, first.input_name
            feature_names = first.feature_names
            held = {**texts, **({} if held is None else held)}
            others |= {one.name: _of_group(one, data_format, words.get(one.name)) for one in rest}
            data_format = first.data_format or data_format
            vocabulary = words.get(first.name)
        elif kind is None:
            kind = default_kind(images)
        one_kind: str = check_choice("kind", kind, KINDS)
        if masks is not None or (isinstance(regions, Mapping) and regions):
            one_kind = str(one_kind)  # their shapes tell
        pixels, data_format = checked_images(images, one_kind, data_format)
        input_name = checked_input_name(input_name, one_kind, pixels.shape)
        if feature_names is None and isinstance(input_name, tuple):
            feature_names = column_names(input_name)
        shape = pixels.shape[: len(map_axes(one_kind)) + 1]
        classes = checked_class_names(class_names)
        labels = checked_targets(targets, len(pixels), classes)
        rectangles = checked_boxes(boxes, one_kind, shape)
        given = None if are_filled(masks) else masks  # those of boxes follow the boxes
        objects = None if rectangles is None else filled(rectangles, shape)
        checked: dict[str, Any] = {
            "images": pixels,
            "targets": labels,
            "masks": objects if given is None else checked_mask("masks", given, [shape]),
            "boxes": rectangles,
            "regions": checked_regions({} if regions is None else regions, pixels.shape, one_kind),
            "groups": checked_groups(groups, len(pixels)),
            "class_names": classes,
            "names": checked_names(names, labels, classes, len(pixels)),
            "kind": one_kind,
            "data_format": data_format,
            "held": checked_held(held, input_name, len(pixels), others),
            "input_name": input_name,
            "vocabulary": checked_vocabulary(vocabulary, one_kind),
            "feature_names": checked_feature_names(feature_names, one_kind, pixels.shape),
            "output": checked_output(output),
            "predicts_numbers": check_bool("predicts_numbers", predicts_numbers),
            "indices": checked_indices(indices, len(pixels)),
        }
        shared = {name: checked[name] for name in _SHARED}
        checked["other_inputs"] = {name: one._with(**shared) for name, one in others.items()}
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        freeze(self)

    def _with(self, **fields: Any) -> ProbeSet:
        """The same probes with other values of some fields, which were checked."""
        probes = object.__new__(type(self))
        vars(probes).update({**vars(self), **fields})
        freeze(probes)
        return probes

    def with_columns(self, kept: Array) -> ProbeSet:
        """A table with some of its columns; regions that have none of them are left out.

        Args:
            kept: bool `(columns,)`.
        """
        names = self.input_name if isinstance(self.input_name, tuple) else ()
        left = tuple(compress(names, kept))
        is_one_input = len({*left}) == 1
        regions = {name: region[:, kept] for name, region in self.regions.items()}
        return self._with(
            images=self.images[:, kept],
            masks=None if self.masks is None else self.masks[:, kept],
            regions={name: region for name, region in regions.items() if region.any()},
            input_name=left[0] if is_one_input else left,
            data_format="channels_last" if is_one_input and len(left) > 1 else self.data_format,
            feature_names=self.feature_names and tuple(compress(self.feature_names, kept)),
        )

    @property
    def explained(self) -> Mapping[str | int | None, ProbeSet]:
        """All inputs that are explained, by name: these probes, and `other_inputs`."""
        name = TABLE if isinstance(self.input_name, tuple) else self.input_name
        explained: dict[str | int | None, ProbeSet] = {name: self}
        return explained | dict(self.other_inputs)

    def __repr__(self) -> str:
        """The number and shape of the probes, and the fingerprint; never the values."""
        shapes = " and ".join(str(one.images.shape[1:]) for one in self.explained.values())
        return f"ProbeSet({len(self)} probes of shape {shapes}, {self.fingerprint})"

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
    def _given_masks(self) -> Array | None:
        """The masks, unless they are made of the boxes."""
        return None if are_filled(self.masks) else self.masks

    @property
    def others(self) -> dict[str, Array]:
        """The arrays of all inputs but `images`, held or explained, by their names as text."""
        explained = {str(name): one.images for name, one in self.other_inputs.items()}
        return {**{str(name): values for name, values in self.held.items()}, **explained}

    @property
    def map_shape(self) -> tuple[int, ...]:
        """The shape of the probes' saliency maps, `(num_probes, height, width)` for images."""
        shape: tuple[int, ...] = self.images.shape
        return shape[: len(map_axes(self.kind)) + 1]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change whenever targets or any inputs change.

        The shapes, the dtypes and the names of other inputs count, too, and so do boxes. Masks,
        regions, groups and probe names do not.
        """
        others = {name: one.images for name, one in self.other_inputs.items()}
        arrays: list[tuple[Any, Array | None]] = [
            ("images", self.images),
            ("targets", self.targets),
            ("boxes", self.boxes),
            *((["held", name], self.held[name]) for name in sorted(self.held, key=str)),
            *((["other_inputs", name], others[name]) for name in sorted(others, key=str)),
        ]
        digest = hashlib.blake2b(digest_size=8)
        for label, array in arrays:
            if array is not None:
                header = json.dumps([label, str(array.dtype), array.shape])
                digest.update(f"{header}\n".encode())
                digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Writes the probes to a file, for `load`, and for `keras-saliency replay`.

        The file has all fields, is as large as the arrays in memory, and `numpy.load` reads it.

        Args:
            path: A file name that ends in `.npz`. An existing file is replaced.

        Raises:
            ValueError: The name does not end in `.npz`.
            OSError: The file cannot be written.
        """
        names = None if isinstance(self.names, DefaultNames) else self.names
        shared = dict.fromkeys(_SHARED)
        others = {
            name: {**vars(one), "masks": one._given_masks, **shared}
            for name, one in self.other_inputs.items()
        }
        fields = {**vars(self), "masks": self._given_masks, "names": names, "other_inputs": others}
        write_probes(Path(path).expanduser(), fields)

    @classmethod
    def load(cls, path: str | Path) -> ProbeSet:
        """Reads probes that `save` wrote.

        A hash of the content is checked, and nothing in the file can run code.

        Args:
            path: The file.

        Raises:
            ValueError: The file does not hold probes, is damaged, or has another format.
            OSError: The file cannot be read.

        Example:
            >>> import numpy as np, tempfile
            >>> probes = ProbeSet(np.zeros((2, 8, 8, 1)), [1, 0], class_names=["cat", "dog"])
            >>> path = f"{tempfile.mkdtemp()}/probes.npz"
            >>> probes.save(path)
            >>> loaded = ProbeSet.load(path)
            >>> loaded.names, loaded.fingerprint == probes.fingerprint
            (('000 dog', '001 cat'), True)
        """
        path = Path(path).expanduser()
        values = read_probes(path)
        try:
            others = {name: cls(**one) for name, one in values.pop("other_inputs").items()}
            return cls(**values, other_inputs=others)
        except (TypeError, ValueError) as error:
            raise ValueError(f"path: {path} does not hold probes: {error}") from error

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        per_class: int | None = None,
        max_probes: int = 512,
        seed: int = 0,
        masks: str | ArrayLike | None = None,
        boxes: str | ArrayLike | None = None,
        regions: Mapping[str, str | ArrayLike] | None = None,
        groups: str | ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        names: str | Sequence[str] | None = None,
        kind: str | Mapping[Any, str] | None = None,
        data_format: str | None = None,
        input_name: str | int | None = None,
        output: str | int | None = None,
        vocabulary: Sequence[str] | Mapping[Any, Sequence[str]] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> ProbeSet:
        """Draws the same number of probes of every class from a data set.

        The draw depends only on `seed` and on the images, not on their order. A data set that is
        shuffled anew in each pass gives the same probes. (One that augments at random does not:
        draw before the augmentation.) An image that occurs twice in a class is drawn once, where it
        occurs first. The data set is read once, a batch at a time. If that takes long, a line about
        it is printed to stderr every ten seconds.

        A data set that shuffles anew in each pass, or draws from a global generator such as
        `np.random`, gives a training another order after this pass than without it: draw from
        arrays, from validation data that use no global generator, or before you set the seed and
        make the data set of the training.

        Labels may be images, as for segmentation: `(height, width)` or `(height, width, 1)` class
        indices, or one-hot in the last axis. Then the images of a class are those that contain it,
        its pixels are their `masks`, and an image may serve for several classes. The value 255 in
        uint8 labels marks pixels without a class, unless there are other values above 199.

        Without classes (no labels, or those of a regression, an autoencoder, a translation), probes
        are drawn from all inputs and have no targets; a warning says why. If there are labels of
        several outputs, those of the first are the classes; a warning names all.

        Args:
            dataset: A `tf.data.Dataset`, batched or not; an array, or a tuple of arrays; a
                `keras.utils.PyDataset`; or a generator of batches, which is used up. Its elements
                are inputs, `(images, labels)`, `(images, labels, weights)` or dicts with keys such
                as `"image"` and `"label"` (or `"segmentation_mask"`); weights and other keys are
                ignored. Labels are class indices (integers, bools or whole floats, also as a
                column), names, or rows: one-hot, as they are or smoothed; with several ones, where
                each class draws the images that have it; or shares of classes, of which the largest
                is taken. If the data set does not tell its length, reading stops at 100,000 images
                or 20,000 elements, with a warning. Series and tokens of several lengths end with
                zeros.
            per_class: The number of probes per class. If a class has fewer images, all of them are
                used, with a warning. Default: about 128 probes in total, from 4 to 32 per class.
                With fewer than 8 per class, intervention tests detect little.
            max_probes: The largest number of probes in total, and of images kept while reading. If
                the classes have more, fewer of each are drawn, down to 4, and then only some of the
                classes, which are chosen by the seed; with a warning.
            seed: The seed of the draw, from 0 to 2**31 - 1.
            masks: As in `ProbeSet`, but one for each image of the data set, in the order in which
                the data set is read; or, if the elements are dicts, the key of the values.
            boxes: As `masks`: one box for each image.
            regions: As `masks`, by name. An array `(height, width)` holds for all images.
            groups: As `masks`.
            class_names: As in `ProbeSet`. Default: the data set's `class_names`, if it has them, or
                those of the data set that it was made from with `batch`, `prefetch`, `shuffle` and
                other steps that cannot change labels. Behind a `map`, which can, they are not used,
                with a warning. Rows of zeros and ones as long as a series or the tokens may be
                classes of each position: with a name for each column, they are several classes of
                the whole.
            names: As `masks`.
            kind: As in `ProbeSet`.
            data_format: As in `ProbeSet`; the images of the data set have the same format.
            input_name: The input to explain, if the data set yields several inputs in a dict, tuple
                or list. The other inputs are held. Default: all of them are explained, as with a
                dict in `ProbeSet`. If the elements are dicts of images and labels: the key of the
                images.
            output: The output whose labels are the classes, if the data set yields labels of
                several outputs in a dict, tuple or list: its key or position. It is the one that is
                explained. Default: the first.
            vocabulary: As in `ProbeSet`. Default: for each input that a text vectorization or
                lookup in a `dataset.map` has made, that of this layer.
            feature_names: As in `ProbeSet`. Default: for columns that a text vectorization in a
                `dataset.map` has counted (`output_mode="multi_hot"`, `"count"` or `"tf_idf"`), its
                words.

        Returns:
            Probes sorted by class. Their `indices` are their positions in the data set, or `None`
            if it is shuffled anew in each pass.

        Raises:
            TypeError: The data set or its elements have an unsupported type.
            ValueError: The data set is empty or endless, the images have several sizes, or an array
                does not have one row for each image.

        Example:
            >>> import numpy as np
            >>> images = np.random.default_rng(0).random((20, 8, 8, 1))
            >>> labels = np.arange(20) % 2
            >>> probes = ProbeSet.from_dataset(
            ...     (images, labels), per_class=3, groups=np.arange(20) // 10
            ... )
            >>> probes.targets.tolist()
            [0, 0, 0, 1, 1, 1]
            >>> bool((probes.groups == probes.indices // 10).all())
            True
        """
        given = {"masks": masks, "boxes": boxes, "groups": groups, "names": names}
        fields = drawn_fields(
            dataset,
            Wishes(per_class, max_probes, seed),
            companions=given,
            regions=regions,
            class_names=class_names,
            kind=kind,
            data_format=data_format,
            input_name=input_name,
            output=output,
            vocabulary=vocabulary,
            feature_names=feature_names,
        )
        return cls(**fields)


def _words_by_name(vocabulary: Any, groups: Sequence[Group]) -> dict[str | int, Any]:
    """The vocabulary of each input of a dict that has one: its own, or that of all tokens.

    Raises:
        ValueError: There are no tokens, or no such ones.
    """
    names = [one.name for one in groups if one.kind == "tokens"]
    if vocabulary is not None and not names:
        raise ValueError(
            "vocabulary: expected None for a dict of inputs without tokens, which are "
            "integers of rank 2, or named so: kind={'review': 'tokens'}."
        )
    if not isinstance(vocabulary, Mapping):
        return dict.fromkeys(names, vocabulary)
    unknown = [name for name in vocabulary if name not in names]
    if unknown:
        raise ValueError(
            f"vocabulary: expected the names of inputs that are tokens, "
            f"{', '.join(map(repr, names))}, received {unknown[0]!r}."
        )
    return dict(vocabulary)


def _of_group(group: Group, data_format: str | None, vocabulary: Sequence[str] | None) -> ProbeSet:
    """Further inputs of a dict that have one map, as probes of their own."""
    probes = ProbeSet(
        group.images,
        kind=group.kind,
        data_format=data_format if has_channels(group.kind) else group.data_format,
        vocabulary=vocabulary,
        feature_names=group.feature_names,
    )
    return probes._with(input_name=group.input_name)


def _checked_others(other_inputs: Any) -> dict[str | int, ProbeSet]:
    """Further inputs that are explained, each with its name.

    Raises:
        TypeError: They are not a dict of `ProbeSet`s.
        ValueError: One of them has inputs of its own.
    """
    if other_inputs is None:
        return {}
    if not isinstance(other_inputs, Mapping):
        raise TypeError(
            "other_inputs: expected a dict that maps the names of inputs to ProbeSets, received "
            f"{type(other_inputs).__name__}."
        )
    checked = {}
    for key, one in other_inputs.items():
        name = plain_int(key)
        if not isinstance(one, ProbeSet):
            raise TypeError(
                f"other_inputs[{name!r}]: expected a ProbeSet, received {type(one).__name__}. To "
                f"explain arrays, pass a dict of all inputs: ProbeSet({{..., {name!r}: ...}}, "
                "targets)."
            )
        if one.held or one.other_inputs:
            raise ValueError(
                f"other_inputs[{name!r}]: expected a ProbeSet of one input; pass its held= and "
                "other_inputs= to the outer ProbeSet."
            )
        is_table = isinstance(one.input_name, tuple)
        checked[name] = one if is_table else one._with(input_name=name)
    return checked


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
