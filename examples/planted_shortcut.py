"""A shortcut, found and removed: high accuracy, an alert, the tag covered, no alert.

The digits get a tag in the corner that gives the class away in 95 % of the images, in training and
validation data alike, as the stamp of a scanner would. In images from another scanner the tag has
nothing to do with the class.

Run: python examples/planted_shortcut.py
"""

import keras
import numpy as np

import keras_saliency as ks
from keras_saliency.app.demo import digits, network

NUM_TRAIN = 1200
TAG = np.s_[:, :4, :4]

clean_images, labels = digits(tagged=False)
tagged_images, _ = digits(tagged=True)
rng = np.random.default_rng(0)

images = tagged_images.copy()
has_random_tag = rng.random(len(images)) < 0.05  # the tag of any class
images[has_random_tag, :4, :4] = rng.permutation(tagged_images[has_random_tag, :4, :4])
other_scanner = clean_images.copy()
other_scanner[TAG] = rng.permutation(tagged_images[TAG])


def train(images, run, on_alert):
    """Trains on the first images; prints accuracies on the others, and returns the callback."""
    keras.utils.set_random_seed(0)
    model = network()
    # Held-out images that carry the same tag: on memorised ones the p-values do not hold.
    probes = ks.ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:]))
    saliency = ks.SaliencyCallback(probes, log_dir=f"logs/{run}", on_alert=on_alert, verbose=0)
    model.fit(images[:NUM_TRAIN], labels[:NUM_TRAIN], epochs=8, verbose=0, callbacks=[saliency])
    for name, data in (("validation data", images), ("another scanner", other_scanner)):
        predictions = model.predict(data[NUM_TRAIN:], verbose=0).argmax(axis=1)
        accuracy = (predictions == labels[NUM_TRAIN:]).mean()
        print(f"{run}: accuracy on images of {name}: {accuracy:.2f}")
    print(f"{run}: {len(saliency.alerts)} alerts")
    return saliency


def remember(alert):
    """Called with each alert, which is also printed. Returning "stop" would end the training."""
    if alert.window is not None:
        windows.append(alert.window)


# 1. The accuracy on validation data looks fine. The alert says what it rests on. It needs only
#    images of the first scanner, and nobody has to name the tag.
windows = []
train(images, "tagged", on_alert=remember)

# 2. The evidence in TensorBoard (saliency_evidence/...) shows the tag in that window. Cover it,
#    with a margin, in all images: in training and in use.
top, left, height, width = windows[0]
covered = np.s_[:, max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2]
images[covered] = other_scanner[covered] = 0.15

# 3. Validation accuracy is lower now, and it holds for the other scanner, too.
train(images, "covered", on_alert="warn")
