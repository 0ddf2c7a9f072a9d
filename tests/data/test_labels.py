"""Class indices from labels in every form, and what is refused with a way out."""

import numpy as np
import pytest

from keras_saliency import ProbeSet
from keras_saliency.data.labels import LabelReader, is_class_row

CLASSES = np.array([2, 0, 1, 2])
ONE_HOT = np.eye(3)[CLASSES]
SMOOTHED = 0.9 * ONE_HOT + 0.1 / 3
IMAGES = np.arange(24, dtype=np.float32).reshape(4, 3, 2, 1)
FORMS = {
    "int64": CLASSES,
    "uint8": CLASSES.astype(np.uint8),
    "floats": CLASSES.astype(np.float32),
    "column": CLASSES[:, None],
    "column of floats": CLASSES[:, None].astype(np.float16),
    "one-hot": ONE_HOT,
    "one-hot integers": ONE_HOT.astype(int),
    "one-hot bools": ONE_HOT.astype(bool),
    "smoothed": SMOOTHED,
    "smoothed float32": SMOOTHED.astype(np.float32),
    "smoothed float16": SMOOTHED.astype(np.float16),
    "list": CLASSES.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_classes(form):
    classes = LabelReader("labels").classes(FORMS[form], 4)
    assert classes.tolist() == [2, 0, 1, 2]
    assert classes.dtype == np.int64
    assert ProbeSet(IMAGES, FORMS[form]).targets.tolist() == [2, 0, 1, 2]


def test_bfloat16_labels():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    for labels in (CLASSES, ONE_HOT, SMOOTHED):
        assert LabelReader("y").classes(labels.astype(bfloat16), 4).tolist() == [2, 0, 1, 2]


def test_bools_are_the_classes_0_and_1():
    assert ProbeSet(IMAGES, [True, False, False, True]).targets.tolist() == [1, 0, 0, 1]


def test_two_classes_of_mixed_images_are_not_smoothed_labels():
    """With two classes, each row by itself looks smoothed; the largest values tell."""
    alone = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert LabelReader("y").classes(alone, 2).tolist() == [0, 1]
    with pytest.raises(ValueError, match="MixUp"):
        LabelReader("y").classes([[0.9, 0.1], [0.3, 0.7]], 2)
    reader = LabelReader("y")
    reader.classes(alone, 2)
    with pytest.raises(ValueError, match="MixUp"):
        reader.classes([[0.7, 0.3]], 1)  # in a later batch


@pytest.mark.parametrize(
    ("labels", "error", "says"),
    [
        ([[0.7, 0.3, 0.0]], ValueError, r"y: .*mixed labels .*ProbeSet\(images, targets\)"),
        ([[0.5, 0.5, 0.0]], ValueError, "mixed labels"),
        ([[1, 1, 0]], ValueError, r"multi-label.*ProbeSet\(images, targets\)"),
        ([[0, 0, 0]], ValueError, "several ones or none"),
        ([[2.5, -1.5]], ValueError, "do not sum to 1.*without targets"),
        ([[3, 1]], ValueError, "whole numbers of shape.*each position"),
        ([[np.nan, 1.0]], ValueError, "do not sum to 1"),
        ([0.25], ValueError, r"received 0\.25, dtype float64.*without targets"),
        ([np.nan], ValueError, "received nan"),
        ([np.inf], ValueError, "received inf"),
        ([-1], ValueError, r"received -1 for image 0\. Labels -1 and 1.*\(labels \+ 1\) // 2"),
        ([-2], ValueError, r"received -2 for image 0\.$"),
        ([2**31], ValueError, "received 2147483648 for image 0"),
        (["cat"], TypeError, "<U3.*np.unique.*StringLookup"),
        ([1j], TypeError, "complex128"),
        ([0, 1], ValueError, r"each of 1 images, shape \(1,\), received shape \(2,\)"),
    ],
)
def test_labels_refused(labels, error, says):
    with pytest.raises(error, match=says):
        LabelReader("y").classes(labels, 1)


def test_label_images():
    classes = np.array([[[0, 3], [1, 1]]])
    reader = LabelReader("y")
    for labels in (classes, classes[..., None], classes.astype("float32"), np.eye(4)[classes]):
        np.testing.assert_array_equal(reader.label_images(labels, (1, 2, 2)), classes)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros((1, 4, 4)), r"shape \(1, 2, 2\), received shape \(1, 4, 4\)\. Resize"),
        (
            np.zeros((1, 2, 3)),
            r"received shape \(1, 2, 3\), which is not that of a label image of another",
        ),
        (np.full((1, 2, 2), 0.5), r"received 0\.5"),
        (np.full((1, 2, 2, 3), 1 / 3), "one-hot in the last axis.*other values"),
        (np.full((1, 2, 2), -1), r"received -1\. Mark pixels to be ignored by 255"),
    ],
)
def test_label_images_refused(labels, says):
    with pytest.raises(ValueError, match=says):
        LabelReader("y").label_images(labels, (1, 2, 2))


def test_what_could_be_the_label_of_one_image():
    rows = ([7], [0, 1, 0], [0.05, 0.95], [0, 1, 1], [2, -1], [[1]])
    could_be = [is_class_row(np.array(row)) for row in rows]
    assert could_be == [True, True, True, False, False, False]
