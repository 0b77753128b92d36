"""How far arms train, over-fit and solve their other tasks, and what a gain costs: tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hybridface.evaluation.statistics import Interval, t_interval
from hybridface.report.analysis import flattening
from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Table
from hybridface.report.measures import Measure
from hybridface.report.study_gains import ArmGain, gains
from hybridface.report.study_rows import FinishedCell
from hybridface.report.study_tables import seeds_note
from hybridface.report.text import MISSING, measure_title, measured, number, with_bounds


def gain_table(setting: Setting) -> Table | None:
    """Lay out what every other arm gains on the baseline beside what it costs."""
    baseline, views, measure = setting.baseline, setting.counts_pictures, setting.measure
    found = gains(setting)
    if baseline is None or not found:
        return None
    what = measure.gain.partition(" ")[0]

    def compute(each: ArmGain) -> tuple[float, float]:
        return round(each.pictures, 2) if views else 0, round(each.seconds, 2)  # as is written

    return Table(
        f"{measure.gain.capitalize()} {measure.on} {baseline.name} beside its compute, which is 1 "
        f"for {baseline.name}: pictures through the backbone, views included (smaller ones by "
        f"their pixels), and seconds of training. The {what} is in {measure.differences}, with its "
        f"95% interval over seeds{'' if measure.higher_is_better else '; below zero is better'}.",
        ["Arm", "Pictures", "Seconds", what.capitalize(), "95% interval over seeds", "Seeds"],
        [
            [
                each.name,
                number(each.pictures) if views else MISSING,
                number(each.seconds),
                measure.change(each.difference.mean),
                measure.changes(each.difference.low, each.difference.high),
                str(each.difference.count),
            ]
            for each in sorted(found, key=compute)
        ],
    )


def flattening_table(setting: Setting) -> Table | None:
    """Lay out which arms were trained to their end, where their curves were recorded."""
    measure = setting.measure
    found = [(arm.name, flat) for arm in setting.arms if (flat := flattening(arm)) is not None]
    if not found:
        return None
    return Table(
        f"Trained to the end? How far the mean validation {measure.name} of each arm moved over "
        "the last third of its training (a straight line through it), and between which figures.",
        [
            "Arm",
            f"Moved ({measure.short})",
            measure.head("Lowest"),
            measure.head("Highest"),
            "So it is",
        ],
        [
            [
                name,
                measure.change(flat.change),
                measure.value(flat.low),
                measure.value(flat.high),
                flat.verdict,
            ]
            for name, flat in found
        ],
    )


def fit_table(setting: Setting) -> Table | None:
    """Lay out how far the arms over-fit, where it was recorded."""
    arms, measure = setting.shared, setting.measure
    sign = measure.sign
    tops = [_top(cell) for arm in arms for cell in arm.cells.values()]
    level = min((top for top in tops if top is not None), default=None)
    rows = []
    for arm in arms:
        cells = list(arm.cells.values())
        known = [cell for cell in cells if _top(cell) is not None]
        last = [_fit(cell)[-1] for cell in known]
        at_level = [] if level is None else [_gap_at(cell, level) for cell in known]
        rows.append(
            [
                arm.name,
                _mean([sign * train for train, _ in last], measure),
                _signed(_over([train - val for train, val in last]), measure),
                _signed(_over([gap for gap in at_level if gap is not None]), measure),
                _rise(_over([rise for cell in cells if (rise := _loss_rise(cell)) is not None])),
            ]
        )
    if all(value == MISSING for row in rows for value in row[1:]):
        return None
    name = measure.name
    reached = "" if level is None else f", {measure.shown(sign * level)}, which all reached"
    worse = "below" if measure.higher_is_better else "above"
    return Table(
        f"Over-fitting: {name} on the intact training pictures in evaluation mode, how many "
        f"{measure.differences} validation is {worse} it at the last epoch and at equal training "
        f"{name}{reached}, and how far the validation loss rose from its minimum to the last "
        f"epoch. Means over the seeds that recorded it, with 95% intervals.{seeds_note(setting)}",
        [
            "Arm",
            measure.head(f"Training {name}, last epoch"),
            f"Gap, last epoch ({measure.short})",
            f"Gap at equal training {name} ({measure.short})",
            "Rise of the validation loss (nats)",
        ],
        rows,
    )


def task_table(setting: Setting) -> Table | None:
    """Lay out how well each arm solves its self-supervised tasks, beside what is had for nothing.

    That is chance for a puzzle and for rotation, and the mean colour of what is seen for holes.
    """
    rows = []
    for arm in setting.shared:
        names = dict.fromkeys(name for cell in arm.cells.values() for name in cell.details.ssl)
        for name in names:
            task, _, measure = name.rpartition("/")
            if measure in ("loss", "mean_fill_psnr"):
                continue
            values = _figures(arm, name)
            if not values:
                continue
            free = _for_nothing(arm, task, measure)
            rows.append([
                arm.name, task, measure_title(measure), measured(measure, float(np.mean(values))),
                MISSING if free is None else measured(measure, free),
            ])  # fmt: skip
    if not rows:
        return None
    return Table(
        "How well the self-supervised tasks are solved in the last epoch that trained them, on "
        "training pictures, and what is had for nothing: chance, or holes filled with the mean "
        f"colour of the rest of the picture. Means over seeds.{seeds_note(setting)}",
        ["Arm", "Task", "Figure", "Reached", "For nothing"],
        rows,
        text_columns=3,
    )


def _for_nothing(arm: Arm, task: str, measure: str) -> float | None:
    if measure == "hole_psnr":
        values = _figures(arm, f"{task}/mean_fill_psnr")
        return float(np.mean(values)) if values else None
    kinds = [_options(cell, task) for cell in arm.cells.values()]
    if measure == "slot_accuracy":
        grids = {options.get("grid") for options in kinds}
        grid = grids.pop() if len(grids) == 1 else None
        return 1 / grid**2 if isinstance(grid, int) and grid > 0 else None
    rotates = all((options.get("type") or task) == "rotation" for options in kinds)
    return 0.25 if rotates and measure == "accuracy" else None


def _options(cell: FinishedCell, task: str) -> dict[str, object]:
    tasks = cell.details.recipe.get("tasks")
    options = tasks.get(task) if isinstance(tasks, dict) else None
    return options if isinstance(options, dict) else {}


def _figures(arm: Arm, name: str) -> list[float]:
    found = [cell.details.ssl.get(name) for cell in arm.cells.values()]
    return [value for value in found if value is not None]


def _fit(cell: FinishedCell) -> list[tuple[float, float]]:
    """Return training and validation figure at each point of the curve that has both.

    Errors are negated, so that more is better.
    """
    both = zip(cell.details.training_rows, cell.details.curve, strict=False)
    sign = cell.measure.sign
    return [
        (sign * train, sign * point[2])
        for (train, _), point in both
        if train is not None and point[2] is not None
    ]


def _top(cell: FinishedCell) -> float | None:
    """Return the best training figure, see :func:`_fit`; None where it was not recorded."""
    return max((train for train, _ in _fit(cell)), default=None)


def _gap_at(cell: FinishedCell, level: float) -> float | None:
    """Return how far validation is below training where training first reaches a level.

    None where it was above it from the first look on, or never reached it.
    """
    fit = _fit(cell)
    if fit and fit[0][0] == level:
        return fit[0][0] - fit[0][1]
    for (before, val_before), (after, val_after) in pairwise(fit):
        if before < level <= after:
            part = (level - before) / (after - before)
            return level - (val_before + part * (val_after - val_before))
    return None


def _loss_rise(cell: FinishedCell) -> float | None:
    losses = [loss for loss in cell.details.val_loss if loss is not None]
    return losses[-1] - min(losses) if losses else None


def _over(values: Sequence[float]) -> Interval | None:
    return t_interval(values) if values else None


def _mean(values: Sequence[float], measure: Measure) -> str:
    return measure.value(float(np.mean(values))) if values else MISSING


def _signed(interval: Interval | None, measure: Measure) -> str:
    if interval is None:
        return MISSING
    bounds = measure.changes(interval.low, interval.high)
    return with_bounds(measure.change(interval.mean), bounds)


def _rise(interval: Interval | None) -> str:
    if interval is None:
        return MISSING
    mean, low, high = (number(each, 3) for each in (interval.mean, interval.low, interval.high))
    return with_bounds(mean, MISSING if low == MISSING else f"{low} to {high}")
