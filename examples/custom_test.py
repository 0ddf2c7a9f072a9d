"""A custom intervention test: a camera's stripe, which no built-in test looks for.

Each camera leaves a faint bright column in its images, and each class of digits was photographed by
a camera of its own. The stripe crosses the digit, so that no border and no small window contains
it. The test exchanges what cameras differ in: the mean of each column.

Run: python examples/custom_test.py
"""

import keras
import numpy as np

import keras_saliency as ks
from keras_saliency.app.demo import digits, network

NUM_TRAIN = 1200

clean_images, labels = digits(tagged=False)
striped_images = clean_images.copy()
striped_images[np.arange(len(labels)), :, 5 + labels] += 0.3  # class 0: column 5, and so on


def swap_column_means(recipients, donors, where):
    """The recipients' images with the donors' column means; `where` is None: it needs no place."""
    difference = donors.mean(axis=1, keepdims=True) - recipients.mean(axis=1, keepdims=True)
    return recipients + difference


stripes = ks.InterventionTest(
    "stripes",
    swap_column_means,
    subject="the mean of each column",
    assumption="the column means come from the camera, not from the object",
    advice="subtract each column's mean, or photograph all classes with the same camera",
    floor=0.25,
    control="rest",  # the effect has to be larger than that of exchanging everything else
)


def train(images, name):
    """Trains on the first images with probes from the others; returns what was caught."""
    keras.utils.set_random_seed(0)
    model = network()
    # Held-out images: on memorised ones the p-values of the tests do not hold.
    probes = ks.ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:]))
    interventions = ks.Interventions(tests=[*ks.TESTS, stripes])
    saliency = ks.SaliencyCallback(
        probes,
        log_dir=f"logs/{name}",
        interventions=interventions,
        pictures=None,  # none in the stock tabs; the SALIENCY tab has its maps
        verbose=0,
    )
    model.fit(images[:NUM_TRAIN], labels[:NUM_TRAIN], epochs=3, verbose=0, callbacks=[saliency])
    print(f"{name}: {[alert.rule for alert in saliency.alerts]}")
    return saliency.alerts


assert "stripes" in [alert.rule for alert in train(striped_images, "striped")]
assert not train(clean_images, "clean")
