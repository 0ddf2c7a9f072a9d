"""`Encoder`: encodes the data of the SALIENCY tab as tags and blobs. See `docs/log_format.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Array, SaliencyReport, Verdict
from keras_saliency.data.serialization import to_json
from keras_saliency.detection.alerts import effect_metrics
from keras_saliency.log import tags
from keras_saliency.log.blobs import packed
from keras_saliency.log.input_encoder import InputEncoder
from keras_saliency.metrics.catalog import descriptions
from keras_saliency.rendering.drawings import DARK_INK, LIGHT_INK, PAPER
from keras_saliency.rendering.heatmaps import NOT_A_NUMBER, colors, diverging
from keras_saliency.rendering.settings import Pictures

COLORMAPS = ("hot", "inferno", "viridis", "magma", "turbo", "gray", "RdBu_r")
"""The colormaps in the tab, in addition to the colormap of the pictures."""

Record = tuple[str, list[bytes]]
"""A tag and its blobs."""

_TOO_LARGE = ("examples",)
"""Fields of alerts and effects that are not logged: images on the scale of the model's input."""


class Encoder:
    """Makes the records of one run.

    Args:
        probes: The probes of the reports.
        pictures: The initial scale and colormap of the tab, the size of the maps, and the
            percentile at which the tab can clip them. The logged maps are not clipped.
    """

    def __init__(self, probes: ProbeSet, pictures: Pictures) -> None:
        self._probes, self._scale, self._colormap = probes, pictures.scale, pictures.colormap
        self._input = InputEncoder(probes, pictures)
        self._others = {
            name: InputEncoder(one, pictures) for name, one in probes.other_inputs.items()
        }

    def of_probes(self, configuration: Mapping[str, str], *, unit: str) -> Record:
        """Makes the record of what does not change during a run.

        Args:
            configuration: The name and value of each setting.
            unit: What steps count.
        """
        probes = self._probes
        shown = dict.fromkeys([self._colormap, *COLORMAPS, diverging(self._colormap)])
        header = {
            "content": "probes",
            "unit": unit,
            "fingerprint": probes.fingerprint,
            "names": probes.names,
            "targets": probes.targets,
            "class_names": probes.class_names,
            "groups": None if probes.groups is None else [str(group) for group in probes.groups],
            "input": next(iter(probes.explained)),
            **self._input.fields(),
            "inputs": [{"name": name, **one.fields()} for name, one in self._others.items()],
            "scale": self._scale,
            "colormap": self._colormap,
            "colormaps": {n: colors(n, tags.LEVELS + 1).tobytes().hex() for n in shown},
            "diverging": diverging(self._colormap),
            "levels": tags.LEVELS,
            "not_finite": tags.NOT_FINITE,
            "not_finite_color": bytes(NOT_A_NUMBER).hex(),
            "ink_levels": {"light": LIGHT_INK, "dark": DARK_INK, "ground": PAPER},
            "descriptions": descriptions(),
            "configuration": configuration,
        }
        arrays = self._input.arrays()
        for input_name, one in self._others.items():
            arrays |= {f"{name}/{input_name}": array for name, array in one.arrays().items()}
        return tags.PROBES, packed(header, arrays)

    def of_report(self, report: SaliencyReport) -> list[Record]:
        """Makes the records of an evaluation: its numbers, and the maps by input and method."""
        methods, blobs = self._input.of_report(report)
        records = [(tags.maps_tag(method), content) for method, content in blobs.items()]
        inputs = []
        for name, one in report.other_inputs.items():
            of_methods, blobs = self._others[name].of_report(one)
            records += [(tags.input_maps_tag(name, m), content) for m, content in blobs.items()]
            numbers = {"gradient_norms": one.gradient_norms, "metrics": one.metrics}
            inputs.append({"name": name, "methods": of_methods, **numbers})
        header = {
            "content": "reports",
            "step": report.step,
            "methods": methods,
            "targets": report.targets,
            "predictions": report.predictions,
            "confidences": report.confidences,
            "scores": report.scores,
            "gradient_norms": report.gradient_norms,
            "metrics": report.metrics,
            "inputs": inputs,
        }
        return [*records, (tags.REPORTS, packed(header, {}))]

    def of_findings(self, report: SaliencyReport, pictures: Sequence[Array | None]) -> Record:
        """Makes the record of the results of interventions.

        Args:
            report: A report with interventions.
            pictures: The evidence of each alert; `None` for an alert without evidence.
        """
        results = report.interventions
        if results is None:
            raise ValueError(
                "report: expected a report with interventions, received a report without, of step "
                f"{report.step}."
            )
        arrays = {f"evidence/{i}": p for i, p in enumerate(pictures) if p is not None}
        alerts = [
            to_json(alert, leave_out=_TOO_LARGE)
            | {"evidence": f"evidence/{i}" if f"evidence/{i}" in arrays else None}
            for i, alert in enumerate(report.alerts)
        ]
        header = {
            "content": "findings",
            "step": report.step,
            "unit": results.unit,
            "alpha": results.alpha,
            "blocked_because": results.blocked_because,
            "note": results.note,
            "passes": results.passes,
            "metrics": effect_metrics(results),
            "verdicts": [_verdict_row(verdict) for verdict in report.verdicts],
            "alerts": alerts,
        }
        return tags.FINDINGS, packed(header, arrays)


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    """A verdict and its effect as one row of a table."""
    row = to_json(verdict, leave_out=(*_TOO_LARGE, "place"))  # which the alert has
    effect = row.pop("effect")
    return {**effect, "raw_p_value": effect["p_value"], **row}
