"""Which training a fit goes on with: an earlier fit, or one of another process, from its log."""

from __future__ import annotations

from contextlib import suppress

from keras_saliency.detection.state import EPOCH
from keras_saliency.monitor import SaliencyMonitor
from keras_saliency.tensorboard.training_log import TrainingLog


def continued(monitor: SaliencyMonitor, log: TrainingLog | None, epoch: int) -> int | None:
    """Finds out which training a fit continues, and gives the monitor its state.

    A fit that starts in the state that an earlier one ended in goes on from there, also in another
    process, and also if it counts its epochs from 0 again.

    Args:
        monitor: Of the model.
        log: The log, if there is one.
        epoch: The first epoch of the fit.

    Returns:
        By how much steps are ahead of epochs: the epochs of earlier fits, each counted from 0;
        `None` if no training is continued.
    """
    if monitor.state.evaluations:  # of an earlier fit with this callback
        latest = monitor.state.latest[EPOCH]
        goes_on = latest.step >= epoch - 1 and monitor.is_current()
        return latest.step + 1 - epoch if goes_on else None
    if log is None:
        return None
    is_ours = monitor.recognizer(exactly=epoch == 0)
    last = epoch - 1
    if epoch == 0:
        newest = log.newest(is_ours)
        if newest is None:
            return None
        last = newest.latest[EPOCH].step
    state = log.resume(last, is_ours)
    if state is None:
        return None
    with suppress(ValueError):  # a damaged state
        monitor.state = state
    return last + 1 - epoch


def lacks_last_step(
    monitor: SaliencyMonitor, log: TrainingLog, step: int, saliency_freq: int
) -> bool:
    """Whether the log of a training that has ended lacks its last step; the monitor is to go on.

    Args:
        monitor: Of the model.
        log: The log.
        step: The last step of the training.
        saliency_freq: The number of epochs from one evaluation to the next.
    """
    if monitor.state.evaluations:
        return False
    state = log.resume(step, monitor.recognizer())
    latest = None if state is None else state.latest.get(EPOCH)
    if state is None or latest is None or not 0 < step - latest.step <= saliency_freq:
        return False
    try:
        monitor.state = state
    except ValueError:  # it is damaged
        return False
    return True
