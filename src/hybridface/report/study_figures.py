"""The figures of a study page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridface.errors import HybridFaceError
from hybridface.evaluation.statistics import Interval, t_interval
from hybridface.report import figures
from hybridface.report.analysis import Comparison, compare, mean_curve, relative_compute
from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Figure
from hybridface.report.study_tables import seeds_note
from hybridface.report.text import counted, joined, percent


def accuracy_figure(setting: Setting) -> Figure:
    """Draw test accuracy of every arm: each seed, the mean, and its t interval."""
    rows = [
        figures.Dots(
            arm.name, t_interval(arm.values("test_accuracy")), style, arm.values("test_accuracy")
        )
        for style, arm in enumerate(setting.shared)
    ]
    alt = f"test accuracy of each arm, {setting.title}: " + ", ".join(
        f"{row.name} {percent(row.interval.mean)}%" for row in rows
    )
    svg = figures.dot_intervals(rows, "Test accuracy (%)", alt, scale=100)
    return Figure(
        svg,
        "Test accuracy at the validation checkpoint. Small dots are seeds, the large mark is "
        f"their mean, the line its 95% interval over seeds.{seeds_note(setting)}",
    )


def difference_figures(setting: Setting, comparisons: Sequence[Comparison]) -> list[Figure]:
    """Draw the difference of every hybrid to each supervised arm, one figure a supervised arm."""
    styles = {arm.name: style for style, arm in enumerate(setting.arms)}
    drawn = []
    for control in (arm for arm in setting.arms if not arm.is_hybrid):
        found = [each for each in comparisons if each.control is control]
        if not found:
            continue
        rows = [
            figures.Dots(
                each.treated.name,
                Interval(each.difference.mean, each.difference.low, each.difference.high),
                styles[each.treated.name],
            )
            for each in found
        ]
        alt = f"difference of test accuracy to {control.name}, {setting.title}"
        label = f"Points above {control.name}"
        svg = figures.dot_intervals(rows, label, alt, scale=100, reference=0)
        caption = (
            f"Against {control.name} ({_relations(found)}): paired difference of test accuracy in "
            "percentage points, with its 95% interval over seeds. Right of zero is better."
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
    baseline, views = setting.baseline, setting.counts_pictures
    if baseline is None:
        return None
    gains = []
    for style, arm in enumerate(setting.arms):
        found = None if arm is baseline else compare(arm, baseline)
        if found is not None:
            seeds = arm.cells.keys() & baseline.cells.keys()
            gain = Interval(found.difference.mean, found.difference.low, found.difference.high)
            seconds, pictures = relative_compute(arm.over(seeds), baseline.over(seeds), views)
            gains.append(figures.Gain(arm.name, pictures if views else seconds, gain, style))
    if not gains:
        return None
    cost = "pictures through the backbone, views included" if views else "training time"
    svg = figures.gain_versus_compute(
        gains,
        f"{'Pictures' if views else 'Training time'} (times those of {baseline.name})",
        f"Points above {baseline.name}",
        f"gain in test accuracy over {cost}, {setting.title}",
    )
    return Figure(
        svg,
        f"Gain in test accuracy on {baseline.name} over {cost}, with its 95% interval over seeds. "
        "Higher is better, further left is cheaper.",
    )


def curve_figures(setting: Setting) -> list[Figure]:
    """Draw mean validation accuracy and training loss of every arm over its own training."""
    captions = {
        "Validation accuracy (%)": "Validation accuracy, mean over seeds, by how much of its own "
        "training an arm has done; 100% is more epochs for a stretched arm.",
        "Training loss (no unit)": "Training loss as recorded, mean over seeds. A loss that falls "
        "while validation accuracy falls too is over-fitting.",
    }
    drawn = (_curves(setting, measure, caption) for measure, caption in captions.items())
    return [figure for figure in drawn if figure is not None]


def _curves(setting: Setting, measure: str, caption: str) -> Figure | None:
    loss = measure.startswith("Training loss")
    curves = []
    for style, arm in enumerate(setting.shared):
        found = mean_curve(arm, loss=loss)
        if found is not None:
            progress, values = found
            scale = 1 if loss else 100
            curves.append(figures.Curve(arm.name, 100 * progress, scale * values, style))
    if not curves:
        return None
    alt = f"{measure}, mean over seeds, of each arm over training, {setting.title}"
    svg = figures.learning_curves(curves, "Training done (%)", measure, alt)
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
