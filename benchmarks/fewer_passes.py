"""How many passes does a map need? Noise and quadrature rules against a 1,000-pass reference.

    python -m benchmarks.fewer_passes [--model FILE] [--seeds N] [--out FILE]

SmoothGrad is a mean over random copies of the input, integrated gradients a mean over places on a
path. Both are an estimate; this script says how far that is from the estimate with 1,000 passes,
for 16 probes of small models that it trains itself, and of any saved model that is named.

Noise, the same for all probes, at SmoothGrad's default level:
* independent: every copy has noise of its own;
* antithetic: in pairs, added and subtracted;
* orthogonal: independent, with directions made orthogonal to each other, lengths kept;
* quasi-random: a scrambled Sobol sequence through the normal distribution's inverse.

Places on the path from zero: midpoint, Gauss-Legendre, trapezoid, and left (the ends of the parts
that lie nearer to the baseline).

A cell of the first table has the relative L2 error of the attribution, over probes and seeds, and
Spearman's correlation of the saliency map with the reference's. The reference's own noise is in
these errors: it is told, as estimated from its two halves. In the second table the error is
followed by the completeness gap: how far the attribution is from summing to the change of the
score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import norm as normal
from scipy.stats import qmc, spearmanr

from benchmarks._models import (
    Array,
    Trained,
    arguments_of,
    cnn,
    digits,
    digits_on_photographs,
    machine,
    photographs,
    separable_cnn,
    table,
    tell,
    trained,
)
from keras_saliency.attributions import heads, scores

PASSES = (4, 8, 16, 24, 32, 64)
REFERENCE = 1000
NOISE_LEVEL = 0.15


def compiled_gradient(subject: Trained) -> Callable[[Array], tuple[Array, Array]]:
    """From images to the gradients of the targets' logits, and to the logits, in float64."""
    targets = tf.constant(subject.targets, tf.int32)
    score = scores.known("logit")

    @tf.function(autograph=False)
    def run(images: Any) -> Any:
        head = heads.find_head(subject.model(images, training=False), "logit")
        values = score(head, targets)
        return tf.gradients(values, images)[0], values

    def gradient(images: Array) -> tuple[Array, Array]:
        found, values = run(tf.constant(images, tf.float32))
        return found.numpy().astype(np.float64), values.numpy().astype(np.float64)

    return gradient


def independent(count: int, size: int, seed: int) -> Array:
    """`(count, size)` standard normal, as all of these."""
    return np.random.default_rng(seed).standard_normal((count, size))


def antithetic(count: int, size: int, seed: int) -> Array:
    """Each second row is the one before it, with the other sign."""
    half = independent(count // 2, size, seed)
    return np.stack([half, -half], axis=1).reshape(count, size)


def orthogonal(count: int, size: int, seed: int) -> Array:
    """Rows at right angles."""
    drawn = independent(count, size, seed)
    directions = np.linalg.qr(drawn.T)[0].T
    return directions * np.linalg.norm(drawn, axis=1, keepdims=True)


def quasi_random(count: int, size: int, seed: int) -> Array:
    """A scrambled Sobol sequence; it knows 21,201 dimensions."""
    points = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(seed)).random(count)
    return normal.ppf(np.clip(points, 1e-9, 1 - 1e-9))


NOISES = (independent, antithetic, orthogonal, quasi_random)


def places(rule: str, steps: int) -> tuple[Array, Array]:
    """Where on the path, in 0..1, and with what weight."""
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    return (np.arange(steps) + {"midpoint": 0.5, "left": 0.0}[rule]) / steps, np.full(
        steps, 1 / steps
    )


RULES = ("midpoint", "gauss_legendre", "trapezoid", "left")


def error(found: Array, reference: Array) -> float:
    """The relative L2 error, the mean over probes."""
    axes = tuple(range(1, found.ndim))
    off = np.sqrt(((found - reference) ** 2).sum(axes) / (reference**2).sum(axes))
    return float(np.mean(off))


def rank_correlation(found: Array, reference: Array) -> float:
    """Spearman's correlation of saliency maps, the mean over probes."""
    pairs = zip(np.abs(found).max(-1), np.abs(reference).max(-1), strict=True)
    return float(np.mean([spearmanr(a.ravel(), b.ravel())[0] for a, b in pairs]))


Errors = dict[str, list[float]]
"""By noise or rule, one for each of `PASSES`."""


