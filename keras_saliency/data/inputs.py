"""The kinds of input that a model can take, and the checks of their arrays.

An image has two spatial axes and a channel axis. Other kinds are series, volumes, plain features
and tokens. A saliency map has one value per position: it has the axes of the input, without the
channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_saliency.data.checks import check_choice
from keras_saliency.data.reports import Array

KINDS = {
    "image": ("height", "width", "channels"),
    "series": ("steps", "channels"),
    "volume": ("depth", "height", "width", "channels"),
    "features": ("features",),
    "tokens": ("tokens",),
}
"""The axes of one input, by the name of its kind. Tokens are integers."""

SCALARS = "scalars"
"""The layout of features and tokens of which each probe has one, `(batch,)`."""

DATA_FORMATS = ("channels_last", "channels_first", "no_channels")
"""The layouts of a model's input. `"no_channels"`: gray images `(height, width)`."""


PADDED = ("series", "tokens")
"""The kinds whose inputs may have several lengths in a data set; shorter ones end with zeros."""


def padded(rows: Sequence[Array]) -> Array:
    """Arrays that differ in the length of their first axis as one; shorter ones end with zeros.

    Example:
        >>> padded([np.array([1, 2]), np.array([3])])
        array([[1, 2],
               [3, 0]])
    """
    longest = max(len(row) for row in rows)
    return np.stack(
        [np.pad(row, [(0, longest - len(row)), *[(0, 0)] * (row.ndim - 1)]) for row in rows]
    )


def map_axes(kind: str) -> tuple[str, ...]:
    """The axes of a saliency map: those of the input, without the channels.

    Example:
        >>> map_axes("image"), map_axes("features")
        (('height', 'width'), ('features',))
    """
    return tuple(axis for axis in KINDS[kind] if axis != "channels")


def has_channels(kind: str) -> bool:
    """Whether inputs of this kind have a channel axis, which is then the last."""
    return KINDS[kind][-1] == "channels"


def without_channels(mask: Array, kind: str) -> Array:
    """A mask of a region at the shape of the maps: where any channel is in it.

    Args:
        mask: bool `(num_probes, ...)`, which may have a channel axis.
        kind: A key of `KINDS`.

    Example:
        >>> without_channels(np.array([[[True, False], [False, False]]]), "series")
        array([[ True, False]])
    """
    return np.asarray(mask.any(axis=-1)) if mask.ndim > len(map_axes(kind)) + 1 else mask


def checked_images(images: Any, kind: str, data_format: str | None) -> tuple[Array, str]:
    """A copy of the inputs with all axes of their kind, and the layout of the model's input.

    Args:
        images: `(num_probes, *axes)`, finite numbers. Gray images may lack the channel axis. So may
            features and tokens lack their only axis, if there is one per probe.
        kind: A key of `KINDS`.
        data_format: One of `DATA_FORMATS`, or `SCALARS`. `None`: `"no_channels"` for gray images
            without a channel axis, `SCALARS` for features and tokens without an axis, otherwise
            `"channels_last"`.

    Raises:
        TypeError: The values are not numbers, or the tokens are not integers.
        ValueError: The rank is wrong, the images have different sizes, there are no probes, a value
            is not finite, or the images do not fit `data_format`.

    Example:
        >>> gray, data_format = checked_images(np.zeros((5, 4, 3)), "image", None)
        >>> gray.shape, data_format
        ((5, 4, 3, 1), 'no_channels')
    """
    is_flat = kind in ("features", "tokens")
    if data_format is not None and not (is_flat and data_format == SCALARS):
        check_choice("data_format", data_format, DATA_FORMATS)
    if data_format == "no_channels" and kind != "image":
        raise ValueError(
            f"data_format: expected 'channels_last' or 'channels_first' for kind={kind!r}, "
            "received 'no_channels', which is for gray images."
        )
    array = _stacked(images, kind)
    if is_text(array) and kind == "tokens" and array.size == len(array):
        return texts(array).reshape(-1, 1), "channels_last"
    check_numbers("images", array, kind)
    axes = KINDS[kind]
    if array.ndim == len(axes) and is_flat:
        array, data_format = array[:, np.newaxis], data_format or SCALARS
    if array.ndim == len(axes) and kind == "image" and data_format in (None, "no_channels"):
        array, data_format = array[..., np.newaxis], "no_channels"
    if array.ndim != len(axes) + 1:
        raise ValueError(
            f"images: expected rank {len(axes) + 1}, (num_probes, {', '.join(axes)}), received "
            f"shape {array.shape}.{_rank_hint(array.ndim, kind, data_format)}"
        )
    if data_format == "no_channels" and array.shape[-1] != 1:
        raise ValueError(
            "images: expected gray images, (num_probes, height, width) or (num_probes, height, "
            f"width, 1), for data_format='no_channels', received shape {array.shape}. For images "
            "with channels, pass data_format='channels_last'."
        )
    if 0 in array.shape:
        raise ValueError(f"images: expected at least one probe, received shape {array.shape}.")
    check_finite("images", array, kind)
    return array, data_format or "channels_last"


