"""Names in the TensorBoard log: the one contract of what writes it and what reads it."""

from __future__ import annotations

EPOCH_RUN = "saliency"
"""Run, below `log_dir`, of the evaluations at epoch ends; the step is Keras' 0-based epoch."""

BATCH_RUN = "saliency_batches"
"""Run of the evaluations inside epochs; the step is the number of batches trained on."""


def batch_run(epoch_run: str) -> str:
    """The run of the evaluations inside the epochs of a run: `saliency_2_batches`."""
    return f"{epoch_run}_batches"


CONTACT_SHEET = "saliency/contact_sheet"
FILMSTRIP = "saliency/filmstrip"
CONFIGURATION = "saliency/configuration"


def statistic_tag(name: str) -> str:
    """Scalar tag of a statistic: `saliency/<statistic>`."""
    return f"saliency/{name}"


def probe_tag(name: str) -> str:
    """Image tag of one probe: `saliency_probe/<name>`."""
    return f"saliency_probe/{name}"


def log_key(statistic: str) -> str:
    """Key under which Keras' `logs` carry a statistic: `saliency_<statistic>`."""
    return f"saliency_{statistic}"