def smoothgrad_rows(subject: Trained, num_seeds: int) -> tuple[list[list[str]], Errors, float]:
    """A row for each kind of noise, the errors in it, and the reference's own error."""
    gradient, images = compiled_gradient(subject), subject.images
    axes = tuple(range(1, images.ndim))
    scale = NOISE_LEVEL * (images.max(axes, keepdims=True) - images.min(axes, keepdims=True))

    def means(draws: Array) -> Iterator[Array]:
        total = np.zeros(images.shape)
        for number, draw in enumerate(draws, 1):
            total += gradient(images + scale * draw.reshape(images.shape[1:]))[0]
            yield total / number

    size = images[0].size
    halves = [list(means(independent(REFERENCE // 2, size, 10**6 + k)))[-1] for k in range(2)]
    reference = (halves[0] + halves[1]) / 2
    rows, errors = [], {}
    for noise in NOISES:
        found: dict[int, list[tuple[float, float]]] = {count: [] for count in PASSES}
        for seed in range(num_seeds):
            for number, mean in enumerate(means(noise(max(PASSES), size, seed)), 1):
                if number in found:
                    both = error(mean, reference), rank_correlation(mean, reference)
                    found[number].append(both)
        cells = [np.mean(pairs, axis=0) for pairs in found.values()]
        name = noise.__name__.replace("_", "-")
        rows.append([name, *(f"{e:.3f} / {r:.3f}" for e, r in cells)])
        errors[name] = [float(e) for e, _ in cells]
    return rows, errors, error(halves[0], reference)


def integrated_rows(subject: Trained) -> tuple[list[list[str]], Errors]:
    """A row for each rule, and the errors in it."""
    gradient, images = compiled_gradient(subject), subject.images
    change = gradient(images)[1] - gradient(np.zeros_like(images))[1]

    def integrated(rule: str, steps: int) -> Array:
        total = np.zeros(images.shape)
        for alpha, weight in zip(*places(rule, steps), strict=True):
            total += weight * gradient(alpha * images)[0]
        return total * images

    reference = integrated("midpoint", REFERENCE)
    rows, errors = [], {}
    for rule in RULES:
        cells, name = [], rule.replace("_", "-")
        errors[name] = []
        for steps in PASSES:
            found = integrated(rule, steps)
            gap = np.abs(found.sum(tuple(range(1, images.ndim))) - change).sum()
            errors[name].append(error(found, reference))
            cells.append(f"{errors[name][-1]:.3f} / {gap / np.abs(change).sum():.3f}")
        rows.append([name, *cells])
    return rows, errors


def summarized(every: list[Errors], title: str) -> str:
    """The errors as multiples of the first row's, the geometric mean over models."""
    rows, first = [], next(iter(every[0]))
    for name in every[0]:
        ratios = [np.divide(errors[name], errors[first]) for errors in every]
        rows.append([name, *(f"{value:.2f}" for value in np.exp(np.mean(np.log(ratios), axis=0)))])
    return table([title, *(f"{count} passes" for count in PASSES)], rows)


def saved(path: Path) -> Trained:
    """A saved model of images, with crops of a photograph, -1..1, as its probes."""
    model = keras.models.load_model(path, compile=False)
    side, channels = model.input_shape[2:]
    images = photographs(16, side)[..., :channels] / 127.5 - 1
    targets = model.predict(images, verbose=0).argmax(axis=1)
    return Trained(model, images, targets, float("nan"))


def main() -> None:
    """Trains, measures, prints two tables for each model."""
    parser = arguments_of(__doc__)
    parser.add_argument("--model", type=Path, action="append", default=[], help="a saved model")
    parser.add_argument("--seeds", type=int, default=3, help="of the noise (default: 3)")
    arguments = parser.parse_args()
    made: dict[str, Callable[[], Trained]] = {
        "CNN on digits": lambda: trained(cnn, digits()),
        "inverted residuals on digits on photographs": lambda: trained(
            separable_cnn, digits_on_photographs()
        ),
    }
    made |= {f"saved model {p.stem}": lambda path=p: saved(path) for p in arguments.model}
    parts = [f"16 probes, {arguments.seeds} seeds of the noise. {machine('scipy')}"]
    header = [f"{count} passes" for count in PASSES]
    noise_errors, rule_errors = [], []
    for name, make in made.items():
        subject = make()
        rows, of_noise, own = smoothgrad_rows(subject, arguments.seeds)
        rule_rows, of_rules = integrated_rows(subject)
        noise_errors.append(of_noise)
        rule_errors.append(of_rules)
        told = "" if np.isnan(subject.accuracy) else f" (accuracy {subject.accuracy:.2f})"
        parts += [
            f"## {name}{told}",
            f"SmoothGrad: error / rank correlation; the reference's own error is about {own:.3f}.",
            table(["noise", *header], rows),
            "Integrated gradients: error / completeness gap.",
            table(["rule", *header], rule_rows),
        ]
    parts[1:1] = [
        "Errors as multiples of the first row's, over all models (a mean over random copies needs "
        "the square of that as many passes):",
        summarized(noise_errors, "noise"),
        summarized(rule_errors, "rule"),
    ]
    tell("\n\n".join(parts), arguments.out)


if __name__ == "__main__":
    main()
