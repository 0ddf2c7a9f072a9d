"""Names in the TensorBoard log: the one contract of what writes it and what reads it."""

from __future__ import annotations

EPOCH_RUN = "saliency"
"""Run, below `log_dir`, of the evaluations at epoch ends; the step is Keras' 0-based epoch.
The name of a callback, where it has another, takes this place here and in the keys of `logs`."""


def batch_run(epoch_run: str) -> str:
    """The run of the evaluations inside the epochs of a run: `saliency_2_batches`.

    The step is the number of batches trained on.
    """
    return f"{epoch_run}_batches"


CONTACT_SHEET = "saliency/contact_sheet"
FILMSTRIP = "saliency/filmstrip"
CLUSTERS = "saliency/clusters"
CONFIGURATION = "saliency/configuration"


def contact_sheet_tag(method: str) -> str:
    """Image tag of a further method's contact sheet: `saliency/contact_sheet/<method>`."""
    return f"{CONTACT_SHEET}/{method}"


def filmstrip_tag(method: str) -> str:
    """Image tag of a further method's filmstrip: `saliency/filmstrip/<method>`."""
    return f"{FILMSTRIP}/{method}"


ALERTS = "saliency/alerts"
"""Text: every test of an evaluation, with its numbers and what its rule makes of them."""


def alert_tag(rule: str) -> str:
    """Scalar tag of a rule, 1 while its alert stands and else 0: `saliency_alert/<rule>`."""
    return f"saliency_alert/{rule}"


def evidence_tag(rule: str) -> str:
    """Image tag of what a rule's alert rests on: `saliency_evidence/<rule>`."""
    return f"saliency_evidence/{rule}"


def metric_tag(name: str) -> str:
    """Scalar tag of a metric: `saliency/<metric>`."""
    return f"saliency/{name}"


def probe_tag(name: str) -> str:
    """Image tag of one probe: `saliency_probe/<name>`."""
    return f"saliency_probe/{name}"


def log_key(metric: str, name: str = EPOCH_RUN) -> str:
    """Key under which Keras' `logs` carry a metric: `saliency_<metric>`."""
    return f"{name}_{metric}"


PLUGIN = "saliency"
"""The name of the dashboard's plugin in TensorBoard; what follows is its data."""

FORMAT = 1
"""The version of that data. It grows where a reader of the version before would go wrong."""

PROBES = "saliency_log/probes"
"""What does not change: names, classes, pictures of the inputs, masks, regions. Once in a run."""

REPORTS = "saliency_log/reports"
"""What an evaluation found, without its maps; at every step."""

FINDINGS = "saliency_log/findings"
"""What the interventions found, the alerts and their evidence; at the steps that have some."""

MAPS = "saliency_log/maps/"
"""In front of the name of a method: `saliency_log/maps/gradient`; at every step."""

LEVELS = 252
"""The code of a map's largest value; 0 is the code of 0. Of a signed map, 0 has the code
`LEVELS // 2`, and the codes 0 and `LEVELS` stand for minus and plus its largest size."""

NOT_FINITE = 255
"""The code of a value that is not a finite number."""


def maps_tag(method: str) -> str:
    """Tag of a method's maps: `saliency_log/maps/<method>`."""
    return f"{MAPS}{method}"
