"""How far a run's model is off in a task of numbers, from what it kept of a split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybridface.data.numbers import quantile_bins
from hybridface.evaluation.number_metrics import countable, errors
from hybridface.evaluation.number_text import decimals_of
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.evaluation.picture_means import bootstrap_means
from hybridface.evaluation.statistics import Interval
from hybridface.report.document import Figure, Gallery, Part, Table
from hybridface.report.figures import Dots, dot_intervals
from hybridface.report.folders import Metrics
from hybridface.report.sections import score_text
from hybridface.report.text import number

EDGES_OF_ANGLES = (-100.0, -60.0, -30.0, -15.0, 0.0, 15.0, 30.0, 60.0, 100.0)


def yaw_table(metrics: Metrics, where: str) -> Table:
    """Lay out the errors of poses by how far the head is from frontal."""
    measures = ["mae", "mae_yaw", "mae_pitch", "mae_roll", "geodesic"]
    rows = [
        [name, *(score_text(each, measure) for measure in measures), f"{each.count or 0:,}"]
        for name, each in metrics.by_yaw.items()
    ]
    return Table(
        f"Errors on {where} in degrees, by the true yaw either way, with 95% intervals.",
        ["Yaw", "Mean error", "of yaw", "of pitch", "of roll", "Between rotations", "Pictures"],
        rows,
    )


def error_parts(task: NumericPredictions, name: str, where: str) -> list[Part]:
    """Show the error of each number by what is true.

    Args:
        task: The predictions.
        name: What the figures are called, as the name of the run.
        where: Where they were made, as in ``the test set``.
    """
    counted = countable(task.kind, task.targets)
    targets = task.targets[counted]
    away = errors(task.kind, task.outputs[counted], targets)
    made = f"{name} on {where}"
    persons = None if task.groups is None else task.groups[counted]
    found = [
        _figure(task, part, made, true=targets[:, k], away=away[:, k], persons=persons)
        for k, part in enumerate(task.names)
    ]
    drawn = [figure for figure in found if figure is not None]
    return [Gallery(drawn)] if drawn else []


def _figure(
    task: NumericPredictions,
    part: str,
    made: str,
    *,
    true: NDArray[np.float32],
    away: NDArray[np.float64],
    persons: NDArray[np.int64] | None,
) -> Figure | None:
    """Draw the mean error of one number for each part of its range; None where it is unknown."""
    unit = task.unit
    rows, found = [], []
    for low, high, inside in _ranges(true, task.kind):
        whose = None if persons is None else persons[inside]
        figure = bootstrap_means(away[inside][:, None], whose).figure(0)
        bounds = figure["ci95"] or [math.nan, math.nan]
        label = f"{low:g} to {high:g} ({int(inside.sum())})"
        rows.append(Dots(label, Interval(figure["value"], *bounds), 0))
        found.append((figure["value"], f"from {low:g} to {high:g}"))
    if not rows:
        return None
    digits = decimals_of([value for value, _ in found], unit)
    said = ", ".join(f"{number(value, digits)} {between}" for value, between in found)
    alt = f"{made}: mean absolute error of {part} by its true value: {said}"
    svg = dot_intervals(rows, f"Mean absolute error ({unit or 'no unit'})", alt)
    caption = (
        f"{made}: mean absolute error of {part} by its true value"
        f"{f' in {unit}' if unit else ''}, with 95% intervals over "
        f"{'pictures' if persons is None else 'persons'}; in brackets, how many pictures there are."
    )
    return Figure(svg, caption)


def _ranges(
    true: NDArray[np.float32], kind: str
) -> Sequence[tuple[float, float, NDArray[np.bool_]]]:
    """Return the parts of a number's range that hold any: fixed for angles, else of equal size."""
    if kind == "pose":
        parts = [
            (low, high, np.logical_and(true >= low, true < high))
            for low, high in itertools.pairwise(EDGES_OF_ANGLES)
        ]
    else:
        bins = quantile_bins(true[:, None], 8)
        masks = [bins == place for place in range(8) if (bins == place).any()]
        parts = [(float(true[m].min()), float(true[m].max()), m) for m in masks]
    return [part for part in parts if part[2].any()]
