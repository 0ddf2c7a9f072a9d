"""`remedy`: a layer for training that takes away what a test or an alert names.

A test exchanges one thing between probes to see whether the model relies on it. A remedy makes the
same exchange between the images of each training batch and keeps the labels. So the thing no longer
tells the class, and the model has to learn something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_saliency.data.checks import check_choice, check_seed, plain_int
from keras_saliency.data.inputs import KINDS
from keras_saliency.data.reports import Alert, Array, Window
from keras_saliency.data.serialization import array_from_json, array_to_json
from keras_saliency.data.several import input_names
from keras_saliency.detection.edits import NAMES
from keras_saliency.detection.objects import estimated_mask
from keras_saliency.detection.remedies import ALSO, BACKGROUNDS, takes_place, widened_place
from keras_saliency.detection.tests import TESTS, InterventionTest, row_name
from keras_saliency.engine.exchanging import (
    exchanged,
    exchanged_in_numpy,
    masks_of,
    others,
    with_other_backgrounds,
)


def remedy(
    test: str | InterventionTest | Alert,
    place: Any = None,
    *,
    seed: int = 0,
    data_format: str | None = None,
    input_name: str | int | Sequence[str | int] | None = None,
) -> Remedy:
    """A layer that takes away what a test or an alert names, in training alone.

    Add it to the training data, and go on with the same callback. In front of the model it does the
    same, but that is another model, whose run and alerts begin anew:

    ```python
    train_ds = train_ds.map(ks.remedy("tint").map)  # batches
    model = keras.Sequential([ks.remedy("tint"), model])
    ```

    Args:
        test: An alert, the name of a built-in test (a key of `keras_saliency.TESTS`), or a custom
            test.
        place: Where to exchange, for tests of a place: a bool mask, `(height, width)` for images,
            `(columns,)` for tables, or a window of images, `(top, left, height, width)` in pixels.
            An alert knows its place.
        seed: Seed of the donors.
        data_format: `"channels_last"` or `"channels_first"`; default: that of Keras.
        input_name: Which input to change in `map`, if the data set yields several, by its name or
            position; for a table of several inputs, a list with that of each column. An alert knows
            it.

    Returns:
        The layer.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The test is unknown or exchanges nothing, or the place is invalid.

    Example:
        >>> import keras_saliency as ks
        >>> images = np.arange(3.0).repeat(100).reshape(3, 10, 10, 1)  # the first is all 0, ...
        >>> changed = ks.remedy("hot_window", (0, 0, 2, 2))(images, training=True).numpy()
        >>> np.sort(changed[:, 0, 0, 0]), changed[:, 9, 9, 0]
        (array([0., 1., 2.]), array([0., 1., 2.]))
        >>> bool((changed[:, 0, 0, 0] == images[:, 0, 0, 0]).any())
        False
    """
    if isinstance(test, Alert):
        name, input_name = row_name(test.rule), input_name or test.inputs or None
        if place is None and name in TESTS and takes_place(TESTS[name]):
            place = test.place
        test = name
    return Remedy(test, place, seed=seed, data_format=data_format, input_name=input_name)


@keras.saving.register_keras_serializable("keras_saliency")
class Remedy(keras.layers.Layer):  # type: ignore[misc]
    """Exchanges one thing between the images of a batch, so that it does not tell the class.

    Each image gets the thing of another image of its batch, all others being equally likely. Labels
    stay as they are. The draw depends on `seed` and the values of the batch alone: the same batch
    always gets the same donors, so shuffle the data before they are batched.

    The layer has no weights. In inference it returns its input.

    Args:
        test: As in `remedy`.
        place: As in `remedy`.
        seed: As in `remedy`.
        data_format: As in `remedy`.
        input_name: As in `remedy`.
        **kwargs: Of a Keras layer, such as `name`.

    Reference:
        Xiao et al.: Noise or Signal: The Role of Image Backgrounds in Object Recognition
        (arXiv:2006.09994) exchange backgrounds, and train on such images.
    """

    def __init__(
        self,
        test: str | InterventionTest,
        place: Any = None,
        *,
        seed: int = 0,
        data_format: str | None = None,
        input_name: str | int | Sequence[str | int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.inputs = input_names(input_name)
        self._test = row = _checked_test(test)
        self.test, self.seed = row.name, check_seed("seed", seed)
        self.place = _checked_place(place, row)
        self.data_format = data_format or keras.config.image_data_format()
        check_choice("data_format", self.data_format, ("channels_last", "channels_first"))
        self.supports_jit = row.edit in NAMES and row.name not in BACKGROUNDS
        self.built = True

    def call(self, images: Any, training: bool = False, masks: Any = None) -> Any:
        """The images, each with the thing of another one in training.

        Args:
            images: `(batch_size, height, width, channels)`, or inputs of another kind that the test
                is for.
            training: Whether to exchange anything.
            masks: bool `(batch_size, height, width)`. For `"background"` the objects, which stay;
                without masks they are estimated from the border of each image. For a place that
                differs between images: that place.

        Raises:
            TypeError: There are several inputs, in a dict.
            ValueError: The images have another rank, or no fixed size, or the place does not fit.
        """
        if not training:
            return images
        if isinstance(images, Mapping):
            raise TypeError(
                f"images: expected a tensor, received the inputs {', '.join(map(repr, images))}. "
                "Call the layer with the one to change, or name it for a data set: "
                "train_ds.map(ks.remedy(..., input_name=...).map)."
            )
        images = keras.ops.convert_to_tensor(images)
        self._check_rank(images)
        if masks is not None:
            masks = self._checked_masks(masks, images)
        is_first = self.data_format == "channels_first" and len(images.shape) == 4
        images = keras.ops.transpose(images, (0, 2, 3, 1)) if is_first else images
        made = self._exchanged(images, others(images, self.seed), masks)
        return keras.ops.transpose(made, (0, 3, 1, 2)) if is_first else made

    def _exchanged(self, images: Any, index: Any, masks: Any) -> Any:
        """The images, channels last, each with the thing of the one at its index."""
        if self.test in BACKGROUNDS:
            if masks is None and len(images.shape) != 4:
                raise ValueError(
                    "masks: expected masks of the objects, since they are estimated in images "
                    "only, received None. Pass remedy(volumes, training=True, masks=masks)."
                )
            objects = masks_of(_estimated, images) if masks is None else masks
            return with_other_backgrounds(images, objects, index)
        where = self._where(images, index, masks)
        edit: Any = self._test.edit
        if edit not in NAMES:
            donors = keras.ops.take(images, index, axis=0)
            return exchanged_in_numpy(edit, images, donors, where)
        name, made = NAMES[edit], images
        for each in (ALSO[name], name) if name in ALSO else (name,):
            made = exchanged(each, made, index, where, images)
        return made

    def _check_rank(self, images: Any) -> None:
        """Raises an error if the inputs are not a batch of a kind that the test is for."""
        axes = {kind: ("batch_size", *KINDS[kind]) for kind in self._test.kinds}
        if len(images.shape) not in {len(names) for names in axes.values()}:
            expected = " or ".join(f"({', '.join(names)})" for names in axes.values())
            raise ValueError(
                f"images: expected a batch, {expected}, received shape {tuple(images.shape)}. "
                "Batch the data before the exchange."
            )

    def map(self, images: Any, *rest: Any) -> Any:
        """Exchanges in batches of a data set: `train_ds.map(remedy.map)`.

        Args:
            images: As in `call`; or several inputs in a dict, tuple or list, of which the one that
                `input_name` names is changed.
            *rest: Labels and sample weights, which stay as they are.

        Raises:
            TypeError: There are several inputs, and none was named.
            ValueError: No input has this name; or as in `call`.
        """
        if isinstance(images, Mapping | tuple | list):
            made = self._among_others(images)
        else:
            made = self(images, training=True)
        return (made, *rest) if rest else made

    def _among_others(self, inputs: Any) -> Any:
        """Several inputs, with the named ones changed."""
        is_named = isinstance(inputs, Mapping)
        by_name = {str(key): key for key in (inputs if is_named else range(len(inputs)))}
        listed = ", ".join(map(repr, by_name.values()))
        if not self.inputs:
            raise TypeError(
                f"images: expected a tensor, received several inputs, {listed}. Name "
                f"the one to change: ks.remedy(..., input_name={next(iter(by_name.values()))!r}), "
                "or use alert.remedy(), which knows it."
            )
        unknown = [name for name in self.inputs if name not in by_name]
        if unknown:
            raise ValueError(
                f"input_name: expected inputs that the data set has, {listed}, received "
                f"{unknown[0]!r}."
            )
        columns = {by_name[name]: self.inputs.count(name) for name in dict.fromkeys(self.inputs)}
        named = {key: keras.ops.convert_to_tensor(inputs[key]) for key in columns}
        if len(self.inputs) == 1:
            made = {key: self(tensor, training=True) for key, tensor in named.items()}
        else:
            made = self._in_columns(named, columns)
        if is_named:
            return {**inputs, **made}
        return type(inputs)(made.get(place, given) for place, given in enumerate(inputs))

    def _in_columns(self, given: dict[Any, Any], columns: dict[Any, int]) -> dict[Any, Any]:
        """The columns of a table, each in an input of its own, changed together."""
        ops = keras.ops
        parts = [
            ops.cast(ops.reshape(tensor, (-1, columns[key])), "float32")
            for key, tensor in given.items()
        ]
        table, made, start = self(ops.concatenate(parts, axis=1), training=True), {}, 0
        for key, tensor in given.items():
            part = ops.reshape(table[:, start : start + columns[key]], ops.shape(tensor))
            made[key] = ops.cast(part, tensor.dtype)
            start += columns[key]
        return made

    def compute_output_shape(self, input_shape: Any, *args: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What the layer is made from again when a model is loaded.

        Raises:
            ValueError: The test is a custom one, whose function cannot be saved.
        """
        if TESTS.get(self.test) is not self._test:
            raise ValueError(
                f"test: expected a built-in test in a model that is saved, received {self.test!r}. "
                "Exchange in the data set instead: train_ds.map(remedy.map)."
            )
        place: Any = self.place
        if isinstance(place, np.ndarray):
            place = array_to_json(place)
        own = {"test": self.test, "place": place, "seed": self.seed}
        own["input_name"] = [*self.inputs] or None
        config: dict[str, Any] = super().get_config() | own
        return config | {"data_format": self.data_format}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Remedy:
        """A layer from what `get_config` returned."""
        place = config["place"]
        is_mask = isinstance(place, Mapping)
        return cls(**config | {"place": array_from_json(place) if is_mask else place})

    def _checked_masks(self, masks: Any, images: Any) -> Any:
        """Masks as a bool tensor.

        Raises:
            ValueError: They are not of the shape of the images, or the test has no place.
        """
        if self._test.propose is None:
            raise ValueError(
                f"masks: expected None for the test {self.test!r}, which has no place."
            )
        masks = keras.ops.cast(keras.ops.convert_to_tensor(masks), "bool")
        is_first = self.data_format == "channels_first" and len(images.shape) == 4
        shape = (images.shape[0], *images.shape[2:]) if is_first else tuple(images.shape[:-1])
        shapes = shape, tuple(images.shape)
        if not any(_may_equal(masks.shape, each) for each in shapes):
            raise ValueError(
                f"masks: expected shape {shapes[0]} or {shapes[1]}, a mask for each input, "
                f"received {tuple(masks.shape)}."
            )
        return masks

    def _where(self, images: Any, index: Any, masks: Any) -> Any:
        """The positions to exchange, bool, with a row for each input or one; `None` for all."""
        if self._test.propose is None:
            return None
        if masks is not None:
            return masks | keras.ops.take(masks, index, axis=0)
        shape = tuple(images.shape[1:])
        if None in shape:
            raise ValueError(
                f"images: expected a fixed size, received shape {tuple(images.shape)}. Resize them "
                "before the exchange."
            )
        return widened_place(self._test, self.place, shape)[np.newaxis]


