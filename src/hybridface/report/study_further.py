"""What was measured of arms beside what they are compared by: tables of a study page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Table
from hybridface.report.study_rows import Detail
from hybridface.report.study_tables import places, seeds_note
from hybridface.report.text import MISSING, measure_title, measured


def calibration_table(setting: Setting) -> Table | None:
    """Lay out calibration by arm, where any was recorded."""
    names = ("ece", "nll")
    rows = _means(setting, names, getattr)
    if all(cell == MISSING for row in rows for cell in row[1:]):
        return None
    return Table(
        "Calibration on the test set at the validation checkpoint: mean over seeds. Lower is "
        f"better.{seeds_note(setting)}",
        ["Arm", *map(measure_title, names)],
        rows,
        strong=places(setting.arms, setting.headline),
    )


def figure_table(setting: Setting) -> Table | None:
    """Lay out the other figures of a task of numbers by arm, where any was recorded."""
    every = [cell.details.figures for arm in setting.arms for cell in arm.cells.values()]
    names = list(dict.fromkeys(name for figures in every for name in figures))
    if not names:
        return None
    unit = setting.measure.unit
    return Table(
        "Other figures of the test pictures at the validation checkpoint: mean over seeds."
        f"{seeds_note(setting)}",
        ["Arm", *(measure_title(name, {"bias": unit, "deviation": unit}) for name in names)],
        _means(setting, names, lambda details, name: details.figures.get(name)),
        strong=places(setting.arms, setting.headline),
    )


def _means(
    setting: Setting, names: Sequence[str], read: Callable[[Detail, str], float | None]
) -> list[list[str]]:
    """Return a row for each arm: its name, and the means of some figures over its seeds."""

    def mean(arm: Arm, name: str) -> str:
        found = [read(cell.details, name) for cell in arm.cells.values()]
        known = [value for value in found if value is not None]
        digits = 1 + setting.measure.decimals
        return measured(name, float(np.mean(known)), digits) if known else MISSING

    return [[arm.name, *(mean(arm, name) for name in names)] for arm in setting.shared]
