"""What an evaluation found of poses and other numbers, and of groups of people, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.table import Table

from hybridface.console import number_table
from hybridface.evaluation.words import interval, percent
from hybridface.rotations import FURTHEST

NAMES = {
    "mae": "mean absolute error",
    "mae_yaw": "  of yaw",
    "mae_pitch": "  of pitch",
    "mae_roll": "  of roll",
    "geodesic": "angle between rotations",
    "bias": "bias",
    "deviation": "mean deviation given",
}

USUAL_UNITS = ("degrees", "years")  # whose errors are read to a hundredth, however small


def decimals_of(errors: Iterable[object], unit: str) -> int:
    """Return with how many decimals some errors are written.

    Errors below 1 have three digits that say something, the least of them too; degrees and years
    have two decimals, as everything else. What is no number above 0 has no say.
    """
    known = [each for each in errors if isinstance(each, float) and 0 < each < math.inf]
    if unit in USUAL_UNITS or not known:
        return 2
    return max(2, 2 - math.floor(math.log10(min(known))))


def number_scores(task: dict[str, Any]) -> Table:
    """Lay out the figures of a task of numbers."""
    table = number_table("", task["unit"] or "value", "95% interval")
    form = f".{decimals_of([task['mae']['value']], task['unit'])}f"
    for key, name in NAMES.items():
        if key in task:
            table.add_row(name, _value(task[key], form), interval(task[key], form))
    if "coverage" in task:
        covered = task["coverage"]
        cells = (percent(covered["value"]), interval(covered, ".1%"))
        table.add_row("within 1.96 deviations", *cells)
    return table


def by_yaw(task: dict[str, Any]) -> Table | None:
    """Lay out the errors of poses by the true yaw; None for other numbers."""
    if not task.get("by_yaw"):
        return None
    table = number_table("yaw, either way", "error", "95% interval", "geodesic", "pictures")
    for name, each in task["by_yaw"].items():
        cells = (_value(each["mae"]), interval(each["mae"], ".2f"), _value(each["geodesic"]))
        table.add_row(name, *cells, str(each["count"]))
    return table


def by_group(task: dict[str, Any]) -> list[Table]:
    """Lay out the accuracy or error of a task for each group of people."""
    tables = []
    for column, groups in task.get("by_group", {}).items():
        accuracy = "accuracy" in next(iter(groups.values()))
        measure = "accuracy" if accuracy else "error"
        form = ".1%"
        if not accuracy:
            errors = [each["mae"]["value"] for each in groups.values()]
            form = f".{decimals_of(errors, task['unit'])}f"
        table = number_table(column, measure, "95% interval", "pictures")
        for name, each in groups.items():
            score = each["accuracy" if accuracy else "mae"]
            value = percent(score["value"]) if accuracy else _value(score, form)
            table.add_row(name, value, interval(score, form), str(each["count"]))
        tables.append(table)
    return tables


def left_out(task: dict[str, Any]) -> list[str]:
    """Say what a reader of the figures would otherwise not know."""
    lines = []
    if task.get("beyond"):
        lines.append(f"left out, with an angle beyond {FURTHEST:g} degrees: {task['beyond']}")
    if task["unlabelled"]:
        lines.append(f"left out, as they have no label '{task['label']}': {task['unlabelled']}")
    return lines


def _value(score: dict[str, Any], form: str = ".2f") -> str:
    return "-" if score["value"] is None else format(score["value"], form)
