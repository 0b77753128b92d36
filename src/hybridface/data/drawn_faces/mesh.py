"""The rest mesh: one vertex list for head, ears, neck, long hair and glasses.

Object space has x to the viewer's right, y up and z towards the viewer; a head is about 2 high,
the eyes lie near y = 0.03 and the mouth at y = -0.55. Every part is a grid of rows and columns.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, bump, cos_turns, mixed, sin_turns, smoothstep

PARTS: Final[tuple[str, ...]] = (
    "head",
    "ear_left",
    "ear_right",
    "torso",
    "long_hair",
    "rim_left",
    "rim_right",
    "bridge",
    "temple_left",
    "temple_right",
)
"""Names of the parts; a part's id is its place here. Left and right are the image's."""

EYE_X: Final = 0.29
EYE_Y: Final = 0.03
MOUTH_Y: Final = -0.55


@dataclass(frozen=True)
class Part:
    """One grid of the mesh: rows x columns vertices from number `first` on."""

    name: str
    first: int
    rows: int
    columns: int

    @property
    def slice(self) -> slice:
        """The part's vertices."""
        return slice(self.first, self.first + self.rows * self.columns)


@dataclass(frozen=True)
class Mesh:
    """The rest mesh.

    Attributes:
        parts: The grids, in the order of `PARTS`.
        position: (3, V) rest position of every vertex, sculpted.
        paint: (3, V) smooth skull position, where colours are looked up.
        triangles: (T, 3) vertex numbers, counter-clockwise seen from outside.
        triangle_part: (T,) part id of every triangle.
    """

    parts: tuple[Part, ...]
    position: NDArray[np.float32]
    paint: NDArray[np.float32]
    triangles: NDArray[np.int64]
    triangle_part: NDArray[np.int64]

    def part(self, name: str) -> Part:
        """Return the part of that name."""
        return self.parts[PARTS.index(name)]


@cache
def rest_mesh() -> Mesh:
    """Return the mesh, built once."""
    parts: list[Part] = []
    positions, paints, triangles, owners = [], [], [], []
    first = 0
    for number, name in enumerate(PARTS):
        position, paint = _grid(name)
        rows, columns = position.shape[1:]
        parts.append(Part(name, first, rows, columns))
        corners = _grid_triangles(rows, columns) + first
        if number:  # Thin parts are seen from both sides.
            corners = np.concatenate([corners, corners[:, ::-1]])
        triangles.append(corners)
        owners.append(np.full(len(corners), number))
        positions.append(position.reshape(3, -1))
        paints.append(paint.reshape(3, -1))
        first += rows * columns
    return Mesh(
        tuple(parts),
        np.concatenate(positions, 1).astype(np.float32),
        np.concatenate(paints, 1).astype(np.float32),
        np.concatenate(triangles).astype(np.int64),
        np.concatenate(owners).astype(np.int64),
    )


def _grid_triangles(rows: int, columns: int) -> NDArray[np.int64]:
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b = corner[:-1, :-1].ravel(), corner[:-1, 1:].ravel()
    c, d = corner[1:, :-1].ravel(), corner[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)])


def _axes(rows: int, columns: int) -> tuple[Array, Array]:
    """Return (rows, 1) and (1, columns) numbers from -1 to 1."""
    down = np.arange(rows) * (2.0 / (rows - 1)) - 1.0
    across = np.arange(columns) * (2.0 / (columns - 1)) - 1.0
    return down[:, None], across[None, :]


def _grid(name: str) -> tuple[Array, Array]:
    """Return position and paint (3, rows, columns) of one part."""
    if name == "head":
        return _head()
    side = -1.0 if name.endswith("left") else 1.0
    kind = name.partition("_")[0]
    maker = {"ear": _ear, "torso": _torso, "long": _long_hair, "rim": _rim}.get(kind)
    if maker is not None:
        position = maker(side)
    else:
        position = _bridge() if kind == "bridge" else _temple(side)
    return position, position


def skull() -> Array:
    """Return the smooth skull (3, rows, columns), from the crown down and from left to right."""
    down, across = _axes(52, 49)
    latitude = -(0.75 * down + 0.25 * down * down * down) * 0.2485
    longitude = (0.55 * across + 0.45 * across * across * across) * 0.46
    s, c = sin_turns(latitude), cos_turns(latitude)
    sine, cosine = sin_turns(longitude), cos_turns(longitude)
    boxy = np.sqrt(np.maximum(1.0 - s * s * s * s, 0.0))
    low = np.maximum(-s, 0.0)
    width = 0.72 * mixed(c, boxy, np.where(s > 0, 0.3, 0.12)) * (1.0 - 0.12 * low)
    front = 0.80 * mixed(c, boxy, np.where(s > 0, 0.45, 0.8))
    back = 0.88 * mixed(c, boxy, 0.3) * (1.0 - 0.5 * smoothstep(0.1, 0.9, low))
    wedge = cosine * (1.0 + 0.22 * sine * sine)
    x = width * sine
    y = np.where(s > 0, 0.98 * s, 0.96 * s) + 0.0 * sine
    z = np.where(cosine > 0, front * wedge, back * cosine)
    return np.stack([x, y, z])


