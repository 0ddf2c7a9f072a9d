"""Names in the TensorBoard log, shared by the code that writes it and the code that reads it."""

from __future__ import annotations

EPOCH_RUN = "saliency"
"""The run, below `log_dir`, of the evaluations at the ends of epochs. The step is Keras' 0-based
epoch. If a callback has another name, that name is used here and in the keys of `logs`."""


def batch_run(epoch_run: str) -> str:
    """The run of the evaluations during epochs, such as `saliency_2_batches`.

    The step is the number of training batches so far.
    """
    return f"{epoch_run}_batches"


CONTACT_SHEET = "saliency/contact_sheet"
FILMSTRIP = "saliency/filmstrip"
CLUSTERS = "saliency/clusters"
CONFIGURATION = "saliency/configuration"


def contact_sheet_tag(method: str) -> str:
    """Image tag for the contact sheet of another method: `saliency/contact_sheet/<method>`."""
    return f"{CONTACT_SHEET}/{method}"


def filmstrip_tag(method: str) -> str:
    """Image tag for the filmstrip of another method: `saliency/filmstrip/<method>`."""
    return f"{FILMSTRIP}/{method}"


def of_input(tag: str, name: str | int) -> str:
    """The tag of the same picture of another input: `saliency/contact_sheet/<input>`."""
    return f"{tag}/{name}"


ALERTS = "saliency/alerts"
"""Text: every test of an evaluation, with its numbers and its verdict."""


def alert_tag(rule: str) -> str:
    """Scalar tag of a rule, 1 while its alert is active, otherwise 0: `saliency_alert/<rule>`."""
    return f"saliency_alert/{rule}"


def evidence_tag(rule: str) -> str:
    """Image tag for the evidence of an alert: `saliency_evidence/<rule>`."""
    return f"saliency_evidence/{rule}"


def metric_tag(name: str) -> str:
    """Scalar tag of a metric: `saliency/<metric>`."""
    return f"saliency/{name}"


def probe_tag(name: str) -> str:
    """Image tag of one probe: `saliency_probe/<name>`."""
    return f"saliency_probe/{name}"


def log_key(metric: str, name: str = EPOCH_RUN) -> str:
    """The key of a metric in Keras' `logs`: `saliency_<metric>`."""
    return f"{name}_{metric}"


PLUGIN = "saliency"
"""The name of the TensorBoard plugin. The tags below contain its data."""

FORMAT = 2
"""The version of the data format. It increases if older readers would misread new data. Format 1
has maps of one input only."""

PROBES = "saliency_log/probes"
"""What does not change in a run: names, classes, pictures of the inputs, masks, regions. Written
once."""

REPORTS = "saliency_log/reports"
"""The results of an evaluation, without its maps; at every step."""

FINDINGS = "saliency_log/findings"
"""The results of interventions, the alerts and their evidence; at steps with interventions."""

MAPS = "saliency_log/maps/"
"""The prefix of the maps of a method, such as `saliency_log/maps/gradient`; at every step."""

INPUTS = "saliency_log/inputs/"
"""The prefix of the maps of further inputs, such as `saliency_log/inputs/age/gradient`."""

LEVELS = 252
"""The code of a map's largest value; the code of 0 is 0. In signed maps, the code of 0 is
`LEVELS // 2`; the codes 0 and `LEVELS` stand for minus and plus the largest absolute value."""

NOT_FINITE = 255
"""The code of a value that is not a finite number."""


def maps_tag(method: str) -> str:
    """Tag for the maps of a method: `saliency_log/maps/<method>`."""
    return f"{MAPS}{method}"


def input_maps_tag(name: str | int, method: str) -> str:
    """Tag for the maps of an input that is not the first: `saliency_log/inputs/<input>/<method>`.

    Example:
        >>> input_maps_tag("age", "gradient"), input_maps_tag("left/right", "gradient")
        ('saliency_log/inputs/age/gradient', 'saliency_log/inputs/left%2Fright/gradient')
    """
    return f"{INPUTS}{quoted(name)}/{method}"


def quoted(name: str | int) -> str:
    """The name of an input as a part of a tag: without slashes."""
    return str(name).replace("%", "%25").replace("/", "%2F")