def check_finite(argument: str, array: Array, kind: str) -> None:
    """Checks that numbers `(num_probes, ...)` of a kind are finite.

    Raises:
        ValueError: They are not.
    """
    broken = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if broken.size:
        raise ValueError(
            f"{argument}: expected finite numbers, received nan or infinity in probe {broken[0]} "
            f"({broken.size} of {len(array)} probes). Remove these "
            f"{'images' if kind == 'image' else 'inputs'}, or fill them, for example with "
            f"np.nan_to_num({argument}), or in a data set with "
            "dataset.map(lambda x, y: (tf.where(tf.math.is_nan(x), 0.0, x), y))."
        )


def check_numbers(argument: str, array: Array, kind: str) -> None:
    """Checks that inputs of a kind are numbers, and tokens integers.

    Raises:
        TypeError: They are not.
    """
    if is_text(array):
        raise TypeError(
            f"{argument}: expected numbers, received text. Text is kind='tokens', one text for "
            "each input, (num_probes,), of a model that has a TextVectorization layer."
        )
    if kind == "tokens" and array.dtype.kind not in "iu":
        raise TypeError(
            f"{argument}: expected integers as tokens, received dtype {array.dtype}. Convert them: "
            "tokens.astype('int32')."
        )
    if array.dtype.kind not in "iufb" and array.dtype.name != "bfloat16":
        raise TypeError(f"{argument}: expected an array of numbers, received dtype {array.dtype}.")


def check_dense(argument: str, values: Any) -> None:
    """Checks that inputs are not a sparse matrix (of SciPy) or tensor (of TensorFlow).

    Raises:
        TypeError: They are.
    """
    if hasattr(values, "toarray") or hasattr(values, "dense_shape"):
        raise TypeError(
            f"{argument}: expected a dense array, received {type(values).__name__}. Convert it "
            "with .toarray() (SciPy) or tf.sparse.to_dense (TensorFlow)."
        )


def sizes_error(argument: str, first: Any, other: Any, kind: str) -> ValueError:
    """The error for inputs of two shapes, which says how to make them equal."""
    if kind in ("image", "volume"):
        remedy = "Resize them: dataset.map(lambda x, y: (tf.image.resize(x, (height, width)), y))."
        if argument == "images":
            remedy = "Resize them, for example with tf.image.resize(image, (height, width))."
        if argument != "images" and len(first) == 2:
            remedy += " Or, if they are series of different lengths, pass kind='series'."
    else:
        remedy = (
            "Cut or pad them, for example with keras.utils.pad_sequences(x, maxlen=...), or a "
            "ragged tensor with x.to_tensor(shape=(None, length))."
        )
    noun = "images" if kind == "image" else "inputs"
    return ValueError(
        f"{argument}: expected {noun} of one shape, received shapes {tuple(first)} and "
        f"{tuple(other)}. {remedy}"
    )