def _head() -> tuple[Array, Array]:
    paint = skull()
    x, y, z = paint
    across = np.abs(x)
    front = smoothstep(0.0, 0.35, z)
    nose_length = smoothstep(0.2, -0.24, y) * smoothstep(-0.41, -0.31, y)
    nose_width = 0.10 + 0.09 * smoothstep(0.1, -0.3, y)
    ridge = np.maximum(1.0 - (x / nose_width) * (x / nose_width), 0.0)
    rise = 0.05 * bump(x / 0.12, (y - 0.12) / 0.2) + 0.25 * nose_length * ridge
    rise = rise + 0.07 * bump((across - 0.115) / 0.09, (y + 0.28) / 0.1)
    rise = rise + 0.05 * bump((across - 0.26) / 0.3, (y - 0.2) / 0.12)  # brow ridge
    rise = rise - 0.115 * bump((across - EYE_X) / 0.21, (y - EYE_Y) / 0.17)  # sockets
    rise = rise + 0.05 * bump((across - EYE_X) / 0.13, (y - EYE_Y) / 0.1)  # eyeballs
    rise = rise + 0.04 * bump((across - 0.42) / 0.24, (y + 0.2) / 0.2)  # cheekbones
    rise = rise + 0.05 * bump(x / 0.34, (y - MOUTH_Y) / 0.26)
    rise = rise + 0.035 * bump(x / 0.25, (y - MOUTH_Y - 0.045) / 0.06)  # lips
    rise = rise + 0.045 * bump(x / 0.22, (y - MOUTH_Y + 0.06) / 0.07)
    rise = rise - 0.03 * bump(x / 0.3, (y + 0.71) / 0.08)
    rise = rise + 0.09 * bump(x / 0.3, (y + 0.86) / 0.2)  # chin
    rise = rise - 0.03 * bump((across - 0.45) / 0.2, (y + 0.5) / 0.25)  # cheek hollows
    return np.stack([x, y, z + front * rise]), paint


def _ear(side: float) -> Array:
    down, around = _axes(4, 11)
    radius = (down + 1.0) * 0.5
    turn = -side * around * 0.5
    drop = sin_turns(turn)
    width = 0.13 + 0.035 * drop
    rim = 0.045 * smoothstep(0.3, 0.9, radius) - 0.02 * radius
    fore = radius * cos_turns(turn) * width
    x = side * (0.72 + 0.02 + rim - 0.5 * fore)
    return np.stack([x, -0.10 + radius * drop * 0.22, -0.06 + 0.85 * fore + 0.0 * rim])


def _torso(side: float) -> Array:
    down, across = _axes(11, 21)
    share = (down + 1.0) * 0.5
    spread = smoothstep(0.42, 0.75, share)
    sine, cosine = sin_turns(across * 0.36), cos_turns(across * 0.36)
    width = 0.40 - 0.05 * smoothstep(0.0, 0.3, share) + spread * 0.95
    depth = 0.38 + 0.12 * spread
    y = mixed(-0.5, -1.32, smoothstep(0.0, 0.55, share) * 0.5 + 0.5 * np.minimum(share / 0.55, 1))
    y = y - 1.1 * np.maximum(share - 0.55, 0.0) - spread * 0.22 * sine * sine
    return np.stack([width * sine, y, -0.16 + side * 0.0 + depth * cosine])


def _long_hair(side: float) -> Array:
    down, across = _axes(9, 23)
    share = (down + 1.0) * 0.5
    turn = 0.5 - across * 0.355 * side
    sine, cosine = sin_turns(turn), cos_turns(turn)
    size = 0.83 - 0.17 * smoothstep(0.45, 1.0, share)
    close = mixed(0.72, 1.0, smoothstep(0.0, 0.4, share))
    x = size * close * sine
    ragged = sin_turns(across * 3.7) * sin_turns(across * 5.3 + 0.1)
    y = 0.62 - 1.75 * share + 0.09 * ragged * share * share
    z = 0.9 * size * close * cosine - 0.04 + 0.1 * smoothstep(0.5, 1.0, share)
    return np.stack([x, y, z])


def _rim(side: float) -> Array:
    down, around = _axes(2, 25)
    turn = around * 0.5
    size = 1.0 - 0.07 * (down + 1.0)
    x = cos_turns(turn) * size
    y = sin_turns(turn) * size
    boxy = 1.0 + 0.22 * 4.0 * x * x * y * y  # a rounded rectangle
    x, y = x * boxy, y * boxy
    return np.stack([side * 0.295 + 0.205 * x, EYE_Y - 0.035 + 0.165 * y, 0.86 - 0.07 * side * x])


def _bridge() -> Array:
    down, across = _axes(2, 5)
    y = EYE_Y + 0.03 - 0.02 * down - 0.03 * across * across
    return np.stack([0.09 * across + 0.0 * down, y, 0.93 - 0.05 * across * across + 0.0 * y])


def _temple(side: float) -> Array:
    down, across = _axes(2, 5)
    share = (across + 1.0) * 0.5
    x = side * (0.52 + 0.22 * np.minimum(share * 2.5, 1.0)) + 0.0 * down
    y = EYE_Y + 0.05 - 0.022 * down + 0.0 * share
    return np.stack([x, y, 0.79 - 0.79 * share + 0.0 * y])
