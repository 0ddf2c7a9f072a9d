"""Leave-one-out predictions of classes from a few numbers of each probe, and their p-values.

Nothing is fitted twice: what a ridge regression predicts for a probe that was left out follows from
the fit to all probes. Labels that are shuffled cost one product of matrices.

Arrays: features are `(num_probes, num_features)`; targets are `(num_probes,)`, numbered from 0
without gaps, each class with two probes or more; predictions are `(num_probes, num_classes)`, a
regression on one-hot labels, which sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_saliency.data.reports import Array

RIDGE = 0.1
"""The penalty of the regression, as a share of the mean of the diagonal of the similarities."""

NUM_SHUFFLES, FEW_SHUFFLES, MANY_CLASSES = 999, 199, 20
"""How often labels are shuffled, and how often with more than so many classes."""

_AT_ONCE = 2**22  # predictions in memory


@dataclass(frozen=True, eq=False)
class Separation:
    """How well classes are told apart.

    Attributes:
        accuracy: The share of probes whose class is predicted, in 0..1.
        value: The balanced accuracy with which the classes are told apart in two groups, in 0..1;
            0.5 by chance.
        group: The smaller one of these groups, as indices of classes.
    """

    accuracy: float
    value: float
    group: tuple[int, ...]


def similarities(features: Array, *, width: float = 1.0, scaled: bool = False) -> Array:
    """A Gaussian kernel of the features, centred.

    A kernel tells apart what a line cannot: a class whose brightness lies between those of others.

    Args:
        features: The features.
        width: Of the Gaussian, in multiples of the root mean square distance.
        scaled: Whether each feature is divided by its standard deviation.

    Returns:
        `(num_probes, num_probes)`; all 0 if the features are the same for all probes.
    """
    values = features - features.mean(axis=0)
    if scaled:
        deviation = values.std(axis=0)
        values = np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 0)
    squares = (values**2).sum(axis=1)
    distances = (squares[:, np.newaxis] + squares - 2 * values @ values.T).clip(0)
    mean = distances.mean()
    if mean <= 1e-20 * max(1.0, float((features**2).sum(axis=1).max(initial=0))):
        return np.zeros_like(distances)
    kernel = np.exp(-distances / (2 * width**2 * mean))
    means = kernel.mean(axis=0)
    centred: Array = kernel - means - means[:, np.newaxis] + means.mean()
    return centred


def hat_matrix(kernel: Array) -> Array:
    """The matrix that turns labels into the fit of a kernel ridge regression with an intercept.

    Args:
        kernel: As returned by `similarities`.

    Returns:
        `(num_probes, num_probes)`; its rows sum to 1.
    """
    count = len(kernel)
    penalty = RIDGE * np.trace(kernel) / count
    if penalty <= 0:
        return np.full_like(kernel, 1 / count)
    fitted = np.linalg.solve(kernel + penalty * np.eye(count), kernel)
    return np.asarray(fitted + 1 / count)


def left_out_predictions(hat: Array, labels: Array) -> Array:
    """What the regression predicts for each probe when it is fitted to the others.

    Args:
        hat: As returned by `hat_matrix`.
        labels: `(..., num_probes, num_classes)`, one-hot.

    Returns:
        Predictions in the shape of `labels`.

    Example:
        >>> no_features = np.full((4, 4), 1 / 4)  # the mean of the three others is predicted
        >>> left_out_predictions(no_features, np.array([[3.0], [0.0], [0.0], [0.0]])).ravel()
        array([0., 1., 1., 1.])

    Reference:
        Allen: The Relationship between Variable Selection and Data Augmentation and a Method for
        Prediction. Technometrics 16 (1974), 125-127.
    """
    own = np.diag(hat)[:, np.newaxis]
    predictions: Array = (hat @ labels - own * labels) / (1 - own)
    return predictions


def separations(hat: Array, targets: Array) -> tuple[Array, Array, Array]:
    """How well classes are told apart, for several draws of labels.

    A cue may tell all classes apart, one class from the others, or half of them from the other
    half. So classes are ordered along the direction in which predictions of classes differ most,
    and cut in two wherever that tells most.

    Args:
        hat: As returned by `hat_matrix`.
        targets: `(num_draws, num_probes)`.

    Returns:
        Accuracies and balanced accuracies of the best cut, `(num_draws,)`; and bool `(num_draws,
        num_classes)`, which classes are on one side of it.
    """
    num_classes = int(targets.max()) + 1
    labels = np.eye(num_classes)[targets]
    predictions = left_out_predictions(hat, labels)
    accuracies = (predictions.argmax(axis=2) == targets).mean(axis=1)
    order = _order(predictions, labels)
    rank = order.argsort(axis=1)
    cuts = np.arange(num_classes - 1)
    below = np.take_along_axis(rank, targets, axis=1)[..., np.newaxis] <= cuts
    ordered = np.take_along_axis(predictions, order[:, np.newaxis], axis=2)
    predicted = ordered.cumsum(axis=2)[..., :-1] > 0.5
    num_below = below.sum(axis=1)
    hits = (predicted & below).sum(axis=1) / num_below
    rejections = (~predicted & ~below).sum(axis=1) / (len(hat) - num_below)
    balanced = (hits + rejections) / 2
    best = balanced.argmax(axis=1)[:, np.newaxis]
    return accuracies, np.take_along_axis(balanced, best, axis=1)[:, 0], rank <= best


def _order(predictions: Array, labels: Array) -> Array:
    """Classes along the direction in which their mean predictions differ most.

    Args:
        predictions: `(num_draws, num_probes, num_classes)`.
        labels: Same shape, one-hot.

    Returns:
        `(num_draws, num_classes)`.
    """
    means = labels.swapaxes(1, 2) @ predictions / labels.sum(axis=1)[..., np.newaxis]
    means -= means.mean(axis=1, keepdims=True)
    means -= means.mean(axis=2, keepdims=True)
    _, vectors = np.linalg.eigh(means + means.swapaxes(1, 2))
    order: Array = vectors[..., -1].argsort(axis=1, kind="stable")
    return order


def separation(hat: Array, targets: Array) -> Separation:
    """How well classes are told apart.

    Args:
        hat: As returned by `hat_matrix`.
        targets: The targets.
    """
    accuracy, value, is_below = (result[0] for result in separations(hat, targets[np.newaxis]))
    sides = np.flatnonzero(is_below), np.flatnonzero(~is_below)
    group = min(sides, key=len)
    return Separation(float(accuracy), float(value), tuple(group.tolist()))


def shuffled(targets: Array, seed: int) -> Array:
    """The targets in random orders, `(num_draws, num_probes)`."""
    many = int(targets.max()) + 1 > MANY_CLASSES
    rows = np.tile(targets, (FEW_SHUFFLES if many else NUM_SHUFFLES, 1))
    return np.random.default_rng(seed).permuted(rows, axis=1)


def permutation_p_value(hats: list[Array], targets: Array, draws: Array) -> float:
    """How likely the classes are told apart as well if labels have nothing to do with features.

    Args:
        hats: As returned by `hat_matrix`. The smallest of their separations is compared.
        targets: The targets.
        draws: As returned by `shuffled`.

    Returns:
        From `1 / (num_draws + 1)` to 1.

    Reference:
        Phipson, Smyth: Permutation P-values Should Never Be Zero. Statistical Applications in
        Genetics and Molecular Biology 9 (2010), 39.
    """
    observed = min(separation(hat, targets).value for hat in hats)
    size = max(1, _AT_ONCE // (len(targets) * (int(targets.max()) + 1)))
    count = 0
    for start in range(0, len(draws), size):
        values = [separations(hat, draws[start : start + size])[1] for hat in hats]
        count += int((np.min(values, axis=0) >= observed - 1e-9).sum())
    return (1 + count) / (1 + len(draws))
