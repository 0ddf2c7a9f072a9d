"""A shortcut, found and removed: an alert, one line more, and the alert is withdrawn.

The digits get a tag in the corner that gives the class away in 95 % of the images, in training and
validation data alike, as the stamp of a scanner would. In images from another scanner the tag has
nothing to do with the class.

Run: python examples/planted_shortcut.py
"""

import keras
import numpy as np
import tensorflow as tf

import keras_saliency as ks
from keras_saliency.app.demo import digits, network

NUM_TRAIN, EPOCHS = 1200, 8

clean_images, labels = digits(tagged=False)
tagged_images, _ = digits(tagged=True)
rng = np.random.default_rng(0)

images = tagged_images.copy()
has_random_tag = rng.random(len(images)) < 0.05  # the tag of any class
images[has_random_tag, :4, :4] = rng.permutation(tagged_images[has_random_tag, :4, :4])
other_scanner = clean_images.copy()
other_scanner[:, :4, :4] = rng.permutation(tagged_images[:, :4, :4])


def print_accuracies(when):
    for name, data in (("validation data", images), ("another scanner", other_scanner)):
        predictions = model.predict(data[NUM_TRAIN:], verbose=0).argmax(axis=1)
        accuracy = (predictions == labels[NUM_TRAIN:]).mean()
        print(f"{when}: accuracy on images of {name}: {accuracy:.2f}")


# 1. The accuracy on validation data looks fine. The alert says what it rests on. It needs only
#    images of the first scanner, and nobody has to name the tag.
keras.utils.set_random_seed(0)
model = network()
train_ds = tf.data.Dataset.from_tensor_slices((images[:NUM_TRAIN], labels[:NUM_TRAIN]))
train_ds = train_ds.shuffle(NUM_TRAIN, seed=0).batch(32)
# Held-out images that carry the same tag: on memorised ones the p-values do not hold.
probes = ks.ProbeSet.from_dataset((images[NUM_TRAIN:], labels[NUM_TRAIN:]))
saliency = ks.SaliencyCallback(probes, log_dir="logs/planted_shortcut", verbose=0)
settings = {"shuffle": False, "verbose": 0, "callbacks": [saliency]}
model.fit(train_ds, epochs=EPOCHS, **settings)
print_accuracies("before")
(alert,) = saliency.alerts

# 2. The evidence in TensorBoard (saliency_evidence/...) shows the tag. Exchange it between the
#    images of each batch, and train on.
train_ds = train_ds.map(alert.remedy().map)
model.fit(train_ds, initial_epoch=EPOCHS, epochs=2 * EPOCHS, **settings)

# 3. The accuracy on images of the other scanner is as high now, and the alert was withdrawn by the
#    test that had raised it.
print_accuracies("after")
for alert in saliency.alerts:
    print(f"alert of {alert.rule}, since epoch {alert.step}; withdrawn at epoch {alert.withdrawn}")
