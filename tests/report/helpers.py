"""What the tests of a study have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hybridface.report.cells import Arm, settings
from hybridface.report.study import StudyResult, write_study_page

StudyBuilder = Callable[..., StudyResult]


def arms_of(study: StudyResult) -> dict[str, Arm]:
    (setting,) = settings(study)
    return {arm.name: arm for arm in setting.arms}


def values(study: StudyResult, arm: str, key: str) -> np.ndarray:
    return np.array([row[key] for row in study.rows if row["arm"] == arm])


def changed(
    study: StudyResult, change: Callable[[dict[str, Any]], Mapping[str, Any] | None]
) -> list[Mapping[str, Any]]:
    rows = [change(dict(row)) for row in study.rows]
    return [row for row in rows if row is not None]


def pages(study: StudyResult, folder: Path) -> tuple[str, str]:
    write_study_page(study, folder / "study.md", folder / "study.html")
    return (folder / "study.md").read_text(), (folder / "study.html").read_text()
