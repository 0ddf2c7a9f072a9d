"""Logs that are written report by report, without a model."""

import numpy as np

import keras_saliency as ks
from keras_saliency.log.reader import read_log


def report(maps, step=0, **more):
    count = len(maps)
    ones = np.ones(count, np.float32)
    usual = {"confidences": ones.copy(), "scores": ones, "gradient_norms": ones, "metrics": {}}
    return ks.SaliencyReport(
        step=step,
        maps=np.abs(maps),
        targets=np.zeros(count, int),
        predictions=np.zeros(count, int),
        **(usual | more),
    )


def written(tmp_path, probes, *reports, **how):
    sink = ks.TensorBoardSink(tmp_path, probes, **how)
    for one in reports:
        sink.write(one)
    sink.close()
    return read_log(tmp_path)["saliency"]


def images(count, height, width, channels=1, seed=0):
    return np.random.default_rng(seed).random((count, height, width, channels), np.float32)
