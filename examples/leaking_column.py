"""A table: a column that is known only after the class is.

Whether a customer leaves is to be predicted from ten columns. The last one, the date of the final
bill, is empty (0) for nearly all who stay: it gives the class away, and a model that relies on it
knows nothing about next month. Nobody has to name the column: the test `column` exchanges those
columns that tell the class best by themselves.

Run: python examples/leaking_column.py
"""

import keras
import numpy as np
from sklearn.datasets import make_classification

import keras_saliency as ks
from keras_saliency.rendering.evidence import evidence

table, leaves = make_classification(
    800, 9, n_informative=4, class_sep=0.6, flip_y=0.1, random_state=0
)
rng = np.random.default_rng(0)
has_final_bill = np.where(rng.random(800) < 0.05, rng.random(800) < 0.5, leaves)
final_bill = has_final_bill * rng.uniform(1, 3, 800)
leaking_table = np.column_stack([table, final_bill]).astype("float32")


def train(table, name):
    """Trains on the first 640 rows, with the others as probes; returns what was caught."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(table.shape[1:]),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    probes = ks.ProbeSet(
        table[640:], leaves[640:], kind="features", class_names=["stays", "leaves"]
    )

    def draw(alert):
        keras.utils.save_img(f"{name}.png", evidence(probes, saliency.report, alert))

    saliency = ks.SaliencyCallback(probes, log_dir=None, on_alert=draw, verbose=0)
    model.fit(table[:640], leaves[:640], epochs=8, verbose=0, callbacks=[saliency])
    return [alert.rule for alert in saliency.alerts]


# The picture shows two rows that exchange the column, and what the model then predicts.
print("with the final bill:", train(leaking_table, "leaking_column"))
print("without it:", train(leaking_table[:, :9], "clean"))
