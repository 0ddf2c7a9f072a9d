"""Do the image classifiers of keras-hub get right maps? A table of pass or fail.

    python -m benchmarks.keras_hub [--only ViT,SwinTransformer] [--out FILE]

One small model of each family is built with random weights, in a process of its own, and two
probes are explained by gradient, smoothgrad (4 samples), integrated_gradients (4 steps) and
grad_cam. What maps are held against is computed without this library, by a plain
`tf.GradientTape`. For Grad-CAM, the layer that was chosen is watched: its output is replaced by a
watched copy while the model runs. Grids of tokens are written down here by hand.

A cell passes as in `benchmarks.applications`: the maps are finite, not zero or constant unless the
tape's are, and differ from the tape's by less than 1e-3 (relative L2); `pip install
keras-saliency[hub]` installs the version of keras-hub that this was tried with. The exit status is
1 if there is a fail.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_saliency as ks
from benchmarks._models import Array, arguments_of, machine, photographs, table
from benchmarks.applications import COLUMNS, TOLERANCE, difference, verdict
from keras_saliency.attributions import METHODS
from keras_saliency.attributions.layer_maps import layer_map
from keras_saliency.attributions.noise import noisy

TARGETS = np.array([1, 3])
CLASSES = 5

BACKBONES: dict[str, tuple[int, dict[str, Any]]] = {
    "CSPNet": (
        64,
        {
            "stem_filters": 8,
            "stem_kernel_size": 3,
            "stem_strides": 2,
            "stackwise_depth": [1, 2],
            "stackwise_strides": [2, 2],
            "stackwise_num_filters": [16, 24],
            "block_type": "dark_block",
            "stage_type": "dark",
        },
    ),
    "DeiT": (
        64,
        {"patch_size": 16, "num_layers": 3, "num_heads": 2, "hidden_dim": 32}
        | {"intermediate_dim": 64},
    ),
    "DenseNet": (64, {"stackwise_num_repeats": [2, 2], "growth_rate": 8}),
    "EfficientNet": (
        64,
        {
            "stackwise_width_coefficients": [1, 1],
            "stackwise_depth_coefficients": [1, 1],
            "stackwise_kernel_sizes": [3, 3],
            "stackwise_num_repeats": [1, 2],
            "stackwise_input_filters": [16, 16],
            "stackwise_output_filters": [16, 24],
            "stackwise_expansion_ratios": [1, 4],
            "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
            "stackwise_strides": [1, 2],
            "stackwise_block_types": ["v1", "v1"],
            "stackwise_force_input_filters": [0, 0],
            "stackwise_nores_option": [False, False],
            "num_features": 64,
        },
    ),
    "HGNetV2": (
        64,
        {
            "depths": [1, 1],
            "embedding_size": 16,
            "hidden_sizes": [32, 48],
            "stem_channels": [3, 8, 16],
            "hidden_act": "relu",
            "use_learnable_affine_block": False,
            "stackwise_stage_filters": [[16, 8, 32, 1, 1, 3], [32, 8, 48, 1, 1, 3]],
            "apply_downsample": [False, True],
            "use_lightweight_conv_block": [False, False],
        },
    ),
    "MiT": (
        64,
        {
            "layerwise_depths": [1, 2],
            "num_layers": 2,
            "layerwise_num_heads": [1, 2],
            "layerwise_sr_ratios": [4, 1],
            "max_drop_path_rate": 0.1,
            "layerwise_patch_sizes": [7, 3],
            "layerwise_strides": [4, 2],
            "hidden_dims": [16, 32],
        },
    ),
    "MobileNet": (
        64,
        {
            "stackwise_expansion": [[8], [24, 32]],
            "stackwise_num_blocks": [1, 2],
            "stackwise_num_filters": [[8], [16, 16]],
            "stackwise_kernel_size": [[3], [3, 3]],
            "stackwise_num_strides": [[2], [2, 1]],
            "stackwise_se_ratio": [[0.25], [None, 0.25]],
            "stackwise_activation": [["relu"], ["relu", "hard_swish"]],
            "stackwise_padding": [[1], [1, 1]],
            "output_num_filters": 48,
            "depthwise_filters": 8,
            "depthwise_stride": 1,
            "depthwise_residual": False,
            "last_layer_filter": 64,
            "squeeze_and_excite": 0.25,
        },
    ),
    "MobileNetV5": (
        64,
        {
            "stackwise_block_types": [["er"], ["uir", "uir"]],
            "stackwise_num_blocks": [1, 2],
            "stackwise_num_filters": [[24], [48, 48]],
            "stackwise_strides": [[2], [2, 1]],
            "stackwise_act_layers": [["relu"], ["relu", "relu"]],
            "stackwise_exp_ratios": [[4.0], [6.0, 6.0]],
            "stackwise_se_ratios": [[0.0], [0.0, 0.0]],
            "stackwise_dw_kernel_sizes": [[0], [5, 5]],
            "stackwise_dw_start_kernel_sizes": [[0], [0, 0]],
            "stackwise_dw_end_kernel_sizes": [[0], [0, 0]],
            "stackwise_exp_kernel_sizes": [[3], [0, 0]],
            "stackwise_pw_kernel_sizes": [[1], [0, 0]],
            "stackwise_num_heads": [[0], [0, 0]],
            "stackwise_key_dims": [[0], [0, 0]],
            "stackwise_value_dims": [[0], [0, 0]],
            "stackwise_kv_strides": [[0], [0, 0]],
            "stackwise_use_cpe": [[False], [False, False]],
            "use_msfa": False,
        },
    ),
    "ResNet": (
        64,
        {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [7],
            "stackwise_num_filters": [64, 128],
            "stackwise_num_blocks": [1, 2],
            "stackwise_num_strides": [1, 2],
            "block_type": "basic_block",
        },
    ),
    "SwinTransformer": (
        64,
        {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4},
    ),
    "VGG": (64, {"stackwise_num_repeats": [1, 2], "stackwise_num_filters": [8, 16]}),
    "ViT": (
        64,
        {"patch_size": 16, "num_layers": 3, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64},
    ),
    "ViT, averaged": (
        64,
        {"patch_size": 16, "num_layers": 3, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
        | {"use_class_token": False},
    ),
    "Xception": (
        71,
        {"stackwise_conv_filters": [[8, 16], [16, 16]], "stackwise_pooling": [True, False]},
    ),
}
"""The side of the input, and the arguments of the smallest sensible backbone, by family."""

TOKENS = {"DeiT": (4, 4, 2), "SwinTransformer": (8, 8, 0), "ViT": (4, 4, 1)}
TOKENS["ViT, averaged"] = (4, 4, 0)
"""The height and width of the grid of tokens, and the number of tokens before it."""


def build(name: str) -> keras.Model:
    """The classifier of a family."""
    import keras_hub

    family = name.partition(",")[0]
    side, arguments = BACKBONES[name]
    shape = {"EfficientNet": "input_shape"}.get(family, "image_shape")
    backbone_type = getattr(keras_hub.models, f"{family}Backbone")
    classifier_type = getattr(keras_hub.models, f"{family}ImageClassifier")
    backbone = backbone_type(**arguments, **{shape: (side, side, 3)})
    options: dict[str, Any] = {"pooling": "gap"} if "averaged" in name else {}
    if family == "HGNetV2":
        options["preprocessor"] = None
    model = classifier_type(backbone=backbone, num_classes=CLASSES, **options)
    model(np.zeros((1, side, side, 3), np.float32))
    return model


def scores_of(model: keras.Model, images: Any) -> Any:
    """The logits of the targets: by default, these classifiers have no activation."""
    return tf.gather(model(images, training=False), TARGETS, axis=1, batch_dims=1)


def gradient(model: keras.Model, images: Array) -> Array:
    """The gradient of the scores to the images, by a tape."""
    watched = tf.constant(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        scores = scores_of(model, watched)
    return np.asarray(tape.gradient(scores, watched))


def smooth(model: keras.Model, images: Array, samples: int) -> Array:
    """The mean over the copies of SmoothGrad's own defaults."""
    copy = noisy(None, tf.constant(images), samples, 0.15, True, 0)
    return np.mean([gradient(model, copy(tf.constant(k))) for k in range(samples)], axis=0)


