"""Data that a task cannot learn or be chosen by is refused before anything trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridface.config import build_recipe
from hybridface.data.prepare import PreparedData
from hybridface.data.source import Labels, NumericLabels, Problem
from hybridface.errors import UsageError
from hybridface.rotations import ANGLES
from hybridface.tasks import resolve_tasks
from hybridface.training.refusals import refuse_unlearnable, refuse_unselectable

NAN = float("nan")


def prepared(**columns: Any) -> PreparedData:
    """Return six rows, of which the last two validate."""
    pose = np.array(columns.get("pose", [[1, 2, 3]] * 6), np.float32)
    return PreparedData(
        sources={"": "csv:x"},
        images=np.zeros((6, 16, 16, 3), np.uint8),
        labels={"expression": Labels(("a", "b"), np.array(columns.get("ids", [0, 1] * 3)))},
        keys=[str(number) for number in range(6)],
        splits={"train": np.arange(4), "val": np.arange(4, 6), "test": np.arange(0)},
        problems=[Problem("0", "no number in column 'yaw': '20,5'")],
        duplicates=[],
        numeric={"pose": NumericLabels(ANGLES, pose, "degrees")},
    )


def refuse(data: PreparedData, tasks: list[str], **training: Any) -> None:
    content = {"data": {"source": "csv:x"}, "tasks": {name: {} for name in tasks}}
    recipe, built = resolve_tasks(build_recipe({**content, "training": training}))
    refuse_unlearnable(built, data)
    refuse_unselectable(recipe, built, data)


@pytest.mark.parametrize("tasks", [["pose"], ["expression"], ["expression", "pose"], ["puzzle"]])
def test_what_can_be_chosen_by_is_taken(tasks: list[str]) -> None:
    refuse(prepared(), tasks)
    refuse(prepared(pose=[[1, 2, NAN]] * 6), tasks)


def test_no_label_of_the_first_task_in_validation_is_said() -> None:
    with pytest.raises(UsageError, match="task expression: none of the 2 validation pictures"):
        refuse(prepared(ids=[0, 1, 0, 1, -1, -1]), ["expression", "pose"])
    without = [[1, 2, 3]] * 4 + [[NAN] * 3] * 2
    with pytest.raises(UsageError, match="task pose: none of the 2 validation pictures"):
        refuse(prepared(pose=without), ["pose", "expression"])
    refuse(prepared(pose=without), ["expression", "pose"])


def test_a_task_without_a_label_in_training_is_said() -> None:
    """Its head would be exported as it began, and answer."""
    said = r"task pose: none of the 4 training pictures .* 'pose' \(0: no number in .*'20,5'\)"
    with pytest.raises(UsageError, match=said):
        refuse(prepared(pose=[[NAN] * 3] * 4 + [[1, 2, 3]] * 2), ["expression", "pose"])
    with pytest.raises(UsageError, match="task expression: none of the 4 training pictures"):
        refuse(prepared(ids=[-1] * 4 + [0, 1]), ["pose", "expression"])
    refuse(prepared(pose=[[NAN] * 3] * 3 + [[1, NAN, NAN]] * 3), ["expression", "pose"])


@pytest.mark.parametrize("angles", [[10, 5, NAN], [120, 5, 5]])
def test_the_angle_between_poses_needs_whole_ones(angles: list[float]) -> None:
    data = prepared(pose=[[1, 2, 3]] * 4 + [angles] * 2)
    with pytest.raises(UsageError, match=r"training.select: geodesic cannot be measured"):
        refuse(data, ["pose"], select="geodesic")


def test_poses_that_do_not_count_are_said() -> None:
    with pytest.raises(UsageError, match=r"training.select: mae cannot be measured"):
        refuse(prepared(pose=[[1, 2, 3]] * 4 + [[120, 5, 5]] * 2), ["pose"])


@pytest.mark.parametrize("refusal", ["refuse_unlearnable", "refuse_unselectable"])
def test_it_is_refused_before_training(
    refusal: str, drawn_cache: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    from hybridface.training import train as training
    from tiny_runs import tiny_recipe

    def never(*_: Any) -> None:
        raise AssertionError("nothing may be built")

    def refuses(*_: Any) -> None:
        raise UsageError("none of them")

    monkeypatch.setattr(training, refusal, refuses)
    monkeypatch.setattr(training, "build_module", never)
    with pytest.raises(UsageError, match="none of them"):
        training.train(tiny_recipe(tmp_path / "run"))
