from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridface.inference.draw import annotate, pose_axes
from hybridface.inference.metadata import ModelTask
from hybridface.inference.photos import Face, Photo

TASKS = {"pose": ModelTask("pose"), "age": ModelTask("regression", unit="years")}
angles = st.floats(-180, 180)


def test_axes_point_where_the_signs_say() -> None:
    side, chin, nose = pose_axes(0, 0, 0)
    np.testing.assert_allclose([side, chin, nose], [(1, 0), (0, 1), (0, 0)], atol=1e-9)
    assert pose_axes(30, 0, 0)[2] == pytest.approx((0.5, 0))  # to the right of the picture
    assert pose_axes(0, 30, 0)[2] == pytest.approx((0, -0.5))  # up
    assert pose_axes(0, 0, 30)[1] == pytest.approx((-0.5, np.sqrt(0.75)))  # the top to the right


@given(angles, angles, angles)
def test_axes_are_those_of_a_turned_head(yaw: float, pitch: float, roll: float) -> None:
    axes = pose_axes(yaw, pitch, roll)
    lengths = (axes**2).sum(1)
    assert (lengths <= 1 + 1e-9).all()
    assert lengths.sum() == pytest.approx(2)  # of three unit axes two lie in any plane
    assert axes[:, 0] @ axes[:, 1] == pytest.approx(0, abs=1e-9)


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
