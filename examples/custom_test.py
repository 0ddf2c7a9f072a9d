"""A custom intervention test: does the model read the class from where the light comes from?

All images of one class are lit from the left, all of the other from the right. The test exchanges
the slope of the brightness between images, and nothing else.

Run: python examples/custom_test.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_saliency as ks

data = load_digits(n_class=2)
images, labels = data.images[..., np.newaxis].astype("float32") / 32, data.target
ramp = np.linspace(-1, 1, 8, dtype="float32")[np.newaxis, :, np.newaxis]  # (1, 8, 1): along rows
slopes = np.where(labels == 0, -0.2, 0.2).reshape(-1, 1, 1, 1)
images = (0.3 + images + slopes * ramp).astype("float32")
train, held_out = (images[:200], labels[:200]), (images[200:], labels[200:])


def swap_light(recipients, donors, where):
    """The recipient with the donor's slope of brightness along the rows."""
    ours, theirs = (
        (pixels * ramp).mean(axis=(1, 2, 3), keepdims=True) for pixels in (recipients, donors)
    )
    return recipients + (theirs - ours) / (ramp * ramp).mean() * ramp


light = ks.InterventionTest(
    "light",
    swap_light,
    subject="the direction of the light",
    assumption="the light does not belong to the object",
    remedy="mirror the images at random in training",
    floor=0.2,
)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
saliency = ks.SaliencyCallback(
    ks.ProbeSet.from_dataset(held_out),  # held out: memorised images prove nothing
    log_dir=None,
    on_alert=None,  # they are printed below
    interventions=ks.Interventions(tests=[*ks.TESTS, light]),
    verbose=0,
)
model.fit(*train, epochs=6, verbose=0, callbacks=[saliency])
for alert in saliency.alerts:
    print(f"{alert.rule}: accuracy drops by {100 * alert.effect:.0f} points, epoch {alert.step}")
