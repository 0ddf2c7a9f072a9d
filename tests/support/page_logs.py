"""Logs for the tests of the SALIENCY tab's page: of a training, and written by hand."""

from functools import cached_property

import keras
import matplotlib
import numpy as np

import keras_saliency as ks
from keras_saliency.data.reports import Alert, Effect, InterventionResults, Verdict
from keras_saliency.log import tags
from keras_saliency.log.blobs import unpacked
from keras_saliency.log.encoder import Encoder
from keras_saliency.log.reader import read_blobs
from support.events import blobs, write, writing

HEIGHT, WIDTH = 48, 60  # of the images; the matrix shows their maps at half of that
CLASS_NAMES = ["cat", "dog", "eel"]
PER_CLASS = 12
COUNT = 3 * PER_CLASS
METHODS = ["gradient", "integrated_gradients"]
TAG = (slice(2, 6), slice(4, 16))
EPOCHS = 3
NOT_A_NUMBER = (0, 120, 140)
LUMA = np.array([0.299, 0.587, 0.114])


def planted(cue, count=240, seed=0):
    """Coloured noise with a faint object in the middle, and a tag that tells the class.

    Without the cue, the tag is drawn by lot.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.uniform(0, 0.6, (count, HEIGHT, WIDTH, 3))
    for target in range(3):
        images[labels == target, 16 + 6 * target : 22 + 6 * target, 20:40, target] += 0.1
    images[(slice(None), *TAG)] = 0
    lit = labels if cue else rng.integers(3, size=count)
    for target in range(3):
        images[lit == target, TAG[0], 4 + 4 * target : 8 + 4 * target, target] = 1
    return images.astype("float32"), labels


def tagged_probes(*, named=True):
    """With masks that differ; if `named`, with a region for all, and one of each probe's own."""
    images, labels = planted(True, seed=1)
    tag = np.zeros((HEIGHT, WIDTH), bool)
    tag[TAG] = True
    masks = np.zeros((COUNT, HEIGHT, WIDTH), bool)
    own = np.zeros((COUNT, HEIGHT, WIDTH), bool)
    for probe in range(COUNT):
        masks[probe, 14 : 36 - probe % 5, 18:42] = True
        own[probe, 40:46, probe : probe + 6] = True
    return ks.ProbeSet(
        images[:COUNT],
        labels[:COUNT],
        masks=masks,
        regions={"tag": tag, "own corner": own} if named else {},
        class_names=CLASS_NAMES,
    )


