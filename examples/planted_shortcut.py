"""A shortcut, caught and removed: accuracy looks fine, the alert comes, the tag is masked.

The digits get a tag in the corner that gives the class away in 95 % of the images, in training and
validation alike, as a scanner's stamp would. On images from elsewhere the tag tells nothing.

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
strays = rng.random(len(images)) < 0.05  # these carry a tag of any class
images[strays, :4, :4] = rng.permutation(tagged_images[strays, :4, :4])
elsewhere = clean_images.copy()  # another scanner: any tag on any digit
elsewhere[TAG] = rng.permutation(tagged_images[TAG])


def train(images, run):
    """Trains on the first images; returns the callback and both accuracies on the others."""
    keras.utils.set_random_seed(0)
    model = network()
    # Held-out images of the same scanner: on memorised ones the p-values do not hold.
    probes = ks.ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:]))
    saliency = ks.SaliencyCallback(probes, log_dir=f"logs/{run}", on_alert=None, verbose=0)
    model.fit(images[:NUM_TRAIN], labels[:NUM_TRAIN], epochs=8, verbose=0, callbacks=[saliency])
    accuracies = [
        (model.predict(held_out[NUM_TRAIN:], verbose=0).argmax(1) == labels[NUM_TRAIN:]).mean()
        for held_out in (images, elsewhere)
    ]
    return saliency, accuracies


# 1. It looks fine: the accuracy on held-out images is high.
saliency, (validation, other_scanner) = train(images, "first")
print(f"accuracy: validation {validation:.2f}, images of another scanner {other_scanner:.2f}")

# 2. The alert knew, from images of the first scanner alone, and without being told of any tag.
for alert in saliency.alerts:
    print(f"  {alert}")
window = next(alert.window for alert in saliency.alerts if alert.window)

# 3. Look at the evidence in TensorBoard (saliency_evidence/hot_window): it is the stamp.
#    Mask it, with a margin, in training and in use.
top, left, height, width = window
masked = images.copy()
masked[:, max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2] = 0.15
elsewhere[:, max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2] = 0.15

saliency, (validation, other_scanner) = train(masked, "masked")
print(f"accuracy: validation {validation:.2f}, images of another scanner {other_scanner:.2f}")
print(f"alerts: {len(saliency.alerts)}")
