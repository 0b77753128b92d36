from __future__ import annotations

import numpy as np
import pytest

from hybridface.inference.draw import annotate
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
