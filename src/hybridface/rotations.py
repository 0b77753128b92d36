"""Head poses: three angles, rotation matrices, and what pictures do to them. numpy only.

A pose is yaw, pitch and roll in degrees. As seen in the picture, positive yaw turns the nose to the
right, positive pitch turns it up, and positive roll tilts the top of the head to the right. Axes
are the picture's: right, up, and near (towards the viewer). A matrix takes points of an upright,
frontal head to where the pose has them; its columns are the head's own axes, the last its nose.

Three angles mean a rotation only with an order. It is that of 300W-LP, AFLW2000-3D and 3DDFA (Zhu
et al. 2016, arXiv:1511.07212), ``R = Rx Ry Rz``: the head rolls first, then turns, then nods, each
about the picture's axis. Their pitch and roll have these signs, their yaw the opposite one; so the
errors of these angles are those of the literature on AFLW2000.

Two triples of angles give each rotation, ``(yaw, pitch, roll)`` and ``(180 - yaw, pitch + 180,
roll + 180)``. :func:`to_angles` returns the one in which the head is not upside down,
``cos(pitch) + cos(roll) >= 0``: yaw may be any angle, a profile seen from behind included. At a yaw
of exactly 90 degrees either way, where roll and pitch turn about the same axis (gimbal lock), only
their sum or difference is known; roll is 0 there, as in 3DDFA.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ANGLES = ("yaw", "pitch", "roll")
FURTHEST = 99.0
"""Pictures with an angle beyond this are left out of figures, as is usual on AFLW2000."""
LOCK = 1e-6

Floats = NDArray[np.float64]
Given = NDArray[np.floating[Any]]


def to_matrices(angles: Given) -> Floats:
    """Return the rotation matrices of poses.

    Args:
        angles: ``(N, 3)`` yaw, pitch and roll in degrees; NaN gives NaN.

    Returns:
        ``(N, 3, 3)``, to be multiplied from the left with columns of right, up and near.
    """
    turns = np.radians(np.asarray(angles, dtype=np.float64)) * (1, -1, -1)
    (sy, sp, sr), (cy, cp, cr) = np.sin(turns).T, np.cos(turns).T
    rows = [
        [cy * cr, -cy * sr, sy],
        [cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy],
        [sp * sr - cp * sy * cr, sp * cr + cp * sy * sr, cp * cy],
    ]
    matrices: Floats = np.moveaxis(np.array(rows), -1, 0)
    return matrices


def picture_axes(angles: Given) -> Floats:
    """Return where the head's right, top and nose point in the picture, to draw them.

    Args:
        angles: ``(N, 3)`` yaw, pitch and roll in degrees.

    Returns:
        ``(N, 3, 2)`` x to the right and y down, of length 1 where an axis lies in the picture.
    """
    ends: Floats = to_matrices(angles)[:, :2].transpose(0, 2, 1) * (1, -1)
    return ends


def to_angles(matrices: Given) -> Floats:
    """Return the poses of rotation matrices; see the module for which of two, and for gimbal lock.

    Args:
        matrices: ``(N, 3, 3)`` rotation matrices.

    Returns:
        ``(N, 3)`` yaw, pitch and roll in degrees, each from -180 to 180.
    """
    m = np.asarray(matrices, dtype=np.float64)
    side = np.where(m[:, 0, 0] + m[:, 2, 2] < 0, -1.0, 1.0)
    level = np.hypot(m[:, 0, 0], m[:, 0, 1])
    yaw = np.arctan2(m[:, 0, 2], side * level)
    pitch = np.arctan2(side * m[:, 1, 2], side * m[:, 2, 2])
    roll = np.arctan2(side * m[:, 0, 1], side * m[:, 0, 0])
    locked = level < LOCK
    pitch = np.where(locked, -np.arctan2(m[:, 2, 1], m[:, 1, 1]), pitch)
    angles: Floats = np.degrees(np.stack([yaw, pitch, np.where(locked, 0.0, roll)], axis=1))
    return angles


def mirror(angles: Given) -> Floats:
    """Return the poses ``(N, 3)`` of the pictures flipped left to right: yaw and roll negated."""
    return np.asarray(angles, dtype=np.float64) * (-1, 1, -1)


def turn_picture(angles: Given, degrees: Given) -> Floats:
    """Return the poses of pictures that are turned in their plane.

    The turn is composed from the left, after all that the head has done. It is no addition to the
    roll, which the head does first: it changes all three angles of a head that is not frontal.

    Args:
        angles: ``(N, 3)`` yaw, pitch and roll in degrees.
        degrees: ``(N,)`` by how much, positive to the right, as roll.

    Returns:
        ``(N, 3)`` degrees.
    """
    turn = np.zeros((len(np.asarray(degrees)), 3))
    turn[:, 2] = degrees
    return to_angles(to_matrices(turn) @ to_matrices(angles))


def geodesic(a: Given, b: Given) -> Floats:
    """Return the angle in degrees, 0 to 180, of the one turn that takes each pose to the other.

    Unlike the error of single angles it does not depend on their order. It is exact near 0 and
    180, where the arc cosine of the trace is not.

    Args:
        a: ``(N, 3)`` yaw, pitch and roll in degrees; NaN gives NaN.
        b: ``(N, 3)``.
    """
    one, other = to_matrices(a), to_matrices(b)
    sine = np.square(one - other).sum((1, 2))  # 8 sin^2 of half the angle
    cosine = np.square(one + other).sum((1, 2)) - 4  # 8 cos^2 of it
    angle: Floats = np.degrees(2 * np.arctan2(np.sqrt(sine), np.sqrt(np.maximum(cosine, 0))))
    return angle


def difference(a: Given, b: Given) -> Floats:
    """Return ``a - b`` in degrees the short way round the circle, from -180 up to 180."""
    turned: Floats = (np.asarray(a, dtype=np.float64) - b + 180) % 360 - 180
    return turned