def _checked_test(test: Any) -> InterventionTest:
    """A row of the table that exchanges something.

    Raises:
        ValueError: The test is unknown or exchanges nothing.
    """
    if isinstance(test, InterventionTest):
        row = test
    else:
        name = row_name(test) if isinstance(test, str) else test
        further = "an alert, or a custom InterventionTest itself"
        row = TESTS[check_choice("test", name, tuple(TESTS), alternatives=further)]
    if row.edit is None:
        raise ValueError(
            f"test: expected a test that exchanges something, received {row.name!r}. Instead, "
            f"{row.advice}."
        )
    return row


def _checked_place(place: Any, test: InterventionTest) -> Array | Window | None:
    """A read-only mask or a window.

    Raises:
        TypeError: It is neither.
        ValueError: The test has no place to be told, or the place is empty, or missing for a test
            of columns, which are the same in all rows.
    """
    if place is None and test.kinds == ("features",) and takes_place(test):
        raise ValueError(
            f"place: expected the columns to exchange for the test {test.name!r}, a bool for each "
            f"column of the table: ks.remedy({test.name!r}, [True, False, False]). Received None. "
            "Or use alert.remedy(), which knows its place."
        )
    if place is None:
        return None
    if not takes_place(test):
        raise ValueError(
            f"place: expected None for the test {test.name!r}, whose name tells what is exchanged, "
            f"received {place!r}."
        )
    has_four = isinstance(place, tuple | list) and len(place) == 4
    if has_four and not any(isinstance(number, bool) for number in place):
        numbers = [plain_int(number) for number in place]
        if not all(type(number) is int for number in numbers):
            raise TypeError(f"place: expected four integers as a window, received {place!r}.")
        window = Window(*numbers)
        if min(window) < 0 or not window.height or not window.width:
            raise ValueError(
                "place: expected a window (top, left, height, width) with positive height and "
                f"width, received {place!r}."
            )
        return window
    mask = np.array(place)
    if mask.dtype != np.bool_:
        raise TypeError(
            "place: expected a bool mask or a window (top, left, height, width), received "
            f"{place!r}."
        )
    if not mask.any():
        raise ValueError(
            "place: expected a bool mask, (height, width) for images, that is True somewhere, "
            f"received shape {mask.shape} without any True."
        )
    mask.setflags(write=False)
    return mask


def _may_equal(shape: Any, other: Any) -> bool:
    """Whether two shapes are equal where both are known."""
    pairs = zip(shape, other, strict=False)
    return len(shape) == len(other) and all(None in pair or len({*pair}) == 1 for pair in pairs)


def _estimated(images: Array) -> Array:
    """The objects of some images, bool; without an estimate, all that is not at the border."""
    inside = ~widened_place(TESTS["border"], None, images.shape[1:])
    masks = [estimated_mask(image) for image in images]
    return np.stack([inside if mask is None else mask for mask in masks])
