"""`Console`: what the callback prints while a model trains."""

from __future__ import annotations

import numpy as np

from keras_saliency.data.costs import Costs
from keras_saliency.data.probes import ProbeSet
from keras_saliency.data.reports import Alert, SaliencyReport
from keras_saliency.detection.audit import audit
from keras_saliency.detection.budget import Work
from keras_saliency.detection.sentences import in_short
from keras_saliency.detection.state import BATCH


class Console:
    """Prints lines that begin with `saliency:`.

    Args:
        verbose: 0 prints alerts only.
    """

    def __init__(self, verbose: int) -> None:
        self._verbose = verbose
        self._printed: set[str] = set()  # the topics
        self._is_audited = False

    def begin_model(self) -> None:
        """Says that what was printed once is printed once more, for another model."""
        self._printed = set()

    def print(self, topic: str, text: str) -> None:
        """Prints a line, once for each topic."""
        if self._verbose and topic not in self._printed:
            self._printed.add(topic)
            print(f"saliency: {text}", flush=True)

    def audit(self, probes: ProbeSet) -> None:
        """Prints once where the data let a model cheat, if the audit finds such a place."""
        if self._verbose and not self._is_audited:
            self._is_audited = True
            text = audit(probes).in_short
            if text:
                print(f"saliency: {text}", flush=True)

    def broken_scores(self, report: SaliencyReport, unit: str) -> None:
        """Prints how many scores are not finite, if any is.

        Args:
            report: The report.
            unit: What its step counts, `EPOCH` or `BATCH`.
        """
        broken = int((~np.isfinite(report.scores)).sum())
        if broken:
            number = f"{'batch' if unit == BATCH else 'step'} {report.step}"
            text = f"{number}: the scores of {broken} of {len(report.scores)} probes are"
            why = "nan or infinite; look at the loss and the learning rate"
            self.print("broken", f"{text} {why}")

    def findings(self, report: SaliencyReport) -> None:
        """Prints warnings, and the alerts that are withdrawn."""
        gone = [verdict.effect.test for verdict in report.verdicts if verdict.withdrawn]
        warned = [alert for alert in report.alerts if alert.level == "warning"]
        if gone and self._verbose:
            names = ", ".join(gone)
            print(f"saliency: alert withdrawn: {names} (quiet at two tests in a row)", flush=True)
        if warned and self._verbose:
            print(f"saliency: warning: {in_short(warned)}", flush=True)

    def alerts(self, alerts: list[Alert]) -> None:
        """Prints alerts, however verbose the callback is."""
        print(f"saliency: alert: {in_short(alerts)}", flush=True)

    def run(self, fit: int, run: str, step: int, *, last: int | None, earlier: str) -> None:
        """Prints which run a fit writes, if it is not the one that it wrote before.

        Args:
            fit: The number of the fit.
            run: The name of the run.
            step: The step after which the fit goes on.
            last: The last step of the run, if it is that of an earlier process.
            earlier: The name of the run that was written before.
        """
        if last is not None:
            gap = f" (its last step was {last})" if last < step else ""
            self.print(f"run {fit}", f"the run {run} goes on after step {step}{gap}")
        elif run != earlier:
            self.print(f"run {fit}", f"this training writes to a new run, {run}")

    def budget(self, budget: float) -> None:
        """Prints that epochs or tests are left out, and how to change it."""
        text = (
            "some epochs are not explained or not tested, since all of them would take more than "
            f"{100 * budget:.3g}% of the training's work; to have all of them: "
            "compute=ks.Compute(budget=None)"
        )
        self.print("budget", text)

    def costs_so_far(self, costs: Costs, less_with: str) -> None:
        """Prints what evaluations took up to now, and what makes it less."""
        self.print("cost", f"so far {costs}; less with {less_with}")

    def costs_in_all(
        self, fit: int, costs: Costs, num_bytes: int | None, work: Work, before: Work
    ) -> None:
        """Prints what the evaluations of a fit took in all, and what was left out.

        Args:
            fit: The number of the fit.
            costs: Of the fit.
            num_bytes: The size of the log; `None` if it is not known.
            work: Of the training, at the end of the fit.
            before: Of the training, at the beginning of the fit.
        """
        text = f"in all {costs}"
        text += "" if num_bytes is None else f"; {num_bytes / 1e6:.1f} MB on disk"
        left_out = [
            f"{number} {noun}{'' if number == 1 else 's'}"
            for number, noun in (
                (work.skipped - before.skipped, "epoch"),
                (work.skipped_rounds - before.skipped_rounds, "test round"),
            )
            if number
        ]
        text += f"; left out for the budget: {', '.join(left_out)}" if left_out else ""
        self.print(f"costs {fit}", text)
