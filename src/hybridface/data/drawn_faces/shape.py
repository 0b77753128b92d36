"""From traits and movements to a posed mesh on the screen."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, bump, cos_turns, sin_turns, smoothstep
from hybridface.data.drawn_faces.looks import Looks
from hybridface.data.drawn_faces.mesh import EYE_X, EYE_Y, MOUTH_Y, Mesh, rest_mesh
from hybridface.data.drawn_faces.parameters import FaceParameters

_CAMERA: Final = 6.0  # distance of the eye from the middle of the head, in object units
_PIVOT: Final = (0.0, -0.10, -0.05)

MOVES: Final[dict[str, tuple[str, ...]]] = {
    "jaw": ("mouth_open",),
    "brows": ("inner_brow_raise", "outer_brow_raise"),
    "frown": ("brow_lower",),
    "cheeks": ("cheek_raise", "lip_corner_pull"),
    "sneer": ("nose_wrinkle", "upper_lip_raise"),
    "smile": ("lip_corner_pull", "lip_stretch"),
    "pout": ("lip_pucker",),
    "chin_up": ("chin_raise",),
}
"""Expression shapes and the action units that add up to their strength."""


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


@cache
def expression_shapes() -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return, for each of `MOVES`, how far it moves the head's vertices along some axes."""
    x, y, z = (axis.astype(np.float64) for axis in rest_mesh().paint)
    across, side = np.abs(x), np.sign(x)
    front = smoothstep(-0.1, 0.5, z)
    jaw = smoothstep(MOUTH_Y + 0.03, MOUTH_Y - 0.13, y) * (0.25 + 0.75 * front)
    corner = bump((across - 0.28) / 0.2, (y - MOUTH_Y) / 0.16) * front
    cheek = bump((across - 0.36) / 0.26, (y + 0.22) / 0.22) * front
    brow = bump((across - 0.28) / 0.34, (y - 0.24) / 0.2) * front
    wing = bump((across - 0.12) / 0.16, (y + 0.26) / 0.16) * front
    hollow = bump(x / 0.26, (y - MOUTH_Y + 0.07) / 0.13) * front
    mouth = bump(x / 0.3, (y - MOUTH_Y) / 0.16) * front
    chin = bump(x / 0.3, (y + 0.78) / 0.18) * front
    return _packed(
        {
            "jaw": {1: -0.24 * jaw, 2: -0.13 * hollow - 0.05 * jaw},
            "brows": {1: 0.03 * brow, 2: 0.01 * brow},
            "frown": {1: -0.03 * brow, 2: 0.03 * brow},
            "cheeks": {1: 0.03 * cheek, 2: 0.045 * cheek},
            "sneer": {1: 0.02 * wing, 2: 0.02 * wing + 0.015 * cheek},
            "smile": {0: 0.05 * side * corner, 1: 0.02 * corner, 2: -0.03 * corner},
            "pout": {2: 0.08 * mouth},
            "chin_up": {1: 0.03 * chin, 2: 0.03 * chin},
        }
    )


@cache
def person_shapes() -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return how far each trait of a person moves the vertices when it is at its highest."""
    mesh = rest_mesh()
    x, y, z = (axis.astype(np.float64) for axis in mesh.paint)
    across, side = np.abs(x), np.sign(x)
    head = np.zeros(x.shape)
    head[mesh.part("head").slice] = 1.0
    front = smoothstep(-0.1, 0.5, z) * head
    still = np.ones(x.shape)
    still[mesh.part("torso").slice] = 0.0
    low = smoothstep(-0.15, -0.75, y) * still
    nose = bump(x / 0.2, (y + 0.22) / 0.24) * front
    tip = bump(x / 0.16, (y + 0.28) / 0.14) * front
    wing = bump((across - 0.13) / 0.14, (y + 0.28) / 0.15) * front
    brow = bump((across - 0.26) / 0.34, (y - 0.2) / 0.14) * front
    eyes = bump((across - EYE_X) / 0.3, (y - EYE_Y) / 0.22) * front
    cheek = bump((across - 0.45) / 0.26, (y + 0.18) / 0.24) * front
    chin = smoothstep(-0.55, -0.9, y) * front
    ears = np.zeros(x.shape)
    for name in ("ear_left", "ear_right"):
        ears[mesh.part(name).slice] = 1.0
    return _packed(
        {
            "width": {0: 0.09 * x * still},
            "jaw": {0: 0.20 * x * low},
            "chin": {1: -0.10 * chin, 2: 0.05 * chin},
            "nose": {2: 0.07 * nose + 0.03 * tip},
            "nose_length": {1: -0.05 * tip},
            "nose_width": {0: 0.04 * side * wing, 2: 0.03 * wing},
            "cheekbones": {2: 0.035 * cheek, 0: 0.03 * side * cheek},
            "eye_gap": {0: 0.035 * side * eyes},
            "forehead": {1: 0.08 * smoothstep(0.3, 0.9, y) * head},
            "brow_ridge": {2: 0.035 * brow},
            "ears": {0: 0.35 * (x - side * 0.72) * ears, 1: 0.2 * (y + 0.1) * ears},
        }
    )


@cache
def hair_shapes() -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return how the head swells under hair: on top, at the sides and back, and in curls."""
    x, y, z = (axis.astype(np.float64) for axis in rest_mesh().paint)
    head = np.zeros(x.shape)
    head[rest_mesh().part("head").slice] = 1.0
    line = 0.56 - 0.5 * smoothstep(0.42, 0.12, z) - 0.5 * smoothstep(0.1, -0.5, z)
    cover = smoothstep(0.0, 0.2, y - line) * head
    top = cover * smoothstep(0.35, 0.95, y)
    sides = cover * smoothstep(0.95, 0.5, y)
    length = np.sqrt(x * x + z * z) + 1e-6
    lumps = cover * (
        sin_turns(2.3 * x + 1.1 * y) * sin_turns(2.9 * y - 0.7 * z)
        + sin_turns(2.6 * z + 1.7 * y + 0.2) * cos_turns(3.1 * x)
    )
    return _packed(
        {
            "top": {0: 0.15 * top * x, 1: 0.2 * top, 2: 0.1 * top * z},
            "sides": {0: 0.15 * sides * x / length, 2: 0.12 * sides * z / length},
            "lumps": {
                0: 0.05 * lumps * x / length,
                1: 0.05 * lumps * np.maximum(y, 0.0),
                2: 0.04 * lumps * z / length,
            },
        }
    )


def _packed(shapes: dict[str, dict[int, Array]]) -> dict[str, dict[int, NDArray[np.float32]]]:
    return {
        name: {axis: values.astype(np.float32) for axis, values in axes.items()}
        for name, axes in shapes.items()
    }


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


def picture_scale(faces: FaceParameters) -> Array:
    """Return how many picture widths (N, 1) a unit of length at the middle of the head takes."""
    return faces.between("scale", 0.46, 0.57)


def project(
    faces: FaceParameters, turned: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """Return x and y in picture widths, y down, and depth, of turned points (N, V) in space."""
    x, y, z = turned
    grown = picture_scale(faces) * _CAMERA / (_CAMERA - z)
    right = faces.between("shift_x", 0.44, 0.56) + grown * x
    down = faces.between("shift_y", 0.39, 0.51) - grown * y
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
        place[1][:, part] = EYE_Y - 0.02 + (place[1][:, part] - EYE_Y + 0.02) * tall
    for name in ("rim_left", "rim_right", "bridge", "temple_left", "temple_right"):
        for axis in range(3):
            place[axis][:, mesh.part(name).slice] *= looks.glasses
