"""Class activation maps, written out by hand."""

import numpy as np


def enlarged(maps, shape=(8, 6)):
    """Linear between the centres of places, written out pixel by pixel."""
    result = np.zeros((len(maps), *shape))
    for i in range(shape[0]):
        for j in range(shape[1]):
            near = []
            for pixel, new, old in zip((i, j), shape, maps.shape[1:], strict=True):
                place = min(max((pixel + 0.5) * old / new - 0.5, 0), old - 1)
                low = min(int(place), old - 2)
                near.append([(low, 1 - (place - low)), (low + 1, place - low)])
            for row, by_row in near[0]:
                for column, by_column in near[1]:
                    result[:, i, j] += by_row * by_column * maps[:, row, column]
    return result


def by_hand(name, seen, slopes):
    """The map of a layer's values and the score's gradients, as the papers have it."""
    if name == "grad_cam":
        weights = slopes.mean(axis=(1, 2), keepdims=True)
    elif name == "grad_cam_plus_plus":
        sums = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 0)
        alphas = slopes**2 / (2 * slopes**2 + sums * slopes**3)
        weights = (alphas * np.maximum(slopes, 0)).sum(axis=(1, 2), keepdims=True)
    else:
        weights = slopes if name == "hires_cam" else np.maximum(slopes, 0)
    return np.maximum((weights * seen).sum(axis=-1), 0)
