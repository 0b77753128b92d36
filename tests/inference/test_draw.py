from __future__ import annotations

import numpy as np
import pytest

from hybridface.inference.draw import AXES, annotate
from hybridface.inference.metadata import ModelTask
from hybridface.inference.photos import Face, Photo

TASKS = {"pose": ModelTask("pose"), "age": ModelTask("regression", unit="years")}


@pytest.mark.parametrize("box", [(2, 2, 8, 8), (-5, -5, 300, 300), (60, 40, 79, 59)])
def test_whatever_the_box_a_copy_is_drawn_into(box: tuple[float, ...]) -> None:
    pixels = np.full((60, 80, 3), 200, np.uint8)
    readings = {
        "pose": {"yaw": 40.0, "pitch": -10.0, "roll": 5.0},
        "age": {"mean": 30.0, "deviation": 5.0, "unit": "years"},
    }
    photo = Photo("a", [Face(box, readings, track=3)], (80, 60), pixels=pixels)
    drawn = annotate(photo, TASKS)
    assert (pixels == 200).all()
    assert drawn.shape == pixels.shape and (drawn != 200).any()
    np.testing.assert_array_equal(annotate(Photo("a", pixels=pixels), TASKS), pixels)


@pytest.mark.parametrize(
    ("pose", "axis", "right", "down"),
    [
        ((60.0, 0.0, 0.0), "nose", 1, 0), ((-60.0, 0.0, 0.0), "nose", -1, 0),
        ((0.0, 40.0, 0.0), "nose", 0, -1), ((0.0, 0.0, 0.0), "down", 0, 1),
        ((0.0, 0.0, 0.0), "right", 1, 0), ((0.0, 0.0, 30.0), "down", -1, 1),
    ],
)  # fmt: skip
def test_axes_point_where_the_head_does(
    pose: tuple[float, float, float], axis: str, right: int, down: int
) -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    readings = {"pose": dict(zip(("yaw", "pitch", "roll"), pose, strict=True))}
    photo = Photo("a", [Face((60, 60, 140, 140), readings)], (200, 200), pixels=pixels)
    drawn = annotate(photo, {"pose": ModelTask("pose")})[61:139, 61:139]
    rows, columns = np.nonzero((drawn == AXES[axis]).all(2))
    assert len(rows) > 20
    for middle, sign in ((columns.mean() - 39, right), (rows.mean() - 39, down)):
        assert abs(middle) < 4 if sign == 0 else middle * sign > 4