def integrated(model: keras.Model, images: Array, steps: int) -> Array:
    """Integrated gradients from zero, by the midpoint rule."""
    parts = [gradient(model, images * ((k + 0.5) / steps)) for k in range(steps)]
    return images * np.mean(np.asarray(parts, np.float64), axis=0)


def layer_at(model: keras.Model, path: str) -> Any:
    """The layer, or the operation of a functional model, with this path."""
    layer: Any = model
    for name in path.split("/"):
        inner = {one.name: one for one in [*layer._layers, *getattr(layer, "operations", [])]}
        layer = inner[name]
    return layer


def grad_cam(model: keras.Model, images: Array, path: str, grid: Any) -> Array:
    """Grad-CAM at a layer, by a tape that watches its output: `(batch, height, width)`."""
    layer, seen = layer_at(model, path), []
    with tf.GradientTape() as tape:
        call = layer.call

        def watching(*args: Any, **kwargs: Any) -> Any:
            output = tf.identity(call(*args, **kwargs))
            tape.watch(output)
            seen.append(output)
            return output

        object.__setattr__(layer, "call", watching)
        try:
            scores = scores_of(model, tf.constant(images))
        finally:
            object.__delattr__(layer, "call")
    values, slopes = np.asarray(seen[-1]), np.asarray(tape.gradient(scores, seen[-1]))
    if values.ndim == 3:
        height, width, first = grid
        values, slopes = (
            one[:, first : first + height * width].reshape(len(one), height, width, -1)
            for one in (values, slopes)
        )
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    cam = np.maximum((weights * values).sum(axis=-1, keepdims=True), 0)
    return np.asarray(tf.image.resize(cam, images.shape[1:3]))[..., 0]


