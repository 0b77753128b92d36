"""What was measured of arms beside what they are compared by: tables of a study page."""

from __future__ import annotations

import numpy as np

from hybridface.report.cells import Arm, Setting
from hybridface.report.document import Table
from hybridface.report.study_tables import places, seeds_note
from hybridface.report.text import MISSING, measure_title, measured


def calibration_table(setting: Setting) -> Table | None:
    """Lay out calibration and the tasks' own figures by arm, where any was recorded."""
    measures = dict.fromkeys(
        name for arm in setting.arms for cell in arm.cells.values() for name in cell.details.ssl
    )
    rows = [
        [arm.name, _over_seeds(arm, "ece"), _over_seeds(arm, "nll")]
        + [_over_seeds(arm, name) for name in measures]
        for arm in setting.shared
    ]
    if all(cell == MISSING for row in rows for cell in row[1:]):
        return None
    heads = [f"{name.partition('/')[0]}: {measure_title(_leaf(name))}" for name in measures]
    return Table(
        "Calibration on the test set at the validation checkpoint, and how well the "
        "self-supervised tasks are solved: mean over seeds. Lower is better for both calibration "
        f"figures.{seeds_note(setting)}",
        ["Arm", measure_title("ece"), measure_title("nll"), *heads],
        rows,
        strong=places(setting.arms, setting.headline),
    )


def figure_table(setting: Setting) -> Table | None:
    """Lay out the other figures of a task of numbers by arm, where any was recorded."""
    every = [cell.details.figures for arm in setting.arms for cell in arm.cells.values()]
    names = list(dict.fromkeys(name for figures in every for name in figures))
    if not names:
        return None

    def over_seeds(arm: Arm, name: str) -> str:
        found = [cell.details.figures.get(name) for cell in arm.cells.values()]
        known = [value for value in found if value is not None]
        return measured(name, float(np.mean(known))) if known else MISSING

    unit = setting.measure.unit
    return Table(
        "Other figures of the test pictures at the validation checkpoint: mean over seeds."
        f"{seeds_note(setting)}",
        ["Arm", *(measure_title(name, {"bias": unit, "deviation": unit}) for name in names)],
        [[arm.name, *(over_seeds(arm, name) for name in names)] for arm in setting.shared],
        strong=places(setting.arms, setting.headline),
    )


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _over_seeds(arm: Arm, name: str) -> str:
    found = [
        getattr(cell.details, name) if name in ("ece", "nll") else cell.details.ssl.get(name)
        for cell in arm.cells.values()
    ]
    known = [value for value in found if value is not None]
    return measured(_leaf(name), float(np.mean(known))) if known else MISSING
