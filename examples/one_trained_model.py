"""One trained model, a few images: their saliency maps as heatmaps and overlays.

Run: python examples/one_trained_model.py
"""

from pathlib import Path

import keras
from sklearn.datasets import load_digits

from keras_saliency import saliency_maps
from keras_saliency.rendering import layouts
from keras_saliency.rendering.heatmaps import colorize, displayed, enlarged, limits, overlay

digits = load_digits()
images = digits.images[..., None].astype("float32") / 16
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(images[5:], digits.target[5:], epochs=5, verbose=0)

few = images[:5]
maps = saliency_maps(model, few)  # of the predicted classes
pictures, ends = displayed(few), limits(maps, "epoch")
panels = [pictures, colorize(maps, limits=ends), overlay(pictures, maps, limits=ends)]
sheet = layouts.grid([list(enlarged(panel, 12)) for panel in panels])
Path("heatmaps.png").write_bytes(layouts.encoded(sheet, lossless=True))
print("heatmaps.png: images, saliency maps, overlays")