def train(log_dir, *, cue=True, named=True, epochs=EPOCHS, **settings):
    """Fits a small network; its log is that of `SaliencyCallback`."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((HEIGHT, WIDTH, 3)),
            keras.layers.Rescaling(2.0, offset=-0.6),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation="tanh"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.0003), "sparse_categorical_crossentropy")
    saliency = ks.SaliencyCallback(
        tagged_probes(named=named), log_dir=log_dir, verbose=0, **settings
    )
    model.fit(*planted(cue), batch_size=24, epochs=epochs, verbose=0, callbacks=[saliency])
    return saliency


def report(step, maps, **more):
    """One with numbers drawn by lot; predictions are all right."""
    count = len(maps)
    rng = np.random.default_rng(step + 1)
    usual = {
        "targets": np.arange(count) % 3,
        "predictions": np.arange(count) % 3,
        "confidences": rng.random(count, np.float32),
        "scores": rng.normal(size=count).astype(np.float32),
        "gradient_norms": rng.random(count, np.float32),
        "metrics": {"gini": float(rng.random())},
    }
    return ks.SaliencyReport(step=step, maps=np.abs(maps), **(usual | more))


def write_signed(log_dir):
    """Signed maps of larger pictures, each epoch on another scale; one not a number, one zero."""
    rng = np.random.default_rng(7)
    sink = ks.TensorBoardSink(
        log_dir,
        ks.ProbeSet(rng.random((5, 8, 12, 3)), np.arange(5) % 3),
        pictures=ks.Pictures(map_size=6),
    )
    for step in range(3):
        maps = rng.normal(size=(5, 8, 12)).astype(np.float32)
        maps *= rng.uniform(0.1, 1, (5, 1, 1))
        maps[3] = 0
        if step:
            maps[4, :2, :4] = np.nan
        else:
            maps[4] = np.nan
        other = rng.normal(size=(5, 8, 12)).astype(np.float32)
        sink.write(report(step, maps, signed_maps=maps, others={"occlusion": other}))
    sink.close()


def write_withdrawn(log_dir):
    """An alert at step 1, which the tests at steps 2 and 3 do not confirm."""
    effects = [0.5, 0.5, 0.01, 0.01]
    raised = ["warning", "alert"]
    verdicts = [("fires", False), ("fires", True), ("quiet", True), ("quiet", False)]
    sink = ks.TensorBoardSink(log_dir, ks.ProbeSet(np.zeros((2, 4, 4, 1)), [0, 1]))
    for step, (value, (status, active)) in enumerate(zip(effects, verdicts, strict=True)):
        effect = Effect("border", effect=value, p_value=0.001, num_probes=2)
        verdict = Verdict(effect, 0.25, 0.001, 0.0, status, "", active, withdrawn=step == 3)
        alerts = [
            Alert(
                *(level, step, "border", f"a sentence of step {step}", "", ""),
                *(value, 0.5, 0.001, 0.0, 0.0, 2, None, None, ()),
            )
            for level in raised[step : step + 1]
        ]
        found = InterventionResults((effect,), "", "accuracy", 4, "")
        more = {"interventions": found, "verdicts": (verdict,), "alerts": tuple(alerts)}
        sink.write(report(step, np.ones((2, 4, 4), np.float32), **more))
    sink.close()


KINDS = {
    "series": ((3, 20, 2), (3, 20)),
    "volume": ((3, 5, 6, 7, 1), (3, 5, 6, 7)),
    "features": ((3, 24), (3, 24)),
    "tokens": ((3, 12), (3, 12)),
}
"""Of inputs that are no images: their shape, and that of their maps."""


def write_kind(log_dir, kind):
    shape, map_shape = KINDS[kind]
    rng = np.random.default_rng(5)
    values = rng.integers(0, 9, shape) if kind == "tokens" else rng.random(shape)
    sink = ks.TensorBoardSink(log_dir, ks.ProbeSet(values, [0, 1, 2], kind=kind))
    for step in range(2):
        sink.write(report(step, rng.random(map_shape).astype(np.float32)))
    sink.close()


FEATURES = ("age", "income", "height", "site[0]", "site[1]")
SEVERAL_METHODS = ["gradient", "smoothgrad"]


def write_several(run):
    """A picture, a table and a scan, each with maps of its own; the table lacks a method."""
    count, rng = 4, np.random.default_rng(6)
    mask, top = np.zeros((count, 6, 8), bool), np.zeros((6, 8), bool)
    mask[:, 1:4, 2:5] = top[0] = True
    given = ks.ProbeSet(
        rng.random((count, 16, 16, 3)),
        np.arange(count) % 3,
        class_names=CLASS_NAMES,
        regions={"edge": np.eye(16, dtype=bool)},
        input_name="picture",
        other_inputs={
            "table": ks.ProbeSet(
                rng.random((count, 5)), kind="features", feature_names=list(FEATURES)
            ),
            "left/scan": ks.ProbeSet(
                rng.random((count, 6, 8, 1)), masks=mask, regions={"top": top}
            ),
        },
    )
    first, second = SEVERAL_METHODS

    def of_input(step, *shape, scale=1.0, methods=(first, second)):
        maps = (scale * rng.random((len(methods), count, *shape))).astype(np.float32)
        further = dict(zip(methods[1:], maps[1:], strict=True))
        norms = rng.random(count, np.float32)
        return {"maps": maps[0], "others": further, "method": methods[0], "gradient_norms": norms}

    records = Encoder(given, ks.Pictures())
    with writing(run) as writer:
        found = [(0, records.of_probes({}, unit="epoch"))]
        for step in range(3):
            others = {
                "table": report(step, **of_input(step, 5, scale=3, methods=(first,))),
                "left/scan": report(step, **of_input(step, 6, 8, scale=0.1)),
            }
            one = report(step, **of_input(step, 16, 16), other_inputs=others)
            found += [(step, record) for record in records.of_report(one)]
        for step, (tag, elements) in found:
            write(writer, tag, step, blobs(*elements))


def write_one_value(run, values):
    """Probes of one value, with maps of one value: by step, that of each probe."""
    count = len(next(iter(values.values())))
    records = Encoder(ks.ProbeSet(np.zeros((count, 1, 1, 1)), np.arange(count)), ks.Pictures())
    with writing(run) as writer:
        found = [(0, records.of_probes({}, unit="epoch"))]
        for step, row in values.items():
            maps = np.float32(row).reshape(count, 1, 1)
            found += [(step, record) for record in records.of_report(report(step, maps))]
        for step, (tag, elements) in found:
            write(writer, tag, step, blobs(*elements))


MANY = (300, 120)


def write_many(run):
    """300 probes at 120 steps, as `TensorBoardSink` writes them, but without stock pictures."""
    count, steps = MANY
    rng = np.random.default_rng(2)
    records = Encoder(
        ks.ProbeSet(rng.random((count, 4, 4, 1)), np.arange(count) % 3), ks.Pictures()
    )
    with writing(run) as writer:
        for step in range(steps):
            found = records.of_report(report(step, rng.random((count, 4, 4)).astype(np.float32)))
            if not step:
                found.insert(0, records.of_probes({}, unit="epoch"))
            for tag, elements in found:
                write(writer, tag, step, blobs(*elements))


class Expected:
    """What the page has to show of a run: from `read_log` and the blobs, by matplotlib."""

    def __init__(self, log_dir, run, input_name=None):
        self.log = ks.read_log(log_dir)[run]
        self.probes = self.log.probes
        self.reports = {one.step: one for one in self.log.reports}
        self._name = input_name
        if input_name is not None:
            self.probes = self.probes.other_inputs[input_name]
            self.reports = {s: one.other_inputs[input_name] for s, one in self.reports.items()}
        self.steps = list(self.reports)
        self._blobs = read_blobs(log_dir)[run]

    @cached_property
    def methods(self):
        first = next(iter(self.reports.values()))
        return [first.method, *first.others]

    def maps(self, method, step):
        found = self.reports[step]
        if method != found.method:
            return found.others[method]
        return found.maps if found.signed_maps is None else found.signed_maps

    @property
    def is_signed(self):
        return next(iter(self.reports.values())).signed_maps is not None

    def codes(self, method, step, probe):
        """0..252, 255 where there is no number."""
        values = self.maps(method, step)[probe].astype(np.float64)
        limit = self.limit(method, step, probe, "epoch")
        shares = values / limit if limit else values * 0
        found = shares * 126 + 126 if self.is_signed else shares * 252
        return np.where(np.isnan(values), 255, np.rint(found)).astype(int)

    def thumbnail(self, method, step, probe):
        """The same of the smaller map; of a small map, all of it."""
        own = None if self._name is None else tags.input_maps_tag(self._name, method)
        _, arrays = unpacked(self._blobs[own or tags.maps_tag(method)][step][1])
        return arrays.get("thumbnails", arrays["maps"])[probe].astype(int)

    def limit(self, method, step, probe, scale, *, clips=False):
        if scale == "epoch" and clips:
            header, _ = unpacked(self._blobs[tags.REPORTS][step][1])
            parts = {None: header} | {one["name"]: one for one in header["inputs"]}
            return parts[self._name]["methods"][method]["clip_limits"][probe]
        if scale == "epoch":
            values = np.abs(self.maps(method, step)[probe])
            found = values[np.isfinite(values)].max(initial=0)
            return float(str(np.float32(found)))  # as the log has it
        probes = range(len(self.probes.names)) if scale == "shared" else [probe]
        return max(
            self.limit(method, s, p, "epoch", clips=clips) for s in self.steps for p in probes
        )

    def ratio(self, method, step, probe, scale, *, clips=True):
        own = self.limit(method, step, probe, "epoch")
        limit = self.limit(method, step, probe, scale, clips=clips)
        return own / limit if limit else 1.0

    def heat(self, codes, ratio, colormap):
        """The colours of codes: the nearest of 253."""
        zero = 126 if self.is_signed else 0
        index = np.floor((np.minimum(codes, 252) - zero) * ratio + 0.5).astype(int) + zero
        table = matplotlib.colormaps["RdBu_r" if self.is_signed else colormap].resampled(253)
        found = table(index.clip(0, 252), bytes=True)[..., :3].astype(int)
        found[codes == 255] = NOT_A_NUMBER
        return found

    def shares(self, codes, ratio):
        """How far values are from 0 to the limit, without their signs."""
        found = np.abs(codes - 126) / 126 if self.is_signed else codes / 252
        return np.where(codes == 255, 1, np.minimum(np.minimum(found, 1) * ratio, 1))

    def pixels(
        self,
        method,
        step,
        probe,
        *,
        scale="epoch",
        colormap="hot",
        show="map",
        opacity=1.0,
        codes=None,
        clips=True,
    ):
        """A cell, in float where it is blended."""
        ratio = self.ratio(method, step, probe, scale, clips=clips)
        codes = self.codes(method, step, probe) if codes is None else codes
        if show == "map" and opacity == 1:
            return self.heat(codes, ratio, colormap)
        picture = self.probes.pictures[probe]
        size = [max(pair) for pair in zip(codes.shape, picture.shape[:2], strict=True)]
        codes, picture = resampled(codes, size), resampled(picture, size)
        alpha = np.full(size, opacity)
        if show == "overlay":
            alpha = opacity * np.sqrt(self.shares(codes, ratio))
            alpha[codes == 255] = opacity
        gray = picture @ LUMA
        heat = self.heat(codes, ratio, colormap)
        return gray[..., None] * (1 - alpha[..., None]) + heat * alpha[..., None]

    def evidence(self):
        """The pictures of alerts, by step, rule and level."""
        found = {}
        for step, (_, elements) in self._blobs[tags.FINDINGS].items():
            header, arrays = unpacked(elements)
            for alert in header["alerts"]:
                if alert["evidence"] is not None:
                    found[step, alert["rule"], alert["level"]] = arrays[alert["evidence"]]
        return found

    def wrong(self, step):
        found = self.reports[step]
        return (found.predictions != found.targets) & (found.predictions >= 0)


def resampled(array, size):
    """To another size, of each pixel the nearest."""
    rows, columns = (
        np.floor((np.arange(wanted) + 0.5) * found / wanted).astype(int)
        for wanted, found in zip(size, array.shape[:2], strict=True)
    )
    return array[rows][:, columns]


def codes_of(maps):
    """The codes of maps, each by its own limit."""
    return np.rint(maps / maps.max(axis=(1, 2), keepdims=True) * 252).astype(int)


def hot(codes):
    return matplotlib.colormaps["hot"].resampled(253)(codes, bytes=True)[..., :3]


def diverging(codes):
    return matplotlib.colormaps["RdBu_r"].resampled(253)(codes, bytes=True)[..., :3]
