"""How alike two small pictures are once the one is moved onto the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridface.data.check.cosine import Floats, cosines, sharpened

Grey = NDArray[np.uint8]
ALIKE = 0.94  # least similarity of near duplicates
PLAUSIBLE = 0.85  # least similarity, roughly aligned, of what is looked at in detail
_FREQUENCIES = 12  # that are compared, in each direction
_GRID = 16  # side of what is compared
_MARGIN = 2  # of that, where nothing is known of a picture that was moved
_FARTHEST = 2.0  # shift that is still believed, at the edge of the grid


def similarity(one: Grey, other: Grey) -> Floats:
    """Say how alike pictures are after the best small shift, zoom, turn and change of light.

    The one picture is moved onto the other as a first fit says, and both are sharpened, since what
    faces have in common is coarse. Of a second fit counts what it leaves unexplained.

    Args:
        one: ``(P, S, S)`` grey uint8.
        other: The same of what each is compared with.

    Returns:
        ``(P,)`` up to 1, the coefficient of correlation of the moved and sharpened pictures but
        for what the second fit mends; 0 where the first fit is too far off.
    """
    alike = np.zeros(len(one), dtype=np.float32)
    rough, changes = _fit(_grid(one, 0.0), _grid(other, 0.0))
    move = changes[:, 1:]
    near = np.flatnonzero((rough >= PLAUSIBLE) & (_reach(move) <= _FARTHEST))
    if len(near):
        moved = _moved(one[near], move[near])
        inner = np.s_[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        alike[near] = _fit(_grid(moved, 1.0)[inner], _grid(other[near], 1.0)[inner])[0]
    return alike


def _grid(pictures: NDArray[np.generic], power: float) -> Floats:
    """Return the low frequencies of pictures as ``(P, 16, 16)``, the mean of each 0."""
    terms = sharpened(pictures.astype(np.float32), _FREQUENCIES, power)
    rows = cosines(_GRID, _FREQUENCIES)
    drawn: Floats = (rows.T @ terms @ rows).astype(np.float32, copy=False)
    return drawn


def _fit(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Explain the difference of pictures by small changes, by least squares.

    The changes are linearised about the mean of both (Lucas and Kanade 1981, "An iterative image
    registration technique").

    Returns:
        ``(P,)`` similarity, ``1 - |rest|^2 / 2`` of pictures of mean 0 and length 1, which without
        changes is the coefficient of correlation; and ``(P, 6)`` the changes: contrast, shift to
        the right and down, zoom across and down, turn.
    """
    one, other = _unit(one), _unit(other)
    middle, difference = (one + other) / 2, (other - one).reshape(len(one), -1, 1)
    down, right = np.gradient(middle, axis=(1, 2))
    x, y = _places(middle.shape[1])
    causes = np.stack([middle, right, down, x * right, y * down, x * down - y * right], axis=-1)
    causes = causes.reshape(len(one), -1, causes.shape[-1])
    products = causes.transpose(0, 2, 1) @ causes
    products += 1e-6 * np.eye(products.shape[1], dtype=np.float32)
    explained = causes.transpose(0, 2, 1) @ difference
    best = np.linalg.solve(products, explained)
    rest = (difference**2).sum(axis=(1, 2)) - (explained * best).sum(axis=(1, 2))
    return 1 - rest / 2, best[:, :, 0]


def _unit(pictures: Floats) -> Floats:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    unit: Floats = centred / np.maximum(length, 1e-6)
    return unit


def _places(side: int) -> tuple[Floats, Floats]:
    """Return where the columns and the rows of a grid lie, in its own pixels from its middle."""
    place = (np.arange(side) - (side - 1) / 2).astype(np.float32)
    return place[None, :], place[:, None]


def _reach(move: Floats) -> Floats:
    """Return how far a move shifts the farthest place on the grid's edge, about."""
    shift, zoom, turn = move[:, :2], move[:, 2:4], move[:, 4]
    reach: Floats = np.abs(shift).max(1) + _GRID / 2 * (np.abs(zoom).max(1) + np.abs(turn))
    return reach


def _moved(pictures: Grey, move: Floats) -> Floats:
    """Move pictures by bilinear sampling; what comes from outside repeats the nearest pixel."""
    count, side = pictures.shape[:2]
    x, y = _places(side)
    right, down, across, along, turn = move.T[:, :, None, None]
    scale = side / _GRID
    column = x + scale * right + across * x - turn * y + (side - 1) / 2
    row = y + scale * down + along * y + turn * x + (side - 1) / 2
    column, row = (each.clip(0, side - 1.001) for each in (column, row))
    left, top = column.astype(np.int64), row.astype(np.int64)
    flat = pictures.reshape(count, -1)
    corner = (top * side + left).reshape(count, -1)
    a, b, c, d = (
        np.take_along_axis(flat, corner + step, axis=1).reshape(left.shape).astype(np.float32)
        for step in (0, 1, side, side + 1)
    )
    u, v = column - left, row - top
    moved: Floats = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v
    return moved
