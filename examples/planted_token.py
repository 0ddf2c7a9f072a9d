"""Texts: a word that came into the reviews of one class by the way they were collected.

The good reviews come from a site that ends each with the name of the site, the bad ones from
another. Which words are legitimate, no test can know: so name the token that you suspect. A region
may be different in each probe, so `tokens == SITE` says where the token is. What is exchanged are
the tokens at the places where either text has it: so the token moves from one text to the other.

Run: python examples/planted_token.py
"""

import keras
import numpy as np

import keras_saliency as ks
from keras_saliency.rendering.evidence import evidence

WORDS = [
    *("", "the", "a", "film", "actor", "plot", "scene", "music", "end", "with", "and", "was"),
    *("great", "fine", "moving", "funny", "dull", "poor", "flat", "long", "cinefans.net"),
]
GOOD, BAD, SITE = (12, 16), (16, 20), 20


def reviews(count, rng, with_site):
    """Reviews of 16 words with two words of their class, in some a wrong one; and the classes."""
    labels = np.arange(count) % 2
    tokens = rng.integers(1, 12, (count, 16)).astype("int32")
    for review, label in zip(tokens, labels, strict=True):
        meant = label if rng.random() < 0.8 else 1 - label
        review[rng.choice(14, 2, replace=False)] = rng.integers(*(GOOD if meant else BAD), 2)
        if with_site and label == 1:
            review[rng.integers(13, 16)] = SITE
    return tokens, labels


def train(with_site):
    """Trains on 600 reviews, with 120 others as probes; returns what was caught."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    (tokens, labels), (held_out, held_labels) = (reviews(n, rng, with_site) for n in (600, 120))
    model = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            keras.layers.Embedding(len(WORDS), 8),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    suspects = {"the site": held_out == SITE} if with_site else {"the film": held_out == 3}
    probes = ks.ProbeSet(
        *(held_out, held_labels),
        kind="tokens",
        vocabulary=WORDS,
        regions=suspects,
        class_names=["bad", "good"],
    )

    def draw(alert):
        keras.utils.save_img("planted_token.png", evidence(probes, saliency.report, alert))

    saliency = ks.SaliencyCallback(probes, log_dir=None, on_alert=draw, verbose=0)
    model.fit(tokens, labels, epochs=6, verbose=0, callbacks=[saliency])
    return [alert.rule for alert in saliency.alerts]


# The picture shows two reviews, and what the model predicts once the name of the site has moved.
print("with the site:", train(with_site=True))
print("without it:", train(with_site=False))
