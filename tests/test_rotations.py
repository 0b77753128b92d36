"""Poses: the angles' meaning, their matrices, and scipy as a second opinion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from hybridface.data.drawn_faces.pose import rotation as drawn_rotation
from hybridface.rotations import (
    difference,
    geodesic,
    mirror,
    picture_axes,
    to_angles,
    to_matrices,
    turn_picture,
)

FLIP = np.diag([-1.0, 1.0, 1.0])


def angles_within(yaw, others):
    limits = np.array([yaw, others, others])
    shape = arrays(np.float64, (5, 3), elements=st.floats(-1, 1))
    return shape.map(lambda values: values * limits)


HEADS = angles_within(180, 89)
FRONTAL = angles_within(80, 80)
TURNS = arrays(np.float64, 5, elements=st.floats(-180, 180))


def by_scipy(angles):
    """Rx Ry Rz about the picture's axes, in scipy's signs: pitch and roll are left-handed."""
    yaw, pitch, roll = angles.T
    return Rotation.from_euler("XYZ", np.stack([-pitch, yaw, -roll], 1), degrees=True).as_matrix()


@pytest.mark.parametrize(
    ("angles", "point", "goes_to"),
    [
        ((30, 0, 0), (0, 0, 1), (0.5, 0, np.sqrt(0.75))),  # the nose to the right
        ((0, 30, 0), (0, 0, 1), (0, 0.5, np.sqrt(0.75))),  # the nose up
        ((0, 0, 30), (0, 1, 0), (0.5, np.sqrt(0.75), 0)),  # the top of the head to the right
        ((90, 0, 40), (0, 0, 1), (1, 0, 0)),  # the roll comes first: the nose goes with the yaw
        ((0, 90, 40), (0, 0, 1), (0, 1, 0)),
    ],
)
def test_what_the_angles_mean(angles, point, goes_to):
    assert np.allclose(to_matrices(np.array([angles]))[0] @ point, goes_to, atol=1e-12)


def test_the_matrix_is_that_of_3ddfa_with_the_yaw_negated():
    yaw, pitch, roll = np.radians([-25.0, 13.0, 41.0])
    c, s = np.cos, np.sin
    rx = [[1, 0, 0], [0, c(pitch), s(pitch)], [0, -s(pitch), c(pitch)]]
    ry = [[c(yaw), 0, -s(yaw)], [0, 1, 0], [s(yaw), 0, c(yaw)]]
    rz = [[c(roll), s(roll), 0], [-s(roll), c(roll), 0], [0, 0, 1]]
    expected = np.array(rx) @ np.array(ry) @ np.array(rz)
    assert np.allclose(to_matrices(np.array([[25.0, 13.0, 41.0]]))[0], expected)


@given(HEADS)
def test_scipy_gives_the_same_matrices(angles):
    assert np.allclose(to_matrices(angles), by_scipy(angles))


@given(HEADS)
def test_angles_survive_the_way_to_matrices_and_back(angles):
    locked = np.abs(np.abs(angles[:, 0]) - 90) < 1e-3
    back = to_angles(to_matrices(angles))
    assert np.allclose(difference(back, angles)[~locked], 0, atol=1e-6)
    assert np.allclose(to_matrices(back), to_matrices(angles), atol=1e-5)


@given(arrays(np.float64, (5, 3), elements=st.floats(-720, 720)))
def test_any_rotation_is_described_by_a_head_that_is_not_upside_down(angles):
    found = to_angles(to_matrices(angles))
    assert (np.abs(found) <= 180 + 1e-9).all()
    assert np.allclose(to_matrices(found), to_matrices(angles), atol=1e-5)
    assert (np.cos(np.radians(found[:, 1:])).sum(1) > -1e-5).all()


@pytest.mark.parametrize("yaw", [90, -90])
def test_in_gimbal_lock_the_roll_is_zero_and_the_rotation_kept(yaw):
    angles = np.array([[yaw, 20.0, 15.0], [yaw, -70.0, 100.0]])
    found = to_angles(to_matrices(angles))
    assert np.allclose(found[:, 2], 0)
    assert np.allclose(to_matrices(found), to_matrices(angles), atol=1e-6)


@given(HEADS)
def test_mirroring_twice_is_nothing_and_once_is_the_mirrored_matrix(angles):
    assert np.array_equal(mirror(mirror(angles)), angles)
    assert np.allclose(to_matrices(mirror(angles)), FLIP @ to_matrices(angles) @ FLIP)


@given(HEADS, TURNS)
def test_turning_the_picture_turns_every_point_in_its_plane(angles, degrees):
    right, up = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    before = to_matrices(angles)
    after = to_matrices(turn_picture(angles, degrees))
    expected = before.copy()
    expected[:, 0] = right[:, None] * before[:, 0] + up[:, None] * before[:, 1]
    expected[:, 1] = right[:, None] * before[:, 1] - up[:, None] * before[:, 0]
    assert np.allclose(after, expected, atol=1e-5)


@given(FRONTAL, TURNS)
def test_turning_then_mirroring_is_mirroring_then_turning_the_other_way(angles, degrees):
    one = to_matrices(mirror(turn_picture(angles, degrees)))
    assert np.allclose(one, to_matrices(turn_picture(mirror(angles), -degrees)), atol=1e-5)


def test_a_turn_adds_to_the_roll_of_a_frontal_head_alone():
    frontal, nodding = np.array([[0, 0, 10.0]]), np.array([[0, 50.0, 10.0]])
    assert np.allclose(turn_picture(frontal, np.array([25.0])), [[0, 0, 35]])
    turned = turn_picture(nodding, np.array([25.0]))[0]
    assert abs(turned[0]) > 15
    assert abs(turned[2] - 35) > 5


@given(HEADS, HEADS)
def test_the_geodesic_is_scipys_magnitude(a, b):
    between = Rotation.from_matrix(by_scipy(a)).inv() * Rotation.from_matrix(by_scipy(b))
    assert np.allclose(geodesic(a, b), np.degrees(between.magnitude()), atol=1e-5)


@given(TURNS, TURNS)
def test_differences_go_the_short_way_round(a, b):
    found = difference(a, b)
    assert ((found >= -180) & (found <= 180)).all()
    turns = (found - (a - b)) / 360
    assert np.allclose(turns, np.round(turns), atol=1e-9)
    assert np.allclose(difference(np.array(179.0), np.array(-179.0)), -2)


def test_what_is_unknown_stays_unknown():
    some = np.array([[10.0, 5.0, np.nan]])
    assert np.isnan(geodesic(some, some)).all()
    assert np.array_equal(np.isnan(mirror(some)), np.isnan(some))
    assert np.array_equal(np.isnan(difference(some, some)), np.isnan(some))


@given(FRONTAL)
def test_drawn_faces_turn_the_same_way_in_another_order(angles):
    for axis in range(3):
        alone = np.zeros_like(angles)
        alone[:, axis] = angles[:, axis]
        drawn = np.array(drawn_rotation(alone))[..., 0]
        assert np.allclose(np.moveaxis(drawn, -1, 0), to_matrices(alone), atol=1e-5)


@pytest.mark.parametrize(
    ("angles", "axis", "end"),
    [
        ((30, 0, 0), 2, (0.5, 0)),  # the nose goes to the right
        ((0, 30, 0), 2, (0, -0.5)),  # and up, where y is smaller
        ((0, 0, 30), 1, (0.5, -np.sqrt(0.75))),  # the top of the head goes to the right
        ((0, 0, 0), 0, (1, 0)),
    ],
)
def test_axes_point_where_the_head_does(
    angles: tuple[float, ...], axis: int, end: tuple[float, float]
) -> None:
    np.testing.assert_allclose(picture_axes(np.array([angles], float))[0, axis], end, atol=1e-12)


@given(HEADS)
def test_axes_of_a_turned_head_stay_at_right_angles(angles) -> None:
    axes = picture_axes(angles)
    lengths = (axes**2).sum(2)
    assert (lengths <= 1 + 1e-9).all()
    np.testing.assert_allclose(lengths.sum(1), 2)  # of three unit axes two lie in any plane
    np.testing.assert_allclose((axes[..., 0] * axes[..., 1]).sum(1), 0, atol=1e-9)
