"""When a file agrees with the model that it was made from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from hybridface.export.comparison import Comparison, compare
from hybridface.inference.metadata import ModelTask
from hybridface.inference.runtime import FaceModel

PIXELS = np.zeros((4, 8, 8, 3), np.uint8)


def compared(kind: str, found: Any, wanted: Any, **said: object) -> Comparison:
    model = SimpleNamespace(
        tasks={"task": ModelTask(kind, ("a", "b") if kind == "classification" else ())},
        metadata={"tasks": {"task": said}},
        predict=lambda *_: {"task": np.array(found, np.float32)},
    )
    return compare(cast(FaceModel, model), {"task": np.array(wanted, np.float32)}, PIXELS)["task"]


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_numbers_agree_in_any_unit_alike(unit: float) -> None:
    wanted = np.array([[30.0, 5.0], [40.0, 5.0], [50.0, 5.0], [60.0, 5.0]])
    found = wanted + np.array([[1.9, 0.0], [0.0, -1.9], [2.1, 0.0], [0.0, 2.1]])
    said = compared("regression", found * unit, wanted * unit, label_deviation=20.0 * unit)
    assert said.agreement == 0.5
    assert said.bound == pytest.approx(2.0 * unit)
    assert said.largest == pytest.approx(2.1 * unit, rel=1e-3)


def test_a_task_that_does_not_say_how_its_labels_spread() -> None:
    said = compared("regression", [[1.0, 1.0], [0.0, 1.0]], [[0.1, 1.0], [1.1, 1.0]])
    assert (said.agreement, said.bound) == (0.5, 1.0)


def test_angles_meet_again_at_180() -> None:
    said = compared("pose", [[179.0, 0, 0], [0, 4.0, 0]], [[-179.0, 0, 0], [0, 0, 0]])
    assert said.agreement == 0.5
    assert said.largest == pytest.approx(4.0)


def test_classes_agree_by_the_most_probable_one() -> None:
    said = compared("classification", [[0.6, 0.4], [0.4, 0.6]], [[0.9, 0.1], [0.6, 0.4]])
    assert (said.agreement, said.bound, said.count) == (0.5, None, 2)
    assert "within" not in said.describe()


def test_what_is_no_number_agrees_with_nothing() -> None:
    nan = float("nan")
    assert compared("classification", [[nan, 0.4]], [[0.9, 0.1]]).agreement == 0
    assert compared("regression", [[nan, 1.0]], [[nan, 1.0]]).agreement == 0
