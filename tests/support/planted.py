"""Images with a planted cue, probes with it as a region, and linear models that read it."""

import keras
import numpy as np

import keras_saliency as ks
from support.networks import CLASSES

SIDE, TAG = 12, (slice(2, 3), slice(2, 5))


def planted(cue, count=240, seed=0):
    """Objects in the middle, hard to see, and a lit pixel of three above them.

    Which one is lit tells the class; without the cue it is drawn.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.normal(0, 1, (count, SIDE, SIDE, 1))
    for target in range(CLASSES):  # a bar
        images[labels == target, 3 + 2 * target : 5 + 2 * target, 3:9] += 0.6
    images[:, 2, 2:5] = 0
    lit = labels if cue else rng.integers(CLASSES, size=count)
    images[np.arange(count), 2, 2 + lit] = 6
    return images.astype("float32"), labels


def tagged_probes(cue=True, per_class=12):
    """Images that were not trained on: of those, the model may know the noise by heart."""
    tag = np.zeros((SIDE, SIDE), bool)
    tag[TAG] = True
    images, labels = planted(cue, seed=1)
    count = CLASSES * per_class
    return ks.ProbeSet(images[:count], labels[:count], regions={"tag": tag})


def linear(rate=0.05):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    return model


def reading_the_tag(weight=1.0):
    """The weights of a linear model that looks at nothing else."""
    kernel = np.zeros((SIDE, SIDE, CLASSES))
    kernel[TAG] = weight * np.eye(CLASSES)
    return [kernel.reshape(-1, CLASSES), np.zeros(CLASSES)]


def reading_the_object():
    """The weights of a linear model that sees the bars, and nothing else."""
    kernel = np.zeros((SIDE, SIDE, CLASSES))
    for target in range(CLASSES):
        kernel[3 + 2 * target : 5 + 2 * target, 3:9, target] = 1
    return [kernel.reshape(-1, CLASSES), np.zeros(CLASSES)]


def train(callbacks, cue=True, epochs=4, model=None, **kwargs):
    model = model or linear()
    return model.fit(
        *planted(cue), batch_size=24, epochs=epochs, verbose=0, callbacks=callbacks, **kwargs
    )


class Teacher(keras.callbacks.Callback):
    """Gives a model weights of 0; from epoch 1 on such as read the tag alone, ever larger ones."""

    def on_train_begin(self, logs=None):
        self.model.set_weights(reading_the_tag(0))

    def on_epoch_begin(self, epoch, logs=None):
        self.model.set_weights(reading_the_tag(epoch))
