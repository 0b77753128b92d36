"""From traits and movements to a posed mesh on the screen."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, cos_turns, sin_turns
from hybridface.data.drawn_faces.looks import Looks, looks_of
from hybridface.data.drawn_faces.mesh import EYE_Y, Mesh, rest_mesh
from hybridface.data.drawn_faces.parameters import FaceParameters
from hybridface.data.drawn_faces.shapes import MOVES, expression_shapes, hair_shapes, person_shapes

_CAMERA: Final = 6.0  # distance of the eye from the middle of the head, in object units
_PIVOT: Final = (0.0, -0.10, -0.05)


@dataclass(frozen=True)
class Posed:
    """F posed heads of V vertices.

    Attributes:
        screen: x and y in picture widths (y down, from 0 to 1) and depth, each (F, V).
        normal: x, y, z of the unit normals after turning, each (F, V).
        paint: where to look colours up (moves with the expression), each (F, V).
    """

    screen: tuple[Array, Array, Array]
    normal: tuple[Array, Array, Array]
    paint: tuple[Array, Array, Array]


def move_strengths(faces: FaceParameters) -> dict[str, Array]:
    """Return the strength (N, 1) of each of `MOVES`."""
    result = {}
    for name, units in MOVES.items():
        total = faces.column(units[0])
        for unit in units[1:]:
            total = total + faces.column(unit)
        result[name] = total
    return result


def pose_heads(faces: FaceParameters, looks: Looks) -> Posed:
    """Return the heads of N faces, shaped, turned and projected."""
    mesh = rest_mesh()
    paint = [np.repeat(axis[None], len(faces), 0) for axis in mesh.paint]
    place = [np.repeat(axis[None], len(faces), 0) for axis in mesh.position]
    head = mesh.part("head").slice
    shapes = expression_shapes()
    for name, strength in move_strengths(faces).items():
        for axis, values in shapes[name].items():
            step = strength * values[None, head]
            place[axis][:, head] += step
            if axis < 2:
                paint[axis][:, head] += step
    for name, axes in person_shapes().items():
        strength = faces.between(name, -1.0, 1.0)
        for axis, values in axes.items():
            place[axis] += strength * values[None]
    _dress(faces, mesh, looks, place)
    normal = _normals(mesh, place)
    turned = _turn(faces, mesh, place, _PIVOT)
    facing = _turn(faces, mesh, normal, (0.0, 0.0, 0.0))
    return Posed(
        project(faces, turned),
        facing,
        (paint[0], paint[1], paint[2]),
    )


def nose_tip(faces: FaceParameters) -> NDArray[np.float64]:
    """Return where the tip of the nose is drawn, (N, 2): x right and y down in picture widths."""
    x, y, _ = pose_heads(faces, looks_of(faces)).screen
    mesh = rest_mesh()
    tip = int(np.argmax(mesh.position[2, mesh.part("head").slice]))
    return np.stack([x[:, tip], y[:, tip]], 1).astype(np.float64)


def picture_scale(faces: FaceParameters) -> Array:
    """Return how many picture widths (N, 1) a unit of length at the middle of the head takes."""
    return faces.between("scale", 0.55, 0.63)


def project(
    faces: FaceParameters, turned: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """Return x and y in picture widths, y down, and depth, of turned points (N, V) in space."""
    x, y, z = turned
    grown = picture_scale(faces) * _CAMERA / (_CAMERA - z)
    right = faces.between("shift_x", 0.45, 0.55) + grown * x
    down = faces.between("shift_y", 0.37, 0.47) - grown * y
    return right, down, z


def rotation(pose: NDArray[np.float64]) -> list[list[Array]]:
    """Return the rotation matrix of poses (N, 3) in degrees as three rows of (N, 1) arrays.

    It is Rz(-roll) Ry(yaw) Rx(-pitch): the head nods, then turns, then tilts in the picture.
    """
    turns = pose / 360.0
    (sy, sp, sr), (cy, cp, cr) = (
        [function(turns[:, k : k + 1]).astype(np.float32) for k in range(3)]
        for function in (sin_turns, cos_turns)
    )
    right = [cy, -sy * sp, sy * cp]
    up = [0.0 * cy, cp, sp]
    near = [-sy, -cy * sp, cy * cp]
    return [
        [cr * r + sr * u for r, u in zip(right, up, strict=True)],
        [cr * u - sr * r for r, u in zip(right, up, strict=True)],
        near,
    ]


def _turn(
    faces: FaceParameters, mesh: Mesh, points: list[Array], pivot: tuple[float, float, float]
) -> tuple[Array, Array, Array]:
    """Turn the head with the pose and the torso by a third of its yaw, about a point."""
    moved = [axis - middle for axis, middle in zip(points, pivot, strict=True)]
    follow = faces.pose * np.array([0.35, 0.0, 0.25])
    result = [np.empty_like(axis) for axis in moved]
    torso = mesh.part("torso").slice
    pieces = ((slice(0, torso.start), faces.pose), (torso, follow))
    for part, pose in (*pieces, (slice(torso.stop, None), faces.pose)):
        x, y, z = (axis[:, part] for axis in moved)
        for axis, (a, b, c) in enumerate(rotation(pose)):
            result[axis][:, part] = a * x + b * y + c * z + pivot[axis]
    return result[0], result[1], result[2]


def _normals(mesh: Mesh, place: list[Array]) -> list[Array]:
    """Return the unit normals of all vertices from the differences between neighbours."""
    result = [np.zeros_like(axis) for axis in place]
    for part in mesh.parts:
        grids = [axis[:, part.slice].reshape(-1, part.rows, part.columns) for axis in place]
        ax, ay, az = (_difference(grid, 1) for grid in grids)
        bx, by, bz = (_difference(grid, 2) for grid in grids)
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        inverse = 1.0 / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9))
        for axis, values in enumerate((nx, ny, nz)):
            result[axis][:, part.slice] = (values * inverse).reshape(len(values), -1)
    return result


def _difference(grid: Array, axis: int) -> Array:
    """Return the difference between the next and the previous element along an axis."""
    lines = np.moveaxis(grid, axis, 0)
    result = np.empty_like(grid)
    out = np.moveaxis(result, axis, 0)
    out[1:-1] = lines[2:] - lines[:-2]
    out[0] = lines[1] - lines[0]
    out[-1] = lines[-1] - lines[-2]
    return result


def _dress(faces: FaceParameters, mesh: Mesh, looks: Looks, place: list[Array]) -> None:
    """Put hair and glasses on the heads (N, V), or shrink them to nothing."""
    head = mesh.part("head").slice
    shapes = hair_shapes()
    for name, strength in (
        ("top", looks.volume_top),
        ("sides", looks.volume_sides),
        ("lumps", looks.volume_top * looks.volume_top * (0.3 + 1.5 * looks.curls)),
    ):
        for axis, values in shapes[name].items():
            place[axis][:, head] += strength * values[None, head]
    long_hair = mesh.part("long_hair").slice
    wave = sin_turns(place[1][:, long_hair] * 1.6) * (looks.curls * 0.05) + 1.0
    wider = looks.long_hair * (0.96 + 0.12 * looks.volume_sides) * wave
    place[0][:, long_hair] *= wider
    place[2][:, long_hair] *= wider
    length = faces.between("hair_length", 0.55, 1.1)
    place[1][:, long_hair] = looks.long_hair * (0.62 + (place[1][:, long_hair] - 0.62) * length)
    size = faces.between("glasses_size", 0.85, 1.12)
    tall = size * faces.between("glasses_shape", 0.72, 1.1)
    for name, middle in (("rim_left", -0.3), ("rim_right", 0.3)):
        part = mesh.part(name).slice
        place[0][:, part] = middle + (place[0][:, part] - middle) * size
        place[1][:, part] = EYE_Y - 0.035 + (place[1][:, part] - EYE_Y + 0.035) * tall
    for name in ("rim_left", "rim_right", "bridge", "temple_left", "temple_right"):
        for axis in range(3):
            place[axis][:, mesh.part(name).slice] *= looks.glasses
