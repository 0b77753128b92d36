"""Hidden-surface removal: which triangle each sample of the picture sees."""

import numpy as np
from numpy.typing import NDArray

from hybridface.data.drawn_faces.exact import Array, clip01

_GROWTH = 0.02  # Triangles grow by this part of a sample, so that no crack opens between them.


def visible_triangles(
    screen: tuple[Array, Array, Array], triangles: NDArray[np.int64], side: int
) -> NDArray[np.int64]:
    """Return the nearest front-facing triangle at every sample, by an exact depth buffer.

    Args:
        screen: x and y in samples (y down, (0, 0) the top left corner) and depth (larger is
            nearer), each (F, V) float32 for F pictures of V vertices.
        triangles: (T, 3) vertex numbers, counter-clockwise seen from outside.
        side: Width and height of a picture in samples.

    Returns:
        (F, side * side) triangle numbers, -1 where there is none.
    """
    faces = len(screen[0])
    corners = [[np.take(axis, triangles[:, k], axis=1) for axis in screen] for k in range(3)]
    (ax, ay, _), (bx, by, _), (cx, cy, _) = corners
    area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
    top = np.minimum(np.minimum(ay, by), cy)
    bottom = np.maximum(np.maximum(ay, by), cy)
    first = np.maximum(np.ceil(top - (0.5 + _GROWTH)), 0.0)
    last = np.minimum(np.floor(bottom - (0.5 - _GROWTH)), side - 1.0)
    kept = np.flatnonzero((area > 1e-4) & (last >= first))
    setup = _Spans([[axis.ravel()[kept] for axis in corner] for corner in corners])
    first_row = first.ravel()[kept].astype(np.int64)
    heights = last.ravel()[kept].astype(np.int64) - first_row + 1
    owner, row = _expand(first_row, heights)
    left, right = setup.span(owner, row)
    start = np.maximum(np.ceil(left - (0.5 + _GROWTH)), 0.0)
    stop = np.minimum(np.floor(right - (0.5 - _GROWTH)), side - 1.0)
    widths = np.maximum(stop - start + 1.0, 0.0).astype(np.int64)
    line, column = _expand(start.astype(np.int64), widths)
    owner, row = owner[line], row[line]
    depth = setup.depth(owner, row, column)
    kept_face = kept // len(triangles)
    place = (kept_face[owner] * side + row) * side + column
    level = ((depth + 4.0) * 65536.0).astype(np.int64)
    buffer = np.full(faces * side * side, -1, dtype=np.int64)
    np.maximum.at(buffer, place, (level << 32) | owner)
    winner = buffer & 0xFFFFFFFF
    found = buffer >= 0
    buffer[found] = (kept - kept_face * len(triangles))[winner[found]]
    return buffer.reshape(faces, side * side)


def _expand(first: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return, for ranges first[i] .. first[i] + count[i] - 1 laid end to end, i and the number."""
    owner = np.repeat(np.arange(len(count)), count)
    shift = first - (np.cumsum(count) - count)
    return owner, np.arange(len(owner)) + shift[owner]


class _Spans:
    """Where a row of samples enters and leaves each of K triangles, and how deep they lie."""

    def __init__(self, corners: list[list[Array]]) -> None:
        self.edges: list[tuple[Array, Array, Array]] = []
        for (px, py, _), (qx, qy, _) in zip(corners, corners[1:] + corners[:1], strict=True):
            height = qy - py
            flat = np.abs(height) < 1e-6
            slope = (qx - px) / np.where(flat, np.float32(1.0), height)
            kind = np.where(flat, 0, np.where(height > 0, -1, 1)).astype(np.int8)
            self.edges.append((px - slope * py, slope, kind))
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        self.per_x = ((cz - az) * (by - ay) - (bz - az) * (cy - ay)) / area
        self.per_y = ((cx - ax) * (bz - az) - (bx - ax) * (cz - az)) / area
        self.origin = az - self.per_x * ax - self.per_y * ay
        self.low = np.minimum(np.minimum(ax, bx), cx)
        self.high = np.maximum(np.maximum(ax, bx), cx)
        self.near = np.maximum(np.maximum(az, bz), cz)
        self.far = np.minimum(np.minimum(az, bz), cz)

    def span(self, owner: Array, row: Array) -> tuple[Array, Array]:
        """Return the left and right end of each triangle `owner` in the middle of `row`."""
        middle = row.astype(np.float32) + np.float32(0.5)
        left, right = self.low[owner], self.high[owner]
        for origin, slope, kind in self.edges:
            cross = origin[owner] + slope[owner] * middle
            side = kind[owner]
            left = np.where(side < 0, np.maximum(left, cross), left)
            right = np.where(side > 0, np.minimum(right, cross), right)
        return left, right

    def depth(self, owner: Array, row: Array, column: Array) -> Array:
        """Return the depth of each triangle `owner` at the middle of a sample."""
        y = row.astype(np.float32) + np.float32(0.5)
        x = column.astype(np.float32) + np.float32(0.5)
        depth: Array = self.origin[owner] + self.per_x[owner] * x + self.per_y[owner] * y
        depth = np.maximum(depth, self.far[owner])
        return np.minimum(depth, self.near[owner])


def weights(corners: list[list[Array]], x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return the barycentric weights of points in triangles, held inside.

    Args:
        corners: x and y of the three corners, arrays of one shape.
        x: Where to weigh, in the same units.
        y: The same for y.
    """
    (ax, ay), (bx, by), (cx, cy) = corners
    area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
    inverse = 1.0 / np.where(area > 1e-6, area, np.float32(1.0))
    second: Array = clip01(((cx - ax) * (y - ay) - (x - ax) * (cy - ay)) * inverse)
    third: Array = clip01(((x - ax) * (by - ay) - (bx - ax) * (y - ay)) * inverse)
    third = np.minimum(third, 1.0 - second)
    first: Array = 1.0 - second - third
    return first, second, third