def two_shapes(rows: Iterable[Any]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The first two different shapes among rows; `None` if all rows have the same.

    Example:
        >>> two_shapes([np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((5, 3))])
        ((4, 3), (5, 3))
    """
    first = None
    for row in rows:
        shape = _shape(row)
        if first is None:
            first = shape
        elif shape != first:
            return first, shape
    return None


def holds_objects(values: Any) -> bool:
    """Whether it is a NumPy array or pandas column of Python objects."""
    return bool(getattr(values, "dtype", None) == np.dtype(object))


def _shape(row: Any) -> tuple[int, ...]:
    """The shape of an array, of nested lists, or of nested object arrays, by their first items."""
    if isinstance(row, list | tuple) or holds_objects(row):
        return (len(row), *(_shape(row[0]) if len(row) else ()))
    return tuple(map(int, np.shape(row)))


def _stacked(images: Any, kind: str) -> Array:
    """A copy as one array, if all rows have one shape."""
    if hasattr(images, "element_spec"):
        raise TypeError(
            "images: expected an array, received a data set. Draw probes from it with "
            "ProbeSet.from_dataset(dataset)."
        )
    check_dense("images", images)
    if hasattr(images, "row_splits") and hasattr(images, "numpy"):
        images = images.numpy()  # a ragged tensor: an array of arrays
    is_object = holds_objects(images) and np.ndim(images) == 1
    rows = [*images] if is_object or isinstance(images, list | tuple) else []
    are_arrays = bool(rows) and all(hasattr(row, "shape") for row in rows)
    if are_arrays and not is_object and _are_several_inputs(rows, kind):
        shapes = ", ".join(str(_shape(row)) for row in rows[:2])
        raise ValueError(
            f"images: expected one array, received a {type(images).__name__} of {len(rows)} arrays "
            f"(shapes {shapes}{', ...' if len(rows) > 2 else ''}), which are several inputs, as in "
            "fit. Explain all of them: "
            "ProbeSet({0: first, 1: second}, targets), or one: "
            "ProbeSet(first, held={1: second}, input_name=0). If each of them is a probe, pass "
            "np.stack(images)."
        )
    different = two_shapes(rows)
    if different is not None:
        raise sizes_error("images", *different, kind)
    try:
        return np.array(rows if is_object and are_arrays else images)
    except ValueError as error:
        raise ValueError("images: expected images of one shape, received unequal lists.") from error


def _are_several_inputs(rows: Sequence[Array], kind: str) -> bool:
    """Whether a list holds the inputs of a model: batches of one length, or columns."""
    shapes = [_shape(row) for row in rows]
    have_ranks = len({len(shape) for shape in shapes}) > 1
    have_one_length = len({shape[:1] for shape in shapes}) == 1
    return (have_ranks and have_one_length) or (not has_channels(kind) and len(shapes[0]) == 1)


def _rank_hint(rank: int, kind: str, data_format: str | None) -> str:
    others = [name for name, known in KINDS.items() if len(known) + 1 == rank]
    hint = ""
    if kind == "image" and data_format in ("channels_last", "channels_first") and rank == 3:
        hint = (
            f" Gray images without a channel axis need data_format='no_channels', not "
            f"{data_format!r}; a single image images[np.newaxis]."
        )
    elif kind == "image":
        hint = (
            " Add an axis with images[np.newaxis] for a single image. Gray images may also be "
            "(num_probes, height, width)."
        )
    if others:
        kinds = " or ".join(map(repr, others))
        hint += f" For other inputs of rank {rank}, pass kind={kinds}."
    return hint


def is_text(array: Array) -> bool:
    """Whether an array holds texts, as NumPy, pandas and TensorFlow hold them."""
    if array.dtype.kind in "SU":
        return True
    is_object = array.dtype == object and array.size > 0
    return is_object and all(isinstance(value, str | bytes) for value in array.flat)


def texts(array: Array) -> Array:
    """Texts as strings of NumPy."""
    decoded = [text.decode() if isinstance(text, bytes) else str(text) for text in array.flat]
    return np.array(decoded, dtype=np.str_).reshape(array.shape)


class AssumedKind(str):
    """A kind that rank and dtype leave open. The first layers of the model tell the right one."""


def default_kind(images: Any) -> str:
    """The kind of an array of inputs by its rank and dtype.

    Integers of rank 2 are tokens, and a single column of them a feature; other numbers of rank 2
    are features, rank 4 images, rank 5 volumes. Rank 3 is assumed to be gray images.

    Example:
        >>> default_kind(np.zeros((5, 3))), default_kind(np.zeros((5, 3), int))
        ('features', 'tokens')
        >>> isinstance(default_kind(np.zeros((5, 3, 3))), AssumedKind)
        True
    """
    shape = _shape(images)
    return kind_by_rank(len(shape), _dtype(images), shape[-1:] == (1,))


def _dtype(images: Any) -> str:
    """The name of the dtype of an array, or of the first one in nested lists."""
    while isinstance(images, list | tuple) and len(images):
        images = images[0]
    dtype = getattr(images, "dtype", None) or np.asarray(images).dtype
    return str(getattr(dtype, "name", dtype))


def kind_by_rank(rank: int, dtype: str, is_column: bool) -> str:
    """As `default_kind`.

    Args:
        rank: The number of axes, with that of the batch.
        dtype: The name of the dtype.
        is_column: Whether the last of the axes has length 1.
    """
    is_integer = dtype.startswith(("int", "uint"))
    if dtype.startswith(("str", "bytes", "object")) and rank <= 2:
        return "tokens"
    if 1 <= rank <= 2:
        if not is_integer:
            return "features"
        return AssumedKind("features" if rank == 1 or is_column else "tokens")
    if rank == 3:
        return AssumedKind("image")
    return "volume" if rank == 5 else "image"
