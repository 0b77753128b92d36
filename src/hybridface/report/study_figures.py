"""The figures of a study page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridface.errors import HybridFaceError
from hybridface.evaluation.statistics import t_interval
from hybridface.report import figures
from hybridface.report.analysis import Comparison, mean_curve
from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Figure
from hybridface.report.study_gains import gains
from hybridface.report.study_tables import seeds_note
from hybridface.report.text import counted, joined


def accuracy_figure(setting: Setting) -> Figure:
    """Draw the test figure of every arm: each seed, the mean, and its t interval."""
    measure = setting.measure
    rows = [
        figures.Dots(arm.name, t_interval(arm.values("test")), style, arm.values("test"))
        for style, arm in enumerate(setting.shared)
    ]
    alt = f"test {measure.name} of each arm, {setting.title}: " + ", ".join(
        f"{row.name} {measure.shown(row.interval.mean)}" for row in rows
    )
    label = measure.head(f"Test {measure.name}")
    svg = figures.dot_intervals(rows, label, alt, scale=measure.scale)
    better = "" if measure.higher_is_better else f"; {measure.direction}"
    return Figure(
        svg,
        f"Test {measure.name} at the validation checkpoint{better}. Small dots are seeds, the "
        f"large mark is their mean, the line its 95% interval over seeds.{seeds_note(setting)}",
    )


def difference_figures(setting: Setting, comparisons: Sequence[Comparison]) -> list[Figure]:
    """Draw the difference of every hybrid to each supervised arm, one figure a supervised arm."""
    styles = {arm.name: style for style, arm in enumerate(setting.arms)}
    measure = setting.measure
    drawn = []
    for control in (arm for arm in setting.arms if not arm.is_hybrid):
        found = [each for each in comparisons if each.control is control]
        if not found:
            continue
        rows = [
            figures.Dots(each.treated.name, each.difference.interval, styles[each.treated.name])
            for each in found
        ]
        alt = f"difference of test {measure.name} to {control.name}, {setting.title}"
        svg = figures.dot_intervals(
            rows, measure.over(control.name), alt, scale=measure.scale, reference=0
        )
        caption = (
            f"Against {control.name} ({_relations(found)}): paired difference of test "
            f"{measure.name} in {measure.differences}, with its 95% interval over seeds. "
            f"{'Right' if measure.higher_is_better else 'Left'} of zero is better."
        )
        drawn.append(Figure(svg, caption))
    return drawn


def _relations(comparisons: Sequence[Comparison]) -> str:
    """Say which arms have what in common with the one that they are compared with."""
    names: dict[str, list[str]] = {}
    for each in comparisons:
        names.setdefault(each.relation, []).append(each.treated.name)
    return "; ".join(f"{relation}: {joined(arms)}" for relation, arms in names.items())


def compute_figure(setting: Setting) -> Figure | None:
    """Draw what every other arm gains on the baseline over what it costs.

    The cost is the pictures that went through the backbone, or the training time where they were
    not recorded: steps by batch would have it that a further view of a picture costs nothing.
    """
    baseline, views, measure = setting.baseline, setting.counts_pictures, setting.measure
    points = [
        figures.Gain(
            each.name,
            each.pictures if views else each.seconds,
            each.difference.interval,
            each.style,
        )
        for each in gains(setting)
    ]
    if baseline is None or not points:
        return None
    cost = "pictures through the backbone, views included" if views else "training time"
    svg = figures.gain_versus_compute(
        points,
        f"{'Pictures' if views else 'Training time'} (times those of {baseline.name})",
        measure.over(baseline.name),
        f"{measure.gain} over {cost}, {setting.title}",
        measure.scale,
    )
    return Figure(
        svg,
        f"{measure.gain.capitalize()} {measure.on} {baseline.name} over {cost}, with its 95% "
        f"interval over seeds. {measure.direction.capitalize()}, further left is cheaper.",
    )


def curve_figures(setting: Setting) -> list[Figure]:
    """Draw mean validation figure and training loss of every arm over its own training."""
    name, measure = setting.measure.name, setting.measure
    worse = "falls too" if measure.higher_is_better else "rises"
    drawn = (
        _curves(
            setting,
            measure.head(f"Validation {name}"),
            f"Validation {name}, mean over seeds, by how much of its own training an arm has done; "
            "100% is more epochs for a stretched arm.",
            loss=False,
        ),
        _curves(
            setting,
            "Training loss (no unit)",
            "Training loss as recorded, mean over seeds. A loss that falls while validation "
            f"{name} {worse} is over-fitting.",
            loss=True,
        ),
    )
    return [figure for figure in drawn if figure is not None]


def _curves(setting: Setting, label: str, caption: str, *, loss: bool) -> Figure | None:
    curves = []
    for style, arm in enumerate(setting.shared):
        found = mean_curve(arm, loss=loss)
        if found is not None:
            progress, values = found
            scale = 1 if loss else setting.measure.scale
            curves.append(figures.Curve(arm.name, 100 * progress, scale * values, style))
    if not curves:
        return None
    alt = f"{label}, mean over seeds, of each arm over training, {setting.title}"
    svg = figures.learning_curves(curves, "Training done (%)", label, alt)
    return Figure(svg, caption + seeds_note(setting))


def confusion_figures(setting: Setting) -> list[Figure]:
    """Draw the confusion matrices of baseline and headline arm, summed over seeds."""
    drawn = []
    for arm in (setting.baseline, setting.headline):
        if arm is not None:
            figure = _confusion(arm, setting.title)
            drawn += [figure] if figure else []
    return drawn


def _confusion(arm: Arm, title: str) -> Figure | None:
    details = [cell.details for cell in arm.cells.values() if cell.details.confusion]
    if not details:
        return None
    if any(each.classes != details[0].classes for each in details):
        raise HybridFaceError(f"study: the seeds of arm '{arm.name}' differ in their classes")
    total = np.sum([np.array(each.confusion) for each in details], axis=0)
    svg = figures.confusion_matrix(
        total, details[0].classes, f"confusion matrix of {arm.name}, {title}"
    )
    return Figure(
        svg,
        f"{arm.name}: test pictures of each true class (row) by predicted class (column), summed "
        f"over {counted(len(details), 'seed')}; the shade is the share of the row.",
    )
