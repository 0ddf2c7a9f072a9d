"""Watch where a Keras model looks while it trains.

Begin with `ProbeSet` and `SaliencyCallback`; `SaliencyMonitor` and `TensorBoardSink` are for custom
training loops, with `RunState` to save and resume one; `Round` and `Place` are for custom tests.

Everything here is imported when it is first used, so that TensorBoard can load the package
without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_saliency.app.explain import saliency_maps as saliency_maps
    from keras_saliency.app.html_report import show as show
    from keras_saliency.app.replay import replay as replay
    from keras_saliency.app.replay import watch as watch
    from keras_saliency.attributions.scores import Score as Score
    from keras_saliency.callback import SaliencyCallback as SaliencyCallback
    from keras_saliency.data.probes import ProbeSet as ProbeSet
    from keras_saliency.data.reports import Alert as Alert
    from keras_saliency.data.reports import SaliencyReport as SaliencyReport
    from keras_saliency.detection.audit import audit as audit
    from keras_saliency.detection.calibration import calibrate as calibrate
    from keras_saliency.detection.places import Candidates as Candidates
    from keras_saliency.detection.places import Place as Place
    from keras_saliency.detection.places import Round as Round
    from keras_saliency.detection.settings import Interventions as Interventions
    from keras_saliency.detection.state import RunState as RunState
    from keras_saliency.detection.tests import TESTS as TESTS
    from keras_saliency.detection.tests import InterventionTest as InterventionTest
    from keras_saliency.engine.compilation import Compute as Compute
    from keras_saliency.log.decoder import Log as Log
    from keras_saliency.log.reader import read_log as read_log
    from keras_saliency.monitor import SaliencyMonitor as SaliencyMonitor
    from keras_saliency.remedies import remedy as remedy
    from keras_saliency.rendering.settings import Pictures as Pictures
    from keras_saliency.tensorboard.sink import TensorBoardSink as TensorBoardSink

__version__ = "0.1.0"

_HOMES = {
    "Alert": "data.reports",
    "Log": "log.decoder",
    "ProbeSet": "data.probes",
    "Compute": "engine.compilation",
    "Candidates": "detection.places",
    "InterventionTest": "detection.tests",
    "Interventions": "detection.settings",
    "Pictures": "rendering.settings",
    "Place": "detection.places",
    "Round": "detection.places",
    "RunState": "detection.state",
    "Score": "attributions.scores",
    "TESTS": "detection.tests",
    "SaliencyCallback": "callback",
    "SaliencyMonitor": "monitor",
    "SaliencyReport": "data.reports",
    "TensorBoardSink": "tensorboard.sink",
    "audit": "detection.audit",
    "calibrate": "detection.calibration",
    "read_log": "log.reader",
    "remedy": "remedies",
    "replay": "app.replay",
    "saliency_maps": "app.explain",
    "show": "app.html_report",
    "watch": "app.replay",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_saliency' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_saliency.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
