"""Learning curves of one run and of several."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hybridface.report.document import Figure
from hybridface.report.figures import Curve, learning_curves
from hybridface.report.folders import RunContent, Validation
from hybridface.report.sections import units_of
from hybridface.report.text import is_fraction, measure_name, measure_title

EPOCHS = "Epoch"


def run_figures(run: RunContent) -> list[Figure]:
    """Draw everything that a run recorded over training.

    The task that has the label comes first, training beside validation, all fractions in one
    figure; then every measure of the other tasks, in a figure of its own.
    """
    label = _label(run)
    own = _own_curves(run.history, label, units_of(run, label))
    best = run.result.best_epoch if run.result else None
    figures = []
    for measure, curves in own.items():
        figures.append(
            Figure(
                learning_curves(
                    curves,
                    EPOCHS,
                    measure,
                    f"{label}: {measure} over epochs",
                    mark=best,
                    mark_name="checkpoint kept",
                ),
                f"{measure} of {label} over training. Training figures are means over augmented "
                "pictures while the weights change, and a loss may hold class weights and "
                "smoothing; validation figures are of intact pictures.",
            )
        )
    for (task, measure), curves in _other_curves(run.history, label).items():
        title = measure_title(measure, units_of(run, task))
        svg = learning_curves(curves, EPOCHS, title, f"{task}: {title} over epochs")
        figures.append(Figure(svg, f"{title} of {task} over training."))
    return figures


def comparison_figures(runs: Mapping[str, RunContent]) -> list[Figure]:
    """Draw validation accuracy and training loss of several runs over each other."""
    sides = (
        ("val", "accuracy", "validation accuracy", "Validation accuracy after each epoch."),
        ("train", "loss", "training loss", "Training loss of the task that has the label."),
    )
    figures = []
    for side, measure, name, caption in sides:
        curves = []
        for style, (arm, run) in enumerate(runs.items()):
            key = measure if side == "val" else f"{_label(run)}/{measure}"
            curves += _curve(run.history, side, key, arm, style)
        if curves:
            title = measure_title(measure)
            svg = learning_curves(curves, EPOCHS, title, f"{name} of each arm over epochs")
            figures.append(Figure(svg, caption))
    return figures


def _label(run: RunContent) -> str:
    """Return the task that has the label: the first supervised one, else the first recorded."""
    tasks = [key.partition("/")[0] for key in _keys(run.history, "train") if "/" in key]
    first = run.result.first_task if run.result else ""
    if not first or (tasks and first not in tasks):
        return tasks[0] if tasks else "label"
    return first


def _own_curves(
    history: list[Validation], label: str, units: Mapping[str, str]
) -> dict[str, list[Curve]]:
    groups: dict[str, list[Curve]] = {}
    for side, prefix, name in (("train", f"{label}/", "training"), ("val", "", "validation")):
        for key in _keys(history, side):
            measure = key.removeprefix(prefix)
            if not key.startswith(prefix) or "/" in measure:
                continue
            group = groups.setdefault(_axis(measure, units), [])
            extra = "" if measure in ("accuracy", "loss", "mae") else f", {measure_name(measure)}"
            group += _curve(history, side, key, f"{name}{extra}", len(group) + 1)
    return {measure: curves for measure, curves in groups.items() if curves}


def _axis(measure: str, units: Mapping[str, str]) -> str:
    """Return the axis of a measure: all fractions share one, and so do losses and errors."""
    if is_fraction(measure):
        return measure_title("accuracy")
    if measure.startswith("mae"):
        return measure_title("mae", units)
    return measure_title("loss" if measure == "nll" else measure, units)


def _other_curves(history: list[Validation], label: str) -> dict[tuple[str, str], list[Curve]]:
    groups: dict[tuple[str, str], list[Curve]] = {}
    for side, name in (("train", "training"), ("val", "validation")):
        for key in _keys(history, side):
            task, _, measure = key.rpartition("/")
            if task and task != label:
                group = groups.setdefault((task, measure), [])
                group += _curve(history, side, key, name, len(group) + 1)
    return {key: curves for key, curves in groups.items() if curves}


def _keys(history: list[Validation], side: str) -> list[str]:
    return list(dict.fromkeys(key for line in history for key in getattr(line, side)))


def _curve(history: list[Validation], side: str, key: str, name: str, style: int) -> list[Curve]:
    """Return the curve of one recorded figure, or nothing where it was never recorded."""
    found = [(line.epoch, getattr(line, side).get(key)) for line in history]
    y = np.array([np.nan if value is None else value for _, value in found], dtype=float)
    if not np.isfinite(y).any():
        return []
    scale = 100 if is_fraction(key.rpartition("/")[2]) else 1
    return [Curve(name, [epoch for epoch, _ in found], scale * y, style)]