def explain(model: keras.Model, images: Array) -> tuple[dict[str, Array], str, tuple[int, ...]]:
    """The maps by method; the path of Grad-CAM's layer, and the size of its map."""
    notes: dict[str, Any] = {}

    def named_grad_cam(score_fn: Any, inputs: Any) -> Any:
        found = layer_map(score_fn, inputs)
        notes["layer"], notes["size"] = found.call.path, found.sizes
        return METHODS["grad_cam"](score_fn, inputs)

    methods: dict[str, Any] = {
        "gradient": "gradient",
        "smoothgrad": partial(METHODS["smoothgrad"], num_samples=4),
        "integrated_gradients": partial(METHODS["integrated_gradients"], num_steps=4),
        "grad_cam": named_grad_cam,
    }
    monitor = ks.SaliencyMonitor(model, ks.ProbeSet(images, TARGETS), method=[*methods.values()])
    report = monitor.evaluate(step=0)
    maps = [report.maps, *report.others.values()]
    return dict(zip(methods, maps, strict=True)), notes["layer"], notes["size"]


def examine(name: str) -> list[str]:
    """The row of one family."""
    keras.utils.set_random_seed(0)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    model = build(name)
    images = photographs(2, BACKBONES[name][0]) / 127.5 - 1
    maps, layer, size = explain(model, images)

    def largest(values: Array) -> Array:
        return np.abs(values).max(axis=-1)

    expected: dict[str, Callable[[], Array]] = {
        "gradient": lambda: largest(gradient(model, images)),
        "smoothgrad": lambda: largest(smooth(model, images, 4)),
        "integrated_gradients": lambda: largest(integrated(model, images, 4)),
        "grad_cam": lambda: grad_cam(model, images, layer, TOKENS.get(name)),
    }
    values = {column: expected[column]() for column in COLUMNS}
    off = {column: difference(maps[column], values[column]) for column in COLUMNS}
    wrong = {c: f"differs by {d:.0e}" if d > TOLERANCE else "" for c, d in off.items()}
    row = {c: verdict(maps[c], values[c], wrong[c]) for c in COLUMNS}
    kind = "tokens" if name in TOKENS else "map"
    row["grad_cam"] += f": {layer}, {kind} {'x'.join(map(str, size))}"
    side = f"{BACKBONES[name][0]} px, {model.count_params():,} weights"
    return [name, side, *row.values(), f"{max(off.values()):.0e}"]


def row_of(name: str) -> list[str]:
    """The row of one family, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.keras_hub", "--row", name]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode == 0:
        row: list[str] = json.loads(ran.stdout.splitlines()[-1])
        return row
    lines = ran.stderr.strip().splitlines()
    reason = f"FAIL: {lines[-1][:200]}" if lines else f"FAIL: exit status {ran.returncode}"
    return [name, "", *[reason] * len(COLUMNS), ""]


def main() -> int:
    """Examines the families one by one and prints the table; returns the exit status."""
    parser = arguments_of(__doc__)
    parser.add_argument("--only", metavar="NAMES", help="these, separated by semicolons")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(examine(arguments.row)))
        return 0
    names = arguments.only.split(";") if arguments.only else [*BACKBONES]
    if unknown := set(names) - set(BACKBONES):
        parser.error(f"--only: no such family: {sorted(unknown)}")
    rows: list[list[str]] = []
    for name in names:
        rows.append(row_of(name))
        fails = sum(cell.startswith("FAIL") for row in rows for cell in row)
        header = ["family", "input", *COLUMNS, "largest difference"]
        text = (
            f"{len(rows)} models, random weights, 2 probes: {fails} fails. "
            f"{machine('keras-hub')}\n\n{table(header, rows)}"
        )
        print(f"{len(rows)} of {len(names)}: {name}", file=sys.stderr, flush=True)
        if arguments.out:
            arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(fails > 0)


if __name__ == "__main__":
    sys.exit(main())
