"""How far the confidence of a run's model can be believed, from the predictions that it kept."""

from __future__ import annotations

import numpy as np

from hybridface.evaluation.calibration import Reliability, reliability
from hybridface.evaluation.predictions import TaskPredictions
from hybridface.evaluation.statistics import wilson_interval
from hybridface.report.document import Figure, Gallery, Paragraph, Part, Table
from hybridface.report.figures import reliability_diagram
from hybridface.report.text import percent, percent_range


def calibration_parts(task: TaskPredictions, name: str, where: str) -> list[Part]:
    """Show how sure a model is of its predictions beside how often it is right.

    Args:
        task: The predictions.
        name: What the figure is called, as the name of the run.
        where: Where they were made, as in ``the test set``.
    """
    confidence = task.probabilities.max(axis=1).astype(np.float64)
    bins = reliability(confidence, task.predicted == task.targets)
    total = bins.counts.sum()
    text = (
        f"Confidence is the probability that the model gives the class it predicts. On {where} it "
        f"is {percent(bins.expected.sum() / total)}% in the mean, and "
        f"{percent(bins.right.sum() / total)}% of the predictions are right. The expected "
        f"calibration error is {percent(bins.error)}%: so far are confidence and accuracy apart, "
        f"in the mean over the pictures, in {len(bins.counts)} bins of equal width."
    )
    caption = (
        f"{name} on {where}. Above: accuracy of the predictions of each bin at their mean "
        "confidence; below the diagonal the model is surer than it is right. Below: how many "
        "pictures there are in each bin."
    )
    alt = (
        f"reliability diagram and confidence histogram of {name} on {where}; expected calibration "
        f"error {percent(bins.error)}%"
    )
    return [
        Paragraph(text),
        Gallery([Figure(reliability_diagram(bins, alt), caption)]),
        _table(bins),
    ]


def _table(bins: Reliability) -> Table:
    """Lay out the bins that hold a prediction."""
    rows = []
    for place in np.flatnonzero(bins.counts):
        right, count = int(bins.right[place]), int(bins.counts[place])
        interval = wilson_interval(right, count)
        low, high = bins.edges[place : place + 2]
        rows.append(
            [
                f"{percent(low, 1)} to {percent(high, 1)}",
                f"{count:,}",
                f"{right:,}",
                percent(bins.expected[place] / count),
                percent(interval.mean),
                percent_range(interval),
            ]
        )
    heads = ["Confidence (%)", "Pictures", "Right", "Mean confidence (%)", "Accuracy (%)"]
    return Table(
        "The bins of the reliability diagram", [*heads, "95% interval (%)"], rows, folded=True
    )
